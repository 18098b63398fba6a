//! Starts the program, waits for `ready`, and ends only what it started.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::Value;

/// Nothing here takes that long, unless the machine is very busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program with these arguments and nothing of our own environment that it would read.
pub(crate) fn portcullis<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PORTCULLIS_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself.
pub(crate) fn ends<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    portcullis(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command that must fail with exit code 1; returns what it said.
pub(crate) fn refused<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = ends(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// A gateway that runs; ended when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// What it printed until and after `ready`.
    pub(crate) lines: mpsc::Receiver<String>,
    pub(crate) printed: Vec<String>,
    log: PathBuf,
}

impl Gateway {
    /// Starts `dev` on free ports.
    pub(crate) fn dev(folder: &Path) -> Self {
        Self::dev_with(folder, &[])
    }

    pub(crate) fn dev_with(folder: &Path, more: &[&str]) -> Self {
        let any = "127.0.0.1:0";
        let folder = folder.to_str().unwrap();
        let arguments = ["dev", "--dir", folder, "--kmip", any, "--rest", any, "--ops", any];
        Self::start(
            portcullis(arguments.into_iter().chain(more.iter().copied())),
            &Path::new(folder).join("stderr.txt"),
        )
    }

    /// Starts `serve`; its log goes to a file beside the configuration.
    pub(crate) fn serve(config: &Path) -> Self {
        Self::start(portcullis(["serve", "--config", config.to_str().unwrap()]), &config.with_extension("log"))
    }

    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).unwrap();
        }
        let errors = fs::File::create(log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut gateway = Self { child, lines, printed: Vec::new(), log: log.to_owned() };
        gateway.until("ready");
        gateway
    }

    /// Reads what it prints until that line.
    pub(crate) fn until(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line `{wanted}`; it said: {}", self.log()));
            let found = line == wanted;
            self.printed.push(line);
            if found {
                return;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> (ExitStatus, Duration) {
        self.signal(rustix::process::Signal::TERM);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "it does not end; it said: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Only the process that this value started; after `stop` there is none any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The addresses of a dev folder.
pub(crate) fn address(folder: &Path, name: &str) -> String {
    let addresses: Value = serde_json::from_slice(&fs::read(folder.join("addresses.json")).unwrap()).unwrap();
    addresses[name].as_str().unwrap().trim_start_matches("http://").to_owned()
}

/// A request over plain HTTP/1.1; the whole answer.
pub(crate) fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that answers and then resets has answered.
    drop(stream.read_to_end(&mut answer));
    text(&answer)
}

pub(crate) fn get(address: &str, path: &str) -> String {
    http(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// Waits until `/metrics` has that line.
pub(crate) fn metric(ops: &str, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = get(ops, "/metrics");
        if metrics.lines().any(|have| have == line) {
            return;
        }
        assert!(Instant::now() < deadline, "no `{line}` in {metrics}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Certificates as a site's own CA would make them: not those of `dev`.
pub(crate) struct Site {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Site {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Site CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        fs::write(folder.join("site-ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(folder.join("site-ca.key"), key.serialize_pem()).unwrap();
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// Issues NAME.pem and NAME.key; returns the hash that enrols it.
    pub(crate) fn issue(&self, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        portcullis::tls::spki_sha256(certificate.der()).unwrap()
    }
}

/// A `serve` configuration on free ports with certificates of a site and the embedded simulator.
pub(crate) fn site_config(folder: &Path) -> PathBuf {
    let site = Site::new(folder);
    site.issue("server");
    let client = site.issue("client");
    fs::write(folder.join("pin"), "123456\n").unwrap();
    if !folder.join("hsm").exists() {
        hsm_sim::admin::init_token(&folder.join("hsm"), "site", b"so-123456", b"123456").unwrap();
    }
    let path = folder.join("gateway.toml");
    let text = format!(
        r#"[kmip]
listen = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
client_ca = "site-ca.pem"
[[kmip.clients]]
name = "client"
spki_sha256 = "{client}"
project = "demo"
[rest]
listen = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
[rest.auth]
mode = "unauthenticated"
[ops]
listen = "127.0.0.1:0"
[store]
path = "store"
[audit]
path = "audit"
[hsm.main]
module = "embedded"
simulated_store = "hsm"
token_label = "site"
pin_file = "pin"
allow_simulated_hsm = true
"#
    );
    fs::write(&path, text).unwrap();
    path
}

/// The same configuration with a piece of it replaced.
pub(crate) fn change(config: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{from} is in the configuration");
    fs::write(config, text.replace(from, to)).unwrap();
}

/// Where a `serve` listens, from its log.
pub(crate) fn logged_address(gateway: &Gateway, name: &str) -> String {
    let log = gateway.log();
    let ready = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == "ready")
        .unwrap_or_else(|| panic!("no line about being ready in {log}"));
    ready[name].as_str().unwrap().trim_start_matches("https://").trim_start_matches("http://").to_owned()
}
