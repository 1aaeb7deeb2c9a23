//! A small MCP server on standard input and output, for measuring and for breaking: some tools that echo, and faults on
//! demand. Speaks revision 2025-06-18 and nothing beyond what it needs.
//!
//! `tiny_mcp_server NAME [TOOLS] [ok|crash|hang|garbage|flood]`

use std::io::{BufRead, Write};

use serde_json::{Value, json};

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "tiny".into());
    let tools: usize = args.next().and_then(|count| count.parse().ok()).unwrap_or(5);
    let fault = args.next().unwrap_or_else(|| "ok".into());
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        match fault.as_str() {
            "crash" => std::process::exit(3),
            "hang" => continue,
            "garbage" => {
                let _ = writeln!(out, "\u{1b}[31mnot JSON at all {{{{");
                let _ = out.flush();
                continue;
            }
            "flood" => loop {
                if writeln!(out, "{}", "x".repeat(4096)).is_err() {
                    return;
                }
            },
            _ => {}
        }
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(id) = message.get("id") else { continue };
        let answer = match message["method"].as_str().unwrap_or_default() {
            "initialize" => Ok(json!({
                "protocolVersion": "2025-06-18",
                "capabilities": { "tools": {} },
                "serverInfo": { "name": name, "version": "1" },
            })),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(json!({ "tools": (0..tools).map(|number| tool(&name, number)).collect::<Vec<_>>() })),
            "tools/call" => Ok(json!({
                "content": [{ "type": "text", "text": message["params"]["arguments"]["text"].as_str().unwrap_or("") }],
            })),
            _ => Err(json!({ "code": -32601, "message": "no such method" })),
        };
        let answer = match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
        };
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn tool(name: &str, number: usize) -> Value {
    json!({
        "name": format!("echo_{number}"),
        "description": format!("Says again what it is told: number {number} of {name}."),
        "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        "annotations": { "readOnlyHint": true },
    })
}
