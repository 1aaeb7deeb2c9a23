//! An entry of Zigbee2MQTT's `bridge/devices` and `bridge/groups` (its guide, "MQTT Topics and Messages"), read with
//! suspicion: what is missing or odd is left out. Knows no topic.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::exposes::{capabilities, cut};
use crate::common::json_text::Details;
use crate::home::{BindTarget, Bound, DeviceId, DeviceInfo, Power};

/// Bytes of a name; Zigbee2MQTT has no limit, MQTT's is 65,535 for the whole topic.
pub const NAME_BYTES_MAX: usize = 256;

/// Endpoints of one device that are shown to engineers; Zigbee has at most 240.
const ENDPOINTS_MAX: usize = 240;

/// Bindings of one device; tables have 10 to 40 rows.
const BINDINGS_MAX: usize = 256;

/// A device as the bridge lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What its topics are called.
    pub topic: Box<str>,
    /// Its owner has taken it out of use.
    pub is_disabled: bool,
    /// It speaks in Tuya's data points (model `TS0601`): nothing of it answers a command, it reports what it took.
    pub is_tuya: bool,
    /// To whom it speaks; the hub's is not made out yet.
    pub bound: Vec<Bound>,
    /// Without state, availability and last seen.
    pub info: DeviceInfo,
}

impl Listed {
    /// Whether it answers at once: it has mains, and has told what it is.
    pub fn is_awake(&self) -> bool {
        self.info.interviewed && self.info.power != Power::Battery && !self.is_disabled
    }
}

/// `None` for the coordinator and for what has no IEEE address.
pub fn listed(entry: &Value) -> Option<Listed> {
    let id = device_id(entry.get("ieee_address")?.as_str()?)?;
    let word = |key: &str| entry.get(key).and_then(Value::as_str).filter(|word| !word.is_empty()).map(cut);
    let truth = |key: &str| entry.get(key).and_then(Value::as_bool);
    let kind = entry.get("type").and_then(Value::as_str).unwrap_or("Unknown");
    if kind == "Coordinator" {
        return None;
    }
    let definition = entry.get("definition").filter(|definition| definition.is_object());
    let known = |key: &str| definition?.get(key)?.as_str().filter(|word| !word.is_empty()).map(cut);
    let name = entry.get("friendly_name").and_then(Value::as_str).filter(|name| is_topic(name));
    let model_id = word("model_id");
    let is_disabled = truth("disabled").unwrap_or(false);
    let info = DeviceInfo {
        name: name.filter(|name| **name != *id.0).map(Into::into),
        model: known("model").or_else(|| model_id.clone()),
        vendor: known("vendor").or_else(|| word("manufacturer")),
        description: word("description").or_else(|| known("description")),
        power: power(entry.get("power_source").and_then(Value::as_str)),
        interviewed: match entry.get("interview_state").and_then(Value::as_str) {
            Some(state) => state == "SUCCESSFUL",
            None => truth("interview_completed").unwrap_or(false),
        },
        supported: truth("supported").unwrap_or(false),
        is_router: kind == "Router",
        capabilities: definition.and_then(|definition| definition.get("exposes")).map(capabilities).unwrap_or_default(),
        state: Map::new(),
        available: None,
        last_seen_ms: None,
        details: Details::new(details(entry, kind, is_disabled)),
        id,
    };
    Some(Listed {
        topic: name.unwrap_or(&info.id.0).into(),
        is_disabled,
        is_tuya: model_id.as_deref() == Some("TS0601"),
        bound: bound(entry),
        info,
    })
}

/// The bindings of all its endpoints, as Zigbee2MQTT keeps them.
fn bound(entry: &Value) -> Vec<Bound> {
    let row = |endpoint: u8, row: &Value| {
        let target = row.get("target")?;
        let to = match target.get("type")?.as_str()? {
            "group" => BindTarget::Group(u16::try_from(target.get("id")?.as_u64()?).ok()?),
            _ => BindTarget::Device {
                id: device_id(target.get("ieee_address")?.as_str()?)?,
                endpoint: target.get("endpoint").and_then(Value::as_u64).and_then(|number| number.try_into().ok()),
            },
        };
        Some(Bound { endpoint, cluster: cut(row.get("cluster")?.as_str()?), to })
    };
    let endpoints = entry.get("endpoints").and_then(Value::as_object).into_iter().flatten().take(ENDPOINTS_MAX);
    let rows = endpoints.flat_map(|(number, endpoint)| {
        let rows = endpoint.get("bindings").and_then(Value::as_array).into_iter().flatten();
        let number = number.parse().ok();
        rows.filter_map(move |one| row(number?, one))
    });
    rows.take(BINDINGS_MAX).collect()
}

/// A device that has joined and told nothing yet.
pub fn joined(id: DeviceId, name: &str) -> Listed {
    let entry = serde_json::json!({ "ieee_address": id.0, "friendly_name": name });
    listed(&entry).expect("it has an address and is no coordinator")
}

/// `0x` and 16 hexadecimal digits, in lower case.
pub fn device_id(text: &str) -> Option<DeviceId> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 16)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| DeviceId(text.to_ascii_lowercase().into()))
}

/// Whether a device or a group may be called this: a name under which it can be subscribed to, and no part of the bridge.
pub fn is_topic(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.contains(['+', '#'])
        && !name.contains(char::is_control)
        && !name.starts_with('/')
        && !name.ends_with('/')
        && name != "bridge"
        && !name.starts_with("bridge/")
}

fn power(source: Option<&str>) -> Power {
    match source.map(str::to_ascii_lowercase).as_deref() {
        Some("battery") => Power::Battery,
        Some(text) if text.starts_with("mains") || text.starts_with("dc") || text.starts_with("emergency mains") => {
            Power::Mains
        }
        _ => Power::Unknown,
    }
}

fn details(entry: &Value, kind: &str, is_disabled: bool) -> Map<String, Value> {
    let mut details = Map::new();
    details.insert("type".into(), kind.into());
    if is_disabled {
        details.insert("disabled".into(), true.into());
    }
    for key in ["network_address", "model_id", "manufacturer", "software_build_id", "date_code"] {
        match entry.get(key) {
            Some(Value::String(text)) => drop(details.insert(key.into(), (*cut(text)).into())),
            Some(Value::Number(number)) => drop(details.insert(key.into(), number.clone().into())),
            _ => {}
        }
    }
    let endpoints = entry.get("endpoints").and_then(Value::as_object);
    let clusters = |endpoint: &Value| {
        let names = |side: &str| {
            let list = endpoint.get("clusters").and_then(|clusters| clusters.get(side)?.as_array());
            let names = list.into_iter().flatten().take(ENDPOINTS_MAX).filter_map(Value::as_str);
            Value::from(names.map(|name| (*cut(name)).into()).collect::<Vec<Value>>())
        };
        serde_json::json!({ "input": names("input"), "output": names("output") })
    };
    let endpoints: Map<String, Value> = endpoints
        .into_iter()
        .flatten()
        .take(ENDPOINTS_MAX)
        .map(|(number, endpoint)| ((*cut(number)).to_owned(), clusters(endpoint)))
        .collect();
    if !endpoints.is_empty() {
        details.insert("endpoints".into(), endpoints.into());
    }
    details
}

/// A group as the bridge lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: u16,
    pub topic: Box<str>,
    pub members: BTreeSet<DeviceId>,
}

/// `None` for what has no number or no name.
pub fn group(entry: &Value) -> Option<Group> {
    let id = u16::try_from(entry.get("id")?.as_u64()?).ok()?;
    let topic = entry.get("friendly_name")?.as_str().filter(|name| is_topic(name))?;
    let members = entry.get("members").and_then(Value::as_array);
    let members = members.into_iter().flatten();
    let members = members.filter_map(|member| device_id(member.get("ieee_address")?.as_str()?)).collect();
    Some(Group { id, topic: topic.into(), members })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_becomes_a_device() {
        let found = listed(&json!({
            "ieee_address": "0x00158D0000000B01", "type": "Router", "network_address": 4097, "supported": true,
            "friendly_name": "hall/lamp", "disabled": false, "power_source": "Mains (single phase)",
            "interview_state": "SUCCESSFUL", "interview_completed": false, "manufacturer": "innr", "model_id": "RB 285 C",
            "definition": {"model": "RB 285 C", "vendor": "Innr", "description": "E27 bulb", "exposes": [
                {"type": "numeric", "name": "linkquality", "property": "linkquality", "access": 1}]},
            "endpoints": {"1": {"clusters": {"input": ["genOnOff", 7], "output": []}, "bindings": []}},
        }))
        .unwrap();
        assert_eq!(&*found.topic, "hall/lamp");
        assert_eq!(&*found.info.id.0, "0x00158d0000000b01");
        assert_eq!(found.info.name.as_deref(), Some("hall/lamp"));
        assert_eq!(found.info.vendor.as_deref(), Some("Innr"));
        assert_eq!(found.info.power, Power::Mains);
        assert!(found.info.interviewed && found.info.supported && found.info.is_router && !found.is_disabled);
        assert_eq!(found.info.details.to_map()["endpoints"], json!({"1": {"input": ["genOnOff"], "output": []}}));
    }

    #[test]
    fn a_name_that_is_no_topic_is_not_taken() {
        for name in ["a+b", "#", "/a", "a/", "bridge", "bridge/state", "a\0b", "", &"x".repeat(300)] {
            let found = listed(&json!({"ieee_address": "0x00158d0000000b01", "friendly_name": name})).unwrap();
            assert_eq!((&*found.topic, found.info.name), ("0x00158d0000000b01", None), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_device_is_none() {
        for entry in [
            json!(null),
            json!("0x00158d0000000b01"),
            json!({"ieee_address": "0x00158d0000000b0"}),
            json!({"ieee_address": "0x00158d0000000b0g"}),
            json!({"ieee_address": 5}),
            json!({"ieee_address": "0x00124b0014b5c001", "type": "Coordinator"}),
        ] {
            assert_eq!(listed(&entry), None, "{entry}");
        }
    }

    #[test]
    fn a_device_is_bound_to_devices_and_groups() {
        let device = "0x00158d0000000b01";
        let found = listed(&json!({"ieee_address": device, "endpoints": {
            "1": {"bindings": [
                {"cluster": "genOnOff", "target": {"type": "endpoint", "ieee_address": device, "endpoint": 11}},
                {"cluster": "genLevelCtrl", "target": {"type": "group", "id": 5}},
                {"cluster": 6, "target": {"type": "group", "id": 5}},
                {"cluster": "genOnOff", "target": {"type": "group", "id": 70_000}},
                {"cluster": "genOnOff", "target": {"type": "endpoint", "ieee_address": "me"}}, {"cluster": "genOnOff"}, 7]},
            "left": {"bindings": [{"cluster": "genOnOff", "target": {"type": "group", "id": 5}}]}}}));
        let to = BindTarget::Device { id: DeviceId(device.into()), endpoint: Some(11) };
        let rows = [
            Bound { endpoint: 1, cluster: "genOnOff".into(), to },
            Bound { endpoint: 1, cluster: "genLevelCtrl".into(), to: BindTarget::Group(5) },
        ];
        assert_eq!(found.unwrap().bound, rows);
    }

    #[test]
    fn a_group_has_its_members() {
        let found = group(&json!({"id": 5, "friendly_name": "g1", "members": [
            {"ieee_address": "0x00158d0000000b01", "endpoint": 1}, {"ieee_address": "?"}, 3]}))
        .unwrap();
        assert_eq!(found.members.len(), 1);
        assert_eq!(group(&json!({"id": 70_000, "friendly_name": "g"})), None);
        assert_eq!(group(&json!({"id": 1, "friendly_name": "#"})), None);
    }
}
