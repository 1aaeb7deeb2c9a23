//! Reads the configuration: the defaults, over them `config.yaml`, over that `HEARTH__…` variables. Says everything that
//! is wrong at once, each with its place. Never changes a file and never reads a secret.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::problem::{self, ConfigError, Problem};
use super::tree::{self, Node};
use super::{Config, McpServer, validate};

/// What is read when no file is named: this one of the working folder, if it is there.
pub const FILE_NAME: &str = "config.yaml";

/// The largest file, bytes. The one with every key and comment has some 10 KiB.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What variables that set a key begin with; further levels follow, parted by two underscores.
const ENV_PREFIX: &str = "HEARTH__";

/// In the tree of known keys: any name.
const ANY: &str = "*";

/// A configuration, and whence it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read; none where there was none to read.
    pub file: Option<PathBuf>,
    /// The variables that set something, by name.
    pub overrides: Vec<String>,
}

/// Reads `path`, which must exist, or else `./config.yaml` if it is there; then the `HEARTH__…` of `env`.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let name = path.unwrap_or(Path::new(FILE_NAME));
    let (file, text) = match read(name) {
        Ok(text) => (Some(name.to_owned()), text),
        Err(error) if path.is_none() && error.kind() == ErrorKind::NotFound => (None, String::new()),
        Err(error) => return Err(ConfigError::Unreadable { path: name.to_owned(), why: unreadable(&error) }),
    };
    let overrides = overrides(env);
    let config = parse(name, &text, &overrides)?;
    Ok(Loaded { config, file, overrides: overrides.into_iter().map(|(name, _)| name).collect() })
}

/// The defaults and the `HEARTH__…` of `env`, whatever files there are.
pub fn load_without_file(env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let overrides = overrides(env);
    let config = parse(Path::new(FILE_NAME), "", &overrides)?;
    Ok(Loaded { config, file: None, overrides: overrides.into_iter().map(|(name, _)| name).collect() })
}

/// The environment of this process, as [`load`] takes it.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into(), value.to_string_lossy().into()))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // Opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    if File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".into(),
        ErrorKind::PermissionDenied => "the hub may not read it; look at its owner and mode".into(),
        ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        _ => format!("it cannot be read: {error}"),
    }
}

/// The variables meant for the hub, in the order of their names.
pub(super) fn overrides(env: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let is_ours = |name: &str| name.get(..ENV_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(ENV_PREFIX));
    let mut found: Vec<_> = env.filter(|(name, _)| is_ours(name)).collect();
    found.sort();
    found
}

/// The pure part: the text of a file (called `name` in errors) and variables, checked, over the defaults.
pub(super) fn parse(name: &Path, text: &str, overrides: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut layers = Layers::new(name, text);
    match tree::parse(text) {
        Ok(root) => layers.put(&mut Vec::new(), &root, None),
        Err(error) => {
            let place = error.location.map_or(Place::Default, |location| Place::File(At::of(&location)));
            layers.refuse(&place, error.text, None);
        }
    }
    for (variable, value) in overrides {
        layers.put_variable(variable, value);
    }
    layers.finish()
}

/// Where a value came from.
#[derive(Debug, Clone)]
enum Place {
    Default,
    File(At),
    Env(String),
}

#[derive(Debug, Clone, Copy)]
struct At {
    line: usize,
    column: usize,
    len: usize,
}

impl At {
    fn of(location: &Location) -> At {
        At { line: location.line() as usize, column: location.column() as usize, len: location.span().len() as usize }
    }
}

/// The configuration as it grows, layer upon layer.
struct Layers<'a> {
    name: &'a Path,
    text: &'a str,
    /// Every key with its default; `*` stands for names of the owner's choice.
    known: Value,
    defaults: Value,
    tree: Value,
    places: BTreeMap<String, Place>,
    /// With where they are to be read: by line and column, and then the variables by name.
    problems: Vec<((usize, usize), Problem)>,
}

impl<'a> Layers<'a> {
    fn new(name: &'a Path, text: &'a str) -> Layers<'a> {
        let defaults = serde_json::to_value(Config::default()).expect("the defaults are plain data");
        let mut known = defaults.clone();
        let mut server = serde_json::to_value(McpServer::default()).expect("the defaults are plain data");
        for map in ["headers_env", "env", "env_from"] {
            server[map][ANY] = Value::Null;
        }
        known["mcp"]["servers"][ANY] = server;
        let tree = defaults.clone();
        Layers { name, text, known, defaults, tree, places: BTreeMap::new(), problems: Vec::new() }
    }

    /// Puts a value of the file (or, with `variable`, of the environment) at `path`, and all below it.
    fn put(&mut self, path: &mut Vec<String>, node: &Spanned<Node>, variable: Option<&str>) {
        let place = variable.map_or(Place::File(At::of(&node.referenced)), |name| Place::Env(name.into()));
        let known = known_at(&self.known, path).expect("only known keys are walked");
        match (&node.value, known) {
            (Node::Map(entries), Value::Object(_)) => {
                self.open(path, place);
                for (key, node) in entries {
                    path.push(key.value.clone());
                    let key_place =
                        variable.map_or(Place::File(At::of(&key.referenced)), |name| Place::Env(name.into()));
                    match known_at(&self.known, path) {
                        Some(_) => self.put(path, node, variable),
                        None => self.refuse_key(path, &key_place),
                    }
                    path.pop();
                }
            }
            // A section whose keys are all commented out.
            (Node::Scalar(Value::Null), Value::Object(_)) => self.open(path, place),
            (_, Value::Object(keys)) => {
                let keys = keys.keys().filter(|key| *key != ANY).cloned().collect::<Vec<_>>().join("`, `");
                let text = match path.len() {
                    0 => "the file must hold sections such as `gateway:`".into(),
                    _ => format!("`{}` is a section with keys of its own", path.join(".")),
                };
                let help = (!keys.is_empty()).then(|| format!("its keys: `{keys}`"));
                self.refuse(&place, text, help);
            }
            (value, _) => {
                let mut choices = vec![value.to_value()];
                if matches!(value, Node::Scalar(Value::Number(_) | Value::Bool(_))) {
                    choices.extend(self.written(&node.referenced).map(Value::from));
                }
                self.put_leaf(path, choices, place, node);
            }
        }
    }

    /// Puts the value of a `HEARTH__…` variable: as text where the key takes text, as YAML otherwise.
    fn put_variable(&mut self, variable: &str, text: &str) {
        let place = Place::Env(variable.into());
        let mut path = Vec::new();
        for word in variable[ENV_PREFIX.len()..].split("__") {
            path.push(self.spelling(&path, word));
            if known_at(&self.known, &path).is_none() {
                return self.refuse_key(&path, &place);
            }
        }
        if let Some(Place::Env(other)) = self.places.get(&path.join(".")) {
            let text = format!("`{}` is set by {other} already", path.join("."));
            return self.refuse(&place, text, Some("remove one of the two variables".into()));
        }
        let is_section = known_at(&self.known, &path).is_some_and(Value::is_object);
        // Quotes that a shell would have taken off are YAML's.
        let is_quoted =
            text.len() > 1 && ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote));
        if !is_section && !is_quoted && self.fits(&path, Value::from(text)).is_ok() {
            return self.set(&path, Value::from(text), place);
        }
        match tree::parse(text) {
            Ok(node) => self.put(&mut path, &node, Some(variable)),
            Err(error) => self.refuse(&place, format!("its value is no YAML: {}", error.text), None),
        }
    }

    /// The key that a word of a variable's name means, whatever its case.
    fn spelling(&self, path: &[String], word: &str) -> String {
        let given = path.iter().try_fold(&self.tree, |at, key| at.get(key)).and_then(Value::as_object);
        let same = given.and_then(|keys| keys.keys().find(|key| key.eq_ignore_ascii_case(word)));
        same.cloned().unwrap_or_else(|| word.to_ascii_lowercase())
    }

    /// Makes a section that may be of the owner's naming, so that it is there without a key, too.
    fn open(&mut self, path: &[String], place: Place) {
        let section = path.iter().fold(&mut self.tree, |at, key| &mut at[key.as_str()]);
        if section.is_null() {
            *section = Value::Object(serde_json::Map::new());
        }
        if !path.is_empty() {
            self.places.insert(path.join("."), place);
        }
    }

    /// Sets a key to the first of `choices` that its type takes.
    fn put_leaf(&mut self, path: &[String], choices: Vec<Value>, place: Place, node: &Spanned<Node>) {
        let Some(error) = choices.iter().find_map(|choice| self.fits(path, choice.clone()).err()) else {
            let value = choices.into_iter().next().expect("there is a choice");
            return self.set(path, value, place);
        };
        if let Some(value) = choices.into_iter().find(|choice| self.fits(path, choice.clone()).is_ok()) {
            return self.set(path, value, place);
        }
        let mut place = place;
        let is_list = known_at(&self.known, path).is_some_and(Value::is_array);
        if let (Place::File(_), Node::List(items), true) = (&place, &node.value, is_list) {
            let wrong = items.iter().find(|item| self.fits(path, vec![item.value.to_value()].into()).is_err());
            place = wrong.map_or(place, |item| Place::File(At::of(&item.referenced)));
        }
        let (text, help) = match &node.value {
            Node::Scalar(Value::Null) => {
                ("has no value".to_owned(), Some("give it one, or delete the line for the default".to_owned()))
            }
            _ => (in_words(&error), None),
        };
        self.refuse(&place, format!("`{}`: {text}", path.join(".")), help);
    }

    /// Whether a key's type takes this value, alone upon the defaults.
    fn fits(&self, path: &[String], value: Value) -> Result<(), String> {
        let mut alone = self.defaults.clone();
        set_at(&mut alone, path, value);
        serde_json::from_value::<Config>(alone).map(drop).map_err(|error| error.to_string())
    }

    fn set(&mut self, path: &[String], value: Value, place: Place) {
        set_at(&mut self.tree, path, value);
        self.places.insert(path.join("."), place);
    }

    /// The characters of a plain value as they stand in the file: `1.10` and not the number 1.1.
    fn written(&self, location: &Location) -> Option<&'a str> {
        let span = location.span();
        let from = span.byte_offset()? as usize;
        self.text.get(from..from + span.byte_len()? as usize)
    }

    fn refuse_key(&mut self, path: &[String], place: &Place) {
        let (key, parent) = path.split_last().expect("a key has a name");
        let siblings = known_at(&self.known, parent).and_then(Value::as_object);
        let names: Vec<&str> = siblings.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let elsewhere = || leaf_paths(&self.known).into_iter().find(|path| path.rsplit('.').next() == Some(key));
        let help = if let Some(name) = problem::nearest(key, names.iter().copied()) {
            Some(format!("did you mean `{name}`?"))
        } else if problem::is_secret_key(key) {
            Some(
                "secrets do not belong into the configuration: put the key into the environment variable that \
                 `api_key_env` names, or into a systemd credential of that name in lower case"
                    .into(),
            )
        } else if let Some(path) = elsewhere() {
            Some(format!("did you mean `{path}`?"))
        } else {
            (!names.is_empty()).then(|| format!("the keys here: `{}`", names.join("`, `")))
        };
        let text = match parent {
            [] => format!("there is no key `{key}`"),
            _ => format!("there is no key `{key}` in `{}`", parent.join(".")),
        };
        self.refuse(place, text, help);
    }

    fn refuse(&mut self, place: &Place, text: String, help: Option<String>) {
        let (order, place, snippet) = match place {
            Place::Default => ((0, 0), self.name.display().to_string(), None),
            Place::Env(variable) => ((usize::MAX, 0), variable.clone(), None),
            Place::File(at) => {
                let keys = leaf_paths(&self.known);
                let known = |key: &str| keys.iter().any(|path| path.rsplit('.').next() == Some(key));
                (
                    (at.line, at.column),
                    format!("{}:{}:{}", self.name.display(), at.line, at.column),
                    problem::snippet(self.text, at.line, at.column, at.len, &known),
                )
            }
        };
        self.problems.push((order, Problem { place, text, snippet, help }));
    }

    /// The whole, once each value has been taken by its type: checks what more than one type can say.
    fn finish(mut self) -> Result<Config, ConfigError> {
        let mut config: Config = serde_json::from_value(self.tree.clone()).expect("each value was tried alone");
        for row in config.providers.rows_mut() {
            row.api_key_env.take_if(|name| name.is_empty());
        }
        for fault in validate::check(&config) {
            let mut path = fault.key.as_str();
            while !self.places.contains_key(path) && path.contains('.') {
                path = &path[..path.rfind('.').expect("it was just seen")];
            }
            let place = self.places.get(path).cloned().unwrap_or(Place::Default);
            self.refuse(&place, format!("`{}`: {}", fault.key, fault.text), fault.help);
        }
        if self.problems.is_empty() {
            return Ok(config);
        }
        self.problems.sort_by_key(|(order, _)| *order);
        Err(ConfigError::Refused(self.problems.into_iter().map(|(_, problem)| problem).collect()))
    }
}

fn known_at<'v>(known: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(known, |at, key| at.get(key).or_else(|| at.get(ANY)))
}

fn set_at(tree: &mut Value, path: &[String], value: Value) {
    *path.iter().fold(tree, |at, key| &mut at[key.as_str()]) = value;
}

/// The full names of all keys that hold a value.
fn leaf_paths(known: &Value) -> Vec<String> {
    let Value::Object(entries) = known else {
        return vec![String::new()];
    };
    let below = |(key, value)| leaf_paths(value).into_iter().map(move |rest| format!("{key}.{rest}"));
    entries.iter().flat_map(below).map(|path| path.trim_end_matches('.').to_owned()).collect()
}

/// serde's words for a type, in the owner's.
fn in_words(error: &str) -> String {
    let words = [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number"),
        ("expected usize", "expected a whole number"),
        ("expected f32", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list such as [a, b]"),
        ("expected a string", "expected text"),
        ("expected path string", "expected a path"),
        ("invalid type: ", "got "),
        ("invalid value: ", "got "),
        ("unknown variant ", "got "),
    ];
    words.iter().fold(error.to_owned(), |text, (from, to)| text.replace(from, to))
}
