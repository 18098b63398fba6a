//! Objects made from templates, copied, changed and destroyed.
//!
//! Every way of making an object runs the same checks: which attributes this call may give (`rules`), where the object may
//! go (session, log-in), what is filled in, and for keys whether the material is a key at all.

use std::cell::RefCell;

use cryptoki_sys::*;

use super::{
    attributes::Attributes,
    keys,
    object::{Object, Reading},
    rules::{self, Rule, Way, given},
    rv::{Result, Rv},
    session::Session,
};
use crate::{
    config::EcPointForm,
    crypto::{self, Curve},
    store::Role,
};

/// Refuses attributes that a call may not give to an object of this kind.
pub(super) fn check_given(
    session: &Session,
    template: &Attributes,
    call: u8,
    class: CK_OBJECT_CLASS,
    key_type: Option<CK_KEY_TYPE>,
) -> Result<()> {
    for (attribute, value) in template.iter() {
        let rule = rules::rule(attribute, class, key_type).ok_or(Rv(CKR_TEMPLATE_INCONSISTENT))?;
        let is_making = call & (given::CREATE | given::GENERATE | given::UNWRAP | given::DERIVE) != 0;
        if rule.given & call == 0 {
            // An identifier of the token's own is not an attribute that anybody gives (PKCS#11 3.1 §4.4.1).
            if attribute == CKA_UNIQUE_ID && is_making {
                return Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID));
            }
            let code = if rule.given == 0 || !is_making { CKR_ATTRIBUTE_READ_ONLY } else { CKR_TEMPLATE_INCONSISTENT };
            return Err(Rv(code));
        }
        if attribute == CKA_TRUSTED && value == [CK_TRUE] && session.token().role() != Some(Role::So) {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
    }
    Ok(())
}

/// Settles where an object goes: `CKA_TOKEN` and `CKA_PRIVATE`, against session and log-in.
pub(super) fn place(session: &Session, attributes: &mut Attributes, class: CK_OBJECT_CLASS) -> Result<()> {
    let is_user = session.token().is_user();
    let is_hidden = matches!(class, CKO_SECRET_KEY | CKO_PRIVATE_KEY | CKO_DATA);
    attributes.default_bool(CKA_TOKEN, false);
    attributes.default_bool(CKA_PRIVATE, is_hidden && is_user);
    if attributes.is(CKA_TOKEN) && !session.read_write {
        return Err(Rv(CKR_SESSION_READ_ONLY));
    }
    if attributes.is(CKA_PRIVATE) && !is_user {
        return Err(Rv(CKR_USER_NOT_LOGGED_IN));
    }
    Ok(())
}

/// How a key came to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// Its value was given in the clear.
    Created,
    /// It was made here, by this mechanism.
    Generated(CK_MECHANISM_TYPE),
    /// It came under another key, or out of a key encapsulation.
    Unwrapped,
    /// It was derived from keys with this history.
    Derived {
        /// The history of the base key's `CKA_SENSITIVE`.
        always_sensitive: bool,
        /// The history of the base key's `CKA_EXTRACTABLE`.
        never_extractable: bool,
    },
}

/// Fills in what a key has beside its material: secrecy, usage, history.
pub(super) fn key_defaults(
    session: &Session,
    attributes: &mut Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    origin: Origin,
) {
    let is_permissive = session.token().config.is_permissive();
    // A derived key is for what its template says: its maker knew what it was for.
    if is_permissive && !matches!(origin, Origin::Derived { .. }) {
        for usage in usages(class, key_type) {
            attributes.default_bool(*usage, true);
        }
    }
    let generated_by = match origin {
        Origin::Generated(mechanism) => Some(mechanism),
        Origin::Created | Origin::Unwrapped | Origin::Derived { .. } => None,
    };
    attributes.set_bool(CKA_LOCAL, generated_by.is_some());
    attributes.set_ulong(CKA_KEY_GEN_MECHANISM, generated_by.unwrap_or(CK_UNAVAILABLE_INFORMATION));
    if matches!(class, CKO_SECRET_KEY | CKO_PRIVATE_KEY) {
        // Programs that expect their usage without asking also expect to read back what they wrote in the clear, and to
        // hand on what came wrapped.
        let (sensitive, extractable) = match origin {
            Origin::Created if is_permissive => (false, true),
            Origin::Unwrapped if is_permissive => (true, true),
            _ => (true, false),
        };
        attributes.default_bool(CKA_SENSITIVE, sensitive);
        attributes.default_bool(CKA_EXTRACTABLE, extractable);
        let (always_sensitive, never_extractable) = match origin {
            Origin::Generated(_) => (true, true),
            Origin::Created | Origin::Unwrapped => (false, false),
            Origin::Derived { always_sensitive, never_extractable } => (always_sensitive, never_extractable),
        };
        attributes.set_bool(CKA_ALWAYS_SENSITIVE, always_sensitive && attributes.is(CKA_SENSITIVE));
        attributes.set_bool(CKA_NEVER_EXTRACTABLE, never_extractable && !attributes.is(CKA_EXTRACTABLE));
    }
}

/// What a key type can do, for callers that expect it without asking.
const fn usages(class: CK_OBJECT_CLASS, key_type: CK_KEY_TYPE) -> &'static [CK_ATTRIBUTE_TYPE] {
    match (class, key_type) {
        (CKO_SECRET_KEY, CKK_AES | CKK_DES2 | CKK_DES3) => {
            &[CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE]
        }
        (CKO_SECRET_KEY, CKK_AES_XTS | CKK_CHACHA20) => &[CKA_ENCRYPT, CKA_DECRYPT],
        (CKO_SECRET_KEY, _) => &[CKA_SIGN, CKA_VERIFY, CKA_DERIVE],
        (CKO_PUBLIC_KEY, CKK_RSA) => &[CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP],
        (CKO_PRIVATE_KEY, CKK_RSA) => &[CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP],
        (CKO_PUBLIC_KEY, CKK_EC | CKK_EC_EDWARDS | CKK_ML_DSA) => &[CKA_VERIFY],
        (CKO_PRIVATE_KEY, CKK_ML_DSA) => &[CKA_SIGN],
        (CKO_PUBLIC_KEY, CKK_ML_KEM) => &[CKA_ENCAPSULATE],
        (CKO_PRIVATE_KEY, CKK_ML_KEM) => &[CKA_DECAPSULATE],
        (CKO_PRIVATE_KEY, CKK_EC) => &[CKA_SIGN, CKA_DERIVE],
        (CKO_PRIVATE_KEY, CKK_EC_EDWARDS) => &[CKA_SIGN],
        (CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY | CKK_DH) => &[CKA_DERIVE],
        _ => &[],
    }
}

/// Sixteen random bytes that need not be secret, fetched in larger lots because most of the cost is in the asking. A forked
/// child begins a lot of its own.
fn fresh_name() -> Result<[u8; 16]> {
    const LOT: usize = 32;
    thread_local! {
        static NAMES: RefCell<(u32, Vec<[u8; 16]>)> = const { RefCell::new((0, Vec::new())) };
    }
    NAMES.with_borrow_mut(|(process, names)| {
        let current = std::process::id();
        if *process != current || names.is_empty() {
            let mut lot = [0; 16 * LOT];
            crypto::random(&mut lot)?;
            *process = current;
            *names = lot.as_chunks::<16>().0.to_vec();
        }
        names.pop().ok_or(Rv(CKR_GENERAL_ERROR))
    })
}

/// Gives the object its identity, and checks a check value that the template brought.
pub(crate) fn finish(mut attributes: Attributes) -> Result<Object> {
    let uid = uuid::Builder::from_random_bytes(fresh_name()?).into_uuid();
    attributes.set(CKA_UNIQUE_ID, uid.to_string());
    let object = Object::new(*uid.as_bytes(), 1, attributes)?;
    if object.key_type.is_some()
        && let Some(given) = object.attributes.get(CKA_CHECK_VALUE)
        && !given.is_empty()
        && given != keys::check_value(&object)?
    {
        return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    Ok(object)
}

/// Adds one object and answers with its handle.
pub(super) fn add(session: &Session, object: Object) -> Result<CK_OBJECT_HANDLE> {
    let [handle] = add_all(session, [object])?;
    Ok(handle)
}

/// Adds objects that belong together: all or none.
pub(super) fn add_all<const N: usize>(session: &Session, objects: [Object; N]) -> Result<[CK_OBJECT_HANDLE; N]> {
    add_list(session, Vec::from(objects))?.try_into().map_err(|_other_number| Rv(CKR_GENERAL_ERROR))
}

/// Adds objects that belong together: all or none.
pub(super) fn add_list(session: &Session, objects: Vec<Object>) -> Result<Vec<CK_OBJECT_HANDLE>> {
    if objects.iter().any(|object| !object.is_token()) {
        session.note_objects();
    }
    let config = &session.token().config;
    for object in &objects {
        config.check_object(&object.attributes)?;
    }
    let objects = match config.ec_point {
        EcPointForm::Der => objects,
        EcPointForm::Raw => objects.into_iter().map(with_bare_point).collect::<Result<_>>()?,
    };
    session.token().add(session.handle, objects)
}

/// The object with its point as it is, without the DER around it.
fn with_bare_point(object: Object) -> Result<Object> {
    let (Some(params), Some(point)) = (object.attributes.get(CKA_EC_PARAMS), object.attributes.get(CKA_EC_POINT))
    else {
        return Ok(object);
    };
    let bare = Curve::from_ec_params(params)?.bare_point(point)?.to_vec();
    let mut attributes = object.attributes.clone();
    attributes.set(CKA_EC_POINT, bare);
    Ok(Object::new(object.uid, object.version, attributes)?)
}

/// The class a template names.
pub(super) fn class(template: &Attributes) -> Result<CK_OBJECT_CLASS> {
    match template.ulong(CKA_CLASS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))? {
        class @ (CKO_DATA
        | CKO_CERTIFICATE
        | CKO_PUBLIC_KEY
        | CKO_PRIVATE_KEY
        | CKO_SECRET_KEY
        | CKO_DOMAIN_PARAMETERS) => Ok(class),
        _ => Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
    }
}

/// Makes a secret key's attributes whole and checks its length.
pub(super) fn settle_secret(attributes: &mut Attributes, key_type: CK_KEY_TYPE) -> Result<()> {
    let mut value = zeroize::Zeroizing::new(attributes.get(CKA_VALUE).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?.to_vec());
    keys::check_secret_length(key_type, value.len())?;
    if attributes.ulong(CKA_VALUE_LEN).is_some_and(|length| length != value.len() as CK_ULONG) {
        return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    attributes.set_ulong(CKA_VALUE_LEN, value.len() as CK_ULONG);
    if matches!(key_type, CKK_DES2 | CKK_DES3) {
        crypto::set_odd_parity(&mut value);
        attributes.set(CKA_VALUE, value.as_slice());
    }
    Ok(())
}

impl Session {
    /// `C_CreateObject`
    pub(crate) fn create_object(&self, template: Attributes) -> Result<CK_OBJECT_HANDLE> {
        self.token().config.check_import(&template)?;
        let class = class(&template)?;
        let is_key = matches!(class, CKO_PUBLIC_KEY | CKO_PRIVATE_KEY | CKO_SECRET_KEY);
        let has_key_type = is_key || class == CKO_DOMAIN_PARAMETERS;
        let key_type =
            if has_key_type { Some(template.ulong(CKA_KEY_TYPE).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?) } else { None };
        check_given(self, &template, given::CREATE, class, key_type)?;
        let mut attributes = template;
        place(self, &mut attributes, class)?;
        if let Some(key_type) = key_type.filter(|_| is_key) {
            key_defaults(self, &mut attributes, class, key_type, Origin::Created);
            if class == CKO_SECRET_KEY {
                settle_secret(&mut attributes, key_type)?;
            }
        }
        if class == CKO_CERTIFICATE {
            check_certificate(&attributes)?;
        }
        if class == CKO_DOMAIN_PARAMETERS {
            settle_parameters(&mut attributes, key_type)?;
        }
        let object = finish(attributes)?;
        let Some(_) = object.key_type.filter(|_| matches!(class, CKO_PUBLIC_KEY | CKO_PRIVATE_KEY)) else {
            return add(self, object);
        };
        // The material is checked by making the key, and kept in the standard's encodings.
        let key = object.key()?.clone();
        let mut attributes = object.attributes.clone();
        keys::to_attributes(&key, &mut attributes)?;
        if attributes
            .get(CKA_PUBLIC_KEY_INFO)
            .is_some_and(|given| !given.is_empty() && key.to_spki().as_deref() != Ok(given))
        {
            return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
        }
        add(self, Object::new(object.uid, object.version, attributes)?)
    }

    /// `C_CopyObject`
    pub(crate) fn copy_object(&self, handle: CK_OBJECT_HANDLE, template: &Attributes) -> Result<CK_OBJECT_HANDLE> {
        let source = self.token().object(handle)?;
        if !source.flag(CKA_COPYABLE) {
            return Err(Rv(CKR_ACTION_PROHIBITED));
        }
        check_given(self, template, given::COPY, source.class, source.key_type)?;
        if source.is_private && template.bool(CKA_PRIVATE) == Some(false) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        let mut attributes = merge(&source, template)?;
        attributes.remove(CKA_UNIQUE_ID);
        place(self, &mut attributes, source.class)?;
        add(self, finish(attributes)?)
    }

    /// `C_DestroyObject`
    pub(crate) fn destroy_object(&self, handle: CK_OBJECT_HANDLE) -> Result<()> {
        let object = self.token().object(handle)?;
        self.check_writable(&object)?;
        if !object.flag(CKA_DESTROYABLE) {
            return Err(Rv(CKR_ACTION_PROHIBITED));
        }
        self.operations().recent.forget();
        self.token().destroy(handle)
    }

    /// `C_SetAttributeValue`: all of the template or nothing.
    pub(crate) fn set_attributes(&self, handle: CK_OBJECT_HANDLE, template: &Attributes) -> Result<()> {
        self.token().change(handle, |object| {
            self.check_writable(object)?;
            if !object.flag(CKA_MODIFIABLE) {
                return Err(Rv(CKR_ACTION_PROHIBITED));
            }
            check_given(self, template, given::SET, object.class, object.key_type)?;
            let merged = merge(object, template)?;
            self.token().config.check_object(&merged)?;
            Ok(merged)
        })
    }

    /// `C_GetObjectSize`
    pub(crate) fn object_size(&self, handle: CK_OBJECT_HANDLE) -> Result<usize> {
        Ok(self.token().object(handle)?.attributes.encode().len())
    }

    fn check_writable(&self, object: &Object) -> Result<()> {
        if object.is_token() && !self.read_write { Err(Rv(CKR_SESSION_READ_ONLY)) } else { Ok(()) }
    }
}

/// An object's attributes with those of a template over them, each the way it may go.
fn merge(object: &Object, template: &Attributes) -> Result<Attributes> {
    let mut attributes = object.attributes.clone();
    for (attribute, value) in template.iter() {
        let current = match object.read(attribute) {
            Reading::Value(current) => current,
            Reading::Sensitive | Reading::Absent => value.into(),
        };
        let way = rules::rule(attribute, object.class, object.key_type).map_or(Way::Any, |rule: &Rule| rule.way);
        let is_wrong = match way {
            Way::Any => false,
            Way::ToFalse => current.as_ref() == [CK_FALSE] && value == [CK_TRUE],
            Way::ToTrue => current.as_ref() == [CK_TRUE] && value == [CK_FALSE],
        };
        if is_wrong {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
        attributes.set(attribute, value);
    }
    Ok(attributes)
}

/// Domain parameters are those of Diffie-Hellman (PKCS#11 3.1 §6.4.4).
fn settle_parameters(attributes: &mut Attributes, key_type: Option<CK_KEY_TYPE>) -> Result<()> {
    if key_type != Some(CKK_DH) {
        return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    let group = keys::group(attributes)?;
    keys::set_group(attributes, &group);
    attributes.set_ulong(CKA_PRIME_BITS, group.bits().into());
    Ok(())
}

/// Certificates are X.509, name their subject, and have a value or say where it is (PKCS#11 3.1 §4.6.3, note 1).
fn check_certificate(attributes: &Attributes) -> Result<()> {
    match attributes.ulong(CKA_CERTIFICATE_TYPE) {
        None => return Err(Rv(CKR_TEMPLATE_INCOMPLETE)),
        Some(CKC_X_509) => {}
        Some(_) => return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
    }
    let has = |attribute| attributes.get(attribute).is_some_and(|value| !value.is_empty());
    let is_named = attributes.get(CKA_SUBJECT).is_some();
    if is_named && (has(CKA_VALUE) || has(CKA_URL)) { Ok(()) } else { Err(Rv(CKR_TEMPLATE_INCOMPLETE)) }
}
