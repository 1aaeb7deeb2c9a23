//! Data points as recorded, every conversion there and back, and bytes that are nothing.

use proptest::prelude::*;

use super::*;
use crate::zigbee::definitions::convert::tuya::next;
use crate::zigbee::zcl::Reader;

#[test]
fn values_of_all_types() {
    for (data_type, bytes, wire) in [
        (1, &[1][..], Wire::Bool(true)),
        (2, &[0, 0, 0, 0xd2], Wire::Number(210)),
        (2, &[0xff, 0xff, 0xff, 0xf6], Wire::Number(-10)),
        (3, b"on", Wire::Text("on".into())),
        (4, &[2], Wire::Enum(2)),
        (5, &[0, 0, 1, 4], Wire::Bitmap(260)),
        (0, &[1, 2], Wire::Raw(vec![1, 2])),
    ] {
        assert_eq!(Wire::decode(data_type, bytes), Some(wire.clone()));
        assert_eq!(wire.encode(), (data_type, bytes.to_vec()));
    }
    assert_eq!(Wire::decode(1, &[]), None);
    assert_eq!(Wire::decode(9, &[1]), None);
}

fn shown(own: &str, wire: &Wire) -> Json {
    let own = OWN.iter().find(|other| other.name == own).expect("it is in the list");
    match (own.from)(wire) {
        Some(Told::One(value)) => value,
        Some(Told::Many(values)) => values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        None => Json::Null,
    }
}

#[test]
fn conversions_with_names() {
    assert_eq!(shown("coverPosition", &Wire::Number(30)), serde_json::json!({ "position": 30, "state": "OPEN" }));
    assert_eq!(
        shown("coverPositionInverted", &Wire::Number(100)),
        serde_json::json!({ "position": 0, "state": "CLOSE" })
    );
    assert_eq!(shown("localTemperatureCalibration", &Wire::Number(4093)), serde_json::json!(-3));
    assert_eq!(shown("errorOrBatteryLow", &Wire::Bitmap(1)), serde_json::json!({ "error": 1, "battery_low": true }));
    let phase = Wire::Raw(vec![0x09, 0x1a, 0x00, 0x04, 0xd2, 0x00, 0x01, 0x1b]);
    let told = serde_json::json!({ "voltage": 233, "current": 1.234, "power": 283 });
    assert_eq!(shown("phaseVariant2", &phase), told);
    assert_eq!(shown("phaseVariant3", &phase), told);
    assert_eq!(shown("phaseVariant3", &Wire::Raw(vec![1, 2])), Json::Null);
    assert_eq!(shown("power", &Wire::Number(0x1999_9990)), serde_json::json!(-12));
}

#[test]
fn schedules_are_read_as_they_were_written() {
    for (name, text) in [
        ("thermostatScheduleDayMultiDP", "06:00/21.5 08:30/18.0 17:00/22.0 22:00/16.5"),
        ("thermostatScheduleDayMultiDP_TRV603WZ", "06:30/21.0 17:30/21.5"),
    ] {
        let own = OWN.iter().find(|own| own.name == name).expect("it is in the list");
        let wire = (own.to.expect("it can be set"))(&Json::from(text)).expect("a schedule");
        assert_eq!(shown(name, &wire), Json::from(text));
        for wrong in ["", "06:00", "06:00/21.5 x", "25:00/21", "06:00/99"] {
            assert_eq!(
                (own.to.expect("it can be set"))(&Json::from(wrong)).filter(|_| !wrong.is_empty()),
                None,
                "{wrong}"
            );
        }
    }
    assert_eq!(
        shown("circuitBreakerFaults", &Wire::Bitmap(0b1001)),
        serde_json::json!(["short_circuit", "leakage_current"])
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_none(data_type in any::<u8>(), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(wire) = Wire::decode(data_type, &bytes) {
            let _ = wire.to_json();
            for own in &OWN {
                let _ = (own.from)(&wire);
            }
        }
    }

    #[test]
    fn points_come_to_an_end(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut reader = Reader::new(&payload);
        let mut count = 0;
        while next(&mut reader).is_some() {
            count += 1;
        }
        prop_assert!(count <= payload.len() / 4);
    }
}
