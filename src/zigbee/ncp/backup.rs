//! A coordinator's backup in the open format (`zigpy/open-coordinator-backup`, version 1), which Zigbee2MQTT and ZHA read and
//! write as well. JSON to facts and back; knows no stick.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::common::hex::hex;
use crate::zigbee::types::{Channel, Ieee, Key, Nwk};

const FORMAT: &str = "zigpy/open-coordinator-backup";
const VERSION: u64 = 1;

/// The most devices that are taken from a backup; no stick has room for more.
const DEVICES_MAX: usize = 1_024;

#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    pub coordinator: Ieee,
    pub pan_id: u16,
    pub extended_pan_id: Ieee,
    pub update_id: u8,
    pub security_level: u8,
    pub channel: Channel,
    /// The channels that the network may move to, as ZDO's mask.
    pub channel_mask: u32,
    pub key: Key,
    pub key_sequence: u8,
    /// Outgoing, of the network layer, as it was when the backup was made.
    pub frame_counter: u32,
    /// Of Z-Stack: what it makes the devices' link keys from.
    pub tclk_seed: Option<Key>,
    pub devices: Vec<Device>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    pub ieee: Ieee,
    pub nwk: Option<Nwk>,
    /// It talks through the coordinator.
    pub is_child: bool,
    pub link_key: Option<LinkKey>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LinkKey {
    pub key: Key,
    pub rx_counter: u32,
    pub tx_counter: u32,
}

/// A JSON value that is no such backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBackup {
    #[error("this is no backup in the format {FORMAT}")]
    Format,
    #[error("the backup has version {0}, and only version {VERSION} is known")]
    Version(u64),
    #[error("the backup's {0} is missing or wrong")]
    Field(&'static str),
}

impl Backup {
    pub fn to_json(&self) -> Value {
        let mut stack_specific = Map::new();
        if let Some(seed) = &self.tclk_seed {
            stack_specific.insert("zstack".to_owned(), json!({ "tclk_seed": hex(&seed.0) }));
        }
        let devices: Vec<_> = self.devices.iter().map(device_to_json).collect();
        json!({
            "metadata": {
                "format": FORMAT,
                "version": VERSION,
                "source": concat!("hearth@", env!("CARGO_PKG_VERSION")),
                "internal": {},
            },
            "stack_specific": stack_specific,
            "coordinator_ieee": hex(&self.coordinator.0.to_be_bytes()),
            "pan_id": format!("{:04x}", self.pan_id),
            "extended_pan_id": hex(&self.extended_pan_id.0.to_be_bytes()),
            "nwk_update_id": self.update_id,
            "security_level": self.security_level,
            "channel": self.channel.0,
            "channel_mask": (11..=26).filter(|channel| self.channel_mask >> channel & 1 == 1).collect::<Vec<u8>>(),
            "network_key": {
                "key": hex(&self.key.0),
                "sequence_number": self.key_sequence,
                "frame_counter": self.frame_counter,
            },
            "devices": devices,
        })
    }

    pub fn from_json(json: &Value) -> Result<Backup, BadBackup> {
        let metadata = json.get("metadata").filter(|metadata| metadata["format"] == FORMAT).ok_or(BadBackup::Format)?;
        match metadata["version"].as_u64() {
            Some(VERSION) => {}
            other => return Err(BadBackup::Version(other.unwrap_or(0))),
        }
        let channel = number(&json["channel"]).filter(|channel| (11..=26).contains(channel));
        let channel = Channel(channel.ok_or(BadBackup::Field("channel"))?);
        let mask = json["channel_mask"].as_array().into_iter().flatten().filter_map(number::<u8>);
        let mask = mask.filter(|channel| (11..=26).contains(channel)).fold(0, |mask, channel| mask | 1 << channel);
        let key = &json["network_key"];
        let devices = json["devices"].as_array().ok_or(BadBackup::Field("list of devices"))?;
        let devices = devices.iter().take(DEVICES_MAX).map(device_from_json);
        Ok(Backup {
            coordinator: ieee(&json["coordinator_ieee"]).ok_or(BadBackup::Field("coordinator_ieee"))?,
            pan_id: u16_of_hex(&json["pan_id"]).ok_or(BadBackup::Field("pan_id"))?,
            extended_pan_id: ieee(&json["extended_pan_id"]).ok_or(BadBackup::Field("extended_pan_id"))?,
            update_id: number(&json["nwk_update_id"]).unwrap_or(0),
            security_level: number(&json["security_level"]).unwrap_or(5),
            channel,
            channel_mask: mask | channel.mask(),
            key: key_of(&key["key"]).ok_or(BadBackup::Field("network key"))?,
            key_sequence: number(&key["sequence_number"]).unwrap_or(0),
            frame_counter: number(&key["frame_counter"]).ok_or(BadBackup::Field("frame counter"))?,
            tclk_seed: key_of(&json["stack_specific"]["zstack"]["tclk_seed"]),
            devices: devices.collect::<Result<_, _>>()?,
        })
    }
}

/// The network's outgoing frame counter in a backup, without reading the devices; 0 where it has none.
pub fn frame_counter(json: &str) -> u32 {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Network {
        network_key: Counted,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Counted {
        frame_counter: u64,
    }
    let read: Network = serde_json::from_str(json).unwrap_or_default();
    u32::try_from(read.network_key.frame_counter).unwrap_or(u32::MAX)
}

fn device_to_json(device: &Device) -> Value {
    let mut json = json!({
        "ieee_address": hex(&device.ieee.0.to_be_bytes()),
        "nwk_address": device.nwk.map(|nwk| format!("{:04x}", nwk.0)),
        "is_child": device.is_child,
    });
    if let Some(link_key) = &device.link_key {
        json["link_key"] = json!({
            "key": hex(&link_key.key.0),
            "rx_counter": link_key.rx_counter,
            "tx_counter": link_key.tx_counter,
        });
    }
    json
}

fn device_from_json(json: &Value) -> Result<Device, BadBackup> {
    let link_key = match &json["link_key"] {
        Value::Null => None,
        link_key => Some(LinkKey {
            key: key_of(&link_key["key"]).ok_or(BadBackup::Field("link key of a device"))?,
            rx_counter: number(&link_key["rx_counter"]).unwrap_or(0),
            tx_counter: number(&link_key["tx_counter"]).unwrap_or(0),
        }),
    };
    Ok(Device {
        ieee: ieee(&json["ieee_address"]).ok_or(BadBackup::Field("address of a device"))?,
        nwk: u16_of_hex(&json["nwk_address"]).map(Nwk),
        is_child: json["is_child"].as_bool().unwrap_or(true),
        link_key,
    })
}

fn number<T: TryFrom<u64>>(json: &Value) -> Option<T> {
    T::try_from(json.as_u64()?).ok()
}

fn ieee(json: &Value) -> Option<Ieee> {
    bytes(json).map(|bytes: [u8; 8]| Ieee(u64::from_be_bytes(bytes)))
}

fn key_of(json: &Value) -> Option<Key> {
    bytes(json).map(Key)
}

/// At most four digits: Zigbee2MQTT writes them without leading zeros.
fn u16_of_hex(json: &Value) -> Option<u16> {
    let text = json.as_str().filter(|text| text.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(text, 16).ok()
}

fn bytes<const N: usize>(json: &Value) -> Option<[u8; N]> {
    let text =
        json.as_str().filter(|text| text.len() == 2 * N && text.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        Backup {
            coordinator: Ieee(0x0012_4b00_14d9_a1b2),
            pan_id: 0x0a1b,
            extended_pan_id: Ieee(0xdddd_dddd_dddd_dd01),
            update_id: 3,
            security_level: 5,
            channel: Channel(15),
            channel_mask: 1 << 15 | 1 << 20,
            key: Key(*b"0123456789abcdef"),
            key_sequence: 1,
            frame_counter: 123_456,
            tclk_seed: Some(Key([7; 16])),
            devices: vec![
                Device {
                    ieee: Ieee(0x00158d0001020304),
                    nwk: Some(Nwk(0x00ab)),
                    is_child: true,
                    link_key: Some(LinkKey { key: Key([9; 16]), rx_counter: 12, tx_counter: 34 }),
                },
                Device { ieee: Ieee(1), nwk: None, is_child: false, link_key: None },
            ],
        }
    }

    #[test]
    fn there_and_back() {
        let json = backup().to_json();
        assert_eq!(Backup::from_json(&json), Ok(backup()));
        assert_eq!(frame_counter(&json.to_string()), backup().frame_counter);
        for (json, counter) in [(r#"{"network_key":{"frame_counter":5000000000}}"#, u32::MAX), ("{}", 0), ("", 0)] {
            assert_eq!(frame_counter(json), counter, "{json}");
        }
        assert_eq!(json["coordinator_ieee"], "00124b0014d9a1b2");
        assert_eq!(json["pan_id"], "0a1b");
        assert_eq!(json["network_key"]["key"], "30313233343536373839616263646566");
        assert_eq!(json["stack_specific"]["zstack"]["tclk_seed"], "07070707070707070707070707070707");
        assert_eq!(json["devices"][0]["nwk_address"], "00ab");
        assert_eq!(json["devices"][1].get("link_key"), None);
    }

    /// As Zigbee2MQTT 2.x writes it.
    #[test]
    fn a_backup_of_zigbee2mqtt() {
        let json = json!({
            "metadata": {
                "format": "zigpy/open-coordinator-backup", "version": 1, "source": "zigbee-herdsman@11.1.1",
                "internal": {"date": "2026-11-01T10:00:00.000Z", "znpVersion": 1},
            },
            "stack_specific": {"zstack": {}},
            "coordinator_ieee": "00124b0014d9a1b2", "pan_id": "1a62", "extended_pan_id": "dddddddddddddddd",
            "nwk_update_id": 0, "security_level": 5, "channel": 11, "channel_mask": [11],
            "network_key": {"key": "01030507090b0d0f00020406080a0c0d", "sequence_number": 0, "frame_counter": 7000},
            "devices": [{"nwk_address": "ab", "ieee_address": "00158d0001020304", "is_child": false}],
        });
        let backup = Backup::from_json(&json).expect("it is one");
        assert_eq!((backup.pan_id, backup.frame_counter, backup.devices[0].nwk), (0x1a62, 7_000, Some(Nwk(0x00ab))));
    }

    #[test]
    fn what_is_none_is_told() {
        assert_eq!(Backup::from_json(&json!({})), Err(BadBackup::Format));
        let with = |path: &str, value: Value| {
            let mut json = backup().to_json();
            *json.pointer_mut(path).expect("a path") = value;
            Backup::from_json(&json)
        };
        assert_eq!(with("/metadata/version", json!(2)), Err(BadBackup::Version(2)));
        assert_eq!(with("/channel", json!(27)), Err(BadBackup::Field("channel")));
        assert_eq!(with("/network_key/key", json!("00")), Err(BadBackup::Field("network key")));
        assert_eq!(with("/network_key/frame_counter", json!(-1)), Err(BadBackup::Field("frame counter")));
        assert_eq!(with("/coordinator_ieee", json!("zz124b0014d9a1b2")), Err(BadBackup::Field("coordinator_ieee")));
        assert_eq!(with("/devices", json!(null)), Err(BadBackup::Field("list of devices")));
        assert_eq!(with("/devices/0/link_key/key", json!("é")), Err(BadBackup::Field("link key of a device")));
    }
}
