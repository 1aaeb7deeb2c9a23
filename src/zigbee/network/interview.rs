//! Asking a device what it is, and telling it what to tell: step by step, again where it does not answer, on where it left off
//! when one that sleeps is heard. Knows no kind of device: what is to be set up says its definition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::zigbee::definitions::{Definition, Identity, Setup};
use crate::zigbee::network::core::{Core, trouble};
use crate::zigbee::network::errand::to_hub;
use crate::zigbee::network::event::{Event, Pairing, Step};
use crate::zigbee::network::exchange::{Answer, Failure, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::network::{first, ias};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, Ieee, ProfileId};
use crate::zigbee::zcl::foundation::{General, ReadRecord, ReportingConfig};
use crate::zigbee::zcl::status::Status;
use crate::zigbee::zcl::value::Value;
use crate::zigbee::zdo::{self, LogicalType, Response, SimpleDescriptor};

/// Endpoints of one device; the most known has 16.
const ENDPOINTS_MAX: usize = 32;

/// Clusters of one endpoint, in one direction.
const CLUSTERS_MAX: usize = 64;

/// Goes at one step before it is left alone until it joins anew or a person asks.
const ROUNDS_MAX: u32 = 6;

/// Between two goes: what keeps it from answering does not go away at once.
const REST: Duration = Duration::from_secs(20);

/// The longest text that is kept of what a device says of itself, bytes.
const TEXT_MAX: usize = 64;

const BASIC: ClusterId = ClusterId(0x0000);

/// Attributes of the basic cluster (ZCL r8 §3.2.2.2), as many at once as fit in one frame with all their texts.
const WHO: [AttributeId; 3] = [MAKER_NAME, MODEL_ID, POWER_SOURCE];
const VERSIONS: [AttributeId; 6] =
    [ZCL_VERSION, APP_VERSION, STACK_VERSION, HARDWARE_VERSION, DATE_CODE, SOFTWARE_BUILD];

const ZCL_VERSION: AttributeId = AttributeId(0x0000);
const APP_VERSION: AttributeId = AttributeId(0x0001);
const STACK_VERSION: AttributeId = AttributeId(0x0002);
const HARDWARE_VERSION: AttributeId = AttributeId(0x0003);
const MAKER_NAME: AttributeId = AttributeId(0x0004);
const MODEL_ID: AttributeId = AttributeId(0x0005);
const DATE_CODE: AttributeId = AttributeId(0x0006);
const POWER_SOURCE: AttributeId = AttributeId(0x0007);
const SOFTWARE_BUILD: AttributeId = AttributeId(0x4000);

/// Endpoint of Green Power, which has nothing to say to an interview.
const GREEN_POWER: Endpoint = Endpoint(242);

#[derive(Default)]
pub struct Interviews {
    going: BTreeMap<Ieee, Interview>,
}

struct Interview {
    step: Step,
    /// Goes at this step.
    tries: u32,
    /// Of all goes: answers to an earlier one are none.
    round: u32,
    /// Parts of the step that are not answered; a part's number is its place.
    parts: Vec<Part>,
    /// Endpoints that the device has named.
    endpoints: Vec<Endpoint>,
    /// It is left alone until then.
    rests_until: Option<Instant>,
    asked_at: Instant,
}

enum Part {
    Open(What),
    Answered,
    Failed(Box<str>),
}

enum What {
    Node,
    Endpoints,
    Simple(Endpoint),
    Basic { is_needed: bool },
    Bind(Endpoint, ClusterId),
    Report(Endpoint, ClusterId, Vec<AttributeId>),
    Other(&'static str),
}

impl Interviews {
    pub fn is_going(&self, ieee: Ieee) -> bool {
        self.going.contains_key(&ieee)
    }

    /// From the beginning, also where one is going: a person asked, or it has joined anew.
    pub fn start(&mut self, core: &mut Core, now: Instant, ieee: Ieee) {
        self.begin(core, now, ieee, Step::Node);
    }

    fn begin(&mut self, core: &mut Core, now: Instant, ieee: Ieee, step: Step) {
        let round = self.going.get(&ieee).map_or(0, |interview| interview.round);
        core.queue.cancel(|owner| matches!(owner, Owner::Interview { ieee: other, .. } if *other == ieee));
        let interview = Interview {
            step,
            tries: 0,
            round,
            parts: Vec::new(),
            endpoints: Vec::new(),
            rests_until: None,
            asked_at: now,
        };
        self.going.insert(ieee, interview);
        self.enter(core, now, ieee, step);
    }

    pub fn forget(&mut self, ieee: Ieee) {
        self.going.remove(&ieee);
    }

    /// It has said something: one that rests goes on.
    pub fn heard(&mut self, core: &mut Core, now: Instant, ieee: Ieee) {
        let Some(interview) = self.going.get_mut(&ieee) else {
            let Some(device) = core.table.get(ieee).filter(|_| core.info.is_some()) else { return };
            if !device.interviewed {
                self.start(core, now, ieee);
            } else if !device.is_set_up {
                // The hub was stopped in the midst of it.
                self.begin(core, now, ieee, Step::Binding);
            }
            return;
        };
        if interview.rests_until.is_some_and(|until| until <= now) && interview.tries < ROUNDS_MAX {
            let step = interview.step;
            self.enter(core, now, ieee, step);
        }
    }

    /// Those that rest and listen are asked again without being heard.
    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        let listens = |ieee: &Ieee| core.table.get(*ieee).is_some_and(|device| !device.sleeps());
        let due: Vec<Ieee> = self
            .going
            .iter()
            .filter(|(ieee, interview)| {
                interview.tries < ROUNDS_MAX && interview.rests_until.is_some_and(|until| until <= now) && listens(ieee)
            })
            .map(|(ieee, _)| *ieee)
            .collect();
        for ieee in due {
            let step = self.going[&ieee].step;
            self.enter(core, now, ieee, step);
        }
    }

    pub fn poll_timeout(&self, core: &Core) -> Option<Instant> {
        let resting = self.going.iter().filter(|(ieee, interview)| {
            interview.tries < ROUNDS_MAX && core.table.get(**ieee).is_some_and(|device| !device.sleeps())
        });
        resting.filter_map(|(_, interview)| interview.rests_until).min()
    }

    /// Asks all of a step at once; the queue keeps the device from being flooded.
    fn enter(&mut self, core: &mut Core, now: Instant, ieee: Ieee, step: Step) {
        let Some(interview) = self.going.get_mut(&ieee) else { return };
        interview.tries = if interview.step == step { interview.tries + 1 } else { 1 };
        interview.step = step;
        interview.round = interview.round.wrapping_add(1);
        interview.rests_until = None;
        let Some(device) = core.table.get(ieee) else {
            self.going.remove(&ieee);
            return;
        };
        core.events.push_back(Event::Pairing(Pairing::Step { ieee, step }));
        let nwk = device.nwk;
        let coordinator = core.info.as_ref().map(|info| info.coordinator);
        let asks: Vec<(What, Sent)> = match step {
            Step::Node => vec![(What::Node, Sent::Zdo(zdo::Request::NodeDescriptor { nwk }))],
            Step::Endpoints => vec![(What::Endpoints, Sent::Zdo(zdo::Request::ActiveEndpoints { nwk }))],
            Step::Clusters => interview
                .endpoints
                .iter()
                .map(|endpoint| {
                    let request = zdo::Request::SimpleDescriptor { nwk, endpoint: *endpoint };
                    (What::Simple(*endpoint), Sent::Zdo(request))
                })
                .collect(),
            Step::Basic => {
                let endpoint = device.endpoint_with(BASIC);
                // Those that do not name the cluster have it all the same, as often as not.
                let first =
                    device.identity.endpoints.iter().find(|endpoint| endpoint.profile != ProfileId::GREEN_POWER);
                let endpoint = endpoint.or(first.map(|endpoint| endpoint.endpoint));
                let reads = |endpoint| {
                    // Where it did not answer to all at once, each by itself.
                    let who: Vec<&[AttributeId]> =
                        if interview.tries > 1 { WHO.chunks(1).collect() } else { vec![&WHO[..]] };
                    let mut asks: Vec<(What, Sent)> = who
                        .into_iter()
                        .map(|who| (What::Basic { is_needed: true }, Sent::Zcl(Zcl::read(endpoint, BASIC, who))))
                        .collect();
                    asks.push((What::Basic { is_needed: false }, Sent::Zcl(Zcl::read(endpoint, BASIC, &VERSIONS))));
                    asks
                };
                endpoint.map_or_else(Vec::new, reads)
            }
            Step::Binding => {
                let coordinator = coordinator.unwrap_or(Ieee(0));
                let setups = device.definition.setup(&device.identity);
                let mut asks: Vec<(What, Sent)> = setups
                    .iter()
                    .filter_map(|setup| match setup {
                        Setup::Bind { endpoint, cluster } => {
                            let binding = to_hub(ieee, *endpoint, *cluster, coordinator);
                            Some((What::Bind(*endpoint, *cluster), Sent::Zdo(zdo::Request::Bind(binding))))
                        }
                        Setup::Report { .. } | Setup::Read(_) | Setup::Command(_) => None,
                    })
                    .collect();
                let enrol = ias::enrolment(device, coordinator).into_iter();
                asks.extend(enrol.map(|zcl| (What::Other("IAS enrolment"), Sent::Zcl(zcl))));
                asks
            }
            Step::Reporting => reporting(device.definition.as_ref(), &device.identity),
        };
        let round = interview.round;
        let (whats, sents): (Vec<What>, Vec<Sent>) = asks.into_iter().unzip();
        interview.parts = whats.into_iter().map(Part::Open).collect();
        for (part, sent) in (0u16..).zip(sents) {
            let owner = Owner::Interview { ieee, round, part };
            match sent {
                Sent::Zdo(request) => core.zdo(now, ieee, request, Priority::Interview, owner),
                Sent::Zcl(zcl) => core.zcl(now, ieee, zcl, Priority::Interview, owner),
            }
        }
        self.go_on(core, now, ieee);
    }

    pub fn answered(
        &mut self,
        core: &mut Core,
        now: Instant,
        (ieee, round, part): (Ieee, u32, u16),
        end: Result<Answer, Failure>,
    ) {
        let Some(interview) = self.going.get_mut(&ieee).filter(|interview| interview.round == round) else { return };
        let Some(place) = interview.parts.get_mut(usize::from(part)) else { return };
        let Part::Open(what) = std::mem::replace(place, Part::Answered) else { return };
        if let Err(why) = take(core, now, ieee, &mut interview.endpoints, what, end) {
            interview.parts[usize::from(part)] = Part::Failed(why);
        }
        self.go_on(core, now, ieee);
    }

    /// Whatever follows when all parts of a step are over.
    fn go_on(&mut self, core: &mut Core, now: Instant, ieee: Ieee) {
        let Some(interview) = self.going.get_mut(&ieee) else { return };
        if interview.parts.iter().any(|part| matches!(part, Part::Open(_))) {
            return;
        }
        let failed = interview.parts.iter().find_map(|part| match part {
            Part::Failed(why) => Some(why.clone()),
            Part::Open(_) | Part::Answered => None,
        });
        let step = interview.step;
        if let Some(why) = failed {
            if step == Step::Node && interview.tries > 1 {
                // Some never say it; the rest of what they say is enough.
                self.enter(core, now, ieee, Step::Endpoints);
                return;
            }
            interview.rests_until = Some(now + REST);
            tracing::debug!(%ieee, step = step.as_str(), %why, "a step of an interview failed");
            core.tell(Event::Pairing(Pairing::Failed { ieee, step, why }));
            return;
        }
        if step == Step::Basic {
            settle(core, ieee);
        }
        match step.next() {
            Some(next) => self.enter(core, now, ieee, next),
            None => {
                let took = now.saturating_duration_since(interview.asked_at);
                self.going.remove(&ieee);
                if let Some(device) = core.table.get_mut(ieee) {
                    device.is_set_up = true;
                }
                tracing::info!(%ieee, took_ms = took.as_millis(), "a device has been interviewed");
                core.tell(Event::Pairing(Pairing::Interviewed { ieee }));
                core.show(ieee);
                first::ask(core, now, ieee);
                core.refresh(now, ieee);
            }
        }
    }
}

enum Sent {
    Zdo(zdo::Request),
    Zcl(Zcl),
}

fn reporting(definition: &dyn Definition, identity: &Identity) -> Vec<(What, Sent)> {
    let mut asks = Vec::new();
    for setup in definition.setup(identity) {
        match setup {
            Setup::Bind { .. } => {}
            Setup::Report { endpoint, cluster, maker, attributes } => {
                let configs = attributes.iter().map(|reporting| ReportingConfig::Reports {
                    attribute: reporting.attribute,
                    data_type: reporting.data_type,
                    min_s: reporting.min_s,
                    max_s: reporting.max_s,
                    change: reporting.change.as_ref().map(|change| change.value.clone()),
                });
                let command = General::ConfigureReporting(configs.collect());
                match Zcl::general(endpoint, cluster, &command) {
                    Ok(zcl) => {
                        let attributes = attributes.iter().map(|reporting| reporting.attribute).collect();
                        asks.push((What::Report(endpoint, cluster, attributes), Sent::Zcl(zcl.with_maker(maker))));
                    }
                    Err(error) => tracing::warn!(%error, %cluster, "a definition's reporting cannot be written"),
                }
            }
            Setup::Read(read) => asks.push((What::Other("a first reading"), Sent::Zcl(Zcl::of_read(&read)))),
            Setup::Command(command) => match Zcl::of(&command) {
                Ok(zcl) => asks.push((What::Other("a command of its set-up"), Sent::Zcl(zcl))),
                Err(error) => tracing::warn!(%error, "a definition's command cannot be written"),
            },
        }
    }
    asks
}

/// It has told what it is: from now on it has capabilities.
fn settle(core: &mut Core, ieee: Ieee) {
    let definitions = core.definitions.clone();
    if let Some(device) = core.table.get_mut(ieee) {
        device.definition = definitions.find(&device.identity);
        device.interviewed = true;
        device.refused.clear();
    }
    core.show(ieee);
}

/// What an answer says of the device; the error is why the step fails.
fn take(
    core: &mut Core,
    now: Instant,
    ieee: Ieee,
    endpoints: &mut Vec<Endpoint>,
    what: What,
    end: Result<Answer, Failure>,
) -> Result<(), Box<str>> {
    let Some(device) = core.table.get_mut(ieee) else { return Ok(()) };
    let answer = match (end, &what) {
        (Ok(answer), _) => answer,
        // Not all know all of them.
        (Err(_), What::Basic { is_needed: false }) => return Ok(()),
        (Err(failure), _) => return Err(trouble(&failure).message.into()),
    };
    match (what, answer) {
        (What::Node, Answer::Zdo(Response::NodeDescriptor { descriptor: Some(node), .. })) => {
            device.identity.logical_type = Some(node.logical_type);
            device.identity.maker = Some(node.maker);
            // What calls itself the coordinator is a router at most.
            let logical_type = match node.logical_type {
                LogicalType::Coordinator => LogicalType::Router,
                other => other,
            };
            device.node = Some(zdo::NodeDescriptor { logical_type, ..node });
        }
        (What::Endpoints, Answer::Zdo(Response::ActiveEndpoints { status, endpoints: named, .. }))
            if status.is_success() =>
        {
            let mut named: Vec<Endpoint> =
                named.into_iter().filter(|endpoint| (1..=240).contains(&endpoint.0)).take(ENDPOINTS_MAX).collect();
            named.sort_unstable();
            named.dedup();
            *endpoints = named;
            device.identity.endpoints.retain(|endpoint| endpoints.contains(&endpoint.endpoint));
        }
        (What::Simple(endpoint), Answer::Zdo(Response::SimpleDescriptor { status, descriptor, .. })) => {
            match descriptor {
                Some(descriptor) => put_endpoint(&mut device.identity.endpoints, descriptor),
                // It named the endpoint and does not know it: it is nothing to us.
                None if endpoint == GREEN_POWER || status == zdo::Status::NOT_ACTIVE => {}
                None => return Err(format!("endpoint {endpoint}: {status}").into()),
            }
        }
        (What::Basic { .. }, Answer::General(General::ReadRsp(records))) => {
            for record in records {
                note(&mut device.identity, record);
            }
        }
        (What::Bind(endpoint, cluster), Answer::Zdo(Response::Bind { status })) if !status.is_success() => {
            device.refused.push(format!("binding of endpoint {endpoint}, cluster {cluster}: {status}").into());
        }
        (What::Report(endpoint, cluster, attributes), Answer::General(General::ConfigureReportingRsp(failed))) => {
            for attribute in attributes {
                let status = failed.iter().find(|(_, _, other)| *other == attribute).map(|(status, _, _)| *status);
                match status.filter(|status| !status.is_success()) {
                    None => {
                        device.reported.insert((endpoint, cluster, attribute));
                    }
                    Some(status) => refused(&mut device.refused, endpoint, cluster, attribute, status),
                }
            }
        }
        (What::Report(endpoint, cluster, attributes), Answer::Status(status)) => {
            for attribute in attributes {
                refused(&mut device.refused, endpoint, cluster, attribute, status);
            }
        }
        (What::Other(_), Answer::General(General::ReadRsp(_))) => {
            // Heard by whoever hears all that it says.
        }
        (What::Other(what), Answer::Status(status)) if !status.is_success() => {
            device.refused.push(format!("{what}: {status}").into());
        }
        (What::Node, Answer::Zdo(response)) => return Err(response.status().to_string().into()),
        (What::Endpoints, Answer::Zdo(response)) => return Err(response.status().to_string().into()),
        _ => {}
    }
    device.refused.truncate(ENDPOINTS_MAX);
    device.dirty_since.get_or_insert(now);
    Ok(())
}

fn refused(
    refused: &mut Vec<Box<str>>,
    endpoint: Endpoint,
    cluster: ClusterId,
    attribute: AttributeId,
    status: Status,
) {
    refused
        .push(format!("reporting of endpoint {endpoint}, cluster {cluster}, attribute {attribute}: {status}").into());
}

fn put_endpoint(endpoints: &mut Vec<SimpleDescriptor>, mut descriptor: SimpleDescriptor) {
    descriptor.inputs.truncate(CLUSTERS_MAX);
    descriptor.outputs.truncate(CLUSTERS_MAX);
    match endpoints.binary_search_by_key(&descriptor.endpoint, |endpoint| endpoint.endpoint) {
        Ok(place) => endpoints[place] = descriptor,
        Err(place) => endpoints.insert(place, descriptor),
    }
}

/// What an attribute of the basic cluster says of who it is. `true`: something new.
pub fn note(identity: &mut Identity, record: ReadRecord) -> bool {
    let Ok(value) = record.value else { return false };
    let text = || {
        let text = match &value.value {
            Value::Text(text) => text.to_string(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => return None,
        };
        // Some fill their field with NULs, and one has text behind the first.
        let text = text.split('\0').next().unwrap_or_default();
        let end = text.floor_char_boundary(TEXT_MAX);
        Some(Box::<str>::from(&text[..end])).filter(|text| !text.is_empty())
    };
    let number = || value.value.as_u64().and_then(|number| u8::try_from(number).ok());
    fn put<T: PartialEq>(place: &mut Option<T>, value: Option<T>) -> bool {
        let is_new = value.is_some() && *place != value;
        if is_new {
            *place = value;
        }
        is_new
    }
    match record.attribute {
        ZCL_VERSION => put(&mut identity.zcl_version, number()),
        APP_VERSION => put(&mut identity.app_version, number()),
        STACK_VERSION => put(&mut identity.stack_version, number()),
        HARDWARE_VERSION => put(&mut identity.hardware_version, number()),
        MAKER_NAME => put(&mut identity.maker_name, text()),
        MODEL_ID => put(&mut identity.model_id, text()),
        DATE_CODE => put(&mut identity.date_code, text()),
        POWER_SOURCE => put(&mut identity.power_source, number()),
        SOFTWARE_BUILD => put(&mut identity.software_build, text()),
        _ => false,
    }
}
