//! Who lives here: users, the tokens that they show, and what they like. A token's secret is not here, only its hash. Knows
//! no rule about who may do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WriteError;
use super::feed::Kind;
use super::profiles::{PROFILE_NAME_BYTES_MAX, SYSTEM_PROMPT_BYTES_MAX, VOICE_BYTES_MAX};
use super::records::{NAME_BYTES_MAX, Record, Table, check_text, is_name, keyed_by};
use super::tables::{TOKENS, USER_PROFILES, USERS};
use crate::common::time::UnixMillis;
use crate::common::who::Role;

/// Users of one house, its panels and guests included.
pub const USERS_MAX: u64 = 256;

/// Tokens of all users together.
pub const TOKENS_MAX: u64 = 1024;

/// Patterns or rooms in one list of a user.
pub const GRANTS_MAX: usize = 128;

/// The longest text that a person reads: a display name, the name of a token, bytes.
pub const LABEL_BYTES_MAX: usize = 128;

/// The longest pattern or room, bytes.
const GRANT_BYTES_MAX: usize = 128;

/// Somebody who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// 1 to 64 of `[a-z0-9_-]`.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub role: Role,
    /// PHC string of an argon2id hash; absent: no password opens this account. Never leaves the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Kept, but not let in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Patterns of tools granted beyond the role, such as `lights__*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Patterns of tools refused whatever else is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Rooms that may be seen and acted in; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<String>>,
    pub created_at_ms: UnixMillis,
    #[serde(default)]
    pub revision: u64,
}

/// What a program shows instead of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Public: `t-` and 32 hexadecimal digits.
    pub id: String,
    /// [`User::name`].
    pub user: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// SHA-256 of the secret, hexadecimal. Never leaves the hub.
    pub hash: String,
    pub created_at_ms: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<UnixMillis>,
    /// To the minute: a write a call would wear the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<UnixMillis>,
    #[serde(default)]
    pub revision: u64,
}

/// What a user likes. What is absent here is as the house has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserProfile {
    /// The user's name.
    pub user: String,
    /// BCP 47, such as `fr-CH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA, such as `Europe/Zurich`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The model profile of questions that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_profile: Option<String>,
    /// Told to the model after the model profile's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// As in a model profile; this one comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// Where the user mostly is, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

impl Record for User {
    const KIND: Kind = Kind::User;
    const TABLE: Table = USERS;
    const WHAT: &'static str = "user";
    const MAX: u64 = USERS_MAX;

    keyed_by!(name);

    fn check(&self) -> Result<(), WriteError> {
        if !is_name(&self.name) {
            return Err(WriteError::Invalid(format!("name: 1 to {NAME_BYTES_MAX} of a-z, 0-9, _ and -")));
        }
        check_text("display_name", self.display_name.as_deref(), LABEL_BYTES_MAX)?;
        check_list("allow", &self.allow)?;
        check_list("deny", &self.deny)?;
        check_list("rooms", self.rooms.as_deref().unwrap_or_default())
    }
}

impl Record for Token {
    const KIND: Kind = Kind::Token;
    const TABLE: Table = TOKENS;
    const WHAT: &'static str = "token";
    const MAX: u64 = TOKENS_MAX;

    keyed_by!(id);

    fn check(&self) -> Result<(), WriteError> {
        check_text("name", Some(&self.name), LABEL_BYTES_MAX)
    }
}

impl Record for UserProfile {
    const KIND: Kind = Kind::UserProfile;
    const TABLE: Table = USER_PROFILES;
    const WHAT: &'static str = "user profile";
    const MAX: u64 = USERS_MAX;

    keyed_by!(user);

    fn check(&self) -> Result<(), WriteError> {
        if !is_name(&self.user) {
            return Err(WriteError::Invalid(format!("user: 1 to {NAME_BYTES_MAX} of a-z, 0-9, _ and -")));
        }
        check_text("locale", self.locale.as_deref(), LABEL_BYTES_MAX)?;
        check_text("timezone", self.timezone.as_deref(), LABEL_BYTES_MAX)?;
        check_text("model_profile", self.model_profile.as_deref(), PROFILE_NAME_BYTES_MAX)?;
        check_text("system_prompt", self.system_prompt.as_deref(), SYSTEM_PROMPT_BYTES_MAX)?;
        check_text("voice", self.voice.as_deref(), VOICE_BYTES_MAX)?;
        check_list("rooms", &self.rooms)
    }
}

fn check_list(field: &'static str, list: &[String]) -> Result<(), WriteError> {
    if list.len() > GRANTS_MAX {
        return Err(WriteError::TooLarge { what: field, size: list.len(), max: GRANTS_MAX });
    }
    list.iter().try_for_each(|one| check_text(field, Some(one), GRANT_BYTES_MAX))
}
