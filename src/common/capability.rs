//! What a device can show and do, in the words of Zigbee2MQTT's `exposes`: names, units, ranges. Made by whoever knows the
//! device, read by every door; whether it is true is no business of this file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One property of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capability {
    /// The key in the device's state: `state`, `brightness`, `temperature`, or with the endpoint's name behind it `state_left`.
    pub property: Box<str>,
    /// The property without its endpoint: `state` of `state_left`.
    pub name: Box<str>,
    /// The name of the endpoint, such as `left` or `l1`, where the device has several of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Box<str>>,
    /// What it is a part of: `light`, `switch`, `cover`, `climate`, `lock`, `fan`; absent for a property by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Domain>,
    #[serde(flatten)]
    pub kind: CapabilityKind,
    /// The device tells it by itself.
    pub reported: bool,
    /// `devices.set` takes it.
    pub settable: bool,
    /// It can be asked for.
    pub readable: bool,
    /// SI or the customary one: `°C`, `%`, `W`, `lx`, `mired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// `config` and `diagnostic` ones are not what the device is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
}

/// What values it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CapabilityKind {
    /// One of two, such as `"ON"` and `"OFF"`, or `true` and `false`.
    Binary {
        value_on: Value,
        value_off: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value_toggle: Option<Value>,
    },
    Numeric {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
        /// Words that stand for a value: `coolest` is 153.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        presets: Vec<Preset>,
    },
    Enum {
        values: Vec<Box<str>>,
    },
    Text {},
    /// An object of these, such as `color` of `x` and `y`.
    Composite {
        features: Vec<Capability>,
    },
    /// An array, of anything.
    List {},
}

/// A word for a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Preset {
    pub name: Box<str>,
    pub value: Value,
}

/// What a device, or a part of one, is to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    Light,
    Switch,
    Cover,
    Climate,
    Lock,
    Fan,
    /// It measures and has nothing to be set.
    Sensor,
    /// It is pressed: a remote, a button.
    Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Config,
    Diagnostic,
}
