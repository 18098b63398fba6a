//! ChaCha20-Poly1305 (PKCS#11 3.1 §6.60, RFC 8439). The tag follows the ciphertext.

use cryptoki_sys::*;

use super::{
    error::{CryptoError, Result},
    ffi::aead::TAG_BYTES,
    key::{Key, SecretKey},
    mechanism::MechanismInfo,
    operation::{CipherOperation, Direction},
    params::{ParamKind, Params},
    whole::{BUFFER_BYTES_MAX, OneShot, Whole},
};

/// The key type of this cipher.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_CHACHA20];
/// Size of its keys in bytes.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (32, 32);

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_CHACHA20_POLY1305, "CHACHA20_POLY1305", KEY_TYPES, SIZES, ParamKind::ChaCha20Poly1305)
        .encrypts(open)
        .takes_messages()];

fn open(direction: Direction, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let Params::ChaCha20Poly1305 { nonce, aad } = params else { return Err(CryptoError::MechanismParamInvalid) };
    if nonce.len() != NONCE_BYTES {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let key = key.secret()?.clone();
    key.chacha20_poly1305()?;
    Ok(Box::new(Whole::new(Message { key, direction, nonce: nonce.clone(), aad: aad.clone() })))
}

struct Message {
    key: SecretKey,
    direction: Direction,
    nonce: Vec<u8>,
    aad: Vec<u8>,
}

impl OneShot for Message {
    fn input_bytes_max(&self) -> usize {
        BUFFER_BYTES_MAX
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        match self.direction {
            Direction::Encrypt => input_bytes.saturating_add(TAG_BYTES),
            Direction::Decrypt => input_bytes.saturating_sub(TAG_BYTES),
        }
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn run(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let key = self.key.chacha20_poly1305()?;
        match self.direction {
            Direction::Encrypt => {
                let (body, rest) = output.split_at_mut_checked(input.len()).ok_or(CryptoError::GeneralError)?;
                let end = rest.get_mut(..TAG_BYTES).ok_or(CryptoError::GeneralError)?;
                end.copy_from_slice(&key.seal(&self.nonce, &self.aad, input, body)?);
                Ok(input.len() + TAG_BYTES)
            }
            Direction::Decrypt => {
                let bytes = input.len().checked_sub(TAG_BYTES).ok_or(CryptoError::EncryptedDataLenRange)?;
                let (body, tag) = input.split_at_checked(bytes).ok_or(CryptoError::GeneralError)?;
                let opened = key.open(&self.nonce, &self.aad, body, tag, output);
                opened.map_err(|_whatever| CryptoError::AeadDecryptFailed)?;
                Ok(bytes)
            }
        }
    }
}

/// RFC 8439 §2.8; the older nonce of eight bytes is not offered.
const NONCE_BYTES: usize = 12;
