//! The request of Chat Completions: where it goes and what is in it. Pure; how a server wants to be asked is `manner`'s
//! business.
//! Source: OpenAI API reference, "Create chat completion"; OpenRouter API reference; llama.cpp `tools/server/README.md`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

pub use super::manner::{Flavour, Manner};

use super::manner::{Field, effort};
use super::message::{Message, messages};
use crate::common::chat::{self, ChatRequest, Effort, ResponseFormat, ToolChoice, ToolSchema};
use crate::common::error::ProviderError;

pub const PATH: &str = "/chat/completions";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    /// OpenRouter's own way to say the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Include>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template_kwargs: Option<TemplateKwargs>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modalities: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_progress: Option<bool>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Include {
    include: bool,
}

#[derive(Serialize)]
struct Reasoning {
    effort: &'static str,
}

/// What templates of models read: Qwen and others `enable_thinking`, gpt-oss `reasoning_effort`.
#[derive(Serialize)]
struct TemplateKwargs {
    enable_thinking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a ToolSchema,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// What is sent. [`crate::common::error::Failure::Unsupported`] where the language has no word for what is asked.
pub fn body<'a>(request: &'a ChatRequest, manner: &Manner) -> Result<impl Serialize + use<'a>, ProviderError> {
    let (sampling, flavour) = (&request.sampling, manner.flavour);
    let limit = sampling.max_tokens;
    let (openrouter, usage) = (flavour == Flavour::OpenRouter, manner.sends(Field::UsageWish));
    let number = |field, value: Option<f32>| value.filter(|_| manner.sends(field)).map(decimal);
    let word = sampling.reasoning.map(|wish| effort(flavour, &request.model, wish));
    let reasoning = word.filter(|_| manner.sends(Field::Reasoning));
    let template = TemplateKwargs {
        enable_thinking: sampling.reasoning != Some(Effort::None),
        reasoning_effort: word.filter(|_| sampling.reasoning != Some(Effort::None)),
    };
    Ok(Body {
        model: &request.model,
        messages: messages(request, manner)?,
        stream: true,
        stream_options: (usage && !openrouter).then_some(StreamOptions { include_usage: true }),
        usage: (usage && openrouter).then_some(Include { include: true }),
        temperature: number(Field::Temperature, sampling.temperature),
        top_p: number(Field::TopP, sampling.top_p),
        max_tokens: limit.filter(|_| !manner.completion_limit),
        max_completion_tokens: limit.filter(|_| manner.completion_limit),
        stop: manner.sends(Field::Stop).then_some(&*sampling.stop),
        seed: sampling.seed.filter(|_| manner.sends(Field::Seed)),
        frequency_penalty: number(Field::FrequencyPenalty, sampling.frequency_penalty),
        presence_penalty: number(Field::PresencePenalty, sampling.presence_penalty),
        reasoning_effort: reasoning.filter(|_| !openrouter),
        reasoning: reasoning.filter(|_| openrouter).map(|effort| Reasoning { effort }),
        chat_template_kwargs: manner.sends(Field::Template).then_some(template),
        tools: tools(request, manner),
        tool_choice: manner.sends(Field::ToolChoice).then(|| tool_choice(request, flavour)),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| manner.sends(Field::ParallelToolCalls)),
        response_format: format(request, manner),
        modalities: match (manner.sends(Field::Modalities), manner.sends(Field::TextModality)) {
            (true, true) => Some(&["image", "text"]),
            (true, false) => Some(&["image"]),
            (false, _) => None,
        },
        return_progress: manner.sends(Field::ReturnProgress).then_some(true),
    })
}

/// Servers nearby know no choice of one tool by its name: there the others are kept from the model.
fn is_offered(tool: &chat::Tool, request: &ChatRequest, flavour: Flavour) -> bool {
    match &request.tool_choice {
        ToolChoice::Named(name) if flavour == Flavour::Local => tool.name == *name,
        _ => true,
    }
}

fn tools<'a>(request: &'a ChatRequest, manner: &Manner) -> Vec<Tool<'a>> {
    let function = |tool: &'a Arc<chat::Tool>| Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: &tool.schema,
        strict: tool.strict.filter(|_| manner.sends(Field::Strict)),
    };
    let offered = request.tools.iter().filter(|tool| is_offered(tool, request, manner.flavour));
    offered.map(|tool| Tool { r#type: "function", function: function(tool) }).collect()
}

fn tool_choice(request: &ChatRequest, flavour: Flavour) -> Value {
    match &request.tool_choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Named(_) if flavour == Flavour::Local => json!("required"),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn format<'a>(request: &'a ChatRequest, manner: &Manner) -> Option<Format<'a>> {
    let format = request.response_format.as_ref().filter(|_| manner.sends(Field::Json))?;
    Some(match format {
        ResponseFormat::Schema { name, schema, strict } if manner.sends(Field::Schema) => {
            Format::JsonSchema { json_schema: Schema { name, schema, strict: *strict } }
        }
        ResponseFormat::Schema { .. } | ResponseFormat::Json => Format::JsonObject,
    })
}

/// 0.7 as 0.7 and not as 0.699999988079071.
pub fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a number's own text is a number")
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
