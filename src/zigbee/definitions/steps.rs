//! What is done when a device has joined so that it tells what it has to tell: bindings, reporting, reads, writes, commands.
//! Recorded from definitions without a device; here they meet the endpoints that there are.

use crate::zigbee::definitions::convert::{Mapped, POWER};
use crate::zigbee::definitions::table::{Fact, bytes};
use crate::zigbee::definitions::{Body, Command, Identity, Read, Reporting, Setup};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, MakerCode};
use crate::zigbee::zcl::clusters;
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::value::{Typed, Value};

/// Attributes of one configuration of reporting, and of one read: answers must fit a frame.
const ATTRIBUTES_MAX: usize = 4;
/// From here on clusters are makers' own, and not all of them are listed in simple descriptors.
const MAKERS_FROM: ClusterId = ClusterId(0xe000);

/// A step; `endpoint` 0: all that have the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub endpoint: u8,
    pub cluster: ClusterId,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Bind,
    Report { maker: Option<MakerCode>, reporting: Reporting },
    Read { maker: Option<MakerCode>, attribute: AttributeId },
    Write { maker: Option<MakerCode>, attribute: AttributeId, value: Typed },
    Command { maker: Option<MakerCode>, id: u8, payload: Vec<u8> },
}

/// A number that is reported and bound as most are.
pub fn reporting(mapped: &Mapped, min_s: u16, max_s: u16, change: f64) -> [Step; 2] {
    let data_type = clusters::attribute(mapped.cluster, mapped.maker, mapped.attribute)
        .map_or(DataType::U8, |found| found.data_type);
    let reporting =
        Reporting { attribute: mapped.attribute, data_type, min_s, max_s, change: least(data_type, change) };
    let step = |act| Step { endpoint: 0, cluster: mapped.cluster, act };
    [step(Act::Bind), step(Act::Report { maker: mapped.maker, reporting })]
}

/// The least change as the type has it.
fn least(data_type: DataType, change: f64) -> Option<Typed> {
    if !data_type.is_analog() {
        return None;
    }
    let value = crate::zigbee::definitions::convert::value_of_number(data_type, change);
    Some(Typed { data_type, value: value.unwrap_or(Value::Absent) })
}

pub fn of_row(steps: &Fact) -> Vec<Step> {
    steps.list().iter().filter_map(step).collect()
}

/// `[endpoint, kind, cluster, …]`, as `.ci/definitions/facts.cjs` notes them.
fn step(row: &Fact) -> Option<Step> {
    let (endpoint, cluster) = (row.at(0).int()?, ClusterId(row.at(2).int()?));
    let attribute = || row.at(3).int().map(AttributeId);
    let maker = |at: usize| row.at(at).int().map(MakerCode).filter(|maker| maker.0 != 0);
    let known_type = |at: usize| {
        let said = row.at(at).int().and_then(DataType::from_u8).filter(|data_type| *data_type != DataType::NoData);
        said.or_else(|| clusters::attribute(cluster, None, attribute()?).map(|found| found.data_type))
    };
    let act = match row.at(1).text()? {
        "b" => Act::Bind,
        "r" => {
            let data_type = known_type(4)?;
            let seconds = |at: usize| row.at(at).number().map(|seconds| seconds.clamp(0.0, 65_535.0) as u16);
            let change = least(data_type, row.at(8).number().unwrap_or(0.0).max(0.0));
            let reporting =
                Reporting { attribute: attribute()?, data_type, min_s: seconds(6)?, max_s: seconds(7)?, change };
            Act::Report { maker: maker(5), reporting }
        }
        "g" => Act::Read { maker: maker(4), attribute: attribute()? },
        "w" => {
            let data_type = known_type(4)?;
            let value = match row.at(6) {
                Fact::Number(number) => crate::zigbee::definitions::convert::value_of_number(data_type, *number)?,
                Fact::Bool(value) => Value::Bool(*value),
                Fact::Text(text) => Value::from(*text),
                other => Value::from(&*bytes(other.get("h").text()?)?),
            };
            let value = Typed { data_type, value };
            // What would not go out is not tried.
            value.encode(&mut Vec::new()).ok()?;
            Act::Write { maker: maker(5), attribute: attribute()?, value }
        }
        "c" => Act::Command { maker: maker(4), id: row.at(3).int()?, payload: bytes(row.at(5).text()?)? },
        _ => return None,
    };
    Some(Step { endpoint, cluster, act })
}

/// The steps for the endpoints that a device has.
pub fn setup(steps: &[Step], identity: &Identity) -> Vec<Setup> {
    let mut setup: Vec<Setup> = Vec::new();
    for step in steps {
        for endpoint in endpoints(step, identity) {
            push(&mut setup, endpoint, step);
        }
    }
    setup
}

fn endpoints(step: &Step, identity: &Identity) -> Vec<Endpoint> {
    let has = |descriptor: &&crate::zigbee::zdo::SimpleDescriptor| {
        descriptor.inputs.contains(&step.cluster) || descriptor.outputs.contains(&step.cluster)
    };
    let with_cluster = identity.endpoints.iter().filter(has).map(|descriptor| descriptor.endpoint);
    if step.endpoint == 0 {
        // A battery is asked once, whatever endpoints tell of it.
        let count = if step.cluster == POWER { 1 } else { usize::MAX };
        return with_cluster.take(count).collect();
    }
    let there = identity.endpoints.iter().filter(|descriptor| descriptor.endpoint.0 == step.endpoint);
    there
        .filter(|descriptor| has(descriptor) || step.cluster >= MAKERS_FROM)
        .map(|descriptor| descriptor.endpoint)
        .collect()
}

/// Adds a step, to the one before where they go into one message.
fn push(setup: &mut Vec<Setup>, endpoint: Endpoint, step: &Step) {
    let cluster = step.cluster;
    match &step.act {
        Act::Bind => {
            let bind = Setup::Bind { endpoint, cluster };
            if !setup.contains(&bind) {
                setup.push(bind);
            }
        }
        Act::Report { maker, reporting } => {
            let mut same = setup.iter_mut().filter_map(|one| match one {
                Setup::Report { endpoint: e, cluster: c, maker: m, attributes } => {
                    (*e == endpoint && *c == cluster && m == maker).then_some(attributes)
                }
                _ => None,
            });
            match same.find(|attributes| attributes.len() < ATTRIBUTES_MAX) {
                Some(attributes) if attributes.iter().any(|other| other.attribute == reporting.attribute) => {}
                Some(attributes) => attributes.push(reporting.clone()),
                None => {
                    let attributes = vec![reporting.clone()];
                    setup.push(Setup::Report { endpoint, cluster, maker: *maker, attributes });
                }
            }
        }
        Act::Read { maker, attribute } => {
            let mut same = setup.iter_mut().filter_map(|one| match one {
                Setup::Read(read) => {
                    (read.endpoint == endpoint && read.cluster == cluster && read.maker == *maker).then_some(read)
                }
                _ => None,
            });
            match same.find(|read| read.attributes.len() < ATTRIBUTES_MAX || read.attributes.contains(attribute)) {
                Some(read) if read.attributes.contains(attribute) => {}
                Some(read) => read.attributes.push(*attribute),
                None => {
                    setup.push(Setup::Read(Read { endpoint, cluster, maker: *maker, attributes: vec![*attribute] }))
                }
            }
        }
        Act::Write { maker, attribute, value } => {
            let body = Body::Write { attributes: vec![(*attribute, value.clone())] };
            setup.push(Setup::Command(Command { endpoint, cluster, maker: *maker, body, is_answered: true }));
        }
        Act::Command { maker, id, payload } => {
            let body = Body::Cluster { command: *id, payload: payload.clone() };
            setup.push(Setup::Command(Command { endpoint, cluster, maker: *maker, body, is_answered: false }));
        }
    }
}
