//! The handle of the house: what the tools, the gateway and the assistant work with. Every question about who may act is
//! asked here. Cheap to clone; knows no radio and holds no lock while it waits.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::device::{Device, DeviceEdit};
use super::history::{HistoryAnswer, HistoryQuery};
use super::news::Listener;
use super::source::{Backend, DeviceSource, NetworkQuery, PairingWish, RadioStatus};
use super::wish::{SetResult, Wish};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::store::{Group, ReadError, Room, Scene, Store};

/// The house, for whoever asks something of it. Names are ids, names or aliases, in any case; who has rooms of their own
/// sees and moves only what is in these. Errors are for the owner of the house: `not_found` with what was perhaps meant,
/// `forbidden`, `bad_request` with what is possible, `conflict` for a stale revision, and those of [`super::DeviceSource`].
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {}

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

/// What an owner says of a room; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoomEdit {
    /// 1 to 64 characters; needed for a new one.
    pub name: Option<String>,
    pub aliases: Option<Vec<String>>,
}

/// What an owner says of a group; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupEdit {
    /// 1 to 64 characters; needed for a new one.
    pub name: Option<String>,
    pub aliases: Option<Vec<String>>,
    /// A room's id, name or alias; empty: none.
    pub room: Option<String>,
    /// Ids, names or aliases of devices.
    pub members: Option<Vec<String>>,
}

/// What an owner says of a scene; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SceneEdit {
    /// 1 to 64 characters; needed for a new one.
    pub name: Option<String>,
    pub aliases: Option<Vec<String>>,
    /// A room's id, name or alias; empty: none.
    pub room: Option<String>,
    /// How each device is to be.
    pub settings: Option<Vec<SceneWish>>,
    /// Takes what these are now: ids, names, aliases of devices and groups. With `settings` these come on top.
    pub capture: Option<Vec<String>>,
}

/// How one device is to be in a scene.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SceneWish {
    /// An id, a name or an alias.
    pub device: String,
    /// As `devices.set` takes it.
    pub set: Map<String, Value>,
}

impl Keeper {
    /// Opens the house as the store has it and starts its sources. For the start of a program, on its runtime.
    pub async fn start(_store: Store, _sources: Vec<Arc<dyn DeviceSource>>) -> Result<Keeper, ReadError> {
        Ok(Keeper(Arc::new(Inner {})))
    }

    /// Stops the sources and writes what is not written yet. Nothing is asked of the house after it.
    pub async fn close(&self) {
        let Inner {} = *self.0;
    }

    /// All devices by name, hidden ones included. Shared until something changes.
    pub fn devices(&self) -> Arc<[Arc<Device>]> {
        Arc::default()
    }

    /// Those that `who` may see.
    pub fn devices_of(&self, _who: &Principal) -> Vec<Arc<Device>> {
        Vec::new()
    }

    /// One device.
    pub fn device(&self, _who: &Principal, which: &str) -> Result<Arc<Device>, ErrorBody> {
        Err(absent(which))
    }

    /// All rooms by name, of those that `who` may see.
    pub fn rooms(&self, _who: &Principal) -> Vec<Arc<Room>> {
        Vec::new()
    }

    pub fn room(&self, _who: &Principal, which: &str) -> Result<Arc<Room>, ErrorBody> {
        Err(absent(which))
    }

    pub fn groups(&self, _who: &Principal) -> Vec<Arc<Group>> {
        Vec::new()
    }

    pub fn group(&self, _who: &Principal, which: &str) -> Result<Arc<Group>, ErrorBody> {
        Err(absent(which))
    }

    pub fn scenes(&self, _who: &Principal) -> Vec<Arc<Scene>> {
        Vec::new()
    }

    pub fn scene(&self, _who: &Principal, which: &str) -> Result<Arc<Scene>, ErrorBody> {
        Err(absent(which))
    }

    /// How the sources are.
    pub fn radios(&self) -> Vec<Radio> {
        Vec::new()
    }

    /// News from now on. Not filtered: ask [`Keeper::may_see`] before telling it on.
    pub fn subscribe(&self) -> Listener {
        let (sender, _) = tokio::sync::broadcast::channel(1);
        Listener::new(&sender)
    }

    /// Whether `who` may see this device and act on it. The one place where rooms restrict.
    pub fn may_see(&self, _who: &Principal, _device: &Device) -> bool {
        false
    }

    /// Sets properties and waits until each device has confirmed, or has not: one result for each device. All of the wish
    /// is looked at before anything is sent; an error means that nothing was. Once sent it is done to the end, whether or not
    /// somebody still waits. Commands to one device are done in the order in which they were given.
    pub async fn set(&self, _who: &Principal, wish: Wish) -> Result<Vec<SetResult>, ErrorBody> {
        Err(absent(&format!("{:?}", wish.targets)))
    }

    /// Asks a device for the values of these properties, all that can be read where there are none.
    pub async fn read(
        &self,
        _who: &Principal,
        which: &str,
        _properties: &[String],
    ) -> Result<Map<String, Value>, ErrorBody> {
        Err(absent(which))
    }

    /// Changes what the owner says of a device. With `if_revision` only if that is its record's.
    pub async fn edit_device(
        &self,
        _who: &Principal,
        which: &str,
        _edit: DeviceEdit,
        _if_revision: Option<u64>,
    ) -> Result<Arc<Device>, ErrorBody> {
        Err(absent(which))
    }

    /// Sends a device away and forgets its name, its state and its history. `force`: also where it does not answer.
    pub async fn remove_device(&self, _who: &Principal, which: &str, _force: bool) -> Result<(), ErrorBody> {
        Err(absent(which))
    }

    /// Asks a device anew what it is.
    pub async fn interview(&self, _who: &Principal, which: &str) -> Result<(), ErrorBody> {
        Err(absent(which))
    }

    /// Makes a room (`which` absent) or changes one.
    pub async fn put_room(
        &self,
        _who: &Principal,
        which: Option<&str>,
        _edit: RoomEdit,
        _if_revision: Option<u64>,
    ) -> Result<Arc<Room>, ErrorBody> {
        Err(absent(which.unwrap_or_default()))
    }

    /// Its devices, groups and scenes stay, without a room.
    pub async fn delete_room(&self, _who: &Principal, which: &str, _if_revision: Option<u64>) -> Result<(), ErrorBody> {
        Err(absent(which))
    }

    /// Makes a group (`which` absent) or changes one.
    pub async fn put_group(
        &self,
        _who: &Principal,
        which: Option<&str>,
        _edit: GroupEdit,
        _if_revision: Option<u64>,
    ) -> Result<Arc<Group>, ErrorBody> {
        Err(absent(which.unwrap_or_default()))
    }

    pub async fn delete_group(
        &self,
        _who: &Principal,
        which: &str,
        _if_revision: Option<u64>,
    ) -> Result<(), ErrorBody> {
        Err(absent(which))
    }

    /// Makes a scene (`which` absent) or changes one.
    pub async fn put_scene(
        &self,
        _who: &Principal,
        which: Option<&str>,
        _edit: SceneEdit,
        _if_revision: Option<u64>,
    ) -> Result<Arc<Scene>, ErrorBody> {
        Err(absent(which.unwrap_or_default()))
    }

    pub async fn delete_scene(
        &self,
        _who: &Principal,
        which: &str,
        _if_revision: Option<u64>,
    ) -> Result<(), ErrorBody> {
        Err(absent(which))
    }

    /// Makes the house as a scene says: one result for each of its devices.
    pub async fn recall_scene(&self, _who: &Principal, which: &str) -> Result<Vec<SetResult>, ErrorBody> {
        Err(absent(which))
    }

    /// Lets devices in or stops it; `backend`: through this source alone. `via` and a code's device are ids.
    pub async fn pairing(&self, _wish: PairingWish, _backend: Option<Backend>) -> Result<(), ErrorBody> {
        Err(absent("radio"))
    }

    /// What a source knows of its network; the first one that is up where none is named.
    pub async fn network(&self, _query: NetworkQuery, _backend: Option<Backend>) -> Result<Value, ErrorBody> {
        Err(absent("radio"))
    }

    /// What a property was.
    pub async fn history(&self, _who: &Principal, query: HistoryQuery) -> Result<HistoryAnswer, ErrorBody> {
        Err(absent(&query.device))
    }
}

fn absent(which: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, format!("There is no \"{which}\" in this house."))
}
