//! The accept loop and its TLS, as a client meets them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portcullis::{
    net::{Connection, Events, HttpLimits, Limits, Listener, Security, serve_http},
    tls::{self, DevFiles, Identity, Reloadable, ServerFiles, make_dev_files},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the listener reported.
#[derive(Default)]
struct Log {
    open: Mutex<i64>,
    opened: Mutex<u32>,
    refused: Mutex<u32>,
    failures: Mutex<Option<mpsc::UnboundedSender<(&'static str, String)>>>,
}

impl Events for Log {
    fn connection(&self, _listener: &'static str, opened: bool) {
        *self.open.lock().unwrap() += if opened { 1 } else { -1 };
        *self.opened.lock().unwrap() += u32::from(opened);
    }

    fn refused(&self, _listener: &'static str) {
        *self.refused.lock().unwrap() += 1;
    }

    fn handshake_failed(&self, _listener: &'static str, _peer: SocketAddr, reason: &'static str, detail: &str) {
        self.failures.lock().unwrap().as_ref().unwrap().send((reason, detail.to_owned())).unwrap();
    }
}

struct Running {
    address: SocketAddr,
    log: Arc<Log>,
    failures: mpsc::UnboundedReceiver<(&'static str, String)>,
    drain: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start<H, F>(security: Security, limits: Limits, grace: Duration, handler: H) -> Self
    where
        H: Fn(Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, failures) = mpsc::unbounded_channel();
        let log = Arc::new(Log { failures: Mutex::new(Some(sender)), ..Log::default() });
        let any = "127.0.0.1:0".parse().unwrap();
        let listener =
            Listener::bind("test", any, security, limits, Arc::clone(&log) as Arc<dyn Events>).await.unwrap();
        let (address, drain) = (listener.address(), CancellationToken::new());
        let task = tokio::spawn(listener.serve(handler, drain.clone(), grace));
        Self { address, log, failures, drain, task }
    }

    async fn failure(&mut self) -> (&'static str, String) {
        timeout(PATIENCE, self.failures.recv()).await.expect("the failure is reported").unwrap()
    }

    async fn stop(self) {
        self.drain.cancel();
        timeout(PATIENCE, self.task).await.expect("the listener ends").unwrap();
        assert_eq!(*self.log.open.lock().unwrap(), 0, "every opened connection was closed");
    }
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn server_tls(files: &DevFiles) -> Reloadable {
    Reloadable::load(ServerFiles {
        certificate: files.server.clone(),
        key: files.server_key.clone(),
        client_ca: Some(files.ca.clone()),
        alpn: &[],
    })
    .unwrap()
}

fn client(ca: &Path, files: &DevFiles) -> Arc<ClientConfig> {
    tls::client_config(ca, Identity::read(&files.client, &files.client_key).unwrap()).unwrap()
}

/// Echoes one read, after the name of the peer's key.
async fn echo(mut connection: Connection) {
    let key = connection.certificate.as_deref().map(|der| tls::spki_sha256(der).unwrap()).unwrap_or_default();
    let mut buffer = [0; 64];
    let read = connection.stream.read(&mut buffer).await.unwrap();
    connection.stream.write_all(key.as_bytes()).await.unwrap();
    connection.stream.write_all(&buffer[..read]).await.unwrap();
    connection.stream.shutdown().await.unwrap();
}

async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin> {
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await
}

/// Sends `hello` and reads all that comes back; an error where the server refuses.
async fn talk(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<String> {
    let exchange = async {
        let mut stream = connect(address, config).await?;
        stream.write_all(b"hello").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    };
    timeout(PATIENCE, exchange).await.expect("an answer or a refusal")
}

#[tokio::test]
async fn the_client_s_certificate_reaches_the_handler() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_dev_files(folder.path(), "demo", now()).unwrap();
    let security = Security::Tls(server_tls(&files).current());
    let running = Running::start(security, Limits::default(), PATIENCE, echo).await;

    let answer = talk(running.address, client(&files.ca, &files)).await.unwrap();

    let expected = Identity::read(&files.client, &files.client_key).unwrap().summary.spki_sha256;
    assert_eq!(answer, format!("{expected}hello"));
    running.stop().await;
}

#[tokio::test]
async fn bad_clients_fail_the_handshake_with_their_reason() {
    let [good, other, old] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let files = make_dev_files(good.path(), "demo", now()).unwrap();
    let stranger = make_dev_files(other.path(), "demo", now()).unwrap();
    // The same CA, but a client certificate that ended years ago.
    for file in ["ca.pem", "ca.key"] {
        std::fs::copy(good.path().join(file), old.path().join(file)).unwrap();
    }
    let expired = make_dev_files(old.path(), "demo", now() - 5 * 365 * 86_400).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let ca = std::fs::read(&files.ca).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&ca).unwrap()).unwrap();
    let anonymous = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());

    let security = Security::Tls(server_tls(&files).current());
    let mut running = Running::start(security, Limits::default(), PATIENCE, echo).await;
    let table = [
        (anonymous, "no-certificate"),
        (client(&files.ca, &stranger), "certificate-unknown-issuer"),
        (client(&files.ca, &expired), "certificate-expired"),
    ];
    for (config, reason) in table {
        assert!(talk(running.address, config).await.is_err(), "{reason}");
        assert_eq!(running.failure().await.0, reason);
    }

    let mut plain = TcpStream::connect(running.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(running.failure().await.0, "not-tls");

    drop(TcpStream::connect(running.address).await.unwrap());
    assert_eq!(running.failure().await.0, "closed");
    running.stop().await;
}

#[tokio::test]
async fn a_silent_peer_is_timed_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_dev_files(folder.path(), "demo", now()).unwrap();
    let limits = Limits { handshake_timeout: Duration::from_millis(50), ..Limits::default() };
    let mut running = Running::start(Security::Tls(server_tls(&files).current()), limits, PATIENCE, echo).await;

    let _silent = TcpStream::connect(running.address).await.unwrap();

    assert_eq!(running.failure().await.0, "timeout");
    running.stop().await;
}

#[tokio::test]
async fn an_old_client_is_logged_with_what_it_offers() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_dev_files(folder.path(), "demo", now()).unwrap();
    let security = Security::Tls(server_tls(&files).current());
    let mut running = Running::start(security, Limits::default(), PATIENCE, echo).await;

    // TLS 1.2 ClientHello with TLS_RSA_WITH_AES_256_CBC_SHA256 only, and signature_algorithms rsa_pkcs1_sha256.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x00, 0x3D, 1, 0]);
    let extensions = [0x00, 0x0D, 0, 4, 0, 2, 4, 1, 0x00, 0x0A, 0, 4, 0, 2, 0, 0x17];
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(message);
    let mut old = TcpStream::connect(running.address).await.unwrap();
    old.write_all(&record).await.unwrap();

    let (reason, detail) = running.failure().await;
    assert_eq!(reason, "no-common-cipher", "{detail}");
    assert!(detail.ends_with("the client offers the cipher suites 0x003D"), "{detail}");
    running.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let running = Running::start(Security::Plain, limits, PATIENCE, echo).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"1").await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'1');
    // The first one's handler may still be ending; hold a second one open to be sure of the place.
    let mut held = loop {
        let count = || (*running.log.opened.lock().unwrap(), *running.log.refused.lock().unwrap());
        let before = count();
        let held = TcpStream::connect(running.address).await.unwrap();
        let taken = async {
            while count() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            count().0 > before.0
        };
        if timeout(PATIENCE, taken).await.unwrap() {
            break held;
        }
    };
    let before = *running.log.refused.lock().unwrap();

    let mut second = TcpStream::connect(running.address).await.unwrap();

    assert!(timeout(PATIENCE, second.read_u8()).await.unwrap().is_err(), "closed without an answer");
    assert_eq!(*running.log.refused.lock().unwrap(), before + 1);
    held.write_all(b"2").await.unwrap();
    assert_eq!(held.read_u8().await.unwrap(), b'2');
    running.stop().await;
}

#[tokio::test]
async fn draining_lets_a_request_finish_and_accepts_no_more() {
    let handler = |mut connection: Connection| async move {
        connection.stream.write_all(b"begun").await.unwrap();
        connection.drain.cancelled().await;
        connection.stream.write_all(b", done").await.unwrap();
    };
    let running = Running::start(Security::Plain, Limits::default(), PATIENCE, handler).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut begun = [0; 5];
    stream.read_exact(&mut begun).await.unwrap();

    running.drain.cancel();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();

    assert_eq!(rest, ", done");
    let address = running.address;
    running.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_handler_that_does_not_end_is_ended_after_the_grace_period() {
    let running =
        Running::start(Security::Plain, Limits::default(), Duration::from_millis(50), |connection| async move {
            std::future::pending::<()>().await;
            drop(connection);
        })
        .await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let began = Instant::now();

    while *running.log.open.lock().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    running.stop().await;

    assert!(began.elapsed() < PATIENCE);
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_reload_takes_new_files_and_keeps_the_old_ones_when_they_are_bad() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let files = make_dev_files(first.path(), "demo", now()).unwrap();
    let fresh = make_dev_files(second.path(), "demo", now()).unwrap();
    let served = server_tls(&files);
    let running = Running::start(Security::Tls(served.current()), Limits::default(), PATIENCE, echo).await;
    let old_ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(&files.ca, old_ca.path()).unwrap();
    let old_client = client(old_ca.path(), &files);

    std::fs::copy(&fresh.server, &files.server).unwrap();
    let refusal = served.reload().unwrap_err();
    assert_eq!(refusal.code(), "PC-TLS-CERTIFICATE", "the key belongs to another certificate: {refusal}");
    talk(running.address, Arc::clone(&old_client)).await.unwrap();

    std::fs::copy(&fresh.server_key, &files.server_key).unwrap();
    std::fs::copy(&fresh.ca, &files.ca).unwrap();
    served.reload().unwrap();
    assert!(talk(running.address, old_client).await.is_err(), "the old CA counts no longer, resumed or not");
    talk(running.address, client(&fresh.ca, &fresh)).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn http_is_served_and_a_slow_head_is_cut_off() {
    let router = axum::Router::new().route(
        "/peer",
        axum::routing::get(|axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<SocketAddr>| async move {
            peer.ip().to_string()
        }),
    );
    let limits = HttpLimits { head_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    let running = Running::start(Security::Plain, Limits::default(), PATIENCE, move |connection| {
        serve_http(connection, router.clone(), limits)
    })
    .await;

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("127.0.0.1"), "{answer}");

    for start in [&b""[..], b"GET /peer HT"] {
        let mut slow = TcpStream::connect(running.address).await.unwrap();
        slow.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("cut off").unwrap();
    }
    running.stop().await;
}
