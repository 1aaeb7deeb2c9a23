//! `rooms.*`: the rooms of the house. Who may see which is the house's own business.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tool;
use super::devices::shown::{Names, RoomShown};
use super::page::{self, Page};
use super::typed::{About, Deleted, tool};
use crate::common::error::ErrorCode;
use crate::common::who::{Principal, Role};
use crate::home::{Keeper, RoomEdit};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// Its name, another word for it, or its id.
    room: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Its name, another word for it, or its id. Where there is none, it is made with this name.
    room: String,
    /// Its new name, 1 to 64 characters.
    name: Option<String>,
    /// What else it is called, in the place of what it was.
    aliases: Option<Vec<String>>,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Its name, another word for it, or its id.
    room: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// By name.
    rooms: Vec<RoomShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "rooms.list",
        title: "Rooms",
        description: "The rooms of the house by name, with how many devices are in each. devices.list with a room shows them.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let get = About { name: "rooms.get", title: "One room", description: "One room of the house.", ..list };
    let set = About {
        name: "rooms.set",
        title: "Make or rename a room",
        description: "Makes a room, or changes what an existing one is called. devices.rename puts devices into it.",
        annotations: Annotations::SETS,
        access: Role::Member,
    };
    let delete = About {
        name: "rooms.delete",
        title: "Take a room away",
        description: "Takes a room away. Its devices, groups and scenes stay, and are in no room afterwards.",
        annotations: Annotations::DESTROYS,
        access: Role::Member,
    };
    vec![tool(home, list, all), tool(home, get, one), tool(home, set, put), tool(home, delete, take)]
}

async fn all(home: Arc<Keeper>, input: Page, who: Arc<Principal>) -> Result<Listed, Fault> {
    let names = Names::new(&home, &who);
    let mut rooms: Vec<RoomShown> = home.rooms(&who).iter().map(|room| names.room_shown(room)).collect();
    rooms.sort_by(|one, other| one.name.cmp(&other.name));
    let (rooms, next_cursor) = page::cut(rooms, &input, |room| &room.name);
    Ok(Listed { rooms, next_cursor })
}

async fn one(home: Arc<Keeper>, input: One, who: Arc<Principal>) -> Result<RoomShown, Fault> {
    let room = home.room(&who, &input.room)?;
    Ok(Names::new(&home, &who).room_shown(&room))
}

async fn put(home: Arc<Keeper>, input: Set, who: Arc<Principal>) -> Result<RoomShown, Fault> {
    let Set { room: which, name, aliases, if_revision } = input;
    let room = match home.room(&who, &which) {
        Ok(room) => home.put_room(&who, Some(&room.id), RoomEdit { name, aliases }, if_revision).await?,
        Err(error) if error.code == ErrorCode::NotFound => {
            let edit = RoomEdit { name: name.or(Some(which)), aliases };
            home.put_room(&who, None, edit, if_revision).await?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Names::new(&home, &who).room_shown(&room))
}

async fn take(home: Arc<Keeper>, input: Delete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    home.delete_room(&who, &input.room, input.if_revision).await?;
    Ok(Deleted { deleted: true })
}
