//! What a source tells of a device, within bounds: it may be the device's own words or those of another program, and is
//! hostile until it was here. Also what a device is to people and what a new one is called.

use serde_json::{Map, Value};

use super::names::{clean, clean_text};
use super::source::{DeviceId, DeviceInfo};
use crate::common::capability::{Capability, CapabilityKind, Category, Domain};
use crate::common::json_text::Details;

/// The longest id of a device, bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Properties of one device, known by their capability or not.
pub const STATE_LEN_MAX: usize = 256;

/// Events in one report: `action` and what belongs to it.
pub const EVENTS_LEN_MAX: usize = 32;

/// The longest value of a property, bytes of JSON.
pub const STATE_VALUE_BYTES_MAX: usize = 4_096;

/// All values of a device, bytes of JSON.
pub const STATE_BYTES_MAX: usize = 32 * 1_024;

/// The longest name of a property, bytes.
pub const PROPERTY_BYTES_MAX: usize = 128;

pub const CAPABILITIES_MAX: usize = 256;

/// What only an engineer asks for, bytes of JSON.
const DETAILS_BYTES_MAX: usize = 64 * 1_024;

/// A model, a vendor, a description; characters.
const TEXT_CHARS_MAX: usize = 256;

/// Words, presets or fields of one capability.
const CHOICES_MAX: usize = 512;

/// A device that has not told yet what it is.
const UNKNOWN: &str = "New device";

/// Words of catalogues' descriptions, the telling ones first, and what a device with them is called.
const CALLED: &[(&str, &str)] = &[
    ("bulb", "Bulb"),
    ("light strip", "Light strip"),
    ("led strip", "Light strip"),
    ("downlight", "Downlight"),
    ("ceiling light", "Ceiling light"),
    ("motion", "Motion sensor"),
    ("presence", "Presence sensor"),
    ("occupancy", "Motion sensor"),
    ("door", "Contact sensor"),
    ("contact", "Contact sensor"),
    ("leak", "Leak sensor"),
    ("smoke", "Smoke alarm"),
    ("temperature", "Climate sensor"),
    ("thermostat", "Thermostat"),
    ("radiator", "Radiator valve"),
    ("remote", "Remote"),
    ("button", "Button"),
    ("dimmer", "Dimmer"),
    ("curtain", "Curtain"),
    ("blind", "Blind"),
    ("shutter", "Shutter"),
    ("power strip", "Power strip"),
    ("plug", "Plug"),
    ("socket", "Socket"),
    ("outlet", "Socket"),
    ("relay", "Relay"),
    ("switch", "Switch"),
    ("lock", "Lock"),
    ("fan", "Fan"),
];

/// Properties that tell what a device without a telling description is.
const SHOWS: &[(&str, &str)] = &[
    ("occupancy", "Motion sensor"),
    ("presence", "Presence sensor"),
    ("contact", "Contact sensor"),
    ("water_leak", "Leak sensor"),
    ("smoke", "Smoke alarm"),
    ("action", "Remote"),
    ("temperature", "Climate sensor"),
    ("humidity", "Climate sensor"),
    ("illuminance", "Light sensor"),
];

/// Whether it can be a device at all.
pub(super) fn is_id(id: &DeviceId) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.0.len()) && !id.0.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// The same within bounds; `None`: there is no such device.
pub(super) fn bounded(mut info: DeviceInfo) -> Option<DeviceInfo> {
    if !is_id(&info.id) {
        return None;
    }
    info.name = info.name.and_then(|name| clean(&name)).map(Into::into);
    for text in [&mut info.model, &mut info.vendor, &mut info.description] {
        *text = text.take().and_then(|text| clean_text(&text, TEXT_CHARS_MAX));
    }
    info.capabilities.truncate(CAPABILITIES_MAX);
    info.capabilities.retain_mut(|capability| bounded_capability(capability, 0));
    let mut state = Map::new();
    overlay(&mut state, std::mem::take(&mut info.state), |_, _| {});
    info.state = state;
    if info.details.json_len() > DETAILS_BYTES_MAX {
        info.details = Details::default();
    }
    Some(info)
}

fn bounded_capability(capability: &mut Capability, depth: u8) -> bool {
    const DEPTH_MAX: u8 = 4;
    let is_name = |name: &str| (1..=PROPERTY_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if depth > DEPTH_MAX || !is_name(&capability.property) || !is_name(&capability.name) {
        return false;
    }
    for text in [&mut capability.unit, &mut capability.description, &mut capability.endpoint] {
        *text = text.take().and_then(|text| clean_text(&text, TEXT_CHARS_MAX));
    }
    match &mut capability.kind {
        CapabilityKind::Binary { value_on, value_off, value_toggle } => {
            [Some(value_on), Some(value_off), value_toggle.as_mut()].into_iter().flatten().all(|value| is_small(value))
        }
        CapabilityKind::Numeric { presets, .. } => {
            presets.truncate(CHOICES_MAX);
            presets.retain(|preset| is_name(&preset.name) && is_small(&preset.value));
            true
        }
        CapabilityKind::Enum { values } => {
            values.truncate(CHOICES_MAX);
            values.retain(|value| is_name(value));
            true
        }
        CapabilityKind::Composite { features } => {
            features.truncate(CHOICES_MAX);
            features.retain_mut(|feature| bounded_capability(feature, depth + 1));
            true
        }
        CapabilityKind::Text {} | CapabilityKind::List {} => true,
    }
}

/// Lays new values over a state, within its bounds, and tells `changed` of each that is new. `null`: nobody knows, and it is
/// taken out.
pub(super) fn overlay(
    state: &mut Map<String, Value>,
    changes: Map<String, Value>,
    mut changed: impl FnMut(&str, &Value),
) {
    // Measured only where there is something large: a device's values are small, and their number is bounded.
    let mut bytes = None;
    for (property, value) in changes.into_iter().take(STATE_LEN_MAX) {
        if value.is_null() {
            if state.remove(&property).is_some() {
                changed(&property, &value);
            }
            continue;
        }
        if state.get(&property) == Some(&value) || !is_small(&value) {
            continue;
        }
        let is_new = !state.contains_key(&property);
        if is_new && (state.len() >= STATE_LEN_MAX || property.len() > PROPERTY_BYTES_MAX) {
            continue;
        }
        if is_large(&value) {
            let before = state.get(&property).map_or(0, json_value_len);
            let after = *bytes.get_or_insert_with(|| json_len(state)) + json_value_len(&value) - before;
            if after > STATE_BYTES_MAX {
                continue;
            }
            bytes = Some(after);
        }
        changed(&property, &value);
        state.insert(property, value);
    }
}

/// Whether it is an event, told and not kept: `action`, and what belongs to one.
pub(super) fn is_event(property: &str) -> bool {
    property == "action" || property.starts_with("action_")
}

fn is_small(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= STATE_VALUE_BYTES_MAX,
        Value::Array(_) | Value::Object(_) => json_value_len(value) <= STATE_VALUE_BYTES_MAX,
        _ => true,
    }
}

/// Of a size of which many would be too much.
fn is_large(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() > 64,
        Value::Array(_) | Value::Object(_) => true,
        _ => false,
    }
}

fn json_len(map: &Map<String, Value>) -> usize {
    serde_json::to_vec(map).map_or(usize::MAX, |json| json.len())
}

fn json_value_len(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

/// What the device is to people, the first being what it is mostly.
pub(super) fn domains(capabilities: &[Capability]) -> Box<[Domain]> {
    const PARTS: [Domain; 6] =
        [Domain::Light, Domain::Cover, Domain::Climate, Domain::Lock, Domain::Fan, Domain::Switch];
    let has = |domain: &Domain| capabilities.iter().any(|one| one.part_of == Some(*domain));
    let mut domains: Vec<Domain> = PARTS.into_iter().filter(has).collect();
    if capabilities.iter().any(|one| is_event(&one.property) || one.part_of == Some(Domain::Remote)) {
        domains.push(Domain::Remote);
    }
    let measures = |one: &Capability| {
        let tells = one.category != Some(Category::Diagnostic) && one.category != Some(Category::Config);
        one.part_of == Some(Domain::Sensor) || tells && !one.settable && &*one.property != "linkquality"
    };
    if domains.is_empty() && capabilities.iter().any(measures) {
        domains.push(Domain::Sensor);
    }
    domains.into()
}

/// What a new one is called, before a number is put behind it.
pub(super) fn base_name(info: &DeviceInfo) -> String {
    if !info.interviewed {
        return UNKNOWN.into();
    }
    let described = info.description.as_deref().unwrap_or_default().to_lowercase();
    let word = CALLED.iter().find(|(word, _)| described.contains(word));
    if let Some((_, name)) = word {
        return (*name).into();
    }
    let name = match domains(&info.capabilities).first() {
        Some(Domain::Light) => "Lamp",
        Some(Domain::Cover) => "Blind",
        Some(Domain::Climate) => "Thermostat",
        Some(Domain::Lock) => "Lock",
        Some(Domain::Fan) => "Fan",
        Some(Domain::Switch) => match info.capabilities.iter().any(|one| &*one.property == "power") {
            true => "Plug",
            false => "Switch",
        },
        _ => {
            let shows = |(property, _): &&(&str, _)| info.capabilities.iter().any(|one| &*one.property == *property);
            SHOWS.iter().find(shows).map_or("Device", |(_, name)| *name)
        }
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::home::testing::{bulb, climate, contact, plug, remote};

    #[test]
    fn devices_are_called_what_they_are() {
        let nameless = |info: DeviceInfo| DeviceInfo { description: None, ..info };
        for (info, name, domain) in [
            (bulb("0x1"), "Bulb", Some(Domain::Light)),
            (nameless(bulb("0x1")), "Lamp", Some(Domain::Light)),
            (nameless(plug("0x2")), "Plug", Some(Domain::Switch)),
            (nameless(contact("0x3")), "Contact sensor", Some(Domain::Sensor)),
            (nameless(remote("0x4")), "Remote", Some(Domain::Remote)),
            (nameless(climate("0x5")), "Climate sensor", Some(Domain::Sensor)),
            (DeviceInfo { interviewed: false, capabilities: Vec::new(), ..bulb("0x6") }, "New device", None),
        ] {
            assert_eq!((base_name(&info).as_str(), domains(&info.capabilities).first().copied()), (name, domain));
        }
    }

    #[test]
    fn what_is_hostile_is_cut() {
        let info = DeviceInfo {
            name: Some("\u{202e}evil\u{0}\n name".into()),
            vendor: Some("v".repeat(10_000).into()),
            model: Some("\u{1b}[31m".into()),
            capabilities: vec![bulb("0x1").capabilities[0].clone(); 10_000],
            details: Details::new([("x".into(), json!("x".repeat(DETAILS_BYTES_MAX)))].into_iter().collect()),
            state: (0..10_000).map(|n| (format!("p{n}"), json!("x".repeat(5_000)))).collect(),
            ..bulb("0x1")
        };
        let info = bounded(info).expect("a device");
        assert_eq!((info.name.as_deref(), info.model.as_deref()), (Some("evil name"), Some("[31m")));
        assert_eq!((info.vendor.expect("some").len(), info.capabilities.len()), (TEXT_CHARS_MAX, CAPABILITIES_MAX));
        assert!(info.details.is_empty() && info.state.is_empty());
        for id in ["", "a b", "a\n", &"x".repeat(65)] {
            assert_eq!(bounded(bulb(id)), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn a_state_never_grows_past_its_bounds(
            rounds in prop::collection::vec(prop::collection::vec((0_usize..600, 0_usize..5_000), 1..300), 1..4)
        ) {
            let mut state = Map::new();
            for round in rounds {
                let changes = round.into_iter().map(|(n, len)| (format!("p{n}"), json!("x".repeat(len)))).collect();
                let before = state.clone();
                let mut told = Vec::new();
                overlay(&mut state, changes, |property, _| told.push(property.to_owned()));
                for (property, value) in &state {
                    prop_assert_eq!(before.get(property) != Some(value), told.contains(property));
                }
                prop_assert!(state.len() <= STATE_LEN_MAX && json_len(&state) <= STATE_BYTES_MAX + STATE_LEN_MAX * 200);
            }
        }
    }

    #[test]
    fn what_nobody_knows_any_more_goes() {
        let mut state: Map<_, _> = [("power".into(), json!(3))].into_iter().collect();
        let changes = [("power".into(), Value::Null), ("none".into(), Value::Null)].into_iter().collect();
        let mut told = Vec::new();
        overlay(&mut state, changes, |property, value| told.push((property.to_owned(), value.clone())));
        assert_eq!((state.len(), told), (0, vec![("power".into(), Value::Null)]));
    }
}
