//! Tests of the turn where there are two: providers that race, answers that one begins and another ends, pictures.

use super::*;
use crate::common::chat::{ImagePiece, Media, Message, Role, ToolCallDelta};

fn racing(names: &[ProviderName]) -> Played {
    let mut played = Played::of(Plan { hedge_after: Some(SECOND), ..plan(names) });
    played.wait(SECOND);
    played
}

const GEMINI: ProviderName = ProviderName::Gemini;

#[test]
fn the_quicker_of_two_answers_and_the_other_is_left_at_once() {
    let mut played = racing(&[OPENAI, LOCAL]);
    assert_eq!(played.asked(), [0, 1]);
    for slot in [Slot::First, Slot::Second] {
        played.hear_in(slot, Event::Started { model: Some(format!("of {slot:?}").into()) });
    }
    played.hear_in(Slot::Second, Event::Text("quick".into()));
    played.hear_in(Slot::First, Event::Text("late".into()));
    played.fail_in(Slot::First, Failure::CutOff);
    played.end();
    insta::assert_snapshot!(played.told(), @r#"
    ask 0 in First
    ask 1 in Second
    hang up First
    count 0: Cancelled
    Notice("local answers instead of the first choice (openai: no word after 1000 ms, and another one was quicker (providers.hedge_after_ms))")
    Text("quick")
    hang up Second
    count 1: Whole
    save [(1, "quick", false)]
    done: 1 of local
    end
    "#);
    let Some(News::Done(done)) = played.news().pop() else { panic!("it was whole") };
    assert_eq!(&*done.model, "of Second");
    assert!(played.turn.plan.health.is_fit(OPENAI, played.now), "slow is not ill");

    let mut played = racing(&[OPENAI, LOCAL]);
    played.hear_in(Slot::First, Event::Text("still first".into()));
    played.turn.handle_end(Slot::First, played.now);
    played.drain();
    insta::assert_snapshot!(played.told(), @r#"
    ask 0 in First
    ask 1 in Second
    hang up Second
    count 1: Cancelled
    Text("still first")
    hang up First
    count 0: Whole
    save [(0, "still first", false)]
    done: 1 of openai
    end
    "#);
}

#[test]
fn where_one_of_two_fails_the_other_goes_on_and_the_chain_with_it() {
    // The rival fails: the next one races. Then the first fails: the rival is the one that is asked.
    let mut played = racing(&[OPENAI, LOCAL, GEMINI]);
    played.fail_in(Slot::Second, Failure::Failed);
    assert_eq!(played.asked(), [0, 1, 2]);
    played.fail_in(Slot::First, Failure::Failed);
    assert_eq!(played.asked(), [0, 1, 2]);
    played.hear_in(Slot::Second, Event::Text("third".into()));
    let News::Notice(text) = played.news()[0] else { panic!("{:?}", played.news()) };
    assert_eq!(&**text, "gemini answers instead of the first choice (local: no; openai: no)");
    // All fail: the first choice is shown.
    let mut played = racing(&[OPENAI, LOCAL, GEMINI]);
    for slot in [Slot::First, Slot::Second] {
        played.fail_in(slot, Failure::Failed);
    }
    played.fail(Failure::Auth);
    assert_eq!(played.asked(), [0, 1, 2]);
    assert_eq!(played.error().message, "openai: no; then local: no; then gemini: no");
}

#[test]
fn each_of_two_has_its_own_deadline_and_a_cancel_leaves_both() {
    let mut played = racing(&[OPENAI, LOCAL]);
    played.wait(9 * SECOND);
    assert!(played.told().ends_with("hang up First\ncount 0: Failed\n"), "{}", played.told());
    played.wait(SECOND);
    assert_eq!(played.error().code, ErrorCode::Timeout);
    let mut played = racing(&[OPENAI, LOCAL]);
    played.turn.handle_cancel(played.now);
    played.drain();
    for slot in [Slot::First, Slot::Second] {
        assert!(played.steps.contains(&Step::HangUp { slot }));
    }
    assert_eq!(played.error().code, ErrorCode::Cancelled);
}

#[test]
fn nobody_is_raced_where_nobody_else_is_fit_or_somebody_speaks() {
    assert_eq!(racing(&[OPENAI]).asked(), [0]);
    let mut played = Played::of(Plan { hedge_after: Some(SECOND), ..plan(&[OPENAI, LOCAL]) });
    played.say("a");
    played.wait(4 * SECOND);
    assert_eq!(played.asked(), [0]);
}

#[test]
fn the_next_one_goes_on_where_one_broke_off() {
    let mut played = Played::of(Plan { goes_on: true, ..plan(&[OPENAI, LOCAL, GEMINI]) });
    played.say("One, ");
    played.fail(Failure::CutOff);
    assert_eq!(played.turn.before()[0].message, Message::new(Role::Assistant, "One, "));
    played.fail(Failure::Unreachable);
    played.say("two.");
    played.end();
    insta::assert_snapshot!(played.told(), @r#"
    ask 0 in First
    Text("One, ")
    hang up First
    count 0: Failed
    ask 1 in First
    hang up First
    count 1: Failed
    ask 2 in First
    Notice("gemini goes on where another one broke off (openai: no; local: no)")
    Message(1)
    Text("two.")
    hang up First
    count 2: Whole
    save [(0, "One, ", true), (2, "two.", false)]
    done: 2 of gemini
    end
    "#);
}

#[test]
fn where_nobody_can_go_on_the_one_that_broke_off_is_shown_and_every_part_is_kept() {
    let mut played = Played::of(Plan { goes_on: true, ..plan(&[OPENAI, LOCAL, GEMINI]) });
    played.fail(Failure::Auth);
    played.say("a");
    played.fail(Failure::CutOff);
    played.say("b");
    played.fail(Failure::CutOff);
    assert_eq!(played.error().message, "gemini: no");
    assert_eq!(played.saved(), [("a".into(), true), ("b".into(), true)]);
    // A call of a tool is no text that could be gone on from.
    let mut played = Played::of(Plan { goes_on: true, ..plan(&[OPENAI, LOCAL]) });
    played.hear(Event::ToolCall(Box::default()));
    played.fail(Failure::CutOff);
    assert_eq!(played.asked(), [0]);
}

fn picture(index: u32, partial: Option<u32>, bytes: usize) -> Event {
    let media = Media { mime: "image/png".into(), data: vec![0; bytes].into() };
    Event::Image(Box::new(ImagePiece { index, partial, media }))
}

#[test]
fn pictures_are_kept_without_their_previews_and_an_image_turn_needs_one() {
    let mut played = Played::of(Plan { paints: true, ..plan(&[OPENAI, GEMINI]) });
    played.end();
    assert_eq!(played.asked(), [0, 1], "an answer without a picture is none");
    played.hear(picture(1, Some(0), 9));
    played.hear(picture(1, None, 9));
    played.hear(picture(0, None, 9));
    played.end();
    let said = played.steps.iter().find_map(|step| if let Step::Save(said) = step { Some(said) } else { None });
    let [said] = &said.expect("kept")[..] else { panic!("one message") };
    assert_eq!((said.message.parts.len(), &said.pictures[..]), (2, &[1, 0][..]));
    let painted = played
        .steps
        .iter()
        .rev()
        .find_map(|step| if let Step::Count(used) = step { Some(used.pictures) } else { None });
    assert_eq!(painted, Some(2));
    let mut played = Played::of(Plan { paints: true, ..plan(&[OPENAI, GEMINI]) });
    played.say("I cannot draw that");
    played.end();
    assert_eq!(played.error().message, "openai: answered without a picture");
}

#[test]
fn pictures_and_pieces_without_end_are_stopped() {
    let mut played = Played::new(&[OPENAI]);
    for index in 0..=4 {
        played.hear(picture(index, None, 16 * 1024 * 1024 - index as usize));
    }
    assert!(played.error().message.contains("the pictures of the answer passed"), "{}", played.error().message);
    let mut played = Played::new(&[OPENAI]);
    for index in 0..=4096 {
        played.hear(Event::ToolCall(Box::new(ToolCallDelta { index, ..ToolCallDelta::default() })));
    }
    assert!(played.error().message.contains("more than 4096 pieces"), "{}", played.error().message);
}

#[test]
fn sound_of_the_models_own_is_left_out_and_that_is_said_once() {
    let mut played = Played::new(&[OPENAI]);
    for _ in 0..3 {
        let media = Media { mime: "audio/pcm".into(), data: vec![0; 9].into() };
        played.hear(Event::Audio(Box::new(media)));
    }
    assert!(matches!(played.news()[..], [News::Notice(_)]), "{:?}", played.news());
}

proptest::proptest! {
    /// Whatever comes in whatever order: one end, both connections closed, nothing after it, and never a busy wait.
    #[test]
    fn every_turn_ends_once(
        moves in proptest::collection::vec((0..15u8, proptest::bool::ANY, 0..4000u64), 1..60),
        hedges in proptest::bool::ANY,
        goes_on in proptest::bool::ANY,
        links in 1..4usize,
        calls in proptest::bool::ANY,
    ) {
        let hedge_after = hedges.then_some(SECOND);
        let names = &[OPENAI, LOCAL, GEMINI][..links];
        let tools = calls.then(|| with_tools::tools(true));
        let mut played = Played::of(Plan { retries: 1, hedge_after, goes_on, tools, ..plan(names) });
        for (kind, first, ms) in moves {
            let slot = if first { Slot::First } else { Slot::Second };
            // Only a connection that is open says anything.
            let open = played.steps.iter().rev().find_map(|step| match step {
                Step::Ask { slot: at, .. } if *at == slot => Some(true),
                Step::HangUp { slot: at } if *at == slot => Some(false),
                _ => None,
            });
            match kind {
                10 => played.wait(Duration::from_millis(ms)),
                11 => played.called((ms % 8) as u32, "ok"),
                12 => {
                    played.turn.handle_confirmed((ms % 8) as u32, played.now, [None, Some(true), Some(false)][ms as usize % 3]);
                    played.drain();
                }
                _ if open != Some(true) => {}
                0 => played.hear_in(slot, Event::Text("t".into())),
                1 => played.hear_in(slot, Event::Started { model: None }),
                2 => played.hear_in(slot, Event::Finish(FinishReason::Stop)),
                3 => played.hear_in(slot, Event::Usage(Box::default())),
                4 => played.hear_in(slot, Event::ToolCall(Box::default())),
                13 | 14 => {
                    let name = Some(if kind == 13 { "door" } else { "reset" }.to_owned());
                    let (index, arguments) = ((ms % 3) as u32, format!("{{\"n\":{ms}}}"));
                    played.hear_in(slot, Event::ToolCall(Box::new(ToolCallDelta { index, id: None, name, arguments })));
                }
                5 => played.fail_with(slot, failed(503, Some(Duration::from_millis(ms)))),
                6 => played.fail_in(slot, Failure::CutOff),
                7 => played.fail_in(slot, Failure::Auth),
                8 => { played.turn.handle_end(slot, played.now); played.drain(); }
                _ => { played.turn.handle_taken(played.now); }
            }
        }
        played.wait(600 * SECOND);
        let ends = played.steps.iter().filter(|step| **step == Step::End).count();
        proptest::prop_assert_eq!(ends, 1);
        proptest::prop_assert_eq!(played.steps.last(), Some(&Step::End));
        for slot in [Slot::First, Slot::Second] {
            let last = played.steps.iter().rev().find(|step| matches!(step, Step::Ask { slot: at, .. } | Step::HangUp { slot: at } if *at == slot));
            proptest::prop_assert!(!matches!(last, Some(Step::Ask { .. })), "{}", played.told());
        }
        let asked = played.asked();
        proptest::prop_assert!((0..links).all(|link| asked.iter().filter(|at| **at == link).count() <= 24));
    }
}
