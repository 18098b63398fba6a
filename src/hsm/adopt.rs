//! Keys that others have put on a token: what they are, and how they come under an identifier of the gateway.
//!
//! They are looked for by `CKA_ID` or `CKA_LABEL`, described by their own attributes, and renamed in place: from then on they
//! are found as every object of the gateway is. Nothing is copied, and nothing but the name is changed, except that a key whose
//! value can be read is made sensitive, which nobody can take back.

use cryptoki_sys::*;
use serde::{Deserialize, Serialize};

use super::{
    error::refused,
    layout::Attribute,
    pool::Class,
    raw::Handle,
    request::Turn,
    system::SYSTEM_LABEL,
    template::{self, LABEL, Name},
    work::Tray,
};
use crate::{
    domain::{
        UsageMask,
        reference::{CkaId, KeyKind},
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind},
};

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// `CKA_ID`.
    Id(Vec<u8>),
    /// `CKA_LABEL`.
    Label(String),
}

/// `CKA_CLASS` of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyClass {
    /// `CKO_SECRET_KEY`.
    SecretKey,
    /// `CKO_PRIVATE_KEY`.
    PrivateKey,
    /// `CKO_PUBLIC_KEY`.
    PublicKey,
}

impl KeyClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::SecretKey, Self::PrivateKey, Self::PublicKey];

    const fn class(self) -> Class {
        match self {
            Self::SecretKey => Class::Secret,
            Self::PrivateKey => Class::Private,
            Self::PublicKey => Class::Public,
        }
    }
}

/// Whose an object is, by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// Nobody's here.
    Other,
    /// The gateway's own key.
    System,
    /// It bears an identifier of the gateway.
    Managed(CkaId),
}

/// A key on a token, by its own word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Its class.
    pub class: KeyClass,
    /// Its `CKA_ID`.
    pub id: Vec<u8>,
    /// Its `CKA_LABEL`.
    pub label: Vec<u8>,
    /// Whose it is.
    pub owner: Owner,
    /// What it is.
    pub kind: KeyKind,
    /// Its length in bits, of an RSA key that of the modulus.
    pub bits: u32,
    /// What it may be used for, in KMIP's words.
    pub usage: UsageMask,
    /// `CKA_SENSITIVE`.
    pub sensitive: bool,
    /// `CKA_EXTRACTABLE`.
    pub extractable: bool,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: bool,
    /// `CKA_START_DATE` as year, month and day.
    pub start: Option<(i32, u8, u8)>,
    /// `CKA_END_DATE` as year, month and day.
    pub end: Option<(i32, u8, u8)>,
}

/// Attribute, class and KMIP's bits for it.
static USAGE: &[(CK_ATTRIBUTE_TYPE, KeyClass, UsageMask)] = &[
    (CKA_ENCRYPT, KeyClass::SecretKey, UsageMask::ENCRYPT),
    (CKA_DECRYPT, KeyClass::SecretKey, UsageMask::DECRYPT),
    (CKA_SIGN, KeyClass::SecretKey, UsageMask::MAC_GENERATE),
    (CKA_VERIFY, KeyClass::SecretKey, UsageMask::MAC_VERIFY),
    (CKA_WRAP, KeyClass::SecretKey, UsageMask::WRAP),
    (CKA_UNWRAP, KeyClass::SecretKey, UsageMask::UNWRAP),
    (CKA_DERIVE, KeyClass::SecretKey, UsageMask::DERIVE),
    (CKA_DECRYPT, KeyClass::PrivateKey, UsageMask::DECRYPT),
    (CKA_SIGN, KeyClass::PrivateKey, UsageMask::SIGN),
    (CKA_UNWRAP, KeyClass::PrivateKey, UsageMask::UNWRAP),
    (CKA_DERIVE, KeyClass::PrivateKey, UsageMask::KEY_AGREEMENT),
    (CKA_ENCRYPT, KeyClass::PublicKey, UsageMask::ENCRYPT),
    (CKA_VERIFY, KeyClass::PublicKey, UsageMask::VERIFY),
    (CKA_WRAP, KeyClass::PublicKey, UsageMask::WRAP),
];

/// Objects described; more of one name are a mistake already.
const MATCHES_MAX: usize = 16;

impl Turn<'_> {
    /// Lays the description of every key of that name down.
    pub(super) fn describe(
        &mut self,
        by: &By,
        class: Option<KeyClass>,
        tray: &Tray<Foreign>,
    ) -> Result<HsmAnswer, HsmError> {
        let mut found = Vec::new();
        for class in KeyClass::ALL.into_iter().filter(|one| class.is_none_or(|class| class == *one)) {
            for handle in self.matching(by, class)? {
                found.push(self.described(handle, class)?);
            }
        }
        *tray.lock() = found;
        Ok(HsmAnswer::Done)
    }

    fn matching(&mut self, by: &By, class: KeyClass) -> Result<Vec<Handle>, HsmError> {
        let name = match by {
            By::Id(id) => Attribute::bytes(CKA_ID, id.as_slice()),
            By::Label(label) => Attribute::bytes(CKA_LABEL, label.as_bytes()),
        };
        let class = Attribute::number(CKA_CLASS, template::object_class(class.class()));
        Ok(self.seat.session.find(&[class, name, Attribute::flag(CKA_TOKEN, true)], MATCHES_MAX)?)
    }

    fn described(&mut self, handle: Handle, class: KeyClass) -> Result<Foreign, HsmError> {
        let id = self.seat.session.attribute(handle, CKA_ID, 64)?.to_vec();
        let label = self.seat.session.attribute(handle, CKA_LABEL, 64)?.to_vec();
        let text = String::from_utf8_lossy(&label);
        let owner = match text.strip_prefix(LABEL).map(uuid::Uuid::try_parse) {
            Some(Ok(uuid)) => Owner::Managed(CkaId(*uuid.as_bytes())),
            Some(Err(_)) | None if text.starts_with(SYSTEM_LABEL) => Owner::System,
            Some(Err(_)) | None => Owner::Other,
        };
        let kind = self.kind(handle, class.class())?;
        let bits = self.bits(handle, kind)?;
        let mut usage = UsageMask(0);
        for (attribute, of, mask) in USAGE {
            if *of == class && self.flag(handle, *attribute) {
                usage = usage.with(*mask);
            }
        }
        let is_public = class == KeyClass::PublicKey;
        Ok(Foreign {
            class,
            id,
            label,
            owner,
            kind,
            bits,
            usage,
            sensitive: !is_public && self.flag(handle, CKA_SENSITIVE),
            extractable: is_public || self.flag(handle, CKA_EXTRACTABLE),
            never_extractable: self.flag(handle, CKA_NEVER_EXTRACTABLE),
            start: self.date(handle, CKA_START_DATE),
            end: self.date(handle, CKA_END_DATE),
        })
    }

    /// What the token does not tell is not so.
    fn flag(&mut self, handle: Handle, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        let value = self.seat.session.attribute(handle, attribute, 1);
        value.is_ok_and(|value| value.first().is_some_and(|byte| *byte != CK_FALSE))
    }

    /// `CK_DATE`: year, month and day in digits; empty where there is none.
    fn date(&mut self, handle: Handle, attribute: CK_ATTRIBUTE_TYPE) -> Option<(i32, u8, u8)> {
        let value = self.seat.session.attribute(handle, attribute, 8).ok()?;
        let text = std::str::from_utf8(&value).ok().filter(|text| text.len() == 8)?;
        Some((text.get(..4)?.parse().ok()?, text.get(4..6)?.parse().ok()?, text.get(6..)?.parse().ok()?))
    }

    fn bits(&mut self, handle: Handle, kind: KeyKind) -> Result<u32, HsmError> {
        let bits = match kind {
            KeyKind::RsaPrivate | KeyKind::RsaPublic => {
                let modulus = self.seat.session.attribute(handle, CKA_MODULUS, 1024)?;
                8 * modulus.iter().skip_while(|byte| **byte == 0).count()
            }
            KeyKind::EcPrivate(curve) | KeyKind::EcPublic(curve) => return Ok(curve.bits()),
            KeyKind::Ed25519Private | KeyKind::Ed25519Public | KeyKind::ChaCha20 => 256,
            KeyKind::AesXts => 512,
            // KMIP counts the bits that are key; DES3 has no CKA_VALUE_LEN.
            KeyKind::TripleDes => match self.seat.session.number(handle, CKA_KEY_TYPE)? {
                CKK_DES2 => 112,
                _ => 168,
            },
            KeyKind::Aes | KeyKind::Generic => {
                let bytes = self.seat.session.number(handle, CKA_VALUE_LEN)?;
                usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(8)
            }
        };
        u32::try_from(bits)
            .ok()
            .filter(|bits| *bits > 0)
            .ok_or_else(|| refused(HsmErrorKind::Unsupported, "the length of the key"))
    }

    /// Gives one object another name; the one it had must still be its, and nobody else's.
    pub(super) fn rename(&mut self, foreign: &Foreign, to: CkaId) -> Result<HsmAnswer, HsmError> {
        // Some keys have no CKA_ID, and nothing is found by an empty one.
        let by = match foreign.id.is_empty() {
            true => By::Label(String::from_utf8_lossy(&foreign.label).into_owned()),
            false => By::Id(foreign.id.clone()),
        };
        let mut meant = Vec::new();
        for handle in self.matching(&by, foreign.class)? {
            if self.described(handle, foreign.class)? == *foreign {
                meant.push(handle);
            }
        }
        let [handle] = meant.as_slice() else {
            return Err(refused(HsmErrorKind::ObjectMissing, "the one object that was found before"));
        };
        let handle = *handle;
        let name = Name::from(to);
        if !self.everything(to)?.iter().all(|other| *other == handle) {
            return Err(refused(HsmErrorKind::Internal, "the identifier is taken on the token"));
        }
        if foreign.class != KeyClass::PublicKey && !foreign.sensitive {
            self.seat.session.set(handle, &[Attribute::flag(CKA_SENSITIVE, true)])?;
        }
        Self::forget(self.shared, to);
        let wanted = [Attribute::bytes(CKA_ID, name.id.0), Attribute::bytes(CKA_LABEL, name.label.as_bytes())];
        self.seat.session.set(handle, &wanted)?;
        let now = self.described(handle, foreign.class)?;
        if now.id == name.id.0
            && now.label == name.label.as_bytes()
            && (now.sensitive || now.class == KeyClass::PublicKey)
        {
            return Ok(HsmAnswer::Done);
        }
        self.seat.session.set(handle, &name_of(foreign))?;
        Err(refused(HsmErrorKind::Unsupported, "the token did not take the name"))
    }

    /// Gives an object the name back that it had.
    pub(super) fn give_back(&mut self, foreign: &Foreign, from: CkaId) -> Result<HsmAnswer, HsmError> {
        Self::forget(self.shared, from);
        let found = self.matching(&By::Id(from.0.to_vec()), foreign.class)?;
        let [handle] = found.as_slice() else {
            return Err(refused(HsmErrorKind::ObjectMissing, "the one object that was renamed"));
        };
        self.seat.session.set(*handle, &name_of(foreign))?;
        Ok(HsmAnswer::Done)
    }
}

fn name_of(foreign: &Foreign) -> [Attribute; 2] {
    [Attribute::bytes(CKA_ID, foreign.id.as_slice()), Attribute::bytes(CKA_LABEL, foreign.label.as_slice())]
}
