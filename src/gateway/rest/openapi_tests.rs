//! The description: made of the tools that are there, of everything that is answered, and only anew where a tool changed.

use std::collections::BTreeSet;

use super::*;
use crate::gateway::respond::Body;
use crate::gateway::rest::fake::{definitions, fake};

fn none() -> std::iter::Empty<(&'static str, Method)> {
    std::iter::empty()
}

async fn text(description: &Description, tools: &Service) -> Value {
    let body: Body = description.answer(tools, &HeaderMap::new()).into_body();
    let bytes = http_body_util::BodyExt::collect(body).await.expect("a body in memory").to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn a_small_one() {
    let (tools, service) = fake();
    let is_shown = |tool: &Definition| tool.name.starts_with("settings.") || tool.name.starts_with("mcp_servers.");
    tools.offer(definitions().into_iter().filter(is_shown).collect());
    let mut document = text(&Description::new("9.9.9", none()), &service).await;
    // What all operations share is read in its own file.
    let by_hand = by_hand();
    for (family, parts) in by_hand["components"].as_object().expect("families") {
        for name in parts.as_object().expect("parts").keys() {
            let here = document["components"][family].as_object_mut().and_then(|parts| parts.remove(name));
            assert!(here.is_some(), "{family} {name}");
        }
    }
    document["components"].as_object_mut().expect("families").retain(|_, parts| *parts != json!({}));
    insta::assert_json_snapshot!(document);
}

#[tokio::test]
async fn it_is_made_anew_only_where_a_tool_changed() {
    let (tools, service) = fake();
    let description = Description::new("9.9.9", none());
    let first = description.file(&service);
    assert!(Arc::ptr_eq(&first, &description.file(&service)));
    let mut changed = definitions();
    changed.iter_mut().find(|tool| &*tool.name == "settings.get").expect("it is there").description = "Other.".into();
    tools.offer(changed);
    let second = description.file(&service);
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(text(&description, &service).await["paths"]["/api/v1/settings/{key}"]["get"]["description"], "Other.");
    tools.offer(Vec::new());
    assert_eq!(text(&description, &service).await["paths"], json!({}));
    assert!(Arc::ptr_eq(&description.file(&service), &description.file(&service)));
}

#[test]
fn the_hand_written_part_is_whole() {
    let document = by_hand();
    let (mut ids, mut references) = (BTreeSet::new(), Vec::new());
    for (pattern, path) in document["paths"].as_object().expect("paths") {
        for (method, operation) in path.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} stands once");
            assert!(operation["tags"][0].is_string() && operation["summary"].is_string(), "{method} {pattern}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let named: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let braces = pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            assert_eq!(named, braces, "{method} {pattern}");
            assert!(operation["responses"].as_object().is_some_and(|all| all.keys().any(|code| code.starts_with('2'))));
        }
    }
    let in_table: Vec<_> = ROWS.iter().flat_map(|row| row.operations).map(|operation| operation.tool).collect();
    assert!(in_table.iter().all(|tool| !ids.contains(*tool)), "an operation is a tool or written by hand");
    gather_references(&document, &mut references);
    for reference in references {
        let place = reference.strip_prefix('#').expect("within this document");
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

fn gather_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| gather_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| gather_references(item, found)),
        _ => {}
    }
}

/// The error codes are written here once more, for readers of the description.
#[test]
fn all_error_codes_are_described() {
    let schema = schemars::schema_for!(crate::common::error::ErrorCode).to_value();
    let listed = by_hand()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone();
    assert_eq!(schema["enum"], listed);
}
