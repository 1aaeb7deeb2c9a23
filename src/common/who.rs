//! Who asks, and through which door. Made by `auth` from what a caller shows, carried with every request, looked at where
//! something is done. Decides nothing.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The user to whom everything belongs on a hub whose door is open (`gateway.auth: off`, or `auto` on loopback).
pub const HOUSE: &str = "house";

/// What a user is to the house. The order is that of power, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A visitor: asks, and does what a guest's tools allow.
    Guest,
    /// A panel on the wall or a speaker: the house, and nobody's private records.
    Device,
    /// Lives here: the house, and records of their own.
    Member,
    /// Everything, users and other people's records included.
    Owner,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Guest, Role::Device, Role::Member, Role::Owner];

    /// The word of the wire and of the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::Device => "device",
            Role::Member => "member",
            Role::Owner => "owner",
        }
    }
}

/// Through which face of the hub a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    Websocket,
    Rest,
    Mcp,
    /// The OpenAI-compatible `/v1`.
    Openai,
    /// A language model that called a tool, on behalf of the user whom it answers.
    Model,
    /// `hearth mcp --stdio`.
    Stdio,
    /// The hub itself.
    Hub,
}

/// Somebody who asks for something. Carried behind an `Arc`; a change of the user's record makes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user's name, or [`HOUSE`].
    pub user: Box<str>,
    pub role: Role,
    pub door: Door,
    /// The id of the token that was shown, if one was.
    pub token: Option<Box<str>>,
    /// Rooms that may be seen and acted in; `None`: all.
    pub rooms: Option<Arc<[Box<str>]>>,
    /// Patterns of tool names (`*` stands for any text) that are granted beyond the role.
    pub allow: Arc<[Box<str>]>,
    /// Patterns of tool names that are refused whatever else is granted.
    pub deny: Arc<[Box<str>]>,
}

impl Principal {
    /// Everybody who comes through an open door, and the hub itself.
    pub fn house(door: Door) -> Principal {
        Principal::new(HOUSE, Role::Owner, door)
    }

    /// A user with nothing granted or refused beyond the role.
    pub fn new(user: &str, role: Role, door: Door) -> Principal {
        Principal {
            user: user.into(),
            role,
            door,
            token: None,
            rooms: None,
            allow: Arc::default(),
            deny: Arc::default(),
        }
    }

    /// The same somebody through another door.
    pub fn through(&self, door: Door) -> Principal {
        Principal { door, ..self.clone() }
    }

    pub fn is_owner(&self) -> bool {
        self.role == Role::Owner
    }

    /// Whether the records of `user` are this one's to see: their own, or anybody's to an owner.
    pub fn may_see(&self, user: &str) -> bool {
        self.is_owner() || &*self.user == user
    }
}
