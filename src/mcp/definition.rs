//! What a tool is: its name, its words for whoever reads it, its schemas, and who may call it. The same for the hub's own
//! tools and for those of a server behind it. Calls nothing.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::common::json_text::JsonText;
use crate::common::who::Role;

/// A tool as everybody sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// 1 to 64 of `[A-Za-z0-9_.-]`; the hub's own have a dot (`users.list`), a server's two underscores (`files__read`).
    pub name: Box<str>,
    pub title: Option<String>,
    /// For a model: what it does and when to use it.
    pub description: String,
    /// JSON Schema 2020-12 of the arguments; an object. A server's own is kept as it came.
    pub input: JsonText,
    /// JSON Schema of the structured result, where there is one.
    pub output: Option<JsonText>,
    pub annotations: Annotations,
    /// The least role that may call it.
    pub access: Role,
    pub origin: Origin,
    /// Among the first that a model sees.
    pub pinned: bool,
    /// What else a server said of it (`icons`, `_meta`, `execution`), given on unchanged.
    pub extra: Map<String, Value>,
}

/// Where a tool lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Hub,
    Server { slug: Box<str>, tool: Box<str> },
}

/// Hints about what a call does (MCP `ToolAnnotations`). Absent: nothing was said, and the worst is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Annotations {
    pub read_only: Option<bool>,
    pub destructive: Option<bool>,
    pub idempotent: Option<bool>,
    pub open_world: Option<bool>,
}

impl Annotations {
    /// Changes nothing.
    pub const READS: Annotations =
        Annotations { read_only: Some(true), destructive: None, idempotent: Some(true), open_world: Some(false) };

    /// Changes something that can be changed back; twice is as good as once.
    pub const SETS: Annotations = Annotations {
        read_only: Some(false),
        destructive: Some(false),
        idempotent: Some(true),
        open_world: Some(false),
    };

    /// Adds something each time.
    pub const ADDS: Annotations = Annotations {
        read_only: Some(false),
        destructive: Some(false),
        idempotent: Some(false),
        open_world: Some(false),
    };

    /// What it takes away does not come back.
    pub const DESTROYS: Annotations = Annotations {
        read_only: Some(false),
        destructive: Some(true),
        idempotent: Some(true),
        open_world: Some(false),
    };

    /// Whether a person is to be asked first: said to destroy. A server's tool that says nothing is asked about as well, since
    /// MCP takes silence for the worst.
    pub fn is_destructive(&self) -> bool {
        self.read_only != Some(true) && self.destructive != Some(false)
    }

    /// As MCP writes them.
    pub fn to_value(self) -> Value {
        let hints = [
            ("readOnlyHint", self.read_only),
            ("destructiveHint", self.destructive),
            ("idempotentHint", self.idempotent),
            ("openWorldHint", self.open_world),
        ];
        hints
            .into_iter()
            .filter_map(|(key, hint)| Some((key.to_owned(), Value::Bool(hint?))))
            .collect::<Map<_, _>>()
            .into()
    }

    /// As a server wrote them.
    pub fn from_value(value: &Value) -> Annotations {
        let hint = |key: &str| value.get(key).and_then(Value::as_bool);
        Annotations {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        }
    }
}

impl Definition {
    /// A tool of the hub's own.
    pub fn native<I: JsonSchema, O: JsonSchema>(
        name: &str,
        title: &str,
        description: &str,
        annotations: Annotations,
        access: Role,
    ) -> Definition {
        Definition {
            name: name.into(),
            title: Some(title.into()),
            description: description.into(),
            input: schema_of::<I>().into(),
            output: Some(schema_of::<O>().into()),
            annotations,
            access,
            origin: Origin::Hub,
            pinned: false,
            extra: Map::new(),
        }
    }

    /// As `tools/list` gives it (MCP `Tool`).
    pub fn to_value(&self) -> Value {
        let mut tool = self.extra.clone();
        tool.insert("name".into(), json!(self.name));
        if let Some(title) = &self.title {
            tool.insert("title".into(), json!(title));
        }
        tool.insert("description".into(), json!(self.description));
        tool.insert("inputSchema".into(), self.input.to_value());
        if let Some(output) = &self.output {
            tool.insert("outputSchema".into(), output.to_value());
        }
        if self.annotations != Annotations::default() {
            tool.insert("annotations".into(), self.annotations.to_value());
        }
        tool.into()
    }
}

/// The schema of a type, without references: models and clients read it as it stands.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("title");
        if fields.get("type").and_then(Value::as_str) == Some("object") {
            fields.entry("properties").or_insert_with(|| json!({}));
        }
    }
    say_anything_as_object(&mut schema);
    schema
}

/// Anything goes: `true` is a schema, but MCP up to 2025-11-25 allows objects alone as those of properties.
fn say_anything_as_object(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().filter(|property| **property == true).for_each(|property| *property = json!({}));
    }
    for value in fields.values_mut() {
        match value {
            Value::Object(inner) => inner.values_mut().for_each(say_anything_as_object),
            Value::Array(list) => list.iter_mut().for_each(say_anything_as_object),
            _ => {}
        }
        say_anything_as_object(value);
    }
}
