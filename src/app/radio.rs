//! Who knows the devices of this house, by the config: the hub's own stick, Zigbee2MQTT, a simulated house, or nobody.

use std::path::Path;
use std::sync::Arc;

use crate::adapters::devices::zigbee::{self, Stick, Zigbee};
use crate::adapters::devices::zigbee2mqtt::{Settings, Zigbee2mqtt};
use crate::app::furnish::{self, Stock};
use crate::common::config::{self, Config, Mqtt, ZigbeeBackend};
use crate::home::DeviceSource;
use crate::store::Store;
use crate::zigbee::definitions::Catalogue;
use crate::zigbee::sim::{SimConfig, Simulator};
use crate::zigbee::sticks;

/// The same number brings the same simulated house.
const SEED: u64 = 1;

/// Whom `zigbee.backend` names, `auto` decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Direct,
    Zigbee2mqtt,
    Simulated,
    /// Nobody is there yet: whoever comes first, a stick that is plugged in or a broker that starts later, is taken.
    Either,
    Nobody,
}

/// The sources of devices. Waits some seconds at most, for a broker that does not answer.
pub async fn sources(config: &Config, store: &Store) -> Vec<Arc<dyn DeviceSource>> {
    match choose(config).await {
        Choice::Nobody => Vec::new(),
        Choice::Direct => vec![direct(config, store)],
        Choice::Zigbee2mqtt => vec![zigbee2mqtt(&config.mqtt)],
        Choice::Either => vec![direct(config, store), zigbee2mqtt(&config.mqtt)],
        Choice::Simulated => vec![simulated(store).await],
    }
}

/// Looks for a stick and for the broker, where the config leaves it open.
pub async fn choose(config: &Config) -> Choice {
    match config.zigbee.backend {
        ZigbeeBackend::Off => Choice::Nobody,
        ZigbeeBackend::Direct => Choice::Direct,
        ZigbeeBackend::Zigbee2mqtt => Choice::Zigbee2mqtt,
        ZigbeeBackend::Simulated => Choice::Simulated,
        // A port that is named is meant.
        ZigbeeBackend::Auto if config.zigbee.port != "auto" => Choice::Direct,
        ZigbeeBackend::Auto if sticks::find(Path::new("/")).is_ok() => Choice::Direct,
        ZigbeeBackend::Auto if by_broker(&config.mqtt).is_there().await => Choice::Zigbee2mqtt,
        ZigbeeBackend::Auto => Choice::Either,
    }
}

fn direct(config: &Config, store: &Store) -> Arc<dyn DeviceSource> {
    let stick = Stick::parse(&config.zigbee.port).expect("the config has been checked");
    let channel = zigbee::channel(&config.zigbee.channel);
    let source = Zigbee::new(stick, channel, store.clone(), Arc::new(Catalogue::new()));
    Arc::new(source.restoring(config.zigbee.restore).with_images(config.zigbee.ota_folder.clone()))
}

async fn simulated(store: &Store) -> Arc<dyn DeviceSource> {
    let Stock { standing, boxed } = furnish::stock(store).await;
    let config = SimConfig { devices: standing, boxed, ..SimConfig::default() };
    let make = move |now| Simulator::new(config.clone(), SEED, now);
    let stick = Stick::Simulated(Box::new(make));
    Arc::new(Zigbee::new(stick, None, store.clone(), Arc::new(Catalogue::new())))
}

fn zigbee2mqtt(mqtt: &Mqtt) -> Arc<dyn DeviceSource> {
    Arc::new(by_broker(mqtt))
}

/// A password that cannot be read is none: the broker refuses the hub then, and the radio's status says what to look at.
pub fn by_broker(mqtt: &Mqtt) -> Zigbee2mqtt {
    let env = |name: &str| std::env::var(name).ok();
    let password = mqtt.password_env.as_deref().map_or(Ok(None), |variable| config::api_key(variable, env));
    let password = password.unwrap_or_else(|error| {
        tracing::warn!(%error, "the MQTT broker's password cannot be read");
        None
    });
    Zigbee2mqtt::new(Settings {
        url: mqtt.url.clone(),
        base_topic: mqtt.base_topic.clone(),
        username: mqtt.username.clone(),
        password,
        ca_file: mqtt.ca_file.clone(),
        qos: mqtt.qos,
    })
}
