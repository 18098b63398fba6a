//! Keys of ML-KEM and ML-DSA: raw, with their seed where it is known, and in DER.
//!
//! The DER forms are those of RFC 9935 (ML-KEM) and RFC 9881 (ML-DSA): no algorithm parameters, and a private key that is a
//! seed, an expanded key, or both. A key that came without its seed is written expanded.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::{
    error::{CryptoError, Result},
    ffi::{
        lattice::{DSA_44, DSA_65, DSA_87, DSA_SEED, Dsa, KEM_512, KEM_768, KEM_1024, KEM_SEED, Kem},
        random,
    },
};

/// A parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterSet {
    /// ML-KEM-512.
    MlKem512,
    /// ML-KEM-768.
    MlKem768,
    /// ML-KEM-1024.
    MlKem1024,
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
}

/// The functions of a set.
#[derive(Clone, Copy)]
enum Functions {
    Kem(&'static Kem),
    Dsa(&'static Dsa),
}

/// Every set.
const SETS: [ParameterSet; 6] = [
    ParameterSet::MlKem512,
    ParameterSet::MlKem768,
    ParameterSet::MlKem1024,
    ParameterSet::MlDsa44,
    ParameterSet::MlDsa65,
    ParameterSet::MlDsa87,
];

impl ParameterSet {
    /// The ML-KEM set of a `CKA_PARAMETER_SET`.
    pub fn kem(number: u64) -> Option<Self> {
        SETS.into_iter().find(|set| set.is_kem() && set.number() == number)
    }

    /// The ML-DSA set of a `CKA_PARAMETER_SET`.
    pub fn dsa(number: u64) -> Option<Self> {
        SETS.into_iter().find(|set| !set.is_kem() && set.number() == number)
    }

    /// Its `CKA_PARAMETER_SET`.
    pub const fn number(self) -> u64 {
        self.row().0
    }

    /// Whether it is one of ML-KEM.
    pub const fn is_kem(self) -> bool {
        matches!(self, Self::MlKem512 | Self::MlKem768 | Self::MlKem1024)
    }

    /// Its `CKP_…` number and the last part of its OID under 2.16.840.1.101.3.4.
    const fn row(self) -> (u64, [u8; 2]) {
        match self {
            Self::MlKem512 => (cryptoki_sys::CKP_ML_KEM_512, [4, 1]),
            Self::MlKem768 => (cryptoki_sys::CKP_ML_KEM_768, [4, 2]),
            Self::MlKem1024 => (cryptoki_sys::CKP_ML_KEM_1024, [4, 3]),
            Self::MlDsa44 => (cryptoki_sys::CKP_ML_DSA_44, [3, 17]),
            Self::MlDsa65 => (cryptoki_sys::CKP_ML_DSA_65, [3, 18]),
            Self::MlDsa87 => (cryptoki_sys::CKP_ML_DSA_87, [3, 19]),
        }
    }

    const fn functions(self) -> Functions {
        match self {
            Self::MlKem512 => Functions::Kem(&KEM_512),
            Self::MlKem768 => Functions::Kem(&KEM_768),
            Self::MlKem1024 => Functions::Kem(&KEM_1024),
            Self::MlDsa44 => Functions::Dsa(&DSA_44),
            Self::MlDsa65 => Functions::Dsa(&DSA_65),
            Self::MlDsa87 => Functions::Dsa(&DSA_87),
        }
    }

    fn public_bytes(self) -> usize {
        match self.functions() {
            Functions::Kem(kem) => kem.sizes.public,
            Functions::Dsa(dsa) => dsa.sizes.public,
        }
    }

    fn private_bytes(self) -> usize {
        match self.functions() {
            Functions::Kem(kem) => kem.sizes.private,
            Functions::Dsa(dsa) => dsa.sizes.private,
        }
    }

    const fn seed_bytes(self) -> usize {
        if self.is_kem() { KEM_SEED } else { DSA_SEED }
    }

    fn oid(self) -> [u8; 9] {
        let [arc, last] = self.row().1;
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, arc, last]
    }

    fn from_oid(oid: &[u8]) -> Option<Self> {
        SETS.into_iter().find(|set| set.oid() == oid)
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct LatticePublicKey {
    set: ParameterSet,
    bytes: Arc<Vec<u8>>,
}

/// A private key; the public one is contained.
#[derive(Clone)]
pub struct LatticePrivateKey(Arc<Private>);

struct Private {
    public: LatticePublicKey,
    value: Zeroizing<Vec<u8>>,
    seed: Option<Zeroizing<Vec<u8>>>,
}

impl LatticePublicKey {
    /// Takes a raw public key.
    pub fn new(set: ParameterSet, bytes: &[u8]) -> Result<Self> {
        if bytes.len() != set.public_bytes() {
            return Err(CryptoError::AttributeValueInvalid);
        }
        if let Functions::Kem(kem) = set.functions() {
            kem.check_public(bytes).map_err(|_not_reduced| CryptoError::AttributeValueInvalid)?;
        }
        Ok(Self { set, bytes: Arc::new(bytes.to_vec()) })
    }

    /// Its parameter set.
    pub const fn set(&self) -> ParameterSet {
        self.set
    }

    /// `CKA_VALUE`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SubjectPublicKeyInfo.
    pub(super) fn to_spki(&self) -> Vec<u8> {
        let mut bits = vec![0];
        bits.extend_from_slice(&self.bytes);
        der(SEQUENCE, &[algorithm(self.set), der(BIT_STRING, &bits)].concat())
    }

    /// Reads a SubjectPublicKeyInfo of one of our sets; nothing when it is of another algorithm.
    pub(super) fn from_spki(spki: &[u8]) -> Option<Result<Self>> {
        let (content, []) = take(spki, SEQUENCE)? else { return None };
        let (set, rest) = take_algorithm(content)?;
        let key = || {
            let (bits, rest) = take(rest, BIT_STRING)?;
            let [0, key @ ..] = bits else { return None };
            rest.is_empty().then_some(key)
        };
        Some(key().ok_or(CryptoError::AttributeValueInvalid).and_then(|key| Self::new(set, key)))
    }

    /// Makes a shared secret and its ciphertext.
    pub fn encapsulate(&self) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        match self.set.functions() {
            Functions::Kem(kem) => kem.encapsulate(&self.bytes),
            Functions::Dsa(_) => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    /// Length of a ciphertext.
    pub fn ciphertext_bytes(&self) -> Result<usize> {
        match self.set.functions() {
            Functions::Kem(kem) => Ok(kem.sizes.ciphertext),
            Functions::Dsa(_) => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    pub(in crate::crypto) fn dsa(&self) -> Result<&'static Dsa> {
        match self.set.functions() {
            Functions::Dsa(dsa) => Ok(dsa),
            Functions::Kem(_) => Err(CryptoError::KeyTypeInconsistent),
        }
    }
}

impl LatticePrivateKey {
    /// Makes a new key.
    pub fn generate(set: ParameterSet) -> Result<Self> {
        let mut seed = Zeroizing::new(vec![0; set.seed_bytes()]);
        random::fill(&mut seed)?;
        Self::from_seed(set, &seed)
    }

    /// The key of a seed (`CKA_SEED`).
    pub fn from_seed(set: ParameterSet, seed: &[u8]) -> Result<Self> {
        let wrong = |_length| CryptoError::AttributeValueInvalid;
        let (public, value) = match set.functions() {
            Functions::Kem(kem) => kem.keypair(seed.try_into().map_err(wrong)?)?,
            Functions::Dsa(dsa) => dsa.keypair(seed.try_into().map_err(wrong)?)?,
        };
        let public = LatticePublicKey { set, bytes: Arc::new(public) };
        Ok(Self(Arc::new(Private { public, value, seed: Some(Zeroizing::new(seed.to_vec())) })))
    }

    /// An expanded key (`CKA_VALUE`), and its seed if that is known; the two must belong together.
    pub fn new(set: ParameterSet, value: &[u8], seed: Option<&[u8]>) -> Result<Self> {
        if let Some(seed) = seed {
            let key = Self::from_seed(set, seed)?;
            return if bool::from(key.0.value.as_slice().ct_eq(value)) {
                Ok(key)
            } else {
                Err(CryptoError::AttributeValueInvalid)
            };
        }
        if value.len() != set.private_bytes() {
            return Err(CryptoError::AttributeValueInvalid);
        }
        let public = match set.functions() {
            Functions::Dsa(dsa) => dsa.public_of(value),
            Functions::Kem(kem) => kem.check_private(value).and_then(|()| {
                // FIPS 203 algorithm 16: the key for decryption, the public key, its hash, the rejection value.
                let start = value.len().checked_sub(kem.sizes.public + 64).ok_or(CryptoError::GeneralError)?;
                value.get(start..start + kem.sizes.public).map(<[u8]>::to_vec).ok_or(CryptoError::GeneralError)
            }),
        }
        .map_err(|_contradiction| CryptoError::AttributeValueInvalid)?;
        let public = LatticePublicKey::new(set, &public)?;
        Ok(Self(Arc::new(Private { public, value: Zeroizing::new(value.to_vec()), seed: None })))
    }

    /// Its parameter set.
    pub fn set(&self) -> ParameterSet {
        self.0.public.set
    }

    /// `CKA_VALUE`: the expanded key.
    pub fn value(&self) -> &[u8] {
        &self.0.value
    }

    /// `CKA_SEED`, where it is known.
    pub fn seed(&self) -> Option<&[u8]> {
        self.0.seed.as_ref().map(|seed| seed.as_slice())
    }

    /// The public half.
    pub fn public(&self) -> &LatticePublicKey {
        &self.0.public
    }

    /// Recovers the shared secret of a ciphertext.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match self.set().functions() {
            Functions::Kem(kem) if ciphertext.len() != kem.sizes.ciphertext => Err(CryptoError::WrappedKeyLenRange),
            Functions::Kem(kem) => kem.decapsulate(&self.0.value, ciphertext),
            Functions::Dsa(_) => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    /// PKCS#8 PrivateKeyInfo, by the seed where it is known.
    pub(super) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let content = Zeroizing::new(match self.seed() {
            Some(seed) => der(SEED, seed),
            None => der(OCTET_STRING, self.value()),
        });
        let key = Zeroizing::new(der(OCTET_STRING, &content));
        let mut body = Zeroizing::new(Vec::with_capacity(key.len() + 64));
        body.extend_from_slice(&der(INTEGER, &[0]));
        body.extend_from_slice(&algorithm(self.set()));
        body.extend_from_slice(&key);
        Zeroizing::new(der(SEQUENCE, &body))
    }

    /// Reads a PKCS#8 PrivateKeyInfo of one of our sets; nothing when it is of another algorithm.
    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Option<Result<Self>> {
        let (content, []) = take(pkcs8, SEQUENCE)? else { return None };
        let (_version, rest) = take(content, INTEGER)?;
        let (set, rest) = take_algorithm(rest)?;
        let key = || {
            let (key, _attributes) = take(rest, OCTET_STRING)?;
            if let Some((seed, [])) = take(key, SEED) {
                return Some(Self::from_seed(set, seed));
            }
            if let Some((value, [])) = take(key, OCTET_STRING) {
                return Some(Self::new(set, value, None));
            }
            let (both, []) = take(key, SEQUENCE)? else { return None };
            let (seed, rest) = take(both, OCTET_STRING)?;
            let (value, []) = take(rest, OCTET_STRING)? else { return None };
            Some(Self::new(set, value, Some(seed)))
        };
        Some(key().unwrap_or(Err(CryptoError::AttributeValueInvalid)))
    }
}

impl std::fmt::Debug for LatticePublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatticePublicKey").field("set", &self.set).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LatticePrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatticePrivateKey").field("set", &self.set()).finish_non_exhaustive()
    }
}

pub(super) const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0] IMPLICIT OCTET STRING`.
const SEED: u8 = 0x80;

/// A DER element; lengths of our keys fit into two bytes.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let mut element = match content.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    // In one allocation, so that no copy of a key stays behind.
    let mut whole = Vec::with_capacity(element.len() + content.len());
    whole.append(&mut element);
    whole.extend_from_slice(content);
    whole
}

fn algorithm(set: ParameterSet) -> Vec<u8> {
    der(SEQUENCE, &der(OID, &set.oid()))
}

/// The content of the first element, if it has that tag, and what follows it.
pub(super) fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length)).flatten()
}

fn take_algorithm(bytes: &[u8]) -> Option<(ParameterSet, &[u8])> {
    let (algorithm, rest) = take(bytes, SEQUENCE)?;
    let (oid, []) = take(algorithm, OID)? else { return None };
    Some((ParameterSet::from_oid(oid)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_found_by_its_numbers_and_reads_back_its_encodings() {
        for set in &SETS {
            let number = set.number();
            let found = if set.is_kem() { ParameterSet::kem(number) } else { ParameterSet::dsa(number) };
            assert_eq!(found, Some(*set));
            let key = LatticePrivateKey::generate(*set).unwrap();
            assert_eq!(key.value().len(), set.private_bytes());
            let spki = key.public().to_spki();
            assert!(LatticePublicKey::from_spki(&spki).unwrap().unwrap() == *key.public());
            let expanded = LatticePrivateKey::new(*set, key.value(), None).unwrap();
            assert!(expanded.public() == key.public());
            for key in [&key, &expanded] {
                let read = LatticePrivateKey::from_pkcs8(&key.to_pkcs8()).unwrap().unwrap();
                assert_eq!((read.value(), read.seed()), (key.value(), key.seed()));
            }
        }
    }

    #[test]
    fn keys_that_contradict_themselves_are_refused() {
        for set in &SETS {
            let [one, other] = [(); 2].map(|()| LatticePrivateKey::generate(*set).unwrap());
            assert!(LatticePrivateKey::new(*set, one.value(), other.seed()).is_err());
            assert!(LatticePrivateKey::new(*set, &one.value()[1..], None).is_err());
            assert!(LatticePublicKey::new(*set, &one.public().bytes()[1..]).is_err());
        }
        let kem = LatticePrivateKey::generate(ParameterSet::MlKem768).unwrap();
        let mut value = kem.value().to_vec();
        value[1200] ^= 1;
        assert!(LatticePrivateKey::new(ParameterSet::MlKem768, &value, None).is_err());
    }
}
