//! General commands as recorded, all there and back, and bytes that are nothing.

use proptest::prelude::*;

use super::*;
use crate::zigbee::zcl::value::tests::{any_typed, any_value};

fn decoded(command: u8, bytes: &[u8]) -> Result<General, DecodeError> {
    General::decode(command, &mut Reader::new(bytes))
}

fn encoded(general: &General) -> Vec<u8> {
    let mut out = Vec::new();
    general.encode(&mut out).expect("it is whole");
    out
}

#[test]
fn commands_as_recorded() {
    let temperature = Record { attribute: AttributeId(0), value: Typed::new(DataType::I16, 2150i16) };
    for (bytes, general) in [
        (&[0x04, 0x00, 0x05, 0x00][..], General::read([4, 5])),
        (
            &[0x00, 0x00, 0x00, 0x10, 0x01, 0x01, 0x40, 0x86],
            General::ReadRsp(vec![
                ReadRecord { attribute: AttributeId(0), value: Ok(Typed::new(DataType::Bool, true)) },
                ReadRecord { attribute: AttributeId(0x4001), value: Err(Status::UNSUPPORTED_ATTRIBUTE) },
            ]),
        ),
        (&[0x00, 0x00, 0x29, 0x66, 0x08], General::Report(vec![temperature])),
        (&[0x00], General::WriteRsp(Vec::new())),
        (&[0x88, 0x10, 0x00], General::WriteRsp(vec![(AttributeId(0x10), Status::READ_ONLY)])),
        (
            &[0x00, 0x00, 0x00, 0x29, 0x0a, 0x00, 0x10, 0x0e, 0x64, 0x00],
            General::ConfigureReporting(vec![ReportingConfig::Reports {
                attribute: AttributeId(0),
                data_type: DataType::I16,
                min_s: 10,
                max_s: 3600,
                change: Some(100i16.into()),
            }]),
        ),
        (
            &[0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x10, 0x0e],
            General::ConfigureReporting(vec![ReportingConfig::Reports {
                attribute: AttributeId(0),
                data_type: DataType::Bool,
                min_s: 0,
                max_s: 3600,
                change: None,
            }]),
        ),
        (&[0x02, 0x81], General::Default { command: 2, status: Status::UNSUP_COMMAND }),
        (
            &[0x01, 0x00, 0x00, 0x20],
            General::DiscoverRsp { is_complete: true, attributes: vec![(AttributeId(0), 0x20)] },
        ),
    ] {
        assert_eq!(decoded(general.id(), bytes), Ok(general.clone()), "{general:?}");
        assert_eq!(encoded(&general), bytes);
    }
}

#[test]
fn a_bad_record_takes_no_good_one_with_it() {
    let bytes = [0x00, 0x00, 0x29, 0x66, 0x08, 0x01, 0x00, 0x77, 0x01];
    let Ok(General::Report(records)) = decoded(id::REPORT, &bytes) else { panic!("a report") };
    assert_eq!(records.len(), 1);
    assert_eq!(decoded(id::REPORT, &bytes[5..]), Err(DecodeError::UnknownType(0x77)));
    // What is to be written is all good, or nothing is.
    assert_eq!(decoded(id::WRITE, &bytes), Err(DecodeError::UnknownType(0x77)));
}

#[test]
fn a_least_change_is_there_where_it_must_be() {
    let config = |data_type, change| ReportingConfig::Reports {
        attribute: AttributeId(0),
        data_type,
        min_s: 0,
        max_s: 1,
        change,
    };
    let encode = |config| General::ConfigureReporting(vec![config]).encode(&mut Vec::new());
    assert_eq!(encode(config(DataType::U8, None)), Err(EncodeError::Missing("change")));
    assert_eq!(encode(config(DataType::Bool, Some(true.into()))), Err(EncodeError::Unfit(DataType::Bool)));
}

fn attribute_id() -> impl Strategy<Value = AttributeId> {
    any::<u16>().prop_map(AttributeId)
}

fn failure() -> impl Strategy<Value = Status> {
    (1u8..).prop_map(Status)
}

fn side() -> impl Strategy<Value = Reporter> {
    prop_oneof![Just(Reporter::Receiver), Just(Reporter::Sender)]
}

fn any_selector() -> impl Strategy<Value = Selector> {
    (0u8..16, proptest::collection::vec(any::<u16>(), 0..16)).prop_map(|(action, indexes)| Selector { action, indexes })
}

fn any_config() -> impl Strategy<Value = ReportingConfig> {
    let reports = proptest::sample::select(DataType::ALL.to_vec()).prop_flat_map(|data_type| {
        let change =
            if data_type.is_analog() { any_value(data_type).prop_map(Some).boxed() } else { Just(None).boxed() };
        (attribute_id(), any::<u16>(), any::<u16>(), change).prop_map(move |(attribute, min_s, max_s, change)| {
            ReportingConfig::Reports { attribute, data_type, min_s, max_s, change }
        })
    });
    prop_oneof![
        3 => reports,
        1 => (attribute_id(), any::<u16>())
            .prop_map(|(attribute, timeout_s)| ReportingConfig::Expect { attribute, timeout_s }),
    ]
}

fn many<S: Strategy>(item: S) -> impl Strategy<Value = Vec<S::Value>> {
    proptest::collection::vec(item, 0..4)
}

fn any_general() -> impl Strategy<Value = General> {
    let record = || (attribute_id(), any_typed()).prop_map(|(attribute, value)| Record { attribute, value });
    let answer = prop_oneof![any_typed().prop_map(Ok), failure().prop_map(Err)];
    let kind = proptest::sample::select(vec![WriteKind::Plain, WriteKind::Undivided, WriteKind::NoResponse]);
    let reporting = prop_oneof![
        any_config().prop_map(ReportingRecord::Configured),
        (failure(), side(), attribute_id()).prop_map(|(status, reporter, attribute)| ReportingRecord::Not {
            status,
            reporter,
            attribute
        }),
    ];
    let extended = (attribute_id(), any::<u8>(), any::<u8>())
        .prop_map(|(attribute, data_type, access)| ExtendedAttribute { attribute, data_type, access });
    prop_oneof![
        many(attribute_id()).prop_map(General::Read),
        many((attribute_id(), answer).prop_map(|(attribute, value)| ReadRecord { attribute, value }))
            .prop_map(General::ReadRsp),
        (kind, many(record())).prop_map(|(kind, records)| General::Write(kind, records)),
        many((attribute_id(), failure())).prop_map(General::WriteRsp),
        many(any_config()).prop_map(General::ConfigureReporting),
        many((failure(), side(), attribute_id())).prop_map(General::ConfigureReportingRsp),
        many((side(), attribute_id())).prop_map(General::ReadReporting),
        many(reporting).prop_map(General::ReadReportingRsp),
        many(record()).prop_map(General::Report),
        (any::<u8>(), any::<u8>()).prop_map(|(command, status)| General::Default { command, status: Status(status) }),
        (attribute_id(), any::<u8>()).prop_map(|(start, max)| General::Discover { start, max }),
        (any::<bool>(), many((attribute_id(), any::<u8>())))
            .prop_map(|(is_complete, attributes)| General::DiscoverRsp { is_complete, attributes }),
        many((attribute_id(), any_selector())).prop_map(General::ReadStructured),
        many((attribute_id(), any_selector(), any_typed())).prop_map(General::WriteStructured),
        many((failure(), attribute_id(), any_selector())).prop_map(General::WriteStructuredRsp),
        any::<(u8, u8)>().prop_map(|(start, max)| General::DiscoverReceived { start, max }),
        (any::<bool>(), many(any::<u8>()))
            .prop_map(|(is_complete, commands)| General::DiscoverReceivedRsp { is_complete, commands }),
        any::<(u8, u8)>().prop_map(|(start, max)| General::DiscoverGenerated { start, max }),
        (any::<bool>(), many(any::<u8>()))
            .prop_map(|(is_complete, commands)| General::DiscoverGeneratedRsp { is_complete, commands }),
        (attribute_id(), any::<u8>()).prop_map(|(start, max)| General::DiscoverExtended { start, max }),
        (any::<bool>(), many(extended))
            .prop_map(|(is_complete, attributes)| General::DiscoverExtendedRsp { is_complete, attributes }),
        (0x17u8.., many(any::<u8>())).prop_map(|(command, payload)| General::Other { command, payload }),
    ]
}

proptest! {
    #[test]
    fn a_command_is_read_as_it_was_written(general in any_general()) {
        prop_assert_eq!(decoded(general.id(), &encoded(&general)), Ok(general));
    }

    #[test]
    fn any_bytes_are_a_command_or_an_error(command in 0u8..0x20, bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(general) = decoded(command, &bytes) {
            let mut out = Vec::new();
            general.encode(&mut out).expect("it came from bytes");
        }
    }
}
