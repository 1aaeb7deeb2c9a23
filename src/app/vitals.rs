//! How the hub is, for whoever judges an update of the machine (`appliance::update::gate`): a file in the runtime folder, which is
//! memory. Written whenever the hub was found well; that it is written no more says the rest. Judges nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::appliance::update::gate::{PULSE_FILE, Pulse, Vitals};
use crate::home::{Keeper, RadioStatus};

/// See the module.
pub struct Pulses {
    file: PathBuf,
    fresh: PathBuf,
    beat: u64,
    address: SocketAddr,
}

impl Pulses {
    /// In this folder, which is the hub's own. `address` is where it listens.
    pub fn new(folder: &Path, address: SocketAddr) -> Pulses {
        let file = folder.join(PULSE_FILE);
        Pulses { fresh: file.with_extension("new"), file, beat: 0, address }
    }

    /// Says once more how it is.
    pub fn beat(&mut self, home: &Keeper) {
        self.beat += 1;
        let pulse = Pulse { beat: self.beat, address: self.address, vitals: vitals(home) };
        let text = serde_json::to_vec(&pulse).expect("plain data");
        // A reader sees the one before or this one. Where it cannot be written, an update is not kept, and the hub's work goes on.
        let _ = std::fs::write(&self.fresh, text).and_then(|()| std::fs::rename(&self.fresh, &self.file));
    }
}

fn vitals(home: &Keeper) -> Vitals {
    let (radios, devices) = (home.radios(), home.devices());
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Vitals {
        radios_up: count(radios.iter().filter(|radio| radio.status == RadioStatus::Up).count()),
        devices: count(devices.len()),
        available: count(devices.iter().filter(|device| device.available == Some(true)).count()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::home::testing::Script;
    use crate::home::{Backend, SourceEvent};
    use crate::store::Store;

    #[tokio::test(flavor = "current_thread")]
    async fn each_beat_says_how_the_house_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("hearth.redb")).unwrap();
        let radio = Script::new(Backend::Zigbee);
        let home = Keeper::start(store.clone(), vec![radio.clone()]).await.unwrap();
        let address = SocketAddr::from(([0, 0, 0, 0], 80));
        let mut pulses = Pulses::new(folder.path(), address);
        for (status, beat, radios_up) in
            [(RadioStatus::Up, 1, 1), (RadioStatus::Absent { why: "no stick".into() }, 2, 0)]
        {
            radio.tell(SourceEvent::Radio(status.clone())).await;
            let heard = async {
                while home.radios()[0].status != status {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the house hears it");
            pulses.beat(&home);
            let said: Pulse = serde_json::from_slice(&std::fs::read(folder.path().join(PULSE_FILE)).unwrap()).unwrap();
            assert_eq!(said, Pulse { beat, address, vitals: Vitals { radios_up, devices: 0, available: 0 } });
        }
    }
}
