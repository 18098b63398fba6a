//! The attribute rules of PKCS#11 3.1 §4 as one table.
//!
//! A row says who has an attribute, what kind of value it is, which calls may give it, whether it is revealed, which way
//! it may change and what it is when nobody gave it. Code walks the table; a rule that needs more than a row (a default
//! that depends on the log-in, a computed value) lives in `create`.

use std::sync::LazyLock;

use cryptoki_sys::*;

/// The kind of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `CK_BBOOL`
    Bool,
    /// Any bytes.
    Bytes,
    /// `CK_DATE` or empty.
    Date,
    /// An array of `CK_MECHANISM_TYPE`.
    Mechanisms,
    /// An array of attributes.
    Template,
    /// `CK_ULONG`
    Ulong,
}

/// Which way an attribute may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Freely, where a call may give it.
    Any,
    /// Only from true to false.
    ToFalse,
    /// Only from false to true.
    ToTrue,
}

/// What an attribute is when nobody gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// Not there: reading it is an error.
    Absent,
    /// Of zero length.
    Empty,
    /// `CK_FALSE`
    False,
    /// `CK_TRUE`
    True,
    /// `CK_UNAVAILABLE_INFORMATION`
    Unavailable,
    /// The number zero.
    Zero,
}

/// Calls that may give an attribute.
pub(crate) mod given {
    /// `C_CreateObject`
    pub(crate) const CREATE: u8 = 1;
    /// `C_GenerateKey`, `C_GenerateKeyPair`
    pub(crate) const GENERATE: u8 = 2;
    /// `C_UnwrapKey`
    pub(crate) const UNWRAP: u8 = 4;
    /// `C_CopyObject`
    pub(crate) const COPY: u8 = 8;
    /// `C_SetAttributeValue`
    pub(crate) const SET: u8 = 16;
    /// `C_DeriveKey`, `C_EncapsulateKey`, `C_DecapsulateKey`
    pub(crate) const DERIVE: u8 = 32;
}

/// Objects that have an attribute.
mod held {
    pub(super) const DATA: u16 = 1;
    pub(super) const CERT: u16 = 2;
    pub(super) const PUBLIC: u16 = 4;
    pub(super) const PRIVATE: u16 = 8;
    pub(super) const SECRET: u16 = 16;
    pub(super) const MECHANISM: u16 = 32;
    pub(super) const PROFILE: u16 = 64;
    pub(super) const FEATURE: u16 = 128;
    pub(super) const DOMAIN: u16 = 256;
}

/// A family of key types that share attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Any,
    Rsa,
    Ec,
    Lattice,
    Dh,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The attribute.
    pub(crate) attribute: CK_ATTRIBUTE_TYPE,
    /// The kind of its value.
    pub(crate) kind: Kind,
    holders: u16,
    family: Family,
    /// Bits of [`given`].
    pub(crate) given: u8,
    /// Hidden while the object is sensitive or not extractable.
    pub(crate) is_secret: bool,
    /// Which way it may change.
    pub(crate) way: Way,
    /// What it is when nobody gave it.
    pub(crate) fallback: Fallback,
}

impl Rule {
    const fn new(attribute: CK_ATTRIBUTE_TYPE, kind: Kind, holders: u16, given: u8, fallback: Fallback) -> Self {
        let (family, is_secret, way) = (Family::Any, false, Way::Any);
        Self { attribute, kind, holders, family, given, is_secret, way, fallback }
    }

    const fn of(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    const fn only(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    fn holds_for(&self, class: CK_OBJECT_CLASS, key_type: Option<CK_KEY_TYPE>) -> bool {
        let holder = match class {
            CKO_DATA => held::DATA,
            CKO_CERTIFICATE => held::CERT,
            CKO_PUBLIC_KEY => held::PUBLIC,
            CKO_PRIVATE_KEY => held::PRIVATE,
            CKO_SECRET_KEY => held::SECRET,
            CKO_MECHANISM => held::MECHANISM,
            CKO_PROFILE => held::PROFILE,
            CKO_HW_FEATURE => held::FEATURE,
            CKO_DOMAIN_PARAMETERS => held::DOMAIN,
            _ => 0,
        };
        let of_family = match self.family {
            Family::Any => true,
            Family::Rsa => key_type == Some(CKK_RSA),
            Family::Ec => matches!(key_type, Some(CKK_EC | CKK_EC_EDWARDS | CKK_EC_MONTGOMERY)),
            Family::Dh => key_type == Some(CKK_DH),
            Family::Lattice => matches!(key_type, Some(CKK_ML_KEM | CKK_ML_DSA)),
        };
        self.holders & holder != 0 && of_family
    }
}

const fn rules() -> [Rule; 105] {
    use Fallback::*;
    use Kind::*;
    use given::{COPY, CREATE, DERIVE, GENERATE, SET, UNWRAP};
    use held::{CERT, DATA, DOMAIN, FEATURE, MECHANISM, PRIVATE, PROFILE, PUBLIC, SECRET};
    const ALL: u16 = DATA | CERT | PUBLIC | PRIVATE | SECRET | MECHANISM | PROFILE | DOMAIN;
    const KEYS: u16 = PUBLIC | PRIVATE | SECRET;
    const HIDDEN: u16 = PRIVATE | SECRET;
    const MAKE: u8 = CREATE | GENERATE | UNWRAP | DERIVE;
    const KEEP: u8 = MAKE | COPY;
    const ANY: u8 = KEEP | SET;
    const NEVER: u8 = 0;
    const fn rule(attribute: CK_ATTRIBUTE_TYPE, kind: Kind, holders: u16, given: u8, fallback: Fallback) -> Rule {
        Rule::new(attribute, kind, holders, given, fallback)
    }
    [
        // §4.2, §4.4: every object
        rule(CKA_CLASS, Ulong, ALL, MAKE, Absent),
        rule(CKA_TOKEN, Bool, ALL, KEEP, False),
        rule(CKA_PRIVATE, Bool, ALL, KEEP, False),
        rule(CKA_LABEL, Bytes, ALL, ANY, Empty),
        rule(CKA_UNIQUE_ID, Bytes, ALL, NEVER, Absent),
        rule(CKA_MODIFIABLE, Bool, ALL, ANY, True).only(Way::ToFalse),
        rule(CKA_COPYABLE, Bool, ALL, ANY, True).only(Way::ToFalse),
        rule(CKA_DESTROYABLE, Bool, ALL, ANY, True).only(Way::ToFalse),
        // §4.5: data; CKA_ID on data is ours, so that whoever names everything by id can name data too
        rule(CKA_APPLICATION, Bytes, DATA, CREATE | DERIVE | COPY | SET, Empty),
        rule(CKA_OBJECT_ID, Bytes, DATA, CREATE | DERIVE | COPY | SET, Empty),
        rule(CKA_VALUE, Bytes, DATA, CREATE | COPY | SET, Empty),
        rule(CKA_ID, Bytes, DATA, CREATE | DERIVE | COPY | SET, Empty),
        // §6.62: how much CKM_HKDF_DATA is to make; it is not kept
        rule(CKA_VALUE_LEN, Ulong, DATA, DERIVE, Absent),
        // §4.6: certificates
        rule(CKA_CERTIFICATE_TYPE, Ulong, CERT, CREATE, Absent),
        rule(CKA_TRUSTED, Bool, CERT, CREATE | COPY | SET, False),
        rule(CKA_CERTIFICATE_CATEGORY, Ulong, CERT, CREATE | COPY, Zero),
        rule(CKA_CHECK_VALUE, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_START_DATE, Date, CERT, CREATE | COPY | SET, Empty),
        rule(CKA_END_DATE, Date, CERT, CREATE | COPY | SET, Empty),
        rule(CKA_PUBLIC_KEY_INFO, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_SUBJECT, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_ID, Bytes, CERT, CREATE | COPY | SET, Empty),
        rule(CKA_ISSUER, Bytes, CERT, CREATE | COPY | SET, Empty),
        rule(CKA_SERIAL_NUMBER, Bytes, CERT, CREATE | COPY | SET, Empty),
        rule(CKA_VALUE, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_URL, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_HASH_OF_ISSUER_PUBLIC_KEY, Bytes, CERT, CREATE | COPY, Empty),
        rule(CKA_JAVA_MIDP_SECURITY_DOMAIN, Ulong, CERT, CREATE | COPY, Zero),
        rule(CKA_NAME_HASH_ALGORITHM, Ulong, CERT, CREATE | COPY, Absent),
        // §4.7: every key
        rule(CKA_KEY_TYPE, Ulong, KEYS, MAKE, Absent),
        rule(CKA_ID, Bytes, KEYS, ANY, Empty),
        rule(CKA_START_DATE, Date, KEYS, ANY, Empty),
        rule(CKA_END_DATE, Date, KEYS, ANY, Empty),
        rule(CKA_DERIVE, Bool, KEYS, ANY, False),
        rule(CKA_LOCAL, Bool, KEYS, NEVER, False),
        rule(CKA_KEY_GEN_MECHANISM, Ulong, KEYS, NEVER, Unavailable),
        rule(CKA_ALLOWED_MECHANISMS, Mechanisms, KEYS, MAKE | COPY, Absent),
        rule(CKA_CHECK_VALUE, Bytes, KEYS, MAKE | COPY, Empty),
        // §4.8: public keys
        rule(CKA_SUBJECT, Bytes, PUBLIC, ANY, Empty),
        rule(CKA_ENCRYPT, Bool, PUBLIC, ANY, False),
        rule(CKA_VERIFY, Bool, PUBLIC, ANY, False),
        rule(CKA_VERIFY_RECOVER, Bool, PUBLIC, ANY, False),
        rule(CKA_WRAP, Bool, PUBLIC, ANY, False),
        rule(CKA_TRUSTED, Bool, PUBLIC, ANY, False),
        rule(CKA_WRAP_TEMPLATE, Template, PUBLIC, KEEP, Absent),
        rule(CKA_ENCAPSULATE, Bool, PUBLIC, ANY, False),
        rule(CKA_ENCAPSULATE_TEMPLATE, Template, PUBLIC, KEEP, Absent),
        rule(CKA_PUBLIC_KEY_INFO, Bytes, PUBLIC, CREATE, Empty),
        // §4.9: private keys
        rule(CKA_SUBJECT, Bytes, PRIVATE, ANY, Empty),
        rule(CKA_DECRYPT, Bool, PRIVATE, ANY, False),
        rule(CKA_SIGN, Bool, PRIVATE, ANY, False),
        rule(CKA_SIGN_RECOVER, Bool, PRIVATE, ANY, False),
        rule(CKA_UNWRAP, Bool, PRIVATE, ANY, False),
        rule(CKA_ALWAYS_AUTHENTICATE, Bool, PRIVATE, KEEP, False),
        rule(CKA_DECAPSULATE, Bool, PRIVATE, ANY, False),
        rule(CKA_DECAPSULATE_TEMPLATE, Template, PRIVATE, KEEP, Absent),
        rule(CKA_PUBLIC_KEY_INFO, Bytes, PRIVATE, CREATE | UNWRAP, Empty),
        // §4.9, §4.10: private and secret keys
        rule(CKA_SENSITIVE, Bool, HIDDEN, ANY, False).only(Way::ToTrue),
        rule(CKA_EXTRACTABLE, Bool, HIDDEN, ANY, False).only(Way::ToFalse),
        rule(CKA_ALWAYS_SENSITIVE, Bool, HIDDEN, NEVER, False),
        rule(CKA_NEVER_EXTRACTABLE, Bool, HIDDEN, NEVER, False),
        rule(CKA_WRAP_WITH_TRUSTED, Bool, HIDDEN, ANY, False).only(Way::ToTrue),
        rule(CKA_UNWRAP_TEMPLATE, Template, HIDDEN, KEEP, Absent),
        rule(CKA_DERIVE_TEMPLATE, Template, HIDDEN, KEEP, Absent),
        // §4.10: secret keys
        rule(CKA_ENCRYPT, Bool, SECRET, ANY, False),
        rule(CKA_DECRYPT, Bool, SECRET, ANY, False),
        rule(CKA_SIGN, Bool, SECRET, ANY, False),
        rule(CKA_VERIFY, Bool, SECRET, ANY, False),
        rule(CKA_WRAP, Bool, SECRET, ANY, False),
        rule(CKA_UNWRAP, Bool, SECRET, ANY, False),
        rule(CKA_TRUSTED, Bool, SECRET, ANY, False),
        rule(CKA_WRAP_TEMPLATE, Template, SECRET, KEEP, Absent),
        rule(CKA_VALUE, Bytes, SECRET, CREATE, Absent).secret(),
        rule(CKA_VALUE_LEN, Ulong, SECRET, MAKE, Absent),
        // §6.1: RSA
        rule(CKA_MODULUS, Bytes, PUBLIC | PRIVATE, CREATE, Absent).of(Family::Rsa),
        rule(CKA_MODULUS_BITS, Ulong, PUBLIC, GENERATE, Absent).of(Family::Rsa),
        rule(CKA_PUBLIC_EXPONENT, Bytes, PUBLIC, CREATE | GENERATE, Absent).of(Family::Rsa),
        rule(CKA_PUBLIC_EXPONENT, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa),
        rule(CKA_PRIVATE_EXPONENT, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa).secret(),
        rule(CKA_PRIME_1, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa).secret(),
        rule(CKA_PRIME_2, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa).secret(),
        rule(CKA_EXPONENT_1, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa).secret(),
        rule(CKA_EXPONENT_2, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa).secret(),
        rule(CKA_COEFFICIENT, Bytes, PRIVATE, CREATE, Absent).of(Family::Rsa).secret(),
        // §6.3: elliptic curves
        rule(CKA_EC_PARAMS, Bytes, PUBLIC | PRIVATE, CREATE | GENERATE, Absent).of(Family::Ec),
        rule(CKA_EC_POINT, Bytes, PUBLIC, CREATE, Absent).of(Family::Ec),
        rule(CKA_VALUE, Bytes, PRIVATE, CREATE, Absent).of(Family::Ec).secret(),
        // 3.2 §6.67, §6.68: ML-DSA and ML-KEM
        rule(CKA_PARAMETER_SET, Ulong, PUBLIC | PRIVATE, CREATE | GENERATE, Absent).of(Family::Lattice),
        rule(CKA_VALUE, Bytes, PUBLIC, CREATE, Absent).of(Family::Lattice),
        rule(CKA_VALUE, Bytes, PRIVATE, CREATE, Absent).of(Family::Lattice).secret(),
        rule(CKA_SEED, Bytes, PRIVATE, CREATE, Empty).of(Family::Lattice).secret(),
        // §4.11: domain parameters; §6.4: Diffie-Hellman
        rule(CKA_KEY_TYPE, Ulong, DOMAIN, CREATE | GENERATE, Absent),
        rule(CKA_LOCAL, Bool, DOMAIN, NEVER, False),
        rule(CKA_PRIME, Bytes, PUBLIC, CREATE | GENERATE, Absent).of(Family::Dh),
        rule(CKA_PRIME, Bytes, PRIVATE | DOMAIN, CREATE, Absent).of(Family::Dh),
        rule(CKA_BASE, Bytes, PUBLIC, CREATE | GENERATE, Absent).of(Family::Dh),
        rule(CKA_BASE, Bytes, PRIVATE | DOMAIN, CREATE, Absent).of(Family::Dh),
        rule(CKA_PRIME_BITS, Ulong, DOMAIN, GENERATE, Absent).of(Family::Dh),
        rule(CKA_VALUE, Bytes, PUBLIC, CREATE, Absent).of(Family::Dh),
        rule(CKA_VALUE, Bytes, PRIVATE, CREATE, Absent).of(Family::Dh).secret(),
        rule(CKA_VALUE_BITS, Ulong, PRIVATE, GENERATE, Absent).of(Family::Dh),
        // §4.12, §4.13: mechanisms and profiles, which only the token makes
        rule(CKA_MECHANISM_TYPE, Ulong, MECHANISM, NEVER, Absent),
        rule(CKA_PROFILE_ID, Ulong, PROFILE, NEVER, Absent),
        // §4.3: hardware features, of which this token has none that a search could find
        rule(CKA_HW_FEATURE_TYPE, Ulong, FEATURE, NEVER, Absent),
    ]
}

static TABLE: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut table = rules().to_vec();
    table.sort_by_key(|rule| rule.attribute);
    table
});

/// Where the rows of the low attribute numbers begin, which are nearly all; one more than there are.
static STARTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let start = |attribute| TABLE.partition_point(|rule| rule.attribute < attribute);
    (0..=LOW).map(|attribute| u8::try_from(start(attribute)).unwrap_or(u8::MAX)).collect()
});

/// Above the standard's attributes but those of the vendors and the arrays.
const LOW: CK_ATTRIBUTE_TYPE = 0x700;
const _: () = assert!(rules().len() < 256, "a row's place fits a byte");

/// Every row of one attribute.
fn rows(attribute: CK_ATTRIBUTE_TYPE) -> &'static [Rule] {
    if attribute < LOW
        && let Ok(place) = usize::try_from(attribute)
        && let Some([start, end]) = STARTS.get(place..place + 2)
    {
        return TABLE.get(usize::from(*start)..usize::from(*end)).unwrap_or_default();
    }
    let start = TABLE.partition_point(|rule| rule.attribute < attribute);
    let rest = TABLE.get(start..).unwrap_or_default();
    rest.get(..rest.partition_point(|rule| rule.attribute == attribute)).unwrap_or_default()
}

/// The kind of an attribute, or nothing when the standard or this token does not know it.
pub(crate) fn kind(attribute: CK_ATTRIBUTE_TYPE) -> Option<Kind> {
    rows(attribute).first().map(|rule| rule.kind)
}

/// Whether an attribute is a secret of some objects.
pub(crate) fn may_be_secret(attribute: CK_ATTRIBUTE_TYPE) -> bool {
    rows(attribute).iter().any(|rule| rule.is_secret)
}

/// The rule of an attribute on objects of a class and key type, or nothing when they do not have it.
pub(crate) fn rule(
    attribute: CK_ATTRIBUTE_TYPE,
    class: CK_OBJECT_CLASS,
    key_type: Option<CK_KEY_TYPE>,
) -> Option<&'static Rule> {
    rows(attribute).iter().find(|rule| rule.holds_for(class, key_type))
}

/// Every rule of objects of a class and key type.
#[cfg(test)]
fn all(class: CK_OBJECT_CLASS, key_type: Option<CK_KEY_TYPE>) -> impl Iterator<Item = &'static Rule> {
    TABLE.iter().filter(move |rule| rule.holds_for(class, key_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_has_one_kind_everywhere() {
        for rule in TABLE.iter() {
            assert!(rows(rule.attribute).iter().all(|other| other.kind == rule.kind), "{:#x}", rule.attribute);
        }
    }

    #[test]
    fn an_object_has_at_most_one_rule_for_an_attribute() {
        let classes =
            [CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY, CKO_DOMAIN_PARAMETERS];
        for (class, key_type) in classes.into_iter().flat_map(|class| {
            [(class, CKK_RSA), (class, CKK_EC), (class, CKK_DH), (class, CKK_ML_DSA), (class, CKK_AES)]
        }) {
            let mut seen: Vec<_> = all(class, Some(key_type)).map(|rule| rule.attribute).collect();
            let count = seen.len();
            seen.dedup();
            assert_eq!(seen.len(), count, "class {class} key type {key_type}");
        }
    }
}
