//! What Raspberry Pi Imager writes on a card: `custom.toml`, and the older `firstrun.sh`, which is read for the four commands that
//! Imager puts there and never run. Pure: text in, settings out. Formats: rpi-imager's customisation generator, and
//! raspberrypi-sys-mods' `init_config` and `imager_custom`.

use crate::appliance::settings::{Machine, Settings};
use crate::common::config::Problem;

pub const CUSTOM_TOML: &str = "custom.toml";
pub const FIRSTRUN: &str = "firstrun.sh";

/// Lines of a value that goes over several.
const VALUE_LINES_MAX: usize = 64;

/// The program that `firstrun.sh` calls, without its folder.
const IMAGER_CUSTOM: &str = "imager_custom";

/// What of `custom.toml` the hub takes, and by which key.
const TOML_KEYS: [(&str, &str); 7] = [
    ("system.hostname", "hostname"),
    ("locale.timezone", "timezone"),
    ("wlan.country", "wifi.country"),
    ("wlan.ssid", "wifi.ssid"),
    ("wlan.password", "wifi.passphrase"),
    ("wlan.hidden", "wifi.hidden"),
    ("ssh.authorized_keys", "ssh_key"),
];

/// What others understand and means nothing here.
const TOML_IDLE: [&str; 5] =
    ["config_version", "locale.keymap", "wlan.password_encrypted", "ssh.enabled", "ssh.password_authentication"];

/// Takes values, and notes what is wrong with them.
pub(super) struct Taking<'a> {
    pub file: &'static str,
    pub machine: &'a Machine<'a>,
    pub settings: Settings,
    pub problems: Vec<Problem>,
}

impl Taking<'_> {
    pub fn take(&mut self, line: usize, path: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Err(fault) = self.settings.take(path, text, self.machine) {
            self.refuse(line, format!("`{path}`: {}", fault.text), &fault.help);
        }
    }

    pub fn refuse(&mut self, line: usize, text: String, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.problems.push(Problem { place: format!("{}:{line}", self.file), text, snippet: None, help });
    }

    pub fn done(self) -> (Settings, Vec<Problem>) {
        (self.settings, self.problems)
    }
}

/// Reads `custom.toml`: of TOML what Imager writes, which is sections with strings, lists of strings, numbers and flags.
pub fn custom_toml(text: &str, machine: &Machine<'_>) -> (Settings, Vec<Problem>) {
    let mut taking = Taking { file: CUSTOM_TOML, machine, settings: Settings::default(), problems: Vec::new() };
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.trim().to_owned();
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            taking.refuse(at + 1, "this is no line of TOML".into(), "`key = \"value\"`");
            continue;
        };
        let mut value = value.trim().to_owned();
        let mut parsed = toml_value(&value);
        for _ in 0..VALUE_LINES_MAX {
            let (None, true) = (&parsed, value.starts_with('[')) else { break };
            let Some((_, more)) = lines.next() else { break };
            value = format!("{value}\n{more}");
            parsed = toml_value(&value);
        }
        let path = if section.is_empty() { key.trim().to_owned() } else { format!("{section}.{}", key.trim()) };
        let Some(values) = parsed else {
            taking.refuse(at + 1, format!("the value of `{}` is not understood", shown(&path)), "a text in quotes");
            continue;
        };
        match TOML_KEYS.iter().find(|(theirs, _)| *theirs == path) {
            Some((_, ours)) => values.iter().for_each(|value| taking.take(at + 1, ours, value)),
            None if TOML_IDLE.contains(&path.as_str()) => {}
            None => not_here(&mut taking, at + 1, &path),
        }
    }
    taking.done()
}

fn not_here(taking: &mut Taking<'_>, line: usize, path: &str) {
    let help = match path.starts_with("user.") {
        true => "a hub has no users of the system; over SSH one is root, with a key",
        false => "",
    };
    taking.refuse(line, format!("the hub has no use for `{}`", shown(path)), help);
}

/// The values of a TOML value, as texts. `None`: it is none, or it is not whole.
fn toml_value(text: &str) -> Option<Vec<String>> {
    let (values, rest) = match text.strip_prefix('[') {
        None => {
            let (value, rest) = toml_scalar(text)?;
            (vec![value], rest)
        }
        Some(mut rest) => {
            let mut values = Vec::new();
            loop {
                rest = past_blanks(rest);
                if let Some(end) = rest.strip_prefix(']') {
                    break (values, end);
                }
                let (value, after) = toml_scalar(rest)?;
                values.push(value);
                rest = past_blanks(after);
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
    };
    let rest = past_blanks(rest);
    rest.is_empty().then_some(values)
}

/// Without white space, line ends and comments before it.
fn past_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix('#') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

fn toml_scalar(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, rest) = rest.split_once('\'')?;
        return (!value.contains('\n')).then(|| (value.to_owned(), rest));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let mut end = None;
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                '\n' => return None,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let end = end?;
        // The escapes of TOML's basic strings that are written are those of JSON.
        let value = serde_json::from_str(&text[..end + 2]).ok()?;
        return Some((value, &quoted[end + 1..]));
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '#')).unwrap_or(text.len());
    let word = &text[..end];
    let is_plain =
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._:".contains(&byte));
    is_plain.then(|| (word.to_owned(), &text[end..]))
}

/// Reads `firstrun.sh`.
pub fn firstrun(text: &str, machine: &Machine<'_>) -> (Settings, Vec<Problem>) {
    let mut taking = Taking { file: FIRSTRUN, machine, settings: Settings::default(), problems: Vec::new() };
    for (at, line) in text.lines().enumerate() {
        if !line.contains(IMAGER_CUSTOM) {
            continue;
        }
        let Some(words) = shell_words(line) else { continue };
        let [program, command, arguments @ ..] = &words[..] else { continue };
        if program.rsplit('/').next() != Some(IMAGER_CUSTOM) {
            continue;
        }
        let line = at + 1;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (command.as_str(), &arguments[..]) {
            ("set_hostname", [name]) => taking.take(line, "hostname", name),
            ("set_timezone", [zone]) => taking.take(line, "timezone", zone),
            ("enable_ssh", ["-k", keys @ ..]) => {
                // One argument may hold several lines.
                keys.iter().flat_map(|keys| keys.lines()).for_each(|key| taking.take(line, "ssh_key", key));
            }
            ("set_wlan", arguments) => {
                let (hidden, rest) = match arguments {
                    ["-h", rest @ ..] => ("true", rest),
                    rest => ("", rest),
                };
                taking.take(line, "wifi.hidden", hidden);
                for (path, text) in ["wifi.ssid", "wifi.passphrase", "wifi.country"].into_iter().zip(rest) {
                    // Imager writes an empty text where a network has no passphrase.
                    let is_open = path == "wifi.passphrase" && text.is_empty();
                    taking.take(line, path, if is_open { "none" } else { text });
                }
            }
            ("enable_ssh", _) => taking.refuse(
                line,
                "SSH with a password is not to be had".into(),
                "choose `Use public key authentication` in Imager, or write ssh_key into hearth.yaml",
            ),
            ("set_keymap", _) => {}
            (other, _) => taking.refuse(line, format!("the hub has no use for `{}`", shown(other)), ""),
        }
    }
    taking.done()
}

/// The words of a line of a shell's; `None` where a quote does not end, or where a shell would put something in.
fn shell_words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => word.push(letters.next()?),
                        '$' | '`' => return None,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' => return None,
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::checks::Passphrase;
    use crate::common::secret::Secret;

    const MACHINE: Machine<'_> = Machine { has_zone: &|name| name == "Europe/London" };
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop";

    fn expected(passphrase: &str, hidden: Option<bool>) -> Settings {
        let mut settings = Settings {
            hostname: Some("kitchen".into()),
            timezone: Some("Europe/London".into()),
            ssh_keys: Some(vec![KEY.into()]),
            ..Settings::default()
        };
        settings.wifi.ssid = Some("It's \"ours\"".into());
        settings.wifi.passphrase = Some(Passphrase::Words(Secret::new(passphrase)));
        settings.wifi.country = Some("GB".into());
        settings.wifi.hidden = hidden;
        settings
    }

    #[test]
    fn imagers_toml_is_read() {
        let text = format!(
            "# by Imager\nconfig_version = 1\n\n[system]\nhostname = \"kitchen\"\n[user]\nname = \"pi\"\npassword = \
             \"$5$hash\"\n[ssh]\nenabled = true\npassword_authentication = false\nauthorized_keys = [\n  '{KEY}', # \
             mine\n]\n[wlan]\nssid = \"It's \\\"ours\\\"\"\npassword = \"hunter2 # hunter2\"\npassword_encrypted = \
             false\nhidden = false # seen\ncountry = \"GB\"\n[locale]\nkeymap = \"gb\"\ntimezone = \"Europe/London\"\n"
        );
        let (settings, problems) = custom_toml(&text, &MACHINE);
        assert_eq!(settings, expected("hunter2 # hunter2", Some(false)));
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("custom.toml:7: the hub has no use for `user.name`"), "{told:?}");
        assert!(told[0].contains("root, with a key") && !told.concat().contains("hash"), "{told:?}");
    }

    #[test]
    fn imagers_script_is_read_and_not_run() {
        let text = format!(
            "#!/bin/sh\nset +e\nCURRENT_HOSTNAME=$(cat /etc/hostname)\nif [ -f \
             /usr/lib/raspberrypi-sys-mods/imager_custom ]; then\n   /usr/lib/raspberrypi-sys-mods/imager_custom \
             set_hostname kitchen\nelse\n   echo other >/etc/hostname\nfi\n   \
             /usr/lib/raspberrypi-sys-mods/imager_custom enable_ssh -k '{KEY}'\n   \
             /usr/lib/raspberrypi-sys-mods/imager_custom set_wlan  -h  'It'\"'\"'s \"ours\"' '{psk}' 'GB'\n   \
             /usr/lib/raspberrypi-sys-mods/imager_custom set_keymap 'gb'\n   \
             /usr/lib/raspberrypi-sys-mods/imager_custom set_timezone 'Europe/London'\nrm -f /boot/firstrun.sh\n",
            psk = "0a".repeat(32)
        );
        let (settings, problems) = firstrun(&text, &MACHINE);
        assert_eq!(settings, expected(&"0a".repeat(32), Some(true)));
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn what_is_odd_is_told_or_passed_over() {
        for (line, told) in [
            ("imager_custom set_hostname $(reboot)", None),
            ("imager_custom set_hostname a; reboot", None),
            ("imager_custom set_hostname 'a", None),
            ("echo imager_custom set_hostname a", None),
            ("imager_custom set_hostname 'a b'", Some("`hostname`")),
            ("imager_custom enable_ssh", Some("SSH with a password")),
            ("imager_custom set_wlan 'x' 'hunter' 'GB'", Some("`wifi.passphrase`: it has 6")),
            ("/x/imager_custom format_disk now", Some("no use for `format_disk`")),
        ] {
            let (settings, problems) = firstrun(line, &MACHINE);
            assert_eq!(
                problems.first().map(|problem| problem.text.contains(told.unwrap_or_default())),
                told.map(|_| true),
                "{line}: {problems:?}"
            );
            assert_eq!(settings.hostname, None, "{line}");
            assert!(!format!("{problems:?}").contains("hunter"), "{problems:?}");
        }
        let open = firstrun("imager_custom set_wlan 'cafe' '' 'GB'", &MACHINE).0.wifi;
        assert_eq!((open.ssid.as_deref(), open.passphrase), (Some("cafe"), Some(Passphrase::Open)));
        for bad in
            ["x", "[system]\nhostname = \"a", "[system]\nhostname = [\"a\"", "[system]\nhostname = a b", "a = {b=1}"]
        {
            let (settings, problems) = custom_toml(bad, &MACHINE);
            assert!(!problems.is_empty() && settings == Settings::default(), "{bad}: {settings:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z\\[\\]=\"'\\\\ \n#,$;é]{0,60}") {
            let _ = custom_toml(&text, &MACHINE);
            let _ = firstrun(&format!("imager_custom {text}"), &MACHINE);
        }
    }
}
