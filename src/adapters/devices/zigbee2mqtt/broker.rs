//! A broker for the tests of the driver: it takes one client, keeps nothing, and says what the test says. On loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use rumqttc::{ConnAck, ConnectReturnCode, Login, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode, UnsubAck};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Bytes of a packet from the hub.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// The broker's certificate (of `localhost` and 127.0.0.1) and its key, for these tests alone.
const CERTIFICATE: &[u8] = include_bytes!("testdata/broker.pem");
const KEY: &[u8] = include_bytes!("testdata/broker.key");

pub struct Broker {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// With TLS or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A client that has been let in.
pub struct Client {
    socket: Box<dyn Wire>,
    read: BytesMut,
    pub name: String,
    pub login: Option<Login>,
    pub topics: Vec<String>,
}

impl Broker {
    pub async fn start(at: SocketAddr) -> Broker {
        Broker { listener: TcpListener::bind(at).await.unwrap(), tls: None }
    }

    pub async fn start_with_tls(at: SocketAddr) -> Broker {
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            )
            .unwrap();
        Broker { tls: Some(TlsAcceptor::from(Arc::new(config))), ..Broker::start(at).await }
    }

    /// The next that knocks, TLS or not, which may come to nothing.
    async fn knock(&self) -> std::io::Result<Box<dyn Wire>> {
        let (socket, _) = self.listener.accept().await?;
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.accept(socket).await?),
            None => Box::new(socket),
        })
    }

    /// Why the next that knocks turns away again.
    pub async fn turned_away(&self) -> std::io::Error {
        self.knock().await.err().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// With which the next begins; then it is hung up on.
    pub async fn first_byte(&self) -> u8 {
        self.knock().await.unwrap().read_u8().await.unwrap()
    }

    /// The next client, answered with this.
    pub async fn accept(&self, code: ConnectReturnCode) -> Client {
        let socket = self.knock().await.unwrap();
        let mut client = Client { socket, read: BytesMut::new(), name: String::new(), login: None, topics: Vec::new() };
        let Packet::Connect(connect) = client.packet().await.unwrap() else { panic!("a client begins with CONNECT") };
        assert!(connect.clean_session);
        (client.name, client.login) = (connect.client_id, connect.login);
        client.send(Packet::ConnAck(ConnAck::new(code, false))).await;
        client
    }
}

impl Client {
    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.socket.write_all(&bytes).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// The next packet; `None`: it has gone.
    async fn packet(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.read, PACKET_BYTES_MAX) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the hub sends no MQTT: {error:?}"),
            }
            if self.socket.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub async fn say(&mut self, topic: &str, payload: impl Into<Vec<u8>>, is_retained: bool) {
        let mut publish = Publish::new(topic, QoS::AtMostOnce, payload);
        publish.retain = is_retained;
        self.send(Packet::Publish(publish)).await;
    }

    /// Bytes as they are.
    pub async fn babble(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// What the hub publishes next, all else answered as a broker does; `None`: it has gone.
    pub async fn heard(&mut self) -> Option<(String, String)> {
        loop {
            match self.packet().await? {
                Packet::Publish(publish) => {
                    if publish.qos == QoS::AtLeastOnce {
                        self.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
                    }
                    return Some((publish.topic, String::from_utf8(publish.payload.to_vec()).unwrap()));
                }
                Packet::Subscribe(subscribe) => {
                    let codes =
                        subscribe.filters.iter().map(|filter| SubscribeReasonCode::Success(filter.qos)).collect();
                    self.topics.extend(subscribe.filters.into_iter().map(|filter| filter.path));
                    self.send(Packet::SubAck(SubAck::new(subscribe.pkid, codes))).await;
                }
                Packet::Unsubscribe(unsubscribe) => {
                    self.topics.retain(|topic| !unsubscribe.topics.contains(topic));
                    self.send(Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid))).await;
                }
                Packet::PingReq => self.send(Packet::PingResp).await,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Until it has subscribed to this.
    pub async fn until_subscribed(&mut self, topic: &str) {
        while !self.topics.iter().any(|known| known == topic) {
            let Packet::Subscribe(subscribe) = self.packet().await.unwrap() else {
                panic!("only subscriptions are due")
            };
            let codes = subscribe.filters.iter().map(|filter| SubscribeReasonCode::Success(filter.qos)).collect();
            self.topics.extend(subscribe.filters.into_iter().map(|filter| filter.path));
            self.send(Packet::SubAck(SubAck::new(subscribe.pkid, codes))).await;
        }
    }
}
