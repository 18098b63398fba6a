//! ChaCha20 (PKCS#11 3.1 §6.58) and ChaCha20-Poly1305 (§6.60, RFC 8439), whose tag follows the ciphertext.
//!
//! The bare cipher has two layouts of its last four state words: a counter of 64 bits with a nonce of 64, as it was first
//! published, and a counter of 32 bits with a nonce of 96 (RFC 8439 §2.3). The nonce's length tells them apart.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::{
        aead::TAG_BYTES,
        chacha::{self, BLOCK_BYTES},
    },
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
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_CHACHA20, "CHACHA20", KEY_TYPES, SIZES, ParamKind::ChaCha20).encrypts(stream),
    MechanismInfo::new(CKM_CHACHA20_POLY1305, "CHACHA20_POLY1305", KEY_TYPES, SIZES, ParamKind::ChaCha20Poly1305)
        .encrypts(open)
        .takes_messages(),
];

fn stream(_either: Direction, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let Params::ChaCha20 { counter, counter_bits, nonce } = params else {
        return Err(CryptoError::MechanismParamInvalid);
    };
    let layout = match (counter_bits, nonce.len()) {
        (32 | 64, 8) => Layout::Original,
        (32, 12) => Layout::Ietf,
        _ => return Err(CryptoError::MechanismParamInvalid),
    };
    let mut words = [0; 12];
    let at = words.len() - nonce.len();
    words.get_mut(at..).ok_or(CryptoError::GeneralError)?.copy_from_slice(nonce);
    Ok(Box::new(Stream { key: key.secret()?.clone(), layout, nonce: words, block: *counter, used: 0 }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A counter of 64 bits, a nonce of 64.
    Original,
    /// A counter of 32 bits, a nonce of 96.
    Ietf,
}

struct Stream {
    key: SecretKey,
    layout: Layout,
    /// The last three words; the first of them is the counter's upper half in the original layout.
    nonce: [u8; 12],
    /// The block that the next byte is from.
    block: u64,
    /// How many bytes of that block are used up.
    used: usize,
}

impl Stream {
    /// Whole and part blocks from the next block on, as far as the lower word of the counter goes without a carry.
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let [low, high] = [self.block, self.block >> 32].map(|word| word & u64::from(u32::MAX));
        let low = u32::try_from(low).map_err(|_cannot| CryptoError::GeneralError)?;
        let high = u32::try_from(high).map_err(|_cannot| CryptoError::GeneralError)?;
        if self.layout == Layout::Original {
            if let Some(upper) = self.nonce.first_chunk_mut::<4>() {
                *upper = high.to_le_bytes();
            }
        } else if high != 0 {
            // The counter is used up: another block would repeat the first one.
            return Err(CryptoError::DataLenRange);
        }
        let room = (u64::from(u32::MAX - low) + 1).saturating_mul(BLOCK_BYTES as u64);
        let bytes = input.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let part = input.get(..bytes).ok_or(CryptoError::GeneralError)?;
        chacha::apply(self.key.value(), &self.nonce, low, part, output)?;
        self.block = self.block.wrapping_add((bytes / BLOCK_BYTES) as u64);
        self.used = bytes % BLOCK_BYTES;
        Ok(bytes)
    }

    /// What is left of a block that an earlier part began.
    fn rest(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let bytes = input.len().min(BLOCK_BYTES - self.used);
        let mut begun = Zeroizing::new([0; BLOCK_BYTES]);
        let mut done = Zeroizing::new([0; BLOCK_BYTES]);
        let (from, to) = (self.used, self.used + bytes);
        let (block, used) = (self.block, to);
        begun
            .get_mut(from..to)
            .ok_or(CryptoError::GeneralError)?
            .copy_from_slice(input.get(..bytes).ok_or(CryptoError::GeneralError)?);
        self.run(&*begun, &mut *done)?;
        (self.block, self.used) = (block.wrapping_add((used / BLOCK_BYTES) as u64), used % BLOCK_BYTES);
        let found = done.get(from..to).ok_or(CryptoError::GeneralError)?;
        output.get_mut(..bytes).ok_or(CryptoError::GeneralError)?.copy_from_slice(found);
        Ok(bytes)
    }
}

impl CipherOperation for Stream {
    fn update_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn finish_bound(&self) -> usize {
        0
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(left @ [_, ..]) = input.get(done..) {
            let output = output.get_mut(done..).ok_or(CryptoError::GeneralError)?;
            done += if self.used == 0 { self.run(left, output)? } else { self.rest(left, output)? };
        }
        Ok(done)
    }

    fn finish(&mut self, _output: &mut [u8]) -> Result<usize> {
        Ok(0)
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(key: [u8; 32], counter: u64, counter_bits: u32, nonce: &[u8], parts: &[usize]) -> Vec<u8> {
        let params = Params::ChaCha20 { counter, counter_bits, nonce: nonce.to_vec() };
        let key = Key::Secret(SecretKey::new(Zeroizing::new(key.to_vec())));
        let mut operation = stream(Direction::Encrypt, &params, &key).unwrap();
        let mut output = Vec::new();
        for part in parts {
            let mut piece = vec![0; *part];
            assert_eq!(operation.update(&vec![0; *part], &mut piece).unwrap(), *part);
            output.extend(piece);
        }
        output
    }

    fn key() -> [u8; 32] {
        std::array::from_fn(|index| u8::try_from(index).unwrap())
    }

    #[test]
    fn rfc_8439_2_3_2() {
        let nonce = [0, 0, 0, 9, 0, 0, 0, 0x4A, 0, 0, 0, 0];
        let block = run(key(), 1, 32, &nonce, &[64]);
        assert_eq!(block[..8], [0x10, 0xF1, 0xE7, 0xE4, 0xD1, 0x3B, 0x59, 0x15]);
        assert_eq!(
            block[48..],
            [0xB5, 0x12, 0x9C, 0xD1, 0xDE, 0x16, 0x4E, 0xB9, 0xCB, 0xD0, 0x83, 0xE8, 0xA2, 0x50, 0x3C, 0x4E]
        );
    }

    #[test]
    fn the_original_layout() {
        // The first vector of draft-agl-tls-chacha20poly1305-04 §7.
        let stream = run([0; 32], 0, 64, &[0; 8], &[64]);
        assert_eq!(stream[..8], [0x76, 0xB8, 0xE0, 0xAD, 0xA0, 0xF1, 0x3D, 0x90]);
        let other = run([0; 32], 0, 64, &[0, 0, 0, 0, 0, 0, 0, 1], &[60]);
        assert_eq!(other[..8], [0xDE, 0x9C, 0xBA, 0x7B, 0xF3, 0xD6, 0x9E, 0xF5]);
    }

    #[test]
    fn parts_of_any_length_are_the_whole() {
        let whole = run(key(), 7, 64, &[3; 8], &[400]);
        assert_eq!(run(key(), 7, 64, &[3; 8], &[1, 62, 1, 64, 0, 130, 5, 137]), whole);
        assert_eq!(run(key(), 8, 64, &[3; 8], &[336]), whole[64..]);
    }

    #[test]
    fn the_counter_of_64_bits_carries_and_the_one_of_32_bits_ends() {
        let over = run(key(), u64::from(u32::MAX), 64, &[3; 8], &[128]);
        assert_eq!(over[64..], run(key(), 1 << 32, 64, &[3; 8], &[64]));
        let params = Params::ChaCha20 { counter: u64::from(u32::MAX), counter_bits: 32, nonce: vec![3; 12] };
        let key = Key::Secret(SecretKey::new(Zeroizing::new(key().to_vec())));
        let mut operation = stream(Direction::Encrypt, &params, &key).unwrap();
        let mut output = [0; 65];
        assert_eq!(operation.update(&[0; 64], &mut output).unwrap(), 64);
        assert_eq!(operation.update(&[0; 1], &mut output).unwrap_err(), CryptoError::DataLenRange);
    }

    #[test]
    fn other_layouts_are_refused() {
        let key = Key::Secret(SecretKey::new(Zeroizing::new(key().to_vec())));
        for (counter_bits, nonce) in [(64, 12), (32, 24), (16, 8), (32, 0)] {
            let params = Params::ChaCha20 { counter: 0, counter_bits, nonce: vec![0; nonce] };
            let refused = stream(Direction::Encrypt, &params, &key).err();
            assert_eq!(refused, Some(CryptoError::MechanismParamInvalid));
        }
    }
}
