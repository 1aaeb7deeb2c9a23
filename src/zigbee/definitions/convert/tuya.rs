//! Tuya's data points (cluster 0xef00): numbered values of six types in both directions, with a table for each device. Knows
//! the commands; what the values are is in `tuya_values`.

use super::tuya_values::{Conversion, Told, Wire, many};
use super::*;
use crate::zigbee::zcl::Reader;
use crate::zigbee::zcl::frame::FrameKind;

/// Commands of the cluster.
const REQUEST: u8 = 0x00;
const SEND: u8 = 0x04;
/// To the client: response, report, and two of active states.
const REPORTS: [u8; 4] = [0x01, 0x02, 0x05, 0x06];
const SYNC_TIME: u8 = 0x24;
const GATEWAY_STATUS: u8 = 0x25;
/// From 1970 to 2000, seconds.
const Y2K_S: u64 = 946_684_800;
struct Point {
    id: u8,
    /// The whole property, with its endpoint; `None`: the conversion names what it tells.
    property: Option<&'static str>,
    conversion: Conversion,
    /// It does not tell back what was set.
    is_silent: bool,
}

/// A device's data points.
pub struct Points {
    points: Vec<Point>,
    /// Some take one command and some another.
    send: u8,
}

impl Points {
    pub fn of_row(args: &Fact, traits: &Traits) -> Points {
        let points = args.list().iter().filter_map(|row| {
            Some(Point {
                id: row.at(0).int()?,
                property: row.at(1).text(),
                conversion: Conversion::of_fact(row.at(2))?,
                is_silent: row.at(3).is_true(),
            })
        });
        let send = if traits.meta.get("tuyaSendCommand").text() == Some("sendData") { SEND } else { REQUEST };
        Points { points: points.collect(), send }
    }
}

/// How many points of a table there are, and of how many the conversion is known.
#[cfg(test)]
pub fn known_points(args: &Fact) -> (usize, usize) {
    (args.list().len(), Points::of_row(args, &Traits::default()).points.len())
}

impl Convert for Points {
    fn access(&self, name: &str) -> u8 {
        let of_point = |point: &Point| {
            let told = if let Conversion::Own(own) = point.conversion { many(own.name) } else { &[] };
            if point.property == Some(name) {
                point.conversion.access()
            } else if told.contains(&name) {
                STATE
            } else {
                0
            }
        };
        self.points.iter().fold(0, |access, point| access | of_point(point))
    }

    fn cannot_read(&self, name: &str) -> bool {
        self.access(name) != 0
    }

    fn decode(&self, _context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        // A point may stand for several properties; each is told as it sees the value.
        for (id, wire) in points(heard) {
            for point in self.points.iter().filter(|point| point.id == id) {
                match (point.conversion.from(&wire), point.property) {
                    (Some(Told::One(value)), Some(property)) => {
                        out.changes.insert(property.into(), value);
                    }
                    (Some(Told::Many(values)), property) => {
                        for (name, value) in values {
                            // The first of a position's is the property itself, by whatever name.
                            let name = if name == "position" { property.unwrap_or(name) } else { name };
                            out.changes.insert(name.into(), value);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let names: Vec<Box<str>> = request.values.keys().cloned().collect();
        for name in names {
            let property = context.full(&name, request.endpoint());
            let takes = |point: &&Point| point.property == Some(&*property) && point.conversion.access() & SET != 0;
            let Some(point) = self.points.iter().find(takes) else { continue };
            let Some(value) = request.take(&name) else { continue };
            let refused = || refusal(&property, "the device does not take that");
            let wire = point.conversion.to(&value).ok_or_else(refused)?;
            plan.commands.push(sent(context, self.send, point.id, &wire).ok_or_else(refused)?);
            let is_momentary = matches!(point.conversion, Conversion::Own(own) if own.is_momentary);
            match point.conversion.from(&wire) {
                Some(Told::One(shown)) if !is_momentary && !point.is_silent => {
                    let step = if let Conversion::Number { from, args, .. } = &point.conversion {
                        (from(1.0, args) - from(0.0, args)).abs() / 2.0
                    } else {
                        0.0
                    };
                    expect(plan, property, shown, step + 1e-9);
                }
                // A motor tells where it is as it goes.
                _ => expect_taken(plan, property, value),
            }
        }
        Ok(())
    }
}

/// One point on its way; `None`: it is too long.
fn sent(context: &Context<'_>, command: u8, id: u8, wire: &Wire) -> Option<Command> {
    let (data_type, bytes) = wire.encode();
    let length = u16::try_from(bytes.len()).ok()?;
    let payload = [&[0, 1, id, data_type], &length.to_be_bytes()[..], &bytes].concat();
    Some(Command {
        endpoint: context.endpoint(None, TUYA),
        cluster: TUYA,
        maker: None,
        body: Body::Cluster { command, payload },
        is_answered: false,
    })
}

/// `state` of the switches that have a point each, in the order of their gangs: `l1` is the first.
pub struct Gangs;

/// As far as their endpoints have names.
const GANGS: [&str; 6] = ["l1", "l2", "l3", "l4", "l5", "l6"];

impl Gangs {
    fn property(context: &Context<'_>, id: u8) -> Option<String> {
        if !context.traits.is_multi {
            return (id == 1).then(|| "state".to_owned());
        }
        let gang = GANGS.get(usize::from(id.checked_sub(1)?))?;
        context.traits.endpoints.iter().any(|(name, _)| name == gang).then(|| format!("state_{gang}"))
    }
}

impl Convert for Gangs {
    fn access(&self, name: &str) -> u8 {
        if name == "state" { STATE | SET } else { 0 }
    }

    fn cannot_read(&self, name: &str) -> bool {
        name == "state"
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        for (id, wire) in points(heard) {
            if let (Wire::Bool(is_on), Some(property)) = (wire, Gangs::property(context, id)) {
                out.changes.insert(property, switch::word(is_on).into());
            }
        }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("state") else { return Ok(()) };
        let refused = || refusal("state", "it takes ON or OFF");
        let is_on = match &*as_word("state", &value)? {
            "on" => true,
            "off" => false,
            _ => return Err(refused()),
        };
        let property = context.full("state", request.endpoint());
        let of =
            (1..).zip(GANGS).map(|(id, _)| id).find(|id| Gangs::property(context, *id).as_deref() == Some(&*property));
        let id = of.ok_or_else(|| Refusal::Unknown(property.clone()))?;
        plan.commands.push(sent(context, REQUEST, id, &Wire::Bool(is_on)).ok_or_else(refused)?);
        expect(plan, property, switch::word(is_on).into(), 0.0);
        Ok(())
    }
}

/// The points that a device tells.
fn points<'a>(heard: &Heard<'a>) -> impl Iterator<Item = (u8, Wire)> + use<'a> {
    let payload = match heard.what {
        What::Command { header, payload } => {
            let is_report = heard.cluster == TUYA
                && header.kind == FrameKind::Cluster
                && header.direction == Direction::ToClient
                && REPORTS.contains(&header.command);
            if is_report { payload } else { &[] }
        }
        What::Attributes { .. } => &[],
    };
    // Behind the number of the message.
    let mut reader = Reader::new(payload.get(2..).unwrap_or_default());
    // A point whose type is none is passed over.
    std::iter::from_fn(move || next(&mut reader)).filter_map(|(id, wire)| Some((id, wire?)))
}

/// The next point; its value is nothing where its type is none.
pub fn next(reader: &mut Reader<'_>) -> Option<(u8, Option<Wire>)> {
    let (id, data_type) = (reader.u8().ok()?, reader.u8().ok()?);
    let length = u16::from_be_bytes(reader.array().ok()?);
    let bytes = reader.take(usize::from(length)).ok()?;
    Some((id, Wire::decode(data_type, bytes)))
}

/// What every Tuya device asks of a gateway: the time, and whether it is on the internet.
pub struct Base {
    /// Where its clock begins, seconds since 1970; `None`: it wants none.
    clock_starts_s: Option<u64>,
}

impl Base {
    pub fn of_block(args: &Fact) -> Base {
        let clock_starts_s = match args.get("t").text() {
            Some("1970") => Some(0),
            Some("2000") => Some(Y2K_S),
            _ => None,
        };
        Base { clock_starts_s }
    }
}

impl Convert for Base {
    fn access(&self, _name: &str) -> u8 {
        0
    }

    fn decode(&self, _context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let What::Command { header, .. } = heard.what else { return };
        let is_question =
            heard.cluster == TUYA && header.kind == FrameKind::Cluster && header.direction == Direction::ToClient;
        if !is_question {
            return;
        }
        let payload = match (header.command, self.clock_starts_s) {
            (SYNC_TIME, Some(start_s)) => {
                let utc_s = heard.utc_s.saturating_sub(start_s);
                let local_s = utc_s.saturating_add_signed(i64::from(heard.utc_offset_s));
                let mut payload = vec![8, 0];
                // Clocks of 32 bits turn over in 2106.
                payload.extend_from_slice(&(utc_s as u32).to_be_bytes());
                payload.extend_from_slice(&(local_s as u32).to_be_bytes());
                payload
            }
            (GATEWAY_STATUS, _) => vec![1, 0, 1],
            _ => return,
        };
        out.answers.push(Command {
            endpoint: heard.endpoint,
            cluster: TUYA,
            maker: None,
            body: Body::Cluster { command: header.command, payload },
            is_answered: false,
        });
    }
}
