//! Makes a backup: reads as one tar from its beginning to its end, in memory that does not grow with the store.

use std::fs::{self, File};
use std::io::{self, Chain, Cursor, Read, Seek, Take};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{
    CONFIG, FORMAT, KEYS, MANIFEST, Manifest, Member, SMALL_BYTES_MAX, STORE, STORE_BYTES_MAX, VERSION, ZIGBEE,
};
use crate::common::hex::hex;
use crate::common::time::UnixMillis;
use crate::common::ustar::{self, END};
use crate::store::snapshots::Contents;

/// Bytes of the store that are hashed at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a backup holds beside the store.
#[derive(Debug, Default)]
pub struct Settings {
    /// The version of Hearth that makes it.
    pub hearth: String,
    pub made_at_ms: UnixMillis,
    /// The configuration file, where there is one.
    pub config: Option<Vec<u8>>,
    /// In the open coordinator backup format, where there is a network.
    pub zigbee: Option<Vec<u8>>,
    /// As [`super::seal`] made it.
    pub keys: Option<Vec<u8>>,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error("{name} is too large for a backup ({bytes} bytes)")]
    TooLarge { name: &'static str, bytes: u64 },
    #[error("the copy of the store cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// All before the store's bytes, these, and all behind them.
type Tar = Chain<Chain<Cursor<Vec<u8>>, Take<File>>, Cursor<Vec<u8>>>;

/// A backup that can be read, once.
pub struct Backup {
    bytes: u64,
    tar: Tar,
}

impl Backup {
    /// Of a copy of the store, which loses its name: the file is gone when this is dropped. Waits for the disk.
    pub fn of(copy: &Path, contents: &Contents, settings: Settings) -> Result<Backup, MakeError> {
        let mut store = File::open(copy)?;
        fs::remove_file(copy)?;
        let (bytes, digest) = digest(&mut store)?;
        if bytes > STORE_BYTES_MAX {
            return Err(MakeError::TooLarge { name: STORE, bytes });
        }
        store.rewind()?;
        let mtime_s = settings.made_at_ms / 1000;
        let small = [(CONFIG, settings.config), (ZIGBEE, settings.zigbee), (KEYS, settings.keys)];
        let small: Vec<(&str, Vec<u8>)> = small.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect();
        let mut members = Vec::new();
        for (name, bytes) in &small {
            if bytes.len() as u64 > SMALL_BYTES_MAX {
                return Err(MakeError::TooLarge { name, bytes: bytes.len() as u64 });
            }
            let sha256 = hex(&Sha256::digest(bytes));
            members.push(Member { name: (*name).into(), bytes: bytes.len() as u64, sha256 });
        }
        members.push(Member { name: STORE.into(), bytes, sha256: hex(&digest) });
        let made_at = i64::try_from(settings.made_at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let manifest = Manifest {
            format: FORMAT.into(),
            version: VERSION,
            hearth: settings.hearth,
            made_at: made_at.unwrap_or_default().to_string(),
            made_at_ms: settings.made_at_ms,
            layout: contents.layout,
            records: contents.records,
            members,
        };
        let mut head = Vec::new();
        let manifest = serde_json::to_vec_pretty(&manifest).expect("text and numbers are JSON");
        for (name, bytes) in [(MANIFEST, manifest)].into_iter().chain(small) {
            head.extend(ustar::header(name, bytes.len() as u64, mtime_s));
            head.extend(&bytes);
            head.extend(vec![0; ustar::padding(bytes.len() as u64)]);
        }
        head.extend(ustar::header(STORE, bytes, mtime_s));
        let mut tail = vec![0; ustar::padding(bytes)];
        tail.extend(END);
        let all = head.len() as u64 + bytes + tail.len() as u64;
        let tar = Cursor::new(head).chain(store.take(bytes)).chain(Cursor::new(tail));
        Ok(Backup { bytes: all, tar })
    }

    /// Bytes of all of it.
    pub fn length(&self) -> u64 {
        self.bytes
    }
}

impl Read for Backup {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.tar.read(out)
    }
}

fn digest(file: &mut File) -> io::Result<(u64, [u8; 32])> {
    let (mut digest, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((bytes, digest.finalize().into())),
            read => {
                digest.update(&chunk[..read]);
                bytes += read as u64;
            }
        }
    }
}
