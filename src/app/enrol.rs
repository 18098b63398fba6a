//! `portcullis client`: enrols KMIP clients, lists and revokes them, also while the gateway runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};

use super::{
    enrolled::{Entry, Register, file_of},
    inspect::print,
    problem::{Explain, Problem},
    system::SystemClock,
};
use crate::{
    config::Config,
    crypto::hash::to_hex,
    engine::ports::Clock as _,
    tls::{self, ClientFiles},
};

/// What is done with clients.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Enrols a client: issues a certificate from the gateway's CA, or takes one that is there already.
    Add(AddArguments),
    /// Shows every client, also those that were revoked.
    List(Which),
    /// Bars a client: within seconds its open connections are closed, and it does not get in again.
    Revoke {
        #[command(flatten)]
        which: Which,
        /// The client's name.
        name: String,
    },
}

/// Which gateway.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The configuration file.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    pub(super) config: PathBuf,
}

/// Who is enrolled, and how.
#[derive(Debug, Args)]
pub(super) struct AddArguments {
    #[command(flatten)]
    pub(super) which: Which,
    /// The client's name: the creator of what it makes, the initiator in audit records.
    name: String,
    /// The project that it acts in.
    #[arg(long, value_name = "ID")]
    project: String,
    /// Its roles, separated by commas.
    #[arg(long, value_name = "ROLES", default_value = "member", value_delimiter = ',')]
    roles: Vec<String>,
    /// Where NAME.pem and NAME.key are written.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Days that the certificate is valid.
    #[arg(long, default_value = "365", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// The key of the CA, if not kmip.client_ca_key.
    #[arg(long, value_name = "FILE")]
    ca_key: Option<PathBuf>,
    /// A certificate that the client has already, in PEM: nothing is issued.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "days", "ca_key"])]
    certificate: Option<PathBuf>,
}

impl ClientCommand {
    /// Which configuration it works on.
    pub(super) fn config(&self) -> &Path {
        match self {
            Self::Add(add) => &add.which.config,
            Self::List(which) | Self::Revoke { which, .. } => &which.config,
        }
    }
}

/// Runs the command.
pub(super) fn run(command: &ClientCommand, config: &Config) -> Result<ExitCode, Problem> {
    match command {
        ClientCommand::Add(arguments) => add(arguments, config)?,
        ClientCommand::List(_) => print(&list(config)?)?,
        ClientCommand::Revoke { name, .. } => {
            revoke(name, config)?;
            print(&format!("{name} is revoked; a running gateway closes its connections within seconds\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(arguments: &AddArguments, config: &Config) -> Result<(), Problem> {
    let AddArguments { name, project, roles, out, days, .. } = arguments;
    let known = config.kmip.clients.iter().any(|client| client.name == *name);
    let taken = |what: &str| {
        Problem::new(
            "PC-CLIENT-EXISTS",
            format!("another client has this {what}: {name}"),
            "choose another name or key",
        )
    };
    change(config, |register| {
        // Before anything is issued: files of a client that is there already are not written over.
        if known || register.clients.iter().any(|entry| entry.name == *name) {
            return Err(taken("name"));
        }
        let (spki_sha256, written) = match &arguments.certificate {
            Some(path) => {
                let key = tls::spki_of_file(path)?;
                (key, format!("the certificate in {}", path.display()))
            }
            None => {
                if name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
                    let what = format!("`{name}` cannot be the name of a file");
                    return Err(Problem::new("PC-CLIENT-NAME", what, "choose another, or bring a certificate"));
                }
                let ca_key = arguments.ca_key.as_ref().or(config.kmip.client_ca_key.as_ref()).ok_or_else(|| {
                    Problem::new(
                        "PC-CLIENT-CA-KEY",
                        "the key of the CA in kmip.client_ca is not known",
                        "set kmip.client_ca_key or give --ca-key; or enrol a certificate of your CA with --certificate",
                    )
                })?;
                let files = ClientFiles::within(out, name);
                let now = SystemClock.now().seconds();
                let key = tls::issue_client(&config.kmip.client_ca, ca_key, &files, name, *days, now)?;
                (key, format!("{} and {}", files.certificate.display(), files.key.display()))
            }
        };
        let same = |key: &str| key.eq_ignore_ascii_case(&spki_sha256);
        let configured = config.kmip.clients.iter().any(|client| same(&to_hex(&client.spki_sha256.0)));
        if configured || register.clients.iter().any(|entry| same(&entry.spki_sha256)) {
            return Err(taken("key"));
        }
        let roles = roles.iter().map(|role| role.trim().to_owned()).collect();
        let entry = Entry {
            name: name.clone(),
            spki_sha256: spki_sha256.clone(),
            project: project.clone(),
            roles,
            revoked: false,
        };
        register.clients.push(entry);
        Ok(format!("{name} is enrolled with {written}\n  spki_sha256 {spki_sha256}\n"))
    })
    .and_then(|said| print(&said))
}

fn revoke(name: &str, config: &Config) -> Result<(), Problem> {
    change(config, |register| {
        // Earlier keys of a client that was given another certificate stand there, too, revoked.
        let mut entries = register.clients.iter_mut().filter(|entry| entry.name == name).peekable();
        if entries.peek().is_some() {
            entries.for_each(|entry| entry.revoked = true);
            return Ok(());
        }
        let configured = config.kmip.clients.iter().find(|client| client.name == name).ok_or_else(|| {
            Problem::new("PC-CLIENT-UNKNOWN", format!("no client is called {name}"), "see `portcullis client list`")
        })?;
        register.clients.push(Entry {
            name: name.to_owned(),
            spki_sha256: to_hex(&configured.spki_sha256.0),
            project: configured.project.clone(),
            roles: configured.roles.clone(),
            revoked: true,
        });
        Ok(())
    })
}

fn list(config: &Config) -> Result<String, Problem> {
    let register = Register::read(&file_of(config))?;
    let row = |name: &str, project: &str, roles: &str, key: &str, state: &str| {
        format!("{name:<24} {project:<34} {roles:<16} {key:<64} {state}\n")
    };
    let mut shown = row("NAME", "PROJECT", "ROLES", "SPKI SHA-256", "STATE");
    for client in &config.kmip.clients {
        let key = to_hex(&client.spki_sha256.0);
        // One that was revoked stands in the register.
        if !register.clients.iter().any(|entry| entry.name == client.name) {
            shown += &row(&client.name, &client.project, &client.roles.join(","), &key, "configured");
        }
    }
    for entry in &register.clients {
        let state = if entry.revoked { "revoked" } else { "enrolled" };
        shown += &row(&entry.name, &entry.project, &entry.roles.join(","), &entry.spki_sha256, state);
    }
    Ok(shown)
}

/// Changes the file, one command at a time; what would not work with the configuration is not written.
pub(super) fn change<T>(
    config: &Config,
    change: impl FnOnce(&mut Register) -> Result<T, Problem>,
) -> Result<T, Problem> {
    const REMEDY: &str = "make its folder writable";
    let path = file_of(config);
    let lock = path.with_extension("lock");
    let held = fs::File::options().create(true).truncate(false).write(true).open(&lock);
    let held = held.explain("PC-CLIENT-FILE", lock.display(), REMEDY)?;
    held.lock().explain("PC-CLIENT-FILE", lock.display(), REMEDY)?;
    let mut register = Register::read(&path)?;
    let done = change(&mut register)?;
    register.with(config)?;
    let text = toml::to_string(&register).explain("PC-CLIENT-FILE", path.display(), "choose another name")?;
    let head = "# Written by `portcullis client`; a running gateway looks at it every second.\n\n";
    tls::write_private(&path, [head, &text].concat().as_bytes()).explain("PC-CLIENT-FILE", path.display(), REMEDY)?;
    // Nothing in it is secret, and the gateway may run as somebody else.
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&path, readable).explain("PC-CLIENT-FILE", path.display(), REMEDY)?;
    Ok(done)
}
