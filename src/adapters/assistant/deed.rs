//! What is to be done with devices, by the words of a command, and which properties of a device do it.

use serde_json::{Map, Value, json};

use super::hear::Heard;
use super::house::Device;
use super::vocabulary::{
    A_BIT, COLOURS, Colour, DOORS, DOWN, DOWNWARDS, LEVELS, NO_COMMAND, POLITE, UP, UPWARDS, VERBS, WARMTH, WITH_A_WAY,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deed {
    On,
    Off,
    Toggle,
    /// Percent.
    Level(f64),
    Degrees(f64),
    /// So much more or less than now: points of a hundred, or degrees.
    Step {
        is_up: bool,
        by: Option<f64>,
        is_warmth: bool,
    },
    Colour(Colour),
    Open,
    Close,
    Stop,
    Lock,
    Unlock,
}

/// Points by which a light is dimmed where nobody says how far.
const DIM_POINTS: f64 = 30.0;

/// Degrees by which it is to be warmer where nobody says how much.
const WARMER_DEGREES: f64 = 1.0;

/// `brightness` of Zigbee2MQTT at 100 %.
const BRIGHTNESS_MAX: f64 = 254.0;

/// Setpoints by the names that thermostats have for them.
const SETPOINTS: [&str; 3] = ["occupied_heating_setpoint", "current_heating_setpoint", "occupied_cooling_setpoint"];

/// Words between which a command has no verb: "kitchen lamp off, please".
const SHORT_LEN: usize = 10;

/// Whether it is a command without a verb: "kitchen lamp off, please", "lights on in the kitchen", "bedroom at 30 %".
pub fn is_bare(heard: &Heard) -> bool {
    if heard.has(NO_COMMAND) || heard.begins(VERBS) || heard.len() > SHORT_LEN {
        return false;
    }
    let words: Vec<&str> = heard.words().iter().map(String::as_str).filter(|word| !POLITE.contains(word)).collect();
    let is_end = |word: &&str| ["on", "off", "percent"].contains(word);
    words.last().is_some_and(is_end)
        || words.windows(2).any(|pair| is_end(&pair[0]) && ["in", "everywhere"].contains(&pair[1]))
}

/// What is to be done; `free` are the words that are part of no name. `None`: it is not said, or two things are.
pub fn deed(heard: &Heard, free: &Heard) -> Option<Deed> {
    let plain = heard.after(POLITE);
    let verb = plain.words().first().map(String::as_str).filter(|word| VERBS.contains(word));
    let is_verb = |words: &[&str]| verb.is_some_and(|verb| words.contains(&verb));
    if verb.is_none() && !is_bare(&plain) {
        return None;
    }
    if is_verb(&["toggle"]) {
        return Some(Deed::Toggle);
    }
    let is_warmth = free.has(WARMTH);
    let way = way(verb, free);
    let figures = free.in_figures();
    let number = figures.number(&["percent", "degrees", "celsius"]);
    let level = LEVELS.iter().find(|(word, _)| number.is_none() && free.has(&[word])).map(|(_, level)| *level);
    let is_relative = free.has(&["by"]) || !(free.has(&["to", "at"]) || level.is_some());
    match (number.or(level), way) {
        (Some(by), Some(is_up)) if is_relative => return Some(Deed::Step { is_up, by: Some(by), is_warmth }),
        (Some(degrees), _) if is_warmth => return Some(Deed::Degrees(degrees)),
        (Some(percent), _) if has_level(verb, free) || level.is_some() => return Some(Deed::Level(percent)),
        _ => {}
    }
    let (on, off) = (free.has(&["on"]), free.has(&["off"]));
    if on && off {
        return None;
    }
    let is_switched = verb.is_none() || is_verb(&["turn", "switch", "put", "power", "set"]);
    match verb {
        Some("unlock") => Some(Deed::Unlock),
        Some("lock") => Some(Deed::Lock),
        Some("open") => Some(Deed::Open),
        Some("close") => Some(Deed::Close),
        Some("stop") => Some(Deed::Stop),
        Some("start" | "activate") => Some(Deed::On),
        Some("deactivate") => Some(Deed::Off),
        Some("shut") if off || free.has(&["down"]) => Some(Deed::Off),
        Some("shut") => Some(Deed::Close),
        _ if is_switched && on => Some(Deed::On),
        _ if is_switched && off => Some(Deed::Off),
        _ => way.map(|is_up| Deed::Step { is_up, by: None, is_warmth }).or_else(|| colour(verb, free)),
    }
}

/// Whether it is to be more or less than now.
fn way(verb: Option<&str>, free: &Heard) -> Option<bool> {
    let verb = verb?;
    if UP.contains(&verb) || DOWN.contains(&verb) {
        return Some(UP.contains(&verb));
    }
    match (free.has(UPWARDS), free.has(DOWNWARDS)) {
        (is_up, is_down) if is_up != is_down && WITH_A_WAY.contains(&verb) => Some(is_up),
        _ => None,
    }
}

/// Whether a number is how far something is to go.
fn has_level(verb: Option<&str>, free: &Heard) -> bool {
    match verb {
        Some("set" | "dim" | "brighten" | "lower" | "raise" | "increase" | "decrease" | "reduce") => {
            free.has(&["percent", "to", "at", "brightness"])
        }
        Some("turn" | "put" | "open" | "close" | "make" | "pull") | None => free.has(&["percent"]),
        _ => false,
    }
}

fn colour(verb: Option<&str>, free: &Heard) -> Option<Deed> {
    let is_said = |words: &&(&[&str], Colour)| words.0.iter().all(|word| free.has(&[word]));
    let (words, colour) = COLOURS.iter().find(is_said)?;
    // "Red and blue" is one too many.
    let others =
        COLOURS.iter().filter(|(other, _)| other.iter().any(|word| !words.contains(word) && free.has(&[word])));
    let is_one = others.filter(|other| is_said(other)).count() == 0;
    (is_one && matches!(verb, Some("turn" | "set" | "make" | "switch"))).then_some(Deed::Colour(*colour))
}

impl Deed {
    /// Whether a word of the command belongs to what is to be done, and so to no place.
    pub fn is_said_by(&self, word: &str) -> bool {
        let is_number = || !Heard::new(word).in_figures().words().iter().all(|word| word.parse::<f64>().is_err());
        match self {
            Deed::Lock | Deed::Unlock => DOORS.contains(&word),
            Deed::Colour(_) => COLOURS.iter().any(|(words, _)| words.contains(&word)),
            Deed::Level(_) => LEVELS.iter().any(|(level, _)| *level == word) || is_number(),
            Deed::Degrees(_) => WARMTH.contains(&word) || is_number(),
            Deed::Step { .. } => {
                [UPWARDS, DOWNWARDS, WARMTH, A_BIT].iter().any(|words| words.contains(&word)) || is_number()
            }
            _ => false,
        }
    }

    /// The kind of device that it is done with where nobody says which.
    pub fn domain(&self) -> Option<&'static str> {
        match self {
            Deed::Open | Deed::Close => Some("cover"),
            Deed::Lock | Deed::Unlock => Some("lock"),
            Deed::Degrees(_) | Deed::Step { is_warmth: true, .. } => Some("climate"),
            Deed::Step { .. } | Deed::Level(_) | Deed::Colour(_) => Some("light"),
            Deed::On | Deed::Off | Deed::Toggle | Deed::Stop => None,
        }
    }

    /// The properties that do it: a light dims by `brightness`, a blind moves by `position`.
    pub fn properties(&self, device: &Device) -> Result<Map<String, Value>, String> {
        let set = |key: &str, value: Value| Ok(Map::from_iter([(key.to_owned(), value)]));
        let cannot = |what: &str| Err(format!("I cannot do that: {} cannot {what}, so nothing was done.", device.name));
        let is_cover = device.is_a("cover");
        match *self {
            Deed::On | Deed::Open if is_cover => set("state", json!("OPEN")),
            Deed::Off | Deed::Close if is_cover => set("state", json!("CLOSE")),
            Deed::Stop if is_cover => set("state", json!("STOP")),
            Deed::On => set("state", json!("ON")),
            Deed::Off | Deed::Stop => set("state", json!("OFF")),
            Deed::Toggle => set("state", json!("TOGGLE")),
            Deed::Open | Deed::Close => cannot("be opened or closed"),
            Deed::Lock if device.is_a("lock") => set("state", json!("LOCK")),
            Deed::Unlock if device.is_a("lock") => set("state", json!("UNLOCK")),
            Deed::Lock | Deed::Unlock => cannot("be locked"),
            Deed::Level(degrees) if device.is_a("climate") => Deed::Degrees(degrees).properties(device),
            Deed::Level(percent) if !(0.0..=100.0).contains(&percent) => {
                Err(format!("{percent} percent is not possible: say 0 to 100. Nothing was done."))
            }
            Deed::Level(percent) if is_cover => set("position", json!(percent.round() as u8)),
            Deed::Level(0.0) if device.is_a("light") => set("state", json!("OFF")),
            Deed::Level(percent) if device.is_a("light") => set("brightness", json!(brightness(percent))),
            Deed::Level(_) => cannot("be set to a level"),
            Deed::Degrees(degrees) => match setpoint(device) {
                Some((name, _)) => set(name, json!(degrees)),
                None => cannot("be set to a temperature"),
            },
            Deed::Step { is_up, by: None, is_warmth: false } if is_cover => {
                if is_up { Deed::Open } else { Deed::Close }.properties(device)
            }
            Deed::Step { is_up, by, is_warmth } => step(device, is_up, by, is_warmth),
            // A lamp that is off takes no colour.
            Deed::Colour(Colour::Hue(hue)) if device.takes("color") => {
                Ok(fields(json!({"state": "ON", "color": {"hue": hue, "saturation": 100}})))
            }
            Deed::Colour(Colour::Mireds(mireds)) if device.takes("color_temp") => {
                Ok(fields(json!({"state": "ON", "color_temp": mireds})))
            }
            Deed::Colour(_) => cannot("have that colour"),
        }
    }
}

fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { unreachable!("it is written as an object") };
    fields
}

fn step(device: &Device, is_up: bool, by: Option<f64>, is_warmth: bool) -> Result<Map<String, Value>, String> {
    let set = |key: &str, value: Value| Ok(Map::from_iter([(key.to_owned(), value)]));
    let signed = |by: f64| if is_up { by } else { -by };
    let number = |name: &str| device.state.get(name).and_then(Value::as_f64);
    let not_known = |what: &str, how: &str| {
        Err(format!("I do not know how {what} {} is. Say {how}. Nothing was done.", device.name))
    };
    if device.is_a("climate") {
        return match setpoint(device) {
            Some((name, Some(now))) => set(name, json!(now + signed(by.unwrap_or(WARMER_DEGREES)))),
            _ => not_known("warm", "to how many degrees"),
        };
    }
    if device.is_a("light") && !is_warmth {
        let Some(now) = number("brightness") else { return not_known("bright", "to how many percent") };
        let percent = now / BRIGHTNESS_MAX * 100.0 + signed(by.unwrap_or(DIM_POINTS));
        return set("brightness", json!(brightness(percent.clamp(1.0, 100.0))));
    }
    if device.is_a("cover") && !is_warmth {
        let Some(now) = number("position") else { return not_known("far open", "to how many percent") };
        let position = now + signed(by.unwrap_or(DIM_POINTS));
        return set("position", json!(position.clamp(0.0, 100.0).round() as u8));
    }
    Err(format!("I cannot do that: {} cannot be turned up or down, so nothing was done.", device.name))
}

/// The setpoint that it has, and what it is.
fn setpoint(device: &Device) -> Option<(&'static str, Option<f64>)> {
    let name = SETPOINTS.into_iter().find(|name| device.state.contains_key(*name))?;
    Some((name, device.state[name].as_f64()))
}

fn brightness(percent: f64) -> u8 {
    // In range: the percent are.
    (percent / 100.0 * BRIGHTNESS_MAX).round().max(1.0) as u8
}
