//! For the tests of this room: tools that some rows of the table stand for, over a handful of settings in memory, and some
//! that do what a tool may do besides: take long, fail, ask back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, broadcast};

use crate::common::error::ErrorCode;
use crate::common::who::{Principal, Role};
use crate::mcp::{
    Annotations, Call, Definition, Fault, Method, Note, Origin, Outcome, Reach, Service, Source, ToolOutput,
};

/// What the tests look at.
#[derive(Default)]
pub struct Fake {
    tools: RwLock<Arc<[Arc<Definition>]>>,
    settings: Mutex<BTreeMap<String, (Value, u64)>>,
    /// Calls of `slow` that began, and those that ended before their end.
    pub begun: AtomicUsize,
    pub cancelled: AtomicUsize,
    /// Lets `slow` go on.
    pub go: Notify,
}

/// The tools, and whom to ask about them.
pub fn fake() -> (Arc<Fake>, Service) {
    let fake = Arc::new(Fake::default());
    fake.offer(definitions());
    let service = Service::new(vec![Arc::new(Behind(fake.clone()))], broadcast::channel(1).0);
    (fake, service)
}

/// All of them, by name.
pub fn definitions() -> Vec<Definition> {
    let key = json!({ "type": "string", "description": "1 to 64 of `[a-z0-9_.-]`.", "pattern": "^[a-z0-9_.-]{1,64}$" });
    let guard = json!({ "type": ["integer", "null"], "minimum": 0, "default": null });
    let record = object(json!({ "key": key, "value": true, "revision": { "type": "integer" } }), &["key", "value"]);
    let list = object(
        json!({ "settings": { "type": "array", "items": record }, "next_cursor": { "type": "string" } }),
        &["settings"],
    );
    let page = json!({
        "limit": { "type": ["integer", "null"], "minimum": 1, "maximum": 200, "description": "At once." },
        "cursor": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
        "prefix": { "type": "string" },
    });
    let keyed = object(json!({ "key": key }), &["key"]);
    let guarded = object(json!({ "key": key, "if_revision": guard }), &["key"]);
    let set = object(json!({ "key": key, "value": true, "if_revision": guard }), &["key", "value"]);
    let create = object(json!({ "name": { "type": "string" } }), &["name"]);
    let tree = json!({
        "type": "object", "properties": { "slug": { "type": "string" }, "tree": { "$ref": "#/$defs/Tree" } },
        "$defs": { "Tree": { "type": "object", "properties": { "inner": { "$ref": "#/$defs/Tree" } } } },
    });
    let nothing = object(json!({}), &[]);
    let one = |name: &str, access, input: &Value, output: Option<&Value>| Definition {
        name: name.into(),
        title: Some(format!("The {name}")),
        description: format!("Does {name}."),
        input: input.clone().into(),
        output: output.cloned().map(Into::into),
        annotations: Annotations::READS,
        access,
        origin: Origin::Hub,
        pinned: false,
        extra: Map::new(),
    };
    vec![
        one("asks", Role::Guest, &nothing, None),
        Definition {
            origin: Origin::Server { slug: "files".into(), tool: "read".into() },
            ..one("files__read", Role::Member, &nothing, None)
        },
        one("mcp_servers.refresh", Role::Owner, &tree, Some(&nothing)),
        one("settings.delete", Role::Owner, &guarded, None),
        one("settings.get", Role::Member, &keyed, Some(&record)),
        one("settings.list", Role::Member, &object(page, &[]), Some(&list)),
        one("settings.set", Role::Owner, &set, Some(&record)),
        one("slow", Role::Guest, &nothing, None),
        one("users.create", Role::Owner, &create, Some(&object(json!({ "user": { "type": "object" } }), &["user"]))),
    ]
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

impl Fake {
    /// From now on these, and no others.
    pub fn offer(&self, tools: Vec<Definition>) {
        *self.tools.write().expect("no panic") = tools.into_iter().map(Arc::new).collect();
    }

    async fn answer(self: Arc<Fake>, call: Call) -> Result<Outcome, Fault> {
        let Call { tool, arguments, reach, .. } = call;
        let told = |name: &str| arguments.get(name).cloned().unwrap_or_default();
        let key = told("key").as_str().unwrap_or_default().to_owned();
        let missing = || Fault::new(ErrorCode::NotFound, format!("there is no setting called {key:?}"));
        let record = |(value, revision): &(Value, u64)| json!({ "key": key, "value": value, "revision": revision });
        let structured = match &*tool {
            "settings.list" => self.list(&arguments),
            "settings.get" => record(self.settings.lock().expect("no panic").get(&key).ok_or_else(missing)?),
            "settings.set" | "settings.delete" => {
                let mut settings = self.settings.lock().expect("no panic");
                let current = settings.get(&key).map_or(0, |(_, revision)| *revision);
                if told("if_revision").as_u64().is_some_and(|expected| expected != current) {
                    return Err(Fault::new(ErrorCode::Conflict, format!("it has revision {current} by now")));
                }
                if &*tool == "settings.delete" {
                    json!({ "deleted": settings.remove(&key).is_some() })
                } else if told("value") == "fault" {
                    return Err(Fault::new(ErrorCode::Offline, "not now"));
                } else if told("value").is_null() {
                    return Ok(Outcome::Done(ToolOutput::failed("value: is missing")));
                } else {
                    let entry = (told("value"), current + 1);
                    settings.insert(key.clone(), entry.clone());
                    record(&entry)
                }
            }
            "users.create" => json!({ "user": { "name": told("name") }, "password": "told this once" }),
            "mcp_servers.refresh" => Value::Object(arguments),
            "asks" => return Ok(Outcome::InputRequired { requests: Map::new(), state: None }),
            "slow" => return self.slow(reach).await,
            _ => return Ok(Outcome::Done(ToolOutput::text("words alone"))),
        };
        Ok(Outcome::Done(ToolOutput::structured(structured)))
    }

    fn list(&self, arguments: &Map<String, Value>) -> Value {
        let settings = self.settings.lock().expect("no panic");
        let after = arguments.get("cursor").and_then(Value::as_str).unwrap_or_default();
        let limit = arguments.get("limit").and_then(Value::as_u64).unwrap_or(200) as usize;
        let prefix = arguments.get("prefix").and_then(Value::as_str).unwrap_or_default();
        let mut meant = settings.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let page: Vec<_> = meant.by_ref().take(limit).collect();
        let shown = |(key, (value, revision)): &(&String, &(Value, u64))| json!({ "key": key, "value": value, "revision": revision });
        let mut list = json!({ "settings": page.iter().map(shown).collect::<Vec<_>>() });
        if let Some((last, _)) = page.last().filter(|_| meant.next().is_some()) {
            list["next_cursor"] = json!(last);
        }
        list
    }

    async fn slow(self: Arc<Fake>, reach: Reach) -> Result<Outcome, Fault> {
        struct Running(Arc<Fake>, bool);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.cancelled.fetch_add(usize::from(!self.1), Ordering::SeqCst);
            }
        }
        let mut running = Running(self.clone(), false);
        self.begun.fetch_add(1, Ordering::SeqCst);
        if let Some(progress) = &reach.progress {
            progress(Note { progress: 1.0, total: Some(2.0), message: Some("half way\nthere".into()) });
        }
        self.go.notified().await;
        if let Some(progress) = &reach.progress {
            progress(Note { progress: 2.0, total: None, message: None });
        }
        running.1 = true;
        Ok(Outcome::Done(ToolOutput::structured(json!({ "done": true }))))
    }
}

struct Behind(Arc<Fake>);

impl Source for Behind {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.0.tools.read().expect("no panic").clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        self.0.clone().answer(call).boxed()
    }

    fn resources(&self, _who: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn templates(&self, _who: &Principal) -> Arc<[Value]> {
        Arc::default()
    }

    fn prompts(&self, _who: &Principal) -> Arc<[Value]> {
        Arc::default()
    }

    fn owns_prompt(&self, _name: &str) -> bool {
        false
    }

    fn owns_uri(&self, _uri: &str) -> bool {
        false
    }

    fn request(
        &self,
        _method: Method,
        _params: Value,
        _who: Arc<Principal>,
        _reach: Reach,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        async { Err(Fault::new(ErrorCode::NotFound, "there is none")) }.boxed()
    }
}
