//! `groups.*`: devices that are told the same. Who may see which is the house's own business.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tool;
use super::devices::shown::{GroupShown, Names};
use super::page::{self, Page};
use super::typed::{About, Deleted, failure_of_all, tool};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::{Principal, Role};
use crate::home::{DeviceId, GroupEdit, Keeper, KeptSceneWish, MemberSaid};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// Its name, another word for it, or its id.
    group: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Its name, another word for it, or its id. Where there is none, it is made with this name.
    group: String,
    /// Its new name: 1 to 64 characters, of no other group or device.
    name: Option<String>,
    /// What else it is called, in the place of what it was.
    aliases: Option<Vec<String>>,
    /// The room that it is put into: its name or id; empty: into none.
    room: Option<String>,
    /// Names or ids of all devices that are to be in it, in the place of those that were.
    members: Option<Vec<String>>,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Its name, another word for it, or its id.
    group: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scene {
    /// Its name, another word for it, or its id.
    group: String,
    /// The number of the scene among those of the group: a remote's scene button recalls one by it.
    #[schemars(range(min = 1, max = 255))]
    scene: u8,
    /// store: the devices remember how they are now; recall: they are so again; remove: they forget it.
    action: KeptSceneWish,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Kept {
    /// One for each device of the group that has mains power.
    results: Vec<Member>,
    /// Nothing of it was done, and why not for the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Member {
    id: DeviceId,
    name: Box<str>,
    /// True: the device has said that it has done it. Null: it was told, and such messages are not answered.
    ok: Option<bool>,
    /// After a recall: what the device said that it is then.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(default)]
    state: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// By name.
    groups: Vec<GroupShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "groups.list",
        title: "Groups",
        description: "Groups of devices that are told the same, with their members. devices.set takes a group's name among its \
                      targets.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let get = About { name: "groups.get", title: "One group", description: "One group with its members.", ..list };
    let set = About {
        name: "groups.set",
        title: "Make or change a group",
        description: "Makes a group of devices, or changes one. What is not named stays as it is.",
        annotations: Annotations::SETS,
        access: Role::Member,
    };
    let delete = About {
        name: "groups.delete",
        title: "Take a group away",
        description: "Takes a group away. Its devices stay.",
        annotations: Annotations::DESTROYS,
        access: Role::Member,
    };
    let scene = About {
        name: "groups.scene",
        title: "Keep a scene in a group's devices",
        description: "Has the devices of a group themselves remember how they are now, under a number, or recalls or removes it. \
                      A remote that is bound to the group recalls it by its scene button also while the hub is away. A recall is \
                      one message that no device answers (ok: null); each is asked afterwards what it is (state). For scenes \
                      with names, of any devices and confirmed, use scenes.capture and scenes.recall.",
        annotations: Annotations { open_world: Some(false), ..Annotations::SETS },
        access: Role::Member,
    };
    vec![
        tool(home, list, all),
        tool(home, get, one),
        tool(home, set, put),
        tool(home, delete, take),
        tool(home, scene, keep),
    ]
}

async fn all(home: Arc<Keeper>, input: Page, who: Arc<Principal>) -> Result<Listed, Fault> {
    let names = Names::new(&home, &who);
    let mut groups: Vec<GroupShown> = home.groups(&who).iter().map(|group| names.group_shown(group)).collect();
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    let (groups, next_cursor) = page::cut(groups, &input, |group| &group.name);
    Ok(Listed { groups, next_cursor })
}

async fn one(home: Arc<Keeper>, input: One, who: Arc<Principal>) -> Result<GroupShown, Fault> {
    let group = home.group(&who, &input.group)?;
    Ok(Names::new(&home, &who).group_shown(&group))
}

async fn put(home: Arc<Keeper>, input: Set, who: Arc<Principal>) -> Result<GroupShown, Fault> {
    let Set { group: which, name, aliases, room, members, if_revision } = input;
    let edit = GroupEdit { name, aliases, room, members };
    let group = match home.group(&who, &which) {
        Ok(group) => home.put_group(&who, Some(&group.id), edit, if_revision).await?,
        Err(error) if error.code == ErrorCode::NotFound => {
            let edit = GroupEdit { name: edit.name.or(Some(which)), ..edit };
            home.put_group(&who, None, edit, if_revision).await?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Names::new(&home, &who).group_shown(&group))
}

async fn take(home: Arc<Keeper>, input: Delete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    home.delete_group(&who, &input.group, input.if_revision).await?;
    Ok(Deleted { deleted: true })
}

async fn keep(home: Arc<Keeper>, input: Scene, who: Arc<Principal>) -> Result<Kept, Fault> {
    let said = home.kept_scene(&who, &input.group, input.scene, input.action).await?;
    let member = |MemberSaid { id, name, end, state }| {
        let ok = end.as_ref().map(Result::is_ok);
        Member { id, name, ok, state, error: end.and_then(Result::err) }
    };
    let results: Vec<Member> = said.into_iter().map(member).collect();
    let error = failure_of_all(results.iter().map(|one| (one.ok == Some(false), one.error.as_ref())));
    Ok(Kept { results, error })
}
