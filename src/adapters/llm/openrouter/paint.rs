//! Pictures by chat: one question for each, one after the other, told as one answer. Asks through `Asking`; the counting is
//! pure.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{Asking, ImageConfig};
use crate::adapters::llm::{Answer, Arrival};
use crate::common::chat::{ChatRequest, Event, ImageRequest, Message, Role, Usage};
use crate::common::error::{Failure, ProviderError};

/// The shapes that models know.
const RATIOS: [&str; 10] = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"];

/// How much is passed on of what a model said that made no picture, characters.
const SAID_CHARS_MAX: usize = 200;

/// `n` pictures of one prompt.
pub async fn paint(asking: Arc<Asking>, request: ImageRequest) -> Result<Answer, ProviderError> {
    let config = request.size.as_deref().map_or(Ok(None), shape)?;
    let chat = ChatRequest {
        model: request.model,
        messages: vec![Message::new(Role::User, request.prompt)],
        images: true,
        ..ChatRequest::default()
    };
    let answer = asking.ask(&chat, config.as_ref()).await?;
    let left = request.n.saturating_sub(1);
    let series = Series { asking, chat, config, answer: Some(answer), left, tally: Tally::default() };
    Ok(Box::pin(stream::unfold(series, Series::next)))
}

/// `image_config`; `None` for `auto`. [`Failure::Unsupported`] for a shape that no model makes.
fn shape(size: &str) -> Result<Option<ImageConfig>, ProviderError> {
    let size = size.trim();
    if size == "auto" {
        return Ok(None);
    }
    let sides = size.split_once(['x', ':']).and_then(|(wide, high)| Some((wide.parse().ok()?, high.parse().ok()?)));
    let ratio = sides.filter(|(wide, high): &(u32, u32)| *wide > 0 && *high > 0).and_then(|(wide, high)| {
        // 2:1 and 4:2 are one shape, and 21:9 is not written 7:3.
        let is_same = |ratio: &&&str| {
            let (a, b) = ratio.split_once(':').expect("the table has colons");
            let (a, b): (u64, u64) = (a.parse().expect("and figures"), b.parse().expect("on both sides"));
            a * u64::from(high) == b * u64::from(wide)
        };
        RATIOS.iter().find(is_same)
    });
    let unknown = || {
        let message = format!("makes no pictures of size {size}; the shapes are {}", RATIOS.join(", "));
        ProviderError::new(Failure::Unsupported, message)
    };
    ratio.map(|ratio| Some(ImageConfig { aspect_ratio: (*ratio).to_owned() })).ok_or_else(unknown)
}

/// The pictures still to come.
struct Series {
    asking: Arc<Asking>,
    chat: ChatRequest,
    config: Option<ImageConfig>,
    /// `None` when nothing comes any more.
    answer: Option<Answer>,
    left: u32,
    tally: Tally,
}

impl Series {
    async fn next(mut self) -> Option<(Result<Arrival, ProviderError>, Series)> {
        loop {
            match self.answer.as_mut()?.next().await {
                Some(Ok(Arrival { received_at, event })) => {
                    if let Some(event) = self.tally.take(event, self.left == 0) {
                        return Some((Ok(Arrival { received_at, event }), self));
                    }
                }
                Some(Err(error)) => return Some(self.over(error)),
                None => {
                    self.answer = None;
                    if let Err(error) = self.tally.turn() {
                        return Some(self.over(error));
                    }
                    self.left = self.left.checked_sub(1)?;
                    match self.asking.ask(&self.chat, self.config.as_ref()).await {
                        Ok(answer) => self.answer = Some(answer),
                        Err(error) => return Some(self.over(error)),
                    }
                }
            }
        }
    }

    fn over(mut self, error: ProviderError) -> (Result<Arrival, ProviderError>, Series) {
        self.answer = None;
        (Err(error), self)
    }
}

/// What has come of all pictures, so that many answers read as one.
#[derive(Debug, Default)]
struct Tally {
    /// Pictures of the answers before.
    before: u32,
    /// Pictures of this answer.
    here: u32,
    spent_before: Usage,
    spent_here: Usage,
    said: String,
}

impl Tally {
    /// The event as part of the whole; `last`: no further answer follows. Words beside a picture are not asked for.
    fn take(&mut self, event: Event, last: bool) -> Option<Event> {
        match event {
            Event::Image(mut piece) => {
                self.here = self.here.max(piece.index.saturating_add(1));
                piece.index = piece.index.saturating_add(self.before);
                Some(Event::Image(piece))
            }
            Event::Usage(usage) => {
                self.spent_here = *usage;
                Some(Event::Usage(Box::new(sum(self.spent_before, self.spent_here))))
            }
            Event::Text(text) | Event::Refusal(text) => {
                let room = SAID_CHARS_MAX.saturating_sub(self.said.chars().count());
                self.said.extend(text.chars().take(room));
                Some(Event::Started { model: None })
            }
            Event::Reasoning(_) => Some(Event::Started { model: None }),
            Event::Verbatim(_) => None,
            Event::Finish(_) => Some(event).filter(|_| last && self.here > 0),
            other => Some(other),
        }
    }

    /// An answer is at its end: an error where it has no picture.
    fn turn(&mut self) -> Result<(), ProviderError> {
        if self.here == 0 {
            let said = self.said.split_whitespace().collect::<Vec<_>>().join(" ");
            let said = if said.is_empty() { "and no word why".to_owned() } else { format!("but said: {said}") };
            let message = format!("the model made no picture, {said}. Is image_model one that paints?");
            return Err(ProviderError::new(Failure::Rejected, message));
        }
        self.before = self.before.saturating_add(self.here);
        self.spent_before = sum(self.spent_before, self.spent_here);
        (self.here, self.spent_here) = (0, Usage::default());
        self.said.clear();
        Ok(())
    }
}

fn sum(a: Usage, b: Usage) -> Usage {
    let both = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
        cached_tokens: both(a.cached_tokens, b.cached_tokens),
        cache_write_tokens: both(a.cache_write_tokens, b.cache_write_tokens),
        reasoning_tokens: both(a.reasoning_tokens, b.reasoning_tokens),
        cost_usd: match (a.cost_usd, b.cost_usd) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::chat::{FinishReason, ImagePiece, Media};

    #[test]
    fn sizes_become_shapes() {
        let ratio = |size: &str| shape(size).map(|config| config.map(|config| config.aspect_ratio));
        for (size, want) in [
            ("auto", None),
            ("16:9", Some("16:9")),
            ("1024x1024", Some("1:1")),
            ("1536x1024", Some("3:2")),
            ("1024x1536", Some("2:3")),
            (" 1920x1080 ", Some("16:9")),
            ("2560x1080", None),
        ] {
            if size == "2560x1080" {
                assert_eq!(ratio(size).unwrap_err().failure, Failure::Unsupported);
            } else {
                assert_eq!(ratio(size), Ok(want.map(str::to_owned)), "{size}");
            }
        }
        for odd in ["", "big", "0x0", "1024", "-1:1", "99999999999x1", "1:1:1"] {
            assert_eq!(ratio(odd).unwrap_err().failure, Failure::Unsupported, "{odd}");
        }
    }

    fn image(index: u32) -> Event {
        let media = Media { mime: "image/png".into(), data: "hi".into() };
        Event::Image(Box::new(ImagePiece { index, partial: None, media }))
    }

    #[test]
    fn many_answers_read_as_one() {
        let spent = |input_tokens, cost_usd| {
            Event::Usage(Box::new(Usage { input_tokens, cost_usd: Some(cost_usd), ..Usage::default() }))
        };
        let stop = || Event::Finish(FinishReason::Stop);
        let mut tally = Tally::default();
        assert_eq!(tally.take(Event::Text("Here you are".into()), false), Some(Event::Started { model: None }));
        assert_eq!(tally.take(image(0), false), Some(image(0)));
        assert_eq!(tally.take(image(1), false), Some(image(1)));
        assert_eq!(tally.take(stop(), false), None);
        assert_eq!(tally.take(spent(1, 0.25), false), Some(spent(1, 0.25)));
        assert_eq!(tally.take(spent(2, 0.5), false), Some(spent(2, 0.5)), "the last one holds");
        assert_eq!(tally.turn(), Ok(()));
        assert_eq!(tally.take(image(0), true), Some(image(2)));
        assert_eq!(tally.take(stop(), true), Some(stop()));
        assert_eq!(tally.take(spent(3, 0.5), true), Some(spent(5, 1.0)));
        assert_eq!(tally.turn(), Ok(()));
    }

    #[test]
    fn an_answer_without_a_picture_is_an_error_in_the_models_words() {
        let mut tally = Tally::default();
        assert_eq!(
            tally.take(Event::Refusal("I cannot\n paint this".into()), true),
            Some(Event::Started { model: None })
        );
        assert_eq!(tally.take(Event::Finish(FinishReason::Stop), true), None);
        let error = tally.turn().unwrap_err();
        assert_eq!(error.failure, Failure::Rejected);
        assert_eq!(
            error.message,
            "the model made no picture, but said: I cannot paint this. Is image_model one that paints?"
        );
        tally.take(Event::Text("x".repeat(100_000).into()), true);
        assert_eq!(tally.said.chars().count(), SAID_CHARS_MAX);
    }
}
