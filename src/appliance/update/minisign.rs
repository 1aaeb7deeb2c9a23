//! Signatures as minisign makes them, so that `minisign -Vm manifest.json -P KEY` says the same as the hub. Checks, and signs nothing.
//! Ed25519 is ring's, BLAKE2b that of argon2's tree: no cryptography is written here, and none is added to the binary.
//! Source: <https://jedisct1.github.io/minisign/#signature-format>

use base64::prelude::{BASE64_STANDARD, Engine};
use blake2::{Blake2b512, Digest};
use ring::signature::{ED25519, UnparsedPublicKey};

/// A key is two letters, eight bytes of a number, and the key.
const KEY_BYTES: usize = 2 + 8 + 32;

/// A signature is two letters, the key's number, and the signature.
const SIGNATURE_BYTES: usize = 2 + 8 + 64;

/// Letters of a key, and of a signature over the text itself, which old versions made.
const OF_TEXT: [u8; 2] = *b"Ed";

/// Letters of a signature over the text's BLAKE2b-512.
const OF_HASH: [u8; 2] = *b"ED";

const TRUSTED: &str = "trusted comment: ";

/// Whose signatures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    number: [u8; 8],
    key: [u8; 32],
}

/// Why something is not taken as signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    #[error("this is no public key of minisign: two lines, or the second one alone, which begins with RW")]
    Key,
    #[error("this is no signature of minisign")]
    Form,
    #[error("it is signed with the key {0}, which this hub does not trust")]
    Stranger(String),
    #[error("the signature does not fit: it was changed after it was signed, or it was damaged on its way")]
    Wrong,
}

impl PublicKey {
    /// A file of minisign's, or its second line alone.
    pub fn parse(text: &str) -> Result<PublicKey, NotSigned> {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
        let bytes: [u8; KEY_BYTES] = decoded(line.unwrap_or_default()).ok_or(NotSigned::Key)?;
        let (letters, number, key) = parts(&bytes);
        match letters == OF_TEXT {
            true => Ok(PublicKey { number, key: key.try_into().expect("it is as long") }),
            false => Err(NotSigned::Key),
        }
    }
}

/// Whether `text` was signed with one of `keys`, as `signature` (the contents of a `.minisig`) says. The comment that is signed along
/// is checked as well, and is what is returned.
pub fn check<'a>(keys: &[PublicKey], text: &[u8], signature: &'a str) -> Result<&'a str, NotSigned> {
    let mut lines = signature.lines();
    let (Some(_), Some(first), Some(comment), Some(second)) = (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(NotSigned::Form);
    };
    let comment = comment.strip_prefix(TRUSTED).ok_or(NotSigned::Form)?;
    let first: [u8; SIGNATURE_BYTES] = decoded(first).ok_or(NotSigned::Form)?;
    let second: [u8; 64] = decoded(second).ok_or(NotSigned::Form)?;
    let (letters, number, made) = parts(&first);
    let key = keys.iter().find(|key| key.number == number).ok_or_else(|| NotSigned::Stranger(shown(number)))?;
    let key = UnparsedPublicKey::new(&ED25519, &key.key);
    let checked = match letters {
        OF_HASH => key.verify(&Blake2b512::digest(text), made),
        OF_TEXT => key.verify(text, made),
        _ => return Err(NotSigned::Form),
    };
    checked.map_err(|_| NotSigned::Wrong)?;
    key.verify(&[made, comment.as_bytes()].concat(), &second).map_err(|_| NotSigned::Wrong)?;
    Ok(comment)
}

fn decoded<const N: usize>(line: &str) -> Option<[u8; N]> {
    BASE64_STANDARD.decode(line.trim()).ok()?.try_into().ok()
}

fn parts(bytes: &[u8]) -> ([u8; 2], [u8; 8], &[u8]) {
    let letters = bytes[..2].try_into().expect("both kinds are longer");
    (letters, bytes[2..10].try_into().expect("both kinds are longer"), &bytes[10..])
}

/// A key's number as minisign shows it.
fn shown(number: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(number))
}

#[cfg(test)]
pub mod testing {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// Who signs in a test.
    pub struct Signer {
        pair: Ed25519KeyPair,
        number: [u8; 8],
    }

    impl Signer {
        pub fn new(seed: u8) -> Signer {
            Signer { pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), number: [seed; 8] }
        }

        pub fn key(&self) -> PublicKey {
            PublicKey::parse(&self.key_text()).unwrap()
        }

        pub fn key_text(&self) -> String {
            let bytes = [&OF_TEXT[..], &self.number, self.pair.public_key().as_ref()].concat();
            format!("untrusted comment: of a test\n{}\n", BASE64_STANDARD.encode(bytes))
        }

        pub fn sign(&self, text: &[u8]) -> String {
            let made = self.pair.sign(&Blake2b512::digest(text));
            let comment = "timestamp:1796000000";
            let second = self.pair.sign(&[made.as_ref(), comment.as_bytes()].concat());
            let first = BASE64_STANDARD.encode([&OF_HASH[..], &self.number, made.as_ref()].concat());
            let second = BASE64_STANDARD.encode(second.as_ref());
            format!("untrusted comment: signature\n{first}\n{TRUSTED}{comment}\n{second}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::Signer;
    use super::*;

    /// Made by minisign 0.11.
    const KEY: &str = "RWT9IV5S2U3RoBLrOG2eyZSDIynaDEeIuEirrhc7TdVYYrnvoXwH2k7t";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUT9IV5S2U3RoCIThwntYR0Bww/NFqfHUI9SZQIWrqtkBBhdy8SDRjtw6ZMwn7TMG/9jdr98YkB5t3nM3tv45hItl+E+rRuKvgA=\n\
        trusted comment: hearth 0.2.0\n\
        T3a41Pb/7Evyy37OzZEiloRwO03NPsoPJJjoIOnFlMWARhyrdhDuIeNw6dWgWjfYUY0VJ/4YZOqcaSE8RYzMCg==";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key\n\
        RWT9IV5S2U3RoJzw/nE7Othd0zmSjOw6fVkHmLyF7hDqWvOGBY5Fo2LDcRvyk1uKv8d1NX7lOtfwsCrAjwKjG2XNnoMK28puGgQ=\n\
        trusted comment: hearth 0.2.0\n\
        f0dOA4G3hGz8n8Wc1YaGvaLVBWknJc911nGZwBl8oL+8r8OUV7XqGPqGevghCX/JK7HRw2fCm2DJyHtPvQHKCA==";

    #[test]
    fn what_minisign_signed_is_signed() {
        let keys = [Signer::new(1).key(), PublicKey::parse(KEY).unwrap()];
        assert_eq!(check(&keys, b"hearth\n", SIGNATURE), Ok("hearth 0.2.0"));
        assert_eq!(check(&keys, b"hearth\n", LEGACY), Ok("hearth 0.2.0"));
        assert_eq!(check(&keys, b"hearth", SIGNATURE), Err(NotSigned::Wrong));
        assert_eq!(check(&keys, b"hearth\n", &SIGNATURE.replace("0.2.0", "0.3.0")), Err(NotSigned::Wrong));
        let stranger = check(&keys[..1], b"hearth\n", SIGNATURE).unwrap_err();
        assert!(matches!(&stranger, NotSigned::Stranger(number) if number == "A0D14DD9525E21FD"), "{stranger}");
    }

    #[test]
    fn a_key_is_two_lines_or_one() {
        let text = Signer::new(7).key_text();
        assert_eq!(PublicKey::parse(text.lines().nth(1).unwrap()), PublicKey::parse(&text));
        for bad in ["", "untrusted comment: x", "RWQ", "hello", &text.replace('R', "S")] {
            assert_eq!(PublicKey::parse(bad), Err(NotSigned::Key), "{bad}");
        }
    }

    #[test]
    fn nothing_that_was_changed_is_signed() {
        let (signer, text) = (Signer::new(7), b"a manifest");
        let (keys, signature) = ([signer.key()], signer.sign(text));
        assert_eq!(check(&keys, text, &signature), Ok("timestamp:1796000000"));
        assert!(check(&[Signer::new(8).key()], text, &signature).is_err());
        for at in 29..signature.len() {
            let mut changed = signature.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(check(&keys, text, &changed).is_err(), "byte {at}\n{changed}");
        }
    }

    proptest! {
        #[test]
        fn no_words_are_too_much(text in "\\PC{0,40}(\n\\PC{0,120}){0,5}") {
            prop_assert!(check(&[Signer::new(1).key()], b"x", &text).is_err());
            let _ = PublicKey::parse(&text);
        }
    }
}
