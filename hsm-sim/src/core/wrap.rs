//! Keys out and in under other keys.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    attributes::Attributes,
    create, generate, keys,
    object::Object,
    permit,
    rules::given,
    rv::{Result, Rv},
    session::Session,
};
use crate::crypto::{self, Key, Params};

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
        let info = permit::mechanism(number, CKF_WRAP)?;
        let wrapping = self.token().object(wrapping).map_err(|_invalid| Rv(CKR_WRAPPING_KEY_HANDLE_INVALID))?;
        let target = self.token().object(key).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID))?;
        if !permit::takes(info, &wrapping) {
            return Err(Rv(CKR_WRAPPING_KEY_TYPE_INCONSISTENT));
        }
        if !wrapping.flag(CKA_WRAP) {
            return Err(Rv(CKR_KEY_FUNCTION_NOT_PERMITTED));
        }
        wrapping.check_mechanism(number)?;
        check_wrappable(&wrapping, &target)?;
        let plain = generate::plain(target.key()?)?;
        Ok(crypto::wrap(number, params, wrapping.key()?, &plain)?)
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
        let info = permit::mechanism(number, CKF_UNWRAP)?;
        let unwrapping = self.token().object(unwrapping).map_err(|_invalid| Rv(CKR_UNWRAPPING_KEY_HANDLE_INVALID))?;
        if !permit::takes(info, &unwrapping) {
            return Err(Rv(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT));
        }
        if !unwrapping.flag(CKA_UNWRAP) {
            return Err(Rv(CKR_KEY_FUNCTION_NOT_PERMITTED));
        }
        unwrapping.check_mechanism(number)?;
        let mut attributes = template;
        impose(&mut attributes, unwrapping.attributes.template(CKA_UNWRAP_TEMPLATE)?)?;
        let class = attributes.ulong(CKA_CLASS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        let key_type = attributes.ulong(CKA_KEY_TYPE).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        create::check_given(self, &attributes, given::UNWRAP, class, Some(key_type))?;
        create::place(self, &mut attributes, class)?;
        create::key_defaults(self, &mut attributes, class, key_type, None);
        let plain = crypto::unwrap(number, params, unwrapping.key()?, wrapped)?;
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

/// Merges the unwrapping key's template into the caller's; a contradiction is refused.
fn impose(attributes: &mut Attributes, template: Option<Attributes>) -> Result<()> {
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
