//! How the messages of a session are made: numbered, kept for a client that comes back, and put where the socket takes them.

use std::time::Instant;

use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::common::error::ErrorBody;
use crate::gateway::session::close;
use crate::gateway::session::outbox::Stamp;
use crate::gateway::session::replay::Kept;
use crate::gateway::session::state::{OUT_BYTES_MAX, Session};
use crate::gateway::session::transmit::Transmit;
use crate::gateway::session::wire::{self, Chunk, ChunkType, Event, ServerFrame, Status};
use crate::router::TurnKey;

/// See [`Session::next_chunk`].
pub(super) struct Next {
    pub id: Box<str>,
    pub index: Option<u64>,
    /// Which message of the answer it belongs to, where that is not the first.
    pub message: Option<u32>,
    pub follows_picture: bool,
}

impl Session {
    pub(super) fn processing(&mut self, id: &str, conversation_id: Option<&str>) {
        if self.version < 2 {
            self.send(Some(id), Status::Processing, None, None, None);
            return;
        }
        let mut metadata = Map::new();
        metadata.extend(conversation_id.map(|id| ("conversation_id".into(), id.into())));
        let chunk = Chunk { kind: ChunkType::Metadata, data: None, index: None, metadata: &metadata };
        self.send(Some(id), Status::Processing, Some(chunk), None, None);
    }

    pub(super) fn chunk(
        &mut self,
        key: TurnKey,
        received_at: Instant,
        kind: ChunkType,
        data: Option<&str>,
        metadata: &Map<String, Value>,
    ) {
        let with_message;
        let Some(Next { id, index, message, follows_picture }) = self.next_chunk(key) else { return };
        let metadata = match message {
            Some(message) => {
                with_message = of_message(metadata, message);
                &with_message
            }
            None => metadata,
        };
        let chunk = Chunk { kind, data, index, metadata };
        let seq = self.send(Some(&id), Status::Chunk, Some(chunk), None, Some(Stamp { key, received_at }));
        if follows_picture {
            self.close_picture(key, seq);
        }
    }

    /// What is on the next chunk of a request that its client still wants.
    pub(super) fn next_chunk(&mut self, key: TurnKey) -> Option<Next> {
        let running = self.requests.get_mut(key).filter(|running| !running.cancelled)?;
        let (index, message) = (running.chunks, running.message);
        running.chunks += 1;
        let is_v2 = self.version >= 2;
        Some(Next {
            id: running.request_id.clone(),
            index: is_v2.then_some(index),
            message: (is_v2 && message > 0).then_some(message),
            follows_picture: running.media.as_ref().is_some_and(|sent| sent.open_picture.is_some()),
        })
    }

    pub(super) fn complete(&mut self, id: Option<&str>, metadata: &Map<String, Value>) {
        let index = (self.version >= 2).then_some(0);
        let chunk = Chunk { kind: ChunkType::Metadata, data: None, index, metadata };
        self.send(id, Status::Complete, Some(chunk), None, None);
    }

    pub(super) fn error(&mut self, id: Option<&str>, error: ErrorBody) {
        self.send(id, Status::Error, None, Some(&error), None);
    }

    /// Gives back the message's number, if it has one.
    pub(super) fn send(
        &mut self,
        request_id: Option<&str>,
        status: Status,
        chunk: Option<Chunk<'_>>,
        error: Option<&ErrorBody>,
        stamp: Option<Stamp>,
    ) -> Option<u64> {
        if !self.may_send() {
            return None;
        }
        let seq = self.next_seq();
        self.write(&ServerFrame { request_id, status, seq, chunk, error, event: None }, stamp);
        seq
    }

    /// A message that answers nothing.
    pub(super) fn event(&mut self, request_id: Option<&str>, event: Event<'_>) {
        if self.may_send() {
            let (status, seq) = (Status::Event, self.next_seq());
            self.write(&ServerFrame { request_id, status, seq, chunk: None, error: None, event: Some(event) }, None);
        }
    }

    fn write(&mut self, frame: &ServerFrame<'_>, stamp: Option<Stamp>) {
        let text: Utf8Bytes = wire::write(frame).into();
        if let Some(seq) = frame.seq {
            self.keep(seq, || Kept::Text(text.clone()));
        }
        self.put(text, stamp);
    }

    pub(super) fn may_send(&self) -> bool {
        !self.closing || self.resumable
    }

    pub(super) fn next_seq(&mut self) -> Option<u64> {
        (self.version >= 2).then(|| {
            self.seq += 1;
            self.seq
        })
    }

    pub(super) fn keep(&mut self, seq: u64, message: impl FnOnce() -> Kept) {
        if self.resumable {
            self.replay.push(seq, message());
        }
    }

    pub(super) fn put(&mut self, text: Utf8Bytes, stamp: Option<Stamp>) {
        if !self.attached || self.closing {
            return;
        }
        self.out.push(Transmit::Text(text), stamp);
        if self.out.text_bytes() > OUT_BYTES_MAX {
            self.close(close::TOO_SLOW);
        }
    }
}

/// The metadata of a chunk that is not of the answer's first message.
pub(super) fn of_message(metadata: &Map<String, Value>, message: u32) -> Map<String, Value> {
    let mut metadata = metadata.clone();
    metadata.insert("message".into(), message.into());
    metadata
}
