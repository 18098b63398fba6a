//! What a fault does to a call that goes to another module.

use std::time::Duration;

use cryptoki_sys::*;

use super::{Forward, Target, state, target};
use crate::{
    abi::{guard, special},
    core::{
        clock,
        names::Function,
        rv::{Result, Rv},
    },
    fault::{self, Action, Call, DropSessions, Engine, Facts, Injection, Phase},
};

/// Whether a slot's token is out of it, or its device restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    Removed,
    Restarting,
}

/// Functions that go on with the operation that one of them started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Encrypt,
    Decrypt,
    Sign,
    Verify,
    Digest,
}

/// What an entry knows of its call.
pub(super) struct Seen {
    pub(super) function: Function,
    pub(super) session: Option<CK_SESSION_HANDLE>,
    pub(super) slot: Option<CK_SLOT_ID>,
    pub(super) object: Option<CK_OBJECT_HANDLE>,
    pub(super) mechanism: *const CK_MECHANISM,
    pub(super) output: *mut CK_BYTE,
    pub(super) length: *mut CK_ULONG,
}

impl Seen {
    pub(super) const fn new(function: Function) -> Self {
        let (output, length) = (std::ptr::null_mut(), std::ptr::null_mut());
        Self { function, session: None, slot: None, object: None, mechanism: std::ptr::null(), output, length }
    }
}

const fn family(function: Function) -> Option<Family> {
    Some(match function {
        Function::EncryptInit | Function::Encrypt | Function::EncryptUpdate | Function::EncryptFinal => Family::Encrypt,
        Function::DecryptInit | Function::Decrypt | Function::DecryptUpdate | Function::DecryptFinal => Family::Decrypt,
        Function::SignInit | Function::Sign | Function::SignUpdate | Function::SignFinal => Family::Sign,
        Function::VerifyInit | Function::Verify | Function::VerifyUpdate | Function::VerifyFinal => Family::Verify,
        Function::DigestInit
        | Function::Digest
        | Function::DigestUpdate
        | Function::DigestKey
        | Function::DigestFinal => Family::Digest,
        _ => return None,
    })
}

/// Runs a call on the other module, through the plan.
///
/// # Safety
///
/// The pointers of `seen` are the caller's for this function, null or as the standard has them.
pub(super) unsafe fn forward(seen: &Seen, work: impl FnOnce(&Target) -> CK_RV) -> CK_RV {
    guard(|| {
        let target = target().ok_or(Rv(CKR_GENERAL_ERROR))?;
        let forward = state()?;
        if forward.faults.is_calm(&forward.store) && forward.is_all_there() {
            return ok(work(target));
        }
        // SAFETY: as the caller promises.
        let outcome = unsafe { forward.faulty(target, seen, work) };
        forward.faults.answered(&forward.store, outcome.map_or_else(|rv| rv.0, |()| CKR_OK));
        outcome
    })
}

const fn ok(rv: CK_RV) -> Result<()> {
    if rv == CKR_OK { Ok(()) } else { Err(Rv(rv)) }
}

impl Forward {
    /// # Safety
    ///
    /// As [`forward`].
    unsafe fn faulty(&self, target: &Target, seen: &Seen, work: impl FnOnce(&Target) -> CK_RV) -> Result<()> {
        let slot = seen.slot.or_else(|| slot_of(target, seen.session?));
        self.check_presence(slot, seen)?;
        self.put_back(target);
        if let Some(code) = self.answer_in_place(slot, seen) {
            return Err(Rv(code));
        }
        // SAFETY: as the caller promises.
        let call = unsafe { self.describe(target, seen, slot) };
        let verdict = self.faults.ask(&self.store, &call);
        let lost = self.faults.lost(&self.store);
        let is_lost = |facts: &Facts| lost.iter().flat_map(|lost| lost.iter()).any(|selector| selector.is(facts));
        if lost.is_some() && call.object.as_ref().is_some_and(is_lost) {
            let is_object = matches!(
                seen.function,
                Function::GetAttributeValue
                    | Function::SetAttributeValue
                    | Function::DestroyObject
                    | Function::CopyObject
                    | Function::GetObjectSize
            );
            return Err(Rv(if is_object { CKR_OBJECT_HANDLE_INVALID } else { CKR_KEY_HANDLE_INVALID }));
        }
        let Some(verdict) = verdict else {
            let _losing = Injection::new(None, lost);
            // SAFETY: as the caller promises.
            return unsafe { run(target, seen, work) };
        };
        let tamper = match &verdict.action {
            Action::Tamper(tamper) => Some((*tamper, verdict.random[0])),
            _ => None,
        };
        let injection = Injection::new(tamper, lost);
        match &verdict.action {
            Action::Return { code, phase, ends_operation } => {
                match phase {
                    // The answer is lost on purpose, whatever it is. SAFETY: as the caller promises.
                    Phase::After => drop(unsafe { run(target, seen, work) }),
                    Phase::Before if *ends_operation => end_operation(target, seen),
                    Phase::Before => {}
                }
                ok(*code)
            }
            Action::Delay(delay) => {
                std::thread::sleep(delay.draw(verdict.random, verdict.turn));
                // SAFETY: as the caller promises.
                unsafe { run(target, seen, work) }
            }
            Action::Hang(time) => {
                Engine::hang(&self.store, *time);
                // SAFETY: as the caller promises.
                unsafe { run(target, seen, work) }
            }
            Action::Tamper(_) => {
                // SAFETY: as the caller promises.
                let outcome = unsafe { run(target, seen, work) };
                if !injection.was_applied() {
                    self.faults.take_back(&self.store, seen.function, &verdict);
                }
                outcome
            }
            // SAFETY: as the caller promises.
            Action::LoseObject(_) => unsafe { run(target, seen, work) },
            Action::Abort => std::process::abort(),
            Action::Segv => special::segv(),
            action => {
                if let Some(code) = self.lose(target, seen, slot, (action, verdict.random)) {
                    return Err(Rv(code));
                }
                self.faults.take_back(&self.store, seen.function, &verdict);
                // SAFETY: as the caller promises.
                unsafe { run(target, seen, work) }
            }
        }
    }

    /// Whether every slot has its own token.
    fn is_all_there(&self) -> bool {
        self.away.lock().is_empty() && self.standing.lock().is_empty()
    }

    /// Answers in the place of a slot whose token is away.
    fn check_presence(&self, slot: Option<CK_SLOT_ID>, seen: &Seen) -> Result<()> {
        let mut away = self.away.lock();
        let now = clock::milliseconds();
        away.retain(|_, (until, _)| now < *until);
        // A session that was closed under the caller has no slot any more; while anything is away it is that.
        let found = match slot {
            Some(slot) => away.get(&slot),
            None if seen.session.is_some() => away.values().next(),
            None => None,
        };
        match found {
            None => Ok(()),
            Some((_, Away::Restarting)) => Err(Rv(CKR_DEVICE_ERROR)),
            Some((_, Away::Removed)) if seen.session.is_some() => Err(Rv(CKR_DEVICE_REMOVED)),
            Some((_, Away::Removed)) if seen.function == Function::GetSlotInfo => Ok(()),
            Some((_, Away::Removed)) => Err(Rv(CKR_TOKEN_NOT_PRESENT)),
        }
    }

    /// # Safety
    ///
    /// As [`forward`].
    unsafe fn describe(&self, target: &Target, seen: &Seen, slot: Option<CK_SLOT_ID>) -> Call {
        let mut mechanism = None;
        if !seen.mechanism.is_null() {
            // SAFETY: not null, and readable as the caller promises.
            mechanism = Some(unsafe { (&raw const (*seen.mechanism).mechanism).read_unaligned() });
        }
        let (mut key, mut object) = (None, seen.object);
        if let (Some(session), Some(family)) = (seen.session, family(seen.function)) {
            let mut running = self.running.lock();
            if let Some(mechanism) = mechanism {
                running.insert((session, family), (mechanism, object.unwrap_or_default()));
            } else if let Some((started, on)) = running.get(&(session, family)) {
                mechanism = Some(*started);
                key = Some(*on);
            }
        }
        object = object.or(key).filter(|object| *object != 0);
        let wants_objects = self.faults.wants_objects(&self.store) || self.faults.lost(&self.store).is_some();
        let object = object.filter(|_| wants_objects).and_then(|object| facts(target, seen.session?, object));
        Call { function: seen.function, slot, session: seen.session, mechanism, object }
    }

    /// Takes sessions, the log-in or the token away by the module's own means; nothing when there is none to take.
    fn lose(
        &self,
        target: &Target,
        seen: &Seen,
        slot: Option<CK_SLOT_ID>,
        (action, [serial, _]): (&Action, [u64; 2]),
    ) -> Option<CK_RV> {
        let close_all = |slot| {
            target.list.C_CloseAllSessions.map(|close| {
                // SAFETY: a function of numbers only.
                unsafe { close(slot) }
            })
        };
        let away = |slot: CK_SLOT_ID, time: Duration, kind: Away| {
            let until = clock::milliseconds().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            self.away.lock().insert(slot, (until, kind));
        };
        match action {
            Action::DropSessions(DropSessions::This) => {
                // SAFETY: a function of numbers only.
                unsafe { target.list.C_CloseSession?(seen.session?) };
                Some(CKR_SESSION_HANDLE_INVALID)
            }
            Action::DropSessions(DropSessions::Slot) => {
                close_all(slot?)?;
                Some(CKR_SESSION_HANDLE_INVALID)
            }
            Action::LogOut => {
                // SAFETY: a function of numbers only.
                let rv = unsafe { target.list.C_Logout?(seen.session?) };
                (rv == CKR_OK).then_some(CKR_USER_NOT_LOGGED_IN)
            }
            Action::RemoveToken(time) => {
                close_all(slot?)?;
                away(slot?, *time, Away::Removed);
                Some(CKR_DEVICE_REMOVED)
            }
            Action::Restart(time) => {
                close_all(slot?)?;
                away(slot?, *time, Away::Restarting);
                Some(CKR_DEVICE_ERROR)
            }
            Action::ReplaceToken(replacement) => {
                close_all(slot?)?;
                self.stand_in(slot?, *replacement, serial);
                Some(CKR_DEVICE_REMOVED)
            }
            _ => None,
        }
    }
}

/// Runs the call and spoils its output, where the injection says so.
///
/// # Safety
///
/// As [`forward`].
unsafe fn run(target: &Target, seen: &Seen, work: impl FnOnce(&Target) -> CK_RV) -> Result<()> {
    let room = if seen.length.is_null() {
        0
    } else {
        // SAFETY: not null, and readable as the caller promises.
        unsafe { seen.length.read_unaligned() }
    };
    let rv = work(target);
    if fault::is_armed() && !seen.length.is_null() && matches!(rv, CKR_OK | CKR_BUFFER_TOO_SMALL) {
        // SAFETY: not null, and written by the module just now.
        let told = usize::try_from(unsafe { seen.length.read_unaligned() }).unwrap_or(usize::MAX);
        let is_written = rv == CKR_OK && !seen.output.is_null() && told as CK_ULONG <= room;
        let bytes = if is_written {
            // SAFETY: the module wrote so many bytes there, within the room that the caller promised.
            fault::written(unsafe { std::slice::from_raw_parts_mut(seen.output, told) })
        } else {
            fault::needed(told)
        };
        // SAFETY: as above.
        unsafe { seen.length.write_unaligned(bytes as CK_ULONG) };
    }
    ok(rv)
}

/// The slot of a session.
pub(super) fn slot_of(target: &Target, session: CK_SESSION_HANDLE) -> Option<CK_SLOT_ID> {
    let mut info = CK_SESSION_INFO::default();
    // SAFETY: the place is there for the answer.
    let rv = unsafe { target.list.C_GetSessionInfo?(session, &raw mut info) };
    (rv == CKR_OK).then_some(info.slotID)
}

/// What a selector can ask of an object of the other module.
pub(super) fn facts(target: &Target, session: CK_SESSION_HANDLE, handle: CK_OBJECT_HANDLE) -> Option<Facts> {
    let read = target.list.C_GetAttributeValue?;
    let value = |kind| {
        let mut bytes = [0_u8; 512];
        let mut wanted =
            CK_ATTRIBUTE { type_: kind, pValue: bytes.as_mut_ptr().cast(), ulValueLen: bytes.len() as CK_ULONG };
        // SAFETY: one attribute with room of its own.
        let rv = unsafe { read(session, handle, &raw mut wanted, 1) };
        let length = usize::try_from(wanted.ulValueLen).unwrap_or(usize::MAX);
        if rv == CKR_OK { bytes.get(..length).map(<[u8]>::to_vec).unwrap_or_default() } else { Vec::new() }
    };
    Some(Facts { handle, id: value(CKA_ID), label: value(CKA_LABEL) })
}

/// Ends the operation that a refused call belongs to: the standard's way is to finish it, whatever comes of that.
fn end_operation(target: &Target, seen: &Seen) {
    let (Some(session), Some(family)) = (seen.session, family(seen.function)) else { return };
    if matches!(
        seen.function,
        Function::EncryptInit
            | Function::DecryptInit
            | Function::SignInit
            | Function::VerifyInit
            | Function::DigestInit
    ) {
        return;
    }
    let mut rest = vec![0_u8; 64 << 10];
    let mut length = rest.len() as CK_ULONG;
    let list = &target.list;
    // SAFETY (all below): a session handle and a buffer of its own with its length. What it answers does not matter.
    let mut finish = |finish: Option<unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_BYTE, *mut CK_ULONG) -> CK_RV>| {
        // SAFETY: as above.
        finish.map(|finish| unsafe { finish(session, rest.as_mut_ptr(), &raw mut length) })
    };
    let _answer = match family {
        Family::Encrypt => finish(list.C_EncryptFinal),
        Family::Decrypt => finish(list.C_DecryptFinal),
        Family::Sign => finish(list.C_SignFinal),
        Family::Digest => finish(list.C_DigestFinal),
        // SAFETY: as above.
        Family::Verify => list.C_VerifyFinal.map(|finish| unsafe { finish(session, rest.as_mut_ptr(), 1) }),
    };
}
