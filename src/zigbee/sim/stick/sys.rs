//! MT SYS: ping, version, and the memory (Z-Stack MT API §3.8). The tables by number are of 3.x.0 alone: the older one answers an
//! RPC error, which is how hosts tell them apart.

use super::nv::{ITEM_LEN_MAX, item};
use super::{Answer, Generation, Stick};
use crate::zigbee::sim::bytes::{Reader, Writer};

const SUCCESS: u8 = 0x00;
const INVALID_PARAMETER: u8 = 0x02;
const ITEM_UNINIT: u8 = 0x09;
const OPER_FAILED: u8 = 0x0a;
const BAD_LENGTH: u8 = 0x0c;

/// Octets of an item in one answer.
const READ_LEN_MAX: usize = 246;

impl Stick {
    pub(super) fn handle_sys(&mut self, id: u8, data: &[u8]) -> Answer {
        let body = Reader(data);
        let answer = match id {
            // SYS, AF, ZDO, UTIL, GP and APP_CNF.
            0x01 => Some(Answer::Reply(0x0659u16.to_le_bytes().to_vec())),
            0x02 => {
                let minor = self.generation.product();
                let version = Writer::new().u8(2).u8(minor).u8(2).u8(7).u8(minor).u32(self.generation.revision());
                Some(Answer::Reply(version.0))
            }
            0x04 => Some(Answer::Reply(self.ieee().0.to_le_bytes().to_vec())),
            0x07 => self.item_init(body),
            0x08 => self.item_read(body, false),
            0x09 => self.item_write(body, false),
            0x0c => Some(Answer::Reply((self.chance.next() as u16).to_le_bytes().to_vec())),
            0x0f => Some(Answer::Reply(vec![data.get(1).copied().unwrap_or(0)])),
            0x12 => self.item_delete(body),
            0x13 => self.item_length(body),
            // The new one says how it went, the old one what it is now.
            0x14 => match (self.generation, data.first()) {
                (_, None) => None,
                (Generation::V3x0, Some(_)) => Some(Answer::status(SUCCESS)),
                (Generation::V30x, Some(level)) => Some(Answer::status(*level)),
            },
            0x1c => self.item_read(body, true),
            0x1d => self.item_write(body, true),
            0x30..=0x35 if self.generation == Generation::V3x0 => self.row(id, body),
            _ => return Answer::Unknown,
        };
        answer.unwrap_or(Answer::Malformed)
    }

    fn item_init(&mut self, mut body: Reader<'_>) -> Option<Answer> {
        let (id, len, given) = (body.u16()?, usize::from(body.u16()?), usize::from(body.u8()?));
        let first = body.take(given)?;
        if !body.is_empty() {
            return None;
        }
        if self.nv.get(id).is_some() {
            return Some(Answer::status(SUCCESS));
        }
        if len > ITEM_LEN_MAX || given > len || len == 0 {
            return Some(Answer::status(OPER_FAILED));
        }
        let mut value = first.to_vec();
        value.resize(len, 0xff);
        let is_kept = self.nv.set(id, value);
        Some(Answer::status(if is_kept { ITEM_UNINIT } else { OPER_FAILED }))
    }

    fn item_read(&mut self, mut body: Reader<'_>, is_long: bool) -> Option<Answer> {
        let (id, offset) = (body.u16()?, if is_long { body.u16()? } else { body.u8()?.into() });
        if !body.is_empty() {
            return None;
        }
        let value = self.nv.get(id).and_then(|value| value.get(usize::from(offset)..)).filter(|rest| !rest.is_empty());
        let Some(value) = value else {
            return Some(Answer::Reply(vec![INVALID_PARAMETER, 0]));
        };
        let part = &value[..value.len().min(READ_LEN_MAX)];
        Some(Answer::Reply(Writer::new().u8(SUCCESS).u8(part.len() as u8).bytes(part).0))
    }

    fn item_write(&mut self, mut body: Reader<'_>, is_long: bool) -> Option<Answer> {
        let id = body.u16()?;
        let (offset, len) = if is_long { (body.u16()?, body.u16()?) } else { (body.u8()?.into(), body.u8()?.into()) };
        let (offset, value) = (usize::from(offset), body.take(len.into())?);
        if !body.is_empty() {
            return None;
        }
        let status = match self.nv.item_mut(id) {
            None => OPER_FAILED,
            Some(item) if offset + value.len() > item.len() => BAD_LENGTH,
            Some(item) => {
                item[offset..offset + value.len()].copy_from_slice(value);
                SUCCESS
            }
        };
        Some(Answer::status(status))
    }

    fn item_delete(&mut self, mut body: Reader<'_>) -> Option<Answer> {
        let (id, len) = (body.u16()?, usize::from(body.u16()?));
        let status = match self.nv.get(id) {
            None => ITEM_UNINIT,
            Some(value) if value.len() != len => BAD_LENGTH,
            Some(_) => {
                self.nv.remove(id);
                SUCCESS
            }
        };
        Some(Answer::status(status))
    }

    fn item_length(&mut self, mut body: Reader<'_>) -> Option<Answer> {
        let len = self.nv.get(body.u16()?).map_or(0, <[u8]>::len);
        body.is_empty().then(|| Answer::Reply((len as u16).to_le_bytes().to_vec()))
    }

    /// Commands 0x30 to 0x35: rows of tables.
    fn row(&mut self, id: u8, mut body: Reader<'_>) -> Option<Answer> {
        let (system, table, row) = (body.u8()?, body.u16()?, body.u16()?);
        let has = self.nv.row(system, table, row).map(<[u8]>::len);
        Some(match id {
            0x30 => {
                let len = body.u32()? as usize;
                let is_made = has.is_none() && (1..=ITEM_LEN_MAX).contains(&len);
                let is_kept = is_made && self.nv.set_row(system, table, row, vec![0xff; len]);
                Answer::status(if is_kept || has.is_some() { SUCCESS } else { OPER_FAILED })
            }
            0x31 => Answer::status(if self.nv.remove_row(system, table, row) { SUCCESS } else { OPER_FAILED }),
            0x32 => Answer::Reply((has.unwrap_or(0) as u32).to_le_bytes().to_vec()),
            0x33 => {
                let (offset, len) = (usize::from(body.u16()?), usize::from(body.u8()?));
                let value = self.nv.row(system, table, row).and_then(|value| value.get(offset..));
                match value {
                    None => Answer::Reply(vec![INVALID_PARAMETER, 0]),
                    Some(value) => {
                        let part = &value[..value.len().min(len)];
                        Answer::Reply(Writer::new().u8(SUCCESS).u8(part.len() as u8).bytes(part).0)
                    }
                }
            }
            0x34 | 0x35 => {
                let offset = if id == 0x34 { usize::from(body.u16()?) } else { 0 };
                let len = usize::from(body.u8()?);
                let value = body.take(len)?;
                match self.nv.row_mut(system, table, row) {
                    None if id == 0x35 => {
                        self.nv.set_row(system, table, row, value.to_vec());
                        Answer::status(SUCCESS)
                    }
                    None => Answer::status(OPER_FAILED),
                    Some(kept) if offset + len > kept.len() => Answer::status(BAD_LENGTH),
                    Some(kept) => {
                        kept[offset..offset + len].copy_from_slice(value);
                        Answer::status(SUCCESS)
                    }
                }
            }
            _ => return Some(Answer::Unknown),
        })
        .filter(|_| body.is_empty())
    }

    /// What the firmware sees to at every start: that the items are there that it knows.
    pub(super) fn make_items(&mut self) {
        let gap = self.generation.alignment();
        let key_with_counter = if gap == 2 { 24 } else { 21 };
        let first: [(u16, Vec<u8>); 22] = [
            (item::EXTADDR, self.hardware.0.to_le_bytes().to_vec()),
            (item::STARTUP_OPTION, vec![0]),
            (item::ACTIVE_KEY, vec![0; 17]),
            (item::ALTERNATE_KEY, vec![0; 17]),
            (item::NWKKEY, vec![0; key_with_counter]),
            (item::EXTENDED_PAN_ID, vec![0; 8]),
            (item::APS_USE_EXT_PANID, vec![0; 8]),
            (item::ON_A_NETWORK, vec![0]),
            (item::PRECFGKEY, vec![0; 16]),
            (item::PRECFGKEYS_ENABLE, vec![1]),
            (item::PANID, vec![0xff, 0xff]),
            (item::CHANLIST, 0x0000_0800u32.to_le_bytes().to_vec()),
            (item::LOGICAL_TYPE, vec![0]),
            (item::ZDO_DIRECT_CB, vec![0]),
            (0x0030, vec![30]), // BCAST_DELIVERY_TIME
            (0x0032, vec![1]),  // CONCENTRATOR_ENABLE
            (0x0033, vec![120]),
            (0x0034, vec![10]),
            (0x0036, vec![1]),
            (0x0038, vec![255]), // SRC_RTG_EXPIRY_TIME
            (0x003e, vec![0]),   // NWK_CHILD_AGE_ENABLE
            (item::TCLK_SEED, self.chance.bytes::<16>().to_vec()),
        ];
        for (id, value) in first {
            if self.nv.get(id).is_none() {
                self.nv.set(id, value);
            }
        }
    }
}
