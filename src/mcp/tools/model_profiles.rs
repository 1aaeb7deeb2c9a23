//! `model_profiles.*`: how models are spoken to. Everybody in the house sees them; owners change them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page};
use super::typed::{About, Deleted, not_found, not_read, not_written};
use super::{House, Tool, tool};
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::ModelProfile;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// Such as `default`.
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
struct Set {
    #[serde(flatten)]
    profile: ModelProfile,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    name: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    model_profiles: Vec<ModelProfile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "model_profiles.list",
        title: "All model profiles",
        description: "All model profiles by name: which provider and model answers, with which prompt and limits.",
        annotations: Annotations::READS,
        access: Role::Device,
    };
    let get = About {
        name: "model_profiles.get",
        title: "One model profile",
        description: "One model profile with everything that is said in it.",
        ..list
    };
    let set = About {
        name: "model_profiles.set",
        title: "Write a model profile",
        description: "Writes a model profile whole: what is left out is at its default afterwards. To change one, read it first and \
                      send it back with if_revision. It holds from the next question on.",
        annotations: Annotations::SETS,
        access: Role::Owner,
    };
    let delete = About {
        name: "model_profiles.delete",
        title: "Delete a model profile",
        description: "Deletes a model profile. The one called default stays.",
        annotations: Annotations::DESTROYS,
        access: Role::Owner,
    };
    vec![tool(house, list, all), tool(house, get, one), tool(house, set, put), tool(house, delete, take)]
}

async fn all(house: Arc<House>, input: Page, _: Arc<Principal>) -> Result<Listed, Fault> {
    let all = house.store.list::<ModelProfile>().await.map_err(not_read)?;
    let (model_profiles, next_cursor) = page::cut(all, &input, |profile| profile.name.as_str());
    Ok(Listed { model_profiles, next_cursor })
}

async fn one(house: Arc<House>, input: Name, _: Arc<Principal>) -> Result<ModelProfile, Fault> {
    let found = house.store.get::<ModelProfile>(&input.name).await.map_err(not_read)?;
    found.ok_or_else(|| not_found("model profile of this name; model_profiles.list shows all"))
}

async fn put(house: Arc<House>, input: Set, _: Arc<Principal>) -> Result<ModelProfile, Fault> {
    house.store.put(input.profile, input.if_revision).await.map_err(not_written)
}

async fn take(house: Arc<House>, input: Delete, _: Arc<Principal>) -> Result<Deleted, Fault> {
    let deleted = house.store.delete::<ModelProfile>(&input.name, input.if_revision).await.map_err(not_written)?;
    Ok(Deleted { deleted })
}
