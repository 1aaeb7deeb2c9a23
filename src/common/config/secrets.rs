//! Where API keys come from: the environment, or systemd's credentials. Knows no provider, keeps no key and prints none.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::common::secret::Secret;

/// The longest key, bytes. Signed tokens have some 2 KiB.
const KEY_BYTES_MAX: u64 = 16 * 1024;

/// Why there is no key where one was put. Never shows any of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    #[error("{place} holds no key: {why}")]
    Malformed { place: String, why: &'static str },
    #[error("the credential {} cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
}

/// The key that `env_name` names: the environment variable, or else the file of that name in lower case in
/// `$CREDENTIALS_DIRECTORY`. `env` looks up a variable. Blank is none.
pub fn api_key(env_name: &str, env: impl Fn(&str) -> Option<String>) -> Result<Option<Secret>, SecretError> {
    if let Some(key) = env(env_name).and_then(|text| checked(&text, || env_name.to_owned()).transpose()) {
        return key.map(Some);
    }
    let Some(folder) = env("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()) else {
        return Ok(None);
    };
    let path = Path::new(&folder).join(env_name.to_ascii_lowercase());
    match read(&path) {
        Ok(text) => checked(&text, || format!("the credential {}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let why = match error.kind() {
                ErrorKind::InvalidData => "it is not text".to_owned(),
                _ => error.to_string(),
            };
            Err(SecretError::Unreadable { path, why })
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if File::open(path)?.take(KEY_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > KEY_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {KEY_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The key without the line's end. It becomes an HTTP header, which takes visible ASCII.
fn checked(text: &str, place: impl FnOnce() -> String) -> Result<Option<Secret>, SecretError> {
    let key = text.trim();
    let why = if key.contains(char::is_whitespace) {
        "there is white space or a line's end within it"
    } else if !key.bytes().all(|b| b.is_ascii_graphic()) {
        "there are characters in it that no key has"
    } else {
        return Ok((!key.is_empty()).then(|| Secret::new(key)));
    };
    Err(SecretError::Malformed { place: place(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_environment_comes_first_and_then_the_credential() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("openai_api_key"), "sk-file\n").unwrap();
        let key = |pairs: &[(&str, &str)]| api_key("OPENAI_API_KEY", env(pairs)).unwrap();
        assert_eq!(key(&[]), None);
        assert_eq!(key(&[("OPENAI_API_KEY", " sk-env\n")]), Some(Secret::new("sk-env")));
        assert_eq!(key(&[("CREDENTIALS_DIRECTORY", directory)]), Some(Secret::new("sk-file")));
        let both = [("CREDENTIALS_DIRECTORY", directory), ("OPENAI_API_KEY", "sk-env")];
        assert_eq!(key(&both), Some(Secret::new("sk-env")));
        let blank = [("CREDENTIALS_DIRECTORY", directory), ("OPENAI_API_KEY", " ")];
        assert_eq!(key(&blank), Some(Secret::new("sk-file")));
        assert_eq!(api_key("OTHER_KEY", env(&[("CREDENTIALS_DIRECTORY", directory)])), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_said_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_str().unwrap();
        let file = |bytes: &[u8]| {
            std::fs::write(folder.path().join("key"), bytes).unwrap();
            api_key("KEY", env(&[("CREDENTIALS_DIRECTORY", directory)]))
        };
        for bad in [&b"hunter2 hunter3"[..], b"hunter2\nhunter3\n", b"hunter2\x00", "hunter2ü".as_bytes(), b"\xff\xfe"]
        {
            let error = file(bad).unwrap_err().to_string();
            assert!(error.contains("key") && !error.contains("hunter"), "{error}");
        }
        let long = vec![b'a'; KEY_BYTES_MAX as usize + 1];
        assert!(matches!(file(&long), Err(SecretError::Unreadable { .. })));
        assert_eq!(file(&long[1..]).unwrap().unwrap().expose().len() as u64, KEY_BYTES_MAX);
        assert_eq!(file(b"  \n"), Ok(None));
        std::fs::remove_file(folder.path().join("key")).unwrap();
        std::fs::create_dir(folder.path().join("key")).unwrap();
        let error = api_key("KEY", env(&[("CREDENTIALS_DIRECTORY", directory)])).unwrap_err();
        assert!(matches!(error, SecretError::Unreadable { .. }), "{error}");
    }
}
