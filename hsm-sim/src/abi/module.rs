//! The initialised module of this process, and how a forked child is kept away from its parent's.
//!
//! A module that has been initialised is never freed: calls that still run while another thread finalises keep a valid
//! reference, and a forked child, which must not touch its parent's database connections, can simply forget them. What
//! matters (sessions, keys, files) goes in `shut_down`.

use std::sync::{
    OnceLock,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};

use cryptoki_sys::*;

use super::page::ForkMark;
use crate::core::{
    library::Library,
    rv::{Result, Rv},
};

/// An initialised module.
pub(super) struct Module {
    pub(super) library: Library,
    locks: Option<CallerLock>,
}

static CURRENT: AtomicPtr<Module> = AtomicPtr::new(std::ptr::null_mut());
static MARK: OnceLock<Option<ForkMark>> = OnceLock::new();

const OURS: u64 = 1;

/// The word that a forked child finds cleared. Without one (a kernel before 4.14) the process id is compared instead.
fn mark() -> Option<&'static AtomicU64> {
    MARK.get_or_init(|| ForkMark::new().ok()).as_ref().map(ForkMark::word)
}

fn is_ours() -> bool {
    static PROCESS: AtomicU64 = AtomicU64::new(0);
    let Some(mark) = mark() else {
        let process = u64::from(std::process::id());
        return PROCESS.swap(process, Ordering::AcqRel) == process;
    };
    mark.load(Ordering::Relaxed) == OURS
}

/// The module that this process has initialised.
pub(super) fn current() -> Option<&'static Module> {
    let module = CURRENT.load(Ordering::Acquire);
    if module.is_null() || !is_ours() {
        return None;
    }
    // SAFETY: `install` stores pointers from `Box::leak` only, which stay valid and shared for the life of the process.
    Some(unsafe { &*module })
}

/// Makes a module the current one, unless there is one already.
pub(super) fn install(library: Library, locks: Option<CallerLock>) -> Result<()> {
    let before = CURRENT.load(Ordering::Acquire);
    if !before.is_null() && is_ours() {
        library.shut_down();
        return Err(Rv(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    }
    // In a forked child `before` is the parent's module, which is left alone for ever.
    let module = Box::leak(Box::new(Module { library, locks }));
    match CURRENT.compare_exchange(before, module, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            if let Some(mark) = mark() {
                mark.store(OURS, Ordering::Release);
            }
            Ok(())
        }
        Err(_another) => {
            module.library.shut_down();
            Err(Rv(CKR_CRYPTOKI_ALREADY_INITIALIZED))
        }
    }
}

/// Takes the current module away.
pub(super) fn remove() -> Result<&'static Module> {
    let module = current().ok_or(Rv(CKR_CRYPTOKI_NOT_INITIALIZED))?;
    let pointer = std::ptr::from_ref(module).cast_mut();
    CURRENT
        .compare_exchange(pointer, std::ptr::null_mut(), Ordering::AcqRel, Ordering::Acquire)
        .map_err(|_removed| Rv(CKR_CRYPTOKI_NOT_INITIALIZED))?;
    Ok(module)
}

type Mutex = *mut std::ffi::c_void;
type Callback = unsafe extern "C" fn(Mutex) -> CK_RV;

/// The caller's own mutex, for callers that forbid ours: every call runs under it.
pub(super) struct CallerLock {
    mutex: Mutex,
    lock: Callback,
    unlock: Callback,
}

// SAFETY: the callbacks are the caller's for use from any thread (PKCS#11 3.1 §5.1.5); the mutex is opaque to us.
unsafe impl Send for CallerLock {}
// SAFETY: as above.
unsafe impl Sync for CallerLock {}

impl CallerLock {
    /// Makes the mutex.
    ///
    /// # Safety
    ///
    /// The callbacks are those of a `C_Initialize` call.
    pub(super) unsafe fn new(
        create: unsafe extern "C" fn(*mut Mutex) -> CK_RV,
        lock: Callback,
        unlock: Callback,
    ) -> Result<Self> {
        let mut mutex = std::ptr::null_mut();
        // SAFETY: the callback takes a place for the new mutex.
        match unsafe { create(&raw mut mutex) } {
            CKR_OK => Ok(Self { mutex, lock, unlock }),
            rv => Err(Rv(rv)),
        }
    }
}

/// Holds the caller's mutex for one call.
pub(super) struct Serial(&'static CallerLock);

impl Module {
    /// Takes the caller's mutex, if calls are to be serial.
    pub(super) fn serial(&'static self) -> Option<Serial> {
        let locks = self.locks.as_ref()?;
        // SAFETY: the mutex was made by the caller's own callback. A refusal leaves the call unserialised, which is
        // safe here because everything inside is synchronised anyway.
        let _refused = unsafe { (locks.lock)(locks.mutex) };
        Some(Serial(locks))
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        // SAFETY: as in `serial`; it was locked there by this thread.
        let _refused = unsafe { (self.0.unlock)(self.0.mutex) };
    }
}
