//! The memory of a stick that outlives its power: items by number, and on Z-Stack 3.x.0 tables beside them. Layouts are those of
//! the firmware, packed on a CC2531 and with gaps on a CC2652.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Generation;
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::{Channel, Ieee, Key, Nwk};

pub mod item {
    pub const EXTADDR: u16 = 0x0001;
    pub const STARTUP_OPTION: u16 = 0x0003;
    pub const NIB: u16 = 0x0021;
    pub const ADDRMGR: u16 = 0x0023;
    pub const EXTENDED_PAN_ID: u16 = 0x002d;
    pub const ACTIVE_KEY: u16 = 0x003a;
    pub const ALTERNATE_KEY: u16 = 0x003b;
    pub const APS_USE_EXT_PANID: u16 = 0x0047;
    pub const APS_LINK_KEYS: u16 = 0x004c;
    pub const ON_A_NETWORK: u16 = 0x0055;
    pub const PRECFGKEY: u16 = 0x0062;
    pub const PRECFGKEYS_ENABLE: u16 = 0x0063;
    pub const SECURITY_MATERIAL: u16 = 0x0075;
    pub const NWKKEY: u16 = 0x0082;
    pub const PANID: u16 = 0x0083;
    pub const CHANLIST: u16 = 0x0084;
    pub const LOGICAL_TYPE: u16 = 0x0087;
    pub const ZDO_DIRECT_CB: u16 = 0x008f;
    pub const TCLK_SEED: u16 = 0x0101;
    pub const TCLK: u16 = 0x0111;
    pub const APS_KEY_DATA: u16 = 0x0201;
}

/// Tables of 3.x.0, by their item number.
pub mod table {
    pub const ADDRMGR: u16 = 1;
    pub const TCLK: u16 = 4;
    pub const APS_KEY_DATA: u16 = 6;
    pub const SECURITY_MATERIAL: u16 = 7;
}

/// The largest item that the firmware makes.
pub const ITEM_LEN_MAX: usize = 4096;

/// More items than any host makes.
const ITEMS_MAX: usize = 4096;

/// What a row of the address manager is used for.
pub const USER_ASSOCIATED: u8 = 1;
pub const USER_SECURITY: u8 = 2;

/// Everything that a stick remembers. Two sticks with the same are the same to the host, but for what is in their silicon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nv {
    #[serde(with = "as_hex")]
    items: BTreeMap<u16, Vec<u8>>,
    /// By system, table and row; one number, so that JSON can have it as a key.
    #[serde(with = "as_hex")]
    rows: BTreeMap<u64, Vec<u8>>,
}

fn row_key(system: u8, table: u16, row: u16) -> u64 {
    u64::from(system) << 32 | u64::from(table) << 16 | u64::from(row)
}

impl Nv {
    pub fn get(&self, id: u16) -> Option<&[u8]> {
        self.items.get(&id).map(Vec::as_slice)
    }

    pub fn byte(&self, id: u16) -> u8 {
        self.get(id).and_then(|value| value.first().copied()).unwrap_or(0)
    }

    /// False: the memory is full.
    pub fn set(&mut self, id: u16, value: Vec<u8>) -> bool {
        if self.items.len() >= ITEMS_MAX || value.len() > ITEM_LEN_MAX {
            return false;
        }
        self.items.insert(id, value);
        true
    }

    pub fn item_mut(&mut self, id: u16) -> Option<&mut Vec<u8>> {
        self.items.get_mut(&id)
    }

    pub fn remove(&mut self, id: u16) -> bool {
        self.items.remove(&id).is_some()
    }

    pub fn row(&self, system: u8, table: u16, row: u16) -> Option<&[u8]> {
        self.rows.get(&row_key(system, table, row)).map(Vec::as_slice)
    }

    pub fn row_mut(&mut self, system: u8, table: u16, row: u16) -> Option<&mut Vec<u8>> {
        self.rows.get_mut(&row_key(system, table, row))
    }

    pub fn set_row(&mut self, system: u8, table: u16, row: u16, value: Vec<u8>) -> bool {
        if self.rows.len() >= ITEMS_MAX || value.len() > ITEM_LEN_MAX {
            return false;
        }
        self.rows.insert(row_key(system, table, row), value);
        true
    }

    pub fn remove_row(&mut self, system: u8, table: u16, row: u16) -> bool {
        self.rows.remove(&row_key(system, table, row)).is_some()
    }
}

/// Bytes as hexadecimal digits, so that a person can read the file.
mod as_hex {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer, K: Ord + Copy + Into<u64>>(
        map: &BTreeMap<K, Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let texts: BTreeMap<String, String> =
            map.iter().map(|(key, value)| (format!("{:#x}", (*key).into()), hex(value))).collect();
        texts.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, K: Ord + TryFrom<u64>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, Vec<u8>>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let read = |(key, value): (String, String)| {
            let number = u64::from_str_radix(key.strip_prefix("0x")?, 16).ok()?;
            let bytes = value.as_bytes().chunks(2).map(|pair| {
                let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
                u8::from_str_radix(pair, 16).ok()
            });
            Some((K::try_from(number).ok()?, bytes.collect::<Option<Vec<u8>>>()?))
        };
        let pairs =
            texts.into_iter().map(|pair| read(pair).ok_or_else(|| D::Error::custom("no item of a stick's memory")));
        pairs.collect()
    }
}

/// The network information base, as far as anybody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nib {
    pub own: Nwk,
    pub channel: Channel,
    pub pan_id: u16,
    pub extended_pan_id: Ieee,
    pub channels: u32,
    pub update_id: u8,
    pub security_level: u8,
    pub coordinator: Ieee,
    pub has_key: bool,
}

/// `NWK_ROUTER`, which a running coordinator is as well.
const STATE_RUNNING: u8 = 8;

impl Nib {
    /// 110 bytes packed, 116 with gaps.
    pub fn encode(&self, generation: Generation) -> Vec<u8> {
        let gap = generation.alignment();
        let head = [0x7b, 5, 2, 20, 15, 20, 0, 30, 0, 5, 0, 1, self.security_level, 1, 0x8f];
        let w = Writer::new().bytes(&head).align(gap);
        let w = w.u16(7).u8(2).u8(5).u8(30).align(gap).u16(self.own.0).u8(self.channel.0).align(gap);
        let w = w.u16(0).u64(self.coordinator.0).u16(self.pan_id).u8(STATE_RUNNING).align(gap);
        let w = w.u32(self.channels).u8(15).u8(15).u8(5).u8(0).u32(1).u32(1).u8(0);
        let w = w.u64(self.extended_pan_id.0).u8(self.has_key.into());
        let w = w.bytes(&[0; 34]).u8(0).u8(0); // two keys and two bytes that are spare
        let w = w.u8(15).u8(3).u8(0).u8(1).u8(120).u8(10).u8(0).align(gap);
        w.u16(0).u16(0).u8(self.update_id).align(gap).0
    }

    pub fn decode(bytes: &[u8], generation: Generation) -> Option<Nib> {
        let is_packed = generation == Generation::V30x;
        if bytes.len() != if is_packed { 110 } else { 116 } {
            return None;
        }
        let at = |packed: usize, gapped: usize| Reader(&bytes[if is_packed { packed } else { gapped }..]);
        Some(Nib {
            own: Nwk(at(20, 22).u16()?),
            channel: Channel(at(22, 24).u8()?),
            pan_id: at(33, 36).u16()?,
            extended_pan_id: Ieee(at(53, 57).u64()?),
            channels: at(36, 40).u32()?,
            update_id: at(109, 114).u8()?,
            security_level: bytes[12],
            coordinator: Ieee(at(25, 28).u64()?),
            has_key: at(61, 65).u8()? != 0,
        })
    }

    /// Puts the channel and the update id into an image that keeps all else.
    pub fn set_channel(bytes: &mut [u8], generation: Generation, channel: Channel, update_id: u8) {
        let (at, update, mask) = if generation == Generation::V30x { (22, 109, 36) } else { (24, 114, 40) };
        if bytes.len() > update {
            bytes[at] = channel.0;
            bytes[update] = update_id;
            bytes[mask..mask + 4].copy_from_slice(&channel.mask().to_le_bytes());
        }
    }
}

/// A row of the address manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub user: u8,
    pub nwk: Nwk,
    pub ieee: Ieee,
}

impl Address {
    pub fn free(generation: Generation) -> Address {
        let user = if generation == Generation::V30x { 0 } else { 0xff };
        Address { user, nwk: Nwk::ALL, ieee: Ieee(u64::MAX) }
    }

    pub fn is_free(&self) -> bool {
        self.ieee.0 == u64::MAX || self.ieee.0 == 0
    }

    pub fn encode(&self, generation: Generation) -> Vec<u8> {
        let w = Writer::new().u8(self.user);
        let w = if generation.alignment() == 2 { w.u8(0xff) } else { w };
        w.u16(self.nwk.0).u64(self.ieee.0).0
    }

    pub fn decode(bytes: &[u8], generation: Generation) -> Option<Address> {
        let mut reader = Reader(bytes);
        let user = reader.u8()?;
        reader.take(generation.alignment() - 1)?;
        Some(Address { user, nwk: Nwk(reader.u16()?), ieee: Ieee(reader.u64()?) })
    }
}

/// The key that the trust centre gives a device: its seed turned by so many bytes, crossed with the device's address.
pub fn own_key(seed: [u8; 16], shift: u8, ieee: Ieee) -> Key {
    let address = ieee.0.to_le_bytes();
    Key(std::array::from_fn(|at| seed[(at + usize::from(shift)) % 16] ^ address[at % 8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nib_has_the_length_and_places_of_both_firmwares() {
        let nib = Nib {
            own: Nwk(0),
            channel: Channel(15),
            pan_id: 0x1a62,
            extended_pan_id: Ieee(0xdddd_dddd_1234_5678),
            channels: 0x8000,
            update_id: 3,
            security_level: 5,
            coordinator: Ieee(0x0012_4b00_0000_0001),
            has_key: true,
        };
        for (generation, len) in [(Generation::V3x0, 116), (Generation::V30x, 110)] {
            let bytes = nib.encode(generation);
            assert_eq!(bytes.len(), len);
            assert_eq!(Nib::decode(&bytes, generation), Some(nib));
        }
        assert_eq!(Nib::decode(&nib.encode(Generation::V3x0), Generation::V30x), None);
    }

    #[test]
    fn a_memory_is_read_as_it_was_written() {
        let mut nv = Nv::default();
        nv.set(item::NIB, vec![1, 2, 255]);
        nv.set_row(1, table::TCLK, 7, vec![0; 20]);
        let text = serde_json::to_string(&nv).expect("JSON");
        assert_eq!(serde_json::from_str::<Nv>(&text).expect("a memory"), nv);
        assert!(serde_json::from_str::<Nv>(r#"{"items":{"0x1":"zz"},"rows":{}}"#).is_err());
    }

    #[test]
    fn a_key_is_the_seed_turned_and_crossed() {
        let seed = std::array::from_fn(|at| at as u8);
        let Key(key) = own_key(seed, 1, Ieee(0x0807_0605_0403_0201));
        assert_eq!(key[0], 1 ^ 0x01);
        assert_eq!(key[15], 0x08);
    }
}
