//! The data as it was before an update: copies of the files that go back with the old program, when the new one is not kept. Taken
//! and put back while no hub runs. Knows nothing of what is in them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::machine::{put, small, take_away};
use super::{UpdateError, io_at};
use crate::common::files::sync_folder_of;
use crate::common::hex::hex;

const LIST: &str = "list.json";

/// A file as it was.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    /// None: it was not there.
    sha256: Option<String>,
}

/// Copies these files into a folder, which is there when all of them are. An older copy goes.
pub fn take(files: &[PathBuf], to: &Path) -> Result<(), UpdateError> {
    let fresh = to.with_extension("new");
    take_away(&fresh)?;
    fs::create_dir_all(&fresh).map_err(io_at(fresh.display().to_string()))?;
    let mut list = Vec::new();
    for (index, path) in files.iter().enumerate() {
        let sha256 = match path.exists() {
            true => Some(copy(path, &fresh.join(index.to_string())).map_err(io_at(path.display().to_string()))?),
            false => None,
        };
        list.push(Kept { path: path.clone(), sha256 });
    }
    put(&fresh.join(LIST), &serde_json::to_vec(&list).expect("a list of paths"))?;
    take_away(to)?;
    fs::rename(&fresh, to).and_then(|()| sync_folder_of(to)).map_err(io_at(to.display().to_string()))
}

/// Puts every file back, as it was, owner and mode too. All copies are looked through before the first file is touched. May be done
/// again when it was cut off.
pub fn put_back(from: &Path) -> Result<(), UpdateError> {
    let list = small(&from.join(LIST)).map_err(io_at(from.display().to_string()))?;
    let list: Vec<Kept> = serde_json::from_str(&list)
        .map_err(|error| UpdateError::Machine(format!("{}: {error}", from.join(LIST).display())))?;
    for (index, kept) in list.iter().enumerate().filter(|(_, kept)| kept.sha256.is_some()) {
        let copy = from.join(index.to_string());
        let found =
            File::open(&copy).and_then(|file| sum(file, io::sink())).map_err(io_at(copy.display().to_string()))?;
        if kept.sha256.as_ref() != Some(&found) {
            return Err(UpdateError::Machine(format!(
                "{} is damaged: what it was kept for stays as it is",
                copy.display()
            )));
        }
    }
    for (index, kept) in list.iter().enumerate() {
        if kept.sha256.is_none() {
            take_away(&kept.path)?;
            continue;
        }
        let fresh = kept.path.with_extension("back");
        let back = || {
            copy(&from.join(index.to_string()), &fresh)?;
            fs::rename(&fresh, &kept.path)?;
            sync_folder_of(&kept.path)
        };
        back().map_err(io_at(kept.path.display().to_string()))?;
    }
    Ok(())
}

/// Copies a file with its owner and mode; its hash.
fn copy(from: &Path, to: &Path) -> io::Result<String> {
    let (source, target) = (File::open(from)?, File::create(to)?);
    let found = source.metadata()?;
    // Before there is anything in it that others must not read.
    target.set_permissions(fs::Permissions::from_mode(found.mode() & 0o7777))?;
    chown(to, Some(found.uid()), Some(found.gid()))?;
    let sum = sum(source, &target)?;
    target.sync_all()?;
    Ok(sum)
}

fn sum(mut from: File, to: impl io::Write) -> io::Result<String> {
    struct Both<W>(W, Sha256);
    impl<W: io::Write> io::Write for Both<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.0.write(bytes)?;
            self.1.update(&bytes[..written]);
            Ok(written)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    let mut both = Both(to, Sha256::new());
    io::copy(&mut from, &mut both)?;
    Ok(hex(&both.1.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("store"), "house").unwrap();
        fs::set_permissions(path("store"), fs::Permissions::from_mode(0o600)).unwrap();
        take(&[path("store"), path("config")], &path("kept")).unwrap();
        fs::write(path("store"), "migrated").unwrap();
        fs::set_permissions(path("store"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path("config"), "new").unwrap();
        for _ in 0..2 {
            put_back(&path("kept")).unwrap();
            assert_eq!(fs::read_to_string(path("store")).unwrap(), "house");
            assert_eq!(fs::metadata(path("store")).unwrap().mode() & 0o777, 0o600);
            assert!(!path("config").exists());
        }
        fs::write(path("store"), "later").unwrap();
        take(&[path("store")], &path("kept")).unwrap();
        put_back(&path("kept")).unwrap();
        assert_eq!(fs::read_to_string(path("store")).unwrap(), "later", "the newer copy counts");
    }

    #[test]
    fn a_damaged_copy_is_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        fs::write(&first, "1").unwrap();
        fs::write(&second, "2").unwrap();
        let kept = folder.path().join("kept");
        take(&[first.clone(), second.clone()], &kept).unwrap();
        fs::write(&first, "changed").unwrap();
        fs::write(kept.join("1"), "x").unwrap();
        assert!(put_back(&kept).unwrap_err().to_string().contains("damaged"));
        assert_eq!(fs::read_to_string(&first).unwrap(), "changed", "nothing was touched");
    }
}
