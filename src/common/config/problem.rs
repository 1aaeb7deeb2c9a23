//! What is wrong with a configuration, in words for the owner of the house: where, what, what to try. Never shows what
//! looks like a secret.

use std::fmt;
use std::path::PathBuf;

/// Words of a key that holds a secret, such as `api_key`. Keys that the hub has are not asked.
const SECRET_WORDS: [&str; 7] = ["api_key", "apikey", "secret", "passphrase", "password", "passwd", "token"];

/// The longest line shown whole, characters.
const LINE_CHARS_MAX: usize = 160;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    /// Everything that is wrong, in the order of the file.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Problem>),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `config.yaml:3:9`, or the name of an environment variable.
    pub place: String,
    /// What is wrong there, and with which key.
    pub text: String,
    /// The line, and a caret under the place.
    pub snippet: Option<String>,
    /// What to try.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)?;
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{snippet}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// The line with its number, and a caret under `len` characters from `column` (both count from 1).
pub fn snippet(source: &str, line: usize, column: usize, len: usize, known: &dyn Fn(&str) -> bool) -> Option<String> {
    let whole = masked(source.lines().nth(line.checked_sub(1)?)?, known).replace(char::is_control, " ");
    let shown: String = whole.chars().take(LINE_CHARS_MAX).collect();
    let column = column.clamp(1, shown.chars().count() + 1);
    let caret_len = len.clamp(1, (shown.chars().count() + 1 - column).max(1));
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    Some(format!("  {number} | {shown}\n  {gutter} | {}{}", " ".repeat(column - 1), "^".repeat(caret_len)))
}

/// Whether a key's name says that its value is a secret.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    SECRET_WORDS.iter().any(|word| key.contains(word)) || key == "key"
}

/// The line without the value of a key that looks like a secret (unless the hub knows the key), without what looks like
/// an API key, and without the password of a URL.
fn masked(line: &str, known: &dyn Fn(&str) -> bool) -> String {
    for (at, _) in line.match_indices(':') {
        let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let is_key_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = before.rsplit(|c: char| !is_key_char(c)).next().unwrap_or_default();
        if is_secret_key(key) && !known(key) && !line[at + 1..].trim().is_empty() {
            return format!("{}: …", &line[..at]);
        }
    }
    let mut shown = String::with_capacity(line.len());
    for word in line.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '}' | ']')) {
        match (word.find("://"), word.rfind('@')) {
            _ if word.starts_with("sk-") => shown.push_str("sk-…"),
            (Some(from), Some(to)) if from < to => shown.push_str(&format!("{}…{}", &word[..from + 3], &word[to..])),
            _ => shown.push_str(word),
        }
    }
    shown
}

/// The name nearest to `wrong`, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near_enough = (wrong.chars().count() / 3).max(1);
    names
        .map(|name| (distance(&wrong.to_ascii_lowercase(), name), name))
        .filter(|(distance, _)| *distance <= near_enough)
        .min()
        .map(|(_, name)| name)
}

/// Letters to insert, delete, change or swap with the next to come from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        let shown = snippet("a: 1\ngateway:\n  port: abc\n", 3, 9, 3, &|_| false);
        assert_eq!(shown.as_deref(), Some("  3 |   port: abc\n    |         ^^^"));
        assert_eq!(snippet("a", 9, 1, 1, &|_| false), None, "a place outside of the text");
        assert_eq!(snippet("ab", 1, 99, 99, &|_| false).as_deref(), Some("  1 | ab\n    |   ^"));
    }

    #[test]
    fn secrets_are_masked() {
        let known = |key: &str| key == "max_tokens" || key == "api_key_env";
        for line in [
            "  api_key: hunter2",
            "openai: { model: x, \"api-key\": hunter2 }",
            "PASSWORD : hunter2",
            "  api_key_env: sk-hunter2hunter2",
            "  url: \"mqtt://me:hunter2@host\"",
        ] {
            let shown = masked(line, &known);
            assert!(!shown.contains("hunter2") && shown.contains('…'), "{shown}");
        }
        for line in ["  max_tokens: 100", "  api_key_env: OPENAI_API_KEY", "  # tokens: none", "a: task-list-of-mine"] {
            assert_eq!(masked(line, &|key| known(key) || key == "tokens"), line);
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["port", "host", "max_tokens", "fallback"];
        let near = |wrong| nearest(wrong, names.into_iter());
        assert_eq!(near("prot"), Some("port"));
        assert_eq!(near("Port"), Some("port"));
        assert_eq!(near("max-token"), Some("max_tokens"));
        assert_eq!(near("falback"), Some("fallback"));
        assert_eq!(near("colour"), None);
    }
}
