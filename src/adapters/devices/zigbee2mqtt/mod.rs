//! Devices through a running Zigbee2MQTT and its MQTT broker, under the same names and properties. `bridge` and what it is made of
//! (`roster`, `command`, `request`, `evidence`) are a state machine without a socket or a clock; `driver` is the I/O, `tunnel`
//! its TLS.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::secret::Secret;
use crate::home::{
    Backend, BindEnd, BindWish, Bound, DeviceId, DeviceSource, Firmware, KeptScene, MemberEnd, Membership,
    NetworkQuery, PairingWish, SetDone, SourceEvent,
};
use driver::{Ask, Question};
use out::Answer;
use refusal::body;
use request::Request;

mod address;
mod backup;
mod bridge;
#[cfg(test)]
mod broker;
mod command;
mod device;
mod driver;
mod evidence;
mod exposes;
mod inflate;
mod job;
mod listed;
mod map;
mod order;
mod out;
mod refusal;
mod request;
mod roster;
#[cfg(test)]
mod testing;
mod tunnel;

/// Questions that wait for the driver.
const ASKS_MAX: usize = 64;

/// Where Zigbee2MQTT is found: the `mqtt` section of the configuration, and the password that it names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `mqtt://host[:port]` or `mqtts://host[:port]`.
    pub url: String,
    pub base_topic: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Whom the broker's certificate has to come from; `None`: a public authority.
    pub ca_file: Option<PathBuf>,
    /// Quality of service of commands and subscriptions, 0 to 2.
    pub qos: u8,
}

/// The source of devices that is a Zigbee2MQTT.
pub struct Zigbee2mqtt {
    settings: Settings,
    /// To the driver, while it runs.
    asks: Mutex<Option<mpsc::Sender<Ask>>>,
}

impl Zigbee2mqtt {
    /// Connects when it is run.
    pub fn new(settings: Settings) -> Zigbee2mqtt {
        Zigbee2mqtt { settings, asks: Mutex::new(None) }
    }

    /// Whether a Zigbee2MQTT has spoken on that broker: for an owner who has not said what there is.
    pub async fn is_there(&self) -> bool {
        driver::is_there(&self.settings).await
    }

    /// The driver's answer. Each question has a deadline in the state machine, which all end with the driver.
    fn ask(&self, question: Question) -> impl Future<Output = Result<Answer, ErrorBody>> + Send + 'static {
        let asks = self.asks.lock().expect("nobody panics with it").clone();
        async move {
            let stopped = || body(ErrorCode::RadioDown, "the hub is not connected to the MQTT broker");
            let (reply, answer) = oneshot::channel();
            match asks.ok_or_else(stopped)?.try_send(Ask { question, reply }) {
                Ok(()) => answer.await.map_err(|_| stopped()),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    Err(body(ErrorCode::Timeout, "Zigbee2MQTT has too much to do already"))
                }
                Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
            }
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'static, Result<Value, ErrorBody>> {
        let answer = self.ask(Question::Request(request));
        async move {
            match answer.await? {
                Answer::Request(result) => result,
                other => unreachable!("a request was answered by {other:?}"),
            }
        }
        .boxed()
    }

    fn order(&self, request: Request) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.request(request).map(|result| result.map(drop)).boxed()
    }
}

impl DeviceSource for Zigbee2mqtt {
    fn backend(&self) -> Backend {
        Backend::Zigbee2mqtt
    }

    fn run(self: Arc<Self>, events: mpsc::Sender<SourceEvent>) -> BoxFuture<'static, ()> {
        async move {
            let (sender, asks) = mpsc::channel(ASKS_MAX);
            *self.asks.lock().expect("nobody panics with it") = Some(sender);
            driver::run(&self.settings, asks, events).await;
        }
        .boxed()
    }

    fn set(
        &self,
        targets: Vec<DeviceId>,
        set: Map<String, Value>,
        group: Option<u16>,
    ) -> BoxFuture<'static, Vec<Result<SetDone, ErrorBody>>> {
        let count = targets.len();
        let answer = self.ask(Question::Set { targets, set, group });
        async move {
            match answer.await {
                Ok(Answer::Set(results)) => results,
                Ok(other) => unreachable!("a command was answered by {other:?}"),
                Err(why) => vec![Err(why); count],
            }
        }
        .boxed()
    }

    fn read(
        &self,
        id: DeviceId,
        properties: Vec<Box<str>>,
    ) -> BoxFuture<'static, Result<Map<String, Value>, ErrorBody>> {
        let answer = self.ask(Question::Read { id, properties });
        async move {
            match answer.await? {
                Answer::Read(result) => result,
                other => unreachable!("a question was answered by {other:?}"),
            }
        }
        .boxed()
    }

    fn pairing(&self, wish: PairingWish) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.order(Request::Pairing(wish))
    }

    fn rename(&self, id: DeviceId, name: Box<str>) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.order(Request::Rename(id, name))
    }

    fn remove(&self, id: DeviceId, force: bool) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.order(Request::Remove { id, force })
    }

    fn interview(&self, id: DeviceId) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.order(Request::Interview(id))
    }

    fn update_firmware(&self, id: DeviceId) -> BoxFuture<'static, Result<Firmware, ErrorBody>> {
        self.request(Request::UpdateFirmware(id)).map(|result| result.map(|data| request::firmware(&data))).boxed()
    }

    fn network(&self, query: NetworkQuery) -> BoxFuture<'static, Result<Value, ErrorBody>> {
        self.request(Request::Network(query))
    }

    fn regroup(&self, wish: Membership) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.order(Request::Regroup(wish))
    }

    /// One message to the group, which Zigbee2MQTT does not answer.
    fn kept_scene(&self, wish: KeptScene) -> BoxFuture<'static, Result<Vec<MemberEnd>, ErrorBody>> {
        self.request(Request::Scene(wish)).map(|result| result.map(|_| Vec::new())).boxed()
    }

    fn bind(&self, wish: BindWish) -> BoxFuture<'static, Result<Vec<BindEnd>, ErrorBody>> {
        self.request(Request::Bind(wish)).map(|result| result.map(|data| request::bind_ends(&data))).boxed()
    }

    fn bindings(&self, id: DeviceId) -> BoxFuture<'static, Result<Vec<Bound>, ErrorBody>> {
        let rows = |rows| serde_json::from_value(rows).expect("they are the machine's own");
        self.request(Request::Bindings(id)).map(move |result| result.map(rows)).boxed()
    }
}
