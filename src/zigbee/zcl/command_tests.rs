//! Commands as recorded, every one of the tables there and back, and bytes that are nothing.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::zigbee::types::ClusterId;
use crate::zigbee::zcl::clusters::{self, all, command_named};
use crate::zigbee::zcl::frame::Direction;
use crate::zigbee::zcl::value::tests::any_value;

fn named(cluster: u16, direction: Direction, name: &str) -> &'static Command {
    command_named(ClusterId(cluster), direction, name).expect("it is in the table")
}

fn written(command: &Command, given: &[(&str, Value)]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    encode(command, given, &mut out).map(|()| out)
}

#[test]
fn commands_as_recorded() {
    let level = named(0x0008, Direction::ToServer, "moveToLevelWithOnOff");
    let given = [("level", 254u8.into()), ("transtime", 20u16.into())];
    assert_eq!(written(level, &given), Ok(vec![0xfe, 0x14, 0x00]));
    let with_options = decode(level, &mut Reader::new(&[0xfe, 0x14, 0x00, 0x01, 0x01])).expect("fields");
    assert_eq!(with_options.u64("optionsOverride"), Some(1));

    let zone = named(0x0500, Direction::ToClient, "statusChangeNotification");
    let fields = decode(zone, &mut Reader::new(&[0x21, 0x00, 0x00, 0x00, 0x00, 0x00])).expect("fields");
    assert_eq!(fields.u64("zonestatus"), Some(0x21));
    // Older devices leave out the zone and the delay.
    let fields = decode(zone, &mut Reader::new(&[0x01, 0x00, 0x00])).expect("fields");
    assert_eq!((fields.u64("zonestatus"), fields.get("delay")), (Some(1), None));

    let image = named(0x0019, Direction::ToClient, "queryNextImageResponse");
    assert_eq!(written(image, &[("status", 0x98u8.into())]), Ok(vec![0x98]));
    assert_eq!(written(image, &[("status", 0u8.into())]), Err(EncodeError::Missing("manufacturerCode")));

    let tuya = named(0xef00, Direction::ToClient, "dataReport");
    let bytes = [0x00, 0x07, 0x01, 0x02, 0x00, 0x04, 0x00, 0x00, 0x00, 0xd2, 0x04, 0x04, 0x00, 0x01, 0x02];
    let fields = decode(tuya, &mut Reader::new(&bytes)).expect("fields");
    assert_eq!(fields.rows("dpValues").len(), 2);
    assert_eq!(fields.rows("dpValues")[0][2], Value::Bytes([0, 0, 0, 0xd2].into()));
    assert_eq!(written(tuya, &fields.0), Ok(bytes.to_vec()));
    let fields = decode(tuya, &mut Reader::new(&bytes[..11])).expect("the first point is whole");
    assert_eq!(fields.rows("dpValues").len(), 1);

    let schedule = named(0x0201, Direction::ToServer, "setWeeklySchedule");
    let row: Box<[Value]> = [360u16.into(), 2100i16.into()].into();
    let given = [
        ("numoftrans", 1u8.into()),
        ("dayofweek", 2u8.into()),
        ("mode", 1u8.into()),
        ("transitions", Value::Rows([row].into())),
    ];
    assert_eq!(written(schedule, &given), Ok(vec![1, 2, 1, 0x68, 0x01, 0x34, 0x08]));
}

#[test]
fn what_is_no_command_is_refused() {
    let level = named(0x0008, Direction::ToServer, "moveToLevel");
    assert_eq!(written(level, &[("level", 1u8.into())]), Err(EncodeError::Missing("transtime")));
    assert_eq!(written(level, &[("levels", 1u8.into())]), Err(EncodeError::Unknown("parameter")));
    let given = [("level", 256u16.into()), ("transtime", 0u8.into())];
    assert_eq!(written(level, &given), Err(EncodeError::Parameter("level")));
    assert_eq!(decode(level, &mut Reader::new(&[1, 2])), Err(DecodeError::Short));
    let members = named(0x0004, Direction::ToServer, "getMembership");
    let list = Value::List(DataType::U16, [1u16.into()].into());
    assert_eq!(
        written(members, &[("groupcount", 2u8.into()), ("grouplist", list)]),
        Err(EncodeError::Parameter("grouplist"))
    );
    assert_eq!(decode(members, &mut Reader::new(&[0xff, 1, 0])), Err(DecodeError::Short));
}

/// A parameter as decoding gives it, `count` of it where it is a list.
fn any_parameter(kind: Kind, count: usize, set_points: usize) -> BoxedStrategy<Value> {
    let rows = |types: Vec<DataType>, count: usize| {
        let row = types.into_iter().map(any_value).collect::<Vec<_>>();
        proptest::collection::vec(row, count)
            .prop_map(|rows| Value::Rows(rows.into_iter().map(Vec::into_boxed_slice).collect()))
            .boxed()
    };
    match kind {
        Kind::Value(data_type) => any_value(data_type),
        Kind::BigEndian24 => (0u64..1 << 24).prop_map(Value::Unsigned).boxed(),
        Kind::Bytes { .. } => {
            proptest::collection::vec(any::<u8>(), count).prop_map(|bytes| Value::Bytes(bytes.into())).boxed()
        }
        Kind::List { width, .. } => proptest::collection::vec(any_value(element(width)), count)
            .prop_map(move |list| Value::List(element(width), list.into()))
            .boxed(),
        Kind::ZoneInfo => rows(vec![DataType::U8, DataType::U16], count),
        Kind::MiboxerZones => rows(vec![DataType::U16, DataType::U8], count),
        Kind::Transitions => rows([vec![DataType::U16], vec![DataType::I16; set_points]].concat(), count),
        Kind::ExtensionSets | Kind::TuyaPoints => {
            let bytes = proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into()));
            let is_tuya = kind == Kind::TuyaPoints;
            let row = (any::<u8>(), any::<u8>(), bytes).prop_map(move |(first, second, bytes)| {
                let row = if is_tuya { vec![first.into(), second.into(), bytes] } else { vec![first.into(), bytes] };
                row.into_boxed_slice()
            });
            proptest::collection::vec(row, count).prop_map(|rows| Value::Rows(rows.into())).boxed()
        }
    }
}

/// All parameters of a command: those before a counted list say its count, those of a schedule its set points.
fn any_fields(command: &'static Command) -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    (0usize..5, 0usize..3).prop_flat_map(move |(count, set_points)| {
        let parameters = command.fields.iter().enumerate().map(|(at, field)| {
            let is_count = command.fields.get(at + 1).is_some_and(|next| {
                matches!(next.kind, Kind::List { counted: true, .. } | Kind::Bytes { counted: true } | Kind::ZoneInfo)
            }) || field.name == "numoftrans";
            let has_set_points = command.fields.iter().any(|field| field.kind == Kind::Transitions);
            let value = if has_set_points && field.name == "mode" {
                Just(Value::Unsigned([0, 1, 3][set_points])).boxed()
            } else if is_count {
                Just(Value::Unsigned(count as u64)).boxed()
            } else {
                any_parameter(field.kind, count, set_points)
            };
            value.prop_map(move |value| (field.name, value)).boxed()
        });
        parameters.collect::<Vec<_>>()
    })
}

/// Those that get lost: of a command that goes on after a list without an end, what comes behind is part of the list.
fn goes_on_after_the_end(command: &Command) -> bool {
    let endless = |kind| {
        matches!(
            kind,
            Kind::List { counted: false, .. } | Kind::Bytes { counted: false } | Kind::ExtensionSets | Kind::TuyaPoints
        )
    };
    command.fields.iter().rev().skip(1).any(|field| endless(field.kind))
}

#[test]
fn every_command_of_the_tables_is_read_as_it_was_written() {
    let mut runner = TestRunner::deterministic();
    let mut count = 0;
    for cluster in all() {
        let commands = [Direction::ToServer, Direction::ToClient].map(|direction| cluster.commands_of(direction));
        for command in commands.into_iter().flatten().filter(|command| !goes_on_after_the_end(command)) {
            count += 1;
            for _ in 0..20 {
                let given = any_fields(command).new_tree(&mut runner).expect("a strategy").current();
                let out =
                    written(command, &given).unwrap_or_else(|error| panic!("{} {given:?}: {error}", command.name));
                let mut reader = Reader::new(&out);
                let fields =
                    decode(command, &mut reader).unwrap_or_else(|error| panic!("{} {given:?}: {error}", command.name));
                assert!(reader.is_empty(), "{} {given:?}", command.name);
                let mut again = Vec::new();
                encode(command, &fields.0, &mut again)
                    .unwrap_or_else(|error| panic!("{} {given:?}: {error}", command.name));
                assert_eq!(again, out, "{} {given:?}", command.name);
                for (name, value) in &fields.0 {
                    let sent = given.iter().find(|(other, _)| other == name).map(|(_, value)| value);
                    assert_eq!(sent, Some(value), "{} {name}", command.name);
                }
            }
        }
    }
    assert!(count > 600, "{count} commands");
}

proptest! {
    #[test]
    fn any_bytes_are_parameters_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>()) {
        let clusters: Vec<_> = clusters::all().collect();
        let cluster = at.get(&clusters);
        for command in cluster.commands.iter().chain(cluster.answers) {
            let _ = decode(command, &mut Reader::new(&bytes));
        }
    }
}
