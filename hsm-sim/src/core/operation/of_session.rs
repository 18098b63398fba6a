//! All operations of one session, by the functions that start, continue and end them.

use cryptoki_sys::*;

use super::{Output, Recovery, Slot, Start, Verification, Way, Written};
use crate::{
    core::{
        message_sign::{Signing, Verifying},
        messages::{IvSource, Messages},
        names::Function,
        recent::Recent,
        rv::{Result, Rv},
    },
    crypto::{CipherOperation, Digester, SignOperation},
};

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
    pub(in crate::core) fn wants_login(&self) -> bool {
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
    pub(in crate::core) fn logged_in(&mut self) {
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
    pub(in crate::core) fn end_private(&mut self) {
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
    pub(in crate::core) fn is_busy_beside_digest(&self) -> bool {
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
