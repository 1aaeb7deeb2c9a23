//! A definition of the table, made ready for its devices: its blocks, its capabilities, its steps of setting up. The same for
//! all devices of the kind.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::common::capability::{Capability, CapabilityKind};
use crate::zigbee::definitions::convert::{self, Context, Convert, Meta, Request, Traits, refusal};
use crate::zigbee::definitions::exposes::{self, GET, SET, STATE};
use crate::zigbee::definitions::steps::{self, Step};
use crate::zigbee::definitions::table::Fact;
use crate::zigbee::definitions::{Decoded, Definition, Heard, Identity, Memory, Plan, Read, Refusal, Setup};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint};

/// What is set is not a property, and says how the others are set.
const TRANSITION: &str = "transition";

pub struct Known {
    pub model: Option<Box<str>>,
    pub vendor: Option<Box<str>>,
    pub description: Option<Box<str>>,
    pub traits: Traits,
    pub blocks: Vec<Box<dyn Convert>>,
    pub capabilities: Vec<Capability>,
    pub steps: Vec<Step>,
    /// Everything that the table says the device has works.
    pub is_whole: bool,
}

impl Known {
    /// A definition of the table as its row says it.
    pub fn of_row(row: &Fact) -> Known {
        let traits = traits(row);
        let rows = row.get("r").list();
        // What was found out by trying a word at a time comes after those who know how words go together.
        let is_tried = |row: &&Fact| row.at(0).text() == Some("sent");
        let ordered = rows.iter().filter(|row| !is_tried(row)).chain(rows.iter().filter(is_tried));
        let blocks: Vec<_> = ordered.filter_map(|row| convert::blocks(row, &traits)).flatten().collect();
        let said = exposes::capabilities(row.get("e"));
        let mut is_whole = true;
        let capabilities = said.into_iter().filter_map(|said| {
            let works = works(&said, &blocks);
            // Catalogues say of data points that they can be read; nobody can.
            let cannot_read =
                || blocks.iter().any(|block| block.cannot_read(&said.name) || block.cannot_read(&said.property));
            let told = Capability { readable: works.readable, ..said.clone() };
            is_whole &= works == said || works == told && cannot_read();
            (works.reported || works.settable || works.readable).then_some(works)
        });
        let capabilities = capabilities.collect();
        let text = |name: &str| row.get(name).text().map(Into::into);
        let steps = steps::of_row(row.get("s"));
        Known {
            model: text("m"),
            vendor: text("v"),
            description: text("d"),
            traits,
            blocks,
            capabilities,
            steps,
            is_whole,
        }
    }

    /// With what another knows of the same device beside what the table's blocks do.
    pub fn filled(mut self, other: Known) -> Known {
        let has = |property: &str| self.capabilities.iter().any(|capability| *capability.property == *property);
        let added: Vec<_> = other.capabilities.into_iter().filter(|capability| !has(&capability.property)).collect();
        let wanted = |block: &dyn Convert| added.iter().any(|capability| block.access(&capability.name) != 0);
        self.blocks.extend(other.blocks.into_iter().filter(|block| wanted(&**block)));
        self.capabilities.extend(added);
        if self.traits.endpoints.is_empty() && self.traits.meta.get("multiEndpoint").is_null() {
            self.traits.endpoints = other.traits.endpoints;
            self.traits.is_multi = other.traits.is_multi;
        }
        if self.steps.is_empty() {
            self.steps = other.steps;
        }
        self
    }

    fn capability(&self, property: &str) -> Option<&Capability> {
        self.capabilities.iter().find(|capability| *capability.property == *property)
    }

    fn access(&self, name: &str) -> u8 {
        self.blocks.iter().fold(0, |access, block| access | block.access(name))
    }

    /// The property without its endpoint, and the endpoint.
    fn named<'a>(&'a self, property: &'a str) -> (&'a str, Option<&'a str>) {
        if let Some(capability) = self.capability(property) {
            // Colours have two names and one property.
            let endpoint = capability.endpoint.as_deref();
            let name = endpoint.and_then(|of| property.strip_suffix(of)?.strip_suffix('_')).unwrap_or(property);
            return (name, endpoint.filter(|_| name != property));
        }
        let of_endpoint = self.traits.endpoints.iter().find_map(|(of, _)| {
            let name = property.strip_suffix(of)?.strip_suffix('_')?;
            (self.access(name) & SET != 0).then_some((name, Some(*of)))
        });
        of_endpoint.unwrap_or((property, None))
    }
}

/// What of a capability the blocks can do.
fn works(said: &Capability, blocks: &[Box<dyn Convert>]) -> Capability {
    let of = |name: &str| blocks.iter().fold(0, |access, block| access | block.access(name));
    let access = of(&said.name) | of(&said.property);
    Capability {
        reported: said.reported && access & STATE != 0,
        settable: said.settable && access & SET != 0,
        readable: said.readable && access & GET != 0,
        ..said.clone()
    }
}

/// Models whose lamps mix white out of colours. The package says so within programs (`viaColor`), of which the table has the keys alone.
const WITHOUT_WHITE: [&str; 3] = ["LED1624G9", "LED1923R5", "LED2110R3"];

fn traits(row: &Fact) -> Traits {
    let meta = row.get("x");
    let endpoints = row.get("p").map().iter();
    let fixed = row.get("s").list().iter().filter(|step| step.at(1).text() == Some("k")).filter_map(|step| {
        Some((step.at(0).int()?, ClusterId(step.at(2).int()?), AttributeId(step.at(3).int()?), step.at(4).number()?))
    });
    // What a kind has once is told by whichever endpoint.
    let said = row.get("e").list();
    let is_of_endpoint = |name: &str| {
        said.iter().any(|expose| !expose.get("endpoint").is_null() && expose.get("name").text() == Some(name))
    };
    let once = said.iter().filter(|expose| exposes::domain(expose).is_none() && expose.get("endpoint").is_null());
    let shared = once.filter_map(|expose| expose.get("name").text()).filter(|name| !is_of_endpoint(name));
    let names = |expose: &Fact| {
        let features = expose.get("features").list().iter().filter_map(|feature| feature.get("name").text());
        let is_part = expose.get("property").is_null();
        Vec::from_iter(if is_part { features.collect::<Vec<_>>() } else { Vec::from_iter(expose.get("name").text()) })
    };
    Traits {
        endpoints: endpoints.filter_map(|(name, number)| Some((*name, Endpoint(number.int()?)))).collect(),
        is_multi: meta.get("multiEndpoint").is_true(),
        unnamed: meta.get("multiEndpointSkip").list().iter().filter_map(Fact::text).chain(shared).collect(),
        meta: Meta(Some(meta.clone()).filter(|meta| !meta.is_null())),
        fixed: fixed.collect(),
        exposed: row.get("e").list().iter().flat_map(names).collect(),
        is_without_white: row.get("m").text().is_some_and(|model| WITHOUT_WHITE.contains(&model)),
    }
}

impl Definition for Known {
    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn vendor(&self) -> Option<&str> {
        self.vendor.as_deref()
    }

    fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    fn is_supported(&self) -> bool {
        self.is_whole
    }

    fn capabilities(&self, _identity: &Identity) -> Vec<Capability> {
        self.capabilities.clone()
    }

    fn setup(&self, identity: &Identity) -> Vec<Setup> {
        steps::setup(&self.steps, identity)
    }

    fn decode(&self, identity: &Identity, heard: &Heard<'_>, memory: &mut Memory) -> Decoded {
        let context = Context { identity, traits: &self.traits };
        let mut out = Decoded::default();
        for block in &self.blocks {
            block.decode(&context, heard, memory, &mut out);
        }
        out
    }

    fn encode(&self, identity: &Identity, set: &Map<String, Json>, memory: &Memory) -> Result<Plan, Refusal> {
        let context = Context { identity, traits: &self.traits };
        let transition_s = set.get(TRANSITION).map(|value| convert::as_number(TRANSITION, value)).transpose()?;
        let mut requests: BTreeMap<Option<Box<str>>, Request> = BTreeMap::new();
        for (property, value) in set.iter().filter(|(property, _)| *property != TRANSITION) {
            let (name, endpoint) = self.named(property);
            let value = match self.capability(property) {
                Some(capability) => checked(capability, value)?,
                None => value.clone(),
            };
            let endpoint: Option<Box<str>> = endpoint.map(Into::into);
            let request = requests.entry(endpoint.clone()).or_insert_with(|| Request {
                endpoint,
                transition_s: transition_s.filter(|seconds| *seconds >= 0.0),
                ..Request::default()
            });
            request.values.insert(name.into(), value);
        }
        let mut plan = Plan::default();
        for request in requests.values_mut() {
            for block in &self.blocks {
                block.encode(&context, request, memory, &mut plan)?;
            }
            if let Some(name) = request.values.keys().next() {
                return Err(Refusal::Unknown(context.full(name, request.endpoint())));
            }
        }
        let mut reads = merged(std::mem::take(&mut plan.reads));
        plan.reads.append(&mut reads);
        Ok(plan)
    }

    fn reads(&self, identity: &Identity, properties: &[Box<str>]) -> Vec<Read> {
        let context = Context { identity, traits: &self.traits };
        let all = self.capabilities.iter().filter(|capability| capability.readable);
        let wanted: Vec<(&str, Option<&str>)> = if properties.is_empty() {
            all.map(|capability| (&*capability.name, capability.endpoint.as_deref())).collect()
        } else {
            properties.iter().map(|property| self.named(property)).collect()
        };
        let reads = wanted.into_iter().flat_map(|(name, endpoint)| {
            self.blocks
                .iter()
                .find_map(|block| Some(block.reads(&context, name, endpoint)).filter(|reads| !reads.is_empty()))
        });
        merged(reads.flatten().collect())
    }
}

/// One read for each endpoint, cluster and maker.
fn merged(reads: Vec<Read>) -> Vec<Read> {
    let mut merged: Vec<Read> = Vec::new();
    for read in reads {
        let same = merged
            .iter_mut()
            .find(|other| (other.endpoint, other.cluster, other.maker) == (read.endpoint, read.cluster, read.maker));
        match same {
            Some(other) => {
                let new = read.attributes.into_iter().filter(|id| !other.attributes.contains(id));
                let new: Vec<_> = new.collect();
                other.attributes.extend(new);
            }
            None => merged.push(read),
        }
    }
    merged
}

/// The value as the capability takes it: a preset's number, a word as it is spelled; an error where it takes no such thing.
fn checked(capability: &Capability, value: &Json) -> Result<Json, Refusal> {
    let property = &*capability.property;
    match &capability.kind {
        CapabilityKind::Numeric { min, max, presets, .. } => {
            if let Some(word) = value.as_str() {
                let preset = presets.iter().find(|preset| preset.name.eq_ignore_ascii_case(word));
                if let Some(preset) = preset {
                    return Ok(preset.value.clone());
                }
                // Moving lamps is told to stop, texts may be numbers.
                if word.parse::<f64>().is_err() {
                    return Err(refusal(property, "it takes a number"));
                }
            }
            let number = convert::as_number(property, value)?;
            // A preset may lie outside, such as `previous`, 65535.
            let is_preset = presets.iter().any(|preset| preset.value.as_f64() == Some(number));
            let is_below = min.is_some_and(|min| number < min);
            let is_above = max.is_some_and(|max| number > max);
            if (is_below || is_above) && !is_preset {
                let [min, max] = [min, max].map(|limit| limit.map_or("any".to_owned(), |limit| limit.to_string()));
                return Err(refusal(property, &format!("it takes {min} to {max}")));
            }
            Ok(convert::number(number))
        }
        CapabilityKind::Enum { values } => {
            let word = match value {
                Json::String(word) => word.clone(),
                other => other.to_string(),
            };
            let found = values.iter().find(|value| value.eq_ignore_ascii_case(&word));
            found
                .map(|word| Json::from(&**word))
                .ok_or_else(|| refusal(property, &format!("it takes {}", values.join(", "))))
        }
        CapabilityKind::Binary { value_on, value_off, value_toggle } => {
            let all = [Some(value_on), Some(value_off), value_toggle.as_ref()];
            let same = |other: &&Json| {
                *other == value || other.as_str().zip(value.as_str()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
            };
            let found = all.into_iter().flatten().find(same).cloned();
            // A lock takes its PIN beside the word.
            found
                .or_else(|| value.is_object().then(|| value.clone()))
                .ok_or_else(|| refusal(property, &format!("it takes {value_on} or {value_off}")))
        }
        _ => Ok(value.clone()),
    }
}
