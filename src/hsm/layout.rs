//! How templates and mechanisms lie in memory when a module reads them.
//!
//! Values with their lengths on this side, `CK_…` structures on the other. Only `raw` hands the pointers on; making them is
//! safe, and none outlives the value it points into.

use std::{ffi::c_void, ptr};

use cryptoki_sys::*;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::process::secret_bytes;

/// One attribute of a template.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Attribute {
    kind: CK_ATTRIBUTE_TYPE,
    value: AttributeValue,
}

#[derive(Clone, Serialize, Deserialize)]
enum AttributeValue {
    Flag(CK_BBOOL),
    Number(CK_ULONG),
    Bytes(#[serde(with = "secret_bytes")] Zeroizing<Vec<u8>>),
}

impl Attribute {
    /// A truth value.
    pub(super) const fn flag(kind: CK_ATTRIBUTE_TYPE, value: bool) -> Self {
        Self { kind, value: AttributeValue::Flag(if value { CK_TRUE } else { CK_FALSE }) }
    }

    /// A number.
    pub(super) const fn number(kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> Self {
        Self { kind, value: AttributeValue::Number(value) }
    }

    /// A byte string.
    pub(super) fn bytes(kind: CK_ATTRIBUTE_TYPE, value: impl Into<Vec<u8>>) -> Self {
        Self { kind, value: AttributeValue::Bytes(Zeroizing::new(value.into())) }
    }

    /// Its number.
    pub(super) const fn kind(&self) -> CK_ATTRIBUTE_TYPE {
        self.kind
    }

    /// Whether it is a truth value that is set.
    pub(super) const fn is_set(&self) -> bool {
        matches!(self.value, AttributeValue::Flag(CK_TRUE))
    }

    /// Whether both are the same attribute with the same byte string.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (AttributeValue::Bytes(one), AttributeValue::Bytes(two)) => self.kind == other.kind && one == two,
            _ => false,
        }
    }

    pub(super) fn raw(&self) -> CK_ATTRIBUTE {
        let (pointer, length): (*const c_void, usize) = match &self.value {
            AttributeValue::Flag(value) => (ptr::from_ref(value).cast(), size_of::<CK_BBOOL>()),
            AttributeValue::Number(value) => (ptr::from_ref(value).cast(), size_of::<CK_ULONG>()),
            AttributeValue::Bytes(value) => (value.as_ptr().cast(), value.len()),
        };
        CK_ATTRIBUTE { type_: self.kind, pValue: pointer.cast_mut(), ulValueLen: length as CK_ULONG }
    }
}

/// The template as the module reads it; it points into `attributes`.
pub(super) fn raw_template(attributes: &[Attribute]) -> Vec<CK_ATTRIBUTE> {
    attributes.iter().map(Attribute::raw).collect()
}

/// A mechanism and its parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mechanism {
    /// `CKM_…`.
    pub(super) code: CK_MECHANISM_TYPE,
    /// Its parameter.
    pub(super) parameter: Parameter,
}

impl Mechanism {
    /// A mechanism without parameter.
    pub(super) const fn plain(code: CK_MECHANISM_TYPE) -> Self {
        Self { code, parameter: Parameter::None }
    }

    /// A mechanism whose parameter is an initialisation vector.
    pub(super) fn with_iv(code: CK_MECHANISM_TYPE, iv: &[u8]) -> Self {
        Self { code, parameter: Parameter::Iv(iv.to_vec()) }
    }
}

/// The parameters that this client uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Parameter {
    /// None: a null pointer.
    None,
    /// An initialisation vector.
    Iv(Vec<u8>),
    /// `CK_AES_CTR_PARAMS`.
    Counter {
        /// How many bits count.
        bits: u32,
        /// The first counter block.
        block: [u8; 16],
    },
    /// `CK_GCM_PARAMS`.
    Gcm {
        /// The nonce.
        iv: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// Length of the tag.
        tag_bits: u32,
        /// The older layout without `ulIvBits` (contract §8).
        short: bool,
    },
    /// `CK_CCM_PARAMS`.
    Ccm {
        /// Length of the plain data.
        data_bytes: usize,
        /// The nonce.
        nonce: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// Length of the tag.
        tag_bytes: u32,
    },
    /// `CK_HKDF_PARAMS`: extract and expand, with the salt as data.
    Hkdf {
        /// `CKM_SHA…`.
        hash: CK_MECHANISM_TYPE,
        /// The salt; none when empty.
        salt: Vec<u8>,
        /// The context.
        info: Vec<u8>,
    },
    /// `CK_KEY_DERIVATION_STRING_DATA`.
    Text(Vec<u8>),
    /// `CK_CHACHA20_PARAMS`.
    ChaCha20 {
        /// The first block.
        counter: u32,
        /// The nonce: 8 bytes beside a counter of 64 bits, or 12 beside one of 32.
        nonce: Vec<u8>,
    },
    /// `CK_SALSA20_CHACHA20_POLY1305_PARAMS`.
    ChaCha20Poly1305 {
        /// The nonce.
        nonce: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
    },
    /// `CK_RSA_PKCS_OAEP_PARAMS`.
    Oaep {
        /// `CKM_SHA…`.
        hash: CK_MECHANISM_TYPE,
        /// `CKG_MGF1_…`.
        mgf: CK_RSA_PKCS_MGF_TYPE,
        /// The label.
        label: Vec<u8>,
    },
    /// `CK_ECDH1_DERIVE_PARAMS` without a KDF.
    Ecdh {
        /// The other side's point.
        point: Vec<u8>,
    },
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss {
        /// `CKM_SHA…`.
        hash: CK_MECHANISM_TYPE,
        /// `CKG_MGF1_…`.
        mgf: CK_RSA_PKCS_MGF_TYPE,
        /// Length of the salt.
        salt: u32,
    },
}

/// `CK_GCM_PARAMS` as it was before `ulIvBits`.
#[repr(C)]
struct ShortGcm {
    iv: *mut u8,
    iv_len: CK_ULONG,
    aad: *mut u8,
    aad_len: CK_ULONG,
    tag_bits: CK_ULONG,
}

/// Runs `call` with the mechanism as the module reads it. Buffers are copies: some modules write an IV of their own there.
pub(super) fn with_mechanism<T>(mechanism: &Mechanism, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
    with_mechanism_back(mechanism, call).0
}

/// As [`with_mechanism`]; and the IV that the module wrote in the place of a given one for GCM.
pub(super) fn with_mechanism_back<T>(
    mechanism: &Mechanism,
    call: impl FnOnce(*mut CK_MECHANISM) -> T,
) -> (T, Option<Vec<u8>>) {
    fn run<P, T>(code: CK_MECHANISM_TYPE, parameter: &mut P, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
        let mut raw = CK_MECHANISM {
            mechanism: code,
            pParameter: ptr::from_mut(parameter).cast(),
            ulParameterLen: size_of::<P>() as CK_ULONG,
        };
        call(&raw mut raw)
    }
    fn pointer(bytes: &mut [u8]) -> *mut u8 {
        if bytes.is_empty() { ptr::null_mut() } else { bytes.as_mut_ptr() }
    }
    let code = mechanism.code;
    let mut written = None;
    let done = match mechanism.parameter.clone() {
        Parameter::None => {
            let mut raw = CK_MECHANISM { mechanism: code, pParameter: ptr::null_mut(), ulParameterLen: 0 };
            call(&raw mut raw)
        }
        Parameter::Iv(mut iv) => {
            let mut raw = CK_MECHANISM {
                mechanism: code,
                pParameter: pointer(&mut iv).cast(),
                ulParameterLen: iv.len() as CK_ULONG,
            };
            call(&raw mut raw)
        }
        Parameter::Counter { bits, block } => {
            run(code, &mut CK_AES_CTR_PARAMS { ulCounterBits: bits.into(), cb: block }, call)
        }
        Parameter::Gcm { mut iv, mut aad, tag_bits, short: false } => {
            let mut parameters = CK_GCM_PARAMS {
                pIv: pointer(&mut iv),
                ulIvLen: iv.len() as CK_ULONG,
                ulIvBits: 8 * iv.len() as CK_ULONG,
                pAAD: pointer(&mut aad),
                ulAADLen: aad.len() as CK_ULONG,
                ulTagBits: tag_bits.into(),
            };
            let done = run(code, &mut parameters, call);
            written = Some(iv);
            done
        }
        Parameter::Gcm { mut iv, mut aad, tag_bits, short: true } => {
            let mut parameters = ShortGcm {
                iv: pointer(&mut iv),
                iv_len: iv.len() as CK_ULONG,
                aad: pointer(&mut aad),
                aad_len: aad.len() as CK_ULONG,
                tag_bits: tag_bits.into(),
            };
            let done = run(code, &mut parameters, call);
            written = Some(iv);
            done
        }
        Parameter::Ccm { data_bytes, mut nonce, mut aad, tag_bytes } => {
            let mut parameters = CK_CCM_PARAMS {
                ulDataLen: data_bytes as CK_ULONG,
                pNonce: pointer(&mut nonce),
                ulNonceLen: nonce.len() as CK_ULONG,
                pAAD: pointer(&mut aad),
                ulAADLen: aad.len() as CK_ULONG,
                ulMACLen: tag_bytes.into(),
            };
            run(code, &mut parameters, call)
        }
        Parameter::Hkdf { hash, mut salt, mut info } => {
            let mut parameters = CK_HKDF_PARAMS {
                bExtract: CK_TRUE,
                bExpand: CK_TRUE,
                prfHashMechanism: hash,
                ulSaltType: if salt.is_empty() { CKF_HKDF_SALT_NULL } else { CKF_HKDF_SALT_DATA },
                pSalt: pointer(&mut salt),
                ulSaltLen: salt.len() as CK_ULONG,
                hSaltKey: CK_INVALID_HANDLE,
                pInfo: pointer(&mut info),
                ulInfoLen: info.len() as CK_ULONG,
            };
            run(code, &mut parameters, call)
        }
        Parameter::Text(mut text) => {
            let mut parameters =
                CK_KEY_DERIVATION_STRING_DATA { pData: pointer(&mut text), ulLen: text.len() as CK_ULONG };
            run(code, &mut parameters, call)
        }
        Parameter::ChaCha20 { counter, mut nonce } => {
            let bits: CK_ULONG = if nonce.len() == 8 { 64 } else { 32 };
            // The words of the cipher's state are little-endian.
            let mut counter = u64::from(counter).to_le_bytes();
            let mut parameters = CK_CHACHA20_PARAMS {
                pBlockCounter: counter.as_mut_ptr(),
                blockCounterBits: bits,
                pNonce: pointer(&mut nonce),
                ulNonceBits: 8 * nonce.len() as CK_ULONG,
            };
            run(code, &mut parameters, call)
        }
        Parameter::ChaCha20Poly1305 { mut nonce, mut aad } => {
            let mut parameters = CK_SALSA20_CHACHA20_POLY1305_PARAMS {
                pNonce: pointer(&mut nonce),
                ulNonceLen: nonce.len() as CK_ULONG,
                pAAD: pointer(&mut aad),
                ulAADLen: aad.len() as CK_ULONG,
            };
            run(code, &mut parameters, call)
        }
        Parameter::Oaep { hash, mgf, mut label } => {
            let mut parameters = CK_RSA_PKCS_OAEP_PARAMS {
                hashAlg: hash,
                mgf,
                source: CKZ_DATA_SPECIFIED,
                pSourceData: pointer(&mut label).cast(),
                ulSourceDataLen: label.len() as CK_ULONG,
            };
            run(code, &mut parameters, call)
        }
        Parameter::Ecdh { mut point } => {
            let mut parameters = CK_ECDH1_DERIVE_PARAMS {
                kdf: CKD_NULL,
                ulSharedDataLen: 0,
                pSharedData: ptr::null_mut(),
                ulPublicDataLen: point.len() as CK_ULONG,
                pPublicData: pointer(&mut point),
            };
            run(code, &mut parameters, call)
        }
        Parameter::Pss { hash, mgf, salt } => {
            run(code, &mut CK_RSA_PKCS_PSS_PARAMS { hashAlg: hash, mgf, sLen: salt.into() }, call)
        }
    };
    let is_given = |iv: &Vec<u8>| matches!(&mechanism.parameter, Parameter::Gcm { iv: given, .. } if given == iv);
    (done, written.filter(|iv| !is_given(iv)))
}
