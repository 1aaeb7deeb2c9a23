//! A turn and its voice together, both on strings.

use std::time::Duration;

use hearth::adapters::speech::VoiceName;
use hearth::common::chat::{Event, FinishReason};
use hearth::common::config::{Config, ModelProfileSeed, SpeechChoice};
use hearth::common::error::{ErrorCode, Failure, ProviderError};
use hearth::common::events::News;
use hearth::common::speech::AudioFormat;
use hearth::router::{Mode, VoiceWish};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{House, Job, Listening, chat, notices, pieces, speak, summary};
use crate::world::provider::now;
use crate::world::puppets::{self, Answering, Sentence};
use crate::world::soon;

/// The bar is 5 ms on an idle machine; this leaves room for a busy one and is far below every deadline of the hub's.
const SILENT_MAX: Duration = Duration::from_millis(500);

struct Stage {
    house: House,
    provider: mpsc::UnboundedReceiver<Answering>,
    /// The voice that the config chooses, and the one that stands in.
    wyoming: mpsc::UnboundedReceiver<Sentence>,
    espeak: mpsc::UnboundedReceiver<Sentence>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(SpeechChoice::Wyoming)
    }

    fn with(active: SpeechChoice) -> Stage {
        let ((first, wyoming), (second, espeak)) = (puppets::voice(), puppets::voice());
        let (teller, provider) = puppets::provider();
        let mut config = Config::default();
        config.speech.active = active;
        let voices = vec![(VoiceName::Wyoming, first), (VoiceName::Espeak, second)];
        Stage { house: House::new(config, Some(teller), voices), provider, wyoming, espeak }
    }

    /// A chat and the string of its answer.
    async fn chat(&mut self, queue_len: usize) -> (Listening, Answering) {
        self.house.store.seed_profile(&ModelProfileSeed::default()).await.expect("a fresh store takes a profile");
        let listening = self.house.start(chat(VoiceWish::default()), queue_len);
        (listening, soon("a question", self.provider.recv()).await.expect("a provider"))
    }
}

async fn asked(of: &mut mpsc::UnboundedReceiver<Sentence>) -> Sentence {
    soon("a sentence to speak", of.recv()).await.expect("a voice")
}

async fn tell(string: &Answering, text: &str) {
    soon("a place", string.send(Ok(Event::Text(text.into())))).await.expect("the turn listens");
}

/// Ends an answer well.
async fn end(string: Answering) {
    soon("a place", string.send(Ok(Event::Finish(FinishReason::Stop)))).await.expect("the turn listens");
}

fn text(piece: &str) -> News {
    News::Text(piece.into())
}

#[tokio::test]
async fn the_text_passes_at_once_and_the_end_waits_for_the_last_sound() {
    let mut stage = Stage::new();
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "One is here. T").await;
    assert_eq!(heard.next().await, text("One is here. T"));
    soon("a place", string.send(Ok(Event::Reasoning("Hm. Not spoken. ".into())))).await.unwrap();
    assert!(matches!(heard.next().await, News::Reasoning(_)));
    let one = asked(&mut stage.wyoming).await;
    assert_eq!(one.request.text, "One is here.");
    // While the voice says nothing yet, text goes on.
    tell(&string, "wo is here.").await;
    assert_eq!(heard.next().await, text("wo is here."));
    end(string).await;
    assert!(timeout(Duration::from_millis(50), heard.news.recv()).await.is_err(), "the end waits");
    let two = asked(&mut stage.wyoming).await;
    assert_eq!(two.request.text, "Two is here.", "asked for ahead");
    one.sing(60).await;
    drop(one);
    two.sing(50).await;
    drop(two);
    let rest = heard.rest().await;
    let sound: Vec<_> = pieces(&rest)
        .iter()
        .map(|piece| (piece.sentence, piece.text.as_deref(), piece.at_ms, piece.data.len(), piece.last))
        .collect();
    assert_eq!(
        sound,
        [
            (0, Some("One is here."), 0, 2400, false),
            (0, None, 50, 480, false),
            (1, Some("Two is here."), 60, 2400, false),
            (1, None, 110, 0, true),
        ]
    );
    assert_eq!(&*summary(&rest).provider, "local");
    assert_eq!(rest.len(), 5, "{rest:?}");
    let kept = stage.house.store.messages("c", None, 9).await.unwrap();
    assert_eq!(kept[1].text, "One is here. Two is here.");
}

#[tokio::test]
async fn an_answer_without_words_ends_at_once() {
    let mut stage = Stage::new();
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "```\ncode. More code.\n```\n").await;
    end(string).await;
    let news = heard.rest().await;
    assert!(matches!(&news[..], [News::Text(_), News::Done(_)]), "{news:?}");
}

#[tokio::test]
async fn a_stop_is_silence_and_leaves_everybody() {
    let mut stage = Stage::new();
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "One is here. Two is here. Three").await;
    let (one, two) = (asked(&mut stage.wyoming).await, asked(&mut stage.wyoming).await);
    one.sing(50).await;
    while !matches!(heard.next().await, News::Audio(_)) {}
    let stopped_at = now();
    heard.cancel();
    for closed in [one.string.closed(), two.string.closed()] {
        soon("a voice that is left", closed).await;
    }
    soon("a provider that is left", string.closed()).await;
    let took = stopped_at.elapsed();
    println!("stage: silent {took:?} after the stop");
    assert!(took < SILENT_MAX, "silent after {took:?}");
    let rest = heard.rest().await;
    let [News::Failed(failure)] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!(failure.error.code, ErrorCode::Cancelled);
    let kept = stage.house.store.messages("c", None, 9).await.unwrap();
    assert!(kept[1].partial && kept[1].text.starts_with("One"), "what came is kept");
}

#[tokio::test]
async fn a_stop_after_the_text_is_a_stop_all_the_same() {
    let mut stage = Stage::new();
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "One is here.").await;
    end(string).await;
    let one = asked(&mut stage.wyoming).await;
    one.sing(50).await;
    while !matches!(heard.next().await, News::Audio(_)) {}
    heard.cancel();
    soon("a voice that is left", one.string.closed()).await;
    let rest = heard.rest().await;
    let [News::Failed(failure)] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!((failure.error.code, failure.provider.as_deref()), (ErrorCode::Cancelled, Some("local")));
    let kept = stage.house.store.messages("c", None, 9).await.unwrap();
    assert!(!kept[1].partial, "the text was whole");
}

#[tokio::test]
async fn a_slow_listener_holds_the_voice_back() {
    let mut stage = Stage::new();
    let mut heard = stage.house.start(speak("One is here.", "", AudioFormat::Pcm), 1);
    let one = asked(&mut stage.wyoming).await;
    let mut taken = 0;
    // What waits on the string, one being cut, and one in the queue.
    while timeout(Duration::from_millis(50), one.sing(50)).await.is_ok() {
        taken += 1;
        assert!(taken < 12, "the voice is not held back");
    }
    assert!(taken >= 5, "{taken}");
    assert!(matches!(heard.next().await, News::Audio(_)));
    soon("a place again", one.sing(50)).await;
    heard.cancel();
    soon("a voice that is left", one.string.closed()).await;
}

#[tokio::test]
async fn a_session_that_is_gone_is_spoken_to_no_more() {
    let mut stage = Stage::new();
    let (heard, string) = stage.chat(1).await;
    tell(&string, "One is here. Two").await;
    let one = asked(&mut stage.wyoming).await;
    let Listening { handle, news } = heard;
    drop(news);
    one.sing(500).await;
    soon("a voice that is left", one.string.closed()).await;
    soon("a provider that is left", string.closed()).await;
    drop(handle);
}

#[tokio::test]
async fn where_the_text_fails_the_sound_stops() {
    let mut stage = Stage::new();
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "One is here. Two").await;
    let one = asked(&mut stage.wyoming).await;
    one.sing(50).await;
    while !matches!(heard.next().await, News::Audio(_)) {}
    let broken = ProviderError::new(Failure::CutOff, "the connection broke");
    soon("a place", string.send(Err(broken))).await.expect("the turn listens");
    let rest = heard.rest().await;
    soon("a voice that is left", one.string.closed()).await;
    let [News::Audio(last), News::Failed(failure)] = &rest[..] else { panic!("{rest:?}") };
    assert!(last.last && last.data.is_empty());
    assert_eq!(failure.error.code, ErrorCode::ProviderError);
}

#[tokio::test]
async fn where_the_voice_fails_the_text_goes_on() {
    let mut stage = Stage::new();
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "One is here. Two").await;
    let one = asked(&mut stage.wyoming).await;
    one.fail(ProviderError::new(Failure::Unreachable, "nobody listens there")).await;
    let again = asked(&mut stage.espeak).await;
    assert_eq!(again.request.text, "One is here.");
    again.sing(50).await;
    while !matches!(heard.next().await, News::Audio(_)) {}
    again.fail(ProviderError::new(Failure::CutOff, "it broke off")).await;
    loop {
        let News::Notice(notice) = heard.next().await else { continue };
        assert_eq!(&*notice, "the answer is not spoken: wyoming: nobody listens there; espeak: it broke off");
        break;
    }
    tell(&string, " is here, too.").await;
    assert_eq!(heard.next().await, text(" is here, too."));
    end(string).await;
    assert!(matches!(heard.next().await, News::Done(_)));
    assert!(stage.wyoming.try_recv().is_err() && stage.espeak.try_recv().is_err(), "nobody is asked any more");
}

#[tokio::test]
async fn a_hub_that_does_not_speak_says_so() {
    let mut stage = Stage::with(SpeechChoice::Off);
    let (mut heard, string) = stage.chat(64).await;
    tell(&string, "One is here.").await;
    end(string).await;
    let news = heard.rest().await;
    assert_eq!(notices(&news), ["the answer is not spoken: this hub does not speak: speech.active is off"]);
    assert!(matches!(&news[..], [_, News::Text(_), News::Done(_)]), "{news:?}");

    let failed = |news: Vec<News>| match news.last() {
        Some(News::Failed(failure)) => (failure.error.code, failure.error.message.clone()),
        other => panic!("{other:?}"),
    };
    let off = stage.house.start(speak("Hello", "", AudioFormat::Pcm), 9).rest().await;
    assert_eq!(failed(off).0, ErrorCode::Unsupported);
    let stage = Stage::new();
    let refused =
        async |text: &str, voice: &str, format| failed(stage.house.start(speak(text, voice, format), 9).rest().await);
    assert_eq!(refused("Hello", "", AudioFormat::Mp3).await.0, ErrorCode::Unsupported);
    assert_eq!(refused("Hello", "openai", AudioFormat::Pcm).await.0, ErrorCode::Unsupported);
    assert_eq!(refused("🎉 ...", "", AudioFormat::Pcm).await.0, ErrorCode::BadRequest);
    assert_eq!(refused(&"x ".repeat(40_000), "", AudioFormat::Pcm).await.0, ErrorCode::TooLarge);
    let Job::Chat(ask) = chat(VoiceWish { voice: Some("nova".into()), ..VoiceWish::default() }) else { unreachable!() };
    let local = Job::Chat(hearth::router::Ask { mode: Mode::Local, ..ask });
    let mut heard = stage.house.start(local, 9);
    let News::Notice(notice) = heard.next().await else { panic!("no notice") };
    assert!(notice.contains("mode is local"), "{notice}");
}

#[tokio::test]
async fn a_text_is_spoken_alone() {
    let mut stage = Stage::new();
    let mut heard = stage.house.start(speak("# Hi\n\nOne *is* here.", "espeak/de", AudioFormat::Wav), 64);
    for (at, words) in ["Hi", "One is here."].into_iter().enumerate() {
        let one = asked(&mut stage.espeak).await;
        assert_eq!((one.request.text.as_str(), one.request.voice.as_deref()), (words, Some("de")));
        assert_eq!((one.request.lang.as_deref(), one.request.format), (Some("en"), AudioFormat::Pcm));
        one.sing(100 * (at + 1)).await;
    }
    let news = heard.rest().await;
    let files: Vec<_> = pieces(&news).iter().map(|piece| (piece.data.len(), piece.at_ms, piece.last)).collect();
    assert_eq!(files, [(4844, 0, false), (9644, 100, true)]);
    let done = summary(&news);
    assert_eq!((&*done.provider, &*done.model), ("espeak", "puppet"));
    assert!(done.first_token_ms.is_some() && done.total_ms >= done.first_token_ms.unwrap());
}

#[tokio::test]
async fn many_at_once_do_not_disturb_each_other() {
    let mut stage = Stage::new();
    let mut all: Vec<_> =
        (0..50).map(|n| stage.house.start(speak(&format!("Number {n} speaks."), "", AudioFormat::Pcm), 8)).collect();
    // In whatever order they come: each looks up its profile first.
    let mut spoken = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let one = asked(&mut stage.wyoming).await;
        assert!(spoken.insert(one.request.text.clone()), "{} is asked for once", one.request.text);
        one.sing(50).await;
    }
    for (n, heard) in all.iter_mut().enumerate() {
        let news = heard.rest().await;
        let words = pieces(&news)[0].text.clone();
        assert_eq!(words.as_deref(), Some(&*format!("Number {n} speaks.")));
    }
}
