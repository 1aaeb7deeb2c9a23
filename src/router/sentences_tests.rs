//! The splitter, by example and by any text.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{SENTENCE_LETTERS_MAX, Sentences};

fn split_in(pieces: &[&str]) -> Vec<String> {
    let (mut sentences, mut out) = (Sentences::default(), VecDeque::new());
    for piece in pieces {
        sentences.push(piece, &mut out);
    }
    sentences.finish(&mut out);
    out.into()
}

fn split(text: &str) -> Vec<String> {
    split_in(&[text])
}

#[test]
fn sentences_end_where_people_end_them() {
    for (text, want) in [
        ("Hello. How are you? Fine! Yes…", &["Hello.", "How are you?", "Fine!", "Yes…"][..]),
        ("It costs 3.5 euros. Or 1,000.50 dollars.", &["It costs 3.5 euros.", "Or 1,000.50 dollars."]),
        ("Dr. Smith met Mrs. Jones at 5 p.m. today.", &["Dr. Smith met Mrs. Jones at 5 p.m. today."]),
        ("Use fruit, e.g. Apples. Done.", &["Use fruit, e.g. Apples.", "Done."]),
        ("Das geht z.B. Montags, d. h. nie. Gut.", &["Das geht z.B. Montags, d. h. nie.", "Gut."]),
        ("Am 3. Oktober 1990. Danach bzw. Später.", &["Am 3. Oktober 1990.", "Danach bzw. Später."]),
        ("M. Dupont et Mme. Durand. Bien.", &["M. Dupont et Mme. Durand.", "Bien."]),
        ("El Sr. López y la Sra. Gil. Sí.", &["El Sr. López y la Sra. Gil.", "Sí."]),
        ("Dhr. Jansen, bijv. Morgen. Ja.", &["Dhr. Jansen, bijv. Morgen.", "Ja."]),
        ("J. R. R. Tolkien wrote it. Really.", &["J. R. R. Tolkien wrote it.", "Really."]),
        ("Apples, pears, etc. Then more, etc. and so on.", &["Apples, pears, etc.", "Then more, etc. and so on."]),
        ("Well... maybe. So... Perhaps!", &["Well... maybe.", "So...", "Perhaps!"]),
        ("What?! No!! \"Stop!\" he cried.", &["What?!", "No!!", "\"Stop!\" he cried."]),
        ("He said “Go.” Then he left.", &["He said “Go.”", "Then he left."]),
        ("It works (see p. 3. Or not) well. Yes.", &["It works (see p. 3. Or not) well.", "Yes."]),
        ("Open example.com/a.html?b=1 now. Good.", &["Open example.com/a.html?b=1 now.", "Good."]),
        ("Version 1.2.3.4 of v2.0 is out.", &["Version 1.2.3.4 of v2.0 is out."]),
        ("今天天气很好。我们去公园吧！好吗？", &["今天天气很好。", "我们去公园吧！", "好吗？"]),
        ("「行こう。」彼は言った；そして去った。", &["「行こう。」", "彼は言った；", "そして去った。"]),
        ("क्या हाल है? ठीक हूँ। धन्यवाद।", &["क्या हाल है?", "ठीक हूँ।", "धन्यवाद।"]),
    ] {
        assert_eq!(split(text), want, "{text}");
    }
}

#[test]
fn lines_and_blocks() {
    for (text, want) in [
        ("# The title\nText below", &["The title", "Text below"][..]),
        ("Three things:\n- one\n- **two**\n* three", &["Three things:", "one", "two", "three"]),
        ("1. Open it\n2. Close it\n10) Go", &["1. Open it", "2. Close it", "10) Go"]),
        (
            "A line that was\nbroken because it was full.\nNext",
            &["A line that was broken because it was full.", "Next"],
        ),
        ("One verse\nAnother verse\n\nand a stanza", &["One verse", "Another verse", "and a stanza"]),
        ("> quoted words\n> go on", &["quoted words go on"]),
        ("Before:\n```rust\nfn main() { panic!(\"a. B\") }\n```\nAfter.", &["Before:", "After."]),
        ("~~~\ncode\n```\nstill code\n~~~~\nText", &["Text"]),
        ("Before\n```\nnever closed. Never spoken.", &["Before"]),
        ("| Name | Size |\n|---|:-:|\n| **Moon** | 3.4 |\nEnd", &["Name, Size", "Moon, 3.4", "End"]),
        ("---\n\nText\n===\n", &["Text"]),
        ("#hashtag and `code`.\n``odd``", &["#hashtag and code.", "odd"]),
        ("-5 degrees. 3.5 litres\n2nd place", &["-5 degrees.", "3.5 litres", "2nd place"]),
        ("**Bold sentence.** Next one.", &["Bold sentence.", "Next one."]),
        ("See [a. B](http://x.example/y.z) there. Yes.", &["See a. B there.", "Yes."]),
        ("🎉\n\n...\n", &[]),
        ("Windows\r\n\r\nlines", &["Windows", "lines"]),
    ] {
        assert_eq!(split(text), want, "{text:?}");
    }
}

#[test]
fn the_first_sound_comes_soon() {
    let text =
        "Of course I can tell you about the moon, which is a very fine thing, and about the sun, too. Then more.";
    let got = split(text);
    assert_eq!(got[0], "Of course I can tell you about the moon,");
    assert_eq!(got[1], "which is a very fine thing, and about the sun, too.", "only the first is cut");
    assert_eq!(split("Well, yes, no, and so on.").len(), 1, "a short one is left whole");
    let mut sentences = Sentences::default();
    let mut out = VecDeque::new();
    sentences.push("Hello there! H", &mut out);
    assert_eq!(out, ["Hello there!"], "as soon as the next one begins");
}

#[test]
fn long_sentences_are_cut_at_a_blank_and_endless_words_are_left() {
    let words = "word ".repeat(500);
    let got = split(&words);
    assert!(got.iter().all(|one| one.len() <= SENTENCE_LETTERS_MAX + 1 && one.ends_with("word")), "{got:?}");
    assert_eq!(got.join(" "), words.trim_end());
    let commas = format!("{}, {}", "a".repeat(250), "word ".repeat(30));
    assert!(split(&commas)[0].ends_with("a,"));
    let endless = format!("See {} and so on.", "x".repeat(5000));
    let got = split(&endless);
    assert!(got.iter().map(String::len).sum::<usize>() < 400 && got.last().unwrap() == "and so on.", "{got:?}");
    let chinese = split(&"月".repeat(1000));
    assert!(chinese.iter().all(|one| one.chars().count() <= 101), "a hundred syllables at once");
    assert_eq!(chinese.concat().chars().count(), 1000);
    let unclosed = format!("An (open bracket. {}", "It goes on. ".repeat(60));
    assert!(split(&unclosed).len() > 20, "a bracket that stays open is no excuse");
    let row = format!("| {} |\n", "cell ".repeat(2000));
    assert!(split(&row).len() > 3);
}

/// Text with all that means something to the splitter in it.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z]{1,8}",
        r"[.!?…,;:。！？；，\n \-#*_`~|()\[\]<>&>0-9\\]{1,4}",
        "\\PC{1,3}",
        Just("```\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("https://a.example/b.c ".to_owned()),
        Just("z.B. ".to_owned()),
        Just("3. ".to_owned()),
        Just("👩‍👧".to_owned()),
        Just("漢字かな".to_owned()),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cut_of_the_stream_does_not_show(text in any_text(), cuts in proptest::collection::vec(0usize..400, 0..20)) {
        let mut places: Vec<usize> = cuts.into_iter().map(|at| text.floor_char_boundary(at.min(text.len()))).collect();
        places.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for at in places {
            pieces.push(&text[from..at]);
            from = at;
        }
        pieces.push(&text[from..]);
        prop_assert_eq!(split_in(&pieces), split(&text));
    }

    #[test]
    fn sentences_are_short_and_have_something_to_say(text in any_text()) {
        for sentence in split(&text) {
            prop_assert!(sentence.chars().any(char::is_alphanumeric), "{sentence:?}");
            prop_assert!(sentence.chars().count() <= 2 * SENTENCE_LETTERS_MAX, "{sentence:?}");
            prop_assert!(!sentence.contains('\n') && sentence.trim() == sentence, "{sentence:?}");
        }
    }

    #[test]
    fn no_word_of_plain_text_is_lost(words in proptest::collection::vec("[a-zé]{1,12}[.!?,]?", 1..200)) {
        let text = words.join(" ");
        prop_assert_eq!(split(&text).join(" "), text);
    }
}
