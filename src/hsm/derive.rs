//! Bytes made from a key or held secret (contract §9, derivation).
//!
//! Key agreement is the token's, and so are HKDF and the first step of AWS Signature where it has the mechanism: what comes
//! of it is a session object that leaves under the transport key. Everything else is made here, on the worker's thread, from
//! the value in zeroised memory, and only if the request says that this is allowed (design decision 5).

use cryptoki_sys::*;

use super::{
    error::refused,
    layout::{Attribute, Mechanism, Parameter},
    mechanism,
    pool::Class,
    request::Turn,
    template::{self, Life},
    transfer,
};
use crate::{
    crypto::{self, PublicKey, kdf},
    domain::{
        SecretValue, TokenReference, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
        reference::KeyKind,
    },
    engine::ports::{Derivation, HsmAnswer, HsmError, HsmErrorKind},
};

fn unfit(error: &crypto::Error) -> HsmError {
    tracing::debug!(%error, "a derivation");
    refused(HsmErrorKind::Unsupported, "derivation")
}

impl Turn<'_> {
    pub(super) fn derive(
        &mut self,
        key: &TokenReference,
        how: &Derivation,
        outside: bool,
    ) -> Result<HsmAnswer, HsmError> {
        if let Some(derived) = self.inside(key, how)? {
            return Ok(HsmAnswer::Value(derived));
        }
        if !outside {
            return Err(refused(HsmErrorKind::Unsupported, "a derivation inside the token"));
        }
        let derived = match how {
            Derivation::Agreement { .. } => {
                return Err(refused(HsmErrorKind::Internal, "key agreement outside the token"));
            }
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

    /// What the token derives by itself; `None` where it cannot, or not from this key.
    fn inside(&mut self, key: &TokenReference, how: &Derivation) -> Result<Option<SecretValue>, HsmError> {
        let offers = |mechanism| self.link.capability.offers(mechanism);
        let secret = key.key.is_some_and(|kind| !kind.is_private() && !kind.is_public());
        let derived = match how {
            Derivation::Agreement { peer } => return self.agree(key, peer).map(Some),
            Derivation::Hkdf { hash, salt, info, bytes } if secret && offers(CKM_HKDF_DERIVE) => {
                self.hkdf(key, *hash, salt, info, *bytes)
            }
            Derivation::AwsSignature { scope } if secret && offers(CKM_CONCATENATE_DATA_AND_BASE) => {
                self.aws_signature(key, scope)
            }
            _ => return Ok(None),
        };
        match derived {
            Ok(derived) => Ok(Some(derived)),
            // A key that the token does not take for it: made before it had a bit for this, or of another kind.
            Err(error)
                if matches!(
                    error.kind,
                    HsmErrorKind::Unsupported
                        | HsmErrorKind::BadParameters
                        | HsmErrorKind::BadData
                        | HsmErrorKind::NotPermitted
                ) =>
            {
                tracing::debug!(%error, "the token does not derive from this key");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn hkdf(
        &mut self,
        key: &TokenReference,
        hash: HashingAlgorithm,
        salt: &[u8],
        info: &[u8],
        bytes: u32,
    ) -> Result<SecretValue, HsmError> {
        let (_, handle) = self.key(key)?;
        let hash = mechanism::hash(hash)?.mechanism;
        let parameter = Parameter::Hkdf { hash, salt: salt.to_vec(), info: info.to_vec() };
        let mut common = template::key(Class::Secret, Life::Session, UsageMask(0), true);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        common.push(Attribute::number(CKA_VALUE_LEN, bytes.into()));
        let made = self.seat.session.derive(&Mechanism { code: CKM_HKDF_DERIVE, parameter }, handle, &common)?;
        let value = transfer::reveal(self.link, self.seat, made, KeyKind::Generic);
        self.seat.session.destroy(made)?;
        value
    }

    /// The HMAC of the date under the prefixed key is the token's; it leaves, and the rest follows from it.
    fn aws_signature(&mut self, key: &TokenReference, scope: &[Vec<u8>; 3]) -> Result<SecretValue, HsmError> {
        let [date, rest @ ..] = scope;
        let (_, handle) = self.key(key)?;
        let parameter = Parameter::Text(kdf::AWS_PREFIX.to_vec());
        let mut common = template::key(Class::Secret, Life::Session, UsageMask::MAC_GENERATE, false);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        let mechanism = Mechanism { code: CKM_CONCATENATE_DATA_AND_BASE, parameter };
        let prefixed = self.seat.session.derive(&mechanism, handle, &common)?;
        let tag = self.seat.session.sign(&Mechanism::plain(CKM_SHA256_HMAC), prefixed, date);
        self.seat.session.destroy(prefixed)?;
        Ok(kdf::aws_signature_of(&SecretValue::new(tag?), rest))
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
