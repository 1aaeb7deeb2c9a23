//! The commands for people: `chat`, `demo`, `doctor`, as a person at a terminal or a script uses them.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::process::{House, Process, hearth, run};
use crate::world::provider::{FakeProvider, Script};

/// `hearth chat` with this hub.
fn chat(hub: &Running, arguments: &[&str]) -> Command {
    let mut command = hearth(["chat", "--url"]);
    command.arg(format!("ws://{}/ws/chat", hub.address)).args(arguments);
    command
}

#[tokio::test]
async fn chat_prints_the_answer_and_tells_how_it_went() {
    let world = FakeProvider::start(Script::answer(&["Hel", "lo\n", "wörld"])).await;
    let hub = hub::start(&world).await;
    let ended = run(chat(&hub, &["Say", "hello", "--model", "tiny", "--conversation", "c"])).await;
    assert_eq!((ended.code(), ended.out.as_str(), ended.err.as_str()), (Some(0), "Hello\nwörld", ""));
    let body = world.request(0).await.body;
    assert_eq!((&body["model"], &body["messages"][0]["content"]), (&json!("tiny"), &json!("Say hello")));

    let ended = Process::start(chat(&hub, &["--conversation", "c"]), "From a pipe\n").ended().await;
    assert_eq!((ended.code(), ended.out.as_str()), (Some(0), "Hello\nwörld"));
    let body = world.request(1).await.body;
    assert_eq!(body["messages"].as_array().unwrap().len(), 3, "the same conversation");
    assert_eq!(body["messages"][2]["content"].as_str().unwrap().trim(), "From a pipe");

    let ended = run(chat(&hub, &["--json", "Hello"])).await;
    let frames: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let statuses: Vec<_> = frames.iter().map(|frame| frame["status"].as_str().unwrap()).collect();
    assert_eq!((ended.code(), statuses), (Some(0), vec!["processing", "chunk", "chunk", "chunk", "complete"]));

    world.once(Script::status(503, &[], ""));
    let ended = run(chat(&hub, &["Hello"])).await;
    assert_eq!((ended.code(), ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.starts_with("provider_error: local: "), "{}", ended.err);
    world.once(Script::status(503, &[], ""));
    let ended = run(chat(&hub, &["--json", "Hello"])).await;
    let last: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!((ended.code(), &last["error"]["code"]), (Some(1), &json!("provider_error")));

    let ended = run(chat(&hub, &["--mode", "sideways", "Hello"])).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.starts_with("bad_request: "), "{}", ended.err);
    let ended = Process::start(chat(&hub, &[]), " \n").ended().await;
    assert_eq!(ended.code(), Some(1), "nothing was asked: {}", ended.err);
    let ended = run(hearth(["chat", "--url", "ws://127.0.0.1:9/ws/chat", "Hello"])).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("no hub at 127.0.0.1:9; is it running?"), "{}", ended.err);
    let ended = run(hearth(["chat", "--url", &world.base_url(), "Hello"])).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("this is no hub"), "{}", ended.err);
    let ended = run(hearth(["chat", "--url", "https://127.0.0.1:9", "Hello"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("without TLS"), "{}", ended.err);
}

#[tokio::test]
async fn ctrl_c_stops_an_answer_and_the_provider_is_left() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    for (number, (script, said)) in [
        (Script::stream().words(&["one\n", "two"], Duration::ZERO).stall(), "one\ntwo"),
        (Script::stream().stall(), ""),
    ]
    .into_iter()
    .enumerate()
    {
        world.once(script);
        let process = Process::start(chat(&hub, &["Hello"]), "");
        world.request(number).await;
        if !said.is_empty() {
            process.says("one").await;
        }
        process.signal(Signal::INT);
        let ended = process.ended().await;
        assert_eq!((ended.code(), ended.out.as_str()), (Some(130), said), "{}", ended.err);
        world.closed(number).await;
    }
}

#[tokio::test]
async fn a_hub_that_dies_within_an_answer_is_no_success() {
    let world = FakeProvider::start(Script::stream().words(&["one\n", "two"], Duration::ZERO).stall()).await;
    let url = world.base_url();
    let house =
        House::new(&format!("providers: {{ active: local, fallback: [], local: {{ base_url: \"{url}\" }} }}\n"));
    let hub = house.serve().await;
    let mut command = hearth(["chat", "Hello", "--url"]);
    // As all other commands take it.
    command.arg(format!("http://{}", hub.address().await));
    let process = Process::start(command, "");
    process.says("one").await;
    drop(hub);
    let ended = process.ended().await;
    assert_eq!((ended.code(), ended.out.as_str()), (Some(1), "one\ntwo"));
    assert!(ended.err.starts_with("hearth: the "), "{}", ended.err);
}

#[tokio::test]
async fn a_notice_is_beside_the_answer_and_a_terminal_is_safe_from_it() {
    let world = FakeProvider::start(Script::error(500, "server_error", "It \u{1b}[2J broke", &[])).await;
    let hub = hub::start_with(&world, |config| {
        config.providers.fallback = vec![hearth::common::config::ProviderName::Assistant];
    })
    .await;
    let ended = run(chat(&hub, &["hello"])).await;
    assert_eq!(ended.code(), Some(0));
    assert!(!ended.out.is_empty() && !ended.out.contains("instead"), "{}", ended.out);
    assert!(ended.err.contains("assistant answers instead of the first choice"), "{}", ended.err);
    assert!(!ended.err.contains('\u{1b}'), "{:?}", ended.err);
}

/// The address of a demo that has started.
async fn open_at(demo: &Process) -> std::net::SocketAddr {
    let line = demo.says(" is open at http://").await;
    let url = line.split("http://").nth(1).expect("an address");
    url.trim_end_matches('/').parse().expect("an address")
}

#[tokio::test]
async fn a_demo_asks_whom_the_environment_offers() {
    let world = FakeProvider::start(Script::answer(&["from openai"])).await;
    let folder = tempfile::tempdir().unwrap();
    let demo = |variables: &[(&str, &str)]| {
        let mut command = hearth(["demo", "--port", "0"]);
        command.current_dir(folder.path()).env("TMPDIR", folder.path()).envs(variables.iter().copied());
        Process::start(command, "")
    };
    // A key, and an address of the row: the key decides, the address is used.
    let url = world.base_url();
    let process = demo(&[("OPENAI_API_KEY", "sk-demo"), ("HEARTH__PROVIDERS__OPENAI__BASE_URL", &url)]);
    let address = open_at(&process).await;
    process.says("OpenAI (gpt-4o-mini) answers: OPENAI_API_KEY is set.").await;
    let answer = Client::v1(address).await.chat("1", "Hello").await;
    assert_eq!((answer.text().as_str(), answer.provider()), ("from openai", "openai"));
    assert_eq!(world.request(0).await.headers["authorization"], "Bearer sk-demo");
    // The assistant stands behind it.
    world.once(Script::error(401, "invalid_api_key", "Incorrect API key", &[]));
    assert_eq!(Client::v1(address).await.chat("1", "Hello").await.provider(), "assistant");
    process.signal(Signal::INT);
    let ended = process.ended().await;
    assert_eq!(ended.code(), Some(0));
    assert!(!ended.out.contains("sk-demo") && !ended.err.contains("sk-demo"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is kept");

    // Somebody named is asked, whatever else there is.
    let process = demo(&[("OPENAI_API_KEY", "sk-demo"), ("HEARTH__PROVIDERS__ACTIVE", "assistant")]);
    let address = open_at(&process).await;
    process.says("assistant answers, as the environment says.").await;
    assert_eq!(Client::v1(address).await.chat("1", "Hello").await.provider(), "assistant");
    drop(process);

    // An address of a server of one's own, and no key.
    let local = FakeProvider::start(Script::answer(&["from my own"])).await;
    let models = json!({"object": "list", "data": [{"id": "my-model"}]}).to_string();
    local.once(Script::status(200, &[("content-type", "application/json")], &models));
    let process = demo(&[("HEARTH__PROVIDERS__LOCAL__BASE_URL", &local.base_url())]);
    let address = open_at(&process).await;
    process.says("with my-model").await;
    assert_eq!(Client::v1(address).await.chat("1", "Hello").await.text(), "from my own");
    assert_eq!(local.request(1).await.body["model"], "my-model");
}

#[tokio::test]
async fn a_demo_finds_a_server_on_this_machine_or_does_without() {
    for port in [8080, 11434] {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            println!("skipped: somebody listens on port {port} of this machine");
            return;
        }
    }
    let demo = || Process::start(hearth(["demo", "--port", "0"]), "");
    let process = demo();
    let address = open_at(&process).await;
    process.says("The built-in assistant answers.").await;
    let answer = Client::v1(address).await.chat("1", "What time is it?").await;
    assert_eq!(answer.provider(), "assistant");
    assert!(!answer.text().is_empty());
    drop(process);

    for (port, name) in [(8080, "a llama.cpp server"), (11434, "Ollama")] {
        let listener = match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => listener,
            Err(error) => {
                println!("skipped: port {port}: {error}");
                continue;
            }
        };
        let world = FakeProvider::start_on(listener, Script::answer(&["from nearby"]));
        let models = json!({"object": "list", "data": [{"id": "tiny\u{1b}[2J-model"}]}).to_string();
        world.once(Script::status(200, &[("content-type", "application/json")], &models));
        let process = demo();
        let address = open_at(&process).await;
        let who = process.says("on port").await;
        assert_eq!(who, format!("{name} on port {port} answers, with tiny[2J-model."));
        assert_eq!(Client::v1(address).await.chat("1", "Hello").await.text(), "from nearby");
    }
}

#[tokio::test]
async fn doctor_says_what_to_mend() {
    let world = FakeProvider::start(Script::error(401, "invalid_api_key", "no", &[])).await;
    let models = json!({"object": "list", "data": [{"id": "tiny"}]}).to_string();
    world.once(Script::status(200, &[("content-type", "application/json")], &models));
    let url = world.base_url();
    let house = House::new(&format!(
        "providers:\n  active: local\n  fallback: [openai, gemini, assistant]\n  local: {{ base_url: \"{url}\", model: tiny }}\n  openai: {{ base_url: \"{url}\" }}\n"
    ));
    let doctor = |arguments: &[&str]| {
        let mut command = hearth(["doctor"]);
        command.args(arguments).current_dir(house.folder.path()).env("OPENAI_API_KEY", "sk-doctor");
        command
    };
    let ended = run(doctor(&["--json"])).await;
    let report = ended.json();
    assert_eq!((ended.code(), &report["ok"]), (Some(0), &json!(true)), "{report}");
    let health = |what: &str| {
        let findings = report["findings"].as_array().unwrap();
        let found =
            findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{what}: {report}"));
        found["health"].as_str().unwrap().to_owned()
    };
    for (what, wanted) in [
        ("config", "ok"),
        ("hub", "warn"),
        ("store", "ok"),
        ("provider local", "ok"),
        ("provider openai", "warn"),
        ("provider gemini", "warn"),
        ("provider assistant", "ok"),
    ] {
        assert_eq!(health(what), wanted, "{what}: {report}");
    }
    assert!(!ended.out.contains("sk-doctor") && !ended.err.contains("sk-doctor"));
    let speech = &report["findings"].as_array().unwrap().iter().find(|one| one["what"] == "speech").unwrap()["text"];
    let speech = speech.as_str().unwrap();
    assert!(speech.contains("apt install espeak-ng") || speech.starts_with("eSpeak NG"), "{speech}");
    assert!(!std::path::Path::new(&house.path("hearth.redb")).exists(), "it changes nothing");

    let running = house.serve().await;
    let port = running.address().await.port().to_string();
    let mut command = doctor(&["--json"]);
    command.env("HEARTH__GATEWAY__PORT", port);
    let report = run(command).await.json();
    for (at, what, words) in [(1, "hub", "running at"), (2, "store", "in use by the running hub")] {
        let finding = &report["findings"][at];
        assert_eq!((&finding["what"], &finding["health"]), (&json!(what), &json!("ok")), "{report}");
        assert!(finding["text"].as_str().unwrap().contains(words), "{report}");
    }
    drop(running);

    std::fs::write(house.path("hearth.redb"), "a shopping list").unwrap();
    let ended = run(doctor(&["--json"])).await;
    assert_eq!((ended.code(), &ended.json()["ok"]), (Some(1), &json!(false)), "{}", ended.out);
    assert_eq!(std::fs::read(house.path("hearth.redb")).unwrap(), b"a shopping list");
    let table = run(doctor(&[])).await;
    assert_eq!(table.code(), Some(1));
    assert!(table.out.contains("MEND") && table.out.contains("store"), "{}", table.out);
}
