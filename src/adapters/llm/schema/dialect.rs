//! What each provider takes of JSON Schema, as tables. Changes no schema.

/// Who is to read a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Chat Completions and Responses, not strict: read by the model, and looked through by the server.
    OpenAi,
    /// The same with `strict`: whatever is not said exactly is refused.
    OpenAiStrict,
    Anthropic,
    /// JSON Schema, in the newer fields.
    Gemini,
    /// The older fields: a part of OpenAPI 3.0, where an unknown word is an error.
    GeminiOpenApi,
    /// Made into a grammar: what is bounded costs rules.
    LlamaCpp,
    /// Read into types of Go: what they do not know is lost.
    Ollama,
}

/// How several types of one value are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// A list of them.
    List,
    /// One, or one and null.
    OneOrNull,
    /// One, and `nullable`.
    Nullable,
}

/// What an `enum` may list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choices {
    Any,
    StringsAndNumbers,
    Strings,
}

/// See the module.
pub struct Rules {
    pub types: Types,
    pub choices: Choices,
    /// Words with a number behind them that are taken.
    pub bounds: &'static [&'static str],
    /// Integers may be bounded, and nothing else.
    pub integers_only: bool,
    pub formats: &'static [&'static str],
    /// `additionalProperties`.
    pub additional: bool,
    /// "array schema missing items"
    pub wants_items: bool,
    /// "should be non-empty for OBJECT type"
    pub no_empty_objects: bool,
    /// "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'", at the root.
    pub plain_keys: bool,
}

const ALL_BOUNDS: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
];

/// Structured Outputs, "Supported properties".
const FORMATS: &[&str] = &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

const OPENAI: Rules = Rules {
    types: Types::List,
    choices: Choices::Any,
    bounds: ALL_BOUNDS,
    integers_only: false,
    formats: FORMATS,
    additional: true,
    wants_items: true,
    no_empty_objects: false,
    plain_keys: false,
};

const ANTHROPIC: Rules = Rules { wants_items: false, plain_keys: true, ..OPENAI };

const GEMINI: Rules = Rules {
    types: Types::OneOrNull,
    choices: Choices::StringsAndNumbers,
    bounds: &["minimum", "maximum", "minItems", "maxItems"],
    formats: &["date-time", "date", "time"],
    ..OPENAI
};

const GEMINI_OPENAPI: Rules = Rules {
    types: Types::Nullable,
    choices: Choices::Strings,
    bounds: &["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"],
    formats: &["float", "double", "int32", "int64", "date-time"],
    additional: false,
    no_empty_objects: true,
    ..OPENAI
};

const LLAMA_CPP: Rules = Rules {
    bounds: &["minimum", "maximum"],
    integers_only: true,
    formats: &["date-time", "time", "date", "uuid"],
    wants_items: false,
    ..OPENAI
};

const OLLAMA: Rules = Rules { bounds: &[], formats: &[], additional: false, wants_items: false, ..OPENAI };

impl Dialect {
    pub const ALL: [Dialect; 7] = [
        Dialect::OpenAi,
        Dialect::OpenAiStrict,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::GeminiOpenApi,
        Dialect::LlamaCpp,
        Dialect::Ollama,
    ];

    pub(super) fn rules(self) -> &'static Rules {
        match self {
            Dialect::OpenAi | Dialect::OpenAiStrict => &OPENAI,
            Dialect::Anthropic => &ANTHROPIC,
            Dialect::Gemini => &GEMINI,
            Dialect::GeminiOpenApi => &GEMINI_OPENAPI,
            Dialect::LlamaCpp => &LLAMA_CPP,
            Dialect::Ollama => &OLLAMA,
        }
    }

    /// Tools in one request at most (OpenAI: "a max of 128 functions are supported"; Vertex AI: 512 declarations). The others
    /// name none: their number is what still reads well.
    pub fn tools_max(self) -> usize {
        match self {
            Dialect::OpenAi | Dialect::OpenAiStrict => 128,
            Dialect::Gemini | Dialect::GeminiOpenApi => 512,
            Dialect::Anthropic | Dialect::LlamaCpp | Dialect::Ollama => 256,
        }
    }

    /// Bytes of all tools of one request. On a small machine reading them takes seconds; elsewhere it costs money.
    pub fn tools_bytes_max(self) -> usize {
        match self {
            Dialect::LlamaCpp | Dialect::Ollama => 64 * 1024,
            _ => 512 * 1024,
        }
    }

    /// The longest description of a tool, characters. OpenAI on Azure refuses more than 1024.
    pub fn description_chars_max(self) -> usize {
        match self {
            Dialect::OpenAi | Dialect::OpenAiStrict => 1024,
            _ => 4096,
        }
    }
}
