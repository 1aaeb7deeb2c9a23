//! The hub that is installed on this machine, as commands beside it find it: its configuration, its files, its address. What a
//! package and a card have in common stands here and in `systemd/`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::cli::ConfigArg;
use crate::common::config::{self, Config, ConfigError, Loaded};

/// Where `systemd/install` puts the configuration.
const CONFIG: &str = "/etc/hearth/config.yaml";

/// In which folder the service runs, so that a path without one is below it.
pub const FOLDER: &str = "/var/lib/hearth";

/// For what is in the house.
pub const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// The longest answer of a hub that is read, bytes.
const HEALTH_BYTES_MAX: u64 = 64 * 1024;

/// Whether the hub asks who comes, and whether it is to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    pub required: bool,
    pub claimable: bool,
}

impl ConfigArg {
    /// The file that is named, or `./config.yaml`, or that of the installed service; of the latter with the paths that the
    /// service sees.
    pub fn load_installed(&self) -> Result<Loaded, ConfigError> {
        let has_own = self.config.is_some() || Path::new(config::FILE_NAME).exists();
        let named = self.config.clone().or_else(|| (!has_own && Path::new(CONFIG).exists()).then(|| CONFIG.into()));
        let mut loaded = config::load(named.as_deref(), config::process_env())?;
        if loaded.file.as_deref() == Some(Path::new(CONFIG)) {
            loaded.config.store.path = Path::new(FOLDER).join(&loaded.config.store.path);
        }
        Ok(loaded)
    }
}

/// Where this machine reaches the hub.
pub fn address(config: &Config) -> SocketAddr {
    let host = match config.gateway.host {
        host if !host.is_unspecified() => host,
        host if host.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(host, config.gateway.port)
}

/// How one gets in. `None`: no hub answers there.
pub fn door(config: &Config) -> Option<Door> {
    let (200, door) = ask(&format!("http://{}/api/v1/claim", address(config))).ok()? else { return None };
    Some(Door { required: door["required"].as_bool()?, claimable: door["claimable"].as_bool()? })
}

/// `http://hearth.local`, or with the port where that is another one than HTTP's own.
pub fn url(host: &str, port: u16) -> String {
    match port {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}

/// By which name this machine is found in the house, unless another one has it.
pub fn local_name() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy().to_ascii_lowercase();
    format!("{}.local", name.split('.').next().unwrap_or("hearth"))
}

/// The name under which avahi announces this machine: it takes another one where the own is taken.
pub fn announced_name() -> Option<String> {
    let words =
        ["--timeout=2", "call", "org.freedesktop.Avahi", "/", "org.freedesktop.Avahi.Server", "GetHostNameFqdn"];
    quoted(&said("busctl", &words)?)
}

/// What the hub's unit says of itself, such as how its radio is.
pub fn status_text() -> Option<String> {
    let text = said("systemctl", &["show", "--property=StatusText", "--value", "hearth.service"])?;
    (!text.is_empty()).then_some(text)
}

/// What a program of the system says, where it is there and went well.
fn said(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The text of busctl's `s "hearth.local"`.
fn quoted(answer: &str) -> Option<String> {
    let name = answer.strip_prefix("s \"")?.strip_suffix('"')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_owned())
}

/// Status and JSON body (null where it is none).
pub fn ask(url: &str) -> Result<(u16, Value), ureq::Error> {
    let config = ureq::Agent::config_builder().timeout_global(Some(ASK_DEADLINE)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let mut answer = agent.get(url).call()?;
    let body = answer.body_mut().with_config().limit(HEALTH_BYTES_MAX).read_json().unwrap_or_default();
    Ok((answer.status().as_u16(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_reached_on_this_machine_whatever_it_listens_on() {
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1:80"),
            ("::", "[::1]:80"),
            ("192.168.1.9", "192.168.1.9:80"),
            ("127.0.0.1", "127.0.0.1:80"),
        ] {
            let mut config = Config::default();
            (config.gateway.host, config.gateway.port) = (host.parse().unwrap(), 80);
            assert_eq!(address(&config).to_string(), expected);
        }
        assert_eq!((url("a.local", 80), url("a.local", 8000)), ("http://a.local".into(), "http://a.local:8000".into()));
        assert!(local_name().ends_with(".local"));
        assert_eq!(quoted("s \"hearth-2.local\"").as_deref(), Some("hearth-2.local"));
        assert_eq!((quoted("s \"a b\""), quoted("u 7")), (None, None));
    }
}
