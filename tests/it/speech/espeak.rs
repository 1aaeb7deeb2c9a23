//! The real espeak-ng, heard by numbers. Where it is not installed, these say that they are skipped.

use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::speech::espeak::find;
use hearth::adapters::speech::{Spoken, VoiceName};
use hearth::common::config::Config;
use hearth::common::error::{ErrorCode, Failure};
use hearth::common::events::News;
use hearth::common::speech::{AudioFormat, SpeechRequest};

use super::{House, length_ms, loudness, pieces, say, sentence, speak, summary, voice};
use crate::world::provider::now;
use crate::world::soon;

/// From text to the first sound, and from a stop to the program's end: 10 ms on an idle machine.
const SOON: Duration = Duration::from_millis(500);

fn is_installed() -> bool {
    let is_there = find("espeak-ng").is_some();
    if !is_there {
        println!("skipped: espeak-ng is not installed");
    }
    is_there
}

/// Programs of this name that are children of this process and have not ended.
fn children(name: &str) -> usize {
    let me = std::process::id().to_string();
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let processes = std::fs::read_dir("/proc").expect("a Linux machine").flatten().filter_map(stat);
    processes
        .filter(|stat| {
            let (front, behind) = stat.rsplit_once(") ").expect("a stat has a name in brackets");
            let fields: Vec<_> = behind.split(' ').collect();
            front.ends_with(&name[..name.len().min(15)]) && fields[1] == me && fields[0] != "Z"
        })
        .count()
}

#[tokio::test]
async fn it_speaks_and_is_heard() {
    if !is_installed() {
        return;
    }
    let espeak = voice(VoiceName::Espeak, &Config::default(), None);
    let words = "The quick brown fox jumps over the lazy dog.";
    let sound = say(&espeak, sentence(words)).await.unwrap();
    assert!((1500..6000).contains(&length_ms(&sound)), "{} ms", length_ms(&sound));
    assert!(loudness(&sound) > 500.0, "{}", loudness(&sound));
    // Nothing in the words is an option, a command or markup.
    for words in ["-v nosuch --version", "$(reboot) `x` ; | & > /tmp/x", "[[h@'loU]] <speak>", "--stdin", "'\"\\"] {
        let sound = say(&espeak, sentence(words)).await.unwrap();
        assert!(length_ms(&sound) > 200 && loudness(&sound) > 200.0, "{words}: {} ms", length_ms(&sound));
    }
    let german = SpeechRequest { lang: Some("de-AT".into()), ..sentence("Schöne Grüße") };
    assert!(length_ms(&say(&espeak, german).await.unwrap()) > 500);
    let fast = {
        let mut config = Config::default();
        config.speech.espeak.words_per_minute = 400;
        voice(VoiceName::Espeak, &config, None)
    };
    assert!(say(&fast, sentence(words)).await.unwrap().len() < sound.len() * 3 / 4);
}

#[tokio::test]
async fn what_it_cannot_do_is_told_in_words() {
    let mut config = Config::default();
    config.speech.espeak.command = "no-such-espeak".into();
    let missing = say(&voice(VoiceName::Espeak, &config, None), sentence("Hello")).await.unwrap_err();
    assert_eq!(missing.failure, Failure::Unreachable);
    assert!(missing.message.contains("apt install espeak-ng"), "{missing}");
    // A program that is another one.
    for (command, failure) in [("false", Failure::Failed), ("yes", Failure::Failed), ("cat", Failure::Failed)] {
        config.speech.espeak.command = command.into();
        let other = say(&voice(VoiceName::Espeak, &config, None), sentence("Hello")).await.unwrap_err();
        assert!(other.failure == failure || other.failure == Failure::BadStream, "{command}: {other}");
    }
    if !is_installed() {
        return;
    }
    let espeak = voice(VoiceName::Espeak, &Config::default(), None);
    let unknown = SpeechRequest { voice: Some("nosuchvoice".into()), ..sentence("Hello") };
    let error = say(&espeak, unknown).await.unwrap_err();
    assert_eq!(error.failure, Failure::Failed);
    assert!(error.message.contains("voice does not exist"), "{error}");
    let odd = SpeechRequest { voice: Some("../../etc/passwd".into()), ..sentence("Hello") };
    assert_eq!(say(&espeak, odd).await.unwrap_err().failure, Failure::Rejected);
    let opus = SpeechRequest { format: AudioFormat::Opus, ..sentence("Hello") };
    assert_eq!(say(&espeak, opus).await.unwrap_err().failure, Failure::Unsupported);
}

#[tokio::test]
async fn the_first_sound_comes_soon_and_a_stop_ends_the_program() {
    if !is_installed() {
        return;
    }
    // A link of another name, so that the programs of other tests are not counted.
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("espeak-counted");
    std::os::unix::fs::symlink(find("espeak-ng").unwrap(), &link).unwrap();
    let mut config = Config::default();
    config.speech.espeak.command = link.to_str().unwrap().into();
    let espeak = voice(VoiceName::Espeak, &config, None);
    let asked_at = now();
    let mut speech = espeak.say(sentence(&"A long sentence that does not end ".repeat(50))).await.unwrap();
    let Spoken::Sound(first) = soon("the first sound", speech.next()).await.unwrap().unwrap() else {
        panic!("no sound")
    };
    let took = asked_at.elapsed();
    println!("espeak: {} ms of sound after {took:?}", length_ms(&first));
    assert!(took < SOON, "{took:?}");
    assert_eq!(children("espeak-counted"), 1, "the pipe holds it back");
    let stopped_at = now();
    drop(speech);
    while children("espeak-counted") > 0 {
        assert!(stopped_at.elapsed() < SOON, "it lives on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("espeak: gone {:?} after the stop", stopped_at.elapsed());

    let house = House::new(config.clone(), None, vec![(VoiceName::Espeak, espeak)]);
    let asked_at = now();
    let text = "This is one sentence of several. ".repeat(40);
    let mut heard = house.start(speak(&text, "espeak", AudioFormat::Pcm), 4);
    let News::Audio(piece) = heard.next().await else { panic!("no sound") };
    println!("router: first piece ({} bytes) after {:?}", piece.data.len(), asked_at.elapsed());
    let stopped_at = now();
    heard.cancel();
    while children("espeak-counted") > 0 {
        assert!(stopped_at.elapsed() < SOON, "it lives on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("router: gone {:?} after the stop", stopped_at.elapsed());
    let rest = heard.rest().await;
    assert!(matches!(rest.last(), Some(News::Failed(failure)) if failure.error.code == ErrorCode::Cancelled));
}

#[tokio::test]
async fn a_text_from_end_to_end() {
    if !is_installed() {
        return;
    }
    let config = Config::default();
    let house = House::new(config.clone(), None, vec![(VoiceName::Espeak, voice(VoiceName::Espeak, &config, None))]);
    let text =
        "The light in the kitchen is **on**.\n\n- It is 3.5 degrees outside.\n- See [the page](http://x.example/a).";
    let news = house.start(speak(text, "espeak", AudioFormat::Pcm), 64).rest().await;
    let pieces = pieces(&news);
    let texts: Vec<_> = pieces.iter().filter_map(|piece| piece.text.as_deref()).collect();
    assert_eq!(texts, ["The light in the kitchen is on.", "It is 3.5 degrees outside.", "See the page."]);
    let mut samples = 0;
    for piece in &pieces {
        assert_eq!(u64::from(piece.at_ms), samples * 1000 / 24_000);
        assert!(piece.data.len() <= 2400 && piece.data.len() % 2 == 0);
        samples += piece.data.len() as u64 / 2;
    }
    assert_eq!(pieces.iter().filter(|piece| piece.last).count(), 1);
    assert!(pieces.last().unwrap().last && samples > 24_000 * 3);
    assert_eq!(&*summary(&news).model, "espeak-ng");
}
