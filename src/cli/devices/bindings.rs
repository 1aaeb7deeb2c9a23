//! `hearth devices bind`, `unbind` and `bindings`: devices that speak straight to each other.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::{done, one, show, show_ends};
use crate::cli::hub::Hub;
use crate::cli::listing::table;

#[derive(clap::Args)]
pub struct Wish {
    /// Whose presses or reports are meant.
    #[arg(value_name = "SOURCE")]
    device: String,
    /// Who is told: a device, a group, or hub.
    target: String,
    /// Clusters, such as genOnOff,genLevelCtrl; the usual ones that both have where none is named.
    #[arg(long, value_delimiter = ',', value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// An endpoint of the source, such as a button of a remote.
    #[arg(long, value_name = "NUMBER")]
    endpoint: Option<u8>,
    /// An endpoint of the target, such as a socket of a strip.
    #[arg(long, value_name = "NUMBER")]
    target_endpoint: Option<u8>,
}

/// `tool`: to bind, or to unbind.
pub fn change(hub: &Hub, tool: &str, wish: Wish, json: bool) -> anyhow::Result<ExitCode> {
    let Wish { device, target, clusters, endpoint, target_endpoint } = wish;
    let mut asked = Map::from_iter([("device".to_owned(), json!(device)), ("target".to_owned(), json!(target))]);
    if !clusters.is_empty() {
        asked.insert("clusters".into(), json!(clusters));
    }
    for (key, number) in [("endpoint", endpoint), ("target_endpoint", target_endpoint)] {
        asked.extend(number.map(|number| (key.to_owned(), json!(number))));
    }
    show_ends(&done(hub, tool, &Value::Object(asked), json)?, "cluster", json)
}

pub fn list(hub: &Hub, device: &str, json: bool) -> anyhow::Result<ExitCode> {
    let bound = hub.ask(Method::GET, &format!("{}/bindings", one(device)), None)?;
    show(&bound, json, rows)
}

fn rows(bound: &Value) -> String {
    let bound = bound["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
    if bound.is_empty() {
        return "It is bound to nobody.".into();
    }
    let row = |row: &Value| {
        let target = &row["target"];
        let who = target["name"].as_str().or(target["id"].as_str()).unwrap_or("?");
        let number = |value: &Value| value.as_u64().map(|number| number.to_string()).unwrap_or_default();
        [
            number(&row["endpoint"]),
            row["cluster"].as_str().unwrap_or("?").to_owned(),
            who.to_owned(),
            number(&target["endpoint"]),
        ]
    };
    table(["endpoint", "cluster", "target", "its endpoint"], bound.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_whom_the_house_knows_by_name() {
        let bound = json!({"bindings": [
            {"endpoint": 1, "cluster": "genOnOff", "target": {"kind": "device", "id": "0x1", "name": "lamp", "endpoint": 11}},
            {"endpoint": 1, "cluster": "genOnOff", "target": {"kind": "group", "id": "7"}}]});
        let shown = rows(&bound);
        assert!(shown.contains("lamp") && shown.contains("11") && shown.contains('7'), "{shown}");
        assert_eq!(rows(&json!({"bindings": []})), "It is bound to nobody.");
    }
}
