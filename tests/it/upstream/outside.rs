//! Programs outside of the hub's own service. The service manager is a thread of the test that does what `Accept=yes` and
//! `StandardInput=socket` of `systemd/hearth-mcp.socket` do: one `hearth exec-server --socket` for each connection.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use hearth::common::config::McpServer;
use hearth::mcp::upstream::UpstreamError;
use hearth::mcp::upstream::connector::Connector;
use serde_json::json;

use super::programs::{call, is_alive, server, shell, until};
use super::{open, request, with_binary};

struct Manager {
    folder: tempfile::TempDir,
    units: Arc<Mutex<Vec<Child>>>,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("mcp.sock")).unwrap();
        let units: Arc<Mutex<Vec<Child>>> = Arc::default();
        let started = units.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let unit = Command::new(env!("CARGO_BIN_EXE_hearth"))
                    .args(["exec-server", "--socket"])
                    .env_clear()
                    .env("HOME", "/var/lib/hearth-mcp")
                    .stdin(Stdio::from(OwnedFd::from(connection.unwrap())))
                    .stderr(Stdio::null())
                    .spawn();
                started.lock().unwrap().push(unit.unwrap());
            }
        });
        Manager { folder, units }
    }

    fn connector(&self) -> Connector {
        with_binary().launching_at(Some(self.folder.path().join("mcp.sock")))
    }

    fn all_ended(&self) -> bool {
        self.units.lock().unwrap().iter_mut().all(|unit| unit.try_wait().unwrap().is_some())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        for unit in self.units.lock().unwrap().iter_mut() {
            let _ = unit.kill();
            let _ = unit.wait();
        }
    }
}

#[tokio::test]
async fn it_is_called_there_and_ends_with_its_connection() {
    let manager = Manager::new();
    let server = server(r#"sleep 1000 & answer "$PPID $HOME $GREETING $!""#);
    let server = McpServer { env: [("GREETING".into(), "hello".into())].into(), ..server };
    let (connection, _) = open(&manager.connector(), &server).await.unwrap();
    let result = connection.request(request("tools/call", json!({ "name": "do" }))).await.unwrap();
    let said: Vec<_> = result["content"][0]["text"].as_str().unwrap().split(' ').collect();
    let unit = manager.units.lock().unwrap()[0].id();
    assert_eq!(said[..3], [&*unit.to_string(), "/var/lib/hearth-mcp", "hello"], "a child of the unit, at home there");
    let (program, grandchild) = (connection.pid().unwrap(), said[3].parse().unwrap());
    assert!(is_alive(program) && is_alive(grandchild));
    drop(connection);
    until("all of it ends", || !is_alive(program) && !is_alive(grandchild) && manager.all_ended()).await;
}

#[tokio::test]
async fn how_it_ended_comes_back() {
    let manager = Manager::new();
    let connector = manager.connector();
    let refused = shell("echo 'no licence found' >&2; exit 3", &[]);
    let Err(UpstreamError::Gone(why)) = call(&connector, &refused).await else { panic!() };
    assert!(why.contains("exit status: 3") && why.contains("no licence found"), "{why}");
    let killed = server("kill -9 $$");
    let Err(UpstreamError::Gone(why)) = call(&connector, &killed).await else { panic!() };
    assert!(why.contains("signal: 9"), "{why}");
    let none = McpServer { command: vec!["no-such-server".into()], ..McpServer::default() };
    let Err(UpstreamError::Unreachable(why)) = open(&connector, &none).await.map(|_| ()) else { panic!() };
    assert!(why.contains("no-such-server") && why.contains("install it"), "{why}");
    until("every unit ends", || manager.all_ended()).await;
    let before = manager.units.lock().unwrap().len();
    // One that asks for nothing, and one that asks for nonsense.
    drop(UnixStream::connect(manager.folder.path().join("mcp.sock")).unwrap());
    let mut nonsense = UnixStream::connect(manager.folder.path().join("mcp.sock")).unwrap();
    std::io::Write::write_all(&mut nonsense, b"{}\n").unwrap();
    until("both end", || manager.units.lock().unwrap().len() == before + 2 && manager.all_ended()).await;
}

#[tokio::test]
async fn one_that_will_not_go_is_ended() {
    let manager = Manager::new();
    let mut stubborn = shell("trap '' TERM; echo $$ >\"$0.pid\"; while :; do sleep 1; done", &[]);
    let place = manager.folder.path().join("stubborn");
    stubborn.command[3] = place.to_str().unwrap().into();
    let connector = manager.connector();
    let opening = tokio::spawn(async move { open(&connector, &stubborn).await.map(|_| ()) });
    let written = || std::fs::read_to_string(format!("{}.pid", place.display())).unwrap_or_default();
    until("it runs", || written().ends_with('\n')).await;
    let pid = written().trim().parse().unwrap();
    opening.abort();
    until("it is gone", || !is_alive(pid) && manager.all_ended()).await;
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_told_and_nothing_runs_in_the_hub() {
    let connector = with_binary().launching_at(Some("/no/such/mcp.sock".into()));
    let Err(UpstreamError::Unreachable(why)) = call(&connector, &server("answer x")).await else { panic!() };
    assert!(why.contains("/no/such/mcp.sock") && why.contains("hearth-mcp.socket"), "{why}");
}
