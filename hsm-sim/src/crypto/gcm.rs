//! AES-GCM (PKCS#11 3.1 §6.13.8, SP 800-38D), for data and for wrapping.
//!
//! A whole message goes through the prepared AEAD key in one call. In parts, encryption streams, while decryption keeps
//! the ciphertext and gives nothing out before the tag is verified.

use cryptoki_sys::*;

use super::{
    aes, block,
    error::{CryptoError, Result},
    ffi::{
        aead::TAG_BYTES,
        cipher::{Cipher, CipherContext},
    },
    key::{Key, SecretKey},
    mechanism::MechanismInfo,
    operation::{CipherOperation, Direction},
    params::{ParamKind, Params},
    whole::{BUFFER_BYTES_MAX, OneShot, Whole},
};

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_AES_GCM, "AES_GCM", aes::KEY_TYPES, aes::SIZES, ParamKind::Gcm)
        .encrypts(open)
        .takes_messages()
        .wraps(
            |params, key, plain| {
                let mut operation = open(Direction::Encrypt, params, key)?;
                Ok(std::mem::take(&mut *block::process_to_vec(&mut *operation, plain)?))
            },
            |params, key, wrapped| {
                let mut operation = open(Direction::Decrypt, params, key)?;
                block::process_to_vec(&mut *operation, wrapped).map_err(super::keywrap::as_unwrap_error)
            },
        )];

fn open(direction: Direction, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let Params::Gcm { iv, aad, tag_bits } = params else { return Err(CryptoError::MechanismParamInvalid) };
    let tag_bytes = TAG_BITS
        .contains(tag_bits)
        .then(|| usize::try_from(tag_bits / 8).ok())
        .flatten()
        .ok_or(CryptoError::MechanismParamInvalid)?;
    if !(1..=IV_BYTES_MAX).contains(&iv.len()) {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let key = key.secret()?.clone();
    key.gcm()?;
    let message = Message { key, iv: iv.clone(), aad: aad.clone(), tag_bytes };
    Ok(match direction {
        Direction::Encrypt => Box::new(Encryption { message, stream: None }),
        Direction::Decrypt => Box::new(Whole::new(Decryption { message })),
    })
}

struct Message {
    key: SecretKey,
    iv: Vec<u8>,
    aad: Vec<u8>,
    tag_bytes: usize,
}

impl Message {
    fn stream(&self, direction: Direction) -> Result<CipherContext> {
        let mut context = self.key.template(Cipher::AesGcm, direction)?.start(Some(&self.iv), direction)?;
        context.authenticate(&self.aad)?;
        Ok(context)
    }

    fn decrypt(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let bytes = input.len().checked_sub(self.tag_bytes).ok_or(CryptoError::EncryptedDataLenRange)?;
        let (input, tag) = input.split_at_checked(bytes).ok_or(CryptoError::GeneralError)?;
        let output = output.get_mut(..bytes).ok_or(CryptoError::GeneralError)?;
        let opened = if tag.len() == TAG_BYTES {
            self.key.gcm()?.open(&self.iv, &self.aad, input, tag, output)
        } else {
            self.decrypt_short_tag(input, tag, output)
        };
        if opened.is_err() {
            output.fill(0);
            return Err(CryptoError::AeadDecryptFailed);
        }
        Ok(bytes)
    }

    /// The one-call interface only knows the full tag.
    fn decrypt_short_tag(&self, input: &[u8], tag: &[u8], output: &mut [u8]) -> Result<()> {
        let mut context = self.stream(Direction::Decrypt)?;
        context.update(input, output)?;
        context.open(tag)
    }
}

struct Encryption {
    message: Message,
    /// Present once a first part came.
    stream: Option<CipherContext>,
}

impl CipherOperation for Encryption {
    fn update_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn finish_bound(&self) -> usize {
        self.message.tag_bytes
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes.saturating_add(self.message.tag_bytes)
    }

    fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.message.stream(Direction::Encrypt)?),
        };
        stream.update(input, output).map_err(|_too_long| CryptoError::DataLenRange)?;
        Ok(input.len())
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<usize> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.message.stream(Direction::Encrypt)?,
        };
        let tag = output.get_mut(..self.message.tag_bytes).ok_or(CryptoError::GeneralError)?;
        stream.seal(tag)?;
        Ok(tag.len())
    }

    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let Message { key, iv, aad, tag_bytes } = &self.message;
        let (body, rest) = output.split_at_mut_checked(input.len()).ok_or(CryptoError::GeneralError)?;
        let rest = rest.get_mut(..*tag_bytes).ok_or(CryptoError::GeneralError)?;
        let tag = key.gcm()?.seal(iv, aad, input, body).map_err(|_too_long| CryptoError::DataLenRange)?;
        rest.copy_from_slice(tag.get(..*tag_bytes).ok_or(CryptoError::GeneralError)?);
        Ok(input.len() + tag_bytes)
    }
}

struct Decryption {
    message: Message,
}

impl OneShot for Decryption {
    fn input_bytes_max(&self) -> usize {
        BUFFER_BYTES_MAX
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes.saturating_sub(self.message.tag_bytes)
    }

    fn direction(&self) -> Direction {
        Direction::Decrypt
    }

    fn run(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        self.message.decrypt(input, output)
    }
}

/// SP 800-38D §5.2.1.2 and appendix C; shorter tags are the caller's risk, as the standard says.
pub(super) const TAG_BITS: &[u32] = &[128, 120, 112, 104, 96, 64, 32];
/// PKCS#11 3.1 §6.13.8.
pub(super) const IV_BYTES_MAX: usize = 256;
