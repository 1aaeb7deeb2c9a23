//! What a person may have happen in the house, in words: `press remote`, `open contact`, `unplug bulb`, `reset`. The command
//! line of `hearth simulate` and the tests of peers use them.

use std::time::{Duration, Instant};

use super::device::Out;
use super::device::models::{COLOR, HUMIDITY, LEVEL, ON_OFF, TEMPERATURE};
use super::{AirFaults, Device, Generation, LineFaults, Parent, Quirks, Simulator};

/// Reports at once; more than any house has devices.
const BURST_MAX: usize = 10_000;

/// An order that makes no sense, for the person who gave it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("there is no order {0}; see help")]
    Unknown(Box<str>),
    #[error("there is no device {0}")]
    NoDevice(Box<str>),
    #[error("it goes: {0}")]
    Usage(&'static str),
}

type Run = fn(&mut Simulator, Instant, &[&str]) -> Option<String>;

pub struct Order {
    pub usage: &'static str,
    pub about: &'static str,
    /// Arguments besides the order, the device among them.
    arguments: std::ops::RangeInclusive<usize>,
    /// The first argument is a device.
    of_device: bool,
    run: Run,
}

const fn of(usage: &'static str, about: &'static str, arguments: std::ops::RangeInclusive<usize>, run: Run) -> Order {
    Order { usage, about, arguments, of_device: true, run }
}

const fn all(usage: &'static str, about: &'static str, arguments: std::ops::RangeInclusive<usize>, run: Run) -> Order {
    Order { usage, about, arguments, of_device: false, run }
}

/// All that there are.
pub const ORDERS: &[Order] = &[
    of("press DEVICE [on|off|toggle|up|down|stop]", "a button of a remote", 1..=2, press),
    of("open DEVICE", "the contact opens", 1..=1, |sim, now, at| trip(sim, now, at[0], true)),
    of("close DEVICE", "the contact closes", 1..=1, |sim, now, at| trip(sim, now, at[0], false)),
    of("switch DEVICE on|off", "somebody uses the switch on the device itself", 2..=2, switch),
    of("temperature DEVICE CELSIUS", "it is so warm", 2..=2, |sim, now, at| measure(sim, now, at, TEMPERATURE, 100.0)),
    of("humidity DEVICE PERCENT", "it is so damp", 2..=2, |sim, now, at| measure(sim, now, at, HUMIDITY, 100.0)),
    of("load DEVICE WATTS", "what is plugged in takes so much", 2..=2, load),
    of("turn DEVICE POINT VALUE", "a data point of a Tuya device changes", 3..=3, turn),
    of("unplug DEVICE", "it has no power", 1..=1, |sim, now, at| power(sim, now, at[0], false)),
    of("plug DEVICE", "it has power again", 1..=1, |sim, now, at| power(sim, now, at[0], true)),
    of("pair DEVICE", "it is reset and looks for a network", 1..=1, |sim, now, at| {
        sim.pair(now, at[0]);
        Some(String::new())
    }),
    of("leave DEVICE", "it leaves the network", 1..=1, |sim, now, at| {
        let device = sim.world.find(at[0])?;
        sim.world.leave(now, device);
        Some(String::new())
    }),
    of("rejoin DEVICE", "it comes back with a new address", 1..=1, |sim, now, at| {
        sim.rejoin(now, at[0]);
        Some(String::new())
    }),
    of("move DEVICE ROUTER|coordinator", "it changes to another parent and tells nobody", 2..=2, |sim, now, at| {
        let router = (at[1] != "coordinator").then_some(at[1]);
        sim.move_to(now, at[0], router, false);
        Some(String::new())
    }),
    of("fault DEVICE silent|noack|lies|rejects|slow=MS|none", "what is wrong with it", 2..=2, fault),
    of("show DEVICE", "how it really is", 1..=1, |sim, now, at| {
        // Whether stick and device agree on the key that is theirs alone.
        let key = sim.own_key_holds(at[0]).map_or(String::new(), |holds| format!(" own_key={}", u8::from(holds)));
        Some(show(sim.world.device(at[0])?, now) + &key)
    }),
    all("devices", "all devices", 0..=0, |sim, now, _| {
        Some(sim.devices().iter().map(|device| show(device, now)).collect::<Vec<_>>().join("\n"))
    }),
    all("line garbled|lost|duplicated|resets SHARE", "faults of the serial line", 2..=2, line),
    all("air lost|duplicated SHARE", "faults of the air", 2..=2, air),
    all("reset", "the stick starts anew by itself", 0..=0, |sim, now, _| {
        sim.reset_stick(now);
        Some(String::new())
    }),
    all("hang", "the stick is dead", 0..=0, |sim, now, _| {
        sim.hang_stick(now, true);
        Some(String::new())
    }),
    all("unhang", "the stick starts anew", 0..=0, |sim, now, _| {
        sim.hang_stick(now, false);
        Some(String::new())
    }),
    all("chatter SECONDS", "all say what they measure so often, asked for or not; 0 ends it", 1..=1, |sim, now, at| {
        let seconds: f64 = at[0].parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds))?;
        sim.world.chatter(now, (seconds > 0.0).then(|| Duration::from_secs_f64(seconds)));
        Some(String::new())
    }),
    all("burst COUNT", "so many reports at once", 1..=1, |sim, now, at| {
        let count = at[0].parse().ok().filter(|count| *count <= BURST_MAX)?;
        Some(format!("reports={}", sim.world.burst(now, count)))
    }),
    all("swap [3.x.0|3.0.x]", "another stick, fresh from the shop, in its place", 0..=1, swap),
    all("status", "counts of violations, requests and unknown commands; the network", 0..=0, |sim, _, _| {
        let (violations, requests, unknown) = (sim.violations(), sim.requests(), sim.unknown_commands());
        let network = sim.network().map_or("none".to_owned(), |(channel, pan)| format!("{channel}/{pan:#06x}"));
        Some(format!("violations={violations} requests={requests} unknown_commands={unknown} network={network}"))
    }),
    all("help", "this", 0..=0, |_, _, _| {
        Some(ORDERS.iter().map(|order| format!("{:<58} {}", order.usage, order.about)).collect::<Vec<_>>().join("\n"))
    }),
];

impl Simulator {
    /// Carries out a line of words. Returns what there is to say, which may be nothing.
    pub fn order(&mut self, now: Instant, words: &str) -> Result<String, OrderError> {
        self.handle_timeout(now);
        let words: Vec<&str> = words.split_whitespace().collect();
        let Some((name, arguments)) = words.split_first() else {
            return Ok(String::new());
        };
        let order = ORDERS.iter().find(|order| order.usage.split(' ').next() == Some(name));
        let order = order.ok_or_else(|| OrderError::Unknown((*name).into()))?;
        if !order.arguments.contains(&arguments.len()) {
            return Err(OrderError::Usage(order.usage));
        }
        if order.of_device && self.world.find(arguments[0]).is_none() {
            return Err(OrderError::NoDevice(arguments[0].into()));
        }
        let said = (order.run)(self, now, arguments).ok_or(OrderError::Usage(order.usage));
        self.handle_timeout(now);
        said
    }

    fn touch(&mut self, now: Instant, name: &str, act: impl FnOnce(&mut Device, &mut Out)) -> Option<String> {
        let device = self.world.find(name)?;
        self.world.touch(now, device, act);
        Some(String::new())
    }
}

fn press(sim: &mut Simulator, now: Instant, at: &[&str]) -> Option<String> {
    let (cluster, command, payload): (u16, u8, &[u8]) = match at.get(1).copied().unwrap_or("toggle") {
        "on" => (ON_OFF, 0x01, &[]),
        "off" => (ON_OFF, 0x00, &[]),
        "toggle" => (ON_OFF, 0x02, &[]),
        "up" => (LEVEL, 0x05, &[0, 83]),
        "down" => (LEVEL, 0x01, &[1, 83]),
        "stop" => (LEVEL, 0x07, &[]),
        _ => return None,
    };
    sim.touch(now, at[0], |device, out| device.command(cluster, command, payload, out))
}

fn trip(sim: &mut Simulator, now: Instant, name: &str, is_open: bool) -> Option<String> {
    sim.touch(now, name, |device, out| device.trip(now, is_open, out))
}

fn switch(sim: &mut Simulator, now: Instant, at: &[&str]) -> Option<String> {
    let is_on = match at[1] {
        "on" => true,
        "off" => false,
        _ => return None,
    };
    sim.touch(now, at[0], |device, out| device.happen(now, ON_OFF, 0, is_on.into(), out))
}

fn measure(sim: &mut Simulator, now: Instant, at: &[&str], cluster: u16, scale: f64) -> Option<String> {
    let value: f64 = at[1].parse().ok().filter(|value: &f64| value.is_finite())?;
    sim.touch(now, at[0], |device, out| device.happen(now, cluster, 0, (value * scale).round() as i64, out))
}

fn load(sim: &mut Simulator, now: Instant, at: &[&str]) -> Option<String> {
    let watts: i64 = at[1].parse().ok().filter(|watts| (0..=3_600).contains(watts))?;
    sim.touch(now, at[0], |device, out| device.plug_in(now, watts, out))
}

fn turn(sim: &mut Simulator, now: Instant, at: &[&str]) -> Option<String> {
    let (point, value) = (at[1].parse().ok()?, at[2].parse().ok()?);
    sim.touch(now, at[0], |device, out| device.set_data_point(point, value, out))
}

fn power(sim: &mut Simulator, now: Instant, name: &str, is_on: bool) -> Option<String> {
    let device = sim.world.find(name)?;
    sim.world.power(now, device, is_on);
    Some(String::new())
}

fn fault(sim: &mut Simulator, _now: Instant, at: &[&str]) -> Option<String> {
    let device = sim.world.device_mut(at[0])?;
    let quirks = &mut device.quirks;
    match at[1] {
        "silent" => quirks.silent = true,
        "noack" => quirks.no_ack = true,
        "lies" => quirks.lies = true,
        "rejects" => quirks.rejects = Some(0x01),
        "none" => *quirks = Quirks::default(),
        other => quirks.slow = Some(Duration::from_millis(other.strip_prefix("slow=")?.parse().ok()?)),
    }
    Some(String::new())
}

fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

fn swap(sim: &mut Simulator, now: Instant, at: &[&str]) -> Option<String> {
    let generation = match at.first() {
        None | Some(&"3.x.0") => Generation::V3x0,
        Some(&"3.0.x") => Generation::V30x,
        Some(_) => return None,
    };
    sim.swap_stick(now, generation, None);
    Some(String::new())
}

fn line(sim: &mut Simulator, _now: Instant, at: &[&str]) -> Option<String> {
    let share = share(at[1])?;
    let LineFaults { garbled, lost, duplicated, resets } = &mut sim.line;
    *match at[0] {
        "garbled" => garbled,
        "lost" => lost,
        "duplicated" => duplicated,
        "resets" => resets,
        _ => return None,
    } = share;
    Some(String::new())
}

fn air(sim: &mut Simulator, _now: Instant, at: &[&str]) -> Option<String> {
    let share = share(at[1])?;
    let AirFaults { lost, duplicated } = &mut sim.world.faults;
    *match at[0] {
        "lost" => lost,
        "duplicated" => duplicated,
        _ => return None,
    } = share;
    Some(String::new())
}

/// A device in a line: `bulb 0x… 0x1234 on=1 level=254`.
fn show(device: &Device, now: Instant) -> String {
    let nwk = device.nwk().map_or("unpaired".to_owned(), |nwk| nwk.to_string());
    let mut line = format!("{} {} {nwk}", device.name, device.ieee);
    let parent = device.membership.map(|membership| membership.parent);
    if let Some(Parent::Device(_)) = parent {
        line.push_str(" behind=router");
    }
    let figures = [
        ("on", ON_OFF, 0),
        ("level", LEVEL, 0),
        ("x", COLOR, 3),
        ("y", COLOR, 4),
        ("mireds", COLOR, 7),
        ("mode", COLOR, 8),
        ("closed_percent", 0x0102, 8),
        ("temperature", TEMPERATURE, 0),
        ("humidity", HUMIDITY, 0),
        ("zone", 0x0500, 2),
        ("enrolled", 0x0500, 0),
        ("power", 0x0b04, 0x050b),
    ];
    for (name, cluster, id) in figures {
        if let Some(value) = device.attribute_at(now, cluster, id) {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    for (point, (_, value)) in &device.data_points {
        let number = value.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        line.push_str(&format!(" dp{point}={number}"));
    }
    let groups: Vec<_> = device.endpoints.iter().flat_map(|e| e.groups.iter().map(|g| g.0.to_string())).collect();
    if !groups.is_empty() {
        line.push_str(&format!(" groups={}", groups.join(",")));
    }
    line.push_str(&format!(" bindings={} reports={}", device.bindings.len(), device.reporting.len()));
    line
}
