//! What the engine needs from the outside: an HSM, a metadata store, an audit trail, a clock.
//!
//! Requests to the HSM are plain values without handles, so that a module can run in another process: an adapter encodes
//! [`HsmRequest`] and [`HsmAnswer`] itself, because [`SecretValue`] is deliberately not `Serialize`. Every method returns a
//! boxed future; the adapters decide on which thread the work is done.

use std::{future::Future, pin::Pin, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use super::search::{Dated, Search, Shown, storage_status};
use crate::domain::{
    AttributeKind, CryptographicParameters, ManagedObject, ObjectType, ProjectId, SecretValue, Timestamp, TokenId,
    TokenReference, UniqueIdentifier, UsageMask,
    algorithm::{Curve, HashingAlgorithm},
    audit::AuditEvent,
    group::Group,
    job::Job,
    project::{Project, Resource, TransportKey},
    reference::{CkaId, KeyKind},
};

pub use super::terms::{Lane, Tenant, Terms};

/// A boxed answer that may borrow the port.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

// ---------------------------------------------------------------------------------------------------------------- HSM

/// Where a new object goes: chosen before the intent is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// The token.
    pub token: TokenId,
    /// The `CKA_ID`.
    pub cka_id: CkaId,
}

/// Which key pair to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairKind {
    /// RSA with public exponent 65537.
    Rsa {
        /// Modulus length.
        bits: u32,
    },
    /// A NIST curve.
    Ec(Curve),
    /// Ed25519.
    Ed25519,
}

/// How a key is wrapped under another inside the HSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrapMode {
    /// RFC 3394: multiples of eight bytes, at least sixteen.
    AesKeyWrap,
    /// RFC 5649: any length.
    AesKeyWrapPadding,
    /// As a cipher: a mode of a secret key, the tag of an authenticated one at the end of its output, or RSA under a public
    /// key, which its private key opens.
    Cipher {
        /// Mode, padding, hashes, tag length; complete.
        parameters: Box<CryptographicParameters>,
        /// The IV or nonce, where the mode needs one.
        iv: Option<Vec<u8>>,
    },
}

/// How bytes are made from a key or secret: by the token where it has a mechanism for it, else from the value on the
/// worker's thread, if that was allowed.
#[derive(Clone, Debug)]
pub enum Derivation {
    /// The digest of the value with data after it.
    Hash {
        /// By which hash.
        hash: HashingAlgorithm,
        /// What follows the value.
        data: Vec<u8>,
    },
    /// PBKDF2 with HMAC of the hash (RFC 8018 §5.2); the value is the password.
    Pbkdf2 {
        /// By which hash.
        hash: HashingAlgorithm,
        /// The salt.
        salt: Vec<u8>,
        /// How often.
        iterations: u32,
        /// How many bytes.
        bytes: u32,
    },
    /// HKDF (RFC 5869); the value is the input keying material.
    Hkdf {
        /// By which hash.
        hash: HashingAlgorithm,
        /// The salt; may be empty.
        salt: Vec<u8>,
        /// The context.
        info: Vec<u8>,
        /// How many bytes.
        bytes: u32,
    },
    /// The signing key of AWS Signature Version 4; the value is the secret access key.
    AwsSignature {
        /// Date, region and service, each HMAC'ed in turn.
        scope: [Vec<u8>; 3],
    },
    /// The shared secret of ECDH: the x-coordinate. The key is private and stays on the token.
    Agreement {
        /// The other side's SubjectPublicKeyInfo DER.
        peer: Vec<u8>,
    },
}

/// What is signed.
#[derive(Debug)]
pub enum SignInput {
    /// Data that the mechanism hashes.
    Data(SecretValue),
    /// A digest made elsewhere, with the hash in the parameters.
    Digest(Vec<u8>),
}

/// What is asked of an HSM. One request is one turn of one session, however many PKCS#11 calls it takes.
#[derive(Debug)]
pub enum HsmRequest {
    /// Makes a secret key. Answer: [`HsmAnswer::Made`].
    GenerateKey {
        /// Where.
        at: Placement,
        /// AES, Triple-DES or generic secret.
        kind: KeyKind,
        /// Length of the value in bytes.
        bytes: u32,
        /// Its usage bits on the token.
        usage: UsageMask,
        /// Whether it may be wrapped out.
        extractable: bool,
        /// Whether the SHA-256 of the value is wanted (only for extractable keys; the value stays on the worker's thread).
        digest: bool,
    },
    /// Makes a key pair. Answer: [`HsmAnswer::MadePair`].
    GenerateKeyPair {
        /// Where the private half goes.
        private: Placement,
        /// Where the public half goes; the same token.
        public: Placement,
        /// Which pair.
        kind: PairKind,
        /// Usage of the private half.
        private_usage: UsageMask,
        /// Usage of the public half.
        public_usage: UsageMask,
        /// Whether the private half may be wrapped out.
        extractable: bool,
    },
    /// Takes a key in. Answer: [`HsmAnswer::Made`]; refused with `BadData` or `Unsupported` when the token cannot use it.
    ImportKey {
        /// Where.
        at: Placement,
        /// What it is.
        kind: KeyKind,
        /// Raw bytes for secret keys, PKCS#8 DER for private keys, SubjectPublicKeyInfo DER for public keys.
        value: SecretValue,
        /// Usage bits.
        usage: UsageMask,
        /// Whether it may be wrapped out.
        extractable: bool,
    },
    /// Holds bytes that are no usable key: a generic secret without usage, or a data object. Answer: [`HsmAnswer::Made`].
    HoldBytes {
        /// Where.
        at: Placement,
        /// The bytes, not empty.
        value: SecretValue,
        /// Whether a key object with the same `CKA_ID` is or will be there; then the bytes go into a data object.
        beside_key: bool,
    },
    /// Holds the value of a cipher key once more, as a generic secret that makes MACs, under the same `CKA_ID`: tokens do
    /// not let one key object do both. Answer: [`HsmAnswer::Made`] with `bytes` set.
    MakeTwin {
        /// The cipher key.
        of: TokenReference,
        /// Its value; read from the token, on the worker's thread, when it is not given.
        value: Option<SecretValue>,
        /// Usage bits of the twin.
        usage: UsageMask,
        /// Whether the twin may be wrapped out.
        extractable: bool,
    },
    /// Destroys every object with this `CKA_ID`, here and where a move has taken it; one that is gone already is a success.
    /// Answer: [`HsmAnswer::Done`].
    Destroy {
        /// Where.
        at: Placement,
    },
    /// Lays a copy of everything under a `CKA_ID` at another place and compares it with what is here. Answer:
    /// [`HsmAnswer::Made`] with the reference there. Undone by [`Self::Clear`].
    CopyTo {
        /// What.
        reference: TokenReference,
        /// To where.
        to: TokenId,
    },
    /// Destroys what stands at this place and nowhere else: a half of a move, while the object lives on at the other. Waits
    /// a moment for uses that have begun. Answer: [`HsmAnswer::Done`].
    Clear {
        /// Where.
        at: Placement,
    },
    /// Looks which objects carry this `CKA_ID`. Answer: [`HsmAnswer::Found`].
    Find {
        /// Where.
        at: Placement,
    },
    /// Lets the key object's value out: raw, PKCS#8 DER or SubjectPublicKeyInfo DER. Answer: [`HsmAnswer::Value`].
    RevealKey {
        /// Which.
        reference: TokenReference,
    },
    /// Lets the held bytes out, exactly as given. Answer: [`HsmAnswer::Value`].
    RevealBytes {
        /// Which.
        reference: TokenReference,
    },
    /// The digest of the value (held bytes where there are any, else the key in its canonical form), computed on the worker's thread. Answer:
    /// [`HsmAnswer::Bytes`].
    Digest {
        /// Which.
        reference: TokenReference,
        /// By which hash.
        hash: HashingAlgorithm,
    },
    /// Wraps one key under another. Answer: [`HsmAnswer::Bytes`].
    WrapKey {
        /// The wrapping key.
        wrapping: TokenReference,
        /// The key to wrap.
        target: TokenReference,
        /// How.
        mode: WrapMode,
    },
    /// Wraps bytes under a key: a session generic secret of them is made, wrapped and destroyed. Answer: [`HsmAnswer::Bytes`].
    WrapBytes {
        /// The wrapping key.
        wrapping: TokenReference,
        /// What to wrap.
        value: SecretValue,
        /// How.
        mode: WrapMode,
    },
    /// Unwraps bytes under a key: a session generic secret of them is made, let out and destroyed. Answer:
    /// [`HsmAnswer::Value`].
    UnwrapBytes {
        /// The wrapping key.
        wrapping: TokenReference,
        /// What was wrapped.
        blob: Vec<u8>,
        /// How.
        mode: WrapMode,
    },
    /// Encrypts. Answer: [`HsmAnswer::Encrypted`].
    Encrypt {
        /// With which key (secret or public).
        key: TokenReference,
        /// How: mode, padding, hashes, tag length; complete, defaults are the engine's business.
        parameters: CryptographicParameters,
        /// IV, counter block or nonce; the mechanism's length.
        iv: Option<Vec<u8>>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// The plain data.
        data: SecretValue,
    },
    /// Decrypts. Answer: [`HsmAnswer::Value`].
    Decrypt {
        /// With which key (secret or private).
        key: TokenReference,
        /// How.
        parameters: CryptographicParameters,
        /// IV, counter block or nonce.
        iv: Option<Vec<u8>>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// The authentication tag, for authenticated modes.
        auth_tag: Option<Vec<u8>>,
        /// The encrypted data.
        data: Vec<u8>,
    },
    /// Signs with a private key; ECDSA signatures come back as DER. Answer: [`HsmAnswer::Bytes`].
    Sign {
        /// With which key.
        key: TokenReference,
        /// Padding, hash, salt length.
        parameters: CryptographicParameters,
        /// What.
        input: SignInput,
    },
    /// Verifies with a public key; ECDSA signatures may be DER or r‖s. Answer: [`HsmAnswer::Verified`].
    Verify {
        /// With which key.
        key: TokenReference,
        /// Padding, hash, salt length.
        parameters: CryptographicParameters,
        /// What was signed.
        input: SignInput,
        /// The signature.
        signature: Vec<u8>,
    },
    /// Makes a MAC: HMAC by the parameters' hash or the key's algorithm, or CMAC. Answer: [`HsmAnswer::Bytes`].
    Mac {
        /// With which key.
        key: TokenReference,
        /// The *Cryptographic Algorithm* (HMAC-SHA256, …) or block cipher mode CMAC stands here.
        parameters: CryptographicParameters,
        /// What.
        data: SecretValue,
    },
    /// Makes bytes from a key or held secret. Answer: [`HsmAnswer::Value`].
    Derive {
        /// From what.
        key: TokenReference,
        /// How.
        how: Derivation,
        /// Whether the value may be used outside of the HSM; if not, what the token cannot do is `Unsupported`.
        outside: bool,
    },
    /// The public half of the gateway's own issuer of certificates, made when it is wanted for the first time. Answer:
    /// [`HsmAnswer::Bytes`], SubjectPublicKeyInfo DER.
    CertifierKey,
    /// A signature by it, RSA with SHA-256 (PKCS#1 v1.5). Answer: [`HsmAnswer::Bytes`].
    CertifierSign {
        /// What is signed.
        data: Vec<u8>,
    },
    /// Random bytes. Answer: [`HsmAnswer::Value`].
    Random {
        /// On which token; any of the default group when `None`.
        token: Option<TokenId>,
        /// How many.
        bytes: u32,
    },
    /// Mixes bytes into the token's generator. Answer: [`HsmAnswer::Done`].
    SeedRandom {
        /// The bytes.
        data: SecretValue,
    },
}

/// What stands on a token under one `CKA_ID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Secret key objects.
    pub secret: u32,
    /// Private key objects.
    pub private: u32,
    /// Public key objects.
    pub public: u32,
    /// Data objects.
    pub data: u32,
}

impl Found {
    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.secret == 0 && self.private == 0 && self.public == 0 && self.data == 0
    }
}

/// The answer of an HSM; which variant comes is fixed by the request.
#[derive(Debug)]
pub enum HsmAnswer {
    /// Done, nothing to say.
    Done,
    /// An object stands on the token.
    Made {
        /// Where.
        reference: TokenReference,
        /// SHA-256 of the value, when asked for.
        digest: Option<Vec<u8>>,
    },
    /// A pair stands on the token.
    MadePair {
        /// The private half.
        private: TokenReference,
        /// The public half.
        public: TokenReference,
        /// SHA-256 of the private key's PKCS#8 DER; `None` where it may not leave.
        private_digest: Option<Vec<u8>>,
        /// SHA-256 of the SubjectPublicKeyInfo DER.
        public_digest: Vec<u8>,
    },
    /// What was found.
    Found(Found),
    /// A protected value.
    Value(SecretValue),
    /// Bytes that need no protection.
    Bytes(Vec<u8>),
    /// Encrypted data.
    Encrypted {
        /// The encrypted data, without the tag.
        data: Vec<u8>,
        /// The IV, when the HSM made it.
        iv: Option<Vec<u8>>,
        /// The authentication tag.
        auth_tag: Option<Vec<u8>>,
    },
    /// Whether the signature holds.
    Verified(bool),
}

/// The classes of HSM failure (PKCS#11 contract, section 2), as the engine sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HsmErrorKind {
    /// The object the record names is not on its token.
    ObjectMissing,
    /// The mechanism, curve or length is not offered.
    Unsupported,
    /// The parameters do not fit.
    BadParameters,
    /// The key's own usage bits forbid it.
    NotPermitted,
    /// The value may not leave, by the token's word.
    NotExtractable,
    /// The client's data or value does not fit the mechanism.
    BadData,
    /// Decryption or unwrapping failed; one kind for every cause.
    DecryptionFailed,
    /// No room for another object.
    Full,
    /// The queue is full, or the deadline passed before a session was free.
    Busy,
    /// The token is away, its session or log-in lost, or its PIN refused.
    Unavailable,
    /// An operator refused.
    Refused,
    /// Anything else: the module's fault or ours.
    Internal,
}

/// An HSM failure: the class for the engine, the call and code for the log.
#[derive(Clone, Debug, Error)]
#[error("{function} answered 0x{rv:08X} ({kind:?})")]
pub struct HsmError {
    /// The class.
    pub kind: HsmErrorKind,
    /// The PKCS#11 function, or a step of the pool.
    pub function: &'static str,
    /// The `CK_RV`; 0 when the pool itself refused.
    pub rv: u64,
    /// After how long it is worth another try, where too much waits.
    pub again: Option<Duration>,
}

/// One token as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct TokenStatus {
    /// Its configured name.
    pub token: TokenId,
    /// The group it is in.
    pub group: Option<String>,
    /// In a replicated group: under how many identifiers it may differ from the other tokens.
    pub owed: usize,
    /// Whether the gateway serves without it, because enough others of its group do.
    pub spared: bool,
    /// `starting`, `ready`, `degraded`, `down`, `recovering`, `pin_rejected`, `wrong_token`, `disabled`; in a replicated group
    /// also `resyncing`, `fenced`, `drained`.
    pub health: &'static str,
    /// Why, when it is not ready: what happened and what to do.
    pub reason: Option<String>,
    /// Label as the token shows it.
    pub label: String,
    /// Serial as the token shows it.
    pub serial: String,
    /// Manufacturer as the module shows it.
    pub manufacturer: String,
    /// Model as the token shows it.
    pub model: String,
    /// Firmware version as the token shows it.
    pub firmware: String,
    /// Path of the module.
    pub module: String,
    /// Worker sessions open.
    pub sessions: usize,
    /// Requests waiting.
    pub queued: usize,
    /// Workers inside a call that was given up.
    pub stuck: usize,
    /// How often handles became void.
    pub generation: u64,
    /// Longest value that is held as a generic secret, in bytes; longer ones become data objects.
    pub generic_secret_bytes_max: u32,
    /// Whether it is a simulator.
    pub simulated: bool,
    /// Whether the module says that it is software; a simulator does.
    pub software: bool,
}

/// Keys and random bytes behind PKCS#11.
pub trait Hsm: Send + Sync {
    /// The token for a new object of that project and type.
    ///
    /// # Errors
    ///
    /// `Full` when no token has room, `Unavailable` when none is reachable.
    fn place(&self, project: &ProjectId, object_type: ObjectType) -> Result<TokenId, HsmError>;

    /// The token for a new object that is to go to this one and no other.
    ///
    /// # Errors
    ///
    /// `Full` when it has no room, `Unavailable` when it is not reachable or not configured.
    fn place_on(&self, token: &TokenId) -> Result<TokenId, HsmError>;

    /// Runs one request on these terms. Cancelling the future gives up waiting; a change that has begun is finished.
    fn call(&self, request: HsmRequest, terms: Terms) -> Answer<'_, Result<HsmAnswer, HsmError>>;

    /// Every token.
    fn status(&self) -> Vec<TokenStatus>;
}

// -------------------------------------------------------------------------------------------------------------- store

/// Counts the writes of one record; 0 is never a stored revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// A record and the revision at which it was read.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    /// The record.
    pub record: T,
    /// Its revision.
    pub revision: Revision,
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// There is no such record.
    Absent,
    /// The record is at this revision.
    At(Revision),
}

/// What an intent announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntentKind {
    /// Token objects will appear at these places; without a record that names them they are destroyed again.
    Make,
    /// The value of this object will be destroyed.
    Destroy {
        /// Which object.
        object: UniqueIdentifier,
    },
    /// A value was moved: what it left behind at these places will be destroyed.
    Clear {
        /// Whose value.
        object: UniqueIdentifier,
        /// Where it is now.
        kept: Placement,
    },
}

/// Written before the HSM is changed, removed in the batch that records the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its identifier.
    pub id: [u8; 16],
    /// What will happen.
    pub kind: IntentKind,
    /// On which tokens, under which `CKA_ID`s.
    pub places: Vec<Placement>,
    /// The audit record to write if a crash cuts the act short.
    pub event: AuditEvent,
}

/// One write of a batch.
#[derive(Clone, Debug)]
pub enum Write {
    /// Stores an object; its index entries follow.
    PutObject(Box<ManagedObject>, Guard),
    /// Removes an object without trace.
    RemoveObject(UniqueIdentifier, Guard),
    /// An object's value stands somewhere else from now on. Refused with `Conflict` when it does not stand where it is said to;
    /// the revision stays, because nothing has changed that a client could see: whoever changes the record meanwhile is not
    /// refused, and what he writes names the new place.
    Relocate {
        /// Whose value.
        object: UniqueIdentifier,
        /// Where it stood.
        from: Box<TokenReference>,
        /// Where it stands.
        to: Box<TokenReference>,
    },
    /// Adds to the counters of a key's uses. Refused with `Conflict` when there is no such object; the revision stays, as with
    /// [`Self::Relocate`], so that whoever works on several records is not refused because one of them is used meanwhile.
    CountUses {
        /// Of which object.
        object: UniqueIdentifier,
        /// Which counters, and how many more.
        uses: Vec<(AttributeKind, i64)>,
    },
    /// Stores a group.
    PutGroup(Box<Group>, Guard),
    /// Removes a group.
    RemoveGroup(UniqueIdentifier, Guard),
    /// Stores a job.
    PutJob(Box<Job>, Guard),
    /// Removes a job.
    RemoveJob(UniqueIdentifier, Guard),
    /// Stores what is kept about a project.
    PutProject(Box<Project>, Guard),
    /// Removes what is kept about a project.
    RemoveProject(ProjectId, Guard),
    /// Stores a transport key.
    PutTransportKey(Box<TransportKey>, Guard),
    /// Removes a transport key.
    RemoveTransportKey(UniqueIdentifier, Guard),
    /// Writes nothing. The batch is refused with `CeilingReached` when it would add to a resource of a project and leave
    /// more than `most` of it; batches that are on their way count as if they had arrived.
    Ceiling {
        /// Whose.
        project: ProjectId,
        /// Of what.
        resource: Resource,
        /// How many there may be.
        most: u64,
        /// What has expired by now does not count.
        now: Timestamp,
    },
    /// Stores an intent.
    PutIntent(Box<Intent>),
    /// Removes an intent.
    RemoveIntent([u8; 16]),
    /// Stores an audit record that is owed: it is written at start if the process ends before it is on disk.
    PutOwed(Box<AuditEvent>),
}

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch(pub Vec<Write>);

/// Which objects to walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of a project.
    Project(ProjectId),
    /// All secrets of a project: what is not destroyed, made through either protocol.
    Live(ProjectId),
    /// Those of a project that are not destroyed and are shown under this name, whatever the case of its letters.
    Called(ProjectId, String),
    /// Those of a project that carry this KMIP name and are not destroyed; at most one.
    Name(ProjectId, String),
    /// Those of any project whose access list names this user.
    GrantedTo(String),
    /// Those that may match a search by attributes: at least all that do, the caller judges each. A page may have fewer
    /// records than its limit, or none, before the end.
    Having(Box<Search>),
    /// All.
    Everything,
}

impl Scope {
    /// Whether an object belongs to it, as its record says.
    #[must_use]
    pub fn holds(&self, object: &ManagedObject) -> bool {
        let is_live = object.lifecycle.destroy.is_none();
        match self {
            Self::Project(id) => object.project == *id,
            // Users and their like are objects of KMIP's and nothing that is listed or counted as a secret.
            Self::Live(id) => object.project == *id && is_live && !object.object_type.is_of_accounts(),
            Self::Called(id, text) => {
                let called = |name: &str| name.to_lowercase() == text.to_lowercase();
                Self::Live(id.clone()).holds(object) && object.shown_name().is_some_and(called)
            }
            Self::Name(id, text) => object.project == *id && is_live && object.names().any(|name| name == text),
            Self::GrantedTo(user) => object.secret.grants.iter().any(|grants| grants.users.contains(user)),
            Self::Having(search) => search.admits(object),
            Self::Everything => true,
        }
    }
}

/// In which order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first, identifiers as tie-break.
    OldestFirst,
    /// Newest first.
    NewestFirst,
}

/// Where a walk goes on; opaque to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// Some records and where to go on.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The records.
    pub records: Vec<Versioned<T>>,
    /// `None` at the end.
    pub next: Option<Cursor>,
}

/// Which part of a list, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From which end.
    pub order: Order,
    /// How many to pass over.
    pub offset: usize,
    /// How many at most.
    pub limit: usize,
}

/// A part of a list and the length of the whole.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    /// The part.
    pub records: Vec<T>,
    /// How many there are in all.
    pub total: usize,
}

/// What the passing of time makes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Objects whose expiration has passed and that are not destroyed.
    Expired,
    /// Destroyed objects, by the time of their destruction.
    Destroyed,
}

/// A failure of the store.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// A guard did not hold: somebody else was faster.
    #[error("the record changed meanwhile")]
    Conflict,
    /// The name belongs to another object of the project.
    #[error("the name is taken")]
    NameTaken,
    /// The project has as many of a resource as it may.
    #[error("the quota is used up")]
    CeilingReached,
    /// The record is too large.
    #[error("the record is too large")]
    TooLarge,
    /// A record's integrity check failed, or it cannot be read.
    #[error("a stored record is damaged: {0}")]
    Corrupt(String),
    /// The store and the journal of its changes do not belong together, or the journal is damaged.
    #[error("the store's journal: {0}")]
    Journal(String),
    /// The disk is full: changes are refused until there is room again, reads go on.
    #[error("the store takes no changes: {0}")]
    Full(String),
    /// The disk failed; the process must stop.
    #[error("the store does not accept writes: {0}")]
    Unavailable(String),
}

/// The metadata of everything; never a value.
pub trait MetadataStore: Send + Sync {
    /// An object by identifier, destroyed ones included.
    fn object(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<ManagedObject>>, StoreError>>;
    /// Objects of a scope, at most `limit` (≥ 1) records a page.
    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<ManagedObject>, StoreError>>;
    /// A group by identifier.
    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Group>>, StoreError>>;
    /// Groups of a project, oldest first.
    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>>;
    /// Groups that hold an object.
    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>>;
    /// A job by identifier.
    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Job>>, StoreError>>;
    /// Jobs of a project, oldest first.
    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>>;
    /// Objects of [`Scope::Live`], [`Scope::Called`] or a plain [`Scope::Having`] of one status that have not expired at
    /// `now`, by position. Costs the same however many there are, as long as `offset` is small.
    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<ManagedObject>, StoreError>>;
    /// Groups of a project by position.
    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>>;
    /// Jobs of a project by position.
    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>>;
    /// How many of a resource a project has.
    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>>;
    /// At most `limit` identifiers of what became due at `until` or before, oldest first.
    fn due(&self, what: Due, until: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>>;
    /// What is kept about a project.
    fn project(&self, id: ProjectId) -> Answer<'_, Result<Option<Versioned<Project>>, StoreError>>;
    /// Projects with quotas of their own, by position.
    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>>;
    /// The token that a project prefers; from memory.
    fn preferred(&self, project: &ProjectId) -> Option<TokenId>;
    /// A transport key by identifier.
    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<TransportKey>>, StoreError>>;
    /// All transport keys, oldest first.
    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>>;
    /// Jobs of every project that are not finished.
    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>>;
    /// Intents that were not settled: only after a crash, or while their request runs.
    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>>;
    /// Audit records that are owed.
    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>>;
    /// Writes all of the batch, durable when it returns `Ok`.
    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>>;
    /// Forgets an owed audit record some time soon, with somebody else's commit; losing this is harmless.
    fn forget_owed(&self, event: [u8; 16]);
}

// -------------------------------------------------------------------------------------------------- audit, time, chance

/// How sure the record must be before the answer leaves (design decision 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk.
    Synced,
    /// With the kernel; on disk soon after.
    Handed,
}

/// Called when a record is on disk.
pub type OnDisk = Box<dyn FnOnce() + Send>;

/// The record could not be written.
#[derive(Clone, Debug, Error)]
#[error("the audit record cannot be written: {0}")]
pub struct AuditError(pub String);

/// The audit trail.
pub trait AuditSink: Send + Sync {
    /// Appends one record.
    fn record(&self, event: AuditEvent, durability: Durability) -> Answer<'_, Result<(), AuditError>>;
    /// Appends one record that the store owes, durably: what a power cut takes of the trail is written again at the next start, so
    /// it need only be with the kernel when this returns. `then` is called when it is on disk, and never if that fails.
    fn record_owed(&self, event: AuditEvent, then: OnDisk) -> Answer<'_, Result<(), AuditError>> {
        Box::pin(async move {
            self.record(event, Durability::Synced).await?;
            then();
            Ok(())
        })
    }
    /// Whether a record with this identifier is among the latest ones: asked at start for owed records.
    fn holds(&self, event: [u8; 16]) -> bool;
}

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Random bytes for identifiers and nonces; keys come from the HSM.
pub trait Chance: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// Small facts that outlive a restart and are needed before the HSM is reached: a token's serial, a refused PIN's mark.
pub trait Memory: Send + Sync {
    /// What was remembered under a name.
    ///
    /// # Errors
    ///
    /// The store's own.
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Remembers, durable when it returns.
    ///
    /// # Errors
    ///
    /// The store's own.
    fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError>;
}
