//! A recorded session of a real Zigbee2MQTT 2.14.1, shown to the state machine at the times at which it happened: the devices and
//! states that come out are those that went in, and each command that was sent then is confirmed by what came then.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::adapters::devices::zigbee2mqtt::out::Answer;

use crate::adapters::devices::zigbee2mqtt::inflate::inflate;
use crate::home::DeviceInfo;

/// Bytes of the recording, unpacked.
const RECORDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The only command that failed: the plug had been taken away.
const FAILED: usize = 1;

struct Line {
    at_ms: u64,
    topic: String,
    is_retained: bool,
    payload: Value,
}

fn recording() -> Option<Vec<Line>> {
    let shared = std::env::var_os("HEARTH_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    let path = shared.join("zigbee/zigbee2mqtt-session.jsonl.gz");
    let Ok(packed) = std::fs::read(&path) else {
        eprintln!("skipped: no recording at {} (HEARTH_SHARED names its folder)", path.display());
        return None;
    };
    let text = String::from_utf8(inflate(body_of(&packed), RECORDING_BYTES_MAX).expect("a whole recording")).unwrap();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        Line {
            at_ms: (line["t"].as_f64().unwrap() * 1000.0) as u64,
            topic: line["topic"].as_str().unwrap().to_owned(),
            is_retained: line["retain"] == 1,
            payload: line["payload"].take(),
        }
    };
    let mut lines: Vec<Line> = text.lines().map(line).collect();
    renames_first(&mut lines);
    Some(lines)
}

/// The recorder left out the lists of devices that were like the one before in all but a name, and which Zigbee2MQTT publishes
/// before the first state under a new name. Its answer says the same, and is shown in their place.
fn renames_first(lines: &mut Vec<Line>) {
    let is_rename =
        |line: &Line| line.topic == "zigbee2mqtt/bridge/response/device/rename" && line.payload["status"] == "ok";
    let answers: Vec<usize> = (0..lines.len()).filter(|index| is_rename(&lines[*index])).collect();
    for answer in answers {
        let topic = format!("zigbee2mqtt/{}", lines[answer].payload["data"]["to"].as_str().unwrap());
        let state = lines[..answer].iter().position(|line| line.topic == topic).unwrap_or(answer);
        let at_ms = lines[state].at_ms;
        let mut line = lines.remove(answer);
        line.at_ms = at_ms;
        lines.insert(state, line);
    }
}

/// What a gzip member packs (RFC 1952 §2.3): behind ten bytes, and the name where there is one.
fn body_of(gzip: &[u8]) -> &[u8] {
    assert_eq!(gzip[..3], [0x1f, 0x8b, 8]);
    let has_name = gzip[3] & 8 != 0;
    let from = if has_name { gzip[10..].iter().position(|byte| *byte == 0).unwrap() + 11 } else { 10 };
    &gzip[from..]
}

/// What happened, in order.
struct Replay {
    bridge: Bridge,
    start: Instant,
    start_ms: u64,
    told: Vec<SourceEvent>,
    /// Devices that the hub has asked, which nobody had then.
    asked: Vec<String>,
    /// By the topic of a question: what was published last, and where.
    last: BTreeMap<String, (String, String)>,
    answers: Vec<Result<SetDone, ErrorBody>>,
}

impl Replay {
    fn now(&self, at_ms: u64) -> Now {
        Now { at: self.start + Duration::from_millis(at_ms - self.start_ms), unix_ms: at_ms }
    }

    fn drain(&mut self) {
        while let Some(out) = self.bridge.poll() {
            match out {
                Out::Tell(event) => self.told.push(event),
                Out::Answer(_, Answer::Set(results)) => self.answers.extend(results),
                Out::Publish { topic, .. } if topic.ends_with("/get") => self.asked.push(topic),
                _ => {}
            }
        }
    }

    fn line(&mut self, ticket: Ticket, line: &Line) {
        let now = self.now(line.at_ms);
        if self.bridge.poll_timeout().is_some_and(|at| at <= now.at) {
            self.drain();
            let before = self.asked.len();
            self.bridge.handle_timeout(now);
            self.drain();
            // Asked again, when the device had long told what it was told to.
            for topic in self.asked.split_off(before) {
                if let Some((name, payload)) = self.last.get(&topic).cloned() {
                    self.bridge.handle_message(&name, payload.as_bytes(), false, now);
                }
            }
        }
        let name = line.topic.strip_prefix("zigbee2mqtt/").and_then(|rest| rest.strip_suffix("/set"));
        let target = name.and_then(|name| self.bridge.by_topic.get(name)).cloned();
        match (target, &line.payload) {
            // Somebody else's command then; the hub's own now.
            (Some(id), Value::Object(set)) => self.bridge.set(ticket, &[id], set, None, now),
            // The recorder wrote down a payload that was empty as null.
            (None, Value::Null) => self.bridge.handle_message(&line.topic, b"", line.is_retained, now),
            (_, payload) => {
                let payload = payload.to_string();
                self.bridge.handle_message(&line.topic, payload.as_bytes(), line.is_retained, now);
                // The answer to the hub's question: what the device had told then is so.
                let name = line.topic.strip_prefix("zigbee2mqtt/").unwrap_or_default();
                let id = self.bridge.by_topic.get(name).map(|id| format!("zigbee2mqtt/{id}/get"));
                self.drain();
                if let Some(id) = id.clone() {
                    self.last.insert(id, (line.topic.clone(), payload.clone()));
                }
                if let Some(index) = self.asked.iter().position(|asked| id.as_ref() == Some(asked)) {
                    self.asked.swap_remove(index);
                    self.bridge.handle_message(&line.topic, payload.as_bytes(), line.is_retained, now);
                }
            }
        }
        self.drain();
    }
}

#[expect(clippy::disallowed_methods, reason = "a start for a clock that the test moves")]
fn replay(lines: &[Line]) -> Replay {
    let start_ms = lines[0].at_ms;
    let bridge = Bridge::new("zigbee2mqtt", "hearth-replay");
    let mut replay = Replay {
        bridge,
        start: Instant::now(),
        start_ms,
        told: Vec::new(),
        asked: Vec::new(),
        last: BTreeMap::new(),
        answers: Vec::new(),
    };
    replay.bridge.handle_connected(replay.now(start_ms));
    for (number, line) in lines.iter().enumerate() {
        replay.line(number as Ticket, line);
    }
    replay
}

#[test]
fn the_devices_and_states_of_the_recording_come_out() {
    let Some(lines) = recording() else { return };
    let replay = replay(&lines);
    let devices: BTreeMap<&str, &DeviceInfo> =
        replay.bridge.devices.values().map(|device| (device.name(), &device.listed.info)).collect();
    let names: Vec<_> = devices.keys().copied().collect();
    assert_eq!(names, ["bulb", "climate", "contact", "plug", "remote"], "seven came, and two left");
    for (name, vendor, model, capabilities) in [
        ("bulb", "Innr", "RB 285 C", 7),
        ("climate", "SONOFF", "SNZB-02", 5),
        ("contact", "SONOFF", "SNZB-04", 5),
        ("plug", "Innr", "SP 240", 7),
        ("remote", "IKEA", "E1743", 4),
    ] {
        let device = devices[name];
        assert_eq!((device.vendor.as_deref(), device.model.as_deref()), (Some(vendor), Some(model)));
        assert!(device.interviewed && device.supported && device.available == Some(true), "{name}");
        assert!(device.capabilities.len() >= capabilities, "{name}: {:?}", device.capabilities);
        // The last word on its topic, without what was null, and what is no state.
        let topic = format!("zigbee2mqtt/{name}");
        let last = lines.iter().rfind(|line| line.topic == topic && line.payload.is_object()).unwrap();
        let mut last = last.payload.as_object().unwrap().clone();
        last.retain(|key, value| !value.is_null() && !key.starts_with("action"));
        assert_eq!(device.state, last, "{name}");
    }
    assert_eq!(devices["climate"].state["temperature"], json!(23.33));
    assert_eq!(replay.bridge.groups[&5].members.len(), 2);
}

#[test]
fn what_happened_in_the_recording_is_told() {
    let Some(lines) = recording() else { return };
    let Replay { told, .. } = replay(&lines);
    let count = |is: &dyn Fn(&SourceEvent) -> bool| told.iter().filter(|event| is(event)).count();
    assert_eq!(count(&|event| matches!(event, SourceEvent::Pairing(PairingNews::Joined { .. }))), 7);
    assert_eq!(count(&|event| matches!(event, SourceEvent::Pairing(PairingNews::Interviewed { .. }))), 7);
    assert_eq!(count(&|event| matches!(event, SourceEvent::Left(_))), 2);
    let presses: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            SourceEvent::State { changes, .. } => changes.get("action")?.as_str(),
            _ => None,
        })
        .collect();
    assert_eq!(presses, ["on", "off", "brightness_move_up", "brightness_stop"]);
    assert!(told.contains(&SourceEvent::Radio(RadioStatus::Up)));
    assert!(matches!(&told[..2], [SourceEvent::Radio(RadioStatus::Starting), ..]));
}

#[test]
fn each_command_of_the_recording_is_confirmed_and_the_one_that_failed_is_not() {
    let Some(lines) = recording() else { return };
    let Replay { answers, .. } = replay(&lines);
    let sets = lines.iter().filter(|line| line.topic.ends_with("/set") && !line.topic.contains("/g1/")).count();
    assert_eq!(answers.len(), sets);
    let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(failed.len(), FAILED, "{failed:?}");
    assert_eq!(failed[0].code, ErrorCode::DeviceUnreachable);
    assert!(failed[0].message.contains("MAC_NO_ACK"), "{}", failed[0].message);
    let confirmed = answers.iter().flatten().filter(|done| !done.state.is_empty()).count();
    assert_eq!(confirmed, sets - FAILED);
}
