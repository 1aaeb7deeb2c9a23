//! Letting new devices in: for how long, through whom, and that it ends by itself. The stick's own count is not relied upon.

use std::time::{Duration, Instant};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::ncp::{NcpCommand, Reply as NcpReply, Tag};
use crate::zigbee::network::core::Core;
use crate::zigbee::network::event::{Event, Pairing, Reply, RequestId};
use crate::zigbee::types::{Ieee, Nwk};

/// 255 would be for ever (Zigbee r22 §2.4.3.3.7).
pub const SECONDS_MAX: u8 = 254;

/// How often the house is told how long it is open.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Door {
    open: Option<Open>,
    /// Who waits for the stick, and what it wishes.
    waiting: Vec<(Tag, RequestId, Wish)>,
}

struct Open {
    until: Instant,
    tell_at: Instant,
    via: Option<Nwk>,
}

#[derive(Clone, Copy)]
enum Wish {
    /// The install code first, then the door.
    InstallCode {
        seconds: u8,
        via: Option<Nwk>,
    },
    Open {
        seconds: u8,
        via: Option<Nwk>,
    },
}

impl Door {
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn seconds_left(&self, now: Instant) -> u8 {
        let left = self.open.as_ref().map_or(Duration::ZERO, |open| open.until.saturating_duration_since(now));
        u8::try_from(left.as_millis().div_ceil(1000)).unwrap_or(SECONDS_MAX)
    }

    pub fn ask(
        &mut self,
        core: &mut Core,
        id: RequestId,
        seconds: u8,
        via: Option<Ieee>,
        install_code: Option<(Ieee, [u8; 18])>,
    ) {
        let via =
            match via.map(|ieee| core.table.get(ieee).filter(|device| device.is_router()).map(|device| device.nwk)) {
                Some(None) => {
                    let message = "devices join through routers only, and that is none";
                    core.answer(id, Err(ErrorBody::new(ErrorCode::BadRequest, message)));
                    return;
                }
                Some(via) => via,
                None => None,
            };
        let (seconds, tag) = (seconds.min(SECONDS_MAX), core.tag());
        match install_code {
            Some((ieee, code)) => {
                core.commands.push_back(NcpCommand::InstallCode { tag, ieee, code });
                self.waiting.push((tag, id, Wish::InstallCode { seconds, via }));
            }
            None => self.send(core, id, seconds, via),
        }
    }

    fn send(&mut self, core: &mut Core, id: RequestId, seconds: u8, via: Option<Nwk>) {
        let tag = core.tag();
        core.commands.push_back(NcpCommand::PermitJoin { tag, seconds, via });
        self.waiting.push((tag, id, Wish::Open { seconds, via }));
    }

    /// The stick has done something; `true`: it was for the door.
    pub fn done(&mut self, core: &mut Core, now: Instant, tag: Tag, result: &Result<NcpReply, Box<str>>) -> bool {
        let Some(place) = self.waiting.iter().position(|(its, _, _)| *its == tag) else { return false };
        let (_, id, wish) = self.waiting.swap_remove(place);
        match (result, wish) {
            (Err(why), _) => {
                core.answer(id, Err(ErrorBody::new(ErrorCode::DeviceRejected, format!("the stick: {why}"))))
            }
            (Ok(_), Wish::InstallCode { seconds, via }) => self.send(core, id, seconds, via),
            (Ok(_), Wish::Open { seconds: 0, .. }) => {
                self.close(core);
                core.answer(id, Ok(Reply::Nothing));
            }
            (Ok(_), Wish::Open { seconds, via }) => {
                let until = now + Duration::from_secs(u64::from(seconds));
                self.open = Some(Open { until, tell_at: now + TELL_EVERY, via });
                core.tell(Event::Pairing(Pairing::Open { seconds_left: seconds }));
                core.answer(id, Ok(Reply::Nothing));
            }
        }
        true
    }

    fn close(&mut self, core: &mut Core) {
        if self.open.take().is_some() {
            core.tell(Event::Pairing(Pairing::Closed));
        }
    }

    /// The radio is down: whoever waits is told, and nobody joins through a stick that starts anew.
    pub fn down(&mut self, core: &mut Core) {
        for (_, id, _) in std::mem::take(&mut self.waiting) {
            core.answer(id, Err(ErrorBody::new(ErrorCode::RadioDown, "the radio is not up")));
        }
        self.close(core);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until.min(open.tell_at))
    }

    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        let left = self.seconds_left(now);
        let Some(open) = &mut self.open else { return };
        if open.until <= now {
            // Said once more, should a router count more slowly.
            let via = open.via;
            let tag = core.tag();
            core.commands.push_back(NcpCommand::PermitJoin { tag, seconds: 0, via });
            self.close(core);
        } else if open.tell_at <= now {
            open.tell_at = now + TELL_EVERY;
            core.tell(Event::Pairing(Pairing::Open { seconds_left: left }));
        }
    }
}
