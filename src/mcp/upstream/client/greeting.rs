//! How a server is greeted: which question comes first, and what its answer means. The newest era is tried first, and a
//! server that does not know it gets the handshake of the older ones. Pure: asks through whoever drives it.

use serde_json::{Value, json};

use super::era::{self, Era, NEWEST, OLDER, UNSUPPORTED_PROTOCOL_VERSION};
use crate::mcp::call::Fault;
use crate::mcp::rpc;
use crate::mcp::upstream::connection::{ServerInfo, UpstreamError};

/// What is known of a server beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Prefer {
    /// Nothing: `server/discover`, and where that is not known, `initialize`.
    #[default]
    Newest,
    /// It was found to be of the older era, or is spoken to in a way that only that one has: `initialize`, and where that is
    /// not known any more, `server/discover`.
    Older,
    /// This revision and no other.
    Only(&'static str),
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Put this request, and say what came of it.
    Ask {
        method: &'static str,
        params: Value,
        era: Era,
        /// The revision that the question is put in.
        revision: &'static str,
    },
    /// It is there. In the older era it waits for `notifications/initialized`.
    Done { info: ServerInfo, era: Era },
    /// It cannot be spoken with.
    Failed(UpstreamError),
}

/// See the module.
#[derive(Debug)]
pub struct Greeting {
    prefer: Prefer,
    asked: Era,
    /// The other era has been tried too.
    turned: bool,
    /// The same question was repeated, as a server wished.
    repeated: bool,
}

impl Greeting {
    pub fn new(prefer: Prefer) -> (Greeting, Step) {
        let first = match prefer {
            Prefer::Newest | Prefer::Only(NEWEST) => Era::Newest,
            Prefer::Older | Prefer::Only(_) => Era::Older,
        };
        let greeting = Greeting { prefer, asked: first, turned: false, repeated: false };
        let step = greeting.ask();
        (greeting, step)
    }

    /// What came of the last question. `Err` with [`UpstreamError::Timeout`] is silence.
    pub fn answered(&mut self, answer: Result<Value, UpstreamError>) -> Step {
        match (answer, self.asked) {
            (Ok(result), Era::Newest) => self.discovered(result),
            (Ok(result), Era::Older) => initialized(result),
            (Err(UpstreamError::Answered(fault)), Era::Newest) if fault.code == UNSUPPORTED_PROTOCOL_VERSION => {
                self.refused(fault)
            }
            (Err(UpstreamError::Answered(fault)), Era::Newest)
                if [era::HEADER_MISMATCH, era::MISSING_CLIENT_CAPABILITY].contains(&fault.code) =>
            {
                Step::Failed(UpstreamError::Answered(fault))
            }
            // Any other error to `server/discover` is an older server's way to say that it does not know it.
            (Err(UpstreamError::Answered(fault)), Era::Newest) => self.turn(UpstreamError::Answered(fault)),
            // Older servers that wait for `initialize` may drop what comes before it.
            (Err(UpstreamError::Timeout(after)), Era::Newest) => self.turn(UpstreamError::Timeout(after)),
            (Err(UpstreamError::Answered(fault)), Era::Older)
                if [rpc::METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION].contains(&fault.code) =>
            {
                self.turn(UpstreamError::Answered(fault))
            }
            (Err(error), _) => Step::Failed(error),
        }
    }

    fn ask(&self) -> Step {
        match self.asked {
            Era::Newest => {
                Step::Ask { method: "server/discover", params: json!({}), era: Era::Newest, revision: NEWEST }
            }
            Era::Older => {
                let revision = match self.prefer {
                    Prefer::Only(revision) => revision,
                    Prefer::Newest | Prefer::Older => OLDER[0],
                };
                let params = json!({
                    "protocolVersion": revision,
                    "capabilities": era::everything(),
                    "clientInfo": era::client_info(),
                });
                Step::Ask { method: "initialize", params, era: Era::Older, revision }
            }
        }
    }

    /// To the other era, once.
    fn turn(&mut self, why: UpstreamError) -> Step {
        if self.turned || matches!(self.prefer, Prefer::Only(_)) {
            return Step::Failed(why);
        }
        self.turned = true;
        self.asked = match self.asked {
            Era::Newest => Era::Older,
            Era::Older => Era::Newest,
        };
        self.ask()
    }

    fn discovered(&mut self, result: Value) -> Step {
        let supported = revisions(result.get("supportedVersions"));
        if !supported.contains(&NEWEST) {
            return self.without_newest(&result["supportedVersions"], &supported);
        }
        let server = [&result["_meta"][era::META_SERVER], &result["serverInfo"]].into_iter().find(|it| it.is_object());
        let info = ServerInfo {
            protocol: NEWEST.into(),
            server: server.cloned().unwrap_or(Value::Null),
            capabilities: result.get("capabilities").cloned().unwrap_or_else(|| json!({})),
            instructions: result.get("instructions").and_then(Value::as_str).map(str::to_owned),
        };
        Step::Done { info, era: Era::Newest }
    }

    /// `UnsupportedProtocolVersionError`, whose `data.supported` lists what the server has instead.
    fn refused(&mut self, fault: Fault) -> Step {
        let listed = fault.data.as_ref().and_then(|data| data.get("supported")).cloned().unwrap_or(Value::Null);
        let supported = revisions(Some(&listed));
        if supported.contains(&NEWEST) && !self.repeated {
            self.repeated = true;
            return self.ask();
        }
        self.without_newest(&listed, &supported)
    }

    fn without_newest(&mut self, listed: &Value, supported: &[&'static str]) -> Step {
        let nothing = UpstreamError::Garbage(format!(
            "it speaks the revisions {listed} of MCP, and the hub {NEWEST} and {}",
            OLDER.join(", ")
        ));
        if supported.iter().any(|revision| OLDER.contains(revision)) {
            self.turn(nothing)
        } else {
            Step::Failed(nothing)
        }
    }
}

/// Those of a list that the hub knows.
fn revisions(listed: Option<&Value>) -> Vec<&'static str> {
    let listed = listed.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let known = [NEWEST].into_iter().chain(OLDER);
    known.filter(|revision| listed.iter().any(|it| it.as_str() == Some(revision))).collect()
}

fn initialized(result: Value) -> Step {
    let Some(revision) = result.get("protocolVersion").and_then(Value::as_str) else {
        return Step::Failed(UpstreamError::Garbage("its answer to initialize names no protocolVersion".into()));
    };
    // A server answers with a revision of its own where it does not have ours. One that has no handshake cannot be
    // meant here, whatever the server thinks of it.
    if !OLDER.contains(&revision) {
        return Step::Failed(UpstreamError::Garbage(format!(
            "it wants to speak revision {} of MCP, and the hub knows {NEWEST} and {}",
            shown(revision),
            OLDER.join(", ")
        )));
    }
    let info = ServerInfo {
        protocol: revision.into(),
        server: result.get("serverInfo").cloned().unwrap_or(Value::Null),
        capabilities: result.get("capabilities").cloned().unwrap_or_else(|| json!({})),
        instructions: result.get("instructions").and_then(Value::as_str).map(str::to_owned),
    };
    Step::Done { info, era: Era::Older }
}

/// A server's word in a message to the owner: short, and without control characters.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn error(code: i64, data: Value) -> Result<Value, UpstreamError> {
        Err(UpstreamError::Answered(Fault::of_rpc(code, "no", Some(data))))
    }

    fn method(step: &Step) -> &str {
        match step {
            Step::Ask { method, .. } => method,
            Step::Done { .. } => "done",
            Step::Failed(_) => "failed",
        }
    }

    fn initialize_result(revision: &str) -> Result<Value, UpstreamError> {
        Ok(json!({ "protocolVersion": revision, "capabilities": { "tools": {} }, "serverInfo": { "name": "s" } }))
    }

    #[test]
    fn a_server_of_today_is_asked_once() {
        let (mut greeting, first) = Greeting::new(Prefer::Newest);
        assert_eq!(method(&first), "server/discover");
        let done = greeting.answered(Ok(json!({
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} },
            "_meta": { era::META_SERVER: { "name": "s", "version": "1" } },
        })));
        let Step::Done { info, era: Era::Newest } = done else { panic!("{done:?}") };
        assert_eq!((&*info.protocol, &info.server["name"]), (NEWEST, &json!("s")));
    }

    #[test]
    fn an_older_server_gets_the_handshake_and_may_downgrade() {
        for answer in [
            error(rpc::METHOD_NOT_FOUND, Value::Null),
            error(rpc::INVALID_REQUEST, Value::Null),
            error(-32000, Value::Null),
            error(UNSUPPORTED_PROTOCOL_VERSION, json!({ "supported": ["2025-06-18"] })),
            Err(UpstreamError::Timeout(Duration::from_secs(2))),
            Ok(json!({ "supportedVersions": ["2025-03-26"], "capabilities": {} })),
        ] {
            let (mut greeting, _) = Greeting::new(Prefer::Newest);
            let second = greeting.answered(answer.clone());
            assert_eq!(method(&second), "initialize", "{answer:?}");
            let Step::Done { info, era: Era::Older } = greeting.answered(initialize_result("2025-03-26")) else {
                panic!("{answer:?}")
            };
            assert_eq!(&*info.protocol, "2025-03-26");
        }
    }

    #[test]
    fn a_first_refusal_may_be_taken_back_once() {
        let again = || error(UNSUPPORTED_PROTOCOL_VERSION, json!({ "supported": [NEWEST] }));
        let (mut greeting, _) = Greeting::new(Prefer::Newest);
        assert_eq!(method(&greeting.answered(again())), "server/discover");
        assert_eq!(method(&greeting.answered(again())), "failed");
    }

    #[test]
    fn a_server_known_as_older_is_not_asked_for_news() {
        let (mut greeting, first) = Greeting::new(Prefer::Older);
        assert_eq!(method(&first), "initialize");
        assert_eq!(method(&greeting.answered(error(rpc::METHOD_NOT_FOUND, Value::Null))), "server/discover");
        assert_eq!(method(&greeting.answered(error(rpc::METHOD_NOT_FOUND, Value::Null))), "failed", "not in circles");
    }

    #[test]
    fn what_cannot_be_spoken_is_told_so() {
        for answer in [initialize_result("1999-01-01"), initialize_result(NEWEST), Ok(json!({})), Ok(json!(7))] {
            let (mut greeting, _) = Greeting::new(Prefer::Older);
            assert_eq!(method(&greeting.answered(answer)), "failed");
        }
        let (mut greeting, _) = Greeting::new(Prefer::Newest);
        assert_eq!(method(&greeting.answered(error(era::HEADER_MISMATCH, Value::Null))), "failed");
        let (mut greeting, _) = Greeting::new(Prefer::Only(NEWEST));
        assert_eq!(method(&greeting.answered(error(rpc::METHOD_NOT_FOUND, Value::Null))), "failed");
    }
}
