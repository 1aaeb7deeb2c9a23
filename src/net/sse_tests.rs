//! Tests of the SSE parser: the standard's own cases, then any bytes in any cut against a plain reading of the standard.

use proptest::prelude::*;

use super::*;

/// Name, data and id of an event, decoded as the standard decodes the whole stream.
type Seen = (String, String, String);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn feed(parser: &mut Parser, mut piece: &[u8], seen: &mut Vec<Seen>) -> Result<(), EventTooLong> {
    while let Some(event) = parser.next(&mut piece)? {
        seen.push((text(event.name), text(event.data), text(event.id)));
    }
    assert!(piece.is_empty(), "None means that all was taken");
    Ok(())
}

fn parse(stream: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    feed(&mut Parser::default(), stream, &mut seen).expect("short events fit");
    seen
}

fn datas(stream: &[u8]) -> Vec<String> {
    parse(stream).into_iter().map(|(_, data, _)| data).collect()
}

#[test]
fn line_ends_of_all_three_kinds() {
    for stream in [
        &b"data: a\n\ndata: b\n\n"[..],
        b"data: a\r\rdata: b\r\r",
        b"data: a\r\n\r\ndata: b\r\n\r\n",
        b"data: a\r\n\ndata: b\r\r\n",
        b"\n\ndata:a\n\r\ndata:b\n\n\n",
    ] {
        assert_eq!(datas(stream), ["a", "b"], "{}", text(stream));
    }
    assert_eq!(datas(b"data: a\r\ndata: b\r\n\r\n"), ["a\nb"], "CRLF is one line end and not two");
}

#[test]
fn the_standards_own_examples() {
    assert_eq!(datas(b"data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
    let stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    let want = [("", "first event", "1"), ("", "second event", ""), ("", " third event", "")];
    assert_eq!(parse(stream), want.map(|(name, data, id)| (name.to_owned(), data.to_owned(), id.to_owned())));
    assert_eq!(datas(b"data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(datas(b"data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn comments_are_counted_and_nothing_else_is() {
    let stream = b": alive\n\ndata: a\n:\n\nevent: x\n :no comment\n\n:: two\r\n:three";
    let (mut parser, mut piece) = (Parser::default(), &stream[..]);
    let event = parser.next(&mut piece).unwrap().expect("an event");
    assert_eq!((event.data, event.comments), (&b"a"[..], 2), "the one within an event is in time for it");
    assert_eq!(parser.next(&mut piece), Ok(None));
    assert_eq!(parser.comments(), 3, "a comment counts when its line has ended");
}

#[test]
fn fields() {
    let stream = b"event: error\ndata: x\n\nevent: lost\n\ndata: y\nid: 7\nid: a\0b\nretry: 150\nretry: 1s\nretry:\nother: z\n\n";
    let mut parser = Parser::default();
    let mut seen = Vec::new();
    feed(&mut parser, stream, &mut seen).unwrap();
    assert_eq!(seen[0], ("error".into(), "x".into(), String::new()));
    assert_eq!(seen[1], (String::new(), "y".into(), "7".into()), "an event without data leaves nothing behind");
    assert_eq!(seen.len(), 2);
    assert_eq!(parser.retry(), Some(Duration::from_millis(150)));
}

#[test]
fn a_byte_order_mark_only_at_the_very_start() {
    assert_eq!(datas(b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\ndata: c\n\n"), ["a", "c"]);
    assert_eq!(datas(b"\xEF\xBBdata: a\n\ndata: b\n\n"), ["b"]);
    let mut parser = Parser::default();
    let mut seen = Vec::new();
    for byte in b"\xEF\xBB\xBFdata: a\n\n" {
        feed(&mut parser, &[*byte], &mut seen).unwrap();
    }
    assert_eq!(seen[0].1, "a");
}

#[test]
fn an_event_in_one_piece_is_borrowed_and_costs_no_memory() {
    let stream = b"data: {\"a\":1}\n\ndata: {\"b\":2}\r\n\r\n";
    let mut parser = Parser::default();
    let mut rest = &stream[..];
    while let Some(event) = parser.next(&mut rest).unwrap() {
        assert!(stream.as_ptr_range().contains(&event.data.as_ptr()), "copied: {}", text(event.data));
    }
    let held = parser.line.capacity() + parser.spare.capacity() + parser.name.capacity() + parser.id.capacity();
    assert_eq!((held, parser.data), (0, None));
}

#[test]
fn a_long_event_in_small_pieces_is_whole_and_gives_its_memory_back() {
    // A parser that looked at every byte again with each piece would take minutes here; `benches/parse.rs` has the figures.
    let bytes = 8 << 20;
    let mut stream = b"data: ".to_vec();
    stream.resize(bytes, b'x');
    stream.extend_from_slice(b"\n\n");
    let mut seen = Vec::new();
    let mut parser = Parser::default();
    for piece in stream.chunks(100) {
        feed(&mut parser, piece, &mut seen).unwrap();
    }
    assert_eq!(seen[0].1.len(), bytes - 6);
    feed(&mut parser, b": next\n", &mut seen).unwrap();
    assert!(parser.line.capacity() + parser.spare.capacity() <= KEPT_BYTES_MAX, "the memory is given back");
}

#[test]
fn an_event_over_the_limit_is_an_error_that_stays() {
    for stream in
        [&b"data: 0123456789\n\n"[..], b"data: 0123456789", b"data: 012345\ndata: 0123\n\n", b":0123456789012345"]
    {
        for piece_len in [1, 3, stream.len()] {
            let mut parser = Parser::new(15);
            let mut seen = Vec::new();
            let failed = stream.chunks(piece_len).find_map(|piece| feed(&mut parser, piece, &mut seen).err());
            assert_eq!(failed, Some(EventTooLong { limit_bytes: 15 }), "{} by {piece_len}", text(stream));
            assert_eq!(feed(&mut parser, b"\n\ndata: a\n\n", &mut seen), Err(EventTooLong { limit_bytes: 15 }));
            assert_eq!(seen, []);
        }
    }
    let mut seen = Vec::new();
    feed(&mut Parser::new(15), b"data: 012345678\n\ndata: 012345678\n\n", &mut seen).unwrap();
    assert_eq!(seen.len(), 2, "the limit counts an event and not the stream");
}

/// The standard, read plainly: decode, cut into lines, go through them. Only for whole streams.
fn reference(stream: &[u8]) -> Vec<Seen> {
    let decoded = text(stream.strip_prefix(BOM).unwrap_or(stream)).replace("\r\n", "\n").replace('\r', "\n");
    let (mut seen, mut name, mut data, mut id) = (Vec::new(), String::new(), String::new(), String::new());
    let Some((complete, _)) = decoded.rsplit_once('\n') else { return seen };
    for line in complete.split('\n') {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                seen.push((name.clone(), data.to_owned(), id.clone()));
            }
            data.clear();
            name.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data = data + value + "\n",
            "event" => name = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    seen
}

/// Streams that look like streams, and now and then like nothing.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(vec![
            "data", "event", "id", "retry", ":", ": ", " ", "\n", "\r", "\r\n", "\n\n", "é", "🦀", "\u{FEFF}", "\0", "17", "x",
            "data: {\"a\":\"b\"}\n\n", ": ping\n\n",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_standards_events(stream in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut parser = Parser::default();
        let mut seen = Vec::new();
        for pair in cuts.windows(2) {
            feed(&mut parser, &stream[pair[0]..pair[1]], &mut seen).unwrap();
        }
        prop_assert_eq!(&seen, &reference(&stream));
    }

    #[test]
    fn the_limit_does_not_depend_on_the_cut(stream in streams(), limit_bytes in 0usize..40, piece_len in 1usize..9) {
        let (mut whole, mut cut) = (Vec::new(), Vec::new());
        let whole_end = feed(&mut Parser::new(limit_bytes), &stream, &mut whole);
        let mut parser = Parser::new(limit_bytes);
        let cut_end = stream.chunks(piece_len).try_for_each(|piece| feed(&mut parser, piece, &mut cut));
        prop_assert_eq!(whole, cut);
        prop_assert_eq!(whole_end, cut_end);
    }
}
