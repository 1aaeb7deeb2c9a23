//! What a model reads of what a tool gave back: words, pictures where it can see, and a note for all else. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::common::chat::Media;
use crate::mcp::{Fault, Outcome, ToolOutput};

/// The longest result that a model reads, bytes; the rest is cut off. A large context holds some of these, and each is paid for
/// again in every further round.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;

/// Pictures of one result.
const PICTURES_MAX: usize = 4;

/// Bytes of one picture: what providers take.
const PICTURE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Pictures that providers take.
const PICTURE_MIMES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// What came of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    pub text: String,
    pub pictures: Vec<Media>,
    pub structured: Option<Value>,
    pub is_error: bool,
}

impl Told {
    /// A failure that the model can act on.
    pub fn failed(why: impl Into<String>) -> Told {
        Told { text: cut(why.into()), is_error: true, ..Told::default() }
    }
}

/// Of a call that was made.
pub fn told(outcome: Result<Outcome, Fault>) -> Told {
    match outcome {
        Ok(Outcome::Done(output)) => of(output),
        Ok(Outcome::InputRequired { requests, .. }) => {
            let asked: Vec<&str> =
                requests.values().filter_map(|request| request["params"]["message"].as_str()).collect();
            Told::failed(format!(
                "the tool was not run to its end: it asks a person for something, which cannot be answered here. {}",
                asked.join(" ")
            ))
        }
        Err(fault) => Told::failed(fault.error.message),
    }
}

fn of(output: ToolOutput) -> Told {
    let ToolOutput { content, structured, is_error, .. } = output;
    let (mut words, mut pictures) = (Vec::new(), Vec::new());
    for block in &content {
        words.extend(read(block, &mut pictures));
    }
    if words.is_empty()
        && let Some(structured) = &structured
    {
        words.push(structured.to_string());
    }
    if words.is_empty() && pictures.is_empty() {
        words.push(if is_error { "it failed, and does not say why" } else { "done" }.into());
    }
    Told { text: cut(words.join("\n")), pictures, structured, is_error }
}

/// The words of one MCP `ContentBlock`; a picture is taken out of it.
fn read(block: &Value, pictures: &mut Vec<Media>) -> Option<String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match block.get("type").and_then(Value::as_str)? {
        "text" => text(block, "text"),
        "image" => picture(&text(block, "mimeType")?, &text(block, "data")?, pictures),
        "audio" => Some(format!("[a sound of type {} that you cannot hear]", text(block, "mimeType")?)),
        "resource" => {
            let resource = block.get("resource")?;
            let (uri, mime) = (text(resource, "uri")?, text(resource, "mimeType").unwrap_or_default());
            match (text(resource, "text"), text(resource, "blob")) {
                (Some(words), _) => Some(format!("{uri}:\n{words}")),
                (None, Some(blob)) if mime.starts_with("image/") => Some(match picture(&mime, &blob, pictures) {
                    Some(note) => format!("{uri}: {note}"),
                    None => format!("{uri}: [the picture that comes with this]"),
                }),
                (None, Some(blob)) => Some(format!("{uri}: [{} bytes of type {mime}]", blob.len() / 4 * 3)),
                (None, None) => Some(uri),
            }
        }
        "resource_link" => {
            let words = ["name", "title", "description"].iter().filter_map(|key| text(block, key));
            Some(format!("{} ({})", text(block, "uri")?, words.collect::<Vec<_>>().join(", ")))
        }
        other => Some(format!("[something of the kind {other:?} that the hub does not know]")),
    }
}

/// Keeps a picture; words where that cannot be.
fn picture(mime: &str, base64: &str, pictures: &mut Vec<Media>) -> Option<String> {
    let mime = mime.to_ascii_lowercase();
    if !PICTURE_MIMES.contains(&mime.as_str()) {
        return Some(format!("[a picture of type {mime} that you cannot see]"));
    }
    if pictures.len() >= PICTURES_MAX {
        return Some("[one more picture, which was left out]".into());
    }
    if base64.len() / 4 * 3 > PICTURE_BYTES_MAX {
        return Some(format!("[a picture of more than {PICTURE_BYTES_MAX} bytes, which was left out]"));
    }
    match STANDARD.decode(base64) {
        Ok(data) => {
            pictures.push(Media { mime: mime.into(), data: data.into() });
            None
        }
        Err(_) => Some("[a picture that is not whole]".into()),
    }
}

fn cut(mut text: String) -> String {
    let bytes = text.len();
    if bytes > RESULT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(RESULT_BYTES_MAX));
        text.push_str(&format!(
            "\n[cut: these are the first {RESULT_BYTES_MAX} of {bytes} bytes; ask for less at a time]"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::common::error::ErrorCode;

    fn content(content: Value) -> Told {
        let content = content.as_array().expect("a list").clone();
        told(Ok(Outcome::Done(ToolOutput { content, ..ToolOutput::default() })))
    }

    #[test]
    fn every_kind_of_content_becomes_words_or_a_picture() {
        let told = content(json!([
            {"type": "text", "text": "Here:"},
            {"type": "image", "mimeType": "image/PNG", "data": "iVBORw=="},
            {"type": "image", "mimeType": "image/svg+xml", "data": "PHN2Zz4="},
            {"type": "image", "mimeType": "image/png", "data": "not base64!"},
            {"type": "audio", "mimeType": "audio/wav", "data": ""},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "words"}},
            {"type": "resource", "resource": {"uri": "file:///b", "mimeType": "image/png", "blob": "iVBORw=="}},
            {"type": "resource", "resource": {"uri": "file:///c", "mimeType": "application/pdf", "blob": "AAAA"}},
            {"type": "resource_link", "uri": "file:///d", "name": "d", "description": "more"},
            {"type": "hologram"}, {}, 7,
        ]));
        insta::assert_snapshot!(told.text, @r#"
        Here:
        [a picture of type image/svg+xml that you cannot see]
        [a picture that is not whole]
        [a sound of type audio/wav that you cannot hear]
        file:///a:
        words
        file:///b: [the picture that comes with this]
        file:///c: [3 bytes of type application/pdf]
        file:///d (d, more)
        [something of the kind "hologram" that the hub does not know]
        "#);
        assert_eq!(told.pictures.len(), 2);
        assert_eq!(told.pictures[0], Media { mime: "image/png".into(), data: b"\x89PNG".as_slice().into() });
    }

    #[test]
    fn what_has_no_words_is_told_by_its_structure_or_as_done() {
        assert_eq!(content(json!([])).text, "done");
        let structured = ToolOutput { structured: Some(json!({"on": true})), ..ToolOutput::default() };
        assert_eq!(told(Ok(Outcome::Done(structured))).text, r#"{"on":true}"#);
        let fault = Fault::new(ErrorCode::Forbidden, "not for guests");
        assert_eq!(told(Err(fault)), Told::failed("not for guests"));
        let asks = Outcome::InputRequired { requests: Map::new(), state: None };
        assert!(told(Ok(asks)).is_error);
    }

    #[test]
    fn too_much_is_cut_and_says_so() {
        let told = content(json!([{"type": "text", "text": "ü".repeat(RESULT_BYTES_MAX)}]));
        assert!(told.text.len() < RESULT_BYTES_MAX + 200 && told.text.contains("ask for less"));
    }
}
