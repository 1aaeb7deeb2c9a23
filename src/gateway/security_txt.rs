//! `GET /.well-known/security.txt` (RFC 9116): where somebody who has found a weakness of this hub writes to. Served where the
//! owner has named an address, and nowhere else: none is made up.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use jiff::{Timestamp, ToSpan};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::context::{Context, Request};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};

/// RFC 9116 §2.5.5 recommends less than a year. The address is that of the configuration as it is now, and so it is good from now
/// on.
const GOOD_DAYS: i64 = 180;

pub async fn get(context: Arc<Context>, _caller: Caller, _request: Request) -> Response {
    let contact = context.config.borrow().gateway.security_contact.clone();
    let Some(contact) = contact else {
        let why = "this hub names nobody to write to: its owner can, with gateway.security_contact in config.yaml";
        return respond::problem(StatusCode::NOT_FOUND, &ErrorBody::new(ErrorCode::NotFound, why));
    };
    text(&contact, Timestamp::now()).map_or_else(
        |why| respond::problem(StatusCode::INTERNAL_SERVER_ERROR, &ErrorBody::new(ErrorCode::Internal, why)),
        |text| {
            let mut answer = respond::empty(StatusCode::OK);
            *answer.body_mut() = respond::whole(text);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            answer
        },
    )
}

/// The two fields that must be there (RFC 9116 §2.5.3, §2.5.5).
fn text(contact: &str, now: Timestamp) -> Result<String, String> {
    let expires = now.checked_add((24 * GOOD_DAYS).hours()).map_err(|error| format!("the clock: {error}"))?;
    Ok(format!("Contact: {contact}\r\nExpires: {}\r\n", expires.strftime("%Y-%m-%dT%H:%M:%SZ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::{Config, Gateway};
    use crate::gateway::testing::{body, header, open, status};

    #[tokio::test]
    async fn whoever_is_named_is_shown_and_nobody_is_made_up() {
        assert_eq!(status(&open(Config::default()).get("GET", "/.well-known/security.txt", "").await), 404);
        let gateway = Gateway { security_contact: Some("mailto:ann@hub.example".into()), ..Gateway::default() };
        let answer = open(Config { gateway, ..Config::default() }).get("GET", "/.well-known/security.txt", "").await;
        assert_eq!(header(&answer, "content-type"), Some("text/plain; charset=utf-8"), "{answer}");
        let lines: Vec<&str> = body(&answer).lines().collect();
        let [contact, expires] = lines[..] else { panic!("{answer}") };
        assert_eq!(contact, "Contact: mailto:ann@hub.example");
        let expires: Timestamp = expires.strip_prefix("Expires: ").expect("a date").parse().expect("RFC 3339");
        assert!(expires > Timestamp::now() && expires < Timestamp::now() + (24 * 365).hours(), "{answer}");
    }

    #[test]
    fn the_date_is_that_of_the_internet() {
        let now = "2026-11-30T12:00:00Z".parse().expect("a moment");
        assert_eq!(text("tel:+41", now).unwrap(), "Contact: tel:+41\r\nExpires: 2027-05-29T12:00:00Z\r\n");
    }
}
