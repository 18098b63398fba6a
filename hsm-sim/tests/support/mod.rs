//! A token of its own for each test, through the module as a program loads it.
//!
//! Every test loads its own copy of the module file: the loader gives a copy its own state, so tests run beside each other
//! in one process, each with its own store.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    ptr::NonNull,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use hsm_sim::{
    admin,
    config::{Config, KdfCost},
};
use tempfile::TempDir;

pub(crate) const SO_PIN: &str = "so-secret";
pub(crate) const USER_PIN: &str = "user-secret";

/// The module that cargo built beside this test.
pub(crate) fn module() -> PathBuf {
    let module = std::env::current_exe().unwrap().with_file_name("libhsm_sim.so");
    assert!(module.exists(), "{} is built with the library", module.display());
    module
}

/// A store with one initialised token, and the module loaded on it.
pub(crate) struct Hsm {
    pub(crate) folder: TempDir,
    pub(crate) pkcs11: Pkcs11,
    pub(crate) slot: Slot,
}

impl Hsm {
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    /// With more lines in the options file.
    pub(crate) fn with_config(lines: &str) -> Self {
        let folder = new_store(lines);
        let pkcs11 = load(folder.path());
        let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
        Self { folder, pkcs11, slot }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A second, independent instance of the module on the same store, as another process would have it.
    pub(crate) fn another(&self) -> Pkcs11 {
        load(self.folder.path())
    }

    pub(crate) fn public(&self) -> Session {
        self.pkcs11.open_rw_session(self.slot).unwrap()
    }

    pub(crate) fn user(&self) -> Session {
        login(&self.pkcs11, self.slot)
    }
}

/// A folder with a store of one initialised token and an options file.
pub(crate) fn new_store(lines: &str) -> TempDir {
    new_store_with_pin(lines, USER_PIN)
}

pub(crate) fn new_store_with_pin(lines: &str, user_pin: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let options = folder.path().join("hsm-sim.toml");
    fs::write(&options, format!("kdf_cost = \"test\"\ndurability = \"off\"\n{lines}")).unwrap();
    let config = Config { kdf_cost: KdfCost::Test, ..Config::load(&options).unwrap() };
    admin::init_token_with(&folder.path().join("store"), &config, "test", SO_PIN.as_bytes(), user_pin.as_bytes())
        .unwrap();
    folder
}

/// Loads a fresh copy of the module and initialises it on a folder's store.
pub(crate) fn load(folder: &Path) -> Pkcs11 {
    let pkcs11 = load_only(folder);
    initialise(&pkcs11, folder).unwrap();
    pkcs11
}

/// Loads a fresh copy of the module.
pub(crate) fn load_only(folder: &Path) -> Pkcs11 {
    let copy = tempfile::Builder::new().suffix(".so").tempfile_in(folder).unwrap().into_temp_path();
    fs::copy(module(), &copy).unwrap();
    // The file goes when it is loaded; the mapping stays.
    Pkcs11::new(&copy).unwrap()
}

pub(crate) fn initialise(pkcs11: &Pkcs11, folder: &Path) -> Result<(), Error> {
    let folder = folder.display();
    let reserved = CString::new(format!("hsm-sim:store={folder}/store;config={folder}/hsm-sim.toml")).unwrap();
    let pointer = NonNull::new(reserved.as_ptr().cast_mut().cast()).unwrap();
    // SAFETY: the module reads the string during the call only, and it lives as long.
    pkcs11.initialize(unsafe { CInitializeArgs::new_with_reserved(CInitializeFlags::OS_LOCKING_OK, pointer) })
}

pub(crate) fn login(pkcs11: &Pkcs11, slot: Slot) -> Session {
    let session = pkcs11.open_rw_session(slot).unwrap();
    match session.login(UserType::User, Some(&pin(USER_PIN))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn pin(text: &str) -> AuthPin {
    AuthPin::new(text.into())
}

/// An AES key with more attributes.
pub(crate) fn aes(session: &Session, more: &[Attribute]) -> ObjectHandle {
    let mut template = vec![Attribute::ValueLen(32.into())];
    template.extend_from_slice(more);
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap()
}

/// The return code of a refusal.
#[track_caller]
pub(crate) fn refusal<T>(result: Result<T, Error>) -> RvError {
    match result {
        Ok(_) => panic!("the call was not refused"),
        Err(Error::Pkcs11(rv, _)) => rv,
        Err(error) => panic!("{error}"),
    }
}
