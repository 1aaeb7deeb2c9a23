//! The inputs that fuzzing found worth keeping, replayed through the very functions that the fuzz targets call.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn sse() {
    replay("sse", fuzz::sse);
}

#[test]
fn openai_decode() {
    replay("openai_decode", fuzz::openai_decode);
}

#[test]
fn ollama_decode() {
    replay("ollama_decode", fuzz::ollama_decode);
}

#[test]
fn anthropic_decode() {
    replay("anthropic_decode", fuzz::anthropic_decode);
}

#[test]
fn gemini_decode() {
    replay("gemini_decode", fuzz::gemini_decode);
}

#[test]
fn responses_decode() {
    replay("responses_decode", fuzz::responses_decode);
}

#[test]
fn images_decode() {
    replay("images_decode", fuzz::images_decode);
}

#[test]
fn wyoming() {
    replay("wyoming", fuzz::wyoming);
}

#[test]
fn session() {
    replay("session", fuzz::session);
}

#[test]
fn mcp_server() {
    replay("mcp_server", fuzz::mcp_server);
}

#[test]
fn unpi() {
    replay("unpi", fuzz::unpi);
}

#[test]
fn zcl() {
    replay("zcl", fuzz::zcl);
}

#[test]
fn tuya() {
    replay("tuya", fuzz::tuya);
}

#[test]
fn network() {
    replay("network", fuzz::network);
}

#[test]
fn mt() {
    replay("mt", fuzz::mt);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As often as a test may; the fuzzer has more patience.
    #[test]
    fn any_session(input in vec(any::<u8>(), 0..600)) {
        fuzz::session(&input);
    }

    /// Frames of either side, starts without frames, and rubbish.
    #[test]
    fn any_line(piece_len in any::<u8>(), parts in vec(prop_oneof![
        Just::<&[u8]>(b"\xfe\x00\x21\x01\x20"), Just::<&[u8]>(b"\xfe\x02\x61\x01\x79\x07\x1c"), Just::<&[u8]>(b"\xfe"),
        Just::<&[u8]>(b"\xfe\x06\x41\x80\x00\x02\x01\x02\x07\x01\xc0"), Just::<&[u8]>(b"\xfe\xfa\x44"), Just::<&[u8]>(b"\x00"),
    ], 0..30)) {
        fuzz::unpi(&[&[piece_len], &parts.concat()[..]].concat());
    }

    #[test]
    fn any_stick(input in vec(any::<u8>(), 0..800)) {
        fuzz::mt(&input);
    }

    /// Whole events and pieces of some, in any order and cut anywhere.
    #[test]
    fn any_speech_server(piece_len in any::<u8>(), parts in vec(prop_oneof![
        Just::<&[u8]>(b"{\"type\":\"audio-start\",\"data\":{\"rate\":22050,\"width\":2,\"channels\":1}}\n"),
        Just::<&[u8]>(b"{\"type\":\"audio-chunk\",\"data_length\":2,\"payload_length\":3}\n"),
        Just::<&[u8]>(b"{\"type\":\"audio-chunk\",\"data_length\":37}\n{\"rate\":22050,\"width\":2,\"channels\":1}"),
        Just::<&[u8]>(b"{\"type\":\"error\",\"data\":{\"text\":\"no\"}}\n"),
        Just::<&[u8]>(b"{}"), Just::<&[u8]>(b"{\"type\":"), Just::<&[u8]>(b"\n"), Just::<&[u8]>(b"\xff\x00"), Just::<&[u8]>(b"abc"),
    ], 0..20)) {
        fuzz::wyoming(&[&[piece_len], &parts.concat()[..]].concat());
    }
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut replayed = 0;
    for file in std::fs::read_dir(&folder).expect("every target has a corpus") {
        let path = file.expect("a folder can be read on").path();
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("a corpus file can be read"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
