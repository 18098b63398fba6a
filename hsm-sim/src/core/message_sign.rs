//! Signatures and verifications message by message (PKCS#11 3.1 §5.14, §5.16): one key and mechanism for many messages.
//!
//! No mechanism here has parameters of its own for each message, so each is signed as `C_Sign` would have signed it. A
//! message that fails ends alone; the process it belongs to goes on until it is finished.

use std::sync::Arc;

use cryptoki_sys::*;

use super::{
    operation::{Operations, Output, Start, Written},
    permit,
    recent::Held,
    rv::{Result, Rv},
    session::Session,
};
use crate::crypto::{self, Key, Params, SignOperation, VerifyOperation};

type Open<T> = fn(CK_MECHANISM_TYPE, &Params, &Key) -> crypto::Result<T>;

/// A process of messages that are all signed, or all verified, under one key.
pub(crate) struct SignedMessages<T> {
    start: Start,
    /// Whether each message wants a log-in of its own.
    each_wants_login: bool,
    key: Arc<Held>,
    params: Params,
    open: Open<T>,
    current: Option<T>,
}

/// A process of messages to be signed.
pub(crate) type Signing = SignedMessages<Box<dyn SignOperation>>;

/// A process of messages to be verified.
pub(crate) type Verifying = SignedMessages<Box<dyn VerifyOperation>>;

impl<T> SignedMessages<T> {
    fn new(start: Start, key: Arc<Held>, params: Params, open: Open<T>) -> Result<Self> {
        // What cannot be signed with is refused now rather than with the first message.
        open(start.mechanism, &params, key.key()?)?;
        Ok(Self { start, each_wants_login: start.wants_login, key, params, open, current: None })
    }

    /// What the process was started with.
    pub(super) const fn start(&self) -> &Start {
        &self.start
    }

    /// A log-in of its own has come.
    pub(super) fn logged_in(&mut self) {
        self.start.wants_login = false;
    }

    /// Begins a message.
    fn open(&self) -> Result<T> {
        if self.current.is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        if self.start.wants_login {
            return Err(Rv(CKR_USER_NOT_LOGGED_IN));
        }
        Ok((self.open)(self.start.mechanism, &self.params, self.key.key()?)?)
    }

    /// `C_SignMessageBegin`, `C_VerifyMessageBegin`
    pub(crate) fn begin(&mut self) -> Result<()> {
        let operation = self.open()?;
        if !self.start.is_multi_part {
            return Err(Rv(CKR_MECHANISM_INVALID));
        }
        self.current = Some(operation);
        Ok(())
    }

    fn take(&mut self) -> Result<T> {
        self.current.take().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))
    }

    fn ended(&mut self) {
        self.start.wants_login = self.each_wants_login;
    }
}

impl Signing {
    /// `C_SignMessage`
    pub(crate) fn single(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        let mut operation = self.open()?;
        match output.room_for(operation.signature_bytes()) {
            Ok(room) => self.finish(&mut *operation, data, room),
            Err(written) => Ok(written),
        }
    }

    /// `C_SignMessageNext` with more to follow.
    pub(crate) fn next(&mut self, data: &[u8]) -> Result<()> {
        let mut operation = self.take()?;
        operation.update(data)?;
        self.current = Some(operation);
        Ok(())
    }

    /// `C_SignMessageNext` with the last part.
    pub(crate) fn last(&mut self, data: &[u8], output: Output<'_>) -> Result<Written> {
        let mut operation = self.take()?;
        match output.room_for(operation.signature_bytes()) {
            Ok(room) => self.finish(&mut *operation, data, room),
            Err(written) => {
                self.current = Some(operation);
                Ok(written)
            }
        }
    }

    fn finish(&mut self, operation: &mut dyn SignOperation, data: &[u8], room: &mut [u8]) -> Result<Written> {
        self.ended();
        operation.update(data)?;
        Ok(Written::Done(operation.finish(room)?))
    }
}

impl Verifying {
    /// `C_VerifyMessage`
    pub(crate) fn single(&mut self, data: &[u8], signature: &[u8]) -> Result<()> {
        let mut operation = self.open()?;
        self.finish(&mut *operation, data, signature)
    }

    /// `C_VerifyMessageNext`: without a signature there is more to follow.
    pub(crate) fn next(&mut self, data: &[u8], signature: Option<&[u8]>) -> Result<()> {
        let mut operation = self.take()?;
        if let Some(signature) = signature {
            return self.finish(&mut *operation, data, signature);
        }
        operation.update(data)?;
        self.current = Some(operation);
        Ok(())
    }

    fn finish(&mut self, operation: &mut dyn VerifyOperation, data: &[u8], signature: &[u8]) -> Result<()> {
        self.ended();
        operation.update(data)?;
        Ok(operation.finish(signature)?)
    }
}

impl Session {
    /// `C_MessageSignInit`
    pub(crate) fn message_sign_init(
        &self,
        number: CK_MECHANISM_TYPE,
        params: Params,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let mut operations = self.operations();
        if operations.message_sign.is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        let (key, start) = permit::permitted(self, &mut operations.recent, number, key, (CKF_MESSAGE_SIGN, CKA_SIGN))?;
        operations.message_sign = Some(SignedMessages::new(start, key, params, crypto::signer)?);
        Ok(())
    }

    /// `C_MessageVerifyInit`
    pub(crate) fn message_verify_init(
        &self,
        number: CK_MECHANISM_TYPE,
        params: Params,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let mut operations = self.operations();
        if operations.message_verify.is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        let usage = (CKF_MESSAGE_VERIFY, CKA_VERIFY);
        let (key, start) = permit::permitted(self, &mut operations.recent, number, key, usage)?;
        operations.message_verify = Some(SignedMessages::new(start, key, params, crypto::verifier)?);
        Ok(())
    }
}

impl Operations {
    /// The messages that are being signed.
    pub(crate) fn signing(&mut self) -> Result<&mut Signing> {
        self.message_sign.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))
    }

    /// The messages that are being verified.
    pub(crate) fn verifying(&mut self) -> Result<&mut Verifying> {
        self.message_verify.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))
    }

    /// `C_MessageSignFinal`
    pub(crate) fn end_signing(&mut self) -> Result<()> {
        check_idle(self.signing()?)?;
        self.message_sign = None;
        Ok(())
    }

    /// `C_MessageVerifyFinal`
    pub(crate) fn end_verifying(&mut self) -> Result<()> {
        check_idle(self.verifying()?)?;
        self.message_verify = None;
        Ok(())
    }
}

fn check_idle<T>(messages: &SignedMessages<T>) -> Result<()> {
    if messages.current.is_some() { Err(Rv(CKR_OPERATION_ACTIVE)) } else { Ok(()) }
}
