//! What the hub answers to devices: the time, little of itself, and a default response to what asks for one (ZCL r8 §2.5.12). Keeps
//! no state.

use crate::common::time::UnixMillis;
use crate::zigbee::network::exchange::{Frame, Zcl};
use crate::zigbee::types::{AttributeId, ClusterId, ProfileId};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::foundation::{General, ReadRecord, id};
use crate::zigbee::zcl::frame::{Direction, FrameKind, Header};
use crate::zigbee::zcl::status::Status;
use crate::zigbee::zcl::value::{Typed, Value};

const BASIC: ClusterId = ClusterId(0x0000);
const IDENTIFY: ClusterId = ClusterId(0x0003);
pub const TIME: ClusterId = ClusterId(0x000a);

/// 2000-01-01T00:00:00Z, where ZCL's time begins, in seconds since 1970.
pub const ZCL_EPOCH_S: u64 = 946_684_800;

/// `TimeStatus`: it is the master, synchronised, and the master of time zone and summer time (§3.12.2.2.2).
const TIME_STATUS: u64 = 0b0000_1111;

/// Attributes that are answered in one go; more do not fit in a frame.
const READ_MAX: usize = 16;

/// The time of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub unix_ms: UnixMillis,
    pub offset_s: i32,
}

/// The hub's answer, if the frame is to be answered. `was_for_many`: it came by broadcast or to a group, and gets no default
/// response. `is_known`: somebody made sense of it.
pub fn answer(frame: &Frame<'_>, now: Now, was_for_many: bool, is_known: bool) -> Option<Zcl> {
    let header = &frame.header;
    match frame.general {
        Some(General::Read(attributes)) if header.direction == Direction::ToServer => {
            let records = attributes.iter().take(READ_MAX).map(|attribute| {
                let value = attribute_of(frame.cluster, header, *attribute, now).ok_or(Status::UNSUPPORTED_ATTRIBUTE);
                ReadRecord { attribute: *attribute, value }
            });
            return general(frame, &General::ReadRsp(records.collect()));
        }
        Some(General::Write(_, records)) if header.direction == Direction::ToServer => {
            if header.command == id::WRITE_NO_RSP {
                return None;
            }
            let failed = records.iter().take(READ_MAX).map(|record| (record.attribute, Status::READ_ONLY));
            return general(frame, &General::WriteRsp(failed.collect()));
        }
        _ => {}
    }
    if header.disable_default_response || was_for_many || is_response(header) {
        return None;
    }
    let status = match header.kind {
        FrameKind::General if frame.general.is_none() => Status::MALFORMED_COMMAND,
        FrameKind::General if matches!(frame.general, Some(General::Other { .. })) => Status::UNSUP_COMMAND,
        FrameKind::General => Status::SUCCESS,
        FrameKind::Cluster if is_known => Status::SUCCESS,
        FrameKind::Cluster => Status::UNSUP_COMMAND,
    };
    general(frame, &General::default_response(header.command, status))
}

/// Nothing answers an answer.
fn is_response(header: &Header) -> bool {
    let responses = [
        id::READ_RSP,
        id::WRITE_RSP,
        id::CONFIGURE_REPORTING_RSP,
        id::READ_REPORTING_RSP,
        id::DEFAULT_RSP,
        id::DISCOVER_RSP,
        id::WRITE_STRUCTURED_RSP,
        id::DISCOVER_RECEIVED_RSP,
        id::DISCOVER_GENERATED_RSP,
        id::DISCOVER_EXTENDED_RSP,
    ];
    header.kind == FrameKind::General && responses.contains(&header.command)
}

fn general(frame: &Frame<'_>, command: &General) -> Option<Zcl> {
    let mut payload = Vec::new();
    command.encode(&mut payload).ok()?;
    let header = frame.header.answer(FrameKind::General, command.id());
    Some(Zcl { endpoint: frame.endpoint, profile: ProfileId::HOME_AUTOMATION, cluster: frame.cluster, header, payload })
}

/// What the hub has: of the time all, of the basic cluster its version, of identify that it does not.
fn attribute_of(cluster: ClusterId, header: &Header, attribute: AttributeId, now: Now) -> Option<Typed> {
    if header.maker.is_some() {
        return None;
    }
    let utc_s = (now.unix_ms / 1000).saturating_sub(ZCL_EPOCH_S);
    let local_s = utc_s.saturating_add_signed(i64::from(now.offset_s));
    let unsigned = |data_type, value| Some(Typed::new(data_type, Value::Unsigned(value)));
    match (cluster, attribute.0) {
        (TIME, 0x0000) => unsigned(DataType::UtcTime, utc_s),
        (TIME, 0x0001) => unsigned(DataType::Bitmap8, TIME_STATUS),
        (TIME, 0x0002) => Some(Typed::new(DataType::I32, Value::Signed(i64::from(now.offset_s)))),
        // Standard time and local time: summer time is in the zone's offset already.
        (TIME, 0x0006 | 0x0007) => unsigned(DataType::U32, local_s),
        (BASIC, 0x0000) => unsigned(DataType::U8, 8),
        (BASIC, 0x0004) => Some(Typed::new(DataType::CharString, Value::Text("Hearth".into()))),
        (BASIC, 0x0005) => Some(Typed::new(DataType::CharString, Value::Text("hub".into()))),
        (BASIC, 0x0007) => unsigned(DataType::Enum8, 1),
        (IDENTIFY, 0x0000) => unsigned(DataType::U16, 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::types::Endpoint;

    const NOW: Now = Now { unix_ms: (ZCL_EPOCH_S + 1000) * 1000, offset_s: 7200 };

    fn frame<'a>(cluster: u16, header: Header, general: Option<&'a General>) -> Frame<'a> {
        Frame { endpoint: Endpoint(1), cluster: ClusterId(cluster), header, payload: &[], general }
    }

    #[test]
    fn the_time_is_told_and_what_is_not_there_is_unsupported() {
        let read = General::read([0x0000, 0x0007, 0x0009]);
        let header = Header::general(9, Direction::ToServer, id::READ);
        let zcl = answer(&frame(0x000a, header, Some(&read)), NOW, false, false).expect("an answer");
        assert_eq!((zcl.header.seq, zcl.header.direction, zcl.header.command), (9, Direction::ToClient, id::READ_RSP));
        let expected = [
            0x00, 0x00, 0x00, 0xe2, 0xe8, 0x03, 0x00, 0x00, // UTC: 1000 s
            0x07, 0x00, 0x00, 0x23, 0x08, 0x20, 0x00, 0x00, // here: 8200 s
            0x09, 0x00, 0x86,
        ];
        assert_eq!(zcl.payload, expected);
    }

    #[test]
    fn a_default_response_is_sent_when_it_is_asked_for_and_never_to_many() {
        let report = General::Report(Vec::new());
        let wanted = Header { disable_default_response: false, ..Header::general(5, Direction::ToClient, id::REPORT) };
        let zcl = answer(&frame(6, wanted, Some(&report)), NOW, false, true).expect("an answer");
        assert_eq!((zcl.header.seq, &zcl.payload[..]), (5, &[id::REPORT, 0x00][..]));
        assert_eq!(zcl.header.direction, Direction::ToServer);
        assert_eq!(answer(&frame(6, wanted, Some(&report)), NOW, true, true), None);
        let unwanted = Header { disable_default_response: true, ..wanted };
        assert_eq!(answer(&frame(6, unwanted, Some(&report)), NOW, false, true), None);
        let unknown = Header::cluster(7, Direction::ToClient, 0x42);
        let zcl = answer(&frame(6, unknown, None), NOW, false, false).expect("an answer");
        assert_eq!(zcl.payload, [0x42, Status::UNSUP_COMMAND.0]);
        let response = General::default_response(1, Status::SUCCESS);
        let header =
            Header { disable_default_response: false, ..Header::general(5, Direction::ToClient, id::DEFAULT_RSP) };
        assert_eq!(answer(&frame(6, header, Some(&response)), NOW, false, true), None, "nothing answers an answer");
    }
}
