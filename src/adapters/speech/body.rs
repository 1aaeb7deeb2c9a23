//! The body of an HTTP answer as sound. Holds the connection; what the bytes mean is a [`Decode`]'s business.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::pcm::{Converter, Form, rate_of};
use super::wav;
use super::{Speech, Spoken};
use crate::adapters::llm::complaint::{Complaint, KeyPlace, in_stream};
use crate::common::chat::Usage;
use crate::common::error::{Failure, ProviderError};
use crate::common::speech::AudioFormat;
use crate::net::https::{self, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE};

/// A pure decoder of one answer's body.
pub trait Decode: Send + 'static {
    /// Takes the next bytes and adds the sound in them.
    fn push(&mut self, bytes: Bytes, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError>;

    /// The body has ended: adds the rest; an error where it was not the whole.
    fn finish(&mut self, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError>;

    /// What the provider counted; asked for when all is read.
    fn usage(&self) -> Option<Usage> {
        None
    }

    /// Whether nothing of the body is needed any more.
    fn is_done(&self) -> bool;
}

/// The accepted answer as sound. Dropping it closes the connection.
pub fn speech(response: Response<Incoming>, decoder: impl Decode) -> Speech {
    let reading = Reading { body: Some(response.into_body()), decoder, sound: VecDeque::new(), counted: false };
    stream::try_unfold(reading, Reading::next).boxed()
}

struct Reading<D> {
    /// `None` when there is nothing more to read.
    body: Option<Incoming>,
    decoder: D,
    sound: VecDeque<Bytes>,
    /// The usage has been told.
    counted: bool,
}

impl<D: Decode> Reading<D> {
    async fn next(mut self) -> Result<Option<(Spoken, Reading<D>)>, ProviderError> {
        loop {
            while let Some(piece) = self.sound.pop_front() {
                if !piece.is_empty() {
                    return Ok(Some((Spoken::Sound(piece), self)));
                }
            }
            let Some(body) = &mut self.body else {
                let usage = self.decoder.usage().filter(|_| !std::mem::replace(&mut self.counted, true));
                return Ok(usage.map(|usage| (Spoken::Counted(usage), self)));
            };
            match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.decoder.push(bytes, &mut self.sound)?;
                    if self.decoder.is_done() {
                        self.body.take().into_iter().for_each(https::drain);
                        self.decoder.finish(&mut self.sound)?;
                    }
                }
                Some(Err(broke)) => {
                    let why = format!("the connection broke within the sound: {broke}");
                    return Err(ProviderError::new(Failure::CutOff, why));
                }
                None => {
                    self.body = None;
                    self.decoder.finish(&mut self.sound)?;
                }
            }
        }
    }
}

/// What an accepted answer holds, by its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Server-sent events.
    Events,
    /// Sound as it is. The rate is that of the media type, where it names one.
    Sound { rate_hz: Option<u32> },
}

/// Says what an answer holds; reads it to its end and makes an error of it where that is no sound.
pub async fn sound_of(
    response: Response<Incoming>,
    key: &KeyPlace,
) -> Result<(Kind, Response<Incoming>), ProviderError> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = header(CONTENT_ENCODING).to_ascii_lowercase();
    if !matches!(encoding.trim(), "" | "identity") {
        let why = format!("the sound came compressed ({encoding}), which was not asked for. Is there a proxy between?");
        return Err(ProviderError::new(Failure::BadStream, key.hide(&why)));
    }
    let mime = header(CONTENT_TYPE).to_ascii_lowercase();
    let main = mime.split(';').next().unwrap_or_default().trim();
    if main == "text/event-stream" {
        return Ok((Kind::Events, response));
    }
    if main.starts_with("text/") || main.ends_with("json") {
        let body = https::read_bounded(response.into_body(), ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
        let complaint = Complaint::read(&body);
        if main.ends_with("json") && !complaint.message.is_empty() {
            return Err(in_stream(&complaint, key));
        }
        let why = format!("it sent {main} and no sound: {}. Check base_url (most end in /v1).", complaint.message);
        return Err(ProviderError::new(Failure::BadStream, key.hide(&why)));
    }
    let rate_hz = rate_of(&mime);
    Ok((Kind::Sound { rate_hz }, response))
}

/// Sound as it is: passed on, or made into our own samples.
pub struct Raw {
    form: Form,
    state: State,
}

enum State {
    /// Another format than `pcm`: whose insides are no business of ours.
    Opaque {
        any: bool,
    },
    /// Samples, or a WAV of some that nobody asked for: the first bytes will tell.
    Unknown(Vec<u8>),
    Samples {
        converter: Converter,
        any: bool,
    },
    Wav(wav::Reader),
}

impl Raw {
    pub fn new(format: AudioFormat, rate_hz: Option<u32>) -> Raw {
        let form = Form { rate_hz: rate_hz.unwrap_or(Form::OURS.rate_hz), ..Form::OURS };
        let state = match format {
            AudioFormat::Pcm => State::Unknown(Vec::new()),
            _ => State::Opaque { any: false },
        };
        Raw { form, state }
    }
}

const RIFF: &[u8] = b"RIFF";

impl Decode for Raw {
    fn push(&mut self, bytes: Bytes, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        match &mut self.state {
            State::Opaque { any } => {
                *any |= !bytes.is_empty();
                sound.push_back(bytes);
            }
            State::Samples { converter, any } => {
                *any |= !bytes.is_empty();
                sound.push_back(converter.push(bytes));
            }
            State::Wav(reader) => sound.push_back(reader.push(bytes)?),
            State::Unknown(held) => {
                held.extend_from_slice(&bytes);
                if held.len() < RIFF.len() && RIFF.starts_with(held) {
                    return Ok(());
                }
                let first = Bytes::from(std::mem::take(held));
                self.state = match first.starts_with(RIFF) {
                    true => State::Wav(wav::Reader::default()),
                    false => State::Samples { converter: Converter::new(self.form)?, any: false },
                };
                return self.push(first, sound);
            }
        }
        Ok(())
    }

    fn finish(&mut self, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        match &mut self.state {
            State::Opaque { any: true } => {}
            State::Samples { converter, any: true } => sound.push_back(converter.finish()),
            State::Wav(reader) => sound.push_back(reader.finish()?),
            State::Opaque { .. } | State::Samples { .. } | State::Unknown(_) => {
                return Err(ProviderError::new(Failure::BadStream, "it sent no sound"));
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        false
    }
}
