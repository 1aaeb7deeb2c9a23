//! The hub's own WebSocket behind an echo, for the Autobahn cases (`.ci/peers/autobahn`): the same accept loop, handshake
//! and socket as a session has, with nothing above them. No part of the hub.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use hearth::common::config::Config;
use hearth::gateway::context::Request;
use hearth::gateway::listen::{Caller, Listener, raise_open_files};
use hearth::gateway::respond::Response;
use hearth::gateway::session::handshake;
use hearth::gateway::session::socket::{Incoming, Socket};
use hearth::gateway::session::transmit::Transmit;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The longest message of the cases, bytes. A hub takes a sixteenth of it.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["--listen", address] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return Err("usage: autobahn_echo --listen HOST:PORT".into());
    };
    let address: SocketAddr = address.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        raise_open_files();
        let listener = Listener::bind(address)?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (_config, config) = watch::channel(Arc::new(Config::default()));
        let (shutdown, stop) = watch::channel(false);
        println!("echo at ws://{}/", listener.local_addr());
        tokio::spawn(async move {
            terminate.recv().await;
            shutdown.send_replace(true);
        });
        listener.serve(config, stop, answer).await;
        Ok(())
    })
}

async fn answer(caller: Caller, mut request: Request) -> Response {
    match handshake::accept(&mut request) {
        Ok((response, upgrade)) => {
            tokio::spawn(async move {
                if let Ok((stream, read_ahead)) = upgrade.await {
                    echo(Socket::new(stream, read_ahead, MESSAGE_BYTES_MAX).await).await;
                }
                drop(caller);
            });
            response
        }
        Err(refused) => *refused,
    }
}

async fn echo(mut socket: Socket) {
    loop {
        let transmit = match poll_fn(|cx| socket.poll_receive(cx)).await {
            Incoming::Text(text) => Transmit::Text(text),
            Incoming::Binary(bytes) => Transmit::Binary(bytes),
            Incoming::Control => continue,
            Incoming::Closed => return socket.linger().await,
            Incoming::Broken(why) => Transmit::Close(why),
        };
        let last = matches!(transmit, Transmit::Close(_));
        if send(&mut socket, transmit).await.is_err() {
            return;
        }
        if last {
            return socket.linger().await;
        }
    }
}

async fn send(socket: &mut Socket, transmit: Transmit) -> std::io::Result<()> {
    poll_fn(|cx| socket.poll_ready(cx)).await?;
    socket.start_send(transmit)?;
    poll_fn(|cx| socket.poll_flush(cx)).await
}
