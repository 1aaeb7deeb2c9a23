//! What a client may ask for, and what becomes of it.

use super::*;
use crate::common::chat::Media;
use crate::common::speech::AudioFormat;
use crate::gateway::session::attachments::Named;
use crate::router::{Ask, ImageAsk, Input, SpeakAsk, VoiceWish};

fn request(action: &str, payload: &Value) -> String {
    json!({"action": action, "request_id": "a", "payload": payload}).to_string()
}

fn started(played: &mut Played, action: &str, payload: &Value) -> Job {
    let said = told(&played.say(&request(action, payload)));
    assert_eq!(said, ["processing"], "{payload}");
    match played.actions.pop() {
        Some(Action::Start { job, .. }) => job,
        other => panic!("a start was expected: {other:?}"),
    }
}

#[test]
fn wishes_for_pictures_reach_the_router() {
    for mut played in [Played::v1(), Played::v2("[]")] {
        let all = json!({"prompt": "a cat", "size": "16:9", "n": 4, "quality": "high", "partial_images": 3,
            "provider": "openai", "model": "m", "later": 1});
        let ask = ImageAsk {
            prompt: "a cat".into(),
            size: Some("16:9".into()),
            n: 4,
            quality: Some("high".into()),
            partial_images: 3,
            provider: Some("openai".into()),
            model: Some("m".into()),
        };
        assert_eq!(started(&mut played, "image", &all), Job::Image(ask));
    }
    let ask = ImageAsk { prompt: "a cat".into(), n: 1, ..ImageAsk::default() };
    assert_eq!(started(&mut Played::v1(), "image", &json!({"prompt": "a cat"})), Job::Image(ask));
}

#[test]
fn wishes_for_speech_reach_the_router() {
    let all = json!({"text": "Hello.", "voice": "openai/nova", "lang": "en-GB", "format": "opus"});
    let wish = VoiceWish { voice: Some("openai/nova".into()), lang: Some("en-GB".into()), format: AudioFormat::Opus };
    let ask = SpeakAsk { text: "Hello.".into(), wish: wish.clone() };
    assert_eq!(started(&mut Played::v1(), "speak", &all), Job::Speak(ask));
    for (voice, speak) in [
        (json!({"speak": true, "voice": "openai/nova", "lang": "en-GB", "format": "opus"}), Some(wish)),
        (json!({"speak": true}), Some(VoiceWish::default())),
        (json!({"speak": false, "voice": "x"}), None),
        (json!({}), None),
        (Value::Null, None),
    ] {
        let job = started(&mut Played::v1(), "chat", &json!({"text": "x", "voice": voice}));
        assert!(matches!(&job, Job::Chat(ask) if ask.speak == speak), "{voice}: {job:?}");
    }
}

#[test]
fn what_is_wrong_is_named_and_starts_nothing() {
    let png = "iVBORw0KGgo=";
    let long = "x".repeat(200);
    for (action, payload, field) in [
        ("image", json!({}), "prompt"),
        ("image", json!({"prompt": " "}), "payload.prompt"),
        ("image", json!({"prompt": "x", "size": "large"}), "payload.size"),
        ("image", json!({"prompt": "x", "size": "x1024"}), "payload.size"),
        ("image", json!({"prompt": "x", "size": "1024x"}), "payload.size"),
        ("image", json!({"prompt": "x", "size": "100000x1000000"}), "payload.size"),
        ("image", json!({"prompt": "x", "n": 0}), "payload.n"),
        ("image", json!({"prompt": "x", "n": 5}), "payload.n"),
        ("image", json!({"prompt": "x", "n": -1}), "payload"),
        ("image", json!({"prompt": "x", "quality": "best"}), "payload"),
        ("image", json!({"prompt": "x", "partial_images": 4}), "payload.partial_images"),
        ("speak", json!({"voice": "x"}), "text"),
        ("speak", json!({"text": "\n"}), "payload.text"),
        ("speak", json!({"text": "x", "voice": ""}), "payload.voice"),
        ("speak", json!({"text": "x", "voice": "--help"}), "payload.voice"),
        ("speak", json!({"text": "x", "voice": "a\nb"}), "payload.voice"),
        ("speak", json!({"text": "x", "voice": long}), "payload.voice"),
        ("speak", json!({"text": "x", "lang": "-w/etc/passwd"}), "payload.lang"),
        ("speak", json!({"text": "x", "lang": long}), "payload.lang"),
        ("speak", json!({"text": "x", "format": "flac"}), "payload"),
        ("chat", json!({"text": "x", "voice": {"speak": true, "voice": "-x"}}), "payload.voice.voice"),
        ("chat", json!({"text": "x", "voice": {"speak": true, "lang": "a b"}}), "payload.voice.lang"),
        ("chat", json!({"text": "x", "voice": true}), "payload"),
        ("chat", json!({"text": "x", "attachments": [{}]}), "payload.attachments[0]"),
        ("chat", json!({"text": "x", "attachments": {}}), "payload"),
        (
            "chat",
            json!({"text": "x", "attachments": [{"mime": "image/png", "data": "!"}]}),
            "payload.attachments[0].data",
        ),
        (
            "chat",
            json!({"text": "x", "attachments": [{"mime": "image/gif", "data": png}]}),
            "payload.attachments[0].data",
        ),
        (
            "chat",
            json!({"text": "x", "attachments": [{"mime": "text/html", "data": png}]}),
            "payload.attachments[0].mime",
        ),
        ("chat", json!({"text": "x", "attachments": [{"blob_id": "a/b"}]}), "payload.attachments[0].blob_id"),
        ("chat", json!({"text": "x", "attachments": vec![json!({"blob_id": "b-1"}); 9]}), "payload.attachments"),
    ] {
        let mut played = Played::v2("[]");
        let [answer] = played.say(&request(action, &payload)).try_into().expect("one answer");
        let error = &parsed(&answer)["error"];
        assert_eq!(error["code"], "bad_request", "{payload}");
        assert!(error["message"].as_str().expect("words").contains(field), "{payload}: {error}");
        assert!(played.take_actions().is_empty() && answer.len() < 1000, "{payload}");
    }
}

#[test]
fn all_actions_are_limited_stopped_and_repeated_alike() {
    let image = json!({"prompt": "a cat"});
    let mut played = Played::v2("[]");
    started(&mut played, "image", &image);
    assert_eq!(code(&played.say(&request("speak", &json!({"text": "a cat"})))), "id_reuse");
    assert_eq!(told(&played.say(&request("image", &json!({"prompt": "a cat"})))), ["processing"], "it joins");
    assert_eq!(played.take_actions(), []);
    let blobs = TurnSummary { image_blobs: vec!["b-1".into(), "b-2".into()], conversation_id: "".into(), ..summary() };
    let end = parsed(&played.news(0, News::Done(Box::new(blobs)))[0]);
    assert_eq!(end["chunk"]["metadata"]["blobs"], json!(["b-1", "b-2"]));
    assert!(end["chunk"]["metadata"].get("conversation_id").is_none(), "pictures are in no conversation");
    let again: Vec<_> = played.say(&request("image", &image)).iter().map(|text| parsed(text)).collect();
    assert_eq!(again.len(), 2, "the pictures are where the blobs are");
    assert_eq!(again[0]["chunk"]["metadata"], json!({}));
    assert_eq!(again[1]["chunk"]["metadata"]["blobs"], json!(["b-1", "b-2"]));
    assert_eq!(again[1]["chunk"]["metadata"]["replayed"], true);
    assert_eq!(played.take_actions(), []);

    let mut played = Played::v1();
    played.say(r#"{"action":"speak","payload":{"text":"x"}}"#);
    assert_eq!(told(&played.say(&cancel("c", "req-1"))), ["complete"]);
    assert_eq!(code(&played.failed(0, ErrorCode::Cancelled)), "cancelled");

    let mut played = Played::v1();
    played.session.handle_shutdown(played.now);
    played.session.closing = false;
    assert_eq!(told(&played.say(&request("image", &image))).last().map(String::as_str), Some("offline"));
}

/// A PNG that is sent along, and two blobs that are named.
fn with_attachments() -> Value {
    let attachments = json!([{"blob_id": "b-1"}, {"mime": "image/png", "data": "iVBORw0KGgo="}, {"blob_id": "b-2"}]);
    json!({"text": "What is this?", "attachments": attachments})
}

fn gif(name: &str) -> Media {
    Media { mime: "image/gif".into(), data: name.to_owned().into() }
}

#[test]
fn what_is_named_is_fetched_before_anybody_is_asked() {
    let mut played = Played::v2("[]");
    assert_eq!(told(&played.say(&request("chat", &with_attachments()))), ["processing"]);
    let named = |place, id: &str| Named { place, blob_id: id.into() };
    let fetch = Action::Fetch { key: 0, named: vec![named(0, "b-1"), named(2, "b-2")] };
    assert_eq!(played.take_actions(), [fetch]);
    assert_eq!(told(&played.say(&request("chat", &with_attachments()))), ["processing"], "a repeat joins");
    assert_eq!(played.take_actions(), []);
    played.session.handle_fetched(played.now, 0, Ok(vec![gif("one"), gif("two")]));
    played.drain();
    let [Action::Start { key: 0, job: Job::Chat(Ask { input: Input::Said { attachments, .. }, .. }) }] =
        &played.actions[..]
    else {
        panic!("a start was expected: {:?}", played.actions)
    };
    let png = Media { mime: "image/png".into(), data: b"\x89PNG\r\n\x1a\n"[..].into() };
    assert_eq!(*attachments, [gif("one"), png, gif("two")]);
    played.take_actions();
    played.session.handle_fetched(played.now, 0, Ok(vec![gif("one"), gif("two")]));
    played.drain();
    assert_eq!(played.take_actions(), [], "once");
    played.text(0, "A cat.");
    assert_eq!(told(&played.done(0)), ["complete"]);
}

#[test]
fn what_cannot_be_fetched_ends_the_request() {
    let mut played = Played::v2("[]");
    played.say(&request("chat", &with_attachments()));
    played.now += SECOND;
    let gone = ErrorBody::new(ErrorCode::NotFound, "payload.attachments[0].blob_id: gone");
    played.session.handle_fetched(played.now, 0, Err(gone));
    assert_eq!(code(&played.drain()), "not_found");
    assert_eq!(played.session.requests.running().len(), 0);
    assert!(played.session.poll_report().is_some());
}

#[test]
fn a_request_that_is_stopped_while_it_is_fetched_for_ends_at_once() {
    let mut played = Played::v2("[]");
    played.say(&request("chat", &with_attachments()));
    assert_eq!(told(&played.say(&cancel("c", "a"))), ["complete", "cancelled"]);
    played.take_actions();
    played.session.handle_fetched(played.now, 0, Ok(vec![gif("one"), gif("two")]));
    assert_eq!((told(&played.drain()), played.take_actions()), (vec![], vec![]), "what comes late is nobody's");
    assert_eq!(played.session.requests.running().len(), 0);
}
