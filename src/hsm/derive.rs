//! Bytes made from a key or held secret (contract §9, derivation).
//!
//! Key agreement is the token's: what it agrees on is a session object that leaves under the transport key. Hashes and
//! KDFs over a value that no token computes alike are made here, on the worker's thread, from the value in zeroised memory.

use cryptoki_sys::*;

use super::{
    error::refused,
    layout::{Attribute, Mechanism, Parameter},
    pool::Class,
    request::Turn,
    template::{self, Life},
    transfer,
};
use crate::{
    crypto::{self, PublicKey, kdf},
    domain::{SecretValue, TokenReference, UsageMask, algorithm::Curve, reference::KeyKind},
    engine::ports::{Derivation, HsmAnswer, HsmError, HsmErrorKind},
};

fn unfit(error: &crypto::Error) -> HsmError {
    tracing::debug!(%error, "a derivation");
    refused(HsmErrorKind::Unsupported, "derivation")
}

impl Turn<'_> {
    pub(super) fn derive(&mut self, key: &TokenReference, how: &Derivation) -> Result<HsmAnswer, HsmError> {
        let derived = match how {
            Derivation::Agreement { peer } => self.agree(key, peer)?,
            Derivation::Hash { hash, data } => {
                kdf::hash(*hash, &self.value_of(key)?, data).map_err(|error| unfit(&error))?
            }
            Derivation::Pbkdf2 { hash, salt, iterations, bytes } => {
                let count = usize::try_from(*bytes).unwrap_or(usize::MAX);
                let value = self.value_of(key)?;
                kdf::pbkdf2(*hash, &value, salt, *iterations, count).map_err(|error| unfit(&error))?
            }
            Derivation::Hkdf { hash, salt, info, bytes } => {
                let count = usize::try_from(*bytes).unwrap_or(usize::MAX);
                kdf::hkdf(*hash, &self.value_of(key)?, salt, info, count).map_err(|error| unfit(&error))?
            }
            Derivation::AwsSignature { scope } => kdf::aws_signature(&self.value_of(key)?, scope),
        };
        Ok(HsmAnswer::Value(derived))
    }

    /// The value itself: the bytes as given where they are held, else the key.
    fn value_of(&mut self, key: &TokenReference) -> Result<SecretValue, HsmError> {
        if key.bytes.is_some() { self.reveal_bytes(key) } else { self.reveal_key(key) }
    }

    /// ECDH on the token: the x-coordinate that both sides agree on.
    fn agree(&mut self, key: &TokenReference, peer: &[u8]) -> Result<SecretValue, HsmError> {
        let bad = || refused(HsmErrorKind::BadParameters, "key agreement");
        let (KeyKind::EcPrivate(curve), handle) = self.key(key)? else { return Err(bad()) };
        let PublicKey::Ec(peer) = PublicKey::from_spki(peer).map_err(|_malformed| bad())? else { return Err(bad()) };
        if peer.curve() != curve {
            return Err(bad());
        }
        let mechanism =
            Mechanism { code: CKM_ECDH1_DERIVE, parameter: Parameter::Ecdh { point: peer.point().to_vec() } };
        let mut common = template::key(Class::Secret, Life::Session, UsageMask(0), true);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        common.push(Attribute::number(CKA_VALUE_LEN, width(curve)));
        let agreed = self.seat.session.derive(&mechanism, handle, &common)?;
        let value = transfer::reveal(self.link, self.seat, agreed, KeyKind::Generic);
        self.seat.session.destroy(agreed)?;
        value
    }
}

const fn width(curve: Curve) -> CK_ULONG {
    curve.bytes() as CK_ULONG
}
