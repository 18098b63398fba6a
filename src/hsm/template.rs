//! Domain attributes as `CKA_…` templates (contract §4.3).
//!
//! `CKA_SENSITIVE` is always true for secret and private keys, whatever a client calls sensitive. Usage bits that are not wanted
//! are written as false, because modules differ in what they assume. Attributes that some modules do not know are optional: the
//! caller leaves them out when a token has refused them once.

use cryptoki_sys::*;
use uuid::Uuid;

use super::{layout::Attribute, pool::Class};
use crate::domain::{
    UsageMask,
    reference::{CkaId, KeyKind},
};

/// Names the application in data objects.
const APPLICATION: &[u8] = b"portcullis";

/// Labels of managed objects begin with it; the identifier follows as text.
pub(super) const LABEL: &str = "portcullis:";

/// How an object is named on the token.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// `CKA_ID`.
    pub(super) id: CkaId,
    /// `CKA_LABEL`.
    pub(super) label: String,
}

impl From<CkaId> for Name {
    fn from(id: CkaId) -> Self {
        Self { id, label: format!("{LABEL}{}", Uuid::from_bytes(id.0)) }
    }
}

/// `CKO_…` of a class.
pub(super) const fn object_class(class: Class) -> CK_ULONG {
    match class {
        Class::Secret | Class::Twin => CKO_SECRET_KEY,
        Class::Private => CKO_PRIVATE_KEY,
        Class::Public => CKO_PUBLIC_KEY,
        Class::Data => CKO_DATA,
    }
}

/// The class of a key.
pub(super) const fn class_of(kind: KeyKind) -> Class {
    if kind.is_public() {
        Class::Public
    } else if kind.is_private() {
        Class::Private
    } else {
        Class::Secret
    }
}

/// `CKK_…` of a key whose value has that many bytes.
pub(super) const fn key_type(kind: KeyKind, bytes: usize) -> CK_ULONG {
    match kind {
        KeyKind::Aes => CKK_AES,
        KeyKind::TripleDes if bytes == 16 => CKK_DES2,
        KeyKind::TripleDes => CKK_DES3,
        KeyKind::Generic => CKK_GENERIC_SECRET,
        KeyKind::ChaCha20 => CKK_CHACHA20,
        KeyKind::AesXts => CKK_AES_XTS,
        KeyKind::RsaPrivate | KeyKind::RsaPublic => CKK_RSA,
        KeyKind::EcPrivate(_) | KeyKind::EcPublic(_) => CKK_EC,
        KeyKind::Ed25519Private | KeyKind::Ed25519Public => CKK_EC_EDWARDS,
    }
}

const MAC: UsageMask = UsageMask::MAC_GENERATE.with(UsageMask::MAC_VERIFY);
const SIGNING: UsageMask = UsageMask::SIGN.with(UsageMask::CERTIFICATE_SIGN).with(UsageMask::CRL_SIGN);
/// What a KDF may make of a key on the token: a MAC of a generic secret, encrypted data of a cipher key.
const DERIVE: UsageMask = UsageMask::DERIVE;
const AGREEMENT: UsageMask = UsageMask::DERIVE.with(UsageMask::KEY_AGREEMENT);

/// One usage bit: the attribute, the class it belongs to, the KMIP bits that ask for it.
///
/// A MAC is verified by making it again, so either MAC bit asks for `CKA_SIGN`; the engine enforces the mask itself.
static USAGE: &[(CK_ATTRIBUTE_TYPE, Class, UsageMask)] = &[
    (CKA_ENCRYPT, Class::Secret, UsageMask::ENCRYPT.with(DERIVE)),
    (CKA_DECRYPT, Class::Secret, UsageMask::DECRYPT),
    (CKA_SIGN, Class::Secret, MAC.with(UsageMask::SIGN).with(DERIVE)),
    (CKA_VERIFY, Class::Secret, MAC.with(UsageMask::VERIFY)),
    (CKA_WRAP, Class::Secret, UsageMask::WRAP),
    // Published cases unwrap under a key that may wrap only (TC-WRAP-2); the engine decides whether it may.
    (CKA_UNWRAP, Class::Secret, UsageMask::UNWRAP.with(UsageMask::WRAP)),
    (CKA_DERIVE, Class::Secret, AGREEMENT),
    (CKA_DECRYPT, Class::Private, UsageMask::DECRYPT),
    (CKA_SIGN, Class::Private, SIGNING),
    (CKA_UNWRAP, Class::Private, UsageMask::UNWRAP),
    (CKA_DERIVE, Class::Private, AGREEMENT),
    (CKA_ENCRYPT, Class::Public, UsageMask::ENCRYPT),
    (CKA_VERIFY, Class::Public, UsageMask::VERIFY),
    (CKA_WRAP, Class::Public, UsageMask::WRAP),
];

/// What a key may do beyond the mask that asked for it: the attribute, and the bits that ask for it themselves.
static EXTRAS: &[(CK_ATTRIBUTE_TYPE, UsageMask)] =
    &[(CKA_ENCRYPT, UsageMask::ENCRYPT), (CKA_UNWRAP, UsageMask::UNWRAP)];

/// A secret key's template with no more than its mask asks for; `None` when it has nothing else. Some tokens take no key that
/// both wraps and decrypts or unwraps and encrypts, and what we add must not be what they refuse.
pub(super) fn narrowed(template: &[Attribute], usage: UsageMask) -> Option<Vec<Attribute>> {
    let is_extra = |attribute: &Attribute| {
        let extra = EXTRAS.iter().find(|(kind, _)| *kind == attribute.kind());
        extra.is_some_and(|(_, asked)| attribute.is_set() && !usage.intersects(*asked))
    };
    template.iter().any(is_extra).then(|| {
        let narrow = |it: &Attribute| if is_extra(it) { Attribute::flag(it.kind(), false) } else { it.clone() };
        template.iter().map(narrow).collect()
    })
}

/// How long an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// On the token, under a name.
    Token,
    /// As long as the session that makes it.
    Session,
}

/// Class and usage of a key, without its value: what generating and unwrapping have in common.
pub(super) fn key(class: Class, life: Life, usage: UsageMask, extractable: bool) -> Vec<Attribute> {
    let mut template = bare(class, life, extractable);
    let usages = USAGE.iter().filter(|(_, of, _)| *of == class);
    template.extend(usages.map(|(attribute, _, bits)| Attribute::flag(*attribute, usage.intersects(*bits))));
    template
}

/// A token object of a class with the usage that another token's object shows.
pub(super) fn like(class: Class, usage: &[(CK_ATTRIBUTE_TYPE, bool)], extractable: bool) -> Vec<Attribute> {
    let mut template = bare(class, Life::Token, extractable);
    template.extend(usage.iter().map(|(attribute, set)| Attribute::flag(*attribute, *set)));
    template
}

/// As [`like`], for an object that ends with its session.
pub(super) fn passing(class: Class, usage: &[(CK_ATTRIBUTE_TYPE, bool)], extractable: bool) -> Vec<Attribute> {
    let mut template = bare(class, Life::Session, extractable);
    template.extend(usage.iter().map(|(attribute, set)| Attribute::flag(*attribute, *set)));
    template
}

/// The usage attributes of a class.
pub(super) fn usages(class: Class) -> Vec<CK_ATTRIBUTE_TYPE> {
    USAGE.iter().filter(|(_, of, _)| *of == class).map(|(attribute, ..)| *attribute).collect()
}

fn bare(class: Class, life: Life, extractable: bool) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::number(CKA_CLASS, object_class(class)),
        Attribute::flag(CKA_TOKEN, life == Life::Token),
        Attribute::flag(CKA_PRIVATE, class != Class::Public),
    ];
    if class != Class::Public {
        template.push(Attribute::flag(CKA_SENSITIVE, true));
        template.push(Attribute::flag(CKA_EXTRACTABLE, extractable));
    }
    if life == Life::Token {
        template.push(Attribute::flag(CKA_COPYABLE, false));
    }
    template
}

/// Adds the name.
pub(super) fn named(mut template: Vec<Attribute>, name: &Name) -> Vec<Attribute> {
    template.push(Attribute::bytes(CKA_ID, name.id.0));
    template.push(Attribute::bytes(CKA_LABEL, name.label.as_bytes()));
    template
}

/// Whether a template may do without the attribute.
pub(super) const fn is_optional(attribute: &Attribute) -> bool {
    matches!(attribute.kind(), CKA_COPYABLE)
}

/// A private data object; the standard gives it no `CKA_ID`.
pub(super) fn data(name: &Name, value: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::number(CKA_CLASS, CKO_DATA),
        Attribute::flag(CKA_TOKEN, true),
        Attribute::flag(CKA_PRIVATE, true),
        Attribute::bytes(CKA_APPLICATION, APPLICATION),
        Attribute::bytes(CKA_LABEL, name.label.as_bytes()),
        Attribute::bytes(CKA_VALUE, value),
    ]
}

/// Finds a named object of a class.
pub(super) fn search(class: Class, name: &Name) -> Vec<Attribute> {
    let by = match class {
        Class::Data => Attribute::bytes(CKA_LABEL, name.label.as_bytes()),
        Class::Secret | Class::Twin | Class::Private | Class::Public => Attribute::bytes(CKA_ID, name.id.0),
    };
    let mut search = vec![Attribute::number(CKA_CLASS, object_class(class)), by];
    if class == Class::Twin {
        search.push(Attribute::number(CKA_KEY_TYPE, CKK_GENERIC_SECRET));
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_the_identifier_as_text() {
        let name = Name::from(CkaId([0x11; 16]));
        assert_eq!(name.label, "portcullis:11111111-1111-1111-1111-111111111111");
        assert_eq!(name.label.len(), 47);
    }

    #[test]
    fn what_is_added_to_a_mask_can_be_left_out_and_nothing_else_is() {
        let set = |template: &[Attribute]| -> Vec<_> {
            template.iter().filter(|it| it.is_set()).map(Attribute::kind).filter(|it| USES.contains(it)).collect()
        };
        const USES: [CK_ATTRIBUTE_TYPE; 4] = [CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP];
        let wraps = UsageMask::ENCRYPT.with(UsageMask::WRAP);
        let template = key(Class::Secret, Life::Token, wraps, true);
        assert_eq!(set(&template), [CKA_ENCRYPT, CKA_WRAP, CKA_UNWRAP]);
        let narrow = narrowed(&template, wraps).unwrap();
        assert_eq!((set(&narrow).as_slice(), narrow.len()), (&[CKA_ENCRYPT, CKA_WRAP][..], template.len()));
        assert!(narrowed(&narrow, wraps).is_none());
        let both = UsageMask::ENCRYPT.with(UsageMask::UNWRAP);
        assert!(narrowed(&key(Class::Secret, Life::Token, both, true), both).is_none());
    }

    #[test]
    fn keys_are_always_sensitive_and_name_every_usage() {
        for class in [Class::Secret, Class::Private] {
            let template = key(class, Life::Token, UsageMask(0), true);
            let count = |kind| template.iter().filter(|attribute| attribute.kind() == kind).count();
            assert_eq!(count(CKA_SENSITIVE), 1);
            for kind in [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE] {
                let belongs = USAGE.iter().any(|(attribute, of, _)| *attribute == kind && *of == class);
                assert_eq!(count(kind), usize::from(belongs), "{class:?} 0x{kind:X}");
            }
        }
        let public = key(Class::Public, Life::Token, UsageMask(0), true);
        assert!(public.iter().all(|attribute| attribute.kind() != CKA_SENSITIVE));
    }
}
