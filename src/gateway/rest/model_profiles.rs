//! `/api/v1/model-profiles`: how models are spoken to. A change counts from the next question on.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;

use super::{expected_revision, not_read, not_written, problem, with_revision};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::context::{Context, Request, parameter, read_body};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};
use crate::store::ModelProfile;

#[derive(Serialize)]
struct List {
    model_profiles: Vec<ModelProfile>,
}

/// `GET /api/v1/model-profiles`: all, by name.
pub async fn list(context: Arc<Context>, _caller: Caller, _request: Request) -> Response {
    match context.store.profiles().await {
        Ok(model_profiles) => respond::json(StatusCode::OK, &List { model_profiles }),
        Err(error) => not_read(&error),
    }
}

/// `GET /api/v1/model-profiles/{name}`: one, with its revision as ETag.
pub async fn get(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let name = parameter(&request, "name");
    match context.store.profile(&name).await {
        Ok(Some(profile)) => with_revision(respond::json(StatusCode::OK, &profile), profile.revision),
        Ok(None) => missing(&name),
        Err(error) => not_read(&error),
    }
}

/// `PUT /api/v1/model-profiles/{name}`: replaces or makes one; `If-Match` guards against another's change.
pub async fn put(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let name = parameter(&request, "name");
    let revision = match expected_revision(request.headers()) {
        Ok(revision) => revision,
        Err(refused) => return *refused,
    };
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let profile = match read_profile(name, &body) {
        Ok(profile) => profile,
        Err(why) => return problem(&ErrorBody::new(ErrorCode::BadRequest, why)),
    };
    match context.store.put_profile(profile, revision).await {
        Ok(profile) => with_revision(respond::json(StatusCode::OK, &profile), profile.revision),
        Err(error) => not_written(&error),
    }
}

/// `DELETE /api/v1/model-profiles/{name}`; the profile `default` stays.
pub async fn delete(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let name = parameter(&request, "name");
    let revision = match expected_revision(request.headers()) {
        Ok(revision) => revision,
        Err(refused) => return *refused,
    };
    match context.store.delete_profile(&name, revision).await {
        Ok(true) => respond::empty(StatusCode::NO_CONTENT),
        Ok(false) => missing(&name),
        Err(error) => not_written(&error),
    }
}

/// The profile of a body, whose name is the path's whether it repeats it or not.
fn read_profile(name: String, body: &[u8]) -> Result<ModelProfile, String> {
    let mut value: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let Some(fields) = value.as_object_mut() else { return Err("the body is no JSON object".into()) };
    if fields.get("name").is_some_and(|said| *said != name.as_str()) {
        return Err(format!("the body names another profile than the path, {name:?}"));
    }
    fields.insert("name".into(), name.into());
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn missing(name: &str) -> Response {
    problem(&ErrorBody::new(ErrorCode::NotFound, format!("there is no model profile called {name:?}")))
}

#[cfg(test)]
mod tests {
    use crate::common::config::Config;
    use crate::gateway::testing::{Open, body, header, open, status};

    async fn send(open: &Open, method: &str, name: &str, headers: &str, json: &str) -> String {
        let length = json.len();
        let head = format!("{method} /api/v1/model-profiles/{name} HTTP/1.1\r\nHost: localhost\r\n{headers}");
        open.ask(format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{json}")).await
    }

    #[tokio::test]
    async fn a_profile_is_made_read_changed_once_and_deleted() {
        let open = open(Config::default());
        assert_eq!(status(&send(&open, "GET", "brief", "", "").await), 404);
        let made = send(&open, "PUT", "brief", "If-None-Match: *\r\n", r#"{"temperature":0.5,"max_tokens":9}"#).await;
        assert_eq!(status(&made), 200, "{made}");
        let tag = header(&made, "etag").expect("an ETag").to_owned();
        let read = send(&open, "GET", "brief", "", "").await;
        assert_eq!(header(&read, "etag"), Some(&*tag));
        assert!(body(&read).contains(r#""temperature":0.5,"max_tokens":9"#), "{read}");

        let guard = format!("If-Match: {tag}\r\n");
        assert_eq!(status(&send(&open, "PUT", "brief", &guard, r#"{"temperature":1.5}"#).await), 200);
        let stale = send(&open, "PUT", "brief", &guard, r#"{"temperature":0.1}"#).await;
        assert_eq!(status(&stale), 409);
        assert!(body(&stale).contains(r#""code":"conflict""#), "{stale}");
        assert!(open.get("GET", "/api/v1/model-profiles", "").await.contains(r#""temperature":1.5"#));

        assert_eq!(status(&send(&open, "DELETE", "brief", &guard, "").await), 409);
        assert_eq!(status(&send(&open, "DELETE", "brief", "", "").await), 204);
        assert_eq!(status(&send(&open, "DELETE", "brief", "", "").await), 404);
    }

    #[tokio::test]
    async fn what_is_no_profile_is_refused_with_the_reason() {
        let open = open(Config::default());
        for (name, headers, json, says) in [
            ("brief", "", "{", "no JSON"),
            ("brief", "", "[]", "no JSON object"),
            ("brief", "", r#"{"temperature":9}"#, "temperature"),
            ("brief", "", r#"{"temperature":"warm"}"#, "invalid type"),
            ("brief", "", r#"{"name":"other"}"#, "another profile"),
            ("Brief!", "", "{}", "name"),
            ("brief", "If-Match: 7\r\n", "{}", "ETag"),
        ] {
            let heard = send(&open, "PUT", name, headers, json).await;
            assert_eq!(status(&heard), 400, "{json}: {heard}");
            assert!(body(&heard).contains(says), "{heard}");
        }
    }
}
