//! Encryption message by message, with parameters for each (PKCS#11 3.1 §5.9, §5.11), and what it shares with authenticated
//! wrapping: IVs that the token makes, and tags apart from the ciphertext.
//!
//! A message that fails ends alone; the process it belongs to goes on until it is finished.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    object::Object,
    operation::{Output, Start, Way, Written},
    permit,
    recent::Held,
    rv::{Result, Rv},
    session::Session,
};
use crate::crypto::{self, CipherOperation, Key, Params};

/// How an IV comes to be (`CK_GENERATOR_FUNCTION`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generator {
    /// The caller gives it.
    Caller,
    /// The token chooses how to make it.
    Any,
    /// By a counter from zero.
    Counter,
    /// By a counter from zero, mixed into what the caller gives.
    CounterXor,
    /// At random.
    Random,
}

/// The parameters of one message.
pub(crate) struct MessageParams {
    /// The IV or nonce, in and out.
    pub(crate) iv: Vec<u8>,
    /// Leading bits of the IV that stay as the caller gives them.
    pub(crate) fixed_bits: usize,
    pub(crate) generator: Generator,
    /// The tag: in for decryption, out for encryption.
    pub(crate) tag: Vec<u8>,
    /// Length of the text as the caller announces it, where the mechanism wants that.
    pub(crate) data_bytes: usize,
}

/// Makes IVs that do not come again.
#[derive(Default)]
pub(crate) struct IvSource {
    offset: Vec<u8>,
    counter: u64,
}

impl IvSource {
    /// Fills in the part of the IV that is not fixed.
    fn next(&mut self, params: &mut MessageParams) -> Result<()> {
        if params.generator == Generator::Caller {
            return Ok(());
        }
        let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
        let free_bits = (8 * params.iv.len()).checked_sub(params.fixed_bits).filter(|bits| *bits > 0).ok_or(invalid)?;
        let counter = self.counter;
        if params.generator != Generator::Random {
            if free_bits < 64 && counter >> free_bits != 0 {
                return Err(Rv(CKR_KEY_EXHAUSTED));
            }
            self.counter = counter.checked_add(1).ok_or(Rv(CKR_KEY_EXHAUSTED))?;
        }
        let fresh = match params.generator {
            Generator::Caller | Generator::Counter => vec![0; params.iv.len()],
            Generator::CounterXor => params.iv.clone(),
            Generator::Random => random(params.iv.len())?,
            Generator::Any => {
                if self.offset.len() != params.iv.len() {
                    self.offset = random(params.iv.len())?;
                }
                self.offset.clone()
            }
        };
        let counter = if params.generator == Generator::Random { 0 } else { counter };
        let fresh = fresh.into_iter().rev().zip(counter.to_le_bytes().into_iter().chain(std::iter::repeat(0)));
        for ((place, byte), (fresh, count)) in params.iv.iter_mut().enumerate().rev().zip(fresh) {
            // Exclusive or keeps values apart as well as a sum does, and needs no carry.
            let made = fresh ^ count;
            let fixed = match params.fixed_bits.saturating_sub(8 * place) {
                bits @ 0..8 => !(0xff_u8 >> bits),
                _ => 0xff,
            };
            *byte = (*byte & fixed) | (made & !fixed);
        }
        Ok(())
    }
}

fn random(bytes: usize) -> Result<Vec<u8>> {
    let mut fresh = vec![0; bytes];
    crypto::random(&mut fresh)?;
    Ok(fresh)
}

/// A process of messages under one key.
pub(crate) struct Messages {
    start: Start,
    key: Arc<Held>,
    way: Way,
    ivs: IvSource,
    current: Option<Box<dyn CipherOperation>>,
}

impl Messages {
    /// The mechanism.
    pub(crate) const fn mechanism(&self) -> CK_MECHANISM_TYPE {
        self.start.mechanism
    }

    /// What the process was started with.
    pub(crate) const fn start(&self) -> &Start {
        &self.start
    }

    /// Whether the key is one that a log-out takes away.
    pub(crate) fn is_private(&self) -> bool {
        self.start.is_private
    }

    fn check_idle(&self) -> Result<()> {
        if self.current.is_some() { Err(Rv(CKR_OPERATION_ACTIVE)) } else { Ok(()) }
    }

    /// `C_EncryptMessage`, `C_DecryptMessage`
    pub(crate) fn single(
        &mut self,
        params: &mut MessageParams,
        aad: &[u8],
        input: &[u8],
        output: Output<'_>,
    ) -> Result<Written> {
        self.check_idle()?;
        let room = match output.room_for(input.len()) {
            Ok(room) => room,
            Err(written) => return Ok(written),
        };
        let mut operation = self.open(params, aad)?;
        finish(&mut *operation, self.way, params, input, room).map(Written::Done)
    }

    /// `C_EncryptMessageBegin`, `C_DecryptMessageBegin`
    pub(crate) fn begin(&mut self, params: &mut MessageParams, aad: &[u8]) -> Result<()> {
        self.check_idle()?;
        self.current = Some(self.open(params, aad)?);
        Ok(())
    }

    /// `C_EncryptMessageNext`, `C_DecryptMessageNext`
    pub(crate) fn next(
        &mut self,
        params: &mut MessageParams,
        input: &[u8],
        output: Output<'_>,
        is_last: bool,
    ) -> Result<Written> {
        let mut operation = self.current.take().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let bytes = match (is_last, self.way) {
            (false, _) => operation.update_bound(input.len()),
            (true, Way::Encrypt) => operation.output_bound(input.len()).saturating_sub(params.tag.len()),
            (true, Way::Decrypt) => operation.output_bound(input.len().saturating_add(params.tag.len())),
        };
        let room = match output.room_for(bytes) {
            Ok(room) => room,
            Err(written) => {
                self.current = Some(operation);
                return Ok(written);
            }
        };
        if is_last {
            return finish(&mut *operation, self.way, params, input, room).map(Written::Done);
        }
        let written = operation.update(input, room)?;
        self.current = Some(operation);
        Ok(Written::Done(written))
    }

    fn open(&mut self, params: &mut MessageParams, aad: &[u8]) -> Result<Box<dyn CipherOperation>> {
        if self.way == Way::Encrypt {
            self.ivs.next(params)?;
        }
        open(self.start.mechanism, self.key.key()?, self.way, params, aad)
    }
}

/// As much as one message.
const AAD_BYTES_MAX: usize = 64 << 20;

/// Starts one message.
fn open(
    number: CK_MECHANISM_TYPE,
    key: &Key,
    way: Way,
    params: &MessageParams,
    aad: &[u8],
) -> Result<Box<dyn CipherOperation>> {
    if aad.len() > AAD_BYTES_MAX {
        return Err(Rv(CKR_ARGUMENTS_BAD));
    }
    let (iv, aad) = (params.iv.clone(), aad.to_vec());
    let params = match number {
        CKM_AES_GCM => {
            let tag_bits = u32::try_from(8 * params.tag.len()).map_err(|_wide| Rv(CKR_MECHANISM_PARAM_INVALID))?;
            Params::Gcm { iv, aad, tag_bits }
        }
        CKM_AES_CCM => Params::Ccm { data_bytes: params.data_bytes, nonce: iv, aad, mac_bytes: params.tag.len() },
        CKM_CHACHA20_POLY1305 => Params::ChaCha20Poly1305 { nonce: iv, aad },
        _ => return Err(Rv(CKR_MECHANISM_INVALID)),
    };
    Ok(match way {
        Way::Encrypt => crypto::encryptor(number, &params, key)?,
        Way::Decrypt => crypto::decryptor(number, &params, key)?,
    })
}

/// Ends one message; the tag goes into the parameters or comes from them.
fn finish(
    operation: &mut dyn CipherOperation,
    way: Way,
    params: &mut MessageParams,
    input: &[u8],
    room: &mut [u8],
) -> Result<usize> {
    let short = Rv(CKR_GENERAL_ERROR);
    match way {
        Way::Encrypt => {
            let early = operation.update(input, room)?;
            let mut rest = Zeroizing::new(vec![0; operation.finish_bound()]);
            let bytes = operation.finish(&mut rest)?;
            let late = bytes.checked_sub(params.tag.len()).ok_or(short)?;
            let (body, tag) = rest.get(..bytes).and_then(|rest| rest.split_at_checked(late)).ok_or(short)?;
            room.get_mut(early..early + late).ok_or(short)?.copy_from_slice(body);
            params.tag.copy_from_slice(tag);
            Ok(early + late)
        }
        Way::Decrypt => {
            // What is not verified is not given out, so nothing comes before the end.
            operation.update(input, &mut [])?;
            operation.update(&params.tag, &mut [])?;
            Ok(operation.finish(room)?)
        }
    }
}

/// Encrypts one text under a wrapping key, with an IV from a source.
pub(super) fn seal(
    number: CK_MECHANISM_TYPE,
    key: &Object,
    ivs: &mut IvSource,
    params: &mut MessageParams,
    (aad, plain): (&[u8], &[u8]),
) -> Result<Vec<u8>> {
    ivs.next(params)?;
    params.data_bytes = plain.len();
    let mut operation = open(number, key.key()?, Way::Encrypt, params, aad)?;
    let mut output = vec![0; plain.len()];
    finish(&mut *operation, Way::Encrypt, params, plain, &mut output)?;
    Ok(output)
}

/// Decrypts what [`seal`] made.
pub(super) fn unseal(
    number: CK_MECHANISM_TYPE,
    key: &Object,
    params: &mut MessageParams,
    (aad, wrapped): (&[u8], &[u8]),
) -> Result<Zeroizing<Vec<u8>>> {
    params.data_bytes = wrapped.len();
    let mut operation = open(number, key.key()?, Way::Decrypt, params, aad)?;
    let mut output = Zeroizing::new(vec![0; wrapped.len()]);
    finish(&mut *operation, Way::Decrypt, params, wrapped, &mut output)?;
    Ok(output)
}

impl Session {
    /// `C_MessageEncryptInit`, `C_MessageDecryptInit`
    pub(crate) fn message_init(&self, way: Way, number: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> Result<()> {
        let (flag, usage) = match way {
            Way::Encrypt => (CKF_MESSAGE_ENCRYPT, CKA_ENCRYPT),
            Way::Decrypt => (CKF_MESSAGE_DECRYPT, CKA_DECRYPT),
        };
        let mut operations = self.operations();
        if operations.messages(way).is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        let (key, start) = permit::permitted(self, &mut operations.recent, number, key, (flag, usage))?;
        // A key that cannot be one is refused now rather than with the first message.
        key.key()?;
        *operations.messages(way) = Some(Messages { start, key, way, ivs: IvSource::default(), current: None });
        Ok(())
    }

    /// `C_MessageEncryptFinal`, `C_MessageDecryptFinal`
    pub(crate) fn message_final(&self, way: Way) -> Result<()> {
        let mut operations = self.operations();
        let slot = operations.messages(way);
        let messages = slot.as_ref().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        messages.check_idle()?;
        *slot = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(generator: Generator, fixed_bits: usize) -> MessageParams {
        MessageParams { iv: vec![0xab; 12], fixed_bits, generator, tag: vec![0; 16], data_bytes: 0 }
    }

    #[test]
    fn fixed_bits_stay_and_the_rest_counts_from_zero() {
        let mut ivs = IvSource::default();
        for count in 0..3_u8 {
            let mut params = params(Generator::Counter, 36);
            ivs.next(&mut params).unwrap();
            assert_eq!(params.iv[..4], [0xab; 4]);
            assert_eq!(params.iv[4..], [0xa0, 0, 0, 0, 0, 0, 0, count]);
        }
    }

    #[test]
    fn a_counter_that_is_used_up_says_so() {
        let mut ivs = IvSource::default();
        for _ in 0..4 {
            ivs.next(&mut params(Generator::CounterXor, 94)).unwrap();
        }
        assert_eq!(ivs.next(&mut params(Generator::CounterXor, 94)), Err(Rv(CKR_KEY_EXHAUSTED)));
        assert_eq!(ivs.next(&mut params(Generator::Any, 96)), Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }

    #[test]
    fn no_iv_comes_twice() {
        for generator in [Generator::Any, Generator::Counter, Generator::CounterXor, Generator::Random] {
            let mut ivs = IvSource::default();
            let mut seen = std::collections::HashSet::new();
            for _ in 0..1000 {
                let mut params = params(generator, 32);
                ivs.next(&mut params).unwrap();
                assert!(seen.insert(params.iv), "{generator:?}");
            }
        }
    }
}
