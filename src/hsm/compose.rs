//! Modes of operation that a token lacks, composed of what it has; the key stays inside.
//!
//! CCM is CBC with a zero IV over the formatted blocks, whose last block is the MAC, and counter mode over single blocks
//! (SP 800-38C §6, RFC 3610 §2). PCBC chains plain and encrypted blocks, and no token has it. XTS wants keys of a kind of its
//! own, so an AES key lends its value to one of the session, from the token to the token.

use cryptoki_sys::{CKK_AES_XTS, CKM_AES_CBC, CKM_AES_ECB};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{
    error::refused,
    layout::Mechanism,
    mechanism::{self, Ccm},
    raw::Handle,
    request::Turn,
    transfer,
};
use crate::{
    domain::{UsageMask, algorithm::PaddingMethod, reference::KeyKind},
    engine::ports::{HsmError, HsmErrorKind},
};

const BLOCK: usize = 16;

fn strange() -> HsmError {
    refused(HsmErrorKind::Internal, "length of encrypted blocks")
}

/// Two strings of bytes, one masked by the other, as far as both go.
fn xor(one: &[u8], other: &[u8]) -> impl Iterator<Item = u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other)
}

/// Zeros up to the end of the block.
fn fill(blocks: &mut Vec<u8>) {
    let whole = blocks.len().next_multiple_of(BLOCK);
    blocks.resize(whole, 0);
}

impl Ccm {
    /// Flags, nonce and a number that fills the rest of the block.
    fn block(&self, flags: usize, number: usize) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let number = u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        // The number has at most eight bytes, and data_bytes was held against them.
        for (to, byte) in block.iter_mut().rev().zip(number.iter().rev()) {
            *to = *byte;
        }
        let head = std::iter::once(u8::try_from(flags).unwrap_or(u8::MAX)).chain(self.nonce.iter().copied());
        for (to, byte) in block.iter_mut().zip(head) {
            *to = byte;
        }
        block
    }

    /// What the MAC is made of: lengths, additional data and data, each filled up to whole blocks (SP 800-38C §A.2).
    fn formatted(&self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        let with_aad = if self.aad.is_empty() { 0 } else { 64 };
        let flags = with_aad + 8 * ((self.tag_bytes - 2) / 2) + (14 - self.nonce.len());
        let room = 3 * BLOCK + self.aad.len() + data.len() + 10;
        let mut blocks = Zeroizing::new(Vec::with_capacity(room));
        blocks.extend_from_slice(&self.block(flags, data.len()));
        if !self.aad.is_empty() {
            match u16::try_from(self.aad.len()) {
                Ok(short @ ..0xFF00) => blocks.extend_from_slice(&short.to_be_bytes()),
                _ => {
                    blocks.extend_from_slice(&[0xFF, 0xFE]);
                    blocks.extend_from_slice(&u32::try_from(self.aad.len()).unwrap_or(u32::MAX).to_be_bytes());
                }
            }
            blocks.extend_from_slice(&self.aad);
            fill(&mut blocks);
        }
        blocks.extend_from_slice(data);
        fill(&mut blocks);
        blocks
    }

    /// The counter blocks: one for the tag, then as many as the data needs.
    fn counters(&self, data_bytes: usize) -> Vec<u8> {
        (0..=data_bytes.div_ceil(BLOCK)).flat_map(|count| self.block(14 - self.nonce.len(), count)).collect()
    }
}

impl Turn<'_> {
    /// The MAC of CCM over plain data, still under no mask.
    fn ccm_mac(&mut self, ccm: &Ccm, key: Handle, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let chained = Mechanism::with_iv(CKM_AES_CBC, &[0; BLOCK]);
        let output = self.seat.session.encrypt(&chained, key, &ccm.formatted(data))?;
        let last = output.len().checked_sub(BLOCK).and_then(|start| output.get(start..)).ok_or_else(strange)?;
        Ok(Zeroizing::new(last.to_vec()))
    }

    /// The mask of the tag, and the key stream for the data.
    fn ccm_stream(&mut self, ccm: &Ccm, key: Handle, data_bytes: usize) -> Result<[Zeroizing<Vec<u8>>; 2], HsmError> {
        let counters = ccm.counters(data_bytes);
        let stream = self.seat.session.encrypt(&Mechanism::plain(CKM_AES_ECB), key, &counters)?;
        let (mask, stream) = stream.split_at_checked(BLOCK).ok_or_else(strange)?;
        Ok([Zeroizing::new(mask.to_vec()), Zeroizing::new(stream.to_vec())])
    }

    /// CCM over what is plain: encrypted data and tag.
    pub(super) fn seal_ccm(&mut self, ccm: &Ccm, key: Handle, data: &[u8]) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
        let mac = self.ccm_mac(ccm, key, data)?;
        let [mask, stream] = self.ccm_stream(ccm, key, data.len())?;
        let tag = xor(&mac, &mask).take(ccm.tag_bytes).collect();
        Ok((xor(data, &stream).collect(), tag))
    }

    /// The data of CCM, given only when the tag is right.
    pub(super) fn open_ccm(
        &mut self,
        ccm: &Ccm,
        key: Handle,
        data: &[u8],
        tag: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let [mask, stream] = self.ccm_stream(ccm, key, data.len())?;
        let plain = Zeroizing::new(xor(data, &stream).collect::<Vec<u8>>());
        let mac = self.ccm_mac(ccm, key, &plain)?;
        let expected: Zeroizing<Vec<u8>> = Zeroizing::new(xor(&mac, &mask).take(ccm.tag_bytes).collect());
        if expected.ct_eq(tag).into() { Ok(plain) } else { Err(refused(HsmErrorKind::DecryptionFailed, "CCM")) }
    }

    /// PCBC: each block is masked by the plain and the encrypted form of the one before.
    pub(super) fn seal_propagating(
        &mut self,
        mechanism: &Mechanism,
        block: usize,
        iv: &[u8],
        padding: Option<PaddingMethod>,
        key: Handle,
        data: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let mut padded = Zeroizing::new(Vec::with_capacity(data.len() + block));
        padded.extend_from_slice(data);
        if let Some(method) = padding {
            let filling = match method {
                PaddingMethod::ISO_10126 => self.seat.session.random(block)?.to_vec(),
                _ => vec![0; block],
            };
            mechanism::pad(&mut padded, block, method, &filling);
        }
        if !padded.len().is_multiple_of(block) {
            return Err(refused(HsmErrorKind::BadData, "length of the data"));
        }
        let mut mask = Zeroizing::new(iv.to_vec());
        let mut output = Vec::with_capacity(padded.len());
        for plain in padded.chunks(block) {
            let input: Zeroizing<Vec<u8>> = Zeroizing::new(xor(plain, &mask).collect());
            let encrypted = self.seat.session.encrypt(mechanism, key, &input)?;
            if encrypted.len() != block {
                return Err(strange());
            }
            mask = Zeroizing::new(xor(plain, &encrypted).collect());
            output.extend_from_slice(&encrypted);
        }
        Ok(output)
    }

    /// The reverse of [`Self::seal_propagating`]; one call opens all blocks.
    pub(super) fn open_propagating(
        &mut self,
        mechanism: &Mechanism,
        block: usize,
        iv: &[u8],
        padding: Option<PaddingMethod>,
        key: Handle,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let mut output = self.run_decrypt(mechanism, key, data)?;
        if output.len() != data.len() {
            return Err(strange());
        }
        let mut mask = Zeroizing::new(iv.to_vec());
        for (plain, encrypted) in output.chunks_mut(block).zip(data.chunks(block)) {
            plain.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
            mask = Zeroizing::new(xor(plain, encrypted).collect());
        }
        if let Some(method) = padding {
            let length = mechanism::unpadded(&output, block, method)
                .ok_or_else(|| refused(HsmErrorKind::DecryptionFailed, "C_Decrypt"))?;
            let mut tail = output.split_off(length);
            tail.zeroize();
        }
        Ok(output)
    }

    /// Runs with a key that XTS takes: that of the token, or one of this session with the value of an AES-256 key, which are
    /// two AES-128 keys then.
    pub(super) fn with_xts_key<T>(
        &mut self,
        kind: KeyKind,
        handle: Handle,
        usage: UsageMask,
        run: impl FnOnce(&mut Self, Handle) -> Result<T, HsmError>,
    ) -> Result<T, HsmError> {
        if kind == KeyKind::AesXts {
            return run(self, handle);
        }
        let own = transfer::as_other(self.link, self.seat, handle, CKK_AES_XTS, usage)?;
        let done = run(self, own);
        self.seat.session.destroy(own)?;
        done
    }
}
