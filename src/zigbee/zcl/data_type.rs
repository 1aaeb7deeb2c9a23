//! The data types of ZCL attributes and parameters (ZCL r8 §2.6.2, table 2-10). Knows their numbers, widths and non-values; reads
//! and writes nothing.

use std::fmt;

/// A type as it stands before a value on the air. All others are unknown, and a value of them cannot be skipped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DataType {
    NoData = 0x00,
    Data8 = 0x08,
    Data16 = 0x09,
    Data24 = 0x0a,
    Data32 = 0x0b,
    Data40 = 0x0c,
    Data48 = 0x0d,
    Data56 = 0x0e,
    Data64 = 0x0f,
    Bool = 0x10,
    Bitmap8 = 0x18,
    Bitmap16 = 0x19,
    Bitmap24 = 0x1a,
    Bitmap32 = 0x1b,
    Bitmap40 = 0x1c,
    Bitmap48 = 0x1d,
    Bitmap56 = 0x1e,
    Bitmap64 = 0x1f,
    U8 = 0x20,
    U16 = 0x21,
    U24 = 0x22,
    U32 = 0x23,
    U40 = 0x24,
    U48 = 0x25,
    U56 = 0x26,
    U64 = 0x27,
    I8 = 0x28,
    I16 = 0x29,
    I24 = 0x2a,
    I32 = 0x2b,
    I40 = 0x2c,
    I48 = 0x2d,
    I56 = 0x2e,
    I64 = 0x2f,
    Enum8 = 0x30,
    Enum16 = 0x31,
    /// Half precision.
    Semi = 0x38,
    Single = 0x39,
    Double = 0x3a,
    OctetString = 0x41,
    CharString = 0x42,
    LongOctetString = 0x43,
    LongCharString = 0x44,
    Array = 0x48,
    Struct = 0x4c,
    Set = 0x50,
    Bag = 0x51,
    TimeOfDay = 0xe0,
    Date = 0xe1,
    /// Seconds since 2000-01-01 00:00 UTC.
    UtcTime = 0xe2,
    ClusterId = 0xe8,
    AttributeId = 0xe9,
    BacnetOid = 0xea,
    Ieee = 0xf0,
    Key = 0xf1,
}

/// What a type's values are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Nothing,
    Bool,
    /// Width in bytes, 1 to 8.
    Unsigned(u8),
    Signed(u8),
    Float(u8),
    /// Width of the length before the bytes, 1 or 2.
    Bytes(u8),
    Text(u8),
    List,
    Struct,
    TimeOfDay,
    Date,
    Ieee,
    Key,
}

impl DataType {
    /// All types, in the order of their numbers.
    pub const ALL: [DataType; 55] = [
        DataType::NoData,
        DataType::Data8,
        DataType::Data16,
        DataType::Data24,
        DataType::Data32,
        DataType::Data40,
        DataType::Data48,
        DataType::Data56,
        DataType::Data64,
        DataType::Bool,
        DataType::Bitmap8,
        DataType::Bitmap16,
        DataType::Bitmap24,
        DataType::Bitmap32,
        DataType::Bitmap40,
        DataType::Bitmap48,
        DataType::Bitmap56,
        DataType::Bitmap64,
        DataType::U8,
        DataType::U16,
        DataType::U24,
        DataType::U32,
        DataType::U40,
        DataType::U48,
        DataType::U56,
        DataType::U64,
        DataType::I8,
        DataType::I16,
        DataType::I24,
        DataType::I32,
        DataType::I40,
        DataType::I48,
        DataType::I56,
        DataType::I64,
        DataType::Enum8,
        DataType::Enum16,
        DataType::Semi,
        DataType::Single,
        DataType::Double,
        DataType::OctetString,
        DataType::CharString,
        DataType::LongOctetString,
        DataType::LongCharString,
        DataType::Array,
        DataType::Struct,
        DataType::Set,
        DataType::Bag,
        DataType::TimeOfDay,
        DataType::Date,
        DataType::UtcTime,
        DataType::ClusterId,
        DataType::AttributeId,
        DataType::BacnetOid,
        DataType::Ieee,
        DataType::Key,
    ];

    pub fn from_u8(number: u8) -> Option<DataType> {
        DataType::ALL.into_iter().find(|data_type| *data_type as u8 == number)
    }

    pub fn shape(self) -> Shape {
        use DataType::*;
        let number = self as u8;
        match self {
            NoData => Shape::Nothing,
            Bool => Shape::Bool,
            Data8 | Data16 | Data24 | Data32 | Data40 | Data48 | Data56 | Data64 => Shape::Unsigned(number - 0x07),
            Bitmap8 | Bitmap16 | Bitmap24 | Bitmap32 | Bitmap40 | Bitmap48 | Bitmap56 | Bitmap64 => {
                Shape::Unsigned(number - 0x17)
            }
            U8 | U16 | U24 | U32 | U40 | U48 | U56 | U64 => Shape::Unsigned(number - 0x1f),
            I8 | I16 | I24 | I32 | I40 | I48 | I56 | I64 => Shape::Signed(number - 0x27),
            Enum8 => Shape::Unsigned(1),
            Enum16 | ClusterId | AttributeId => Shape::Unsigned(2),
            UtcTime | BacnetOid => Shape::Unsigned(4),
            Semi => Shape::Float(2),
            Single => Shape::Float(4),
            Double => Shape::Float(8),
            OctetString => Shape::Bytes(1),
            LongOctetString => Shape::Bytes(2),
            CharString => Shape::Text(1),
            LongCharString => Shape::Text(2),
            Array | Set | Bag => Shape::List,
            Struct => Shape::Struct,
            TimeOfDay => Shape::TimeOfDay,
            Date => Shape::Date,
            Ieee => Shape::Ieee,
            Key => Shape::Key,
        }
    }

    /// A value that can grow and shrink: reporting of it takes a least change (ZCL r8 §2.5.7.1.7).
    pub fn is_analog(self) -> bool {
        use DataType::*;
        matches!(
            self,
            U8 | U16
                | U24
                | U32
                | U40
                | U48
                | U56
                | U64
                | I8
                | I16
                | I24
                | I32
                | I40
                | I48
                | I56
                | I64
                | Semi
                | Single
                | Double
        ) || matches!(self, TimeOfDay | Date | UtcTime)
    }

    /// The number that means "no value" of the integer types: all bits of an unsigned one, the least of a signed one. Makers use
    /// some of them as values, so that decoding leaves them as they are.
    pub fn non_value(self) -> Option<i128> {
        use DataType::*;
        match (self, self.shape()) {
            (U8 | U16 | U24 | U32 | U40 | U48 | U56 | U64 | Enum8 | Enum16, Shape::Unsigned(width))
            | (UtcTime | ClusterId | AttributeId | BacnetOid, Shape::Unsigned(width)) => {
                Some((1 << (8 * i128::from(width))) - 1)
            }
            (_, Shape::Signed(width)) => Some(-(1 << (8 * i128::from(width) - 1))),
            _ => None,
        }
    }
}

impl fmt::Debug for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", *self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_non_values_are_those_of_the_table() {
        for (data_type, shape) in [
            (DataType::Data8, Shape::Unsigned(1)),
            (DataType::Data64, Shape::Unsigned(8)),
            (DataType::Bitmap24, Shape::Unsigned(3)),
            (DataType::U40, Shape::Unsigned(5)),
            (DataType::I56, Shape::Signed(7)),
        ] {
            assert_eq!(data_type.shape(), shape, "{data_type:?}");
        }
        assert_eq!(DataType::U24.non_value(), Some(0xff_ffff));
        assert_eq!(DataType::I16.non_value(), Some(-0x8000));
        assert_eq!(DataType::I64.non_value(), Some(i128::from(i64::MIN)));
        assert_eq!(DataType::Bitmap8.non_value(), None);
    }

    #[test]
    fn a_number_and_its_type_are_the_same_thing() {
        assert!(DataType::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for data_type in DataType::ALL {
            assert_eq!(DataType::from_u8(data_type as u8), Some(data_type));
        }
        let known = (0..=u8::MAX).filter(|number| DataType::from_u8(*number).is_some()).count();
        assert_eq!(known, DataType::ALL.len());
    }
}
