//! The hub as a service of systemd: what it tells the manager, when it is no more fed for, and that the files of `systemd/` say
//! what the hub expects. The manager is a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use hearth::common::config::{Config, ProviderName};
use hearth::zigbee::sticks::STICKS;
use rustix::process::Signal;

use crate::world::process::{House, Process};
use crate::world::soon;

/// As the unit's `WatchdogSec`, for a test that does not want to wait.
const WATCHDOG_US: &str = "400000";

/// A service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn new(house: &House) -> Manager {
        let socket = UnixDatagram::bind(house.path("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Manager(socket)
    }

    fn start(&self, house: &House) -> Process {
        let mut command = house.command();
        command.env("NOTIFY_SOCKET", house.path("notify")).env("WATCHDOG_USEC", WATCHDOG_US);
        Process::start(command, "")
    }

    /// What came since it was asked last.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| self.0.recv(&mut buffer).ok().map(|len| String::from_utf8_lossy(&buffer[..len]).into()))
            .collect()
    }

    async fn hears(&self, words: &[&str]) {
        let mut missing = words.iter().copied().peekable();
        soon(words[0], async {
            while missing.peek().is_some() {
                for heard in self.heard() {
                    missing.next_if(|word| *word == heard);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn the_manager_hears_of_the_start_of_a_new_configuration_and_of_the_end() {
    let house = House::new("");
    let manager = Manager::new(&house);
    let process = manager.start(&house);
    manager.hears(&["READY=1", "WATCHDOG=1", "STATUS=no radio", "WATCHDOG=1"]).await;
    house.configure("log: { level: debug }\n");
    manager.hears(&["RELOADING=1", "READY=1", "WATCHDOG=1"]).await;
    process.signal(Signal::TERM);
    manager.hears(&["STOPPING=1"]).await;
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_hub_that_hangs_feeds_no_watchdog() {
    let house = House::new("");
    let manager = Manager::new(&house);
    let process = manager.start(&house);
    manager.hears(&["READY=1", "WATCHDOG=1"]).await;
    process.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_millis(50)).await;
    manager.heard();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(manager.heard(), [] as [String; 0], "longer than the manager waits");
    process.signal(Signal::CONT);
    manager.hears(&["WATCHDOG=1"]).await;
}

/// A file of `systemd/`.
fn unit(name: &str) -> String {
    std::fs::read_to_string(format!("{}/systemd/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The values of a key, in the order of the unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// udev's patterns know no case: `[sS][oO]…`
fn pattern(part: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{c}{}]", c.to_ascii_uppercase()),
        false => c.to_string(),
    };
    part.chars().map(letter).collect()
}

#[test]
fn the_udev_rules_know_the_sticks_of_the_table() {
    let mut expected = String::new();
    for stick in &STICKS {
        expected += &format!("# {}\n", stick.name);
        let has: Vec<_> = stick.name_has.iter().map(|part| pattern(part)).collect();
        let has = if has.is_empty() { String::new() } else { format!(", ENV{{ID_SERIAL}}==\"*{}*\"", has.join("*")) };
        let lacks: String =
            stick.name_lacks.iter().map(|part| format!(", ENV{{ID_SERIAL}}!=\"*{}*\"", pattern(part))).collect();
        for (vendor, product) in stick.usb {
            let chip = format!("ENV{{ID_VENDOR_ID}}==\"{vendor:04x}\", ENV{{ID_MODEL_ID}}==\"{product:04x}\"");
            expected += &format!("{chip}{has}{lacks}, GOTO=\"hearth_stick\"\n");
        }
    }
    let rules = unit("61-hearth.rules");
    assert!(rules.contains(&expected), "systemd/61-hearth.rules should have:\n{expected}");
    assert_eq!(rules.matches("GOTO=\"hearth_stick\"").count(), expected.matches("GOTO=").count(), "and no others");
}

/// What the unit passes to the hub is read there under the same names.
#[test]
fn the_unit_and_the_configuration_agree() {
    let unit = unit("hearth.service");
    let credentials: Vec<_> =
        values(&unit, "LoadCredential").into_iter().filter_map(|value| value.split_once(':')).collect();
    let config = Config::default();
    let rows = ProviderName::ALL.into_iter().filter_map(|name| config.providers.row(name));
    for key in rows.filter_map(|row| row.api_key_env.clone()) {
        let name = key.to_ascii_lowercase();
        assert!(credentials.contains(&(&*name, &*format!("hearth.{name}"))), "{name}: {credentials:?}");
    }
    let socket = self::unit("hearth-mcp.socket");
    let launcher = format!("HEARTH__MCP__LAUNCHER={}", values(&socket, "ListenStream")[0]);
    // The other one is the C library's.
    assert_eq!(values(&unit, "Environment"), [&*launcher, "MALLOC_ARENA_MAX=1"]);
    assert_eq!(values(&unit, "WorkingDirectory"), ["/var/lib/hearth"]);
    assert_eq!(config.store.path.to_str(), Some("./hearth.redb"));
}
