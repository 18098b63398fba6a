//! The C interface: pointers in, return codes out.
//!
//! Entry points check pointers, turn them into slices and values, and call `core`; one file holds one family of the
//! function list. Every entry runs under [`call`], which finds the initialised module, asks the fault plan and turns a
//! panic into `CKR_GENERAL_ERROR`. Mapped pages live here too, because they are the other thing that needs `unsafe`.

#![expect(non_snake_case, reason = "the standard's names")]

mod cipher;
mod digest;
mod dual;
mod export;
mod forward;
pub(crate) mod fuzzing;
mod general;
mod interface;
mod key;
mod mechanism;
mod message;
mod message_sign;
mod module;
mod object;
mod page;
mod pointer;
mod recover;
mod session;
mod sign;
mod slot;
mod special;
mod table;
mod unsupported;

pub(crate) use page::{SharedPage, WORDS as PAGE_WORDS};

use std::panic::{AssertUnwindSafe, catch_unwind};

use cryptoki_sys::*;

use crate::{
    core::{
        library::Library,
        names::Function,
        rv::{Result, Rv},
        session::Session,
    },
    crypto,
};

/// What an entry point knows of its call before it looks at anything else.
struct Entry {
    function: Function,
    slot: Option<CK_SLOT_ID>,
    session: Option<CK_SESSION_HANDLE>,
    mechanism: Option<CK_MECHANISM_TYPE>,
    object: Option<CK_OBJECT_HANDLE>,
    has_parameter: bool,
}

impl Entry {
    const fn new(function: Function) -> Self {
        Self { function, slot: None, session: None, mechanism: None, object: None, has_parameter: false }
    }

    const fn slot(function: Function, slot: CK_SLOT_ID) -> Self {
        Self { slot: Some(slot), ..Self::new(function) }
    }

    const fn session(function: Function, session: CK_SESSION_HANDLE) -> Self {
        Self { session: Some(session), ..Self::new(function) }
    }

    /// For the calls that use an object or a key.
    const fn on(mut self, object: CK_OBJECT_HANDLE) -> Self {
        self.object = Some(object);
        self
    }

    /// For the calls that name a mechanism.
    ///
    /// # Safety
    ///
    /// `mechanism` is null or points to a readable `CK_MECHANISM`.
    unsafe fn with_mechanism(mut self, mechanism: *const CK_MECHANISM) -> Self {
        if !mechanism.is_null() {
            // SAFETY: not null, and readable as the caller promises.
            let mechanism = unsafe { mechanism.read_unaligned() };
            self.mechanism = Some(mechanism.mechanism);
            self.has_parameter = mechanism.ulParameterLen > 0;
        }
        self
    }
}

/// Runs an entry point on the initialised module.
fn call(entry: Entry, work: impl FnOnce(&'static Library) -> Result<()>) -> CK_RV {
    guard(|| {
        let module = module::current().ok_or(Rv(CKR_CRYPTOKI_NOT_INITIALIZED))?;
        let _serial = module.serial();
        let library = &module.library;
        if library.is_plain && library.faults.is_calm(&library.store) {
            return run(library, &entry, work);
        }
        special::call(library, &entry, work)
    })
}

/// Runs an entry point on a session.
fn session_call(
    function: Function,
    session: CK_SESSION_HANDLE,
    work: impl FnOnce(&'static Library, &Session) -> Result<()>,
) -> CK_RV {
    entry_call(Entry::session(function, session), session, work)
}

/// Runs an entry point on a session, with more known of the call.
fn entry_call(
    entry: Entry,
    session: CK_SESSION_HANDLE,
    work: impl FnOnce(&'static Library, &Session) -> Result<()>,
) -> CK_RV {
    let mechanism = entry.mechanism;
    call(entry, |library| {
        let session = library.session(session)?;
        if mechanism.and_then(crypto::mechanism).is_some_and(|info| !library.config.has(info)) {
            return Err(Rv(CKR_MECHANISM_INVALID));
        }
        work(library, &session)
    })
}

/// A panic must not cross into the caller.
fn guard(work: impl FnOnce() -> Result<()>) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(rv)) => rv.0,
        Err(_panic) => CKR_GENERAL_ERROR,
    }
}

fn run(library: &'static Library, entry: &Entry, work: impl FnOnce(&'static Library) -> Result<()>) -> Result<()> {
    let outcome = work(library);
    if outcome == Err(Rv(CKR_ARGUMENTS_BAD)) {
        end_operation(library, entry);
    }
    outcome
}

/// A call that is refused for its arguments, or by a fault, ends the operation it belongs to (PKCS#11 3.1 §5.2).
fn end_operation(library: &Library, entry: &Entry) {
    if let Some(Ok(session)) = entry.session.map(|session| library.sessions.get(session)) {
        session.operations().end_of(entry.function);
    }
}
