//! A Zigbee host stack: from the bytes of a stick to properties with names. Has never heard of homes, models or HTTP. All of it
//! is sans-IO but `driver`: bytes, time and chance come in as arguments.

pub mod bytes;
pub mod definitions;
pub mod driver;
pub mod framing;
pub mod host;
pub mod machine;
pub mod ncp;
pub mod network;
pub mod sim;
pub mod sticks;
pub mod types;
pub mod zcl;
pub mod zdo;
