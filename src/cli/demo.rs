//! `hearth demo`: a hub to look at, on this machine only, with a folder that goes when it ends. Answers with whoever is at
//! hand: a provider whose key is there, a model's server on this machine, or else the built-in assistant.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use crate::app::{self, Hub, Setup, StartError};
use crate::common::config::{self, Auth, Config, ProviderName, ZigbeeBackend};
use crate::common::{ids, log};
use crate::gateway::listen::BindError;

/// Whose key is looked for, in this order.
const BY_KEY: [(ProviderName, &str); 4] = [
    (ProviderName::Openai, "OpenAI"),
    (ProviderName::Anthropic, "Anthropic"),
    (ProviderName::Gemini, "Gemini"),
    (ProviderName::Openrouter, "OpenRouter"),
];

/// Where model servers listen: llama.cpp's, and Ollama's.
const LOCAL_SERVERS: [(&str, u16); 2] = [("a llama.cpp server", 8080), ("Ollama", 11434)];

/// A server on this machine answers at once or is not there.
const PROBE_DEADLINE: Duration = Duration::from_millis(1000);

/// The longest list of models read from a server that was found, bytes.
const MODELS_BYTES_MAX: u64 = 1024 * 1024;

/// The variable that names who answers: then nobody is looked for.
const ACTIVE: &str = "HEARTH__PROVIDERS__ACTIVE";

/// The variable that names the radio: otherwise the house is simulated.
const BACKEND: &str = "HEARTH__ZIGBEE__BACKEND";

/// The variable that names who stands behind.
const FALLBACK: &str = "HEARTH__PROVIDERS__FALLBACK";

/// The variable with the address of a server of one's own.
const LOCAL_BASE_URL: &str = "HEARTH__PROVIDERS__LOCAL__BASE_URL";

/// The variable that names that server's model.
const LOCAL_MODEL: &str = "HEARTH__PROVIDERS__LOCAL__MODEL";

#[derive(clap::Args)]
pub struct Args {
    /// The TCP port; 0 takes a free one [default: 8000, or a free one where that is taken].
    #[arg(long)]
    port: Option<u16>,
    /// Log more: each request's steps.
    #[arg(long, short)]
    verbose: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Settings { mut config, who } = settings(&args)?;
    let log = log::init(&config.log)?;
    let folder = TemporaryFolder::new()?;
    config.store.path = folder.path().join("demo.redb");
    config.store.snapshots.enabled = false;
    let is_simulated = config.zigbee.backend == ZigbeeBackend::Simulated;
    app::runtime()?.block_on(async {
        let stop = app::stop_signal();
        let hub = open(config, args.port.is_none(), log).await?;
        println!("Hearth {} is open at http://{}/", env!("CARGO_PKG_VERSION"), hub.address());
        println!("{who}");
        if is_simulated {
            println!("The house is simulated: say \"turn on the kitchen lamp\", or look with `hearth devices`.");
        }
        println!("Nothing is kept. Stop with Ctrl-C.");
        hub.run(stop).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Opens the hub; on another port where the usual one is taken and none was asked for.
async fn open(config: Config, any_port: bool, log: log::LogHandle) -> Result<Hub, StartError> {
    let setup = |config: &Config| Setup {
        config: watch::channel(Arc::new(config.clone())).1,
        watcher: None,
        log: Some(log.clone()),
        sources: None,
    };
    match Hub::open(setup(&config)).await {
        Err(StartError::Bind(BindError::InUse(_))) if any_port => {
            let gateway = config::Gateway { port: 0, ..config.gateway.clone() };
            Hub::open(setup(&Config { gateway, ..config })).await
        }
        opened => opened,
    }
}

struct Settings {
    config: Config,
    /// Who will answer, for the person who started it.
    who: String,
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    // The environment counts as for `serve`; a file does not: a demo is the same everywhere.
    let loaded = config::load_without_file(config::process_env())?;
    let config::Loaded { mut config, overrides, .. } = loaded;
    config.gateway.host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    config.gateway.auth = Auth::Off;
    if !overrides.iter().any(|name| sets(name, BACKEND)) {
        config.zigbee.backend = ZigbeeBackend::Simulated;
    }
    if let Some(port) = args.port {
        config.gateway.port = port;
    }
    if args.verbose {
        config.log.level = "debug".into();
    }
    let who = choose(&mut config.providers, |key| overrides.iter().any(|name| sets(name, key)));
    Ok(Settings { config, who })
}

/// Whether the variable `name` sets `key`, by itself or with the section around it.
fn sets(name: &str, key: &str) -> bool {
    let name = name.to_ascii_uppercase();
    key.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with("__"))
}

/// Picks whoever is at hand, where the environment (`is_set`) names nobody, and says who it is. The assistant stands
/// behind each.
fn choose(providers: &mut config::Providers, is_set: impl Fn(&str) -> bool) -> String {
    if !is_set(FALLBACK) {
        providers.fallback = vec![ProviderName::Assistant];
    }
    if is_set(ACTIVE) {
        return format!("{} answers, as the environment says.", providers.active.as_str());
    }
    let env = |name: &str| std::env::var(name).ok();
    for (name, title) in BY_KEY {
        let row = providers.row(name).expect("each of these has a row");
        if let Some(variable) = row.api_key_env.clone()
            && let Ok(Some(_)) = config::api_key(&variable, env)
        {
            let who = format!("{title} ({}) answers: {variable} is set.", row.model);
            providers.active = name;
            return who;
        }
    }
    if is_set(LOCAL_BASE_URL) {
        providers.active = ProviderName::Local;
        let url = providers.local.base_url.trim_end_matches('/');
        let Some(model) = probe(url) else {
            return format!("{url} is to answer, as the environment says, and does not at the moment.");
        };
        let who = format!("{url} answers, as the environment says, with {model}.");
        if !is_set(LOCAL_MODEL) {
            providers.local.model = model;
        }
        return who;
    }
    for (name, port) in LOCAL_SERVERS {
        // A refused connection is told at once and needs no HTTP client.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect_timeout(&address, PROBE_DEADLINE).is_err() {
            continue;
        }
        let url = format!("http://{address}/v1");
        if let Some(model) = probe(&url) {
            providers.active = ProviderName::Local;
            providers.local.base_url = url;
            providers.local.model.clone_from(&model);
            return format!("{name} on port {port} answers, with {model}.");
        }
    }
    providers.active = ProviderName::Assistant;
    "The built-in assistant answers. For a language model set OPENAI_API_KEY, or start llama.cpp's server on port 8080 or \
     Ollama, and start the demo again."
        .into()
}

/// The first model of a server, if one is there and speaks as expected.
fn probe(base_url: &str) -> Option<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PROBE_DEADLINE)).build().into();
    let mut answer = agent.get(format!("{base_url}/models")).call().ok()?;
    let list: serde_json::Value = answer.body_mut().with_config().limit(MODELS_BYTES_MAX).read_json().ok()?;
    let model = list.get("data")?.get(0)?.get("id")?.as_str()?;
    Some(model.chars().filter(|c| !c.is_control()).take(200).collect())
}

/// A folder that goes when this does.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> anyhow::Result<TemporaryFolder> {
        let path = std::env::temp_dir().join(format!("hearth-{}", ids::fresh('d')));
        std::fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(TemporaryFolder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is in the system's folder for such things, which removes it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
