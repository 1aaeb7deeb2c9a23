//! `scenes.*`: states of many devices that are called back together. Who may see which is the house's own business.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tool;
use super::devices::shown::{Names, SceneShown};
use super::devices::{Results, each};
use super::page::{self, Page};
use super::typed::{About, Deleted, Steps, bad_request, tool, tool_in_steps};
use crate::common::error::ErrorCode;
use crate::common::who::{Principal, Role};
use crate::home::{Device, Keeper, SceneEdit, SceneWish};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// Its name, another word for it, or its id.
    scene: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Its name, another word for it, or its id. Where there is none, it is made with this name.
    scene: String,
    /// Its new name, 1 to 64 characters.
    name: Option<String>,
    /// What else it is called, in the place of what it was.
    aliases: Option<Vec<String>>,
    /// The room that it is for: its name or id; empty: none.
    room: Option<String>,
    /// How each device is to be, in the place of what was said before.
    settings: Option<Vec<SceneWish>>,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Capture {
    /// Its name, another word for it, or its id. Where there is none, it is made with this name.
    scene: String,
    /// Names or ids of devices and groups; absent: all of the room that can be set.
    #[serde(default)]
    devices: Vec<String>,
    /// The room that it is for: its name or id.
    room: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Its name, another word for it, or its id.
    scene: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// By name.
    scenes: Vec<SceneShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "scenes.list",
        title: "Scenes",
        description: "Scenes of the house: states of devices that scenes.recall calls back together, such as \"movie night\".",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let get = About {
        name: "scenes.get",
        title: "One scene",
        description: "One scene with how each device is to be.",
        ..list
    };
    let recall = About {
        name: "scenes.recall",
        title: "Recall a scene",
        description: "Makes the house as a scene says and waits until each device has confirmed. A device was set only where its \
                      result has ok: true.",
        annotations: Annotations::SETS,
        access: Role::Guest,
    };
    let set = About {
        name: "scenes.set",
        title: "Make or change a scene",
        description: "Makes a scene of settings, or changes one. What is not named stays as it is. scenes.capture takes how \
                      devices are now.",
        annotations: Annotations::SETS,
        access: Role::Member,
    };
    let capture = About {
        name: "scenes.capture",
        title: "Keep a scene",
        description: "Keeps how devices are now as a scene: of a room, or of named devices and groups. What the scene said \
                      before is gone.",
        ..set
    };
    let delete = About {
        name: "scenes.delete",
        title: "Forget a scene",
        description: "Forgets a scene. Its devices stay as they are.",
        annotations: Annotations::DESTROYS,
        ..set
    };
    vec![
        tool(home, list, all),
        tool(home, get, one),
        tool_in_steps(home, recall, make_so),
        tool(home, set, put),
        tool(home, capture, keep),
        tool(home, delete, take),
    ]
}

async fn all(home: Arc<Keeper>, input: Page, who: Arc<Principal>) -> Result<Listed, Fault> {
    let names = Names::new(&home, &who);
    let mut scenes: Vec<SceneShown> = home.scenes(&who).iter().map(|scene| names.scene_shown(scene)).collect();
    scenes.sort_by(|one, other| one.name.cmp(&other.name));
    let (scenes, next_cursor) = page::cut(scenes, &input, |scene| &scene.name);
    Ok(Listed { scenes, next_cursor })
}

async fn one(home: Arc<Keeper>, input: One, who: Arc<Principal>) -> Result<SceneShown, Fault> {
    let scene = home.scene(&who, &input.scene)?;
    Ok(Names::new(&home, &who).scene_shown(&scene))
}

async fn make_so(home: Arc<Keeper>, input: One, who: Arc<Principal>, steps: Steps) -> Result<Results, Fault> {
    Ok(Results::of(home.recall_scene(&who, &input.scene, each(steps)).await?))
}

async fn put(home: Arc<Keeper>, input: Set, who: Arc<Principal>) -> Result<SceneShown, Fault> {
    let Set { scene, name, aliases, room, settings, if_revision } = input;
    write(&home, &who, scene, SceneEdit { name, aliases, room, settings, capture: None }, if_revision).await
}

async fn keep(home: Arc<Keeper>, input: Capture, who: Arc<Principal>) -> Result<SceneShown, Fault> {
    let Capture { scene, devices, room } = input;
    let capture = match (&room, devices.is_empty()) {
        (_, false) => devices,
        (Some(room), true) => settable_in(&home, &who, room)?,
        (None, true) => return Err(bad_request("say which devices, or a room")),
    };
    write(&home, &who, scene, SceneEdit { room, capture: Some(capture), ..SceneEdit::default() }, None).await
}

/// Ids of what can be set in a room.
fn settable_in(home: &Keeper, who: &Principal, room: &str) -> Result<Vec<String>, Fault> {
    let room = home.room(who, room)?;
    let can_be_set = |device: &Device| device.capabilities.iter().any(|one| one.settable && one.category.is_none());
    let devices = home.devices_of(who);
    let meant = devices.iter().filter(|device| device.room.as_deref() == Some(&*room.id) && !device.hidden);
    let found: Vec<String> = meant.filter(|device| can_be_set(device)).map(|device| device.id.to_string()).collect();
    match found.is_empty() {
        true => Err(Fault::new(ErrorCode::NotFound, format!("nothing in {} can be set", room.name))),
        false => Ok(found),
    }
}

async fn write(
    home: &Keeper,
    who: &Principal,
    which: String,
    edit: SceneEdit,
    if_revision: Option<u64>,
) -> Result<SceneShown, Fault> {
    let scene = match home.scene(who, &which) {
        Ok(scene) => home.put_scene(who, Some(&scene.id), edit, if_revision).await?,
        Err(error) if error.code == ErrorCode::NotFound => {
            let edit = SceneEdit { name: edit.name.or(Some(which)), ..edit };
            home.put_scene(who, None, edit, if_revision).await?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Names::new(home, who).scene_shown(&scene))
}

async fn take(home: Arc<Keeper>, input: Delete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    home.delete_scene(&who, &input.scene, input.if_revision).await?;
    Ok(Deleted { deleted: true })
}
