//! Objects made on a token: keys generated and taken in, bytes held.
//!
//! A template is tried as the contract wants it, then without the attributes some modules do not know; what a token took is
//! remembered. What was made is read back, and destroyed again when the rest fails.

use cryptoki_sys::*;

use super::{
    error::refused,
    layout::{Attribute, Mechanism},
    pool::{Class, Seat},
    raw::{Fault, Handle},
    request::{Turn, digest},
    template::{self, Life, Name, class_of},
    transfer,
};
use crate::{
    crypto::hash,
    domain::{
        SecretValue, TokenReference, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
        reference::{DataHolder, HeldBytes, KeyKind},
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, PairKind, Placement},
};

impl Turn<'_> {
    pub(super) fn generate_key(
        &mut self,
        at: &Placement,
        kind: KeyKind,
        bytes: u32,
        usage: UsageMask,
        extractable: bool,
        wants_digest: bool,
    ) -> Result<HsmAnswer, HsmError> {
        let unsupported = || refused(HsmErrorKind::Unsupported, "C_GenerateKey");
        // A cipher that the token lacks: the key is made and held, and refused when it is used (KMIP contract §6, Create).
        let held = self.lacks_cipher(kind);
        let (kind, usage) = if held { (KeyKind::Generic, UsageMask(0)) } else { (kind, usage) };
        let (mechanism, with_length) = match (kind, bytes) {
            (KeyKind::Aes, 16 | 24 | 32) => (CKM_AES_KEY_GEN, true),
            (KeyKind::TripleDes, 24) => (CKM_DES3_KEY_GEN, false),
            (KeyKind::TripleDes, 16) => (CKM_DES2_KEY_GEN, false),
            (KeyKind::ChaCha20, 32) => (CKM_CHACHA20_KEY_GEN, false),
            (KeyKind::AesXts, 64) => (CKM_AES_XTS_KEY_GEN, true),
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
        let mechanism = Mechanism::plain(mechanism);
        let handle = self.with_roles(common, usage, |turn, template| {
            turn.with_recipes(template, |seat, template| seat.session.generate(&mechanism, template))
        })?;
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

    fn lacks_cipher(&self, kind: KeyKind) -> bool {
        let offers = |mechanism| self.link.capability.offers(mechanism);
        match kind {
            KeyKind::TripleDes => !offers(CKM_DES3_KEY_GEN) && !offers(CKM_DES2_KEY_GEN),
            KeyKind::ChaCha20 => !offers(CKM_CHACHA20_KEY_GEN),
            KeyKind::AesXts => !offers(CKM_AES_XTS_KEY_GEN) || !offers(CKM_AES_XTS),
            _ => false,
        }
    }

    pub(super) fn generate_pair(
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
    pub(super) fn make_pair(
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
            // Kryoptic says so of a curve that it does not know.
            PairKind::Ec(Curve::Secp256k1) if error.rv == CKR_GENERAL_ERROR => {
                HsmError { kind: HsmErrorKind::Unsupported, ..error }
            }
            _ => error,
        })
    }

    pub(super) fn import_key(
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
        let class = class_of(kind);
        let template = template::named(template::key(class, Life::Token, usage, extractable), name);
        match class {
            Class::Secret => {
                self.with_roles(template, usage, |turn, template| turn.put_template(template, kind, value))
            }
            _ => self.put_template(template, kind, value),
        }
    }

    /// Makes a secret key by a template, and by one that asks for less where the token does not take the mix of uses. What is
    /// refused then is not the client's value but what the mask asks for.
    fn with_roles(
        &mut self,
        template: Vec<Attribute>,
        usage: UsageMask,
        mut make: impl FnMut(&mut Self, Vec<Attribute>) -> Result<Handle, HsmError>,
    ) -> Result<Handle, HsmError> {
        let narrowed = template::narrowed(&template, usage);
        let made = match (make(self, template), narrowed) {
            (Err(error), Some(narrowed)) if error.rv == CKR_TEMPLATE_INCONSISTENT => make(self, narrowed),
            (made, _) => made,
        };
        made.map_err(|error| match error.rv {
            CKR_TEMPLATE_INCONSISTENT => HsmError { kind: HsmErrorKind::Unsupported, ..error },
            _ => error,
        })
    }

    /// Puts a value on the token as a key with these attributes.
    pub(super) fn put_template(
        &mut self,
        common: Vec<Attribute>,
        kind: KeyKind,
        value: &SecretValue,
    ) -> Result<Handle, HsmError> {
        // What this request has tried decides, not what others have found out meanwhile: two that fail at the same time both
        // have the other recipe before them.
        let mut bare = self.link.capability.bare_templates.get().is_some();
        loop {
            let import = transfer::import(self.link, kind, value)?;
            let wanted = common.iter().filter(|attribute| !bare || !template::is_optional(attribute));
            match transfer::put(self.link, self.seat, wanted.cloned().collect(), import, value) {
                // Leaving out what this token may not know: the second try is the other recipe, not the same again.
                Err(error) if recipe_refused(error.rv) && !bare => bare = true,
                Err(error) => return Err(error),
                Ok(handle) => {
                    if bare {
                        let _known = self.link.capability.bare_templates.set(());
                    }
                    return Ok(handle);
                }
            }
        }
    }

    pub(super) fn hold(
        &mut self,
        at: &Placement,
        value: &SecretValue,
        beside_key: bool,
    ) -> Result<HsmAnswer, HsmError> {
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

    /// The second object of a cipher key, which makes MACs.
    pub(super) fn make_twin(
        &mut self,
        of: &TokenReference,
        value: Option<&SecretValue>,
        usage: UsageMask,
        extractable: bool,
    ) -> Result<HsmAnswer, HsmError> {
        let revealed;
        let value = match value {
            Some(value) => value,
            None => {
                revealed = self.reveal_key(of)?;
                &revealed
            }
        };
        let length = u32::try_from(value.len()).ok().filter(|length| *length > 0);
        let length = length.ok_or_else(|| refused(HsmErrorKind::BadData, "length of the value"))?;
        let handle = self.put_key(&Name::from(of.cka_id), KeyKind::Generic, value, usage, extractable)?;
        self.or_destroy(&[handle], |turn| {
            turn.check_strength(handle, extractable)?;
            turn.remember(of.cka_id, Class::Twin, handle);
            let bytes = Some(HeldBytes { holder: DataHolder::GenericSecret, length });
            Ok(HsmAnswer::Made { reference: TokenReference { bytes, ..of.clone() }, digest: None })
        })
    }

    /// Tries a template, and once more without the attributes some modules do not know.
    pub(super) fn with_recipes(
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
    pub(super) fn check_strength(&mut self, handle: Handle, extractable: bool) -> Result<(), HsmError> {
        let [sensitive, may_leave] = self.seat.session.flags(handle, [CKA_SENSITIVE, CKA_EXTRACTABLE])?;
        if sensitive && (extractable || !may_leave) {
            return Ok(());
        }
        tracing::error!(token = %self.shared.id, sensitive, may_leave, "the token made a weaker key than it was asked for");
        Err(refused(HsmErrorKind::Internal, "attributes of the new key"))
    }

    /// Destroys what was made when the rest fails.
    pub(super) fn or_destroy<T>(
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
}

/// Lengths of RSA keys that any token may be asked for; what it makes of them is its own answer.
const RSA_BITS: std::ops::RangeInclusive<u32> = 1024..=16_384;

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
