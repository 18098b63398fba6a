//! An object: its attributes, what may be seen of them, and the key prepared from them.

use std::{borrow::Cow, sync::OnceLock};

use cryptoki_sys::*;

use super::{
    attributes::Attributes,
    keys,
    rules::{self, Fallback},
    rv::{Result, Rv},
};
use crate::{
    crypto::Key,
    fault::Facts,
    store::{StoreError, Uid},
};

/// An object, read-only: a change makes a new one.
pub(crate) struct Object {
    /// Identity on the token.
    pub(crate) uid: Uid,
    /// Version of the row; 0 for session objects.
    pub(crate) version: u64,
    /// `CKA_CLASS`
    pub(crate) class: CK_OBJECT_CLASS,
    /// `CKA_KEY_TYPE`, on keys.
    pub(crate) key_type: Option<CK_KEY_TYPE>,
    /// `CKA_PRIVATE`
    pub(crate) is_private: bool,
    /// All that was given or computed; what is missing has its rule's fallback.
    pub(crate) attributes: Attributes,
    key: OnceLock<Key>,
}

/// What reading an attribute answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading<'o> {
    /// The value.
    Value(Cow<'o, [u8]>),
    /// There is one, but it stays inside.
    Sensitive,
    /// Objects of this kind do not have it.
    Absent,
}

impl Object {
    /// An object of finished attributes.
    pub(crate) fn new(uid: Uid, version: u64, attributes: Attributes) -> Result<Self, StoreError> {
        let class = attributes.ulong(CKA_CLASS).ok_or(StoreError::Corrupt("an object without a class"))?;
        Ok(Self {
            uid,
            version,
            class,
            key_type: attributes.ulong(CKA_KEY_TYPE),
            is_private: attributes.is(CKA_PRIVATE),
            attributes,
            key: OnceLock::new(),
        })
    }

    /// Whether the object outlives its session.
    pub(crate) fn is_token(&self) -> bool {
        self.attributes.is(CKA_TOKEN)
    }

    /// A boolean attribute with its fallback.
    pub(crate) fn flag(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.attributes.bool(attribute).unwrap_or_else(|| {
            rules::rule(attribute, self.class, self.key_type).is_some_and(|rule| rule.fallback == Fallback::True)
        })
    }

    /// Whether secret parts stay inside (PKCS#11 3.1 §4.9).
    fn is_closed(&self) -> bool {
        self.flag(CKA_SENSITIVE) || !self.flag(CKA_EXTRACTABLE)
    }

    /// Reads an attribute as a caller may see it.
    pub(crate) fn read(&self, attribute: CK_ATTRIBUTE_TYPE) -> Reading<'_> {
        let Some(rule) = rules::rule(attribute, self.class, self.key_type) else { return Reading::Absent };
        if rule.is_secret && self.is_closed() {
            return Reading::Sensitive;
        }
        if let Some(value) = self.attributes.get(attribute) {
            return Reading::Value(Cow::Borrowed(value));
        }
        // Computed on demand: few callers ask, and a digest of a low-entropy secret is better not kept.
        let computed = match attribute {
            CKA_CHECK_VALUE if self.key_type.is_some() => keys::check_value(self).ok(),
            CKA_PUBLIC_KEY_INFO if self.key_type.is_some() => self.key().ok().and_then(|key| key.to_spki().ok()),
            _ => None,
        };
        if let Some(value) = computed {
            return Reading::Value(Cow::Owned(value));
        }
        let value: &[u8] = match rule.fallback {
            Fallback::Absent => return Reading::Absent,
            Fallback::Empty => &[],
            Fallback::False => &[CK_FALSE],
            Fallback::True => &[CK_TRUE],
            Fallback::Unavailable => &CK_UNAVAILABLE_INFORMATION.to_le_bytes(),
            Fallback::Zero => &[0; 8],
        };
        Reading::Value(Cow::Owned(value.to_vec()))
    }

    /// Whether every attribute of a template is seen to have that value.
    pub(crate) fn matches(&self, template: &Attributes) -> bool {
        template.iter().all(|(attribute, wanted)| match self.read(attribute) {
            Reading::Value(value) => value.as_ref() == wanted,
            Reading::Sensitive | Reading::Absent => false,
        })
    }

    /// The key, prepared once.
    pub(crate) fn key(&self) -> Result<&Key> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = keys::from_attributes(self)?;
        Ok(self.key.get_or_init(|| key))
    }

    /// Refuses a mechanism that `CKA_ALLOWED_MECHANISMS` does not name; an empty list allows none.
    pub(crate) fn check_mechanism(&self, mechanism: CK_MECHANISM_TYPE) -> Result<()> {
        let is_allowed =
            self.attributes.allowed_mechanisms().is_none_or(|mut allowed| allowed.any(|known| known == mechanism));
        if is_allowed { Ok(()) } else { Err(Rv(CKR_MECHANISM_INVALID)) }
    }

    /// What fault plans can ask of the object.
    pub(crate) fn facts(&self, handle: CK_OBJECT_HANDLE) -> Facts {
        let value = |attribute| self.attributes.get(attribute).unwrap_or_default().to_vec();
        Facts { handle, id: value(CKA_ID), label: value(CKA_LABEL) }
    }

    /// Memory the object takes, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.attributes.bytes()
    }
}
