//! Attributes of managed objects, in one canonical form for every protocol version, and the rules for changing them.
//!
//! A record stores the attributes that are not computed from its dates and identity. Instances keep their index for life:
//! a deleted index is never given out again while a higher one exists (KMIP 1.4 §3). The order of [`AttributeKind`] is the
//! order in which variants were added: records on disk depend on it, so new variants go to the end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ObjectType, algorithm::CryptographicParameters, error::AttributeRefusal, time::Timestamp};

macro_rules! kinds {
    ($($kind:ident: $multi:ident $client:ident $change:ident $delete:ident;)*) => {
        /// Which attribute (KMIP 2.1 §4; 1.x names are mapped by the KMIP front end).
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AttributeKind {
            /// A custom (1.x) or vendor (2.x) attribute; vendor `x` is a client's, `y` the server's. It stands first so that
            /// its number never moves.
            Vendor {
                /// Vendor Identification.
                vendor: String,
                /// Attribute Name.
                name: String,
            },
            $(#[doc = concat!("*", stringify!($kind), "*.")] $kind,)*
        }

        impl AttributeKind {
            /// Every standard attribute.
            pub const STANDARD: &'static [Self] = &[$(Self::$kind,)*];

            /// The rule of this attribute.
            #[must_use]
            pub fn rule(&self) -> Rule {
                match self {
                    $(Self::$kind => Rule {
                        instances: Instances::$multi, initially: SetBy::$client, changed: Change::$change, deletable: Deletion::$delete == Deletion::Yes,
                    },)*
                    Self::Vendor { vendor, .. } => Rule {
                        instances: Instances::Many,
                        initially: if vendor == "y" { SetBy::Server } else { SetBy::Client },
                        changed: if vendor == "y" { Change::Never } else { Change::Anytime },
                        deletable: vendor != "y",
                    },
                }
            }
        }
    };
}

/// KMIP *Link Type* (KMIP 2.1 §11.31), the ones that this server sets or follows.
pub mod link {
    /// From a public key to its certificate, or from a certificate to the one that signed it.
    pub const CERTIFICATE: u32 = 0x101;
    /// To the public half of a pair.
    pub const PUBLIC_KEY: u32 = 0x102;
    /// To the private half of a pair.
    pub const PRIVATE_KEY: u32 = 0x103;
    /// To what the object was derived from.
    pub const DERIVATION_BASE: u32 = 0x104;
    /// To what was derived from the object.
    pub const DERIVED: u32 = 0x105;
    /// To the object that took this one's place.
    pub const REPLACEMENT: u32 = 0x106;
    /// To the object whose place this one took.
    pub const REPLACED: u32 = 0x107;
    /// From a part of a key to the key.
    pub const PARENT: u32 = 0x108;
    /// From a key to its parts.
    pub const CHILD: u32 = 0x109;
    /// To the part before.
    pub const PREVIOUS: u32 = 0x10A;
    /// To the part after.
    pub const NEXT: u32 = 0x10B;
    /// From a private key to the certificate of its PKCS#12 store.
    pub const PKCS12_CERTIFICATE: u32 = 0x10C;
    /// To the password of a PKCS#12 store.
    pub const PKCS12_PASSWORD: u32 = 0x10D;
    /// To the key that an object is wrapped under.
    pub const WRAPPING_KEY: u32 = 0x10E;
}

/// How many instances an object may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// At most one.
    One,
    /// Any number up to the limit.
    Many,
}

/// Who gives the first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The server only.
    Server,
    /// A client may.
    Client,
}

/// When a client may change the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Never.
    Never,
    /// While the object lives.
    Anytime,
    /// Only while Pre-Active.
    PreActive,
    /// While Pre-Active or Active.
    UntilDeactivated,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deletion {
    Yes,
    No,
}

/// One row of the attribute table (KMIP 2.1 §4, "Attribute rules"; contract §8).
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// How many instances.
    pub instances: Instances,
    /// Who sets it first.
    pub initially: SetBy,
    /// When a client may change it.
    pub changed: Change,
    /// Whether a client may delete it.
    pub deletable: bool,
}

kinds! {
    ActivationDate: One Client PreActive No;
    AlternativeName: Many Client Anytime Yes;
    AlwaysSensitive: One Server Never No;
    ApplicationSpecificInformation: Many Client Anytime Yes;
    ArchiveDate: One Server Never No;
    CertificateIdentifier: One Server Never No;
    CertificateIssuer: One Server Never No;
    CertificateLength: One Server Never No;
    CertificateSubject: One Server Never No;
    CertificateType: One Server Never No;
    Comment: One Client Anytime Yes;
    CompromiseDate: One Server Never No;
    CompromiseOccurrenceDate: One Server Never No;
    ContactInformation: One Client Anytime Yes;
    CryptographicAlgorithm: One Client Never No;
    CryptographicDomainParameters: One Client Never No;
    CryptographicLength: One Client Never No;
    CryptographicParameters: Many Client Anytime Yes;
    CryptographicUsageMask: One Client Never No;
    DeactivationDate: One Client UntilDeactivated No;
    Description: One Client Anytime Yes;
    DestroyDate: One Server Never No;
    Digest: Many Server Never No;
    DigitalSignatureAlgorithm: Many Server Never No;
    Extractable: One Client Anytime No;
    Fresh: One Client Never No;
    InitialDate: One Server Never No;
    KeyFormatType: One Server Never No;
    KeyValueLocation: Many Client Anytime Yes;
    KeyValuePresent: One Server Never No;
    LastChangeDate: One Server Never No;
    LeaseTime: One Server Never No;
    Link: Many Client Anytime Yes;
    NistKeyType: Many Client Never No;
    Name: Many Client Anytime Yes;
    NeverExtractable: One Server Never No;
    ObjectGroup: Many Client Anytime Yes;
    ObjectType: One Server Never No;
    OpaqueDataType: One Server Never No;
    OperationPolicyName: One Client Never No;
    OriginalCreationDate: One Client Never No;
    Pkcs12FriendlyName: One Client Anytime Yes;
    ProcessStartDate: One Client UntilDeactivated No;
    ProtectStopDate: One Client UntilDeactivated No;
    ProtectionLevel: One Client Anytime Yes;
    ProtectionPeriod: One Client Anytime Yes;
    ProtectionStorageMask: One Server Never No;
    QuantumSafe: One Client Anytime Yes;
    RandomNumberGenerator: One Client Never No;
    RevocationReason: One Server Never No;
    RotateAutomatic: One Client Never No;
    RotateDate: One Server Never No;
    RotateGeneration: One Server Never No;
    RotateInterval: One Client Never No;
    RotateLatest: One Server Never No;
    RotateName: One Client Anytime Yes;
    RotateOffset: One Client Never No;
    Sensitive: One Client Anytime No;
    ShortUniqueIdentifier: One Server Never No;
    State: One Server Never No;
    UniqueIdentifier: One Server Never No;
    UsageLimits: One Client Anytime Yes;
    X509CertificateIdentifier: One Server Never No;
    X509CertificateIssuer: One Server Never No;
    X509CertificateSubject: One Server Never No;
    CertificateAttributes: Many Server Never No;
    CertificateSubjectCn: Many Server Never No;
    CertificateSubjectO: Many Server Never No;
    CertificateSubjectOu: Many Server Never No;
    CertificateSubjectEmail: Many Server Never No;
    CertificateSubjectC: Many Server Never No;
    CertificateSubjectSt: Many Server Never No;
    CertificateSubjectL: Many Server Never No;
    CertificateSubjectUid: Many Server Never No;
    CertificateSubjectSerialNumber: Many Server Never No;
    CertificateSubjectTitle: Many Server Never No;
    CertificateSubjectDc: Many Server Never No;
    CertificateSubjectDnQualifier: Many Server Never No;
    CertificateIssuerCn: Many Server Never No;
    CertificateIssuerO: Many Server Never No;
    CertificateIssuerOu: Many Server Never No;
    CertificateIssuerEmail: Many Server Never No;
    CertificateIssuerC: Many Server Never No;
    CertificateIssuerSt: Many Server Never No;
    CertificateIssuerL: Many Server Never No;
    CertificateIssuerUid: Many Server Never No;
    CertificateIssuerSerialNumber: Many Server Never No;
    CertificateIssuerTitle: Many Server Never No;
    CertificateIssuerDc: Many Server Never No;
    CertificateIssuerDnQualifier: Many Server Never No;
    SplitKeyParts: One Server Never No;
    SplitKeyThreshold: One Server Never No;
    SplitKeyMethod: One Server Never No;
    KeyPartIdentifier: One Server Never No;
    SplitKeyPolynomial: One Server Never No;
    PrimeFieldSize: One Server Never No;
    KeyWrappingData: One Server Never No;
    ObjectClass: One Server Never No;
    CredentialType: One Server Never No;
    DeactivationReason: One Server Never No;
    NistSecurityCategory: One Client Anytime Yes;
    CertificateRequestLink: Many Client Anytime Yes;
    CredentialLink: Many Client Anytime Yes;
    GroupLink: Many Client Anytime Yes;
    JoinedSplitKeyPartsLink: Many Client Anytime Yes;
    PasswordLink: Many Client Anytime Yes;
    SplitKeyBaseLink: Many Client Anytime Yes;
    CertifyCounter: One Server Never No;
    DecryptCounter: One Server Never No;
    EncryptCounter: One Server Never No;
    SignCounter: One Server Never No;
    SignatureVerifyCounter: One Server Never No;
}

impl AttributeKind {
    /// Whether it is a field of a certificate's subject or issuer; they stand together in the table.
    #[must_use]
    pub fn is_certificate_name(&self) -> bool {
        (Self::CertificateSubjectCn..=Self::CertificateIssuerDnQualifier).contains(self)
    }

    /// Whether objects of this type may have it (KMIP 1.4 §3, "Applies to Object Types"). What the server alone sets it sets
    /// where it belongs; a template holds what other objects are made with.
    #[must_use]
    pub const fn applies_to(&self, object_type: ObjectType) -> bool {
        match self {
            Self::CryptographicDomainParameters => matches!(
                object_type,
                ObjectType::PublicKey
                    | ObjectType::PrivateKey
                    | ObjectType::SplitKey
                    | ObjectType::PgpKey
                    | ObjectType::Template
            ),
            _ => true,
        }
    }

    /// Whether the value is computed from the record and never stored among [`Attributes`].
    #[must_use]
    pub const fn is_computed(&self) -> bool {
        matches!(
            self,
            Self::ActivationDate
                | Self::ArchiveDate
                | Self::CertificateType
                | Self::CompromiseDate
                | Self::CompromiseOccurrenceDate
                | Self::CredentialType
                | Self::DeactivationDate
                | Self::DestroyDate
                | Self::InitialDate
                | Self::KeyFormatType
                | Self::LastChangeDate
                | Self::ObjectClass
                | Self::ObjectType
                | Self::OpaqueDataType
                | Self::OriginalCreationDate
                | Self::ProcessStartDate
                | Self::ProtectStopDate
                | Self::RevocationReason
                | Self::State
                | Self::UniqueIdentifier
        )
    }
}

/// The value of an attribute instance: a variant for each shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeValue {
    /// A 32-bit number or mask.
    Integer(i32),
    /// A 64-bit number.
    Long(i64),
    /// A big integer, two's complement, as sent.
    BigInteger(Vec<u8>),
    /// An enumeration's number.
    Enumeration(u32),
    /// True or false.
    Boolean(bool),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A date; KMIP sees whole seconds.
    Date(Timestamp),
    /// Seconds.
    Interval(u32),
    /// Name: text and Name Type.
    Name {
        /// Name Value.
        value: String,
        /// Name Type.
        kind: u32,
    },
    /// Alternative Name.
    AlternativeName {
        /// Alternative Name Value.
        value: String,
        /// Alternative Name Type.
        kind: u32,
    },
    /// Link.
    Link {
        /// Link Type.
        kind: u32,
        /// Linked Object Identifier.
        target: String,
    },
    /// Application Specific Information.
    Application {
        /// Application Namespace.
        namespace: String,
        /// Application Data.
        data: Option<String>,
    },
    /// Cryptographic Parameters.
    CryptographicParameters(Box<CryptographicParameters>),
    /// Cryptographic Domain Parameters.
    DomainParameters {
        /// Qlength in bits.
        q_length: Option<i32>,
        /// Recommended Curve.
        recommended_curve: Option<u32>,
    },
    /// Digest.
    Digest {
        /// Hashing Algorithm.
        hashing_algorithm: u32,
        /// Digest Value.
        value: Vec<u8>,
        /// Key Format Type of what was hashed.
        format: Option<u32>,
    },
    /// Usage Limits.
    UsageLimits {
        /// Usage Limits Total.
        total: i64,
        /// Usage Limits Count: what is left.
        count: Option<i64>,
        /// Usage Limits Unit: 1 byte, 2 object.
        unit: u32,
    },
    /// Revocation Reason.
    RevocationReason {
        /// Revocation Reason Code.
        code: u32,
        /// Revocation Message.
        message: Option<String>,
    },
    /// Key Value Location.
    KeyValueLocation {
        /// Key Value Location Value.
        value: String,
        /// Key Value Location Type.
        kind: u32,
    },
    /// Random Number Generator: what made the key.
    Generator {
        /// RNG Algorithm.
        algorithm: u32,
    },
    /// Any other structure, in the encoding that the KMIP front end understands; metadata, never a value of an object.
    Structure(Vec<u8>),
    /// Random Number Generator: what made the key, as the configuration describes the HSM's generator.
    Rng(Box<RngParameters>),
}

/// KMIP *RNG Parameters* (KMIP 2.1 §7.27), numbered as KMIP numbers them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngParameters {
    /// RNG Algorithm; 1 is unspecified.
    pub algorithm: u32,
    /// Cryptographic Algorithm.
    pub cryptographic_algorithm: Option<u32>,
    /// Cryptographic Length in bits.
    pub cryptographic_length: Option<i32>,
    /// Hashing Algorithm.
    pub hashing_algorithm: Option<u32>,
    /// DRBG Algorithm.
    pub drbg_algorithm: Option<u32>,
    /// Recommended Curve.
    pub recommended_curve: Option<u32>,
    /// FIPS 186 Variation.
    pub fips186_variation: Option<u32>,
    /// Prediction Resistance.
    pub prediction_resistance: Option<bool>,
}

impl RngParameters {
    /// A generator of which nothing is known.
    #[must_use]
    pub const fn unspecified() -> Self {
        Self {
            algorithm: 1,
            cryptographic_algorithm: None,
            cryptographic_length: None,
            hashing_algorithm: None,
            drbg_algorithm: None,
            recommended_curve: None,
            fips186_variation: None,
            prediction_resistance: None,
        }
    }
}

/// One instance of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Which attribute.
    pub kind: AttributeKind,
    /// Which instance; 0 for single-valued ones. Stable while the instance lives.
    pub index: u32,
    /// Its value.
    pub value: AttributeValue,
}

impl Attribute {
    /// The first or only instance.
    #[must_use]
    pub const fn new(kind: AttributeKind, value: AttributeValue) -> Self {
        Self { kind, index: 0, value }
    }
}

/// The stored attributes of one object, in the order in which they came.
///
/// Copies share them until one is changed: every request works on a copy of the record that the store keeps decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes(Arc<Vec<Attribute>>);

impl Attributes {
    /// Most attribute instances one object may carry.
    pub const LIMIT: usize = 512;

    /// All instances.
    pub fn iter(&self) -> impl Iterator<Item = &Attribute> {
        self.0.iter()
    }

    /// The instances of one attribute, by index.
    pub fn of<'a>(&'a self, kind: &'a AttributeKind) -> impl Iterator<Item = &'a Attribute> {
        self.0.iter().filter(move |attribute| attribute.kind == *kind)
    }

    /// The value of the first instance.
    #[must_use]
    pub fn value(&self, kind: &AttributeKind) -> Option<&AttributeValue> {
        self.0.iter().find(|attribute| attribute.kind == *kind).map(|attribute| &attribute.value)
    }

    /// Sets the only instance, whatever the rules say: for the server's own values.
    pub fn set(&mut self, kind: AttributeKind, value: AttributeValue) {
        let all = Arc::make_mut(&mut self.0);
        match all.iter_mut().find(|attribute| attribute.kind == kind) {
            Some(attribute) => attribute.value = value,
            None => all.push(Attribute::new(kind, value)),
        }
    }

    /// Removes every instance, whatever the rules say.
    pub fn clear(&mut self, kind: &AttributeKind) {
        Arc::make_mut(&mut self.0).retain(|attribute| attribute.kind != *kind);
    }

    /// Adds an instance and returns its index: one above the highest, or 0.
    ///
    /// # Errors
    ///
    /// [`AttributeRefusal::SingleValued`] for a second instance of a single-valued attribute, and
    /// [`AttributeRefusal::TooMany`] beyond [`Self::LIMIT`].
    pub fn add(&mut self, kind: AttributeKind, value: AttributeValue) -> Result<u32, AttributeRefusal> {
        if self.0.len() >= Self::LIMIT {
            return Err(AttributeRefusal::TooMany);
        }
        let highest = self.of(&kind).map(|attribute| attribute.index).max();
        if highest.is_some() && kind.rule().instances == Instances::One {
            return Err(AttributeRefusal::SingleValued);
        }
        let index = highest.map_or(0, |highest| highest.saturating_add(1));
        Arc::make_mut(&mut self.0).push(Attribute { kind, index, value });
        Ok(index)
    }

    /// Replaces the value of one instance.
    ///
    /// # Errors
    ///
    /// [`AttributeRefusal::NoSuchInstance`].
    pub fn replace(&mut self, kind: &AttributeKind, index: u32, value: AttributeValue) -> Result<(), AttributeRefusal> {
        let mut all = Arc::make_mut(&mut self.0).iter_mut();
        let found = all.find(|attribute| attribute.kind == *kind && attribute.index == index);
        found.ok_or(AttributeRefusal::NoSuchInstance)?.value = value;
        Ok(())
    }

    /// Removes one instance and returns it.
    ///
    /// # Errors
    ///
    /// [`AttributeRefusal::NoSuchInstance`].
    pub fn remove(&mut self, kind: &AttributeKind, index: u32) -> Result<Attribute, AttributeRefusal> {
        let at = self.0.iter().position(|attribute| attribute.kind == *kind && attribute.index == index);
        at.map(|at| Arc::make_mut(&mut self.0).remove(at)).ok_or(AttributeRefusal::NoSuchInstance)
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        Self(Arc::new(attributes.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AttributeValue {
        AttributeValue::Name { value: text.to_owned(), kind: 1 }
    }

    #[test]
    fn indexes_are_never_renumbered() {
        let mut attributes = Attributes::default();
        for text in ["a", "b", "c"] {
            attributes.add(AttributeKind::Name, name(text)).unwrap();
        }
        attributes.remove(&AttributeKind::Name, 1).unwrap();
        assert_eq!(attributes.add(AttributeKind::Name, name("d")), Ok(3));
        let indexes: Vec<u32> = attributes.of(&AttributeKind::Name).map(|attribute| attribute.index).collect();
        assert_eq!(indexes, [0, 2, 3]);
    }

    #[test]
    fn a_single_valued_attribute_takes_one_instance() {
        let mut attributes = Attributes::default();
        attributes.add(AttributeKind::Comment, AttributeValue::Text("a".into())).unwrap();
        let again = attributes.add(AttributeKind::Comment, AttributeValue::Text("b".into()));
        assert_eq!(again, Err(AttributeRefusal::SingleValued));
    }

    #[test]
    fn the_number_of_instances_is_limited() {
        let mut attributes = Attributes::default();
        for at in 0..Attributes::LIMIT {
            attributes.add(AttributeKind::Name, name(&at.to_string())).unwrap();
        }
        assert_eq!(attributes.add(AttributeKind::Name, name("more")), Err(AttributeRefusal::TooMany));
    }
}
