//! HKDF (PKCS#11 3.1 §6.62, RFC 5869), to keys and to data.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::kdf,
    generate,
    key::Key,
    mechanism::MechanismInfo,
    params::{HkdfSalt, ParamKind, Params},
};

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, generate::ANY_SECRET, (1, 4096), ParamKind::Hkdf).derives(derive)
}

/// The rows of this family; what the result becomes, key or data object, is `core`'s business.
pub(super) const MECHANISMS: &[MechanismInfo] = &[row(CKM_HKDF_DERIVE, "HKDF_DERIVE"), row(CKM_HKDF_DATA, "HKDF_DATA")];

fn derive(params: &Params, key: &Key, bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let Params::Hkdf { hash, extract, expand } = params else { return Err(CryptoError::MechanismParamInvalid) };
    let base = key.secret()?.value();
    let extracted = match extract {
        Some(salt) => {
            let salt = match salt {
                HkdfSalt::None => &[],
                HkdfSalt::Data(salt) => salt.as_slice(),
                HkdfSalt::Key(salt) => salt.value()?,
            };
            let mut output = Zeroizing::new(vec![0; hash.output_bytes()]);
            kdf::hkdf_extract(*hash, base, salt, &mut output)?;
            Some(output)
        }
        None => None,
    };
    match (extracted, expand) {
        (None, None) => Err(CryptoError::MechanismParamInvalid),
        (Some(mut extracted), None) => {
            // The extracted key has the hash's length; a template may ask for its front.
            let bytes = bytes.unwrap_or(extracted.len());
            if bytes > extracted.len() {
                return Err(CryptoError::KeySizeRange);
            }
            extracted.truncate(bytes);
            Ok(extracted)
        }
        (extracted, Some(info)) => {
            let bytes = bytes.unwrap_or_else(|| hash.output_bytes());
            if bytes > 255 * hash.output_bytes() {
                return Err(CryptoError::KeySizeRange);
            }
            let mut output = Zeroizing::new(vec![0; bytes]);
            kdf::hkdf_expand(*hash, extracted.as_ref().map_or(base, |key| key.as_slice()), info, &mut output)?;
            Ok(output)
        }
    }
}
