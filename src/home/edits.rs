//! What an owner changes: names, rooms, groups, scenes, and devices that go. Written to the store first and shown after; one
//! change at a time, so that no two things get the same name.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::device::{Device, DeviceEdit};
use super::groupcast;
use super::house::Home;
use super::keeper::{Keeper, bad};
use super::names::{self, fold};
use super::run;
use super::values;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::store::{
    ALIASES_MAX, DeviceRecord, Group, HOME_NAME_CHARS_MAX, MEMBERS_MAX, Room, Scene, SceneSetting, WriteError,
};

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
    /// Changes what the owner says of a device. With `if_revision` only if that is its record's.
    pub async fn edit_device(
        &self,
        who: &Principal,
        which: &str,
        edit: DeviceEdit,
        if_revision: Option<u64>,
    ) -> Result<Arc<Device>, ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let (device, source) = self.0.with(|home| home.to_ask(who, which))?;
        let id = device.id.0.as_ref();
        let (record, is_renamed) = self.0.with(|home| {
            let mut record = home.record(id).map_or_else(|| unwritten(&device), |record| (**record).clone());
            if let Some(name) = edit.name {
                record.name = home.free_name(&name, id)?;
            }
            if let Some(aliases) = edit.aliases {
                record.aliases = home.free_aliases(&aliases, id)?;
            }
            if let Some(room) = edit.room {
                record.room = home.room_id(who, &room)?;
            }
            record.hidden = edit.hidden.unwrap_or(record.hidden);
            let is_renamed = *record.name != *device.name;
            Ok::<_, ErrorBody>((record, is_renamed))
        })?;
        compare(record.revision, if_revision)?;
        if is_renamed {
            let renaming = self.0.sources[source].rename(device.id.clone(), record.name.as_str().into());
            match run::in_time(renaming, run::SET_WAIT).await {
                // It keeps no names: then the house's is the only one.
                Err(error) if error.code != ErrorCode::Unsupported => return Err(error),
                _ => {}
            }
        }
        // Its revision was compared; a name that the house gave is perhaps not written yet.
        let record = self.0.store.put(record, None).await.map_err(|error| error.to_body())?;
        self.0.with(|home| {
            home.unsaved.records.remove(id);
            home.apply_record(id, Some(record));
            home.device(&device.id).cloned().ok_or_else(|| gone(&device.name))
        })
    }

    /// Sends a device away and forgets its name, its state and its history. `force`: also where it does not answer.
    pub async fn remove_device(&self, who: &Principal, which: &str, force: bool) -> Result<(), ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let (device, source) = self.0.with(|home| home.to_ask(who, which))?;
        run::in_time(self.0.sources[source].remove(device.id.clone(), force), run::NETWORK_WAIT).await?;
        let id = device.id.0.as_ref();
        self.0.store.delete::<DeviceRecord>(id, None).await.map_err(|error| error.to_body())?;
        self.0.with(|home| {
            home.remove(&device.id);
            home.recorder.forget(&device.id);
            home.apply_record(id, None);
            home.unsaved.records.remove(id);
        });
        self.0.store.forget_device(id).await.map_err(|error| error.to_body())
    }

    /// Makes a room (`which` absent) or changes one.
    pub async fn put_room(
        &self,
        who: &Principal,
        which: Option<&str>,
        edit: RoomEdit,
        if_revision: Option<u64>,
    ) -> Result<Arc<Room>, ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let room = self.0.with(|home| {
            let mut room = match which {
                Some(which) => (**home.find_room(who, which)?).clone(),
                None => Room { zigbee_group: groupcast::free_number(home), ..Room::default() },
            };
            let names = |home: &Home, but: &str| -> BTreeSet<String> {
                home.rooms.values().filter(|one| one.id != but).map(|one| fold(&one.name)).collect()
            };
            let taken = names(home, &room.id);
            room.name = name_of(edit.name, room.name, "room", &taken)?;
            room.aliases = aliases_of(edit.aliases, room.aliases, &taken)?;
            if room.id.is_empty() {
                room.id = names::id_of(&room.name, |id| home.rooms.contains_key(id));
            }
            Ok::<_, ErrorBody>(room)
        })?;
        let room = self.0.store.put(room, expected(which, if_revision)).await.map_err(|error| error.to_body())?;
        Ok(self.0.with(|home| {
            home.apply_room(&room.id.clone(), Some(room.clone()));
            Arc::new(room)
        }))
    }

    /// Its devices, groups and scenes stay, without a room.
    pub async fn delete_room(&self, who: &Principal, which: &str, if_revision: Option<u64>) -> Result<(), ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let room = self.0.with(|home| home.find_room(who, which).cloned())?;
        self.0.store.delete::<Room>(&room.id, if_revision).await.map_err(|error| error.to_body())?;
        self.0.with(|home| home.apply_room(&room.id, None));
        Ok(())
    }

    /// Makes a group (`which` absent) or changes one.
    pub async fn put_group(
        &self,
        who: &Principal,
        which: Option<&str>,
        edit: GroupEdit,
        if_revision: Option<u64>,
    ) -> Result<Arc<Group>, ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let group = self.0.with(|home| {
            let mut group = match which {
                Some(which) => (**home.find_group(who, which)?).clone(),
                None => Group { zigbee_group: groupcast::free_number(home), ..Group::default() },
            };
            match edit.name {
                Some(name) => group.name = home.free_name(&name, &group.id)?,
                None if group.name.is_empty() => return Err(bad("name: a new group needs one.".into())),
                None => {}
            }
            if let Some(aliases) = edit.aliases {
                group.aliases = home.free_aliases(&aliases, &group.id)?;
            }
            if let Some(room) = edit.room {
                group.room = home.room_id(who, &room)?;
            }
            if let Some(members) = edit.members {
                group.members = home.member_ids(who, &members)?;
            }
            if group.id.is_empty() {
                let is_taken = |id: &str| home.groups.contains_key(id) || home.record(id).is_some();
                group.id = names::id_of(&group.name, is_taken);
            }
            Ok::<_, ErrorBody>(group)
        })?;
        let group = self.0.store.put(group, expected(which, if_revision)).await.map_err(|error| error.to_body())?;
        Ok(self.0.with(|home| {
            home.apply_group(&group.id.clone(), Some(group.clone()));
            Arc::new(group)
        }))
    }

    pub async fn delete_group(&self, who: &Principal, which: &str, if_revision: Option<u64>) -> Result<(), ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let group = self.0.with(|home| home.find_group(who, which).cloned())?;
        self.0.store.delete::<Group>(&group.id, if_revision).await.map_err(|error| error.to_body())?;
        self.0.with(|home| home.apply_group(&group.id, None));
        Ok(())
    }

    /// Makes a scene (`which` absent) or changes one.
    pub async fn put_scene(
        &self,
        who: &Principal,
        which: Option<&str>,
        edit: SceneEdit,
        if_revision: Option<u64>,
    ) -> Result<Arc<Scene>, ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let scene = self.0.with_now(|home, now_ms| {
            let mut scene = match which {
                Some(which) => (**home.find_scene(who, which)?).clone(),
                None => Scene::default(),
            };
            let others = home.scenes.values().filter(|one| one.id != scene.id);
            let taken: BTreeSet<_> = others.map(|one| fold(&one.name)).collect();
            scene.name = name_of(edit.name, scene.name, "scene", &taken)?;
            scene.aliases = aliases_of(edit.aliases, scene.aliases, &taken)?;
            if let Some(room) = edit.room {
                scene.room = home.room_id(who, &room)?;
            }
            if edit.capture.is_some() || edit.settings.is_some() {
                scene.settings = home.scene_settings(who, edit.capture, edit.settings)?;
            }
            if scene.settings.is_empty() {
                return Err(bad("A scene needs devices: name some in settings or in capture.".into()));
            }
            if scene.id.is_empty() {
                scene.id = names::id_of(&scene.name, |id| home.scenes.contains_key(id));
            }
            Ok::<_, ErrorBody>(Scene { changed_at_ms: now_ms, ..scene })
        })?;
        let scene = self.0.store.put(scene, expected(which, if_revision)).await.map_err(|error| error.to_body())?;
        Ok(self.0.with(|home| {
            home.apply_scene(&scene.id.clone(), Some(scene.clone()));
            Arc::new(scene)
        }))
    }

    pub async fn delete_scene(&self, who: &Principal, which: &str, if_revision: Option<u64>) -> Result<(), ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let scene = self.0.with(|home| home.find_scene(who, which).cloned())?;
        self.0.store.delete::<Scene>(&scene.id, if_revision).await.map_err(|error| error.to_body())?;
        self.0.with(|home| home.apply_scene(&scene.id, None));
        Ok(())
    }
}

impl Home {
    /// A name for the device or group with this id, if nobody else has it.
    fn free_name(&self, name: &str, but_for: &str) -> Result<String, ErrorBody> {
        let name = as_name("name", name)?;
        match self.is_name_taken(&name, Some(but_for)) {
            true => Err(taken(&name)),
            false => Ok(name),
        }
    }

    fn free_aliases(&self, aliases: &[String], but_for: &str) -> Result<Vec<String>, ErrorBody> {
        let aliases = as_aliases(aliases)?;
        match aliases.iter().find(|alias| self.is_name_taken(alias, Some(but_for))) {
            Some(alias) => Err(taken(alias)),
            None => Ok(aliases),
        }
    }

    /// The id of a room; empty: none.
    fn room_id(&self, who: &Principal, which: &str) -> Result<Option<String>, ErrorBody> {
        match which.trim().is_empty() {
            true => Ok(None),
            false => Ok(Some(self.find_room(who, which)?.id.clone())),
        }
    }

    fn member_ids(&self, who: &Principal, members: &[String]) -> Result<Vec<String>, ErrorBody> {
        if members.len() > MEMBERS_MAX {
            return Err(bad(format!("members: at most {MEMBERS_MAX}.")));
        }
        let found = self.find_all(who, members.iter().map(String::as_str))?;
        Ok(found.into_iter().map(|(device, _)| device.id.0.to_string()).collect())
    }

    /// What is captured, and what is said on top of it, each in the device's own words.
    fn scene_settings(
        &self,
        who: &Principal,
        capture: Option<Vec<String>>,
        settings: Option<Vec<SceneWish>>,
    ) -> Result<Vec<SceneSetting>, ErrorBody> {
        let (capture, settings) = (capture.unwrap_or_default(), settings.unwrap_or_default());
        if capture.len().max(settings.len()) > MEMBERS_MAX {
            return Err(bad(format!("A scene has at most {MEMBERS_MAX} devices.")));
        }
        let mut all: Vec<SceneSetting> = Vec::new();
        for (device, is_named) in self.find_all(who, capture.iter().map(String::as_str))? {
            let set = super::scenes::captured(device);
            match set.is_empty() {
                false => all.push(SceneSetting { device: device.id.0.to_string(), set }),
                // Of a group, those that have nothing to be set are left out.
                true if is_named => {
                    return Err(bad(format!("\"{}\" says nothing of itself that could be set again.", device.name)));
                }
                true => {}
            }
        }
        for SceneWish { device, set } in settings {
            let device = self.find_device(who, &device)?;
            if set.is_empty() {
                return Err(bad(format!("Say how \"{}\" is to be.", device.name)));
            }
            let set = values::fit(&device.name, &device.capabilities, &set, true)?.set;
            let id = device.id.0.to_string();
            match all.iter_mut().find(|one| one.device == id) {
                Some(one) => one.set = set,
                None => all.push(SceneSetting { device: id, set }),
            }
        }
        Ok(all)
    }
}

/// What would be written of a device of which nothing was.
fn unwritten(device: &Device) -> DeviceRecord {
    DeviceRecord { id: device.id.0.to_string(), name: device.name.to_string(), ..DeviceRecord::default() }
}

fn name_of(new: Option<String>, old: String, what: &str, others: &BTreeSet<String>) -> Result<String, ErrorBody> {
    let name = match new {
        Some(name) => as_name("name", &name)?,
        None if old.is_empty() => return Err(bad(format!("name: a new {what} needs one."))),
        None => old,
    };
    match others.contains(&fold(&name)) {
        true => Err(taken(&name)),
        false => Ok(name),
    }
}

fn aliases_of(new: Option<Vec<String>>, old: Vec<String>, others: &BTreeSet<String>) -> Result<Vec<String>, ErrorBody> {
    let Some(aliases) = new else { return Ok(old) };
    let aliases = as_aliases(&aliases)?;
    match aliases.iter().find(|alias| others.contains(&fold(alias))) {
        Some(alias) => Err(taken(alias)),
        None => Ok(aliases),
    }
}

fn as_aliases(aliases: &[String]) -> Result<Vec<String>, ErrorBody> {
    if aliases.len() > ALIASES_MAX {
        return Err(bad(format!("aliases: at most {ALIASES_MAX}.")));
    }
    let mut kept: Vec<String> = Vec::new();
    for alias in aliases {
        let alias = as_name("aliases", alias)?;
        if !kept.iter().any(|one| fold(one) == fold(&alias)) {
            kept.push(alias);
        }
    }
    Ok(kept)
}

/// What a person wrote as a name. Blanks are tidied; what cannot be in a name is said and not dropped.
fn as_name(field: &str, name: &str) -> Result<String, ErrorBody> {
    let is_short = name.trim().chars().count() <= HOME_NAME_CHARS_MAX;
    let is_plain = !name.trim().chars().any(char::is_control);
    match names::clean(name).filter(|_| is_short && is_plain) {
        Some(name) => Ok(name),
        None => Err(bad(format!("{field}: 1 to {HOME_NAME_CHARS_MAX} characters, none of them a control character."))),
    }
}

fn taken(name: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Conflict, format!("\"{name}\" is taken. Choose another name."))
}

fn gone(name: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, format!("\"{name}\" has gone meanwhile."))
}

fn compare(current: u64, if_revision: Option<u64>) -> Result<(), ErrorBody> {
    match if_revision.is_some_and(|expected| expected != current) {
        true => Err(WriteError::Conflict { current }.to_body()),
        false => Ok(()),
    }
}

/// A new thing is written only where there is none.
fn expected(which: Option<&str>, if_revision: Option<u64>) -> Option<u64> {
    if_revision.or_else(|| which.is_none().then_some(0))
}
