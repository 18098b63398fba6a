//! A managed object: what a client creates, names and destroys. One record for both protocols.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    access::ProjectId,
    algorithm::{CryptographicAlgorithm, KeyFormatType, UsageMask},
    attributes::{Attribute, AttributeKind, AttributeValue, Attributes},
    error::AttributeRefusal,
    lifecycle::{Lifecycle, State},
    reference::{CkaId, TokenReference},
    secret::{SecretFacet, SecretType},
    time::Timestamp,
};

/// The name of a managed object, a version 4 UUID; lower-case with hyphens in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UniqueIdentifier(Uuid);

impl UniqueIdentifier {
    /// From sixteen random bytes; the version and variant bits are set.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// From the sixteen bytes of an identifier that exists.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The `CKA_ID` under which the value lies on its token: the same sixteen bytes.
    #[must_use]
    pub const fn cka_id(&self) -> CkaId {
        CkaId(self.0.into_bytes())
    }
}

impl fmt::Display for UniqueIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The text is no identifier of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case hyphenated UUID")]
pub struct NotAnIdentifier;

impl FromStr for UniqueIdentifier {
    type Err = NotAnIdentifier;

    /// Accepts the canonical text form only: lower-case, hyphenated, version 4.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).ok().filter(|uuid| uuid.get_version_num() == 4).ok_or(NotAnIdentifier)?;
        let identifier = Self(uuid);
        if identifier.to_string() == text { Ok(identifier) } else { Err(NotAnIdentifier) }
    }
}

/// KMIP *Object Type* (KMIP 2.1 §11.33).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ObjectType {
    /// Certificate.
    Certificate,
    /// Symmetric Key.
    SymmetricKey,
    /// Public Key.
    PublicKey,
    /// Private Key.
    PrivateKey,
    /// Split Key.
    SplitKey,
    /// Template, KMIP 1.x.
    Template,
    /// Secret Data.
    SecretData,
    /// Opaque Object.
    OpaqueObject,
    /// PGP Key.
    PgpKey,
    /// Certificate Request.
    CertificateRequest,
    /// User, KMIP 3.0: a name with credentials.
    User,
    /// Group, KMIP 3.0: what Group Links of objects and users point to.
    Group,
    /// Password Credential, KMIP 3.0.
    PasswordCredential,
    /// Device Credential, KMIP 3.0.
    DeviceCredential,
    /// One Time Password Credential, KMIP 3.0.
    OneTimePasswordCredential,
    /// Hashed Password Credential, KMIP 3.0.
    HashedPasswordCredential,
    /// What an obliterated object leaves behind: an identifier that is answered *Item Not Found*. No client names it.
    Obliterated,
}

impl ObjectType {
    /// Every type, in the order of the standard.
    pub const ALL: [Self; 16] = [
        Self::Certificate,
        Self::SymmetricKey,
        Self::PublicKey,
        Self::PrivateKey,
        Self::SplitKey,
        Self::Template,
        Self::SecretData,
        Self::OpaqueObject,
        Self::PgpKey,
        Self::CertificateRequest,
        Self::User,
        Self::Group,
        Self::PasswordCredential,
        Self::DeviceCredential,
        Self::OneTimePasswordCredential,
        Self::HashedPasswordCredential,
    ];

    /// KMIP's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Certificate => 1,
            Self::SymmetricKey => 2,
            Self::PublicKey => 3,
            Self::PrivateKey => 4,
            Self::SplitKey => 5,
            Self::Template => 6,
            Self::SecretData => 7,
            Self::OpaqueObject => 8,
            Self::PgpKey => 9,
            Self::CertificateRequest => 10,
            Self::User => 11,
            Self::Group => 12,
            Self::PasswordCredential => 13,
            Self::DeviceCredential => 14,
            Self::OneTimePasswordCredential => 15,
            Self::HashedPasswordCredential => 16,
            Self::Obliterated => 0,
        }
    }

    /// From KMIP's number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The label of a metric and the word of an audit record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::SymmetricKey => "symmetric-key",
            Self::PublicKey => "public-key",
            Self::PrivateKey => "private-key",
            Self::SplitKey => "split-key",
            Self::Template => "template",
            Self::SecretData => "secret-data",
            Self::OpaqueObject => "opaque-object",
            Self::PgpKey => "pgp-key",
            Self::CertificateRequest => "certificate-request",
            Self::User => "user",
            Self::Group => "group",
            Self::PasswordCredential => "password-credential",
            Self::DeviceCredential => "device-credential",
            Self::OneTimePasswordCredential => "one-time-password-credential",
            Self::HashedPasswordCredential => "hashed-password-credential",
            Self::Obliterated => "obliterated",
        }
    }

    /// Whether objects of this type may have a value; the others are attributes and nothing else.
    #[must_use]
    pub const fn holds_value(self) -> bool {
        !matches!(self, Self::Template | Self::User | Self::Group | Self::Obliterated)
    }

    /// KMIP's Credential Type of a credential object.
    #[must_use]
    pub const fn credential_type(self) -> Option<u32> {
        match self {
            Self::DeviceCredential => Some(2),
            Self::OneTimePasswordCredential => Some(4),
            Self::HashedPasswordCredential => Some(5),
            Self::PasswordCredential => Some(7),
            _ => None,
        }
    }

    /// Whether it belongs to KMIP's own accounts, which no other protocol knows.
    #[must_use]
    pub const fn is_of_accounts(self) -> bool {
        matches!(self, Self::User | Self::Group | Self::Obliterated) || self.credential_type().is_some()
    }

    /// The type that the Barbican API shows for objects that were made through KMIP.
    #[must_use]
    pub const fn shown_type(self) -> SecretType {
        match self {
            Self::SymmetricKey => SecretType::Symmetric,
            Self::PrivateKey => SecretType::Private,
            Self::PublicKey => SecretType::Public,
            Self::Certificate => SecretType::Certificate,
            Self::SecretData => SecretType::Passphrase,
            Self::SplitKey
            | Self::Template
            | Self::OpaqueObject
            | Self::PgpKey
            | Self::CertificateRequest
            | Self::User
            | Self::Group
            | Self::PasswordCredential
            | Self::DeviceCredential
            | Self::OneTimePasswordCredential
            | Self::HashedPasswordCredential
            | Self::Obliterated => SecretType::Opaque,
        }
    }

    /// Whether it travels in a key block.
    #[must_use]
    pub const fn has_key_block(self) -> bool {
        self.is_key() || matches!(self, Self::SplitKey | Self::SecretData | Self::PgpKey)
    }

    /// Whether it is one of the three kinds of key that cryptographic operations use.
    #[must_use]
    pub const fn is_key(self) -> bool {
        matches!(self, Self::SymmetricKey | Self::PublicKey | Self::PrivateKey)
    }
}

/// Which protocol an object was made through; decides defaults, never who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// A KMIP client made it.
    Kmip,
    /// The Barbican API made it.
    Barbican,
}

/// What a client creates, names and destroys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManagedObject {
    /// Its name for both protocols.
    pub identifier: UniqueIdentifier,
    /// What it is.
    pub object_type: ObjectType,
    /// Whose it is.
    pub project: ProjectId,
    /// The user or client that made it; Barbican's `creator_id`.
    pub creator: Option<String>,
    /// Through which protocol it was made.
    pub origin: Origin,
    /// Where its value is; `None` before a late payload, for metadata-only objects and after Destroy.
    pub value: Option<TokenReference>,
    /// The encoding in which reads give the value back when none is asked for.
    pub format: Option<KeyFormatType>,
    /// For certificates, secret data and opaque objects: KMIP's type number within the object.
    pub subtype: Option<u32>,
    /// Events and dates.
    pub lifecycle: Lifecycle,
    /// Stored attributes: those that are not computed from the rest of the record.
    pub attributes: Attributes,
    /// What only the Barbican API keeps.
    pub secret: SecretFacet,
}

/// How often a key was used, and for what (KMIP 3.0): only counting changes them.
pub const USE_COUNTERS: [AttributeKind; 5] = [
    AttributeKind::CertifyCounter,
    AttributeKind::DecryptCounter,
    AttributeKind::EncryptCounter,
    AttributeKind::SignCounter,
    AttributeKind::SignatureVerifyCounter,
];

impl ManagedObject {
    /// One of [`USE_COUNTERS`].
    #[must_use]
    pub fn uses(&self, kind: &AttributeKind) -> i64 {
        match self.attributes.value(kind) {
            Some(AttributeValue::Long(count)) => *count,
            _ => 0,
        }
    }

    /// Adds to [`USE_COUNTERS`].
    pub fn count_uses(&mut self, uses: &[(AttributeKind, i64)]) {
        for (kind, count) in uses {
            let total = self.uses(kind).saturating_add(*count);
            self.attributes.set(kind.clone(), AttributeValue::Long(total));
        }
    }

    /// What is written of an object that was counted meanwhile tells what is counted by now; one that takes its place begins anew.
    pub fn follow_uses(&mut self, stored: &Self) {
        if self.lifecycle.initial != stored.lifecycle.initial {
            return;
        }
        for kind in USE_COUNTERS {
            if let Some(counted) = stored.attributes.value(&kind)
                && self.attributes.value(&kind) != Some(counted)
            {
                self.attributes.set(kind, counted.clone());
            }
        }
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        self.lifecycle.state(now)
    }

    /// Whether its Barbican expiration has passed: then no protocol finds it any more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.secret.expiration.is_some_and(|expiration| expiration <= now)
    }

    /// The algorithm, if it has one.
    #[must_use]
    pub fn algorithm(&self) -> Option<CryptographicAlgorithm> {
        match self.attributes.value(&AttributeKind::CryptographicAlgorithm) {
            Some(AttributeValue::Enumeration(number)) => Some(CryptographicAlgorithm(*number)),
            _ => None,
        }
    }

    /// The cryptographic length in bits, if it has one.
    #[must_use]
    pub fn length_bits(&self) -> Option<u32> {
        match self.attributes.value(&AttributeKind::CryptographicLength) {
            Some(AttributeValue::Integer(bits)) => u32::try_from(*bits).ok(),
            _ => None,
        }
    }

    /// What it may be used for; nothing when the attribute is absent.
    #[must_use]
    pub fn usage(&self) -> UsageMask {
        match self.attributes.value(&AttributeKind::CryptographicUsageMask) {
            Some(AttributeValue::Integer(bits)) => UsageMask(bits.cast_unsigned()),
            _ => UsageMask::default(),
        }
    }

    /// A Boolean attribute, or its default.
    #[must_use]
    pub fn flag(&self, kind: &AttributeKind, default: bool) -> bool {
        match self.attributes.value(kind) {
            Some(AttributeValue::Boolean(flag)) => *flag,
            _ => default,
        }
    }

    /// The objects it links to by one link type, in order; links to what is no identifier of ours are left out.
    pub fn links(&self, of: u32) -> impl Iterator<Item = UniqueIdentifier> {
        self.attributes.of(&AttributeKind::Link).filter_map(move |attribute| match &attribute.value {
            AttributeValue::Link { kind, target } if *kind == of => target.parse().ok(),
            _ => None,
        })
    }

    /// Links to another object: replaces the link of that type where there is one.
    ///
    /// # Errors
    ///
    /// [`AttributeRefusal::TooMany`].
    pub fn link_once(&mut self, kind: u32, target: UniqueIdentifier) -> Result<(), AttributeRefusal> {
        let value = AttributeValue::Link { kind, target: target.to_string() };
        let known = self.attributes.of(&AttributeKind::Link).find_map(|attribute| match attribute.value {
            AttributeValue::Link { kind: of, .. } if of == kind => Some(attribute.index),
            _ => None,
        });
        match known {
            Some(index) => self.attributes.replace(&AttributeKind::Link, index, value),
            None => self.attributes.add(AttributeKind::Link, value).map(drop),
        }
    }

    /// Links to another object beside those it links to already.
    ///
    /// # Errors
    ///
    /// [`AttributeRefusal::TooMany`].
    pub fn link(&mut self, kind: u32, target: UniqueIdentifier) -> Result<(), AttributeRefusal> {
        let value = AttributeValue::Link { kind, target: target.to_string() };
        self.attributes.add(AttributeKind::Link, value).map(drop)
    }

    /// Its KMIP names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.of(&AttributeKind::Name).filter_map(|attribute| match &attribute.value {
            AttributeValue::Name { value, .. } => Some(value.as_str()),
            _ => None,
        })
    }

    /// The name that the Barbican API shows: its own, or the first KMIP name.
    #[must_use]
    pub fn shown_name(&self) -> Option<&str> {
        match self.origin {
            Origin::Barbican => self.secret.name.as_deref(),
            Origin::Kmip => self.names().next(),
        }
    }

    /// The type that the Barbican API shows: its own, or what comes nearest to the KMIP type.
    #[must_use]
    pub fn shown_type(&self) -> SecretType {
        self.secret.secret_type.unwrap_or_else(|| self.object_type.shown_type())
    }

    /// The algorithm that the Barbican API shows: its own text, or the word of its clients for KMIP's algorithm.
    #[must_use]
    pub fn shown_algorithm(&self) -> Option<String> {
        match self.origin {
            Origin::Barbican => self.secret.algorithm.clone(),
            Origin::Kmip => self.algorithm().and_then(CryptographicAlgorithm::word),
        }
    }

    /// The bit length that the Barbican API shows.
    #[must_use]
    pub fn shown_bit_length(&self) -> Option<u32> {
        match self.origin {
            Origin::Barbican => self.secret.bit_length,
            Origin::Kmip => self.length_bits(),
        }
    }

    /// Every attribute as a reader at `now` sees it: the stored ones and those computed from the record.
    ///
    /// Ordered as the standard lists them is the front end's business; here stored attributes come first.
    #[must_use]
    pub fn all_attributes(&self, now: Timestamp) -> Vec<Attribute> {
        use AttributeKind as K;
        use AttributeValue as V;
        let mut all: Vec<Attribute> = self.attributes.iter().cloned().collect();
        let mut add = |kind: K, value: V| all.push(Attribute { kind, index: 0, value });
        add(K::UniqueIdentifier, V::Text(self.identifier.to_string()));
        add(K::ObjectType, V::Enumeration(self.object_type.number()));
        // Users' objects all: the gateway's own keys are no managed objects.
        add(K::ObjectClass, V::Enumeration(1));
        if let Some(number) = self.object_type.credential_type() {
            add(K::CredentialType, V::Enumeration(number));
        }
        add(K::State, V::Enumeration(self.state(now).number()));
        add(K::InitialDate, V::Date(self.lifecycle.initial));
        add(K::LastChangeDate, V::Date(self.lifecycle.last_change));
        let dates = [
            (K::OriginalCreationDate, self.lifecycle.original_creation),
            (K::ActivationDate, self.lifecycle.activation),
            (K::ProcessStartDate, self.lifecycle.process_start),
            (K::ProtectStopDate, self.lifecycle.protect_stop),
            (K::DeactivationDate, self.lifecycle.deactivation),
            (K::CompromiseOccurrenceDate, self.lifecycle.compromise_occurrence),
            (K::CompromiseDate, self.lifecycle.compromise),
            (K::DestroyDate, self.lifecycle.destroy),
            (K::ArchiveDate, self.lifecycle.archive),
        ];
        for (kind, date) in dates {
            if let Some(date) = date {
                add(kind, V::Date(date));
            }
        }
        if let Some(reason) = &self.lifecycle.revocation {
            add(K::RevocationReason, V::RevocationReason { code: reason.code, message: reason.message.clone() });
        }
        if let Some(format) = self.format.filter(|_| self.object_type.has_key_block()) {
            add(K::KeyFormatType, V::Enumeration(format.0));
        } else if self.object_type == ObjectType::Certificate {
            add(K::KeyFormatType, V::Enumeration(KeyFormatType::RAW.0));
        }
        match (self.object_type, self.subtype) {
            (ObjectType::Certificate, Some(number)) => add(K::CertificateType, V::Enumeration(number)),
            (ObjectType::OpaqueObject, Some(number)) => add(K::OpaqueDataType, V::Enumeration(number)),
            _ => {}
        }
        if self.origin == Origin::Barbican
            && let Some(name) = self.secret.name.as_ref().filter(|name| !name.is_empty())
        {
            add(K::AlternativeName, V::AlternativeName { value: name.clone(), kind: 1 });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_an_identifier() {
        let text = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";
        assert_eq!(text.parse::<UniqueIdentifier>().unwrap().to_string(), text);
        for wrong in [
            "6C2F3F1E-0B1A-4D5C-9E2F-1A2B3C4D5E6F",
            "6c2f3f1e0b1a4d5c9e2f1a2b3c4d5e6f",
            "1",
            "",
            "6c2f3f1e-0b1a-1d5c-9e2f-1a2b3c4d5e6f",
        ] {
            assert_eq!(wrong.parse::<UniqueIdentifier>(), Err(NotAnIdentifier), "{wrong}");
        }
    }
}
