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
        let mut told = there(&self.home, device);
        told.changes = Some(changes);
        if !is_whole {
            told.record = None;
        }
        told.sight = Sight::Device(Box::new(OfDevice { home: self.home.clone(), now: Some(device.clone()), before }));
        Some(told)
    }
}

/// Whether more than values, reach and what is wished differs.
fn is_another(before: &Device, now: &Device) -> bool {
    let values_aside = |device: &Device| Device {
        state: Default::default(),
        desired: Default::default(),
        available: None,
        last_seen_ms: None,
        ..device.clone()
    };
    // Nobody knows any more whether it can be reached: that can be said in a record alone.
    (before.available.is_some() && now.available.is_none()) || values_aside(before) != values_aside(now)
}

/// A device as it is.
pub fn there(home: &Keeper, device: &Arc<Device>) -> Told {
    let house = Principal::house(Door::Hub);
    let record = serde_json::to_value(Names::new(home, &house).device_shown(device));
    let record = record.expect("a device has text keys only");
    let told = Told::new(Family::Device, &device.id.0, device.revision, false, Some(record));
    let sight = OfDevice { home: home.clone(), now: Some(device.clone()), before: None };
    Told { sight: Sight::Device(Box::new(sight)), ..told }
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
