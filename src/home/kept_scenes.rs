//! Scenes that lie in the devices of a group, each with a number: what a remote's scene button recalls, also while the hub is away,
//! and what the whole group does at one word. The house keeps nothing of them but that the group lies in its devices; its own
//! scenes are `scenes`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::house::Home;
use super::keeper::{Keeper, bad};
use super::run;
use super::scenes::is_captured;
use super::source::{DeviceId, KeptScene, KeptSceneWish, MemberEnd, Membership};
use crate::common::error::ErrorBody;
use crate::common::who::Principal;

/// After a recall: every router passes it on, and a lamp needs a moment.
const RECALLED_WITHIN: Duration = Duration::from_millis(500);

/// The longest time for asking all what they are then, and how many are asked at a time.
const LOOK_WAIT: Duration = Duration::from_secs(15);
const ASKED_AT_ONCE: usize = 8;

/// What is known of one member of the group.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSaid {
    pub id: DeviceId,
    pub name: Box<str>,
    /// `None`: it was told, and has not been asked for a word.
    pub end: Option<Result<(), ErrorBody>>,
    /// After a recall: what it said that it is then.
    pub state: Map<String, Value>,
}

impl Keeper {
    /// One answer for each device of the group that has mains power. A recall is one message to all, which no device answers, and after
    /// which many do not report by themselves: each is asked what it is then.
    pub async fn kept_scene(
        &self,
        who: &Principal,
        which: &str,
        scene: u8,
        what: KeptSceneWish,
    ) -> Result<Vec<MemberSaid>, ErrorBody> {
        if scene == 0 {
            return Err(bad("scene: the number of a scene is 1 to 255.".into()));
        }
        let memberships = self.0.with(|home| home.plan_kept(who, which))?;
        let mut said = Vec::new();
        for (source, membership) in memberships {
            let asked = Arc::clone(&self.0.sources[source]);
            let wish = KeptScene { group: membership.group, scene, what };
            // Who cannot be told that it is in the group keeps nobody else from it, and no more does a radio that is down.
            let mut kept_out = None;
            if what == KeptSceneWish::Store {
                match run::in_time(asked.regroup(membership.clone()), run::NETWORK_WAIT).await {
                    Ok(()) => self.is_target(source, membership.clone()).await?,
                    Err(why) => kept_out = Some(why),
                }
            }
            let ends = run::in_time(asked.kept_scene(wish), run::NETWORK_WAIT).await;
            let of_source = said.len();
            said.extend(self.0.with(|home| home.said(membership.members, &ends, kept_out.as_ref())));
            if what == KeptSceneWish::Recall && ends.is_ok() {
                self.look(source, &mut said[of_source..]).await;
            }
        }
        Ok(said)
    }

    /// Who does not answer in time stays as the house knows it.
    async fn look(&self, source: usize, members: &mut [MemberSaid]) {
        sleep(RECALLED_WITHIN).await;
        let looks = members.iter_mut().map(|member| async {
            let asked = self.0.with(|home| home.asked_after_recall(&member.id));
            if asked.is_empty() {
                return;
            }
            let values = run::in_time(self.0.sources[source].read(member.id.clone(), asked), run::SET_WAIT).await;
            if let Ok(values) = values {
                self.0.with_now(|home, now_ms| home.report(&member.id, values.clone(), Some(now_ms)));
                member.state = values;
            }
        });
        let all = stream::iter(looks).for_each_concurrent(ASKED_AT_ONCE, |look| look);
        let _ = timeout(LOOK_WAIT, all).await;
    }
}

impl Home {
    /// Whom to tell, by source.
    fn plan_kept(&self, who: &Principal, which: &str) -> Result<Vec<(usize, Membership)>, ErrorBody> {
        let group = self.find_group(who, which)?;
        let number = group.zigbee_group.ok_or_else(|| bad(format!("\"{}\" is no group of the radio.", group.name)))?;
        let of = |source| Membership { group: number, members: self.radio_members(group, source) };
        let memberships = (0..self.sources.len()).map(|source| (source, of(source)));
        let memberships: Vec<_> = memberships.filter(|(_, membership)| !membership.members.is_empty()).collect();
        match memberships.is_empty() {
            true => Err(bad(format!("\"{}\" has no device with mains power: only such keep scenes.", group.name))),
            false => Ok(memberships),
        }
    }

    /// `kept_out`: why some may not be in the group, where there is a reason.
    fn asked_after_recall(&self, id: &DeviceId) -> Vec<Box<str>> {
        let capabilities = self.device(id).into_iter().flat_map(|device| device.capabilities.iter());
        capabilities.filter(|one| one.readable && is_captured(one)).map(|one| one.property.clone()).collect()
    }

    fn said(
        &self,
        members: Vec<DeviceId>,
        ends: &Result<Vec<MemberEnd>, ErrorBody>,
        kept_out: Option<&ErrorBody>,
    ) -> Vec<MemberSaid> {
        let end = |id: &DeviceId| match ends {
            Ok(ends) => {
                let own = ends.iter().find(|one| one.id == *id).map(|one| one.end.clone());
                own.or_else(|| kept_out.map(|why| Err(why.clone())))
            }
            Err(why) => Some(Err(why.clone())),
        };
        let name = |id: &DeviceId| self.device(id).map_or_else(|| id.0.clone(), |device| device.name.clone());
        members.into_iter().map(|id| MemberSaid { name: name(&id), end: end(&id), state: Map::new(), id }).collect()
    }
}

#[cfg(test)]
#[path = "kept_scenes_tests.rs"]
mod tests;
