//! Ciphers that need their whole input before they give anything out: RSA, CCM, XTS, and every AEAD decryption, which must
//! not release what is not yet verified.

use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    message::append,
    operation::{CipherOperation, Direction},
};

/// A cipher that runs once over a whole input.
pub(super) trait OneShot: Send {
    /// The longest input.
    fn input_bytes_max(&self) -> usize;

    /// The most bytes that come out of so many.
    fn output_bound(&self, input_bytes: usize) -> usize;

    /// Whether the bound is exact.
    fn is_exact(&self) -> bool {
        true
    }

    /// Which way it runs, for the name of a length error.
    fn direction(&self) -> Direction;

    /// Does all of it, and answers with the bytes written to the front of `output`.
    fn run(&self, input: &[u8], output: &mut [u8]) -> Result<usize>;
}

/// The most input that an operation in parts keeps.
pub(super) const BUFFER_BYTES_MAX: usize = 64 << 20;

/// Collects the parts of a one-shot cipher's input.
pub(super) struct Whole<C> {
    cipher: C,
    input: Zeroizing<Vec<u8>>,
}

impl<C: OneShot> Whole<C> {
    pub(super) fn new(cipher: C) -> Self {
        Self { cipher, input: Zeroizing::default() }
    }

    fn check(&self, bytes: usize) -> Result<()> {
        if bytes <= self.cipher.input_bytes_max() {
            return Ok(());
        }
        Err(match self.cipher.direction() {
            Direction::Encrypt => CryptoError::DataLenRange,
            Direction::Decrypt => CryptoError::EncryptedDataLenRange,
        })
    }
}

impl<C: OneShot> CipherOperation for Whole<C> {
    fn is_exact(&self) -> bool {
        self.cipher.is_exact()
    }

    fn update_bound(&self, _input_bytes: usize) -> usize {
        0
    }

    fn finish_bound(&self) -> usize {
        self.cipher.output_bound(self.input.len())
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        self.cipher.output_bound(self.input.len().saturating_add(input_bytes))
    }

    fn update(&mut self, input: &[u8], _output: &mut [u8]) -> Result<usize> {
        self.check(self.input.len().saturating_add(input.len()))?;
        append(&mut self.input, input);
        Ok(0)
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<usize> {
        self.cipher.run(&std::mem::take(&mut self.input), output)
    }

    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        if !self.input.is_empty() {
            self.update(input, &mut [])?;
            return self.finish(output);
        }
        self.check(input.len())?;
        self.cipher.run(input, output)
    }
}
