//! Calls that do not simply run: a fault plan is active, or a profile or a limit shapes what the module does.
//!
//! Everything that goes wrong on command goes wrong here, around the entry point's own work, so that entry points know
//! nothing of it.

use std::sync::atomic::Ordering;

use cryptoki_sys::*;

use super::{Entry, end_operation, run};
use crate::{
    config::Config,
    core::{
        clock,
        library::Library,
        names::Function,
        rv::{Result, Rv},
        session::Session,
    },
    crypto,
    fault::{Action, Call, DropSessions, Engine, Facts, Injection, Phase, Replacement, Verdict},
    profile::GcmIv,
    store::StoreFolder,
};

/// Runs an entry point of a module that does not simply run.
pub(super) fn call(
    library: &'static Library,
    entry: &Entry,
    work: impl FnOnce(&'static Library) -> Result<()>,
) -> Result<()> {
    let outcome = if library.faults.is_calm(&library.store) {
        shaped(library, entry, work)
    } else {
        faulty(library, entry, work)
    };
    let outcome = outcome.map_err(|rv| link(library, rv));
    library.faults.answered(&library.store, outcome.map_or_else(|rv| rv.0, |()| CKR_OK));
    outcome
}

/// Runs an entry point as the profile has it: without mechanisms that are missing, on a device that takes its time.
fn shaped(library: &'static Library, entry: &Entry, work: impl FnOnce(&'static Library) -> Result<()>) -> Result<()> {
    if library.is_plain {
        return run(library, entry, work);
    }
    if entry.function == Function::Finalize && library.is_link_lost.load(Ordering::Acquire) {
        return Err(Rv(CKR_GENERAL_ERROR));
    }
    let session = entry.session.and_then(|session| library.sessions.get(session).ok());
    if let (Some(mechanism), Some(_)) = (entry.mechanism, &session)
        && !library.config.offers(entry.function, mechanism, entry.has_parameter)
    {
        return Err(Rv(CKR_MECHANISM_INVALID));
    }
    let running =
        session.and_then(|session| session.operations().start_of(entry.function).map(|start| start.mechanism));
    let _engine = library.device.work(entry.function, entry.mechanism.or(running));
    if entry.function == Function::Login {
        std::thread::sleep(library.config.slow_start());
    }
    run(library, entry, work)
}

/// A model whose link to the device does not come back says so in its own way.
fn link(library: &Library, rv: Rv) -> Rv {
    match library.config.model().lost_link {
        Some(code) if matches!(rv.0, CKR_DEVICE_REMOVED | CKR_TOKEN_NOT_PRESENT) => {
            library.is_link_lost.store(true, Ordering::Release);
            Rv(code)
        }
        _ => rv,
    }
}

/// For models that make the IV of AES-GCM themselves: writes it where the caller's is.
///
/// # Safety
///
/// `mechanism` is null or points to a readable `CK_MECHANISM` whose parameter is null or readable for its length, and holds
/// the structure of that mechanism, whose IV is null or writable for its length.
pub(super) unsafe fn write_iv(config: &Config, mechanism: *const CK_MECHANISM) -> Result<()> {
    if mechanism.is_null() || config.gcm_iv() != GcmIv::WrittenBack {
        return Ok(());
    }
    // SAFETY: not null, and readable as the caller promises.
    let mechanism = unsafe { mechanism.read_unaligned() };
    if mechanism.mechanism != CKM_AES_GCM
        || mechanism.pParameter.is_null()
        || mechanism.ulParameterLen != size_of::<CK_GCM_PARAMS>() as CK_ULONG
    {
        return Ok(());
    }
    // SAFETY: not null, of the right length, and that structure as the caller promises.
    let params = unsafe { mechanism.pParameter.cast::<CK_GCM_PARAMS>().read_unaligned() };
    let bytes = usize::try_from(params.ulIvLen).map_err(|_too_long| Rv(CKR_MECHANISM_PARAM_INVALID))?;
    if params.pIv.is_null() || bytes > GCM_IV_BYTES_MAX {
        return Ok(());
    }
    let mut iv = [0; GCM_IV_BYTES_MAX];
    let iv = iv.get_mut(..bytes).unwrap_or_default();
    crypto::random(iv)?;
    // SAFETY: not null, and writable for the length as the caller promises; `iv` is a local copy.
    unsafe { params.pIv.copy_from_nonoverlapping(iv.as_ptr(), bytes) };
    Ok(())
}

/// PKCS#11 3.1 §6.13.8.
const GCM_IV_BYTES_MAX: usize = 256;

/// Faults of `C_Initialize` itself: a code instead of the work, a delay, or the end of the process.
pub(super) fn start(library: &Library) -> Result<()> {
    std::thread::sleep(library.config.slow_start());
    start_faults(&library.faults, &library.store)
}

/// The same without a library.
pub(super) fn start_faults(faults: &Engine, store: &StoreFolder) -> Result<()> {
    let call = Call { function: Function::Initialize, slot: None, session: None, mechanism: None, object: None };
    let Some(verdict) = faults.ask(store, &call) else { return Ok(()) };
    match &verdict.action {
        Action::Return { code: CKR_OK, .. } => Ok(()),
        Action::Return { code, .. } => Err(Rv(*code)),
        Action::Delay(delay) => {
            std::thread::sleep(delay.draw(verdict.random, verdict.turn));
            Ok(())
        }
        Action::Hang(time) => {
            Engine::hang(store, *time);
            Ok(())
        }
        Action::Abort => std::process::abort(),
        Action::Segv => segv(),
        // No session, slot or output is there to do something to.
        _ => {
            faults.take_back(store, Function::Initialize, &verdict);
            Ok(())
        }
    }
}

/// What a rule can know of a call.
fn describe(library: &Library, entry: &Entry) -> Call {
    let session = entry.session.and_then(|session| library.sessions.get(session).ok());
    let start = session.as_ref().and_then(|session| session.operations().start_of(entry.function).copied());
    let facts = |session: &Session, handle| session.token().object(handle).ok().map(|object| object.facts(handle));
    let object: Option<Facts> = session
        .as_ref()
        .filter(|_| library.faults.wants_objects(&library.store))
        .and_then(|session| facts(session, entry.object.or_else(|| start.map(|start| start.key))?));
    Call {
        function: entry.function,
        slot: entry.slot.or_else(|| session.as_ref().map(|session| session.token().slot())),
        session: entry.session,
        mechanism: entry.mechanism.or_else(|| start.map(|start| start.mechanism)),
        object,
    }
}

fn faulty(library: &'static Library, entry: &Entry, work: impl FnOnce(&'static Library) -> Result<()>) -> Result<()> {
    let seen = describe(library, entry);
    let verdict = library.faults.ask(&library.store, &seen);
    let lost = library.faults.lost(&library.store);
    let Some(verdict) = verdict else {
        let _losing = lost.map(|lost| Injection::new(None, Some(lost)));
        return shaped(library, entry, work);
    };
    let tamper = match &verdict.action {
        Action::Tamper(tamper) => Some((*tamper, verdict.random[0])),
        _ => None,
    };
    let injection = Injection::new(tamper, lost);
    match &verdict.action {
        Action::Return { code, phase, ends_operation } => {
            match phase {
                // The answer is lost on purpose, whatever it is.
                Phase::After => drop(shaped(library, entry, work)),
                Phase::Before if *ends_operation => end_operation(library, entry),
                Phase::Before => {}
            }
            if *code == CKR_OK { Ok(()) } else { Err(Rv(*code)) }
        }
        Action::Delay(delay) => {
            std::thread::sleep(delay.draw(verdict.random, verdict.turn));
            shaped(library, entry, work)
        }
        Action::Hang(time) => {
            Engine::hang(&library.store, *time);
            shaped(library, entry, work)
        }
        Action::Tamper(_) => {
            let outcome = shaped(library, entry, work);
            if !injection.was_applied() {
                library.faults.take_back(&library.store, entry.function, &verdict);
            }
            outcome
        }
        Action::LoseObject(_) => shaped(library, entry, work),
        Action::Abort => std::process::abort(),
        Action::Segv => segv(),
        _ => lose(library, entry, seen.slot, &verdict).unwrap_or_else(|| {
            // There is no session and no token in the call to take away.
            library.faults.take_back(&library.store, entry.function, &verdict);
            shaped(library, entry, work)
        }),
    }
}

/// Takes sessions, the log-in or the token away; nothing when the call has none to take.
fn lose(library: &'static Library, entry: &Entry, slot: Option<CK_SLOT_ID>, verdict: &Verdict) -> Option<Result<()>> {
    let slot = slot?;
    let token = library.token(slot).ok()?;
    let until = |time: std::time::Duration| {
        clock::milliseconds().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let code = match &verdict.action {
        Action::DropSessions(DropSessions::This) => {
            library.close_session(entry.session?).ok()?;
            CKR_SESSION_HANDLE_INVALID
        }
        Action::DropSessions(DropSessions::Slot) => {
            library.close_slot(slot);
            CKR_SESSION_HANDLE_INVALID
        }
        Action::LogOut => {
            library.sessions.get(entry.session?).and_then(|session| library.log_out(&session)).ok()?;
            CKR_USER_NOT_LOGGED_IN
        }
        Action::RemoveToken(time) => {
            token.store.remove_until(until(*time));
            CKR_DEVICE_REMOVED
        }
        Action::Restart(time) => {
            token.store.restart_until(until(*time));
            CKR_DEVICE_ERROR
        }
        Action::ReplaceToken(replacement) => {
            // Another token than the first one cannot be taken away from it.
            let original = library.original(slot)?;
            original.store.replace(*replacement == Replacement::Blank, clock::milliseconds());
            CKR_DEVICE_REMOVED
        }
        _ => return None,
    };
    // Looking notices what happened, which ends the sessions.
    drop(library.token(slot));
    Some(Err(Rv(code)))
}

/// Ends the process as a wild pointer does.
pub(super) fn segv() -> ! {
    // A runtime that looks at the signal first (Rust's does) gives it up the first time, so it is sent more than once. A
    // process that keeps it for itself ends all the same.
    for _ in 0..100 {
        let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::SEGV);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::process::abort()
}
