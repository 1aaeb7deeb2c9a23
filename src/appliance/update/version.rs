//! A version as updates compare it: up to four numbers. Knows no pre-releases: what is signed is released.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Numbers of a version: those of the hub, and a day or a count for a system that was built anew around it.
const NUMBERS_MAX: usize = 4;

/// `1.2.3`, or `1.2.3.20261130`; numbers that are not there are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version([u32; NUMBERS_MAX]);

/// What is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version: one to four numbers with dots between them, such as 1.2.3")]
pub struct NoVersion(String);

impl Version {
    /// Of this program.
    pub fn of_this_program() -> Version {
        env!("CARGO_PKG_VERSION").parse().expect("Cargo.toml has a plain version")
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Version, NoVersion> {
        let wrong = || NoVersion(text.chars().take(40).collect());
        let mut numbers = [0; NUMBERS_MAX];
        for (at, word) in text.split('.').enumerate() {
            let is_plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
            let place = numbers.get_mut(at).filter(|_| is_plain).ok_or_else(wrong)?;
            *place = word.parse().map_err(|_| wrong())?;
        }
        Ok(Version(numbers))
    }
}

impl TryFrom<String> for Version {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Version, NoVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

/// Three numbers, and the fourth where it says something.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        if build > 0 { write!(f, ".{build}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let sorted = ["0", "0.1", "0.1.0.1", "0.1.2", "0.1.10", "0.2", "1.0.0", "1.0.0.20261130", "10"];
        let versions: Vec<Version> = sorted.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        assert_eq!("0.1".parse::<Version>().unwrap().to_string(), "0.1.0");
        assert!(Version::of_this_program() > "0".parse().unwrap());
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in ["", ".", "1.", ".1", "1..2", "v1", "1.2-rc1", "1.2.3.4.5", "+1", "4294967296", "1 ", "١"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(numbers: [u32; NUMBERS_MAX]) {
            let version = Version(numbers);
            prop_assert_eq!(version.to_string().parse::<Version>(), Ok(version));
        }
    }
}
