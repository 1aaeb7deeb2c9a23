//! The frames of the WebSocket protocol, both ways: parsed from a client's text, written for it. Knows no session: which
//! frame follows which is `state`'s business. `docs/PROTOCOL.md` is the same in words.

mod events;
mod tools;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::common::chat::Progress;
use crate::common::error::ErrorBody;
use crate::common::ids::REQUEST_ID_BYTES_MAX;
use crate::common::speech::AudioFormat;
use crate::common::time::UnixMillis;
use crate::common::who::Role;
use crate::gateway::session::media::{FIRST, FRAME_BYTES_MAX, HEADER_BYTES, Kind, LAST, VERSION};
use crate::router::Mode;

pub use events::{Event, Subscribe, Unsubscribe};
pub use tools::{
    Answer, AnswerAction, Confirm, ConfirmAsk, ConfirmMetadata, ElicitAsk, ElicitMetadata, Step, StepMetadata, Tool,
    ToolCallMetadata, ToolCallPiece, ToolMetadata, ToolResult, ToolResultHead, ToolResultMetadata,
};

/// The versions that the hub speaks.
pub const VERSIONS: [u64; 2] = [1, 2];

/// The subprotocol by which a client asks for v2 in the handshake.
pub const SUBPROTOCOL_V2: &str = "hearth.v2";

/// What stands before a ticket that a client shows in the handshake as a subprotocol.
pub const SUBPROTOCOL_AUTH: &str = "hearth.auth.";

/// The longest `t` of a `ping`, bytes of JSON.
pub const PING_BYTES_MAX: usize = 1024;

/// What is shown of a client's own words in a message about them, bytes. The client has them; a log may not want them.
const SHOWN_BYTES_MAX: usize = 200;

/// Features that the hub has; a `hello` picks among them.
pub const FEATURES: [&str; 6] = ["resume", "reasoning", BINARY, EVENTS, CONFIRM, ELICIT];

/// The feature without which there is no `subscribe`.
pub const EVENTS: &str = "events";

/// The feature that a client must name: one that cannot answer must not be waited for.
pub const CONFIRM: &str = "confirm";

/// The same for what tools ask back.
pub const ELICIT: &str = "elicit";

/// The feature that a client must have said `hello` for: one that cannot take binary frames must never get any.
pub const BINARY: &str = "binary";

/// Attachments of one chat.
pub const ATTACHMENTS_MAX: usize = 8;

/// What a client sends. Unknown fields are ignored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ClientFrame<'a> {
    /// What is wanted: `hello`, `auth`, `chat`, `image`, `speak`, `tool`, `subscribe`, `unsubscribe`, `confirm`, `answer`, `cancel`,
    /// `resume`, `ping`.
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    /// The client's own name for this request, 1 to 128 bytes; all answers carry it.
    #[serde(borrow, default)]
    pub request_id: Option<Cow<'a, str>>,
    /// By action; see the other schemas.
    #[serde(borrow, default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub payload: Option<&'a RawValue>,
}

/// `hello`: the client speaks v2.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Hello {
    /// The versions that the client speaks.
    pub protocol: Vec<u64>,
    #[serde(default)]
    pub client: Option<ClientInfo>,
    /// Absent: all that the hub has.
    #[serde(default)]
    pub features: Option<Vec<String>>,
}

/// Who the client is; shown in logs.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ClientInfo {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
    /// BCP 47, such as `en` or `zh-CN`.
    #[serde(default)]
    pub lang: Option<String>,
    /// IANA, such as `Europe/Paris`.
    #[serde(default)]
    pub tz: Option<String>,
    /// The room that the client stands in.
    #[serde(default)]
    pub room: Option<String>,
}

/// `auth`: who the client is, where the hub asks and the handshake did not say.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Auth {
    /// `hth_` and 43 characters.
    Token { token: String },
    /// What `POST /api/v1/tickets` gave, good once.
    Ticket { ticket: String },
}

/// `chat`: a question to the AI.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
pub struct Chat {
    pub text: String,
    /// 1 to 64 of `[A-Za-z0-9_-]`; absent: the session's own conversation.
    #[serde(default)]
    pub conversation_id: Option<String>,
    /// A model profile; absent: `default`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Ask this provider and nobody else.
    #[serde(default)]
    pub provider: Option<String>,
    /// A model of the first provider asked.
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Pictures and sound for the model to look at.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub attachments: Vec<Attachment>,
    /// Absent: the answer is not spoken.
    #[serde(default)]
    pub voice: Option<Voice>,
}

/// A picture or a sound: either `mime` and `data`, or `blob_id`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
pub struct Attachment {
    /// `image/png`, `image/jpeg`, `image/webp`, `image/gif`, `audio/wav`, `audio/mpeg`.
    #[serde(default)]
    pub mime: Option<String>,
    /// Base64 (RFC 4648 §4).
    #[serde(default)]
    pub data: Option<String>,
    /// What `POST /api/v1/blobs` answered.
    #[serde(default)]
    pub blob_id: Option<String>,
}

/// How an answer is to be spoken.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
pub struct Voice {
    #[serde(default)]
    pub speak: bool,
    /// See `speak`.
    #[serde(default)]
    pub voice: Option<String>,
    #[serde(default)]
    pub lang: Option<String>,
    #[serde(default)]
    pub format: Option<AudioFormat>,
}

/// `image`: pictures to be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Image {
    pub prompt: String,
    /// `1024x1024`, `1536x1024`, `auto`, or an aspect ratio such as `16:9`.
    #[serde(default)]
    pub size: Option<String>,
    /// How many; absent: 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4))]
    pub n: Option<u32>,
    #[serde(default)]
    pub quality: Option<Quality>,
    /// Previews of each, where the provider has them; absent: none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3))]
    pub partial_images: Option<u32>,
    /// Ask this provider and nobody else.
    #[serde(default)]
    pub provider: Option<String>,
    /// A model of the first provider asked.
    #[serde(default)]
    pub model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    Low,
    Medium,
    High,
    Auto,
}

impl Quality {
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Low => "low",
            Quality::Medium => "medium",
            Quality::High => "high",
            Quality::Auto => "auto",
        }
    }
}

/// `speak`: words to be spoken.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Speak {
    pub text: String,
    /// A voice's own name, or `espeak`, `openai`, `gemini`, `wyoming`, or such a word, a slash and a name.
    #[serde(default)]
    pub voice: Option<String>,
    /// BCP 47, such as `de` or `zh-CN`.
    #[serde(default)]
    pub lang: Option<String>,
    /// Absent: `pcm`.
    #[serde(default)]
    pub format: Option<AudioFormat>,
}

/// `cancel`: stop a running request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Cancel {
    /// The request_id to stop.
    pub target: String,
}

/// `resume`: take over a session whose socket was lost.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Resume {
    pub session_id: String,
    /// The highest `seq` that the client has.
    pub last_seq: u64,
}

/// `ping`: how far away the hub is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Ping {
    /// Anything of the client's, given back as it was.
    #[serde(default)]
    pub t: Value,
}

/// What the hub sends.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerFrame<'a> {
    /// The request that this answers; null where the hub could not read it.
    pub request_id: Option<&'a str>,
    pub status: Status,
    /// v2: counts every message of the session from 1 without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// With `chunk` and `complete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk: Option<Chunk<'a>>,
    /// With `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a ErrorBody>,
    /// With `event`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Processing,
    Chunk,
    Complete,
    Error,
    /// Something changed that the client has subscribed to; `request_id` is that of the `subscribe`.
    Event,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Chunk<'a> {
    #[serde(rename = "type")]
    pub kind: ChunkType,
    /// Text of this piece; of a picture and of sound the base64, or null where binary frames hold it; null with `metadata` and
    /// `tool_call`.
    pub data: Option<&'a str>,
    /// v2: counts the chunks of one request from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    pub metadata: &'a Map<String, Value>,
}

/// What a chunk is. A client ignores the types that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChunkType {
    Text,
    /// The model's thinking.
    Reasoning,
    /// A piece of a tool call of the model's: `data` is null.
    ToolCall,
    /// What the hub got from that tool.
    ToolResult,
    /// A picture, or a preview of one.
    Image,
    /// A sentence begins, or, without binary frames, a piece of one.
    Audio,
    /// For the user's eyes, and no part of the answer.
    Notice,
    Metadata,
}

/// The metadata of an `image` chunk.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ImageMetadata<'a> {
    pub mime: &'a str,
    /// Which picture of the request, from 0. One of the same number before it is replaced.
    pub image: u32,
    /// A preview: another of the same number follows.
    pub partial: bool,
    pub bytes: usize,
    /// The binary frames that hold it; absent where `data` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<u32>,
}

/// The metadata of the `complete` of an `auth`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuthMetadata<'a> {
    pub user: &'a str,
    pub role: Role,
    /// The rooms that may be seen and acted in; null: all.
    pub rooms: Option<Vec<&'a str>>,
    /// When the token ends, milliseconds since 1970; null: not by itself.
    pub expires_at_ms: Option<UnixMillis>,
}

/// The metadata of an `audio` chunk that begins a sentence. Others have `sentence` and `at_ms`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AudioMetadata<'a> {
    pub mime: &'a str,
    pub format: AudioFormat,
    /// Hz.
    pub sample_rate: u32,
    pub channels: u8,
    /// Which sentence of the request, from 0.
    pub sentence: u32,
    /// What is said in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// Where in the request's speech it begins, milliseconds.
    pub at_ms: u32,
    /// The binary frames that hold it, the same for the whole request; absent where `data` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<u32>,
}

/// The metadata of a `metadata` chunk that tells how far the answer is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProgressMetadata {
    #[schemars(with = "Map<String, Value>")]
    pub progress: Progress,
}

/// Why a client's text is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFrame {
    /// The id, where one could be read all the same.
    pub request_id: Option<String>,
    pub why: String,
}

/// Reads a client's frame.
pub fn parse(text: &str) -> Result<ClientFrame<'_>, BadFrame> {
    let frame: ClientFrame = serde_json::from_str(text).map_err(|error| BadFrame {
        request_id: salvage_id(text),
        why: format!("this is no request: {}; one looks like {{\"action\":\"chat\",\"payload\":{{\"text\":\"hello\"}},\"request_id\":\"1\"}}", shown(&error.to_string())),
    })?;
    match &frame.request_id {
        Some(id) if id.is_empty() || id.len() > REQUEST_ID_BYTES_MAX => {
            let why = format!("request_id has {} bytes; 1 to {REQUEST_ID_BYTES_MAX} are possible", id.len());
            Err(BadFrame { request_id: None, why })
        }
        _ => Ok(frame),
    }
}

/// The id of a frame that is JSON and yet no request.
fn salvage_id(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct JustTheId {
        request_id: String,
    }
    let id = serde_json::from_str::<JustTheId>(text).ok()?.request_id;
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()).then_some(id)
}

/// Reads an action's payload; an absent one reads as `{}`.
pub fn payload<'a, T: Deserialize<'a>>(frame: &ClientFrame<'a>) -> Result<T, String> {
    let text = frame.payload.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|error| format!("payload of {:?}: {}", frame.action, shown(&error.to_string())))
}

/// A type of metadata as a chunk carries it.
pub fn metadata(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("metadata is an object: {other:?}"),
    }
}

/// As much of a client's words as a message shows.
pub fn shown(words: &str) -> &str {
    &words[..words.floor_char_boundary(SHOWN_BYTES_MAX)]
}

/// Writes a frame.
pub fn write(frame: &ServerFrame<'_>) -> String {
    serde_json::to_string(frame).expect("strings, numbers and maps with string keys are always JSON")
}

/// Everything above as JSON Schema (2020-12), for `GET /api/protocol.json`.
pub fn schemas() -> Value {
    fn schema<T: JsonSchema>() -> Value {
        schemars::schema_for!(T).to_value()
    }
    serde_json::json!({
        "title": "Hearth WebSocket protocol",
        "endpoint": "/ws/chat",
        "versions": VERSIONS,
        "subprotocols": [SUBPROTOCOL_V2, format!("{SUBPROTOCOL_AUTH}<ticket>")],
        "features": FEATURES,
        "client": {
            "frame": schema::<ClientFrame<'static>>(),
            "actions": {
                "hello": schema::<Hello>(),
                "auth": schema::<Auth>(),
                "chat": schema::<Chat>(),
                "image": schema::<Image>(),
                "speak": schema::<Speak>(),
                "tool": schema::<Tool>(),
                "subscribe": schema::<Subscribe>(),
                "unsubscribe": schema::<Unsubscribe>(),
                "confirm": schema::<Confirm>(),
                "answer": schema::<Answer>(),
                "cancel": schema::<Cancel>(),
                "resume": schema::<Resume>(),
                "ping": schema::<Ping>(),
            },
        },
        "server": {
            "frame": schema::<ServerFrame<'static>>(),
            "metadata": {
                "auth": schema::<AuthMetadata<'static>>(),
                "image": schema::<ImageMetadata<'static>>(),
                "audio": schema::<AudioMetadata<'static>>(),
                "progress": schema::<ProgressMetadata>(),
                "tool": schema::<ToolMetadata<'static>>(),
                "tool_progress": schema::<StepMetadata<'static>>(),
                "tool_call": schema::<ToolCallMetadata<'static>>(),
                "tool_result": schema::<ToolResultMetadata<'static>>(),
                "confirm": schema::<ConfirmMetadata<'static>>(),
                "elicit": schema::<ElicitMetadata<'static>>(),
            },
            "binary": {
                "description": "A header, little-endian, then the payload: version u8, kind u8, flags u8, 0 u8, stream_id u32, index u32, at_ms u32.",
                "version": VERSION,
                "header_bytes": HEADER_BYTES,
                "frame_bytes_max": FRAME_BYTES_MAX,
                "kinds": { "audio": Kind::AudioOut as u8, "image": Kind::Image as u8 },
                "flags": { "first": FIRST, "last": LAST },
            },
        },
        "close_codes": super::close::TABLE.iter().map(|(code, why)| (code.to_string(), Value::from(*why))).collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_request_is_read() {
        let frame =
            parse(r#"{"action":"chat","payload":{"text":"Tell me a joke"},"request_id":"chat-123"}"#).expect("a frame");
        assert_eq!((&*frame.action, frame.request_id.as_deref()), ("chat", Some("chat-123")));
        assert_eq!(payload::<Chat>(&frame).expect("a chat").text, "Tell me a joke");
    }

    #[test]
    fn escapes_and_unknown_fields_are_read() {
        let frame = parse(r#"{"request_id":"a\"ü\n","later":{"x":[1]},"action":"p\u0069ng"}"#).expect("a frame");
        assert_eq!((&*frame.action, frame.request_id.as_deref()), ("ping", Some("a\"ü\n")));
        assert!(payload::<Ping>(&frame).expect("a ping").t.is_null());
    }

    #[test]
    fn what_is_no_frame_is_said_and_the_id_is_saved_where_there_is_one() {
        let long = format!(r#"{{"action":"ping","request_id":"{}"}}"#, "x".repeat(129));
        for (text, id) in [
            ("", None),
            ("{", None),
            ("[]", None),
            ("null", None),
            ("42", None),
            (r#"{"request_id":"7"}"#, Some("7")),
            (r#"{"action":5,"request_id":"7"}"#, Some("7")),
            (r#"{"action":"chat","request_id":7}"#, None),
            (r#"{"action":"chat","request_id":""}"#, None),
            (long.as_str(), None),
        ] {
            let bad = parse(text).expect_err(text);
            assert_eq!(bad.request_id.as_deref(), id, "{text}");
            assert!(!bad.why.is_empty());
        }
    }

    #[test]
    fn a_chunk_of_v1_is_written_as_clients_have_always_read_it() {
        let chunk = Chunk { kind: ChunkType::Text, data: Some(" chicken"), index: None, metadata: &Map::new() };
        let frame = ServerFrame {
            request_id: Some("chat-123"),
            status: Status::Chunk,
            seq: None,
            chunk: Some(chunk),
            error: None,
            event: None,
        };
        assert_eq!(
            write(&frame),
            r#"{"request_id":"chat-123","status":"chunk","chunk":{"type":"text","data":" chicken","metadata":{}}}"#
        );
    }
}
