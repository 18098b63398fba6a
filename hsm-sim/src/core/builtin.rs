//! The objects that every token has of itself: its profiles and its mechanisms (PKCS#11 3.1 §4.12, §4.13).
//!
//! They are found by searches that name their class, and by no other: programs that list a token's objects expect to find
//! what was put there.

use std::sync::{Arc, LazyLock};

use cryptoki_sys::*;

use super::{attributes::Attributes, object::Object};
use crate::{config::Config, crypto};

/// Set in the handles of these objects, below the bit of session objects.
pub(crate) const BUILTIN_OBJECT: u64 = 1 << 61;

/// Profiles that this token fulfils.
const PROFILES: &[CK_PROFILE_ID] = &[CKP_BASELINE_PROVIDER, CKP_EXTENDED_PROVIDER, CKP_PUBLIC_CERTIFICATES_TOKEN];

static OBJECTS: LazyLock<Vec<Arc<Object>>> = LazyLock::new(|| {
    let profiles = PROFILES.iter().map(|id| (CKO_PROFILE, CKA_PROFILE_ID, *id));
    let mechanisms = crypto::mechanisms().iter().map(|info| (CKO_MECHANISM, CKA_MECHANISM_TYPE, info.mechanism));
    profiles.chain(mechanisms).filter_map(|(class, attribute, number)| make(class, attribute, number)).collect()
});

fn make(class: CK_OBJECT_CLASS, attribute: CK_ATTRIBUTE_TYPE, number: CK_ULONG) -> Option<Arc<Object>> {
    let mut attributes = Attributes::default();
    attributes.set_ulong(CKA_CLASS, class);
    attributes.set_ulong(attribute, number);
    attributes.set_bool(CKA_TOKEN, true);
    for never in [CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE] {
        attributes.set_bool(never, false);
    }
    // Made from class and number, so that it is the same in every process.
    let uid =
        uuid::Builder::from_custom_bytes((u128::from(class) << 64 | u128::from(number)).to_be_bytes()).into_uuid();
    attributes.set(CKA_UNIQUE_ID, uid.to_string());
    Object::new(*uid.as_bytes(), 0, attributes).ok().map(Arc::new)
}

/// The object of a handle with [`BUILTIN_OBJECT`] set.
pub(super) fn object(handle: CK_OBJECT_HANDLE) -> Option<Arc<Object>> {
    OBJECTS.get(usize::try_from(handle & !BUILTIN_OBJECT).ok()?).cloned()
}

/// The handles that a search may find.
pub(super) fn handles(template: &Attributes, config: &Config) -> Vec<CK_OBJECT_HANDLE> {
    if !matches!(template.ulong(CKA_CLASS), Some(CKO_PROFILE | CKO_MECHANISM)) {
        return Vec::new();
    }
    // A mechanism that is not listed has no object either.
    let is_there = |object: &Object| match object.attributes.ulong(CKA_MECHANISM_TYPE) {
        Some(number) => crypto::mechanism(number).is_some_and(|info| config.flags(info) != 0),
        None => true,
    };
    let places = (0..).zip(OBJECTS.iter()).filter(|(_, object)| is_there(object));
    places.map(|(place, _): (CK_OBJECT_HANDLE, _)| place | BUILTIN_OBJECT).collect()
}
