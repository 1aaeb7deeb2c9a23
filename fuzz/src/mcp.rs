//! The face of MCP without a tool behind it, and bodies of any kind. The first byte of an input says which headers come
//! along; the lines of the rest are the bodies, one after the other.

use std::sync::Arc;

use hearth::app;
use hearth::common::who::{Door, Principal};
use hearth::mcp::rpc::{self, Message};
use hearth::mcp::server::{Answer, Head, STATELESS, Server};
use hearth::mcp::service::Service;
use tokio::sync::watch;

const WITH_VERSION: u8 = 1;
const WITH_METHOD: u8 = 2;
const WITHOUT_SESSION: u8 = 4;
const FROM_BRIDGE: u8 = 8;

/// No body brings the hub down; whatever is answered is MCP, under the id that was asked with.
pub fn mcp_server(input: &[u8]) {
    let Some((&manner, bodies)) = input.split_first() else { return };
    app::runtime().expect("a runtime").block_on(async {
        let (_stop, stopping) = watch::channel(false);
        let server = Server::new(Service::empty(), "0", stopping);
        let who = Arc::new(Principal::house(Door::Mcp));
        let mut session: Option<Box<str>> = None;
        for body in bodies.split(|byte| *byte == b'\n') {
            let asked = std::str::from_utf8(body).ok().and_then(|text| rpc::parse(text).ok());
            let mut head = Head::default();
            head.is_bridge = manner & FROM_BRIDGE != 0;
            head.push("content-type", Some("application/json"));
            if manner & WITH_VERSION != 0 {
                head.push("mcp-protocol-version", Some(STATELESS));
            }
            if let Some(Message::Request { method, .. }) = asked.as_ref().filter(|_| manner & WITH_METHOD != 0) {
                head.push("mcp-method", Some(method));
            }
            if let Some(id) = session.as_deref().filter(|_| manner & WITHOUT_SESSION == 0) {
                head.push("mcp-session-id", Some(id));
            }
            match server.post(&head, body, who.clone()).await {
                Answer::Status(status) => assert!(matches!(status, 202 | 406), "{status}"),
                Answer::Message { status, text, session: began } => {
                    assert!(matches!(status, 200 | 400 | 404 | 503), "{status}");
                    check(&text, asked.as_ref());
                    session = began.or(session);
                }
                Answer::Events { first, .. } if !first.text.is_empty() => check(&first.text, None),
                Answer::Events { .. } => {}
            }
        }
    });
}

fn check(text: &str, asked: Option<&Message<'_>>) {
    match (rpc::parse(text), asked) {
        (Ok(Message::Result { id: answered, .. }), Some(Message::Request { id, .. })) => assert_eq!(&answered, id),
        (Ok(Message::Error { id: Some(answered), .. }), Some(Message::Request { id, .. })) => assert_eq!(&answered, id),
        (Ok(_), _) => {}
        (Err(error), _) => panic!("{error:?}: {text}"),
    }
}
