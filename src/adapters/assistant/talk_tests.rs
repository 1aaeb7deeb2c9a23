//! Whole turns about the house, with the answers of a house that obeys, refuses or is not there.

use serde_json::json;

use super::*;
use crate::common::chat::ToolCall;

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

/// The calls of one round and their results, as the router writes them.
fn round(calls: &[(&str, &str, bool)]) -> [Message; 2] {
    let id = |at: usize| format!("a{at}");
    let call = |(at, (name, ..)): (usize, &(&str, &str, bool))| {
        Part::ToolCall(ToolCall { id: id(at), name: (*name).into(), arguments: "{}".into() })
    };
    let result = |(at, (name, content, is_error)): (usize, &(&str, &str, bool))| {
        Part::ToolResult(ToolResult {
            call_id: id(at),
            name: (*name).into(),
            content: (*content).into(),
            is_error: *is_error,
        })
    };
    [
        Message { role: Role::Assistant, parts: calls.iter().enumerate().map(call).collect() },
        Message { role: Role::Tool, parts: calls.iter().enumerate().map(result).collect() },
    ]
}

fn devices() -> String {
    json!({"devices": [
        {"id": "0x1", "name": "Kitchen lamp", "room": "Kitchen", "domains": ["light"], "available": true, "state": {"state": "OFF"}},
        {"id": "0x2", "name": "Worktop", "room": "Kitchen", "domains": ["light"], "available": true, "state": {"state": "ON", "brightness": 127}},
        {"id": "0x5", "name": "Climate", "room": "Bedroom", "domains": ["sensor"], "available": false, "state": {"temperature": 21.449}},
    ]})
    .to_string()
}

fn after(text: &str, rounds: &[&[(&str, &str, bool)]]) -> Next {
    let mut messages = vec![user("turn on everything"), Message::new(Role::Assistant, "No."), user(text)];
    messages.extend(rounds.iter().flat_map(|calls| round(calls)));
    next(&messages)
}

fn say(text: &str) -> Next {
    Next::Say(text.into())
}

#[test]
fn a_lamp_is_switched_by_asking_who_is_there_and_then_setting_it() {
    let text = "turn on the kitchen lamp";
    let Next::Call(calls) = after(text, &[]) else { panic!("it asks who is there") };
    let asked = json!([[LIST, {"limit": PAGE_LEN}], [ROOMS, {"limit": NAMED_LEN}], [GROUPS, {"limit": NAMED_LEN}]]);
    assert_eq!(json!(calls), asked);
    let list = devices();
    let listed: &[(&str, &str, bool)] = &[(LIST, &list, false)];
    let Next::Call(calls) = after(text, &[listed]) else { panic!("it sets the lamp") };
    assert_eq!(json!(calls), json!([[SET, {"targets": ["0x1"], "set": {"state": "ON"}}]]));
    let done =
        json!({"results": [{"id": "0x1", "name": "Kitchen lamp", "ok": true, "state": {"state": "ON"}, "ms": 7}]})
            .to_string();
    assert_eq!(after(text, &[listed, &[(SET, &done, false)]]), say("Kitchen lamp is on."));
}

#[test]
fn it_is_what_was_named_before() {
    let list = devices();
    let set = |before: &str, text: &str| {
        let mut messages = vec![user(before), Message::new(Role::Assistant, "Yes."), user(text)];
        messages.extend(round(&[(LIST, &list, false)]));
        next(&messages)
    };
    let Next::Call(calls) = set("is the worktop on?", "turn it off") else { panic!("it sets it") };
    assert_eq!(json!(calls), json!([[SET, {"targets": ["0x2"], "set": {"state": "OFF"}}]]));
    assert_eq!(set("turn on the worktop", "is it on?"), say("Worktop is on and at 50 %."));
    for (before, text) in [("tell me a joke", "turn it off"), ("turn on the worktop", "make it warmer")] {
        let Next::Say(said) = set(before, text) else { panic!("{text} after {before}: nothing is sure") };
        assert!(said.contains("nothing was done"), "{said}");
    }
}

#[test]
fn groups_and_other_words_for_rooms_are_known() {
    let list = devices();
    let rooms = json!({"rooms": [{"id": "r1", "name": "Kitchen", "aliases": ["galley"], "devices": 2}, {"id": "r2", "name": "Cellar", "devices": 0}]})
        .to_string();
    let groups = json!({"groups": [{"id": "g1", "name": "Cooking lights", "members": [{"id": "0x2"}, {"id": "0x1"}]}]})
        .to_string();
    let listed: &[(&str, &str, bool)] = &[(LIST, &list, false), (ROOMS, &rooms, false), (GROUPS, &groups, false)];
    for text in ["turn off the cooking lights", "turn off all lights in the galley"] {
        let Next::Call(calls) = after(text, &[listed]) else { panic!("{text}") };
        assert_eq!(json!(calls), json!([[SET, {"targets": ["0x1", "0x2"], "set": {"state": "OFF"}}]]), "{text}");
    }
    let Next::Say(said) = after("turn off the lights in the cellar", &[listed]) else { panic!("nothing is there") };
    assert_eq!(said, "I cannot do that: there is no light in Cellar, so nothing was done.");
    // Who may not see them is served without.
    let refused: &[(&str, &str, bool)] =
        &[(LIST, &list, false), (ROOMS, "no", true), (GROUPS, "{\"groups\": [{", false)];
    let Next::Call(calls) = after("turn off the worktop", &[refused]) else { panic!("it does it") };
    assert_eq!(json!(calls), json!([[SET, {"targets": ["0x2"], "set": {"state": "OFF"}}]]));
}

#[test]
fn what_was_not_confirmed_is_not_claimed() {
    let text = "turn off all lights in the kitchen";
    let list = devices();
    let listed: &[(&str, &str, bool)] = &[(LIST, &list, false)];
    let half = json!({"results": [
        {"id": "0x1", "ok": true, "state": {"state": "OFF"}},
        {"id": "0x2", "ok": false, "error": {"code": "device_unreachable", "message": "Worktop does not answer: is it plugged in?"}},
    ]})
    .to_string();
    let told = after(text, &[listed, &[(SET, &half, false)]]);
    assert_eq!(told, say("Kitchen lamp is off. Worktop did not do it: Worktop does not answer: is it plugged in?"));
    let told = after(text, &[listed, &[(SET, "The radio is down.", true)]]);
    assert_eq!(told, say("That did not work: The radio is down."));
    let told = after(text, &[listed, &[(SET, "{\"results\": [{\"id\"", false)]]);
    assert_eq!(told, say("I could not read what came of it: look at the device itself."));
    let odd = json!({"results": [{"id": "0x1", "ok": false}]}).to_string();
    assert_eq!(after(text, &[listed, &[(SET, &odd, false)]]), say("Kitchen lamp did not do it: it does not say why."));
    let begun =
        json!({"results": [{"id": "0x1", "ok": true, "state": {"state": "OFF"}, "taken": ["state"]}]}).to_string();
    let told = after(text, &[listed, &[(SET, &begun, false)]]);
    assert_eq!(told, say("Kitchen lamp took it, and has not said yet that it is done."));
}

#[test]
fn questions_are_answered_from_the_list() {
    let list = devices();
    let listed: &[(&str, &str, bool)] = &[(LIST, &list, false)];
    for (text, want) in [
        (
            "how warm is it?",
            "The temperature: Climate (Bedroom): 21.4 °C, when it was last heard of: it cannot be reached now.",
        ),
        ("is the worktop on?", "Worktop is on and at 50 %."),
        ("which lights are on?", "Worktop is on."),
        ("are any lights off in the kitchen?", "Kitchen lamp is off."),
        ("are all lights on?", "No: Kitchen lamp is off."),
        ("are all lights off in the kitchen?", "No: Worktop is on."),
        ("is every light in the kitchen on or is it not", "No: Kitchen lamp is off."),
        ("which rooms are there?", "There are devices in Bedroom and Kitchen."),
        ("which devices are in the bedroom?", "There is one device: Climate."),
        ("is the climate on?", "Climate is at 21.4 °C, when it was last heard of: it cannot be reached now."),
        ("what devices are there?", "There are 3 devices: Kitchen lamp, Worktop and Climate."),
    ] {
        assert_eq!(after(text, &[listed]), say(want), "{text}");
    }
}

#[test]
fn what_was_not_told_yet_is_not_said_to_be_told_by_nobody() {
    let list = json!({"devices": [
        {"id": "0x5", "name": "Climate", "room": "Bedroom", "domains": ["sensor"], "untold": ["temperature", "contact"]},
    ]})
    .to_string();
    let listed: &[(&str, &str, bool)] = &[(LIST, &list, false)];
    for (text, want) in [
        ("how warm is it in the bedroom?", "The temperature: Climate (Bedroom): not told yet."),
        ("how humid is it in the bedroom?", "I do not know: nothing in Bedroom tells the humidity."),
        ("which windows are open?", "Climate has not told how it is."),
    ] {
        assert_eq!(after(text, &[listed]), say(want), "{text}");
    }
}

#[test]
fn air_pressure_is_told_in_the_unit_that_it_is_in() {
    let list = json!({"devices": [
        {"id": "0x5", "name": "Barometer", "domains": ["sensor"], "state": {"pressure": 1013.2}},
        {"id": "0x6", "name": "Stranger", "domains": ["sensor"], "state": {"pressure": 101.3}},
    ]})
    .to_string();
    let told = after("what is the air pressure?", &[&[(LIST, &list, false)]]);
    assert_eq!(told, say("The air pressure: Barometer: 1013.2 hPa, Stranger: 101.3 kPa."));
}

#[test]
fn a_house_of_many_pages_is_read_whole() {
    let page = |name: &str, cursor: Option<&str>| {
        json!({"devices": [{"id": name, "name": name, "domains": ["light"]}], "next_cursor": cursor}).to_string()
    };
    let (first, second) = (page("One", Some("c")), page("Two", None));
    let text = "turn on two";
    let Next::Call(calls) = after(text, &[&[(LIST, &first, false)]]) else { panic!("it reads on") };
    assert_eq!(json!(calls), json!([[LIST, {"limit": PAGE_LEN, "cursor": "c"}]]));
    let Next::Call(calls) = after(text, &[&[(LIST, &first, false)], &[(LIST, &second, false)]]) else {
        panic!("it sets it")
    };
    assert_eq!(json!(calls), json!([[SET, {"targets": ["Two"], "set": {"state": "ON"}}]]));
}

#[test]
fn a_list_that_cannot_be_had_is_said() {
    let refused: &[(&str, &str, bool)] = &[(LIST, "guests may not.", true)];
    let Next::Say(said) = after("turn on the lamp", &[refused]) else { panic!("it says so") };
    assert!(said.contains("nothing was done") && said.contains("guests may not."), "{said}");
    let cut: &[(&str, &str, bool)] = &[(LIST, "{\"devices\": [{\"id\":", false)];
    let Next::Say(said) = after("turn on the lamp", &[cut]) else { panic!("it says so") };
    assert!(said.contains("nothing was done"), "{said}");
}

#[test]
fn small_talk_is_none_of_its_business() {
    assert_eq!(after("Tell me a joke", &[]), Next::Nothing);
    assert_eq!(next(&[]), Next::Nothing);
}

#[test]
fn a_device_gets_its_name_and_its_room_by_the_tool_for_it() {
    let list = devices();
    let listed: &[(&str, &str, bool)] = &[(LIST, &list, false)];
    let called = |text: &str| match after(text, &[listed]) {
        Next::Call(calls) => json!(calls),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(
        called("rename the worktop to Spice shelf"),
        json!([[RENAME, {"device": "0x2", "name": "Spice shelf"}]])
    );
    assert_eq!(called("put the worktop into the bedroom"), json!([[RENAME, {"device": "0x2", "room": "Bedroom"}]]));
    assert_eq!(called("make a room called Attic"), json!([[ROOM, {"room": "Attic"}]]));
    let told = json!({"id": "0x2", "name": "Spice shelf", "room": "Kitchen"}).to_string();
    let done = |text: &str, tool: &'static str, answer: &str, is_error: bool| {
        after(text, &[listed, &[(tool, answer, is_error)]])
    };
    assert_eq!(done("rename the worktop to Spice shelf", RENAME, &told, false), say("It is called Spice shelf now."));
    assert_eq!(done("put the worktop into the kitchen", RENAME, &told, false), say("Spice shelf is in Kitchen now."));
    let room = json!({"id": "attic", "name": "Attic"}).to_string();
    assert_eq!(done("make a room called Attic", ROOM, &room, false), say("There is a room called Attic now."));
    let refused = done("rename the worktop to x", RENAME, "forbidden", true);
    assert_eq!(refused, say("That did not work: forbidden"));
}
