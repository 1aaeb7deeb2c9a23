//! Scenes: what of a device is worth keeping, and how the house becomes so again. Pure.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::device::Device;
use super::groupcast::Groupcast;
use super::house::Home;
use super::names::{self, Called};
use super::plan::{Plan, Planned};
use super::source::DeviceId;
use super::values;
use crate::common::capability::{Capability, CapabilityKind, Domain};
use crate::common::error::ErrorBody;
use crate::common::who::Principal;
use crate::store::Scene;

/// What a scene sets. A lock is no matter of mood.
const CAPTURED: [Domain; 5] = [Domain::Light, Domain::Switch, Domain::Cover, Domain::Climate, Domain::Fan];

/// Properties that say the same as another one: of a light that is white, its colour; of a cover, that it is open.
const WHITE: &str = "color_temp";
const COLOUR: &str = "color";

impl Home {
    pub fn seen_scenes(&self, who: &Principal) -> impl Iterator<Item = &Arc<Scene>> {
        let devices = |scene: &Scene| scene.settings.iter().map(|one| one.device.clone()).collect::<Vec<_>>();
        self.scenes
            .values()
            .filter(move |scene| who.rooms.is_none() || self.are_seen(who, devices(scene).iter().map(String::as_str)))
    }

    pub fn find_scene(&self, who: &Principal, sought: &str) -> Result<&Arc<Scene>, ErrorBody> {
        let named: Vec<_> = self
            .seen_scenes(who)
            .map(|scene| (scene, scene.aliases.iter().map(|alias| alias.as_str().into()).collect::<Vec<Box<str>>>()))
            .collect();
        let called =
            named.iter().map(|(scene, aliases)| Called { id: &scene.id, name: &scene.name, aliases, thing: *scene });
        names::find("scene", sought, called)
    }

    /// What has to be sent for a scene. A device that cannot be as the scene says keeps nobody else from it.
    pub fn plan_scene(&self, who: &Principal, sought: &str, groupcast: &Groupcast) -> Result<Plan, ErrorBody> {
        let scene = self.find_scene(who, sought)?;
        let mut plan = Plan::default();
        for setting in &scene.settings {
            let id = DeviceId(setting.device.as_str().into());
            match (self.device(&id), self.source_of(&id)) {
                (Some(device), Some(source)) => {
                    let fit = values::fit(&device.name, &device.capabilities, &setting.set, true);
                    plan.devices.push(Planned { device: Arc::clone(device), source, fit });
                }
                _ => plan.absent.push(id),
            }
        }
        plan.parts = self.parts(&plan.devices, groupcast);
        Ok(plan)
    }
}

/// What a device is now, as it can be told again.
pub(super) fn captured(device: &Device) -> Map<String, Value> {
    let mut set = Map::new();
    for capability in device.capabilities.iter().filter(|one| is_captured(one)) {
        let Some(value) = device.state.get(&*capability.property).and_then(|value| again(capability, value)) else {
            continue;
        };
        let one = [(capability.property.to_string(), value)].into_iter().collect();
        if let Ok(fit) = values::fit(&device.name, &device.capabilities, &one, true) {
            for (property, value) in fit.set {
                // The first way of saying it: a colour has several.
                set.entry(property).or_insert(value);
            }
        }
    }
    if device.is_a(Domain::Light) {
        match set.get("state") == Some(&json!("OFF")) {
            // How bright a lamp would be is no part of its being off.
            true => set.retain(|property, _| property == "state"),
            false => match device.state.get("color_mode").and_then(Value::as_str) {
                Some("color_temp") => drop(set.remove(COLOUR)),
                Some(_) if set.contains_key(COLOUR) => drop(set.remove(WHITE)),
                _ => {}
            },
        }
    }
    if device.is_a(Domain::Cover) && set.contains_key("position") {
        set.remove("state");
    }
    set
}

/// What scenes are made of.
pub(super) fn is_captured(capability: &Capability) -> bool {
    let is_part = |part| CAPTURED.contains(&part);
    capability.settable && capability.category.is_none() && capability.part_of.is_some_and(is_part)
}

/// A reported value as a wish: of an object what can be set.
fn again(capability: &Capability, value: &Value) -> Option<Value> {
    let CapabilityKind::Composite { features } = &capability.kind else { return Some(value.clone()) };
    let fields = value.as_object()?.iter();
    let settable = |key: &str| features.iter().any(|one| one.settable && *one.property == *key);
    let fields: Map<_, _> =
        fields.filter(|(key, _)| settable(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::source::{Backend, RadioStatus, SourceEvent};
    use crate::home::testing::{climate, fields, lamp_with_colour, plug};

    fn device(mut info: crate::home::DeviceInfo, state: Value) -> Arc<Device> {
        info.state = fields(state);
        let mut home = Home::new([Backend::Simulated]);
        home.handle(0, SourceEvent::Radio(RadioStatus::Up), 1);
        home.handle(0, SourceEvent::All(vec![info]), 1);
        Arc::clone(home.all_devices().next().expect("a device"))
    }

    #[test]
    fn what_a_device_is_can_be_told_again() {
        let colour = json!({"x": 0.3, "y": 0.4, "hue": 20, "saturation": 50});
        for (info, state, kept) in [
            (plug("0x1"), json!({"state": "ON", "power": 3, "linkquality": 9}), json!({"state": "ON"})),
            (climate("0x1"), json!({"temperature": 20}), json!({})),
            (
                lamp_with_colour("0x1"),
                json!({"state": "OFF", "brightness": 9, "color_temp": 300, "color_mode": "color_temp"}),
                json!({"state": "OFF"}),
            ),
            (
                lamp_with_colour("0x1"),
                json!({"state": "ON", "brightness": 9, "color_temp": 300, "color_mode": "color_temp", "color": colour}),
                json!({"state": "ON", "brightness": 9, "color_temp": 300}),
            ),
            (
                lamp_with_colour("0x1"),
                json!({"state": "ON", "brightness": 9, "color_temp": 300, "color_mode": "xy", "color": colour}),
                json!({"state": "ON", "brightness": 9, "color": {"x": 0.3, "y": 0.4}}),
            ),
            (lamp_with_colour("0x1"), json!({"state": "ON", "brightness": 900}), json!({"state": "ON"})),
        ] {
            let device = device(info, state);
            let set = captured(&device);
            assert_eq!(Value::Object(set.clone()), kept);
            if !set.is_empty() {
                let fit = values::fit(&device.name, &device.capabilities, &set, true).expect("it can be told again");
                assert_eq!(fit.set, set);
            }
        }
    }
}
