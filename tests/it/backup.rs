//! A house in one file: made by a hub that runs, put onto a fresh card, and the same house again with the same stick and with a blank
//! one; and a store that is damaged while nobody looks.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::process::{House, Process, hearth, run};
use crate::world::soon;

const PASSPHRASE: &str = "correct horse battery";

/// `hearth simulate` on a port of its own, with its standard input for orders.
struct Stick {
    child: Child,
    orders: ChildStdin,
    port: u16,
}

impl Stick {
    fn start(devices: &str) -> Stick {
        let mut command = hearth(["simulate", "--listen", "tcp:127.0.0.1:0", "--json", "--devices", devices]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary is there");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let greeting: Value = serde_json::from_str(&lines.next().expect("a greeting").expect("text")).expect("JSON");
        let address = greeting["listening"].as_str().expect("an address").trim_start_matches("tcp://");
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Stick { orders: child.stdin.take().expect("piped"), child, port }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it listens");
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_stick(stick: &Stick) -> String {
    format!(
        "providers: {{ active: assistant, fallback: [] }}\nzigbee: {{ backend: direct, port: \"tcp://127.0.0.1:{}\" }}\n",
        stick.port
    )
}

/// `hearth` in a house, with its configuration.
fn at(house: &House, words: &[&str]) -> Command {
    let mut command = hearth([]);
    command.args(words).current_dir(house.folder.path());
    command
}

async fn asked(address: SocketAddr, words: &[&str]) -> Value {
    let mut command = hearth([]);
    command.args(words).args(["--json", "--url"]).arg(format!("http://{address}"));
    let ended = run(command).await;
    assert_eq!(ended.code(), Some(0), "{words:?}: {}{}", ended.out, ended.err);
    serde_json::from_str(ended.out.lines().last().unwrap_or_default()).unwrap_or_default()
}

/// What a person sees of the devices, once there are so many of them, all that are new with their names. A sensor that sleeps is heard
/// of when it has something to say, which may be long after a start.
async fn seen(address: SocketAddr, count: usize) -> Vec<(String, String, String)> {
    let text = |device: &Value, key: &str| device[key].as_str().unwrap_or_default().to_owned();
    soon("the devices", async {
        loop {
            let listed = asked(address, &["devices", "list"]).await;
            let devices = listed["devices"].as_array().cloned().unwrap_or_default();
            let there = devices.iter().filter(|device| device["domains"][0].is_string());
            let mut seen: Vec<_> =
                there.map(|device| (text(device, "id"), text(device, "name"), text(device, "room"))).collect();
            if seen.len() == count {
                seen.sort();
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

async fn stop(process: Process) {
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_fresh_card_becomes_the_same_house_with_the_same_stick_and_with_a_blank_one() {
    let mut stick = Stick::start("bulb,plug,climate");
    let house = House::new(&with_stick(&stick));
    let process = Process::start(with_key(&house), "");
    let address = process.address().await;
    soon("a radio that is up", async {
        let opened = || {
            let mut command = hearth(["tools", "call", "pairing.start", "seconds=120", "--url"]);
            command.arg(format!("http://{address}"));
            run(command)
        };
        while opened().await.code() != Some(0) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    seen(address, 3).await;
    asked(address, &["devices", "rename", "Bulb", "reading lamp"]).await;
    asked(address, &["rooms", "set", "Library"]).await;
    asked(address, &["devices", "room", "reading lamp", "Library"]).await;
    let known = seen(address, 3).await;
    assert!(known.iter().any(|(_, name, room)| name == "reading lamp" && room == "Library"), "{known:?}");

    let tar = house.path("house.tar");
    let passphrase = house.path("passphrase");
    fs::write(&passphrase, format!("{PASSPHRASE}\n")).expect("room");
    let url = format!("http://{address}");
    let made = at(&house, &["backup", &tar, "--json", "--with-keys", "--passphrase-file", &passphrase, "--url", &url]);
    let made = run(made).await;
    assert_eq!(made.code(), Some(0), "{}{}", made.out, made.err);
    let members: Vec<Value> = made.json()["manifest"]["members"].as_array().expect("members").clone();
    let names: Vec<_> = members.iter().map(|member| member["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["config.yaml", "zigbee.json", "keys.json", "store.redb"]);
    let bytes = fs::read(&tar).expect("the backup");
    assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key is sealed");

    let refused = run(at(&house, &["restore", &tar, "--force"])).await;
    assert!(refused.code() == Some(1) && refused.err.contains("is in use"), "{}", refused.err);
    // No farewell: what was answered lies in the backup.
    process.signal(Signal::KILL);
    process.ended().await;

    // A fresh card, and the stick that was there.
    let card = House::new(&with_stick(&stick));
    let dry = run(at(&card, &["restore", &tar, "--dry-run"])).await;
    assert_eq!((dry.code(), Path::new(&card.path("hearth.redb")).exists()), (Some(0), false), "{}", dry.err);
    let keys = card.path("credstore");
    let words = ["restore", &tar, "--json", "--keys-to", &keys, "--passphrase-file", &passphrase];
    let restored = run(at(&card, &words)).await;
    assert_eq!((restored.code(), &restored.json()["restored"]), (Some(0), &json!(true)), "{}", restored.err);
    let key = fs::read_to_string(format!("{keys}/hearth.openai_api_key")).expect("a credential");
    assert_eq!(key, KEY);
    let process = card.serve().await;
    let address = process.address().await;
    assert_eq!(seen(address, 3).await, known);
    for state in ["state=on", "state=off"] {
        asked(address, &["devices", "set", "reading lamp", state]).await;
    }
    stop(process).await;

    // The stick has gone the way of the card.
    stick.order("swap 3.x.0");
    let refused = run(at(&card, &["restore", &tar])).await;
    assert!(refused.code() == Some(1) && refused.err.contains("--force"), "{}", refused.err);
    let restored = run(at(&card, &["restore", &tar, "--force", "--json"])).await;
    assert_eq!(restored.code(), Some(0), "{}", restored.err);
    let before = restored.json()["before"].as_str().expect("what was there before").to_owned();
    assert!(before.contains("/snapshots/hearth-000001-restore-"), "{before}");
    let process = card.serve().await;
    let address = process.address().await;
    assert_eq!(seen(address, 3).await, known);
    // The stick has the network and does not know the ways in it yet: the first words to a device may be late.
    for name in ["reading lamp", "Plug"] {
        soon("a device that obeys", async {
            for state in ["state=on", "state=off"].iter().cycle() {
                let mut command = hearth(["devices", "set", name, state, "--url"]);
                command.arg(format!("http://{address}"));
                if run(command).await.code() == Some(0) {
                    return;
                }
            }
        })
        .await;
    }
    stop(process).await;

    // A snapshot is put back by the same command.
    let back = run(at(&card, &["restore", &before, "--force", "--json"])).await;
    assert_eq!((back.code(), back.json()["manifest"].is_null()), (Some(0), true), "{}", back.err);
}

const KEY: &str = "sk-hunter2-do-not-print";

fn with_key(house: &House) -> Command {
    let mut command = house.command();
    command.env("OPENAI_API_KEY", KEY);
    command
}

#[tokio::test]
async fn a_damaged_store_is_replaced_by_its_newest_snapshot_and_kept() {
    let house = House::new("");
    let process = house.serve().await;
    let address = process.address().await;
    asked(address, &["rooms", "set", "Kitchen"]).await;
    stop(process).await;
    let store = house.path("hearth.redb");
    // As `hearth update` takes one.
    let folder = house.folder.path().join("snapshots");
    let path = Path::new(&store);
    hearth::store::snapshots::take(path, &folder, hearth::store::snapshots::Reason::Update, 1_795_342_500_000)
        .expect("room");
    let mut damaged = fs::read(&store).expect("the store");
    let half = damaged.len() / 2;
    damaged[4096..half].fill(0);
    fs::write(&store, &damaged).expect("room");

    let process = house.serve().await;
    let address = process.address().await;
    let line = process.log(|line| line["message"].as_str().is_some_and(|text| text.contains("was damaged"))).await;
    assert_eq!(line["level"], "ERROR", "{line}");
    let aside = line["aside"].as_str().expect("where it lies").to_owned();
    assert_eq!(fs::read(&aside).expect("the damaged file"), damaged);
    let rooms = asked(address, &["rooms", "list"]).await;
    assert_eq!(rooms["rooms"][0]["name"], "Kitchen", "{rooms}");
    let doctor = run(at(&house, &["doctor", "--json"])).await;
    let findings = doctor.json()["findings"].as_array().cloned().unwrap_or_default();
    let is_told = |what: &str, text: &str| {
        findings.iter().any(|one| one["what"] == what && one["text"].as_str().is_some_and(|told| told.contains(text)))
    };
    assert!(is_told("store", "replaced by a snapshot (1 times"), "{findings:?}");
    assert!(is_told("snapshots", "1 kept, the newest is"), "{findings:?}");
    stop(process).await;

    // Without any snapshot that is whole it is as it was, and says what to do.
    for kept in fs::read_dir(&folder).expect("snapshots") {
        fs::write(kept.expect("one").path(), b"dust").expect("room");
    }
    fs::write(&store, &damaged).expect("room");
    let refused = run(house.command()).await;
    assert_eq!(refused.code(), Some(1), "{}", refused.err);
    assert!(refused.err.contains("is damaged") && refused.err.contains("this snapshot cannot"), "{}", refused.err);
    assert_eq!(fs::read(&store).expect("the store"), damaged);
}

#[tokio::test]
async fn a_backup_is_made_where_no_hub_runs_and_a_kill_leaves_nothing_half() {
    let house = House::new("");
    let process = house.serve().await;
    let address = process.address().await;
    asked(address, &["rooms", "set", "Kitchen"]).await;
    stop(process).await;
    let tar = house.path("house.tar");
    let made = run(at(&house, &["backup", &tar])).await;
    assert!(made.code() == Some(0) && made.out.contains("trial restore"), "{}{}", made.out, made.err);
    let good = fs::read(&tar).expect("the backup");

    for round in 0..8 {
        let commands = [at(&house, &["backup", &tar]), at(&house, &["restore", &tar, "--force"])];
        for mut command in commands {
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary is there");
            tokio::time::sleep(Duration::from_millis(15 * round)).await;
            // An error: it was quicker.
            let _ = child.kill();
            child.wait().expect("our own child");
            let contents = hearth::store::snapshots::verify(Path::new(&house.path("hearth.redb"))).expect("whole");
            assert!(contents.of_the_house == 1, "round {round}: {contents:?}");
        }
        let scratch = house.folder.path().join("scratch.redb");
        hearth::backup::open(Path::new(&tar), &scratch).expect("an old backup or a new one, and whole");
    }
    fs::write(&tar, &good[..good.len() / 2]).expect("room");
    let before = hearth::store::snapshots::verify(Path::new(&house.path("hearth.redb")));
    let refused = run(at(&house, &["restore", &tar, "--force"])).await;
    assert!(refused.code() == Some(1) && refused.err.contains("is damaged"), "{}", refused.err);
    assert_eq!(hearth::store::snapshots::verify(Path::new(&house.path("hearth.redb"))), before);
    let process = house.serve().await;
    let address = process.address().await;
    assert_eq!(asked(address, &["rooms", "list"]).await["rooms"][0]["name"], "Kitchen");
    stop(process).await;
}
