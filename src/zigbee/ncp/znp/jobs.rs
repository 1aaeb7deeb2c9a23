//! Commands that take the stick more than one request, a script each, one at a time while messages go their way.

use crate::zigbee::ncp::znp::desk::{Desk, Trouble};
use crate::zigbee::ncp::znp::line::{AskError, Patience};
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::nv::Family;
use crate::zigbee::ncp::znp::zdo::{MODE_16_BIT, MODE_BROADCAST};
use crate::zigbee::ncp::znp::{form, snapshot};
use crate::zigbee::ncp::{Incoming, NcpCommand, Reply, backup};
use crate::zigbee::types::{Ieee, Nwk};

/// Hops that a search for a route may take (`AF_DEFAULT_RADIUS`).
const ROUTE_RADIUS: u8 = 30;

/// Bytes fetched at once of a message that does not fit into a frame.
const FETCH_LEN_MAX: u16 = 240;

/// Of an install code with its checksum (`bdbAddInstallCode`).
const INSTALL_CODE_WITH_CHECKSUM: u8 = 1;

/// What came of a job.
#[derive(Debug)]
pub enum Outcome {
    Reply(Reply),
    /// A backup, verified.
    Backup(Box<backup::Backup>),
    Message(Incoming),
}

/// Carries out a command that is no message.
pub async fn carry_out(desk: Desk, family: Family, command: NcpCommand) -> Result<Outcome, Trouble> {
    match command {
        NcpCommand::PermitJoin { seconds, via, .. } => permit_join(&desk, seconds, via).await?,
        NcpCommand::InstallCode { ieee, code, .. } => {
            let request = APP_CNF_BDB_ADD_INSTALL_CODE.request().with("installCodeFormat", INSTALL_CODE_WITH_CHECKSUM);
            desk.order(request.with("ieeeaddr", ieee).with("installCode", code)).await?;
        }
        NcpCommand::Forget { ieee, .. } => forget(&desk, ieee).await?,
        NcpCommand::DiscoverRoute { to, .. } => {
            desk.order(ZDO_EXT_ROUTE_DISC.request().with("dstAddr", to).with("radius", ROUTE_RADIUS)).await?;
        }
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
pub async fn back_up(desk: Desk, family: Family) -> Result<Outcome, Trouble> {
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

/// Gets a message that was too long to be told in one frame.
pub async fn fetch(desk: Desk, timestamp: u32, len: u16, message: Incoming) -> Result<Outcome, Trouble> {
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
