//! The real binary with its simulated house: devices come in by themselves, are called what they are called, do what they are told,
//! and are still called so after the hub was killed.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::process::{House, Process, hearth, run};
use crate::world::soon;

const SIMULATED: &str = "providers: { active: assistant, fallback: [] }\nzigbee: { backend: simulated }\n";

fn asking(address: SocketAddr, words: &[&str]) -> Command {
    let mut command = hearth([]);
    command.args(words).arg("--url").arg(format!("http://{address}"));
    command
}

async fn devices(address: SocketAddr) -> Vec<Value> {
    let listed = run(asking(address, &["devices", "list", "--json"])).await;
    assert_eq!(listed.code(), Some(0), "{}", listed.err);
    listed.json()["devices"].as_array().cloned().unwrap_or_default()
}

/// The kitchen lamp, once it is there and can be reached.
async fn lamp(address: SocketAddr) -> Value {
    placed(address, "kitchen lamp", "Kitchen").await
}

/// A device, once it has its place and can be reached.
async fn placed(address: SocketAddr, name: &str, room: &str) -> Value {
    let is_it = |device: &Value| device["name"] == name && device["room"] == room && device["available"] == true;
    soon(name, async {
        loop {
            if let Some(lamp) = devices(address).await.into_iter().find(is_it) {
                return lamp;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_simulated_house_is_furnished_obeys_and_is_the_same_after_a_kill() {
    let house = House::new(SIMULATED);
    let process = house.serve().await;
    let address = process.address().await;
    let found = lamp(address).await;
    assert_eq!(found["domains"][0], "light", "{found}");

    let mut client = Client::v2(address).await;
    let payload = json!({ "topics": [format!("device/{}", found["id"].as_str().unwrap())], "snapshot": false });
    client.send(&json!({ "action": "subscribe", "request_id": "s", "payload": payload })).await;
    assert_eq!(client.one("s").await["status"], "complete");
    for (state, word) in [("ON", "on"), ("OFF", "off"), ("ON", "on")] {
        let ended = run(asking(address, &["devices", "set", "kitchen lamp", &format!("state={word}"), "--json"])).await;
        assert_eq!(
            (ended.code(), &ended.json()["results"][0]["state"]["state"]),
            (Some(0), &json!(state)),
            "{}",
            ended.out
        );
        let told = soon("the event", async {
            loop {
                let frame = client.frame().await;
                if frame["event"]["changes"]["state"]["state"] == state {
                    return frame;
                }
            }
        });
        told.await;
    }
    placed(address, "bedside lamp", "Bedroom").await;
    let renamed = run(asking(address, &["devices", "rename", "bedside lamp", "reading lamp"])).await;
    assert_eq!(renamed.code(), Some(0), "{}", renamed.err);
    // What was answered is on the disk.
    process.signal(Signal::KILL);
    process.ended().await;

    let process = house.serve().await;
    let address = process.address().await;
    lamp(address).await;
    soon("the other name", async {
        while !devices(address).await.iter().any(|one| one["name"] == "reading lamp" && one["room"] == "Bedroom") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(!devices(address).await.iter().any(|one| one["name"] == "bedside lamp"), "an owner's word stays");
    let ended = run(asking(address, &["devices", "set", "kitchen lamp", "state=off"])).await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    process.signal(Signal::TERM);
    let ended = process.ended().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
}

#[tokio::test]
async fn what_is_in_its_box_joins_when_somebody_opens_the_house_and_stays() {
    let house = House::new(SIMULATED);
    let process = house.serve().await;
    let address = process.address().await;
    let mut client = Client::v2(address).await;
    let payload = json!({ "topics": ["pairing"], "snapshot": false });
    client.send(&json!({ "action": "subscribe", "request_id": "s", "payload": payload })).await;
    assert_eq!(client.one("s").await["status"], "complete");
    let closed = async |client: &mut Client| {
        soon("a closed house", async {
            loop {
                let told = client.frame().await["event"]["record"].clone();
                if told["event"] == "closed" {
                    return;
                }
            }
        })
        .await;
    };
    closed(&mut client).await;
    let furnished = devices(address).await;
    assert!(furnished.len() == 10 && furnished.iter().all(|device| device["room"].is_string()), "{furnished:?}");

    let known: Vec<_> = furnished.iter().map(|device| device["id"].clone()).collect();
    let pairing = Process::start(asking(address, &["devices", "pair", "--seconds", "60"]), "");
    let (mut steps, mut newcomer) = (Vec::new(), None);
    while newcomer.is_none() {
        let event = soon("the interview", client.frame()).await["event"].clone();
        // One that stands in the house may still be looked after.
        if known.contains(&event["key"]) {
            continue;
        }
        match event["record"]["event"].as_str() {
            Some("step") => steps.push(event["record"]["step"].as_str().unwrap_or_default().to_owned()),
            Some("interviewed") => newcomer = event["key"].as_str().map(str::to_owned),
            _ => {}
        }
    }
    assert_eq!(steps, ["node", "endpoints", "clusters", "basic", "binding", "reporting"]);
    let ended = pairing.ended().await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("has joined") && ended.out.contains("is ready"), "{}", ended.out);
    let id = newcomer.expect("it has been waited for");
    let is_new = |device: &&Value| device["id"] == *id && device["room"].is_null();
    assert!(devices(address).await.iter().any(|device| is_new(&device)), "a device without a room");
    let ended = run(asking(address, &["devices", "rename", &id, "reading light"])).await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    // What was unpacked once stands in the house.
    process.signal(Signal::KILL);
    process.ended().await;
    let process = house.serve().await;
    let address = process.address().await;
    soon("the newcomer", async {
        while !devices(address).await.iter().any(|device| device["id"] == *id && device["name"] == "reading light") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_person_says_it_to_the_assistant_and_it_happens() {
    let house = House::new(SIMULATED);
    let process = house.serve().await;
    let address = process.address().await;
    let id = lamp(address).await["id"].clone();
    let mut client = Client::v2(address).await;
    let answer = client.chat("say", "turn on the kitchen lamp").await;
    assert_eq!(answer.end()["status"], "complete", "{}", answer.end());
    assert!(!answer.chunks("tool_result").is_empty(), "by a tool, as every model: {:?}", answer.text());
    let state = devices(address).await.into_iter().find(|one| one["id"] == id).map(|one| one["state"]["state"].clone());
    assert_eq!(state, Some(json!("ON")), "{}", answer.text());
}

#[tokio::test]
async fn a_demo_is_furnished() {
    let mut command = hearth(["demo", "--port", "0"]);
    command.env("HEARTH__PROVIDERS__ACTIVE", "assistant");
    let demo = Process::start(command, "");
    let line = demo.says("is open at http://").await;
    let address =
        line.split("http://").nth(1).and_then(|rest| rest.trim_end_matches('/').parse().ok()).expect("an address");
    demo.says("The house is simulated").await;
    lamp(address).await;
    demo.signal(Signal::TERM);
    assert_eq!(demo.ended().await.code(), Some(0));
}
