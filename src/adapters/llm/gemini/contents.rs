//! A conversation as Gemini reads it: `contents` with turns of `user` and `model`. Items that Gemini made go back byte for
//! byte in their places; from everybody else's only what they stand for. Pure.
//! Source: Gemini API reference, "Content"; "Thought signatures", "Function calling".

use std::collections::BTreeSet;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::ORIGIN;
use crate::adapters::llm::lenient::Text;
use crate::common::chat::{Media, Message, Part, Role, ToolCall, ToolResult, Verbatim};

/// Stands in for the signature of a call that Gemini did not make; its own checks know the word ("Thought signatures").
const FOREIGN_SIGNATURE: &str = "skip_thought_signature_validator";

/// How the turns are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// What Gemini has signed goes back as it came. Without: as plain parts, as if somebody else had made them.
    pub signed: bool,
    /// The first call of each answer must have a signature, whoever made it.
    pub insists: bool,
}

#[derive(Debug, Serialize)]
pub struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Piece<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Piece<'a> {
    Text(&'a str),
    #[serde(rename_all = "camelCase")]
    InlineData {
        mime_type: &'a str,
        #[serde(serialize_with = "base64")]
        data: &'a [u8],
    },
    FunctionCall(Call<'a>),
    FunctionResponse(Response<'a>),
    #[serde(untagged, rename_all = "camelCase")]
    SignedCall {
        function_call: Call<'a>,
        thought_signature: &'static str,
    },
    #[serde(untagged)]
    Verbatim(&'a RawValue),
}

#[derive(Debug, Serialize)]
struct Call<'a> {
    name: &'a str,
    args: Json<'a>,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    /// That of the call, where Gemini gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Outcome<'a>,
}

/// "Use `output` key to specify function output and `error` key to specify error details."
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Output(Json<'a>),
    Error(&'a str),
}

/// Text that is JSON, or that is meant to be.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Json<'a> {
    Whole(&'a RawValue),
    Empty {},
    Text(&'a str),
    /// Arguments must be an object, and these are none.
    Broken {
        arguments: &'a str,
    },
}

/// The system's words, which stand apart from the turns.
pub fn system(messages: &[Message]) -> Option<Content<'_>> {
    let parts: Vec<_> = of_system(messages, true).flat_map(|message| &message.parts).filter_map(spoken).collect();
    (!parts.is_empty()).then_some(Content { role: None, parts })
}

/// The turns, oldest first. `system_first`: the system's words are to be the user's first, for models that know no system.
pub fn turns(messages: &[Message], style: Style, system_first: bool) -> Vec<Content<'_>> {
    let mut contents: Vec<Content<'_>> = Vec::new();
    if let Some(Content { parts, .. }) = system(messages).filter(|_| system_first) {
        contents.push(Content { role: Some("user"), parts });
    }
    let ids = ids_of_gemini(messages, style);
    let mut after_tools = false;
    for message in of_system(messages, false) {
        let parts = pieces(message, style, &ids);
        if parts.is_empty() {
            continue;
        }
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        // What parallel calls gave back is one turn.
        match contents.last_mut().filter(|_| after_tools && message.role == Role::Tool) {
            Some(turn) => turn.parts.extend(parts),
            None => contents.push(Content { role: Some(role), parts }),
        }
        after_tools = message.role == Role::Tool;
    }
    contents
}

fn of_system(messages: &[Message], is: bool) -> impl Iterator<Item = &Message> {
    messages.iter().filter(move |message| (message.role == Role::System) == is)
}

fn spoken(part: &Part) -> Option<Piece<'_>> {
    part.text().filter(|text| !text.is_empty()).map(Piece::Text)
}

fn pieces<'a>(message: &'a Message, style: Style, ids: &BTreeSet<&str>) -> Vec<Piece<'a>> {
    let mut wants_signature = style.insists;
    let mut pieces = Vec::with_capacity(message.parts.len());
    for part in &message.parts {
        if let Part::Verbatim(item) = part
            && goes_back(item, style)
        {
            wants_signature &= call_of(item).is_none();
            pieces.push(Piece::Verbatim(&item.json));
            continue;
        }
        let Some(part) = part.plain() else { continue };
        pieces.extend(match part {
            Part::Text(_) | Part::Verbatim(_) => spoken(part),
            Part::Image(media) => Some(inline(media)),
            // The models that speak do not want to hear themselves.
            Part::Audio(media) => (message.role != Role::Assistant).then(|| inline(media)),
            Part::ToolCall(call) if std::mem::replace(&mut wants_signature, false) => {
                Some(Piece::SignedCall { function_call: self::call(call), thought_signature: FOREIGN_SIGNATURE })
            }
            Part::ToolCall(call) => Some(Piece::FunctionCall(self::call(call))),
            Part::ToolResult(result) => Some(Piece::FunctionResponse(response(result, ids))),
        });
    }
    pieces
}

fn inline(media: &Media) -> Piece<'_> {
    Piece::InlineData { mime_type: &media.mime, data: &media.data }
}

fn call(call: &ToolCall) -> Call<'_> {
    let text = call.arguments.trim();
    let args = match serde_json::from_str::<&RawValue>(text) {
        Ok(json) if json.get().starts_with('{') => Json::Whole(json),
        _ if text.is_empty() => Json::Empty {},
        _ => Json::Broken { arguments: text },
    };
    Call { name: &call.name, args }
}

fn response<'a>(result: &'a ToolResult, ids: &BTreeSet<&str>) -> Response<'a> {
    let response = if result.is_error {
        Outcome::Error(&result.content)
    } else {
        Outcome::Output(serde_json::from_str(&result.content).map_or(Json::Text(&result.content), Json::Whole))
    };
    let id = Some(result.call_id.as_str()).filter(|id| ids.contains(id));
    Response { id, name: &result.name, response }
}

/// Whether an item is sent as it is.
fn goes_back(item: &Verbatim, style: Style) -> bool {
    style.signed && item.is_of(ORIGIN)
}

fn call_of(item: &Verbatim) -> Option<&ToolCall> {
    match item.stands_for.as_deref() {
        Some(Part::ToolCall(call)) => Some(call),
        _ => None,
    }
}

/// The ids that Gemini gave to its calls, as against those that the hub had to think up, of which Gemini knows nothing.
fn ids_of_gemini(messages: &[Message], style: Style) -> BTreeSet<&str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Part<'a> {
        #[serde(borrow)]
        function_call: Named<'a>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        id: Text<'a>,
    }
    let items = messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
        self::Part::Verbatim(item) => Some(item),
        _ => None,
    });
    let calls = items.filter(|item| goes_back(item, style)).filter_map(|item| Some((call_of(item)?, item)));
    calls
        .filter(|(call, item)| {
            let part = serde_json::from_str::<Part<'_>>(item.json.get());
            part.is_ok_and(|part| part.function_call.id.0 == call.id)
        })
        .map(|(call, _)| call.id.as_str())
        .collect()
}

/// Written straight into the request, without a text of its own in between.
fn base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(data, &STANDARD))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NEW: Style = Style { signed: true, insists: true };
    const OLD: Style = Style { signed: true, insists: false };

    fn written(messages: &[Message], style: Style) -> Value {
        serde_json::to_value(turns(messages, style, false)).unwrap()
    }

    fn said(role: Role, parts: Vec<Part>) -> Message {
        Message { role, parts }
    }

    fn tool_call(id: &str, arguments: &str) -> Part {
        Part::ToolCall(ToolCall { id: id.into(), name: "dim".into(), arguments: arguments.into() })
    }

    fn result(call_id: &str, content: &str, is_error: bool) -> Message {
        let result = ToolResult { call_id: call_id.into(), name: "dim".into(), content: content.into(), is_error };
        said(Role::Tool, vec![Part::ToolResult(result)])
    }

    fn item(origin: &str, json: &str, stands_for: Option<Part>) -> Part {
        let json = RawValue::from_string(json.into()).unwrap();
        Part::Verbatim(Verbatim { origin: origin.into(), json, stands_for: stands_for.map(Box::new) })
    }

    #[test]
    fn a_conversation_with_parts_of_every_kind() {
        let png = Media { mime: "image/png".into(), data: b"\x89PNG".as_slice().into() };
        let wav = Media { mime: "audio/wav".into(), data: b"RIFF".as_slice().into() };
        let messages = [
            Message::new(Role::System, "Be brief."),
            said(Role::User, vec![Part::Text("Look".into()), Part::Image(png.clone()), Part::Audio(wav.clone())]),
            said(Role::Assistant, vec![Part::Text(String::new()), Part::Text("Nice".into()), Part::Audio(wav)]),
            said(Role::User, vec![]),
            Message::new(Role::User, "Dim \"it\""),
            said(Role::Assistant, vec![tool_call("a", " {\"to\": 1e1} "), tool_call("b", ""), tool_call("c", "[1")]),
            result("a", "{\"level\":10}", false),
            result("b", "done", false),
            result("c", "no such lamp", true),
            Message::new(Role::User, "Thanks"),
        ];
        assert_eq!(
            written(&messages, OLD),
            json!([
                {"role": "user", "parts": [
                    {"text": "Look"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                    {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
                ]},
                {"role": "model", "parts": [{"text": "Nice"}]},
                {"role": "user", "parts": [{"text": "Dim \"it\""}]},
                {"role": "model", "parts": [
                    {"functionCall": {"name": "dim", "args": {"to": 1e1}}},
                    {"functionCall": {"name": "dim", "args": {}}},
                    {"functionCall": {"name": "dim", "args": {"arguments": "[1"}}},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"name": "dim", "response": {"output": {"level": 10}}}},
                    {"functionResponse": {"name": "dim", "response": {"output": "done"}}},
                    {"functionResponse": {"name": "dim", "response": {"error": "no such lamp"}}},
                ]},
                {"role": "user", "parts": [{"text": "Thanks"}]},
            ])
        );
        let system = serde_json::to_value(system(&messages)).unwrap();
        assert_eq!(system, json!({"parts": [{"text": "Be brief."}]}));
        let first = &serde_json::to_value(turns(&messages, OLD, true)).unwrap()[0];
        assert_eq!(*first, json!({"role": "user", "parts": [{"text": "Be brief."}]}));
    }

    #[test]
    fn what_gemini_made_goes_back_byte_for_byte_in_its_place() {
        const SIGNED: &str =
            r#"{"functionCall": {"id":"g1","name":"dim", "args": {"to":1.0}},"thoughtSignature":"s=\u003d"}"#;
        let messages = [
            said(
                Role::Assistant,
                vec![
                    Part::Text("One ".into()),
                    item("gemini", r#"{"text" : "two","thoughtSignature":"t"}"#, Some(Part::Text("two".into()))),
                    item("anthropic", r#"{"type":"thinking"}"#, None),
                    item("anthropic", r#"{"type":"text"}"#, Some(Part::Text("three".into()))),
                    item("gemini", SIGNED, Some(tool_call("g1", r#"{"to":1.0}"#))),
                    tool_call("call_1", "{}"),
                ],
            ),
            result("g1", "ok", false),
            result("call_1", "ok", false),
        ];
        let text = serde_json::to_string(&turns(&messages, NEW, false)).unwrap();
        let want = [
            r#"[{"role":"model","parts":[{"text":"One "},{"text" : "two","thoughtSignature":"t"},{"text":"three"},"#,
            SIGNED,
            r#",{"functionCall":{"name":"dim","args":{}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"id":"g1","name":"dim","response":{"output":"ok"}}},"#,
            r#"{"functionResponse":{"name":"dim","response":{"output":"ok"}}}]}]"#,
        ];
        assert_eq!(text, want.concat());

        let plain = written(&messages, Style { signed: false, insists: true });
        assert_eq!(plain[0]["parts"][1], json!({"text": "two"}));
        let call = json!({"functionCall": {"name": "dim", "args": {"to": 1.0}}, "thoughtSignature": FOREIGN_SIGNATURE});
        assert_eq!(plain[0]["parts"][3], call);
        assert_eq!(plain[1]["parts"][0]["functionResponse"].get("id"), None, "an id of a call that had none");
    }

    #[test]
    fn a_foreign_call_is_let_pass_where_signatures_are_insisted_on() {
        let messages = [said(Role::Assistant, vec![tool_call("a", "{}"), tool_call("b", "{}")])];
        let signatures = |style| {
            let parts = written(&messages, style)[0]["parts"].clone();
            [0, 1].map(|at| parts[at].get("thoughtSignature").is_some())
        };
        assert_eq!((signatures(NEW), signatures(OLD)), ([true, false], [false, false]));
    }
}
