//! Passwords: argon2id (RFC 9106), as slow as a small machine bears, off the async thread and one at a time: each takes
//! 19 MiB while it runs. Knows nobody whose they are.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

/// OWASP's least for argon2id: 19 MiB, two passes, one lane. About a fifth of a second on a Raspberry Pi.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Bytes of salt (RFC 9106 §3.1).
const SALT_BYTES: usize = 16;

/// Passwords that wait for their turn, the one at work included. More come only from somebody who guesses.
const WAITING_MAX: usize = 8;

/// The shortest and the longest password, bytes. The longest keeps a stranger from having us hash a book.
pub const PASSWORD_BYTES_MIN: usize = 8;
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Too many passwords at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub checks other passwords at the moment; try again in a few seconds")]
pub struct Busy;

/// Hashes and compares. One of a house.
pub struct Hasher {
    turn: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher { turn: Arc::new(Semaphore::new(1)), places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

/// Whether it may be a password, or why not.
pub fn check(password: &str) -> Result<(), String> {
    match (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        true => Ok(()),
        false => Err(format!("password: {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes")),
    }
}

impl Hasher {
    /// The PHC string under which a password is kept.
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        self.in_turn(move || hash_with(&password, &salt())).await
    }

    /// Whether the password is that of the PHC string. Without one it is not, after the same time: how long it takes says
    /// nothing about who exists.
    pub async fn verify(&self, password: String, kept: Option<String>) -> Result<bool, Busy> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        self.in_turn(move || match kept.as_deref().map(PasswordHash::new) {
            Some(Ok(kept)) => argon2().verify_password(password.as_bytes(), &kept).is_ok(),
            _ => {
                hash_with(&password, &[0; SALT_BYTES]);
                false
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.expect("it is never closed");
        // The permits go along: whoever stops waiting does not make room for another 19 MiB.
        let working = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        });
        working.await.map_err(|_| Busy)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constants within argon2's ranges");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_with(password: &str, salt: &[u8; SALT_BYTES]) -> String {
    let argon2 = argon2();
    let hashed: PasswordHash = argon2
        .hash_password_with_params(password.as_bytes(), salt, argon2.params().clone())
        .expect("the salt and the password have lengths that argon2 takes");
    hashed.to_string()
}

fn salt() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).expect("the kernel's random source does not fail once the system is up");
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let hasher = Hasher::default();
        let kept = hasher.hash("correct horse".into()).await.expect("a place");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, hasher.hash("correct horse".into()).await.expect("a place"), "each has a salt of its own");
        let is_known = async |password: &str, kept: Option<&str>| {
            hasher.verify(password.into(), kept.map(Into::into)).await.expect("a place")
        };
        assert!(is_known("correct horse", Some(&kept)).await);
        for (password, kept) in [
            ("Correct horse", Some(&*kept)),
            ("", Some(&*kept)),
            ("correct horse", None),
            ("correct horse", Some("nonsense")),
            (&"x".repeat(PASSWORD_BYTES_MAX + 1), Some(&*kept)),
        ] {
            assert!(!is_known(password, kept).await, "{password}");
        }
    }

    #[tokio::test]
    async fn more_than_a_few_at_once_are_sent_away() {
        let hasher = Hasher::default();
        let at_once = (0..=WAITING_MAX).map(|_| hasher.verify("guess".into(), None));
        let answers = futures_util::future::join_all(at_once).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Busy)).count(), 1);
    }

    #[test]
    fn lengths_are_checked() {
        assert!(check("12345678").is_ok() && check(&"x".repeat(PASSWORD_BYTES_MAX)).is_ok());
        assert!(check("1234567").is_err() && check(&"x".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
    }
}
