//! Every action of a fault plan: that it happened, and what the caller saw.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

mod support;

use std::{
    env,
    ffi::CString,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::ExitStatusExt},
    path::Path,
    process::Command,
    ptr,
    time::{Duration, Instant},
};

use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::{Attribute, AttributeType},
    session::{SessionState, UserType},
};
use cryptoki_sys::*;
use hsm_sim::fault::{control, scenario};
use support::{Hsm, USER_PIN, aes, pin, refusal};

/// A token whose plan, one rule, is installed from outside and counted there.
fn with_rule(rule: &str) -> Hsm {
    let hsm = Hsm::new();
    install(&hsm, rule);
    hsm
}

fn install(hsm: &Hsm, rule: &str) {
    control::install(&hsm.store(), &format!("[faults]\nseed = 7\n[[faults.rule]]\n{rule}")).unwrap();
}

fn fired(hsm: &Hsm) -> u64 {
    control::stats(&hsm.store()).unwrap().rules[0].fired
}

fn token_key(label: &str) -> [Attribute; 4] {
    [
        Attribute::Token(true),
        Attribute::Encrypt(true),
        Attribute::Label(label.into()),
        Attribute::Id(label.as_bytes().to_vec()),
    ]
}

// --- answers that are wrong -----------------------------------------------------------------------------------------

/// The digest functions as a C program calls them, which shows lengths as they are told.
struct Raw {
    list: CK_FUNCTION_LIST,
    session: CK_SESSION_HANDLE,
    _library: Pkcs11,
    folder: tempfile::TempDir,
}

macro_rules! call {
    ($raw:expr, $function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: each test gives pointers that its call may use.
        unsafe { $raw.list.$function.unwrap()($($argument),*) }
    };
}

impl Raw {
    fn new(rule: &str) -> Self {
        let folder = support::new_store(&format!("[[faults.rule]]\n{rule}"));
        let copy = folder.path().join("module.so");
        fs::copy(support::module(), &copy).unwrap();
        // SAFETY: the module has no initialisers that matter.
        let library = unsafe { Pkcs11::new(&copy) }.unwrap();
        let mut list = ptr::null_mut();
        // SAFETY: the list is a static of the module.
        let list = unsafe {
            assert_eq!(library.C_GetFunctionList(&raw mut list), CKR_OK);
            *list
        };
        let at = folder.path().display();
        let reserved = CString::new(format!("hsm-sim:store={at}/store;config={at}/hsm-sim.toml")).unwrap();
        let mut raw = Self { list, session: 0, _library: library, folder };
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: reserved.as_ptr().cast_mut().cast(),
            ..Default::default()
        };
        assert_eq!(call!(raw, C_Initialize((&raw mut arguments).cast())), CKR_OK);
        let (mut slots, mut count) = ([0; 4], 4);
        assert_eq!(call!(raw, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count)), CKR_OK);
        let session = &raw mut raw.session;
        assert_eq!(call!(raw, C_OpenSession(slots[0], CKF_SERIAL_SESSION, ptr::null_mut(), None, session)), CKR_OK);
        raw
    }

    fn start(&self) {
        let mut sha256 = CK_MECHANISM { mechanism: CKM_SHA256, pParameter: ptr::null_mut(), ulParameterLen: 0 };
        assert_eq!(call!(self, C_DigestInit(self.session, &raw mut sha256)), CKR_OK);
    }

    /// `C_Digest` of a word: code, length told, output.
    fn digest(&self, room: Option<usize>) -> (CK_RV, CK_ULONG, Vec<u8>) {
        let (mut data, mut output) = (*b"abc", vec![0; room.unwrap_or(0)]);
        let mut length = room.unwrap_or(0) as CK_ULONG;
        let pointer = if room.is_some() { output.as_mut_ptr() } else { ptr::null_mut() };
        let rv = call!(self, C_Digest(self.session, data.as_mut_ptr(), 3, pointer, &raw mut length));
        (rv, length, output)
    }
}

/// SHA-256 of `abc` (FIPS 180-4, the example of its appendix).
const ABC: [u8; 32] = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61,
    0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];

#[test]
fn corrupt_flips_one_bit_of_the_result_and_passes_over_questions_for_the_length() {
    let raw = Raw::new("match = { function = \"C_Digest\" }\nat = [1]\naction = { corrupt = \"output-bit\" }");
    raw.start();
    assert_eq!(raw.digest(None), (CKR_OK, 32, vec![]));
    let (rv, length, output) = raw.digest(Some(32));
    assert_eq!((rv, length), (CKR_OK, 32));
    let flipped: u32 = output.iter().zip(ABC).map(|(found, right)| (found ^ right).count_ones()).sum();
    assert_eq!(flipped, 1);
    raw.start();
    assert_eq!(raw.digest(Some(32)), (CKR_OK, 32, ABC.to_vec()));
}

#[test]
fn the_same_seed_flips_the_same_bit() {
    let flipped = || {
        let raw = Raw::new("match = { function = \"C_Digest\" }\naction = { corrupt = \"output-bit\" }");
        (0..8)
            .map(|_| {
                raw.start();
                raw.digest(Some(32)).2
            })
            .collect::<Vec<_>>()
    };
    let first = flipped();
    assert_eq!(first, flipped());
    assert!(first.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn short_write_tells_a_length_that_is_less() {
    let raw = Raw::new("match = { function = \"C_Digest\" }\nat = [1]\naction = { short_write = 3 }");
    raw.start();
    assert_eq!(raw.digest(Some(32)), (CKR_OK, 29, ABC.to_vec()));
    raw.start();
    assert_eq!(raw.digest(Some(32)).1, 32);
}

#[test]
fn size_query_overestimate_tells_too_much_and_then_writes_what_it_is() {
    let raw = Raw::new("match = { function = \"C_Digest\" }\ntimes = 2\naction = { size_query_overestimate = 16 }");
    raw.start();
    assert_eq!(raw.digest(None).1, 48);
    assert_eq!(raw.digest(Some(8)), (CKR_BUFFER_TOO_SMALL, 48, vec![0; 8]));
    assert_eq!(raw.digest(Some(48)).1, 32);
    assert!(raw.folder.path().exists());
}

#[test]
fn leave_operation_active_refuses_without_ending() {
    let raw = Raw::new(
        "match = { function = \"C_Digest\" }\nat = [1]\n\
         action = { return = \"CKR_DEVICE_MEMORY\", leave_operation_active = true }",
    );
    raw.start();
    assert_eq!(raw.digest(Some(32)).0, CKR_DEVICE_MEMORY);
    // By the standard this would be CKR_OPERATION_NOT_INITIALIZED.
    assert_eq!(raw.digest(Some(32)), (CKR_OK, 32, ABC.to_vec()));
}

// --- calls that wait ------------------------------------------------------------------------------------------------

#[test]
fn a_trace_of_delays_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    fs::write(&trace, "0\n80\n0\n").unwrap();
    let hsm = with_rule(&format!(
        "match = {{ function = \"C_GenerateRandom\" }}\naction = {{ delay = {{ dist = \"trace\", file = \"{}\" }} }}",
        trace.display()
    ));
    let session = hsm.public();
    let took: Vec<_> = (0..3)
        .map(|_| {
            let start = Instant::now();
            session.generate_random_vec(1).unwrap();
            start.elapsed()
        })
        .collect();
    assert!(took[1] >= Duration::from_millis(80), "{took:?}");
    assert_eq!(fired(&hsm), 3);
}

#[test]
fn a_call_that_hangs_goes_on_when_it_is_released() {
    let hsm = with_rule("match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { hang = \"300s\" }");
    let session = hsm.public();
    let store = hsm.store();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let stuck = scope.spawn(move || session.generate_random_vec(4).unwrap().len());
        while fired(&hsm) == 0 {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert!(!stuck.is_finished());
        control::release(&store).unwrap();
        assert_eq!(stuck.join().unwrap(), 4);
    });
    assert!(start.elapsed() < Duration::from_secs(250));
}

#[test]
fn a_call_that_hangs_goes_on_when_its_time_is_over() {
    let hsm = with_rule("match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { hang = \"150ms\" }");
    let session = hsm.public();
    let start = Instant::now();
    session.generate_random_vec(4).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(fired(&hsm), 1);
}

// --- what goes away -------------------------------------------------------------------------------------------------

#[test]
fn a_log_out_from_nowhere() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let other = hsm.public();
    let key = aes(&session, &token_key("kept"));
    install(&hsm, "match = { function = \"C_EncryptInit\" }\nat = [1]\naction = { logout = true }");
    let encrypted = session.encrypt(&Mechanism::AesEcb, key, &[0; 16]);
    assert!(matches!(refusal(encrypted), RvError::UserNotLoggedIn));
    for session in [&session, &other] {
        assert_eq!(session.get_session_info().unwrap().session_state(), SessionState::RwPublic);
    }
    let made = session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into()), Attribute::Private(true)]);
    assert!(matches!(refusal(made), RvError::UserNotLoggedIn));
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
    assert_eq!(fired(&hsm), 1);
}

#[test]
fn a_restart_takes_sessions_session_objects_and_handles() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let before = aes(&session, &token_key("kept"));
    aes(&session, &[]);
    install(&hsm, "match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { restart = \"400ms\" }");
    let start = Instant::now();
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceError));
    while let Err(error) = hsm.pkcs11.open_rw_session(hsm.slot) {
        assert!(matches!(refusal::<()>(Err(error)), RvError::DeviceError));
        assert!(matches!(refusal(session.get_session_info()), RvError::DeviceError | RvError::SessionHandleInvalid));
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    // The simulator counts whole milliseconds of the wall clock.
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(hsm.pkcs11.get_slot_info(hsm.slot).unwrap().token_present());
    assert!(matches!(refusal(session.get_session_info()), RvError::SessionHandleInvalid));
    let session = hsm.user();
    let found = session.find_objects(&[]).unwrap();
    assert_eq!(found.len(), 1);
    assert_ne!(found[0].handle(), before.handle());
    assert!(matches!(refusal(session.encrypt(&Mechanism::AesEcb, before, &[0; 16])), RvError::KeyHandleInvalid));
    session.encrypt(&Mechanism::AesEcb, found[0], &[0; 16]).unwrap();
    session.update_attributes(found[0], &[Attribute::Label("renamed".into())]).unwrap();
    let made = aes(&session, &token_key("new"));
    session.encrypt(&Mechanism::AesEcb, made, &[0; 16]).unwrap();
    session.destroy_object(made).unwrap();
    assert_eq!(fired(&hsm), 1);
    // Another process sees the same handles.
    let other = hsm.another();
    let there = support::login(&other, hsm.slot);
    assert_eq!(there.find_objects(&[Attribute::Label("renamed".into())]).unwrap(), found);
}

#[test]
fn a_blank_token_comes_into_the_slot_and_goes_again() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let kept = aes(&session, &token_key("kept"));
    install(&hsm, "match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { replace_token = \"blank\" }");
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
    let info = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert!(!info.token_initialized() && info.label().is_empty());
    let session = hsm.public();
    assert_eq!(session.find_objects(&[]).unwrap(), []);
    let login = session.login(UserType::User, Some(&pin(USER_PIN)));
    assert!(matches!(refusal(login), RvError::UserPinNotInitialized));
    drop(session);
    // It can be initialised, which does nothing to the one that is away.
    hsm.pkcs11.init_token(hsm.slot, &pin("another-so"), "another").unwrap();
    assert_eq!(hsm.pkcs11.get_token_info(hsm.slot).unwrap().label(), "another");
    let session = hsm.public();
    control::release(&hsm.store()).unwrap();
    assert!(matches!(refusal(session.get_session_info()), RvError::SessionHandleInvalid | RvError::DeviceRemoved));
    assert_eq!(hsm.user().find_objects(&[]).unwrap(), [kept]);
    assert_eq!(fired(&hsm), 1);
}

#[test]
fn another_token_of_the_same_label_has_another_serial_and_other_pins() {
    let hsm = Hsm::new();
    let before = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    let session = hsm.user();
    aes(&session, &token_key("kept"));
    let other = hsm.another();
    let there = other.open_rw_session(hsm.slot).unwrap();
    install(
        &hsm,
        "match = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { replace_token = \"other-serial\" }",
    );
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
    for module in [&hsm.pkcs11, &other] {
        let now = module.get_token_info(hsm.slot).unwrap();
        assert_eq!(now.label(), before.label());
        assert_ne!(now.serial_number(), before.serial_number());
        assert!(now.token_initialized());
    }
    assert!(refusal(there.get_session_info()).to_string().len() > 1);
    assert_eq!(hsm.public().find_objects(&[]).unwrap(), []);
    control::clear(&hsm.store()).unwrap();
    assert_eq!(hsm.pkcs11.get_token_info(hsm.slot).unwrap().serial_number(), before.serial_number());
    assert_eq!(hsm.user().find_objects(&[]).unwrap().len(), 1);
}

#[test]
fn a_lost_object_is_found_by_nobody_until_the_plan_goes() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let (lost, kept) = (aes(&session, &token_key("lost")), aes(&session, &token_key("kept")));
    install(&hsm, "match = { function = \"C_FindObjectsInit\" }\nat = [2]\naction = { lose_object = \"id:6c6f7374\" }");
    assert_eq!(session.find_objects(&[]).unwrap(), [lost, kept]);
    session.encrypt(&Mechanism::AesEcb, lost, &[0; 16]).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [kept]);
    assert_eq!(session.find_objects(&[Attribute::Label("lost".into())]).unwrap(), []);
    assert!(matches!(refusal(session.encrypt(&Mechanism::AesEcb, lost, &[0; 16])), RvError::KeyHandleInvalid));
    let read = session.get_attributes(lost, &[AttributeType::Label]);
    assert!(matches!(refusal(read), RvError::ObjectHandleInvalid));
    let other = hsm.another();
    assert_eq!(support::login(&other, hsm.slot).find_objects(&[]).unwrap(), [kept]);
    control::clear(&hsm.store()).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [lost, kept]);
}

// --- the end of the process -----------------------------------------------------------------------------------------

/// The part that dies: does nothing unless a test started this program for it.
#[test]
fn child() {
    let Some(folder) = env::var_os("HSM_SIM_TEST_CRASH") else { return };
    let pkcs11 = support::load(Path::new(&folder));
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.generate_random_vec(1).unwrap();
    println!("once");
    session.generate_random_vec(1).unwrap();
    println!("twice");
}

fn signal_of(action: &str) -> Option<i32> {
    let hsm = Hsm::with_config(&format!(
        "[faults]\nallow_crash = true\n[[faults.rule]]\nmatch = {{ function = \"C_GenerateRandom\" }}\nat = [2]\naction = {action}"
    ));
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("HSM_SIM_TEST_CRASH", hsm.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("once") && !said.contains("twice"), "{said}");
    output.status.signal()
}

#[test]
fn abort_and_segv_end_the_process_that_allows_it() {
    assert_eq!(signal_of("{ abort = true }"), Some(6));
    assert_eq!(signal_of("{ segv = true }"), Some(11));
    let hsm = Hsm::new();
    let plan = "[[faults.rule]]\naction = { segv = true }";
    assert!(control::install(&hsm.store(), plan).unwrap_err().to_string().contains("allow_crash"));
}

// --- which calls ----------------------------------------------------------------------------------------------------

#[test]
fn a_rule_for_an_object_leaves_the_others_alone() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let (bad, good) = (aes(&session, &token_key("bad")), aes(&session, &token_key("good")));
    install(
        &hsm,
        "match = { function = \"C_Encrypt\", object = \"label:bad\" }\naction = { return = \"CKR_DEVICE_ERROR\" }",
    );
    session.encrypt(&Mechanism::AesEcb, good, &[0; 16]).unwrap();
    assert!(matches!(refusal(session.encrypt(&Mechanism::AesEcb, bad, &[0; 16])), RvError::DeviceError));
    session.encrypt(&Mechanism::AesEcb, good, &[0; 16]).unwrap();
    install(&hsm, "match = { object = \"id:626164\" }\naction = { return = \"CKR_KEY_HANDLE_INVALID\" }");
    assert!(matches!(refusal(session.destroy_object(bad)), RvError::KeyHandleInvalid));
    session.destroy_object(good).unwrap();
}

#[test]
fn a_rule_begins_after_its_time() {
    let hsm = with_rule(
        "match = { function = \"C_GenerateRandom\" }\nafter_time = \"300ms\"\naction = { return = \"CKR_DEVICE_ERROR\" }",
    );
    let (session, start) = (hsm.public(), Instant::now());
    while session.generate_random_vec(1).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    assert!(fired(&hsm) >= 1 && control::stats(&hsm.store()).unwrap().began_ms_ago >= 300);
}

#[test]
fn a_rate_is_the_same_for_the_same_seed() {
    let failures = |seed: u64| {
        let hsm = Hsm::new();
        let plan = format!(
            "[faults]\nseed = {seed}\n[[faults.rule]]\nmatch = {{ function = \"C_GenerateRandom\" }}\nrate = 0.2\n\
             action = {{ return = \"CKR_DEVICE_ERROR\" }}"
        );
        control::install(&hsm.store(), &plan).unwrap();
        let session = hsm.public();
        (0..200).map(|_| session.generate_random_vec(1).is_err()).collect::<Vec<_>>()
    };
    let first = failures(1);
    assert_eq!(first, failures(1));
    assert_ne!(first, failures(2));
    let failed = first.iter().filter(|failed| **failed).count();
    assert!((20..=60).contains(&failed), "{failed} of 200 at a rate of 0.2");
}

#[test]
fn calls_are_counted_by_mechanism() {
    let hsm = Hsm::new();
    control::install(&hsm.store(), "[faults]\ncount = true").unwrap();
    let session = hsm.user();
    let key = aes(&session, &[Attribute::Encrypt(true)]);
    session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
    let stats = control::stats(&hsm.store()).unwrap();
    assert_eq!((stats.mechanisms["AES_KEY_GEN"], stats.mechanisms["AES_ECB"]), (1, 3));
    assert_eq!(stats.injected_total, 0);
}

// --- scenarios ------------------------------------------------------------------------------------------------------

#[test]
fn scenarios_do_what_they_say() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let run = |name| control::install_scenario(&hsm.store(), name, 3).unwrap();
    let make = |id: u8| {
        session.generate_key(
            &Mechanism::AesKeyGen,
            &[Attribute::ValueLen(32.into()), Attribute::Token(true), Attribute::Id(vec![id])],
        )
    };

    run("flaky");
    let failed = (0..1000).filter(|_| session.generate_random_vec(1).is_err()).count();
    assert!((1..40).contains(&failed), "{failed} of 1000");

    run("full");
    assert!(matches!(refusal(make(1)), RvError::DeviceMemory));

    run("ambiguous-create");
    make(2).unwrap();
    assert!(matches!(refusal(make(3)), RvError::DeviceError));
    assert_eq!(session.find_objects(&[Attribute::Id(vec![3])]).unwrap().len(), 1);

    run("pin-low");
    let info = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert!(info.user_pin_final_try() && info.user_pin_count_low());
    assert_eq!(fired(&hsm), 1);

    run("clock-skew");
    let info = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert!(info.clock_on_token() && info.utc_time().is_some());

    run("session-leak");
    let leaked = hsm.public();
    assert!(matches!(refusal(leaked.close()), RvError::GeneralError));

    run("slow-start");
    let start = Instant::now();
    drop(hsm.public());
    assert!(start.elapsed() >= Duration::from_millis(2500));

    run("brownout");
    session.generate_random_vec(1).unwrap();
    assert_eq!(fired(&hsm), 1);

    run("reboot");
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceError));
    assert!(matches!(refusal(hsm.pkcs11.open_rw_session(hsm.slot)), RvError::DeviceError));
    control::release(&hsm.store()).unwrap();
    drop(hsm.user());

    run("pull-the-plug");
    let session = hsm.user();
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
    control::clear(&hsm.store()).unwrap();

    run("amnesia");
    let session = hsm.user();
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceRemoved));
    assert!(!hsm.pkcs11.get_token_info(hsm.slot).unwrap().token_initialized());
    control::clear(&hsm.store()).unwrap();
    assert!(hsm.pkcs11.get_token_info(hsm.slot).unwrap().token_initialized());

    run("stuck-call");
    let session = hsm.user();
    let store = hsm.store();
    std::thread::scope(|scope| {
        let stuck = scope.spawn(move || session.generate_random_vec(1).map(drop));
        let start = Instant::now();
        while fired(&hsm) == 0 {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        control::clear(&store).unwrap();
        stuck.join().unwrap().unwrap();
    });

    let error = control::install_scenario(&hsm.store(), "sunshine", 0).unwrap_err().to_string();
    assert!(scenario::SCENARIOS.iter().all(|scenario| error.contains(scenario.name)), "{error}");
}

// --- the socket -----------------------------------------------------------------------------------------------------

/// The part that serves: loads the module and waits to be told to go.
#[test]
fn server() {
    let Some(folder) = env::var_os("HSM_SIM_TEST_SERVER") else { return };
    let pkcs11 = support::load(Path::new(&folder));
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        println!("> {}", session.generate_random_vec(1).is_ok());
        std::io::stdout().flush().unwrap();
    }
    drop(session);
    pkcs11.finalize().unwrap();
}

#[test]
fn a_foreign_process_is_controlled_through_its_socket() {
    let hsm = Hsm::new();
    let socket = hsm.folder.path().join("control.sock");
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "server", "--nocapture", "--test-threads=1"])
        .env("HSM_SIM_TEST_SERVER", hsm.folder.path())
        .env("HSM_SIM_CONTROL", &socket)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut works = || {
        writeln!(input, "go").unwrap();
        output.find_map(|line| line.split_once("> ").map(|(_, answer)| answer == "true")).unwrap()
    };
    assert!(works());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let stream = UnixStream::connect(&socket).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |line: &str| -> serde_json::Value {
        writeln!(&stream, "{line}").unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    let plan =
        "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\naction = { return = \"CKR_DEVICE_ERROR\" }";
    assert_eq!(ask(&serde_json::json!({ "do": "set", "plan": plan }).to_string())["ok"], true);
    assert!(!works());
    let stats = ask(r#"{"do":"stats"}"#);
    assert_eq!(stats["stats"]["injected"]["C_GenerateRandom"], 1);
    assert_eq!(ask(r#"{"do":"plan"}"#)["plan"], plan);
    assert_eq!(ask(r#"{"do":"scenario","name":"sunshine"}"#)["ok"], false);
    assert_eq!(ask(r#"{"do":"scenario","name":"full"}"#)["ok"], true);
    assert!(works());
    assert_eq!(ask(r#"{"do":"release"}"#)["ok"], true);
    assert_eq!(ask("no json at all")["ok"], false);
    assert_eq!(ask(r#"{"do":"set","plan":"[faults]\nrules=1"}"#)["ok"], false);
    assert_eq!(ask(r#"{"do":"clear"}"#)["ok"], true);
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(!socket.exists());
}
