//! The gateway's own keys: one that secrets are computed from, one that signs.
//!
//! They are made when they are wanted for the first time, cannot leave the token, and carry the label
//! `portcullis-system:<purpose>`, by which an operator knows not to delete them.

use cryptoki_sys::*;

use super::{
    error::refused,
    layout::{Attribute, Mechanism},
    mechanism::{self, Scheme},
    pool::Class,
    raw::Handle,
    request::Turn,
    template::{self, Life, Name},
    transfer,
};
use crate::{
    crypto::hash,
    domain::{
        SecretValue, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
        reference::{CkaId, KeyKind},
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, PairKind},
};

/// The purpose of the key pair that signs certificates.
pub(super) const CERTIFIER: &str = "certificates";
/// RSA, because every client can verify it.
const CERTIFIER_BITS: u32 = 2048;

/// The name of one of the gateway's own keys.
pub(super) fn system_name(purpose: &str) -> Name {
    let label = format!("portcullis-system:{purpose}");
    let mut id = [0; 16];
    id.iter_mut().zip(hash::sha256(label.as_bytes())).for_each(|(byte, hashed)| *byte = hashed);
    Name { id: CkaId(id), label }
}

impl Turn<'_> {
    /// The gateway's own key of that purpose, made when it is wanted for the first time; it cannot leave the token.
    fn system_key(&mut self, name: &Name) -> Result<Handle, HsmError> {
        let _alone = self.shared.making_system_keys.lock();
        match self.lookup(name, Class::Secret) {
            Err(HsmError { kind: HsmErrorKind::ObjectMissing, .. }) => {}
            known => return known,
        }
        let mut common = template::key(Class::Secret, Life::Token, UsageMask::MAC_GENERATE, false);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        common.push(Attribute::number(CKA_VALUE_LEN, 32));
        let common = template::named(common, name);
        let handle = self.with_recipes(common, |seat, template| {
            seat.session.generate(&Mechanism::plain(CKM_GENERIC_SECRET_KEY_GEN), template)
        })?;
        self.or_destroy(&[handle], |turn| turn.check_strength(handle, false))?;
        tracing::info!(token = %self.shared.id, label = name.label, "a system key was made");
        // If another gateway made one at the same time, this look-up says so.
        self.lookup(name, Class::Secret)
    }

    pub(super) fn system_secret(&mut self, purpose: &str) -> Result<HsmAnswer, HsmError> {
        let name = system_name(purpose);
        let handle = self.system_key(&name)?;
        let secret = self.seat.session.sign(&Mechanism::plain(CKM_SHA256_HMAC), handle, name.label.as_bytes())?;
        Ok(HsmAnswer::Value(SecretValue::new(secret)))
    }

    /// The public half of the issuer of certificates, made when it is wanted for the first time.
    pub(super) fn certifier_key(&mut self) -> Result<HsmAnswer, HsmError> {
        self.signer(CERTIFIER, PairKind::Rsa { bits: CERTIFIER_BITS }, KeyKind::RsaPublic)
    }

    pub(super) fn certifier_sign(&mut self, data: &[u8]) -> Result<HsmAnswer, HsmError> {
        let handle = self.lookup(&system_name(CERTIFIER), Class::Private)?;
        let scheme = Scheme::RsaPkcs1(mechanism::hash(HashingAlgorithm::SHA_256)?);
        let info = hash::digest_info(HashingAlgorithm::SHA_256, &hash::sha256(data)).map_err(|error| {
            tracing::error!(%error, "DigestInfo of SHA-256");
            refused(HsmErrorKind::Internal, "digest")
        })?;
        let signature = self.sign_form(&scheme, &scheme.bare(), handle, &info)?;
        Ok(HsmAnswer::Bytes(signature))
    }

    pub(super) fn system_signer(&mut self, purpose: &str) -> Result<HsmAnswer, HsmError> {
        self.signer(purpose, PairKind::Ec(Curve::P256), KeyKind::EcPublic(Curve::P256))
    }

    fn signer(&mut self, purpose: &str, kind: PairKind, public_kind: KeyKind) -> Result<HsmAnswer, HsmError> {
        let name = system_name(purpose);
        let _alone = self.shared.making_system_keys.lock();
        if self.search(&name, Class::Private)?.is_none() {
            let public = template::key(Class::Public, Life::Token, UsageMask::VERIFY, false);
            let private = template::key(Class::Private, Life::Token, UsageMask::SIGN, false);
            let (public, private) = (template::named(public, &name), template::named(private, &name));
            let (public, private) = self.make_pair(kind, public, private)?;
            self.or_destroy(&[public, private], |turn| turn.check_strength(private, false))?;
            tracing::info!(token = %self.shared.id, label = name.label, "a system key pair was made");
        }
        let public = self.lookup(&name, Class::Public)?;
        transfer::reveal_public(self.seat, public, public_kind).map(HsmAnswer::Bytes)
    }

    pub(super) fn system_sign(&mut self, purpose: &str, data: &[u8]) -> Result<HsmAnswer, HsmError> {
        let handle = self.lookup(&system_name(purpose), Class::Private)?;
        let scheme = Scheme::Ecdsa(mechanism::hash(HashingAlgorithm::SHA_256)?, Curve::P256);
        let signature = self.sign_form(&scheme, &scheme.bare(), handle, &hash::sha256(data))?;
        Ok(HsmAnswer::Bytes(signature))
    }
}
