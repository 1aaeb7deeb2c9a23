//! One chunk of a Chat Completions stream as serde reads it: borrowed from the event's bytes, without a tree and without a
//! list for what is nearly always one. Takes what the many servers send in OpenAI's name; says nothing of what it means.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapters::llm::lenient::{Count, Object, Text};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chunk<'a> {
    #[serde(borrow)]
    pub model: Text<'a>,
    /// The choice with index 0, where the chunk has one; `None` where it has no list at all.
    #[serde(borrow)]
    pub choices: Option<First<'a>>,
    pub usage: Option<Tokens>,
    #[serde(borrow)]
    pub x_groq: Option<Groq<'a>>,
    /// llama.cpp, with the last chunk: see [`Timings`].
    #[serde(borrow)]
    pub timings: Option<&'a RawValue>,
    /// llama.cpp, as long as it reads the prompt and where `return_progress` asked for it: see [`PromptProgress`].
    #[serde(borrow)]
    pub prompt_progress: Option<&'a RawValue>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub object: Text<'a>,
}

#[derive(Debug, Default)]
pub struct First<'a>(pub Option<Choice<'a>>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Choice<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    /// A whole answer of a server that does not stream.
    #[serde(borrow)]
    pub message: Option<Delta<'a>>,
    #[serde(borrow)]
    pub finish_reason: Text<'a>,
    /// OpenRouter, where the provider behind it failed.
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delta<'a> {
    #[serde(borrow)]
    pub content: Content<'a>,
    /// DeepSeek, llama.cpp, xAI, vLLM.
    #[serde(borrow)]
    pub reasoning_content: Content<'a>,
    /// OpenRouter, Groq, Ollama, newer vLLM.
    #[serde(borrow)]
    reasoning: Content<'a>,
    /// GitHub Copilot.
    #[serde(borrow)]
    reasoning_text: Content<'a>,
    #[serde(borrow)]
    pub refusal: Text<'a>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// OpenRouter: thinking in the words of the provider behind it, to be given back with the next request.
    #[serde(borrow)]
    pub reasoning_details: Option<&'a RawValue>,
    /// OpenRouter and its like: a list of [`Picture`]s.
    #[serde(borrow)]
    pub images: Option<&'a RawValue>,
    /// OpenAI: see [`Speech`].
    #[serde(borrow)]
    pub audio: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Picture<'a> {
    #[serde(borrow)]
    pub image_url: Url<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Url<'a> {
    /// A `data:` URL.
    #[serde(borrow)]
    pub url: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Speech<'a> {
    /// Base64 of 16-bit samples: streams have no other format.
    #[serde(borrow)]
    pub data: Text<'a>,
    /// The words spoken, which `content` does not have.
    #[serde(borrow)]
    pub transcript: Text<'a>,
}

/// Tokens counted by llama.cpp, which says them even where no usage was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// Of the prompt, from the cache.
    pub cache_n: Count,
    /// Of the prompt, read anew.
    pub prompt_n: Count,
    pub predicted_n: Count,
}

/// How far llama.cpp has read the prompt, tokens. `processed` counts those from the cache, too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PromptProgress {
    pub total: Count,
    pub processed: Count,
}

impl<'a> Delta<'a> {
    /// The thinking, by whichever name it goes; some gateways send it under two.
    pub fn thinking(&mut self) -> Content<'a> {
        let names = [&mut self.reasoning_content, &mut self.reasoning, &mut self.reasoning_text];
        names.into_iter().find(|content| !content.is_empty()).map(std::mem::take).unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolCall<'a> {
    pub index: Option<u32>,
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub function: Option<Function<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Function<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    /// A string with a piece of JSON in it; from some servers the JSON itself.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tokens {
    pub prompt_tokens: Count,
    pub completion_tokens: Count,
    pub prompt_tokens_details: Option<InputDetails>,
    pub completion_tokens_details: Option<OutputDetails>,
    /// DeepSeek.
    pub prompt_cache_hit_tokens: Count,
    /// Moonshot.
    pub cached_tokens: Count,
    /// Mistral.
    pub num_cached_tokens: Count,
    /// LiteLLM.
    pub cache_read_input_tokens: Count,
    /// LiteLLM.
    pub cache_creation_input_tokens: Count,
    /// OpenRouter: its own price, which is a fee alone where the owner has a key with the provider behind it.
    pub cost: Dollars,
    pub is_byok: Option<bool>,
    pub cost_details: Option<CostDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CostDetails {
    /// What the provider behind it takes.
    pub upstream_inference_cost: Dollars,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InputDetails {
    pub cached_tokens: Count,
    /// OpenRouter.
    pub cache_write_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputDetails {
    pub reasoning_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Groq<'a> {
    pub usage: Option<Tokens>,
    /// Why the stream was stopped early.
    #[serde(borrow)]
    pub error: Text<'a>,
}

/// What is said: one string, or parts of several kinds (Mistral's thinking models).
#[derive(Debug)]
pub enum Content<'a> {
    One(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

impl Default for Content<'_> {
    fn default() -> Self {
        Content::One(Cow::Borrowed(""))
    }
}

impl Content<'_> {
    pub fn is_empty(&self) -> bool {
        match self {
            Content::One(text) => text.is_empty(),
            Content::Parts(parts) => parts.is_empty(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub text: Text<'a>,
    #[serde(borrow)]
    pub thinking: Content<'a>,
    #[serde(borrow)]
    pub refusal: Text<'a>,
}

/// US dollars; anything but a number is nothing to go by (Perplexity's is an object, with a total in it).
#[derive(Debug, Default, Clone, Copy)]
pub struct Dollars(pub Option<f64>);

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content<'a>, D::Error> {
        struct StringsAndParts;
        impl<'de> Visitor<'de> for StringsAndParts {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of parts or null")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::One(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::One(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Content<'de>, E> {
                Ok(Content::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content<'de>, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element::<Object<Part<'de>>>()? {
                    parts.push(part.0);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(StringsAndParts)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First<'a>, D::Error> {
        struct Choices;
        impl<'de> Visitor<'de> for Choices {
            type Value = First<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<'de>, A::Error> {
                let mut first = None;
                while let Some(choice) = list.next_element::<Object<Choice<'de>>>()? {
                    if first.is_none() && choice.0.index.unwrap_or(0) == 0 {
                        first = Some(choice.0);
                    }
                }
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Choices)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Dollars, D::Error> {
        struct Amounts;
        impl<'de> Visitor<'de> for Amounts {
            type Value = Dollars;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, dollars: f64) -> Result<Dollars, E> {
                Ok(Dollars((dollars >= 0.0).then_some(dollars)))
            }
            fn visit_u64<E>(self, dollars: u64) -> Result<Dollars, E> {
                Ok(Dollars(Some(dollars as f64)))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Dollars, E> {
                Ok(Dollars(None))
            }
            fn visit_unit<E>(self) -> Result<Dollars, E> {
                Ok(Dollars(None))
            }
            fn visit_str<E>(self, _: &str) -> Result<Dollars, E> {
                Ok(Dollars(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dollars, A::Error> {
                let mut total = Dollars(None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if key == "total_cost" {
                        total = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(total)
            }
        }
        deserializer.deserialize_any(Amounts)
    }
}
