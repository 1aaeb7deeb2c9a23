//! An owner's tools about servers, called as any door calls them.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::*;
use crate::mcp::call::{Call, Outcome, Reach};
use crate::mcp::source::Source;
use crate::mcp::upstream::resolver::Advisor;
use crate::mcp::upstream::testing::{World, owner, script};

struct Scripted(Mutex<Vec<String>>, Result<String, String>);

impl Advisor for Scripted {
    fn advise(&self, question: String) -> BoxFuture<'static, Result<String, String>> {
        self.0.lock().unwrap().push(question);
        let answer = self.1.clone();
        async move { answer }.boxed()
    }
}

async fn run(world: &World, name: &str, arguments: Value) -> Result<Value, Fault> {
    let tools = tools(&world.aggregator);
    let tool = tools.iter().find(|tool| &*tool.definition().name == name).expect(name);
    let arguments: Map<String, Value> = serde_json::from_value(arguments).expect("an object");
    let call = Call { tool: name.into(), arguments, who: owner(), reach: Reach::default() };
    match world.during(tool.call(call)).await? {
        Outcome::Done(output) => Ok(output.structured.expect("a structured result")),
        Outcome::InputRequired { .. } => panic!("nobody asked"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_looks_approves_and_asks_anew() {
    let world = World::new(vec![("files", script(&["read", "write"]))], false);
    let refreshed = run(&world, "mcp_servers.refresh", json!({ "slug": "files" })).await.expect("it is asked");
    assert_eq!(refreshed["waiting"], 2);
    let status = run(&world, "mcp_servers.status", json!({})).await.expect("a list");
    assert_eq!(status["servers"][0]["waiting_new"], 2);
    assert_eq!(status["servers"][0]["says"], "files 1");
    let changes = run(&world, "mcp_servers.changes", json!({ "slug": "files" })).await.expect("a list");
    let sha256 = &changes["waiting"][0]["sha256"];
    let one = json!({ "slug": "files", "tool": "read", "sha256": sha256 });
    assert_eq!(run(&world, "mcp_servers.approve", one).await.expect("it is")["approved"], 1);
    assert_eq!(world.listed(), ["files__read"]);
    let approve = tools(&world.aggregator);
    let approve = approve.iter().find(|tool| &*tool.definition().name == "mcp_servers.approve").expect("it is there");
    let arguments = json!({ "slug": "files" }).as_object().cloned().expect("an object");
    let who = Arc::new(owner().through(crate::common::who::Door::Model));
    let by_model = Call { tool: "mcp_servers.approve".into(), arguments, who, reach: Reach::default() };
    let fault =
        world.during(approve.call(by_model)).await.expect_err("a tool may have been written to talk it into this");
    assert_eq!(fault.error.code, ErrorCode::Forbidden);
    let stale = json!({ "slug": "files", "if_revision": changes["revision"] });
    assert_eq!(run(&world, "mcp_servers.approve", stale).await.expect_err("stale").error.code, ErrorCode::Conflict);
    assert_eq!(run(&world, "mcp_servers.approve", json!({ "slug": "files" })).await.expect("it is")["approved"], 1);
    let fault = run(&world, "mcp_servers.refresh", json!({ "slug": "ghost" })).await.expect_err("there is none");
    assert_eq!(fault.error.code, ErrorCode::NotFound);
    let both = json!({ "slug": "files", "tool": "a", "prompt": "b" });
    assert_eq!(run(&world, "mcp_servers.approve", both).await.expect_err("one").error.code, ErrorCode::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn what_a_model_proposes_waits_for_an_owner() {
    let world = World::new(vec![("a", script(&["find"])), ("b", script(&["find"]))], true);
    world.until("all are listed", |world| world.listed().len() == 2).await;
    let found = run(&world, "tools.conflicts", json!({})).await.expect("a ledger");
    assert_eq!(found["conflicts"][0]["kind"], "mirror");
    assert!(run(&world, "tools.propose", json!({})).await.is_err(), "there is no model");

    let answer = json!({ "proposals": [
        { "tool": "b__find", "action": "merge", "into": "a__find", "why": "the same" },
        { "tool": "a__find", "action": "describe", "description": "Finds things." },
        { "tool": "users.delete", "action": "hide" },
    ] });
    let advisor = Arc::new(Scripted(Mutex::default(), Ok(answer.to_string())));
    world.aggregator.set_advisor(advisor.clone());
    let proposed = run(&world, "tools.propose", json!({})).await.expect("proposals");
    assert_eq!(proposed["proposals"].as_array().map(Vec::len), Some(2));
    assert_eq!(advisor.0.lock().unwrap().len(), 1);
    world.pass(Duration::from_millis(300)).await;
    assert_eq!(world.listed().len(), 2, "nothing happens by itself");

    let waiting = run(&world, "tools.proposals", json!({})).await.expect("a list");
    assert_eq!(waiting, proposed);
    let id = |at: usize| json!({ "id": waiting["proposals"][at]["id"] });
    run(&world, "tools.apply_proposal", id(0)).await.expect("it is applied");
    world.until("one is listed", |world| world.listed() == ["a__find"]).await;
    run(&world, "tools.dismiss_proposal", id(1)).await.expect("it is dropped");
    let left = run(&world, "tools.proposals", json!({})).await.expect("a list");
    assert_eq!(left["proposals"], json!([]));
    assert!(run(&world, "tools.apply_proposal", id(1)).await.is_err(), "it is gone");
    world.store.delete::<crate::store::ToolOverlay>("b__find", None).await.expect("a write");
    world.until("it is taken back", |world| world.aggregator.tools().len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn only_owners_are_meant_and_every_schema_is_an_object() {
    let world = World::new(Vec::new(), false);
    for tool in tools(&world.aggregator) {
        let definition = tool.definition();
        assert_eq!(definition.access, Role::Owner, "{}", definition.name);
        assert_eq!(definition.input.to_value()["type"], "object", "{}", definition.name);
        assert!(
            definition.output.as_ref().is_some_and(|output| output.to_value()["type"] == "object"),
            "{}",
            definition.name
        );
    }
}
