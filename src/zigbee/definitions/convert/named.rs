//! Converters that definitions name, a few lines each: `fz` tell, `tz` set and read. Those that are not here are not known.

use super::energy::{ELECTRICAL, METERING, Readable};
use super::mapped::Mapped;
use super::*;
use crate::zigbee::definitions::table::bytes;

/// Tuya's additions to standard clusters.
const TUYA_MODE: u16 = 0xe001;
const TUYA_ON_OFF: u16 = 0x0006;

/// The blocks of a converter; `None`: nobody here knows it.
pub fn blocks(name: &str, args: &Fact, traits: &Traits) -> Option<Vec<Box<dyn Convert>>> {
    fn one(block: impl Convert + 'static) -> Option<Vec<Box<dyn Convert>>> {
        Some(vec![Box::new(block)])
    }
    fn many(mapped: Vec<Mapped>) -> Option<Vec<Box<dyn Convert>>> {
        Some(mapped.into_iter().map(|mapped| Box::new(mapped) as Box<dyn Convert>).collect())
    }
    if name == "?" {
        return program(args, traits);
    }
    let (family, converter) = name.rsplit_once('.')?;
    if converter.starts_with("ignore_") || QUIET.contains(&name) {
        return one(Nothing);
    }
    match (family, converter) {
        ("fz", "on_off" | "on_off_skip_duplicate_transaction" | "on_off_force_multiendpoint") => one(switch::State),
        ("tz", "on_off") => one(switch::Switch),
        ("fz", "power_on_behavior") => one(switch::power_on_behavior().with_access(STATE)),
        ("tz", "power_on_behavior") => one(switch::power_on_behavior().with_access(SET | GET)),
        ("fz", "brightness") => one(light::Brightness),
        ("tz", "light_onoff_brightness" | "light_brightness_step" | "light_brightness_move") => one(light::Light),
        ("fz", "level_config") => one(light::LevelConfig { is_set: false }),
        ("tz", "level_config") => one(light::LevelConfig { is_set: true }),
        ("tz", "effect") => one(light::Effect),
        ("fz", "color_colortemp") => one(color::Told),
        ("tz", "light_color_colortemp") => {
            one(color::Color { has_color: true, has_temperature: true, is_by_color: false })
        }
        ("tz", "light_color") => one(color::Color { has_color: true, has_temperature: false, is_by_color: false }),
        ("tz", "light_colortemp") => one(color::Color { has_color: false, has_temperature: true, is_by_color: false }),
        ("tz", "light_color_and_colortemp_via_color") => {
            one(color::Color { has_color: true, has_temperature: true, is_by_color: true })
        }
        ("tz", "light_colortemp_startup") => one(color::Startup),
        ("tz", "light_colortemp_move" | "light_colortemp_step") => one(color::Moved),
        ("tz", "light_color_options") => one(color::ColorOptions),
        ("fz", "battery") => one(battery::Battery::of_meta(&traits.meta)),
        ("tz", "battery_percentage_remaining") => one(Readable { name: "battery", cluster: POWER, attribute: 0x0021 }),
        ("tz", "battery_voltage") => one(Readable { name: "voltage", cluster: POWER, attribute: 0x0020 }),
        ("fz" | "tz", "identify") if family == "tz" => one(identify::Identify),
        ("fz", "temperature") => one(told("temperature", 0x0402, 0, 100.0)),
        ("tz", "temperature") => one(read("temperature", 0x0402, 0, 100.0)),
        ("fz", "humidity") => one(told("humidity", 0x0405, 0, 100.0)),
        ("tz", "humidity") => one(read("humidity", 0x0405, 0, 100.0)),
        ("fz", "pressure") => one(told("pressure", 0x0403, 0, 1.0)),
        ("tz", "pressure") => one(read("pressure", 0x0403, 0, 1.0)),
        ("fz", "soil_moisture") => one(told("soil_moisture", 0x0408, 0, 100.0)),
        ("fz", "co2") => one(told("co2", 0x040d, 0, 0.000_001).with_places(0)),
        ("fz", "pm25") => one(told("pm25", 0x042a, 0, 1.0)),
        ("fz", "device_temperature") => one(told("device_temperature", 0x0002, 0, 1.0)),
        ("fz", "illuminance") => one(mapped::illuminance().with_access(STATE)),
        ("fz", "occupancy") => one(mapped::occupancy().with_access(STATE)),
        ("tz", "occupancy") => one(mapped::occupancy().with_access(GET)),
        ("fz", "occupancy_with_timeout") => one(Motion),
        ("fz", "occupancy_timeout") => one(told("occupancy_timeout", 0x0406, 0x0010, 1.0)),
        ("tz", "occupancy_timeout") => {
            one(Mapped::number("occupancy_timeout", 0x0406, 0x0010, 1.0).with_access(SET | GET))
        }
        ("fz", "metering") => one(energy::Told(METERING)),
        ("tz", "currentsummdelivered") => tiers(&[
            ("energy", 0x0000),
            ("energy_tier_1", 0x0100),
            ("energy_tier_2", 0x0102),
            ("energy_tier_3", 0x0104),
            ("energy_tier_4", 0x0106),
        ]),
        ("tz", "currentsummreceived") => tiers(&[
            ("produced_energy", 0x0001),
            ("produced_energy_tier_1", 0x0101),
            ("produced_energy_tier_2", 0x0103),
        ]),
        ("fz", "lighting_ballast_configuration") => many(ballast(STATE)),
        ("tz", "ballast_config") => many(ballast(SET | GET)),
        ("fz", "electrical_measurement") => one(energy::Told(ELECTRICAL)),
        ("fz", "linkquality_from_basic") => one(Nothing),
        ("fz", "cover_position_tilt") => one(cover::Told),
        ("tz", "cover_state") => one(cover::State),
        ("tz", "cover_position_tilt") => one(cover::Position),
        ("tz", "cover_mode") => one(cover::Mode),
        ("fz" | "tz", "cover_position_via_brightness" | "cover_via_brightness") => one(cover::ByLevel),
        (
            "fz",
            "lock"
            | "lock_operation_event"
            | "lock_programming_event"
            | "lock_pin_code_response"
            | "lock_user_status_response"
            | "lock_programming_event_read_pincode",
        ) => one(lock::Told),
        ("tz", "lock") => one(lock::Lock),
        ("tz", "pincode_lock") => one(lock::PinCode),
        ("tz", "lock_sound_volume") => one(lock::volume()),
        ("tz", "lock_auto_relock_time") => one(lock::relock()),
        ("fz", "thermostat") => many(climate::told(&traits.meta)),
        ("tz", "thermostat_setpoint_raise_lower") => one(climate::RaiseLower),
        ("tz", "thermostat_keypad_lockout") => one(climate::keypad(SET | GET)),
        ("tz", "thermostat_temperature_display_mode") => one(climate::display(SET | GET)),
        ("fz", "hvac_user_interface") => many(climate::user_interface(STATE)),
        ("tz", thermostat) if thermostat.starts_with("thermostat_") => {
            one(climate::set(&thermostat["thermostat_".len()..], &traits.meta)?)
        }
        ("fz", "fan") => Some(vec![Box::new(climate::fan_mode(STATE)), Box::new(climate::FanState { is_set: false })]),
        ("tz", "fan_mode") => {
            Some(vec![Box::new(climate::fan_mode(SET | GET)), Box::new(climate::FanState { is_set: true })])
        }
        ("tz", "warning" | "warning_simple") => one(ias::Warning::plain()),
        ("fz", "command_status_change_notification_action") => one(actions::ZoneButton),
        ("fz", zone) if zone.starts_with("ias_") => one(self::zone(zone)?),
        ("fz", command) if command.starts_with("command_") => one(actions::Commands::of(command)?),
        ("tz", quantity) if quantity_of(quantity).is_some() => one(quantity_of(quantity)?),
        ("lumi.fz", "lumi_specific" | "lumi_basic") => one(lumi::Report),
        ("tuya.fz", "TS011F_electrical_measurement") => one(energy::Told(ELECTRICAL)),
        ("tuya.fz" | "tuya.tz", "on_off_countdown") => one(switch::Countdown),
        ("legacy.fz" | "legacy.tz", "tuya_switch" | "tuya_switch_state") => one(tuya::Gangs),
        ("tuya.fz" | "tuya.tz", converter) => {
            tuya_zcl(family, converter).map(|mapped| Box::new(mapped) as Box<dyn Convert>).map(|block| vec![block])
        }
        ("philips.tz", "effect") => Some(vec![Box::new(philips::Set { scenes: Vec::new() }), Box::new(light::Effect)]),
        ("philips.tz", "gradient_scene") => one(philips::Set { scenes: scenes(args) }),
        ("philips.tz", "hue_power_on_behavior") => one(switch::power_on_behavior().with_access(SET | GET)),
        _ => None,
    }
}

/// Known, and nothing is to be done: what they do is done elsewhere, or an option that the hub does not have.
const QUIET: [&str; 11] = [
    "philips.tz.hue_power_on_error",
    "tz.light_color_mode",
    "tz.light_hue_saturation_move",
    "tz.light_hue_saturation_step",
    "tuya.fz.datapoints",
    "tuya.tz.datapoints",
    "tuya.fz.mcu_version",
    "fz.identify",
    "fz.ias_enroll",
    "fz.meter_identification",
    "fz.power_source",
];

/// Programs that set what every lamp sets: on the air they are lamps like others, with more that is left aside.
fn program(args: &Fact, traits: &Traits) -> Option<Vec<Box<dyn Convert>>> {
    if args.text() == Some("manuSpecificPhilips2") {
        return Some(vec![Box::new(philips::Told)]);
    }
    let keys: Vec<_> = args.list().iter().filter_map(Fact::text).collect();
    let has = |name: &str| keys.contains(&name);
    let is_light = has("state") && has("brightness") && has("brightness_percent") && !has("position");
    let (has_color, has_temperature) = (has("color"), has("color_temp"));
    let is_color = (has_color || has_temperature) && has("color_temp_percent") || keys == ["color"];
    let mut blocks: Vec<Box<dyn Convert>> = Vec::new();
    if is_light {
        blocks.push(Box::new(light::Light));
    } else if keys == ["state", "on_time", "off_wait_time"] || keys == ["state"] {
        blocks.push(Box::new(switch::Switch));
    }
    if is_color {
        blocks.push(Box::new(color::Color { has_color, has_temperature, is_by_color: traits.is_without_white }));
    }
    Some(blocks).filter(|blocks| !blocks.is_empty())
}

/// Scenes of gradients, in hexadecimal.
fn scenes(args: &Fact) -> Vec<(&'static str, Vec<u8>)> {
    let scenes = args.get("l").map().iter();
    scenes.filter_map(|(name, hex)| Some((*name, bytes(hex.text()?)?))).collect()
}

fn told(name: &str, cluster: u16, attribute: u16, per: f64) -> Mapped {
    Mapped::number(name, cluster, attribute, per).with_access(STATE)
}

fn read(name: &str, cluster: u16, attribute: u16, per: f64) -> Mapped {
    Mapped::number(name, cluster, attribute, per).with_access(GET)
}

/// `ias_KIND_alarm_BIT`, with its endings.
fn zone(name: &str) -> Option<ias::Zone> {
    let name = name.strip_prefix("ias_")?;
    let (name, is_report) = name.strip_suffix("_report").map_or((name, false), |name| (name, true));
    let (name, is_clearing) = name.strip_suffix("_with_timeout").map_or((name, false), |name| (name, true));
    let (kind, bit) = name.split_once("_alarm_").or_else(|| name.split_once("_only_alarm_"))?;
    let bit: u8 = bit.parse::<u8>().ok()?.checked_sub(1).filter(|bit| *bit < 2)?;
    let is_only = kind.ends_with("_only");
    let kind = kind.trim_end_matches("_only");
    let property = match kind {
        "water_leak" | "smoke" | "gas" | "carbon_monoxide" | "vibration" | "contact" | "occupancy" | "sos"
        | "alarm" | "rain" | "moving" => kind,
        _ => return None,
    };
    let others: &[&str] = if is_only { &[] } else { &["tamper", "battery_low"] };
    let zone = ias::Zone::simple(Some((property, bit, property == "contact")), others);
    let zone = if is_report { zone.by_report() } else { zone };
    // Smoke and gas are asked for, too.
    let zone = if matches!(property, "smoke" | "gas" | "carbon_monoxide" | "water_leak") {
        zone.with_attribute()
    } else {
        zone
    };
    Some(if is_clearing { zone.clearing() } else { zone })
}

fn tiers(tiers: &[(&'static str, u16)]) -> Option<Vec<Box<dyn Convert>>> {
    let readable = |(name, attribute): &(&'static str, u16)| {
        Box::new(Readable { name, cluster: METERING, attribute: *attribute }) as Box<dyn Convert>
    };
    Some(tiers.iter().map(readable).collect())
}

/// Lighting ballasts (ZCL r8 §5.3).
fn ballast(access: u8) -> Vec<Mapped> {
    let numbers = [
        ("ballast_physical_minimum_level", 0x0000),
        ("ballast_physical_maximum_level", 0x0001),
        ("ballast_minimum_level", 0x0010),
        ("ballast_maximum_level", 0x0011),
        ("ballast_power_on_level", 0x0012),
        ("ballast_power_on_fade_time", 0x0013),
        ("ballast_intrinsic_ballast_factor", 0x0014),
        ("ballast_ballast_factor_adjustment", 0x0015),
        ("ballast_lamp_quantity", 0x0020),
        ("ballast_lamp_rated_hours", 0x0032),
        ("ballast_lamp_burn_hours", 0x0033),
    ];
    numbers.iter().map(|(name, id)| Mapped::number(name, 0x0301, *id, 1.0).with_access(access)).collect()
}

/// Converters that read one quantity.
fn quantity_of(converter: &str) -> Option<Readable> {
    let (name, cluster, attribute) = match converter {
        "electrical_measurement_power" => ("power", ELECTRICAL, 0x050b),
        "electrical_measurement_power_phase_b" => ("power_phase_b", ELECTRICAL, 0x090b),
        "electrical_measurement_power_phase_c" => ("power_phase_c", ELECTRICAL, 0x0a0b),
        "electrical_measurement_power_reactive" => ("power_reactive", ELECTRICAL, 0x050e),
        "acvoltage" => ("voltage", ELECTRICAL, 0x0505),
        "acvoltage_phase_b" => ("voltage_phase_b", ELECTRICAL, 0x0905),
        "acvoltage_phase_c" => ("voltage_phase_c", ELECTRICAL, 0x0a05),
        "accurrent" => ("current", ELECTRICAL, 0x0508),
        "accurrent_phase_b" => ("current_phase_b", ELECTRICAL, 0x0908),
        "accurrent_phase_c" => ("current_phase_c", ELECTRICAL, 0x0a08),
        "accurrent_neutral" => ("current_neutral", ELECTRICAL, 0x0309),
        "frequency" => ("ac_frequency", ELECTRICAL, 0x0300),
        "powerfactor" => ("power_factor", ELECTRICAL, 0x0510),
        "dcpower" => ("power", ELECTRICAL, 0x0106),
        "dcvoltage" => ("voltage", ELECTRICAL, 0x0100),
        "dccurrent" => ("current", ELECTRICAL, 0x0103),
        "metering_power" => ("power", METERING, 0x0400),
        _ => return None,
    };
    Some(Readable { name, cluster, attribute })
}

/// Tuya's attributes in standard clusters and in its own.
fn tuya_zcl(family: &str, converter: &str) -> Option<Mapped> {
    let access = if family == "tuya.fz" { STATE } else { SET | GET };
    let mapped = match converter {
        "power_on_behavior_1" => {
            Mapped::words("power_on_behavior", TUYA_ON_OFF, 0x8002, &[("off", 0), ("on", 1), ("previous", 2)])
        }
        "power_outage_memory" => {
            Mapped::words("power_outage_memory", TUYA_ON_OFF, 0x8002, &[("off", 0), ("on", 1), ("restore", 2)])
        }
        "power_on_behavior_2" => {
            Mapped::words("power_on_behavior", TUYA_MODE, 0xd010, &[("off", 0), ("on", 1), ("previous", 2)])
        }
        "switch_type" => {
            Mapped::words("switch_type", TUYA_MODE, 0xd030, &[("toggle", 0), ("state", 1), ("momentary", 2)])
        }
        "switch_type_curtain" => Mapped::words(
            "switch_type_curtain",
            TUYA_MODE,
            0xd030,
            &[("flip-switch", 0), ("sync-switch", 1), ("button-switch", 2), ("button2-switch", 3)],
        ),
        "switch_type_button" => Mapped::words("switch_type_button", TUYA_MODE, 0xd030, &[("release", 0), ("press", 1)]),
        "backlight_mode_low_medium_high" => {
            Mapped::words("backlight_mode", TUYA_ON_OFF, 0x8001, &[("low", 0), ("medium", 1), ("high", 2)])
        }
        "backlight_mode_off_normal_inverted" => {
            Mapped::words("backlight_mode", TUYA_ON_OFF, 0x8001, &[("off", 0), ("normal", 1), ("inverted", 2)])
        }
        "backlight_mode_off_on" => Mapped::words("backlight_mode", TUYA_ON_OFF, 0x5000, &[("OFF", 0), ("ON", 1)]),
        "backlight_indicator_mode_2" => Mapped::words("backlight_mode", TUYA_ON_OFF, 0x5000, &[("off", 0), ("on", 1)]),
        "indicator_mode" => {
            Mapped::words("indicator_mode", TUYA_ON_OFF, 0x8001, &[("off", 0), ("off/on", 1), ("on/off", 2), ("on", 3)])
        }
        "child_lock" => Mapped::words("child_lock", TUYA_ON_OFF, 0x8000, &[("LOCK", 1), ("UNLOCK", 0)])
            .with_type(crate::zigbee::zcl::DataType::Bool),
        _ => return None,
    };
    // What is set is not always read back by those who were asked to.
    Some(mapped.with_access(access))
}

/// A motion sensor that says when somebody moves, and never when nobody does.
struct Motion;

impl Convert for Motion {
    fn access(&self, name: &str) -> u8 {
        if name == "occupancy" { STATE } else { 0 }
    }

    fn decode(&self, _context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        if attribute(heard, ClusterId(0x0406), 0).and_then(Value::as_u64) != Some(1) {
            return;
        }
        out.changes.insert("occupancy".into(), true.into());
        let changes = [("occupancy".to_owned(), false.into())].into_iter().collect();
        out.later.push(crate::zigbee::definitions::Later { after: ias::CLEARED_AFTER, changes });
    }
}
