//! The simulated house: which devices stand in it, what they are called and where. Lets them in when its radio is up; what an owner
//! has said of a device since stays.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::{Door, Principal};
use crate::home::{Backend, DeviceEdit, Heard, Keeper, PairingWish, RadioStatus, RoomEdit};
use crate::zigbee::sim::{MODELS, Model};

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
    ("tuya", "garden switch", "Garden"),
    ("unknown", "cellar box", "Cellar"),
];

/// How long its devices may take to come in, all together.
const JOIN_S: u16 = 120;

/// The devices of the house, in the order in which the simulator numbers them.
pub fn models() -> Vec<&'static Model> {
    FURNITURE.iter().filter_map(|(model, ..)| MODELS.iter().find(|one| one.name == *model)).collect()
}

/// Ids with names and rooms.
fn places() -> BTreeMap<String, (&'static str, &'static str)> {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let named = models().into_iter().zip(FURNITURE).map(|(model, (_, name, room))| {
        let number = seen.entry(model.name).or_default();
        *number += 1;
        (format!("0x{:016x}", model.oui | *number), (*name, *room))
    });
    named.collect()
}

/// Lets the devices in and puts them into their places; ends when all have come, or the time is over.
pub async fn furnish(home: Keeper) {
    let mut news = home.subscribe();
    let mut missing = places();
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
async fn place(home: &Keeper, missing: &mut BTreeMap<String, (&'static str, &'static str)>) {
    let come: Vec<_> = home.devices().iter().filter(|device| device.interviewed).cloned().collect();
    for device in come {
        let Some((name, room)) = missing.remove(&*device.id.0) else { continue };
        // One that has a place was put there by its owner, or by us before.
        if device.room.is_some() {
            continue;
        }
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
        assert_eq!(models().len(), FURNITURE.len(), "every model is one of the simulator's");
        let names: BTreeSet<_> = FURNITURE.iter().map(|(_, name, _)| name.to_lowercase()).collect();
        assert_eq!((names.len(), places().len()), (FURNITURE.len(), FURNITURE.len()));
    }
}
