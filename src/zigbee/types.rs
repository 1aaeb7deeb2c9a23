//! The nouns of Zigbee, a type each, so that none is taken for another. Knows no frame.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// EUI-64 of a device; shown and written as `0x00124b0014d9a1b2`, little-endian on the air.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ieee(pub u64);

/// Network address (16 bit), which may change; 0 is the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nwk(pub u16);

impl Nwk {
    pub const COORDINATOR: Nwk = Nwk(0x0000);
    /// All routers and the coordinator.
    pub const ROUTERS: Nwk = Nwk(0xfffc);
    /// All that listen all the time.
    pub const AWAKE: Nwk = Nwk(0xfffd);
    pub const ALL: Nwk = Nwk(0xffff);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u16);

/// 1 to 240 of applications, 0 of ZDO, 242 of Green Power, 255 all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Endpoint(pub u8);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub u16);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(pub u16);

impl ProfileId {
    pub const ZDO: ProfileId = ProfileId(0x0000);
    pub const HOME_AUTOMATION: ProfileId = ProfileId(0x0104);
    pub const LIGHT_LINK: ProfileId = ProfileId(0xc05e);
    pub const GREEN_POWER: ProfileId = ProfileId(0xa1e0);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttributeId(pub u16);

/// A maker's number (`manufacturer code`), such as 0x115f of Xiaomi.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MakerCode(pub u16);

/// An AES-128 key, which cannot be printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 16]);

/// Radio channel, 11 to 26.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channel(pub u8);

impl Channel {
    /// The bit of the channel masks of ZDO and MT.
    pub fn mask(self) -> u32 {
        1 << self.0
    }
}

macro_rules! shown_in_hex {
    ($($name:ident $width:literal),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("0x{:0", $width, "x}"), self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}
shown_in_hex!(Ieee 16, Nwk 4, GroupId 4, ClusterId 4, ProfileId 4, AttributeId 4, MakerCode 4);

macro_rules! shown_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}
shown_as_number!(Endpoint, Channel);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A text that is no IEEE address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an IEEE address is 0x and 16 hexadecimal digits")]
pub struct NotIeee;

impl FromStr for Ieee {
    type Err = NotIeee;

    fn from_str(text: &str) -> Result<Ieee, NotIeee> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 16 && !digits.starts_with('+'));
        digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).map(Ieee).ok_or(NotIeee)
    }
}

impl Serialize for Ieee {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ieee {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ieee, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        let ieee = Ieee(0x0012_4b00_14d9_a1b2);
        assert_eq!(ieee.to_string(), "0x00124b0014d9a1b2");
        assert_eq!("0x00124b0014d9a1b2".parse(), Ok(ieee));
        for text in ["", "0x", "00124b0014d9a1b2", "0x00124b0014d9a1b", "0x+0124b0014d9a1b2", "0x00124b0014d9a1bg"] {
            assert_eq!(text.parse::<Ieee>(), Err(NotIeee), "{text}");
        }
        let json = serde_json::to_string(&ieee).expect("JSON");
        assert_eq!(serde_json::from_str::<Ieee>(&json).expect("an address"), ieee);
    }
}
