//! The devices that the house can have, as tables: who they say they are, their endpoints, clusters and attributes.

/// ZCL type numbers (ZCL r8 §2.6.2).
pub mod kind {
    pub const BOOL: u8 = 0x10;
    pub const MAP8: u8 = 0x18;
    pub const MAP16: u8 = 0x19;
    pub const MAP32: u8 = 0x1b;
    pub const U8: u8 = 0x20;
    pub const U16: u8 = 0x21;
    pub const U24: u8 = 0x22;
    pub const U48: u8 = 0x25;
    pub const I16: u8 = 0x29;
    pub const I24: u8 = 0x2a;
    pub const ENUM8: u8 = 0x30;
    pub const ENUM16: u8 = 0x31;
    pub const TEXT: u8 = 0x42;
    pub const IEEE: u8 = 0xf0;
}
use kind::*;

/// What may be done with an attribute.
pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const REPORT: u8 = 4;
const RW: u8 = READ | WRITE;
const RP: u8 = READ | REPORT;

#[derive(Debug, Clone, Copy)]
pub enum First {
    Number(i64),
    Text(&'static str),
}
use First::{Number, Text};

#[derive(Debug, Clone, Copy)]
pub struct AttributeSpec {
    pub cluster: u16,
    pub id: u16,
    pub kind: u8,
    pub access: u8,
    pub first: First,
}

const fn n(cluster: u16, id: u16, kind: u8, access: u8, first: i64) -> AttributeSpec {
    AttributeSpec { cluster, id, kind, access, first: Number(first) }
}

const fn t(cluster: u16, id: u16, text: &'static str) -> AttributeSpec {
    AttributeSpec { cluster, id, kind: TEXT, access: READ, first: Text(text) }
}

#[derive(Debug)]
pub struct EndpointSpec {
    pub id: u8,
    pub profile: u16,
    pub device: u16,
    pub inputs: &'static [u16],
    pub outputs: &'static [u16],
    pub attributes: &'static [&'static [AttributeSpec]],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    Router,
    /// Sleeps, and asks its parent for messages every so many milliseconds.
    Sleeper {
        poll_ms: u64,
    },
}

#[derive(Debug)]
pub struct Model {
    /// As `--devices` and `press` name it.
    pub name: &'static str,
    pub title: &'static str,
    pub maker: &'static str,
    pub model: &'static str,
    pub maker_code: u16,
    /// Of the IEEE address.
    pub oui: u64,
    pub logical: Logical,
    /// Asks the trust centre for a key of its own after joining, as devices of Zigbee 3.0 do.
    pub wants_own_key: bool,
    pub endpoints: &'static [EndpointSpec],
    /// Its parent is this model, where one is in the house.
    pub parent: Option<&'static str>,
}

impl Model {
    pub fn is_sleepy(&self) -> bool {
        matches!(self.logical, Logical::Sleeper { .. })
    }

    pub fn by_name(name: &str) -> Option<&'static Model> {
        MODELS.iter().find(|model| model.name == name)
    }
}

pub const BASIC: u16 = 0x0000;
pub const POWER: u16 = 0x0001;
pub const IDENTIFY: u16 = 0x0003;
pub const GROUPS: u16 = 0x0004;
pub const SCENES: u16 = 0x0005;
pub const ON_OFF: u16 = 0x0006;
pub const LEVEL: u16 = 0x0008;
pub const TIME: u16 = 0x000a;
pub const OTA: u16 = 0x0019;
pub const COVERING: u16 = 0x0102;
pub const COLOR: u16 = 0x0300;
pub const TEMPERATURE: u16 = 0x0402;
pub const HUMIDITY: u16 = 0x0405;
pub const IAS_ZONE: u16 = 0x0500;
pub const METERING: u16 = 0x0702;
pub const ELECTRICAL: u16 = 0x0b04;
pub const TUYA: u16 = 0xef00;

const HA: u16 = 0x0104;

const MAINS: i64 = 1;
const BATTERY_POWERED: i64 = 3;

const ONOFF: &[AttributeSpec] = &[
    n(ON_OFF, 0x0000, BOOL, RP, 0),
    n(ON_OFF, 0x4000, BOOL, READ, 1),
    n(ON_OFF, 0x4001, U16, RW, 0),
    n(ON_OFF, 0x4002, U16, RW, 0),
    n(ON_OFF, 0x4003, ENUM8, RW, 0xff),
];
const DIMMING: &[AttributeSpec] = &[
    n(LEVEL, 0x0000, U8, RP, 254),
    n(LEVEL, 0x0001, U16, READ, 0),
    n(LEVEL, 0x000f, MAP8, RW, 0),
    n(LEVEL, 0x0010, U16, RW, 0),
    n(LEVEL, 0x0011, U8, RW, 0xff),
    n(LEVEL, 0x4000, U8, RW, 0xff),
];
const COLOURS: &[AttributeSpec] = &[
    n(COLOR, 0x0000, U8, RP, 0),
    n(COLOR, 0x0001, U8, RP, 0),
    n(COLOR, 0x0002, U16, READ, 0),
    n(COLOR, 0x0003, U16, RP, 0x616b),
    n(COLOR, 0x0004, U16, RP, 0x607d),
    n(COLOR, 0x0007, U16, RP, 370),
    n(COLOR, 0x0008, ENUM8, READ, 2),
    n(COLOR, 0x000f, MAP8, RW, 0),
    n(COLOR, 0x4000, U16, READ, 0),
    n(COLOR, 0x4001, ENUM8, READ, 2),
    n(COLOR, 0x400a, MAP16, READ, 0x1f),
    n(COLOR, 0x400b, U16, READ, 153),
    n(COLOR, 0x400c, U16, READ, 556),
    n(COLOR, 0x4010, U16, RW, 0xffff),
];
const IDENTIFYING: &[AttributeSpec] = &[n(IDENTIFY, 0x0000, U16, RW, 0)];
const GROUPING: &[AttributeSpec] = &[n(GROUPS, 0x0000, MAP8, READ, 0)];
const SCENERY: &[AttributeSpec] = &[
    n(SCENES, 0x0000, U8, READ, 0),
    n(SCENES, 0x0001, U8, READ, 0),
    n(SCENES, 0x0002, U16, READ, 0),
    n(SCENES, 0x0003, BOOL, READ, 0),
    n(SCENES, 0x0004, MAP8, READ, 0),
];
/// CR2450, in units of 0.1 V and 0.5 %.
const BATTERY: &[AttributeSpec] = &[n(POWER, 0x0020, U8, RP, 30), n(POWER, 0x0021, U8, RP, 190)];
const WARMTH: &[AttributeSpec] = &[
    n(TEMPERATURE, 0x0000, I16, RP, 2150),
    n(TEMPERATURE, 0x0001, I16, READ, -4000),
    n(TEMPERATURE, 0x0002, I16, READ, 12500),
];
const MOISTURE: &[AttributeSpec] =
    &[n(HUMIDITY, 0x0000, U16, RP, 4800), n(HUMIDITY, 0x0001, U16, READ, 0), n(HUMIDITY, 0x0002, U16, READ, 10000)];
const METER: &[AttributeSpec] = &[
    n(METERING, 0x0000, U48, RP, 1234),
    n(METERING, 0x0200, MAP8, READ, 0),
    n(METERING, 0x0300, ENUM8, READ, 0),
    n(METERING, 0x0301, U24, READ, 1),
    n(METERING, 0x0302, U24, READ, 100),
    n(METERING, 0x0303, MAP8, READ, 0),
    n(METERING, 0x0306, MAP8, READ, 0),
    n(METERING, 0x0400, I24, RP, 0),
];
const MAINS_FIGURES: &[AttributeSpec] = &[
    n(ELECTRICAL, 0x0000, MAP32, READ, 8),
    n(ELECTRICAL, 0x0300, U16, RP, 50),
    n(ELECTRICAL, 0x0505, U16, RP, 231),
    n(ELECTRICAL, 0x0508, U16, RP, 0),
    n(ELECTRICAL, 0x050b, I16, RP, 0),
    n(ELECTRICAL, 0x0600, U16, READ, 1),
    n(ELECTRICAL, 0x0601, U16, READ, 1),
    n(ELECTRICAL, 0x0602, U16, READ, 1),
    n(ELECTRICAL, 0x0603, U16, READ, 1000),
    n(ELECTRICAL, 0x0604, U16, READ, 1),
    n(ELECTRICAL, 0x0605, U16, READ, 1),
];
/// A contact switch (`ZoneType` 0x0015).
const ZONE: &[AttributeSpec] = &[
    n(IAS_ZONE, 0x0000, ENUM8, READ, 0),
    n(IAS_ZONE, 0x0001, ENUM16, READ, 0x15),
    n(IAS_ZONE, 0x0002, MAP16, READ, 0),
    n(IAS_ZONE, 0x0010, IEEE, RW, 0),
    n(IAS_ZONE, 0x0011, U8, READ, 0xff),
];
/// A roller shutter; 0 is open, as the standard has it.
const SHUTTER: &[AttributeSpec] = &[
    n(COVERING, 0x0000, ENUM8, READ, 0),
    n(COVERING, 0x0007, MAP8, READ, 0x0b),
    n(COVERING, 0x0008, U8, RP, 0),
    n(COVERING, 0x0017, MAP8, RW, 0),
];
/// The seven that nearly all have; maker, model and power differ.
macro_rules! basic {
    ($maker:literal, $model:literal, $date:literal, $build:literal, $power:expr) => {
        &[
            n(BASIC, 0x0000, U8, RP, 3),
            n(BASIC, 0x0001, U8, READ, 1),
            n(BASIC, 0x0002, U8, READ, 2),
            n(BASIC, 0x0003, U8, READ, 1),
            t(BASIC, 0x0004, $maker),
            t(BASIC, 0x0005, $model),
            t(BASIC, 0x0006, $date),
            n(BASIC, 0x0007, ENUM8, READ, $power),
            t(BASIC, 0x4000, $build),
        ]
    };
}

/// All there are. The house of `hearth demo` and of `hearth simulate` is these, in this order.
pub const MODELS: &[Model] = &[
    Model {
        name: "bulb",
        title: "a bulb with colours and whites",
        maker: "innr",
        model: "RB 282 C",
        maker_code: 0x1166,
        oui: 0x0015_8d00_0500_0000,
        logical: Logical::Router,
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x010d,
            inputs: &[BASIC, IDENTIFY, GROUPS, SCENES, ON_OFF, LEVEL, COLOR],
            outputs: &[OTA],
            attributes: &[
                basic!("innr", "RB 282 C", "20210810-44", "2.1", MAINS),
                IDENTIFYING,
                GROUPING,
                SCENERY,
                ONOFF,
                DIMMING,
                COLOURS,
            ],
        }],
    },
    Model {
        name: "plug",
        title: "a plug that measures",
        maker: "innr",
        model: "SP 240",
        maker_code: 0x1166,
        oui: 0x0015_8d00_0600_0000,
        logical: Logical::Router,
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0051,
            inputs: &[BASIC, IDENTIFY, GROUPS, SCENES, ON_OFF, METERING, ELECTRICAL],
            outputs: &[OTA],
            attributes: &[
                basic!("innr", "SP 240", "20220311", "1.4.10", MAINS),
                IDENTIFYING,
                GROUPING,
                SCENERY,
                ONOFF,
                METER,
                MAINS_FIGURES,
            ],
        }],
    },
    Model {
        name: "climate",
        title: "a sensor of temperature and humidity",
        maker: "eWeLink",
        model: "TH01",
        maker_code: 0x1286,
        oui: 0x0012_4b00_2500_0000,
        logical: Logical::Sleeper { poll_ms: 5_000 },
        wants_own_key: false,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0302,
            inputs: &[BASIC, IDENTIFY, TEMPERATURE, HUMIDITY, POWER],
            outputs: &[IDENTIFY],
            attributes: &[
                basic!("eWeLink", "TH01", "20201026", "1.0.5", BATTERY_POWERED),
                IDENTIFYING,
                BATTERY,
                WARMTH,
                MOISTURE,
            ],
        }],
    },
    Model {
        name: "contact",
        title: "a contact of a door",
        maker: "eWeLink",
        model: "DS01",
        maker_code: 0x1286,
        oui: 0x0012_4b00_2600_0000,
        // Longer than a parent keeps a message: it is reached in the moments after it has spoken.
        logical: Logical::Sleeper { poll_ms: 30_000 },
        wants_own_key: false,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0402,
            inputs: &[BASIC, IDENTIFY, IAS_ZONE, POWER],
            outputs: &[IDENTIFY],
            attributes: &[basic!("eWeLink", "DS01", "20201028", "1.0.4", BATTERY_POWERED), IDENTIFYING, BATTERY, ZONE],
        }],
    },
    Model {
        name: "remote",
        title: "a remote with two buttons",
        maker: "IKEA of Sweden",
        model: "TRADFRI on/off switch",
        maker_code: 0x117c,
        oui: 0x000d_6f00_1000_0000,
        logical: Logical::Sleeper { poll_ms: 300_000 },
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0820,
            inputs: &[BASIC, POWER, IDENTIFY],
            outputs: &[IDENTIFY, GROUPS, ON_OFF, LEVEL, OTA, COVERING],
            attributes: &[
                basic!("IKEA of Sweden", "TRADFRI on/off switch", "20210408", "24.4.6", BATTERY_POWERED),
                IDENTIFYING,
                BATTERY,
            ],
        }],
    },
    Model {
        name: "tuya",
        title: "a dimmer of Tuya that speaks in data points",
        maker: "_TZE200_whpb9yts",
        model: "TS0601",
        maker_code: 0x1002,
        oui: 0xa4c1_3800_0700_0000,
        logical: Logical::Router,
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0051,
            inputs: &[BASIC, GROUPS, SCENES, TUYA],
            outputs: &[TIME, OTA],
            attributes: &[basic!("_TZE200_whpb9yts", "TS0601", "", "", MAINS), GROUPING, SCENERY],
        }],
    },
    Model {
        name: "cover",
        title: "a roller shutter",
        maker: "ADEO",
        model: "WSD005",
        maker_code: 0x1277,
        oui: 0x0015_8d00_0800_0000,
        logical: Logical::Router,
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0202,
            inputs: &[BASIC, IDENTIFY, GROUPS, SCENES, COVERING],
            outputs: &[OTA],
            attributes: &[
                basic!("ADEO", "WSD005", "20230118", "1.0.2", MAINS),
                IDENTIFYING,
                GROUPING,
                SCENERY,
                SHUTTER,
            ],
        }],
    },
    Model {
        name: "unknown",
        title: "a lamp with a thermometer that no catalogue knows",
        maker: "Acme Works",
        model: "AW-LAMP-9",
        maker_code: 0x1f0f,
        oui: 0x0015_8d00_0900_0000,
        logical: Logical::Router,
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 3,
            profile: HA,
            device: 0x0101,
            inputs: &[BASIC, IDENTIFY, GROUPS, SCENES, ON_OFF, LEVEL, TEMPERATURE],
            outputs: &[],
            attributes: &[
                basic!("Acme Works", "AW-LAMP-9", "20250101", "0.9", MAINS),
                IDENTIFYING,
                GROUPING,
                SCENERY,
                ONOFF,
                DIMMING,
                WARMTH,
            ],
        }],
    },
    Model {
        name: "router",
        title: "a repeater",
        maker: "IKEA of Sweden",
        model: "TRADFRI signal repeater",
        maker_code: 0x117c,
        oui: 0x000d_6f00_1100_0000,
        logical: Logical::Router,
        wants_own_key: true,
        parent: None,
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0008,
            inputs: &[BASIC, IDENTIFY],
            outputs: &[OTA],
            attributes: &[
                basic!("IKEA of Sweden", "TRADFRI signal repeater", "20200309", "2.3.086", MAINS),
                IDENTIFYING,
            ],
        }],
    },
    Model {
        name: "attic",
        title: "a sensor of temperature and humidity behind the repeater",
        maker: "eWeLink",
        model: "TH01",
        maker_code: 0x1286,
        oui: 0x0012_4b00_2700_0000,
        logical: Logical::Sleeper { poll_ms: 5_000 },
        wants_own_key: false,
        parent: Some("router"),
        endpoints: &[EndpointSpec {
            id: 1,
            profile: HA,
            device: 0x0302,
            inputs: &[BASIC, IDENTIFY, TEMPERATURE, HUMIDITY, POWER],
            outputs: &[IDENTIFY],
            attributes: &[
                basic!("eWeLink", "TH01", "20201026", "1.0.5", BATTERY_POWERED),
                IDENTIFYING,
                BATTERY,
                WARMTH,
                MOISTURE,
            ],
        }],
    },
];

/// Octets of a type of fixed length; `None`: a text, or a type that no simulated device has.
pub fn width(kind: u8) -> Option<usize> {
    Some(match kind {
        0x08..=0x0f => usize::from(kind - 0x07),
        BOOL | ENUM8 => 1,
        0x18..=0x1f => usize::from(kind - 0x17),
        0x20..=0x27 => usize::from(kind - 0x1f),
        0x28..=0x2f => usize::from(kind - 0x27),
        ENUM16 => 2,
        0x38 => 2,
        0x39 => 4,
        0x3a => 8,
        0xe0..=0xe2 => 4,
        0xe8 | 0xe9 => 2,
        0xea => 4,
        IEEE => 8,
        0xf1 => 16,
        _ => return None,
    })
}

/// Whether reports of it have a smallest change: counted and measured things have, states have none (ZCL r8 §2.5.7).
pub fn is_analog(kind: u8) -> bool {
    matches!(kind, 0x20..=0x2f | 0x38..=0x3a | 0xe0..=0xe2)
}
