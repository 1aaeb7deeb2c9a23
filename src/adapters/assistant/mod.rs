//! The built-in assistant: a provider without a network, so that the hub answers on the first day and in a power cut. Says
//! only what it knows; does no I/O and reads no clock of its own.

mod hear;
mod intents;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, stream};
use jiff::Zoned;

use self::hear::Heard;
use super::llm::{Answer, Arrival, Provider};
use crate::common::chat::{ChatRequest, Event, FinishReason, Message, Part, Role};
use crate::common::error::{Failure, ProviderError};

/// What stands as `model` of its answers.
pub const MODEL: &str = "hearth-assistant";

/// The assistant and its clock, which knows the zone of the house.
pub struct Assistant {
    now: Arc<dyn Fn() -> Zoned + Send + Sync>,
}

impl Assistant {
    pub fn new(now: impl Fn() -> Zoned + Send + Sync + 'static) -> Assistant {
        Assistant { now: Arc::new(now) }
    }
}

impl Provider for Assistant {
    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let said = request.messages.iter().rev().find(|message| message.role == Role::User);
        if said.is_some_and(|message| message.parts.iter().any(|part| matches!(part, Part::Image(_) | Part::Audio(_))))
        {
            let why = "the built-in assistant can neither look at pictures nor listen to recordings";
            return future::ready(Err(ProviderError::new(Failure::Unsupported, why))).boxed();
        }
        let text = said.map(Message::text).unwrap_or_default();
        let reply = reply(&text, &(self.now)());
        let received_at = now();
        let arrivals = events(&reply).into_iter().map(move |event| Ok(Arrival { received_at, event }));
        let answer: Answer = Box::pin(stream::iter(arrivals.collect::<Vec<_>>()));
        future::ready(Ok(answer)).boxed()
    }
}

/// What it answers. The first intent that recognises itself speaks.
fn reply(text: &str, now: &Zoned) -> String {
    let heard = Heard::new(text);
    let intent = intents::INTENTS.iter().find(|intent| (intent.is_meant)(&heard));
    intent.map_or_else(|| intents::NOT_UNDERSTOOD.to_owned(), |intent| (intent.say)(now))
}

/// The reply as a model would stream it: a word at a time.
fn events(reply: &str) -> Vec<Event> {
    let words = reply.split_inclusive(' ').map(|word| Event::Text(word.into()));
    let mut events = vec![Event::Started { model: Some(MODEL.into()) }];
    events.extend(words);
    events.push(Event::Finish(FinishReason::Stop));
    events
}

#[expect(clippy::disallowed_methods, reason = "the answer is made here: this is the moment that it was received")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use proptest::prelude::*;

    use super::*;

    /// A time of Monday, 23 November 2026, an hour east of Greenwich.
    fn at(hour: i8, minute: i8) -> Zoned {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
        jiff::civil::date(2026, 11, 23).at(hour, minute, 0, 0).to_zoned(zone).unwrap()
    }

    #[test]
    fn it_answers_like_any_other_provider() {
        let assistant = Assistant::new(|| at(8, 5));
        let messages = vec![
            Message::new(Role::System, "Be brief."),
            Message::new(Role::User, "hello"),
            Message::new(Role::Assistant, "Good morning!"),
            Message::new(Role::User, "What TIME is it??"),
        ];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let answer = assistant.ask(request).now_or_never().unwrap().unwrap();
        let events: Vec<Event> = answer.map(|arrival| arrival.unwrap().event).collect().now_or_never().unwrap();
        let text = |word: &str| Event::Text(word.into());
        let want = [
            Event::Started { model: Some(MODEL.into()) },
            text("It "),
            text("is "),
            text("08:05 "),
            text("here "),
            text("(UTC+01:00)."),
            Event::Finish(FinishReason::Stop),
        ];
        assert_eq!(events, want);
    }

    #[test]
    fn a_short_conversation() {
        let morning = at(8, 5);
        let evening = at(19, 30);
        let said = |text: &str, now: &Zoned| format!("> {text}\n{}\n", reply(text, now));
        let talk = [
            said("Hi!", &morning),
            said("good evening, hub", &evening),
            said("What's today's date?", &evening),
            said("who are you", &morning),
            said("help", &morning),
            said("Please turn on the kitchen lights.", &morning),
            said("Is the garage door open?", &morning),
            said("Tell me a joke", &morning),
            said("Thanks!", &morning),
            said("bye", &morning),
        ];
        insta::assert_snapshot!(talk.concat(), @r"
        > Hi!
        Good morning! How can I help?
        > good evening, hub
        Good evening! How can I help?
        > What's today's date?
        Today is Monday, 23 November 2026.
        > who are you
        I am the small assistant built into Hearth, the service of this hub. I work without the internet and I am no language model.
        > help
        Ask me for the time or the date. I cannot switch or measure anything yet: this hub has no device. For free conversation, give the hub a language model, as config.yaml describes under providers.
        > Please turn on the kitchen lights.
        I cannot do that: this hub has no device yet, so nothing was switched or measured.
        > Is the garage door open?
        I cannot do that: this hub has no device yet, so nothing was switched or measured.
        > Tell me a joke
        I cannot answer that: I am the small assistant built into this hub, and I know the time, the date and little else. For free conversation, give the hub a language model: set OPENAI_API_KEY, or run a local model server, as config.yaml describes under providers.
        > Thanks!
        You are welcome.
        > bye
        Goodbye!
        ");
    }

    proptest! {
        #[test]
        fn it_always_says_something_and_streams_all_of_it(text in "\\PC{0,60}") {
            let reply = reply(&text, &at(23, 59));
            let streamed: String = events(&reply).into_iter().filter_map(|event| match event {
                Event::Text(word) => Some(word.into_string()),
                _ => None,
            }).collect();
            prop_assert!(!reply.is_empty());
            prop_assert_eq!(streamed, reply);
        }
    }
}
