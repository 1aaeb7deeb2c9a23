//! The network: who is in it, what they are asked and what they tell. Speaks to a stick in the words of `ncp` and to the house in
//! those of [`event`]. Sans-IO; knows no kind of device and no kind of stick.

mod answering;
mod availability;
mod binding;
mod core;
pub mod device;
mod errand;
pub mod event;
mod evidence;
mod exchange;
mod first;
mod hearing;
mod ias;
mod interview;
mod job;
mod joining;
mod map;
pub mod ota;
mod pairing;
mod queue;
mod reads;
mod retry;
mod sets;
mod setting;
mod sleepy;
mod strays;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use self::core::WallClock;
pub use event::{BindTo, BindWish, Event, Pairing, Persist, Radio, Reply, Request, RequestId, SceneWish, Step, View};

use self::availability::Availability;
use self::core::{Core, WRITE_BEHIND, trouble};
use self::device::Device;
use self::errand::{After, Errands};
use self::exchange::{Answer, Failure, To};
use self::hearing::Hearing;
use self::interview::Interviews;
use self::job::Owner;
use self::joining::Joining;
use self::map::Mapping;
use self::ota::{Images, Ota};
use self::pairing::Door;
use self::queue::{Finished, TAG_BIT};
use self::reads::Reads;
use self::sets::Sets;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::definitions::Definitions;
use crate::zigbee::ncp::{Incoming, NcpCommand, NcpEvent, NetworkInfo, Reply as NcpReply, Tag};
use crate::zigbee::types::{ClusterId, Ieee, Nwk};
use crate::zigbee::zdo::{self, Response};

/// How often what has changed is looked at for the disk.
const SWEEP: Duration = Duration::from_secs(30);

/// A backup that the stick does not give within this is not waited for.
const BACKUP: Duration = Duration::from_secs(60);

/// See the module.
pub struct Network {
    core: Core,
    sets: Sets,
    reads: Reads,
    errands: Errands,
    interviews: Interviews,
    hearing: Hearing,
    joining: Joining,
    door: Door,
    availability: Availability,
    mapping: Mapping,
    ota: Ota,
    backups: BTreeMap<Tag, (RequestId, Instant)>,
    sweep_at: Option<Instant>,
    radio: Radio,
}

impl Network {
    /// `documents` are those of the devices, as [`Persist::Device`] gave them.
    pub fn new(
        definitions: Arc<dyn Definitions>,
        clock: WallClock,
        documents: impl IntoIterator<Item = Value>,
    ) -> Network {
        let mut core = Core::new(definitions, clock);
        for document in documents {
            match Device::from_document(&document, core.definitions.as_ref()) {
                Ok(device) => {
                    core.table.insert(device);
                }
                Err(error) => {
                    tracing::warn!(%error, "a device's document cannot be read; it is asked anew when heard of")
                }
            }
        }
        let (sets, reads, errands, interviews, hearing) = Default::default();
        let (joining, door, availability, mapping, ota, backups) = Default::default();
        let (sweep_at, radio) = (None, Radio::Starting);
        Network {
            core,
            sets,
            reads,
            errands,
            interviews,
            hearing,
            joining,
            door,
            availability,
            mapping,
            ota,
            backups,
            sweep_at,
            radio,
        }
    }

    /// All devices as they are known now.
    pub fn devices(&self) -> impl Iterator<Item = View> + '_ {
        self.core.table.iter().filter_map(|device| self.core.view(device.ieee()))
    }

    pub fn radio(&self) -> &Radio {
        &self.radio
    }

    /// Firmware images that devices may be offered.
    pub fn set_images(&mut self, images: Box<dyn Images>) {
        self.ota.set_images(images);
    }

    /// The clock on the wall, which may jump.
    pub fn set_clock(&mut self, clock: WallClock) {
        self.core.clock = clock;
    }

    pub fn handle_request(&mut self, now: Instant, id: RequestId, request: Request) {
        let core = &mut self.core;
        // Of these the queue knows how long there is hope.
        let needs_radio = !matches!(request, Request::Status | Request::Set { .. } | Request::Read { .. });
        if core.info.is_none() && needs_radio && !matches!(request, Request::Remove { force: true, .. }) {
            core.answer(id, Err(trouble(&Failure::RadioDown)));
            return;
        }
        match request {
            Request::Set { targets, set, group } => self.sets.start(core, now, (id, targets, set), group),
            Request::Read { ieee, properties } => self.reads.start(core, now, id, (ieee, properties)),
            Request::Pairing { seconds, via, install_code } => self.door.ask(core, id, seconds, via, install_code),
            Request::Remove { ieee, force } => self.errands.remove(core, now, id, ieee, force),
            Request::Interview { ieee } => {
                if core.table.get(ieee).is_some() {
                    self.interviews.start(core, now, ieee);
                    core.answer(id, Ok(Reply::Nothing));
                } else {
                    core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"))));
                }
            }
            Request::Status => {
                let status = self.status(now);
                self.core.answer(id, Ok(Reply::Document(status)));
            }
            Request::Map => self.mapping.start(core, now, id),
            Request::Backup => {
                let tag = core.tag();
                self.backups.insert(tag, (id, now + BACKUP));
                core.commands.push_back(NcpCommand::Backup { tag });
            }
            Request::Regroup { group, members } => self.errands.regroup(core, now, id, group, &members),
            Request::Groups { ieee } => self.errands.groups(core, now, id, ieee),
            Request::Bind(wish) => self.errands.bind(core, now, id, &wish),
            Request::Bindings { ieee } => self.errands.bindings(core, now, id, ieee),
            Request::OfferFirmware { ieee } => {
                let endpoint = core.table.get(ieee).and_then(|device| {
                    let speaks = |endpoint: &&zdo::SimpleDescriptor| endpoint.outputs.contains(&ota::OTA);
                    device.identity.endpoints.iter().find(speaks).map(|endpoint| endpoint.endpoint)
                });
                match endpoint {
                    Some(endpoint) => self.ota.offer(core, now, id, (ieee, endpoint)),
                    None if core.table.get(ieee).is_none() => {
                        core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"))));
                    }
                    None => {
                        let message = "it takes no firmware over the air";
                        core.answer(id, Err(ErrorBody::new(ErrorCode::Unsupported, message)));
                    }
                }
            }
            Request::Scene { group, scene, what } => self.errands.scene(core, now, id, (group, scene, what)),
        }
        self.settle(now);
    }

    fn status(&self, now: Instant) -> Value {
        let mut status = json!({
            "devices": self.core.table.len(),
            "pairing_seconds_left": self.door.seconds_left(now),
        });
        let radio = match &self.radio {
            Radio::Starting => json!({"status": "starting"}),
            Radio::Up => json!({"status": "up"}),
            Radio::Down { why } => json!({"status": "down", "why": why}),
            Radio::Refused { why } => json!({"status": "refused", "why": why}),
        };
        status["radio"] = radio;
        if let Some(info) = &self.core.info {
            status["channel"] = json!(info.channel);
            status["pan_id"] = json!(format!("{:#06x}", info.pan_id));
            status["extended_pan_id"] = json!(info.extended_pan_id);
            status["coordinator"] = json!(info.coordinator);
            status["firmware"] = json!(info.firmware);
        }
        status
    }

    pub fn handle_ncp(&mut self, now: Instant, event: NcpEvent) {
        match event {
            NcpEvent::Up(info) => self.up(now, *info),
            NcpEvent::Down { why } => self.down(now, Radio::Down { why }),
            NcpEvent::Refused { why } => {
                self.down(now, Radio::Refused { why });
                self.core.queue.give_up();
            }
            NcpEvent::Message(incoming) => self.message(now, &incoming),
            NcpEvent::Zdo { from, cluster, payload } => self.zdo(now, from, cluster, &payload),
            NcpEvent::Sent { tag, status } => {
                let table = &self.core.table;
                self.core.queue.sent(now, tag, status, |ieee| whereabouts(table, self.core.info.as_ref(), ieee));
            }
            NcpEvent::Done { tag, .. } if tag & TAG_BIT != 0 => self.core.queue.done(tag),
            NcpEvent::Done { tag, result } => self.done(now, tag, result),
            NcpEvent::Joined { ieee, nwk, .. } => {
                let is_open = self.door.is_open();
                self.joining.joined(&mut self.core, now, ieee, nwk, is_open);
            }
            NcpEvent::Left { ieee, rejoin, .. } => {
                if !rejoin {
                    self.left(now, ieee);
                }
            }
            // The hub counts itself, and says 0 when it is over.
            NcpEvent::PermitJoin { .. } => {}
            NcpEvent::Persist(persisted) => self.core.tell(Event::Persist(Persist::Network(persisted))),
        }
        self.settle(now);
    }

    fn up(&mut self, now: Instant, info: NetworkInfo) {
        if info.is_new && !self.core.table.is_empty() {
            let all: Vec<Ieee> = self.core.table.iter().map(Device::ieee).collect();
            all.into_iter().for_each(|ieee| self.forget(now, ieee));
            self.core.tell(Event::Persist(Persist::ForgetAll));
        }
        self.core.queue.up(info.in_flight_max);
        self.core.info = Some(info);
        self.availability.start(now);
        self.sweep_at.get_or_insert(now + SWEEP);
        self.radio = Radio::Up;
        self.core.tell(Event::Radio(Radio::Up));
    }

    fn down(&mut self, now: Instant, radio: Radio) {
        self.core.info = None;
        self.core.queue.down(now);
        self.core.commands.clear();
        self.door.down(&mut self.core);
        self.availability.stop();
        for (id, _) in std::mem::take(&mut self.backups).into_values() {
            self.core.answer(id, Err(trouble(&Failure::RadioDown)));
        }
        self.radio = radio.clone();
        self.core.tell(Event::Radio(radio));
    }

    fn done(&mut self, now: Instant, tag: Tag, result: Result<NcpReply, Box<str>>) {
        if self.door.done(&mut self.core, now, tag, &result) {
            return;
        }
        let Some((id, _)) = self.backups.remove(&tag) else { return };
        let answer = match result {
            Ok(NcpReply::Backup(backup)) => Ok(Reply::Document(*backup)),
            Ok(NcpReply::Nothing) => Err(ErrorBody::new(ErrorCode::Internal, "the stick gave no backup")),
            Err(why) => Err(ErrorBody::new(ErrorCode::DeviceRejected, format!("the stick: {why}"))),
        };
        self.core.answer(id, answer);
    }

    fn message(&mut self, now: Instant, incoming: &Incoming) {
        if incoming.from == Nwk::COORDINATOR {
            return;
        }
        let Some(ieee) = self.core.table.at(incoming.from) else {
            self.joining.stranger(&mut self.core, now, incoming.from);
            return;
        };
        let ota = &mut self.ota;
        let understood = self
            .hearing
            .handle(&mut self.core, now, ieee, incoming, |core, ieee, frame| ota.handle(core, now, ieee, frame));
        if let Some(understood) = understood
            && !understood.changes.is_empty()
        {
            self.reads.said(understood.ieee, &understood.changes);
            self.sets.said(&mut self.core, now, understood.ieee, &understood.changes);
        }
        // First what was waited for: an interview begins only where none is going.
        self.finish(now);
        self.interviews.heard(&mut self.core, now, ieee);
    }

    fn zdo(&mut self, now: Instant, from: Nwk, cluster: ClusterId, payload: &[u8]) {
        if let Ok(response) = Response::decode(cluster, payload) {
            self.zdo_response(now, from, &response);
        } else if let Ok(zdo::Request::DeviceAnnounce { nwk, ieee, capability }) =
            zdo::Request::decode(cluster, payload)
        {
            let known = self.core.table.get(ieee).is_some();
            if self.joining.announced(&mut self.core, now, (ieee, nwk, capability), self.door.is_open()) {
                self.interviews.start(&mut self.core, now, ieee);
            } else if known {
                self.interviews.heard(&mut self.core, now, ieee);
                self.ota.announced(&mut self.core, now, ieee);
                // It may have been without power, and be as it is then.
                self.core.refresh(now, ieee);
            }
        }
    }

    fn zdo_response(&mut self, now: Instant, from: Nwk, response: &Response) {
        let coordinator = self.core.info.as_ref().map(|info| info.coordinator);
        let sender = if from == Nwk::COORDINATOR { coordinator } else { self.core.table.at(from) };
        if let Some(ieee) = sender {
            self.core.heard(now, ieee, None);
            self.core.queue.handle_zdo(now, ieee, response);
        }
        if let Response::IeeeAddr { status, ieee, nwk, .. } | Response::NwkAddr { status, ieee, nwk, .. } = response
            && status.is_success()
            && self.joining.found(&mut self.core, now, *ieee, *nwk)
        {
            self.interviews.start(&mut self.core, now, *ieee);
        }
    }

    fn left(&mut self, now: Instant, ieee: Ieee) {
        self.errands.left(&mut self.core, ieee);
        self.forget(now, ieee);
    }

    fn forget(&mut self, now: Instant, ieee: Ieee) {
        let Some(device) = self.core.table.remove(ieee) else { return };
        self.core.queue.forget(ieee);
        self.sets.forget(&mut self.core, now, ieee);
        self.interviews.forget(ieee);
        self.hearing.forget(ieee);
        self.joining.forget(ieee);
        self.ota.forget(&mut self.core, ieee);
        self.availability.forget(ieee);
        if self.core.info.is_some() {
            let tag = self.core.tag();
            self.core.commands.push_back(NcpCommand::Forget { tag, ieee, nwk: device.nwk });
        }
        self.core.tell(Event::Persist(Persist::Forget { ieee }));
        self.core.tell(Event::Left { ieee });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.queue.handle_timeout(now);
        self.finish(now);
        self.sets.handle_timeout(&mut self.core, now);
        self.door.handle_timeout(&mut self.core, now);
        self.hearing.handle_timeout(&mut self.core, now);
        self.availability.handle_timeout(&mut self.core, now);
        for ieee in self.joining.handle_timeout(&self.core, now) {
            if !self.interviews.is_going(ieee) {
                self.interviews.start(&mut self.core, now, ieee);
            }
        }
        if self.core.info.is_some() {
            self.interviews.handle_timeout(&mut self.core, now);
        }
        self.ota.handle_timeout(&mut self.core, now);
        self.sweep(now);
        self.settle(now);
    }

    /// What changed a while ago goes to the disk; backups that never came are given up.
    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        self.sweep_at = Some(now + SWEEP);
        let is_due = |since: Instant| now.saturating_duration_since(since) >= WRITE_BEHIND;
        if self.core.table.iter().any(|device| device.dirty_since.is_some_and(is_due)) {
            self.persist_all();
        }
        let late: Vec<Tag> = self.backups.iter().filter(|(_, (_, until))| *until <= now).map(|(tag, _)| *tag).collect();
        for tag in late {
            if let Some((id, _)) = self.backups.remove(&tag) {
                let error = ErrorBody::new(ErrorCode::Timeout, "the stick gave no backup in time");
                self.core.answer(id, Err(error));
            }
        }
    }

    /// Before the end: what the disk does not have yet.
    pub fn handle_shutdown(&mut self) {
        self.persist_all();
    }

    /// All together, since a write costs as much for one as for many.
    fn persist_all(&mut self) {
        let is_dirty = |device: &&Device| device.dirty_since.is_some();
        let dirty: Vec<Ieee> = self.core.table.iter().filter(is_dirty).map(Device::ieee).collect();
        dirty.into_iter().for_each(|ieee| self.core.persist(ieee));
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.core.queue.poll_timeout(),
            self.sets.poll_timeout(),
            self.door.poll_timeout(),
            self.hearing.poll_timeout(),
            self.availability.poll_timeout(),
            self.joining.poll_timeout(),
            self.ota.poll_timeout(),
            self.core.info.as_ref().and_then(|_| self.interviews.poll_timeout(&self.core)),
            self.sweep_at,
        ];
        timeouts.into_iter().flatten().min()
    }

    pub fn poll_command(&mut self) -> Option<NcpCommand> {
        self.core.commands.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Gives the ends of exchanges to those who wait for them, and the stick what may go now, until nothing moves.
    fn settle(&mut self, now: Instant) {
        self.finish(now);
        let (table, info) = (&self.core.table, self.core.info.as_ref());
        self.core.queue.pump(now, |ieee| whereabouts(table, info, ieee), &mut self.core.commands);
        // What could not be sent at all has ended, too.
        self.finish(now);
    }

    fn finish(&mut self, now: Instant) {
        while let Some(Finished { owner, to, end }) = self.core.queue.poll_finished() {
            if let (To::Device(ieee), Err(Failure::Unreachable(_))) = (to, &end)
                && self.core.table.get(ieee).is_some_and(|device| !device.sleeps())
            {
                self.core.unavailable(ieee);
            }
            self.finished(now, owner, end);
        }
    }

    fn finished(&mut self, now: Instant, owner: Owner, end: Result<Answer, Failure>) {
        let core = &mut self.core;
        match owner {
            Owner::Nobody => {}
            Owner::Interview { ieee, round, part } => self.interviews.answered(core, now, (ieee, round, part), end),
            Owner::Set { job, target, part } => self.sets.ended(core, now, (job, target, part), end),
            Owner::Read { job } => self.reads.ended(core, job, end),
            Owner::Firmware { ieee } => self.ota.ended(core, ieee, &end),
            Owner::Ping { ieee } => self.availability.ended(core, ieee, &end),
            Owner::Who { nwk } => self.joining.looked(Nwk(nwk)),
            Owner::Map { ieee, routes } => self.mapping.ended(core, now, (ieee, routes), end),
            Owner::Job { job, part } => {
                if let After::Forget(ieee) = self.errands.ended(core, now, (job, part), end) {
                    self.forget(now, ieee);
                }
            }
        }
    }
}

/// Where a device is; the coordinator is where it always is.
fn whereabouts(table: &table::Table, info: Option<&NetworkInfo>, ieee: Ieee) -> Option<queue::Whereabouts> {
    if info.is_some_and(|info| info.coordinator == ieee) {
        return Some(queue::Whereabouts { nwk: Nwk::COORDINATOR, sleeps: false });
    }
    table.whereabouts(ieee)
}
