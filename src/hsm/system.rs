//! The gateway's own keys: one that secrets are computed from, one that signs.
//!
//! They are made when they are wanted for the first time, cannot leave the token, and carry the label
//! `portcullis-system:<purpose>`, by which an operator knows not to delete them. Beside them stand notes: small data objects that
//! tell what only the token shall be believed.

use cryptoki_sys::*;

use super::{
    error::refused,
    layout::{Attribute, Mechanism},
    mechanism::{self, Scheme},
    pool::Class,
    raw::Handle,
    request::{FOUND_MAX, Turn},
    template::{self, Life, Name},
    transfer,
    work::{Making, Tray},
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

/// Labels of the gateway's own keys begin with it; the purpose follows.
pub(super) const SYSTEM_LABEL: &str = "portcullis-system:";
/// The purpose of the key pair that signs certificates.
pub(super) const CERTIFIER: &str = "certificates";
/// The purpose of the key under which keys are copied between the tokens of a group.
pub(super) const GROUP_KEY: &str = "group-key";
/// The purpose of the key whose MAC tells a token that computes wrongly.
pub(super) const CANARY: &str = "group-canary";
/// The purpose of the key whose cipher text and wrapped form tell a token that encrypts or wraps wrongly.
pub(super) const CIPHER_CANARY: &str = "group-canary-cipher";
/// Longer than every note.
const NOTE_GUESS: usize = 256;
/// RSA, because every client can verify it.
const CERTIFIER_BITS: u32 = 2048;

/// The name of one of the gateway's own keys.
pub(super) fn system_name(purpose: &str) -> Name {
    let label = format!("{SYSTEM_LABEL}{purpose}");
    let mut id = [0; 16];
    id.iter_mut().zip(hash::sha256(label.as_bytes())).for_each(|(byte, hashed)| *byte = hashed);
    Name { id: CkaId(id), label }
}

impl Turn<'_> {
    /// The gateway's own key of that purpose.
    fn system_key(&mut self, name: &Name, making: Making) -> Result<Handle, HsmError> {
        let _alone = self.shared.making_system_keys.lock();
        match self.lookup(name, Class::Secret) {
            Err(HsmError { kind: HsmErrorKind::ObjectMissing, .. }) if making != Making::Never => {}
            known => return known,
        }
        let extractable = making == Making::ForGroup;
        let mut common = template::key(Class::Secret, Life::Token, UsageMask::MAC_GENERATE, extractable);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        common.push(Attribute::number(CKA_VALUE_LEN, 32));
        let common = template::named(common, name);
        let handle = self.with_recipes(common, |seat, template| {
            seat.session.generate(&Mechanism::plain(CKM_GENERIC_SECRET_KEY_GEN), template)
        })?;
        self.or_destroy(&[handle], |turn| turn.check_strength(handle, extractable))?;
        tracing::info!(token = %self.shared.id, label = name.label, "a system key was made");
        // If another gateway made one at the same time, this look-up says so.
        self.lookup(name, Class::Secret)
    }

    pub(super) fn system_secret(&mut self, purpose: &str, making: Making) -> Result<HsmAnswer, HsmError> {
        let name = system_name(purpose);
        let handle = self.system_key(&name, making)?;
        let secret = self.seat.session.sign(&Mechanism::plain(CKM_SHA256_HMAC), handle, name.label.as_bytes())?;
        Ok(HsmAnswer::Value(SecretValue::new(secret)))
    }

    /// The public half of the issuer of certificates.
    pub(super) fn certifier_key(&mut self, making: Making) -> Result<HsmAnswer, HsmError> {
        self.signer(CERTIFIER, PairKind::Rsa { bits: CERTIFIER_BITS }, KeyKind::RsaPublic, making)
    }

    pub(super) fn certifier_sign(&mut self, data: &[u8]) -> Result<HsmAnswer, HsmError> {
        let handle = self.lookup(&system_name(CERTIFIER), Class::Private)?;
        let scheme = Scheme::RsaPkcs1(mechanism::hash(HashingAlgorithm::SHA_256)?);
        let info = hash::digest_info(HashingAlgorithm::SHA_256, &hash::sha256(data)).map_err(|error| {
            tracing::error!(%error, "DigestInfo of SHA-256");
            refused(HsmErrorKind::Internal, "digest")
        })?;
        let key = (system_name(CERTIFIER).id, KeyKind::RsaPrivate, handle);
        let signature = self.sign_form(&scheme, &scheme.bare(), key, &info)?;
        Ok(HsmAnswer::Bytes(signature))
    }

    pub(super) fn system_signer(&mut self, purpose: &str, making: Making) -> Result<HsmAnswer, HsmError> {
        self.signer(purpose, PairKind::Ec(Curve::P256), KeyKind::EcPublic(Curve::P256), making)
    }

    fn signer(
        &mut self,
        purpose: &str,
        kind: PairKind,
        public_kind: KeyKind,
        making: Making,
    ) -> Result<HsmAnswer, HsmError> {
        let name = system_name(purpose);
        let _alone = self.shared.making_system_keys.lock();
        if making != Making::Never && self.search(&name, Class::Private)?.is_none() {
            let extractable = making == Making::ForGroup;
            let public = template::key(Class::Public, Life::Token, UsageMask::VERIFY, false);
            let private = template::key(Class::Private, Life::Token, UsageMask::SIGN, extractable);
            let (public, private) = (template::named(public, &name), template::named(private, &name));
            let (public, private) = self.make_pair(kind, public, private)?;
            self.or_destroy(&[public, private], |turn| turn.check_strength(private, extractable))?;
            tracing::info!(token = %self.shared.id, label = name.label, "a system key pair was made");
        }
        let public = self.lookup(&name, Class::Public)?;
        transfer::reveal_public(self.seat, public, public_kind).map(HsmAnswer::Bytes)
    }

    /// Lays the notes of that name down.
    pub(super) fn notes(&mut self, name: &str, tray: &Tray<Vec<u8>>) -> Result<HsmAnswer, HsmError> {
        let found = self.find_notes(name)?;
        let mut texts = Vec::with_capacity(found.len());
        for handle in found {
            let mut text = self.seat.session.attribute(handle, CKA_VALUE, NOTE_GUESS)?;
            texts.push(std::mem::take(&mut *text));
        }
        *tray.lock() = texts;
        Ok(HsmAnswer::Done)
    }

    /// Writes a note, then removes the ones before it: at every moment there is one.
    pub(super) fn note(&mut self, name: &str, text: &[u8]) -> Result<HsmAnswer, HsmError> {
        let before = self.find_notes(name)?;
        self.seat.session.create(&template::data(&system_name(name), text))?;
        self.destroy_all(&before)?;
        Ok(HsmAnswer::Done)
    }

    fn find_notes(&mut self, name: &str) -> Result<Vec<Handle>, HsmError> {
        let note = template::search(Class::Data, &system_name(name));
        self.sought(|session| session.find(&note, FOUND_MAX))
    }

    pub(super) fn system_sign(&mut self, purpose: &str, data: &[u8]) -> Result<HsmAnswer, HsmError> {
        let handle = self.lookup(&system_name(purpose), Class::Private)?;
        let scheme = Scheme::Ecdsa(mechanism::hash(HashingAlgorithm::SHA_256)?, Curve::P256);
        let key = (system_name(purpose).id, KeyKind::EcPrivate(Curve::P256), handle);
        let signature = self.sign_form(&scheme, &scheme.bare(), key, &hash::sha256(data))?;
        Ok(HsmAnswer::Bytes(signature))
    }
}
