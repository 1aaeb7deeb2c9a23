//! A client of the hub's WebSocket that trusts nothing: each frame is checked against the published schema, and its numbers
//! against those before. Keeps what came for other requests until it is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hearth::gateway::session::wire;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{schema, soon};

static SERVER: LazyLock<Value> = LazyLock::new(|| wire::schemas()["server"].clone());

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// 0: numbers are not looked at.
    version: u8,
    /// v2 only.
    pub session_id: String,
    /// The number of the newest message; 0 before the first.
    pub last_seq: u64,
    /// Came, and was not asked for yet.
    kept: Vec<Value>,
    /// What binary frames have brought so far, by their `stream_id`.
    pub streams: BTreeMap<u32, Stream>,
}

/// The binary frames of one stream, put together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    pub data: Vec<u8>,
    /// Frames so far.
    pub frames: u32,
    /// The bytes that each of them brought.
    pub lengths: Vec<usize>,
    /// The last one has come.
    pub ended: bool,
    /// Of a picture, as it was announced.
    bytes: Option<u64>,
    kind: u64,
}

/// All frames of one request, from `processing` to its end.
#[derive(Debug, Clone)]
pub struct Answer(pub Vec<Value>);

impl Client {
    /// A client that never says `hello`.
    pub async fn v1(address: SocketAddr) -> Client {
        let mut client = Client::connect(address).await;
        let welcome = client.frame().await;
        assert_eq!((&welcome["request_id"], &welcome["status"]), (&json!("welcome"), &json!("complete")));
        assert_eq!(welcome["chunk"]["metadata"]["protocol"], json!([1, 2]));
        client
    }

    /// A client that has said `hello` and takes every feature.
    pub async fn v2(address: SocketAddr) -> Client {
        let mut client = Client::v1(address).await;
        client.upgrade(&json!({"protocol": [2]})).await;
        client
    }

    /// Says `hello`.
    pub async fn upgrade(&mut self, payload: &Value) {
        self.version = 2;
        self.send(&json!({"action": "hello", "request_id": "hello", "payload": payload})).await;
        let hello = self.frame().await;
        assert_eq!((&hello["request_id"], &hello["status"]), (&json!("hello"), &json!("complete")));
        self.session_id = hello["chunk"]["metadata"]["session_id"].as_str().expect("a session has an id").into();
    }

    /// A client that has said `hello` and takes pictures and sound within its messages.
    pub async fn v2_without_binary(address: SocketAddr) -> Client {
        let mut client = Client::v1(address).await;
        client.upgrade(&json!({"protocol": [2], "features": ["resume", "reasoning"]})).await;
        client
    }

    /// What a chunk of a picture or of sound holds: its own base64, or the frames of its stream so far.
    pub fn data_of(&self, chunk: &Value) -> Vec<u8> {
        match chunk["data"].as_str() {
            Some(base64) => STANDARD.decode(base64).expect("base64"),
            None => {
                let stream_id = chunk["metadata"]["stream_id"].as_u64().expect("a stream or base64");
                self.streams[&(stream_id as u32)].data.clone()
            }
        }
    }

    /// A client that comes back to its session; the answer to `resume` is among the frames to come.
    pub async fn resume(address: SocketAddr, session_id: &str, last_seq: u64) -> Client {
        let mut client = Client::v1(address).await;
        (client.version, client.session_id, client.last_seq) = (2, session_id.into(), last_seq);
        let payload = json!({"session_id": session_id, "last_seq": last_seq});
        client.send(&json!({"action": "resume", "request_id": "resume", "payload": payload})).await;
        client
    }

    async fn connect(address: SocketAddr) -> Client {
        Client::open(address, &[]).await.expect("the hub takes a WebSocket")
    }

    /// A client whose handshake says more; it has heard nothing yet. An error: the status of the refusal.
    pub async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
        let stream = soon("a connection", TcpStream::connect(address)).await.expect("the hub listens");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        let mut request = format!("ws://{address}/ws/chat").into_client_request().expect("an address");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header's value"));
        }
        let (socket, _) = match soon("the handshake", client_async(request, stream)).await {
            Ok(opened) => opened,
            Err(Error::Http(refused)) => return Err(refused.status().as_u16()),
            Err(error) => panic!("neither a WebSocket nor a refusal: {error}"),
        };
        Ok(Client {
            socket,
            version: 1,
            session_id: String::new(),
            last_seq: 0,
            kept: Vec::new(),
            streams: BTreeMap::new(),
        })
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        soon("room on the socket", self.socket.send(message)).await.expect("an open socket");
    }

    /// Puts bytes on the connection as they are, beside the WebSocket. The hub may hang up on them.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let stream = self.socket.get_mut();
        let _ = soon("room on the connection", stream.write_all(bytes)).await;
    }

    /// Asks; the answer comes with [`Client::answer`].
    pub async fn ask(&mut self, id: &str, text: &str) {
        self.ask_with(id, text, json!({})).await;
    }

    /// Asks with further wishes.
    pub async fn ask_with(&mut self, id: &str, text: &str, mut payload: Value) {
        payload["text"] = text.into();
        self.send(&json!({"action": "chat", "request_id": id, "payload": payload})).await;
    }

    /// Asks and gets the whole answer.
    pub async fn chat(&mut self, id: &str, text: &str) -> Answer {
        self.ask(id, text).await;
        self.answer(id).await
    }

    /// Asks with further wishes and gets the whole answer.
    pub async fn chat_with(&mut self, id: &str, text: &str, payload: Value) -> Answer {
        self.ask_with(id, text, payload).await;
        self.answer(id).await
    }

    /// Stops a request; says whether it ran.
    pub async fn cancel(&mut self, target: &str) -> bool {
        self.send(&json!({"action": "cancel", "request_id": "cancel", "payload": {"target": target}})).await;
        let frame = self.one("cancel").await;
        assert_eq!((&frame["status"], &frame["chunk"]["metadata"]["target"]), (&json!("complete"), &json!(target)));
        frame["chunk"]["metadata"]["cancelled"].as_bool().expect("true or false")
    }

    /// The next frame of this request.
    pub async fn one(&mut self, id: &str) -> Value {
        loop {
            if let Some(at) = self.kept.iter().position(|frame| frame["request_id"] == id) {
                return self.kept.remove(at);
            }
            let frame = self.frame().await;
            self.kept.push(frame);
        }
    }

    /// Reads until this much text has come for the request. The frames stay for [`Client::answer`].
    pub async fn until_text(&mut self, id: &str, text: &str) {
        while self.text_so_far(id) != text {
            let so_far = self.text_so_far(id);
            assert!(text.starts_with(&so_far), "{so_far:?} is no beginning of {text:?}");
            let frame = self.frame().await;
            self.kept.push(frame);
        }
    }

    fn text_so_far(&self, id: &str) -> String {
        text(self.kept.iter().filter(|frame| frame["request_id"] == id))
    }

    /// All frames of this request, from the first to the last, as soon as its end has come.
    pub async fn answer(&mut self, id: &str) -> Answer {
        let answer = self.rest(id).await;
        answer.check();
        answer
    }

    /// The frames of this request that were not taken yet, as soon as its end has come.
    pub async fn rest(&mut self, id: &str) -> Answer {
        let is_end = |frame: &Value| frame["request_id"] == id && is_end(frame);
        while !self.kept.iter().any(is_end) {
            let frame = self.frame().await;
            self.kept.push(frame);
        }
        let (mut mine, mut others, mut ended) = (Vec::new(), Vec::new(), false);
        for frame in self.kept.drain(..) {
            if frame["request_id"] == id && !ended {
                ended = is_end(&frame);
                mine.push(frame);
            } else {
                others.push(frame);
            }
        }
        self.kept = others;
        Answer(mine)
    }

    /// What has come and was asked for by nobody.
    pub fn left_over(&self) -> &[Value] {
        &self.kept
    }

    /// The next frame, checked.
    pub async fn frame(&mut self) -> Value {
        loop {
            let message = soon("a frame", self.socket.next()).await.expect("an open socket").expect("a whole frame");
            match message {
                Message::Text(text) => return self.checked(&text),
                Message::Binary(bytes) => self.binary(&bytes),
                Message::Close(why) => panic!("the hub closed the socket: {why:?}"),
                _ => {}
            }
        }
    }

    /// The next frame, whatever number it has; those after it go on from there.
    pub async fn unnumbered(&mut self) -> Value {
        let (version, last_seq) = (std::mem::replace(&mut self.version, 0), self.last_seq);
        let frame = self.frame().await;
        self.version = version;
        self.last_seq = frame["seq"].as_u64().unwrap_or(last_seq);
        frame
    }

    fn checked(&mut self, text: &str) -> Value {
        let frame: Value = serde_json::from_str(text).expect("a frame is JSON");
        assert_eq!(schema::problems(&SERVER["frame"], &frame), [] as [String; 0], "{frame}");
        self.announced(&frame);
        let (chunk, error) = (frame.get("chunk").is_some(), frame.get("error").is_some());
        let has = match frame["status"].as_str().expect("the schema says so") {
            "processing" => (frame.get("seq").is_some(), false),
            "error" => (false, true),
            "event" => (false, false),
            _ => (true, false),
        };
        assert_eq!((chunk, error), has, "{frame}");
        match self.version {
            1 => {
                assert!(
                    frame.get("seq").is_none() && frame["chunk"].get("index").is_none(),
                    "v1 has no numbers: {frame}"
                );
            }
            2 => {
                assert_eq!(frame["seq"], self.last_seq + 1, "a gap: {frame}");
                self.last_seq += 1;
            }
            _ => {}
        }
        frame
    }

    /// Checks what is said of pictures and sound, and expects the frames that are announced.
    fn announced(&mut self, frame: &Value) {
        let metadata = &frame["chunk"]["metadata"];
        let kind = match frame["chunk"]["type"].as_str() {
            Some(kind @ ("image" | "audio")) => kind,
            Some(kind @ ("tool_call" | "tool_result")) => kind,
            _ if metadata["progress"]["stage"] == "tool" => "tool_progress",
            _ if metadata.get("progress").is_some() => "progress",
            _ if metadata.get("confirm").is_some() => "confirm",
            _ if metadata.get("result").is_some() => "tool",
            _ => return,
        };
        // A piece of a sentence that has begun has no more than its place.
        if metadata.get("mime").is_some() || kind != "audio" {
            assert_eq!(schema::problems(&SERVER["metadata"][kind], metadata), [] as [String; 0], "{frame}");
        }
        let Some(stream_id) = metadata["stream_id"].as_u64() else { return };
        assert!(frame["chunk"]["data"].is_null() && self.version == 2, "{frame}");
        let stream = self.streams.entry(stream_id as u32).or_default();
        stream.kind = SERVER["binary"]["kinds"][kind].as_u64().expect("every kind has a number");
        stream.bytes = metadata["bytes"].as_u64();
    }

    fn binary(&mut self, bytes: &[u8]) {
        let published = &SERVER["binary"];
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let limit = |name: &str| published[name].as_u64().expect("a number") as usize;
        assert!((limit("header_bytes")..=limit("frame_bytes_max")).contains(&bytes.len()), "{}", bytes.len());
        let (first, last) = (published["flags"]["first"].as_u64(), published["flags"]["last"].as_u64());
        let has = |flag: Option<u64>| u64::from(bytes[2]) & flag.expect("a flag") > 0;
        let stream = self.streams.get_mut(&number(4)).expect("a frame of a stream that was announced");
        assert_eq!((u64::from(bytes[0]), u64::from(bytes[1])), (published["version"].as_u64().unwrap(), stream.kind));
        // After a resume some come twice.
        if number(8) < stream.frames {
            return;
        }
        assert_eq!((number(8), has(first)), (stream.frames, stream.frames == 0), "in order, and the first says so");
        assert!(!stream.ended, "after the last");
        stream.frames += 1;
        let payload = &bytes[limit("header_bytes")..];
        stream.data.extend_from_slice(payload);
        stream.lengths.push(payload.len());
        stream.ended = has(last);
        let is_whole = stream.bytes.is_none_or(|bytes| (stream.data.len() as u64 == bytes) == stream.ended);
        assert!(is_whole, "{} bytes of {:?}", stream.data.len(), stream.bytes);
    }

    /// Reads to the end; gives the code of the close frame, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match soon("the end of the socket", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame = self.checked(&text);
                    self.kept.push(frame);
                }
                Some(Ok(Message::Close(why))) => return why.map(|why| why.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Leaves without a goodbye: RST.
    pub fn abort(self) {
        self.socket.get_ref().set_zero_linger().expect("an open socket takes options");
    }
}

impl Answer {
    /// First `processing`, then chunks in order, then one end.
    fn check(&self) {
        let (first, rest) = self.0.split_first().expect("an answer has an end");
        let Some((end, chunks)) = rest.split_last() else {
            assert_eq!(first["status"], "error", "{first}");
            return;
        };
        assert_eq!(first["status"], "processing");
        for (at, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk["status"], "chunk");
            assert!(chunk.get("seq").is_none() || chunk["chunk"]["index"] == at, "out of order: {chunk}");
        }
        assert!(is_end(end));
    }

    pub fn text(&self) -> String {
        text(self.0.iter())
    }

    /// The chunks of this type.
    pub fn chunks(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().map(|frame| &frame["chunk"]).filter(|chunk| chunk["type"] == kind).collect()
    }

    /// What the user is told beside the answer; v2 only.
    pub fn notices(&self) -> Vec<String> {
        let notices = self.0.iter().filter(|frame| frame["chunk"]["type"] == "notice");
        notices.map(|frame| frame["chunk"]["data"].as_str().expect("a notice is text").to_owned()).collect()
    }

    /// The last frame.
    pub fn end(&self) -> &Value {
        self.0.last().expect("an answer has an end")
    }

    /// The code of the error that it ended with.
    pub fn code(&self) -> &str {
        self.end()["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {}", self.end()))
    }

    pub fn message(&self) -> &str {
        self.end()["error"]["message"].as_str().expect("an error has a message")
    }

    pub fn retryable(&self) -> bool {
        self.end()["error"]["retryable"].as_bool().expect("the schema says so")
    }

    /// Of the `complete` that it ended with.
    pub fn metadata(&self) -> &Value {
        assert_eq!(self.end()["status"], "complete", "{}", self.end());
        &self.end()["chunk"]["metadata"]
    }

    pub fn provider(&self) -> &str {
        self.metadata()["provider"].as_str().expect("an answer has a provider")
    }
}

fn is_end(frame: &Value) -> bool {
    frame["status"] == "complete" || frame["status"] == "error"
}

fn text<'a>(frames: impl Iterator<Item = &'a Value>) -> String {
    let chunks = frames.filter(|frame| frame["status"] == "chunk" && frame["chunk"]["type"] == "text");
    chunks.map(|frame| frame["chunk"]["data"].as_str().expect("text is a string")).collect()
}
