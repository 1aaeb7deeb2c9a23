//! News of the house as sessions hear of them: whole devices where what they are has changed, and otherwise only what changed. Knows
//! no session.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::common::who::{Door, Principal};
use crate::gateway::session::topics::{Changes, Family, OfDevice, Sight, Told};
use crate::home::{Backend, Change, Device, DeviceId, Heard, Keeper, Listener, News, PairingNews};
use crate::mcp::tools::devices::shown::Names;

/// Follows the house, and remembers each device as it was last told.
pub struct House {
    home: Keeper,
    news: Listener,
    known: BTreeMap<DeviceId, Arc<Device>>,
}

/// The next news; of no house never any.
pub async fn next(house: &mut Option<House>) -> Heard {
    match house {
        Some(house) => house.news.recv().await,
        None => std::future::pending().await,
    }
}

impl House {
    /// From now on.
    pub fn new(home: Keeper) -> House {
        let mut house = House { news: home.subscribe(), home, known: BTreeMap::new() };
        house.look_again();
        house
    }

    /// After news were missed.
    pub fn look_again(&mut self) {
        self.known = self.home.devices().iter().map(|device| (device.id.clone(), device.clone())).collect();
    }

    /// What is to be told.
    pub fn told(&mut self, news: News) -> Option<Told> {
        match news {
            News::Device(change) => self.changed(&change),
            News::Removed { id, .. } => {
                let before = self.known.remove(&id);
                let sight = OfDevice { home: self.home.clone(), now: None, before };
                let gone = Told::new(Family::Device, &id.0, 0, true, None);
                Some(Told { sight: Sight::Device(Box::new(sight)), ..gone })
            }
            News::Radio { backend, .. } => radio(&self.home, backend),
            News::Pairing { backend, news } => Some(pairing(&self.home, backend, &news)),
        }
    }

    fn changed(&mut self, change: &Change) -> Option<Told> {
        let device = &change.device;
        let before = self.known.insert(device.id.clone(), device.clone());
        let is_whole = change.is_new || before.as_ref().is_none_or(|before| is_another(before, device));
        let was = |field: fn(&Device) -> Value| before.as_ref().is_none_or(|before| field(before) != field(device));
        let changes = Changes {
            state: change.changes.clone(),
            available: device.available.filter(|_| was(|device| device.available.into())),
            desired: was(|device| device.desired.clone().into()).then(|| device.desired.clone()),
            last_seen_ms: device.last_seen_ms.filter(|_| was(|device| device.last_seen_ms.into())),
        };
        if !is_whole && changes == Changes::default() {
            return None;
        }
        let record = is_whole.then(|| record(&self.home, device));
        let told = Told::new(Family::Device, &device.id.0, device.revision, false, record);
        let sight = OfDevice { home: self.home.clone(), now: Some(device.clone()), before };
        let changes = (changes != Changes::default()).then_some(changes);
        Some(Told { changes, sight: Sight::Device(Box::new(sight)), ..told })
    }
}

/// Whether more than values, reach and what is wished differs.
fn is_another(before: &Device, now: &Device) -> bool {
    let named = |one: &Device| (one.name.clone(), one.room.clone(), one.hidden, one.revision);
    let what = |one: &Device| (one.power, one.interviewed, one.supported, one.is_router);
    named(before) != named(now)
        || what(before) != what(now)
        || before.aliases != now.aliases
        || (&before.model, &before.vendor, &before.description) != (&now.model, &now.vendor, &now.description)
        || before.domains != now.domains
        || !(Arc::ptr_eq(&before.capabilities, &now.capabilities) || before.capabilities == now.capabilities)
        // Nobody knows any more whether it can be reached: that can be said in a record alone.
        || (before.available.is_some() && now.available.is_none())
}

/// A device as it is.
pub fn there(home: &Keeper, device: &Arc<Device>) -> Told {
    let told = Told::new(Family::Device, &device.id.0, device.revision, false, Some(record(home, device)));
    let sight = OfDevice { home: home.clone(), now: Some(device.clone()), before: None };
    Told { sight: Sight::Device(Box::new(sight)), ..told }
}

fn record(home: &Keeper, device: &Device) -> Value {
    let house = Principal::house(Door::Hub);
    serde_json::to_value(Names::new(home, &house).device_shown(device)).expect("a device has text keys only")
}

/// How a radio is.
fn radio(home: &Keeper, backend: Backend) -> Option<Told> {
    radios(home).find(|told| told.key == word(backend))
}

/// How all radios are.
pub fn radios(home: &Keeper) -> impl Iterator<Item = Told> + use<> {
    home.radios().into_iter().map(|radio| {
        let record = serde_json::to_value(&radio).expect("a radio has text keys only");
        Told::new(Family::Radio, &word(radio.backend), 0, false, Some(record))
    })
}

/// Searches that are open.
pub fn searches(home: &Keeper) -> impl Iterator<Item = Told> + use<> {
    let home = home.clone();
    let open = home.radios().into_iter().filter(|radio| radio.pairing_seconds_left > 0);
    open.map(move |radio| {
        pairing(&home, radio.backend, &PairingNews::Open { seconds_left: radio.pairing_seconds_left })
    })
}

/// News of a search, with what the device is called where it is known.
fn pairing(home: &Keeper, backend: Backend, news: &PairingNews) -> Told {
    let mut record = serde_json::to_value(news).expect("news have text keys only");
    record["backend"] = json!(word(backend));
    let key = match news {
        PairingNews::Open { .. } | PairingNews::Closed => word(backend),
        PairingNews::Joined { id }
        | PairingNews::Step { id, .. }
        | PairingNews::Interviewed { id }
        | PairingNews::Failed { id, .. } => {
            if let Ok(device) = home.device(&Principal::house(Door::Hub), &id.0) {
                let known = [
                    ("name", Some(&device.name)),
                    ("model", device.model.as_ref()),
                    ("vendor", device.vendor.as_ref()),
                ];
                for (field, value) in known {
                    if let Some(value) = value {
                        record[field] = json!(value);
                    }
                }
            }
            id.0.clone()
        }
    };
    Told::new(Family::Pairing, &key, 0, false, Some(record))
}

/// As the wire has it.
fn word(backend: Backend) -> Box<str> {
    let word = serde_json::to_value(backend).expect("a word");
    word.as_str().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::common::json_text::Details;
    use crate::common::who::Role;
    use crate::gateway::session::topics::Heed;
    use crate::home::Power;
    use crate::store::Store;

    fn lamp(name: &str, room: Option<&str>, state: Value) -> Arc<Device> {
        let Value::Object(state) = state else { panic!("an object") };
        Arc::new(Device {
            id: DeviceId("0x1".into()),
            name: name.into(),
            aliases: Arc::default(),
            room: room.map(Into::into),
            hidden: false,
            model: None,
            vendor: None,
            description: None,
            backend: Backend::Zigbee,
            power: Power::Mains,
            available: Some(true),
            interviewed: true,
            supported: true,
            is_router: true,
            last_seen_ms: None,
            domains: Box::default(),
            capabilities: Arc::default(),
            state,
            desired: Map::new(),
            details: Details::default(),
            revision: 1,
        })
    }

    fn change(device: &Arc<Device>, changes: Value) -> News {
        let Value::Object(changes) = changes else { panic!("an object") };
        News::Device(Arc::new(Change { device: device.clone(), changes, is_more: false, is_new: false }))
    }

    #[tokio::test]
    async fn what_was_not_taken_adds_up_and_is_still_told_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let mut house = House::new(Keeper::start(store, Vec::new()).await.expect("a house"));
        let dark = lamp("lamp", None, json!({ "state": "OFF", "brightness": 1 }));
        let whole = house.told(change(&dark, json!({}))).expect("it was not there");
        assert!(whole.record.is_some() && whole.changes.is_some(), "new, and whole");
        let lit = lamp("lamp", None, json!({ "state": "ON", "brightness": 1 }));
        let lit_told = house.told(change(&lit, json!({ "state": "ON" }))).expect("a change");
        let bright = lamp("lamp", None, json!({ "state": "ON", "brightness": 9 }));
        let bright_told = house.told(change(&bright, json!({ "brightness": 9, "action": "x" }))).expect("a change");
        assert_eq!((&lit_told.record, &bright_told.record), (&None, &None), "values alone are small");
        assert_eq!(house.told(change(&bright, json!({}))), None, "nothing is no news");

        let both = bright_told.over(&lit_told).expect("of the same device");
        let state = both.changes.as_ref().map(|changes| Value::from(changes.state.clone()));
        assert_eq!(state, Some(json!({ "state": "ON", "brightness": 9, "action": "x" })));
        assert_eq!(both.record, None);
        let all = bright_told.over(&lit_told.over(&whole).expect("the same")).expect("the same");
        let record = all.record.expect("nobody has told the whole yet");
        assert_eq!(record["state"], json!({ "state": "ON", "brightness": 9 }), "an action is no state");

        let gone = house.told(News::Removed { id: DeviceId("0x1".into()), name: "lamp".into() }).expect("news");
        let owner = Principal::new("ann", Role::Owner, Door::Websocket);
        assert_eq!(gone.heed(&owner), Heed::Gone);
        let guest = Principal { rooms: Some(["kitchen".into()].into()), ..owner };
        assert_eq!(
            (gone.heed(&guest), whole.heed(&guest)),
            (Heed::Nothing, Heed::Nothing),
            "it was never in the kitchen"
        );
    }
}
