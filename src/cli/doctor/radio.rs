//! What a hub needs for its devices: a stick that can be spoken to, or a broker. Opens no stick.

use std::path::Path;

use serde_json::Value;

use super::{Finding, Health, finding};
use crate::app::radio::{self, Choice};
use crate::cli::installed;
use crate::common::config::Config;
use crate::zigbee::driver::Address;
use crate::zigbee::sticks;

/// How the radios of a running hub are, or else what it would find.
pub fn examine(config: &Config, base: Option<&str>, findings: &mut Vec<Finding>) {
    if let Some(told) = base.and_then(told) {
        return findings.extend(told);
    }
    // A hub that asks who comes tells the service manager all the same: how its radio is, and the stick's firmware.
    if base.is_some()
        && let Some(text) = installed::status_text()
    {
        let is_well = !text.contains("not up") && !text.contains("not well");
        return findings.push(finding("radio", if is_well { Health::Ok } else { Health::Warn }, text));
    }
    let Ok(runtime) = crate::app::runtime() else { return };
    findings.push(match runtime.block_on(radio::choose(config)) {
        Choice::Nobody => finding("radio", Health::Ok, "off (zigbee.backend)"),
        Choice::Simulated => finding("radio", Health::Ok, "a simulated house"),
        Choice::Direct => stick(&config.zigbee.port),
        Choice::Zigbee2mqtt => match runtime.block_on(radio::by_broker(&config.mqtt).is_there()) {
            true => finding("radio", Health::Ok, format!("Zigbee2MQTT, by the broker at {}", config.mqtt.url)),
            false => {
                let why =
                    format!("no Zigbee2MQTT speaks at {}: start it and its broker, or set mqtt.url", config.mqtt.url);
                finding("radio", Health::Warn, why)
            }
        },
        Choice::Either => {
            let why = sticks::find(Path::new("/")).map_or_else(|error| error.to_string(), |_| String::new());
            finding("radio", Health::Warn, format!("{why}; and no Zigbee2MQTT speaks at {}", config.mqtt.url))
        }
    });
}

fn stick(port: &str) -> Finding {
    let found = match port.parse::<Address>() {
        Ok(address) => sticks::at(Path::new("/"), address),
        Err(_) => sticks::find(Path::new("/")),
    };
    match found {
        Ok(address) => finding("radio", Health::Ok, format!("a stick at {address}")),
        Err(error) => finding("radio", Health::Warn, error.to_string()),
    }
}

/// What a running hub says, where it says it to everybody.
fn told(base: &str) -> Option<Vec<Finding>> {
    let (200, status) = installed::ask(&format!("{base}/api/v1/zigbee")).ok()? else { return None };
    let one = |radio: &Value| {
        let text = |field: &str| radio[field].as_str().unwrap_or_default().to_owned();
        let is_well = matches!(radio["status"].as_str(), Some("up" | "starting"));
        let why = radio["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let words = format!("{} is {}{why}, {} devices", text("backend"), text("status"), radio["devices"]);
        finding("radio", if is_well { Health::Ok } else { Health::Warn }, words)
    };
    let radios = status["radios"].as_array()?;
    Some(match radios.is_empty() {
        true => vec![finding("radio", Health::Ok, "off (zigbee.backend)")],
        false => radios.iter().map(one).collect(),
    })
}
