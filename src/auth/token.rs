//! Tokens: what a program shows instead of a password. Makes the secret and the hash under which it is kept; knows nobody
//! whose it is. The secret has 256 bits of chance, so that a plain hash keeps it, and finding the hash is the comparison.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::common::hex::hex;
use crate::common::secret::Secret;

/// What every token begins with, so that a scanner of leaked files knows one.
pub const PREFIX: &str = "hth_";

/// Bytes of chance in a token or a ticket.
const SECRET_BYTES: usize = 32;

/// Characters after the prefix: 32 bytes in base64url (RFC 4648 §5) without padding.
const LETTERS: usize = 43;

/// SHA-256 of a secret.
pub type Hash = [u8; 32];

/// A fresh token.
pub fn mint() -> Secret {
    Secret::new(format!("{PREFIX}{}", chance()))
}

/// 43 characters that nobody can guess.
pub(super) fn chance() -> String {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).expect("the kernel's random source does not fail once the system is up");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether it can be a token at all.
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(is_chance)
}

/// Whether it can be what [`chance`] makes.
pub(super) fn is_chance(text: &str) -> bool {
    text.len() == LETTERS && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// What is kept of a secret.
pub fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// The hash as the store has it.
pub fn to_hex(hash: &Hash) -> String {
    hex(hash)
}

/// The reverse; `None`: it is no hash.
pub fn from_hex(text: &str) -> Option<Hash> {
    if text.len() != 2 * size_of::<Hash>() || !text.is_ascii() {
        return None;
    }
    let mut hash = Hash::default();
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_as_documented_and_no_two_are_alike() {
        let (one, other) = (mint(), mint());
        assert_eq!(one.expose().len(), 4 + 43);
        assert!(is_token(one.expose()) && one.expose().starts_with("hth_"));
        assert_ne!(one, other);
        for bad in
            ["", "hth_", &one.expose()[4..], &format!("{}x", one.expose()), &one.expose().replace("hth_", "HTH_")]
        {
            assert!(!is_token(bad), "{bad}");
        }
    }

    #[test]
    fn a_hash_is_sha_256_and_survives_the_store() {
        // FIPS 180-4, the one-block example.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(to_hex(&hash("abc")), abc);
        assert_eq!(from_hex(abc), Some(hash("abc")));
        for bad in ["", "ba", &abc[1..], &format!("{abc}00"), &abc.replace('b', "g"), &"é".repeat(32)] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
