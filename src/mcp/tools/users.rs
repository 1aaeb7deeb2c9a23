//! `users.*`: who may come in. An owner sees and changes everybody; everybody else sees themselves, and may change their own
//! name and password. No password and no hash of one ever comes out.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::typed::{About, Deleted, not_read};
use super::{Tool, tool};
use crate::auth::{Change, Gate, NewUser, Refused};
use crate::common::error::ErrorCode;
use crate::common::secret::Secret;
use crate::common::time::UnixMillis;
use crate::common::who::{Door as Way, Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::{Store, User};

/// Entries of one page of a list.
pub(super) const PAGE_LEN_MAX: usize = 200;

/// All tools of this family.
pub fn tools(gate: &Gate, store: &Store) -> Vec<Arc<dyn Tool>> {
    let door = &Arc::new(Door { gate: gate.clone(), store: store.clone() });
    let list = About {
        name: "users.list",
        title: "List users",
        description: "Everybody who may use this hub, by name. Whoever is no owner sees themselves.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let get = About {
        name: "users.get",
        title: "Show a user",
        description: "One user: role, rooms, and what is granted or refused. Whoever is no owner sees themselves alone.",
        ..list
    };
    let create = About {
        name: "users.create",
        title: "Add a user",
        description: "Lets somebody in: an owner, a member of the household, a device on the wall, or a guest.",
        annotations: Annotations::ADDS,
        access: Role::Owner,
    };
    let set = About {
        name: "users.set",
        title: "Change a user",
        description: "Changes what is named and leaves the rest. Whoever is no owner may change their own display_name and password. The \
                      last owner stays one.",
        annotations: Annotations::SETS,
        access: Role::Member,
    };
    let delete = About {
        name: "users.delete",
        title: "Remove a user",
        description: "Removes a user with all their tokens: whoever is connected with one is out at once. The last owner stays.",
        annotations: Annotations::DESTROYS,
        access: Role::Owner,
    };
    vec![
        tool(door, list, all),
        tool(door, get, one),
        tool(door, create, add),
        tool(door, set, change),
        tool(door, delete, remove),
    ]
}

/// What the tools of users and tokens work with.
pub(super) struct Door {
    pub gate: Gate,
    pub store: Store,
}

/// A user as the house sees them.
#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    /// 1 to 64 of `[a-z0-9_-]`.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    role: Role,
    /// Kept, but not let in.
    disabled: bool,
    /// Whether a password opens this account.
    has_password: bool,
    /// Patterns of tools granted beyond the role.
    allow: Vec<String>,
    /// Patterns of tools refused whatever else is granted.
    deny: Vec<String>,
    /// Rooms that may be seen and acted in; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<String>>,
    /// Milliseconds since 1970.
    created_at_ms: UnixMillis,
    revision: u64,
}

impl From<User> for Shown {
    fn from(user: User) -> Shown {
        Shown {
            has_password: user.password_hash.is_some(),
            name: user.name,
            display_name: user.display_name,
            role: user.role,
            disabled: user.disabled,
            allow: user.allow,
            deny: user.deny,
            rooms: user.rooms,
            created_at_ms: user.created_at_ms,
            revision: user.revision,
        }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Page {
    /// At most so many; absent: 200.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Page {
    /// The records of this page out of all, sorted by key, and where the next one begins.
    pub fn of<T>(self, all: Vec<T>, key: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        let limit = self.limit.unwrap_or(PAGE_LEN_MAX).clamp(1, PAGE_LEN_MAX);
        let after = self.cursor.unwrap_or_default();
        let mut page: Vec<T> = all.into_iter().filter(|one| after.is_empty() || key(one) > &*after).collect();
        let has_more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| has_more).map(|last| key(last).to_owned());
        (page, next)
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    users: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ToCreate {
    /// 1 to 64 of `[a-z0-9_-]`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_-]+$"))]
    name: String,
    /// Absent: member.
    #[serde(default)]
    role: Option<Role>,
    /// What people read.
    #[serde(default)]
    display_name: Option<String>,
    /// 8 to 256 bytes; absent: only tokens open this account.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    password: Option<String>,
    /// Patterns of tools granted beyond the role, such as `lights__*`; never what is an owner's.
    #[serde(default)]
    allow: Vec<String>,
    /// Patterns of tools refused whatever else is granted.
    #[serde(default)]
    deny: Vec<String>,
    /// Rooms that may be seen and acted in; absent: all.
    #[serde(default)]
    rooms: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ToSet {
    name: String,
    #[serde(default)]
    role: Option<Role>,
    /// Null: none.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "Option<String>")]
    display_name: Option<Option<String>>,
    /// 8 to 256 bytes; null: no password opens this account.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    password: Option<Option<String>>,
    /// True: kept, but not let in.
    #[serde(default)]
    disabled: Option<bool>,
    #[serde(default)]
    allow: Option<Vec<String>>,
    #[serde(default)]
    deny: Option<Vec<String>>,
    /// Null: all.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "Option<Vec<String>>")]
    rooms: Option<Option<Vec<String>>>,
    /// Only if the record has this revision.
    #[serde(default)]
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ToDelete {
    name: String,
    /// Only if the record has this revision.
    #[serde(default)]
    if_revision: Option<u64>,
}

/// A field that is there, be it null.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

async fn all(door: Arc<Door>, page: Page, who: Arc<Principal>) -> Result<Listed, Fault> {
    let mut users = door.store.list::<User>().await.map_err(not_read)?;
    users.retain(|user| who.may_see(&user.name));
    let (users, next_cursor) = page.of(users, |user| &user.name);
    Ok(Listed { users: users.into_iter().map(Shown::from).collect(), next_cursor })
}

async fn one(door: Arc<Door>, Named { name }: Named, who: Arc<Principal>) -> Result<Shown, Fault> {
    let found = door.store.get::<User>(&name).await.map_err(not_read)?;
    found.filter(|user| who.may_see(&user.name)).map(Shown::from).ok_or_else(|| nobody(&name))
}

async fn add(door: Arc<Door>, new: ToCreate, who: Arc<Principal>) -> Result<Shown, Fault> {
    in_person(&who)?;
    let ToCreate { name, role, display_name, password, allow, deny, rooms } = new;
    let password = password.map(Secret::new);
    let base = NewUser::new(name, role.unwrap_or(Role::Member));
    let new = NewUser { display_name, password, allow, deny, rooms, ..base };
    let user = door.gate.create_user(new).await.map_err(fault)?;
    tracing::info!(user = user.name, role = user.role.as_str(), by = &*who.user, "a user was added");
    Ok(user.into())
}

async fn change(door: Arc<Door>, change: ToSet, who: Arc<Principal>) -> Result<Shown, Fault> {
    in_person(&who)?;
    let ToSet { name, role, display_name, password, disabled, allow, deny, rooms, if_revision } = change;
    let is_own = role.is_none() && disabled.is_none() && allow.is_none() && deny.is_none() && rooms.is_none();
    may_change(&who, &name, is_own)?;
    let password = password.map(|password| password.map(Secret::new));
    let change = Change { display_name, role, password, disabled, allow, deny, rooms };
    let changed = door.gate.change_user(&name, change, if_revision).await.map_err(fault)?;
    let user = changed.ok_or_else(|| nobody(&name))?;
    tracing::info!(user = user.name, by = &*who.user, "a user was changed");
    Ok(user.into())
}

async fn remove(door: Arc<Door>, user: ToDelete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    in_person(&who)?;
    let ToDelete { name, if_revision } = user;
    if !door.gate.remove_user(&name, if_revision).await.map_err(fault)? {
        return Err(nobody(&name));
    }
    tracing::info!(user = name, by = &*who.user, "a user was removed");
    Ok(Deleted { deleted: true })
}

/// Who may come in is not for a model to say: it may have been talked into it by what it has read, and a secret that it is
/// told goes to its provider.
pub(super) fn in_person(who: &Principal) -> Result<(), Fault> {
    match who.door {
        Way::Model => {
            let text = "this is not done by a model: tell the person to do it, with `hearth` on the command line or on the page";
            Err(Fault::new(ErrorCode::Forbidden, text))
        }
        _ => Ok(()),
    }
}

/// Whoever is no owner changes what is their own.
fn may_change(who: &Principal, name: &str, is_own: bool) -> Result<(), Fault> {
    match (who.is_owner(), &*who.user == name, is_own) {
        (true, ..) | (_, true, true) => Ok(()),
        (_, true, false) => {
            let text = "of yourself you may change display_name and password; the rest is an owner's";
            Err(Fault::new(ErrorCode::Forbidden, text))
        }
        (_, false, _) => Err(nobody(name)),
    }
}

fn nobody(name: &str) -> Fault {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    Fault::new(ErrorCode::NotFound, format!("there is no user called \"{shown}\" (that you may see)"))
}

pub(super) fn fault(why: Refused) -> Fault {
    why.to_body().into()
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
