//! Who speaks, and whether the hub can without the internet: espeak-ng is a program of its own, which may not be there, and so is
//! a Wyoming server.
#![expect(clippy::disallowed_methods, reason = "it waits by the clock")]

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::adapters::speech::{VoiceName, espeak, wyoming};
use crate::app;
use crate::cli::doctor::{Finding, Health, finding};
use crate::cli::installed::ASK_DEADLINE;
use crate::common::config::{Config, SpeechChoice};
use crate::common::error::{Failure, ProviderError};
use crate::net::https::Https;
use crate::router::{self, Mode};

/// How often a program is looked at that was asked for its version, and how much of its answer is read, bytes.
const VERSION_PAUSE: Duration = Duration::from_millis(2);
const VERSION_BYTES_MAX: u64 = 4 * 1024;

/// For a speech server, which is in the house.
const WYOMING_DEADLINE: Duration = Duration::from_secs(2);

/// The voice that speaks, and the program that does where no other one can.
pub fn examine(config: &Config, findings: &mut Vec<Finding>) {
    let speech = &config.speech;
    if speech.active != SpeechChoice::Off {
        let (health, text) = chosen(config);
        findings.push(finding("voice", health, text));
    }
    let command = &speech.espeak.command;
    let is_needed = speech.active != SpeechChoice::Off;
    findings.push(match espeak::find(command) {
        None if is_needed => finding("speech", Health::Warn, espeak::missing(command)),
        None => finding("speech", Health::Ok, "off"),
        Some(path) => match version(&path) {
            Some(version) => finding("speech", Health::Ok, format!("{} at {}", version, path.display())),
            None => {
                let text = format!("{} does not say its version: is it espeak-ng?", path.display());
                finding("speech", Health::Warn, text)
            }
        },
    });
}

/// Who speaks where the client names nobody, chosen as the hub does.
fn chosen(config: &Config) -> (Health, String) {
    let voices = app::build_roster(config, &Https::new()).voices;
    let name = router::default_voice(config, &voices, Mode::Auto);
    let Some(voice) = voices.get(&name) else { return (Health::Warn, format!("{} is no voice here", name.as_str())) };
    let model = voice.model();
    match name {
        VoiceName::Wyoming => served(&config.speech.wyoming.url),
        VoiceName::Espeak => (Health::Ok, "espeak speaks".into()),
        VoiceName::Openai | VoiceName::Gemini if voice.is_ready() => {
            (Health::Ok, format!("{} speaks, model {model}; espeak where it cannot", name.as_str()))
        }
        VoiceName::Openai | VoiceName::Gemini => {
            let why = format!("espeak speaks: {0} has no key, which the provider {0} would have too", name.as_str());
            (Health::Warn, why)
        }
    }
}

/// Whether the speech server answers.
fn served(url: &str) -> (Health, String) {
    let asking = async {
        let told = tokio::time::timeout(WYOMING_DEADLINE, wyoming::voices(url)).await;
        told.unwrap_or_else(|_| {
            let why =
                format!("{url} does not answer within {} s. Check speech.wyoming.url.", WYOMING_DEADLINE.as_secs());
            Err(ProviderError::new(Failure::Timeout, why))
        })
    };
    match app::runtime().map(|runtime| runtime.block_on(asking)) {
        Ok(Ok(voices)) if voices.is_empty() => (Health::Warn, format!("wyoming answers at {url}, and has no voice")),
        Ok(Ok(voices)) => (Health::Ok, format!("wyoming answers at {url}; voices: {}", voices.len())),
        Ok(Err(error)) => (Health::Warn, format!("wyoming: {error}; espeak speaks instead")),
        Err(error) => (Health::Warn, error.to_string()),
    }
}

/// What a program says at `--version`, its first words: `eSpeak NG text-to-speech: 1.51`.
fn version(program: &Path) -> Option<String> {
    let mut command = std::process::Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let asked_at = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().ok()? {
            break status;
        }
        if asked_at.elapsed() > ASK_DEADLINE {
            // It is not what it should be; whether it can be ended is no finding.
            let _ = child.kill().and_then(|()| child.wait());
            return None;
        }
        std::thread::sleep(VERSION_PAUSE);
    };
    let mut said = String::new();
    child.stdout.take()?.take(VERSION_BYTES_MAX).read_to_string(&mut said).ok()?;
    let said = said.lines().next()?.split("  ").next()?.trim();
    (status.success() && !said.is_empty()).then(|| said.to_owned())
}
