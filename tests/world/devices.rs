//! A source of devices that does what it is told: a small house whose devices confirm, refuse, or are not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth::common::capability::{Capability, CapabilityKind, Category, Domain, Preset};
use hearth::common::error::{ErrorBody, ErrorCode};
use hearth::common::json_text::Details;
use hearth::home::{
    Backend, BindEnd, BindWish, Bound, DeviceId, DeviceInfo, DeviceSource, Firmware, KeptScene, KeptSceneWish,
    MemberEnd, Membership, NetworkQuery, PairingNews, PairingWish, Power, RadioStatus, SetDone, SourceEvent,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::soon;

pub const LAMP: &str = "0x00158d0000000001";
pub const SPOT: &str = "0x00158d0000000002";
pub const PLUG: &str = "0x00158d0000000003";
pub const SENSOR: &str = "0x00158d0000000004";
pub const REMOTE: &str = "0x00158d0000000005";
/// Joins when it is let in.
pub const NEWCOMER: &str = "0x00158d0000000009";

/// What no door but an owner's may show.
pub const NETWORK_KEY: &str = "00112233445566778899aabbccddeeff";

/// A radio of the test's.
pub struct FakeRadio {
    house: Mutex<House>,
}

#[derive(Default)]
struct House {
    devices: BTreeMap<DeviceId, DeviceInfo>,
    events: Option<mpsc::Sender<SourceEvent>>,
    /// Devices that do not answer, and devices that refuse.
    silent: BTreeSet<DeviceId>,
    refusing: BTreeSet<DeviceId>,
    /// What was set, in order.
    set: Vec<(Vec<DeviceId>, Map<String, Value>)>,
    wishes: Vec<PairingWish>,
    removed: Vec<(DeviceId, bool)>,
    bound: Vec<(DeviceId, Bound)>,
}

pub fn id(id: &str) -> DeviceId {
    DeviceId(id.into())
}

impl FakeRadio {
    /// With two lamps, a plug, a sensor and a remote.
    pub fn new() -> Arc<FakeRadio> {
        let devices = [
            info(LAMP, "kitchen lamp", "LAMP-1", Power::Mains, lamp()),
            info(SPOT, "kitchen spot", "LAMP-1", Power::Mains, lamp()),
            info(PLUG, "plug", "PLUG-1", Power::Mains, vec![switch(Domain::Switch), measured("power", "W")]),
            info(
                SENSOR,
                "climate",
                "CLIMATE-1",
                Power::Battery,
                vec![
                    measured("temperature", "°C"),
                    measured("humidity", "%"),
                    Capability { category: Some(Category::Diagnostic), ..measured("battery", "%") },
                ],
            ),
            info(REMOTE, "remote", "REMOTE-1", Power::Battery, vec![action()]),
        ];
        let devices = devices.into_iter().map(|device| (device.id.clone(), device)).collect();
        Arc::new(FakeRadio { house: Mutex::new(House { devices, ..House::default() }) })
    }

    fn lock(&self) -> MutexGuard<'_, House> {
        self.house.lock().expect("nobody panics with it")
    }

    /// Tells the hub something.
    pub async fn tell(&self, event: SourceEvent) {
        let events = soon("a hub that listens", async {
            loop {
                if let Some(events) = self.lock().events.clone() {
                    return events;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        events.await.send(event).await.expect("the hub listens");
    }

    /// A device reports.
    pub async fn report(&self, device: &str, changes: Value) {
        let Value::Object(changes) = changes else { panic!("an object") };
        self.tell(SourceEvent::State { id: id(device), changes, is_old: false }).await;
    }

    /// From now on the device does not answer.
    pub fn silence(&self, device: &str) {
        self.lock().silent.insert(id(device));
    }

    /// From now on the device refuses.
    pub fn refuse(&self, device: &str) {
        self.lock().refusing.insert(id(device));
    }

    /// What was set so far, of each command the devices and the properties.
    pub fn set(&self) -> Vec<(Vec<DeviceId>, Value)> {
        self.lock().set.iter().map(|(targets, set)| (targets.clone(), set.clone().into())).collect()
    }

    /// Whom the hub wished to let in.
    pub fn wishes(&self) -> Vec<PairingWish> {
        self.lock().wishes.clone()
    }

    pub fn removed(&self) -> Vec<(DeviceId, bool)> {
        self.lock().removed.clone()
    }

    /// A new lamp joins and is interviewed.
    pub async fn join(&self) {
        let mut new = info(NEWCOMER, "", "LAMP-1", Power::Mains, lamp());
        new.name = None;
        let mut stranger = DeviceInfo { interviewed: false, capabilities: Vec::new(), ..new.clone() };
        stranger.model = None;
        self.tell(SourceEvent::Pairing(PairingNews::Joined { id: new.id.clone() })).await;
        self.tell(SourceEvent::Device(Box::new(stranger))).await;
        for (at, step) in ["node", "endpoints", "clusters", "basic", "binding", "reporting"].into_iter().enumerate() {
            let (id, number) = (new.id.clone(), at as u8 + 1);
            self.tell(SourceEvent::Pairing(PairingNews::Step { id, step: step.into(), number, of: 6 })).await;
        }
        self.lock().devices.insert(new.id.clone(), new.clone());
        self.tell(SourceEvent::Device(Box::new(new.clone()))).await;
        self.tell(SourceEvent::Pairing(PairingNews::Interviewed { id: new.id })).await;
    }
}

impl DeviceSource for FakeRadio {
    fn backend(&self) -> Backend {
        Backend::Zigbee
    }

    fn run(self: Arc<Self>, events: mpsc::Sender<SourceEvent>) -> BoxFuture<'static, ()> {
        async move {
            let devices = self.lock().devices.values().cloned().collect();
            // An error: the hub went down at once.
            let _ = events.send(SourceEvent::Radio(RadioStatus::Up)).await;
            let _ = events.send(SourceEvent::All(devices)).await;
            self.lock().events = Some(events.clone());
            events.closed().await;
        }
        .boxed()
    }

    fn set(
        &self,
        targets: Vec<DeviceId>,
        set: Map<String, Value>,
        _group: Option<u16>,
    ) -> BoxFuture<'static, Vec<Result<SetDone, ErrorBody>>> {
        let mut house = self.lock();
        house.set.push((targets.clone(), set.clone()));
        let answers = targets.iter().map(|id| {
            if house.silent.contains(id) {
                return Err(ErrorBody::new(ErrorCode::DeviceUnreachable, "It did not answer."));
            }
            if house.refusing.contains(id) {
                return Err(ErrorBody::new(ErrorCode::DeviceRejected, "It refused."));
            }
            Ok(SetDone { state: set.clone() })
        });
        let answers: Vec<_> = answers.collect();
        async move { answers }.boxed()
    }

    fn read(&self, id: DeviceId, _: Vec<Box<str>>) -> BoxFuture<'static, Result<Map<String, Value>, ErrorBody>> {
        let is_silent = self.lock().silent.contains(&id);
        async move {
            match is_silent {
                true => Err(ErrorBody::new(ErrorCode::DeviceUnreachable, "It did not answer.")),
                false => Ok(Map::from_iter([("state".to_owned(), json!("ON"))])),
            }
        }
        .boxed()
    }

    fn pairing(&self, wish: PairingWish) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let mut house = self.lock();
        let news = match wish.seconds {
            0 => PairingNews::Closed,
            seconds_left => PairingNews::Open { seconds_left },
        };
        house.wishes.push(wish);
        let events = house.events.clone().expect("the source runs");
        async move {
            events.send(SourceEvent::Pairing(news)).await.expect("the hub listens");
            Ok(())
        }
        .boxed()
    }

    fn rename(&self, _: DeviceId, _: Box<str>) -> BoxFuture<'static, Result<(), ErrorBody>> {
        async { Ok(()) }.boxed()
    }

    fn remove(&self, id: DeviceId, force: bool) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let mut house = self.lock();
        house.removed.push((id.clone(), force));
        house.devices.remove(&id);
        let events = house.events.clone().expect("the source runs");
        async move {
            events.send(SourceEvent::Left(id)).await.expect("the hub listens");
            Ok(())
        }
        .boxed()
    }

    fn interview(&self, id: DeviceId) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let events = self.lock().events.clone().expect("the source runs");
        async move {
            for (at, step) in ["node", "endpoints"].into_iter().enumerate() {
                let news = PairingNews::Step { id: id.clone(), step: step.into(), number: at as u8 + 1, of: 2 };
                events.send(SourceEvent::Pairing(news)).await.expect("the hub listens");
            }
            events.send(SourceEvent::Pairing(PairingNews::Interviewed { id })).await.expect("the hub listens");
            Ok(())
        }
        .boxed()
    }

    /// The lamp's is done in two steps; there is none for others.
    fn update_firmware(&self, id: DeviceId) -> BoxFuture<'static, Result<Firmware, ErrorBody>> {
        let events = self.lock().events.clone().expect("the source runs");
        async move {
            if *id.0 != *LAMP {
                return Ok(Firmware { updated: false, version: None });
            }
            for progress in [40, 90] {
                let update = json!({ "state": "updating", "progress": progress });
                let changes = Map::from_iter([("update".to_owned(), update)]);
                events
                    .send(SourceEvent::State { id: id.clone(), changes, is_old: false })
                    .await
                    .expect("the hub listens");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Ok(Firmware { updated: true, version: Some("7".into()) })
        }
        .boxed()
    }

    fn network(&self, query: NetworkQuery) -> BoxFuture<'static, Result<Value, ErrorBody>> {
        let answer = match query {
            NetworkQuery::Status => json!({ "channel": 15 }),
            NetworkQuery::Map => json!({ "nodes": [], "links": [{ "from": LAMP, "to": PLUG, "lqi": 200 }] }),
            NetworkQuery::Backup => {
                json!({ "format": "zigpy/open-coordinator-backup", "network_key": { "key": NETWORK_KEY } })
            }
        };
        async move { Ok(answer) }.boxed()
    }

    fn regroup(&self, _: Membership) -> BoxFuture<'static, Result<(), ErrorBody>> {
        async { Ok(()) }.boxed()
    }

    /// Who refuses says so; the others do it.
    fn kept_scene(&self, wish: KeptScene) -> BoxFuture<'static, Result<Vec<MemberEnd>, ErrorBody>> {
        let house = self.lock();
        let said = |id: &str| {
            let id = DeviceId(id.into());
            let end = match house.refusing.contains(&id) {
                true => Err(ErrorBody::new(ErrorCode::DeviceRejected, "It refused.")),
                false => Ok(()),
            };
            MemberEnd { id, end }
        };
        let is_answered = wish.what != KeptSceneWish::Recall;
        let ends = if is_answered { [LAMP, SPOT, PLUG].map(said).into() } else { Vec::new() };
        async move { Ok(ends) }.boxed()
    }

    fn bind(&self, wish: BindWish) -> BoxFuture<'static, Result<Vec<BindEnd>, ErrorBody>> {
        let mut house = self.lock();
        let is_refusing = house.refusing.contains(&wish.from);
        let row = (wish.from, Bound { endpoint: 1, cluster: "genOnOff".into(), to: wish.to });
        house.bound.retain(|one| *one != row);
        let end = match is_refusing {
            true => Err(ErrorBody::new(ErrorCode::DeviceRejected, "It refused.")),
            false => Ok(()),
        };
        if !wish.undo && !is_refusing {
            house.bound.push(row);
        }
        async move { Ok(vec![BindEnd { cluster: "genOnOff".into(), end }]) }.boxed()
    }

    fn bindings(&self, id: DeviceId) -> BoxFuture<'static, Result<Vec<Bound>, ErrorBody>> {
        let house = self.lock();
        let rows = house.bound.iter().filter(|(from, _)| *from == id).map(|(_, row)| row.clone()).collect();
        async move { Ok(rows) }.boxed()
    }
}

fn info(id: &str, name: &str, model: &str, power: Power, capabilities: Vec<Capability>) -> DeviceInfo {
    DeviceInfo {
        id: DeviceId(id.into()),
        name: Some(name.into()),
        model: Some(model.into()),
        vendor: Some("Acme".into()),
        description: None,
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

fn capability(property: &str, kind: CapabilityKind) -> Capability {
    Capability {
        property: property.into(),
        name: property.into(),
        endpoint: None,
        part_of: None,
        kind,
        reported: true,
        settable: false,
        readable: true,
        unit: None,
        description: None,
        category: None,
    }
}

fn switch(part_of: Domain) -> Capability {
    let kind =
        CapabilityKind::Binary { value_on: "ON".into(), value_off: "OFF".into(), value_toggle: Some("TOGGLE".into()) };
    Capability { part_of: Some(part_of), settable: true, ..capability("state", kind) }
}

fn lamp() -> Vec<Capability> {
    let number = |property: &str, min: f64, max: f64, presets: Vec<Preset>| {
        let kind = CapabilityKind::Numeric { min: Some(min), max: Some(max), step: None, presets };
        Capability { part_of: Some(Domain::Light), settable: true, ..capability(property, kind) }
    };
    let warm = Preset { name: "warm".into(), value: 454.into() };
    vec![
        switch(Domain::Light),
        number("brightness", 0.0, 254.0, Vec::new()),
        number("color_temp", 153.0, 500.0, vec![warm]),
    ]
}

fn measured(property: &str, unit: &str) -> Capability {
    let kind = CapabilityKind::Numeric { min: None, max: None, step: None, presets: Vec::new() };
    Capability { unit: Some(unit.into()), ..capability(property, kind) }
}

fn action() -> Capability {
    capability("action", CapabilityKind::Enum { values: vec!["single".into(), "double".into()] })
}
