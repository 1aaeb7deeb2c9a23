//! Brings the changes of the house to the sessions that listen: one task for all of them, which reads each changed record
//! once. Runs only while somebody listens; an idle session costs it nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::gateway::session::house::{self, House};
use crate::gateway::session::inbox::Inbox;
use crate::gateway::session::topics::{Family, Sight, Told, Topic};
use crate::home::{Heard, Keeper};
use crate::mcp::{Changed, Service, public};
use crate::store::{Change, Feed, Kind, Seen, Store};

/// Changes that are read from the store in one go.
const BATCH_MAX: usize = 256;

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Feeds(Arc<Shared>);

struct Shared {
    store: Store,
    tools: Service,
    /// Absent in a hub without devices, as some tests have it.
    home: Option<Keeper>,
    listeners: Mutex<Listeners>,
    /// The last listener has left.
    alone: Notify,
}

#[derive(Default)]
struct Listeners {
    inboxes: BTreeMap<u64, Arc<Inbox>>,
    next: u64,
    is_running: bool,
}

/// A session's inbox; dropping this takes it out.
pub struct Listener {
    feeds: Feeds,
    id: u64,
    pub inbox: Arc<Inbox>,
}

impl Feeds {
    pub fn new(store: Store, tools: Service, home: Option<Keeper>) -> Feeds {
        Feeds(Arc::new(Shared { store, tools, home, listeners: Mutex::default(), alone: Notify::new() }))
    }

    /// The devices of the house.
    pub fn home(&self) -> Option<&Keeper> {
        self.0.home.as_ref()
    }

    /// An inbox into which every change comes that is made from now on.
    pub fn listen(&self) -> Listener {
        let shared = &self.0;
        let mut listeners = shared.listeners();
        if !listeners.is_running {
            listeners.is_running = true;
            // Here and not in the task: whoever reads the store after this call misses nothing.
            let (feed, changes) = (shared.store.subscribe(), shared.tools.changes());
            let house = shared.home.clone().map(House::new);
            tokio::spawn(run(shared.clone(), feed, changes, house));
        }
        let (id, inbox) = (listeners.next, Arc::<Inbox>::default());
        listeners.next += 1;
        listeners.inboxes.insert(id, inbox.clone());
        Listener { feeds: self.clone(), id, inbox }
    }
}

impl Listener {
    /// The devices of the house.
    pub fn home(&self) -> Option<&Keeper> {
        self.feeds.0.home.as_ref()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.feeds.0.listeners();
        listeners.inboxes.remove(&self.id);
        if listeners.inboxes.is_empty() {
            self.feeds.0.alone.notify_one();
        }
    }
}

impl Shared {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        self.listeners().inboxes.values().cloned().collect()
    }

    /// Whether the task is to end: nobody listens.
    fn is_over(&self) -> bool {
        let mut listeners = self.listeners();
        listeners.is_running = !listeners.inboxes.is_empty();
        !listeners.is_running
    }

    /// Reads what changed, where it interests anybody, and brings it to those.
    async fn tell(&self, changes: Vec<Change>) {
        let inboxes = self.inboxes();
        let mut wanted: Vec<(Family, Change)> = Vec::new();
        for change in changes {
            let Some(family) = Family::of(change.kind) else { continue };
            if inboxes.iter().any(|inbox| inbox.wants(family, &change.key)) {
                wanted.push((family, change));
            }
        }
        if wanted.is_empty() {
            return;
        }
        let keys: Vec<(Kind, Box<str>)> = wanted.iter().map(|(_, change)| (change.kind, change.key.clone())).collect();
        let read = self.store.read(move |snapshot| {
            keys.iter().map(|(kind, key)| public::find(snapshot, *kind, key)).collect::<Result<Vec<_>, _>>()
        });
        match read.await {
            Ok(records) => {
                for ((family, change), record) in wanted.into_iter().zip(records) {
                    let mut told = as_it_is(family, change, record);
                    if let Some(home) = self.home.as_ref().filter(|_| Topic::Rooms.families().contains(&family)) {
                        told.sight = Sight::Thing(home.clone());
                    }
                    let told = Arc::new(told);
                    inboxes.iter().for_each(|inbox| inbox.push(&told));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "changes could not be read; whoever listens reads again");
                let families: Vec<_> = wanted.iter().map(|(family, _)| *family).collect();
                inboxes.iter().for_each(|inbox| inbox.miss(Some(&families)));
            }
        }
    }
}

/// A change together with its record, which may be newer: then it is told as that.
fn as_it_is(family: Family, change: Change, record: Option<serde_json::Value>) -> Told {
    let Change { key, revision, deleted, .. } = change;
    let newer = record.as_ref().and_then(|record| record.get("revision")?.as_u64());
    let has_records = !matches!(family, Family::Usage | Family::Catalog);
    let deleted = if has_records { record.is_none() } else { deleted };
    Told::new(family, &key, newer.unwrap_or(revision).max(revision), deleted, record)
}

async fn run(shared: Arc<Shared>, mut feed: Feed, mut changes: broadcast::Receiver<Changed>, mut house: Option<House>) {
    let mut store_is_open = true;
    loop {
        tokio::select! {
            seen = feed.recv(), if store_is_open => {
                let (mut batch, mut next) = (BTreeMap::new(), Some(seen));
                while let Some(seen) = next.take() {
                    match seen {
                        // The newest of each thing is all that anybody needs.
                        Seen::Change(change) => drop(batch.insert((change.kind, change.key.clone()), change)),
                        Seen::Lagged => {
                            batch.clear();
                            shared.inboxes().iter().for_each(|inbox| inbox.miss(None));
                        }
                        Seen::Closed => store_is_open = false,
                    }
                    if store_is_open && batch.len() < BATCH_MAX {
                        next = feed.recv().now_or_never();
                    }
                }
                let mut batch: Vec<_> = batch.into_values().collect();
                batch.sort_by_key(|change| change.revision);
                shared.tell(batch).await;
            }
            changed = changes.recv() => match changed {
                Ok(Changed::Tools) | Err(RecvError::Lagged(_)) => {
                    shared.inboxes().iter().for_each(|inbox| inbox.miss(Some(&[Family::Tool])));
                }
                Ok(_) => {}
                // The registry lives as long as we do.
                Err(RecvError::Closed) => return,
            },
            heard = house::next(&mut house) => match heard {
                Heard::Closed => house = None,
                Heard::Lagged => {
                    house.as_mut().into_iter().for_each(House::look_again);
                    let missed = [Family::Device, Family::Radio, Family::Pairing];
                    shared.inboxes().iter().for_each(|inbox| inbox.miss(Some(&missed)));
                }
                Heard::News(news) => {
                    let told = house.as_mut().and_then(|house| house.told(news));
                    if let Some(told) = told.map(Arc::new) {
                        shared.inboxes().iter().for_each(|inbox| inbox.push(&told));
                    }
                }
            },
            () = shared.alone.notified() => {}
        }
        if shared.is_over() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::{Arc, Changed, Feeds, Listener, Service, Store, Topic, broadcast, public};
    use crate::gateway::session::topics::Heard;
    use crate::store::Setting;

    const HANG: Duration = Duration::from_secs(10);

    async fn next(listener: &Listener) -> Heard {
        tokio::time::timeout(HANG, poll_fn(|cx| listener.inbox.poll(cx))).await.expect("news within reason")
    }

    fn house() -> (Feeds, Store, broadcast::Sender<Changed>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let (changed, _) = broadcast::channel(4);
        let tools = Service::new(Vec::new(), changed.clone());
        (Feeds::new(store.clone(), tools, None), store, changed, folder)
    }

    fn setting(value: u64) -> Setting {
        Setting { key: "a.b".into(), value: value.into(), revision: 0 }
    }

    #[tokio::test]
    async fn a_change_comes_to_all_who_listen_and_is_read_once() {
        let (feeds, store, changed, _folder) = house();
        let listeners = [feeds.listen(), feeds.listen(), feeds.listen()];
        for listener in &listeners[..2] {
            listener.inbox.listen_to([Topic::Settings, Topic::Tools].into());
        }
        let kept = store.put(setting(1), None).await.expect("kept");
        let mut heard = Vec::new();
        for listener in &listeners[..2] {
            let Heard::Changed(told) = next(listener).await else { panic!("a change") };
            assert_eq!((told.revision, &told.record), (kept.revision, &Some(public::of(&kept))));
            heard.push(told);
        }
        assert!(Arc::ptr_eq(&heard[0], &heard[1]), "one reading for both");
        changed.send(Changed::Tools).expect("somebody listens");
        assert_eq!(next(&listeners[0]).await, Heard::Missed(Topic::Tools));
        store.delete::<Setting>("a.b", None).await.expect("gone");
        let Heard::Changed(told) = next(&listeners[0]).await else { panic!("a change") };
        assert!(told.deleted && told.record.is_none());
    }

    #[tokio::test]
    async fn the_task_ends_with_the_last_listener_and_begins_again_with_the_next() {
        let (feeds, store, changed, _folder) = house();
        assert_eq!(changed.receiver_count(), 0, "nobody listens, and nothing runs");
        for round in 1..=2 {
            let listener = feeds.listen();
            listener.inbox.listen_to([Topic::Settings].into());
            assert_eq!(changed.receiver_count(), 1);
            store.put(setting(round), None).await.expect("kept");
            assert!(matches!(next(&listener).await, Heard::Changed(_)));
            drop(listener);
            let gone = async {
                while changed.receiver_count() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(HANG, gone).await.expect("the task ends");
        }
    }
}
