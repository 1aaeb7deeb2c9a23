//! IAS zones and warning devices (ZCL r8 §8.2, §8.4): what a zone's status bits mean for the kind of sensor that it is.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::*;
use crate::zigbee::definitions::Later;
use crate::zigbee::zcl::frame::FrameKind;
use crate::zigbee::zcl::{Header, Reader};

pub const ZONE: ClusterId = ClusterId(0x0500);
pub const WARNING: ClusterId = ClusterId(0x0502);
const ZONE_STATUS: u16 = 0x0002;
pub const STATUS: AttributeId = AttributeId(ZONE_STATUS);
const STATUS_CHANGE: u8 = 0x00;
const MAX_DURATION: u16 = 0x0000;
/// Sensors that never say that it is over are believed for so long.
pub const CLEARED_AFTER: Duration = Duration::from_secs(90);

/// Bits of the zone status and their properties.
const BITS: [(&str, u8); 8] = [
    ("tamper", 2),
    ("battery_low", 3),
    ("supervision_reports", 4),
    ("restore_reports", 5),
    ("trouble", 6),
    ("ac_status", 7),
    ("test", 8),
    ("battery_defect", 9),
];

/// Which bit is which property.
pub struct Zone {
    /// Property, bit, and whether it is told the other way round.
    bits: Vec<(Box<str>, u8, bool)>,
    clears: Option<Duration>,
    /// Its changes, its attribute, or both.
    by_command: bool,
    by_attribute: bool,
    /// Properties carry the names of endpoints.
    is_postfixed: bool,
}

impl Zone {
    pub fn of_block(args: &Fact) -> Option<Zone> {
        let kind = args.get("z").text()?;
        let attributes: Vec<_> = args.get("a").list().iter().filter_map(Fact::text).collect();
        let is_both = attributes.contains(&"alarm_1") && attributes.contains(&"alarm_2");
        let is_inverted = (kind == "contact") != args.get("i").is_true();
        let mut bits = Vec::new();
        for name in attributes {
            let alarm = match name {
                "alarm_1" => Some(0),
                "alarm_2" => Some(1),
                _ => None,
            };
            match alarm {
                Some(bit) => {
                    let name = match (kind, is_both) {
                        ("generic", _) => name.to_owned(),
                        (_, true) => format!("{kind}_{name}"),
                        _ => kind.to_owned(),
                    };
                    bits.push((name.into(), bit, is_inverted));
                }
                None => bits.extend(
                    BITS.iter().find(|(other, _)| *other == name).map(|(name, bit)| ((*name).into(), *bit, false)),
                ),
            }
        }
        for own in args.get("m").list() {
            bits.push((own.at(0).text()?.into(), own.at(1).int()?, false));
        }
        let clears = args.get("t").is_true().then_some(CLEARED_AFTER);
        Some(Zone { bits, clears, by_command: true, by_attribute: true, is_postfixed: false })
    }

    /// A zone of the older kind, which tells a change by command: the alarm's property, its bit (2: of either), the others.
    pub fn simple(alarm: Option<(&str, u8, bool)>, others: &[&str]) -> Zone {
        let mut bits = Vec::from_iter(alarm.map(|(name, bit, inverted)| (name.into(), bit, inverted)));
        bits.extend(
            BITS.iter().filter(|(name, _)| others.contains(name)).map(|(name, bit)| ((*name).into(), *bit, false)),
        );
        Zone { bits, clears: None, by_command: true, by_attribute: false, is_postfixed: true }
    }

    /// Of a device that nobody knows.
    pub fn generic() -> Zone {
        let mut zone = Zone::simple(None, &["tamper", "battery_low"]).with_attribute();
        zone.bits.extend([("alarm_1".into(), 0, false), ("alarm_2".into(), 1, false)]);
        zone
    }

    pub fn by_report(self) -> Zone {
        Zone { by_command: false, by_attribute: true, ..self }
    }

    pub fn with_attribute(self) -> Zone {
        Zone { by_attribute: true, ..self }
    }

    pub fn clearing(self) -> Zone {
        Zone { clears: Some(CLEARED_AFTER), ..self }
    }

    fn status(&self, heard: &Heard<'_>) -> Option<u64> {
        if heard.cluster != ZONE {
            return None;
        }
        match heard.what {
            What::Command { header, payload } if self.by_command => changed(header, payload),
            What::Attributes { .. } if self.by_attribute => attribute(heard, ZONE, ZONE_STATUS).and_then(Value::as_u64),
            _ => None,
        }
    }
}

/// The status in a `Zone Status Change Notification`.
pub fn changed(header: &Header, payload: &[u8]) -> Option<u64> {
    let is_change =
        header.kind == FrameKind::Cluster && header.command == STATUS_CHANGE && header.direction == Direction::ToClient;
    let row = clusters::command_named(ZONE, Direction::ToClient, "statusChangeNotification").filter(|_| is_change)?;
    command::decode(row, &mut Reader::new(payload)).ok()?.u64("zonestatus")
}

impl Convert for Zone {
    fn access(&self, name: &str) -> u8 {
        if self.bits.iter().any(|(other, ..)| **other == *name) { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let Some(status) = self.status(heard) else { return };
        let mut cleared = Map::new();
        for (name, bit, inverted) in &self.bits {
            let property = if self.is_postfixed { context.property(name, heard.endpoint) } else { name.to_string() };
            let is_set = (status >> bit & 1 == 1) != *inverted;
            // Two bits may mean the same: either is enough.
            let before = out.changes.get(&property).and_then(Json::as_bool).filter(|_| *bit < 2);
            let is_set = before.map_or(is_set, |before| if *inverted { before && is_set } else { before || is_set });
            out.changes.insert(property.clone(), is_set.into());
            if *bit < 2 && self.clears.is_some() && is_set {
                cleared.insert(property, false.into());
            }
        }
        if let Some(after) = self.clears.filter(|_| !cleared.is_empty()) {
            out.later.push(Later { after, changes: cleared });
        }
    }
}

/// `warning`: a siren.
pub struct Warning {
    is_reversed: bool,
    has_duration: bool,
}

pub const MODES: [&str; 7] = ["stop", "burglar", "fire", "emergency", "police_panic", "fire_panic", "emergency_panic"];
pub const LEVELS: [&str; 4] = ["low", "medium", "high", "very_high"];

impl Warning {
    pub fn of_block(args: &Fact) -> Warning {
        Warning { is_reversed: args.get("r").is_true(), has_duration: args.get("d").is_true() }
    }

    pub fn plain() -> Warning {
        Warning { is_reversed: false, has_duration: false }
    }
}

impl Convert for Warning {
    fn access(&self, name: &str) -> u8 {
        match name {
            "warning" => SET,
            "max_duration" if self.has_duration => STATE | SET | GET,
            _ => 0,
        }
    }

    fn decode(&self, _context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let seconds = attribute(heard, WARNING, MAX_DURATION).and_then(Value::as_u64).filter(|_| self.has_duration);
        out.changes.extend(seconds.map(|seconds| ("max_duration".into(), seconds.into())));
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let endpoint = context.endpoint(request.endpoint(), WARNING);
        if self.has_duration
            && let Some(value) = request.take("max_duration")
        {
            let seconds = as_number("max_duration", &value)?.round().clamp(0.0, 65_534.0);
            let typed = Typed::new(crate::zigbee::zcl::DataType::U16, seconds as u64);
            plan.commands.push(write(endpoint, WARNING, None, MAX_DURATION, typed));
            expect(plan, "max_duration".into(), number(seconds), 0.0);
            plan.reads.extend(context.read(request.endpoint(), WARNING, &[MAX_DURATION]));
        }
        let Some(value) = request.take("warning") else { return Ok(()) };
        // What has no parts would be the emergency, all of whose parts are left out; the word `stop`, too.
        if !value.is_object() {
            return Err(refusal("warning", "it takes {mode, level, strobe, duration}"));
        }
        let word = |name: &str, default: &str, words: &[&str]| {
            let word = value.get(name).map_or_else(|| Ok(default.to_owned()), |word| as_word("warning", word))?;
            let at = words.iter().position(|other| *other == word);
            at.map(|at| at as u64).ok_or_else(|| refusal("warning", &format!("it knows no {name} {word}")))
        };
        let part = |name: &str, default: f64| value.get(name).map_or(Ok(default), |value| as_number("warning", value));
        let (mode, level) = (word("mode", "emergency", &MODES)?, word("level", "medium", &LEVELS)?);
        let strobe_level = word("strobe_level", "medium", &LEVELS)?;
        let strobe = value.get("strobe").map_or(Some(true), Json::as_bool);
        let strobe = u64::from(strobe.ok_or_else(|| refusal("warning", "strobe is true or false"))?);
        let info = if self.is_reversed { mode | strobe << 4 | level << 6 } else { mode << 4 | strobe << 2 | level };
        let given = [
            ("startwarninginfo", Value::Unsigned(info)),
            ("warningduration", Value::Unsigned(part("duration", 10.0)?.clamp(0.0, 65_535.0) as u64)),
            ("strobedutycycle", Value::Unsigned((part("strobe_duty_cycle", 0.0)? * 10.0).clamp(0.0, 100.0) as u64)),
            ("strobelevel", Value::Unsigned(strobe_level)),
        ];
        plan.commands.push(command(endpoint, WARNING, "startWarning", &given)?);
        expect_taken(plan, context.full("warning", request.endpoint()), value);
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        let is_ours = name == "max_duration" && self.has_duration;
        if is_ours { context.read(endpoint, WARNING, &[MAX_DURATION]) } else { Vec::new() }
    }
}
