//! The operations a session has under way, and the rules for ending them.
//!
//! A length query or a buffer that is too small leaves an operation as it was; everything else that is not a success ends
//! it (PKCS#11 3.1 §5.2). What a decryption will write is known only when it is done; if it then does not fit, the
//! plaintext waits in the operation for a caller with more room.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    message_sign::{Signing, Verifying},
    messages::{IvSource, Messages},
    names::Function,
    object::Object,
    recent::Recent,
    rv::{Result, Rv},
};
use crate::crypto::{self, CipherOperation, CryptoError, Digester, Key, SignOperation, VerifyOperation};

/// Where output goes.
pub(crate) enum Output<'o> {
    /// Nowhere: the caller asks for the length.
    Query,
    /// Into the caller's memory.
    Buffer(&'o mut [u8]),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// So many bytes were written.
    Done(usize),
    /// So many bytes would be written.
    Needed(usize),
    /// The room was too small for so many bytes.
    TooSmall(usize),
}

impl<'o> Output<'o> {
    /// Copies bytes that are there in full.
    pub(crate) fn put(self, bytes: &[u8]) -> Written {
        match self {
            Self::Query => Written::Needed(bytes.len()),
            Self::Buffer(buffer) => match buffer.get_mut(..bytes.len()) {
                Some(room) => {
                    room.copy_from_slice(bytes);
                    Written::Done(bytes.len())
                }
                None => Written::TooSmall(bytes.len()),
            },
        }
    }

    /// Fills the whole room.
    pub(crate) fn fill_with(self, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Written> {
        match self {
            Self::Query => Ok(Written::Needed(0)),
            Self::Buffer(buffer) => {
                fill(buffer)?;
                Ok(Written::Done(buffer.len()))
            }
        }
    }

    /// The room for so many bytes, or what to answer instead.
    pub(crate) fn room_for(self, bytes: usize) -> Result<&'o mut [u8], Written> {
        match self {
            Self::Query => Err(Written::Needed(bytes)),
            Self::Buffer(buffer) if buffer.len() < bytes => Err(Written::TooSmall(bytes)),
            Self::Buffer(buffer) => Ok(buffer),
        }
    }

    /// As [`room_for`](Self::room_for), for output that is still wanted afterwards.
    fn room(&mut self, bytes: usize) -> Result<&mut [u8], Written> {
        match self {
            Self::Query => Err(Written::Needed(bytes)),
            Self::Buffer(buffer) if buffer.len() < bytes => Err(Written::TooSmall(bytes)),
            Self::Buffer(buffer) => Ok(buffer),
        }
    }
}

/// What an operation was started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// Its mechanism.
    pub(crate) mechanism: CK_MECHANISM_TYPE,
    /// Its key; 0 where there is none.
    pub(crate) key: CK_OBJECT_HANDLE,
    /// Longest data of one call, where a profile has a limit.
    pub(crate) data_bytes_max: Option<usize>,
    /// Whether the mechanism takes data in parts.
    pub(crate) is_multi_part: bool,
    /// Whether the key is a private object, which a log-out takes away.
    pub(crate) is_private: bool,
    /// Whether the key wants a log-in for each use (`CKA_ALWAYS_AUTHENTICATE`).
    pub(crate) wants_login: bool,
}

/// An operation and how far it is.
pub(crate) struct Running<T> {
    operation: T,
    start: Start,
    has_parts: bool,
    /// Output that did not fit.
    pending: Option<Zeroizing<Vec<u8>>>,
}

/// An operation that may be under way.
pub(crate) struct Slot<T>(Option<Running<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Slot<T> {
    /// Refuses to start over a running operation.
    pub(crate) fn check_free(&self) -> Result<()> {
        if self.0.is_some() { Err(Rv(CKR_OPERATION_ACTIVE)) } else { Ok(()) }
    }

    /// Starts an operation.
    pub(crate) fn start(&mut self, operation: T, start: Start) {
        self.0 = Some(Running { operation, start, has_parts: false, pending: None });
    }

    /// Takes up an operation again.
    pub(crate) fn resume(&mut self, operation: T, start: Start, has_parts: bool) {
        self.0 = Some(Running { operation, start, has_parts, pending: None });
    }

    /// The operation under way: its mechanism, whether data came, and itself.
    pub(crate) fn running(&self) -> Option<(CK_MECHANISM_TYPE, bool, &T)> {
        self.0.as_ref().map(|running| (running.start.mechanism, running.has_parts, &running.operation))
    }

    /// Whether there is an operation.
    fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// Ends the operation, if there is one.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    fn started(&self) -> Option<&Start> {
        self.0.as_ref().map(|running| &running.start)
    }

    /// The mechanism of the operation.
    pub(crate) fn mechanism(&self) -> Option<CK_MECHANISM_TYPE> {
        self.started().map(|start| start.mechanism)
    }

    fn end_private(&mut self) {
        if self.started().is_some_and(|start| start.is_private) {
            self.end();
        }
    }

    fn logged_in(&mut self) {
        if let Some(running) = &mut self.0 {
            running.start.wants_login = false;
        }
    }

    /// Runs a step, and ends the operation if the step fails or says so.
    fn step(&mut self, step: impl FnOnce(&mut Running<T>) -> Result<Step>) -> Result<Written> {
        let running = self.0.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let outcome = if running.start.wants_login { Err(Rv(CKR_USER_NOT_LOGGED_IN)) } else { step(running) };
        match outcome {
            Ok(Step::Goes(written)) => Ok(written),
            Ok(Step::Ends(bytes)) => {
                self.end();
                Ok(Written::Done(bytes))
            }
            Err(rv) => {
                self.end();
                Err(rv)
            }
        }
    }
}

/// What a step came to.
enum Step {
    /// The operation goes on.
    Goes(Written),
    /// The operation is done, with so many bytes written.
    Ends(usize),
}

impl<T> Running<T> {
    fn check_single(&self) -> Result<()> {
        if self.has_parts { Err(Rv(CKR_OPERATION_ACTIVE)) } else { Ok(()) }
    }

    fn check_data(&self, input: &[u8]) -> Result<()> {
        if self.start.data_bytes_max.is_some_and(|most| input.len() > most) {
            Err(Rv(CKR_DATA_LEN_RANGE))
        } else {
            Ok(())
        }
    }

    fn check_part(&mut self) -> Result<()> {
        if !self.start.is_multi_part {
            // There is no operation in parts under way; saying so also ends the one there is.
            return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
        }
        Ok(())
    }

    /// Ends with output whose length is known beforehand.
    fn finish(
        &mut self,
        bytes: usize,
        mut output: Output<'_>,
        work: impl FnOnce(&mut T, &mut [u8]) -> Result<usize>,
    ) -> Result<Step> {
        match output.room(bytes) {
            Ok(room) => work(&mut self.operation, room).map(Step::Ends),
            Err(written) => Ok(Step::Goes(written)),
        }
    }

    /// Ends with output of which only an upper bound is known beforehand.
    fn finish_within(
        &mut self,
        bound: usize,
        mut output: Output<'_>,
        work: impl FnOnce(&mut T, &mut [u8]) -> Result<usize>,
    ) -> Result<Step> {
        if self.pending.is_none() {
            match output.room(bound) {
                Ok(room) => return work(&mut self.operation, room).map(Step::Ends),
                Err(Written::Needed(bytes)) => return Ok(Step::Goes(Written::Needed(bytes))),
                Err(_) => {}
            }
            let mut done = Zeroizing::new(Vec::new());
            done.try_reserve_exact(bound).map_err(|_too_long| Rv(CKR_HOST_MEMORY))?;
            done.resize(bound, 0);
            let bytes = work(&mut self.operation, &mut done)?;
            done.truncate(bytes);
            self.pending = Some(done);
        }
        let pending = self.pending.as_deref().map_or(&[][..], Vec::as_slice);
        Ok(match output.put(pending) {
            Written::Done(bytes) => Step::Ends(bytes),
            written => Step::Goes(written),
        })
    }
}

/// Which way a cipher runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Encrypt,
    Decrypt,
}

/// A tag that does not verify has a code of its own only in the message functions (PKCS#11 3.1 §5.9, §5.10).
fn refused(error: CryptoError) -> Rv {
    match error {
        CryptoError::AeadDecryptFailed => Rv(CKR_ENCRYPTED_DATA_INVALID),
        error => error.into(),
    }
}

impl Slot<Box<dyn CipherOperation>> {
    /// `C_Encrypt`, `C_Decrypt`
    pub(crate) fn single(&mut self, way: Way, input: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_single()?;
            running.check_data(input)?;
            let bound = running.operation.output_bound(input.len());
            let work = |operation: &mut Box<dyn CipherOperation>, room: &mut [u8]| {
                operation.process(input, room).map_err(refused)
            };
            match way {
                Way::Decrypt if !running.operation.is_exact() => running.finish_within(bound, output, work),
                Way::Encrypt | Way::Decrypt => running.finish(bound, output, work),
            }
        })
    }

    /// `C_EncryptUpdate`, `C_DecryptUpdate`
    pub(crate) fn update(&mut self, input: &[u8], mut output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_part()?;
            running.check_data(input)?;
            let bytes = running.operation.update_bound(input.len());
            let written = match output.room(bytes) {
                Ok(room) => Written::Done(running.operation.update(input, room)?),
                // Told zero, some callers ask again with no buffer at all and never hand the part over.
                Err(Written::Needed(bytes)) => Written::Needed(bytes.max(input.len())),
                Err(written) => written,
            };
            running.has_parts |= matches!(written, Written::Done(_));
            Ok(Step::Goes(written))
        })
    }

    /// `C_EncryptFinal`, `C_DecryptFinal`
    pub(crate) fn last(&mut self, way: Way, output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_part()?;
            running.has_parts = true;
            let bound = running.operation.finish_bound();
            let work =
                |operation: &mut Box<dyn CipherOperation>, room: &mut [u8]| operation.finish(room).map_err(refused);
            match way {
                Way::Decrypt if !running.operation.is_exact() => running.finish_within(bound, output, work),
                Way::Encrypt | Way::Decrypt => running.finish(bound, output, work),
            }
        })
    }
}

impl Slot<Digester> {
    /// `C_Digest`
    pub(crate) fn single(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_single()?;
            let bytes = running.operation.output_bytes();
            running.finish(bytes, output, |operation, room| {
                operation.update(data)?;
                Ok(operation.finish(room)?)
            })
        })
    }

    /// `C_DigestUpdate`, `C_DigestKey`
    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.step(|running| {
            running.has_parts = true;
            running.operation.update(data)?;
            Ok(Step::Goes(Written::Done(0)))
        })?;
        Ok(())
    }

    /// `C_DigestFinal`
    pub(crate) fn last(&mut self, output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            let bytes = running.operation.output_bytes();
            running.finish(bytes, output, |operation, room| Ok(operation.finish(room)?))
        })
    }
}

impl Slot<Box<dyn SignOperation>> {
    /// `C_Sign`
    pub(crate) fn single(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_single()?;
            let bytes = running.operation.signature_bytes();
            running.finish(bytes, output, |operation, room| {
                operation.update(data)?;
                Ok(operation.finish(room)?)
            })
        })
    }

    /// `C_SignUpdate`
    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.step(|running| {
            running.check_part()?;
            running.has_parts = true;
            running.operation.update(data)?;
            Ok(Step::Goes(Written::Done(0)))
        })?;
        Ok(())
    }

    /// `C_SignFinal`
    pub(crate) fn last(&mut self, output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            running.check_part()?;
            let bytes = running.operation.signature_bytes();
            running.finish(bytes, output, |operation, room| Ok(operation.finish(room)?))
        })
    }
}

/// A verification; for `C_VerifySignature` the signature is given at the start.
pub(crate) struct Verification {
    pub(crate) operation: Box<dyn VerifyOperation>,
    pub(crate) signature: Option<Vec<u8>>,
}

impl Slot<Verification> {
    /// `C_Verify`, `C_VerifySignature`
    pub(crate) fn single(&mut self, data: &[u8], signature: Option<&[u8]>) -> Result<()> {
        self.step(|running| {
            running.check_single()?;
            running.operation.operation.update(data)?;
            running.operation.finish(signature)
        })?;
        Ok(())
    }

    /// `C_VerifyUpdate`, `C_VerifySignatureUpdate`
    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.step(|running| {
            running.check_verified_part()?;
            running.has_parts = true;
            running.operation.operation.update(data)?;
            Ok(Step::Goes(Written::Done(0)))
        })?;
        Ok(())
    }

    /// `C_VerifyFinal`, `C_VerifySignatureFinal`
    pub(crate) fn last(&mut self, signature: Option<&[u8]>) -> Result<()> {
        self.step(|running| {
            running.check_verified_part()?;
            running.operation.finish(signature)
        })?;
        Ok(())
    }
}

impl Running<Verification> {
    /// PKCS#1 v1.5 without a hash takes data of any length that the key has room for, so where the signature is known from
    /// the start its parts are gathered. A digest comes whole.
    fn check_verified_part(&mut self) -> Result<()> {
        let gathers = self.operation.signature.is_some() && self.start.mechanism == CKM_RSA_PKCS;
        if gathers { Ok(()) } else { self.check_part() }
    }
}

impl Verification {
    fn finish(&mut self, given: Option<&[u8]>) -> Result<Step> {
        let signature = given.or(self.signature.as_deref()).ok_or(Rv(CKR_ARGUMENTS_BAD))?;
        self.operation.finish(signature)?;
        Ok(Step::Ends(0))
    }
}

/// A signature with recovery under way: the key, since all of the work is one call.
pub(crate) struct Recovery(pub(crate) Arc<Object>);

impl Recovery {
    /// Bytes of a signature, and the most that are recovered from one.
    fn bytes(&self) -> Result<usize> {
        let bits = match self.0.key()? {
            Key::RsaPrivate(key) => key.bits(),
            Key::RsaPublic(key) => key.bits(),
            _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
        };
        usize::try_from(bits.div_ceil(8)).map_err(|_wide| Rv(CKR_GENERAL_ERROR))
    }
}

impl Slot<Recovery> {
    /// `C_SignRecover`
    pub(crate) fn sign(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            let (bytes, mechanism) = (running.operation.bytes()?, running.start.mechanism);
            running.finish(bytes, output, |recovery, room| {
                fill(room, &crypto::sign_recover(mechanism, recovery.0.key()?, data)?)
            })
        })
    }

    /// `C_VerifyRecover`
    pub(crate) fn verify(&mut self, signature: &[u8], output: Output<'_>) -> Result<Written> {
        self.step(|running| {
            let (bytes, mechanism) = (running.operation.bytes()?, running.start.mechanism);
            running.finish_within(bytes, output, |recovery, room| {
                fill(room, &crypto::verify_recover(mechanism, recovery.0.key()?, signature)?)
            })
        })
    }
}

fn fill(room: &mut [u8], bytes: &[u8]) -> Result<usize> {
    room.get_mut(..bytes.len()).ok_or(Rv(CKR_GENERAL_ERROR))?.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// A search: the handles that matched when it began, in reverse, so that the next one is popped.
pub(crate) struct Search(pub(crate) Vec<CK_OBJECT_HANDLE>);

/// All that a session may have under way.
#[derive(Default)]
pub(crate) struct Operations {
    /// The key that was used last.
    pub(crate) recent: Recent,
    pub(crate) search: Option<Search>,
    pub(crate) encrypt: Slot<Box<dyn CipherOperation>>,
    pub(crate) decrypt: Slot<Box<dyn CipherOperation>>,
    pub(crate) digest: Slot<Digester>,
    pub(crate) sign: Slot<Box<dyn SignOperation>>,
    pub(crate) verify: Slot<Verification>,
    pub(crate) verify_signature: Slot<Verification>,
    pub(crate) sign_recover: Slot<Recovery>,
    pub(crate) verify_recover: Slot<Recovery>,
    pub(crate) message_encrypt: Option<Messages>,
    pub(crate) message_decrypt: Option<Messages>,
    pub(crate) message_sign: Option<Signing>,
    pub(crate) message_verify: Option<Verifying>,
    /// Of the keys that this session wraps with authentication.
    pub(crate) wrap_ivs: IvSource,
}

impl Operations {
    /// Whether an operation waits for a log-in of its own.
    pub(super) fn wants_login(&self) -> bool {
        let Self { encrypt, decrypt, digest, sign, verify, verify_signature, sign_recover, verify_recover, .. } = self;
        let Self { message_sign, message_verify, .. } = self;
        let starts = [
            encrypt.started(),
            decrypt.started(),
            digest.started(),
            sign.started(),
            verify.started(),
            verify_signature.started(),
            sign_recover.started(),
            verify_recover.started(),
            message_sign.as_ref().map(Signing::start),
            message_verify.as_ref().map(Verifying::start),
        ];
        starts.into_iter().flatten().any(|start| start.wants_login)
    }

    /// The log-in has come.
    pub(super) fn logged_in(&mut self) {
        self.encrypt.logged_in();
        self.decrypt.logged_in();
        self.sign.logged_in();
        self.verify.logged_in();
        self.verify_signature.logged_in();
        self.sign_recover.logged_in();
        self.verify_recover.logged_in();
        if let Some(messages) = &mut self.message_sign {
            messages.logged_in();
        }
        if let Some(messages) = &mut self.message_verify {
            messages.logged_in();
        }
    }

    /// Ends operations that use private objects, and searches that may have found some.
    pub(super) fn end_private(&mut self) {
        self.search = None;
        self.recent.forget();
        self.encrypt.end_private();
        self.decrypt.end_private();
        self.digest.end_private();
        self.sign.end_private();
        self.verify.end_private();
        self.verify_signature.end_private();
        self.sign_recover.end_private();
        self.verify_recover.end_private();
        self.message_encrypt.take_if(|messages| messages.is_private());
        self.message_decrypt.take_if(|messages| messages.is_private());
        self.message_sign.take_if(|messages| messages.start().is_private);
        self.message_verify.take_if(|messages| messages.start().is_private);
    }

    /// The process of messages in one direction.
    pub(crate) fn messages(&mut self, way: Way) -> &mut Option<Messages> {
        match way {
            Way::Encrypt => &mut self.message_encrypt,
            Way::Decrypt => &mut self.message_decrypt,
        }
    }

    /// Whether anything but a digest is under way.
    pub(super) fn is_busy_beside_digest(&self) -> bool {
        self.encrypt.is_active()
            || self.decrypt.is_active()
            || self.sign.is_active()
            || self.verify.is_active()
            || self.verify_signature.is_active()
            || self.sign_recover.is_active()
            || self.verify_recover.is_active()
            || self.message_encrypt.is_some()
            || self.message_decrypt.is_some()
            || self.message_sign.is_some()
            || self.message_verify.is_some()
    }

    /// `C_DigestEncryptUpdate`, `C_SignEncryptUpdate`: what is encrypted is digested or signed first, but only once.
    pub(crate) fn update_and_encrypt(
        &mut self,
        part: &[u8],
        output: Output<'_>,
        take: impl FnOnce(&mut Self, &[u8]) -> Result<()>,
    ) -> Result<Written> {
        let written = self.encrypt.update(part, output)?;
        if matches!(written, Written::Done(_)) {
            take(self, part)?;
        }
        Ok(written)
    }

    /// `C_DecryptDigestUpdate`, `C_DecryptVerifyUpdate`: what is decrypted is digested or verified.
    pub(crate) fn decrypt_and_update(
        &mut self,
        part: &[u8],
        output: Output<'_>,
        take: impl FnOnce(&mut Self, &[u8]) -> Result<()>,
    ) -> Result<Written> {
        match output {
            Output::Query => self.decrypt.update(part, Output::Query),
            Output::Buffer(buffer) => {
                let written = self.decrypt.update(part, Output::Buffer(&mut *buffer))?;
                if let Written::Done(bytes) = written {
                    take(self, buffer.get(..bytes).ok_or(Rv(CKR_GENERAL_ERROR))?)?;
                }
                Ok(written)
            }
        }
    }

    /// Refuses a dual call unless both of its operations are under way.
    pub(crate) fn check_both(&self, function: Function) -> Result<()> {
        let are_active = match function {
            Function::DigestEncryptUpdate => self.digest.is_active() && self.encrypt.is_active(),
            Function::SignEncryptUpdate => self.sign.is_active() && self.encrypt.is_active(),
            Function::DecryptDigestUpdate => self.digest.is_active() && self.decrypt.is_active(),
            _ => self.verify.is_active() && self.decrypt.is_active(),
        };
        if are_active { Ok(()) } else { Err(Rv(CKR_OPERATION_NOT_INITIALIZED)) }
    }

    /// Ends the operation that a failed call of a function ends.
    pub(crate) fn end_of(&mut self, function: Function) {
        match function {
            Function::Encrypt | Function::EncryptUpdate | Function::EncryptFinal => self.encrypt.end(),
            Function::Decrypt | Function::DecryptUpdate | Function::DecryptFinal => self.decrypt.end(),
            Function::Digest | Function::DigestUpdate | Function::DigestKey | Function::DigestFinal => {
                self.digest.end();
            }
            Function::Sign | Function::SignUpdate | Function::SignFinal => self.sign.end(),
            Function::Verify | Function::VerifyUpdate | Function::VerifyFinal => self.verify.end(),
            Function::VerifySignature | Function::VerifySignatureUpdate | Function::VerifySignatureFinal => {
                self.verify_signature.end();
            }
            Function::SignRecover => self.sign_recover.end(),
            Function::VerifyRecover => self.verify_recover.end(),
            Function::DigestEncryptUpdate => {
                self.digest.end();
                self.encrypt.end();
            }
            Function::DecryptDigestUpdate => {
                self.digest.end();
                self.decrypt.end();
            }
            Function::SignEncryptUpdate => {
                self.sign.end();
                self.encrypt.end();
            }
            Function::DecryptVerifyUpdate => {
                self.verify.end();
                self.decrypt.end();
            }
            _ => {}
        }
    }

    /// What the operation that a function goes on with was started with.
    pub(crate) fn start_of(&self, function: Function) -> Option<&Start> {
        match function {
            Function::Encrypt | Function::EncryptUpdate | Function::EncryptFinal => self.encrypt.started(),
            Function::Decrypt | Function::DecryptUpdate | Function::DecryptFinal => self.decrypt.started(),
            Function::Digest | Function::DigestUpdate | Function::DigestKey | Function::DigestFinal => {
                self.digest.started()
            }
            Function::Sign | Function::SignUpdate | Function::SignFinal => self.sign.started(),
            Function::Verify | Function::VerifyUpdate | Function::VerifyFinal => self.verify.started(),
            Function::VerifySignature | Function::VerifySignatureUpdate | Function::VerifySignatureFinal => {
                self.verify_signature.started()
            }
            Function::SignRecover => self.sign_recover.started(),
            Function::VerifyRecover => self.verify_recover.started(),
            Function::DigestEncryptUpdate | Function::SignEncryptUpdate => self.encrypt.started(),
            Function::DecryptDigestUpdate | Function::DecryptVerifyUpdate => self.decrypt.started(),
            Function::EncryptMessage
            | Function::EncryptMessageBegin
            | Function::EncryptMessageNext
            | Function::MessageEncryptFinal => self.message_encrypt.as_ref().map(Messages::start),
            Function::DecryptMessage
            | Function::DecryptMessageBegin
            | Function::DecryptMessageNext
            | Function::MessageDecryptFinal => self.message_decrypt.as_ref().map(Messages::start),
            Function::SignMessage
            | Function::SignMessageBegin
            | Function::SignMessageNext
            | Function::MessageSignFinal => self.message_sign.as_ref().map(Signing::start),
            Function::VerifyMessage
            | Function::VerifyMessageBegin
            | Function::VerifyMessageNext
            | Function::MessageVerifyFinal => self.message_verify.as_ref().map(Verifying::start),
            _ => None,
        }
    }

    /// `C_SessionCancel`: ends the operations that flags name.
    pub(crate) fn cancel(&mut self, flags: CK_FLAGS) {
        let names = |flag: CK_FLAGS| flags & flag != 0;
        if names(CKF_FIND_OBJECTS) {
            self.search = None;
        }
        if names(CKF_ENCRYPT) {
            self.encrypt.end();
        }
        if names(CKF_DECRYPT) {
            self.decrypt.end();
        }
        if names(CKF_DIGEST) {
            self.digest.end();
        }
        if names(CKF_SIGN) {
            self.sign.end();
        }
        if names(CKF_VERIFY) {
            self.verify.end();
            self.verify_signature.end();
        }
        if names(CKF_SIGN_RECOVER) {
            self.sign_recover.end();
        }
        if names(CKF_VERIFY_RECOVER) {
            self.verify_recover.end();
        }
        if names(CKF_MESSAGE_ENCRYPT) {
            self.message_encrypt = None;
        }
        if names(CKF_MESSAGE_DECRYPT) {
            self.message_decrypt = None;
        }
        if names(CKF_MESSAGE_SIGN) {
            self.message_sign = None;
        }
        if names(CKF_MESSAGE_VERIFY) {
            self.message_verify = None;
        }
    }
}
