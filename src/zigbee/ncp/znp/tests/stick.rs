//! A small stick for tests of the start, written by the manual and not after the host: memory, one network, nothing on the air. The
//! simulated house has one with devices.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::form::UNFINISHED;
use super::super::nv::{Family, item};
use crate::zigbee::framing::unpi::{Decoder, Frame, Peer};
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::mt::{self, Message};

pub struct Stick {
    pub family: Family,
    pub product: u8,
    pub items: BTreeMap<u16, Vec<u8>>,
    /// By item and entry, of the 3.x.0.
    pub tables: BTreeMap<(u16, u16), Vec<u8>>,
    factory_address: u64,
    /// What runs, as opposed to what is kept.
    pub address: u64,
    pub is_up: bool,
    pub pan_id: u16,
    pub extended_pan_id: u64,
    pub channel: u8,
    pub endpoints: BTreeSet<u8>,
    pub groups: BTreeSet<(u8, u16)>,
    pub callbacks: bool,
    primary: u32,
    pub energies: Vec<u8>,
    /// Networks formed since the test began.
    pub formed: u32,
    /// Whatever was asked, in order.
    pub asked: Vec<&'static str>,
    /// How data requests are confirmed: status, or not at all.
    pub confirms: Option<u8>,
    /// The confirm names the device's endpoint, not the hub's.
    pub confirms_device: bool,
    /// The transport key reads as something else.
    pub hides_key: bool,
    /// The transport key cannot be read.
    pub locks_key: bool,
    /// Commands that it does not know.
    pub unknown: &'static [&'static str],
    /// Says nothing to those, as opposed to that it does not know them.
    pub ignores_unknown: bool,
    decoder: Decoder,
    pub out: VecDeque<Frame>,
}

impl Stick {
    pub fn new(family: Family, address: u64) -> Stick {
        let mut stick = Stick {
            family,
            product: if family == Family::V3x0 { 1 } else { 2 },
            items: BTreeMap::new(),
            tables: BTreeMap::new(),
            factory_address: address,
            address,
            is_up: false,
            pan_id: 0xffff,
            extended_pan_id: 0,
            channel: 0,
            endpoints: BTreeSet::new(),
            groups: BTreeSet::new(),
            callbacks: false,
            primary: 0,
            energies: vec![90, 80, 20, 70],
            formed: 0,
            asked: Vec::new(),
            confirms: Some(0),
            confirms_device: false,
            hides_key: false,
            locks_key: false,
            unknown: &[],
            ignores_unknown: false,
            decoder: Decoder::new(Peer::Host),
            out: VecDeque::new(),
        };
        stick.clear();
        stick.items.insert(item::EXTADDR, address.to_le_bytes().to_vec());
        stick
    }

    /// As the start with STARTUP_OPTION 3 leaves the memory.
    fn clear(&mut self) {
        let is_new = self.family == Family::V3x0;
        self.items.retain(|id, _| matches!(*id, item::EXTADDR | item::HAS_CONFIGURED | item::STARTUP_OPTION));
        self.items
            .insert(item::TCLK_SEED, (0..16u8).map(|at| self.factory_address as u8 ^ at.wrapping_mul(31)).collect());
        self.items.insert(item::APS_LINK_KEY_TABLE, vec![0xff; if is_new { 2 + 6 * 20 } else { 2 + 5 * 12 }]);
        let (addresses, keys, counters): (u16, u16, u16) = if is_new { (40, 20, 5) } else { (16, 12, 4) };
        let mut table = |extended, legacy, len, entry: Vec<u8>| {
            for at in 0..len {
                if is_new {
                    self.tables.insert((extended, at), entry.clone());
                } else if legacy != 0 {
                    self.items.insert(legacy + at, entry.clone());
                }
            }
        };
        table(7, item::LEGACY_NWK_SEC_MATERIAL, counters, vec![0; 12]);
        table(4, item::LEGACY_TCLK, keys, vec![0; if is_new { 20 } else { 19 }]);
        table(6, item::LEGACY_APS_KEY_DATA, keys, vec![0; 24]);
        table(1, 0, addresses, [&[0, 0xff][..], &[0xff; 10]].concat());
        if !is_new {
            self.items.insert(item::ADDRMGR, [&[0][..], &[0xff; 10]].concat().repeat(usize::from(addresses)));
        }
    }

    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Some(frame) = self.decoder.next_frame() {
            let Ok(asked) = mt::decode(&frame) else {
                self.out.push_back(mt::rpc_error(mt::RPC_UNKNOWN_COMMAND, &frame));
                continue;
            };
            self.asked.push(asked.command.name);
            if asked.is(&SYS_RESET_REQ) {
                self.reset();
                continue;
            }
            let is_nv = [&SYS_NV_LENGTH, &SYS_NV_READ, &SYS_NV_WRITE].into_iter().any(|command| asked.is(command));
            if is_nv && self.family == Family::V30x || self.unknown.contains(&asked.command.name) {
                self.out.extend((!self.ignores_unknown).then(|| mt::rpc_error(mt::RPC_UNKNOWN_COMMAND, &frame)));
                continue;
            }
            let at = self.out.len();
            let answer = self.answer(&asked);
            self.out.insert(at, answer.frame().expect("it fits"));
        }
    }

    pub fn tell(&mut self, message: Message) {
        self.out.push_back(message.frame().expect("it fits"));
    }

    pub fn reset(&mut self) {
        if self.items.get(&item::STARTUP_OPTION).is_some_and(|option| option[0] & 3 == 3) {
            self.clear();
        }
        self.address = u64::from_le_bytes(self.items[&item::EXTADDR][..].try_into().expect("eight bytes"));
        (self.is_up, self.callbacks) = (false, false);
        self.endpoints.clear();
        self.groups.clear();
        self.tell(SYS_RESET_IND.request().with("productid", self.product));
    }

    fn answer(&mut self, asked: &Message) -> Message {
        let answer = asked.command.response();
        let id = || asked.u16("id");
        match asked.command.name {
            "version" => answer.with("product", self.product).with("revision", 20_230_507u32),
            "getExtAddr" => answer.with("extaddress", self.address),
            "osalNvLength" => answer.with("length", self.items.get(&id()).map_or(0, |item| item.len() as u16)),
            "osalNvReadExt" if self.hides_key && id() == item::PRECFGKEY => answer.with("value", [0x55u8; 16]),
            "osalNvReadExt" if self.locks_key && id() == item::PRECFGKEY => answer.with("status", 0x0au8),
            "osalNvReadExt" => match self.items.get(&id()).and_then(|item| item.get(asked.u16("offset").into()..)) {
                Some(rest) => answer.with("value", &rest[..rest.len().min(246)]),
                None => answer.with("status", 0x0au8),
            },
            "osalNvItemInit" => {
                let mut value = asked.bytes("initvalue").to_vec();
                value.resize(asked.u16("len").into(), 0xff);
                self.items.insert(id(), value);
                answer.with("status", 9u8)
            }
            "osalNvWriteExt" => {
                let (offset, value) = (usize::from(asked.u16("offset")), asked.bytes("value"));
                match self.items.get_mut(&id()).and_then(|item| item.get_mut(offset..offset + value.len())) {
                    Some(place) => {
                        place.copy_from_slice(value);
                        answer
                    }
                    None => answer.with("status", 0x0au8),
                }
            }
            "osalNvDelete" => answer.with("status", if self.items.remove(&id()).is_some() { 0u8 } else { 0x09 }),
            "nvLength" => answer.with("len", self.entry(asked).map_or(0, |entry| entry.len() as u8)),
            "nvRead" => match self.entry(asked) {
                Some(entry) => answer.with("value", &entry),
                None => answer.with("status", 0x0au8),
            },
            "nvWrite" => {
                let key = (asked.u16("itemid"), asked.u16("subid"));
                self.tables.insert(key, asked.bytes("value").to_vec());
                answer
            }
            "getDeviceInfo" => {
                answer.with("ieeeaddr", self.address).with("devicestate", if self.is_up { 9u8 } else { 0 })
            }
            "startupFromApp" => {
                self.load();
                answer
            }
            "bdbSetChannel" => {
                if asked.u8("isPrimary") == 1 {
                    self.primary = asked.u32("channel");
                }
                answer
            }
            "bdbStartCommissioning" => {
                assert_eq!(asked.u8("mode"), 4);
                self.form();
                answer
            }
            "mgmtNwkUpdateReq" => {
                let energies = self.energies.clone();
                let notify = ZDO_MGMT_NWK_UPDATE_NOTIFY.request().with("scannedchannels", asked.u32("channelmask"));
                self.tell(notify.with("energyvalues", energies));
                answer
            }
            "activeEpReq" => {
                let endpoints: Vec<u8> = self.endpoints.iter().copied().collect();
                self.tell(ZDO_ACTIVE_EP_RSP.request().with("activeeplist", endpoints));
                answer
            }
            "register" => answer.with("status", if self.endpoints.insert(asked.u8("endpoint")) { 0u8 } else { 0xb8 }),
            "extFindGroup" => {
                let is_there = self.groups.contains(&(asked.u8("endpoint"), asked.u16("groupid")));
                answer.with("status", if is_there { 0u8 } else { 1 })
            }
            "extAddGroup" => {
                self.groups.insert((asked.u8("endpoint"), asked.u16("groupid")));
                answer
            }
            "msgCbRegister" => {
                self.callbacks = true;
                answer
            }
            "extNwkInfo" => {
                let answer = answer.with("panid", self.pan_id).with("extendedpanid", self.extended_pan_id);
                answer.with("channel", self.channel)
            }
            "dataRetrieve" => {
                assert_eq!(asked.u32("timestamp"), 99);
                answer.with("data", vec![0xaau8; asked.u8("length").into()])
            }
            "addrmgrNwkAddrLookup" => answer.with("extaddr", 7u64),
            "assocGetWithAddress" => answer.with("nwkaddr", asked.u16("nwkaddr")).with("noderelation", 1u8),
            "dataRequest" | "dataRequestExt" if !self.endpoints.contains(&asked.u8("srcendpoint")) => {
                answer.with("status", 2u8)
            }
            "dataRequest" | "dataRequestExt" => {
                if let Some(status) = self.confirms {
                    let confirm = AF_DATA_CONFIRM.request().with("status", status);
                    let endpoint = asked.u8(if self.confirms_device { "destendpoint" } else { "srcendpoint" });
                    self.tell(confirm.with("endpoint", endpoint).with("transid", asked.u8("transid")));
                }
                answer
            }
            _ => answer,
        }
    }

    fn entry(&self, asked: &Message) -> Option<Vec<u8>> {
        assert_eq!(asked.u8("sysid"), 1);
        self.tables.get(&(asked.u16("itemid"), asked.u16("subid"))).cloned()
    }

    fn nib_at(&self) -> (usize, usize, usize, usize, usize) {
        if self.family == Family::V3x0 { (116, 24, 36, 40, 57) } else { (110, 22, 33, 36, 53) }
    }

    fn form(&mut self) {
        assert!(
            self.items.get(&item::HAS_CONFIGURED).is_some_and(|mark| mark[0] == UNFINISHED),
            "marked while it is made"
        );
        let (len, channel_at, pan_at, mask_at, extended_at) = self.nib_at();
        let channel = self.primary.trailing_zeros() as u8;
        let mut nib = vec![0; len];
        nib[12] = 5;
        nib[channel_at] = channel;
        nib[pan_at..][..2].copy_from_slice(&self.items[&item::PANID]);
        nib[mask_at..][..4].copy_from_slice(&self.primary.to_le_bytes());
        nib[extended_at..][..8].copy_from_slice(&self.items[&item::EXTENDED_PAN_ID]);
        let counter = [&0u32.to_le_bytes()[..], &self.items[&item::EXTENDED_PAN_ID]].concat();
        if self.family == Family::V3x0 {
            self.tables.insert((7, 0), counter);
        } else {
            self.items.insert(item::LEGACY_NWK_SEC_MATERIAL, counter);
        }
        let key = [&[0][..], &self.items[&item::PRECFGKEY]].concat();
        self.items.insert(item::NIB, nib);
        self.items.insert(item::ACTIVE_KEY, key.clone());
        self.items.insert(item::ALTERNATE_KEY, key);
        self.formed += 1;
        self.load();
    }

    /// Takes up the network that is kept.
    fn load(&mut self) {
        let (len, channel_at, pan_at, _, extended_at) = self.nib_at();
        let Some(nib) = self.items.get(&item::NIB) else { return };
        assert_eq!(nib.len(), len);
        self.channel = nib[channel_at];
        self.pan_id = u16::from_le_bytes([nib[pan_at], nib[pan_at + 1]]);
        self.extended_pan_id = u64::from_le_bytes(nib[extended_at..][..8].try_into().expect("eight bytes"));
        self.is_up = true;
        self.tell(ZDO_STATE_CHANGE_IND.request().with("state", 9u8));
    }
}
