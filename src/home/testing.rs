//! Devices for tests, and a source of devices that does what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::source::{
    Backend, BindEnd, BindWish, Bound, DeviceId, DeviceInfo, DeviceSource, Firmware, KeptScene, MemberEnd, Membership,
    NetworkQuery, PairingWish, Power, RadioStatus, SetDone, SourceEvent,
};
use crate::common::capability::{Capability, CapabilityKind, Category, Domain, Preset};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::json_text::Details;

pub fn id(id: &str) -> DeviceId {
    DeviceId(id.into())
}

pub fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("{value} is no object") };
    fields
}

fn info(id: &str, model: &str, description: &str, power: Power, capabilities: Vec<Capability>) -> DeviceInfo {
    DeviceInfo {
        id: DeviceId(id.into()),
        name: None,
        model: Some(model.into()),
        vendor: Some("ACME".into()),
        description: Some(description.into()),
        power,
        interviewed: true,
        supported: true,
        is_router: power == Power::Mains,
        capabilities,
        state: Map::new(),
        available: Some(true),
        last_seen_ms: None,
        details: Details::default(),
    }
}

fn capability(property: &str, part_of: Option<Domain>, kind: CapabilityKind, settable: bool) -> Capability {
    Capability {
        property: property.into(),
        name: property.into(),
        endpoint: None,
        part_of,
        kind,
        reported: true,
        settable,
        readable: true,
        unit: None,
        description: None,
        category: None,
    }
}

fn switch(part_of: Domain) -> Capability {
    let (value_on, value_off, value_toggle) = (json!("ON"), json!("OFF"), Some(json!("TOGGLE")));
    capability("state", Some(part_of), CapabilityKind::Binary { value_on, value_off, value_toggle }, true)
}

fn number(property: &str, unit: &str, range: Option<(f64, f64)>, part_of: Option<Domain>) -> Capability {
    let (min, max) = range.map_or((None, None), |(min, max)| (Some(min), Some(max)));
    let kind = CapabilityKind::Numeric { min, max, step: None, presets: Vec::new() };
    let unit = (!unit.is_empty()).then(|| unit.into());
    Capability { unit, ..capability(property, part_of, kind, range.is_some()) }
}

fn linkquality() -> Capability {
    Capability { category: Some(Category::Diagnostic), ..number("linkquality", "lqi", None, None) }
}

pub fn bulb(id: &str) -> DeviceInfo {
    let capabilities =
        vec![switch(Domain::Light), number("brightness", "", Some((0.0, 254.0)), Some(Domain::Light)), linkquality()];
    info(id, "B-1", "LED bulb E27", Power::Mains, capabilities)
}

pub fn lamp_with_colour(id: &str) -> DeviceInfo {
    let light = Some(Domain::Light);
    let mut temperature = number("color_temp", "mired", Some((153.0, 500.0)), light);
    let presets = [("coolest", 153), ("warmest", 500)];
    let presets = presets.map(|(name, value)| Preset { name: name.into(), value: json!(value) }).to_vec();
    temperature.kind = CapabilityKind::Numeric { min: Some(153.0), max: Some(500.0), step: None, presets };
    let features = |names: [&str; 2], max: f64| names.map(|name| number(name, "", Some((0.0, max)), None)).to_vec();
    let colour = |name: &str, features| {
        let kind = CapabilityKind::Composite { features };
        Capability { name: name.into(), ..capability("color", light, kind, true) }
    };
    let effects = CapabilityKind::Enum { values: vec!["blink".into(), "breathe".into()] };
    let mut lamp = bulb(id);
    lamp.capabilities.extend([
        temperature,
        colour("color_xy", features(["x", "y"], 1.0)),
        colour("color_hs", features(["hue", "saturation"], 360.0)),
        capability("effect", None, effects, true),
    ]);
    DeviceInfo { model: Some("B-2".into()), ..lamp }
}

pub fn plug(id: &str) -> DeviceInfo {
    let capabilities = vec![switch(Domain::Switch), number("power", "W", None, None), linkquality()];
    info(id, "P-1", "Smart plug", Power::Mains, capabilities)
}

pub fn contact(id: &str) -> DeviceInfo {
    let kind = CapabilityKind::Binary { value_on: json!(false), value_off: json!(true), value_toggle: None };
    let capabilities = vec![capability("contact", None, kind, false), linkquality()];
    info(id, "C-1", "Contact sensor", Power::Battery, capabilities)
}

pub fn climate(id: &str) -> DeviceInfo {
    let capabilities =
        vec![number("temperature", "°C", None, None), number("humidity", "%", None, None), linkquality()];
    info(id, "T-1", "Climate", Power::Battery, capabilities)
}

pub fn remote(id: &str) -> DeviceInfo {
    let kind = CapabilityKind::Enum { values: vec!["on".into(), "off".into()] };
    info(id, "R-1", "Remote control", Power::Battery, vec![capability("action", None, kind, false)])
}

/// What a test's source was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Set { targets: Vec<DeviceId>, set: Map<String, Value>, group: Option<u16> },
    Read(DeviceId, Vec<Box<str>>),
    Pairing(PairingWish),
    Rename(DeviceId, Box<str>),
    Remove(DeviceId, bool),
    Interview(DeviceId),
    UpdateFirmware(DeviceId),
    Network(NetworkQuery),
    Regroup(Membership),
    KeptScene(KeptScene),
    Bind(BindWish),
    Bindings(DeviceId),
}

/// A source that does what it is told: by default it confirms all, at once.
pub struct Script {
    backend: Backend,
    events: Mutex<Option<mpsc::Sender<SourceEvent>>>,
    here: tokio::sync::Notify,
    pub asked: Mutex<Vec<Asked>>,
    /// How long each device takes for a command, and how it fails.
    pub slow: Mutex<BTreeMap<DeviceId, Duration>>,
    pub fails: Mutex<BTreeMap<DeviceId, VecDeque<ErrorBody>>>,
    /// What a device says after a command, whatever it was told.
    pub says: Mutex<BTreeMap<DeviceId, Map<String, Value>>>,
    /// Every other question is answered with this.
    pub refuses: Mutex<Option<ErrorBody>>,
    /// What each device says that it is bound to.
    pub bound: Mutex<Vec<Bound>>,
    /// Questions about the network are not answered.
    pub is_mute: AtomicBool,
}

impl Script {
    pub fn new(backend: Backend) -> Arc<Script> {
        Arc::new(Script {
            backend,
            events: Mutex::default(),
            here: tokio::sync::Notify::new(),
            asked: Mutex::default(),
            slow: Mutex::default(),
            fails: Mutex::default(),
            says: Mutex::default(),
            refuses: Mutex::default(),
            bound: Mutex::default(),
            is_mute: AtomicBool::new(false),
        })
    }

    /// Tells the house something, once the house listens.
    pub async fn tell(&self, event: SourceEvent) {
        loop {
            let sender = lock(&self.events).clone();
            match sender {
                Some(sender) => return sender.send(event).await.expect("the house listens"),
                None => self.here.notified().await,
            }
        }
    }

    /// Up, with these devices.
    pub async fn begin(&self, devices: Vec<DeviceInfo>) {
        self.tell(SourceEvent::Radio(RadioStatus::Up)).await;
        self.tell(SourceEvent::All(devices)).await;
    }

    pub async fn state(&self, id: &str, changes: Value) {
        let (id, changes) = (DeviceId(id.into()), fields(changes));
        self.tell(SourceEvent::State { id, changes, is_old: false }).await;
    }

    pub fn was_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *lock(&self.asked))
    }

    fn ask(&self, asked: Asked) -> Result<(), ErrorBody> {
        lock(&self.asked).push(asked);
        lock(&self.refuses).clone().map_or(Ok(()), Err)
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DeviceSource for Script {
    fn backend(&self) -> Backend {
        self.backend
    }

    fn run(self: Arc<Self>, events: mpsc::Sender<SourceEvent>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            *lock(&self.events) = Some(events.clone());
            self.here.notify_one();
            events.closed().await;
        })
    }

    fn set(
        &self,
        targets: Vec<DeviceId>,
        set: Map<String, Value>,
        group: Option<u16>,
    ) -> BoxFuture<'static, Vec<Result<SetDone, ErrorBody>>> {
        lock(&self.asked).push(Asked::Set { targets: targets.clone(), set: set.clone(), group });
        let wait = targets.iter().filter_map(|id| lock(&self.slow).get(id).copied()).max().unwrap_or_default();
        let answer = |id: &DeviceId| match lock(&self.fails).get_mut(id).and_then(VecDeque::pop_front) {
            Some(error) => Err(error),
            None => Ok(SetDone { state: lock(&self.says).get(id).cloned().unwrap_or_else(|| set.clone()) }),
        };
        let answers: Vec<_> = targets.iter().map(answer).collect();
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            answers
        })
    }

    fn read(
        &self,
        id: DeviceId,
        properties: Vec<Box<str>>,
    ) -> BoxFuture<'static, Result<Map<String, Value>, ErrorBody>> {
        let asked = self.ask(Asked::Read(id, properties.clone()));
        let values = properties.iter().map(|property| (property.to_string(), json!(1))).collect();
        Box::pin(async move { asked.map(|()| values) })
    }

    fn pairing(&self, wish: PairingWish) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let asked = self.ask(Asked::Pairing(wish));
        Box::pin(async move { asked })
    }

    fn rename(&self, id: DeviceId, name: Box<str>) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let asked = self.ask(Asked::Rename(id, name));
        Box::pin(async move { asked })
    }

    fn remove(&self, id: DeviceId, force: bool) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let asked = self.ask(Asked::Remove(id, force));
        Box::pin(async move { asked })
    }

    fn interview(&self, id: DeviceId) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let asked = self.ask(Asked::Interview(id));
        Box::pin(async move { asked })
    }

    fn update_firmware(&self, id: DeviceId) -> BoxFuture<'static, Result<Firmware, ErrorBody>> {
        let asked = self.ask(Asked::UpdateFirmware(id));
        Box::pin(async move { asked.map(|()| Firmware { updated: true, version: Some("7".into()) }) })
    }

    fn network(&self, query: NetworkQuery) -> BoxFuture<'static, Result<Value, ErrorBody>> {
        let asked = self.ask(Asked::Network(query));
        if self.is_mute.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move { asked.map(|()| json!({"channel": 15})) })
    }

    fn bind(&self, wish: BindWish) -> BoxFuture<'static, Result<Vec<BindEnd>, ErrorBody>> {
        let named = if wish.clusters.is_empty() { vec!["genOnOff".into()] } else { wish.clusters.clone() };
        let mut fails = lock(&self.fails).remove(&wish.from).unwrap_or_default();
        let end = |cluster| BindEnd { cluster, end: fails.pop_front().map_or(Ok(()), Err) };
        let ends = named.into_iter().map(end).collect();
        let asked = self.ask(Asked::Bind(wish));
        Box::pin(async move { asked.map(|()| ends) })
    }

    fn bindings(&self, id: DeviceId) -> BoxFuture<'static, Result<Vec<Bound>, ErrorBody>> {
        let asked = self.ask(Asked::Bindings(id));
        let bound = lock(&self.bound).clone();
        Box::pin(async move { asked.map(|()| bound) })
    }

    /// Those speak that `fails` has a word of, whatever it is; the others are silent.
    fn kept_scene(&self, wish: KeptScene) -> BoxFuture<'static, Result<Vec<MemberEnd>, ErrorBody>> {
        let mut fails = lock(&self.fails);
        let ends: Vec<_> = std::mem::take(&mut *fails)
            .into_iter()
            .map(|(id, mut whys)| MemberEnd { id, end: whys.pop_front().map_or(Ok(()), Err) })
            .collect();
        drop(fails);
        let asked = self.ask(Asked::KeptScene(wish));
        Box::pin(async move { asked.map(|()| ends) })
    }

    fn regroup(&self, wish: Membership) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let asked = self.ask(Asked::Regroup(wish));
        Box::pin(async move { asked })
    }
}

/// An error such as sources give.
pub fn unreachable() -> ErrorBody {
    ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::DeviceUnreachable, "The device does not answer.") }
}
