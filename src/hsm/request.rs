//! One request, from a session's point of view: objects made, found, read and destroyed.
//!
//! Handles never leave this folder. A creation that fails half-way destroys what it made before it answers.

use std::time::Duration;

use cryptoki_sys::*;

use super::{
    error::refused,
    mechanism::Scheme,
    pool::{Class, Link, Seat, Shared},
    raw::{Attribute, Fault, Handle, Mechanism},
    template::{self, Life, Name, class_of},
    transfer,
};
use crate::{
    crypto::hash,
    domain::{
        SecretValue, TokenReference, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
        reference::{CkaId, DataHolder, HeldBytes, KeyKind},
    },
    engine::ports::{Found, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, PairKind, Placement},
};

/// What a worker is given to do.
pub(super) enum Work {
    /// The engine's request.
    Engine(Box<HsmRequest>),
    /// Destroys what stands at these places.
    Clear(Vec<(CkaId, Class)>),
    /// HMAC-SHA-256 of the purpose under this gateway's own key for it.
    SystemSecret(&'static str),
    /// The public half of this gateway's own signing key for a purpose.
    SystemSigner(&'static str),
    /// A signature by it.
    SystemSign(&'static str, Vec<u8>),
}

impl Work {
    /// Whether it changes what stands on the token, and so must be done even if nobody waits for the answer.
    pub(super) const fn mutates(&self) -> bool {
        match self {
            Self::Engine(request) => matches!(
                **request,
                HsmRequest::GenerateKey { .. }
                    | HsmRequest::GenerateKeyPair { .. }
                    | HsmRequest::ImportKey { .. }
                    | HsmRequest::HoldBytes { .. }
                    | HsmRequest::Destroy { .. }
            ),
            Self::Clear(_) => true,
            Self::SystemSecret(_) | Self::SystemSigner(_) | Self::SystemSign(..) => false,
        }
    }

    /// Whether it makes objects, so that a second try must clear away what the first may have made.
    pub(super) const fn creates(&self) -> bool {
        match self {
            Self::Engine(request) => self.mutates() && !matches!(**request, HsmRequest::Destroy { .. }),
            Self::Clear(_) | Self::SystemSecret(_) | Self::SystemSigner(_) | Self::SystemSign(..) => false,
        }
    }

    /// How long it may run before its worker counts as stuck: making keys takes ten times as long as using them.
    pub(super) const fn call_limit(&self, limit: Duration) -> Duration {
        match self {
            Self::Engine(request) => match **request {
                HsmRequest::GenerateKeyPair { .. } | HsmRequest::GenerateKey { .. } => limit.saturating_mul(10),
                _ => limit,
            },
            Self::SystemSigner(_) => limit.saturating_mul(10),
            Self::Clear(_) | Self::SystemSecret(_) | Self::SystemSign(..) => limit,
        }
    }

    /// The places that a creation may have filled.
    pub(super) fn places(&self) -> Vec<(CkaId, Class)> {
        let Self::Engine(request) = self else { return Vec::new() };
        match &**request {
            HsmRequest::GenerateKey { at, kind, .. } | HsmRequest::ImportKey { at, kind, .. } => {
                vec![(at.cka_id, class_of(*kind))]
            }
            HsmRequest::GenerateKeyPair { private, public, .. } => {
                vec![(private.cka_id, Class::Private), (public.cka_id, Class::Public)]
            }
            HsmRequest::HoldBytes { at, beside_key: true, .. } => vec![(at.cka_id, Class::Data)],
            HsmRequest::HoldBytes { at, beside_key: false, .. } => {
                vec![(at.cka_id, Class::Secret), (at.cka_id, Class::Data)]
            }
            _ => Vec::new(),
        }
    }

    /// The objects it uses, whose handles are forgotten when one of them is void.
    pub(super) fn ids(&self) -> Vec<CkaId> {
        match self {
            Self::Engine(request) => match &**request {
                HsmRequest::RevealKey { reference }
                | HsmRequest::RevealBytes { reference }
                | HsmRequest::Digest { reference, .. } => vec![reference.cka_id],
                HsmRequest::WrapKey { wrapping, target, .. } => vec![wrapping.cka_id, target.cka_id],
                HsmRequest::WrapBytes { wrapping: key, .. }
                | HsmRequest::Encrypt { key, .. }
                | HsmRequest::Decrypt { key, .. }
                | HsmRequest::Sign { key, .. }
                | HsmRequest::Verify { key, .. }
                | HsmRequest::Mac { key, .. } => vec![key.cka_id],
                HsmRequest::Destroy { at } | HsmRequest::Find { at } => vec![at.cka_id],
                _ => self.places().into_iter().map(|(id, _)| id).collect(),
            },
            Self::Clear(places) => places.iter().map(|(id, _)| *id).collect(),
            Self::SystemSecret(purpose) | Self::SystemSigner(purpose) | Self::SystemSign(purpose, _) => {
                vec![system_name(purpose).id]
            }
        }
    }
}

/// The name of one of the gateway's own keys.
fn system_name(purpose: &str) -> Name {
    let label = format!("portcullis-system:{purpose}");
    let mut id = [0; 16];
    id.iter_mut().zip(hash::sha256(label.as_bytes())).for_each(|(byte, hashed)| *byte = hashed);
    Name { id: CkaId(id), label }
}

/// Objects looked for under one name; more are a token nobody can trust.
const FOUND_MAX: usize = 64;

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
            Work::SystemSecret(purpose) => self.system_secret(purpose),
            Work::SystemSigner(purpose) => self.system_signer(purpose),
            Work::SystemSign(purpose, data) => self.system_sign(purpose, data),
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
            HsmRequest::Destroy { at } => self.destroy(at.cka_id),
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
            HsmRequest::WrapKey { wrapping, target, mode } => self.wrap_key(wrapping, target, *mode),
            HsmRequest::WrapBytes { wrapping, value, mode } => self.wrap_bytes(wrapping, value, *mode),
            HsmRequest::Encrypt { key, parameters, iv, aad, data } => {
                self.encrypt(key, parameters, iv.as_deref(), aad, data)
            }
            HsmRequest::Decrypt { key, parameters, iv, aad, auth_tag, data } => {
                self.decrypt(key, parameters, iv.as_deref(), aad, auth_tag.as_deref(), data)
            }
            HsmRequest::Sign { key, parameters, input } => self.sign(key, parameters, input),
            HsmRequest::Verify { key, parameters, input, signature } => self.verify(key, parameters, input, signature),
            HsmRequest::Mac { key, parameters, data } => self.mac(key, parameters, data),
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

    // --------------------------------------------------------------------------------------------------------- making

    fn generate_key(
        &mut self,
        at: &Placement,
        kind: KeyKind,
        bytes: u32,
        usage: UsageMask,
        extractable: bool,
        wants_digest: bool,
    ) -> Result<HsmAnswer, HsmError> {
        let unsupported = || refused(HsmErrorKind::Unsupported, "C_GenerateKey");
        let (mechanism, with_length) = match (kind, bytes) {
            (KeyKind::Aes, 16 | 24 | 32) => (CKM_AES_KEY_GEN, true),
            (KeyKind::TripleDes, 24) => (CKM_DES3_KEY_GEN, false),
            (KeyKind::TripleDes, 16) => (CKM_DES2_KEY_GEN, false),
            (KeyKind::Generic, 1..) => (CKM_GENERIC_SECRET_KEY_GEN, true),
            _ => return Err(unsupported()),
        };
        let mut common = template::key(Class::Secret, Life::Token, usage, extractable);
        let key_type = template::key_type(kind, usize::try_from(bytes).ok().ok_or_else(unsupported)?);
        common.push(Attribute::number(CKA_KEY_TYPE, key_type));
        if with_length {
            common.push(Attribute::number(CKA_VALUE_LEN, bytes.into()));
        }
        let common = template::named(common, &at.cka_id.into());
        let handle =
            self.with_recipes(common, |seat, template| seat.session.generate(&Mechanism::plain(mechanism), template))?;
        self.or_destroy(&[handle], |turn| {
            turn.check_strength(handle, extractable)?;
            let digest = if wants_digest && extractable {
                digest_of_revealed(transfer::reveal(turn.link, turn.seat, handle, kind))?
            } else {
                None
            };
            turn.remember(at.cka_id, Class::Secret, handle);
            Ok(HsmAnswer::Made { reference: turn.reference(at, Some(kind), None), digest })
        })
    }

    fn generate_pair(
        &mut self,
        (private_at, private_usage): (&Placement, UsageMask),
        (public_at, public_usage): (&Placement, UsageMask),
        kind: PairKind,
        extractable: bool,
    ) -> Result<HsmAnswer, HsmError> {
        let (private_kind, public_kind) = match kind {
            PairKind::Rsa { .. } => (KeyKind::RsaPrivate, KeyKind::RsaPublic),
            PairKind::Ec(curve) => (KeyKind::EcPrivate(curve), KeyKind::EcPublic(curve)),
            PairKind::Ed25519 => (KeyKind::Ed25519Private, KeyKind::Ed25519Public),
        };
        let public_template =
            template::named(template::key(Class::Public, Life::Token, public_usage, false), &public_at.cka_id.into());
        let private_template = template::named(
            template::key(Class::Private, Life::Token, private_usage, extractable),
            &private_at.cka_id.into(),
        );
        let (public, private) = self.make_pair(kind, public_template, private_template)?;
        self.or_destroy(&[public, private], |turn| {
            turn.check_strength(private, extractable)?;
            let spki = transfer::reveal_public(turn.seat, public, public_kind)?;
            let private_digest = if extractable {
                digest_of_revealed(transfer::reveal_private(turn.link, turn.seat, private, private_kind))?
            } else {
                None
            };
            turn.remember(private_at.cka_id, Class::Private, private);
            turn.remember(public_at.cka_id, Class::Public, public);
            Ok(HsmAnswer::MadePair {
                private: turn.reference(private_at, Some(private_kind), None),
                public: turn.reference(public_at, Some(public_kind), None),
                private_digest,
                public_digest: hash::sha256(&spki).to_vec(),
            })
        })
    }

    /// The pair's handles: public, private.
    fn make_pair(
        &mut self,
        kind: PairKind,
        mut public: Vec<Attribute>,
        private: Vec<Attribute>,
    ) -> Result<(Handle, Handle), HsmError> {
        let mechanism = match kind {
            // Modules answer to an absurd length in every possible way.
            PairKind::Rsa { bits } if !RSA_BITS.contains(&bits) => {
                return Err(refused(HsmErrorKind::Unsupported, "length of the RSA key"));
            }
            PairKind::Rsa { bits } => {
                public.push(Attribute::number(CKA_MODULUS_BITS, bits.into()));
                public.push(Attribute::bytes(CKA_PUBLIC_EXPONENT, [1, 0, 1]));
                CKM_RSA_PKCS_KEY_PAIR_GEN
            }
            PairKind::Ec(curve) => {
                public.push(transfer::ec_parameters(curve)?);
                CKM_EC_KEY_PAIR_GEN
            }
            PairKind::Ed25519 => {
                public.push(transfer::edwards_parameters(self.link));
                CKM_EC_EDWARDS_KEY_PAIR_GEN
            }
        };
        let mechanism = Mechanism::plain(mechanism);
        let made = self.with_pair_recipes(&mut public, private, |seat, public, private| {
            seat.session.generate_pair(&mechanism, public, private)
        });
        made.map_err(|error| match kind {
            // A length or curve that the token does not make is not the client's bad data.
            PairKind::Rsa { .. } | PairKind::Ec(_)
                if matches!(error.rv, CKR_KEY_SIZE_RANGE | CKR_ATTRIBUTE_VALUE_INVALID | CKR_DOMAIN_PARAMS_INVALID) =>
            {
                HsmError { kind: HsmErrorKind::Unsupported, ..error }
            }
            _ => error,
        })
    }

    fn import_key(
        &mut self,
        at: &Placement,
        kind: KeyKind,
        value: &SecretValue,
        usage: UsageMask,
        extractable: bool,
    ) -> Result<HsmAnswer, HsmError> {
        let class = class_of(kind);
        let handle = self.put_key(&at.cka_id.into(), kind, value, usage, extractable)?;
        self.or_destroy(&[handle], |turn| {
            if class != Class::Public {
                turn.check_strength(handle, extractable)?;
            }
            turn.remember(at.cka_id, class, handle);
            Ok(HsmAnswer::Made { reference: turn.reference(at, Some(kind), None), digest: None })
        })
    }

    fn put_key(
        &mut self,
        name: &Name,
        kind: KeyKind,
        value: &SecretValue,
        usage: UsageMask,
        extractable: bool,
    ) -> Result<Handle, HsmError> {
        let first = self.put_key_once(name, kind, value, usage, extractable);
        match first {
            // Leaving out what this token may not know: the second try is the other recipe, not the same again.
            Err(error) if recipe_refused(error.rv) && self.link.capability.bare_templates.get().is_none() => {
                let _first = self.link.capability.bare_templates.set(());
                self.put_key_once(name, kind, value, usage, extractable)
            }
            first => first,
        }
    }

    fn put_key_once(
        &mut self,
        name: &Name,
        kind: KeyKind,
        value: &SecretValue,
        usage: UsageMask,
        extractable: bool,
    ) -> Result<Handle, HsmError> {
        let mut common = template::named(template::key(class_of(kind), Life::Token, usage, extractable), name);
        if self.link.capability.bare_templates.get().is_some() {
            common.retain(|attribute| !template::is_optional(attribute));
        }
        let import = transfer::import(self.link, kind, value)?;
        transfer::put(self.link, self.seat, common, import, value)
    }

    fn hold(&mut self, at: &Placement, value: &SecretValue, beside_key: bool) -> Result<HsmAnswer, HsmError> {
        let length = u32::try_from(value.len()).ok().filter(|length| *length > 0);
        let length = length.ok_or_else(|| refused(HsmErrorKind::BadData, "length of the value"))?;
        let name = Name::from(at.cka_id);
        let fits = length <= self.shared.config.generic_secret_bytes_max && transfer::can_wrap(self.link);
        if fits && !beside_key {
            match self.put_key(&name, KeyKind::Generic, value, UsageMask(0), true) {
                Ok(handle) => {
                    let held = HeldBytes { holder: DataHolder::GenericSecret, length };
                    return self.or_destroy(&[handle], |turn| {
                        turn.check_strength(handle, true)?;
                        turn.remember(at.cka_id, Class::Secret, handle);
                        Ok(HsmAnswer::Made { reference: turn.reference(at, None, Some(held)), digest: None })
                    });
                }
                // The token takes no generic secret of this length: a data object it is.
                Err(error)
                    if error.rv != 0
                        && matches!(
                            error.kind,
                            HsmErrorKind::BadData | HsmErrorKind::BadParameters | HsmErrorKind::Unsupported
                        ) => {}
                Err(error) => return Err(error),
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the token holds the value in a data object")]
        let handle = self.seat.session.create(&template::data(&name, value.expose_secret()))?;
        self.remember(at.cka_id, Class::Data, handle);
        let held = HeldBytes { holder: DataHolder::Data, length };
        Ok(HsmAnswer::Made { reference: self.reference(at, None, Some(held)), digest: None })
    }

    /// Tries a template, and once more without the attributes some modules do not know.
    fn with_recipes(
        &mut self,
        template: Vec<Attribute>,
        make: impl Fn(&mut Seat, &[Attribute]) -> Result<Handle, Fault>,
    ) -> Result<Handle, HsmError> {
        let mut template = template;
        let mut bare = self.link.capability.bare_templates.get().is_some();
        loop {
            if bare {
                template.retain(|attribute| !template::is_optional(attribute));
            }
            match make(self.seat, &template) {
                Err(fault) if recipe_refused(fault.rv) && !bare => bare = true,
                Err(fault) => return Err(fault.into()),
                Ok(handle) => {
                    if bare {
                        let _known = self.link.capability.bare_templates.set(());
                    }
                    return Ok(handle);
                }
            }
        }
    }

    /// As [`Self::with_recipes`] for both halves; and Ed25519 by name where its object identifier is refused.
    fn with_pair_recipes(
        &mut self,
        public: &mut Vec<Attribute>,
        mut private: Vec<Attribute>,
        make: impl Fn(&mut Seat, &[Attribute], &[Attribute]) -> Result<(Handle, Handle), Fault>,
    ) -> Result<(Handle, Handle), HsmError> {
        let edwards = transfer::edwards_parameters(self.link);
        let mut bare = self.link.capability.bare_templates.get().is_some();
        let mut by_name = self.link.capability.edwards_by_name.get().is_some();
        let is_edwards = public.iter().any(|attribute| attribute.same(&edwards));
        loop {
            if bare {
                public.retain(|attribute| !template::is_optional(attribute));
                private.retain(|attribute| !template::is_optional(attribute));
            }
            match make(self.seat, public, &private) {
                Err(fault) if recipe_refused(fault.rv) && is_edwards && !by_name => {
                    by_name = true;
                    public.retain(|attribute| attribute.kind() != CKA_EC_PARAMS);
                    public.push(transfer::edwards_by_name());
                }
                Err(fault) if recipe_refused(fault.rv) && !bare => bare = true,
                Err(fault) => return Err(fault.into()),
                Ok(handles) => {
                    if bare {
                        let _known = self.link.capability.bare_templates.set(());
                    }
                    if is_edwards && by_name {
                        let _known = self.link.capability.edwards_by_name.set(());
                    }
                    return Ok(handles);
                }
            }
        }
    }

    /// Reads back what matters: some modules ignore `CKA_SENSITIVE` (contract §4.3).
    fn check_strength(&mut self, handle: Handle, extractable: bool) -> Result<(), HsmError> {
        let [sensitive, may_leave] = self.seat.session.flags(handle, [CKA_SENSITIVE, CKA_EXTRACTABLE])?;
        if sensitive && (extractable || !may_leave) {
            return Ok(());
        }
        tracing::error!(token = %self.shared.id, sensitive, may_leave, "the token made a weaker key than it was asked for");
        Err(refused(HsmErrorKind::Internal, "attributes of the new key"))
    }

    /// Destroys what was made when the rest fails.
    fn or_destroy<T>(
        &mut self,
        made: &[Handle],
        rest: impl FnOnce(&mut Self) -> Result<T, HsmError>,
    ) -> Result<T, HsmError> {
        rest(self).inspect_err(|_| {
            for handle in made {
                if let Err(fault) = self.seat.session.destroy(*handle) {
                    // The engine's intent names the place; it is settled at the next start.
                    tracing::warn!(token = %self.shared.id, rv = fault.rv, "a half-made object could not be destroyed");
                }
            }
        })
    }

    // ------------------------------------------------------------------------------------------------------- reaching

    fn reference(&self, at: &Placement, key: Option<KeyKind>, bytes: Option<HeldBytes>) -> TokenReference {
        TokenReference { token: self.shared.id.clone(), cka_id: at.cka_id, key, bytes }
    }

    fn remember(&self, id: CkaId, class: Class, handle: Handle) {
        self.shared.handles.insert((id, class), (self.link.generation, handle));
    }

    /// Forgets the handles of an object.
    pub(super) fn forget(shared: &Shared, id: CkaId) {
        for class in [Class::Secret, Class::Private, Class::Public, Class::Data] {
            shared.handles.invalidate(&(id, class));
        }
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
            DataHolder::GenericSecret => Class::Secret,
            DataHolder::Data => Class::Data,
        };
        self.lookup(&reference.cka_id.into(), class)
    }

    fn lookup(&mut self, name: &Name, class: Class) -> Result<Handle, HsmError> {
        match self.shared.handles.get(&(name.id, class)) {
            Some((generation, handle)) if generation == self.link.generation => return Ok(handle),
            Some(_) | None => {}
        }
        let handle = self.search(name, class)?.ok_or_else(|| refused(HsmErrorKind::ObjectMissing, "C_FindObjects"))?;
        self.remember(name.id, class, handle);
        Ok(handle)
    }

    /// The one object of that name and class; two are an error and never the first of them.
    fn search(&mut self, name: &Name, class: Class) -> Result<Option<Handle>, HsmError> {
        let found = self.seat.session.find(&template::search(class, name), 2)?;
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
    fn everything(&mut self, id: CkaId) -> Result<Vec<Handle>, HsmError> {
        let name = Name::from(id);
        let mut found = self.seat.session.find(&[Attribute::bytes(CKA_ID, name.id.0)], FOUND_MAX)?;
        found.extend(self.seat.session.find(&[Attribute::bytes(CKA_LABEL, name.label.as_bytes())], FOUND_MAX)?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn destroy(&mut self, id: CkaId) -> Result<HsmAnswer, HsmError> {
        Self::forget(self.shared, id);
        let found = self.everything(id)?;
        self.destroy_all(&found)?;
        Ok(HsmAnswer::Done)
    }

    fn destroy_all(&mut self, handles: &[Handle]) -> Result<(), HsmError> {
        for handle in handles {
            match self.seat.session.destroy(*handle) {
                // Somebody else was faster.
                Ok(()) | Err(Fault { rv: CKR_OBJECT_HANDLE_INVALID, .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
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

    fn reveal_key(&mut self, reference: &TokenReference) -> Result<SecretValue, HsmError> {
        let (kind, handle) = self.key(reference)?;
        match class_of(kind) {
            Class::Public => transfer::reveal_public(self.seat, handle, kind).map(SecretValue::new),
            Class::Private => transfer::reveal_private(self.link, self.seat, handle, kind),
            Class::Secret | Class::Data => transfer::reveal(self.link, self.seat, handle, kind),
        }
    }

    fn reveal_bytes(&mut self, reference: &TokenReference) -> Result<SecretValue, HsmError> {
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

    // --------------------------------------------------------------------------------------------- the gateway's keys

    /// The gateway's own key of that purpose, made when it is wanted for the first time; it cannot leave the token.
    fn system_key(&mut self, name: &Name) -> Result<Handle, HsmError> {
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

    fn system_secret(&mut self, purpose: &str) -> Result<HsmAnswer, HsmError> {
        let name = system_name(purpose);
        let handle = self.system_key(&name)?;
        let secret = self.seat.session.sign(&Mechanism::plain(CKM_SHA256_HMAC), handle, name.label.as_bytes())?;
        Ok(HsmAnswer::Value(SecretValue::new(secret)))
    }

    fn system_signer(&mut self, purpose: &str) -> Result<HsmAnswer, HsmError> {
        let name = system_name(purpose);
        if self.search(&name, Class::Private)?.is_none() {
            let public = template::key(Class::Public, Life::Token, UsageMask::VERIFY, false);
            let private = template::key(Class::Private, Life::Token, UsageMask::SIGN, false);
            let (public, private) = (template::named(public, &name), template::named(private, &name));
            let (public, private) = self.make_pair(PairKind::Ec(Curve::P256), public, private)?;
            self.or_destroy(&[public, private], |turn| turn.check_strength(private, false))?;
            tracing::info!(token = %self.shared.id, label = name.label, "a system key pair was made");
        }
        let public = self.lookup(&name, Class::Public)?;
        transfer::reveal_public(self.seat, public, KeyKind::EcPublic(Curve::P256)).map(HsmAnswer::Bytes)
    }

    fn system_sign(&mut self, purpose: &str, data: &[u8]) -> Result<HsmAnswer, HsmError> {
        let handle = self.lookup(&system_name(purpose), Class::Private)?;
        let scheme = Scheme::Ecdsa(super::mechanism::hash(HashingAlgorithm::SHA_256)?, Curve::P256);
        let signature = self.sign_form(&scheme, &scheme.bare(), handle, &hash::sha256(data))?;
        Ok(HsmAnswer::Bytes(signature))
    }
}

/// Lengths of RSA keys that any token may be asked for; what it makes of them is its own answer.
const RSA_BITS: std::ops::RangeInclusive<u32> = 1024..=16_384;
/// More random bytes than anybody needs at once.
const RANDOM_MAX: usize = 1 << 20;

/// Codes by which modules refuse an attribute that they do not know or want.
const fn recipe_refused(rv: CK_RV) -> bool {
    matches!(
        rv,
        CKR_ATTRIBUTE_TYPE_INVALID
            | CKR_ATTRIBUTE_VALUE_INVALID
            | CKR_ATTRIBUTE_READ_ONLY
            | CKR_TEMPLATE_INCONSISTENT
            | CKR_DOMAIN_PARAMS_INVALID
    )
}

/// The digest of a new key; none where the token has no way to let this kind of key out, extractable or not.
fn digest_of_revealed(value: Result<SecretValue, HsmError>) -> Result<Option<Vec<u8>>, HsmError> {
    match value {
        Ok(value) => digest(HashingAlgorithm::SHA_256, &value).map(Some),
        Err(HsmError { kind: HsmErrorKind::NotExtractable | HsmErrorKind::Unsupported, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn digest(algorithm: HashingAlgorithm, value: &SecretValue) -> Result<Vec<u8>, HsmError> {
    hash::digest_secret(algorithm, value).map_err(|error| {
        tracing::debug!(%error, "digest");
        refused(HsmErrorKind::Unsupported, "digest")
    })
}
