//! A chat completion as a client asks for it, read into the hub's own words. Pure. What the hub cannot do is refused with the
//! parameter that asks for it, and never passed over where the answer would be another one; what only advises (`user`,
//! `metadata`, `store`, …) is ignored.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::common::chat::{
    Effort, Media, Message, Part, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::router::Brought;

/// Messages of one request.
const MESSAGES_MAX: usize = 4096;

/// Tools of one request.
const TOOLS_MAX: usize = 512;

/// A request, read.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    /// As the client wrote it.
    pub model: String,
    pub stream: bool,
    /// A last chunk with the usage, and none without.
    pub include_usage: bool,
    pub brought: Box<Brought>,
}

/// A request that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub param: Option<&'static str>,
    pub why: String,
}

#[derive(Deserialize)]
struct Body<'a> {
    model: String,
    #[serde(borrow)]
    messages: Vec<Said<'a>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    frequency_penalty: Option<f32>,
    #[serde(default)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    reasoning_effort: Option<String>,
    #[serde(default)]
    tools: Option<Vec<ToolRow>>,
    #[serde(default)]
    tool_choice: Option<Choice>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    response_format: Option<Format>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    modalities: Option<Vec<String>>,
    #[serde(default)]
    functions: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Some(Vec<String>),
}

#[derive(Deserialize)]
struct Said<'a> {
    role: String,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(String),
    #[serde(borrow)]
    Parts(Vec<Piece<'a>>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    ImageUrl {
        #[serde(borrow)]
        image_url: Picture<'a>,
    },
    InputAudio {
        #[serde(borrow)]
        input_audio: Sound<'a>,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Picture<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Sound<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    format: String,
}

#[derive(Deserialize)]
struct Call {
    id: String,
    #[serde(default)]
    function: Option<CallFunction>,
}

#[derive(Deserialize)]
struct CallFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct ToolRow {
    r#type: String,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Word(String),
    Named { function: Named },
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    Text,
    JsonObject,
    JsonSchema { json_schema: Schema },
}

#[derive(Deserialize)]
struct Schema {
    name: String,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

/// Reads a body.
pub fn read(body: &[u8]) -> Result<Wanted, Refused> {
    let body: Body<'_> =
        serde_json::from_slice(body).map_err(|error| Refused { param: None, why: format!("the request: {error}") })?;
    refuse_what_nobody_does(&body)?;
    if body.messages.is_empty() || body.messages.len() > MESSAGES_MAX {
        return Err(refused("messages", format!("1 to {MESSAGES_MAX} messages are possible")));
    }
    let sampling = Sampling {
        temperature: within("temperature", body.temperature, 0.0, 2.0)?,
        top_p: within("top_p", body.top_p, 0.0, 1.0)?,
        max_tokens: limit(body.max_completion_tokens.or(body.max_tokens))?,
        stop: match body.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text],
            Some(Stop::Some(list)) => list,
        },
        seed: body.seed,
        frequency_penalty: within("frequency_penalty", body.frequency_penalty, -2.0, 2.0)?,
        presence_penalty: within("presence_penalty", body.presence_penalty, -2.0, 2.0)?,
        reasoning: body.reasoning_effort.as_deref().map(effort).transpose()?,
    };
    let mut messages = Vec::with_capacity(body.messages.len());
    for said in body.messages {
        let message = message(said, &messages)?;
        messages.push(message);
    }
    let brought = Brought {
        messages,
        sampling,
        tools: tools(body.tools.unwrap_or_default())?,
        tool_choice: body.tool_choice.map_or(Ok(ToolChoice::Auto), tool_choice)?,
        parallel_tool_calls: body.parallel_tool_calls,
        response_format: body.response_format.and_then(response_format),
    };
    Ok(Wanted {
        model: body.model,
        stream: body.stream.unwrap_or(false),
        include_usage: body.stream_options.is_some_and(|options| options.include_usage),
        brought: Box::new(brought),
    })
}

fn refuse_what_nobody_does(body: &Body<'_>) -> Result<(), Refused> {
    if body.n.is_some_and(|n| n != 1) {
        return Err(refused("n", "one answer is given to a request; ask again for another"));
    }
    if body.logprobs == Some(true) {
        return Err(refused("logprobs", "the hub passes no log probabilities on"));
    }
    if body.modalities.iter().flatten().any(|kind| kind == "audio") {
        return Err(refused("modalities", "this door answers in text; for speech there is the hub's WebSocket"));
    }
    if body.functions.is_some() {
        return Err(refused("functions", "functions have become tools: send them as `tools`"));
    }
    Ok(())
}

fn message(said: Said<'_>, before: &[Message]) -> Result<Message, Refused> {
    let Said { role, content, refusal, tool_calls, tool_call_id, name } = said;
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => return tool_result(content, tool_call_id, name, before),
        other => return Err(refused("messages", format!("there is no role {:?}", shown(other)))),
    };
    let mut parts = match content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Parts(pieces)) => pieces.into_iter().map(part).collect::<Result<_, _>>()?,
    };
    parts.extend(refusal.map(Part::Text));
    for Call { id, function } in tool_calls.unwrap_or_default() {
        let Some(CallFunction { name, arguments }) = function else {
            return Err(refused("messages", "a call in tool_calls has no `function`; other kinds are not taken"));
        };
        parts.push(Part::ToolCall(ToolCall { id, name, arguments }));
    }
    Ok(Message { role, parts })
}

/// The name of the tool stands with the call and not with its result, while some providers go by the name.
fn tool_result(
    content: Option<Content<'_>>,
    call_id: Option<String>,
    name: Option<String>,
    before: &[Message],
) -> Result<Message, Refused> {
    let Some(call_id) = call_id else {
        return Err(refused("messages", "a message of the role `tool` has no tool_call_id"));
    };
    let called = before.iter().rev().flat_map(|message| &message.parts).find_map(|part| match part {
        Part::ToolCall(call) if call.id == call_id => Some(call.name.clone()),
        _ => None,
    });
    let Some(name) = called.or(name) else {
        let why = format!("no call before it has the tool_call_id {:?}", shown(&call_id));
        return Err(refused("messages", why));
    };
    let mut text = String::new();
    match content {
        None => {}
        Some(Content::Text(whole)) => text = whole,
        Some(Content::Parts(pieces)) => {
            for piece in pieces {
                let Piece::Text { text: more } = piece else {
                    return Err(refused("messages", "what a tool gives back is text"));
                };
                text.push_str(&more);
            }
        }
    }
    let result = ToolResult { call_id, name, content: text, is_error: false };
    Ok(Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] })
}

fn part(piece: Piece<'_>) -> Result<Part, Refused> {
    match piece {
        Piece::Text { text } | Piece::Refusal { refusal: text } => Ok(Part::Text(text)),
        Piece::ImageUrl { image_url } => data_url(&image_url.url).map(Part::Image),
        Piece::InputAudio { input_audio: Sound { data, format } } => {
            let mime = match format.as_str() {
                "wav" => "audio/wav",
                "mp3" => "audio/mpeg",
                _ => return Err(refused("messages", "input_audio.format: wav or mp3")),
            };
            Ok(Part::Audio(media(mime, &data)?))
        }
        Piece::Unknown => Err(refused("messages", "a part of a message is text, image_url or input_audio")),
    }
}

/// `data:image/png;base64,…`. The hub fetches nothing for a client: it would do so from within the house.
fn data_url(url: &str) -> Result<Media, Refused> {
    let parsed = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match parsed {
        Some((mime, data)) if mime.starts_with("image/") => media(&mime.to_ascii_lowercase(), data),
        Some(_) => Err(refused("messages", "image_url: the data URL is no picture")),
        None => Err(refused(
            "messages",
            "image_url: send the picture itself, as data:image/…;base64,…; the hub fetches none",
        )),
    }
}

fn media(mime: &str, base64: &str) -> Result<Media, Refused> {
    let data = STANDARD.decode(base64).map_err(|error| refused("messages", format!("the data of {mime}: {error}")))?;
    Ok(Media { mime: mime.into(), data: data.into() })
}

fn tools(rows: Vec<ToolRow>) -> Result<Vec<Arc<Tool>>, Refused> {
    if rows.len() > TOOLS_MAX {
        return Err(refused("tools", format!("{TOOLS_MAX} tools are possible")));
    }
    let tool = |row: ToolRow| match (row.r#type.as_str(), row.function) {
        ("function", Some(Function { name, description, parameters, strict })) => {
            let schema = parameters.unwrap_or_else(|| serde_json::json!({ "type": "object", "properties": {} }));
            if !schema.is_object() {
                return Err(refused("tools", format!("parameters of {:?} are no JSON Schema object", shown(&name))));
            }
            Ok(Tool { name, description, schema: schema.into(), strict }.into())
        }
        (kind, _) => Err(refused("tools", format!("a tool of the type {:?}: only `function` is taken", shown(kind)))),
    };
    rows.into_iter().map(tool).collect()
}

fn tool_choice(choice: Choice) -> Result<ToolChoice, Refused> {
    match choice {
        Choice::Named { function } => Ok(ToolChoice::Named(function.name)),
        Choice::Word(word) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            other => Err(refused("tool_choice", format!("{:?}: auto, none, required or a function", shown(other)))),
        },
    }
}

fn response_format(format: Format) -> Option<ResponseFormat> {
    match format {
        Format::Text => None,
        Format::JsonObject => Some(ResponseFormat::Json),
        Format::JsonSchema { json_schema: Schema { name, schema, strict } } => match schema {
            Some(schema) => Some(ResponseFormat::Schema { name, schema, strict }),
            None => Some(ResponseFormat::Json),
        },
    }
}

fn effort(word: &str) -> Result<Effort, Refused> {
    match word {
        "none" => Ok(Effort::None),
        "minimal" | "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" | "xhigh" => Ok(Effort::High),
        other => Err(refused("reasoning_effort", format!("{:?}: none, low, medium or high", shown(other)))),
    }
}

fn within(param: &'static str, value: Option<f32>, least: f32, most: f32) -> Result<Option<f32>, Refused> {
    match value {
        Some(value) if !(least..=most).contains(&value) => Err(refused(param, format!("{least} to {most}"))),
        value => Ok(value),
    }
}

fn limit(tokens: Option<u32>) -> Result<Option<u32>, Refused> {
    match tokens {
        Some(0) => Err(refused("max_tokens", "1 or more")),
        tokens => Ok(tokens),
    }
}

fn refused(param: &'static str, why: impl Into<String>) -> Refused {
    let why = why.into();
    Refused { param: Some(param), why: format!("{param}: {why}") }
}

fn shown(word: &str) -> &str {
    &word[..word.floor_char_boundary(80)]
}
