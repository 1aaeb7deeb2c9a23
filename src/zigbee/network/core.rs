//! What all parts of the network share: the devices, the queue, the time of day, and the ways out. Decides nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::UnixMillis;
use crate::zigbee::definitions::Definitions;
use crate::zigbee::ncp::{NcpCommand, NetworkInfo, Tag};
use crate::zigbee::network::device::Device;
use crate::zigbee::network::event::{Event, Persist, Reply, RequestId, View};
use crate::zigbee::network::exchange::{Failure, Message, To, Wants, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::{Ask, Priority, Queue};
use crate::zigbee::network::table::Table;
use crate::zigbee::types::Ieee;
use crate::zigbee::zdo;

/// Times that what may be said twice is said again. Its deadline ends it sooner, as a rule.
pub const REPEATS: u8 = 4;

/// For so long a request of a person waits for a device that listens.
pub const PERSON: Duration = Duration::from_secs(8);

/// For so long it waits for one that sleeps: those with something to be set look for messages every few seconds.
pub const PERSON_ASLEEP: Duration = Duration::from_secs(30);

/// For so long the hub's own wishes wait.
pub const HOUSEKEEPING: Duration = Duration::from_secs(20);

/// Of one that sleeps: until it says something.
pub const HOUSEKEEPING_ASLEEP: Duration = Duration::from_secs(90);

/// What a device told waits so long for the disk: an SD card wears out by being written, and the house keeps values of its own, which are
/// written sooner.
pub const WRITE_BEHIND: Duration = Duration::from_secs(30 * 60);

/// Messages by which a device is asked for all that it can tell; the rest it tells by itself.
const REFRESH_MAX: usize = 12;

/// How often the house is told that a device was heard.
const SEEN_EVERY: Duration = Duration::from_secs(30);

/// What the clock on the wall said, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    pub at: Instant,
    pub unix_ms: UnixMillis,
    /// Seconds to be added for local time.
    pub offset_s: i32,
}

impl WallClock {
    pub fn unix_ms(&self, now: Instant) -> UnixMillis {
        let passed = now.saturating_duration_since(self.at);
        self.unix_ms.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(0))
    }
}

pub struct Core {
    pub definitions: Arc<dyn Definitions>,
    pub table: Table,
    pub queue: Queue,
    pub clock: WallClock,
    /// The network that is up.
    pub info: Option<NetworkInfo>,
    pub commands: VecDeque<NcpCommand>,
    pub events: VecDeque<Event>,
    next_tag: Tag,
}

impl Core {
    pub fn new(definitions: Arc<dyn Definitions>, clock: WallClock) -> Core {
        let (table, queue, commands, events) = Default::default();
        Core { definitions, table, queue, clock, info: None, commands, events, next_tag: 1 }
    }

    pub fn tag(&mut self) -> Tag {
        self.next_tag += 1;
        self.next_tag
    }

    pub fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub fn answer(&mut self, id: RequestId, answer: Result<Reply, ErrorBody>) {
        self.events.push_back(Event::Answer { id, answer });
    }

    /// Asks a device for something, as long as is customary for who wants it.
    pub fn zcl(&mut self, now: Instant, ieee: Ieee, zcl: Zcl, priority: Priority, owner: Owner) {
        let wants = zcl.wants();
        let repeats = if priority == Priority::Answer { 0 } else { REPEATS };
        let (to, within) = (To::Device(ieee), self.patience(ieee, priority));
        self.queue
            .push(now, Ask { to, message: Message::Zcl(zcl), wants, priority, within, repeats, is_once: false, owner });
    }

    /// Answers a frame of a device, once: it asks again where it did not hear it.
    pub fn reply(&mut self, now: Instant, ieee: Ieee, zcl: Zcl) {
        let (to, wants, priority) = (To::Device(ieee), Wants::Delivery, Priority::Answer);
        let (message, within, owner) = (Message::Answer(zcl), self.patience(ieee, priority), Owner::Nobody);
        self.queue.push(now, Ask { to, message, wants, priority, within, repeats: 0, is_once: false, owner });
    }

    pub fn zdo(&mut self, now: Instant, ieee: Ieee, request: zdo::Request, priority: Priority, owner: Owner) {
        let (to, within) = (To::Device(ieee), self.patience(ieee, priority));
        let message = Message::Zdo(request);
        self.queue.push(
            now,
            Ask { to, message, wants: Wants::Zdo, priority, within, repeats: REPEATS, is_once: false, owner },
        );
    }

    pub fn patience(&self, ieee: Ieee, priority: Priority) -> Duration {
        match (priority, self.table.get(ieee).is_some_and(Device::sleeps)) {
            (Priority::Answer | Priority::Person, false) => PERSON,
            (Priority::Answer | Priority::Person, true) => PERSON_ASLEEP,
            (_, false) => HOUSEKEEPING,
            (_, true) => HOUSEKEEPING_ASLEEP,
        }
    }

    /// The device was heard: it is there, and awake.
    pub fn heard(&mut self, now: Instant, ieee: Ieee, lqi: Option<u8>) {
        self.queue.heard(now, ieee);
        let at_ms = self.clock.unix_ms(now);
        let Some(device) = self.table.get_mut(ieee) else { return };
        device.heard_at = Some(now);
        device.last_seen_ms = Some(at_ms);
        device.lqi = lqi.or(device.lqi);
        let was_unavailable = device.available != Some(true);
        device.available = Some(true);
        if device.told_seen.is_none_or(|told| now.saturating_duration_since(told) >= SEEN_EVERY) {
            device.told_seen = Some(now);
            self.events.push_back(Event::Seen { ieee, at_ms });
        }
        if was_unavailable {
            self.events.push_back(Event::Availability { ieee, available: true });
        }
    }

    pub fn unavailable(&mut self, ieee: Ieee) {
        if let Some(device) = self.table.get_mut(ieee)
            && device.available != Some(false)
        {
            device.available = Some(false);
            self.events.push_back(Event::Availability { ieee, available: false });
        }
    }

    /// Properties have these values now.
    pub fn changed(&mut self, now: Instant, ieee: Ieee, changes: Map<String, Value>) {
        let Some(device) = self.table.get_mut(ieee) else { return };
        if changes.is_empty() {
            return;
        }
        for (property, value) in &changes {
            // What has happened is not how it is.
            if property != "action" && device.memory.state.get(property) != Some(value) {
                device.memory.state.insert(property.clone(), value.clone());
                device.dirty_since.get_or_insert(now);
            }
        }
        self.events.push_back(Event::State { ieee, changes });
    }

    /// Asks one that listens for all that it can be asked, and waits for nothing.
    pub fn refresh(&mut self, now: Instant, ieee: Ieee) {
        let Some(device) = self.table.get(ieee).filter(|device| device.interviewed && !device.sleeps()) else { return };
        let reads = device.definition.reads(&device.identity, &[]);
        for read in reads.iter().take(REFRESH_MAX) {
            self.zcl(now, ieee, Zcl::of_read(read), Priority::Housekeeping, Owner::Nobody);
        }
    }

    /// Tells the house how the device is now, and the disk.
    pub fn show(&mut self, ieee: Ieee) {
        if let Some(view) = self.view(ieee) {
            self.events.push_back(Event::Device(Box::new(view)));
        }
        self.persist(ieee);
    }

    pub fn persist(&mut self, ieee: Ieee) {
        if let Some(device) = self.table.get_mut(ieee) {
            device.dirty_since = None;
            let document = device.document();
            self.events.push_back(Event::Persist(Persist::Device { ieee, document }));
        }
    }

    pub fn view(&self, ieee: Ieee) -> Option<View> {
        let device = self.table.get(ieee)?;
        let (definition, identity) = (&device.definition, &device.identity);
        let model = definition.model().map(Box::from).or_else(|| identity.model_id.clone());
        let vendor = definition.vendor().map(Box::from).or_else(|| identity.maker_name.clone());
        Some(View {
            ieee,
            model,
            vendor,
            description: definition.description().map(Box::from),
            has_battery: device.has_battery(),
            interviewed: device.interviewed,
            supported: definition.is_supported(),
            is_router: device.is_router(),
            capabilities: if device.interviewed { definition.capabilities(identity) } else { Vec::new() },
            state: device.memory.state.clone(),
            available: device.available,
            last_seen_ms: device.last_seen_ms,
            details: device.details(),
        })
    }
}

/// A failure in the words of the wire.
pub fn trouble(failure: &Failure) -> ErrorBody {
    let (code, message) = match failure {
        Failure::RadioDown => (ErrorCode::RadioDown, "the radio is not up".to_owned()),
        Failure::Unreachable(why) => (ErrorCode::DeviceUnreachable, (*why).to_owned()),
        Failure::NoAnswer => (ErrorCode::Timeout, "it got the message and did not answer".to_owned()),
        Failure::Unsure => (ErrorCode::Timeout, "it did not answer, and may have got the message or not".to_owned()),
        Failure::Stick(code) => {
            (ErrorCode::DeviceUnreachable, format!("the stick would not send the message (code {code:#04x})"))
        }
        Failure::Dropped(why) => (ErrorCode::DeviceUnreachable, (*why).to_owned()),
    };
    ErrorBody { retryable: true, ..ErrorBody::new(code, message) }
}
