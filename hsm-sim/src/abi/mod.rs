//! The C interface: pointers in, return codes out.
//!
//! Entry points check pointers, turn them into slices and values, and call `core`; one file holds one family of the
//! function list. Every entry runs under [`call`], which finds the initialised module, asks the fault plan and turns a
//! panic into `CKR_GENERAL_ERROR`. Mapped pages live here too, because they are the other thing that needs `unsafe`.

mod cipher;
mod digest;
mod general;
mod interface;
mod key;
mod mechanism;
mod module;
mod object;
mod page;
mod pointer;
mod session;
mod sign;
mod slot;
mod unsupported;

pub(crate) use page::{SharedPage, WORDS as PAGE_WORDS};

use std::panic::{AssertUnwindSafe, catch_unwind};

use cryptoki_sys::*;

use crate::{
    core::{
        clock,
        library::Library,
        names::Function,
        rv::{Result, Rv},
        session::Session,
    },
    fault::{Action, Call, DropSessions, Phase},
};

/// What an entry point knows of its call before it looks at anything else.
struct Entry {
    function: Function,
    slot: Option<CK_SLOT_ID>,
    session: Option<CK_SESSION_HANDLE>,
    mechanism: Option<CK_MECHANISM_TYPE>,
}

impl Entry {
    const fn new(function: Function) -> Self {
        Self { function, slot: None, session: None, mechanism: None }
    }

    const fn slot(function: Function, slot: CK_SLOT_ID) -> Self {
        Self { function, slot: Some(slot), session: None, mechanism: None }
    }

    const fn session(function: Function, session: CK_SESSION_HANDLE) -> Self {
        Self { function, slot: None, session: Some(session), mechanism: None }
    }

    /// For the calls that name a mechanism.
    ///
    /// # Safety
    ///
    /// `mechanism` is null or points to a readable `CK_MECHANISM`.
    unsafe fn with_mechanism(mut self, mechanism: *const CK_MECHANISM) -> Self {
        if !mechanism.is_null() {
            // SAFETY: not null, and readable as the caller promises.
            self.mechanism = Some(unsafe { (&raw const (*mechanism).mechanism).read_unaligned() });
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
        if library.faults.is_calm(&library.store) {
            return run(library, &entry, work);
        }
        let outcome = faulty(library, &entry, work);
        library.faults.answered(&library.store, outcome.map_or_else(|rv| rv.0, |()| CKR_OK));
        outcome
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
    call(entry, |library| {
        let session = library.session(session)?;
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

/// Runs an entry point while a fault plan is active.
fn faulty(library: &'static Library, entry: &Entry, work: impl FnOnce(&'static Library) -> Result<()>) -> Result<()> {
    let session = entry.session.and_then(|session| library.sessions.get(session).ok());
    let seen = Call {
        function: entry.function,
        slot: entry.slot.or_else(|| session.as_ref().map(|session| session.token().slot())),
        session: entry.session,
        mechanism: entry
            .mechanism
            .or_else(|| session.as_ref().and_then(|session| session.operations().mechanism_of(entry.function))),
    };
    let Some(verdict) = library.faults.ask(&library.store, &seen) else { return run(library, entry, work) };
    match verdict.action {
        Action::Return { code, phase } => {
            match phase {
                // The answer is lost on purpose, whatever it is.
                Phase::After => drop(run(library, entry, work)),
                Phase::Before => end_operation(library, entry),
            }
            if code == CKR_OK { Ok(()) } else { Err(Rv(code)) }
        }
        Action::Delay(delay) => {
            std::thread::sleep(delay.draw(verdict.random));
            run(library, entry, work)
        }
        Action::DropSessions(which) => {
            match (which, entry.session, seen.slot) {
                (DropSessions::This, Some(session), _) => library.close_session(session)?,
                (DropSessions::Slot, _, Some(slot)) => library.close_slot(slot),
                // Nothing to drop in a call of no session and no slot.
                _ => return run(library, entry, work),
            }
            if entry.session.is_some() { Err(Rv(CKR_SESSION_HANDLE_INVALID)) } else { run(library, entry, work) }
        }
        Action::RemoveToken(time) => {
            let Some(slot) = seen.slot else { return run(library, entry, work) };
            let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            library.token(slot)?.store.remove_until(clock::milliseconds().saturating_add(time));
            // Looking notices the removal, which ends the sessions.
            drop(library.token(slot));
            Err(Rv(CKR_DEVICE_REMOVED))
        }
    }
}
