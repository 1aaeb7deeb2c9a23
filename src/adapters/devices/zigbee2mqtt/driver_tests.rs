//! Tests of what the driver makes of the configuration and of lost connections; the connection itself is tried against a real broker
//! (`.ci/peers/zigbee2mqtt`).

use super::*;
use crate::common::secret::Secret;

fn settings(url: &str) -> Settings {
    Settings { url: url.into(), base_topic: "zigbee2mqtt".into(), username: None, password: None, qos: 0 }
}

#[test]
fn the_address_is_taken_apart() {
    for (url, host, port) in [
        ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884),
        ("mqtt://broker.lan", "broker.lan", 1883),
        ("mqtt://broker.lan/", "broker.lan", 1883),
        ("mqtt://[::1]:1885", "[::1]", 1885),
        ("mqtt://[fe80::1]", "[fe80::1]", 1883),
    ] {
        assert_eq!(options(&settings(url)).unwrap().broker_address(), (host.to_owned(), port), "{url}");
    }
    assert!(options(&settings("mqtts://broker.lan")).unwrap_err().contains("without TLS"));
    assert!(options(&settings("mqtt://broker.lan:many")).is_err());
}

#[test]
fn each_client_has_a_name_of_its_own() {
    let name = || options(&settings("mqtt://127.0.0.1")).unwrap().client_id();
    assert_ne!(name(), name());
}

#[test]
fn a_password_goes_to_the_broker_and_into_no_error() {
    let settings = Settings {
        username: Some("hub".into()),
        password: Some(Secret::new("hunter2")),
        ..settings("mqtt://127.0.0.1:1883")
    };
    let login = options(&settings).unwrap().credentials().unwrap();
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
    run(&settings("mqtts://broker.lan"), asked, events).await;
    assert!(matches!(told.recv().await, Some(SourceEvent::Radio(RadioStatus::Refused { .. }))));
}
