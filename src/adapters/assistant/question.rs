//! What is asked of the house: of whom, and what. Whether it is a question at all is decided here, too.

use super::hear::Heard;
use super::house::{Device, House, joined, kinds};
use super::vocabulary::{ALL, POLITE, VERBS};

#[derive(Debug, PartialEq)]
pub enum Question {
    /// How these devices are.
    State(Vec<usize>),
    /// Of these devices a measurement, by the names under which it may stand.
    Measured {
        devices: Vec<usize>,
        measure: &'static Measure,
    },
    /// Which of these are on, off, open, closed; or whether all are.
    Which {
        devices: Vec<usize>,
        state: &'static str,
        is_all: bool,
    },
    /// Which there are.
    Devices(Vec<usize>),
    Rooms,
    /// What is asked nobody tells: what to say.
    Unknown(String),
}

/// Something that devices measure.
#[derive(Debug, PartialEq)]
pub struct Measure {
    pub word: &'static str,
    heard: &'static [&'static str],
    pub properties: &'static [&'static str],
    pub unit: &'static str,
}

pub const MEASURES: &[Measure] = &[
    Measure {
        word: "temperature",
        heard: &["temperature", "warm", "cold", "hot", "temperatures"],
        properties: &["temperature", "local_temperature"],
        unit: " °C",
    },
    Measure { word: "humidity", heard: &["humidity", "humid"], properties: &["humidity"], unit: " %" },
    Measure { word: "battery", heard: &["battery", "batteries"], properties: &["battery"], unit: " %" },
    Measure { word: "power", heard: &["power", "watts", "consumption"], properties: &["power"], unit: " W" },
    Measure { word: "energy", heard: &["energy", "kwh"], properties: &["energy"], unit: " kWh" },
    Measure { word: "carbon dioxide", heard: &["co2"], properties: &["co2"], unit: " ppm" },
    Measure { word: "air pressure", heard: &["pressure"], properties: &["pressure"], unit: " hPa" },
    Measure {
        word: "brightness",
        heard: &["illuminance", "lux", "bright", "dark"],
        properties: &["illuminance"],
        unit: " lx",
    },
];

/// What sensors notice, by the words for it.
const NOTICED: &[(&[&str], &str)] = &[
    (&["anyone", "anybody", "someone", "somebody", "motion", "movement"], "occupancy"),
    (&["leak", "leaks", "leaking", "wet"], "water_leak"),
    (&["smoke", "fire"], "smoke"),
];

/// States, each with its opposite.
pub const STATES: [(&str, &str); 6] = [
    ("on", "off"),
    ("off", "on"),
    ("open", "closed"),
    ("closed", "open"),
    ("locked", "unlocked"),
    ("unlocked", "locked"),
];

const OPENED: &[&str] = &["door", "doors", "window", "windows"];

const ASKING: &[&str] = &[
    "is", "are", "what", "whats", "how", "hows", "which", "tell", "show", "list", "do", "does", "did", "any", "status",
    "state",
];

const HOW: &[&str] = &["how is", "how are", "the status", "the state", "doing", "running"];

const SET_TO: &[&str] = &["set to"];

/// Whether it sounds like a question about the house, before anything is known of it.
pub fn may_be_asked(heard: &Heard, is_thing: bool) -> bool {
    let plain = heard.after(POLITE);
    if !plain.begins(ASKING) && !heard.has(ASKING) {
        return false;
    }
    let is_asked = plain.begins(&["is", "are", "any", "did", "does", "do"]);
    let is_state = STATES.iter().any(|(state, _)| heard.has(&[state]));
    let is_measured = MEASURES.iter().any(|measure| heard.has(measure.heard))
        && (heard.has(&["what", "whats", "how", "hows", "which"]) || heard.says(&["is it"]));
    let is_noticed = is_asked && NOTICED.iter().any(|(words, _)| heard.has(words));
    let is_listed = heard.has(&["devices", "rooms"]) && heard.has(&["what", "which", "list", "show"]);
    let is_how = is_thing && (plain.begins(&["status", "state"]) || plain.says(HOW) || plain.says(SET_TO));
    is_measured
        || is_noticed
        || is_listed
        || is_how
        || (is_state && (is_thing || is_asked || heard.says(&["what is on", "whats on"])))
}

/// A question, if it is one.
pub fn question(heard: &Heard, house: &House) -> Option<Question> {
    let plain = heard.after(POLITE);
    if plain.begins(VERBS) || !plain.begins(ASKING) {
        return None;
    }
    let rooms = house.rooms(heard.words());
    let mut named = house.named(heard.words());
    if named.is_empty() && rooms.is_empty() {
        named = house.named_alike(heard.words());
    }
    let named: Vec<usize> = named.into_iter().map(|(at, _)| at).collect();
    let all = |fits: &dyn Fn(&Device) -> bool| -> Vec<usize> {
        let is_there = |device: &Device| rooms.is_empty() || rooms.iter().any(|(room, _)| device.is_in(room));
        (0..house.devices.len()).filter(|at| fits(&house.devices[*at]) && is_there(&house.devices[*at])).collect()
    };
    let place = match rooms.is_empty() {
        true => "in the house".to_owned(),
        false => format!("in {}", joined(rooms.iter().map(|(room, _)| *room))),
    };
    let kinds = kinds(heard);
    let is_kind = |device: &Device| kinds.iter().any(|(kind, _)| device.is_a(kind));
    if heard.says(SET_TO) {
        let devices = if named.is_empty() { all(&is_kind) } else { named };
        return (!devices.is_empty()).then_some(Question::State(devices));
    }
    if let Some(measure) = MEASURES.iter().find(|measure| heard.has(measure.heard)) {
        let has = |device: &Device| measure.properties.iter().any(|name| device.tells(name));
        let of_named: Vec<usize> = named.iter().copied().filter(|at| has(&house.devices[*at])).collect();
        let devices = if named.is_empty() { all(&has) } else { of_named };
        return Some(match devices.is_empty() {
            // "How bright is the lamp?"
            true if measure.properties == ["illuminance"] && !named.is_empty() => Question::State(named),
            true if named.is_empty() => {
                Question::Unknown(format!("I do not know: nothing {place} tells the {}.", measure.word))
            }
            true => {
                let names = joined(named.iter().map(|at| house.devices[*at].name.as_str()));
                Question::Unknown(format!("I do not know: the {} is not told by {names}.", measure.word))
            }
            false => Question::Measured { devices, measure },
        });
    }
    let state = STATES.into_iter().map(|(state, _)| state).find(|state| heard.has(&[*state]));
    if let Some((_, property)) = NOTICED.iter().find(|(words, _)| heard.has(words))
        && named.is_empty()
    {
        let devices = all(&|device| device.tells(property));
        return Some(match devices.is_empty() {
            true => Question::Unknown(format!("I do not know: nothing {place} has told of that.")),
            false => Question::State(devices),
        });
    }
    let is_how =
        NOTICED.iter().any(|(words, _)| heard.has(words)) || heard.has(&["state", "status", "hows"]) || heard.says(HOW);
    if !named.is_empty() && (state.is_some() || is_how) {
        // "Is the front door locked?" is asked of its lock.
        let locks = house.locks_of(&named);
        let is_locked = state.is_some_and(|state| state.ends_with("locked"));
        return Some(Question::State(if is_locked && !locks.is_empty() { locks } else { named }));
    }
    if let Some(state) = state {
        let devices = match heard.has(OPENED) {
            _ if !kinds.is_empty() => all(&is_kind),
            true if state.ends_with("locked") => all(&|device| device.is_a("lock")),
            true => all(&|device| device.tells("contact")),
            false => all(&|_| true),
        };
        return Some(Question::Which { devices, state, is_all: heard.has(ALL) });
    }
    if heard.has(&["rooms"]) {
        return Some(Question::Rooms);
    }
    heard.has(&["devices", "device"]).then(|| Question::Devices(all(&|_| true)))
}
