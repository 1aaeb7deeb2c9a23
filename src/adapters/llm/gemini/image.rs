//! Pictures to order: each one is an answer of its own from a model that paints, and all of them together are one answer.
//! Knows the shapes that Gemini has; the stream of each picture is `decode`'s.
//! Source: Gemini API, "Image generation", "ImageConfig".

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::Stream;
use futures_util::future::try_join_all;

use super::Gemini;
use super::model::{self, GENERATION_OF_LEVELS};
use super::request::{ImageConfig, Manner};
use crate::adapters::llm::{Answer, Arrival};
use crate::common::chat::{ChatRequest, Event, FinishReason, ImagePiece, ImageRequest, Message, Role, Usage};
use crate::common::error::{Failure, ProviderError};

/// Pictures to one order.
const PICTURES_MAX: u32 = 8;

/// The shapes that Gemini paints, and width by height of each.
const SHAPES: [(&str, f64); 10] = [
    ("1:1", 1.0),
    ("2:3", 2.0 / 3.0),
    ("3:2", 3.0 / 2.0),
    ("3:4", 3.0 / 4.0),
    ("4:3", 4.0 / 3.0),
    ("4:5", 4.0 / 5.0),
    ("5:4", 5.0 / 4.0),
    ("9:16", 9.0 / 16.0),
    ("16:9", 16.0 / 9.0),
    ("21:9", 21.0 / 9.0),
];

/// A shape is taken for another that is no further from it than this: Gemini's own 3:4 is 864x1184.
const SHAPE_TOLERANCE: f64 = 0.04;

/// The longest side of what each `imageSize` gives, pixels, with some room: 1K in the widest shape has 1584, and others' sizes
/// for the same, such as 1792x1024, a little more.
const SIZES: [(&str, u32); 3] = [("1K", 1800), ("2K", 3600), ("4K", 7200)];

/// How much of what a model says instead of painting is told, characters.
const SAID_CHARS_MAX: usize = 200;

/// Paints as many pictures as were ordered, side by side.
pub async fn paint(gemini: Gemini, order: ImageRequest) -> Result<Answer, ProviderError> {
    let picture = picture(&order)?;
    let n = order.n.max(1);
    if n > PICTURES_MAX {
        return Err(unsupported(format!("paints up to {PICTURES_MAX} pictures at a time, and not {n}")));
    }
    let request = ChatRequest {
        model: order.model,
        messages: vec![Message::new(Role::User, order.prompt)],
        images: true,
        ..ChatRequest::default()
    };
    let manner = Manner::of(&request);
    // Sketches come among the thoughts.
    let manner = if order.partial_images > 0 { manner } else { manner.quiet() };
    let asking = (0..n).map(|_| gemini.clone().stream(request.clone(), manner.clone(), picture));
    let easels = try_join_all(asking).await?.into_iter().map(Easel::new).collect();
    Ok(Box::pin(Studio::new(easels, order.partial_images)))
}

/// What Gemini is to be told of a picture's size, or why it cannot be had.
fn picture(order: &ImageRequest) -> Result<ImageConfig, ProviderError> {
    if order.model.contains("imagen") {
        let message = format!("{} is asked in another way: choose gemini-2.5-flash-image or a newer one", order.model);
        return Err(unsupported(message));
    }
    let Some(size) = order.size.as_deref().map(str::trim).filter(|size| !size.is_empty() && *size != "auto") else {
        return Ok(ImageConfig::default());
    };
    let known = SHAPES.map(|(word, _)| word).join(", ");
    let odd = || unsupported(format!("cannot paint in the size {}: it has the shapes {known}", short(size)));
    let pair = |by: char| {
        let (width, height) = size.split_once(by)?;
        Some((width.parse::<u32>().ok()?, height.parse::<u32>().ok()?))
            .filter(|(width, height)| *width > 0 && *height > 0)
    };
    let (width, height) = pair('x').or_else(|| pair(':')).ok_or_else(odd)?;
    let shape = f64::from(width) / f64::from(height);
    let off = |(_, known): &(&str, f64)| (shape / known).max(known / shape) - 1.0;
    let nearest = SHAPES.iter().min_by(|one, other| off(one).total_cmp(&off(other))).expect("there are shapes");
    if off(nearest) > SHAPE_TOLERANCE {
        return Err(odd());
    }
    let aspect_ratio = Some(nearest.0);
    if pair('x').is_none() {
        return Ok(ImageConfig { aspect_ratio, image_size: None });
    }
    let side = width.max(height);
    match SIZES.iter().find(|(_, longest)| side <= *longest) {
        Some(("1K", _)) => Ok(ImageConfig { aspect_ratio, image_size: None }),
        Some((word, _)) if model::generation(&order.model) >= Some(GENERATION_OF_LEVELS) => {
            Ok(ImageConfig { aspect_ratio, image_size: Some(word) })
        }
        _ => Err(unsupported(format!("{} cannot paint as large as {}", order.model, short(size)))),
    }
}

fn unsupported(message: String) -> ProviderError {
    ProviderError::new(Failure::Unsupported, message)
}

/// A client's word, fit for a message.
fn short(word: &str) -> String {
    format!("{:?}", word.chars().take(32).collect::<String>())
}

/// The answers to one order, put together: pictures are counted in the order in which they are begun, tokens are added up, and
/// what is said beside the painting is not passed on. Dropping it closes all connections.
struct Studio {
    easels: Vec<Easel>,
    /// How many sketches of each picture are wanted.
    previews: u32,
    /// The picture's number in the order, by easel and number there.
    numbers: BTreeMap<(usize, u32), u32>,
    /// Whole pictures.
    painted: u32,
    told: Option<Usage>,
    /// What was said instead, for the case that nothing is painted.
    said: String,
    /// When the last bytes came.
    heard_at: Option<Instant>,
    ended: bool,
}

/// One picture in the making.
struct Easel {
    /// `None` once it has ended.
    answer: Option<Answer>,
    usage: Usage,
    finish: Option<FinishReason>,
}

impl Easel {
    fn new(answer: Answer) -> Easel {
        Easel { answer: Some(answer), usage: Usage::default(), finish: None }
    }
}

impl Studio {
    fn new(easels: Vec<Easel>, previews: u8) -> Studio {
        Studio {
            easels,
            previews: previews.into(),
            numbers: BTreeMap::new(),
            painted: 0,
            told: None,
            said: String::new(),
            heard_at: None,
            ended: false,
        }
    }

    /// An event of an easel as one of the whole.
    fn take(&mut self, at: usize, event: Event) -> Event {
        const ALIVE: Event = Event::Started { model: None };
        match event {
            Event::Image(piece) if piece.partial.is_some_and(|partial| partial >= self.previews) => ALIVE,
            Event::Image(piece) => {
                let next = self.numbers.len() as u32;
                let index = *self.numbers.entry((at, piece.index)).or_insert(next);
                self.painted += u32::from(piece.partial.is_none());
                Event::Image(Box::new(ImagePiece { index, ..*piece }))
            }
            Event::Usage(usage) => {
                self.easels[at].usage = *usage;
                let sum = self.easels.iter().fold(Usage::default(), |sum, easel| add(sum, &easel.usage));
                if self.told.replace(sum) == Some(sum) { ALIVE } else { Event::Usage(Box::new(sum)) }
            }
            Event::Text(text) | Event::Refusal(text) => {
                let room = SAID_CHARS_MAX.saturating_sub(self.said.chars().count());
                self.said.extend(text.chars().take(room));
                ALIVE
            }
            Event::Finish(reason) => {
                self.easels[at].finish = Some(reason);
                ALIVE
            }
            Event::Reasoning(_) | Event::ToolCall(_) | Event::Verbatim(_) | Event::Audio(_) => ALIVE,
            event => event,
        }
    }

    /// How the whole ended.
    fn end(&self) -> Result<Event, ProviderError> {
        if self.painted > 0 {
            return Ok(Event::Finish(FinishReason::Stop));
        }
        let why = match self.easels.iter().find_map(|easel| easel.finish.as_ref()) {
            Some(FinishReason::ContentFilter) => "Gemini refused to paint this".to_owned(),
            Some(FinishReason::Other(word)) => format!("Gemini painted nothing ({})", short(word)),
            _ => "Gemini painted nothing".to_owned(),
        };
        let said: String = self.said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let said = if said.trim().is_empty() { String::new() } else { format!(" and said: {}", said.trim()) };
        let hint = ". Put it in other words, or choose a model that paints (image_model).";
        Err(ProviderError::new(Failure::Rejected, format!("{why}{said}{hint}")))
    }
}

impl Stream for Studio {
    type Item = Result<Arrival, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        for at in 0..self.easels.len() {
            let Some(answer) = &mut self.easels[at].answer else { continue };
            match answer.as_mut().poll_next(cx) {
                Poll::Pending => {}
                Poll::Ready(None) => self.easels[at].answer = None,
                Poll::Ready(Some(Ok(Arrival { received_at, event }))) => {
                    self.heard_at = Some(received_at);
                    let event = self.take(at, event);
                    return Poll::Ready(Some(Ok(Arrival { received_at, event })));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.easels.clear();
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        if self.easels.iter().any(|easel| easel.answer.is_some()) {
            return Poll::Pending;
        }
        self.ended = true;
        let end = match (self.end(), self.heard_at) {
            (Ok(event), Some(received_at)) => Ok(Arrival { received_at, event }),
            (Ok(_), None) => Err(ProviderError::new(Failure::CutOff, "the connection closed without an answer")),
            (Err(error), _) => Err(error),
        };
        Poll::Ready(Some(end))
    }
}

fn add(one: Usage, other: &Usage) -> Usage {
    let sum = |a: Option<u64>, b: Option<u64>| {
        Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))).filter(|_| a.or(b).is_some())
    };
    Usage {
        input_tokens: one.input_tokens.saturating_add(other.input_tokens),
        output_tokens: one.output_tokens.saturating_add(other.output_tokens),
        cached_tokens: sum(one.cached_tokens, other.cached_tokens),
        cache_write_tokens: sum(one.cache_write_tokens, other.cache_write_tokens),
        reasoning_tokens: sum(one.reasoning_tokens, other.reasoning_tokens),
        cost_usd: None,
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
