//! `pairing.*`: letting new devices in. What becomes of them is told by the topic `pairing`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tool;
use super::network::with_radio;
use super::typed::{About, Nothing, bad_request, tool};
use crate::common::who::{Principal, Role};
use crate::home::{Backend, DeviceId, Keeper, PairingWish, Radio};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

/// Seconds where nobody says how many: time to walk to a lamp and switch it off and on.
const SECONDS_DEFAULT: u16 = 120;

/// Zigbee's `PermitDuration` has a byte, whose highest value means for ever.
const SECONDS_MAX: u16 = 254;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// For how long; 120 where nothing is said.
    #[schemars(range(min = 1, max = 254))]
    seconds: Option<u16>,
    /// Only through this router, by its name or id: for a device that is to hold on to it.
    via: Option<String>,
    /// For a device that comes with an install code.
    install_code: Option<InstallCode>,
    /// Only by this radio; all of them where nothing is said.
    backend: Option<Backend>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InstallCode {
    /// The device's address (IEEE, EUI-64), such as `0x00124b0014d9a1b2`.
    id: String,
    /// As it is printed on the device: 16 bytes and their checksum in hexadecimal.
    code: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct State {
    /// How each radio is, with the seconds in which devices may still join.
    radios: Vec<Radio>,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let start = About {
        name: "pairing.start",
        title: "Let new devices in",
        description: "Opens the network for new devices for some seconds; it closes by itself. The device has to be made to look for \
                      a network meanwhile (mostly a long press, or a lamp switched off and on five times). Comes back at once; who \
                      has joined is in devices.list a little later.",
        annotations: Annotations::SETS,
        access: Role::Owner,
    };
    let stop = About {
        name: "pairing.stop",
        title: "Let no more devices in",
        description: "Closes the network for new devices before the time is over.",
        ..start
    };
    vec![tool(home, start, open), tool(home, stop, close)]
}

async fn open(home: Arc<Keeper>, input: Start, who: Arc<Principal>) -> Result<State, Fault> {
    with_radio(&home)?;
    let seconds = input.seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(bad_request(format!("seconds: 1 to {SECONDS_MAX}; pairing.stop ends a search")));
    }
    let via = input.via.as_deref().map(|router| home.device(&who, router)).transpose()?;
    if let Some(device) = via.as_ref().filter(|device| !device.is_router) {
        return Err(bad_request(format!("via: {} passes nothing on; name a device with mains power", device.name)));
    }
    let install_code = input.install_code.map(|code| (DeviceId(code.id.into()), code.code.into()));
    let wish = PairingWish { seconds, via: via.map(|device| device.id.clone()), install_code };
    home.pairing(wish, input.backend).await?;
    Ok(State { radios: home.radios() })
}

async fn close(home: Arc<Keeper>, _: Nothing, _: Arc<Principal>) -> Result<State, Fault> {
    with_radio(&home)?;
    home.pairing(PairingWish::default(), None).await?;
    Ok(State { radios: home.radios() })
}
