//! The stick's memory that outlives the power: items by number, and the tables of either family of Z-Stack 3. Knows how to read and
//! write them, not what they say (that is `records`).

use crate::zigbee::ncp::znp::desk::{Desk, Trouble};
use crate::zigbee::ncp::znp::mt::Message;
use crate::zigbee::ncp::znp::mt::commands::*;

/// Numbers of items (`ZComDef.h` of Z-Stack).
pub mod item {
    pub const EXTADDR: u16 = 0x0001;
    pub const STARTUP_OPTION: u16 = 0x0003;
    pub const NIB: u16 = 0x0021;
    pub const ADDRMGR: u16 = 0x0023;
    pub const EXTENDED_PAN_ID: u16 = 0x002d;
    pub const ACTIVE_KEY: u16 = 0x003a;
    pub const ALTERNATE_KEY: u16 = 0x003b;
    pub const APS_USE_EXT_PANID: u16 = 0x0047;
    pub const APS_LINK_KEY_TABLE: u16 = 0x004c;
    /// Nobody's but the hosts': 0x55 where a network was formed in full.
    pub const HAS_CONFIGURED: u16 = 0x0060;
    pub const PRECFGKEY: u16 = 0x0062;
    pub const PRECFGKEYS_ENABLE: u16 = 0x0063;
    pub const LEGACY_NWK_SEC_MATERIAL: u16 = 0x0075;
    pub const PANID: u16 = 0x0083;
    pub const CHANLIST: u16 = 0x0084;
    pub const LOGICAL_TYPE: u16 = 0x0087;
    pub const ZDO_DIRECT_CB: u16 = 0x008f;
    pub const TCLK_SEED: u16 = 0x0101;
    pub const LEGACY_TCLK: u16 = 0x0111;
    pub const LEGACY_APS_KEY_DATA: u16 = 0x0201;
}

/// Bytes written at once: what fits into a frame beside the fields, with room.
const CHUNK_LEN: usize = 240;

/// The longest item that is read, bytes. The greatest known, the address manager of a CC2538, has less than 3 kB.
const ITEM_LEN_MAX: usize = 8 * 1024;

/// The most entries of a table that are looked at. Big builds of the CC2652 have 300 addresses.
const TABLE_LEN_MAX: u16 = 1_024;

/// `osalNvItemInit`: made just now.
const NV_ITEM_MADE: u8 = 0x09;
/// `osalNvDelete` and its kin: there is no such item.
const NV_NO_ITEM: u8 = 0x0a;

/// System id of Z-Stack's own items in `SYS_NV_…`.
const SYSTEM_ZSTACK: u8 = 1;

/// A generation of Z-Stack 3, by how it keeps its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 3.x.0: CC13x2, CC26x2 and later.
    V3x0,
    /// 3.0.x: CC2530, CC2531, CC2538.
    V30x,
}

/// A table with a number for each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    /// Item id in `SYS_NV_…`, of the 3.x.0.
    extended: u16,
    /// The first item id and how many follow, of the 3.0.x.
    legacy: (u16, u16),
}

pub const SEC_MATERIAL: Table =
    Table { name: "frame counters", extended: 7, legacy: (item::LEGACY_NWK_SEC_MATERIAL, 12) };
pub const TCLK: Table = Table { name: "trust centre link keys", extended: 4, legacy: (item::LEGACY_TCLK, 239) };
pub const APS_KEY_DATA: Table = Table { name: "link keys", extended: 6, legacy: (item::LEGACY_APS_KEY_DATA, 255) };
/// Of the 3.x.0 only; the 3.0.x has it in one item, [`item::ADDRMGR`].
pub const ADDRESSES: Table = Table { name: "addresses", extended: 1, legacy: (item::ADDRMGR, 1) };

/// An item's bytes; `None` where there is no such item.
pub async fn read(desk: &Desk, id: u16) -> Result<Option<Vec<u8>>, Trouble> {
    let len = usize::from(desk.ask(SYS_OSAL_NV_LENGTH.request().with("id", id)).await?.u16("length"));
    if len == 0 {
        return Ok(None);
    }
    if len > ITEM_LEN_MAX {
        return Err(Trouble::stick(format!("the stick claims {len} bytes in its item 0x{id:04x}")));
    }
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let request = SYS_OSAL_NV_READ_EXT.request().with("id", id).with("offset", bytes.len() as u16);
        let answer = desk.order(request).await?;
        let piece = answer.bytes("value");
        if piece.is_empty() {
            return Err(Trouble::stick(format!("the stick has only {} bytes in its item 0x{id:04x}", bytes.len())));
        }
        bytes.extend(piece);
    }
    bytes.truncate(len);
    Ok(Some(bytes))
}

/// Writes an item, and makes it where there is none. What the stack itself writes as well (the network), or does not show (keys of
/// some firmwares), cannot be read again to be sure; what it comes to is looked at when the network is up.
pub async fn write(desk: &Desk, id: u16, bytes: &[u8]) -> Result<(), Trouble> {
    let len = usize::from(desk.ask(SYS_OSAL_NV_LENGTH.request().with("id", id)).await?.u16("length"));
    if len == 0 {
        let first = &bytes[..bytes.len().min(CHUNK_LEN)];
        let request = SYS_OSAL_NV_ITEM_INIT.request().with("id", id).with("len", bytes.len() as u16);
        desk.order_or(request.with("initvalue", first), &[NV_ITEM_MADE]).await?;
    }
    for (at, piece) in bytes.chunks(CHUNK_LEN).enumerate() {
        let offset = (at * CHUNK_LEN) as u16;
        let request = SYS_OSAL_NV_WRITE_EXT.request().with("id", id).with("offset", offset).with("value", piece);
        desk.order(request).await?;
    }
    Ok(())
}

/// Writes an item and reads it again.
pub async fn write_surely(desk: &Desk, id: u16, bytes: &[u8]) -> Result<(), Trouble> {
    write(desk, id, bytes).await?;
    if read(desk, id).await?.is_some_and(|read| read.starts_with(bytes)) {
        return Ok(());
    }
    Err(Trouble::stick(format!("the stick did not keep what was written into its item 0x{id:04x}")))
}

/// Writes an item where it differs: flash wears. One that cannot be read, as keys of some firmwares, is written.
pub async fn update(desk: &Desk, id: u16, bytes: &[u8]) -> Result<(), Trouble> {
    match read(desk, id).await {
        Ok(Some(read)) if read == bytes => Ok(()),
        Ok(_) | Err(Trouble::Stick(_)) => write(desk, id, bytes).await,
        Err(trouble) => Err(trouble),
    }
}

pub async fn delete(desk: &Desk, id: u16) -> Result<(), Trouble> {
    let len = desk.ask(SYS_OSAL_NV_LENGTH.request().with("id", id)).await?.u16("length");
    if len > 0 {
        let request = SYS_OSAL_NV_DELETE.request().with("id", id).with("len", len);
        desk.order_or(request, &[NV_ITEM_MADE, NV_NO_ITEM]).await?;
    }
    Ok(())
}

/// All entries of a table, used or not.
pub async fn read_table(desk: &Desk, family: Family, table: Table) -> Result<Vec<Vec<u8>>, Trouble> {
    let mut entries = Vec::new();
    let len_max = if family == Family::V30x { table.legacy.1 } else { TABLE_LEN_MAX };
    for at in 0..len_max {
        let entry = match family {
            Family::V30x => read(desk, table.legacy.0 + at).await?,
            Family::V3x0 => read_entry(desk, table.extended, at).await?,
        };
        let Some(entry) = entry else { break };
        entries.push(entry);
    }
    Ok(entries)
}

/// Writes those entries of a table that differ from `old`, and reads each again.
pub async fn write_table(
    desk: &Desk,
    family: Family,
    table: Table,
    old: &[Vec<u8>],
    new: &[Vec<u8>],
) -> Result<(), Trouble> {
    for (at, entry) in new.iter().enumerate().filter(|(at, entry)| old.get(*at) != Some(*entry)) {
        match family {
            Family::V30x => write_surely(desk, table.legacy.0 + at as u16, entry).await?,
            Family::V3x0 => {
                let request = SYS_NV_WRITE.request().with("sysid", SYSTEM_ZSTACK).with("itemid", table.extended);
                desk.order(request.with("subid", at as u16).with("value", entry)).await?;
                if read_entry(desk, table.extended, at as u16).await?.as_ref() != Some(entry) {
                    return Err(Trouble::stick(format!("the stick did not keep entry {at} of its {}", table.name)));
                }
            }
        }
    }
    Ok(())
}

async fn read_entry(desk: &Desk, id: u16, at: u16) -> Result<Option<Vec<u8>>, Trouble> {
    let named = |message: Message| message.with("sysid", SYSTEM_ZSTACK).with("itemid", id).with("subid", at);
    let len = desk.ask(named(SYS_NV_LENGTH.request())).await?.u8("len");
    if len == 0 {
        return Ok(None);
    }
    let answer = desk.order(named(SYS_NV_READ.request()).with("len", len)).await?;
    Ok(Some(answer.bytes("value").to_vec()))
}
