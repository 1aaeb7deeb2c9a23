//! What may stand in the row of an MCP server, in the file or in the store: one set of rules for both.

use super::McpServer;
use super::validate::{http_url, is_env_name};

/// The longest name of a server: with two underscores and a tool's own name it must stay below 64 bytes.
pub const SERVER_NAME_BYTES_MAX: usize = 24;

/// Something that a row cannot mean.
pub(super) struct Fault {
    /// Below the row; empty for the row as a whole.
    pub key: String,
    pub text: &'static str,
    pub help: &'static str,
}

/// Whether `name` may be part of a tool's name: 1 to 24 of `[A-Za-z0-9_-]`, with no two underscores in a row and none at the
/// end.
pub fn is_server_name(name: &str) -> bool {
    (1..=SERVER_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && !name.contains("__")
        && !name.ends_with('_')
}

impl McpServer {
    /// The first thing that is wrong with it, as one line.
    pub fn check(&self) -> Result<(), String> {
        let Some(fault) = self.faults().into_iter().next() else { return Ok(()) };
        let dot = if fault.key.is_empty() { "" } else { ": " };
        let help = if fault.help.is_empty() { String::new() } else { format!(" ({})", fault.help) };
        Err(format!("{}{dot}{}{help}", fault.key, fault.text))
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |key: &str, text, help| faults.push(Fault { key: key.into(), text, help });
        match (&self.command[..], &self.url) {
            ([], None) => add("", "it has neither `command` nor `url`", "give it one of the two"),
            ([], Some(url)) => {
                if let Err(text) = http_url(url) {
                    add("url", text, "for example https://host/mcp");
                }
            }
            (_, Some(_)) => add("", "it has both `command` and `url`", "remove one of the two"),
            ([program, ..], None) if program.is_empty() => add("command", "the program's name is empty", ""),
            (_, None) => {}
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            add("command", "a word holds a zero byte", "");
        }
        if !self.command.is_empty() && !self.headers_env.is_empty() {
            add("headers_env", "a server that is a command gets no headers", "");
        }
        for (header, env) in &self.headers_env {
            if header.is_empty() || !header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                add("headers_env", "a header's name has other characters", "for example Authorization");
            }
            if !is_env_name(env) {
                let help = "it names the variable that holds the header's value; the value itself does not belong here";
                add(&format!("headers_env.{header}"), "this is no name of an environment variable", help);
            }
        }
        for (name, value) in &self.env {
            if !is_env_name(name) || value.contains('\0') {
                add(&format!("env.{name}"), "this is no environment variable", "a name such as LANG and its value");
            }
        }
        for (name, from) in &self.env_from {
            if !is_env_name(name) || !is_env_name(from) {
                let help = "the program's name of a variable, and the hub's name of the one that holds the value";
                add(&format!("env_from.{name}"), "this is no name of an environment variable", help);
            }
        }
        if !(1..=3600).contains(&self.call_s) {
            add("call_s", "a call takes 1 to 3600 seconds", "60 is the default");
        }
        if !(1..=1024).contains(&self.max_calls) {
            add("max_calls", "1 to 1024 calls at once", "16 is the default");
        }
        if self.memory_mb.is_some_and(|mb| !(16..=65_536).contains(&mb)) {
            add("memory_mb", "16 to 65536 MiB", "leave it out for no limit of its own");
        }
        faults
    }
}
