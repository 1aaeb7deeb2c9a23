//! JSON, one document a line (`application/x-ndjson`), cut into lines. Bytes in, lines out: knows no socket, no JSON and no
//! provider, never scans a byte twice, and never allocates for a line that lies in one piece of input.

use memchr::memchr;

use super::sse::EVENT_BYTES_MAX;

/// The longest line taken, bytes: as an event of the other kind of stream.
pub const LINE_BYTES_MAX: usize = EVENT_BYTES_MAX;

/// A buffer that one line has blown up beyond this is given back after it, bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// A line went over the limit. The stream cannot be read on: every further call says this again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of the stream is longer than {limit_bytes} bytes")]
pub struct LineTooLong {
    pub limit_bytes: usize,
}

/// Cuts a stream of bytes, in pieces of any size, into lines. Blank ones are none.
#[derive(Debug)]
pub struct Parser {
    /// A line that has begun.
    line: Vec<u8>,
    /// The line in `line` has been handed out.
    handed_out: bool,
    too_long: bool,
    limit_bytes: usize,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser::new(LINE_BYTES_MAX)
    }
}

impl Parser {
    pub fn new(limit_bytes: usize) -> Parser {
        Parser { line: Vec::new(), handed_out: false, too_long: false, limit_bytes }
    }

    /// The next line, without its end and without blanks around it; `None` when `input` is used up, of which the parser
    /// then holds what it needs.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<&'a [u8]>, LineTooLong> {
        if self.handed_out {
            self.forget_line();
        }
        while let Some(end) = memchr(b'\n', input) {
            let bytes: &'i [u8] = input;
            let piece = &bytes[..end];
            self.fits(piece.len())?;
            *input = &bytes[end + 1..];
            if self.line.is_empty() {
                let line = piece.trim_ascii();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            } else {
                self.line.extend_from_slice(piece);
                if self.line.trim_ascii().is_empty() {
                    self.forget_line();
                } else {
                    self.handed_out = true;
                    return Ok(Some(self.line.trim_ascii()));
                }
            }
        }
        self.fits(input.len())?;
        self.line.extend_from_slice(input);
        *input = &[];
        Ok(None)
    }

    /// What has come of a last line that has no end; empty where there is none.
    pub fn rest(&self) -> &[u8] {
        if self.handed_out { &[] } else { self.line.trim_ascii() }
    }

    fn fits(&mut self, more_len: usize) -> Result<(), LineTooLong> {
        self.too_long |= self.line.len() + more_len > self.limit_bytes;
        if self.too_long { Err(LineTooLong { limit_bytes: self.limit_bytes }) } else { Ok(()) }
    }

    fn forget_line(&mut self) {
        self.handed_out = false;
        if self.line.capacity() > KEPT_BYTES_MAX {
            self.line = Vec::new();
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(stream: &[u8], piece_len: usize, limit_bytes: usize) -> (Vec<Vec<u8>>, Result<Vec<u8>, LineTooLong>) {
        let (mut parser, mut lines) = (Parser::new(limit_bytes), Vec::new());
        for mut piece in stream.chunks(piece_len.max(1)) {
            loop {
                match parser.next(&mut piece) {
                    Ok(Some(line)) => lines.push(line.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (lines, Err(error)),
                }
            }
        }
        (lines, Ok(parser.rest().to_vec()))
    }

    #[test]
    fn lines_in_every_cut() {
        let stream = b"{\"a\":1}\n\r\n \n {\"b\":2} \r\n{\"c\":3}";
        for piece_len in 1..=stream.len() {
            let (lines, rest) = parse(stream, piece_len, 100);
            assert_eq!((lines, rest), (vec![b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec()], Ok(b"{\"c\":3}".to_vec())));
        }
        assert_eq!(parse(b"a\n", 2, 100), (vec![b"a".to_vec()], Ok(vec![])));
        assert_eq!(parse(b"", 1, 100), (vec![], Ok(vec![])));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_for_good() {
        for piece_len in 1..8 {
            assert_eq!(
                parse(b"1234\n12345", piece_len, 4),
                (vec![b"1234".to_vec()], Err(LineTooLong { limit_bytes: 4 })),
                "{piece_len}"
            );
        }
        let mut parser = Parser::new(4);
        assert!(parser.next(&mut &b"12345"[..]).is_err() && parser.next(&mut &b"\n1\n"[..]).is_err());
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let (mut parser, long) = (Parser::default(), vec![b'x'; 1 << 20]);
        assert_eq!(parser.next(&mut &long[..]), Ok(None));
        assert_eq!(parser.next(&mut &b"\n"[..]).map(|line| line.map(<[u8]>::len)), Ok(Some(1 << 20)));
        assert_eq!(parser.next(&mut &b"a"[..]), Ok(None));
        assert!(parser.line.capacity() < KEPT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_cut_shows(stream in prop::collection::vec(prop::sample::select(b"a \r\n".to_vec()), 0..60), piece_len in 1usize..9, limit_bytes in 0usize..9) {
            prop_assert_eq!(parse(&stream, piece_len, limit_bytes), parse(&stream, stream.len(), limit_bytes));
        }
    }
}
