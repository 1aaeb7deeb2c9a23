//! The host stack's words and the house's: translation, and nothing else.

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::json_text::Details;
use crate::home::{
    self as house, BindEnd, BindTarget, Bound, DeviceId, DeviceInfo, KeptSceneWish, PairingNews, Power, RadioStatus,
    SourceEvent,
};
use crate::zigbee::network::{BindTo, BindWish, Event, Pairing, Radio, SceneWish, Step, View};
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee};
use crate::zigbee::zcl::clusters;
use crate::zigbee::zdo::{Binding, BindingTarget};

/// Bytes of an install code with its CRC.
const INSTALL_CODE_LEN: usize = 18;

pub fn device_id(ieee: Ieee) -> DeviceId {
    DeviceId(ieee.to_string().into())
}

/// An id that is no address is of no device here.
pub fn ieee(id: &DeviceId) -> Result<Ieee, ErrorBody> {
    id.0.parse().map_err(|_| ErrorBody::new(ErrorCode::NotFound, format!("there is no device {id}")))
}

/// 16 bytes and their CRC in hexadecimal, with any blanks and dashes between; printed on the device.
pub fn install_code(text: &str) -> Result<[u8; INSTALL_CODE_LEN], ErrorBody> {
    let wrong = |why: &str| ErrorBody::new(ErrorCode::BadRequest, format!("the install code {why}"));
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b':')).collect();
    if digits.len() != 2 * INSTALL_CODE_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong("has 36 hexadecimal digits"));
    }
    let mut code = [0; INSTALL_CODE_LEN];
    for (byte, pair) in code.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        *byte = u8::from_str_radix(pair, 16).expect("they were looked at");
    }
    let (bytes, crc) = code.split_at(INSTALL_CODE_LEN - 2);
    if crc_x25(bytes).to_le_bytes() != *crc {
        return Err(wrong("has a mistake: its last four digits do not fit the others"));
    }
    Ok(code)
}

/// CRC-16/X-25, by which install codes are guarded (base device behavior §10.1.1).
fn crc_x25(bytes: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    };
    !bytes.iter().fold(0xffff, step)
}

pub fn scene_wish(wish: KeptSceneWish) -> SceneWish {
    match wish {
        KeptSceneWish::Store => SceneWish::Store,
        KeptSceneWish::Recall => SceneWish::Recall,
        KeptSceneWish::Remove => SceneWish::Remove,
    }
}

pub fn info(view: View) -> DeviceInfo {
    DeviceInfo {
        id: device_id(view.ieee),
        name: None,
        model: view.model,
        vendor: view.vendor,
        description: view.description,
        power: match view.has_battery {
            Some(true) => Power::Battery,
            Some(false) => Power::Mains,
            None => Power::Unknown,
        },
        interviewed: view.interviewed,
        supported: view.supported,
        is_router: view.is_router,
        capabilities: view.capabilities,
        state: view.state,
        available: view.available,
        last_seen_ms: view.last_seen_ms,
        details: Details::new(view.details),
    }
}

/// `None`: it is nothing to the house.
pub fn event(event: Event) -> Option<SourceEvent> {
    Some(match event {
        Event::Radio(radio) => SourceEvent::Radio(match radio {
            Radio::Starting => RadioStatus::Starting,
            Radio::Up => RadioStatus::Up,
            Radio::Down { why } => RadioStatus::Down { why },
            Radio::Refused { why } => RadioStatus::Refused { why },
        }),
        Event::Device(view) => SourceEvent::Device(Box::new(info(*view))),
        Event::Left { ieee } => SourceEvent::Left(device_id(ieee)),
        Event::State { ieee, changes } => SourceEvent::State { id: device_id(ieee), changes, is_old: false },
        Event::Availability { ieee, available } => SourceEvent::Availability { id: device_id(ieee), available },
        Event::Seen { ieee, at_ms } => SourceEvent::Seen { id: device_id(ieee), at_ms },
        Event::Pairing(news) => SourceEvent::Pairing(pairing(news)),
        Event::Persist(_) | Event::Answer { .. } => return None,
    })
}

/// A wish in numbers.
pub fn bind_wish(wish: &house::BindWish) -> Result<BindWish, ErrorBody> {
    let to = match &wish.to {
        BindTarget::Hub => BindTo::Hub,
        BindTarget::Group(group) => BindTo::Group(GroupId(*group)),
        BindTarget::Device { id, endpoint } => BindTo::Device { ieee: ieee(id)?, endpoint: endpoint.map(Endpoint) },
    };
    let clusters = wish.clusters.iter().map(|name| cluster_id(name)).collect::<Result<_, _>>()?;
    Ok(BindWish { from: ieee(&wish.from)?, endpoint: wish.endpoint.map(Endpoint), to, clusters, undo: wish.undo })
}

/// By its name, or a number such as 6 or 0x0006.
fn cluster_id(name: &str) -> Result<ClusterId, ErrorBody> {
    let number = match name.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    };
    let found = clusters::by_name(name).map(|cluster| cluster.id).or(number.map(ClusterId));
    found
        .ok_or_else(|| ErrorBody::new(ErrorCode::BadRequest, format!("there is no cluster {name:?}, such as genOnOff")))
}

fn cluster_name(id: ClusterId) -> Box<str> {
    clusters::by_id(id).map_or_else(|| format!("0x{:04x}", id.0).into(), |cluster| cluster.name.into())
}

pub fn bind_end((row, end): (Binding, Result<(), ErrorBody>)) -> BindEnd {
    BindEnd { cluster: cluster_name(row.cluster), end }
}

/// `hub`: its own address.
pub fn bound(row: &Binding, hub: Option<&DeviceId>) -> Bound {
    let to = match row.to {
        BindingTarget::Group(group) => BindTarget::Group(group.0),
        BindingTarget::Device { ieee, .. } if Some(&device_id(ieee)) == hub => BindTarget::Hub,
        BindingTarget::Device { ieee, endpoint } => {
            BindTarget::Device { id: device_id(ieee), endpoint: Some(endpoint.0) }
        }
    };
    Bound { endpoint: row.endpoint.0, cluster: cluster_name(row.cluster), to }
}

fn pairing(news: Pairing) -> PairingNews {
    match news {
        Pairing::Open { seconds_left } => PairingNews::Open { seconds_left: seconds_left.into() },
        Pairing::Closed => PairingNews::Closed,
        Pairing::Joined { ieee } => PairingNews::Joined { id: device_id(ieee) },
        Pairing::Step { ieee, step } => {
            let of = u8::try_from(Step::ALL.len()).expect("there are six");
            PairingNews::Step { id: device_id(ieee), step: step.as_str().into(), number: step.number(), of }
        }
        Pairing::Interviewed { ieee } => PairingNews::Interviewed { id: device_id(ieee) },
        Pairing::Failed { ieee, step, why } => {
            PairingNews::Failed { id: device_id(ieee), step: step.as_str().into(), why }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_code_is_read_and_its_mistakes_are_found() {
        // The example of the base device behavior specification, §10.1.
        let code = install_code("83FE D340 7A93 9723 A5C6 39B2 6916 D505 C3B5").expect("it is right");
        assert_eq!((code[0], code[16], code[17]), (0x83, 0xc3, 0xb5));
        let error = install_code("83FE D340 7A93 9723 A5C6 39B2 6916 D506 C3B5").expect_err("a digit is wrong");
        assert_eq!(error.code, ErrorCode::BadRequest);
        for text in [
            "",
            "83FED3407A939723A5C639B26916D505",
            "é3FED3407A939723A5C639B26916D505C3B5",
            "+3FED3407A939723A5C639B26916D505C3B5",
        ] {
            assert!(install_code(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_that_is_no_address_is_of_no_device() {
        assert_eq!(ieee(&device_id(Ieee(7))), Ok(Ieee(7)));
        assert_eq!(ieee(&DeviceId("lamp".into())).map_err(|error| error.code), Err(ErrorCode::NotFound));
    }
}
