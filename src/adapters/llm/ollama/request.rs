//! The request of Ollama's own chat, and what a model may refuse of it. Pure.
//! Source: Ollama `docs/api.md`, "Generate a chat completion"; `docs/capabilities/thinking`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapters::llm::arguments;
use crate::adapters::llm::complaint::Complaint;
use crate::adapters::llm::media::Base64;
use crate::common::chat::{self, ChatRequest, Effort, Part, ResponseFormat, Role, ToolChoice, ToolSchema};
use crate::common::error::{Failure, ProviderError};

pub const PATH: &str = "/api/chat";
pub const MODELS_PATH: &str = "/api/tags";

/// The one family that takes a level; all others are told yes or no.
const TAKES_LEVELS: &str = "gpt-oss";

/// In the place of a picture that the assistant made.
const A_PICTURE: &str = "[a picture]";

/// How this model wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    think: Think,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Think {
    Level,
    YesOrNo,
    /// The model knows nothing of it.
    Unsaid,
}

impl Manner {
    pub fn of(request: &ChatRequest) -> Manner {
        let think = match request.sampling.reasoning {
            None => Think::Unsaid,
            Some(_) if request.model.contains(TAKES_LEVELS) => Think::Level,
            Some(_) => Think::YesOrNo,
        };
        Manner { think }
    }

    /// Gives in where the model cannot think, or not so; false when there is nothing to give in with.
    pub fn concede(&mut self, complaint: &Complaint) -> bool {
        // "… does not support thinking", "think value \"low\" is not supported for this model", "invalid think value".
        if !complaint.message.contains("think") {
            return false;
        }
        let less = match self.think {
            Think::Level => Think::YesOrNo,
            Think::YesOrNo | Think::Unsaid => Think::Unsaid,
        };
        std::mem::replace(&mut self.think, less) != less
    }
}

/// The address without the endpoint that an owner may have copied along: that of the compatible door, or a whole one.
pub fn root(base_url: &str) -> &str {
    let mut root = base_url.trim().trim_end_matches('/');
    for tail in ["/chat", "/tags", "/completions", "/chat", "/api", "/v1"] {
        root = root.strip_suffix(tail).unwrap_or(root).trim_end_matches('/');
    }
    root
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Thinking>,
    options: Options<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Base64<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: Cow<'a, RawValue>,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: ToolFunction<'a>,
}

#[derive(Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a ToolSchema,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Json(&'static str),
    Schema(&'a Value),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Thinking {
    Level(&'static str),
    YesOrNo(bool),
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
}

/// What is sent. How long the model stays loaded (`keep_alive`) is the server's own affair.
/// [`Failure::Unsupported`] where the language has no word for what is asked.
pub fn body<'a>(request: &'a ChatRequest, manner: &Manner) -> Result<impl Serialize + use<'a>, ProviderError> {
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        add(message, &mut messages)?;
    }
    let sampling = &request.sampling;
    Ok(Body {
        model: &request.model,
        messages,
        stream: true,
        tools: request.tools.iter().filter(|tool| is_offered(tool, &request.tool_choice)).map(tool).collect(),
        format: request.response_format.as_ref().map(|format| match format {
            ResponseFormat::Json => Format::Json("json"),
            ResponseFormat::Schema { schema, .. } => Format::Schema(schema),
        }),
        think: sampling.reasoning.and_then(|effort| thinking(effort, manner)),
        options: Options {
            temperature: sampling.temperature.map(decimal),
            top_p: sampling.top_p.map(decimal),
            num_predict: sampling.max_tokens,
            stop: &sampling.stop,
            seed: sampling.seed,
            frequency_penalty: sampling.frequency_penalty.map(decimal),
            presence_penalty: sampling.presence_penalty.map(decimal),
        },
    })
}

/// There is no choice of tools: what the model shall not call is kept from it. That it must call one cannot be said.
fn is_offered(tool: &chat::Tool, choice: &ToolChoice) -> bool {
    match choice {
        ToolChoice::Auto | ToolChoice::Required => true,
        ToolChoice::None => false,
        ToolChoice::Named(name) => tool.name == *name,
    }
}

fn tool(tool: &Arc<chat::Tool>) -> Tool<'_> {
    let function =
        ToolFunction { name: &tool.name, description: tool.description.as_deref(), parameters: &tool.schema };
    Tool { r#type: "function", function }
}

fn thinking(effort: Effort, manner: &Manner) -> Option<Thinking> {
    match (manner.think, effort) {
        (Think::Unsaid, _) => None,
        (_, Effort::None) => Some(Thinking::YesOrNo(false)),
        (Think::YesOrNo, _) => Some(Thinking::YesOrNo(true)),
        (Think::Level, Effort::Low) => Some(Thinking::Level("low")),
        (Think::Level, Effort::Medium) => Some(Thinking::Level("medium")),
        (Think::Level, Effort::High) => Some(Thinking::Level("high")),
    }
}

fn add<'a>(message: &'a chat::Message, to: &mut Vec<Message<'a>>) -> Result<(), ProviderError> {
    let role = match message.role {
        Role::System => "system",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    };
    let mut said = Message::of(role, Cow::Borrowed(""));
    for part in message.parts.iter().filter_map(Part::plain) {
        match part {
            Part::Text(text) if said.content.is_empty() => said.content = text.into(),
            Part::Text(text) => said.content += text.as_str(),
            Part::Image(_) if message.role == Role::Assistant => said.content += A_PICTURE,
            Part::Image(media) => said.images.push(Base64(&media.data)),
            Part::Audio(_) if message.role == Role::Assistant => {}
            Part::Audio(_) => {
                return Err(ProviderError::new(Failure::Unsupported, "Ollama hears no sound"));
            }
            Part::ToolCall(call) => {
                let function = CallFunction { name: &call.name, arguments: arguments::object(&call.arguments) };
                said.tool_calls.push(Call { id: &call.id, function });
            }
            Part::ToolResult(result) => {
                let content: Cow<'_, str> = match result.is_error {
                    true => format!("Error: {}", result.content).into(),
                    false => result.content.as_str().into(),
                };
                let (tool_name, tool_call_id) = (Some(&*result.name), Some(&*result.call_id));
                to.push(Message { tool_name, tool_call_id, ..Message::of("tool", content) });
            }
            Part::Verbatim(_) => {}
        }
    }
    if !said.content.is_empty() || !said.images.is_empty() || !said.tool_calls.is_empty() {
        to.push(said);
    }
    Ok(())
}

impl<'a> Message<'a> {
    fn of(role: &'static str, content: Cow<'a, str>) -> Message<'a> {
        Message { role, content, images: Vec::new(), tool_calls: Vec::new(), tool_name: None, tool_call_id: None }
    }
}

/// 0.7 as 0.7 and not as 0.699999988079071.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a number's own text is a number")
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
