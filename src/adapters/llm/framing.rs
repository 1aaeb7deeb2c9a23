//! The body of an answer, cut into what a dialect reads: a stream of server-sent events, or one JSON document where a server
//! does not stream. Says what is neither, what broke off and who still lives; what the pieces mean is a [`Dialect`]'s
//! business. Pure: knows no socket and no clock.

use std::collections::VecDeque;

use memchr::memmem;
use serde::de::IgnoredAny;

use super::complaint::{self, Complaint, KeyPlace};
use super::exchange::Decode;
use super::lenient::object;
use super::mend::mend;
use crate::common::chat::Event;
use crate::common::error::{Failure, ProviderError};
use crate::net::sse;

/// How much of a body is kept for the message, as long as nothing in it is an event, bytes.
const PREFACE_BYTES_MAX: usize = 1024;

/// What an interface makes of the pieces of its answers.
pub trait Dialect: Send + Unpin + 'static {
    /// What an answer of it is called: "what came is no …".
    const NAME: &'static str;

    /// The longest body taken that is one JSON document and no stream, bytes.
    const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

    /// Whether parts of an event are read only later, which is too late to find half a surrogate pair in them.
    const READS_LATER: bool = false;

    /// The key that must not appear in a message.
    fn key(&self) -> &KeyPlace;

    /// Takes one event's data, never blank, or a document as a whole; `name` is the event's own, empty where it has none.
    /// `None`, and nothing has changed: it cannot be read. The events before an error hold.
    fn take(&mut self, name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>>;

    /// What a complaint in the midst of an answer comes to.
    fn complained(&self, complaint: &Complaint) -> ProviderError {
        complaint::in_stream(complaint, self.key())
    }

    /// Whether the answer has said how it ended, so that the body may.
    fn is_whole(&self) -> bool;

    /// Whether what follows is none of the answer.
    fn is_done(&self) -> bool;

    /// The body of a whole answer has ended: adds what was kept for then.
    fn end(&mut self, _events: &mut VecDeque<Event>) {}
}

/// Turns the body of one answer into events.
#[derive(Debug)]
pub struct Reader<D> {
    shape: Shape,
    /// The first bytes, until the first event.
    preface: Vec<u8>,
    taker: Taker<D>,
}

/// What the body is, as its first byte tells: no stream begins with a brace, whatever its content type says.
#[derive(Debug)]
enum Shape {
    Unknown,
    Stream(sse::Parser),
    Document(Vec<u8>),
}

/// Takes the pieces, one after the other.
#[derive(Debug)]
struct Taker<D> {
    dialect: D,
    /// A piece has come.
    begun: bool,
    /// Comments of the stream that were told of.
    comments: u64,
}

impl<D: Dialect> Reader<D> {
    pub fn of(dialect: D) -> Reader<D> {
        let taker = Taker { dialect, begun: false, comments: 0 };
        Reader { shape: Shape::Unknown, preface: Vec::new(), taker }
    }
}

impl<D: Dialect> Decode for Reader<D> {
    fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.is_done() {
            return Ok(());
        }
        let mut bytes = bytes;
        if let Shape::Unknown = self.shape {
            bytes = bytes.trim_ascii_start();
            self.shape = match bytes.first() {
                None => return Ok(()),
                Some(b'{' | b'[' | b'"') => Shape::Document(Vec::new()),
                Some(_) => Shape::Stream(sse::Parser::default()),
            };
        }
        match &mut self.shape {
            Shape::Unknown => unreachable!("the first byte that is no blank has told"),
            Shape::Stream(parser) => {
                let taken = self.taker.stream(parser, bytes, events);
                if !self.taker.begun {
                    let room = PREFACE_BYTES_MAX - self.preface.len();
                    self.preface.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                taken
            }
            Shape::Document(document) if document.len() + bytes.len() > D::DOCUMENT_BYTES_MAX => {
                let message = format!("the answer is no stream and longer than {} bytes", D::DOCUMENT_BYTES_MAX);
                Err(ProviderError::new(Failure::BadStream, message))
            }
            Shape::Document(document) => {
                document.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Shape::Document(document) = std::mem::replace(&mut self.shape, Shape::Unknown) {
            self.taker.begun = true;
            self.taker.piece(b"", &document, events)?;
        }
        let Taker { dialect, begun, .. } = &mut self.taker;
        if dialect.is_whole() {
            dialect.end(events);
            return Ok(());
        }
        let preface = self.preface.trim_ascii();
        if !*begun && !preface.is_empty() && !preface.starts_with(b":") {
            return Err(unread(D::NAME, preface, dialect.key()));
        }
        Err(cut_off(*begun))
    }

    fn is_done(&self) -> bool {
        self.taker.dialect.is_done()
    }
}

impl<D: Dialect> Taker<D> {
    fn stream(
        &mut self,
        parser: &mut sse::Parser,
        bytes: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let mut rest = bytes;
        let taken = loop {
            match parser.next(&mut rest) {
                Ok(Some(event)) => {
                    self.alive(event.comments, events);
                    if let Err(error) = self.event(&event, events) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(too_long) => break Err(ProviderError::new(Failure::BadStream, too_long.to_string())),
            }
        };
        self.alive(parser.comments(), events);
        taken
    }

    /// Tells of comments that have come (`: OPENROUTER PROCESSING`): signs of life, of which one says as much as many.
    fn alive(&mut self, comments: u64, events: &mut VecDeque<Event>) {
        if comments != self.comments && !self.dialect.is_done() {
            self.comments = comments;
            if !matches!(events.back(), Some(Event::Started { model: None })) {
                events.push_back(Event::Started { model: None });
            }
        }
    }

    fn event(&mut self, event: &sse::Event<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.dialect.is_done() {
            return Ok(());
        }
        self.begun = true;
        if event.name == b"error" {
            return Err(complaint::in_stream(&Complaint::read(event.data), self.dialect.key()));
        }
        if event.data.trim_ascii().is_empty() {
            return Ok(());
        }
        self.piece(event.name, event.data, events)
    }

    fn piece(&mut self, name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let dialect = &mut self.dialect;
        let taken = if D::READS_LATER && has_surrogates(data) { None } else { dialect.take(name, data, events) };
        match taken.or_else(|| dialect.take(name, mend(data).as_bytes(), events)) {
            Some(taken) => taken,
            None => Err(self.misread(data)),
        }
    }

    /// What a piece is that no dialect's event is.
    fn misread(&self, data: &[u8]) -> ProviderError {
        let complaint = Complaint::read(data);
        let is_complaint = object::<IgnoredAny>(data).is_some() && !complaint.message.is_empty();
        if is_complaint { self.dialect.complained(&complaint) } else { unread(D::NAME, data, self.dialect.key()) }
    }
}

/// Something else than an answer of `name` came.
pub fn unread(name: &str, data: &[u8], key: &KeyPlace) -> ProviderError {
    let said = key.hide(&Complaint::read(data).message);
    let said = if said.is_empty() { key.hide(&String::from_utf8_lossy(data)) } else { said };
    ProviderError::new(Failure::BadStream, format!("what came is no {name}: {said}. Check base_url."))
}

/// The answer ended without saying so; `begun`: something of it had come.
pub fn cut_off(begun: bool) -> ProviderError {
    let message = if begun { "the answer was cut off" } else { "the connection closed without an answer" };
    ProviderError::new(Failure::CutOff, message)
}

/// Whether there is an escape of half a surrogate pair, be the other half there or not.
fn has_surrogates(data: &[u8]) -> bool {
    memmem::find_iter(data, b"\\u").any(|at| matches!(data.get(at + 2), Some(b'd' | b'D')))
}
