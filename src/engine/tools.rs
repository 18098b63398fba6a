//! What a use case is given for one request: the ports, the settings, and the order in which HSM and store are changed.
//!
//! The HSM and the store cannot commit together, so the order is fixed: [`Tools::announce`] writes the intent with places
//! we chose, the HSM acts, [`Tools::conclude`] writes the result and removes the intent in one batch. A crash in between
//! leaves an intent, and `reconcile` finishes or undoes it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    error::{Error, ErrorKind},
    ports::{
        Batch, Chance, Clock, Hsm, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Intent, IntentKind, Lane,
        MetadataStore, Placement, Tenant, Terms, Write,
    },
    rates::Rates,
    reconcile,
    uses::{Use, Uses},
    vanished,
};
use crate::domain::{
    Attribute, ManagedObject, ObjectType, OperationKind, Principal, SecretValue, Timestamp, TokenId, TokenReference,
    UniqueIdentifier,
    attributes::RngParameters,
    audit::{AuditEvent, Outcome},
    project::{Quotas, Resource},
};

/// Limits and switches that use cases need; filled from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an HSM request may take, waiting included.
    pub hsm_limit: Duration,
    /// How long the generation of a long key may take.
    pub keygen_limit: Duration,
    /// Most records a walk looks at before it gives up counting.
    pub walk_max: usize,
    /// `kmip.wrapping = "strict"`: sensitive objects leave wrapped under strong keys only (design decision 20).
    pub strict_wrapping: bool,
    /// Seconds of a lease.
    pub lease_seconds: u32,
    /// Most random bytes one request may ask for.
    pub random_bytes_max: u32,
    /// Whether the HSM is software, for Protection Storage Mask.
    pub simulated_hsm: bool,
    /// The name of the gateway's own issuer of certificates (RFC 4514).
    pub certificate_issuer: String,
    /// How long a certificate is valid that says nothing else.
    pub certificate_days: u32,
    /// What the HSM's generator is, as far as the operator says.
    pub generator: RngParameters,
    /// The quotas of projects that have none of their own.
    pub quotas: Quotas,
    /// The tokens that projects may choose from; empty where they may not.
    pub stores: Vec<SecretStore>,
    /// Whether another project's objects look like missing ones to Barbican clients.
    pub hide_foreign: bool,
    /// How many requests a second a client and a project may make.
    pub rates: Rates,
    /// What may be computed from a held value in the gateway where the HSM cannot.
    pub software_fallback: SoftwareFallback,
}

/// The operator's table of what may be computed outside of the HSM, from a value that leaves it for that moment, where the
/// HSM has no way to do it (design decision 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftwareFallback {
    /// Derive Key by the digest of a key and data.
    pub hash: bool,
    /// Derive Key by PBKDF2 over a password, which no HSM does without being told the password.
    pub pbkdf2: bool,
    /// Derive Key by HKDF.
    pub hkdf: bool,
    /// Derive Key by AWS Signature.
    pub aws_signature: bool,
}

impl SoftwareFallback {
    /// Everything.
    pub const ALL: Self = Self { hash: true, pbkdf2: true, hkdf: true, aws_signature: true };
}

impl Default for SoftwareFallback {
    fn default() -> Self {
        Self { hash: false, pbkdf2: true, hkdf: false, aws_signature: false }
    }
}

/// A token as something that projects may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretStore {
    /// Its identifier for clients.
    pub identifier: UniqueIdentifier,
    /// The token.
    pub token: TokenId,
    /// Its name for people.
    pub name: String,
    /// Whether values of projects without a preference go there.
    pub is_default: bool,
    /// Since when it has been configured.
    pub created: Timestamp,
}

/// The issuer's name where the operator gives none.
pub const ISSUER: &str = "CN=Portcullis KMIP issuer";

impl Default for Settings {
    fn default() -> Self {
        Self {
            hsm_limit: Duration::from_secs(10),
            keygen_limit: Duration::from_secs(120),
            walk_max: 10_000,
            strict_wrapping: true,
            lease_seconds: 3600,
            random_bytes_max: 1 << 20,
            simulated_hsm: false,
            certificate_issuer: ISSUER.to_owned(),
            certificate_days: 365,
            generator: RngParameters::unspecified(),
            quotas: Quotas::default(),
            stores: Vec::new(),
            hide_foreign: false,
            software_fallback: SoftwareFallback::default(),
            rates: Rates::default(),
        }
    }
}

/// The ports and settings, shared by all requests.
pub struct Ports {
    /// Keys.
    pub hsm: Arc<dyn Hsm>,
    /// Metadata.
    pub store: Arc<dyn MetadataStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub chance: Arc<dyn Chance>,
    /// Limits and switches.
    pub settings: Settings,
    /// Uses of keys that no record tells of yet.
    pub uses: Arc<Uses>,
}

/// What one request's use case is given.
pub struct Tools {
    pub(super) ports: Arc<Ports>,
    pub(super) principal: Arc<Principal>,
    pub(super) event: AuditEvent,
    tenant: Tenant,
    lane: Lane,
    touched: Mutex<Touched>,
}

#[derive(Default)]
struct Touched {
    targets: Vec<UniqueIdentifier>,
    committed: bool,
    failure: Option<ErrorKind>,
    operation: Option<OperationKind>,
}

/// An intent that has been written and must be concluded or withdrawn.
#[must_use]
pub struct Announced {
    intent: Intent,
    /// Tokens that turned out to be full.
    full: Vec<TokenId>,
}

impl Tools {
    pub(super) fn new(ports: Arc<Ports>, principal: Arc<Principal>, event: AuditEvent, lane: Lane) -> Self {
        let tenant = Tenant::of(&principal.project);
        let touched = Mutex::new(Touched { targets: event.targets.clone(), ..Touched::default() });
        Self { ports, principal, event, tenant, lane, touched }
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Limits and switches.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.ports.settings
    }

    /// The counters of a key as they are now.
    pub(super) fn counters(&self, object: &ManagedObject) -> Vec<Attribute> {
        self.ports.uses.told(object)
    }

    /// Counts a use of a key.
    pub(super) fn used(&self, object: UniqueIdentifier, of: Use) {
        self.ports.uses.count(object, of);
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn MetadataStore {
        &*self.ports.store
    }

    /// A fresh identifier.
    #[must_use]
    pub fn identifier(&self) -> UniqueIdentifier {
        let mut bytes = [0; 16];
        self.ports.chance.fill(&mut bytes);
        UniqueIdentifier::from_random(bytes)
    }

    /// Random bytes for IVs and nonces.
    #[must_use]
    pub fn random_bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.ports.chance.fill(&mut bytes);
        bytes
    }

    /// Names an object that the audit record is about, beside the targets.
    pub fn touch(&self, id: UniqueIdentifier) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if !touched.targets.contains(&id) {
            touched.targets.push(id);
        }
    }

    /// Says that the request will fail though it commits something: if a crash cuts it short, the trail says so, too.
    pub fn fails(&self, kind: ErrorKind) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(kind);
    }

    /// Says that the request turns out to be something else, in the trail and in what is counted.
    pub(super) fn becomes(&self, operation: OperationKind) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).operation = Some(operation);
    }

    /// The audit record as it will be if nothing goes wrong from here on.
    fn expected(&self) -> AuditEvent {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = touched.failure.map_or(Outcome::Success, |kind| Outcome::Failure(kind.name().to_owned()));
        let operation = touched.operation.unwrap_or(self.event.operation);
        let targets = touched.targets.clone();
        AuditEvent { time: self.now(), targets, outcome, operation, ..self.event.clone() }
    }

    /// The audit record, and whether anything was committed.
    pub(super) fn into_finished(self, outcome: Outcome) -> (AuditEvent, bool) {
        let time = self.now();
        let touched = self.touched.into_inner().unwrap_or_else(PoisonError::into_inner);
        let operation = touched.operation.unwrap_or(self.event.operation);
        let event = AuditEvent { time, targets: touched.targets, outcome, operation, ..self.event };
        (event, touched.committed)
    }

    /// The place for a new object: where the project prefers, else the default store, else where there is room.
    ///
    /// # Errors
    ///
    /// `Full` or `Unavailable`.
    pub fn place(&self, id: UniqueIdentifier, object_type: ObjectType) -> Result<Placement, Error> {
        Ok(Placement { token: self.token(object_type)?, cka_id: id.cka_id() })
    }

    fn token(&self, object_type: ObjectType) -> Result<TokenId, Error> {
        let stores = &self.ports.settings.stores;
        let preferred = self.ports.store.preferred(&self.principal.project);
        let preferred = preferred.filter(|token| stores.iter().any(|store| store.token == *token));
        let default = || stores.iter().find(|store| store.is_default).map(|store| store.token.clone());
        Ok(match preferred.or_else(default) {
            Some(token) => self.ports.hsm.place_on(&token)?,
            None => self.ports.hsm.place(&self.principal.project, object_type)?,
        })
    }

    /// Refuses when the caller's project has all of a resource that it may have. What is returned goes into the batch that
    /// makes the resource, and keeps the quota whatever else happens at the same time.
    ///
    /// # Errors
    ///
    /// `QuotaReached`, or the store's own.
    pub async fn within_quota(&self, resource: Resource) -> Result<Option<Write>, Error> {
        let (project, now) = (self.principal.project.clone(), self.now());
        let own = self.ports.store.project(project.clone()).await?.and_then(|kept| kept.record.quotas);
        let quotas = own.map(|own| own.quotas).unwrap_or_default().or(self.ports.settings.quotas);
        // Negative is no limit, and so is absent.
        let Some(most) = quotas.of(resource).and_then(|most| u64::try_from(most).ok()) else { return Ok(None) };
        if self.ports.store.used(project.clone(), resource, now).await? >= most {
            return Err(Error::new(ErrorKind::QuotaReached, "a quota has been reached"));
        }
        Ok(Some(Write::Ceiling { project, resource, most, now }))
    }

    /// Asks the HSM within the usual limit.
    ///
    /// # Errors
    ///
    /// The HSM's own, classed.
    pub async fn hsm(&self, request: HsmRequest) -> Result<HsmAnswer, Error> {
        let limit = match request {
            HsmRequest::GenerateKeyPair { .. } | HsmRequest::CertifierKey => self.ports.settings.keygen_limit,
            _ => self.ports.settings.hsm_limit,
        };
        // What the gateway does on its own account takes no project's share.
        let own = matches!(request, HsmRequest::CopyTo { .. } | HsmRequest::Clear { .. });
        let tenant = if own { Tenant::GATEWAY } else { self.tenant };
        let terms = Terms { limit, tenant, lane: self.lane };
        let used = vanished::used(&request);
        match self.ports.hsm.call(request, terms).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(Box::pin(vanished::explained(&*self.ports.store, used, error)).await),
        }
    }

    /// Asks for a protected value.
    ///
    /// # Errors
    ///
    /// The HSM's own, classed.
    pub async fn hsm_value(&self, request: HsmRequest) -> Result<SecretValue, Error> {
        match self.hsm(request).await? {
            HsmAnswer::Value(value) => Ok(value),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for bytes that need no protection.
    ///
    /// # Errors
    ///
    /// The HSM's own, classed.
    pub async fn hsm_bytes(&self, request: HsmRequest) -> Result<Vec<u8>, Error> {
        match self.hsm(request).await? {
            HsmAnswer::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes the intent. The HSM may be changed once this returns.
    ///
    /// # Errors
    ///
    /// The store's own; then nothing has happened.
    pub async fn announce(&self, kind: IntentKind, places: Vec<Placement>) -> Result<Announced, Error> {
        self.announce_with(kind, places, Vec::new()).await
    }

    /// Writes the intent together with guarded records, so that of several requests for one place only one goes on.
    ///
    /// # Errors
    ///
    /// The store's own; then nothing has happened.
    pub async fn announce_with(
        &self,
        kind: IntentKind,
        places: Vec<Placement>,
        mut writes: Vec<Write>,
    ) -> Result<Announced, Error> {
        let mut id = [0; 16];
        self.ports.chance.fill(&mut id);
        let intent = Intent { id, kind, places, event: self.expected() };
        writes.push(Write::PutIntent(Box::new(intent.clone())));
        self.ports.store.commit(Batch(writes)).await?;
        Ok(Announced { intent, full: Vec::new() })
    }

    /// Writes the result, removes the intent and owes the audit record, in one batch. When the batch is refused what was
    /// made in the HSM is destroyed again.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn conclude(&self, announced: Announced, writes: Vec<Write>) -> Result<(), Error> {
        match self.settle(&announced, writes).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.withdraw(announced).await;
                Err(error)
            }
        }
    }

    /// As [`Self::conclude`], and destroys the value that the new one replaces: under an intent that the same batch
    /// carries, so that a crash leaves the old value neither named nor forgotten.
    ///
    /// # Errors
    ///
    /// The store's own; then the old value stands.
    pub async fn conclude_clearing(
        &self,
        announced: Option<Announced>,
        mut writes: Vec<Write>,
        old: Placement,
    ) -> Result<(), Error> {
        let mut id = [0; 16];
        self.ports.chance.fill(&mut id);
        // No object has this identifier: settling the intent destroys what stands at the place, and nothing else.
        let kind = IntentKind::Destroy { object: self.identifier() };
        let clearing = Intent { id, kind, places: vec![old.clone()], event: self.expected() };
        writes.push(Write::PutIntent(Box::new(clearing)));
        match announced {
            Some(announced) => self.conclude(announced, writes).await?,
            None => self.commit(writes).await?,
        }
        if let Err(error) = self.hsm(HsmRequest::Destroy { at: old }).await {
            tracing::warn!(%error, "a value that was replaced is left to the reconciler");
            return Ok(());
        }
        if let Err(error) = self.commit(vec![Write::RemoveIntent(id)]).await {
            tracing::warn!(%error, "an intent stays until it is reconciled");
        }
        Ok(())
    }

    /// Writes that a value was moved, and destroys what it left behind, under an intent that the same batch carries. When the
    /// batch is refused, the copy is destroyed again; when nobody knows what became of it, the reconciler finds out.
    ///
    /// # Errors
    ///
    /// `Conflict` when the value is not there any more, the store's own.
    pub(super) async fn conclude_move(
        &self,
        announced: Announced,
        object: UniqueIdentifier,
        from: TokenReference,
        to: TokenReference,
    ) -> Result<(), Error> {
        let mut id = [0; 16];
        self.ports.chance.fill(&mut id);
        let kept = Placement { token: to.token.clone(), cka_id: to.cka_id };
        let places = vec![Placement { token: from.token.clone(), cka_id: from.cka_id }];
        let clearing = Intent { id, kind: IntentKind::Clear { object, kept }, places, event: self.expected() };
        let relocated = Write::Relocate { object, from: Box::new(from), to: Box::new(to) };
        let writes = vec![relocated, Write::PutIntent(Box::new(clearing.clone()))];
        match self.settle(&announced, writes).await {
            Err(error) if error.kind == ErrorKind::Conflict => {
                self.withdraw_copy(announced).await;
                return Err(error);
            }
            settled => settled?,
        }
        let cleared = match reconcile::clear(&self.ports, &clearing).await {
            Ok(()) => self.ports.store.commit(Batch(vec![Write::RemoveIntent(id)])).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = cleared {
            tracing::warn!(%error, "what a moved value left behind stays until it is reconciled");
        }
        Ok(())
    }

    /// Destroys the copy of a value that is not moved after all, and nothing else of it.
    pub(super) async fn withdraw_copy(&self, announced: Announced) {
        for at in &announced.intent.places {
            if let Err(error) = self.hsm(HsmRequest::Clear { at: at.clone() }).await {
                tracing::warn!(%error, "the copy of a value that was not moved stays until it is reconciled");
                return;
            }
        }
        let removed = self.ports.store.commit(Batch(vec![Write::RemoveIntent(announced.intent.id)])).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "an intent stays until it is reconciled");
        }
    }

    /// As [`Self::conclude`], but nothing is undone when the batch is refused: for acts that cannot be undone.
    ///
    /// # Errors
    ///
    /// The store's own; then the intent stands, and another try or `reconcile` comes back to it.
    pub async fn settle(&self, announced: &Announced, mut writes: Vec<Write>) -> Result<(), Error> {
        writes.push(Write::RemoveIntent(announced.intent.id));
        self.commit(writes).await
    }

    /// Undoes what an announced creation left in the HSM and removes the intent. What cannot be undone now keeps its
    /// intent, and `reconcile` comes back to it.
    pub async fn withdraw(&self, announced: Announced) {
        if announced.intent.kind == IntentKind::Make {
            for at in &announced.intent.places {
                let destroyed = self.hsm(HsmRequest::Destroy { at: at.clone() }).await;
                if let Err(error) = destroyed {
                    tracing::warn!(%error, "an object made for a request that failed stays until it is reconciled");
                    return;
                }
            }
        }
        let removed = self.ports.store.commit(Batch(vec![Write::RemoveIntent(announced.intent.id)])).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "an intent stays until it is reconciled");
        }
    }

    /// What could not be made at its announced places goes to another token, where the reason is that this one is full and
    /// there is another that may take it: what stands at the places is destroyed, and the intent names the new ones before
    /// anything is made there, so that a crash leaves nothing that is not named. Answers that token.
    ///
    /// # Errors
    ///
    /// The error itself, with the announced creation withdrawn.
    pub(super) async fn elsewhere(
        &self,
        mut announced: Announced,
        object_type: ObjectType,
        error: Error,
    ) -> Result<(Announced, TokenId), Error> {
        if error.kind == ErrorKind::Full
            && let Some(token) = self.go_on(&mut announced, object_type).await
        {
            tracing::info!(%token, "a token is full; the object goes to another one");
            return Ok((announced, token));
        }
        self.withdraw(announced).await;
        Err(error)
    }

    async fn go_on(&self, announced: &mut Announced, object_type: ObjectType) -> Option<TokenId> {
        announced.full.extend(announced.intent.places.iter().map(|at| at.token.clone()));
        let token = self.token(object_type).ok().filter(|token| !announced.full.contains(token))?;
        for at in &announced.intent.places {
            if let Err(error) = self.hsm(HsmRequest::Destroy { at: at.clone() }).await {
                tracing::warn!(%error, "what a full token may hold of an object could not be destroyed");
                return None;
            }
        }
        let places =
            announced.intent.places.iter().map(|at| Placement { token: token.clone(), ..at.clone() }).collect();
        let intent = Intent { places, ..announced.intent.clone() };
        let write = Write::PutIntent(Box::new(intent.clone()));
        if let Err(error) = self.ports.store.commit(Batch(vec![write])).await {
            tracing::warn!(%error, "an object cannot be announced for another token");
            return None;
        }
        announced.intent = intent;
        Some(token)
    }

    /// Commits the writes with the owed audit record of this request.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn commit(&self, mut writes: Vec<Write>) -> Result<(), Error> {
        for write in &writes {
            if let Write::PutObject(object, _) = write {
                self.touch(object.identifier);
            }
        }
        writes.push(Write::PutOwed(Box::new(self.expected())));
        self.ports.store.commit(Batch(writes)).await?;
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).committed = true;
        Ok(())
    }

    /// The value's place, or why there is none.
    ///
    /// # Errors
    ///
    /// `Destroyed`, `Archived` or `ValueMissing`.
    pub fn reference<'a>(&self, object: &'a ManagedObject) -> Result<&'a TokenReference, Error> {
        if object.state(self.now()).is_destroyed() {
            return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
        }
        if object.lifecycle.archive.is_some() {
            return Err(Error::new(ErrorKind::Archived, "the object is archived"));
        }
        object.value.as_ref().ok_or_else(|| Error::new(ErrorKind::ValueMissing, "the object has no value"))
    }
}

/// The adapter answered another request than the one asked.
pub(super) fn unexpected(answer: &HsmAnswer) -> Error {
    tracing::error!(?answer, "the HSM adapter's answer does not fit the request");
    HsmError { kind: HsmErrorKind::Internal, function: "answer", rv: 0, again: None }.into()
}
