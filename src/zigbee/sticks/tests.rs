//! Sticks in trees that look like `/sys` and `/dev`.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A machine with things plugged in.
struct Machine {
    root: TempDir,
    devices: usize,
}

impl Machine {
    fn new() -> Machine {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("sys/class/tty/tty0")).expect("a folder");
        fs::create_dir_all(root.path().join("dev/serial/by-id")).expect("a folder");
        Machine { root, devices: 0 }
    }

    /// `texts` is manufacturer, product, serial number.
    fn plug(&mut self, tty: &str, usb: (u16, u16), texts: [&str; 3]) -> String {
        self.devices += 1;
        let device = format!("sys/devices/pci0/usb1/1-{}", self.devices);
        self.usb(&device, usb, texts);
        self.tty(tty, &device, 0);
        let name = format!("usb-{}_{}_{}-if00-port0", texts[0], texts[1], texts[2]).replace(' ', "_");
        self.name(tty, &name);
        format!("/dev/serial/by-id/{name}")
    }

    fn usb(&self, device: &str, (vendor, product): (u16, u16), texts: [&str; 3]) {
        let device = self.root.path().join(device);
        fs::create_dir_all(&device).expect("a folder");
        let file = |name: &str, text: &str| fs::write(device.join(name), format!("{text}\n")).expect("a file");
        file("idVendor", &format!("{vendor:04x}"));
        file("idProduct", &format!("{product:04x}"));
        file("manufacturer", texts[0]);
        file("product", texts[1]);
        file("serial", texts[2]);
    }

    /// As the kernel has it: `ttyUSB` has a folder of its own within the interface, `ttyACM` has not.
    fn tty(&self, tty: &str, device: &str, interface: u8) {
        let root = self.root.path();
        let folder = root.join(device).join(format!("{}:1.{interface}", device.rsplit('/').next().expect("a name")));
        fs::create_dir_all(folder.join(tty)).expect("a folder");
        fs::write(folder.join("bInterfaceNumber"), format!("{interface:02x}\n")).expect("a file");
        let class = root.join("sys/class/tty").join(tty);
        fs::create_dir_all(&class).expect("a folder");
        let target = if tty.starts_with("ttyUSB") { folder.join(tty) } else { folder };
        symlink(target, class.join("device")).expect("a link");
        fs::write(root.join("dev").join(tty), "").expect("a file");
    }

    fn name(&self, tty: &str, name: &str) {
        symlink(format!("../../{tty}"), self.root.path().join("dev/serial/by-id").join(name)).expect("a link");
    }

    fn find(&self) -> Result<Address, NoStick> {
        find(self.root.path())
    }
}

const CP210X: (u16, u16) = (0x10c4, 0xea60);

type Seen = ((u16, u16), [&'static str; 3], &'static str, Protocol);

/// What the sticks say of themselves, and who they are: name, protocol.
const SEEN: [Seen; 12] = [
    (CP210X, ["Silicon Labs", "Sonoff Zigbee 3.0 USB Dongle Plus", "0001"], "Sonoff ZBDongle-P", Protocol::Znp),
    (CP210X, ["ITead", "Sonoff Zigbee 3.0 USB Dongle Plus", "a2b1"], "Sonoff ZBDongle-P", Protocol::Znp),
    (CP210X, ["ITEAD", "SONOFF Zigbee 3.0 USB Dongle Plus V2", "2022"], "Sonoff ZBDongle-E", Protocol::Ezsp),
    ((0x1a86, 0x55d4), ["ITEAD", "SONOFF Zigbee 3.0 USB Dongle Plus V2", "2022"], "Sonoff ZBDongle-E", Protocol::Ezsp),
    (CP210X, ["SONOFF", "SONOFF Dongle Plus MG24", "77"], "Sonoff Dongle Plus MG24", Protocol::Ezsp),
    (CP210X, ["SONOFF", "SONOFF Dongle Plus CC2674P10", "77"], "Sonoff Dongle-PP10", Protocol::Znp),
    (CP210X, ["Nabu Casa", "SkyConnect v1.0", "88"], "Home Assistant SkyConnect", Protocol::Ezsp),
    ((0x303a, 0x4001), ["Nabu Casa", "ZBT-2", "88"], "Home Assistant Connect ZBT-2", Protocol::Ezsp),
    (CP210X, ["SMLIGHT", "SLZB-06p7", "99"], "SMLIGHT SLZB-06p7", Protocol::Znp),
    ((0x1cf1, 0x0030), ["dresden elektronik ingenieurtechnik GmbH", "ConBee II", "DE2"], "ConBee II", Protocol::Deconz),
    ((0x0451, 0x16a8), ["Texas Instruments", "TI CC2531 USB CDC", "0X00124B"], "CC2531", Protocol::Znp),
    ((0x1a86, 0x7523), ["Electrolama", "Electrolama zzh", "1"], "zzh!", Protocol::Znp),
];

#[test]
fn sticks_are_known_by_what_they_say() {
    for (usb, texts, name, protocol) in SEEN {
        let mut machine = Machine::new();
        let path = machine.plug("ttyUSB0", usb, texts);
        let found = ports(machine.root.path());
        let stick = recognise(&found[0]).unwrap_or_else(|| panic!("{texts:?}"));
        assert_eq!((stick.name, stick.protocol), (name, protocol));
        match machine.find() {
            Ok(address) => assert_eq!((address.to_string(), protocol), (path, Protocol::Znp)),
            Err(NoStick::Speaks(text)) => {
                assert_ne!(protocol, Protocol::Znp);
                assert!(
                    text.contains(name) && text.contains(protocol.name()) && text.contains("zigbee2mqtt"),
                    "{text}"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The chip is in clocks, programmers and printers.
#[test]
fn a_bridge_is_never_taken_by_its_chip_alone() {
    for usb in BRIDGES {
        for texts in
            [["Silicon Labs", "CP2102 USB to UART Bridge Controller", "0001"], ["", "", ""], ["ITEAD", "Relay", "1"]]
        {
            let mut machine = Machine::new();
            let path = machine.plug("ttyUSB0", usb, texts);
            let Err(NoStick::None(text)) = machine.find() else { panic!("{usb:04x?} {texts:?}") };
            assert!(text.contains(&path) && text.contains("zigbee.port"), "{text}");
        }
    }
}

#[test]
fn of_several_a_person_chooses() {
    let mut machine = Machine::new();
    let dongle = machine.plug("ttyUSB0", CP210X, ["ITead", "Sonoff Zigbee 3.0 USB Dongle Plus", "1"]);
    // One that speaks something else is no choice.
    machine.plug("ttyUSB1", CP210X, ["Nabu Casa", "SkyConnect v1.0", "88"]);
    assert_eq!(machine.find().expect("one that can be spoken to").to_string(), dongle);
    let old = machine.plug("ttyACM0", (0x0451, 0x16a8), ["Texas Instruments", "TI CC2531 USB CDC", "2"]);
    let Err(NoStick::Several(text)) = machine.find() else { panic!("there are two") };
    assert!(text.contains(&dongle) && text.contains(&old) && !text.contains("SkyConnect"), "{text}");
}

#[test]
fn nothing_is_told_as_nothing() {
    let machine = Machine::new();
    let Err(NoStick::None(text)) = machine.find() else { panic!("there is none") };
    assert!(text.contains("Plug one in"), "{text}");
    let nowhere = tempfile::tempdir().expect("a folder");
    assert_eq!(ports(nowhere.path()), []);
}

/// A LaunchPad has a port for the chip and one for the debugger, in either order of appearance.
#[test]
fn of_two_ports_of_a_stick_the_first_is_taken() {
    let machine = Machine::new();
    let device = "sys/devices/pci0/usb1/1-1";
    machine.usb(device, (0x0451, 0xbef3), ["Texas Instruments", "XDS110 (03.00.00.05) Embed with CMSIS-DAP", "L4100"]);
    machine.tty("ttyACM1", device, 0);
    machine.tty("ttyACM0", device, 3);
    assert_eq!(machine.find().expect("one stick").to_string(), "/dev/ttyACM1");
}

/// Without udev there are no names; what the device says makes one up.
#[test]
fn without_names_the_texts_tell() {
    let machine = Machine::new();
    machine.usb("sys/devices/usb1/1-1", CP210X, ["ITead", "Sonoff Zigbee 3.0 USB Dongle Plus", "1"]);
    machine.tty("ttyUSB3", "sys/devices/usb1/1-1", 0);
    assert_eq!(machine.find().expect("one stick").to_string(), "/dev/ttyUSB3");
}

#[test]
fn a_port_that_a_person_names_is_opened_as_its_stick_wants() {
    let mut machine = Machine::new();
    let unknown = machine.plug("ttyUSB0", CP210X, ["Silicon Labs", "CP2102", "1"]);
    let other = machine.plug("ttyUSB1", (0x303a, 0x4001), ["Nabu Casa", "ZBT-2", "88"]);
    let at = |text: &str| at(machine.root.path(), text.parse().expect("an address"));
    assert_eq!(at(&unknown), Ok(unknown.parse().expect("an address")), "it may well be one");
    assert!(matches!(at(&other), Err(NoStick::Speaks(_))));
    assert!(matches!(at("/dev/ttyUSB1"), Err(NoStick::Speaks(_))), "by any of its names");
    assert_eq!(at("/dev/ttyAMA0").expect("no USB").to_string(), "/dev/ttyAMA0");
    assert_eq!(at("tcp://10.0.0.7:6638").expect("no port").to_string(), "tcp://10.0.0.7:6638");
}

/// A row of the table that nothing can match, or that another always hides, is a slip.
#[test]
fn the_table_is_sound() {
    for stick in &STICKS {
        assert!(!stick.usb.is_empty(), "{}", stick.name);
        for usb in stick.usb {
            assert!(!BRIDGES.contains(usb) || !stick.name_has.is_empty(), "{}: a bridge alone is none", stick.name);
            let manufacturer = stick.makers.first().copied().unwrap_or("");
            let port = Port {
                path: "".into(),
                tty: "".into(),
                usb: *usb,
                manufacturer: manufacturer.into(),
                name: stick.name_has.join("_").into(),
                interface: 0,
                place: PathBuf::new(),
            };
            assert_eq!(recognise(&port).map(|found| found.name), Some(stick.name), "{usb:04x?}");
        }
        for text in stick.makers.iter().chain(stick.name_has).chain(stick.name_lacks) {
            assert_eq!(*text, text.to_lowercase(), "{}", stick.name);
        }
    }
}
