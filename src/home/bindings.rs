//! Bindings: a device that speaks straight to others, so that a switch works its lamp also while the hub is away. They lie in the
//! devices; the house finds out who is meant, asks their source, and keeps no more than that a group is a target: whoever comes into
//! it later has to be told so.

use std::sync::Arc;

use super::device::Device;
use super::house::Home;
use super::keeper::{Keeper, bad};
use super::run;
use super::source::{BindEnd, BindTarget, BindWish, Bound, DeviceId, Membership, Power};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::store::Group;

/// What the hub itself is called as a target.
pub const HUB: &str = "hub";

/// Clusters that can be named at once.
const CLUSTERS_MAX: usize = 32;

/// Who is to speak to whom. Devices and groups by name, another word, or id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bind {
    pub device: String,
    /// A device, a group, or [`HUB`].
    pub target: String,
    /// Of the device and of the target; the first that fits where none is named.
    pub endpoint: Option<u8>,
    pub target_endpoint: Option<u8>,
    /// Clusters by Zigbee2MQTT's names; those that are usual where there are none.
    pub clusters: Vec<String>,
    pub undo: bool,
}

impl Keeper {
    /// One end for each cluster, by the device's own word. A group's devices are told first that they are in it.
    pub async fn bind(&self, who: &Principal, wish: Bind) -> Result<Vec<BindEnd>, ErrorBody> {
        if wish.clusters.len() > CLUSTERS_MAX {
            return Err(bad(format!("clusters: name at most {CLUSTERS_MAX}.")));
        }
        let (source, bind, group) = self.0.with(|home| home.plan_bind(who, wish))?;
        let asked = Arc::clone(&self.0.sources[source]);
        if let Some(group) = group {
            run::in_time(asked.regroup(group.clone()), run::NETWORK_WAIT).await?;
            self.is_target(source, group).await?;
        }
        run::in_time(asked.bind(bind), run::NETWORK_WAIT).await
    }

    /// From now on the group is kept in its devices, whoever comes and goes. That stays when it is unbound: something else may be
    /// bound to it still, which the devices alone know.
    pub(super) async fn is_target(&self, source: usize, membership: Membership) -> Result<(), ErrorBody> {
        let _turn = self.0.edits.lock().await;
        let number = membership.group;
        let group = self.0.with_groups(|home, groups| {
            // One that was reset meanwhile is not in it.
            if !home.has_strangers() {
                groups.confirm(source, membership);
            }
            home.group_of_radio(number).filter(|group| !group.is_bound).map(|group| (**group).clone())
        });
        let Some(group) = group else { return Ok(()) };
        let revision = group.revision;
        let group = Group { is_bound: true, ..group };
        let group = self.0.store.put(group, Some(revision)).await.map_err(|error| error.to_body())?;
        self.0.with(|home| home.apply_group(&group.id.clone(), Some(group.clone())));
        Ok(())
    }

    /// To whom a device speaks, by its own word, as far as `who` may see those.
    pub async fn bindings(&self, who: &Principal, which: &str) -> Result<Vec<Bound>, ErrorBody> {
        let (device, source) = self.0.with(|home| home.to_ask(who, which))?;
        let mut bound = run::in_time(self.0.sources[source].bindings(device.id.clone()), run::NETWORK_WAIT).await?;
        self.0.with(|home| {
            bound.retain(|row| match &row.to {
                BindTarget::Device { id, .. } => home.device(id).is_none_or(|device| home.may_see(who, device)),
                BindTarget::Group(number) => {
                    home.group_of_radio(*number).is_none_or(|one| home.may_see_group(who, one))
                }
                BindTarget::Hub => true,
            });
        });
        Ok(bound)
    }

    /// What the house calls a target; `None`: it is none of its own.
    pub fn name_of_target(&self, target: &BindTarget) -> Option<Box<str>> {
        self.0.with(|home| match target {
            BindTarget::Hub => Some(HUB.into()),
            BindTarget::Group(number) => home.group_of_radio(*number).map(|group| group.name.as_str().into()),
            BindTarget::Device { id, .. } => home.device(id).map(|device| device.name.clone()),
        })
    }
}

impl Home {
    /// The source, what it is asked, and the group that is to be made before.
    fn plan_bind(&self, who: &Principal, wish: Bind) -> Result<(usize, BindWish, Option<Membership>), ErrorBody> {
        let (device, source) = self.to_ask(who, &wish.device)?;
        let (to, group) = match self.find_device(who, &wish.target) {
            Ok(target) if target.id == device.id => return Err(bad("A device cannot be bound to itself.".into())),
            Ok(target) if self.source_of(&target.id) != Some(source) => {
                let (one, other) = (&device.name, &target.name);
                return Err(bad(format!("\"{one}\" and \"{other}\" are in two radio networks.")));
            }
            Ok(target) => (BindTarget::Device { id: target.id.clone(), endpoint: wish.target_endpoint }, None),
            Err(why) if why.code == ErrorCode::NotFound => match self.find_group(who, &wish.target) {
                Ok(group) => self.of_group(group, source, wish.undo)?,
                Err(_) if wish.target.eq_ignore_ascii_case(HUB) => (BindTarget::Hub, None),
                Err(_) => return Err(why),
            },
            Err(why) => return Err(why),
        };
        let clusters = wish.clusters.into_iter().map(Into::into).collect();
        let bind = BindWish { from: device.id.clone(), endpoint: wish.endpoint, to, clusters, undo: wish.undo };
        Ok((source, bind, group))
    }

    fn of_group(
        &self,
        group: &Group,
        source: usize,
        undo: bool,
    ) -> Result<(BindTarget, Option<Membership>), ErrorBody> {
        let number = group.zigbee_group.ok_or_else(|| bad(format!("\"{}\" is no group of the radio.", group.name)))?;
        let members = self.radio_members(group, source);
        if members.is_empty() && !undo {
            return Err(bad(format!("\"{}\" has no device with mains power in this radio network.", group.name)));
        }
        let membership = (!undo).then_some(Membership { group: number, members });
        Ok((BindTarget::Group(number), membership))
    }

    /// Those of the group that hear what is said to it: who sleeps does not.
    pub(super) fn radio_members(&self, group: &Group, source: usize) -> Vec<DeviceId> {
        let members = group.members.iter().filter_map(|id| self.device(&DeviceId(id.as_str().into())));
        let is_told = |device: &&Arc<Device>| {
            device.interviewed && device.power != Power::Battery && self.source_of(&device.id) == Some(source)
        };
        members.filter(is_told).map(|device| device.id.clone()).collect()
    }

    fn group_of_radio(&self, number: u16) -> Option<&Arc<Group>> {
        self.groups.values().find(|group| group.zigbee_group == Some(number))
    }
}

#[cfg(test)]
#[path = "bindings_tests.rs"]
mod tests;
