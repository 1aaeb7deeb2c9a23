//! What requests come to, and the ledger over a real store.

use bytes::Bytes;

use super::*;
use crate::common::chat::{Media, Message, Role};
use crate::store::UsageSum;

#[test]
fn a_whole_answer_is_counted_and_priced() {
    let usage = Usage { cached_tokens: Some(4), ..counted(9, 30) };
    let tally = tally(&Budget::default(), &Finished { usage: Some(usage), ..finished() }, day("2026-11-22"));
    let key = UsageKey {
        day: day("2026-11-22"),
        user: "house".into(),
        profile: "default".into(),
        provider: "openai".into(),
        model: "gpt-4o-mini-2024-07-18".into(),
    };
    let sum = UsageSum {
        requests: 1,
        input_tokens: 9,
        cached_tokens: 4,
        output_tokens: 30,
        cost_nano_usd: 19_050,
        ..UsageSum::default()
    };
    let told = Usage { cost_usd: Some(0.000_019_05), ..usage };
    assert_eq!(tally, Tally { key, sum, usage: Some(told) });
}

#[test]
fn what_the_provider_says_it_cost_holds() {
    let of = |provider, model, cost_usd| {
        let usage = Usage { cost_usd: Some(cost_usd), ..counted(9, 30) };
        let finished = Finished { provider, model, usage: Some(usage), ..finished() };
        let Tally { sum, usage, .. } = tally(&Budget::default(), &finished, day("2026-11-22"));
        (sum.cost_nano_usd, sum.unpriced_requests, usage.and_then(|usage| usage.cost_usd))
    };
    assert_eq!(of("openrouter", "some/model", 0.0123), (12_300_000, 0, Some(0.0123)));
    assert_eq!(of("openai", "gpt-4o-mini", 0.5), (500_000_000, 0, Some(0.5)));
    assert_eq!(of("openrouter", "some/model", 0.0), (0, 0, Some(0.0)));
    // What cannot be is not believed.
    for odd in [-1.0, f64::NAN, f64::INFINITY, 1e6] {
        assert_eq!(of("openai", "gpt-4o-mini", odd), (19_350, 0, Some(0.000_019_35)), "{odd}");
        assert_eq!(of("openrouter", "some/model", odd), (0, 1, None), "{odd}");
    }
}

#[test]
fn what_was_not_counted_is_guessed_where_something_was_bought() {
    let of = |finished: Finished<'_>| {
        let sum = tally(&Budget::default(), &finished, day("2026-11-22")).sum;
        let known = sum.unpriced_requests == 0;
        (sum.input_tokens, sum.output_tokens, sum.estimated_requests, sum.failed, sum.cost_nano_usd > 0, known)
    };
    let guess = Finished { asked_tokens: 100, answered_tokens: 40, ..finished() };
    assert_eq!(of(guess), (100, 40, 1, 0, true, true));
    assert_eq!(of(Finished { end: End::Cancelled, answered_tokens: 0, ..guess }), (100, 0, 1, 1, true, true));
    assert_eq!(of(Finished { end: End::Failed, ..guess }), (100, 40, 1, 1, true, true));
    assert_eq!(of(Finished { end: End::Failed, answered_tokens: 0, ..guess }), (0, 0, 0, 1, false, true));
    assert_eq!(of(Finished { model: "new", ..guess }), (100, 40, 1, 0, false, false));
    assert_eq!(of(Finished { model: "new", end: End::Failed, answered_tokens: 0, ..guess }), (0, 0, 0, 1, false, true));
    assert_eq!(of(Finished { provider: "assistant", ..guess }), (0, 0, 0, 0, false, true));
    assert_eq!(of(Finished { provider: "local", ..guess }), (100, 40, 1, 0, false, true));
    // Counted at the start only, since the answer was cut short.
    let early = Finished { usage: Some(counted(90, 1)), ..guess };
    assert_eq!(of(Finished { end: End::Cancelled, ..early }), (90, 40, 1, 1, true, true));
    assert_eq!(of(Finished { end: End::Whole, ..early }), (90, 1, 0, 0, true, true));
}

#[test]
fn speech_and_pictures_are_counted_as_what_they_are() {
    let budget = Budget::default();
    let spoken = Finished { model: "tts-1", profile: "", speech_characters: 2000, ..finished() };
    let sum = tally(&budget, &spoken, day("2026-11-22")).sum;
    assert_eq!((sum.speech_characters, sum.cost_nano_usd, sum.estimated_requests), (2000, 30_000_000, 0));
    let sum = tally(&budget, &Finished { model: "gpt-4o-mini-tts", ..spoken }, day("2026-11-22")).sum;
    assert_eq!((sum.cost_nano_usd, sum.estimated_requests, sum.unpriced_requests), (32_800_000, 1, 0));
    let painted = Finished { model: "gpt-image-1", images: 2, usage: Some(counted(10, 2000)), ..finished() };
    let sum = tally(&budget, &painted, day("2026-11-22")).sum;
    assert_eq!((sum.images, sum.cost_nano_usd), (2, 80_050_000));
}

#[test]
fn a_question_is_guessed_with_all_that_is_in_it() {
    let picture = Media { mime: "image/png".into(), data: Bytes::from_static(b"png") };
    let parts = vec![Part::Text("What is it?".into()), Part::Image(picture)];
    let request = ChatRequest { messages: vec![Message { role: Role::User, parts }], ..ChatRequest::default() };
    assert_eq!(asked_tokens(&request), estimated_tokens("What is it?") + IMAGE_TOKENS);
}

#[tokio::test]
async fn the_ledger_knows_at_once_and_the_store_for_good() {
    let (_home, store) = new_store();
    let ledger = Arc::new(Ledger::new(store.clone()));
    let budget = Budget { day_usd: Some(0.01), ..Budget::default() };
    let now: Zoned = "2026-11-22T12:00:00+01:00[+01:00]".parse().expect("a time");
    let today = now.date();
    let verdict = async |ledger: &Ledger, at: &Zoned| ledger.verdict(&budget, None, at).await.expect("readable");
    assert_eq!(verdict(&ledger, &now).await, Verdict::Free);
    let dear = Usage { cost_usd: Some(0.006), ..counted(1, 1) };
    let first = ledger.record(&budget, &Finished { usage: Some(dear), ..finished() }, today);
    assert_eq!(first.usage.and_then(|usage| usage.cost_usd), Some(0.006));
    assert_eq!(verdict(&ledger, &now).await, Verdict::Free);
    let second = ledger.record(&budget, &Finished { usage: Some(dear), ..finished() }, today);
    // Before the disk has it.
    assert!(matches!(verdict(&ledger, &now).await, Verdict::OnlyLocal { .. }));
    first.kept.await.expect("no panic");
    second.kept.await.expect("no panic");
    assert!(ledger.lock().underway.is_empty());
    let rows = store.usage(today, today).await.expect("readable");
    assert_eq!((rows.len(), rows[0].1.requests, rows[0].1.cost_nano_usd), (1, 2, 12_000_000));

    // Another ledger reads it; the next day is free again, and the month goes on.
    let other = Ledger::new(store.clone());
    assert!(matches!(verdict(&other, &now).await, Verdict::OnlyLocal { .. }));
    let tomorrow = now.tomorrow().expect("a day");
    assert_eq!(verdict(&ledger, &tomorrow).await, Verdict::Free);
    let month = Budget { month_usd: Some(0.012), ..Budget::default() };
    let of_month = ledger.verdict(&month, None, &tomorrow).await.expect("readable");
    assert!(matches!(of_month, Verdict::OnlyLocal { .. }), "{of_month:?}");
    // A clock set back finds the old day as it was.
    assert!(matches!(verdict(&ledger, &now).await, Verdict::OnlyLocal { .. }));
    assert!(store.close().await);
}

#[tokio::test]
async fn a_question_waits_for_no_disk() {
    let (_home, store) = new_store();
    let ledger = Arc::new(Ledger::new(store.clone()));
    let now: Zoned = "2026-11-22T12:00:00+01:00[+01:00]".parse().expect("a time");
    let limited = Budget { day_usd: Some(1.0), ..Budget::default() };
    ledger.verdict(&limited, None, &now).await.expect("readable");
    assert!(store.close().await);
    // A store that is closed gives nothing, and nothing is asked of it.
    assert_eq!(ledger.verdict(&limited, None, &now).await, Ok(Verdict::Free));
    let tomorrow = now.tomorrow().expect("a day");
    assert_eq!(ledger.verdict(&Budget::default(), None, &tomorrow).await, Ok(Verdict::Free));
    assert_eq!(ledger.verdict(&limited, None, &tomorrow).await, Err(ReadError::Closed));
    // What can no longer be written down was spent all the same.
    let dear = Usage { cost_usd: Some(2.0), ..counted(1, 1) };
    let recorded = ledger.record(&limited, &Finished { usage: Some(dear), ..finished() }, now.date());
    recorded.kept.await.expect("no panic");
    assert!(matches!(ledger.verdict(&limited, None, &now).await, Ok(Verdict::OnlyLocal { .. })));
}

fn finished() -> Finished<'static> {
    Finished {
        user: "house",
        profile: "default",
        provider: "openai",
        model: "gpt-4o-mini-2024-07-18",
        end: End::Whole,
        usage: None,
        asked_tokens: 0,
        answered_tokens: 0,
        images: 0,
        speech_characters: 0,
    }
}

fn counted(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}

fn day(text: &str) -> Date {
    text.parse().expect("a day")
}

fn new_store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
    (home, store)
}
