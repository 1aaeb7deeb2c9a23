//! The hub as a process: how it starts, refuses to start, stops, logs and follows its configuration.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::process::{House, Process, bytes, hearth, run};
use crate::world::provider::{FakeProvider, Gate, Script};

/// What no log and no client may ever see.
const KEY: &str = "sk-hunter2-do-not-print";

/// The configuration of a hub that asks `provider` as `local` and nobody else.
fn asking(provider: &FakeProvider) -> String {
    let url = provider.base_url();
    format!("providers: {{ active: local, fallback: [], local: {{ base_url: \"{url}\", model: first }} }}\n")
}

#[tokio::test]
async fn one_line_is_logged_of_each_request_and_nothing_that_was_said() {
    let world = FakeProvider::start(Script::answer(&["swordfish ", "again"])).await;
    let url = world.base_url();
    let house = House::new(&format!(
        "providers: {{ active: openai, fallback: [], openai: {{ base_url: \"{url}\", first_token_s: 1 }} }}\nlog: {{ level: info }}\n"
    ));
    let mut command = house.command();
    command.env("OPENAI_API_KEY", KEY);
    let process = Process::start(command, "");
    let mut client = Client::v2(process.address().await).await;

    let answer = client.chat("good", "The password is opensesame").await;
    assert_eq!(answer.text(), "swordfish again");
    assert_eq!(world.request(0).await.headers["authorization"], format!("Bearer {KEY}"));
    world.once(Script::error(401, "invalid_api_key", &format!("Incorrect API key provided: {KEY}."), &[]));
    let refused = client.chat("refused", "opensesame").await;
    assert_eq!(refused.code(), "provider_auth");
    assert!(!refused.end().to_string().contains("hunter2"), "{}", refused.end());
    world.once(
        Script::stream()
            .words(&["swordfish"], Duration::ZERO)
            .sse(&json!({"error": {"message": KEY}}).to_string())
            .stall(),
    );
    let broken = client.chat("broken", "opensesame").await;
    assert_eq!((broken.code(), broken.text().as_str()), ("provider_error", "swordfish"));
    assert!(!broken.end().to_string().contains("hunter2"), "{}", broken.end());
    world.once(Script::stream().words(&["swordfish"], Duration::ZERO).stall());
    client.ask("stopped", "opensesame").await;
    client.until_text("stopped", "swordfish").await;
    client.cancel("stopped").await;
    client.answer("stopped").await;
    let refused = client.chat_with("unknown", "opensesame", json!({"profile": "nobody"})).await;
    assert_eq!(refused.code(), "not_found");

    for (id, outcome, chunks) in [
        ("good", "complete", 2),
        ("refused", "provider_auth", 0),
        ("broken", "provider_error", 1),
        ("stopped", "cancelled", 1),
        ("unknown", "not_found", 0),
    ] {
        let line = process.log(|line| line["message"] == "request ended" && line["request_id"] == id).await;
        assert_eq!(
            (&line["outcome"], &line["chunks"], &line["level"]),
            (&json!(outcome), &json!(chunks), &json!("INFO"))
        );
        assert!(line["total_ms"].is_u64(), "{line}");
        if id != "unknown" {
            assert_eq!(line["provider"], "openai", "{line}");
            assert_eq!(line["model"], if id == "good" { "fake-1" } else { "gpt-4o-mini" }, "{line}");
        }
        for figure in ["first_token_ms", "forward_p50_us", "forward_p99_us"] {
            assert_eq!(line[figure].is_u64(), chunks > 0, "{figure}: {line}");
        }
        if chunks > 0 {
            assert!(line["forward_p50_us"].as_u64() <= line["forward_p99_us"].as_u64(), "{line}");
        }
    }
    process.signal(Signal::TERM);
    let ended = process.ended().await;
    let lines: Vec<Value> = ended.err.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    assert_eq!(
        lines.iter().filter(|line| line["message"] == "request ended").count(),
        5,
        "one line each: {}",
        ended.err
    );
    for secret in ["hunter2", "opensesame", "swordfish"] {
        assert!(!ended.err.contains(secret), "{secret} is in the log: {}", ended.err);
    }
    let kept = bytes(house.path("hearth.redb"));
    assert!(!kept.windows(7).any(|seven| seven == b"hunter2"), "the key is in the store");
    assert_eq!((ended.code(), ended.out.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_stop_while_answers_run_is_orderly_and_soon() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let house = House::new(&asking(&world));
    let process = house.serve().await;
    let address = process.address().await;
    let part = || Script::stream().words(&["a"], Duration::ZERO);
    let [mut stalled, mut detached, mut ending, mut idle] =
        [Client::v1(address).await, Client::v2(address).await, Client::v2(address).await, Client::v2(address).await];
    world.times(2, &part().stall());
    for (client, id) in [(&mut stalled, "stalled"), (&mut detached, "detached")] {
        client.ask_with(id, "Hello", json!({"conversation_id": id})).await;
        client.until_text(id, "a").await;
    }
    let gate = Gate::new();
    world.once(part().gate(&gate).words(&["b"], Duration::ZERO).end());
    ending.ask("ending", "Hello").await;
    ending.until_text("ending", "a").await;
    detached.abort();
    process.signal(Signal::TERM);
    assert_eq!(idle.closed().await, Some(1001));
    ending.ask("late", "Hello").await;
    let late = ending.answer("late").await;
    assert_eq!((late.code(), late.retryable()), ("offline", true), "nothing new begins");
    gate.open();
    assert_eq!(ending.answer("ending").await.text(), "ab", "what ends in a moment may");
    assert_eq!(ending.closed().await, Some(1001));
    assert_eq!(stalled.closed().await, Some(1001));
    world.closed(0).await;
    world.closed(1).await;
    let ended = process.ended().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(!ended.err.contains("ERROR") && !ended.err.contains("WARN"), "{}", ended.err);

    let process = house.serve().await;
    let mut client = Client::v1(process.address().await).await;
    for (at, id) in ["stalled", "detached"].into_iter().enumerate() {
        client.chat_with(id, "And?", json!({"conversation_id": id})).await;
        let messages = world.request(3 + at).await.body["messages"].clone();
        assert_eq!(messages[1], json!({"role": "assistant", "content": "a"}), "{id}: the part is kept");
    }
}

#[tokio::test]
async fn a_key_may_come_from_systemd_and_goes_to_the_provider_alone() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let url = world.base_url();
    let house = House::new(&format!("providers: {{ active: openai, openai: {{ base_url: \"{url}\" }} }}\n"));
    std::fs::write(house.path("openai_api_key"), format!("{KEY}\n")).unwrap();
    let mut command = house.command();
    command.env("CREDENTIALS_DIRECTORY", house.folder.path()).env("HEARTH__LOG__LEVEL", "trace");
    let process = Process::start(command, "");
    assert_eq!(Client::v1(process.address().await).await.chat("1", "Hello").await.provider(), "openai");
    assert_eq!(world.request(0).await.headers["authorization"], format!("Bearer {KEY}"));
    process.signal(Signal::TERM);
    let ended = process.ended().await;
    assert!(ended.err.contains("TRACE") && !ended.err.contains("hunter2"), "the key is in the log");
}

#[tokio::test]
async fn a_request_whose_client_left_has_its_line_as_well() {
    let world = FakeProvider::start(Script::stream().words(&["a"], Duration::ZERO).stall()).await;
    let house = House::new(&asking(&world));
    let process = house.serve().await;
    let mut client = Client::v1(process.address().await).await;
    client.ask("left", "Hello").await;
    client.until_text("left", "a").await;
    client.abort();
    let line = process.log(|line| line["message"] == "request ended" && line["request_id"] == "left").await;
    assert_eq!((&line["outcome"], &line["chunks"]), (&json!("cancelled"), &json!(1)));
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_a_kill() {
    let world = FakeProvider::start(Script::answer(&["kept"])).await;
    let house = House::new(&asking(&world));
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let process = house.serve().await;
        let mut client = Client::v2(process.address().await).await;
        for number in 0..40 {
            let id = format!("c-{round}-{number}");
            client.ask_with(&id, &format!("question {id}"), json!({"conversation_id": id})).await;
        }
        // The others are being written at this moment.
        for number in 0..10 {
            let id = format!("c-{round}-{number}");
            assert_eq!(client.answer(&id).await.text(), "kept");
            acknowledged.push(id);
        }
        process.signal(Signal::KILL);
        assert_eq!(process.ended().await.code(), None);
    }
    let process = house.serve().await;
    let mut client = Client::v2(process.address().await).await;
    for id in &acknowledged {
        let number = world.requests().len();
        client.chat_with(&format!("again-{id}"), "and?", json!({"conversation_id": id})).await;
        let messages = world.request(number).await.body["messages"].clone();
        let wanted = [("user", format!("question {id}")), ("assistant", "kept".into()), ("user", "and?".into())];
        assert_eq!(messages, json!(wanted.map(|(role, text)| json!({"role": role, "content": text}))), "{id}");
    }
}

#[tokio::test]
async fn an_edit_takes_effect_and_a_bad_one_changes_nothing() {
    let (first, second) =
        (FakeProvider::start(Script::answer(&["first"])).await, FakeProvider::start(Script::answer(&["second"])).await);
    let house = House::new(&asking(&first));
    let mut command = house.command();
    command.env("HEARTH__PROVIDERS__LOCAL__MODEL", "from-the-environment");
    let process = Process::start(command, "");
    let mut client = Client::v2(process.address().await).await;
    assert_eq!(client.chat("1", "Hello").await.text(), "first");
    assert_eq!(first.request(0).await.body["model"], "from-the-environment", "the environment wins over the file");

    house.configure(&asking(&second));
    process.log(|line| line["message"] == "a new configuration is in force").await;
    assert_eq!(client.chat("2", "Hello").await.text(), "second", "the same socket, another provider");
    assert_eq!(second.request(0).await.body["model"], "from-the-environment");

    house.configure("providers:\n  active: lokal\n");
    let refused = process.log(|line| line["message"].as_str().is_some_and(|text| text.contains("is refused"))).await;
    let problems = refused["problems"].as_str().expect("it says what is wrong");
    assert_eq!(refused["level"], "WARN");
    assert!(problems.contains("config.yaml:4:11"), "{problems}");
    assert!(problems.contains("active: lokal") && problems.contains("^^^^^"), "line and caret: {problems}");
    assert_eq!(client.chat("3", "Hello").await.text(), "second");

    house.configure(&asking(&second));
    process.log(|line| line["message"] == "the configuration is good again, and as it was").await;
}

#[tokio::test]
async fn a_hub_that_cannot_start_says_why_and_leaves_everything_as_it_was() {
    let house = House::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut second = house.command();
    second.env("HEARTH__GATEWAY__PORT", port.to_string());
    let ended = run(second).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains(&format!("127.0.0.1:{port} is in use by another program")), "{}", ended.err);
    assert!(!std::path::Path::new(&house.path("hearth.redb")).exists(), "nothing was made");

    let running = house.serve().await;
    running.address().await;
    let ended = run(house.command()).await;
    assert_eq!(ended.code(), Some(1));
    let last = ended.err.lines().last().unwrap();
    assert!(last.starts_with("hearth: ") && last.contains("hearth.redb") && last.contains("in use"), "{last}");
    drop(running);

    let damaged = House::new("");
    for content in [&b"this is my shopping list\n"[..], &[0; 4096], &bytes(house.path("hearth.redb"))[..2000]] {
        std::fs::write(damaged.path("hearth.redb"), content).unwrap();
        let ended = run(damaged.command()).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.err);
        let last = ended.err.lines().last().unwrap();
        assert!(last.starts_with("hearth: ") && last.contains("hearth.redb"), "{last}");
        assert_eq!(bytes(damaged.path("hearth.redb")), content, "the file is as it was");
    }

    let nowhere = House::new("log: { level: info }\n");
    let mut command = nowhere.command();
    command.env("HEARTH__STORE__PATH", nowhere.path("no/such/folder/hearth.redb"));
    let ended = run(command).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("no/such/folder"), "{}", ended.err);
}

#[tokio::test]
async fn a_configuration_is_checked_without_a_hub() {
    let house = House::new("providers: { active: local }\n");
    let check = |more: &[&str]| {
        let mut command = hearth(["check", "--config"]);
        command.arg(house.path("config.yaml")).args(more);
        command
    };
    let good = run(check(&[])).await;
    assert_eq!((good.code(), good.err.as_str()), (Some(0), ""));
    assert_eq!(good.out, format!("{} is good", house.path("config.yaml")));
    let mut overridden = check(&["--json"]);
    overridden.env("HEARTH__GATEWAY__PORT", "8001");
    let good = run(overridden).await;
    let report = json!({"ok": true, "file": house.path("config.yaml"), "overrides": ["HEARTH__GATEWAY__PORT"]});
    assert_eq!((good.code(), good.json()), (Some(0), report));

    house.configure("providers:\n  actve: local\n  total_s: soon\n");
    let bad = run(check(&[])).await;
    assert_eq!((bad.code(), bad.out.as_str()), (Some(1), ""));
    for words in ["config.yaml:4:3", "actve", "active", "config.yaml:5:12", "soon", "^^^^"] {
        assert!(bad.err.contains(words), "{words:?} is not in {}", bad.err);
    }
    let bad = run(check(&["--json"])).await;
    assert_eq!((bad.code(), &bad.json()["ok"], bad.err.as_str()), (Some(1), &json!(false), ""));
    assert!(bad.json()["error"].as_str().unwrap().contains("config.yaml:4:3"), "{}", bad.out);

    let empty = tempfile::tempdir().unwrap();
    let mut odd = hearth(["check"]);
    odd.current_dir(empty.path()).env("HEARTH__GATEWAY__PORT", "many");
    let ended = run(odd).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("HEARTH__GATEWAY__PORT"), "{}", ended.err);
    assert_eq!(run(hearth(["check", "--config", "/nowhere/config.yaml"])).await.code(), Some(1));
    assert_eq!(run(hearth(["chekc"])).await.code(), Some(2));
    assert_eq!(run(hearth(["--help"])).await.code(), Some(0));
}

/// As `head` does when it has its lines.
#[test]
fn a_command_ends_quietly_when_nobody_reads_what_it_says() {
    let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(theirs);
    let mut command = hearth(["check"]);
    command.stdout(std::os::fd::OwnedFd::from(ours)).stderr(std::process::Stdio::piped());
    let ended = command.output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(141), ""));
}
