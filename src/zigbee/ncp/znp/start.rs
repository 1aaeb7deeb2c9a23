//! From an open port to a network that is up: talk to the stick, see what it holds, and resume, restore, form or refuse. What the
//! stick holds is never given up for a new network.

use std::time::Duration;

use crate::zigbee::ncp::backup::Backup;
use crate::zigbee::ncp::znp::desk::{Desk, Trouble};
use crate::zigbee::ncp::znp::form::{self, CONFIGURED, NewNetwork, UNFINISHED};
use crate::zigbee::ncp::znp::line::{AskError, Patience};
use crate::zigbee::ncp::znp::mt::Message;
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::nv::{self, Family, item};
use crate::zigbee::ncp::znp::records::{Nib, key_descriptor};
use crate::zigbee::ncp::znp::snapshot;
use crate::zigbee::ncp::{NetworkInfo, Persisted, Transmit};
use crate::zigbee::types::{Channel, Ieee, Key, Nwk};

/// A stick that is awake answers a ping at once.
const PING_PATIENCE: Patience = Patience::new(250, 2);

/// How long a boot loader takes to hand over.
const BOOT_PATIENCE: Duration = Duration::from_millis(1_500);

/// Ends the wait of the boot loader of a CC2530 and CC2531 (`SB_FORCE_RUN`).
const LEAVE_BOOT_LOADER: u8 = 0xef;

/// How long a modem line is held for the chip to see it.
const LINE_HOLD: Duration = Duration::from_millis(150);

/// Messages under way at once that the families bear: the CC2531 has room for few.
const IN_FLIGHT_MAX_3X0: usize = 16;
const IN_FLIGHT_MAX_30X: usize = 2;

/// `APP_CNF`/`AF`: the endpoint is registered already.
const DUPLICATE_ENTRY: u8 = 0xb8;

/// `SYS_VERSION` of the newer family.
const PRODUCT_3X0: u8 = 1;

/// What the endpoint is asked for that Green Power's messages go to.
const GREEN_POWER_GROUP: u16 = 0x0b84;
const GREEN_POWER_ENDPOINT: u8 = 242;

/// An endpoint of the coordinator.
struct Endpoint {
    id: u8,
    profile: u16,
    device: u16,
    inputs: &'static [u16],
    outputs: &'static [u16],
}

/// A message to an endpoint that is not registered is lost: Home Automation, IAS (zone and warning devices look for them; alarm
/// panels and clocks ask for the time), Touchlink, OTA, Green Power.
const ENDPOINTS: [Endpoint; 5] = [
    Endpoint { id: 1, profile: 0x0104, device: 0x0005, inputs: &[], outputs: &[] },
    Endpoint { id: 11, profile: 0x0104, device: 0x0400, inputs: &[0x0501, 0x000a], outputs: &[0x0500, 0x0502] },
    Endpoint { id: 12, profile: 0xc05e, device: 0x0005, inputs: &[], outputs: &[] },
    Endpoint { id: 13, profile: 0x0104, device: 0x0005, inputs: &[0x0019], outputs: &[] },
    Endpoint { id: GREEN_POWER_ENDPOINT, profile: 0xa1e0, device: 0x0005, inputs: &[], outputs: &[] },
];

/// What the owner wants.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// For a network that is formed anew; the quietest where none is named.
    pub channel: Option<Channel>,
    /// The network that is known here goes onto this stick, whatever the stick holds.
    pub restore: bool,
}

/// By chance, for the case that a network has to be formed.
#[derive(Debug, Clone, Copy)]
pub struct Chance {
    pub network: NewNetwork,
    /// Of the network that exists only until the true one is written over it.
    pub provisional: NewNetwork,
}

/// A network that is up.
#[derive(Debug, Clone)]
pub struct Started {
    pub family: Family,
    pub info: NetworkInfo,
    pub persisted: Persisted,
}

pub async fn start(desk: Desk, config: Config, known: Option<Persisted>, chance: Chance) -> Result<Started, Trouble> {
    connect(&desk).await?;
    let (family, firmware) = identify(&desk).await?;
    let is_new = settle(&desk, family, &config, known.as_ref(), chance).await?;
    let mut held = running(&desk).await?;
    if check(known.as_ref(), &held).is_err() {
        // Once more, as above.
        desk.ask(SYS_PING.request()).await?;
        held = running(&desk).await?;
        check(known.as_ref(), &held)?;
    }
    let Held { network, coordinator, .. } = held;
    register_endpoints(&desk).await?;
    nice_to_have(&desk, join_green_power_group(&desk).await).await?;
    let all_of_zdo = ZDO_MSG_CB_REGISTER.request().with("clusterid", 0xffffu16);
    nice_to_have(&desk, desk.order(all_of_zdo).await.map(drop)).await?;
    let NewNetwork { pan_id, extended_pan_id, key, channel } = network;
    let in_flight_max = if family == Family::V3x0 { IN_FLIGHT_MAX_3X0 } else { IN_FLIGHT_MAX_30X };
    let info = NetworkInfo { channel, pan_id, extended_pan_id, coordinator, firmware, in_flight_max, is_new };
    let backup = known.and_then(|known| known.backup);
    let persisted = Persisted { coordinator, pan_id, extended_pan_id, channel, key, backup };
    Ok(Started { family, info, persisted })
}

/// Gets an answer out of the stick, by whatever wakes one of them.
async fn connect(desk: &Desk) -> Result<(), Trouble> {
    // Opening the port makes some sticks start anew.
    desk.expect_reset(true);
    let mut is_there = answers(desk).await?;
    if !is_there {
        desk.transmit(Transmit::Bytes(vec![LEAVE_BOOT_LOADER]));
        desk.hear(BOOT_PATIENCE, |message| message.is(&SYS_RESET_IND)).await;
        is_there = answers(desk).await?;
    }
    if !is_there {
        // On sticks that wire RTS to reset and DTR to the boot loader's pin: reset, and not into the boot loader.
        for rts in [false, true, false] {
            desk.transmit(Transmit::Lines { dtr: false, rts });
            desk.sleep(LINE_HOLD).await;
        }
        desk.hear(BOOT_PATIENCE, |message| message.is(&SYS_RESET_IND)).await;
        is_there = answers(desk).await? || answers(desk).await?;
    }
    desk.expect_reset(false);
    if is_there { Ok(()) } else { Err(Trouble::NoStick) }
}

async fn answers(desk: &Desk) -> Result<bool, Trouble> {
    match desk.try_ask(SYS_PING.request(), PING_PATIENCE).await {
        Ok(_) => Ok(true),
        Err(AskError::Silent | AskError::Rpc(_)) => Ok(false),
        Err(AskError::Gone | AskError::Full) => Err(Trouble::Silent("ping")),
    }
}

async fn identify(desk: &Desk) -> Result<(Family, Box<str>), Trouble> {
    let version = desk.ask(SYS_VERSION.request()).await?;
    let revision = version.u32("revision");
    if version.u8("product") == 0 {
        return Err(Trouble::owner(format!(
            "This stick has the firmware Z-Stack Home 1.2 ({revision}), which lacks the security of Zigbee 3. Please flash it with \
             Z-Stack 3.x.0 or 3.0.x."
        )));
    }
    // Only the newer family has these commands.
    let probe = SYS_NV_LENGTH.request().with("sysid", 1u8).with("itemid", 1u16);
    let family = match desk.try_ask(probe, Patience::of(&SYS_NV_LENGTH)).await {
        Ok(_) => Family::V3x0,
        Err(AskError::Rpc(_)) => Family::V30x,
        // Says nothing to what it does not know, as some do; then it is what it says it is.
        Err(AskError::Silent) if version.u8("product") == PRODUCT_3X0 => Family::V3x0,
        Err(AskError::Silent) => Family::V30x,
        Err(_) => return Err(Trouble::Silent("nvLength")),
    };
    let name = if family == Family::V3x0 { "3.x.0" } else { "3.0.x" };
    Ok((family, format!("Z-Stack {name} {revision}").into()))
}

/// Decides, and brings the network up. Whether it is a new one.
async fn settle(
    desk: &Desk,
    family: Family,
    config: &Config,
    known: Option<&Persisted>,
    chance: Chance,
) -> Result<bool, Trouble> {
    let seen = look(desk).await?;
    if let Some(held) = seen.held.filter(|held| held.is_coordinator && check(known, held).is_ok()) {
        resume(desk).await?;
        if !seen.is_configured {
            nv::write_surely(desk, item::HAS_CONFIGURED, &[CONFIGURED]).await?;
        }
        tracing::debug!(pan = held.network.pan_id, "the stick's network is resumed");
        return Ok(false);
    }
    // All else either loses something or wants a person. One answer that was taken for another must not be the reason.
    desk.ask(SYS_PING.request()).await?;
    if look(desk).await? != seen {
        return Err(Trouble::stick("the stick's memory read differently twice"));
    }
    match (seen.held, known) {
        (None, None) => form_new(desk, config, chance).await.map(|()| true),
        (None, Some(known)) => restore(desk, family, known, chance).await.map(|()| false),
        (Some(held), _) if !held.is_coordinator => Err(Trouble::owner(
            "This stick is part of a network as a router. Please flash it with coordinator firmware, or plug in another.",
        )),
        (Some(_), Some(known)) if config.restore => restore(desk, family, known, chance).await.map(|()| false),
        (Some(held), known) => check(known, &held).map(|()| false),
    }
}

/// What a stick has in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    held: Option<Held>,
    is_configured: bool,
}

/// A network, as its stick has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    network: NewNetwork,
    coordinator: Ieee,
    is_coordinator: bool,
}

async fn look(desk: &Desk) -> Result<Seen, Trouble> {
    let mark = nv::read(desk, item::HAS_CONFIGURED).await?.and_then(|bytes| bytes.first().copied());
    let nib = nv::read(desk, item::NIB).await?.map(|bytes| Nib::decode(&bytes)).transpose()?;
    let nib = nib.filter(|nib| nib.has_network() && mark != Some(UNFINISHED));
    let is_configured = mark == Some(CONFIGURED);
    let Some(nib) = nib else { return Ok(Seen { held: None, is_configured }) };
    let coordinator = form::address(desk).await?;
    let key = network_key(desk).await?;
    let (pan_id, extended_pan_id, channel) = (nib.pan_id(), nib.extended_pan_id(), nib.channel());
    let network = NewNetwork { pan_id, extended_pan_id, key, channel };
    let is_coordinator = nib.device_address() == Nwk::COORDINATOR;
    Ok(Seen { held: Some(Held { network, coordinator, is_coordinator }), is_configured })
}

async fn network_key(desk: &Desk) -> Result<Key, Trouble> {
    let bytes = nv::read(desk, item::ACTIVE_KEY).await?.unwrap_or_default();
    let key = key_descriptor(&bytes).map(|(_, key)| key);
    key.ok_or_else(|| Trouble::stick("the stick has a network and no key"))
}

/// The network on the stick is the one that is known. Its channel and its PAN may have changed: networks move out of the way of
/// others.
fn check(known: Option<&Persisted>, held: &Held) -> Result<(), Trouble> {
    let Some(known) = known else { return Ok(()) };
    let Held { network, coordinator, .. } = held;
    let what = if known.extended_pan_id != network.extended_pan_id {
        "another network"
    } else if known.key != network.key {
        "a network with another key"
    } else if known.coordinator != *coordinator {
        "another coordinator's address"
    } else {
        return Ok(());
    };
    Err(Trouble::owner(format!(
        "This stick ({coordinator}) holds {what} (PAN 0x{:04x}, channel {}) than the one whose devices are known here (PAN 0x{:04x}, \
         channel {}, stick {}). Nothing was changed on it. Plug in the old stick, or put the backup onto this one by \
         `zigbee.restore: true` in config.yaml: its own network is lost then.",
        network.pan_id, network.channel, known.pan_id, known.channel, known.coordinator
    )))
}

async fn resume(desk: &Desk) -> Result<(), Trouble> {
    if form::is_coordinator(desk).await? {
        return Ok(());
    }
    // The status says whether the network is restored (0) or new (1); what it truly is is looked at afterwards.
    form::bring_up(desk, ZDO_STARTUP_FROM_APP.request().with("startdelay", 100u16), &[1]).await
}

async fn form_new(desk: &Desk, config: &Config, chance: Chance) -> Result<(), Trouble> {
    let channel = match config.channel {
        Some(channel) => channel,
        None => {
            // A stick without a network measures nothing.
            form::form(desk, &chance.provisional).await?;
            form::quietest_channel(desk).await?
        }
    };
    let nib = form::form(desk, &NewNetwork { channel, ..chance.network }).await?;
    tracing::info!(channel = %nib.channel(), pan = format_args!("{:04x}", nib.pan_id()), "a Zigbee network was formed");
    if network_key(desk).await? != chance.network.key {
        tracing::warn!("the stick has taken a network key of its own, not the one that it was given");
    }
    nv::write_surely(desk, item::HAS_CONFIGURED, &[CONFIGURED]).await
}

async fn restore(desk: &Desk, family: Family, known: &Persisted, chance: Chance) -> Result<(), Trouble> {
    let Some(json) = &known.backup else {
        return Err(Trouble::owner(format!(
            "There is no backup of the network that is known here (PAN 0x{:04x}, channel {}), so it cannot be put on this stick. Plug in the \
             stick {} that has it.",
            known.pan_id, known.channel, known.coordinator
        )));
    };
    let json = serde_json::from_str(json).map_err(|error| Trouble::owner(format!("the backup is damaged: {error}")))?;
    let backup = Backup::from_json(&json).map_err(|error| Trouble::owner(error.to_string()))?;
    tracing::info!(devices = backup.devices.len(), "the network is restored onto this stick");
    form::form(desk, &chance.provisional).await?;
    snapshot::write(desk, family, &backup).await?;
    let Backup { pan_id, extended_pan_id, key, channel, .. } = backup;
    form::write_parameters(desk, &NewNetwork { pan_id, extended_pan_id, key, channel }, backup.channel_mask).await?;
    form::reset(desk).await?;
    resume(desk).await?;
    let read = snapshot::read(desk, family).await?;
    snapshot::verify(&backup, &read)?;
    nv::write_surely(desk, item::HAS_CONFIGURED, &[CONFIGURED]).await
}

/// What truly is on the air now.
async fn running(desk: &Desk) -> Result<Held, Trouble> {
    let coordinator = form::address(desk).await?;
    let info = desk.ask(ZDO_EXT_NWK_INFO.request()).await?;
    let network = NewNetwork {
        pan_id: info.u16("panid"),
        extended_pan_id: info.ieee("extendedpanid"),
        key: network_key(desk).await?,
        channel: Channel(info.u8("channel")),
    };
    if !(11..=26).contains(&network.channel.0) {
        return Err(Trouble::stick("the stick says that it is up, and is on no channel"));
    }
    Ok(Held { network, coordinator, is_coordinator: true })
}

/// A firmware that does not know a command that can be done without is no reason to have no network.
async fn nice_to_have(desk: &Desk, done: Result<(), Trouble>) -> Result<(), Trouble> {
    match done {
        Err(trouble @ (Trouble::Stick(_) | Trouble::Silent(_))) => {
            tracing::warn!(%trouble, "the stick does without");
            // Some say nothing to what they do not know; one that says nothing to this is gone.
            if matches!(trouble, Trouble::Silent(_)) {
                desk.ask(SYS_PING.request()).await?;
            }
            Ok(())
        }
        done => done,
    }
}

async fn register_endpoints(desk: &Desk) -> Result<(), Trouble> {
    desk.forget_told();
    desk.order(ZDO_ACTIVE_EP_REQ.request()).await?;
    let is_it = |message: &Message| message.is(&ZDO_ACTIVE_EP_RSP) && message.u16("nwkaddr") == Nwk::COORDINATOR.0;
    let told = desk.hear(Duration::from_secs(1), is_it).await;
    let active = told.as_ref().map_or(&[][..], |message| message.bytes("activeeplist"));
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !active.contains(&endpoint.id)) {
        let request = AF_REGISTER.request().with("endpoint", endpoint.id).with("appprofid", endpoint.profile);
        let request = request.with("appdeviceid", endpoint.device);
        let request = request.with("appinclusterlist", endpoint.inputs).with("appoutclusterlist", endpoint.outputs);
        desk.order_or(request, &[DUPLICATE_ENTRY]).await?;
    }
    Ok(())
}

async fn join_green_power_group(desk: &Desk) -> Result<(), Trouble> {
    let (endpoint, group) = (GREEN_POWER_ENDPOINT, GREEN_POWER_GROUP);
    let found = desk.ask(ZDO_EXT_FIND_GROUP.request().with("endpoint", endpoint).with("groupid", group)).await?;
    if found.status() != Some(0) {
        desk.order(ZDO_EXT_ADD_GROUP.request().with("endpoint", endpoint).with("groupid", group)).await?;
    }
    Ok(())
}
