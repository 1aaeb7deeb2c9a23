//! The hub's own stick as a source of devices: the Zigbee host stack on its driver, its documents in the store, its words in those
//! of the house. Decides nothing about devices; `zigbee` does.

mod images;
mod line;
mod records;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::adapters::devices::zigbee::images::Folder;
use crate::adapters::devices::zigbee::records::Writer;
use crate::adapters::devices::zigbee::words::{ieee, install_code};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::home::{
    Backend, BindEnd, BindWish, Bound, DeviceId, DeviceSource, Firmware, KeptScene, MemberEnd, Membership,
    NetworkQuery, PairingWish, RadioStatus, SetDone, SourceEvent,
};
use crate::store::{Store, ZigbeeSaved};
use crate::zigbee::definitions::Definitions;
use crate::zigbee::driver::{self, Address, Finder, News};
use crate::zigbee::host::{Host, HostCommand};
use crate::zigbee::ncp::Persisted;
use crate::zigbee::ncp::znp::{Config, Znp};
use crate::zigbee::network::{Event, Network, Reply, Request, RequestId, WallClock};
use crate::zigbee::sim::Simulator;
use crate::zigbee::sticks;
use crate::zigbee::types::{Channel, GroupId};

/// How often the host is told the time on the wall: clocks jump when a network comes, twice a year, and when their owner wishes.
const CLOCK_EVERY: Duration = Duration::from_secs(60);

/// How often a store that cannot be read is tried.
const LOAD_AGAIN: Duration = Duration::from_secs(10);

/// The longest wait for the host's last words. Its thread answers at once unless a port hangs.
const FLUSH: Duration = Duration::from_secs(2);

/// Where the stick is.
pub enum Stick {
    /// The one stick of this machine that can be spoken to.
    Auto,
    At(Address),
    /// One that is a program, with its house; made when it is run. Nothing of it is kept.
    Simulated(Box<dyn Fn(Instant) -> Simulator + std::marker::Send + Sync>),
}

impl Stick {
    /// `port` of the config: `auto`, a path, or `tcp://host:port`.
    pub fn parse(port: &str) -> Result<Stick, driver::NotAddress> {
        if port == "auto" { Ok(Stick::Auto) } else { port.parse().map(Stick::At) }
    }
}

/// `channel` of the config: `auto` or 11 to 26.
pub fn channel(text: &str) -> Option<Channel> {
    text.parse().ok().filter(|channel| (11..=26).contains(channel)).map(Channel)
}

type Answer = Result<Reply, ErrorBody>;
type Send = Box<dyn Fn(HostCommand) -> bool + std::marker::Send>;

/// What was kept, made into what it was.
struct Saved {
    known: Option<Persisted>,
    network: Network,
}

/// See the module.
pub struct Zigbee {
    stick: Stick,
    config: Config,
    ota_folder: Option<PathBuf>,
    store: Store,
    definitions: Arc<dyn Definitions>,
    host: Mutex<Option<Send>>,
    waiting: Mutex<BTreeMap<RequestId, oneshot::Sender<Answer>>>,
    next_id: AtomicU64,
}

impl Zigbee {
    /// `channel`: of a network that is formed; the quietest where none is named.
    pub fn new(stick: Stick, channel: Option<Channel>, store: Store, definitions: Arc<dyn Definitions>) -> Zigbee {
        let config = Config { channel, ..Config::default() };
        let (host, waiting, next_id) = (Mutex::new(None), Mutex::new(BTreeMap::new()), AtomicU64::new(1));
        Zigbee { stick, config, ota_folder: None, store, definitions, host, waiting, next_id }
    }

    /// The network that is known goes onto this stick, whatever the stick holds.
    pub fn restoring(mut self, restore: bool) -> Zigbee {
        self.config.restore = restore;
        self
    }

    /// A folder with firmware images for devices.
    pub fn with_images(mut self, folder: Option<PathBuf>) -> Zigbee {
        self.ota_folder = folder;
        self
    }

    fn is_simulated(&self) -> bool {
        matches!(self.stick, Stick::Simulated(_))
    }

    /// Whether anything of it goes to the disk.
    fn keeps(&self) -> bool {
        !self.is_simulated()
    }

    /// Asks the host, which answers everything within its own deadlines.
    fn asked(&self, request: Request) -> impl Future<Output = Answer> + std::marker::Send + 'static {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(id, answer);
        let is_taken = lock(&self.host).as_ref().is_some_and(|send| send(HostCommand::Request { id, request }));
        if !is_taken {
            // The receiver ends with it.
            lock(&self.waiting).remove(&id);
        }
        answered.map(|answer| answer.unwrap_or_else(|_| Err(no_radio())))
    }

    /// Asks for something whose answer is that it was done.
    fn done(&self, request: Result<Request, ErrorBody>) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let asked = request.map(|request| self.asked(request));
        async move { asked?.await.map(|_| ()) }.boxed()
    }

    async fn work(&self, events: mpsc::Sender<SourceEvent>) {
        let Some(saved) = self.load(&events).await else { return };
        let known = saved.known;
        let mut network = saved.network;
        if let Some(folder) = &self.ota_folder {
            network.set_images(Box::new(Folder::new(folder.clone())));
        }
        let devices = network.devices().map(words::info).collect();
        let first = [SourceEvent::Radio(RadioStatus::Starting), SourceEvent::All(devices)];
        for event in first {
            if events.send(event).await.is_err() {
                return;
            }
        }
        let ncp = Znp::new(self.config.clone(), known, Box::new(entropy));
        let host = Host::new(Box::new(ncp), network);
        let (send, news) = match &self.stick {
            Stick::Simulated(make) => line::spawn(host, make(now())),
            Stick::Auto | Stick::At(_) => match driver::spawn(host, self.finder()) {
                Ok((driver, news)) => {
                    let send: Send = Box::new(move |command| driver.command(command).is_ok());
                    (send, news)
                }
                Err(error) => {
                    let why = format!("the radio's thread does not start: {error}").into();
                    // Whoever listened is gone; nothing is left to do.
                    let _ = events.send(SourceEvent::Radio(RadioStatus::Refused { why })).await;
                    return;
                }
            },
        };
        *lock(&self.host) = Some(send);
        let _running = Running(self);
        self.listen(&events, news).await;
    }

    fn finder(&self) -> Finder {
        match &self.stick {
            Stick::At(address) => {
                let address = address.clone();
                Box::new(move || sticks::at(Path::new("/"), address.clone()).map_err(|error| error.to_string().into()))
            }
            Stick::Auto | Stick::Simulated(_) => {
                Box::new(|| sticks::find(Path::new("/")).map_err(|error| error.to_string().into()))
            }
        }
    }

    /// What was kept. A store that cannot be read is no reason to form a new network over the old one.
    async fn load(&self, events: &mpsc::Sender<SourceEvent>) -> Option<Saved> {
        let network =
            |saved: &ZigbeeSaved| Network::new(Arc::clone(&self.definitions), wall_clock(), records::documents(saved));
        if !self.keeps() {
            return Some(Saved { known: None, network: network(&ZigbeeSaved::default()) });
        }
        loop {
            let why = match self.store.zigbee().await {
                Ok(saved) => match records::known(&saved) {
                    Ok(known) => return Some(Saved { known, network: network(&saved) }),
                    Err(why) => why,
                },
                Err(error) => format!("what is known of the network cannot be read: {error}").into(),
            };
            if events.send(SourceEvent::Radio(RadioStatus::Refused { why })).await.is_err() {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(LOAD_AGAIN) => {}
                () = events.closed() => return None,
            }
        }
    }

    /// Until the driver ends or nobody listens any more; then what the host has not told the disk yet is written.
    async fn listen(&self, events: &mpsc::Sender<SourceEvent>, mut news: mpsc::Receiver<News<Event>>) {
        let writer = self.keeps().then(|| Writer::start(self.store.clone()));
        let mut ticks = tokio::time::interval(CLOCK_EVERY);
        loop {
            let told = tokio::select! {
                told = news.recv() => told,
                () = events.closed() => break,
                _ = ticks.tick() => {
                    if let Some(send) = lock(&self.host).as_ref() {
                        // One that is not taken is told again in a minute.
                        send(HostCommand::Clock(wall_clock()));
                    }
                    continue;
                }
            };
            let Some(told) = told else { break };
            if let Some(event) = self.told(told, writer.as_ref()).await
                && events.send(event).await.is_err()
            {
                break;
            }
        }
        self.put_away(news, writer.as_ref()).await;
        if let Some(writer) = writer {
            writer.finish().await;
        }
    }

    /// What the house is to hear of it; answers and documents go their own ways.
    async fn told(&self, news: News<Event>, writer: Option<&Writer>) -> Option<SourceEvent> {
        match news {
            News::Opened(_) => Some(SourceEvent::Radio(RadioStatus::Starting)),
            News::Closed(why) => Some(SourceEvent::Radio(RadioStatus::Absent { why })),
            News::Event(Event::Answer { id, answer }) => {
                if let Some(waits) = lock(&self.waiting).remove(&id) {
                    // Whoever asked may have gone away.
                    let _ = waits.send(answer);
                }
                None
            }
            News::Event(Event::Persist(persist)) => {
                if let Some(writer) = writer {
                    writer.write(persist, unix_ms()).await;
                }
                None
            }
            News::Event(event) => words::event(event),
        }
    }

    /// The host's last words: it is told to say what is on no disk, and then that it ends, which it does when that is said.
    async fn put_away(&self, mut news: mpsc::Receiver<News<Event>>, writer: Option<&Writer>) {
        let Some(send) = lock(&self.host).take() else { return };
        if !send(HostCommand::Flush) {
            tracing::warn!("what devices said last may not be on the disk: the radio has too much to do");
        }
        drop(send);
        let rest = async {
            while let Some(last) = news.recv().await {
                self.told(last, writer).await;
            }
        };
        if tokio::time::timeout(FLUSH, rest).await.is_err() {
            tracing::warn!("what devices said last may not be on the disk: the radio does not come to an end");
        }
    }
}

/// While the host runs. Also where the source is dropped in the midst of it, nobody waits for an answer that does not come.
struct Running<'a>(&'a Zigbee);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *lock(&self.0.host) = None;
        lock(&self.0.waiting).clear();
    }
}

impl DeviceSource for Zigbee {
    fn backend(&self) -> Backend {
        if self.is_simulated() { Backend::Simulated } else { Backend::Zigbee }
    }

    fn run(self: Arc<Self>, events: mpsc::Sender<SourceEvent>) -> BoxFuture<'static, ()> {
        async move {
            self.work(events).await;
        }
        .boxed()
    }

    fn set(
        &self,
        targets: Vec<DeviceId>,
        set: Map<String, Value>,
        group: Option<u16>,
    ) -> BoxFuture<'static, Vec<Result<SetDone, ErrorBody>>> {
        // Those with an id that is no address are answered here; the others keep their order.
        let known: Vec<Result<_, ErrorBody>> = targets.iter().map(ieee).collect();
        let addresses = known.iter().filter_map(|known| known.as_ref().ok().copied()).collect();
        let asked = self.asked(Request::Set { targets: addresses, set, group: group.map(GroupId) });
        async move {
            let mut ends = match asked.await {
                Ok(Reply::Set(ends)) => ends.into_iter(),
                Ok(_) => Vec::new().into_iter(),
                Err(error) => return known.into_iter().map(|known| known.and(Err(error.clone()))).collect(),
            };
            let missing = || Err(ErrorBody::new(ErrorCode::Internal, "the radio gave no answer for it"));
            let end = |known: Result<_, ErrorBody>| {
                known.and_then(|_| ends.next().unwrap_or_else(missing)).map(|state| SetDone { state })
            };
            known.into_iter().map(end).collect()
        }
        .boxed()
    }

    fn read(
        &self,
        id: DeviceId,
        properties: Vec<Box<str>>,
    ) -> BoxFuture<'static, Result<Map<String, Value>, ErrorBody>> {
        let asked = ieee(&id).map(|ieee| self.asked(Request::Read { ieee, properties }));
        async move {
            match asked?.await? {
                Reply::Values(values) => Ok(values),
                _ => Ok(Map::new()),
            }
        }
        .boxed()
    }

    fn pairing(&self, wish: PairingWish) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let request = || {
            let via = wish.via.as_ref().map(ieee).transpose()?;
            let code = |(id, code): &(DeviceId, Box<str>)| Ok::<_, ErrorBody>((ieee(id)?, install_code(code)?));
            let install_code = wish.install_code.as_ref().map(code).transpose()?;
            // 255 would be for ever.
            let seconds = u8::try_from(wish.seconds).unwrap_or(u8::MAX).min(254);
            Ok(Request::Pairing { seconds, via, install_code })
        };
        self.done(request())
    }

    /// The house keeps the names.
    fn rename(&self, _: DeviceId, _: Box<str>) -> BoxFuture<'static, Result<(), ErrorBody>> {
        async { Ok(()) }.boxed()
    }

    fn remove(&self, id: DeviceId, force: bool) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.done(ieee(&id).map(|ieee| Request::Remove { ieee, force }))
    }

    fn interview(&self, id: DeviceId) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.done(ieee(&id).map(|ieee| Request::Interview { ieee }))
    }

    fn update_firmware(&self, id: DeviceId) -> BoxFuture<'static, Result<Firmware, ErrorBody>> {
        let asked = ieee(&id).map(|ieee| self.asked(Request::OfferFirmware { ieee }));
        async move {
            match asked?.await? {
                Reply::Firmware { is_new, version } => {
                    Ok(Firmware { updated: is_new, version: Some(version.to_string().into()) })
                }
                _ => Err(ErrorBody::new(ErrorCode::Internal, "the radio does not say what came of it")),
            }
        }
        .boxed()
    }

    fn network(&self, query: NetworkQuery) -> BoxFuture<'static, Result<Value, ErrorBody>> {
        let asked = self.asked(match query {
            NetworkQuery::Status => Request::Status,
            NetworkQuery::Map => Request::Map,
            NetworkQuery::Backup => Request::Backup,
        });
        async move {
            match asked.await? {
                Reply::Document(document) => Ok(document),
                _ => Ok(Value::Null),
            }
        }
        .boxed()
    }

    fn regroup(&self, wish: Membership) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let members = wish.members.iter().map(ieee).collect::<Result<Vec<_>, _>>();
        self.done(members.map(|members| Request::Regroup { group: GroupId(wish.group), members }))
    }

    fn kept_scene(&self, wish: KeptScene) -> BoxFuture<'static, Result<Vec<MemberEnd>, ErrorBody>> {
        let KeptScene { group, scene, what } = wish;
        let asked = self.asked(Request::Scene { group: GroupId(group), scene, what: words::scene_wish(what) });
        async move {
            match asked.await? {
                Reply::Members(said) => {
                    Ok(said.into_iter().map(|(ieee, end)| MemberEnd { id: words::device_id(ieee), end }).collect())
                }
                _ => Err(ErrorBody::new(ErrorCode::Internal, "the radio does not say what came of it")),
            }
        }
        .boxed()
    }

    fn bind(&self, wish: BindWish) -> BoxFuture<'static, Result<Vec<BindEnd>, ErrorBody>> {
        let asked = words::bind_wish(&wish).map(|wish| self.asked(Request::Bind(wish)));
        async move {
            match asked?.await? {
                Reply::Bound(rows) => Ok(rows.into_iter().map(words::bind_end).collect()),
                _ => Err(ErrorBody::new(ErrorCode::Internal, "the radio does not say what came of it")),
            }
        }
        .boxed()
    }

    fn bindings(&self, id: DeviceId) -> BoxFuture<'static, Result<Vec<Bound>, ErrorBody>> {
        let asked = ieee(&id).map(|ieee| (self.asked(Request::Bindings { ieee }), self.asked(Request::Status)));
        async move {
            let (asked, status) = asked?;
            // Whose address the hub's own is.
            let hub = match status.await? {
                Reply::Document(status) => status["coordinator"].as_str().map(|hub| DeviceId(hub.into())),
                _ => None,
            };
            match asked.await? {
                Reply::Bindings(rows) => Ok(rows.iter().map(|row| words::bound(row, hub.as_ref())).collect()),
                _ => Err(ErrorBody::new(ErrorCode::Internal, "the radio does not show it")),
            }
        }
        .boxed()
    }
}

fn no_radio() -> ErrorBody {
    ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RadioDown, "the radio is not up") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entropy(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random source does not fail once the system is up");
}

#[expect(clippy::disallowed_methods, reason = "a driver: the host stack is told the time from here")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a driver: the host stack is told the time from here")]
fn unix_ms() -> u64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

fn wall_clock() -> WallClock {
    WallClock { at: now(), unix_ms: unix_ms(), offset_s: jiff::Zoned::now().offset().seconds() }
}
