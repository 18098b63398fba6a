//! One request, from a session's point of view: objects made, found, read and destroyed.
//!
//! Handles never leave this folder. A creation that fails half-way destroys what it made before it answers.

use std::sync::atomic::Ordering;

use cryptoki_sys::*;

use super::{
    error::refused,
    home::Session,
    layout::Attribute,
    pool::{Class, Link, Seat, Shared},
    raw::{Fault, Handle},
    template::{self, Name, class_of},
    transfer,
    work::{Making, Work},
};
use crate::{
    crypto::hash,
    domain::{
        SecretValue, TokenReference,
        algorithm::HashingAlgorithm,
        reference::{CkaId, DataHolder, HeldBytes, KeyKind},
    },
    engine::ports::{Found, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Placement},
};

/// Objects looked for under one name; more are a token nobody can trust.
pub(super) const FOUND_MAX: usize = 64;

/// One request on one session.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared,
    pub(super) link: &'a Link,
    pub(super) seat: &'a mut Seat,
}

impl<'a> Turn<'a> {
    /// With that session of that link.
    pub(super) const fn new(shared: &'a Shared, link: &'a Link, seat: &'a mut Seat) -> Self {
        Self { shared, link, seat }
    }

    /// Does it.
    pub(super) fn perform(&mut self, work: &Work) -> Result<HsmAnswer, HsmError> {
        match work {
            Work::Engine(request) => self.request(request),
            Work::Clear(places) => {
                for (id, class) in places {
                    let found = self.seat.session.find(&template::search(*class, &Name::from(*id)), FOUND_MAX)?;
                    self.destroy_all(&found)?;
                }
                Ok(HsmAnswer::Done)
            }
            Work::SystemSecret(purpose, making) => self.system_secret(purpose, *making),
            Work::Sing(making, thorough) => self.sing(*making, *thorough),
            Work::SystemSigner(purpose, making) => self.system_signer(purpose, *making),
            Work::SystemSign(purpose, data) => self.system_sign(purpose, data),
            Work::Certifier(making) => self.certifier_key(*making),
            Work::GroupKey(kek, step) => self.group_key(kek, step),
            Work::CopyOut(id, manner, tray) => self.copy_out(*id, manner, tray),
            Work::CopyIn(id, kek, copies) => self.copy_in(*id, kek, copies),
            Work::Opens(kek, copies) => self.opens(kek, copies),
            Work::Prints(id, tray) => self.prints(*id, tray),
            Work::Fills(tray) => {
                let fills = transfer::kwp(self.link, self.seat)?.fills;
                *tray.lock() = vec![fills];
                Ok(HsmAnswer::Done)
            }
            Work::Inventory(tray) => self.inventory(tray),
            Work::Probe(tray) => self.probe(tray),
            Work::Describe(by, class, tray) => self.describe(by, *class, tray),
            Work::Rename(foreign, to) => self.rename(foreign, *to),
            Work::GiveBack(foreign, from) => self.give_back(foreign, *from),
            Work::Notes(name, tray) => self.notes(name, tray),
            Work::Note(name, text) => self.note(name, text),
        }
    }

    fn request(&mut self, request: &HsmRequest) -> Result<HsmAnswer, HsmError> {
        match request {
            HsmRequest::GenerateKey { at, kind, bytes, usage, extractable, digest } => {
                self.generate_key(at, *kind, *bytes, *usage, *extractable, *digest)
            }
            HsmRequest::GenerateKeyPair { private, public, kind, private_usage, public_usage, extractable } => {
                self.generate_pair((private, *private_usage), (public, *public_usage), *kind, *extractable)
            }
            HsmRequest::ImportKey { at, kind, value, usage, extractable } => {
                self.import_key(at, *kind, value, *usage, *extractable)
            }
            HsmRequest::HoldBytes { at, value, beside_key } => self.hold(at, value, *beside_key),
            HsmRequest::MakeTwin { of, value, usage, extractable } => {
                self.make_twin(of, value.as_ref(), *usage, *extractable)
            }
            HsmRequest::Destroy { at } | HsmRequest::Clear { at } => self.destroy(at.cka_id),
            // The pool's own business: it takes two tokens.
            HsmRequest::CopyTo { .. } => Err(refused(HsmErrorKind::Internal, "a move asked of one token")),
            HsmRequest::Find { at } => self.find(at.cka_id),
            HsmRequest::RevealKey { reference } => self.reveal_key(reference).map(HsmAnswer::Value),
            HsmRequest::RevealBytes { reference } => self.reveal_bytes(reference).map(HsmAnswer::Value),
            HsmRequest::Digest { reference, hash } => {
                let value = match reference.bytes {
                    Some(_) => self.reveal_bytes(reference)?,
                    None => self.reveal_key(reference)?,
                };
                digest(*hash, &value).map(HsmAnswer::Bytes)
            }
            HsmRequest::WrapKey { wrapping, target, mode } => self.wrap_key(wrapping, target, mode),
            HsmRequest::WrapBytes { wrapping, value, mode } => self.wrap_bytes(wrapping, value, mode),
            HsmRequest::UnwrapBytes { wrapping, blob, mode } => self.unwrap_bytes(wrapping, blob, mode),
            HsmRequest::Encrypt { key, parameters, iv, aad, data } => {
                self.encrypt(key, parameters, iv.as_deref(), aad, data)
            }
            HsmRequest::Decrypt { key, parameters, iv, aad, auth_tag, data } => {
                self.decrypt(key, parameters, iv.as_deref(), aad, auth_tag.as_deref(), data)
            }
            HsmRequest::Sign { key, parameters, input } => self.sign(key, parameters, input),
            HsmRequest::Verify { key, parameters, input, signature } => self.verify(key, parameters, input, signature),
            HsmRequest::Mac { key, parameters, data } => self.mac(key, parameters, data),
            HsmRequest::Derive { key, how, outside } => self.derive(key, how, *outside),
            HsmRequest::CertifierKey => self.certifier_key(Making::IfMissing),
            HsmRequest::CertifierSign { data } => self.certifier_sign(data),
            HsmRequest::Random { bytes, .. } => {
                let count = usize::try_from(*bytes).ok().filter(|count| *count <= RANDOM_MAX);
                let count = count.ok_or_else(|| refused(HsmErrorKind::BadParameters, "C_GenerateRandom"))?;
                let mut random = self.seat.session.random(count)?;
                Ok(HsmAnswer::Value(SecretValue::new(std::mem::take(&mut *random))))
            }
            HsmRequest::SeedRandom { data } => {
                #[expect(clippy::disallowed_methods, reason = "the token mixes the bytes into its generator")]
                self.seat.session.seed(data.expose_secret())?;
                Ok(HsmAnswer::Done)
            }
        }
    }

    pub(super) fn reference(&self, at: &Placement, key: Option<KeyKind>, bytes: Option<HeldBytes>) -> TokenReference {
        TokenReference { token: self.shared.id.clone(), cka_id: at.cka_id, key, bytes }
    }

    pub(super) fn remember(&self, id: CkaId, class: Class, handle: Handle) {
        self.shared.handles.insert((id, class), (self.link.generation, handle));
    }

    /// Forgets the handles of an object.
    pub(super) fn forget(shared: &Shared, id: CkaId) {
        for class in [Class::Secret, Class::Twin, Class::Private, Class::Public, Class::Data] {
            shared.handles.invalidate(&(id, class));
        }
        shared.public_halves.invalidate(&id);
        // Also by the sessions that have used them.
        shared.forgotten.fetch_add(1, Ordering::Release);
    }

    /// The handle of a key and what kind it is.
    pub(super) fn key(&mut self, reference: &TokenReference) -> Result<(KeyKind, Handle), HsmError> {
        let kind = reference.key.ok_or_else(|| refused(HsmErrorKind::BadParameters, "an object that is no key"))?;
        Ok((kind, self.lookup(&reference.cka_id.into(), class_of(kind))?))
    }

    /// The handle of held bytes.
    pub(super) fn held(&mut self, reference: &TokenReference) -> Result<Handle, HsmError> {
        let held = reference.bytes.ok_or_else(|| refused(HsmErrorKind::BadParameters, "an object without bytes"))?;
        let class = match held.holder {
            DataHolder::GenericSecret if reference.key.is_some() => Class::Twin,
            DataHolder::GenericSecret => Class::Secret,
            DataHolder::Data => Class::Data,
        };
        self.lookup(&reference.cka_id.into(), class)
    }

    pub(super) fn lookup(&mut self, name: &Name, class: Class) -> Result<Handle, HsmError> {
        // Read before anything is looked up: what is forgotten meanwhile is not kept.
        let forgotten = self.shared.forgotten.load(Ordering::Acquire);
        if let Some(handle) = self.seat.used.get(forgotten, name.id, class) {
            return Ok(handle);
        }
        let handle = match self.shared.handles.get(&(name.id, class)) {
            Some((generation, handle)) if generation == self.link.generation => handle,
            Some(_) | None => {
                let found = self.search(name, class)?;
                let handle = found.ok_or_else(|| refused(HsmErrorKind::ObjectMissing, "C_FindObjects"))?;
                self.remember(name.id, class, handle);
                handle
            }
        };
        self.seat.used.keep(name.id, class, handle);
        Ok(handle)
    }

    /// The one object of that name and class; two are an error and never the first of them.
    pub(super) fn search(&mut self, name: &Name, class: Class) -> Result<Option<Handle>, HsmError> {
        let mut found = self.sought(|session| session.find(&template::search(class, name), 3))?;
        if class == Class::Secret && found.len() == 2 {
            // A cipher key and its twin: the key is meant.
            let mut ciphers = Vec::with_capacity(2);
            for handle in found.iter().copied() {
                if self.seat.session.number(handle, CKA_KEY_TYPE)? != CKK_GENERIC_SECRET {
                    ciphers.push(handle);
                }
            }
            if ciphers.len() == 1 {
                found = ciphers;
            }
        }
        match found.as_slice() {
            [] => Ok(None),
            [handle] => Ok(Some(*handle)),
            _ => {
                tracing::error!(token = %self.shared.id, label = name.label, "two objects carry one name");
                Err(refused(HsmErrorKind::Internal, "two objects of one name"))
            }
        }
    }

    /// Every object of a name: keys by `CKA_ID`, data objects by label.
    pub(super) fn everything(&mut self, id: CkaId) -> Result<Vec<Handle>, HsmError> {
        let name = Name::from(id);
        self.sought(|session| {
            let mut found = session.find(&[Attribute::bytes(CKA_ID, name.id.0)], FOUND_MAX)?;
            found.extend(session.find(&[Attribute::bytes(CKA_LABEL, name.label.as_bytes())], FOUND_MAX)?);
            found.sort_unstable();
            found.dedup();
            Ok(found)
        })
    }

    /// What a search finds; nothing only where nothing is. While a lost log-in is restored by another session, a search may
    /// still have missed what is private, and the log-in be there again afterwards: so it is asked for first, and then looked
    /// once more.
    pub(super) fn sought(
        &mut self,
        mut look: impl FnMut(&mut Session) -> Result<Vec<Handle>, Fault>,
    ) -> Result<Vec<Handle>, HsmError> {
        let found = look(&mut self.seat.session)?;
        if !found.is_empty() {
            return Ok(found);
        }
        self.see_private()?;
        let found = look(&mut self.seat.session)?;
        if found.is_empty() {
            self.see_private()?;
        }
        Ok(found)
    }

    /// Whether private objects are to be seen at all: a log-in that was lost hides them, and what is hidden is not gone.
    fn see_private(&self) -> Result<(), HsmError> {
        let needed = self.link.info.flags & CKF_LOGIN_REQUIRED != 0;
        if needed && self.seat.session.state()? != CKS_RW_USER_FUNCTIONS {
            return Err(Fault { function: "C_FindObjects", rv: CKR_USER_NOT_LOGGED_IN }.into());
        }
        Ok(())
    }

    fn destroy(&mut self, id: CkaId) -> Result<HsmAnswer, HsmError> {
        Self::forget(self.shared, id);
        let found = self.everything(id)?;
        self.destroy_all(&found)?;
        Ok(HsmAnswer::Done)
    }

    pub(super) fn destroy_all(&mut self, handles: &[Handle]) -> Result<(), HsmError> {
        handles.iter().try_for_each(|handle| self.destroy_one(*handle))
    }

    /// An object that the token says is not there may be gone because somebody else was faster: it is believed when the token
    /// cannot describe it either.
    fn destroy_one(&mut self, handle: Handle) -> Result<(), HsmError> {
        for _ in 0..2 {
            match self.seat.session.destroy(handle) {
                Ok(()) => return Ok(()),
                Err(Fault { rv: CKR_OBJECT_HANDLE_INVALID, .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
            match self.seat.session.number(handle, CKA_CLASS) {
                Err(Fault { rv: CKR_OBJECT_HANDLE_INVALID, .. }) => return Ok(()),
                Err(fault) => return Err(fault.into()),
                Ok(_) => {}
            }
        }
        tracing::error!(token = %self.shared.id, "the token does not destroy an object that it describes");
        Err(refused(HsmErrorKind::Unavailable, "C_DestroyObject"))
    }

    fn find(&mut self, id: CkaId) -> Result<HsmAnswer, HsmError> {
        let mut found = Found::default();
        for handle in self.everything(id)? {
            match self.seat.session.number(handle, CKA_CLASS)? {
                CKO_SECRET_KEY => found.secret += 1,
                CKO_PRIVATE_KEY => found.private += 1,
                CKO_PUBLIC_KEY => found.public += 1,
                CKO_DATA => found.data += 1,
                _ => {}
            }
        }
        Ok(HsmAnswer::Found(found))
    }

    pub(super) fn reveal_key(&mut self, reference: &TokenReference) -> Result<SecretValue, HsmError> {
        let (kind, handle) = self.key(reference)?;
        match class_of(kind) {
            Class::Public => transfer::reveal_public(self.seat, handle, kind).map(SecretValue::new),
            Class::Private => transfer::reveal_private(self.link, self.seat, handle, kind),
            Class::Secret | Class::Twin | Class::Data => transfer::reveal(self.link, self.seat, handle, kind),
        }
    }

    pub(super) fn reveal_bytes(&mut self, reference: &TokenReference) -> Result<SecretValue, HsmError> {
        let handle = self.held(reference)?;
        let held = reference.bytes.ok_or_else(|| refused(HsmErrorKind::BadParameters, "an object without bytes"))?;
        let value = match held.holder {
            DataHolder::GenericSecret => transfer::reveal(self.link, self.seat, handle, KeyKind::Generic)?,
            DataHolder::Data => {
                let guess = usize::try_from(held.length).unwrap_or(usize::MAX).min(1 << 20);
                let mut value = self.seat.session.attribute(handle, CKA_VALUE, guess)?;
                SecretValue::new(std::mem::take(&mut *value))
            }
        };
        if u32::try_from(value.len()) == Ok(held.length) {
            return Ok(value);
        }
        tracing::error!(token = %self.shared.id, recorded = held.length, found = value.len(), "held bytes changed length");
        Err(refused(HsmErrorKind::Internal, "length of the held bytes"))
    }
}

/// More random bytes than anybody needs at once.
const RANDOM_MAX: usize = 1 << 20;

/// The digest of a value that stays on this thread.
pub(super) fn digest(algorithm: HashingAlgorithm, value: &SecretValue) -> Result<Vec<u8>, HsmError> {
    hash::digest_secret(algorithm, value).map_err(|error| {
        tracing::debug!(%error, "digest");
        refused(HsmErrorKind::Unsupported, "digest")
    })
}
