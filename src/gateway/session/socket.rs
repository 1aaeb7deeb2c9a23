//! A WebSocket as the session's driver sees it: messages in, messages out, close codes for every way it can go wrong. Wraps
//! tungstenite, whose types stay in this file (but for its text); knows no session.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::gateway::session::close::{self, Close};
use crate::gateway::session::transmit::Transmit;

/// What an idle socket holds for reading, bytes; cleared at each look at the socket, so that less is quicker, too. A longer
/// message makes room for itself while it is there, and is read in pieces of this size.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// Frames are collected up to here before they are written without being asked to, bytes.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// So many times the longest message may come for one, with the headers of its fragments: beyond, somebody sends fragments
/// without end.
const MESSAGES_FOR_ONE: u64 = 4;

/// A client's control frame without its payload (RFC 6455 §5.2): two bytes and the mask.
const CONTROL_HEADER_BYTES: usize = 6;

/// How long a peer may take to say goodbye after us.
const LINGER: Duration = Duration::from_secs(2);

/// How much of what it still sends is thrown away, and in pieces of which size, bytes.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
const LINGER_READ_BYTES: usize = 2 * 1024;

/// What comes from a peer.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// A ping or a pong; pings are answered by themselves.
    Control,
    /// The peer said goodbye, or the connection broke.
    Closed,
    /// The peer broke a rule: answer with this and hang up.
    Broken(Close),
}

/// See the module.
pub struct Socket {
    stream: WebSocketStream<Metered>,
    message_bytes_max: usize,
    /// [`Metered::read`] at the last whole message, and what control frames took since.
    read_before: u64,
    /// The peer broke a rule: nothing more is read.
    is_broken: bool,
}

impl Socket {
    /// A server's side of a connection whose handshake is done; `read_ahead` is what was read of it already.
    pub async fn new(stream: TcpStream, read_ahead: Bytes, message_bytes_max: usize) -> Socket {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let metered = Metered { stream, read: 0, written: 0 };
        let stream = if read_ahead.is_empty() {
            WebSocketStream::from_raw_socket(metered, Role::Server, Some(config)).await
        } else {
            WebSocketStream::from_partially_read(metered, read_ahead.into(), Role::Server, Some(config)).await
        };
        Socket { stream, message_bytes_max, read_before: 0, is_broken: false }
    }

    /// Bytes that the peer has taken so far.
    pub fn written(&self) -> u64 {
        self.stream.get_ref().written
    }

    /// The next message. After `Broken` nothing else comes.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.is_broken {
            return Poll::Pending;
        }
        let received = Pin::new(&mut self.stream).poll_next(cx);
        let read = self.stream.get_ref().read;
        let one_message = self.message_bytes_max as u64 * MESSAGES_FOR_ONE;
        let incoming = match received {
            Poll::Pending if read.saturating_sub(self.read_before) <= one_message => return Poll::Pending,
            Poll::Pending => Incoming::Broken(Close::of(close::TOO_BIG)),
            Poll::Ready(Some(Ok(Message::Ping(payload) | Message::Pong(payload)))) => {
                // Control frames may stand between the fragments of a message, and a silent peer sends nothing else.
                self.read_before += (CONTROL_HEADER_BYTES + payload.len()) as u64;
                return Poll::Ready(Incoming::Control);
            }
            Poll::Ready(Some(Ok(Message::Text(text)))) => Incoming::Text(text),
            Poll::Ready(Some(Ok(Message::Binary(bytes)))) => Incoming::Binary(bytes),
            Poll::Ready(Some(Ok(Message::Close(_) | Message::Frame(_))) | None) => Incoming::Closed,
            Poll::Ready(Some(Err(error))) => broken(&error).map_or(Incoming::Closed, Incoming::Broken),
        };
        self.read_before = read;
        self.is_broken = matches!(incoming, Incoming::Broken(_));
        Poll::Ready(incoming)
    }

    /// Ready when another message may be given to [`Socket::start_send`].
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(io_error))
    }

    pub fn start_send(&mut self, transmit: Transmit) -> io::Result<()> {
        let message = match transmit {
            Transmit::Text(text) => Message::Text(text),
            Transmit::Fragment { text, is_first, is_last } => {
                let opcode = OpCode::Data(if is_first { Data::Text } else { Data::Continue });
                Message::Frame(Frame::message(Bytes::from(text), opcode, is_last))
            }
            Transmit::Binary(bytes) => Message::Binary(bytes),
            Transmit::Ping => Message::Ping(Bytes::new()),
            Transmit::Close(Close { code, reason }) => {
                Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static(reason) }))
            }
        };
        Pin::new(&mut self.stream).start_send(message).map_err(io_error)
    }

    /// Ready when the peer's kernel, or ours, has taken everything.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(io_error))
    }

    /// Ends the connection so that all that was sent arrives, an answer to the peer's goodbye with it: a socket that is
    /// closed with bytes unread resets, and takes what is still on its way with it. Throws away what the peer still sends,
    /// for a while.
    pub async fn linger(mut self) {
        let drain = async {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            let mut stream = self.stream.into_inner().stream;
            stream.shutdown().await?;
            let mut thrown = [0; LINGER_READ_BYTES];
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                match stream.read(&mut thrown).await? {
                    0 => break,
                    len => left = left.saturating_sub(len),
                }
            }
            io::Result::Ok(())
        };
        // A peer that is gone, or that never stops, has had its chance.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

/// The close code for what a peer did wrong; `None` where the connection itself is gone.
fn broken(error: &Error) -> Option<Close> {
    let code = match error {
        Error::Capacity(_) => close::TOO_BIG,
        Error::Utf8(_) => close::NOT_UTF8,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing) => {
            return None;
        }
        Error::Protocol(_) => close::PROTOCOL_ERROR,
        _ => return None,
    };
    Some(Close::of(code))
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// A TCP stream that counts.
struct Metered {
    stream: TcpStream,
    read: u64,
    written: u64,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.read += (buf.filled().len() - before) as u64;
        done
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(len)) = done {
            self.written += len as u64;
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
