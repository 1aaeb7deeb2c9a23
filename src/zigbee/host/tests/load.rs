//! Much at once: what the host bears without losing any of it, and a house of a hundred.

use std::time::Duration;

use super::*;

/// How often a device told something.
fn told(house: &House) -> usize {
    house.events.iter().filter(|event| matches!(event, Event::State { .. })).count()
}

#[test]
fn a_burst_of_a_thousand_reports_loses_none() {
    for generation in [Generation::V3x0, Generation::V30x] {
        let devices = models(&["plug", "unknown", "plug", "unknown"]);
        let mut house = House::settled(SimConfig { generation, devices, ..SimConfig::default() }, 11);
        house.run(Duration::from_secs(60));
        house.events.clear();
        assert_eq!(house.sim.order(house.now, "burst 1000").expect("an order"), "reports=1000");
        house.run(Duration::from_secs(2));
        assert_eq!(told(&house), 1000, "{generation:?}");
    }
}

#[test]
fn a_house_of_a_hundred_joins_chatters_and_obeys() {
    let devices = std::iter::repeat_n(Model::by_name("plug").expect("a model"), 100).collect();
    let mut house = House::settled(SimConfig { devices, ..SimConfig::default() }, 12);
    house.sim.order(house.now, "chatter 10").expect("an order");
    house.run(Duration::from_secs(10));
    house.events.clear();
    house.run(Duration::from_secs(100));
    // And what they were asked to report comes besides.
    assert!(told(&house) >= 1_000, "{} reports of 1,000", told(&house));
    for at in [1, 50, 100] {
        let name = if at == 1 { "plug".to_owned() } else { format!("plug{at}") };
        let (end, took) = house.set(&name, json!({"state": "ON"}));
        assert_eq!(end.expect("it is done")["state"], "ON");
        assert!(took < Duration::from_millis(30), "{took:?}");
        assert_eq!(house.sim.truth(&name, ON_OFF, 0), Some(1));
    }
    assert_eq!(house.sim.violations(), 0);
}
