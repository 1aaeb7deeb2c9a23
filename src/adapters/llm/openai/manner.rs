//! How a server that speaks Chat Completions, and the model behind it, want to be asked: what is known beforehand by name,
//! and what is learned from a refusal. Pure.

use crate::adapters::llm::complaint::Complaint;
use crate::adapters::llm::exchange::Target;
use crate::common::chat::{ChatRequest, Effort, ResponseFormat, ToolChoice};
use crate::common::config::ProviderName;

const OPENAI_HOST: &str = "api.openai.com";
const AZURE_HOSTS: &str = ".openai.azure.com";

/// Whose Chat Completions they are: servers agree upon the core and go apart at the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// OpenAI's own: strict about what it does not know.
    OpenAi,
    OpenRouter,
    /// llama.cpp, LM Studio, vLLM: lax about it, and fond of templates.
    Local,
    /// DeepSeek, Groq, xAI, Mistral and many more.
    Other,
}

impl Flavour {
    pub fn of(row: ProviderName, target: &Target) -> Flavour {
        let host = target.host().unwrap_or_default();
        match row {
            ProviderName::Openrouter => Flavour::OpenRouter,
            _ if host == OPENAI_HOST || host.ends_with(AZURE_HOSTS) => Flavour::OpenAi,
            ProviderName::Local => Flavour::Local,
            _ => Flavour::Other,
        }
    }
}

/// A part of a request without which it can be sent, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Temperature,
    TopP,
    Stop,
    Seed,
    FrequencyPenalty,
    PresencePenalty,
    /// `stream_options`, or OpenRouter's `usage`.
    UsageWish,
    /// `reasoning_effort`, or OpenRouter's `reasoning`.
    Reasoning,
    /// `chat_template_kwargs`.
    Template,
    ReturnProgress,
    ToolChoice,
    ParallelToolCalls,
    Strict,
    /// `response_format` with a schema; without it that becomes an object and an instruction.
    Schema,
    /// `response_format` at all; without it the instruction stays.
    Json,
    /// `text` among the `modalities`: a model that only paints refuses it.
    TextModality,
    Modalities,
}

/// By which names refusals call the fields; those that are given up in turn stand in the order of giving up.
const NAMES: [(&str, Field); 25] = [
    ("temperature", Field::Temperature),
    ("top_p", Field::TopP),
    ("stop", Field::Stop),
    ("seed", Field::Seed),
    ("frequency_penalty", Field::FrequencyPenalty),
    ("presence_penalty", Field::PresencePenalty),
    ("stream_options", Field::UsageWish),
    ("include_usage", Field::UsageWish),
    ("usage", Field::UsageWish),
    ("reasoning_effort", Field::Reasoning),
    ("reasoning", Field::Reasoning),
    ("chat_template_kwargs", Field::Template),
    ("enable_thinking", Field::Template),
    ("return_progress", Field::ReturnProgress),
    ("tool_choice", Field::ToolChoice),
    ("parallel_tool_calls", Field::ParallelToolCalls),
    ("strict", Field::Strict),
    ("json_schema", Field::Schema),
    ("response_format", Field::Schema),
    ("json_schema", Field::Json),
    ("json_object", Field::Json),
    ("response_format", Field::Json),
    ("modalities", Field::TextModality),
    ("modality", Field::Modalities),
    ("modalities", Field::Modalities),
];

/// Words by which a refusal shows that it minds a parameter, and not that it merely mentions one.
const MINDS: [&str; 14] = [
    "unsupported",
    "not supported",
    "not support",
    "unrecognized",
    "unknown",
    "unexpected",
    "unavailable",
    "not permitted",
    "not allowed",
    "not available",
    "additional propert",
    "extra inputs",
    "must be",
    "no endpoints found",
];

/// What to do with the `reasoning_content` of earlier messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoughts {
    /// The server knows no such field.
    Never,
    /// It goes back as far as it was kept.
    Kept,
    /// With every message that has calls of tools, be it empty: DeepSeek refuses the whole conversation without it.
    WithEveryCall,
}

/// How this server and this model want to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    pub flavour: Flavour,
    pub thoughts: Thoughts,
    /// `max_completion_tokens` and not the older `max_tokens`, which alone is understood everywhere else.
    pub completion_limit: bool,
    limit_switched: bool,
    /// Ids of calls have nine letters and figures (Mistral).
    pub short_ids: bool,
    /// Of what the question wishes, that which is still sent.
    sent: Vec<Field>,
}

impl Manner {
    pub fn of(flavour: Flavour, request: &ChatRequest) -> Manner {
        let (openai, sampling) = (flavour == Flavour::OpenAi, &request.sampling);
        let reasons = sampling.reasoning.is_some() && (!openai || is_reasoner(&request.model));
        let no_thinking = sampling.reasoning == Some(Effort::None);
        let (local, paints) = (flavour == Flavour::Local, request.images && flavour == Flavour::OpenRouter);
        let has_tools = !request.tools.is_empty();
        let wishes = [
            (Field::Temperature, sampling.temperature.is_some() && !(openai && has_fixed_temperature(&request.model))),
            (Field::TopP, sampling.top_p.is_some()),
            (Field::Stop, !sampling.stop.is_empty()),
            (Field::Seed, sampling.seed.is_some()),
            (Field::FrequencyPenalty, sampling.frequency_penalty.is_some()),
            (Field::PresencePenalty, sampling.presence_penalty.is_some()),
            (Field::UsageWish, true),
            // Servers nearby have no word for thinking not at all, and a template that has.
            (Field::Reasoning, reasons && !(local && no_thinking)),
            (Field::Template, reasons && local),
            (Field::ReturnProgress, local),
            (Field::ToolChoice, has_tools && request.tool_choice != ToolChoice::Auto),
            (Field::ParallelToolCalls, has_tools && request.parallel_tool_calls.is_some()),
            (Field::Strict, request.tools.iter().any(|tool| tool.strict.is_some())),
            (Field::Schema, matches!(request.response_format, Some(ResponseFormat::Schema { .. }))),
            (Field::Json, request.response_format.is_some()),
            (Field::TextModality, paints),
            (Field::Modalities, paints),
        ];
        Manner {
            flavour,
            thoughts: match flavour {
                Flavour::OpenAi | Flavour::OpenRouter => Thoughts::Never,
                Flavour::Local | Flavour::Other => Thoughts::Kept,
            },
            completion_limit: openai,
            limit_switched: false,
            short_ids: false,
            sent: wishes.into_iter().filter(|(_, wished)| *wished).map(|(field, _)| field).collect(),
        }
    }

    pub fn sends(&self, field: Field) -> bool {
        self.sent.contains(&field)
    }

    /// Gives in where the server says which parameter is at fault; false when there is nothing to give in with.
    pub fn concede(&mut self, complaint: &Complaint) -> bool {
        let message = complaint.message.to_lowercase();
        if message.contains("reasoning_content") {
            let missing = ["passed back", "missing", "required"].iter().any(|word| message.contains(word));
            let wanted = if missing { Thoughts::WithEveryCall } else { Thoughts::Never };
            return std::mem::replace(&mut self.thoughts, wanted) != wanted;
        }
        // "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9."
        if message.contains("tool call id") && message.contains("length of 9") {
            return !std::mem::replace(&mut self.short_ids, true);
        }
        let named = complaint.param.as_deref().map(|param| param.split(['.', '[']).next().unwrap_or(param));
        if named.is_some_and(|name| self.give_up(name)) {
            return true;
        }
        let minds = MINDS.iter().any(|word| message.contains(word));
        minds && complaint.message.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| self.give_up(word))
    }

    fn give_up(&mut self, name: &str) -> bool {
        let name = plain(name);
        if !self.limit_switched && name == plain(if self.completion_limit { NEW_LIMIT } else { OLD_LIMIT }) {
            self.limit_switched = true;
            self.completion_limit = !self.completion_limit;
            return true;
        }
        let called_so = |field: &Field| NAMES.iter().any(|(other, at)| at == field && plain(other) == name);
        let Some(field) =
            NAMES.iter().map(|(_, field)| field).find(|field| self.sends(**field) && called_so(field)).copied()
        else {
            return false;
        };
        self.sent.retain(|sent| *sent != field);
        true
    }
}

const OLD_LIMIT: &str = "max_tokens";
const NEW_LIMIT: &str = "max_completion_tokens";

/// `reasoningEffort`, as xAI writes, is `reasoning_effort`.
fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

/// OpenAI's reasoning models take no temperature but their own: o1, o3, o4 and the first gpt-5, without its chat model.
pub fn has_fixed_temperature(model: &str) -> bool {
    is_o(model) || model == "gpt-5" || (model.starts_with("gpt-5-") && !model.starts_with("gpt-5-chat"))
}

/// Models of OpenAI's that know `reasoning_effort`.
fn is_reasoner(model: &str) -> bool {
    is_o(model) || (model.starts_with("gpt-5") && !model.contains("-chat"))
}

fn is_o(model: &str) -> bool {
    model.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `reasoning_effort`. What is nearest to no thinking has three words at OpenAI.
pub fn effort(flavour: Flavour, model: &str, effort: Effort) -> &'static str {
    match effort {
        Effort::None if flavour == Flavour::OpenAi && is_o(model) => "low",
        Effort::None if flavour == Flavour::OpenAi && has_fixed_temperature(model) => "minimal",
        Effort::None => "none",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::llm::complaint::KeyPlace;
    use crate::adapters::llm::exchange::KeyHeader;
    use crate::common::chat::Sampling;

    fn question(model: &str) -> ChatRequest {
        let sampling = Sampling {
            temperature: Some(0.7),
            top_p: Some(0.9),
            max_tokens: Some(50),
            stop: vec!["x".into()],
            reasoning: Some(Effort::Low),
            ..Sampling::default()
        };
        let schema = ResponseFormat::Schema { name: "x".into(), schema: serde_json::json!({}), strict: None };
        ChatRequest {
            model: model.into(),
            sampling,
            response_format: Some(schema),
            images: true,
            ..ChatRequest::default()
        }
    }

    fn at_fault(param: &str) -> Complaint {
        Complaint { param: Some(param.into()), ..Complaint::default() }
    }

    fn says(message: &str) -> Complaint {
        Complaint { message: message.into(), ..Complaint::default() }
    }

    #[test]
    fn a_flavour_is_known_by_row_and_host() {
        let of = |row, base_url: &str| {
            Flavour::of(row, &Target::new(base_url, "/chat/completions", KeyHeader::Bearer, KeyPlace::default()))
        };
        for (row, base_url, flavour) in [
            (ProviderName::Openai, "https://api.openai.com/v1", Flavour::OpenAi),
            (ProviderName::Openai, "https://me.openai.azure.com/openai/v1", Flavour::OpenAi),
            (ProviderName::Openai, "https://api.deepseek.com/v1", Flavour::Other),
            (ProviderName::Local, "http://127.0.0.1:8080/v1", Flavour::Local),
            (ProviderName::Local, "https://api.openai.com/v1", Flavour::OpenAi),
            (ProviderName::Openrouter, "https://openrouter.ai/api/v1", Flavour::OpenRouter),
        ] {
            assert_eq!(of(row, base_url), flavour, "{base_url}");
        }
    }

    #[test]
    fn models_that_choose_their_own_temperature() {
        let sends = |model: &str| Manner::of(Flavour::OpenAi, &question(model)).sends(Field::Temperature);
        assert!(["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-5.1", "omni", "ollama"].into_iter().all(sends));
        assert!(!["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-mini"].into_iter().any(sends));
        assert!(Manner::of(Flavour::Other, &question("o1")).sends(Field::Temperature));
    }

    #[test]
    fn effort_is_for_models_that_reason() {
        let sends = |model: &str| Manner::of(Flavour::OpenAi, &question(model)).sends(Field::Reasoning);
        assert!(["o3-mini", "gpt-5", "gpt-5.1", "gpt-5-nano"].into_iter().all(sends));
        assert!(!["gpt-4o", "gpt-5-chat-latest"].into_iter().any(sends));
        let none = |model| effort(Flavour::OpenAi, model, Effort::None);
        assert_eq!([none("o3"), none("gpt-5-mini"), none("gpt-5.1")], ["low", "minimal", "none"]);
    }

    #[test]
    fn a_refused_parameter_is_given_up_once() {
        let mut manner = Manner::of(Flavour::Local, &question("gpt-5"));
        assert!(manner.concede(&at_fault("temperature")) && !manner.concede(&at_fault("temperature")));
        assert!(manner.concede(&at_fault("max_tokens")) && !manner.concede(&at_fault("max_tokens")));
        assert!(!manner.concede(&at_fault("max_completion_tokens")), "neither will do");
        assert!(manner.concede(&at_fault("stream_options.include_usage")) && !manner.sends(Field::UsageWish));
        assert!(!manner.concede(&at_fault("model")) && !manner.concede(&at_fault("seed")), "it was not sent");
    }

    #[test]
    fn servers_that_name_no_parameter_are_understood() {
        for (message, field) in [
            ("Unrecognized request argument supplied: stream_options", Field::UsageWish),
            ("property 'reasoning_effort' is unsupported", Field::Reasoning),
            ("Model grok-4 does not support parameter reasoningEffort.", Field::Reasoning),
            ("Argument not supported on this model: stop", Field::Stop),
            ("This response_format type is unavailable now", Field::Schema),
            ("'response_format.type' must be 'json_object' or 'text'", Field::Schema),
            ("temperature: must be between 0 and 1", Field::Temperature),
            ("No endpoints found that support the requested output modalities: image, text", Field::TextModality),
        ] {
            let mut manner = Manner::of(Flavour::OpenRouter, &question("m"));
            assert!(manner.sends(field) && manner.concede(&says(message)) && !manner.sends(field), "{message}");
        }
        let mut manner = Manner::of(Flavour::Other, &question("m"));
        for message in ["", "Bad request", "The stop of the stream came too early", "unknown model m"] {
            assert!(!manner.concede(&says(message)), "{message}");
        }
    }

    #[test]
    fn what_has_steps_is_given_up_step_by_step() {
        let mut manner = Manner::of(Flavour::OpenRouter, &question("m"));
        for (param, fields) in [
            ("response_format", [Field::Schema, Field::Json]),
            ("modalities", [Field::TextModality, Field::Modalities]),
        ] {
            for field in fields {
                assert!(manner.sends(field) && manner.concede(&at_fault(param)) && !manner.sends(field), "{field:?}");
            }
            assert!(!manner.concede(&at_fault(param)));
        }
        let bare = ChatRequest { response_format: Some(ResponseFormat::Json), ..question("m") };
        let mut manner = Manner::of(Flavour::Other, &bare);
        assert!(manner.concede(&at_fault("response_format")) && !manner.concede(&at_fault("response_format")));
    }

    #[test]
    fn ids_and_thoughts_are_learned() {
        let mut manner = Manner::of(Flavour::Other, &question("m"));
        let id = says("Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.");
        assert!(manner.concede(&id) && manner.short_ids && !manner.concede(&id));
        let missing = says("The reasoning_content in the thinking mode must be passed back to the API.");
        assert!(manner.concede(&missing) && !manner.concede(&missing));
        assert_eq!(manner.thoughts, Thoughts::WithEveryCall);
        assert!(manner.concede(&says("property 'reasoning_content' is unsupported")));
        assert_eq!(manner.thoughts, Thoughts::Never);
    }
}
