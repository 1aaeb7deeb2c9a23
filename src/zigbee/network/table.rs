//! All devices of the network, by their address for good and by the one of the day. Sends nothing.

use std::collections::BTreeMap;

use crate::zigbee::network::device::Device;
use crate::zigbee::network::queue::Whereabouts;
use crate::zigbee::types::{Ieee, Nwk};

/// Devices of one network: more than any stick holds.
pub const DEVICES_MAX: usize = 1024;

#[derive(Default)]
pub struct Table {
    devices: BTreeMap<Ieee, Device>,
    by_nwk: BTreeMap<Nwk, Ieee>,
}

impl Table {
    /// `false`: there is no place for more.
    pub fn insert(&mut self, device: Device) -> bool {
        let (ieee, nwk) = (device.ieee(), device.nwk);
        if self.devices.len() >= DEVICES_MAX && !self.devices.contains_key(&ieee) {
            return false;
        }
        if let Some(old) = self.devices.insert(ieee, device)
            && self.by_nwk.get(&old.nwk) == Some(&ieee)
        {
            self.by_nwk.remove(&old.nwk);
        }
        self.by_nwk.insert(nwk, ieee);
        true
    }

    /// It has this address now; whoever had it before has none until it is heard of. `true`: it is another one than before.
    pub fn moved(&mut self, ieee: Ieee, nwk: Nwk) -> bool {
        let Some(device) = self.devices.get_mut(&ieee) else { return false };
        let old = std::mem::replace(&mut device.nwk, nwk);
        if old != nwk && self.by_nwk.get(&old) == Some(&ieee) {
            self.by_nwk.remove(&old);
        }
        self.by_nwk.insert(nwk, ieee);
        old != nwk
    }

    pub fn remove(&mut self, ieee: Ieee) -> Option<Device> {
        let device = self.devices.remove(&ieee)?;
        if self.by_nwk.get(&device.nwk) == Some(&ieee) {
            self.by_nwk.remove(&device.nwk);
        }
        Some(device)
    }

    pub fn get(&self, ieee: Ieee) -> Option<&Device> {
        self.devices.get(&ieee)
    }

    pub fn get_mut(&mut self, ieee: Ieee) -> Option<&mut Device> {
        self.devices.get_mut(&ieee)
    }

    pub fn at(&self, nwk: Nwk) -> Option<Ieee> {
        self.by_nwk.get(&nwk).copied()
    }

    /// By IEEE address.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    pub fn len(&self) -> usize {
        self.devices.len()
    }

    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// `None`: it is unknown, or somebody else has its address now.
    pub fn whereabouts(&self, ieee: Ieee) -> Option<Whereabouts> {
        let device = self.devices.get(&ieee)?;
        let is_there = self.by_nwk.get(&device.nwk) == Some(&ieee);
        is_there.then(|| Whereabouts { nwk: device.nwk, sleeps: device.sleeps() })
    }
}
