//! Objects copied from one token to another, by the tokens themselves: within a group, or because they are moved.
//!
//! Keys cross wrapped (RFC 5649) under a key that both tokens hold, the group's or one of the move, and which came to each of
//! them under an RSA key of its own: no key is in clear outside a token. Public keys and data objects are read and made again. A
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
    work::{GroupKey, Manner, Open, Tray},
};
use crate::{
    crypto::{
        hash,
        keys::{PrivateKey, PublicKey, curve_parameters},
    },
    domain::{
        SecretValue, UsageMask,
        algorithm::Curve,
        reference::{CkaId, KeyKind},
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, PairKind},
};

/// The purpose of the pair under which the group's key comes to a token; it is there as long as that takes.
const DELIVERY: &str = "group-delivery";
/// Purposes of the keys of moves, and of the pairs that bring them, begin with it.
pub(super) const EXCHANGE: &str = "exchange-";

/// The pair under which that key comes to a token.
pub(super) fn delivery(kek: &str) -> Name {
    if kek == GROUP_KEY { system_name(DELIVERY) } else { system_name(&format!("{kek}-delivery")) }
}
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

/// What can be compared of an object on any two tokens. The digest never leaves the process and is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Print {
    class: CK_ULONG,
    key_type: CK_ULONG,
    label: String,
    usage: Vec<(CK_ATTRIBUTE_TYPE, bool)>,
    extractable: bool,
    digest: [u8; 32],
}

/// What two sets of copies say of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// Bit for bit the same.
    Same,
    /// What is kept beside the values differs.
    Different,
    /// The tokens write the values down in different ways.
    Undecided,
}

/// Compares what two tokens have laid down under the same key: RFC 5649 wraps one value in one way only.
pub(super) fn likeness(one: &[Copied], other: &[Copied]) -> Likeness {
    fn sorted(copies: &[Copied]) -> Vec<&Copied> {
        let mut copies: Vec<&Copied> = copies.iter().collect();
        copies.sort_by_key(|copy| (copy.order(), copy.label.clone(), copy.usage.clone()));
        copies
    }
    if one.len() != other.len() {
        return Likeness::Different;
    }
    let mut found = Likeness::Same;
    for (one, other) in sorted(one).into_iter().zip(sorted(other)) {
        if one.class != other.class || one.label != other.label || one.usage != other.usage {
            return Likeness::Different;
        }
        let same = match (&one.body, &other.body) {
            (
                Body::Wrapped { key_type, extractable, blob },
                Body::Wrapped { key_type: other_type, extractable: other_extractable, blob: other_blob },
            ) => key_type == other_type && extractable == other_extractable && blob == other_blob,
            (Body::Data(one), Body::Data(other)) => one.matches(other),
            (
                Body::Open { kind, extractable, value },
                Body::Open { kind: other_kind, extractable: other_extractable, value: other_value },
            ) => kind == other_kind && extractable == other_extractable && value.matches(other_value),
            _ => false,
        };
        if !same {
            found = Likeness::Undecided;
        }
    }
    found
}

impl Copied {
    fn order(&self) -> (CK_ULONG, CK_ULONG) {
        let key_type = match &self.body {
            Body::Wrapped { key_type, .. } => *key_type,
            Body::Open { kind, .. } => template::key_type(*kind, 0),
            Body::Data(_) => 0,
        };
        // Two lengths of one cipher have types of their own.
        let key_type = if key_type == CKK_DES2 { CKK_DES3 } else { key_type };
        (template::object_class(self.class), key_type)
    }
}

impl Turn<'_> {
    /// Lays copies of every object of this identifier down; none when there is nothing.
    pub(super) fn copy_out(&mut self, id: CkaId, manner: &Manner, tray: &Tray<Copied>) -> Result<HsmAnswer, HsmError> {
        let handles = self.everything(id)?;
        let copies = handles.into_iter().map(|handle| self.copy(handle, manner)).collect::<Result<Vec<_>, _>>()?;
        *tray.lock() = copies;
        Ok(HsmAnswer::Done)
    }

    /// Lays down what can be compared of every object of this identifier.
    pub(super) fn prints(&mut self, id: CkaId, tray: &Tray<Print>) -> Result<HsmAnswer, HsmError> {
        let mut prints = Vec::new();
        for handle in self.everything(id)? {
            prints.push(self.print(handle)?);
        }
        prints.sort();
        *tray.lock() = prints;
        Ok(HsmAnswer::Done)
    }

    fn print(&mut self, handle: Handle) -> Result<Print, HsmError> {
        let class = self.class(handle)?;
        let (label, usage) = (self.label(handle)?, self.usage(handle, class)?);
        let (mut key_type, mut extractable) = (0, false);
        if class != Class::Data {
            key_type = self.seat.session.number(handle, CKA_KEY_TYPE)?;
        }
        if matches!(class, Class::Secret | Class::Private) {
            [_, extractable] = self.seat.session.flags(handle, [CKA_SENSITIVE, CKA_EXTRACTABLE])?;
        }
        let value = match class {
            Class::Data => self.data(handle)?,
            Class::Public => {
                let kind = self.kind(handle, class)?;
                SecretValue::new(transfer::reveal_public(self.seat, handle, kind)?)
            }
            Class::Private => {
                let kind = self.kind(handle, class)?;
                let der = transfer::reveal_private(self.link, self.seat, handle, kind)?;
                PrivateKey::from_pkcs8(&der).and_then(|key| key.to_pkcs8()).map_err(|error| {
                    tracing::error!(%error, "PKCS#8 of the token");
                    refused(HsmErrorKind::Internal, "PKCS#8 of the token")
                })?
            }
            Class::Secret | Class::Twin => {
                let kind = self.kind(handle, class)?;
                transfer::reveal(self.link, self.seat, handle, kind)?
            }
        };
        #[expect(clippy::disallowed_methods, reason = "only its digest is compared")]
        let digest = hash::sha256(value.expose_secret());
        Ok(Print { class: template::object_class(class), key_type, label, usage, extractable, digest })
    }

    fn class(&mut self, handle: Handle) -> Result<Class, HsmError> {
        match self.seat.session.number(handle, CKA_CLASS)? {
            CKO_SECRET_KEY => Ok(Class::Secret),
            CKO_PRIVATE_KEY => Ok(Class::Private),
            CKO_PUBLIC_KEY => Ok(Class::Public),
            CKO_DATA => Ok(Class::Data),
            _ => Err(refused(HsmErrorKind::Unsupported, "an object of another class")),
        }
    }

    fn label(&mut self, handle: Handle) -> Result<String, HsmError> {
        let label = self.seat.session.attribute(handle, CKA_LABEL, LABEL_GUESS)?;
        Ok(String::from_utf8_lossy(&label).into_owned())
    }

    fn usage(&mut self, handle: Handle, class: Class) -> Result<Vec<(CK_ATTRIBUTE_TYPE, bool)>, HsmError> {
        let mut usage = Vec::new();
        for attribute in template::usages(class) {
            let [set, _] = self.seat.session.flags(handle, [attribute, CKA_TOKEN])?;
            usage.push((attribute, set));
        }
        Ok(usage)
    }

    fn data(&mut self, handle: Handle) -> Result<SecretValue, HsmError> {
        let mut value = self.seat.session.attribute(handle, CKA_VALUE, 1 << 16)?;
        Ok(SecretValue::new(std::mem::take(&mut *value)))
    }

    fn copy(&mut self, handle: Handle, manner: &Manner) -> Result<Copied, HsmError> {
        let class = self.class(handle)?;
        let (label, usage) = (self.label(handle)?, self.usage(handle, class)?);
        let body = match class {
            Class::Data => Body::Data(self.data(handle)?),
            Class::Public => {
                let kind = self.kind(handle, class)?;
                let value = SecretValue::new(transfer::reveal_public(self.seat, handle, kind)?);
                Body::Open { kind, extractable: false, value }
            }
            Class::Secret | Class::Twin | Class::Private => self.wrapped(handle, class, manner)?,
        };
        Ok(Copied { class, label, usage, body })
    }

    fn wrapped(&mut self, handle: Handle, class: Class, manner: &Manner) -> Result<Body, HsmError> {
        let [_, extractable] = self.seat.session.flags(handle, [CKA_SENSITIVE, CKA_EXTRACTABLE])?;
        if !extractable {
            return Err(refused(HsmErrorKind::NotExtractable, "an object that may not leave its token"));
        }
        let KeyWrap { mechanism, fills } = transfer::kwp(self.link, self.seat)?;
        let key_type = self.seat.session.number(handle, CKA_KEY_TYPE)?;
        let even = |length: CK_ULONG| length.is_multiple_of(8);
        let whole = match (fills, class, key_type) {
            _ if manner.open == Open::All => false,
            (_, Class::Secret, CKK_GENERIC_SECRET) if manner.open == Open::Generic => false,
            (false, ..) | (true, _, CKK_AES | CKK_DES2 | CKK_DES3) => true,
            (true, Class::Private, _) => false,
            (true, ..) => even(self.seat.session.number(handle, CKA_VALUE_LEN)?),
        };
        if whole {
            let group_key = self.lookup(&system_name(&manner.kek), Class::Secret)?;
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
    pub(super) fn copy_in(&mut self, id: CkaId, kek: &str, copies: &[Copied]) -> Result<HsmAnswer, HsmError> {
        Self::forget(self.shared, id);
        let before = self.everything(id)?;
        self.destroy_all(&before)?;
        let mut made = Vec::with_capacity(copies.len());
        for copy in copies {
            match self.put_copy(id, kek, copy) {
                Ok(handle) => made.push(handle),
                Err(error) => return self.or_destroy(&made, |_| Err(error)),
            }
        }
        Ok(HsmAnswer::Done)
    }

    fn put_copy(&mut self, id: CkaId, kek: &str, copy: &Copied) -> Result<Handle, HsmError> {
        let name = Name { id, label: copy.label.clone() };
        match &copy.body {
            #[expect(clippy::disallowed_methods, reason = "the token holds the value in a data object")]
            Body::Data(value) => Ok(self.seat.session.create(&template::data(&name, value.expose_secret()))?),
            Body::Wrapped { key_type, extractable, blob } => {
                let group_key = self.lookup(&system_name(kek), Class::Secret)?;
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

    /// Whether what crosses wrapped among the copies opens under the key that is here: objects of the session, gone again at once.
    pub(super) fn opens(&mut self, kek: &str, copies: &[Copied]) -> Result<HsmAnswer, HsmError> {
        for copy in copies {
            let Body::Wrapped { key_type, extractable, blob } = &copy.body else { continue };
            let group_key = self.lookup(&system_name(kek), Class::Secret)?;
            let mechanism = Mechanism::plain(transfer::kwp(self.link, self.seat)?.mechanism);
            let mut common = template::passing(copy.class, &copy.usage, *extractable);
            common.push(Attribute::number(CKA_KEY_TYPE, *key_type));
            let handle =
                self.with_recipes(common, |seat, template| seat.session.unwrap(&mechanism, group_key, blob, template))?;
            self.seat.session.destroy(handle)?;
        }
        Ok(HsmAnswer::Done)
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
                } else if label.strip_prefix(SYSTEM_LABEL).is_some_and(|purpose| !purpose.starts_with(EXCHANGE)) {
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

    /// A step in bringing a key here under which values cross.
    pub(super) fn group_key(&mut self, kek: &str, step: &GroupKey) -> Result<HsmAnswer, HsmError> {
        let name = system_name(kek);
        match step {
            GroupKey::Find => {
                // Another process may have brought it or taken it away.
                Self::forget(self.shared, name.id);
                self.lookup(&name, Class::Secret).map(|_| HsmAnswer::Done)
            }
            GroupKey::Make => {
                let mut common = template::named(group_template(true), &name);
                common.push(Attribute::number(CKA_VALUE_LEN, 32));
                self.with_recipes(common, |seat, template| {
                    seat.session.generate(&Mechanism::plain(CKM_AES_KEY_GEN), template)
                })?;
                tracing::info!(token = %self.shared.id, kek, "a key was made under which values cross");
                self.lookup(&name, Class::Secret).map(|_| HsmAnswer::Done)
            }
            GroupKey::Ask => {
                let name = delivery(kek);
                let stale = self.everything(name.id)?;
                self.destroy_all(&stale)?;
                Self::forget(self.shared, name.id);
                let public = template::key(Class::Public, Life::Token, UsageMask::WRAP, false);
                let private = template::key(Class::Private, Life::Token, UsageMask::UNWRAP, false);
                let (public, private) = (template::named(public, &name), template::named(private, &name));
                let (public, _) = self.make_pair(PairKind::Rsa { bits: DELIVERY_BITS }, public, private)?;
                transfer::reveal_public(self.seat, public, KeyKind::RsaPublic).map(HsmAnswer::Bytes)
            }
            GroupKey::Give(spki, from) => self.give(kek, spki, *from),
            GroupKey::Take(parcel) => self.take(kek, parcel),
        }
    }

    /// Wraps it under a token's delivery pair, by the first hash of OAEP from that number on that this token knows.
    fn give(&mut self, kek: &str, spki: &[u8], from: usize) -> Result<HsmAnswer, HsmError> {
        let group_key = self.lookup(&system_name(kek), Class::Secret)?;
        let [private, _] = self.seat.session.flags(group_key, [CKA_PRIVATE, CKA_TOKEN])?;
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
        for number in from..OAEP.len() {
            match self.seat.session.wrap(&oaep(number), public, group_key, 512) {
                Ok(blob) => {
                    let number = u8::try_from(number).unwrap_or_default();
                    let number = if private { number } else { number | SHOWN };
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

    fn take(&mut self, kek: &str, parcel: &[u8]) -> Result<HsmAnswer, HsmError> {
        let pair = delivery(kek);
        let private = self.lookup(&pair, Class::Private)?;
        let (number, blob) = parcel.split_first().ok_or_else(|| refused(HsmErrorKind::Internal, "parcel"))?;
        let (mechanism, name) = (oaep(usize::from(*number & !SHOWN)), system_name(kek));
        let common = template::named(group_template(number & SHOWN == 0), &name);
        self.with_recipes(common, |seat, template| seat.session.unwrap(&mechanism, private, blob, template))?;
        let pair_objects = self.everything(pair.id)?;
        self.destroy_all(&pair_objects)?;
        Self::forget(self.shared, pair.id);
        tracing::info!(token = %self.shared.id, kek, "a key under which values cross has come to the token");
        self.lookup(&name, Class::Secret).map(|_| HsmAnswer::Done)
    }
}

/// It can be wrapped, so that it can come to a token that joins later.
fn group_template(private: bool) -> Vec<Attribute> {
    let usage = UsageMask::WRAP.with(UsageMask::UNWRAP);
    let mut template = template::key(Class::Secret, Life::Token, usage, true);
    template.retain(|attribute| attribute.kind() != CKA_PRIVATE);
    template.push(Attribute::flag(CKA_PRIVATE, private));
    template.push(Attribute::number(CKA_KEY_TYPE, CKK_AES));
    template
}

/// Brings a key from one token to another one that asks for it, by a hash of OAEP that both know: some modules know SHA-1 only,
/// and which ones the other knows shows only when it takes what it was given.
pub(super) async fn deliver<G, T>(giver: impl Fn(GroupKey) -> G, taker: impl Fn(GroupKey) -> T) -> Result<(), HsmError>
where
    G: Future<Output = Result<HsmAnswer, HsmError>>,
    T: Future<Output = Result<HsmAnswer, HsmError>>,
{
    let bytes = |answer| match answer {
        HsmAnswer::Bytes(bytes) => Ok(bytes),
        _ => Err(refused(HsmErrorKind::Internal, "answer")),
    };
    let public = bytes(taker(GroupKey::Ask).await?)?;
    let mut refusal: Option<HsmError> = None;
    let mut from = 0;
    loop {
        let parcel = match giver(GroupKey::Give(public.clone(), from)).await {
            Ok(answer) => bytes(answer)?,
            Err(error) => return Err(refusal.unwrap_or(error)),
        };
        from = parcel.first().map_or(OAEP.len(), |number| usize::from(*number & !SHOWN) + 1);
        match taker(GroupKey::Take(parcel)).await {
            Ok(_) => return Ok(()),
            Err(error) if is_passing(&error) || from >= OAEP.len() => return Err(error),
            Err(error) => refusal = Some(error),
        }
    }
}

/// Whether it has nothing to do with what was asked.
fn is_passing(error: &HsmError) -> bool {
    matches!(error.kind, HsmErrorKind::Unavailable | HsmErrorKind::Busy | HsmErrorKind::Full)
}

/// Beside the number of a hash: the key is one that a security officer sees, here and there.
const SHOWN: u8 = 0x80;
/// The hashes of OAEP that a key is brought by, the better one first.
const OAEP: [(CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE); 2] =
    [(CKM_SHA256, CKG_MGF1_SHA256), (CKM_SHA_1, CKG_MGF1_SHA1)];

/// OAEP by one of the hashes that modules know.
fn oaep(number: usize) -> Mechanism {
    let (hash, mgf) = OAEP.get(number).copied().unwrap_or(OAEP[0]);
    Mechanism { code: CKM_RSA_PKCS_OAEP, parameter: Parameter::Oaep { hash, mgf, label: Vec::new() } }
}
