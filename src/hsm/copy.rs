//! Objects copied from one token of a group to another, by the tokens themselves.
//!
//! Keys cross wrapped (RFC 5649) under the group's key, which every token of the group holds and which came to each of them
//! under an RSA key of its own: no key is in clear outside a token. Public keys and data objects are read and made again. A
//! token that fills values with zeros before it wraps them gives those whose length would change under the session's
//! transport key instead; that value is in zeroised memory for a moment.

use cryptoki_sys::*;

use super::{
    capability::KeyWrap,
    error::refused,
    layout::{Attribute, Mechanism, Parameter},
    pool::Class,
    raw::Handle,
    request::Turn,
    system::{GROUP_KEY, SYSTEM_LABEL, system_name},
    template::{self, LABEL, Life, Name},
    transfer,
    work::{GroupKey, Tray},
};
use crate::{
    crypto::keys::{PublicKey, curve_parameters},
    domain::{
        SecretValue, UsageMask,
        algorithm::Curve,
        reference::{CkaId, KeyKind},
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, PairKind},
};

/// The purpose of the pair under which the group's key comes to a token; it is there as long as that takes.
const DELIVERY: &str = "group-delivery";
/// RSA, 112 bits of strength for one use; every HSM has it.
const DELIVERY_BITS: u32 = 2048;
/// Longer than every label of ours.
const LABEL_GUESS: usize = 64;

/// One object on its way.
pub(super) struct Copied {
    class: Class,
    label: String,
    usage: Vec<(CK_ATTRIBUTE_TYPE, bool)>,
    body: Body,
}

enum Body {
    /// Wrapped under the group's key.
    Wrapped { key_type: CK_ULONG, extractable: bool, blob: Vec<u8> },
    /// A public key; or a key from a token that wraps no value of that length as it is.
    Open { kind: KeyKind, extractable: bool, value: SecretValue },
    /// A data object.
    Data(SecretValue),
}

impl Turn<'_> {
    /// Lays copies of every object of this identifier down; none when there is nothing.
    pub(super) fn copy_out(&mut self, id: CkaId, tray: &Tray<Copied>) -> Result<HsmAnswer, HsmError> {
        let handles = self.everything(id)?;
        let copies = handles.into_iter().map(|handle| self.copy(handle)).collect::<Result<Vec<_>, _>>()?;
        *tray.lock() = copies;
        Ok(HsmAnswer::Done)
    }

    fn copy(&mut self, handle: Handle) -> Result<Copied, HsmError> {
        let class = match self.seat.session.number(handle, CKA_CLASS)? {
            CKO_SECRET_KEY => Class::Secret,
            CKO_PRIVATE_KEY => Class::Private,
            CKO_PUBLIC_KEY => Class::Public,
            CKO_DATA => Class::Data,
            _ => return Err(refused(HsmErrorKind::Unsupported, "an object of another class")),
        };
        let label = self.seat.session.attribute(handle, CKA_LABEL, LABEL_GUESS)?;
        let label = String::from_utf8_lossy(&label).into_owned();
        let mut usage = Vec::new();
        for attribute in template::usages(class) {
            let [set, _] = self.seat.session.flags(handle, [attribute, CKA_TOKEN])?;
            usage.push((attribute, set));
        }
        let body = match class {
            Class::Data => {
                let mut value = self.seat.session.attribute(handle, CKA_VALUE, 1 << 16)?;
                Body::Data(SecretValue::new(std::mem::take(&mut *value)))
            }
            Class::Public => {
                let kind = self.kind(handle, class)?;
                let value = SecretValue::new(transfer::reveal_public(self.seat, handle, kind)?);
                Body::Open { kind, extractable: false, value }
            }
            Class::Secret | Class::Twin | Class::Private => self.wrapped(handle, class)?,
        };
        Ok(Copied { class, label, usage, body })
    }

    fn wrapped(&mut self, handle: Handle, class: Class) -> Result<Body, HsmError> {
        let [_, extractable] = self.seat.session.flags(handle, [CKA_SENSITIVE, CKA_EXTRACTABLE])?;
        if !extractable {
            return Err(refused(
                HsmErrorKind::NotExtractable,
                "an object that was made before its token joined a group",
            ));
        }
        let KeyWrap { mechanism, fills } = transfer::kwp(self.link, self.seat)?;
        let key_type = self.seat.session.number(handle, CKA_KEY_TYPE)?;
        let even = |length: CK_ULONG| length.is_multiple_of(8);
        let whole = match (fills, class, key_type) {
            (false, ..) | (true, _, CKK_AES | CKK_DES2 | CKK_DES3) => true,
            (true, Class::Private, _) => false,
            (true, ..) => even(self.seat.session.number(handle, CKA_VALUE_LEN)?),
        };
        if whole {
            let group_key = self.lookup(&system_name(GROUP_KEY), Class::Secret)?;
            let mechanism = Mechanism::plain(mechanism);
            let mut blob = self.seat.session.wrap(&mechanism, group_key, handle, transfer::BLOB_GUESS)?;
            return Ok(Body::Wrapped { key_type, extractable, blob: std::mem::take(&mut *blob) });
        }
        let kind = self.kind(handle, class)?;
        let value = match class {
            Class::Private => transfer::reveal_private(self.link, self.seat, handle, kind)?,
            _ => transfer::reveal(self.link, self.seat, handle, kind)?,
        };
        Ok(Body::Open { kind, extractable, value })
    }

    /// What kind of key an object is, by its own word.
    pub(super) fn kind(&mut self, handle: Handle, class: Class) -> Result<KeyKind, HsmError> {
        let unknown = || refused(HsmErrorKind::Unsupported, "a key of another kind");
        let key_type = self.seat.session.number(handle, CKA_KEY_TYPE)?;
        let private = class == Class::Private;
        match (class, key_type) {
            (Class::Secret, CKK_AES) => Ok(KeyKind::Aes),
            (Class::Secret, CKK_DES2 | CKK_DES3) => Ok(KeyKind::TripleDes),
            (Class::Secret, CKK_CHACHA20) => Ok(KeyKind::ChaCha20),
            (Class::Secret, CKK_AES_XTS) => Ok(KeyKind::AesXts),
            (Class::Secret, _) => Ok(KeyKind::Generic),
            (_, CKK_RSA) => Ok(if private { KeyKind::RsaPrivate } else { KeyKind::RsaPublic }),
            (_, CKK_EC_EDWARDS) => Ok(if private { KeyKind::Ed25519Private } else { KeyKind::Ed25519Public }),
            (_, CKK_EC) => {
                let parameters = self.seat.session.attribute(handle, CKA_EC_PARAMS, LABEL_GUESS)?;
                let is_it = |curve: &Curve| curve_parameters(*curve).is_ok_and(|known| known == *parameters);
                let curve = Curve::ALL.into_iter().find(is_it).ok_or_else(unknown)?;
                Ok(if private { KeyKind::EcPrivate(curve) } else { KeyKind::EcPublic(curve) })
            }
            _ => Err(unknown()),
        }
    }

    /// Makes what stands under this identifier equal to the copies: what was there goes first.
    pub(super) fn copy_in(&mut self, id: CkaId, copies: &[Copied]) -> Result<HsmAnswer, HsmError> {
        Self::forget(self.shared, id);
        let before = self.everything(id)?;
        self.destroy_all(&before)?;
        let mut made = Vec::with_capacity(copies.len());
        for copy in copies {
            match self.put_copy(id, copy) {
                Ok(handle) => made.push(handle),
                Err(error) => return self.or_destroy(&made, |_| Err(error)),
            }
        }
        Ok(HsmAnswer::Done)
    }

    fn put_copy(&mut self, id: CkaId, copy: &Copied) -> Result<Handle, HsmError> {
        let name = Name { id, label: copy.label.clone() };
        match &copy.body {
            #[expect(clippy::disallowed_methods, reason = "the token holds the value in a data object")]
            Body::Data(value) => Ok(self.seat.session.create(&template::data(&name, value.expose_secret()))?),
            Body::Wrapped { key_type, extractable, blob } => {
                let group_key = self.lookup(&system_name(GROUP_KEY), Class::Secret)?;
                let mechanism = Mechanism::plain(transfer::kwp(self.link, self.seat)?.mechanism);
                let mut common = template::named(template::like(copy.class, &copy.usage, *extractable), &name);
                common.push(Attribute::number(CKA_KEY_TYPE, *key_type));
                let handle = self.with_recipes(common, |seat, template| {
                    seat.session.unwrap(&mechanism, group_key, blob, template)
                })?;
                self.or_destroy(&[handle], |turn| turn.check_strength(handle, *extractable))?;
                Ok(handle)
            }
            Body::Open { kind, extractable, value } => {
                let common = template::named(template::like(copy.class, &copy.usage, *extractable), &name);
                let handle = self.put_template(common, *kind, value)?;
                if copy.class != Class::Public {
                    self.or_destroy(&[handle], |turn| turn.check_strength(handle, *extractable))?;
                }
                Ok(handle)
            }
        }
    }

    /// Lays down the identifiers of all objects that this gateway made, but for the group's key itself.
    pub(super) fn inventory(&mut self, tray: &Tray<(CkaId, bool)>) -> Result<HsmAnswer, HsmError> {
        let mut ids = Vec::new();
        let not_copied = [system_name(GROUP_KEY).id, system_name(DELIVERY).id];
        for class in [CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_DATA] {
            let all = [Attribute::number(CKA_CLASS, class), Attribute::flag(CKA_TOKEN, true)];
            for handle in self.seat.session.find(&all, usize::MAX)? {
                let label = self.seat.session.attribute(handle, CKA_LABEL, LABEL_GUESS)?;
                let label = String::from_utf8_lossy(&label);
                let id = if let Some(text) = label.strip_prefix(LABEL) {
                    uuid::Uuid::try_parse(text).ok().map(|uuid| (CkaId(*uuid.as_bytes()), false))
                } else if class == CKO_DATA {
                    // A note of the gateway's own is this token's.
                    None
                } else if label.starts_with(SYSTEM_LABEL) {
                    self.seat.session.attribute(handle, CKA_ID, 16)?.first_chunk().map(|id| (CkaId(*id), true))
                } else {
                    None
                };
                ids.extend(id.filter(|(id, _)| !not_copied.contains(id)));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        *tray.lock() = ids;
        Ok(HsmAnswer::Done)
    }

    /// A step in bringing the group's key here.
    pub(super) fn group_key(&mut self, step: &GroupKey) -> Result<HsmAnswer, HsmError> {
        let name = system_name(GROUP_KEY);
        match step {
            GroupKey::Find => {
                // Another process may have brought it or taken it away.
                Self::forget(self.shared, name.id);
                self.lookup(&name, Class::Secret).map(|_| HsmAnswer::Done)
            }
            GroupKey::Make => {
                let mut common = template::named(group_template(), &name);
                common.push(Attribute::number(CKA_VALUE_LEN, 32));
                self.with_recipes(common, |seat, template| {
                    seat.session.generate(&Mechanism::plain(CKM_AES_KEY_GEN), template)
                })?;
                tracing::info!(token = %self.shared.id, "the group's key was made");
                self.lookup(&name, Class::Secret).map(|_| HsmAnswer::Done)
            }
            GroupKey::Ask => {
                let name = system_name(DELIVERY);
                let stale = self.everything(name.id)?;
                self.destroy_all(&stale)?;
                Self::forget(self.shared, name.id);
                let public = template::key(Class::Public, Life::Token, UsageMask::WRAP, false);
                let private = template::key(Class::Private, Life::Token, UsageMask::UNWRAP, false);
                let (public, private) = (template::named(public, &name), template::named(private, &name));
                let (public, _) = self.make_pair(PairKind::Rsa { bits: DELIVERY_BITS }, public, private)?;
                transfer::reveal_public(self.seat, public, KeyKind::RsaPublic).map(HsmAnswer::Bytes)
            }
            GroupKey::Give(spki) => self.give(spki),
            GroupKey::Take(parcel) => self.take(parcel),
        }
    }

    fn give(&mut self, spki: &[u8]) -> Result<HsmAnswer, HsmError> {
        let group_key = self.lookup(&system_name(GROUP_KEY), Class::Secret)?;
        let Ok(PublicKey::Rsa(public)) = PublicKey::from_spki(spki) else {
            return Err(refused(HsmErrorKind::Internal, "public half of the delivery pair"));
        };
        let mut template = template::key(Class::Public, Life::Session, UsageMask::WRAP, false);
        template.extend([
            Attribute::number(CKA_KEY_TYPE, CKK_RSA),
            Attribute::bytes(CKA_MODULUS, public.n()),
            Attribute::bytes(CKA_PUBLIC_EXPONENT, public.e()),
        ]);
        let public = self.seat.session.create(&template)?;
        let mut last = refused(HsmErrorKind::Unsupported, "OAEP");
        let mut given = None;
        for number in 0..OAEP.len() {
            match self.seat.session.wrap(&oaep(number), public, group_key, 512) {
                Ok(blob) => {
                    let number = u8::try_from(number).unwrap_or_default();
                    given = Some([&[number], blob.as_slice()].concat());
                    break;
                }
                // A module that knows one hash only says so in many ways.
                Err(fault) => last = fault.into(),
            }
        }
        self.seat.session.destroy(public)?;
        given.map(HsmAnswer::Bytes).ok_or(last)
    }

    fn take(&mut self, parcel: &[u8]) -> Result<HsmAnswer, HsmError> {
        let pair = system_name(DELIVERY);
        let private = self.lookup(&pair, Class::Private)?;
        let (number, blob) = parcel.split_first().ok_or_else(|| refused(HsmErrorKind::Internal, "parcel"))?;
        let (mechanism, name) = (oaep(usize::from(*number)), system_name(GROUP_KEY));
        let common = template::named(group_template(), &name);
        self.with_recipes(common, |seat, template| seat.session.unwrap(&mechanism, private, blob, template))?;
        let pair_objects = self.everything(pair.id)?;
        self.destroy_all(&pair_objects)?;
        Self::forget(self.shared, pair.id);
        tracing::info!(token = %self.shared.id, "the group's key has come to the token");
        self.lookup(&name, Class::Secret).map(|_| HsmAnswer::Done)
    }
}

/// It can be wrapped, so that it can come to a token that joins later.
fn group_template() -> Vec<Attribute> {
    let usage = UsageMask::WRAP.with(UsageMask::UNWRAP);
    let mut template = template::key(Class::Secret, Life::Token, usage, true);
    template.push(Attribute::number(CKA_KEY_TYPE, CKK_AES));
    template
}

const OAEP: [(CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE); 2] =
    [(CKM_SHA256, CKG_MGF1_SHA256), (CKM_SHA_1, CKG_MGF1_SHA1)];

/// OAEP by one of the hashes that modules know.
fn oaep(number: usize) -> Mechanism {
    let (hash, mgf) = OAEP.get(number).copied().unwrap_or(OAEP[0]);
    Mechanism { code: CKM_RSA_PKCS_OAEP, parameter: Parameter::Oaep { hash, mgf, label: Vec::new() } }
}
