//! The source on the stick that is a program, in the time of the wall: what the house is told, and what it asks.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::home::{BindTarget, DeviceInfo, PairingNews};
use crate::zigbee::definitions::Catalogue;
use crate::zigbee::sim::{Model, SimConfig};

struct Bench {
    source: Arc<Zigbee>,
    events: mpsc::Receiver<SourceEvent>,
    seen: Vec<SourceEvent>,
    running: tokio::task::JoinHandle<()>,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(stick: Stick) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let source = Arc::new(Zigbee::new(stick, None, store.clone(), Arc::new(Catalogue::new())));
        let (sender, events) = mpsc::channel(256);
        let running = tokio::spawn(Arc::clone(&source).run(sender));
        Bench { source, events, seen: Vec::new(), running, store, _folder: folder }
    }

    async fn until(&mut self, is_it: impl Fn(&SourceEvent) -> bool) -> SourceEvent {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the source goes on");
                self.seen.push(event.clone());
                if is_it(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it comes")
    }

    async fn device(&mut self, model: &str) -> DeviceInfo {
        let is_it = |event: &SourceEvent| matches!(event, SourceEvent::Device(info) if info.interviewed && info.model.as_deref() == Some(model));
        match self.until(is_it).await {
            SourceEvent::Device(info) => *info,
            other => panic!("{other:?}"),
        }
    }
}

fn simulated() -> Stick {
    let devices = vec![Model::by_name("bulb").expect("a model")];
    Stick::Simulated(Box::new(move |now| {
        Simulator::new(SimConfig { devices: devices.clone(), ..SimConfig::default() }, 1, now)
    }))
}

#[tokio::test]
async fn a_simulated_house_is_let_in_told_and_obeys() {
    let mut bench = Bench::new(simulated());
    assert_eq!(bench.source.backend(), Backend::Simulated);
    bench.until(|event| *event == SourceEvent::Radio(RadioStatus::Up)).await;
    assert!(bench.seen.contains(&SourceEvent::All(Vec::new())), "first all that it has");
    bench.source.pairing(PairingWish { seconds: 60, ..PairingWish::default() }).await.expect("it opens");
    bench.until(|event| matches!(event, SourceEvent::Pairing(PairingNews::Open { .. }))).await;
    let bulb = bench.device("RB 282 C").await;
    bench.until(|event| *event == SourceEvent::Pairing(PairingNews::Interviewed { id: bulb.id.clone() })).await;
    assert!(bulb.supported && bulb.is_router && !bulb.capabilities.is_empty());
    for state in ["ON", "OFF"] {
        let set = json!({"state": state}).as_object().expect("an object").clone();
        let nobody = DeviceId("lamp".into());
        let ends = bench.source.set(vec![nobody, bulb.id.clone()], set, None).await;
        assert_eq!(ends[0].as_ref().map_err(|error| error.code), Err(ErrorCode::NotFound));
        assert_eq!(ends[1].as_ref().expect("done").state["state"], state);
    }
    let read = bench.source.read(bulb.id.clone(), vec!["state".into()]).await.expect("it is there");
    assert_eq!(read["state"], "OFF");
    let status = bench.source.network(NetworkQuery::Status).await.expect("it is up");
    assert_eq!(status["radio"]["status"], "up");
    let backup = bench.source.network(NetworkQuery::Backup).await.expect("it gives one");
    assert_eq!(backup["metadata"]["format"], "zigpy/open-coordinator-backup");
    bench.source.remove(bulb.id.clone(), false).await.expect("it goes");
    bench.until(|event| *event == SourceEvent::Left(bulb.id.clone())).await;
    bench.running.abort();
}

#[tokio::test]
async fn a_simulated_device_is_bound_and_says_so() {
    let mut bench = Bench::new(simulated());
    bench.until(|event| *event == SourceEvent::Radio(RadioStatus::Up)).await;
    bench.source.pairing(PairingWish { seconds: 60, ..PairingWish::default() }).await.expect("it opens");
    let bulb = bench.device("RB 282 C").await;
    bench.until(|event| *event == SourceEvent::Pairing(PairingNews::Interviewed { id: bulb.id.clone() })).await;
    let wish = |to, cluster: &str, undo| BindWish {
        from: bulb.id.clone(),
        endpoint: None,
        to,
        clusters: vec![cluster.into()],
        undo,
    };
    let row = |cluster: &str, to| Bound { endpoint: 1, cluster: cluster.into(), to };
    let group = || BindTarget::Group(9);
    for (wish, row, is_there) in [
        (wish(group(), "genLevelCtrl", false), row("genLevelCtrl", group()), true),
        (wish(group(), "0x0008", true), row("genLevelCtrl", group()), false),
        (wish(BindTarget::Hub, "genScenes", false), row("genScenes", BindTarget::Hub), true),
        (wish(BindTarget::Hub, "5", true), row("genScenes", BindTarget::Hub), false),
    ] {
        let ends = bench.source.bind(wish).await.expect("it fits");
        assert_eq!(ends, [BindEnd { cluster: row.cluster.clone(), end: Ok(()) }]);
        let bound = bench.source.bindings(bulb.id.clone()).await.expect("it shows them");
        assert_eq!(bound.contains(&row), is_there, "{bound:?}");
    }
    for (cluster, code) in [("nonsense", ErrorCode::BadRequest), ("closuresWindowCovering", ErrorCode::BadRequest)] {
        let error = bench.source.bind(wish(BindTarget::Hub, cluster, false)).await.expect_err("it has none");
        assert_eq!(error.code, code);
    }
    bench.running.abort();
}

/// The stick that is a program behind a socket, as one on a network: it ends with its line.
fn behind_a_socket() -> Stick {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        let (mut line, _) = listener.accept().expect("the driver comes");
        line.set_read_timeout(Some(Duration::from_millis(2))).expect("a time");
        let config = SimConfig { devices: vec![Model::by_name("bulb").expect("a model")], ..SimConfig::default() };
        let mut simulator = Simulator::new(config, 1, now());
        let mut bytes = [0; 512];
        loop {
            match line.read(&mut bytes) {
                Ok(0) => return,
                Ok(len) => simulator.handle_bytes(now(), &bytes[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            simulator.handle_timeout(now());
            while let Some(bytes) = simulator.poll_transmit() {
                if line.write_all(&bytes).is_err() {
                    return;
                }
            }
        }
    });
    Stick::parse(&format!("tcp://{address}")).expect("an address")
}

#[tokio::test]
async fn what_a_device_said_last_is_on_the_disk_after_an_orderly_end() {
    let mut bench = Bench::new(behind_a_socket());
    bench.until(|event| *event == SourceEvent::Radio(RadioStatus::Up)).await;
    bench.source.pairing(PairingWish { seconds: 60, ..PairingWish::default() }).await.expect("it opens");
    let bulb = bench.device("RB 282 C").await;
    bench.until(|event| *event == SourceEvent::Pairing(PairingNews::Interviewed { id: bulb.id.clone() })).await;
    for state in ["OFF", "ON"] {
        let set = json!({"state": state}).as_object().expect("an object").clone();
        bench.source.set(vec![bulb.id.clone()], set, None).await.remove(0).expect("done");
    }
    let on_disk = async |store: &Store| {
        let saved = store.zigbee().await.expect("it is open");
        saved.devices.into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect::<String>()
    };
    let is_on = r#""state":"ON""#;
    let before = on_disk(&bench.store).await;
    assert!(before.contains("RB 282 C") && !before.contains(is_on), "it is written some minutes later: {before}");
    let Bench { events, running, store, _folder, .. } = bench;
    drop(events);
    tokio::time::timeout(Duration::from_secs(3), running).await.expect("it comes to its end").expect("in peace");
    let after = on_disk(&store).await;
    assert!(after.contains(is_on), "{after}");
}

#[tokio::test]
async fn a_stick_that_is_not_there_is_said_so_and_nothing_hangs() {
    let mut bench = Bench::new(Stick::parse("/dev/no-such-stick").expect("a path"));
    let absent = bench.until(|event| matches!(event, SourceEvent::Radio(RadioStatus::Absent { .. }))).await;
    let SourceEvent::Radio(RadioStatus::Absent { why }) = absent else { panic!("{absent:?}") };
    assert!(why.contains("/dev/no-such-stick"), "{why}");
    let ends = bench.source.set(vec![DeviceId("0x0000000000000001".into())], Map::new(), None).await;
    assert_eq!(ends[0].as_ref().map_err(|error| error.code), Err(ErrorCode::NotFound));
    let error =
        bench.source.pairing(PairingWish { seconds: 60, ..PairingWish::default() }).await.expect_err("no radio");
    assert_eq!(error.code, ErrorCode::RadioDown);
    bench.running.abort();
    let _ = (&mut bench.running).await;
    let error = bench.source.network(NetworkQuery::Status).await.expect_err("nobody is there");
    assert_eq!(error.code, ErrorCode::RadioDown);
}
