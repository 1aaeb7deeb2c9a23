//! `groups.*`: devices that are told the same. Who may see which is the house's own business.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tool;
use super::devices::shown::{GroupShown, Names};
use super::page::{self, Page};
use super::typed::{About, Deleted, tool};
use crate::common::error::ErrorCode;
use crate::common::who::{Principal, Role};
use crate::home::{GroupEdit, Keeper};
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
    vec![tool(home, list, all), tool(home, get, one), tool(home, set, put), tool(home, delete, take)]
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
