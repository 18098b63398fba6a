//! Hashing, key encodings, certificates and transport keys: the gateway's own cryptography, over `aws-lc-rs`.
//!
//! Nothing here uses a client's key: use happens inside the HSM. This module hashes, turns one encoding of a key into another
//! while a value is on its way in or out, reads certificates, and opens what a token wrapped for transport. Secret parts live in
//! [`SecretValue`] and zeroised buffers only. Input is strict DER or PEM; bytes of a peer end in an [`enum@Error`], never in a panic.

pub mod certificate;
pub mod ecdsa;
pub mod hash;
pub mod issue;
pub mod kdf;
pub mod keys;
pub mod kwp;
pub mod oaep;
pub mod pem;
pub mod pkcs12;
pub mod share;
pub mod signature;
pub mod transport;

mod asn1;
mod integer;

pub use certificate::Certificate;
pub use keys::{PrivateKey, PublicKey};

use thiserror::Error;

use crate::domain::SecretValue;

/// Why bytes were not taken, or an operation not done. No variant has room for a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes are not the structure that was expected.
    #[error("not a well-formed {what}")]
    Malformed {
        /// The structure.
        what: &'static str,
        /// Where the decoder stopped, if it was the decoder.
        #[source]
        cause: Option<der::Error>,
    },
    /// Well-formed, but an algorithm, curve, length or form that this gateway does not know.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The parts of a key contradict each other.
    #[error("the parts of the {0} do not fit each other")]
    Inconsistent(&'static str),
    /// The passphrase is wrong or the encrypted bytes are damaged; one kind for both.
    #[error("the passphrase does not open the encrypted key")]
    WrongPassphrase,
    /// Unwrapping or transport decryption failed; one kind for every cause.
    #[error("the wrapped value does not open")]
    Unopened,
    /// The library failed where no input could make it fail.
    #[error("{0} failed")]
    Failed(&'static str),
}

impl Error {
    const fn malformed(what: &'static str) -> Self {
        Self::Malformed { what, cause: None }
    }
}

/// The one place in this module that looks at a secret: to encode it anew into another secret, to hash or to encrypt it.
#[expect(
    clippy::disallowed_methods,
    reason = "re-encoding, hashing and encrypting read the value; it leaves only as a SecretValue or encrypted"
)]
fn bytes(value: &SecretValue) -> &[u8] {
    value.expose_secret()
}
