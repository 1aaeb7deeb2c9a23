//! The voices of the cloud against a provider on a real socket: whole sentences, every fault, and how soon a connection closes
//! that nobody listens to any more.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use hearth::adapters::speech::{Voice, VoiceName};
use hearth::common::config::Config;
use hearth::common::error::Failure;
use hearth::common::speech::{AudioFormat, SpeechRequest};
use serde_json::json;

use super::{House, notices, pieces, say, sentence, speak, summary, voice};
use crate::world::provider::{FakeProvider, Script, now};
use crate::world::soon;

/// The bar is 5 ms on an idle machine; this leaves room for a busy one.
const CLOSE_MAX: Duration = Duration::from_millis(500);

const KEY: &str = "sk-hunter2-secret";

fn config(world: &FakeProvider) -> Config {
    let mut config = Config::default();
    config.providers.openai.base_url = world.base_url();
    config.providers.gemini.base_url = world.base_url().trim_end_matches("/v1").into();
    config
}

fn openai(world: &FakeProvider) -> Arc<dyn Voice> {
    voice(VoiceName::Openai, &config(world), Some(KEY))
}

fn gemini(world: &FakeProvider) -> Arc<dyn Voice> {
    voice(VoiceName::Gemini, &config(world), Some(KEY))
}

/// An accepted answer of this kind, its body to follow in chunks.
fn accepted(mime: &str) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {mime}\r\ntransfer-encoding: chunked\r\n\r\n");
    Script::default().raw(head.as_bytes())
}

fn delta(sound: &[u8]) -> String {
    json!({"type": "speech.audio.delta", "audio": STANDARD.encode(sound)}).to_string()
}

fn inline(sound: &[u8], finish: bool) -> String {
    let part = json!({"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": STANDARD.encode(sound)}});
    let mut candidate = json!({"content": {"parts": [part], "role": "model"}, "index": 0});
    if finish {
        candidate["finishReason"] = json!("STOP");
    }
    json!({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3}}).to_string()
}

#[tokio::test]
async fn openai_gives_bytes_or_events() {
    let raw = accepted("audio/pcm").chunk(&[1, 2, 3]).chunk(&[4]).body_end();
    let world = FakeProvider::start(raw).await;
    let openai = openai(&world);
    let request = SpeechRequest { voice: Some("nova".into()), ..sentence("Hello") };
    assert_eq!(say(&openai, request).await.unwrap(), [1, 2, 3, 4]);
    let asked = world.request(0).await;
    assert_eq!(asked.line, "POST /v1/audio/speech");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    let want = json!({"model": "gpt-4o-mini-tts", "voice": "nova", "input": "Hello", "response_format": "pcm",
        "stream_format": "audio"});
    assert_eq!(asked.body, want);

    let done =
        json!({"type": "speech.audio.done", "usage": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}});
    world.once(Script::stream().sse(&delta(&[1, 2, 3])).sse(&delta(&[4])).sse(&done.to_string()).body_end());
    assert_eq!(say(&openai, sentence("Hello")).await.unwrap(), [1, 2, 3, 4]);
    assert_eq!(world.request(1).await.body["voice"], "alloy");

    world.once(accepted("audio/ogg").chunk(b"OggS").body_end());
    let opus = SpeechRequest { format: AudioFormat::Opus, ..sentence("Hello") };
    assert_eq!(say(&openai, opus).await.unwrap(), b"OggS");
    assert_eq!(world.request(2).await.body["response_format"], "opus");
}

#[tokio::test]
async fn servers_that_only_speak_like_openai() {
    let refusal =
        json!({"error": {"message": "Unknown parameter: 'stream_format'", "param": "stream_format", "code": null}});
    let world = FakeProvider::start(accepted("audio/pcm;rate=12000").chunk(&[0; 200]).body_end()).await;
    world.once(Script::status(400, &[("content-type", "application/json")], &refusal.to_string()));
    let openai = openai(&world);
    assert_eq!(say(&openai, sentence("Hello")).await.unwrap().len(), 400, "the rate is heeded");
    assert!(world.request(1).await.body.get("stream_format").is_none(), "asked again without it");

    // A WAV where samples were asked for, of another rate.
    let mut wav =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\xc0\x5d\0\0\x80\xbb\0\0\x02\0\x10\0data\xff\xff\xff\xff"
            .to_vec();
    wav.extend_from_slice(&[9, 0, 9, 0]);
    world
        .once(wav.chunks(5).fold(accepted("application/octet-stream"), |script, piece| script.chunk(piece)).body_end());
    assert_eq!(say(&openai, sentence("Hello")).await.unwrap(), [9, 0, 9, 0]);
}

#[tokio::test]
async fn gemini_gives_events() {
    let world =
        FakeProvider::start(Script::stream().sse(&inline(&[1, 2, 3], false)).sse(&inline(&[4], true)).body_end()).await;
    assert_eq!(say(&gemini(&world), sentence("Hello")).await.unwrap(), [1, 2, 3, 4]);
    let asked = world.request(0).await;
    assert_eq!(asked.line, "POST /v1beta/models/gemini-2.5-flash-preview-tts:streamGenerateContent?alt=sse");
    assert_eq!(asked.headers["x-goog-api-key"], KEY);
    let config = &asked.body["generationConfig"];
    assert_eq!(config["responseModalities"], json!(["AUDIO"]));
    assert_eq!(config["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"], "Kore");
    assert_eq!(asked.body["contents"][0]["parts"][0]["text"], "Hello");
}

#[tokio::test]
async fn every_fault_is_an_error_in_words_and_never_a_whole_sentence() {
    let world = FakeProvider::start(Script::default().hangup()).await;
    let html = "<html><title>Log in to the café's network</title></html>";
    let key_shown = format!("Incorrect API key provided: {KEY}");
    let events = || Script::stream().sse(&delta(&[1, 2]));
    let faults: Vec<(&str, Script, Failure)> = vec![
        ("401", Script::error(401, "invalid_api_key", &key_shown, &[]), Failure::Auth),
        ("402", Script::status(402, &[], ""), Failure::QuotaExhausted),
        ("429", Script::error(429, "rate_limit_exceeded", "Slow down", &[("retry-after", "2")]), Failure::RateLimited),
        ("500", Script::status(500, &[], ""), Failure::Failed),
        ("404", Script::status(404, &[("content-type", "text/html")], html), Failure::Rejected),
        ("HTML with 200", Script::status(200, &[("content-type", "text/html")], html), Failure::BadStream),
        ("an error with 200", Script::error(200, "server_error", "Overloaded", &[]), Failure::Failed),
        (
            "gzip",
            Script::status(200, &[("content-type", "audio/pcm"), ("content-encoding", "gzip")], "\x1f"),
            Failure::BadStream,
        ),
        ("nothing", Script::status(200, &[("content-type", "audio/pcm")], ""), Failure::BadStream),
        ("FIN instead of a head", Script::default().hangup(), Failure::CutOff),
        ("RST within the sound", accepted("audio/pcm").chunk(&[1, 2]).reset(), Failure::CutOff),
        ("FIN within the sound", accepted("audio/pcm").chunk(&[1, 2]).hangup(), Failure::CutOff),
        (
            "less than its length",
            Script::default()
                .raw(b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ncontent-length: 9\r\n\r\n\x01\x02")
                .hangup(),
            Failure::CutOff,
        ),
        ("events without an end", events().body_end(), Failure::CutOff),
        ("an error event", events().sse(r#"{"error":{"message":"It broke"}}"#).stall(), Failure::Failed),
        ("an event that is no JSON", events().sse("{").stall(), Failure::BadStream),
        (
            "an event without an end",
            Script::stream().chunk(&[&b"data: "[..], &[b'x'; 5 * 1024 * 1024]].concat()).stall(),
            Failure::BadStream,
        ),
    ];
    let openai = openai(&world);
    for (what, script, failure) in faults {
        world.once(script);
        let error = say(&openai, sentence("Hello")).await.expect_err(what);
        assert_eq!(error.failure, failure, "{what}: {error}");
        assert!(!error.message.contains("hunter2") && !error.message.contains(char::is_control), "{what}: {error}");
        assert_eq!(error.retry_after.is_some(), what == "429", "{what}");
    }
    let gemini = gemini(&world);
    for (what, script, failure) in [
        ("no end", Script::stream().sse(&inline(&[1, 2], false)).body_end(), Failure::CutOff),
        (
            "403",
            Script::status(403, &[], r#"[{"error":{"message":"denied","status":"PERMISSION_DENIED"}}]"#),
            Failure::Auth,
        ),
        ("no events", accepted("audio/pcm").chunk(&[1, 2]).body_end(), Failure::BadStream),
    ] {
        world.once(script);
        let error = say(&gemini, sentence("Hello")).await.expect_err(what);
        assert_eq!(error.failure, failure, "{what}: {error}");
    }
    let mp3 = SpeechRequest { format: AudioFormat::Mp3, ..sentence("Hello") };
    assert_eq!(say(&gemini, mp3).await.unwrap_err().failure, Failure::Unsupported);
    let keyless = voice(VoiceName::Openai, &config(&world), None);
    let error = say(&keyless, sentence("Hello")).await.unwrap_err();
    assert!(error.failure == Failure::Auth && error.message.contains("OPENAI_API_KEY"), "{error}");
}

#[tokio::test]
async fn whoever_is_not_listened_to_is_left_at_once() {
    let world = FakeProvider::start(Script::default().stall()).await;
    let openai = openai(&world);
    world.once(accepted("audio/pcm").chunk(&[1, 2]).stall());
    let mut speech = soon("an acceptance", openai.say(sentence("Hello"))).await.unwrap();
    soon("sound", speech.next()).await.unwrap().unwrap();
    let stopped_at = now();
    drop(speech);
    let took = world.closed(0).await.duration_since(stopped_at);
    assert!(took < CLOSE_MAX, "{took:?}");
    let asking = tokio::spawn(openai.say(sentence("Hello")));
    world.request(1).await;
    let stopped_at = now();
    asking.abort();
    let took = world.closed(1).await.duration_since(stopped_at);
    assert!(took < CLOSE_MAX, "{took:?}");
}

#[tokio::test]
async fn espeak_stands_in_for_a_voice_that_has_no_credit() {
    if hearth::adapters::speech::espeak::find("espeak-ng").is_none() {
        return println!("skipped: espeak-ng is not installed");
    }
    let world = FakeProvider::start(Script::error(429, "insufficient_quota", "No credit", &[])).await;
    let config = config(&world);
    let voices =
        vec![(VoiceName::Openai, openai(&world)), (VoiceName::Espeak, voice(VoiceName::Espeak, &config, None))];
    let house = House::new(config, None, voices);
    let news = house.start(speak("One is here. Two is here.", "nova", AudioFormat::Pcm), 64).rest().await;
    assert_eq!(notices(&news).len(), 1, "{news:?}");
    assert!(notices(&news)[0].starts_with("openai does not speak: No credit"), "{:?}", notices(&news));
    assert!(pieces(&news).len() > 20);
    assert_eq!(&*summary(&news).provider, "espeak");
    assert_eq!(world.requests().len(), 1, "asked once and then no more");
}
