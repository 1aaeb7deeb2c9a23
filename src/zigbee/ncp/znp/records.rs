//! What lies in the items of the stick's memory (structs of Z-Stack), as bytes and as facts. The compiler of the older chips packs
//! its structs, that of the newer ones aligns them to two bytes; the length tells which. Does no I/O.

use crate::zigbee::ncp::znp::desk::Trouble;
use crate::zigbee::types::{Channel, Ieee, Key, Nwk};

/// The network information base (`nwkIB_t`), of which only what matters here is named; all else stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nib {
    bytes: Vec<u8>,
    is_aligned: bool,
}

const NIB_PACKED_LEN: usize = 110;
const NIB_ALIGNED_LEN: usize = 116;

/// Where a field lies: packed, aligned.
type At = (usize, usize);

const SECURITY_LEVEL: At = (12, 12);
const DEVICE_ADDRESS: At = (20, 22);
const LOGICAL_CHANNEL: At = (22, 24);
const PAN_ID: At = (33, 36);
const CHANNEL_LIST: At = (36, 40);
const EXTENDED_PAN_ID: At = (53, 57);
const UPDATE_ID: At = (109, 114);

impl Nib {
    pub fn decode(bytes: &[u8]) -> Result<Nib, Trouble> {
        match bytes.len() {
            NIB_PACKED_LEN | NIB_ALIGNED_LEN => {
                Ok(Nib { is_aligned: bytes.len() == NIB_ALIGNED_LEN, bytes: bytes.to_vec() })
            }
            len => Err(Trouble::owner(format!(
                "The stick keeps its network in a way that is not known ({len} bytes). Its firmware is older or newer than what \
                 this hub works with."
            ))),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_aligned(&self) -> bool {
        self.is_aligned
    }

    fn at(&self, (packed, aligned): At) -> usize {
        if self.is_aligned { aligned } else { packed }
    }

    fn get(&self, at: At, len: usize) -> u64 {
        little(&self.bytes[self.at(at)..][..len])
    }

    fn set(&mut self, at: At, len: usize, value: u64) {
        let start = self.at(at);
        self.bytes[start..start + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }

    /// A network was formed or joined.
    pub fn has_network(&self) -> bool {
        !matches!(self.pan_id(), 0xffff | 0xfffe) && (11..=26).contains(&self.channel().0)
    }

    /// 0 of a coordinator.
    pub fn device_address(&self) -> Nwk {
        Nwk(self.get(DEVICE_ADDRESS, 2) as u16)
    }

    pub fn channel(&self) -> Channel {
        Channel(self.get(LOGICAL_CHANNEL, 1) as u8)
    }

    pub fn pan_id(&self) -> u16 {
        self.get(PAN_ID, 2) as u16
    }

    pub fn extended_pan_id(&self) -> Ieee {
        Ieee(self.get(EXTENDED_PAN_ID, 8))
    }

    pub fn channel_mask(&self) -> u32 {
        self.get(CHANNEL_LIST, 4) as u32
    }

    pub fn security_level(&self) -> u8 {
        self.get(SECURITY_LEVEL, 1) as u8
    }

    pub fn update_id(&self) -> u8 {
        self.get(UPDATE_ID, 1) as u8
    }

    pub fn set_network(&mut self, pan_id: u16, extended_pan_id: Ieee, channel: Channel, channel_mask: u32) {
        self.set(PAN_ID, 2, pan_id.into());
        self.set(EXTENDED_PAN_ID, 8, extended_pan_id.0);
        self.set(LOGICAL_CHANNEL, 1, channel.0.into());
        self.set(CHANNEL_LIST, 4, channel_mask.into());
    }

    pub fn set_security(&mut self, level: u8, update_id: u8) {
        self.set(SECURITY_LEVEL, 1, level.into());
        self.set(UPDATE_ID, 1, update_id.into());
    }
}

/// `nwkKeyDesc`: sequence number and key.
pub fn key_descriptor(bytes: &[u8]) -> Option<(u8, Key)> {
    let (&sequence, key) = bytes.split_first()?;
    Some((sequence, Key(*key.first_chunk()?)))
}

pub fn encode_key_descriptor(sequence: u8, key: Key) -> Vec<u8> {
    [&[sequence][..], &key.0].concat()
}

/// An entry of the address manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Bits of who needs it: [`USER_CHILD`], [`USER_SECURITY`], 4 of bindings. 0 is unused.
    pub users: u8,
    pub nwk: Nwk,
    pub ieee: Ieee,
}

/// It is in the table of children.
pub const USER_CHILD: u8 = 1;
/// It has a link key.
pub const USER_SECURITY: u8 = 2;

pub const ADDRESS_PACKED_LEN: usize = 11;
pub const ADDRESS_ALIGNED_LEN: usize = 12;

impl Address {
    pub const UNUSED: Address = Address { users: 0, nwk: Nwk(0xffff), ieee: Ieee(u64::MAX) };

    pub fn decode(bytes: &[u8]) -> Option<Address> {
        let start = match bytes.len() {
            ADDRESS_PACKED_LEN => 1,
            ADDRESS_ALIGNED_LEN => 2,
            _ => return None,
        };
        let (nwk, ieee) = (&bytes[start..start + 2], &bytes[start + 2..]);
        Some(Address { users: bytes[0], nwk: Nwk(little(nwk) as u16), ieee: Ieee(little(ieee)) })
    }

    pub fn encode(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![self.users];
        bytes.extend((len == ADDRESS_ALIGNED_LEN).then_some(0xff));
        bytes.extend(self.nwk.0.to_le_bytes());
        bytes.extend(self.ieee.0.to_le_bytes());
        bytes
    }

    pub fn is_used(&self) -> bool {
        self.users != 0 && !matches!(self.ieee.0, 0 | u64::MAX)
    }
}

/// A link key of its own (`APSME_ApsLinkKeyData_t`): of devices with an install code, or from another stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApsKey {
    pub key: Key,
    pub tx_counter: u32,
    pub rx_counter: u32,
}

impl ApsKey {
    pub fn decode(bytes: &[u8]) -> Option<ApsKey> {
        let (key, counters) = bytes.split_first_chunk()?;
        let (tx, rx) = (counters.get(..4)?, counters.get(4..8)?);
        Some(ApsKey { key: Key(*key), tx_counter: little(tx) as u32, rx_counter: little(rx) as u32 })
    }

    pub fn encode(&self) -> Vec<u8> {
        [&self.key.0[..], &self.tx_counter.to_le_bytes(), &self.rx_counter.to_le_bytes()].concat()
    }
}

/// An entry of the trust centre's table (`APSME_TCLKDevEntry_t`): a link key that is made from the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcKey {
    pub tx_counter: u32,
    pub rx_counter: u32,
    pub ieee: Ieee,
    pub attributes: u8,
    pub kind: u8,
    pub shift: u8,
}

/// [`TcKey::attributes`] of a key that the device has confirmed.
pub const TC_KEY_VERIFIED: u8 = 2;

pub const TC_KEY_PACKED_LEN: usize = 19;

impl TcKey {
    pub const UNUSED: TcKey = TcKey { tx_counter: 0, rx_counter: 0, ieee: Ieee(0), attributes: 0, kind: 0, shift: 0 };

    /// 19 bytes packed, 20 aligned.
    pub fn decode(bytes: &[u8]) -> Option<TcKey> {
        let bytes: &[u8; TC_KEY_PACKED_LEN] = bytes.first_chunk()?;
        Some(TcKey {
            tx_counter: little(&bytes[..4]) as u32,
            rx_counter: little(&bytes[4..8]) as u32,
            ieee: Ieee(little(&bytes[8..16])),
            attributes: bytes[16],
            kind: bytes[17],
            shift: bytes[18],
        })
    }

    pub fn encode(&self, len: usize) -> Vec<u8> {
        let mut bytes = [&self.tx_counter.to_le_bytes()[..], &self.rx_counter.to_le_bytes()].concat();
        bytes.extend(self.ieee.0.to_le_bytes());
        bytes.extend([self.attributes, self.kind, self.shift]);
        bytes.resize(len, 0);
        bytes
    }
}

/// A frame counter of the network layer (`nwkSecMaterialDesc_t`) for the network with this extended PAN, or for any (all ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameCounter {
    pub counter: u32,
    pub extended_pan_id: Ieee,
}

pub const ANY_NETWORK: Ieee = Ieee(u64::MAX);

impl FrameCounter {
    pub const UNUSED: FrameCounter = FrameCounter { counter: 0, extended_pan_id: Ieee(0) };

    pub fn decode(bytes: &[u8]) -> Option<FrameCounter> {
        let (counter, extended_pan_id) = (bytes.get(..4)?, bytes.get(4..12)?);
        Some(FrameCounter { counter: little(counter) as u32, extended_pan_id: Ieee(little(extended_pan_id)) })
    }

    pub fn encode(&self) -> Vec<u8> {
        [&self.counter.to_le_bytes()[..], &self.extended_pan_id.0.to_le_bytes()].concat()
    }
}

/// An entry of the APS link key table, which leads from an address to its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLink {
    /// Index into the address manager.
    pub address_at: u16,
    /// Index into the table of keys (3.x.0), or number of the item (3.0.x).
    pub key_at: u16,
    pub authentication: u8,
}

/// [`KeyLink::authentication`] of a device that has shown that it knows the key.
pub const AUTHENTICATED: u8 = 2;

impl KeyLink {
    const UNUSED: KeyLink = KeyLink { address_at: 0xfffe, key_at: 0, authentication: 0 };

    fn is_used(&self) -> bool {
        // Memory that was never written is all noughts, or all ones.
        !matches!((self.address_at, self.authentication), (0xfffe | 0xffff, _) | (0, 0))
    }
}

fn key_link_len(is_aligned: bool) -> usize {
    if is_aligned { 6 } else { 5 }
}

/// The used entries of the item, which begins with a count that cannot be relied on.
pub fn key_links(bytes: &[u8], is_aligned: bool) -> Vec<KeyLink> {
    let entries = bytes.get(2..).unwrap_or(&[]).chunks_exact(key_link_len(is_aligned));
    let link = |entry: &[u8]| KeyLink {
        address_at: little(&entry[..2]) as u16,
        key_at: little(&entry[2..4]) as u16,
        authentication: entry[4],
    };
    entries.map(link).filter(KeyLink::is_used).collect()
}

/// The item with these links, as long as the one before. `None` where there is no room.
pub fn encode_key_links(links: &[KeyLink], len: usize, is_aligned: bool) -> Option<Vec<u8>> {
    let entry_len = key_link_len(is_aligned);
    let capacity = len.checked_sub(2)? / entry_len;
    if links.len() > capacity {
        return None;
    }
    let mut bytes = (links.len() as u16).to_le_bytes().to_vec();
    for link in links.iter().chain(std::iter::repeat(&KeyLink::UNUSED)).take(capacity) {
        bytes.extend(link.address_at.to_le_bytes());
        bytes.extend(link.key_at.to_le_bytes());
        bytes.push(link.authentication);
        bytes.extend(is_aligned.then_some(0));
    }
    bytes.resize(len, 0);
    Some(bytes)
}

/// The link key that Z-Stack's trust centre gives to a device: its seed, turned left by `shift` bytes, XOR the address twice.
pub fn link_key(seed: Key, shift: u8, ieee: Ieee) -> Key {
    let address = ieee.0.to_le_bytes();
    Key(std::array::from_fn(|at| seed.0[(at + usize::from(shift)) % 16] ^ address[at % 8]))
}

/// By how much the seed is turned in this device's key; `None` where the key is not made from it.
pub fn shift_of(seed: Key, key: Key, ieee: Ieee) -> Option<u8> {
    (0..16).find(|shift| link_key(seed, *shift, ieee) == key)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nib_of_either_alignment() {
        for (len, pan_at, extended_at, update_at) in [(110, 33, 53, 109), (116, 36, 57, 114)] {
            let mut nib = Nib::decode(&vec![0; len]).expect("a length that is known");
            nib.set_network(0x1a62, Ieee(0x0102_0304_0506_0708), Channel(25), 0x0200_0000);
            nib.set_security(5, 9);
            assert_eq!(nib.bytes()[pan_at..][..2], [0x62, 0x1a]);
            assert_eq!(nib.bytes()[extended_at..][..8], [8, 7, 6, 5, 4, 3, 2, 1]);
            assert_eq!(nib.bytes()[update_at], 9);
            assert_eq!((nib.pan_id(), nib.channel(), nib.channel_mask()), (0x1a62, Channel(25), 0x0200_0000));
            assert_eq!((nib.extended_pan_id(), nib.security_level()), (Ieee(0x0102_0304_0506_0708), 5));
            assert!(nib.has_network());
            assert_eq!(Nib::decode(nib.bytes()), Ok(nib));
        }
        assert!(!Nib::decode(&[0xff; 110]).expect("a length that is known").has_network());
        assert!(matches!(Nib::decode(&[0; 100]), Err(Trouble::Owner(_))));
    }

    #[test]
    fn entries_there_and_back() {
        let address = Address { users: 3, nwk: Nwk(0x1234), ieee: Ieee(0x0015_8d00_0102_0304) };
        for len in [ADDRESS_PACKED_LEN, ADDRESS_ALIGNED_LEN] {
            assert_eq!(address.encode(len).len(), len);
            assert_eq!(Address::decode(&address.encode(len)), Some(address));
        }
        let key = TcKey { tx_counter: 1, rx_counter: 2, ieee: Ieee(3), attributes: 2, kind: 0, shift: 5 };
        for len in [19, 20] {
            assert_eq!(TcKey::decode(&key.encode(len)), Some(key));
        }
        let aps = ApsKey { key: Key([1; 16]), tx_counter: 70_000, rx_counter: 2 };
        assert_eq!(ApsKey::decode(&aps.encode()), Some(aps));
        let counter = FrameCounter { counter: 90_000, extended_pan_id: ANY_NETWORK };
        assert_eq!(FrameCounter::decode(&counter.encode()), Some(counter));
        let links = [KeyLink { address_at: 4, key_at: 1, authentication: 2 }];
        for is_aligned in [false, true] {
            let bytes = encode_key_links(&links, 40, is_aligned).expect("there is room");
            assert_eq!(bytes.len(), 40);
            assert_eq!(key_links(&bytes, is_aligned), links);
            assert_eq!(encode_key_links(&links, 5, is_aligned), None);
        }
        assert_eq!(Address::decode(&[1; 10]), None);
        assert_eq!(key_links(&[], true), []);
    }

    #[test]
    fn a_link_key_is_found_again_in_the_seed() {
        let seed = Key(std::array::from_fn(|at| (at * 17 + 3) as u8));
        let ieee = Ieee(0x0015_8d00_0102_0304);
        assert_eq!(link_key(seed, 1, ieee).0[0], seed.0[1] ^ 0x04);
        for shift in 0..16 {
            assert_eq!(shift_of(seed, link_key(seed, shift, ieee), ieee), Some(shift));
        }
        assert_eq!(shift_of(seed, Key([0x55; 16]), ieee), None);
    }
}
