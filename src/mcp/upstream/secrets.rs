//! Values that the config names by a variable: headers of a server and the environment of a program. From the hub's own
//! environment or from systemd's credentials, and never printed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::common::secret::Secret;

/// The longest value, bytes.
const VALUE_BYTES_MAX: u64 = 16 * 1024;

/// The value of the variable `name`, or of the file of that name in lower case in `$CREDENTIALS_DIRECTORY`, without blanks
/// around it. Empty is none. `env` looks up a variable.
pub fn value_of(name: &str, env: impl Fn(&str) -> Option<String>) -> Option<Secret> {
    let value = env(name).or_else(|| {
        let folder = env("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty())?;
        let file = File::open(Path::new(&folder).join(name.to_ascii_lowercase())).ok()?;
        let mut text = String::new();
        file.take(VALUE_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(text)
    })?;
    let value = value.trim();
    (!value.is_empty() && !value.contains('\0')).then(|| Secret::new(value))
}

/// Text of a server's in a message to the owner: on one line, without control characters, without the secrets that the
/// server was given, and at most `chars_max` characters of its end.
pub fn shown(text: &str, secrets: &[Secret], chars_max: usize) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.expose().len() >= 4) {
        text = text.replace(secret.expose(), "…");
    }
    let plain: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let skipped = plain.chars().count().saturating_sub(chars_max);
    if skipped == 0 { plain } else { format!("…{}", plain.chars().skip(skipped).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_up_and_not_shown() {
        let env = |name: &str| (name == "TOKEN").then(|| " Bearer abcd \n".to_owned());
        let value = value_of("TOKEN", env).unwrap();
        assert_eq!(value.expose(), "Bearer abcd");
        assert_eq!(value_of("OTHER", env), None);
        assert_eq!(shown("bad\u{7}: Bearer abcd!", &[value], 80), "bad : …!");
        assert_eq!(shown("0123456789", &[], 4), "…6789");
    }

    #[test]
    fn a_credential_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("github_token"), "t0p\n").unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let env = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| path.clone());
        assert_eq!(value_of("GITHUB_TOKEN", env).unwrap().expose(), "t0p");
    }
}
