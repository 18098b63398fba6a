//! Keys from keys: derivation, and key encapsulation.
//!
//! A derived key's secrecy follows its base key's. For the derivations that a reader could undo (concatenation, exclusive
//! or, extraction, encryption of chosen data) that is a rule the template cannot change; for the one-way ones only the
//! history is inherited. From the key of a cipher the former make keys that hold all of it, or none.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    attributes::Attributes,
    create::{self, Origin},
    keys,
    object::Object,
    permit,
    rules::given,
    rv::{Result, Rv},
    session::Session,
    wrap,
};
use crate::crypto::{self, Key, KeyRef, Params, Prf};

/// Derivations whose result gives its base key away to whoever knows the other input.
const REVERSIBLE: &[CK_MECHANISM_TYPE] = &[
    CKM_CONCATENATE_BASE_AND_KEY,
    CKM_CONCATENATE_BASE_AND_DATA,
    CKM_CONCATENATE_DATA_AND_BASE,
    CKM_XOR_BASE_AND_DATA,
    CKM_EXTRACT_KEY_FROM_KEY,
];

/// Keys that nothing but a cipher has a use for.
const CIPHER_KEYS: &[CK_KEY_TYPE] = &[CKK_AES, CKK_AES_XTS, CKK_DES2, CKK_DES3, CKK_CHACHA20];

/// Derivations whose result takes the base key's secrecy when the template says nothing (§6.42.7).
const INHERITING: &[CK_MECHANISM_TYPE] =
    &[CKM_SP800_108_COUNTER_KDF, CKM_SP800_108_FEEDBACK_KDF, CKM_SP800_108_DOUBLE_PIPELINE_KDF];

/// Why several keys could not be derived: the code, and which template was to blame, if one was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) rv: Rv,
    pub(crate) template: Option<usize>,
}

impl From<Rv> for Refused {
    fn from(rv: Rv) -> Self {
        Self { rv, template: None }
    }
}

impl From<crypto::CryptoError> for Refused {
    fn from(error: crypto::CryptoError) -> Self {
        Rv::from(error).into()
    }
}

/// A key on its way to be derived.
struct Draft {
    attributes: Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    /// Bytes of its value, where the template or the key type says so.
    bytes: Option<usize>,
}

impl Session {
    /// `C_DeriveKey`: the first template's key, and those beside it. All of them or none.
    pub(crate) fn derive_keys(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &mut Params,
        base: CK_OBJECT_HANDLE,
        templates: Vec<Attributes>,
    ) -> Result<Vec<CK_OBJECT_HANDLE>, Refused> {
        let info = permit::mechanism(number, CKF_DERIVE)?;
        let base = self.base_key(number, info, base)?;
        let mut bases = vec![Arc::clone(&base)];
        for key in params.keys_mut() {
            if let KeyRef::Handle(handle) = *key {
                let object = self.token().object(handle).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID))?;
                permit::check_usage(self, &object, CKA_DERIVE)?;
                *key = KeyRef::Key(other_secret(&object)?);
                bases.push(object);
            }
        }
        let mut drafts = Vec::with_capacity(templates.len());
        for (place, template) in templates.into_iter().enumerate() {
            let draft = self.draft(number, template, &bases);
            drafts.push(draft.map_err(|rv| Refused { rv, template: place.checked_sub(1) })?);
        }
        let values = values(number, params, &base, &drafts)?;
        if REVERSIBLE.contains(&number) {
            check_whole(number, params, &bases, values.first().map_or(0, |value| value.len()))?;
        }
        let mut objects = Vec::with_capacity(drafts.len());
        for (place, (draft, value)) in drafts.into_iter().zip(values).enumerate() {
            objects.push(finish_secret(draft, &value).map_err(|rv| Refused { rv, template: place.checked_sub(1) })?);
        }
        Ok(create::add_list(self, objects)?)
    }

    fn base_key(
        &self,
        number: CK_MECHANISM_TYPE,
        info: &crypto::MechanismInfo,
        base: CK_OBJECT_HANDLE,
    ) -> Result<Arc<Object>> {
        let base = self.token().object(base).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID))?;
        if !permit::takes(info, &base) || !matches!(base.class, CKO_SECRET_KEY | CKO_PRIVATE_KEY) {
            return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
        }
        permit::check_usage(self, &base, CKA_DERIVE)?;
        base.check_mechanism(number)?;
        Ok(base)
    }

    /// Settles everything about a derived key but its value.
    fn draft(&self, number: CK_MECHANISM_TYPE, template: Attributes, bases: &[Arc<Object>]) -> Result<Draft> {
        let mut attributes = template;
        let base = bases.first().ok_or(Rv(CKR_GENERAL_ERROR))?;
        wrap::impose(&mut attributes, base.attributes.template(CKA_DERIVE_TEMPLATE)?)?;
        let made = if number == CKM_HKDF_DATA { CKO_DATA } else { CKO_SECRET_KEY };
        if attributes.ulong(CKA_CLASS).is_some_and(|class| class != made) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        attributes.set_ulong(CKA_CLASS, made);
        if made == CKO_DATA {
            create::check_given(self, &attributes, given::DERIVE, CKO_DATA, None)?;
            create::place(self, &mut attributes, CKO_DATA)?;
            let bytes = value_length(&mut attributes, None)?;
            attributes.remove(CKA_VALUE_LEN);
            return Ok(Draft { attributes, class: CKO_DATA, key_type: CKK_GENERIC_SECRET, bytes });
        }
        if INHERITING.contains(&number) {
            attributes.default_bool(CKA_SENSITIVE, base.flag(CKA_SENSITIVE));
            attributes.default_bool(CKA_EXTRACTABLE, base.flag(CKA_EXTRACTABLE));
        }
        if REVERSIBLE.contains(&number) {
            hold(&mut attributes, CKA_SENSITIVE, bases.iter().any(|base| base.flag(CKA_SENSITIVE)), true)?;
            hold(&mut attributes, CKA_EXTRACTABLE, bases.iter().any(|base| !base.flag(CKA_EXTRACTABLE)), false)?;
        }
        // The standard lets any input key of a derivation by SP 800-108 lend its history; the base key's is the strictest.
        let origin = Origin::Derived {
            always_sensitive: bases.iter().all(|base| base.flag(CKA_ALWAYS_SENSITIVE)),
            never_extractable: bases.iter().all(|base| base.flag(CKA_NEVER_EXTRACTABLE)),
        };
        self.secret_draft(attributes, origin)
    }

    /// Settles a secret key whose value is still to come.
    fn secret_draft(&self, mut attributes: Attributes, origin: Origin) -> Result<Draft> {
        let key_type = attributes.ulong(CKA_KEY_TYPE).unwrap_or(CKK_GENERIC_SECRET);
        attributes.set_ulong(CKA_KEY_TYPE, key_type);
        create::check_given(self, &attributes, given::DERIVE, CKO_SECRET_KEY, Some(key_type))?;
        create::place(self, &mut attributes, CKO_SECRET_KEY)?;
        create::key_defaults(self, &mut attributes, CKO_SECRET_KEY, key_type, origin);
        let bytes = value_length(&mut attributes, Some(key_type))?;
        Ok(Draft { attributes, class: CKO_SECRET_KEY, key_type, bytes })
    }

    /// Length of the ciphertext that [`encapsulate_key`](Self::encapsulate_key) makes, if the key may be used so.
    pub(crate) fn encapsulated_bytes(&self, number: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> Result<usize> {
        let key = self.encapsulation_key(number, key, (CKF_ENCAPSULATE, CKA_ENCAPSULATE, CKO_PUBLIC_KEY))?;
        Ok(crypto::encapsulated_bytes(number, key.key()?)?)
    }

    /// `C_EncapsulateKey`: the ciphertext and the new key.
    pub(crate) fn encapsulate_key(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &Params,
        key: CK_OBJECT_HANDLE,
        template: Attributes,
    ) -> Result<(Vec<u8>, CK_OBJECT_HANDLE)> {
        let key = self.encapsulation_key(number, key, (CKF_ENCAPSULATE, CKA_ENCAPSULATE, CKO_PUBLIC_KEY))?;
        let draft = self.encapsulated(template, key.attributes.template(CKA_ENCAPSULATE_TEMPLATE)?)?;
        let (ciphertext, shared) = crypto::encapsulate(number, params, key.key()?)?;
        Ok((ciphertext, create::add(self, finish_encapsulated(draft, shared)?)?))
    }

    /// `C_DecapsulateKey`
    pub(crate) fn decapsulate_key(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &Params,
        key: CK_OBJECT_HANDLE,
        ciphertext: &[u8],
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        let key = self.encapsulation_key(number, key, (CKF_DECAPSULATE, CKA_DECAPSULATE, CKO_PRIVATE_KEY))?;
        let draft = self.encapsulated(template, key.attributes.template(CKA_DECAPSULATE_TEMPLATE)?)?;
        let shared = crypto::decapsulate(number, params, key.key()?, ciphertext)?;
        create::add(self, finish_encapsulated(draft, shared)?)
    }

    fn encapsulation_key(
        &self,
        number: CK_MECHANISM_TYPE,
        key: CK_OBJECT_HANDLE,
        (flag, usage, class): (CK_FLAGS, CK_ATTRIBUTE_TYPE, CK_OBJECT_CLASS),
    ) -> Result<Arc<Object>> {
        let info = permit::mechanism(number, flag)?;
        let key = self.token().object(key).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID))?;
        if !permit::takes(info, &key) || key.class != class {
            return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
        }
        permit::check_usage(self, &key, usage)?;
        key.check_mechanism(number)?;
        Ok(key)
    }

    fn encapsulated(&self, template: Attributes, imposed: Option<Attributes>) -> Result<Draft> {
        let mut attributes = template;
        wrap::impose(&mut attributes, imposed)?;
        if attributes.ulong(CKA_CLASS).is_some_and(|class| class != CKO_SECRET_KEY) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        attributes.set_ulong(CKA_CLASS, CKO_SECRET_KEY);
        // 3.2 §5.18.8: extractable unless the template says otherwise.
        attributes.default_bool(CKA_EXTRACTABLE, true);
        self.secret_draft(attributes, Origin::Unwrapped)
    }
}

/// Refuses to leave out a part of a cipher's key in a derivation that shows its base key: what is left of a key of 256 bits
/// after 248 are cut off is guessed at once, and the rest piece by piece after that (J. Clulow, "On the Security of
/// PKCS#11", 2003). Generic secrets are made to be taken apart (PKCS#11 3.1 §6.43.7 has the example).
fn check_whole(number: CK_MECHANISM_TYPE, params: &Params, bases: &[Arc<Object>], made: usize) -> Result<()> {
    let is_cipher_key = |base: &Arc<Object>| base.key_type.is_some_and(|key_type| CIPHER_KEYS.contains(&key_type));
    if !bases.iter().any(is_cipher_key) {
        return Ok(());
    }
    let mut whole = match params {
        Params::Data(data) if number != CKM_XOR_BASE_AND_DATA => data.len(),
        _ => 0,
    };
    for base in bases {
        whole += other_secret(base)?.len();
    }
    if made < whole { Err(Rv(CKR_KEY_TYPE_INCONSISTENT)) } else { Ok(()) }
}

/// The value of a secret key that parameters name.
fn other_secret(object: &Object) -> Result<crypto::SecretKey> {
    match object.key()? {
        Key::Secret(secret) => Ok(secret.clone()),
        _ => Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    }
}

/// Keeps an attribute at a value when the base keys demand it; a template that says otherwise contradicts them.
fn hold(attributes: &mut Attributes, attribute: CK_ATTRIBUTE_TYPE, demanded: bool, value: bool) -> Result<()> {
    if !demanded {
        return Ok(());
    }
    if attributes.bool(attribute).is_some_and(|given| given != value) {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    attributes.set_bool(attribute, value);
    Ok(())
}

/// The length that a template or the key type asks for.
fn value_length(attributes: &mut Attributes, key_type: Option<CK_KEY_TYPE>) -> Result<Option<usize>> {
    let given = attributes.ulong(CKA_VALUE_LEN).map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let fixed = key_type.and_then(keys::fixed_length);
    match (given, fixed) {
        (Some(given), Some(fixed)) if given != fixed => Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
        (Some(bytes), _) => {
            match key_type {
                Some(key_type) => keys::check_secret_length(key_type, bytes)?,
                None if bytes == 0 || bytes > DATA_BYTES_MAX => return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
                None => {}
            }
            Ok(Some(bytes))
        }
        (None, fixed) => Ok(fixed),
    }
}

fn values(
    number: CK_MECHANISM_TYPE,
    params: &Params,
    base: &Object,
    drafts: &[Draft],
) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    if let Params::Kbkdf(kbkdf) = params {
        // A cipher's MAC is keyed with that cipher's keys (§6.42).
        let fits = match kbkdf.prf {
            Prf::AesCmac => base.key_type == Some(CKK_AES),
            Prf::Des3Cmac => matches!(base.key_type, Some(CKK_DES3 | CKK_DES2)),
            Prf::Hmac(_) => true,
        };
        if !fits {
            return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
        }
        let lengths: Option<Vec<_>> = drafts.iter().map(|draft| draft.bytes).collect();
        let lengths = lengths.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        return Ok(crypto::derive_many(number, params, base.key()?, &lengths)?);
    }
    let [draft] = drafts else { return Err(Rv(CKR_MECHANISM_PARAM_INVALID)) };
    if number == CKM_EXTRACT_KEY_FROM_KEY && draft.bytes.is_none() {
        return Err(Rv(CKR_TEMPLATE_INCOMPLETE));
    }
    Ok(vec![crypto::derive(number, params, base.key()?, draft.bytes)?])
}

/// Gives a draft its value.
fn finish_secret(draft: Draft, value: &[u8]) -> Result<Object> {
    let mut attributes = draft.attributes;
    attributes.set(CKA_VALUE, value);
    if draft.class == CKO_SECRET_KEY {
        // What the mechanism makes by itself may not be a key of this type; only a length in the template helps then.
        create::settle_secret(&mut attributes, draft.key_type).map_err(|_unfit| Rv(CKR_TEMPLATE_INCOMPLETE))?;
    }
    create::finish(attributes)
}

/// Gives a draft the front of a shared secret.
fn finish_encapsulated(draft: Draft, mut shared: Zeroizing<Vec<u8>>) -> Result<Object> {
    if let Some(bytes) = draft.bytes {
        if bytes > shared.len() {
            return Err(Rv(CKR_KEY_SIZE_RANGE));
        }
        shared.truncate(bytes);
    }
    finish_secret(draft, &shared)
}

const DATA_BYTES_MAX: usize = 1 << 16;
