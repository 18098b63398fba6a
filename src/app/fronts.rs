//! The front ends on their listeners: who a connection or request is, and which service answers it.

use std::{fmt, fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, Method},
};
use kmip_codec::{
    Limits, ProtocolVersion,
    payload::ValidationInformation,
    spec::enums::{ValidationAuthorityType, ValidationType},
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    enrolled::{Enrolled, Held},
    gateway::Core,
    problem::{Explain, Problem},
    reissue::Reissue,
    system::SystemClock,
};
use crate::{
    authn::{
        BearerToken, BearerTokens, Credentials, Device, Keystone, KeystoneSettings, OneTimeBy, Refusal, Remembered,
        RestAuthenticator, RestClaim, User,
    },
    barbican::{self, AuthRefusal, Authenticate},
    config::{self, AuthMode, Config},
    domain::{
        OperationKind, Principal, Realm, SecretValue,
        audit::{AuditEvent, Outcome, Protocol},
    },
    engine::{
        jobs::Runner,
        ops::rng::SeedShare,
        ports::{Answer, Clock, Durability, Memory},
    },
    kmip,
    net::{Connection, Dialer, HttpLimits, serve_http},
    telemetry::Metrics,
    tls::{Identity, TlsError, client_config},
};

/// KMIP: the enrolled clients and the service that answers them.
#[derive(Clone)]
pub(super) struct KmipFront {
    clients: Arc<Enrolled>,
    service: Arc<kmip::Service>,
    metrics: Arc<Metrics>,
}

impl KmipFront {
    pub(super) fn new(core: &Core, clients: Arc<Enrolled>) -> Result<Self, Problem> {
        let settings = kmip_settings(&core.config);
        let kept = Arc::new(OneTimeMemory(Arc::clone(&core.memory)));
        let credentials = credentials(&core.config)?.remembering(kept);
        let memory = Some(Arc::clone(&core.memory));
        Ok(Self {
            service: Arc::new(
                kmip::Service::with(Arc::clone(&core.engine), settings, credentials, memory)
                    .provisioned_by(Arc::new(Reissue::new(Arc::clone(&clients), Arc::clone(&core.config)))),
            ),
            clients,
            metrics: Arc::clone(&core.metrics),
        })
    }

    /// Tells the clients' own listeners of changes until the gateway drains.
    ///
    /// Whom a listener belongs to is asked of the register, again whenever that changes: a client that is revoked is told of
    /// nothing more at once, and one that is enrolled later from then on. Their files are read for each connection, so that
    /// renewed certificates need no restart; at start they must be good.
    pub(super) fn announce(&self, config: &Config, drain: &CancellationToken) -> Result<Vec<JoinHandle<()>>, Problem> {
        let mut tasks = Vec::new();
        for listener in &config.kmip.listeners {
            let refused = || Problem::new("PC-KMIP-LISTENER", listener.address.clone(), "correct [[kmip.listeners]]");
            let host = listener.address.rsplit_once(':').map_or(listener.address.as_str(), |(host, _port)| host);
            let name = listener.server_name.as_deref().unwrap_or_else(|| host.trim_matches(['[', ']']));
            let door = Door {
                address: listener.address.clone(),
                name: ServerName::try_from(name.to_owned()).ok().ok_or_else(refused)?,
                ca: listener.ca.clone(),
                certificate: listener.certificate.as_ref().unwrap_or(&config.kmip.certificate).clone(),
                key: listener.key.as_ref().unwrap_or(&config.kmip.key).clone(),
            };
            door.tls().explain("PC-KMIP-LISTENER", listener.ca.display(), "correct [[kmip.listeners]]")?;
            if self.clients.called(&listener.client).is_none() {
                tracing::warn!(
                    client = listener.client,
                    address = listener.address,
                    "nobody of this name is enrolled, or not any more: the listener waits until somebody is"
                );
            }
            tasks.push(tokio::spawn(self.clone().follow(listener.clone(), door, drain.clone())));
        }
        Ok(tasks)
    }

    /// Tells one listener of changes, as long as there is a client whose it is.
    async fn follow(self, listener: config::KmipListener, door: Door, drain: CancellationToken) {
        let mut changes = self.clients.changes();
        let (major, minor) = listener.version.numbers();
        loop {
            changes.borrow_and_update();
            let principal = self.clients.called(&listener.client);
            let announced = async {
                match principal.clone() {
                    Some(principal) => {
                        let to = kmip::Listener {
                            peer: kmip::Peer { principal: Arc::new(principal), address: listener.address.clone() },
                            address: listener.address.clone(),
                            version: ProtocolVersion::new(major, minor),
                            put: listener.put,
                        };
                        kmip::announce(to, || door.clone().connect(), Arc::clone(&self.service), drain.clone()).await;
                    }
                    None => drain.cancelled().await,
                }
            };
            let other = async {
                // An error is the end of the register, which this holds.
                while changes.changed().await.is_ok() && self.clients.called(&listener.client) == principal {}
            };
            tokio::select! {
                () = announced => return,
                () = other => {}
            }
            let now = self.clients.called(&listener.client).is_some();
            tracing::info!(
                client = listener.client,
                address = listener.address,
                told = now,
                "a listener's client changed"
            );
        }
    }

    /// Serves one connection as the client that its certificate proves.
    pub(super) async fn serve(self, connection: Connection) {
        let admitted = self.peer(&connection).await;
        let Connection { stream, drain, .. } = connection;
        match admitted {
            Some((peer, held)) => {
                let drain = drain.child_token();
                tokio::select! {
                    () = kmip::serve(stream, peer, self.service, drain.clone()) => {}
                    () = held.end.cancelled() => {}
                    () = held.finishing(&drain) => {}
                }
            }
            None => kmip::refuse(stream, self.service, drain).await,
        }
    }

    /// The same for a connection of the HTTPS listener.
    pub(super) async fn serve_https(self, mut connection: Connection) {
        let (peer, held) = self.peer(&connection).await.unzip();
        let drain = connection.drain.child_token();
        connection.drain = drain.clone();
        let served = serve_http(connection, kmip::https(self.service, peer), HttpLimits::default());
        match held {
            Some(held) => tokio::select! {
                () = served => {}
                () = held.end.cancelled() => {}
                () = held.finishing(&drain) => {}
            },
            None => served.await,
        }
    }

    /// The enrolled client at the other end; `None`, said aloud and recorded, for a certificate that nobody enrolled.
    async fn peer(&self, connection: &Connection) -> Option<(kmip::Peer, Held)> {
        let certificate = connection.certificate.as_deref().unwrap_or_default();
        match self.clients.admit(certificate) {
            Ok((principal, held)) => {
                let address = connection.peer.ip().to_string();
                Some((kmip::Peer { principal: Arc::new(principal), address }, held))
            }
            Err(refusal) => {
                let key = crate::tls::spki_sha256(certificate).unwrap_or_default();
                let peer = connection.peer;
                tracing::warn!(%peer, spki_sha256 = key, "{refusal}: add it to [[kmip.clients]] to let it in");
                self.metrics.request("kmip", "connect", "not-enrolled", 0.0);
                self.record_refusal(peer, &key).await;
                None
            }
        }
    }

    /// One line on the trail for a connection whose client nobody enrolled: none of its messages becomes a use case.
    async fn record_refusal(&self, peer: SocketAddr, key: &str) {
        let ports = self.service.engine.ports();
        let mut id = [0; 16];
        ports.chance.fill(&mut id);
        let event = AuditEvent {
            id,
            time: ports.clock.now(),
            request: format!("connection-{peer}"),
            protocol: Protocol::Kmip,
            initiator: Some(format!("spki-sha256:{key}")),
            realm: Some(Realm::Certificate),
            project: None,
            address: Some(peer.ip().to_string()),
            operation: OperationKind::Connect,
            targets: Vec::new(),
            outcome: Outcome::Failure("not-enrolled".to_owned()),
            recovered: false,
            http: None,
        };
        if let Err(error) = self.service.engine.audit().record(event, Durability::Handed).await {
            tracing::error!(%error, %peer, "a refused connection is not on the audit trail");
        }
    }
}

/// A client's listener, and the files of the way there.
#[derive(Clone)]
struct Door {
    address: String,
    name: ServerName<'static>,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Door {
    fn tls(&self) -> Result<Arc<ClientConfig>, TlsError> {
        client_config(&self.ca, Identity::read(&self.certificate, &self.key)?)
    }

    async fn connect(self) -> io::Result<TlsStream<TcpStream>> {
        let door = self.clone();
        let tls = tokio::task::spawn_blocking(move || door.tls()).await.map_err(io::Error::other)?;
        Dialer { address: self.address, name: self.name, tls: tls.map_err(io::Error::other)? }.connect().await
    }
}

/// What one-time passwords counted last, among the facts of the store.
struct OneTimeMemory(Arc<dyn Memory>);

impl OneTimeMemory {
    fn fact(user: &str) -> String {
        format!("kmip-one-time:{user}")
    }
}

impl fmt::Debug for OneTimeMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimeMemory").finish_non_exhaustive()
    }
}

impl Remembered for OneTimeMemory {
    fn recall(&self, user: &str) -> Result<Option<i64>, String> {
        match self.0.recall(&Self::fact(user)).map_err(|error| error.to_string())? {
            None => Ok(None),
            Some(bytes) => match <[u8; 8]>::try_from(bytes.as_slice()) {
                Ok(bytes) => Ok(Some(i64::from_be_bytes(bytes))),
                Err(_) => Err("the remembered moment is damaged".to_owned()),
            },
        }
    }

    fn remember(&self, user: &str, moment: i64) -> Result<(), String> {
        self.0.remember(&Self::fact(user), &moment.to_be_bytes()).map_err(|error| error.to_string())
    }
}

/// The users and devices behind the clients.
fn credentials(config: &Config) -> Result<Credentials, Problem> {
    let secret = |path: &Option<PathBuf>| -> Result<Option<SecretValue>, Problem> {
        let Some(path) = path else { return Ok(None) };
        let read = fs::read(path).explain("PC-KMIP-PASSWORD", path.display(), "name the file with the password")?;
        let read = zeroize::Zeroizing::new(read);
        Ok(Some(SecretValue::new(read.trim_ascii_end().to_vec())))
    };
    let mut users = Vec::new();
    for user in &config.kmip.users {
        let one_time_secret = match &user.one_time_password_file {
            None => None,
            Some(path) => {
                let read =
                    fs::read(path).explain("PC-KMIP-PASSWORD", path.display(), "name the file with the secret")?;
                let text = zeroize::Zeroizing::new(String::from_utf8_lossy(&read).trim().to_owned());
                let bytes = crate::crypto::hash::from_hex(&text);
                let remedy = "write the secret as hexadecimal digits";
                Some(SecretValue::new(bytes.explain("PC-KMIP-PASSWORD", path.display(), remedy)?))
            }
        };
        let one_time_by = match user.one_time_passwords {
            config::OneTimePasswords::Time => OneTimeBy::Time,
            config::OneTimePasswords::Counter => OneTimeBy::Counter,
        };
        let password = secret(&user.password_file)?;
        users.push(User { name: user.name.clone(), password, one_time_secret, one_time_by });
    }
    let mut devices = Vec::new();
    for device in &config.kmip.devices {
        devices.push(Device {
            name: device.name.clone(),
            serial_number: device.serial_number.clone(),
            password: secret(&device.password_file)?,
            device_identifier: device.device_identifier.clone(),
            network_identifier: device.network_identifier.clone(),
            machine_identifier: device.machine_identifier.clone(),
            media_identifier: device.media_identifier.clone(),
        });
    }
    let refuse = config.kmip.unknown_credentials == config::UnknownCredentials::Refuse;
    Credentials::new(users, devices, refuse, SystemClock.now()).map_err(|mistakes| {
        Problem::new("PC-KMIP-USERS", mistakes.join("\n"), "correct [[kmip.users]] and [[kmip.devices]]")
    })
}

fn validation(from: &config::KmipValidation) -> ValidationInformation {
    use config::{ValidationAuthority as Authority, ValidationKind as Kind};
    let small = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    ValidationInformation {
        authority_type: match from.authority {
            Authority::Unspecified => ValidationAuthorityType::UNSPECIFIED,
            Authority::Nist => ValidationAuthorityType::NISTCMVP,
            Authority::CommonCriteria => ValidationAuthorityType::COMMON_CRITERIA,
        },
        authority_country: from.country.clone(),
        authority_uri: from.authority_uri.clone(),
        version_major: small(from.version_major.small()),
        version_minor: from.version_minor.map(|minor| small(minor.small())),
        validation_type: match from.kind {
            Kind::Unspecified => ValidationType::UNSPECIFIED,
            Kind::Hardware => ValidationType::HARDWARE,
            Kind::Software => ValidationType::SOFTWARE,
            Kind::Firmware => ValidationType::FIRMWARE,
            Kind::Hybrid => ValidationType::HYBRID,
        },
        level: small(from.level.small()),
        certificate_identifier: from.certificate_identifier.clone(),
        certificate_uri: from.certificate_uri.clone(),
        vendor_uri: from.vendor_uri.clone(),
        profiles: from.profiles.clone(),
    }
}

fn kmip_settings(config: &Config) -> kmip::Settings {
    let mut versions: Vec<ProtocolVersion> = config
        .kmip
        .versions
        .iter()
        .map(|version| version.numbers())
        .map(|(major, minor)| ProtocolVersion::new(major, minor))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    kmip::Settings {
        versions,
        limits: Limits {
            message_bytes_max: config.kmip.message_bytes_max.size(),
            batch_items_max: config.kmip.batch_items_max.size(),
            ..Limits::AUTHENTICATED
        },
        interop: config.kmip.interop,
        rng_seed: match config.kmip.rng_seed {
            config::RngSeed::All => SeedShare::All,
            config::RngSeed::Half => SeedShare::Half,
            config::RngSeed::None => SeedShare::None,
            config::RngSeed::Refuse => SeedShare::Refused,
        },
        validations: config.kmip.validations.iter().map(validation).collect(),
        idle: config.kmip.idle_seconds.seconds(),
        message_timeout: config.kmip.message_seconds.seconds(),
        put: config.kmip.put,
        re_provision: config.kmip.re_provision,
        skew_max: config.kmip.time_stamp_skew_seconds.map(|skew| skew.seconds()),
    }
}

/// The routes of the Barbican API.
pub(super) fn rest(core: &Core, jobs: Arc<Runner>) -> Result<Router, Problem> {
    let config = &core.config.rest;
    let gateway = barbican::Gateway {
        engine: Arc::clone(&core.engine),
        jobs,
        authenticator: Arc::new(Authenticator(authenticator(&core.config)?)),
        settings: barbican::Settings {
            host_href: config.host_href.clone(),
            https: config.certificate.is_some(),
            behind_proxy: config.behind_proxy,
            request_bytes_max: config.body_bytes_max.size(),
            secret_bytes_max: config.payload_bytes_max.size(),
            aliases: config.aliases.clone(),
            page_default: config.page_default.size(),
            page_max: config.page_max.size(),
            keep_payload_blanks: config.keep_payload_blanks,
            healthcheck_disable_file: config.healthcheck_disable_file.clone(),
            cors_origins: config.cors_origins.clone(),
            hide_private: config.hide_private,
            order_wait: config.order_wait_seconds.seconds(),
        },
    };
    Ok(barbican::router(Arc::new(gateway)))
}

/// How REST requests are authenticated.
pub(super) fn authenticator(config: &Config) -> Result<RestAuthenticator, Problem> {
    let auth = &config.rest.auth;
    let tokens = BearerTokens::new(auth.tokens.iter().map(|token| BearerToken {
        name: token.name.clone(),
        sha256: token.sha256.0,
        project: token.project.clone(),
        roles: token.roles.clone(),
    }));
    match (auth.mode, &auth.keystone) {
        (AuthMode::Keystone, Some(keystone)) if auth.tokens.is_empty() => {
            Ok(RestAuthenticator::Keystone(Arc::new(client(keystone)?)))
        }
        (AuthMode::Keystone, Some(keystone)) => {
            Ok(RestAuthenticator::Both(Arc::new(tokens), Arc::new(client(keystone)?)))
        }
        // Keystone without its section does not come this far; if it did, nobody would be let in.
        (AuthMode::Tokens, _) | (AuthMode::Keystone, None) => Ok(RestAuthenticator::Bearer(Arc::new(tokens))),
        (AuthMode::Unauthenticated, _) => Ok(RestAuthenticator::Unauthenticated),
    }
}

fn client(keystone: &config::Keystone) -> Result<Keystone, Problem> {
    let file = &keystone.password_file;
    let password = fs::read(file).explain("PC-KEYSTONE-PASSWORD", file.display(), "name the file with the password")?;
    let password = zeroize::Zeroizing::new(password);
    let password = SecretValue::new(password.trim_ascii_end().to_vec());
    let ca =
        keystone.ca.as_ref().map(|path| fs::read(path).explain("PC-KEYSTONE-CA", path.display(), "check the path"));
    let ca = ca.transpose()?;
    let settings = KeystoneSettings {
        url: keystone.url.clone(),
        username: keystone.username.clone(),
        user_domain: keystone.user_domain.clone(),
        project: keystone.project.clone(),
        project_domain: keystone.project_domain.clone(),
        public_url: keystone.public_url.clone(),
        service_token_roles: keystone.service_token_roles.clone(),
        cache_seconds: keystone.cache_seconds.get(),
        request_seconds: keystone.request_seconds.get(),
    };
    let clock = Arc::new(|| SystemClock.now());
    let made = Keystone::new(&settings, &password, ca.as_deref(), clock);
    made.explain("PC-KEYSTONE", "rest.auth.keystone", "correct that section")
}

/// What the API's front end asks of authentication.
struct Authenticator(RestAuthenticator);

impl Authenticate for Authenticator {
    fn authenticate<'a>(
        &'a self,
        method: &'a Method,
        path: &'a str,
        headers: &'a HeaderMap,
    ) -> Answer<'a, Result<Principal, AuthRefusal>> {
        Box::pin(async move {
            let claim =
                RestClaim::read(method.as_str(), path, |name| headers.get(name).and_then(|value| value.to_str().ok()));
            self.0.authenticate(&claim).await.map_err(|refusal| match refusal {
                Refusal::Missing(_) | Refusal::Malformed(_) => AuthRefusal::ProjectMissing,
                Refusal::Unavailable => AuthRefusal::Unavailable,
                Refusal::NotEnrolled | Refusal::Unauthenticated | Refusal::Unscoped => {
                    AuthRefusal::Unauthenticated { challenge: self.0.www_authenticate() }
                }
            })
        })
    }
}
