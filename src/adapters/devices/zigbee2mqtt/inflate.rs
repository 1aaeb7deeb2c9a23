//! DEFLATE (RFC 1951), unpacked within a limit. Small and slow enough for a file of some kilobytes; knows no ZIP.

/// Bits of the longest code.
const BITS_MAX: usize = 15;

/// Symbols of the two alphabets (§3.2.5, §3.2.6), and of the one that describes them (§3.2.7).
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
const LENGTHS: usize = 19;

const END_OF_BLOCK: u16 = 256;

/// §3.2.5: the smallest length and distance of a symbol, and how many bits more it has.
const LENGTH_BASE: [u16; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
    8193, 12289, 16385, 24577,
];
const DISTANCE_BITS: [u8; 30] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

/// §3.2.7: in which order the lengths of the codes for lengths stand.
const LENGTH_ORDER: [usize; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What `packed` holds; `None` where it is broken, or longer than `bytes_max`.
pub fn inflate(packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut bits = Bits { bytes: packed, at: 0 };
    let mut out = Vec::new();
    loop {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut out)?,
            1 => {
                let lengths = |symbol: usize| match symbol {
                    0..144 => 8,
                    144..256 => 9,
                    256..280 => 7,
                    _ => 8,
                };
                let literals: Vec<u8> = (0..LITERALS).map(lengths).collect();
                block(&mut bits, &mut out, &Codes::new(&literals)?, &Codes::new(&[5; DISTANCES])?, bytes_max)?;
            }
            2 => {
                let (literals, distances) = described(&mut bits)?;
                block(&mut bits, &mut out, &literals, &distances, bytes_max)?;
            }
            _ => return None,
        }
        if out.len() > bytes_max {
            return None;
        }
        if is_last {
            return Some(out);
        }
    }
}

/// §3.2.4: bytes as they are.
fn stored(bits: &mut Bits, out: &mut Vec<u8>) -> Option<()> {
    let from = bits.at.div_ceil(8);
    let (len, check) = (bits.bytes.get(from..from + 2)?, bits.bytes.get(from + 2..from + 4)?);
    let len = u16::from_le_bytes(len.try_into().ok()?);
    if len != !u16::from_le_bytes(check.try_into().ok()?) {
        return None;
    }
    let (from, len) = (from + 4, usize::from(len));
    out.extend_from_slice(bits.bytes.get(from..from + len)?);
    bits.at = (from + len) * 8;
    Some(())
}

/// §3.2.3: literals, and copies of what was there before.
fn block(bits: &mut Bits, out: &mut Vec<u8>, literals: &Codes, distances: &Codes, bytes_max: usize) -> Option<()> {
    loop {
        match literals.take(bits)? {
            END_OF_BLOCK => return Some(()),
            symbol @ 0..END_OF_BLOCK => out.push(u8::try_from(symbol).ok()?),
            symbol => {
                let symbol = usize::from(symbol - END_OF_BLOCK - 1);
                let len = LENGTH_BASE.get(symbol)? + bits.take(LENGTH_BITS[symbol])?;
                let symbol = usize::from(distances.take(bits)?);
                let back = usize::from(*DISTANCE_BASE.get(symbol)?) + usize::from(bits.take(DISTANCE_BITS[symbol])?);
                let from = out.len().checked_sub(back)?;
                for at in from..from + usize::from(len) {
                    out.push(out[at]);
                }
            }
        }
        if out.len() > bytes_max {
            return None;
        }
    }
}

/// §3.2.7: the codes of a block that describes its own.
fn described(bits: &mut Bits) -> Option<(Codes, Codes)> {
    let literals = usize::from(bits.take(5)?) + 257;
    let distances = usize::from(bits.take(5)?) + 1;
    let described = usize::from(bits.take(4)?) + 4;
    let mut lengths = [0; LENGTHS];
    for at in LENGTH_ORDER.into_iter().take(described) {
        lengths[at] = u8::try_from(bits.take(3)?).ok()?;
    }
    let codes = Codes::new(&lengths)?;
    let mut lengths = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (length, times) = match codes.take(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (u8::try_from(length).ok()?, 1),
        };
        lengths.extend(std::iter::repeat_n(length, usize::from(times)));
    }
    if lengths.len() > literals + distances || literals > LITERALS {
        return None;
    }
    Some((Codes::new(&lengths[..literals])?, Codes::new(&lengths[literals..])?))
}

/// Bits, the lowest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    /// At most 13, as a number.
    fn take(&mut self, count: u8) -> Option<u16> {
        let mut value = 0;
        for place in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value |= u16::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }
}

/// A canonical Huffman code (§3.2.2).
struct Codes {
    /// How many codes there are of each length.
    counts: [u16; BITS_MAX + 1],
    /// By length, and within it by number.
    symbols: Vec<u16>,
}

impl Codes {
    /// Of the length of each symbol's code. `None`: there are more of them than their lengths allow.
    fn new(lengths: &[u8]) -> Option<Codes> {
        let mut counts = [0_u16; BITS_MAX + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        counts[0] = 0;
        let mut left = 1_i32;
        for count in &counts[1..] {
            left = left * 2 - i32::from(*count);
            if left < 0 {
                return None;
            }
        }
        let mut symbols: Vec<u16> = (0..u16::try_from(lengths.len()).ok()?).collect();
        symbols.retain(|symbol| lengths[usize::from(*symbol)] != 0);
        symbols.sort_by_key(|symbol| lengths[usize::from(*symbol)]);
        Some(Codes { counts, symbols })
    }

    fn take(&self, bits: &mut Bits) -> Option<u16> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for count in &self.counts[1..] {
            code |= u32::from(bits.take(1)?);
            let count = u32::from(*count);
            if code < first + count {
                return self.symbols.get(usize::try_from(index + code - first).ok()?).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_block_is_unpacked() {
        let stored = [1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'];
        assert_eq!(inflate(&stored, 100).as_deref(), Some(&b"abc"[..]));
        // Fixed codes: `a`, and a copy of it 9 times over itself.
        assert_eq!(inflate(&[0x4b, 0x4c, 0x84, 0x01, 0x00], 100).as_deref(), Some(&b"aaaaaaaaaa"[..]));
    }

    #[test]
    fn what_is_longer_than_allowed_is_refused() {
        assert_eq!(inflate(&[0x4b, 0x4c, 0x84, 0x01, 0x00], 9), None);
        assert_eq!(inflate(&[1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'], 2), None);
    }

    #[test]
    fn what_is_broken_is_refused() {
        assert_eq!(inflate(&[], 100), None);
        assert_eq!(inflate(&[7], 100), None, "a kind of block that there is not");
        assert_eq!(inflate(&[1, 3, 0, 0, 0, b'a', b'b', b'c'], 100), None, "a length that does not match its check");
        assert_eq!(inflate(&[0x4b], 100), None, "cut off");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_go_beyond_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(out) = inflate(&bytes, 1000) {
                prop_assert!(out.len() <= 1000);
            }
        }
    }
}
