//! Test support: an HSM and a metadata store in memory, a clock that stands still, an audit trail that can be read.
//!
//! The HSM keeps bytes in a map and makes real keys, so that what a front end gives out can be checked; requests can be
//! told to fail, once or several times, by name. Nothing of the product uses this module. It is not behind `cfg(test)`,
//! because the test programs under `tests/` are crates of their own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand,
    rsa::{self, KeySize},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use super::{
    Engine, Observer,
    ports::{
        Answer, AuditError, AuditSink, Batch, Chance, Clock, Cursor, Derivation, Due, Durability, Found, Guard, Hsm,
        HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Intent, MetadataStore, Order, Page, PairKind, Placement,
        Revision, Scope, Slice, StoreError, Terms, TokenStatus, Versioned, Window, Write,
    },
    tools::{Ports, Settings, SoftwareFallback},
};
use crate::{
    authz::Authorizer,
    domain::{
        CryptographicAlgorithm, CryptographicParameters, ManagedObject, ObjectType, OperationKind, ProjectId,
        SecretValue, Timestamp, TokenId, TokenReference, UniqueIdentifier,
        access::Consumer,
        algorithm::{BlockCipherMode, Curve, HashingAlgorithm, PaddingMethod},
        audit::{AuditEvent, Protocol},
        group::Group,
        job::{Job, JobState},
        project::{Project, Resource, TransportKey},
        reference::{CkaId, DataHolder, HeldBytes, KeyKind},
    },
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine over everything in memory, and the parts of it.
pub struct Bench {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Its HSM.
    pub hsm: Arc<MemoryHsm>,
    /// Its store.
    pub store: Arc<MemoryStore>,
    /// Its audit trail.
    pub audit: Arc<MemoryAudit>,
    /// Its clock.
    pub clock: Arc<FixedClock>,
}

impl Bench {
    /// A bench at 2026-11-22 06:00:00 UTC, whose operator allows all that its HSM in memory cannot do.
    #[must_use]
    pub fn new(authorizer: Authorizer) -> Self {
        Self::made(authorizer, Settings { software_fallback: SoftwareFallback::ALL, ..Settings::default() })
    }

    /// A bench with these settings.
    #[must_use]
    pub fn with(settings: Settings) -> Self {
        Self::made(Authorizer::default(), settings)
    }

    fn made(authorizer: Authorizer, settings: Settings) -> Self {
        let hsm = Arc::new(MemoryHsm::default());
        let store = Arc::new(MemoryStore::default());
        let audit = Arc::new(MemoryAudit::default());
        let clock = Arc::new(FixedClock(AtomicI64::new(1_795_327_200_000_000)));
        let ports = Arc::new(Ports {
            hsm: Arc::<MemoryHsm>::clone(&hsm),
            store: Arc::<MemoryStore>::clone(&store),
            clock: Arc::<FixedClock>::clone(&clock),
            chance: Arc::new(SystemChance),
            settings,
            uses: Arc::default(),
        });
        let sink = Arc::<MemoryAudit>::clone(&audit);
        let engine = Arc::new(Engine::new(ports, sink, authorizer, Arc::new(Unobserved), false));
        Self { engine, hsm, store, audit, clock }
    }
}

impl Default for Bench {
    /// A bench with the rules that are in force when nothing else is said.
    fn default() -> Self {
        Self::new(Authorizer::default())
    }
}

/// Counts nothing.
#[derive(Debug)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn finished(&self, _: Protocol, _: OperationKind, _: &'static str, _: f64) {}
}

/// A clock that moves when it is told to.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// Moves the clock.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        // One microsecond a look keeps the order of creation visible.
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, buffer: &mut [u8]) {
        rand::fill(buffer).expect("the operating system's generator does not fail");
    }
}

/// An audit trail that can be read.
#[derive(Debug, Default)]
pub struct MemoryAudit(Mutex<Vec<AuditEvent>>);

impl MemoryAudit {
    /// Every record so far.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        lock(&self.0).clone()
    }
}

impl AuditSink for MemoryAudit {
    fn record(&self, event: AuditEvent, _: Durability) -> Answer<'_, Result<(), AuditError>> {
        lock(&self.0).push(event);
        Box::pin(async { Ok(()) })
    }

    fn holds(&self, event: [u8; 16]) -> bool {
        lock(&self.0).iter().any(|record| record.id == event)
    }
}

// ---------------------------------------------------------------------------------------------------------------- HSM

enum Content {
    Key { kind: KeyKind, extractable: bool },
    Twin { extractable: bool },
    Bytes(DataHolder),
}

struct TokenObject {
    content: Content,
    value: Vec<u8>,
}

/// Keys in a map.
#[derive(Default)]
pub struct MemoryHsm {
    objects: Mutex<HashMap<CkaId, Vec<TokenObject>>>,
    faults: Mutex<Vec<(&'static str, HsmErrorKind, u32)>>,
    calls: Mutex<HashMap<&'static str, u64>>,
    certifier: Mutex<Option<rsa::KeyPair>>,
}

impl MemoryHsm {
    /// The name of its only token.
    pub const TOKEN: &'static str = "memory";

    /// Lets the next `times` requests of that name fail before anything happens.
    pub fn fail(&self, request: &'static str, kind: HsmErrorKind, times: u32) {
        lock(&self.faults).push((request, kind, times));
    }

    /// How often a request of that name was made.
    #[must_use]
    pub fn calls(&self, request: &str) -> u64 {
        lock(&self.calls).get(request).copied().unwrap_or_default()
    }

    /// How many token objects there are.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.objects).values().map(Vec::len).sum()
    }

    /// How many token objects carry this identifier.
    #[must_use]
    pub fn holds(&self, id: UniqueIdentifier) -> usize {
        lock(&self.objects).get(&id.cka_id()).map_or(0, Vec::len)
    }

    /// The values under an identifier, to compare with what a client was given.
    #[must_use]
    pub fn values(&self, id: UniqueIdentifier) -> Vec<Vec<u8>> {
        lock(&self.objects)
            .get(&id.cka_id())
            .map(|objects| objects.iter().map(|object| object.value.clone()).collect())
            .unwrap_or_default()
    }

    fn fault(&self, name: &'static str) -> Result<(), HsmError> {
        *lock(&self.calls).entry(name).or_default() += 1;
        let mut faults = lock(&self.faults);
        let Some(at) = faults.iter().position(|fault| fault.0 == name && fault.2 > 0) else { return Ok(()) };
        let kind = faults.get_mut(at).map(|fault| {
            fault.2 -= 1;
            fault.1
        });
        Err(error(kind.unwrap_or(HsmErrorKind::Internal)))
    }

    fn put(&self, at: &Placement, object: TokenObject) -> TokenReference {
        let reference = match &object.content {
            Content::Key { kind, .. } => reference(at, Some(*kind), None),
            Content::Twin { .. } => reference(at, None, None),
            Content::Bytes(holder) => {
                let length = u32::try_from(object.value.len()).unwrap_or(u32::MAX);
                reference(at, None, Some(HeldBytes { holder: *holder, length }))
            }
        };
        lock(&self.objects).entry(at.cka_id).or_default().push(object);
        reference
    }

    fn value(&self, of: &TokenReference, key: bool) -> Result<Vec<u8>, HsmError> {
        let objects = lock(&self.objects);
        let found = objects.get(&of.cka_id).into_iter().flatten();
        let object = found.into_iter().find(|object| matches!(object.content, Content::Key { .. }) == key);
        match object {
            None => Err(error(HsmErrorKind::ObjectMissing)),
            Some(TokenObject {
                content: Content::Key { extractable: false, .. } | Content::Twin { extractable: false },
                ..
            }) => Err(error(HsmErrorKind::NotExtractable)),
            Some(object) => Ok(object.value.clone()),
        }
    }

    fn answer(&self, request: HsmRequest) -> Result<HsmAnswer, HsmError> {
        self.fault(name_of(&request))?;
        match request {
            HsmRequest::GenerateKey { at, kind, bytes, extractable, digest, .. } => {
                let value = random(bytes as usize)?;
                let hashed = digest.then(|| digest_of(&value));
                let reference = self.put(&at, TokenObject { content: Content::Key { kind, extractable }, value });
                Ok(HsmAnswer::Made { reference, digest: hashed })
            }
            HsmRequest::GenerateKeyPair { private, public, kind, extractable, .. } => {
                let (private_kind, public_kind, secret, shown) = pair(kind)?;
                let (private_digest, public_digest) = (Some(digest_of(&secret)), digest_of(&shown));
                let content = Content::Key { kind: private_kind, extractable };
                let private = self.put(&private, TokenObject { content, value: secret });
                let content = Content::Key { kind: public_kind, extractable: true };
                let public = self.put(&public, TokenObject { content, value: shown });
                Ok(HsmAnswer::MadePair { private, public, private_digest, public_digest })
            }
            HsmRequest::ImportKey { at, kind, value, extractable, .. } => {
                if kind == KeyKind::Aes && ![16, 24, 32].contains(&value.len()) {
                    return Err(error(HsmErrorKind::BadData));
                }
                let content = Content::Key { kind, extractable };
                let reference = self.put(&at, TokenObject { content, value: taken(&value) });
                Ok(HsmAnswer::Made { reference, digest: None })
            }
            HsmRequest::HoldBytes { at, value, beside_key } => {
                let holder = if beside_key { DataHolder::Data } else { DataHolder::GenericSecret };
                let object = TokenObject { content: Content::Bytes(holder), value: taken(&value) };
                Ok(HsmAnswer::Made { reference: self.put(&at, object), digest: None })
            }
            HsmRequest::MakeTwin { of, value, extractable, .. } => {
                let value = match value {
                    Some(value) => taken(&value),
                    None => self.value(&of, true)?,
                };
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                let content = Content::Twin { extractable };
                lock(&self.objects).entry(of.cka_id).or_default().push(TokenObject { content, value });
                let bytes = Some(HeldBytes { holder: DataHolder::GenericSecret, length });
                Ok(HsmAnswer::Made { reference: TokenReference { bytes, ..of }, digest: None })
            }
            HsmRequest::Destroy { at } => {
                lock(&self.objects).remove(&at.cka_id);
                Ok(HsmAnswer::Done)
            }
            HsmRequest::Find { at } => Ok(HsmAnswer::Found(self.found(at.cka_id))),
            HsmRequest::RevealKey { reference } => Ok(HsmAnswer::Value(self.value(&reference, true)?.into())),
            HsmRequest::RevealBytes { reference } => Ok(HsmAnswer::Value(self.value(&reference, false)?.into())),
            HsmRequest::Digest { reference, hash: HashingAlgorithm::SHA_256 } => {
                let value = self.value(&reference, reference.bytes.is_none())?;
                Ok(HsmAnswer::Bytes(digest_of(&value)))
            }
            HsmRequest::Random { bytes, .. } => Ok(HsmAnswer::Value(random(bytes as usize)?.into())),
            HsmRequest::SeedRandom { .. } => Ok(HsmAnswer::Done),
            HsmRequest::Encrypt { key, parameters, iv, data, .. } if is_cbc(&parameters) => {
                let data = cbc(&self.value(&key, true)?, iv.as_deref(), taken(&data), true, &parameters)?;
                Ok(HsmAnswer::Encrypted { data, iv: None, auth_tag: None })
            }
            HsmRequest::Decrypt { key, parameters, iv, data, .. } if is_cbc(&parameters) => {
                Ok(HsmAnswer::Value(cbc(&self.value(&key, true)?, iv.as_deref(), data, false, &parameters)?.into()))
            }
            HsmRequest::Mac { key, parameters, data }
                if parameters.hashing_algorithm == Some(HashingAlgorithm::SHA_256)
                    && matches!(
                        parameters.cryptographic_algorithm,
                        None | Some(CryptographicAlgorithm::AES | CryptographicAlgorithm::HMAC_SHA256)
                    ) =>
            {
                let key = SecretValue::new(self.value(&key, key.bytes.is_none())?);
                Ok(HsmAnswer::Bytes(crate::crypto::hash::hmac_sha256(&key, &[&taken(&data)]).to_vec()))
            }
            HsmRequest::CertifierKey => self.certifier(|pair| {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map(|der| der.as_ref().to_vec())
            }),
            HsmRequest::CertifierSign { data } => self.certifier(|pair| {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), &data, &mut signature)?;
                Ok(signature)
            }),
            // As a token without any of these mechanisms.
            HsmRequest::Derive { outside: false, .. } => Err(error(HsmErrorKind::Unsupported)),
            HsmRequest::Derive { key, how, outside: true } => {
                let value = SecretValue::new(self.value(&key, key.bytes.is_none())?);
                derived(&value, how).map(HsmAnswer::Value)
            }
            HsmRequest::Digest { .. }
            | HsmRequest::WrapKey { .. }
            | HsmRequest::WrapBytes { .. }
            | HsmRequest::UnwrapBytes { .. }
            | HsmRequest::Encrypt { .. }
            | HsmRequest::Decrypt { .. }
            | HsmRequest::Sign { .. }
            | HsmRequest::Verify { .. }
            | HsmRequest::Mac { .. } => Err(error(HsmErrorKind::Unsupported)),
        }
    }

    /// Something by the issuer of certificates, made when it is wanted for the first time.
    fn certifier(
        &self,
        of: impl FnOnce(&rsa::KeyPair) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified>,
    ) -> Result<HsmAnswer, HsmError> {
        let failed = |_unspecified: aws_lc_rs::error::Unspecified| error(HsmErrorKind::Internal);
        let mut certifier = lock(&self.certifier);
        let pair = match &mut *certifier {
            Some(pair) => pair,
            none => none.insert(rsa::KeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
        };
        of(pair).map(HsmAnswer::Bytes).map_err(failed)
    }

    fn found(&self, id: CkaId) -> Found {
        let mut found = Found::default();
        for object in lock(&self.objects).get(&id).into_iter().flatten() {
            match object.content {
                Content::Key { kind, .. } if kind.is_private() => found.private += 1,
                Content::Key { kind, .. } if kind.is_public() => found.public += 1,
                Content::Key { .. } | Content::Twin { .. } | Content::Bytes(DataHolder::GenericSecret) => {
                    found.secret += 1;
                }
                Content::Bytes(DataHolder::Data) => found.data += 1,
            }
        }
        found
    }
}

impl Hsm for MemoryHsm {
    fn place(&self, _: &ProjectId, _: ObjectType) -> Result<TokenId, HsmError> {
        self.fault("place")?;
        Ok(TokenId(Self::TOKEN.to_owned()))
    }

    fn place_on(&self, token: &TokenId) -> Result<TokenId, HsmError> {
        self.fault("place")?;
        Ok(token.clone())
    }

    fn call(&self, request: HsmRequest, _: Terms) -> Answer<'_, Result<HsmAnswer, HsmError>> {
        Box::pin(async move { self.answer(request) })
    }

    fn status(&self) -> Vec<TokenStatus> {
        Vec::new()
    }
}

const fn error(kind: HsmErrorKind) -> HsmError {
    HsmError { kind, function: "memory", rv: 0, again: None }
}

fn reference(at: &Placement, key: Option<KeyKind>, bytes: Option<HeldBytes>) -> TokenReference {
    TokenReference { token: at.token.clone(), cka_id: at.cka_id, key, bytes }
}

#[expect(clippy::disallowed_methods, reason = "the HSM of the tests holds the value")]
fn taken(value: &SecretValue) -> Vec<u8> {
    value.expose_secret().to_vec()
}

fn random(count: usize) -> Result<Vec<u8>, HsmError> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).map_err(|_unspecified| error(HsmErrorKind::Internal))?;
    Ok(bytes)
}

fn digest_of(value: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, value).as_ref().to_vec()
}

fn derived(value: &SecretValue, how: Derivation) -> Result<SecretValue, HsmError> {
    use crate::crypto::kdf;
    match how {
        Derivation::Hash { hash, data } => kdf::hash(hash, value, &data),
        Derivation::Pbkdf2 { hash, salt, iterations, bytes } => {
            kdf::pbkdf2(hash, value, &salt, iterations, bytes as usize)
        }
        Derivation::Hkdf { hash, salt, info, bytes } => kdf::hkdf(hash, value, &salt, &info, bytes as usize),
        Derivation::AwsSignature { scope } => Ok(kdf::aws_signature(value, &scope)),
        Derivation::Agreement { .. } => return Err(error(HsmErrorKind::Unsupported)),
    }
    .map_err(|_refused| error(HsmErrorKind::Unsupported))
}

fn is_cbc(parameters: &CryptographicParameters) -> bool {
    parameters.block_cipher_mode == Some(BlockCipherMode::CBC)
        && matches!(parameters.padding_method, Some(PaddingMethod::PKCS5 | PaddingMethod::NONE))
}

/// AES-CBC, the one cipher that the HSM of the tests offers; without padding it takes whole blocks only.
fn cbc(
    key: &[u8],
    iv: Option<&[u8]>,
    mut data: Vec<u8>,
    encrypt: bool,
    parameters: &CryptographicParameters,
) -> Result<Vec<u8>, HsmError> {
    if parameters.padding_method == Some(PaddingMethod::NONE) {
        if !data.len().is_multiple_of(16) {
            return Err(error(HsmErrorKind::BadData));
        }
        let padded = CryptographicParameters { padding_method: Some(PaddingMethod::PKCS5), ..parameters.clone() };
        if encrypt {
            let length = data.len();
            let mut encrypted = cbc(key, iv, data, true, &padded)?;
            encrypted.truncate(length);
            return Ok(encrypted);
        }
        // A block of padding behind the data, as it would look encrypted.
        let last = data.len().checked_sub(16).and_then(|at| data.get(at..)).map(<[u8]>::to_vec);
        let padding = cbc(key, last.as_deref().or(iv), Vec::new(), true, &padded)?;
        data.extend(padding);
        return cbc(key, iv, data, false, &padded);
    }
    use aws_lc_rs::{
        cipher::{
            AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
            UnboundCipherKey,
        },
        iv::FixedLength,
    };
    let bad = |_unspecified: aws_lc_rs::error::Unspecified| error(HsmErrorKind::BadParameters);
    let iv: [u8; 16] = iv.and_then(|iv| iv.try_into().ok()).ok_or_else(|| error(HsmErrorKind::BadParameters))?;
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let key = UnboundCipherKey::new(algorithm, key).map_err(bad)?;
    if encrypt {
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(bad)?;
        key.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(iv))).map_err(bad)?;
        Ok(data)
    } else {
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(bad)?;
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = key.decrypt(&mut data, context).map_err(|_failed| error(HsmErrorKind::DecryptionFailed))?;
        Ok(plain.to_vec())
    }
}

type MadePair = (KeyKind, KeyKind, Vec<u8>, Vec<u8>);

fn pair(kind: PairKind) -> Result<MadePair, HsmError> {
    let failed = |_unspecified: aws_lc_rs::error::Unspecified| error(HsmErrorKind::Unsupported);
    match kind {
        PairKind::Rsa { bits } => {
            let size = match bits {
                2048 => KeySize::Rsa2048,
                3072 => KeySize::Rsa3072,
                4096 => KeySize::Rsa4096,
                _ => return Err(error(HsmErrorKind::Unsupported)),
            };
            let pair = rsa::KeyPair::generate(size).map_err(failed)?;
            let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?.as_ref().to_vec();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(failed)?.as_ref().to_vec();
            Ok((KeyKind::RsaPrivate, KeyKind::RsaPublic, private, public))
        }
        PairKind::Ec(curve) => {
            let algorithm = match curve {
                Curve::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                Curve::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                Curve::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
                Curve::Secp256k1 => &signature::ECDSA_P256K1_SHA256_ASN1_SIGNING,
            };
            let pair = EcdsaKeyPair::generate(algorithm).map_err(failed)?;
            let private = pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(failed)?.as_ref().to_vec();
            Ok((KeyKind::EcPrivate(curve), KeyKind::EcPublic(curve), private, public))
        }
        PairKind::Ed25519 => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            let private = pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(failed)?.as_ref().to_vec();
            Ok((KeyKind::Ed25519Private, KeyKind::Ed25519Public, private, public))
        }
    }
}

/// The name by which requests are counted and told to fail.
const fn name_of(request: &HsmRequest) -> &'static str {
    match request {
        HsmRequest::GenerateKey { .. } => "generate-key",
        HsmRequest::GenerateKeyPair { .. } => "generate-key-pair",
        HsmRequest::ImportKey { .. } => "import-key",
        HsmRequest::HoldBytes { .. } => "hold-bytes",
        HsmRequest::MakeTwin { .. } => "make-twin",
        HsmRequest::Derive { .. } => "derive",
        HsmRequest::Destroy { .. } => "destroy",
        HsmRequest::Find { .. } => "find",
        HsmRequest::RevealKey { .. } => "reveal-key",
        HsmRequest::RevealBytes { .. } => "reveal-bytes",
        HsmRequest::Digest { .. } => "digest",
        HsmRequest::WrapKey { .. } => "wrap-key",
        HsmRequest::WrapBytes { .. } => "wrap-bytes",
        HsmRequest::UnwrapBytes { .. } => "unwrap-bytes",
        HsmRequest::Encrypt { .. } => "encrypt",
        HsmRequest::Decrypt { .. } => "decrypt",
        HsmRequest::Sign { .. } => "sign",
        HsmRequest::Verify { .. } => "verify",
        HsmRequest::Mac { .. } => "mac",
        HsmRequest::CertifierKey => "certifier-key",
        HsmRequest::CertifierSign { .. } => "certifier-sign",
        HsmRequest::Random { .. } => "random",
        HsmRequest::SeedRandom { .. } => "seed-random",
    }
}

// -------------------------------------------------------------------------------------------------------------- store

type Table<T> = BTreeMap<UniqueIdentifier, (T, Revision)>;

#[derive(Default)]
struct Tables {
    objects: Table<ManagedObject>,
    groups: Table<Group>,
    jobs: Table<Job>,
    projects: BTreeMap<ProjectId, (Project, Revision)>,
    transport_keys: Table<TransportKey>,
    intents: Vec<Intent>,
    owed: Vec<AuditEvent>,
}

/// Metadata in maps.
#[derive(Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    /// How many commits pass before some are refused, and how many those are.
    refusals: Mutex<(u64, u64)>,
    /// How many commits of records find that somebody else was faster.
    conflicts: Mutex<u64>,
    /// How often a record was asked for and found, and how often not.
    reads: Mutex<(u64, u64)>,
}

impl MemoryStore {
    /// Of `reads`.
    pub fn reads(&self) -> (u64, u64) {
        *lock(&self.reads)
    }

    fn read<T>(&self, found: Option<T>) -> Option<T> {
        let mut reads = lock(&self.reads);
        *(if found.is_some() { &mut reads.0 } else { &mut reads.1 }) += 1;
        found
    }

    /// Lets `passing` commits through and then fails `times` of them with `Unavailable`.
    pub fn refuse_after(&self, passing: u64, times: u64) {
        *lock(&self.refusals) = (passing, times);
    }

    /// Lets the next `times` commits that change a record find that somebody else was faster.
    pub fn conflict(&self, times: u64) {
        *lock(&self.conflicts) = times;
    }

    fn outrun(&self, batch: &Batch) -> bool {
        let guarded = |write: &Write| {
            matches!(write, Write::PutObject(_, Guard::At(_)) | Write::PutGroup(_, Guard::At(_)) | Write::RemoveJob(..))
        };
        let mut left = lock(&self.conflicts);
        let outrun = *left > 0 && batch.0.iter().any(guarded);
        *left -= u64::from(outrun);
        outrun
    }

    fn refused(&self) -> bool {
        let mut refusals = lock(&self.refusals);
        match *refusals {
            (0, 0) => false,
            (0, times) => {
                *refusals = (0, times - 1);
                true
            }
            (passing, times) => {
                *refusals = (passing - 1, times);
                false
            }
        }
    }

    /// Stores an object that nobody made.
    pub fn plant_object(&self, object: ManagedObject) {
        put(&mut lock(&self.tables).objects, object.identifier, object);
    }

    /// Stores a group that nobody made.
    pub fn plant_group(&self, group: Group) {
        put(&mut lock(&self.tables).groups, group.identifier, group);
    }

    /// How many intents are not settled.
    #[must_use]
    pub fn open_intents(&self) -> usize {
        lock(&self.tables).intents.len()
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if self.refused() {
            return Err(StoreError::Unavailable("told to refuse".into()));
        }
        if self.outrun(&batch) {
            return Err(StoreError::Conflict);
        }
        let mut tables = lock(&self.tables);
        for write in &batch.0 {
            match write {
                Write::PutObject(object, guard) => {
                    held(&tables.objects, object.identifier, *guard)?;
                    name_free(&tables.objects, &batch, object)?;
                }
                Write::RemoveObject(id, guard) => held(&tables.objects, *id, *guard)?,
                Write::PutGroup(group, guard) => held(&tables.groups, group.identifier, *guard)?,
                Write::RemoveGroup(id, guard) => held(&tables.groups, *id, *guard)?,
                Write::PutJob(job, guard) => held(&tables.jobs, job.identifier, *guard)?,
                Write::RemoveJob(id, guard) => held(&tables.jobs, *id, *guard)?,
                Write::PutProject(project, guard) => held(&tables.projects, project.id.clone(), *guard)?,
                Write::RemoveProject(id, guard) => held(&tables.projects, id.clone(), *guard)?,
                Write::PutTransportKey(key, guard) => held(&tables.transport_keys, key.identifier, *guard)?,
                Write::RemoveTransportKey(id, guard) => held(&tables.transport_keys, *id, *guard)?,
                Write::Ceiling { project, resource, most, now } => {
                    let after = tables.used(project, *resource, *now) + batch.adds(&tables, project, *resource);
                    if after > *most && batch.adds(&tables, project, *resource) > 0 {
                        return Err(StoreError::CeilingReached);
                    }
                }
                Write::PutIntent(_) | Write::RemoveIntent(_) | Write::PutOwed(_) => {}
            }
        }
        for write in batch.0 {
            match write {
                Write::PutObject(object, _) => put(&mut tables.objects, object.identifier, *object),
                Write::RemoveObject(id, _) => drop(tables.objects.remove(&id)),
                Write::PutGroup(group, _) => put(&mut tables.groups, group.identifier, *group),
                Write::RemoveGroup(id, _) => drop(tables.groups.remove(&id)),
                Write::PutJob(job, _) => put(&mut tables.jobs, job.identifier, *job),
                Write::RemoveJob(id, _) => drop(tables.jobs.remove(&id)),
                Write::PutProject(project, _) => put(&mut tables.projects, project.id.clone(), *project),
                Write::RemoveProject(id, _) => drop(tables.projects.remove(&id)),
                Write::PutTransportKey(key, _) => put(&mut tables.transport_keys, key.identifier, *key),
                Write::RemoveTransportKey(id, _) => drop(tables.transport_keys.remove(&id)),
                Write::Ceiling { .. } => {}
                Write::PutIntent(intent) => tables.intents.push(*intent),
                Write::RemoveIntent(id) => tables.intents.retain(|intent| intent.id != id),
                Write::PutOwed(event) => {
                    tables.owed.retain(|owed| owed.id != event.id);
                    tables.owed.push(*event);
                }
            }
        }
        Ok(())
    }
}

impl MetadataStore for MemoryStore {
    fn object(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<ManagedObject>>, StoreError>> {
        Box::pin(async move { Ok(self.read(one(&lock(&self.tables).objects, id))) })
    }

    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<ManagedObject>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.objects.values().filter(|(object, _)| scope.holds(object));
            Ok(page(found, |object| (object.lifecycle.initial, object.identifier), order, after, limit))
        })
    }

    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Group>>, StoreError>> {
        Box::pin(async move { Ok(self.read(one(&lock(&self.tables).groups, id))) })
    }

    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.groups.values().filter(|(group, _)| group.project == project);
            Ok(page(found, |group| (group.created, group.identifier), Order::OldestFirst, after, limit))
        })
    }

    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.groups.values().filter(|(group, _)| group.members.iter().any(|it| it.object == member));
            Ok(found.map(versioned).collect())
        })
    }

    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Job>>, StoreError>> {
        Box::pin(async move { Ok(self.read(one(&lock(&self.tables).jobs, id))) })
    }

    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.jobs.values().filter(|(job, _)| job.project == project);
            Ok(page(found, |job| (job.created, job.identifier), Order::OldestFirst, after, limit))
        })
    }

    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<ManagedObject>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.objects.values().filter(|(it, _)| scope.holds(it) && !it.is_expired(now));
            Ok(slice(found, |object| (object.lifecycle.initial, object.identifier), window))
        })
    }

    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.groups.values().filter(|(group, _)| group.project == project);
            Ok(slice(found, |group| (group.created, group.identifier), window))
        })
    }

    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.jobs.values().filter(|(job, _)| job.project == project);
            Ok(slice(found, |job| (job.created, job.identifier), window))
        })
    }

    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).used(&project, resource, now)) })
    }

    fn due(&self, what: Due, until: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let due = |object: &ManagedObject| match (what, object.lifecycle.destroy) {
                (Due::Expired, None) => object.is_expired(until),
                (Due::Expired, Some(_)) => false,
                (Due::Destroyed, at) => at.is_some_and(|at| at <= until),
            };
            let found = tables.objects.values().filter(|(object, _)| due(object));
            Ok(found.map(|(object, _)| object.identifier).take(limit).collect())
        })
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Result<Option<Versioned<Project>>, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).projects.get(&id).map(versioned)) })
    }

    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.projects.values().filter(|(project, _)| project.quotas.is_some());
            let created = |project: &Project| project.quotas.map(|own| own.created);
            Ok(slice(found, |project| (created(project), project.id.clone()), window))
        })
    }

    fn preferred(&self, project: &ProjectId) -> Option<TokenId> {
        lock(&self.tables).projects.get(project).and_then(|(kept, _)| kept.preferred.clone())
    }

    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<TransportKey>>, StoreError>> {
        Box::pin(async move { Ok(one(&lock(&self.tables).transport_keys, id)) })
    }

    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>> {
        Box::pin(async move {
            let mut keys: Vec<TransportKey> =
                lock(&self.tables).transport_keys.values().map(|(key, _)| key.clone()).collect();
            keys.sort_by_key(|key| (key.created, key.identifier));
            Ok(keys)
        })
    }

    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            Ok(tables.jobs.values().filter(|(job, _)| job.state == JobState::Pending).map(versioned).collect())
        })
    }

    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).intents.clone()) })
    }

    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).owed.clone()) })
    }

    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>> {
        Box::pin(async move { self.apply(batch) })
    }

    fn forget_owed(&self, event: [u8; 16]) {
        lock(&self.tables).owed.retain(|owed| owed.id != event);
    }
}

impl Tables {
    fn used(&self, project: &ProjectId, resource: Resource, now: Timestamp) -> u64 {
        let consumers = |all: &[Consumer]| all.iter().filter(|consumer| consumer.project == *project).count();
        let used = match resource {
            Resource::Secrets => {
                let scope = Scope::Live(project.clone());
                self.objects.values().filter(|(it, _)| scope.holds(it) && !it.is_expired(now)).count()
            }
            Resource::Orders => self.jobs.values().filter(|(job, _)| job.project == *project).count(),
            Resource::Containers => self.groups.values().filter(|(group, _)| group.project == *project).count(),
            Resource::Consumers => {
                let of_secrets = self.objects.values().map(|(object, _)| consumers(&object.secret.consumers));
                of_secrets.chain(self.groups.values().map(|(group, _)| consumers(&group.consumers))).sum()
            }
        };
        used as u64
    }
}

impl Batch {
    /// How many of a resource the batch adds to a project.
    fn adds(&self, tables: &Tables, project: &ProjectId, resource: Resource) -> u64 {
        let consumers = |all: &[Consumer]| all.iter().filter(|consumer| consumer.project == *project).count();
        let added = |write: &Write| match (resource, write) {
            (Resource::Secrets, Write::PutObject(object, Guard::Absent)) => usize::from(object.project == *project),
            (Resource::Orders, Write::PutJob(job, Guard::Absent)) => usize::from(job.project == *project),
            (Resource::Containers, Write::PutGroup(group, Guard::Absent)) => usize::from(group.project == *project),
            (Resource::Consumers, Write::PutObject(object, _)) => {
                let old = tables.objects.get(&object.identifier);
                let old = old.map_or(0, |(old, _)| consumers(&old.secret.consumers));
                consumers(&object.secret.consumers).saturating_sub(old)
            }
            (Resource::Consumers, Write::PutGroup(group, _)) => {
                let old = tables.groups.get(&group.identifier).map_or(0, |(old, _)| consumers(&old.consumers));
                consumers(&group.consumers).saturating_sub(old)
            }
            _ => 0,
        };
        self.0.iter().map(added).sum::<usize>() as u64
    }
}

fn slice<'a, T: Clone + 'a, K: Ord>(
    found: impl Iterator<Item = &'a (T, Revision)>,
    key: impl Fn(&T) -> K,
    window: Window,
) -> Slice<T> {
    let mut rows: Vec<&T> = found.map(|(record, _)| record).collect();
    rows.sort_by_key(|record| key(record));
    if window.order == Order::NewestFirst {
        rows.reverse();
    }
    let total = rows.len();
    Slice { records: rows.into_iter().skip(window.offset).take(window.limit).cloned().collect(), total }
}

fn held<K: Ord, T>(table: &BTreeMap<K, (T, Revision)>, id: K, guard: Guard) -> Result<(), StoreError> {
    let holds = match (guard, table.get(&id)) {
        (Guard::Absent, found) => found.is_none(),
        (Guard::At(revision), found) => found.is_some_and(|(_, at)| *at == revision),
    };
    if holds { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Names are settled over the whole batch: what one record gives up another may take.
fn name_free(objects: &Table<ManagedObject>, batch: &Batch, object: &ManagedObject) -> Result<(), StoreError> {
    let changed: Vec<&ManagedObject> = batch
        .0
        .iter()
        .filter_map(|write| match write {
            Write::PutObject(other, _) => Some(&**other),
            _ => None,
        })
        .collect();
    let others: Vec<&ManagedObject> = objects
        .values()
        .map(|(other, _)| other)
        .filter(|other| !changed.iter().any(|new| new.identifier == other.identifier))
        .chain(changed.iter().copied())
        .collect();
    if object.lifecycle.destroy.is_some() {
        return Ok(());
    }
    let taken = object.names().any(|name| {
        others.iter().any(|other| {
            other.identifier != object.identifier
                && other.project == object.project
                && other.lifecycle.destroy.is_none()
                && other.names().any(|have| have == name)
        })
    });
    if taken { Err(StoreError::NameTaken) } else { Ok(()) }
}

fn put<K: Ord, T>(table: &mut BTreeMap<K, (T, Revision)>, id: K, record: T) {
    let revision = table.get(&id).map_or(1, |(_, revision)| revision.0 + 1);
    table.insert(id, (record, Revision(revision)));
}

fn one<T: Clone>(table: &Table<T>, id: UniqueIdentifier) -> Option<Versioned<T>> {
    table.get(&id).map(versioned)
}

fn versioned<T: Clone>((record, revision): &(T, Revision)) -> Versioned<T> {
    Versioned { record: record.clone(), revision: *revision }
}

fn page<'a, T: Clone + 'a>(
    found: impl Iterator<Item = &'a (T, Revision)>,
    key: impl Fn(&T) -> (Timestamp, UniqueIdentifier),
    order: Order,
    after: Option<Cursor>,
    limit: usize,
) -> Page<T> {
    let mut rows: Vec<_> = found.collect();
    rows.sort_by_key(|(record, _)| key(record));
    if order == Order::NewestFirst {
        rows.reverse();
    }
    let start = after.map_or(0, |Cursor(id)| {
        rows.iter().position(|(record, _)| key(record).1.bytes().as_slice() == id).map_or(rows.len(), |at| at + 1)
    });
    let rest = rows.get(start..).unwrap_or_default();
    let records: Vec<_> = rest.iter().take(limit).copied().map(versioned).collect();
    let more = rest.len() > records.len();
    let next = records.last().filter(|_| more).map(|last| Cursor(key(&last.record).1.bytes().to_vec()));
    Page { records, next }
}
