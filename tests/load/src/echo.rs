//! The limit: a TLS 1.3 server that sends answers without work, and clients that ask it, in this process.
//!
//! It does what every answer over TLS costs on this machine at the least: two records, two wake-ups, four system calls.
//! Requests and answers have fixed sizes, those of the operation it is compared with, so nothing has to be parsed. The
//! server has a runtime of its own with as many threads as the machine has processors, as a gateway has.

use std::{net::SocketAddr, sync::Arc, thread};

use anyhow::Context as _;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivatePkcs8KeyDer, ServerName},
    version::TLS13,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    drive::{self, Client, Driven, Plan, Subject},
    process::Server,
    stats::Failure,
    target::Target,
    transport::{Connection, Endpoint, Traffic},
};

/// Bytes of every request and of every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) request: usize,
    pub(crate) answer: usize,
}

/// Measures the limit of requests over connections that stay.
///
/// # Errors
///
/// When the server cannot be set up.
pub(crate) async fn run(connections: usize, sizes: Sizes, plan: Plan) -> anyhow::Result<Driven<EchoClient>> {
    let (server, client) = configurations()?;
    let (server, address) = EchoServer::start(sizes, server)?;
    let name = ServerName::try_from(NAME).context("the echo server's name")?;
    let endpoint = Endpoint { address, tls: Some((Arc::new(client), name)) };
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(EchoClient::connect(endpoint.clone(), sizes, None).await?);
    }
    let subject = Subject::new("echo", "echo", Some(Server::Threads(THREAD)));
    let driven = drive::drive(clients, plan, subject).await;
    server.stop();
    driven
}

/// Measures the limit of new connections with one request each: certificates and TLS are those of the gateway's listener.
///
/// # Errors
///
/// As [`run`].
pub(crate) async fn handshakes(
    connections: usize,
    sizes: Sizes,
    resumes: bool,
    plan: Plan,
    target: &Target,
) -> anyhow::Result<Driven<EchoClient>> {
    let (server, address) = EchoServer::start(sizes, target.server()?)?;
    let endpoint = Endpoint { address, ..target.kmip()? };
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(EchoClient::connect(endpoint.renewed(resumes), sizes, Some(resumes)).await?);
    }
    let operation = if resumes { "resumed" } else { "full" };
    let subject = Subject::new("handshake", operation, Some(Server::Threads(THREAD)));
    let driven = drive::drive(clients, plan, subject).await;
    server.stop();
    driven
}

/// One connection to the server.
pub(crate) struct EchoClient {
    endpoint: Endpoint,
    connection: Connection,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Whether each request has a new connection, and whether that resumes.
    renews: Option<bool>,
}

impl EchoClient {
    async fn connect(endpoint: Endpoint, sizes: Sizes, renews: Option<bool>) -> Result<Self, Failure> {
        let mut client = Self {
            connection: endpoint.connect().await?,
            endpoint,
            renews,
            request: vec![REQUEST; sizes.request],
            answer: vec![0; sizes.answer],
        };
        // The first answer brings what a session is resumed with.
        client.ask().await?;
        Ok(client)
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        self.connection.write_all(&self.request).await?;
        self.connection.flush().await?;
        self.connection.read_exact(&mut self.answer).await?;
        Ok(())
    }
}

impl Client for EchoClient {
    async fn once(&mut self) -> Result<(), Failure> {
        if let Some(resumes) = self.renews {
            renew(&mut self.connection, &self.endpoint).await?;
            self.ask().await?;
            return check_kind(&self.connection, resumes);
        }
        self.ask().await
    }

    fn traffic(&self) -> &Traffic {
        self.connection.traffic()
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        self.connection = self.endpoint.connect().await?;
        Ok(())
    }
}

/// The server, on threads of its own.
struct EchoServer {
    runtime: runtime::Runtime,
}

impl EchoServer {
    fn start(sizes: Sizes, config: ServerConfig) -> anyhow::Result<(Self, SocketAddr)> {
        let (runtime, listener, address) = server(THREAD)?;
        runtime.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), sizes));
        Ok((Self { runtime }, address))
    }

    fn stop(self) {
        self.runtime.shutdown_background();
    }
}

/// A runtime as a gateway has it, with threads of this name, and a socket that listens.
pub(crate) fn server(threads: &str) -> anyhow::Result<(runtime::Runtime, std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .thread_name(threads)
        .enable_all()
        .build()?;
    Ok((runtime, listener, address))
}

/// Ends a connection and opens the next one.
///
/// # Errors
///
/// What TCP and TLS say.
pub(crate) async fn renew(connection: &mut Connection, endpoint: &Endpoint) -> Result<(), Failure> {
    let traffic = connection.traffic().clone();
    // As a client that is done does: TLS says so, then the socket is closed.
    connection.shutdown().await?;
    *connection = endpoint.connect_as(traffic).await?;
    Ok(())
}

/// Whether the handshake was of the kind that is measured. To be asked after an answer, which brings what the next one resumes.
///
/// # Errors
///
/// When it was the other kind.
pub(crate) fn check_kind(connection: &Connection, resumes: bool) -> Result<(), Failure> {
    if connection.is_resumed == resumes {
        Ok(())
    } else {
        Err(Failure::refused(format!("the handshake was {}resumed", if resumes { "not " } else { "" })))
    }
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, sizes: Sizes) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (tcp, _) = listener.accept().await?;
        // A connection that breaks is the client's to report.
        tokio::spawn(answer(tcp, acceptor.clone(), sizes));
    }
}

async fn answer(tcp: TcpStream, acceptor: TlsAcceptor, sizes: Sizes) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = acceptor.accept(tcp).await?;
    let (mut request, answer) = (vec![0; sizes.request], vec![REQUEST; sizes.answer]);
    loop {
        stream.read_exact(&mut request).await?;
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}

fn configurations() -> anyhow::Result<(ServerConfig, ClientConfig)> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let server = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let client =
        ClientConfig::builder_with_protocol_versions(&[&TLS13]).with_root_certificates(roots).with_no_client_auth();
    Ok((server, client))
}

/// Threads are found by this name; the kernel keeps 15 bytes of it.
const THREAD: &str = "echo-server";
const NAME: &str = "localhost";
const REQUEST: u8 = 0x5A;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_limit_is_measured_with_the_sizes_asked_for() {
        crate::install_provider();
        let plan = Plan {
            warmup: Duration::from_millis(200),
            measured: Duration::from_millis(800),
            timeout: Duration::from_secs(20),
        };
        let driven = run(4, Sizes { request: 300, answer: 70_000 }, plan).await.unwrap();
        let measured = driven.measured;
        assert!(measured.completed > 20, "{measured:?}");
        assert_eq!(measured.failed(), 0, "{:?}", measured.errors);
        assert_eq!((measured.request_bytes, measured.answer_bytes), (300.0, 70_000.0));
        assert!(measured.server_cpu.is_some_and(|cpu| cpu > Duration::ZERO && cpu < 3 * measured.elapsed));
        assert!(measured.latency.p50 <= measured.latency.p99 && measured.latency.p99 <= measured.latency.max);
    }
}
