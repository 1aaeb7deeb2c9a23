//! What a device may say: any frame, to the parser and to those who know what it means.

use hearth::zigbee::definitions::{Catalogue, Definitions, Heard, Identity, Memory, What};
use hearth::zigbee::types::{ClusterId, Endpoint, Ieee, MakerCode, ProfileId};
use hearth::zigbee::zcl::{Body, Direction, General, Header, Message};
use hearth::zigbee::zdo::SimpleDescriptor;

/// Model and maker of devices with many kinds of blocks.
const DEVICES: [(&str, &str); 9] = [
    ("LCX004", "Signify Netherlands B.V."),
    ("lumi.weather", "LUMI"),
    ("lumi.plug.maeu01", "LUMI"),
    ("TS011F", "_TZ3000_okaz9tjs"),
    ("eTRV0100", "Danfoss"),
    ("YRD226 TSDB", "Yale"),
    ("DS01", "eWeLink"),
    ("RODRET Dimmer", "IKEA of Sweden"),
    ("nobody", "nothing"),
];

/// Makers of data points: a sensor, a cover, a thermostat, a meter, a presence sensor.
const TUYA: [&str; 5] =
    ["_TZE200_utkemkbs", "_TZE284_7qc2wlqr", "_TZE200_b6wax7g0", "_TZE204_cjbofhxw", "_TZE204_sxm7l9xa"];

fn identity(model: &str, maker: &str) -> Identity {
    let inputs = [0, 1, 3, 4, 5, 6, 8, 0x101, 0x102, 0x201, 0x202, 0x300, 0x402, 0x500, 0x702, 0xb04, 0xef00, 0xfcc0];
    let descriptor = SimpleDescriptor {
        endpoint: Endpoint(1),
        profile: ProfileId::HOME_AUTOMATION,
        device: 0x0100,
        version: 1,
        inputs: inputs.map(ClusterId).to_vec(),
        outputs: [3, 5, 6, 8, 0x300].map(ClusterId).to_vec(),
    };
    Identity {
        ieee: Ieee(1),
        logical_type: None,
        maker: None,
        endpoints: vec![descriptor],
        model_id: Some(model.into()),
        maker_name: Some(maker.into()),
        power_source: None,
        zcl_version: None,
        app_version: None,
        stack_version: None,
        hardware_version: None,
        date_code: None,
        software_build: None,
    }
}

/// What is told can be set, or is refused; neither ends the hub.
fn told(identity: &Identity, cluster: ClusterId, what: What<'_>) {
    let definition = Catalogue::new().find(identity);
    let mut memory = Memory::default();
    let heard = Heard { endpoint: Endpoint(1), cluster, group: None, lqi: 1, what, utc_s: 1, utc_offset_s: -7200 };
    let decoded = definition.decode(identity, &heard, &mut memory);
    memory.state.extend(decoded.changes.clone());
    let again = definition.decode(identity, &heard, &mut memory);
    for (property, value) in again.changes.iter().chain(&decoded.changes) {
        let set = [(property.clone(), value.clone())].into_iter().collect();
        let _ = definition.encode(identity, &set, &memory);
    }
}

/// A cluster (16 bit), a device (8 bit), a frame.
pub fn zcl(input: &[u8]) {
    let Some((&[low, high, device], frame)) = input.split_first_chunk::<3>() else { return };
    let cluster = ClusterId(u16::from_le_bytes([low, high]));
    let Ok(message) = Message::decode(cluster, frame) else { return };
    let bytes = message.encode().expect("what came in can go out");
    assert_eq!(Message::decode(cluster, &bytes).as_ref(), Ok(&message), "read and written");
    let (model, maker) = DEVICES[usize::from(device) % DEVICES.len()];
    let identity = identity(model, maker);
    let maker: Option<MakerCode> = message.header.maker;
    match &message.body {
        Body::General(General::Report(records)) => {
            let attributes: Vec<_> = records.iter().map(|record| (record.attribute, record.value.clone())).collect();
            told(&identity, cluster, What::Attributes { maker, attributes: &attributes });
        }
        Body::General(_) => {}
        Body::Command { payload, .. } => told(&identity, cluster, What::Command { header: &message.header, payload }),
    }
}

/// A device (8 bit), a command (8 bit), what stands behind its header.
pub fn tuya(input: &[u8]) {
    let Some((&[device, command], payload)) = input.split_first_chunk::<2>() else { return };
    let identity = identity("TS0601", TUYA[usize::from(device) % TUYA.len()]);
    let header = Header::cluster(1, Direction::ToClient, command);
    told(&identity, ClusterId(0xef00), What::Command { header: &header, payload });
}
