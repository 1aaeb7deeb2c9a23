//! A running hub's WebSocket as commands use it: dialled, greeted and spoken to in protocol v2. Knows no request.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::cli::hub::{Place, base_url};
use crate::cli::listing::harmless;

/// For the connection, the handshake and the welcome together.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The hub pings every half a minute; one that is silent for longer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// A connection to a hub, past the greeting.
pub struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    /// Dials and says `hello` as `client`, with these features.
    pub async fn connect(place: Place<'_>, client: &str, features: &[&str]) -> anyhow::Result<Line> {
        let rest = place
            .url
            .strip_prefix("ws://")
            .ok_or_else(|| anyhow!("--url: the WebSocket is spoken without TLS here: http:// or ws://"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        let address = if authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let dialling = async {
            let stream = TcpStream::connect(&address)
                .await
                .with_context(|| format!("no hub at {address}; is it running? (`hearth serve`, or `hearth demo`)"))?;
            stream.set_nodelay(true)?;
            let (socket, _) = client_async(handshake(&place)?, stream).await.map_err(refused)?;
            let mut line = Line { socket };
            line.receive().await?;
            let client = json!({ "name": client, "version": env!("CARGO_PKG_VERSION") });
            let payload = json!({ "protocol": [2], "client": client, "features": features });
            line.send(&json!({ "action": "hello", "request_id": "hello", "payload": payload })).await?;
            let hello = line.receive().await?;
            match hello["status"].as_str() {
                Some("complete") => Ok(line),
                _ => bail!("the hub refused: {}", hello["error"]["message"].as_str().unwrap_or("without a reason")),
            }
        };
        timeout(CONNECT_DEADLINE, dialling).await.map_err(|_| anyhow!("no answer from {address} in time"))?
    }

    pub async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.socket.send(Message::text(message.to_string())).await.context("the connection broke")
    }

    /// The next message of JSON. May be dropped without losing any.
    pub async fn receive(&mut self) -> anyhow::Result<Value> {
        loop {
            let next = timeout(SILENCE_MAX, self.socket.next()).await.map_err(|_| anyhow!("the hub fell silent"))?;
            match next.transpose().context("the connection broke")? {
                Some(Message::Text(text)) => return serde_json::from_str(&text).context("the hub sent no JSON"),
                Some(Message::Close(Some(why))) => bail!("the hub hung up: {} ({})", why.reason, u16::from(why.code)),
                Some(Message::Close(None)) | None => bail!("the hub hung up"),
                Some(_) => {}
            }
        }
    }
}

/// The opening of the WebSocket, as whoever the token says.
fn handshake(place: &Place<'_>) -> anyhow::Result<Request> {
    let mut request = place.url.as_str().into_client_request().context("--url")?;
    if let Some(token) = place.token.token_for(&base_url(&place.url)?) {
        let value = format!("Bearer {token}").parse().context("--token: it holds what no token does")?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// Why the hub did not open the WebSocket, in its own words where it said some.
fn refused(error: tungstenite::Error) -> anyhow::Error {
    if let tungstenite::Error::Http(answer) = &error
        && let Ok(problem) = serde_json::from_slice::<Value>(answer.body().as_deref().unwrap_or_default())
        && let Some(detail) = problem["detail"].as_str()
    {
        return anyhow!("the hub says: {}", harmless(detail));
    }
    anyhow::Error::new(error).context("this is no hub, or it refused")
}
