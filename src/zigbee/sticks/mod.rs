//! Which serial port a Zigbee stick is on, and which stick: by what its USB chip says of itself. Reads `/sys` and `/dev`, opens no
//! port, and never takes a chip that may be in anything for a stick.

mod table;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::zigbee::driver::{Address, Flow};
pub use crate::zigbee::sticks::table::{BRIDGES, STICKS, Stick};

/// Ports that are looked at; a hub has a handful, a machine with virtual ones some dozens.
const PORTS_MAX: usize = 256;

/// How far a port's folder in `/sys` lies within that of its USB device: port, interface, device, with one to spare.
const USB_LEVELS_MAX: usize = 4;

/// The longest text taken of what a device says of itself, bytes. USB allows 252.
const TEXT_LEN_MAX: usize = 256;

/// What a stick speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Texas Instruments' Z-Stack, the only one that this hub speaks so far.
    Znp,
    /// Silicon Labs' EmberZNet.
    Ezsp,
    /// dresden elektronik's.
    Deconz,
    /// DSR's, on Nordic chips.
    Zboss,
    Zigate,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Znp => "Z-Stack",
            Protocol::Ezsp => "EZSP (EmberZNet)",
            Protocol::Deconz => "deCONZ",
            Protocol::Zboss => "ZBOSS",
            Protocol::Zigate => "ZiGate's protocol",
        }
    }
}

/// A serial port with a USB device behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Of `/dev/serial/by-id` where there is one, which stays the same whatever is plugged in first.
    pub path: Box<str>,
    /// `ttyUSB0`
    pub tty: Box<str>,
    pub usb: (u16, u16),
    pub manufacturer: Box<str>,
    /// As under `/dev/serial/by-id`, in small letters, whether or not there is such a folder.
    pub name: Box<str>,
    /// Of the USB interface: a device may have several ports.
    interface: u8,
    /// Where the USB device is plugged in.
    place: PathBuf,
}

/// Reads the ports of a machine. `root` is `/`, or a tree of a test.
pub fn ports(root: &Path) -> Vec<Port> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let names = by_id(root);
    let ttys = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut ttys: Vec<String> = ttys.filter(|tty| tty.starts_with("ttyUSB") || tty.starts_with("ttyACM")).collect();
    // `ttyUSB2` before `ttyUSB10`.
    ttys.sort_by_key(|tty| (tty.len(), tty.clone()));
    ttys.truncate(PORTS_MAX);
    ttys.iter().filter_map(|tty| port(root, tty, &names)).collect()
}

/// Links under `/dev/serial/by-id`: name and tty.
fn by_id(root: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(root.join("dev/serial/by-id")) else { return Vec::new() };
    let link = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().ok()?, target.file_name()?.to_str()?.to_owned()))
    };
    entries.flatten().take(PORTS_MAX).filter_map(link).collect()
}

fn port(root: &Path, tty: &str, names: &[(String, String)]) -> Option<Port> {
    let device = fs::canonicalize(root.join("sys/class/tty").join(tty).join("device")).ok()?;
    let text = |folder: &Path, file: &str| {
        let text = fs::read_to_string(folder.join(file)).ok()?;
        Some(text.trim().chars().take(TEXT_LEN_MAX).collect::<String>())
    };
    let number = |folder: &Path, file| u16::from_str_radix(&text(folder, file)?, 16).ok();
    let place = device.ancestors().take(USB_LEVELS_MAX).find(|folder| folder.join("idVendor").exists())?;
    let interface = device.ancestors().take(USB_LEVELS_MAX).find_map(|folder| number(folder, "bInterfaceNumber"));
    let said = |file| text(place, file).unwrap_or_default();
    let (manufacturer, product, serial) = (said("manufacturer"), said("product"), said("serial"));
    let by_id = names.iter().find(|(_, target)| target == tty).map(|(name, _)| name);
    let name = by_id.cloned().unwrap_or_else(|| format!("usb-{manufacturer}_{product}_{serial}").replace(' ', "_"));
    let path = by_id.map_or_else(|| format!("/dev/{tty}"), |name| format!("/dev/serial/by-id/{name}"));
    Some(Port {
        path: path.into(),
        tty: tty.into(),
        usb: (number(place, "idVendor")?, number(place, "idProduct")?),
        manufacturer: manufacturer.into(),
        name: name.to_lowercase().into(),
        interface: interface.and_then(|number| u8::try_from(number).ok()).unwrap_or(0),
        place: place.to_owned(),
    })
}

/// How sure it is that a port is of a stick: 0 not at all, 1 by the USB chip, and one more each by the maker and by the name. A chip
/// that may be in anything counts only where the name says what it is, too.
pub fn score(stick: &Stick, port: &Port) -> u8 {
    if !stick.usb.contains(&port.usb) {
        return 0;
    }
    let manufacturer = port.manufacturer.to_lowercase();
    let is_maker = stick.makers.iter().any(|maker| manufacturer.contains(maker));
    let lacks = || stick.name_lacks.iter().all(|part| !port.name.contains(part));
    let is_name = !stick.name_has.is_empty() && has_in_order(&port.name, stick.name_has) && lacks();
    if BRIDGES.contains(&port.usb) && !is_name {
        return 0;
    }
    1 + u8::from(is_maker) + u8::from(is_name)
}

fn has_in_order(name: &str, parts: &[&str]) -> bool {
    let mut rest = name;
    parts.iter().all(|part| {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        true
    })
}

/// The stick that a port is most likely of.
pub fn recognise(port: &Port) -> Option<&'static Stick> {
    let scored = STICKS.iter().map(|stick| (score(stick, port), stick)).filter(|(score, _)| *score > 0);
    // The first of equals.
    scored.rev().max_by_key(|(score, _)| *score).map(|(_, stick)| stick)
}

/// Where no stick can be taken, with a text for the owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStick {
    #[error("{0}")]
    None(Box<str>),
    /// There is one, and it speaks what this hub does not.
    #[error("{0}")]
    Speaks(Box<str>),
    /// Which of them is for a person to say.
    #[error("{0}")]
    Several(Box<str>),
}

/// The one stick of the machine that this hub can speak to.
pub fn find(root: &Path) -> Result<Address, NoStick> {
    choose(&ports(root))
}

fn choose(ports: &[Port]) -> Result<Address, NoStick> {
    let mut known: Vec<(&Port, &Stick)> = Vec::new();
    for port in ports {
        let Some(stick) = recognise(port) else { continue };
        // A stick with two ports speaks on the first.
        match known.iter_mut().find(|(other, _)| other.place == port.place) {
            Some(other) if port.interface < other.0.interface => *other = (port, stick),
            Some(_) => {}
            None => known.push((port, stick)),
        }
    }
    let spoken: Vec<_> = known.iter().filter(|(_, stick)| stick.protocol == Protocol::Znp).collect();
    match (&spoken[..], &known[..]) {
        ([(port, stick)], _) => Ok(address(&port.path, stick.baud, stick.flow)),
        ([], []) => Err(NoStick::None(none(ports).into())),
        ([], [(port, stick), ..]) => Err(NoStick::Speaks(speaks(stick, &port.path))),
        (several, _) => {
            let mut text =
                "There is more than one Zigbee stick. Name the one to use as `zigbee.port` in config.yaml:".to_owned();
            for (port, stick) in several {
                write!(text, "\n  {} ({})", port.path, stick.name).expect("a string takes all");
            }
            Err(NoStick::Several(text.into()))
        }
    }
}

fn address(path: &str, baud: u32, flow: Flow) -> Address {
    Address::Serial { path: path.into(), baud, flow }
}

fn speaks(stick: &Stick, path: &str) -> Box<str> {
    format!(
        "The stick at {path} is a {}, which speaks {}. This hub speaks Z-Stack only (sticks with a CC2652 or CC2531 chip). Zigbee2MQTT \
         can drive it: set `zigbee.backend: zigbee2mqtt`.",
        stick.name,
        stick.protocol.name()
    )
    .into()
}

fn none(ports: &[Port]) -> String {
    let mut text = "No Zigbee stick was found.".to_owned();
    if ports.is_empty() {
        text.push_str(" Plug one in with a CC2652 or CC2531 chip, or name it as `zigbee.port` in config.yaml.");
        return text;
    }
    text.push_str(
        " These ports do not say what is behind them; if one is your stick, name it as `zigbee.port` in config.yaml:",
    );
    for port in ports {
        let (vendor, product) = port.usb;
        write!(text, "\n  {} ({vendor:04x}:{product:04x} {})", port.path, port.manufacturer)
            .expect("a string takes all");
    }
    text
}

/// The address of a port that a person has named: with the speed of the stick that it is known to be, if any. A stick that speaks
/// something else is not opened.
pub fn at(root: &Path, address: Address) -> Result<Address, NoStick> {
    let Address::Serial { path, .. } = &address else { return Ok(address) };
    let tty = fs::canonicalize(root.join(path.trim_start_matches('/'))).ok();
    let tty = tty.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let ports = ports(root);
    let port = ports.iter().find(|port| *port.path == **path || tty == Some(&port.tty));
    match port.and_then(recognise) {
        Some(stick) if stick.protocol != Protocol::Znp => Err(NoStick::Speaks(speaks(stick, path))),
        Some(stick) => Ok(self::address(path, stick.baud, stick.flow)),
        None => Ok(address),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
