//! A running hub as commands ask it: over REST, as whoever the token says. Holds the one rule of where the token comes from.

use std::fs;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use ureq::http::{Method, Request, Response};

use crate::common::files;

/// For each question to the hub.
const ASK_DEADLINE: Duration = Duration::from_secs(15);

/// For a file: as long as the hub gives one.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// To find out that there is no hub.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The longest answer that is read, bytes.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The longest file of tokens that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Which hub is meant, and as whom.
#[derive(clap::Args)]
pub struct HubArgs {
    /// The hub.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8000", env = "HEARTH_URL")]
    url: String,
    #[command(flatten)]
    token: TokenArg,
}

/// As whom a hub is asked.
#[derive(clap::Args)]
pub struct TokenArg {
    /// A token [default: what `hearth login` has kept for this hub].
    #[arg(long, global = true, value_name = "HTH_…", env = "HEARTH_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Which hub's WebSocket is meant, and as whom.
pub struct Place<'a> {
    pub url: String,
    pub token: &'a TokenArg,
}

/// See the module.
pub struct Hub {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl HubArgs {
    pub fn hub(&self) -> anyhow::Result<Hub> {
        Hub::new(&self.url, &self.token)
    }

    /// Its WebSocket.
    pub fn place(&self) -> anyhow::Result<Place<'_>> {
        Ok(Place { url: socket_url(&self.url)?, token: &self.token })
    }
}

impl TokenArg {
    /// The token for the hub at this address (`http://host:port`).
    pub fn token_for(&self, base: &str) -> Option<String> {
        self.token.clone().filter(|token| !token.is_empty()).or_else(|| kept_for(&file()?, base))
    }
}

impl Hub {
    /// The hub at this address, which may be that of its WebSocket.
    pub fn new(url: &str, token: &TokenArg) -> anyhow::Result<Hub> {
        let base = base_url(url)?;
        let token = token.token_for(&base);
        let config = ureq::Agent::config_builder().timeout_connect(Some(CONNECT_DEADLINE)).http_status_as_error(false);
        Ok(Hub { token, base, agent: config.build().into() })
    }

    /// Its address, without a path.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None)
    }

    /// Asks; the answer is its JSON, null where it is empty. What the hub refuses is an error in its own words.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut answer = self.send(method, path, body, "*/*", Some(ASK_DEADLINE))?;
        let said = self.json(&mut answer)?;
        match answer.status().as_u16() {
            200..=299 => Ok(said),
            status => Err(self.refused(status, &said)),
        }
    }

    /// What comes as one file, with its length where that was told: a GET, or a POST with a body.
    pub fn download(&self, path: &str, body: Option<&Value>) -> anyhow::Result<(Option<u64>, impl Read + use<>)> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut answer = self.send(method, path, body, "*/*", Some(DOWNLOAD_DEADLINE))?;
        match answer.status().as_u16() {
            200 => {
                let length = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
                Ok((length, answer.into_body().into_reader()))
            }
            status => {
                let said = self.json(&mut answer)?;
                Err(self.refused(status, &said))
            }
        }
    }

    /// `POST` whose answer comes as events, for as long as it takes.
    pub fn events(&self, path: &str, body: &Value) -> anyhow::Result<impl Read + use<>> {
        let mut answer = self.send(Method::POST, path, Some(body), "text/event-stream", None)?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body().into_reader()),
            status => {
                let said = self.json(&mut answer)?;
                Err(self.refused(status, &said))
            }
        }
    }

    /// Sends a request; `within` is for all of it, also the answer.
    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        accept: &str,
        within: Option<Duration>,
    ) -> anyhow::Result<Response<ureq::Body>> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.base)).header("accept", accept);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).context("--url or --token")?;
        let request = self.agent.configure_request(request).timeout_global(within).build();
        let sent = self.agent.run(request);
        sent.with_context(|| format!("no hub at {}; is it running? (`hearth serve`, or `hearth demo`)", self.base))
    }

    fn json(&self, answer: &mut Response<ureq::Body>) -> anyhow::Result<Value> {
        let no_hub = || format!("what answers at {} is no hub", self.base);
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().with_context(no_hub)?;
        match text.trim() {
            "" => Ok(Value::Null),
            text => serde_json::from_str(text).with_context(no_hub),
        }
    }

    /// What the hub refuses, in its own words, and what to do where it does not know who asks.
    fn refused(&self, status: u16, problem: &Value) -> anyhow::Error {
        let said = problem["detail"].as_str().map_or_else(|| format!("HTTP {status}"), shown);
        match (status, &self.token) {
            (401, None) => anyhow!(
                "the hub says: {said}; sign in with `hearth login`, or show a token with --token or HEARTH_TOKEN"
            ),
            (401, Some(_)) => {
                anyhow!("the hub says: {said}; `hearth login` gets another token, and an owner can make one")
            }
            _ => anyhow!("the hub says: {said}"),
        }
    }

    /// Keeps a token for this hub, where only this user can read it.
    pub fn keep(&self, token: &str) -> anyhow::Result<PathBuf> {
        let path = file().ok_or_else(|| anyhow!("there is no HOME to keep the token in; show it with --token"))?;
        keep(&path, &self.base, token).with_context(|| format!("the token cannot be kept in {}", path.display()))?;
        Ok(path)
    }
}

/// `http://host:port` of what may be the hub's WebSocket, too: all commands read the same variable.
pub fn base_url(url: &str) -> anyhow::Result<String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| anyhow!("--url: a hub's address begins with http://"))?;
    let scheme = match scheme {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => bail!("--url: a hub's address begins with http:// or ws://"),
    };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/ws/chat").unwrap_or(rest);
    Ok(format!("{scheme}://{rest}"))
}

/// The hub's WebSocket, by any of its addresses.
pub fn socket_url(url: &str) -> anyhow::Result<String> {
    Ok(format!("{}/ws/chat", base_url(url)?.replacen("http", "ws", 1)))
}

/// A name as a part of a path.
pub fn escaped(name: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    name.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Words of others: a terminal is to show them and nothing else.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A password, from the terminal without showing it, or the first line of a pipe.
pub fn read_password(prompt: &str) -> anyhow::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let mut line = String::new();
    if !stdin.is_terminal() {
        stdin.lock().read_line(&mut line).context("the password cannot be read")?;
    } else {
        eprint!("{prompt}: ");
        std::io::stderr().flush().ok();
        let before = tcgetattr(&stdin).context("the terminal does not say how it is set")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &silent).context("the terminal cannot be set")?;
        let read = stdin.lock().read_line(&mut line);
        tcsetattr(&stdin, OptionalActions::Now, &before).context("the terminal cannot be set back")?;
        eprintln!();
        read.context("the password cannot be read")?;
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// `~/.config/hearth/token`: a line for each hub, its address and the token, so that none is shown to another.
fn file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("hearth").join("token"))
}

fn kept_for(path: &Path, base: &str) -> Option<String> {
    lines(path).into_iter().find_map(|(hub, token)| (hub == base).then_some(token))
}

fn lines(path: &Path) -> Vec<(String, String)> {
    let is_small = fs::metadata(path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
    let text = if is_small { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let pair = |line: &str| line.split_once(' ').map(|(hub, token)| (hub.to_owned(), token.trim().to_owned()));
    text.lines().filter_map(pair).collect()
}

fn keep(path: &Path, base: &str, token: &str) -> anyhow::Result<()> {
    let others = lines(path).into_iter().filter(|(hub, _)| hub != base);
    let text: String =
        others.chain([(base.to_owned(), token.to_owned())]).map(|(hub, token)| format!("{hub} {token}\n")).collect();
    files::put(path, text.as_bytes(), 0o600)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn both_kinds_of_address_lead_to_the_same_hub() {
        for url in ["http://hub:8000", "http://hub:8000/", "ws://hub:8000/ws/chat", "ws://hub:8000"] {
            assert_eq!(base_url(url).expect("an address"), "http://hub:8000");
        }
        assert_eq!(base_url("wss://hub/proxied/ws/chat/").expect("an address"), "https://hub/proxied");
        for url in ["http://hub:8000", "ws://hub:8000/ws/chat", "ws://hub:8000/"] {
            assert_eq!(socket_url(url).expect("an address"), "ws://hub:8000/ws/chat");
        }
        for bad in ["hub:8000", "ftp://hub"] {
            assert!(base_url(bad).expect_err(bad).to_string().contains("--url"), "{bad}");
        }
    }

    #[test]
    fn a_token_is_kept_for_its_hub_alone_and_for_nobody_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new").join("token");
        assert_eq!(kept_for(&path, "http://a"), None);
        keep(&path, "http://a", "hth_1").expect("room");
        keep(&path, "http://b", "hth_2").expect("room");
        keep(&path, "http://a", "hth_3").expect("room");
        assert_eq!(kept_for(&path, "http://a").as_deref(), Some("hth_3"));
        assert_eq!(kept_for(&path, "http://b").as_deref(), Some("hth_2"));
        assert_eq!(kept_for(&path, "http://evil"), None);
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let told = TokenArg { token: Some("hth_9".into()) };
        assert_eq!(told.token_for("http://a").as_deref(), Some("hth_9"));
    }

    #[test]
    fn names_stay_parts_of_a_path() {
        assert_eq!(escaped("ann-1_x.~"), "ann-1_x.~");
        assert_eq!(escaped("../a b/ü?"), "..%2Fa%20b%2F%C3%BC%3F");
        assert_eq!(shown("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
