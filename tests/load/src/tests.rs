//! The program against servers of a few lines, which answer what the tests need and nothing more.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use clap::Parser as _;
use kmip_codec::{
    Limits,
    codec::DateTime,
    message::{RequestMessage, ResponseHeader, ResponseItem, ResponseMessage},
    payload::{
        ActivateResponse, CreateResponse, DecryptResponse, DestroyResponse, DiscoverVersionsResponse, EncryptResponse,
        LocateResponse, Request, Response, RevokeResponse,
    },
    secret::SecretBytes,
    spec::enums::{ObjectType, ResultReason},
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V1_4,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{measure::measure, options::Options, stats::Measured};

/// What the servers saw.
#[derive(Default)]
struct Seen {
    made: AtomicU64,
    gone: AtomicU64,
    asked: AtomicU64,
}

/// A folder as `portcullis dev` makes it, with the two servers behind it.
struct Stage {
    dir: tempfile::TempDir,
    seen: Arc<Seen>,
}

impl Stage {
    async fn set() -> Self {
        crate::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let seen = Arc::new(Seen::default());
        let acceptor = certificates(&dir.path().join("tls"));
        let kmip = listen(Arc::clone(&seen), move |tcp, seen| kmip(tcp, acceptor.clone(), seen)).await;
        let rest = listen(Arc::clone(&seen), rest).await;
        let addresses = format!(r#"{{"kmip": "{kmip}", "rest": "http://{rest}", "ops": "http://127.0.0.1:1"}}"#);
        fs::write(dir.path().join("addresses.json"), addresses).unwrap();
        Self { dir, seen }
    }

    async fn measure(&self, arguments: &str) -> Measured {
        let dir = self.dir.path().display();
        let line = format!("load --dir {dir} --seconds 0.4 --warmup 0.1 --objects 5 --connections 3 {arguments}");
        let options = Options::try_parse_from(line.split_ascii_whitespace()).unwrap();
        measure(&options.what().unwrap(), options.connections, &options.common).await.unwrap().measured
    }

    fn made_and_gone(&self) -> (u64, u64) {
        (self.seen.made.load(Relaxed), self.seen.gone.load(Relaxed))
    }
}

async fn listen<F>(seen: Arc<Seen>, serve: impl Fn(TcpStream, Arc<Seen>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, Arc::clone(&seen)));
        }
    });
    address
}

/// A CA, a server and a client, as files; the server asks for the client's certificate.
fn certificates(dir: &Path) -> TlsAcceptor {
    fs::create_dir(dir).unwrap();
    let ca_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = parameters.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(parameters, ca_key);
    let leaf = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate, key)
    };
    let (client, client_key) = leaf("client");
    for (file, text) in [("ca.pem", ca.pem()), ("client.pem", client.pem()), ("client.key", client_key.serialize_pem())]
    {
        fs::write(dir.join(file), text).unwrap();
    }
    let (server, server_key) = leaf("127.0.0.1");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.der().to_vec())).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivatePkcs8KeyDer::from(server_key.serialize_der()).into();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Encrypts by turning bits over. Gives wrong plain text for every eighth Decrypt and refuses every Sign.
async fn kmip(tcp: TcpStream, acceptor: TlsAcceptor, seen: Arc<Seen>) -> Option<()> {
    let mut stream = acceptor.accept(tcp).await.ok()?;
    let limits = Limits::default();
    loop {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await.ok()?;
        let mut message = header.to_vec();
        message.resize(message_length(&header, MessageKind::Request, &limits).unwrap(), 0);
        stream.read_exact(&mut message[HEADER_BYTES..]).await.ok()?;
        let message = RequestMessage::decode(&message, &limits).unwrap();
        let item = message.items.first().unwrap();
        let request = Request::decode(item.operation, V1_4, &item.payload).unwrap();
        let asked = seen.asked.fetch_add(1, Relaxed);
        let flipped = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
        let answer: Option<Response> = match request {
            Request::DiscoverVersions(_) => Some(DiscoverVersionsResponse { protocol_versions: vec![V1_4] }.into()),
            Request::Create(_) => {
                let unique_identifier = format!("id-{}", seen.made.fetch_add(1, Relaxed)).into();
                let object_type = ObjectType::SYMMETRIC_KEY;
                Some(CreateResponse { object_type, unique_identifier, template_attribute: None }.into())
            }
            Request::Activate(it) => Some(ActivateResponse { unique_identifier: it.unique_identifier.unwrap() }.into()),
            Request::Revoke(it) => Some(RevokeResponse { unique_identifier: it.unique_identifier.unwrap() }.into()),
            Request::Destroy(it) => {
                seen.gone.fetch_add(1, Relaxed);
                Some(DestroyResponse { unique_identifier: it.unique_identifier.unwrap() }.into())
            }
            Request::Locate(_) => Some(LocateResponse::default().into()),
            Request::Encrypt(it) => Some(
                EncryptResponse {
                    unique_identifier: it.unique_identifier.unwrap(),
                    data: Some(flipped(it.data.unwrap().as_bytes().unwrap().expose_secret()).into()),
                    iv_counter_nonce: Some(vec![1; 12]),
                    correlation_value: None,
                    authenticated_encryption_tag: Some(vec![2; 16]),
                }
                .into(),
            ),
            Request::Decrypt(it) => {
                assert_eq!(it.authenticated_encryption_tag.as_deref(), Some(&[2; 16][..]));
                let mut plain = flipped(it.data.unwrap().as_bytes().unwrap().expose_secret());
                plain[0] ^= u8::from(asked.is_multiple_of(8));
                let (unique_identifier, data) = (it.unique_identifier.unwrap(), Some(SecretBytes::from(plain)));
                Some(DecryptResponse { unique_identifier, data, correlation_value: None }.into())
            }
            _ => None,
        };
        let item = answer.map_or_else(
            || ResponseItem::failure(Some(item.operation), ResultReason::OPERATION_NOT_SUPPORTED, "no"),
            |answer| ResponseItem::success(item.operation, answer),
        );
        let answer = ResponseMessage { header: ResponseHeader::new(V1_4, DateTime(0)), items: vec![item] };
        stream.write_all(&answer.encode().unwrap()).await.ok()?;
        stream.flush().await.ok()?;
    }
}

/// Stores, gives payloads (every eighth time it closes the connection instead), deletes, and knows no list.
async fn rest(tcp: TcpStream, seen: Arc<Seen>) -> Option<()> {
    let mut stream = BufReader::new(tcp);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        stream.read_line(&mut first).await.ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let asked = seen.asked.fetch_add(1, Relaxed);
        let (status, body) = match first.split_once(' ').unwrap() {
            ("POST", _) => {
                let id = seen.made.fetch_add(1, Relaxed);
                ("201 Created", format!(r#"{{"secret_ref": "http://x/v1/secrets/{id}"}}"#).into_bytes())
            }
            ("DELETE", _) => {
                seen.gone.fetch_add(1, Relaxed);
                ("204 No Content", Vec::new())
            }
            ("GET", path) if path.contains("/payload") && asked.is_multiple_of(8) => return None,
            ("GET", path) if path.contains("/payload") => ("200 OK", crate::work::pattern(300)),
            _ => ("503 Service Unavailable", br#"{"description": "no lists here"}"#.to_vec()),
        };
        let head = if status.starts_with("204") {
            format!("HTTP/1.1 {status}\r\n\r\n")
        } else {
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len())
        };
        stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kmip_requests_are_counted_and_every_object_made_is_destroyed() {
    let stage = Stage::set().await;
    let discover = stage.measure("--operation discover").await;
    assert!(discover.completed > 10 && discover.errors.is_empty(), "{discover:?}");
    assert!(discover.request_bytes > 50.0 && discover.server_cpu.is_some() && discover.server_rss.is_some());
    assert_eq!(stage.made_and_gone(), (0, 0));

    let create = stage.measure("--operation create").await;
    let (made, gone) = stage.made_and_gone();
    assert!(create.errors.is_empty() && create.completed > 10 && made >= create.completed, "{create:?}");
    assert_eq!(made, gone);

    let encrypt = stage.measure("--operation encrypt --size 1000").await;
    assert!(encrypt.errors.is_empty() && encrypt.completed > 10, "{encrypt:?}");
    assert!(encrypt.request_bytes > 1000.0 && encrypt.answer_bytes > 1000.0);
    assert_eq!(stage.made_and_gone(), (made + 5, gone + 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_answers_and_refusals_are_errors_of_their_kind() {
    let stage = Stage::set().await;
    let decrypt = stage.measure("--operation decrypt").await;
    let wrong = decrypt.errors.get("an answer with other content than expected").copied().unwrap_or(0);
    assert!(wrong > 0 && decrypt.completed > wrong && decrypt.failed() == wrong, "{decrypt:?}");

    let locate = stage.measure("--operation locate").await;
    assert_eq!((locate.completed, locate.errors.len()), (0, 1), "{locate:?}");
    let (made, gone) = stage.made_and_gone();
    assert_eq!((made, gone), (10, 10));

    let dir = stage.dir.path().display();
    let line = format!("load --dir {dir} --operation sign");
    let options = Options::try_parse_from(line.split_ascii_whitespace()).unwrap();
    let refused = measure(&options.what().unwrap(), 1, &options.common).await.err().unwrap();
    assert!(format!("{refused:#}").contains("CreateKeyPair: OperationNotSupported (no)"), "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_connections_that_break_are_counted_and_replaced() {
    let stage = Stage::set().await;
    let payload = stage.measure("--protocol rest --operation payload --size 300").await;
    let broken: u64 =
        payload.errors.iter().filter(|(kind, _)| kind.starts_with("HTTP connection")).map(|it| it.1).sum();
    assert!(payload.completed > 10 && broken > 0 && broken == payload.failed(), "{payload:?}");
    assert_eq!(stage.made_and_gone(), (5, 5));

    let list = stage.measure("--protocol rest --operation list").await;
    let kinds: Vec<_> = list.errors.keys().map(String::as_str).collect();
    assert_eq!((list.completed, kinds), (0, vec!["HTTP 503: no lists here"]));

    let store = stage.measure("--protocol rest --operation store").await;
    assert!(store.completed > 10 && store.errors.is_empty(), "{store:?}");
    let (made, gone) = stage.made_and_gone();
    assert!(made == gone && made >= 10 + store.completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_resume_when_they_should_and_only_then() {
    let stage = Stage::set().await;
    for operation in ["connect", "resume"] {
        let measured = stage.measure(&format!("--operation {operation}")).await;
        assert!(measured.completed > 0 && measured.errors.is_empty(), "{operation}: {measured:?}");
        // Request and answer of one Discover Versions, however many connections it took.
        assert!(measured.request_bytes < 200.0, "{measured:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixes_and_several_requests_in_flight_get_every_answer() {
    let stage = Stage::set().await;
    let mix = stage.measure("--mix encrypt=2,create=1,discover --in-flight 7").await;
    assert!(mix.completed > 10 && mix.errors.is_empty(), "{mix:?}");
    assert_eq!((mix.operation, mix.in_flight, mix.items), ("mix", 7, 1));
    let (made, gone) = stage.made_and_gone();
    assert!(made == gone && made > 5, "what was still under way at the end was made, too: {made}, {gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_the_right_ca_is_told_so() {
    let stage = Stage::set().await;
    let other = tempfile::tempdir().unwrap();
    let _acceptor = certificates(&other.path().join("tls"));
    fs::copy(other.path().join("tls/ca.pem"), stage.dir.path().join("tls/ca.pem")).unwrap();
    let options = Options::try_parse_from(["load", "--dir", stage.dir.path().to_str().unwrap()]).unwrap();
    let refused = measure(&options.what().unwrap(), 1, &options.common).await.err().unwrap();
    assert!(format!("{refused:#}").contains("invalid peer certificate"), "{refused:#}");
}
