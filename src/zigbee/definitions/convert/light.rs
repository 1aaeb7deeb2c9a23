//! Brightness (ZCL r8 §3.10): levels 0 to 254, with state, over time.

use std::time::Duration;

use serde_json::Value as Json;

use super::switch::{self, ON_OFF_ATTRIBUTE};
use super::*;
use crate::zigbee::zcl::data_type::DataType;

const CURRENT_LEVEL: u16 = 0x0000;
const LEVEL_MAX: f64 = 254.0;
/// Lamps round a level to steps of their own.
const LEVEL_TOLERANCE: f64 = 2.0;

/// `brightness` as it is told.
pub struct Brightness;

impl Convert for Brightness {
    fn access(&self, name: &str) -> u8 {
        if name == "brightness" { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        if let Some(level) = attribute(heard, LEVEL, CURRENT_LEVEL).and_then(Value::as_u64) {
            out.changes.insert(context.property("brightness", heard.endpoint), level.into());
        }
    }
}

/// Sets `state` and `brightness` together: one command where one is enough.
pub struct Light;

impl Convert for Light {
    fn access(&self, name: &str) -> u8 {
        match name {
            "state" | "brightness" => SET | GET,
            "brightness_percent"
            | "brightness_move"
            | "brightness_step"
            | "brightness_move_onoff"
            | "brightness_step_onoff" => SET,
            _ => 0,
        }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        moved(context, request, plan)?;
        let percent =
            request.take("brightness_percent").map(|value| as_number("brightness_percent", &value)).transpose()?;
        let level = request.take("brightness").map(|value| as_number("brightness", &value)).transpose()?;
        let mut level = level.or(percent.map(|percent| percent.clamp(0.0, 100.0) * LEVEL_MAX / 100.0));
        let state = request.take("state");
        let word = state.as_ref().map(|state| as_word("state", state)).transpose()?;
        let has_time = request.transition_s.is_some();
        let is_on =
            |memory: &Memory| memory.state.get(&*context.full("state", request.endpoint())) == Some(&Json::from("ON"));
        match word.as_deref() {
            None if level.is_none() => return Ok(()),
            Some("off") if has_time && !context.traits.meta.get("noOffTransition").is_true() => level = Some(0.0),
            // A level is no use to a lamp that is to be off.
            Some("off") => level = None,
            Some("on") if has_time && level.is_none() && !is_on(memory) => {
                level = Some(remembered(context, request, memory))
            }
            _ => {}
        }
        match (level, state) {
            (Some(level), _) => brighten(context, request, level, plan),
            (None, Some(state)) => switch::switch(context, request, &state, plan),
            (None, None) => Ok(()),
        }
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        match name {
            "state" => context.read(endpoint, ON_OFF, &[ON_OFF_ATTRIBUTE]),
            "brightness" => context.read(endpoint, LEVEL, &[CURRENT_LEVEL]),
            _ => Vec::new(),
        }
    }
}

/// The level that it had before it went out; full where nobody knows.
fn remembered(context: &Context<'_>, request: &Request, memory: &Memory) -> f64 {
    let level = memory.state.get(&*context.full("brightness", request.endpoint())).and_then(Json::as_f64);
    level.filter(|level| *level >= 1.0).unwrap_or(LEVEL_MAX)
}

fn brighten(context: &Context<'_>, request: &Request, level: f64, plan: &mut Plan) -> Result<(), Refusal> {
    let mut level = level.round().clamp(0.0, LEVEL_MAX);
    if level == 1.0 && context.traits.meta.get("turnsOffAtBrightness1").is_true() {
        level = 2.0;
    }
    let endpoint = context.endpoint(request.endpoint(), LEVEL);
    let given = [("level", Value::Unsigned(level as u64)), ("transtime", request.transition_ds().into())];
    let name = if context.traits.meta.get("moveToLevelWithOnOffDisable").is_true() {
        "moveToLevel"
    } else {
        "moveToLevelWithOnOff"
    };
    plan.commands.push(command(endpoint, LEVEL, name, &given)?);
    let is_on = level > 0.0;
    expect(plan, context.full("state", request.endpoint()), switch::word(is_on).into(), 0.0);
    plan.reads.extend(context.read(request.endpoint(), ON_OFF, &[ON_OFF_ATTRIBUTE]));
    // A lamp that is off keeps telling some level.
    if is_on {
        expect(plan, context.full("brightness", request.endpoint()), number(level), LEVEL_TOLERANCE);
        plan.reads.extend(context.read(request.endpoint(), LEVEL, &[CURRENT_LEVEL]));
    }
    plan.lasts = plan.lasts.max(Duration::from_millis(u64::from(request.transition_ds()) * 100));
    Ok(())
}

/// `brightness_move` (levels a second, or stop) and `brightness_step` (levels).
fn moved(context: &Context<'_>, request: &mut Request, plan: &mut Plan) -> Result<(), Refusal> {
    let endpoint = context.endpoint(request.endpoint(), LEVEL);
    for (name, is_move, on_off) in [
        ("brightness_move", true, ""),
        ("brightness_move_onoff", true, "WithOnOff"),
        ("brightness_step", false, ""),
        ("brightness_step_onoff", false, "WithOnOff"),
    ] {
        let Some(value) = request.take(name) else { continue };
        let is_stop = value.as_str().is_some_and(|word| word == "stop") || is_move && value.as_f64() == Some(0.0);
        if is_stop {
            plan.commands.push(command(endpoint, LEVEL, &format!("stop{on_off}"), &[])?);
        } else {
            let by = as_number(name, &value)?;
            let (mode, size) =
                (Value::Unsigned(u64::from(by < 0.0)), Value::Unsigned(by.abs().round().min(254.0) as u64));
            let time = ("transtime", Value::from(request.transition_ds()));
            plan.commands.push(if is_move {
                command(endpoint, LEVEL, &format!("move{on_off}"), &[("movemode", mode), ("rate", size)])?
            } else {
                command(endpoint, LEVEL, &format!("step{on_off}"), &[("stepmode", mode), ("stepsize", size), time])?
            });
        }
        expect_any(plan, context.full("brightness", request.endpoint()));
        plan.reads.extend(context.read(request.endpoint(), LEVEL, &[CURRENT_LEVEL]));
    }
    Ok(())
}

/// `level_config`: what a lamp does by itself (§3.10.2.2).
pub struct LevelConfig {
    pub is_set: bool,
}

/// Words, and the values that mean them.
type Words = &'static [(&'static str, u64)];

/// Name, attribute, type, how many make one (a second has ten), and words for a value.
const LEVEL_CONFIG: [(&str, u16, DataType, f64, Words); 6] = [
    ("on_off_transition_time", 0x0010, DataType::U16, 10.0, &[]),
    ("on_transition_time", 0x0012, DataType::U16, 10.0, &[("disabled", 65_535)]),
    ("off_transition_time", 0x0013, DataType::U16, 10.0, &[("disabled", 65_535)]),
    ("on_level", 0x0011, DataType::U8, 1.0, &[("previous", 255)]),
    ("current_level_startup", 0x4000, DataType::U8, 1.0, &[("minimum", 0), ("previous", 255)]),
    ("default_move_rate", 0x0014, DataType::U8, 1.0, &[]),
];
const LEVEL_OPTIONS: u16 = 0x000f;

impl Convert for LevelConfig {
    fn access(&self, name: &str) -> u8 {
        match (name, self.is_set) {
            ("level_config", true) => SET | GET,
            ("level_config", false) => STATE,
            _ => 0,
        }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, memory: &mut Memory, out: &mut Decoded) {
        if self.is_set {
            return;
        }
        let mut told = serde_json::Map::new();
        for (name, id, _, per, words) in LEVEL_CONFIG {
            let Some(value) = attribute(heard, LEVEL, id).and_then(Value::as_u64) else { continue };
            let word = words.iter().find(|(_, raw)| *raw == value).map(|(word, _)| Json::from(*word));
            told.insert(name.to_owned(), word.unwrap_or_else(|| number(value as f64 / per)));
        }
        if let Some(options) = attribute(heard, LEVEL, LEVEL_OPTIONS).and_then(Value::as_u64) {
            told.insert("execute_if_off".to_owned(), (options & 1 == 1).into());
        }
        if told.is_empty() {
            return;
        }
        let property = context.property("level_config", heard.endpoint);
        // What was told before stays true.
        let mut whole = memory.state.get(&property).and_then(Json::as_object).cloned().unwrap_or_default();
        whole.extend(told);
        out.changes.insert(property, whole.into());
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.values.get("level_config").filter(|_| self.is_set).cloned() else { return Ok(()) };
        request.take("level_config");
        let config = value.as_object().ok_or_else(|| refusal("level_config", "it takes an object"))?;
        let endpoint = context.endpoint(request.endpoint(), LEVEL);
        let mut attributes = Vec::new();
        for (name, value) in config {
            if name == "execute_if_off" {
                let is_on = value.as_bool().ok_or_else(|| refusal(name, "it takes true or false"))?;
                plan.commands.push(write(
                    endpoint,
                    LEVEL,
                    None,
                    LEVEL_OPTIONS,
                    Typed::new(DataType::Bitmap8, u64::from(is_on)),
                ));
                attributes.push(LEVEL_OPTIONS);
                continue;
            }
            let row = LEVEL_CONFIG.iter().find(|(other, ..)| other == name);
            let (_, id, data_type, per, words) = row.ok_or_else(|| refusal("level_config", "it has no such part"))?;
            let word = words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, raw)| *raw as f64);
            let raw = word.map_or_else(|| as_number(name, value).map(|value| value * per), Ok)?;
            let raw = mapped::value_of_number(*data_type, raw).ok_or_else(|| refusal(name, "out of range"))?;
            plan.commands.push(write(endpoint, LEVEL, None, *id, Typed { data_type: *data_type, value: raw }));
            attributes.push(*id);
        }
        // Half of what a number can be told apart by.
        expect(plan, context.full("level_config", request.endpoint()), value, 0.05 + 1e-9);
        plan.reads.extend(context.read(request.endpoint(), LEVEL, &attributes));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name != "level_config" || !self.is_set {
            return Vec::new();
        }
        context.read(endpoint, LEVEL, &[0x0010, 0x0011, 0x0012, 0x0013, 0x4000, LEVEL_OPTIONS])
    }
}

/// `effect`: makes a lamp blink (ZCL r8 §3.5.2.3.3), or run through the colours: that lamps do, too, that have no colour loop (§3.2.11.4).
pub struct Effect;

/// Through all colours and back, unless a `transition` says how long.
const LAP_S: f64 = 15.0;

const IDENTIFY: ClusterId = ClusterId(0x0003);
const EFFECTS: [(&str, u8); 6] = [
    ("blink", 0),
    ("breathe", 1),
    ("okay", 2),
    ("channel_change", 0x0b),
    ("finish_effect", 0xfe),
    ("stop_effect", 0xff),
];

/// Lets a lamp blink, or stop that.
pub fn trigger(context: &Context<'_>, of: Option<&str>, word: &str) -> Result<Command, Refusal> {
    let effect = EFFECTS.iter().find(|(name, _)| *name == word);
    let (_, id) = effect.ok_or_else(|| refusal("effect", "it knows no such effect"))?;
    let given = [("effectid", (*id).into()), ("effectvariant", 0u8.into())];
    command(context.endpoint(of, IDENTIFY), IDENTIFY, "triggerEffect", &given)
}

impl Convert for Effect {
    fn access(&self, name: &str) -> u8 {
        if name == "effect" { SET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("effect") else { return Ok(()) };
        let word = as_word("effect", &value)?;
        let of = request.endpoint();
        plan.commands.push(match &*word {
            "colorloop" | "stop_colorloop" => {
                let lap_s = request.transition_s.filter(|seconds| *seconds > 0.0).unwrap_or(LAP_S);
                let (mode, rate) = match &*word {
                    "colorloop" => (1u8, (255.0 / lap_s).round().clamp(1.0, 255.0) as u8),
                    _ => (0, 1),
                };
                let given = [("movemode", mode.into()), ("rate", rate.into())];
                command(context.endpoint(of, COLOR), COLOR, "moveHue", &given)?
            }
            word => trigger(context, of, word)?,
        });
        expect_taken(plan, context.full("effect", of), value);
        Ok(())
    }
}
