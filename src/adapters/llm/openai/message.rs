//! The messages of a Chat Completions request. Pure.
//! Source: OpenAI API reference, "Create chat completion", `messages`; OpenRouter docs, "Preserving reasoning".

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::keepsake::{OPENAI_CHAT, OPENROUTER};
use super::manner::{Field, Flavour, Manner, Thoughts};
use crate::adapters::llm::arguments;
use crate::adapters::llm::media::{Base64, DataUrl};
use crate::common::chat::{self, ChatRequest, Media, Part, ResponseFormat, Role, ToolCall, ToolResult};
use crate::common::error::{Failure, ProviderError};

/// In the place of a picture that the assistant made, for models that are not shown it.
const A_PICTURE: &str = "[a picture]";

/// Before a picture that the assistant made: only a user may show one.
const YOUR_PICTURE: &str = "This is the picture that you made:";

/// The length of an id that Mistral takes.
const SHORT_ID_CHARS: usize = 9;

#[derive(Serialize)]
pub struct Message<'a> {
    role: &'static str,
    /// Null where an assistant only calls tools.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
}

/// A string where that will do: many servers refuse lists.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: Link<'a> },
    InputAudio { input_audio: Sound<'a> },
}

#[derive(Serialize)]
struct Link<'a> {
    url: DataUrl<'a>,
}

#[derive(Serialize)]
struct Sound<'a> {
    data: Base64<'a>,
    format: &'static str,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Text<'a>,
}

/// JSON within a string.
struct Text<'a>(Cow<'a, RawValue>);

impl Serialize for Text<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.get())
    }
}

/// All messages, and what the model has to be told where the server cannot hold it to a format.
pub fn messages<'a>(request: &'a ChatRequest, manner: &Manner) -> Result<Vec<Message<'a>>, ProviderError> {
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        add(message, manner, &mut messages)?;
    }
    if let Some(instruction) = instruction(request, manner) {
        instruct(&mut messages, instruction);
    }
    Ok(messages)
}

fn add<'a>(message: &'a chat::Message, manner: &Manner, to: &mut Vec<Message<'a>>) -> Result<(), ProviderError> {
    let (mut pieces, mut calls, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let (mut details, mut thoughts) = (Vec::new(), String::new());
    for part in &message.parts {
        if let Part::Verbatim(item) = part {
            if item.is_of(OPENROUTER) && manner.flavour == Flavour::OpenRouter {
                details.extend(serde_json::from_str::<Vec<&RawValue>>(item.json.get()).unwrap_or_default());
            } else if item.is_of(OPENAI_CHAT) && manner.thoughts != Thoughts::Never {
                thoughts += &serde_json::from_str::<String>(item.json.get()).unwrap_or_default();
            }
        }
        match part.plain() {
            None | Some(Part::Verbatim(_)) => {}
            Some(Part::Text(text)) if text.is_empty() => {}
            Some(Part::Text(text)) => pieces.push(Piece::Text { text: text.into() }),
            Some(Part::Image(media)) if message.role == Role::Assistant => match manner.sends(Field::Modalities) {
                true => shown.push(media),
                false => pieces.push(Piece::Text { text: A_PICTURE.into() }),
            },
            Some(Part::Image(media)) => pieces.push(Piece::ImageUrl { image_url: Link { url: DataUrl(media) } }),
            // Its words stand beside it.
            Some(Part::Audio(_)) if message.role == Role::Assistant => {}
            Some(Part::Audio(media)) => pieces.push(sound(media)?),
            Some(Part::ToolCall(call)) => calls.push(tool_call(call, manner)),
            Some(Part::ToolResult(result)) => to.push(tool_result(result, manner)),
        }
    }
    let role = match message.role {
        Role::System => "system",
        // What a tool gave back besides words only a user may show.
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    };
    let wants_thoughts = manner.thoughts == Thoughts::WithEveryCall || !thoughts.is_empty();
    if !pieces.is_empty() || !calls.is_empty() {
        to.push(Message {
            reasoning_content: Some(thoughts).filter(|_| wants_thoughts && !calls.is_empty()),
            tool_calls: calls,
            reasoning_details: details,
            ..Message::of(role, content(pieces))
        });
    }
    if !shown.is_empty() {
        let before = [Piece::Text { text: YOUR_PICTURE.into() }].into_iter();
        let pictures = shown.into_iter().map(|media| Piece::ImageUrl { image_url: Link { url: DataUrl(media) } });
        to.push(Message::of("user", content(before.chain(pictures).collect())));
    }
    Ok(())
}

impl<'a> Message<'a> {
    fn of(role: &'static str, content: Option<Content<'a>>) -> Message<'a> {
        let (tool_calls, reasoning_details) = (Vec::new(), Vec::new());
        Message { role, content, tool_calls, tool_call_id: None, reasoning_details, reasoning_content: None }
    }
}

fn content(mut pieces: Vec<Piece<'_>>) -> Option<Content<'_>> {
    let words = |piece: &Piece<'_>| matches!(piece, Piece::Text { .. });
    match pieces.as_mut_slice() {
        [] => None,
        [Piece::Text { text }] => Some(Content::Text(std::mem::take(text))),
        all if all.iter().all(words) => {
            let text =
                all.iter().filter_map(|piece| if let Piece::Text { text } = piece { Some(&**text) } else { None });
            Some(Content::Text(text.collect::<String>().into()))
        }
        _ => Some(Content::Pieces(pieces)),
    }
}

fn sound(media: &Media) -> Result<Piece<'_>, ProviderError> {
    let format = match &*media.mime {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        other => {
            let message = format!("hears sound as WAV and MP3 only, and this is {other}");
            return Err(ProviderError::new(Failure::Unsupported, message));
        }
    };
    Ok(Piece::InputAudio { input_audio: Sound { data: Base64(&media.data), format } })
}

fn tool_call<'a>(call: &'a ToolCall, manner: &Manner) -> Call<'a> {
    let function = Function { name: &call.name, arguments: Text(arguments::object(&call.arguments)) };
    Call { id: id(&call.id, manner), r#type: "function", function }
}

fn tool_result<'a>(result: &'a ToolResult, manner: &Manner) -> Message<'a> {
    // There is no field for it.
    let text: Cow<'_, str> =
        if result.is_error { format!("Error: {}", result.content).into() } else { result.content.as_str().into() };
    Message { tool_call_id: Some(id(&result.call_id, manner)), ..Message::of("tool", Some(Content::Text(text))) }
}

fn id<'a>(id: &'a str, manner: &Manner) -> Cow<'a, str> {
    if !manner.short_ids {
        return id.into();
    }
    let hash = Sha256::digest(id.as_bytes());
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(SHORT_ID_CHARS)
        .map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)]))
        .collect()
}

fn instruction(request: &ChatRequest, manner: &Manner) -> Option<String> {
    match request.response_format.as_ref()? {
        ResponseFormat::Schema { .. } if manner.sends(Field::Schema) => None,
        ResponseFormat::Schema { schema, .. } => Some(format!(
            "Answer with one JSON object that is valid after this JSON Schema, and with nothing else: {schema}"
        )),
        // OpenAI and others refuse a question for JSON in which the word does not stand.
        ResponseFormat::Json if manner.sends(Field::Json) && mentions_json(request) => None,
        ResponseFormat::Json => Some("Answer with one JSON object, and with nothing else.".to_owned()),
    }
}

fn mentions_json(request: &ChatRequest) -> bool {
    request.messages.iter().any(|message| message.text().to_lowercase().contains("json"))
}

/// Into the system's message, where there is one: many templates know only a first one.
fn instruct<'a>(messages: &mut Vec<Message<'a>>, instruction: String) {
    match messages.first_mut() {
        Some(Message { role: "system", content: Some(Content::Text(text)), .. }) => {
            *text = format!("{text}\n\n{instruction}").into();
        }
        _ => messages.insert(0, Message::of("system", Some(Content::Text(instruction.into())))),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
