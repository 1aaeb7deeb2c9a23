//! Whatever comes from the air: ZDO and ZCL messages of a device that is known, of one that is not, and of the stick itself. Nothing
//! may panic, and the network must not wake for ever while time stands still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::zigbee::definitions::Catalogue;
use hearth::zigbee::ncp::{Incoming, NcpEvent, NetworkInfo};
use hearth::zigbee::network::{Network, WallClock};
use hearth::zigbee::types::{Channel, ClusterId, Endpoint, GroupId, Ieee, Nwk};

/// Wakes in a row at one time; each of some parts may have one.
const WAKES_MAX: usize = 1000;

/// See the module.
pub fn network(input: &[u8]) {
    let mut now = start_of_time();
    let clock = WallClock { at: now, unix_ms: 1_700_000_000_000, offset_s: 0 };
    let mut network = Network::new(Arc::new(Catalogue::new()), clock, []);
    let (ieee, nwk) = (Ieee(0xaa), Nwk(0x1234));
    network.handle_ncp(
        now,
        NcpEvent::Up(Box::new(NetworkInfo {
            channel: Channel(15),
            pan_id: 1,
            extended_pan_id: Ieee(1),
            coordinator: Ieee(1),
            firmware: "fuzz".into(),
            in_flight_max: 4,
            is_new: false,
        })),
    );
    network.handle_ncp(now, NcpEvent::Joined { ieee, nwk, parent: None });
    // A message: what it is, its cluster, its length, and its bytes.
    let mut rest = input;
    while let [kind, low, high, len, more @ ..] = rest {
        let (payload, more) = more.split_at(usize::from(*len).min(more.len()));
        rest = more;
        let cluster = ClusterId(u16::from_le_bytes([*low, *high]));
        let from = if kind & 1 == 0 { nwk } else { Nwk(u16::from(*kind)) };
        let event = if kind & 2 == 0 {
            NcpEvent::Zdo { from, cluster, payload: payload.to_vec() }
        } else {
            NcpEvent::Message(Incoming {
                from,
                from_endpoint: Endpoint(kind >> 4),
                to_endpoint: Endpoint(1),
                group: (kind & 4 != 0).then_some(GroupId(1)),
                was_broadcast: kind & 8 != 0,
                profile: None,
                cluster,
                lqi: 1,
                payload: payload.to_vec(),
            })
        };
        network.handle_ncp(now, event);
        now += Duration::from_millis(u64::from(*kind));
        for wakes in 0.. {
            if network.poll_timeout().is_none_or(|at| at > now) {
                break;
            }
            assert!(wakes < WAKES_MAX, "it wakes for ever");
            network.handle_timeout(now);
        }
        while network.poll_command().is_some() {}
        while network.poll_event().is_some() {}
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
fn start_of_time() -> Instant {
    Instant::now()
}
