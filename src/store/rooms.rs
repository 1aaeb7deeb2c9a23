//! What the owner says of the house: names of devices, rooms, groups, scenes. Knows no device: ids are text here, and whether
//! there is such a device is asked elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::WriteError;
use super::feed::Kind;
use super::records::{Record, Table};
use super::tables::{DEVICES, GROUPS, ROOMS, SCENES, encode};
use crate::common::time::UnixMillis;

/// Devices that the house knows by name, those that are not there now included.
pub const DEVICES_MAX: u64 = 2_048;

pub const ROOMS_MAX: u64 = 256;

pub const GROUPS_MAX: u64 = 256;

pub const SCENES_MAX: u64 = 512;

/// The longest name that a person gives, characters (Unicode scalar values).
pub const HOME_NAME_CHARS_MAX: usize = 64;

/// The longest id of a device, a room, a group, a scene, bytes.
pub const HOME_ID_BYTES_MAX: usize = 256;

/// Other names of one thing.
pub const ALIASES_MAX: usize = 16;

/// Devices in one group or scene.
pub const MEMBERS_MAX: usize = 512;

/// One scene as JSON, bytes.
pub const SCENE_BYTES_MAX: usize = 256 * 1024;

/// What the owner says of a device. It outlives the device's absence, so that one which comes back has its name again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceRecord {
    /// For good: of Zigbee the IEEE address as `0x00124b0014d9a1b2`.
    pub id: String,
    /// Unique among devices and groups, whatever the case of its letters.
    pub name: String,
    /// The name that the device's source had for it when `name` was given. When the source's changes, that is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// Other words for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The id of its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Not shown in lists, and not part of its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

/// A room of the house.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Room {
    /// For good: made from its first name, such as `living-room`.
    pub id: String,
    /// Unique among rooms, whatever the case of its letters.
    pub name: String,
    /// Other words for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The Zigbee group that its lights are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zigbee_group: Option<u16>,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

/// Devices that are told the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// For good: made from its first name.
    pub id: String,
    /// Unique among devices and groups, whatever the case of its letters.
    pub name: String,
    /// Other words for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The id of its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Ids of devices.
    pub members: Vec<String>,
    /// The Zigbee group that its members are in, 1 to 0xfff7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zigbee_group: Option<u16>,
    /// A device was bound to it: its members are in the Zigbee group however few they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_bound: bool,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

/// How devices are to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scene {
    /// For good: made from its first name.
    pub id: String,
    /// Unique among scenes, whatever the case of its letters.
    pub name: String,
    /// Other words for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The id of the room that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    pub settings: Vec<SceneSetting>,
    #[serde(default)]
    pub changed_at_ms: UnixMillis,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

/// How one device is to be in a scene.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SceneSetting {
    /// The id of the device.
    pub device: String,
    /// As `devices.set` takes it.
    pub set: Map<String, Value>,
}

macro_rules! record {
    ($type:ty, $kind:expr, $table:expr, $what:literal, $max:expr, $check:expr) => {
        impl Record for $type {
            const KIND: Kind = $kind;
            const TABLE: Table = $table;
            const WHAT: &'static str = $what;
            const MAX: u64 = $max;

            fn key(&self) -> &str {
                &self.id
            }

            fn revision(&self) -> u64 {
                self.revision
            }

            fn set_revision(&mut self, revision: u64) {
                self.revision = revision;
            }

            fn check(&self) -> Result<(), WriteError> {
                check_names(&self.id, &self.name, &self.aliases)?;
                ($check)(self)
            }
        }
    };
}

record!(DeviceRecord, Kind::Device, DEVICES, "device", DEVICES_MAX, |_: &DeviceRecord| Ok(()));
record!(Room, Kind::Room, ROOMS, "room", ROOMS_MAX, |_: &Room| Ok(()));
record!(Group, Kind::Group, GROUPS, "group", GROUPS_MAX, |group: &Group| check_len("members", group.members.len()));
record!(Scene, Kind::Scene, SCENES, "scene", SCENES_MAX, |scene: &Scene| {
    check_len("settings", scene.settings.len())?;
    match encode(scene).len() {
        size if size > SCENE_BYTES_MAX => Err(WriteError::TooLarge { what: "scene", size, max: SCENE_BYTES_MAX }),
        _ => Ok(()),
    }
});

fn check_names(id: &str, name: &str, aliases: &[String]) -> Result<(), WriteError> {
    if !(1..=HOME_ID_BYTES_MAX).contains(&id.len()) {
        return Err(WriteError::Invalid(format!("id: 1 to {HOME_ID_BYTES_MAX} bytes")));
    }
    if aliases.len() > ALIASES_MAX {
        return Err(WriteError::TooLarge { what: "aliases", size: aliases.len(), max: ALIASES_MAX });
    }
    match std::iter::once(name).chain(aliases.iter().map(String::as_str)).all(is_home_name) {
        true => Ok(()),
        false => {
            let rule = "characters, no control characters, no blanks around it";
            Err(WriteError::Invalid(format!("name: 1 to {HOME_NAME_CHARS_MAX} {rule}")))
        }
    }
}

/// Whether a thing of the house may be called so.
pub fn is_home_name(name: &str) -> bool {
    (1..=HOME_NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && name.trim().len() == name.len()
}

fn check_len(what: &'static str, size: usize) -> Result<(), WriteError> {
    match size > MEMBERS_MAX {
        true => Err(WriteError::TooLarge { what, size, max: MEMBERS_MAX }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn what_is_no_name_is_refused_and_what_was_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let room = |name: &str| Room { id: "kitchen".into(), name: name.into(), ..Room::default() };
        for bad in ["", " Kitchen", "Kit\nchen", &"x".repeat(HOME_NAME_CHARS_MAX + 1)] {
            assert!(matches!(store.put(room(bad), None).await, Err(WriteError::Invalid(_))), "{bad:?}");
        }
        let kept = store.put(room(&"ü".repeat(HOME_NAME_CHARS_MAX)), Some(0)).await.expect("64 characters");
        assert_eq!(store.list::<Room>().await.expect("a read"), [kept]);
        let crowd = Group { members: vec!["0x1".into(); MEMBERS_MAX + 1], ..group() };
        assert!(matches!(store.put(crowd, None).await, Err(WriteError::TooLarge { what: "members", .. })));
        let kept = store.put(group(), Some(0)).await.expect("a write");
        assert_eq!(store.get::<Group>("all").await.expect("a read"), Some(kept));
        let set = [(String::from("state"), Value::from("x".repeat(SCENE_BYTES_MAX)))].into_iter().collect();
        let settings = vec![SceneSetting { device: "0x1".into(), set }];
        let scene = Scene { id: "s".into(), name: "S".into(), settings, ..Scene::default() };
        assert!(matches!(store.put(scene, None).await, Err(WriteError::TooLarge { what: "scene", .. })));
    }

    fn group() -> Group {
        Group { id: "all".into(), name: "All".into(), members: vec!["0x1".into()], ..Group::default() }
    }
}
