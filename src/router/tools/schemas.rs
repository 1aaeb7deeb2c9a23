//! Compiled tools, remembered for as long as their definitions are the same ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::adapters::llm::schema::{self, Dialect};
use crate::common::chat;
use crate::mcp::Definition;

/// Compiled tools kept: a thousand tools in some dialects each. Past it all are forgotten, which costs milliseconds.
const KEPT_MAX: usize = 4096;

/// A tool in the words of one dialect.
#[derive(Debug, PartialEq)]
pub struct Compiled {
    pub tool: Arc<chat::Tool>,
    /// Of name, description and schema.
    pub bytes: usize,
}

/// See the module.
#[derive(Default)]
pub struct Schemas(Mutex<BTreeMap<(Box<str>, Dialect), Kept>>);

struct Kept {
    /// What it was made of: a definition that is another one, or says something else, is compiled anew.
    of: Arc<Definition>,
    compiled: Option<Arc<Compiled>>,
}

impl Schemas {
    /// `wire` is the tool's name on the wire. The error is why the tool has to be left out, the first time that it is found out.
    pub fn compiled(
        &self,
        tool: &Arc<Definition>,
        wire: &str,
        dialect: Dialect,
    ) -> Result<Arc<Compiled>, Option<String>> {
        let key = (tool.name.clone(), dialect);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&key).filter(|known| is_same(&known.of, tool)) {
            match &known.compiled {
                None => return Err(None),
                Some(compiled) if compiled.tool.name == wire => return Ok(compiled.clone()),
                Some(_) => {}
            }
        }
        let made = compile(tool, wire, dialect);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, Kept { of: tool.clone(), compiled: made.as_ref().ok().cloned() });
        made.map_err(|why| {
            tracing::warn!(tool = &*tool.name, ?dialect, why, "a tool cannot be shown to a model");
            Some(format!("the tool {} cannot be shown to this model: {why}", tool.name))
        })
    }
}

fn is_same(a: &Arc<Definition>, b: &Arc<Definition>) -> bool {
    Arc::ptr_eq(a, b) || (a.description == b.description && a.input == b.input)
}

fn compile(tool: &Definition, wire: &str, dialect: Dialect) -> Result<Arc<Compiled>, String> {
    let schema::Compiled { schema, note } =
        schema::compile(&tool.input.to_value(), dialect).map_err(|why| why.to_string())?;
    let note = note.map(|note| format!("\nArguments: {note}.")).unwrap_or_default();
    let chars_max = dialect.description_chars_max();
    let room = chars_max.saturating_sub(note.chars().count());
    let mut description = schema::cut(tool.description.trim(), room);
    description.push_str(&note);
    let schema = chat::ToolSchema::from(schema);
    let bytes = wire.len() + description.len() + schema.text().len();
    let description = Some(description).filter(|words| !words.is_empty());
    let tool = Arc::new(chat::Tool { name: wire.to_owned(), description, schema, strict: None });
    Ok(Arc::new(Compiled { tool, bytes }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::router::tools::testing::tool;

    #[test]
    fn a_tool_is_compiled_once_and_anew_when_it_changes() {
        let (schemas, lamp) = (Schemas::default(), tool("lamp"));
        let first = schemas.compiled(&lamp, "lamp", Dialect::OpenAi).expect("an object");
        assert!(Arc::ptr_eq(&first, &schemas.compiled(&tool("lamp"), "lamp", Dialect::OpenAi).expect("the same")));
        let mut changed = (*lamp).clone();
        changed.description = "x".repeat(2000);
        changed.input = json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}).into();
        let second = schemas.compiled(&Arc::new(changed), "lamp", Dialect::OpenAi).expect("an object");
        let words = second.tool.description.as_deref().expect("there are words");
        assert_eq!(words.chars().count(), 1024);
        assert!(words.ends_with("…\nArguments: either {a: anything}, or {b: anything}."), "{words}");
        let renamed = schemas.compiled(&lamp, "lamp_0a1b2c", Dialect::OpenAi).expect("an object");
        assert_eq!(renamed.tool.name, "lamp_0a1b2c");
    }

    #[test]
    fn why_one_is_left_out_is_told_once() {
        let schemas = Schemas::default();
        let mut odd = (*tool("odd")).clone();
        odd.input = json!({"type": "string"}).into();
        let odd = Arc::new(odd);
        let told = schemas.compiled(&odd, "odd", Dialect::Ollama).expect_err("no object").expect("the first time");
        assert!(told.starts_with("the tool odd cannot be shown to this model: its arguments are no object"), "{told}");
        assert_eq!(schemas.compiled(&odd, "odd", Dialect::Ollama), Err(None));
    }
}
