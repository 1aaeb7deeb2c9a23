//! Commands that take the stick more than one request, a script each, one at a time while messages go their way.

use std::time::Instant;

use crate::zigbee::ncp::znp::children::Child;
use crate::zigbee::ncp::znp::desk::{Desk, Script, Trouble};
use crate::zigbee::ncp::znp::line::{AskError, Patience};
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::nv::Family;
use crate::zigbee::ncp::znp::zdo::{MODE_16_BIT, MODE_BROADCAST};
use crate::zigbee::ncp::znp::{form, snapshot};
use crate::zigbee::ncp::{Incoming, NcpCommand, Reply, Tag, backup};
use crate::zigbee::types::{Ieee, Nwk};

/// Hops that a search for a route may take (`AF_DEFAULT_RADIUS`).
const ROUTE_RADIUS: u8 = 30;

/// Bytes fetched at once of a message that does not fit into a frame.
const FETCH_LEN_MAX: u16 = 240;

/// Of an install code with its checksum (`bdbAddInstallCode`).
const INSTALL_CODE_WITH_CHECKSUM: u8 = 1;

/// Who waits for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Tag(Tag),
    /// Nobody but the host itself.
    Own,
}

pub enum Job {
    Command(NcpCommand),
    /// A search for a route to one that is the stick's child by its table only.
    LetGo(Nwk),
    TakeBack {
        nwk: Nwk,
        child: Child,
    },
    Backup,
    /// Whether the frame counter has run so far from the backup's that there has to be another.
    Counter {
        network: Ieee,
        backed_up: u32,
    },
    Fetch {
        timestamp: u32,
        len: u16,
        message: Incoming,
    },
}

impl Job {
    pub fn begin(self, now: Instant, family: Family) -> Script<Result<Outcome, Trouble>> {
        match self {
            Job::Command(command) => Script::new(now, |desk| carry_out(desk, family, command)),
            Job::LetGo(nwk) => Script::new(now, |desk| let_go(desk, nwk)),
            Job::TakeBack { nwk, child } => Script::new(now, |desk| take_back(desk, nwk, child)),
            Job::Backup => Script::new(now, |desk| back_up(desk, family)),
            Job::Counter { network, backed_up } => Script::new(now, |desk| counter(desk, family, network, backed_up)),
            Job::Fetch { timestamp, len, message } => Script::new(now, |desk| fetch(desk, timestamp, len, message)),
        }
    }
}

/// What came of a job.
#[derive(Debug)]
pub enum Outcome {
    Reply(Reply),
    /// A backup, verified.
    Backup(Box<backup::Backup>),
    Message(Incoming),
    /// A route was looked for, for which a child was let go.
    LetGo(Nwk, Child),
}

/// Carries out a command that is no message.
async fn carry_out(desk: Desk, family: Family, command: NcpCommand) -> Result<Outcome, Trouble> {
    match command {
        NcpCommand::PermitJoin { seconds, via, .. } => permit_join(&desk, seconds, via).await?,
        NcpCommand::InstallCode { ieee, code, .. } => {
            let request = APP_CNF_BDB_ADD_INSTALL_CODE.request().with("installCodeFormat", INSTALL_CODE_WITH_CHECKSUM);
            desk.order(request.with("ieeeaddr", ieee).with("installCode", code)).await?;
        }
        NcpCommand::Forget { ieee, .. } => forget(&desk, ieee).await?,
        NcpCommand::DiscoverRoute { to, .. } => discover_route(&desk, to).await?,
        NcpCommand::Backup { .. } => return back_up(desk, family).await,
        // Answered with the power that was set, not with a status.
        NcpCommand::TransmitPower { dbm, .. } => {
            desk.ask(SYS_SET_TX_POWER.request().with("level", dbm)).await?;
        }
        NcpCommand::Send { .. } | NcpCommand::Zdo { .. } => return Err(Trouble::stick("that is no job")),
    }
    Ok(Outcome::Reply(Reply::Nothing))
}

async fn permit_join(desk: &Desk, seconds: u8, via: Option<Nwk>) -> Result<(), Trouble> {
    let (mode, to) = via.map_or((MODE_BROADCAST, Nwk::ROUTERS), |via| (MODE_16_BIT, via));
    let request = ZDO_MGMT_PERMIT_JOIN_REQ.request().with("addrmode", mode).with("dstaddr", to);
    desk.order(request.with("duration", seconds).with("tcsignificance", 0u8)).await?;
    Ok(())
}

async fn discover_route(desk: &Desk, to: Nwk) -> Result<(), Trouble> {
    desk.order(ZDO_EXT_ROUTE_DISC.request().with("dstAddr", to).with("radius", ROUTE_RADIUS)).await?;
    Ok(())
}

/// `nodeRelation` of the children of a stick.
const CHILDREN: std::ops::RangeInclusive<u8> = 1..=4;

/// Takes a device out of the stick's table of children, if it is there, so that it looks for a route to it, and has it look.
async fn let_go(desk: Desk, nwk: Nwk) -> Result<Outcome, Trouble> {
    let child = match child(&desk, nwk).await {
        Ok(child) => child,
        Err(Trouble::Silent(what)) => return Err(Trouble::Silent(what)),
        // Not every firmware can tell, or let go.
        Err(_) => None,
    };
    let looked = discover_route(&desk, nwk).await;
    // One that was let go is taken back when it is not reached, whatever came of the search.
    match child {
        Some(child) => Ok(Outcome::LetGo(nwk, child)),
        None => looked.map(|()| Outcome::Reply(Reply::Nothing)),
    }
}

async fn child(desk: &Desk, nwk: Nwk) -> Result<Option<Child>, Trouble> {
    let ieee = desk.ask(UTIL_ADDRMGR_NWK_ADDR_LOOKUP.request().with("nwkaddr", nwk)).await?.ieee("extaddr");
    let request = UTIL_ASSOC_GET_WITH_ADDRESS.request().with("extaddr", ieee).with("nwkaddr", nwk);
    let entry = desk.ask(request).await?;
    let relation = entry.u8("noderelation");
    if entry.u16("nwkaddr") != nwk.0 || !CHILDREN.contains(&relation) {
        return Ok(None);
    }
    desk.order(UTIL_ASSOC_REMOVE.request().with("ieeeadr", ieee)).await?;
    Ok(Some(Child { ieee, relation }))
}

/// It was the stick's child after all, and only asleep.
async fn take_back(desk: Desk, nwk: Nwk, child: Child) -> Result<Outcome, Trouble> {
    let request = UTIL_ASSOC_ADD.request().with("ieeeadr", child.ieee).with("nwkaddr", nwk);
    desk.order(request.with("noderelation", child.relation)).await?;
    Ok(Outcome::Reply(Reply::Nothing))
}

/// Not every firmware has all of these, and not every table has the device.
async fn forget(desk: &Desk, ieee: Ieee) -> Result<(), Trouble> {
    for request in [
        UTIL_ASSOC_REMOVE.request().with("ieeeadr", ieee),
        ZDO_SEC_DEVICE_REMOVE.request().with("extaddr", ieee),
        ZDO_REMOVE_LINK_KEY.request().with("ieeeaddr", ieee),
    ] {
        let command = request.command;
        match desk.try_ask(request, Patience::of(command)).await {
            Ok(_) | Err(AskError::Rpc(_)) => {}
            Err(AskError::Silent) => return Err(Trouble::Silent(command.name)),
            Err(AskError::Gone | AskError::Full) => return Err(Trouble::stick("the stick is gone")),
        }
    }
    Ok(())
}

/// Reads the network, and makes sure that it is one that can be brought back: by its own text, and by what the stick says is on the
/// air.
async fn back_up(desk: Desk, family: Family) -> Result<Outcome, Trouble> {
    let read = snapshot::read(&desk, family).await?;
    if backup::Backup::from_json(&read.to_json()).as_ref() != Ok(&read) {
        return Err(Trouble::stick("the backup cannot be read again"));
    }
    let info = desk.ask(ZDO_EXT_NWK_INFO.request()).await?;
    let on_air = (info.u16("panid"), info.ieee("extendedpanid"), info.u8("channel"));
    if on_air != (read.pan_id, read.extended_pan_id, read.channel.0) || !form::is_coordinator(&desk).await? {
        return Err(Trouble::stick("the stick's memory has another network than the one that is on the air"));
    }
    Ok(Outcome::Backup(Box::new(read)))
}

/// Backs up when the counter has come half the way of what a restore sets it ahead.
async fn counter(desk: Desk, family: Family, network: Ieee, backed_up: u32) -> Result<Outcome, Trouble> {
    let counter = snapshot::frame_counter(&desk, family, network).await?;
    if counter.saturating_sub(backed_up) < snapshot::COUNTER_AHEAD / 2 {
        return Ok(Outcome::Reply(Reply::Nothing));
    }
    back_up(desk, family).await
}

/// Gets a message that was too long to be told in one frame.
async fn fetch(desk: Desk, timestamp: u32, len: u16, message: Incoming) -> Result<Outcome, Trouble> {
    let request = |index: u16, length: u16| {
        AF_DATA_RETRIEVE.request().with("timestamp", timestamp).with("index", index).with("length", length as u8)
    };
    let mut payload = Vec::with_capacity(usize::from(len));
    while payload.len() < usize::from(len) {
        let wanted = (len - payload.len() as u16).min(FETCH_LEN_MAX);
        let answer = desk.order(request(payload.len() as u16, wanted)).await?;
        let piece = answer.bytes("data");
        if piece.len() != usize::from(wanted) {
            return Err(Trouble::stick("the stick has lost a part of a long message"));
        }
        payload.extend(piece);
    }
    // Nothing more: the stick may forget it.
    desk.order(request(0, 0)).await?;
    Ok(Outcome::Message(Incoming { payload, ..message }))
}
