//! Tests of pictures to order: which sizes can be had, and how the answers to one order become one answer.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::common::chat::Media;

fn order(model: &str, size: &str) -> ImageRequest {
    ImageRequest { model: model.into(), size: Some(size.into()), n: 1, ..ImageRequest::default() }
}

#[test]
fn sizes_become_shapes() {
    const OLD: &str = "gemini-2.5-flash-image";
    const NEW: &str = "gemini-3-pro-image-preview";
    for (model, size, want) in [
        (OLD, "auto", (None, None)),
        (OLD, " ", (None, None)),
        (OLD, "1024x1024", (Some("1:1"), None)),
        (OLD, "1536x1024", (Some("3:2"), None)),
        (OLD, "1024x1536", (Some("2:3"), None)),
        (OLD, "1792x1024", (Some("16:9"), None)),
        (OLD, "864x1184", (Some("3:4"), None)),
        (OLD, "16:9", (Some("16:9"), None)),
        (OLD, "42:18", (Some("21:9"), None)),
        (NEW, "2048x2048", (Some("1:1"), Some("2K"))),
        (NEW, "4096x4096", (Some("1:1"), Some("4K"))),
        (NEW, "1024x1024", (Some("1:1"), None)),
    ] {
        let picture = picture(&order(model, size)).unwrap();
        assert_eq!((picture.aspect_ratio, picture.image_size), want, "{model} {size}");
    }
    for (model, size) in [
        (OLD, "1024"),
        (OLD, "0x0"),
        (OLD, "1024x0"),
        (OLD, "3000x1000"),
        (OLD, "1:3"),
        (OLD, "-1:1"),
        (OLD, "large"),
        (OLD, "2048x2048"),
        (NEW, "9000x9000"),
        (OLD, "99999999999x1"),
        ("imagen-4.0-generate-001", "1:1"),
    ] {
        let error = picture(&order(model, size)).unwrap_err();
        assert_eq!(error.failure, Failure::Unsupported, "{model} {size}: {error}");
        assert!(error.message.len() < 200, "{error}");
    }
}

fn image(index: u32, partial: Option<u32>, data: &'static str) -> Event {
    let media = Media { mime: "image/png".into(), data: Bytes::from_static(data.as_bytes()) };
    Event::Image(Box::new(ImagePiece { index, partial, media }))
}

fn usage(input_tokens: u64, output_tokens: u64, reasoning_tokens: Option<u64>) -> Event {
    Event::Usage(Box::new(Usage { input_tokens, output_tokens, reasoning_tokens, ..Usage::default() }))
}

/// What comes of these answers, each whole unless its last item is an error. The clock stands still.
fn together(answers: Vec<Vec<Result<Event, ProviderError>>>, previews: u8) -> Vec<Result<Event, ProviderError>> {
    #[expect(clippy::disallowed_methods, reason = "some moment is needed, and none of them matters")]
    let received_at = Instant::now();
    let easels = answers.into_iter().map(|items| {
        let items = items.into_iter().map(move |item| item.map(|event| Arrival { received_at, event }));
        Easel::new(Box::pin(stream::iter(items)) as Answer)
    });
    let studio = Studio::new(easels.collect(), previews);
    let all = studio.collect::<Vec<_>>().now_or_never().expect("nothing waits");
    let alive = |item: &Result<Event, _>| matches!(item, Ok(Event::Started { model: None }));
    all.into_iter().map(|item| item.map(|arrival| arrival.event)).filter(|item| !alive(item)).collect()
}

#[test]
fn many_pictures_are_one_answer() {
    let stop = Ok(Event::Finish(FinishReason::Stop));
    let easel = |data, tokens| {
        vec![
            Ok(Event::Text("Here it is".into())),
            Ok(image(0, Some(0), "sketch")),
            Ok(image(0, Some(1), "another")),
            Ok(usage(1, 0, None)),
            Ok(image(0, None, data)),
            stop.clone(),
            Ok(usage(1, tokens, Some(2))),
        ]
    };
    let events = together(vec![easel("one", 10), easel("two", 20)], 1);
    let want = [
        image(0, Some(0), "sketch"),
        usage(1, 0, None),
        image(0, None, "one"),
        usage(1, 10, Some(2)),
        image(1, Some(0), "sketch"),
        usage(2, 10, Some(2)),
        image(1, None, "two"),
        usage(2, 30, Some(4)),
        Event::Finish(FinishReason::Stop),
    ];
    assert_eq!(events, want.map(Ok));
}

#[test]
fn no_picture_is_no_answer() {
    let why = |events: Vec<Event>| {
        let events = together(vec![events.into_iter().map(Ok).collect()], 0);
        let error = events.last().unwrap().clone().unwrap_err();
        assert_eq!((events.len(), error.failure), (1, Failure::Rejected));
        error.message
    };
    let said = why(vec![Event::Text("I can only\nwrite".into()), Event::Finish(FinishReason::Stop)]);
    assert!(said.starts_with("Gemini painted nothing and said: I can only write. Put"), "{said}");
    let said = why(vec![Event::Text("é".repeat(9999).into()), Event::Finish(FinishReason::Stop)]);
    assert!(said.chars().count() < 2 * SAID_CHARS_MAX, "{said}");
    assert!(why(vec![Event::Finish(FinishReason::ContentFilter)]).starts_with("Gemini refused to paint this. Put"));
    let odd = why(vec![image(0, Some(0), "sketch"), Event::Finish(FinishReason::Other("NO_IMAGE".into()))]);
    assert!(odd.starts_with("Gemini painted nothing (\"NO_IMAGE\")"), "{odd}");
}

#[test]
fn one_that_breaks_ends_them_all() {
    let error = ProviderError::new(Failure::CutOff, "gone");
    let events =
        together(vec![vec![Ok(image(0, None, "one")), Err(error.clone())], vec![Ok(image(0, None, "two"))]], 0);
    assert_eq!(events, [Ok(image(0, None, "one")), Err(error)]);
}
