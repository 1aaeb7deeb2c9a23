//! The request of Messages: what is in it beside the conversation. Pure.
//! Source: Anthropic API reference, "Messages".

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::manner::{Manner, Thinking};
use super::turns::{self, Turn};
use crate::common::chat::{ChatRequest, Effort, Media, Part, ResponseFormat, Role, Tool, ToolChoice, ToolSchema};
use crate::common::error::{Failure, ProviderError};

/// Pictures that are taken, by their type.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    system: String,
    messages: Vec<Turn<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    output_config: Map<String, Value>,
}

#[derive(Serialize)]
struct ToolEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Cow<'a, ToolSchema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// Whether everything in the request can be said in this dialect.
pub fn can_be_asked(request: &ChatRequest) -> Result<(), ProviderError> {
    let refuse = |what: String| Err(ProviderError::new(Failure::Unsupported, what));
    // What the assistant said itself goes back as words at worst.
    let given = request.messages.iter().filter(|message| message.role != Role::Assistant);
    for part in given.flat_map(|message| &message.parts).filter_map(Part::plain) {
        match part {
            Part::Audio(_) => return refuse(format!("takes no sound (model {})", request.model)),
            Part::Image(Media { mime, .. }) if !IMAGES.contains(&&**mime) => {
                return refuse(format!("takes no pictures of type {mime}, only {}", IMAGES.join(", ")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is sent.
pub fn body<'a>(request: &'a ChatRequest, manner: &Manner) -> impl Serialize + use<'a> {
    let sampling = &request.sampling;
    let messages = turns::of(request, manner);
    // Without tools there is nothing to choose; and tools that are not to be called need not be there, unless they were.
    let idle = request.tool_choice == ToolChoice::None && !messages.iter().any(Turn::uses_tools);
    let tools: &[Arc<Tool>] = if idle { &[] } else { &request.tools };
    Body {
        model: &request.model,
        max_tokens: manner.max_tokens,
        system: system(request, manner),
        messages,
        stream: true,
        // From 0 to 1 here, and to 2 elsewhere.
        temperature: sampling.temperature.filter(|_| manner.temperature).map(|value| decimal(value.clamp(0.0, 1.0))),
        top_p: sampling.top_p.filter(|_| manner.top_p).map(|value| decimal(value.clamp(0.0, 1.0))),
        // "each stop sequence must contain non-whitespace"
        stop_sequences: sampling.stop.iter().map(String::as_str).filter(|stop| !stop.trim().is_empty()).collect(),
        tools: tools.iter().map(|tool| entry(tool, manner)).collect(),
        tool_choice: if tools.is_empty() { None } else { choice(request) },
        thinking: match manner.thinking {
            Thinking::Unsaid => None,
            Thinking::Off => Some(json!({"type": "disabled"})),
            Thinking::Budget { tokens } => Some(json!({"type": "enabled", "budget_tokens": tokens})),
            // Newer models keep their thoughts to themselves unless asked.
            Thinking::Adaptive => Some(json!({"type": "adaptive", "display": "summarized"})),
        },
        output_config: output_config(request, manner),
    }
}

/// The system messages, wherever they stand, and what the answer is to look like where that is not said elsewhere.
fn system(request: &ChatRequest, manner: &Manner) -> String {
    let prompts = request.messages.iter().filter(|message| message.role == Role::System).map(|message| message.text());
    let mut said: Vec<String> = prompts.filter(|prompt| !prompt.trim().is_empty()).collect();
    match &request.response_format {
        Some(ResponseFormat::Json) => {
            said.push("Answer with one JSON object and nothing else: no explanation, no code fence.".to_owned());
        }
        Some(ResponseFormat::Schema { schema, .. }) if !manner.native_schema || manner.told_format => {
            said.push(format!(
                "Answer with JSON after this JSON Schema and nothing else: no explanation, no code fence.\n{schema}"
            ))
        }
        _ => {}
    }
    said.join("\n\n")
}

fn entry<'a>(tool: &'a Tool, manner: &Manner) -> ToolEntry<'a> {
    let input_schema = match &*tool.schema {
        Value::Object(schema) if schema.contains_key("type") => Cow::Borrowed(&tool.schema),
        Value::Object(schema) => Cow::Owned(typed(schema.clone())),
        // A tool without arguments.
        _ => Cow::Owned(typed(Map::new())),
    };
    ToolEntry {
        name: &tool.name,
        description: tool.description.as_deref().filter(|description| !description.is_empty()),
        input_schema,
        strict: tool.strict.filter(|strict| *strict && manner.strict),
    }
}

fn typed(mut schema: Map<String, Value>) -> ToolSchema {
    schema.insert("type".into(), "object".into());
    Value::Object(schema).into()
}

fn choice(request: &ChatRequest) -> Option<Value> {
    let mut choice = match &request.tool_choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Named(name) => json!({"type": "tool", "name": name}),
        // Has nothing that could run in parallel.
        ToolChoice::None => return Some(json!({"type": "none"})),
    };
    if let Some(parallel) = request.parallel_tool_calls {
        choice["disable_parallel_tool_use"] = (!parallel).into();
    }
    let default = request.tool_choice == ToolChoice::Auto && request.parallel_tool_calls.is_none();
    (!default).then_some(choice)
}

fn output_config(request: &ChatRequest, manner: &Manner) -> Map<String, Value> {
    let mut config = Map::new();
    let effort = manner.effort.and_then(|effort| match effort {
        Effort::None => None,
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
    });
    config.extend(effort.map(|effort| ("effort".to_owned(), effort.into())));
    if let Some(ResponseFormat::Schema { schema, .. }) =
        request.response_format.as_ref().filter(|_| manner.native_schema)
    {
        config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    config
}

/// 0.7 as 0.7 and not as 0.699999988079071.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a number's own text is a number")
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
