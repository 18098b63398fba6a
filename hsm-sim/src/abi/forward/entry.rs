//! The functions of forward mode: each signature of the table becomes a call of the other module.

use cryptoki_sys::*;

use super::{
    STATE, faults,
    faults::{Seen, forward},
    initialise, state, target,
};
use crate::{
    abi::{guard, interface, table::*},
    core::{names::Function, rv::Rv},
    fault,
};

/// Notes an argument that the plan can see.
macro_rules! note {
    ($seen:ident session $value:ident) => {
        Seen { session: Some($value), ..$seen }
    };
    ($seen:ident slot $value:ident) => {
        Seen { slot: Some($value), ..$seen }
    };
    ($seen:ident object $value:ident) => {
        Seen { object: Some($value), ..$seen }
    };
    ($seen:ident mechanism $value:ident) => {
        Seen { mechanism: $value, ..$seen }
    };
    ($seen:ident output $value:ident) => {
        Seen { output: $value, ..$seen }
    };
    ($seen:ident length $value:ident) => {
        Seen { length: $value, ..$seen }
    };
    ($seen:ident $other:ident $value:ident) => {
        $seen
    };
}

macro_rules! forwarded {
    ($($entry:ident $function:ident($($name:ident: $type:ty),* $(,)?);)+) => {
        $(
            unsafe extern "C" fn $entry($($name: $type),*) -> CK_RV {
                let seen = Seen::new(Function::$function);
                $(let seen = note!(seen $name $name);)*
                // SAFETY: the arguments are the caller's for this function, which goes to the same function.
                unsafe {
                    forward(&seen, |target| match target.list.$entry {
                        Some(function) => function($($name),*),
                        None => CKR_FUNCTION_NOT_SUPPORTED,
                    })
                }
            }
        )+

        /// A list of all functions of this file.
        pub(super) fn list() -> CK_FUNCTION_LIST_3_2 {
            CK_FUNCTION_LIST_3_2 {
                version: CK_VERSION { major: 3, minor: 2 },
                C_Initialize: Some(C_Initialize),
                C_Finalize: Some(C_Finalize),
                C_GetFunctionList: Some(interface::C_GetFunctionList),
                C_GetInterfaceList: Some(interface::C_GetInterfaceList),
                C_GetInterface: Some(interface::C_GetInterface),
                C_GetTokenInfo: Some(C_GetTokenInfo),
                C_FindObjects: Some(C_FindObjects),
                $($entry: Some($entry),)+
            }
        }
    };
}

functions!(forwarded);

unsafe extern "C" fn C_Initialize(arguments: Any) -> CK_RV {
    guard(|| initialise(target().ok_or(Rv(CKR_GENERAL_ERROR))?, arguments))
}

unsafe extern "C" fn C_Finalize(reserved: Any) -> CK_RV {
    let seen = Seen::new(Function::Finalize);
    // SAFETY: the arguments are the caller's for this function, which goes to the same function.
    let rv = unsafe {
        forward(&seen, |target| match target.list.C_Finalize {
            Some(function) => function(reserved),
            None => CKR_FUNCTION_NOT_SUPPORTED,
        })
    };
    if rv == CKR_OK {
        *STATE.write() = None;
    }
    rv
}

unsafe extern "C" fn C_GetTokenInfo(slot: SlotId, info: *mut CK_TOKEN_INFO) -> CK_RV {
    let mut seen = Seen::new(Function::GetTokenInfo);
    seen.slot = Some(slot);
    // SAFETY: the arguments are the caller's for this function, which goes to the same function.
    unsafe {
        forward(&seen, |target| {
            let Some(function) = target.list.C_GetTokenInfo else { return CKR_FUNCTION_NOT_SUPPORTED };
            let rv = function(slot, info);
            if rv == CKR_OK
                && !info.is_null()
                && let Ok(forward) = state()
                && (fault::is_armed() || forward.hides(Some(slot)))
            {
                let mut spoilt = info.read_unaligned();
                forward.describe_in_place(slot, &mut spoilt);
                fault::token_info(&mut spoilt);
                info.write_unaligned(spoilt);
            }
            rv
        })
    }
}

unsafe extern "C" fn C_FindObjects(session: Session, objects: New, most: Ulong, count: Length) -> CK_RV {
    let mut seen = Seen::new(Function::FindObjects);
    seen.session = Some(session);
    // SAFETY: the arguments are the caller's for this function, which goes to the same function.
    unsafe {
        forward(&seen, |target| {
            let Some(function) = target.list.C_FindObjects else { return CKR_FUNCTION_NOT_SUPPORTED };
            let rv = function(session, objects, most, count);
            if rv == CKR_OK && !count.is_null() && !objects.is_null() {
                let found = usize::try_from(count.read_unaligned().min(most)).unwrap_or(0);
                let is_hidden = state().is_ok_and(|forward| forward.hides(faults::slot_of(target, session)));
                let mut kept = 0;
                for place in 0..found {
                    let handle = objects.add(place).read_unaligned();
                    let facts = || faults::facts(target, session, handle).unwrap_or_default();
                    if !is_hidden && !fault::is_lost(facts) {
                        objects.add(kept).write_unaligned(handle);
                        kept += 1;
                    }
                }
                count.write_unaligned(kept as Ulong);
            }
            rv
        })
    }
}
