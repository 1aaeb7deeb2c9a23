//! Alarm zones (ZCL r8 §8.2): a zone tells its alarms to the one whose address is written into it, and only once it is enrolled.
//! Keeps no state.

use crate::zigbee::network::device::Device;
use crate::zigbee::network::exchange::Zcl;
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, Ieee};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::value::{Typed, Value};

pub const ZONE: ClusterId = ClusterId(0x0500);

/// `IAS_CIE_Address`, `ZoneState` and `ZoneType`.
const CIE_ADDRESS: AttributeId = AttributeId(0x0010);
const STATE: AttributeId = AttributeId(0x0000);
const TYPE: AttributeId = AttributeId(0x0001);

/// `Zone Enroll Request`, from the zone, and the answer to it.
pub const ENROLL_REQUEST: u8 = 0x01;
const ENROLL_RESPONSE: u8 = 0x00;

/// All zones are told this id: who raised an alarm is told by its address.
const ZONE_ID: u8 = 23;

/// The hub takes any zone.
const ENROLL_SUCCESS: u8 = 0x00;

/// What makes zones of a device tell their alarms to the hub: its address, the answer to the request that they may have sent
/// before (auto-enroll-response, §8.2.2.2.3.2), and a look at what came of it.
pub fn enrolment(device: &Device, coordinator: Ieee) -> Vec<Zcl> {
    let zones: Vec<Endpoint> = device.endpoints_with(ZONE).collect();
    let of_one = |endpoint: Endpoint| {
        let address = Typed::new(DataType::Ieee, Value::Ieee(coordinator));
        let write = Zcl::write(endpoint, ZONE, CIE_ADDRESS, address).expect("an address is one");
        [write, response(endpoint), Zcl::read(endpoint, ZONE, &[STATE, TYPE])]
    };
    zones.into_iter().flat_map(of_one).collect()
}

pub fn response(endpoint: Endpoint) -> Zcl {
    Zcl::command(endpoint, ZONE, ENROLL_RESPONSE, vec![ENROLL_SUCCESS, ZONE_ID]).quiet()
}
