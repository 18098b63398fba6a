//! `portcullis client`: who is enrolled gets in, who is revoked is out, while the gateway runs.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

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
