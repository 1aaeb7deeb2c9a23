//! How pictures and sound of a turn become messages and frames of a session.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::common::chat::{ImagePiece, Media};
use crate::common::speech::{AudioPiece, PCM_SAMPLE_RATE};
use crate::gateway::session::media::{Kind, Piece, Spelled};
use crate::gateway::session::outbox::Stamp;
use crate::gateway::session::replay::{Announced, Kept};
use crate::gateway::session::requests::{MediaSent, Sound};
use crate::gateway::session::state::frames::{Next, of_message};
use crate::gateway::session::state::{Session, map};
use crate::gateway::session::wire::{self, AudioMetadata, Chunk, ChunkType, ImageMetadata, ServerFrame, Status};
use crate::router::TurnKey;

/// Channels of all speech.
const CHANNELS: u8 = 1;

impl Session {
    pub(super) fn picture(&mut self, key: TurnKey, received_at: Instant, piece: ImagePiece) {
        if !self.requests.is_wanted(key) {
            return;
        }
        let ImagePiece { index: image, partial, media: Media { mime, data } } = piece;
        let stream_id = self.binary.then(|| self.fresh_stream());
        let of = ImageMetadata { mime: &mime, image, partial: partial.is_some(), bytes: data.len(), stream_id };
        let metadata = wire::metadata(&of);
        self.count_media(key, data.len());
        let stamp = Stamp { key, received_at };
        let Some(stream_id) = stream_id else {
            return self.spelled(stamp, ChunkType::Image, &metadata, data);
        };
        let seq = self.announced(stamp, ChunkType::Image, &metadata);
        let piece = Piece { kind: Kind::Image, stream_id, index: 0, at_ms: 0, first: true, last: true, data };
        self.keep_piece(seq, &piece);
        if let Some(sent) = self.requests.get_mut(key).and_then(|running| running.media.as_mut()) {
            sent.open_picture = seq;
        }
        if self.attached && !self.closing {
            match piece.is_small() {
                true => self.out.push_piece(key, piece),
                false => self.out.paint(key, piece),
            }
        }
    }

    pub(super) fn sound(&mut self, key: TurnKey, received_at: Instant, piece: AudioPiece) {
        if !self.requests.is_wanted(key) {
            return;
        }
        let AudioPiece { format, sentence, text, at_ms, last, data } = piece;
        self.count_media(key, data.len());
        let sound = self.requests.get_mut(key).and_then(|running| running.media.as_ref()?.sound);
        let begins = text.is_some() || sound.is_none_or(|sound| sound.sentence != sentence);
        let binary = self.binary;
        let mut sound = match sound {
            Some(sound) => sound,
            None => Sound { stream_id: self.fresh_stream(), index: 0, sentence, announced: None, is_named: false },
        };
        sound.sentence = sentence;
        let stamp = Stamp { key, received_at };
        let of = AudioMetadata {
            mime: format.mime(),
            format,
            sample_rate: PCM_SAMPLE_RATE,
            channels: CHANNELS,
            sentence,
            text: text.as_deref(),
            at_ms,
            stream_id: binary.then_some(sound.stream_id),
        };
        if !binary {
            let metadata = match begins {
                true => wire::metadata(&of),
                false => map(json!({ "sentence": sentence, "at_ms": at_ms })),
            };
            // An end without sound: the end of the request says it.
            if begins || !data.is_empty() {
                self.spelled(stamp, ChunkType::Audio, &metadata, data);
            }
            return self.note_sound(key, sound);
        }
        // A client may have learned binary frames in the midst of a sentence.
        if begins || !sound.is_named {
            let seq = self.announced(stamp, ChunkType::Audio, &wire::metadata(&of));
            if let (Some(before), Some(seq)) = (sound.announced, seq) {
                self.replay.close(before, seq);
            }
            (sound.announced, sound.is_named) = (seq, true);
        }
        if !data.is_empty() || last {
            let (stream_id, index) = (sound.stream_id, sound.index);
            let piece = Piece { kind: Kind::AudioOut, stream_id, index, at_ms, first: index == 0, last, data };
            sound.index = index.wrapping_add(piece.frames());
            self.keep_piece(sound.announced, &piece);
            if self.attached && !self.closing {
                self.out.push_piece(key, piece);
            }
        }
        self.note_sound(key, sound);
    }

    fn note_sound(&mut self, key: TurnKey, sound: Sound) {
        if let Some(running) = self.requests.get_mut(key) {
            running.media.get_or_insert_default().sound = Some(sound);
        }
    }

    fn count_media(&mut self, key: TurnKey, bytes: usize) {
        if let Some(running) = self.requests.get_mut(key) {
            running.media.get_or_insert_default().bytes += bytes as u64;
        }
    }

    /// Counts in the session, from 1.
    fn fresh_stream(&mut self) -> u32 {
        self.streams = self.streams.wrapping_add(1);
        self.streams
    }

    /// A chunk that names the frames that follow it. Gives back its number.
    fn announced(&mut self, stamp: Stamp, kind: ChunkType, metadata: &Map<String, Value>) -> Option<u64> {
        let (seq, text) = self.media_chunk(stamp.key, kind, None, metadata)?;
        if let Some(seq) = seq {
            self.keep(seq, || Kept::Announced(Box::new(Announced::new(stamp.key, text.clone()))));
        }
        self.put(text, Some(stamp));
        seq
    }

    /// A chunk with its bytes in base64.
    fn spelled(&mut self, stamp: Stamp, kind: ChunkType, metadata: &Map<String, Value>, data: Bytes) {
        let Some((seq, text)) = self.media_chunk(stamp.key, kind, Some(""), metadata) else { return };
        let spelled = Spelled::new(text, data);
        if let Some(seq) = seq {
            self.keep(seq, || Kept::Spelled(Box::new((stamp.key, spelled.clone()))));
        }
        if self.attached && !self.closing {
            self.out.push_spelled(stamp.key, spelled, Some(stamp));
        }
    }

    fn media_chunk(
        &mut self,
        key: TurnKey,
        kind: ChunkType,
        data: Option<&str>,
        metadata: &Map<String, Value>,
    ) -> Option<(Option<u64>, Utf8Bytes)> {
        if !self.may_send() {
            return None;
        }
        let with_message;
        let Next { id, index, message, .. } = self.next_chunk(key)?;
        let metadata = match message {
            Some(message) => {
                with_message = of_message(metadata, message);
                &with_message
            }
            None => metadata,
        };
        let chunk = Chunk { kind, data, index, metadata };
        let seq = self.next_seq();
        self.close_picture(key, seq);
        let (request_id, status) = (Some(&*id), Status::Chunk);
        let frame = ServerFrame { request_id, status, seq, chunk: Some(chunk), error: None, event: None };
        Some((seq, wire::write(&frame).into()))
    }

    fn keep_piece(&mut self, seq: Option<u64>, piece: &Piece) {
        if let (Some(seq), true) = (seq, self.resumable) {
            self.replay.push_piece(seq, piece.clone());
        }
    }

    /// With message `seq` a client has all of the picture that its request sent before.
    pub(super) fn close_picture(&mut self, key: TurnKey, seq: Option<u64>) {
        let Some(sent) = self.requests.get_mut(key).and_then(|running| running.media.as_mut()) else { return };
        if let (Some(open), Some(seq)) = (sent.open_picture.take(), seq) {
            self.replay.close(open, seq);
        }
    }

    /// With the request's end, message `seq`, a client has all of its pictures and sound.
    pub(super) fn close_media(&mut self, sent: &MediaSent, seq: Option<u64>) {
        let Some(seq) = seq else { return };
        sent.open().for_each(|open| self.replay.close(open, seq));
    }

    /// No picture and no sound of this request leaves any more.
    pub(super) fn drop_media(&mut self, key: TurnKey) {
        let mut held = self.out.take_held_of(key);
        held.extend(self.out.drop_media(key, self.version >= 2));
        self.replay.drop_media(key);
        self.release(held);
    }
}
