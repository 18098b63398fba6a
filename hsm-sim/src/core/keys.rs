pub(crate) fn from_attributes(object: &super::object::Object) -> super::rv::Result<crate::crypto::Key> {
    let value =
        object.attributes.get(cryptoki_sys::CKA_VALUE).ok_or(super::rv::Rv(cryptoki_sys::CKR_KEY_TYPE_INCONSISTENT))?;
    Ok(crate::crypto::SecretKey::new(zeroize::Zeroizing::new(value.to_vec())).into())
}
