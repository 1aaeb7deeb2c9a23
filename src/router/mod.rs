//! Who answers: a question comes in, news of the turn go out. Policy is pure (`choose`, `context`, `turn`, `health`, `retry`);
//! `run` is the one driver of a turn, and `speak` of a voice. Knows no WebSocket, no HTTP and no provider's dialect.

mod advise;
mod ask_tool;
mod asking;
pub mod budget;
mod calls;
mod choose;
mod context;
mod failures;
mod health;
mod keep;
mod length;
mod likes;
mod paint;
pub mod prices;
mod question;
mod retry;
mod round;
mod run;
mod sentences;
mod sound;
mod speak;
mod speaker;
mod speaker_bill;
mod tools;
mod turn;
pub mod usage;
mod voices;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::adapters::llm::Provider;
use crate::adapters::speech::{Voice, VoiceName};
use crate::common::chat::{Media, Message, ResponseFormat, Sampling, Tool, ToolChoice};
use crate::common::config::{Config, ProviderName};
use crate::common::events::TurnEvent;
use crate::common::speech::AudioFormat;
use crate::common::who::Principal;
use crate::mcp::Service;
use crate::router::question::Wish;
use crate::router::tools::known::KnownTools;
use crate::router::tools::schemas::Schemas;
use crate::router::usage::Ledger;
use crate::store::Store;

pub use advise::AdviceError;
pub use ask_tool::AskTool;
pub use health::Health;
pub use tools::Likely;
pub use voices::default_voice;

/// Turns that run at once, all clients together. Each holds an upstream connection and its buffers (some 40 KiB).
pub const TURNS_MAX: usize = 1024;

/// Whom the router may ask, by the rows of the config. Built anew when the config changes.
#[derive(Default)]
pub struct Roster {
    pub providers: BTreeMap<ProviderName, Arc<dyn Provider>>,
    pub voices: BTreeMap<VoiceName, Arc<dyn Voice>>,
    /// How they have been doing since.
    pub health: Arc<Health>,
}

/// What a client wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    Chat(Ask),
    Image(ImageAsk),
    Speak(SpeakAsk),
}

/// A question, with the wishes that came along.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub input: Input,
    /// A model profile's name; absent: the one that the user likes, or `default`.
    pub profile: Option<String>,
    /// A provider's name. Then nobody else is asked.
    pub provider: Option<String>,
    /// A model of the first provider asked.
    pub model: Option<String>,
    pub mode: Mode,
    /// The answer is to be spoken as well, a sentence behind its text.
    pub speak: Option<VoiceWish>,
    /// Somebody is there who can be asked before a tool destroys something.
    pub confirms: bool,
}

/// What is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Words said in a conversation that the hub remembers.
    Said { text: String, attachments: Vec<Media>, conversation_id: String },
    /// A conversation that the client brought along whole: nothing of it is kept.
    Brought(Box<Brought>),
}

impl Input {
    /// Where question and answer are kept, if they are.
    pub fn conversation_id(&self) -> Option<&str> {
        match self {
            Input::Said { conversation_id, .. } => Some(conversation_id),
            Input::Brought(_) => None,
        }
    }
}

/// See [`Input::Brought`]. What is absent here is taken from the profile, but for its system prompt where the client brought
/// one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Brought {
    pub messages: Vec<Message>,
    pub sampling: Sampling,
    pub tools: Vec<Arc<Tool>>,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: Option<bool>,
    pub response_format: Option<ResponseFormat>,
}

/// A picture to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageAsk {
    pub prompt: String,
    /// [`crate::common::chat::ImageRequest::size`].
    pub size: Option<String>,
    /// From 1 to [`IMAGES_MAX`].
    pub n: u32,
    pub quality: Option<String>,
    pub partial_images: u8,
    pub provider: Option<String>,
    pub model: Option<String>,
}

/// Words to be spoken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpeakAsk {
    pub text: String,
    pub wish: VoiceWish,
}

/// How something is to be spoken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VoiceWish {
    /// A voice's own name, or `espeak`, `openai`, `gemini`, `wyoming`, or such a word, a slash and a name.
    pub voice: Option<String>,
    pub lang: Option<String>,
    pub format: AudioFormat,
}

/// Pictures of one request.
pub const IMAGES_MAX: u32 = 4;

/// Which kind of provider may answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Auto,
    /// Only what runs on this machine or beside it.
    Local,
    /// A language model, never the built-in assistant.
    Llm,
}

/// Tells one running turn from another on the same queue.
pub type TurnKey = u32;

/// A running turn. Dropping it cancels the turn: the upstream connection closes within milliseconds, and the last
/// news is `Failed` with `cancelled`.
pub struct TurnHandle {
    _alive: oneshot::Sender<std::convert::Infallible>,
}

/// Starts turns. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

struct Shared {
    config: watch::Receiver<Arc<Config>>,
    roster: watch::Receiver<Arc<Roster>>,
    store: Store,
    /// What a model may call.
    tools: Service,
    /// Who finds the likely ones of many.
    likely: OnceLock<Arc<dyn Likely>>,
    known: KnownTools,
    schemas: Schemas,
    ledger: Arc<Ledger>,
    places: Arc<Semaphore>,
}

impl Router {
    pub fn new(
        config: watch::Receiver<Arc<Config>>,
        roster: watch::Receiver<Arc<Roster>>,
        store: Store,
        tools: Service,
    ) -> Router {
        let (ledger, places) = (Arc::new(Ledger::new(store.clone())), Arc::new(Semaphore::new(TURNS_MAX)));
        let (likely, known, schemas) = (OnceLock::new(), KnownTools::default(), Schemas::default());
        Router { shared: Arc::new(Shared { config, roster, store, tools, likely, known, schemas, ledger, places }) }
    }

    /// Has the tools that a question may need found by this one. Once, before the first turn.
    pub fn find_tools_with(&self, likely: Arc<dyn Likely>) {
        let is_first = self.shared.likely.set(likely).is_ok();
        assert!(is_first, "one place knows which tools are likely");
    }

    /// Whom a client can name now, each with its configured model.
    pub fn asked_by_name(&self) -> Vec<(ProviderName, String)> {
        let config = self.shared.config.borrow();
        let model = |name: ProviderName| match config.providers.row(name) {
            Some(row) => row.model.clone(),
            None => name.as_str().to_owned(),
        };
        self.shared.roster.borrow().providers.keys().map(|&name| (name, model(name))).collect()
    }

    /// Starts a turn for `who`. Its news come on `out` under `key`; a full `out` holds the provider back. Never blocks and never
    /// fails: what goes wrong is news too.
    pub fn start(
        &self,
        job: Job,
        who: Arc<Principal>,
        key: TurnKey,
        out: mpsc::Sender<(TurnKey, TurnEvent)>,
    ) -> TurnHandle {
        let (alive, cancelled) = oneshot::channel();
        let (shared, outlet) = (self.shared.clone(), run::Outlet { key, who, out });
        match job {
            Job::Speak(ask) => drop(tokio::spawn(speak::speak(shared, ask, outlet, cancelled))),
            Job::Chat(ask) if ask.speak.is_some() => {
                drop(tokio::spawn(speak::accompany(shared, ask, outlet, cancelled)));
            }
            Job::Chat(ask) => drop(tokio::spawn(run::run(shared, Wish::Chat(ask), outlet, cancelled))),
            Job::Image(ask) => drop(tokio::spawn(run::run(shared, Wish::Image(ask), outlet, cancelled))),
        }
        TurnHandle { _alive: alive }
    }
}
