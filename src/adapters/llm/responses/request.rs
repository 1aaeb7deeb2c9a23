//! The request of the Responses API: where it goes and what is in it beside the conversation. Pure; how a server wants to be
//! asked is `manner`'s business.
//! Source: OpenAI API reference, "Create a model response".

use serde::Serialize;
use serde_json::Value;

pub use super::manner::Manner;

use super::input::{Item, input};
use super::manner::{ENCRYPTED_THOUGHTS, Painting};
use crate::adapters::llm::openai::request::decimal;
use crate::common::chat::{ChatRequest, ResponseFormat, ToolChoice, ToolSchema};

pub const PATH: &str = "/responses";

/// Previews of a picture that the model paints in its answer, 1 to 3. OpenAI streams none without.
const PREVIEWS: u8 = 2;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    input: Vec<Item<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
}

#[derive(Serialize)]
struct Reasoning {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema {
        name: &'a str,
        schema: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        parameters: &'a ToolSchema,
        /// Left out it would mean true, and schemas with optional fields would be refused or changed.
        strict: bool,
    },
    ImageGeneration {
        #[serde(skip_serializing_if = "Option::is_none")]
        partial_images: Option<u8>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'a str,
    },
}

/// What is sent.
pub fn body<'a>(request: &'a ChatRequest, manner: &Manner) -> impl Serialize + use<'a> {
    let conversation = input(&request.messages, manner);
    let sampling = &request.sampling;
    let reasoning = Reasoning { effort: manner.effort, summary: manner.summary.then_some("auto") };
    let has_tools = !request.tools.is_empty();
    Body {
        model: &request.model,
        instructions: conversation.instructions,
        input: conversation.items,
        stream: true,
        store: manner.store.then_some(false),
        include: manner.encrypted_thoughts.then_some([ENCRYPTED_THOUGHTS]),
        temperature: sampling.temperature.filter(|_| manner.temperature).map(decimal),
        top_p: sampling.top_p.filter(|_| manner.top_p).map(decimal),
        max_output_tokens: sampling.max_tokens.filter(|_| manner.max_output_tokens),
        reasoning: Some(reasoning).filter(|reasoning| reasoning.effort.is_some() || reasoning.summary.is_some()),
        text: request.response_format.as_ref().map(|format| Text { format: self::format(format) }),
        tools: tools(request, manner),
        tool_choice: choice(&request.tool_choice).filter(|_| has_tools),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| has_tools && manner.parallel_tool_calls),
    }
}

fn format(format: &ResponseFormat) -> Format<'_> {
    match format {
        ResponseFormat::Json => Format::JsonObject,
        ResponseFormat::Schema { name, schema, strict } => Format::JsonSchema { name, schema, strict: *strict },
    }
}

fn tools<'a>(request: &'a ChatRequest, manner: &Manner) -> Vec<Tool<'a>> {
    let functions = request.tools.iter().map(|tool| Tool::Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: &tool.schema,
        strict: tool.strict.unwrap_or(false),
    });
    let painting = match manner.paints {
        Painting::No => None,
        Painting::Whole => Some(Tool::ImageGeneration { partial_images: None }),
        Painting::WithPreviews => Some(Tool::ImageGeneration { partial_images: Some(PREVIEWS) }),
    };
    functions.chain(painting).collect()
}

fn choice(choice: &ToolChoice) -> Option<Choice<'_>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(Choice::Word("none")),
        ToolChoice::Required => Some(Choice::Word("required")),
        ToolChoice::Named(name) => Some(Choice::Named { kind: "function", name }),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
