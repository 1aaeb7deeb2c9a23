//! Which servers there are: those of the config file and those of the store, and what an owner changed about either. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::config::{Mcp, McpServer, is_server_name};
use crate::store::ServerRecord;

/// A server that can be reached, as it is to be now.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub row: McpServer,
    pub enabled: bool,
    /// Tools that are off, by the server's own names.
    pub disabled_tools: BTreeSet<String>,
    pub source: ServerSource,
}

/// Where the row of a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSource {
    Config,
    Store,
}

impl ServerSource {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            ServerSource::Config => "config",
            ServerSource::Store => "store",
        }
    }
}

/// All servers by name. What the store says of one goes before the file; a record without a row of its own changes the file's, and is
/// nothing where there is none.
pub fn servers(config: &Mcp, records: &[ServerRecord]) -> BTreeMap<Box<str>, Server> {
    let of_config = |(slug, row): (&String, &McpServer)| {
        let server = Server {
            row: row.clone(),
            enabled: row.enabled,
            disabled_tools: BTreeSet::new(),
            source: ServerSource::Config,
        };
        (Box::from(slug.as_str()), server)
    };
    let mut servers: BTreeMap<Box<str>, Server> =
        config.servers.iter().filter(|(slug, _)| is_server_name(slug)).map(of_config).collect();
    for record in records.iter().filter(|record| is_server_name(&record.slug)) {
        let slug: Box<str> = record.slug.as_str().into();
        let (row, source) = match (&record.server, servers.remove(&slug)) {
            (Some(row), _) => (row.clone(), ServerSource::Store),
            (None, Some(known)) => (known.row, known.source),
            (None, None) => continue,
        };
        let enabled = record.enabled.unwrap_or(row.enabled);
        let disabled_tools = record.disabled_tools.clone();
        servers.insert(slug, Server { row, enabled, disabled_tools, source });
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(word: &str) -> McpServer {
        McpServer { command: vec![word.into()], ..McpServer::default() }
    }

    fn record(slug: &str, server: Option<McpServer>, enabled: Option<bool>) -> ServerRecord {
        ServerRecord { slug: slug.into(), server, enabled, disabled_tools: BTreeSet::new(), revision: 1 }
    }

    #[test]
    fn the_store_goes_before_the_file() {
        let mut config = Mcp::default();
        for slug in ["a", "b", "c"] {
            config.servers.insert(slug.into(), row("file"));
        }
        let records = [
            record("b", None, Some(false)),
            record("c", Some(row("store")), None),
            record("d", Some(row("store")), None),
            record("ghost", None, Some(true)),
        ];
        let servers = servers(&config, &records);
        let shown: Vec<_> =
            servers.iter().map(|(slug, server)| (&**slug, &*server.row.command[0], server.enabled)).collect();
        assert_eq!(shown, [("a", "file", true), ("b", "file", false), ("c", "store", true), ("d", "store", true)]);
    }
}
