//! The tools of the suite: what each is, and what it does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::time::sleep;

use crate::common::error::ErrorCode;
use crate::common::who::Role;
use crate::mcp::call::{Call, Fault, Note, Outcome, ToolOutput};
use crate::mcp::conformance::{asking, content};
use crate::mcp::definition::{Annotations, Definition, Origin};
use crate::mcp::server::RELEASE;
use crate::mcp::source::Changed;

/// Between the steps of a tool that takes its time.
const STEP: Duration = Duration::from_millis(50);

/// How the tools that ask by what they give back begin.
const ASKING: &str = "test_input_required_result_";

/// Tools without arguments.
const PLAIN: [&str; 23] = [
    "test_audio_content",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_embedded_resource",
    "test_error_handling",
    "test_image_content",
    "test_input_required_result_capabilities",
    "test_input_required_result_elicitation",
    "test_input_required_result_list_roots",
    "test_input_required_result_multi_round",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_request_state",
    "test_input_required_result_sampling",
    "test_input_required_result_tampered_state",
    "test_logging_tool",
    "test_missing_capability",
    "test_multiple_content_types",
    "test_reconnection",
    "test_simple_text",
    "test_streaming_elicitation",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_trigger_tool_change",
];

/// All of them, by name.
pub fn definitions() -> Arc<[Arc<Definition>]> {
    let mut all: Vec<_> = PLAIN.iter().map(|name| tool(name, json!({}), &[])).collect();
    let text = json!({ "type": "string" });
    all.push(tool("test_trigger_prompt_change", json!({}), &[]));
    all.push(tool("test_sampling", json!({ "prompt": text }), &["prompt"]));
    all.push(tool("test_elicitation", json!({ "message": text }), &["message"]));
    let region = json!({ "type": "string", "x-mcp-header": "Region" });
    all.push(tool("test_x_mcp_header", json!({ "region": region }), &["region"]));
    all.push(schema_tool());
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.into_iter().map(Arc::new).collect()
}

fn tool(name: &str, properties: Value, required: &[&str]) -> Definition {
    let mut input = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        input["required"] = json!(required);
    }
    Definition {
        name: name.into(),
        title: None,
        description: format!("A tool for tests: {}.", name.replace('_', " ")),
        input: input.into(),
        output: None,
        annotations: Annotations::READS,
        access: Role::Guest,
        origin: Origin::Hub,
        pinned: false,
        extra: Map::new(),
    }
}

/// SEP-1613, SEP-2106: a schema whose words must all arrive.
fn schema_tool() -> Definition {
    let mut tool = tool("json_schema_2020_12_tool", json!({}), &[]);
    tool.description = "Tool with JSON Schema 2020-12 features".into();
    tool.input = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": {
            "$anchor": "addressDef", "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
        } },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
    .into();
    tool
}

/// Does what the suite expects of each.
pub async fn call(call: Call, changes: broadcast::Sender<Changed>) -> Result<Outcome, Fault> {
    let Call { tool, arguments, reach, .. } = &call;
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let blocks = |content: Vec<Value>| Ok(Outcome::Done(ToolOutput { content, ..ToolOutput::default() }));
    let says = |words: &str| Ok(Outcome::Done(ToolOutput::text(words)));
    let announce = |changed: Changed| {
        // Somebody may be listening.
        let _ = changes.send(changed);
    };
    match &**tool {
        "test_simple_text" => says("This is a simple text response for testing."),
        "test_image_content" => blocks(vec![content::image()]),
        "test_audio_content" => blocks(vec![content::audio()]),
        "test_embedded_resource" => blocks(vec![content::resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => blocks(vec![
            content::text("Multiple content types test:"),
            content::image(),
            content::resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "test_error_handling" => {
            Ok(Outcome::Done(ToolOutput::failed("This tool intentionally returns an error for testing")))
        }
        "test_tool_with_logging" | "test_logging_tool" => {
            let steps = ["Tool execution started", "Tool processing data", "Tool execution completed"];
            for (at, words) in steps.into_iter().enumerate() {
                if at > 0 {
                    sleep(STEP).await;
                }
                if let Some(peer) = &reach.peer {
                    peer.notify("notifications/message", json!({ "level": "info", "data": words }));
                }
            }
            says("it was logged")
        }
        "test_tool_with_progress" => {
            for (at, progress) in [0.0, 50.0, 100.0].into_iter().enumerate() {
                if at > 0 {
                    sleep(STEP).await;
                }
                if let Some(tell) = &reach.progress {
                    tell(Note { progress, total: Some(100.0), message: None });
                }
            }
            says("it is done, step by step")
        }
        "test_sampling" => asking::sample(reach, argument("prompt")).await,
        "test_elicitation" => {
            let field = |what: &str| json!({ "type": "string", "description": what });
            let fields = json!({ "username": field("User's response"), "email": field("User's email address") });
            asking::elicit(reach, argument("message"), fields, &["username", "email"]).await
        }
        "test_elicitation_sep1034_defaults" => asking::elicit(reach, "With defaults", asking::defaults(), &[]).await,
        "test_elicitation_sep1330_enums" => asking::elicit(reach, "With choices", asking::choices(), &[]).await,
        "test_streaming_elicitation" => {
            asking::elicit(reach, "While it streams", json!({ "name": { "type": "string" } }), &[]).await
        }
        "test_missing_capability" => asking::sample(reach, "Anything").await,
        "test_reconnection" => {
            // Until the stream stands, so that there is something to come back to.
            sleep(4 * STEP).await;
            if let Some(peer) = &reach.peer {
                peer.notify(RELEASE, json!({}));
            }
            sleep(4 * STEP).await;
            says("Reconnection test completed successfully")
        }
        "test_trigger_tool_change" => {
            announce(Changed::Tools);
            says("the tools have changed, or so it is said")
        }
        "test_trigger_prompt_change" => {
            announce(Changed::Prompts);
            says("the prompts have changed, or so it is said")
        }
        "test_x_mcp_header" => says(&format!("The region is {}.", argument("region"))),
        "json_schema_2020_12_tool" => says("the arguments are as the schema says"),
        name => match name.strip_prefix(ASKING) {
            Some(kind) => asking::input_required(kind, reach),
            None => Err(Fault::new(ErrorCode::NotFound, "there is no such tool")),
        },
    }
}
