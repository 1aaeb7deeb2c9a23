//! Brings an owner's settings to where the system reads them, under a root folder: the name, the network, keys. Whole or not at
//! all, file by file, and the same as often as one likes. Starts nothing.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::appliance::checks::Passphrase;
use crate::appliance::settings::{Settings, Wifi};
use crate::common::files::{link, put, read, shred};

/// For all to read, and for root alone.
const OPEN: u32 = 0o644;
const SHUT: u32 = 0o600;

/// NetworkManager takes a connection with a secret from nobody but root (nm-settings-keyfile(5)).
const WIFI: &str = "etc/NetworkManager/system-connections/hearth-wifi.nmconnection";

/// The longest of the system's files that is read, bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What is another thing now, in words.
    pub changes: Vec<String>,
    /// What cannot be as the settings say, in words.
    pub problems: Vec<String>,
    /// There is a secret among the settings that could not be put to use.
    pub has_idle_secret: bool,
}

impl Applied {
    fn note(&mut self, changed: bool, what: impl Into<String>) {
        if changed {
            self.changes.push(what.into());
        }
    }
}

/// An error means that the disk has not taken something: what is on the card must stay there.
pub fn apply(root: &Path, settings: &Settings) -> io::Result<Applied> {
    let mut done = Applied::default();
    if let Some(name) = &settings.hostname {
        hostname(root, name, &mut done)?;
    }
    if let Some(zone) = &settings.timezone {
        let changed = link(&root.join("etc/localtime"), &Path::new("/usr/share/zoneinfo").join(zone))?;
        put(&root.join("etc/timezone"), format!("{zone}\n").as_bytes(), OPEN)?;
        done.note(changed, format!("the time zone is {zone}"));
    }
    if let Some(language) = &settings.language {
        // Read by the hub's unit.
        let text = format!("HEARTH__HOUSE__LOCALE={language}\n");
        let changed = put(&root.join("etc/hearth/card.env"), text.as_bytes(), OPEN)?;
        done.note(changed, format!("the language is {language}"));
    }
    if let Some(country) = &settings.wifi.country {
        let text = format!("options cfg80211 ieee80211_regdom={country}\n");
        let changed = put(&root.join("etc/modprobe.d/hearth-wifi.conf"), text.as_bytes(), OPEN)?;
        done.note(changed, format!("the Wi-Fi is that of {country}"));
    }
    wifi(root, &settings.wifi, &mut done)?;
    if let Some(keys) = &settings.ssh_keys {
        ssh(root, keys, &mut done)?;
    }
    for (credential, key) in &settings.keys {
        let path = root.join("etc/credstore").join(format!("hearth.{credential}"));
        let changed = put(&path, format!("{}\n", key.expose()).as_bytes(), SHUT)?;
        done.note(changed, format!("{credential} is kept"));
    }
    for (&option, &is_wanted) in &settings.options {
        let path = root.join("etc/hearth/options").join(option);
        let changed = if is_wanted { put(&path, said_to_the_hub(option).as_bytes(), OPEN)? } else { shred(&path)? };
        done.note(changed, format!("{option} is {}", if is_wanted { "wanted" } else { "not wanted any more" }));
    }
    Ok(done)
}

/// What the hub's unit reads of an option: who has the stick.
fn said_to_the_hub(option: &str) -> &'static str {
    if option == "zigbee2mqtt" { "HEARTH__ZIGBEE__BACKEND=zigbee2mqtt\n" } else { "" }
}

fn hostname(root: &Path, name: &str, done: &mut Applied) -> io::Result<()> {
    let changed = put(&root.join("etc/hostname"), format!("{name}\n").as_bytes(), OPEN)?;
    let path = root.join("etc/hosts");
    let hosts = read(&path, BYTES_MAX)?.unwrap_or_else(|| "127.0.0.1 localhost\n::1 localhost\n".into());
    // Debian's own address for the name of a machine without one (hosts(5)).
    let is_own = |line: &&str| line.split_whitespace().next() == Some("127.0.1.1");
    let mut lines: Vec<String> = hosts.lines().filter(|line| !is_own(line)).map(Into::into).collect();
    let at = hosts.lines().position(|line| is_own(&line)).unwrap_or(lines.len());
    lines.insert(at, format!("127.0.1.1 {name}"));
    put(&path, format!("{}\n", lines.join("\n")).as_bytes(), OPEN)?;
    done.note(changed, format!("the hub is called {name}"));
    Ok(())
}

/// The place of sshd's keys: root's home is not writable on a card (`image/files/etc/ssh/sshd_config.d`).
fn ssh(root: &Path, keys: &[String], done: &mut Applied) -> io::Result<()> {
    let path = root.join("etc/ssh/hearth/root");
    if keys.is_empty() {
        let changed = shred(&path)?;
        done.note(changed, "nobody comes in over SSH any more");
        return Ok(());
    }
    let changed = put(&path, format!("{}\n", keys.join("\n")).as_bytes(), SHUT)?;
    done.note(changed, format!("root comes in over SSH with {} key(s)", keys.len()));
    Ok(())
}

fn wifi(root: &Path, wifi: &Wifi, done: &mut Applied) -> io::Result<()> {
    let path = root.join(WIFI);
    let before = read(&path, BYTES_MAX)?;
    let line_of = |key: &str| before.as_ref().and_then(|text| text.lines().find(|line| line.starts_with(key)));
    let ssid = match (&wifi.ssid, line_of("ssid=")) {
        (Some(ssid), _) => format!("ssid={}", ssid_bytes(ssid)),
        (None, Some(known)) if wifi.passphrase.is_some() || wifi.hidden.is_some() => known.to_owned(),
        (None, _) => {
            if matches!(wifi.passphrase, Some(Passphrase::Words(_))) {
                done.has_idle_secret = true;
                done.problems.push("`wifi.passphrase`: of which network? Write its name as `wifi.ssid`".into());
            }
            return Ok(());
        }
    };
    let secret = match &wifi.passphrase {
        Some(Passphrase::Open) => None,
        Some(Passphrase::Words(words)) => Some(format!("psk={}", escaped(words.expose()))),
        // It was taken from the card at an earlier start.
        None if line_of("ssid=") == Some(&ssid) => line_of("psk=").map(Into::into),
        None => {
            done.problems.push(
                "`wifi.ssid`: the passphrase of this network is missing; write it as `wifi.passphrase`, or `none` where it has none"
                    .into(),
            );
            return Ok(());
        }
    };
    let hidden = match wifi.hidden {
        Some(hidden) => hidden,
        None => line_of("hidden=true").is_some(),
    };
    let mut text = format!("[connection]\nid=hearth-wifi\ntype=wifi\n\n[wifi]\nmode=infrastructure\n{ssid}\n");
    if hidden {
        text.push_str("hidden=true\n");
    }
    if let Some(secret) = secret {
        // It is WPA3's as well, where the network has that (nm-settings(5), 802-11-wireless-security.key-mgmt).
        write!(text, "\n[wifi-security]\nkey-mgmt=wpa-psk\n{secret}\n").expect("a String takes any text");
    }
    text.push_str("\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n");
    let changed = put(&path, text.as_bytes(), SHUT)?;
    done.note(changed, "the Wi-Fi network is set");
    Ok(())
}

/// A network's name as the bytes that it is, so that none is taken for something else (nm-settings-keyfile(5), `ssid`).
fn ssid_bytes(ssid: &str) -> String {
    ssid.bytes().map(|byte| format!("{byte};")).collect()
}

/// A value of a key file (GLib's GKeyFile): blanks at its ends and backslashes are written as escapes.
fn escaped(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let start = text.len() - text.trim_start_matches(' ').len();
    let end = if inner.is_empty() { 0 } else { text.len() - text.trim_end_matches(' ').len() };
    format!("{}{}{}", "\\s".repeat(start), inner.replace('\\', "\\\\"), "\\s".repeat(end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::common::secret::Secret;

    fn network(ssid: Option<&str>, passphrase: Option<&str>) -> Settings {
        let mut settings = Settings::default();
        settings.wifi.ssid = ssid.map(Into::into);
        settings.wifi.passphrase = passphrase.map(|text| match text {
            "none" => Passphrase::Open,
            text => Passphrase::Words(Secret::new(text)),
        });
        settings
    }

    #[test]
    fn each_setting_is_where_the_system_reads_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 hearth\n::1 localhost\n").unwrap();
        let mut settings = network(Some("house"), Some(" a\\b "));
        settings.hostname = Some("kitchen".into());
        settings.timezone = Some("Europe/Zurich".into());
        settings.language = Some("de-CH".into());
        settings.wifi.country = Some("CH".into());
        settings.ssh_keys = Some(vec!["ssh-ed25519 AAAA me".into()]);
        settings.keys.insert("openai_api_key", Secret::new("sk-0123456789"));
        settings.options = BTreeMap::from([("node", false), ("zigbee2mqtt", true)]);
        let done = apply(root.path(), &settings).unwrap();
        assert_eq!((done.changes.len(), done.problems.len()), (8, 0), "{done:?}");
        assert_eq!(at("etc/hearth/options/zigbee2mqtt"), "HEARTH__ZIGBEE__BACKEND=zigbee2mqtt\n");
        assert!(!format!("{done:?}").contains("sk-"), "{done:?}");
        assert_eq!(at("etc/hostname"), "kitchen\n");
        assert_eq!(at("etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 kitchen\n::1 localhost\n");
        assert_eq!(at("etc/timezone"), "Europe/Zurich\n");
        assert_eq!(
            fs::read_link(root.path().join("etc/localtime")).unwrap(),
            Path::new("/usr/share/zoneinfo/Europe/Zurich")
        );
        assert_eq!(at("etc/hearth/card.env"), "HEARTH__HOUSE__LOCALE=de-CH\n");
        assert_eq!(at("etc/modprobe.d/hearth-wifi.conf"), "options cfg80211 ieee80211_regdom=CH\n");
        assert!(
            at(WIFI).contains("\nssid=104;111;117;115;101;\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=\\sa\\\\b\\s\n")
        );
        assert_eq!(at("etc/ssh/hearth/root"), "ssh-ed25519 AAAA me\n");
        assert_eq!(at("etc/credstore/hearth.openai_api_key"), "sk-0123456789\n");
        for shut in [WIFI, "etc/ssh/hearth/root", "etc/credstore/hearth.openai_api_key"] {
            assert_eq!(fs::metadata(root.path().join(shut)).unwrap().permissions().mode() & 0o777, 0o600, "{shut}");
        }
        assert_eq!(apply(root.path(), &settings).unwrap(), Applied::default(), "nothing is done twice");
        settings.ssh_keys = Some(Vec::new());
        assert_eq!(apply(root.path(), &settings).unwrap().changes, ["nobody comes in over SSH any more"]);
        settings.options.insert("zigbee2mqtt", false);
        assert_eq!(apply(root.path(), &settings).unwrap().changes, ["zigbee2mqtt is not wanted any more"]);
        assert!(!root.path().join("etc/hearth/options/zigbee2mqtt").exists());
        assert!(!root.path().join("etc/ssh/hearth/root").exists());
    }

    #[test]
    fn a_network_keeps_its_passphrase_and_gives_it_to_no_other() {
        let root = tempfile::tempdir().unwrap();
        let at = || fs::read_to_string(root.path().join(WIFI)).unwrap_or_default();
        let done = apply(root.path(), &network(Some("house"), None)).unwrap();
        assert!(done.problems[0].contains("missing") && at().is_empty(), "{done:?}");
        let done = apply(root.path(), &network(None, Some("hunter2hunter2"))).unwrap();
        assert!(done.has_idle_secret && done.problems[0].contains("of which network") && at().is_empty(), "{done:?}");
        apply(root.path(), &network(Some("house"), Some("hunter2hunter2"))).unwrap();
        let first = at();
        assert!(first.contains("psk=hunter2hunter2"));
        let mut hidden = network(Some("house"), None);
        hidden.wifi.hidden = Some(true);
        apply(root.path(), &hidden).unwrap();
        assert_eq!(at(), first.replace("\n\n[wifi-security]", "\nhidden=true\n\n[wifi-security]"));
        apply(root.path(), &network(None, Some("another one"))).unwrap();
        assert!(at().contains("psk=another one") && at().contains("hidden=true"), "{}", at());
        let done = apply(root.path(), &network(Some("other"), None)).unwrap();
        assert!(done.problems.len() == 1 && at().contains("psk=another one"), "the hub stays where it was: {done:?}");
        apply(root.path(), &network(Some("cafe"), Some("none"))).unwrap();
        assert!(!at().contains("psk") && !at().contains("wifi-security"), "{}", at());
        assert_eq!(escaped("  "), "\\s\\s");
    }
}
