//! `hearth.yaml`, the file on the card in which an owner says things before the first start: read, each bad value told with its
//! line, the others taken; and written anew without its secrets. Pure: text in, text out.

use std::ops::Range;

use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::appliance::settings::{KEYS, Key, Machine, Settings};
use crate::common::config::{Node, Problem, nearest, parse_yaml, snippet};

/// Its name on the card.
pub const FILE_NAME: &str = "hearth.yaml";

/// What stands behind a key whose value the hub has taken.
const TAKEN: &str = "# the hub has it; write another one here to change it";

/// What was read.
#[derive(Debug, Default)]
pub struct OwnerFile {
    pub settings: Settings,
    /// In the order of the file. None shows a secret.
    pub problems: Vec<Problem>,
    /// Where secrets stand that were taken, bytes.
    secrets: Vec<Range<usize>>,
}

/// Reads it.
pub fn read(text: &str, machine: &Machine<'_>) -> OwnerFile {
    let mut reader = Reader { text, masked: text.to_owned(), machine, file: OwnerFile::default() };
    match parse_yaml(text) {
        Ok(root) => {
            reader.masked = masked(text, &root);
            reader.section(&root, "");
        }
        Err(error) => {
            reader.masked = values_masked(text);
            let help = "the hub takes nothing of this file until this is mended: each line is `key: value`, and what belongs \
                        to a section stands two blanks further right. A value with a : or # in it stands in quotes";
            reader.refuse(error.location.as_ref(), error.text, Some(help.into()));
        }
    }
    reader.file
}

/// The text without the secrets that were taken, and all else of it as it was; or, where that cannot be done, a new file that
/// says the same.
pub fn without_secrets(text: &str, machine: &Machine<'_>) -> String {
    let file = read(text, machine);
    let mut edited = text.to_owned();
    let mut secrets = file.secrets.clone();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.start));
    for secret in secrets {
        let rest = edited[secret.end..].lines().next().unwrap_or_default();
        let note = if rest.trim().is_empty() { TAKEN } else { "" };
        edited.replace_range(secret, note);
    }
    let left = read(&edited, machine);
    let says_the_same = left.settings == file.settings.without_secrets();
    let is_clean = file.settings.secrets().all(|secret| !edited.contains(secret.expose()));
    if says_the_same && is_clean { edited } else { anew(&file.settings.without_secrets()) }
}

/// A file that says just this. Its comments are gone with the rest.
fn anew(settings: &Settings) -> String {
    let mut text = String::from(
        "# What the hub was told, without the secrets, which it has. How this file is written stands in docs/APPLIANCE.md.\n",
    );
    let quoted = |text: &str| Value::from(text).to_string();
    let mut line = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{key}: {}\n", quoted(value)));
        }
    };
    line("hostname", &settings.hostname);
    line("timezone", &settings.timezone);
    line("language", &settings.language);
    for (option, is_wanted) in &settings.options {
        text.push_str(&format!("{option}: {is_wanted}\n"));
    }
    let wifi = &settings.wifi;
    if wifi.ssid.is_some() || wifi.country.is_some() || wifi.hidden.is_some() {
        text.push_str("wifi:\n");
        let values = [("country", &wifi.country), ("ssid", &wifi.ssid)];
        for (key, value) in values.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            text.push_str(&format!("  {key}: {}\n", quoted(value)));
        }
        if let Some(hidden) = wifi.hidden {
            text.push_str(&format!("  hidden: {hidden}\n"));
        }
    }
    match settings.ssh_keys.as_deref() {
        None => {}
        Some([]) => text.push_str("ssh_key: none\n"),
        Some(keys) => {
            text.push_str("ssh_key:\n");
            keys.iter().for_each(|key| text.push_str(&format!("  - {}\n", quoted(key))));
        }
    }
    text
}

struct Reader<'a> {
    text: &'a str,
    /// The text as problems may show it.
    masked: String,
    machine: &'a Machine<'a>,
    file: OwnerFile,
}

impl Reader<'_> {
    fn section(&mut self, node: &Spanned<Node>, path: &str) {
        let below: Vec<&str> = names_below(path);
        match &node.value {
            Node::Map(entries) => {
                for (key, value) in entries {
                    let full = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    match KEYS.iter().find(|known| known.path == full) {
                        Some(known) => self.value(known, value),
                        None if !names_below(&full).is_empty() => self.section(value, &full),
                        None => self.unknown(key, &full, &below),
                    }
                }
            }
            Node::Scalar(Value::Null) => {}
            _ => {
                let text = match path {
                    "" => "the file holds lines such as `hostname: hearth`".into(),
                    path => format!("`{path}` is a section with keys of its own"),
                };
                self.refuse(Some(&node.referenced), text, Some(format!("its keys: `{}`", below.join("`, `"))));
            }
        }
    }

    fn value(&mut self, key: &Key, node: &Spanned<Node>) {
        let items: Vec<&Spanned<Node>> = match &node.value {
            Node::List(items) if key.is_list => items.iter().collect(),
            _ => vec![node],
        };
        for item in items {
            let Node::Scalar(value) = &item.value else {
                let text = format!("`{}`: one value is wanted", key.path);
                self.refuse(Some(&item.referenced), text, None);
                continue;
            };
            // A number or `true` is taken as it is written: 01234567 is a passphrase.
            let Some(written) = written(self.text, value, &item.referenced) else { continue };
            match (key.take)(&mut self.file.settings, &written, self.machine) {
                Ok(()) if key.is_secret && written != "none" => self.file.secrets.extend(span(&item.referenced)),
                Ok(()) => {}
                Err(fault) => {
                    let text = format!("`{}`: {}", key.path, fault.text);
                    self.refuse(Some(&item.referenced), text, Some(fault.help));
                }
            }
        }
    }

    fn unknown(&mut self, key: &Spanned<String>, full: &str, siblings: &[&str]) {
        let elsewhere = || KEYS.iter().find(|known| known.path.rsplit('.').next() == Some(&key.value));
        let help = match (nearest(&key.value, siblings.iter().copied()), elsewhere()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(known)) => format!("did you mean `{}`?", known.path),
            (None, None) => format!("the keys here: `{}`", siblings.join("`, `")),
        };
        let shown: String = full.chars().take(80).flat_map(char::escape_debug).collect();
        self.refuse(Some(&key.referenced), format!("there is no key `{shown}`"), Some(help));
    }

    fn refuse(&mut self, location: Option<&Location>, text: String, help: Option<String>) {
        let at = location.map(|at| (at.line() as usize, at.column() as usize, at.span().len() as usize));
        let place = at.map_or(FILE_NAME.into(), |(line, column, _)| format!("{FILE_NAME}:{line}:{column}"));
        let snippet = at.and_then(|(line, column, len)| snippet(&self.masked, line, column, len, &|_| false));
        self.file.problems.push(Problem { place, text, snippet, help });
    }
}

/// A value as it is written; `None` where it is none.
pub(super) fn written(text: &str, value: &Value, location: &Location) -> Option<String> {
    let plain = || span(location).and_then(|span| text.get(span)).map(|text| text.trim().to_owned());
    let written = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => plain().unwrap_or_else(|| other.to_string()),
    };
    (!written.is_empty()).then_some(written)
}

/// The names of the keys and sections right below this one.
fn names_below(path: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = match path {
            "" => Some(key.path),
            path => key.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = rest.and_then(|rest| rest.split('.').next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

fn span(location: &Location) -> Option<Range<usize>> {
    let span = location.span();
    let from = span.byte_offset()? as usize;
    Some(from..from + span.byte_len()? as usize)
}

/// The text with every scalar hidden that is or may be meant as a secret: those of secret keys, and those of keys that the file does
/// not have.
fn masked(text: &str, root: &Spanned<Node>) -> String {
    fn hide(node: &Spanned<Node>, path: &str, spans: &mut Vec<Range<usize>>) {
        match &node.value {
            Node::Map(entries) => {
                for (key, value) in entries {
                    let full = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    hide(value, &full, spans);
                }
            }
            Node::List(items) => items.iter().for_each(|item| hide(item, path, spans)),
            Node::Scalar(Value::Null) => {}
            Node::Scalar(_) if KEYS.iter().any(|key| key.path == path && !key.is_secret) => {}
            Node::Scalar(_) => spans.extend(span(&node.referenced)),
        }
    }
    let mut spans = Vec::new();
    hide(root, "", &mut spans);
    spans.sort_by_key(|span| std::cmp::Reverse(span.start));
    let mut masked = text.to_owned();
    for span in spans {
        let hidden: Option<String> =
            masked.get(span.clone()).map(|text| text.chars().map(|c| if c == '\n' { c } else { '…' }).collect());
        if let Some(hidden) = hidden {
            masked.replace_range(span, &hidden);
        }
    }
    masked
}

/// The text with all hidden that stands behind a key, for one whose shape is not known.
fn values_masked(text: &str) -> String {
    let line = |line: &str| match line.split_once(':') {
        Some((key, value)) => format!("{key}:{}", value.replace(|c: char| !c.is_whitespace(), "…")),
        None => line.replace(|c: char| !c.is_whitespace(), "…"),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[path = "owner_file_tests.rs"]
mod tests;
