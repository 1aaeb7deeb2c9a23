//! `brightness=50%` and `state=on` made into what a device takes, by what it says of itself. Knows no hub; what it cannot read goes
//! as it is, and the hub says what is wrong with it.

use serde_json::{Map, Value, json};

/// Colours by name, in degrees and percent.
const COLOURS: [(&str, u16, u8); 9] = [
    ("red", 0, 100),
    ("orange", 30, 100),
    ("yellow", 60, 100),
    ("green", 120, 100),
    ("cyan", 180, 100),
    ("blue", 240, 100),
    ("purple", 270, 100),
    ("magenta", 300, 100),
    ("pink", 330, 60),
];

/// `key=value` words as properties; `capabilities` are those of one device that is meant.
pub fn properties(words: &[String], capabilities: &[Value]) -> Result<Map<String, Value>, String> {
    let mut set = Map::new();
    for word in words {
        let (key, text) = word.split_once('=').ok_or_else(|| format!("{word:?} is no property=value"))?;
        let known = capabilities.iter().find(|one| one["property"] == key);
        let value = match known {
            Some(capability) => value(capability, text).map_err(|why| format!("{key}: {why}"))?,
            None => plain(text),
        };
        if set.insert(key.to_owned(), value).is_some() {
            return Err(format!("{key} stands twice"));
        }
    }
    Ok(set)
}

/// JSON where it is some, and text otherwise.
fn plain(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// One value, by its capability.
fn value(capability: &Value, text: &str) -> Result<Value, String> {
    match capability["type"].as_str().unwrap_or_default() {
        "binary" => binary(capability, text),
        "numeric" => numeric(capability, text),
        "enum" => choice(capability, text),
        "composite" => composite(capability, text),
        "text" => Ok(text.into()),
        _ => Ok(plain(text)),
    }
}

fn binary(capability: &Value, text: &str) -> Result<Value, String> {
    let own = |key: &str| capability.get(key).filter(|value| !value.is_null());
    for key in ["value_on", "value_off", "value_toggle"] {
        if let Some(value) = own(key)
            && is_word(value, text)
        {
            return Ok(value.clone());
        }
    }
    let key = match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => "value_on",
        "off" | "false" | "no" | "0" => "value_off",
        "toggle" => "value_toggle",
        _ => "",
    };
    own(key).cloned().ok_or_else(|| {
        let words = ["value_on", "value_off", "value_toggle"].into_iter().filter_map(own).map(spoken);
        format!("{text:?} is none of {}", words.collect::<Vec<_>>().join(", "))
    })
}

fn numeric(capability: &Value, text: &str) -> Result<Value, String> {
    let presets = capability["presets"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(preset) = presets.iter().find(|preset| is_word(&preset["name"], text)) {
        return Ok(preset["value"].clone());
    }
    let (min, max) = (capability["min"].as_f64(), capability["max"].as_f64());
    if let Some(share) = text.strip_suffix('%')
        && capability["unit"] != "%"
    {
        let share = share.trim().parse::<f64>().ok().filter(|share| (0.0..=100.0).contains(share));
        let share = share.ok_or_else(|| format!("{text:?} is no share of 0% to 100%"))?;
        let (Some(min), Some(max)) = (min, max) else { return Err("it has no range to take a share of".into()) };
        return Ok(number((min + (max - min) * share / 100.0).round()));
    }
    let parsed = text.trim_end_matches('%').trim().parse::<f64>().ok().filter(|number| number.is_finite());
    parsed.map(number).ok_or_else(|| {
        let names: Vec<_> = presets.iter().filter_map(|preset| preset["name"].as_str()).collect();
        let words = if names.is_empty() { String::new() } else { format!(" or one of {}", names.join(", ")) };
        format!("{text:?} is no number{words}")
    })
}

/// Whole numbers without a point.
fn number(value: f64) -> Value {
    // Exact: a device's numbers are far from where integers end.
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn choice(capability: &Value, text: &str) -> Result<Value, String> {
    let values = capability["values"].as_array().map_or(&[][..], Vec::as_slice);
    values
        .iter()
        .find(|value| is_word(value, text))
        .cloned()
        .ok_or_else(|| format!("{text:?} is none of {}", values.iter().map(spoken).collect::<Vec<_>>().join(", ")))
}

fn composite(capability: &Value, text: &str) -> Result<Value, String> {
    let features = capability["features"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |name: &str| features.iter().any(|feature| feature["name"] == name);
    let Some([red, green, blue]) = colour(text) else {
        return serde_json::from_str(text)
            .map_err(|_| "a JSON object is meant, or of a colour its name or #rrggbb".into());
    };
    if has("hue") {
        let (hue, saturation) = hue_and_saturation(red, green, blue);
        return Ok(json!({ "hue": hue, "saturation": saturation }));
    }
    if has("x") {
        let (x, y) = x_and_y(red, green, blue);
        return Ok(json!({ "x": x, "y": y }));
    }
    Err("it takes no colour".into())
}

/// Red, green and blue, 0 to 1.
fn colour(text: &str) -> Option<[f64; 3]> {
    if let Some((_, hue, saturation)) = COLOURS.iter().find(|(name, ..)| text.eq_ignore_ascii_case(name)) {
        let (hue, saturation) = (f64::from(*hue) / 60.0, f64::from(*saturation) / 100.0);
        let part = |at: f64| {
            let place = (at + hue) % 6.0;
            1.0 - saturation * place.min(4.0 - place).clamp(0.0, 1.0)
        };
        return Some([part(5.0), part(3.0), part(1.0)]);
    }
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok().map(|byte| f64::from(byte) / 255.0);
    Some([part(0)?, part(2)?, part(4)?])
}

/// Degrees and percent (HSV).
fn hue_and_saturation(red: f64, green: f64, blue: f64) -> (u16, u8) {
    let (max, min) = (red.max(green).max(blue), red.min(green).min(blue));
    let span = max - min;
    if span == 0.0 {
        return (0, 0);
    }
    let sixth = if max == red {
        ((green - blue) / span).rem_euclid(6.0)
    } else if max == green {
        (blue - red) / span + 2.0
    } else {
        (red - green) / span + 4.0
    };
    (((sixth * 60.0).round() as u16) % 360, (span / max * 100.0).round() as u8)
}

/// CIE 1931 of sRGB with D65 (IEC 61966-2-1).
fn x_and_y(red: f64, green: f64, blue: f64) -> (f64, f64) {
    let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
    let (red, green, blue) = (linear(red), linear(green), linear(blue));
    let x = 0.4124 * red + 0.3576 * green + 0.1805 * blue;
    let y = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let z = 0.0193 * red + 0.1192 * green + 0.9505 * blue;
    let sum = x + y + z;
    // Black has the colour of white.
    let (x, y) = if sum == 0.0 { (0.3127, 0.329) } else { (x / sum, y / sum) };
    ((x * 10_000.0).round() / 10_000.0, (y * 10_000.0).round() / 10_000.0)
}

fn is_word(value: &Value, text: &str) -> bool {
    spoken(value).eq_ignore_ascii_case(text)
}

fn spoken(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lamp() -> Vec<Value> {
        vec![
            json!({ "property": "state", "type": "binary", "value_on": "ON", "value_off": "OFF", "value_toggle": "TOGGLE" }),
            json!({ "property": "brightness", "type": "numeric", "min": 0, "max": 254 }),
            json!({ "property": "color_temp", "type": "numeric", "min": 153, "max": 500,
                "presets": [{ "name": "warm", "value": 454 }] }),
            json!({ "property": "color", "type": "composite", "features": [{ "name": "hue" }, { "name": "saturation" }] }),
            json!({ "property": "color_xy", "type": "composite", "features": [{ "name": "x" }, { "name": "y" }] }),
            json!({ "property": "effect", "type": "enum", "values": ["blink", "Breathe"] }),
            json!({ "property": "child_lock", "type": "binary", "value_on": true, "value_off": false }),
            json!({ "property": "position", "type": "numeric", "min": 0, "max": 100, "unit": "%" }),
            json!({ "property": "label", "type": "text" }),
        ]
    }

    fn read(words: &[&str]) -> Result<Value, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        properties(&words, &lamp()).map(Value::Object)
    }

    #[test]
    fn values_are_what_the_device_means() {
        for (word, meant) in [
            ("state=on", json!({ "state": "ON" })),
            ("state=OFF", json!({ "state": "OFF" })),
            ("state=yes", json!({ "state": "ON" })),
            ("state=toggle", json!({ "state": "TOGGLE" })),
            ("brightness=50", json!({ "brightness": 50 })),
            ("brightness=50%", json!({ "brightness": 127 })),
            ("brightness=100%", json!({ "brightness": 254 })),
            ("color_temp=Warm", json!({ "color_temp": 454 })),
            ("color=#ff0000", json!({ "color": { "hue": 0, "saturation": 100 } })),
            ("color=blue", json!({ "color": { "hue": 240, "saturation": 100 } })),
            ("color=pink", json!({ "color": { "hue": 330, "saturation": 60 } })),
            ("color={\"hue\":7}", json!({ "color": { "hue": 7 } })),
            ("color_xy=#ff0000", json!({ "color_xy": { "x": 0.6401, "y": 0.33 } })),
            ("color_xy=#000000", json!({ "color_xy": { "x": 0.3127, "y": 0.329 } })),
            ("effect=breathe", json!({ "effect": "Breathe" })),
            ("child_lock=on", json!({ "child_lock": true })),
            ("child_lock=false", json!({ "child_lock": false })),
            ("position=40%", json!({ "position": 40 })),
            ("position=40.5", json!({ "position": 40.5 })),
            ("label=42", json!({ "label": "42" })),
            ("other=42", json!({ "other": 42 })),
            ("other=a=b", json!({ "other": "a=b" })),
        ] {
            assert_eq!(read(&[word]), Ok(meant), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_is_said_with_what_can() {
        for (words, says) in [
            (&["state"][..], "no property=value"),
            (&["state=maybe"], "state: \"maybe\" is none of ON, OFF, TOGGLE"),
            (&["child_lock=toggle"], "none of true, false"),
            (&["brightness=bright"], "brightness: \"bright\" is no number"),
            (&["brightness=101%"], "0% to 100%"),
            (&["color_temp=cold"], "or one of warm"),
            (&["effect=spin"], "none of blink, Breathe"),
            (&["color=reddish"], "its name or #rrggbb"),
            (&["state=on", "state=off"], "stands twice"),
        ] {
            let why = read(words).expect_err("it cannot be");
            assert!(why.contains(says), "{words:?}: {why}");
        }
    }
}
