//! The built-in assistant: a provider without a network, so that the hub answers on the first day and in a power cut. It acts by
//! calling tools, as every model does. Says only what it knows; does no I/O and reads no clock of its own.

mod deed;
mod hear;
mod house;
mod intents;
mod naming;
mod question;
mod talk;
mod vocabulary;
mod wish;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, stream};
use jiff::Zoned;

use self::hear::Heard;
use self::talk::Next;
use super::llm::{Answer, Arrival, Provider};
use crate::common::chat::{ChatRequest, Event, FinishReason, Message, Part, Role, ToolCallDelta, ToolChoice};
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
        let received_at = now();
        let arrivals = events(&request, &(self.now)()).into_iter().map(move |event| Ok(Arrival { received_at, event }));
        let answer: Answer = Box::pin(stream::iter(arrivals.collect::<Vec<_>>()));
        future::ready(Ok(answer)).boxed()
    }
}

/// What it answers, as a model would stream it.
fn events(request: &ChatRequest, now: &Zoned) -> Vec<Event> {
    let said = request.messages.iter().rev().find(|message| message.role == Role::User);
    let text = said.map(Message::text).unwrap_or_default();
    let mut events = vec![Event::Started { model: Some(MODEL.into()) }];
    let may_call = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
    let said = match talk::next(&request.messages) {
        Next::Call(calls) if may_call => {
            let before =
                request.messages.iter().flat_map(|message| &message.parts).filter(|part| is_call(part)).count();
            events.extend(calls.into_iter().enumerate().map(|(at, (name, arguments))| {
                Event::ToolCall(Box::new(ToolCallDelta {
                    index: at as u32,
                    id: Some(format!("assistant_{}", before + at + 1)),
                    name: Some(name.into()),
                    arguments: serde_json::Value::Object(arguments).to_string(),
                }))
            }));
            events.push(Event::Finish(FinishReason::ToolCalls));
            return events;
        }
        Next::Call(_) => intents::NO_HOUSE.to_owned(),
        Next::Say(words) => words,
        Next::Nothing => reply(&text, now),
    };
    // A word at a time.
    events.extend(said.split_inclusive(' ').map(|word| Event::Text(word.into())));
    events.push(Event::Finish(FinishReason::Stop));
    events
}

fn is_call(part: &Part) -> bool {
    matches!(part, Part::ToolCall(_))
}

/// What it says where the house is not meant. The first intent that recognises itself speaks.
fn reply(text: &str, now: &Zoned) -> String {
    let heard = Heard::new(text);
    let intent = intents::INTENTS.iter().find(|intent| (intent.is_meant)(&heard));
    intent.map_or_else(|| intents::NOT_UNDERSTOOD.to_owned(), |intent| (intent.say)(now))
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
    use crate::common::chat::Tool;

    /// A time of Monday, 23 November 2026, an hour east of Greenwich.
    fn at(hour: i8, minute: i8) -> Zoned {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
        jiff::civil::date(2026, 11, 23).at(hour, minute, 0, 0).to_zoned(zone).unwrap()
    }

    fn asked(text: &str) -> ChatRequest {
        ChatRequest { messages: vec![Message::new(Role::User, text)], ..ChatRequest::default() }
    }

    fn said(events: &[Event]) -> String {
        let text = |event: &Event| match event {
            Event::Text(word) => Some(word.to_string()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }

    #[test]
    fn it_calls_tools_like_any_other_provider() {
        let tool = |name: &str| Tool {
            name: name.into(),
            description: None,
            schema: serde_json::json!({}).into(),
            strict: None,
        };
        let request = ChatRequest { tools: vec![tool("devices_list").into()], ..asked("turn on the lamp") };
        let call = ToolCallDelta {
            index: 0,
            id: Some("assistant_1".into()),
            name: Some("devices_list".into()),
            arguments: r#"{"limit":100}"#.into(),
        };
        let events_of = events(&request, &at(8, 5));
        assert_eq!(events_of[..2], [Event::Started { model: Some(MODEL.into()) }, Event::ToolCall(Box::new(call))]);
        assert_eq!(events_of.last(), Some(&Event::Finish(FinishReason::ToolCalls)));
        let in_words = ChatRequest { tool_choice: ToolChoice::None, ..request };
        assert_eq!(said(&events(&in_words, &at(8, 5))), intents::NO_HOUSE);
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
        let said = |text: &str, now: &Zoned| format!("> {text}\n{}\n", said(&events(&asked(text), now)));
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
        insta::assert_snapshot!(talk.concat(), @r#"
        > Hi!
        Good morning! How can I help?
        > good evening, hub
        Good evening! How can I help?
        > What's today's date?
        Today is Monday, 23 November 2026.
        > who are you
        I am the small assistant built into Hearth, the service of this hub. I work without the internet and I am no language model.
        > help
        Say what I should switch, such as "turn on the kitchen lamp" or "all lights off in the kitchen", or ask me how the devices are, for the time or for the date. I also give names and rooms: "rename Bulb to kitchen lamp", "make a room called Attic", "put the kitchen lamp into the kitchen". For free conversation, give the hub a language model, as config.yaml describes under providers.
        > Please turn on the kitchen lights.
        I cannot do that: from here I have no way to the devices of the house, so nothing was switched or measured.
        > Is the garage door open?
        I cannot do that: from here I have no way to the devices of the house, so nothing was switched or measured.
        > Tell me a joke
        I cannot answer that: I am the small assistant built into this hub, and I know the time, the date and the devices of this house, and little else. For free conversation, give the hub a language model: set OPENAI_API_KEY, or run a local model server, as config.yaml describes under providers.
        > Thanks!
        You are welcome.
        > bye
        Goodbye!
        "#);
    }

    proptest! {
        #[test]
        fn it_always_says_something_and_comes_to_an_end(text in "\\PC{0,60}") {
            let events = events(&asked(&text), &at(23, 59));
            prop_assert!(!said(&events).is_empty());
            prop_assert_eq!(events.last(), Some(&Event::Finish(FinishReason::Stop)));
        }
    }
}
