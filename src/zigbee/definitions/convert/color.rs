//! Colour and colour temperature (ZCL r8 §5.2): `color` as x and y or hue and saturation, `color_temp` in mired.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::zigbee::zcl::data_type::DataType;

const HUE: u16 = 0x0000;
const SATURATION: u16 = 0x0001;
const X: u16 = 0x0003;
const Y: u16 = 0x0004;
const MIRED: u16 = 0x0007;
const MODE: u16 = 0x0008;
const OPTIONS: u16 = 0x000f;
const ENHANCED_HUE: u16 = 0x4000;
const MIRED_STARTUP: u16 = 0x4010;

/// x and y are told in 1/65536, and lamps mix with what they have.
const XY_TOLERANCE: f64 = 0.02;
/// Degrees and per cent, told in 254 steps.
const HS_TOLERANCE: f64 = 3.0;
const MIRED_TOLERANCE: f64 = 3.0;

/// All of a lamp's colour as it is told.
pub struct Told;

impl Convert for Told {
    fn access(&self, name: &str) -> u8 {
        match name {
            "color" | "color_xy" | "color_hs" | "color_temp" | "color_temp_startup" | "color_mode"
            | "color_options" => STATE,
            _ => 0,
        }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, memory: &mut Memory, out: &mut Decoded) {
        let told = |id| attribute(heard, COLOR, id).and_then(Value::as_f64);
        let mut insert = |name: &str, value: Json| out.changes.insert(context.property(name, heard.endpoint), value);
        if let Some(mired) = told(MIRED) {
            insert("color_temp", number(mired));
        }
        if let Some(mired) = told(MIRED_STARTUP) {
            insert("color_temp_startup", number(mired));
        }
        if let Some(mode) = told(MODE) {
            let word = match mode as u8 {
                0 => "hs",
                1 => "xy",
                _ => "color_temp",
            };
            insert("color_mode", word.into());
        }
        if let Some(options) = told(OPTIONS) {
            insert("color_options", json!({ "execute_if_off": options as u64 & 1 == 1 }));
        }
        let mut color = Map::new();
        let parts = [
            ("x", X, 65_535.0, 1.0, 4),
            ("y", Y, 65_535.0, 1.0, 4),
            ("saturation", SATURATION, 254.0, 100.0, 0),
            ("hue", HUE, 254.0, 360.0, 0),
            ("hue", ENHANCED_HUE, 65_535.0, 360.0, 1),
        ];
        for (name, id, whole, range, places) in parts {
            if let Some(raw) = told(id) {
                color.insert(name.to_owned(), number(rounded(raw / whole * range, places)));
            }
        }
        if !color.is_empty() {
            let property = context.property("color", heard.endpoint);
            let before = memory.state.get(&property).and_then(Json::as_object).cloned().unwrap_or_default();
            let mut all = before;
            all.extend(color);
            out.changes.insert(property, all.into());
        }
    }
}

/// Sets `color`, `color_temp`, or both as far as the lamp has them.
pub struct Color {
    pub has_color: bool,
    pub has_temperature: bool,
    /// It knows colours alone, and is told a temperature as one.
    pub is_by_color: bool,
}

impl Convert for Color {
    fn access(&self, name: &str) -> u8 {
        match name {
            "color" | "color_xy" | "color_hs" if self.has_color => SET | GET,
            "color_temp" if self.has_temperature => SET | GET,
            "color_temp_percent" if self.has_temperature => SET,
            _ => 0,
        }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        if self.has_color
            && let Some(color) = request.take("color")
        {
            set_color(context, request, &color, plan)?;
        }
        if self.has_temperature
            && let Some(mired) = request.take("color_temp")
        {
            let mired = as_number("color_temp", &mired)?;
            let endpoint = context.endpoint(request.endpoint(), COLOR);
            let mired = mired.round().clamp(0.0, 65_279.0);
            if self.is_by_color {
                let (x, y) = xy_of_mired(mired);
                move_to_xy(context, request, (x, y), plan)?;
                expect_taken(plan, context.full("color_temp", request.endpoint()), number(mired));
                return Ok(());
            }
            let given = [("colortemp", Value::Unsigned(mired as u64)), ("transtime", request.transition_ds().into())];
            plan.commands.push(command(endpoint, COLOR, "moveToColorTemp", &given)?);
            expect(plan, context.full("color_temp", request.endpoint()), number(mired), MIRED_TOLERANCE);
            plan.reads.extend(context.read(request.endpoint(), COLOR, &[MIRED, MODE]));
            lasts(request, plan);
        }
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        match name {
            "color_temp" if self.is_by_color => context.read(endpoint, COLOR, &[X, Y, MODE]),
            "color_temp" if self.has_temperature => context.read(endpoint, COLOR, &[MIRED, MODE]),
            "color" | "color_xy" if self.has_color => context.read(endpoint, COLOR, &[X, Y, MODE]),
            "color_hs" if self.has_color => context.read(endpoint, COLOR, &[HUE, SATURATION, MODE]),
            _ => Vec::new(),
        }
    }
}

fn lasts(request: &Request, plan: &mut Plan) {
    plan.lasts = plan.lasts.max(Duration::from_millis(u64::from(request.transition_ds()) * 100));
}

/// Colours come as `{x, y}`, `{hue, saturation}`, `{r, g, b}`, `{hex}` or a text of the last.
fn set_color(context: &Context<'_>, request: &Request, color: &Json, plan: &mut Plan) -> Result<(), Refusal> {
    let part = |name: &str| color.get(name).and_then(Json::as_f64);
    let endpoint = context.endpoint(request.endpoint(), COLOR);
    let time = || ("transtime", Value::from(request.transition_ds()));
    let property = context.full("color", request.endpoint());
    let hue = part("hue").or_else(|| part("h"));
    let saturation = part("saturation").or_else(|| part("s"));
    let meta = &context.traits.meta;
    let has_hue = meta.get("supportsHueAndSaturation").is_true();
    if (hue.is_some() || saturation.is_some()) && has_hue {
        let is_enhanced = meta.get("supportsEnhancedHue").is_true();
        let raw_saturation = saturation.map(|saturation| unsigned(saturation / 100.0, 254.0));
        let raw_hue =
            hue.map(|hue| unsigned(hue.rem_euclid(360.0) / 360.0, if is_enhanced { 65_535.0 } else { 254.0 }));
        let (name, mut given) = match (raw_hue, raw_saturation) {
            (Some(hue), Some(saturation)) if is_enhanced => {
                ("enhancedMoveToHueAndSaturation", vec![("enhancehue", hue), ("saturation", saturation)])
            }
            (Some(hue), Some(saturation)) => ("moveToHueAndSaturation", vec![("hue", hue), ("saturation", saturation)]),
            (Some(hue), None) if is_enhanced => {
                ("enhancedMoveToHue", vec![("enhancehue", hue), ("direction", 0u8.into())])
            }
            (Some(hue), None) => ("moveToHue", vec![("hue", hue), ("direction", 0u8.into())]),
            (None, saturation) => ("moveToSaturation", vec![("saturation", saturation.unwrap_or(Value::Unsigned(0)))]),
        };
        given.push(time());
        plan.commands.push(command(endpoint, COLOR, name, &given)?);
        let mut wanted = Map::new();
        wanted.extend(hue.map(|hue| ("hue".to_owned(), number(hue.rem_euclid(360.0)))));
        wanted.extend(saturation.map(|saturation| ("saturation".to_owned(), number(saturation))));
        expect(plan, property, wanted.into(), HS_TOLERANCE);
        plan.reads.extend(context.read(request.endpoint(), COLOR, &[HUE, SATURATION, MODE]));
    } else {
        let refused = || refusal("color", "it takes {x, y}, {hue, saturation}, {r, g, b} or {hex}");
        move_to_xy(context, request, xy(color).ok_or_else(refused)?, plan)?;
    }
    lasts(request, plan);
    Ok(())
}

fn move_to_xy(context: &Context<'_>, request: &Request, (x, y): (f64, f64), plan: &mut Plan) -> Result<(), Refusal> {
    let endpoint = context.endpoint(request.endpoint(), COLOR);
    let time = ("transtime", Value::from(request.transition_ds()));
    let given = [("colorx", unsigned(x, 65_535.0)), ("colory", unsigned(y, 65_535.0)), time];
    plan.commands.push(command(endpoint, COLOR, "moveToColor", &given)?);
    let color = json!({ "x": rounded(x, 4), "y": rounded(y, 4) });
    expect(plan, context.full("color", request.endpoint()), color, XY_TOLERANCE);
    plan.reads.extend(context.read(request.endpoint(), COLOR, &[X, Y, MODE]));
    lasts(request, plan);
    Ok(())
}

fn unsigned(part: f64, whole: f64) -> Value {
    Value::Unsigned((part.clamp(0.0, 1.0) * whole).round() as u64)
}

/// A colour's x and y, whatever it is said in.
pub fn xy(color: &Json) -> Option<(f64, f64)> {
    let part = |name: &str| color.get(name).and_then(Json::as_f64);
    match (part("x"), part("y")) {
        (Some(x), Some(y)) => Some((x.clamp(0.0, 1.0), y.clamp(0.0, 1.0))),
        _ => {
            let (hue, saturation) = (part("hue").or_else(|| part("h")), part("saturation").or_else(|| part("s")));
            let is_on_the_wheel = hue.is_some() || saturation.is_some();
            rgb(color, hue, saturation).map(|rgb| match is_on_the_wheel {
                // The wheel is no screen's: Zigbee2MQTT takes it as it is, and a colour is the same whoever sets it.
                true => xy_of_linear(rgb),
                false => xy_of_linear(linear(rgb)),
            })
        }
    }
}

/// The white of a lamp so warm: the Planckian locus by Kim's cubic splines (US patent 7024034, 2002), which hold from 1667 to 25,000 K.
fn xy_of_mired(mired: f64) -> (f64, f64) {
    let thousands = mired.clamp(40.0, 599.0) / 1000.0; // 1000 K / T
    let x = if thousands > 0.25 {
        ((-0.266_123_9 * thousands - 0.234_358_9) * thousands + 0.877_695_6) * thousands + 0.179_910
    } else {
        ((-3.025_846_9 * thousands + 2.107_037_9) * thousands + 0.222_634_7) * thousands + 0.240_390
    };
    let y = if thousands > 0.45 {
        ((-1.106_381_4 * x - 1.348_110_20) * x + 2.185_558_32) * x - 0.202_196_83
    } else if thousands > 0.25 {
        ((-0.954_947_6 * x - 1.374_185_93) * x + 2.091_370_15) * x - 0.167_488_67
    } else {
        ((3.081_758_0 * x - 5.873_386_70) * x + 3.751_129_97) * x - 0.370_014_83
    };
    (x, y)
}

/// The colour as screens have it, at full brightness: `#rrggbb`.
pub fn hex_of_xy(x: f64, y: f64) -> Json {
    let y = y.max(0.000_01);
    let (big_x, big_z) = (x / y, (1.0 - x - y) / y);
    let linear = [
        big_x * 1.656_492 - 0.354_851 - big_z * 0.255_038,
        -big_x * 0.707_196 + 1.655_397 + big_z * 0.036_152,
        big_x * 0.051_713 - 0.121_364 + big_z * 1.011_530,
    ];
    let most = linear.iter().fold(0.000_01, |most: f64, part| most.max(*part));
    let parts = linear.map(|part| {
        let part = (part / most).max(0.0);
        let gamma = if part <= 0.003_130_8 { 12.92 * part } else { 1.055 * part.powf(1.0 / 2.4) - 0.055 };
        (gamma * 255.0).round().clamp(0.0, 255.0) as u8
    });
    format!("#{:02x}{:02x}{:02x}", parts[0], parts[1], parts[2]).into()
}

/// Each 0 to 1.
fn rgb(color: &Json, hue: Option<f64>, saturation: Option<f64>) -> Option<[f64; 3]> {
    if let Some(text) = color.as_str().or_else(|| color.get("hex").and_then(Json::as_str)) {
        let digits = text.trim_start_matches('#');
        // A number may have a sign, a colour has none.
        let is_colour = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let packed = u32::from_str_radix(digits, 16).ok().filter(|_| is_colour)?;
        let [_, r, g, b] = packed.to_be_bytes();
        return Some([r, g, b].map(|part| f64::from(part) / 255.0));
    }
    let part = |name: &str| color.get(name).and_then(Json::as_f64);
    if let (Some(r), Some(g), Some(b)) = (part("r"), part("g"), part("b")) {
        return Some([r, g, b].map(|part| (part / 255.0).clamp(0.0, 1.0)));
    }
    if hue.is_none() && saturation.is_none() {
        return None;
    }
    let (hue, saturation) =
        (hue.unwrap_or(0.0).rem_euclid(360.0) / 60.0, saturation.unwrap_or(100.0).clamp(0.0, 100.0) / 100.0);
    // The six sides of the colour hexagon, at full value.
    let rising = |at: f64| 1.0 - saturation * ((at + hue) % 6.0).min(4.0 - (at + hue) % 6.0).clamp(0.0, 1.0);
    Some([rising(5.0), rising(3.0), rising(1.0)])
}

/// An sRGB colour as light.
fn linear(rgb: [f64; 3]) -> [f64; 3] {
    rgb.map(|part| if part > 0.040_45 { ((part + 0.055) / 1.055).powf(2.4) } else { part / 12.92 })
}

/// CIE 1931 of red, green and blue light for lamps of a wide gamut (D65).
fn xy_of_linear([r, g, b]: [f64; 3]) -> (f64, f64) {
    let x = r * 0.664_511 + g * 0.154_324 + b * 0.162_028;
    let y = r * 0.283_881 + g * 0.668_433 + b * 0.047_685;
    let z = r * 0.000_088 + g * 0.072_310 + b * 0.986_039;
    let sum = x + y + z;
    // Black has no colour; white is as good as any.
    if sum == 0.0 { (0.3227, 0.329) } else { (x / sum, y / sum) }
}

/// `color_temp_move` and `color_temp_step`, mired (a second).
pub struct Moved;

impl Convert for Moved {
    fn access(&self, name: &str) -> u8 {
        if matches!(name, "color_temp_step" | "color_temp_move") { SET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let endpoint = context.endpoint(request.endpoint(), COLOR);
        let limits = || [("minimum", 0u16.into()), ("maximum", 600u16.into())];
        let mode = |by: f64| {
            Value::Unsigned(if by == 0.0 {
                0
            } else if by > 0.0 {
                1
            } else {
                3
            })
        };
        if let Some(value) = request.take("color_temp_step") {
            let by = as_number("color_temp_step", &value)?;
            let mut given = vec![("stepmode", mode(by)), ("stepsize", Value::Unsigned(by.abs().round() as u64))];
            given.push(("transtime", request.transition_ds().into()));
            given.extend(limits());
            plan.commands.push(command(endpoint, COLOR, "stepColorTemp", &given)?);
        } else if let Some(value) = request.take("color_temp_move") {
            let by = if value.as_str() == Some("stop") { 0.0 } else { as_number("color_temp_move", &value)? };
            let mut given = vec![("movemode", mode(by)), ("rate", Value::Unsigned(by.abs().round() as u64))];
            given.extend(limits());
            plan.commands.push(command(endpoint, COLOR, "moveColorTemp", &given)?);
        } else {
            return Ok(());
        }
        expect_any(plan, context.full("color_temp", request.endpoint()));
        plan.reads.extend(context.read(request.endpoint(), COLOR, &[MIRED]));
        Ok(())
    }
}

/// `color_options`: whether it takes colours while it is off.
pub struct ColorOptions;

impl Convert for ColorOptions {
    fn access(&self, name: &str) -> u8 {
        if name == "color_options" { SET | GET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("color_options") else { return Ok(()) };
        let is_on = value.get("execute_if_off").and_then(Json::as_bool);
        let is_on = is_on.ok_or_else(|| refusal("color_options", "it takes {execute_if_off}"))?;
        let endpoint = context.endpoint(request.endpoint(), COLOR);
        plan.commands.push(write(endpoint, COLOR, None, OPTIONS, Typed::new(DataType::Bitmap8, u64::from(is_on))));
        expect(plan, context.full("color_options", request.endpoint()), value, 0.0);
        plan.reads.extend(context.read(request.endpoint(), COLOR, &[OPTIONS]));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name == "color_options" { context.read(endpoint, COLOR, &[OPTIONS]) } else { Vec::new() }
    }
}

/// `color_temp_startup`: mired when power comes back, or `previous`.
pub struct Startup;

impl Convert for Startup {
    fn access(&self, name: &str) -> u8 {
        if name == "color_temp_startup" { SET | GET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("color_temp_startup") else { return Ok(()) };
        let mired =
            if value.as_str() == Some("previous") { 65_535.0 } else { as_number("color_temp_startup", &value)? };
        let mired = mired.round().clamp(0.0, 65_535.0);
        let endpoint = context.endpoint(request.endpoint(), COLOR);
        plan.commands.push(write(endpoint, COLOR, None, MIRED_STARTUP, Typed::new(DataType::U16, mired as u64)));
        expect(plan, context.full("color_temp_startup", request.endpoint()), number(mired), 1.0);
        plan.reads.extend(context.read(request.endpoint(), COLOR, &[MIRED_STARTUP]));
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name == "color_temp_startup" { context.read(endpoint, COLOR, &[MIRED_STARTUP]) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(found: (f64, f64), wanted: (f64, f64)) -> bool {
        (found.0 - wanted.0).abs() < 0.001 && (found.1 - wanted.1).abs() < 0.001
    }

    /// As Zigbee2MQTT's `ColorHSV.toXY` has it: orange of a wheel is brighter in green than that of a screen.
    #[test]
    fn a_place_on_the_wheel_is_no_colour_of_a_screen() {
        let wheel = xy(&json!({ "hue": 30, "saturation": 100 })).expect("orange");
        assert!(is_near(wheel, (0.5313, 0.4428)), "{wheel:?}");
        let screen = xy(&json!({ "hex": "#ff8000" })).expect("orange");
        assert!(is_near(screen, (0.6112, 0.3750)) && !is_near(wheel, screen), "{screen:?}");
        assert_eq!(xy(&json!({ "hue": 0, "saturation": 100 })), xy(&json!("#ff0000")), "pure colours are the same");
    }

    /// Points of the locus as tables of it have them (Wyszecki, Stiles: "Color Science", 1982).
    #[test]
    fn a_temperature_is_a_colour() {
        for (kelvin, wanted) in [
            (2000.0, (0.5267, 0.4133)),
            (2700.0, (0.4599, 0.4106)),
            (3000.0, (0.4369, 0.4041)),
            (4000.0, (0.3805, 0.3768)),
            (6500.0, (0.3135, 0.3237)),
        ] {
            let found = xy_of_mired(1_000_000.0 / kelvin);
            assert!(is_near(found, wanted), "{kelvin}: {found:?}");
        }
        for wild in [0.0, 1.0, 65_279.0] {
            let (x, y) = xy_of_mired(wild);
            assert!((0.2..0.7).contains(&x) && (0.2..0.5).contains(&y), "{wild}: {x} {y}");
        }
    }

    #[test]
    fn colours_come_in_many_ways() {
        let red = xy(&json!({ "hex": "#ff0000" })).expect("red");
        assert!((red.0 - 0.7006).abs() < 0.001 && (red.1 - 0.2993).abs() < 0.001, "{red:?}");
        assert_eq!(rgb(&json!({ "r": 0, "g": 255, "b": 0 }), None, None), Some([0.0, 1.0, 0.0]));
        for (hue, expected) in
            [(0.0, [1.0, 0.0, 0.0]), (120.0, [0.0, 1.0, 0.0]), (240.0, [0.0, 0.0, 1.0]), (60.0, [1.0, 1.0, 0.0])]
        {
            assert_eq!(rgb(&json!({}), Some(hue), Some(100.0)), Some(expected), "{hue}");
        }
        assert_eq!(rgb(&json!({}), Some(0.0), Some(0.0)), Some([1.0, 1.0, 1.0]));
        for rubbish in ["red", "#+ff000", "#ff00", "#ff00000", ""] {
            assert_eq!(rgb(&json!({ "hex": rubbish }), None, None), None, "{rubbish}");
        }
        for hex in ["#ff0000", "#00ff00", "#0000ff", "#ffffff", "#ff8040"] {
            let (x, y) = xy(&json!(hex)).expect("a colour");
            let back = hex_of_xy(x, y);
            let parts = |text: &str| u32::from_str_radix(&text[1..], 16).expect("hex").to_be_bytes();
            let off = parts(hex).into_iter().zip(parts(back.as_str().expect("a text")));
            assert!(off.into_iter().all(|(a, b)| a.abs_diff(b) <= 2), "{hex} is {back}");
        }
    }
}
