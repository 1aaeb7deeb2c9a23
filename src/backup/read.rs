//! Takes a backup apart and looks at all of it: every member against its checksum, the store page by page and record by record. What
//! comes from a file is believed in nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{
    CONFIG, FORMAT, KEYS, MANIFEST, Manifest, Member, SMALL_BYTES_MAX, STORE, STORE_BYTES_MAX, VERSION, ZIGBEE,
};
use crate::common::hex::hex;
use crate::common::ustar::{self, BLOCK, BadHeader};
use crate::store::snapshots::{self, Contents, Unfit};

/// The longest manifest, bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// Members that a manifest may name.
const MEMBERS_MAX: usize = 64;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a file is no backup that could be restored.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is no backup of Hearth: {why}", path.display())]
    NotABackup { path: PathBuf, why: String },
    #[error("{} was made by a newer Hearth (version {found} of the format; this one reads up to {VERSION}): update Hearth", path.display())]
    Newer { path: PathBuf, found: u64 },
    #[error("{} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("the store in the backup cannot be used: {0}")]
    Store(#[from] Unfit),
    #[error("{} cannot be written: {error}", path.display())]
    Scratch { path: PathBuf, error: io::Error },
}

/// A backup that was looked through.
#[derive(Debug)]
pub struct Opened {
    pub manifest: Manifest,
    pub config: Option<Vec<u8>>,
    pub zigbee: Option<Vec<u8>>,
    /// See [`super::unseal`].
    pub keys: Option<Vec<u8>>,
    /// What is in the store.
    pub contents: Contents,
}

/// Reads all of a backup, with its store at `scratch`, which the caller deletes. Waits for the disk.
pub fn open(path: &Path, scratch: &Path) -> Result<Opened, Problem> {
    let unreadable = |error| Problem::Unreadable { path: path.into(), error };
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Problem::NotABackup { path: path.into(), why: "it is no plain file".into() });
    }
    let mut tar = Tar { path, file: BufReader::with_capacity(CHUNK_BYTES, file) };
    let manifest = tar.manifest()?;
    let (mut config, mut zigbee, mut keys, mut has_store) = (None, None, None, false);
    for member in &manifest.members {
        tar.enter(member)?;
        let small = match member.name.as_str() {
            STORE if !has_store => {
                has_store = true;
                tar.extract(member, scratch)?;
                continue;
            }
            CONFIG => &mut config,
            ZIGBEE => &mut zigbee,
            KEYS => &mut keys,
            other => return Err(tar.damaged(format!("it has {other:?} where this version has nothing"))),
        };
        let mut bytes = Vec::new();
        tar.copy(member, SMALL_BYTES_MAX, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        if small.replace(bytes).is_some() {
            return Err(tar.damaged(format!("it has {} twice", member.name)));
        }
    }
    if !has_store {
        return Err(tar.damaged("there is no store in it".into()));
    }
    let contents = snapshots::verify(scratch)?;
    if (contents.layout, contents.records) != (manifest.layout, manifest.records) {
        return Err(tar.damaged("the store in it is another one than its manifest says".into()));
    }
    Ok(Opened { manifest, config, zigbee, keys, contents })
}

struct Tar<'a> {
    path: &'a Path,
    file: BufReader<File>,
}

impl Tar<'_> {
    fn manifest(&mut self) -> Result<Manifest, Problem> {
        let not = |why: String| Problem::NotABackup { path: self.path.into(), why };
        let mut block = [0; BLOCK];
        self.file.read_exact(&mut block).map_err(|_| not("it is too short".into()))?;
        let (name, bytes) = match ustar::parse(&block) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(not("it is empty".into())),
            Err(error @ BadHeader::NotTar) => return Err(not(error.to_string())),
            Err(error) => return Err(self.damaged(error.to_string())),
        };
        if name != MANIFEST || bytes > MANIFEST_BYTES_MAX {
            return Err(not(format!("it does not begin with {MANIFEST}")));
        }
        let mut text = vec![0; bytes as usize];
        self.fill(&mut text)?;
        self.skip_padding(bytes)?;
        // First the version alone: what a newer one has beside it is its own business.
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| self.damaged(format!("its manifest: {error}")))?;
        if value["format"] != FORMAT {
            return Err(Problem::NotABackup {
                path: self.path.into(),
                why: "its manifest is another program's".into(),
            });
        }
        match value["version"].as_u64() {
            Some(1..=VERSION) => {}
            Some(found) if found > VERSION => return Err(Problem::Newer { path: self.path.into(), found }),
            _ => return Err(self.damaged("its manifest names no version".into())),
        }
        let manifest: Manifest =
            serde_json::from_value(value).map_err(|error| self.damaged(format!("its manifest: {error}")))?;
        if manifest.members.len() > MEMBERS_MAX {
            return Err(self.damaged("its manifest names too many members".into()));
        }
        Ok(manifest)
    }

    /// The header of the next member, which must be this one.
    fn enter(&mut self, member: &Member) -> Result<(), Problem> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        match ustar::parse(&block) {
            Ok(Some((name, bytes))) if name == member.name && bytes == member.bytes => Ok(()),
            Ok(_) => Err(self.damaged(format!("{:?} does not come where the manifest says", member.name))),
            Err(error) => Err(self.damaged(error.to_string())),
        }
    }

    /// The member to a file of its own.
    fn extract(&mut self, member: &Member, scratch: &Path) -> Result<(), Problem> {
        let failed = |error| Problem::Scratch { path: scratch.into(), error };
        // One that a crash has left may have another mode, or be a link to somewhere.
        let _ = std::fs::remove_file(scratch);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(scratch);
        let mut file = file.map_err(failed)?;
        self.copy(member, STORE_BYTES_MAX, |chunk| file.write_all(chunk).map_err(failed))?;
        file.sync_all().map_err(failed)
    }

    /// The bytes of a member, checked against its checksum when they have all been given away.
    fn copy(
        &mut self,
        member: &Member,
        bytes_max: u64,
        mut give: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if member.bytes > bytes_max {
            return Err(self.damaged(format!("{} is too large ({} bytes)", member.name, member.bytes)));
        }
        let (mut left, mut digest, mut chunk) = (member.bytes, Sha256::new(), vec![0; CHUNK_BYTES]);
        while left > 0 {
            let piece = &mut chunk[..left.min(CHUNK_BYTES as u64) as usize];
            self.fill(piece)?;
            digest.update(&*piece);
            give(piece)?;
            left -= piece.len() as u64;
        }
        self.skip_padding(member.bytes)?;
        match hex(&digest.finalize()) == member.sha256 {
            true => Ok(()),
            false => Err(self.damaged(format!("{} does not match its checksum", member.name))),
        }
    }

    fn skip_padding(&mut self, bytes: u64) -> Result<(), Problem> {
        let mut padding = [0; BLOCK];
        let length = ustar::padding(bytes);
        self.fill(&mut padding[..length])
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), Problem> {
        self.file.read_exact(out).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("its end is missing".into()),
            _ => Problem::Unreadable { path: self.path.into(), error },
        })
    }

    fn damaged(&self, why: String) -> Problem {
        Problem::Damaged { path: self.path.into(), why }
    }
}
