//! Diffie-Hellman keys (PKCS#11 3.1 §6.4): a prime, a base, and a value in the group they make.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::lattice::{INTEGER, OCTET_STRING, SEQUENCE, der, take};
use crate::crypto::{
    error::{CryptoError, Result},
    ffi::dh,
};

/// A group: the prime and the base, high byte first, without zeros in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhGroup {
    prime: Vec<u8>,
    base: Vec<u8>,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhPublicKey {
    group: DhGroup,
    value: Vec<u8>,
}

/// A private key; the public one is contained.
#[derive(Clone)]
pub struct DhPrivateKey(Arc<Private>);

struct Private {
    value: Zeroizing<Vec<u8>>,
    public: DhPublicKey,
}

impl DhGroup {
    /// Takes `CKA_PRIME` and `CKA_BASE`. Whether the prime is one is not looked at: that takes seconds.
    pub fn new(prime: &[u8], base: &[u8]) -> Result<Self> {
        let group = Self { prime: minimal(prime).to_vec(), base: minimal(base).to_vec() };
        if group.bits() < BITS_MIN || group.bits() > BITS_MAX {
            return Err(CryptoError::KeySizeRange);
        }
        let is_odd = group.prime.last().is_some_and(|byte| byte & 1 == 1);
        // The base is from 2 to the prime less 2: neither 1 nor its negative make a group to hide in.
        if !is_odd || !dh::is_public_value(&group.prime, &group.base, &group.base)? {
            return Err(CryptoError::AttributeValueInvalid);
        }
        Ok(group)
    }

    /// The prime.
    pub fn prime(&self) -> &[u8] {
        &self.prime
    }

    /// The base.
    pub fn base(&self) -> &[u8] {
        &self.base
    }

    /// Bits of the prime.
    pub fn bits(&self) -> u32 {
        bits(&self.prime)
    }

    /// The algorithm of PKCS#3 with this group.
    fn algorithm(&self) -> Vec<u8> {
        let group = [der(INTEGER, &positive(&self.prime)), der(INTEGER, &positive(&self.base))].concat();
        der(SEQUENCE, &[DH_AGREEMENT, &der(SEQUENCE, &group)].concat())
    }

    /// Reads that algorithm, and answers with what is behind it; nothing when it is another.
    fn take_algorithm(content: &[u8]) -> Option<(Result<Self>, &[u8])> {
        let (algorithm, rest) = take(content, SEQUENCE)?;
        let parameters = algorithm.strip_prefix(DH_AGREEMENT)?;
        let read = || {
            let (group, []) = take(parameters, SEQUENCE)? else { return None };
            let (prime, rest) = take(group, INTEGER)?;
            // What may be behind the base is how long private values are to be.
            let (base, _private_bits) = take(rest, INTEGER)?;
            Some(Self::new(prime, base))
        };
        Some((read().unwrap_or(Err(CryptoError::AttributeValueInvalid)), rest))
    }
}

impl DhPublicKey {
    /// Takes a public value (`CKA_VALUE`), which must be one of the group's.
    pub fn new(group: DhGroup, value: &[u8]) -> Result<Self> {
        let value = minimal(value).to_vec();
        if dh::is_public_value(&group.prime, &group.base, &value)? {
            Ok(Self { group, value })
        } else {
            Err(CryptoError::PublicKeyInvalid)
        }
    }

    /// The group.
    pub const fn group(&self) -> &DhGroup {
        &self.group
    }

    /// The public value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    pub(super) fn to_spki(&self) -> Result<Vec<u8>> {
        let key = der(BIT_STRING, &[&[0], der(INTEGER, &positive(&self.value)).as_slice()].concat());
        Ok(der(SEQUENCE, &[self.group.algorithm(), key].concat()))
    }

    pub(super) fn from_spki(spki: &[u8]) -> Option<Result<Self>> {
        let (content, []) = take(spki, SEQUENCE)? else { return None };
        let (group, rest) = DhGroup::take_algorithm(content)?;
        let key = || {
            let (key, []) = take(rest, BIT_STRING)? else { return None };
            let (value, []) = take(key.strip_prefix(&[0])?, INTEGER)? else { return None };
            Some(value)
        };
        Some(group.and_then(|group| Self::new(group, key().ok_or(CryptoError::AttributeValueInvalid)?)))
    }
}

impl DhPrivateKey {
    /// Takes a private value (`CKA_VALUE`) of 1 to the prime less 2, and computes its public one.
    pub fn new(group: DhGroup, value: &[u8]) -> Result<Self> {
        let value = minimal(value);
        let is_below = (value.len(), value) < (group.prime.len(), &group.prime);
        if value.is_empty() || !is_below {
            return Err(CryptoError::AttributeValueInvalid);
        }
        let (private, public) = dh::key_pair(&group.prime, &group.base, Some(value), None)?;
        let public = DhPublicKey::new(group, &public).map_err(|_degenerate| CryptoError::AttributeValueInvalid)?;
        Ok(Self(Arc::new(Private { value: private, public })))
    }

    /// Makes a private value of so many bits, or of as many as the group has.
    pub fn generate(group: &DhGroup, value_bits: Option<u32>) -> Result<Self> {
        if value_bits.is_some_and(|bits| bits < VALUE_BITS_MIN || bits > group.bits()) {
            return Err(CryptoError::AttributeValueInvalid);
        }
        #[cfg(feature = "deterministic")]
        if crate::crypto::deterministic::is_on() {
            let bits = value_bits.unwrap_or(group.bits() - 1).min(group.bits() - 1);
            return Self::new(group.clone(), &crate::crypto::deterministic::dh_value(bits)?);
        }
        let (value, public) = dh::key_pair(&group.prime, &group.base, None, value_bits)?;
        let public = DhPublicKey::new(group.clone(), &public)?;
        Ok(Self(Arc::new(Private { value, public })))
    }

    /// The private value.
    pub fn value(&self) -> &[u8] {
        &self.0.value
    }

    /// Bits of the private value.
    pub fn bits(&self) -> u32 {
        bits(self.value())
    }

    /// The public half.
    pub fn public(&self) -> &DhPublicKey {
        &self.0.public
    }

    /// The shared secret with somebody's public value, as long as the prime.
    pub(in crate::crypto) fn agree(&self, public: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let group = self.public().group();
        dh::agree(&group.prime, &group.base, self.value(), public)
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>> {
        let value = Zeroizing::new(der(INTEGER, &Zeroizing::new(positive(self.value()))));
        let key = Zeroizing::new(der(OCTET_STRING, &value));
        let body = Zeroizing::new([der(INTEGER, &[0]).as_slice(), &self.public().group().algorithm(), &key].concat());
        Ok(Zeroizing::new(der(SEQUENCE, &body)))
    }

    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Option<Result<Self>> {
        let (content, []) = take(pkcs8, SEQUENCE)? else { return None };
        let (_version, rest) = take(content, INTEGER)?;
        let (group, rest) = DhGroup::take_algorithm(rest)?;
        let key = || {
            let (key, _attributes) = take(rest, OCTET_STRING)?;
            let (value, []) = take(key, INTEGER)? else { return None };
            Some(value)
        };
        Some(group.and_then(|group| Self::new(group, key().ok_or(CryptoError::AttributeValueInvalid)?)))
    }
}

impl std::fmt::Debug for DhPrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DhPrivateKey").field("bits", &self.0.public.group.bits()).finish_non_exhaustive()
    }
}

/// A number without zeros in front.
fn minimal(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number {
        number = rest;
    }
    number
}

/// A number as DER has positive ones: with a zero in front where the first bit would be a sign.
fn positive(number: &[u8]) -> Vec<u8> {
    match number {
        [first, ..] if *first < 0x80 => number.to_vec(),
        _ => [&[0], number].concat(),
    }
}

/// Bits of a number without zeros in front.
fn bits(number: &[u8]) -> u32 {
    let bytes = u32::try_from(number.len()).unwrap_or(u32::MAX / 8);
    number.first().map_or(0, |first| bytes * 8 - first.leading_zeros())
}

/// dhKeyAgreement of PKCS#3.
const DH_AGREEMENT: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x03, 0x01];
const BIT_STRING: u8 = 0x03;

/// Smallest and largest primes, in bits; short ones are for callers of what is old, who are the only ones anyway.
pub(in crate::crypto) const BITS_MIN: u32 = 512;
pub(in crate::crypto) const BITS_MAX: u32 = 4096;
/// Less can be guessed by trying (SP 800-56A §5.5.1.1, doubled security strength of the smallest group).
const VALUE_BITS_MIN: u32 = 160;
