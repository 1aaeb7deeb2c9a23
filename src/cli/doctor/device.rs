//! What the machine says of itself: its power, its warmth, its card, its clock, its network, its name, its memory. Reads files of
//! `/sys`, `/proc` and `/run` below a root, which is a tree of a test or `/`. What a machine does not have is not mentioned.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Finding, Health, finding};

/// A Raspberry Pi slows down at 80 °C, and others not much later.
const HOT_MILLI_C: i64 = 80_000;

/// From here on programs are ended for want of memory.
const MEMORY_LOW_KB: u64 = 48 * 1024;

/// JEDEC's life time estimate of an eMMC is in tenths; the last two of them.
const LIFE_LOW_TENTHS: u64 = 9;

/// An eMMC's own word that its spare blocks come to an end.
const PRE_EOL_WARNING: u64 = 2;

/// By what others call this machine.
pub struct Name {
    /// `hearth.local`, by the machine itself.
    pub own: String,
    /// By whoever announces it, where that says.
    pub announced: Option<String>,
}

/// `folder` is that of the store, `name` that of a machine on which others call the hub.
pub fn examine(root: &Path, folder: &Path, called: Option<&Name>, findings: &mut Vec<Finding>) {
    let found = [
        power(root),
        temperature(root),
        read_only(folder),
        file_system(root),
        card(root),
        time(root),
        network(root),
        called.map(|called| name(root, called)),
        memory(root),
        limits(root),
    ];
    findings.extend(found.into_iter().flatten());
}

/// The firmware's flag for a supply that is too weak (the kernel's `raspberrypi-hwmon`).
fn power(root: &Path) -> Option<Finding> {
    let monitors = below(&root.join("sys/class/hwmon"));
    let pi = monitors.into_iter().find(|monitor| text(&monitor.join("name")).as_deref() == Some("rpi_volt"))?;
    Some(match number(&pi.join("in0_lcrit_alarm"))? {
        0 => finding("power", Health::Ok, "no under-voltage"),
        _ => finding(
            "power",
            Health::Warn,
            "under-voltage: take the supply that belongs to this Pi and a short cable, or the card will suffer",
        ),
    })
}

fn temperature(root: &Path) -> Option<Finding> {
    let zones = below(&root.join("sys/class/thermal"));
    let zones = zones
        .iter()
        .filter(|zone| zone.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"thermal_zone")));
    let hottest = zones.filter_map(|zone| text(&zone.join("temp"))?.parse::<i64>().ok()).max()?;
    let shown = format!("{} °C", hottest / 1000);
    Some(match hottest >= HOT_MILLI_C {
        true => finding("temperature", Health::Warn, format!("{shown}: it slows down; give it air or a heat sink")),
        false => finding("temperature", Health::Ok, shown),
    })
}

/// A file system that has failed is often mounted anew, for reading only.
fn read_only(folder: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let text = format!("{} can only be read: its disk may have failed; look at `dmesg`", folder.display());
    disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY).then(|| finding("disk", Health::Fail, text))
}

/// Errors that ext4 has counted since it was checked.
fn file_system(root: &Path) -> Option<Finding> {
    let bad = below(&root.join("sys/fs/ext4")).into_iter().find(|disk| number(&disk.join("errors_count")) > Some(0))?;
    let name = bad.file_name()?.to_string_lossy().into_owned();
    let text = format!("the file system on {name} has errors: make a backup, and take another card if they come again");
    Some(finding("file system", Health::Warn, text))
}

/// What is worn: an eMMC says it, an SD card does not.
fn card(root: &Path) -> Option<Finding> {
    let cards = below(&root.join("sys/block")).into_iter().map(|disk| disk.join("device"));
    let card = cards.into_iter().find(|card| matches!(text(&card.join("type")).as_deref(), Some("SD" | "MMC")))?;
    let (kind, name) = (text(&card.join("type"))?, text(&card.join("name")).unwrap_or_default());
    let made = text(&card.join("date")).map(|date| format!(", made {date}")).unwrap_or_default();
    let shown = format!("{kind} {name}{made}");
    // Two estimates, `0x01 0x02`, each in tenths of the life that is over.
    let worn = text(&card.join("life_time")).and_then(|text| {
        let tenths = text.split_whitespace().filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        tenths.max()
    });
    // Spare blocks: 2 is a warning, 3 urgent (JEDEC JESD84-B51 §7.4.39).
    let spare =
        text(&card.join("pre_eol_info")).and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    Some(match worn {
        _ if spare.is_some_and(|spare| spare >= PRE_EOL_WARNING) => finding(
            "card",
            Health::Warn,
            format!("{shown}: its spare blocks are used up; copy it onto another one soon"),
        ),
        Some(tenths) if tenths > LIFE_LOW_TENTHS => {
            finding("card", Health::Warn, format!("{shown}: worn out; copy it onto another one soon"))
        }
        Some(tenths) if tenths > 0 => finding("card", Health::Ok, format!("{shown}, worn to {} %", tenths * 10)),
        _ => finding("card", Health::Ok, shown),
    })
}

/// Whether the clock was set from the network since the start (systemd-timesyncd).
fn time(root: &Path) -> Option<Finding> {
    let folder = root.join("run/systemd/timesync");
    folder.is_dir().then(|| match folder.join("synchronized").exists() {
        true => finding("time", Health::Ok, "set from the network"),
        false => finding("time", Health::Warn, "not yet set from the network: see `timedatectl timesync-status`"),
    })
}

/// The way out: a default route.
fn network(root: &Path) -> Option<Finding> {
    let routes = text(&root.join("proc/net/route"))?;
    // Interface, destination, gateway, flags, …, mask (proc_pid_net(5)).
    let interface = routes.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000")).then(|| words[0].to_owned())
    });
    Some(match interface {
        Some(interface) => finding("network", Health::Ok, format!("the way out is {interface}")),
        None => finding("network", Health::Warn, "no way out: the house works, providers and updates do not"),
    })
}

/// Whether the machine's name is announced in the house, and as what.
fn name(root: &Path, Name { own, announced }: &Name) -> Finding {
    match (root.join("run/avahi-daemon/pid").exists(), announced) {
        (true, Some(other)) if !other.eq_ignore_ascii_case(own) => {
            let text = format!("announced as {other}, for another machine in the house is called {own}");
            finding("name", Health::Warn, text)
        }
        (true, _) => finding("name", Health::Ok, format!("announced as {own}")),
        (false, _) => finding(
            "name",
            Health::Warn,
            format!("{own} is not announced: apt install avahi-daemon, or use the address"),
        ),
    }
}

fn memory(root: &Path) -> Option<Finding> {
    let info = text(&root.join("proc/meminfo"))?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let shown = format!("{} MiB available", kb / 1024);
    Some(match kb < MEMORY_LOW_KB {
        true => finding("memory", Health::Warn, format!("{shown}: programs may be ended; stop an MCP server or two")),
        false => finding("memory", Health::Ok, shown),
    })
}

/// Whether units can be held to `MemoryMax=`. A Pi's firmware turns the controller off.
fn limits(root: &Path) -> Option<Finding> {
    let controllers = text(&root.join("sys/fs/cgroup/cgroup.controllers"))?;
    Some(match controllers.split_whitespace().any(|word| word == "memory") {
        true => finding("limits", Health::Ok, "programs are held to their memory"),
        false => finding(
            "limits",
            Health::Warn,
            "programs are not held to their memory: add cgroup_enable=memory to the kernel's command line",
        ),
    })
}

/// What is in a folder, in the order of the names.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PI: [(&str, &str); 13] = [
        ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
        ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
        ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n"),
        ("sys/class/thermal/thermal_zone0/temp", "51540\n"),
        ("sys/fs/ext4/mmcblk0p2/errors_count", "0\n"),
        ("sys/block/mmcblk0/device/type", "SD\n"),
        ("sys/block/mmcblk0/device/name", "SN64G\n"),
        ("sys/block/mmcblk0/device/date", "03/2024\n"),
        ("run/systemd/timesync/synchronized", ""),
        ("run/avahi-daemon/pid", "412\n"),
        (
            "proc/net/route",
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
             wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n",
        ),
        ("proc/meminfo", "MemTotal:         436624 kB\nMemAvailable:     287312 kB\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
    ];

    fn looked_at(files: &[(&str, &str)]) -> Vec<(String, Health, String)> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut findings = Vec::new();
        let name = Name { own: "hearth.local".into(), announced: None };
        examine(root.path(), root.path(), Some(&name), &mut findings);
        findings.into_iter().map(|Finding { what, health, text }| (what, health, text)).collect()
    }

    #[test]
    fn a_pi_that_is_well_says_so() {
        let found = looked_at(&PI);
        let shown: Vec<_> = found.iter().map(|(what, _, text)| format!("{what}: {text}")).collect();
        let expected = [
            "power: no under-voltage",
            "temperature: 51 °C",
            "card: SD SN64G, made 03/2024",
            "time: set from the network",
            "network: the way out is wlan0",
            "name: announced as hearth.local",
            "memory: 280 MiB available",
            "limits: programs are held to their memory",
        ];
        assert_eq!(shown, expected);
        assert!(found.iter().all(|(_, health, _)| *health == Health::Ok));
    }

    #[test]
    fn each_trouble_is_seen() {
        for (path, bad, what, words) in [
            ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1", "power", "under-voltage"),
            ("sys/class/thermal/thermal_zone0/temp", "81000", "temperature", "81 °C"),
            ("sys/fs/ext4/mmcblk0p2/errors_count", "3", "file system", "mmcblk0p2"),
            ("sys/block/mmcblk0/device/life_time", "0x02 0x0a", "card", "worn out"),
            ("sys/block/mmcblk0/device/pre_eol_info", "0x02", "card", "spare blocks"),
            ("proc/net/route", "Iface\tDestination\n", "network", "no way out"),
            ("proc/meminfo", "MemAvailable: 20000 kB", "memory", "19 MiB"),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids", "limits", "cgroup_enable=memory"),
        ] {
            let mut files: Vec<_> = PI.into_iter().filter(|(known, _)| *known != path).collect();
            files.push((path, bad));
            let found = looked_at(&files);
            let troubles: Vec<_> = found.iter().filter(|(_, health, _)| *health != Health::Ok).collect();
            let [(found, Health::Warn, text)] = troubles[..] else { panic!("{path}: {troubles:?}") };
            assert!(found == what && text.contains(words), "{found}: {text}");
        }
        for (gone, what) in [("run/systemd/timesync/synchronized", None), ("run/avahi-daemon/pid", Some("name"))] {
            let files: Vec<_> = PI.into_iter().filter(|(known, _)| *known != gone).collect();
            let found = looked_at(&files).into_iter().find(|(_, health, _)| *health == Health::Warn);
            assert_eq!(found.as_ref().map(|(what, _, _)| &**what), what, "{gone}");
        }
        let waiting = looked_at(&[("run/systemd/timesync/clock", "")]);
        assert!(waiting.iter().any(|(what, health, _)| what == "time" && *health == Health::Warn), "{waiting:?}");
    }

    #[test]
    fn a_name_that_another_one_has_is_told() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/avahi-daemon")).unwrap();
        fs::write(root.path().join("run/avahi-daemon/pid"), "1").unwrap();
        let told = |announced: &str| {
            name(root.path(), &Name { own: "hearth.local".into(), announced: Some(announced.into()) })
        };
        assert_eq!(told("Hearth.local").health, Health::Ok);
        let other = told("hearth-2.local");
        assert!(other.health == Health::Warn && other.text.contains("as hearth-2.local"), "{}", other.text);
    }

    #[test]
    fn what_a_machine_does_not_have_is_not_mentioned() {
        let found = looked_at(&[("run/avahi-daemon/pid", "1")]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
