//! Keys in a backup: sealed under a passphrase with argon2id (RFC 9106) and ChaCha20-Poly1305 (RFC 8439). What was chosen stands in
//! the file, so that other programs can open it and later ones may choose otherwise.

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::common::config::{self, Config};
use crate::common::secret::Secret;
use crate::store::SignIn;

/// The shortest passphrase, characters. Whoever has the file can guess for as long as they like.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// The longest, bytes.
const PASSPHRASE_BYTES_MAX: usize = 1024;

const FORMAT: &str = "hearth-keys";
const VERSION: u64 = 1;

/// RFC 9106 §4, the second recommended choice (64 MiB, three passes), but for one lane: a hub has one core to spare.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;

/// What a file may ask of whoever opens it: four times that memory, and what takes a minute.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 4;

const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// The keys of a house.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// By the name of the environment variable.
    pub by_name: BTreeMap<String, Secret>,
    /// What the hub is signed in to MCP servers with.
    pub sign_ins: Vec<SignIn>,
}

/// Why keys were not sealed, or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a passphrase has {PASSPHRASE_CHARS_MIN} characters at least (and {PASSPHRASE_BYTES_MAX} bytes at most)")]
    Passphrase,
    #[error("the passphrase is another one, or the keys in the backup were changed")]
    Wrong,
    #[error("the keys in the backup cannot be read: {0}")]
    Malformed(String),
}

/// As it lies in the file.
#[derive(Serialize, Deserialize)]
struct Sealed {
    format: String,
    version: u64,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    /// The ciphertext and its tag, base64.
    sealed: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Plain {
    keys: BTreeMap<String, String>,
    #[serde(default)]
    sign_ins: Vec<SignIn>,
}

/// All keys that a configuration names and that are there. One that cannot be read is left out, and named.
pub fn collect(config: &Config, env: impl Fn(&str) -> Option<String>) -> (BTreeMap<String, Secret>, Vec<String>) {
    let (mut keys, mut unreadable) = (BTreeMap::new(), Vec::new());
    for name in names(config) {
        match config::api_key(&name, &env) {
            Ok(Some(key)) => drop(keys.insert(name, key)),
            Ok(None) => {}
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    (keys, unreadable)
}

/// The names of all environment variables in which a configuration looks for a secret.
fn names(config: &Config) -> Vec<String> {
    let rows = config::ProviderName::ALL.into_iter().filter_map(|name| config.providers.row(name)?.api_key_env.clone());
    let servers = config.mcp.servers.values();
    let of_servers = servers.flat_map(|server| server.env_from.values().chain(server.headers_env.values()).cloned());
    rows.chain(config.mqtt.password_env.clone()).chain(of_servers).collect()
}

/// Whether keys may be sealed under it.
pub fn check_passphrase(passphrase: &str) -> Result<(), KeyError> {
    match passphrase.chars().count() >= PASSPHRASE_CHARS_MIN && passphrase.len() <= PASSPHRASE_BYTES_MAX {
        true => Ok(()),
        false => Err(KeyError::Passphrase),
    }
}

/// The member of a backup that holds these keys. Takes some hundred milliseconds and 64 MiB.
pub fn seal(keys: &Keys, passphrase: &str) -> Result<Vec<u8>, KeyError> {
    check_passphrase(passphrase)?;
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    getrandom::fill(&mut salt).expect("the kernel's random source does not fail once the system is up");
    getrandom::fill(&mut nonce).expect("the kernel's random source does not fail once the system is up");
    let by_name = keys.by_name.iter().map(|(name, key)| (name.clone(), key.expose().to_owned()));
    let plain = Plain { keys: by_name.collect(), sign_ins: keys.sign_ins.clone() };
    let mut bytes = serde_json::to_vec(&plain).expect("text and numbers are JSON");
    let key = derive(passphrase, &salt, MEMORY_KIB, PASSES, 1)?;
    let sealing = key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(FORMAT), &mut bytes);
    sealing.expect("what is sealed is far shorter than the cipher's 256 GiB");
    let sealed = Sealed {
        format: FORMAT.into(),
        version: VERSION,
        kdf: "argon2id".into(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: 1,
        salt: STANDARD.encode(salt),
        cipher: "chacha20-poly1305".into(),
        nonce: STANDARD.encode(nonce),
        sealed: STANDARD.encode(bytes),
    };
    Ok(serde_json::to_vec_pretty(&sealed).expect("text and numbers are JSON"))
}

/// The reverse of [`seal`].
pub fn unseal(member: &[u8], passphrase: &str) -> Result<Keys, KeyError> {
    let malformed = |why: &str| KeyError::Malformed(why.to_owned());
    let sealed: Sealed = serde_json::from_slice(member).map_err(|error| KeyError::Malformed(error.to_string()))?;
    if sealed.format != FORMAT || sealed.version != VERSION {
        return Err(malformed("they are of another version"));
    }
    if sealed.kdf != "argon2id" || sealed.cipher != "chacha20-poly1305" {
        return Err(malformed("they are sealed in another way"));
    }
    if sealed.memory_kib > MEMORY_KIB_MAX || sealed.passes > PASSES_MAX || sealed.lanes > LANES_MAX {
        return Err(malformed("opening them would take more memory or time than is given"));
    }
    if passphrase.len() > PASSPHRASE_BYTES_MAX {
        return Err(KeyError::Passphrase);
    }
    let decode = |text: &str| STANDARD.decode(text).map_err(|error| KeyError::Malformed(error.to_string()));
    let nonce: [u8; NONCE_BYTES] = decode(&sealed.nonce)?.try_into().map_err(|_| malformed("the nonce"))?;
    let key = derive(passphrase, &decode(&sealed.salt)?, sealed.memory_kib, sealed.passes, sealed.lanes)?;
    let mut bytes = decode(&sealed.sealed)?;
    let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(FORMAT), &mut bytes);
    let plain = opened.map_err(|_| KeyError::Wrong)?;
    let plain: Plain = serde_json::from_slice(plain).map_err(|_| malformed("what was sealed makes no sense"))?;
    let by_name = plain.keys.into_iter().map(|(name, key)| (name, Secret::new(key))).collect();
    Ok(Keys { by_name, sign_ins: plain.sign_ins })
}

fn derive(passphrase: &str, salt: &[u8], memory_kib: u32, passes: u32, lanes: u32) -> Result<LessSafeKey, KeyError> {
    let malformed = |error: argon2::Error| KeyError::Malformed(error.to_string());
    let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(malformed)?;
    let mut key = [0; KEY_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut key).map_err(malformed)?;
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has the cipher's length")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "correct horse battery";

    #[test]
    fn keys_come_back_under_their_passphrase_alone() {
        let by_name = [("OPENAI_API_KEY".to_owned(), Secret::new("sk-hunter2"))].into();
        let sign_in = br#"{"slug":"docs","server":"s","issuer":"i","client_id":"c","method":"none","token":"t0ken"}"#;
        let keys = Keys { by_name, sign_ins: vec![serde_json::from_slice(sign_in).expect("one")] };
        let sealed = seal(&keys, PASSPHRASE).expect("a good passphrase");
        let text = String::from_utf8(sealed.clone()).expect("JSON");
        assert!(text.contains("argon2id") && !text.contains("hunter2") && !text.contains("t0ken"), "{text}");
        assert_ne!(seal(&keys, PASSPHRASE).expect("the same"), sealed, "another salt each time");
        assert_eq!(unseal(&sealed, PASSPHRASE), Ok(keys));
        assert_eq!(unseal(&sealed, "correct horse batterx"), Err(KeyError::Wrong));
        assert_eq!(seal(&Keys::default(), "too short"), Err(KeyError::Passphrase));
    }

    #[test]
    fn what_is_changed_or_asks_too_much_is_refused() {
        let sealed = seal(&Keys::default(), PASSPHRASE).expect("a good passphrase");
        let with = |key: &str, value: serde_json::Value| {
            let mut json: serde_json::Value = serde_json::from_slice(&sealed).expect("JSON");
            json[key] = value;
            unseal(&serde_json::to_vec(&json).expect("JSON"), PASSPHRASE)
        };
        assert_eq!(with("salt", STANDARD.encode([7; 16]).into()), Err(KeyError::Wrong));
        assert_eq!(with("sealed", STANDARD.encode([7; 64]).into()), Err(KeyError::Wrong));
        for (key, value) in [
            ("memory_kib", 4_000_000_000_u32.into()),
            ("memory_kib", 0.into()),
            ("passes", 1_000_000.into()),
            ("lanes", 255.into()),
            ("nonce", "AAAA".into()),
            ("salt", "".into()),
            ("sealed", "!".into()),
            ("version", 2.into()),
            ("kdf", "md5".into()),
        ] {
            assert!(matches!(with(key, value), Err(KeyError::Malformed(_))), "{key}");
        }
    }
}
