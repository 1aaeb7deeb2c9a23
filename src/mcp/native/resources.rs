//! Records as resources, `hearth://…`: a table of which tool answers for which URI. Knows no record itself.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Shared;
use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::mcp::call::Fault;
use crate::store::{Change, Kind};

/// What the hub's URIs begin with.
pub const SCHEME: &str = "hearth://";

/// All devices; behind a slash one of them.
pub const DEVICES: &str = "hearth://devices";

/// A family of resources.
pub struct Row {
    /// The URI of the whole, without the scheme.
    base: &'static str,
    /// What answers for the whole.
    whole: &'static str,
    title: &'static str,
    description: &'static str,
    /// Its parts, where it has any.
    parts: Option<Parts>,
    /// Which changes of the store it shows.
    kind: Option<Kind>,
}

/// One record of a family.
pub struct Parts {
    /// The argument that names one; the variable of the template.
    pub variable: &'static str,
    /// What answers for one. Where there are several tools, each is a field of the answer.
    reads: &'static [(&'static str, &'static str)],
    title: &'static str,
    /// Where all are listed one by one: the array in the answer for the whole, and the field with the name.
    listed: Option<(&'static str, &'static str)>,
}

/// By URI.
static ROWS: &[Row] = &[
    Row {
        base: "conversations",
        whole: "conversations.list",
        title: "Conversations",
        description: "Conversations with the assistant, newest first.",
        parts: Some(Parts {
            variable: "id",
            reads: &[("conversation", "conversations.get"), ("history", "conversations.messages")],
            title: "A conversation with its newest messages",
            // There may be thousands.
            listed: None,
        }),
        kind: Some(Kind::Conversation),
    },
    Row {
        base: "devices",
        whole: "devices.list",
        title: "Devices",
        description: "The devices of the house with their rooms and what they report now.",
        parts: Some(Parts {
            variable: "device",
            reads: &[("", "devices.get")],
            title: "A device with its capabilities",
            listed: Some(("devices", "id")),
        }),
        // The house itself tells of them: what they report is in no record.
        kind: None,
    },
    Row {
        base: "mcp-servers",
        whole: "mcp_servers.list",
        title: "MCP servers",
        description: "The MCP servers behind the hub.",
        parts: Some(Parts {
            variable: "slug",
            reads: &[("", "mcp_servers.get")],
            title: "An MCP server",
            listed: Some(("servers", "slug")),
        }),
        kind: Some(Kind::Server),
    },
    Row {
        base: "model-profiles",
        whole: "model_profiles.list",
        title: "Model profiles",
        description: "Which provider and model answers, with which prompt and limits.",
        parts: Some(Parts {
            variable: "name",
            reads: &[("", "model_profiles.get")],
            title: "A model profile",
            listed: Some(("model_profiles", "name")),
        }),
        kind: Some(Kind::Profile),
    },
    Row {
        base: "profiles",
        whole: "profiles.list",
        title: "User profiles",
        description: "What users like: language, time zone, model profile, prompt, voice and rooms.",
        parts: Some(Parts {
            variable: "user",
            reads: &[("", "profiles.get")],
            title: "What a user likes",
            listed: Some(("profiles", "user")),
        }),
        kind: Some(Kind::UserProfile),
    },
    Row {
        base: "rooms",
        whole: "rooms.list",
        title: "Rooms",
        description: "The rooms of the house.",
        parts: Some(Parts {
            variable: "room",
            reads: &[("", "rooms.get")],
            title: "A room",
            listed: Some(("rooms", "id")),
        }),
        kind: Some(Kind::Room),
    },
    Row {
        base: "scenes",
        whole: "scenes.list",
        title: "Scenes",
        description: "Scenes of the house: states of devices that are called back together.",
        parts: Some(Parts {
            variable: "scene",
            reads: &[("", "scenes.get")],
            title: "A scene",
            listed: Some(("scenes", "id")),
        }),
        kind: Some(Kind::Scene),
    },
    Row {
        base: "settings",
        whole: "settings.list",
        title: "Settings",
        description: "All settings of the hub with their values and meanings.",
        parts: Some(Parts {
            variable: "key",
            reads: &[("", "settings.get")],
            title: "A setting",
            listed: Some(("settings", "key")),
        }),
        kind: Some(Kind::Setting),
    },
    Row {
        base: "status",
        whole: "status",
        title: "Status",
        description: "What this hub is and how it is.",
        parts: None,
        kind: None,
    },
    Row {
        base: "usage",
        whole: "usage.get",
        title: "Usage",
        description: "What was asked of language models in the last 30 days, and what it cost.",
        parts: None,
        kind: Some(Kind::Usage),
    },
];

/// MCP `Resource`s that `who` may read, by URI.
pub async fn list(shared: &Shared, who: Arc<Principal>) -> Result<Vec<Value>, Fault> {
    let mut found = Vec::new();
    for row in ROWS.iter().filter(|row| shared.may(&who, row.whole)) {
        found.push(json!({
            "uri": format!("{SCHEME}{}", row.base),
            "name": row.base,
            "title": row.title,
            "description": row.description,
            "mimeType": "application/json",
        }));
        let Some((parts, (array, field))) = row.parts.as_ref().and_then(|parts| Some((parts, parts.listed?))) else {
            continue;
        };
        let mut cursor: Option<String> = None;
        loop {
            let mut arguments = Map::new();
            if let Some(cursor) = cursor.take() {
                arguments.insert("cursor".into(), cursor.into());
                arguments.insert("limit".into(), 200.into());
            }
            let page = shared.run(row.whole, arguments, who.clone()).await?;
            let records = page[array].as_array().map_or(&[][..], Vec::as_slice);
            found.extend(records.iter().filter_map(|record| record[field].as_str()).map(|key| {
                json!({
                    "uri": format!("{SCHEME}{}/{key}", row.base),
                    "name": format!("{}/{key}", row.base),
                    "title": format!("{}: {key}", parts.title),
                    "mimeType": "application/json",
                })
            }));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
    }
    found.sort_by(|one, other| one["uri"].as_str().cmp(&other["uri"].as_str()));
    Ok(found)
}

/// MCP `ResourceTemplate`s for what `who` may read.
pub fn templates(shared: &Shared, who: &Principal) -> Vec<Value> {
    let rows = ROWS.iter().filter_map(|row| Some((row, row.parts.as_ref()?)));
    rows.filter(|(_, parts)| parts.reads.iter().all(|(_, tool)| shared.may(who, tool)))
        .map(|(row, parts)| {
            json!({
                "uriTemplate": format!("{SCHEME}{}/{{{}}}", row.base, parts.variable),
                "name": row.base,
                "title": parts.title,
                "description": row.description,
                "mimeType": "application/json",
            })
        })
        .collect()
}

/// `resources/read`.
pub async fn read(shared: &Shared, uri: &str, who: Arc<Principal>) -> Result<Value, Fault> {
    let nothing = || {
        let fault = Fault::new(ErrorCode::NotFound, "there is no such resource; resources/list shows what there is");
        Fault { data: Some(json!({ "uri": uri })), ..fault }
    };
    let path = uri.strip_prefix(SCHEME).ok_or_else(nothing)?;
    let (base, key) = path.split_once('/').map_or((path, None), |(base, key)| (base, Some(key)));
    let row = ROWS.iter().find(|row| row.base == base).ok_or_else(nothing)?;
    let answered = match (key, &row.parts) {
        (None, _) => shared.run(row.whole, Map::new(), who).await,
        (Some(key), Some(parts)) => one(shared, parts, key, who).await,
        (Some(_), None) => Err(nothing()),
    };
    let answered = answered.map_err(|fault| match fault.error.code {
        ErrorCode::NotFound | ErrorCode::Forbidden => Fault { data: Some(json!({ "uri": uri })), ..fault },
        _ => fault,
    })?;
    Ok(json!({
        "contents": [{ "uri": uri, "mimeType": "application/json", "text": answered.to_string() }]
    }))
}

async fn one(shared: &Shared, parts: &Parts, key: &str, who: Arc<Principal>) -> Result<Value, Fault> {
    let mut whole = Map::new();
    for (field, tool) in parts.reads {
        let arguments = Map::from_iter([(parts.variable.to_owned(), Value::from(key))]);
        let answered = shared.run(tool, arguments, who.clone()).await?;
        if field.is_empty() {
            return Ok(answered);
        }
        whole.insert((*field).to_owned(), answered);
    }
    Ok(whole.into())
}

/// The URIs that show what was changed.
pub fn touched(change: &Change) -> Vec<String> {
    let rows = ROWS.iter().filter(|row| row.kind == Some(change.kind));
    rows.flat_map(|row| {
        let whole = format!("{SCHEME}{}", row.base);
        let part = row.parts.is_some().then(|| format!("{whole}/{}", change.key));
        [Some(whole), part].into_iter().flatten()
    })
    .collect()
}

/// The variable of a template of the hub's, or of a URI of it.
pub fn variable(uri: &str) -> Option<&'static str> {
    let base = uri.strip_prefix(SCHEME)?.split('/').next()?;
    let row = ROWS.iter().find(|row| row.base == base)?;
    Some(row.parts.as_ref()?.variable)
}
