//! `status`: what this hub is and how it is. Tells a guest no more than that it is there.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::typed::{About, Nothing, not_read};
use super::{House, Tool, tool};
use crate::common::time::UnixMillis;
use crate::common::who::{Principal, Role};
use crate::home::Radio;
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::mcp::settings;
use crate::store::{ModelProfile, ServerRecord, Setting, Snapshot, User};

#[derive(Debug, Serialize, JsonSchema)]
struct Status {
    /// What the house is called.
    house: String,
    version: String,
    /// By the house's clock, RFC 3339 with the zone.
    now: String,
    started_at_ms: UnixMillis,
    uptime_s: u64,
    /// Who asks, and as what.
    user: String,
    role: Role,
    /// Tools that whoever asks may call.
    tools: usize,
    /// How the radios are; not for guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    radios: Option<Vec<Radio>>,
    /// What is kept; not for guests and panels.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Records>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Records {
    model_profiles: usize,
    users: usize,
    mcp_servers: usize,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let about = About {
        name: "status",
        title: "Status of the hub",
        description: "What this hub is and how it is: name and version, the time in the house, how long it has been running, and \
                      who you are to it.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    vec![tool(house, about, status)]
}

async fn status(house: Arc<House>, _: Nothing, who: Arc<Principal>) -> Result<Status, Fault> {
    let is_of_the_house = who.role >= Role::Member;
    let look = move |store: &Snapshot| {
        let servers = store.list::<ServerRecord>()?;
        let counts = (store.list::<ModelProfile>()?.len(), store.list::<User>()?.len(), servers);
        Ok((store.get::<Setting>("house.name")?, counts))
    };
    let (name, (model_profiles, users, kept)) = house.store.read(look).await.map_err(not_read)?;
    let mut servers: Vec<&str> = kept.iter().map(|server| server.slug.as_str()).collect();
    let config = house.config.borrow().clone();
    servers.extend(config.mcp.servers.keys().map(String::as_str));
    servers.sort_unstable();
    servers.dedup();
    let name = name.map(|setting| setting.value);
    let name = name.or_else(|| settings::known("house.name").ok().map(settings::Known::default));
    let now = (house.now)();
    let now_ms = u64::try_from(now.timestamp().as_millisecond()).unwrap_or(0);
    let service = house.service.get().and_then(|service| service.upgrade());
    Ok(Status {
        house: name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(),
        version: house.version.into(),
        now: now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        started_at_ms: house.started_at_ms,
        uptime_s: now_ms.saturating_sub(house.started_at_ms) / 1000,
        user: who.user.to_string(),
        role: who.role,
        tools: service.map_or(0, |service| service.tools(&who).len()),
        radios: house.home.as_ref().filter(|_| who.role >= Role::Device).map(|home| home.radios()),
        records: is_of_the_house.then_some(Records { model_profiles, users, mcp_servers: servers.len() }),
    })
}
