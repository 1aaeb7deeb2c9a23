//! What clusters are for, whatever the device: the properties, blocks and steps of devices that no table knows.

use super::energy::{ELECTRICAL, METERING};
use super::*;
use crate::common::capability::{Capability, CapabilityKind, Domain};
use crate::zigbee::definitions::kinds::{domain, flag, numeric, on_off, words};
use crate::zigbee::definitions::steps::{self, Act, Step};

const HOUR_S: u16 = 3600;

/// A property of an endpoint.
pub struct Row {
    pub endpoint: Endpoint,
    pub cluster: ClusterId,
    pub name: &'static str,
    pub kind: CapabilityKind,
    pub access: u8,
    pub unit: Option<&'static str>,
    pub part_of: Option<Domain>,
    pub is_diagnostic: bool,
}

/// Clusters that are one number: cluster, property, how many make one, unit, least change as it is reported; `None`: it is not
/// reported (ZCL r8 §3.4.2.2.1), and read once.
const NUMBERS: [(u16, &str, f64, &str, Option<f64>); 9] = [
    (0x0002, "device_temperature", 1.0, "°C", None),
    (0x0402, "temperature", 100.0, "°C", Some(100.0)),
    // As Zigbee2MQTT has it of a device that nobody knows, while most that are known tell hPa.
    (0x0403, "pressure", 10.0, "kPa", Some(1.0)),
    (0x0404, "flow", 10.0, "m³/h", Some(10.0)),
    (0x0405, "humidity", 100.0, "%", Some(100.0)),
    (0x0408, "soil_moisture", 100.0, "%", Some(100.0)),
    (0x040d, "co2", 0.000_001, "ppm", Some(0.00005)),
    (0x042a, "pm25", 1.0, "µg/m³", Some(1.0)),
    (0x042b, "formaldehyd", 0.000_001, "ppm", Some(0.000_001)),
];

const ACTIONS: [(u16, &[&str], &str); 5] = [
    (0x0006, &["on", "off", "toggle"], "commandsOnOff"),
    (0x0005, &["recall_1", "recall_2", "recall_3", "recall_4"], "commandsScenes"),
    (
        0x0008,
        &[
            "brightness_move_to_level",
            "brightness_move_up",
            "brightness_move_down",
            "brightness_step_up",
            "brightness_step_down",
            "brightness_stop",
        ],
        "",
    ),
    (0x0102, &["open", "close", "stop"], "commandsWindowCovering"),
    (0x0300, &["color_move", "color_temperature_move", "color_temperature_step_up", "color_temperature_step_down"], ""),
];

/// All that the endpoints' clusters are for.
pub fn rows(identity: &Identity) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut has_battery = false;
    let mut actions: Vec<&str> = Vec::new();
    for endpoint in &identity.endpoints {
        let has = |id: u16| endpoint.inputs.contains(&ClusterId(id));
        let mut push = |cluster: u16, name, kind, access, unit, part_of| {
            let is_diagnostic = matches!(name, "battery" | "device_temperature");
            let cluster = ClusterId(cluster);
            rows.push(Row { endpoint: endpoint.endpoint, cluster, name, kind, access, unit, part_of, is_diagnostic });
        };
        let all = STATE | SET | GET;
        // Of a cover and of a lock, `state` is another thing.
        let (is_cover, is_lock) = (has(0x0102), has(0x0101));
        if has(0x0006) && !is_cover && !is_lock {
            let of = domain(&endpoint.inputs, endpoint.device);
            push(0x0006, "state", on_off("ON", "OFF", Some("TOGGLE")), all, None, Some(of));
            if of == Domain::Light && has(0x0008) {
                push(0x0008, "brightness", numeric(Some(0.0), Some(254.0)), all, None, Some(of));
            }
            if of == Domain::Light && has(0x0300) {
                push(0x0300, "color_temp", numeric(Some(150.0), Some(500.0)), all, Some("mired"), Some(of));
                // Lamps that have white tones alone say so by what they are.
                if !matches!(endpoint.device, 0x010c | 0x0220) {
                    let coordinate = |name| part(name, numeric(Some(0.0), Some(1.0)), all, None);
                    let features = vec![coordinate("x"), coordinate("y")];
                    push(0x0300, "color", CapabilityKind::Composite { features }, all, None, Some(of));
                }
            }
        }
        if is_cover {
            push(0x0102, "state", words(&["OPEN", "CLOSE", "STOP"]), STATE | SET, None, Some(Domain::Cover));
            push(0x0102, "position", numeric(Some(0.0), Some(100.0)), all, Some("%"), Some(Domain::Cover));
        }
        if is_lock {
            push(0x0101, "state", on_off("LOCK", "UNLOCK", None), all, None, Some(Domain::Lock));
        }
        if has(0x0201) {
            let of = Some(Domain::Climate);
            push(0x0201, "local_temperature", numeric(None, None), STATE | GET, Some("°C"), of);
            push(0x0201, "occupied_heating_setpoint", numeric(Some(5.0), Some(35.0)), all, Some("°C"), of);
            push(0x0201, "system_mode", words(&["off", "auto", "cool", "heat"]), all, None, of);
        }
        if has(0x0202) {
            push(
                0x0202,
                "fan_mode",
                words(&["off", "low", "medium", "high", "on", "auto"]),
                all,
                None,
                Some(Domain::Fan),
            );
        }
        for (cluster, name, _, unit, _) in NUMBERS.iter().filter(|(cluster, ..)| has(*cluster)) {
            push(*cluster, name, numeric(None, None), STATE | GET, Some(unit), None);
        }
        if has(0x0400) {
            push(0x0400, "illuminance", numeric(Some(0.0), None), STATE | GET, Some("lx"), None);
        }
        if has(0x0406) {
            push(0x0406, "occupancy", flag(), STATE | GET, None, None);
        }
        if has(0x0500) {
            push(0x0500, "alarm_1", flag(), STATE, None, None);
            push(0x0500, "alarm_2", flag(), STATE, None, None);
            push(0x0500, "tamper", flag(), STATE, None, None);
            push(0x0500, "battery_low", flag(), STATE, None, None);
        }
        if has(ias::WARNING.0) {
            push(ias::WARNING.0, "warning", CapabilityKind::Composite { features: siren() }, SET, None, None);
        }
        if has(ELECTRICAL.0) {
            push(ELECTRICAL.0, "power", numeric(None, None), STATE | GET, Some("W"), None);
            push(ELECTRICAL.0, "voltage", numeric(None, None), STATE | GET, Some("V"), None);
            push(ELECTRICAL.0, "current", numeric(None, None), STATE | GET, Some("A"), None);
        }
        if has(METERING.0) {
            push(METERING.0, "energy", numeric(None, None), STATE | GET, Some("kWh"), None);
        }
        if has(POWER.0) && !has_battery {
            has_battery = true;
            push(POWER.0, "battery", numeric(Some(0.0), Some(100.0)), STATE | GET, Some("%"), None);
        }
        // A lamp's own output clusters (time, updates) are no buttons.
        for (_, of_cluster, _) in ACTIONS.iter().filter(|(cluster, ..)| endpoint.outputs.contains(&ClusterId(*cluster)))
        {
            actions.extend(of_cluster.iter().filter(|action| !actions.contains(action)).copied().collect::<Vec<_>>());
        }
    }
    if !actions.is_empty() {
        let endpoint = identity.endpoints.first().map_or(Endpoint(1), |endpoint| endpoint.endpoint);
        let (cluster, kind) = (ON_OFF, words(&actions));
        let row = Row {
            endpoint,
            cluster,
            name: "action",
            kind,
            access: STATE,
            unit: None,
            part_of: None,
            is_diagnostic: false,
        };
        rows.push(row);
    }
    rows
}

/// Blocks, and the steps that make them hear something.
pub type Part = (Vec<Box<dyn Convert>>, Vec<Step>);

/// The blocks of the rows, each once, and how they are made to tell.
pub fn blocks(rows: &[Row], identity: &Identity) -> Vec<Part> {
    let has = |cluster: u16, name: &str| rows.iter().any(|row| row.cluster.0 == cluster && row.name == name);
    let mut all: Vec<Part> = Vec::new();
    let reports = |cluster: u16, attribute: u16, min_s: u16, change: f64| {
        steps::reporting(&Mapped::number("", cluster, attribute, 1.0), min_s, HOUR_S, change).to_vec()
    };
    let read = |cluster: u16, attribute: u16| Step {
        endpoint: 0,
        cluster: ClusterId(cluster),
        act: Act::Read { maker: None, attribute: AttributeId(attribute) },
    };
    if has(0x0006, "state") {
        all.push((vec![Box::new(switch::State)], reports(0x0006, 0, 0, 1.0)));
        if has(0x0008, "brightness") {
            all.push((vec![Box::new(light::Brightness), Box::new(light::Light)], reports(0x0008, 0, 1, 1.0)));
        } else {
            all.push((vec![Box::new(switch::Switch)], Vec::new()));
        }
    }
    if has(0x0300, "color_temp") {
        let color = color::Color { has_color: has(0x0300, "color"), has_temperature: true, is_by_color: false };
        let steps = [reports(0x0300, 7, 1, 1.0), reports(0x0300, 3, 1, 1.0), reports(0x0300, 4, 1, 1.0)].concat();
        all.push((vec![Box::new(color::Told), Box::new(color)], steps));
    }
    if has(0x0102, "position") {
        let blocks: Vec<Box<dyn Convert>> =
            vec![Box::new(cover::Told), Box::new(cover::State), Box::new(cover::Position)];
        all.push((blocks, reports(0x0102, 8, 1, 1.0)));
    }
    if has(0x0101, "state") {
        all.push((vec![Box::new(lock::Told), Box::new(lock::Lock)], reports(0x0101, 0, 0, 0.0)));
    }
    if has(0x0201, "local_temperature") {
        let meta = Meta::default();
        let mut blocks: Vec<Box<dyn Convert>> = Vec::new();
        blocks.extend(climate::told(&meta).into_iter().map(|mapped| Box::new(mapped) as Box<dyn Convert>));
        let names = ["local_temperature", "occupied_heating_setpoint", "system_mode"];
        let set = names.iter().filter_map(|name| climate::set(name, &meta));
        blocks.extend(set.map(|mapped| Box::new(mapped) as Box<dyn Convert>));
        let steps =
            [reports(0x0201, 0, 10, 10.0), reports(0x0201, 0x12, 1, 10.0), reports(0x0201, 0x1c, 1, 0.0)].concat();
        all.push((blocks, steps));
    }
    if has(0x0202, "fan_mode") {
        all.push((vec![Box::new(climate::fan_mode(STATE | SET | GET))], reports(0x0202, 0, 0, 0.0)));
    }
    for (cluster, name, per, _, change) in NUMBERS.iter().filter(|(cluster, name, ..)| has(*cluster, name)) {
        let steps = change.map_or_else(|| vec![read(*cluster, 0)], |change| reports(*cluster, 0, 10, change));
        all.push((vec![Box::new(Mapped::number(name, *cluster, 0, *per))], steps));
    }
    if has(0x0400, "illuminance") {
        all.push((vec![Box::new(mapped::illuminance())], reports(0x0400, 0, 10, 500.0)));
    }
    if has(0x0406, "occupancy") {
        all.push((vec![Box::new(mapped::occupancy())], reports(0x0406, 0, 0, 0.0)));
    }
    if has(0x0500, "alarm_1") {
        all.push((vec![Box::new(ias::Zone::generic())], Vec::new()));
    }
    if has(ias::WARNING.0, "warning") {
        all.push((vec![Box::new(ias::Warning::plain())], Vec::new()));
    }
    if has(ELECTRICAL.0, "power") {
        let constants = [0x0600, 0x0601, 0x0602, 0x0603, 0x0604, 0x0605].map(|id| read(ELECTRICAL.0, id));
        let quantities = [("power", 0x050b), ("voltage", 0x0505), ("current", 0x0508)];
        let mut blocks: Vec<Box<dyn Convert>> = vec![Box::new(energy::Told(ELECTRICAL))];
        blocks.extend(quantities.map(|(name, attribute)| {
            Box::new(energy::Readable { name, cluster: ELECTRICAL, attribute }) as Box<dyn Convert>
        }));
        let steps = [
            constants.to_vec(),
            reports(0x0b04, 0x050b, 10, 5.0),
            reports(0x0b04, 0x0505, 10, 5.0),
            reports(0x0b04, 0x0508, 10, 50.0),
        ];
        all.push((blocks, steps.concat()));
    }
    if has(METERING.0, "energy") {
        let constants = [0x0301, 0x0302].map(|id| read(METERING.0, id));
        let readable = energy::Readable { name: "energy", cluster: METERING, attribute: 0 };
        let steps = [constants.to_vec(), reports(0x0702, 0, 10, 10.0)].concat();
        all.push((vec![Box::new(energy::Told(METERING)), Box::new(readable)], steps));
    }
    if has(POWER.0, "battery") {
        let battery = battery::Battery::percentage();
        all.push((vec![Box::new(battery)], reports(0x0001, 0x0021, HOUR_S, 2.0)));
    }
    if rows.iter().any(|row| row.name == "action") {
        all.push((buttons(), binds(identity)));
    }
    all
}

/// What a siren takes.
fn siren() -> Vec<Capability> {
    let part = |name, kind, unit| part(name, kind, SET, unit);
    vec![
        part("mode", words(&ias::MODES), None),
        part("level", words(&ias::LEVELS), None),
        part("strobe_level", words(&ias::LEVELS), None),
        part("strobe", flag(), None),
        part("strobe_duty_cycle", numeric(Some(0.0), Some(10.0)), None),
        part("duration", numeric(Some(0.0), None), Some("s")),
    ]
}

/// A part of a property.
fn part(name: &str, kind: CapabilityKind, access: u8, unit: Option<&str>) -> Capability {
    Capability {
        property: name.into(),
        name: name.into(),
        endpoint: None,
        part_of: None,
        kind,
        reported: access & STATE != 0,
        settable: access & SET != 0,
        readable: access & GET != 0,
        unit: unit.map(Into::into),
        description: None,
        category: None,
    }
}

fn buttons() -> Vec<Box<dyn Convert>> {
    let converters = [
        "commandsOnOff",
        "commandsScenes",
        "commandsWindowCovering",
        "command_move_to_level",
        "command_move",
        "command_step",
        "command_stop",
        "command_move_to_color",
        "command_move_to_color_temp",
        "command_step_color_temperature",
    ];
    let commands = converters.into_iter().filter_map(actions::Commands::of);
    commands.map(|commands| Box::new(commands) as Box<dyn Convert>).collect()
}

/// A remote says to the hub what it is bound to say.
fn binds(identity: &Identity) -> Vec<Step> {
    let mut steps = Vec::new();
    for endpoint in &identity.endpoints {
        for (cluster, ..) in ACTIONS.iter().filter(|(cluster, ..)| endpoint.outputs.contains(&ClusterId(*cluster))) {
            steps.push(Step { endpoint: endpoint.endpoint.0, cluster: ClusterId(*cluster), act: Act::Bind });
        }
    }
    steps
}
