//! What a signature is made over: the collected bytes, or their digest.

use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    operation::Digester,
    params::Hash,
};

/// The data of a signature as it comes in.
pub(super) enum Message {
    /// All of it, up to a limit.
    Whole { data: Zeroizing<Vec<u8>>, bytes_max: usize },
    /// Its digest so far.
    Digest(Digester),
}

impl Message {
    /// Collects at most so many bytes; more are `DataLenRange`.
    pub(super) fn whole(bytes_max: usize) -> Self {
        Self::Whole { data: Zeroizing::default(), bytes_max }
    }

    pub(super) fn digest(hash: Hash) -> Result<Self> {
        Digester::new(hash).map(Self::Digest)
    }

    pub(super) fn update(&mut self, input: &[u8]) -> Result<()> {
        match self {
            Self::Digest(digester) => digester.update(input),
            Self::Whole { data, bytes_max } => {
                if input.len() > *bytes_max - data.len() {
                    return Err(CryptoError::DataLenRange);
                }
                append(data, input);
                Ok(())
            }
        }
    }

    /// The bytes to sign.
    pub(super) fn finish(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Whole { data, .. } => Ok(std::mem::take(data)),
            Self::Digest(digester) => {
                let mut output = Zeroizing::new(vec![0; digester.output_bytes()]);
                digester.finish(&mut output)?;
                Ok(output)
            }
        }
    }
}

/// Appends without leaving the old allocation behind unwiped.
pub(super) fn append(data: &mut Zeroizing<Vec<u8>>, input: &[u8]) {
    if data.capacity() - data.len() < input.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((data.len() + input.len()).max(2 * data.capacity())));
        larger.extend_from_slice(data);
        *data = larger;
    }
    data.extend_from_slice(input);
}
