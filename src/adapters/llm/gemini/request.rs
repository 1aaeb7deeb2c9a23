//! The request of `streamGenerateContent`: what is in it, and what a model may refuse of it. Pure.
//! Source: Gemini API reference, "Generating content", "GenerationConfig", "Caching" (for `Tool`, `ToolConfig`).

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::contents::{self, Content, Style};
use super::model::{self, Depth, GENERATION_OF_LEVELS, Thinking};
use crate::adapters::llm::complaint::Complaint;
use crate::adapters::llm::schema::{self, Dialect};
use crate::common::chat::{ChatRequest, ResponseFormat, Tool, ToolChoice, ToolSchema};

/// Google takes no more stop sequences.
const STOP_MAX: usize = 5;

/// The last generation whose models take penalties.
const GENERATION_OF_PENALTIES: (u32, u32) = (2, 0);

/// How this model wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    thinking: Option<Thinking>,
    style: Style,
    penalties: bool,
    /// `systemInstruction`, and not the user's first words.
    system: bool,
    /// JSON Schema in its own fields, and not the part of OpenAPI in the older ones.
    json_schema: bool,
    /// Words and pictures are asked for.
    pictures: bool,
}

/// What a picture is to be like; absent: as the model likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<&'static str>,
    /// `1K`, `2K`, `4K`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<&'static str>,
}

impl Manner {
    pub fn of(request: &ChatRequest) -> Manner {
        let model = &request.model;
        let generation = model::generation(model);
        Manner {
            thinking: model::thinking(model, request.sampling.reasoning),
            style: Style { signed: true, insists: generation >= Some(GENERATION_OF_LEVELS) },
            penalties: generation.is_none_or(|generation| generation <= GENERATION_OF_PENALTIES),
            system: true,
            json_schema: true,
            pictures: model::paints(model) || (request.images && !model::only_writes(model)),
        }
    }

    /// The same, without being told the model's thoughts.
    pub fn quiet(self) -> Manner {
        Manner { thinking: self.thinking.map(|thinking| Thinking { told: false, ..thinking }), ..self }
    }

    /// Gives in where the words of a refusal name something that can be left out or said otherwise; false when there is
    /// nothing to give in with. Google names no parameter, only the sentence tells.
    pub fn concede(&mut self, complaint: &Complaint) -> bool {
        let said = complaint.message.to_lowercase();
        let about = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if about(&["thought_signature", "thought signature", "thoughtsignature"]) {
            return std::mem::replace(&mut self.style.signed, false);
        }
        if about(&["thinking", "include_thoughts", "includethoughts"]) {
            let Some(thinking) = self.thinking else { return false };
            self.thinking = match about(&["include_thoughts", "includethoughts"]) && thinking.told {
                true => Some(Thinking { told: false, ..thinking }).filter(|thinking| thinking.depth != Depth::Own),
                false => thinking.conceded(),
            };
            return true;
        }
        if about(&["penalty", "penalties"]) {
            return std::mem::replace(&mut self.penalties, false);
        }
        if about(&["developer instruction", "system instruction", "system_instruction", "systeminstruction"]) {
            return std::mem::replace(&mut self.system, false);
        }
        if about(&["jsonschema", "json_schema"]) {
            return std::mem::replace(&mut self.json_schema, false);
        }
        if about(&["modalit", "multi-modal output"]) {
            return std::mem::replace(&mut self.pictures, false);
        }
        false
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Functions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Functions<'a> {
    function_declarations: Vec<Function<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a ToolSchema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_modalities: Option<[&'static str; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_config: Option<ImageConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

/// What is sent.
pub fn body<'a>(request: &'a ChatRequest, manner: &Manner, picture: ImageConfig) -> impl Serialize + use<'a> {
    Body {
        system_instruction: contents::system(&request.messages).filter(|_| manner.system),
        contents: contents::turns(&request.messages, manner.style, !manner.system),
        tools: functions(&request.tools, manner).into_iter().collect(),
        tool_config: tool_config(&request.tools, &request.tool_choice),
        generation_config: generation_config(request, manner, picture),
    }
}

fn functions<'a>(tools: &'a [Arc<Tool>], manner: &Manner) -> Option<Functions<'a>> {
    let function = |tool: &'a Arc<Tool>| Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters_json_schema: manner.json_schema.then_some(&tool.schema),
        parameters: (!manner.json_schema && !takes_nothing(&tool.schema)).then(|| openapi(&tool.schema)),
    };
    (!tools.is_empty()).then(|| Functions { function_declarations: tools.iter().map(function).collect() })
}

/// A schema in the words of the older fields.
fn openapi(schema: &Value) -> Value {
    schema::lowered(schema, Dialect::GeminiOpenApi)
}

/// Whether a function with this schema takes nothing at all: `parameters` refuses an object without properties.
fn takes_nothing(schema: &Value) -> bool {
    schema["properties"].as_object().is_none_or(Map::is_empty)
}

fn tool_config<'a>(tools: &[Arc<Tool>], choice: &'a ToolChoice) -> Option<ToolConfig<'a>> {
    let is_strict = tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, name) = match choice {
        _ if tools.is_empty() => return None,
        ToolChoice::Auto if is_strict => ("VALIDATED", None),
        ToolChoice::Auto => return None,
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Named(name) => ("ANY", Some([name.as_str()])),
    };
    Some(ToolConfig { function_calling_config: CallingConfig { mode, allowed_function_names: name } })
}

fn generation_config<'a>(request: &'a ChatRequest, manner: &Manner, picture: ImageConfig) -> GenerationConfig<'a> {
    let sampling = &request.sampling;
    let format = match &request.response_format {
        None => None,
        Some(ResponseFormat::Json) => Some(None),
        Some(ResponseFormat::Schema { schema, .. }) => Some(Some(schema)),
    };
    let of_schema = format.flatten();
    GenerationConfig {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        max_output_tokens: sampling.max_tokens,
        stop_sequences: &sampling.stop[..sampling.stop.len().min(STOP_MAX)],
        // 32 bits are what Google keeps of it.
        seed: sampling.seed.map(|seed| seed as i32),
        presence_penalty: sampling.presence_penalty.filter(|_| manner.penalties),
        frequency_penalty: sampling.frequency_penalty.filter(|_| manner.penalties),
        thinking_config: manner.thinking.and_then(thinking_config),
        response_mime_type: format.map(|_| "application/json"),
        response_json_schema: of_schema.filter(|_| manner.json_schema),
        response_schema: of_schema.filter(|_| !manner.json_schema).map(openapi),
        response_modalities: manner.pictures.then_some(["TEXT", "IMAGE"]),
        image_config: (picture != ImageConfig::default()).then_some(picture),
    }
}

fn thinking_config(Thinking { told, depth }: Thinking) -> Option<ThinkingConfig> {
    let (thinking_budget, thinking_level) = match depth {
        Depth::Own if !told => return None,
        Depth::Own => (None, None),
        Depth::Budget(tokens) => (Some(tokens), None),
        Depth::Level(word) => (None, Some(word)),
    };
    Some(ThinkingConfig { include_thoughts: told, thinking_budget, thinking_level })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
