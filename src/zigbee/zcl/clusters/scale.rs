//! What the numbers of attributes mean where the specification says it: the unit, and how many of the number make one of it.

use crate::zigbee::types::{AttributeId, ClusterId};

/// A number divided by `per_unit` is in `unit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub per_unit: f64,
    pub unit: &'static str,
}

/// Cluster, attributes from and to, how many make one, the unit.
const SCALES: [(u16, u16, u16, f64, &str); 27] = [
    (0x0001, 0x0020, 0x0020, 10.0, "V"),
    (0x0001, 0x0021, 0x0021, 2.0, "%"),
    (0x0001, 0x0034, 0x0034, 10.0, "V"),
    (0x0002, 0x0000, 0x0002, 1.0, "°C"),
    (0x0008, 0x0001, 0x0001, 10.0, "s"),
    (0x0008, 0x0010, 0x0013, 10.0, "s"),
    (0x0020, 0x0000, 0x0002, 4.0, "s"),
    (0x0102, 0x0008, 0x0009, 1.0, "%"),
    (0x0201, 0x0000, 0x0006, 100.0, "°C"),
    (0x0201, 0x0007, 0x0008, 1.0, "%"),
    (0x0201, 0x0010, 0x0010, 10.0, "K"),
    (0x0201, 0x0011, 0x0018, 100.0, "°C"),
    (0x0201, 0x0019, 0x0019, 10.0, "K"),
    (0x0300, 0x0002, 0x0002, 10.0, "s"),
    (0x0300, 0x0003, 0x0004, 65536.0, ""),
    (0x0300, 0x0007, 0x0007, 1.0, "mired"),
    (0x0300, 0x400b, 0x400d, 1.0, "mired"),
    (0x0402, 0x0000, 0x0003, 100.0, "°C"),
    (0x0403, 0x0000, 0x0003, 1.0, "hPa"),
    (0x0404, 0x0000, 0x0003, 10.0, "m³/h"),
    (0x0405, 0x0000, 0x0003, 100.0, "%"),
    (0x0406, 0x0010, 0x0011, 1.0, "s"),
    (0x0408, 0x0000, 0x0003, 100.0, "%"),
    (0x0409, 0x0000, 0x0002, 100.0, "pH"),
    (0x040c, 0x0000, 0x0003, 0.000_001, "ppm"),
    (0x040d, 0x0000, 0x0003, 0.000_001, "ppm"),
    (0x042b, 0x0000, 0x0003, 0.000_001, "ppm"),
];

/// The specification's scale; `None`: the number has no unit, or other attributes of the device say it.
pub fn scale(cluster: ClusterId, attribute: AttributeId) -> Option<Scale> {
    let found = SCALES.iter().find(|(id, from, to, ..)| *id == cluster.0 && (*from..=*to).contains(&attribute.0));
    found.map(|(_, _, _, per_unit, unit)| Scale { per_unit: *per_unit, unit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::zcl::clusters::attribute;

    #[test]
    fn scales_are_of_attributes_that_exist() {
        for (cluster, from, to, per_unit, _) in SCALES {
            assert!(attribute(ClusterId(cluster), None, AttributeId(from)).is_some(), "{cluster:04x} {from:04x}");
            assert!(attribute(ClusterId(cluster), None, AttributeId(to)).is_some(), "{cluster:04x} {to:04x}");
            assert!(per_unit > 0.0);
        }
        let temperature = scale(ClusterId(0x0402), AttributeId(0)).expect("it has one");
        assert_eq!(2150.0 / temperature.per_unit, 21.5);
    }
}
