//! A cursor over a frame's bytes, little-endian as all of ZCL is. Never reads past the end, never allocates more than it was given.

/// A frame that ends before what it began, or says what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the frame ends too early")]
    Short,
    #[error("there is no data type {0:#04x}")]
    UnknownType(u8),
    #[error("a value holds values that hold values, deeper than any device does")]
    TooDeep,
    #[error("frame type {0} is reserved")]
    FrameType(u8),
    #[error("the frame says {0:#04x} where that cannot be")]
    Invalid(u8),
}

/// What is left of a frame.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// `width` bytes, at most 8.
    pub fn unsigned(&mut self, width: u8) -> Result<u64, DecodeError> {
        let taken = self.take(usize::from(width))?;
        Ok(taken.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub fn signed(&mut self, width: u8) -> Result<i64, DecodeError> {
        let unused_bits = 64 - 8 * u32::from(width);
        Ok((self.unsigned(width)? << unused_bits).cast_signed() >> unused_bits)
    }
}

/// The lowest `width` bytes of `value`.
pub fn put(out: &mut Vec<u8>, value: u64, width: u8) {
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_odd_widths() {
        let mut reader = Reader::new(&[0x01, 0x02, 0x03, 0xff, 0xff, 0x7f, 0xff]);
        assert_eq!(reader.unsigned(3), Ok(0x03_0201));
        assert_eq!(reader.signed(3), Ok(0x7f_ffff));
        assert_eq!(reader.signed(1), Ok(-1));
        assert_eq!(reader.u8(), Err(DecodeError::Short));
        let mut out = Vec::new();
        put(&mut out, (-2i64).cast_unsigned(), 3);
        assert_eq!(out, [0xfe, 0xff, 0xff]);
    }
}
