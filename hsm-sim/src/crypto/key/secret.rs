//! Secret keys and what is prepared from them.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Prepared;
use crate::crypto::{
    error::{CryptoError, Result},
    ffi::{
        aead::{Aead, AeadKey},
        cipher::{Cipher, CipherContext},
        keywrap::WrapKey,
        locked::Locked,
        mac::{Cmac, Hmac},
    },
    operation::Direction,
    params::Hash,
};

/// The bytes of a secret key, and the contexts prepared from them.
#[derive(Clone)]
#[expect(clippy::redundant_allocation, reason = "the outer count is one session's, the inner one all sessions'")]
pub struct SecretKey(Arc<Arc<Shared>>);

struct Shared {
    value: Locked,
    templates: [Prepared<CipherContext>; TEMPLATES],
    gcm: Prepared<AeadKey>,
    chacha20: Prepared<AeadKey>,
    /// The two AES keys of XTS.
    halves: Prepared<[SecretKey; 2]>,
    wrap: Prepared<WrapKey>,
    unwrap: Prepared<WrapKey>,
    cmac: Prepared<Cmac>,
    des3_cmac: Prepared<Cmac>,
    /// Of the first hash it was asked for: a key is hardly ever used with two.
    hmac: Prepared<(Hash, Hmac)>,
}

impl SecretKey {
    /// Takes over a value.
    pub fn new(value: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(Arc::new(Shared {
            value: Locked::new(&value),
            templates: [const { Prepared::new() }; TEMPLATES],
            gcm: Prepared::new(),
            chacha20: Prepared::new(),
            halves: Prepared::new(),
            wrap: Prepared::new(),
            unwrap: Prepared::new(),
            cmac: Prepared::new(),
            des3_cmac: Prepared::new(),
            hmac: Prepared::new(),
        })))
    }

    /// The same key with a count of users of its own.
    pub(super) fn apart(&self) -> Self {
        Self(Arc::new(Arc::clone(&self.0)))
    }

    /// The value, for `CKA_VALUE` of an extractable key and for the store.
    pub fn value(&self) -> &[u8] {
        &self.0.value
    }

    /// Length of the value in bytes.
    pub fn len(&self) -> usize {
        self.0.value.len()
    }

    /// Whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.0.value.is_empty()
    }

    /// The template that operations of a cipher start from.
    pub(in crate::crypto) fn template(&self, cipher: Cipher, direction: Direction) -> Result<&CipherContext> {
        let slot = self.0.templates.get(slot(cipher, direction)).ok_or(CryptoError::GeneralError)?;
        slot.get_or_try(|| match cipher {
            Cipher::Des3Ecb | Cipher::Des3Cbc => CipherContext::keyed(cipher, &self.triple_des()?, direction),
            _ => CipherContext::keyed(cipher, &self.0.value, direction),
        })
    }

    pub(in crate::crypto) fn gcm(&self) -> Result<&AeadKey> {
        self.0.gcm.get_or_try(|| AeadKey::new(Aead::AesGcm, &self.0.value))
    }

    pub(in crate::crypto) fn chacha20_poly1305(&self) -> Result<&AeadKey> {
        self.0.chacha20.get_or_try(|| AeadKey::new(Aead::ChaCha20Poly1305, &self.0.value))
    }

    /// The data key and the tweak key of XTS, which must differ (FIPS 140 IG C.I).
    pub(in crate::crypto) fn halves(&self) -> Result<&[Self; 2]> {
        self.0.halves.get_or_try(|| {
            if self.len() != 32 && self.len() != 64 {
                return Err(CryptoError::KeySizeRange);
            }
            let (data, tweak) = self.0.value.split_at(self.len() / 2);
            if bool::from(data.ct_eq(tweak)) {
                return Err(CryptoError::AttributeValueInvalid);
            }
            Ok([data, tweak].map(|half| Self::new(Zeroizing::new(half.to_vec()))))
        })
    }

    pub(in crate::crypto) fn wrap_key(&self, direction: Direction) -> Result<&WrapKey> {
        let slot = match direction {
            Direction::Encrypt => &self.0.wrap,
            Direction::Decrypt => &self.0.unwrap,
        };
        slot.get_or_try(|| WrapKey::new(&self.0.value, direction))
    }

    pub(in crate::crypto) fn cmac(&self) -> Result<&Cmac> {
        self.0.cmac.get_or_try(|| Cmac::aes(&self.0.value))
    }

    pub(in crate::crypto) fn des3_cmac(&self) -> Result<&Cmac> {
        self.0.des3_cmac.get_or_try(|| Cmac::des3(&self.triple_des()?))
    }

    /// A started HMAC.
    pub(in crate::crypto) fn hmac(&self, hash: Hash) -> Result<Hmac> {
        if self.is_empty() {
            return Err(CryptoError::KeySizeRange);
        }
        let (of, keyed) = self.0.hmac.get_or_try(|| Ok((hash, Hmac::keyed(hash, &self.0.value)?)))?;
        if *of == hash { keyed.start() } else { Hmac::keyed(hash, &self.0.value) }
    }

    /// Three DES keys; of a two-key value the first is used again as the third (SP 800-67 §3.2, keying option 2).
    fn triple_des(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut value = Zeroizing::new(Vec::with_capacity(24));
        value.extend_from_slice(&self.0.value);
        if value.len() == 16 {
            value.extend_from_within(..8);
        }
        if value.len() == 24 { Ok(value) } else { Err(CryptoError::KeySizeRange) }
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.value().ct_eq(other.value()))
    }
}

impl Eq for SecretKey {}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// Only ECB and CBC expand the key differently by direction; the other modes run the block cipher forwards.
const fn slot(cipher: Cipher, direction: Direction) -> usize {
    let backwards = matches!(direction, Direction::Decrypt) as usize;
    match cipher {
        Cipher::AesEcb => backwards,
        Cipher::AesCbc => 2 + backwards,
        Cipher::Des3Ecb => 4 + backwards,
        Cipher::Des3Cbc => 6 + backwards,
        Cipher::AesCtr => 8,
        Cipher::AesCfb128 => 9,
        Cipher::AesOfb => 10,
        Cipher::AesGcm => 11,
        Cipher::AesCcm => 12,
        Cipher::AesCfb8 => 13,
    }
}

const TEMPLATES: usize = 14;
