//! `hearth devices watch` and `pair`: what the hub tells over its WebSocket, a line for each thing, as it comes. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::app;
use crate::cli::hub::{Hub, HubArgs, escaped};
use crate::cli::line::Line;
use crate::cli::listing::harmless;
use crate::cli::{FAILED, INTERRUPTED};

use super::{PATH, pairs};

/// The id of what we ask for.
const ID: &str = "watch";

/// Changes of one device or of all, until Ctrl-C.
pub fn changes(place: &HubArgs, hub: &Hub, device: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let topic = match device {
        // By its id: a name may change while we look.
        Some(device) => {
            let found = hub.get(&format!("{PATH}/{}", escaped(device)))?;
            format!("device/{}", found["id"].as_str().context("the hub named no id")?)
        }
        None => "devices".to_owned(),
    };
    app::runtime()?.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened to")?;
        let mut line = subscribed(place, &[&topic]).await?;
        let mut names = BTreeMap::new();
        loop {
            let message = tokio::select! {
                message = line.receive() => message?,
                _ = interrupts.recv() => return Ok(ExitCode::SUCCESS),
            };
            let Some(event) = event(&message)? else { continue };
            match json {
                true => println!("{event}"),
                false => change(event, &mut names).iter().for_each(|line| println!("{line}")),
            }
        }
    })
}

/// Lets devices in and shows what becomes of them; ends with the first one that has come in meanwhile and is interviewed, or when
/// the time is over. One of the house whose interview happens to end is not what is waited for.
pub fn pairing(place: &HubArgs, wish: &Value, keep_open: bool, json: bool) -> anyhow::Result<ExitCode> {
    app::runtime()?.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened to")?;
        let mut line = subscribed(place, &["pairing"]).await?;
        let start = json!({ "name": "pairing.start", "arguments": wish });
        line.send(&json!({ "action": "tool", "request_id": "start", "payload": start })).await?;
        let mut screen = Screen { is_terminal: std::io::stderr().is_terminal() && !json, is_drawn: false };
        let mut found = Found::default();
        let mut is_open = false;
        loop {
            let message = tokio::select! {
                message = line.receive() => message?,
                _ = interrupts.recv() => {
                    screen.clear();
                    close(&mut line).await?;
                    return Ok(ExitCode::from(INTERRUPTED));
                }
            };
            if message["request_id"] == "start" {
                is_open |= started(&message)?;
                continue;
            }
            let Some(event) = event(&message)?.filter(|event| event["snapshot"] != true) else { continue };
            let news = &event["record"];
            if json {
                println!("{event}");
            } else if let Some(line) = found.line(news) {
                screen.clear();
                println!("{line}");
            }
            match news["event"].as_str().unwrap_or_default() {
                "open" => screen.draw(&format!(
                    "looking for devices, {} s left; make yours look for a network",
                    news["seconds_left"].as_u64().unwrap_or_default()
                )),
                "joined" | "step" => {
                    found.is_busy = true;
                    if news["event"] == "joined" || news["number"] == 1 {
                        found.newcomers.insert(id_of(news));
                    }
                }
                "interviewed" if !keep_open && found.newcomers.contains(&id_of(news)) => {
                    screen.clear();
                    close(&mut line).await?;
                    return Ok(ExitCode::SUCCESS);
                }
                "interviewed" | "failed" => {
                    found.is_busy = false;
                    found.any = true;
                }
                // The closing of a search that was there before ours is none of ours.
                "closed" if is_open && !found.is_busy => {
                    screen.clear();
                    if !json && !found.any {
                        eprintln!("Nothing was found.");
                    }
                    return Ok(ExitCode::from(if found.any { 0 } else { FAILED }));
                }
                _ => {}
            }
        }
    })
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    any: bool,
    /// An interview runs, which goes on after the search.
    is_busy: bool,
    /// Ids of those whose interview has begun since.
    newcomers: BTreeSet<String>,
}

fn id_of(news: &Value) -> String {
    news["id"].as_str().unwrap_or_default().to_owned()
}

impl Found {
    /// A line for people; the countdown has its own.
    fn line(&self, news: &Value) -> Option<String> {
        let id = harmless(news["name"].as_str().or(news["id"].as_str()).unwrap_or_default());
        let step = harmless(news["step"].as_str().unwrap_or_default());
        Some(match news["event"].as_str()? {
            "joined" => format!("{id} has joined"),
            "step" => format!("{id}: {step} ({} of {})", news["number"], news["of"]),
            "interviewed" => {
                let model = [&news["vendor"], &news["model"]].into_iter().filter_map(Value::as_str).map(harmless);
                let model = model.collect::<Vec<_>>().join(" ");
                if model.is_empty() { format!("{id} is ready") } else { format!("{id} is ready: {model}") }
            }
            "failed" => {
                let why = harmless(news["why"].as_str().unwrap_or_default());
                format!("{id}: {step} failed: {why}; it is asked again when it is heard of")
            }
            _ => return None,
        })
    }
}

/// Whether the search has begun; an error where it is refused.
fn started(message: &Value) -> anyhow::Result<bool> {
    match message["status"].as_str() {
        Some("complete") => {
            let result = &message["chunk"]["metadata"]["result"];
            if result["is_error"] == true {
                bail!("{}", harmless(result["content"][0]["text"].as_str().unwrap_or("the search did not begin")));
            }
            Ok(true)
        }
        Some("error") => bail!("the hub says: {}", harmless(message["error"]["message"].as_str().unwrap_or_default())),
        _ => Ok(false),
    }
}

/// Ends the search that we began, and waits for the hub's word on it.
async fn close(line: &mut Line) -> anyhow::Result<()> {
    let stop = json!({ "name": "pairing.stop", "arguments": {} });
    line.send(&json!({ "action": "tool", "request_id": "stop", "payload": stop })).await?;
    loop {
        let message = line.receive().await?;
        if message["request_id"] == "stop" && matches!(message["status"].as_str(), Some("complete" | "error")) {
            return Ok(());
        }
    }
}

async fn subscribed(place: &HubArgs, topics: &[&str]) -> anyhow::Result<Line> {
    let mut line = Line::connect(place.place()?, "hearth devices", &["events"]).await?;
    let payload = json!({ "topics": topics, "snapshot": true });
    line.send(&json!({ "action": "subscribe", "request_id": ID, "payload": payload })).await?;
    Ok(line)
}

/// The event of a message, if it is one.
fn event(message: &Value) -> anyhow::Result<Option<&Value>> {
    if message["request_id"] == ID && message["status"] == "error" {
        bail!("the hub says: {}", harmless(message["error"]["message"].as_str().unwrap_or_default()));
    }
    Ok((message["status"] == "event").then(|| &message["event"]))
}

/// Lines for people; `names` remembers what devices are called.
fn change(event: &Value, names: &mut BTreeMap<String, String>) -> Vec<String> {
    if event["reread"] == true {
        return vec!["(some changes came too fast to be told)".into()];
    }
    let key = event["key"].as_str().unwrap_or_default().to_owned();
    if let Some(name) = event["record"]["name"].as_str() {
        names.insert(key.clone(), harmless(name));
    }
    let name = names.get(&key).cloned().unwrap_or_else(|| harmless(&key));
    if event["deleted"] == true {
        return vec![format!("{name} is gone")];
    }
    let told = if event["changes"].is_object() { &event["changes"] } else { &event["record"] };
    let mut words: Vec<String> = Vec::new();
    match told["available"].as_bool() {
        Some(false) => words.push("unreachable".into()),
        Some(true) if event["changes"].is_object() => words.push("reachable".into()),
        _ => {}
    }
    let state = pairs(&told["state"], usize::MAX).replace('\n', "  ");
    words.extend(Some(state).filter(|state| !state.is_empty()));
    vec![format!("{name}  {}", words.join("  ")).trim_end().to_owned()]
}

/// One line on stderr that is drawn over and over.
struct Screen {
    is_terminal: bool,
    is_drawn: bool,
}

impl Screen {
    fn draw(&mut self, text: &str) {
        if self.is_terminal {
            self.is_drawn = true;
            eprint!("\r\x1b[2K{text}");
            // A terminal that is gone ends the command as well.
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            eprint!("\r\x1b[2K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_name() {
        let mut names = BTreeMap::new();
        let there = json!({ "key": "0x1", "record": { "name": "lamp", "state": { "state": "ON" } }, "snapshot": true });
        assert_eq!(change(&there, &mut names), ["lamp  state=ON"]);
        let dimmed = json!({ "key": "0x1", "changes": { "state": { "brightness": 7 }, "available": true } });
        assert_eq!(change(&dimmed, &mut names), ["lamp  reachable  brightness=7"]);
        assert_eq!(change(&json!({ "key": "0x1", "deleted": true }), &mut names), ["lamp is gone"]);
        assert_eq!(
            change(&json!({ "key": "0x2", "changes": { "available": false } }), &mut names),
            ["0x2  unreachable"]
        );
    }

    #[test]
    fn an_interview_is_told_step_by_step() {
        let told = |news: Value| Found::default().line(&news);
        assert_eq!(told(json!({ "event": "joined", "id": "0x1" })), Some("0x1 has joined".into()));
        let step = json!({ "event": "step", "id": "0x1", "step": "basic", "number": 4, "of": 6 });
        assert_eq!(told(step), Some("0x1: basic (4 of 6)".into()));
        let ready = json!({ "event": "interviewed", "id": "0x1", "name": "lamp", "vendor": "Acme", "model": "L1" });
        assert_eq!(told(ready), Some("lamp is ready: Acme L1".into()));
        assert_eq!(told(json!({ "event": "open", "seconds_left": 7 })), None);
    }
}
