//! What of all reports goes into the history, and what waits to be written. A value that does not change is recorded once in
//! five minutes, so that every step of the history in which the device spoke has a point; a number that runs is recorded once
//! a second. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::source::DeviceId;
use super::told::PROPERTY_BYTES_MAX;
use crate::common::time::UnixMillis;

/// The same value again is recorded after so long.
pub(super) const REPEATED_AFTER_MS: u64 = 5 * 60 * 1_000;

/// Numbers that come faster are one: a lamp that fades, a meter that is asked ten times a second.
pub(super) const RUNNING_MS: u64 = 1_000;

/// Points that wait to be written. Past it new ones are dropped: the disk has not answered for minutes.
pub const WAITING_MAX: usize = 100_000;

/// Points after which whoever writes is woken before its time.
pub const WAITING_MANY: usize = 20_000;

/// Properties of one device that have a history.
const PROPERTIES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Recorder {
    devices: BTreeMap<DeviceId, BTreeMap<Box<str>, Series>>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Series {
    newest: Option<(UnixMillis, Value)>,
    waiting: Vec<(UnixMillis, Value)>,
}

/// How closely a property is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Each time: the press of a button.
    Event,
    /// Each change.
    Value,
    /// Once in five minutes: how well a device is heard changes with every word of it.
    Diagnostic,
}

/// The points of one property, by time of arrival.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Points {
    pub device: DeviceId,
    pub property: Box<str>,
    pub points: Vec<(UnixMillis, Value)>,
}

impl Recorder {
    /// A value that was reported.
    pub fn note(&mut self, id: &DeviceId, property: &str, value: &Value, at_ms: UnixMillis, pace: Pace) {
        if !is_recorded(value) || property.len() > PROPERTY_BYTES_MAX || self.waiting >= WAITING_MAX {
            return;
        }
        if !self.devices.contains_key(id) {
            self.devices.insert(id.clone(), BTreeMap::new());
        }
        let Some(properties) = self.devices.get_mut(id) else { return };
        if !properties.contains_key(property) {
            if properties.len() >= PROPERTIES_MAX {
                return;
            }
            properties.insert(property.into(), Series::default());
        }
        let Some(series) = properties.get_mut(property) else { return };
        if let Some((before_ms, newest)) = &series.newest {
            // A clock that was set back does not silence anybody.
            let apart_ms = at_ms.abs_diff(*before_ms);
            let is_again = pace == Pace::Diagnostic || pace == Pace::Value && newest == value;
            if is_again && apart_ms < REPEATED_AFTER_MS {
                return;
            }
            let is_running = pace == Pace::Value && value.is_number() && apart_ms < RUNNING_MS;
            if let Some(last) = series.waiting.last_mut().filter(|_| is_running) {
                // At its own time, so that a number that runs for long is recorded every second.
                last.1 = value.clone();
                return;
            }
        }
        series.newest = Some((at_ms, value.clone()));
        series.waiting.push((at_ms, value.clone()));
        self.waiting += 1;
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// All that waits, which then waits no more. What devices that are gone were is known no longer.
    pub fn take(&mut self, is_here: impl Fn(&DeviceId) -> bool) -> Vec<Points> {
        let mut taken = Vec::new();
        for (device, properties) in &mut self.devices {
            for (property, series) in properties.iter_mut().filter(|(_, series)| !series.waiting.is_empty()) {
                let points = std::mem::take(&mut series.waiting);
                taken.push(Points { device: device.clone(), property: property.clone(), points });
            }
        }
        self.waiting = 0;
        self.devices.retain(|id, _| is_here(id));
        taken
    }

    /// Puts back what could not be written, before what came since.
    pub fn put_back(&mut self, all: Vec<Points>) {
        for Points { device, property, mut points } in all {
            if self.waiting + points.len() > WAITING_MAX {
                continue;
            }
            // Of a device that is gone meanwhile nothing is kept.
            let Some(series) = self.devices.get_mut(&device).and_then(|of| of.get_mut(&property)) else { continue };
            self.waiting += points.len();
            points.append(&mut series.waiting);
            series.waiting = points;
        }
    }

    /// What waits of one property.
    pub fn waiting_of(&self, id: &DeviceId, property: &str) -> Vec<(UnixMillis, Value)> {
        let series = self.devices.get(id).and_then(|properties| properties.get(property));
        series.map(|series| series.waiting.clone()).unwrap_or_default()
    }

    pub fn forget(&mut self, id: &DeviceId) {
        let gone = self.devices.remove(id).into_iter().flatten();
        self.waiting -= gone.map(|(_, series)| series.waiting.len()).sum::<usize>();
    }
}

/// Numbers, words and yes or no have a history; objects are told and not kept.
fn is_recorded(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Bool(_) => true,
        Value::String(text) => (1..=PROPERTY_BYTES_MAX).contains(&text.len()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::home::testing::id;

    #[test]
    fn what_does_not_change_is_recorded_now_and_then_and_an_event_each_time() {
        let mut recorder = Recorder::default();
        let lamp = id("0x1");
        for (at_ms, value) in [(0, 1), (1_000, 1), (2_000, 2), (302_000 - 1, 2), (302_000, 2), (1_000, 2)] {
            recorder.note(&lamp, "power", &json!(value), at_ms, Pace::Value);
        }
        recorder.note(&lamp, "action", &json!("on"), 5, Pace::Event);
        recorder.note(&lamp, "action", &json!("on"), 6, Pace::Event);
        recorder.note(&lamp, "color", &json!({"x": 1}), 6, Pace::Value);
        recorder.note(&lamp, "text", &json!("x".repeat(1_000)), 6, Pace::Value);
        let taken = recorder.take(|_| true);
        assert_eq!(
            taken.iter().map(|one| (&*one.property, one.points.len())).collect::<Vec<_>>(),
            [("action", 2), ("power", 4)]
        );
        assert_eq!(taken[1].points, [(0, json!(1)), (2_000, json!(2)), (302_000, json!(2)), (1_000, json!(2))]);
        assert_eq!((recorder.waiting(), recorder.take(|_| true)), (0, Vec::new()));
    }

    #[test]
    fn what_runs_is_recorded_once_a_second_and_what_nobody_watches_hardly_ever() {
        let mut recorder = Recorder::default();
        let lamp = id("0x1");
        for tenth in 0..=30 {
            recorder.note(&lamp, "brightness", &json!(tenth), tenth * 100, Pace::Value);
            recorder.note(&lamp, "state", &json!(if tenth % 2 == 0 { "ON" } else { "OFF" }), tenth * 100, Pace::Value);
        }
        for minute in 0..=10 {
            recorder.note(&lamp, "linkquality", &json!(minute), minute * 60_000, Pace::Diagnostic);
        }
        let taken = recorder.take(|_| true);
        assert_eq!(taken[0].points, [(0, json!(9)), (1_000, json!(19)), (2_000, json!(29)), (3_000, json!(30))]);
        assert_eq!(taken[1].points, [(0, json!(0)), (300_000, json!(5)), (600_000, json!(10))]);
        assert_eq!(taken[2].points.len(), 31, "a switch that was on for a moment was on");
    }

    #[test]
    fn what_could_not_be_written_comes_again_first() {
        let mut recorder = Recorder::default();
        let (lamp, gone) = (id("0x1"), id("0x2"));
        recorder.note(&lamp, "power", &json!(1), 1, Pace::Value);
        recorder.note(&gone, "power", &json!(1), 1, Pace::Value);
        let taken = recorder.take(|_| true);
        recorder.note(&lamp, "power", &json!(2), 2, Pace::Value);
        recorder.forget(&gone);
        recorder.put_back(taken);
        assert_eq!(recorder.waiting(), 2);
        assert_eq!(recorder.waiting_of(&lamp, "power"), [(1, json!(1)), (2, json!(2))]);
        recorder.forget(&lamp);
        assert_eq!(recorder.waiting(), 0);
    }

    #[test]
    fn devices_that_come_and_go_cost_no_memory_without_end() {
        let mut recorder = Recorder::default();
        for number in 0..100 {
            recorder.note(&id(&format!("0x{number}")), "power", &json!(1), number, Pace::Value);
        }
        assert_eq!(recorder.take(|one| *one == id("0x7")).len(), 100, "what they said last is written");
        assert_eq!(recorder.devices.keys().collect::<Vec<_>>(), [&id("0x7")]);
    }

    #[test]
    fn a_disk_that_never_answers_costs_no_memory_without_end() {
        let mut recorder = Recorder::default();
        for at_ms in 0..WAITING_MAX as u64 + 10 {
            recorder.note(&id("0x1"), "power", &json!(at_ms), at_ms * RUNNING_MS, Pace::Value);
        }
        assert_eq!((recorder.waiting(), recorder.take(|_| true)[0].points.len()), (WAITING_MAX, WAITING_MAX));
        let mut recorder = Recorder::default();
        for property in 0..PROPERTIES_MAX + 10 {
            recorder.note(&id("0x1"), &property.to_string(), &json!(1), 1, Pace::Value);
        }
        assert_eq!(recorder.waiting(), PROPERTIES_MAX);
    }
}
