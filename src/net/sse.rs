//! Server-sent events, parsed (WHATWG HTML §9.2.6, "Interpreting an event stream"). Bytes in, events out: knows no socket,
//! no JSON and no provider, never scans a byte twice, and never allocates for an event that lies in one piece of input.

use std::time::Duration;

use memchr::{memchr, memchr2};

/// The longest event taken, bytes: what its fields hold and the line in the making. A tool call with an image inside is
/// some megabytes; beyond this it is a fault or an attack.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Buffers that one event has blown up beyond this are given back after it, bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event, borrowed from the input or from the parser until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The field `event`, empty where there was none (which means `message`).
    pub name: &'a [u8],
    /// The lines of `data`, joined by `\n`. UTF-8 as far as the sender kept to it.
    pub data: &'a [u8],
    /// The last `id` so far in the stream, empty where there was none.
    pub id: &'a [u8],
    /// [`Parser::comments`] when the event ended.
    pub comments: u64,
}

/// An event went over the limit. The stream cannot be read on: every further call says this again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit_bytes} bytes")]
pub struct EventTooLong {
    pub limit_bytes: usize,
}

/// Cuts a stream of bytes, in pieces of any size, into events.
#[derive(Debug)]
pub struct Parser {
    /// A line that has begun and not ended, with nothing of it looked at yet.
    line: Vec<u8>,
    /// `data` of the event in the making, without the last `\n`; `None` as long as the event has no data.
    data: Option<Vec<u8>>,
    /// Room for the next `data`.
    spare: Vec<u8>,
    name: Vec<u8>,
    id: Vec<u8>,
    retry: Option<Duration>,
    comments: u64,
    /// The last line ended in CR: a LF right after it belongs to the same line end.
    after_cr: bool,
    /// How much of a byte order mark has come; `None` once the stream has begun in earnest.
    bom_len: Option<usize>,
    /// The event in `name` and `data` has been handed out.
    handed_out: bool,
    too_long: bool,
    limit_bytes: usize,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser::new(EVENT_BYTES_MAX)
    }
}

impl Parser {
    pub fn new(limit_bytes: usize) -> Parser {
        Parser {
            line: Vec::new(),
            data: None,
            spare: Vec::new(),
            name: Vec::new(),
            id: Vec::new(),
            retry: None,
            comments: 0,
            after_cr: false,
            bom_len: Some(0),
            handed_out: false,
            too_long: false,
            limit_bytes,
        }
    }

    /// The next event; `None` when `input` is used up, of which the parser then holds what it needs. An event that the
    /// stream's end cuts off is never handed out, as the standard wants it.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Event<'a>>, EventTooLong> {
        if self.handed_out {
            self.forget_event();
        }
        self.skip_bom(input);
        // The event's only line of data so far, where it lies in this input.
        let mut borrowed: Option<&'i [u8]> = None;
        loop {
            if self.too_long {
                return Err(EventTooLong { limit_bytes: self.limit_bytes });
            }
            self.skip_lf(input);
            let Some(end) = memchr2(b'\r', b'\n', input) else { break };
            let bytes: &'i [u8] = input;
            self.after_cr = bytes[end] == b'\r';
            *input = &bytes[end + 1..];
            if self.line.is_empty() {
                let line = &bytes[..end];
                if line.is_empty() {
                    if borrowed.is_some() || self.data.is_some() {
                        self.handed_out = true;
                        let data = borrowed.or(self.data.as_deref()).expect("one of the two was seen");
                        return Ok(Some(Event { name: &self.name, data, id: &self.id, comments: self.comments }));
                    }
                    self.name.clear();
                } else if self.fits(borrowed, line.len()) {
                    match field(line) {
                        Field::Data(value) if borrowed.is_none() && self.data.is_none() => borrowed = Some(value),
                        Field::Data(value) => {
                            self.own(borrowed.take());
                            self.add_data(value);
                        }
                        other => self.take_field(other),
                    }
                }
            } else if self.fits(borrowed, self.line.len() + end) {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&bytes[..end]);
                match field(&line) {
                    Field::Data(value) => self.add_data(value),
                    other => self.take_field(other),
                }
                self.line = kept(line);
            }
        }
        self.own(borrowed);
        if self.fits(None, self.line.len() + input.len()) {
            self.line.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        }
        Err(EventTooLong { limit_bytes: self.limit_bytes })
    }

    /// How long a client is to wait before it connects again, where the stream said so.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Comments so far. Servers send them to show that they live while there is nothing to say.
    pub fn comments(&self) -> u64 {
        self.comments
    }

    fn forget_event(&mut self) {
        self.handed_out = false;
        self.name.clear();
        if let Some(data) = self.data.take() {
            self.spare = kept(data);
        }
    }

    /// A byte order mark is dropped at the very start of the stream and nowhere else. One that is cut in two is held back
    /// until it is whole or turns out to be something else.
    fn skip_bom(&mut self, input: &mut &[u8]) {
        let Some(mut seen) = self.bom_len else { return };
        while seen < BOM.len() {
            match input.split_first() {
                None => {
                    self.bom_len = Some(seen);
                    return;
                }
                Some((&byte, rest)) if byte == BOM[seen] => {
                    seen += 1;
                    *input = rest;
                }
                Some(_) => {
                    self.line.extend_from_slice(&BOM[..seen]);
                    break;
                }
            }
        }
        self.bom_len = None;
    }

    fn skip_lf(&mut self, input: &mut &[u8]) {
        if self.after_cr
            && let Some((&byte, rest)) = input.split_first()
        {
            self.after_cr = false;
            if byte == b'\n' {
                *input = rest;
            }
        }
    }

    /// Whether a line of this length may join what is held of the event. Counted over whole lines, so that it does not
    /// depend on how the input was cut.
    fn fits(&mut self, borrowed: Option<&[u8]>, line_len: usize) -> bool {
        let data_len = borrowed.map_or_else(|| self.data.as_ref().map_or(0, Vec::len), <[u8]>::len);
        self.too_long |= data_len + self.name.len() + line_len > self.limit_bytes;
        !self.too_long
    }

    /// Copies borrowed data, which is needed beyond this input or to be joined with more.
    fn own(&mut self, borrowed: Option<&[u8]>) {
        if let Some(value) = borrowed {
            self.add_data(value);
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => {
                let mut data = std::mem::take(&mut self.spare);
                data.clear();
                data.extend_from_slice(value);
                self.data = Some(data);
            }
        }
    }

    fn take_field(&mut self, field: Field<'_>) {
        match field {
            Field::Event(value) => value.clone_into(&mut self.name),
            Field::Id(value) => value.clone_into(&mut self.id),
            Field::Retry(wait) => self.retry = Some(wait),
            Field::Comment => self.comments += 1,
            Field::Ignored => {}
            Field::Data(_) => unreachable!("data is taken by its own path"),
        }
    }
}

/// An emptied buffer to use again, unless one large event has blown it up.
fn kept(mut buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > KEPT_BYTES_MAX {
        return Vec::new();
    }
    buffer.clear();
    buffer
}

enum Field<'a> {
    Data(&'a [u8]),
    Event(&'a [u8]),
    Id(&'a [u8]),
    Retry(Duration),
    /// "Lines which start with a U+003A COLON character (:)".
    Comment,
    /// An unknown field, or a value that the standard wants ignored.
    Ignored,
}

/// "Collect the characters before the first colon … If value starts with a SPACE, remove it."
fn field(line: &[u8]) -> Field<'_> {
    let (name, value) = match memchr(b':', line) {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => (line, &b""[..]),
    };
    let value = value.strip_prefix(b" ").unwrap_or(value);
    match name {
        b"data" => Field::Data(value),
        b"event" => Field::Event(value),
        b"id" if memchr(0, value).is_none() => Field::Id(value),
        b"retry" => retry(value),
        b"" => Field::Comment,
        _ => Field::Ignored,
    }
}

/// "If the field value consists of only ASCII digits". One too long for 64 bits is a fault and not a wish.
fn retry(value: &[u8]) -> Field<'_> {
    let digits = Some(value).filter(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit));
    let wait_ms = digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    wait_ms.map_or(Field::Ignored, |wait_ms| Field::Retry(Duration::from_millis(wait_ms)))
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
