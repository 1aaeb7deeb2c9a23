//! `/oauth/callback`: where a browser comes back after somebody agreed that the hub may use a server. Says how it went on a page
//! without a script. What comes is good once, for one sign-in, at the address that the sign-in named; the desk sees to that.

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, StatusCode};

use crate::gateway::context::{Context, Request};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};

/// `GET /oauth/callback?code=…&state=…`. Open to everybody: who has the state, began here.
pub async fn callback(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
    };
    let query = request.uri().query().unwrap_or_default();
    if request.method() == Method::HEAD {
        // Some programs look before they go: that must not use the code up.
        return page(StatusCode::OK, "Signing in", "");
    }
    match context.desk.arrived(host, query).await {
        Ok(server) => {
            let text = format!("The hub may use \"{server}\" now. You can close this page.");
            page(StatusCode::OK, "Signed in", &text)
        }
        Err(why) => page(StatusCode::BAD_REQUEST, "Not signed in", &format!("{why}. Begin again where you began.")),
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let text = escaped(text);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Hearth: {title}</title></head>\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    let mut response = respond::empty(status);
    *response.body_mut() = respond::whole(html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Words of others in a page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::common::config::Config;
    use crate::gateway::testing::{body, header, open, status};

    #[tokio::test]
    async fn who_was_not_waited_for_is_told_so_and_nothing_of_theirs_runs() {
        let open = open(Config::default());
        let evil = "/oauth/callback?state=%3Cscript%3E&error_description=%3Cscript%3E";
        for path in ["/oauth/callback", "/oauth/callback?code=c&state=", "/oauth/callback?code=c&state=guess", evil] {
            let answer = open.get("GET", path, "").await;
            assert_eq!(status(&answer), 400, "{answer}");
            assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
            assert!(
                header(&answer, "content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
            );
            assert!(body(&answer).contains("no sign-in waits") && !body(&answer).contains("<script"), "{answer}");
        }
        assert_eq!(status(&open.get("HEAD", "/oauth/callback?state=x", "").await), 200);
    }
}
