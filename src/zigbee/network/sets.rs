//! Requests to set properties, of one device or of many: one setting at a time for each device, one multicast where all of a group
//! are told the same. Answers when the last target has ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use serde_json::{Map, Value};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::definitions::{Body, Expect, Plan, Refusal};
use crate::zigbee::network::core::{Core, PERSON, trouble};
use crate::zigbee::network::event::{Reply, RequestId};
use crate::zigbee::network::exchange::{Answer, Failure, Message, To, Wants, Zcl};
use crate::zigbee::network::job::{Owner, SetPart};
use crate::zigbee::network::queue::{Ask, Priority};
use crate::zigbee::network::setting::{End, Setting};
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee};

/// Requests at once; each is one of a person, a scene or a model.
const JOBS_MAX: usize = 256;

/// Devices of one request.
const TARGETS_MAX: usize = 512;

/// Settings that wait for the one before, of one device.
const LANE_MAX: usize = 16;

/// Below this many a multicast, which every router repeats, costs the air more than it saves.
const MULTICAST_FROM: usize = 2;

const GROUPS: ClusterId = ClusterId(0x0004);

#[derive(Default)]
pub struct Sets {
    jobs: BTreeMap<u64, Job>,
    /// Settings of each device; the first one goes.
    lanes: BTreeMap<Ieee, VecDeque<(u64, u16)>>,
    next_job: u64,
}

struct Job {
    id: RequestId,
    targets: Vec<Target>,
    /// Commands that go to a group, and the next of them.
    multicast: Option<Multicast>,
}

struct Multicast {
    group: GroupId,
    commands: Vec<Zcl>,
    sent: usize,
}

enum Target {
    Waiting { ieee: Ieee, plan: Plan },
    Going(Box<Setting>),
    Done(End),
}

impl Sets {
    pub fn start(
        &mut self,
        core: &mut Core,
        now: Instant,
        (id, targets, set): (RequestId, Vec<Ieee>, Map<String, Value>),
        group: Option<GroupId>,
    ) {
        if self.jobs.len() >= JOBS_MAX || targets.len() > TARGETS_MAX {
            let message = "too much is being set at once";
            core.answer(id, Err(ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, message) }));
            return;
        }
        let job = self.next_job;
        self.next_job += 1;
        let targets: Vec<Target> = targets.into_iter().map(|ieee| planned(core, ieee, &set)).collect();
        let multicast = group.and_then(|group| multicast(core, group, &targets));
        self.jobs.insert(job, Job { id, targets, multicast });
        if self.jobs[&job].multicast.is_some() {
            self.multicast(core, now, job);
        } else {
            self.line_up(core, now, job);
        }
        self.settle(core, job);
    }

    /// Sends the next command to the group; after the last one each member is looked at.
    fn multicast(&mut self, core: &mut Core, now: Instant, job: u64) {
        let Some(Job { targets, multicast: Some(multicast), .. }) = self.jobs.get_mut(&job) else { return };
        if let Some(zcl) = multicast.commands.get(multicast.sent) {
            let part = SetPart::Command(u16::try_from(multicast.sent).unwrap_or(u16::MAX));
            core.queue.push(
                now,
                Ask {
                    to: To::Group(multicast.group),
                    message: Message::Zcl(zcl.clone()),
                    wants: Wants::Delivery,
                    priority: Priority::Person,
                    within: PERSON,
                    repeats: 0,
                    is_once: false,
                    owner: Owner::Set { job, target: u16::MAX, part },
                },
            );
            if multicast.sent + 1 < multicast.commands.len() {
                return;
            }
        }
        // Behind the last command, not after it: what each says is compared with what was wished.
        for (target, place) in (0u16..).zip(targets) {
            if let Target::Waiting { ieee, plan } = place {
                let (ieee, plan) = (*ieee, std::mem::take(plan));
                let lane = self.lanes.entry(ieee).or_default();
                lane.push_back((job, target));
                *place = Target::Going(Box::new(Setting::after_multicast(core, now, ieee, (job, target), plan)));
            }
        }
    }

    /// Each target by itself, as soon as the device is free.
    fn line_up(&mut self, core: &mut Core, now: Instant, job: u64) {
        let Some(going) = self.jobs.get_mut(&job) else { return };
        let mut firsts = Vec::new();
        for (target, place) in (0u16..).zip(&mut going.targets) {
            let Target::Waiting { ieee, .. } = place else { continue };
            let lane = self.lanes.entry(*ieee).or_default();
            if lane.len() >= LANE_MAX {
                let message = "too much waits to be set in it";
                *place =
                    Target::Done(Err(ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, message) }));
                continue;
            }
            lane.push_back((job, target));
            firsts.push(*ieee);
        }
        firsts.into_iter().for_each(|ieee| self.go(core, now, ieee));
    }

    /// Begins what is first in a device's lane. One that has taken its commands and is still on its way makes room.
    fn go(&mut self, core: &mut Core, now: Instant, ieee: Ieee) {
        while let Some(lane) = self.lanes.get_mut(&ieee) {
            let Some((job, target)) = lane.front().copied() else {
                self.lanes.remove(&ieee);
                return;
            };
            let waits_behind = lane.len() > 1;
            let place = self.jobs.get_mut(&job).and_then(|job| job.targets.get_mut(usize::from(target)));
            match place {
                Some(place @ Target::Waiting { .. }) => {
                    let Target::Waiting { ieee, plan } = place else { return };
                    let (ieee, plan) = (*ieee, std::mem::take(plan));
                    *place = Target::Going(Box::new(Setting::start(core, now, ieee, (job, target), plan)));
                    return;
                }
                Some(place @ Target::Going(_)) => {
                    let Target::Going(setting) = &*place else { return };
                    if !(waits_behind && setting.can_yield()) {
                        return;
                    }
                    let message = "something else was set before it was confirmed";
                    *place = Target::Done(Err(ErrorBody::new(ErrorCode::Cancelled, message)));
                    core.queue.cancel(|owner| is_of(owner, job, target));
                    lane.pop_front();
                    self.settle(core, job);
                }
                Some(Target::Done(_)) | None => {
                    lane.pop_front();
                }
            }
        }
    }

    /// A command or a read of a target has ended.
    pub fn ended(
        &mut self,
        core: &mut Core,
        now: Instant,
        (job, target, part): (u64, u16, SetPart),
        end: Result<Answer, Failure>,
    ) {
        if target == u16::MAX {
            self.multicast_ended(core, now, job, end);
            return;
        }
        let place = self.jobs.get_mut(&job).and_then(|job| job.targets.get_mut(usize::from(target)));
        let Some(Target::Going(setting)) = place else { return };
        let ieee = setting.ieee;
        if let Some(end) = setting.ended(core, now, part, end) {
            self.end(core, now, (job, target), ieee, end);
        } else if self.lanes.get(&ieee).is_some_and(|lane| lane.len() > 1) {
            self.go(core, now, ieee);
        }
    }

    fn multicast_ended(&mut self, core: &mut Core, now: Instant, job: u64, end: Result<Answer, Failure>) {
        let Some(going) = self.jobs.get_mut(&job) else { return };
        let Some(multicast) = &mut going.multicast else { return };
        match end {
            Ok(_) => {
                multicast.sent += 1;
                if multicast.sent < multicast.commands.len() {
                    self.multicast(core, now, job);
                }
            }
            Err(Failure::RadioDown) => {
                let down = trouble(&Failure::RadioDown);
                let all = (0u16..).zip(&going.targets);
                let ieees: Vec<(u16, Ieee)> = all
                    .filter_map(|(target, place)| match place {
                        Target::Waiting { ieee, .. } => Some((target, *ieee)),
                        Target::Going(setting) => Some((target, setting.ieee)),
                        Target::Done(_) => None,
                    })
                    .collect();
                for (target, ieee) in ieees {
                    self.end(core, now, (job, target), ieee, Err(down.clone()));
                }
            }
            Err(_) => {
                // The stick would not; each is told by itself.
                going.multicast = None;
                self.line_up(core, now, job);
                self.settle(core, job);
            }
        }
    }

    /// The device has said something.
    pub fn said(&mut self, core: &mut Core, now: Instant, ieee: Ieee, changes: &Map<String, Value>) {
        // More than one where a multicast overtook a setting.
        let going: Vec<(u64, u16)> = self.lanes.get(&ieee).into_iter().flatten().copied().collect();
        for (job, target) in going {
            let place = self.jobs.get_mut(&job).and_then(|job| job.targets.get_mut(usize::from(target)));
            if let Some(Target::Going(setting)) = place {
                setting.said(changes);
                if let Some(end) = setting.judge(now) {
                    self.end(core, now, (job, target), ieee, end);
                }
            }
        }
    }

    fn end(&mut self, core: &mut Core, now: Instant, (job, target): (u64, u16), ieee: Ieee, end: End) {
        if let Some(place) = self.jobs.get_mut(&job).and_then(|job| job.targets.get_mut(usize::from(target))) {
            *place = Target::Done(end);
        }
        // What it did not need any more is not asked.
        core.queue.cancel(|owner| is_of(owner, job, target));
        self.go(core, now, ieee);
        self.settle(core, job);
    }

    /// Answers when all targets have ended.
    fn settle(&mut self, core: &mut Core, job: u64) {
        let is_over = |going: &Job| going.targets.iter().all(|target| matches!(target, Target::Done(_)));
        if !self.jobs.get(&job).is_some_and(is_over) {
            return;
        }
        if let Some(Job { id, targets, .. }) = self.jobs.remove(&job) {
            let ends = targets.into_iter().filter_map(|target| match target {
                Target::Done(end) => Some(end),
                Target::Waiting { .. } | Target::Going(_) => None,
            });
            core.answer(id, Ok(Reply::Set(ends.collect())));
        }
    }

    /// The device is gone.
    pub fn forget(&mut self, core: &mut Core, now: Instant, ieee: Ieee) {
        for (job, target) in self.lanes.remove(&ieee).unwrap_or_default() {
            let gone = ErrorBody::new(ErrorCode::DeviceUnreachable, "it has left the network");
            self.end(core, now, (job, target), ieee, Err(gone));
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let places = self.jobs.values().flat_map(|job| &job.targets);
        places
            .filter_map(|place| match place {
                Target::Going(setting) => Some(setting.poll_timeout()),
                Target::Waiting { .. } | Target::Done(_) => None,
            })
            .min()
    }

    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        let due: Vec<(u64, u16)> = self
            .jobs
            .iter()
            .flat_map(|(job, going)| (0u16..).zip(&going.targets).map(move |(target, place)| (*job, target, place)))
            .filter(|(_, _, place)| matches!(place, Target::Going(setting) if setting.poll_timeout() <= now))
            .map(|(job, target, _)| (job, target))
            .collect();
        for (job, target) in due {
            let place = self.jobs.get_mut(&job).and_then(|job| job.targets.get_mut(usize::from(target)));
            if let Some(Target::Going(setting)) = place {
                let ieee = setting.ieee;
                if let Some(end) = setting.handle_timeout(core, now) {
                    self.end(core, now, (job, target), ieee, end);
                }
            }
        }
    }
}

fn is_of(owner: &Owner, job: u64, target: u16) -> bool {
    matches!(owner, Owner::Set { job: its_job, target: its_target, .. } if (*its_job, *its_target) == (job, target))
}

fn planned(core: &Core, ieee: Ieee, set: &Map<String, Value>) -> Target {
    let refused = |code, message: String| Target::Done(Err(ErrorBody::new(code, message)));
    let Some(device) = core.table.get(ieee) else {
        return refused(ErrorCode::NotFound, format!("there is no device {ieee}"));
    };
    if !device.interviewed {
        return refused(ErrorCode::Unsupported, "it has not told yet what it is".to_owned());
    }
    match device.definition.encode(&device.identity, set, &device.memory) {
        Ok(plan) if plan.commands.is_empty() => Target::Done(Ok(Map::new())),
        Ok(plan) => Target::Waiting { ieee, plan },
        Err(refusal @ Refusal::Unknown(_)) => refused(ErrorCode::Unsupported, refusal.to_string()),
        Err(refusal @ Refusal::Value { .. }) => refused(ErrorCode::BadRequest, refusal.to_string()),
    }
}

/// One message for all, where all are told the same, all that is wished can be read back, and all are in the group.
fn multicast(core: &Core, group: GroupId, targets: &[Target]) -> Option<Multicast> {
    let plans: Vec<(Ieee, &Plan)> = targets
        .iter()
        .filter_map(|target| match target {
            Target::Waiting { ieee, plan } => Some((*ieee, plan)),
            Target::Going(_) | Target::Done(_) => None,
        })
        .collect();
    let (_, first) = plans.first()?;
    let is_fit = |ieee: Ieee, plan: &Plan| {
        let device = core.table.get(ieee);
        // With this endpoint and no other: a switch of two gangs would turn both.
        let in_group = |endpoint: Endpoint| {
            device.is_some_and(|device| {
                let mut ours = device.groups.iter().filter(|(its, _)| *its == group).map(|(_, endpoint)| *endpoint);
                ours.next() == Some(endpoint)
                    && ours.next().is_none()
                    && device.endpoints_with(GROUPS).any(|own| own == endpoint)
            })
        };
        plan.commands.len() == first.commands.len()
            && !plan.reads.is_empty()
            && plan.expect.iter().all(|expected| matches!(expected.value, Expect::Value { .. }))
            && plan.commands.iter().zip(&first.commands).all(|(command, first)| {
                let same = (command.cluster, command.maker, &command.body) == (first.cluster, first.maker, &first.body);
                same && matches!(command.body, Body::Cluster { .. }) && in_group(command.endpoint)
            })
    };
    let ieees: BTreeSet<Ieee> = plans.iter().map(|(ieee, _)| *ieee).collect();
    if ieees.len() < MULTICAST_FROM
        || ieees.len() < plans.len()
        || !plans.iter().all(|(ieee, plan)| is_fit(*ieee, plan))
    {
        return None;
    }
    let commands: Option<Vec<Zcl>> = first
        .commands
        .iter()
        .map(|command| Zcl::of(command).ok().map(|zcl| Zcl { endpoint: Endpoint(0xff), ..zcl.quiet() }))
        .collect();
    Some(Multicast { group, commands: commands?, sent: 0 })
}
