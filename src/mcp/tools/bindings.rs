//! `devices.bind`, `devices.unbind`, `devices.bindings`: devices that speak straight to each other, also while the hub is away.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tool;
use super::typed::{About, failure_of_all, tool};
use crate::common::error::ErrorBody;
use crate::common::who::{Principal, Role};
use crate::home::{Bind, BindEnd, BindTarget, Bound, DeviceId, Keeper};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Whose presses or reports are meant: its name, another word for it, or its id.
    device: String,
    /// Who is told: a device or a group by name or id, or hub.
    target: String,
    /// Clusters by their names, such as genOnOff and genLevelCtrl; the usual ones that both have where none is named.
    #[serde(default)]
    #[schemars(length(max = 32))]
    clusters: Vec<String>,
    /// Which endpoint of the device, such as a button of a remote; the first that fits where none is named.
    #[schemars(range(min = 1, max = 240))]
    endpoint: Option<u8>,
    /// Which endpoint of the target, such as a socket of a strip.
    #[schemars(range(min = 1, max = 240))]
    target_endpoint: Option<u8>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Ends {
    /// One for each cluster that both have.
    results: Vec<End>,
    /// Nothing of it was confirmed, and why not for the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct End {
    cluster: Box<str>,
    /// The device has said so.
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// Its name, another word for it, or its id.
    device: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    id: DeviceId,
    name: Box<str>,
    bindings: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    /// Of the device.
    endpoint: u8,
    cluster: Box<str>,
    target: Target,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Target {
    kind: Kind,
    /// Of a device its id, of a group its number in the radio network.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<str>>,
    /// What the house calls it; absent where the house has none like it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<u8>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Hub,
    Group,
    Device,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "devices.bindings",
        title: "Bindings of a device",
        description: "To whom a device speaks straight in the radio network: devices, groups, the hub. By the device's own word \
                      (one that sleeps has to be woken by a press), or as Zigbee2MQTT remembers it.",
        annotations: Annotations::READS,
        access: Role::Owner,
    };
    let bind = About {
        name: "devices.bind",
        title: "Bind a device to another",
        description: "Makes a remote, switch or sensor (device) speak straight to a lamp, another device, a group or the hub \
                      (target), so that it works also while the hub is away. Waits for the device's answer; one with a battery has \
                      to be woken by a press just before. Only what has ok: true was bound. After a group has got other members, \
                      bind again.",
        annotations: Annotations { open_world: Some(false), ..Annotations::SETS },
        access: Role::Owner,
    };
    let unbind = About {
        name: "devices.unbind",
        title: "Undo a binding",
        description: "The opposite of devices.bind, with the same arguments. Without the binding to the hub a device reports no more \
                      by itself.",
        ..bind
    };
    vec![tool(home, list, all), tool(home, bind, make), tool(home, unbind, undo)]
}

async fn make(home: Arc<Keeper>, wish: Wish, who: Arc<Principal>) -> Result<Ends, Fault> {
    done(&home, wish, &who, false).await
}

async fn undo(home: Arc<Keeper>, wish: Wish, who: Arc<Principal>) -> Result<Ends, Fault> {
    done(&home, wish, &who, true).await
}

async fn done(home: &Keeper, wish: Wish, who: &Principal, undo: bool) -> Result<Ends, Fault> {
    let Wish { device, target, clusters, endpoint, target_endpoint } = wish;
    let ends = home.bind(who, Bind { device, target, endpoint, target_endpoint, clusters, undo }).await?;
    let end = |BindEnd { cluster, end }| End { cluster, ok: end.is_ok(), error: end.err() };
    let results: Vec<End> = ends.into_iter().map(end).collect();
    let error = failure_of_all(results.iter().map(|one| (!one.ok, one.error.as_ref())));
    Ok(Ends { results, error })
}

async fn all(home: Arc<Keeper>, input: One, who: Arc<Principal>) -> Result<Listed, Fault> {
    let bindings = home.bindings(&who, &input.device).await?;
    let device = home.device(&who, &input.device)?;
    let row = |Bound { endpoint, cluster, to }| Row { endpoint, cluster, target: target(&home, &to) };
    Ok(Listed { id: device.id.clone(), name: device.name.clone(), bindings: bindings.into_iter().map(row).collect() })
}

fn target(home: &Keeper, to: &BindTarget) -> Target {
    let name = home.name_of_target(to);
    match to {
        BindTarget::Hub => Target { kind: Kind::Hub, id: None, name, endpoint: None },
        BindTarget::Group(number) => {
            Target { kind: Kind::Group, id: Some(number.to_string().into()), name, endpoint: None }
        }
        BindTarget::Device { id, endpoint } => {
            Target { kind: Kind::Device, id: Some(id.0.clone()), name, endpoint: *endpoint }
        }
    }
}

#[cfg(test)]
#[path = "bindings_tests.rs"]
mod tests;
