//! The building blocks: each turns messages of devices into properties, properties into messages, or both. A definition is a
//! row of them. Knows no single device; keeps nothing but what a device's [`Memory`] holds.

mod actions;
mod battery;
mod climate;
mod color;
mod cover;
mod energy;
pub mod generic;
mod ias;
mod identify;
mod light;
mod lock;
mod lumi;
mod mapped;
mod named;
mod philips;
mod switch;
mod tuya;
mod tuya_values;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::zigbee::definitions::exposes::{GET, SET, STATE};
use crate::zigbee::definitions::table::{Fact, json_number};
use crate::zigbee::definitions::{
    Body, Command, Decoded, Expect, Expected, Heard, Identity, Memory, Plan, Read, Refusal, What,
};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, MakerCode};
use crate::zigbee::zcl::clusters;
use crate::zigbee::zcl::command;
use crate::zigbee::zcl::frame::Direction;
use crate::zigbee::zcl::value::{Typed, Value};

pub use mapped::{Mapped, value_of_number};
#[cfg(test)]
pub use tuya::known_points;

pub const BASIC: ClusterId = ClusterId(0x0000);
pub const POWER: ClusterId = ClusterId(0x0001);
pub const ON_OFF: ClusterId = ClusterId(0x0006);
pub const LEVEL: ClusterId = ClusterId(0x0008);
pub const COLOR: ClusterId = ClusterId(0x0300);
pub const TUYA: ClusterId = ClusterId(0xef00);

/// What a building block does. Names are those of properties without an endpoint.
pub trait Convert: Send + Sync {
    /// What it can do with a property: bits [`STATE`], [`SET`], [`GET`].
    fn access(&self, name: &str) -> u8;

    /// It tells the property, and there is no way to ask for it.
    fn cannot_read(&self, _name: &str) -> bool {
        false
    }

    fn decode(&self, _context: &Context<'_>, _heard: &Heard<'_>, _memory: &mut Memory, _out: &mut Decoded) {}

    /// Takes what it knows out of `request` and says how it is done.
    fn encode(
        &self,
        _context: &Context<'_>,
        _request: &mut Request,
        _memory: &Memory,
        _plan: &mut Plan,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Where a property is read, of the endpoint of that name or of the first that has it.
    fn reads(&self, _context: &Context<'_>, _name: &str, _endpoint: Option<&str>) -> Vec<Read> {
        Vec::new()
    }
}

/// What all devices of a kind have in common, beside their blocks.
#[derive(Debug, Default)]
pub struct Traits {
    /// Names of endpoints.
    pub endpoints: Vec<(&'static str, Endpoint)>,
    /// Properties carry the name of their endpoint, but for these.
    pub is_multi: bool,
    pub unnamed: Vec<&'static str>,
    /// What converters want to know of a device: see `META` in `.ci/definitions/facts.cjs`.
    pub meta: Meta,
    /// Multipliers and divisors that are known without asking: endpoint (0: any), cluster, attribute, value.
    pub fixed: Vec<(u8, ClusterId, AttributeId, f64)>,
    /// Properties that the kind is said to have, by their names without an endpoint.
    pub exposed: Vec<&'static str>,
    /// A lamp whose white is a colour: it takes no temperature.
    pub is_without_white: bool,
}

#[derive(Debug, Default)]
pub struct Meta(pub Option<Fact>);

impl Meta {
    pub fn get(&self, name: &str) -> &Fact {
        static NULL: Fact = Fact::Null;
        self.0.as_ref().map_or(&NULL, |fact| fact.get(name))
    }
}

/// A device and its kind.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub identity: &'a Identity,
    pub traits: &'a Traits,
}

impl Context<'_> {
    /// The property as this endpoint's: `state_left` of a device with several.
    pub fn property(&self, name: &str, endpoint: Endpoint) -> String {
        if self.traits.is_multi && !self.traits.unnamed.contains(&name) {
            if let Some((of, _)) = self.traits.endpoints.iter().find(|(_, number)| *number == endpoint) {
                return format!("{name}_{of}");
            }
            if self.traits.endpoints.is_empty() {
                return format!("{name}_{}", endpoint.0);
            }
        }
        name.to_owned()
    }

    /// The property as it is told: with the name of an endpoint, where the one who asked gave it.
    pub fn full(&self, name: &str, endpoint: Option<&str>) -> Box<str> {
        endpoint.map_or_else(|| name.into(), |endpoint| format!("{name}_{endpoint}").into())
    }

    /// The endpoint of a name; without one the first that has the cluster, or the first of all.
    pub fn endpoint(&self, name: Option<&str>, cluster: ClusterId) -> Endpoint {
        let named = |name: &str| {
            let found = self.traits.endpoints.iter().find(|(of, _)| *of == name);
            found.map(|(_, number)| *number).or_else(|| name.parse().ok().map(Endpoint))
        };
        if let Some(endpoint) = name.and_then(named) {
            return endpoint;
        }
        let endpoints = &self.identity.endpoints;
        let has = endpoints.iter().find(|endpoint| endpoint.inputs.contains(&cluster));
        let default = named("default").filter(|_| has.is_none());
        default.or_else(|| has.or(endpoints.first()).map(|endpoint| endpoint.endpoint)).unwrap_or(Endpoint(1))
    }

    pub fn read(&self, endpoint: Option<&str>, cluster: ClusterId, attributes: &[u16]) -> Vec<Read> {
        let attributes = attributes.iter().copied().map(AttributeId).collect();
        vec![Read { endpoint: self.endpoint(endpoint, cluster), cluster, maker: None, attributes }]
    }
}

/// What is to be set, of one endpoint.
#[derive(Debug, Default)]
pub struct Request {
    pub endpoint: Option<Box<str>>,
    pub values: BTreeMap<Box<str>, Json>,
    /// Seconds; absent: as the device likes.
    pub transition_s: Option<f64>,
}

impl Request {
    pub fn take(&mut self, name: &str) -> Option<Json> {
        self.values.remove(name)
    }

    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Tenths of seconds, as ZCL counts them; 0 where nothing is said.
    pub fn transition_ds(&self) -> u16 {
        let tenths = self.transition_s.unwrap_or(0.0) * 10.0;
        tenths.round().clamp(0.0, 65_534.0) as u16
    }
}

/// A command of a cluster by its name.
pub fn command(
    endpoint: Endpoint,
    cluster: ClusterId,
    name: &str,
    given: &[(&str, Value)],
) -> Result<Command, Refusal> {
    let refused = |why: &dyn std::fmt::Display| refusal(name, &format!("{why}"));
    let row = clusters::command_named(cluster, Direction::ToServer, name).ok_or_else(|| refused(&"no such command"))?;
    let mut payload = Vec::new();
    command::encode(row, given, &mut payload).map_err(|error| refused(&error))?;
    let body = Body::Cluster { command: row.id, payload };
    Ok(Command { endpoint, cluster, maker: None, body, is_answered: true })
}

/// A write of one attribute.
pub fn write(
    endpoint: Endpoint,
    cluster: ClusterId,
    maker: Option<MakerCode>,
    attribute: u16,
    value: Typed,
) -> Command {
    let body = Body::Write { attributes: vec![(AttributeId(attribute), value)] };
    Command { endpoint, cluster, maker, body, is_answered: true }
}

pub fn refusal(property: &str, why: &str) -> Refusal {
    Refusal::Value { property: property.into(), why: why.into() }
}

pub fn expect(plan: &mut Plan, property: Box<str>, value: Json, tolerance: f64) {
    plan.expect.push(Expected { property, value: Expect::Value { value, tolerance } });
}

/// Whatever it is afterwards: read, or reported.
pub fn expect_any(plan: &mut Plan, property: Box<str>) {
    plan.expect.push(Expected { property, value: Expect::Any });
}

/// What moves there by itself and tells where it is.
pub fn expect_begun(plan: &mut Plan, property: Box<str>, value: Json) {
    plan.expect.push(Expected { property, value: Expect::Begun { value } });
}

pub fn expect_taken(plan: &mut Plan, property: Box<str>, value: Json) {
    plan.expect.push(Expected { property, value: Expect::Taken { value } });
}

/// The attributes of a cluster that a message tells, if it is about the cluster.
pub fn attributes<'a>(heard: &Heard<'a>, cluster: ClusterId) -> &'a [(AttributeId, Typed)] {
    match heard.what {
        What::Attributes { attributes, .. } if heard.cluster == cluster => attributes,
        _ => &[],
    }
}

/// The value of an attribute that a message tells.
pub fn attribute<'a>(heard: &Heard<'a>, cluster: ClusterId, id: u16) -> Option<&'a Value> {
    attributes(heard, cluster).iter().find(|(other, _)| other.0 == id).map(|(_, typed)| &typed.value)
}

/// As above, nothing where the value is the type's non-value.
pub fn known<'a>(heard: &Heard<'a>, cluster: ClusterId, id: u16) -> Option<&'a Value> {
    attributes(heard, cluster).iter().find(|(other, _)| other.0 == id).and_then(|(_, typed)| typed.known())
}

/// To so many places after the point.
pub fn rounded(number: f64, places: i32) -> f64 {
    let factor = 10f64.powi(places);
    (number * factor).round() / factor
}

pub fn number(number: f64) -> Json {
    json_number(number)
}

/// A number that is set; texts that are numbers are taken, too.
pub fn as_number(name: &str, value: &Json) -> Result<f64, Refusal> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| refusal(name, "it takes a number"))
}

/// A word that is set, in lower case.
pub fn as_word(name: &str, value: &Json) -> Result<String, Refusal> {
    value.as_str().map(str::to_lowercase).ok_or_else(|| refusal(name, "it takes a word"))
}

/// A block that tells, takes and reads nothing: known, and nothing to be done.
struct Nothing;

impl Convert for Nothing {
    fn access(&self, _name: &str) -> u8 {
        0
    }
}

/// The blocks of a row of the table; `None`: nobody here knows how it works.
pub fn blocks(row: &Fact, traits: &Traits) -> Option<Vec<Box<dyn Convert>>> {
    let (name, args) = (row.at(0).text()?, row.at(1));
    let one = |block: Box<dyn Convert>| Some(vec![block]);
    match name {
        "numeric" | "binary" | "enumLookup" | "text" => one(Box::new(Mapped::of_row(name, args)?)),
        "actionEnumLookup" => one(Box::new(actions::Lookup::of_row(args)?)),
        "pressed" => one(Box::new(actions::Pressed::of_row(args)?)),
        "sent" => one(Box::new(actions::Sent::of_row(args)?)),
        "battery" => one(Box::new(battery::Battery::of_block(args))),
        "identify" => one(Box::new(identify::Identify)),
        "illuminance" => one(Box::new(mapped::illuminance())),
        "occupancy" => one(Box::new(mapped::occupancy())),
        "iasZoneAlarm" => one(Box::new(ias::Zone::of_block(args)?)),
        "iasWarning" => one(Box::new(ias::Warning::of_block(args))),
        "commandsOnOff" | "commandsScenes" | "commandsWindowCovering" => one(Box::new(actions::Commands::of(name)?)),
        "points" => one(Box::new(tuya::Points::of_row(args, traits))),
        "tuyaBase" => one(Box::new(tuya::Base::of_block(args))),
        _ => named::blocks(name, args, traits),
    }
}
