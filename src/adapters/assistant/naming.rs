//! What things are to be called and where they are: "rename Bulb to kitchen lamp", "put the kitchen lamp into the kitchen", "make a room
//! called Attic". Works on the text as it was written, since a name is kept as it was. Does nothing itself.

use super::hear::words;
use super::house::House;
use super::vocabulary::POLITE;

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub enum Naming {
    /// A place in [`House::devices`], and its new name.
    Rename(usize, String),
    /// Places in [`House::devices`], and the room's name.
    Move(Vec<usize>, String),
    NewRoom(String),
    /// It is that, and cannot be done: what to say.
    Unclear(String),
}

const RENAME: [&str; 1] = ["rename"];
const CALL: [&str; 2] = ["call", "name"];
const MOVE: [&str; 3] = ["put", "move", "place"];
const MAKE: [&str; 4] = ["make", "add", "create", "new"];

/// What may stand before a name and is no part of it.
const ARTICLES: [&str; 5] = ["the", "my", "our", "a", "an"];

/// Whether it sounds like it, before anything is known of the house.
pub fn may_be_meant(text: &str) -> bool {
    let said = plain(text);
    let (verb, rest) = first(said);
    let is = |verbs: &[&str]| verbs.contains(&verb.as_str());
    is(&RENAME) || is(&CALL) || is(&MOVE) || is(&MAKE) && words(rest).iter().any(|word| word == "room")
}

/// What is wanted of this house; `None`: something else.
pub fn naming(text: &str, house: &House) -> Option<Naming> {
    let (verb, rest) = first(plain(text));
    let is = |verbs: &[&str]| verbs.contains(&verb.as_str());
    match () {
        () if is(&RENAME) => Some(renamed(rest, house)),
        () if is(&CALL) => called(rest, house),
        () if is(&MOVE) => moved(rest, house),
        () if is(&MAKE) => new_room(rest, house),
        () => None,
    }
}

/// "Bulb to kitchen lamp".
fn renamed(rest: &str, house: &House) -> Naming {
    let mut seen = None;
    for (before, after) in splits(rest, &["to", "as", "into"]) {
        match (device(before, house), name(after)) {
            (Some(device), Some(name)) => return Naming::Rename(device, name),
            _ => seen = seen.or(Some(before)),
        }
    }
    Naming::Unclear(match seen {
        Some(before) => format!("I know no device that is called \"{}\", so nothing was done.", before.trim()),
        None => "Say it as \"rename the bulb to kitchen lamp\". Nothing was done.".into(),
    })
}

/// "Bulb kitchen lamp": the longest name that there is, then the new one.
fn called(rest: &str, house: &House) -> Option<Naming> {
    let ends = rest.match_indices(char::is_whitespace).map(|(at, _)| at).collect::<Vec<_>>();
    let split = |at: &usize| Some(Naming::Rename(device(&rest[..*at], house)?, name(&rest[*at..])?));
    ends.iter().rev().find_map(split)
}

/// "the lamp and the plug into the kitchen".
fn moved(rest: &str, house: &House) -> Option<Naming> {
    let devices = |names: &str| splits_all(names, &["and"]).into_iter().map(|name| device(name, house)).collect();
    let place = |(before, after): &(&str, &str)| {
        let devices: Option<Vec<usize>> = devices(before);
        Some((devices?, name(strip_article(after))?))
    };
    let known = splits(rest, &["into", "in", "to"]).iter().rev().find_map(|split| {
        let (devices, place) = place(split)?;
        Some(Naming::Move(devices, room(&place, house)?.to_owned()))
    });
    // "Move the blind to half", "put the lamp in red" are about no room; what goes into something is.
    known.or_else(|| {
        let (_, place) = splits(rest, &["into"]).iter().rev().find_map(place)?;
        let text =
            format!("There is no room \"{place}\" yet, so nothing was done: say \"make a room called {place}\" first.");
        Some(Naming::Unclear(text))
    })
}

/// The room that is called exactly so.
fn room<'a>(said: &str, house: &'a House) -> Option<&'a str> {
    let sought = words(said);
    house.rooms(&sought).first().filter(|(_, span)| span.len == sought.len()).map(|(room, _)| *room)
}

/// "a new room called Attic".
fn new_room(rest: &str, house: &House) -> Option<Naming> {
    let is_known = first(rest).0 == "the";
    let (word, after) = first(strip_article(rest));
    let (word, after) = if word == "new" { first(after) } else { (word, after) };
    let (called, named) = first(after);
    let is_called = ["called", "named"].contains(&called.as_str());
    // "Make the room warmer" is about one that there is.
    if word != "room" || (is_known && !is_called) {
        return None;
    }
    let named = if is_called { named } else { after };
    let Some(name) = name(named) else {
        return Some(Naming::Unclear("Say what it is called: \"make a room called Attic\". Nothing was done.".into()));
    };
    Some(match room(&name, house) {
        Some(room) => Naming::Unclear(format!("There is a room called {room} already.")),
        None => Naming::NewRoom(name),
    })
}

/// The one device that is called exactly so.
fn device(said: &str, house: &House) -> Option<usize> {
    let sought = words(strip_article(said));
    let sought = if sought.len() > 1 && sought[0] == "device" { &sought[1..] } else { &sought[..] };
    let found = house.named(sought);
    match found[..] {
        [(device, span)] if span.len == sought.len() => Some(device),
        _ => None,
    }
}

/// A name as it was written, without blanks, quotes and a full stop around it.
fn name(said: &str) -> Option<String> {
    let is_around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '“' | '”' | '„' | '‘' | '’' | '«' | '»');
    let name = said.trim_matches(is_around);
    (!words(name).is_empty()).then(|| name.to_owned())
}

/// Without what is only polite before it, and the full stop behind it.
fn plain(text: &str) -> &str {
    let mut rest = text.trim().trim_end_matches(['.', '!', '?']).trim_end();
    for polite in [", please", " please"] {
        rest = match rest.len().checked_sub(polite.len()).filter(|at| rest.is_char_boundary(*at)) {
            Some(at) if rest[at..].eq_ignore_ascii_case(polite) => rest[..at].trim_end(),
            _ => rest,
        };
    }
    loop {
        let (word, after) = first(rest);
        if !POLITE.contains(&word.as_str()) || after.is_empty() {
            return rest;
        }
        rest = after;
    }
}

/// The first word, small and without punctuation, and what comes behind it.
fn first(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (words(&text[..end]).concat(), text[end..].trim_start())
}

fn strip_article(text: &str) -> &str {
    match first(text) {
        (word, rest) if ARTICLES.contains(&word.as_str()) && !rest.is_empty() => rest,
        _ => text,
    }
}

/// What stands before and behind each of these words, from the left.
fn splits<'a>(text: &'a str, at: &[&str]) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    let mut from = 0;
    for word in text.split_whitespace() {
        let start = from + text[from..].find(word).expect("it is a word of it");
        from = start + word.len();
        if at.iter().any(|known| word.eq_ignore_ascii_case(known)) {
            found.push((&text[..start], &text[from..]));
        }
    }
    found
}

/// The pieces between these words.
fn splits_all<'a>(text: &'a str, at: &[&str]) -> Vec<&'a str> {
    match splits(text, at).into_iter().next() {
        Some((before, after)) => std::iter::once(before).chain(splits_all(after, at)).collect(),
        None => vec![text],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn house() -> House {
        serde_json::from_value(json!({
            "devices": [
                { "id": "0x1", "name": "Bulb", "domains": ["light"] },
                { "id": "0x2", "name": "Bulb 2", "domains": ["light"] },
                { "id": "0x3", "name": "Kitchen lamp", "room": "Kitchen", "domains": ["light"] },
                { "id": "0x4", "name": "Blind", "domains": ["cover"] },
            ],
            "rooms": [{ "name": "Living room", "aliases": ["lounge"] }],
        }))
        .expect("a house")
    }

    fn said(text: &str) -> Option<Naming> {
        assert!(may_be_meant(text) || naming(text, &house()).is_none(), "{text}");
        naming(text, &house())
    }

    #[test]
    fn a_device_gets_another_name_as_it_was_written() {
        let rename = |device: usize, name: &str| Some(Naming::Rename(device, name.into()));
        for (text, wanted) in [
            ("rename Bulb to Reading lamp", rename(0, "Reading lamp")),
            ("Please rename the bulb 2 to \"Mum's lamp\".", rename(1, "Mum's lamp")),
            ("could you call the bulb Lampe für Opa, please", rename(0, "Lampe für Opa")),
            ("name bulb 2 desk", rename(1, "desk")),
            ("rename kitchen lamp to lamp to the left", rename(2, "lamp to the left")),
        ] {
            assert_eq!(said(text), wanted, "{text}");
        }
        for text in ["rename the toaster to oven", "rename bulb", "rename bulb to", "rename bulb to \"\""] {
            assert!(matches!(said(text), Some(Naming::Unclear(why)) if why.contains("othing was done")), "{text}");
        }
    }

    #[test]
    fn devices_are_put_into_a_room_that_there_is() {
        let moved = |devices: &[usize], room: &str| Some(Naming::Move(devices.to_vec(), room.into()));
        for (text, wanted) in [
            ("put the bulb into the kitchen", moved(&[0], "Kitchen")),
            ("move bulb 2 to the lounge!", moved(&[1], "Living room")),
            ("Put bulb and blind in the living room", moved(&[0, 3], "Living room")),
        ] {
            assert_eq!(said(text), wanted, "{text}");
        }
        let Some(Naming::Unclear(why)) = said("put the bulb into the attic") else { panic!("there is none") };
        assert!(why.contains("make a room called attic"), "{why}");
    }

    #[test]
    fn a_room_is_made_once() {
        for text in ["make a room called Attic", "add a new room Attic", "Create the room named \"Attic\"."] {
            assert_eq!(said(text), Some(Naming::NewRoom("Attic".into())), "{text}");
        }
        assert!(matches!(said("make a room called LOUNGE"), Some(Naming::Unclear(_))));
        assert!(matches!(said("make a room"), Some(Naming::Unclear(_))));
    }

    #[test]
    fn what_is_to_be_switched_or_told_is_not_taken_for_a_name() {
        for text in [
            "put the blind to 30 percent",
            "move the blind to half",
            "put the bulb on",
            "put the kitchen lamp on in the kitchen",
            "call my mother",
            "name three planets",
            "make the room warmer",
            "make me laugh",
            "turn on the bulb",
            "",
            "put",
            "rénommer",
        ] {
            assert_eq!(naming(text, &house()), None, "{text}");
        }
    }
}
