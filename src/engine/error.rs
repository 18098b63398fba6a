//! What a use case answers when it cannot do what was asked: a kind, a text for the client, a cause for the log.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use super::ports::{AuditError, HsmError, HsmErrorKind, StoreError};
use crate::domain::error::{AttributeRefusal, IllegalTransition};

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $name:literal;)*) => {
        /// Every way in which a use case can end badly. Each front end has one table over these, without a wildcard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$meta])* $kind,)* }
        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];
            /// The stable name: a metric label and the word of an audit record.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// No such object, or one that the caller may not know of.
    NotFound = "not-found";
    /// The object belongs to another project, and the protocol lets the caller know that it exists.
    Foreign = "foreign";
    /// The object has been destroyed.
    Destroyed = "destroyed";
    /// The object was obliterated: not even its attributes are left.
    Obliterated = "obliterated";
    /// The object is archived.
    Archived = "archived";
    /// The object has no value yet, or none at all.
    ValueMissing = "value-missing";
    /// The object has a value already.
    ValuePresent = "value-present";
    /// The state or a date forbids it.
    WrongState = "wrong-state";
    /// No such transition exists from the object's state.
    IllegalTransition = "illegal-transition";
    /// The usage mask lacks the bit.
    WrongUsage = "wrong-usage";
    /// The usage limit does not allow it.
    UsageSpent = "usage-spent";
    /// What is left of the usage limit is less than what is asked for.
    AllocationRefused = "allocation-refused";
    /// The object has no usage limit to take from.
    NoUsageLimit = "no-usage-limit";
    /// No lease is given.
    LeaseRefused = "lease-refused";
    /// An offset shifts dates against an Activation Date that the object does not have.
    OffsetImpossible = "offset-impossible";
    /// The wrapping key is archived.
    WrappingKeyArchived = "wrapping-key-archived";
    /// The key cannot be given wrapped, or unwrapped, as asked.
    WrapTypeUnsupported = "wrap-type-unsupported";
    /// The operation does not apply to this type of object.
    WrongObjectType = "wrong-object-type";
    /// The name belongs to another object: at creation.
    NameTaken = "name-taken";
    /// The name belongs to another object: when an attribute is added or changed.
    NameTakenOnChange = "name-taken-on-change";
    /// The identifier exists already.
    AlreadyExists = "already-exists";
    /// Somebody changed the object meanwhile, several times over.
    Conflict = "conflict";
    /// Consumers use it.
    InUse = "in-use";
    /// The value may not leave.
    NotExtractable = "not-extractable";
    /// The value may leave wrapped only.
    Sensitive = "sensitive";
    /// Who asks is not known.
    Unauthenticated = "unauthenticated";
    /// The rules refuse.
    Denied = "denied";
    /// The rights that somebody lent for this do not reach so far.
    NotAuthorised = "not-authorised";
    /// A quota is used up.
    QuotaReached = "quota-reached";
    /// The request cannot be read.
    Malformed = "malformed";
    /// Something required is missing.
    Missing = "missing";
    /// A field's value is not allowed.
    InvalidField = "invalid-field";
    /// An attribute's value is not allowed.
    InvalidAttributeValue = "invalid-attribute-value";
    /// The attribute is not known or does not apply.
    UnknownAttribute = "unknown-attribute";
    /// The attribute is the server's.
    AttributeReadOnly = "attribute-read-only";
    /// The attribute takes one instance.
    AttributeSingleValued = "attribute-single-valued";
    /// The attribute has several instances, and the request does not say which.
    AttributeMultiValued = "attribute-multi-valued";
    /// No such attribute, or no such instance of it.
    AttributeMissing = "attribute-missing";
    /// The attribute's value has another type than the operation takes.
    WrongDataType = "wrong-data-type";
    /// The result would be out of range.
    OutOfRange = "out-of-range";
    /// Too many attribute instances.
    TooManyAttributes = "too-many-attributes";
    /// The key cannot be given in that format.
    FormatUnsupported = "format-unsupported";
    /// The wrapping key does not exist.
    WrappingKeyMissing = "wrapping-key-missing";
    /// The wrapping key is no key.
    WrappingKeyWrongType = "wrapping-key-wrong-type";
    /// The wrapping key may not wrap.
    WrappingKeyWrongUsage = "wrapping-key-wrong-usage";
    /// The wrapping key's state forbids it.
    WrappingKeyWrongState = "wrapping-key-wrong-state";
    /// The wrapping key has been destroyed.
    WrappingKeyDestroyed = "wrapping-key-destroyed";
    /// The wrapping encoding does not go with the request.
    WrappingEncoding = "wrapping-encoding";
    /// The operation is not offered.
    UnsupportedOperation = "unsupported-operation";
    /// A feature of the operation is not offered.
    UnsupportedFeature = "unsupported-feature";
    /// The algorithm, mode or length is not offered.
    UnsupportedParameters = "unsupported-parameters";
    /// The parameters contradict each other or the key.
    BadParameters = "bad-parameters";
    /// An IV is needed.
    IvMissing = "iv-missing";
    /// A protection that the client asked for cannot be given.
    RequirementUnmet = "requirement-unmet";
    /// The length of an authentication tag is illegal.
    TagLength = "tag-length";
    /// The request or answer is too large.
    TooLarge = "too-large";
    /// The cryptographic operation failed: bad tag, padding, data.
    Cryptographic = "cryptographic";
    /// No token has room.
    Full = "full";
    /// Too much is waiting; again later.
    Busy = "busy";
    /// The HSM, the store or the audit trail is away; again later.
    Unavailable = "unavailable";
    /// A fault of ours or of the module.
    Internal = "internal";
}

/// A use case's failure.
#[derive(Debug)]
pub struct Error {
    /// Which.
    pub kind: ErrorKind,
    /// A text for the client; never a value, handle, label or library message.
    pub public: Cow<'static, str>,
    /// After how long it is worth another try, where that is known.
    pub again: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a text for the client.
    #[must_use]
    pub fn new(kind: ErrorKind, public: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, public: public.into(), again: None, source: None }
    }

    /// The same with a cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same, worth another try after that time.
    #[must_use]
    pub const fn again_in(mut self, time: Duration) -> Self {
        self.again = Some(time);
        self
    }

    /// No such object.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ErrorKind::NotFound, "no such object")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.public)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<HsmError> for Error {
    fn from(error: HsmError) -> Self {
        use ErrorKind as E;
        use HsmErrorKind as H;
        let (kind, public) = match error.kind {
            H::ObjectMissing => (E::Internal, "the HSM does not hold the value that the record names"),
            H::Unsupported => (E::UnsupportedParameters, "the HSM does not offer this algorithm, mode, length or use"),
            H::BadParameters => (E::BadParameters, "the parameters do not fit the key or mechanism"),
            H::NotPermitted => (E::WrongUsage, "the key may not be used for this"),
            H::NotExtractable => (E::NotExtractable, "the value may not leave the HSM"),
            H::BadData => (E::Cryptographic, "the data does not fit the key or mechanism"),
            H::DecryptionFailed => (E::Cryptographic, "decryption failed"),
            H::Full => (E::Full, "no HSM token has room for another object"),
            H::Busy => (E::Busy, "the HSM is busy; try again later"),
            H::Unavailable => (E::Unavailable, "the HSM is not reachable; try again later"),
            H::Refused => (E::Denied, "an HSM operator refused"),
            H::Internal => (E::Internal, "the HSM failed"),
        };
        let again = error.again;
        Self { again, ..Self::new(kind, public) }.because(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let (kind, public) = match &error {
            StoreError::Conflict => (ErrorKind::Conflict, "the object changed meanwhile; try again"),
            StoreError::NameTaken => (ErrorKind::NameTaken, "the name belongs to another object of the project"),
            StoreError::CeilingReached => (ErrorKind::QuotaReached, "a quota has been reached"),
            StoreError::TooLarge => (ErrorKind::TooLarge, "the object's metadata is too large"),
            StoreError::Corrupt(_) => (ErrorKind::Internal, "a stored record is damaged"),
            StoreError::Journal(_) => (ErrorKind::Internal, "the store's journal is damaged"),
            StoreError::Full(_) => (ErrorKind::Busy, "the store takes no changes for now: its disk is full"),
            StoreError::Unavailable(_) => (ErrorKind::Unavailable, "the store is not writable"),
        };
        Self::new(kind, public).because(error)
    }
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        Self::new(ErrorKind::Unavailable, "the audit trail cannot be written").because(error)
    }
}

impl From<IllegalTransition> for Error {
    fn from(error: IllegalTransition) -> Self {
        Self::new(ErrorKind::IllegalTransition, format!("not possible for an object that is {}", error.from.name()))
            .because(error)
    }
}

impl From<AttributeRefusal> for Error {
    fn from(refusal: AttributeRefusal) -> Self {
        let kind = match refusal {
            AttributeRefusal::ReadOnly => ErrorKind::AttributeReadOnly,
            AttributeRefusal::SingleValued => ErrorKind::AttributeSingleValued,
            AttributeRefusal::NoSuchInstance => ErrorKind::AttributeMissing,
            AttributeRefusal::NotApplicable => ErrorKind::UnknownAttribute,
            AttributeRefusal::InvalidValue(_) => ErrorKind::InvalidAttributeValue,
            AttributeRefusal::WrongState => ErrorKind::WrongState,
            AttributeRefusal::MultiValued => ErrorKind::AttributeMultiValued,
            AttributeRefusal::TooMany => ErrorKind::TooManyAttributes,
        };
        Self::new(kind, refusal.to_string()).because(refusal)
    }
}
