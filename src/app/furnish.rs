//! The simulated house: which devices stand in it, what they are called and where, and which are still in their boxes. Lets them in
//! when its radio is up; what an owner has said of a device since stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::{Door, Principal};
use crate::home::{Backend, DeviceEdit, Heard, Keeper, PairingWish, RadioStatus, RoomEdit};
use crate::store::{DeviceRecord, Store};
use crate::zigbee::sim::Model;

/// Models of the simulator with what each is called, and its room.
const FURNITURE: &[(&str, &str, &str)] = &[
    ("bulb", "kitchen lamp", "Kitchen"),
    ("plug", "coffee machine", "Kitchen"),
    ("bulb", "floor lamp", "Living room"),
    ("cover", "living room blinds", "Living room"),
    ("remote", "living room remote", "Living room"),
    ("bulb", "bedside lamp", "Bedroom"),
    ("climate", "bedroom climate", "Bedroom"),
    ("contact", "front door", "Hall"),
    ("tuya", "garden dimmer", "Garden"),
    ("unknown", "cellar box", "Cellar"),
];

/// Models in their boxes, each once. They join when somebody opens the house for something new, who says what they are called.
const BOXES: &[&str] = &["bulb", "climate", "plug"];

/// How long its devices may take to come in, all together.
const JOIN_S: u16 = 120;

/// The devices of the house, in the order in which the simulator numbers them.
pub struct Stock {
    pub standing: Vec<&'static Model>,
    pub boxed: Vec<&'static Model>,
}

/// What stands in the house and what is in its box. Whatever an owner has unpacked once stands in the house.
pub async fn stock(store: &Store) -> Stock {
    let mut stock = Stock { standing: Vec::new(), boxed: Vec::new() };
    let furniture = FURNITURE.len();
    for (at, (model, id)) in addressed().enumerate() {
        // Where the store cannot be read, the box stays closed.
        let is_known = async || store.get::<DeviceRecord>(&id).await.is_ok_and(|record| record.is_some());
        let place = if at < furniture || is_known().await { &mut stock.standing } else { &mut stock.boxed };
        place.push(model);
    }
    stock
}

/// All models, those in boxes last, with their ids.
fn addressed() -> impl Iterator<Item = (&'static Model, String)> {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let names = FURNITURE.iter().map(|(name, ..)| name).chain(BOXES);
    names.filter_map(|name| Model::by_name(name)).map(move |model| {
        let number = seen.entry(model.name).or_default();
        *number += 1;
        (model, format!("0x{:016x}", model.oui | *number))
    })
}

/// Ids with names and rooms.
fn places() -> BTreeMap<String, (&'static str, &'static str)> {
    addressed().zip(FURNITURE).map(|((_, id), (_, name, room))| (id, (*name, *room))).collect()
}

/// Lets the devices in and puts them into their places; ends when all have come, or the time is over.
pub async fn furnish(home: Keeper, store: Store) {
    let mut news = home.subscribe();
    let mut missing: BTreeSet<_> = addressed().map(|(_, id)| id).take(stock(&store).await.standing.len()).collect();
    let is_up = |home: &Keeper| {
        home.radios().iter().any(|radio| radio.backend == Backend::Simulated && radio.status == RadioStatus::Up)
    };
    while !is_up(&home) {
        if news.recv().await == Heard::Closed {
            return;
        }
    }
    let wish = PairingWish { seconds: JOIN_S, ..PairingWish::default() };
    if let Err(error) = home.pairing(wish, Some(Backend::Simulated)).await {
        tracing::warn!(%error.message, "the simulated devices were not let in");
        return;
    }
    let until = later(Duration::from_secs(u64::from(JOIN_S)));
    loop {
        place(&home, &mut missing).await;
        if missing.is_empty() {
            break;
        }
        match timeout_at(until, news.recv()).await {
            Ok(Heard::News(_) | Heard::Lagged) => {}
            Ok(Heard::Closed) => return,
            Err(_) => break,
        }
    }
    // An error: the radio has gone down since, and its door with it.
    let _ = home.pairing(PairingWish::default(), Some(Backend::Simulated)).await;
}

/// Puts those that have come and told what they are into their places.
async fn place(home: &Keeper, missing: &mut BTreeSet<String>) {
    let come: Vec<_> = home.devices().iter().filter(|device| device.interviewed).cloned().collect();
    let places = places();
    for device in come {
        // One that has a place was put there by its owner, or by us before.
        if !missing.remove(&*device.id.0) || device.room.is_some() {
            continue;
        }
        let Some((name, room)) = places.get(&*device.id.0) else { continue };
        if let Err(error) = put(home, &device.id.0, name, room).await {
            tracing::warn!(device = %device.id, %error.message, "a simulated device has no place");
        }
    }
}

async fn put(home: &Keeper, id: &str, name: &str, room: &str) -> Result<(), ErrorBody> {
    let house = Principal::house(Door::Hub);
    if home.room(&house, room).is_err_and(|error| error.code == ErrorCode::NotFound) {
        home.put_room(&house, None, RoomEdit { name: Some(room.into()), ..RoomEdit::default() }, None).await?;
    }
    let edit = DeviceEdit { name: Some(name.into()), room: Some(room.into()), ..DeviceEdit::default() };
    home.edit_device(&house, id, edit, None).await.map(drop)
}

#[expect(clippy::disallowed_methods, reason = "the composition root reads the clock for everybody")]
fn later(wait: Duration) -> Instant {
    Instant::now() + wait
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_piece_has_a_model_and_a_name_of_its_own() {
        assert_eq!(addressed().count(), FURNITURE.len() + BOXES.len(), "every model is one of the simulator's");
        let names: BTreeSet<_> = FURNITURE.iter().map(|(_, name, _)| name.to_lowercase()).collect();
        assert_eq!((names.len(), places().len()), (FURNITURE.len(), FURNITURE.len()));
    }

    #[tokio::test]
    async fn what_was_unpacked_once_stands_in_the_house() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let names = |models: &[&Model]| models.iter().map(|model| model.name).collect::<Vec<_>>();
        let fresh = stock(&store).await;
        assert_eq!((fresh.standing.len(), names(&fresh.boxed)), (FURNITURE.len(), BOXES.to_vec()));
        let (_, id) = addressed().nth(FURNITURE.len() + 1).expect("the second box");
        store
            .put(DeviceRecord { id, name: "hall climate".into(), ..DeviceRecord::default() }, None)
            .await
            .expect("a write");
        let later = stock(&store).await;
        assert_eq!(names(&later.boxed), ["bulb", "plug"]);
        assert_eq!(names(&later.standing).last(), Some(&"climate"));
        // Numbers count among devices of a model: that holds while there is one box of each.
        assert_eq!(BOXES.iter().collect::<BTreeSet<_>>().len(), BOXES.len());
    }
}
