//! Connections: TCP or TLS over TCP, with the bytes above TLS counted.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use rustls::{ClientConfig, HandshakeKind, client::Resumption, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::stats::Failure;

/// Bytes of a connection, above TLS: sent, received.
#[derive(Clone, Default)]
pub(crate) struct Traffic(Arc<(AtomicU64, AtomicU64)>);

impl Traffic {
    /// Sent and received so far.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.0.0.load(Relaxed), self.0.1.load(Relaxed))
    }
}

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// TLS, and the name the server's certificate must have.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Endpoint {
    /// The same for new connections again and again: with sessions of its own to resume, or none.
    pub(crate) fn renewed(&self, resumes: bool) -> Self {
        let tls = self.tls.as_ref().map(|(config, name)| {
            let mut config = ClientConfig::clone(config);
            config.resumption = if resumes { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
            (Arc::new(config), name.clone())
        });
        Self { address: self.address, tls }
    }

    /// Opens a connection, handshake included.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        self.connect_as(Traffic::default()).await
    }

    /// Opens a connection that goes on counting where another has ended.
    pub(crate) async fn connect_as(&self, traffic: Traffic) -> Result<Connection, Failure> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let (stream, is_resumed): (Box<dyn Stream>, bool) = match &self.tls {
            None => (Box::new(tcp), false),
            Some((config, name)) => {
                let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
                let stream = handshake.await.map_err(|error| Failure::broken(format!("TLS: {error}")))?;
                let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                (Box::new(stream), is_resumed)
            }
        };
        Ok(Connection { stream, traffic, is_resumed })
    }
}

/// Sessions that a client remembers; it needs one at a time.
const SESSIONS: usize = 32;

/// What a connection can be made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open connection that counts its bytes.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    traffic: Traffic,
    /// Whether its handshake took up an earlier session.
    pub(crate) is_resumed: bool,
}

impl Connection {
    /// Its bytes, also when the connection is in other hands.
    pub(crate) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.traffic.0.1.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.traffic.0.0.fetch_add(*written as u64, Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
