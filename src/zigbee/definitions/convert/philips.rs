//! Hue lamps say and take all of themselves in one piece (cluster 0xfc03, attribute 0x0002, command 0x00): effects, gradients,
//! and what every lamp has. A mask of 16 bit says what is in it, in an order of its own.

use serde_json::{Value as Json, json};

use super::*;
use crate::zigbee::zcl::Reader;

const HUE: ClusterId = ClusterId(0xfc03);
const PHILIPS: MakerCode = MakerCode(0x100b);
const STATE_ATTRIBUTE: u16 = 0x0002;
const MULTI_COLOR: u8 = 0x00;

const ON_OFF_FLAG: u16 = 0x0001;
const BRIGHTNESS: u16 = 0x0002;
const MIRED: u16 = 0x0004;
const XY: u16 = 0x0008;
const FADE: u16 = 0x0010;
const EFFECT: u16 = 0x0020;
const GRADIENT_PARAMS: u16 = 0x0040;
const EFFECT_SPEED: u16 = 0x0080;
const GRADIENT_COLORS: u16 = 0x0100;

const EFFECTS: [(&str, u8); 13] = [
    ("none", 0x00),
    ("candle", 0x01),
    ("fireplace", 0x02),
    ("colorloop", 0x03),
    ("sunrise", 0x09),
    ("sparkle", 0x0a),
    ("opal", 0x0b),
    ("glisten", 0x0c),
    ("sunset", 0x0d),
    ("underwater", 0x0e),
    ("cosmos", 0x0f),
    ("sunbeam", 0x10),
    ("enchant", 0x11),
];
const STYLES: [(&str, u8); 3] = [("linear", 0x00), ("scattered", 0x02), ("mirrored", 0x04)];

/// The corner of the gamut that 12 bits reach.
const X_MAX: f64 = 0.7347;
const Y_MAX: f64 = 0.8264;
/// More make a lamp refuse all.
const COLORS_MAX: usize = 9;
/// Scale and offset come in eighths.
const EIGHTHS: f64 = 8.0;

/// What a lamp says of itself.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    is_on: Option<bool>,
    brightness: Option<u8>,
    mired: Option<u16>,
    xy: Option<(u16, u16)>,
    effect: Option<u8>,
    speed: Option<u8>,
    params: Option<(u8, u8)>,
    /// Style, and each colour's 12 bits of x and y.
    gradient: Option<(u8, Vec<(u16, u16)>)>,
}

impl Whole {
    fn decode(bytes: &[u8]) -> Option<Whole> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u16().ok()?;
        let has = |flag: u16| flags & flag != 0;
        let mut whole = Whole::default();
        if has(ON_OFF_FLAG) {
            whole.is_on = Some(reader.u8().ok()? != 0);
        }
        if has(BRIGHTNESS) {
            whole.brightness = Some(reader.u8().ok()?);
        }
        if has(MIRED) {
            whole.mired = Some(reader.u16().ok()?);
        }
        if has(XY) {
            whole.xy = Some((reader.u16().ok()?, reader.u16().ok()?));
        }
        if has(FADE) {
            reader.u16().ok()?;
        }
        if has(EFFECT) {
            whole.effect = Some(reader.u8().ok()?);
        }
        if has(GRADIENT_COLORS) {
            let length = reader.u8().ok()?;
            let mut part = Reader::new(reader.take(usize::from(length)).ok()?);
            let (count, style, _) = (part.u8().ok()? >> 4, part.u8().ok()?, part.u16().ok()?);
            let colors = (0..count)
                .map_while(|_| part.array::<3>().ok())
                .map(|[a, b, c]| (u16::from(b & 0x0f) << 8 | u16::from(a), u16::from(c) << 4 | u16::from(b >> 4)));
            whole.gradient = Some((style, colors.collect()));
        }
        if has(EFFECT_SPEED) {
            whole.speed = Some(reader.u8().ok()?);
        }
        if has(GRADIENT_PARAMS) {
            whole.params = Some((reader.u8().ok()?, reader.u8().ok()?));
        }
        Some(whole)
    }

    fn encode(&self) -> Vec<u8> {
        let flags = [
            (self.is_on.is_some(), ON_OFF_FLAG),
            (self.brightness.is_some(), BRIGHTNESS),
            (self.mired.is_some(), MIRED),
            (self.xy.is_some(), XY),
            (self.effect.is_some(), EFFECT),
            (self.gradient.is_some(), GRADIENT_COLORS),
            (self.speed.is_some(), EFFECT_SPEED),
            (self.params.is_some(), GRADIENT_PARAMS),
        ];
        let mask = flags.iter().filter(|(is_there, _)| *is_there).fold(0, |mask, (_, flag)| mask | flag);
        let mut out = mask.to_le_bytes().to_vec();
        out.extend(self.is_on.map(u8::from));
        out.extend(self.brightness);
        out.extend(self.mired.into_iter().flat_map(u16::to_le_bytes));
        out.extend(self.xy.into_iter().flat_map(|(x, y)| [x, y]).flat_map(u16::to_le_bytes));
        out.extend(self.effect);
        if let Some((style, colors)) = &self.gradient {
            let count = colors.len().min(COLORS_MAX) as u8;
            out.extend([4 + 3 * count, count << 4, *style, 0, 0]);
            for (x, y) in colors.iter().take(COLORS_MAX) {
                out.extend([*x as u8, (x >> 8 & 0x0f) as u8 | ((y & 0x0f) << 4) as u8, (y >> 4) as u8]);
            }
        }
        out.extend(self.speed);
        out.extend(self.params.into_iter().flat_map(|(scale, offset)| [scale, offset]));
        out
    }
}

/// What is told of a lamp beside what all lamps tell.
pub struct Told;

impl Convert for Told {
    fn access(&self, name: &str) -> u8 {
        let is_ours = matches!(
            name,
            "effect" | "effect_speed" | "gradient" | "gradient_style" | "gradient_scale" | "gradient_offset"
        );
        if is_ours { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let bytes = attribute(heard, HUE, STATE_ATTRIBUTE).and_then(Value::as_bytes);
        let Some(whole) = bytes.and_then(Whole::decode) else { return };
        let mut tell = |name: &str, value: Option<Json>| {
            out.changes.extend(value.map(|value| (context.property(name, heard.endpoint), value)))
        };
        tell("state", whole.is_on.map(|is_on| switch::word(is_on).into()));
        tell("brightness", whole.brightness.map(Into::into));
        tell("color_temp", whole.mired.map(Into::into));
        let part = |raw: u16| number(rounded(f64::from(raw) / 65_535.0, 4));
        tell("color", whole.xy.map(|(x, y)| json!({ "x": part(x), "y": part(y) })));
        let mode = if whole.mired.is_some() { Some("color_temp") } else { whole.xy.map(|_| "xy") };
        tell("color_mode", mode.map(Into::into));
        let effect = whole.effect.and_then(|effect| EFFECTS.iter().find(|(_, raw)| *raw == effect));
        tell("effect", effect.map(|(word, _)| (*word).into()));
        tell("effect_speed", whole.speed.map(|speed| number(rounded(f64::from(speed) / 255.0, 2))));
        if let Some((style, colors)) = &whole.gradient {
            let word = STYLES.iter().find(|(_, raw)| raw == style).map_or("linear", |(word, _)| word);
            tell("gradient_style", Some(word.into()));
            let color =
                |(x, y): &(u16, u16)| color::hex_of_xy(f64::from(*x) / 4095.0 * X_MAX, f64::from(*y) / 4095.0 * Y_MAX);
            tell("gradient", Some(colors.iter().map(color).collect()));
        }
        if let Some((scale, offset)) = whole.params {
            tell("gradient_scale", Some(number(f64::from(scale) / EIGHTHS)));
            tell("gradient_offset", Some(number(f64::from(offset) / EIGHTHS)));
        }
    }
}

/// Effects and gradients.
pub struct Set {
    /// Scenes by name, each the whole command.
    pub scenes: Vec<(&'static str, Vec<u8>)>,
}

impl Convert for Set {
    fn access(&self, name: &str) -> u8 {
        match name {
            "effect" | "effect_speed" | "effect_color" | "gradient_scale" | "gradient_offset" => SET,
            "gradient" | "gradient_style" => SET | GET,
            "gradient_scene" if !self.scenes.is_empty() => SET,
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
        let mut whole = Whole::default();
        let of = request.endpoint.clone();
        let endpoint = context.endpoint(of.as_deref(), HUE);
        let full = |name: &str| context.full(name, of.as_deref());
        let send = |plan: &mut Plan, payload: Vec<u8>| {
            let body = Body::Cluster { command: MULTI_COLOR, payload };
            plan.commands.push(Command { endpoint, cluster: HUE, maker: Some(PHILIPS), body, is_answered: true });
        };
        if !self.scenes.is_empty()
            && let Some(value) = request.take("gradient_scene")
        {
            let word = as_word("gradient_scene", &value)?;
            let scene = self.scenes.iter().find(|(name, _)| *name == word);
            let (_, payload) = scene.ok_or_else(|| refusal("gradient_scene", "it knows no such scene"))?;
            send(plan, payload.clone());
            expect_taken(plan, full("gradient_scene"), value);
        }
        // Blinking and the like is what every lamp does.
        let word = request.values.get("effect").and_then(Json::as_str).map(str::to_lowercase);
        let stops = ["none", "stop_hue_effect", "stop_effect", "finish_effect"];
        let effect = word.filter(|word| stops.contains(&&**word) || EFFECTS.iter().any(|(name, _)| name == word));
        let mut blinking = None;
        if let Some(word) = effect {
            request.take("effect");
            // Whether it blinks or shows a candle, these end it.
            if matches!(&*word, "stop_effect" | "finish_effect") {
                blinking = Some(light::trigger(context, of.as_deref(), &word)?);
            }
            let raw = EFFECTS.iter().find(|(name, _)| *name == word).map_or(0, |(_, raw)| *raw);
            whole.effect = Some(raw);
            whole.is_on = (raw != 0).then_some(true);
            let told = if raw == 0 { "none" } else { &word };
            expect(plan, full("effect"), told.into(), 0.0);
        }
        let value = |request: &mut Request, name: &str, max: f64| {
            let value = request.take(name).map(|value| as_number(name, &value)).transpose();
            value.map(|value| value.map(|value| value.clamp(0.0, max)))
        };
        if let Some(speed) = value(request, "effect_speed", 1.0)? {
            whole.speed = Some((speed * 255.0).round() as u8);
            expect(plan, full("effect_speed"), number(speed), 0.02);
        }
        let (scale, offset) = (value(request, "gradient_scale", 31.0)?, value(request, "gradient_offset", 31.0)?);
        if scale.is_some() || offset.is_some() {
            let before =
                |name: &str, default: f64| memory.state.get(&*full(name)).and_then(Json::as_f64).unwrap_or(default);
            let [scale, offset] = [
                ("gradient_scale", scale.unwrap_or_else(|| before("gradient_scale", 1.0))),
                ("gradient_offset", offset.unwrap_or_else(|| before("gradient_offset", 0.0))),
            ]
            .map(|(name, value)| {
                expect(plan, full(name), number(value), 0.1);
                (value * EIGHTHS).round() as u8
            });
            whole.params = Some((scale, offset));
        }
        if let Some(color) = request.take("effect_color") {
            let parsed =
                color.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| color.clone());
            let xy = color::xy(&parsed).ok_or_else(|| refusal("effect_color", "it takes a colour such as #FF4400"))?;
            let part = |part: f64| (part * 65_535.0).round() as u16;
            whole.xy = Some((part(xy.0), part(xy.1)));
            expect_taken(plan, full("effect_color"), color);
        }
        self.gradient(context, request, memory, &mut whole, plan)?;
        if whole != Whole::default() {
            send(plan, whole.encode());
            plan.commands.extend(blinking);
            plan.reads.push(Read {
                endpoint,
                cluster: HUE,
                maker: Some(PHILIPS),
                attributes: vec![AttributeId(STATE_ATTRIBUTE)],
            });
        }
        Ok(())
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if self.access(name) & GET == 0 {
            return Vec::new();
        }
        let (endpoint, attributes) = (context.endpoint(endpoint, HUE), vec![AttributeId(STATE_ATTRIBUTE)]);
        vec![Read { endpoint, cluster: HUE, maker: Some(PHILIPS), attributes }]
    }
}

impl Set {
    /// `gradient`: colours from the first to the last; `gradient_style` alone puts those that are there another way.
    fn gradient(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        memory: &Memory,
        whole: &mut Whole,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let (colors, style) = (request.take("gradient"), request.take("gradient_style"));
        if colors.is_none() && style.is_none() {
            return Ok(());
        }
        let [gradient, gradient_style] =
            ["gradient", "gradient_style"].map(|name| context.full(name, request.endpoint()));
        let colors = colors.or_else(|| memory.state.get(&*gradient).cloned());
        let refused = || refusal("gradient", "it takes one to nine colours such as #FF4400");
        let colors = colors.as_ref().and_then(Json::as_array).ok_or_else(refused)?;
        if !(1..=COLORS_MAX).contains(&colors.len()) {
            return Err(refused());
        }
        let raw = |color: &Json| {
            let (x, y) = color::xy(color)?;
            let part = |part: f64, max: f64| ((part / max).clamp(0.0, 1.0) * 4095.0).round() as u16;
            Some((part(x, X_MAX), part(y, Y_MAX)))
        };
        let raws = colors.iter().map(raw).collect::<Option<Vec<_>>>().ok_or_else(refused)?;
        let word =
            style.as_ref().or_else(|| memory.state.get(&*gradient_style)).and_then(Json::as_str).unwrap_or("linear");
        let style = STYLES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let (word, style) = style.ok_or_else(|| refusal("gradient_style", "it knows no such style"))?;
        whole.gradient = Some((*style, raws));
        whole.is_on = Some(true);
        expect(plan, gradient_style, (*word).into(), 0.0);
        // Colours come back as near as 12 bits and the lamp's gamut are.
        expect_any(plan, gradient);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn states_as_recorded() {
        let bytes = [0xab, 0x00, 0x01, 0x53, 0xdf, 0x7e, 0x44, 0x6a, 0x01, 0x80];
        let whole = Whole::decode(&bytes).expect("a lamp with a candle");
        assert_eq!(
            (whole.is_on, whole.brightness, whole.effect, whole.speed),
            (Some(true), Some(0x53), Some(1), Some(0x80))
        );
        let gradient = "4b010164fb74346b1350000000f3297fda7d55da7d55f3297fda7d552800";
        let bytes: Vec<u8> = (0..gradient.len() / 2)
            .map(|at| u8::from_str_radix(&gradient[2 * at..2 * at + 2], 16).expect("hex"))
            .collect();
        let whole = Whole::decode(&bytes).expect("a gradient");
        assert_eq!(whole.gradient.as_ref().map(|(style, colors)| (*style, colors.len())), Some((0, 5)));
        assert_eq!(whole.params, Some((0x28, 0)));
        assert_eq!(whole.encode(), bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_lamp_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            if let Some(whole) = Whole::decode(&bytes) {
                let _ = whole.encode();
            }
        }
    }
}
