//! A cursor over what came from the air or from a stick, little-endian as all of Zigbee. It never panics and never reads
//! past the end: what is missing is [`Short`].

use crate::zigbee::types::Ieee;

/// The bytes ended before the value did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is shorter than what it says")]
pub struct Short;

#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
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

    /// An integer of `len` bytes, at most 8.
    pub fn uint(&mut self, len: usize) -> Result<u64, Short> {
        Ok(self.take(len.min(8))?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub fn ieee(&mut self) -> Result<Ieee, Short> {
        self.u64().map(Ieee)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_in_order_and_stops_at_the_end() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((reader.u8(), reader.u16(), reader.uint(3)), (Ok(1), Ok(0x0302), Ok(0x0006_0504)));
        assert_eq!(reader.u32(), Err(Short), "three are left");
        assert_eq!(
            (reader.take(3), reader.u8()),
            (Ok(&[7, 8, 9][..]), Err(Short)),
            "and a failed read took none of them"
        );
    }
}
