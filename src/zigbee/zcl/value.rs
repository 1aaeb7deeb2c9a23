//! Values of ZCL's data types, from bytes and back (ZCL r8 §2.6.2). Knows no attribute and no unit.

use crate::zigbee::bytes::{Reader, put};
use crate::zigbee::types::{Ieee, Key};
use crate::zigbee::zcl::data_type::{DataType, Shape};
use crate::zigbee::zcl::error::DecodeError;

/// Values within values: ZCL allows 15 (§2.6.2.15), and no device is known that goes beyond 2.
const DEPTH_MAX: u8 = 4;

/// A value. Its type is beside it, in a [`Typed`] or in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The type's way to say that there is none: a float that is no number, a string or list of length 0xff or 0xffff, a bool that is
    /// 0xff. Integers keep their number; ask [`Value::known`].
    Absent,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Box<str>),
    /// An octet string; also a character string that is not UTF-8, such as the one that Xiaomi keeps its own values in.
    Bytes(Box<[u8]>),
    /// Hours, minutes, seconds, hundredths; 0xff: not said.
    TimeOfDay([u8; 4]),
    /// Year less 1900, month, day, day of week (Monday is 1); 0xff: not said.
    Date([u8; 4]),
    Ieee(Ieee),
    Key(Key),
    /// An array, set or bag.
    List(DataType, Box<[Value]>),
    Struct(Box<[Typed]>),
    /// The parameters of a command that come again and again, such as Tuya's data points. Not a type of attributes.
    Rows(Box<[Box<[Value]>]>),
}

/// A value with its type, as attributes are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    pub data_type: DataType,
    pub value: Value,
}

/// The value is not one of the type, or too large for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("the value does not fit the data type {0:?}")]
    Unfit(DataType),
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    #[error("the parameter {0} takes another value")]
    Parameter(&'static str),
    #[error("no such {0} in the table")]
    Unknown(&'static str),
}

impl Typed {
    pub fn new(data_type: DataType, value: impl Into<Value>) -> Typed {
        Typed { data_type, value: value.into() }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Typed, DecodeError> {
        Typed::decode_at(reader, 0)
    }

    fn decode_at(reader: &mut Reader<'_>, depth: u8) -> Result<Typed, DecodeError> {
        let data_type = read_type(reader)?;
        Ok(Typed { data_type, value: Value::decode_at(data_type, reader, depth)? })
    }

    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(self.data_type as u8);
        self.value.encode(self.data_type, out)
    }

    /// The value, or nothing where it is the type's non-value.
    pub fn known(&self) -> Option<&Value> {
        self.value.known(self.data_type)
    }
}

/// The type's number before a value.
pub fn read_type(reader: &mut Reader<'_>) -> Result<DataType, DecodeError> {
    let number = reader.u8()?;
    DataType::from_u8(number).ok_or(DecodeError::UnknownType(number))
}

impl Value {
    pub fn decode(data_type: DataType, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
        Value::decode_at(data_type, reader, 0)
    }

    fn decode_at(data_type: DataType, reader: &mut Reader<'_>, depth: u8) -> Result<Value, DecodeError> {
        Ok(match data_type.shape() {
            Shape::Nothing => Value::Absent,
            Shape::Bool => match reader.u8()? {
                0xff => Value::Absent,
                // Devices say 1 and also other numbers.
                byte => Value::Bool(byte != 0),
            },
            Shape::Unsigned(width) => Value::Unsigned(reader.unsigned(width)?),
            Shape::Signed(width) => Value::Signed(reader.signed(width)?),
            Shape::Float(width) => float(match width {
                2 => f64_of_half(reader.u16()?),
                4 => f64::from(f32::from_le_bytes(reader.array()?)),
                _ => f64::from_le_bytes(reader.array()?),
            }),
            Shape::Bytes(width) => match length(reader, width)? {
                Some(length) => Value::Bytes(reader.take(length)?.into()),
                None => Value::Absent,
            },
            Shape::Text(width) => match length(reader, width)? {
                Some(length) => {
                    let bytes = reader.take(length)?;
                    std::str::from_utf8(bytes)
                        .map_or_else(|_| Value::Bytes(bytes.into()), |text| Value::Text(text.into()))
                }
                None => Value::Absent,
            },
            Shape::List => {
                let element = read_type(reader)?;
                match length(reader, 2)? {
                    Some(_) if depth >= DEPTH_MAX => return Err(DecodeError::TooDeep),
                    // Elements without bytes could be had by the thousand for four.
                    Some(count) if element == DataType::NoData && count > 0 => {
                        return Err(DecodeError::UnknownType(element as u8));
                    }
                    Some(count) => {
                        let elements = (0..count).map(|_| Value::decode_at(element, reader, depth + 1));
                        Value::List(element, elements.collect::<Result<_, _>>()?)
                    }
                    None => Value::Absent,
                }
            }
            Shape::Struct => match length(reader, 2)? {
                Some(_) if depth >= DEPTH_MAX => return Err(DecodeError::TooDeep),
                Some(count) => {
                    let elements = (0..count).map(|_| Typed::decode_at(reader, depth + 1));
                    Value::Struct(elements.collect::<Result<_, _>>()?)
                }
                None => Value::Absent,
            },
            Shape::TimeOfDay => Value::TimeOfDay(reader.array()?),
            Shape::Date => Value::Date(reader.array()?),
            Shape::Ieee => Value::Ieee(Ieee(reader.unsigned(8)?)),
            Shape::Key => Value::Key(Key(reader.array()?)),
        })
    }

    pub fn encode(&self, data_type: DataType, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let unfit = EncodeError::Unfit(data_type);
        match (data_type.shape(), self) {
            (Shape::Nothing, Value::Absent) => {}
            (Shape::Bool, Value::Absent) => out.push(0xff),
            (Shape::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
            (Shape::Bool, Value::Unsigned(value @ 0..=1)) => put(out, *value, 1),
            (Shape::Unsigned(width) | Shape::Signed(width), Value::Absent) => {
                let value = data_type.non_value().ok_or(unfit)?;
                out.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
            }
            (Shape::Unsigned(width), value) => {
                let value = value.as_u64().filter(|value| width == 8 || value >> (8 * width) == 0).ok_or(unfit)?;
                put(out, value, width);
            }
            (Shape::Signed(width), value) => {
                let fits = |value: &i64| {
                    let unused_bits = 64 - 8 * u32::from(width);
                    (value << unused_bits) >> unused_bits == *value
                };
                let value = value.as_i64().filter(fits).ok_or(unfit)?;
                put(out, value.cast_unsigned(), width);
            }
            (Shape::Float(width), value) => {
                let value = match value {
                    Value::Absent => f64::NAN,
                    value => value.as_f64().ok_or(unfit)?,
                };
                match width {
                    2 => out.extend_from_slice(&half_of_f64(value).to_le_bytes()),
                    // The nearest of the narrower type is what is meant.
                    4 => out.extend_from_slice(&(value as f32).to_le_bytes()),
                    _ => out.extend_from_slice(&value.to_le_bytes()),
                }
            }
            (Shape::Bytes(width) | Shape::Text(width), value) => {
                if *value == Value::Absent {
                    put(out, u64::MAX, width);
                    return Ok(());
                }
                let bytes = value.as_bytes().ok_or(unfit)?;
                put_length(out, bytes.len(), width).ok_or(unfit)?;
                out.extend_from_slice(bytes);
            }
            (Shape::List, Value::Absent) => out.extend_from_slice(&[DataType::U8 as u8, 0xff, 0xff]),
            (Shape::List, Value::List(element, values)) => {
                out.push(*element as u8);
                put_length(out, values.len(), 2).ok_or(unfit)?;
                for value in values {
                    value.encode(*element, out)?;
                }
            }
            (Shape::Struct, Value::Absent) => put(out, u64::MAX, 2),
            (Shape::Struct, Value::Struct(values)) => {
                put_length(out, values.len(), 2).ok_or(unfit)?;
                for value in values {
                    value.encode(out)?;
                }
            }
            (Shape::TimeOfDay, Value::TimeOfDay(bytes)) | (Shape::Date, Value::Date(bytes)) => {
                out.extend_from_slice(bytes);
            }
            (Shape::TimeOfDay | Shape::Date, Value::Absent) => put(out, u64::MAX, 4),
            (Shape::Ieee, Value::Ieee(ieee)) => put(out, ieee.0, 8),
            (Shape::Ieee, Value::Absent) => put(out, u64::MAX, 8),
            (Shape::Key, Value::Key(key)) => out.extend_from_slice(&key.0),
            _ => return Err(unfit),
        }
        Ok(())
    }

    /// Itself, or nothing where it is the type's non-value.
    pub fn known(&self, data_type: DataType) -> Option<&Value> {
        let number = match self {
            Value::Absent => return None,
            Value::Unsigned(value) => i128::from(*value),
            Value::Signed(value) => i128::from(*value),
            _ => return Some(self),
        };
        (data_type.non_value() != Some(number)).then_some(self)
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => self.as_i64().map(|value| value != 0),
        }
    }

    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Unsigned(value) => Some(*value),
            Value::Signed(value) => u64::try_from(*value).ok(),
            Value::Bool(value) => Some(u64::from(*value)),
            Value::Float(value) if value.fract() == 0.0 && (0.0..9e15).contains(value) => Some(*value as u64),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Signed(value) => Some(*value),
            Value::Unsigned(value) => i64::try_from(*value).ok(),
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Float(value) if value.fract() == 0.0 && (-9e15..9e15).contains(value) => Some(*value as i64),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Unsigned(value) => Some(*value as f64),
            Value::Signed(value) => Some(*value as f64),
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// Of octet and of character strings.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }
}

macro_rules! from_numbers {
    ($($from:ty => $variant:ident as $to:ty),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$variant(<$to>::from(value))
            }
        }
    )*};
}
from_numbers!(u8 => Unsigned as u64, u16 => Unsigned as u64, u32 => Unsigned as u64, u64 => Unsigned as u64);
from_numbers!(i8 => Signed as i64, i16 => Signed as i64, i32 => Signed as i64, i64 => Signed as i64);
from_numbers!(f32 => Float as f64, f64 => Float as f64, bool => Bool as bool);

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.into())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        Value::Bytes(value.into())
    }
}

impl From<Ieee> for Value {
    fn from(value: Ieee) -> Value {
        Value::Ieee(value)
    }
}

fn float(value: f64) -> Value {
    if value.is_nan() { Value::Absent } else { Value::Float(value) }
}

/// A length before a string or list; nothing where it is the non-value.
fn length(reader: &mut Reader<'_>, width: u8) -> Result<Option<usize>, DecodeError> {
    let (length, none) = if width == 1 {
        (usize::from(reader.u8()?), usize::from(u8::MAX))
    } else {
        (usize::from(reader.u16()?), usize::from(u16::MAX))
    };
    Ok((length != none).then_some(length))
}

fn put_length(out: &mut Vec<u8>, length: usize, width: u8) -> Option<()> {
    let length_max = if width == 1 { 0xfe } else { 0xfffe };
    let length = u64::try_from(length).ok().filter(|length| *length <= length_max)?;
    put(out, length, width);
    Some(())
}

/// IEEE 754 half precision: 1 bit sign, 5 of the exponent, 10 of the fraction.
fn f64_of_half(half: u16) -> f64 {
    let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// The nearest, ties to the even one.
fn half_of_f64(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return 0x7e00;
    }
    // Halfway between the largest of them and the next that would be.
    if size >= 65_520.0 {
        return sign | 0x7c00;
    }
    if size < 2f64.powi(-14) {
        return sign | (size * 2f64.powi(24)).round_ties_even() as u16;
    }
    let exponent = size.log2().floor() as i32;
    // A rounding up to the next power of two carries into the exponent by itself.
    let fraction = ((size / 2f64.powi(exponent) - 1.0) * 1024.0).round_ties_even() as u16;
    sign | (((exponent + 15) as u16) << 10).wrapping_add(fraction)
}

#[cfg(test)]
#[path = "value_tests.rs"]
pub mod tests;
