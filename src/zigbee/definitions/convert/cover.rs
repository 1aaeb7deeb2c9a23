//! Covers (ZCL r8 §7.4). In the house 100 is open; on the air 100 is closed, but for makers who do it the other way round.

use serde_json::{Value as Json, json};

use super::*;
use crate::zigbee::zcl::data_type::DataType;

pub const COVERING: ClusterId = ClusterId(0x0102);
const LIFT: u16 = 0x0008;
const TILT: u16 = 0x0009;
const MODE: u16 = 0x0017;
/// Motors stop where they can, per cent.
const POSITION_TOLERANCE: f64 = 3.0;

/// Position, tilt and state as they are told.
pub struct Told;

impl Convert for Told {
    fn access(&self, name: &str) -> u8 {
        if matches!(name, "position" | "tilt" | "state" | "cover_mode") { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let meta = &context.traits.meta;
        let is_inverted = meta.get("coverInverted").is_true();
        let state_of = if meta.get("coverStateFromTilt").is_true() { TILT } else { LIFT };
        for (name, id) in [("position", LIFT), ("tilt", TILT)] {
            let raw = attribute(heard, COVERING, id).and_then(Value::as_u64).filter(|raw| *raw <= 100);
            let Some(raw) = raw else { continue };
            let position = if is_inverted { raw } else { 100 - raw };
            out.changes.insert(context.property(name, heard.endpoint), position.into());
            if id == state_of {
                let word = if position == 0 { "CLOSE" } else { "OPEN" };
                out.changes.insert(context.property("state", heard.endpoint), word.into());
            }
        }
        if let Some(mode) = attribute(heard, COVERING, MODE).and_then(Value::as_u64) {
            let flag = |bit: u8| mode >> bit & 1 == 1;
            let told = json!({
                "reversed": flag(0), "calibration": flag(1), "maintenance": flag(2), "led": flag(3),
            });
            out.changes.insert(context.property("cover_mode", heard.endpoint), told);
        }
    }
}

/// Opens, closes, stops.
pub struct State;

impl Convert for State {
    fn access(&self, name: &str) -> u8 {
        if name == "state" { SET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("state") else { return Ok(()) };
        let endpoint = context.endpoint(request.endpoint(), COVERING);
        let (name, word) = match &*as_word("state", &value)? {
            "open" | "on" => ("upOpen", "OPEN"),
            "close" | "off" => ("downClose", "CLOSE"),
            "stop" => ("stop", "STOP"),
            _ => return Err(refusal("state", "it takes OPEN, CLOSE or STOP")),
        };
        plan.commands.push(command(endpoint, COVERING, name, &[])?);
        // It takes a minute to be there; that it goes is what can be said at once.
        expect_begun(plan, context.full("state", request.endpoint()), word.into());
        Ok(())
    }
}

/// Sets and reads position and tilt.
pub struct Position;

impl Convert for Position {
    fn access(&self, name: &str) -> u8 {
        if matches!(name, "position" | "tilt") { SET | GET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let endpoint = context.endpoint(request.endpoint(), COVERING);
        let is_inverted = context.traits.meta.get("coverInverted").is_true();
        for (name, by, field) in [
            ("position", "goToLiftPercentage", "percentageliftvalue"),
            ("tilt", "goToTiltPercentage", "percentagetiltvalue"),
        ] {
            let Some(value) = request.take(name) else { continue };
            let position = as_number(name, &value)?.round();
            if !(0.0..=100.0).contains(&position) {
                return Err(refusal(name, "it takes 0 to 100"));
            }
            let raw = if is_inverted { position } else { 100.0 - position };
            plan.commands.push(command(endpoint, COVERING, by, &[(field, Value::Unsigned(raw as u64))])?);
            expect_begun(plan, context.full(name, request.endpoint()), number(position));
        }
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        match name {
            "position" => context.read(endpoint, COVERING, &[LIFT]),
            "tilt" => context.read(endpoint, COVERING, &[TILT]),
            _ => Vec::new(),
        }
    }
}

/// `cover_mode`: how the motor is built in.
pub struct Mode;

impl Convert for Mode {
    fn access(&self, name: &str) -> u8 {
        if name == "cover_mode" { SET | GET } else { 0 }
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name == "cover_mode" { context.read(endpoint, COVERING, &[MODE]) } else { Vec::new() }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("cover_mode") else { return Ok(()) };
        if !value.is_object() {
            return Err(refusal("cover_mode", "it takes {reversed, calibration, maintenance, led}"));
        }
        let flag = |name: &str| {
            let flag = value.get(name).map_or(Some(false), Json::as_bool);
            flag.map(u64::from).ok_or_else(|| refusal("cover_mode", &format!("{name} is true or false")))
        };
        let mode = flag("reversed")? | flag("calibration")? << 1 | flag("maintenance")? << 2 | flag("led")? << 3;
        let endpoint = context.endpoint(request.endpoint(), COVERING);
        plan.commands.push(write(endpoint, COVERING, None, MODE, Typed::new(DataType::Bitmap8, mode)));
        expect(plan, context.full("cover_mode", request.endpoint()), value, 0.0);
        plan.reads.extend(context.read(request.endpoint(), COVERING, &[MODE]));
        Ok(())
    }
}

/// A cover that is a lamp to the air: its level is its position.
pub struct ByLevel;

impl Convert for ByLevel {
    fn access(&self, name: &str) -> u8 {
        match name {
            "position" => STATE | SET | GET,
            "state" => STATE | SET | GET,
            _ => 0,
        }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let Some(level) = attribute(heard, LEVEL, 0).and_then(Value::as_f64) else { return };
        let position = self.turned(context, (level / 255.0 * 100.0).round());
        out.changes.insert(context.property("position", heard.endpoint), number(position));
        let word = if position > 0.0 { "OPEN" } else { "CLOSE" };
        out.changes.insert(context.property("state", heard.endpoint), word.into());
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let endpoint = context.endpoint(request.endpoint(), LEVEL);
        let state = request.take("state");
        let position = match (request.take("position"), state.as_ref()) {
            (Some(position), _) => as_number("position", &position)?,
            (None, None) => return Ok(()),
            (None, Some(state)) => match &*as_word("state", state)? {
                "stop" => {
                    plan.commands.push(command(endpoint, LEVEL, "stop", &[])?);
                    expect_begun(plan, context.full("state", request.endpoint()), "STOP".into());
                    return Ok(());
                }
                "open" => 100.0,
                "close" => 0.0,
                _ => return Err(refusal("state", "it takes OPEN, CLOSE or STOP")),
            },
        };
        let level = (self.turned(context, position) / 100.0 * 255.0).round().clamp(0.0, 255.0);
        let given = [("level", Value::Unsigned(level as u64)), ("transtime", 0u16.into())];
        plan.commands.push(command(endpoint, LEVEL, "moveToLevelWithOnOff", &given)?);
        expect(plan, context.full("position", request.endpoint()), number(position), POSITION_TOLERANCE);
        plan.reads.extend(context.read(request.endpoint(), LEVEL, &[0]));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if matches!(name, "position" | "state") { context.read(endpoint, LEVEL, &[0]) } else { Vec::new() }
    }
}

impl ByLevel {
    fn turned(&self, context: &Context<'_>, position: f64) -> f64 {
        if context.traits.meta.get("coverInverted").is_true() { 100.0 - position } else { position }
    }
}
