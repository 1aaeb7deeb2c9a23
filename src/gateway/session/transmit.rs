//! What a session puts on its socket: made by its rules, carried out by its driver.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::gateway::session::close::Close;

/// What a session is to put on its socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Transmit {
    Text(Utf8Bytes),
    /// A piece of a long text (RFC 6455 §5.4). Nothing but a ping or a close frame comes between the first and the last.
    Fragment {
        text: Utf8Bytes,
        is_first: bool,
        is_last: bool,
    },
    Binary(Bytes),
    /// RFC 6455 §5.5.2; any answer shows that the client lives.
    Ping,
    /// The last of it.
    Close(Close),
}
