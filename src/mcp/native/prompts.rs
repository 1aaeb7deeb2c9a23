//! Prompts: questions about the house that a client can put to its own model, with what the hub knows in them. A table, and
//! how one is filled in.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Shared;
use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::mcp::call::Fault;

/// What one tool brings into a prompt, bytes; the rest is cut off.
const BROUGHT_BYTES_MAX: usize = 256 * 1024;

/// One prompt.
pub struct Prompt {
    pub name: &'static str,
    title: &'static str,
    description: &'static str,
    pub arguments: &'static [Argument],
    /// What is read for it: a tool, and which argument of the prompt is which of the tool's.
    reads: &'static [(&'static str, &'static [(&'static str, &'static str)])],
    /// What the model is asked; what was read follows.
    text: &'static str,
}

pub struct Argument {
    pub name: &'static str,
    description: &'static str,
    required: bool,
}

/// By name.
static PROMPTS: &[Prompt] = &[
    Prompt {
        name: "explain_setting",
        title: "Explain a setting",
        description: "What a setting of the hub means, what it is now, and when to change it.",
        arguments: &[Argument { name: "key", description: "The setting, such as house.timezone.", required: true }],
        reads: &[("settings.get", &[("key", "key")])],
        text: "Explain this setting of the house's hub to somebody who lives there: what it means, what it is now, and when one would \
               change it. Two or three sentences, no jargon.",
    },
    Prompt {
        name: "find_in_history",
        title: "What was said about it",
        description: "Answers a question from what was said in earlier conversations.",
        arguments: &[
            Argument { name: "words", description: "Words that must be in a message.", required: true },
            Argument { name: "question", description: "What is to be known.", required: false },
        ],
        reads: &[("conversations.search", &[("words", "q")])],
        text: "Below are messages of earlier conversations in which these words were found. Say what was said about it, newest first, \
               with the day of each, and answer the question if there is one. Say so where the messages do not tell.",
    },
    Prompt {
        name: "house_report",
        title: "How the house is",
        description: "A short report on the hub: what it is, what was asked of it lately, and what that cost.",
        arguments: &[],
        reads: &[("status", &[]), ("usage.get", &[])],
        text: "Write a short report on the house's hub from what it says of itself below: how it is, what was asked of language models \
               lately and what that cost, and anything that somebody should look at. Plain words, at most ten sentences.",
    },
    Prompt {
        name: "summarise_conversation",
        title: "Summarise a conversation",
        description: "What was said in a conversation, what was decided, and what is still open.",
        arguments: &[Argument { name: "id", description: "The conversation.", required: true }],
        reads: &[("conversations.export", &[("id", "id")])],
        text: "Summarise the conversation below: what it was about, what was found out or decided, and what is still open. Use the \
               language in which it was held.",
    },
];

pub fn find(name: &str) -> Option<&'static Prompt> {
    PROMPTS.iter().find(|prompt| prompt.name == name)
}

/// MCP `Prompt`s that `who` may use, by name.
pub fn list(shared: &Shared, who: &Principal) -> Vec<Value> {
    let usable = PROMPTS.iter().filter(|prompt| prompt.reads.iter().all(|(tool, _)| shared.may(who, tool)));
    usable
        .map(|prompt| {
            let arguments = prompt.arguments.iter().map(|argument| {
                let Argument { name, description, required } = argument;
                json!({ "name": name, "description": description, "required": required })
            });
            json!({
                "name": prompt.name,
                "title": prompt.title,
                "description": prompt.description,
                "arguments": arguments.collect::<Vec<_>>(),
            })
        })
        .collect()
}

/// `prompts/get`.
pub async fn get(shared: &Shared, params: &Value, who: Arc<Principal>) -> Result<Value, Fault> {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let prompt = find(name)
        .ok_or_else(|| Fault::new(ErrorCode::NotFound, "there is no such prompt; prompts/list shows what there is"))?;
    let given = |name: &str| params.pointer(&format!("/arguments/{name}")).and_then(Value::as_str);
    for argument in prompt.arguments.iter().filter(|argument| argument.required) {
        if given(argument.name).is_none_or(str::is_empty) {
            let why = format!("arguments.{}: is missing, a text is wanted ({})", argument.name, argument.description);
            return Err(Fault::new(ErrorCode::BadRequest, why));
        }
    }
    let mut text = prompt.text.to_owned();
    for argument in prompt.arguments {
        if let Some(value) = given(argument.name) {
            text.push_str(&format!("\n\n{}: {value}", argument.name));
        }
    }
    for (tool, named) in prompt.reads {
        let filled = named
            .iter()
            .filter_map(|(of_prompt, of_tool)| Some(((*of_tool).to_owned(), Value::from(given(of_prompt)?))));
        let brought = shared.run(tool, filled.collect::<Map<_, _>>(), who.clone()).await?;
        // A file is shown as it is, all else as JSON.
        let brought = brought.get("text").and_then(Value::as_str).map_or_else(|| brought.to_string(), str::to_owned);
        let end = brought.floor_char_boundary(BROUGHT_BYTES_MAX);
        let cut = if end < brought.len() { "\n[cut off here]" } else { "" };
        text.push_str(&format!("\n\n--- {tool} ---\n{}{cut}", &brought[..end]));
    }
    Ok(json!({
        "description": prompt.description,
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }],
    }))
}
