//! One question of the hub's own, answered in a form of its choice: for parts that want advice and take it or leave it. Keeps
//! nothing and calls no tool.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::adapters::llm::schema::{self, Dialect};
use crate::common::chat::{Message, ResponseFormat, Role};
use crate::common::error::ErrorBody;
use crate::common::events::News;
use crate::common::who::{Door, Principal};
use crate::router::{Ask, Brought, Input, Job, Mode, Router};

/// News that wait at most.
const QUEUE_LEN: usize = 16;

/// Why there is no advice.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdviceError {
    #[error("{}", .0.message)]
    Failed(ErrorBody),
    #[error("the model's answer is not of the form that it was asked for: {0}")]
    OddForm(String),
}

impl Router {
    /// Asks the configured language models for JSON after `schema`. What is said is paid for like any question; dropping the
    /// future cancels it.
    pub async fn advise(&self, prompt: &str, schema: &Value) -> Result<Value, AdviceError> {
        let strict = schema::compile(schema, Dialect::OpenAiStrict).is_ok().then_some(true);
        let lowered = schema::lowered(schema, Dialect::OpenAi);
        let format = ResponseFormat::Schema { name: "advice".into(), schema: lowered, strict };
        let brought = Brought {
            messages: vec![Message::new(Role::User, prompt)],
            response_format: Some(format),
            ..Brought::default()
        };
        let ask = Ask {
            input: Input::Brought(Box::new(brought)),
            profile: None,
            provider: None,
            model: None,
            mode: Mode::Llm,
            speak: None,
            confirms: false,
        };
        let (out, mut news) = mpsc::channel(QUEUE_LEN);
        let _turn = self.start(Job::Chat(ask), Arc::new(Principal::house(Door::Hub)), 0, out);
        let mut text = String::new();
        while let Some((_, event)) = news.recv().await {
            match event.news {
                News::Text(piece) => text.push_str(&piece),
                News::Failed(failure) => return Err(AdviceError::Failed(failure.error)),
                _ => {}
            }
        }
        read(&text).map_err(|error| AdviceError::OddForm(error.to_string()))
    }
}

/// JSON, also in the fence that models like to put around it.
fn read(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let inner = inner.map(|inner| inner.strip_prefix("json").unwrap_or(inner));
    serde_json::from_str(inner.unwrap_or(text).trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fence_is_no_part_of_the_answer() {
        for text in ["{\"a\":1}", " ```json\n{\"a\":1}\n``` ", "```\n{\"a\":1}```"] {
            assert_eq!(read(text).expect("JSON"), json!({"a": 1}), "{text}");
        }
        assert!(read("I would say 1.").is_err());
    }
}
