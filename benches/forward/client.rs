//! Clients of the hub and of a plain proxy, by hand over a socket: both do the same little work a chunk, so that what is
//! compared is what stands between them and the provider. The WebSocket's frames are checked as they come.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clock::now_ns;
use crate::provider::{STAMP_DIGITS, STAMP_MARK};

/// Nothing that a client waits for takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What is read at once at most, bytes, before and after the first request.
const IDLE_READ_BYTES: usize = 2 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Protocol v1 of the hub.
    WebSocket,
    /// Plain HTTP, as the provider speaks it.
    Http,
}

/// A chunk as a client saw it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub written_ns: u64,
    pub read_ns: u64,
}

/// An open connection.
pub struct Client {
    stream: TcpStream,
    speech: Speech,
    buffer: Vec<u8>,
    /// Of `buffer`, what is not looked at yet.
    from: usize,
    to: usize,
    ended: bool,
}

impl Client {
    /// Connects; with a WebSocket, up to and with the hub's welcome.
    pub async fn open(address: SocketAddr, speech: Speech) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = vec![0; IDLE_READ_BYTES];
        let mut client = Client { stream, speech, buffer, from: 0, to: 0, ended: false };
        if speech == Speech::WebSocket {
            client.shake_hands(address).await?;
        }
        Ok(client)
    }

    async fn shake_hands(&mut self, address: SocketAddr) -> std::io::Result<()> {
        let request = format!(
            "GET /ws/chat HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let head_len = loop {
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(at) = memmem::find(&self.buffer[..self.to], b"\r\n\r\n") {
                break at + 4;
            }
        };
        if !self.buffer.starts_with(b"HTTP/1.1 101") {
            return Err(Error::other(String::from_utf8_lossy(&self.buffer[..head_len]).into_owned()));
        }
        self.from = head_len;
        self.hear(b"\"welcome\"").await
    }

    /// Asks for a stream.
    pub async fn ask(&mut self) -> std::io::Result<()> {
        self.ended = false;
        self.buffer.resize(READ_BYTES, 0);
        match self.speech {
            Speech::WebSocket => self.say(r#"{"action":"chat","payload":{"text":"go"},"request_id":"b"}"#).await,
            Speech::Http => {
                let body = r#"{"model":"bench","stream":true,"messages":[{"role":"user","content":"go"}]}"#;
                let request = format!(
                    "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                self.stream.write_all(request.as_bytes()).await
            }
        }
    }

    /// Sends one text message of less than 126 bytes, masked with zeros (RFC 6455 §5.3).
    pub async fn say(&mut self, text: &str) -> std::io::Result<()> {
        assert!(text.len() < 126, "a short message");
        let frame = [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat();
        self.stream.write_all(&frame).await
    }

    /// Reads frames until one holds these bytes.
    pub async fn hear(&mut self, wanted: &[u8]) -> std::io::Result<()> {
        let hearing = async {
            loop {
                while let Some((start, end)) = self.frame()? {
                    if memmem::find(&self.buffer[start..end], wanted).is_some() {
                        return Ok(());
                    }
                }
                if self.fill().await? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await?
    }

    /// Reads what is there, at least something, and gives each chunk of it to `see`. False once the answer is whole.
    pub async fn read(&mut self, mut see: impl FnMut(Seen)) -> std::io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.fill().await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let read_ns = now_ns();
        match self.speech {
            Speech::WebSocket => {
                while let Some((start, end)) = self.frame()? {
                    let payload = &self.buffer[start..end];
                    if let Some((written_ns, _)) = stamp(payload) {
                        see(Seen { written_ns, read_ns });
                    } else if memmem::find(payload, b"\"status\":\"complete\"").is_some() {
                        self.ended = true;
                    } else if memmem::find(payload, b"\"status\":\"error\"").is_some() {
                        return Err(Error::other(String::from_utf8_lossy(payload).into_owned()));
                    }
                }
            }
            Speech::Http => {
                while let Some((written_ns, len)) = stamp(&self.buffer[self.from..self.to]) {
                    see(Seen { written_ns, read_ns });
                    self.from += len;
                }
                let rest = &self.buffer[self.from..self.to];
                self.ended = memmem::find(rest, b"\r\n0\r\n\r\n").is_some();
                // What is left may hold the beginning of a time, or of the end.
                let keep = memchr(STAMP_MARK, rest).map_or(rest.len().min(64), |at| rest.len() - at);
                self.from = self.to - keep;
            }
        }
        Ok(!self.ended)
    }

    /// Takes the next whole frame off the buffer: where its payload lies.
    fn frame(&mut self) -> std::io::Result<Option<(usize, usize)>> {
        let held = &self.buffer[self.from..self.to];
        let [first, second, ..] = held else { return Ok(None) };
        let (header_len, payload_len) = match second {
            126 if held.len() >= 4 => (4, usize::from(u16::from_be_bytes([held[2], held[3]]))),
            0..126 => (2, usize::from(*second)),
            126 => return Ok(None),
            _ => return Err(Error::other("a frame that is masked or too long")),
        };
        if *first != 0x81 {
            let payload = &held[header_len.min(held.len())..];
            return Err(Error::other(format!("no text frame: {first:#x} {}", String::from_utf8_lossy(payload))));
        }
        if held.len() < header_len + payload_len {
            return Ok(None);
        }
        let start = self.from + header_len;
        self.from = start + payload_len;
        Ok(Some((start, self.from)))
    }

    async fn fill(&mut self) -> std::io::Result<usize> {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        let len = self.stream.read(&mut self.buffer[self.to..]).await?;
        self.to += len;
        Ok(len)
    }
}

/// The first time in these bytes, and how far they are read with it.
fn stamp(bytes: &[u8]) -> Option<(u64, usize)> {
    let start = memchr(STAMP_MARK, bytes)? + 1;
    let digits = bytes.get(start..start + STAMP_DIGITS)?;
    Some((digits.iter().fold(0, |ns, digit| ns * 10 + u64::from(digit - b'0')), start + STAMP_DIGITS))
}
