//! Speech from the router outwards: what a client is told, in which order, how soon a stop is silence, and each voice against a
//! real peer or a socket that plays one.

mod account;
mod espeak;
mod http;
mod stage;
mod wyoming;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use hearth::adapters::llm::Provider;
use hearth::adapters::speech::{self, Setup, Spoken, Voice, VoiceName};
use hearth::common::config::{Config, ProviderName};
use hearth::common::error::ProviderError;
use hearth::common::events::{News, TurnEvent, TurnSummary};
use hearth::common::secret::Secret;
use hearth::common::speech::{AudioFormat, AudioPiece, SpeechRequest};
use hearth::common::who::{Door, Principal};
use hearth::mcp::Service;
use hearth::net::https::Https;
use hearth::router::{Ask, Input, Job, Mode, Roster, Router, SpeakAsk, TurnHandle, TurnKey, VoiceWish};
use hearth::store::Store;
use tokio::sync::{mpsc, watch};

use crate::world::soon;

/// A router whose provider is `local` and whose voices are what a test gives.
struct House {
    router: Router,
    store: Store,
    config: watch::Sender<Arc<Config>>,
    _roster: watch::Sender<Arc<Roster>>,
    _folder: tempfile::TempDir,
}

impl House {
    fn new(mut config: Config, provider: Option<Arc<dyn Provider>>, voices: Vec<(VoiceName, Arc<dyn Voice>)>) -> House {
        config.providers.active = ProviderName::Local;
        config.providers.fallback.clear();
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let (config, settings) = watch::channel(Arc::new(config));
        let providers: BTreeMap<_, _> = provider.map(|provider| (ProviderName::Local, provider)).into_iter().collect();
        let roster = Roster { providers, voices: voices.into_iter().collect(), ..Roster::default() };
        let (roster, seen) = watch::channel(Arc::new(roster));
        let router = Router::new(settings, seen, store.clone(), Service::empty());
        House { router, store, config, _roster: roster, _folder: folder }
    }

    /// Starts a job whose news wait in a queue of this length.
    fn start(&self, job: Job, queue_len: usize) -> Listening {
        let (out, news) = mpsc::channel(queue_len);
        Listening { handle: Some(self.router.start(job, Arc::new(Principal::house(Door::Websocket)), 7, out)), news }
    }
}

/// A job that runs, and whoever listens to it.
struct Listening {
    handle: Option<TurnHandle>,
    news: mpsc::Receiver<(TurnKey, TurnEvent)>,
}

impl Listening {
    async fn next(&mut self) -> News {
        soon("news", self.news.recv()).await.expect("news come until the last").1.news
    }

    /// Everything to the end.
    async fn rest(&mut self) -> Vec<News> {
        let mut all = Vec::new();
        while !all.last().is_some_and(News::is_last) {
            all.push(self.next().await);
        }
        all
    }

    fn cancel(&mut self) {
        self.handle = None;
    }
}

fn chat(wish: VoiceWish) -> Job {
    Job::Chat(Ask {
        input: Input::Said { text: "Hello".into(), attachments: Vec::new(), conversation_id: "c".into() },
        profile: None,
        provider: None,
        model: None,
        mode: Mode::Auto,
        confirms: false,
        speak: Some(wish),
    })
}

fn speak(text: &str, voice: &str, format: AudioFormat) -> Job {
    Job::Speak(SpeakAsk {
        text: text.into(),
        wish: VoiceWish { voice: Some(voice.into()), lang: Some("en".into()), format },
    })
}

/// The sound among the news.
fn pieces(news: &[News]) -> Vec<&AudioPiece> {
    news.iter().filter_map(|one| if let News::Audio(piece) = one { Some(&**piece) } else { None }).collect()
}

fn notices(news: &[News]) -> Vec<&str> {
    news.iter().filter_map(|one| if let News::Notice(text) = one { Some(&**text) } else { None }).collect()
}

fn summary(news: &[News]) -> &TurnSummary {
    match news.last() {
        Some(News::Done(summary)) => summary,
        other => panic!("not done: {other:?}"),
    }
}

/// The voice as the hub builds it.
fn voice(name: VoiceName, config: &Config, key: Option<&str>) -> Arc<dyn Voice> {
    let (_, build) = speech::VOICES.iter().find(|(known, _)| *known == name).expect("a known voice");
    build(Setup { config, key: key.map(Secret::new), client: Https::new() })
}

/// All the sound of one sentence.
async fn say(voice: &Arc<dyn Voice>, request: SpeechRequest) -> Result<Vec<u8>, ProviderError> {
    let mut speech = soon("an acceptance", voice.say(request)).await?;
    let mut sound = Vec::new();
    while let Some(piece) = soon("sound", speech.next()).await {
        if let Spoken::Sound(piece) = piece? {
            sound.extend_from_slice(&piece);
        }
    }
    Ok(sound)
}

fn sentence(text: &str) -> SpeechRequest {
    SpeechRequest { text: text.into(), ..SpeechRequest::default() }
}

/// How loud samples are: the root of the mean square, of 32768.
fn loudness(pcm: &[u8]) -> f64 {
    let samples = pcm.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
    let (sum, count) = samples.fold((0.0, 0.0), |(sum, count), sample| (sum + sample * sample, count + 1.0));
    (sum / f64::max(count, 1.0)).sqrt()
}

/// Samples in milliseconds.
fn length_ms(pcm: &[u8]) -> usize {
    pcm.len() / 48
}
