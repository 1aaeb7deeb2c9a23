//! Thermostats and fans (ZCL r8 §6): all of it attributes, but for schedules.

use super::*;
use crate::zigbee::zcl::data_type::DataType;

const THERMOSTAT: u16 = 0x0201;
const USER_INTERFACE: u16 = 0x0204;
const FAN: u16 = 0x0202;

/// Property, attribute, how many make one. Temperatures are in 0.01 °C, those of calibration and dead band in 0.1 K.
const NUMBERS: [(&str, u16, f64); 20] = [
    ("local_temperature", 0x0000, 100.0),
    ("outdoor_temperature", 0x0001, 100.0),
    ("local_temperature_calibration", 0x0010, 10.0),
    ("occupied_cooling_setpoint", 0x0011, 100.0),
    ("occupied_heating_setpoint", 0x0012, 100.0),
    ("unoccupied_cooling_setpoint", 0x0013, 100.0),
    ("unoccupied_heating_setpoint", 0x0014, 100.0),
    ("min_heat_setpoint_limit", 0x0015, 100.0),
    ("max_heat_setpoint_limit", 0x0016, 100.0),
    ("min_cool_setpoint_limit", 0x0017, 100.0),
    ("max_cool_setpoint_limit", 0x0018, 100.0),
    ("min_setpoint_dead_band", 0x0019, 100.0),
    ("abs_min_heat_setpoint_limit", 0x0003, 100.0),
    ("abs_max_heat_setpoint_limit", 0x0004, 100.0),
    ("abs_min_cool_setpoint_limit", 0x0005, 100.0),
    ("abs_max_cool_setpoint_limit", 0x0006, 100.0),
    ("pi_cooling_demand", 0x0007, 2.55),
    ("pi_heating_demand", 0x0008, 2.55),
    ("temperature_setpoint_hold_duration", 0x0024, 1.0),
    ("setpoint_change_amount", 0x0031, 100.0),
];

/// Words, and the numbers that mean them.
type Words = &'static [(&'static str, i32)];

/// Property, attribute, words.
const WORDS: [(&str, u16, Words); 7] = [
    (
        "system_mode",
        0x001c,
        &[
            ("off", 0),
            ("auto", 1),
            ("cool", 3),
            ("heat", 4),
            ("emergency_heating", 5),
            ("precooling", 6),
            ("fan_only", 7),
            ("dry", 8),
            ("sleep", 9),
        ],
    ),
    (
        "control_sequence_of_operation",
        0x001b,
        &[
            ("cooling_only", 0),
            ("cooling_with_reheat", 1),
            ("heating_only", 2),
            ("heating_with_reheat", 3),
            ("cooling_and_heating_4-pipes", 4),
            ("cooling_and_heating_4-pipes_with_reheat", 5),
        ],
    ),
    (
        "programming_operation_mode",
        0x0025,
        &[("setpoint", 0), ("schedule", 1), ("schedule_with_preheat", 3), ("eco", 4)],
    ),
    ("running_mode", 0x001e, &[("off", 0), ("cool", 3), ("heat", 4)]),
    (
        // Bits of heat, cool, fan and their second stages (§6.3.2.2.3.6).
        "running_state",
        0x0029,
        &[
            ("idle", 0),
            ("heat", 1),
            ("cool", 2),
            ("fan_only", 4),
            ("heat", 5),
            ("cool", 6),
            ("heat", 8),
            ("heat", 9),
            ("heat", 13),
            ("cool", 16),
            ("cool", 18),
            ("cool", 20),
            ("cool", 22),
            ("heat", 33),
            ("cool", 34),
            ("heat", 65),
            ("cool", 66),
        ],
    ),
    ("setpoint_change_source", 0x0030, &[("manual", 0), ("schedule", 1), ("externally", 2)]),
    (
        "ac_louver_position",
        0x0045,
        &[("fully_closed", 1), ("fully_open", 2), ("quarter_open", 3), ("half_open", 4), ("three_quarters_open", 5)],
    ),
];

const KEYPAD: [(&str, i32); 6] = [("unlock", 0), ("lock1", 1), ("lock2", 2), ("lock3", 3), ("lock4", 4), ("lock5", 5)];
const FAN_MODES: [(&str, i32); 7] =
    [("off", 0), ("low", 1), ("medium", 2), ("high", 3), ("on", 4), ("auto", 5), ("smart", 6)];

/// Each property of a thermostat, of the attribute's own type.
fn property(name: &str, meta: &Meta) -> Option<Mapped> {
    if name == "occupancy" {
        return Some(Mapped::flag_of(name, THERMOSTAT, 0x0002, 0));
    }
    if name == "temperature_setpoint_hold" {
        return Some(Mapped::flags(name, THERMOSTAT, 0x0023));
    }
    if let Some((_, id, words)) = WORDS.iter().find(|(other, ..)| *other == name) {
        return Some(Mapped::words(name, THERMOSTAT, *id, words));
    }
    let (_, id, per) = NUMBERS.iter().find(|(other, ..)| *other == name)?;
    // 255 is all of it, of most makers.
    let is_percent = name.starts_with("pi_") && meta.get("thermostat").get("dontMapPIHeatingDemand").is_true();
    let per = if is_percent { 1.0 } else { *per };
    let mapped = Mapped::number(name, THERMOSTAT, *id, per);
    Some(if name.starts_with("pi_") { mapped.with_places(0) } else { mapped })
}

/// All that a thermostat tells.
pub fn told(meta: &Meta) -> Vec<Mapped> {
    let words = WORDS.iter().map(|(name, ..)| *name);
    let numbers = NUMBERS.iter().map(|(name, ..)| *name);
    let names = words.chain(numbers).chain(["occupancy", "temperature_setpoint_hold"]);
    names.filter_map(|name| property(name, meta)).map(|mapped| mapped.with_access(STATE)).collect()
}

/// What is set and read by a converter `thermostat_…`; of some there is nothing to set.
pub fn set(name: &str, meta: &Meta) -> Option<Mapped> {
    let access = match name {
        "local_temperature"
        | "running_state"
        | "running_mode"
        | "outdoor_temperature"
        | "occupancy"
        | "pi_heating_demand"
        | "pi_cooling_demand"
        | "setpoint_change_source"
        | "setpoint_change_amount" => GET,
        _ => SET | GET,
    };
    Some(property(name, meta)?.with_access(access))
}

/// `keypad_lockout` and `temperature_display_mode`.
pub fn user_interface(access: u8) -> Vec<Mapped> {
    vec![keypad(access), display(access)]
}

pub fn keypad(access: u8) -> Mapped {
    Mapped::words("keypad_lockout", USER_INTERFACE, 0x0001, &KEYPAD).with_access(access)
}

pub fn display(access: u8) -> Mapped {
    let words = [("celsius", 0), ("fahrenheit", 1)];
    Mapped::words("temperature_display_mode", USER_INTERFACE, 0x0000, &words).with_access(access)
}

pub fn fan_mode(access: u8) -> Mapped {
    Mapped::words("fan_mode", FAN, 0x0000, &FAN_MODES).with_access(access)
}

/// `fan_state`: off, or any mode that is not.
pub struct FanState {
    pub is_set: bool,
}

impl Convert for FanState {
    fn access(&self, name: &str) -> u8 {
        match (name, self.is_set) {
            ("fan_state" | "state", true) => SET | GET,
            ("fan_state" | "state", false) => STATE,
            _ => 0,
        }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let mode = attribute(heard, ClusterId(FAN), 0).and_then(Value::as_u64).filter(|_| !self.is_set);
        if let Some(mode) = mode {
            let word = if mode == 0 { "OFF" } else { "ON" };
            out.changes.insert(context.property("fan_state", heard.endpoint), word.into());
        }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.values.get("fan_state").filter(|_| self.is_set).cloned() else { return Ok(()) };
        request.take("fan_state");
        let on = context.traits.meta.get("fanStateOn").text().unwrap_or("on");
        let (word, mode) = match &*as_word("fan_state", &value)? {
            "on" => ("ON", on),
            "off" => ("OFF", "off"),
            _ => return Err(refusal("fan_state", "it takes ON or OFF")),
        };
        let raw = FAN_MODES.iter().find(|(other, _)| *other == mode).map_or(4, |(_, raw)| *raw);
        let cluster = ClusterId(FAN);
        let endpoint = context.endpoint(request.endpoint(), cluster);
        plan.commands.push(write(
            endpoint,
            cluster,
            None,
            0,
            Typed::new(DataType::Enum8, u64::from(raw.unsigned_abs())),
        ));
        expect(plan, context.full("fan_state", request.endpoint()), word.into(), 0.0);
        plan.reads.extend(context.read(request.endpoint(), cluster, &[0]));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        let is_ours = self.is_set && matches!(name, "fan_state" | "state");
        if is_ours { context.read(endpoint, ClusterId(FAN), &[0]) } else { Vec::new() }
    }
}

/// `setpoint_raise_lower`: `{mode, amount}`, °C.
pub struct RaiseLower;

impl Convert for RaiseLower {
    fn access(&self, name: &str) -> u8 {
        if name == "setpoint_raise_lower" { SET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("setpoint_raise_lower") else { return Ok(()) };
        let part = |name: &str| value.get(name).map(|value| as_number("setpoint_raise_lower", value)).transpose();
        let refused = || refusal("setpoint_raise_lower", "it takes {mode, amount}");
        let (mode, amount) = (part("mode")?.ok_or_else(refused)?, part("amount")?.ok_or_else(refused)?);
        let cluster = ClusterId(THERMOSTAT);
        let endpoint = context.endpoint(request.endpoint(), cluster);
        let tenths = (amount * 10.0).round().clamp(-128.0, 127.0);
        let given = [("mode", Value::Unsigned(mode.clamp(0.0, 2.0) as u64)), ("amount", Value::Signed(tenths as i64))];
        plan.commands.push(command(endpoint, cluster, "setpointRaiseLower", &given)?);
        expect_any(plan, context.full("occupied_heating_setpoint", request.endpoint()));
        plan.reads.extend(context.read(request.endpoint(), cluster, &[0x0012]));
        Ok(())
    }
}
