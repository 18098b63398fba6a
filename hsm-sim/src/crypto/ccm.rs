//! AES-CCM (PKCS#11 3.1 §6.13.9, SP 800-38C), for data and for wrapping. The tag follows the ciphertext.

use cryptoki_sys::*;

use super::{
    aes, block,
    error::{CryptoError, Result},
    ffi::cipher::{Ccm, Cipher},
    key::{Key, SecretKey},
    keywrap,
    mechanism::MechanismInfo,
    operation::{CipherOperation, Direction},
    params::{ParamKind, Params},
    whole::{BUFFER_BYTES_MAX, OneShot, Whole},
};

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_AES_CCM, "AES_CCM", aes::KEY_TYPES, aes::SIZES, ParamKind::Ccm)
        .encrypts(open)
        .takes_messages()
        .wraps(
            // The length of what is wrapped is the token's to know: what the caller put there is ignored (§6.13.6).
            |params, key, plain| {
                let mut operation = open(Direction::Encrypt, &of_length(params, plain.len())?, key)?;
                Ok(std::mem::take(&mut *block::process_to_vec(&mut *operation, plain)?))
            },
            |params, key, wrapped| {
                let bytes = of_wrapped(params, wrapped.len())?;
                let mut operation = open(Direction::Decrypt, &of_length(params, bytes)?, key)?;
                block::process_to_vec(&mut *operation, wrapped).map_err(keywrap::as_unwrap_error)
            },
        )];

fn of_length(params: &Params, bytes: usize) -> Result<Params> {
    match params.clone() {
        Params::Ccm { nonce, aad, mac_bytes, .. } => Ok(Params::Ccm { data_bytes: bytes, nonce, aad, mac_bytes }),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn of_wrapped(params: &Params, bytes: usize) -> Result<usize> {
    match params {
        Params::Ccm { mac_bytes, .. } => bytes.checked_sub(*mac_bytes).ok_or(CryptoError::WrappedKeyLenRange),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn open(direction: Direction, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let Params::Ccm { data_bytes, nonce, aad, mac_bytes } = params else {
        return Err(CryptoError::MechanismParamInvalid);
    };
    if !NONCE_BYTES.contains(&nonce.len()) || !MAC_BYTES.contains(mac_bytes) || aad.len() > BUFFER_BYTES_MAX {
        return Err(CryptoError::MechanismParamInvalid);
    }
    // SP 800-38C A.1: the length fits into what the nonce leaves of a block, two bytes at least.
    let length_bits = 8 * (15 - nonce.len());
    if length_bits < 64 && *data_bytes as u64 >> length_bits != 0 {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let key = key.secret()?.clone();
    key.template(Cipher::AesCcm, direction)?;
    let (nonce, aad) = (nonce.clone(), aad.clone());
    Ok(Box::new(Whole::new(Message { key, direction, data_bytes: *data_bytes, nonce, aad, mac_bytes: *mac_bytes })))
}

struct Message {
    key: SecretKey,
    direction: Direction,
    /// What the caller announced, without the tag.
    data_bytes: usize,
    nonce: Vec<u8>,
    aad: Vec<u8>,
    mac_bytes: usize,
}

impl OneShot for Message {
    fn input_bytes_max(&self) -> usize {
        BUFFER_BYTES_MAX
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        match self.direction {
            Direction::Encrypt => input_bytes.saturating_add(self.mac_bytes),
            Direction::Decrypt => input_bytes.saturating_sub(self.mac_bytes),
        }
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn run(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let template = self.key.template(Cipher::AesCcm, self.direction)?;
        let message = Ccm { nonce: &self.nonce, aad: &self.aad };
        match self.direction {
            Direction::Encrypt => {
                if input.len() != self.data_bytes {
                    return Err(CryptoError::DataLenRange);
                }
                let (body, rest) = output.split_at_mut_checked(input.len()).ok_or(CryptoError::GeneralError)?;
                let tag = rest.get_mut(..self.mac_bytes).ok_or(CryptoError::GeneralError)?;
                template.ccm(self.direction, &message, input, body, tag)?;
                Ok(input.len() + self.mac_bytes)
            }
            Direction::Decrypt => {
                let bytes = input.len().checked_sub(self.mac_bytes).ok_or(CryptoError::EncryptedDataLenRange)?;
                if bytes != self.data_bytes {
                    return Err(CryptoError::EncryptedDataLenRange);
                }
                let (body, tag) = input.split_at_checked(bytes).ok_or(CryptoError::GeneralError)?;
                let output = output.get_mut(..bytes).ok_or(CryptoError::GeneralError)?;
                if template.ccm(self.direction, &message, body, output, &mut tag.to_vec()).is_err() {
                    output.fill(0);
                    return Err(CryptoError::AeadDecryptFailed);
                }
                Ok(bytes)
            }
        }
    }
}

/// SP 800-38C A.1.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 7..=13;
const MAC_BYTES: &[usize] = &[4, 6, 8, 10, 12, 14, 16];
