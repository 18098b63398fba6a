//! Keys out and in under other keys.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    attributes::Attributes,
    create, generate, keys,
    messages::{self, MessageParams},
    object::Object,
    operation::{Output, Written},
    permit,
    rules::given,
    rv::{Result, Rv},
    session::Session,
};
use crate::{
    config::WrapPad,
    crypto::{self, Key, Params},
};

/// Mechanisms whose plaintext has no length of its own, so that `CKA_VALUE_LEN` may cut it (PKCS#11 3.1 §5.18.3).
const UNPADDED: &[CK_MECHANISM_TYPE] = &[CKM_AES_ECB, CKM_AES_CBC, CKM_DES3_ECB, CKM_DES3_CBC];

impl Session {
    /// `C_WrapKey`
    pub(crate) fn wrap_key(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &Params,
        wrapping: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Vec<u8>> {
        let (wrapping, plain) = self.wrap_source(number, wrapping, key)?;
        Ok(crypto::wrap(self.wrap_mechanism(number), params, wrapping.key()?, &plain)?)
    }

    /// The mechanism that does what another is said to do here.
    fn wrap_mechanism(&self, number: CK_MECHANISM_TYPE) -> CK_MECHANISM_TYPE {
        match (number, self.token().config.wrap_pad) {
            (CKM_AES_KEY_WRAP_PAD, WrapPad::Pkcs7) => CKM_AES_KEY_WRAP_PKCS7,
            _ => number,
        }
    }

    /// `C_WrapKey` under an AEAD whose IV is made here, or given with the fixed part of it (3.2 `CK_GCM_WRAP_PARAMS`,
    /// `CK_CCM_WRAP_PARAMS`): the tag follows the ciphertext, the IV is in the parameters.
    pub(crate) fn wrap_key_with_iv(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &mut MessageParams,
        [wrapping, key]: [CK_OBJECT_HANDLE; 2],
        aad: &[u8],
        output: Output<'_>,
    ) -> Result<Written> {
        let (wrapping, plain) = self.wrap_source(number, wrapping, key)?;
        check_data_bytes(params, plain.len())?;
        let room = match output.room_for(plain.len().saturating_add(params.tag.len())) {
            Ok(room) => room,
            Err(written) => return Ok(written),
        };
        let mut operations = self.operations();
        let wrapped = messages::seal(number, &wrapping, &mut operations.wrap_ivs, params, (aad, &plain))?;
        let places = room.iter_mut().zip(wrapped.iter().chain(&params.tag));
        places.for_each(|(place, byte)| *place = *byte);
        Ok(Written::Done(wrapped.len() + params.tag.len()))
    }

    /// `C_UnwrapKey` of what [`wrap_key_with_iv`](Self::wrap_key_with_iv) made.
    pub(crate) fn unwrap_key_with_iv(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &mut MessageParams,
        unwrapping: CK_OBJECT_HANDLE,
        (aad, wrapped): (&[u8], &[u8]),
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        self.unwrap_with(number, unwrapping, template, |unwrapping| {
            let bytes = wrapped.len().checked_sub(params.tag.len()).ok_or(Rv(CKR_WRAPPED_KEY_LEN_RANGE))?;
            let (wrapped, tag) = wrapped.split_at(bytes);
            check_data_bytes(params, bytes)?;
            params.tag.copy_from_slice(tag);
            messages::unseal(number, unwrapping, params, (aad, wrapped)).map_err(as_unwrap_error)
        })
    }

    /// `C_WrapKeyAuthenticated`: the tag and the IV that was made are in the parameters.
    pub(crate) fn wrap_key_authenticated(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &mut MessageParams,
        [wrapping, key]: [CK_OBJECT_HANDLE; 2],
        aad: &[u8],
        output: Output<'_>,
    ) -> Result<Written> {
        check_authenticated(number)?;
        let (wrapping, plain) = self.wrap_source(number, wrapping, key)?;
        let room = match output.room_for(plain.len()) {
            Ok(room) => room,
            Err(written) => return Ok(written),
        };
        let mut operations = self.operations();
        let wrapped = messages::seal(number, &wrapping, &mut operations.wrap_ivs, params, (aad, &plain))?;
        room.get_mut(..wrapped.len()).ok_or(Rv(CKR_GENERAL_ERROR))?.copy_from_slice(&wrapped);
        Ok(Written::Done(wrapped.len()))
    }

    /// The wrapping key and the plain form of the key to be wrapped, if both may be used so.
    fn wrap_source(
        &self,
        number: CK_MECHANISM_TYPE,
        wrapping: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(Arc<Object>, Zeroizing<Vec<u8>>)> {
        let info = permit::mechanism(number, CKF_WRAP)?;
        let wrapping = self.token().object(wrapping).map_err(|_invalid| Rv(CKR_WRAPPING_KEY_HANDLE_INVALID))?;
        let target = self.token().object(key).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID))?;
        if !permit::takes(info, &wrapping) {
            return Err(Rv(CKR_WRAPPING_KEY_TYPE_INCONSISTENT));
        }
        permit::check_usage(self, &wrapping, CKA_WRAP)?;
        wrapping.check_mechanism(number)?;
        check_wrappable(&wrapping, &target)?;
        let plain = generate::plain(target.key()?)?;
        Ok((wrapping, plain))
    }

    /// `C_UnwrapKey`
    pub(crate) fn unwrap_key(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &Params,
        unwrapping: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        self.unwrap_with(number, unwrapping, template, |unwrapping| {
            let does = self.wrap_mechanism(number);
            Ok(crypto::unwrap(does, &self.rejecting(number, params), unwrapping.key()?, wrapped)?)
        })
    }

    /// `C_UnwrapKeyAuthenticated`
    pub(crate) fn unwrap_key_authenticated(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &mut MessageParams,
        unwrapping: CK_OBJECT_HANDLE,
        (aad, wrapped): (&[u8], &[u8]),
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        check_authenticated(number)?;
        let mut template = template;
        // These functions came late enough to know what a key is when nobody says.
        if !template.has(CKA_CLASS) {
            template.set_ulong(CKA_CLASS, CKO_SECRET_KEY);
        }
        if !template.has(CKA_KEY_TYPE) {
            template.set_ulong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
        }
        self.unwrap_with(number, unwrapping, template, |unwrapping| {
            messages::unseal(number, unwrapping, params, (aad, wrapped)).map_err(as_unwrap_error)
        })
    }

    /// Makes a key of what a way of unwrapping gives.
    fn unwrap_with(
        &self,
        number: CK_MECHANISM_TYPE,
        unwrapping: CK_OBJECT_HANDLE,
        template: Attributes,
        unwrap: impl FnOnce(&Object) -> Result<Zeroizing<Vec<u8>>>,
    ) -> Result<CK_OBJECT_HANDLE> {
        let info = permit::mechanism(number, CKF_UNWRAP)?;
        let unwrapping = self.token().object(unwrapping).map_err(|_invalid| Rv(CKR_UNWRAPPING_KEY_HANDLE_INVALID))?;
        if !permit::takes(info, &unwrapping) {
            return Err(Rv(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT));
        }
        permit::check_usage(self, &unwrapping, CKA_UNWRAP)?;
        unwrapping.check_mechanism(number)?;
        let mut attributes = template;
        impose(&mut attributes, unwrapping.attributes.template(CKA_UNWRAP_TEMPLATE)?)?;
        let class = attributes.ulong(CKA_CLASS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        let key_type = attributes.ulong(CKA_KEY_TYPE).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        create::check_given(self, &attributes, given::UNWRAP, class, Some(key_type))?;
        create::place(self, &mut attributes, class)?;
        create::key_defaults(self, &mut attributes, class, key_type, create::Origin::Unwrapped);
        let plain = unwrap(&unwrapping)?;
        match class {
            CKO_SECRET_KEY => settle_secret(&mut attributes, key_type, plain, UNPADDED.contains(&number))?,
            CKO_PRIVATE_KEY => {
                // What opens but is no key, or one of another type, tells nothing more than that (type confusion).
                let key = Key::from_pkcs8(&plain).map_err(|_unreadable| Rv(CKR_WRAPPED_KEY_INVALID))?;
                if key.key_type() != Some(key_type) {
                    return Err(Rv(CKR_WRAPPED_KEY_INVALID));
                }
                keys::to_attributes(&key, &mut attributes)?;
            }
            _ => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
        }
        create::add(self, create::finish(attributes)?)
    }
}

/// What a message that does not open is called when it holds a key.
fn as_unwrap_error(rv: Rv) -> Rv {
    match rv {
        Rv(CKR_AEAD_DECRYPT_FAILED) => Rv(CKR_WRAPPED_KEY_INVALID),
        Rv(CKR_ENCRYPTED_DATA_LEN_RANGE) => Rv(CKR_WRAPPED_KEY_LEN_RANGE),
        rv => rv,
    }
}

/// Refuses parameters that announce another length than the key has; zero announces none.
fn check_data_bytes(params: &MessageParams, bytes: usize) -> Result<()> {
    if params.data_bytes == 0 || params.data_bytes == bytes { Ok(()) } else { Err(Rv(CKR_MECHANISM_PARAM_INVALID)) }
}

/// Only the AEADs bind data to a wrapped key; what does not is not for these functions.
fn check_authenticated(number: CK_MECHANISM_TYPE) -> Result<()> {
    if matches!(number, CKM_AES_GCM | CKM_AES_CCM) { Ok(()) } else { Err(Rv(CKR_MECHANISM_INVALID)) }
}

/// Whether a key may leave the token under another.
fn check_wrappable(wrapping: &Object, target: &Object) -> Result<()> {
    if !matches!(target.class, CKO_SECRET_KEY | CKO_PRIVATE_KEY) {
        return Err(Rv(CKR_KEY_NOT_WRAPPABLE));
    }
    if !target.flag(CKA_EXTRACTABLE) {
        return Err(Rv(CKR_KEY_UNEXTRACTABLE));
    }
    if target.flag(CKA_WRAP_WITH_TRUSTED) && !wrapping.flag(CKA_TRUSTED) {
        return Err(Rv(CKR_KEY_NOT_WRAPPABLE));
    }
    match wrapping.attributes.template(CKA_WRAP_TEMPLATE)? {
        Some(template) if !target.matches(&template) => Err(Rv(CKR_KEY_HANDLE_INVALID)),
        _ => Ok(()),
    }
}

/// Merges a key's template for what comes out of it into the caller's; a contradiction is refused.
pub(super) fn impose(attributes: &mut Attributes, template: Option<Attributes>) -> Result<()> {
    for (attribute, value) in template.iter().flat_map(Attributes::iter) {
        if attributes.get(attribute).is_some_and(|given| given != value) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        attributes.set(attribute, value);
    }
    Ok(())
}

fn settle_secret(
    attributes: &mut Attributes,
    key_type: CK_KEY_TYPE,
    plain: Zeroizing<Vec<u8>>,
    may_cut: bool,
) -> Result<()> {
    let mut plain = plain;
    if let Some(length) = attributes.ulong(CKA_VALUE_LEN) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match length.cmp(&plain.len()) {
            std::cmp::Ordering::Equal => {}
            // The rest is what filled the last block.
            std::cmp::Ordering::Less if may_cut => plain.truncate(length),
            _ => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
        }
    }
    attributes.set(CKA_VALUE, plain.as_slice());
    create::settle_secret(attributes, key_type).map_err(|_unfit| Rv(CKR_WRAPPED_KEY_INVALID))
}
