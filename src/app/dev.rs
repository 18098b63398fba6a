//! `portcullis dev`: a folder with everything, and a gateway on it.
//!
//! What is missing is made, what is there is used: the certificates, the simulated token with its random PIN, and
//! `config.toml`, which may be edited. Addresses and policy of the command line go before those of the file.

use std::{
    env, fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use zeroize::Zeroizing;

use super::{
    command::{self, DevArguments},
    gateway::{self, Addresses, Mode},
    problem::{Explain, Problem},
    refusals,
    system::{SystemChance, SystemClock},
};
use crate::{
    config::{Config, Module},
    crypto::hash::to_hex,
    engine::ports::{Chance, Clock},
    telemetry::logging,
    tls::{DevFiles, Identity, make_dev_files, write_private},
};

const TOKEN_LABEL: &str = "portcullis-dev";
/// The enrolled client, and its project.
const CLIENT: &str = "demo";
/// Where KMIP over HTTPS listens.
const HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5695);
/// Files of the passwords that the published test cases send; they count for loopback only, beside the certificate.
const USERS: &[(&str, &str)] =
    &[("fred", "password1"), ("barney", "secret2"), ("device-1", "secret"), ("device-2", "passwd")];
const WRITABLE: &str = "give a folder that you may write with --dir";

/// Runs it.
pub(super) fn run(arguments: &DevArguments) -> Result<ExitCode, Problem> {
    let _lock = claim(&arguments.dir)?;
    let folder = fs::canonicalize(&arguments.dir).explain("PC-DEV-FOLDER", arguments.dir.display(), WRITABLE)?;
    let mut config = prepare(&folder, arguments)?;
    if let Ok(level) = env::var("PORTCULLIS_LOG") {
        logging::check_filter(&level).explain("PC-LOG", "PORTCULLIS_LOG", "give a level such as info")?;
        config.log.level = level;
    }
    command::start_logging(&config)?;
    refusals::dev(&config)?;
    gateway::run(config, Mode::Dev, move |addresses| announce(&folder, addresses))
}

/// Makes the folder and keeps others out of it.
fn claim(folder: &Path) -> Result<fs::File, Problem> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).explain(
        "PC-DEV-FOLDER",
        folder.display(),
        WRITABLE,
    )?;
    let path = folder.join("lock");
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.explain("PC-DEV-FOLDER", path.display(), WRITABLE)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Problem::new(
            "PC-DEV-IN-USE",
            format!("{} is in use by another `portcullis dev`", folder.display()),
            "stop that one, or give this one a folder of its own with --dir",
        )),
        Err(fs::TryLockError::Error(error)) => {
            Err(Problem::new("PC-DEV-FOLDER", format!("{}: {error}", path.display()), WRITABLE))
        }
    }
}

/// The simulated token's options.
const SIMULATOR: &str = "# Options of the simulated token; config/hsm-sim.toml of the source tree documents them all.
# Old clients and published test cases of KMIP ask for RSA keys of 1024 bits.
legacy = true
";

/// Makes what is missing and reads the configuration.
fn prepare(folder: &Path, arguments: &DevArguments) -> Result<Config, Problem> {
    let tls = folder.join("tls");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&tls).explain("PC-DEV-FOLDER", tls.display(), WRITABLE)?;
    let files = make_dev_files(&tls, CLIENT, SystemClock.now().seconds())?;
    let path = folder.join("config.toml");
    if !path.exists() {
        let users = folder.join("users");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&users).explain(
            "PC-DEV-FOLDER",
            users.display(),
            WRITABLE,
        )?;
        for (name, password) in USERS {
            let file = users.join(name);
            write_private(&file, password.as_bytes()).explain("PC-DEV-FOLDER", file.display(), WRITABLE)?;
        }
        let options = folder.join("hsm-sim.toml");
        write_private(&options, SIMULATOR.as_bytes()).explain("PC-DEV-FOLDER", options.display(), WRITABLE)?;
        let text = configuration(&files, arguments)?;
        write_private(&path, text.as_bytes()).explain("PC-DEV-FOLDER", path.display(), WRITABLE)?;
    }
    let mut config = command::configuration(&path)?;
    override_with(&mut config, arguments)?;
    for (name, hsm) in &config.hsm {
        if let (Module::Embedded, Some(store), Some(pin_file)) = (&hsm.module, &hsm.simulated_store, &hsm.pin_file) {
            let label = hsm.token_label.as_deref().unwrap_or(name);
            make_token(store, pin_file, label)?;
        }
    }
    Ok(config)
}

fn override_with(config: &mut Config, arguments: &DevArguments) -> Result<(), Problem> {
    let DevArguments { kmip, kmip_https, rest, ops, policy, module, token_label, pin_file, dir: _ } = arguments;
    config.kmip.listen = kmip.unwrap_or(config.kmip.listen);
    // Whoever moves KMIP has reasons, another gateway on this machine being the first: its HTTPS port moves along.
    let beside = kmip.map(|listen| SocketAddr::new(listen.ip(), 0)).or(config.kmip.https_listen);
    config.kmip.https_listen = kmip_https.or(beside).or(Some(HTTPS));
    config.rest.listen = rest.unwrap_or(config.rest.listen);
    config.ops.listen = ops.unwrap_or(config.ops.listen);
    if let Some(policy) = policy {
        config.rest.policy.defaults = (*policy).into();
    }
    if let (Some(module), Some(label), Some(pin_file)) = (module, token_label, pin_file) {
        let Some(hsm) = config.hsm.values_mut().next() else { return Ok(()) };
        hsm.module = Module::File(absolute(module)?);
        hsm.token_label = Some(label.clone());
        hsm.pin_file = Some(absolute(pin_file)?);
        (hsm.token_serial, hsm.slot_id, hsm.pin_env) = (None, None, None);
        (hsm.simulated_store, hsm.simulated_config) = (None, None);
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    fs::canonicalize(path).explain("PC-DEV-MODULE", path.display(), "check the path")
}

/// The file that the first start leaves behind.
fn configuration(files: &DevFiles, arguments: &DevArguments) -> Result<String, Problem> {
    let key = Identity::read(&files.client, &files.client_key)?.summary.spki_sha256;
    let hsm = match (&arguments.module, &arguments.token_label, &arguments.pin_file) {
        (Some(module), Some(label), Some(pin_file)) => format!(
            "module = {}\ntoken_label = {}\npin_file = {}\n",
            quoted(&absolute(module)?.to_string_lossy()),
            quoted(label),
            quoted(&absolute(pin_file)?.to_string_lossy()),
        ),
        _ => format!(
            "module = \"embedded\"\nsimulated_store = \"hsm\"\nsimulated_config = \"hsm-sim.toml\"\ntoken_label = \"{TOKEN_LABEL}\"\npin_file = \"pin\"\n"
        ),
    };
    Ok(format!(
        r#"# Written by `portcullis dev`, which uses it as it is from now on; config/gateway.toml of the source tree documents
# every option. `portcullis serve` refuses it: its certificates are for development.
[kmip]
certificate = "tls/server.pem"
key = "tls/server.key"
client_ca = "tls/ca.pem"
client_ca_key = "tls/ca.key"
re_provision = true
versions = ["1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1", "3.0"]
wrapping = "standard"
interop = true

# The generator that the published test cases of KMIP name; what the token really has, PKCS#11 does not tell.
[kmip.rng]
algorithm = "ANSI X9.31"
cryptographic_algorithm = "AES"
cryptographic_length = 256

# The simulated token is not validated; this says so in the form that Query Validations has.
[[kmip.validations]]
kind = "software"

[[kmip.clients]]
name = "{CLIENT}"
spki_sha256 = "{key}"
project = "{CLIENT}"
roles = ["admin"]

# Users and devices that the published test cases prove by the credential of their messages.
[[kmip.users]]
name = "Fred"
password_file = "users/fred"
[[kmip.users]]
name = "Barney"
password_file = "users/barney"
[[kmip.devices]]
name = "device-1"
serial_number = "serNum123456"
password_file = "users/device-1"
device_identifier = "devID2233"
network_identifier = "netID9000"
machine_identifier = "machineID1"
media_identifier = "mediaID313"
[[kmip.devices]]
name = "device-2"
serial_number = "serNum101010"
password_file = "users/device-2"
device_identifier = "devID4444"
network_identifier = "netID9"
machine_identifier = "machineID1111"
media_identifier = "mediaID0000"

# What the published test cases derive, and this token cannot.
[software_fallback]
hash = true
hkdf = true
aws_signature = true

[rest.auth]
mode = "unauthenticated"

[store]
path = "store"

[audit]
path = "audit"

[hsm.main]
{hsm}allow_simulated_hsm = true

[log]
format = "text"
level = "warn"
"#
    ))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Makes the simulated token with a random PIN, unless both are there.
fn make_token(store: &Path, pin_file: &Path, label: &str) -> Result<(), Problem> {
    let remedy = "remove the development folder to begin anew; the keys of its token are lost then";
    if !pin_file.exists() {
        let pin = random_pin();
        write_private(pin_file, pin.as_bytes()).explain("PC-DEV-FOLDER", pin_file.display(), WRITABLE)?;
    }
    let tokens = if store.exists() {
        hsm_sim::admin::tokens(store).explain("PC-DEV-TOKEN", "the simulated token", remedy)?
    } else {
        Vec::new()
    };
    if tokens.iter().any(|token| token.label == label) {
        return Ok(());
    }
    let pin = Zeroizing::new(fs::read(pin_file).explain("PC-DEV-FOLDER", pin_file.display(), WRITABLE)?);
    // Nobody administers this token, so nobody keeps its SO PIN.
    let made = hsm_sim::admin::init_token(store, label, random_pin().as_bytes(), pin.trim_ascii());
    made.map(drop).explain("PC-DEV-TOKEN", "the simulated token cannot be made", remedy)
}

fn random_pin() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 16]);
    SystemChance::new().fill(&mut *bytes);
    Zeroizing::new(to_hex(&*bytes))
}

/// Writes `addresses.json`, says `ready`, and shows what to try.
fn announce(folder: &Path, addresses: &Addresses) -> Result<(), Problem> {
    let path = folder.join("addresses.json");
    let text = serde_json::to_vec(addresses).explain("PC-DEV-FOLDER", "addresses.json", "")?;
    write_private(&path, &text).explain("PC-DEV-FOLDER", path.display(), WRITABLE)?;
    let program = env::current_exe().map_or_else(|_unknown| "portcullis".to_owned(), |path| shell(&path));
    let Addresses { rest, ops, .. } = addresses;
    let text = format!(
        r#"ready

Three commands to try in another terminal:

curl -sS -X POST {rest}/v1/secrets -H 'X-Project-Id: {CLIENT}' -H 'Content-Type: application/json' -d '{{"name": "greeting", "payload": "hello", "payload_content_type": "text/plain"}}'

{program} kmip create --dir {folder}

curl -sS {ops}/metrics | grep portcullis_requests_total

Everything is in {folder}. Ctrl-C stops the gateway; the next start goes on with what is there.
"#,
        folder = shell(folder),
    );
    let mut out = io::stdout().lock();
    // A closed standard output is no reason to stop: the gateway serves.
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
