//! Values of Tuya's data points: six types on the air, and the conversions between them and properties that tables name.

use serde_json::Value as Json;

use super::number;
use crate::zigbee::definitions::convert::rounded;
use crate::zigbee::definitions::exposes::{SET, STATE};
use crate::zigbee::definitions::table::Fact;

/// Kept of a text or of bytes, which devices send for schedules and infra-red codes.
const VALUE_BYTES_MAX: usize = 1024;

/// A value as it is on the air.
#[derive(Debug, Clone, PartialEq)]
pub enum Wire {
    Raw(Vec<u8>),
    Bool(bool),
    Number(i32),
    Text(String),
    Enum(u8),
    Bitmap(u32),
}

impl Wire {
    pub fn decode(data_type: u8, bytes: &[u8]) -> Option<Wire> {
        let bytes = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
        let big_endian = || bytes.iter().take(4).fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        Some(match data_type {
            0 => Wire::Raw(bytes.to_vec()),
            1 => Wire::Bool(*bytes.first()? == 1),
            2 => Wire::Number(big_endian().cast_signed()),
            // Bytes that are no UTF-8 are characters of Latin-1.
            3 => Wire::Text(
                String::from_utf8(bytes.to_vec())
                    .unwrap_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect()),
            ),
            4 => Wire::Enum(*bytes.first()?),
            5 => Wire::Bitmap(big_endian()),
            _ => return None,
        })
    }

    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Wire::Raw(bytes) => (0, bytes.clone()),
            Wire::Bool(value) => (1, vec![u8::from(*value)]),
            Wire::Number(value) => (2, value.to_be_bytes().to_vec()),
            Wire::Text(text) => (3, text.as_bytes().to_vec()),
            Wire::Enum(value) => (4, vec![*value]),
            Wire::Bitmap(value) => (5, value.to_be_bytes().to_vec()),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Wire::Number(value) => Some(f64::from(*value)),
            Wire::Enum(value) => Some(f64::from(*value)),
            Wire::Bitmap(value) => Some(f64::from(*value)),
            _ => None,
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        if let Wire::Raw(bytes) = self { Some(bytes) } else { None }
    }

    fn is_true(&self) -> bool {
        *self == Wire::Bool(true) || self.number().is_some_and(|number| number != 0.0)
    }

    fn to_json(&self) -> Json {
        match self {
            Wire::Bool(value) => (*value).into(),
            Wire::Text(text) => text.as_str().into(),
            Wire::Raw(bytes) => bytes.iter().copied().map(Json::from).collect(),
            other => other.number().map_or(Json::Null, number),
        }
    }

    /// As a table says a value: a plain one, `{e}` of enumerations, `{b}` of bitmaps.
    fn of_fact(fact: &Fact) -> Option<Wire> {
        Some(match fact {
            Fact::Bool(value) => Wire::Bool(*value),
            Fact::Number(_) => Wire::Number(fact.int()?),
            Fact::Text(text) => Wire::Text((*text).to_owned()),
            fact => match (fact.get("e").int(), fact.get("b").int()) {
                (Some(value), _) => Wire::Enum(value),
                (_, Some(value)) => Wire::Bitmap(value),
                _ => return None,
            },
        })
    }

    /// Equal in value, whatever the type of number.
    fn means(&self, other: &Wire) -> bool {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) => one == two,
            _ => self == other,
        }
    }
}

/// A number out of a number, with the arguments that a table gives.
type Numbers = fn(f64, &[f64]) -> f64;

/// How a data point's value becomes a property's.
pub enum Conversion {
    Raw,
    /// What is shown for which value, and what for all others.
    Words(Vec<(Json, Wire)>, Option<Json>),
    /// True if it is this.
    Is(Wire),
    Number {
        from: Numbers,
        to: Numbers,
        args: Vec<f64>,
    },
    Own(&'static Own),
}

/// A conversion with a name: what it tells of a value (for the property, or several by their names), and what is sent.
pub struct Own {
    pub name: &'static str,
    from: fn(&Wire) -> Option<Told>,
    to: Option<fn(&Json) -> Option<Wire>>,
    /// What is told has nothing to do with what was set.
    pub is_momentary: bool,
}

pub enum Told {
    One(Json),
    Many(Vec<(&'static str, Json)>),
}

const fn own(name: &'static str, from: fn(&Wire) -> Option<Told>, to: Option<fn(&Json) -> Option<Wire>>) -> Own {
    Own { name, from, to, is_momentary: false }
}

const fn momentary(name: &'static str, to: fn(&Json) -> Option<Wire>) -> Own {
    Own { name, from: |_| Some(Told::One("idle".into())), to: Some(to), is_momentary: true }
}

static OWN: [Own; 29] = [
    own("coverPosition", |wire| position(wire, false), Some(|value| whole(value.as_f64()?))),
    own("coverPositionInverted", |wire| position(wire, true), Some(|value| whole(100.0 - value.as_f64()?))),
    own(
        "tubularMotorDirection",
        motor_direction,
        Some(|value| match value.as_str()? {
            "normal" => Some(Wire::Enum(0)),
            "reversed" => Some(Wire::Enum(1)),
            _ => None,
        }),
    ),
    own("onOffNotStrict", |wire| Some(Told::One(word(wire.is_true()))), Some(|value| Some(Wire::Bool(value == "ON")))),
    own("trueFalseInvert", |wire| one(!wire.is_true()), Some(|value| Some(Wire::Bool(!value.as_bool()?)))),
    own("inverse", |wire| one(!wire.is_true()), Some(|value| Some(Wire::Bool(!value.as_bool()?)))),
    own("fault", |wire| one(wire.is_true()), None),
    own("setLimit", |wire| Some(Told::One(wire.to_json())), Some(|value| Some(Wire::Bool(value.as_bool()?)))),
    own(
        "errorOrBatteryLow",
        |wire| {
            let code = wire.number()?;
            Some(Told::Many(vec![("error", number(code)), ("battery_low", (code == 1.0).into())]))
        },
        None,
    ),
    own(
        "localTemperatureCalibration",
        |wire| {
            let raw = wire.number()?;
            one(number(if raw > 4000.0 { raw - 4096.0 } else { raw }))
        },
        Some(|value| whole(wrapped(value.as_f64()?, 4096.0))),
    ),
    own(
        "localTemperatureCalibration_256",
        |wire| {
            let raw = wire.number()?;
            one(number(if raw > 200.0 { raw - 256.0 } else { raw }))
        },
        Some(|value| whole(wrapped(value.as_f64()?, 256.0))),
    ),
    own(
        "waterConsumption",
        |wire| {
            let bytes = wire.bytes()?.get(4..8)?;
            one(number(unsigned(bytes) / 1000.0))
        },
        None,
    ),
    own("plus1", |wire| one(number(wire.number()? + 1.0)), Some(|value| whole(value.as_f64()? - 1.0))),
    own(
        "power",
        |wire| {
            let raw = wire.number()?;
            // A negative one is 0x1999999c less its size.
            one(number(if raw > f64::from(0x0fff_ffff) { raw - f64::from(0x1999_999c) } else { raw }))
        },
        None,
    ),
    own("phaseVariant1", |wire| phase(wire, 13, 11, None), None),
    own("phaseVariant2", |wire| phase(wire, 0, 3, Some((6, 2))), None),
    own("phaseVariant3", phase_of_eight, None),
    own("phaseVariant4", phase_of_eight, None),
    own("phaseVariant5", |wire| phase(wire, 2, 5, Some((8, 2))), None),
    own("threshold", threshold, None),
    own("circuitBreakerFaults", |wire| faults(wire, "magnetism"), None),
    own("circuitBreakerFaults1", |wire| faults(wire, "negative_power"), None),
    own("thermostatScheduleDayMultiDP", schedule_of_four, Some(schedule_to_four)),
    own("thermostatScheduleDayMultiDP_TRV603WZ", schedule_of_pairs, Some(schedule_to_pairs)),
    own("onOffWithZeros", |wire| Some(Told::One(word(wire.is_true()))), Some(|value| Some(Wire::Bool(value == "ON")))),
    momentary("dismiss", |value| (value == "DISMISS").then_some(Wire::Enum(0))),
    momentary("refresh", |value| Some(Wire::Bool(value == "refresh"))),
    momentary("reset", |value| (value == "RESET").then_some(Wire::Bool(false))),
    momentary("autoAdjustment", |value| Some(Wire::Bool(value == "START"))),
];

fn one(value: impl Into<Json>) -> Option<Told> {
    Some(Told::One(value.into()))
}

fn word(is_on: bool) -> Json {
    if is_on { "ON" } else { "OFF" }.into()
}

fn whole(number: f64) -> Option<Wire> {
    let rounded = number.round();
    (-2_147_483_648.0..=2_147_483_647.0).contains(&rounded).then_some(Wire::Number(rounded as i32))
}

fn wrapped(number: f64, around: f64) -> f64 {
    if number < 0.0 { around + number } else { number }
}

fn position(wire: &Wire, is_inverted: bool) -> Option<Told> {
    let raw = wire.number()?;
    let position = if is_inverted { 100.0 - raw } else { raw };
    let state = if position == 0.0 { "CLOSE" } else { "OPEN" };
    Some(Told::Many(vec![("position", number(position)), ("state", state.into())]))
}

fn motor_direction(wire: &Wire) -> Option<Told> {
    let is_reversed = match wire {
        Wire::Text(text) => text == "back",
        wire => wire.number()? == 1.0,
    };
    one(if is_reversed { "reversed" } else { "normal" })
}

fn unsigned(bytes: &[u8]) -> f64 {
    bytes.iter().fold(0.0, |value, byte| value * 256.0 + f64::from(*byte))
}

/// Voltage (0.1 V) and current (mA) at two places, power (W) at a third of so many bytes.
fn phase(wire: &Wire, voltage: usize, current: usize, power: Option<(usize, usize)>) -> Option<Told> {
    let bytes = wire.bytes()?;
    let at = |from: usize, count: usize| bytes.get(from..from + count).map(unsigned);
    let mut told = vec![("voltage", number(at(voltage, 2)? / 10.0)), ("current", number(at(current, 2)? / 1000.0))];
    if let Some((from, count)) = power {
        told.push(("power", number(at(from, count)?)));
    }
    Some(Told::Many(told))
}

/// Voltage of two bytes, current and power of three each.
fn phase_of_eight(wire: &Wire) -> Option<Told> {
    let bytes = wire.bytes()?.get(..8)?;
    Some(Told::Many(vec![
        ("voltage", number(unsigned(&bytes[..2]) / 10.0)),
        ("current", number(unsigned(&bytes[2..5]) / 1000.0)),
        ("power", number(unsigned(&bytes[5..8]))),
    ]))
}

fn threshold(wire: &Wire) -> Option<Told> {
    let bytes = wire.bytes()?.get(..8)?;
    let kind = |byte: u8| match byte {
        0 => Json::from("not_set"),
        1 => Json::from("over_current_threshold"),
        3 => Json::from("over_voltage_threshold"),
        _ => Json::Null,
    };
    Some(Told::Many(vec![
        ("threshold_1_protection", word(bytes[1] == 1)),
        ("threshold_1", kind(bytes[0])),
        ("threshold_1_value", number(unsigned(&bytes[2..4]))),
        ("threshold_2_protection", word(bytes[5] == 1)),
        ("threshold_2", kind(bytes[4])),
        ("threshold_2_value", number(unsigned(&bytes[6..8]))),
    ]))
}

/// What a circuit breaker's bits mean, from the lowest on; one of them has another name in some.
const FAULTS: [&str; 17] = [
    "short_circuit",
    "surge",
    "overload",
    "leakage_current",
    "temperature",
    "fire",
    "high_power",
    "self_test",
    "over_current",
    "unbalance",
    "over_voltage",
    "under_voltage",
    "miss_phase",
    "outage",
    "magnetism",
    "credit",
    "no_balance",
];

fn faults(wire: &Wire, magnetism: &str) -> Option<Told> {
    let bits = wire.number()?.max(0.0) as u64;
    let set = FAULTS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    let names: Vec<Json> =
        set.map(|(_, name)| Json::from(if *name == "magnetism" { magnetism } else { name })).collect();
    one(names)
}

/// Hours, minutes and °C of a transition such as `06:30/21.5`.
fn transition(text: &str) -> Option<(u8, u8, f64)> {
    let (time, celsius) = text.split_once('/')?;
    let (hour, minute) = time.split_once(':')?;
    let transition = (hour.parse().ok()?, minute.parse().ok()?, celsius.parse().ok()?);
    let is_fine = transition.0 <= 24 && transition.1 < 60 && (5.0..=35.0).contains(&transition.2);
    is_fine.then_some(transition)
}

/// Four transitions of hour, minute and 0.1 °C behind a byte.
fn schedule_of_four(wire: &Wire) -> Option<Told> {
    let bytes = wire.bytes()?.get(1..17)?;
    let transitions = bytes.chunks_exact(4).map(|part| {
        let celsius = f64::from(u16::from_be_bytes([part[2], part[3]])) / 10.0;
        format!("{:02}:{:02}/{celsius:.1}", part[0], part[1])
    });
    one(transitions.collect::<Vec<_>>().join(" "))
}

fn schedule_to_four(value: &Json) -> Option<Wire> {
    let mut bytes = vec![0];
    for text in value.as_str()?.split(' ') {
        let (hour, minute, celsius) = transition(text)?;
        bytes.extend([hour, minute]);
        bytes.extend(((celsius * 10.0).floor() as u16).to_be_bytes());
    }
    (bytes.len() == 17).then_some(Wire::Raw(bytes))
}

/// Transitions of two bytes, ten minutes and half degrees, behind a byte and how many bytes there are.
fn schedule_of_pairs(wire: &Wire) -> Option<Told> {
    let bytes = wire.bytes()?;
    let pairs = bytes.get(2..)?.chunks_exact(2).take(usize::from(*bytes.get(1)?) / 2);
    let transitions = pairs
        .map(|pair| format!("{:02}:{:02}/{:.1}", pair[0] / 10, u16::from(pair[0] % 10) * 10, f64::from(pair[1]) / 2.0));
    one(transitions.collect::<Vec<_>>().join(" "))
}

/// The first byte of those that were seen.
const PAIRS_OF: u8 = 7;

fn schedule_to_pairs(value: &Json) -> Option<Wire> {
    let transitions = value.as_str()?.split_whitespace().map(transition).collect::<Option<Vec<_>>>()?;
    let mut bytes = vec![PAIRS_OF, u8::try_from(transitions.len() * 2).ok()?];
    for (hour, minute, celsius) in transitions {
        bytes.extend([hour.checked_mul(10)?.checked_add(minute / 10)?, (celsius * 2.0).round() as u8]);
    }
    Some(Wire::Raw(bytes))
}

/// What those of [`OWN`] tell that tell several, whatever their point is called.
pub fn many(name: &str) -> &'static [&'static str] {
    match name {
        "coverPosition" | "coverPositionInverted" => &["state"],
        "errorOrBatteryLow" => &["error", "battery_low"],
        "phaseVariant1" => &["voltage", "current"],
        "phaseVariant2" | "phaseVariant3" | "phaseVariant4" | "phaseVariant5" => &["voltage", "current", "power"],
        "threshold" => &[
            "threshold_1_protection",
            "threshold_1",
            "threshold_1_value",
            "threshold_2_protection",
            "threshold_2",
            "threshold_2_value",
        ],
        _ => &[],
    }
}

fn mapped(value: f64, args: &[f64], from: [usize; 4]) -> f64 {
    let [min, max, to_min, to_max] = from.map(|at| args.get(at).copied().unwrap_or(0.0));
    if max == min { to_min } else { (value - min) / (max - min) * (to_max - to_min) + to_min }
}

fn first(args: &[f64]) -> f64 {
    args.first().copied().unwrap_or(1.0)
}

impl Conversion {
    pub fn of_fact(fact: &Fact) -> Option<Conversion> {
        if let Some(name) = fact.text() {
            if name == "raw" {
                return Some(Conversion::Raw);
            }
            return OWN.iter().find(|own| own.name == name).map(Conversion::Own);
        }
        if !fact.get("l").is_null() {
            let are_flags = fact.get("y").is_true();
            let words = fact.get("l").map().iter().map(|(word, raw)| {
                let shown = match *word {
                    "true" if are_flags => true.into(),
                    "false" if are_flags => false.into(),
                    word => Json::from(word),
                };
                Some((shown, Wire::of_fact(raw)?))
            });
            let rest = Some(fact.get("d").to_json()).filter(|rest| !rest.is_null());
            return Some(Conversion::Words(words.collect::<Option<_>>()?, rest));
        }
        if !fact.get("t").is_null() {
            return Wire::of_fact(fact.get("t")).map(Conversion::Is);
        }
        let (name, args) = fact.map().first()?;
        let args: Vec<f64> = args.list().iter().filter_map(Fact::number).collect();
        let (from, to): (Numbers, Numbers) = match *name {
            "divideBy" => (|raw, args| raw / first(args), |value, args| value * first(args)),
            "multiplyBy" => (|raw, args| raw * first(args), |value, args| value / first(args)),
            "divideByFromOnly" => (|raw, args| raw / first(args), |value, _| value),
            "divideByWithLimits" => (
                |raw, args| (raw / first(args)).max(args[1]).min(args[2]),
                |value, args| value.max(args[1]).min(args[2]) * first(args),
            ),
            "scale" => (|raw, args| mapped(raw, args, [2, 3, 0, 1]), |value, args| mapped(value, args, [0, 1, 2, 3])),
            "line" => (|raw, args| raw * first(args) + args[1], |value, args| (value - args[1]) / first(args)),
            _ => return None,
        };
        let wanted = match *name {
            "divideByWithLimits" => 3,
            "scale" => 4,
            "line" => 2,
            _ => 1,
        };
        (args.len() == wanted && args[0].is_finite()).then_some(Conversion::Number { from, to, args })
    }

    pub fn from(&self, wire: &Wire) -> Option<Told> {
        match self {
            Conversion::Raw => one(wire.to_json()),
            Conversion::Words(words, rest) => {
                let found = words.iter().find(|(_, value)| value.means(wire)).map(|(word, _)| word.clone());
                found.or_else(|| rest.clone()).map(Told::One)
            }
            Conversion::Is(value) => one(value.means(wire)),
            // Twelve digits are more than a sensor has, and hide what halves of tenths come to.
            Conversion::Number { from, args, .. } => one(number(rounded(from(wire.number()?, args), 9))),
            Conversion::Own(own) => (own.from)(wire),
        }
    }

    pub fn to(&self, value: &Json) -> Option<Wire> {
        match self {
            Conversion::Raw => match value {
                Json::Bool(value) => Some(Wire::Bool(*value)),
                Json::Number(value) => whole(value.as_f64()?),
                Json::String(text) => Some(Wire::Text(text.clone())),
                Json::Array(bytes) => {
                    let bytes = bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()));
                    bytes.collect::<Option<_>>().map(Wire::Raw)
                }
                _ => None,
            },
            Conversion::Words(words, _) => {
                let same = |word: &Json| {
                    word == value || word.as_str().zip(value.as_str()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
                };
                words.iter().find(|(word, _)| same(word)).map(|(_, wire)| wire.clone())
            }
            Conversion::Is(_) => None,
            Conversion::Number { to, args, .. } => whole(to(value.as_f64()?, args)),
            Conversion::Own(own) => (own.to?)(value),
        }
    }

    pub fn access(&self) -> u8 {
        match self {
            Conversion::Is(_) => STATE,
            Conversion::Own(own) if own.to.is_none() => STATE,
            _ => STATE | SET,
        }
    }
}

#[cfg(test)]
#[path = "tuya_tests.rs"]
mod tests;
