//! The owner's file: the one that is on every card, good ones, bad ones, and what is left of each when its secrets are taken.

use super::*;
use crate::appliance::checks::Passphrase;
use crate::common::secret::Secret;

const MACHINE: Machine<'_> = Machine { has_zone: &|name| name == "Europe/Zurich" };

/// As it lies on a new card.
const SHIPPED: &str = include_str!("../../image/boot/hearth.yaml");

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop";

fn filled() -> String {
    format!(
        "# mine\nhostname: Kitchen # the name\ntimezone: Europe/Zurich\nlanguage: de_CH.UTF-8\nnode: yes\nzigbee2mqtt: false\nwifi:\n  country: ch\n  \
         ssid: \"Café 5\"\n  passphrase: 'it''s: a # secret'\n  hidden: yes\nssh_key:\n  - {KEY}\nkeys:\n  openai: \
         sk-hunter2hunter2   # work\n  anthropic: 1234567890\n  gemini:\n"
    )
}

#[test]
fn the_shipped_file_is_good_says_nothing_and_names_every_key() {
    let file = read(SHIPPED, &MACHINE);
    assert!(file.problems.is_empty(), "{:?}", file.problems);
    assert_eq!(file.settings, Settings { hostname: Some("hearth".into()), ..Settings::default() });
    for key in KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(SHIPPED.contains(&format!("{name}:")), "{}", key.path);
    }
    assert_eq!(without_secrets(SHIPPED, &MACHINE), SHIPPED);
    // Each key can be used by taking the # away.
    let used: String = SHIPPED.lines().map(|line| format!("{}\n", line.strip_prefix("#:").unwrap_or(line))).collect();
    let file = read(&used, &MACHINE);
    assert!(file.problems.is_empty(), "{used}\n{:?}", file.problems);
}

#[test]
fn everything_is_taken() {
    let file = read(&filled(), &MACHINE);
    assert!(file.problems.is_empty(), "{:?}", file.problems);
    let Settings { hostname, timezone, language, wifi, ssh_keys, keys, options } = file.settings;
    assert_eq!(options.into_iter().collect::<Vec<_>>(), [("node", true), ("zigbee2mqtt", false)]);
    assert_eq!((hostname.as_deref(), timezone.as_deref()), (Some("kitchen"), Some("Europe/Zurich")));
    assert_eq!((language.as_deref(), wifi.country.as_deref()), (Some("de-CH"), Some("CH")));
    assert_eq!((wifi.ssid.as_deref(), wifi.hidden), (Some("Café 5"), Some(true)));
    assert_eq!(wifi.passphrase, Some(Passphrase::Words(Secret::new("it's: a # secret"))));
    assert_eq!(ssh_keys, Some(vec![KEY.to_owned()]));
    let keys: Vec<_> = keys.iter().map(|(name, key)| (*name, key.expose())).collect();
    assert_eq!(keys, [("anthropic_api_key", "1234567890"), ("openai_api_key", "sk-hunter2hunter2")]);
}

#[test]
fn what_is_left_says_the_same_without_the_secrets() {
    let left = without_secrets(&filled(), &MACHINE);
    let note = "# the hub has it; write another one here to change it";
    let expected = filled()
        .replace("'it''s: a # secret'", note)
        .replace("sk-hunter2hunter2", "")
        .replace("anthropic: 1234567890", &format!("anthropic: {note}"));
    assert_eq!(left, expected);
    assert_eq!(without_secrets(&left, &MACHINE), left);
    // However a secret is written, it goes; at worst with the comments.
    for text in [
        "hostname: a\nwifi: { ssid: b, passphrase: hunter2hunter2, country: CH }\n",
        "hostname: a\nwifi: { ssid: b, passphrase: hunter2hunter2 }\n",
        "hostname: a\nwifi:\n  ssid: b\n  passphrase: |-\n    hunter2hunter2\nlanguage: de\n",
        "hostname: a\nwifi:\n  ssid: b\n  passphrase: >-\n    hunter2hunter2\n",
        "hostname: a\nwifi:\n  passphrase: \"hunter2\\\n    hunter2\"\n  ssid: b\n",
        "hostname: a\nwifi:\n  ssid: b\n  # passphrase: hunter2hunter2\n  passphrase: hunter2hunter2\n",
        "hostname: a\nwifi:\n  ssid: b\n  passphrase: &x hunter2hunter2\nkeys: { openai: *x }\n",
        "hostname: a\r\nwifi:\r\n  ssid: b\r\n  passphrase: hunter2hunter2\r\n",
        "hostname: a\nwifi:\n  ssid: b\n  passphrase: !!str hunter2hunter2",
    ] {
        let file = read(text, &MACHINE);
        assert!(file.settings.has_secrets(), "{text}: {:?}", file.problems);
        let left = without_secrets(text, &MACHINE);
        assert!(!left.contains("hunter2"), "{text}\n→\n{left}");
        assert_eq!(read(&left, &MACHINE).settings, file.settings.without_secrets(), "{text}\n→\n{left}");
    }
}

#[test]
fn each_bad_value_is_told_and_the_others_are_taken() {
    let text = "hostname: my hub\ntimezone: Europe/Zürich\nlanguage: fr\nwifi:\n  ssid: house\n  pasphrase: hunter2hunter2\n  \
                passphrase: hunter2\n  country: UK\nkeys:\n  openai: [a, b]\n  open_ai: sk-hunter2\nwlan: 3\nssid: x\n";
    let file = read(text, &MACHINE);
    let told: Vec<_> = file.problems.iter().map(ToString::to_string).collect();
    let all = told.join("\n");
    assert!(!all.contains("hunter2"), "{all}");
    for (at, words) in [
        "hearth.yaml:1:11: `hostname`: this is no name",
        "hearth.yaml:2:11: `timezone`: there is no time zone",
        "hearth.yaml:6:3: there is no key `wifi.pasphrase`",
        "hearth.yaml:7:15: `wifi.passphrase`: it has 7 characters",
        "hearth.yaml:8:12: `wifi.country`: the United Kingdom is GB",
        "hearth.yaml:10:11: `keys.openai`: one value is wanted",
        "hearth.yaml:11:3: there is no key `keys.open_ai`",
        "hearth.yaml:12:1: there is no key `wlan`",
        "hearth.yaml:13:1: there is no key `ssid`",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(told[at].starts_with(words), "{}", told[at]);
    }
    assert!(all.contains("  1 | hostname: my hub\n    |           ^^^^^^"), "{all}");
    assert!(all.contains("did you mean `passphrase`?") && all.contains("did you mean `wifi.ssid`?"), "{all}");
    let settings = file.settings;
    assert_eq!((settings.language.as_deref(), settings.wifi.ssid.as_deref()), (Some("fr"), Some("house")));
    assert_eq!((settings.hostname, settings.wifi.passphrase), (None, None));
    assert_eq!(read("ssh_key: none\n", &MACHINE).settings.ssh_keys, Some(Vec::new()), "off");
    assert_eq!(read("ssh_key: [ssh-ed25519 AAAA]\n", &MACHINE).settings.ssh_keys, None, "a bad one is no order");
}

#[test]
fn what_is_no_yaml_is_told_without_its_secrets() {
    for text in [
        "hostname: a\nwifi:\n\tpassphrase: hunter2hunter2\n",
        "wifi:\n  passphrase: \"hunter2hunter2\n",
        "keys:\n  openai: sk: hunter2hunter2\n",
        "hostname: a\nhostname: hunter2hunter2\n",
        "hunter2hunter2",
        "- hunter2hunter2",
        "&a [*a, hunter2]",
    ] {
        let file = read(text, &MACHINE);
        assert_eq!(file.settings, Settings::default(), "{text}");
        let told: String = file.problems.iter().map(ToString::to_string).collect();
        assert!(!told.is_empty() && !told.contains("hunter2"), "{text}: {told}");
        assert!(file.problems.iter().all(|problem| problem.help.is_some()), "{told}");
    }
    for nothing in ["", "# only\n", "---\n", "wifi:\nkeys:\n", "hostname:\n", "hostname: ''\n"] {
        let file = read(nothing, &MACHINE);
        assert!(file.problems.is_empty() && file.settings == Settings::default(), "{nothing}: {:?}", file.problems);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics_or_keeps_a_secret(text in "[a-z:#'\" \n{}\\[\\]|>-]{0,80}", words in "[a-z0-9 #:'\"\\\\]{8,20}") {
        let _ = read(&text, &MACHINE);
        let _ = without_secrets(&text, &MACHINE);
        let quoted = serde_json::Value::from(words.as_str()).to_string();
        let text = format!("hostname: a\nwifi:\n  passphrase: {quoted}\n{text}\n");
        let file = read(&text, &MACHINE);
        if file.settings.has_secrets() {
            let left = without_secrets(&text, &MACHINE);
            proptest::prop_assert!(!left.contains(&words));
            proptest::prop_assert_eq!(read(&left, &MACHINE).settings, file.settings.without_secrets());
        }
    }
}
