//! The stick as coordinator and trust centre: what it finds in its memory at the start, forming a network, letting devices in,
//! and the tables that it keeps of them.

use std::time::Instant;

use super::nv::{self, Address, Nib, USER_ASSOCIATED, USER_SECURITY, item, table};
use super::{FORMING, Generation, Phase, Stick};
use crate::zigbee::sim::air::Network;
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::sim::world::{Arrival, Seal, World};
use crate::zigbee::types::{Channel, Ieee, Key, Nwk};

/// The frame counter is written down when it has grown by so much, and begins so much higher after a start: the firmware's
/// way of never using a value twice.
const COUNTER_STEP: u32 = 1_000;

/// Rows of security material.
const MATERIAL_LEN_NEW: usize = 4;
const MATERIAL_LEN_OLD: usize = 12;

/// Rows of link keys that are no turned seed.
const LINK_KEYS_LEN: usize = 16;

/// `ZSTACK` of the tables.
const SYSTEM: u8 = 1;

/// Firmware before this sends no network key through a router while the coordinator itself is closed.
const KEY_THROUGH_ROUTERS: u32 = 20_210_708;

/// DEV_ZB_COORD of ZDO_STATE_CHANGE_IND.
const STATE_COORDINATOR: u8 = 9;
const STATE_STARTING: u8 = 8;

impl Stick {
    /// What the firmware does before it says that it has started.
    pub(super) fn boot(&mut self) {
        let options = self.nv.byte(item::STARTUP_OPTION);
        if options & 2 != 0 {
            for id in [item::NIB, item::ACTIVE_KEY, item::ALTERNATE_KEY, item::ON_A_NETWORK, item::ADDRMGR] {
                self.nv.remove(id);
            }
            self.nv.remove(item::APS_LINK_KEYS);
            for row in 0..self.tables_len as u16 {
                self.nv.remove_row(SYSTEM, table::ADDRMGR, row);
                self.nv.remove_row(SYSTEM, table::TCLK, row);
                self.nv.remove(item::TCLK + row);
            }
        }
        if options & 1 != 0 {
            for id in [item::PANID, item::CHANLIST, item::PRECFGKEY, item::EXTENDED_PAN_ID, item::APS_USE_EXT_PANID] {
                self.nv.remove(id);
            }
        }
        self.make_items();
        self.make_tables();
        self.nv.set(item::STARTUP_OPTION, vec![0]);
    }

    fn make_tables(&mut self) {
        let generation = self.generation;
        let free = Address::free(generation).encode(generation);
        let entry_len = if generation.alignment() == 2 { 6 } else { 5 };
        if self.nv.get(item::APS_LINK_KEYS).is_none() {
            let mut keys = vec![0, 0];
            let unused = Writer::new().u16(0xfffe).u16(0).u8(0).align(generation.alignment());
            (0..LINK_KEYS_LEN).for_each(|_| keys.extend_from_slice(&unused.0[..entry_len]));
            self.nv.set(item::APS_LINK_KEYS, keys);
        }
        let tclk = vec![0; if generation.alignment() == 2 { 20 } else { 19 }];
        match generation {
            Generation::V3x0 => {
                let tables = [
                    (table::ADDRMGR, self.tables_len, free),
                    (table::TCLK, self.tables_len, tclk),
                    (table::APS_KEY_DATA, LINK_KEYS_LEN, vec![0; 24]),
                    (table::SECURITY_MATERIAL, MATERIAL_LEN_NEW, vec![0; 12]),
                ];
                for (id, len, empty) in tables {
                    for row in 0..len as u16 {
                        if self.nv.row(SYSTEM, id, row).is_none() {
                            self.nv.set_row(SYSTEM, id, row, empty.clone());
                        }
                    }
                }
            }
            Generation::V30x => {
                if self.nv.get(item::ADDRMGR).is_none() {
                    self.nv.set(item::ADDRMGR, free.repeat(self.old_tables_len()));
                }
                let tables = [
                    (item::TCLK, self.old_tables_len(), tclk),
                    (item::APS_KEY_DATA, LINK_KEYS_LEN, vec![0; 24]),
                    (item::SECURITY_MATERIAL, MATERIAL_LEN_OLD, vec![0; 12]),
                ];
                for (id, len, empty) in tables {
                    for row in 0..len as u16 {
                        if self.nv.get(id + row).is_none() {
                            self.nv.set(id + row, empty.clone());
                        }
                    }
                }
            }
        }
    }

    /// The old one has little memory.
    fn old_tables_len(&self) -> usize {
        self.tables_len.min(80)
    }

    pub(super) fn read_nib(&self) -> Option<Nib> {
        Nib::decode(self.nv.get(item::NIB)?, self.generation).filter(|nib| nib.channel.0 != 0 && nib.pan_id != 0xffff)
    }

    /// Becomes coordinator: of the network in its memory, or of a new one.
    pub(super) fn start(&mut self, now: Instant) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Forming(now + FORMING);
        }
    }

    pub(super) fn formed(&mut self, now: Instant, world: &mut World) {
        let known = self.read_nib().zip(self.key());
        let is_new = known.is_none();
        if is_new {
            self.form();
        }
        let Some((nib, key)) = self.read_nib().zip(self.key()) else {
            self.phase = Phase::Idle;
            return;
        };
        self.nib = Some(nib);
        let network = Network { pan_id: nib.pan_id, extended_pan_id: nib.extended_pan_id, channel: nib.channel, key };
        self.network = Some(network);
        let kept = self.read_counter(nib.extended_pan_id);
        self.counter = if is_new { 0 } else { kept.saturating_add(COUNTER_STEP) };
        self.write_counter();
        self.phase = Phase::Up;
        world.set_coordinator(Some((self.ieee(), network)));
        if is_new {
            self.tell(5, 0xc0, vec![STATE_STARTING]);
        }
        self.tell(5, 0xc0, vec![STATE_COORDINATOR]);
        // Success of a new one; one that was there cannot be formed, and says so.
        self.tell(15, 0x80, vec![if is_new { 0x00 } else { 0x08 }, 0x02, 0x00]);
        let what = if is_new { "has formed" } else { "is back in" };
        let (channel, pan) = (network.channel, network.pan_id);
        world.tell(now, "stick", format!("{what} network {pan:#06x} on channel {channel}"));
    }

    /// Makes a network of what the host has written down for one.
    fn form(&mut self) {
        let words = |bytes: Option<&[u8]>| Reader(bytes.unwrap_or_default()).u64().unwrap_or(0);
        let wanted = Reader(self.nv.get(item::PANID).unwrap_or_default()).u16().unwrap_or(0xffff);
        let pan_id = if wanted == 0xffff { self.chance.below(0xfff0) as u16 + 1 } else { wanted };
        let extended = words(self.nv.get(item::APS_USE_EXT_PANID));
        let extended_pan_id = if matches!(extended, 0 | u64::MAX) { self.ieee() } else { Ieee(extended) };
        let listed = Reader(self.nv.get(item::CHANLIST).unwrap_or_default()).u32().unwrap_or(0);
        let channels = self.channels_wanted.filter(|mask| *mask != 0).unwrap_or(listed) & 0x07ff_f800;
        if channels == 0 {
            return;
        }
        let key: [u8; 16] = self.nv.get(item::PRECFGKEY).and_then(|key| key.try_into().ok()).unwrap_or_default();
        let key = if key == [0; 16] { self.chance.bytes() } else { key };
        let nib = Nib {
            own: Nwk::COORDINATOR,
            channel: Channel(channels.trailing_zeros() as u8),
            pan_id,
            extended_pan_id,
            channels,
            update_id: 0,
            security_level: 5,
            coordinator: self.ieee(),
            has_key: true,
        };
        self.nv.set(item::NIB, nib.encode(self.generation));
        let active = [&[0u8][..], &key].concat();
        self.nv.set(item::ACTIVE_KEY, active.clone());
        self.nv.set(item::ALTERNATE_KEY, active.clone());
        let mut with_counter = active;
        with_counter.resize(if self.generation.alignment() == 2 { 24 } else { 21 }, 0);
        self.nv.set(item::NWKKEY, with_counter);
        self.nv.set(item::EXTENDED_PAN_ID, extended_pan_id.0.to_le_bytes().to_vec());
        self.nv.set(item::ON_A_NETWORK, vec![1]);
    }

    fn material(&self, row: usize) -> Option<&[u8]> {
        match self.generation {
            Generation::V3x0 => self.nv.row(SYSTEM, table::SECURITY_MATERIAL, row as u16),
            Generation::V30x if row < MATERIAL_LEN_OLD => self.nv.get(item::SECURITY_MATERIAL + row as u16),
            Generation::V30x => None,
        }
    }

    /// The counter of this network; of any network where it has no row.
    fn read_counter(&self, extended_pan_id: Ieee) -> u32 {
        let rows = (0..MATERIAL_LEN_OLD).map_while(|row| self.material(row));
        let read = |bytes: &[u8]| {
            let mut reader = Reader(bytes);
            Some((reader.u32()?, reader.u64()?))
        };
        let rows: Vec<_> = rows.filter_map(read).collect();
        let of = |id: u64| rows.iter().find(|(_, extended)| *extended == id).map(|(counter, _)| *counter);
        of(extended_pan_id.0).or_else(|| of(u64::MAX)).unwrap_or(0)
    }

    fn write_counter(&mut self) {
        self.counter_kept = self.counter;
        let Some(network) = self.network else {
            return;
        };
        let owner = |bytes: &[u8]| Reader(bytes.get(4..).unwrap_or_default()).u64().unwrap_or(0);
        let rows: Vec<u64> = (0..MATERIAL_LEN_OLD).map_while(|row| self.material(row).map(owner)).collect();
        let own = rows.iter().position(|id| *id == network.extended_pan_id.0);
        let free = || rows.iter().position(|id| *id == 0);
        let row = own.or_else(free).unwrap_or(0) as u16;
        let value = Writer::new().u32(self.counter).u64(network.extended_pan_id.0).0;
        match self.generation {
            Generation::V3x0 => self.nv.set_row(SYSTEM, table::SECURITY_MATERIAL, row, value),
            Generation::V30x => self.nv.set(item::SECURITY_MATERIAL + row, value),
        };
    }

    /// The next frame counter.
    pub(super) fn count(&mut self) -> u32 {
        self.counter = self.counter.saturating_add(1);
        if self.counter - self.counter_kept >= COUNTER_STEP {
            self.write_counter();
        }
        self.counter
    }

    /// All rows of the address manager that are used, with their places.
    pub(super) fn addresses(&self) -> Vec<(usize, Address)> {
        let decode = |bytes: &[u8]| Address::decode(bytes, self.generation);
        let rows: Vec<Address> = match self.generation {
            Generation::V3x0 => (0..self.tables_len as u16)
                .map_while(|row| self.nv.row(SYSTEM, table::ADDRMGR, row).and_then(decode))
                .collect(),
            Generation::V30x => self.nv.get(item::ADDRMGR).unwrap_or_default().chunks(11).filter_map(decode).collect(),
        };
        rows.into_iter().enumerate().filter(|(_, row)| !row.is_free()).collect()
    }

    pub(super) fn address(&self, ieee: Ieee) -> Option<(usize, Address)> {
        self.addresses().into_iter().find(|(_, row)| row.ieee == ieee)
    }

    pub(super) fn address_by_nwk(&self, nwk: Nwk) -> Option<(usize, Address)> {
        self.addresses().into_iter().find(|(_, row)| row.nwk == nwk)
    }

    pub(super) fn write_address(&mut self, place: usize, address: Address) {
        let bytes = address.encode(self.generation);
        match self.generation {
            Generation::V3x0 => {
                self.nv.set_row(SYSTEM, table::ADDRMGR, place as u16, bytes);
            }
            Generation::V30x => {
                let at = place * 11;
                if let Some(row) = self.nv.item_mut(item::ADDRMGR).and_then(|all| all.get_mut(at..at + 11)) {
                    row.copy_from_slice(&bytes);
                }
            }
        }
    }

    /// Knows a device from now on; what it had for it before is kept. False: its table is full.
    pub(super) fn remember(&mut self, ieee: Ieee, nwk: Nwk, is_child: bool) -> bool {
        // A network address belongs to one.
        for (place, row) in self.addresses() {
            if row.nwk == nwk && row.ieee != ieee {
                self.write_address(place, Address { nwk: Nwk(0xfffe), user: row.user & !USER_ASSOCIATED, ..row });
            }
        }
        let known = self.address(ieee);
        let used: Vec<usize> = self.addresses().into_iter().map(|(place, _)| place).collect();
        let len = if self.generation == Generation::V3x0 { self.tables_len } else { self.old_tables_len() };
        let Some(place) = known.map(|(place, _)| place).or_else(|| (0..len).find(|place| !used.contains(place))) else {
            return false;
        };
        let was = known.map_or(0, |(_, row)| row.user);
        let user = was & !USER_ASSOCIATED | if is_child { USER_ASSOCIATED } else { 0 };
        self.write_address(place, Address { user, nwk, ieee });
        true
    }

    fn tclk(&self, row: usize) -> Option<&[u8]> {
        match self.generation {
            Generation::V3x0 => self.nv.row(SYSTEM, table::TCLK, row as u16),
            Generation::V30x if row < self.old_tables_len() => self.nv.get(item::TCLK + row as u16),
            Generation::V30x => None,
        }
    }

    fn tclk_of(&self, ieee: Ieee) -> Option<(usize, u8)> {
        (0..self.tables_len).map_while(|row| self.tclk(row).map(|bytes| (row, bytes))).find_map(|(row, bytes)| {
            let owner = Reader(bytes.get(8..)?).u64()?;
            (owner == ieee.0).then_some((row, *bytes.get(18)?))
        })
    }

    fn write_tclk(&mut self, row: usize, value: Vec<u8>) {
        match self.generation {
            Generation::V3x0 => self.nv.set_row(SYSTEM, table::TCLK, row as u16, value),
            Generation::V30x => self.nv.set(item::TCLK + row as u16, value),
        };
    }

    /// The key of its own that a device has with this trust centre, by what is in the memory.
    pub fn own_key_of(&self, ieee: Ieee) -> Option<Key> {
        let (_, shift) = self.tclk_of(ieee)?;
        let seed: [u8; 16] = self.nv.get(item::TCLK_SEED)?.try_into().ok()?;
        Some(nv::own_key(seed, shift, ieee))
    }

    fn forget_key(&mut self, ieee: Ieee) {
        if let Some((row, _)) = self.tclk_of(ieee) {
            let len = if self.generation.alignment() == 2 { 20 } else { 19 };
            self.write_tclk(row, vec![0; len]);
        }
    }

    pub(super) fn forget(&mut self, ieee: Ieee) {
        if let Some((place, _)) = self.address(ieee) {
            self.write_address(place, Address::free(self.generation));
        }
        self.forget_key(ieee);
    }

    /// What has come over the air.
    pub fn arrive(&mut self, now: Instant, arrival: Arrival, world: &mut World) {
        if self.phase != Phase::Up {
            return;
        }
        match arrival {
            Arrival::Message { aps, lqi } => self.heard(now, aps, lqi, world),
            Arrival::Confirm { handle, status } => {
                if let Some((endpoint, transaction)) = self.in_flight.remove(&handle) {
                    self.tell(4, 0x80, vec![status, endpoint, transaction]);
                }
            }
            Arrival::Joining { ieee, nwk, parent, rejoin, .. } => self.joining(now, ieee, nwk, parent, rejoin, world),
            Arrival::WantsKey { ieee } => self.wants_key(now, ieee, world),
            Arrival::Left { ieee, nwk, rejoin } => {
                if !rejoin {
                    self.forget(ieee);
                }
                let told = Writer::new().u16(nwk.0).u64(ieee.0).u8(0).u8(0).u8(rejoin.into());
                self.tell(5, 0xc9, told.0);
            }
        }
    }

    fn joining(&mut self, now: Instant, ieee: Ieee, nwk: Nwk, parent: Nwk, rejoin: bool, world: &mut World) {
        let is_child = parent == Nwk::COORDINATOR;
        let Some(network) = self.network else {
            return;
        };
        if !rejoin {
            let code = self.install_codes.get(&ieee).copied();
            if self.only_install_codes && code.is_none() {
                return world.tell(now, "stick", format!("lets {ieee} not in without an install code"));
            }
            let is_old = self.generation.revision() < KEY_THROUGH_ROUTERS;
            if !is_child && is_old && !world.coordinator_is_open(now) {
                return world.tell(
                    now,
                    "stick",
                    format!("sends {ieee} no key: it is closed itself, and its firmware is old"),
                );
            }
            self.forget_key(ieee); // of a device that begins anew
            let seal = code.map_or(Seal::WellKnown, Seal::InstallCode);
            world.give_network_key(now, ieee, network, seal);
        }
        if !self.remember(ieee, nwk, is_child) {
            world.tell(now, "stick", "has no room for another device");
        }
        let told = Writer::new().u16(nwk.0).u64(ieee.0).u16(parent.0);
        self.tell(5, 0xca, told.0);
    }

    fn wants_key(&mut self, now: Instant, ieee: Ieee, world: &mut World) {
        let empty = |bytes: &[u8]| bytes.get(8..16).is_some_and(|owner| owner.iter().all(|byte| *byte == 0));
        let row = self.tclk_of(ieee).map(|(row, _)| row).or_else(|| {
            (0..self.tables_len)
                .map_while(|row| self.tclk(row).map(|bytes| (row, bytes)))
                .find_map(|(row, bytes)| empty(bytes).then_some(row))
        });
        let Some(row) = row else {
            return world.tell(now, "stick", "has no room for another key");
        };
        let shift = self.chance.below(16) as u8;
        // Counters of both directions, owner, "verified", no kind, the shift.
        let entry = Writer::new().u32(0).u32(0).u64(ieee.0).u8(2).u8(0).u8(shift).align(self.generation.alignment());
        self.write_tclk(row, entry.0);
        if let Some((place, address)) = self.address(ieee) {
            self.write_address(place, Address { user: address.user | USER_SECURITY, ..address });
        }
        if let Some(key) = self.own_key_of(ieee) {
            world.give_own_key(now, ieee, key);
        }
    }

    /// Moves to another channel, as the network's manager said.
    pub(super) fn move_to(&mut self, now: Instant, channel: Channel, world: &mut World) {
        let Some(network) = self.network.as_mut() else {
            return;
        };
        network.channel = channel;
        let network = *network;
        if let Some(nib) = self.nib.as_mut() {
            nib.channel = channel;
            nib.update_id = nib.update_id.wrapping_add(1);
            let update_id = nib.update_id;
            if let Some(image) = self.nv.item_mut(item::NIB) {
                Nib::set_channel(image, self.generation, channel, update_id);
            }
        }
        world.set_coordinator(Some((self.ieee(), network)));
        world.tell(now, "stick", format!("moves to channel {channel}"));
    }
}
