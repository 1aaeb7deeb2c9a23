//! Tests of the client against raw sockets on loopback: what a peer sees, byte by byte and in time.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// Nothing on loopback takes this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bar for closing is 5 ms on an idle machine; this leaves room for a busy one and is far below any timeout.
const CLOSE_MAX: Duration = Duration::from_millis(50);

/// A connection goes back to the pool a moment after its body has ended.
const BREATH: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "the time that passes is what is tested")]
fn now() -> Instant {
    Instant::now()
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn get(address: SocketAddr) -> Request<Full<Bytes>> {
    Request::get(format!("http://{address}/x")).body(Full::default()).unwrap()
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads a request's head and gives it back.
async fn head(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let count = timeout(PATIENCE, socket.read(&mut byte)).await.unwrap().unwrap();
        assert_ne!(count, 0, "closed within a head: {read:?}");
        read.push(byte[0]);
    }
    String::from_utf8(read).unwrap()
}

/// How long until the peer has closed, FIN or RST.
async fn until_closed(socket: &mut TcpStream) -> Duration {
    let since = now();
    let mut bytes = [0; 64];
    let read = timeout(PATIENCE, socket.read(&mut bytes)).await.expect("the client did not close");
    assert!(matches!(read, Ok(0) | Err(_)), "bytes where an end was due: {read:?}");
    since.elapsed()
}

#[tokio::test]
async fn a_dropped_body_closes_the_connection_at_once() {
    let (listener, address) = listener().await;
    let https = Https::new();
    let asking = tokio::spawn({
        let https = https.clone();
        async move { https.send(get(address)).await.unwrap() }
    });
    let mut socket = accept(&listener).await;
    let asked = head(&mut socket).await;
    assert!(asked.contains(&format!("user-agent: hearth/{}\r\n", env!("CARGO_PKG_VERSION"))), "{asked}");
    socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await.unwrap();
    let mut body = asking.await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    drop(body);
    let took = until_closed(&mut socket).await;
    assert!(took < CLOSE_MAX, "{took:?}");
}

#[tokio::test]
async fn a_request_dropped_before_the_first_byte_closes_the_connection_at_once() {
    let (listener, address) = listener().await;
    let https = Https::new();
    let asking = tokio::spawn({
        let https = https.clone();
        async move { https.send(get(address)).await }
    });
    let mut socket = accept(&listener).await;
    head(&mut socket).await;
    asking.abort();
    let took = until_closed(&mut socket).await;
    assert!(took < CLOSE_MAX, "{took:?}");
}

#[tokio::test]
async fn a_connection_stays_warm_after_a_whole_answer_and_after_a_drained_one() {
    let (listener, address) = listener().await;
    let https = Https::new();
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        for _ in 0..2 {
            head(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
            socket.write_all(b"0\r\n\r\n").await.unwrap();
        }
        head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    let body = https.send(get(address)).await.unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hi");
    tokio::time::sleep(BREATH).await;
    let mut body = https.send(get(address)).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drain(body);
    tokio::time::sleep(BREATH).await;
    assert_eq!(https.send(get(address)).await.unwrap().status(), 204);
    server.await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let (listener, address) = listener().await;
    let https = Https::new();
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        head(&mut socket).await;
        let moved = format!("HTTP/1.1 307 X\r\nlocation: http://{address}/elsewhere\r\ncontent-length: 0\r\n\r\n");
        socket.write_all(moved.as_bytes()).await.unwrap();
        timeout(Duration::from_millis(50), socket.read_u8()).await.is_err()
    });
    assert_eq!(https.send(get(address)).await.unwrap().status(), 307);
    assert!(server.await.unwrap(), "nothing more was asked");
}

#[tokio::test]
async fn an_error_body_is_bounded_in_size_and_in_time() {
    let (listener, address) = listener().await;
    let https = Https::new();
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let mut socket = accept(&listener).await;
            head(&mut socket).await;
            socket.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 1000000\r\n\r\n0123456789").await.unwrap();
            until_closed(&mut socket).await;
        }
    });
    let body = https.send(get(address)).await.unwrap().into_body();
    assert_eq!(read_bounded(body, 4, PATIENCE).await, "0123");
    let body = https.send(get(address)).await.unwrap().into_body();
    assert_eq!(read_bounded(body, 100, Duration::from_millis(30)).await, "0123456789");
    timeout(PATIENCE, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn why_there_was_no_answer() {
    let (listener, address) = listener().await;
    let https = Https::with_connect_deadline(Duration::from_millis(100));
    let why = async |uri: &str| {
        let request = Request::get(uri).body(Full::default()).unwrap();
        let error = https.send(request).await.unwrap_err();
        (error.place, error.why)
    };

    let silent = why(&format!("https://{address}/")).await;
    assert_eq!(silent, (address.to_string(), Why::ConnectTimeout(Duration::from_millis(100))));

    drop(accept(&listener).await);
    let plain = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
        let mut socket = accept(&listener).await;
        head(&mut socket).await;
    });
    let (_, not_tls) = why(&format!("https://{address}/")).await;
    assert!(matches!(not_tls, Why::Tls(_)), "{not_tls:?}");

    let (_, hung_up) = why(&format!("http://{address}/")).await;
    assert!(matches!(hung_up, Why::BrokeOff(_)), "{hung_up:?}");
    plain.await.unwrap();

    assert_eq!(why(&format!("http://{address}/")).await, (address.to_string(), Why::Refused));
    let unknown = why("http://no-such-name.invalid/v1").await;
    assert_eq!(unknown, ("no-such-name.invalid:80".into(), Why::NameUnknown));
}

/// Whoever outside names a URL leads the hub to nobody in the house by a name of their own.
#[tokio::test]
async fn a_client_that_goes_out_alone_follows_no_name_into_the_house() {
    let (listener, address) = listener().await;
    let request = move || Request::get(format!("http://localhost:{}/x", address.port())).body(Full::default()).unwrap();
    let https = Https::new();
    let refused = https.outside().send(request()).await.unwrap_err();
    assert_eq!(refused.why, Why::Inside);
    assert!(timeout(BREATH, listener.accept()).await.is_err(), "nobody came");
    let asking = tokio::spawn(async move { https.send(request()).await });
    accept(&listener).await;
    asking.abort();
}
