//! `settings.*`: what an owner changes while the hub runs. Which there are, and what each may be, is in
//! [`crate::mcp::settings`].

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::typed::{About, Deleted, bad_request, not_found, not_read, not_written};
use super::{House, Nothing, Tool, tool};
use crate::common::error::ErrorCode;
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::mcp::settings::{KNOWN, Known, known};
use crate::store::Setting;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// Such as `house.name`.
    key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Such as `house.name`.
    key: String,
    /// What `schema` of `settings.list` says.
    value: Value,
    /// Write only over this revision; 0: only where nothing is set.
    if_revision: Option<u64>,
    /// Not looked at: so that what was read can be sent back.
    #[serde(default)]
    #[expect(dead_code, reason = "taken, so that a record that was read may be sent back")]
    revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    key: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    key: String,
    /// As it is now.
    value: Value,
    /// As it is where nobody sets it.
    default: Value,
    meaning: String,
    /// JSON Schema of the value.
    schema: Value,
    /// Of the record; 0: nobody has set it.
    revision: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    settings: Vec<Shown>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "settings.list",
        title: "All settings",
        description: "All settings of the hub with their values, what they may be, and what they mean.",
        annotations: Annotations::READS,
        access: Role::Device,
    };
    let get = About {
        name: "settings.get",
        title: "One setting",
        description: "One setting of the hub: its value, what it may be, and what it means.",
        ..list
    };
    let set = About {
        name: "settings.set",
        title: "Change a setting",
        description: "Gives a setting of the hub another value, which holds at once. settings.list says which there are.",
        annotations: Annotations::SETS,
        access: Role::Owner,
    };
    let delete = About {
        name: "settings.delete",
        title: "Reset a setting",
        description: "Takes a setting's value away, so that its default holds again.",
        annotations: Annotations::DESTROYS,
        access: Role::Owner,
    };
    vec![tool(house, list, all), tool(house, get, one), tool(house, set, put), tool(house, delete, take)]
}

async fn all(house: Arc<House>, _: Nothing, _: Arc<Principal>) -> Result<Listed, Fault> {
    let kept = house.store.list::<Setting>().await.map_err(not_read)?;
    let mut kept: BTreeMap<String, Setting> = kept.into_iter().map(|one| (one.key.clone(), one)).collect();
    Ok(Listed { settings: KNOWN.iter().map(|known| shown(known, kept.remove(known.key))).collect() })
}

async fn one(house: Arc<House>, input: Key, _: Arc<Principal>) -> Result<Shown, Fault> {
    let known = find(&input.key)?;
    Ok(shown(known, house.store.get::<Setting>(known.key).await.map_err(not_read)?))
}

async fn put(house: Arc<House>, input: Set, _: Arc<Principal>) -> Result<Shown, Fault> {
    let known = find(&input.key)?;
    known.check(&input.value).map_err(bad_request)?;
    let setting = Setting { key: input.key, value: input.value, revision: 0 };
    let kept = house.store.put(setting, input.if_revision).await.map_err(not_written)?;
    Ok(shown(known, Some(kept)))
}

async fn take(house: Arc<House>, input: Delete, _: Arc<Principal>) -> Result<Deleted, Fault> {
    // One that an older hub knew can be taken away.
    let deleted = house.store.delete::<Setting>(&input.key, input.if_revision).await.map_err(not_written)?;
    match deleted || known(&input.key).is_ok() {
        true => Ok(Deleted { deleted }),
        false => Err(not_found("setting of this key")),
    }
}

fn find(key: &str) -> Result<&'static Known, Fault> {
    known(key).map_err(|why| Fault::new(ErrorCode::NotFound, why))
}

fn shown(known: &Known, kept: Option<Setting>) -> Shown {
    let revision = kept.as_ref().map_or(0, |setting| setting.revision);
    Shown {
        key: known.key.into(),
        value: kept.map_or_else(|| known.default(), |setting| setting.value),
        default: known.default(),
        meaning: known.meaning.into(),
        schema: known.schema(),
        revision,
    }
}
