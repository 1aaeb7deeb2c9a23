//! Commands and questions to devices: one at a time for each device, a multicast for a whole group where Zigbee2MQTT has it.
//! When one is done is `evidence`'s to say.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bridge::Bridge;
use super::device::Device;
use super::evidence::{Due, Failing, SET, Watch, Way};
use super::order::{Command, Task};
use super::out::{Answer, Now, Out, Ticket};
use super::refusal::body;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::home::{DeviceId, SetDone};

/// Commands that wait for one device; a slider that is drawn makes some 10 a second, and each takes some 20 ms.
const COMMANDS_MAX: usize = 16;

/// Devices set at once.
const TARGETS_MAX: usize = 512;

impl Bridge {
    /// Answered by [`Answer::Set`], with one result for each target.
    pub fn set(
        &mut self,
        ticket: Ticket,
        targets: &[DeviceId],
        set: &Map<String, Value>,
        group: Option<u16>,
        now: Now,
    ) {
        let refusal = if set.is_empty() {
            Some(body(ErrorCode::BadRequest, "there is nothing to be set"))
        } else if targets.len() > TARGETS_MAX {
            Some(body(ErrorCode::BadRequest, format!("at most {TARGETS_MAX} devices at once")))
        } else {
            (!self.is_up()).then(|| self.down())
        };
        if let Some(why) = refusal {
            let all = targets.iter().map(|_| Err(why.clone())).collect();
            return self.out.push_back(Out::Answer(ticket, Answer::Set(all)));
        }
        self.batches.insert(ticket, targets.iter().map(|_| None).collect());
        match group.filter(|group| self.is_multicast(*group, targets, set)) {
            Some(group) => self.set_group(ticket, group, targets, set, now),
            None => {
                for (slot, id) in targets.iter().enumerate() {
                    let task = Task::Set { slot, set: set.clone() };
                    self.enqueue(ticket, id, task, now);
                }
            }
        }
        self.answer_batch(ticket);
    }

    /// Answered by [`Answer::Read`].
    pub fn read(&mut self, ticket: Ticket, id: &DeviceId, properties: Vec<Box<str>>, now: Now) {
        if self.is_up() {
            self.enqueue(ticket, id, Task::Read { properties }, now);
        } else {
            let why = self.down();
            self.out.push_back(Out::Answer(ticket, Answer::Read(Err(why))));
        }
    }

    /// Whether one multicast does: Zigbee2MQTT's group has these members and no others, and each can be asked afterwards
    /// whether it has done it, for a multicast is confirmed by nobody.
    fn is_multicast(&self, group: u16, targets: &[DeviceId], set: &Map<String, Value>) -> bool {
        let members: BTreeSet<&DeviceId> = targets.iter().collect();
        let is_answerable = |device: &Device| {
            let aims = || {
                let capabilities = device.listed.info.capabilities.iter();
                capabilities.filter(|capability| capability.reported && set.contains_key(&*capability.property))
            };
            device.commands.is_empty()
                && !device.listed.is_disabled
                && !device.listed.is_tuya
                && aims().next().is_some()
                && aims().all(|capability| capability.readable && capability.endpoint.is_none())
        };
        targets.len() > 1
            && self.groups.get(&group).is_some_and(|group| group.members.iter().eq(members.iter().copied()))
            && targets.iter().all(|id| self.devices.get(id).is_some_and(is_answerable))
    }

    fn set_group(&mut self, ticket: Ticket, group: u16, targets: &[DeviceId], set: &Map<String, Value>, now: Now) {
        let name = self.groups[&group].topic.clone();
        let topic = self.topic(&name, "set");
        self.publish(topic, &Value::Object(set.clone()));
        for (slot, id) in targets.iter().enumerate() {
            let device = self.devices.get_mut(id).expect("a multicast is for known devices");
            let watch = Some(Watch::set(device.believed(), set, Way::Multicast, now.at));
            device.commands.push_back(Command { ticket, task: Task::Member { slot, group }, asked_at: now.at, watch });
        }
    }

    fn enqueue(&mut self, ticket: Ticket, id: &DeviceId, task: Task, now: Now) {
        let command = Command { ticket, task, asked_at: now.at, watch: None };
        let refusal = match self.devices.get_mut(id) {
            None => body(ErrorCode::NotFound, format!("Zigbee2MQTT has no device {id}")),
            Some(device) if device.listed.is_disabled => {
                body(ErrorCode::Unsupported, format!("{} is disabled in Zigbee2MQTT", device.name()))
            }
            Some(device) if device.has_nothing_of(&command) => {
                body(ErrorCode::Unsupported, format!("{} has no such property", device.name()))
            }
            Some(device) if device.commands.len() >= COMMANDS_MAX => {
                body(ErrorCode::Timeout, format!("too much waits for {} already", device.name()))
            }
            Some(device) => {
                device.commands.push_back(command);
                return self.command_next(id, now);
            }
        };
        self.ended(command, Err(refusal));
    }

    /// Begins what is first and has not begun.
    pub(super) fn command_next(&mut self, id: &DeviceId, now: Now) {
        while let Some(device) = self.devices.get_mut(id)
            && device.commands.front().is_some_and(|command| command.watch.is_none())
            && let Some(mut command) = device.commands.pop_front()
        {
            let name = device.name().to_owned();
            if now.at >= command.asked_at + SET {
                let why = body(ErrorCode::Timeout, format!("{name} was busy with earlier commands"));
                self.ended(command, Err(why));
                continue;
            }
            match &command.task {
                Task::Set { set, .. } => {
                    command.watch = Some(Watch::set(device.believed(), set, Way::Unicast, now.at));
                    let payload = Value::Object(set.clone());
                    device.commands.push_front(command);
                    let topic = self.topic(&id.0, "set");
                    self.publish(topic, &payload);
                }
                Task::Read { properties } => {
                    command.watch = Watch::read(device.believed(), properties, now.at);
                    if command.watch.is_none() {
                        let why = body(
                            ErrorCode::Unsupported,
                            format!("{name} cannot be asked for that; it tells it by itself"),
                        );
                        self.ended(command, Err(why));
                        continue;
                    }
                    device.commands.push_front(command);
                }
                Task::Member { .. } => unreachable!("a multicast's watches are there from the beginning"),
            }
            self.command_due(id, now);
        }
    }

    /// Looks at all that may have something to do.
    pub(super) fn commands_due(&mut self, now: Now) {
        let is_due = |device: &Device| device.commands.front().is_some_and(|command| command.wakes_at() <= now.at);
        let due: Vec<_> = self.devices.iter().filter(|(_, device)| is_due(device)).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.command_due(&id, now);
            self.command_next(&id, now);
        }
    }

    fn command_due(&mut self, id: &DeviceId, now: Now) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let (name, is_away) = (device.name().to_owned(), device.is_away());
        let Some(watch) = device.commands.front_mut().and_then(|command| command.watch.as_mut()) else { return };
        match watch.due(&name, is_away, now.at) {
            Due::Nothing => {}
            Due::Ask(properties) => {
                let question: Map<String, Value> =
                    properties.into_iter().map(|property| (property.into(), "".into())).collect();
                let topic = self.topic(&id.0, "get");
                self.publish(topic, &Value::Object(question));
            }
            Due::End(result) => {
                let command = device.commands.pop_front().expect("it was there");
                self.ended(command, result);
            }
        }
    }

    /// A device's state was published, before it is taken over as what is known.
    pub(super) fn command_published(
        &mut self,
        id: &DeviceId,
        state: &Map<String, Value>,
        changes: &Map<String, Value>,
        now: Now,
    ) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let Some(mut command) = device.commands.pop_front() else { return };
        let (known, is_whole) = (&device.listed.info.state, device.is_whole);
        let changed: Vec<&str> =
            changes.keys().map(String::as_str).filter(|key| is_whole || known.contains_key(*key)).collect();
        if command.watch.as_mut().is_some_and(|watch| watch.published(device.believed(), state, &changed, now.at)) {
            let result = command.watch.take().map_or(Ok(Map::new()), Watch::result);
            self.ended(command, result);
        } else {
            device.commands.push_front(command);
        }
    }

    /// Zigbee2MQTT has published the group: what it was sent is sent.
    pub(super) fn group_published(&mut self, group: u16, now: Now) {
        for device in self.devices.values_mut() {
            if let Some(Command { task: Task::Member { group: of, .. }, watch: Some(watch), .. }) =
                device.commands.front_mut()
                && *of == group
            {
                watch.group_published(now.at);
            }
        }
    }

    /// Its log says that a command or a question failed.
    pub(super) fn command_failed(&mut self, id: &DeviceId, is_get: bool, why: &ErrorBody, now: Now) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let Some(watch) = device.commands.front_mut().and_then(|command| command.watch.as_mut()) else { return };
        let failing = if is_get { watch.question_failed(why) } else { watch.command_failed(why, now.at) };
        if failing == Failing::Goes {
            return;
        }
        let mut command = device.commands.pop_front().expect("it was there");
        let result = command.watch.take().map_or(Ok(Map::new()), Watch::result);
        self.ended(command, if failing == Failing::IsDone { result } else { Err(why.clone()) });
        self.command_next(id, now);
    }

    /// The same for what a group was sent.
    pub(super) fn multicast_failed(&mut self, name: &str, why: &ErrorBody, now: Now) {
        let Some(failed) = self.groups.values().find(|group| &*group.topic == name).map(|group| group.id) else {
            return;
        };
        let is_of = |device: &Device| {
            let task = device.commands.front().map(|command| &command.task);
            matches!(task, Some(Task::Member { group, .. }) if *group == failed)
        };
        let ids: Vec<_> = self.devices.iter().filter(|(_, device)| is_of(device)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let command =
                self.devices.get_mut(&id).and_then(|device| device.commands.pop_front()).expect("it was there");
            self.ended(command, Err(why.clone()));
            self.command_next(&id, now);
        }
    }

    /// All that is under way for a device, and all that waits.
    pub(super) fn fail_commands(&mut self, id: &DeviceId, why: &ErrorBody) {
        let commands = self.devices.get_mut(id).map(|device| std::mem::take(&mut device.commands));
        for command in commands.into_iter().flatten() {
            self.ended(command, Err(why.clone()));
        }
    }

    fn ended(&mut self, command: Command, result: Result<Map<String, Value>, ErrorBody>) {
        match command.task {
            Task::Read { .. } => self.out.push_back(Out::Answer(command.ticket, Answer::Read(result))),
            Task::Set { slot, .. } | Task::Member { slot, .. } => {
                if let Some(place) = self.batches.get_mut(&command.ticket).and_then(|batch| batch.get_mut(slot)) {
                    *place = Some(result.map(|state| SetDone { state }));
                }
                self.answer_batch(command.ticket);
            }
        }
    }

    /// Answers a ticket whose targets have all ended.
    fn answer_batch(&mut self, ticket: Ticket) {
        if !self.batches.get(&ticket).is_some_and(|batch| batch.iter().all(Option::is_some)) {
            return;
        }
        if let Some(batch) = self.batches.remove(&ticket) {
            let results = batch.into_iter().flatten().collect();
            self.out.push_back(Out::Answer(ticket, Answer::Set(results)));
        }
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
