//! Bytes as the structures that C programs hand over, for the fuzz targets: every pointer leads to memory that is there.

use cryptoki_sys::*;

use super::{mechanism, pointer};
use crate::{
    core::attributes::Attributes,
    crypto::{self, Key, ParamKind},
};

/// Takes so many bytes off the front, or what is left.
fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(bytes.min(rest.len()));
    *rest = left;
    taken
}

fn byte(rest: &mut &[u8]) -> u8 {
    take(rest, 1).first().copied().unwrap_or_default()
}

fn word(rest: &mut &[u8]) -> CK_ULONG {
    let mut word = [0; 8];
    word.iter_mut().zip(take(rest, 8)).for_each(|(place, byte)| *place = *byte);
    CK_ULONG::from_le_bytes(word)
}

/// Bytes of the input as a pointer and a length; sometimes null.
fn field<'a>(rest: &mut &'a [u8]) -> (*mut CK_BYTE, CK_ULONG, &'a [u8]) {
    let length = byte(rest);
    let bytes = take(rest, usize::from(length & 0x7f));
    let pointer = if length & 0x80 == 0 { bytes.as_ptr().cast_mut() } else { std::ptr::null_mut() };
    (pointer, bytes.len() as CK_ULONG, bytes)
}

/// A template of what the bytes say, one level of nesting deep; what is accepted survives being stored.
///
/// # Panics
///
/// When it does not: that is the finding.
pub(crate) fn template(bytes: &[u8]) {
    let mut rest = bytes;
    let mut attributes = Vec::new();
    let mut nested = Vec::new();
    while !rest.is_empty() && attributes.len() < 64 {
        let kind = match byte(&mut rest) {
            // The standard's own numbers are small; a raw word reaches the others.
            0xff => word(&mut rest),
            low => CK_ULONG::from(low) | CK_ULONG::from(byte(&mut rest)) << 8,
        };
        let (pointer, length, _) = field(&mut rest);
        attributes.push(CK_ATTRIBUTE { type_: kind, pValue: pointer.cast(), ulValueLen: length });
    }
    if attributes.len() > 3 {
        let inner = attributes.split_off(attributes.len() - 2);
        nested.extend(inner);
        attributes.push(CK_ATTRIBUTE {
            type_: CKA_UNWRAP_TEMPLATE,
            pValue: nested.as_mut_ptr().cast(),
            ulValueLen: size_of_val(nested.as_slice()) as CK_ULONG,
        });
    }
    // A raw attribute of a template type would name memory that is not there.
    let first = attributes.len().saturating_sub(usize::from(!nested.is_empty()));
    let is_nested = |kind: CK_ATTRIBUTE_TYPE| kind & CKF_ARRAY_ATTRIBUTE != 0;
    if attributes.iter().take(first).chain(&nested).any(|attribute| is_nested(attribute.type_)) {
        return;
    }
    // SAFETY: each value is null or a part of the input of its length, the nested one two attributes that are there.
    if let Ok(template) = unsafe { pointer::template(attributes.as_ptr(), attributes.len() as CK_ULONG) } {
        let stored = Attributes::decode(&template.encode()).map(|read| read.encode().to_vec());
        assert!(stored.is_ok_and(|stored| stored == *template.encode()), "a template changed by being stored");
    }
}

/// The parameter of a mechanism, and where it is accepted an encryption and a signature with it.
pub(crate) fn parameters(bytes: &[u8]) {
    let mut rest = bytes;
    let table = crypto::mechanisms();
    let Some(info) = table.get(usize::from(byte(&mut rest)).checked_rem(table.len()).unwrap_or(0)) else { return };
    let mut gcm = CK_GCM_PARAMS::default();
    let mut oaep = CK_RSA_PKCS_OAEP_PARAMS::default();
    let mut ecdh = CK_ECDH1_DERIVE_PARAMS::default();
    let (parameter, length): (*mut CK_BYTE, usize) = match info.params {
        ParamKind::Gcm => {
            (gcm.pIv, gcm.ulIvLen, _) = field(&mut rest);
            (gcm.pAAD, gcm.ulAADLen, _) = field(&mut rest);
            (gcm.ulIvBits, gcm.ulTagBits) = (word(&mut rest), byte(&mut rest).into());
            ((&raw mut gcm).cast(), size_of_val(&gcm))
        }
        ParamKind::Oaep => {
            (oaep.hashAlg, oaep.mgf, oaep.source) = (word(&mut rest), word(&mut rest), byte(&mut rest).into());
            let source = field(&mut rest);
            (oaep.pSourceData, oaep.ulSourceDataLen) = (source.0.cast(), source.1);
            ((&raw mut oaep).cast(), size_of_val(&oaep))
        }
        ParamKind::Ecdh => {
            ecdh.kdf = byte(&mut rest).into();
            (ecdh.pSharedData, ecdh.ulSharedDataLen, _) = field(&mut rest);
            (ecdh.pPublicData, ecdh.ulPublicDataLen, _) = field(&mut rest);
            ((&raw mut ecdh).cast(), size_of_val(&ecdh))
        }
        // Structures without pointers: any bytes will do.
        ParamKind::None
        | ParamKind::Iv(_)
        | ParamKind::OptionalIv(_)
        | ParamKind::Ctr
        | ParamKind::Pss
        | ParamKind::MacLength
        | ParamKind::Extract
        | ParamKind::OtherKey => {
            let (pointer, length, _) = field(&mut rest);
            (pointer, usize::try_from(length).unwrap_or(0))
        }
        _ => return,
    };
    let raw =
        CK_MECHANISM { mechanism: info.mechanism, pParameter: parameter.cast(), ulParameterLen: length as CK_ULONG };
    // SAFETY: the parameter is the mechanism's structure, whose fields are null or parts of the input, or bytes of a kind
    // that holds no pointer.
    let Ok(mechanism) = (unsafe { mechanism::read(&raw const raw) }) else { return };
    let key = Key::from_secret(zeroize::Zeroizing::new(vec![7; 32]));
    if info.allows(CKF_ENCRYPT)
        && let Ok(mut operation) = crypto::encryptor(mechanism.number, &mechanism.params, &key)
    {
        let mut output = vec![0; operation.output_bound(rest.len())];
        let _refused = operation.process(rest, &mut output);
    }
    if info.allows(CKF_SIGN)
        && let Ok(mut operation) = crypto::signer(mechanism.number, &mechanism.params, &key)
    {
        let mut output = vec![0; operation.signature_bytes()];
        let _refused = operation.update(rest).and_then(|()| operation.finish(&mut output));
    }
}
