//! AES-XTS (PKCS#11 3.1 §6.13.2, IEEE 1619, SP 800-38E): one data unit an operation.
//!
//! Composed on ECB, since the library offers XTS only for the longer of the two key sizes. The blocks are masked, run
//! through ECB at once, and masked again; a last partial block steals from the one before.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::cipher::{Cipher, CipherContext},
    key::{Key, SecretKey},
    mechanism::MechanismInfo,
    operation::{CipherOperation, Direction},
    params::{ParamKind, Params},
    whole::{OneShot, Whole},
};

/// The key type of XTS, apart from that of AES because its keys are two.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_AES_XTS];
/// Sizes of its keys in bytes: 32 or 64.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (32, 64);

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_AES_XTS, "AES_XTS", KEY_TYPES, SIZES, ParamKind::Iv(16)).encrypts(open)];

fn open(direction: Direction, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let Params::Iv(iv) = params else { return Err(CryptoError::MechanismParamInvalid) };
    let iv = iv.as_slice().try_into().map_err(|_length| CryptoError::MechanismParamInvalid)?;
    let [data, tweak] = key.secret()?.halves()?.clone();
    Ok(Box::new(Whole::new(Unit { data, tweak, direction, iv })))
}

struct Unit {
    data: SecretKey,
    tweak: SecretKey,
    direction: Direction,
    iv: [u8; BLOCK],
}

impl OneShot for Unit {
    fn input_bytes_max(&self) -> usize {
        UNIT_BYTES_MAX
    }

    fn output_bound(&self, input_bytes: usize) -> usize {
        input_bytes
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn run(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        if input.len() < BLOCK {
            return Err(match self.direction {
                Direction::Encrypt => CryptoError::DataLenRange,
                Direction::Decrypt => CryptoError::EncryptedDataLenRange,
            });
        }
        let ecb = |key: &SecretKey, direction| key.template(Cipher::AesEcb, direction)?.start(None, direction);
        let mut first = [0; BLOCK];
        ecb(&self.tweak, Direction::Encrypt)?.update(&self.iv, &mut first)?;
        let mut cipher = ecb(&self.data, self.direction)?;

        let partial = input.len() % BLOCK;
        let output = output.get_mut(..input.len()).ok_or(CryptoError::GeneralError)?;
        // All blocks but, when there is a partial one, the last whole one before it.
        let plain_blocks = if partial == 0 { input.len() } else { input.len() - BLOCK - partial };
        let (whole, rest) = input.split_at_checked(plain_blocks).ok_or(CryptoError::GeneralError)?;
        let (whole_output, rest_output) = output.split_at_mut_checked(plain_blocks).ok_or(CryptoError::GeneralError)?;
        let mut mask = Mask(u128::from_le_bytes(first));
        masked(&mut cipher, &mut mask, whole, whole_output)?;
        if partial != 0 {
            self.steal(&mut cipher, mask, rest, rest_output)?;
        }
        Ok(input.len())
    }
}

impl Unit {
    /// The last whole block and the partial one behind it (IEEE 1619 §5.3.2 and §5.4.2). Decryption uses the two masks the
    /// other way round.
    fn steal(&self, cipher: &mut CipherContext, mask: Mask, input: &[u8], output: &mut [u8]) -> Result<()> {
        let following = mask.next();
        let (early, late) = match self.direction {
            Direction::Encrypt => (mask, following),
            Direction::Decrypt => (following, mask),
        };
        let (last, partial) = input.split_at_checked(BLOCK).ok_or(CryptoError::GeneralError)?;
        let (last_output, partial_output) = output.split_at_mut_checked(BLOCK).ok_or(CryptoError::GeneralError)?;
        let mut stolen = Zeroizing::new([0; BLOCK]);
        masked(cipher, &mut early.clone(), last, &mut *stolen)?;
        // The partial block's output is the front of the stolen one, whose place the partial input takes.
        let mut filled = Zeroizing::new(*stolen);
        for ((from, to), (input, filled)) in
            stolen.iter().zip(partial_output).zip(partial.iter().zip(filled.iter_mut()))
        {
            *to = *from;
            *filled = *input;
        }
        masked(cipher, &mut late.clone(), &*filled, last_output)
    }
}

/// The tweak of one block: an element of GF(2¹²⁸), least significant byte first.
#[derive(Clone)]
struct Mask(u128);

impl Mask {
    /// The tweak of the next block: multiplied by x, without a branch on its top bit.
    fn next(&self) -> Self {
        Self((self.0 << 1) ^ (0x87 & (self.0 >> 127).wrapping_neg()))
    }
}

/// Masks whole blocks, runs them through ECB, and masks them again; leaves the mask of the block behind them.
fn masked(cipher: &mut CipherContext, mask: &mut Mask, input: &[u8], output: &mut [u8]) -> Result<()> {
    let start = mask.clone();
    let mut buffer = Zeroizing::new(input.to_vec());
    apply(mask, &mut buffer);
    cipher.update(&buffer, output)?;
    apply(&mut start.clone(), output);
    Ok(())
}

fn apply(mask: &mut Mask, blocks: &mut [u8]) {
    for block in blocks.chunks_exact_mut(BLOCK) {
        for (byte, tweak) in block.iter_mut().zip(mask.0.to_le_bytes()) {
            *byte ^= tweak;
        }
        *mask = mask.next();
    }
}

const BLOCK: usize = 16;
/// SP 800-38E: at most 2²⁰ blocks in a data unit.
const UNIT_BYTES_MAX: usize = BLOCK << 20;
