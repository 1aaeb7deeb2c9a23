//! A house for the tests of tools.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};

use super::{House, builtin};
use crate::common::config::Config;
use crate::common::error::ErrorCode;
use crate::common::who::{Door, Principal, Role};
use crate::mcp::native::Native;
use crate::mcp::{Call, Fault, Outcome, Reach, Service};
use crate::store::Store;

/// A house with its tools behind a service.
pub struct Rooms {
    _home: TempDir,
    pub house: Arc<House>,
    pub native: Arc<Native>,
    pub service: Service,
}

/// A new house in which nothing has happened, with the config that is given.
pub fn rooms_of(config: Config) -> Rooms {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
    let (changes, _) = broadcast::channel(64);
    let house = Arc::new(House {
        store: store.clone(),
        config: watch::channel(Arc::new(config)).1,
        version: "1.2.3",
        started_at_ms: 1_763_802_000_000,
        now: || "2025-11-22T10:00:00+01:00[+01:00]".parse().expect("a time"),
        home: None,
        service: Default::default(),
    });
    let native = Native::new(house.clone(), changes.clone());
    builtin(&house).into_iter().for_each(|tool| native.register(tool));
    let service = Service::audited(vec![native.clone()], changes, store);
    let _ = house.service.set(service.downgrade());
    Rooms { _home: home, house, native, service }
}

pub fn rooms() -> Rooms {
    rooms_of(Config::default())
}

pub fn who(user: &str, role: Role) -> Arc<Principal> {
    Arc::new(Principal::new(user, role, Door::Rest))
}

impl Rooms {
    pub async fn call(&self, who: &Arc<Principal>, tool: &str, arguments: Value) -> Result<Value, Fault> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let call = Call { tool: tool.into(), arguments, who: who.clone(), reach: Reach::default() };
        let Outcome::Done(output) = self.service.call(call).await? else { panic!("{tool} asks for something") };
        let words = output.words();
        Ok(output.structured.unwrap_or_else(|| json!({ "error": words })))
    }

    /// The result of a call that works.
    pub async fn ok(&self, who: &Arc<Principal>, tool: &str, arguments: Value) -> Value {
        let result =
            self.call(who, tool, arguments).await.unwrap_or_else(|fault| panic!("{tool}: {}", fault.error.message));
        assert!(result.get("error").is_none(), "{tool}: {result}");
        result
    }

    /// The code of a call that does not.
    pub async fn code(&self, who: &Arc<Principal>, tool: &str, arguments: Value) -> ErrorCode {
        match self.call(who, tool, arguments).await {
            Ok(result) => panic!("{tool} works: {result}"),
            Err(fault) => fault.error.code,
        }
    }
}
