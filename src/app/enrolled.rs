//! Who may connect over KMIP: the clients of the configuration, and those that `portcullis client` has enrolled since.
//!
//! The latter stand in a file of their own, which a running gateway looks at every second: a client that was added gets in, and
//! of one that was revoked the open connections are closed, too. A file that cannot be read keeps what was known and raises an
//! error in the log; at start it stops the gateway.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::problem::{Explain, Problem};
use crate::{
    authn::{Clients, EnrolledClient, Refusal},
    config::Config,
    crypto::hash::to_hex,
    domain::Principal,
};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A client in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) spki_sha256: String,
    pub(super) project: String,
    pub(super) roles: Vec<String>,
    /// Kept with the entry, so that nobody enrols the key again by accident; it also bars a client of the configuration.
    #[serde(default)]
    pub(super) revoked: bool,
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    #[serde(default)]
    pub(super) clients: Vec<Entry>,
}

/// Where the file is: as configured, else beside the folder of the store.
pub(super) fn file_of(config: &Config) -> PathBuf {
    let beside = || config.store.path.with_file_name("clients.toml");
    config.kmip.clients_file.clone().unwrap_or_else(beside)
}

impl Register {
    /// Reads the file; one that is not there has no clients.
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let remedy = "correct the file, or restore it; `portcullis client` writes it";
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.explain("PC-KMIP-CLIENTS", path.display(), remedy)?,
        };
        toml::from_str(&text).explain("PC-KMIP-CLIENTS", path.display(), remedy)
    }

    fn is_revoked(&self, spki_sha256: &str) -> bool {
        self.clients.iter().any(|entry| entry.revoked && entry.spki_sha256.eq_ignore_ascii_case(spki_sha256))
    }

    /// The clients of the configuration and of the file that may connect.
    pub(super) fn with(&self, config: &Config) -> Result<Clients, Problem> {
        let configured = config.kmip.clients.iter().map(|client| EnrolledClient {
            name: client.name.clone(),
            spki_sha256: to_hex(&client.spki_sha256.0),
            project: client.project.clone(),
            roles: client.roles.clone(),
        });
        let added = self.clients.iter().filter(|entry| !entry.revoked).map(|entry| EnrolledClient {
            name: entry.name.clone(),
            spki_sha256: entry.spki_sha256.clone(),
            project: entry.project.clone(),
            roles: entry.roles.clone(),
        });
        let all: Vec<EnrolledClient> =
            configured.chain(added).filter(|client| !self.is_revoked(&client.spki_sha256)).collect();
        Clients::new(&all).map_err(|mistakes| {
            let file = file_of(config);
            let remedy = format!("correct [[kmip.clients]] or {}", file.display());
            Problem::new("PC-KMIP-CLIENTS", mistakes.join("\n"), remedy)
        })
    }
}

/// The clients in force, and the connections that they have open.
pub(super) struct Enrolled {
    clients: ArcSwap<Clients>,
    open: Mutex<HashMap<u64, Open>>,
    changed: watch::Sender<()>,
}

struct Open {
    certificate: Vec<u8>,
    principal: Principal,
    end: CancellationToken,
    finish: CancellationToken,
}

impl Open {
    fn is_over(&self, clients: &Clients) -> bool {
        clients.authenticate(&self.certificate).ok().as_ref() != Some(&self.principal)
    }
}

/// An open connection; it counts as one until this is dropped.
pub(super) struct Held {
    /// Cancelled when its client may not go on.
    pub(super) end: CancellationToken,
    /// Cancelled when its client has another certificate: the message at hand is answered still.
    pub(super) finish: CancellationToken,
    number: u64,
    enrolled: Arc<Enrolled>,
}

impl Held {
    /// Drains the connection once its client has another certificate; never ends by itself.
    pub(super) async fn finishing(&self, drain: &CancellationToken) {
        self.finish.cancelled().await;
        drain.cancel();
        std::future::pending().await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.enrolled.open.lock().remove(&self.number);
    }
}

impl Enrolled {
    /// Those of the configuration and the file.
    pub(super) fn load(config: &Config) -> Result<Arc<Self>, Problem> {
        let clients = Register::read(&file_of(config))?.with(config)?;
        let changed = watch::Sender::new(());
        Ok(Arc::new(Self { clients: ArcSwap::from_pointee(clients), open: Mutex::default(), changed }))
    }

    /// The client behind a certificate, and its connection.
    pub(super) fn admit(self: &Arc<Self>, certificate: &[u8]) -> Result<(Principal, Held), Refusal> {
        let mut open = self.open.lock();
        // Under the lock, so that a change of the clients either is seen here or sees this connection.
        let principal = self.clients.load().authenticate(certificate)?;
        let number = open.keys().max().map_or(0, |last| last.wrapping_add(1));
        let (end, finish) = (CancellationToken::new(), CancellationToken::new());
        let entry = Open {
            certificate: certificate.to_vec(),
            principal: principal.clone(),
            end: end.clone(),
            finish: finish.clone(),
        };
        open.insert(number, entry);
        Ok((principal, Held { end, finish, number, enrolled: Arc::clone(self) }))
    }

    /// The client of this name.
    pub(super) fn called(&self, name: &str) -> Option<Principal> {
        self.clients.load().called(name).cloned()
    }

    /// Is told whenever other clients are in force.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Puts other clients in force, and ends the connections of those that are none any more or are somebody else now.
    fn replace(&self, clients: Clients) -> usize {
        let open = self.open.lock();
        self.clients.store(Arc::new(clients));
        let now = self.clients.load();
        let over = open.values().filter(|it| it.is_over(&now) && !it.finish.is_cancelled());
        let ended = over.map(|it| it.end.cancel()).count();
        self.changed.send_replace(());
        ended
    }

    /// The same for a client that has got another certificate: its connections answer the message that they are at.
    pub(super) fn retire(&self, clients: Clients) {
        let open = self.open.lock();
        self.clients.store(Arc::new(clients));
        let now = self.clients.load();
        open.values().filter(|it| it.is_over(&now)).for_each(|it| it.finish.cancel());
        self.changed.send_replace(());
    }

    /// The certificates by which a client is connected now.
    pub(super) fn certificates(&self, client: &Principal) -> Vec<Vec<u8>> {
        self.open.lock().values().filter(|it| it.principal == *client).map(|it| it.certificate.clone()).collect()
    }

    /// Looks at the file again and again.
    pub(super) async fn watch(self: Arc<Self>, config: Arc<Config>) {
        let path = file_of(&config);
        let mut known = Register::read(&path).ok();
        let mut said = String::new();
        loop {
            sleep(LOOK_EVERY).await;
            let read = Register::read(&path);
            if read.as_ref().ok() == known.as_ref() && known.is_some() {
                continue;
            }
            match read.and_then(|register| register.with(&config).map(|clients| (register, clients))) {
                Ok((register, clients)) => {
                    let count = clients.len();
                    let ended = self.replace(clients);
                    tracing::info!(clients = count, ended, "the enrolled clients were read again");
                    known = Some(register);
                    said.clear();
                }
                Err(problem) => {
                    let text = problem.to_string();
                    if text != said {
                        tracing::error!(code = problem.code, "{text}; the clients stay as they were");
                        said = text;
                    }
                }
            }
        }
    }
}
