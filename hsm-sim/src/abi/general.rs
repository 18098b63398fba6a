//! General purpose functions (PKCS#11 3.1 §5.4).

use std::ffi::CStr;

use cryptoki_sys::*;

use super::{
    Entry, call, guard,
    module::{self, CallerLock},
    pointer, special,
};
use crate::{
    config::{InterfaceMax, Settings},
    core::{
        library::Library,
        names::Function,
        rv::{Result, Rv},
    },
};

/// # Safety
///
/// `arguments` is null or points to `CK_C_INITIALIZE_ARGS`.
pub(super) unsafe extern "C" fn C_Initialize(arguments: CK_VOID_PTR) -> CK_RV {
    guard(|| {
        if module::current().is_some() {
            return Err(Rv(CKR_CRYPTOKI_ALREADY_INITIALIZED));
        }
        let mut reserved = None;
        let mut locks = None;
        let mut may_start_threads = true;
        if !arguments.is_null() {
            // SAFETY: not null, and points to the structure as the caller promises.
            let arguments = unsafe { arguments.cast::<CK_C_INITIALIZE_ARGS>().read_unaligned() };
            may_start_threads = arguments.flags & CKF_LIBRARY_CANT_CREATE_OS_THREADS == 0;
            // SAFETY: as above.
            locks = unsafe { caller_lock(&arguments) }?;
            if !arguments.pReserved.is_null() {
                // SAFETY: the module documents the reserved pointer as a string that ends in NUL.
                let text = unsafe { CStr::from_ptr(arguments.pReserved.cast()) };
                reserved = Some(text.to_str().map_err(|_not_text| Rv(CKR_ARGUMENTS_BAD))?);
            }
        }
        let settings = Settings::resolve(reserved).map_err(|error| {
            // A wrong configuration has no return code of its own; without this line nobody could find it.
            eprintln!("hsm-sim: {error}");
            Rv(if reserved.is_some() { CKR_ARGUMENTS_BAD } else { CKR_GENERAL_ERROR })
        })?;
        let library = Library::open(settings).map_err(|error| {
            eprintln!("hsm-sim: {error}");
            Rv(CKR_GENERAL_ERROR)
        })?;
        special::start(&library)?;
        if may_start_threads {
            library.start_threads();
        }
        module::install(library, locks)
    })
}

/// The caller's mutex, if the caller forbids ours (PKCS#11 3.1 §5.4.1, the four cases).
///
/// # Safety
///
/// The arguments are those of a `C_Initialize` call.
unsafe fn caller_lock(arguments: &CK_C_INITIALIZE_ARGS) -> Result<Option<CallerLock>> {
    let CK_C_INITIALIZE_ARGS { CreateMutex, DestroyMutex, LockMutex, UnlockMutex, flags, .. } = *arguments;
    match (CreateMutex, DestroyMutex, LockMutex, UnlockMutex) {
        (None, None, None, None) => Ok(None),
        (Some(_), Some(_), Some(_), Some(_)) if flags & CKF_OS_LOCKING_OK != 0 => Ok(None),
        (Some(create), Some(_), Some(lock), Some(unlock)) => {
            // SAFETY: they are the callbacks of this call.
            unsafe { CallerLock::new(create, lock, unlock) }.map(Some)
        }
        _ => Err(Rv(CKR_ARGUMENTS_BAD)),
    }
}

/// # Safety
///
/// None beyond what the type says: the reserved pointer is only compared with null.
pub(super) unsafe extern "C" fn C_Finalize(reserved: CK_VOID_PTR) -> CK_RV {
    call(Entry::new(Function::Finalize), |_| {
        if !reserved.is_null() {
            return Err(Rv(CKR_ARGUMENTS_BAD));
        }
        module::remove()?.library.shut_down();
        Ok(())
    })
}

/// # Safety
///
/// `info` is null or points to writable memory for a `CK_INFO`.
pub(super) unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    call(Entry::new(Function::GetInfo), |library| {
        let (major, minor) = match library.config.interface_max {
            InterfaceMax::V2_40 => (2, 40),
            InterfaceMax::V3_0 => (3, 0),
            InterfaceMax::V3_2 => (3, 2),
        };
        let value = CK_INFO {
            cryptokiVersion: CK_VERSION { major, minor },
            manufacturerID: pointer::padded(library.config.model().names.library),
            flags: 0,
            libraryDescription: pointer::padded(library.config.model().names.description),
            libraryVersion: super::slot::VERSION,
        };
        // SAFETY: as the caller promises.
        unsafe { pointer::put(info, value) }
    })
}

/// # Safety
///
/// `slot` is null or points to writable memory for a `CK_SLOT_ID`.
pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: CK_VOID_PTR,
) -> CK_RV {
    guard(|| {
        // Not under `call`: a blocking wait must not hold the caller's mutex.
        let library = &module::current().ok_or(Rv(CKR_CRYPTOKI_NOT_INITIALIZED))?.library;
        pointer::check(slot)?;
        if !reserved.is_null() {
            return Err(Rv(CKR_ARGUMENTS_BAD));
        }
        let is_finalised = || module::current().is_none_or(|module| !std::ptr::eq(&raw const module.library, library));
        let event = library.slot_event(flags & CKF_DONT_BLOCK == 0, is_finalised)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(slot, event) }
    })
}

/// The legacy pair for parallel sessions, which this standard no longer has (PKCS#11 3.1 §5.20).
pub(super) extern "C" fn C_GetFunctionStatus(session: CK_SESSION_HANDLE) -> CK_RV {
    super::session_call(Function::GetFunctionStatus, session, |_, _| Err(Rv(CKR_FUNCTION_NOT_PARALLEL)))
}

/// See [`C_GetFunctionStatus`].
pub(super) extern "C" fn C_CancelFunction(session: CK_SESSION_HANDLE) -> CK_RV {
    super::session_call(Function::CancelFunction, session, |_, _| Err(Rv(CKR_FUNCTION_NOT_PARALLEL)))
}
