//! The request of Chat Completions: where it goes, what is in it, and what a server may refuse of it. Pure.
//! Source: OpenAI API reference, "Create chat completion".

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Uri};
use serde::Serialize;

use crate::adapters::llm::complaint::KeyPlace;
use crate::common::chat::{ChatRequest, Role};
use crate::common::error::{Failure, ProviderError};

const PATH: &str = "/chat/completions";
const OPENAI_HOST: &str = "api.openai.com";

/// A server and the right to ask it.
#[derive(Debug)]
pub struct Target {
    endpoint: Result<Uri, ProviderError>,
    authorization: Result<Option<HeaderValue>, ProviderError>,
    pub key: KeyPlace,
}

impl Target {
    pub fn new(base_url: &str, key: KeyPlace) -> Target {
        Target { endpoint: endpoint(base_url), authorization: authorization(&key), key }
    }

    /// The HTTP request for a question; an error where the row of the config can never work.
    pub fn request(&self, request: &ChatRequest, dialect: &Dialect) -> Result<Request<Full<Bytes>>, ProviderError> {
        let mut http_request = Request::new(Full::from(body(request, dialect)));
        *http_request.method_mut() = hyper::Method::POST;
        *http_request.uri_mut() = self.endpoint.clone()?;
        let headers = http_request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(authorization) = self.authorization.clone()? {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(http_request)
    }

    fn is_openai(&self) -> bool {
        self.endpoint.as_ref().is_ok_and(|uri| uri.host() == Some(OPENAI_HOST))
    }
}

/// How this server and this model want to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    temperature: bool,
    /// `max_completion_tokens` and not the older `max_tokens`, which alone is understood everywhere else.
    completion_limit: bool,
}

impl Dialect {
    pub fn of(target: &Target, request: &ChatRequest) -> Dialect {
        let openai = target.is_openai();
        Dialect { temperature: !(openai && has_fixed_temperature(&request.model)), completion_limit: openai }
    }

    /// Gives in where the server names a parameter as the one at fault; false when there is nothing to give in with.
    pub fn concede(&mut self, param: &str) -> bool {
        match param {
            "temperature" => std::mem::replace(&mut self.temperature, false),
            "max_tokens" => !std::mem::replace(&mut self.completion_limit, true),
            _ => false,
        }
    }
}

/// OpenAI's reasoning models take no temperature but their own: o1, o3, o4 and the first gpt-5, without its chat model.
fn has_fixed_temperature(model: &str) -> bool {
    let is_o = model.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_gpt5 = model == "gpt-5" || (model.starts_with("gpt-5-") && !model.starts_with("gpt-5-chat"));
    is_o || is_gpt5
}

/// `base_url` with the endpoint's path, whether it ends in a slash or has the path already; a query stays behind it.
fn endpoint(base_url: &str) -> Result<Uri, ProviderError> {
    let (base, query) = match base_url.trim().split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (base_url.trim(), String::new()),
    };
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    let usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    format!("{base}{PATH}{query}").parse().ok().filter(usable).ok_or_else(|| {
        let message = format!("base_url is no address of http or https: {base_url:?}. Correct it in the config.");
        ProviderError::new(Failure::Rejected, message)
    })
}

fn authorization(key: &KeyPlace) -> Result<Option<HeaderValue>, ProviderError> {
    let text = key.key.as_ref().map_or("", |key| key.expose().trim());
    let no_key = |what: &str| ProviderError::new(Failure::Auth, what.to_owned());
    match (text, &key.env) {
        ("", Some(env)) => Err(no_key(&format!("no key: set {env}, or choose another provider"))),
        ("", None) => Ok(None),
        (text, _) => {
            let mut value = HeaderValue::try_from(format!("Bearer {text}"))
                .map_err(|_| no_key("the key has characters that no key has: set it again"))?;
            value.set_sensitive(true);
            Ok(Some(value))
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: Role,
    content: &'a str,
}

fn body(request: &ChatRequest, dialect: &Dialect) -> Vec<u8> {
    let limit = request.sampling.max_tokens;
    let messages = request.messages.iter().map(|message| Message { role: message.role, content: &message.text });
    let body = Body {
        model: &request.model,
        messages: messages.collect(),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        temperature: request.sampling.temperature.filter(|_| dialect.temperature).map(decimal),
        max_tokens: limit.filter(|_| !dialect.completion_limit),
        max_completion_tokens: limit.filter(|_| dialect.completion_limit),
    };
    serde_json::to_vec(&body).expect("strings and numbers are JSON")
}

/// 0.7 as 0.7 and not as 0.699999988079071.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a number's own text is a number")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::common::chat::{Message, Sampling};
    use crate::common::secret::Secret;

    fn target(base_url: &str) -> Target {
        let key = KeyPlace { key: Some(Secret::new("sk-1\n")), env: Some("OPENAI_API_KEY".into()) };
        Target::new(base_url, key)
    }

    fn question(model: &str) -> ChatRequest {
        ChatRequest {
            model: model.into(),
            messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Héllo \"you\"")],
            sampling: Sampling { temperature: Some(0.7), max_tokens: Some(50) },
        }
    }

    fn body_of(target: &Target, request: &ChatRequest, dialect: &Dialect) -> String {
        let body = target.request(request, dialect).unwrap().into_body();
        let bytes = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[test]
    fn the_address_is_found_from_every_spelling() {
        for (base_url, endpoint) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
            (" http://127.0.0.1:8080//", "http://127.0.0.1:8080/chat/completions"),
            ("http://[::1]:8080/v1/chat/completions", "http://[::1]:8080/v1/chat/completions"),
            ("https://x.example/openai?api-version=2", "https://x.example/openai/chat/completions?api-version=2"),
        ] {
            let request = target(base_url).request(&question("m"), &Dialect::of(&target(base_url), &question("m")));
            assert_eq!(request.unwrap().uri(), endpoint);
        }
        for bad in ["", "api.openai.com/v1", "ftp://x/v1", "http://", "http:///v1", "https://a b/v1", "/v1"] {
            let target = target(bad);
            let error = target.request(&question("m"), &Dialect::of(&target, &question("m"))).unwrap_err();
            assert_eq!(error.failure, Failure::Rejected, "{bad}");
        }
    }

    #[test]
    fn the_body_as_openai_wants_it_and_as_all_others_do() {
        let ask = question("gpt-4o-mini");
        let openai = target("https://api.openai.com/v1");
        insta::assert_snapshot!(body_of(&openai, &ask, &Dialect::of(&openai, &ask)), @r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Héllo \"you\""}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.7,"max_completion_tokens":50}"#);
        let local = target("http://127.0.0.1:8080/v1");
        let plain = ChatRequest { sampling: Sampling { temperature: None, max_tokens: Some(5) }, ..ask };
        insta::assert_snapshot!(body_of(&local, &plain, &Dialect::of(&local, &plain)), @r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Héllo \"you\""}],"stream":true,"stream_options":{"include_usage":true},"max_tokens":5}"#);
    }

    #[test]
    fn models_that_choose_their_own_temperature() {
        let openai = target("https://api.openai.com/v1");
        let sends = |model: &str| Dialect::of(&openai, &question(model)).temperature;
        assert!(["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-5.1", "omni", "ollama"].into_iter().all(sends));
        assert!(!["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-mini"].into_iter().any(sends));
    }

    #[test]
    fn a_refused_parameter_is_given_up_once() {
        let local = target("http://127.0.0.1:8080/v1");
        let mut dialect = Dialect::of(&local, &question("gpt-5"));
        assert!(dialect.concede("temperature") && !dialect.concede("temperature"));
        assert!(dialect.concede("max_tokens") && !dialect.concede("max_tokens"));
        assert!(!dialect.concede("model"));
        let body = body_of(&local, &question("gpt-5"), &dialect);
        assert!(!body.contains("temperature") && body.contains(r#""max_completion_tokens":50"#), "{body}");
    }

    #[test]
    fn the_key_goes_into_one_header_and_is_missed_where_one_is_named() {
        let ask = question("m");
        let openai = target("https://api.openai.com/v1");
        let dialect = Dialect::of(&openai, &ask);
        let request = openai.request(&ask, &dialect).unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer sk-1");
        assert!(!format!("{request:?} {openai:?}").contains("sk-1"));

        let local = Target::new("http://127.0.0.1:8080/v1", KeyPlace::default());
        assert!(!local.request(&ask, &dialect).unwrap().headers().contains_key("authorization"));

        let missing = KeyPlace { key: None, env: Some("OPENAI_API_KEY".into()) };
        let error = Target::new("https://api.openai.com/v1", missing).request(&ask, &dialect).unwrap_err();
        assert_eq!(error.failure, Failure::Auth);
        assert_eq!(error.message, "no key: set OPENAI_API_KEY, or choose another provider");

        let broken = KeyPlace { key: Some(Secret::new("a\nb")), env: None };
        let error = Target::new("https://api.openai.com/v1", broken).request(&ask, &dialect).unwrap_err();
        assert_eq!(error.failure, Failure::Auth);
    }
}
