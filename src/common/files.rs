//! Files that the power may not tear: each is there as it was or as it is to be. Knows no content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// What a file is called until it is whole.
const NEW: &str = ".new";

/// Bytes that are written at once over a file that goes.
const PIECE_BYTES: usize = 4096;

/// Writes a file as a whole, with this mode; the superuser writes it for whoever owns its folder. The folder is made where there is
/// none. False: it is like that already.
pub fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    if is_like(path, bytes, mode) {
        return Ok(false);
    }
    let new = beside(path, NEW);
    // One of an earlier try may be there, with another mode.
    remove(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let own = file.metadata()?;
    belong_like(&new, folder)?;
    // Whatever the umask has taken away. A FAT has no modes, and refuses one that it cannot show.
    if own.permissions().mode() & 0o777 != mode {
        let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync(folder)?;
    Ok(true)
}

/// Takes a file away, and its bytes from the disk before: on a FAT those of a file that is only removed can be read. False:
/// there is none.
pub fn shred(path: &Path) -> io::Result<bool> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut left = file.metadata()?.len() as usize;
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        file.write_all(&[b' '; PIECE_BYTES][..piece])?;
        left -= piece;
    }
    file.sync_all()?;
    drop(file);
    fs::remove_file(path)?;
    sync_folder_of(path)?;
    Ok(true)
}

/// Makes a link, in the place of whatever file or link is there.
pub fn link(path: &Path, to: &Path) -> io::Result<bool> {
    if fs::read_link(path).is_ok_and(|there| there == to) {
        return Ok(false);
    }
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let new = beside(path, NEW);
    remove(&new)?;
    std::os::unix::fs::symlink(to, &new)?;
    fs::rename(&new, path)?;
    sync(folder)?;
    Ok(true)
}

/// A text of at most so many bytes; `None`: there is no such file.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Option<String>> {
    let is_file = fs::metadata(path).map(|file| file.is_file());
    match is_file {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(false) => return Err(io::Error::other("it is not a file")),
        _ => {}
    }
    let mut text = String::new();
    if File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)? as u64 > bytes_max {
        return Err(io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    Ok(Some(text))
}

/// A file of the same folder whose name ends with this, too.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// What the superuser makes among somebody's files is to be theirs. A FAT has one owner, and refuses another.
pub fn belong_like(path: &Path, model: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (owner, own) = (fs::metadata(model)?, fs::metadata(path)?);
    let is_theirs = (owner.uid(), owner.gid()) == (own.uid(), own.gid());
    if is_theirs { Ok(()) } else { chown(path, Some(owner.uid()), Some(owner.gid())) }
}

/// The folder of a file, of one that is named without a folder as well.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Brings a folder's names to the disk: until then a new one may be forgotten.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync(folder_of(path))
}

/// Room in a folder's file system for whoever is not the superuser, bytes.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(folder)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

fn is_like(path: &Path, bytes: &[u8], mode: u32) -> bool {
    let is_good = fs::symlink_metadata(path).is_ok_and(|file| {
        file.is_file() && file.len() == bytes.len() as u64 && file.permissions().mode() & 0o777 & !mode == 0
    });
    is_good && fs::read(path).is_ok_and(|there| there == bytes)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_once_and_with_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("etc/credstore/hearth.key");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(beside(&path, NEW), "of an earlier try").unwrap();
        assert!(put(&path, b"one", 0o600).unwrap());
        let inode = fs::metadata(&path).unwrap().ino();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!put(&path, b"one", 0o600).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "what is there already is not written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(put(&path, b"one", 0o600).unwrap(), "others could read it");
        assert!(put(&path, b"two", 0o600).unwrap());
        assert_eq!(read(&path, 3).unwrap().as_deref(), Some("two"));
        assert!(read(&path, 2).is_err());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(read(&root.path().join("nothing"), 9).unwrap(), None);
        assert!(read(root.path(), 9).is_err(), "a folder");
    }

    #[test]
    fn what_is_shredded_is_overwritten_before_it_goes() {
        let root = tempfile::tempdir().unwrap();
        let (path, other) = (root.path().join("secret"), root.path().join("kept"));
        fs::write(&path, vec![b'x'; 2 * PIECE_BYTES + 7]).unwrap();
        // Another name of the same bytes shows what became of them.
        fs::hard_link(&path, &other).unwrap();
        assert!(shred(&path).unwrap());
        assert!(!path.exists() && fs::read(&other).unwrap() == vec![b' '; 2 * PIECE_BYTES + 7]);
        assert!(!shred(&path).unwrap());
    }

    #[test]
    fn a_link_takes_the_place_of_another() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("etc/localtime");
        assert!(link(&path, Path::new("/usr/share/zoneinfo/UTC")).unwrap());
        assert!(!link(&path, Path::new("/usr/share/zoneinfo/UTC")).unwrap());
        assert!(link(&path, Path::new("/usr/share/zoneinfo/Europe/Paris")).unwrap());
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/usr/share/zoneinfo/Europe/Paris"));
    }
}
