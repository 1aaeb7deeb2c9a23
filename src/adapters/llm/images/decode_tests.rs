//! Tests of the decoder: streams and documents of painting models, written by hand after their documents.

use proptest::prelude::*;

use super::*;
use crate::adapters::llm::exchange::Decode;
use crate::common::chat::Media;

fn decode(wanted: u32, body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let (mut decoder, mut events) = (Decoder::new(KeyPlace::default(), wanted), VecDeque::new());
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

fn at_once(wanted: u32, body: &str) -> (Vec<Event>, Result<(), ProviderError>) {
    decode(wanted, body.as_bytes(), body.len().max(1))
}

fn image(index: u32, partial: Option<u32>, mime: &str, data: &'static [u8]) -> Event {
    let media = Media { mime: mime.into(), data: data.into() };
    Event::Image(Box::new(ImagePiece { index, partial, media }))
}

fn usage(input_tokens: u64, output_tokens: u64) -> Event {
    Event::Usage(Box::new(Usage { input_tokens, output_tokens, ..Usage::default() }))
}

const STOP: Event = Event::Finish(FinishReason::Stop);

const PREVIEW: &str = "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AAAA\",\"partial_image_index\":1,\"output_format\":\"webp\"}\n\n";
const COMPLETED: &str = "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"/9j/\",\"output_format\":\"png\",\"usage\":{\"input_tokens\":7,\"output_tokens\":272,\"input_tokens_details\":{\"text_tokens\":7}}}\n\n";

#[test]
fn previews_and_then_the_picture() {
    let body = format!("{PREVIEW}{COMPLETED}data: [DONE]\n\n");
    let preview = image(0, Some(1), "image/webp", &[0, 0, 0]);
    let jpeg = image(0, None, "image/jpeg", &[0xFF, 0xD8, 0xFF]);
    for piece_len in [1, 3, body.len()] {
        let want = vec![preview.clone(), jpeg.clone(), usage(7, 272), STOP];
        assert_eq!(decode(1, body.as_bytes(), piece_len), (want, Ok(())), "pieces of {piece_len}");
    }
    let two = vec![preview, jpeg, image(1, None, "image/jpeg", &[0xFF, 0xD8, 0xFF]), usage(14, 544), STOP];
    assert_eq!(at_once(2, &format!("{PREVIEW}{COMPLETED}{COMPLETED}")), (two, Ok(())));
    for cut in [PREVIEW.to_owned(), format!("{PREVIEW}data: [DONE]\n\n"), String::new()] {
        assert_eq!(at_once(1, &cut).1.unwrap_err().failure, Failure::CutOff, "{cut}");
    }
    assert_eq!(at_once(2, COMPLETED).1.unwrap_err().failure, Failure::CutOff, "one of two");
}

#[test]
fn one_document_instead_of_a_stream() {
    let body = r#"{"created":1,"output_format":"webp","data":[{"b64_json":"AAAA"},{"url":"data:image/png;base64,/9j/"},{"b64_json":"AAAA"}],"usage":{"input_tokens":1,"output_tokens":2,"cost":0.5}}"#;
    let (events, ended) = at_once(2, body);
    assert_eq!((events.len(), ended), (4, Ok(())), "no more than were asked for: {events:?}");
    assert_eq!(events[1], image(1, None, "image/jpeg", &[0xFF, 0xD8, 0xFF]));
    assert!(matches!(&events[2], Event::Usage(usage) if usage.cost_usd == Some(0.5)));
    let (events, ended) = at_once(3, r#"{"data":[{"b64_json":"AAAA"}]}"#);
    assert_eq!(ended, Ok(()));
    assert_eq!(events[1..], [Event::Notice("1 of 3 pictures were made".into()), STOP]);
    let in_a_stream = format!("data: {body}\n\n");
    assert_eq!(at_once(2, &in_a_stream).0.len(), 4);
}

#[test]
fn what_is_no_picture_says_so() {
    for (body, failure, shown) in [
        (r#"{"data":[{"url":"https://x.example/1.png"}]}"#, Failure::Unsupported, "b64_json"),
        (r#"{"data":[]}"#, Failure::BadStream, "no picture"),
        (r#"{"data":[{"b64_json":"?"}]}"#, Failure::BadStream, "base64"),
        (r#"{"data":5}"#, Failure::BadStream, "no picture"),
        (r#"{"error":{"message":"Not that","code":"moderation_blocked"}}"#, Failure::Rejected, "Not that"),
        ("data: {\"type\":\"error\",\"error\":{\"message\":\"It broke\"}}\n\n", Failure::Failed, "It broke"),
        ("event: error\ndata: {\"error\":{\"message\":\"It broke\"}}\n\n", Failure::Failed, "It broke"),
        ("<title>Log in</title>", Failure::BadStream, "Log in"),
        ("data: {\"choices\":[]}\n\n", Failure::BadStream, "Images API"),
    ] {
        let error = at_once(1, body).1.unwrap_err();
        assert!(error.failure == failure && error.message.contains(shown), "{body}: {error:?}");
    }
}

#[test]
fn a_large_picture_passes() {
    let body =
        format!("data: {{\"type\":\"image_generation.completed\",\"b64_json\":\"{}\"}}\n\n", "AAAA".repeat(2 << 20));
    let (events, ended) = decode(1, body.as_bytes(), 65_536);
    assert!(ended.is_ok() && matches!(&events[0], Event::Image(piece) if piece.media.data.len() == 6 << 20));
}

proptest! {
    #[test]
    fn no_input_panics_and_no_cut_matters(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: ", "\n\n", "{", "}", "[", "]", "\"type\":", "\"image_generation.completed\"", "\"b64_json\":", "\"AAAA\"", "\"?\"", ",",
            "[DONE]", "\"data\":", "event: error\n", "<html>", PREVIEW, COMPLETED,
        ]), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..6),
        piece_len in 1usize..9,
    ) {
        let body = [pieces.concat().as_bytes(), &noise].concat();
        prop_assert_eq!(decode(2, &body, body.len().max(1)), decode(2, &body, piece_len));
    }
}
