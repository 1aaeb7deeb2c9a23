//! Setting properties of one device: its commands one after the other, what it says meanwhile, and the end of it. Done is only
//! what the device has confirmed; everything else is a failure with its reason.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::definitions::{Expect, Plan};
use crate::zigbee::network::core::{Core, REPEATS, trouble};
use crate::zigbee::network::evidence::{Evidence, Verdict, is_near};
use crate::zigbee::network::exchange::{Answer, Failure, Message, To, Wants, Zcl};
use crate::zigbee::network::job::{Owner, SetPart};
use crate::zigbee::network::queue::{Ask, Priority};
use crate::zigbee::types::Ieee;
use crate::zigbee::zcl::foundation::General;
use crate::zigbee::zcl::status::Status;

/// A device that has taken a command has so long to be what it was told to be, besides the time that the command itself names.
const SETTLE: Duration = Duration::from_secs(6);

/// One that has not answered the command for seconds is given no more than this to say how it is.
const UNSURE_SETTLE: Duration = Duration::from_secs(3);

/// A movement that takes longer than this is not waited for: that it was begun is confirmed, and no more is claimed.
const MOVE_MAX: Duration = Duration::from_secs(10);

/// Before it is read again when it said otherwise: lamps fade although nobody told them to.
const READ_AGAIN: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1500),
];

/// What was said to many at once has so long to show in each; then the device is told by itself.
const MULTICAST_SETTLE: Duration = Duration::from_millis(1200);

/// How a setting ends.
pub type End = Result<Map<String, Value>, ErrorBody>;

pub struct Setting {
    pub ieee: Ieee,
    job: u64,
    target: u16,
    plan: Plan,
    /// Commands that it has taken.
    taken: usize,
    /// The last command's fate is unknown: it was delivered and not answered. The device's word decides.
    is_unsure: bool,
    /// It was told together with others, and has answered nothing.
    is_multicast: bool,
    evidence: Evidence,
    /// Of reads: answers to those of earlier rounds are heard, and open nothing.
    round: u16,
    open_reads: u16,
    /// A read of this round failed for good.
    read_failure: Option<Failure>,
    read_at: Option<Instant>,
    deadline: Instant,
    /// What it last said of what is expected, before all this.
    was_so: bool,
}

impl Setting {
    /// Sends the first command.
    pub fn start(core: &mut Core, now: Instant, ieee: Ieee, (job, target): (u64, u16), plan: Plan) -> Setting {
        let mut setting = Setting::new(core, now, ieee, (job, target), plan);
        setting.command(core, now);
        setting
    }

    /// All its commands have gone to a group that it is in: reads what came of it.
    pub fn after_multicast(
        core: &mut Core,
        now: Instant,
        ieee: Ieee,
        (job, target): (u64, u16),
        plan: Plan,
    ) -> Setting {
        let mut setting = Setting::new(core, now, ieee, (job, target), plan);
        setting.is_multicast = true;
        setting.taken = setting.plan.commands.len();
        let lasts = setting.plan.lasts.min(MOVE_MAX);
        setting.deadline = now + lasts + MULTICAST_SETTLE;
        if lasts.is_zero() {
            setting.read(core, now);
        } else {
            setting.read_at = Some(now + lasts);
        }
        setting
    }

    fn new(core: &Core, now: Instant, ieee: Ieee, (job, target): (u64, u16), plan: Plan) -> Setting {
        let was_so = core.table.get(ieee).is_some_and(|device| {
            plan.expect.iter().all(|expected| match &expected.value {
                Expect::Value { value, tolerance } => {
                    let known = device.memory.state.get(&*expected.property);
                    known.is_some_and(|known| is_near(known, value, *tolerance))
                }
                Expect::Any | Expect::Taken { .. } | Expect::Begun { .. } => false,
            })
        });
        let patience = core.patience(ieee, Priority::Person);
        let per_command = u32::try_from(plan.commands.len().max(1)).unwrap_or(1);
        let deadline = now + patience * per_command.min(3) + plan.lasts.min(MOVE_MAX) + SETTLE;
        Setting {
            ieee,
            job,
            target,
            plan,
            taken: 0,
            is_unsure: false,
            is_multicast: false,
            evidence: Evidence::default(),
            round: 0,
            open_reads: 0,
            read_failure: None,
            read_at: None,
            deadline,
            was_so,
        }
    }

    /// Only what is a fact however often it is said may be said again.
    fn is_repeatable(&self) -> bool {
        self.plan.expect.iter().all(|expected| !matches!(expected.value, Expect::Any))
    }

    fn has_taken_all(&self) -> bool {
        self.taken == self.plan.commands.len()
    }

    fn command(&mut self, core: &mut Core, now: Instant) -> Option<End> {
        let command = self.plan.commands.get(self.taken)?;
        let zcl = match Zcl::of(command) {
            Ok(zcl) => zcl,
            Err(error) => return Some(Err(ErrorBody::new(ErrorCode::Internal, error.to_string()))),
        };
        let wants = if command.is_answered { zcl.wants() } else { Wants::Delivery };
        let is_repeatable = self.is_repeatable();
        let part = SetPart::Command(u16::try_from(self.taken).unwrap_or(u16::MAX));
        core.queue.push(
            now,
            Ask {
                to: To::Device(self.ieee),
                message: Message::Zcl(zcl),
                wants,
                priority: Priority::Person,
                within: core.patience(self.ieee, Priority::Person),
                repeats: if is_repeatable { REPEATS } else { 0 },
                is_once: !is_repeatable,
                owner: Owner::Set { job: self.job, target: self.target, part },
            },
        );
        // The read goes right behind the last command and costs no round trip of its own. What it says counts only as far as it
        // can: see `Evidence`. Of a toggle it could be overtaken by the command that it overtook, and say how it was before.
        if is_repeatable && self.taken + 1 == self.plan.commands.len() && self.plan.lasts.is_zero() {
            self.read(core, now);
        }
        None
    }

    fn read(&mut self, core: &mut Core, now: Instant) {
        self.read_at = None;
        self.round = self.round.wrapping_add(1);
        self.open_reads = 0;
        self.read_failure = None;
        for (read, wanted) in (0u16..).zip(&self.plan.reads) {
            let part = SetPart::Read { round: self.round, read };
            let owner = Owner::Set { job: self.job, target: self.target, part };
            core.zcl(now, self.ieee, Zcl::of_read(wanted), Priority::Person, owner);
            self.open_reads += 1;
        }
    }

    /// It has said something, in whatever way.
    pub fn said(&mut self, changes: &Map<String, Value>) {
        let has_taken = self.has_taken_all() && !self.is_unsure && !self.is_multicast;
        self.evidence.add(changes, has_taken);
    }

    /// A command or a read has ended.
    pub fn ended(&mut self, core: &mut Core, now: Instant, part: SetPart, end: Result<Answer, Failure>) -> Option<End> {
        match part {
            SetPart::Command(number) if usize::from(number) == self.taken => self.command_ended(core, now, end),
            SetPart::Read { round, .. } if round == self.round => {
                self.open_reads = self.open_reads.saturating_sub(1);
                match end {
                    Ok(Answer::Status(status)) => {
                        // It cannot be asked: its own reports are all that there can be.
                        tracing::debug!(ieee = %self.ieee, %status, "a read-back was refused");
                    }
                    Ok(_) => {}
                    Err(failure) => self.read_failure = Some(failure),
                }
                self.judge(now)
            }
            SetPart::Command(_) | SetPart::Read { .. } => None,
        }
    }

    fn command_ended(&mut self, core: &mut Core, now: Instant, end: Result<Answer, Failure>) -> Option<End> {
        match end {
            Ok(answer) => {
                if let Some(status) = refusal(&answer) {
                    return Some(Err(ErrorBody::new(
                        ErrorCode::DeviceRejected,
                        format!("the device refused: {status}"),
                    )));
                }
            }
            // Delivered, and its answer is lost or late. It may have done it: it is asked, and its word counts.
            Err(Failure::NoAnswer) if self.is_repeatable() && !self.plan.reads.is_empty() => {
                self.is_unsure = true;
                self.evidence.clear();
            }
            Err(failure) => return Some(Err(trouble(&failure))),
        }
        self.taken += 1;
        if !self.has_taken_all() {
            return self.command(core, now);
        }
        let settle = if self.is_unsure { UNSURE_SETTLE } else { SETTLE };
        self.deadline = now + self.plan.lasts.min(MOVE_MAX) + settle;
        if self.plan.lasts > MOVE_MAX && !self.is_unsure {
            return Some(Ok(self.evidence.state(&self.plan.expect, true)));
        }
        if self.is_unsure || !self.is_repeatable() && self.plan.lasts.is_zero() {
            self.read(core, now);
        } else if !self.plan.lasts.is_zero() {
            self.read_at = Some(now + self.plan.lasts);
        }
        self.judge(now)
    }

    /// What is known by now.
    pub fn judge(&mut self, now: Instant) -> Option<End> {
        if !self.has_taken_all() {
            return None;
        }
        let has_taken = !self.is_unsure && !self.is_multicast;
        match self.evidence.judge(&self.plan.expect, has_taken) {
            Verdict::Confirmed => Some(Ok(self.evidence.state(&self.plan.expect, has_taken))),
            // It tells only what changes, and cannot be asked: what it last said holds, but is not said again.
            Verdict::Open if self.plan.reads.is_empty() && self.was_so && has_taken => {
                Some(Ok(self.evidence.state(&self.plan.expect, true)))
            }
            Verdict::Open | Verdict::Otherwise { .. } => {
                let nothing_runs = self.open_reads == 0 && self.read_at.is_none();
                if nothing_runs && !self.plan.reads.is_empty() && now < self.deadline {
                    let pause = READ_AGAIN[usize::from(self.round.saturating_sub(1)).min(READ_AGAIN.len() - 1)];
                    self.read_at = Some(now + pause);
                }
                None
            }
        }
    }

    pub fn poll_timeout(&self) -> Instant {
        self.read_at.map_or(self.deadline, |at| at.min(self.deadline))
    }

    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) -> Option<End> {
        if self.deadline <= now {
            if self.is_multicast {
                return self.alone(core, now);
            }
            return Some(Err(self.why_not()));
        }
        if self.read_at.is_some_and(|at| at <= now) {
            self.read(core, now);
        }
        None
    }

    /// It does not seem to have heard what was said to all: it is told by itself.
    fn alone(&mut self, core: &mut Core, now: Instant) -> Option<End> {
        self.is_multicast = false;
        self.taken = 0;
        self.evidence.clear();
        self.round = self.round.wrapping_add(1);
        self.open_reads = 0;
        self.read_at = None;
        self.deadline = now + core.patience(self.ieee, Priority::Person) + self.plan.lasts.min(MOVE_MAX) + SETTLE;
        self.command(core, now)
    }

    /// It has taken all, and the next command is for the same device: whether this one may be ended for it.
    pub fn can_yield(&self) -> bool {
        self.has_taken_all()
    }

    fn why_not(&self) -> ErrorBody {
        if !self.has_taken_all() {
            let message = "it did not take the command in time";
            return ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, message) };
        }
        match self.evidence.judge(&self.plan.expect, !self.is_unsure) {
            Verdict::Otherwise { property, says } if self.is_unsure => {
                let message = format!("it did not answer the command, and says that `{property}` is {says}");
                ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, message) }
            }
            Verdict::Otherwise { property, says } => ErrorBody::new(
                ErrorCode::DeviceRejected,
                format!("it took the command, but says that `{property}` is {says}"),
            ),
            Verdict::Open | Verdict::Confirmed => match &self.read_failure {
                Some(failure) => {
                    let ErrorBody { code, message, .. } = trouble(failure);
                    let message = format!("it could not be asked whether it did it: {message}");
                    ErrorBody { retryable: true, ..ErrorBody::new(code, message) }
                }
                None => {
                    let message = "it did not say that it did it";
                    ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, message) }
                }
            },
        }
    }
}

/// What is no success in the answer to a command.
fn refusal(answer: &Answer) -> Option<Status> {
    match answer {
        Answer::Status(status) => Some(*status).filter(|status| !status.is_success()),
        Answer::General(General::WriteRsp(failed)) => {
            failed.iter().map(|(_, status)| *status).find(|status| !status.is_success())
        }
        Answer::General(_) | Answer::Command { .. } | Answer::Delivered | Answer::Zdo(_) => None,
    }
}
