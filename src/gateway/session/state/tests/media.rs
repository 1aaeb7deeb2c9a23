//! Pictures and sound: announced and in frames, or spelled out; amid everything else; stopped, missed and come again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::*;
use crate::common::chat::{ImagePiece, Media, Progress, Stage};
use crate::common::limits::REPLAY_BYTES_MAX;
use crate::common::speech::{AudioFormat, AudioPiece};
use crate::gateway::session::media::{FIRST, FRAME_BYTES_MAX, HEADER_BYTES, LAST};

const ALL: &str = r#"["resume","binary"]"#;

/// A frame of the client's side.
#[derive(Debug, Clone, PartialEq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream_id: u32,
    index: u32,
    at_ms: u32,
    payload: Bytes,
}

fn frame_of(transmit: &Transmit) -> Option<Frame> {
    let Transmit::Binary(bytes) = transmit else { return None };
    assert!((HEADER_BYTES..=FRAME_BYTES_MAX).contains(&bytes.len()));
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((bytes[0], bytes[3]), (1, 0));
    let (kind, flags, payload) = (bytes[1], bytes[2], bytes.slice(HEADER_BYTES..));
    Some(Frame { kind, flags, stream_id: number(4), index: number(8), at_ms: number(12), payload })
}

impl Played {
    /// Takes everything and forgets it; gives back the frames.
    fn frames(&mut self) -> Vec<Frame> {
        self.drain();
        let frames = self.heard.iter().filter_map(frame_of).collect();
        self.heard.clear();
        frames
    }

    /// `request_id` of each text that was heard, and `stream/index` of each frame, in order.
    fn order(&mut self) -> Vec<String> {
        self.drain();
        let words = self.heard.drain(..).map(|transmit| match &transmit {
            Transmit::Text(text) => parsed(text)["request_id"].as_str().unwrap_or("null").to_owned(),
            Transmit::Binary(_) => {
                frame_of(&transmit).map(|frame| format!("{}/{}", frame.stream_id, frame.index)).expect("one")
            }
            other => format!("{other:?}"),
        });
        words.collect()
    }
}

fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>().into()
}

fn image(index: u32, partial: Option<u32>, data: Bytes) -> News {
    News::Image(Box::new(ImagePiece { index, partial, media: Media { mime: "image/png".into(), data } }))
}

fn sound(sentence: u32, text: Option<&str>, at_ms: u32, last: bool, data: &[u8]) -> News {
    let (text, data) = (text.map(Into::into), Bytes::copy_from_slice(data));
    News::Audio(Box::new(AudioPiece { format: AudioFormat::Pcm, sentence, text, at_ms, last, data }))
}

fn picture_chunk(texts: &[String]) -> Value {
    let chunks: Vec<_> =
        texts.iter().map(|text| parsed(text)).filter(|frame| frame["chunk"]["type"] == "image").collect();
    let [chunk] = chunks.try_into().expect("one picture");
    chunk
}

#[test]
fn a_picture_is_announced_and_follows_in_frames() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    let whole = bytes(2 * FRAME_BYTES_MAX);
    played.heard.clear();
    let texts = played.news(key, image(0, Some(1), bytes(9)));
    let metadata = json!({"mime":"image/png","image":0,"partial":true,"bytes":9,"stream_id":1});
    assert_eq!(parsed(&texts[0])["chunk"], json!({"type":"image","data":null,"index":0,"metadata":metadata}));
    assert!(texts[0].starts_with(r#"{"request_id":"a","status":"chunk","seq":3,"#), "{}", texts[0]);
    let [preview] = played.frames().try_into().expect("one frame");
    let expected = Frame { kind: 3, flags: FIRST | LAST, stream_id: 1, index: 0, at_ms: 0, payload: bytes(9) };
    assert_eq!(preview, expected);
    let texts = played.news(key, image(0, None, whole.clone()));
    assert_eq!(parsed(&texts[0])["chunk"]["metadata"]["stream_id"], 2, "each has its own");
    let frames = played.frames();
    let marks: Vec<_> = frames.iter().map(|frame| (frame.stream_id, frame.index, frame.flags)).collect();
    assert_eq!(marks, [(2, 0, FIRST), (2, 1, 0), (2, 2, LAST)]);
    assert_eq!(frames.iter().flat_map(|frame| frame.payload.to_vec()).collect::<Vec<_>>(), whole);
    assert_eq!(parsed(&played.text(key, "after")[0])["chunk"]["index"], 2);
}

#[test]
fn without_binary_and_in_v1_a_picture_is_spelled() {
    for (mut played, index) in
        [(Played::v1(), Value::Null), (Played::v2("[]"), json!(0)), (Played::new(true), json!(0))]
    {
        let key = played.chat("a");
        for len in [0, 5, 300_000, 8_000_000] {
            let data = bytes(len);
            let chunk = picture_chunk(&played.news(key, image(3, None, data.clone())))["chunk"].take();
            if len == 0 {
                assert_eq!(chunk.get("index").unwrap_or(&Value::Null), &index);
            }
            assert_eq!(chunk["metadata"], json!({"mime":"image/png","image":3,"partial":false,"bytes":len}));
            assert_eq!(STANDARD.decode(chunk["data"].as_str().expect("base64")).expect("base64"), data);
        }
        assert_eq!(played.heard.iter().filter_map(frame_of).count(), 0);
    }
}

#[test]
fn who_never_said_hello_never_gets_a_binary_frame() {
    let mut played = Played::new(true);
    let welcome = parsed(&text_of(&played.heard[0]).expect("a welcome"));
    assert_eq!(welcome["chunk"]["metadata"]["features"], json!(["resume", "reasoning", "events"]));
    let key = played.chat("a");
    played.news(key, sound(0, Some("Hi."), 0, true, &[1, 2]));
    assert_eq!(played.heard.iter().filter_map(frame_of).count(), 0);
    played.say(r#"{"action":"hello","payload":{"protocol":[2]}}"#);
    played.news(key, sound(0, None, 50, true, &[3, 4]));
    let frames = played.frames();
    assert_eq!(frames.len(), 1, "from now on");
}

#[test]
fn speech_is_announced_by_sentences_and_is_one_stream() {
    let mut played = Played::v2(ALL);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.heard.clear();
    let texts = played.news(a, sound(0, Some("One."), 0, false, &[1, 1]));
    let metadata = json!({"mime":"audio/pcm;rate=24000;channels=1;encoding=s16le","format":"pcm","sample_rate":24000,
        "channels":1,"sentence":0,"text":"One.","at_ms":0,"stream_id":1});
    assert_eq!(parsed(&texts[0])["chunk"], json!({"type":"audio","data":null,"index":0,"metadata":metadata}));
    assert_eq!(played.news(a, sound(0, None, 50, false, &[2, 2])), [""; 0], "frames alone");
    played.text(a, "Two");
    played.news(b, sound(0, Some("Other."), 0, false, &[9, 9]));
    let texts = played.news(a, sound(1, Some("Two."), 100, false, &[3, 3]));
    assert_eq!(parsed(&texts[0])["chunk"]["metadata"]["stream_id"], 1);
    assert_eq!(played.news(a, sound(1, None, 150, true, &[])), [""; 0]);
    let frames = played.frames();
    let marks: Vec<_> = frames.iter().map(|frame| (frame.stream_id, frame.index, frame.flags, frame.at_ms)).collect();
    assert_eq!(marks, [(1, 0, FIRST, 0), (1, 1, 0, 50), (2, 0, FIRST, 0), (1, 2, 0, 100), (1, 3, LAST, 150)]);
    assert!(frames.iter().all(|frame| frame.kind == 1));
}

#[test]
fn without_binary_every_piece_of_speech_is_a_chunk() {
    for mut played in [Played::v1(), Played::v2(r#"["resume"]"#)] {
        let key = played.chat("a");
        let first = parsed(&played.news(key, sound(0, Some("One."), 0, false, &[1, 2]))[0])["chunk"].take();
        assert_eq!(
            (&first["type"], &first["data"], &first["metadata"]["text"]),
            (&json!("audio"), &json!("AQI="), &json!("One."))
        );
        assert!(first["metadata"].get("stream_id").is_none() && first["metadata"]["mime"].is_string());
        let second = parsed(&played.news(key, sound(0, None, 50, false, &[3, 4]))[0])["chunk"].take();
        assert_eq!((&second["data"], &second["metadata"]), (&json!("AwQ="), &json!({"sentence":0,"at_ms":50})));
        assert_eq!(played.news(key, sound(0, None, 100, true, &[])), [""; 0], "the end is the request's");
    }
}

#[test]
fn others_speak_between_the_frames_of_a_picture_and_its_own_request_after_it() {
    let mut played = Played::v2(ALL);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.heard.clear();
    played.reads = false;
    played.news(a, image(0, None, bytes(3 * FRAME_BYTES_MAX)));
    for _ in 0..3 {
        assert!(played.session.wants_news(), "others may go on");
        played.text(b, &"x".repeat(20_000));
        played.text(a, "after the picture");
    }
    played.news(b, sound(0, Some("Hi."), 0, false, &[1, 2]));
    played.done(a);
    played.reads = true;
    let order = played.order();
    assert_eq!(order, ["a", "1/0", "b", "b", "b", "b", "2/0", "1/1", "1/2", "1/3", "a", "a", "a", "a"]);
    assert!(played.session.poll_report().is_some(), "it has ended");
}

#[test]
fn what_waits_takes_turns_with_a_picture() {
    let mut played = Played::v2(ALL);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.heard.clear();
    played.reads = false;
    played.news(a, image(0, None, bytes(2 * FRAME_BYTES_MAX)));
    let piece = "x".repeat(FRAME_BYTES_MAX);
    for _ in 0..3 {
        played.text(b, &piece);
    }
    played.reads = true;
    assert_eq!(played.order(), ["a", "1/0", "b", "1/1", "b", "1/2", "b"], "byte for byte");
}

#[test]
fn a_second_picture_waits_for_the_first_and_holds_the_providers_back() {
    let mut played = Played::v2(ALL);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.heard.clear();
    played.reads = false;
    played.news(a, image(0, None, bytes(FRAME_BYTES_MAX)));
    assert!(played.session.wants_news());
    played.news(b, image(0, None, bytes(FRAME_BYTES_MAX)));
    assert!(!played.session.wants_news(), "one beyond the limit");
    played.text(b, "b after its picture");
    played.reads = true;
    assert_eq!(played.order(), ["a", "1/0", "1/1", "b", "2/0", "2/1", "b"]);
    assert!(played.session.wants_news());
    played.reads = false;
    played.news(a, image(1, None, bytes(FRAME_BYTES_MAX)));
    let mut held = 0;
    while played.session.wants_news() {
        played.text(a, "x");
        held += 1;
    }
    assert_eq!(held, 64, "news behind a picture are bounded");
}

#[test]
fn a_large_picture_reaches_a_slow_reader() {
    for features in [ALL, r#"["resume"]"#] {
        let mut played = Played::v2(features);
        let key = played.chat("a");
        played.heard.clear();
        played.reads = false;
        let whole = bytes(8 * 1024 * 1024);
        played.news(key, image(0, None, whole.clone()));
        played.done(key);
        let mut written = 0;
        // A frame in nine seconds, and not a word from the client: five minutes.
        while played.read_one() {
            assert!(!played.session.is_closing());
            written += 1;
            played.session.handle_blocked(played.now, written);
            let (end, mut pings) = (played.now + 9 * SECOND, 0);
            while let Some(due) = played.session.poll_timeout().filter(|due| *due <= end) {
                played.session.handle_timeout(due);
                pings += 1;
                assert!(pings < 3 && !played.session.is_closing());
            }
            played.now = end;
        }
        assert!(written > 30, "{written}");
        played.reads = true;
        assert!(told(&played.heard.iter().filter_map(text_of).collect::<Vec<_>>()).ends_with(&["complete".to_owned()]));
        if features == ALL {
            let read: Vec<u8> = played.frames().iter().flat_map(|frame| frame.payload.to_vec()).collect();
            assert!(read == whole);
        }
    }
}

#[test]
fn who_takes_nothing_of_a_picture_is_too_slow() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    played.heard.clear();
    played.reads = false;
    played.news(key, image(0, None, bytes(8 * 1024 * 1024)));
    played.done(key);
    played.session.handle_blocked(played.now, 7);
    played.wait(BLOCKED_MAX);
    played.reads = true;
    played.drain();
    assert_eq!((played.closed(), played.heard.len()), (Some(close::TOO_SLOW), 1));
    assert!(played.session.poll_report().is_some(), "its end came in meanwhile");
}

#[test]
fn after_a_cancel_nothing_of_it_leaves() {
    for features in [ALL, r#"["resume"]"#] {
        let mut played = Played::v2(features);
        let (a, b) = (played.chat("a"), played.chat("b"));
        played.heard.clear();
        played.reads = false;
        played.news(a, sound(0, Some("One."), 0, false, &[1; 100]));
        played.news(b, sound(0, Some("Other."), 0, false, &[2; 100]));
        played.news(a, sound(0, None, 50, false, &[1; 100]));
        played.news(a, image(0, None, bytes(3 * FRAME_BYTES_MAX)));
        played.news(a, sound(1, Some("Two."), 100, true, &[1; 100]));
        played.say(&cancel("c", "a"));
        played.news(a, sound(1, None, 150, true, &[1; 100]));
        played.failed(a, ErrorCode::Cancelled);
        played.reads = true;
        played.drain();
        let (mut of_b, mut cancelled) = (0, false);
        for transmit in &played.heard {
            match transmit {
                Transmit::Binary(_) => of_b += usize::from(frame_of(transmit).expect("one").payload[..] == [2; 100]),
                Transmit::Text(text) => {
                    let frame = parsed(text);
                    cancelled |= frame["request_id"] == "c";
                    let is_media = frame["request_id"] == "a" && frame["chunk"]["data"].is_string();
                    assert!(!is_media || frame["chunk"]["data"] == "", "{frame}");
                    assert!(!cancelled || frame["status"] != "chunk", "{frame}");
                }
                other => panic!("{other:?}"),
            }
        }
        let frames = played.heard.iter().filter_map(frame_of).count();
        assert_eq!((of_b, frames), if features == ALL { (1, 1) } else { (0, 0) }, "that of another stays");
        assert!(cancelled && played.session.wants_news());
        // Nor does it come again.
        played.heard.clear();
        played.lose_socket();
        played.resume(3);
        assert!(played.heard.iter().filter_map(frame_of).all(|frame| frame.payload[..] == [2; 100]));
    }
}

#[test]
fn a_cancel_amid_a_picture_ends_it_and_lets_the_rest_go() {
    let mut played = Played::v2(ALL);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.heard.clear();
    played.reads = false;
    played.news(a, image(0, None, bytes(8 * 1024 * 1024)));
    played.news(b, image(0, None, bytes(FRAME_BYTES_MAX)));
    played.news(b, News::Text("b".into()));
    for _ in 0..3 {
        assert!(played.read_one());
    }
    // What waits of another can be stopped, too, and does not wait with that.
    played.say(&cancel("cb", "b"));
    played.failed(b, ErrorCode::Cancelled);
    played.say(&cancel("ca", "a"));
    played.failed(a, ErrorCode::Cancelled);
    played.reads = true;
    assert_eq!(played.order(), ["a", "1/0", "1/1", "cb", "b", "ca", "a"]);
}

#[test]
fn in_v1_a_stopped_picture_that_has_not_begun_is_gone() {
    let mut played = Played::v1();
    let key = played.chat("a");
    played.heard.clear();
    played.reads = false;
    played.news(key, image(0, None, bytes(500_000)));
    played.news(key, image(1, None, bytes(500_000)));
    assert!(!played.session.wants_news());
    assert!(played.read_one(), "the first has begun");
    played.say(&cancel("c", "a"));
    assert!(played.session.wants_news());
    played.failed(key, ErrorCode::Cancelled);
    played.reads = true;
    played.drain();
    let texts: Vec<_> = played.heard.iter().filter_map(text_of).collect();
    assert_eq!(told(&texts), ["chunk", "complete", "cancelled"]);
    let data = parsed(&texts[0])["chunk"]["data"].as_str().map(|data| STANDARD.decode(data).expect("base64").len());
    assert_eq!(data, Some(196_608), "as far as it had gone");
}

#[test]
fn frames_that_were_missed_come_again_with_their_message() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    played.news(key, sound(0, Some("One."), 0, false, &[1, 1]));
    let picture = bytes(REPLAY_BYTES_MAX / 2);
    played.news(key, image(0, None, picture.clone()));
    played.news(key, sound(0, None, 50, false, &[2, 2]));
    played.heard.clear();
    played.lose_socket();
    played.news(key, sound(0, None, 100, false, &[3, 3]));
    assert_eq!(told(&played.resume(2)), ["chunk", "chunk", "complete"]);
    let frames = played.frames();
    let of_one: Vec<_> = frames.iter().filter(|frame| frame.stream_id == 1).map(|frame| frame.index).collect();
    assert_eq!(of_one, [0, 1, 2]);
    let of_two: Vec<u8> =
        frames.iter().filter(|frame| frame.stream_id == 2).flat_map(|frame| frame.payload.to_vec()).collect();
    assert!(of_two == picture);
    // With all messages there, frames may have been lost all the same: those of the last picture and sentence come again.
    for last_seq in [4, 5] {
        played.lose_socket();
        played.resume(last_seq);
        let streams: Vec<_> = played.frames().iter().map(|frame| (frame.stream_id, frame.index)).collect();
        assert_eq!(streams.iter().filter(|(stream, _)| *stream == 1).count(), 3, "{last_seq}");
        assert_eq!(streams.iter().filter(|(stream, _)| *stream == 2).count(), 3, "{last_seq}");
    }
    // A later message of the request shows that its picture came; the end of it, that all did.
    let seq = parsed(&played.text(key, "after")[0])["seq"].as_u64().expect("a number");
    played.lose_socket();
    played.resume(seq);
    assert!(played.frames().iter().all(|frame| frame.stream_id == 1));
    let seq = parsed(&played.done(key)[0])["seq"].as_u64().expect("a number");
    played.heard.clear();
    played.lose_socket();
    played.resume(seq);
    assert_eq!(played.frames(), []);
}

#[test]
fn a_picture_that_is_too_large_to_keep_is_a_gap_and_its_blob_is_named() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    played.text(key, "before");
    played.news(key, image(0, None, bytes(REPLAY_BYTES_MAX + 1)));
    let last_seq = played.session.seq;
    for seen in [last_seq - 1, last_seq] {
        played.lose_socket();
        assert_eq!(code(&played.resume(seen)), "resume_gap", "{seen}");
    }
    let done = TurnSummary { image_blobs: vec!["b-1".into()], ..summary() };
    played.news(key, News::Done(Box::new(done)));
    played.lose_socket();
    let [gap] = played.resume(last_seq).try_into().expect("one answer");
    assert_eq!(parsed(&gap)["error"]["snapshot"]["requests"][0]["metadata"]["blobs"], json!(["b-1"]));
    let seq = played.session.seq;
    played.lose_socket();
    assert_eq!(told(&played.resume(seq)), ["complete"], "who has the end has the picture");
}

#[test]
fn a_picture_whose_socket_is_lost_goes_on_over_the_next() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    played.heard.clear();
    played.reads = false;
    let whole = bytes(REPLAY_BYTES_MAX / 2);
    played.news(key, image(0, None, whole.clone()));
    played.text(key, "after it");
    assert!(played.read_one() && played.read_one());
    played.heard.clear();
    played.lose_socket();
    let texts = played.resume(3);
    assert_eq!(told(&texts), ["chunk", "complete"], "what waited behind it is not lost");
    let read: Vec<u8> = played.frames().iter().flat_map(|frame| frame.payload.to_vec()).collect();
    assert!(read == whole);
}

#[test]
fn a_picture_on_a_socket_that_is_left_for_another_comes_before_what_waited_behind_it() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    played.reads = false;
    played.news(key, image(0, None, bytes(FRAME_BYTES_MAX)));
    played.text(key, "after it");
    played.heard.clear();
    played.session.handle_attached(played.now, Some("r"), 2);
    played.reads = true;
    assert_eq!(played.order(), ["a", "1/0", "1/1", "a", "r"]);
}

#[test]
fn who_asks_to_be_resumable_amid_a_picture_is_told_what_is_missing() {
    let mut played = Played::v2(r#"["binary"]"#);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.reads = false;
    played.news(a, image(0, None, bytes(FRAME_BYTES_MAX)));
    played.news(b, sound(0, Some("Hi."), 0, false, &[1, 2]));
    let hello = r#"{"action":"hello","payload":{"protocol":[2],"features":["resume","binary"]}}"#;
    played.say(hello);
    let seq = played.session.seq;
    played.lose_socket();
    assert_eq!(code(&played.resume(seq)), "resume_gap");
    played.done(a);
    let seq = parsed(&played.done(b)[0])["seq"].as_u64().expect("a number");
    played.lose_socket();
    assert_eq!(told(&played.resume(seq)), ["complete"]);
}

#[test]
fn how_far_it_is_is_told_in_v2_only() {
    let progress = News::Progress(Progress { stage: Stage::Prompt, done: 3, total: 9 });
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    let [text] = played.news(key, progress.clone()).try_into().expect("one chunk");
    let metadata = json!({"progress":{"stage":"prompt","done":3,"total":9}});
    assert_eq!(parsed(&text)["chunk"], json!({"type":"metadata","data":null,"index":0,"metadata":metadata}));
    let mut played = Played::v1();
    let key = played.chat("a");
    assert_eq!(played.news(key, progress), [""; 0]);
}

#[test]
fn what_another_provider_goes_on_with_says_so() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    assert_eq!(parsed(&played.text(key, "one")[0])["chunk"]["metadata"], json!({}));
    assert_eq!(played.news(key, News::Message(1)), [""; 0]);
    assert_eq!(parsed(&played.text(key, "two")[0])["chunk"]["metadata"], json!({"message":1}));
    let texts = played.news(key, image(0, None, bytes(3)));
    assert_eq!(parsed(&texts[0])["chunk"]["metadata"]["message"], 1);
    assert_eq!(parsed(&played.done(key)[0])["chunk"]["metadata"]["messages"], 2);
    let mut played = Played::v1();
    let key = played.chat("a");
    played.news(key, News::Message(1));
    assert_eq!(parsed(&played.text(key, "two")[0])["chunk"]["metadata"], json!({}));
    assert_eq!(parsed(&played.done(key)[0])["chunk"]["metadata"]["messages"], 2);
}

#[test]
fn what_is_spent_is_in_the_end() {
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    let usage = Usage { input_tokens: 1, output_tokens: 2, cost_usd: Some(0.25), ..Usage::default() };
    let end = played.news(key, News::Done(Box::new(TurnSummary { usage: Some(usage), ..summary() })));
    let usage = parsed(&end[0])["chunk"]["metadata"]["usage"].take();
    assert_eq!(usage, json!({"input_tokens":1,"output_tokens":2,"cost_usd":0.25}));
}

#[test]
fn going_down_amid_a_picture_says_goodbye_all_the_same() {
    let mut played = Played::v2(ALL);
    let key = played.chat("a");
    played.heard.clear();
    played.reads = false;
    played.news(key, image(0, None, bytes(8 * 1024 * 1024)));
    played.done(key);
    assert!(played.read_one() && played.read_one());
    played.session.handle_shutdown(played.now);
    assert!(!played.session.is_closing(), "it is on its way");
    played.wait(DRAIN_FOR);
    played.reads = true;
    played.drain();
    assert_eq!(played.closed(), Some(close::GOING_AWAY));
}
