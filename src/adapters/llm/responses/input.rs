//! A conversation as the Responses API reads it: messages taken apart into the items of `input`, and the items that came
//! from it before given back as they were. Pure.
//! Source: OpenAI API reference, "Create a model response", `input`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::ORIGIN;
use super::manner::Manner;
use crate::adapters::llm::arguments;
use crate::adapters::llm::lenient::{Loose, object};
use crate::adapters::llm::media::{Base64, DataUrl};
use crate::common::chat::{ChatRequest, Media, Message, Part, Role, Verbatim};
use crate::common::error::{Failure, ProviderError};

/// How many of the pictures that the model itself made go back to it, the last ones: each is some megabytes.
const PICTURES_BACK_MAX: usize = 2;

/// The pictures that models read.
const IMAGE_MIMES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// What a request begins with, and what it goes on with.
#[derive(Debug)]
pub struct Input<'a> {
    /// The system messages before all others.
    pub instructions: Option<String>,
    pub items: Vec<Item<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Item<'a> {
    Plain(Plain<'a>),
    Kept(Cow<'a, RawValue>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Plain<'a> {
    Message { role: &'static str, content: Vec<Content<'a>> },
    FunctionCall { call_id: &'a str, name: &'a str, arguments: JsonText<'a> },
    FunctionCallOutput { call_id: &'a str, output: &'a str },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content<'a> {
    InputText {
        text: &'a str,
    },
    /// A message of the assistant's has no other kind.
    OutputText {
        text: &'a str,
    },
    InputImage {
        image_url: DataUrl<'a>,
    },
    InputAudio {
        input_audio: Audio<'a>,
    },
}

#[derive(Debug, Serialize)]
pub struct Audio<'a> {
    data: Base64<'a>,
    format: &'static str,
}

/// JSON that is written as a string.
#[derive(Debug)]
pub struct JsonText<'a>(Cow<'a, RawValue>);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.get())
    }
}

/// What there must be in an item that came from this interface.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kept<'a> {
    #[serde(borrow, rename = "type")]
    kind: Loose<'a>,
    #[serde(borrow)]
    encrypted_content: Loose<'a>,
}

/// Whether all can be said in this language.
pub fn check(request: &ChatRequest, manner: &Manner) -> Result<(), ProviderError> {
    let said = request.messages.iter().filter(|message| message.role != Role::Assistant);
    for part in said.flat_map(|message| &message.parts).filter_map(Part::plain) {
        let why = match part {
            Part::Image(media) if !IMAGE_MIMES.contains(&&*media.mime) => format!("takes no {}", media.mime),
            Part::Audio(_) if manner.is_openai => "takes no sound over the Responses API".to_owned(),
            Part::Audio(media) if audio_format(media).is_none() => format!("takes no {}", media.mime),
            _ => continue,
        };
        let message = format!("{why} (model {})", request.model);
        return Err(ProviderError::new(Failure::Unsupported, message));
    }
    Ok(())
}

/// `manner` says whose items may come back.
pub fn input<'a>(messages: &'a [Message], manner: &Manner) -> Input<'a> {
    let preface_len = messages.iter().take_while(|message| message.role == Role::System).count();
    let (preface, rest) = messages.split_at(preface_len);
    let instructions: Vec<String> = preface.iter().map(Message::text).filter(|text| !text.is_empty()).collect();
    let pictures = rest.iter().flat_map(|message| &message.parts).filter(|part| own_picture(part).is_some()).count();
    let mut writer = Writer { items: Vec::new(), pictures_to_skip: pictures.saturating_sub(PICTURES_BACK_MAX) };
    for message in rest {
        writer.message(message, manner);
    }
    Input { instructions: (!instructions.is_empty()).then(|| instructions.join("\n\n")), items: writer.items }
}

struct Writer<'a> {
    items: Vec<Item<'a>>,
    pictures_to_skip: usize,
}

impl<'a> Writer<'a> {
    fn message(&mut self, message: &'a Message, manner: &Manner) {
        let role = match message.role {
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        };
        let mut content = Vec::new();
        for part in &message.parts {
            if let Part::Verbatim(item) = part
                && item.is_of(ORIGIN)
                && manner.gives_back
            {
                self.flush(role, &mut content);
                let kept = self.kept(item, manner);
                self.items.extend(kept);
                continue;
            }
            match part.plain() {
                Some(Part::Text(text)) if text.is_empty() => {}
                Some(Part::Text(text)) if message.role == Role::Assistant => content.push(Content::OutputText { text }),
                Some(Part::Text(text)) => content.push(Content::InputText { text }),
                // A message of the assistant's can hold none: the user shows it.
                Some(Part::Image(media)) if message.role == Role::Assistant => {
                    self.flush(role, &mut content);
                    self.flush("user", &mut vec![image(media)]);
                }
                Some(Part::Image(media)) => content.push(image(media)),
                // What was spoken is there as text.
                Some(Part::Audio(_)) if message.role == Role::Assistant => {}
                Some(Part::Audio(media)) => content.extend(audio(media)),
                Some(Part::ToolCall(call)) => {
                    self.flush(role, &mut content);
                    let arguments = JsonText(arguments::object(&call.arguments));
                    let call = Plain::FunctionCall { call_id: &call.id, name: &call.name, arguments };
                    self.items.push(Item::Plain(call));
                }
                Some(Part::ToolResult(result)) => {
                    self.flush(role, &mut content);
                    let output = Plain::FunctionCallOutput { call_id: &result.call_id, output: &result.content };
                    self.items.push(Item::Plain(output));
                }
                Some(Part::Verbatim(_)) | None => {}
            }
        }
        self.flush(role, &mut content);
    }

    fn flush(&mut self, role: &'static str, content: &mut Vec<Content<'a>>) {
        if !content.is_empty() {
            self.items.push(Item::Plain(Plain::Message { role, content: std::mem::take(content) }));
        }
    }

    /// An item that came from this interface, unless it would be refused.
    fn kept(&mut self, item: &'a Verbatim, manner: &Manner) -> Option<Item<'a>> {
        let kept: Kept<'_> = object(item.json.get().as_bytes())?;
        match kept.kind.text() {
            // OpenAI knows no thoughts in plain words, and has not stored them under their id.
            "reasoning" if manner.is_openai && kept.encrypted_content.text().is_empty() => None,
            "image_generation_call" => {
                let Some(Part::Image(media)) = item.stands_for.as_deref() else { return None };
                if self.pictures_to_skip > 0 {
                    self.pictures_to_skip -= 1;
                    return None;
                }
                let result = to_raw_value(&Base64(&media.data)).ok()?;
                let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(item.json.get()).ok()?;
                fields.insert("result".into(), &result);
                Some(Item::Kept(Cow::Owned(to_raw_value(&fields).ok()?)))
            }
            _ => Some(Item::Kept(Cow::Borrowed(&item.json))),
        }
    }
}

fn own_picture(part: &Part) -> Option<&Media> {
    match part {
        Part::Verbatim(item) if item.is_of(ORIGIN) => match item.stands_for.as_deref() {
            Some(Part::Image(media)) => Some(media),
            _ => None,
        },
        _ => None,
    }
}

fn image(media: &Media) -> Content<'_> {
    Content::InputImage { image_url: DataUrl(media) }
}

fn audio(media: &Media) -> Option<Content<'_>> {
    let input_audio = Audio { data: Base64(&media.data), format: audio_format(media)? };
    Some(Content::InputAudio { input_audio })
}

fn audio_format(media: &Media) -> Option<&'static str> {
    match &*media.mime {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
