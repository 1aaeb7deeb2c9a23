//! What a provider says when it will not answer: found in bodies of every shape, sorted by what can be done about it, and
//! put into words for the owner of the house. Pure; knows no socket.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

use super::retry_after::{retry_after, retry_delay};
use crate::common::error::{Failure, ProviderError};
use crate::common::secret::Secret;

/// How much of a provider's words is passed on, characters.
const SAID_CHARS_MAX: usize = 300;

/// How many first characters of a key betray it: providers like to show a key with its middle starred out.
const KEY_START_CHARS: usize = 6;

/// When a server that is loading its model is worth asking again.
const LOADING_WAIT: Duration = Duration::from_secs(1);

const LOADING_HINT: &str = ". The model is being loaded into memory: it will answer in a moment.";

/// The longest id of a request that is passed on, bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The status of Anthropic's `overloaded_error`.
const OVERLOADED: u16 = 529;

/// What stands in the place of a key.
const HIDDEN: &str = "[key]";

/// The parts of an error that providers agree upon, more or less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaint {
    pub message: String,
    /// `code`, `type` and `status` in lower case, each where it is a word, and the `reason` of Google's details.
    pub words: Vec<String>,
    /// `code` where it is a figure: most gateways put the HTTP status there.
    pub status: Option<u16>,
    /// The parameter of the request that is at fault: `response_format`, `messages.[0].content`.
    pub param: Option<String>,
    /// `x-ratelimit-reset` of a provider behind OpenRouter, which keeps the headers in the body.
    pub reset: Option<String>,
    /// By which the provider finds the request again (Anthropic `request_id`).
    pub request_id: Option<String>,
    /// How long to wait, where the body says it (Google's `RetryInfo`).
    pub wait: Option<Duration>,
}

/// The word that stands for a quota of Google's which no wait of minutes brings back.
const DAILY_QUOTA: &str = "quota_of_the_day";

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
        let said = ["message", "error", "detail", "msg"].iter().find_map(|field| said(&inner[*field]));
        let (message, found) = said.unwrap_or_default();
        let metadata = &inner["metadata"];
        let fields = ["code", "type", "status"].iter().filter_map(|field| Some(inner[*field].as_str()?.to_lowercase()));
        let mut complaint = Complaint {
            message: [Some(message), behind(metadata)].into_iter().flatten().collect::<Vec<_>>().join(""),
            words: fields.collect(),
            status: inner["code"].as_u64().and_then(|code| u16::try_from(code).ok()),
            param: inner["param"].as_str().map(str::to_owned).or(found),
            reset: metadata["headers"]["X-RateLimit-Reset"].as_str().map(str::to_owned),
            request_id: json["request_id"].as_str().and_then(request_id),
            wait: None,
        };
        inner["details"].as_array().into_iter().flatten().for_each(|detail| complaint.take_detail(detail));
        complaint
    }

    /// One of Google's `details` (google.rpc `ErrorInfo`, `RetryInfo`, `QuotaFailure`; AIP-193).
    fn take_detail(&mut self, detail: &Value) {
        self.words.extend(detail["reason"].as_str().map(str::to_lowercase));
        self.wait = self.wait.or_else(|| retry_delay(detail["retryDelay"].as_str()?));
        // Of one day, or of nothing at all: what a key without billing has of many models.
        let lasts = |quota: &Value| {
            quota["quotaValue"] == "0" || quota["quotaId"].as_str().is_some_and(|id| id.contains("PerDay"))
        };
        if detail["violations"].as_array().is_some_and(|quotas| quotas.iter().any(lasts)) {
            self.words.push(DAILY_QUOTA.to_owned());
        }
    }

    /// What can be done about it. `status` is the answer's own, where that was an error.
    pub fn failure(&self, status: Option<u16>) -> Failure {
        let status = status.or(self.status).unwrap_or(0);
        let says = |words: &[&str]| self.words.iter().any(|word| words.contains(&word.as_str()));
        let speaks_of = |phrases: &[&str]| phrases.iter().any(|phrase| self.message.contains(phrase));
        let credit = ["insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "billing_error"];
        let spent = ["credits are depleted", "spending cap", "spend cap"];
        if status == 402
            || says(&credit)
            || says(&["quota_exhausted", DAILY_QUOTA])
            || (status == 429 && speaks_of(&spent))
            // Anthropic, with 400 and `invalid_request_error`.
            || speaks_of(&["credit balance is too low"])
        {
            return Failure::QuotaExhausted;
        }
        // Google says 400 of a wrong key.
        if says(&["api_key_invalid", "api_key_expired", "api_key_service_blocked", "unauthenticated"]) {
            return Failure::Auth;
        }
        // The third and fourth are Anthropic's, the last is Google's.
        let lengths = [
            "context length",
            "context size",
            "prompt is too long",
            "exceed context limit",
            "maximum number of tokens",
        ];
        let too_long = speaks_of(&lengths);
        if status == 413
            || says(&["context_length_exceeded", "exceed_context_size_error", "request_too_large"])
            || (matches!(status, 0 | 400) && too_long)
        {
            return Failure::TooLarge;
        }
        if self.asks_too_much() {
            return Failure::Unsupported;
        }
        match status {
            // OpenRouter's moderation; a key is none the wiser for it.
            403 if self.message.contains("flagged") => Failure::Rejected,
            401 | 403 => Failure::Auth,
            408 | 504 => Failure::Timeout,
            429 => Failure::RateLimited,
            300..=499 => Failure::Rejected,
            500.. => Failure::Failed,
            _ if says(&["invalid_api_key", "authentication_error", "permission_error", "permission_denied"]) => {
                Failure::Auth
            }
            _ if says(&["rate_limit_exceeded", "rate_limit_error", "resource_exhausted"]) => Failure::RateLimited,
            _ if says(&["timeout", "timeout_error", "deadline_exceeded"]) => Failure::Timeout,
            _ if says(&[
                "invalid_request_error",
                "invalid_argument",
                "failed_precondition",
                "not_found",
                "not_found_error",
            ]) =>
            {
                Failure::Rejected
            }
            _ => Failure::Failed,
        }
    }
}

impl Complaint {
    /// Whether the model, or the server around it, cannot do what was asked, such as look at a picture: another one may.
    fn asks_too_much(&self) -> bool {
        const CANNOT: [&str; 9] = [
            "does not support",
            "do not support",
            // llama.cpp: "image input is not supported".
            "input is not supported",
            "only supported by certain models",
            // OpenRouter: "No endpoints found that support image input".
            "no endpoints found that support",
            // llama.cpp.
            "requires --jinja",
            // vLLM.
            "is not a multimodal model",
            "is not a vision model",
            // DeepSeek.
            "unknown variant `image_url`",
        ];
        const WHAT: [&str; 8] = ["image", "picture", "vision", "audio", "tool", "function", "modalit", "multimodal"];
        let message = self.message.to_lowercase();
        CANNOT.iter().any(|phrase| message.contains(phrase)) && WHAT.iter().any(|what| message.contains(what))
    }

    /// llama.cpp says so as long as the model is not in memory: some seconds, or minutes.
    fn is_loading(&self) -> bool {
        self.words.iter().any(|word| word == "unavailable_error") && self.message.to_lowercase().contains("loading")
    }
}

/// The words of a field, and the parameter that they are about where they say so.
fn said(field: &Value) -> Option<(String, Option<String>)> {
    match field {
        Value::String(text) => Some((plain(text), None)),
        // A validation error of FastAPI, which names the way to what it is about: `["body", "messages", 0]`.
        Value::Array(list) => {
            let first = list.first()?;
            let way = first["loc"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Some((plain(first["msg"].as_str()?), way.filter(|word| *word != "body").map(str::to_owned).next()))
        }
        // Mistral wraps one of those.
        Value::Object(object) => said(object.get("detail")?),
        _ => None,
    }
}

/// What OpenRouter keeps in `metadata` of the provider behind it: its own words, or its name; what moderation minded.
fn behind(metadata: &Value) -> Option<String> {
    let reasons = metadata["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let reasons: Vec<_> = reasons.collect();
    if !reasons.is_empty() {
        return Some(format!(" ({})", reasons.join(", ")));
    }
    let raw = match &metadata["raw"] {
        Value::String(raw) => Complaint::read(raw.as_bytes()).message,
        raw @ Value::Object(_) => Complaint::from_json(raw).message,
        _ => String::new(),
    };
    if !raw.is_empty() {
        return Some(format!(": {raw}"));
    }
    metadata["provider_name"].as_str().map(|name| format!(" (from {name})"))
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
    let hint = if complaint.is_loading() { LOADING_HINT.to_owned() } else { hint(failure, status.as_u16(), key) };
    let reset = || {
        let mut headers = headers.clone();
        headers.insert("x-ratelimit-reset", complaint.reset.as_deref()?.parse().ok()?);
        retry_after(&headers)
    };
    let header = || headers.get("request-id").and_then(|id| request_id(id.to_str().ok()?));
    let id = complaint.request_id.clone().or_else(header).map(|id| format!(", {}", key.hide(&id))).unwrap_or_default();
    ProviderError {
        failure,
        message: format!("{said} (HTTP {}{id}){hint}", status.as_u16()),
        status: Some(status.as_u16()),
        retry_after: retry_after(headers)
            .or(complaint.wait)
            .or_else(reset)
            .or(complaint.is_loading().then_some(LOADING_WAIT)),
    }
}

/// An error in the midst of a stream, or in the body of an answer that said 200.
pub fn in_stream(complaint: &Complaint, key: &KeyPlace) -> ProviderError {
    let failure = complaint.failure(None);
    let said = if complaint.message.is_empty() { "an error without a word about it" } else { &complaint.message };
    let overloaded = complaint.words.iter().any(|word| word == "overloaded_error");
    let status = complaint.status.unwrap_or(if overloaded { OVERLOADED } else { 0 });
    let id = complaint.request_id.as_ref().map(|id| format!(" ({})", key.hide(id))).unwrap_or_default();
    let hint = hint(failure, status, key);
    let message = format!("{}{id}{hint}", key.hide(said));
    ProviderError { retry_after: complaint.wait, ..ProviderError::new(failure, message) }
}

/// An id as it may be shown: one word of an id's characters, which Anthropic's is (`req_…`).
fn request_id(text: &str) -> Option<String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_fine = (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.chars().all(is_id);
    is_fine.then(|| text.to_owned())
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
        Failure::Unsupported => ". Choose another model for this.".to_owned(),
        Failure::Rejected if status == 404 => ". Check model and base_url (most end in /v1).".to_owned(),
        Failure::Rejected if (300..400).contains(&status) => ". Check base_url.".to_owned(),
        Failure::Failed if status == OVERLOADED => {
            ". The provider has too much to do: try again in a moment, or choose another model.".to_owned()
        }
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
