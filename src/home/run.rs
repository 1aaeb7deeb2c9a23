//! Drives the house: reads the clock, listens to the sources, hands on commands, writes now and then. Decides nothing.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the house")]

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::house::{Home, Source};
use super::lanes::Ticket;
use super::news::NEWS_LEN;
use super::plan::{Part, Plan, Planned};
use super::shared::{Shared, now_ms};
use super::source::{DeviceId, DeviceSource, SetDone, SourceEvent};
use super::wish::SetResult;
use super::{saving, values};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::whole_ms;
use crate::store::{DeviceRecord, Feed, Group, Kind, ReadError, Record, Room, Scene, Seen, Store};

/// Events of one source that may wait for the house. A burst of a thousand reports is taken in some milliseconds.
const EVENTS_LEN: usize = 256;

/// The longest time for a command once it is sent. Sources have deadlines of their own, half a minute for a device that
/// sleeps; this is for one that has lost its way.
pub(super) const SET_WAIT: Duration = Duration::from_secs(75);

/// The longest wait for earlier commands to the same device.
const LANE_WAIT: Duration = Duration::from_secs(90);

/// The longest time for what goes through a whole network: a map, a backup, an interview that begins.
pub(super) const NETWORK_WAIT: Duration = Duration::from_secs(180);

/// The longest time for new firmware: a few hundred KiB in pieces of 50 bytes, to a device that takes its time.
pub(super) const FIRMWARE_WAIT: Duration = Duration::from_secs(4 * 3600);

/// The longest time for a group to be made in all of its devices.
const REGROUP_WAIT: Duration = Duration::from_secs(300);

/// After a change groups are looked at when it has been quiet for so long: an owner moves several lamps to a room.
const REGROUP_QUIET: Duration = Duration::from_secs(2);

/// How often what devices told is written: a crash loses this much of it, and a memory card bears it for years. With thirty devices a save
/// is some 40 kB, most of it pages of the store around what is new.
pub(super) const SAVE_EVERY: Duration = Duration::from_secs(180);

/// A new name is written soon.
const RECORDS_QUIET: Duration = Duration::from_millis(200);

/// How long the end waits for the tasks.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// How long the end waits for a source to put away what it holds: less than for the tasks.
const SOURCE_CLOSE_WAIT: Duration = Duration::from_secs(3);

/// Reads the house from the store and starts everything.
pub(super) async fn start(store: Store, sources: Vec<Arc<dyn DeviceSource>>) -> Result<Arc<Shared>, ReadError> {
    // First the feed, so that nothing falls in between.
    let feed = store.subscribe();
    let mut home = Home::new(sources.iter().map(|source| source.backend()));
    reload(&mut home, &store).await?;
    for remembered in saving::memories(&store).await? {
        home.remember(remembered);
    }
    home.news.clear();
    let shared = Arc::new(Shared {
        home: Mutex::new(home),
        groups: Mutex::default(),
        waiting: Mutex::default(),
        sources,
        store,
        news: broadcast::channel(NEWS_LEN).0,
        edits: tokio::sync::Mutex::default(),
        records: Notify::new(),
        crowded: Notify::new(),
        moved: Notify::new(),
        started: Instant::now(),
        closing: watch::channel(false).0,
        tasks: tokio::sync::Mutex::default(),
    });
    let mut tasks = shared.tasks.lock().await;
    for (at, source) in shared.sources.iter().enumerate() {
        let (events, told) = mpsc::channel(EVENTS_LEN);
        tasks.spawn(until_put_away(Arc::clone(&shared), Arc::clone(source).run(events)));
        tasks.spawn(until_closed(Arc::clone(&shared), hear(Arc::clone(&shared), at, told)));
    }
    tasks.spawn(until_closed(Arc::clone(&shared), follow(Arc::clone(&shared), feed)));
    tasks.spawn(until_closed(Arc::clone(&shared), write_records(Arc::clone(&shared))));
    tasks.spawn(until_closed(Arc::clone(&shared), save(Arc::clone(&shared))));
    tasks.spawn(until_closed(Arc::clone(&shared), regroup(Arc::clone(&shared))));
    drop(tasks);
    shared.records.notify_one();
    Ok(shared)
}

/// Ends the tasks and writes the rest.
pub(super) async fn close(shared: &Arc<Shared>) {
    shared.closing.send_replace(true);
    let mut tasks = shared.tasks.lock().await;
    let ending = async { while tasks.join_next().await.is_some() {} };
    if timeout(CLOSE_WAIT, ending).await.is_err() {
        tasks.shutdown().await;
    }
    saving::records(shared).await;
    saving::rest(shared, now_ms()).await;
}

async fn until_closed(shared: Arc<Shared>, work: impl Future<Output = ()>) {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        biased;
        // An error cannot be: `shared` holds the sender.
        _ = closing.wait_for(|closing| *closing) => {}
        () = work => {}
    }
}

/// A source learns of the end when nobody hears it any more, and has some time for its last words to the disk.
async fn until_put_away(shared: Arc<Shared>, work: impl Future<Output = ()>) {
    let mut closing = shared.closing.subscribe();
    tokio::pin!(work);
    tokio::select! {
        biased;
        // An error cannot be: `shared` holds the sender.
        _ = closing.wait_for(|closing| *closing) => {}
        () = &mut work => return,
    }
    if timeout(SOURCE_CLOSE_WAIT, work).await.is_err() {
        tracing::warn!("a source of devices was stopped before it had put everything away");
    }
}

/// What one source tells.
async fn hear(shared: Arc<Shared>, source: usize, mut told: mpsc::Receiver<SourceEvent>) {
    let mut events = Vec::new();
    while told.recv_many(&mut events, EVENTS_LEN).await > 0 {
        shared.with_now(|home, now_ms| {
            for event in events.drain(..) {
                home.handle(source, event, now_ms);
            }
        });
        // Others get a turn in a storm of reports.
        tokio::task::yield_now().await;
    }
    tracing::warn!(backend = ?shared.sources[source].backend(), "a source of devices has ended");
}

/// What is written of the house by others: a restored backup, another tool.
async fn follow(shared: Arc<Shared>, mut feed: Feed) {
    loop {
        let done = match feed.recv().await {
            Seen::Closed => return,
            Seen::Change(change) => match change.kind {
                Kind::Device => apply::<DeviceRecord>(&shared, &change.key, Home::read_record).await,
                Kind::Room => apply::<Room>(&shared, &change.key, Home::apply_room).await,
                Kind::Group => apply::<Group>(&shared, &change.key, Home::apply_group).await,
                Kind::Scene => apply::<Scene>(&shared, &change.key, Home::apply_scene).await,
                _ => Ok(()),
            },
            Seen::Lagged => read_again(&shared).await,
        };
        if let Err(error) = done {
            tracing::error!(%error, "what the owner says of the house could not be read");
        }
    }
}

async fn apply<R: Record>(shared: &Shared, key: &str, apply: fn(&mut Home, &str, Option<R>)) -> Result<(), ReadError> {
    // Whoever is changing something applies it himself; after that it is read as it now is.
    let _turn = shared.edits.lock().await;
    let record = shared.store.get::<R>(key).await?;
    shared.with(|home| apply(home, key, record));
    Ok(())
}

async fn read_again(shared: &Shared) -> Result<(), ReadError> {
    let _turn = shared.edits.lock().await;
    let mut fresh = Home::new([]);
    reload(&mut fresh, &shared.store).await?;
    shared.with(|home| home.take_over(fresh));
    Ok(())
}

/// All that the owner says.
async fn reload(home: &mut Home, store: &Store) -> Result<(), ReadError> {
    for room in store.list::<Room>().await? {
        home.apply_room(&room.id.clone(), Some(room));
    }
    for group in store.list::<Group>().await? {
        home.apply_group(&group.id.clone(), Some(group));
    }
    for scene in store.list::<Scene>().await? {
        home.apply_scene(&scene.id.clone(), Some(scene));
    }
    for record in store.list::<DeviceRecord>().await? {
        home.apply_record(&record.id.clone(), Some(record));
    }
    Ok(())
}

/// Writes the names that the house gave.
async fn write_records(shared: Arc<Shared>) {
    loop {
        shared.records.notified().await;
        tokio::time::sleep(RECORDS_QUIET).await;
        if !saving::records(&shared).await {
            // The disk failed; it is tried again like the rest.
            tokio::time::sleep(SAVE_EVERY).await;
            shared.records.notify_one();
        }
    }
}

/// Writes states and history now and then, sooner where very much waits.
async fn save(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SAVE_EVERY) => {}
            () = shared.crowded.notified() => {}
        }
        saving::rest(&shared, now_ms()).await;
    }
}

/// Brings the groups of the radio in line with the house's.
async fn regroup(shared: Arc<Shared>) {
    loop {
        let now = shared.started.elapsed();
        let next = shared.with_groups(|home, groups| {
            for id in home.take_strangers() {
                groups.doubt(&id);
            }
            groups.next(home, now)
        });
        let Some((source, wish)) = next else {
            let again = shared.with_groups(|_, groups| groups.timeout(now));
            let wait = again.map_or(Duration::MAX, |at| at.saturating_sub(now).max(REGROUP_QUIET));
            tokio::select! {
                () = shared.moved.notified() => tokio::time::sleep(REGROUP_QUIET).await,
                () = tokio::time::sleep(wait.min(Duration::from_secs(3_600))) => {}
            }
            continue;
        };
        let done = timeout(REGROUP_WAIT, shared.sources[source].regroup(wish.clone())).await;
        let now = shared.started.elapsed();
        shared.with_groups(|home, groups| match done {
            // One that was reset meanwhile is not in it.
            Ok(Ok(())) if !home.has_strangers() => groups.confirm(source, wish),
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.code == ErrorCode::Unsupported => groups.refuse(source, wish.group, true, now),
            Ok(Err(error)) => {
                tracing::info!(group = wish.group, error = error.message, "a group of the radio could not be made");
                groups.refuse(source, wish.group, false, now);
            }
            Err(_) => groups.refuse(source, wish.group, false, now),
        });
    }
}

/// Waits for a source, but not for ever.
pub(super) async fn in_time<T>(
    asked: impl Future<Output = Result<T, ErrorBody>>,
    longest: Duration,
) -> Result<T, ErrorBody> {
    timeout(longest, asked).await.unwrap_or_else(|_| Err(late(longest)))
}

fn late(longest: Duration) -> ErrorBody {
    let message = format!("There was no answer within {} s. It is not known whether it was done.", longest.as_secs());
    ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, message) }
}

/// Does what was planned: each part in its turn, all beside each other, to the end whoever still waits. `each` hears of every
/// device that was told something as it ends, with how many have and how many are meant.
pub(super) async fn carry_out(
    shared: &Arc<Shared>,
    plan: Plan,
    mut each: impl FnMut(&SetResult, usize, usize),
) -> Result<Vec<SetResult>, ErrorBody> {
    let asked = Instant::now();
    let Plan { devices, parts, absent } = plan;
    let mut results: Vec<Option<SetResult>> = devices.iter().map(refused).collect();
    let ids =
        |part: &Part| -> Vec<DeviceId> { part.members.iter().map(|place| devices[*place].device.id.clone()).collect() };
    // All places at once, so that of two wishes for the same devices one comes first everywhere.
    let tickets: Vec<Ticket> = shared.with(|home| {
        let all: Vec<_> = parts.iter().map(&ids).collect();
        if let Some(full) = home.lanes.full(all.iter().flatten()) {
            let name = home.device(full).map(|device| device.name.clone()).unwrap_or_default();
            let busy = format!("\"{name}\" does not keep up with its commands. Try again in a moment.");
            return Err(ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, busy) });
        }
        Ok(all.iter().map(|ids| home.lanes.enter(ids)).collect())
    })?;
    let begin = |(part, ticket): (Part, Ticket)| {
        let (ids, members) = (ids(&part), part.members.clone());
        let place = Place { shared: Arc::clone(shared), ticket };
        let task = tokio::spawn(command(place, ids, part));
        // A task ends otherwise only with the runtime.
        async move { (members, task.await.unwrap_or_default()) }
    };
    let mut running: FuturesUnordered<_> = parts.into_iter().zip(tickets).map(begin).collect();
    let mut ended = results.iter().flatten().count();
    while let Some((members, answers)) = running.next().await {
        for (place, answer) in members.into_iter().zip(answers.into_iter().map(Some).chain(std::iter::repeat(None))) {
            let answer = answer.unwrap_or_else(|| Err(ErrorBody::new(ErrorCode::Internal, "The hub is closing.")));
            let result = outcome(&devices[place], answer, whole_ms(asked.elapsed()));
            ended += 1;
            each(&result, ended, devices.len());
            results[place] = Some(result);
        }
    }
    let gone = absent.into_iter().map(|id| {
        let error = ErrorBody::new(ErrorCode::NotFound, format!("The device {id} of this scene is not there."));
        SetResult {
            name: id.0.clone(),
            id,
            ok: false,
            state: Default::default(),
            left_out: Vec::new(),
            taken: Vec::new(),
            ms: 0,
            error: Some(error),
        }
    });
    Ok(results.into_iter().flatten().chain(gone).collect())
}

/// The result of a device that is told nothing.
fn refused(planned: &Planned) -> Option<SetResult> {
    planned.fit.as_ref().err().map(|error| outcome(planned, Err(error.clone()), 0))
}

fn outcome(planned: &Planned, answer: Result<SetDone, ErrorBody>, ms: u64) -> SetResult {
    let (state, error) = match answer {
        Ok(done) => (done.state, None),
        Err(error) => (Default::default(), Some(error)),
    };
    let left_out = planned.fit.as_ref().map(|fit| fit.left_out.clone()).unwrap_or_default();
    let taken = match (&planned.fit, &error) {
        (Ok(fit), None) => values::taken(&planned.device.capabilities, &fit.set, &state),
        _ => Vec::new(),
    };
    let (id, name) = (planned.device.id.clone(), planned.device.name.clone());
    SetResult { id, name, ok: error.is_none(), state, left_out, taken, ms, error }
}

/// A place in the lanes, given up when it is dropped.
struct Place {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.leave(self.ticket);
    }
}

/// One part: waits for its turn, sends, and takes in what the devices say.
async fn command(place: Place, ids: Vec<DeviceId>, part: Part) -> Vec<Result<SetDone, ErrorBody>> {
    let shared = &place.shared;
    let (waker, woken) = oneshot::channel();
    let is_first = shared.with(|home| {
        let is_first = home.lanes.is_first(place.ticket);
        if !is_first {
            shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(place.ticket, waker);
        }
        is_first
    });
    if !is_first && timeout(LANE_WAIT, woken).await.is_err() {
        let busy = "Earlier commands to the device took too long. Nothing was sent.";
        let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, busy) };
        return vec![Err(error); ids.len()];
    }
    shared.with(|home| {
        for id in &ids {
            home.wish(id, part.set.iter().map(|(property, value)| (property.clone(), Some(value.clone()))));
        }
    });
    let sending = shared.sources[part.source].set(ids.clone(), part.set.clone(), part.group);
    let answers = timeout(SET_WAIT, sending).await.unwrap_or_else(|_| vec![Err(late(SET_WAIT)); ids.len()]);
    let silent = || Err(ErrorBody::new(ErrorCode::Internal, "The source of the device said nothing of it."));
    let answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None)).zip(&ids);
    let answers = answers.map(|(answer, id)| (answer.unwrap_or_else(silent), id));
    shared.with_now(|home, now_ms| {
        let take_in = |(answer, id): (Result<SetDone, ErrorBody>, &DeviceId)| {
            let answer = answer.and_then(|done| {
                home.report(id, done.state.clone(), Some(now_ms));
                let capabilities = home.device(id).map(|device| Arc::clone(&device.capabilities)).unwrap_or_default();
                match values::contradicts(&capabilities, &part.set, &done.state) {
                    Some(why) => {
                        Err(ErrorBody::new(ErrorCode::DeviceRejected, format!("The device answered, but {why}.")))
                    }
                    None => Ok(done),
                }
            });
            home.wish(id, part.set.keys().map(|property| (property.clone(), None)));
            answer
        };
        answers.map(take_in).collect()
    })
}

impl Home {
    /// The source that is meant, or the first one that is up.
    pub(super) fn source_for(&self, backend: Option<super::Backend>) -> Result<usize, ErrorBody> {
        let is_meant = |source: &&(usize, &Source)| backend.is_none_or(|backend| source.1.backend == backend);
        let all: Vec<_> = self.sources.iter().enumerate().collect();
        let is_up = |source: &&&(usize, &Source)| matches!(source.1.status, super::RadioStatus::Up);
        let meant: Vec<_> = all.iter().filter(is_meant).collect();
        let first = meant.iter().find(|source| is_up(source)).or_else(|| meant.first());
        first.map(|(at, _)| *at).ok_or_else(|| {
            let message = "There is no radio: set `zigbee.backend` in config.yaml and plug in a stick.";
            ErrorBody::new(ErrorCode::RadioDown, message)
        })
    }
}
