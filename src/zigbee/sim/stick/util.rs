//! MT UTIL and APP_CNF: what the stick is, its children, and commissioning (Z-Stack MT API §3.10 and §3.13).

use std::time::Instant;

use super::nv::{Address, USER_ASSOCIATED};
use super::{Answer, Generation, Phase, Stick};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::sim::world::World;
use crate::zigbee::types::{Ieee, Nwk};

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

/// A child that sleeps, one that listens, and nobody.
const CHILD_SLEEPY: u8 = 1;
const CHILD_ROUTER: u8 = 4;
const NOT_USED: u8 = 0xff;

/// The host may register so many install codes.
const CODES_MAX: usize = 32;

impl Stick {
    pub(super) fn handle_util(&mut self, id: u8, data: &[u8], world: &World) -> Answer {
        let mut body = Reader(data);
        let answer = match id {
            0x00 => {
                let state = if self.phase == Phase::Up { 9 } else { 0 };
                let children: Vec<u16> = self.children().iter().map(|row| row.nwk.0).take(60).collect();
                let nwk = if self.phase == Phase::Up { 0 } else { 0xfffe };
                let w = Writer::new().u8(SUCCESS).u64(self.ieee().0).u16(nwk).u8(7).u8(state);
                Some(Answer::Reply(w.words(&children).0))
            }
            // Built without lamps, the new one never answers.
            0x0a => match self.generation {
                Generation::V3x0 => Some(Answer::Silence),
                Generation::V30x => (data.len() == 2).then(|| Answer::status(SUCCESS)),
            },
            0x41 => body.u16().map(|nwk| {
                let ieee = self.address_by_nwk(Nwk(nwk)).map_or(0, |(_, row)| row.ieee.0);
                Answer::Reply(ieee.to_le_bytes().to_vec())
            }),
            0x40 => body.u64().map(|ieee| {
                let nwk = self.address(Ieee(ieee)).map_or(0xfffe, |(_, row)| row.nwk.0);
                Answer::Reply(nwk.to_le_bytes().to_vec())
            }),
            0x48 => body.u16().map(|_| Answer::Reply((self.children().len() as u16).to_le_bytes().to_vec())),
            0x49 => body.u8().map(|number| {
                let child = self.children().get(usize::from(number)).copied();
                Answer::Reply(self.association(child, world))
            }),
            0x4a => self.find_child(body, world),
            0x63 | 0x64 if self.generation == Generation::V3x0 => self.change_child(id, body),
            _ => return Answer::Unknown,
        };
        answer.unwrap_or(Answer::Malformed)
    }

    fn children(&self) -> Vec<Address> {
        let rows = self.addresses().into_iter().map(|(_, row)| row);
        rows.filter(|row| row.user & USER_ASSOCIATED != 0).collect()
    }

    /// The structure as it lies in the firmware's memory: 28 bytes packed, 36 with gaps.
    fn association(&self, child: Option<Address>, world: &World) -> Vec<u8> {
        let len = if self.generation.alignment() == 2 { 36 } else { 28 };
        let relation = match child {
            None => NOT_USED,
            Some(child) if world.is_router(child.ieee) => CHILD_ROUTER,
            Some(_) => CHILD_SLEEPY,
        };
        let place = child.and_then(|child| self.address(child.ieee)).map_or(0xffff, |(place, _)| place as u16);
        let nwk = child.map_or(0xfffe, |child| child.nwk.0);
        let mut bytes = Writer::new().u16(nwk).u16(place).u8(relation).u8(0).u8(0).u8(0).0;
        bytes.resize(len, 0);
        bytes
    }

    fn find_child(&self, mut body: Reader<'_>, world: &World) -> Option<Answer> {
        let (ieee, nwk) = (Ieee(body.u64()?), Nwk(body.u16()?));
        let children = self.children();
        let child = match ieee.0 {
            0 => children.into_iter().find(|row| row.nwk == nwk),
            _ => children.into_iter().find(|row| row.ieee == ieee),
        };
        Some(Answer::Reply(self.association(child, world)))
    }

    fn change_child(&mut self, id: u8, mut body: Reader<'_>) -> Option<Answer> {
        let ieee = Ieee(body.u64()?);
        if id == 0x63 {
            let found = self.address(ieee).filter(|(_, row)| row.user & USER_ASSOCIATED != 0);
            if let Some((place, row)) = found {
                self.write_address(place, Address { user: row.user & !USER_ASSOCIATED, ..row });
            }
            return Some(Answer::status(if found.is_some() { SUCCESS } else { FAILURE }));
        }
        let (nwk, _relation) = (Nwk(body.u16()?), body.u8()?);
        let is_kept = self.remember(ieee, nwk, true);
        Some(Answer::status(if is_kept { SUCCESS } else { FAILURE }))
    }

    pub(super) fn handle_app_cnf(&mut self, now: Instant, id: u8, data: &[u8], world: &mut World) -> Answer {
        let mut body = Reader(data);
        let answer = match id {
            0x04 => self.install_code(now, body, world),
            0x05 => body.u8().map(|mode| {
                if mode & 4 != 0 {
                    self.start(now);
                    if self.phase == Phase::Up {
                        self.tell(15, 0x80, vec![0x08, 0x02, 0x00]);
                        self.tell(5, 0xc0, vec![9]);
                    }
                }
                Answer::status(SUCCESS)
            }),
            0x06 => body.u8().map(|only| {
                self.only_install_codes = only != 0;
                Answer::status(SUCCESS)
            }),
            0x08 => body.u8().zip(body.u32()).map(|(is_primary, channels)| {
                if is_primary != 0 {
                    self.channels_wanted = Some(channels);
                }
                Answer::status(SUCCESS)
            }),
            0x09 => body.u8().map(|_| Answer::status(SUCCESS)),
            _ => return Answer::Unknown,
        };
        answer.unwrap_or(Answer::Malformed)
    }

    /// A code with its check. Keys made of codes by the host are refused: the double does not hash.
    fn install_code(&mut self, now: Instant, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let (format, ieee) = (body.u8()?, Ieee(body.u64()?));
        if format != 1 {
            world.tell(now, "stick", "takes install codes with their check alone");
            return Some(Answer::status(FAILURE));
        }
        let code: [u8; 18] = body.take(18)?.try_into().ok()?;
        let sum = check(&code[..16]).to_le_bytes();
        if sum != code[16..] || self.install_codes.len() >= CODES_MAX {
            return Some(Answer::status(FAILURE));
        }
        self.install_codes.insert(ieee, code);
        Some(Answer::status(SUCCESS))
    }
}

/// CRC-16/X-25 of an install code (Zigbee BDB §10.1).
pub fn check(code: &[u8]) -> u16 {
    let mut sum = 0xffff_u16;
    for byte in code {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x8408 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_the_specification_has_its_check() {
        let code = [0x83, 0xfe, 0xd3, 0x40, 0x7a, 0x93, 0x97, 0x23, 0xa5, 0xc6, 0x39, 0xb2, 0x69, 0x16, 0xd5, 0x05];
        assert_eq!(check(&code).to_le_bytes(), [0xc3, 0xb5]);
    }
}
