//! What an utterance wants of the house: who is meant, and what is to be done or told. Decides by the words and by what is in
//! the house; does nothing itself. What it is not sure of it does not guess: it asks back.

use serde_json::{Map, Value, json};

use super::hear::Heard;
use super::house::{Device, House, Span};
use super::vocabulary::{ALL, DOORS, EXCEPT, IF_POLITE, KINDS, LATER, NO_COMMAND, NOT, POLITE, SMALL, SPARED, VERBS};

/// What comes of an utterance.
#[derive(Debug, PartialEq)]
pub enum Wish {
    /// To be set, device by device: who, and which properties.
    Set(Vec<Order>),
    /// A question that the list of devices answers.
    Tell(Question),
    /// It is about the house, and it is not clear enough: what to say.
    Unclear(String),
    /// Not about the house.
    Other,
}

/// Devices that are to be set alike.
#[derive(Debug, PartialEq)]
pub struct Order {
    /// Places in [`House::devices`].
    pub devices: Vec<usize>,
    pub set: Map<String, Value>,
}

#[derive(Debug, PartialEq)]
pub enum Question {
    /// How these devices are.
    State(Vec<usize>),
    /// Of these devices a measurement, by the names under which it may stand.
    Measured {
        devices: Vec<usize>,
        measure: &'static Measure,
    },
    /// Which of these are on, off, open, closed.
    Which {
        devices: Vec<usize>,
        state: &'static str,
    },
    Devices,
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
    Measure { word: "brightness", heard: &["illuminance", "lux"], properties: &["illuminance"], unit: " lx" },
];

/// What is to be done with the devices.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    On,
    Off,
    Toggle,
    /// Percent.
    Level(f64),
    Degrees(f64),
    /// Points of a hundred, up or down.
    Dim(f64),
    Open,
    Close,
    Lock,
    Unlock,
}

/// Points by which a light is dimmed where nobody says how far.
const DIM_POINTS: f64 = 30.0;

/// `brightness` of Zigbee2MQTT at 100 %.
const BRIGHTNESS_MAX: f64 = 254.0;

/// Setpoints by the names that thermostats have for them.
const SETPOINTS: [&str; 3] = ["occupied_heating_setpoint", "current_heating_setpoint", "occupied_cooling_setpoint"];

/// Whether it sounds as if the house were meant, before anything is known of the house. Generous: what sounds like a wish
/// must not be met with small talk.
pub fn may_be_about_the_house(heard: &Heard) -> bool {
    let plain = heard.after(POLITE);
    let is_kind = KINDS.iter().any(|(words, _)| heard.has(words));
    let is_thing = is_kind
        || heard.has(&[
            "door", "doors", "window", "windows", "garage", "gate", "device", "devices", "sensor", "sensors", "alarm",
        ])
        || heard.has(ALL);
    let is_deed = plain.begins(&[
        "turn",
        "switch",
        "dim",
        "brighten",
        "set",
        "open",
        "close",
        "lock",
        "unlock",
        "raise",
        "lower",
        "toggle",
        "put",
        "shut",
        "activate",
        "deactivate",
        "start",
        "stop",
    ]);
    let is_asked =
        heard.has(&["on", "off", "open", "closed", "locked", "unlocked"]) && heard.has(&["is", "are", "which", "any"]);
    let is_measured =
        MEASURES.iter().any(|measure| heard.has(measure.heard)) && heard.has(&["what", "whats", "how", "hows"]);
    let is_short = heard.len() <= SHORT_LEN && bare_switch(&plain);
    let is_listed = heard.has(&["devices"]) && heard.has(&["what", "which", "list", "show"]);
    is_deed || is_measured || is_short || is_listed || (is_asked && (is_thing || heard.begins(&["is", "are"])))
}

/// The most words of a command without a verb: "kitchen lamp off, please".
const SHORT_LEN: usize = 8;

/// Whether it is switched without a verb: "kitchen lamp off, please", "lights on in the kitchen".
fn bare_switch(heard: &Heard) -> bool {
    if heard.has(NO_COMMAND) {
        return false;
    }
    let words: Vec<&str> = heard.words().iter().map(String::as_str).filter(|word| !POLITE.contains(word)).collect();
    let is_switch = |word: &&str| ["on", "off"].contains(word);
    words.last().is_some_and(is_switch)
        || words.windows(2).any(|pair| is_switch(&pair[0]) && ["in", "everywhere"].contains(&pair[1]))
}

/// What is wanted of this house.
pub fn wish(heard: &Heard, house: &House) -> Wish {
    if let Some(question) = question(heard, house) {
        return question;
    }
    // "turn on the lamp and close the blinds" are two; "the lamp and the blinds" is one.
    let mut orders = Vec::new();
    for part in parts(heard) {
        let Some(deed) = deed(&part, house) else { return Wish::Other };
        if let Some(why) = is_meant_otherwise(&part, house) {
            return Wish::Unclear(why.into());
        }
        let devices = match meant(&part, house, &deed) {
            Ok(devices) => devices,
            Err(why) => return Wish::Unclear(why),
        };
        match order(&deed, devices, house) {
            Ok(made) => orders.extend(made),
            Err(why) => return Wish::Unclear(why),
        }
    }
    if orders.is_empty() { Wish::Other } else { Wish::Set(orders) }
}

/// The commands that "and" or "then" joins, each with a verb of its own.
fn parts(heard: &Heard) -> Vec<Heard> {
    let words = heard.words();
    let mut cuts = vec![0];
    for at in 1..words.len() {
        let rest = Heard::new(&words[at..].join(" "));
        let is_joined = ["and", "then"].contains(&words[at - 1].as_str());
        if is_joined && rest.after(POLITE).begins(VERBS) {
            cuts.push(at);
        }
    }
    cuts.push(words.len());
    cuts.windows(2).map(|cut| Heard::new(&words[cut[0]..cut[1]].join(" "))).collect()
}

/// Why a command is not one to be done now.
fn is_meant_otherwise(heard: &Heard, house: &House) -> Option<&'static str> {
    let words = unnamed(split(heard).0, house);
    let is_at_a_time = |pair: &[&str]| pair[0] == "at" && pair[1].starts_with(|c: char| c.is_ascii_digit());
    let is_late = words.iter().any(|word| LATER.contains(word) && !(*word == "if" && heard.says(IF_POLITE)))
        || (!heard.has(&["percent", "degrees", "celsius"]) && words.windows(2).any(is_at_a_time));
    if is_late {
        return Some("I can only do things at once, so nothing was done. Say it when it is to happen.");
    }
    words.iter().any(|word| NOT.contains(word)).then_some("I am not sure what is to be done, so nothing was done.")
}

/// The words that are part of no device's name and no room's.
fn unnamed<'a>(words: &'a [String], house: &House) -> Vec<&'a str> {
    let devices = house.named(words).into_iter().map(|(_, span)| span);
    let spans: Vec<Span> = devices.chain(house.rooms(words).into_iter().map(|(_, span)| span)).collect();
    let is_named = |at: usize| spans.iter().any(|span| (span.at..span.at + span.len).contains(&at));
    words.iter().enumerate().filter(|(at, _)| !is_named(*at)).map(|(_, word)| word.as_str()).collect()
}

/// Those of them that mean nothing here, beside `also`.
fn unknown<'a>(words: &'a [String], house: &House, also: &[&str]) -> Vec<&'a str> {
    let small = [SMALL, POLITE, VERBS, ALL, EXCEPT, also];
    let is_known = |word: &str| {
        small.iter().any(|words| words.contains(&word))
            || KINDS.iter().any(|(words, _)| words.contains(&word))
            || word.parse::<f64>().is_ok()
    };
    unnamed(words, house).into_iter().filter(|word| !is_known(word)).collect()
}

fn deed(heard: &Heard, house: &House) -> Option<Deed> {
    let plain = heard.after(POLITE);
    // "lamp 2" is a name and no number.
    let number = Heard::new(&unnamed(plain.words(), house).join(" ")).number(&["percent", "degrees", "celsius"]);
    let bare = bare_switch(&plain);
    if plain.begins(&["toggle"]) {
        return Some(Deed::Toggle);
    }
    if heard.has(&["degrees", "celsius"])
        && let Some(degrees) = number
    {
        return Some(Deed::Degrees(degrees));
    }
    let is_set = plain.begins(&["set", "dim", "brighten", "turn", "put", "lower", "raise", "open", "close"]);
    let says_how_far =
        heard.has(&["percent"]) || (heard.has(&["to"]) && plain.begins(&["set", "dim", "brighten", "lower", "raise"]));
    if is_set
        && says_how_far
        && let Some(level) = number
    {
        return Some(Deed::Level(level));
    }
    if plain.begins(&["unlock"]) {
        return Some(Deed::Unlock);
    }
    if plain.begins(&["lock"]) {
        return Some(Deed::Lock);
    }
    if plain.begins(&["dim"]) {
        return Some(Deed::Dim(-DIM_POINTS));
    }
    if plain.begins(&["brighten"]) {
        return Some(Deed::Dim(DIM_POINTS));
    }
    let switches = plain.begins(&["turn", "switch", "put"]);
    if plain.begins(&["open", "raise"]) {
        return Some(Deed::Open);
    }
    if plain.begins(&["close", "lower"]) {
        return Some(Deed::Close);
    }
    let (on, off) = (heard.has(&["on"]), heard.has(&["off"]));
    match (on, off) {
        (true, false) if switches || bare => Some(Deed::On),
        (false, true) if switches || bare => Some(Deed::Off),
        (false, true) if plain.begins(&["shut"]) => Some(Deed::Off),
        (false, false) if plain.begins(&["shut"]) => Some(Deed::Close),
        _ => None,
    }
}

/// The kind of device that a word stands for, and whether the word is a plural.
fn kind(heard: &Heard) -> Option<(&'static str, bool)> {
    // A verb is no thing: "switch on the lamp", "lock the door".
    let things = heard.after(POLITE);
    let things = if things.begins(VERBS) { Heard::new(&things.words()[1..].join(" ")) } else { things };
    KINDS.iter().find_map(|(words, domain)| {
        let said = things.words().iter().find(|word| words.contains(&word.as_str()))?;
        Some((*domain, said.ends_with('s') || *domain == "climate"))
    })
}

/// Who is meant: those that are named; or else those of a kind, in a room or everywhere.
fn meant(heard: &Heard, house: &House, deed: &Deed) -> Result<Vec<usize>, String> {
    let (said, except) = split(heard);
    let named = house.named(said);
    let rooms = house.rooms(said);
    let main = Heard::new(&said.join(" "));
    let is_all = main.has(ALL) || main.says(&["whole house"]);
    let free: Vec<usize> =
        named.iter().filter(|(at, span)| !is_part_of_a_room(house, *at, *span, &rooms)).map(|(at, _)| *at).collect();
    let is_whole_kind = is_all && kind(&main).is_some();
    if !free.is_empty() && !is_whole_kind {
        // Of two with one name, the one in the room that was said.
        let in_room: Vec<usize> =
            free.iter().copied().filter(|at| rooms.iter().any(|(room, _)| house.devices[*at].is_in(room))).collect();
        return Ok(if in_room.is_empty() { free } else { in_room });
    }
    let kind = kind(&main);
    let domain = match (kind, deed) {
        (Some((domain, _)), _) => Some(domain),
        (None, Deed::Open | Deed::Close) => Some("cover"),
        (None, Deed::Lock | Deed::Unlock) => Some("lock"),
        (None, Deed::Degrees(_)) => Some("climate"),
        (None, Deed::Dim(_) | Deed::Level(_)) => Some("light"),
        _ => None,
    };
    if domain.is_none() && !is_all && rooms.is_empty() {
        return Err(nobody(house));
    }
    let also = if matches!(deed, Deed::Lock | Deed::Unlock) { DOORS } else { &[] };
    if let Some(why) = not_known(unknown(said, house, also), house) {
        return Err(why);
    }
    let except = except.map(|words| spared(words, house)).transpose()?.unwrap_or_default();
    let fits = |device: &Device| match domain {
        Some(domain) => device.is_a(domain),
        None => device.is_a("light") || device.is_a("switch"),
    };
    let is_there = |device: &Device| rooms.is_empty() || rooms.iter().any(|(room, _)| device.is_in(room));
    let found: Vec<usize> = (0..house.devices.len())
        .filter(|at| fits(&house.devices[*at]) && is_there(&house.devices[*at]) && !except.contains(at))
        .collect();
    let what = domain.map_or("device that can be switched", word_of);
    match found.len() {
        0 if rooms.is_empty() => {
            Err(format!("I cannot do that: there is no {what} in the house, so nothing was done."))
        }
        0 => Err(format!(
            "I cannot do that: there is no {what} in {}, so nothing was done.",
            joined(rooms.iter().map(|(room, _)| *room))
        )),
        1 => Ok(found),
        // Several, and it was not said which.
        _ if rooms.is_empty() && !is_all => {
            let names = joined(found.iter().take(NAMES_MAX).map(|at| house.devices[*at].name.as_str()));
            Err(format!("Which one do you mean: {names}? Say its name, its room, or \"all\". Nothing was done."))
        }
        _ if !is_all && kind.is_some_and(|(_, is_plural)| !is_plural) => {
            let names = joined(found.iter().take(NAMES_MAX).map(|at| house.devices[*at].name.as_str()));
            Err(format!("There are several: {names}. Which one do you mean? Nothing was done."))
        }
        _ => Ok(found),
    }
}

/// The devices that are left out: by their names, or all of a room.
fn spared(words: &[String], house: &House) -> Result<Vec<usize>, String> {
    if let Some(why) = not_known(unknown(words, house, SPARED), house) {
        return Err(why);
    }
    let named = house.named(words);
    // "the kitchen lamp" is not all of the kitchen.
    let is_in_a_name = |room: &Span| named.iter().any(|(_, name)| name.at <= room.at && room.at < name.at + name.len);
    let mut rooms = house.rooms(words);
    rooms.retain(|(_, span)| !is_in_a_name(span));
    let is_in = |at: &usize| rooms.iter().any(|(room, _)| house.devices[*at].is_in(room));
    let mut spared: Vec<usize> = named.iter().map(|(at, _)| *at).collect();
    spared.extend((0..house.devices.len()).filter(is_in));
    match spared.is_empty() {
        true => Err("I do not know what is to be left out, so nothing was done.".into()),
        false => Ok(spared),
    }
}

/// What is said where some words mean nothing here.
fn not_known(unknown: Vec<&str>, house: &House) -> Option<String> {
    let words = unknown.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(" ");
    (!unknown.is_empty()).then(|| format!("I do not know what \"{words}\" means here. {}", nobody(house)))
}

/// Names in one sentence.
pub const NAMES_MAX: usize = 8;

/// A device whose name is no more than the room's: then the room was said.
fn is_part_of_a_room(house: &House, device: usize, span: Span, rooms: &[(&str, Span)]) -> bool {
    let is_within = |room: &Span| room.at <= span.at && span.at + span.len <= room.at + room.len;
    rooms.iter().any(|(_, room)| is_within(room)) && !house.devices[device].is_a("light")
}

fn split(heard: &Heard) -> (&[String], Option<&[String]>) {
    let words = heard.words();
    let at = words.iter().position(|word| EXCEPT.contains(&word.as_str()));
    match at {
        Some(at) => (&words[..at], Some(&words[at..])),
        None => (words, None),
    }
}

fn nobody(house: &House) -> String {
    if house.devices.is_empty() {
        return "I cannot do that: this hub has no device yet, so nothing was done.".into();
    }
    let names = joined(house.devices.iter().take(NAMES_MAX).map(|device| device.name.as_str()));
    format!(
        "I do not know which device you mean, so nothing was done. There are {names}{}.",
        and_more(house.devices.len())
    )
}

pub fn and_more(count: usize) -> String {
    if count > NAMES_MAX { format!(", and {} more", count - NAMES_MAX) } else { String::new() }
}

fn word_of(domain: &str) -> &'static str {
    match domain {
        "light" => "light",
        "switch" => "plug or switch",
        "cover" => "blind or shutter",
        "lock" => "lock",
        "climate" => "thermostat",
        "fan" => "fan",
        _ => "device",
    }
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

/// The properties that do it, for each device: a light dims by `brightness`, a blind moves by `position`.
fn order(deed: &Deed, devices: Vec<usize>, house: &House) -> Result<Vec<Order>, String> {
    let mut orders: Vec<Order> = Vec::new();
    for at in devices {
        let set = properties(deed, &house.devices[at])?;
        match orders.iter_mut().find(|order| order.set == set) {
            Some(order) => order.devices.push(at),
            None => orders.push(Order { devices: vec![at], set }),
        }
    }
    Ok(orders)
}

fn properties(deed: &Deed, device: &Device) -> Result<Map<String, Value>, String> {
    let set = |key: &str, value: Value| Ok(Map::from_iter([(key.to_owned(), value)]));
    let cannot = |what: &str| Err(format!("I cannot do that: {} cannot {what}, so nothing was done.", device.name));
    match deed {
        Deed::On if device.is_a("cover") => set("state", json!("OPEN")),
        Deed::Off if device.is_a("cover") => set("state", json!("CLOSE")),
        Deed::On => set("state", json!("ON")),
        Deed::Off => set("state", json!("OFF")),
        Deed::Toggle => set("state", json!("TOGGLE")),
        Deed::Open if device.is_a("cover") => set("state", json!("OPEN")),
        Deed::Close if device.is_a("cover") => set("state", json!("CLOSE")),
        Deed::Open | Deed::Close => cannot("be opened or closed"),
        Deed::Lock if device.is_a("lock") => set("state", json!("LOCK")),
        Deed::Unlock if device.is_a("lock") => set("state", json!("UNLOCK")),
        Deed::Lock | Deed::Unlock => cannot("be locked"),
        Deed::Level(percent) if !(0.0..=100.0).contains(percent) => {
            Err(format!("{percent} percent is not possible: say 0 to 100. Nothing was done."))
        }
        Deed::Level(percent) if device.is_a("cover") => set("position", json!(percent.round() as u8)),
        Deed::Level(percent) if device.is_a("climate") => properties(&Deed::Degrees(*percent), device),
        Deed::Level(0.0) if device.is_a("light") => set("state", json!("OFF")),
        Deed::Level(percent) if device.is_a("light") => set("brightness", json!(brightness(*percent))),
        Deed::Level(_) => cannot("be dimmed"),
        Deed::Dim(points) if device.is_a("light") => {
            let Some(now) = device.state.get("brightness").and_then(Value::as_f64) else {
                return Err(format!(
                    "I do not know how bright {} is. Say to how many percent. Nothing was done.",
                    device.name
                ));
            };
            let percent = (now / BRIGHTNESS_MAX * 100.0 + points).clamp(1.0, 100.0);
            set("brightness", json!(brightness(percent)))
        }
        Deed::Dim(_) => cannot("be dimmed"),
        Deed::Degrees(degrees) => match SETPOINTS.iter().find(|name| device.state.contains_key(**name)) {
            Some(name) => set(name, json!(degrees)),
            None => cannot("be set to a temperature"),
        },
    }
}

fn brightness(percent: f64) -> u8 {
    // In range: the percent are.
    (percent / 100.0 * BRIGHTNESS_MAX).round().max(1.0) as u8
}

/// A question, if it is one.
fn question(heard: &Heard, house: &House) -> Option<Wish> {
    let plain = heard.after(POLITE);
    if plain.begins(VERBS) {
        return None;
    }
    let asks = plain
        .begins(&["is", "are", "what", "whats", "how", "hows", "which", "tell", "show", "list", "do", "does", "did"]);
    if !asks {
        return None;
    }
    let named: Vec<usize> = house.named(heard.words()).into_iter().map(|(at, _)| at).collect();
    let rooms = house.rooms(heard.words());
    let is_there = |device: &Device| rooms.is_empty() || rooms.iter().any(|(room, _)| device.is_in(room));
    let kind = kind(heard).map(|(domain, _)| domain);
    let all = |fits: &dyn Fn(&Device) -> bool| -> Vec<usize> {
        (0..house.devices.len()).filter(|at| fits(&house.devices[*at]) && is_there(&house.devices[*at])).collect()
    };
    if let Some(measure) = MEASURES.iter().find(|measure| heard.has(measure.heard)) {
        let has = |device: &Device| measure.properties.iter().any(|name| device.state.contains_key(*name));
        let of_named: Vec<usize> = named.iter().copied().filter(|at| has(&house.devices[*at])).collect();
        let devices = if of_named.is_empty() { all(&has) } else { of_named };
        return Some(match devices.is_empty() {
            true => Wish::Unclear(format!("I do not know: nothing {} tells the {}.", place(&rooms), measure.word)),
            false => Wish::Tell(Question::Measured { devices, measure }),
        });
    }
    const STATES: [&str; 6] = ["on", "off", "open", "closed", "locked", "unlocked"];
    let state = STATES.into_iter().find(|state| heard.has(&[*state]));
    if !named.is_empty() && (state.is_some() || heard.has(&["state", "status", "doing"])) {
        return Some(Wish::Tell(Question::State(named)));
    }
    if let Some(state) = state {
        let devices = match kind {
            Some(domain) => all(&|device| device.is_a(domain)),
            None if heard.has(&["door", "doors", "window", "windows"]) => {
                all(&|device| device.state.contains_key("contact"))
            }
            None => all(&|_| true),
        };
        return Some(Wish::Tell(Question::Which { devices, state }));
    }
    (heard.has(&["devices", "device"])).then_some(Wish::Tell(Question::Devices))
}

fn place(rooms: &[(&str, Span)]) -> String {
    if rooms.is_empty() { "in the house".into() } else { format!("in {}", joined(rooms.iter().map(|(room, _)| *room))) }
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
