//! The session pool: keys and random bytes behind PKCS#11, for the engine.
//!
//! [`Pool`] implements the engine's port over several tokens. Each token has a keeper thread that reaches, watches and regains
//! it, and worker threads that own one session each; a request is one hop to a worker and back. Handles never leave this
//! folder: an object is named by its place, a token or a [replicated group](group), and its `CKA_ID`.

pub mod adopt;
mod canary;
mod capability;
mod compose;
mod copy;
mod crew;
mod derive;
mod error;
pub mod group;
mod health;
mod home;
mod layout;
mod make;
mod mechanism;
mod module;
mod moves;
mod operate;
mod pool;
pub mod probe;
mod process;
pub mod provision;
mod queue;
mod quirks;
mod raw;
mod request;
mod signed;
mod system;
mod template;
mod token;
mod transfer;
mod work;
mod worker;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub use self::{error::ConnectError, moves::Route, process::serve as serve_module, token::serial_fact};
use self::{
    error::refused,
    group::Mirror,
    health::Keeper,
    home::Home,
    module::Start,
    moves::Moves,
    pool::{Errand, Shared},
    token::Trouble,
    work::{Making, Tray, Work},
};
use crate::{
    domain::{ObjectType, ProjectId, SecretValue, TokenId, reference::CkaId},
    engine::ports::{
        Answer, Hsm, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Lane, Memory, Placement, Terms, TokenStatus,
    },
};

/// Reads the PIN anew each time it is needed; the text of an error is shown to operators.
pub type PinSource = Arc<dyn Fn() -> Result<SecretValue, String> + Send + Sync>;

/// The program that a module's process runs: this gateway's own, with a command that calls [`serve_module`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is added to the environment, for the vendor's library.
    pub environment: BTreeMap<String, String>,
}

/// Where a module runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// On threads of this process: a crash of the module is a crash of the gateway.
    Thread,
    /// In a process of its own, which is started again when it ends.
    Process(Program),
}

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
    /// What was measured before; believed for tokens of its make only.
    pub profile: Option<probe::Profile>,
    /// Where the module runs. Tokens of one module with the same settings share its process.
    pub isolation: Isolation,
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
            profile: None,
            isolation: Isolation::Thread,
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
    /// The process of the token's module was started again, after it `crashed`, `hung`, was `garbled` or `renewed`.
    fn restarted(&self, _token: &TokenId, _after: &'static str) {}
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

/// The tokens of this gateway, and their groups.
pub struct Pool {
    tokens: Vec<Arc<Shared>>,
    groups: Vec<Group>,
    moves: Moves,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

/// A configured group and what serves it.
struct Group {
    config: group::Config,
    kind: GroupKind,
}

enum GroupKind {
    /// New objects go to one of these.
    Spread(Vec<Arc<Shared>>),
    /// Every object is on each.
    Mirror(Arc<Mirror>),
}

/// What a reference names.
#[derive(Clone, Copy)]
enum Place<'a> {
    Token(&'a Arc<Shared>),
    Mirror(&'a Arc<Mirror>),
}

impl Place<'_> {
    /// The name that new references bear.
    fn id(&self) -> &TokenId {
        match self {
            Self::Token(token) => &token.id,
            Self::Mirror(mirror) => &mirror.id,
        }
    }

    fn takes_objects(&self) -> bool {
        match self {
            Self::Token(token) => token.takes_objects(),
            Self::Mirror(mirror) => mirror.takes_objects(),
        }
    }
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
        Self::connect_groups(configs, Vec::new(), memory, observer)
    }

    /// As [`Self::connect`], with groups of these tokens.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`]; and a group of tokens that are not there, or that are in two groups.
    pub fn connect_groups(
        configs: Vec<Config>,
        groups: Vec<group::Config>,
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
        let pool =
            Self { tokens: Vec::new(), groups: Vec::new(), moves: Moves::default(), keepers: Mutex::new(Vec::new()) };
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
                // A token of a replicated group may be away altogether: the others serve.
                let replicated = |group: &group::Config| group.replicated && group.tokens.contains(&name);
                let must = if groups.iter().any(replicated) { Start::MayFail } else { Start::Must };
                let module = Home::load(&config, must).map_err(|why| refuse(&name, why))?;
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
            .and_then(|(mut pool, outcomes)| {
                pool.form(groups, memory)?;
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

    /// A secret that only these tokens can compute again, for the gateway's own use: HMAC-SHA-256 of the purpose under the key
    /// `portcullis-system:<purpose>`, which is made when it is wanted for the first time. It comes from the first configured
    /// token, or its replicated group, and leaves it only for the other tokens of that group.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`]; `Internal` when two such keys stand on the token.
    pub async fn system_secret(&self, purpose: &'static str) -> Result<SecretValue, HsmError> {
        match self.own(purpose, |making| Work::SystemSecret(purpose, making)).await? {
            HsmAnswer::Value(secret) => Ok(secret),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }

    /// The same where one of the tokens has the key, whatever their groups: nothing is made, and nothing is copied.
    ///
    /// # Errors
    ///
    /// The first token's: `ObjectMissing`; as [`Hsm::call`].
    pub async fn system_secret_again(&self, purpose: &'static str) -> Result<SecretValue, HsmError> {
        let mut first_error = None;
        for token in &self.tokens {
            let work = Work::SystemSecret(purpose, Making::Never);
            match token.ask(work, Errand::of_gateway(SYSTEM_LIMIT)).await {
                Ok(HsmAnswer::Value(secret)) => return Ok(secret),
                Ok(_) => return Err(refused(HsmErrorKind::Internal, "answer")),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| refused(HsmErrorKind::Unavailable, "token")))
    }

    /// The gateway's own notes of a name on every token that answers, whatever their groups.
    pub async fn notes_anywhere(&self, name: &str) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for token in &self.tokens {
            let tray: Tray<Vec<u8>> = Arc::default();
            let work = Work::Notes(name.to_owned(), Arc::clone(&tray));
            match token.ask(work, Errand::of_gateway(SYSTEM_LIMIT)).await {
                Ok(_) => found.append(&mut tray.lock()),
                Err(error) => tracing::warn!(token = %token.id, %error, "the token's notes are not known"),
            }
        }
        found
    }

    /// The gateway's own notes of a name on the first configured token, or on all of its replicated group that serve.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn notes(&self, name: &str) -> Result<Vec<Vec<u8>>, HsmError> {
        let tray: Tray<Vec<u8>> = Arc::default();
        let errand = Errand::of_gateway(SYSTEM_LIMIT);
        match self.first()? {
            Place::Token(token) => {
                token.ask(Work::Notes(name.to_owned(), Arc::clone(&tray)), errand).await?;
                Ok(std::mem::take(&mut *tray.lock()))
            }
            Place::Mirror(mirror) => mirror.notes(name, errand).await,
        }
    }

    /// Puts a note in the place of those of that name, on the first configured token, or on all of its replicated group that
    /// serve. At most a few hundred bytes, and no secret.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`]; for a group, when no token took it.
    pub async fn note(&self, name: &str, text: &[u8]) -> Result<(), HsmError> {
        let errand = Errand::of_gateway(SYSTEM_LIMIT);
        match self.first()? {
            Place::Token(token) => token.ask(Work::Note(name.to_owned(), text.to_vec()), errand).await.map(drop),
            Place::Mirror(mirror) => mirror.note(name, text, errand).await,
        }
    }

    /// An ECDSA P-256 key pair of the first configured token, or its replicated group, for the gateway's own signatures,
    /// `portcullis-system:<purpose>`, made when it is wanted for the first time.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn system_signer(self: &Arc<Self>, purpose: &'static str) -> Result<SystemSigner, HsmError> {
        match self.own(purpose, |making| Work::SystemSigner(purpose, making)).await? {
            HsmAnswer::Bytes(public_key) => Ok(SystemSigner { pool: Arc::clone(self), purpose, public_key }),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }

    /// One of the gateway's own keys, made when it is wanted for the first time.
    async fn own(&self, purpose: &'static str, work: impl Fn(Making) -> Work) -> Result<HsmAnswer, HsmError> {
        match self.first()? {
            Place::Token(token) => token.ask(work(Making::IfMissing), Errand::of_gateway(SYSTEM_LIMIT)).await,
            Place::Mirror(mirror) => mirror.own(purpose, work, Errand::of_gateway(SYSTEM_LIMIT)).await,
        }
    }

    /// Forms the groups.
    fn form(&mut self, groups: Vec<group::Config>, memory: &Arc<dyn Memory>) -> Result<(), ConnectError> {
        for config in groups {
            let refuse = |reason: String| ConnectError { token: config.name.clone(), reason };
            if self.tokens.iter().any(|token| token.id.0 == config.name) {
                return Err(refuse("a token and a group have this name".to_owned()));
            }
            let mut tokens = Vec::with_capacity(config.tokens.len());
            for name in &config.tokens {
                let token = self.tokens.iter().find(|token| token.id.0 == *name);
                let token = token.ok_or_else(|| refuse(format!("there is no token [hsm.{name}]")))?;
                if token.grouped.set(TokenId(config.name.clone())).is_err() {
                    return Err(refuse(format!("the token [hsm.{name}] is in two groups")));
                }
                tokens.push(Arc::clone(token));
            }
            let kind = if config.replicated {
                tokens.iter().for_each(|token| token.replicated.store(true, Ordering::Relaxed));
                let id = TokenId(config.name.clone());
                let mirror = Mirror::new(id, tokens, config.min_replicas.max(1), memory);
                let mirror = Arc::new(mirror.map_err(|error| refuse(format!("what its tokens owe: {error}")))?);
                let minder = group::start(&mirror);
                let minder = minder.map_err(|error| refuse(format!("no thread could be started: {error}")))?;
                self.keepers.lock().push(minder);
                GroupKind::Mirror(mirror)
            } else {
                GroupKind::Spread(tokens)
            };
            self.groups.push(Group { config, kind });
        }
        Ok(())
    }

    /// The replicated group of that name, or of a token of that name.
    fn mirror(&self, name: &TokenId) -> Option<&Arc<Mirror>> {
        match self.place_named(name) {
            Ok(Place::Mirror(mirror)) => Some(mirror),
            _ => None,
        }
    }

    /// Takes a token out of its replicated group: nothing goes to it, and what it misses is owed.
    ///
    /// # Errors
    ///
    /// What is wrong with the name, or that the group cannot spare it.
    pub async fn drain(&self, token: &TokenId) -> Result<(), String> {
        self.mirror(token).ok_or_else(|| no_member(token))?.drain(token).await
    }

    /// Lets a token that was drained or fenced serve again, once it has been made equal to the others.
    ///
    /// # Errors
    ///
    /// What is wrong with the name.
    pub async fn join(&self, token: &TokenId) -> Result<(), String> {
        self.mirror(token).ok_or_else(|| no_member(token))?.readmit(token).await
    }

    /// Compares a token with another one of its group, and enters what it lacks: how many objects. They are copied in the
    /// background.
    ///
    /// # Errors
    ///
    /// What is wrong with the name, or that there is no other token to compare with.
    pub async fn resync(&self, token: &TokenId) -> Result<usize, String> {
        self.mirror(token).ok_or_else(|| no_member(token))?.resync(token).await
    }

    /// The names that references to what stands on a token bear: its own, and its group's.
    ///
    /// # Errors
    ///
    /// `Unavailable` when there is no such token.
    pub fn names_of(&self, token: &TokenId) -> Result<Vec<TokenId>, HsmError> {
        let token = self.token(token)?;
        let mut names = vec![token.id.clone()];
        if let Place::Mirror(mirror) = self.around(token) {
            names.push(mirror.id.clone());
        }
        Ok(names)
    }

    /// The names of everything that this gateway has put on a token, its own keys apart.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn holdings(&self, token: &TokenId) -> Result<Vec<CkaId>, HsmError> {
        let tray: Tray<(CkaId, bool)> = Arc::default();
        let limit = Errand::of_gateway(SYSTEM_LIMIT.saturating_mul(10));
        self.token(token)?.ask(Work::Inventory(Arc::clone(&tray)), limit).await?;
        let holdings = std::mem::take(&mut *tray.lock());
        Ok(holdings.into_iter().filter(|(_, own)| !own).map(|(id, _)| id).collect())
    }

    /// The keys of a name on a token, by their own word.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`]; `Unsupported` for a key of a kind that the gateway has no use for.
    pub async fn foreign(
        &self,
        token: &TokenId,
        by: adopt::By,
        class: Option<adopt::KeyClass>,
    ) -> Result<Vec<adopt::Foreign>, HsmError> {
        let tray: Tray<adopt::Foreign> = Arc::default();
        let work = Work::Describe(by, class, Arc::clone(&tray));
        self.token(token)?.ask(work, Errand::of_gateway(SYSTEM_LIMIT)).await?;
        let found = std::mem::take(&mut *tray.lock());
        Ok(found)
    }

    /// Gives a key the name of an identifier.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`]; `ObjectMissing` when it is not what it was.
    pub async fn rename(&self, token: &TokenId, foreign: adopt::Foreign, to: CkaId) -> Result<(), HsmError> {
        let work = Work::Rename(Box::new(foreign), to);
        self.token(token)?.ask(work, Errand::of_gateway(SYSTEM_LIMIT)).await.map(drop)
    }

    /// Gives a key its old name back.
    ///
    /// # Errors
    ///
    /// As [`Self::rename`].
    pub async fn give_back(&self, token: &TokenId, foreign: adopt::Foreign, from: CkaId) -> Result<(), HsmError> {
        let work = Work::GiveBack(Box::new(foreign), from);
        self.token(token)?.ask(work, Errand::of_gateway(SYSTEM_LIMIT)).await.map(drop)
    }

    /// Tries out what a token can do, on sessions of their own; objects that stand on it are not touched.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn probe(&self, token: &TokenId) -> Result<probe::Report, HsmError> {
        let tray: Tray<probe::Report> = Arc::default();
        let limit = Errand::of_gateway(SYSTEM_LIMIT.saturating_mul(10));
        self.token(token)?.ask(Work::Probe(Arc::clone(&tray)), limit).await?;
        let report = tray.lock().pop();
        report.ok_or_else(|| refused(HsmErrorKind::Internal, "report"))
    }

    /// Whether anything of this name stands on a token.
    ///
    /// # Errors
    ///
    /// As [`Hsm::call`].
    pub async fn stands(&self, token: &TokenId, id: CkaId) -> Result<bool, HsmError> {
        let token = self.token(token)?;
        let at = Placement { token: token.id.clone(), cka_id: id };
        let work = Work::Engine(Arc::new(HsmRequest::Find { at }));
        match token.ask(work, Errand::of_gateway(SYSTEM_LIMIT)).await? {
            HsmAnswer::Found(found) => Ok(!found.is_empty()),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }

    /// Whether a token of a replicated group may differ from the others under this name.
    #[must_use]
    pub fn owes(&self, token: &TokenId, id: CkaId) -> bool {
        self.mirror(token).is_some_and(|mirror| mirror.owes(token, id))
    }

    fn token(&self, id: &TokenId) -> Result<&Arc<Shared>, HsmError> {
        let found = self.tokens.iter().find(|token| token.id == *id);
        found.ok_or_else(|| refused(HsmErrorKind::Unavailable, "a token that is not configured"))
    }

    /// Ends all threads, closes the sessions and finalises modules nobody else uses; calls that hang are left to themselves.
    pub fn close(&self) {
        self.stop();
        for thread in self.keepers.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("the keeper of a token panicked");
            }
        }
    }

    fn stop(&self) {
        for group in &self.groups {
            if let GroupKind::Mirror(mirror) = &group.kind {
                mirror.stop();
            }
        }
        self.tokens.iter().for_each(|token| token.stop());
    }

    fn first(&self) -> Result<Place<'_>, HsmError> {
        self.tokens.first().map(|token| self.around(token)).ok_or_else(|| refused(HsmErrorKind::Unavailable, "token"))
    }

    /// The place that a token is, or belongs to.
    fn around<'a>(&'a self, token: &'a Arc<Shared>) -> Place<'a> {
        let mirrors = self.groups.iter().filter_map(|group| match &group.kind {
            GroupKind::Mirror(mirror) => Some(mirror),
            GroupKind::Spread(_) => None,
        });
        mirrors.into_iter().find(|mirror| mirror.has(&token.id)).map_or(Place::Token(token), Place::Mirror)
    }

    /// Every place once, in the order of the configuration.
    fn places(&self) -> Vec<Place<'_>> {
        let mut places: Vec<Place<'_>> = Vec::new();
        for place in self.tokens.iter().map(|token| self.around(token)) {
            if !places.iter().any(|known| known.id() == place.id()) {
                places.push(place);
            }
        }
        places
    }

    /// The place that a reference names: a group, a token, or the group that a token has joined since.
    fn place_named(&self, id: &TokenId) -> Result<Place<'_>, HsmError> {
        let groups = self.groups.iter().filter_map(|group| match &group.kind {
            GroupKind::Mirror(mirror) if mirror.id == *id => Some(Place::Mirror(mirror)),
            _ => None,
        });
        groups
            .into_iter()
            .next()
            .or_else(|| self.tokens.iter().find(|token| token.id == *id).map(|token| self.around(token)))
            .ok_or_else(|| refused(HsmErrorKind::Unavailable, "a token that is not configured"))
    }

    fn ready(&self) -> Result<Place<'_>, HsmError> {
        let serves = |place: &Place<'_>| match place {
            Place::Token(token) => token.serves(),
            Place::Mirror(mirror) => mirror.takes_objects(),
        };
        let ready = self.places().into_iter().find(serves);
        ready.ok_or_else(|| refused(HsmErrorKind::Unavailable, "link"))
    }

    /// Where a request goes.
    fn place_of(&self, request: &HsmRequest) -> Result<Place<'_>, HsmError> {
        let together = |one: &TokenId, other: &TokenId, step| {
            let (place, second) = (self.place_named(one)?, self.place_named(other)?);
            if place.id() == second.id() { Ok(place) } else { Err(refused(HsmErrorKind::BadParameters, step)) }
        };
        match request {
            HsmRequest::GenerateKey { at, .. }
            | HsmRequest::ImportKey { at, .. }
            | HsmRequest::HoldBytes { at, .. }
            | HsmRequest::Destroy { at }
            | HsmRequest::Clear { at }
            | HsmRequest::Find { at } => self.place_named(&at.token),
            HsmRequest::CopyTo { reference, .. } => self.place_named(&reference.token),
            HsmRequest::GenerateKeyPair { private, public, .. } => {
                together(&private.token, &public.token, "halves on two tokens")
            }
            HsmRequest::RevealKey { reference }
            | HsmRequest::RevealBytes { reference }
            | HsmRequest::Digest { reference, .. } => self.place_named(&reference.token),
            HsmRequest::WrapKey { wrapping, target, .. } => together(&wrapping.token, &target.token, KEYS_APART),
            HsmRequest::WrapBytes { wrapping: key, .. }
            | HsmRequest::UnwrapBytes { wrapping: key, .. }
            | HsmRequest::Encrypt { key, .. }
            | HsmRequest::Decrypt { key, .. }
            | HsmRequest::Sign { key, .. }
            | HsmRequest::Verify { key, .. }
            | HsmRequest::Mac { key, .. }
            | HsmRequest::Derive { key, .. }
            | HsmRequest::MakeTwin { of: key, .. } => self.place_named(&key.token),
            HsmRequest::Random { token: Some(token), .. } => self.place_named(token),
            // One issuer, however many tokens there are.
            HsmRequest::CertifierKey | HsmRequest::CertifierSign { .. } => self.first(),
            HsmRequest::Random { token: None, .. } | HsmRequest::SeedRandom { .. } => self.ready(),
        }
    }
}

/// The step at which a request is refused that names two keys at two places.
const KEYS_APART: &str = "keys on two tokens";

fn no_member(token: &TokenId) -> String {
    format!("{token} is no token of a replicated group")
}

/// For the gateway's own keys: making a pair may take a while.
const SYSTEM_LIMIT: Duration = Duration::from_secs(120);

/// How long a pool that is dropped without [`Pool::close`] waits for its threads.
const LEAVE: Duration = Duration::from_secs(6);

impl Drop for Pool {
    /// Waits for the threads, because what often follows is the end of the process: that runs the destructors of the modules,
    /// and a thread that is still inside one then ends the process by a signal.
    fn drop(&mut self) {
        self.stop();
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
    fn place(&self, project: &ProjectId, object_type: ObjectType) -> Result<TokenId, HsmError> {
        let fitting = self.groups.iter().filter_map(|group| Some((group.config.fit(project, object_type)?, group)));
        let best = fitting.clone().map(|(fit, _)| fit).max();
        let mut places: Vec<Place<'_>> = Vec::new();
        for (_, group) in fitting.filter(|(fit, _)| Some(*fit) == best) {
            match &group.kind {
                GroupKind::Mirror(mirror) => places.push(Place::Mirror(mirror)),
                GroupKind::Spread(tokens) => places.extend(tokens.iter().map(Place::Token)),
            }
        }
        if best.is_none() {
            // Tokens of no group take what no group does: never what a group cannot take just now.
            places.extend(self.tokens.iter().filter(|token| token.grouped.get().is_none()).map(Place::Token));
        }
        // Where a move is in force, what it goes to comes first.
        let sent_on = |place: &Place<'_>| self.sent_on(place.id()).into_iter().find(|to| self.takes_objects(to));
        if let Some(to) = places.iter().find_map(sent_on) {
            return Ok(to);
        }
        match places.iter().find(|place| place.takes_objects()) {
            Some(place) => Ok(place.id().clone()),
            None if places.iter().any(|place| matches!(place, Place::Token(token) if token.serves())) => {
                Err(refused(HsmErrorKind::Full, "every token that may take it"))
            }
            None => Err(refused(HsmErrorKind::Unavailable, "link")),
        }
    }

    fn place_on(&self, id: &TokenId) -> Result<TokenId, HsmError> {
        let away = || refused(HsmErrorKind::Unavailable, "the token that was asked for");
        if let Some(to) = self.sent_on(id).into_iter().find(|to| self.takes_objects(to)) {
            return Ok(to);
        }
        match self.place_named(id)? {
            Place::Mirror(mirror) if mirror.takes_objects() => Ok(mirror.id.clone()),
            Place::Mirror(_) => Err(away()),
            Place::Token(token) => match token.health.lock().state {
                "ready" | "degraded" => Ok(token.id.clone()),
                _ => Err(away()),
            },
        }
    }

    fn call(&self, request: HsmRequest, terms: Terms) -> Answer<'_, Result<HsmAnswer, HsmError>> {
        let errand = Errand::new(terms);
        // Each way has memory of its own length: most requests use a value, and that way is a short one.
        match request {
            HsmRequest::CopyTo { reference, to } => Box::pin(async move { self.copy_to(reference, &to, errand).await }),
            HsmRequest::Clear { at } => Box::pin(async move { self.clear(&at, errand).await }),
            HsmRequest::Destroy { at } => Box::pin(self.destroy_value(at, errand)),
            request if moves::used(&request)[0].is_some() => Box::pin(self.use_value(Arc::new(request), errand)),
            request => Box::pin(async move {
                match self.place_of(&request)? {
                    Place::Token(token) => token.ask(Work::Engine(Arc::new(request)), errand).await,
                    Place::Mirror(mirror) => mirror.call(request, errand).await,
                }
            }),
        }
    }

    fn status(&self) -> Vec<TokenStatus> {
        self.tokens.iter().map(|token| self.token_status(token)).collect()
    }
}

impl Pool {
    fn token_status(&self, token: &Arc<Shared>) -> TokenStatus {
        let mut status = status(token);
        if let Place::Mirror(mirror) = self.around(token)
            && let Some((health, reason, owed)) = mirror.health(&token.id)
        {
            (status.owed, status.spared) = (owed, mirror.takes_objects());
            if matches!(status.health, "ready" | "degraded") && health != "ready" {
                (status.health, status.reason) = (health, reason);
            }
        }
        status
    }
}

fn status(token: &Shared) -> TokenStatus {
    let link = token.link.load_full();
    let info = link.as_ref().map(|link| &link.info);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let health = token.health.lock();
    TokenStatus {
        token: token.id.clone(),
        group: token.grouped.get().map(|group| group.0.clone()),
        owed: 0,
        spared: false,
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
        stuck: token.stuck.load(Ordering::Relaxed),
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
        let work = || Work::SystemSign(self.purpose, data.clone());
        // The audit trail waits for it, and everybody for the audit trail.
        let errand = Errand { lane: Lane::Interactive, ..Errand::of_gateway(limit) };
        let answer = match self.pool.first()? {
            Place::Token(token) => token.ask(work(), errand).await?,
            Place::Mirror(mirror) => {
                let ids = work().ids();
                mirror.use_any(work, &ids, errand).await?
            }
        };
        match answer {
            HsmAnswer::Bytes(signature) => Ok(signature),
            _ => Err(refused(HsmErrorKind::Internal, "answer")),
        }
    }
}
