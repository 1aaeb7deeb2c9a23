//! `network.*`: how the radios are, who hears whom, and a backup, which holds the network's key and is for owners alone.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tool;
use super::typed::{About, Nothing, Steps, tool, tool_in_steps};
use crate::common::error::ErrorCode;
use crate::common::who::{Door, Principal, Role};
use crate::home::{Backend, Keeper, NetworkQuery, Radio, RadioStatus};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

#[derive(Debug, Serialize, JsonSchema)]
struct Status {
    /// None: the hub has no radio (`zigbee.backend` in its configuration).
    radios: Vec<RadioShown>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RadioShown {
    #[serde(flatten)]
    radio: Radio,
    /// What the radio says of its network: channel, PAN id, firmware and the like. Absent while it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Value>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Of this radio; the first one that is up where nothing is said.
    backend: Option<Backend>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Map {
    /// Nodes and the links between them, as the radio tells of them.
    map: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Backup {
    /// In the open coordinator backup format. Holds the network's key.
    backup: Value,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let status = About {
        name: "network.status",
        title: "The radio",
        description: "How the radios of the house are: whether they are up, and why not, their devices, channel and firmware.",
        annotations: Annotations::READS,
        access: Role::Device,
    };
    let map = About {
        name: "network.map",
        title: "Map of the radio network",
        description: "Who hears whom in the radio network, and how well (lqi, 0 to 255). Asks every router and takes seconds.",
        access: Role::Member,
        ..status
    };
    let backup = About {
        name: "network.backup",
        title: "Backup of the radio network",
        description: "The radio network with its key and devices, for another stick. For an owner, and not for a model.",
        access: Role::Owner,
        ..status
    };
    vec![tool(home, status, state), tool_in_steps(home, map, drawn), tool(home, backup, saved)]
}

async fn state(home: Arc<Keeper>, _: Nothing, _: Arc<Principal>) -> Result<Status, Fault> {
    let mut radios = Vec::new();
    for radio in home.radios() {
        let network = match radio.status {
            // One that does not know, or has gone down since, is shown by how it is.
            RadioStatus::Up => home.network(NetworkQuery::Status, Some(radio.backend)).await.ok(),
            _ => None,
        };
        radios.push(RadioShown { radio, network });
    }
    Ok(Status { radios })
}

/// A hub that has no radio at all cannot do what one does; one whose radio is down can later.
pub(super) fn with_radio(home: &Keeper) -> Result<(), Fault> {
    match home.radios().is_empty() {
        true => {
            let why = "this hub has no radio: set zigbee.backend in its configuration, and plug in a stick";
            Err(Fault::new(ErrorCode::Unsupported, why))
        }
        false => Ok(()),
    }
}

async fn drawn(home: Arc<Keeper>, input: Which, who: Arc<Principal>, steps: Steps) -> Result<Map, Fault> {
    if who.rooms.is_some() {
        let why = "the map shows the devices of all rooms: it is for those who may see the whole house";
        return Err(Fault::new(ErrorCode::Forbidden, why));
    }
    with_radio(&home)?;
    steps.tell(0.0, None, "asking the routers");
    Ok(Map { map: home.network(NetworkQuery::Map, input.backend).await? })
}

async fn saved(home: Arc<Keeper>, input: Which, who: Arc<Principal>) -> Result<Backup, Fault> {
    if who.door == Door::Model {
        let why = "the key of the network is not given to a model: tell the person to use `hearth network backup FILE`";
        return Err(Fault::new(ErrorCode::Forbidden, why));
    }
    with_radio(&home)?;
    Ok(Backup { backup: home.network(NetworkQuery::Backup, input.backend).await? })
}
