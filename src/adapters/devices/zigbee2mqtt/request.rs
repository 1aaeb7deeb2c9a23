//! Requests to Zigbee2MQTT itself (`bridge/request/…`), each answered once (`bridge/response/…`) under its transaction: letting
//! devices in, names, removal, interview, groups, map, backup. What takes several goes on while each is answered `ok`.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::bridge::Bridge;
use super::job::{Finish, Job, Step};
use super::listed::{Group, device_id, is_topic};
use super::out::{Answer, Now, Out, Ticket};
use super::refusal::body;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::home::{
    BindEnd, BindTarget, BindWish, DeviceId, Firmware, KeptScene, KeptSceneWish, Membership, NetworkQuery, PairingWish,
};

/// Requests under way.
const JOBS_MAX: usize = 32;

/// Members of a group.
const MEMBERS_MAX: usize = 256;

/// Groups' numbers in Zigbee; those above are broadcasts.
const GROUP_MAX: u16 = 0xfff7;

/// What answers from Zigbee2MQTT's own memory.
const QUICK: Duration = Duration::from_secs(10);

/// A device has to answer, perhaps by a new route.
const RADIO: Duration = Duration::from_secs(30);

/// A dozen clusters, one after another.
const BIND: Duration = Duration::from_secs(120);

/// Several questions, each tried again.
const INTERVIEW: Duration = Duration::from_secs(120);

/// Each router is asked for its neighbours, one after another; its guide speaks of two minutes.
const MAP: Duration = Duration::from_secs(180);

/// A whole image over the air, in small pieces: some take hours.
const FIRMWARE: Duration = Duration::from_secs(3 * 3600);

/// What is asked of Zigbee2MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Pairing(PairingWish),
    Rename(DeviceId, Box<str>),
    Remove { id: DeviceId, force: bool },
    Interview(DeviceId),
    UpdateFirmware(DeviceId),
    Network(NetworkQuery),
    Regroup(Membership),
    Scene(KeptScene),
    Bind(BindWish),
    Bindings(DeviceId),
}

impl Bridge {
    /// Answered by [`Answer::Request`].
    pub fn request(&mut self, ticket: Ticket, request: Request, now: Now) {
        let answer = match self.steps(request) {
            _ if !self.is_up() => Err(self.down()),
            Err(why) => Err(why),
            Ok(Plan::Known(value)) => Ok(value),
            Ok(Plan::Say(topic, payload)) => {
                self.publish(topic, &payload);
                Ok(Value::Null)
            }
            Ok(Plan::Ask(steps, finish)) if !steps.is_empty() => {
                if self.jobs.len() < JOBS_MAX {
                    return self.step(ticket, steps, finish, now);
                }
                Err(body(ErrorCode::Timeout, "Zigbee2MQTT has too many requests to answer already"))
            }
            Ok(Plan::Ask(..)) => Ok(Value::Null),
        };
        self.out.push_back(Out::Answer(ticket, Answer::Request(answer)));
    }

    fn steps(&self, request: Request) -> Result<Plan, ErrorBody> {
        let known = |id: &DeviceId| match self.devices.contains_key(id) {
            true => Ok(()),
            false => Err(body(ErrorCode::NotFound, format!("Zigbee2MQTT has no device {id}"))),
        };
        let one = |path, payload, within| Ok(Plan::Ask([Step { path, payload, within }].into(), Finish::Nothing));
        match request {
            Request::Pairing(wish) => self.pairing_steps(wish),
            Request::Rename(id, name) => {
                known(&id)?;
                if !is_topic(&name) {
                    let text =
                        format!("{name:?} is no name for a device: no + and #, no / at its ends, at most 256 bytes");
                    return Err(body(ErrorCode::BadRequest, text));
                }
                one("device/rename", json!({ "from": id.0, "to": name }), QUICK)
            }
            Request::Remove { id, force } => {
                known(&id)?;
                one("device/remove", json!({ "id": id.0, "force": force }), RADIO)
            }
            Request::Interview(id) => {
                known(&id)?;
                one("device/interview", json!({ "id": id.0 }), INTERVIEW)
            }
            Request::UpdateFirmware(id) => {
                known(&id)?;
                let step = Step { path: "device/ota_update/update", payload: json!({ "id": id.0 }), within: FIRMWARE };
                Ok(Plan::Ask([step].into(), Finish::Firmware))
            }
            Request::Network(NetworkQuery::Status) => Ok(Plan::Known(self.status())),
            Request::Network(NetworkQuery::Map) => {
                let step = Step { path: "networkmap", payload: json!({ "type": "raw", "routes": true }), within: MAP };
                Ok(Plan::Ask([step].into(), Finish::Map))
            }
            Request::Network(NetworkQuery::Backup) => {
                let step = Step { path: "backup", payload: json!({}), within: RADIO };
                Ok(Plan::Ask([step].into(), Finish::Backup))
            }
            Request::Regroup(wish) => self.group_steps(wish),
            Request::Scene(wish) => {
                let group = self.known_group(wish.group)?;
                let word = match wish.what {
                    KeptSceneWish::Store => "scene_store",
                    KeptSceneWish::Recall => "scene_recall",
                    KeptSceneWish::Remove => "scene_remove",
                };
                Ok(Plan::Say(self.topic(&group.topic, "set"), json!({ word: wish.scene })))
            }
            Request::Bind(wish) => {
                known(&wish.from)?;
                self.bind_step(wish)
            }
            Request::Bindings(id) => {
                known(&id)?;
                Ok(Plan::Known(self.bindings(&id)))
            }
        }
    }

    fn pairing_steps(&self, wish: PairingWish) -> Result<Plan, ErrorBody> {
        if wish.seconds > 254 {
            return Err(body(ErrorCode::BadRequest, "devices may be let in for 254 seconds at once"));
        }
        let mut steps = VecDeque::new();
        if let Some((id, code)) = &wish.install_code {
            let (digits, is_hex) = (id.0.strip_prefix("0x"), code.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let Some(digits) = digits.filter(|digits| digits.len() == 16 && is_hex && code.len() == 36) else {
                let text =
                    "an install code is 16 bytes and their CRC, 36 hexadecimal digits, and belongs to an IEEE address";
                return Err(body(ErrorCode::BadRequest, text));
            };
            let payload = json!({ "value": format!("{digits}|{code}") });
            steps.push_back(Step { path: "install_code/add", payload, within: QUICK });
        }
        let mut payload = json!({ "time": wish.seconds });
        if let Some(via) = &wish.via {
            let device = self.devices.get(via).filter(|device| device.listed.info.is_router);
            if device.is_none() {
                return Err(body(ErrorCode::NotFound, format!("Zigbee2MQTT has no router {via}")));
            }
            payload["device"] = (*via.0).into();
        }
        steps.push_back(Step { path: "permit_join", payload, within: QUICK });
        Ok(Plan::Ask(steps, Finish::Nothing))
    }

    /// From the group as it is to the group as it shall be. One without members is taken away.
    fn group_steps(&self, wish: Membership) -> Result<Plan, ErrorBody> {
        if !(1..=GROUP_MAX).contains(&wish.group) || wish.members.len() > MEMBERS_MAX {
            return Err(body(
                ErrorCode::BadRequest,
                format!("a group is 1 to {GROUP_MAX}, with at most {MEMBERS_MAX} members"),
            ));
        }
        let shall: BTreeSet<&DeviceId> = wish.members.iter().collect();
        if let Some(unknown) = shall.iter().find(|id| !self.devices.contains_key(**id)) {
            return Err(body(ErrorCode::NotFound, format!("Zigbee2MQTT has no device {unknown}")));
        }
        let group = self.groups.get(&wish.group);
        let none = BTreeSet::new();
        let is: BTreeSet<&DeviceId> = group.map_or(&none, |group| &group.members).iter().collect();
        let mut steps = VecDeque::new();
        let number = wish.group.to_string();
        if group.is_none() && !shall.is_empty() {
            let payload = json!({ "friendly_name": format!("hearth_{number}"), "id": wish.group });
            steps.push_back(Step { path: "group/add", payload, within: QUICK });
        }
        let member =
            |path, id: &DeviceId| Step { path, payload: json!({ "group": number, "device": id.0 }), within: RADIO };
        steps.extend(is.difference(&shall).map(|id| member("group/members/remove", id)));
        steps.extend(shall.difference(&is).map(|id| member("group/members/add", id)));
        if group.is_some() && shall.is_empty() {
            steps.push_back(Step { path: "group/remove", payload: json!({ "id": number }), within: RADIO });
        }
        Ok(Plan::Ask(steps, Finish::Nothing))
    }

    fn known_group(&self, number: u16) -> Result<&Group, ErrorBody> {
        let none = || body(ErrorCode::NotFound, format!("Zigbee2MQTT has no group {number}"));
        self.groups.get(&number).ok_or_else(none)
    }

    fn bind_step(&self, wish: BindWish) -> Result<Plan, ErrorBody> {
        let BindWish { from, endpoint, to, clusters, undo } = wish;
        let mut payload = json!({ "from": from.0 });
        match to {
            BindTarget::Hub => payload["to"] = "Coordinator".into(),
            BindTarget::Group(number) => {
                payload["to"] = (*self.known_group(number)?.topic).into();
            }
            BindTarget::Device { id, endpoint } => {
                payload["to"] = (*id.0).into();
                if let Some(endpoint) = endpoint {
                    payload["to_endpoint"] = endpoint.into();
                }
            }
        }
        if let Some(endpoint) = endpoint {
            payload["from_endpoint"] = endpoint.into();
        }
        if !clusters.is_empty() {
            payload["clusters"] = clusters.iter().map(|name| Value::from(&**name)).collect();
        }
        let path = if undo { "device/unbind" } else { "device/bind" };
        Ok(Plan::Ask([Step { path, payload, within: BIND }].into(), Finish::Bind))
    }

    /// As Zigbee2MQTT keeps them.
    fn bindings(&self, id: &DeviceId) -> Value {
        let hub = self.info["coordinator"]["ieee_address"].as_str().and_then(device_id);
        let mut rows = self.devices.get(id).map(|device| device.listed.bound.clone()).unwrap_or_default();
        for row in &mut rows {
            if matches!(&row.to, BindTarget::Device { id, .. } if Some(id) == hub.as_ref()) {
                row.to = BindTarget::Hub;
            }
        }
        serde_json::to_value(rows).expect("rows are words and numbers")
    }

    /// What `bridge/info` says of the network.
    fn status(&self) -> Value {
        let info = &self.info;
        json!({
            "zigbee2mqtt": info["version"],
            "coordinator": info["coordinator"],
            "channel": info["network"]["channel"],
            "pan_id": info["network"]["pan_id"],
            "extended_pan_id": info["network"]["extended_pan_id"],
            "permit_join": info["permit_join"],
            "restart_required": info["restart_required"],
            "devices": self.devices.len(),
            "groups": self.groups.len(),
        })
    }

    /// Asks the first of these.
    fn step(&mut self, ticket: Ticket, mut steps: VecDeque<Step>, finish: Finish, now: Now) {
        let Some(Step { path, mut payload, within }) = steps.pop_front() else { return };
        self.jobs_begun += 1;
        let transaction = format!("{}-{}", self.name, self.jobs_begun);
        payload["transaction"] = transaction.as_str().into();
        let topic = self.topic("bridge/request", path);
        self.publish(topic, &payload);
        self.jobs.push(Job { ticket, steps, path, transaction, deadline: now.at + within, finish });
    }

    /// `bridge/response/…`; those of others' transactions are none of ours.
    pub(super) fn response(&mut self, path: &str, payload: &[u8], now: Now) {
        let Ok(mut response) = serde_json::from_slice::<Value>(payload) else { return };
        if let ("device/rename", Some(from), Some(to)) =
            (path, response["data"]["from"].as_str(), response["data"]["to"].as_str())
        {
            self.renamed(from, to);
        }
        let is_its = |job: &Job| job.path == path && response["transaction"] == *job.transaction;
        let Some(index) = self.jobs.iter().position(is_its) else { return };
        let Job { ticket, steps, finish, .. } = self.jobs.swap_remove(index);
        let answer = if response["status"] != "ok" {
            finish.failed(response["error"].as_str().unwrap_or("the request failed, and it does not say why"))
        } else if steps.is_empty() {
            finish.apply(response["data"].take())
        } else {
            return self.step(ticket, steps, finish, now);
        };
        self.out.push_back(Out::Answer(ticket, Answer::Request(answer)));
    }

    pub(super) fn jobs_due(&mut self, now: Now) {
        for job in self.jobs.extract_if(.., |job| job.deadline <= now.at) {
            let why = body(ErrorCode::Timeout, format!("Zigbee2MQTT has not answered `{}`", job.path));
            self.out.push_back(Out::Answer(job.ticket, Answer::Request(Err(why))));
        }
    }

    pub(super) fn fail_jobs(&mut self, why: &ErrorBody) {
        for job in self.jobs.drain(..) {
            self.out.push_back(Out::Answer(job.ticket, Answer::Request(Err(why.clone()))));
        }
    }
}

/// What the device said of each cluster, of the answer to [`Request::Bind`].
pub fn bind_ends(answer: &Value) -> Vec<BindEnd> {
    let names = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let end = |name: &Value, end: Result<(), ErrorBody>| Some(BindEnd { cluster: name.as_str()?.into(), end });
    let failed = || body(ErrorCode::DeviceRejected, "the device has not taken it; Zigbee2MQTT's log says why");
    let (done, not) = (names("clusters"), names("failed"));
    done.iter()
        .filter_map(|name| end(name, Ok(())))
        .chain(not.iter().filter_map(|name| end(name, Err(failed()))))
        .collect()
}

enum Plan {
    /// Known without asking.
    Known(Value),
    /// Topic and payload of what is not answered.
    Say(String, Value),
    Ask(VecDeque<Step>, Finish),
}

/// What came of new firmware, of the answer to [`Request::UpdateFirmware`].
pub fn firmware(answer: &Value) -> Firmware {
    let to = &answer["to"];
    let version = match (&to["software_build_id"], &to["file_version"]) {
        (Value::String(build), _) => Some(build.as_str().into()),
        (_, Value::Number(version)) => Some(version.to_string().into()),
        _ => None,
    };
    Firmware { updated: answer["updated"] == true, version }
}
