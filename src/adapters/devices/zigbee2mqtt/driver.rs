//! The I/O of the Zigbee2MQTT adapter: one connection to the broker after another (rumqttc), the clock, the channels. Decides
//! nothing: what a message means and what is published is the state machine's (`bridge`).
//!
//! Each connection has a client of its own with a clean session, so that nothing that was not sent while the broker was away is
//! sent when it is back: whoever asked for it was told long ago that it failed.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions, NetworkOptions, QoS,
    StateError, SubscribeFilter, Transport,
};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Settings;
use super::address::Address;
use super::bridge::{BRIDGE_PAYLOAD_BYTES_MAX, Bridge};
use super::out::{Answer, Now, Out, Ticket};
use super::request::Request;
use super::tunnel::{Tunnel, TunnelError};
use crate::common::time::whole_ms;
use crate::home::{DeviceId, RadioStatus, SourceEvent};

/// Silence after which the broker is asked whether it is there; without an answer it is gone after twice that.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Seconds for TCP and the broker's greeting; as many before it for TLS.
const CONNECT_S: u64 = 5;

/// Bytes of a message with its topic. A longer one ends the connection.
const PACKET_BYTES_MAX: usize = BRIDGE_PAYLOAD_BYTES_MAX + 65_535;

/// What waits to be sent. Past it the broker takes nothing, and the connection is given up.
const SENDS_MAX: usize = 1024;

/// Messages that wait for the state machine; when the house is slow, the broker has to wait.
const MESSAGES_MAX: usize = 64;

/// Topics in one SUBSCRIBE.
const TOPICS_MAX: usize = 64;

/// Between two tries: doubled from the first to the last. One that was refused is for the owner to mend.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(15);
const RETRY_REFUSED: Duration = Duration::from_secs(60);

/// How long the hub waits at its start to learn whether there is a Zigbee2MQTT.
const THERE: Duration = Duration::from_secs(2);

/// A connection that lasted so long was a good one: the next try is the first again.
const GOOD: Duration = Duration::from_secs(10);

/// Something for the state machine, and whither its answer goes.
pub struct Ask {
    pub question: Question,
    pub reply: oneshot::Sender<Answer>,
}

pub enum Question {
    Set { targets: Vec<DeviceId>, set: Map<String, Value>, group: Option<u16> },
    Read { id: DeviceId, properties: Vec<Box<str>> },
    Request(Request),
}

/// What the connection tells.
enum News {
    Connected,
    Message { topic: String, payload: bytes::Bytes, is_retained: bool },
    Lost(ConnectionError),
}

/// Why it comes to an end: nobody listens any more.
struct Unheard;

/// Works until nobody listens to `events`, or until it can never work.
pub async fn run(settings: &Settings, asks: mpsc::Receiver<Ask>, events: mpsc::Sender<SourceEvent>) {
    let (address, name) = match Address::of(&settings.url).and_then(|address| Ok((address, name()?))) {
        Ok(found) => found,
        Err(why) => {
            let _ = events.send(SourceEvent::Radio(RadioStatus::Refused { why: why.into() })).await;
            return;
        }
    };
    let bridge = Bridge::new(&settings.base_topic, &name);
    let mut driver =
        Driver { bridge, asks, events, replies: HashMap::new(), asked: 0, qos: qos(settings.qos), is_lost: false };
    let mut retry = RETRY_FIRST;
    loop {
        let began = now().at;
        let Ok(status) = driver.connection(&address, &name, settings).await else { return };
        if now().at >= began + GOOD {
            retry = RETRY_FIRST;
        }
        let wait = if matches!(status, RadioStatus::Refused { .. }) { RETRY_REFUSED } else { retry };
        retry = (retry * 2).min(RETRY_LAST);
        driver.bridge.handle_disconnected(status, now());
        if driver.meanwhile(tokio::time::sleep(wait)).await.is_err() {
            return;
        }
    }
}

/// Whether there is a broker at that address, and a Zigbee2MQTT that has spoken on it. Knows it within [`THERE`].
pub async fn is_there(settings: &Settings) -> bool {
    let (Ok(address), Ok(name)) = (Address::of(&settings.url), name()) else { return false };
    let topic = format!("{}/bridge/state", settings.base_topic);
    let found = async {
        let (client, mut events, _carrier) = dial(&address, &name, settings, 1).await.ok()?;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    client.try_subscribe(topic.as_str(), QoS::AtMostOnce).ok()?
                }
                Ok(Event::Incoming(Incoming::Publish(publish))) if publish.topic == topic => return Some(()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(THERE, found).await.is_ok_and(|found| found.is_some())
}

struct Driver {
    bridge: Bridge,
    asks: mpsc::Receiver<Ask>,
    events: mpsc::Sender<SourceEvent>,
    replies: HashMap<Ticket, oneshot::Sender<Answer>>,
    asked: Ticket,
    qos: QoS,
    /// That there is no connection has been logged.
    is_lost: bool,
}

impl Driver {
    /// One connection, until it is lost; how to tell of that.
    async fn connection(&mut self, address: &Address, name: &str, settings: &Settings) -> Result<RadioStatus, Unheard> {
        let (client, events, _carrier) = match self.meanwhile(dial(address, name, settings, SENDS_MAX)).await? {
            Ok(dialled) => dialled,
            Err(error) => {
                self.log_lost(&error, settings);
                return Ok(undug(&error, settings));
            }
        };
        let (news_to, mut news) = mpsc::channel(MESSAGES_MAX);
        let _pump = Task(tokio::spawn(pump(events, news_to)));
        loop {
            if !self.flush(Some(&client)).await? {
                let why = format!("the MQTT broker at {} takes nothing", settings.url);
                return Ok(RadioStatus::Down { why: why.into() });
            }
            tokio::select! {
                told = news.recv() => match told {
                    Some(News::Connected) => {
                        tracing::info!(broker = settings.url, "connected to the MQTT broker");
                        self.is_lost = false;
                        self.bridge.handle_connected(now());
                    }
                    Some(News::Message { topic, payload, is_retained }) => {
                        self.bridge.handle_message(&topic, &payload, is_retained, now());
                    }
                    Some(News::Lost(error)) => {
                        self.log_lost(&error, settings);
                        return Ok(lost(&error, settings));
                    }
                    None => return Ok(RadioStatus::Down { why: "the connection to the MQTT broker broke".into() }),
                },
                ask = self.asks.recv() => self.ask(ask.ok_or(Unheard)?),
                () = at(self.bridge.poll_timeout()) => self.bridge.handle_timeout(now()),
                () = self.events.closed() => return Err(Unheard),
            }
        }
    }

    /// Once, and not with every try.
    fn log_lost(&mut self, error: &dyn std::fmt::Display, settings: &Settings) {
        if std::mem::replace(&mut self.is_lost, true) {
            tracing::debug!(broker = settings.url, %error, "no connection to the MQTT broker");
        } else {
            tracing::warn!(broker = settings.url, %error, "no connection to the MQTT broker");
        }
    }

    /// Without a connection, until this is done; what is asked meanwhile is answered so.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Unheard> {
        let mut work = pin!(work);
        loop {
            self.flush(None).await?;
            tokio::select! {
                done = &mut work => return Ok(done),
                ask = self.asks.recv() => self.ask(ask.ok_or(Unheard)?),
                () = at(self.bridge.poll_timeout()) => self.bridge.handle_timeout(now()),
                () = self.events.closed() => return Err(Unheard),
            }
        }
    }

    fn ask(&mut self, Ask { question, reply }: Ask) {
        self.asked += 1;
        let ticket = self.asked;
        self.replies.insert(ticket, reply);
        match question {
            Question::Set { targets, set, group } => self.bridge.set(ticket, &targets, &set, group, now()),
            Question::Read { id, properties } => self.bridge.read(ticket, &id, properties, now()),
            Question::Request(request) => self.bridge.request(ticket, request, now()),
        }
    }

    /// Does what the state machine wants done. False: the connection takes no more.
    async fn flush(&mut self, client: Option<&AsyncClient>) -> Result<bool, Unheard> {
        let mut is_taken = true;
        while let Some(out) = self.bridge.poll() {
            is_taken &= match (out, client) {
                (Out::Tell(event), _) => {
                    self.events.send(event).await.map_err(|_| Unheard)?;
                    true
                }
                (Out::Answer(ticket, answer), _) => {
                    // Whoever asked may have gone.
                    let _ = self.replies.remove(&ticket).map(|reply| reply.send(answer));
                    true
                }
                (_, None) => true,
                (Out::Publish { topic, payload }, Some(client)) => {
                    client.try_publish(topic, self.qos, false, payload).is_ok()
                }
                (Out::Subscribe(topics), Some(client)) => topics.chunks(TOPICS_MAX).all(|topics| {
                    let filters = topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), self.qos));
                    client.try_subscribe_many(filters).is_ok()
                }),
                (Out::Unsubscribe(topics), Some(client)) => {
                    topics.into_iter().all(|topic| client.try_unsubscribe(topic).is_ok())
                }
            };
        }
        Ok(is_taken)
    }
}

/// A part of a connection, which ends with whoever holds it.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Brings what comes from the broker to the driver. Its own task, because rumqttc's loop must not be left in the middle.
async fn pump(mut events: EventLoop, news: mpsc::Sender<News>) {
    loop {
        let (told, is_last) = match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => (News::Connected, false),
            Ok(Event::Incoming(Incoming::Publish(publish))) => {
                let (topic, payload, is_retained) = (publish.topic, publish.payload, publish.retain);
                (News::Message { topic, payload, is_retained }, false)
            }
            Ok(_) => continue,
            Err(error) => (News::Lost(error), true),
        };
        if news.send(told).await.is_err() || is_last {
            return;
        }
    }
}

/// A client, its loop, which has yet to be turned, and what carries its words where there is TLS.
async fn dial(
    address: &Address,
    name: &str,
    settings: &Settings,
    sends_max: usize,
) -> Result<(AsyncClient, EventLoop, Option<Task>), TunnelError> {
    let mut options = MqttOptions::new(name, &address.host, address.port);
    let mut carrier = None;
    if address.is_tls {
        let within = Duration::from_secs(CONNECT_S);
        let tunnel = Tunnel::dig(address, settings.ca_file.clone(), name, within).await?;
        options = MqttOptions::new(name, &tunnel.socket, address.port);
        options.set_transport(Transport::unix());
        carrier = Some(Task(tokio::spawn(tunnel.carry())));
    }
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some(username) = &settings.username {
        options.set_credentials(username, settings.password.as_ref().map_or("", |password| password.expose()));
    }
    let (client, mut events) = AsyncClient::new(options, sends_max);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_S);
    events.set_network_options(network);
    Ok((client, events, carrier))
}

/// A client's name, which is its own: one hub must not drive another from the broker.
fn name() -> Result<String, &'static str> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| "the system gives no random numbers")?;
    Ok(format!("hearth-{:016x}", u64::from_ne_bytes(random)))
}

fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// What a connection with TLS that did not come about is to the owner.
fn undug(error: &TunnelError, settings: &Settings) -> RadioStatus {
    let url = &settings.url;
    match error {
        TunnelError::Refused(why) => {
            RadioStatus::Refused { why: format!("the hub does not speak to the MQTT broker at {url}: {why}").into() }
        }
        TunnelError::Io(error) => {
            RadioStatus::Down { why: format!("there is no MQTT broker with TLS at {url}: {error}").into() }
        }
        TunnelError::Timeout => RadioStatus::Down { why: format!("the MQTT broker at {url} does not answer").into() },
    }
}

/// What a lost connection is to the owner.
fn lost(error: &ConnectionError, settings: &Settings) -> RadioStatus {
    let url = &settings.url;
    let why = match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => {
            let why = format!(
                "the MQTT broker at {url} does not let the hub in; look at `mqtt.username` and the variable that `mqtt.password_env` names"
            );
            return RadioStatus::Refused { why: why.into() };
        }
        ConnectionError::ConnectionRefused(code) => format!("the MQTT broker at {url} refused the hub: {code:?}"),
        ConnectionError::Io(error) => format!("there is no MQTT broker at {url}: {error}"),
        ConnectionError::NetworkTimeout => format!("the MQTT broker at {url} does not answer"),
        ConnectionError::MqttState(StateError::Deserialization(error)) => {
            format!(
                "the MQTT broker at {url} sent what the hub cannot take, such as a message over {PACKET_BYTES_MAX} bytes: {error:?}"
            )
        }
        error => format!("the connection to the MQTT broker at {url} broke: {error}"),
    };
    RadioStatus::Down { why: why.into() }
}

/// Waits until then; for ever where there is no such time.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the adapter's one look at the clocks; the state machine gets them as arguments"
)]
fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { at: Instant::now(), unix_ms: whole_ms(unix) }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
