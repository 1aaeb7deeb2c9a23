//! Pictures and sounds by what they are: the same bytes of the same kind have one id and lie there once. What has not been
//! used for longest goes first. Knows nobody who refers to them, and does not look into them.

use bytes::{Bytes, BytesMut};
use redb::{ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::feed::Kind;
use super::tables::{BLOB_PIECES, BLOBS, BLOBS_BY_USE, META, META_BLOB_BYTES, decode, encode, meta};
use super::writer::Batch;
use super::{ReadError, Snapshot, Store, WriteError};
use crate::common::chat::Media;
use crate::common::hex::hex;

/// The longest blob, bytes: a large photograph, or ten minutes of MP3.
pub const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of one piece in the file. redb rounds each value up to a power of two: with its key and header this one fills
/// 256 KiB, where a picture in one value would waste up to half of its room.
pub const PIECE_BYTES: usize = 256 * 1024 - 512;

/// The longest name of a kind, bytes.
const MIME_BYTES_MAX: usize = 64;

/// Bytes of the digest in an id: enough that nobody can make two things of one id.
const ID_DIGEST_BYTES: usize = 16;

/// What is known of a blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub mime: Box<str>,
    pub bytes: u64,
}

/// A blob's entry in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    mime: Box<str>,
    bytes: u64,
    /// The revision of its last use.
    used: u64,
}

/// A blob on its way into the file.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) id: String,
    media: Media,
}

impl Kept {
    pub(super) fn new(media: Media) -> Kept {
        Kept { id: id(&media), media }
    }

    pub(super) fn len(&self) -> usize {
        self.media.data.len()
    }
}

/// `b-` and 32 hexadecimal digits.
fn id(media: &Media) -> String {
    let mut digest = Sha256::new();
    digest.update(media.mime.as_bytes());
    digest.update([0]);
    digest.update(&media.data);
    format!("b-{}", hex(&digest.finalize()[..ID_DIGEST_BYTES]))
}

/// A kind as it may stand in a header: `image/png`, in lower case, without parameters.
pub(super) fn is_mime(mime: &str) -> bool {
    let is_token = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&^_.+-".contains(&b))
    };
    mime.len() <= MIME_BYTES_MAX
        && mime.split_once('/').is_some_and(|(family, kind)| is_token(family) && is_token(kind))
}

impl Store {
    /// Keeps a picture or a sound and gives its id; one that is there already counts as used anew.
    pub async fn put_blob(&self, mime: &str, data: Bytes) -> Result<String, WriteError> {
        if !is_mime(mime) {
            return Err(WriteError::Invalid(format!("\"{}\" is no kind of a file", mime.escape_debug())));
        }
        if data.len() > BLOB_BYTES_MAX {
            return Err(WriteError::TooLarge { what: "a blob", size: data.len(), max: BLOB_BYTES_MAX });
        }
        let media = Media { mime: mime.into(), data };
        let kept = tokio::task::spawn_blocking(|| Kept::new(media)).await;
        let kept = kept.map_err(|_| WriteError::Closed)?;
        let id = kept.id.clone();
        self.write(kept.len(), move |batch| put(batch, &kept).map(Ok)).await?;
        Ok(id)
    }

    /// See [`Snapshot::blob`].
    pub async fn blob(&self, id: &str) -> Result<Option<Media>, ReadError> {
        let id = id.to_owned();
        self.read(move |snapshot| snapshot.blob(&id)).await
    }
}

impl Snapshot {
    /// A whole blob, if it is (still) there.
    pub fn blob(&self, id: &str) -> Result<Option<Media>, ReadError> {
        let Some(Blob { mime, bytes }) = self.blob_info(id)? else { return Ok(None) };
        let mut data = BytesMut::with_capacity(usize::try_from(bytes).unwrap_or(BLOB_BYTES_MAX).min(BLOB_BYTES_MAX));
        let mut number = 0;
        while let Some(piece) = self.blob_piece(id, number)? {
            data.extend_from_slice(&piece);
            number += 1;
        }
        if data.len() as u64 != bytes {
            return Err(ReadError::Corrupt(format!("{} has {} bytes of {bytes}", described(id), data.len())));
        }
        Ok(Some(Media { mime, data: data.freeze() }))
    }

    /// Kind and length of a blob, if it is there.
    pub fn blob_info(&self, id: &str) -> Result<Option<Blob>, ReadError> {
        let found = self.0.open_table(BLOBS)?.get(id)?;
        let record =
            found.map(|value| decode(value.value(), &described(id)).map_err(ReadError::Corrupt)).transpose()?;
        Ok(record.map(|Record { mime, bytes, .. }| Blob { mime, bytes }))
    }

    /// Bytes from `number` × [`PIECE_BYTES`] on, at most so many; `None` past the end, or where the blob is gone.
    pub fn blob_piece(&self, id: &str, number: u32) -> Result<Option<Bytes>, ReadError> {
        let piece = self.0.open_table(BLOB_PIECES)?.get((id, number))?;
        Ok(piece.map(|value| Bytes::copy_from_slice(value.value())))
    }
}

/// Writes a blob, or notes that it is in use; then forgets others until all are within their bounds.
pub(super) fn put(batch: &mut Batch, kept: &Kept) -> Result<(), redb::Error> {
    let Kept { id, media } = kept;
    let known = record(batch, id)?;
    if known.is_none() {
        let mut pieces = batch.txn.open_table(BLOB_PIECES)?;
        for (number, piece) in (0..).zip(media.data.chunks(PIECE_BYTES)) {
            pieces.insert((id.as_str(), number), piece)?;
        }
        drop(pieces);
        add_blob_bytes(batch, media.data.len() as i64)?;
    }
    let used = batch.changed(Kind::Blob, id);
    {
        let mut by_use = batch.txn.open_table(BLOBS_BY_USE)?;
        if let Some(known) = known {
            by_use.remove((known.used, id.as_str()))?;
        }
        by_use.insert((used, id.as_str()), ())?;
    }
    let record = Record { mime: media.mime.clone(), bytes: media.data.len() as u64, used };
    batch.txn.open_table(BLOBS)?.insert(id.as_str(), encode(&record).as_slice())?;
    forget_the_unused(batch, id)
}

fn forget_the_unused(batch: &mut Batch, kept: &str) -> Result<(), redb::Error> {
    loop {
        let count = batch.txn.open_table(BLOBS)?.len()?;
        let bytes = meta(&batch.txn.open_table(META)?, META_BLOB_BYTES)?;
        if count <= batch.bounds.blobs && bytes <= batch.bounds.blob_bytes {
            return Ok(());
        }
        let first = batch.txn.open_table(BLOBS_BY_USE)?.pop_first()?.map(|(key, _)| key.value().1.to_owned());
        let Some(id) = first.filter(|id| id != kept) else { return Ok(()) };
        delete(batch, &id)?;
    }
}

/// Deletes a blob that stands in [`BLOBS_BY_USE`] no more.
pub(super) fn delete(batch: &mut Batch, id: &str) -> Result<(), redb::Error> {
    batch.txn.open_table(BLOBS)?.remove(id)?;
    let mut bytes = 0;
    batch.txn.open_table(BLOB_PIECES)?.retain_in((id, 0)..=(id, u32::MAX), |_, piece| {
        bytes += piece.len() as i64;
        false
    })?;
    add_blob_bytes(batch, -bytes)?;
    batch.deleted(Kind::Blob, id);
    Ok(())
}

/// The entry of a blob. One that cannot be read is written anew.
fn record(batch: &Batch, id: &str) -> Result<Option<Record>, redb::Error> {
    let table = batch.txn.open_table(BLOBS)?;
    let found = table.get(id)?;
    Ok(found.and_then(|value| decode(value.value(), &described(id)).ok()))
}

fn add_blob_bytes(batch: &mut Batch, bytes: i64) -> Result<(), redb::Error> {
    let mut table = batch.txn.open_table(META)?;
    let now = meta(&table, META_BLOB_BYTES)?.saturating_add_signed(bytes);
    table.insert(META_BLOB_BYTES, now)?;
    Ok(())
}

fn described(id: &str) -> String {
    format!("blob {id}")
}

#[cfg(test)]
#[path = "blobs_tests.rs"]
mod tests;
