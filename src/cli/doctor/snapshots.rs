//! How old the newest snapshot of the store is and whether it could take the store's place; and what lies aside because it would not open.

use std::fs;

use super::{Finding, Health, finding};
use crate::app::keeping;
use crate::common::config;
use crate::common::time::UnixMillis;
use crate::store::snapshots::{self, Kept};

/// A store that is written to has a newer one than this.
const OLD_MS: u64 = 3 * 24 * 3_600_000;

pub fn examine(settings: &config::Store, now_ms: UnixMillis, findings: &mut Vec<Finding>) {
    findings.extend(aside(settings));
    if !settings.path.exists() {
        return;
    }
    let folder = keeping::folder(settings);
    findings.push(if !settings.snapshots.enabled {
        finding("snapshots", Health::Warn, "off (store.snapshots.enabled): a damaged store cannot be replaced")
    } else if let Some(error) = fs::read_dir(&folder).err().filter(|_| folder.exists()) {
        finding("snapshots", Health::Warn, format!("{} cannot be looked at: {error}", folder.display()))
    } else {
        newest(snapshots::list(&settings.path, &folder).as_slice(), now_ms)
    });
}

fn newest(kept: &[Kept], now_ms: UnixMillis) -> Finding {
    let Some(newest) = kept.last() else {
        return finding("snapshots", Health::Ok, "none yet: the first is taken a minute after a start");
    };
    let age_ms = now_ms.saturating_sub(newest.at_ms);
    let told = format!("{} kept, the newest is {} old", kept.len(), age(age_ms));
    match snapshots::verify(&newest.path) {
        Err(error) => finding("snapshots", Health::Warn, format!("{told} and could not be used: {error}")),
        Ok(contents) if contents.unreadable > 0 => {
            let first = contents.first_unreadable.first().map_or("", String::as_str);
            let text = format!("{told}; {} records in it cannot be read, the first: {first}", contents.unreadable);
            finding("snapshots", Health::Warn, text)
        }
        Ok(_) if age_ms > OLD_MS => {
            finding("snapshots", Health::Warn, format!("{told}: if the hub has been running, its log says why"))
        }
        Ok(contents) => finding("snapshots", Health::Ok, format!("{told} and whole ({} records)", contents.records)),
    }
}

fn age(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

/// Files that were damaged and replaced: somebody should know.
fn aside(settings: &config::Store) -> Option<Finding> {
    let asides = snapshots::asides(&settings.path);
    let newest = asides.last()?.display();
    let text = format!(
        "it was damaged and replaced by a snapshot ({} times; the last damaged file is {newest}): what was written after that snapshot is \
         lost. Look at the disk, and delete the file when you do not need it",
        asides.len()
    );
    Some(finding("store", Health::Warn, text))
}
