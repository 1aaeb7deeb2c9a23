//! Forms a network on a stick that is the owner's to form one on (that is decided in `start`), on the quietest channel.

use std::time::Duration;

use crate::zigbee::ncp::znp::Entropy;
use crate::zigbee::ncp::znp::desk::{Desk, Trouble};
use crate::zigbee::ncp::znp::mt::Message;
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::nv::{self, item};
use crate::zigbee::ncp::znp::records::Nib;
use crate::zigbee::types::{Channel, Ieee, Key};

/// Between the three channels of Wi-Fi that nearly everybody uses, and beside them.
pub const CHANNELS: [Channel; 4] = [Channel(11), Channel(15), Channel(20), Channel(25)];

/// Where no scan succeeds.
const CHANNEL_BY_DEFAULT: Channel = Channel(15);

/// Of an energy scan: 2^n + 1 times 15 ms on each channel (ZDO's `ScanDuration`), so about a quarter of a second each.
const SCAN_DURATION: u8 = 4;
const SCAN_PATIENCE: Duration = Duration::from_secs(5);
const SCAN_TRIES: u8 = 2;

/// How long a stick may take to start anew. A CC2531 that clears its memory is slow.
const RESET_PATIENCE: Duration = Duration::from_secs(10);
const RESET_TRIES: u8 = 3;

/// How long the network may take to come up. It scans for others with the same number first.
const UP_PATIENCE: Duration = Duration::from_secs(60);

/// The same where it is not known whether the stick has heard that it is to come up.
const UNHEARD_PATIENCE: Duration = Duration::from_secs(5);
const BRING_UP_TRIES: u8 = 3;

/// How often a stick is asked whether it is up, in case its word about it was lost.
const UP_CHECK_EVERY: Duration = Duration::from_secs(2);

/// How long the network's record in the stick's memory may lag behind.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);
const SETTLE_CHECK_EVERY: Duration = Duration::from_millis(250);

/// `ZDO_STATE_CHANGE_IND` and `UTIL_GET_DEVICE_INFO`: started as the coordinator.
pub const STATE_COORDINATOR: u8 = 9;

/// Value of [`item::HAS_CONFIGURED`] when a network was formed in full, as all hosts have it.
pub const CONFIGURED: u8 = 0x55;
/// And while one is being formed or restored: what the stick holds then is nobody's network.
pub const UNFINISHED: u8 = 0x50;

/// A network that is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewNetwork {
    pub pan_id: u16,
    pub extended_pan_id: Ieee,
    pub key: Key,
    pub channel: Channel,
}

impl NewNetwork {
    pub fn by_chance(entropy: &mut Entropy) -> NewNetwork {
        let mut bytes = [0; 27];
        entropy(&mut bytes);
        let [pan_low, pan_high, channel, rest @ ..] = bytes;
        // 1 to 0xfff0: the last few have meanings.
        let pan_id = 1 + u16::from_le_bytes([pan_low, pan_high]) % 0xfff0;
        let (extended_pan_id, key) = rest.split_at(8);
        let extended_pan_id = extended_pan_id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
        NewNetwork {
            pan_id,
            // Neither nothing nor all ones, which mean "none".
            extended_pan_id: Ieee(if matches!(extended_pan_id, 0 | u64::MAX) { 1 } else { extended_pan_id }),
            key: Key(key.try_into().expect("16 of 27 bytes are left")),
            channel: Channel(11 + channel % 16),
        }
    }
}

/// Forms it, over whatever the stick has. The mark of an unfinished network stays set.
pub async fn form(desk: &Desk, network: &NewNetwork) -> Result<Nib, Trouble> {
    nv::delete(desk, item::NIB).await?;
    // Clear the configuration and the network (`ZCD_STARTOPT_…`) at the next start.
    nv::write_surely(desk, item::STARTUP_OPTION, &[0x03]).await?;
    reset(desk).await?;
    nv::write_surely(desk, item::STARTUP_OPTION, &[0x00]).await?;
    nv::write_surely(desk, item::HAS_CONFIGURED, &[UNFINISHED]).await?;
    write_parameters(desk, network, network.channel.mask()).await?;
    desk.forget_told();
    let set_channel = |is_primary: bool, mask: u32| {
        APP_CNF_BDB_SET_CHANNEL.request().with("isPrimary", is_primary).with("channel", mask)
    };
    desk.order(set_channel(true, network.channel.mask())).await?;
    desk.order(set_channel(false, 0)).await?;
    // 4: network formation (`bdbCommissioningModes`).
    bring_up(desk, APP_CNF_BDB_START_COMMISSIONING.request().with("mode", 4u8), &[]).await?;
    settled(desk).await
}

/// Has the stick start its network by this request, and waits until it is up. Where the answer is lost, the stick tells what it
/// did by what it is.
pub async fn bring_up(desk: &Desk, request: Message, fine: &[u8]) -> Result<(), Trouble> {
    desk.forget_told();
    for _ in 1..BRING_UP_TRIES {
        match desk.order_or(request.clone(), fine).await {
            Err(Trouble::Silent(_)) if wait_until_up(desk, UNHEARD_PATIENCE).await.is_ok() => return Ok(()),
            Err(Trouble::Silent(_)) => {}
            Err(trouble) => return Err(trouble),
            Ok(_) => return wait_until_up(desk, UP_PATIENCE).await,
        }
    }
    desk.order_or(request, fine).await?;
    wait_until_up(desk, UP_PATIENCE).await
}

/// What a stick forms its network by, and what it goes on by after a restore.
pub async fn write_parameters(desk: &Desk, network: &NewNetwork, channel_mask: u32) -> Result<(), Trouble> {
    let extended_pan_id = network.extended_pan_id.0.to_le_bytes();
    nv::update(desk, item::LOGICAL_TYPE, &[0x00]).await?;
    nv::update(desk, item::ZDO_DIRECT_CB, &[0x01]).await?;
    nv::update(desk, item::CHANLIST, &channel_mask.to_le_bytes()).await?;
    nv::update(desk, item::PANID, &network.pan_id.to_le_bytes()).await?;
    nv::update(desk, item::EXTENDED_PAN_ID, &extended_pan_id).await?;
    nv::update(desk, item::APS_USE_EXT_PANID, &extended_pan_id).await?;
    nv::update(desk, item::PRECFGKEYS_ENABLE, &[0x00]).await?;
    nv::update(desk, item::PRECFGKEY, &network.key.0).await
}

/// Starts the stick anew, and waits until it has.
pub async fn reset(desk: &Desk) -> Result<(), Trouble> {
    for _ in 0..RESET_TRIES {
        desk.forget_told();
        desk.expect_reset(true);
        // 1: soft, which leaves the USB port alone.
        desk.tell(SYS_RESET_REQ.request().with("type", 1u8));
        let told = desk.hear(RESET_PATIENCE, |message| message.is(&SYS_RESET_IND)).await;
        desk.expect_reset(false);
        if told.is_some() {
            return Ok(());
        }
    }
    Err(Trouble::Silent("resetReq"))
}

/// The network is up, or it does not come up.
async fn wait_until_up(desk: &Desk, patience: Duration) -> Result<(), Trouble> {
    let until = desk.now() + patience;
    loop {
        let is_up = |message: &Message| message.is(&ZDO_STATE_CHANGE_IND) && message.u8("state") == STATE_COORDINATOR;
        if desk.hear(UP_CHECK_EVERY, is_up).await.is_some() || is_coordinator(desk).await? {
            return Ok(());
        }
        if desk.now() >= until {
            return Err(Trouble::stick("the stick's network does not come up"));
        }
    }
}

pub async fn is_coordinator(desk: &Desk) -> Result<bool, Trouble> {
    Ok(is_up(&desk.order(UTIL_GET_DEVICE_INFO.request()).await?))
}

/// The stick's own address. Not every firmware has the command for it alone.
pub async fn address(desk: &Desk) -> Result<Ieee, Trouble> {
    match desk.ask(SYS_GET_EXT_ADDR.request()).await {
        Err(Trouble::Stick(_)) => Ok(desk.order(UTIL_GET_DEVICE_INFO.request()).await?.ieee("ieeeaddr")),
        answer => Ok(answer?.ieee("extaddress")),
    }
}

/// By an answer to `UTIL_GET_DEVICE_INFO`.
pub fn is_up(info: &Message) -> bool {
    info.u8("devicestate") == STATE_COORDINATOR
}

async fn settled(desk: &Desk) -> Result<Nib, Trouble> {
    let until = desk.now() + SETTLE_PATIENCE;
    loop {
        if let Some(bytes) = nv::read(desk, item::NIB).await? {
            let nib = Nib::decode(&bytes)?;
            if nib.has_network() {
                return Ok(nib);
            }
        }
        if desk.now() >= until {
            return Err(Trouble::stick("the stick does not keep the network that it has formed"));
        }
        desk.sleep(SETTLE_CHECK_EVERY).await;
    }
}

/// The channel with the least noise, by the stick's own measurement. It measures only while it has a network.
pub async fn quietest_channel(desk: &Desk) -> Result<Channel, Trouble> {
    let mask = CHANNELS.iter().fold(0, |mask, channel| mask | channel.mask());
    for _ in 0..SCAN_TRIES {
        desk.forget_told();
        let request = ZDO_MGMT_NWK_UPDATE_REQ.request().with("dstaddrmode", 2u8).with("channelmask", mask);
        let request = request.with("scanduration", SCAN_DURATION).with("scancount", 1u8);
        match desk.order(request).await {
            Err(trouble @ Trouble::Silent(_)) => return Err(trouble),
            // Not every firmware can.
            Err(_) => break,
            Ok(_) => {}
        }
        let is_it = |message: &Message| {
            message.is(&ZDO_MGMT_NWK_UPDATE_NOTIFY) && message.u16("srcaddr") == 0 && message.status() == Some(0)
        };
        let Some(notify) = desk.hear(SCAN_PATIENCE, is_it).await else { continue };
        if let Some(channel) = quietest(notify.u32("scannedchannels"), notify.bytes("energyvalues")) {
            return Ok(channel);
        }
    }
    tracing::warn!(channel = %CHANNEL_BY_DEFAULT, "the stick could not measure the channels; the usual one is taken");
    Ok(CHANNEL_BY_DEFAULT)
}

/// Values come in the order of the channels that were scanned.
fn quietest(scanned: u32, energies: &[u8]) -> Option<Channel> {
    let scanned = (0..32).filter(|channel| scanned >> channel & 1 == 1).map(Channel);
    let ours = scanned.zip(energies).filter(|(channel, _)| CHANNELS.contains(channel));
    ours.min_by_key(|(_, energy)| **energy).map(|(channel, _)| channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_of_those_that_were_asked_for() {
        let mask = 1 << 11 | 1 << 15 | 1 << 20 | 1 << 25;
        assert_eq!(quietest(mask, &[90, 80, 20, 70]), Some(Channel(20)));
        assert_eq!(quietest(mask, &[5, 5, 5, 5]), Some(Channel(11)), "the first of equals");
        assert_eq!(quietest(mask | 1 << 12, &[90, 1, 80, 20, 70]), Some(Channel(20)), "12 was not asked for");
        assert_eq!(quietest(mask, &[90]), Some(Channel(11)), "a list that is cut short");
        assert_eq!(quietest(0, &[1, 2]), None);
    }
}
