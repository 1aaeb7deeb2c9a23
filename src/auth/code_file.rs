//! The code of the first claim that a machine has of its own: a file beside the store, made where a card was set up and printed
//! in its report, since whoever reads that has to switch the hub off first. It is good until somebody owns the hub, which then
//! takes it away. Whoever may write the file is beside the hub already. Makes no code and writes none.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::auth::claim;

/// Its name.
pub const FILE_NAME: &str = "claim-code";

/// The longest file that can be a code, bytes.
const BYTES_MAX: u64 = 64;

/// Where it is, by the store's path.
pub fn beside(store: &Path) -> PathBuf {
    store.with_file_name(FILE_NAME)
}

/// The code, where there is one.
pub fn read(path: &Path) -> Result<Option<String>, String> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(_) if claim::is_code(&text) => Ok(Some(text.trim().to_owned())),
        Ok(_) => Err(format!("{shown} holds no code: `hearth claim --new-code` makes one")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
    }
}

/// Takes it away.
pub fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_code_or_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("hearth.redb"));
        assert_eq!(path, folder.path().join("claim-code"));
        assert_eq!(read(&path), Ok(None));
        assert_eq!(remove(&path), Ok(()));
        fs::write(&path, "K7QM-2XWP\n").unwrap();
        assert_eq!(read(&path), Ok(Some("K7QM-2XWP".into())));
        for bad in ["", "K7QM", "K7QM-2XW0", "K7QM-2XWP-2", &"K7QM-2XWP\n".repeat(7)] {
            fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err_and(|why| why.contains("--new-code")), "{bad}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read(&path).is_err());
        assert_eq!((remove(&path), path.exists()), (Ok(()), false));
    }
}
