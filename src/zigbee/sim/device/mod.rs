//! One device of the house: its attributes, bindings, reports, groups, and what it does with a message. Hears and says messages
//! of the application layer; knows no radio, which is `world`'s. As strict as real ones: it reports only what was bound and
//! configured, and tells of no alarm before it is enrolled.

mod clusters;
mod foundation;
mod frame;
mod groups;
mod lighting;
pub mod models;
mod ota;
mod reporting;
mod switching;
mod tuya;
mod zdo;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use self::models::{AttributeSpec, EndpointSpec, First, Logical, Model};
use self::reporting::Reporting;
pub use self::zdo::Neighbour;
use crate::zigbee::sim::air::{Aps, Network, To};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::{GroupId, Ieee, Key, Nwk};

/// APS counters that a device remembers of each sender, to know what it has had before.
const HEARD_LEN: usize = 32;

/// Who takes in a sleeper's messages, and speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parent {
    Coordinator,
    /// The index of a router.
    Device(usize),
}

/// A place in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pub network: Network,
    pub nwk: Nwk,
    pub parent: Parent,
    /// The largest frame counter heard of the coordinator: what does not pass it was recorded by somebody, and is not heard.
    pub heard_counter: u32,
}

/// What is wrong with a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Hears, acknowledges, and answers nothing.
    pub silent: bool,
    /// Its acknowledgements never arrive.
    pub no_ack: bool,
    /// Thinks for so long before it answers.
    pub slow: Option<Duration>,
    /// Answers "success" and does nothing.
    pub lies: bool,
    /// Refuses commands and writes with this status.
    pub rejects: Option<u8>,
}

/// One attribute and its value, as ZCL writes it.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub spec: &'static AttributeSpec,
    pub value: Vec<u8>,
}

impl Attribute {
    /// The value of numbers, bitmaps and states; 0 of a text.
    pub fn number(&self) -> i64 {
        let Some(width) = models::width(self.spec.kind).filter(|width| *width <= 8) else {
            return 0;
        };
        let wide = Reader(&self.value).number(width).unwrap_or(0);
        let is_signed = matches!(self.spec.kind, 0x28..=0x2f);
        let spare = 64 - 8 * width as u32;
        if is_signed { (wide << spare) as i64 >> spare } else { wide as i64 }
    }

    fn set(&mut self, number: i64) {
        let width = models::width(self.spec.kind).unwrap_or(0).min(8);
        self.value = number.to_le_bytes()[..width].to_vec();
    }
}

pub struct EndpointState {
    pub spec: &'static EndpointSpec,
    /// By cluster and attribute.
    pub attributes: BTreeMap<(u16, u16), Attribute>,
    pub groups: BTreeSet<GroupId>,
    /// By group and scene: what each attribute is to be.
    pub scenes: BTreeMap<(u16, u8), BTreeMap<(u16, u16), i64>>,
}

/// A row of the binding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    pub endpoint: u8,
    pub cluster: u16,
    pub target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Group(GroupId),
    Device { ieee: Ieee, endpoint: u8 },
}

/// An attribute on its way from one value to another.
#[derive(Debug, Clone, Copy)]
struct Course {
    at: (u8, u16, u16),
    from: i64,
    to: i64,
    began: Instant,
    until: Instant,
}

/// What came of a message or of time.
#[derive(Default)]
pub struct Out {
    /// In the order in which they are to go out; `to` may be a name that `world` resolves.
    pub messages: Vec<Draft>,
    pub deeds: Vec<Deed>,
    /// What the host did against the rules of Zigbee.
    pub violations: Vec<String>,
    /// What a person would like to see.
    pub notes: Vec<String>,
}

/// A message whose receiver may still be known by its lasting address alone.
pub struct Draft {
    pub to: Recipient,
    pub aps: Aps,
}

pub enum Recipient {
    /// As `aps.to` says.
    Addressed,
    Ieee(Ieee),
}

/// What a device does that only the world can carry out.
#[derive(Debug, PartialEq, Eq)]
pub enum Deed {
    Leave {
        rejoin: bool,
    },
    PermitJoin {
        seconds: u8,
    },
    /// Changes to another channel.
    Channel(u8),
}

pub struct Device {
    pub model: &'static Model,
    /// Of the house: the model's name, with a number where there are several.
    pub name: String,
    pub ieee: Ieee,
    /// Has power.
    pub is_on: bool,
    pub membership: Option<Membership>,
    /// The key that the trust centre gave it for itself.
    pub link_key: Option<Key>,
    /// The install code printed on it: then it takes no network key that was sealed otherwise.
    pub install_code: Option<[u8; 18]>,
    pub quirks: Quirks,
    pub endpoints: Vec<EndpointState>,
    pub bindings: Vec<Binding>,
    pub reporting: Vec<Reporting>,
    /// Data points of Tuya: number, type, value.
    pub data_points: BTreeMap<u8, (u8, Vec<u8>)>,
    /// Version of its firmware, as OTA counts.
    pub firmware: u32,
    ota: Option<ota::Download>,
    courses: Vec<Course>,
    /// Ends of delayed turning off (`OnWithTimedOff`).
    off_at: Option<Instant>,
    /// What is plugged in takes so many watts.
    pub load_w: i64,
    metered_at: Option<Instant>,
    heard: VecDeque<(Nwk, u8)>,
    aps_counter: u8,
    sequence: u8,
    /// Commands that it carried out, for those who ask whether one ran twice.
    pub carried_out: u64,
}

impl Device {
    pub fn new(model: &'static Model, name: String, ieee: Ieee) -> Device {
        let endpoints = model.endpoints.iter().map(EndpointState::new).collect();
        let mut device = Device {
            model,
            name,
            ieee,
            is_on: true,
            membership: None,
            link_key: None,
            install_code: None,
            quirks: Quirks::default(),
            endpoints,
            bindings: Vec::new(),
            reporting: Vec::new(),
            data_points: BTreeMap::new(),
            firmware: ota::FIRST_VERSION,
            ota: None,
            courses: Vec::new(),
            off_at: None,
            load_w: 0,
            metered_at: None,
            heard: VecDeque::new(),
            aps_counter: 0,
            sequence: 0,
            carried_out: 0,
        };
        device.reset();
        device
    }

    /// As new from its box, but for its power and its faults.
    pub fn reset(&mut self) {
        self.membership = None;
        self.link_key = None;
        self.endpoints = self.model.endpoints.iter().map(EndpointState::new).collect();
        self.bindings.clear();
        self.reporting.clear();
        self.courses.clear();
        self.heard.clear();
        self.ota = None;
        self.data_points.clear();
        if self.has_cluster(models::TUYA) {
            self.data_points = tuya::first_points();
        }
    }

    pub fn nwk(&self) -> Option<Nwk> {
        self.membership.map(|membership| membership.nwk)
    }

    pub fn is_router(&self) -> bool {
        self.model.logical == Logical::Router
    }

    fn has_cluster(&self, cluster: u16) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.spec.inputs.contains(&cluster))
    }

    pub fn is_in_group(&self, group: GroupId) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.groups.contains(&group))
    }

    /// The value of an attribute as a number: the truth of the house, for those who count lies.
    pub fn attribute(&self, cluster: u16, id: u16) -> Option<i64> {
        let found = self.endpoints.iter().find_map(|endpoint| endpoint.attributes.get(&(cluster, id)));
        found.map(Attribute::number)
    }

    /// As [`Device::attribute`], where it stands now: a dimmer on its way is half way.
    pub fn attribute_at(&self, now: Instant, cluster: u16, id: u16) -> Option<i64> {
        let course = self.courses.iter().find(|course| (course.at.1, course.at.2) == (cluster, id));
        course.map(|course| course.value(now)).or_else(|| self.attribute(cluster, id))
    }

    /// Something happens to it: the world outside sets an attribute, and reports follow where they are due.
    pub fn happen(&mut self, now: Instant, cluster: u16, id: u16, value: i64, out: &mut Out) {
        let at = self.endpoints.iter().find(|endpoint| endpoint.attributes.contains_key(&(cluster, id)));
        if let Some(endpoint) = at.map(|endpoint| endpoint.spec.id) {
            self.put(endpoint, cluster, id, value);
            self.report(now, out);
        }
    }

    /// Says to the coordinator what it measures, one further each time, asked for or not: for those who try how much a host
    /// can bear. False: it measures nothing.
    pub fn chatter(&mut self, out: &mut Out) -> bool {
        const MEASURED: [(u16, u16); 3] = [(models::TEMPERATURE, 0), (models::ELECTRICAL, 0x050b), (models::LEVEL, 0)];
        let has = |at: &(u16, u16)| self.attribute(at.0, at.1).is_some();
        let Some((cluster, id)) = MEASURED.into_iter().find(has) else {
            return false;
        };
        let found = self.endpoints.iter().find(|endpoint| endpoint.attributes.contains_key(&(cluster, id)));
        let endpoint = found.map_or(1, |endpoint| endpoint.spec.id);
        let value = self.get(endpoint, cluster, id) % 200 + 1;
        self.put(endpoint, cluster, id, value);
        let Some(attribute) = self.endpoint(endpoint).and_then(|state| state.attributes.get(&(cluster, id))) else {
            return false;
        };
        let record = Writer::new().u16(id).u8(attribute.spec.kind).bytes(&attribute.value);
        let frame = Writer::new().u8(0x18).u8(self.next_sequence()).u8(0x0a).bytes(&record.0);
        let mut draft = self.draft(endpoint, cluster, Target::Device { ieee: self.ieee, endpoint: 1 }, frame.0, false);
        (draft.to, draft.aps.to) = (Recipient::Addressed, To::Device(Nwk::COORDINATOR));
        out.messages.push(draft);
        true
    }

    fn endpoint(&self, id: u8) -> Option<&EndpointState> {
        self.endpoints.iter().find(|endpoint| endpoint.spec.id == id)
    }

    fn endpoint_mut(&mut self, id: u8) -> Option<&mut EndpointState> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.spec.id == id)
    }

    fn get(&self, endpoint: u8, cluster: u16, id: u16) -> i64 {
        let found = self.endpoint(endpoint).and_then(|endpoint| endpoint.attributes.get(&(cluster, id)));
        found.map_or(0, Attribute::number)
    }

    fn put(&mut self, endpoint: u8, cluster: u16, id: u16, value: i64) {
        self.courses.retain(|course| course.at != (endpoint, cluster, id));
        self.put_along(endpoint, cluster, id, value);
    }

    fn put_along(&mut self, endpoint: u8, cluster: u16, id: u16, value: i64) {
        if let Some(state) = self.endpoint_mut(endpoint)
            && let Some(attribute) = state.attributes.get_mut(&(cluster, id))
        {
            attribute.set(value);
        }
    }

    /// Sends an attribute on its way; at once where the time is nought.
    fn course(&mut self, now: Instant, at: (u8, u16, u16), to: i64, takes: Duration) {
        let from = self.get(at.0, at.1, at.2);
        if takes.is_zero() || from == to {
            return self.put(at.0, at.1, at.2, to);
        }
        self.courses.retain(|course| course.at != at);
        self.courses.push(Course { at, from, to, began: now, until: now + takes });
    }

    fn halt(&mut self, now: Instant, cluster: u16) {
        self.advance(now);
        self.courses.retain(|course| course.at.1 != cluster);
    }

    /// Brings what is on its way to where it is now.
    fn advance(&mut self, now: Instant) {
        for course in self.courses.clone() {
            self.put_along(course.at.0, course.at.1, course.at.2, course.value(now));
        }
        self.courses.retain(|course| course.until > now);
    }

    /// A message has arrived, and its security held. `surroundings` is asked for at most once.
    pub fn hear(&mut self, now: Instant, aps: &Aps, surroundings: impl FnOnce() -> Vec<Neighbour>, out: &mut Out) {
        if self.heard.contains(&(aps.from, aps.counter)) {
            return;
        }
        self.heard.push_back((aps.from, aps.counter));
        if self.heard.len() > HEARD_LEN {
            self.heard.pop_front();
        }
        if self.quirks.silent {
            return;
        }
        self.advance(now);
        if aps.profile == 0 {
            zdo::hear(self, aps, surroundings, out);
        } else {
            let hearing: Vec<u8> = self.endpoints.iter().filter(|e| hears(e, aps)).map(|e| e.spec.id).collect();
            if hearing.is_empty() && matches!(aps.to, To::Device(_)) {
                out.notes.push(format!("has no endpoint {}", aps.to_endpoint));
            }
            for endpoint in hearing {
                foundation::hear(self, now, endpoint, aps, out);
            }
        }
        self.report(now, out);
    }

    pub fn handle_timeout(&mut self, now: Instant, out: &mut Out) {
        self.advance(now);
        if self.off_at.is_some_and(|at| at <= now) {
            self.off_at = None;
            for endpoint in self.endpoints.iter().map(|endpoint| endpoint.spec.id).collect::<Vec<_>>() {
                self.put(endpoint, models::ON_OFF, 0, 0);
            }
        }
        switching::meter(self, now);
        ota::handle_timeout(self, now, out);
        self.report(now, out);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let course = self.courses.iter().map(|course| course.until).min();
        let reports = self.reports_due();
        let download = self.ota.as_ref().map(|download| download.due);
        [course, self.off_at, reports, download, self.metered_at].into_iter().flatten().min()
    }

    fn next_aps_counter(&mut self) -> u8 {
        self.aps_counter = self.aps_counter.wrapping_add(1);
        self.aps_counter
    }

    fn next_sequence(&mut self) -> u8 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// A message of its own accord.
    fn draft(&mut self, endpoint: u8, cluster: u16, to: Target, payload: Vec<u8>, ack: bool) -> Draft {
        let (recipient, address, to_endpoint) = match to {
            Target::Group(group) => (Recipient::Addressed, To::Group(group), 0xff),
            Target::Device { ieee, endpoint } => (Recipient::Ieee(ieee), To::Device(Nwk::ALL), endpoint),
        };
        Draft {
            to: recipient,
            aps: Aps {
                to: address,
                from: self.nwk().unwrap_or(Nwk::ALL),
                from_endpoint: endpoint,
                to_endpoint,
                profile: self.endpoint(endpoint).map_or(0x0104, |endpoint| endpoint.spec.profile),
                cluster,
                counter: self.next_aps_counter(),
                ack,
                payload,
            },
        }
    }

    /// An answer to `asked`, to where it came from.
    fn answer(&mut self, asked: &Aps, endpoint: u8, payload: Vec<u8>) -> Draft {
        Draft {
            to: Recipient::Addressed,
            aps: Aps {
                to: To::Device(asked.from),
                from: self.nwk().unwrap_or(Nwk::ALL),
                from_endpoint: endpoint,
                to_endpoint: asked.from_endpoint,
                profile: asked.profile,
                cluster: asked.cluster,
                counter: self.next_aps_counter(),
                ack: false,
                payload,
            },
        }
    }

    /// Tells everybody where it is (`Device_annce`), as all do after joining and coming back.
    pub fn announcement(&mut self) -> Draft {
        let nwk = self.nwk().unwrap_or(Nwk::ALL);
        let sequence = self.next_sequence();
        let payload = Writer::new().u8(sequence).u16(nwk.0).u64(self.ieee.0).u8(self.capability());
        Draft {
            to: Recipient::Addressed,
            aps: Aps {
                to: To::Broadcast(Nwk::AWAKE),
                from: nwk,
                from_endpoint: 0,
                to_endpoint: 0,
                profile: 0,
                cluster: 0x0013,
                counter: self.next_aps_counter(),
                ack: false,
                payload: payload.0,
            },
        }
    }

    /// `MAC capability flags`: full function, mains, awake, address wanted.
    pub fn capability(&self) -> u8 {
        if self.model.is_sleepy() { 0x80 } else { 0x8e }
    }

    /// A command of a remote to all whom it is bound to.
    pub fn command(&mut self, cluster: u16, id: u8, payload: &[u8], out: &mut Out) {
        let Some(endpoint) = self.endpoints.iter().find(|e| e.spec.outputs.contains(&cluster)).map(|e| e.spec.id)
        else {
            return;
        };
        let bound = self.bindings.iter().filter(|binding| binding.endpoint == endpoint && binding.cluster == cluster);
        let targets: Vec<_> = bound.map(|binding| binding.target).collect();
        for target in targets {
            let frame = Writer::new().u8(0x01).u8(self.next_sequence()).u8(id).bytes(payload);
            let draft = self.draft(endpoint, cluster, target, frame.0, matches!(target, Target::Device { .. }));
            out.messages.push(draft);
        }
    }

    /// The contact opens or closes, and an enrolled one says so at once.
    pub fn trip(&mut self, now: Instant, is_open: bool, out: &mut Out) {
        clusters::trip(self, now, is_open, out);
    }

    /// What is plugged in takes so many watts while it is on.
    pub fn plug_in(&mut self, now: Instant, watts: i64, out: &mut Out) {
        self.load_w = watts;
        switching::power(self, now);
        self.report(now, out);
    }

    /// A person turns the knob of the Tuya device.
    pub fn set_data_point(&mut self, number: u8, value: i64, out: &mut Out) {
        tuya::turn(self, number, value, out);
    }
}

impl Course {
    fn value(&self, now: Instant) -> i64 {
        let whole = (self.until - self.began).as_millis().max(1) as i64;
        let gone = (now.saturating_duration_since(self.began).as_millis() as i64).min(whole);
        self.from + (self.to - self.from) * gone / whole
    }
}

impl EndpointState {
    fn new(spec: &'static EndpointSpec) -> EndpointState {
        let attributes = spec.attributes.iter().copied().flatten().map(|spec| {
            let width = models::width(spec.kind).unwrap_or(0).min(8);
            let value = match spec.first {
                First::Number(number) => number.to_le_bytes()[..width].to_vec(),
                First::Text(text) => Writer::new().u8(text.len() as u8).bytes(text.as_bytes()).0,
            };
            ((spec.cluster, spec.id), Attribute { spec, value })
        });
        EndpointState { spec, attributes: attributes.collect(), groups: BTreeSet::new(), scenes: BTreeMap::new() }
    }
}

fn hears(endpoint: &EndpointState, aps: &Aps) -> bool {
    match aps.to {
        To::Group(group) => endpoint.groups.contains(&group),
        _ => aps.to_endpoint == 0xff || aps.to_endpoint == endpoint.spec.id,
    }
}
