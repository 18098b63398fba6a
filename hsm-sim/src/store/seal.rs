//! Keys of a token and what they seal.
//!
//! Private objects are sealed under the token key TK, which only a PIN opens; public ones under a key derived from the
//! device key, because they must be readable before log-in. Each object has its own key, so the random nonce of a write
//! needs no budget. The additional data binds a body to its token, its uid, its class and its row version: a swapped or
//! rolled-back row does not open. Names are found by a keyed hash, never stored.

use zeroize::Zeroizing;

use super::{Result, StoreError};
use crate::crypto::{self, CryptoError, Locked, PinKdf, seal};

/// An object's identity for its whole life; `CKA_UNIQUE_ID` is its UUID text.
pub(crate) type Uid = [u8; 16];

/// A 256-bit key of the store, in memory for keys.
#[derive(Clone)]
pub(crate) struct StoreKey(Locked);

impl StoreKey {
    /// A key of zeroes, to be filled.
    pub(super) fn zero() -> Self {
        Self(Locked::new(&[0; 32]))
    }

    /// The key's bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The key's bytes, to be filled.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

const FORMAT: u8 = 1;

/// The key in `device.key`: what an HSM would have in its chip.
#[derive(Clone)]
pub(crate) struct DeviceKey(pub(super) StoreKey);

/// The two keys of one realm of a token: bodies and blind index.
pub(crate) struct SealKeys {
    serial: String,
    body: StoreKey,
    index: StoreKey,
}

/// A new random key.
pub(super) fn random_key() -> Result<StoreKey> {
    let mut key = StoreKey::zero();
    crypto::random(key.as_mut_slice())?;
    Ok(key)
}

fn derive(key: &[u8], salt: &[u8], info: &[&[u8]]) -> Result<StoreKey> {
    let mut derived = StoreKey::zero();
    seal::hkdf_sha256(key, salt, &info.concat(), derived.as_mut_slice())?;
    Ok(derived)
}

/// HMAC-SHA-256, cut to 16 bytes.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; 16]> {
    let mac = seal::hmac_sha256(key, parts)?;
    let mut cut = [0; 16];
    cut.iter_mut().zip(mac).for_each(|(cut, byte)| *cut = byte);
    Ok(cut)
}

/// Tells what does not open from a library that fails.
fn opened(plain: crypto::Result<Zeroizing<Vec<u8>>>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match plain {
        Ok(plain) => Ok(Some(plain)),
        Err(CryptoError::AeadDecryptFailed) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl DeviceKey {
    /// The key under which `role` keeps the token key: slow in the PIN, and useless without the device key.
    pub(super) fn pin_key(&self, serial: &str, role: &str, pin: &[u8], salt: &[u8], kdf: PinKdf) -> Result<StoreKey> {
        let mut key = StoreKey::zero();
        kdf.derive(pin, salt, key.as_mut_slice())?;
        let device = derive(self.0.as_slice(), salt, &[b"pin", serial.as_bytes(), role.as_bytes()])?;
        for (byte, mask) in key.as_mut_slice().iter_mut().zip(device.as_slice()) {
            *byte ^= mask;
        }
        Ok(key)
    }

    /// The keys of a token's public objects.
    pub(crate) fn public_keys(&self, serial: &str) -> Result<SealKeys> {
        let root = derive(self.0.as_slice(), serial.as_bytes(), &[b"public"])?;
        SealKeys::from_root(&root, serial)
    }
}

impl SealKeys {
    /// The keys of a token's private objects.
    pub(super) fn private(token_key: &StoreKey, serial: &str) -> Result<Self> {
        Self::from_root(token_key, serial)
    }

    fn from_root(root: &StoreKey, serial: &str) -> Result<Self> {
        Ok(Self {
            serial: serial.to_owned(),
            body: derive(root.as_slice(), serial.as_bytes(), &[b"body"])?,
            index: derive(root.as_slice(), serial.as_bytes(), &[b"index"])?,
        })
    }

    fn context(&self, uid: &Uid, class: u64, version: u64) -> Vec<u8> {
        let mut aad = Vec::with_capacity(1 + self.serial.len() + 32);
        aad.push(FORMAT);
        aad.extend_from_slice(self.serial.as_bytes());
        aad.extend_from_slice(uid);
        aad.extend_from_slice(&class.to_be_bytes());
        aad.extend_from_slice(&version.to_be_bytes());
        aad
    }

    /// Seals a body for one row version.
    pub(crate) fn seal(&self, uid: &Uid, class: u64, version: u64, body: &[u8]) -> Result<Vec<u8>> {
        let key = derive(self.body.as_slice(), &[], &[b"obj", uid])?;
        Ok(seal::seal(key.as_slice(), &self.context(uid, class, version), body)?)
    }

    /// Opens a body.
    pub(crate) fn open(&self, uid: &Uid, class: u64, version: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let key = derive(self.body.as_slice(), &[], &[b"obj", uid])?;
        opened(seal::open(key.as_slice(), &self.context(uid, class, version), sealed))?
            .ok_or(StoreError::Corrupt("an object's body does not open"))
    }

    /// The blind index of an attribute value.
    pub(crate) fn index(&self, attribute: u64, value: &[u8]) -> Result<[u8; 16]> {
        mac(self.index.as_slice(), &[&attribute.to_be_bytes(), value])
    }
}

/// Seals the token key under a PIN's key.
pub(super) fn wrap_token_key(key: &StoreKey, serial: &str, role: &str, token_key: &StoreKey) -> Result<Vec<u8>> {
    Ok(seal::seal(key.as_slice(), &context(serial, role), token_key.as_slice())?)
}

/// Opens the token key; failing is how a wrong PIN shows.
pub(super) fn unwrap_token_key(key: &StoreKey, serial: &str, role: &str, blob: &[u8]) -> Result<StoreKey> {
    let plain = opened(seal::open(key.as_slice(), &context(serial, role), blob))?.ok_or(StoreError::Pin)?;
    let mut token_key = StoreKey::zero();
    if plain.len() != token_key.as_slice().len() {
        return Err(StoreError::Corrupt("a PIN record holds something else than a token key"));
    }
    token_key.as_mut_slice().copy_from_slice(&plain);
    Ok(token_key)
}

fn context(serial: &str, role: &str) -> Vec<u8> {
    [&[FORMAT], serial.as_bytes(), role.as_bytes()].concat()
}
