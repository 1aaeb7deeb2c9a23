//! Completion of ids and names, in prompts and in templates of resources: what whoever asks may see, and no more.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Shared, prompts, resources};
use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::mcp::call::Fault;

/// Values of one answer (MCP `completion/complete`: 100 at most).
const VALUES_MAX: usize = 100;

/// An argument, the tool that lists what it may be, the array in the answer, the field with the value and one with its words.
static ARGUMENTS: &[(&str, &str, &str, &str, &str)] = &[
    ("device", "devices.list", "devices", "id", "name"),
    ("id", "conversations.list", "conversations", "id", "title"),
    ("key", "settings.list", "settings", "key", "key"),
    ("name", "model_profiles.list", "model_profiles", "name", "name"),
    ("room", "rooms.list", "rooms", "id", "name"),
    ("scene", "scenes.list", "scenes", "id", "name"),
    ("slug", "mcp_servers.list", "servers", "slug", "slug"),
    ("user", "profiles.list", "profiles", "user", "user"),
];

/// `completion/complete`.
pub async fn complete(shared: &Shared, params: &Value, who: Arc<Principal>) -> Result<Value, Fault> {
    let text = |path: &str| params.pointer(path).and_then(Value::as_str);
    let argument = text("/argument/name").unwrap_or_default();
    let is_known = match (text("/ref/name"), text("/ref/uri")) {
        (Some(prompt), _) => {
            prompts::find(prompt).is_some_and(|prompt| prompt.arguments.iter().any(|known| known.name == argument))
        }
        (None, Some(uri)) => resources::variable(uri) == Some(argument),
        (None, None) => false,
    };
    if !is_known {
        return Err(Fault::new(ErrorCode::BadRequest, "argument.name: the prompt or template has no such argument"));
    }
    let begun = text("/argument/value").unwrap_or_default().to_lowercase();
    let Some((_, tool, array, field, words)) = ARGUMENTS.iter().find(|row| row.0 == argument) else {
        // An argument in a person's own words.
        return Ok(json!({ "completion": { "values": [], "total": 0, "hasMore": false } }));
    };
    let (mut values, mut cursor, mut more) = (Vec::new(), None::<String>, false);
    // A bounded look: whoever has more records than that writes some letters more.
    for _ in 0..5 {
        let mut arguments = Map::new();
        // Not every list has pages.
        if *tool != "settings.list" {
            arguments.insert("limit".into(), 200.into());
        }
        arguments.extend(cursor.take().map(|cursor| ("cursor".to_owned(), Value::String(cursor))));
        let page = match shared.run(tool, arguments, who.clone()).await {
            Ok(page) => page,
            // What may not be listed is not completed.
            Err(fault) if fault.error.code == ErrorCode::Forbidden => break,
            Err(fault) => return Err(fault),
        };
        for record in page[array].as_array().map_or(&[][..], Vec::as_slice) {
            let Some(value) = record[field].as_str() else { continue };
            let is_meant = value.to_lowercase().starts_with(&begun)
                || (!begun.is_empty()
                    && record[words].as_str().is_some_and(|words| words.to_lowercase().contains(&begun)));
            if is_meant {
                values.push(value.to_owned());
            }
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        more = cursor.is_some();
        if values.len() > VALUES_MAX || !more {
            break;
        }
    }
    let total = values.len();
    values.truncate(VALUES_MAX);
    let mut completion = json!({ "values": values, "hasMore": more || total > VALUES_MAX });
    if !more {
        completion["total"] = total.into();
    }
    Ok(json!({ "completion": completion }))
}
