//! Parameters of clusters' commands, from bytes and back, as the tables of `clusters` say. The same for the device's side: a
//! command is a command, whoever sends it.

use crate::zigbee::bytes::{Reader, Short, put};
use crate::zigbee::zcl::clusters::{Command, Field, Kind, When};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::error::DecodeError;
use crate::zigbee::zcl::value::{EncodeError, Value};

/// The parameters that are there, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(pub Vec<(&'static str, Value)>);

impl Fields {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    pub fn u64(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    pub fn rows(&self, name: &str) -> &[Box<[Value]>] {
        if let Some(Value::Rows(rows)) = self.get(name) { rows } else { &[] }
    }
}

/// Reads what is there. A device that leaves out the last parameters is understood; bytes behind the last are left in `reader`.
pub fn decode(command: &Command, reader: &mut Reader<'_>) -> Result<Fields, DecodeError> {
    // By their index, for the conditions.
    let mut values: Vec<Option<Value>> = Vec::with_capacity(command.fields.len());
    for field in command.fields {
        let is_there = field.when.iter().all(|when| holds(*when, &values, Some(reader.remaining())));
        // A list may well be empty; another value has bytes.
        let is_list = !matches!(field.kind, Kind::Value(_) | Kind::BigEndian24 | Kind::MiboxerZones);
        let value = if is_there && (is_list || !reader.is_empty()) {
            Some(value(command, field, &values, reader)?)
        } else {
            None
        };
        values.push(value);
    }
    let named = command.fields.iter().zip(values).filter_map(|(field, value)| Some((field.name, value?)));
    Ok(Fields(named.collect()))
}

/// Writes the parameters of the command out of `given`, in any order. A parameter whose conditions do not hold is left out,
/// one that is missing is an error unless it may be left out; so is one that the command does not have, and a count that is not
/// that of its list.
pub fn encode(command: &Command, given: &[(&str, Value)], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if given.iter().any(|(name, _)| !command.fields.iter().any(|field| field.name == *name)) {
        return Err(EncodeError::Unknown("parameter"));
    }
    let mut values: Vec<Option<Value>> = Vec::with_capacity(command.fields.len());
    for field in command.fields {
        let value = given.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value);
        let is_there = field.when.iter().all(|when| holds(*when, &values, None));
        let may_lack = field.when.iter().any(|when| matches!(when, When::Left(_)));
        match value {
            Some(value) if is_there => {
                put_value(command, field, value, &values, out)?;
                values.push(Some(value.clone()));
            }
            None if is_there && !may_lack => return Err(EncodeError::Missing(field.name)),
            _ => values.push(None),
        }
    }
    Ok(())
}

/// `left` is how many bytes there are to read; `None` while writing.
fn holds(when: When, values: &[Option<Value>], left: Option<usize>) -> bool {
    let number = |field: u8| {
        let value = values.get(usize::from(field)).and_then(Option::as_ref);
        value.and_then(Value::as_u64)
    };
    match when {
        When::Left(bytes) => left.is_none_or(|left| left >= usize::from(bytes)),
        When::Is { field, value } => number(field) == Some(u64::from(value)),
        When::IsNot { field, value } => number(field).is_some_and(|number| number != u64::from(value)),
        When::Above { field, value } => number(field).is_some_and(|number| number > u64::from(value)),
        When::AllBits { field, mask } => {
            number(field).is_some_and(|number| number & u64::from(mask) == u64::from(mask))
        }
        When::NotAllBits { field, mask } => {
            number(field).is_some_and(|number| number & u64::from(mask) != u64::from(mask))
        }
        When::Part { field, shift, mask, is } => {
            number(field).is_some_and(|number| number >> shift & u64::from(mask) == u64::from(is))
        }
    }
}

/// How many there are, which the parameter before says; 0 where it is not there.
fn count(values: &[Option<Value>]) -> usize {
    let before = values.last().and_then(Option::as_ref).and_then(Value::as_u64);
    before.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

/// Of a thermostat's schedule how many rows there are, and how many set points in each: bit 0 of the mode heat, bit 1 cool.
fn schedule(command: &Command, values: &[Option<Value>]) -> (usize, usize) {
    let number = |name: &str| {
        let at = command.fields.iter().position(|field| field.name == name);
        at.and_then(|at| values.get(at)).and_then(Option::as_ref).and_then(Value::as_u64).unwrap_or(0)
    };
    let rows = usize::try_from(number("numoftrans")).unwrap_or(0);
    (rows, (number("mode") & 0b11).count_ones() as usize)
}

fn value(
    command: &Command,
    field: &Field,
    values: &[Option<Value>],
    reader: &mut Reader<'_>,
) -> Result<Value, DecodeError> {
    let unsigned = |reader: &mut Reader<'_>, width: u8| reader.unsigned(width).map(Value::Unsigned);
    Ok(match field.kind {
        Kind::Value(data_type) => Value::decode(data_type, reader)?,
        Kind::BigEndian24 => {
            let [high, middle, low] = reader.array()?;
            Value::Unsigned(u64::from(u32::from_be_bytes([0, high, middle, low])))
        }
        Kind::Bytes { counted: false } => Value::Bytes(reader.rest().into()),
        Kind::Bytes { counted: true } => match count(values) {
            // Green Power: no payload is said by 0xff.
            0xff if reader.remaining() < 0xff => Value::Absent,
            count => Value::Bytes(reader.take(count)?.into()),
        },
        Kind::List { width, counted } => {
            let element = element(width);
            let mut list = Vec::new();
            while if counted { list.len() < count(values) } else { reader.remaining() >= usize::from(width) } {
                list.push(unsigned(reader, width)?);
            }
            Value::List(element, list.into())
        }
        Kind::ZoneInfo => {
            let rows = (0..count(values)).map(|_| Ok([unsigned(reader, 1)?, unsigned(reader, 2)?].into()));
            Value::Rows(rows.collect::<Result<_, Short>>()?)
        }
        Kind::MiboxerZones => {
            let rows = (0..reader.u8()?).map(|_| Ok([unsigned(reader, 2)?, unsigned(reader, 1)?].into()));
            Value::Rows(rows.collect::<Result<_, Short>>()?)
        }
        Kind::Transitions => {
            let (rows, set_points) = schedule(command, values);
            let row = |_| {
                let mut row = vec![unsigned(reader, 2)?];
                for _ in 0..set_points {
                    row.push(Value::Signed(reader.signed(2)?));
                }
                Ok(row.into())
            };
            Value::Rows((0..rows).map(row).collect::<Result<_, Short>>()?)
        }
        Kind::ExtensionSets => {
            let mut rows: Vec<Box<[Value]>> = Vec::new();
            while !reader.is_empty() {
                let cluster = unsigned(reader, 2)?;
                let length = reader.u8()?;
                rows.push([cluster, Value::Bytes(reader.take(usize::from(length))?.into())].into());
            }
            Value::Rows(rows.into())
        }
        Kind::TuyaPoints => {
            let mut rows: Vec<Box<[Value]>> = Vec::new();
            while !reader.is_empty() {
                match tuya_point(reader) {
                    Ok(row) => rows.push(row),
                    // Some devices add a byte or two; the points before them are good.
                    Err(_) if !rows.is_empty() => {
                        reader.rest();
                    }
                    Err(error) => return Err(error),
                }
            }
            Value::Rows(rows.into())
        }
    })
}

fn tuya_point(reader: &mut Reader<'_>) -> Result<Box<[Value]>, DecodeError> {
    let (point, data_type) = (reader.u8()?, reader.u8()?);
    let length = u16::from_be_bytes(reader.array()?);
    Ok([point.into(), data_type.into(), Value::Bytes(reader.take(usize::from(length))?.into())].into())
}

fn element(width: u8) -> DataType {
    match width {
        1 => DataType::U8,
        2 => DataType::U16,
        3 => DataType::U24,
        _ => DataType::U32,
    }
}

fn put_value(
    command: &Command,
    field: &Field,
    value: &Value,
    values: &[Option<Value>],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let unfit = EncodeError::Parameter(field.name);
    let counted = |length: usize| if count(values) == length { Ok(()) } else { Err(unfit) };
    match (field.kind, value) {
        (Kind::Value(data_type), value) => value.encode(data_type, out).map_err(|_| unfit)?,
        (Kind::BigEndian24, value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).ok_or(unfit)?;
            let [0, high, middle, low] = number.to_be_bytes() else { return Err(unfit) };
            out.extend_from_slice(&[high, middle, low]);
        }
        (Kind::Bytes { counted: true }, Value::Absent) => counted(0xff)?,
        (Kind::Bytes { counted: is_counted }, value) => {
            let bytes = value.as_bytes().ok_or(unfit)?;
            if is_counted {
                counted(bytes.len())?;
            }
            out.extend_from_slice(bytes);
        }
        (Kind::List { width, counted: is_counted }, Value::List(_, list)) => {
            if is_counted {
                counted(list.len())?;
            }
            for value in list {
                value.encode(element(width), out).map_err(|_| unfit)?;
            }
        }
        (Kind::ZoneInfo, Value::Rows(rows)) => {
            counted(rows.len())?;
            put_rows(rows, &[DataType::U8, DataType::U16], out).ok_or(unfit)?;
        }
        (Kind::MiboxerZones, Value::Rows(rows)) => {
            out.push(u8::try_from(rows.len()).map_err(|_| unfit)?);
            put_rows(rows, &[DataType::U16, DataType::U8], out).ok_or(unfit)?;
        }
        (Kind::Transitions, Value::Rows(rows)) => {
            let (count, set_points) = schedule(command, values);
            let types = [DataType::U16, DataType::I16, DataType::I16];
            if rows.len() != count {
                return Err(unfit);
            }
            put_rows(rows, &types[..=set_points], out).ok_or(unfit)?;
        }
        (Kind::ExtensionSets, Value::Rows(rows)) => {
            put_rows(rows, &[DataType::U16, DataType::OctetString], out).ok_or(unfit)?;
        }
        (Kind::TuyaPoints, Value::Rows(rows)) => {
            for row in rows {
                let [point, data_type, value] = &**row else { return Err(unfit) };
                let head = (point.as_u64(), data_type.as_u64(), value.as_bytes());
                let (Some(point @ 0..=0xff), Some(data_type @ 0..=0xff), Some(bytes)) = head else { return Err(unfit) };
                put(out, point, 1);
                put(out, data_type, 1);
                out.extend_from_slice(&u16::try_from(bytes.len()).map_err(|_| unfit)?.to_be_bytes());
                out.extend_from_slice(bytes);
            }
        }
        _ => return Err(unfit),
    }
    Ok(())
}

fn put_rows(rows: &[Box<[Value]>], types: &[DataType], out: &mut Vec<u8>) -> Option<()> {
    for row in rows {
        if row.len() != types.len() {
            return None;
        }
        for (value, data_type) in row.iter().zip(types) {
            // A length of 0xff is that of a string that is none.
            value.known(*data_type).or(matches!(value, Value::Unsigned(_) | Value::Signed(_)).then_some(value))?;
            value.encode(*data_type, out).ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
