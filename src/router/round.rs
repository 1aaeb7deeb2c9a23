//! The calls of one round: which may be made, which wait for a person's word, which run, and what came of each. Pure: time
//! comes in as an argument, and what is to be done goes out as [`Deed`]s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::chat::{Message, Part, Role, ToolCall, ToolResult};
use crate::common::events::{ToolResultNews, ToolStepNews};
use crate::common::rate::TokenBucket;
use crate::common::time::whole_ms;
use crate::mcp::{Definition, Note};
use crate::router::tools::output::Told;
use crate::router::tools::{CALL_TOOL, Toolbox};

/// Calls of one round. No model needs more at once; one that asks for more has lost its mind.
pub const CALLS_MAX: usize = 32;

/// Calls of one turn that run at once.
pub const CALLS_AT_ONCE: usize = 8;

/// The longest time of one call. Sources have shorter deadlines of their own; this one is for those that forget them.
pub const CALL_MAX: Duration = Duration::from_secs(300);

/// The same call with the same arguments is refused from this time on in one turn: who asks for it again has not read the
/// result.
pub const SAME_CALLS_MAX: u32 = 3;

/// Steps of one call that may be told at once, and how fast the right to more comes back.
const STEPS_BURST: u32 = 32;
const STEP_EVERY: Duration = Duration::from_millis(100);

/// What the driver is to do for a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Make it.
    Call {
        call: u32,
        tool: Box<str>,
        arguments: Map<String, Value>,
    },
    /// Ask a person whether to make it.
    Confirm {
        call: u32,
        tool: Box<str>,
        title: Option<Box<str>>,
        arguments: Map<String, Value>,
    },
    /// Let it be: it has taken too long.
    Stop {
        call: u32,
    },
    Tell(Box<ToolResultNews>),
}

/// How calls are made in a turn.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Somebody is there who can be asked.
    pub confirms: bool,
    pub confirm_within: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Round {
    calls: Vec<Entry>,
    /// The number of its first call in the turn.
    first: u32,
    manners: Manners,
    /// All that was asked for had been asked for too often.
    pub only_repeats: bool,
}

#[derive(Debug)]
struct Entry {
    id: String,
    /// As the model wrote it.
    name: String,
    state: State,
    /// Steps that may be told; made with the first.
    steps: Option<TokenBucket>,
}

#[derive(Debug)]
enum State {
    /// A person is asked, until then.
    Asked {
        until: Instant,
        wish: Wish,
    },
    Waiting(Wish),
    Running {
        since: Instant,
    },
    Done {
        told: Told,
        ms: u64,
    },
}

#[derive(Debug, Clone)]
struct Wish {
    tool: Arc<Definition>,
    arguments: Map<String, Value>,
}

/// How often each call was asked for in a turn.
pub type Made = BTreeMap<(Box<str>, String), u32>;

impl Round {
    /// Looks at each call; those that cannot be made are answered at once.
    pub fn begin(
        calls: &[ToolCall],
        first: u32,
        toolbox: &Toolbox,
        manners: Manners,
        made: &mut Made,
        now: Instant,
    ) -> (Round, Vec<Deed>) {
        let mut round = Round { calls: Vec::with_capacity(calls.len()), first, manners, only_repeats: true };
        let mut deeds = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            let state = round.look_at(at, call, toolbox, made, now, &mut deeds);
            round.calls.push(Entry { id: call.id.clone(), name: call.name.clone(), state, steps: None });
            if let State::Done { .. } = round.calls[at].state {
                deeds.push(round.told(at));
            }
        }
        round.start(now, &mut deeds);
        (round, deeds)
    }

    fn look_at(
        &mut self,
        at: usize,
        call: &ToolCall,
        toolbox: &Toolbox,
        made: &mut Made,
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) -> State {
        let refuse = |why: String| State::Done { told: Told::failed(why), ms: 0 };
        if at >= CALLS_MAX {
            return refuse(format!("not made: {CALLS_MAX} calls at once are the most; make it in the next step"));
        }
        let wish = match wish(call, toolbox) {
            Ok(wish) => wish,
            Err(why) => {
                self.only_repeats = false;
                return refuse(why);
            }
        };
        let count =
            made.entry((wish.tool.name.clone(), Value::Object(wish.arguments.clone()).to_string())).or_default();
        *count += 1;
        if *count >= SAME_CALLS_MAX {
            let why = "not made: this same call was made before with the same arguments, and its result is above. Answer with what \
                       you have, or say what is missing.";
            return refuse(why.into());
        }
        self.only_repeats = false;
        if !wish.tool.annotations.is_destructive() {
            return State::Waiting(wish);
        }
        if !self.manners.confirms {
            let why = format!(
                "not made: {} may destroy something, and nobody can be asked here to confirm it. Tell the user what you would do, and \
                 that it can be done where a confirmation can be shown.",
                wish.tool.name
            );
            return refuse(why);
        }
        deeds.push(Deed::Confirm {
            call: self.first + at as u32,
            tool: wish.tool.name.clone(),
            title: wish.tool.title.as_deref().map(Into::into),
            arguments: wish.arguments.clone(),
        });
        State::Asked { until: now + self.manners.confirm_within, wish }
    }

    /// A person's word; `None`: nobody was there to ask.
    pub fn confirmed(&mut self, call: u32, accept: Option<bool>, now: Instant) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let Some(at) = self.place(call) else { return deeds };
        let State::Asked { wish, .. } = &self.calls[at].state else { return deeds };
        match accept {
            Some(true) => self.calls[at].state = State::Waiting(wish.clone()),
            Some(false) => {
                self.done(at, Told::failed("not made: the user said no. Do not try it again."), 0, &mut deeds)
            }
            None => self.done(at, Told::failed("not made: the user could not be asked to confirm it."), 0, &mut deeds),
        }
        self.start(now, &mut deeds);
        deeds
    }

    /// A call tells how far it is. `None`: it is not to be told, or comes too fast; the next one says more.
    pub fn stepped(&mut self, call: u32, note: Note, now: Instant) -> Option<ToolStepNews> {
        let at = self.place(call)?;
        let Entry { id, name, state: State::Running { .. }, steps } = &mut self.calls[at] else { return None };
        let steps = steps.get_or_insert_with(|| TokenBucket::new(STEPS_BURST, STEP_EVERY, now));
        steps.take(now).then(|| ToolStepNews {
            call_id: id.as_str().into(),
            name: name.as_str().into(),
            done: note.progress,
            total: note.total,
            message: note.message.map(Into::into),
        })
    }

    /// A call has come to its end.
    pub fn called(&mut self, call: u32, told: Told, now: Instant) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let Some(at) = self.place(call) else { return deeds };
        let State::Running { since } = self.calls[at].state else { return deeds };
        self.done(at, told, whole_ms(now - since), &mut deeds);
        self.start(now, &mut deeds);
        deeds
    }

    /// A deadline may have passed.
    pub fn timeout(&mut self, now: Instant) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for at in 0..self.calls.len() {
            match self.calls[at].state {
                State::Asked { until, .. } if until <= now => {
                    let why = format!(
                        "not made: the user did not confirm it within {} s.",
                        self.manners.confirm_within.as_secs()
                    );
                    self.done(at, Told::failed(why), 0, &mut deeds);
                }
                State::Running { since } if since + CALL_MAX <= now => {
                    deeds.push(Deed::Stop { call: self.first + at as u32 });
                    let why = format!("the call took longer than {} s and was stopped.", CALL_MAX.as_secs());
                    self.done(at, Told::failed(why), whole_ms(now - since), &mut deeds);
                }
                _ => {}
            }
        }
        self.start(now, &mut deeds);
        deeds
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry.state {
            State::Asked { until, .. } => Some(until),
            State::Running { since } => Some(since + CALL_MAX),
            State::Waiting(_) | State::Done { .. } => None,
        };
        self.calls.iter().filter_map(due).min()
    }

    /// Whether a person is being asked: then the clock of the turn stands still.
    pub fn is_asking(&self) -> bool {
        self.calls.iter().any(|entry| matches!(entry.state, State::Asked { .. }))
    }

    pub fn is_over(&self) -> bool {
        self.calls.iter().all(|entry| matches!(entry.state, State::Done { .. }))
    }

    /// The turn ends here: what runs is let be, and that it may have been done is kept for the next question.
    pub fn abandon(&mut self) {
        for at in 0..self.calls.len() {
            let why = match self.calls[at].state {
                State::Done { .. } => continue,
                State::Running { .. } => "stopped by the user while it ran: it may or may not have been done.",
                State::Asked { .. } | State::Waiting(_) => "not made: the user stopped the answer before.",
            };
            self.calls[at].state = State::Done { told: Told::failed(why), ms: 0 };
        }
    }

    /// What a model reads of it, in the order of the calls.
    pub fn into_message(self) -> Message {
        let (mut parts, mut pictures) = (Vec::new(), Vec::new());
        for Entry { id, name, state, .. } in self.calls {
            let State::Done { told, .. } = state else { unreachable!("a round is over before it is read") };
            let Told { text, pictures: seen, is_error, .. } = told;
            parts.push(Part::ToolResult(ToolResult { call_id: id, name, content: text, is_error }));
            pictures.extend(seen.into_iter().map(Part::Image));
        }
        parts.append(&mut pictures);
        Message { role: Role::Tool, parts }
    }

    fn place(&self, call: u32) -> Option<usize> {
        let at = call.checked_sub(self.first)? as usize;
        (at < self.calls.len()).then_some(at)
    }

    fn done(&mut self, at: usize, told: Told, ms: u64, deeds: &mut Vec<Deed>) {
        self.calls[at].state = State::Done { told, ms };
        deeds.push(self.told(at));
    }

    fn told(&self, at: usize) -> Deed {
        let Entry { id, name, state, .. } = &self.calls[at];
        let State::Done { told, ms } = state else { unreachable!("it is told when it is done") };
        Deed::Tell(Box::new(ToolResultNews {
            call_id: id.as_str().into(),
            name: name.as_str().into(),
            text: told.text.as_str().into(),
            is_error: told.is_error,
            ms: *ms,
            structured: told.structured.clone(),
        }))
    }

    /// Starts what there is room for.
    fn start(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        let mut running = self.calls.iter().filter(|entry| matches!(entry.state, State::Running { .. })).count();
        for (at, entry) in self.calls.iter_mut().enumerate() {
            if running >= CALLS_AT_ONCE {
                return;
            }
            let State::Waiting(Wish { tool, arguments }) = &mut entry.state else { continue };
            let (tool, arguments) = (tool.name.clone(), std::mem::take(arguments));
            deeds.push(Deed::Call { call: self.first + at as u32, tool, arguments });
            entry.state = State::Running { since: now };
            running += 1;
        }
    }
}

/// What a call means; the error is for the model.
fn wish(call: &ToolCall, toolbox: &Toolbox) -> Result<Wish, String> {
    let tool = toolbox.find(&call.name).map_err(|unknown| unknown.0)?;
    let arguments = arguments(&call.arguments)?;
    // What is called through another tool is that tool: it is named, asked about and counted as such.
    if *tool.name == *CALL_TOOL {
        let Some(name) = arguments.get("name").and_then(Value::as_str) else {
            return Err(format!("not made: {CALL_TOOL} wants the name of a tool, as a text."));
        };
        let tool = toolbox.find(name).map_err(|unknown| unknown.0)?;
        if *tool.name == *CALL_TOOL {
            return Err(format!("not made: {CALL_TOOL} does not call itself. Name the tool that is meant."));
        }
        let arguments = match arguments.get("arguments") {
            Some(Value::Object(inner)) => inner.clone(),
            Some(Value::String(text)) => self::arguments(text)?,
            _ => Map::new(),
        };
        return Ok(Wish { tool: tool.clone(), arguments });
    }
    Ok(Wish { tool: tool.clone(), arguments })
}

/// The arguments as an object; some models write it into a string once more.
fn arguments(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(Value::String(inner)) if inner.trim_start().starts_with('{') => arguments_within(&inner),
        Ok(_) => Err("not made: the arguments are no JSON object. Call it again with an object.".into()),
        Err(error) => {
            Err(format!("not made: the arguments are no valid JSON ({error}). Call it again with a JSON object."))
        }
    }
}

fn arguments_within(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| {
        format!(
            "not made: the arguments are a string with no valid JSON in it ({error}). Call it again with a JSON object."
        )
    })
}
