//! The accept loop over real sockets of the loopback interface.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::*;
use crate::common::config::Gateway;
use crate::gateway::testing::{HANG, Open, PATIENT, body, header, hear, hear_until, open_with, status};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Answers the path and the length of the body.
async fn echo(_: Caller, request: Request<Incoming>) -> Response {
    let path = request.uri().path().to_owned();
    let body = crate::gateway::context::read_body(request).await;
    body.map(|body| text(format!("{path} {}", body.len()))).unwrap_or_else(|problem| problem)
}

/// Upgrades, then says back what comes until the peer or the hub has enough.
fn upgrade(stop: watch::Receiver<bool>) -> impl Fn(Caller, Request<Incoming>) -> std::future::Ready<Response> + Clone {
    move |caller, mut request| {
        let (upgraded, mut stop) = (hyper::upgrade::on(&mut request), stop.clone());
        drop(request);
        tokio::spawn(async move {
            let guard = caller.guard;
            let (mut stream, early) = into_socket(upgraded.await.expect("an upgrade"));
            assert!(stream.nodelay().expect("open"), "small frames go out at once");
            stream.write_all(&early).await.expect("written");
            let (mut reading, mut writing) = stream.split();
            tokio::select! {
                _ = tokio::io::copy(&mut reading, &mut writing) => {}
                () = stopped(&mut stop) => {}
            }
            drop(guard);
        });
        let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("upgrade"));
        headers.insert(hyper::header::UPGRADE, hyper::header::HeaderValue::from_static("echo"));
        std::future::ready(response)
    }
}

fn text(text: impl Into<String>) -> Response {
    Response::new(respond::whole(text.into()))
}

fn up_to(max_connections: usize) -> Config {
    Config { gateway: Gateway { max_connections, ..Gateway::default() }, ..Config::default() }
}

/// Asks again until there is room.
async fn ask_until_let_in(open: &Open) -> String {
    let asking = async {
        loop {
            let answer = open.ask(GET_AND_CLOSE).await;
            if status(&answer) != 503 {
                return answer;
            }
        }
    };
    tokio::time::timeout(HANG, asking).await.expect("room in the end")
}

#[tokio::test]
async fn slow_heads_hold_nobody_up_and_end() {
    let open = open_with(Config::default(), Deadlines { head: Duration::from_millis(400), ..PATIENT }, echo);
    let silent: Vec<TcpStream> = futures_util::future::join_all((0..100).map(|_| open.connect())).await;
    let dripping =
        futures_util::future::join_all((0..100).map(|_| open.connect())).await.into_iter().map(|mut stream| {
            tokio::spawn(async move {
                // A head that would take minutes, each byte well within the deadline of the one before.
                let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(10_000));
                for byte in head.into_bytes() {
                    let mut heard = [0; 1];
                    tokio::select! {
                        ended = stream.read(&mut heard) => return ended.unwrap_or(0),
                        () = tokio::time::sleep(Duration::from_millis(20)) => {}
                    }
                    if stream.write_all(&[byte]).await.is_err() {
                        return 0;
                    }
                }
                usize::MAX
            })
        });
    let dripping: Vec<_> = dripping.collect();
    assert_eq!(body(&open.ask(GET_AND_CLOSE).await), "/ 0");
    for mut stream in silent {
        let heard = hear(&mut stream).await;
        assert!(heard.is_empty() || heard.starts_with('<'), "{heard}");
    }
    for ended in dripping {
        assert_eq!(ended.await.expect("no panic"), 0, "closed without an answer");
    }
    assert_eq!(body(&open.ask(GET_AND_CLOSE).await), "/ 0");
}

#[tokio::test]
async fn an_idle_connection_is_kept_a_while_and_closed() {
    let open = open_with(Config::default(), Deadlines { head: Duration::from_secs(1), ..PATIENT }, echo);
    let mut stream = open.connect().await;
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.expect("open");
        assert!(hear_until(&mut stream, "/ 0").await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(hear(&mut stream).await, "");
}

#[tokio::test]
async fn over_the_total_is_told_to_come_again() {
    let open = open_with(up_to(2), PATIENT, echo);
    let (first, second) = (open.connect().await, open.connect().await);
    let answer = open.ask(GET).await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (503, Some("5")), "{answer}");
    assert_eq!(header(&answer, "content-length"), Some(body(&answer).len().to_string().as_str()));
    assert!(body(&answer).contains("gateway.max_connections)") && body(&answer).contains("rate_limited"), "{answer}");
    drop(first);
    assert_eq!(body(&ask_until_let_in(&open).await), "/ 0");
    drop(second);
}

#[tokio::test]
async fn a_storm_over_the_cap_is_survived() {
    let open = open_with(up_to(1), PATIENT, echo);
    let held = open.connect().await;
    // More at once than are told why; nobody of them reads or closes.
    let storm = futures_util::future::join_all((0..3 * FAREWELLS_MAX).map(|_| open.connect())).await;
    drop(held);
    drop(storm);
    assert_eq!(body(&ask_until_let_in(&open).await), "/ 0");
}

#[tokio::test]
async fn one_address_gets_its_share_only() {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip());
    let Some(own) = own.ok().filter(|own| !own.is_loopback() && !own.is_unspecified()) else {
        return eprintln!("skipped: this machine has no address but loopback");
    };
    let gateway = Gateway { max_connections_per_address: 2, lan_only: false, ..Gateway::default() };
    let (_config, config) = watch::channel(Arc::new(Config { gateway, ..Config::default() }));
    let (_shutdown, stop) = watch::channel(false);
    let listener = Listener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).expect("a free port").with_deadlines(PATIENT);
    let port = listener.local_addr().port();
    tokio::spawn(listener.serve(config, stop, echo));
    let connect = |address: IpAddr| async move { TcpStream::connect((address, port)).await.expect("a connection") };
    let _held = (connect(own).await, connect(own).await);
    let mut third = connect(own).await;
    let answer = hear(&mut third).await;
    assert!(status(&answer) == 503 && answer.contains("max_connections_per_address"), "{answer}");
    let many = futures_util::future::join_all((0..9).map(|_| connect(IpAddr::from([127, 0, 0, 1])))).await;
    for mut stream in many {
        stream.write_all(GET.as_bytes()).await.expect("open");
        hear_until(&mut stream, "/ 0").await;
    }
}

#[test]
fn strangers_hear_why() {
    let answer = String::from_utf8(farewell(Refusal::NotLan)).expect("UTF-8");
    assert_eq!(
        (status(&answer), header(&answer, "retry-after"), header(&answer, "connection")),
        (403, None, Some("close"))
    );
    assert!(body(&answer).contains("gateway.lan_only") && body(&answer).contains(r#""code":"forbidden""#), "{answer}");
}

#[tokio::test]
async fn an_upgraded_socket_is_bare_and_counts_until_it_closes() {
    let (_shutdown, stop) = watch::channel(false);
    let open = open_with(up_to(1), PATIENT, upgrade(stop));
    let mut stream = open.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nread ahead";
    stream.write_all(request.as_bytes()).await.expect("open");
    assert_eq!(status(&hear_until(&mut stream, "read ahead").await), 101);
    stream.write_all(b"and more").await.expect("open");
    hear_until(&mut stream, "and more").await;
    assert_eq!(status(&open.ask(GET_AND_CLOSE).await), 503);
    drop(stream);
    let mut next = open.connect().await;
    loop {
        next.write_all(request.as_bytes()).await.expect("open");
        let mut heard = [0; 12];
        if next.read_exact(&mut heard).await.is_ok() && heard.ends_with(b"101") {
            break;
        }
        next = open.connect().await;
    }
}

#[tokio::test]
async fn who_does_not_read_is_given_up() {
    let big = |_, request: Request<Incoming>| async move {
        let len = if request.headers().contains_key(hyper::header::CONNECTION) { 1 } else { 64 * 1024 * 1024 };
        Response::new(respond::whole(vec![b'x'; len]))
    };
    let open = open_with(up_to(1), Deadlines { stall: Duration::from_millis(200), ..PATIENT }, big);
    let mut stalled = open.connect().await;
    stalled.write_all(GET.as_bytes()).await.expect("open");
    let mut first = [0; 1];
    stalled.read_exact(&mut first).await.expect("an answer has begun");
    // The one place is free again while the reader still holds its end.
    assert_eq!(body(&ask_until_let_in(&open).await), "x");
    drop(stalled);
}

#[tokio::test]
async fn what_is_no_http_gets_400_and_what_is_too_much_431() {
    let open = open_with(Config::default(), PATIENT, echo);
    for bad in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\0\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = open.ask(bad).await;
        assert!(answer.is_empty() || status(&answer) == 400, "{bad:?}: {answer}");
    }
    assert_eq!(status(&open.ask("GET / HTTP/1.1\r\nHost x\r\n\r\n").await), 400);
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(4 * HEAD_BYTES_MAX));
    assert_eq!(status(&open.ask(long).await), 431);
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(status(&open.ask(many).await), 431);
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(4 * HEAD_BYTES_MAX));
    assert!(matches!(status(&open.ask(path).await), 414 | 431));
    assert_eq!(body(&open.ask(GET_AND_CLOSE).await), "/ 0");
}

#[tokio::test]
async fn old_and_eager_clients_are_served() {
    let open = open_with(Config::default(), PATIENT, echo);
    let old = open.ask("GET /old HTTP/1.0\r\n\r\n").await;
    assert_eq!((status(&old), body(&old)), (200, "/old 0"));
    let eager = open
        .ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    let bodies: Vec<&str> = eager.split("HTTP/1.1 200 OK").skip(1).map(body).collect();
    assert_eq!(bodies, ["/a 0", "/b 3", "/c 0"]);
}

/// Requests whose end two parsers could see in two places. None may make the hub answer `/smuggled`.
#[tokio::test]
async fn nothing_is_smuggled() {
    let open = open_with(Config::default(), PATIENT, echo);
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for (shape, is_refused) in [
        ("Content-Length: 0\r\nContent-Length: 40\r\n\r\n", true),
        ("Content-Length: 40\r\nContent-Length: 0\r\n\r\n", true),
        ("Content-Length: 0, 40\r\n\r\n", true),
        ("Content-Length: +0\r\n\r\n", true),
        ("Content-Length: -1\r\n\r\n", true),
        ("Content-Length: 0x0\r\n\r\n", true),
        ("Content-Length: 99999999999999999999999\r\n\r\n", true),
        ("Content-Length : 0\r\n\r\n", true),
        ("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", true),
        ("Transfer-Encoding: identity\r\n\r\n", true),
        ("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", true),
        ("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\n0 0\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", true),
        // RFC 9112 §6.3: Transfer-Encoding holds and the connection ends after the answer.
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", false),
    ] {
        let answer = open.ask(format!("POST / HTTP/1.1\r\nHost: x\r\n{shape}{hidden}")).await;
        assert!(!answer.contains("/smuggled"), "{shape:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shape:?}: {answer}");
        assert_eq!(status(&answer), if is_refused { 400 } else { 200 }, "{shape:?}: {answer}");
    }
    let old = open.ask(format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}")).await;
    assert_eq!((status(&old), old.matches("HTTP/1.").count()), (400, 1), "{old}");
}

#[tokio::test]
async fn a_drain_lets_everybody_finish() {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let answer = {
        let (gate, waiting) = (gate.clone(), waiting.clone());
        move |_: Caller, request: Request<Incoming>| {
            let (gate, waiting) = (gate.clone(), waiting.clone());
            async move {
                if request.uri().path() == "/slow" {
                    waiting.add_permits(1);
                    gate.acquire().await.expect("never closed").forget();
                }
                text("done")
            }
        }
    };
    let open = open_with(Config::default(), PATIENT, answer);
    let (mut silent, mut begun, mut asking) = (open.connect().await, open.connect().await, open.connect().await);
    begun.write_all(&GET.as_bytes()[..20]).await.expect("open");
    asking.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("open");
    waiting.acquire().await.expect("never closed").forget();
    // What was sent before this is answered has been read.
    let mut idle = open.connect().await;
    idle.write_all(GET.as_bytes()).await.expect("open");
    hear_until(&mut idle, "done").await;

    open.shutdown.send_replace(true);
    assert_eq!(hear(&mut idle).await, "");
    assert_eq!(hear(&mut silent).await, "");
    assert!(TcpStream::connect(open.address).await.is_err(), "nobody listens any more");
    assert!(!open.served.is_finished(), "two are still asking");
    gate.add_permits(1);
    begun.write_all(&GET.as_bytes()[20..]).await.expect("open");
    for heard in [hear(&mut asking).await, hear(&mut begun).await] {
        assert_eq!((header(&heard, "connection"), body(&heard)), (Some("close"), "done"), "{heard}");
    }
    // Whoever holds its end open is waited for; these leave.
    drop((silent, idle, asking, begun));
    assert_eq!(open.served.await.expect("no panic"), 0);
}

#[tokio::test]
async fn upgraded_sockets_hear_of_the_drain_and_the_deaf_are_cut() {
    for is_deaf in [false, true] {
        let (session_shutdown, stop) = watch::channel(false);
        let open =
            open_with(Config::default(), Deadlines { drain: Duration::from_millis(200), ..PATIENT }, upgrade(stop));
        let mut stream = open.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhi")
            .await
            .expect("open");
        hear_until(&mut stream, "hi").await;
        session_shutdown.send_replace(!is_deaf);
        open.shutdown.send_replace(true);
        let still_open = tokio::time::timeout(HANG, open.served).await.expect("an end").expect("no panic");
        assert_eq!(still_open, usize::from(is_deaf));
    }
}

#[tokio::test]
async fn bind_errors_say_what_to_do() {
    let taken = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    assert_ne!(taken.local_addr().port(), 0);
    let error = Listener::bind(taken.local_addr()).expect_err("taken");
    assert!(matches!(error, BindError::InUse(_)) && error.to_string().contains("gateway.port"), "{error}");
    let error = Listener::bind("192.0.2.1:0".parse().expect("an address")).expect_err("not ours");
    assert!(matches!(error, BindError::NotHere(_)) && error.to_string().contains("gateway.host"), "{error}");
}

#[tokio::test]
async fn both_families_come_in_at_the_unspecified_address() {
    let listener = match Listener::bind("[::]:0".parse().expect("an address")) {
        Ok(listener) => listener.with_deadlines(PATIENT),
        Err(BindError::NoIpv6(_)) => return eprintln!("skipped: this machine has no IPv6"),
        Err(error) => panic!("{error}"),
    };
    let port = listener.local_addr().port();
    let (_config, config) = watch::channel(Arc::new(Config::default()));
    let (_shutdown, stop) = watch::channel(false);
    tokio::spawn(listener.serve(config, stop, |caller: Caller, _| async move { text(caller.local.ip().to_string()) }));
    let mut heard = Vec::new();
    for address in ["127.0.0.1", "::1"] {
        let Ok(mut stream) = TcpStream::connect((address, port)).await else { continue };
        stream.write_all(GET_AND_CLOSE.as_bytes()).await.expect("open");
        heard.push(body(&hear(&mut stream).await).to_owned());
    }
    assert_eq!(heard.first().map(String::as_str), Some("::ffff:127.0.0.1"));
}

#[test]
fn the_open_files_limit_goes_up() {
    let limit = raise_open_files();
    assert_eq!(limit, rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum);
}
