//! Sources of devices: each speaks to somebody who knows devices, and is a `home::DeviceSource` to the house.

pub mod zigbee;
pub mod zigbee2mqtt;
