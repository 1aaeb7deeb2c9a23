//! Tests of the driver, with a broker of their own on loopback. A real one, and a real Zigbee2MQTT, are tried by
//! `.ci/peers/zigbee2mqtt`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::adapters::devices::zigbee2mqtt::Zigbee2mqtt;
use crate::adapters::devices::zigbee2mqtt::broker::{Broker, Client};
use crate::adapters::devices::zigbee2mqtt::testing::{LAMP, house, id};
use crate::common::error::ErrorCode;
use crate::common::secret::Secret;
use crate::home::DeviceSource;

/// No step of a test takes longer; on a busy machine some are slow.
const STEP: Duration = Duration::from_secs(20);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn settings(url: &str) -> Settings {
    Settings {
        url: url.into(),
        base_topic: "zigbee2mqtt".into(),
        username: None,
        password: None,
        ca_file: None,
        qos: 0,
    }
}

#[test]
fn each_client_has_a_name_of_its_own() {
    assert_ne!(name().unwrap(), name().unwrap());
}

#[tokio::test]
async fn a_password_goes_to_the_broker_and_into_no_error() {
    let settings = Settings {
        username: Some("hub".into()),
        password: Some(Secret::new("hunter2")),
        ..settings("mqtt://127.0.0.1:1883")
    };
    let address = Address::of(&settings.url).unwrap();
    let Ok((_, events, _)) = dial(&address, "hub", &settings, 1).await else { panic!("nobody was dialled yet") };
    let login = events.mqtt_options.credentials().unwrap();
    assert_eq!((login.username.as_str(), login.password.as_str()), ("hub", "hunter2"));
    let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
    let RadioStatus::Refused { why } = lost(&refused, &settings) else { panic!("it is for the owner to mend") };
    assert!(why.contains("mqtt.username") && !why.contains("hunter2"), "{why}");
}

#[test]
fn other_failures_are_tried_again() {
    let gone = ConnectionError::Io(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    for error in [gone, ConnectionError::NetworkTimeout, ConnectionError::FlushTimeout] {
        assert!(matches!(lost(&error, &settings("mqtt://h")), RadioStatus::Down { why } if why.contains("mqtt://h")));
    }
}

#[tokio::test]
async fn an_address_that_can_never_work_is_refused_and_that_is_all() {
    let (events, mut told) = mpsc::channel(4);
    let (_asks, asked) = mpsc::channel(1);
    run(&settings("mqtt://broker.lan:many"), asked, events).await;
    assert!(matches!(told.recv().await, Some(SourceEvent::Radio(RadioStatus::Refused { .. }))));
}

/// The hub's side and the broker's.
struct Pair {
    hub: Arc<Zigbee2mqtt>,
    told: mpsc::Receiver<SourceEvent>,
    broker: Broker,
    run: JoinHandle<()>,
    ups: u8,
}

impl Pair {
    async fn start(change: impl FnOnce(&mut Settings)) -> Pair {
        Pair::start_at(Broker::start(LOOPBACK).await, "mqtt", change)
    }

    fn start_at(broker: Broker, scheme: &str, change: impl FnOnce(&mut Settings)) -> Pair {
        let mut settings = settings(&format!("{scheme}://{}", broker.address()));
        change(&mut settings);
        let hub = Arc::new(Zigbee2mqtt::new(settings));
        let (events, told) = mpsc::channel(64);
        let run = tokio::spawn(hub.clone().run(events));
        Pair { hub, told, broker, run, ups: 0 }
    }

    /// Lets the hub in, and shows it a house that is up.
    async fn up(&mut self) -> Client {
        let mut client = in_time(self.broker.accept(ConnectReturnCode::Success)).await;
        in_time(client.until_subscribed("zigbee2mqtt/bridge/logging")).await;
        client.say("zigbee2mqtt/bridge/devices", house().to_string(), true).await;
        client.say("zigbee2mqtt/bridge/state", r#"{"state":"online"}"#, true).await;
        in_time(client.until_subscribed("zigbee2mqtt/hall/lamp")).await;
        self.until(|event| *event == SourceEvent::Radio(RadioStatus::Up)).await;
        // Another state each time, so that it is told.
        self.ups += 1;
        let state = json!({ "state": "OFF", "brightness": self.ups }).to_string();
        client.say("zigbee2mqtt/hall/lamp", state, true).await;
        self.until(|event| matches!(event, SourceEvent::State { .. })).await;
        client
    }

    async fn until(&mut self, is_it: impl Fn(&SourceEvent) -> bool) -> SourceEvent {
        loop {
            let event = in_time(self.told.recv()).await.expect("the driver runs");
            if is_it(&event) {
                return event;
            }
        }
    }

    fn set(&self, state: &str) -> impl Future<Output = Result<Value, ErrorCode>> + use<> {
        let Value::Object(set) = json!({ "state": state }) else { unreachable!() };
        let answer = self.hub.set(vec![id(LAMP)], set, None);
        async { in_time(answer).await.remove(0).map(|done| done.state.into()).map_err(|why| why.code) }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.run.abort();
    }
}

async fn in_time<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(STEP, step).await.expect("a step of the test took too long")
}

/// The command among what the hub publishes; at the start it asks devices for their state, too.
async fn command(client: &mut Client) -> (String, String) {
    loop {
        let heard = in_time(client.heard()).await.expect("it is connected");
        if heard.0.ends_with("/set") {
            return heard;
        }
    }
}

#[tokio::test]
async fn a_command_goes_to_the_broker_and_comes_back_confirmed() {
    for qos in [0, 1] {
        let mut pair = Pair::start(|settings| settings.qos = qos).await;
        let mut client = pair.up().await;
        let answer = tokio::spawn(pair.set("ON"));
        assert_eq!(command(&mut client).await, (format!("zigbee2mqtt/{LAMP}/set"), r#"{"state":"ON"}"#.to_owned()));
        client.say("zigbee2mqtt/hall/lamp", r#"{"state":"ON"}"#, false).await;
        client.say("zigbee2mqtt/hall/lamp", r#"{"state":"ON"}"#, false).await;
        assert_eq!(in_time(answer).await.unwrap(), Ok(json!({"state": "ON"})));
    }
}

#[tokio::test]
async fn a_broken_connection_fails_what_was_under_way_and_is_made_again() {
    let mut pair = Pair::start(|_| {}).await;
    let mut client = pair.up().await;
    let answer = tokio::spawn(pair.set("ON"));
    command(&mut client).await;
    let name = client.name.clone();
    drop(client);
    assert_eq!(in_time(answer).await.unwrap(), Err(ErrorCode::RadioDown));
    pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Down { .. }))).await;
    assert_eq!(pair.set("ON").await, Err(ErrorCode::RadioDown), "and nothing waits to be sent later");
    let mut client = in_time(pair.broker.accept(ConnectReturnCode::Success)).await;
    assert_eq!(client.name, name);
    in_time(client.until_subscribed("zigbee2mqtt/hall/lamp")).await;
    client.say("zigbee2mqtt/bridge/state", "online", true).await;
    pair.until(|event| *event == SourceEvent::Radio(RadioStatus::Up)).await;
    let answer = tokio::spawn(pair.set("OFF"));
    assert_eq!(command(&mut client).await.1, r#"{"state":"OFF"}"#, "what failed is not sent after all");
    client.say("zigbee2mqtt/hall/lamp", r#"{"state":"OFF"}"#, false).await;
    client.say("zigbee2mqtt/hall/lamp", r#"{"state":"OFF"}"#, false).await;
    assert_eq!(in_time(answer).await.unwrap(), Ok(json!({"state": "OFF"})));
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_hub_is_for_the_owner() {
    let mut pair = Pair::start(|settings| settings.username = Some("hub".into())).await;
    let client = in_time(pair.broker.accept(ConnectReturnCode::NotAuthorized)).await;
    assert_eq!(client.login.as_ref().map(|login| login.username.as_str()), Some("hub"));
    pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Refused { .. }))).await;
}

#[tokio::test]
async fn no_broker_is_said_and_looked_for_again() {
    let place = Broker::start(LOOPBACK).await.address();
    let mut pair = Pair::start(|settings| settings.url = format!("mqtt://{place}")).await;
    pair.until(
        |event| matches!(event, SourceEvent::Radio(RadioStatus::Down { why }) if why.contains("no MQTT broker")),
    )
    .await;
    pair.broker = Broker::start(place).await;
    pair.up().await;
}

#[tokio::test]
async fn what_is_no_mqtt_ends_the_connection_and_not_the_hub() {
    let mut pair = Pair::start(|_| {}).await;
    let mut client = pair.up().await;
    client.babble(&[0xff; 64]).await;
    pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Down { .. }))).await;
    // The beginning of a message of 256 MB.
    let mut client = pair.up().await;
    client.babble(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b'x']).await;
    pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Down { why }) if why.contains("cannot take")))
        .await;
    pair.up().await;
}

#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let mut pair = Pair::start(|_| {}).await;
    let client = pair.up().await;
    pair.told.close();
    drop(client);
    in_time(&mut pair.run).await.unwrap();
    assert_eq!(pair.set("ON").await, Err(ErrorCode::RadioDown));
}

#[tokio::test]
async fn it_is_found_where_it_has_spoken() {
    let broker = Broker::start(LOOPBACK).await;
    let settings = settings(&format!("mqtt://{}", broker.address()));
    let there = tokio::spawn({
        let settings = settings.clone();
        async move { is_there(&settings).await }
    });
    let mut client = in_time(broker.accept(ConnectReturnCode::Success)).await;
    in_time(client.until_subscribed("zigbee2mqtt/bridge/state")).await;
    client.say("zigbee2mqtt/bridge/state", "offline", true).await;
    assert!(in_time(there).await.unwrap());
    drop((broker, client));
    assert!(!in_time(is_there(&settings)).await, "there is no broker any more");
}

/// The authority of the broker's certificate.
fn authority() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/adapters/devices/zigbee2mqtt/testdata/ca.pem")
}

#[tokio::test]
async fn a_broker_with_tls_is_spoken_to_with_tls() {
    let broker = Broker::start_with_tls(LOOPBACK).await;
    let mut pair = Pair::start_at(broker, "mqtts", |settings| settings.ca_file = Some(authority()));
    for _ in 0..2 {
        let mut client = pair.up().await;
        let answer = tokio::spawn(pair.set("ON"));
        command(&mut client).await;
        client.say("zigbee2mqtt/hall/lamp", r#"{"state":"ON"}"#, false).await;
        client.say("zigbee2mqtt/hall/lamp", r#"{"state":"ON"}"#, false).await;
        assert_eq!(in_time(answer).await.unwrap(), Ok(json!({"state": "ON"})));
        // A whole list is longer than what lies between the two ends.
        client.say("zigbee2mqtt/bridge/info", vec![b' '; 4 * 1024 * 1024], true).await;
        drop(client);
        pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Down { .. }))).await;
    }
}

#[tokio::test]
async fn a_certificate_of_strangers_is_for_the_owner() {
    // Of nobody who is known publicly, and of no such name.
    for (name, ca_file) in [("127.0.0.1", None), ("127.0.0.2", Some(authority()))] {
        let broker = Broker::start_with_tls(SocketAddr::from(([0, 0, 0, 0], 0))).await;
        let url = format!("mqtts://{name}:{}", broker.address().port());
        let mut pair = Pair::start_at(broker, "mqtts", |settings| (settings.url, settings.ca_file) = (url, ca_file));
        let error = in_time(pair.broker.turned_away()).await;
        let told = pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Refused { .. }))).await;
        let SourceEvent::Radio(RadioStatus::Refused { why }) = told else { unreachable!() };
        assert!(why.contains("`mqtt.ca_file`") && why.contains("certificate"), "{why} ({error})");
    }
}

#[tokio::test]
async fn an_authority_that_is_no_file_is_for_the_owner() {
    let mut pair = Pair::start_at(Broker::start_with_tls(LOOPBACK).await, "mqtts", |settings| {
        settings.ca_file = Some("/nowhere/ca.pem".into());
    });
    let told = pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Refused { .. }))).await;
    assert!(matches!(told, SourceEvent::Radio(RadioStatus::Refused { why }) if why.contains("/nowhere/ca.pem")));
}

#[tokio::test]
async fn a_broker_without_tls_is_not_spoken_to_plainly() {
    let mut pair = Pair::start_at(Broker::start(LOOPBACK).await, "mqtts", |settings| {
        settings.password = Some(Secret::new("hunter2"))
    });
    // Plain MQTT begins with CONNECT; this is a TLS greeting, which the broker cannot read.
    assert_eq!(in_time(pair.broker.first_byte()).await, 0x16);
    pair.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Down { why }) if why.contains("with TLS")))
        .await;
}

#[tokio::test]
async fn it_is_found_behind_tls() {
    let broker = Broker::start_with_tls(LOOPBACK).await;
    let settings = Settings { ca_file: Some(authority()), ..settings(&format!("mqtts://{}", broker.address())) };
    let there = tokio::spawn(async move { is_there(&settings).await });
    let mut client = in_time(broker.accept(ConnectReturnCode::Success)).await;
    in_time(client.until_subscribed("zigbee2mqtt/bridge/state")).await;
    client.say("zigbee2mqtt/bridge/state", "online", true).await;
    assert!(in_time(there).await.unwrap());
}
