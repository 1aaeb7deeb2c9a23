//! A cursor over what came from the air or from a stick, little-endian as all of Zigbee. It never panics, never reads past the end,
//! and never allocates: what is missing is [`Short`].

use crate::zigbee::types::Ieee;

/// The bytes ended before the value did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is shorter than what it says")]
pub struct Short;

/// What is left of a message.
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

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// All that has not been read.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn ieee(&mut self) -> Result<Ieee, Short> {
        self.u64().map(Ieee)
    }

    /// `width` bytes, at most 8.
    pub fn unsigned(&mut self, width: u8) -> Result<u64, Short> {
        let taken = self.take(usize::from(width))?;
        Ok(taken.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub fn signed(&mut self, width: u8) -> Result<i64, Short> {
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
    fn it_reads_in_order_and_stops_at_the_end() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((reader.u8(), reader.u16(), reader.unsigned(3)), (Ok(1), Ok(0x0302), Ok(0x0006_0504)));
        assert_eq!(reader.u32(), Err(Short), "three are left");
        assert_eq!(
            (reader.take(3), reader.u8()),
            (Ok(&[7, 8, 9][..]), Err(Short)),
            "and a failed read took none of them"
        );
    }

    #[test]
    fn numbers_of_odd_widths() {
        let mut reader = Reader::new(&[0x01, 0x02, 0x03, 0xff, 0xff, 0x7f, 0xff]);
        assert_eq!(reader.unsigned(3), Ok(0x03_0201));
        assert_eq!(reader.signed(3), Ok(0x7f_ffff));
        assert_eq!(reader.signed(1), Ok(-1));
        let mut out = Vec::new();
        put(&mut out, (-2i64).cast_unsigned(), 3);
        assert_eq!(out, [0xfe, 0xff, 0xff]);
    }
}
