//! Forward mode: another module behind the fault plan. Tested with SoftHSM2 where it is
//! installed.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::RvError,
    mechanism::Mechanism,
    object::{Attribute, ObjectHandle},
    session::{Session, SessionState, UserType},
    slot::Slot,
};
use cryptoki_sys::{CK_INFO, CKR_DEVICE_MEMORY, CKR_OK};
use hsm_sim::fault::control;
use support::{SO_PIN, USER_PIN, aes, pin, refusal};

const PLACE: &str = "HSM_SIM_TEST_FORWARD";
const SOFTHSM: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

/// Runs [`child`] in a process of its own, with the module that it goes to.
fn run(to: &Path, environment: &[(&str, PathBuf)]) {
    let folder = tempfile::tempdir().unwrap();
    let options = folder.path().join("forward.toml");
    fs::write(&options, format!("forward = \"{}\"", to.display())).unwrap();
    fs::create_dir(folder.path().join("tokens")).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    let tokens = folder.path().join("tokens");
    fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("HSM_SIM_CONFIG", options)
        .env("HSM_SIM_STORE", folder.path().join("plans"))
        .env("SOFTHSM2_CONF", conf)
        .env(PLACE, folder.path())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all of it"), "{said}");
}

#[test]
fn softhsm2_becomes_faulty() {
    let Some(softhsm) = SOFTHSM.iter().map(Path::new).find(|path| path.exists()) else {
        println!("skipped, because SoftHSM2 is not installed");
        return;
    };
    run(softhsm, &[]);
}

#[test]
fn a_module_that_cannot_be_loaded_is_not_replaced_by_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let options = folder.path().join("forward.toml");
    fs::write(&options, "forward = \"/nowhere/at/all.so\"").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_without_target", "--nocapture", "--test-threads=1"])
        .env("HSM_SIM_CONFIG", options)
        .env("HSM_SIM_STORE", folder.path().join("plans"))
        .env(PLACE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("refused to start"), "{said}");
    assert!(said.contains("cannot forward to /nowhere/at/all.so"), "{said}");
}

#[test]
fn child_without_target() {
    if env::var_os(PLACE).is_none() {
        return;
    }
    let pkcs11 = Pkcs11::new(support::module()).unwrap();
    assert!(pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).is_err());
    println!("refused to start");
}

fn install(rule: &str) {
    let store = PathBuf::from(env::var_os("HSM_SIM_STORE").unwrap());
    control::install(&store, &format!("[[faults.rule]]\n{rule}")).unwrap();
}

fn stats() -> control::Stats {
    control::stats(&PathBuf::from(env::var_os("HSM_SIM_STORE").unwrap())).unwrap()
}

fn make_token(pkcs11: &Pkcs11) -> Slot {
    let free = pkcs11.get_slots_with_token().unwrap()[0];
    pkcs11.init_token(free, &pin(SO_PIN), "forwarded").unwrap();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let slot = slots.into_iter().find(|slot| pkcs11.get_token_info(*slot).unwrap().label() == "forwarded").unwrap();
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    session.init_pin(&pin(USER_PIN)).unwrap();
    slot
}

/// Another token stands in the slot, and nothing reaches the one that is away.
fn another_token(pkcs11: &Pkcs11, slot: Slot, mut session: Session, key: ObjectHandle) {
    let store = PathBuf::from(env::var_os("HSM_SIM_STORE").unwrap());
    let before = pkcs11.get_token_info(slot).unwrap();
    for kind in ["blank", "other-serial"] {
        let is_blank = kind == "blank";
        install(&format!(
            "match = {{ function = \"C_GenerateRandom\" }}\nat = [1]\naction = {{ replace_token = \"{kind}\" }}"
        ));
        assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
        assert_eq!(stats().injected["C_GenerateRandom"], 1, "{kind}");
        assert!(matches!(refusal(session.get_session_info()), RvError::SessionHandleInvalid));
        let now = pkcs11.get_token_info(slot).unwrap();
        assert_ne!(now.serial_number(), before.serial_number());
        assert_eq!(now.token_initialized(), !is_blank);
        assert_eq!(now.label(), if is_blank { "" } else { before.label() });
        let other = pkcs11.open_rw_session(slot).unwrap();
        let login = refusal(other.login(UserType::User, Some(&pin(USER_PIN))));
        let expected = if is_blank { RvError::UserPinNotInitialized } else { RvError::PinIncorrect };
        assert_eq!(format!("{login:?}"), format!("{expected:?}"));
        assert_eq!(other.find_objects(&[]).unwrap(), []);
        other.generate_random_vec(1).unwrap();
        assert!(matches!(refusal(other.encrypt_init(&Mechanism::AesEcb, key)), RvError::KeyHandleInvalid));
        assert!(matches!(refusal(other.destroy_object(key)), RvError::ObjectHandleInvalid));
        let made = other.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into()), Attribute::Token(true)]);
        assert!(matches!(refusal(made), RvError::TokenWriteProtected));
        assert!(matches!(refusal(pkcs11.init_token(slot, &pin(SO_PIN), "wiped")), RvError::TokenWriteProtected));

        control::release(&store).unwrap();
        assert!(matches!(refusal(other.get_session_info()), RvError::SessionHandleInvalid));
        assert_eq!(pkcs11.get_token_info(slot).unwrap().serial_number(), before.serial_number());
        session = support::login(pkcs11, slot);
        assert_eq!(session.find_objects(&[]).unwrap().len(), 2);
        // Its handles are new ones, as after any closing of all sessions.
        let found = session.find_objects(&[Attribute::Label("first".into())]).unwrap();
        session.encrypt(&Mechanism::AesEcb, found[0], &[0; 16]).unwrap();
    }
    control::clear(&store).unwrap();
}

/// A program that looks functions up by name is led to the other module, too.
fn by_name() {
    // SAFETY: it is loaded already.
    let module = unsafe { cryptoki_sys::Pkcs11::new(support::module()) }.unwrap();
    let mut info = CK_INFO::default();
    // SAFETY: there is room for the answer.
    assert_eq!(unsafe { module.C_GetInfo(&raw mut info) }, CKR_OK);
    assert_ne!(info.manufacturerID.trim_ascii(), b"hsm-sim");
    install("match = { function = \"C_GetInfo\" }\naction = { return = \"CKR_DEVICE_MEMORY\" }");
    // SAFETY: as above.
    assert_eq!(unsafe { module.C_GetInfo(&raw mut info) }, CKR_DEVICE_MEMORY);
    assert_eq!(stats().injected["C_GetInfo"], 1);
    control::clear(&PathBuf::from(env::var_os("HSM_SIM_STORE").unwrap())).unwrap();
}

/// The part that uses the module: does nothing unless a test started this program for it.
#[test]
fn child() {
    if env::var_os(PLACE).is_none() {
        return;
    }
    let pkcs11 = Pkcs11::new(support::module()).unwrap();
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    assert_ne!(pkcs11.get_library_info().unwrap().manufacturer_id(), "hsm-sim");
    let slot = make_token(&pkcs11);
    let user = || support::login(&pkcs11, slot);
    let session = user();
    let named = |label: &str| {
        [
            Attribute::Token(true),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Label(label.into()),
            Attribute::Id(label.as_bytes().to_vec()),
        ]
    };
    let (first, second) = (aes(&session, &named("first")), aes(&session, &named("second")));
    let encrypt = |key| session.encrypt(&Mechanism::AesEcb, key, &[0; 16]);
    let right = encrypt(first).unwrap();

    install(
        "match = { function = \"C_Encrypt\", mechanism = \"AES_ECB\" }\nat = [2]\naction = { return = \"CKR_DEVICE_ERROR\" }",
    );
    assert!(matches!(refusal(encrypt(first)), RvError::DeviceError));
    // The operation was ended: a new one can begin.
    assert_eq!(encrypt(first).unwrap(), right);
    let counted = stats();
    assert_eq!((counted.injected_total, counted.mechanisms["AES_ECB"] >= 3), (1, true));

    install("match = { function = \"C_GenerateKey\" }\naction = { return = \"CKR_DEVICE_ERROR\", phase = \"after\" }");
    let template = [Attribute::ValueLen(32.into()), Attribute::Token(true), Attribute::Label("ambiguous".into())];
    assert!(matches!(refusal(session.generate_key(&Mechanism::AesKeyGen, &template)), RvError::DeviceError));
    let made = session.find_objects(&[Attribute::Label("ambiguous".into())]).unwrap();
    assert_eq!(made.len(), 1);
    session.destroy_object(made[0]).unwrap();

    install("match = { function = \"C_Encrypt\" }\nat = [1]\naction = { corrupt = \"output-bit\" }");
    let wrong = encrypt(first).unwrap();
    assert_eq!(right.iter().zip(&wrong).map(|(right, wrong)| (right ^ wrong).count_ones()).sum::<u32>(), 1);
    assert_eq!(encrypt(first).unwrap(), right);

    install(
        "match = { function = \"C_Encrypt\", object = \"label:second\" }\naction = { return = \"CKR_KEY_HANDLE_INVALID\" }",
    );
    assert_eq!(encrypt(first).unwrap(), right);
    assert!(matches!(refusal(encrypt(second)), RvError::KeyHandleInvalid));
    install("match = { function = \"C_FindObjectsInit\" }\naction = { lose_object = \"id:7365636f6e64\" }");
    assert_eq!(session.find_objects(&[]).unwrap(), [first]);
    assert!(matches!(refusal(encrypt(second)), RvError::KeyHandleInvalid));

    install("match = { function = \"C_GetTokenInfo\" }\naction = { pin_state = \"final\" }");
    assert!(pkcs11.get_token_info(slot).unwrap().user_pin_final_try());
    assert!(!pkcs11.get_token_info(slot).unwrap().user_pin_locked());

    install("match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { logout = true }");
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::UserNotLoggedIn));
    assert_eq!(session.get_session_info().unwrap().session_state(), SessionState::RwPublic);
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();

    install("match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { drop_sessions = \"this\" }");
    let dropped = user();
    assert!(matches!(refusal(dropped.generate_random_vec(1)), RvError::SessionHandleInvalid));
    assert!(matches!(refusal(dropped.get_session_info()), RvError::SessionHandleInvalid));
    session.get_session_info().unwrap();

    install("match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { remove_token = \"300ms\" }");
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
    assert!(matches!(refusal(pkcs11.get_token_info(slot)), RvError::TokenNotPresent));
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
    let start = std::time::Instant::now();
    while pkcs11.get_token_info(slot).is_err() {
        assert!(start.elapsed().as_secs() < 60);
    }
    assert!(matches!(refusal(session.get_session_info()), RvError::SessionHandleInvalid));
    let session = user();
    assert_eq!(session.find_objects(&[]).unwrap().len(), 2);

    install("match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { restart = \"200ms\" }");
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceError));
    assert!(matches!(refusal(pkcs11.open_rw_session(slot)), RvError::DeviceError));
    control::clear(&PathBuf::from(env::var_os("HSM_SIM_STORE").unwrap())).unwrap();
    while pkcs11.open_rw_session(slot).is_err() {
        assert!(start.elapsed().as_secs() < 60);
    }
    drop(session);
    let session = user();
    assert_eq!(session.find_objects(&[]).unwrap().len(), 2);
    another_token(&pkcs11, slot, session, first);
    by_name();
    pkcs11.finalize().unwrap();
    println!("all of it");
}
