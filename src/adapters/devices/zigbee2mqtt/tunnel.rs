//! TLS to the broker. rumqttc's own would bring a second checker of certificates, an old one with known faults (rustls-webpki
//! 0.102); so it speaks plainly into a socket within this process, and here stands the other end. Knows no MQTT.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::Address;
use crate::net::tls;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// For the owner to mend.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Io(io::Error),
    #[error("no answer in time")]
    Timeout,
}

/// A connection with TLS, and where its plain end is taken.
pub struct Tunnel {
    /// An abstract name (`unix(7)`): in no folder, and gone with the listener.
    pub socket: String,
    listener: UnixListener,
    broker: TlsStream<TcpStream>,
}

impl Tunnel {
    /// `name`: nobody else's on this machine.
    pub async fn dig(
        address: &Address,
        ca_file: Option<PathBuf>,
        name: &str,
        within: Duration,
    ) -> Result<Tunnel, TunnelError> {
        let dig = async {
            let connector = TlsConnector::from(Arc::new(config(ca_file).await?));
            let host = address.bare_host();
            let server = ServerName::try_from(host.to_owned())
                .map_err(|_| TunnelError::Refused(format!("`mqtt.url`: {host} is no name for a certificate")))?;
            let socket = TcpStream::connect((host, address.port)).await.map_err(TunnelError::Io)?;
            socket.set_nodelay(true).map_err(TunnelError::Io)?;
            let broker = connector.connect(server, socket).await.map_err(of_tls)?;
            let socket = format!("\0{name}");
            let listener = UnixListener::bind(&socket).map_err(TunnelError::Io)?;
            Ok(Tunnel { socket, listener, broker })
        };
        tokio::time::timeout(within, dig).await.unwrap_or(Err(TunnelError::Timeout))
    }

    /// Carries what this process says, until one end closes.
    pub async fn carry(self) {
        let Tunnel { listener, mut broker, .. } = self;
        let Ok(mut hub) = own(&listener).await else { return };
        drop(listener);
        if let Err(error) = tokio::io::copy_bidirectional(&mut hub, &mut broker).await {
            tracing::debug!(%error, "the TLS connection to the MQTT broker broke");
        }
    }
}

/// The next that is this process: an abstract socket has no permissions, and others are turned away.
async fn own(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (socket, _) = listener.accept().await?;
        if socket.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id()) {
            return Ok(socket);
        }
    }
}

async fn config(ca_file: Option<PathBuf>) -> Result<ClientConfig, TunnelError> {
    let Some(file) = ca_file else { return Ok(tls::public()) };
    let read = move || {
        tls::of_authorities(&file)
            .map_err(|error| TunnelError::Refused(format!("`mqtt.ca_file` ({}): {error}", file.display())))
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| TunnelError::Io(error.into()))?
}

/// A certificate is not mended by trying again.
fn of_tls(error: io::Error) -> TunnelError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(wrong @ rustls::Error::InvalidCertificate(_)) => TunnelError::Refused(format!(
            "its certificate is not trusted ({wrong}); `mqtt.ca_file` names the authority that it comes from, and `mqtt.url` the broker by \
             the name in it"
        )),
        _ => TunnelError::Io(error),
    }
}
