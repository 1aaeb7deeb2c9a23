//! Batteries (ZCL r8 §3.3): per cent, millivolts, and whether they are low.

use serde_json::Value as Json;

use super::*;

const VOLTAGE: u16 = 0x0020;
const PERCENTAGE: u16 = 0x0021;
const ALARM_STATE: u16 = 0x003e;
/// Bits of the three batteries' thresholds.
const LOW_BITS: u64 = 0xf << 20 | 0xf << 10 | 0xf;

pub struct Battery {
    has_percentage: bool,
    has_voltage: bool,
    has_low: bool,
    is_divided: bool,
    /// The percentage is not trusted, and made out of the voltage.
    curve: Curve,
    is_readable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Curve {
    None,
    /// Full and empty, mV.
    Line(f64, f64),
    /// A lithium cell of 3 V that is empty at 2.1 V.
    Lithium2100,
    /// One that is empty at 1.5 V and full at 2.8 V.
    Lithium1500,
}

impl Curve {
    fn of(fact: &Fact) -> Curve {
        match fact.text() {
            Some("3V_2100") => Curve::Lithium2100,
            Some("3V_1500_2800") => Curve::Lithium1500,
            _ => match (fact.get("max").number(), fact.get("min").number()) {
                (Some(max), Some(min)) => Curve::Line(max, min),
                _ => Curve::None,
            },
        }
    }

    /// Per cent of a voltage, mV.
    fn percent(self, mv: f64) -> Option<f64> {
        /// Voltage, and what is left at it.
        const LITHIUM: [(f64, f64); 5] =
            [(2100.0, 0.0), (2440.0, 6.0), (2740.0, 18.0), (2900.0, 42.0), (3000.0, 100.0)];
        let percent = match self {
            Curve::None => return None,
            Curve::Line(max, min) => (mv - min) / (max - min) * 100.0,
            Curve::Lithium1500 => 235.0 - 370_000.0 / (mv + 1.0),
            Curve::Lithium2100 => match LITHIUM.iter().position(|(at, _)| mv < *at) {
                Some(0) => 0.0,
                None => 100.0,
                Some(at) => {
                    let ((low, from), (high, to)) = (LITHIUM[at - 1], LITHIUM[at]);
                    from + (mv - low) / (high - low) * (to - from)
                }
            },
        };
        Some(percent.clamp(0.0, 100.0).round())
    }
}

impl Battery {
    pub fn of_block(args: &Fact) -> Battery {
        Battery {
            has_percentage: args.get("p").is_true(),
            has_voltage: args.get("v").is_true(),
            has_low: args.get("l").is_true(),
            is_divided: !args.get("d").is_true(),
            curve: Curve::of(args.get("vp")),
            is_readable: true,
        }
    }

    /// Of a device that nobody knows.
    pub fn percentage() -> Battery {
        let curve = Curve::None;
        Battery { has_percentage: true, has_voltage: false, has_low: false, is_divided: true, curve, is_readable: true }
    }

    /// The converter of older definitions, which tells all three.
    pub fn of_meta(meta: &Meta) -> Battery {
        let battery = meta.get("battery");
        Battery {
            has_percentage: true,
            has_voltage: true,
            has_low: true,
            is_divided: !battery.get("dontDividePercentage").is_true(),
            curve: Curve::of(battery.get("voltageToPercentage")),
            is_readable: false,
        }
    }
}

impl Convert for Battery {
    fn access(&self, name: &str) -> u8 {
        let read = if self.is_readable { GET } else { 0 };
        match name {
            "battery" if self.has_percentage || self.curve != Curve::None => STATE | read,
            "voltage" if self.has_voltage => STATE | read,
            "battery_low" if self.has_low => STATE,
            _ => 0,
        }
    }

    fn decode(&self, _context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let told = |id: u16| attribute(heard, POWER, id).and_then(Value::as_f64);
        let percentage =
            told(PERCENTAGE).filter(|raw| *raw < 255.0 && self.curve == Curve::None && self.has_percentage);
        if let Some(raw) = percentage {
            let percent = if self.is_divided { raw / 2.0 } else { raw };
            out.changes.insert("battery".into(), number(rounded(percent, 2)));
        }
        if let Some(raw) = told(VOLTAGE).filter(|raw| *raw < 255.0) {
            let mv = raw * 100.0;
            if self.has_voltage {
                out.changes.insert("voltage".into(), number(mv));
            }
            out.changes.extend(self.curve.percent(mv).map(|percent| ("battery".into(), number(percent))));
        }
        if self.has_low
            && let Some(bits) = attribute(heard, POWER, ALARM_STATE).and_then(Value::as_u64)
        {
            out.changes.insert("battery_low".into(), Json::from(bits & LOW_BITS != 0));
        }
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        match name {
            "battery" if self.is_readable && self.curve == Curve::None => context.read(endpoint, POWER, &[PERCENTAGE]),
            "battery" | "voltage" if self.is_readable => context.read(endpoint, POWER, &[VOLTAGE]),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voltages_as_percentages() {
        let line = Curve::Line(3000.0, 2500.0);
        for (curve, mv, percent) in [
            (line, 2750.0, 50.0),
            (line, 3300.0, 100.0),
            (line, 2000.0, 0.0),
            (Curve::Lithium2100, 3000.0, 100.0),
            (Curve::Lithium2100, 2900.0, 42.0),
            (Curve::Lithium2100, 2800.0, 27.0),
            (Curve::Lithium2100, 2000.0, 0.0),
            (Curve::Lithium1500, 2800.0, 100.0),
        ] {
            assert_eq!(curve.percent(mv), Some(percent), "{curve:?} {mv}");
        }
        assert_eq!(Curve::None.percent(3000.0), None);
    }
}
