//! What is told to the service manager: one datagram a word, to the socket that it has named (sd_notify(3)). Where it has named
//! none, nobody is told. Never waits (the usual crate's send does where systemd's queue is full, and knows the process's environment
//! alone), and knows neither hub nor clock.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The longest text of a status, bytes: `systemctl status` shows one line.
const STATUS_BYTES_MAX: usize = 256;

/// Words that systemd knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<'a> {
    /// The start is over; or what was told with [`Word::Reloading`] is.
    Ready,
    /// A new configuration is being taken.
    Reloading,
    /// The end has begun.
    Stopping,
    /// All is well, for as long as [`Manager::watchdog`] says.
    Watchdog,
    /// One line for a person.
    Status(&'a str),
}

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID` say. `env` looks up a variable; `pid` is this process.
    pub fn new(env: impl Fn(&str) -> Option<String>, pid: u32) -> Manager {
        let socket = env("NOTIFY_SOCKET").and_then(|name| open(&name));
        // Another process of the same unit is meant.
        let is_mine = env("WATCHDOG_PID").is_none_or(|theirs| theirs.parse() == Ok(pid));
        let watchdog = env("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|us| *us > 0 && is_mine);
        Manager { watchdog: watchdog.filter(|_| socket.is_some()).map(Duration::from_micros), socket }
    }

    /// How long after one [`Word::Watchdog`] the next must have come, or the service is ended and started anew.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub fn tell(&self, word: &Word) {
        let Some((socket, address)) = &self.socket else { return };
        // One that cannot be told is busy or gone; the next feeding comes soon, and the hub's work does not depend on it.
        let _ = socket.send_to_addr(word.text().as_bytes(), address);
    }
}

impl Word<'_> {
    fn text(&self) -> String {
        match self {
            Word::Ready => "READY=1".into(),
            Word::Reloading => "RELOADING=1".into(),
            Word::Stopping => "STOPPING=1".into(),
            Word::Watchdog => "WATCHDOG=1".into(),
            Word::Status(text) => {
                let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                format!("STATUS={}", &line[..line.floor_char_boundary(STATUS_BYTES_MAX)])
            }
        }
    }
}

/// A path, or `@` and an abstract name.
fn open(name: &str) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A service manager of a test: hears what it is told.
    pub struct Ear {
        socket: UnixDatagram,
        folder: tempfile::TempDir,
    }

    impl Ear {
        pub fn new() -> Ear {
            let folder = tempfile::tempdir().unwrap();
            let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
            socket.set_nonblocking(true).unwrap();
            Ear { socket, folder }
        }

        pub fn manager(&self, watchdog: Option<Duration>) -> Manager {
            let path = self.folder.path().join("notify").to_str().unwrap().to_owned();
            let watchdog = watchdog.map(|period| period.as_micros().to_string());
            let env = |name: &str| match name {
                "NOTIFY_SOCKET" => Some(path.clone()),
                "WATCHDOG_USEC" => watchdog.clone(),
                _ => None,
            };
            Manager::new(env, 7)
        }

        /// What came since it was asked last.
        pub fn heard(&self) -> Vec<String> {
            let mut buffer = [0; 1024];
            std::iter::from_fn(|| {
                let len = self.socket.recv(&mut buffer).ok()?;
                Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
            })
            .collect()
        }
    }

    #[test]
    fn each_word_is_one_datagram() {
        let ear = Ear::new();
        let manager = ear.manager(None);
        for word in [Word::Ready, Word::Status("up\n3 devices"), Word::Reloading, Word::Watchdog, Word::Stopping] {
            manager.tell(&word);
        }
        assert_eq!(ear.heard(), ["READY=1", "STATUS=up 3 devices", "RELOADING=1", "WATCHDOG=1", "STOPPING=1"]);
        manager.tell(&Word::Status(&"ü".repeat(STATUS_BYTES_MAX)));
        assert_eq!(ear.heard()[0].len(), "STATUS=".len() + STATUS_BYTES_MAX);
    }

    #[test]
    fn an_abstract_name_is_a_socket_as_well() {
        let name = format!("hearth-notify-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = Manager::new(|variable| (variable == "NOTIFY_SOCKET").then(|| format!("@{name}")), 7);
        manager.tell(&Word::Ready);
        let mut buffer = [0; 16];
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"READY=1");
    }

    #[test]
    fn nobody_has_to_be_listening() {
        for socket in [None, Some("/no/such/socket"), Some(""), Some("relative"), Some("@nobody-is-there")] {
            let manager = Manager::new(|name| socket.filter(|_| name == "NOTIFY_SOCKET").map(String::from), 7);
            manager.tell(&Word::Ready);
        }
        let ear = Ear::new();
        let manager = ear.manager(None);
        // Far more than its queue takes: those that find no place are lost, and nobody waits.
        (0..10_000).for_each(|_| manager.tell(&Word::Watchdog));
        assert!(!ear.heard().is_empty());
    }

    #[test]
    fn a_watchdog_is_meant_for_one_process() {
        let watchdog = |usec: &str, pid: Option<&str>| {
            let env = |name: &str| match name {
                "NOTIFY_SOCKET" => Some("/run/notify".into()),
                "WATCHDOG_USEC" => Some(usec.into()),
                "WATCHDOG_PID" => pid.map(String::from),
                _ => None,
            };
            Manager::new(env, 7).watchdog()
        };
        assert_eq!(watchdog("30000000", None), Some(Duration::from_secs(30)));
        assert_eq!(watchdog("30000000", Some("7")), Some(Duration::from_secs(30)));
        for (usec, pid) in [("30000000", Some("8")), ("30000000", Some("")), ("0", None), ("soon", None)] {
            assert_eq!(watchdog(usec, pid), None, "{usec} {pid:?}");
        }
        assert_eq!(Manager::new(|name| (name == "WATCHDOG_USEC").then(|| "1000".into()), 7).watchdog(), None);
    }
}
