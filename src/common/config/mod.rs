//! What an installer decides: `config.yaml`. Here is its shape with every default; `load` reads it, `watch` reads it
//! again. What a user changes while the hub runs is no business of this file: that lives in the store.

mod house;
mod load;
mod logging;
mod problem;
mod secrets;
mod server;
#[cfg(test)]
mod tests;
mod tree;
mod update;
mod validate;
mod watch;

pub use house::House;
pub use load::{FILE_NAME, Loaded, load, load_without_file, process_env};
pub use logging::{Log, LogFormat};
pub use problem::{ConfigError, Problem, nearest, snippet};
pub use secrets::{SecretError, api_key};
pub use server::{SERVER_NAME_BYTES_MAX, is_server_name};
pub use tree::{Node, YamlError, parse as parse_yaml};
pub use update::{Update, UpdateCheck};
pub use validate::is_locale;
pub use watch::{RESTART_KEYS, Watcher};

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::who::Role;

/// The whole file. Every key has a default, so that an empty file is a working hub.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub gateway: Gateway,
    pub house: House,
    pub providers: Providers,
    pub model_profile: ModelProfileSeed,
    pub speech: Speech,
    pub budget: Budget,
    pub zigbee: Zigbee,
    pub mqtt: Mqtt,
    pub mcp: Mcp,
    pub store: Store,
    pub update: Update,
    pub log: Log,
}

/// The door: where the hub listens and whom it lets in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// An IP address. `0.0.0.0` and `::` listen on every interface.
    pub host: std::net::IpAddr,
    /// 0 takes a free port and logs it.
    pub port: u16,
    pub auth: Auth,
    /// Refuse callers from outside the private ranges and the hub's own networks.
    pub lan_only: bool,
    /// Further names by which browsers may call the hub (`Host` and `Origin`), without port.
    pub allowed_hosts: Vec<String>,
    /// Further origins whose pages may use the hub, such as `https://panel.example:8443`, or `null` for local files.
    pub allowed_origins: Vec<String>,
    /// Where somebody who has found a weakness writes to: `mailto:…` or `https://…` (RFC 9116).
    pub security_contact: Option<String>,
    /// Connections open at once, all callers together.
    pub max_connections: usize,
    /// Connections open at once from one address. Loopback is exempt: a proxy on the hub calls for everybody.
    pub max_connections_per_address: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Open on a loopback bind, required on any other.
    Auto,
    Required,
    Off,
}

/// Who answers. The order is `active`, then `fallback`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Providers {
    pub active: ProviderName,
    pub fallback: Vec<ProviderName>,
    pub openai: Provider,
    pub anthropic: Provider,
    pub gemini: Provider,
    pub openrouter: Provider,
    pub ollama: Provider,
    pub local: Provider,
    /// Seconds without a single event, once content has begun.
    pub inter_token_s: u64,
    /// Seconds for a whole answer.
    pub total_s: u64,
    /// How often one provider is asked again, where that is safe, before the next one is.
    pub retries: u32,
    /// Milliseconds to the first content after which the next provider is asked too, and the quicker one answers. None:
    /// never.
    pub hedge_after_ms: Option<u64>,
}

/// The rows a chain can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    Openai,
    Anthropic,
    Gemini,
    Openrouter,
    Ollama,
    Local,
    Assistant,
}

impl ProviderName {
    pub const ALL: [ProviderName; 7] = [
        ProviderName::Openai,
        ProviderName::Anthropic,
        ProviderName::Gemini,
        ProviderName::Openrouter,
        ProviderName::Ollama,
        ProviderName::Local,
        ProviderName::Assistant,
    ];

    /// The word of the config file and of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderName::Openai => "openai",
            ProviderName::Anthropic => "anthropic",
            ProviderName::Gemini => "gemini",
            ProviderName::Openrouter => "openrouter",
            ProviderName::Ollama => "ollama",
            ProviderName::Local => "local",
            ProviderName::Assistant => "assistant",
        }
    }

    pub fn parse(word: &str) -> Option<ProviderName> {
        ProviderName::ALL.into_iter().find(|name| name.as_str() == word)
    }

    /// Answers without the internet: what `mode: local` may use.
    pub fn is_local(self) -> bool {
        matches!(self, ProviderName::Ollama | ProviderName::Local | ProviderName::Assistant)
    }
}

/// One provider's row. Read by `load`, a key that is absent takes the default of its own row, and not of this type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// The provider's own name of the model.
    pub model: String,
    /// Without the endpoint's path: `https://api.openai.com/v1`.
    pub base_url: String,
    /// The environment variable, or the systemd credential in lower case, that holds the key. None: no key is sent.
    pub api_key_env: Option<String>,
    /// Which of its interfaces is spoken; `openai` and `local` alone have a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// The model that paints for the `image` action. None: this provider makes no pictures.
    pub image_model: Option<String>,
    /// Seconds until the first content. Long for a local model, which may have to be loaded first.
    pub first_token_s: Option<u64>,
}

/// The interfaces of a server that has several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Chat Completions.
    #[default]
    Chat,
    /// Responses.
    Responses,
}

/// Who speaks aloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speech {
    pub active: SpeechChoice,
    /// Address and key are those of `providers.openai`.
    pub openai: CloudVoice,
    /// Address and key are those of `providers.gemini`.
    pub gemini: CloudVoice,
    pub espeak: Espeak,
    pub wyoming: Wyoming,
}

/// Which voice speaks where a client names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechChoice {
    /// The voice of the active provider where it has one and a key; else espeak.
    Auto,
    Openai,
    Gemini,
    Espeak,
    Wyoming,
    Off,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudVoice {
    pub model: String,
    pub voice: String,
}

/// espeak-ng, a program of its own on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Espeak {
    /// Its name or path.
    pub command: String,
    /// A voice that `espeak-ng --voices` lists, or `auto`: by the client's language.
    pub voice: String,
    /// Words a minute, 80 to 450.
    pub words_per_minute: u32,
}

/// A speech server that speaks the Wyoming protocol, such as Piper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wyoming {
    /// `tcp://host:port`.
    pub url: String,
    /// The server's own name of a voice. None: its first one.
    pub voice: Option<String>,
}

/// What may be spent, US dollars. Past it only what runs in the house answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// From midnight to midnight, by the clock of the house. None: no limit.
    pub day_usd: Option<f64>,
    /// A calendar month. None: no limit.
    pub month_usd: Option<f64>,
    /// Prices of models that differ from the hub's own table, or are missing there: US dollars a million tokens.
    pub prices: BTreeMap<String, Price>,
}

/// What a million tokens of a model cost, US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    /// Read from the provider's cache. None: as `input`.
    pub cached: Option<f64>,
}

/// Seeds the model profile `default` at the first start; from then on the store holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelProfileSeed {
    pub system_prompt: Option<String>,
    pub temperature: Option<f32>,
    pub max_tokens: Option<u32>,
    /// False: the model is given no tools.
    pub tools: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Zigbee {
    pub backend: ZigbeeBackend,
    /// `auto`, a path, or `tcp://host:port`.
    pub port: String,
    /// `auto` or 11 to 26.
    pub channel: String,
    /// The network that is known goes onto the stick from its backup, over another that the stick may have.
    pub restore: bool,
    /// The folder with firmware images for devices. None: none are offered.
    pub ota_folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZigbeeBackend {
    Auto,
    Direct,
    Zigbee2mqtt,
    Simulated,
    Off,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    pub url: String,
    pub base_topic: String,
    /// None: the broker takes everybody.
    pub username: Option<String>,
    /// The environment variable, or the systemd credential in lower case, that holds the password.
    pub password_env: Option<String>,
    /// The authorities (PEM) that the broker's certificate has to come from. None: the public ones. Of `mqtts://` alone.
    pub ca_file: Option<PathBuf>,
    /// Quality of service of what is sent and subscribed to, 0 to 2.
    pub qos: u8,
}

/// Tools: the hub's own face to MCP clients, and the servers behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mcp {
    pub servers: BTreeMap<String, McpServer>,
    /// Programs that run at once; one more begins when another has been idle.
    pub max_processes: usize,
    /// The socket at which programs are started outside of the hub's own service. None: as children of the hub.
    pub launcher: Option<PathBuf>,
    /// Seconds without a call after which a program is stopped.
    pub idle_s: u64,
    /// Tools that a model is shown at most; the others it finds with `search_tools`. A provider's own limit still holds.
    pub tools_shown: usize,
    /// Rounds of calls and answers in one turn of a model.
    pub tool_rounds: u32,
    /// How many seconds a person has to confirm what cannot be undone.
    pub confirm_s: u64,
}

/// An MCP server behind the hub: a `command` or a `url`, not both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpServer {
    pub command: Vec<String>,
    pub url: Option<String>,
    /// Header name to the environment variable that holds its value.
    pub headers_env: BTreeMap<String, String>,
    pub enabled: bool,
    /// How a `url` is spoken to.
    pub transport: Transport,
    /// Variables that its program gets beside `PATH`, `HOME`, `LANG` and `TZ`. No secrets: see `env_from`.
    pub env: BTreeMap<String, String>,
    /// A variable of its program to the variable of the hub that holds the value.
    pub env_from: BTreeMap<String, String>,
    /// The folder in which its program runs.
    pub cwd: Option<String>,
    /// Its tools and prompts are called by their own names alone, where nobody else has them when they are first seen.
    pub bare: bool,
    /// Its tools are usable at once, and so are changed ones, without an owner's word.
    pub trust: bool,
    /// Seconds for one call.
    pub call_s: u64,
    /// Calls at once.
    pub max_calls: usize,
    /// MiB of address space that its program may take. None: no limit of its own.
    pub memory_mb: Option<u64>,
    /// Who may call its tools.
    pub access: Role,
}

/// See [`McpServer::transport`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Streamable HTTP, and where a server knows only the older way, that.
    #[default]
    Auto,
    /// Streamable HTTP.
    Http,
    /// HTTP with SSE, as before 2025-03-26.
    Sse,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The database file; its folder must exist.
    pub path: PathBuf,
    pub snapshots: Snapshots,
}

/// Copies of the store, taken while the hub runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshots {
    /// Also whether the newest one takes the place of a file that is damaged.
    pub enabled: bool,
    /// Where they are; absent: `snapshots` beside the store.
    pub folder: Option<PathBuf>,
    /// The newest that are kept.
    pub newest: usize,
    /// Days of which one each is kept.
    pub days: usize,
    /// All together, MiB; past it the oldest go, but for two.
    pub max_mb: u64,
}

impl Providers {
    /// The rows with their names, in the order of the file.
    pub fn rows(&self) -> impl Iterator<Item = (ProviderName, &Provider)> {
        ProviderName::ALL.into_iter().filter_map(|name| Some((name, self.row(name)?)))
    }

    fn rows_mut(&mut self) -> [&mut Provider; 6] {
        let Providers { openai, anthropic, gemini, openrouter, ollama, local, .. } = self;
        [openai, anthropic, gemini, openrouter, ollama, local]
    }

    /// The row of a provider; the assistant has none.
    pub fn row(&self, name: ProviderName) -> Option<&Provider> {
        match name {
            ProviderName::Openai => Some(&self.openai),
            ProviderName::Anthropic => Some(&self.anthropic),
            ProviderName::Gemini => Some(&self.gemini),
            ProviderName::Openrouter => Some(&self.openrouter),
            ProviderName::Ollama => Some(&self.ollama),
            ProviderName::Local => Some(&self.local),
            ProviderName::Assistant => None,
        }
    }
}

impl Default for Gateway {
    fn default() -> Gateway {
        Gateway {
            host: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            port: 8000,
            auth: Auth::Auto,
            lan_only: true,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            security_contact: None,
            max_connections: 8192,
            max_connections_per_address: 64,
        }
    }
}

impl Default for Providers {
    fn default() -> Providers {
        let row = |model: &str, base_url: &str, key: Option<&str>, first_token_s: u64| Provider {
            model: model.into(),
            base_url: base_url.into(),
            api_key_env: key.map(Into::into),
            api: None,
            image_model: None,
            first_token_s: Some(first_token_s),
        };
        let chats = |row: Provider| Provider { api: Some(Api::Chat), ..row };
        let paints = |row: Provider, model: &str| Provider { image_model: Some(model.into()), ..row };
        Providers {
            active: ProviderName::Openai,
            fallback: vec![ProviderName::Anthropic, ProviderName::Local, ProviderName::Assistant],
            openai: paints(
                chats(row("gpt-4o-mini", "https://api.openai.com/v1", Some("OPENAI_API_KEY"), 60)),
                "gpt-image-2.5-flare",
            ),
            anthropic: row("claude-haiku-4-5", "https://api.anthropic.com", Some("ANTHROPIC_API_KEY"), 60),
            gemini: paints(
                row("gemini-2.5-flash", "https://generativelanguage.googleapis.com", Some("GEMINI_API_KEY"), 60),
                "gemini-2.5-flash-image",
            ),
            openrouter: paints(
                row("openai/gpt-4o-mini", "https://openrouter.ai/api/v1", Some("OPENROUTER_API_KEY"), 60),
                "google/gemini-2.5-flash-image",
            ),
            ollama: row("llama3.2", "http://127.0.0.1:11434", None, 180),
            local: chats(row("local", "http://127.0.0.1:8080/v1", None, 180)),
            inter_token_s: 60,
            total_s: 900,
            retries: 2,
            hedge_after_ms: None,
        }
    }
}

impl Default for Speech {
    fn default() -> Speech {
        Speech {
            active: SpeechChoice::Auto,
            openai: CloudVoice { model: "gpt-4o-mini-tts".into(), voice: "alloy".into() },
            gemini: CloudVoice { model: "gemini-2.5-flash-preview-tts".into(), voice: "Kore".into() },
            espeak: Espeak::default(),
            wyoming: Wyoming::default(),
        }
    }
}

impl Default for CloudVoice {
    fn default() -> CloudVoice {
        Speech::default().openai
    }
}

impl Default for Espeak {
    fn default() -> Espeak {
        Espeak { command: "espeak-ng".into(), voice: "auto".into(), words_per_minute: 165 }
    }
}

impl Default for Wyoming {
    fn default() -> Wyoming {
        Wyoming { url: "tcp://127.0.0.1:10200".into(), voice: None }
    }
}

impl Default for Zigbee {
    fn default() -> Zigbee {
        Zigbee {
            backend: ZigbeeBackend::Auto,
            port: "auto".into(),
            channel: "auto".into(),
            restore: false,
            ota_folder: None,
        }
    }
}

impl Default for Mqtt {
    fn default() -> Mqtt {
        Mqtt {
            url: "mqtt://127.0.0.1:1883".into(),
            base_topic: "zigbee2mqtt".into(),
            username: None,
            password_env: None,
            ca_file: None,
            qos: 0,
        }
    }
}

impl Default for Mcp {
    fn default() -> Mcp {
        Mcp {
            servers: BTreeMap::new(),
            max_processes: 32,
            launcher: None,
            idle_s: 300,
            tools_shown: 64,
            tool_rounds: 12,
            confirm_s: 60,
        }
    }
}

impl Default for McpServer {
    fn default() -> McpServer {
        McpServer {
            command: Vec::new(),
            url: None,
            headers_env: BTreeMap::new(),
            enabled: true,
            transport: Transport::Auto,
            env: BTreeMap::new(),
            env_from: BTreeMap::new(),
            cwd: None,
            bare: false,
            trust: false,
            call_s: 60,
            max_calls: 16,
            memory_mb: None,
            access: Role::Member,
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store { path: "./hearth.redb".into(), snapshots: Snapshots::default() }
    }
}

impl Default for Snapshots {
    fn default() -> Snapshots {
        Snapshots { enabled: true, folder: None, newest: 6, days: 7, max_mb: 512 }
    }
}
