//! Devices, rooms, groups and scenes as every door shows them. A contract with clients: fields are added and keep their meaning.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::common::capability::{Capability, CapabilityKind, Category, Domain};
use crate::common::time::UnixMillis;
use crate::common::who::Principal;
use crate::home::{Backend, Device, DeviceId, Keeper, Power};
use crate::store::{Group, Room, Scene, SceneSetting};

/// A device with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeviceShown {
    /// For good, whatever it is called: of Zigbee the IEEE address, such as `0x00124b0014d9a1b2`.
    pub id: DeviceId,
    /// Unique among devices and groups, whatever the case of its letters.
    pub name: Box<str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub aliases: Vec<Box<str>>,
    /// The name of its room, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Box<str>>,
    /// The same for good, whatever the room is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub hidden: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    pub backend: Backend,
    pub power: Power,
    /// `null`: nobody knows.
    pub available: Option<bool>,
    /// False: it has not told yet what it is.
    pub interviewed: bool,
    /// False: no definition knows it; what it can do was made out from what it says of itself.
    pub supported: bool,
    pub is_router: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<UnixMillis>,
    /// What it is to people, the first being what it is mostly.
    pub domains: Vec<Domain>,
    pub capabilities: Vec<Capability>,
    /// What it reported.
    pub state: Map<String, Value>,
    /// What it was told and has not confirmed yet; absent: nothing.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(default)]
    pub desired: Map<String, Value>,
    /// Of what the owner says of it: its name, its room.
    pub revision: u64,
}

/// A device in a few words: what a model needs to find it and to act on it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeviceBrief {
    pub id: DeviceId,
    pub name: Box<str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub aliases: Vec<Box<str>>,
    /// The name of its room, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<Box<str>>,
    pub domains: Vec<Domain>,
    /// `null`: nobody knows.
    pub available: Option<bool>,
    /// Absent: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interviewed: Option<bool>,
    pub state: Map<String, Value>,
    /// Properties that devices.set takes; devices.get says what they may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub settable: Vec<Box<str>>,
    /// What it measures or notices and has not told yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub untold: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RoomShown {
    /// For good, whatever it is called.
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub aliases: Vec<String>,
    /// How many devices are in it.
    pub devices: usize,
    pub revision: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GroupShown {
    /// For good, whatever it is called.
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub aliases: Vec<String>,
    /// The name of its room, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
    pub members: Vec<Member>,
    pub revision: u64,
}

/// A device in a group or a scene.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Member {
    pub id: String,
    /// Absent: it is not there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SceneShown {
    /// For good, whatever it is called.
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub aliases: Vec<String>,
    /// The name of the room that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
    pub settings: Vec<SettingShown>,
    pub changed_at_ms: UnixMillis,
    pub revision: u64,
}

/// How one device is to be in a scene.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SettingShown {
    /// The device's id.
    pub device: String,
    /// Absent: it is not there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// As devices.set takes it.
    pub set: Map<String, Value>,
}

/// The house as somebody sees it: puts names to ids.
pub struct Names<'a> {
    keeper: &'a Keeper,
    who: &'a Principal,
}

impl<'a> Names<'a> {
    pub fn new(keeper: &'a Keeper, who: &'a Principal) -> Names<'a> {
        Names { keeper, who }
    }

    /// The name of a room by its id.
    fn room(&self, id: Option<&str>) -> Option<Box<str>> {
        Some(self.keeper.room(self.who, id?).ok()?.name.as_str().into())
    }

    /// Its id, where whoever asks may see it.
    fn room_id(&self, id: Option<&str>) -> Option<String> {
        Some(self.keeper.room(self.who, id?).ok()?.id.clone())
    }

    /// The name of a device's room.
    pub fn room_name(&self, device: &Device) -> Option<Box<str>> {
        self.room(device.room.as_deref())
    }

    fn device(&self, id: &str) -> Option<Box<str>> {
        Some(self.keeper.device(self.who, id).ok()?.name.clone())
    }

    pub fn device_shown(&self, device: &Device) -> DeviceShown {
        DeviceShown {
            id: device.id.clone(),
            name: device.name.clone(),
            aliases: device.aliases.to_vec(),
            room: self.room(device.room.as_deref()),
            room_id: device.room.clone(),
            hidden: device.hidden,
            model: device.model.clone(),
            vendor: device.vendor.clone(),
            description: device.description.clone(),
            backend: device.backend,
            power: device.power,
            available: device.available,
            interviewed: device.interviewed,
            supported: device.supported,
            is_router: device.is_router,
            last_seen_ms: device.last_seen_ms,
            domains: device.domains.to_vec(),
            capabilities: device.capabilities.to_vec(),
            state: device.state.clone(),
            desired: device.desired.clone(),
            revision: device.revision,
        }
    }

    pub fn device_brief(&self, device: &Device) -> DeviceBrief {
        let is_for_people = |one: &&Capability| one.settable && one.category.is_none();
        // What has happened, such as a press, is nothing that is still to be told.
        let is_untold = |one: &&Capability| {
            let is_value = matches!(one.kind, CapabilityKind::Binary { .. } | CapabilityKind::Numeric { .. });
            is_value
                && one.reported
                && !one.settable
                && one.category != Some(Category::Config)
                && !device.state.contains_key(&*one.property)
        };
        let is_told =
            |property: &str| device.capability(property).is_none_or(|one| one.category != Some(Category::Config));
        DeviceBrief {
            id: device.id.clone(),
            name: device.name.clone(),
            aliases: device.aliases.to_vec(),
            room: self.room(device.room.as_deref()),
            room_id: device.room.clone(),
            domains: device.domains.to_vec(),
            available: device.available,
            interviewed: (!device.interviewed).then_some(false),
            state: device.state.iter().filter(|(key, _)| is_told(key)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            settable: device.capabilities.iter().filter(is_for_people).map(|one| one.property.clone()).collect(),
            untold: device.capabilities.iter().filter(is_untold).map(|one| one.property.clone()).collect(),
        }
    }

    pub fn room_shown(&self, room: &Room) -> RoomShown {
        let devices = self.keeper.devices_of(self.who);
        RoomShown {
            id: room.id.clone(),
            name: room.name.clone(),
            aliases: room.aliases.clone(),
            devices: devices.iter().filter(|device| device.room.as_deref() == Some(&*room.id)).count(),
            revision: room.revision,
        }
    }

    pub fn group_shown(&self, group: &Group) -> GroupShown {
        let member = |id: &String| Member { id: id.clone(), name: self.device(id) };
        GroupShown {
            id: group.id.clone(),
            name: group.name.clone(),
            aliases: group.aliases.clone(),
            room: self.room(group.room.as_deref()),
            room_id: self.room_id(group.room.as_deref()),
            members: group.members.iter().map(member).collect(),
            revision: group.revision,
        }
    }

    pub fn scene_shown(&self, scene: &Scene) -> SceneShown {
        let setting = |one: &SceneSetting| SettingShown {
            device: one.device.clone(),
            name: self.device(&one.device),
            set: one.set.clone(),
        };
        SceneShown {
            id: scene.id.clone(),
            name: scene.name.clone(),
            aliases: scene.aliases.clone(),
            room: self.room(scene.room.as_deref()),
            room_id: self.room_id(scene.room.as_deref()),
            settings: scene.settings.iter().map(setting).collect(),
            changed_at_ms: scene.changed_at_ms,
            revision: scene.revision,
        }
    }
}
