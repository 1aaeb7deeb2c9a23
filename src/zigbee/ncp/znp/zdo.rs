//! ZDO messages between how they go on the air and how MT puts them. What they say is the business of `zigbee::zdo`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::mt::{Command, Message};
use crate::zigbee::types::{ClusterId, Ieee, Nwk};

/// MT's address modes (`AddrMode_t`).
pub const MODE_GROUP: u8 = 1;
pub const MODE_16_BIT: u8 = 2;
pub const MODE_BROADCAST: u8 = 15;

const NWK_ADDRESS_REQUEST: ClusterId = ClusterId(0x0000);
const IEEE_ADDRESS_REQUEST: ClusterId = ClusterId(0x0001);
const SERVER_DISCOVERY_REQUEST: ClusterId = ClusterId(0x0015);
const BIND_REQUEST: ClusterId = ClusterId(0x0021);
const UNBIND_REQUEST: ClusterId = ClusterId(0x0022);
const PERMIT_JOINING_REQUEST: ClusterId = ClusterId(0x0036);
const NETWORK_UPDATE_REQUEST: ClusterId = ClusterId(0x0038);
const NWK_ADDRESS_RESPONSE: ClusterId = ClusterId(0x8000);

/// Requests that MT has a command for whose data is the destination and then what goes on the air.
static REQUESTS: [(u16, &Command); 9] = [
    (0x0002, &ZDO_NODE_DESC_REQ),
    (0x0003, &ZDO_POWER_DESC_REQ),
    (0x0004, &ZDO_SIMPLE_DESC_REQ),
    (0x0005, &ZDO_ACTIVE_EP_REQ),
    (0x0006, &ZDO_MATCH_DESC_REQ),
    (0x0031, &ZDO_MGMT_LQI_REQ),
    (0x0032, &ZDO_MGMT_RTG_REQ),
    (0x0033, &ZDO_MGMT_BIND_REQ),
    (0x0034, &ZDO_MGMT_LEAVE_REQ),
];

/// What MT tells with the source in front of what came on the air.
static TOLD: [(u16, &Command); 17] = [
    (0x0013, &ZDO_END_DEVICE_ANNCE_IND),
    (0x8002, &ZDO_NODE_DESC_RSP),
    (0x8003, &ZDO_POWER_DESC_RSP),
    (0x8004, &ZDO_SIMPLE_DESC_RSP),
    (0x8005, &ZDO_ACTIVE_EP_RSP),
    (0x8006, &ZDO_MATCH_DESC_RSP),
    (0x8015, &ZDO_SERVER_DISC_RSP),
    (0x8020, &ZDO_END_DEVICE_BIND_RSP),
    (0x8021, &ZDO_BIND_RSP),
    (0x8022, &ZDO_UNBIND_RSP),
    (0x8030, &ZDO_MGMT_NWK_DISC_RSP),
    (0x8031, &ZDO_MGMT_LQI_RSP),
    (0x8032, &ZDO_MGMT_RTG_RSP),
    (0x8033, &ZDO_MGMT_BIND_RSP),
    (0x8034, &ZDO_MGMT_LEAVE_RSP),
    (0x8036, &ZDO_MGMT_PERMIT_JOIN_RSP),
    (0x8038, &ZDO_MGMT_NWK_UPDATE_NOTIFY),
];

/// The stick's command for a request. What it has no command for goes as it is (`ZDO_SEND_DATA`). `sequence` is for that.
pub fn request(to: Nwk, cluster: ClusterId, payload: &[u8], sequence: u8) -> Option<Message> {
    let mode = if to.0 >= 0xfff8 { MODE_BROADCAST } else { MODE_16_BIT };
    let to_first = [&to.0.to_le_bytes()[..], payload].concat();
    let (command, data) = match cluster {
        // To whom they go is the stick's choice.
        NWK_ADDRESS_REQUEST => (&ZDO_NWK_ADDR_REQ, payload.to_vec()),
        IEEE_ADDRESS_REQUEST => (&ZDO_IEEE_ADDR_REQ, payload.to_vec()),
        SERVER_DISCOVERY_REQUEST => (&ZDO_SERVER_DISC_REQ, payload.to_vec()),
        BIND_REQUEST => (&ZDO_BIND_REQ, binding(to_first)),
        UNBIND_REQUEST => (&ZDO_UNBIND_REQ, binding(to_first)),
        PERMIT_JOINING_REQUEST => (&ZDO_MGMT_PERMIT_JOIN_REQ, [&[mode][..], &to_first].concat()),
        NETWORK_UPDATE_REQUEST => {
            // Channels, duration, and by the duration a count or what MT leaves out (the update id), then the manager.
            let mut data = [&to.0.to_le_bytes()[..], &[mode], payload].concat();
            data.resize(2 + 1 + 4 + 1 + 1 + 2, 0);
            (&ZDO_MGMT_NWK_UPDATE_REQ, data)
        }
        cluster => match REQUESTS.iter().find(|(id, _)| *id == cluster.0) {
            Some((_, command)) => (*command, to_first),
            None => {
                let message = ZDO_SEND_DATA.request().with("shortaddr", to).with("transseq", sequence);
                return Some(message.with("cmd", cluster).with("buf", payload));
            }
        },
    };
    command.request().with_data(&data)
}

/// MT wants eight bytes of address and an endpoint even of a group.
fn binding(mut data: Vec<u8>) -> Vec<u8> {
    data.resize(2 + 8 + 1 + 2 + 1 + 8 + 1, 0);
    data
}

/// What the stick tells of a ZDO message that came, as it was on the air behind its sequence number.
pub fn told(message: &Message) -> Option<Told> {
    if message.is(&ZDO_MSG_CB_INCOMING) {
        let cluster = ClusterId(message.u16("clusterid"));
        return Some((Nwk(message.u16("srcaddr")), cluster, message.bytes("msgdata").to_vec()));
    }
    if message.is(&ZDO_CONCENTRATOR_IND_CB) {
        // A router that has a new address may be heard of by this alone: as if it had been asked for it.
        return Some(address_response(Nwk(message.u16("srcaddr")), message.ieee("extaddr")));
    }
    if message.is(&ZDO_NWK_ADDR_RSP) || message.is(&ZDO_IEEE_ADDR_RSP) {
        let cluster = NWK_ADDRESS_RESPONSE.0 | u16::from(message.command.id & 1);
        let (status, nwk) = (message.status()?, message.u16("nwkaddr"));
        let mut payload = vec![status];
        payload.extend(message.ieee("ieeeaddr").0.to_le_bytes());
        payload.extend(nwk.to_le_bytes());
        if let [start, count, devices @ ..] = message.bytes("assoc")
            && !devices.is_empty()
        {
            // MT has these two the other way round.
            payload.extend([count, start]);
            payload.extend(devices);
        }
        return Some((Nwk(nwk), ClusterId(cluster), payload));
    }
    let (cluster, _) = TOLD.iter().find(|(_, command)| message.is(command))?;
    let mut data = message.frame().ok()?.data;
    let payload = data.split_off(2);
    Some((Nwk(message.u16("srcaddr")), ClusterId(*cluster), payload))
}

fn address_response(nwk: Nwk, ieee: Ieee) -> Told {
    let payload = [&[0][..], &ieee.0.to_le_bytes(), &nwk.0.to_le_bytes()].concat();
    (nwk, NWK_ADDRESS_RESPONSE, payload)
}

/// The same message told in two ways is told within this time.
const TWICE_WITHIN: Duration = Duration::from_secs(1);
const TOLD_LEN_MAX: usize = 8;

/// Where a ZDO message came from, its cluster and what it said.
pub type Told = (Nwk, ClusterId, Vec<u8>);

/// Z-Stack tells ZDO messages as they came and in its own words, or in one of the two ways only, by firmware. Whichever comes
/// second is an echo.
#[derive(Debug, Default)]
pub struct Echo(VecDeque<(Instant, bool, Told)>);

impl Echo {
    /// `is_raw` is of the first way.
    pub fn is_news(&mut self, now: Instant, is_raw: bool, told: &Told) -> bool {
        self.0.retain(|(at, ..)| now.saturating_duration_since(*at) < TWICE_WITHIN);
        if let Some(at) = self.0.iter().position(|(_, was_raw, before)| *was_raw != is_raw && before == told) {
            self.0.remove(at);
            return false;
        }
        if self.0.len() == TOLD_LEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, is_raw, told.clone()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::framing::unpi::{Frame, Kind};
    use crate::zigbee::ncp::znp::mt;

    #[test]
    fn requests_as_mt_has_them() {
        let data = |to, cluster, payload: &[u8]| {
            let message = request(Nwk(to), ClusterId(cluster), payload, 7).expect("it is one");
            (message.command.name, message.frame().expect("it fits").data)
        };
        assert_eq!(data(0x1234, 2, &[0x34, 0x12]), ("nodeDescReq", vec![0x34, 0x12, 0x34, 0x12]));
        assert_eq!(data(0xfffd, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0]).1, [1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
        assert_eq!(data(0xfffc, 0x36, &[60, 0]).1, [15, 0xfc, 0xff, 60, 0]);
        assert_eq!(data(0x1234, 0x36, &[60, 0]).1, [2, 0x34, 0x12, 60, 0]);
        assert_eq!(data(0x0000, 0x38, &[0, 0xf8, 0xff, 7, 4, 1]).1, [0, 0, 2, 0, 0xf8, 0xff, 7, 4, 1, 0, 0]);
        let group = data(0x1234, 0x21, &[1, 2, 3, 4, 5, 6, 7, 8, 1, 6, 0, 1, 0x0b, 0x84]).1;
        assert_eq!(group, [0x34, 0x12, 1, 2, 3, 4, 5, 6, 7, 8, 1, 6, 0, 1, 0x0b, 0x84, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(data(0x1234, 0x3b, &[9]), ("sendData", vec![0x34, 0x12, 7, 0x3b, 0, 1, 9]));
        assert_eq!(request(Nwk(1), ClusterId(2), &[0x34], 0), None, "cut short");
    }

    #[test]
    fn what_comes_is_as_on_the_air() {
        let told = |id, data: &[u8]| {
            let frame = Frame { kind: Kind::Areq, subsystem: 5, id, data: data.to_vec() };
            told(&mt::decode(&frame).expect("a message"))
        };
        let active = told(0x85, &[0x34, 0x12, 0, 0x34, 0x12, 2, 1, 11]);
        assert_eq!(active, Some((Nwk(0x1234), ClusterId(0x8005), vec![0, 0x34, 0x12, 2, 1, 11])));
        let raw = told(0xff, &[0x34, 0x12, 0, 0x05, 0x80, 0, 9, 0, 0, 0, 0x34, 0x12, 2, 1, 11]);
        assert_eq!(raw, active);
        let address = told(0x80, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x34, 0x12, 3, 2, 0xaa, 0, 0xbb, 0]).expect("a response");
        assert_eq!(address.1, ClusterId(0x8000));
        assert_eq!(address.2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 0x34, 0x12, 2, 3, 0xaa, 0, 0xbb, 0]);
        let bare = told(0x81, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x34, 0x12]).expect("a response without a list");
        assert_eq!(bare.2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 0x34, 0x12]);
        assert_eq!(told(0x81, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x34, 0x12, 0, 0]).expect("an empty list").2, bare.2);
        assert_eq!(told(0xc0, &[9]), None);
    }
}
