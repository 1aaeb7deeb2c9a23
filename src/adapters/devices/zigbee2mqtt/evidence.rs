//! When a command is done. Zigbee2MQTT answers no `/set`: it publishes the device's state once its radio has an answer to the
//! command, and a line in its log where it has none (`refusal`). This file tells what proves a command from what does not. Pure:
//! knows no topic and no clock.
//!
//! From its sources (2.14: `publish`, `receive`; zigbee-herdsman 10.9: `endpoint`), and from runs against devices that refuse and lie:
//!
//! - The publication after a command says that *something* answered. herdsman does not look at the status of a default response, and
//!   so a command that the device refused is published as if it had been done. Only what the device itself says counts: each command
//!   is followed by a question (`/get`), and a property is confirmed by the second publication that shows it as wanted, which is the
//!   answer, or a report. One device's frames go out in their order. Where the answer is another value, the device is asked again,
//!   for lamps fade and locks turn; and then it has refused. A cover is on its way when its position has moved.
//! - A publication carries the whole state that it remembers, whatever caused it. So a property is told of only where it changed, or
//!   where nothing else changed that the device alone can know: a report of power says nothing of `state`.
//! - A multicast is answered by nobody, and the members' states are published at once all the same. Each member is asked after
//!   that, and only what comes then counts.
//! - Tuya's data points (`TS0601`) are published when they are sent; the device reports them when it has taken them. Two are needed,
//!   and none can be asked for.
//! - What is published and cannot be asked for is believed with its publication: the device answered, and more is not to be had.
//! - Of properties that are never published (`effect`, `identify`) nothing can be seen. Something else is asked behind the command:
//!   with the answer, and no line in the log, it had been answered; what is told as confirmed is nothing. Where nothing can be asked,
//!   nobody knows, and that is said.
//!   Zigbee2MQTT leaves out a line that is the same as the one before: a failure is answered when another line has come between,
//!   which the answer brings, and where its `log_level` is above `info` no missing line means anything.
//! - With `optimistic: false` nothing is published for a command, and the answer alone is enough.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::refusal::body;
use crate::common::capability::{Capability, CapabilityKind, Domain};
use crate::common::error::{ErrorBody, ErrorCode};

/// A command that nobody has told of by then has failed. Zigbee2MQTT gives up after 10 s, and after 17 s where it looks for a
/// new route first; its own words are worth the wait.
pub const SET: Duration = Duration::from_secs(20);

/// A question; herdsman waits 10 s.
pub const READ: Duration = Duration::from_secs(12);

/// Where nothing can be seen of a command, how long its failure is waited for.
const BLIND: Duration = Duration::from_secs(5);

/// How long a Tuya device has to report what it was sent.
const TUYA: Duration = Duration::from_secs(5);

/// A device that answers otherwise, or not, is asked again after this, and after [`ASK_AGAIN`].
const ASK: Duration = Duration::from_millis(1000);
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Questions for one command.
const ASKS_MAX: u8 = 3;

/// The longest `transition` that is waited for before the first question.
const TRANSITION_S_MAX: f64 = 10.0;

/// After a multicast: from the group's own publication until those of its members are through, and how long to wait for the
/// group's. Zigbee2MQTT waits 200 ms after a multicast itself.
pub const SETTLED: Duration = Duration::from_millis(150);
const GROUP: Duration = Duration::from_millis(1500);

/// What was read is answered when so long nothing more came.
const READ_QUIET: Duration = Duration::from_millis(1000);

/// Properties read at once.
const READS_MAX: usize = 16;

/// Told with everything, and by no device as news: they make no publication one about something else.
const NOISE: [&str; 8] =
    ["linkquality", "last_seen", "update", "update_available", "elapsed", "device", "color_mode", "color_options"];

/// What is known of a device that is asked for something.
#[derive(Debug, Clone, Copy)]
pub struct Believed<'a> {
    pub capabilities: &'a [Capability],
    pub state: &'a Map<String, Value>,
    /// Whatever it publishes stands in its log, too.
    pub is_logged: bool,
    /// Zigbee2MQTT publishes what was sent as if it had been reported; its default.
    pub is_optimistic: bool,
    pub is_tuya: bool,
}

impl Believed<'_> {
    fn capability(&self, property: &str) -> Option<&Capability> {
        self.capabilities.iter().find(|capability| *capability.property == *property)
    }
}

/// How a command goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Unicast,
    Multicast,
}

/// Watches one command, or one question, of one device until it is done.
#[derive(Debug)]
pub struct Watch {
    aims: Vec<Aim>,
    kind: Kind,
    /// What is asked where there is no aim to ask for.
    marker: Option<Box<str>>,
    /// Publications that count are those after a question.
    only_answers: bool,
    asked: u8,
    ask_at: Option<Instant>,
    /// It ends then, whatever is known.
    end_at: Instant,
    is_told: bool,
    /// It has failed, and is over with the next publication.
    failed: Option<ErrorBody>,
    done: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    TuyaSet,
    Read,
}

#[derive(Debug)]
struct Aim {
    property: Box<str>,
    want: Want,
    is_readable: bool,
    is_cover: bool,
    /// Publications that are still to come; 0: it is there.
    needed: u8,
    /// What was told instead, in answer to a question.
    other: Option<Value>,
}

/// What a line of the log means for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// It has failed.
    Fails,
    /// It goes on.
    Goes,
    /// It is over, see [`Watch::result`].
    IsDone,
}

/// What there is to do when the time has come.
#[derive(Debug, PartialEq)]
pub enum Due {
    Nothing,
    Ask(Vec<Box<str>>),
    End(Result<Map<String, Value>, ErrorBody>),
}

impl Watch {
    /// Of a command with these values.
    pub fn set(believed: Believed<'_>, set: &Map<String, Value>, way: Way, now: Instant) -> Watch {
        let mut aims = Vec::new();
        for (property, value) in set {
            let Some(capability) = believed.capability(property).filter(|capability| capability.reported) else {
                continue;
            };
            let want = Want::of(capability, value, believed.state);
            let needed = match way {
                Way::Unicast if believed.is_tuya || (believed.is_optimistic && capability.readable) => 2,
                _ => 1,
            };
            let is_readable = capability.readable;
            let is_cover = capability.part_of == Some(Domain::Cover);
            aims.push(Aim { property: property.as_str().into(), want, is_readable, is_cover, needed, other: None });
        }
        let marker = if aims.is_empty() {
            marker(&believed).filter(|_| believed.is_logged)
        } else {
            // A cover's `state` cannot be asked for; whether it moves can.
            position(&believed)
                .filter(|_| aims.iter().any(|aim| aim.is_cover) && aims.iter().all(|aim| !aim.is_readable))
        };
        let is_seen = !aims.is_empty() || marker.is_some();
        // A fading lamp would be asked in the middle of it.
        let transition_s = set.get("transition").and_then(Value::as_f64).unwrap_or(0.0).clamp(0.0, TRANSITION_S_MAX);
        Watch {
            kind: if believed.is_tuya { Kind::TuyaSet } else { Kind::Set },
            only_answers: way == Way::Multicast || aims.is_empty(),
            asked: 0,
            ask_at: Some(match way {
                Way::Multicast => now + GROUP,
                Way::Unicast => now + Duration::from_secs_f64(transition_s),
            }),
            end_at: now + if is_seen { SET } else { BLIND },
            is_told: false,
            failed: None,
            done: Map::new(),
            marker,
            aims,
        }
    }

    /// Of a question; all that can be read where no properties are named. `None`: there is nothing that can be.
    pub fn read(believed: Believed<'_>, properties: &[Box<str>], now: Instant) -> Option<Watch> {
        let is_asked = |capability: &&Capability| {
            capability.readable && (properties.is_empty() || properties.contains(&capability.property))
        };
        let aim = |capability: &Capability| Aim {
            property: capability.property.clone(),
            want: Want::Any,
            is_readable: true,
            is_cover: false,
            needed: 1,
            other: None,
        };
        let aims: Vec<_> = believed.capabilities.iter().filter(is_asked).take(READS_MAX).map(aim).collect();
        (!aims.is_empty()).then(|| Watch {
            kind: Kind::Read,
            marker: None,
            only_answers: true,
            asked: 0,
            ask_at: Some(now),
            end_at: now + READ,
            is_told: false,
            failed: None,
            done: Map::new(),
            aims,
        })
    }

    /// The state was published. `changed`: what is not as it was in `believed`, and was not merely unknown to the hub. True: it is
    /// over, see [`Watch::result`].
    pub fn published(
        &mut self,
        believed: Believed<'_>,
        state: &Map<String, Value>,
        changed: &[&str],
        now: Instant,
    ) -> bool {
        if self.failed.is_some() {
            return true;
        }
        if self.only_answers && self.asked == 0 {
            return false;
        }
        let is_aim = |property: &str| self.aims.iter().any(|aim| *aim.property == *property);
        // What a device can be told may have come with the command: `brightness` with `state`.
        let is_foreign = |property: &str| {
            !NOISE.contains(&property)
                && !is_aim(property)
                && !believed.capability(property).is_some_and(|capability| capability.settable)
        };
        let is_about_else = changed.iter().any(|property| is_foreign(property));
        let is_still = changed.iter().all(|property| NOISE.contains(property));
        let mut answers = usize::MAX;
        if self.kind == Kind::Read && is_still {
            // It answers one of the questions, and as all is as it was, no matter which.
            answers = 1;
        }
        for aim in self.aims.iter_mut().filter(|aim| aim.needed > 0) {
            let Some(value) = state.get(&*aim.property).filter(|value| !value.is_null()) else { continue };
            let has_changed = changed.contains(&&*aim.property);
            if !(has_changed || (!is_about_else && answers > 0 && (self.kind != Kind::Read || is_still))) {
                continue;
            }
            let has_moved = self.asked > 0 && self.kind == Kind::Set && aim.want.has_moved(state);
            if !aim.want.is_met(value) && !has_moved {
                aim.other = (self.asked > 0).then(|| value.clone());
                continue;
            }
            answers = answers.saturating_sub(1);
            self.is_told = true;
            aim.other = None;
            aim.needed -= 1;
            self.done.insert(aim.property.clone().into(), value.clone());
        }
        self.is_told |= self.aims.is_empty() && !is_about_else;
        match self.kind {
            Kind::Read if self.is_told => self.end_at = self.end_at.min(now + READ_QUIET),
            Kind::TuyaSet if self.is_told => self.end_at = self.end_at.min(now + TUYA),
            _ => {}
        }
        self.is_told && self.aims.iter().all(|aim| aim.needed == 0)
    }

    /// The group that was sent the command is published; its members' states follow at once.
    pub fn group_published(&mut self, now: Instant) {
        if self.only_answers && self.asked == 0 {
            self.ask_at = self.ask_at.map(|at| at.min(now + SETTLED));
        }
    }

    /// Zigbee2MQTT says that a question failed.
    pub fn question_failed(&self, why: &ErrorBody) -> Failing {
        let is_whole = self.aims.iter().all(|aim| self.done.contains_key(&*aim.property) && aim.other.is_none());
        // The device answered, and so it had taken what came before the question, which it would not tell.
        let is_refused = why.code == ErrorCode::DeviceRejected;
        match self.kind {
            _ if self.asked == 0 => Failing::Goes,
            _ if self.failed.is_some() => Failing::IsDone,
            Kind::Read if is_refused && self.aims.len() > 1 => Failing::Goes,
            Kind::Set if is_refused && is_whole && (self.aims.is_empty() || !self.only_answers) => Failing::IsDone,
            _ => Failing::Fails,
        }
    }

    /// Zigbee2MQTT says that a command failed: this one, unless it is a question.
    pub fn command_failed(&mut self, why: &ErrorBody, now: Instant) -> Failing {
        if self.kind == Kind::Read {
            return Failing::Goes;
        }
        if self.marker.is_none() || self.asked == 0 {
            return Failing::Fails;
        }
        self.failed = Some(why.clone());
        self.end_at = self.end_at.min(now + ASK_AGAIN);
        Failing::Goes
    }

    /// What it confirmed, or what was read, when it is over.
    pub fn result(self) -> Result<Map<String, Value>, ErrorBody> {
        self.failed.map_or(Ok(self.done), Err)
    }

    /// When [`Watch::due`] is to be called.
    pub fn wakes_at(&self) -> Instant {
        self.ask_at.map_or(self.end_at, |at| at.min(self.end_at))
    }

    /// `name` and `is_away` (Zigbee2MQTT holds it for unreachable) are for the words of an error.
    pub fn due(&mut self, name: &str, is_away: bool, now: Instant) -> Due {
        if now >= self.end_at {
            return Due::End(self.ended(name, is_away));
        }
        if self.ask_at.is_none_or(|at| now < at) {
            return Due::Nothing;
        }
        let unread =
            || self.aims.iter().filter(|aim| aim.is_readable && aim.needed > 0).map(|aim| aim.property.clone());
        let asks: Vec<_> = unread().chain(self.marker.clone()).collect();
        if asks.is_empty() {
            self.ask_at = None;
            return Due::Nothing;
        }
        if self.asked >= ASKS_MAX {
            self.ask_at = None;
            // It answers, and not with what was wanted.
            return if self.aims.iter().any(|aim| aim.other.is_some()) {
                Due::End(self.ended(name, is_away))
            } else {
                Due::Nothing
            };
        }
        self.asked += 1;
        let again = if self.asked == 1 { ASK } else { ASK_AGAIN };
        self.ask_at = (self.kind != Kind::Read).then_some(now + again);
        Due::Ask(asks)
    }

    fn ended(&mut self, name: &str, is_away: bool) -> Result<Map<String, Value>, ErrorBody> {
        if let Some(why) = self.failed.take() {
            return Err(why);
        }
        if self.kind == Kind::Read && self.is_told {
            return Ok(std::mem::take(&mut self.done));
        }
        if let Some((property, value)) = self.aims.iter().find_map(|aim| Some((&aim.property, aim.other.as_ref()?))) {
            let text = format!("{name} was told, and still reports `{property}` as {value}");
            return Err(body(ErrorCode::DeviceRejected, text));
        }
        if is_away {
            return Err(body(
                ErrorCode::DeviceUnreachable,
                format!("{name} does not answer; is it switched off, or out of reach?"),
            ));
        }
        let text = match self.kind {
            Kind::Read => format!("{name} has not answered"),
            Kind::TuyaSet => format!("{name} was sent the command, and has not reported that it took it"),
            Kind::Set if self.aims.is_empty() && self.marker.is_none() => {
                format!(
                    "{name} was sent the command; it is one of which Zigbee2MQTT tells nothing, so whether it was taken is not known"
                )
            }
            Kind::Set => {
                format!("nothing has come back from {name}; a device with a battery may sleep, and do it later")
            }
        };
        Err(body(ErrorCode::Timeout, text))
    }
}

/// The position of a cover, where it can be asked for.
fn position(believed: &Believed<'_>) -> Option<Box<str>> {
    let found = believed.capability("position").filter(|capability| capability.readable);
    found.map(|capability| capability.property.clone())
}

/// A property that can be asked for, `state` rather than others.
pub(super) fn marker(believed: &Believed<'_>) -> Option<Box<str>> {
    let readable = || believed.capabilities.iter().filter(|capability| capability.readable && capability.reported);
    readable()
        .find(|capability| &*capability.name == "state")
        .or_else(|| readable().next())
        .map(|found| found.property.clone())
}

/// When a property is as it was wanted.
#[derive(Debug, Clone, PartialEq)]
enum Want {
    /// Whatever it says: there is no telling in advance (`STOP` of a cover, a colour in hexadecimal).
    Any,
    /// Anything but what it was: `TOGGLE`.
    Not(Value),
    Is(Value),
    Near {
        value: f64,
        within: f64,
    },
    /// These parts of a composite, as far as they are told.
    Parts(Vec<(Box<str>, Want)>),
    /// Of a cover, which takes its time: this, or away from where it was (%).
    Reached {
        end: Box<Want>,
        from: f64,
    },
}

impl Want {
    /// `known`: the state before the command.
    fn of(capability: &Capability, value: &Value, known: &Map<String, Value>) -> Want {
        let end = match (&capability.kind, value, known.get(&*capability.property)) {
            (CapabilityKind::Binary { value_toggle: Some(toggle), .. }, _, was) if is_word(toggle, value) => {
                was.map_or(Want::Any, |was| Want::Not(was.clone()))
            }
            _ => Want::end(capability, value),
        };
        match known.get("position").and_then(Value::as_f64) {
            Some(from) if capability.part_of == Some(Domain::Cover) && end != Want::Any => {
                Want::Reached { end: Box::new(end), from }
            }
            _ => end,
        }
    }

    fn end(capability: &Capability, value: &Value) -> Want {
        match (&capability.kind, value) {
            (_, Value::Null) => Want::Any,
            (CapabilityKind::Numeric { presets, .. }, Value::String(word)) => {
                let preset = presets.iter().find(|preset| preset.name.eq_ignore_ascii_case(word));
                preset.map_or(Want::Any, |preset| Want::end(capability, &preset.value))
            }
            (CapabilityKind::Numeric { min, max, step, .. }, Value::Number(number)) => {
                // Devices count in steps of their own: one of theirs, or a hundredth of the whole, is no other value.
                let range = min.zip(*max).map_or(0.0, |(min, max)| (max - min).abs() / 100.0);
                Want::Near { value: number.as_f64().unwrap_or(f64::NAN), within: range.max(step.unwrap_or(0.0)) }
            }
            (CapabilityKind::Enum { .. }, Value::String(word))
                if capability.part_of == Some(Domain::Cover) && word.eq_ignore_ascii_case("stop") =>
            {
                Want::Any
            }
            (CapabilityKind::Composite { features }, Value::Object(parts)) => {
                let known = |(key, value): (&String, &Value)| {
                    let part = features.iter().find(|part| *part.property == **key)?;
                    Some((key.as_str().into(), Want::part(part, value)))
                };
                let wanted: Vec<_> = parts.iter().filter_map(known).collect();
                if wanted.is_empty() { Want::Any } else { Want::Parts(wanted) }
            }
            (CapabilityKind::Composite { .. }, _) => Want::Any,
            _ => Want::Is(value.clone()),
        }
    }

    /// Colours come back as the device rounds them: 1/254 of the whole, and Zigbee2MQTT's own steps between x/y and hue.
    fn part(part: &Capability, value: &Value) -> Want {
        match (&*part.property, value.as_f64()) {
            ("x" | "y", Some(value)) => Want::Near { value, within: 0.02 },
            ("hue", Some(value)) => Want::Near { value, within: 4.0 },
            ("saturation", Some(value)) => Want::Near { value, within: 2.0 },
            _ => Want::end(part, value),
        }
    }

    fn is_met(&self, now: &Value) -> bool {
        match self {
            Want::Any => true,
            Want::Not(was) => was != now,
            Want::Is(value) => is_word(value, now),
            Want::Near { value, within } => now.as_f64().is_some_and(|now| (now - value).abs() <= within + 1e-9),
            Want::Parts(parts) => parts.iter().all(|(key, want)| now.get(&**key).is_none_or(|part| want.is_met(part))),
            Want::Reached { end, .. } => end.is_met(now),
        }
    }

    /// A cover that is somewhere else than before.
    fn has_moved(&self, state: &Map<String, Value>) -> bool {
        let Want::Reached { from, .. } = self else { return false };
        state.get("position").and_then(Value::as_f64).is_some_and(|position| position != *from)
    }
}

/// The same value, words in any case.
fn is_word(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.eq_ignore_ascii_case(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}
