//! espeak-ng, a program of its own on this machine: one process for each sentence. It gets the words through its standard input,
//! so that nothing in them is an option, and nothing of this process's environment. Source: espeak-ng(1).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Setup, Speech, Spoken, Voice, wav};
use crate::adapters::llm::complaint::KeyPlace;
use crate::common::error::{Failure, ProviderError};
use crate::common::speech::{AudioFormat, SpeechRequest};

/// Processes at once, all clients together: each takes some 5 MB while it speaks.
const PROCESSES_MAX: usize = 16;

/// What is read at once, bytes: a fifth of a second of sound.
const READ_BYTES: usize = 8 * 1024;

/// How much of its complaints is read, bytes.
const COMPLAINT_BYTES_MAX: u64 = 4 * 1024;

/// For its last words, once it has said all.
const END_DEADLINE: Duration = Duration::from_secs(2);

/// The longest name of a voice, bytes.
const VOICE_BYTES_MAX: usize = 64;

/// The program.
pub struct Espeak {
    command: String,
    /// `None`: by the language.
    voice: Option<String>,
    words_per_minute: u32,
    places: Arc<Semaphore>,
}

pub fn build(Setup { config, .. }: Setup<'_>) -> Arc<dyn Voice> {
    let espeak = &config.speech.espeak;
    Arc::new(Espeak {
        command: espeak.command.clone(),
        voice: (espeak.voice != "auto").then(|| espeak.voice.clone()),
        words_per_minute: espeak.words_per_minute,
        places: Arc::new(Semaphore::new(PROCESSES_MAX)),
    })
}

/// Where a command is: a path as it is, a name as the shell would find it.
pub fn find(command: &str) -> Option<PathBuf> {
    let is_file = |path: &PathBuf| path.is_file();
    if command.contains('/') {
        return Some(PathBuf::from(command)).filter(is_file);
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(command)).find(is_file)
}

/// What to tell the owner where the program is missing.
pub fn missing(command: &str) -> String {
    if command == "espeak-ng" {
        "espeak-ng is not installed: apt install espeak-ng".to_owned()
    } else {
        format!("there is no program {command}: correct speech.espeak.command, or apt install espeak-ng")
    }
}

impl Voice for Espeak {
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
        let (command, places) = (self.command.clone(), Arc::clone(&self.places));
        let voice = request.voice.or_else(|| self.voice.clone());
        let voice = voice.unwrap_or_else(|| voice_for(request.lang.as_deref(), &request.text).to_owned());
        let words_per_minute = self.words_per_minute.to_string();
        async move {
            if request.format != AudioFormat::Pcm {
                let why = format!("gives no {}: ask for pcm or wav", request.format.as_str());
                return Err(ProviderError::new(Failure::Unsupported, why));
            }
            if !is_voice(&voice) {
                let why = "it has no such voice: `espeak-ng --voices` lists those that it has";
                return Err(ProviderError::new(Failure::Rejected, why));
            }
            let unavailable = |why: String| ProviderError::new(Failure::Unreachable, why);
            let program = find(&command).ok_or_else(|| unavailable(missing(&command)))?;
            let place = places.acquire_owned().await.expect("the places are never closed");
            let arguments = ["--stdout", "--stdin", "-b", "1", "-v", &voice, "-s", &words_per_minute];
            let mut child = start(&program, &arguments)
                .map_err(|error| unavailable(format!("{} cannot be started: {error}", program.display())))?;
            let mut stdin = child.stdin.take().expect("it was piped");
            // What does not fit into the pipe at once waits until the program reads. One that ends without reading says why
            // on its standard error.
            let _ = stdin.write_all(plain(&request.text).as_bytes()).await;
            drop(stdin);
            let speaking = Speaking {
                stdout: child.stdout.take().expect("it was piped"),
                stderr: child.stderr.take().expect("it was piped"),
                child,
                wav: wav::Reader::default(),
                ended: false,
                any: false,
                _place: place,
            };
            Ok(stream::try_unfold(speaking, Speaking::next).boxed())
        }
        .boxed()
    }

    fn formats(&self) -> &[AudioFormat] {
        &[AudioFormat::Pcm]
    }

    fn model(&self) -> &str {
        "espeak-ng"
    }
}

fn start(program: &Path, arguments: &[&str]) -> std::io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// A process at work. Dropping it kills it.
struct Speaking {
    stdout: ChildStdout,
    stderr: ChildStderr,
    child: Child,
    wav: wav::Reader,
    ended: bool,
    any: bool,
    _place: OwnedSemaphorePermit,
}

impl Speaking {
    async fn next(mut self) -> Result<Option<(Spoken, Speaking)>, ProviderError> {
        while !self.ended {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            let broke = |error: std::io::Error| ProviderError::new(Failure::CutOff, format!("espeak-ng: {error}"));
            let sound = match self.stdout.read_buf(&mut buffer).await.map_err(broke)? {
                0 => {
                    self.ended = true;
                    self.end().await?
                }
                _ => {
                    self.any = true;
                    self.wav.push(buffer.freeze())?
                }
            };
            if !sound.is_empty() {
                return Ok(Some((Spoken::Sound(sound), self)));
            }
        }
        Ok(None)
    }

    /// It has closed its output: gives the rest, or says why it went.
    async fn end(&mut self) -> Result<Bytes, ProviderError> {
        let mut said = Vec::new();
        let ending = async {
            // Without its words the status alone has to do.
            let _ = (&mut self.stderr).take(COMPLAINT_BYTES_MAX).read_to_end(&mut said).await;
            self.child.wait().await
        };
        let status = timeout(END_DEADLINE, ending).await;
        match status {
            Ok(Ok(status)) if status.success() && self.any => self.wav.finish(),
            // Words without a sound in them, such as signs that the voice does not know.
            Ok(Ok(status)) if status.success() => Ok(Bytes::new()),
            Ok(Ok(status)) => {
                let said = KeyPlace::default().hide(&String::from_utf8_lossy(&said));
                Err(ProviderError::new(Failure::Failed, format!("espeak-ng ended with {status}: {said}")))
            }
            Ok(Err(error)) => Err(ProviderError::new(Failure::Failed, format!("espeak-ng: {error}"))),
            Err(_) => Err(ProviderError::new(Failure::Timeout, "espeak-ng does not end")),
        }
    }
}

/// Words that are words only: `[[…]]` would be read as phonemes, and control characters as commands.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace("[[", "[ [")
}

/// Whether this can be a name of a voice (`de`, `en-us+f3`, `mb-de5`) and is no path out of espeak's own folder.
fn is_voice(name: &str) -> bool {
    let is_in_names = |c: char| c.is_ascii_alphanumeric() || "-_+/() ".contains(c);
    (1..=VOICE_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_in_names)
}

/// Tags of BCP 47 that espeak-ng calls otherwise, or has in several colours. The others are the same.
const VOICES: &[(&str, &str)] = &[
    ("en", "en-us"),
    ("en-gb", "en-gb"),
    ("en-ie", "en-gb"),
    ("en-au", "en-gb"),
    ("en-nz", "en-gb"),
    ("es-es", "es"),
    ("es", "es"),
    ("es-mx", "es-419"),
    ("es-ar", "es-419"),
    ("es-us", "es-419"),
    ("es-419", "es-419"),
    ("fr-be", "fr-be"),
    ("fr-ch", "fr-ch"),
    ("fr", "fr-fr"),
    ("he", "he"),
    ("iw", "he"),
    ("id", "id"),
    ("in", "id"),
    ("nb", "nb"),
    ("nn", "nb"),
    ("no", "nb"),
    ("pt-br", "pt-br"),
    ("zh-hk", "yue"),
    ("zh-yue", "yue"),
    ("zh", "cmn"),
];

/// The languages that espeak-ng 1.51 speaks under their own name.
const LANGUAGES: &str = "af am an ar as az ba be bg bn bpy bs ca cmn cs cv cy da de el eo et eu fa fi ga gd gn grc gu hak haw
    hi hr ht hu hy ia io is it ja jbo ka kk kl kn ko kok ku ky la lb lfn lt ltg lv mi mk ml mr ms mt my nci ne nl nog om or pa
    pap pl pt py quc qya ro ru sd shn si sjn sk sl smj sq sr sv sw ta te th tk tn tr tt ug uk ur uz vi yue";

/// Who speaks where nothing says of which language the words are, or nobody speaks it.
const DEFAULT: &str = "en-us";

/// The voice for a language, or for words of an unknown one.
fn voice_for(lang: Option<&str>, text: &str) -> &'static str {
    let lang = lang.map(|lang| lang.trim().replace('_', "-").to_ascii_lowercase());
    let Some(lang) = lang.filter(|lang| !lang.is_empty()) else { return by_script(text) };
    // `zh-Hant-HK`: whole, then a part less each time.
    let mut tag = lang.as_str();
    loop {
        if let Some((_, voice)) = VOICES.iter().find(|(known, _)| *known == tag) {
            return voice;
        }
        if let Some(voice) = LANGUAGES.split_whitespace().find(|known| *known == tag) {
            return voice;
        }
        let Some((shorter, _)) = tag.rsplit_once('-') else { return by_script(text) };
        tag = shorter;
    }
}

/// A guess by the first letter that is not Latin; kana make it Japanese, whose other half are Chinese letters.
fn by_script(text: &str) -> &'static str {
    if text.contains(|c| ('\u{3040}'..='\u{30FF}').contains(&c)) {
        return "ja";
    }
    let guess = text.chars().find_map(|c| match c {
        '\u{370}'..='\u{3FF}' => Some("el"),
        '\u{400}'..='\u{4FF}' => Some("ru"),
        '\u{590}'..='\u{5FF}' => Some("he"),
        '\u{600}'..='\u{6FF}' => Some("ar"),
        '\u{900}'..='\u{97F}' => Some("hi"),
        '\u{E00}'..='\u{E7F}' => Some("th"),
        '\u{4E00}'..='\u{9FFF}' => Some("cmn"),
        '\u{AC00}'..='\u{D7AF}' => Some("ko"),
        _ => None,
    });
    guess.unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_find_their_voice() {
        for (lang, voice) in [
            ("de", "de"),
            ("de-AT", "de"),
            ("en-US", "en-us"),
            ("en_GB", "en-gb"),
            ("fr", "fr-fr"),
            ("zh-Hant-HK", "cmn"),
            ("zh-HK", "yue"),
            ("no", "nb"),
            ("pt-BR", "pt-br"),
            ("sr-Latn-RS", "sr"),
            ("tlh", "en-us"),
            ("", "en-us"),
        ] {
            assert_eq!(voice_for(Some(lang), "Hello"), voice, "{lang}");
        }
        assert_eq!(voice_for(None, "Hello"), "en-us");
        assert_eq!(voice_for(None, "„Привет“"), "ru");
        assert_eq!(voice_for(None, "你好"), "cmn");
        assert_eq!(voice_for(None, "日本の"), "ja");
    }

    #[test]
    fn names_that_are_no_voices() {
        assert!(["de", "en-us+f3", "gmw/de", "English_(America)"].into_iter().all(is_voice));
        assert!(!["", "-v", "../../etc/passwd", "/etc/passwd", "a.b", "ü", "a\0"].into_iter().any(is_voice));
    }

    #[test]
    fn words_are_no_commands() {
        assert_eq!(plain("a [[h@'loU]]\u{1}b\n"), "a [ [h@'loU]] b ");
    }

    #[test]
    fn a_missing_program_is_missed() {
        assert_eq!(find("no-such-program-here"), None);
        assert_eq!(find("/no/such/program"), None);
        assert!(find("sh").is_some() && find("/bin/sh").is_some());
        assert!(missing("espeak-ng").contains("apt install espeak-ng"));
    }
}
