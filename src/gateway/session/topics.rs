//! What a client can ask to hear of: topics, the families of records in each, and who may hear of what. Pure; a record is
//! looked at in its public form.

use std::fmt;

use serde_json::Value;

use crate::auth::{self, Denied};
use crate::common::ids::is_conversation_id;
use crate::common::who::{HOUSE, Principal, Role};
use crate::store::Kind;

/// Topics of one session.
pub const TOPICS_MAX: usize = 64;

/// Something to hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Conversations,
    Conversation(Box<str>),
    /// Servers behind the hub, and what lies over their tools.
    Mcp,
    /// Model profiles and user profiles.
    Profiles,
    Settings,
    Tools,
    Usage,
    /// Users and their tokens.
    Users,
}

/// Topics by their word, with the tool that reads the same, and the least role that may use it.
const TOPICS: [(&str, Topic, &str, Role); 7] = [
    ("conversations", Topic::Conversations, "conversations.list", Role::Guest),
    ("mcp", Topic::Mcp, "mcp_servers.list", Role::Owner),
    ("profiles", Topic::Profiles, "profiles.list", Role::Guest),
    ("settings", Topic::Settings, "settings.list", Role::Device),
    ("tools", Topic::Tools, "tools.list", Role::Guest),
    ("usage", Topic::Usage, "usage.get", Role::Member),
    ("users", Topic::Users, "users.list", Role::Owner),
];

/// Before the id of one conversation.
const CONVERSATION: &str = "conversation/";

/// What a thing is, as an event says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Conversation,
    ModelProfile,
    UserProfile,
    Setting,
    User,
    Token,
    McpServer,
    ToolOverlay,
    /// The tools of a server as they are known.
    Catalog,
    Usage,
    Tool,
}

/// One thing as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub family: Family,
    pub key: Box<str>,
    pub revision: u64,
    pub deleted: bool,
    /// In its public form; absent where it is deleted, or is not read in one piece.
    pub record: Option<Value>,
}

/// What a session hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A thing that was there when the topic was subscribed to.
    There {
        topic: Topic,
        told: std::sync::Arc<Told>,
    },
    /// That was all of them; or not, where they are too many.
    AllThere {
        topic: Topic,
        is_whole: bool,
    },
    Changed(std::sync::Arc<Told>),
    /// Something of it was missed, or cannot be told one by one.
    Missed(Topic),
}

impl Topic {
    /// The topic of this name, if there is one.
    pub fn parse(name: &str) -> Option<Topic> {
        if let Some(id) = name.strip_prefix(CONVERSATION) {
            return is_conversation_id(id).then(|| Topic::Conversation(id.into()));
        }
        TOPICS.iter().find(|row| row.0 == name).map(|row| row.1.clone())
    }

    /// All names, for an error that has to list them.
    pub fn names() -> String {
        let names: Vec<_> = TOPICS.iter().map(|row| row.0).collect();
        format!("{} and {CONVERSATION}<id>", names.join(", "))
    }

    /// Whether `who` may hear of it at all: as for the tool that reads the same.
    pub fn may_hear(&self, who: &Principal) -> Result<(), Denied> {
        let row = match self {
            Topic::Conversation(_) => &TOPICS[0],
            topic => TOPICS.iter().find(|row| row.1 == *topic).expect("every other topic has a row"),
        };
        auth::may_call(who, row.2, row.3)
    }

    /// Whether a thing belongs to it.
    pub fn has(&self, family: Family, key: &str) -> bool {
        match self {
            Topic::Conversation(id) => family == Family::Conversation && **id == *key,
            topic => topic.families().contains(&family),
        }
    }

    /// What belongs to it.
    pub fn families(&self) -> &'static [Family] {
        match self {
            Topic::Conversations | Topic::Conversation(_) => &[Family::Conversation],
            Topic::Mcp => &[Family::McpServer, Family::ToolOverlay, Family::Catalog],
            Topic::Profiles => &[Family::ModelProfile, Family::UserProfile],
            Topic::Settings => &[Family::Setting],
            Topic::Tools => &[Family::Tool],
            Topic::Usage => &[Family::Usage],
            Topic::Users => &[Family::User, Family::Token],
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Conversation(id) => write!(f, "{CONVERSATION}{id}"),
            topic => f.write_str(TOPICS.iter().find(|row| row.1 == *topic).map_or("", |row| row.0)),
        }
    }
}

impl Family {
    /// The family of a change in the store; `None`: no topic has it.
    pub fn of(kind: Kind) -> Option<Family> {
        Some(match kind {
            Kind::Conversation => Family::Conversation,
            Kind::Profile => Family::ModelProfile,
            Kind::UserProfile => Family::UserProfile,
            Kind::Setting => Family::Setting,
            Kind::User => Family::User,
            Kind::Token => Family::Token,
            Kind::Server => Family::McpServer,
            Kind::Overlay => Family::ToolOverlay,
            Kind::Catalog => Family::Catalog,
            Kind::Usage => Family::Usage,
            _ => return None,
        })
    }

    /// The same in the store's words; `None`: it does not lie there.
    pub fn kind(self) -> Option<Kind> {
        Some(match self {
            Family::Conversation => Kind::Conversation,
            Family::ModelProfile => Kind::Profile,
            Family::UserProfile => Kind::UserProfile,
            Family::Setting => Kind::Setting,
            Family::User => Kind::User,
            Family::Token => Kind::Token,
            Family::McpServer => Kind::Server,
            Family::ToolOverlay => Kind::Overlay,
            Family::Catalog => Kind::Catalog,
            Family::Usage => Kind::Usage,
            Family::Tool => return None,
        })
    }
}

impl Told {
    /// Whether `who`, who may hear of the topic, may hear of this. A conversation that is gone was nobody knows whose: only
    /// an owner may hear of it by name.
    pub fn is_for(&self, who: &Principal) -> bool {
        match self.family {
            Family::Conversation => match &self.record {
                // One without a user is the house's.
                Some(record) => who.may_see(record.get("user").and_then(Value::as_str).unwrap_or(HOUSE)),
                None => who.is_owner(),
            },
            Family::UserProfile => who.may_see(&self.key),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::common::who::Door;

    #[test]
    fn a_topic_is_read_as_it_is_written() {
        for row in &TOPICS {
            assert_eq!((Topic::parse(row.0), row.1.to_string()), (Some(row.1.clone()), row.0.to_owned()));
        }
        let one = Topic::parse("conversation/c-1").expect("a topic");
        assert_eq!((one.to_string().as_str(), &one), ("conversation/c-1", &Topic::Conversation("c-1".into())));
        for name in ["", "devices", "Conversations", "conversation/", "conversation/a b", "conversation", "tools "] {
            assert_eq!(Topic::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_family_has_one_topic_and_each_kind_goes_both_ways() {
        let all: Vec<_> = TOPICS.iter().flat_map(|row| row.1.families()).collect();
        for family in &all {
            assert_eq!(all.iter().filter(|other| *other == family).count(), 1, "{family:?}");
            assert!(family.kind().is_none_or(|kind| Family::of(kind) == Some(**family)), "{family:?}");
        }
        assert_eq!(Family::of(Kind::Blob), None);
    }

    #[test]
    fn who_may_hear_of_what() {
        let who = |role| Principal::new("ann", role, Door::Websocket);
        let owners = [Topic::Users, Topic::Mcp];
        for role in Role::ALL {
            for topic in &owners {
                assert_eq!(topic.may_hear(&who(role)).is_ok(), role == Role::Owner, "{topic} {role:?}");
            }
            assert!(Topic::Conversation("c".into()).may_hear(&who(role)).is_ok());
        }
        let refused = Principal { deny: ["tools.*".into()].into(), ..who(Role::Owner) };
        assert!(Topic::Tools.may_hear(&refused).is_err(), "as for the tool that lists them");
    }

    #[test]
    fn what_is_somebody_elses_is_not_told() {
        let ann = Principal::new("ann", Role::Member, Door::Websocket);
        let owner = Principal::new("eve", Role::Owner, Door::Websocket);
        let told = |family, key: &str, record| Told { family, key: key.into(), revision: 1, deleted: false, record };
        for (told, is_hers) in [
            (told(Family::Conversation, "c", Some(json!({"user": "ann"}))), true),
            (told(Family::Conversation, "c", Some(json!({"user": "bob"}))), false),
            (told(Family::Conversation, "c", Some(json!({}))), false),
            (told(Family::Conversation, "c", None), false),
            (told(Family::UserProfile, "ann", Some(json!({}))), true),
            (told(Family::UserProfile, "bob", None), false),
            (told(Family::ModelProfile, "default", None), true),
        ] {
            assert_eq!((told.is_for(&ann), told.is_for(&owner)), (is_hers, true), "{told:?}");
        }
    }
}
