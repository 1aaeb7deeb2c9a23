//! One chunk of a Chat Completions stream as serde reads it: borrowed from the event's bytes, without a tree and without a
//! list for what is nearly always one. Takes what the many servers send in OpenAI's name; says nothing of what it means.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chunk<'a> {
    #[serde(borrow)]
    pub model: Text<'a>,
    /// The choice with index 0, where the chunk has one; `None` where it has no list at all.
    #[serde(borrow)]
    pub choices: Option<First<'a>>,
    pub usage: Option<Tokens>,
    pub x_groq: Option<Groq>,
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delta<'a> {
    #[serde(borrow)]
    pub content: Content<'a>,
    /// DeepSeek, llama.cpp, xAI.
    #[serde(borrow)]
    reasoning_content: Content<'a>,
    /// OpenRouter, Groq, Ollama, vLLM.
    #[serde(borrow)]
    reasoning: Content<'a>,
    /// GitHub Copilot.
    #[serde(borrow)]
    reasoning_text: Content<'a>,
    #[serde(borrow)]
    pub refusal: Text<'a>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
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
    /// DeepSeek's older name.
    pub prompt_cache_hit_tokens: Count,
    /// US dollars (OpenRouter).
    pub cost: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InputDetails {
    pub cached_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputDetails {
    pub reasoning_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Groq {
    pub usage: Option<Tokens>,
}

/// A string, or null, which is the same as an empty one.
#[derive(Debug, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

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

/// Tokens counted; null, a negative and a fraction are nothing to go by, and no reason to lose an answer.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count(pub Option<u64>);

/// serde borrows for a field that is a `Cow`, and not for one inside an `Option`: hence these visitors.
impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Strings)
    }
}

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

/// serde would read a struct from a list, too, by position; an object is an object.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Maps<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Maps<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Maps(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
                Ok(Count(Some(count)))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
                Ok(Count(None))
            }
            fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
                Ok(Count((count.fract() == 0.0 && count >= 0.0).then_some(count as u64)))
            }
            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }
            fn visit_str<E>(self, _: &str) -> Result<Count, E> {
                Ok(Count(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }
        }
        deserializer.deserialize_any(Counts)
    }
}
