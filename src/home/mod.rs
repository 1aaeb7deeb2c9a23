//! The house: devices, rooms, groups, scenes, and what is wished of them against what they say. Knows no radio: those who do
//! are [`DeviceSource`]s. Everything but `run` is pure: time and chance come in as arguments.

pub mod source;

pub use source::{
    Backend, DeviceId, DeviceInfo, DeviceSource, Membership, NetworkQuery, PairingNews, PairingWish, Power,
    RadioStatus, SetDone, SourceEvent,
};
