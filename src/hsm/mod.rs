//! The session pool: keys and random bytes behind PKCS#11, for the engine.
//!
//! [`Pool`] implements the engine's port over several tokens. Each token has a keeper thread that reaches, watches and regains
//! it, and worker threads that own one session each; a request is one hop to a worker and back. Handles never leave this
//! folder: an object is named by its token and `CKA_ID`. Which project's object goes where is the engine's business, all but
//! the choice among tokens that are ready.

mod capability;
mod derive;
mod error;
mod health;
mod layout;
mod make;
mod mechanism;
mod module;
mod operate;
mod pool;
mod quirks;
mod raw;
mod request;
mod system;
mod template;
mod token;
mod transfer;
mod work;
mod worker;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::timeout;

pub use self::{error::ConnectError, token::serial_fact};
use self::{
    error::refused,
    health::Keeper,
    module::Module,
    pool::{Pending, Shared},
    token::Trouble,
    work::Work,
};
use crate::{
    domain::{ObjectType, ProjectId, SecretValue, TokenId},
    engine::ports::{Answer, Hsm, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Memory, TokenStatus},
};

/// Reads the PIN anew each time it is needed; the text of an error is shown to operators.
pub type PinSource = Arc<dyn Fn() -> Result<SecretValue, String> + Send + Sync>;

/// How one token is reached and used: `[hsm.<name>]`.
#[derive(Clone)]
pub struct Config {
    /// The configured name.
    pub name: String,
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// A text that the module wants in `pReserved`.
    pub reserved: Option<String>,
    /// The token's serial number; the surest way to name it.
    pub token_serial: Option<String>,
    /// The token's label.
    pub token_label: Option<String>,
    /// The slot; used only when neither serial nor label is given, because slots change.
    pub slot_id: Option<u64>,
    /// Where the user PIN comes from.
    pub pin: PinSource,
    /// The operator's word that a PIN refused before, or a last try, may be tried: once.
    pub retry_refused_pin: bool,
    /// Worker sessions at most; the module's usual number when absent.
    pub workers: Option<usize>,
    /// Requests that may wait.
    pub queue: usize,
    /// A call that takes longer counts as stuck; making keys may take ten times as long.
    pub call_limit: Duration,
    /// How often an idle token is probed.
    pub probe_interval: Duration,
    /// Longest value held as a generic secret, in bytes; longer ones become data objects.
    pub generic_secret_bytes_max: u32,
}

impl Config {
    /// A token by its label, with the defaults for everything else.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        module: impl Into<PathBuf>,
        token_label: impl Into<String>,
        pin: PinSource,
    ) -> Self {
        Self {
            name: name.into(),
            module: module.into(),
            reserved: None,
            token_serial: None,
            token_label: Some(token_label.into()),
            slot_id: None,
            pin,
            retry_refused_pin: false,
            workers: None,
            queue: 256,
            call_limit: Duration::from_secs(30),
            probe_interval: Duration::from_secs(10),
            generic_secret_bytes_max: 4096,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("module", &self.module)
            .field("token_serial", &self.token_serial)
            .field("token_label", &self.token_label)
            .field("slot_id", &self.slot_id)
            .finish_non_exhaustive()
    }
}

/// Who counts the calls. Both methods run on the caller's path: they must not block.
pub trait Observer: Send + Sync {
    /// A PKCS#11 function has answered.
    fn called(&self, token: &TokenId, function: &'static str, rv: u64, took: Duration);
    /// A request has waited in the queue.
    fn waited(&self, token: &TokenId, waited: Duration);
}

/// An observer that counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn called(&self, _token: &TokenId, _function: &'static str, _rv: u64, _took: Duration) {}
    fn waited(&self, _token: &TokenId, _waited: Duration) {}
}

/// How long a start waits for the first outcome of every token.
const FIRST_OUTCOME: Duration = Duration::from_secs(20);

/// The tokens of this gateway.
pub struct Pool {
    tokens: Vec<Arc<Shared>>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Loads the modules and reaches for the tokens; blocks until each was reached or not, twenty seconds at most. A token that
    /// is away, or whose PIN is refused, is no error: its status says so, and its keeper goes on.
    ///
    /// # Errors
    ///
    /// What waiting cannot mend: a file that is no PKCS#11 module, a configuration that fits several tokens, a name used twice,
    /// no token at all.
    pub fn connect(
        configs: Vec<Config>,
        memory: &Arc<dyn Memory>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, ConnectError> {
        let refuse = |token: &str, reason: String| ConnectError { token: token.to_owned(), reason };
        if configs.is_empty() {
            return Err(refuse("", "no token is configured; add a [hsm.<name>] table".to_owned()));
        }
        // Found ready by the first value that leaves a token; should no thread be had, that one waits for it.
        if let Err(error) = thread::Builder::new().name("hsm-transport".to_owned()).spawn(transfer::prepare) {
            tracing::warn!(%error, "no thread prepares the transport pair");
        }
        let pool = Self { tokens: Vec::new(), keepers: Mutex::new(Vec::new()) };
        configs
            .into_iter()
            .try_fold((pool, Vec::new()), |(mut pool, mut outcomes), config| {
                let name = config.name.clone();
                if pool.tokens.iter().any(|token| token.config.name == name) {
                    return Err(refuse(&name, "the name is used twice".to_owned()));
                }
                if config.token_serial.is_none() && config.token_label.is_none() && config.slot_id.is_none() {
                    let reason = "none of token_serial, token_label and slot_id is given; name the token by its serial";
                    return Err(refuse(&name, reason.to_owned()));
                }
                if config.token_serial.is_none() && config.token_label.is_none() {
                    tracing::warn!(token = name, "the token is named by its slot, which changes; use token_serial");
                }
                let module =
                    Module::load(&config.module, config.reserved.as_deref()).map_err(|why| refuse(&name, why))?;
                let (shared, woken) = Shared::new(config, module, Arc::clone(memory), Arc::clone(observer));
                let (first, outcome) = flume::bounded(1);
                let keeper = Keeper::new(Arc::clone(&shared), woken);
                let thread = thread::Builder::new()
                    .name(format!("hsm-{name}"))
                    .spawn(move || keeper.run(&first))
                    .map_err(|error| refuse(&name, format!("no thread could be started: {error}")))?;
                pool.tokens.push(shared);
                pool.keepers.lock().push(thread);
                outcomes.push(outcome);
                Ok((pool, outcomes))
            })
            .and_then(|(pool, outcomes)| {
                let until = Instant::now() + FIRST_OUTCOME;
                for (token, outcome) in pool.tokens.iter().zip(outcomes) {
                    match outcome.recv_deadline(until) {
                        Ok(Err(Trouble::Ambiguous(reason))) => return Err(refuse(&token.config.name, reason)),
                        Ok(Err(trouble)) => {
                            tracing::warn!(token = %token.id, reason = trouble.reason(), "the token is not ready");
                        }
                        Ok(Ok(())) => {}
                        Err(_still_trying) => tracing::warn!(token = %token.id, "the token has not answered yet"),
                    }
                }
                Ok(pool)
            })
    }

    /// Waits until the pair is there under which values leave the tokens. A request has a limit, and on a slow machine the first
    /// ones would spend it on this.
    pub fn prepare(&self) {
        transfer::prepare();
    }

    /// A secret that only this token can compute again, for the gateway's own use: HMAC-SHA-256 of the purpose under the
    /// non-extractable key `portcullis-system:<purpose>`, which is made when it is wanted for the first time. It comes from the
    /// first configured token.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`]; `Internal` when two such keys stand on the token.
    pub async fn system_secret(&self, purpose: &'static str) -> Result<SecretValue, HsmError> {
        match self.run(self.first()?, Work::SystemSecret(purpose), SYSTEM_LIMIT).await? {
            HsmAnswer::Value(secret) => Ok(secret),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }

    /// An ECDSA P-256 key pair of the first configured token for the gateway's own signatures,
    /// `portcullis-system:<purpose>`, made when it is wanted for the first time.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn system_signer(self: &Arc<Self>, purpose: &'static str) -> Result<SystemSigner, HsmError> {
        match self.run(self.first()?, Work::SystemSigner(purpose), SYSTEM_LIMIT).await? {
            HsmAnswer::Bytes(public_key) => Ok(SystemSigner { pool: Arc::clone(self), purpose, public_key }),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }

    /// Ends all threads, closes the sessions and finalises modules nobody else uses; calls that hang are left to themselves.
    pub fn close(&self) {
        self.tokens.iter().for_each(|token| token.stop());
        for thread in self.keepers.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("the keeper of a token panicked");
            }
        }
    }

    fn first(&self) -> Result<&Arc<Shared>, HsmError> {
        self.tokens.first().ok_or_else(|| refused(HsmErrorKind::Unavailable, "token"))
    }

    fn ready(&self) -> Result<&Arc<Shared>, HsmError> {
        self.tokens
            .iter()
            .find(|token| token.link.load().is_some())
            .ok_or_else(|| refused(HsmErrorKind::Unavailable, "link"))
    }

    fn token(&self, request: &HsmRequest) -> Result<&Arc<Shared>, HsmError> {
        let id = match request {
            HsmRequest::GenerateKey { at, .. }
            | HsmRequest::ImportKey { at, .. }
            | HsmRequest::HoldBytes { at, .. }
            | HsmRequest::Destroy { at }
            | HsmRequest::Find { at } => &at.token,
            HsmRequest::GenerateKeyPair { private, public, .. } => {
                if private.token != public.token {
                    return Err(refused(HsmErrorKind::BadParameters, "halves on two tokens"));
                }
                &private.token
            }
            HsmRequest::RevealKey { reference }
            | HsmRequest::RevealBytes { reference }
            | HsmRequest::Digest { reference, .. } => &reference.token,
            HsmRequest::WrapKey { wrapping, target, .. } => {
                if wrapping.token != target.token {
                    return Err(refused(HsmErrorKind::BadParameters, "keys on two tokens"));
                }
                &wrapping.token
            }
            HsmRequest::WrapBytes { wrapping: key, .. }
            | HsmRequest::UnwrapBytes { wrapping: key, .. }
            | HsmRequest::Encrypt { key, .. }
            | HsmRequest::Decrypt { key, .. }
            | HsmRequest::Sign { key, .. }
            | HsmRequest::Verify { key, .. }
            | HsmRequest::Mac { key, .. }
            | HsmRequest::Derive { key, .. }
            | HsmRequest::MakeTwin { of: key, .. } => &key.token,
            HsmRequest::Random { token: Some(token), .. } => token,
            // One issuer, however many tokens there are.
            HsmRequest::CertifierKey | HsmRequest::CertifierSign { .. } => return self.first(),
            HsmRequest::Random { token: None, .. } | HsmRequest::SeedRandom { .. } => return self.ready(),
        };
        self.tokens
            .iter()
            .find(|token| token.id == *id)
            .ok_or_else(|| refused(HsmErrorKind::Unavailable, "a token that is not configured"))
    }

    async fn run(&self, token: &Shared, work: Work, limit: Duration) -> Result<HsmAnswer, HsmError> {
        let Pending { answer, started } = token.submit(work, limit)?;
        match timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_dropped)) => Err(refused(HsmErrorKind::Unavailable, "worker")),
            Err(_elapsed) if started.load(Ordering::Acquire) => Err(refused(HsmErrorKind::Unavailable, "call limit")),
            Err(_elapsed) => Err(refused(HsmErrorKind::Busy, "deadline")),
        }
    }
}

/// For the gateway's own keys: making a pair may take a while.
const SYSTEM_LIMIT: Duration = Duration::from_secs(120);

/// How long a pool that is dropped without [`Pool::close`] waits for its threads.
const LEAVE: Duration = Duration::from_secs(6);

impl Drop for Pool {
    /// Waits for the threads, because what often follows is the end of the process: that runs the destructors of the modules,
    /// and a thread that is still inside one then ends the process by a signal.
    fn drop(&mut self) {
        self.tokens.iter().for_each(|token| token.stop());
        let until = Instant::now() + LEAVE;
        let keepers = self.keepers.get_mut();
        while keepers.iter().any(|thread| !thread.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tokens.iter().map(|token| &token.config)).finish()
    }
}

impl Hsm for Pool {
    fn place(&self, _project: &ProjectId, _object_type: ObjectType) -> Result<TokenId, HsmError> {
        self.ready().map(|token| token.id.clone())
    }

    fn place_on(&self, id: &TokenId) -> Result<TokenId, HsmError> {
        let token = self.tokens.iter().find(|token| token.id == *id);
        let token = token.ok_or_else(|| refused(HsmErrorKind::Unavailable, "a token that is not configured"))?;
        match token.health.lock().state {
            "ready" | "degraded" => Ok(token.id.clone()),
            _ => Err(refused(HsmErrorKind::Unavailable, "the token that was asked for")),
        }
    }

    fn call(&self, request: HsmRequest, limit: Duration) -> Answer<'_, Result<HsmAnswer, HsmError>> {
        Box::pin(async move {
            let token = self.token(&request)?;
            self.run(token, Work::Engine(Box::new(request)), limit).await
        })
    }

    fn status(&self) -> Vec<TokenStatus> {
        self.tokens.iter().map(|token| status(token)).collect()
    }
}

fn status(token: &Shared) -> TokenStatus {
    let link = token.link.load_full();
    let info = link.as_ref().map(|link| &link.info);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let health = token.health.lock();
    TokenStatus {
        token: token.id.clone(),
        health: health.state,
        reason: health.reason.clone(),
        label: info.map(|info| text(&info.label)).unwrap_or_default(),
        serial: info.map(|info| text(&info.serial)).unwrap_or_default(),
        manufacturer: info.map(|info| info.manufacturer.clone()).unwrap_or_default(),
        model: info.map(|info| info.model.clone()).unwrap_or_default(),
        firmware: info.map(|info| info.firmware.clone()).unwrap_or_default(),
        module: token.module.path().display().to_string(),
        sessions: token.sessions.load(Ordering::Relaxed),
        queued: token.queued(),
        generation: token.generation.load(Ordering::Relaxed),
        generic_secret_bytes_max: token.config.generic_secret_bytes_max,
        simulated: link.as_ref().is_some_and(|link| link.quirk.simulated),
        software: link.is_some_and(|link| link.quirk.software),
    }
}

/// The gateway's own signing key.
#[derive(Debug)]
pub struct SystemSigner {
    pool: Arc<Pool>,
    purpose: &'static str,
    public_key: Vec<u8>,
}

impl SystemSigner {
    /// The public half as SubjectPublicKeyInfo DER.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Signs `data` by ECDSA with SHA-256; the signature is DER.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn sign(&self, data: Vec<u8>, limit: Duration) -> Result<Vec<u8>, HsmError> {
        let work = Work::SystemSign(self.purpose, data);
        match self.pool.run(self.pool.first()?, work, limit).await? {
            HsmAnswer::Bytes(signature) => Ok(signature),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }
}
