//! AES-GCM as models do it that make the IV themselves and append it: `ciphertext ‖ tag ‖ IV`.
//!
//! Decryption takes both what encryption gave (the IV is then the last 16 bytes) and ciphertext and tag with the IV in the
//! parameter, as a caller has it who took the answer apart; the tag tells which it is.

use cryptoki_sys::*;

use super::GcmIv;
use crate::{
    config::Config,
    core::rv::Result,
    crypto::{self, CipherOperation, CryptoError, Key, Params},
};

const IV_BYTES: usize = 16;

type Operation = Box<dyn CipherOperation>;

/// Starts an encryption.
pub(crate) fn encryptor(config: &Config, number: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<Operation> {
    match params {
        Params::Gcm { aad, tag_bits, .. } if number == CKM_AES_GCM && config.gcm_iv() == GcmIv::Appended => {
            let mut iv = [0; IV_BYTES];
            crypto::random(&mut iv)?;
            let params = Params::Gcm { iv: iv.to_vec(), aad: aad.clone(), tag_bits: *tag_bits };
            Ok(Box::new(Encryption { inner: crypto::encryptor(number, &params, key)?, iv }))
        }
        _ => Ok(crypto::encryptor(number, params, key)?),
    }
}

/// Starts a decryption.
pub(crate) fn decryptor(config: &Config, number: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<Operation> {
    let plain = crypto::decryptor(number, params, key)?;
    match params {
        Params::Gcm { .. } if number == CKM_AES_GCM && config.gcm_iv() == GcmIv::Appended => {
            Ok(Box::new(Decryption { input: Vec::new(), key: key.clone(), params: params.clone() }))
        }
        _ => Ok(plain),
    }
}

struct Encryption {
    inner: Operation,
    iv: [u8; IV_BYTES],
}

impl Encryption {
    fn append(&self, output: &mut [u8], written: usize) -> crypto::Result<usize> {
        let end = written.checked_add(IV_BYTES).ok_or(CryptoError::GeneralError)?;
        output.get_mut(written..end).ok_or(CryptoError::GeneralError)?.copy_from_slice(&self.iv);
        Ok(end)
    }
}

impl CipherOperation for Encryption {
    fn update_bound(&self, input_bytes: usize) -> usize {
        self.inner.update_bound(input_bytes)
    }

    fn finish_bound(&self) -> usize {
        self.inner.finish_bound() + IV_BYTES
    }

    fn update(&mut self, input: &[u8], output: &mut [u8]) -> crypto::Result<usize> {
        self.inner.update(input, output)
    }

    fn finish(&mut self, output: &mut [u8]) -> crypto::Result<usize> {
        let written = self.inner.finish(output)?;
        self.append(output, written)
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        self.inner.output_bound(input_bytes).saturating_add(IV_BYTES)
    }

    fn process(&mut self, input: &[u8], output: &mut [u8]) -> crypto::Result<usize> {
        let written = self.inner.process(input, output)?;
        self.append(output, written)
    }
}

struct Decryption {
    input: Vec<u8>,
    key: Key,
    params: Params,
}

/// The most ciphertext that is kept until the tag has come.
const INPUT_BYTES_MAX: usize = 64 << 20;

impl Decryption {
    fn open(&self, input: &[u8], output: &mut [u8]) -> crypto::Result<usize> {
        if let Some((sealed, iv)) = input.split_last_chunk::<IV_BYTES>()
            && let Params::Gcm { aad, tag_bits, .. } = &self.params
        {
            let params = Params::Gcm { iv: iv.to_vec(), aad: aad.clone(), tag_bits: *tag_bits };
            let opened = crypto::decryptor(CKM_AES_GCM, &params, &self.key)?.process(sealed, output);
            if opened.is_ok() {
                return opened;
            }
        }
        crypto::decryptor(CKM_AES_GCM, &self.params, &self.key)?.process(input, output)
    }
}

impl CipherOperation for Decryption {
    fn update_bound(&self, _input_bytes: usize) -> usize {
        0
    }

    fn finish_bound(&self) -> usize {
        self.input.len()
    }

    fn update(&mut self, input: &[u8], _output: &mut [u8]) -> crypto::Result<usize> {
        if self.input.len().saturating_add(input.len()) > INPUT_BYTES_MAX {
            return Err(CryptoError::EncryptedDataLenRange);
        }
        self.input.extend_from_slice(input);
        Ok(0)
    }

    fn finish(&mut self, output: &mut [u8]) -> crypto::Result<usize> {
        self.open(&self.input, output)
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn process(&mut self, input: &[u8], output: &mut [u8]) -> crypto::Result<usize> {
        self.open(input, output)
    }
}
