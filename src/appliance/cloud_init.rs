//! What cloud-init's NoCloud files say of a machine's name, its keys and its Wi-Fi: `user-data` (cloud-config) and `network-config`
//! (netplan's version 2). All else in them is for cloud-init, which is not here, and is named as left out. Pure: text in,
//! settings out.

use serde_json::Value;
use serde_saphyr::Spanned;

use crate::appliance::imager::Taking;
use crate::appliance::owner_file::written;
use crate::appliance::settings::{Machine, Settings};
use crate::common::config::{Node, Problem, parse_yaml};

pub const USER_DATA: &str = "user-data";
pub const NETWORK_CONFIG: &str = "network-config";

/// What Imager writes for Raspberry Pi OS and a hub has already, or has no use for.
const IDLE: [&str; 9] = [
    "manage_etc_hosts",
    "packages",
    "apt",
    "keyboard",
    "enable_ssh",
    "ssh_pwauth",
    "preserve_hostname",
    "rpi",
    "runcmd",
];

type Entries = [(Spanned<String>, Spanned<Node>)];

/// Reads `user-data`.
pub fn user_data(text: &str, machine: &Machine<'_>) -> (Settings, Vec<Problem>) {
    let mut taking = Taking { file: USER_DATA, machine, settings: Settings::default(), problems: Vec::new() };
    if !text.trim_start_matches('\u{feff}').starts_with("#cloud-config") {
        // Imager's begins without it.
        if text.starts_with("#!") || text.starts_with("Content-Type") {
            taking.refuse(1, "this is no cloud-config".into(), "the hub runs no script from the card");
            return taking.done();
        }
    }
    let Some(root) = parsed(&mut taking, text) else { return taking.done() };
    for (key, value) in entries(&root) {
        let line = line_of(value);
        match key.value.as_str() {
            "hostname" => take(&mut taking, text, "hostname", value),
            "timezone" => take(&mut taking, text, "timezone", value),
            "locale" => take(&mut taking, text, "language", value),
            "ssh_authorized_keys" => take_all(&mut taking, text, "ssh_key", value),
            "users" => {
                let Node::List(users) = &value.value else { continue };
                for user in users {
                    if let Some(value) = child(entries(user), "ssh_authorized_keys") {
                        take_all(&mut taking, text, "ssh_key", value);
                    }
                }
            }
            other if IDLE.contains(&other) => {}
            other => {
                let shown: String = other.chars().take(64).flat_map(char::escape_debug).collect();
                taking.refuse(line, format!("the hub has no use for `{shown}`"), "");
            }
        }
    }
    taking.done()
}

/// Reads `network-config`.
pub fn network_config(text: &str, machine: &Machine<'_>) -> (Settings, Vec<Problem>) {
    let mut taking = Taking { file: NETWORK_CONFIG, machine, settings: Settings::default(), problems: Vec::new() };
    let Some(root) = parsed(&mut taking, text) else { return taking.done() };
    let network = child(entries(&root), "network").map_or(entries(&root), entries);
    let Some(wifis) = child(network, "wifis") else { return taking.done() };
    for (_, interface) in entries(wifis) {
        if let Some(country) = child(entries(interface), "regulatory-domain") {
            take(&mut taking, text, "wifi.country", country);
        }
        let Some(points) = child(entries(interface), "access-points") else { continue };
        for (name, point) in entries(points) {
            let line = name.referenced.line() as usize;
            if taking.settings.wifi.ssid.is_some() {
                taking.refuse(line, "there is more than one Wi-Fi network".into(), "the hub takes the first");
                continue;
            }
            taking.take(line, "wifi.ssid", &name.value);
            let values = entries(point);
            let auth = child(values, "auth").map(entries).and_then(|auth| child(auth, "password"));
            match child(values, "password").or(auth) {
                Some(password) => take(&mut taking, text, "wifi.passphrase", password),
                None => taking.take(line, "wifi.passphrase", "none"),
            }
            if let Some(hidden) = child(values, "hidden") {
                take(&mut taking, text, "wifi.hidden", hidden);
            }
        }
    }
    taking.done()
}

fn parsed(taking: &mut Taking<'_>, text: &str) -> Option<Spanned<Node>> {
    parse_yaml(text)
        .map_err(|error| {
            let line = error.location.map_or(1, |at| at.line() as usize);
            taking.refuse(line, error.text, "the hub takes nothing of this file");
        })
        .ok()
}

fn take(taking: &mut Taking<'_>, text: &str, path: &str, node: &Spanned<Node>) {
    let Node::Scalar(value) = &node.value else { return };
    if let Some(value) = written(text, value, &node.referenced) {
        taking.take(line_of(node), path, &value);
    }
}

fn take_all(taking: &mut Taking<'_>, text: &str, path: &str, node: &Spanned<Node>) {
    match &node.value {
        Node::List(items) => items.iter().for_each(|item| take(taking, text, path, item)),
        Node::Scalar(Value::String(_)) => take(taking, text, path, node),
        _ => {}
    }
}

fn entries(node: &Spanned<Node>) -> &Entries {
    match &node.value {
        Node::Map(entries) => entries,
        _ => &[],
    }
}

fn child<'n>(entries: &'n Entries, name: &str) -> Option<&'n Spanned<Node>> {
    entries.iter().find(|(key, _)| key.value == name).map(|(_, value)| value)
}

fn line_of(node: &Spanned<Node>) -> usize {
    node.referenced.line() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::checks::Passphrase;
    use crate::common::secret::Secret;

    const MACHINE: Machine<'_> = Machine { has_zone: &|name| name == "Europe/Paris" };
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop";

    #[test]
    fn user_data_is_read_for_name_keys_and_zone() {
        let text = format!(
            "#cloud-config\nhostname: kitchen\nmanage_etc_hosts: true\npackages:\n- avahi-daemon\ntimezone: \
             Europe/Paris\nlocale: fr_FR.UTF-8\nusers:\n- name: pi\n  passwd: $5$hash\n  ssh_authorized_keys:\n    - \
             {KEY}\nwrite_files:\n- path: /etc/x\n"
        );
        let (settings, problems) = user_data(&text, &MACHINE);
        assert_eq!((settings.hostname.as_deref(), settings.language.as_deref()), (Some("kitchen"), Some("fr-FR")));
        assert_eq!(settings.timezone.as_deref(), Some("Europe/Paris"));
        assert_eq!(settings.ssh_keys, Some(vec![KEY.to_owned()]));
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["user-data:14: the hub has no use for `write_files`"]);
        let (settings, _) = user_data(&format!("ssh_authorized_keys: [{KEY}]"), &MACHINE);
        assert_eq!(settings.ssh_keys, Some(vec![KEY.to_owned()]));
        for script in ["#!/bin/sh\nreboot", "Content-Type: multipart/mixed", "a: [", "#cloud-config\nhostname: a b"] {
            let (settings, problems) = user_data(script, &MACHINE);
            assert!(settings == Settings::default() && problems.len() == 1, "{script}: {problems:?}");
        }
    }

    #[test]
    fn network_config_is_read_for_the_wifi() {
        let wrapped = "network:\n  version: 2\n  wifis:\n    wlan0:\n      dhcp4: true\n      regulatory-domain: \
                       \"FR\"\n      access-points:\n        \"Chez \\\"nous\\\"\":\n          hidden: true\n          \
                       password: 0123456789\n";
        let bare = "version: 2\nwifis:\n  wlan0:\n    regulatory-domain: FR\n    access-points:\n      'Chez \"nous\"':\n        \
                    hidden: true\n        auth: { key-management: psk, password: \"0123456789\" }\n      other: {}\n";
        for (text, problems_len) in [(wrapped, 0), (bare, 1)] {
            let (settings, problems) = network_config(text, &MACHINE);
            assert_eq!(problems.len(), problems_len, "{problems:?}");
            let wifi = settings.wifi;
            assert_eq!((wifi.ssid.as_deref(), wifi.hidden), (Some("Chez \"nous\""), Some(true)));
            assert_eq!(
                (wifi.country.as_deref(), wifi.passphrase),
                (Some("FR"), Some(Passphrase::Words(Secret::new("0123456789"))))
            );
        }
        let (settings, problems) = network_config("wifis: {wlan0: {access-points: {cafe: {}}}}", &MACHINE);
        assert!(problems.is_empty() && settings.wifi.passphrase == Some(Passphrase::Open));
        assert_eq!(network_config("ethernets: {eth0: {dhcp4: true}}", &MACHINE), Default::default());
    }
}
