//! Speech end to end, from a fake of OpenAI's speech server to the frames of a client: how long they are, that no word waits
//! for them, and that a cancel is silence.

use std::time::Duration;

use hearth::common::config::{ProviderName, SpeechChoice};
use serde_json::json;

use super::hub_of;
use crate::world::client::{Answer, Client};
use crate::world::hub::Running;
use crate::world::provider::{FakeProvider, Gate, Script, now};

/// 50 ms of signed 16 bit at 24 kHz.
const FRAME_BYTES: usize = 2400;

/// From a cancel to the end of the connection of whoever speaks.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Sound of so many frames.
fn sound(frames: usize) -> Vec<u8> {
    (0..frames * FRAME_BYTES).map(|at| (at % 251) as u8).collect()
}

/// The beginning of an answer in sound, which this is to follow.
fn spoken(script: impl FnOnce(Script) -> Script) -> Script {
    script(Script::stream().header("content-type", "audio/pcm"))
}

/// A hub whose provider talks and speaks.
async fn hub_that_speaks(world: &FakeProvider) -> Running {
    hub_of(ProviderName::Openai, world, |config| config.speech.active = SpeechChoice::Openai).await
}

async fn speak(client: &mut Client, text: &str) -> Answer {
    client.send(&json!({"action": "speak", "request_id": "1", "payload": {"text": text}})).await;
    client.answer("1").await
}

/// What came by frames or by base64, whole.
fn heard(client: &Client, answer: &Answer) -> Vec<u8> {
    match client.streams.values().next() {
        Some(stream) => stream.data.clone(),
        None => answer.chunks("audio").into_iter().flat_map(|chunk| client.data_of(chunk)).collect(),
    }
}

#[tokio::test]
async fn words_become_frames_of_50_ms_at_every_client() {
    let song = sound(3);
    let world = FakeProvider::start(spoken(|script| script.chunk(&song[..3000]).chunk(&song[3000..]).body_end())).await;
    let hub = hub_that_speaks(&world).await;
    for (which, mut client) in [
        ("v1", Client::v1(hub.address).await),
        ("v2 without binary", Client::v2_without_binary(hub.address).await),
        ("v2", Client::v2(hub.address).await),
    ] {
        let asked = world.requests().len();
        let answer = speak(&mut client, "One is here. Two is here.").await;
        assert!(heard(&client, &answer) == [&song[..], &song].concat(), "{which}: another sound");
        let sentences: Vec<_> =
            answer.chunks("audio").into_iter().filter_map(|chunk| chunk["metadata"]["text"].as_str()).collect();
        assert_eq!(sentences, ["One is here.", "Two is here."], "{which}");
        assert_eq!(client.streams.len(), usize::from(which == "v2"), "{which}");
        for stream in client.streams.values() {
            let (last, rest) = stream.lengths.split_last().expect("frames");
            assert!(rest.iter().all(|length| *length == FRAME_BYTES), "{:?}", stream.lengths);
            assert!(stream.ended && [0, FRAME_BYTES].contains(last), "{:?}", stream.lengths);
        }
        let asked: Vec<_> = world.requests().drain(asked..).collect();
        assert!(asked.iter().all(|request| request.line == "POST /v1/audio/speech"), "{asked:?}");
        assert_eq!(asked.iter().map(|request| &request.body["input"]).collect::<Vec<_>>(), sentences, "{which}");
    }
}

#[tokio::test]
async fn no_word_waits_for_the_voice() {
    let (gate, song) = (Gate::new(), sound(2));
    let world = FakeProvider::start(spoken(|script| script.gate(&gate).chunk(&song).body_end())).await;
    world.once(Script::answer(&["One is ", "here. Two", " is here."]));
    let hub = hub_that_speaks(&world).await;
    let mut client = Client::v2(hub.address).await;
    client.ask_with("1", "Who is here?", json!({"voice": {"speak": true}})).await;
    client.until_text("1", "One is here. Two is here.").await;
    assert!(client.streams.values().all(|stream| stream.data.is_empty()), "the voice has not begun");
    gate.open();
    let answer = client.answer("1").await;
    assert!(heard(&client, &answer) == [&song[..], &song].concat(), "another sound");
    assert!(client.streams[&1].ended, "the end comes after the last sound");
    assert_eq!((answer.provider(), answer.notices().len()), ("openai", 0), "{:?}", answer.notices());
}

#[tokio::test]
async fn a_cancel_is_silence() {
    let world = FakeProvider::start(spoken(|script| script.chunk(&sound(10)).stall())).await;
    let hub = hub_that_speaks(&world).await;
    for spoken_with in ["chat", "speak"] {
        let asked = world.requests().len();
        let mut client = Client::v2(hub.address).await;
        let payload = json!({"text": "Go on. And on. And on.", "voice": {"speak": true}});
        let voice = match spoken_with {
            "chat" => {
                world.once(Script::answer(&["Well, ", "here I am. And on."]));
                client.send(&json!({"action": "chat", "request_id": "1", "payload": payload})).await;
                asked + 1
            }
            _ => {
                let payload = json!({"text": "Go on. And on. And on."});
                client.send(&json!({"action": "speak", "request_id": "1", "payload": payload})).await;
                asked
            }
        };
        while client.one("1").await["chunk"]["type"] != "audio" {}
        let stopped_at = now();
        assert!(client.cancel("1").await, "{spoken_with}");
        let frames = client.streams[&1].frames;
        let took = world.closed(voice).await.duration_since(stopped_at);
        assert!(took < CLOSE_MAX, "{spoken_with}: {took:?}");
        assert_eq!(client.rest("1").await.code(), "cancelled", "{spoken_with}");
        client.send(&json!({"action": "ping", "request_id": "p", "payload": {}})).await;
        client.one("p").await;
        assert_eq!(client.streams[&1].frames, frames, "{spoken_with}: sound after the answer to the cancel");
    }
}
