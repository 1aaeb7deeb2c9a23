//! What a client can ask to hear of: topics, the families of records in each, and who may hear of what. Pure; a record is
//! looked at in its public form.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::{self, Denied};
use crate::common::ids::is_conversation_id;
use crate::common::time::UnixMillis;
use crate::common::who::{HOUSE, Principal, Role};
use crate::home::{Device, Keeper};
use crate::store::Kind;

/// Topics of one session.
pub const TOPICS_MAX: usize = 64;

/// Something to hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Conversations,
    Conversation(Box<str>),
    /// All devices, and how the radios are.
    Devices,
    /// One device, by its id.
    Device(Box<str>),
    /// Rooms, groups and scenes.
    Rooms,
    /// The search for new devices, and their interviews.
    Pairing,
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
const TOPICS: [(&str, Topic, &str, Role); 10] = [
    ("conversations", Topic::Conversations, "conversations.list", Role::Guest),
    ("devices", Topic::Devices, "devices.list", Role::Guest),
    ("mcp", Topic::Mcp, "mcp_servers.list", Role::Owner),
    ("pairing", Topic::Pairing, "pairing.start", Role::Owner),
    ("profiles", Topic::Profiles, "profiles.list", Role::Guest),
    ("rooms", Topic::Rooms, "rooms.list", Role::Guest),
    ("settings", Topic::Settings, "settings.list", Role::Device),
    ("tools", Topic::Tools, "tools.list", Role::Guest),
    ("usage", Topic::Usage, "usage.get", Role::Member),
    ("users", Topic::Users, "users.list", Role::Owner),
];

/// Before the id of one conversation.
const CONVERSATION: &str = "conversation/";

/// Before the id of one device.
const DEVICE: &str = "device/";

/// The longest id of a device, bytes.
const DEVICE_ID_BYTES_MAX: usize = 256;

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
    Device,
    /// How a source of devices is.
    Radio,
    Room,
    Group,
    Scene,
    Pairing,
}

/// One thing as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub family: Family,
    pub key: Box<str>,
    pub revision: u64,
    pub deleted: bool,
    /// In its public form; absent where it is deleted, is not read in one piece, or only its values changed.
    pub record: Option<Value>,
    /// Of a device: what of it changed.
    pub changes: Option<Changes>,
    /// Who of those who may hear of the topic may hear of this.
    pub sight: Sight,
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

/// What changed of a device: the fields of its record that did, and no others.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Changes {
    /// Properties with new values, and events such as `action`, which are in no state.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(default)]
    pub state: Map<String, Value>,
    /// Whether it can be reached now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<bool>,
    /// All that it was told and has not confirmed yet, where that is another than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<UnixMillis>,
}

/// Who may hear of a thing. Rooms restrict, and only the house knows what is in which.
#[derive(Clone, Default)]
pub enum Sight {
    /// Whoever may hear of the topic, by the record itself.
    #[default]
    Record,
    /// Whoever may see this device.
    Device(Box<OfDevice>),
    /// Whoever may see this room, group or scene.
    Thing(Keeper),
}

/// A device as it is and as it was.
#[derive(Clone)]
pub struct OfDevice {
    pub home: Keeper,
    /// Absent: it is gone.
    pub now: Option<Arc<Device>>,
    /// As it was when it was last told; absent: it was not there.
    pub before: Option<Arc<Device>>,
}

/// What somebody may hear of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heed {
    /// The thing.
    All,
    /// That it is gone: it is where they see nothing.
    Gone,
    /// That there is something to be read again.
    Something,
    Nothing,
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sight::Record => "Record",
            Sight::Device(_) => "Device",
            Sight::Thing(_) => "Thing",
        })
    }
}

impl PartialEq for Sight {
    fn eq(&self, other: &Sight) -> bool {
        match (self, other) {
            (Sight::Device(one), Sight::Device(other)) => one.now == other.now && one.before == other.before,
            (Sight::Record, Sight::Record) | (Sight::Thing(_), Sight::Thing(_)) => true,
            _ => false,
        }
    }
}

impl Topic {
    /// The topic of this name, if there is one.
    pub fn parse(name: &str) -> Option<Topic> {
        if let Some(id) = name.strip_prefix(CONVERSATION) {
            return is_conversation_id(id).then(|| Topic::Conversation(id.into()));
        }
        if let Some(id) = name.strip_prefix(DEVICE) {
            let is_id = (1..=DEVICE_ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
            return is_id.then(|| Topic::Device(id.into()));
        }
        TOPICS.iter().find(|row| row.0 == name).map(|row| row.1.clone())
    }

    /// All names, for an error that has to list them.
    pub fn names() -> String {
        let names: Vec<_> = TOPICS.iter().map(|row| row.0).collect();
        format!("{}, {CONVERSATION}<id> and {DEVICE}<id>", names.join(", "))
    }

    /// Whether `who` may hear of it at all: as for the tool that reads the same.
    pub fn may_hear(&self, who: &Principal) -> Result<(), Denied> {
        let row = match self {
            Topic::Conversation(_) => &TOPICS[0],
            Topic::Device(_) => &TOPICS[1],
            topic => TOPICS.iter().find(|row| row.1 == *topic).expect("every other topic has a row"),
        };
        auth::may_call(who, row.2, row.3)
    }

    /// Whether a thing belongs to it.
    pub fn has(&self, family: Family, key: &str) -> bool {
        match self {
            Topic::Conversation(id) => family == Family::Conversation && **id == *key,
            Topic::Device(id) => family == Family::Device && **id == *key,
            topic => topic.families().contains(&family),
        }
    }

    /// What belongs to it.
    pub fn families(&self) -> &'static [Family] {
        match self {
            Topic::Conversations | Topic::Conversation(_) => &[Family::Conversation],
            Topic::Devices => &[Family::Device, Family::Radio],
            Topic::Device(_) => &[Family::Device],
            Topic::Rooms => &[Family::Room, Family::Group, Family::Scene],
            Topic::Pairing => &[Family::Pairing],
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
            Topic::Device(id) => write!(f, "{DEVICE}{id}"),
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
            Kind::Room => Family::Room,
            Kind::Group => Family::Group,
            Kind::Scene => Family::Scene,
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
            Family::Room => Kind::Room,
            Family::Group => Kind::Group,
            Family::Scene => Kind::Scene,
            Family::Tool | Family::Device | Family::Radio | Family::Pairing => return None,
        })
    }
}

impl Told {
    /// A thing that whoever may hear of its topic may hear of, by its record.
    pub fn new(family: Family, key: &str, revision: u64, deleted: bool, record: Option<Value>) -> Told {
        Told { family, key: key.into(), revision, deleted, record, changes: None, sight: Sight::Record }
    }

    /// What `who`, who may hear of the topic, may hear of this.
    pub fn heed(&self, who: &Principal) -> Heed {
        match &self.sight {
            Sight::Record if self.is_for(who) => Heed::All,
            Sight::Record => Heed::Nothing,
            Sight::Device(device) => {
                let OfDevice { home, now, before } = &**device;
                let sees = |device: &Option<Arc<Device>>| device.as_ref().is_some_and(|one| home.may_see(who, one));
                match (sees(now), sees(before)) {
                    (true, _) => Heed::All,
                    (false, true) => Heed::Gone,
                    (false, false) => Heed::Nothing,
                }
            }
            Sight::Thing(_) if who.rooms.is_none() => Heed::All,
            Sight::Thing(home) => {
                let is_seen = match self.family {
                    Family::Room => home.room(who, &self.key).is_ok_and(|room| *room.id == *self.key),
                    Family::Group => home.group(who, &self.key).is_ok_and(|group| *group.id == *self.key),
                    _ => home.scene(who, &self.key).is_ok_and(|scene| *scene.id == *self.key),
                };
                // It may have been theirs before: where it is gone, nobody knows.
                if is_seen { Heed::All } else { Heed::Something }
            }
        }
    }

    /// Whether it is told even where something newer of the same key waits: each step of an interview.
    pub fn stands_alone(&self) -> bool {
        self.family == Family::Pairing && self.record.as_ref().is_some_and(|record| record.get("id").is_some())
    }

    /// The same thing with what an older one says that is not told any more.
    pub fn over(&self, old: &Told) -> Option<Told> {
        let (Sight::Device(now), Sight::Device(then)) = (&self.sight, &old.sight) else { return None };
        let mut told = self.clone();
        let before = then.before.clone().or_else(|| now.before.clone().filter(|_| then.now.is_none()));
        told.sight = Sight::Device(Box::new(OfDevice { before, ..(**now).clone() }));
        if told.deleted || old.deleted {
            return Some(told);
        }
        match (&mut told.changes, &old.changes) {
            (Some(new), Some(old)) => {
                let mut state = old.state.clone();
                state.append(&mut new.state);
                new.state = state;
                new.available = new.available.or(old.available);
                new.desired = new.desired.take().or_else(|| old.desired.clone());
                new.last_seen_ms = new.last_seen_ms.or(old.last_seen_ms);
            }
            (new @ None, Some(old)) => *new = Some(old.clone()),
            (_, None) => {}
        }
        if told.record.is_none()
            && let (Some(record), Some(device)) = (&old.record, &now.now)
        {
            told.record = Some(renewed(record, device));
        }
        Some(told)
    }

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

/// A device's record with its values of now.
fn renewed(record: &Value, device: &Device) -> Value {
    let mut record = record.clone();
    record["state"] = device.state.clone().into();
    record["available"] = device.available.into();
    if let Some(fields) = record.as_object_mut() {
        match device.desired.is_empty() {
            true => drop(fields.remove("desired")),
            false => drop(fields.insert("desired".into(), device.desired.clone().into())),
        }
        fields.extend(device.last_seen_ms.map(|ms| ("last_seen_ms".to_owned(), ms.into())));
    }
    record
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
        for name in [
            "",
            "jobs",
            "device/",
            "device/a\nb",
            "Conversations",
            "conversation/",
            "conversation/a b",
            "conversation",
            "tools ",
        ] {
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
        let owners = [Topic::Users, Topic::Mcp, Topic::Pairing];
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
        let told = |family, key: &str, record| Told::new(family, key, 1, false, record);
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
