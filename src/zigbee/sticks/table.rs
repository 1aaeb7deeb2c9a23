//! The sticks that are known, as data.

use crate::zigbee::driver::Flow;
use crate::zigbee::sticks::Protocol::{self, *};

/// A stick, and by what it is recognised.
#[derive(Debug)]
pub struct Stick {
    pub name: &'static str,
    /// Vendor and product of its USB chip; none of one that is soldered on.
    pub usb: &'static [(u16, u16)],
    /// A part of the manufacturer's text, in small letters; any of these.
    pub makers: &'static [&'static str],
    /// Parts of its name under `/dev/serial/by-id`, in small letters, in this order.
    pub name_has: &'static [&'static str],
    /// Parts that another stick of the kind has.
    pub name_lacks: &'static [&'static str],
    pub protocol: Protocol,
    pub baud: u32,
    pub flow: Flow,
}

const fn stick(name: &'static str, usb: &'static [(u16, u16)], protocol: Protocol) -> Stick {
    Stick { name, usb, makers: &[], name_has: &[], name_lacks: &[], protocol, baud: 115_200, flow: Flow::None }
}

const CP210X: (u16, u16) = (0x10c4, 0xea60);
const FT231X: (u16, u16) = (0x0403, 0x6015);
const CH340: (u16, u16) = (0x1a86, 0x7523);
const CH9102: (u16, u16) = (0x1a86, 0x55d4);
const PL2303: (u16, u16) = (0x067b, 0x2303);

/// Chips that are in all kinds of things: what has one may be anything.
pub const BRIDGES: [(u16, u16); 5] = [CP210X, FT231X, CH340, CH9102, PL2303];

pub static STICKS: [Stick; 29] = [
    Stick {
        makers: &["itead", "silicon labs", "silicon_labs"],
        name_has: &["sonoff", "plus"],
        name_lacks: &["plus_v2", "mg24", "mg21", "cc2674"],
        ..stick("Sonoff ZBDongle-P", &[CP210X], Znp)
    },
    Stick {
        makers: &["itead", "sonoff"],
        name_has: &["sonoff", "plus_v2"],
        ..stick("Sonoff ZBDongle-E", &[CH9102, CP210X], Ezsp)
    },
    Stick { makers: &["sonoff"], name_has: &["plus", "mg24"], ..stick("Sonoff Dongle Plus MG24", &[CP210X], Ezsp) },
    Stick { makers: &["sonoff"], name_has: &["lite", "mg21"], ..stick("Sonoff Dongle Lite MG21", &[CP210X], Ezsp) },
    Stick { makers: &["sonoff"], name_has: &["sonoff", "max"], ..stick("Sonoff Dongle Max", &[CP210X], Ezsp) },
    Stick { makers: &["sonoff"], name_has: &["plus", "cc2674p10"], ..stick("Sonoff Dongle-PP10", &[CP210X], Znp) },
    Stick {
        makers: &["nabu casa"],
        name_has: &["nabu_casa_skyconnect"],
        flow: Flow::RtsCts,
        ..stick("Home Assistant SkyConnect", &[CP210X], Ezsp)
    },
    Stick {
        makers: &["nabu casa"],
        name_has: &["nabu_casa", "zbt-1"],
        flow: Flow::RtsCts,
        ..stick("Home Assistant Connect ZBT-1", &[CP210X], Ezsp)
    },
    Stick {
        makers: &["nabu casa"],
        name_has: &["nabu_casa_zbt-2"],
        baud: 460_800,
        flow: Flow::RtsCts,
        ..stick("Home Assistant Connect ZBT-2", &[(0x303a, 0x4001), (0x303a, 0x831a)], Ezsp)
    },
    Stick {
        makers: &["smlight"],
        name_has: &["slzb-07"],
        name_lacks: &["07p7", "07p10", "mg24"],
        flow: Flow::RtsCts,
        ..stick("SMLIGHT SLZB-07", &[CP210X], Ezsp)
    },
    Stick {
        makers: &["smlight"],
        name_has: &["slzb-07mg24"],
        flow: Flow::RtsCts,
        ..stick("SMLIGHT SLZB-07Mg24", &[CP210X], Ezsp)
    },
    Stick { makers: &["smlight"], name_has: &["slzb-06m"], ..stick("SMLIGHT SLZB-06M", &[CP210X], Ezsp) },
    Stick { makers: &["smlight"], name_has: &["slzb-06p7"], ..stick("SMLIGHT SLZB-06p7", &[CP210X], Znp) },
    Stick { makers: &["smlight"], name_has: &["slzb-06p10"], ..stick("SMLIGHT SLZB-06p10", &[CP210X], Znp) },
    Stick { makers: &["smlight"], name_has: &["slzb-07p7"], ..stick("SMLIGHT SLZB-07p7", &[CP210X], Znp) },
    Stick { makers: &["smlight"], name_has: &["slzb-07p10"], ..stick("SMLIGHT SLZB-07p10", &[CP210X], Znp) },
    Stick {
        makers: &["dresden elektronik"],
        name_has: &["conbee"],
        baud: 38_400,
        ..stick("ConBee II", &[(0x1cf1, 0x0030)], Deconz)
    },
    Stick { makers: &["dresden elektronik"], name_has: &["conbee"], ..stick("ConBee III", &[FT231X], Deconz) },
    Stick { makers: &["texas instruments"], name_has: &["cc2531"], ..stick("CC2531", &[(0x0451, 0x16a8)], Znp) },
    Stick { makers: &["texas instruments"], ..stick("CC2538", &[(0x0451, 0x16c8)], Znp) },
    Stick { makers: &["texas instruments"], ..stick("TI LaunchPad", &[(0x0451, 0xbef3)], Znp) },
    Stick { makers: &["electrolama"], name_has: &["electrolama"], ..stick("zzh!", &[FT231X, CH340], Znp) },
    Stick { makers: &["zig-a-zig-ah"], name_has: &["zig-a-zig-ah"], ..stick("zzh!", &[CH340], Znp) },
    Stick { makers: &["silicon labs"], name_has: &["slae.sh_cc2652rb"], ..stick("slae.sh CC2652RB", &[CP210X], Znp) },
    Stick { makers: &["zigstar"], name_has: &["zigstar"], ..stick("ZigStar", &[CP210X, CH340], Znp) },
    Stick { makers: &["tubeszb"], name_has: &["tubeszb", "cc"], ..stick("TubesZB CC2652", &[CP210X, CH340], Znp) },
    Stick { makers: &["tubeszb"], name_has: &["tubeszb", "efr"], ..stick("TubesZB EFR32", &[CP210X, CH340], Ezsp) },
    Stick { makers: &["zephyr"], ..stick("Nordic ZBOSS NCP", &[(0x2fe3, 0x0100)], Zboss) },
    Stick { name_has: &["zigate"], ..stick("ZiGate", &[PL2303, CP210X, FT231X], Zigate) },
];
