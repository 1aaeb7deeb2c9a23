//! Which path and method stand for which tool. Data alone: a row more is a resource more, here and in the OpenAPI. A row
//! whose tool the hub does not have is not there.

use hyper::Method;

use crate::mcp::Service;

/// A path and what its methods stand for.
pub struct Row {
    /// As matchit and OpenAPI write it; what stands in braces is the name of an argument.
    pub pattern: &'static str,
    pub operations: &'static [Operation],
}

/// One method of a path.
pub struct Operation {
    pub method: Method,
    pub tool: &'static str,
    pub answer: Answer,
    /// The argument that the whole body is; `None`: its fields are arguments.
    pub body: Option<&'static str>,
}

/// What a success looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200 with the tool's structured result.
    Shown,
    /// 201 likewise, with a `Location` where what was made has a path of its own: fields of the result stand in braces.
    Made(Option<&'static str>),
    /// 204. A result of `{"deleted": false}` is 404.
    Gone,
}

const fn get(tool: &'static str) -> Operation {
    Operation { method: Method::GET, tool, answer: Answer::Shown, body: None }
}

const fn put(tool: &'static str) -> Operation {
    Operation { method: Method::PUT, tool, answer: Answer::Shown, body: None }
}

const fn patch(tool: &'static str) -> Operation {
    Operation { method: Method::PATCH, tool, answer: Answer::Shown, body: None }
}

const fn delete(tool: &'static str) -> Operation {
    Operation { method: Method::DELETE, tool, answer: Answer::Gone, body: None }
}

/// A POST that makes something.
const fn make(tool: &'static str, place: Option<&'static str>) -> Operation {
    Operation { method: Method::POST, tool, answer: Answer::Made(place), body: None }
}

/// A POST that does something.
const fn act(tool: &'static str) -> Operation {
    Operation { method: Method::POST, tool, answer: Answer::Shown, body: None }
}

/// A PUT whose body is one argument as a whole.
const fn put_whole(tool: &'static str, argument: &'static str) -> Operation {
    Operation { method: Method::PUT, tool, answer: Answer::Shown, body: Some(argument) }
}

/// In the order of `docs/API.md`. A pattern stands here once, and a tool too.
pub static ROWS: &[Row] = &[
    Row { pattern: "/api/v1/status", operations: &[get("status")] },
    Row { pattern: "/api/v1/settings", operations: &[get("settings.list")] },
    Row {
        pattern: "/api/v1/settings/{key}",
        operations: &[get("settings.get"), put("settings.set"), delete("settings.delete")],
    },
    Row { pattern: "/api/v1/model-profiles", operations: &[get("model_profiles.list")] },
    Row {
        pattern: "/api/v1/model-profiles/{name}",
        operations: &[get("model_profiles.get"), put("model_profiles.set"), delete("model_profiles.delete")],
    },
    Row { pattern: "/api/v1/profiles", operations: &[get("profiles.list")] },
    Row {
        pattern: "/api/v1/profiles/{user}",
        operations: &[get("profiles.get"), put("profiles.set"), delete("profiles.delete")],
    },
    Row {
        pattern: "/api/v1/users",
        operations: &[get("users.list"), make("users.create", Some("/api/v1/users/{name}"))],
    },
    Row { pattern: "/api/v1/users/{name}", operations: &[get("users.get"), put("users.set"), delete("users.delete")] },
    Row { pattern: "/api/v1/tokens", operations: &[get("tokens.list"), make("tokens.create", None)] },
    Row { pattern: "/api/v1/tokens/{id}", operations: &[delete("tokens.revoke")] },
    Row { pattern: "/api/v1/conversations", operations: &[get("conversations.list")] },
    Row {
        pattern: "/api/v1/conversations/{id}",
        operations: &[get("conversations.get"), patch("conversations.set"), delete("conversations.delete")],
    },
    Row { pattern: "/api/v1/conversations/{id}/messages", operations: &[get("conversations.messages")] },
    Row { pattern: "/api/v1/conversations/{id}/export", operations: &[get("conversations.export")] },
    Row { pattern: "/api/v1/search", operations: &[get("conversations.search")] },
    Row { pattern: "/api/v1/mcp-servers", operations: &[get("mcp_servers.list")] },
    Row {
        pattern: "/api/v1/mcp-servers/{slug}",
        operations: &[get("mcp_servers.get"), put("mcp_servers.set"), delete("mcp_servers.delete")],
    },
    Row { pattern: "/api/v1/mcp-servers/{slug}/refresh", operations: &[act("mcp_servers.refresh")] },
    Row { pattern: "/api/v1/mcp-servers/{slug}/approve", operations: &[act("mcp_servers.approve")] },
    Row {
        pattern: "/api/v1/mcp-servers/{slug}/sign-in",
        operations: &[act("mcp_servers.sign_in"), delete("mcp_servers.sign_out")],
    },
    Row { pattern: "/api/v1/mcp-servers/{slug}/status", operations: &[get("mcp_servers.status")] },
    Row { pattern: "/api/v1/mcp-servers/{slug}/changes", operations: &[get("mcp_servers.changes")] },
    Row { pattern: "/api/v1/tool-overlays", operations: &[get("tool_overlays.list")] },
    Row {
        pattern: "/api/v1/tool-overlays/{tool}",
        operations: &[get("tool_overlays.get"), put("tool_overlays.set"), delete("tool_overlays.delete")],
    },
    Row { pattern: "/api/v1/tool-conflicts", operations: &[get("tools.conflicts")] },
    Row { pattern: "/api/v1/devices", operations: &[get("devices.list")] },
    Row {
        pattern: "/api/v1/devices/{device}",
        operations: &[get("devices.get"), patch("devices.rename"), delete("devices.remove")],
    },
    Row { pattern: "/api/v1/devices/{targets}/state", operations: &[put_whole("devices.set", "set")] },
    Row { pattern: "/api/v1/devices/{device}/read", operations: &[act("devices.read")] },
    Row { pattern: "/api/v1/devices/{device}/interview", operations: &[act("devices.interview")] },
    Row { pattern: "/api/v1/devices/{device}/update", operations: &[act("devices.update")] },
    Row { pattern: "/api/v1/devices/{device}/bindings", operations: &[get("devices.bindings")] },
    Row { pattern: "/api/v1/devices/{device}/bind", operations: &[act("devices.bind")] },
    Row { pattern: "/api/v1/devices/{device}/unbind", operations: &[act("devices.unbind")] },
    Row { pattern: "/api/v1/rooms", operations: &[get("rooms.list")] },
    Row { pattern: "/api/v1/rooms/{room}", operations: &[get("rooms.get"), put("rooms.set"), delete("rooms.delete")] },
    Row { pattern: "/api/v1/groups", operations: &[get("groups.list")] },
    Row {
        pattern: "/api/v1/groups/{group}",
        operations: &[get("groups.get"), put("groups.set"), delete("groups.delete")],
    },
    Row { pattern: "/api/v1/groups/{group}/scene", operations: &[act("groups.scene")] },
    Row { pattern: "/api/v1/scenes", operations: &[get("scenes.list")] },
    Row {
        pattern: "/api/v1/scenes/{scene}",
        operations: &[get("scenes.get"), put("scenes.set"), delete("scenes.delete")],
    },
    Row { pattern: "/api/v1/scenes/{scene}/recall", operations: &[act("scenes.recall")] },
    Row { pattern: "/api/v1/scenes/{scene}/capture", operations: &[act("scenes.capture")] },
    Row { pattern: "/api/v1/history", operations: &[get("history.query")] },
    Row { pattern: "/api/v1/zigbee", operations: &[get("network.status")] },
    Row { pattern: "/api/v1/zigbee/map", operations: &[get("network.map")] },
    Row { pattern: "/api/v1/zigbee/backup", operations: &[get("network.backup")] },
    Row { pattern: "/api/v1/zigbee/pairing", operations: &[act("pairing.start"), delete("pairing.stop")] },
    Row { pattern: "/api/v1/audit", operations: &[get("audit.list")] },
];

impl Row {
    /// What of it this hub has.
    pub fn present<'a>(&'static self, tools: &'a Service) -> impl Iterator<Item = &'static Operation> + 'a {
        self.operations.iter().filter(|operation| tools.tool(operation.tool).is_some())
    }

    /// The names in the pattern's braces.
    pub fn placeholders(&self) -> impl Iterator<Item = &'static str> {
        placeholders(self.pattern)
    }
}

/// The names in braces of a pattern or a place.
pub fn placeholders(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_keeps_the_contract() {
        let (mut patterns, mut tools) = (BTreeSet::new(), BTreeSet::new());
        for row in ROWS {
            assert!(
                row.pattern.starts_with("/api/v1/") && patterns.insert(row.pattern),
                "{} stands here once",
                row.pattern
            );
            let mut methods = BTreeSet::new();
            for operation in row.operations {
                let Operation { method, tool, answer, body } = operation;
                assert!(methods.insert(method.as_str()), "{method} {} stands here once", row.pattern);
                assert!(tools.insert(*tool), "{tool} stands here once");
                let is_fit = match *method {
                    Method::GET | Method::PUT | Method::PATCH => *answer == Answer::Shown,
                    Method::DELETE => *answer == Answer::Gone,
                    Method::POST => *answer != Answer::Gone,
                    _ => false,
                };
                assert!(is_fit, "{method} {}: {answer:?}", row.pattern);
                let has_body = !matches!(*method, Method::GET | Method::DELETE);
                assert!(body.is_none_or(|name| has_body && row.placeholders().all(|other| other != name)), "{tool}");
                if let Answer::Made(Some(place)) = answer {
                    assert!(ROWS.iter().any(|row| row.pattern == *place), "{place} is a row");
                }
            }
        }
        assert_eq!(ROWS[2].placeholders().collect::<Vec<_>>(), ["key"]);
    }
}
