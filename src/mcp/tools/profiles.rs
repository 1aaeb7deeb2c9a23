//! `profiles.*`: what each user likes. A user reads and writes their own; owners everybody's.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page};
use super::typed::{About, Deleted, bad_request, not_found, not_read, not_written};
use super::{House, Tool, tool};
use crate::common::who::{HOUSE, Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::mcp::settings::{is_locale, is_zone};
use crate::store::{ModelProfile, Snapshot, User, UserProfile};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// A user's name; absent: your own.
    user: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
struct Set {
    #[serde(flatten)]
    profile: UserProfile,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    user: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    profiles: Vec<UserProfile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "profiles.list",
        title: "What users like",
        description: "User profiles: language, time zone, model profile, prompt, voice and rooms of each. Others than owners see \
                      their own.",
        annotations: Annotations::READS,
        access: Role::Member,
    };
    let get = About {
        name: "profiles.get",
        title: "What a user likes",
        description: "One user's profile: language, time zone, model profile, prompt, voice and rooms.",
        ..list
    };
    let set = About {
        name: "profiles.set",
        title: "Write what a user likes",
        description: "Writes a user's profile whole: what is left out is as the house has it afterwards. To change one, read it \
                      first and send it back with if_revision.",
        annotations: Annotations::SETS,
        ..list
    };
    let delete = About {
        name: "profiles.delete",
        title: "Forget what a user likes",
        description: "Deletes a user's profile: everything is as the house has it again. The user stays.",
        annotations: Annotations::DESTROYS,
        ..list
    };
    vec![tool(house, list, all), tool(house, get, one), tool(house, set, put), tool(house, delete, take)]
}

async fn all(house: Arc<House>, input: Page, who: Arc<Principal>) -> Result<Listed, Fault> {
    let mut all = house.store.list::<UserProfile>().await.map_err(not_read)?;
    all.retain(|profile| who.may_see(&profile.user));
    let (profiles, next_cursor) = page::cut(all, &input, |profile| profile.user.as_str());
    Ok(Listed { profiles, next_cursor })
}

async fn one(house: Arc<House>, input: Whose, who: Arc<Principal>) -> Result<UserProfile, Fault> {
    let user = input.user.unwrap_or_else(|| who.user.to_string());
    check_user(&house, &user, &who).await?;
    let found = house.store.get::<UserProfile>(&user).await.map_err(not_read)?;
    // Who likes nothing yet has an empty one.
    Ok(found.unwrap_or_else(|| UserProfile { user, ..UserProfile::default() }))
}

async fn put(house: Arc<House>, input: Set, who: Arc<Principal>) -> Result<UserProfile, Fault> {
    let profile = input.profile;
    check_user(&house, &profile.user, &who).await?;
    if profile.locale.as_deref().is_some_and(|locale| !is_locale(locale)) {
        return Err(bad_request("locale: a language such as de or fr-CH (BCP 47) is wanted"));
    }
    if profile.timezone.as_deref().is_some_and(|zone| !is_zone(zone)) {
        return Err(bad_request("timezone: a time zone such as Europe/Zurich (IANA) is wanted"));
    }
    if let Some(name) = &profile.model_profile
        && house.store.get::<ModelProfile>(name).await.map_err(not_read)?.is_none()
    {
        return Err(bad_request("model_profile: there is none of this name; model_profiles.list shows all"));
    }
    house.store.put(profile, input.if_revision).await.map_err(not_written)
}

async fn take(house: Arc<House>, input: Delete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    if !who.may_see(&input.user) {
        return Err(nobody());
    }
    let deleted = house.store.delete::<UserProfile>(&input.user, input.if_revision).await.map_err(not_written)?;
    Ok(Deleted { deleted })
}

/// Others' names are not told: who is not there and who is somebody else are the same.
async fn check_user(house: &House, user: &str, who: &Principal) -> Result<(), Fault> {
    if &*who.user == user {
        return Ok(());
    }
    let owned = user.to_owned();
    let look = move |store: &Snapshot| {
        // A user may be gone whose profile is still there.
        Ok(store.get::<User>(&owned)?.is_some() || store.get::<UserProfile>(&owned)?.is_some())
    };
    let is_there = user == HOUSE || house.store.read(look).await.map_err(not_read)?;
    match who.may_see(user) && is_there {
        true => Ok(()),
        false => Err(nobody()),
    }
}

fn nobody() -> Fault {
    not_found("user of this name whose profile you may see")
}
