//! One `GenerateContentResponse` of a stream as serde reads it: borrowed from the event's bytes, without a tree, and without
//! a list for what is nearly always one. Says nothing of what it means.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapters::llm::lenient::{Count, Object, Text};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Chunk<'a> {
    /// The candidate with index 0; no other was asked for.
    #[serde(borrow)]
    pub candidates: Option<First<Candidate<'a>>>,
    #[serde(borrow)]
    pub prompt_feedback: Option<Feedback<'a>>,
    pub usage_metadata: Option<Tokens>,
    #[serde(borrow)]
    pub model_version: Text<'a>,
    #[serde(borrow)]
    pub response_id: Text<'a>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Candidate<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    #[serde(borrow)]
    pub finish_reason: Text<'a>,
    #[serde(borrow)]
    pub finish_message: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Content<'a> {
    #[serde(borrow)]
    pub parts: Option<Parts<'a>>,
}

/// The parts of a chunk, of which there is nearly always one.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    pub first: Option<Part<'a>>,
    pub others: Vec<Part<'a>>,
}

#[derive(Debug, Default)]
pub struct Part<'a> {
    pub said: Said<'a>,
    /// It is of the model's thinking.
    pub thought: bool,
    /// It has a `thoughtSignature`.
    pub signed: bool,
}

/// What a part holds.
#[derive(Debug, Default)]
pub enum Said<'a> {
    /// A signature alone.
    #[default]
    Nothing,
    Text(Text<'a>),
    Call(Call<'a>),
    Data(Data<'a>),
    /// `executableCode`, `codeExecutionResult`, and whatever will be thought of.
    Other,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Call<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub args: Option<&'a RawValue>,
    pub partial_args: Option<IgnoredAny>,
    pub will_continue: Option<bool>,
}

/// `inlineData`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Data<'a> {
    #[serde(borrow)]
    pub mime_type: Text<'a>,
    /// Base64.
    #[serde(borrow)]
    pub data: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Feedback<'a> {
    #[serde(borrow)]
    pub block_reason: Text<'a>,
    #[serde(borrow)]
    pub block_reason_message: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tokens {
    pub prompt_token_count: Count,
    pub tool_use_prompt_token_count: Count,
    pub candidates_token_count: Count,
    pub thoughts_token_count: Count,
    pub cached_content_token_count: Count,
}

/// The parts of a chunk byte for byte, in the same order.
pub fn raw_parts(data: &[u8]) -> Vec<&RawValue> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Chunk<'a> {
        #[serde(borrow)]
        candidates: Option<First<Candidate<'a>>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Candidate<'a> {
        index: Option<u32>,
        #[serde(borrow)]
        content: Option<Content<'a>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Content<'a> {
        #[serde(borrow)]
        parts: Option<Vec<&'a RawValue>>,
    }
    impl Numbered for Candidate<'_> {
        fn index(&self) -> Option<u32> {
            self.index
        }
    }
    let chunk: Option<Chunk<'_>> = serde_json::from_slice(data).ok();
    let content = chunk.and_then(|chunk| chunk.candidates?.0?.content);
    content.and_then(|content| content.parts).unwrap_or_default()
}

/// Of a list, the element with index 0.
#[derive(Debug)]
pub struct First<T>(pub Option<T>);

trait Numbered {
    fn index(&self) -> Option<u32>;
}

impl Numbered for Candidate<'_> {
    fn index(&self) -> Option<u32> {
        self.index
    }
}

impl<'de, T: Deserialize<'de> + Numbered> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First<T>, D::Error> {
        struct Candidates<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Numbered> Visitor<'de> for Candidates<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of candidates")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let mut first = None;
                while let Some(Object(candidate)) = list.next_element::<Object<T>>()? {
                    if first.is_none() && candidate.index().unwrap_or(0) == 0 {
                        first = Some(candidate);
                    }
                }
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Candidates(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parts<'a>, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Parts { first: list.next_element()?, others: Vec::new() };
                while let Some(part) = list.next_element()? {
                    parts.others.push(part);
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Text,
    Thought,
    ThoughtSignature,
    FunctionCall,
    InlineData,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part<'a>, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part<'de>, A::Error> {
                let mut part = Part::default();
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Text => part.said = Said::Text(map.next_value()?),
                        Field::Thought => part.thought = map.next_value::<Option<bool>>()? == Some(true),
                        Field::ThoughtSignature => part.signed = !map.next_value::<Text<'_>>()?.0.is_empty(),
                        Field::FunctionCall => part.said = Said::Call(map.next_value::<Object<_>>()?.0),
                        Field::InlineData => part.said = Said::Data(map.next_value::<Object<_>>()?.0),
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                            // Beside what is known it is a remark, such as `partMetadata`.
                            if let Said::Nothing = part.said {
                                part.said = Said::Other;
                            }
                        }
                    }
                }
                Ok(part)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
