//! What a provider says when it will not answer: found in bodies of every shape, sorted by what can be done about it, and
//! put into words for the owner of the house. Pure; knows no socket.

use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

use super::retry_after::retry_after;
use crate::common::error::{Failure, ProviderError};
use crate::common::secret::Secret;

/// How much of a provider's words is passed on, characters.
const SAID_CHARS_MAX: usize = 300;

/// How many first characters of a key betray it: providers like to show a key with its middle starred out.
const KEY_START_CHARS: usize = 6;

/// What stands in the place of a key.
const HIDDEN: &str = "[key]";

/// The parts of an error that providers agree upon, more or less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaint {
    pub message: String,
    /// `code` and `type` in lower case, each where it is a word.
    pub words: Vec<String>,
    /// `code` where it is a figure: most gateways put the HTTP status there.
    pub status: Option<u16>,
    /// The parameter of the request that is at fault.
    pub param: Option<String>,
}

/// The key that must not appear in a message, and where the owner can change it.
#[derive(Debug, Clone, Default)]
pub struct KeyPlace {
    pub key: Option<Secret>,
    pub env: Option<String>,
}

impl Complaint {
    /// Reads a body: JSON as object, string or list; HTML; plain text; nothing.
    pub fn read(body: &[u8]) -> Complaint {
        match serde_json::from_slice(body) {
            Ok(json) => Complaint::from_json(&json),
            Err(_) => Complaint { message: plain(&String::from_utf8_lossy(body)), ..Complaint::default() },
        }
    }

    /// `{"error":{"message","type","code","param"}}`, `{"error":"…"}`, `{"detail":"…"}`, `{"message":"…"}`, a list of one.
    fn from_json(json: &Value) -> Complaint {
        let inner = match json {
            Value::Array(list) => return list.first().map(Complaint::from_json).unwrap_or_default(),
            Value::String(text) => return Complaint { message: plain(text), ..Complaint::default() },
            Value::Object(object) => object.get("error").filter(|error| error.is_object()).unwrap_or(json),
            _ => return Complaint::default(),
        };
        let said = ["message", "error", "detail", "msg"].iter().find_map(|field| match &inner[*field] {
            Value::String(text) => Some(text.as_str()),
            // A validation error of FastAPI.
            Value::Array(list) => list.first()?["msg"].as_str(),
            _ => None,
        });
        // OpenRouter says "Provider returned error" and keeps what that provider said here.
        let behind = inner["metadata"]["raw"].as_str().map(|raw| Complaint::read(raw.as_bytes()).message);
        let message = match (said.map(plain), behind.filter(|behind| !behind.is_empty())) {
            (Some(said), Some(behind)) => format!("{said}: {behind}"),
            (said, behind) => said.or(behind).unwrap_or_default(),
        };
        Complaint {
            message,
            words: ["code", "type"].iter().filter_map(|field| Some(inner[*field].as_str()?.to_lowercase())).collect(),
            status: inner["code"].as_u64().and_then(|code| u16::try_from(code).ok()),
            param: inner["param"].as_str().map(str::to_owned),
        }
    }

    /// What can be done about it. `status` is the answer's own, where that was an error.
    pub fn failure(&self, status: Option<u16>) -> Failure {
        let status = status.or(self.status).unwrap_or(0);
        let says = |words: &[&str]| self.words.iter().any(|word| words.contains(&word.as_str()));
        if status == 402 || says(&["insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"]) {
            return Failure::QuotaExhausted;
        }
        let too_long = self.message.contains("context length") || self.message.contains("context size");
        if status == 413
            || says(&["context_length_exceeded", "exceed_context_size_error"])
            || (status == 400 && too_long)
        {
            return Failure::TooLarge;
        }
        match status {
            401 | 403 => Failure::Auth,
            408 | 504 => Failure::Timeout,
            429 => Failure::RateLimited,
            300..=499 => Failure::Rejected,
            500.. => Failure::Failed,
            _ if says(&["invalid_api_key", "authentication_error", "permission_error"]) => Failure::Auth,
            _ if says(&["rate_limit_exceeded", "rate_limit_error"]) => Failure::RateLimited,
            _ if says(&["timeout", "timeout_error"]) => Failure::Timeout,
            _ if says(&["invalid_request_error"]) => Failure::Rejected,
            _ => Failure::Failed,
        }
    }
}

/// An answer whose status is an error.
pub fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8], key: &KeyPlace) -> ProviderError {
    let mut complaint = Complaint::read(body);
    if complaint.message.is_empty() {
        complaint.message = status.canonical_reason().unwrap_or("no reason given").to_owned();
    }
    if let Some(location) = headers.get("location").filter(|_| status.is_redirection()) {
        complaint.message = format!("moved to {}", String::from_utf8_lossy(location.as_bytes()));
    }
    let failure = complaint.failure(Some(status.as_u16()));
    let said = key.hide(&complaint.message);
    let hint = hint(failure, status.as_u16(), key);
    ProviderError {
        failure,
        message: format!("{said} (HTTP {}){hint}", status.as_u16()),
        status: Some(status.as_u16()),
        retry_after: retry_after(headers),
    }
}

/// An error in the midst of a stream, or in the body of an answer that said 200.
pub fn in_stream(complaint: &Complaint, key: &KeyPlace) -> ProviderError {
    let failure = complaint.failure(None);
    let said = if complaint.message.is_empty() { "an error without a word about it" } else { &complaint.message };
    let hint = hint(failure, complaint.status.unwrap_or(0), key);
    ProviderError::new(failure, format!("{}{hint}", key.hide(said)))
}

/// What the owner can try.
fn hint(failure: Failure, status: u16, key: &KeyPlace) -> String {
    match failure {
        Failure::Auth => match &key.env {
            Some(env) => format!(". Check the key in {env}."),
            None => ". The server wants a key: name the variable that holds it in api_key_env.".to_owned(),
        },
        Failure::QuotaExhausted => ". The account has no credit left: add some, or choose another provider.".to_owned(),
        Failure::RateLimited => ". Try again later, or choose another model.".to_owned(),
        Failure::TooLarge => ". The conversation is longer than the model can read: begin a new one.".to_owned(),
        Failure::Rejected if status == 404 => ". Check model and base_url (most end in /v1).".to_owned(),
        Failure::Rejected if (300..400).contains(&status) => ". Check base_url.".to_owned(),
        Failure::Failed if status == 503 => ". The server is busy or still starting: try again in a moment.".to_owned(),
        _ => String::new(),
    }
}

impl KeyPlace {
    /// One line of a provider's words, shortened, without control characters and without the key or a part of it.
    pub fn hide(&self, text: &str) -> String {
        let mut line = one_line(text);
        if let Some(key) = self.key.as_ref().map(|key| key.expose().trim()).filter(|key| !key.is_empty()) {
            let start: String = key.chars().take(KEY_START_CHARS).collect();
            let is_long = start.chars().count() == KEY_START_CHARS;
            // A shorter key, such as `none`, is no secret, and may stand within any word.
            let betrays = |word: &str| {
                if is_long { word.contains(&start) } else { word.trim_matches(|c: char| !c.is_alphanumeric()) == key }
            };
            if is_long {
                line = line.replace(key, HIDDEN);
            }
            line = line.split(' ').map(|word| if betrays(word) { HIDDEN } else { word }).collect::<Vec<_>>().join(" ");
        }
        shorten(line)
    }
}

/// Text of a body that is no JSON: without tags where it is HTML, of which the title says most.
fn plain(text: &str) -> String {
    let text = text.trim();
    if !text.starts_with('<') {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|start| {
        let start = start + lower[start..].find('>')? + 1;
        Some(text[start..start + lower[start..].find("</title")?].trim())
    });
    if let Some(title) = title.filter(|title| !title.is_empty()) {
        return title.to_owned();
    }
    let mut bare = String::new();
    for piece in text.split('<') {
        let (tag, words) = piece.split_once('>').unwrap_or(("", piece));
        if !["script", "style"].iter().any(|hidden| tag.to_ascii_lowercase().starts_with(hidden)) {
            bare.push(' ');
            bare.push_str(words);
        }
    }
    bare
}

fn one_line(text: &str) -> String {
    let bare: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    bare.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

fn shorten(mut line: String) -> String {
    if let Some((cut, _)) = line.char_indices().nth(SAID_CHARS_MAX) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
#[path = "complaint_tests.rs"]
mod tests;
