//! The first values of what a device was told to report: it is read once when the device has been set up, since the first report may
//! be an hour away. Sends, and waits for nothing: the interview is over, and one that sleeps is asked when it is heard.

use std::time::Instant;

use crate::zigbee::definitions::{Definition, Identity, Read, Setup};
use crate::zigbee::network::core::Core;
use crate::zigbee::network::device::Device;
use crate::zigbee::network::exchange::Zcl;
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::types::Ieee;

/// Messages to one device; what is beyond them it tells in its time.
const ASKS_MAX: usize = 12;

/// Asks for what nobody else asks for: the set-up has read some of it, and those that listen are asked for all that can be asked.
pub fn ask(core: &mut Core, now: Instant, ieee: Ieee) {
    let Some(device) = core.table.get(ieee) else { return };
    for read in unread(device).into_iter().take(ASKS_MAX) {
        core.zcl(now, ieee, Zcl::of_read(&read), Priority::Housekeeping, Owner::Nobody);
    }
}

fn unread(device: &Device) -> Vec<Read> {
    let (definition, identity): (&dyn Definition, &Identity) = (device.definition.as_ref(), &device.identity);
    let setup = definition.setup(identity);
    let refreshed = if device.sleeps() { Vec::new() } else { definition.reads(identity, &[]) };
    let read = |one: &Setup| match one {
        Setup::Read(read) => Some(read.clone()),
        Setup::Bind { .. } | Setup::Report { .. } | Setup::Command(_) => None,
    };
    let known: Vec<Read> = setup.iter().filter_map(read).chain(refreshed).collect();
    let reported = setup.into_iter().filter_map(|one| match one {
        Setup::Report { endpoint, cluster, maker, attributes } => {
            let attributes = attributes.into_iter().map(|reporting| reporting.attribute).collect();
            Some(Read { endpoint, cluster, maker, attributes })
        }
        Setup::Bind { .. } | Setup::Read(_) | Setup::Command(_) => None,
    });
    let left = reported.map(|mut read| {
        let same =
            |other: &&Read| (other.endpoint, other.cluster, other.maker) == (read.endpoint, read.cluster, read.maker);
        let known: Vec<_> = known.iter().filter(same).flat_map(|other| &other.attributes).collect();
        read.attributes.retain(|attribute| !known.contains(&attribute));
        read
    });
    left.filter(|read| !read.attributes.is_empty()).collect()
}
