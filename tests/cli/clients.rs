//! `portcullis client`: who is enrolled gets in, who is revoked is out, while the gateway runs.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kmip_codec::{
    Limits, UniqueIdentifier,
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    object::{Certificate, CertificateRequest, KeyMaterial, KeyValue, ManagedObject},
    payload::{GetRequest, ReProvisionRequest, Request, Response},
    spec::enums::{CertificateRequestType, CertificateType, ResultReason},
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V2_1,
};
use portcullis::domain::SecretValue;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use crate::support::{Gateway, PATIENCE, change, ends, logged_address, refused, site_config, text};

fn client(config: &Path, arguments: &[&str]) -> String {
    let config = ["--config", config.to_str().unwrap()];
    let output = ends(["client"].into_iter().chain(arguments.iter().copied()).chain(config));
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Whether a client with these files is answered.
fn gets_in(folder: &Path, kmip: &str, name: &str) -> bool {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (file("site-ca.pem"), file(&format!("{name}.pem")), file(&format!("{name}.key")));
    let words = ["kmip", "locate", "--address", kmip, "--ca", &ca, "--certificate", &certificate, "--key", &key];
    ends(words).status.success()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A connection that stays open.
fn connect(folder: &Path, kmip: &str, name: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("site-ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    let mut socket = TcpStream::connect(kmip).unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    StreamOwned::new(tls, socket)
}

#[test]
fn clients_come_and_go_while_the_gateway_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = site_config(folder);
    change(&config, "client_ca = \"site-ca.pem\"\n", "client_ca = \"site-ca.pem\"\nclient_ca_key = \"site-ca.key\"\n");
    let gateway = Gateway::serve(&config);
    let kmip = logged_address(&gateway, "kmip");
    let out = folder.to_str().unwrap();

    let said = client(&config, &["add", "backup", "--project", "p1", "--roles", "member,reader", "--out", out]);
    assert!(said.starts_with("backup is enrolled with "), "{said}");
    eventually("the new client gets in", || gets_in(folder, &kmip, "backup"));
    let listed = client(&config, &["list"]);
    let state = |name: &str| {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {listed}"));
        line.split_ascii_whitespace().last().unwrap().to_owned()
    };
    assert_eq!((state("client").as_str(), state("backup").as_str()), ("configured", "enrolled"));

    // Both kinds of clients can be revoked, and an open connection does not help.
    for name in ["backup", "client"] {
        let mut open = connect(folder, &kmip, name);
        open.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        client(&config, &["revoke", name]);
        let ended = open.read(&mut [0; 16]);
        let timed_out = |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!matches!(&ended, Err(error) if timed_out(error)) && !matches!(ended, Ok(1..)), "{name}: {ended:?}");
        assert!(!gets_in(folder, &kmip, name), "{name}");
    }
    assert!(client(&config, &["list"]).lines().filter(|line| line.ends_with(" revoked")).count() == 2);

    // A file that is no register changes nobody's standing.
    client(&config, &["add", "other", "--project", "p1", "--out", out]);
    eventually("the third client gets in", || gets_in(folder, &kmip, "other"));
    let file = folder.join("clients.toml");
    let good = fs::read(&file).unwrap();
    fs::write(&file, "clients = 5").unwrap();
    eventually("the fault is logged", || gateway.log().contains("PC-KMIP-CLIENTS"));
    assert!(gets_in(folder, &kmip, "other") && !gets_in(folder, &kmip, "backup"));
    fs::write(&file, good).unwrap();
    assert!(gateway.stop().0.success());
    // And it is so after the next start.
    let gateway = Gateway::serve(&config);
    let kmip = logged_address(&gateway, "kmip");
    assert!(gets_in(folder, &kmip, "other") && !gets_in(folder, &kmip, "backup") && !gets_in(folder, &kmip, "client"));
}

/// A client's own listener is told of changes as long as the client is enrolled, and from the moment on that it is.
#[test]
fn listeners_come_and_go_with_their_clients() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = site_config(folder);
    change(&config, "client_ca = \"site-ca.pem\"\n", "client_ca = \"site-ca.pem\"\nclient_ca_key = \"site-ca.key\"\n");
    let doors = ["client", "late"].map(|name| {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        door.set_nonblocking(true).unwrap();
        let address = door.local_addr().unwrap();
        let section =
            format!("[[kmip.listeners]]\nclient = \"{name}\"\naddress = \"{address}\"\nca = \"site-ca.pem\"\n");
        change(&config, "[rest]\n", &format!("{section}[rest]\n"));
        door
    });
    let gateway = Gateway::serve(&config);
    assert!(gateway.log().contains("the listener waits until somebody is"), "{}", gateway.log());
    let kmip = logged_address(&gateway, "kmip");
    let out = folder.to_str().unwrap();
    client(&config, &["add", "maker", "--project", "demo", "--out", out]);
    eventually("the maker gets in", || gets_in(folder, &kmip, "maker"));
    let make = || {
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (ca, certificate, key) = (file("site-ca.pem"), file("maker.pem"), file("maker.key"));
        let words = ["kmip", "create", "--address", &kmip, "--ca", &ca, "--certificate", &certificate, "--key", &key];
        let made = ends(words);
        assert!(made.status.success(), "{}", text(&made.stderr));
    };
    make();
    eventually("the client's listener is connected to", || doors[0].accept().is_ok());
    assert_eq!(doors[1].accept().unwrap_err().kind(), ErrorKind::WouldBlock);

    // The delivery has failed, for nobody spoke TLS, and would be tried again after a second, two, four.
    client(&config, &["revoke", "client"]);
    eventually("the revocation is seen", || gateway.log().contains("a listener's client changed"));
    while doors[0].accept().is_ok() {}
    client(&config, &["add", "late", "--project", "demo", "--out", out]);
    eventually("the late client gets in", || gets_in(folder, &kmip, "late"));
    make();
    eventually("the late client's listener is connected to", || doors[1].accept().is_ok());
    thread::sleep(Duration::from_secs(3));
    assert_eq!(doors[0].accept().unwrap_err().kind(), ErrorKind::WouldBlock, "a revoked client is told of nothing");

    // A revoked client's listener is no reason not to start.
    assert!(gateway.stop().0.success());
    drop(Gateway::serve(&config));
}

#[test]
fn what_cannot_be_enrolled_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let file = config.to_str().unwrap();
    let out = folder.path().to_str().unwrap();
    let mine = folder.path().join("client.pem");
    let mine = mine.to_str().unwrap();
    for (arguments, code) in [
        (vec!["add", "backup", "--project", "p", "--out", out], "PC-CLIENT-CA-KEY"),
        (vec!["add", "client", "--project", "p", "--out", out], "PC-CLIENT-EXISTS"),
        (vec!["add", "../x", "--project", "p", "--out", out, "--ca-key", "k"], "PC-CLIENT-NAME"),
        (vec!["add", "second", "--project", "p", "--certificate", mine], "PC-CLIENT-EXISTS"),
        (vec!["revoke", "nobody"], "PC-CLIENT-UNKNOWN"),
    ] {
        let said = refused(["client"].into_iter().chain(arguments.clone()).chain(["--config", file]));
        assert!(said.starts_with(&format!("{code}: ")), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("clients.toml").exists() && !folder.path().join("backup.pem").exists());
}

/// What a client asks in one message of 2.1, and the payloads of the answers; `Err` tells why the first one was refused.
fn ask(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    requests: Vec<Request>,
) -> Result<Vec<Response>, Option<ResultReason>> {
    let operations: Vec<_> = requests.iter().map(Request::operation).collect();
    let items = requests.into_iter().zip(1_u8..).map(|(request, number)| {
        let mut item = RequestItem::new(request.operation(), request);
        item.id = Some(vec![number]);
        item
    });
    let message = RequestMessage { header: RequestHeader::new(V2_1), items: items.collect() };
    stream.write_all(&message.encode().unwrap()).unwrap();
    let mut answer = vec![0; HEADER_BYTES];
    stream.read_exact(&mut answer).unwrap();
    let header = answer.as_slice().try_into().unwrap();
    let length = message_length(&header, MessageKind::Response, &Limits::default()).unwrap();
    answer.resize(length, 0);
    stream.read_exact(&mut answer[HEADER_BYTES..]).unwrap();
    let message = ResponseMessage::decode(&answer, &Limits::default()).unwrap();
    message
        .items
        .iter()
        .zip(operations)
        .map(|(item, operation)| match &item.payload {
            Some(payload) => Ok(Response::decode(operation, V2_1, payload).unwrap()),
            None => Err(item.reason),
        })
        .collect()
}

fn re_provision(certificate_request: Option<Vec<u8>>, certificate: Option<Vec<u8>>) -> Request {
    Request::ReProvision(Box::new(ReProvisionRequest {
        certificate_request: certificate_request.map(|value| CertificateRequest {
            certificate_request_type: CertificateRequestType::PKCS_10,
            certificate_request_value: value,
        }),
        certificate: certificate
            .map(|value| Certificate { certificate_type: CertificateType::X_509, certificate_value: value }),
    }))
}

fn get(unique_identifier: Option<UniqueIdentifier>) -> Request {
    Request::Get(Box::new(GetRequest { unique_identifier, ..GetRequest::default() }))
}

/// A client trades its certificate three times: for one with a pair of the HSM's, for one of its own request, for one that it
/// brings. Each time the old one lets nobody in from then on, also not over the connection that is open.
#[test]
fn clients_trade_their_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = site_config(folder);
    let ca = "client_ca = \"site-ca.pem\"\n";
    change(&config, ca, &format!("{ca}client_ca_key = \"site-ca.key\"\nre_provision = true\n"));
    let gateway = Gateway::serve(&config);
    let kmip = logged_address(&gateway, "kmip");
    let der = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap().to_vec();
    let write_pem = |name: &str, label: &'static str, der: &[u8]| {
        fs::write(folder.join(name), portcullis::crypto::pem::encode(label, der).unwrap()).unwrap();
    };
    let is_out = |name: &str, mut open: StreamOwned<ClientConnection, TcpStream>| {
        open.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(!matches!(open.read(&mut [0; 16]), Ok(1..)), "{name} is let go");
        assert!(!gets_in(folder, &kmip, name), "{name} is out");
    };

    // What is refused changes nothing.
    let mut open = connect(folder, &kmip, "client");
    for wrong in [der("client.pem"), der("server.pem")[1..].to_vec(), der("site-ca.pem")] {
        let answer = ask(&mut open, vec![re_provision(None, Some(wrong))]);
        assert_eq!(answer.err(), Some(Some(ResultReason::INVALID_FIELD)));
    }
    assert!(gets_in(folder, &kmip, "client"));

    let second = Some(UniqueIdentifier::Integer(1));
    let answers = ask(&mut open, vec![re_provision(None, None), get(None), get(second)]).unwrap();
    let [Response::ReProvision(made), Response::Get(key), Response::Get(certificate)] = answers.as_slice() else {
        panic!("three answers of other kinds")
    };
    assert_eq!(made.unique_identifier.as_ref(), Some(&key.unique_identifier));
    let ManagedObject::Certificate(certificate) = &certificate.object else { panic!("the second is the certificate") };
    let ManagedObject::PrivateKey(key) = &key.object else { panic!("the first is the key") };
    let Some(KeyValue::Plain { material: KeyMaterial::Bytes(key), .. }) = &key.key_block.key_value else {
        panic!("the key comes as bytes")
    };
    write_pem("pair.pem", "CERTIFICATE", &certificate.certificate_value);
    // SEC 1 or PKCS#8, as the gateway gives keys that it has made.
    let parsed = portcullis::crypto::PrivateKey::parse(&SecretValue::new(key.expose_secret().to_vec())).unwrap();
    write_pem("pair.key", "PRIVATE KEY", exposed(&parsed.to_pkcs8().unwrap()));
    is_out("client", open);
    assert!(gets_in(folder, &kmip, "pair"));

    let own = KeyPair::generate().unwrap();
    let request = CertificateParams::new(Vec::<String>::new()).unwrap().serialize_request(&own).unwrap();
    let mut open = connect(folder, &kmip, "pair");
    let first = Some(UniqueIdentifier::Integer(0));
    let answers = ask(&mut open, vec![re_provision(Some(request.der().to_vec()), None), get(first)]).unwrap();
    let [_, Response::Get(certificate)] = answers.as_slice() else { panic!("two answers") };
    let ManagedObject::Certificate(certificate) = &certificate.object else { panic!("a certificate") };
    write_pem("own.pem", "CERTIFICATE", &certificate.certificate_value);
    fs::write(folder.join("own.key"), own.serialize_pem()).unwrap();
    is_out("pair", open);
    assert!(gets_in(folder, &kmip, "own"));

    // The site's server certificate is of the same CA, and its key is nobody's yet.
    let mut open = connect(folder, &kmip, "own");
    ask(&mut open, vec![re_provision(None, Some(der("server.pem")))]).unwrap();
    is_out("own", open);
    assert!(gets_in(folder, &kmip, "server"));
    // Nobody gets a key back that was traded in.
    let mut open = connect(folder, &kmip, "server");
    let answer = ask(&mut open, vec![re_provision(None, Some(der("pair.pem")))]);
    assert_eq!(answer.err(), Some(Some(ResultReason::INVALID_FIELD)));
    let listed = client(&config, &["list"]);
    let states: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().last()).collect();
    assert_eq!(states, ["revoked", "revoked", "revoked", "enrolled"], "{listed}");

    // After the next start it is the same, and the operator's word ends it all.
    assert!(gateway.stop().0.success());
    let gateway = Gateway::serve(&config);
    let kmip = logged_address(&gateway, "kmip");
    assert!(gets_in(folder, &kmip, "server") && !gets_in(folder, &kmip, "client") && !gets_in(folder, &kmip, "own"));
    client(&config, &["revoke", "client"]);
    eventually("the revoked client is out", || !gets_in(folder, &kmip, "server"));
}

#[expect(clippy::disallowed_methods, reason = "a test writes the key that it was given")]
fn exposed(value: &SecretValue) -> &[u8] {
    value.expose_secret()
}
