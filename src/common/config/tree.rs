//! YAML as a tree in which every value knows its place. Knows no key of the hub's: `load` does.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Options, Spanned};

/// Nodes of a file (a key counts, and a value). The file with every key has some 150.
const NODES_MAX: usize = 4096;

/// Nesting; the file needs 5.
const DEPTH_MAX: usize = 16;

/// Aliases (`*name`) of a file: enough to say something twice, too few for a bomb.
const ALIASES_MAX: usize = 64;

/// A value and where it stands.
#[derive(Debug)]
pub enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match self {
            Node::Scalar(value) => value.clone(),
            Node::List(items) => items.iter().map(|item| item.value.to_value()).collect(),
            Node::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.value.clone(), node.value.to_value())).collect())
            }
        }
    }
}

/// Why a text is no YAML that the hub takes: the words, and the place where there is one.
#[derive(Debug)]
pub struct YamlError {
    pub text: String,
    pub location: Option<Location>,
}

/// Reads one document. A text without any (empty, or comments only) is an empty map.
pub fn parse(text: &str) -> Result<Spanned<Node>, YamlError> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let (location, error) = (error.location(), error.without_snippet());
        let whole = error.to_string();
        let place = location.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        let text = match error {
            serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("the key `{key}` stands here twice")
            }
            serde_saphyr::Error::Budget { .. } => format!("this is more than a configuration needs ({whole})"),
            _ => whole,
        };
        YamlError { text: place.map_or(text.clone(), |place| text.replace(&place, "")), location }
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_documents: 1,
        },
        with_snippet: false,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
