//! Who knows the devices of this house, by the config: the hub's own stick, Zigbee2MQTT, a simulated house, or nobody.

use std::sync::Arc;

use crate::adapters::devices::zigbee2mqtt::{Settings, Zigbee2mqtt};
use crate::common::config::{self, Config, ZigbeeBackend};
use crate::home::DeviceSource;
use crate::store::Store;

/// The sources of devices. Waits at most some seconds, for a broker that does not answer.
pub async fn sources(config: &Config, _store: &Store) -> Vec<Arc<dyn DeviceSource>> {
    match config.zigbee.backend {
        ZigbeeBackend::Off => Vec::new(),
        ZigbeeBackend::Zigbee2mqtt => vec![Arc::new(zigbee2mqtt(config))],
        ZigbeeBackend::Auto => {
            let source = zigbee2mqtt(config);
            if source.is_there().await { vec![Arc::new(source)] } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

/// A password that cannot be read is none: the broker refuses the hub then, and the radio's status says what to look at.
fn zigbee2mqtt(config: &Config) -> Zigbee2mqtt {
    let mqtt = &config.mqtt;
    let password = mqtt.password_env.as_deref().and_then(|variable| {
        config::api_key(variable, |name| std::env::var(name).ok())
            .inspect_err(|error| tracing::warn!(%error, "the MQTT broker's password cannot be read"))
            .ok()
            .flatten()
    });
    Zigbee2mqtt::new(Settings {
        url: mqtt.url.clone(),
        base_topic: mqtt.base_topic.clone(),
        username: mqtt.username.clone(),
        password,
        qos: mqtt.qos,
    })
}
