//! Digests: SHA-1, SHA-2 and SHA-3 (PKCS#11 3.1 §6.20–6.30).

use cryptoki_sys::*;

use super::{
    error::Result,
    mechanism::MechanismInfo,
    operation::Digester,
    params::{Hash, ParamKind},
};

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, hash: Hash) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, &[], (0, 0), ParamKind::None).digests(hash)
}

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_SHA_1, "SHA_1", Hash::Sha1),
    row(CKM_SHA224, "SHA224", Hash::Sha224),
    row(CKM_SHA256, "SHA256", Hash::Sha256),
    row(CKM_SHA384, "SHA384", Hash::Sha384),
    row(CKM_SHA512, "SHA512", Hash::Sha512),
    row(CKM_SHA512_224, "SHA512_224", Hash::Sha512_224),
    row(CKM_SHA512_256, "SHA512_256", Hash::Sha512_256),
    row(CKM_SHA3_224, "SHA3_224", Hash::Sha3_224),
    row(CKM_SHA3_256, "SHA3_256", Hash::Sha3_256),
    row(CKM_SHA3_384, "SHA3_384", Hash::Sha3_384),
    row(CKM_SHA3_512, "SHA3_512", Hash::Sha3_512),
];

/// The digest of `data` in one call.
pub fn digest(hash: Hash, data: &[u8]) -> Result<Vec<u8>> {
    let mut digester = Digester::new(hash)?;
    digester.update(data)?;
    let mut output = vec![0; digester.output_bytes()];
    digester.finish(&mut output)?;
    Ok(output)
}
