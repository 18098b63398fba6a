//! The token of a dev folder, looked at behind the gateway's back.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass},
    session::UserType,
    types::AuthPin,
};

use super::backend;

/// The module that cargo builds beside a test program.
fn module() -> PathBuf {
    let module = std::env::current_exe().unwrap().with_file_name("libhsm_sim.so");
    assert!(module.exists(), "{} is built with the program", module.display());
    module
}

/// Every object of the folder's token: its classes — `secret`, `private`, `public`, `data` — by label. The gateway may run.
#[must_use]
pub fn objects(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let pin = fs::read_to_string(folder.join("pin")).unwrap();
    backend::objects(folder, pin.trim_end()).unwrap_or_else(|| objects_in(&folder.join("hsm"), pin.trim_end()))
}

/// A copy of the module with a state of its own, as if it were loaded by another process.
#[must_use]
pub fn module_copy(to: &Path) -> PathBuf {
    fs::copy(module(), to).unwrap();
    to.to_owned()
}

fn load(store: &Path) -> Pkcs11 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let copy = module_copy(&store.with_extension(format!("{}-{number}.so", std::process::id())));
    let pkcs11 = Pkcs11::new(&copy).unwrap();
    fs::remove_file(&copy).unwrap();
    initialise(&pkcs11, store);
    pkcs11
}

/// Makes a token in a store of its own.
pub fn make(store: &Path, label: &str, pin: &str) {
    let pkcs11 = load(store);
    let slot = *pkcs11.get_slots_with_token().unwrap().first().unwrap();
    let so_pin = AuthPin::new("the officer".into());
    pkcs11.init_token(slot, &so_pin, label).unwrap();
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&so_pin)).unwrap();
    session.init_pin(&AuthPin::new(pin.into())).unwrap();
    session.logout().unwrap();
}

/// Puts a secret AES-256 key on the folder's token, as another program would: it may encrypt, decrypt and leave.
pub fn put_foreign_key(folder: &Path, label: &str, id: &[u8]) {
    let pin = fs::read_to_string(folder.join("pin")).unwrap();
    let pkcs11 = load(&folder.join("hsm"));
    let slot = *pkcs11.get_slots_with_initialized_token().unwrap().first().unwrap();
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::new(pin.trim_end().into()))).unwrap();
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Label(label.into()),
        Attribute::Id(id.into()),
        Attribute::ValueLen(32.into()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
}

/// As [`objects`], of the only token of a store.
#[must_use]
pub fn objects_in(store: &Path, pin: &str) -> BTreeMap<String, Vec<String>> {
    let pkcs11 = load(store);
    let slots = pkcs11.get_slots_with_initialized_token().unwrap();
    let [slot] = slots.as_slice() else { panic!("one token, not {slots:?}") };
    let session = pkcs11.open_ro_session(*slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::new(pin.into()))).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in session.find_objects(&[Attribute::Token(true)]).unwrap() {
        let (mut class, mut label) = (String::new(), String::new());
        for attribute in session.get_attributes(object, &[AttributeType::Class, AttributeType::Label]).unwrap() {
            match attribute {
                Attribute::Class(ObjectClass::SECRET_KEY) => class = "secret".to_owned(),
                Attribute::Class(ObjectClass::PRIVATE_KEY) => class = "private".to_owned(),
                Attribute::Class(ObjectClass::PUBLIC_KEY) => class = "public".to_owned(),
                Attribute::Class(ObjectClass::DATA) => class = "data".to_owned(),
                Attribute::Class(other) => class = other.to_string(),
                Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
                _ => {}
            }
        }
        found.entry(label).or_default().push(class);
    }
    found
}

#[expect(unsafe_code, reason = "the module's own argument is a C string")]
fn initialise(pkcs11: &Pkcs11, store: &Path) {
    let reserved = CString::new(format!("hsm-sim:store={}", store.display())).unwrap();
    let pointer = NonNull::new(reserved.as_ptr().cast_mut().cast()).unwrap();
    // SAFETY: the module reads the string during the call only, and it lives as long.
    let arguments = unsafe { CInitializeArgs::new_with_reserved(CInitializeFlags::OS_LOCKING_OK, pointer) };
    pkcs11.initialize(arguments).unwrap();
}
