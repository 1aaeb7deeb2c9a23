//! The speaker with voices on strings: sentence after sentence, ahead, in time, and who stands in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::adapters::speech::{Voice, VoiceName};
use crate::common::error::ErrorCode;

/// Far above what any step takes.
const HANG: Duration = Duration::from_secs(20);

/// One sentence that a voice was asked for; what the test sends is its sound.
struct Asked {
    request: SpeechRequest,
    string: mpsc::Sender<Result<Bytes, ProviderError>>,
}

struct Puppet(mpsc::UnboundedSender<Asked>);

impl Voice for Puppet {
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
        let (string, sound) = mpsc::channel(4);
        self.0.send(Asked { request, string }).expect("the test listens");
        let sound = stream::unfold(sound, |mut sound| async { Some((sound.recv().await?, sound)) });
        let sound = sound.map(|sound: Result<_, _>| sound.map(Spoken::Sound));
        Box::pin(std::future::ready(Ok(sound.boxed())))
    }

    fn formats(&self) -> &[AudioFormat] {
        &AudioFormat::ALL
    }

    fn model(&self) -> &str {
        "puppet"
    }
}

/// A speaker and what its two voices are asked.
fn speaker(format: AudioFormat) -> (Speaker, mpsc::UnboundedReceiver<Asked>, mpsc::UnboundedReceiver<Asked>) {
    let link = |name| {
        let (tell, asked) = mpsc::unbounded_channel();
        (Link { name, own: None, voice: Arc::new(Puppet(tell)) }, asked)
    };
    let ((first, first_asked), (second, second_asked)) = (link(VoiceName::Openai), link(VoiceName::Espeak));
    let wish = VoiceWish { format, ..VoiceWish::default() };
    (Speaker::new(vec![first, second], &wish), first_asked, second_asked)
}

async fn heard(speaker: &mut Speaker) -> Heard {
    timeout(HANG, speaker.next()).await.expect("something within reason")
}

async fn piece(speaker: &mut Speaker) -> AudioPiece {
    match heard(speaker).await {
        Heard::Piece(piece) => piece,
        other => panic!("no sound: {other:?}"),
    }
}

/// The next thing asked of a voice while the speaker is at work.
async fn asked(speaker: &mut Speaker, of: &mut mpsc::UnboundedReceiver<Asked>) -> Asked {
    tokio::select! {
        biased;
        asked = of.recv() => asked.expect("a voice"),
        heard = speaker.next() => panic!("not asked but heard: {heard:?}"),
        () = tokio::time::sleep(HANG) => panic!("nothing was asked"),
    }
}

const PIECE: Bytes = Bytes::from_static(&[7; 2400]);

#[tokio::test]
async fn the_next_sentence_is_asked_for_while_one_is_spoken_and_no_further() {
    let (mut speaker, mut voice, _) = speaker(AudioFormat::Pcm);
    speaker.give("One is here. Two is here. Three is here. Four");
    let one = asked(&mut speaker, &mut voice).await;
    assert_eq!(one.request.text, "One is here.");
    let two = asked(&mut speaker, &mut voice).await;
    assert_eq!(two.request.text, "Two is here.");
    one.string.send(Ok(PIECE)).await.unwrap();
    let first = piece(&mut speaker).await;
    assert_eq!((first.sentence, first.text.as_deref(), first.at_ms), (0, Some("One is here."), 0));
    assert!(voice.try_recv().is_err(), "only one ahead");
    drop(one);
    two.string.send(Ok(PIECE)).await.unwrap();
    let second = piece(&mut speaker).await;
    assert_eq!((second.sentence, second.text.as_deref(), second.at_ms), (1, Some("Two is here."), 50));
    drop(two);
    let three = asked(&mut speaker, &mut voice).await;
    drop(three);
    assert!(timeout(Duration::from_millis(20), speaker.next()).await.is_err(), "it waits for more text");
    speaker.end_text();
    let four = asked(&mut speaker, &mut voice).await;
    assert_eq!(four.request.text, "Four");
    four.string.send(Ok(Bytes::from_static(&[1; 10]))).await.unwrap();
    drop(four);
    let last = piece(&mut speaker).await;
    assert_eq!((last.sentence, last.at_ms, last.data.len(), last.last), (2, 100, 10, true));
    assert!(matches!(heard(&mut speaker).await, Heard::Finished));
    assert!(matches!(heard(&mut speaker).await, Heard::Finished), "and stays so");
}

#[tokio::test]
async fn the_end_is_marked_even_where_the_text_ends_late() {
    let (mut speaker, mut voice, _) = speaker(AudioFormat::Mp3);
    speaker.give("One is here.\n\n");
    let one = asked(&mut speaker, &mut voice).await;
    assert_eq!(one.request.format, AudioFormat::Mp3);
    one.string.send(Ok(PIECE)).await.unwrap();
    drop(one);
    assert!(!piece(&mut speaker).await.last);
    speaker.end_text();
    let last = piece(&mut speaker).await;
    assert!(last.last && last.data.is_empty() && last.sentence == 0);
    assert!(matches!(heard(&mut speaker).await, Heard::Finished));
}

#[tokio::test]
async fn another_voice_begins_anew_as_long_as_nothing_was_heard() {
    let (mut speaker, mut first, mut second) = speaker(AudioFormat::Pcm);
    speaker.give("One is here. Two is here.");
    speaker.end_text();
    let one = asked(&mut speaker, &mut first).await;
    let ahead = asked(&mut speaker, &mut first).await;
    // Less than a piece has not been heard.
    one.string.send(Ok(PIECE.slice(..100))).await.unwrap();
    one.string.send(Err(ProviderError::new(Failure::QuotaExhausted, "no credit"))).await.unwrap();
    let Heard::Notice(notice) = heard(&mut speaker).await else { panic!("no notice") };
    assert_eq!(notice, "openai does not speak: no credit; espeak speaks instead");
    ahead.string.closed().await;
    for (want, at_ms) in [("One is here.", 0), ("Two is here.", 50)] {
        let said = asked(&mut speaker, &mut second).await;
        assert_eq!(said.request.text, want);
        said.string.send(Ok(PIECE)).await.unwrap();
        let piece = piece(&mut speaker).await;
        assert_eq!((piece.text.as_deref(), piece.at_ms), (Some(want), at_ms));
    }
    assert!(first.try_recv().is_err(), "whoever failed is not asked again");
}

#[tokio::test]
async fn a_failure_within_a_sentence_ends_the_speaking() {
    let (mut speaker, mut first, mut second) = speaker(AudioFormat::Pcm);
    speaker.give("One is here. Two is here.");
    let one = asked(&mut speaker, &mut first).await;
    one.string.send(Ok(PIECE)).await.unwrap();
    piece(&mut speaker).await;
    one.string.send(Err(ProviderError::new(Failure::CutOff, "it broke off"))).await.unwrap();
    let last = piece(&mut speaker).await;
    assert!(last.last && last.data.is_empty());
    let Heard::Failed(body) = heard(&mut speaker).await else { panic!("no failure") };
    assert_eq!((body.code, body.message.as_str()), (ErrorCode::ProviderError, "openai: it broke off"));
    assert!(matches!(heard(&mut speaker).await, Heard::Finished));
    assert!(second.try_recv().is_err());
}

#[tokio::test]
async fn where_nobody_speaks_both_reasons_are_told() {
    let (mut speaker, mut first, mut second) = speaker(AudioFormat::Pcm);
    speaker.give("One is here.");
    speaker.end_text();
    let one = asked(&mut speaker, &mut first).await;
    one.string.send(Err(ProviderError::new(Failure::Auth, "no key"))).await.unwrap();
    assert!(matches!(heard(&mut speaker).await, Heard::Notice(_)));
    let one = asked(&mut speaker, &mut second).await;
    one.string.send(Err(ProviderError::new(Failure::Unreachable, "not installed"))).await.unwrap();
    let Heard::Failed(body) = heard(&mut speaker).await else { panic!("no failure") };
    assert_eq!((body.code, body.message.as_str()), (ErrorCode::ProviderAuth, "openai: no key; espeak: not installed"));
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let (mut speaker, mut first, mut second) = speaker(AudioFormat::Pcm);
    (speaker.first_sound, speaker.gap) = (Duration::from_millis(30), Duration::from_millis(30));
    speaker.give("One is here.\n\n");
    let _silent = asked(&mut speaker, &mut first).await;
    let Heard::Notice(notice) = heard(&mut speaker).await else { panic!("no notice") };
    assert_eq!(notice, "openai does not speak: no sound within 0.03 s; espeak speaks instead");
    let one = asked(&mut speaker, &mut second).await;
    one.string.send(Ok(PIECE)).await.unwrap();
    piece(&mut speaker).await;
    // A listener who takes his time is no fault of the voice's.
    tokio::time::sleep(Duration::from_millis(60)).await;
    one.string.send(Ok(PIECE)).await.unwrap();
    assert!(!piece(&mut speaker).await.last);
    assert!(piece(&mut speaker).await.last, "the end of what was heard");
    let Heard::Failed(body) = heard(&mut speaker).await else { panic!("no failure") };
    assert_eq!(body.code, ErrorCode::Timeout);
}

#[tokio::test]
async fn text_that_piles_up_is_bounded() {
    let (mut speaker, mut voice, _) = speaker(AudioFormat::Pcm);
    for _ in 0..5000 {
        speaker.give("This is one more sentence. ");
    }
    assert!(speaker.waiting_bytes <= WAITING_BYTES_MAX && speaker.waiting_bytes > WAITING_BYTES_MAX - 100);
    assert!(matches!(heard(&mut speaker).await, Heard::Notice(_)), "which is told at once");
    let one = asked(&mut speaker, &mut voice).await;
    one.string.send(Ok(PIECE)).await.unwrap();
    piece(&mut speaker).await;
}

#[tokio::test]
async fn a_sentence_without_a_sound_is_passed_over() {
    let (mut speaker, mut voice, _) = speaker(AudioFormat::Wav);
    speaker.give("One is here. Two is here.");
    speaker.end_text();
    let one = asked(&mut speaker, &mut voice).await;
    assert_eq!(one.request.format, AudioFormat::Pcm, "the header is the router's");
    drop(one);
    let two = asked(&mut speaker, &mut voice).await;
    two.string.send(Ok(PIECE)).await.unwrap();
    drop(two);
    let file = piece(&mut speaker).await;
    assert_eq!((file.sentence, file.text.as_deref(), file.last), (0, Some("Two is here."), true));
    assert_eq!((&file.data[..4], file.data.len()), (&b"RIFF"[..], 2444));
}
