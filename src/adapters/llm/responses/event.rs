//! One event of the Responses API as serde reads it: borrowed from its bytes, in one pass, whatever its type; what lies
//! deeper is left as it is until somebody wants it. Says nothing of what it means.
//! Source: OpenAI API reference, "Streaming events", "The response object"; other servers' words stand where they are read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapters::llm::lenient::{Loose, object};
use crate::common::chat::Usage;

/// xAI's unit of cost: so many make a US dollar.
const TICKS_PER_USD: f64 = 1e10;

/// The fields of all events that say something; each has some of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Loose<'a>,
    #[serde(borrow)]
    pub delta: Loose<'a>,
    #[serde(borrow)]
    pub output_index: Loose<'a>,
    #[serde(borrow)]
    pub item_id: Loose<'a>,
    #[serde(borrow)]
    pub content_index: Loose<'a>,
    #[serde(borrow)]
    pub summary_index: Loose<'a>,
    #[serde(borrow)]
    pub text: Loose<'a>,
    #[serde(borrow)]
    pub refusal: Loose<'a>,
    #[serde(borrow)]
    pub arguments: Loose<'a>,
    #[serde(borrow)]
    pub partial_image_b64: Loose<'a>,
    #[serde(borrow)]
    pub partial_image_index: Loose<'a>,
    #[serde(borrow)]
    pub output_format: Loose<'a>,
    #[serde(borrow)]
    pub item: Option<&'a RawValue>,
    #[serde(borrow)]
    pub response: Option<&'a RawValue>,
    /// Of a document: a whole response.
    #[serde(borrow)]
    pub object: Loose<'a>,
}

/// An item of `output`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Item<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Loose<'a>,
    #[serde(borrow)]
    pub id: Loose<'a>,
    #[serde(borrow)]
    pub call_id: Loose<'a>,
    #[serde(borrow)]
    pub name: Loose<'a>,
    /// A string with JSON in it; from some servers the JSON itself.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    /// Of a message [`Content`]s, of a reasoning item its own words.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub summary: Option<&'a RawValue>,
    #[serde(borrow)]
    pub encrypted_content: Loose<'a>,
    /// A picture in base64.
    #[serde(borrow)]
    pub result: Loose<'a>,
    #[serde(borrow)]
    pub output_format: Loose<'a>,
    /// `commentary` or `final_answer`: must come back with the message.
    #[serde(borrow)]
    pub phase: Loose<'a>,
    /// Of a call that a program made: must come back with it.
    #[serde(borrow)]
    pub caller: Option<&'a RawValue>,
    /// Of a call of a tool that the model searched for: must come back with it.
    #[serde(borrow)]
    pub namespace: Loose<'a>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

/// A part of a message, or of what was thought.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Content<'a> {
    #[serde(borrow)]
    pub text: Loose<'a>,
    #[serde(borrow)]
    pub refusal: Loose<'a>,
}

/// A response, as far as it has come.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Response<'a> {
    #[serde(borrow)]
    pub model: Loose<'a>,
    #[serde(borrow)]
    pub status: Loose<'a>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    pub incomplete_details: Option<Incomplete>,
    #[serde(borrow)]
    pub output: Option<&'a RawValue>,
    #[serde(borrow)]
    pub usage: Option<Tokens<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Incomplete {
    pub reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tokens<'a> {
    #[serde(borrow)]
    input_tokens: Loose<'a>,
    #[serde(borrow)]
    output_tokens: Loose<'a>,
    #[serde(borrow)]
    input_tokens_details: Option<Details<'a>>,
    #[serde(borrow)]
    output_tokens_details: Option<Details<'a>>,
    /// xAI.
    #[serde(borrow)]
    cost_in_usd_ticks: Loose<'a>,
    /// US dollars (OpenRouter).
    #[serde(borrow)]
    cost: Loose<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details<'a> {
    #[serde(borrow)]
    cached_tokens: Loose<'a>,
    #[serde(borrow)]
    cache_write_tokens: Loose<'a>,
    #[serde(borrow)]
    reasoning_tokens: Loose<'a>,
}

impl<'a> Frame<'a> {
    /// `None` where it is no event of this interface.
    pub fn read(data: &'a [u8]) -> Option<Frame<'a>> {
        object(data)
    }

    /// The item that an event brings.
    pub fn item(&self) -> Option<Item<'a>> {
        object(self.item?.get().as_bytes())
    }

    /// The response that an event brings.
    pub fn response(&self) -> Option<Response<'a>> {
        object(self.response?.get().as_bytes())
    }
}

impl Item<'_> {
    /// The arguments of a call as text.
    pub fn arguments(&self) -> String {
        match self.arguments.map_or("null", RawValue::get) {
            "null" => String::new(),
            text => serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()),
        }
    }

    /// A call that is more than id, name and arguments, and so must come back as it is.
    pub fn has_strings_attached(&self) -> bool {
        self.caller.is_some() || !self.namespace.text().is_empty()
    }
}

impl Tokens<'_> {
    /// The counts, where there are any: a `usage` without a figure says nothing.
    pub fn counted(&self) -> Option<Usage> {
        let (input, output) = (self.input_tokens.count(), self.output_tokens.count());
        input.or(output)?;
        let read = self.input_tokens_details.as_ref();
        Some(Usage {
            input_tokens: input.unwrap_or(0),
            output_tokens: output.unwrap_or(0),
            cached_tokens: read.and_then(|details| details.cached_tokens.count()),
            cache_write_tokens: read.and_then(|details| details.cache_write_tokens.count()),
            reasoning_tokens: self.output_tokens_details.as_ref().and_then(|details| details.reasoning_tokens.count()),
            cost_usd: self.cost.number().or_else(|| Some(self.cost_in_usd_ticks.number()? / TICKS_PER_USD)),
        })
    }
}
