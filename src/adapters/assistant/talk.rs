//! The assistant's part in a turn about the house: it asks for the devices, has them set, and says what came of it. Each step
//! follows from the messages alone. It claims nothing that a result does not say.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::hear::Heard;
use super::house::{Device, Group, House, NAMES_MAX, Room, and_more, joined};
use super::naming::{self, Naming};
use super::question::{Measure, Question, STATES};
use super::vocabulary::{POLITE, VERBS, WARMTH};
use super::wish::{self, Wish};
use crate::common::chat::{Message, Part, Role, ToolResult};

/// The tools by their names on the wire (`router/tools/names`).
pub const LIST: &str = "devices_list";
pub const SET: &str = "devices_set";
const ROOMS: &str = "rooms_list";
const GROUPS: &str = "groups_list";
const RENAME: &str = "devices_rename";
const ROOM: &str = "rooms_set";

/// Pages of `devices.list` that are read in one turn: a turn has 12 rounds (`mcp.tool_rounds`), and the last ones are for doing it.
const PAGES_MAX: usize = 8;

/// Devices of one page. So many fit into what a model is told of one call, however much each reports.
const PAGE_LEN: u32 = 100;

/// Rooms and groups that are asked for; what those beyond are called is not known.
const NAMED_LEN: u32 = 100;

/// What it does next.
#[derive(Debug, PartialEq)]
pub enum Next {
    Say(String),
    /// Calls, to be made at once.
    Call(Vec<(&'static str, Map<String, Value>)>),
    /// It is not about the house.
    Nothing,
}

/// What `devices.set` answers, as far as it is read.
#[derive(Deserialize)]
struct Done {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    id: String,
    #[serde(default)]
    name: Option<String>,
    ok: bool,
    #[serde(default)]
    state: Map<String, Value>,
    /// What it took, and has not said to be so.
    #[serde(default)]
    taken: Vec<String>,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
}

/// The next step of the turn that the last of the user's messages began.
pub fn next(messages: &[Message]) -> Next {
    let Some(at) = messages.iter().rposition(|message| message.role == Role::User) else { return Next::Nothing };
    let text = messages[at].text();
    let heard = Heard::new(&text);
    let results: Vec<&ToolResult> =
        messages[at + 1..].iter().flat_map(|message| &message.parts).filter_map(result).collect();
    if results.is_empty() {
        return match wish::may_be_about_the_house(&heard) || naming::may_be_meant(&text) {
            true => Next::Call(vec![list(None), named(ROOMS), named(GROUPS)]),
            false => Next::Nothing,
        };
    }
    let done: Vec<&&ToolResult> = results.iter().filter(|result| result.name == SET).collect();
    let house = match house(&results) {
        Ok(house) => house,
        Err(why) => return Next::Say(why),
    };
    if !done.is_empty() {
        return Next::Say(said_of_all(&done, &house));
    }
    let naming = naming::naming(&text, &house);
    let named: Vec<&&ToolResult> = results.iter().filter(|result| [RENAME, ROOM].contains(&&*result.name)).collect();
    if !named.is_empty() {
        let is_move = matches!(naming, Some(Naming::Move(..)));
        let said: Vec<_> = named.into_iter().map(|result| said_of_naming(result, is_move)).collect();
        return Next::Say(said.join(" "));
    }
    if let Some(cursor) = &house.next_cursor
        && results.iter().filter(|result| result.name == LIST).count() < PAGES_MAX
    {
        return Next::Call(vec![list(Some(cursor))]);
    }
    match naming {
        Some(Naming::Unclear(why)) => return Next::Say(why),
        Some(naming) => return Next::Call(to_name(naming, &house)),
        None => {}
    }
    let before = messages[..at].iter().rfind(|message| message.role == Role::User).map(Message::text);
    match wish::wish(&with_names(heard, before.as_deref(), &house), &house) {
        Wish::Set(orders) => {
            let call = |order: wish::Order| {
                let ids: Vec<&str> = order.devices.iter().map(|at| house.devices[*at].id.as_str()).collect();
                let arguments =
                    Map::from_iter([("targets".to_owned(), json!(ids)), ("set".to_owned(), order.set.into())]);
                (SET, arguments)
            };
            Next::Call(orders.into_iter().map(call).collect())
        }
        Wish::Tell(question) => Next::Say(answer(&question, &house)),
        Wish::Unclear(why) => Next::Say(why),
        Wish::Other => Next::Nothing,
    }
}

/// The calls that give names and rooms.
fn to_name(naming: Naming, house: &House) -> Vec<(&'static str, Map<String, Value>)> {
    let arguments =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let id = |device: usize| house.devices[device].id.as_str();
    match naming {
        Naming::Rename(device, name) => vec![(RENAME, arguments(&[("device", id(device)), ("name", &name)]))],
        Naming::Move(devices, room) => {
            devices.into_iter().map(|device| (RENAME, arguments(&[("device", id(device)), ("room", &room)]))).collect()
        }
        Naming::NewRoom(name) => vec![(ROOM, arguments(&[("room", &name)]))],
        Naming::Unclear(_) => Vec::new(),
    }
}

/// What `devices.rename` and `rooms.set` answer, as far as it is read.
#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    room: Option<String>,
}

fn said_of_naming(result: &ToolResult, is_move: bool) -> String {
    if result.is_error {
        return format!("That did not work: {}", result.content);
    }
    match serde_json::from_str::<Named>(&result.content) {
        Ok(Named { name, .. }) if result.name == ROOM => format!("There is a room called {name} now."),
        Ok(Named { name, room: Some(room) }) if is_move => format!("{name} is in {room} now."),
        Ok(Named { name, .. }) => format!("It is called {name} now."),
        Err(_) => "I could not read what came of it: look at the list of devices.".into(),
    }
}

/// With the devices that were named before in the place of "it": "is the lamp on?", "turn it off".
fn with_names(heard: Heard, before: Option<&str>, house: &House) -> Heard {
    let is_it = |word: &str| ["it", "them"].contains(&word);
    let is_deed = heard.after(POLITE).begins(VERBS) && !heard.has(WARMTH);
    let is_state = STATES.iter().any(|(state, _)| heard.has(&[state]));
    let Some(before) = before.filter(|_| (is_deed || is_state) && !wish::is_any(heard.words(), house)) else {
        return heard;
    };
    let named = house.named(Heard::new(before).words());
    let names: Vec<&str> = named.iter().map(|(at, _)| house.devices[*at].name.as_str()).collect();
    let names = names.join(" and ");
    let word = |word: &String| if is_it(word) && !names.is_empty() { names.clone() } else { word.clone() };
    Heard::new(&heard.words().iter().map(word).collect::<Vec<_>>().join(" "))
}

fn list(cursor: Option<&str>) -> (&'static str, Map<String, Value>) {
    let mut arguments = Map::from_iter([("limit".to_owned(), json!(PAGE_LEN))]);
    arguments.extend(cursor.map(|cursor| ("cursor".to_owned(), json!(cursor))));
    (LIST, arguments)
}

fn named(tool: &'static str) -> (&'static str, Map<String, Value>) {
    (tool, Map::from_iter([("limit".to_owned(), json!(NAMED_LEN))]))
}

fn result(part: &Part) -> Option<&ToolResult> {
    match part {
        Part::ToolResult(result) => Some(result),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Rooms {
    rooms: Vec<Room>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

/// The house, of all pages that were read. Whoever may not see rooms or groups does without what those are called.
fn house(results: &[&ToolResult]) -> Result<House, String> {
    let mut whole = House::default();
    for result in results.iter().filter(|result| result.name == LIST) {
        if result.is_error {
            return Err(format!("I cannot look at the devices of this house, so nothing was done: {}", result.content));
        }
        let page: House = serde_json::from_str(&result.content)
            .map_err(|_| "I could not read the list of this house's devices, so nothing was done.".to_owned())?;
        whole.devices.extend(page.devices);
        whole.next_cursor = page.next_cursor;
    }
    let of = |tool: &'static str| results.iter().filter(move |result| result.name == tool && !result.is_error);
    whole.rooms = of(ROOMS)
        .filter_map(|result| serde_json::from_str::<Rooms>(&result.content).ok())
        .flat_map(|told| told.rooms)
        .collect();
    let groups = of(GROUPS).filter_map(|result| serde_json::from_str::<Groups>(&result.content).ok());
    whole.put_groups(groups.flat_map(|told| told.groups).collect());
    Ok(whole)
}

/// What came of the commands: what was confirmed, and what was not.
fn said_of_all(done: &[&&ToolResult], house: &House) -> String {
    let mut sentences = Vec::new();
    for result in done {
        match serde_json::from_str::<Done>(&result.content) {
            Ok(done) => sentences.extend(said_of(&done.results, house)),
            // A refusal as a whole, or something that is not the answer of the tool: then nothing is known to be done.
            Err(_) if result.is_error => sentences.push(format!("That did not work: {}", result.content)),
            Err(_) => sentences.push("I could not read what came of it: look at the device itself.".to_owned()),
        }
    }
    sentences.join(" ")
}

fn said_of(outcomes: &[Outcome], house: &House) -> Vec<String> {
    let name = |outcome: &Outcome| {
        let known = house.devices.iter().find(|device| device.id == outcome.id).map(|device| device.name.clone());
        outcome.name.clone().or(known).unwrap_or_else(|| outcome.id.clone())
    };
    // Those that came to the same are said together.
    let mut alike: Vec<(String, Vec<String>)> = Vec::new();
    for outcome in outcomes {
        let came_to = match (&outcome.error, outcome.ok) {
            (None, true) if outcome.taken.is_empty() => is_now(&outcome.state),
            (None, true) => "took it, and has not said yet that it is done".to_owned(),
            (error, _) => {
                let why = error.as_ref().map(|error| error.message.trim()).filter(|why| !why.is_empty());
                format!("did not do it: {}", why.unwrap_or("it does not say why"))
            }
        };
        match alike.iter_mut().find(|(same, _)| *same == came_to) {
            Some((_, names)) => names.push(name(outcome)),
            None => alike.push((came_to, vec![name(outcome)])),
        }
    }
    let sentence = |(came_to, names): (String, Vec<String>)| {
        let shown = joined(names.iter().take(NAMES_MAX).map(String::as_str));
        let more = and_more(names.len());
        let came_to = if names.len() > 1 { came_to.replacen("is ", "are ", 1) } else { came_to };
        let end = if came_to.ends_with(['.', '!', '?']) { "" } else { "." };
        format!("{shown}{more} {came_to}{end}")
    };
    alike.into_iter().map(sentence).collect()
}

/// A confirmed state in words.
fn is_now(state: &Map<String, Value>) -> String {
    let words = state_words(state);
    if words.is_empty() { "is set".into() } else { format!("is {}", joined(words.iter().map(String::as_str))) }
}

/// What is worth saying of a state.
fn state_words(state: &Map<String, Value>) -> Vec<String> {
    let mut words = Vec::new();
    let number = |name: &str| state.get(name).and_then(Value::as_f64);
    let is_on = state.get("state").and_then(Value::as_str);
    words.extend(is_on.map(|is_on| match is_on {
        "OPEN" => "open".to_owned(),
        "CLOSE" | "CLOSED" => "closed".into(),
        other => other.to_lowercase(),
    }));
    if let Some(brightness) = number("brightness").filter(|_| is_on != Some("OFF")) {
        words.push(format!("at {} %", percent(brightness)));
    }
    words.extend(number("position").map(|position| format!("at position {position} %")));
    match state.get("contact").and_then(Value::as_bool) {
        Some(true) => words.push("closed".into()),
        Some(false) => words.push("open".into()),
        None => {}
    }
    match state.get("occupancy").and_then(Value::as_bool) {
        Some(true) => words.push("seeing somebody".into()),
        Some(false) => words.push("seeing nobody".into()),
        None => {}
    }
    match state.get("smoke").and_then(Value::as_bool) {
        Some(true) => words.push("smelling smoke".into()),
        Some(false) => words.push("smelling no smoke".into()),
        None => {}
    }
    match state.get("water_leak").and_then(Value::as_bool) {
        Some(true) => words.push("wet".into()),
        Some(false) => words.push("dry".into()),
        None => {}
    }
    if let Some(locked) = state.get("lock_state").and_then(Value::as_str) {
        words.push(locked.replace('_', " "));
    }
    words.extend(
        ["occupied_heating_setpoint", "current_heating_setpoint"]
            .iter()
            .find_map(|name| number(name))
            .map(|to| format!("set to {to} °C")),
    );
    words.extend(
        ["temperature", "local_temperature"]
            .iter()
            .find_map(|name| number(name))
            .map(|now| format!("at {} °C", tenths(now))),
    );
    words
}

fn percent(brightness: f64) -> u64 {
    (brightness / 254.0 * 100.0).round().clamp(0.0, 100.0) as u64
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn answer(question: &Question, house: &House) -> String {
    match question {
        Question::State(devices) => states_of(devices, house),
        Question::Measured { devices, measure } => {
            let value = |device: &Device| {
                let value = measure.properties.iter().find_map(|name| device.state.get(*name)).and_then(Value::as_f64);
                value.map(|value| format!("{}{}", tenths(value), unit(measure, value)))
            };
            let said: Vec<String> = devices
                .iter()
                .take(NAMES_MAX)
                .map(|at| &house.devices[*at])
                .map(|device| match value(device) {
                    Some(value) => format!("{}{}: {value}{}", device.name, in_room(device), unheard(device)),
                    None => format!("{}{}: not told yet", device.name, in_room(device)),
                })
                .collect();
            format!("The {}: {}{}.", measure.word, said.join(", "), and_more(devices.len()))
        }
        Question::Which { devices, state, is_all } => which(devices, state, *is_all, house),
        Question::Devices(_) if house.devices.is_empty() => "This hub has no device yet.".into(),
        Question::Devices(devices) => {
            let names = joined(devices.iter().take(NAMES_MAX).map(|at| house.devices[*at].name.as_str()));
            let count = devices.len();
            let there =
                if count == 1 { "There is one device".to_owned() } else { format!("There are {count} devices") };
            format!("{there}: {names}{}.", and_more(count))
        }
        Question::Rooms => {
            let mut rooms: Vec<&str> = house.devices.iter().filter_map(|device| device.room.as_deref()).collect();
            rooms.sort_unstable();
            rooms.dedup();
            match rooms.is_empty() {
                true => "No device is in a room yet.".into(),
                false => {
                    let names = joined(rooms.iter().take(NAMES_MAX).copied());
                    format!("There are devices in {names}{}.", and_more(rooms.len()))
                }
            }
        }
        Question::Unknown(why) => why.clone(),
    }
}

/// Air pressure comes in hPa of some devices and in kPa of others: it is 87 to 108 of these wherever people live.
fn unit(measure: &Measure, value: f64) -> &'static str {
    if measure.word == "air pressure" && value < KPA_MAX { " kPa" } else { measure.unit }
}

const KPA_MAX: f64 = 200.0;

/// Which of them are so, or whether all are.
fn which(devices: &[usize], state: &str, is_all: bool, house: &House) -> String {
    let has = |word: &str| -> Vec<&Device> {
        let is_so = |device: &&Device| state_words(&device.state).iter().any(|own| own == word);
        devices.iter().map(|at| &house.devices[*at]).filter(is_so).collect()
    };
    let opposite = STATES.iter().find(|(word, _)| *word == state).map_or("", |(_, opposite)| *opposite);
    let (so, others) = (has(state), has(opposite));
    match (so.is_empty(), others.is_empty()) {
        // A thermostat is neither on nor off: then how it is.
        (true, true) if !devices.is_empty() && devices.len() <= NAMES_MAX => states_of(devices, house),
        (true, true) => format!("Nothing of that is {state}, as far as I know."),
        (false, true) if is_all => format!("Yes: {}", are(&so, state)),
        (_, false) if is_all => format!("No: {}", are(&others, opposite)),
        (true, false) => format!("Nothing of that is {state}, as far as I know."),
        (false, _) => are(&so, state),
    }
}

/// "A and B are on." What cannot be reached now may have changed.
fn are(devices: &[&Device], state: &str) -> String {
    let names = |devices: &[&Device]| {
        joined(devices.iter().take(NAMES_MAX).map(|device| device.name.as_str())) + &and_more(devices.len())
    };
    let verb = if devices.len() == 1 { "is" } else { "are" };
    let gone: Vec<&Device> = devices.iter().copied().filter(|device| device.available == Some(false)).collect();
    let old = match gone.is_empty() {
        true => String::new(),
        false => format!(" That is as {} last said: not to be reached now.", names(&gone)),
    };
    format!("{} {verb} {state}.{old}", names(devices))
}

fn states_of(devices: &[usize], house: &House) -> String {
    let sentences: Vec<String> = devices.iter().take(NAMES_MAX).map(|at| state_of(&house.devices[*at])).collect();
    sentences.join(" ")
}

fn state_of(device: &Device) -> String {
    let words = state_words(&device.state);
    match words.is_empty() {
        true => format!("{} has not told how it is.", device.name),
        false => format!("{} is {}{}.", device.name, joined(words.iter().map(String::as_str)), unheard(device)),
    }
}

fn in_room(device: &Device) -> String {
    device.room.as_ref().map_or_else(String::new, |room| format!(" ({room})"))
}

/// Said with what may be old.
fn unheard(device: &Device) -> &'static str {
    if device.available == Some(false) { ", when it was last heard of: it cannot be reached now" } else { "" }
}

#[cfg(test)]
#[path = "talk_tests.rs"]
mod tests;
