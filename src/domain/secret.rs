//! What only the Barbican API keeps about an object: free labels, content type, expiration, user metadata, grants, consumers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    access::{Consumer, Grants},
    time::Timestamp,
};

/// Barbican's `secret_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SecretType {
    /// Raw key bytes.
    Symmetric,
    /// Text.
    Passphrase,
    /// A private key.
    Private,
    /// A public key.
    Public,
    /// A certificate.
    Certificate,
    /// Anything.
    #[default]
    Opaque,
}

impl SecretType {
    /// Every type, in the order in which the API's messages list them.
    pub const ALL: [Self; 6] =
        [Self::Symmetric, Self::Passphrase, Self::Private, Self::Public, Self::Certificate, Self::Opaque];

    /// The API's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "symmetric",
            Self::Passphrase => "passphrase",
            Self::Private => "private",
            Self::Public => "public",
            Self::Certificate => "certificate",
            Self::Opaque => "opaque",
        }
    }

    /// From the API's word, exact.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The Barbican side of a managed object. For objects made through KMIP all of it is empty until a Barbican client adds
/// metadata, grants or consumers; the API then shows what the attributes say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFacet {
    /// `name`; need not be unique.
    pub name: Option<String>,
    /// `secret_type`, for objects made through Barbican.
    pub secret_type: Option<SecretType>,
    /// `algorithm`, free text as given.
    pub algorithm: Option<String>,
    /// `bit_length`.
    pub bit_length: Option<u32>,
    /// `mode`, free text.
    pub mode: Option<String>,
    /// `expiration`.
    pub expiration: Option<Timestamp>,
    /// The normalised content type of the payload.
    pub content_type: Option<String>,
    /// When the API last changed it; shown as `updated`.
    pub updated: Option<Timestamp>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// The access list, when one is set.
    pub grants: Option<Grants>,
    /// Consumers, oldest first.
    pub consumers: Vec<Consumer>,
}
