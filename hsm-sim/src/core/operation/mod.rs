//! The operations a session has under way, and the rules for ending them.
//!
//! A length query or a buffer that is too small leaves an operation as it was; everything else that is not a success ends
//! it (PKCS#11 3.1 §5.2). What a decryption will write is known only when it is done; if it then does not fit, the
//! plaintext waits in the operation for a caller with more room.

mod kinds;
mod of_session;
mod output;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::rv::{Result, Rv};
use crate::crypto::CryptoError;

pub(crate) use self::{
    kinds::{Recovery, Verification},
    of_session::{Operations, Search},
    output::{Output, Written},
};

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
