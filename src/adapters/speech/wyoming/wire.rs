//! The Wyoming protocol, as far as speaking needs it (rhasspy/wyoming, README "Format" and "Event Types"): a line of JSON,
//! then as many bytes of further JSON and of payload as the line says. Bytes in, events out; knows no socket.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::adapters::speech::pcm::Form;
use crate::common::error::{Failure, ProviderError};

/// The longest line, bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The longest data of an event, bytes. A server with two hundred voices tells of them in some 200 KiB.
pub const DATA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest payload of an event, bytes: servers send sound in pieces of some KiB.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What a server says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `audio-start`: the form of what follows.
    Start(Form),
    /// `audio-chunk`.
    Sound { form: Form, samples: Bytes },
    /// `audio-stop`: the end of what was to be spoken.
    Stop,
    /// `info`: the voices, those that are there before those that would have to be fetched.
    Voices(Vec<VoiceInfo>),
    /// `error`, in the server's words.
    Error(String),
    /// Something that speaking does not need.
    Other,
}

/// A voice of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VoiceInfo {
    pub name: String,
    #[serde(default)]
    pub languages: Vec<String>,
    #[serde(default = "yes")]
    installed: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    data_length: Option<usize>,
    #[serde(default)]
    payload_length: Option<usize>,
}

/// Cuts a stream of bytes, in pieces of any size, into events.
#[derive(Debug, Default)]
pub struct Parser {
    held: BytesMut,
    /// How much of `held` is known to have no line's end.
    looked: usize,
    /// The line whose data and payload have not all come.
    line: Option<Line>,
    /// After this nothing can be read.
    broken: Option<ProviderError>,
}

impl Parser {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The next event; `None` when more bytes are needed. After an error every further call says it again.
    pub fn next_event(&mut self) -> Result<Option<Event>, ProviderError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        self.read().inspect_err(|error| {
            self.broken = Some(error.clone());
            self.held = BytesMut::new();
        })
    }

    fn read(&mut self) -> Result<Option<Event>, ProviderError> {
        let line = match self.line.take() {
            Some(line) => line,
            None => match self.line()? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        let (data_len, payload_len) = (line.data_length.unwrap_or(0), line.payload_length.unwrap_or(0));
        if self.held.len() < data_len + payload_len {
            self.line = Some(line);
            return Ok(None);
        }
        let mut data = line.data.unwrap_or_default();
        if data_len > 0 {
            let more = self.held.split_to(data_len);
            let more: Map<String, Value> =
                serde_json::from_slice(&more).map_err(|error| bad(format!("data that are no JSON object: {error}")))?;
            data.extend(more);
        }
        let payload = self.held.split_to(payload_len).freeze();
        event(&line.kind, data, payload).map(Some)
    }

    fn line(&mut self) -> Result<Option<Line>, ProviderError> {
        let end = memchr::memchr(b'\n', &self.held[self.looked..]).map(|at| self.looked + at);
        if end.unwrap_or(self.held.len()) > LINE_BYTES_MAX {
            return Err(bad(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        let Some(end) = end else {
            self.looked = self.held.len();
            return Ok(None);
        };
        self.looked = 0;
        let text = self.held.split_to(end);
        self.held.advance(1);
        let line: Line =
            serde_json::from_slice(&text).map_err(|error| bad(format!("a line that is no event: {error}")))?;
        if line.data_length > Some(DATA_BYTES_MAX) || line.payload_length > Some(PAYLOAD_BYTES_MAX) {
            return Err(bad(format!(
                "an event of more than {DATA_BYTES_MAX} bytes of data or {PAYLOAD_BYTES_MAX} of sound"
            )));
        }
        Ok(Some(line))
    }
}

fn event(kind: &str, data: Map<String, Value>, payload: Bytes) -> Result<Event, ProviderError> {
    Ok(match kind {
        "audio-start" => Event::Start(form(&data)?),
        "audio-chunk" => Event::Sound { form: form(&data)?, samples: payload },
        "audio-stop" => Event::Stop,
        "info" => Event::Voices(voices(&data)),
        "error" => {
            let text = data.get("text").and_then(Value::as_str).unwrap_or("an error without a word about it");
            Event::Error(text.to_owned())
        }
        _ => Event::Other,
    })
}

fn form(data: &Map<String, Value>) -> Result<Form, ProviderError> {
    let number = |field: &str| data.get(field).and_then(Value::as_u64);
    let small = |field: &str| number(field).and_then(|number| u16::try_from(number).ok());
    let form = (|| {
        let rate_hz = number("rate").and_then(|rate| u32::try_from(rate).ok())?;
        Some(Form { rate_hz, width_bytes: small("width")?, channels: small("channels")? })
    })();
    form.ok_or_else(|| bad("sound without rate, width and channels".to_owned()))
}

/// `data.tts[].voices[]`; what is not of this shape is passed over.
fn voices(data: &Map<String, Value>) -> Vec<VoiceInfo> {
    let programs = data.get("tts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let voices = programs.iter().filter_map(|program| program["voices"].as_array()).flatten();
    let mut voices: Vec<VoiceInfo> = voices.filter_map(|voice| VoiceInfo::deserialize(voice).ok()).collect();
    voices.sort_by_key(|voice| !voice.installed);
    voices
}

fn bad(what: String) -> ProviderError {
    ProviderError::new(Failure::BadStream, format!("this is no Wyoming server: it sent {what}"))
}

/// Asks for the voices.
pub fn describe() -> Vec<u8> {
    write("describe", None)
}

/// Asks for words to be spoken: by the voice of this name, or one of this language, or the server's first.
pub fn synthesize(text: &str, name: Option<&str>, language: Option<&str>) -> Vec<u8> {
    let mut data = json!({ "text": text });
    match (name, language) {
        (Some(name), _) => data["voice"] = json!({ "name": name }),
        (None, Some(language)) => data["voice"] = json!({ "language": language }),
        (None, None) => {}
    }
    write("synthesize", Some(&data))
}

fn write(kind: &str, data: Option<&Value>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data_length: Option<usize>,
    }
    let data = data.map(Value::to_string);
    let head = Head { kind, data_length: data.as_ref().map(String::len) };
    let mut bytes = serde_json::to_vec(&head).expect("a word and a number are JSON");
    bytes.push(b'\n');
    bytes.extend_from_slice(data.unwrap_or_default().as_bytes());
    bytes
}

/// The voice that speaks a language: by the whole tag, or else by its first part.
pub fn voice_for<'a>(voices: &'a [VoiceInfo], lang: &str) -> Option<&'a str> {
    let plain = |tag: &str| tag.replace('_', "-").to_ascii_lowercase();
    let wanted = plain(lang);
    let first = |tag: &str| tag.split('-').next().unwrap_or_default().to_owned();
    let exact = |voice: &&VoiceInfo| voice.languages.iter().any(|one| plain(one) == wanted);
    let near = |voice: &&VoiceInfo| voice.languages.iter().any(|one| first(&plain(one)) == first(&wanted));
    let found = voices.iter().find(exact).or_else(|| voices.iter().find(near))?;
    Some(&found.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form { rate_hz: 22_050, width_bytes: 2, channels: 1 };

    fn read(bytes: &[u8], piece_len: usize) -> (Vec<Event>, Option<ProviderError>) {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(piece_len) {
            parser.push(piece);
            loop {
                match parser.next_event() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Some(error)),
                }
            }
        }
        (events, None)
    }

    #[test]
    fn an_answer_in_any_pieces() {
        let data = r#"{"rate": 22050, "width": 2, "channels": 1, "timestamp": null}"#;
        let len = data.len();
        let stream = [
            format!("{{\"type\": \"audio-start\", \"version\": \"1.10.2\", \"data_length\": {len}}}\n{data}")
                .as_bytes(),
            format!("{{\"type\": \"audio-chunk\", \"data_length\": {len}, \"payload_length\": 4}}\n{data}\n\n\0\x01")
                .as_bytes(),
            // As older servers write it: the data within the line.
            format!("{{\"type\": \"audio-chunk\", \"data\": {data}, \"payload_length\": 0}}\n").as_bytes(),
            b"{\"type\": \"pong\", \"data\": {}}\n{\"type\": \"audio-stop\"}\n",
        ]
        .concat();
        let sound = |samples: &'static [u8]| Event::Sound { form: FORM, samples: Bytes::from_static(samples) };
        let want = [Event::Start(FORM), sound(b"\n\n\0\x01"), sound(b""), Event::Other, Event::Stop];
        for piece_len in [1, 2, 9, 1000] {
            assert_eq!(read(&stream, piece_len), (want.to_vec(), None), "pieces of {piece_len}");
        }
    }

    #[test]
    fn voices_and_errors() {
        let info = r#"{"type":"info","data":{"tts":[{"name":"piper","voices":[
            {"name":"far","languages":["de_DE"],"installed":false},
            {"name":"near","languages":["de"],"installed":true},
            {"name":"british","languages":["en_GB"]}, {"odd":1}]}]}}"#;
        let (events, _) = read(format!("{}\n", info.replace('\n', " ")).as_bytes(), 50);
        let [Event::Voices(voices)] = &events[..] else { panic!("{events:?}") };
        let names: Vec<_> = voices.iter().map(|voice| voice.name.as_str()).collect();
        assert_eq!(names, ["near", "british", "far"]);
        assert_eq!(voice_for(voices, "de-AT"), Some("near"));
        assert_eq!(voice_for(voices, "de-DE"), Some("far"));
        assert_eq!(voice_for(voices, "en"), Some("british"));
        assert_eq!(voice_for(voices, "fr"), None);
        let (events, _) =
            read(b"{\"type\":\"error\",\"data\":{\"text\":\"No such voice\"}}\n{\"type\":\"error\"}\n", 7);
        assert_eq!(events[0], Event::Error("No such voice".into()));
    }

    #[test]
    fn what_is_asked() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        insta::assert_snapshot!(text(describe()), @r#"{"type":"describe"}
"#);
        insta::assert_snapshot!(text(synthesize("Grüß\n\"dich\"", Some("v"), Some("de"))), @r#"
        {"type":"synthesize","data_length":48}
        {"text":"Grüß\n\"dich\"","voice":{"name":"v"}}
        "#);
    }

    #[test]
    fn what_goes_over_a_limit_or_is_no_event_is_refused_for_good() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        for stream in [
            long.as_str(),
            "HTTP/1.1 400 Bad Request\r\n",
            "[]\n",
            "{\"type\":\"audio-chunk\",\"payload_length\":1048577}\n",
            "{\"type\":\"info\",\"data_length\":99999999999999}\n",
            "{\"type\":\"info\",\"data_length\":-1}\n",
            "{\"type\":\"info\",\"data_length\":2}\n[]",
            "{\"type\":\"audio-start\",\"data\":{\"rate\":22050}}\n",
            "{\"type\":\"audio-start\",\"data\":{\"rate\":22050,\"width\":99999,\"channels\":1}}\n",
        ] {
            let mut parser = Parser::default();
            parser.push(stream.as_bytes());
            let error = parser.next_event().expect_err("no event");
            assert_eq!(error.failure, Failure::BadStream);
            parser.push(b"{\"type\":\"audio-stop\"}\n");
            assert_eq!(parser.next_event(), Err(error), "it stays so");
        }
    }
}
