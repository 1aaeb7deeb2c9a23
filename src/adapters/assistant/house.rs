//! The house as `devices.list`, `rooms.list` and `groups.list` tell of it: what can be meant by a name, a room or a word such as
//! "lights". Knows nothing that was not in their answers.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::hear::{Heard, words};
use super::vocabulary::{ALIKE, ALL, EXCEPT, KINDS, POLITE, SMALL, VERBS};

/// The answer of `devices.list`, as far as the assistant reads it.
#[derive(Debug, Default, Deserialize)]
pub struct House {
    #[serde(default)]
    pub devices: Vec<Device>,
    /// There were more than one answer holds.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// What else rooms are called, and rooms in which nothing is.
    #[serde(default)]
    pub rooms: Vec<Room>,
}

#[derive(Debug, Deserialize)]
pub struct Room {
    pub name: String,
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Devices that go by one name.
#[derive(Debug, Deserialize)]
pub struct Group {
    pub name: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
pub struct Member {
    pub id: String,
}

#[derive(Debug, Deserialize)]
pub struct Device {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The room's name as people say it.
    #[serde(default)]
    pub room: Option<String>,
    /// `light`, `switch`, `cover`, `climate`, `lock`, `fan`, `sensor`, `remote`.
    #[serde(default)]
    pub domains: Vec<String>,
    /// `None`: nobody knows.
    #[serde(default)]
    pub available: Option<bool>,
    #[serde(default)]
    pub state: Map<String, Value>,
    /// What can be set.
    #[serde(default)]
    settable: Vec<String>,
    /// What it measures and has not told yet.
    #[serde(default)]
    untold: Vec<String>,
    /// Names of the groups that it is in.
    #[serde(skip)]
    groups: Vec<String>,
}

/// A place in the utterance where a name stands: from this word on, so many words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub at: usize,
    pub len: usize,
}

impl Device {
    pub fn is_a(&self, domain: &str) -> bool {
        self.domains.iter().any(|own| own == domain)
    }

    pub fn is_in(&self, room: &str) -> bool {
        self.room.as_deref() == Some(room)
    }

    pub fn takes(&self, property: &str) -> bool {
        self.settable.iter().any(|own| own == property)
    }

    /// It tells this, or will.
    pub fn tells(&self, property: &str) -> bool {
        self.state.contains_key(property) || self.untold.iter().any(|own| own == property)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().chain(&self.groups).map(String::as_str))
    }
}

impl House {
    /// A group's name means all its members. One that is called as a room is means the room.
    pub fn put_groups(&mut self, groups: Vec<Group>) {
        let rooms: Vec<Vec<String>> = self.room_names().into_iter().map(|(said, _)| words(said)).collect();
        for group in groups {
            let names = std::iter::once(&group.name).chain(&group.aliases);
            let names: Vec<&String> = names.filter(|name| !rooms.contains(&words(name))).collect();
            for device in self.devices.iter_mut().filter(|one| group.members.iter().any(|member| member.id == one.id)) {
                device.groups.extend(names.iter().map(|name| (*name).clone()));
            }
        }
    }

    /// What can be said for a room, and the room's name.
    fn room_names(&self) -> Vec<(&str, &str)> {
        let own = self.devices.iter().filter_map(|device| device.room.as_deref());
        let own = own.chain(self.rooms.iter().map(|room| room.name.as_str())).map(|name| (name, name));
        let is_name = |name: &str| !words(name).iter().all(|word| is_of_every_sentence(word));
        let others = self.rooms.iter().flat_map(|room| room.aliases.iter().map(|alias| (alias.as_str(), &*room.name)));
        let mut names: Vec<(&str, &str)> = own.chain(others.filter(|(alias, _)| is_name(alias))).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The devices whose names are said, in the order said. The longest name wins where several begin or end within each other:
    /// "kitchen lamp" is not "lamp". Devices of one name are all meant. A name that is nothing but words of every sentence ("off",
    /// "the") is never heard: whatever is said would mean it.
    pub fn named(&self, said: &[String]) -> Vec<(usize, Span)> {
        self.names_in(said, is_same)
    }

    /// The same where a "light" may be a "lamp". For where nothing has that name exactly.
    pub fn named_alike(&self, said: &[String]) -> Vec<(usize, Span)> {
        let mut found = self.names_in(said, is_alike);
        // The kind alone is no name.
        found.retain(|(_, span)| span.len > 1);
        found
    }

    /// Locks whose names hold the name of one of these: "front door lock" of "front door".
    pub fn locks_of(&self, devices: &[usize]) -> Vec<usize> {
        let is_of = |lock: &Device, name: &str| {
            let (own, name) = (words(&lock.name), words(name));
            !name.is_empty() && places(&own, &name, is_same).next().is_some()
        };
        let is_meant =
            |lock: &Device| lock.is_a("lock") && devices.iter().any(|at| is_of(lock, &self.devices[*at].name));
        (0..self.devices.len()).filter(|at| is_meant(&self.devices[*at])).collect()
    }

    fn names_in(&self, said: &[String], is_same: fn(&str, &str) -> bool) -> Vec<(usize, Span)> {
        let mut found: Vec<(usize, Span)> = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            for name in device.names().map(words).filter(|name| !name.iter().all(|word| is_of_every_sentence(word))) {
                found.extend(places(said, &name, is_same).map(|span| (index, span)));
            }
        }
        longest(found)
    }

    /// The rooms whose names are said, or other words for them, each once. "The kitchen lamp" is not the kitchen.
    pub fn rooms(&self, said: &[String]) -> Vec<(&str, Span)> {
        let found = self.room_names().into_iter().flat_map(|(name, room)| {
            let places = places(said, &words(name), is_same).collect::<Vec<_>>();
            places.into_iter().map(move |span| (room, span))
        });
        let mut found = longest(found.collect());
        let named = self.named(said);
        let is_part = |room: &Span, name: &Span| {
            room.len < name.len && name.at <= room.at && room.at + room.len <= name.at + name.len
        };
        found.retain(|(_, room)| !named.iter().any(|(_, name)| is_part(room, name)));
        found
    }
}

/// The kinds of devices that are said, and whether by a plural.
pub fn kinds(heard: &Heard) -> Vec<(&'static str, bool)> {
    // A verb is no thing: "switch on the lamp", "lock the door".
    let things = heard.after(POLITE);
    let things = if things.begins(VERBS) { Heard::new(&things.words()[1..].join(" ")) } else { things };
    let kind = |(words, domain): &(&[&str], &'static str)| {
        let said = things.words().iter().find(|word| words.contains(&word.as_str()))?;
        Some((*domain, said.ends_with('s') || *domain == "climate"))
    };
    KINDS.iter().filter_map(kind).collect()
}

/// Names in one sentence.
pub const NAMES_MAX: usize = 8;

pub fn and_more(count: usize) -> String {
    if count > NAMES_MAX { format!(", and {} more", count - NAMES_MAX) } else { String::new() }
}

/// "A", "A and B", "A, B and C".
pub fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Where a name stands, its words side by side.
fn places<'a>(
    said: &'a [String],
    name: &'a [String],
    is_same: fn(&str, &str) -> bool,
) -> impl Iterator<Item = Span> + use<'a> {
    let len = name.len();
    let last = (len > 0 && len <= said.len()).then(|| said.len() - len);
    let fits = move |at: &usize| said[*at..*at + len].iter().zip(name).all(|(said, name)| is_same(said, name));
    last.into_iter().flat_map(|last| 0..=last).filter(fits).map(move |at| Span { at, len })
}

fn is_of_every_sentence(word: &str) -> bool {
    [SMALL, POLITE, VERBS, ALL, EXCEPT].iter().any(|words| words.contains(&word)) || word.parse::<f64>().is_ok()
}

/// The same word, or its plural: "spots" of "spot". The plural of a kind means the kind: "kitchen lamps" are more than one lamp.
fn is_same(said: &str, name: &str) -> bool {
    said == name || (said.strip_suffix('s') == Some(name) && !is_kind_word(name))
}

pub fn is_kind_word(word: &str) -> bool {
    KINDS.iter().any(|(words, _)| words.contains(&word))
}

/// The same thing, whatever it is called.
fn is_alike(said: &str, name: &str) -> bool {
    is_same(said, name) || (ALIKE.contains(&said) && ALIKE.contains(&name))
}

/// Leaves out what overlaps with something longer, and what stands twice; by place.
fn longest<T: PartialEq>(mut found: Vec<(T, Span)>) -> Vec<(T, Span)> {
    found.sort_by(|(_, a), (_, b)| b.len.cmp(&a.len).then(a.at.cmp(&b.at)));
    let mut kept: Vec<(T, Span)> = Vec::new();
    for (thing, span) in found {
        let overlaps = |other: &Span| span.at < other.at + other.len && other.at < span.at + span.len;
        let is_beaten = kept.iter().any(|(other, at)| *other == thing || (*at != span && overlaps(at)));
        if !is_beaten {
            kept.push((thing, span));
        }
    }
    kept.sort_by_key(|(_, span)| span.at);
    kept
}

#[cfg(test)]
pub mod testing {
    //! A small house for tests.

    use serde_json::json;

    use super::House;

    /// With groups, and another word for a room.
    pub fn house() -> House {
        let mut house = devices();
        house.rooms = serde_json::from_value(json!([
            {"name": "Living room", "aliases": ["lounge", "the"]}, {"name": "Kitchen"}, {"name": "Loft", "aliases": ["attic"]},
        ]))
        .expect("rooms");
        let groups = json!([
            {"name": "Reading lights", "members": [{"id": "0x8"}, {"id": "0x3"}, {"id": "gone"}]},
            {"name": "Kitchen", "aliases": ["cooking lights"], "members": [{"id": "0x1"}, {"id": "0x2"}]},
            {"name": "Ghosts", "members": []},
        ]);
        house.put_groups(serde_json::from_value(groups).expect("groups"));
        house
    }

    fn devices() -> House {
        let device = |id: &str, name: &str, room: &str, domain: &str, state: serde_json::Value| json!({"id": id, "name": name, "room": room, "domains": [domain], "available": true, "state": state});
        serde_json::from_value(json!({"devices": [
            device("0x1", "Kitchen lamp", "Kitchen", "light", json!({"state": "OFF", "brightness": 127})),
            device("0x2", "Worktop", "Kitchen", "light", json!({"state": "ON", "brightness": 254})),
            device("0x3", "Lamp", "Living room", "light", json!({"state": "ON"})),
            {"id": "0x4", "name": "Kettle plug", "aliases": ["kettle", "the boiler"], "room": "Kitchen", "domains": ["switch"],
                "available": false, "state": {"state": "OFF", "power": 0}},
            device("0x5", "Climate", "Bedroom", "sensor", json!({"temperature": 21.45, "humidity": 40.2, "battery": 90})),
            device("0x6", "Front door", "Hall", "sensor", json!({"contact": false})),
            device("0x7", "Blinds", "Bedroom", "cover", json!({"state": "OPEN", "position": 100})),
            device("0x8", "Leseecke Lampe", "Küche", "light", json!({"state": "OFF"})),
            device("0x9", "Radiator", "Bedroom", "climate", json!({"local_temperature": 20.5, "occupied_heating_setpoint": 19})),
        ]}))
        .expect("a house")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::house;
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let house = house();
        house.named(&words(text)).into_iter().map(|(index, _)| house.devices[index].name.clone()).collect()
    }

    #[test]
    fn the_longest_name_is_meant() {
        assert_eq!(named("turn on the kitchen lamp"), ["Kitchen lamp"]);
        assert_eq!(named("turn on the lamp"), ["Lamp"]);
        assert_eq!(named("the KETTLE and the kitchen lamp"), ["Kettle plug", "Kitchen lamp"]);
        assert_eq!(named("the lamp and the kitchen lamp"), ["Lamp", "Kitchen lamp"]);
        assert_eq!(named("leseecke-lampe an"), ["Leseecke Lampe"]);
        assert_eq!(named("the reading lights"), ["Lamp", "Leseecke Lampe"]);
        assert!(named("turn off the kitchen").is_empty(), "the room is meant, and not the group");
        assert!(named("clamp lampshade").is_empty());
        assert!(named("").is_empty());
    }

    #[test]
    fn rooms_are_heard() {
        let house = house();
        let said = words("all lights in the living room and the Küche");
        let rooms: Vec<_> = house.rooms(&said).into_iter().map(|(room, _)| room).collect();
        assert_eq!(rooms, ["Living room", "Küche"]);
        let said = words("the lounge and the attic");
        let rooms: Vec<_> = house.rooms(&said).into_iter().map(|(room, _)| room).collect();
        assert_eq!(rooms, ["Living room", "Loft"]);
    }
}
