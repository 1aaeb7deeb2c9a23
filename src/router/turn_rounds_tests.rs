//! Tests of the turn whose model calls tools.

use serde_json::json;

use super::*;
use crate::common::chat::{Part, Role, ToolCallDelta, Usage};
use crate::mcp::Annotations;
use crate::router::round::{CALL_MAX, Deed};
use crate::router::tools::known::Known;
use crate::router::tools::output::Told;
use crate::router::tools::testing::{definition, shown, tool};
use crate::router::tools::{Amount, Toolbox};

pub fn tools(confirms: bool) -> ToolPlan {
    let reset = Arc::new(definition("reset", Annotations::DESTROYS));
    let all = vec![tool("call_tool"), tool("door"), tool("lamp.set"), reset];
    ToolPlan {
        toolbox: Arc::new(Toolbox::new(Arc::new(Known::new(all)), Box::new(Vec::new), 64)),
        rounds_max: 3,
        confirms,
        confirm_within: 20 * SECOND,
        visible: true,
    }
}

fn played(names: &[ProviderName]) -> Played {
    Played::of(Plan { tools: Some(tools(true)), ..plan(names) })
}

impl Played {
    fn call(&mut self, index: u32, name: &str, arguments: &str) {
        let (id, name) = (Some(format!("c{index}")), Some(name.to_owned()));
        self.hear(Event::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments: arguments.into() })));
    }

    pub fn called(&mut self, call: u32, text: &str) {
        self.turn.handle_called(call, self.now, Told { text: text.into(), ..Told::default() });
        self.drain();
    }

    /// Calls that are to be made, and people who are to be asked.
    fn deeds(&self) -> Vec<String> {
        let deed = |step: &Step| match step {
            Step::Tool(deed) => Some(match &**deed {
                Deed::Call { call, tool, arguments } => format!("call {call} {tool} {}", json!(arguments)),
                Deed::Confirm { call, tool, arguments, .. } => format!("confirm {call} {tool} {}", json!(arguments)),
                Deed::Stop { call } => format!("stop {call}"),
                Deed::Tell(_) => panic!("the turn tells it itself"),
            }),
            Step::StopCalls => Some("stop".into()),
            _ => None,
        };
        self.steps.iter().filter_map(deed).collect()
    }

    /// Results as the user is told of them.
    fn results(&self) -> Vec<(String, bool)> {
        let of = |news: &&News| match news {
            News::ToolResult(news) => Some((news.text.to_string(), news.is_error)),
            _ => None,
        };
        self.news().iter().filter_map(of).collect()
    }
}

#[test]
fn calls_are_made_at_once_and_the_same_provider_goes_on_with_their_results() {
    let mut played = played(&[OPENAI, LOCAL]);
    played.say("Let me see.");
    played.call(0, "lamp_set", "{\"on\":");
    played.hear(Event::ToolCall(Box::new(ToolCallDelta {
        index: 0,
        arguments: "true}".into(),
        ..ToolCallDelta::default()
    })));
    played.call(1, "Door", "");
    played.end();
    played.now += SECOND;
    played.called(1, "closed");
    played.called(0, "on");
    played.say("Done.");
    played.end();
    insta::assert_snapshot!(played.told(), @r#"
    ask 0 in First
    Text("Let me see.")
    ToolCall(ToolCallDelta { index: 0, id: Some("c0"), name: Some("lamp_set"), arguments: "{\"on\":" })
    ToolCall(ToolCallDelta { index: 0, id: None, name: None, arguments: "true}" })
    ToolCall(ToolCallDelta { index: 1, id: Some("c1"), name: Some("Door"), arguments: "" })
    hang up First
    count 0: Whole
    Call { call: 0, tool: "lamp.set", arguments: {"on": Bool(true)} }
    Call { call: 1, tool: "door", arguments: {} }
    ToolResult(ToolResultNews { call_id: "c1", name: "Door", text: "closed", is_error: false, ms: 1000, structured: None })
    ToolResult(ToolResultNews { call_id: "c0", name: "lamp_set", text: "on", is_error: false, ms: 1000, structured: None })
    weigh
    ask 0 in First
    Text("\n\n")
    Text("Done.")
    hang up First
    count 0: Whole
    save [(0, "Let me see.", false), (0, "", false), (0, "Done.", false)]
    done: 1 of openai
    end
    "#);
    let saved = played.steps.iter().find_map(|step| if let Step::Save(said) = step { Some(said) } else { None });
    let message = &saved.expect("it is kept")[1].message;
    let results: Vec<_> = message
        .parts
        .iter()
        .map(|part| if let Part::ToolResult(one) = part { (&*one.call_id, &*one.content) } else { panic!() })
        .collect();
    assert_eq!(
        (message.role, results),
        (Role::Tool, vec![("c0", "on"), ("c1", "closed")]),
        "in the order of the calls"
    );
}

#[test]
fn indexes_of_calls_go_on_and_usage_is_summed_over_the_rounds() {
    let mut played = played(&[OPENAI]);
    let usage = |cost_usd| Usage { input_tokens: 5, output_tokens: 2, cost_usd, ..Usage::default() };
    for round in 0..2u32 {
        played.call(0, "door", &format!("{{\"n\":{round}}}"));
        played.hear(Event::Usage(Box::new(usage(None))));
        played.end();
        played.turn.handle_priced(usage(Some(0.5)));
        played.called(round, "ok");
    }
    played.say("Done.");
    played.end();
    let indexes: Vec<u32> = played
        .news()
        .iter()
        .filter_map(|news| if let News::ToolCall(call) = news { Some(call.index) } else { None })
        .collect();
    assert_eq!(indexes, [0, 1]);
    let Some(News::Done(done)) = played.news().pop() else { panic!() };
    assert_eq!(done.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((10, 4)));
    assert_eq!(done.usage.and_then(|usage| usage.cost_usd), Some(1.0));
}

#[test]
fn a_call_that_cannot_be_made_is_answered_with_what_to_do() {
    let mut played = played(&[OPENAI]);
    for (index, (name, arguments)) in [
        ("doors", "{}"),
        ("lamp.set", "{\"on\":"),
        ("door", "[1]"),
        ("call_tool", "{\"name\":\"ghost\"}"),
        ("call_tool", "{\"name\":\"call_tool\",\"arguments\":{\"name\":\"reset\"}}"),
        ("call_tool", "{\"name\":[\"reset\"],\"arguments\":{}}"),
    ]
    .into_iter()
    .enumerate()
    {
        played.call(index as u32, name, arguments);
    }
    played.end();
    let results = played.results();
    for (at, words) in [
        "no tool called \"doors\"",
        "no valid JSON",
        "no JSON object",
        "no tool called \"ghost\"",
        "does not call itself",
        "wants the name of a tool",
    ]
    .iter()
    .enumerate()
    {
        assert!(results[at].1 && results[at].0.contains(words), "{results:?}");
    }
    assert_eq!(played.asked(), [0, 0], "and it may try again");
    let [first, ..] = played.turn.before() else { panic!("nothing was kept") };
    let names: Vec<_> = first
        .message
        .parts
        .iter()
        .map(|part| if let Part::ToolCall(call) = part { &*call.name } else { panic!() })
        .collect();
    assert_eq!(
        names,
        ["doors", "lamp_set", "door", "call_tool", "call_tool", "call_tool"],
        "as every provider takes them back"
    );
}

#[test]
fn what_destroys_waits_for_a_word_and_the_clock_with_it() {
    let mut played = played(&[OPENAI]);
    played.wait(SECOND);
    played.call(0, "reset", "{}");
    played.call(1, "call_tool", "{\"name\":\"reset\",\"arguments\":{\"all\":true}}");
    played.call(2, "call_tool", "{\"name\":\"reset\",\"arguments\":\"{\\\"all\\\":false}\"}");
    played.end();
    let want = ["confirm 0 reset {}", "confirm 1 reset {\"all\":true}", "confirm 2 reset {\"all\":false}"];
    assert_eq!(played.deeds(), want, "also through another tool");
    played.wait(10 * SECOND);
    played.turn.handle_confirmed(0, played.now, Some(true));
    played.turn.handle_confirmed(1, played.now, Some(false));
    played.drain();
    assert_eq!(played.deeds()[3..], ["call 0 reset {}"]);
    played.called(0, "gone");
    played.wait(10 * SECOND);
    let words: Vec<String> = played.results().into_iter().map(|(words, _)| words).collect();
    assert_eq!(
        words,
        [
            "not made: the user said no. Do not try it again.",
            "gone",
            "not made: the user did not confirm it within 20 s."
        ]
    );
    // 20 seconds were a person's.
    assert_eq!(played.turn.ends_by - played.now, 59 * SECOND);
    played.turn.handle_confirmed(2, played.now, Some(true));
    played.drain();
    assert_eq!(played.deeds().len(), 4, "too late");

    let mut alone = Played::of(Plan { tools: Some(tools(false)), ..plan(&[OPENAI]) });
    alone.call(0, "reset", "{}");
    alone.end();
    assert!(alone.deeds().is_empty() && alone.results()[0].0.contains("nobody can be asked"), "{:?}", alone.results());
}

#[test]
fn rounds_are_bounded_and_the_last_word_is_words() {
    let mut played = played(&[OPENAI]);
    for round in 0..3u32 {
        assert!(!played.turn.wanted(0, played.now).expect("tools").in_words);
        played.call(0, "door", &format!("{{\"n\":{round}}}"));
        played.end();
        played.called(round, "ok");
    }
    assert!(played.turn.wanted(0, played.now).expect("they stay").in_words);
    played.say("Enough.");
    played.call(0, "door", "{}");
    played.end();
    let Some(News::Done(_)) = played.news().pop() else { panic!("{}", played.told()) };
    assert_eq!(played.deeds().len(), 3);
    assert_eq!(played.saved().last(), Some(&("Enough.".to_owned(), false)), "without the call that nobody answers");
}

#[test]
fn the_same_call_again_and_again_is_stopped() {
    let mut played = Played::of(Plan { tools: Some(ToolPlan { rounds_max: 12, ..tools(true) }), ..plan(&[OPENAI]) });
    for round in 0..3 {
        played.call(0, "door", [" {\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}", "{\"a\":2,  \"b\":1}"][round as usize]);
        played.end();
        played.called(round, "ok");
    }
    assert_eq!(played.deeds().len(), 2);
    assert!(played.results()[2].0.contains("this same call was made before"), "{:?}", played.results());
    assert!(played.turn.wanted(0, played.now).expect("tools").in_words, "it wants nothing else");
}

#[test]
fn no_more_run_at_once_than_there_is_room_for_and_each_has_a_deadline() {
    let mut played = played(&[OPENAI]);
    for index in 0..34 {
        played.call(index, "door", &format!("{{\"n\":{index}}}"));
    }
    played.end();
    assert_eq!((played.deeds().len(), played.results().len()), (8, 2), "{:?}", played.results());
    played.called(3, "ok");
    assert_eq!(played.deeds().last().map(String::as_str), Some("call 8 door {\"n\":8}"));

    let long = Plan { tools: Some(tools(true)), total: 2 * CALL_MAX, ..plan(&[OPENAI]) };
    let mut played = Played::of(long);
    played.call(0, "door", "{}");
    played.end();
    played.wait(CALL_MAX);
    assert_eq!(played.deeds(), ["call 0 door {}", "stop 0"]);
    assert!(played.results()[0].0.contains("took longer than 300 s"));
    assert_eq!(played.asked(), [0, 0], "a call that fails does not end the turn");
}

#[test]
fn a_stop_or_the_end_of_time_drops_the_calls_and_keeps_what_was_done() {
    let mut played = played(&[OPENAI]);
    played.call(0, "door", "{}");
    played.call(1, "lamp_set", "{}");
    played.end();
    played.called(1, "on");
    played.turn.handle_cancel(played.now);
    played.drain();
    assert_eq!(played.deeds().last().map(String::as_str), Some("stop"));
    assert_eq!(played.error().code, ErrorCode::Cancelled);
    let saved =
        played.steps.iter().find_map(|step| if let Step::Save(said) = step { Some(said.clone()) } else { None });
    let results: Vec<String> = saved.expect("kept")[1]
        .message
        .parts
        .iter()
        .map(|part| if let Part::ToolResult(one) = part { one.content.clone() } else { panic!() })
        .collect();
    assert_eq!(results, ["stopped by the user while it ran: it may or may not have been done.", "on"]);

    let mut late = self::played(&[OPENAI, LOCAL]);
    late.call(0, "door", "{}");
    late.end();
    late.wait(61 * SECOND);
    assert_eq!((late.error().code, late.asked().len()), (ErrorCode::Timeout, 1));
}

#[test]
fn after_a_tool_has_run_nobody_begins_anew() {
    let fails = |goes_on| {
        let mut played =
            Played::of(Plan { goes_on, tools: Some(tools(true)), hedge_after: Some(SECOND), ..plan(&[OPENAI, LOCAL]) });
        played.call(0, "door", "{}");
        played.end();
        played.called(0, "ok");
        played.wait(2 * SECOND);
        assert_eq!(played.asked(), [0, 0], "nobody is raced against it");
        played.fail(Failure::Failed);
        played
    };
    let alone = fails(false);
    assert_eq!((alone.error().code, alone.asked()), (ErrorCode::ProviderError, vec![0, 0]));
    let mut both = fails(true);
    assert_eq!(both.asked(), [0, 0, 1]);
    assert_eq!(both.turn.before().len(), 2, "the next one reads what was done");
    both.say("It is open.");
    both.end();
    let Some(News::Done(done)) = both.news().pop() else { panic!("{}", both.told()) };
    assert_eq!((done.messages, &*done.provider), (2, "local"));
    assert!(both.told().contains("local goes on where another one broke off"), "{}", both.told());
}

#[test]
fn a_budget_that_ends_between_rounds_ends_the_paid_part() {
    let spent = |names: &[ProviderName], goes_on| {
        let mut played = Played::of(Plan { goes_on, tools: Some(tools(true)), ..plan(names) });
        played.verdict = Verdict::OnlyLocal { why: "the day's budget is used up".into() };
        played.call(0, "door", "{}");
        played.end();
        played.called(0, "ok");
        played
    };
    assert_eq!(spent(&[OPENAI, LOCAL], false).error().code, ErrorCode::BudgetExhausted);
    assert_eq!(spent(&[OPENAI, LOCAL], true).asked(), [0, 1]);
    assert_eq!(spent(&[LOCAL], false).asked(), [0, 0]);
}

#[test]
fn a_provider_that_refuses_tools_is_asked_again_without_and_that_is_remembered() {
    let mut played = played(&[OPENAI]);
    let refuse = |played: &mut Played, message: &str| {
        let shown = Arc::new(["door", "lamp_set", "reset"].map(shown));
        played.turn.handle_offered(0, played.now, shown, Vec::new());
        played.fail_with(
            played.slot(),
            ProviderError { status: Some(400), ..ProviderError::new(Failure::Rejected, message) },
        );
    };
    refuse(&mut played, "Invalid schema for function 'door': no");
    let wanted = played.turn.wanted(0, played.now).expect("the others");
    assert!(wanted.standing.except.contains("door") && wanted.standing.amount == Amount::All);
    refuse(&mut played, "m does not support tools");
    assert_eq!(played.turn.wanted(0, played.now), None);
    assert_eq!(played.asked(), [0, 0, 0]);
    assert!(played.told().contains("openai (m) is asked without tools: m does not support tools"), "{}", played.told());
    refuse(&mut played, "m does not support tools");
    assert_eq!(played.error().code, ErrorCode::ProviderError, "once");
    let plan = Plan { health: played.turn.plan.health.clone(), tools: Some(tools(true)), ..plan(&[OPENAI]) };
    assert_eq!(Played::of(plan).turn.wanted(0, played.now), None);
}

#[test]
fn whoever_brought_a_conversation_along_sees_no_calls() {
    let mut played = Played::of(Plan { tools: Some(ToolPlan { visible: false, ..tools(true) }), ..plan(&[OPENAI]) });
    played.call(0, "door", "{}");
    played.end();
    played.called(0, "ok");
    played.say("Open.");
    played.end();
    assert!(
        !played.news().iter().any(|news| matches!(news, News::ToolCall(_) | News::ToolResult(_))),
        "{}",
        played.told()
    );
}
