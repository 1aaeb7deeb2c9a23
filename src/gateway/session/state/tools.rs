//! Tools in a session: those that its client calls, those that a model calls while it answers, and the word of the user
//! that some of them wait for. Runs none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::chat::ToolCallDelta;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::{ConfirmNews, ToolResultNews, ToolStepNews};
use crate::common::rate::TokenBucket;
use crate::common::time::whole_ms;
use crate::gateway::session::called::{Called as Kept, KeptCall, KeptResult};
use crate::gateway::session::elicit::{ANSWER_WITHIN, Question};
use crate::gateway::session::report::Report;
use crate::gateway::session::requests::{End, Kind, OwnCall, RESULT};
use crate::gateway::session::state::asks::{Wish, Work};
use crate::gateway::session::state::{Session, map};
use crate::gateway::session::wire::{
    self, AnswerAction, Chunk, ChunkType, ConfirmAsk, ConfirmMetadata, ElicitAsk, ElicitMetadata, Status, Step,
    StepMetadata, ToolCallMetadata, ToolCallPiece, ToolMetadata, ToolResult, ToolResultHead, ToolResultMetadata,
};
use crate::mcp::{Fault, Note, Outcome, ToolOutput};
use crate::router::TurnKey;

/// The longest name of a tool that may be asked for, bytes. No tool's is as long.
const NAME_BYTES_MAX: usize = 128;

/// The longest result, bytes of JSON: with all else in it the message is below 1 MiB, where many clients stop.
pub const RESULT_BYTES_MAX: usize = 768 * 1024;

/// The longest text or structured result of a model's call that is shown, bytes. The model has read what it was given.
const SHOWN_BYTES_MAX: usize = 256 * 1024;

/// The longest arguments that a user can be asked about, bytes of JSON. Nobody reads more.
const ASKED_BYTES_MAX: usize = 64 * 1024;

/// The longest words of a step or of an error that somebody else wrote, bytes.
const WORDS_BYTES_MAX: usize = 4 * 1024;

/// Steps of one call that may be told at once, and how fast the right to more comes back.
const STEPS_BURST: u32 = 32;
const STEP_EVERY: Duration = Duration::from_millis(100);

/// Questions that wait for the user at once.
const CONFIRMS_MAX: usize = 64;

/// A call that a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub tool: Box<str>,
    pub arguments: Map<String, Value>,
    /// Whether the client can be asked something back.
    pub can_answer: bool,
}

/// The questions that wait for the user, by their ids.
pub(super) type Confirming = BTreeMap<Box<str>, (TurnKey, ConfirmNews)>;

/// What tools ask back, by its ids.
pub(super) type Asking = BTreeMap<Box<str>, (TurnKey, Question)>;

impl Session {
    // Called by the client.

    pub(super) fn tool(&mut self, now: Instant, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        if self.version < 2 {
            self.needs_v2(frame);
            return Ok(());
        }
        let wire::Tool { name, arguments } = wire::payload(frame)?;
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
            return Err(format!("payload.name: {:?} is no name of a tool", wire::shown(&name)));
        }
        let can_answer = self.elicits;
        let called = Called { tool: name.into(), arguments: arguments.unwrap_or_default(), can_answer };
        self.ask(now, frame, Wish { kind: Kind::Tool, work: Work::Call(called), named: Vec::new() });
        Ok(())
    }

    pub(super) fn own_call(&self, now: Instant, tool: &str) -> Box<OwnCall> {
        Box::new(OwnCall { tool: tool.into(), steps: TokenBucket::new(STEPS_BURST, STEP_EVERY, now), result_bytes: 0 })
    }

    /// A step of a tool that runs.
    pub fn handle_step(&mut self, now: Instant, key: TurnKey, note: &Note) {
        let Some(call) = self.requests.get_mut(key).and_then(|running| running.call.as_mut()) else { return };
        // The next one says more than this one; and none says as much as the result.
        if !call.steps.take(now) || !note.progress.is_finite() {
            return;
        }
        let message = note.message.as_deref().map(|words| cut(words, WORDS_BYTES_MAX));
        let total = note.total.filter(|total| total.is_finite());
        let step = Step { stage: "tool", call: None, name: None, done: note.progress, total, message };
        self.chunk(key, now, ChunkType::Metadata, None, &wire::metadata(&StepMetadata { progress: step }));
    }

    /// What came of a tool.
    pub fn handle_called(&mut self, now: Instant, key: TurnKey, outcome: Result<Outcome, Fault>) {
        let Some(running) = self.requests.get_mut(key) else { return };
        let total_ms = whole_ms(now.saturating_duration_since(running.asked_at));
        let Some(call) = running.call.as_mut() else { return };
        match outcome {
            Ok(Outcome::Done(output)) => {
                let ToolOutput { content, structured, is_error, .. } = &output;
                let result = ToolResult { content, structured: structured.as_ref(), is_error: *is_error };
                let metadata = wire::metadata(&ToolMetadata { tool: &call.tool, result, total_ms });
                let bytes = metadata.get(RESULT).map_or(0, |result| result.to_string().len());
                if bytes > RESULT_BYTES_MAX {
                    let why = format!(
                        "the result of {} has {bytes} bytes, and a message carries up to {RESULT_BYTES_MAX}: ask it for less \
                         (a page, a shorter range), or call it over REST or MCP",
                        call.tool
                    );
                    return self.never_began(now, key, ErrorBody::new(ErrorCode::TooLarge, why));
                }
                call.result_bytes = bytes;
                self.end(now, key, Report::of_tool(total_ms, output.is_error), End::Complete(metadata));
            }
            Ok(Outcome::InputRequired { .. }) => {
                let why = format!(
                    "{} asks something back, which was not passed on: say hello with the feature elicit, or call it over MCP",
                    call.tool
                );
                self.never_began(now, key, ErrorBody::new(ErrorCode::Unsupported, why));
            }
            Err(Fault { error, .. }) => {
                let message = cut(&error.message, WORDS_BYTES_MAX).to_owned();
                self.never_began(now, key, ErrorBody { message, snapshot: None, ..error });
            }
        }
    }

    /// A tool that runs asks something back.
    pub fn handle_question(&mut self, now: Instant, key: TurnKey, question: Question) {
        let is_short = question.message.len() + question.schema.to_string().len() <= ASKED_BYTES_MAX;
        let can_be_asked = self.version >= 2
            && self.elicits
            && self.requests.is_wanted(key)
            && self.asking.len() < CONFIRMS_MAX
            && is_short;
        let Some(tool) = self.requests.get_mut(key).and_then(|running| running.call.as_ref()).map(|call| &call.tool)
        else {
            return;
        };
        // Dropped, it has no answer, and its tool is told so.
        if can_be_asked {
            let elicit = asked(&question, tool);
            let metadata = wire::metadata(&ElicitMetadata { elicit });
            self.chunk(key, now, ChunkType::Metadata, None, &metadata);
            self.asking.insert(question.elicit_id.clone(), (key, question));
        }
    }

    pub(super) fn answer(&mut self, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        if self.version < 2 {
            self.needs_v2(frame);
            return Ok(());
        }
        let wire::Answer { elicit_id, action, content } = wire::payload(frame)?;
        let id = frame.request_id.as_deref();
        let mut result = map(serde_json::json!({ "action": action }));
        match (action, content) {
            (AnswerAction::Accept, Some(content)) => drop(result.insert("content".into(), content.into())),
            (AnswerAction::Accept, None) => return Err("payload.content: is missing; it goes with accept".into()),
            _ => {}
        }
        let waits =
            self.asking.remove(&*elicit_id).is_some_and(|(_, question)| question.answer.send(result.into()).is_ok());
        if waits {
            self.complete(id, &map(serde_json::json!({ "elicit_id": elicit_id, "action": action })));
        } else {
            let why = "nothing waits for this answer (any more): it may have been given, or its time is over";
            self.error(id, ErrorBody::new(ErrorCode::NotFound, why));
        }
        Ok(())
    }

    // Called by a model.

    pub(super) fn tool_step(&mut self, key: TurnKey, received_at: Instant, news: &ToolStepNews) {
        if self.version < 2 || !self.requests.is_wanted(key) || !news.done.is_finite() {
            return;
        }
        let step = Step {
            stage: "tool",
            call: Some(&news.call_id),
            name: Some(&news.name),
            done: news.done,
            total: news.total.filter(|total| total.is_finite()),
            message: news.message.as_deref().map(|words| cut(words, WORDS_BYTES_MAX)),
        };
        self.chunk(key, received_at, ChunkType::Metadata, None, &wire::metadata(&StepMetadata { progress: step }));
    }

    pub(super) fn tool_call(&mut self, key: TurnKey, received_at: Instant, delta: &ToolCallDelta) {
        if self.version < 2 || !self.requests.is_wanted(key) {
            return;
        }
        let mut index = delta.index;
        self.requests.keep_called(key, |called, room| {
            index = called.index(delta.index);
            called.keep_piece(index, delta, room)
        });
        let (id, name) = (delta.id.as_deref(), delta.name.as_deref());
        let tool_call = ToolCallPiece { index, id, name, arguments: &delta.arguments };
        self.chunk(key, received_at, ChunkType::ToolCall, None, &wire::metadata(&ToolCallMetadata { tool_call }));
    }

    pub(super) fn tool_result(&mut self, key: TurnKey, received_at: Instant, news: &ToolResultNews) {
        if self.version < 2 || !self.requests.is_wanted(key) {
            return;
        }
        self.requests.keep_called(key, |called, _| {
            called.begin_round();
            called.keep_result(news)
        });
        let structured = news.structured.as_ref().filter(|value| value.to_string().len() <= SHOWN_BYTES_MAX);
        let (id, name, is_error, ms) = (&*news.call_id, &*news.name, news.is_error, news.ms);
        let tool_result = ToolResultHead { id, name, is_error, ms, structured };
        let metadata = wire::metadata(&ToolResultMetadata { tool_result });
        self.chunk(key, received_at, ChunkType::ToolResult, Some(cut(&news.text, SHOWN_BYTES_MAX)), &metadata);
    }

    /// Says again what tools were called; gives back how many chunks that took.
    pub(super) fn repeat_calls(&mut self, id: &str, called: Option<&Kept>) -> u64 {
        let mut chunks = 0;
        let mut say = |session: &mut Session, kind, data, metadata: Map<String, Value>| {
            let chunk = Chunk { kind, data, index: Some(chunks), metadata: &metadata };
            session.send(Some(id), Status::Chunk, Some(chunk), None, None);
            chunks += 1;
        };
        for call in called.map(Kept::calls).unwrap_or_default() {
            let KeptCall { index, id, name, arguments, .. } = call;
            let tool_call = ToolCallPiece { index: *index, id: id.as_deref(), name: name.as_deref(), arguments };
            say(self, ChunkType::ToolCall, None, wire::metadata(&ToolCallMetadata { tool_call }));
            if let Some(KeptResult { text, is_error, ms }) = &call.result {
                let (id, name) = (id.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default());
                let tool_result = ToolResultHead { id, name, is_error: *is_error, ms: *ms, structured: None };
                say(self, ChunkType::ToolResult, Some(text), wire::metadata(&ToolResultMetadata { tool_result }));
            }
        }
        chunks
    }

    // The word of the user.

    pub(super) fn ask_to_confirm(&mut self, key: TurnKey, received_at: Instant, news: ConfirmNews) {
        let can_be_asked = self.version >= 2
            && self.confirms
            && self.requests.is_wanted(key)
            && self.confirming.len() < CONFIRMS_MAX
            && news.arguments.to_string().len() <= ASKED_BYTES_MAX;
        if !can_be_asked {
            // Nobody who could say yes has seen it.
            news.answer.answer(false);
            return;
        }
        let metadata = wire::metadata(&ConfirmMetadata { confirm: question(&news) });
        self.chunk(key, received_at, ChunkType::Metadata, None, &metadata);
        if let Some((_, before)) = self.confirming.insert(news.confirm_id.clone(), (key, news)) {
            before.answer.answer(false);
        }
    }

    pub(super) fn confirm(&mut self, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        if self.version < 2 {
            self.needs_v2(frame);
            return Ok(());
        }
        let wire::Confirm { confirm_id, accept } = wire::payload(frame)?;
        let id = frame.request_id.as_deref();
        let waits = self.confirming.remove(&*confirm_id).is_some_and(|(_, news)| news.answer.answer(accept));
        if waits {
            let metadata = map(serde_json::json!({ "confirm_id": confirm_id, "accepted": accept }));
            self.complete(id, &metadata);
        } else {
            let why = "nothing waits for this word (any more): it may have been given, or its time is over";
            self.error(id, ErrorBody::new(ErrorCode::NotFound, why));
        }
        Ok(())
    }

    /// A request has ended or is not wanted: nobody can say yes to what it asked.
    pub(super) fn void_confirms(&mut self, key: TurnKey) {
        self.confirming.retain(|_, (of, news)| {
            let stays = *of != key;
            if !stays {
                news.answer.answer(false);
            }
            stays
        });
        self.asking.retain(|_, (of, _)| *of != key);
    }

    /// The questions of a running request that wait, for a client that may have lost them.
    pub(super) fn questions(&self, request_id: &str) -> Vec<Value> {
        let Some(key) = self.requests.key_of(request_id) else { return Vec::new() };
        let mine = self.confirming.values().filter(|(of, _)| *of == key);
        mine.map(|(_, news)| serde_json::to_value(question(news)).expect("texts and JSON")).collect()
    }

    /// What a running request asks back, likewise.
    pub(super) fn asked_back(&self, request_id: &str) -> Vec<Value> {
        let Some(key) = self.requests.key_of(request_id) else { return Vec::new() };
        let call = self.requests.running().find(|running| *running.request_id == *request_id);
        let tool = call.and_then(|running| running.call.as_ref()).map_or("", |call| &call.tool);
        let mine = self.asking.values().filter(|(of, _)| *of == key);
        mine.map(|(_, question)| serde_json::to_value(asked(question, tool)).expect("texts and JSON")).collect()
    }

    /// Says that v1 does not have this.
    pub(super) fn needs_v2(&mut self, frame: &wire::ClientFrame<'_>) {
        let why = format!("{:?} is for clients of version 2: say hello first", wire::shown(&frame.action));
        self.error(frame.request_id.as_deref(), ErrorBody::new(ErrorCode::Unsupported, why));
    }
}

fn question(news: &ConfirmNews) -> ConfirmAsk<'_> {
    ConfirmAsk {
        confirm_id: &news.confirm_id,
        tool: &news.tool,
        title: news.title.as_deref(),
        arguments: &news.arguments,
        expires_in_s: news.expires_in_s,
    }
}

fn asked<'a>(question: &'a Question, tool: &'a str) -> ElicitAsk<'a> {
    let Question { elicit_id, message, schema, .. } = question;
    ElicitAsk { elicit_id, tool, message, schema, expires_in_s: ANSWER_WITHIN.as_secs() }
}

/// As much of a text as is shown.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
