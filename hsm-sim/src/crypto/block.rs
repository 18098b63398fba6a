//! Block cipher modes in parts: whole blocks (ECB, CBC), padded blocks (CBC_PAD), counter, and plain streams (CFB128, OFB).
//!
//! Buffering and padding are done here rather than by the library, so that the bytes written are known in advance and
//! padding is checked in constant time with one error.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::cipher::{Cipher, CipherContext},
    key::Key,
    operation::{CipherOperation, Direction},
    params::Params,
};

/// Whether the last block is padded as PKCS#7 (RFC 5652 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    None,
    Pkcs7,
}

/// Starts ECB, which takes no parameter.
pub(super) fn ecb(
    cipher: Cipher,
    direction: Direction,
    params: &Params,
    key: &Key,
) -> Result<Box<dyn CipherOperation>> {
    let Params::None = params else { return Err(CryptoError::MechanismParamInvalid) };
    let context = key.secret()?.template(cipher, direction)?.start(None, direction)?;
    Ok(Box::new(BlockOperation::new(context, direction, block_bytes(cipher), Padding::None)))
}

/// Starts CBC, padded or not.
pub(super) fn cbc(
    cipher: Cipher,
    padding: Padding,
    direction: Direction,
    params: &Params,
    key: &Key,
) -> Result<Box<dyn CipherOperation>> {
    let Params::Iv(iv) = params else { return Err(CryptoError::MechanismParamInvalid) };
    let context = key.secret()?.template(cipher, direction)?.start(Some(iv), direction)?;
    Ok(Box::new(BlockOperation::new(context, direction, block_bytes(cipher), padding)))
}

/// Starts a mode that turns the block cipher into a key stream, except CTR.
pub(super) fn stream(
    cipher: Cipher,
    direction: Direction,
    params: &Params,
    key: &Key,
) -> Result<Box<dyn CipherOperation>> {
    let Params::Iv(iv) = params else { return Err(CryptoError::MechanismParamInvalid) };
    let context = key.secret()?.template(cipher, direction)?.start(Some(iv), direction)?;
    Ok(Box::new(StreamOperation { context }))
}

/// Starts CTR with the counter's width honoured.
pub(super) fn ctr(direction: Direction, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let Params::Ctr { counter_bits, block } = params else { return Err(CryptoError::MechanismParamInvalid) };
    if !(1..=128).contains(counter_bits) {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let context = key.secret()?.template(Cipher::AesCtr, direction)?.start(Some(block), direction)?;
    Ok(Box::new(CounterOperation::new(context, direction, *counter_bits, u128::from_be_bytes(*block))))
}

/// Encrypts whole blocks under CBC or ECB for key wrapping: the value is filled up with zeros (PKCS#11 3.1 §6.13.4).
pub(super) fn wrap_zero_filled(operation: &mut dyn CipherOperation, block: usize, plain: &[u8]) -> Result<Vec<u8>> {
    if plain.is_empty() {
        return Err(CryptoError::KeyNotWrappable);
    }
    let mut filled = Zeroizing::new(vec![0; plain.len().next_multiple_of(block)]);
    filled.get_mut(..plain.len()).ok_or(CryptoError::GeneralError)?.copy_from_slice(plain);
    let mut wrapped = vec![0; filled.len()];
    let written = operation.process(&filled, &mut wrapped)?;
    wrapped.truncate(written);
    Ok(wrapped)
}

/// Runs a single-part operation into a new vector.
pub(super) fn process_to_vec(operation: &mut dyn CipherOperation, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut output = Zeroizing::new(vec![0; operation.output_bound(input.len())]);
    let written = operation.process(input, &mut output)?;
    output.truncate(written);
    Ok(output)
}

/// Bytes of a cipher's block.
pub(super) const fn block_bytes(cipher: Cipher) -> usize {
    match cipher {
        Cipher::Des3Ecb | Cipher::Des3Cbc => 8,
        _ => BLOCK_BYTES_MAX,
    }
}

struct BlockOperation {
    context: CipherContext,
    direction: Direction,
    padding: Padding,
    block: usize,
    /// Input not yet processed: less than a block, or up to one block while the last one must be held back.
    pending: Zeroizing<[u8; BLOCK_BYTES_MAX]>,
    pending_bytes: usize,
}

impl BlockOperation {
    fn new(context: CipherContext, direction: Direction, block: usize, padding: Padding) -> Self {
        Self { context, direction, padding, block, pending: Zeroizing::default(), pending_bytes: 0 }
    }

    /// Padding can only be removed from a block known to be the last.
    fn holds_back(&self) -> bool {
        self.padding == Padding::Pkcs7 && self.direction == Direction::Decrypt
    }

    fn pad(&mut self, output: &mut [u8]) -> Result<usize> {
        let fill = self.block - self.pending_bytes;
        let block = self.pending.get_mut(..self.block).ok_or(CryptoError::GeneralError)?;
        block.iter_mut().skip(self.pending_bytes).for_each(|byte| *byte = u8::try_from(fill).unwrap_or_default());
        self.context.update(block, output)?;
        Ok(self.block)
    }

    fn unpad(&mut self, output: &mut [u8]) -> Result<usize> {
        if self.pending_bytes != self.block {
            return Err(CryptoError::EncryptedDataLenRange);
        }
        let mut plain = Zeroizing::new([0; BLOCK_BYTES_MAX]);
        let plain = plain.get_mut(..self.block).ok_or(CryptoError::GeneralError)?;
        let block = self.pending.get(..self.block).ok_or(CryptoError::GeneralError)?;
        self.context.update(block, plain)?;
        let bytes = unpadded_bytes(plain).ok_or(CryptoError::EncryptedDataInvalid)?;
        let (Some(output), Some(plain)) = (output.get_mut(..bytes), plain.get(..bytes)) else {
            return Err(CryptoError::GeneralError);
        };
        output.copy_from_slice(plain);
        Ok(bytes)
    }
}

impl CipherOperation for BlockOperation {
    fn is_exact(&self) -> bool {
        !self.holds_back()
    }

    fn update_bound(&self, input_bytes: usize) -> usize {
        let total = self.pending_bytes.saturating_add(input_bytes);
        total.saturating_sub(usize::from(self.holds_back())) / self.block * self.block
    }

    fn finish_bound(&self) -> usize {
        match self.padding {
            Padding::None => 0,
            Padding::Pkcs7 => self.block,
        }
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        self.update_bound(input_bytes).saturating_add(self.finish_bound())
    }

    fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let ready = self.update_bound(input.len());
        let output = output.get_mut(..ready).ok_or(CryptoError::GeneralError)?;
        let mut input = input;
        let mut output = &mut *output;
        if ready > 0 && self.pending_bytes > 0 {
            let (head, rest) =
                input.split_at_checked(self.block - self.pending_bytes).ok_or(CryptoError::GeneralError)?;
            self.keep(head)?;
            let (first, later) = output.split_at_mut_checked(self.block).ok_or(CryptoError::GeneralError)?;
            let block = self.pending.get(..self.block).ok_or(CryptoError::GeneralError)?;
            self.context.update(block, first)?;
            self.pending_bytes = 0;
            (input, output) = (rest, later);
        }
        let (whole, rest) = input.split_at_checked(output.len()).ok_or(CryptoError::GeneralError)?;
        if !whole.is_empty() {
            self.context.update(whole, output)?;
        }
        self.keep(rest)?;
        Ok(ready)
    }

    fn finish(&mut self, output: &mut [u8]) -> Result<usize> {
        match (self.padding, self.direction) {
            (Padding::None, _) if self.pending_bytes == 0 => Ok(0),
            (Padding::None, Direction::Encrypt) => Err(CryptoError::DataLenRange),
            (Padding::None, Direction::Decrypt) => Err(CryptoError::EncryptedDataLenRange),
            (Padding::Pkcs7, Direction::Encrypt) => self.pad(output),
            (Padding::Pkcs7, Direction::Decrypt) => self.unpad(output),
        }
    }
}

impl BlockOperation {
    fn keep(&mut self, input: &[u8]) -> Result<()> {
        let end = self.pending_bytes + input.len();
        self.pending.get_mut(self.pending_bytes..end).ok_or(CryptoError::GeneralError)?.copy_from_slice(input);
        self.pending_bytes = end;
        Ok(())
    }
}

/// Length of a PKCS#7 padded block's content, found without a branch or an index that depends on the content.
pub(super) fn unpadded_bytes(block: &[u8]) -> Option<usize> {
    let size = u8::try_from(block.len()).ok()?;
    let fill = *block.last()?;
    let mut good = !fill.ct_eq(&0) & !fill.ct_gt(&size);
    for (position, byte) in (0..size).zip(block.iter().rev()) {
        let is_fill = fill.ct_gt(&position);
        good &= !is_fill | byte.ct_eq(&fill);
    }
    let content = u8::conditional_select(&size, &size.wrapping_sub(fill), good);
    bool::from(good & Choice::from(1)).then_some(usize::from(content))
}

struct StreamOperation {
    context: CipherContext,
}

impl CipherOperation for StreamOperation {
    fn is_exact(&self) -> bool {
        true
    }

    fn update_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn finish_bound(&self) -> usize {
        0
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        self.context.update(input, output)?;
        Ok(input.len())
    }

    fn finish(&mut self, _output: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

/// CTR whose counter is the low `counter_bits` of the block: it wraps within that width (SP 800-38A B.1), where the
/// library would carry into the nonce, and it ends when every value was used.
struct CounterOperation {
    context: CipherContext,
    direction: Direction,
    /// The block after the counter wraps: the nonce, and a counter of zero.
    wrapped_block: u128,
    /// Bytes until the counter wraps; none when that is beyond what a length can say.
    until_wrap: Option<u128>,
    /// Bytes until the first counter value would come again.
    until_end: Option<u128>,
}

impl CounterOperation {
    fn new(context: CipherContext, direction: Direction, counter_bits: u32, block: u128) -> Self {
        let values = 1_u128.checked_shl(counter_bits);
        let mask = values.map_or(u128::MAX, |values| values - 1);
        let bytes = |blocks: u128| blocks.checked_mul(16);
        Self {
            context,
            direction,
            wrapped_block: block & !mask,
            until_wrap: (mask - (block & mask)).checked_add(1).and_then(bytes),
            until_end: values.and_then(bytes),
        }
    }

    fn pass(&mut self, bytes: usize) {
        for left in [&mut self.until_wrap, &mut self.until_end].into_iter().flatten() {
            *left = left.saturating_sub(bytes as u128);
        }
    }
}

impl CipherOperation for CounterOperation {
    fn is_exact(&self) -> bool {
        true
    }

    fn update_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn finish_bound(&self) -> usize {
        0
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        if self.until_end.is_some_and(|left| input.len() as u128 > left) {
            return Err(match self.direction {
                Direction::Encrypt => CryptoError::DataLenRange,
                Direction::Decrypt => CryptoError::EncryptedDataLenRange,
            });
        }
        let output = output.get_mut(..input.len()).ok_or(CryptoError::GeneralError)?;
        let until_wrap = self.until_wrap.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let (before, after) = input.split_at(until_wrap.min(input.len()));
        let (output_before, output_after) = output.split_at_mut(before.len());
        self.context.update(before, output_before)?;
        self.pass(before.len());
        if !after.is_empty() {
            self.context.set_iv(Some(&self.wrapped_block.to_be_bytes()), self.direction)?;
            self.until_wrap = None;
            self.context.update(after, output_after)?;
            self.pass(after.len());
        }
        Ok(input.len())
    }

    fn finish(&mut self, _output: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

const BLOCK_BYTES_MAX: usize = 16;
