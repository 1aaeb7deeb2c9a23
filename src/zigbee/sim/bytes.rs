//! Reading and writing little-endian numbers. The simulator's own, on purpose: a double that shared the host's codecs would
//! forgive the host's mistakes.

/// Takes numbers off the front of a message; `None` where it is too short.
#[derive(Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// `len` bytes as a number, at most eight.
    pub fn number(&mut self, len: usize) -> Option<u64> {
        let mut wide = [0; 8];
        wide.get_mut(..len)?.copy_from_slice(self.take(len)?);
        Some(u64::from_le_bytes(wide))
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|number| number as u16)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.number(4).map(|number| number as u32)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.number(8)
    }

    /// A list of 16-bit numbers behind its 8-bit count.
    pub fn words(&mut self) -> Option<Vec<u16>> {
        let count = self.u8()?;
        (0..count).map(|_| self.u16()).collect()
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Puts a message together.
#[derive(Default, Clone)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    pub fn u8(mut self, number: u8) -> Writer {
        self.0.push(number);
        self
    }

    pub fn u16(self, number: u16) -> Writer {
        self.bytes(&number.to_le_bytes())
    }

    pub fn u32(self, number: u32) -> Writer {
        self.bytes(&number.to_le_bytes())
    }

    pub fn u64(self, number: u64) -> Writer {
        self.bytes(&number.to_le_bytes())
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn words(self, words: &[u16]) -> Writer {
        let counted = self.u8(words.len() as u8);
        words.iter().fold(counted, |writer, word| writer.u16(*word))
    }

    /// A page of a table: how many rows there are, where the page begins, and so many of them. One byte counts the rows: there
    /// are none behind the 255th.
    pub fn page<T>(self, start: u8, rows: &[T], len: usize, encode: impl Fn(Writer, &T) -> Writer) -> Writer {
        let rows = &rows[..rows.len().min(u8::MAX.into())];
        let page = rows.get(usize::from(start)..).unwrap_or_default();
        let page = &page[..page.len().min(len)];
        let head = self.u8(rows.len() as u8).u8(start).u8(page.len() as u8);
        page.iter().fold(head, encode)
    }

    /// Nought up to an even offset, where the compiler of the stick's firmware would have left a gap.
    pub fn align(mut self, to: usize) -> Writer {
        while !self.0.len().is_multiple_of(to) {
            self.0.push(0);
        }
        self
    }
}
