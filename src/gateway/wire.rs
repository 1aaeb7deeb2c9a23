//! A caller's socket as the HTTP server sees it: a write that the peer does not take fails after a while, and a close waits
//! a moment so that the last answer arrives. Knows no HTTP; after an upgrade the bare socket is taken out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// What a peer must take within the stall deadline to be called reading at all, bytes.
const STALL_PROGRESS_BYTES: usize = 16 * 1024;

/// What is thrown away of a peer that still talks after the last answer, bytes: the rest of a body that was refused.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How much is read at once only to be thrown away, bytes.
const LINGER_READ_BYTES: usize = 4 * 1024;

/// How long a peer may keep the hub waiting, once the hub has something to send or to end.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a peer that takes less than [`STALL_PROGRESS_BYTES`] of what is written.
    pub stall: Duration,
    /// For its end of the connection, after ours.
    pub linger: Duration,
}

/// A socket with patience.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    patience: Patience,
    /// Running while a write is held up, and while the close is.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Taken by the peer since `deadline` began; thrown away, once the write half is closed.
    bytes: usize,
    is_shut: bool,
}

impl Wire {
    pub fn new(stream: TcpStream, patience: Patience) -> Wire {
        Wire { stream, patience, deadline: None, bytes: 0, is_shut: false }
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Says the last words and closes, within the linger deadline.
    pub async fn finish(mut self, last_words: &[u8]) -> io::Result<()> {
        use tokio::io::AsyncWriteExt;
        tokio::time::timeout(self.patience.linger, self.stream.write_all(last_words)).await??;
        self.shutdown().await
    }

    /// Keeps the account of a write that moved `written` bytes, or of one that has to wait.
    fn account(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(len)) => {
                self.bytes += len;
                if self.bytes >= STALL_PROGRESS_BYTES {
                    self.deadline = None;
                    self.bytes = 0;
                }
                Poll::Ready(Ok(len))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.poll_deadline(cx, self.patience.stall));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")))
            }
        }
    }

    /// Ready when `wait` is over, counted from the first call since `deadline` was cleared.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, wait: Duration) -> Poll<()> {
        if self.deadline.is_none() {
            self.bytes = 0;
        }
        self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait))).as_mut().poll(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.account(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.account(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for when everything is written: nothing is held up any more.
    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            self.deadline = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our half, then reads the peer's to its end. Closing with bytes unread makes the kernel reset the connection, and
    /// a reset takes away an answer that the peer has not read yet: the 413 or 431 that says what was wrong.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            (self.is_shut, self.deadline) = (true, None);
        }
        let linger = self.patience.linger;
        if self.poll_deadline(cx, linger).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [std::mem::MaybeUninit::uninit(); LINGER_READ_BYTES];
        while self.bytes < LINGER_BYTES_MAX {
            let mut buf = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.bytes += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const QUICK: Patience = Patience { stall: Duration::from_millis(50), linger: Duration::from_millis(50) };
    const SLOW: Patience = Patience { stall: Duration::from_secs(60), linger: Duration::from_secs(60) };

    async fn pair(patience: Patience) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
        (Wire::new(listener.accept().await.expect("the connection").0, patience), peer)
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut wire, _peer) = pair(QUICK).await;
        let error = loop {
            if let Err(error) = wire.write_all(&[7; 65536]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_gets_everything() {
        let (mut wire, mut peer) = pair(Patience { stall: Duration::from_secs(5), ..SLOW }).await;
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.map(|_| all.len())
        });
        wire.write_all(&vec![7; 20_000_000]).await.expect("taken");
        wire.shutdown().await.expect("closed");
        assert_eq!(reader.await.expect("no panic").expect("no reset"), 20_000_000);
    }

    #[tokio::test]
    async fn last_words_arrive_though_the_peer_still_talks() {
        let (wire, mut peer) = pair(SLOW).await;
        let talker = tokio::spawn(async move {
            peer.write_all(&vec![7; 1_000_000]).await.expect("taken");
            peer.shutdown().await.expect("closed");
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).await.expect("no reset");
            heard
        });
        wire.finish(b"go away").await.expect("said");
        assert_eq!(talker.await.expect("no panic"), b"go away");
    }

    #[tokio::test]
    async fn a_peer_that_never_closes_does_not_hold_the_close_up() {
        let (wire, mut peer) = pair(QUICK).await;
        wire.finish(b"bye").await.expect("closed");
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.expect("no reset");
        assert_eq!(heard, b"bye");
    }
}
