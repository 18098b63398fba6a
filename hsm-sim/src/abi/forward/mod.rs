//! Forward mode: every call goes to another module, with the fault plan in front, so that any HSM can be made faulty.
//!
//! The option `forward` names the module. It is read from the environment's options file when the function list is asked
//! for, because that is when a program decides whose functions it calls; functions that are looked up by name look there, too. The
//! store only holds the plan and its counts. Faults of sessions and tokens are done with the other
//! module's own means (`C_CloseSession`, `C_Logout`) and, where it has none, by answering in its place in this process.

mod entry;
mod faults;
mod standin;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use cryptoki_sys::*;
use parking_lot::{Mutex, RwLock};

use crate::{
    config::Settings,
    core::rv::{Result, Rv},
    fault::Engine,
    store::StoreFolder,
};

/// The other module, loaded once and never unloaded.
pub(super) struct Target {
    /// Its functions; those it does not have are `None`.
    list: CK_FUNCTION_LIST_3_2,
    /// The newest version of its lists.
    version: (u8, u8),
    /// Keeps it loaded.
    _library: Option<Pkcs11>,
}

/// The state between `C_Initialize` and `C_Finalize`.
struct Forward {
    store: StoreFolder,
    faults: Engine,
    /// Slots that are away or restarting: until when, and which.
    away: Mutex<HashMap<CK_SLOT_ID, (u64, faults::Away)>>,
    /// Slots in which another token stands.
    standing: Mutex<HashMap<CK_SLOT_ID, standin::StandIn>>,
    /// The mechanism and key of the operations of sessions, noted while a plan is active.
    running: Mutex<HashMap<(CK_SESSION_HANDLE, faults::Family), (CK_MECHANISM_TYPE, CK_OBJECT_HANDLE)>>,
}

static STATE: RwLock<Option<Arc<Forward>>> = RwLock::new(None);

/// The other module, if the options name one.
pub(super) fn target() -> Option<&'static Target> {
    static TARGET: OnceLock<Option<Target>> = OnceLock::new();
    TARGET
        .get_or_init(|| {
            let path = Settings::resolve(None).ok()?.config.forward?;
            match load(&path) {
                Ok(target) => Some(target),
                Err(why) => {
                    // Going on as a simulated HSM would hide that the real one was never asked.
                    eprintln!("hsm-sim: cannot forward to {}: {why}", path.display());
                    Some(Target::broken())
                }
            }
        })
        .as_ref()
}

fn load(path: &PathBuf) -> Result<Target, String> {
    // SAFETY: whoever names a module in the options wants its code to run in this process.
    let library = unsafe { Pkcs11::new(path) }.map_err(|error| error.to_string())?;
    let mut list = CK_FUNCTION_LIST_3_2::default();
    let mut version = (2, 40);
    let newest = library.C_GetInterface.as_ref().ok().and_then(|get| {
        let mut interface: *mut CK_INTERFACE = std::ptr::null_mut();
        // SAFETY: null asks for the module's default interface, which it answers with memory of its own.
        let rv = unsafe { get(std::ptr::null_mut(), std::ptr::null_mut(), &raw mut interface, 0) };
        // SAFETY: a module that answers CKR_OK has set the pointer to an interface that stays.
        if rv == CKR_OK && !interface.is_null() { Some(unsafe { (*interface).pFunctionList }) } else { None }
    });
    let source = match newest {
        Some(found) if !found.is_null() => {
            // SAFETY: every function list begins with its version.
            let CK_VERSION { major, minor } = unsafe { found.cast::<CK_VERSION>().read_unaligned() };
            version = (major, minor);
            found.cast::<CK_FUNCTION_LIST>()
        }
        _ => {
            let get = library.C_GetFunctionList.as_ref().map_err(ToString::to_string)?;
            let mut found = std::ptr::null_mut();
            // SAFETY: the place is there for the answer.
            let rv = unsafe { get(&raw mut found) };
            if rv != CKR_OK || found.is_null() {
                return Err(format!("C_GetFunctionList answered {rv:#x}"));
            }
            found
        }
    };
    let bytes = match version {
        (3, 2..) | (4.., _) => size_of::<CK_FUNCTION_LIST_3_2>(),
        (3, _) => size_of::<CK_FUNCTION_LIST_3_0>(),
        _ => size_of::<CK_FUNCTION_LIST>(),
    };
    // SAFETY: each older list is the beginning of the newer one; the source is as long as its version says, and `None` is
    // what the rest was made of.
    unsafe { (&raw mut list).cast::<u8>().copy_from_nonoverlapping(source.cast::<u8>(), bytes) };
    Ok(Target { list, version, _library: Some(library) })
}

impl Target {
    /// One that has no function: the module could not be loaded, and `C_Initialize` says so.
    fn broken() -> Self {
        Self { list: CK_FUNCTION_LIST_3_2::default(), version: (2, 40), _library: None }
    }

    /// Whether the module has lists of a version.
    pub(super) fn has(&self, version: (u8, u8)) -> bool {
        version <= self.version
    }
}

/// The lists that lead through the fault plan.
pub(super) struct Lists {
    pub(super) v2_40: CK_FUNCTION_LIST,
    pub(super) v3_0: CK_FUNCTION_LIST_3_0,
    pub(super) v3_2: CK_FUNCTION_LIST_3_2,
}

/// The lists that lead through the fault plan, made once.
pub(super) fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| {
        let mut v3_2 = entry::list();
        v3_2.version = CK_VERSION { major: 3, minor: 2 };
        // SAFETY: each older list is the beginning of the newer one, field by field.
        let (mut v3_0, mut v2_40) = unsafe {
            (
                (&raw const v3_2).cast::<CK_FUNCTION_LIST_3_0>().read(),
                (&raw const v3_2).cast::<CK_FUNCTION_LIST>().read(),
            )
        };
        v3_0.version = CK_VERSION { major: 3, minor: 0 };
        v2_40.version = CK_VERSION { major: 2, minor: 40 };
        Lists { v2_40, v3_0, v3_2 }
    })
}

/// The state, once initialised.
fn state() -> Result<Arc<Forward>> {
    STATE.read().as_ref().map(Arc::clone).ok_or(Rv(CKR_CRYPTOKI_NOT_INITIALIZED))
}

/// Opens the store and its plan, and initialises the other module.
fn initialise(target: &Target, arguments: CK_VOID_PTR) -> Result<()> {
    let refused = |error: String| {
        eprintln!("hsm-sim: {error}");
        Rv(CKR_GENERAL_ERROR)
    };
    let initialise = target.list.C_Initialize.ok_or(Rv(CKR_LIBRARY_LOAD_FAILED))?;
    // The reserved pointer is the other module's.
    let settings = Settings::resolve(None).map_err(|error| refused(error.to_string()))?;
    let store = StoreFolder::open(&settings.store).map_err(|error| refused(error.to_string()))?;
    let faults = Engine::new(settings.config.faults, &store).map_err(|error| refused(error.to_string()))?;
    super::special::start_faults(&faults, &store)?;
    // SAFETY: the arguments are the caller's, for this function.
    match unsafe { initialise(arguments) } {
        CKR_OK => {
            let forward = Forward {
                store,
                faults,
                away: Mutex::default(),
                standing: Mutex::default(),
                running: Mutex::default(),
            };
            *STATE.write() = Some(Arc::new(forward));
            Ok(())
        }
        rv => Err(Rv(rv)),
    }
}
