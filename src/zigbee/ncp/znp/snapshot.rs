//! The whole network out of the stick's memory into a backup, and from a backup into the memory of another stick of either family.

use crate::zigbee::ncp::backup::{Backup, Device, LinkKey};
use crate::zigbee::ncp::znp::desk::{Desk, Trouble};
use crate::zigbee::ncp::znp::form;
use crate::zigbee::ncp::znp::nv::{self, ADDRESSES, APS_KEY_DATA, Family, SEC_MATERIAL, TCLK, item};
use crate::zigbee::ncp::znp::records::*;
use crate::zigbee::types::{Ieee, Key, Nwk};

/// How far frame counters are set ahead in a restore: what the old stick has sent since the backup must not be used again, or
/// devices take the new one for a replay.
pub const COUNTER_AHEAD: u32 = 2_500;

/// Where the stick has not saved its frame counter yet, which it does every 1,250 frames.
const COUNTER_UNSAVED: u32 = 1_250;

/// All that a network is made of.
struct Tables {
    nib: Nib,
    /// Bytes of the one item of 3.0.x, or entries of 3.x.0.
    addresses: Vec<Vec<u8>>,
    links: Vec<u8>,
    aps_keys: Vec<Vec<u8>>,
    tc_keys: Vec<Vec<u8>>,
    counters: Vec<Vec<u8>>,
    seed: Option<Key>,
}

impl Tables {
    async fn read(desk: &Desk, family: Family) -> Result<Tables, Trouble> {
        let nib = nv::read(desk, item::NIB).await?;
        let nib = Nib::decode(&nib.ok_or_else(|| Trouble::stick("the stick has no network"))?)?;
        let seed = nv::read(desk, item::TCLK_SEED).await?;
        let addresses = match family {
            Family::V3x0 => nv::read_table(desk, family, ADDRESSES).await?,
            Family::V30x => {
                let len = if nib.is_aligned() { ADDRESS_ALIGNED_LEN } else { ADDRESS_PACKED_LEN };
                let bytes = nv::read(desk, item::ADDRMGR).await?.unwrap_or_default();
                bytes.chunks_exact(len).map(<[u8]>::to_vec).collect()
            }
        };
        Ok(Tables {
            nib,
            addresses,
            links: nv::read(desk, item::APS_LINK_KEY_TABLE).await?.unwrap_or_default(),
            aps_keys: nv::read_table(desk, family, APS_KEY_DATA).await?,
            tc_keys: nv::read_table(desk, family, TCLK).await?,
            counters: nv::read_table(desk, family, SEC_MATERIAL).await?,
            seed: seed.and_then(|bytes| bytes.first_chunk().map(|key| Key(*key))),
        })
    }

    /// By address.
    fn link_key(&self, family: Family, at: usize, ieee: Ieee) -> Option<LinkKey> {
        let links = key_links(&self.links, self.nib.is_aligned());
        if let Some(link) = links.iter().find(|link| usize::from(link.address_at) == at) {
            let at = link.key_at.checked_sub(first_key(family))?;
            let ApsKey { key, tx_counter, rx_counter } = ApsKey::decode(self.aps_keys.get(usize::from(at))?)?;
            return Some(LinkKey { key, rx_counter, tx_counter });
        }
        let seed = self.seed?;
        let entry = self.tc_keys.iter().filter_map(|entry| TcKey::decode(entry)).find(|entry| entry.ieee == ieee)?;
        let key = link_key(seed, entry.shift, ieee);
        Some(LinkKey { key, rx_counter: entry.rx_counter, tx_counter: entry.tx_counter })
    }

    fn frame_counter(&self) -> u32 {
        counter_of(&self.counters, self.nib.extended_pan_id())
    }
}

fn counter_of(entries: &[Vec<u8>], network: Ieee) -> u32 {
    let counters = || entries.iter().filter_map(|entry| FrameCounter::decode(entry));
    let of = |network: Ieee| counters().find(|counter| counter.extended_pan_id == network);
    of(network).or_else(|| of(ANY_NETWORK)).map_or(COUNTER_UNSAVED, |counter| counter.counter)
}

/// How far the stick's frame counter is, as it is saved.
pub async fn frame_counter(desk: &Desk, family: Family, network: Ieee) -> Result<u32, Trouble> {
    Ok(counter_of(&nv::read_table(desk, family, SEC_MATERIAL).await?, network))
}

/// What [`KeyLink::key_at`] has for the first key.
fn first_key(family: Family) -> u16 {
    match family {
        Family::V3x0 => 0,
        Family::V30x => item::LEGACY_APS_KEY_DATA,
    }
}

/// Reads the network that is on the stick.
pub async fn read(desk: &Desk, family: Family) -> Result<Backup, Trouble> {
    let coordinator = form::address(desk).await?;
    let key = nv::read(desk, item::ACTIVE_KEY).await?.unwrap_or_default();
    let (key_sequence, key) = key_descriptor(&key).ok_or_else(|| Trouble::stick("the stick has no network key"))?;
    let tables = Tables::read(desk, family).await?;
    let addresses = tables.addresses.iter().enumerate().filter_map(|(at, entry)| Some((at, Address::decode(entry)?)));
    let devices =
        addresses.filter(|(_, address)| address.is_used() && address.users & (USER_CHILD | USER_SECURITY) != 0);
    let devices = devices.map(|(at, address)| Device {
        ieee: address.ieee,
        nwk: (address.nwk.0 < 0xfff8).then_some(address.nwk),
        is_child: address.users & USER_CHILD != 0,
        link_key: tables.link_key(family, at, address.ieee),
    });
    let nib = &tables.nib;
    Ok(Backup {
        coordinator,
        pan_id: nib.pan_id(),
        extended_pan_id: nib.extended_pan_id(),
        update_id: nib.update_id(),
        security_level: nib.security_level(),
        channel: nib.channel(),
        channel_mask: nib.channel_mask() | nib.channel().mask(),
        key,
        key_sequence,
        frame_counter: tables.frame_counter(),
        tclk_seed: tables.seed,
        devices: devices.collect(),
    })
}

/// Writes the network into the memory of a stick that has a provisional one. It takes effect when the stick starts anew.
pub async fn write(desk: &Desk, family: Family, backup: &Backup) -> Result<(), Trouble> {
    let mut tables = Tables::read(desk, family).await?;
    let filled = Filled::new(family, &tables, backup)?;
    nv::write(desk, item::EXTADDR, &backup.coordinator.0.to_le_bytes()).await?;
    tables.nib.set_network(backup.pan_id, backup.extended_pan_id, backup.channel, backup.channel_mask);
    tables.nib.set_security(backup.security_level, backup.update_id);
    nv::write(desk, item::NIB, tables.nib.bytes()).await?;
    let key = encode_key_descriptor(backup.key_sequence, backup.key);
    nv::update(desk, item::ACTIVE_KEY, &key).await?;
    nv::update(desk, item::ALTERNATE_KEY, &key).await?;
    if let Some(seed) = backup.tclk_seed {
        nv::update(desk, item::TCLK_SEED, &seed.0).await?;
    }
    nv::write_table(desk, family, SEC_MATERIAL, &tables.counters, &filled.counters).await?;
    match family {
        Family::V3x0 => nv::write_table(desk, family, ADDRESSES, &tables.addresses, &filled.addresses).await?,
        Family::V30x => nv::update(desk, item::ADDRMGR, &filled.addresses.concat()).await?,
    }
    if !filled.links.is_empty() {
        nv::update(desk, item::APS_LINK_KEY_TABLE, &filled.links).await?;
    }
    nv::write_table(desk, family, APS_KEY_DATA, &tables.aps_keys, &filled.aps_keys).await?;
    nv::write_table(desk, family, TCLK, &tables.tc_keys, &filled.tc_keys).await
}

/// The tables as they are to be.
struct Filled {
    addresses: Vec<Vec<u8>>,
    links: Vec<u8>,
    aps_keys: Vec<Vec<u8>>,
    tc_keys: Vec<Vec<u8>>,
    counters: Vec<Vec<u8>>,
}

impl Filled {
    fn new(family: Family, old: &Tables, backup: &Backup) -> Result<Filled, Trouble> {
        let (mut addresses, mut links, mut aps_keys, mut tc_keys) = (vec![], vec![], vec![], vec![]);
        for (at, device) in backup.devices.iter().enumerate() {
            let mut users = if device.is_child { USER_CHILD } else { 0 };
            if let Some(LinkKey { key, rx_counter, tx_counter }) = device.link_key {
                users |= USER_SECURITY;
                let tx_counter = tx_counter.saturating_add(COUNTER_AHEAD);
                let shift = backup.tclk_seed.and_then(|seed| shift_of(seed, key, device.ieee));
                if let Some(shift) = shift {
                    let (ieee, attributes) = (device.ieee, TC_KEY_VERIFIED);
                    tc_keys.push(TcKey { tx_counter, rx_counter, ieee, attributes, kind: 0, shift });
                } else {
                    let key_at = first_key(family) + aps_keys.len() as u16;
                    links.push(KeyLink { address_at: at as u16, key_at, authentication: AUTHENTICATED });
                    aps_keys.push(ApsKey { key, tx_counter, rx_counter });
                }
            }
            addresses.push(Address { users, nwk: device.nwk.unwrap_or(Nwk(0xfffe)), ieee: device.ieee });
        }
        let counter = backup.frame_counter.saturating_add(COUNTER_AHEAD);
        let mut counters = vec![FrameCounter { counter, extended_pan_id: backup.extended_pan_id }];
        // The last entry is that for any network, which the stick falls back on.
        counters.resize(old.counters.len().saturating_sub(1).max(1), FrameCounter::UNUSED);
        if old.counters.len() > 1 {
            counters.push(FrameCounter { counter, extended_pan_id: ANY_NETWORK });
        }
        let is_aligned = old.nib.is_aligned();
        let address_len = old.addresses.first().map_or(ADDRESS_PACKED_LEN, Vec::len);
        let tc_key_len = old.tc_keys.first().map_or(TC_KEY_PACKED_LEN, Vec::len);
        let no_key = ApsKey { key: Key([0; 16]), tx_counter: 0, rx_counter: 0 };
        Ok(Filled {
            addresses: fill("addresses", &addresses, &old.addresses, Address::UNUSED, |it| it.encode(address_len))?,
            links: encode_key_links(&links, old.links.len(), is_aligned)
                .or_else(|| links.is_empty().then(|| old.links.clone()))
                .ok_or_else(|| no_room("link keys", links.len()))?,
            aps_keys: fill("link keys", &aps_keys, &old.aps_keys, no_key, ApsKey::encode)?,
            tc_keys: fill("trust centre keys", &tc_keys, &old.tc_keys, TcKey::UNUSED, |it| it.encode(tc_key_len))?,
            counters: counters.iter().map(FrameCounter::encode).collect(),
        })
    }
}

/// A table as long as the stick's.
fn fill<T: Copy>(
    what: &str,
    entries: &[T],
    old: &[Vec<u8>],
    unused: T,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Result<Vec<Vec<u8>>, Trouble> {
    if entries.len() > old.len() {
        return Err(no_room(what, entries.len()));
    }
    Ok(entries.iter().chain(std::iter::repeat(&unused)).take(old.len()).map(encode).collect())
}

fn no_room(what: &str, len: usize) -> Trouble {
    Trouble::owner(format!(
        "This stick has no room for the network's {len} {what}. It takes a bigger one to restore it."
    ))
}

/// A stick holds what the backup says, with frame counters ahead of it.
pub fn verify(backup: &Backup, read: &Backup) -> Result<(), Trouble> {
    let wrong = |what: &str| Err(Trouble::stick(format!("the restored network does not have the backup's {what}")));
    if read.coordinator != backup.coordinator {
        return wrong("coordinator address");
    }
    if (read.pan_id, read.extended_pan_id, read.channel) != (backup.pan_id, backup.extended_pan_id, backup.channel) {
        return wrong("PAN or channel");
    }
    if (read.key, read.key_sequence) != (backup.key, backup.key_sequence) {
        return wrong("network key");
    }
    if read.frame_counter < backup.frame_counter.saturating_add(COUNTER_AHEAD) {
        return wrong("frame counter");
    }
    for device in backup.devices.iter().filter(|device| device.is_child || device.link_key.is_some()) {
        let Some(found) = read.devices.iter().find(|found| found.ieee == device.ieee) else { return wrong("devices") };
        let key = |device: &Device| device.link_key.as_ref().map(|link_key| link_key.key);
        if key(found) != key(device) {
            return wrong("link keys");
        }
    }
    Ok(())
}
