//! The few primitives that sealing needs, on the safe interface of the crypto library.
//!
//! Kept apart from `crypto`, which is about PKCS#11 mechanisms: what the disk needs must not change when a profile hides a
//! mechanism.

use std::num::NonZeroU32;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac, pbkdf2,
};
use zeroize::Zeroizing;

use super::{Result, StoreError};
use crate::crypto::{self, CryptoError};

const FAILED: StoreError = StoreError::Crypto(CryptoError::GeneralError);

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA-256 to 32 bytes.
pub(super) fn hkdf_sha256(key: &[u8], salt: &[u8], info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>> {
    let mut derived = Zeroizing::new([0; 32]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key);
    let expanded = extracted.expand(info, Length).map_err(|_unspecified| FAILED)?;
    expanded.fill(derived.as_mut_slice()).map_err(|_unspecified| FAILED)?;
    Ok(derived)
}

/// PBKDF2-HMAC-SHA-512 to 32 bytes.
pub(super) fn pbkdf2_sha512(password: &[u8], salt: &[u8], rounds: u32) -> Result<Zeroizing<[u8; 32]>> {
    let rounds = NonZeroU32::new(rounds).ok_or(StoreError::Corrupt("a PIN record of no rounds"))?;
    let mut derived = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, salt, password, derived.as_mut_slice());
    Ok(derived)
}

/// HMAC-SHA-256, cut to 16 bytes.
pub(super) fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut cut = [0; 16];
    cut.iter_mut().zip(tag.as_ref()).for_each(|(cut, byte)| *cut = *byte);
    cut
}

/// Encrypts with AES-256-GCM under a random nonce: nonce, ciphertext, tag.
pub(super) fn seal(key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    crypto::random(&mut nonce)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let (_, body) = sealed.split_at_mut(NONCE_LEN);
    let tag = gcm(key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
        .map_err(|_unspecified| FAILED)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Decrypts what [`seal`] made; `None` when it does not open.
pub(super) fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let Some((nonce, body)) = sealed.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
    let mut plain = Zeroizing::new(body.to_vec());
    let opened = gcm(key)?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut plain);
    let Ok(bytes) = opened.map(|plain| plain.len()) else { return Ok(None) };
    plain.truncate(bytes);
    Ok(Some(plain))
}

fn gcm(key: &[u8; 32]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_unspecified| FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_whole_and_in_its_context() {
        let key = [7; 32];
        let sealed = seal(&key, b"here", b"secret").unwrap();
        assert_eq!(open(&key, b"here", &sealed).unwrap().unwrap().as_slice(), b"secret");
        assert!(open(&key, b"there", &sealed).unwrap().is_none());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(open(&key, b"here", &changed).unwrap().is_none());
            assert!(open(&key, b"here", &sealed[..place]).unwrap().is_none());
        }
    }
}
