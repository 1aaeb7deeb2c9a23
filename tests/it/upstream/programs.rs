//! Programs as servers: what one may do wrong, and what is left of it. The programs are shell scripts that answer by rote.

use std::path::Path;
use std::time::Duration;

use hearth::common::config::McpServer;
use hearth::mcp::upstream::UpstreamError;
use hearth::mcp::upstream::connector::Connector;
use serde_json::json;

use super::{open, request, with_binary};
use crate::world::provider::now;

/// An older server: it knows the handshake, lists a tool, and does what the test's own words in `$1` say with a call.
/// `$id` is the request's id, which the hub writes first.
const SERVER: &str = r#"
say() { printf '%s\n' "$1"; }
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  case $line in
    *'"method":"server/discover"'*) say '{"jsonrpc":"2.0","id":'$id',"error":{"code":-32601,"message":"no such method"}}' ;;
    *'"method":"initialize"'*) say '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"sh","version":"1"}}}' ;;
    *'"method":"notifications/initialized"'*) ;;
    *'"method":"tools/list"'*) say '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"do","inputSchema":{"type":"object"}}]}}' ;;
    *'"method":"tools/call"'*) eval "$1" ;;
  esac
done
"#;

/// Gives the call a text.
const ANSWER: &str =
    r#"answer() { say '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"'"$1"'"}]}}'; };"#;

pub(super) fn server(on_call: &str) -> McpServer {
    shell(SERVER, &[&format!("{ANSWER} {on_call}")])
}

pub(super) fn shell(script: &str, arguments: &[&str]) -> McpServer {
    let mut command: Vec<String> = ["sh", "-c", script, "sh"].map(String::from).into();
    command.extend(arguments.iter().map(|argument| String::from(*argument)));
    McpServer { command, ..McpServer::default() }
}

/// What a call of the server's only tool gives, in text.
pub(super) async fn call(connector: &Connector, server: &McpServer) -> Result<String, UpstreamError> {
    let (connection, _) = open(connector, server).await?;
    let result = connection.request(request("tools/call", json!({ "name": "do", "arguments": {} }))).await?;
    Ok(result["content"][0]["text"].as_str().expect("it answers with text").into())
}

/// Whether a process of this id runs, and is not only waited for.
pub(super) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, behind)| !behind.starts_with('Z'))
}

pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_older_program_is_greeted_listed_and_called() {
    let connector = with_binary();
    let server = server("answer hello");
    let (connection, _) = open(&connector, &server).await.unwrap();
    assert_eq!(&*connection.info().protocol, "2025-06-18");
    assert_eq!(connection.info().server["name"], "sh");
    let tools = connection.request(request("tools/list", json!({}))).await.unwrap();
    assert_eq!((&tools["tools"][0]["name"], &tools["resultType"]), (&json!("do"), &json!("complete")));
    let result = connection.request(request("tools/call", json!({ "name": "do" }))).await.unwrap();
    assert_eq!(result["content"][0]["text"], "hello");
    let pid = connection.pid().unwrap();
    assert!(is_alive(pid));
    drop(connection);
    until("the program ends with its connection", || !is_alive(pid)).await;
}

#[tokio::test]
async fn it_runs_in_its_own_surroundings() {
    let connector = with_binary();
    let folder = tempfile::tempdir().unwrap();
    let mut server =
        server(r#"answer "$(pwd) $(env | cut -d= -f1 | sort | tr '\n' ' ') $(ulimit -c) $(ulimit -n) $(ulimit -v)""#);
    server.cwd = Some(folder.path().to_str().unwrap().into());
    server.env.insert("GREETING".into(), "hello".into());
    // A variable that is surely there; what it holds does not matter.
    server.env_from.insert("HERE".into(), "CARGO_MANIFEST_DIR".into());
    server.memory_mb = Some(512);
    let said = call(&connector, &server).await.unwrap();
    assert!(said.starts_with(folder.path().to_str().unwrap()), "{said}");
    let words: Vec<_> = said.split(' ').collect();
    for name in ["GREETING", "HERE", "PATH"] {
        assert!(words.contains(&name), "{name}: {said}");
    }
    assert!(!words.iter().any(|name| name.starts_with("CARGO")), "{said}");
    assert!(said.ends_with(" 0 1024 524288"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_started_says_what_to_do() {
    let connector = with_binary();
    let none = McpServer { command: vec!["no-such-server".into()], ..McpServer::default() };
    let Err(UpstreamError::Unreachable(why)) = open(&connector, &none).await.map(|_| ()) else { panic!() };
    assert!(why.contains("no-such-server") && why.contains("install it"), "{why}");
    let mut server = server("answer x");
    server.env_from.insert("TOKEN".into(), "HEARTH_TEST_NOT_SET".into());
    let Err(UpstreamError::Unauthorized(why)) = call(&connector, &server).await else { panic!() };
    assert!(why.contains("HEARTH_TEST_NOT_SET"), "{why}");
    let mut server = server.clone();
    server.env_from.clear();
    server.cwd = Some("/no/such/folder".into());
    assert!(
        matches!(call(&connector, &server).await, Err(UpstreamError::Unreachable(why)) if why.contains("/no/such"))
    );
}

#[tokio::test]
async fn one_that_ends_at_once_is_gone_with_its_last_words() {
    let connector = with_binary();
    let server = shell("echo 'no licence found' >&2; exit 3", &[]);
    let Err(UpstreamError::Gone(why)) = call(&connector, &server).await else { panic!() };
    assert!(why.contains("exit status: 3") && why.contains("no licence found"), "{why}");
}

#[tokio::test]
async fn one_that_ends_itself_at_an_unknown_first_question_is_started_again_and_remembered() {
    let connector = with_binary();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("starts");
    let strict =
        |line: &str| if line.contains("server/discover") { "*discover*) exit 1 ;;".into() } else { line.to_owned() };
    let strict = SERVER.lines().map(strict).collect::<Vec<_>>().join("\n");
    let script = format!("echo start >>{}; {strict}", log.display());
    let server = shell(&script, &[&format!("{ANSWER} answer hello")]);
    assert_eq!(call(&connector, &server).await.unwrap(), "hello");
    assert_eq!(call(&connector, &server).await.unwrap(), "hello");
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 3, "twice at first, once when it is known");
}

#[tokio::test]
async fn a_crash_in_a_call_ends_the_call_and_tells_of_it() {
    let connector = with_binary();
    let server = server("kill -9 $$");
    let (connection, _) = open(&connector, &server).await.unwrap();
    let began = now();
    let error = connection.request(request("tools/call", json!({ "name": "do" }))).await.unwrap_err();
    assert!(matches!(&error, UpstreamError::Gone(why) if why.contains("signal: 9")), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(matches!(connection.closed().await, UpstreamError::Gone(_)));
    let after = connection.request(request("tools/list", json!({}))).await;
    assert!(matches!(after, Err(UpstreamError::Gone(_))));
}

#[tokio::test]
async fn one_that_hangs_is_given_up_and_told_so() {
    let connector = with_binary();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("told");
    let script = SERVER.replace(
        "*'\"method\":\"notifications/initialized\"'*) ;;",
        &format!("*cancelled*) say \"$line\" >>{} ;;", log.display()),
    );
    let server = shell(&script, &[":"]);
    let (connection, _) = open(&connector, &server).await.unwrap();
    let mut hung = request("tools/call", json!({ "name": "do" }));
    hung.deadline = Duration::from_millis(200);
    assert!(matches!(connection.request(hung).await, Err(UpstreamError::Timeout(_))));
    until("the server hears of it", || std::fs::read_to_string(&log).is_ok_and(|told| told.contains("requestId")))
        .await;
    connection.request(request("tools/list", json!({}))).await.expect("it works on");
}

#[tokio::test]
async fn a_banner_is_borne_and_a_stream_of_garbage_is_not() {
    let connector = with_binary();
    let banner =
        shell(&format!("echo 'Welcome to Server!'; echo; {SERVER}"), &[&format!("{ANSWER} echo debug; answer hello")]);
    assert_eq!(call(&connector, &banner).await.unwrap(), "hello");
    let began = now();
    let yes = McpServer { command: vec!["yes".into()], ..McpServer::default() };
    let Err(UpstreamError::Garbage(why)) = call(&connector, &yes).await else { panic!() };
    assert!(why.contains("\"y\""), "{why}");
    let endless = shell("cat /dev/zero", &[]);
    let Err(UpstreamError::Garbage(why)) = call(&connector, &endless).await else { panic!() };
    assert!(why.contains("longer than"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_flood_is_held_back_and_others_are_not_held_up() {
    let connector = with_binary();
    let flood = server(
        r#"(while :; do say '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'; done) & answer started"#,
    );
    let (flooding, ear) = open(&connector, &flood).await.unwrap();
    flooding.request(request("tools/call", json!({ "name": "do" }))).await.unwrap();
    let healthy = server("answer hello");
    let (healthy, _) = open(&connector, &healthy).await.unwrap();
    for _ in 0..20 {
        let began = now();
        healthy.request(request("tools/call", json!({ "name": "do" }))).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    flooding.request(request("tools/list", json!({}))).await.expect("it is heard through its own noise");
    assert!(!ear.heard().is_empty());
    let pid = flooding.pid().unwrap();
    drop(flooding);
    until("the flood ends", || !is_alive(pid)).await;
}

#[tokio::test]
async fn what_a_program_has_started_ends_with_it() {
    let connector = with_binary();
    let server = server(r#"sleep 1000 & answer $!"#);
    let (connection, _) = open(&connector, &server).await.unwrap();
    let result = connection.request(request("tools/call", json!({ "name": "do" }))).await.unwrap();
    let grandchild: u32 = result["content"][0]["text"].as_str().unwrap().parse().unwrap();
    assert!(is_alive(grandchild));
    drop(connection);
    until("the grandchild ends too", || !is_alive(grandchild)).await;
}

/// The hub itself, killed with programs running: here a process that only starts them.
#[tokio::test]
async fn nothing_is_left_when_the_hub_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // A program, what it started, and what has left its group and its session.
    let script = format!(
        "echo $$ >>{0}; sleep 1000 & echo $! >>{0}; setsid sleep 1000 & echo $! >>{0}; touch {0}.all; exec sleep 1000",
        pids.display()
    );
    let hub = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["upstream::programs::a_hub_to_be_killed", "--exact", "--ignored", "--nocapture"])
        .env("HEARTH_TEST_SCRIPT", script)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut hub = hub.unwrap();
    until("the program is there", || Path::new(&format!("{}.all", pids.display())).exists()).await;
    let pids: Vec<u32> = std::fs::read_to_string(&pids).unwrap().lines().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    hub.kill().unwrap();
    hub.wait().unwrap();
    until("all of them end", || !pids.iter().any(|pid| is_alive(*pid))).await;
}

/// Not a test: it is killed by the one above.
#[tokio::test]
#[ignore = "started by nothing_is_left_when_the_hub_is_killed"]
async fn a_hub_to_be_killed() {
    let Ok(script) = std::env::var("HEARTH_TEST_SCRIPT") else { return };
    let _ = open(&with_binary(), &shell(&script, &[])).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}
