//! The accept loop.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{failure, stream::Stream};

/// An accepted connection, its handshake done.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// The other end.
    pub peer: SocketAddr,
    /// DER of the peer's own certificate, verified against the listener's client CA; `None` where none was asked for.
    pub certificate: Option<Vec<u8>>,
    /// Cancelled when the gateway drains: finish the request at hand, then close.
    pub drain: CancellationToken,
}

/// What a listener protects its connections with.
#[derive(Clone)]
pub enum Security {
    /// Nothing; for loopback, or behind a proxy that ends TLS.
    Plain,
    /// TLS with whatever configuration is current when the handshake begins.
    Tls(Arc<ArcSwap<ServerConfig>>),
}

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections, those in a handshake included; more are closed at once.
    pub connections_max: usize,
    /// Handshakes at the same time; more wait within their time-out.
    pub handshakes_max: usize,
    /// From the accepted connection to the finished handshake.
    pub handshake_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 4096, handshakes_max: 128, handshake_timeout: Duration::from_secs(10) }
    }
}

/// What a listener reports. Names are the listener's, reasons come from a closed set.
pub trait Events: Send + Sync {
    /// A connection was opened or has ended.
    fn connection(&self, listener: &'static str, opened: bool);
    /// A connection was closed at once because of the limit.
    fn refused(&self, listener: &'static str);
    /// A handshake failed; `detail` is the cause, with what the client offered where that is too old.
    fn handshake_failed(&self, listener: &'static str, peer: SocketAddr, reason: &'static str, detail: &str);
}

/// A bound port, not yet served.
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
    security: Security,
    limits: Limits,
    events: Arc<dyn Events>,
}

impl Listener {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The system's: address in use, not permitted, not ours.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        security: Security,
        limits: Limits,
        events: Arc<dyn Events>,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        Ok(Self { name, tcp, address, security, limits, events })
    }

    /// The address with its real port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `drain` is cancelled, then waits for the handlers, at most `grace`, and ends the rest.
    ///
    /// Connections still in their handshake are dropped when draining begins.
    pub async fn serve<H, F>(self, handler: H, drain: CancellationToken, grace: Duration)
    where
        H: Fn(Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { name, tcp, security, limits, events, .. } = self;
        let connections = Arc::new(Semaphore::new(limits.connections_max));
        let handshakes = Arc::new(Semaphore::new(limits.handshakes_max));
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        loop {
            let accepted = tokio::select! {
                accepted = tcp.accept() => accepted,
                () = drain.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or a connection that died in the queue: the loop must neither end nor spin.
                    tracing::warn!(listener = name, %error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                events.refused(name);
                continue;
            };
            let open = Open::new(name, Arc::clone(&events));
            let (security, handshakes, handler) = (security.clone(), Arc::clone(&handshakes), handler.clone());
            let (drain, end) = (drain.clone(), end.clone());
            tasks.spawn(async move {
                let _held = (permit, &open);
                let ready = tokio::select! {
                    ready = establish(stream, peer, security, &handshakes, limits.handshake_timeout, drain.clone()) => ready,
                    () = drain.cancelled() => return,
                };
                match ready {
                    Ok(connection) => tokio::select! {
                        () = handler(connection) => {}
                        () = end.cancelled() => {}
                    },
                    Err(Failed { error, detail }) => {
                        open.events.handshake_failed(name, peer, failure::reason(&error), &detail);
                    }
                }
            });
        }
        drop(tcp);
        tasks.close();
        if timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(
                listener = name,
                connections = tasks.len(),
                "connections are closed: the grace period is over"
            );
            end.cancel();
            tasks.wait().await;
        }
    }
}

/// Counts a connection for as long as it lives, also when its task is ended from outside.
struct Open {
    name: &'static str,
    events: Arc<dyn Events>,
}

impl Open {
    fn new(name: &'static str, events: Arc<dyn Events>) -> Self {
        events.connection(name, true);
        Self { name, events }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.events.connection(self.name, false);
    }
}

struct Failed {
    error: io::Error,
    detail: String,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let detail = error.to_string();
        Self { error, detail }
    }
}

async fn establish(
    stream: TcpStream,
    peer: SocketAddr,
    security: Security,
    handshakes: &Semaphore,
    limit: Duration,
    drain: CancellationToken,
) -> Result<Connection, Failed> {
    stream.set_nodelay(true)?;
    let config = match security {
        Security::Plain => return Ok(Connection { stream: Stream::Plain(stream), peer, certificate: None, drain }),
        Security::Tls(config) => config,
    };
    let began = Instant::now();
    let handshake = async {
        // Never closed, so the only failure is one that cannot happen; then the handshake goes on without its place.
        let _place = handshakes.acquire().await;
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let suites: Vec<u16> = start.client_hello().cipher_suites().iter().copied().take(64).map(u16::from).collect();
        start.into_stream(config.load_full()).await.map_err(|error| {
            let detail = match failure::reason(&error) {
                // What an appliance offers tells its operator what to upgrade (design decision 12).
                "no-common-cipher" | "old-protocol" => {
                    let offered = suites.iter().map(|suite| format!("0x{suite:04X}")).collect::<Vec<_>>().join(" ");
                    format!("{error}; the client offers the cipher suites {offered}")
                }
                _ => error.to_string(),
            };
            Failed { error, detail }
        })
    };
    let tls = timeout(limit, handshake).await.map_err(|_elapsed| Failed {
        error: io::ErrorKind::TimedOut.into(),
        detail: format!("no complete handshake within {} ms", began.elapsed().as_millis()),
    })??;
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec());
    Ok(Connection { stream: Stream::Tls(Box::new(tls)), peer, certificate, drain })
}
