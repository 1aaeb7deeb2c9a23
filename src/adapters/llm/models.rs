//! The list of a provider's models: the cheapest question that shows whether address and key are good.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value;

use super::complaint;
use super::exchange::{self, Target};
use crate::common::error::{Failure, ProviderError};
use crate::net::https::{self, Https};

/// The longest list read, bytes: OpenRouter's is some 600 KiB.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Until the list is there. Somebody waits for it at a prompt.
const LIST_DEADLINE: Duration = Duration::from_secs(15);

/// Models named in one list.
const MODELS_MAX: usize = 4096;

/// Asks `target` with GET and takes the names out of `list[*].name`: `("data", "id")` for OpenAI and most others,
/// `("models", "name")` for Gemini and Ollama.
pub async fn list(client: &Https, target: &Target, (list, name): (&str, &str)) -> Result<Vec<String>, ProviderError> {
    let asking = async {
        let response = client.send(target.get()?).await.map_err(|error| exchange::no_answer(&error))?;
        let (head, body) = response.into_parts();
        let body: Bytes = https::read_bounded(body, LIST_BYTES_MAX, LIST_DEADLINE).await;
        if head.status != StatusCode::OK {
            return Err(complaint::refused(head.status, &head.headers, &body, &target.key));
        }
        Ok(body)
    };
    let late = || {
        let message = format!("no list of models within {} s", LIST_DEADLINE.as_secs());
        ProviderError::new(Failure::Timeout, message)
    };
    let body = tokio::time::timeout(LIST_DEADLINE, asking).await.map_err(|_| late())??;
    names(&body, list, name).ok_or_else(|| {
        let message = "what came is no list of models. Check base_url.";
        ProviderError::new(Failure::BadStream, message)
    })
}

fn names(body: &[u8], list: &str, name: &str) -> Option<Vec<String>> {
    let json: Value = serde_json::from_slice(body).ok()?;
    // Some servers send the bare list.
    let rows = json.get(list).unwrap_or(&json).as_array()?;
    Some(rows.iter().filter_map(|row| row[name].as_str()).take(MODELS_MAX).map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_every_shape_are_read() {
        let openai = br#"{"object":"list","data":[{"id":"gpt-4o"},{"id":"o3"},{"no":"name"}]}"#;
        assert_eq!(names(openai, "data", "id"), Some(vec!["gpt-4o".into(), "o3".into()]));
        assert_eq!(names(br#"[{"id":"a"}]"#, "data", "id"), Some(vec!["a".into()]));
        for odd in ["", "<html>", "{}", r#"{"data":"x"}"#, "[", "null"] {
            assert_eq!(names(odd.as_bytes(), "data", "id"), None, "{odd}");
        }
    }
}
