//! What an utterance wants of the house: who is meant, and what is to be done or told. Decides by the words and by what is in
//! the house; does nothing itself. What it is not sure of it does not guess: it asks back.

use serde_json::{Map, Value};

use super::deed::{Deed, deed, is_bare};
use super::hear::Heard;
use super::house::{Device, House, NAMES_MAX, Span, and_more, is_kind_word, joined, kinds};
use super::question::{Question, may_be_asked, question};
use super::vocabulary::{ALL, EXCEPT, IF_POLITE, KINDS, LATER, LEVELS, NOT, POLITE, SMALL, SPARED, VERBS};

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
    // "Make me laugh" is no deed, "make it brighter" is one.
    let is_deed = plain.begins(VERBS) && !plain.begins(&["make", "heat", "power"]);
    let main = main_part(heard);
    is_deed || is_bare(&main) || deed(&main, &main).is_some() || may_be_asked(heard, is_thing)
}

/// What is wanted of this house.
pub fn wish(heard: &Heard, house: &House) -> Wish {
    match question(heard, house) {
        Some(Question::Unknown(why)) => return Wish::Unclear(why),
        Some(question) => return Wish::Tell(question),
        None => {}
    }
    // "turn on the lamp and close the blinds" are two; "the lamp and the blinds" is one.
    let mut orders = Vec::new();
    for part in parts(heard, house) {
        let main = main_part(&part);
        let free = Heard::new(&unnamed(main.words(), house).join(" "));
        let Some(deed) = deed(&main, &free) else {
            let is_about = (main.after(POLITE).begins(VERBS) || is_bare(&main)) && is_any(main.words(), house);
            return if is_about { Wish::Unclear(NOT_SURE.into()) } else { Wish::Other };
        };
        if let Some(why) = is_meant_otherwise(&part, house) {
            return Wish::Unclear(why.into());
        }
        let devices = match meant(&part, house, &deed) {
            Ok(devices) => devices,
            // "Start a story", "stop": of what is not in the house.
            Err(_) if main.after(POLITE).begins(&["start", "stop", "activate"]) && !is_any(main.words(), house) => {
                return Wish::Other;
            }
            Err(why) => return Wish::Unclear(why),
        };
        match order(&deed, devices, house) {
            Ok(made) => orders.extend(made),
            Err(why) => return Wish::Unclear(why),
        }
    }
    if orders.is_empty() { Wish::Other } else { Wish::Set(orders) }
}

const NOT_SURE: &str = "I am not sure what is to be done, so nothing was done.";

/// Whether something of the house is named: a device, a room or a kind.
pub fn is_any(words: &[String], house: &House) -> bool {
    words.iter().any(|word| is_kind_word(word)) || !house.named(words).is_empty() || !house.rooms(words).is_empty()
}

/// Without what is left out.
fn main_part(heard: &Heard) -> Heard {
    Heard::new(&split(heard).0.join(" "))
}

/// The commands that "and" or "then" joins: each with a verb of its own, or with a value of its own and the verb of the one before.
fn parts(heard: &Heard, house: &House) -> Vec<Heard> {
    let words = heard.words();
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut from = 0;
    for at in 1..=words.len() {
        let rest = &words[at..];
        let is_joined = at < words.len() && ["and", "then"].contains(&words[at - 1].as_str());
        let has_verb = || Heard::new(&rest.join(" ")).after(POLITE).begins(VERBS);
        let has_value = || [&words[from..at], rest].iter().all(|part| says_how(part, house)) && is_any(rest, house);
        if at < words.len() && !(is_joined && (has_verb() || has_value())) {
            continue;
        }
        let plain = Heard::new(&words[from..at].join(" ")).after(POLITE);
        let verb = parts.last().and_then(|before| before.first()).filter(|verb| VERBS.contains(&verb.as_str()));
        let inherited = verb.filter(|_| !plain.begins(VERBS)).cloned();
        parts.push(inherited.into_iter().chain(plain.words().iter().cloned()).collect());
        from = at;
    }
    parts.into_iter().map(|words| Heard::new(&words.join(" "))).collect()
}

/// Whether these words say by themselves what is to be done.
fn says_how(words: &[String], house: &House) -> bool {
    let is_value = |word: &&str| {
        ["on", "off", "percent", "degrees", "up", "down"].contains(word)
            || LEVELS.iter().any(|(level, _)| level == word)
            || word.parse::<f64>().is_ok()
    };
    unnamed(words, house).iter().any(is_value)
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
    words.iter().any(|word| NOT.contains(word)).then_some(NOT_SURE)
}

/// The words that are part of no device's name and no room's.
fn unnamed<'a>(words: &'a [String], house: &House) -> Vec<&'a str> {
    let named = house.named(words);
    let named = if named.is_empty() { house.named_alike(words) } else { named };
    let devices = named.into_iter().map(|(_, span)| span);
    let spans: Vec<Span> = devices.chain(house.rooms(words).into_iter().map(|(_, span)| span)).collect();
    let is_named = |at: usize| spans.iter().any(|span| (span.at..span.at + span.len).contains(&at));
    words.iter().enumerate().filter(|(at, _)| !is_named(*at)).map(|(_, word)| word.as_str()).collect()
}

/// Those of them that mean nothing here.
fn unknown<'a>(words: &'a [String], house: &House, is_known: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let is_small = |word: &str| {
        [SMALL, POLITE, VERBS, ALL, EXCEPT].iter().any(|words| words.contains(&word)) || is_kind_word(word)
    };
    unnamed(words, house).into_iter().filter(|word| !is_small(word) && !is_known(word)).collect()
}

/// Who is meant: those that are named; or else those of a kind, in a room or everywhere.
fn meant(heard: &Heard, house: &House, deed: &Deed) -> Result<Vec<usize>, String> {
    let (said, except) = split(heard);
    let rooms = house.rooms(said);
    let main = Heard::new(&said.join(" "));
    let is_all = main.has(ALL) || main.says(&["whole house"]);
    let unknown = unknown(said, house, |word| deed.is_said_by(word));
    let is_in_said = |at: usize| rooms.iter().any(|(room, _)| house.devices[at].is_in(room));
    let free = |named: Vec<(usize, Span)>| -> Vec<usize> {
        let named = named.into_iter().filter(|(at, span)| {
            // "The lamp in the kitchen" or "in the garage", or "every lamp", is not the one in the hall that is called "Lamp".
            let is_kind = span.len == 1 && is_kind_word(&said[span.at]);
            let is_elsewhere = is_all || !unknown.is_empty() || (!rooms.is_empty() && !is_in_said(*at));
            !(is_part_of_a_room(house, *at, *span, &rooms) || is_kind && is_elsewhere)
        });
        named.map(|(at, _)| at).collect()
    };
    let mut named = free(house.named(said));
    if named.is_empty() {
        named = free(house.named_alike(said));
    }
    if matches!(deed, Deed::Lock | Deed::Unlock) && !named.iter().any(|at| house.devices[*at].is_a("lock")) {
        // "Lock the front door", which is a sensor, is said to its lock.
        let locks = house.locks_of(&named);
        named = if locks.len() == 1 { locks } else { named };
    }
    // "The TV and the kitchen lights": a kind beside names.
    let words = if named.is_empty() { main } else { Heard::new(&unnamed(said, house).join(" ")) };
    let mut kinds = kinds(&words);
    kinds.retain(|(_, is_plural)| named.is_empty() || is_all || *is_plural);
    if !named.is_empty() && kinds.is_empty() {
        // Of two with one name, the one in the room that was said.
        let in_room: Vec<usize> = named.iter().copied().filter(|at| is_in_said(*at)).collect();
        return Ok(if in_room.is_empty() { named } else { in_room });
    }
    let is_one = !is_all && kinds.iter().any(|(_, is_plural)| !is_plural);
    let mut domains: Vec<&str> = kinds.into_iter().map(|(domain, _)| domain).collect();
    if domains.is_empty() {
        domains.extend(deed.domain());
    }
    if domains.is_empty() && !is_all && rooms.is_empty() {
        return Err(nobody(house));
    }
    if let Some(why) = not_known(unknown, house) {
        return Err(why);
    }
    let except = except.map(|words| spared(words, house)).transpose()?.unwrap_or_default();
    let fits = |device: &Device| match domains.is_empty() {
        true => device.is_a("light") || device.is_a("switch"),
        false => domains.iter().any(|domain| device.is_a(domain)),
    };
    let mut found: Vec<usize> = (0..house.devices.len())
        .filter(|at| fits(&house.devices[*at]) && (rooms.is_empty() || is_in_said(*at)) && !except.contains(at))
        .collect();
    // Of "the lights and the blinds in the kitchen" there is one each, or nothing is done.
    let is_missing = |domain: &&&str| !found.iter().any(|at| house.devices[*at].is_a(domain));
    let missing = domains.iter().find(is_missing).map(|domain| word_of(domain));
    if let Some(what) = missing.or_else(|| found.is_empty().then_some("device that can be switched")) {
        let place = match rooms.is_empty() {
            true => "the house".to_owned(),
            false => joined(rooms.iter().map(|(room, _)| *room)),
        };
        return Err(format!("I cannot do that: there is no {what} in {place}, so nothing was done."));
    }
    let names = || joined(found.iter().take(NAMES_MAX).map(|at| house.devices[*at].name.as_str()));
    // Several, and it was not said which.
    if found.len() > domains.len().max(1) && rooms.is_empty() && !is_all {
        return Err(format!(
            "Which one do you mean: {}? Say its name, its room, or \"all\". Nothing was done.",
            names()
        ));
    }
    if found.len() > 1 && is_one {
        return Err(format!("There are several: {}. Which one do you mean? Nothing was done.", names()));
    }
    named.retain(|at| !found.contains(at));
    found.append(&mut named);
    Ok(found)
}

/// The devices that are left out: by their names, or all of a room.
fn spared(words: &[String], house: &House) -> Result<Vec<usize>, String> {
    if let Some(why) = not_known(unknown(words, house, |word| SPARED.contains(&word)), house) {
        return Err(why);
    }
    let free = Heard::new(&unnamed(words, house).join(" "));
    // "All off, but the lamp on" is two things.
    if free.has(&["on", "off"]) && !free.has(&["leave", "keep", "not"]) {
        return Err(NOT_SURE.into());
    }
    let named = house.named(words);
    let named = if named.is_empty() { house.named_alike(words) } else { named };
    let rooms = house.rooms(words);
    // Where no name is said, "the lights in the kitchen" are not all of the kitchen.
    let kinds = if named.is_empty() { kinds(&Heard::new(&words.join(" "))) } else { Vec::new() };
    let is_in = |at: &usize| rooms.iter().any(|(room, _)| house.devices[*at].is_in(room));
    let is_spared = |at: &usize| match kinds.is_empty() {
        true => is_in(at),
        false => kinds.iter().any(|(kind, _)| house.devices[*at].is_a(kind)) && (rooms.is_empty() || is_in(at)),
    };
    let mut spared: Vec<usize> = named.iter().map(|(at, _)| *at).collect();
    spared.extend((0..house.devices.len()).filter(is_spared));
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

/// The properties that do it, those alike together.
fn order(deed: &Deed, devices: Vec<usize>, house: &House) -> Result<Vec<Order>, String> {
    let mut orders: Vec<Order> = Vec::new();
    for at in devices {
        let set = deed.properties(&house.devices[at])?;
        match orders.iter_mut().find(|order| order.set == set) {
            Some(order) => order.devices.push(at),
            None => orders.push(Order { devices: vec![at], set }),
        }
    }
    Ok(orders)
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
