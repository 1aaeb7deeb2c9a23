//! Pictures through real sockets, both ways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::*;
use crate::common::chat::{ImagePiece, Media, Part};
use crate::gateway::session::media::{FRAME_BYTES_MAX, HEADER_BYTES};

/// As large as one event of a provider's may be.
const LARGE: usize = 8 * 1024 * 1024;

fn painted(len: usize) -> (Event, Bytes) {
    let data: Bytes = (0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    let media = Media { mime: "image/png".into(), data: data.clone() };
    (Event::Image(Box::new(ImagePiece { index: 0, partial: None, media })), data)
}

async fn hello(house: &House, features: &str) -> Client {
    let mut client = house.connect().await;
    let payload = format!(r#"{{"protocol":[2],"features":[{features}]}}"#);
    client.say(&format!(r#"{{"action":"hello","request_id":"h","payload":{payload}}}"#)).await;
    assert_eq!(client.hear().await["request_id"], "h");
    client
}

#[tokio::test]
async fn a_large_picture_comes_in_frames_and_others_are_heard_meanwhile() {
    let mut house = House::new().await;
    let mut client = hello(&house, r#""binary""#).await;
    client.chat("a").await;
    let painter = house.asked().await;
    client.chat("b").await;
    let talker = house.asked().await;
    let (picture, data) = painted(LARGE);
    painter.send(picture).await.expect("heard");
    drop(painter);
    let talking = tokio::spawn(async move { while talker.send(text("word ")).await.is_ok() {} });
    let announced = loop {
        let heard = client.hear().await;
        if heard["chunk"]["type"] == "image" {
            break heard["chunk"]["metadata"].clone();
        }
    };
    assert_eq!((&announced["bytes"], &announced["stream_id"]), (&json!(LARGE), &json!(1)));
    let (mut seen, mut frames, mut words) = (Vec::with_capacity(LARGE), 0, 0);
    loop {
        let (opcode, payload) = client.next().await.expect("an open connection");
        if opcode == BINARY {
            assert!(payload.len() <= FRAME_BYTES_MAX);
            seen.extend_from_slice(&payload[HEADER_BYTES..]);
            frames += 1;
            continue;
        }
        let heard: Value = serde_json::from_slice(&payload).expect("JSON");
        if heard["request_id"] == "a" {
            assert_eq!(heard["status"], "complete", "after its picture");
            break;
        }
        words += 1;
    }
    talking.abort();
    assert!(seen == data, "{} of {LARGE} bytes in {frames} frames", seen.len());
    assert!(words > frames / 2, "only {words} words were heard between {frames} frames");
}

#[tokio::test]
async fn a_client_of_v1_gets_a_large_picture_as_one_message() {
    let mut house = House::new().await;
    let mut client = house.connect().await;
    client.chat("a").await;
    let string = house.asked().await;
    let (picture, data) = painted(LARGE);
    string.send(picture).await.expect("heard");
    // It reads slowly; a word waits behind the picture.
    string.send(text("There.")).await.expect("heard");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let heard = client.hear().await;
    assert_eq!(heard["chunk"]["metadata"], json!({"mime":"image/png","image":0,"partial":false,"bytes":LARGE}));
    let read = STANDARD.decode(heard["chunk"]["data"].as_str().expect("text")).expect("base64");
    assert!(read == data);
    assert_eq!(client.hear().await["chunk"]["data"], "There.");
}

#[tokio::test]
async fn after_a_cancel_no_frame_of_it_comes() {
    let mut house = House::new().await;
    let mut client = hello(&house, r#""binary""#).await;
    client.chat("a").await;
    let string = house.asked().await;
    // More than the kernel's buffers take.
    string.send(painted(4 * LARGE).0).await.expect("heard");
    assert_eq!(client.hear().await["chunk"]["type"], "image");
    assert_eq!(client.next().await.expect("an open connection").0, BINARY);
    client.say(r#"{"action":"cancel","request_id":"c","payload":{"target":"a"}}"#).await;
    let mut bytes = 0;
    while let (BINARY, payload) = client.next().await.expect("an open connection") {
        bytes += payload.len();
    }
    assert!(bytes < 3 * LARGE, "{bytes} bytes after the cancel");
    assert_eq!(client.hear().await["error"]["code"], "cancelled");
    assert_hung_up(&string).await;
}

#[tokio::test]
async fn what_is_sent_along_reaches_the_provider() {
    let mut house = House::new().await;
    let mut client = house.connect().await;
    let kept = Bytes::from_static(b"GIF89a of the store");
    let blob_id = house.store.put_blob("image/gif", kept.clone()).await.expect("kept");
    let attachments = json!([{"blob_id": blob_id}, {"mime": "image/png", "data": "iVBORw0KGgo="}]);
    let payload = json!({"text": "What is this?", "attachments": attachments});
    client.say(&json!({"action": "chat", "request_id": "a", "payload": payload}).to_string()).await;
    assert_eq!(client.hear().await["status"], "processing");
    let (request, string) = house.question().await;
    let said = request.messages.last().expect("a question");
    let pictures: Vec<_> = said
        .parts
        .iter()
        .filter_map(|part| if let Part::Image(media) = part { Some((&*media.mime, media.data.clone())) } else { None })
        .collect();
    assert_eq!(pictures, [("image/gif", kept), ("image/png", Bytes::from_static(b"\x89PNG\r\n\x1a\n"))]);
    drop(string);
    assert_eq!(client.hear().await["status"], "complete");

    let payload = json!({"text": "And this?", "attachments": [{"blob_id": "b-gone"}]});
    client.say(&json!({"action": "chat", "request_id": "b", "payload": payload}).to_string()).await;
    assert_eq!(client.hear().await["status"], "processing");
    assert_eq!(client.hear().await["error"]["code"], "not_found");
    assert!(house.asked.try_recv().is_err(), "nobody was asked");
}
