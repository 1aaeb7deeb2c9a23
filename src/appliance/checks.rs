//! What a value of the owner's may be: names, Wi-Fi, keys, languages. Pure; each check gives the value as it is used, or says
//! what is wrong and what to try. Never repeats a secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why a value cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub text: String,
    pub help: String,
}

/// RFC 1123 §2.1, RFC 1035 §2.3.1.
const LABEL_BYTES_MAX: usize = 63;

/// IEEE 802.11-2020 §9.4.2.2.
const SSID_BYTES_MAX: usize = 32;

/// The longest line of a public key, bytes: RSA of 16384 bits has some 2800.
const SSH_KEY_BYTES_MAX: usize = 8 * 1024;

/// The same as of every key of the hub's.
const API_KEY_BYTES_MAX: usize = 16 * 1024;

/// What `PubkeyAcceptedAlgorithms` of OpenSSH knows as types of keys (sshd_config(5)).
const SSH_KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// ISO 3166-1 alpha-2.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE \
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW \
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// How a network lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passphrase {
    /// 8 to 63 characters of ASCII, or the 64 hexadecimal digits that come of them (IEEE 802.11-2020 §J.4).
    Words(crate::common::secret::Secret),
    /// Anybody.
    Open,
}

/// The first label of a name: `hearth`.
pub fn hostname(text: &str) -> Result<String, Fault> {
    let name = text.to_ascii_lowercase();
    let name = name.strip_suffix(".local").unwrap_or(&name);
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=LABEL_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter);
    match is_label && !name.starts_with('-') && !name.ends_with('-') {
        true if name == "localhost" => fault("every machine calls itself that", "for example hearth"),
        true => Ok(name.to_owned()),
        false => fault(
            "this is no name of a machine",
            "1 to 63 letters a to z, digits and -, neither first nor last a -; for example hearth",
        ),
    }
}

pub fn ssid(text: &str) -> Result<String, Fault> {
    match (1..=SSID_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => fault(
            &format!("this is no name of a Wi-Fi network: it has {} bytes", text.len()),
            "1 to 32 bytes; a letter with an accent is two",
        ),
    }
}

pub fn passphrase(text: &str) -> Result<Passphrase, Fault> {
    if text == "none" {
        return Ok(Passphrase::Open);
    }
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_ascii = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    match is_key || (8..=63).contains(&text.len()) && is_ascii {
        true => Ok(Passphrase::Words(crate::common::secret::Secret::new(text))),
        false if !is_ascii => {
            fault("there is a character in it that Wi-Fi does not know", "letters without accents, digits and signs")
        }
        false => fault(
            &format!("it has {} characters", text.chars().count()),
            "8 to 63 characters, or the 64 hexadecimal digits of the key itself; none for an open network",
        ),
    }
}

/// Two letters in upper case.
pub fn country(text: &str) -> Result<String, Fault> {
    let code = text.to_ascii_uppercase();
    match code.len() == 2 && COUNTRIES.split_whitespace().any(|known| known == code) {
        true => Ok(code),
        false if code == "UK" => fault("the United Kingdom is GB", "write GB"),
        false => fault("this is no country of ISO 3166", "two letters, such as DE, FR, GB or US"),
    }
}

/// The line as `authorized_keys` has it: type, key, and whatever its owner calls it.
pub fn ssh_key(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return fault(
            "this is the private key, which belongs to nobody but you",
            "the one line of the file that ends with .pub",
        );
    }
    let mut words = text.split_ascii_whitespace();
    let (kind, body) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !SSH_KEY_TYPES.contains(&kind) {
        return fault(
            "this is no public key of OpenSSH",
            "one line such as ssh-ed25519 AAAAC3… me@laptop, from a file that ends with .pub",
        );
    }
    // RFC 4253 §6.6: the key begins with the name of its type, after its length.
    let bytes = STANDARD.decode(body).unwrap_or_default();
    let named = bytes.get(..4).map(|len| u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize);
    let has_kind = named == Some(kind.len()) && bytes.get(4..4 + kind.len()) == Some(kind.as_bytes());
    if !has_kind
        || bytes.len() < 4 + kind.len() + 32
        || text.len() > SSH_KEY_BYTES_MAX
        || text.contains(char::is_control)
    {
        return fault("this public key is not whole", "copy the whole line of the file that ends with .pub");
    }
    Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// `has_zone`: whether the machine has a zone of this name.
pub fn timezone(text: &str, has_zone: &dyn Fn(&str) -> bool) -> Result<String, Fault> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    let is_name =
        (1..=64).contains(&text.len()) && text.bytes().all(is_letter) && !text.starts_with('/') && !text.ends_with('/');
    match is_name && has_zone(text) {
        true => Ok(text.to_owned()),
        false => {
            fault("there is no time zone of this name", "as IANA writes them: Europe/Zurich, America/New_York, UTC")
        }
    }
}

/// BCP 47, also where it is written as systems write it: `de_CH.UTF-8` is `de-CH`.
pub fn language(text: &str) -> Result<String, Fault> {
    let tag = text.split(['.', '@']).next().unwrap_or_default().replace('_', "-");
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let is_tag = (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    match is_tag && tag.len() <= 35 {
        true => Ok(tag),
        false => fault("this is no language", "as BCP 47 writes them: de, fr-CH, pt-BR"),
    }
}

/// It becomes an HTTP header.
pub fn api_key(text: &str) -> Result<crate::common::secret::Secret, Fault> {
    let text = text.trim();
    match text.len() <= API_KEY_BYTES_MAX && text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(crate::common::secret::Secret::new(text)),
        false => fault("this is no API key", "copy it as the provider shows it, without blanks, in one line"),
    }
}

pub fn flag(text: &str) -> Result<bool, Fault> {
    match text {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => fault("it is yes or no", "true or false"),
    }
}

fn fault<T>(text: &str, help: &str) -> Result<T, Fault> {
    Err(Fault { text: text.into(), help: help.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_machines() {
        for (good, name) in [("hearth", "hearth"), ("Kitchen-2", "kitchen-2"), ("hub.local", "hub"), ("3com", "3com")] {
            assert_eq!(hostname(good).as_deref(), Ok(name));
        }
        for bad in ["", "-a", "a-", "a b", "a.b", "hüb", "localhost", "a_b", "a\nb", &"a".repeat(64)] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
        assert!(hostname(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn networks() {
        for good in ["a", "Café 5 GHz", "=;[]\\\"", &"x".repeat(32)] {
            assert_eq!(ssid(good).as_deref(), Ok(good));
        }
        for bad in ["", "a\nb", &"x".repeat(33), &"é".repeat(17)] {
            assert!(ssid(bad).is_err(), "{bad}");
        }
        let words = |text: &str| Ok(Passphrase::Words(crate::common::secret::Secret::new(text)));
        for good in ["12345678", " spaces at both ends ", &"x".repeat(63), &"0aF9".repeat(16)] {
            assert_eq!(passphrase(good), words(good));
        }
        assert_eq!(passphrase("none"), Ok(Passphrase::Open));
        for bad in ["", "hunter2", &"x".repeat(64), "hunter2hunter2é", "hunter2\nhunter2"] {
            let fault = passphrase(bad).unwrap_err();
            assert!(!format!("{fault:?}").contains("hunter"), "{fault:?}");
        }
        assert_eq!((country("de").as_deref(), country("GB").as_deref()), (Ok("DE"), Ok("GB")));
        for bad in ["", "D", "DEU", "XX", "00", "UK", "Germany"] {
            assert!(country(bad).is_err(), "{bad}");
        }
        assert_eq!(COUNTRIES.split_whitespace().count(), 249);
    }

    #[test]
    fn public_keys_and_nothing_else() {
        let body = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
        let good = format!("ssh-ed25519 {body} me@laptop");
        assert_eq!(ssh_key(&format!(" {good}\n")).as_deref(), Ok(&*good));
        assert!(ssh_key(&format!("ssh-ed25519 {body}")).is_ok());
        for bad in [
            "".to_owned(),
            body.to_owned(),
            format!("ssh-rsa {body}"),
            format!("ssh-dss {body}"),
            format!("command=\"id\" {good}"),
            format!("ssh-ed25519 {}", &body[..40]),
            format!("ssh-ed25519 {body} a\nssh-rsa b"),
            "ssh-ed25519 !!!".into(),
            "-----BEGIN OPENSSH PRIVATE KEY-----".into(),
        ] {
            assert!(ssh_key(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn zones_languages_keys_and_flags() {
        let has = |name: &str| name == "Europe/Zurich" || name.starts_with("..");
        assert_eq!(timezone("Europe/Zurich", &has).as_deref(), Ok("Europe/Zurich"));
        for bad in ["", "Europe", "../../etc/shadow", "/etc/shadow", "Europe/Zürich"] {
            assert!(timezone(bad, &has).is_err(), "{bad}");
        }
        for (good, tag) in [("de", "de"), ("fr-CH", "fr-CH"), ("de_CH.UTF-8", "de-CH"), ("zh-Hant-TW", "zh-Hant-TW")] {
            assert_eq!(language(good).as_deref(), Ok(tag));
        }
        for bad in ["", "german", "C", "de--CH", "de-Switzerland", "de CH"] {
            assert!(language(bad).is_err(), "{bad}");
        }
        assert!(api_key(" sk-0123456789 ").is_ok_and(|key| key.expose() == "sk-0123456789"));
        for bad in ["", "sk-1", "sk-hunter hunter", "sk-hunterü22", &"x".repeat(API_KEY_BYTES_MAX + 1)] {
            assert!(api_key(bad).is_err_and(|fault| !format!("{fault:?}").contains("hunter")));
        }
        assert_eq!((flag("true"), flag("no"), flag("perhaps").is_err()), (Ok(true), Ok(false), true));
    }
}
