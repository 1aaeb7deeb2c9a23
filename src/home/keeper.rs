//! The handle of the house: what the tools, the gateway and the assistant work with. Every question about who may act is
//! asked here. Cheap to clone; knows no radio and holds no lock while it waits.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::device::Device;
use super::house::{Home, Source};
use super::names::fold;
use super::news::Listener;
use super::run;
use super::shared::Shared;
use super::source::{Backend, DeviceSource, Firmware, NetworkQuery, PairingWish, RadioStatus};
use super::wish::{PROPERTIES_MAX, SetResult, Wish};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::store::{Group, ReadError, Room, Scene, Store};

/// The longest time in which devices may join (Zigbee `PermitDuration`; 255 would be for ever).
pub const PAIRING_SECONDS_MAX: u16 = 254;

/// The house, for whoever asks something of it. Names are ids, names or aliases, in any case; who has rooms of their own
/// sees and moves only what is in these. Errors are for the owner of the house: `not_found` with what was perhaps meant,
/// `bad_request` with what is possible, `conflict` for a stale revision, and those of [`super::DeviceSource`].
#[derive(Clone)]
pub struct Keeper(pub(super) Arc<Shared>);

/// How one source is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Radio {
    pub backend: Backend,
    #[serde(flatten)]
    pub status: RadioStatus,
    /// Its devices.
    pub devices: usize,
    /// Seconds in which devices may still join; 0: none may.
    pub pairing_seconds_left: u16,
}

impl Keeper {
    /// Opens the house as the store has it and starts its sources. For the start of a program, on its runtime.
    pub async fn start(store: Store, sources: Vec<Arc<dyn DeviceSource>>) -> Result<Keeper, ReadError> {
        run::start(store, sources).await.map(Keeper)
    }

    /// Stops the sources and writes what is not written yet. Nothing is asked of the house after it.
    pub async fn close(&self) {
        run::close(&self.0).await;
    }

    /// All devices by name, hidden ones included. Shared until something changes.
    pub fn devices(&self) -> Arc<[Arc<Device>]> {
        self.0.with(Home::list)
    }

    /// Those that `who` may see.
    pub fn devices_of(&self, who: &Principal) -> Vec<Arc<Device>> {
        self.0.with(|home| home.list().iter().filter(|device| home.may_see(who, device)).cloned().collect())
    }

    /// One device.
    pub fn device(&self, who: &Principal, which: &str) -> Result<Arc<Device>, ErrorBody> {
        self.0.with(|home| home.find_device(who, which).cloned())
    }

    /// All rooms by name, of those that `who` may see.
    pub fn rooms(&self, who: &Principal) -> Vec<Arc<Room>> {
        let seen =
            |home: &mut Home| home.rooms.values().filter(|room| home.permits(who, Some(&room.id))).cloned().collect();
        by_name(self.0.with(seen), |room: &Room| &room.name)
    }

    pub fn room(&self, who: &Principal, which: &str) -> Result<Arc<Room>, ErrorBody> {
        self.0.with(|home| home.find_room(who, which).cloned())
    }

    /// All groups by name, of those of which `who` may see every member.
    pub fn groups(&self, who: &Principal) -> Vec<Arc<Group>> {
        let seen =
            |home: &mut Home| home.groups.values().filter(|group| home.may_see_group(who, group)).cloned().collect();
        by_name(self.0.with(seen), |group: &Group| &group.name)
    }

    pub fn group(&self, who: &Principal, which: &str) -> Result<Arc<Group>, ErrorBody> {
        self.0.with(|home| home.find_group(who, which).cloned())
    }

    /// All scenes by name, of those of which `who` may see every device.
    pub fn scenes(&self, who: &Principal) -> Vec<Arc<Scene>> {
        by_name(self.0.with(|home| home.seen_scenes(who).cloned().collect()), |scene: &Scene| &scene.name)
    }

    pub fn scene(&self, who: &Principal, which: &str) -> Result<Arc<Scene>, ErrorBody> {
        self.0.with(|home| home.find_scene(who, which).cloned())
    }

    /// How the sources are. Once one is up, those that are not and have no device are left out: the hub has looked for whichever there is, and
    /// nobody misses the others.
    pub fn radios(&self) -> Vec<Radio> {
        self.0.with(|home| {
            let is_up = |source: &Source| source.status == RadioStatus::Up;
            let one_is_up = home.sources.iter().any(is_up);
            let radio = |(at, source): (usize, &Source)| Radio {
                backend: source.backend,
                status: source.status.clone(),
                devices: home.count_of(at),
                pairing_seconds_left: source.pairing_seconds_left,
            };
            let is_told = |(at, source): &(usize, &Source)| !one_is_up || is_up(source) || home.count_of(*at) > 0;
            home.sources.iter().enumerate().filter(is_told).map(radio).collect()
        })
    }

    /// News from now on. Not filtered: ask [`Keeper::may_see`] before telling it on.
    pub fn subscribe(&self) -> Listener {
        Listener::new(&self.0.news)
    }

    /// Whether `who` may see this device and act on it. The one place where rooms restrict.
    pub fn may_see(&self, who: &Principal, device: &Device) -> bool {
        who.rooms.is_none() || self.0.with(|home| home.may_see(who, device))
    }

    /// Sets properties and waits until each device has confirmed, or has not: one result for each device. All of the wish
    /// is looked at before anything is sent; an error means that nothing was. Once sent it is done to the end, whether or not
    /// somebody still waits. Commands to one device are done in the order in which they were given. `each` hears of every device
    /// as it ends, with how many have and how many are meant.
    pub async fn set(
        &self,
        who: &Principal,
        wish: Wish,
        each: impl FnMut(&SetResult, usize, usize),
    ) -> Result<Vec<SetResult>, ErrorBody> {
        let plan = self.0.with_groups(|home, groups| home.plan(who, &wish, groups))?;
        run::carry_out(&self.0, plan, each).await
    }

    /// Asks a device for the values of these properties, all that can be read where there are none. What it says is its state
    /// from then on.
    pub async fn read(
        &self,
        who: &Principal,
        which: &str,
        properties: &[String],
    ) -> Result<Map<String, Value>, ErrorBody> {
        let (device, source) = self.0.with(|home| home.to_ask(who, which))?;
        if properties.len() > PROPERTIES_MAX {
            return Err(bad(format!("properties: name at most {PROPERTIES_MAX}.")));
        }
        let unreadable = |property: &&String| device.capability(property).is_none_or(|one| !one.readable);
        if let Some(property) = properties.iter().find(unreadable) {
            let readable: Vec<_> =
                device.capabilities.iter().filter(|one| one.readable).map(|one| &*one.property).collect();
            let (name, readable) = (&device.name, readable.join(", "));
            return Err(bad(format!("\"{property}\" of \"{name}\" cannot be asked for. These can: {readable}.")));
        }
        let asked = properties.iter().map(|property| property.as_str().into()).collect();
        let source = Arc::clone(&self.0.sources[source]);
        let values = run::in_time(source.read(device.id.clone(), asked), run::SET_WAIT).await?;
        self.0.with_now(|home, now_ms| home.report(&device.id, values.clone(), Some(now_ms)));
        Ok(values)
    }

    /// Asks a device anew what it is.
    pub async fn interview(&self, who: &Principal, which: &str) -> Result<(), ErrorBody> {
        let (device, source) = self.0.with(|home| home.to_ask(who, which))?;
        run::in_time(self.0.sources[source].interview(device.id.clone()), run::NETWORK_WAIT).await
    }

    /// Gives a device the newest firmware that there is for it. What its source has begun goes on where nobody waits any more.
    pub async fn update_firmware(&self, who: &Principal, which: &str) -> Result<Firmware, ErrorBody> {
        let (device, source) = self.0.with(|home| home.to_ask(who, which))?;
        run::in_time(self.0.sources[source].update_firmware(device.id.clone()), run::FIRMWARE_WAIT).await
    }

    /// Makes the house as a scene says: one result for each of its devices; `each` as for [`Keeper::set`].
    pub async fn recall_scene(
        &self,
        who: &Principal,
        which: &str,
        each: impl FnMut(&SetResult, usize, usize),
    ) -> Result<Vec<SetResult>, ErrorBody> {
        let plan = self.0.with_groups(|home, groups| home.plan_scene(who, which, groups))?;
        run::carry_out(&self.0, plan, each).await
    }

    /// Lets devices in or stops it; `backend`: through this source alone. `via` and a code's device are ids.
    pub async fn pairing(&self, wish: PairingWish, backend: Option<Backend>) -> Result<(), ErrorBody> {
        if wish.seconds > PAIRING_SECONDS_MAX {
            return Err(bad(format!("seconds: 0 to {PAIRING_SECONDS_MAX}.")));
        }
        let via = wish.via.as_ref().and_then(|id| self.0.with(|home| home.source_of(id)));
        if let (Some(id), None) = (&wish.via, via) {
            return Err(ErrorBody::new(ErrorCode::NotFound, format!("There is no device {id}.")));
        }
        let sources: Vec<_> = match (via, backend) {
            (Some(source), _) => vec![source],
            // Closing is for all of them: whoever presses stop means it.
            (None, None) if wish.seconds == 0 => (0..self.0.sources.len()).collect(),
            (None, backend) => vec![self.0.with(|home| home.source_for(backend))?],
        };
        let mut ended = Ok(());
        for source in sources {
            let done = run::in_time(self.0.sources[source].pairing(wish.clone()), run::SET_WAIT).await;
            // A radio that is down lets nobody in.
            let is_closed = wish.seconds == 0 && done.as_ref().is_err_and(|error| error.code == ErrorCode::RadioDown);
            ended = ended.and(if is_closed { Ok(()) } else { done });
        }
        ended
    }

    /// What a source knows of its network; the first one that is up where none is named.
    pub async fn network(&self, query: NetworkQuery, backend: Option<Backend>) -> Result<Value, ErrorBody> {
        let source = self.0.with(|home| home.source_for(backend))?;
        run::in_time(self.0.sources[source].network(query), run::NETWORK_WAIT).await
    }
}

fn by_name<T>(mut all: Vec<Arc<T>>, name: impl Fn(&T) -> &str) -> Vec<Arc<T>> {
    all.sort_by_cached_key(|one| fold(name(one)));
    all
}

pub(super) fn bad(message: String) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRequest, message)
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
