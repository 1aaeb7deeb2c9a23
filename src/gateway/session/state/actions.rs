//! What each action of the protocol does to a session, and how requests end. Decides; sends nothing itself but through
//! the session.

use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::{TurnFailure, TurnSummary};
use crate::common::ids::REQUEST_ID_BYTES_MAX;
use crate::common::limits::{MESSAGE_BYTES_MAX, REPLAY_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, RESUME_TTL};
use crate::common::time::{UnixMillis, whole_ms};
use crate::gateway::session::replay::Replay;
use crate::gateway::session::report::Report;
use crate::gateway::session::requests::{End, KeptText, RESULT};
use crate::gateway::session::state::{Action, Session, map};
use crate::gateway::session::wire::{self, Chunk, ChunkType, Status};
use crate::router::TurnKey;

/// Text of one repeated chunk: far below what any client takes as one message.
const REPEAT_BYTES: usize = 16 * 1024;

/// Text in one snapshot: with all else in it, the message is below 1 MiB, where many clients stop.
const SNAPSHOT_TEXT_BYTES_MAX: usize = 256 * 1024;

/// Results of tools in one snapshot; a longer one is asked for again.
const SNAPSHOT_RESULT_BYTES_MAX: usize = 256 * 1024;

/// Ended requests in one snapshot.
const SNAPSHOT_FINISHED_MAX: usize = 256;

impl Session {
    pub(super) fn hello(&mut self, id: Option<&str>, hello: &wire::Hello) {
        if !hello.protocol.iter().any(|version| wire::VERSIONS.contains(version)) {
            let text = format!("payload.protocol has no version in common with {:?}", wire::VERSIONS);
            return self.error(id, ErrorBody::new(ErrorCode::Unsupported, text));
        }
        let speaks_v2 = hello.protocol.contains(&2);
        if !speaks_v2 && self.version >= 2 {
            let text = "payload.protocol: this session speaks version 2 and cannot go back; open a new connection";
            return self.error(id, ErrorBody::new(ErrorCode::Conflict, text));
        }
        let name = hello.client.as_ref().and_then(|client| client.name.as_deref());
        self.client = name.map(|name| wire::shown(name).into());
        let metadata =
            if speaks_v2 { self.become_v2(hello.features.as_deref()) } else { map(json!({ "protocol": 1 })) };
        self.complete(id, &metadata);
    }

    /// Turns to v2 and says what that means here.
    pub(super) fn become_v2(&mut self, wanted: Option<&[String]>) -> Map<String, Value> {
        if self.version < 2 {
            self.version = 2;
            self.requests.cut_begun();
        }
        let has = |feature: &str| match wanted {
            Some(list) => list.iter().any(|one| one == feature),
            None => feature != wire::CONFIRM && feature != wire::ELICIT,
        };
        self.reasoning = has("reasoning");
        self.binary = has(wire::BINARY);
        self.confirms = has(wire::CONFIRM);
        self.elicits = has(wire::ELICIT);
        self.events = has(wire::EVENTS);
        if !self.events {
            self.forget_topics();
        }
        let features: Vec<_> = wire::FEATURES.into_iter().filter(|feature| has(feature)).collect();
        let session_id = self.session_id.get_or_insert_with(|| (self.fresh_id)('s').into()).clone();
        if has("resume") != self.resumable {
            self.resumable = has("resume");
            // Numbering may have begun before: what was not kept then is a gap to a client that asks for it.
            self.replay = Replay::from(self.seq);
            for sent in self.requests.running().filter_map(|running| running.media.as_deref()) {
                sent.open().for_each(|seq| self.replay.tear(seq));
            }
            self.actions.push_back(match self.resumable {
                true => Action::Register { session_id: session_id.clone() },
                false => Action::Unregister,
            });
        }
        map(json!({
            "protocol": 2,
            "session_id": session_id,
            "resume_ttl_s": if self.resumable { RESUME_TTL.as_secs() } else { 0 },
            "features": features,
            "limits": {
                "message_bytes": MESSAGE_BYTES_MAX,
                "requests_in_flight": REQUESTS_IN_FLIGHT_MAX,
                "replay_bytes": REPLAY_BYTES_MAX,
            },
        }))
    }

    /// Says again what was said before.
    pub(super) fn repeat(&mut self, id: &str, conversation_id: Option<&str>, kept: &KeptText, end: End) {
        self.processing(id, conversation_id);
        let mut chunks = self.repeat_calls(id, kept.called.as_deref());
        let mut rest = &*kept.text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(REPEAT_BYTES));
            let chunk = Chunk { kind: ChunkType::Text, data: Some(piece), index: Some(chunks), metadata: &Map::new() };
            self.send(Some(id), Status::Chunk, Some(chunk), None, None);
            (rest, chunks) = (after, chunks + 1);
        }
        match end {
            End::Complete(mut metadata) => {
                metadata.insert("replayed".into(), true.into());
                if kept.cut {
                    metadata.insert("cut".into(), true.into());
                }
                let chunk = Chunk { kind: ChunkType::Metadata, data: None, index: Some(chunks), metadata: &metadata };
                self.send(Some(id), Status::Complete, Some(chunk), None, None);
            }
            End::Error(error) => self.error(Some(id), error),
        }
    }

    pub(super) fn cancel(&mut self, now: Instant, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        let wire::Cancel { target } = wire::payload(frame)?;
        if target.len() > REQUEST_ID_BYTES_MAX {
            return Err(format!("payload.target has {} bytes; no request_id has", target.len()));
        }
        let key = self.requests.key_of(&target);
        let mut never_began = false;
        if let Some(key) = key
            && let Some(running) = self.requests.get_mut(key)
        {
            running.cancelled = true;
            // A tool is dropped at once; it has no last word.
            never_began = running.waiting.is_some() || running.call.is_some();
            self.actions.push_back(Action::Cancel { key });
        }
        let metadata = map(json!({ "target": target, "cancelled": key.is_some() }));
        self.complete(frame.request_id.as_deref(), &metadata);
        if let Some(key) = key {
            // A player that stops at once shall have nothing to throw away.
            self.drop_media(key);
            self.void_confirms(key);
            if never_began {
                self.never_began(now, key, cancelled());
            }
        }
        Ok(())
    }

    pub(super) fn ping(&mut self, frame: &wire::ClientFrame<'_>, unix_ms: UnixMillis) -> Result<(), String> {
        if let Some(payload) = frame.payload.map(RawValue::get).filter(|text| text.len() > wire::PING_BYTES_MAX) {
            return Err(format!("payload has {} bytes; a ping has at most {}", payload.len(), wire::PING_BYTES_MAX));
        }
        let wire::Ping { t } = wire::payload(frame)?;
        self.complete(frame.request_id.as_deref(), &map(json!({ "t": t, "server_t": unix_ms })));
        Ok(())
    }

    pub(super) fn resume(&mut self, id: Option<&str>, resume: wire::Resume) {
        if self.requests.running().len() > 0 || self.session_id.as_deref() == Some(&*resume.session_id) {
            let text = "this connection has a session at work; resume another one with a new connection";
            return self.error(id, ErrorBody::new(ErrorCode::Conflict, text));
        }
        self.actions.push_back(Action::Resume {
            session_id: resume.session_id,
            request_id: id.map(ToOwned::to_owned),
            last_seq: resume.last_seq,
        });
    }

    // How requests end.

    pub(super) fn turn_done(&mut self, now: Instant, key: TurnKey, summary: TurnSummary) {
        let Some(running) = self.requests.get_mut(key) else { return };
        if running.cancelled {
            // Pieces of it were kept from the client, so that a whole answer must not be claimed.
            return self.end(now, key, Report::of_cancelled(&summary), End::Error(cancelled()));
        }
        let mut metadata = map(json!({
            "provider": summary.provider,
            "model": summary.model,
            "usage": summary.usage,
            "finish_reason": summary.finish,
            "first_token_ms": summary.first_token_ms,
            "total_ms": summary.total_ms,
            "conversation_id": summary.conversation_id,
        }));
        // What nobody knows is absent: a client that reads `usage.input_tokens` need not ask for null as well.
        metadata.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
        if !summary.image_blobs.is_empty() {
            metadata.insert("blobs".into(), json!(summary.image_blobs));
        }
        if running.message > 0 {
            metadata.insert("messages".into(), (running.message + 1).into());
        }
        if summary.refused {
            metadata.insert("refused".into(), true.into());
        }
        if let Some(notices) = running.take_notices() {
            metadata.insert("notices".into(), notices);
        }
        self.end(now, key, Report::of_done(&summary), End::Complete(metadata));
    }

    pub(super) fn turn_failed(&mut self, now: Instant, key: TurnKey, failure: TurnFailure) {
        // Whatever came first upstream: who stopped it is told that it stopped.
        let failure =
            if self.requests.is_wanted(key) { failure } else { TurnFailure { error: cancelled(), ..failure } };
        self.end(now, key, Report::of_failed(&failure), End::Error(failure.error));
    }

    pub(super) fn end(&mut self, now: Instant, key: TurnKey, report: Report, end: End) {
        self.void_confirms(key);
        let Some(running) = self.requests.finish(now, key, &end, self.version >= 2) else { return };
        let seq = match &end {
            End::Complete(metadata) => {
                let index = (self.version >= 2).then_some(running.chunks);
                let chunk = Chunk { kind: ChunkType::Metadata, data: None, index, metadata };
                self.send(Some(&running.request_id), Status::Complete, Some(chunk), None, None)
            }
            End::Error(error) => self.send(Some(&running.request_id), Status::Error, None, Some(error), None),
        };
        if let Some(sent) = &running.media {
            self.close_media(sent, seq);
        }
        self.ended.push_back(report.about(key, running, self.client.clone()));
        self.close_if_drained();
    }

    /// Nobody will come for what runs.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.confirming.clear();
        self.asking.clear();
        for (key, running) in self.requests.abandon() {
            self.actions.push_back(Action::Cancel { key });
            let report = Report::of_left(whole_ms(now.saturating_duration_since(running.asked_at)));
            self.ended.push_back(report.about(key, running, self.client.clone()));
        }
    }

    /// What a client that missed too much needs to go on: all that runs and what ended lately.
    pub(super) fn snapshot(&self) -> Value {
        // The newest texts go in first; those for which there is no room are said to be cut.
        let mut room = SNAPSHOT_TEXT_BYTES_MAX;
        let mut entry = |request_id: &str, conversation_id: Option<&str>, kept: &KeptText| {
            let fits = kept.text.len() <= room;
            let text = if fits { &*kept.text } else { "" };
            room -= text.len();
            let mut entry = json!({
                "request_id": request_id,
                "conversation_id": conversation_id,
                "text": text,
                "cut": kept.cut || !fits,
            });
            if let Some(called) = kept.called.as_ref().filter(|called| called.bytes() <= room) {
                room -= called.bytes();
                entry["tool_calls"] = called.to_value();
            }
            entry
        };
        let mut result_room = SNAPSHOT_RESULT_BYTES_MAX;
        let mut requests = Vec::new();
        for one in self.requests.running().rev() {
            let mut entry = entry(&one.request_id, one.conversation_id.as_deref(), &one.text);
            entry["status"] = json!(Status::Processing);
            let questions = self.questions(&one.request_id);
            if !questions.is_empty() {
                entry["confirm"] = json!(questions);
            }
            let asked = self.asked_back(&one.request_id);
            if !asked.is_empty() {
                entry["elicit"] = json!(asked);
            }
            requests.push(entry);
        }
        for one in self.requests.finished().rev().take(SNAPSHOT_FINISHED_MAX) {
            let mut entry = entry(&one.request_id, one.conversation_id.as_deref(), &one.text);
            match &one.end {
                End::Complete(metadata) => {
                    entry["status"] = json!(Status::Complete);
                    let bytes = metadata.get(RESULT).map_or(0, |result| result.to_string().len());
                    let fits = bytes <= result_room;
                    result_room -= if fits { bytes } else { 0 };
                    let shown = metadata.iter().filter(|(key, _)| fits || *key != RESULT);
                    entry["metadata"] = shown.map(|(key, value)| (key.clone(), value.clone())).collect();
                    if !fits {
                        entry["cut"] = true.into();
                    }
                }
                End::Error(error) => {
                    entry["status"] = json!(Status::Error);
                    entry["error"] = json!(error);
                }
            }
            requests.push(entry);
        }
        requests.reverse();
        // Its own error frame takes the next number.
        let mut snapshot = json!({ "last_seq": self.seq + 1, "requests": requests });
        let topics = self.topic_names();
        if !topics.is_empty() {
            snapshot["topics"] = json!(topics);
        }
        snapshot
    }
}

fn cancelled() -> ErrorBody {
    ErrorBody::new(ErrorCode::Cancelled, "stopped on request")
}
