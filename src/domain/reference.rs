//! Where a value is: which token, under which `CKA_ID`, as which PKCS#11 objects. It is all we keep of a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::algorithm::Curve;

/// The name of a token as the configuration gives it (`[hsm.<name>]`); its serial is recorded by the pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(pub String);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sixteen bytes of `CKA_ID`: those of the managed object's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CkaId(pub [u8; 16]);

/// What kind of key object stands on the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyKind {
    /// `CKK_AES`.
    Aes,
    /// `CKK_DES3` (24 bytes) or `CKK_DES2` (16 bytes).
    TripleDes,
    /// `CKK_GENERIC_SECRET`, used for HMAC or only held.
    Generic,
    /// `CKK_RSA`, private.
    RsaPrivate,
    /// `CKK_RSA`, public.
    RsaPublic,
    /// `CKK_EC`, private.
    EcPrivate(Curve),
    /// `CKK_EC`, public.
    EcPublic(Curve),
    /// `CKK_EC_EDWARDS`, Ed25519 private.
    Ed25519Private,
    /// `CKK_EC_EDWARDS`, Ed25519 public.
    Ed25519Public,
    /// `CKK_CHACHA20`, for the bare cipher and for ChaCha20-Poly1305.
    ChaCha20,
    /// `CKK_AES_XTS` of 64 bytes: the two AES-256 keys of one XTS key.
    AesXts,
}

impl KeyKind {
    /// Whether it is half of a pair that may be given to anybody.
    #[must_use]
    pub const fn is_public(self) -> bool {
        matches!(self, Self::RsaPublic | Self::EcPublic(_) | Self::Ed25519Public)
    }

    /// Whether it is the secret half of a pair.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self, Self::RsaPrivate | Self::EcPrivate(_) | Self::Ed25519Private)
    }
}

/// Which PKCS#11 class holds bytes that are no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataHolder {
    /// A `CKO_SECRET_KEY` generic secret without usage.
    GenericSecret,
    /// A private `CKO_DATA` object.
    Data,
}

/// Bytes exactly as a client gave them, beside or instead of a key object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldBytes {
    /// The class of the object that holds them.
    pub holder: DataHolder,
    /// Their length in bytes.
    pub length: u32,
}

/// Where a value is and how to reach it.
///
/// At least one of `key` and `bytes` is set. Both are set when a key was given in an encoding that must come back exactly
/// (PEM, PKCS#1, transparent): then operations use `key` and reads use `bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenReference {
    /// The token.
    pub token: TokenId,
    /// The `CKA_ID` of all its objects on that token.
    pub cka_id: CkaId,
    /// The key object, when there is one that can be used.
    pub key: Option<KeyKind>,
    /// The bytes as given, when they are held beside or instead of the key.
    pub bytes: Option<HeldBytes>,
}

impl TokenReference {
    /// What is written of an object that was moved meanwhile names the place where it is now.
    pub fn follow(&mut self, stored: &Self) {
        if self.cka_id == stored.cka_id && self.token != stored.token {
            self.clone_from(stored);
        }
    }
}
