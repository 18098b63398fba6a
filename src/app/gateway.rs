//! The life of a gateway: start in a fixed order, serve, drain.
//!
//! The order is: what can be checked without touching anything; the ops listener, so that an orchestrator sees the start;
//! store, tokens, the store's key, audit trail, repair; the listeners; `ready`. The store is opened first because it
//! remembers the tokens' serials and refused PINs; it is unlocked with a key that only the token can compute.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    dropped,
    enrolled::Enrolled,
    fronts::{self, KmipFront},
    marks::{Marks, Older},
    migration::{self, Migrations},
    notices,
    observers::{CountedTrail, Counting, Lag},
    policy,
    problem::{Explain, Problem, ends_when_it_fails},
    refusals,
    system::{SystemChance, SystemClock},
    tokens, upkeep,
    watched::WatchedStore,
};
use crate::{
    admin::{Admin, Parts, Phase},
    audit::{AuditOptions, FileSink, Signer},
    config::{Config, Durability, Within, Wrapping},
    crypto::hash,
    domain::{Timestamp, TokenId, UniqueIdentifier, project::Quotas},
    engine::{
        Engine, ISSUER, Ports, Rates, SecretStore, Settings, SoftwareFallback, Uses,
        jobs::Runner,
        ports::{Answer, Clock, Hsm, HsmError, Memory, MetadataStore, StoreError},
        reconcile::reconcile,
    },
    hsm::{self, Pool},
    kmip, mem,
    net::{Connection, Events, HttpLimits, Limits, Listener, Security, serve_http},
    store::{
        RawStore,
        journal::JournalOptions,
        sled::{Observer as SyncObserver, SledOptions},
    },
    telemetry::Metrics,
    tls::{self, Reloadable, ServerFiles},
};

/// How the gateway was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// By `dev`.
    Dev,
    /// By `serve`.
    Serve,
    /// By an operator's command that takes a store as it is, though the token knows a newer one.
    AcceptOlder,
}

/// Where the listeners really are.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Addresses {
    /// Host and port.
    pub(super) kmip: String,
    /// The URL of messages; absent where KMIP over HTTPS is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kmip_https: Option<String>,
    /// A URL.
    pub(super) rest: String,
    /// A URL.
    pub(super) ops: String,
}

/// The purposes of the gateway's own keys on the token.
pub(super) const STORE_KEY: &str = "store-mac";
const AUDIT_KEY: &str = "audit-head";
/// For one signature over the audit trail's head.
const SIGN_LIMIT: Duration = Duration::from_secs(10);
/// After `limits.drain_seconds`, at most 7, this is left of the ten seconds after SIGTERM: for the last checkpoint, and for
/// leaving the tokens.
const LAST_CHECKPOINT: Duration = Duration::from_millis(900);
const LEAVE_TOKENS: Duration = Duration::from_millis(1_500);

/// Runs the gateway of a configuration.
pub(super) fn serve(config: Config) -> Result<ExitCode, Problem> {
    refusals::serve(&config)?;
    run(config, Mode::Serve, |addresses| {
        let kmip_https = addresses.kmip_https.as_deref();
        tracing::info!(kmip = addresses.kmip, kmip_https, rest = addresses.rest, ops = addresses.ops, "ready");
        // A closed standard output is no reason to stop: the gateway serves.
        let _closed = writeln!(io::stdout(), "ready");
        Ok(())
    })
}

/// Runs a gateway until it is told to stop; `announce` is called once all listeners accept.
pub(super) fn run(
    config: Config,
    mode: Mode,
    announce: impl FnOnce(&Addresses) -> Result<(), Problem>,
) -> Result<ExitCode, Problem> {
    if let Err(error) = mem::harden() {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.explain("PC-RUNTIME", "no threads can be started", "raise the limit of processes")?;
    let result = runtime.block_on(live(config, mode, announce));
    // A PKCS#11 call that hangs must not keep the process.
    runtime.shutdown_background();
    result
}

async fn live(
    config: Config,
    mode: Mode,
    announce: impl FnOnce(&Addresses) -> Result<(), Problem>,
) -> Result<ExitCode, Problem> {
    let config = Arc::new(config);
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::new());
    let admin = Admin::new(Arc::clone(&metrics));
    let doors = Doors::prepare(&config, Arc::clone(&metrics))?;
    let bus = notices::prepare(&config)?;
    let (ops, ops_address) = doors.open_ops(&admin).await?;

    let (broken, mut fatal) = mpsc::unbounded_channel();
    let started = tokio::select! {
        started = Core::start(&config, mode, &metrics, &admin, broken) => match fatal.try_recv() {
            Ok(reason) => return Err(Problem::store_failed(&reason)),
            Err(_none) => started?,
        },
        Some(reason) = fatal.recv() => return Err(Problem::store_failed(&reason)),
        () = signals.terminated() => return Ok(ExitCode::SUCCESS),
    };
    let (fronts, addresses) = doors.open(&started, ops_address).await?;
    admin.enter(Phase::Serving(started.parts()));
    let mut upkeep = upkeep::start(&started);
    if let Some(bus) = bus {
        upkeep.spawn(notices::listen(bus, Arc::clone(&started.engine), Arc::clone(&metrics)));
    }
    if let Err(error) = mem::let_go_of_code() {
        tracing::debug!(%error, "code that only the start needed stays in memory");
    }
    announce(&addresses)?;

    let ended = loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Stop => break Ok(ExitCode::SUCCESS),
                Told::Reload => doors.reload(&started, &config),
            },
            Some(reason) = fatal.recv() => break Err(Problem::store_failed(&reason)),
        }
    };
    tracing::info!("draining");
    admin.enter(Phase::Draining);
    doors.drain.cancel();
    tokio::select! {
        () = join(fronts) => {}
        () = signals.terminated() => tracing::warn!("told to stop again: open requests are cut off"),
    }
    upkeep.abort_all();
    started.finish().await;
    doors.ops_drain.cancel();
    join(vec![ops]).await;
    ended
}

async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a listener ended unexpectedly");
        }
    }
}

/// The signals a gateway listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).explain("PC-RUNTIME", "signals cannot be received", "");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits for the word to stop; a reload means nothing before or after serving.
    async fn terminated(&mut self) {
        while matches!(self.next().await, Told::Reload) {}
    }
}

/// What a signal says.
enum Told {
    Stop,
    Reload,
}

/// The listeners and what protects them.
struct Doors {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    events: Arc<dyn Events>,
    kmip_tls: Reloadable,
    kmip_https_tls: Option<Reloadable>,
    rest_tls: Option<Reloadable>,
    drain: CancellationToken,
    ops_drain: CancellationToken,
}

impl Doors {
    /// Reads the certificates; opens nothing.
    fn prepare(config: &Arc<Config>, metrics: Arc<Metrics>) -> Result<Self, Problem> {
        let Certificates { kmip: kmip_tls, kmip_https: kmip_https_tls, rest: rest_tls } = certificates(config)?;
        let doors = Self {
            config: Arc::clone(config),
            events: Arc::new(Counting(Arc::clone(&metrics))),
            metrics,
            kmip_tls,
            kmip_https_tls,
            rest_tls,
            drain: CancellationToken::new(),
            ops_drain: CancellationToken::new(),
        };
        doors.publish_expiry();
        Ok(doors)
    }

    async fn open_ops(&self, admin: &Arc<Admin>) -> Result<(JoinHandle<()>, SocketAddr), Problem> {
        let listener = self.bind("ops", self.config.ops.listen, Security::Plain, 256).await?;
        let address = listener.address();
        let router = admin.router();
        let handler = move |connection: Connection| serve_http(connection, router.clone(), HttpLimits::default());
        Ok((tokio::spawn(listener.serve(handler, self.ops_drain.clone(), Duration::from_millis(200))), address))
    }

    async fn open(&self, core: &Core, ops: SocketAddr) -> Result<(Vec<JoinHandle<()>>, Addresses), Problem> {
        let jobs = Arc::new(Runner::new(Arc::clone(&core.engine)));
        let clients = Enrolled::load(&core.config)?;
        let kmip_front = KmipFront::new(core, Arc::clone(&clients))?;
        let routes = fronts::rest(core, Arc::clone(&jobs))?;
        let kmip_limit = self.config.kmip.connections_max.size();
        let kmip = Security::Tls(self.kmip_tls.current());
        let kmip = self.bind("kmip", self.config.kmip.listen, kmip, kmip_limit).await?;
        let kmip_https = match (&self.kmip_https_tls, self.config.kmip.https_listen) {
            (Some(tls), Some(listen)) => {
                Some(self.bind("kmip-https", listen, Security::Tls(tls.current()), kmip_limit).await?)
            }
            _ => None,
        };
        let (rest, scheme) = match &self.rest_tls {
            Some(tls) => (Security::Tls(tls.current()), "https"),
            None => (Security::Plain, "http"),
        };
        let rest = self.bind("rest", self.config.rest.listen, rest, self.config.rest.connections_max.size()).await?;
        let addresses = Addresses {
            kmip: kmip.address().to_string(),
            kmip_https: kmip_https.as_ref().map(|it| format!("https://{}{}", it.address(), kmip::PATH)),
            rest: format!("{scheme}://{}", rest.address()),
            ops: format!("http://{ops}"),
        };
        let grace = self.config.limits.drain_seconds.seconds();
        let https_front = kmip_front.clone();
        let listeners = kmip_front.announce(&self.config, &self.drain)?;
        let kmip = kmip.serve(move |connection| kmip_front.clone().serve(connection), self.drain.clone(), grace);
        let kmip_https = kmip_https.map(|listener| {
            let handler = move |connection| https_front.clone().serve_https(connection);
            tokio::spawn(listener.serve(handler, self.drain.clone(), grace))
        });
        let request_timeout = Some(self.config.rest.request_seconds.seconds());
        let limits = HttpLimits { request_timeout, ..HttpLimits::default() };
        let rest =
            rest.serve(move |connection| serve_http(connection, routes.clone(), limits), self.drain.clone(), grace);
        let drain = self.drain.clone();
        let orders = async move {
            let late = async {
                drain.cancelled().await;
                sleep(grace).await;
            };
            tokio::select! {
                () = jobs.run(drain.clone()) => {}
                // A key pair may take longer; its order stays pending and is done after the next start.
                () = late => tracing::warn!("orders that still run are left to the next start"),
            }
        };
        let (watched, drain) = (clients.watch(Arc::clone(&core.config)), self.drain.clone());
        let watching = async move {
            tokio::select! {
                () = watched => {}
                () = drain.cancelled() => {}
            }
        };
        let mut tasks = vec![tokio::spawn(kmip), tokio::spawn(rest), tokio::spawn(orders), tokio::spawn(watching)];
        tasks.extend(listeners);
        tasks.extend(kmip_https);
        Ok((tasks, addresses))
    }

    async fn bind(
        &self,
        name: &'static str,
        address: SocketAddr,
        security: Security,
        connections_max: usize,
    ) -> Result<Listener, Problem> {
        let limits = Limits {
            connections_max,
            handshake_timeout: self.config.limits.handshake_seconds.seconds(),
            ..Limits::default()
        };
        Listener::bind(name, address, security, limits, Arc::clone(&self.events)).await.explain(
            "PC-LISTEN",
            format!("{name}.listen = {address}"),
            "stop the program that listens there, or choose another address; port 0 takes a free one",
        )
    }

    /// SIGHUP: certificates and rules are read again; what is wrong keeps the old ones.
    fn reload(&self, core: &Core, config: &Config) {
        let all = [Some(&self.kmip_tls), self.kmip_https_tls.as_ref(), self.rest_tls.as_ref()];
        for tls in all.into_iter().flatten() {
            match tls.reload() {
                Ok(()) => {
                    tracing::info!(subject = tls.summary().subject, "certificates were reloaded");
                    self.metrics.tls_reload("ok");
                }
                Err(error) => {
                    tracing::error!(code = error.code(), %error, "certificates are not reloaded, the old ones stay");
                    self.metrics.tls_reload("error");
                }
            }
        }
        self.publish_expiry();
        policy::reload(&core.engine, &self.metrics, config);
    }

    fn publish_expiry(&self) {
        self.metrics.tls_expiry("kmip", self.kmip_tls.summary().not_after);
        if let Some(tls) = &self.rest_tls {
            self.metrics.tls_expiry("rest", tls.summary().not_after);
        }
    }
}

/// What protects the listeners.
pub(super) struct Certificates {
    pub(super) kmip: Reloadable,
    /// The same certificates with the protocol names of HTTP.
    pub(super) kmip_https: Option<Reloadable>,
    pub(super) rest: Option<Reloadable>,
}

/// Reads the certificates of all listeners.
pub(super) fn certificates(config: &Config) -> Result<Certificates, Problem> {
    const HTTP: &[&str] = &["h2", "http/1.1"];
    let load_kmip = |alpn| {
        Reloadable::load(ServerFiles {
            certificate: config.kmip.certificate.clone(),
            key: config.kmip.key.clone(),
            client_ca: Some(config.kmip.client_ca.clone()),
            alpn,
        })
    };
    let kmip = load_kmip(&[])?;
    let kmip_https = config.kmip.https_listen.map(|_| load_kmip(HTTP)).transpose()?;
    let rest = match (&config.rest.certificate, &config.rest.key) {
        (Some(certificate), Some(key)) => Some(Reloadable::load(ServerFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: None,
            alpn: HTTP,
        })?),
        _ => None,
    };
    Ok(Certificates { kmip, kmip_https, rest })
}

/// Everything behind the listeners.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) config: Arc<Config>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) engine: Arc<Engine>,
    pub(super) memory: Arc<dyn Memory>,
    pub(super) pool: Arc<Pool>,
    pub(super) store: Arc<WatchedStore>,
    pub(super) trail: Arc<FileSink>,
    pub(super) signer: Signer,
    pub(super) marks: Arc<Marks>,
    /// What was older than the token knows, and was accepted.
    pub(super) accepted: Option<String>,
    pub(super) migrations: Arc<Migrations>,
    lag: Arc<Lag>,
}

impl Core {
    pub(super) async fn start(
        config: &Arc<Config>,
        mode: Mode,
        metrics: &Arc<Metrics>,
        admin: &Admin,
        broken: mpsc::UnboundedSender<String>,
    ) -> Result<Self, Problem> {
        let rules = policy::authorizer(config)?;
        let starting = |what: &str| admin.enter(Phase::Starting(what.to_owned()));

        starting("the store is opened");
        let path = config.store.path.clone();
        let free_bytes_min = config.store.free_mib_min.get().saturating_mul(1 << 20);
        let counted = Arc::clone(metrics);
        let observer: SyncObserver = Arc::new(move |_took, _commits| counted.synced("store"));
        let bytes_max = config.store.journal_mib_max.get().saturating_mul(1 << 20);
        let journal = Some(JournalOptions { bytes_max, ..JournalOptions::default() });
        let options = SledOptions { free_bytes_min, observer: Some(observer), journal, ..SledOptions::default() };
        let on_fatal = ends_when_it_fails(move |reason| drop(broken.send(reason.to_owned())));
        let raw = blocking(move || RawStore::open(&path, options, on_fatal)).await?.map_err(store_problem)?;

        starting("the tokens are reached");
        let counting = Arc::new(Counting(Arc::clone(metrics)));
        let memory: Arc<dyn Memory> = Arc::new(raw.clone());
        let (shared, observer) = (Arc::clone(config), Arc::clone(&counting) as Arc<dyn hsm::Observer>);
        let known = Arc::clone(&memory);
        let pool =
            Arc::new(blocking(move || tokens::connect(&shared, tokens::Groups::Formed, &known, &observer)).await??);
        let mut said = String::new();
        tokens::ready(&pool, |what| {
            if what != said {
                tracing::warn!("{what}; waiting for it");
                admin.enter(Phase::Starting(what.clone()));
                said = what;
            }
        })
        .await?;
        if mode == Mode::Serve {
            refusals::tokens(config, &pool.status())?;
        }

        starting("the store is unlocked");
        let trouble = |error: HsmError| {
            Problem::new(
                "PC-HSM-SYSTEM-KEY",
                format!("the gateway's own key: {error}"),
                "the token must let the gateway make keys",
            )
        };
        let secret = pool.system_secret(STORE_KEY).await.map_err(trouble)?;
        let unlocked = raw.clone();
        let known_tokens = dropped::Known::recall(config, &memory)?;
        let opened = blocking(move || unlocked.unlock(&secret)).await?;
        let repository =
            opened.map_err(|error| known_tokens.explains(config).unwrap_or_else(|| store_problem(error)))?;
        let store = Arc::new(WatchedStore::new(repository, raw, Arc::clone(metrics)));
        known_tokens.check(config, &*store).await?;

        starting("the audit trail is opened");
        let lag = Lag::new(Arc::clone(metrics));
        let (synced, counted) = (Arc::clone(&lag), Arc::clone(metrics));
        let options = AuditOptions {
            on_sync: Some(Arc::new(move |_took, records| {
                counted.synced("audit");
                synced.synced(records);
            })),
            ..AuditOptions::default()
        };
        let path = config.audit.path.clone();
        let trail = blocking(move || FileSink::open(&path, options, Arc::new(SystemClock))).await?;
        let trail = Arc::new(trail.explain("PC-AUDIT-OPEN", "the audit trail cannot be opened", "")?);
        let signer = signer(&pool, &config.audit.path).await?;
        let older = if mode == Mode::AcceptOlder { Older::Accepted } else { Older::Refused };
        let (marks, accepted) = Marks::start(&pool, &store, &trail, metrics, older).await?;
        let marks = Arc::new(marks);

        starting("what a crash left is settled");
        let ordered = migration::recall(&memory, &pool)?;
        let ports = Arc::new(Ports {
            hsm: Arc::clone(&pool) as Arc<dyn Hsm>,
            store: Arc::clone(&store) as Arc<dyn MetadataStore>,
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance::new()),
            settings: settings(config, &pool, secret_stores(config, &memory)?),
            uses: Arc::default(),
        });
        let counted = Arc::new(CountedTrail::new(Arc::clone(&trail), Arc::clone(&lag)));
        let strict = config.audit.durability == Durability::Strict;
        let engine = Arc::new(Engine::new(ports, counted, rules, counting, strict));
        let repaired = reconcile(engine.ports(), engine.audit(), Duration::ZERO).await;
        let repaired =
            repaired.explain("PC-RECONCILE", "what a crash left cannot be settled", "look after the store's disk")?;
        if repaired != Default::default() {
            tracing::warn!(?repaired, "what an unclean stop had left was settled");
        }
        let preparing = Arc::clone(&pool);
        blocking(move || preparing.prepare()).await?;
        let (config, metrics) = (Arc::clone(config), Arc::clone(metrics));
        let migrations =
            Migrations::new(Arc::clone(&engine), Arc::clone(&pool), Arc::clone(&memory), Arc::clone(&metrics), ordered);
        Ok(Self { config, metrics, engine, memory, pool, store, trail, signer, marks, accepted, migrations, lag })
    }

    /// What readiness and metrics ask.
    fn parts(&self) -> Arc<Parts> {
        let (pool, trail, lag) = (Arc::clone(&self.pool), Arc::clone(&self.trail), Arc::clone(&self.lag));
        let store = Arc::clone(&self.store);
        let (measured, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        Arc::new(Parts {
            tokens: Box::new(move || pool.status()),
            checks: vec![
                ("store", Arc::new(move || store.health())),
                ("audit", Arc::new(move || trail.health().map_err(|error| error.to_string()))),
            ],
            refresh: Box::new(move || {
                lag.publish();
                super::space::measure(&measured, &metrics);
            }),
        })
    }

    /// The last acts, within what is left of the time.
    pub(super) async fn finish(&self) {
        if let Err(error) = Uses::settle(self.engine.ports()).await {
            tracing::warn!(%error, "the latest uses of keys are not counted");
        }
        let last = async {
            let line = self.trail.checkpoint(&self.signer).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the audit trail's head is not signed");
                None
            });
            self.marks.advance(line).await;
        };
        if timeout(LAST_CHECKPOINT, last).await.is_err() {
            tracing::warn!("the audit trail's head is not signed, or not noted: the token did not answer in time");
        }
        let pool = Arc::clone(&self.pool);
        if timeout(LEAVE_TOKENS, tokio::task::spawn_blocking(move || pool.close())).await.is_err() {
            tracing::warn!("the tokens did not let go in time");
        }
    }
}

/// Signs the head of the trail with the token's key, whose public half is written beside the trail.
async fn signer(pool: &Arc<Pool>, folder: &Path) -> Result<Signer, Problem> {
    let key = pool.system_signer(AUDIT_KEY).await;
    let key = key.explain("PC-HSM-SYSTEM-KEY", "the audit trail's key", "the token must let the gateway make keys")?;
    let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, key.public_key());
    let pem = pem.explain("PC-HSM-SYSTEM-KEY", "the audit trail's public key", "")?;
    let path = folder.join("audit.pub");
    if fs::read(&path).ok().as_deref() != Some(pem.as_bytes()) {
        tls::write_private(&path, pem.as_bytes()).explain(
            "PC-AUDIT-OPEN",
            path.display(),
            "make the folder writable",
        )?;
    }
    let key = Arc::new(key);
    Ok(Arc::new(move |message| -> Answer<'static, _> {
        let key = Arc::clone(&key);
        Box::pin(async move { key.sign(message, SIGN_LIMIT).await.map_err(|error| error.to_string()) })
    }))
}

/// Each token as something that projects may choose; none where they may not. When a token was first seen is remembered.
fn secret_stores(config: &Config, memory: &Arc<dyn Memory>) -> Result<Vec<SecretStore>, Problem> {
    let chosen = &config.rest.secret_stores;
    if !chosen.enabled {
        return Ok(Vec::new());
    }
    let places = config.places();
    let default = chosen.default.as_deref().or_else(|| places.first().copied());
    let mut stores = Vec::new();
    for name in places {
        let fact = format!("secret-store.{name}");
        let seen = memory.recall(&fact).map_err(store_problem)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        let created = match seen {
            Some(micros) => Timestamp::from_micros(i64::from_be_bytes(micros)),
            None => {
                let now = SystemClock.now();
                memory.remember(&fact, &now.micros().to_be_bytes()).map_err(store_problem)?;
                now
            }
        };
        // The same for every start and every node.
        let digest = hash::sha256_of(&[b"secret store ", name.as_bytes()]);
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        stores.push(SecretStore {
            identifier: UniqueIdentifier::from_random(id),
            token: TokenId(name.to_owned()),
            name: name.to_owned(),
            is_default: default == Some(name),
            created,
        });
    }
    Ok(stores)
}

fn settings(config: &Config, pool: &Pool, stores: Vec<SecretStore>) -> Settings {
    let limit = |most: Option<Within<0, 1_000_000_000_000>>| most.and_then(|most| i64::try_from(most.get()).ok());
    let quotas = &config.rest.quotas;
    let limits = &config.limits;
    Settings {
        hsm_limit: limits.hsm_seconds.seconds(),
        keygen_limit: limits.keygen_seconds.seconds(),
        walk_max: limits.walk_records_max.size(),
        strict_wrapping: config.kmip.wrapping == Wrapping::Strict,
        lease_seconds: limits.lease_seconds.small(),
        random_bytes_max: limits.random_bytes_max.small(),
        simulated_hsm: pool.status().iter().any(|token| token.software),
        certificate_issuer: config.kmip.certificate_issuer.clone().unwrap_or_else(|| ISSUER.to_owned()),
        certificate_days: config.kmip.certificate_days.small(),
        generator: config.kmip.rng.parameters(),
        quotas: Quotas {
            secrets: limit(quotas.secrets),
            orders: limit(quotas.orders),
            containers: limit(quotas.containers),
            consumers: limit(quotas.consumers),
            cas: None,
        },
        stores,
        hide_foreign: config.rest.hide_foreign,
        software_fallback: SoftwareFallback {
            hash: config.software_fallback.hash,
            pbkdf2: config.software_fallback.pbkdf2,
            hkdf: config.software_fallback.hkdf,
            aws_signature: config.software_fallback.aws_signature,
        },
        rates: Rates {
            client: limits.client_requests_per_second.map(Within::small),
            project: limits.project_requests_per_second.map(Within::small),
        },
    }
}

pub(super) fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Corrupt(what) => Problem::new(
            "PC-STORE-DAMAGED",
            format!("the store does not fit the token, or is damaged: {what}"),
            "give the token that this store was made with, or restore the store",
        ),
        StoreError::Journal(_) => Problem::new(
            "PC-STORE-JOURNAL",
            error,
            "put back what belongs to it, or restore the latest backup; where the store is known to be right, say `portcullis store begin-journal`, start, and make a backup at once",
        ),
        error => Problem::new("PC-STORE-OPEN", error, ""),
    }
}

/// Runs blocking work of the start; never on a request's path.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.explain("PC-RUNTIME", "a step of the start ended unexpectedly", "")
}
