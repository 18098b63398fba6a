//! PKCS#11 modules: loaded once a process and path, initialised once, never unloaded.
//!
//! Two configured tokens that name the same file share one module and one `C_Initialize`. A module is leaked on purpose:
//! dropping the last reference would unload it, and a thread that used its thread-locals and ends later then crashes the
//! process. The environment a vendor library reads is set by the application before any thread starts.

use std::{
    ffi::CString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};
use parking_lot::{Mutex, MutexGuard};

use super::{
    quirks,
    raw::{self, Functions},
};

/// What a module that does not initialise means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The gateway is not started.
    Must,
    /// It is tried again: others serve meanwhile.
    MayFail,
}

/// One loaded module.
pub(super) struct Module {
    path: PathBuf,
    identity: (u64, u64),
    pkcs11: Pkcs11,
    functions: Functions,
    /// Taken around every call when the module cannot lock for itself, or does not do it well.
    serial: Mutex<()>,
    one_call: AtomicBool,
    /// It has said that it cannot lock: one thread works with it.
    one_thread: AtomicBool,
    reserved: Option<String>,
    users: AtomicUsize,
    initialized: Mutex<bool>,
    forgotten: AtomicBool,
    /// Calls that are in it now.
    inside: AtomicUsize,
    /// It is being initialised anew: nobody may enter.
    shut: AtomicBool,
    /// Links to its tokens.
    links: AtomicUsize,
    reinitialized: Mutex<Option<Instant>>,
}

/// A call that is in the module, until dropped.
pub(super) struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A token of the module that is linked, until dropped.
pub(super) struct Linked(&'static Module);

impl Drop for Linked {
    fn drop(&mut self) {
        self.0.links.fetch_sub(1, Ordering::SeqCst);
    }
}

/// At most so often is a module finalised and initialised (contract §2.1).
const REINITIALIZE_EVERY: Duration = Duration::from_secs(30);
/// How long calls may take to leave a module that is to be initialised anew.
const LEAVE: Duration = Duration::from_secs(5);

/// Every module of this process, by device and inode: that is how the loader tells files apart, too.
static LOADED: Mutex<Vec<&'static Module>> = Mutex::new(Vec::new());

impl Module {
    /// Loads and initialises a module, or finds it loaded.
    ///
    /// # Errors
    ///
    /// A text for the operator: what is wrong with the file or the module, and what to do.
    pub(super) fn load(path: &Path, reserved: Option<&str>, start: Start) -> Result<&'static Self, String> {
        let name = path.display();
        let metadata = fs::metadata(path).map_err(|error| {
            format!("the PKCS#11 module {name} cannot be read ({error}); correct `module`, or install it")
        })?;
        if !metadata.is_file() {
            return Err(format!("the PKCS#11 module {name} is not a file; name the module's .so in `module`"));
        }
        let identity = (metadata.dev(), metadata.ino());
        let mut loaded = LOADED.lock();
        if let Some(module) = loaded.iter().find(|module| module.identity == identity) {
            if module.reserved.as_deref() != reserved {
                return Err(format!(
                    "{name} is in use with another `reserved` text; a module takes one a process, so give both tables the same"
                ));
            }
            if let Err(why) = module.initialize()
                && start == Start::Must
            {
                return Err(why);
            }
            module.users.fetch_add(1, Ordering::Relaxed);
            return Ok(module);
        }
        let pkcs11 = Pkcs11::new(path).map_err(|error| match error {
            Error::LibraryLoading(error) => {
                format!("{name} cannot be loaded as a library ({error}); it must be a shared library for this platform")
            }
            Error::MissingSymbol(symbol) => {
                format!("{name} is a library but no PKCS#11 module: it has no {symbol}; correct `module`")
            }
            error => format!("{name} did not give its function list ({error}); ask the module's vendor"),
        })?;
        let functions = Functions::load(path).map_err(|why| format!("{name} is not a usable PKCS#11 module: {why}"))?;
        let module = Self {
            path: path.to_owned(),
            identity,
            pkcs11,
            functions,
            serial: Mutex::new(()),
            one_call: AtomicBool::new(false),
            one_thread: AtomicBool::new(false),
            reserved: reserved.map(str::to_owned),
            users: AtomicUsize::new(1),
            initialized: Mutex::new(false),
            forgotten: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            shut: AtomicBool::new(false),
            links: AtomicUsize::new(0),
            reinitialized: Mutex::new(None),
        };
        match module.initialize() {
            Err(why) if start == Start::Must => return Err(format!("{name} did not initialise: {why}")),
            Err(why) => tracing::warn!(module = %name, why, "the module did not initialise; it is tried again"),
            Ok(()) => {}
        }
        let module: &'static Self = Box::leak(Box::new(module));
        loaded.push(module);
        Ok(module)
    }

    /// Initialises again after `C_Finalize`, or when the module has forgotten it.
    pub(super) fn initialize(&self) -> Result<(), String> {
        let mut initialized = self.initialized.lock();
        if self.forgotten.swap(false, Ordering::Relaxed) || !*initialized {
            let one_thread = initialize(&self.pkcs11, self.reserved.as_deref())?;
            let one_call = one_thread || quirks::find(&describe(&self.pkcs11, &self.path)).one_call;
            self.one_thread.store(one_thread, Ordering::Relaxed);
            self.one_call.store(one_call, Ordering::Relaxed);
            *initialized = true;
        }
        Ok(())
    }

    /// Notes that the module answered `CKR_CRYPTOKI_NOT_INITIALIZED`.
    pub(super) fn forgot(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }

    /// Goes in for one call; `None` while the module is initialised anew.
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(&self.inside);
        if self.shut.load(Ordering::SeqCst) { None } else { Some(inside) }
    }

    /// One of its tokens is linked as long as the value lives.
    pub(super) fn linked(&'static self) -> Linked {
        self.links.fetch_add(1, Ordering::SeqCst);
        Linked(self)
    }

    /// The last resort where its tokens stay away: `C_Finalize` and `C_Initialize`. Not while one of its tokens serves, and not while
    /// a call is in it, because that call would come back into a module that does not know it any more. Whether it was done.
    pub(super) fn reinitialize(&self) -> bool {
        let mut last = self.reinitialized.lock();
        if self.links.load(Ordering::SeqCst) > 0 || last.is_some_and(|at| at.elapsed() < REINITIALIZE_EVERY) {
            return false;
        }
        *last = Some(Instant::now());
        self.shut.store(true, Ordering::SeqCst);
        let done = self.empty() && {
            let mut initialized = self.initialized.lock();
            let rv = if *initialized { self.functions.finalize() } else { 0 };
            *initialized = false;
            tracing::warn!(module = %self.path.display(), rv, "the module is finalised, to be initialised anew");
            true
        };
        self.shut.store(false, Ordering::SeqCst);
        if !done {
            tracing::error!(
                module = %self.path.display(),
                "a PKCS#11 call hangs, so the module is not initialised anew; restart the gateway, or give it                  isolation = \"process\""
            );
        }
        done
    }

    /// Waits until no call is in it, for a while.
    fn empty(&self) -> bool {
        let until = Instant::now() + LEAVE;
        while self.inside.load(Ordering::SeqCst) > 0 {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// One pool fewer uses the module; the last one may finalise it.
    pub(super) fn release(&self, finalize: impl FnOnce()) {
        let _loading = LOADED.lock();
        if self.users.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut initialized = self.initialized.lock();
            if *initialized {
                finalize();
                *initialized = false;
            }
        }
    }

    /// The function list.
    pub(super) const fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The lock around every call of a module that needs one.
    pub(super) fn serial(&self) -> Option<MutexGuard<'_, ()>> {
        self.one_call.load(Ordering::Relaxed).then(|| self.serial.lock())
    }

    /// Whether only one thread may work with it.
    pub(super) fn is_for_one_thread(&self) -> bool {
        self.one_thread.load(Ordering::Relaxed)
    }

    /// Where it was loaded from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the library says of itself, with its version and that of the standard.
    pub(super) fn library(&self) -> String {
        self.pkcs11.get_library_info().map_or_else(
            |_unknown| "not told".to_owned(),
            |info| {
                let (own, standard) = (info.library_version(), info.cryptoki_version());
                format!("{}, version {own}, PKCS#11 {standard}", self.description().trim())
            },
        )
    }

    /// Manufacturer and description of the library, for the quirk table.
    pub(super) fn description(&self) -> String {
        describe(&self.pkcs11, &self.path)
    }
}

fn describe(pkcs11: &Pkcs11, path: &Path) -> String {
    pkcs11.get_library_info().map_or_else(
        |error| {
            tracing::warn!(module = %path.display(), %error, "C_GetInfo");
            String::new()
        },
        |info| format!("{} {}", info.manufacturer_id(), info.library_description()),
    )
}

/// `C_Initialize`; whether the module can only be called by one thread at a time.
fn initialize(pkcs11: &Pkcs11, reserved: Option<&str>) -> Result<bool, String> {
    let reserved = reserved
        .map(CString::new)
        .transpose()
        .map_err(|error| format!("`reserved` holds a NUL byte at position {}", error.nul_position()))?;
    let args = raw::initialize_args(CInitializeFlags::OS_LOCKING_OK, reserved.clone());
    match pkcs11.initialize(args) {
        Ok(()) => Ok(false),
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
            tracing::warn!("the PKCS#11 module was initialised by somebody else in this process");
            Ok(false)
        }
        Err(Error::Pkcs11(RvError::CantLock, _)) => {
            tracing::warn!("the PKCS#11 module cannot lock; all its calls are made one after the other");
            let args = raw::initialize_args(CInitializeFlags::empty(), reserved);
            pkcs11.initialize(args).map(|()| true).map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("{error}; check the module's own configuration and environment")),
    }
}
