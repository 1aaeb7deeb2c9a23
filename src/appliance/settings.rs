//! What an owner can say of a hub before it starts, whoever brings it: the hub's own file, Imager's, cloud-init's. A table of keys,
//! each with its check. Reads no file and changes none.

use std::collections::BTreeMap;

use crate::appliance::checks::{self, Fault, Passphrase};
use crate::common::secret::Secret;

/// Public keys of one card.
const SSH_KEYS_MAX: usize = 16;

/// What was said. What was not is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub hostname: Option<String>,
    pub timezone: Option<String>,
    /// BCP 47.
    pub language: Option<String>,
    pub wifi: Wifi,
    /// Lines of `authorized_keys`; none of them: nobody comes in over SSH any more.
    pub ssh_keys: Option<Vec<String>>,
    /// By the name of the credential that the hub's unit loads: `openai_api_key`.
    pub keys: BTreeMap<&'static str, Secret>,
    /// What is not on every card, by the name that `hearth-option@.service` knows: whether it is wanted.
    pub options: BTreeMap<&'static str, bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wifi {
    pub ssid: Option<String>,
    pub passphrase: Option<Passphrase>,
    /// ISO 3166, which says what may be sent on.
    pub country: Option<String>,
    /// The network does not say its name.
    pub hidden: Option<bool>,
}

/// What of the machine the checks have to know.
pub struct Machine<'a> {
    /// Whether it has a time zone of this name.
    pub has_zone: &'a dyn Fn(&str) -> bool,
}

/// A key of the file, and what becomes of its value.
pub struct Key {
    /// With its section: `wifi.ssid`.
    pub path: &'static str,
    /// It is not to stay on a card that every computer reads.
    pub is_secret: bool,
    /// It may be a list.
    pub is_list: bool,
    pub take: Take,
}

type Take = fn(&mut Settings, &str, &Machine<'_>) -> Result<(), Fault>;

/// All of them, in the order of the file.
pub static KEYS: &[Key] = &[
    open("hostname", |settings, text, _| put(&mut settings.hostname, checks::hostname(text))),
    open("timezone", |settings, text, machine| put(&mut settings.timezone, checks::timezone(text, machine.has_zone))),
    open("language", |settings, text, _| put(&mut settings.language, checks::language(text))),
    open("node", |settings, text, _| want(settings, "node", text)),
    open("zigbee2mqtt", |settings, text, _| want(settings, "zigbee2mqtt", text)),
    open("wifi.country", |settings, text, _| put(&mut settings.wifi.country, checks::country(text))),
    open("wifi.ssid", |settings, text, _| put(&mut settings.wifi.ssid, checks::ssid(text))),
    secret("wifi.passphrase", |settings, text, _| put(&mut settings.wifi.passphrase, checks::passphrase(text))),
    open("wifi.hidden", |settings, text, _| put(&mut settings.wifi.hidden, checks::flag(text))),
    Key { path: "ssh_key", is_secret: false, is_list: true, take: ssh_key },
    secret("keys.openai", |settings, text, _| keep(settings, "openai_api_key", text)),
    secret("keys.anthropic", |settings, text, _| keep(settings, "anthropic_api_key", text)),
    secret("keys.gemini", |settings, text, _| keep(settings, "gemini_api_key", text)),
    secret("keys.openrouter", |settings, text, _| keep(settings, "openrouter_api_key", text)),
];

impl Settings {
    /// Takes a value by its key, which must be one of [`KEYS`].
    pub fn take(&mut self, path: &str, text: &str, machine: &Machine<'_>) -> Result<(), Fault> {
        let key = KEYS.iter().find(|key| key.path == path).expect("readers name keys of the table");
        (key.take)(self, text, machine)
    }

    /// What this does not say, the other one says. A network is one: its passphrase is never taken from elsewhere.
    pub fn or(self, other: Settings) -> Settings {
        let country = self.wifi.country.clone().or(other.wifi.country.clone());
        let wifi = if self.wifi.ssid.is_some() { self.wifi } else { other.wifi };
        let mut keys = other.keys;
        keys.extend(self.keys);
        let mut options = other.options;
        options.extend(self.options);
        Settings {
            hostname: self.hostname.or(other.hostname),
            timezone: self.timezone.or(other.timezone),
            language: self.language.or(other.language),
            wifi: Wifi { country, ..wifi },
            ssh_keys: self.ssh_keys.or(other.ssh_keys),
            keys,
            options,
        }
    }

    /// Whether there is something in it that is not to stay on the card.
    pub fn has_secrets(&self) -> bool {
        !self.keys.is_empty() || matches!(self.wifi.passphrase, Some(Passphrase::Words(_)))
    }

    /// The same without that.
    pub fn without_secrets(&self) -> Settings {
        let wifi = Wifi { passphrase: None, ..self.wifi.clone() };
        Settings { wifi, keys: BTreeMap::new(), ..self.clone() }
    }

    /// All that is not to stay on the card.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let passphrase = match &self.wifi.passphrase {
            Some(Passphrase::Words(secret)) => Some(secret),
            _ => None,
        };
        self.keys.values().chain(passphrase)
    }
}

const fn open(path: &'static str, take: Take) -> Key {
    Key { path, is_secret: false, is_list: false, take }
}

const fn secret(path: &'static str, take: Take) -> Key {
    Key { path, is_secret: true, is_list: false, take }
}

fn put<T>(place: &mut Option<T>, checked: Result<T, Fault>) -> Result<(), Fault> {
    checked.map(|value| *place = Some(value))
}

fn keep(settings: &mut Settings, credential: &'static str, text: &str) -> Result<(), Fault> {
    checks::api_key(text).map(|key| drop(settings.keys.insert(credential, key)))
}

fn want(settings: &mut Settings, option: &'static str, text: &str) -> Result<(), Fault> {
    settings.options.insert(option, checks::flag(text)?);
    Ok(())
}

fn ssh_key(settings: &mut Settings, text: &str, _: &Machine<'_>) -> Result<(), Fault> {
    // A key that is none takes nobody's access away.
    let key = if text == "none" { None } else { Some(checks::ssh_key(text)?) };
    let keys = settings.ssh_keys.get_or_insert_default();
    let Some(key) = key else { return Ok(()) };
    if keys.len() >= SSH_KEYS_MAX {
        let text = format!("there are more than {SSH_KEYS_MAX} keys");
        return Err(Fault { text, help: "the others are left out".into() });
    }
    if !keys.contains(&key) {
        keys.push(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Machine<'_> = Machine { has_zone: &|_| true };

    fn of(values: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (path, text) in values {
            settings.take(path, text, &ANY).unwrap_or_else(|fault| panic!("{path}: {fault:?}"));
        }
        settings
    }

    #[test]
    fn the_hubs_own_file_goes_before_others_and_a_network_is_one() {
        let own = of(&[("hostname", "hub"), ("wifi.ssid", "house")]);
        let other = of(&[
            ("hostname", "pi"),
            ("timezone", "UTC"),
            ("wifi.ssid", "cafe"),
            ("wifi.passphrase", "of the cafe"),
            ("wifi.country", "CH"),
            ("keys.openai", "sk-0123456789"),
        ]);
        let both = own.clone().or(other.clone());
        assert_eq!((both.hostname.as_deref(), both.timezone.as_deref()), (Some("hub"), Some("UTC")));
        assert_eq!((both.wifi.ssid.as_deref(), &both.wifi.passphrase), (Some("house"), &None));
        assert_eq!((both.wifi.country.as_deref(), both.keys.len()), (Some("CH"), 1));
        assert!(other.has_secrets() && !other.without_secrets().has_secrets() && other.secrets().count() == 2);
        assert_eq!(Settings::default().or(other.clone()), other);
    }
}
