//! The Images API as OpenAI streams it: previews and the picture, each an event; or one document. The official library reads
//! both (`oracles`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::provider::Script;

/// A whole picture, PNG by its word, after these previews.
pub fn stream(previews: &[&[u8]], picture: &[u8]) -> Script {
    begun(previews).chunk(&event("image_generation.completed", completed(picture))).body_end()
}

/// The previews alone, for a fault to follow.
pub fn begun(previews: &[&[u8]]) -> Script {
    (0..).zip(previews).fold(Script::stream(), |script, (nth, preview): (u32, _)| {
        let mut fields = described(preview);
        fields["partial_image_index"] = json!(nth);
        script.chunk(&event("image_generation.partial_image", fields))
    })
}

/// Several pictures at once, as a model that does not stream.
pub fn document(pictures: &[&[u8]]) -> Script {
    let data: Vec<Value> = pictures.iter().map(|picture| json!({"b64_json": BASE64.encode(picture)})).collect();
    let document = json!({"created": 1, "output_format": "png", "data": data, "usage": usage()});
    Script::status(200, &[("content-type", "application/json")], &document.to_string())
}

fn event(kind: &str, mut fields: Value) -> Vec<u8> {
    fields["type"] = json!(kind);
    format!("event: {kind}\ndata: {fields}\n\n").into_bytes()
}

fn completed(picture: &[u8]) -> Value {
    let mut fields = described(picture);
    fields["usage"] = usage();
    fields
}

fn described(picture: &[u8]) -> Value {
    json!({"b64_json": BASE64.encode(picture), "created_at": 1, "size": "1024x1024", "quality": "low", "background": "opaque",
        "output_format": "png"})
}

fn usage() -> Value {
    json!({"input_tokens": 7, "output_tokens": 272, "total_tokens": 279,
        "input_tokens_details": {"text_tokens": 7, "image_tokens": 0}})
}
