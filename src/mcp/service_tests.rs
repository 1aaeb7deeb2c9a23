//! What every call goes through, whatever the tool.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::common::who::{Door, Role};
use crate::mcp::definition::{Annotations, Definition};
use crate::mcp::tools::Tool;
use crate::mcp::tools::testing::{Rooms, rooms, who};
use crate::store::Reckoning;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its schema is what counts")]
struct Times {
    times: u32,
    secret: Option<String>,
}

/// Gives back what it is asked for.
struct Echo {
    definition: Arc<Definition>,
    waits: bool,
    ended: Arc<AtomicBool>,
}

impl Tool for Echo {
    fn definition(&self) -> Arc<Definition> {
        self.definition.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let (waits, ended) = (self.waits, self.ended.clone());
        Box::pin(async move {
            if waits {
                std::future::pending::<()>().await;
            }
            ended.store(true, Ordering::SeqCst);
            let times = call.arguments["times"].as_u64().unwrap_or(0) as usize;
            match times {
                7 => Ok(Outcome::Done(ToolOutput::failed("seven is too much for me"))),
                9 => Err(Fault::new(ErrorCode::Timeout, "nine took too long")),
                times => Ok(Outcome::Done(ToolOutput::structured(json!({ "text": "x".repeat(times) })))),
            }
        })
    }
}

fn with_echo(name: &str, waits: bool) -> (Rooms, Arc<AtomicBool>) {
    let (rooms, ended) = (rooms(), Arc::new(AtomicBool::new(false)));
    let definition =
        Definition::native::<Times, Value>(name, "Echo", "Says it again.", Annotations::READS, Role::Member);
    rooms.native.register(Arc::new(Echo { definition: Arc::new(definition), waits, ended: ended.clone() }));
    (rooms, ended)
}

fn call(who: &Arc<Principal>, tool: &str, arguments: Value) -> Call {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Call { tool: tool.into(), arguments, who: who.clone(), reach: Reach::default() }
}

#[tokio::test]
async fn every_call_is_let_through_checked_and_written_down() {
    let (rooms, ended) = with_echo("echo", false);
    let (ann, guest) = (who("ann", Role::Member), who("gus", Role::Guest));
    let model = Arc::new(ann.through(Door::Model));
    let run = |call| rooms.service.call(call);
    assert!(matches!(run(call(&ann, "echo", json!({"times": "3"}))).await, Ok(Outcome::Done(output))
        if output.structured == Some(json!({"text": "xxx"}))));
    let refused = run(call(&guest, "echo", json!({"times": 3}))).await.expect_err("a guest");
    assert_eq!(refused.error.code, ErrorCode::Forbidden);
    ended.store(false, Ordering::SeqCst);
    let wrong = run(call(&ann, "echo", json!({"times": "x", "secret": "s3cr3t"}))).await.expect_err("no number");
    assert_eq!(wrong.error.code, ErrorCode::BadRequest);
    let told = run(call(&model, "echo", json!({"times": -1}))).await.expect("a model is told in a result");
    assert!(matches!(told, Outcome::Done(output) if output.is_error && output.words().contains("times: ")));
    assert!(!ended.load(Ordering::SeqCst), "the tool saw none of it");
    assert!(run(call(&ann, "ehco", json!({}))).await.is_err_and(|fault| fault.error.code == ErrorCode::NotFound));
    assert!(run(call(&ann, "echo", json!({"times": 7}))).await.is_ok());
    assert!(run(call(&ann, "echo", json!({"times": 9}))).await.is_err());
    rooms.service.flush().await;
    let entries = rooms.house.store.audit(None, 50, |_| true).await.expect("readable");
    let told: Vec<_> =
        entries.iter().rev().map(|entry| (&*entry.user, &*entry.tool, entry.outcome, entry.code)).collect();
    let expected = [
        ("ann", "echo", Reckoning::Ok, None),
        ("gus", "echo", Reckoning::Denied, Some(ErrorCode::Forbidden)),
        ("ann", "echo", Reckoning::Error, Some(ErrorCode::BadRequest)),
        ("ann", "echo", Reckoning::Failed, None),
        ("ann", "ehco", Reckoning::Error, Some(ErrorCode::NotFound)),
        ("ann", "echo", Reckoning::Failed, None),
        ("ann", "echo", Reckoning::Error, Some(ErrorCode::Timeout)),
    ];
    assert_eq!(told, expected);
    assert_eq!((&*entries[4].arguments, entries[4].door), (&["secret".to_owned(), "times".to_owned()][..], Door::Rest));
    assert_eq!(
        (entries[3].door, entries[2].origin.as_deref(), entries[4].origin.as_deref()),
        (Door::Model, None, Some("hub"))
    );
    let written = serde_json::to_string(&entries).expect("JSON");
    assert!(!written.contains("s3cr3t"), "{written}");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_gives_its_place_back() {
    let (rooms, _) = with_echo("slow", true);
    let (ann, ben) = (who("ann", Role::Member), who("ben", Role::Member));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..CALLS_PER_USER_MAX {
        let (service, call) = (rooms.service.clone(), call(&ann, "slow", json!({"times": 1})));
        running.spawn(async move { service.call(call).await });
    }
    while rooms.service.shared.places.take("ann").is_some() {
        tokio::task::yield_now().await;
    }
    let full = rooms.service.call(call(&ann, "slow", json!({"times": 1}))).await.expect_err("all places are taken");
    assert!(full.error.code == ErrorCode::RateLimited && full.error.retryable);
    rooms.ok(&ben, "status", json!({})).await;
    running.shutdown().await;
    rooms.ok(&ann, "status", json!({})).await;
    rooms.service.flush().await;
    let cancelled = rooms.house.store.audit(None, 200, |entry| entry.outcome == Reckoning::Cancelled).await;
    assert_eq!(cancelled.expect("readable").len(), CALLS_PER_USER_MAX);
}

#[tokio::test]
async fn a_result_that_nobody_could_read_is_not_passed_on() {
    let (rooms, _) = with_echo("echo", false);
    let ann = who("ann", Role::Member);
    let times = OUTPUT_BYTES_MAX as u64;
    let Ok(Outcome::Done(output)) = rooms.service.call(call(&ann, "echo", json!({ "times": times }))).await else {
        panic!("a result")
    };
    assert!(output.is_error && output.words().contains("16 MiB"), "{}", output.words().len());
    let least = beyond(&ToolOutput::text("x".repeat(100)), 100);
    assert!(least.is_some_and(|size| size > 100) && beyond(&ToolOutput::text("x"), 100).is_none());
}

#[tokio::test]
async fn a_weak_handle_holds_nothing() {
    let weak = Service::empty().downgrade();
    assert!(weak.upgrade().is_none());
    let service = Service::empty();
    assert!(service.downgrade().upgrade().is_some());
}
