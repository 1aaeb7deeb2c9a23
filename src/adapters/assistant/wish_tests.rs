//! What is wanted, by example.

use proptest::prelude::*;
use serde_json::json;

use super::super::house::testing::house;
use super::*;

/// `name, name: {set}` for each order; or what is said or asked.
fn wanted(text: &str) -> String {
    let house = house();
    let names =
        |devices: &[usize]| devices.iter().map(|at| house.devices[*at].name.as_str()).collect::<Vec<_>>().join(", ");
    match wish(&Heard::new(text), &house) {
        Wish::Set(orders) => {
            let orders = orders.iter().map(|order| format!("{}: {}", names(&order.devices), json!(order.set)));
            orders.collect::<Vec<_>>().join("; ")
        }
        Wish::Tell(Question::State(devices)) => format!("state of {}", names(&devices)),
        Wish::Tell(Question::Measured { devices, measure }) => format!("{} of {}", measure.word, names(&devices)),
        Wish::Tell(Question::Which { devices, state }) => format!("which is {state} of {}", names(&devices)),
        Wish::Tell(Question::Devices) => "devices".into(),
        Wish::Unclear(why) => format!("? {why}"),
        Wish::Other => "-".into(),
    }
}

#[test]
fn commands() {
    const LIGHTS: &str = "Kitchen lamp, Worktop, Lamp, Leseecke Lampe";
    for (said, want) in [
        ("Turn on the kitchen lamp", r#"Kitchen lamp: {"state":"ON"}"#.to_owned()),
        ("turn the kitchen lamp off, please", r#"Kitchen lamp: {"state":"OFF"}"#.into()),
        ("Could you switch on the kettle?", r#"Kettle plug: {"state":"ON"}"#.into()),
        ("kitchen lamp on", r#"Kitchen lamp: {"state":"ON"}"#.into()),
        ("turn on the boiler", r#"Kettle plug: {"state":"ON"}"#.into()),
        ("turn on the kitchen lamp and the worktop", r#"Kitchen lamp, Worktop: {"state":"ON"}"#.into()),
        (
            "turn on the kitchen lamp and close the blinds",
            r#"Kitchen lamp: {"state":"ON"}; Blinds: {"state":"CLOSE"}"#.into(),
        ),
        ("turn off all the lights in the kitchen", r#"Kitchen lamp, Worktop: {"state":"OFF"}"#.into()),
        ("kitchen lights off", r#"Kitchen lamp, Worktop: {"state":"OFF"}"#.into()),
        ("lights off in the kitchen", r#"Kitchen lamp, Worktop: {"state":"OFF"}"#.into()),
        ("turn off all lights", format!(r#"{LIGHTS}: {{"state":"OFF"}}"#)),
        ("turn off all the lights except the worktop", r#"Kitchen lamp, Lamp, Leseecke Lampe: {"state":"OFF"}"#.into()),
        ("turn everything off in the kitchen", r#"Kitchen lamp, Worktop, Kettle plug: {"state":"OFF"}"#.into()),
        ("turn off everything in the kitchen but the kettle", r#"Kitchen lamp, Worktop: {"state":"OFF"}"#.into()),
        ("dim the kitchen lamp to 20%", r#"Kitchen lamp: {"brightness":51}"#.into()),
        ("set the worktop to 100 percent", r#"Worktop: {"brightness":254}"#.into()),
        ("set the kitchen lamp to 0 percent", r#"Kitchen lamp: {"state":"OFF"}"#.into()),
        ("set the brightness of the kitchen lamp to 50", r#"Kitchen lamp: {"brightness":127}"#.into()),
        ("dim the kitchen lamp", r#"Kitchen lamp: {"brightness":51}"#.into()),
        ("brighten the kitchen lamp", r#"Kitchen lamp: {"brightness":203}"#.into()),
        ("open the blinds", r#"Blinds: {"state":"OPEN"}"#.into()),
        ("set the blinds to 40 percent", r#"Blinds: {"position":40}"#.into()),
        ("set the radiator to 21.5 degrees", r#"Radiator: {"occupied_heating_setpoint":21.5}"#.into()),
        ("set the heating to 20 degrees", r#"Radiator: {"occupied_heating_setpoint":20.0}"#.into()),
        ("toggle the worktop", r#"Worktop: {"state":"TOGGLE"}"#.into()),
        ("turn on the light in the living room", r#"Lamp: {"state":"ON"}"#.into()),
        ("turn off the living room", r#"Lamp: {"state":"OFF"}"#.into()),
        ("turn off all lights except the kitchen", r#"Lamp, Leseecke Lampe: {"state":"OFF"}"#.into()),
        (
            "turn off everything in the kitchen except the kitchen lamp",
            r#"Worktop, Kettle plug: {"state":"OFF"}"#.into(),
        ),
        ("turn off all lights but not those in the kitchen", r#"Lamp, Leseecke Lampe: {"state":"OFF"}"#.into()),
        ("turn on the kitchen lamp at once, if you please", r#"Kitchen lamp: {"state":"ON"}"#.into()),
        ("I want the kitchen lamp off", r#"Kitchen lamp: {"state":"OFF"}"#.into()),
    ] {
        assert_eq!(wanted(said), want, "{said}");
    }
}

#[test]
fn questions() {
    for (said, want) in [
        ("What's the temperature in the bedroom?", "temperature of Climate, Radiator"),
        ("how warm is it", "temperature of Climate, Radiator"),
        ("how humid is the climate sensor", "humidity of Climate"),
        ("is the kitchen lamp on?", "state of Kitchen lamp"),
        ("Is the front door open?", "state of Front door"),
        ("which lights are on in the kitchen?", "which is on of Kitchen lamp, Worktop"),
        ("are any windows open", "which is open of Front door"),
        ("how much power does the kettle use", "power of Kettle plug"),
        ("what devices are there?", "devices"),
    ] {
        assert_eq!(wanted(said), want, "{said}");
    }
}

#[test]
fn what_is_not_sure_is_asked_and_nothing_is_done() {
    for said in [
        "turn on the light",
        "turn on the pool pump",
        "turn on the light in the kitchen",
        "lock the front door",
        "open the kitchen lamp",
        "set the kitchen lamp to 150 percent",
        "set the kettle to 30 percent",
        "turn off the fan",
        "what is the temperature in the hall",
        "dim the lamp",
        "unlock the door",
        // A place or a limit that the house does not know: without it too much would be done.
        "turn off all lights in the garage",
        "turn off everything upstairs",
        "turn off all lights except the aquarium",
        "turn off all the lights in the kitchen and the cellar",
        "turn off all other lights",
        "open the garage door",
        // Another time than now, and the opposite.
        "turn off the kitchen lamp in ten minutes",
        "turn on the kitchen lamp at 7",
        "turn off the kitchen lamp when nobody is there",
        "turn on the kitchen lamp, not the worktop",
    ] {
        let wanted = wanted(said);
        assert!(wanted.starts_with("? "), "{said}: {wanted}");
        assert!(said.starts_with("what") || wanted.contains("othing was done"), "{said}: {wanted}");
    }
    let empty = House::default();
    let Wish::Unclear(why) = wish(&Heard::new("turn on the lamp"), &empty) else { panic!("nobody is there") };
    assert!(why.contains("no light"), "{why}");
}

#[test]
fn what_is_no_command_is_not_done() {
    for said in [
        "turn the kitchen lamp on and off",
        "why is the kitchen lamp on",
        "who turned the kitchen lamp off",
        "don't turn the kitchen lamp on",
        "never switch the kitchen lamp off",
        "the kitchen lamp is still on",
        "should I leave the kitchen lamp on",
        "when did the kitchen lamp go off",
    ] {
        assert_eq!(wanted(said), "-", "{said}");
    }
}

#[test]
fn a_number_in_a_name_is_no_value() {
    let house: House =
        serde_json::from_value(json!({"devices": [{"id": "0x1", "name": "Lamp 2", "domains": ["light"]}]}))
            .expect("a house");
    let level = |said: &str| match wish(&Heard::new(said), &house) {
        Wish::Set(orders) => orders[0].set.get("brightness").cloned(),
        _ => None,
    };
    assert_eq!(level("set lamp 2 to 50 percent"), Some(json!(127)));
    assert_eq!(level("set lamp 2 to half"), None, "it does not know how much that is");
}

#[test]
fn what_sounds_like_the_house() {
    for said in [
        "turn on X",
        "kitchen lamp off please",
        "how warm is it",
        "is the lamp on",
        "which lights are on",
        "lights on",
        "list my devices",
    ] {
        assert!(may_be_about_the_house(&Heard::new(said)), "{said}");
    }
    for said in [
        "Tell me a joke",
        "Write a poem about a lamp",
        "What is a light year?",
        "hello world programs in Rust and in C",
        "explain thanksgiving to a child from France",
        "what time is it",
        "How do sometimes times tables help children?",
    ] {
        assert!(!may_be_about_the_house(&Heard::new(said)), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]
    #[test]
    fn whatever_is_said_nobody_falls_over(said in proptest::collection::vec(prop_oneof![
        proptest::sample::select(&["turn", "on", "off", "all", "lights", "kitchen", "lamp", "except", "and", "to", "30", "percent", "is", "open", "the", "blinds"][..]).prop_map(str::to_owned),
        ".{0,8}",
    ], 0..12)) {
        let house = house();
        if let Wish::Set(orders) = wish(&Heard::new(&said.join(" ")), &house) {
            prop_assert!(orders.iter().all(|order| !order.devices.is_empty() && !order.set.is_empty()));
        }
    }
}
