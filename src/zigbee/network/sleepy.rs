//! Devices that sleep and can be asked to stay awake: the check-in of the poll control cluster (ZCL r8 §3.16). Keeps no state.

use std::time::{Duration, Instant};

use crate::zigbee::network::core::Core;
use crate::zigbee::network::exchange::{Frame, Zcl};
use crate::zigbee::types::{ClusterId, Ieee, ProfileId};
use crate::zigbee::zcl::frame::{Direction, FrameKind};

pub const POLL_CONTROL: ClusterId = ClusterId(0x0020);

/// From the device: it is awake and asks whether something waits.
pub const CHECK_IN: u8 = 0x00;

/// For so long it is asked to look for messages often, where some wait.
const STAY_AWAKE: Duration = Duration::from_secs(10);

/// Answers a check-in: stay, or sleep on.
pub fn check_in(core: &mut Core, now: Instant, ieee: Ieee, frame: &Frame<'_>) {
    let stay = core.queue.has_for(ieee);
    let quarters: u16 = if stay { u16::try_from(STAY_AWAKE.as_millis() / 250).unwrap_or(0) } else { 0 };
    let [low, high] = quarters.to_le_bytes();
    let header = frame.header.answer(FrameKind::Cluster, CHECK_IN);
    let payload = vec![u8::from(stay), low, high];
    let (endpoint, cluster) = (frame.endpoint, frame.cluster);
    let zcl = Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster, header, payload };
    core.reply(now, ieee, zcl);
    if stay {
        core.queue.stays_awake(now + STAY_AWAKE, ieee);
    }
}

/// Whether the frame is a check-in.
pub fn is_check_in(frame: &Frame<'_>) -> bool {
    let header = &frame.header;
    frame.cluster == POLL_CONTROL
        && (header.kind, header.direction, header.command) == (FrameKind::Cluster, Direction::ToClient, CHECK_IN)
}
