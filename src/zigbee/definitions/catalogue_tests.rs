//! Devices as they are in houses: found, heard, set. The bytes are those that devices send and take.

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::zigbee::definitions::{Body, Command, Decoded, Expect, Heard, Memory, Plan, Refusal, Setup, What};
use crate::zigbee::types::{AttributeId, Endpoint, GroupId, Ieee, MakerCode, ProfileId};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::frame::{Direction, Header};
use crate::zigbee::zcl::value::{Typed, Value};
use crate::zigbee::zdo::SimpleDescriptor;

fn identity(model: &str, maker: &str, endpoints: &[(u8, &[u16], &[u16])]) -> Identity {
    let clusters = |ids: &[u16]| ids.iter().copied().map(ClusterId).collect();
    let descriptor = |(endpoint, inputs, outputs): &(u8, &[u16], &[u16])| SimpleDescriptor {
        endpoint: Endpoint(*endpoint),
        profile: ProfileId::HOME_AUTOMATION,
        device: 0x0051,
        version: 1,
        inputs: clusters(inputs),
        outputs: clusters(outputs),
    };
    Identity {
        ieee: Ieee(1),
        logical_type: Some(LogicalType::Router),
        maker: None,
        endpoints: endpoints.iter().map(descriptor).collect(),
        model_id: (!model.is_empty()).then(|| model.into()),
        maker_name: Some(maker.into()),
        power_source: None,
        software_build: None,
        date_code: None,
        zcl_version: None,
        app_version: None,
        stack_version: None,
        hardware_version: None,
    }
}

/// A device with what it remembers.
struct Device {
    identity: Identity,
    definition: Arc<dyn Definition>,
    memory: Memory,
}

impl Device {
    fn new(identity: Identity) -> Device {
        let definition = Catalogue::new().find(&identity);
        Device { identity, definition, memory: Memory::default() }
    }

    fn hears(&mut self, endpoint: u8, cluster: u16, what: What<'_>) -> Decoded {
        let (endpoint, cluster) = (Endpoint(endpoint), ClusterId(cluster));
        let heard = Heard { endpoint, cluster, group: None, lqi: 100, what, utc_s: 1_790_000_000, utc_offset_s: 3600 };
        let decoded = self.definition.decode(&self.identity, &heard, &mut self.memory);
        self.memory.state.extend(decoded.changes.clone());
        decoded
    }

    fn told(&mut self, endpoint: u8, cluster: u16, attributes: &[(u16, DataType, Value)]) -> Json {
        let typed = |(id, data_type, value): &(u16, DataType, Value)| {
            (AttributeId(*id), Typed { data_type: *data_type, value: value.clone() })
        };
        let attributes: Vec<_> = attributes.iter().map(typed).collect();
        self.hears(endpoint, cluster, What::Attributes { maker: None, attributes: &attributes }).changes.into()
    }

    fn sent(&mut self, endpoint: u8, cluster: u16, direction: Direction, seq: u8, id: u8, payload: &[u8]) -> Decoded {
        let header = Header::cluster(seq, direction, id);
        self.hears(endpoint, cluster, What::Command { header: &header, payload })
    }

    fn set(&self, set: Json) -> Result<Plan, Refusal> {
        let set: Map<String, Json> = serde_json::from_value(set).expect("an object");
        self.definition.encode(&self.identity, &set, &self.memory)
    }

    /// Commands as endpoint, cluster, number and payload.
    fn commands(&self, set: Json) -> Vec<(u8, u16, u8, Vec<u8>)> {
        let plan = self.set(set).expect("it can be set");
        plan.commands.iter().map(command).collect()
    }
}

fn command(command: &Command) -> (u8, u16, u8, Vec<u8>) {
    let (endpoint, cluster) = (command.endpoint.0, command.cluster.0);
    match &command.body {
        Body::Cluster { command, payload } | Body::ToClient { command, payload } => {
            (endpoint, cluster, *command, payload.clone())
        }
        Body::Write { attributes } => {
            let mut bytes = Vec::new();
            for (id, value) in attributes {
                bytes.extend_from_slice(&id.0.to_le_bytes());
                value.encode(&mut bytes).expect("it goes out");
            }
            (endpoint, cluster, 0x02, bytes)
        }
    }
}

fn expected(plan: &Plan) -> Json {
    let of = |expect: &Expect| match expect {
        Expect::Value { value, .. } | Expect::Taken { value } | Expect::Begun { value } => value.clone(),
        Expect::Any => json!("any"),
    };
    plan.expect.iter().map(|one| (one.property.to_string(), of(&one.value))).collect::<Map<_, _>>().into()
}

const LAMP: &[u16] = &[0, 3, 4, 5, 6, 8];

#[test]
fn a_lamp_takes_one_command_where_one_is_enough() {
    let lamp = Device::new(identity("TRADFRI bulb E27 W opal 1000lm", "IKEA of Sweden", &[(1, LAMP, &[])]));
    assert_eq!((lamp.definition.model(), lamp.definition.vendor()), (Some("LED1623G12"), Some("IKEA")));
    assert!(lamp.definition.is_supported());
    let plan = lamp.set(json!({ "state": "ON", "brightness": 100, "transition": 2 })).expect("it can be set");
    assert_eq!(plan.commands.iter().map(command).collect::<Vec<_>>(), [(1, 8, 0x04, vec![100, 20, 0])]);
    assert_eq!(expected(&plan), json!({ "state": "ON", "brightness": 100 }));
    assert_eq!(plan.lasts.as_millis(), 2000);
    assert_eq!(lamp.commands(json!({ "state": "off" })), [(1, 6, 0x00, vec![])]);
    assert_eq!(lamp.commands(json!({ "state": "TOGGLE" })), [(1, 6, 0x02, vec![])]);
    assert_eq!(lamp.commands(json!({ "state": "OFF", "transition": 1 })), [(1, 8, 0x04, vec![0, 10, 0])]);
    assert_eq!(lamp.commands(json!({ "brightness": 0 })), [(1, 8, 0x04, vec![0, 0, 0])]);
    assert_eq!(lamp.commands(json!({ "brightness_step": -40 })), [(1, 8, 0x02, vec![1, 40, 0, 0])]);
    assert_eq!(lamp.commands(json!({ "power_on_behavior": "previous" })), [(1, 6, 0x02, vec![0x03, 0x40, 0x30, 0xff])]);
    assert_eq!(lamp.set(json!({ "colour": 1 })), Err(Refusal::Unknown("colour".into())));
    assert!(matches!(lamp.set(json!({ "brightness": 300 })), Err(Refusal::Value { .. })));
}

#[test]
fn a_colour_lamp() {
    let mut lamp =
        Device::new(identity("LCT015", "Signify Netherlands B.V.", &[(11, &[0, 3, 4, 5, 6, 8, 0x300, 0xfc03], &[])]));
    assert_eq!(lamp.definition.vendor(), Some("Philips"));
    let plan = lamp.set(json!({ "color": { "x": 0.7, "y": 0.3 } })).expect("it can be set");
    assert_eq!(
        plan.commands.iter().map(command).collect::<Vec<_>>(),
        [(11, 0x300, 0x07, vec![0x33, 0xb3, 0xcd, 0x4c, 0, 0])]
    );
    assert_eq!(lamp.commands(json!({ "color_temp": 370, "transition": 1 })), [(11, 0x300, 0x0a, vec![0x72, 1, 10, 0])]);
    assert_eq!(lamp.commands(json!({ "effect": "candle" })), [(11, 0xfc03, 0, vec![0x21, 0, 1, 1])]);
    assert_eq!(lamp.commands(json!({ "effect": "blink" })), [(11, 3, 0x40, vec![0, 0])]);
    let both = lamp.commands(json!({ "state": "ON", "brightness": 254, "color_temp": "coolest" }));
    assert_eq!(both.iter().map(|(_, cluster, id, _)| (*cluster, *id)).collect::<Vec<_>>(), [(8, 4), (0x300, 0x0a)]);
    let told = lamp.told(
        11,
        0x300,
        &[(3, DataType::U16, 45_875u16.into()), (4, DataType::U16, 19_661u16.into()), (8, DataType::Enum8, 1u8.into())],
    );
    assert_eq!(told, json!({ "color": { "x": 0.7, "y": 0.3 }, "color_mode": "xy" }));
}

/// It has red, green and blue, and answers `moveToColorTemp` with a refusal.
#[test]
fn a_lamp_without_white_is_told_a_temperature_as_a_colour() {
    for model in ["TRADFRI bulb E27 CWS opal 600lm", "TRADFRI bulb GU10 CWS 380lm", "TRADFRI bulb GU10 CWS 345lm"] {
        let lamp = Device::new(identity(model, "IKEA of Sweden", &[(1, &[0, 3, 4, 5, 6, 8, 0x300], &[])]));
        let (x, y) = (0.4599 * 65_535.0, 0.4106 * 65_535.0);
        let commands = lamp.commands(json!({ "color_temp": 370 }));
        let [(1, 0x0300, 0x07, payload)] = &commands[..] else { panic!("{model}: {commands:?}") };
        let part = |at: usize| f64::from(u16::from_le_bytes([payload[at], payload[at + 1]]));
        assert!((part(0) - x).abs() < 70.0 && (part(2) - y).abs() < 70.0, "{model}: {} {}", part(0), part(2));
        let plan = lamp.set(json!({ "color_temp": 370 })).expect("it can be set");
        assert_eq!(expected(&plan)["color_temp"], 370, "{model}");
    }
}

/// In Zigbee2MQTT's unit of such.
#[test]
fn the_pressure_of_whoever_nobody_knows_is_told_in_kilopascals() {
    let mut stranger = Device::new(identity("odd", "nobody", &[(1, &[0, 0x403], &[])]));
    let told = stranger.told(1, 0x0403, &[(0, DataType::I16, Value::Signed(1013))]);
    assert_eq!(told["pressure"], 101.3);
    let capabilities = stranger.definition.capabilities(&stranger.identity);
    let pressure = capabilities.iter().find(|one| &*one.property == "pressure").expect("it has one");
    assert_eq!(pressure.unit.as_deref(), Some("kPa"));
}

#[test]
fn a_sensor_tells_in_units() {
    let mut sensor = Device::new(identity("lumi.weather", "LUMI", &[(1, &[0, 3, 0x402, 0x403, 0x405], &[])]));
    assert_eq!(sensor.definition.model(), Some("WSDCGQ11LM"));
    assert_eq!(sensor.told(1, 0x402, &[(0, DataType::I16, (-163i16).into())]), json!({ "temperature": -1.63 }));
    assert_eq!(sensor.told(1, 0x402, &[(0, DataType::I16, i16::MIN.into())]), json!({}));
    assert_eq!(sensor.told(1, 0x405, &[(0, DataType::U16, 4757u16.into())]), json!({ "humidity": 47.57 }));
    let own = [0x01, 0x21, 0xbd, 0x0b, 0x64, 0x29, 0x18, 0x0a, 0x65, 0x21, 0x95, 0x12];
    let told = sensor.told(1, 0, &[(0xff01, DataType::CharString, own.as_slice().into())]);
    assert_eq!(told["temperature"], json!(25.84));
    assert_eq!((&told["battery"], &told["voltage"]), (&json!(100), &json!(3005)));
}

#[test]
fn a_plug_counts_with_its_own_divisors() {
    let clusters = &[0, 3, 4, 5, 6, 0x702, 0xb04, 0xe000, 0xe001];
    let mut plug = Device::new(identity("TS011F", "_TZ3000_okaz9tjs", &[(1, clusters, &[])]));
    assert_eq!(
        (plug.definition.model(), plug.definition.vendor()),
        (Some("LSPA9"), Some("Elivco")),
        "another sells it"
    );
    assert_eq!(plug.told(1, 6, &[(0, DataType::Bool, true.into())]), json!({ "state": "ON" }));
    assert_eq!(plug.told(1, 0xb04, &[(0x505, DataType::U16, 231u16.into())])["voltage"], json!(231));
    assert_eq!(plug.told(1, 0xb04, &[(0x508, DataType::U16, 500u16.into())])["current"], json!(0.5));
    assert_eq!(plug.told(1, 0x702, &[(0, DataType::U48, 1234u16.into())])["energy"], json!(12.34));
    let mut other = Device::new(identity("X-1", "Nobody", &[(1, &[0, 3, 6, 0x702, 0xb04], &[])]));
    // This one tells its multiplier and divisor when it is asked.
    other.told(1, 0xb04, &[(0x604, DataType::U16, 1u16.into()), (0x605, DataType::U16, 10u16.into())]);
    assert_eq!(other.told(1, 0xb04, &[(0x50b, DataType::I16, 1234i16.into())])["power"], json!(123.4));
}

#[test]
fn a_contact_is_closed_when_there_is_no_alarm() {
    let mut contact = Device::new(identity("DS01", "eWeLink", &[(1, &[0, 1, 3, 0x20, 0x500], &[])]));
    let told = contact.sent(1, 0x500, Direction::ToClient, 1, 0, &[0x01, 0, 0, 0, 0, 0]);
    assert_eq!(told.changes["contact"], json!(false));
    let told = contact.sent(1, 0x500, Direction::ToClient, 2, 0, &[0x0c, 0, 0, 0, 0, 0]);
    assert_eq!((&told.changes["contact"], &told.changes["battery_low"]), (&json!(true), &json!(true)));
    let told = contact.told(1, 1, &[(0x21, DataType::U8, 175u8.into())]);
    assert_eq!(told, json!({ "battery": 87.5 }));
}

#[test]
fn a_bit_is_read_whatever_the_others_are() {
    let mut sensor = Device::new(identity("X-2", "Nobody", &[(1, &[0, 0x406], &[])]));
    for (raw, occupied) in [(0u8, false), (1, true), (2, false), (3, true)] {
        assert_eq!(sensor.told(1, 0x406, &[(0, DataType::Bitmap8, raw.into())]), json!({ "occupancy": occupied }));
    }
}

#[test]
fn a_remote_presses_once() {
    let mut remote =
        Device::new(identity("RODRET Dimmer", "IKEA of Sweden", &[(1, &[0, 1, 3, 0x20], &[3, 4, 6, 8, 0x19])]));
    assert_eq!(remote.definition.model(), Some("E2201"));
    let told = remote.sent(1, 6, Direction::ToServer, 7, 0x01, &[]);
    assert_eq!(told.changes["action"], json!("on"));
    assert_eq!(remote.sent(1, 6, Direction::ToServer, 7, 0x01, &[]).changes.len(), 0, "the same press again");
    let told = remote.sent(1, 8, Direction::ToServer, 8, 0x05, &[0x00, 0x53]);
    assert_eq!(told.changes, *json!({ "action": "brightness_move_up", "action_rate": 83 }).as_object().expect("one"));
    let header = Header::cluster(9, Direction::ToServer, 0x00);
    let heard = Heard {
        endpoint: Endpoint(1),
        cluster: ClusterId(6),
        group: Some(GroupId(901)),
        lqi: 1,
        what: What::Command { header: &header, payload: &[] },
        utc_s: 1_790_000_009,
        utc_offset_s: 0,
    };
    let told = remote.definition.decode(&remote.identity, &heard, &mut remote.memory);
    assert_eq!(told.changes, *json!({ "action": "off", "action_group": 901 }).as_object().expect("one"));
    let setup = remote.definition.setup(&remote.identity);
    assert!(setup.contains(&Setup::Bind { endpoint: Endpoint(1), cluster: ClusterId(6) }), "{setup:?}");
}

#[test]
fn a_tuya_device_by_its_data_points() {
    let mut sensor = Device::new(identity("TS0601", "_TZE200_utkemkbs", &[(1, &[0, 4, 5, 0xef00], &[0xa, 0x19])]));
    assert!(sensor.definition.is_supported(), "{:?}", sensor.definition.model());
    let payload = [0, 7, 1, 2, 0, 4, 0, 0, 0, 0xd2, 2, 2, 0, 4, 0, 0, 0, 0x37];
    let told = sensor.sent(1, 0xef00, Direction::ToClient, 1, 0x02, &payload).changes;
    assert_eq!(told["temperature"], json!(21));
    let asked = sensor.sent(1, 0xef00, Direction::ToClient, 2, 0x25, &[0, 9]);
    assert_eq!(asked.answers.iter().map(command).collect::<Vec<_>>(), [(1, 0xef00, 0x25, vec![1, 0, 1])]);
}

#[test]
fn a_tuya_cover_tells_where_it_is() {
    let mut cover = Device::new(identity("TS0601", "_TZE284_7qc2wlqr", &[(1, &[0, 4, 5, 0xef00], &[0xa, 0x19])]));
    let plan = cover.set(json!({ "position": 30 })).expect("it can be set");
    let (_, cluster, id, payload) = command(&plan.commands[0]);
    assert_eq!((cluster, id, payload.len()), (0xef00, 0, 10));
    let told = cover.sent(1, 0xef00, Direction::ToClient, 1, 0x02, &payload).changes;
    assert_eq!((&told["position"], &told["state"]), (&json!(30), &json!("OPEN")));
}

#[test]
fn a_cover_is_open_at_100() {
    let mut cover = Device::new(identity("TS130F", "_TZ3000_vd43bbfq", &[(1, &[0, 4, 5, 0x102], &[])]));
    assert_eq!(cover.commands(json!({ "state": "OPEN" })), [(1, 0x102, 0, vec![])]);
    let told = cover.told(1, 0x102, &[(8, DataType::U8, 30u8.into())]);
    let position = told["position"].as_u64().expect("a number");
    let back = cover.commands(json!({ "position": position }));
    assert_eq!(back, [(1, 0x102, 5, vec![30])]);
}

#[test]
fn gangs_have_names() {
    let endpoints: &[(u8, &[u16], &[u16])] = &[(1, &[0, 3, 6], &[]), (2, &[6], &[])];
    let mut gangs = Device::new(identity("TS0012", "_TZ3000_jl7qyupf", endpoints));
    assert_eq!(gangs.told(2, 6, &[(0, DataType::Bool, true.into())]), json!({ "state_right": "ON" }));
    assert_eq!(gangs.commands(json!({ "state_left": "ON" })), [(1, 6, 1, vec![])]);
    let plan = gangs.set(json!({ "state_right": "OFF", "state_left": "OFF" })).expect("both");
    assert_eq!(expected(&plan), json!({ "state_left": "OFF", "state_right": "OFF" }));
    let reads = gangs.definition.reads(&gangs.identity, &["state_right".into()]);
    assert_eq!((reads[0].endpoint, reads[0].cluster), (Endpoint(2), ClusterId(6)));
}

#[test]
fn a_thermostat() {
    let mut valve =
        Device::new(identity("eTRV0100", "Danfoss", &[(1, &[0, 1, 3, 0xa, 0x20, 0x201, 0x204], &[0, 0x19])]));
    assert_eq!(valve.told(1, 0x201, &[(0, DataType::I16, 2134i16.into())]), json!({ "local_temperature": 21.34 }));
    assert_eq!(
        valve.told(1, 0x201, &[(0x12, DataType::I16, 2150i16.into())])["occupied_heating_setpoint"],
        json!(21.5)
    );
    let set = valve.commands(json!({ "occupied_heating_setpoint": 22.5 }));
    assert!(!set.is_empty());
    let locked = valve.commands(json!({ "keypad_lockout": "lock" }));
    assert_eq!(locked, [(1, 0x204, 2, vec![1, 0, 0x30, 1])]);
}

#[test]
fn a_lock_is_told_back() {
    let mut lock = Device::new(identity("YRD226 TSDB", "Yale", &[(1, &[0, 1, 3, 0x101], &[])]));
    let plan = lock.set(json!({ "state": "LOCK" })).expect("it can be set");
    assert_eq!(plan.commands.iter().map(command).collect::<Vec<_>>(), [(1, 0x101, 0, vec![0])]);
    assert_eq!(expected(&plan), json!({ "state": "LOCK" }));
    let told = lock.told(1, 0x101, &[(0, DataType::Enum8, 1u8.into())]);
    assert_eq!((&told["state"], &told["lock_state"]), (&json!("LOCK"), &json!("locked")));
}

#[test]
fn a_maker_keeps_to_its_own_attributes() {
    let mut plug = Device::new(identity("lumi.plug.maeu01", "LUMI", &[(1, &[0, 3, 4, 5, 6, 0xc, 0xfcc0], &[])]));
    let own = [0x03, 0x28, 0x1f, 0x05, 0x21, 0x09, 0x00, 0x98, 0x39, 0x00, 0x00, 0x48, 0x41];
    let told = plug.told(1, 0xfcc0, &[(0xf7, DataType::OctetString, own.as_slice().into())]);
    assert_eq!((&told["device_temperature"], &told["power"]), (&json!(31), &json!(12.5)));
    assert_eq!(told.get("power_outage_count"), None, "it is not said to count them");
    let attributes = [(AttributeId(0xf7), Typed::new(DataType::OctetString, own.as_slice()))];
    let what = What::Attributes { maker: Some(MakerCode(0x115f)), attributes: &attributes };
    assert_eq!(plug.hears(1, 0xfcc0, what).changes["power"], json!(12.5));
}

#[test]
fn whoever_nobody_knows_is_made_out_of_clusters() {
    let mut unknown = Device::new(identity("X-9000", "Nobody", &[(1, &[0, 1, 3, 6, 8, 0x402], &[]), (2, &[6], &[])]));
    assert!(!unknown.definition.is_supported());
    assert_eq!((unknown.definition.model(), unknown.definition.vendor()), (Some("X-9000"), Some("Nobody")));
    let properties: Vec<_> =
        unknown.definition.capabilities(&unknown.identity).into_iter().map(|one| one.property.to_string()).collect();
    assert_eq!(properties, ["state_1", "brightness", "temperature", "battery", "state_2"]);
    assert_eq!(unknown.told(2, 6, &[(0, DataType::Bool, false.into())]), json!({ "state_2": "OFF" }));
    assert_eq!(unknown.told(1, 0x402, &[(0, DataType::I16, 2050i16.into())]), json!({ "temperature": 20.5 }));
    assert_eq!(unknown.commands(json!({ "state_2": "ON" })), [(2, 6, 1, vec![])]);
    let setup = unknown.definition.setup(&unknown.identity);
    for endpoint in [1, 2] {
        assert!(setup.contains(&Setup::Bind { endpoint: Endpoint(endpoint), cluster: ClusterId(6) }), "{setup:?}");
    }
    let nothing = Device::new(identity("", "", &[]));
    assert_eq!(nothing.definition.capabilities(&nothing.identity), []);
}

#[test]
fn a_lamp_with_two_ends_is_told_at_the_end_that_is_meant() {
    let ends: &[(u8, &[u16], &[u16])] =
        &[(1, &[0], &[]), (11, &[3, 6, 8, 0x300, 0xfc03], &[]), (12, &[3, 6, 8, 0x300, 0xfc03], &[])];
    let mut lamp = Device::new(identity("LGT001", "Signify Netherlands B.V.", ends));
    assert_eq!(lamp.commands(json!({ "effect_front": "candle" })), [(12, 0xfc03, 0, vec![0x21, 0, 1, 1])]);
    let plan = lamp.set(json!({ "effect_back": "finish_effect" })).expect("it can be set");
    let commands: Vec<_> = plan.commands.iter().map(command).collect();
    assert_eq!(commands, [(11, 0xfc03, 0, vec![0x20, 0, 0]), (11, 3, 0x40, vec![0xfe, 0])]);
    assert_eq!(expected(&plan), json!({ "effect_back": "none" }));
    assert_eq!(plan.reads[0].endpoint, Endpoint(11));
    let told = lamp.told(12, 0xfc03, &[(2, DataType::OctetString, [0x21u8, 0, 1, 1].as_slice().into())]);
    assert_eq!((&told["state_front"], &told["effect_front"]), (&json!("ON"), &json!("candle")));
}

#[test]
fn what_a_lamp_does_by_itself_is_counted_in_seconds() {
    let mut lamp = Device::new(identity("TRADFRI bulb E27 W opal 1000lm", "IKEA of Sweden", &[(1, LAMP, &[])]));
    let told = lamp.told(1, 8, &[(0x10, DataType::U16, 15u16.into()), (0x12, DataType::U16, 65_535u16.into())]);
    assert_eq!(told, json!({ "level_config": { "on_off_transition_time": 1.5, "on_transition_time": "disabled" } }));
    let set = lamp.commands(json!({ "level_config": { "on_off_transition_time": 0.3 } }));
    assert_eq!(set, [(1, 8, 0x02, vec![0x10, 0, 0x21, 3, 0])]);
    let coloured =
        Device::new(identity("TRADFRI bulb E27 CWS 806lm", "IKEA of Sweden", &[(1, &[0, 3, 6, 8, 0x300], &[])]));
    assert_eq!(coloured.commands(json!({ "effect": "colorloop" })), [(1, 0x300, 0x01, vec![1, 17])]);
    assert_eq!(coloured.commands(json!({ "effect": "stop_colorloop" })), [(1, 0x300, 0x01, vec![0, 1])]);
}

#[test]
fn tuya_gangs_have_a_point_each() {
    let mut gangs = Device::new(identity("TS0601", "_TZE200_nkjintbl", &[(1, &[0, 4, 5, 0xef00], &[0xa, 0x19])]));
    assert!(gangs.definition.is_supported());
    let plan = gangs.set(json!({ "state_l2": "ON" })).expect("it can be set");
    let commands: Vec<_> = plan.commands.iter().map(command).collect();
    assert_eq!(commands, [(1, 0xef00, 0, vec![0, 1, 2, 1, 0, 1, 1])]);
    assert_eq!(expected(&plan), json!({ "state_l2": "ON" }));
    let told = gangs.sent(1, 0xef00, Direction::ToClient, 1, 0x01, &[0, 1, 2, 1, 0, 1, 0, 3, 1, 0, 1, 1]).changes;
    assert_eq!(Json::from(told), json!({ "state_l2": "OFF" }), "it has no third");
    assert!(gangs.set(json!({ "state_l3": "ON" })).is_err());
}

#[test]
fn what_a_kind_has_once_is_told_by_any_endpoint() {
    let endpoints: &[(u8, &[u16], &[u16])] = &[(1, &[0, 3, 6, 0xe001], &[]), (2, &[6, 0xe001], &[])];
    let mut gangs = Device::new(identity("TS0002", "_TZ3000_fisb3ajo", endpoints));
    assert_eq!(gangs.told(1, 0xe001, &[(0xd030, DataType::Enum8, 1u8.into())]), json!({ "switch_type": "state" }));
    assert_eq!(gangs.told(2, 6, &[(0, DataType::Bool, true.into())]), json!({ "state_l2": "ON" }));
}

#[test]
fn a_siren_and_a_motor_take_parts_and_nothing_else() {
    let siren = Device::new(identity("WarningDevice", "HEIMAN", &[(1, &[0, 1, 3, 0x500, 0x502], &[])]));
    let motor = Device::new(identity("SIN-4-RS-20", "NodOn", &[(1, &[0, 3, 0x102], &[])]));
    let wholes = [json!("stop"), json!(false), json!(null), json!([])];
    let parts = [
        (siren, "warning", json!({ "mode": "stop" }), vec![json!({ "mode": 0 }), json!({ "strobe": "no" })]),
        (motor, "cover_mode", json!({ "reversed": true }), vec![json!({ "reversed": "no" })]),
    ];
    for (device, name, good, bad) in parts {
        assert!(device.set(json!({ (name): good })).is_ok(), "{name}");
        for bad in bad.iter().chain(&wholes) {
            assert!(device.set(json!({ (name): bad })).is_err(), "{name} {bad}");
        }
    }
}

#[test]
fn devices_of_a_kind_and_a_name_share_what_they_are() {
    let catalogue = Catalogue::new();
    let mut shared = 0;
    for place in 0..table::count() {
        let row = table::definition(place);
        for fingerprint in row.get("w").list().iter().flat_map(|label| label.get("f").list()) {
            let text = |name| fingerprint.get(name).text();
            let (Some(model), Some(maker)) = (text("modelID"), text("manufacturerName")) else { continue };
            let one = identity(model, maker, &[]);
            let other = Identity { ieee: Ieee(2), ..one.clone() };
            let [one, other] = [one, other].map(|identity| catalogue.find(&identity));
            assert_eq!((one.model(), one.vendor()), (other.model(), other.vendor()));
            assert_eq!(one.is_supported(), Arc::ptr_eq(&one, &other), "{model} {maker}");
            shared += usize::from(one.is_supported());
        }
    }
    assert!(shared > 20, "{shared}");
}

#[test]
fn whoever_nobody_knows_has_each_property_once() {
    let properties = |device: &Device| {
        let capabilities = device.definition.capabilities(&device.identity);
        capabilities.into_iter().map(|one| one.property.to_string()).collect::<Vec<_>>()
    };
    // As alarms have them that sell several things in one case.
    let mut far = Device::new(identity("X-9000", "Nobody", &[(20, &[6], &[]), (35, &[6], &[]), (240, &[6], &[])]));
    assert_eq!(properties(&far), ["state_20", "state_35", "state_240"]);
    assert_eq!(far.told(240, 6, &[(0, DataType::Bool, true.into())]), json!({ "state_240": "ON" }));
    assert_eq!(far.commands(json!({ "state_35": "OFF" })), [(35, 6, 0, vec![])]);
    let mut siren = Device::new(identity("X-9000", "Nobody", &[(1, &[2, 0x500, 0x502], &[])]));
    assert_eq!(properties(&siren), ["device_temperature", "alarm_1", "alarm_2", "tamper", "battery_low", "warning"]);
    let told = siren.told(1, 0x500, &[(2, DataType::Bitmap16, 0x0a_u16.into())]);
    assert_eq!(told, json!({ "alarm_1": false, "alarm_2": true, "tamper": false, "battery_low": true }));
    assert_eq!(siren.commands(json!({ "warning": { "mode": "stop", "strobe": false } }))[0].3, [0x01, 10, 0, 0, 1]);
    let setup = siren.definition.setup(&siren.identity);
    assert!(setup.iter().any(|step| matches!(step, Setup::Read(read) if read.cluster == ClusterId(2))), "{setup:?}");
    let lock = Device::new(identity("X-9000", "Nobody", &[(1, &[6, 0x101], &[])]));
    assert_eq!(properties(&lock), ["state"]);
    assert_eq!(lock.commands(json!({ "state": "LOCK" })), [(1, 0x101, 0, vec![0])]);
}

#[test]
fn every_definition_bears_anything() {
    let catalogue = Catalogue::new();
    let endpoints: &[(u8, &[u16], &[u16])] = &[(
        1,
        &[0, 1, 3, 4, 5, 6, 8, 0x101, 0x102, 0x201, 0x202, 0x300, 0x402, 0x500, 0x702, 0xb04, 0xef00, 0xfcc0],
        &[6, 8],
    )];
    let mut seen = 0;
    for place in (0..table::count()).step_by(13) {
        let row = table::definition(place);
        let model = row.get("z").at(0).text().or_else(|| row.get("f").at(0).get("modelID").text()).unwrap_or("");
        let maker = row.get("f").at(0).get("manufacturerName").text().unwrap_or("");
        let identity = identity(model, maker, endpoints);
        let definition = catalogue.find(&identity);
        let mut memory = Memory::default();
        definition.setup(&identity);
        definition.reads(&identity, &[]);
        for capability in definition.capabilities(&identity).iter().filter(|one| one.settable) {
            for value in [json!("ON"), json!(1), json!(-1e300), json!({}), json!([]), json!(null), json!(true)] {
                let set = [(capability.property.to_string(), value)].into_iter().collect();
                let _ = definition.encode(&identity, &set, &memory);
            }
        }
        let header = Header::cluster(1, Direction::ToClient, 2);
        for cluster in [0, 1, 6, 8, 0x101, 0x102, 0x201, 0x300, 0x500, 0x501, 0x702, 0xb04, 0xef00, 0xfcc0, 0xfc03] {
            for payload in [&[][..], &[0xff; 12], &[0, 1, 1, 0, 0, 3, 1, 2, 3, 4]] {
                let what = What::Command { header: &header, payload };
                let (endpoint, cluster) = (Endpoint(1), ClusterId(cluster));
                let heard = Heard { endpoint, cluster, group: None, lqi: 0, what, utc_s: 0, utc_offset_s: -3600 };
                definition.decode(&identity, &heard, &mut memory);
            }
        }
        seen += 1;
    }
    assert!(seen > 300);
}
