//! `hearth devices`: what is in the house, and doing something with it. Asks a running hub, which decides; values are made of words
//! here, by what the device says of itself.

mod bindings;
mod values;
mod watch;

use std::process::ExitCode;

use anyhow::{anyhow, bail, ensure};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::cli::FAILED;
use crate::cli::hub::{Hub, HubArgs, escaped, shown};
use crate::cli::listing::{harmless, table};
use crate::cli::tools::{Bar, in_steps};
use crate::cli::users::all;

const PATH: &str = "/api/v1/devices";

/// Properties of a device in a list; `get` shows all.
const STATE_SHOWN: usize = 4;

/// Seconds that a search for new devices lasts where nobody says how long.
const PAIR_S: u16 = 120;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print the hub's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Subcommand)]
enum What {
    /// What is in the house (what comes without a word, too).
    List {
        /// Only what has these words in name, room, model or id.
        query: Vec<String>,
        #[arg(long)]
        room: Option<String>,
        /// light, switch, cover, climate, lock, fan, sensor or remote.
        #[arg(long, value_name = "KIND")]
        domain: Option<String>,
    },
    /// Everything about one device: a name or an id.
    Get { device: String },
    /// Set properties: hearth devices set "kitchen lamp" state=on brightness=50%.
    Set {
        /// Names or ids, and property=value for what is to be set: on, 50, 50%, warm, #ff8800, or JSON.
        #[arg(required = true, value_name = "DEVICE | PROPERTY=VALUE")]
        words: Vec<String>,
        /// Everything in this room that can be set so.
        #[arg(long)]
        room: Option<String>,
        /// Of a room, or of the house, only these: light, switch, cover, …
        #[arg(long, value_name = "KIND")]
        domain: Option<String>,
        /// But not this one; again for more.
        #[arg(long, value_name = "DEVICE")]
        except: Vec<String>,
    },
    /// Ask a device for its values now; for all that it tells where none is named.
    Read { device: String, properties: Vec<String> },
    /// Show changes as they come, until Ctrl-C; of one device, or of all.
    Watch { device: Option<String> },
    /// Let new devices in, and show how they are found.
    Pair {
        /// How long to look for them, 1 to 254.
        #[arg(long, default_value_t = PAIR_S, value_parser = clap::value_parser!(u16).range(1..=254))]
        seconds: u16,
        /// Only through this router.
        #[arg(long, value_name = "DEVICE")]
        via: Option<String>,
        /// The address and the install code of a device that needs one: 0x00124b0014d9a1b2:83FED3407A93….
        #[arg(long, value_name = "ID:CODE")]
        code: Option<String>,
        /// Go on looking when the first one is there.
        #[arg(long)]
        keep_open: bool,
    },
    /// Give a device another name.
    Rename { device: String, name: String },
    /// Put a device into a room; without one, take it out of its room.
    Room { device: String, room: Option<String> },
    /// Send a device away.
    Remove {
        device: String,
        /// Forget it even where it does not answer.
        #[arg(long)]
        force: bool,
    },
    /// Ask a device anew what it is.
    Interview { device: String },
    /// Give a device the newest firmware that there is for it, and wait until it runs it.
    Update { device: String },
    /// Have a remote, switch or sensor speak straight to a lamp, a group, or the hub.
    Bind(bindings::Wish),
    /// Have it no longer do so.
    Unbind(bindings::Wish),
    /// To whom a device speaks straight.
    Bindings { device: String },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { what, json, hub: place } = args;
    let hub = place.hub()?;
    match what.unwrap_or(What::List { query: Vec::new(), room: None, domain: None }) {
        What::List { query, room, domain } => list(&hub, &query.join(" "), room, domain, json),
        What::Get { device } => {
            let device = hub.get(&one(&device))?;
            show(&device, json, page)
        }
        What::Set { words, room, domain, except } => set(&hub, &words, Wish { room, domain, except }, json),
        What::Read { device, properties } => {
            let asked = json!({ "device": device, "properties": properties });
            show(&done(&hub, "devices.read", &asked, json)?, json, |read| pairs(&read["state"], usize::MAX))
        }
        What::Watch { device } => watch::changes(&place, &hub, device.as_deref(), json),
        What::Pair { seconds, via, code, keep_open } => {
            let mut wish = json!({ "seconds": seconds });
            if let Some(via) = via {
                wish["via"] = via.into();
            }
            if let Some(code) = code {
                let (id, code) =
                    code.split_once(':').ok_or_else(|| anyhow!("--code is an address, a colon and a code"))?;
                wish["install_code"] = json!({ "id": id, "code": code });
            }
            watch::pairing(&place, &wish, keep_open, json)
        }
        What::Rename { device, name } => edit(&hub, &device, &json!({ "name": name }), json),
        What::Room { device, room } => edit(&hub, &device, &json!({ "room": room.unwrap_or_default() }), json),
        What::Remove { device, force } => {
            let force = if force { "?force=true" } else { "" };
            hub.ask(Method::DELETE, &format!("{}{force}", one(&device)), None)?;
            show(&json!({ "deleted": true }), json, |_| format!("{} is gone.", harmless(&device)))
        }
        What::Interview { device } => {
            let asked = done(&hub, "devices.interview", &json!({ "device": device }), json)?;
            show(&asked, json, page)
        }
        What::Update { device } => {
            let asked = done(&hub, "devices.update", &json!({ "device": device }), json)?;
            show(&asked, json, updated)
        }
        What::Bind(wish) => bindings::change(&hub, "devices.bind", wish, json),
        What::Unbind(wish) => bindings::change(&hub, "devices.unbind", wish, json),
        What::Bindings { device } => bindings::list(&hub, &device, json),
    }
}

/// What came of new firmware, in a sentence.
fn updated(answer: &Value) -> String {
    let name = harmless(answer["name"].as_str().unwrap_or("It")).to_string();
    let version = answer["version"].as_str().map(|version| format!(" {}", harmless(version)));
    match (answer["updated"] == true, version) {
        (true, version) => format!("{name} runs its new firmware{} now.", version.unwrap_or_default()),
        (false, Some(version)) => format!("There is no firmware for {name} that is newer than its{version}."),
        (false, None) => format!("There is no newer firmware for {name}."),
    }
}

fn one(device: &str) -> String {
    format!("{PATH}/{}", escaped(device))
}

/// JSON as it came, or what `page` makes of it.
fn show(answer: &Value, json: bool, page: impl Fn(&Value) -> String) -> anyhow::Result<ExitCode> {
    println!("{}", if json { answer.to_string() } else { page(answer) });
    Ok(ExitCode::SUCCESS)
}

/// A line for each end of what was asked, by what `key` calls it; fails where one was not done.
pub(super) fn show_ends(answer: &Value, key: &str, json: bool) -> anyhow::Result<ExitCode> {
    show(answer, json, |answer| ends(answer, key))?;
    let is_one_not_done = answer["results"].as_array().into_iter().flatten().any(|end| end["ok"] == false);
    Ok(if is_one_not_done { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn ends(answer: &Value, key: &str) -> String {
    let line = |end: &Value| {
        let said = match (end["error"]["message"].as_str(), end["ok"].is_null()) {
            (Some(why), _) => why,
            (None, true) => "told, which no device answers",
            (None, false) => "done",
        };
        let now = end["state"]
            .as_object()
            .map(|_| format!("; it says {}", pairs(&end["state"], STATE_SHOWN).replace('\n', "  ")));
        format!("{}: {}{}", harmless(end[key].as_str().unwrap_or("?")), harmless(said), now.unwrap_or_default())
    };
    answer["results"].as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// The structured result of a call, while its steps are shown. A tool that failed is an error in its words.
pub(super) fn done(hub: &Hub, tool: &str, arguments: &Value, json: bool) -> anyhow::Result<Value> {
    let mut bar = Bar::new(!json);
    let result = in_steps(hub, &format!("/api/v1/tools/{tool}"), arguments, |step| {
        bar.draw(&step);
        Ok(())
    });
    bar.clear();
    let mut result = result?;
    if result["is_error"] == true {
        let why = result["structured"]["error"]["message"].as_str().or(result["content"][0]["text"].as_str());
        bail!("{}", shown(why.unwrap_or("the tool failed")));
    }
    Ok(result["structured"].take())
}

fn list(hub: &Hub, query: &str, room: Option<String>, domain: Option<String>, json: bool) -> anyhow::Result<ExitCode> {
    let mut asked: Vec<String> = vec!["limit=200".into()];
    let wishes =
        [("query", Some(query.to_owned()).filter(|query| !query.is_empty())), ("room", room), ("domain", domain)];
    for (key, wish) in wishes {
        asked.extend(wish.map(|wish| format!("{key}={}", escaped(&wish))));
    }
    let devices = all(hub, &format!("{PATH}?{}", asked.join("&")), "devices")?;
    if json {
        println!("{}", json!({ "devices": devices }));
        return Ok(ExitCode::SUCCESS);
    }
    if devices.is_empty() {
        println!("{}", if asked.len() > 1 { "There is nothing like that." } else { NONE });
        return Ok(ExitCode::SUCCESS);
    }
    let rows = devices.iter().map(|device| {
        let text = |field: &str| device[field].as_str().unwrap_or("-").to_owned();
        let state = pairs(&device["state"], STATE_SHOWN).replace('\n', "  ");
        [text("name"), text("room"), kinds(device), standing(device).into(), state]
    });
    println!("{}", table(["device", "room", "kind", "", "state"], rows));
    Ok(ExitCode::SUCCESS)
}

const NONE: &str =
    "There are no devices yet. `hearth devices pair` lets some in; `hearth network` shows how the radio is.";

fn kinds(device: &Value) -> String {
    let domains = device["domains"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let kinds = domains.collect::<Vec<_>>().join(", ");
    if kinds.is_empty() { "-".into() } else { kinds }
}

fn standing(device: &Value) -> &'static str {
    match (device["interviewed"].as_bool(), device["available"].as_bool()) {
        (Some(false), _) => "not interviewed",
        (_, Some(false)) => "unreachable",
        _ => "",
    }
}

/// A state in words, `limit` properties of it.
pub(super) fn pairs(state: &Value, limit: usize) -> String {
    let mut state: Vec<_> = state.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).collect();
    // Whether it is on comes first, the rest by name.
    state.sort_by_key(|(key, _)| !key.starts_with("state"));
    let mut lines: Vec<String> =
        state.iter().take(limit).map(|(key, value)| format!("{}={}", harmless(key), word(value))).collect();
    if state.len() > limit {
        lines.push("…".into());
    }
    lines.join("\n")
}

fn word(value: &Value) -> String {
    harmless(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// A device for people.
fn page(device: &Value) -> String {
    let text = |field: &str| device[field].as_str().map(harmless);
    let mut lines = vec![text("name").unwrap_or_default()];
    let model = [text("vendor"), text("model")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let aliases: Vec<String> = device["aliases"].as_array().into_iter().flatten().map(word).collect();
    let facts = [
        ("room", text("room")),
        ("also called", Some(aliases.join(", "))),
        ("id", text("id")),
        ("kind", Some(kinds(device))),
        ("model", Some(model)),
        ("", text("description")),
        ("power", text("power")),
        ("by", text("backend")),
        ("", Some(standing(device).to_owned())),
    ];
    lines.extend(
        facts
            .into_iter()
            .filter_map(|(what, fact)| Some((what, fact.filter(|fact| !fact.is_empty())?)))
            .map(|(what, fact)| if what.is_empty() { format!("  {fact}") } else { format!("  {what}: {fact}") }),
    );
    let capabilities = device["capabilities"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<_> = capabilities
        .iter()
        .map(|one| {
            let property = one["property"].as_str().unwrap_or_default();
            let value = device["state"].get(property).filter(|value| !value.is_null()).map(word).unwrap_or_default();
            let unit = one["unit"].as_str().filter(|_| !value.is_empty()).unwrap_or_default();
            let can = if one["settable"] == true { range(one) } else { String::new() };
            [property.to_owned(), format!("{value} {unit}").trim().to_owned(), can]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.push(table(["property", "is", "can be set to"], rows));
    }
    lines.join("\n")
}

/// What a property can be set to.
fn range(capability: &Value) -> String {
    let end = |key: &str| capability[key].as_f64().map(|number| number.to_string()).unwrap_or_default();
    match capability["type"].as_str().unwrap_or_default() {
        "binary" => ["value_on", "value_off", "value_toggle"]
            .into_iter()
            .filter_map(|key| capability.get(key).filter(|value| !value.is_null()))
            .map(word)
            .collect::<Vec<_>>()
            .join(", "),
        "numeric" if end("min").is_empty() && end("max").is_empty() => "a number".into(),
        "numeric" => format!("{} to {}", end("min"), end("max")),
        "enum" => capability["values"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", "),
        "composite" => {
            let features = capability["features"].as_array().into_iter().flatten();
            let names: Vec<_> = features.filter_map(|feature| feature["name"].as_str()).map(harmless).collect();
            format!("{{{}}}", names.join(", "))
        }
        "text" => "text".into(),
        kind => kind.to_owned(),
    }
}

/// Which devices are meant where none is named.
struct Wish {
    room: Option<String>,
    domain: Option<String>,
    except: Vec<String>,
}

fn set(hub: &Hub, words: &[String], wish: Wish, json: bool) -> anyhow::Result<ExitCode> {
    let (values, devices): (Vec<String>, Vec<String>) = words.iter().cloned().partition(|word| word.contains('='));
    ensure!(!values.is_empty(), "nothing is to be set; say property=value, such as state=on");
    let by_place = wish.room.is_some() || wish.domain.is_some();
    ensure!(!devices.is_empty() || by_place, "no device is named; say a name, or --room or --domain");
    ensure!(devices.is_empty() || !by_place, "name devices, or say --room and --domain; not both");
    ensure!(wish.except.is_empty() || by_place, "--except goes with --room and --domain");
    let capabilities = capabilities(hub, &devices, &wish)?;
    let set = values::properties(&values, &capabilities).map_err(anyhow::Error::msg)?;
    let targets = if by_place {
        let mut place = Map::new();
        let named = [("room", wish.room), ("domain", wish.domain)];
        place.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
        if !wish.except.is_empty() {
            place.insert("except".into(), wish.except.into());
        }
        Value::Object(place)
    } else {
        devices.into()
    };
    results(hub, "devices.set", &json!({ "targets": targets, "set": set }), json)
}

/// Calls a tool that sets devices and shows what came of it for each. The exit code is 0 where all have confirmed.
pub(super) fn results(hub: &Hub, tool: &str, arguments: &Value, json: bool) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new(!json);
    let result = in_steps(hub, &format!("/api/v1/tools/{tool}"), arguments, |step| {
        bar.draw(&step);
        Ok(())
    });
    bar.clear();
    let mut result = result?;
    let answer = result["structured"].take();
    let Some(results) = answer["results"].as_array() else {
        bail!("{}", shown(result["content"][0]["text"].as_str().unwrap_or("the tool failed")));
    };
    if json {
        println!("{answer}");
    } else {
        let rows = results.iter().map(|one| {
            let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
            let ms = one["ms"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_default();
            let (how, what) = match one["ok"] == true {
                true => ("done", pairs(&one["state"], usize::MAX).replace('\n', "  ")),
                false => (one["error"]["code"].as_str().unwrap_or("failed"), word(&one["error"]["message"])),
            };
            [text("name"), how.to_owned(), ms, what]
        });
        println!("{}", table(["device", "", "took", ""], rows));
    }
    let all_are_done = !results.is_empty() && results.iter().all(|one| one["ok"] == true);
    Ok(ExitCode::from(if all_are_done { 0 } else { FAILED }))
}

/// What the devices that are meant can take: the first one that has a property says how it is written.
fn capabilities(hub: &Hub, devices: &[String], wish: &Wish) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut take = |mut device: Value| {
        if let Value::Array(capabilities) = device["capabilities"].take() {
            found.extend(capabilities.into_iter().filter(|one| one["settable"] == true));
        }
    };
    if devices.is_empty() {
        let mut asked = vec!["detail=true".to_owned()];
        for (key, value) in [("room", &wish.room), ("domain", &wish.domain)] {
            asked.extend(value.as_ref().map(|value| format!("{key}={}", escaped(value))));
        }
        all(hub, &format!("{PATH}?{}", asked.join("&")), "devices")?.into_iter().for_each(&mut take);
    }
    for device in devices {
        take(hub.get(&one(device))?);
    }
    Ok(found)
}

fn edit(hub: &Hub, device: &str, change: &Value, json: bool) -> anyhow::Result<ExitCode> {
    let device = hub.ask(Method::PATCH, &one(device), Some(change))?;
    show(&device, json, |device| {
        let text = |field: &str| device[field].as_str().map(harmless);
        let room = text("room").map(|room| format!(" in {room}")).unwrap_or_default();
        format!("{}{room}", text("name").unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_a_line_for_each() {
        let answer = json!({"results": [{"name": "lamp", "ok": true},
            {"name": "spot", "ok": false, "error": {"message": "full\u{1b}[2J"}}, {"name": "plug", "ok": null}]});
        let page = ends(&answer, "name");
        assert!(page.starts_with("lamp: done\nspot: full") && !page.contains('\u{1b}'), "{page:?}");
        assert!(page.ends_with("\nplug: told, which no device answers"), "{page:?}");
    }

    #[test]
    fn a_device_is_shown_with_what_it_can_do() {
        let device = json!({
            "id": "0x01", "name": "lamp\u{1b}[2J", "room": "kitchen", "domains": ["light"], "vendor": "Acme", "model": "L1",
            "available": false, "interviewed": true, "state": { "state": "ON", "brightness": 127, "temperature": 21.5 },
            "capabilities": [
                { "property": "state", "type": "binary", "value_on": "ON", "value_off": "OFF", "settable": true },
                { "property": "brightness", "type": "numeric", "min": 0.0, "max": 254.0, "settable": true },
                { "property": "temperature", "type": "numeric", "unit": "°C", "settable": false },
                { "property": "color", "type": "composite", "settable": true, "features": [{ "name": "x" }, { "name": "y" }] },
            ],
        });
        let shown = page(&device);
        for line in [
            "lamp[2J",
            "  room: kitchen",
            "  model: Acme L1",
            "  unreachable",
            "state        ON       ON, OFF",
            "brightness   127      0 to 254",
            "temperature  21.5 °C",
            "color                 {x, y}",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
        }
        assert_eq!(pairs(&device["state"], 2), "state=ON\nbrightness=127\n…");
    }
}
