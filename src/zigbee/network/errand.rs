//! Requests that take a few messages and one answer: removing a device, groups, bindings, scenes. An errand ends when all its parts
//! have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::network::core::{Core, REPEATS, trouble};
use crate::zigbee::network::event::{BindWish, Reply, RequestId, SceneWish};
use crate::zigbee::network::exchange::{Answer, Failure, HUB_ENDPOINT, Message, To, Wants, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::map;
use crate::zigbee::network::queue::{Ask, Priority};
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee};
use crate::zigbee::zcl::status::Status;
use crate::zigbee::zdo::{self, Binding, BindingTarget, Response};

/// Requests at once.
const JOBS_MAX: usize = 64;

const GROUPS: ClusterId = ClusterId(0x0004);
const SCENES: ClusterId = ClusterId(0x0005);

/// Commands of the groups cluster (ZCL r8 §3.6.2.3).
const ADD_GROUP: u8 = 0x00;
const GET_MEMBERSHIP: u8 = 0x02;
const REMOVE_GROUP: u8 = 0x03;

/// Of scenes (§3.7.2.4).
const REMOVE_SCENE: u8 = 0x02;
const STORE_SCENE: u8 = 0x04;
const RECALL_SCENE: u8 = 0x05;

/// Group ids that are free to be given (§3.6.2.1: 0 is none, 0xfff8 and above are reserved).
const GROUP_MAX: u16 = 0xfff7;

#[derive(Default)]
pub struct Errands {
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
}

struct Job {
    id: RequestId,
    kind: Kind,
    /// What each part is about; `None`: it has ended.
    parts: Vec<Option<Part>>,
    failure: Option<ErrorBody>,
    found: BTreeSet<(GroupId, Endpoint)>,
    bound: Vec<(Binding, Result<(), ErrorBody>)>,
    rows: Vec<Binding>,
}

enum Kind {
    Remove {
        ieee: Ieee,
        force: bool,
    },
    Regroup,
    Groups {
        ieee: Ieee,
    },
    Bind,
    Bindings,
    /// What each member has said so far.
    Scene(BTreeMap<Ieee, Result<(), ErrorBody>>),
}

enum Part {
    Leave,
    Join {
        ieee: Ieee,
        endpoint: Endpoint,
        group: GroupId,
    },
    Quit {
        ieee: Ieee,
        endpoint: Endpoint,
        group: GroupId,
    },
    Membership {
        endpoint: Endpoint,
    },
    Bind {
        row: Binding,
        undo: bool,
    },
    /// The next page of its table.
    Bindings {
        ieee: Ieee,
    },
    /// `undo`: it is to be forgotten.
    Scene {
        ieee: Ieee,
        undo: bool,
    },
    /// What nobody answers.
    Sent,
}

/// What is to be done beyond the answer.
pub enum After {
    Nothing,
    /// The device has been told to go, or is to be forgotten all the same.
    Forget(Ieee),
}

impl Errands {
    pub fn remove(&mut self, core: &mut Core, now: Instant, id: RequestId, ieee: Ieee, force: bool) {
        if core.table.get(ieee).is_none() {
            core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"))));
            return;
        }
        let leave = zdo::Request::MgmtLeave { ieee, remove_children: false, rejoin: false };
        let owner = |job| Owner::Job { job, part: 0 };
        self.begin(core, id, Kind::Remove { ieee, force }, vec![Part::Leave], |core, job| {
            core.zdo(now, ieee, leave, Priority::Person, owner(job));
        });
    }

    pub fn regroup(&mut self, core: &mut Core, now: Instant, id: RequestId, group: GroupId, members: &[Ieee]) {
        if !(1..=GROUP_MAX).contains(&group.0) {
            core.answer(id, Err(ErrorBody::new(ErrorCode::BadRequest, "a group's number is 1 to 65527")));
            return;
        }
        if let Some(unknown) = members.iter().find(|ieee| core.table.get(**ieee).is_none()) {
            core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {unknown}"))));
            return;
        }
        let (mut parts, mut sends) = (Vec::new(), Vec::new());
        for device in core.table.iter() {
            let ieee = device.ieee();
            let is_wished = members.contains(&ieee);
            for endpoint in device.endpoints_with(GROUPS) {
                let is_in = device.groups.contains(&(group, endpoint));
                let [low, high] = group.0.to_le_bytes();
                if is_wished && !is_in {
                    // Its name is left empty: nobody reads it there.
                    parts.push(Part::Join { ieee, endpoint, group });
                    sends.push((ieee, Zcl::command(endpoint, GROUPS, ADD_GROUP, vec![low, high, 0])));
                } else if !is_wished && is_in {
                    parts.push(Part::Quit { ieee, endpoint, group });
                    sends.push((ieee, Zcl::command(endpoint, GROUPS, REMOVE_GROUP, vec![low, high])));
                }
            }
        }
        self.begin(core, id, Kind::Regroup, parts, |core, job| send_all(core, now, job, sends));
    }

    pub fn groups(&mut self, core: &mut Core, now: Instant, id: RequestId, ieee: Ieee) {
        let Some(device) = core.table.get(ieee) else {
            core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"))));
            return;
        };
        let endpoints: Vec<Endpoint> = device.endpoints_with(GROUPS).collect();
        let parts = endpoints.iter().map(|endpoint| Part::Membership { endpoint: *endpoint }).collect();
        self.begin(core, id, Kind::Groups { ieee }, parts, |core, job| {
            for (part, endpoint) in (0u16..).zip(endpoints) {
                // No group named: all of them.
                let zcl = Zcl::command(endpoint, GROUPS, GET_MEMBERSHIP, vec![0]);
                core.queue.push(
                    now,
                    Ask {
                        to: To::Device(ieee),
                        message: Message::Zcl(zcl),
                        wants: Wants::Command(GET_MEMBERSHIP),
                        priority: Priority::Person,
                        within: core.patience(ieee, Priority::Person),
                        repeats: REPEATS,
                        is_once: false,
                        owner: Owner::Job { job, part },
                    },
                );
            }
        });
    }

    /// One answer for each row, from the device whose row it is.
    pub fn bind(&mut self, core: &mut Core, now: Instant, id: RequestId, wish: &BindWish) {
        let rows = match wish.rows(core) {
            Ok(rows) => rows,
            Err(why) => return core.answer(id, Err(why)),
        };
        let (ieee, undo) = (wish.from, wish.undo);
        let parts = rows.iter().map(|row| Part::Bind { row: *row, undo }).collect();
        self.begin(core, id, Kind::Bind, parts, |core, job| {
            for (part, row) in (0u16..).zip(rows) {
                let request = if undo { zdo::Request::Unbind(row) } else { zdo::Request::Bind(row) };
                core.zdo(now, ieee, request, Priority::Person, Owner::Job { job, part });
            }
        });
    }

    /// The device's own table, page by page.
    pub fn bindings(&mut self, core: &mut Core, now: Instant, id: RequestId, ieee: Ieee) {
        if core.table.get(ieee).is_none() {
            core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"))));
            return;
        }
        self.begin(core, id, Kind::Bindings, vec![Part::Bindings { ieee }], |core, job| {
            let owner = Owner::Job { job, part: 0 };
            core.zdo(now, ieee, zdo::Request::MgmtBind { start: 0 }, Priority::Person, owner);
        });
    }

    /// Storing and removing ask each member; recalling is one multicast, and no claim is made of what came of it.
    pub fn scene(
        &mut self,
        core: &mut Core,
        now: Instant,
        id: RequestId,
        (group, scene, what): (GroupId, u8, SceneWish),
    ) {
        let [low, high] = group.0.to_le_bytes();
        let payload = vec![low, high, scene];
        if what == SceneWish::Recall {
            let zcl = Zcl::command(Endpoint(0xff), SCENES, RECALL_SCENE, payload).quiet();
            self.begin(core, id, Kind::Scene(BTreeMap::new()), vec![Part::Sent], |core, job| {
                core.queue.push(
                    now,
                    Ask {
                        to: To::Group(group),
                        message: Message::Zcl(zcl),
                        wants: Wants::Delivery,
                        priority: Priority::Person,
                        within: crate::zigbee::network::core::PERSON,
                        repeats: 0,
                        is_once: false,
                        owner: Owner::Job { job, part: 0 },
                    },
                );
            });
            return;
        }
        let undo = what == SceneWish::Remove;
        let command = if undo { REMOVE_SCENE } else { STORE_SCENE };
        let (mut parts, mut sends, mut said) = (Vec::new(), Vec::new(), BTreeMap::new());
        for device in core.table.iter() {
            let ieee = device.ieee();
            let is_in = |endpoint: &Endpoint| device.groups.contains(&(group, *endpoint));
            let before = sends.len();
            for endpoint in device.endpoints_with(SCENES).filter(is_in) {
                parts.push(Part::Scene { ieee, undo });
                sends.push((ieee, Zcl::command(endpoint, SCENES, command, payload.clone())));
            }
            if sends.len() == before && device.groups.iter().any(|(of, _)| *of == group) {
                said.insert(ieee, Err(ErrorBody::new(ErrorCode::Unsupported, "the device keeps no scenes")));
            }
        }
        self.begin(core, id, Kind::Scene(said), parts, |core, job| send_all(core, now, job, sends));
    }

    fn begin(
        &mut self,
        core: &mut Core,
        id: RequestId,
        kind: Kind,
        parts: Vec<Part>,
        send: impl FnOnce(&mut Core, u64),
    ) {
        if self.jobs.len() >= JOBS_MAX {
            let error = ErrorBody::new(ErrorCode::RateLimited, "too much is being done at once");
            core.answer(id, Err(ErrorBody { retryable: true, ..error }));
            return;
        }
        let job = self.next_job;
        self.next_job += 1;
        let parts = parts.into_iter().map(Some).collect();
        self.jobs.insert(
            job,
            Job { id, kind, parts, failure: None, found: BTreeSet::new(), bound: Vec::new(), rows: Vec::new() },
        );
        send(core, job);
        if self.jobs[&job].parts.is_empty() {
            // There was nothing to be done.
            self.finish(core, job);
        }
    }

    pub fn ended(
        &mut self,
        core: &mut Core,
        now: Instant,
        (job, number): (u64, u16),
        end: Result<Answer, Failure>,
    ) -> After {
        let Some(going) = self.jobs.get_mut(&job) else { return After::Nothing };
        let place = usize::from(number);
        let Some(part) = going.parts.get_mut(place).and_then(Option::take) else { return After::Nothing };
        let refused =
            |status: String| ErrorBody::new(ErrorCode::DeviceRejected, format!("the device refused: {status}"));
        match (part, end) {
            (Part::Join { ieee, endpoint, group }, Ok(Answer::Status(Status::SUCCESS | Status::DUPLICATE_EXISTS))) => {
                if let Some(device) = core.table.get_mut(ieee) {
                    device.groups.insert((group, endpoint));
                }
                core.show(ieee);
            }
            (Part::Quit { ieee, endpoint, group }, Ok(Answer::Status(Status::SUCCESS | Status::NOT_FOUND))) => {
                if let Some(device) = core.table.get_mut(ieee) {
                    device.groups.remove(&(group, endpoint));
                }
                core.show(ieee);
            }
            (Part::Membership { endpoint }, Ok(Answer::Command { payload, .. })) => {
                // Capacity, count, then the groups.
                let groups = payload.get(2..).unwrap_or_default().chunks_exact(2);
                let count = usize::from(payload.get(1).copied().unwrap_or(0));
                let groups = groups.take(count).map(|pair| GroupId(u16::from_le_bytes([pair[0], pair[1]])));
                going.found.extend(groups.map(|group| (group, endpoint)));
            }
            (Part::Bind { row, undo }, end) => {
                let end = match end {
                    // Undone is undone.
                    Ok(Answer::Zdo(response))
                        if response.status().is_success() || undo && response.status() == zdo::Status::NO_ENTRY =>
                    {
                        Ok(())
                    }
                    Ok(Answer::Zdo(response)) => Err(refused(response.status().to_string())),
                    Ok(_) => Err(refused("it answered something else".into())),
                    Err(failure) => Err(trouble(&failure)),
                };
                going.bound.push((row, end));
            }
            (Part::Scene { ieee, undo }, end) => {
                let end = match end {
                    // Gone is gone.
                    Ok(Answer::Status(status)) if status.is_success() || undo && status == Status::NOT_FOUND => Ok(()),
                    Ok(Answer::Status(status)) => Err(refused(status.to_string())),
                    Ok(_) => Err(refused("it answered something else".into())),
                    Err(failure) => Err(trouble(&failure)),
                };
                // Of a device with several endpoints, one that has not done it counts.
                if let Kind::Scene(said) = &mut going.kind
                    && said.get(&ieee).is_none_or(Result::is_ok)
                {
                    said.insert(ieee, end);
                }
            }
            (Part::Bindings { ieee }, Ok(Answer::Zdo(Response::MgmtBind { page: Some(page), .. }))) => {
                if let Some(start) = map::add(&mut going.rows, page) {
                    going.parts[place] = Some(Part::Bindings { ieee });
                    let owner = Owner::Job { job, part: number };
                    core.zdo(now, ieee, zdo::Request::MgmtBind { start }, Priority::Person, owner);
                }
            }
            (Part::Bindings { .. }, Ok(Answer::Zdo(response))) => {
                let status = response.status();
                going.failure = Some(match status == zdo::Status::NOT_SUPPORTED {
                    true => ErrorBody::new(ErrorCode::Unsupported, "the device does not show its bindings"),
                    false => refused(status.to_string()),
                });
            }
            (Part::Leave, Ok(Answer::Zdo(Response::MgmtLeave { status }))) if !status.is_success() => {
                going.failure = Some(refused(status.to_string()));
            }
            (_, Ok(Answer::Status(status))) if !status.is_success() => {
                going.failure = Some(refused(status.to_string()));
            }
            (_, Ok(_)) => {}
            (_, Err(failure)) => going.failure = Some(trouble(&failure)),
        }
        if going.parts.iter().any(Option::is_some) { After::Nothing } else { self.finish(core, job) }
    }

    /// It has left by its own account: that is as good as its answer.
    pub fn left(&mut self, core: &mut Core, ieee: Ieee) {
        let waits = |job: &Job| matches!(job.kind, Kind::Remove { ieee: other, .. } if other == ieee);
        let jobs: Vec<u64> = self.jobs.iter().filter(|(_, job)| waits(job)).map(|(number, _)| *number).collect();
        for number in jobs {
            if let Some(job) = self.jobs.remove(&number) {
                core.answer(job.id, Ok(Reply::Nothing));
            }
        }
    }

    fn finish(&mut self, core: &mut Core, job: u64) -> After {
        let Some(Job { id, kind, failure, found, bound, rows, .. }) = self.jobs.remove(&job) else {
            return After::Nothing;
        };
        match (kind, failure) {
            (Kind::Remove { ieee, force }, Some(_)) if force => {
                core.answer(id, Ok(Reply::Nothing));
                After::Forget(ieee)
            }
            (_, Some(error)) => {
                core.answer(id, Err(error));
                After::Nothing
            }
            (Kind::Remove { ieee, .. }, None) => {
                core.answer(id, Ok(Reply::Nothing));
                After::Forget(ieee)
            }
            (Kind::Groups { ieee }, None) => {
                let groups: Vec<_> =
                    found.iter().map(|(group, endpoint)| json!({"group": group.0, "endpoint": endpoint.0})).collect();
                if let Some(device) = core.table.get_mut(ieee) {
                    device.groups = found;
                }
                core.persist(ieee);
                core.answer(id, Ok(Reply::Document(json!({ "groups": groups }))));
                After::Nothing
            }
            (Kind::Bind, None) => {
                core.answer(id, Ok(Reply::Bound(bound)));
                After::Nothing
            }
            (Kind::Bindings, None) => {
                core.answer(id, Ok(Reply::Bindings(rows)));
                After::Nothing
            }
            (Kind::Scene(said), None) => {
                core.answer(id, Ok(Reply::Members(said.into_iter().collect())));
                After::Nothing
            }
            (Kind::Regroup, None) => {
                core.answer(id, Ok(Reply::Nothing));
                After::Nothing
            }
        }
    }
}

fn send_all(core: &mut Core, now: Instant, job: u64, sends: Vec<(Ieee, Zcl)>) {
    for (part, (ieee, zcl)) in (0u16..).zip(sends) {
        core.zcl(now, ieee, zcl, Priority::Person, Owner::Job { job, part });
    }
}

/// The binding of an endpoint's cluster to the hub.
pub fn to_hub(from: Ieee, endpoint: Endpoint, cluster: ClusterId, coordinator: Ieee) -> Binding {
    let to = BindingTarget::Device { ieee: coordinator, endpoint: HUB_ENDPOINT };
    Binding { from, endpoint, cluster, to }
}
