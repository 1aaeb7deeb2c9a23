//! The Wyoming client against a server on strings, and against the official Python library.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::speech::VoiceName;
use hearth::common::config::Config;
use hearth::common::error::Failure;
use hearth::common::speech::SpeechRequest;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{length_ms, loudness, say, sentence, voice};
use crate::oracles;
use crate::world::process::{hearth, run};
use crate::world::soon;

/// A server that reads one request and answers with these bytes; what it read, and whether it was left, can be asked.
async fn server(answer: Vec<u8>, hang_up: bool) -> (Config, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut config = Config::default();
    config.speech.wyoming.url = format!("tcp://{}", listener.local_addr().expect("a bound socket"));
    let serving = tokio::spawn(async move {
        let (mut socket, _) = soon("a caller", listener.accept()).await.expect("a caller");
        let mut asked = vec![0; 4096];
        let count = soon("a request", socket.read(&mut asked)).await.expect("a request");
        asked.truncate(count);
        // One that hangs up early does not read all.
        let _ = socket.write_all(&answer).await;
        if !hang_up {
            while soon("the caller's leaving", socket.read(&mut [0; 64])).await.is_ok_and(|count| count > 0) {}
        }
        String::from_utf8(asked).expect("JSON")
    });
    (config, serving)
}

const START: &str = "{\"type\":\"audio-start\",\"data\":{\"rate\":24000,\"width\":2,\"channels\":1}}\n";

fn chunk(payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "{{\"type\":\"audio-chunk\",\"data\":{{\"rate\":24000,\"width\":2,\"channels\":1}},\"payload_length\":{}}}\n",
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[tokio::test]
async fn a_sentence_is_asked_for_and_heard() {
    let answer = [START.as_bytes(), &chunk(&[1, 2, 3]), &chunk(&[4]), b"{\"type\":\"audio-stop\"}\n"].concat();
    let (config, serving) = server(answer, false).await;
    let wyoming = voice(VoiceName::Wyoming, &config, None);
    let request = SpeechRequest { voice: Some("thorsten".into()), ..sentence("Grüß dich") };
    assert_eq!(say(&wyoming, request).await.unwrap(), [1, 2, 3, 4]);
    let asked = soon("the server", serving).await.unwrap();
    let (head, data) = asked.split_once('\n').unwrap();
    assert_eq!(head, format!("{{\"type\":\"synthesize\",\"data_length\":{}}}", data.len()));
    assert_eq!(data, "{\"text\":\"Grüß dich\",\"voice\":{\"name\":\"thorsten\"}}");
}

#[tokio::test]
async fn every_fault_is_an_error_in_words() {
    let error = b"{\"type\":\"error\",\"data\":{\"text\":\"No such\\nvoice\"}}\n".to_vec();
    let changed = [START.as_bytes(), &chunk(&[1, 2]), &chunk(&[1, 2])].concat();
    let changed = String::from_utf8(changed).unwrap().replacen("24000", "16000", 1).into_bytes();
    for (what, answer, hang_up, failure) in [
        ("an error", error, false, Failure::Failed),
        ("no word", Vec::new(), true, Failure::CutOff),
        ("half a sentence", [START.as_bytes(), &chunk(&[1, 2])].concat(), true, Failure::CutOff),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), false, Failure::BadStream),
        ("another form amid", changed, false, Failure::BadStream),
        ("a line without an end", vec![b'x'; 200_000], false, Failure::BadStream),
    ] {
        let (config, _serving) = server(answer, hang_up).await;
        let error = say(&voice(VoiceName::Wyoming, &config, None), sentence("Hello")).await.expect_err(what);
        assert_eq!(error.failure, failure, "{what}: {error}");
        assert!(!error.message.contains(char::is_control), "{what}: {error}");
    }
    let mut config = Config::default();
    config.speech.wyoming.url = "tcp://127.0.0.1:9".into();
    let error = say(&voice(VoiceName::Wyoming, &config, None), sentence("Hello")).await.unwrap_err();
    assert!(error.failure == Failure::Unreachable && error.message.contains("speech.wyoming.url"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_listened_to_is_left_at_once() {
    let (config, serving) = server([START.as_bytes(), &chunk(&[1, 2])].concat(), false).await;
    let mut speech = voice(VoiceName::Wyoming, &config, None).say(sentence("Hello")).await.unwrap();
    soon("sound", speech.next()).await.unwrap().unwrap();
    assert!(!serving.is_finished());
    drop(speech);
    tokio::time::timeout(Duration::from_millis(500), serving).await.expect("left at once").unwrap();
}

/// A server of the official library: it sings as long as the text is, a tone for each voice.
#[tokio::test]
async fn the_official_library_understands_us() {
    let Some(python) = oracles::python() else { return };
    if oracles::run(&python, "wyoming_server.py", &["version"]).await["wyoming"].is_null() {
        return println!("skipped: the Python of HEARTH_ORACLE_PYTHON has no wyoming");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/peers/oracles/wyoming_server.py");
    let mut command = Command::new(python);
    let mut server =
        command.arg(script).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("an oracle that runs");
    let mut line = String::new();
    let mut told = BufReader::new(server.stdout.take().expect("it was piped"));
    soon("the server's port", told.read_line(&mut line)).await.expect("a line");
    let mut config = Config::default();
    config.speech.wyoming.url = format!("tcp://127.0.0.1:{}", line.trim());
    let wyoming = voice(VoiceName::Wyoming, &config, None);
    // The server says which voice was asked for by the pitch of its tone.
    for (voice, lang, hz) in
        [(None, None, 440), (Some("high"), None, 1000), (None, Some("de-AT"), 600), (None, Some("xx"), 440)]
    {
        let text = "Grüße an alle, \"auch\" an\n dich";
        let request = SpeechRequest { voice: voice.map(Into::into), lang: lang.map(Into::into), ..sentence(text) };
        let sound = say(&wyoming, request).await.unwrap();
        let want_ms = text.chars().count() * 20;
        assert!(length_ms(&sound).abs_diff(want_ms) <= 1, "{} ms for {want_ms}", length_ms(&sound));
        assert!((loudness(&sound) - 8192.0 / 2f64.sqrt()).abs() < 200.0, "{}", loudness(&sound));
        let samples: Vec<i16> = sound.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        let heard_hz = rises * 1000 / length_ms(&sound);
        assert!(heard_hz.abs_diff(hz) < 10, "{voice:?} {lang:?}: {heard_hz} Hz");
    }
    let unknown = SpeechRequest { voice: Some("nobody".into()), ..sentence("Hello") };
    let error = say(&wyoming, unknown).await.unwrap_err();
    assert!(error.failure == Failure::Failed && error.message.contains("no voice nobody"), "{error}");
}

#[tokio::test]
async fn doctor_says_whether_the_server_answers() {
    let info = "{\"type\":\"info\",\"data\":{\"tts\":[{\"name\":\"piper\",\"installed\":true,\"voices\":[\
        {\"name\":\"thorsten\",\"languages\":[\"de\"],\"installed\":true}]}]}}\n";
    let (config, _serving) = server(info.into(), false).await;
    for (url, health, words) in [
        (config.speech.wyoming.url.as_str(), "ok", "wyoming answers at tcp://127.0.0.1"),
        ("tcp://127.0.0.1:9", "warn", "Is the speech server running?"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = hearth(["doctor", "--json"]);
        command.current_dir(folder.path());
        command.env("HEARTH__SPEECH__ACTIVE", "wyoming").env("HEARTH__SPEECH__WYOMING__URL", url);
        let report = run(command).await.json();
        let findings = report["findings"].as_array().expect("findings");
        let found = findings.iter().find(|one| one["what"] == "voice").unwrap_or_else(|| panic!("{report}"));
        assert_eq!(found["health"], health, "{found}");
        assert!(found["text"].as_str().is_some_and(|text| text.contains(words)), "{found}");
    }
}
