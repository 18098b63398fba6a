//! The shapes of running operations: what a session holds between `C_…Init` and the call that ends it.
//!
//! Operations write into the caller's memory and never allocate for output. Callers ask for the bound first: PKCS#11's
//! length queries and `CKR_BUFFER_TOO_SMALL` must not disturb an operation, so nothing here is called until the output is
//! large enough. An operation that finished or failed is dropped, not reused.

use cryptoki_sys::CK_MECHANISM_TYPE;

use super::{
    error::{CryptoError, Result},
    ffi::digest::DigestContext,
    params::Hash,
};

/// Which way a cipher runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Plaintext to ciphertext.
    Encrypt,
    /// Ciphertext to plaintext.
    Decrypt,
}

/// An encryption or decryption under way.
pub trait CipherOperation: Send {
    /// Bytes that [`update`](Self::update) writes for so many bytes of input; exact.
    fn update_bound(&self, input_bytes: usize) -> usize;

    /// The most bytes that [`finish`](Self::finish) writes now; exact but for unpadding, where it is the upper bound.
    fn finish_bound(&self) -> usize;

    /// Whether the bounds are exact, so that output that does not fit is known before anything is done.
    fn is_exact(&self) -> bool {
        false
    }

    /// Processes a part and answers with the bytes written to the front of `output`.
    fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize>;

    /// Ends the operation and answers with the bytes written to the front of `output`.
    fn finish(&mut self, output: &mut [u8]) -> Result<usize>;

    /// The most bytes that [`process`](Self::process) writes for so many bytes of input.
    fn output_bound(&self, input_bytes: usize) -> usize;

    /// Does the whole of a single-part operation at once.
    fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let written = self.update(input, output)?;
        let rest = output.get_mut(written..).ok_or(CryptoError::GeneralError)?;
        Ok(written + self.finish(rest)?)
    }
}

/// A signature or MAC under way.
pub trait SignOperation: Send {
    /// Length of the signature that [`finish`](Self::finish) writes; exact.
    fn signature_bytes(&self) -> usize;

    /// Takes a part of the data.
    fn update(&mut self, data: &[u8]) -> Result<()>;

    /// Ends the operation and answers with the bytes written to the front of `signature`.
    fn finish(&mut self, signature: &mut [u8]) -> Result<usize>;
}

/// A verification under way.
pub trait VerifyOperation: Send {
    /// Takes a part of the data.
    fn update(&mut self, data: &[u8]) -> Result<()>;

    /// Ends the operation: a wrong length is `SignatureLenRange`, everything else wrong is `SignatureInvalid`.
    fn finish(&mut self, signature: &[u8]) -> Result<()>;
}

/// A digest under way.
#[derive(Clone)]
pub struct Digester {
    context: DigestContext,
    hash: Hash,
}

impl Digester {
    /// Starts a digest.
    pub fn new(hash: Hash) -> Result<Self> {
        Ok(Self { context: DigestContext::new(hash)?, hash })
    }

    /// Length of the digest.
    pub fn output_bytes(&self) -> usize {
        self.hash.output_bytes()
    }

    /// Takes a part of the data.
    pub fn update(&mut self, data: &[u8]) -> Result<()> {
        self.context.update(data)
    }

    /// The state of the digest, for hashes whose state can be taken out.
    pub fn save(&self) -> Option<Vec<u8>> {
        self.context.save()
    }

    /// A digest from a state that [`save`](Self::save) gave out. The state must be authentic: it is taken as it is.
    pub(crate) fn restore(mechanism: CK_MECHANISM_TYPE, state: &[u8]) -> Option<Self> {
        let hash = Hash::from_mechanism(mechanism)?;
        Some(Self { context: DigestContext::restore(hash, state)?, hash })
    }

    /// Ends the digest and answers with the bytes written to the front of `output`.
    pub fn finish(&mut self, output: &mut [u8]) -> Result<usize> {
        let output = output.get_mut(..self.output_bytes()).ok_or(CryptoError::GeneralError)?;
        self.context.finish(output)?;
        Ok(output.len())
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digester").field("hash", &self.hash).finish_non_exhaustive()
    }
}
