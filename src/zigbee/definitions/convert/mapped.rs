//! A property that is an attribute: a number with a scale, one of some words, on or off, a text. Most of what devices tell is
//! no more than this.

use serde_json::Value as Json;

use super::*;
use crate::common::hex::hex;
use crate::zigbee::zcl::data_type::{DataType, Shape};

/// A property and its attribute.
#[derive(Debug, Clone)]
pub struct Mapped {
    pub name: Box<str>,
    /// Of each endpoint where they differ, in the order of `endpoints`.
    names: Vec<Box<str>>,
    pub cluster: ClusterId,
    pub attribute: AttributeId,
    /// `None`: the table of clusters says it.
    pub data_type: Option<DataType>,
    pub maker: Option<MakerCode>,
    pub access: u8,
    /// Only of these endpoints, by name. Empty: of any.
    pub endpoints: Vec<&'static str>,
    /// The property carries the name of its endpoint where the device has several of them.
    pub is_postfixed: bool,
    pub map: Map,
    /// A program of its own would tell it.
    is_mute: bool,
    /// The value is this bit of the attribute's, whatever the others are.
    bit: Option<u8>,
    /// Only of this endpoint.
    only: Option<Endpoint>,
    /// Set on this endpoint, where none is said.
    at: Option<Endpoint>,
}

/// How an attribute's value becomes the property's.
#[derive(Debug, Clone)]
pub enum Map {
    Number {
        scale: Scale,
        places: Option<i32>,
    },
    /// What is shown, and the number, bool or text that means it.
    Words(Vec<(Json, Fact)>),
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// So many make one.
    Per(f64),
    /// Times the first, plus the second.
    Line(f64, f64),
    /// 10 000 · log₁₀(lx) + 1 (ZCL r8 §4.2.2.2.1).
    Lux,
}

impl Scale {
    pub fn of_row(fact: &Fact) -> Option<Scale> {
        match fact {
            Fact::Null => Some(Scale::Per(1.0)),
            Fact::Number(per) => Some(Scale::Per(*per)),
            fact if !fact.get("line").is_null() && fact.get("back").is_null() => {
                let line = fact.get("line");
                Some(Scale::Line(line.at(0).number()?, line.at(1).number()?))
            }
            fact if fact.get("curve").text() == Some("lux") => Some(Scale::Lux),
            _ => None,
        }
    }

    pub fn shown_of(self, raw: f64) -> f64 {
        match self {
            Scale::Per(per) => raw / per,
            // As the factor was found by dividing, so that 0.1 · 3 is 0.3.
            Scale::Line(factor, offset) if factor.abs() < 1.0 && factor != 0.0 => {
                raw / rounded(1.0 / factor, 6) + offset
            }
            Scale::Line(factor, offset) => raw * factor + offset,
            Scale::Lux if raw == 0.0 => 0.0,
            Scale::Lux => 10f64.powf((raw - 1.0) / 10_000.0).round(),
        }
    }

    pub fn raw_of(self, value: f64) -> f64 {
        match self {
            Scale::Per(per) => value * per,
            Scale::Line(factor, offset) => (value - offset) / factor,
            Scale::Lux if value <= 0.0 => 0.0,
            Scale::Lux => 10_000.0 * value.log10() + 1.0,
        }
    }

    /// What one of the raw number is worth.
    pub fn step(self) -> f64 {
        match self {
            Scale::Per(per) => (1.0 / per).abs(),
            Scale::Line(factor, _) => factor.abs(),
            Scale::Lux => 1.0,
        }
    }
}

impl Mapped {
    /// A number that is told and can be read.
    pub fn number(name: &str, cluster: u16, attribute: u16, per: f64) -> Mapped {
        Mapped::new(name, cluster, attribute, STATE | GET, Map::Number { scale: Scale::Per(per), places: None })
    }

    pub fn words(name: &str, cluster: u16, attribute: u16, words: &[(&str, i32)]) -> Mapped {
        let words = words.iter().map(|(word, raw)| (Json::from(*word), Fact::Number(f64::from(*raw))));
        Mapped::new(name, cluster, attribute, STATE | GET, Map::Words(words.collect()))
    }

    pub fn flags(name: &str, cluster: u16, attribute: u16) -> Mapped {
        let words = vec![(true.into(), Fact::Number(1.0)), (false.into(), Fact::Number(0.0))];
        Mapped::new(name, cluster, attribute, STATE | GET, Map::Words(words))
    }

    /// A bit of an attribute.
    pub fn flag_of(name: &str, cluster: u16, attribute: u16, bit: u8) -> Mapped {
        Mapped { bit: Some(bit), ..Mapped::flags(name, cluster, attribute) }
    }

    fn new(name: &str, cluster: u16, attribute: u16, access: u8, map: Map) -> Mapped {
        Mapped {
            name: name.into(),
            names: Vec::new(),
            cluster: ClusterId(cluster),
            attribute: AttributeId(attribute),
            data_type: None,
            maker: None,
            access,
            endpoints: Vec::new(),
            is_postfixed: true,
            map,
            is_mute: false,
            bit: None,
            only: None,
            at: None,
        }
    }

    pub fn with_access(self, access: u8) -> Mapped {
        Mapped { access, ..self }
    }

    pub fn with_type(self, data_type: DataType) -> Mapped {
        Mapped { data_type: Some(data_type), ..self }
    }

    pub fn with_places(mut self, digits: i32) -> Mapped {
        if let Map::Number { places, .. } = &mut self.map {
            *places = Some(digits);
        }
        self
    }

    /// A generic block of the table.
    pub fn of_row(block: &str, args: &Fact) -> Option<Mapped> {
        let list = |fact: &Fact| match fact {
            Fact::List(list) => list.iter().filter_map(Fact::text).collect(),
            fact => Vec::from_iter(fact.text()),
        };
        let names: Vec<&'static str> = list(args.get("n"));
        let map = match block {
            "numeric" => Map::Number {
                scale: Scale::of_row(args.get("s"))?,
                places: args.get("p").int().or_else(|| args.get("p").at(0).int()),
            },
            "binary" => Map::Words(
                [args.get("on"), args.get("off")]
                    .into_iter()
                    .map(|pair| (pair.at(0).to_json(), pair.at(1).clone()))
                    .collect(),
            ),
            "enumLookup" => {
                let words = args.get("l").map().iter();
                Map::Words(words.map(|(word, raw)| (Json::from(*word), raw.clone())).collect())
            }
            _ => Map::Text,
        };
        Some(Mapped {
            name: (*names.first()?).into(),
            names: names.iter().map(|name| (*name).into()).collect(),
            cluster: ClusterId(args.get("c").int()?),
            attribute: AttributeId(args.get("a").int()?),
            data_type: args
                .get("t")
                .int()
                .and_then(DataType::from_u8)
                .filter(|data_type| *data_type != DataType::NoData),
            maker: args.get("m").int().map(MakerCode),
            access: args.get("x").int()?,
            endpoints: list(args.get("ep")),
            is_postfixed: false,
            map,
            is_mute: !args.get("f").is_null(),
            bit: args.get("b").int().filter(|bit: &u8| *bit < 64),
            only: args.get("e").int().map(Endpoint),
            at: args.get("ed").int().map(Endpoint),
        })
    }

    fn data_type(&self) -> Option<DataType> {
        self.data_type
            .or_else(|| clusters::attribute(self.cluster, self.maker, self.attribute).map(|found| found.data_type))
    }

    /// The property that a message of an endpoint tells; nothing where it is of none of its endpoints.
    fn told(&self, context: &Context<'_>, endpoint: Endpoint) -> Option<String> {
        if self.endpoints.is_empty() {
            let property =
                if self.is_postfixed { context.property(&self.name, endpoint) } else { self.name.to_string() };
            return Some(property);
        }
        let mut named = self.endpoints.iter().enumerate();
        let (at, of) = named.find(|(_, of)| context.endpoint(Some(of), self.cluster) == endpoint)?;
        Some(format!("{}_{of}", self.names.get(at).unwrap_or(&self.name)))
    }

    fn shown(&self, typed: &Typed) -> Option<Json> {
        match &self.map {
            Map::Number { scale, places } => {
                let value = scale.shown_of(typed.known()?.as_f64()?);
                Some(number(places.map_or(value, |places| rounded(value, places))))
            }
            Map::Words(words) => {
                let bit = self.bit.and_then(|bit| Some(Value::Unsigned(typed.value.as_u64()? >> bit & 1)));
                let value = bit.as_ref().unwrap_or(&typed.value);
                let found = words.iter().find(|(_, raw)| means(raw, value));
                // What is not on is off, as two-valued things are; an unknown word is not told.
                let is_flag = words.len() == 2 && words.iter().any(|(word, _)| word.is_boolean() || *word == "ON");
                found
                    .or_else(|| words.last().filter(|_| is_flag && typed.value != Value::Absent))
                    .map(|(word, _)| word.clone())
            }
            Map::Text => match &typed.value {
                Value::Text(text) => Some(Json::from(text.trim_end_matches('\0'))),
                Value::Bytes(bytes) => Some(Json::from(hex(bytes))),
                value => value.as_f64().map(number),
            },
        }
    }

    fn raw(&self, value: &Json) -> Result<Value, Refusal> {
        let data_type =
            self.data_type().ok_or_else(|| refusal(&self.name, "nobody knows the type of its attribute"))?;
        let unfit = || refusal(&self.name, "the device's attribute does not take that");
        Ok(match &self.map {
            Map::Number { scale, places } => {
                let raw = scale.raw_of(as_number(&self.name, value)?);
                let raw = places.map_or(raw, |places| rounded(raw, places));
                value_of_number(data_type, raw).ok_or_else(unfit)?
            }
            Map::Words(words) => {
                let same = |word: &Json| {
                    word == value || word.as_str().zip(value.as_str()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
                };
                let (_, raw) = words.iter().find(|(word, _)| same(word)).ok_or_else(unfit)?;
                match raw {
                    Fact::Bool(raw) => value_of_number(data_type, f64::from(u8::from(*raw))).ok_or_else(unfit)?,
                    Fact::Number(raw) => value_of_number(data_type, *raw).ok_or_else(unfit)?,
                    Fact::Text(raw) => Value::from(*raw),
                    _ => return Err(unfit()),
                }
            }
            Map::Text => Value::from(value.as_str().ok_or_else(|| refusal(&self.name, "it takes a text"))?),
        })
    }
}

impl Convert for Mapped {
    fn access(&self, name: &str) -> u8 {
        let is_ours = *self.name == *name || self.names.iter().any(|other| **other == *name);
        let access = if self.is_mute { self.access & !STATE } else { self.access };
        if is_ours { access } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let is_elsewhere = self.only.is_some_and(|only| only != heard.endpoint) || self.access & STATE == 0;
        if heard.cluster != self.cluster || is_elsewhere || self.is_mute {
            return;
        }
        let told = match heard.what {
            What::Attributes { maker, .. } if self.maker.is_some() && maker.is_some() && maker != self.maker => return,
            What::Attributes { attributes, .. } => {
                let found = attributes.iter().find(|(id, _)| *id == self.attribute);
                found.and_then(|(_, typed)| self.shown(typed))
            }
            // A zone says its status by command, and hardly ever as the attribute that it is.
            What::Command { header, payload } if (self.cluster, self.attribute) == (ias::ZONE, ias::STATUS) => {
                ias::changed(header, payload).and_then(|status| self.shown(&Typed::new(DataType::Bitmap16, status)))
            }
            What::Command { .. } => None,
        };
        out.changes.extend(self.told(context, heard.endpoint).zip(told));
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let all = std::iter::once(&self.name).chain(&self.names);
        let Some(name) = all.into_iter().find(|name| request.values.contains_key(*name)).cloned() else {
            return Ok(());
        };
        let is_elsewhere =
            request.endpoint().is_some_and(|of| !self.endpoints.is_empty() && !self.endpoints.contains(&of));
        if self.access & SET == 0 || is_elsewhere {
            return Ok(());
        }
        let Some(value) = request.take(&name) else { return Ok(()) };
        let raw = self.raw(&value)?;
        let data_type = self.data_type().expect("a value was made of it");
        let at = self.at.filter(|_| request.endpoint().is_none());
        let endpoint = at.unwrap_or_else(|| context.endpoint(request.endpoint(), self.cluster));
        let typed = Typed { data_type, value: raw };
        // What the number on the air comes to is what will be read.
        let shown = self.shown(&typed).unwrap_or_else(|| value.clone());
        plan.commands.push(write(endpoint, self.cluster, self.maker, self.attribute.0, typed));
        let property = context.full(&name, request.endpoint());
        if self.access & GET == 0 {
            expect_taken(plan, property, shown);
        } else {
            let tolerance = if let Map::Number { scale, .. } = &self.map { scale.step() / 2.0 } else { 0.0 };
            expect(plan, property, shown, tolerance);
            plan.reads.extend(self.reads(context, &name, request.endpoint()));
        }
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        let is_elsewhere = endpoint.is_some_and(|of| !self.endpoints.is_empty() && !self.endpoints.contains(&of));
        if self.access(name) & GET == 0 || is_elsewhere {
            return Vec::new();
        }
        let endpoint = context.endpoint(endpoint, self.cluster);
        vec![Read { endpoint, cluster: self.cluster, maker: self.maker, attributes: vec![self.attribute] }]
    }
}

/// Whether an attribute's value is what the table means; a bool is 1 or 0.
fn means(raw: &Fact, value: &Value) -> bool {
    match raw {
        Fact::Number(raw) => value.as_f64() == Some(*raw),
        Fact::Bool(raw) => value.as_f64() == Some(f64::from(u8::from(*raw))),
        Fact::Text(raw) => value.as_str() == Some(raw),
        _ => false,
    }
}

/// A number as a value of a type, rounded where the type has whole numbers alone; `None` where it does not fit.
pub fn value_of_number(data_type: DataType, number: f64) -> Option<Value> {
    let whole = number.round();
    let value = match data_type.shape() {
        Shape::Bool => Value::Bool(number != 0.0),
        Shape::Float(_) => Value::Float(number),
        Shape::Unsigned(_) if (0.0..1.8e19).contains(&whole) => Value::Unsigned(whole as u64),
        Shape::Signed(_) if (-9.2e18..9.2e18).contains(&whole) => Value::Signed(whole as i64),
        _ => return None,
    };
    value.encode(data_type, &mut Vec::new()).ok().map(|()| value)
}

pub fn illuminance() -> Mapped {
    let map = Map::Number { scale: Scale::Lux, places: None };
    Mapped::new("illuminance", 0x0400, 0x0000, STATE | GET, map)
}

pub fn occupancy() -> Mapped {
    Mapped::flag_of("occupancy", 0x0406, 0x0000, 0)
}
