//! The general commands, which every cluster has (ZCL r8 §2.5), both ways. Knows no cluster.

use crate::zigbee::bytes::{Reader, put};
use crate::zigbee::types::AttributeId;
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::error::DecodeError;
use crate::zigbee::zcl::status::Status;
use crate::zigbee::zcl::value::{EncodeError, Typed, Value, read_type};

/// Numbers of the general commands (§2.5, table 2-3).
pub mod id {
    pub const READ: u8 = 0x00;
    pub const READ_RSP: u8 = 0x01;
    pub const WRITE: u8 = 0x02;
    pub const WRITE_UNDIVIDED: u8 = 0x03;
    pub const WRITE_RSP: u8 = 0x04;
    pub const WRITE_NO_RSP: u8 = 0x05;
    pub const CONFIGURE_REPORTING: u8 = 0x06;
    pub const CONFIGURE_REPORTING_RSP: u8 = 0x07;
    pub const READ_REPORTING: u8 = 0x08;
    pub const READ_REPORTING_RSP: u8 = 0x09;
    pub const REPORT: u8 = 0x0a;
    pub const DEFAULT_RSP: u8 = 0x0b;
    pub const DISCOVER: u8 = 0x0c;
    pub const DISCOVER_RSP: u8 = 0x0d;
    pub const READ_STRUCTURED: u8 = 0x0e;
    pub const WRITE_STRUCTURED: u8 = 0x0f;
    pub const WRITE_STRUCTURED_RSP: u8 = 0x10;
    pub const DISCOVER_RECEIVED: u8 = 0x11;
    pub const DISCOVER_RECEIVED_RSP: u8 = 0x12;
    pub const DISCOVER_GENERATED: u8 = 0x13;
    pub const DISCOVER_GENERATED_RSP: u8 = 0x14;
    pub const DISCOVER_EXTENDED: u8 = 0x15;
    pub const DISCOVER_EXTENDED_RSP: u8 = 0x16;
}

/// A general command with what it says. [`General::id`] is its number.
#[derive(Debug, Clone, PartialEq)]
pub enum General {
    Read(Vec<AttributeId>),
    ReadRsp(Vec<ReadRecord>),
    Write(WriteKind, Vec<Record>),
    /// Empty: all were written. Otherwise those that were not.
    WriteRsp(Vec<(AttributeId, Status)>),
    ConfigureReporting(Vec<ReportingConfig>),
    /// Empty: all were taken. Otherwise those that were not, of `Reporter` as we send or as we receive.
    ConfigureReportingRsp(Vec<(Status, Reporter, AttributeId)>),
    ReadReporting(Vec<(Reporter, AttributeId)>),
    ReadReportingRsp(Vec<ReportingRecord>),
    Report(Vec<Record>),
    Default {
        command: u8,
        status: Status,
    },
    Discover {
        start: AttributeId,
        max: u8,
    },
    DiscoverRsp {
        is_complete: bool,
        attributes: Vec<(AttributeId, u8)>,
    },
    ReadStructured(Vec<(AttributeId, Selector)>),
    WriteStructured(Vec<(AttributeId, Selector, Typed)>),
    /// Empty: all were written.
    WriteStructuredRsp(Vec<(Status, AttributeId, Selector)>),
    DiscoverReceived {
        start: u8,
        max: u8,
    },
    DiscoverReceivedRsp {
        is_complete: bool,
        commands: Vec<u8>,
    },
    DiscoverGenerated {
        start: u8,
        max: u8,
    },
    DiscoverGeneratedRsp {
        is_complete: bool,
        commands: Vec<u8>,
    },
    DiscoverExtended {
        start: AttributeId,
        max: u8,
    },
    DiscoverExtendedRsp {
        is_complete: bool,
        attributes: Vec<ExtendedAttribute>,
    },
    /// One that this file has no name for, as it came.
    Other {
        command: u8,
        payload: Vec<u8>,
    },
}

/// How attributes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    Plain,
    /// All or none.
    Undivided,
    /// No answer is wanted.
    NoResponse,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub attribute: AttributeId,
    pub value: Typed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReadRecord {
    pub attribute: AttributeId,
    pub value: Result<Typed, Status>,
}

/// Who reports (the field `direction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The one that is told this.
    Receiver,
    /// The one that tells it; the other is to expect reports.
    Sender,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ReportingConfig {
    Reports {
        attribute: AttributeId,
        data_type: DataType,
        /// Not more often than this, seconds.
        min_s: u16,
        /// At least this often; 0xffff: never (again).
        max_s: u16,
        /// The least change; of analog types only ([`DataType::is_analog`]), where it must be there.
        change: Option<Value>,
    },
    Expect {
        attribute: AttributeId,
        timeout_s: u16,
    },
}

/// An answer to [`General::ReadReporting`].
#[derive(Debug, Clone, PartialEq)]
pub enum ReportingRecord {
    Configured(ReportingConfig),
    Not { status: Status, reporter: Reporter, attribute: AttributeId },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedAttribute {
    pub attribute: AttributeId,
    pub data_type: u8,
    /// Bit 0 readable, 1 writable, 2 reportable.
    pub access: u8,
}

/// What part of an array or structure is meant (§2.5.15.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Bits 4 to 7 of the indicator: 0 a whole or an element, 1 add to a set, 2 remove from it.
    pub action: u8,
    /// At most 15, from the outermost in.
    pub indexes: Vec<u16>,
}

impl General {
    pub fn id(&self) -> u8 {
        match self {
            General::Read(_) => id::READ,
            General::ReadRsp(_) => id::READ_RSP,
            General::Write(WriteKind::Plain, _) => id::WRITE,
            General::Write(WriteKind::Undivided, _) => id::WRITE_UNDIVIDED,
            General::Write(WriteKind::NoResponse, _) => id::WRITE_NO_RSP,
            General::WriteRsp(_) => id::WRITE_RSP,
            General::ConfigureReporting(_) => id::CONFIGURE_REPORTING,
            General::ConfigureReportingRsp(_) => id::CONFIGURE_REPORTING_RSP,
            General::ReadReporting(_) => id::READ_REPORTING,
            General::ReadReportingRsp(_) => id::READ_REPORTING_RSP,
            General::Report(_) => id::REPORT,
            General::Default { .. } => id::DEFAULT_RSP,
            General::Discover { .. } => id::DISCOVER,
            General::DiscoverRsp { .. } => id::DISCOVER_RSP,
            General::ReadStructured(_) => id::READ_STRUCTURED,
            General::WriteStructured(_) => id::WRITE_STRUCTURED,
            General::WriteStructuredRsp(_) => id::WRITE_STRUCTURED_RSP,
            General::DiscoverReceived { .. } => id::DISCOVER_RECEIVED,
            General::DiscoverReceivedRsp { .. } => id::DISCOVER_RECEIVED_RSP,
            General::DiscoverGenerated { .. } => id::DISCOVER_GENERATED,
            General::DiscoverGeneratedRsp { .. } => id::DISCOVER_GENERATED_RSP,
            General::DiscoverExtended { .. } => id::DISCOVER_EXTENDED,
            General::DiscoverExtendedRsp { .. } => id::DISCOVER_EXTENDED_RSP,
            General::Other { command, .. } => *command,
        }
    }

    /// Reads of several attributes.
    pub fn read(attributes: impl IntoIterator<Item = u16>) -> General {
        General::Read(attributes.into_iter().map(AttributeId).collect())
    }

    pub fn default_response(command: u8, status: Status) -> General {
        General::Default { command, status }
    }

    /// Takes all of `reader`. Of read responses and reports the good records before a bad one are kept: makers' own types come last.
    pub fn decode(command: u8, reader: &mut Reader<'_>) -> Result<General, DecodeError> {
        Ok(match command {
            id::READ => General::Read(all(reader, attribute)?),
            id::READ_RSP => General::ReadRsp(good(reader, |reader| {
                let (attribute, status) = (attribute(reader)?, Status(reader.u8()?));
                let value = if status.is_success() { Ok(Typed::decode(reader)?) } else { Err(status) };
                Ok(ReadRecord { attribute, value })
            })?),
            id::WRITE => General::Write(WriteKind::Plain, all(reader, record)?),
            id::WRITE_UNDIVIDED => General::Write(WriteKind::Undivided, all(reader, record)?),
            id::WRITE_NO_RSP => General::Write(WriteKind::NoResponse, all(reader, record)?),
            id::WRITE_RSP => General::WriteRsp(unless_all_well(reader, |reader| {
                let status = Status(reader.u8()?);
                Ok((attribute(reader)?, status))
            })?),
            id::CONFIGURE_REPORTING => General::ConfigureReporting(all(reader, |reader| {
                let reporter = reporter(reader)?;
                let attribute = attribute(reader)?;
                reporting_config(reporter, attribute, reader)
            })?),
            id::CONFIGURE_REPORTING_RSP => General::ConfigureReportingRsp(unless_all_well(reader, |reader| {
                Ok((Status(reader.u8()?), reporter(reader)?, attribute(reader)?))
            })?),
            id::READ_REPORTING => {
                General::ReadReporting(all(reader, |reader| Ok((reporter(reader)?, attribute(reader)?)))?)
            }
            id::READ_REPORTING_RSP => General::ReadReportingRsp(all(reader, |reader| {
                let (status, reporter, attribute) = (Status(reader.u8()?), reporter(reader)?, attribute(reader)?);
                if status.is_success() {
                    reporting_config(reporter, attribute, reader).map(ReportingRecord::Configured)
                } else {
                    Ok(ReportingRecord::Not { status, reporter, attribute })
                }
            })?),
            id::REPORT => General::Report(good(reader, record)?),
            id::DEFAULT_RSP => {
                let answer = General::Default { command: reader.u8()?, status: Status(reader.u8()?) };
                reader.rest();
                answer
            }
            id::DISCOVER => General::Discover { start: attribute(reader)?, max: last(reader)? },
            id::DISCOVER_RSP => {
                let is_complete = reader.u8()? != 0;
                let attributes = all(reader, |reader| Ok((attribute(reader)?, reader.u8()?)))?;
                General::DiscoverRsp { is_complete, attributes }
            }
            id::READ_STRUCTURED => {
                General::ReadStructured(all(reader, |reader| Ok((attribute(reader)?, selector(reader)?)))?)
            }
            id::WRITE_STRUCTURED => General::WriteStructured(all(reader, |reader| {
                Ok((attribute(reader)?, selector(reader)?, Typed::decode(reader)?))
            })?),
            id::WRITE_STRUCTURED_RSP => General::WriteStructuredRsp(unless_all_well(reader, |reader| {
                Ok((Status(reader.u8()?), attribute(reader)?, selector(reader)?))
            })?),
            id::DISCOVER_RECEIVED => General::DiscoverReceived { start: reader.u8()?, max: last(reader)? },
            id::DISCOVER_RECEIVED_RSP => {
                General::DiscoverReceivedRsp { is_complete: reader.u8()? != 0, commands: reader.rest().to_vec() }
            }
            id::DISCOVER_GENERATED => General::DiscoverGenerated { start: reader.u8()?, max: last(reader)? },
            id::DISCOVER_GENERATED_RSP => {
                General::DiscoverGeneratedRsp { is_complete: reader.u8()? != 0, commands: reader.rest().to_vec() }
            }
            id::DISCOVER_EXTENDED => General::DiscoverExtended { start: attribute(reader)?, max: last(reader)? },
            id::DISCOVER_EXTENDED_RSP => {
                let is_complete = reader.u8()? != 0;
                let attributes = all(reader, |reader| {
                    let (attribute, data_type, access) = (attribute(reader)?, reader.u8()?, reader.u8()?);
                    Ok(ExtendedAttribute { attribute, data_type, access })
                })?;
                General::DiscoverExtendedRsp { is_complete, attributes }
            }
            command => General::Other { command, payload: reader.rest().to_vec() },
        })
    }

    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            General::Read(attributes) => attributes.iter().for_each(|attribute| put_attribute(out, *attribute)),
            General::ReadRsp(records) => {
                for record in records {
                    put_attribute(out, record.attribute);
                    match &record.value {
                        Ok(value) => {
                            out.push(Status::SUCCESS.0);
                            value.encode(out)?;
                        }
                        Err(status) => out.push(status.0),
                    }
                }
            }
            General::Write(_, records) | General::Report(records) => {
                for record in records {
                    put_attribute(out, record.attribute);
                    record.value.encode(out)?;
                }
            }
            General::WriteRsp(failed) => {
                for (attribute, status) in failed {
                    out.push(status.0);
                    put_attribute(out, *attribute);
                }
                put_all_well(failed.is_empty(), out);
            }
            General::ConfigureReporting(configs) => {
                for config in configs {
                    put_config_head(config, out);
                    put_config(config, out)?;
                }
            }
            General::ConfigureReportingRsp(failed) => {
                for (status, reporter, attribute) in failed {
                    out.extend_from_slice(&[status.0, reporter.to_u8()]);
                    put_attribute(out, *attribute);
                }
                put_all_well(failed.is_empty(), out);
            }
            General::ReadReporting(wanted) => {
                for (reporter, attribute) in wanted {
                    out.push(reporter.to_u8());
                    put_attribute(out, *attribute);
                }
            }
            General::ReadReportingRsp(records) => {
                for record in records {
                    match record {
                        ReportingRecord::Configured(config) => {
                            out.push(Status::SUCCESS.0);
                            put_config_head(config, out);
                            put_config(config, out)?;
                        }
                        ReportingRecord::Not { status, reporter, attribute } => {
                            out.extend_from_slice(&[status.0, reporter.to_u8()]);
                            put_attribute(out, *attribute);
                        }
                    }
                }
            }
            General::Default { command, status } => out.extend_from_slice(&[*command, status.0]),
            General::Discover { start, max } | General::DiscoverExtended { start, max } => {
                put_attribute(out, *start);
                out.push(*max);
            }
            General::DiscoverRsp { is_complete, attributes } => {
                out.push(u8::from(*is_complete));
                for (attribute, data_type) in attributes {
                    put_attribute(out, *attribute);
                    out.push(*data_type);
                }
            }
            General::ReadStructured(wanted) => {
                for (attribute, selector) in wanted {
                    put_attribute(out, *attribute);
                    put_selector(selector, out)?;
                }
            }
            General::WriteStructured(records) => {
                for (attribute, selector, value) in records {
                    put_attribute(out, *attribute);
                    put_selector(selector, out)?;
                    value.encode(out)?;
                }
            }
            General::WriteStructuredRsp(failed) => {
                for (status, attribute, selector) in failed {
                    out.push(status.0);
                    put_attribute(out, *attribute);
                    put_selector(selector, out)?;
                }
                put_all_well(failed.is_empty(), out);
            }
            General::DiscoverReceived { start, max } | General::DiscoverGenerated { start, max } => {
                out.extend_from_slice(&[*start, *max]);
            }
            General::DiscoverReceivedRsp { is_complete, commands }
            | General::DiscoverGeneratedRsp { is_complete, commands } => {
                out.push(u8::from(*is_complete));
                out.extend_from_slice(commands);
            }
            General::DiscoverExtendedRsp { is_complete, attributes } => {
                out.push(u8::from(*is_complete));
                for ExtendedAttribute { attribute, data_type, access } in attributes {
                    put_attribute(out, *attribute);
                    out.extend_from_slice(&[*data_type, *access]);
                }
            }
            General::Other { payload, .. } => out.extend_from_slice(payload),
        }
        Ok(())
    }
}

impl Reporter {
    fn to_u8(self) -> u8 {
        u8::from(self == Reporter::Sender)
    }
}

/// Items until the end.
fn all<T>(
    reader: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !reader.is_empty() {
        items.push(item(reader)?);
    }
    Ok(items)
}

/// Items until the end, or until one that is no good; an error only where the first is.
fn good<T>(
    reader: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !reader.is_empty() {
        match item(reader) {
            Ok(good) => items.push(good),
            Err(error) if items.is_empty() => return Err(error),
            Err(_) => {
                reader.rest();
            }
        }
    }
    Ok(items)
}

/// A list of failures, or a single success.
fn unless_all_well<T>(
    reader: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if reader.remaining() == 1 {
        let status = reader.u8()?;
        return if status == Status::SUCCESS.0 { Ok(Vec::new()) } else { Err(DecodeError::Invalid(status)) };
    }
    let failed = all(reader, item)?;
    if failed.is_empty() { Err(DecodeError::Short) } else { Ok(failed) }
}

fn put_all_well(is_well: bool, out: &mut Vec<u8>) {
    if is_well {
        out.push(Status::SUCCESS.0);
    }
}

fn attribute(reader: &mut Reader<'_>) -> Result<AttributeId, DecodeError> {
    Ok(AttributeId(reader.u16()?))
}

fn put_attribute(out: &mut Vec<u8>, attribute: AttributeId) {
    put(out, u64::from(attribute.0), 2);
}

fn record(reader: &mut Reader<'_>) -> Result<Record, DecodeError> {
    Ok(Record { attribute: attribute(reader)?, value: Typed::decode(reader)? })
}

fn reporter(reader: &mut Reader<'_>) -> Result<Reporter, DecodeError> {
    match reader.u8()? {
        0 => Ok(Reporter::Receiver),
        1 => Ok(Reporter::Sender),
        other => Err(DecodeError::Invalid(other)),
    }
}

/// The last byte of a request; some leave more behind it.
fn last(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let byte = reader.u8()?;
    reader.rest();
    Ok(byte)
}

fn reporting_config(
    reporter: Reporter,
    attribute: AttributeId,
    reader: &mut Reader<'_>,
) -> Result<ReportingConfig, DecodeError> {
    if reporter == Reporter::Sender {
        return Ok(ReportingConfig::Expect { attribute, timeout_s: reader.u16()? });
    }
    let data_type = read_type(reader)?;
    let (min_s, max_s) = (reader.u16()?, reader.u16()?);
    let change = if data_type.is_analog() { Some(Value::decode(data_type, reader)?) } else { None };
    Ok(ReportingConfig::Reports { attribute, data_type, min_s, max_s, change })
}

fn put_config_head(config: &ReportingConfig, out: &mut Vec<u8>) {
    let (reporter, attribute) = match config {
        ReportingConfig::Reports { attribute, .. } => (Reporter::Receiver, attribute),
        ReportingConfig::Expect { attribute, .. } => (Reporter::Sender, attribute),
    };
    out.push(reporter.to_u8());
    put_attribute(out, *attribute);
}

fn put_config(config: &ReportingConfig, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match config {
        ReportingConfig::Reports { data_type, min_s, max_s, change, .. } => {
            out.push(*data_type as u8);
            put(out, u64::from(*min_s), 2);
            put(out, u64::from(*max_s), 2);
            match change {
                Some(change) if data_type.is_analog() => change.encode(*data_type, out)?,
                None if !data_type.is_analog() => {}
                Some(_) => return Err(EncodeError::Unfit(*data_type)),
                None => return Err(EncodeError::Missing("change")),
            }
        }
        ReportingConfig::Expect { timeout_s, .. } => put(out, u64::from(*timeout_s), 2),
    }
    Ok(())
}

fn selector(reader: &mut Reader<'_>) -> Result<Selector, DecodeError> {
    let indicator = reader.u8()?;
    let indexes = (0..indicator & 0x0f).map(|_| reader.u16()).collect::<Result<_, _>>()?;
    Ok(Selector { action: indicator >> 4, indexes })
}

fn put_selector(selector: &Selector, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let count = u8::try_from(selector.indexes.len()).ok().filter(|count| *count <= 0x0f && selector.action <= 0x0f);
    out.push(selector.action << 4 | count.ok_or(EncodeError::Parameter("selector"))?);
    selector.indexes.iter().for_each(|index| put(out, u64::from(*index), 2));
    Ok(())
}

#[cfg(test)]
#[path = "foundation_tests.rs"]
mod tests;
