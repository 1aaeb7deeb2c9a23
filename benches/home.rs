//! `cargo bench --bench home [-- --days 7]`: what a house costs. Five hundred devices that report: processor time and memory of a
//! report. Thirty devices for some days: bytes of a point of the history, and what a memory card bears in an hour. Prints, and never
//! fails on a figure.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; that is what it is for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use hearth::common::capability::{Capability, CapabilityKind};
use hearth::common::error::{ErrorBody, ErrorCode};
use hearth::common::json_text::Details;
use hearth::home::{
    Backend, DeviceId, DeviceInfo, DeviceSource, Heard, Keeper, Membership, NetworkQuery, PairingWish, Power,
    RadioStatus, SetDone, SourceEvent,
};
use hearth::store::{HistorySearch, HouseSave, SeriesPoints, Store};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

/// Devices of the busy house, and how often each reports.
const DEVICES: usize = 500;
const ROUNDS: usize = 40;

/// The quiet house: devices, and days where nobody says; a day is 480 saves, each of which waits for the disk.
const AT_HOME: usize = 30;
const DAYS: u64 = 7;

const MINUTE_MS: u64 = 60_000;

/// Minutes between two saves, as in the house.
const SAVE_EVERY: u64 = 3;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// 2026-11-22, midnight.
const BEGIN_MS: u64 = 1_795_305_600_000;

/// The system's memory, counted.
struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static MEMORY: Counted = Counted;

/// A source that tells what the benchmark says.
struct Told(std::sync::Mutex<Option<oneshot::Sender<mpsc::Sender<SourceEvent>>>>);

fn unsupported<T: Send + 'static>() -> BoxFuture<'static, Result<T, ErrorBody>> {
    Box::pin(async { Err(ErrorBody::new(ErrorCode::Unsupported, "This is a benchmark.")) })
}

impl DeviceSource for Told {
    fn backend(&self) -> Backend {
        Backend::Simulated
    }

    fn run(self: Arc<Self>, events: mpsc::Sender<SourceEvent>) -> BoxFuture<'static, ()> {
        let ready = self.0.lock().expect("nobody panics with it").take();
        Box::pin(async move {
            if let Some(ready) = ready {
                // An error: the benchmark is over.
                let _ = ready.send(events.clone());
            }
            events.closed().await;
        })
    }

    fn set(
        &self,
        targets: Vec<DeviceId>,
        set: Map<String, Value>,
        _: Option<u16>,
    ) -> BoxFuture<'static, Vec<Result<SetDone, ErrorBody>>> {
        Box::pin(async move { targets.iter().map(|_| Ok(SetDone { state: set.clone() })).collect() })
    }

    fn read(&self, _: DeviceId, _: Vec<Box<str>>) -> BoxFuture<'static, Result<Map<String, Value>, ErrorBody>> {
        unsupported()
    }

    fn pairing(&self, _: PairingWish) -> BoxFuture<'static, Result<(), ErrorBody>> {
        unsupported()
    }

    fn rename(&self, _: DeviceId, _: Box<str>) -> BoxFuture<'static, Result<(), ErrorBody>> {
        unsupported()
    }

    fn remove(&self, _: DeviceId, _: bool) -> BoxFuture<'static, Result<(), ErrorBody>> {
        unsupported()
    }

    fn interview(&self, _: DeviceId) -> BoxFuture<'static, Result<(), ErrorBody>> {
        unsupported()
    }

    fn network(&self, _: NetworkQuery) -> BoxFuture<'static, Result<Value, ErrorBody>> {
        unsupported()
    }

    fn regroup(&self, _: Membership) -> BoxFuture<'static, Result<(), ErrorBody>> {
        unsupported()
    }
}

fn number(property: &str, settable: bool) -> Capability {
    Capability {
        property: property.into(),
        name: property.into(),
        endpoint: None,
        part_of: None,
        kind: CapabilityKind::Numeric { min: Some(-100.0), max: Some(65_535.0), step: None, presets: Vec::new() },
        reported: true,
        settable,
        readable: true,
        unit: Some("°C".into()),
        description: Some("What a thermometer shows.".into()),
        category: None,
    }
}

fn climate(number_of: usize) -> DeviceInfo {
    DeviceInfo {
        id: DeviceId(format!("0x00124b00{number_of:08x}").into()),
        name: None,
        model: Some("SNZB-02".into()),
        vendor: Some("ACME".into()),
        description: Some("Temperature and humidity".into()),
        power: Power::Battery,
        interviewed: true,
        supported: true,
        is_router: false,
        capabilities: ["temperature", "humidity", "pressure", "battery", "calibration"]
            .map(|one| number(one, one == "calibration"))
            .to_vec(),
        state: Map::new(),
        available: Some(true),
        last_seen_ms: None,
        details: Details::default(),
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Processor time of this process, all threads.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        |at: usize| after_name.split_whitespace().nth(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // utime and stime, of a hundredth of a second each.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Bytes that this process has handed to the kernel for writing.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = std::env::temp_dir().join(format!("hearth-bench-home-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the benchmark");
    reports(&folder.join("busy.redb")).await;
    let days = std::env::args().skip_while(|word| word != "--days").nth(1).and_then(|days| days.parse().ok());
    history(&folder.join("quiet.redb"), days.unwrap_or(DAYS)).await;
    fs::remove_dir_all(&folder).expect("the benchmark's own folder");
}

/// Five hundred devices, each of which reports three values again and again, heard by one listener.
async fn reports(path: &Path) {
    let store = Store::open(path).expect("a new file");
    let (ready, told) = oneshot::channel();
    let source = Arc::new(Told(std::sync::Mutex::new(Some(ready))));
    let before = HELD.load(Ordering::Relaxed);
    let keeper = Keeper::start(store, vec![source]).await.expect("a house");
    let events = told.await.expect("the source runs");
    let begin = Instant::now();
    events.send(SourceEvent::Radio(RadioStatus::Up)).await.expect("the house listens");
    events.send(SourceEvent::All((0..DEVICES).map(climate).collect())).await.expect("the house listens");
    while keeper.devices().len() < DEVICES {
        tokio::task::yield_now().await;
    }
    println!("{DEVICES} devices come: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    let ids: Vec<_> = keeper.devices().iter().map(|device| device.id.clone()).collect();
    let mut news = keeper.subscribe();
    let listening = tokio::spawn(async move {
        let mut heard = 0;
        while heard < DEVICES * ROUNDS {
            match news.recv().await {
                Heard::News(_) => heard += 1,
                other => panic!("{other:?} after {heard}"),
            }
        }
        heard
    });
    let (begin, used, asked) = (Instant::now(), processor_time(), ASKED.load(Ordering::Relaxed));
    for round in 0..ROUNDS {
        for (at, id) in ids.iter().enumerate() {
            let temperature = f64::from(u32::try_from((round * 7 + at) % 300).unwrap_or(0)) / 10.0;
            let changes =
                fields(json!({ "temperature": temperature, "humidity": 40 + round % 20, "linkquality": round }));
            let event = SourceEvent::State { id: id.clone(), changes, is_old: false };
            events.send(event).await.expect("the house listens");
        }
    }
    let heard = listening.await.expect("all is heard");
    let (took, used, asked) = (begin.elapsed(), processor_time() - used, ASKED.load(Ordering::Relaxed) - asked);
    println!(
        "{heard} reports of three values, heard by one: {:.1} µs each ({:.1} µs of processor time), {} bytes asked for each, none lost",
        took.as_secs_f64() * 1e6 / heard as f64,
        used.as_secs_f64() * 1e6 / heard as f64,
        asked / heard,
    );
    let per_second = DEVICES as f64 / 10.0;
    println!(
        "{DEVICES} devices, each reporting every 10 s: {:.2} % of a core",
        took.as_secs_f64() / heard as f64 * per_second * 100.0
    );
    let held = HELD.load(Ordering::Relaxed) - before;
    println!("the house holds {:.1} kB a device, history that waits included", held as f64 / 1e3 / DEVICES as f64);
    let begin = Instant::now();
    keeper.close().await;
    println!("closing writes all of it in {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
}

/// Thirty devices with four values each that report every minute or on change, written as the house does.
async fn history(path: &Path, days: u64) {
    let store = Store::open(path).expect("a new file");
    let empty = fs::metadata(path).map_or(0, |file| file.len());
    let (mut points, begin, before) = (0_u64, Instant::now(), written());
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut levels = vec![[2_100_i64, 4_500, 0, 100]; AT_HOME];
    let mut save = HouseSave::default();
    for minute in 0..days * 24 * 60 {
        let now_ms = BEGIN_MS + minute * MINUTE_MS;
        save.now_ms = now_ms;
        save.states.clear();
        for (device, level) in levels.iter_mut().enumerate() {
            let id: Box<str> = format!("0x00124b00{device:08x}").into();
            // Temperature and humidity wander, power jumps now and then, the battery is what it is.
            level[0] += i64::try_from(random() % 11).unwrap_or(0) - 5;
            level[1] += i64::try_from(random() % 21).unwrap_or(0) - 10;
            if random() % 10 == 0 {
                level[2] = i64::try_from(random() % 20_000).unwrap_or(0);
            }
            let told = [
                ("temperature", json!(level[0] as f64 / 100.0), true),
                ("humidity", json!(level[1] as f64 / 100.0), true),
                ("power", json!(level[2] as f64 / 10.0), minute % 5 == 0 || random() % 10 == 0),
                ("battery", json!(level[3]), minute % 5 == 0),
            ];
            let state: Map<String, Value> =
                told.iter().map(|(name, value, _)| ((*name).to_owned(), value.clone())).collect();
            save.states.push((id.clone(), Some(serde_json::to_vec(&state).expect("JSON"))));
            for (property, value, is_told) in told {
                if is_told {
                    let at_ms = now_ms - random() % MINUTE_MS;
                    points += 1;
                    save.series.push(SeriesPoints {
                        device: id.clone(),
                        property: property.into(),
                        points: vec![(at_ms, value)],
                    });
                }
            }
        }
        if minute % SAVE_EVERY == 0 {
            store.save_house(std::mem::take(&mut save)).await.expect("room");
        }
    }
    let hours = (days * 24) as f64;
    println!(
        "\n{AT_HOME} devices, {days} days: {points} points ({:.0} an hour), a save every {SAVE_EVERY} minutes",
        points as f64 / hours
    );
    let (took, saves) = (begin.elapsed(), hours * 60.0 / SAVE_EVERY as f64);
    println!(
        "a save: {:.2} ms; an hour writes {:.2} MB ({:.0} kB a save)",
        took.as_secs_f64() * 1e3 / saves,
        (written() - before) as f64 / 1e6 / hours,
        (written() - before) as f64 / 1e3 / saves,
    );
    let grains = store.history_bytes().await.expect("readable");
    let kept = points * 7 / days.max(7);
    println!(
        "reports of 7 days: {:.2} MB, {:.2} bytes a point; five minutes of {days} days: {:.2} MB; hours: {:.2} MB",
        grains[0] as f64 / 1e6,
        grains[0] as f64 / kept as f64,
        grains[1] as f64 / 1e6,
        grains[2] as f64 / 1e6,
    );
    let file = fs::metadata(path).map_or(0, |file| file.len());
    println!("the file: {:.1} MB ({:.1} MB when it was empty)", file as f64 / 1e6, empty as f64 / 1e6);
    let end = BEGIN_MS + days * 24 * HOUR_MS;
    for (what, back, step_ms) in
        [("a day of reports", 1, 0), ("a day of five minutes", 1, 5 * MINUTE_MS), ("hours of all days", days, HOUR_MS)]
    {
        let search = HistorySearch {
            device: "0x00124b0000000007".into(),
            property: "temperature".into(),
            from_ms: end - back * 24 * HOUR_MS,
            to_ms: end,
            step_ms,
            limit: usize::MAX,
            fresh: Vec::new(),
        };
        let begin = Instant::now();
        let found = store.device_history(search).await.expect("readable").steps.len();
        println!("{what}: {found} points in {:.2} ms", begin.elapsed().as_secs_f64() * 1e3);
    }
    assert!(store.close().await);
}
