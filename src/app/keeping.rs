//! Keeps the store alive: snapshots of it while the hub runs, one before its layout is changed, and the newest good one in its place
//! where the file is damaged. Decides by the rules of `store::snapshots`; reads the clock for them.
#![expect(clippy::disallowed_methods, reason = "it reads the clock for the store, which has none")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::common::config::{self, Config};
use crate::common::time::{UnixMillis, whole_ms};
use crate::store::snapshots::{self, Reason, Rotation};
use crate::store::{OpenError, Store};

/// How often it is looked whether a snapshot is due.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

/// The first look: a hub that starts has other things to do, and one that ends soon has written nothing.
const LOOK_FIRST: Duration = Duration::from_secs(60);

/// Where the snapshots of this hub's store are.
pub fn folder(store: &config::Store) -> PathBuf {
    store.snapshots.folder.clone().unwrap_or_else(|| snapshots::folder_beside(&store.path))
}

fn rotation(settings: &config::Snapshots) -> Rotation {
    let config::Snapshots { newest, days, max_mb, .. } = *settings;
    Rotation { newest, days, bytes_max: max_mb.saturating_mul(1024 * 1024) }
}

/// Opens the store. A damaged file is moved aside, and the newest snapshot that is whole takes its place; where there is none, and
/// where the file is not damaged, the error is the file's. Waits for the disk.
pub fn open(settings: &config::Store) -> Result<Store, OpenError> {
    let folder = folder(settings);
    if !settings.snapshots.enabled {
        return Store::open(&settings.path);
    }
    match open_keeping(&settings.path, &folder) {
        Err(error) if error.is_damage() && bring_back(&settings.path, &folder, &error) => {
            open_keeping(&settings.path, &folder)
        }
        opened => opened,
    }
}

fn open_keeping(path: &Path, folder: &Path) -> Result<Store, OpenError> {
    let folder = folder.to_owned();
    Store::open_with(path, move |elder| match elder.take_snapshot(&folder, unix_now()) {
        Ok(kept) => {
            tracing::info!(path = %kept.path.display(), "the store is of an older layout; a snapshot of it is kept");
        }
        // The step is one transaction, and a hub that does not start keeps nobody warm.
        Err(error) => tracing::warn!(%error, "the store is brought up to this layout without a snapshot of before"),
    })
}

/// Whether a snapshot took the place of the damaged file.
fn bring_back(store: &Path, folder: &Path, damage: &OpenError) -> bool {
    tracing::error!(error = %damage, "the store does not open; looking for its newest snapshot");
    let (kept, contents) = match snapshots::newest_fit(store, folder) {
        Ok(found) => found,
        Err(unfit) if unfit.is_empty() => {
            tracing::error!(folder = %folder.display(), "there is no snapshot to put in its place");
            return false;
        }
        Err(unfit) => {
            for error in unfit {
                tracing::error!(%error, "this snapshot cannot be put in its place");
            }
            return false;
        }
    };
    if contents.unreadable > 0 {
        let first = contents.first_unreadable.join("; ");
        tracing::warn!(records = contents.unreadable, first, "some records of the snapshot cannot be read");
    }
    match snapshots::restore(&kept.path, store, folder, unix_now()) {
        Ok(restored) => {
            let aside = restored.aside.unwrap_or_default();
            tracing::error!(
                snapshot = %kept.path.display(),
                taken_at_ms = kept.at_ms,
                records = restored.contents.records,
                aside = %aside.display(),
                "the store was damaged: its newest snapshot is in its place, and what came after that is lost. The damaged file is \
                 kept. Look at the disk (`hearth doctor`)"
            );
            true
        }
        Err(error) => {
            tracing::error!(%error, "the snapshot could not be put in the store's place");
            false
        }
    }
}

/// Takes snapshots when they are due, until it is dropped.
pub async fn keep(store: Store, config: watch::Receiver<Arc<Config>>) {
    let started = Instant::now();
    sleep(LOOK_FIRST).await;
    loop {
        let settings = config.borrow().store.clone();
        if settings.snapshots.enabled {
            look(&store, &settings, whole_ms(started.elapsed())).await;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn look(store: &Store, settings: &config::Store, up_ms: u64) {
    let folder = folder(settings);
    let revision = match store.revision().await {
        Ok(revision) => revision,
        Err(error) => return tracing::warn!(%error, "whether a snapshot is due cannot be found out"),
    };
    let newest = snapshots::list(store.path(), &folder).pop();
    if !snapshots::due(newest.as_ref(), revision, unix_now(), up_ms) {
        return;
    }
    match store.take_snapshot(&folder, Reason::Timer, unix_now()).await {
        Ok(kept) => {
            let gone = snapshots::prune(store.path(), &folder, &rotation(&settings.snapshots));
            tracing::info!(path = %kept.path.display(), bytes = kept.bytes, deleted = gone.len(), "a snapshot was taken");
        }
        Err(error) => tracing::warn!(%error, "no snapshot was taken; the next try is in ten minutes"),
    }
}

fn unix_now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}
