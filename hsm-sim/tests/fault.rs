//! Faults: what a program sees, and that they are counted.

mod support;

use std::time::{Duration, Instant};

use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::Attribute,
    session::{SessionState, UserType},
};
use hsm_sim::fault::control;
use support::{Hsm, USER_PIN, aes, pin, refusal};

fn with_plan(rules: &str) -> Hsm {
    Hsm::with_config(&format!("[faults]\n{rules}"))
}

#[test]
fn a_code_before_leaves_nothing_done_and_follows_its_schedule() {
    let hsm = with_plan(
        "[[faults.rule]]\nmatch = { function = \"C_GenerateKey\" }\nafter = 1\nevery = 2\ntimes = 2\n\
         action = { return = \"CKR_DEVICE_ERROR\" }",
    );
    let session = hsm.user();
    let made: Vec<_> = (0..8)
        .map(|_| session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into())]).is_ok())
        .collect();
    // After the first, every second one, twice.
    assert_eq!(made, [true, true, false, true, false, true, true, true]);
    assert_eq!(session.find_objects(&[]).unwrap().len(), 6);
}

#[test]
fn a_code_after_loses_the_answer_of_what_was_done() {
    let hsm = with_plan(
        "[[faults.rule]]\nmatch = { function = \"C_GenerateKey\" }\nat = [1]\n\
         action = { return = \"CKR_DEVICE_ERROR\", phase = \"after\" }",
    );
    let session = hsm.user();
    let template = [Attribute::ValueLen(32.into()), Attribute::Token(true), Attribute::Id(vec![1])];
    assert!(matches!(refusal(session.generate_key(&Mechanism::AesKeyGen, &template)), RvError::DeviceError));
    assert_eq!(session.find_objects(&[Attribute::Id(vec![1])]).unwrap().len(), 1);
}

#[test]
fn a_failed_call_ends_its_operation() {
    let hsm = with_plan(
        "[[faults.rule]]\nmatch = { function = \"C_Encrypt*\", mechanism = \"AES_ECB\" }\nat = [2]\n\
         action = { return = \"CKR_DEVICE_MEMORY\" }",
    );
    let session = hsm.user();
    let key = aes(&session, &[Attribute::Encrypt(true)]);
    session.encrypt(&Mechanism::AesCbc([0; 16]), key, &[0; 16]).unwrap();
    session.encrypt_init(&Mechanism::AesEcb, key).unwrap();
    assert!(matches!(refusal(session.encrypt_update(&[0; 16])), RvError::DeviceMemory));
    assert!(matches!(refusal(session.encrypt_update(&[0; 16])), RvError::OperationNotInitialized));
}

#[test]
fn a_delay_delays() {
    let hsm = with_plan(
        "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { delay = \"120ms\" }",
    );
    let session = hsm.public();
    let start = Instant::now();
    session.generate_random_vec(8).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[test]
fn dropped_sessions_are_gone() {
    let hsm = with_plan(
        "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { drop_sessions = \"this\" }\n\
         [[faults.rule]]\nmatch = { function = \"C_SeedRandom\" }\nat = [1]\naction = { drop_sessions = \"slot\" }",
    );
    let (first, second) = (hsm.user(), hsm.user());
    assert!(matches!(refusal(first.generate_random_vec(8)), RvError::SessionHandleInvalid));
    assert!(matches!(refusal(first.get_session_info()), RvError::SessionHandleInvalid));
    assert_eq!(second.get_session_info().unwrap().session_state(), SessionState::RwUser);
    let third = hsm.user();
    assert!(matches!(refusal(second.seed_random(&[1])), RvError::SessionHandleInvalid));
    assert!(matches!(refusal(third.get_session_info()), RvError::SessionHandleInvalid));
    // The last session took the log-in with it.
    assert_eq!(hsm.public().get_session_info().unwrap().session_state(), SessionState::RwPublic);
}

#[test]
fn a_token_that_is_taken_away_comes_back_without_its_sessions() {
    let hsm = with_plan(
        "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\nat = [1]\naction = { remove_token = \"300ms\" }",
    );
    assert!(hsm.pkcs11.get_slot_info(hsm.slot).unwrap().removable_device());
    assert_eq!(hsm.pkcs11.get_slot_event().unwrap(), None);
    let session = hsm.user();
    let kept = aes(&session, &[Attribute::Token(true)]);
    aes(&session, &[]);
    assert!(matches!(refusal(session.generate_random_vec(8)), RvError::DeviceRemoved));
    assert!(matches!(refusal(session.generate_random_vec(8)), RvError::DeviceRemoved));
    assert!(matches!(refusal(hsm.pkcs11.get_token_info(hsm.slot)), RvError::TokenNotPresent));
    assert!(matches!(refusal(hsm.pkcs11.open_rw_session(hsm.slot)), RvError::TokenNotPresent));
    assert!(!hsm.pkcs11.get_slot_info(hsm.slot).unwrap().token_present());
    assert_eq!(hsm.pkcs11.get_slot_event().unwrap(), Some(hsm.slot));
    assert_eq!(hsm.pkcs11.wait_for_slot_event().unwrap(), hsm.slot);
    assert!(matches!(refusal(session.get_session_info()), RvError::SessionHandleInvalid));
    let session = hsm.public();
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [kept]);
}

#[test]
fn control_reaches_a_module_that_is_running_and_counts_what_it_did() {
    let hsm = Hsm::new();
    let session = hsm.public();
    session.generate_random_vec(8).unwrap();
    let plan = "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\ntimes = 2\n\
                action = { return = \"CKR_FUNCTION_FAILED\" }";
    assert!(control::install(&hsm.store(), "[faults]\nrules = []").is_err());
    control::install(&hsm.store(), plan).unwrap();
    for _ in 0..2 {
        assert!(matches!(refusal(session.generate_random_vec(8)), RvError::FunctionFailed));
    }
    session.generate_random_vec(8).unwrap();
    let stats = control::stats(&hsm.store()).unwrap();
    assert_eq!((stats.injected_total, stats.injected["C_GenerateRandom"], stats.calls["C_GenerateRandom"]), (2, 2, 3));
    assert_eq!((stats.answers["CKR_FUNCTION_FAILED"], stats.answers["CKR_OK"]), (2, 1));
    assert_eq!((stats.rules[0].matched, stats.rules[0].fired), (3, 2));
    control::clear(&hsm.store()).unwrap();
    session.generate_random_vec(8).unwrap();
    assert_eq!(control::stats(&hsm.store()).unwrap().calls["C_GenerateRandom"], 3);
}

#[test]
fn two_instances_share_the_counts_of_an_installed_plan() {
    let hsm = Hsm::new();
    let other = hsm.another();
    let plan = "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\nat = [2]\n\
                action = { return = \"CKR_FUNCTION_FAILED\" }";
    control::install(&hsm.store(), plan).unwrap();
    hsm.public().generate_random_vec(8).unwrap();
    let there = other.open_rw_session(hsm.slot).unwrap();
    assert!(matches!(refusal(there.generate_random_vec(8)), RvError::FunctionFailed));
}

#[test]
fn a_plan_that_does_not_parse_stops_the_module_from_starting() {
    let folder = support::new_store("");
    let options = folder.path().join("hsm-sim.toml");
    std::fs::write(&options, "[[faults.rule]]\naction = { return = \"CKR_NICE\" }").unwrap();
    let pkcs11 = support::load_only(folder.path());
    assert!(matches!(
        refusal(support::initialise(&pkcs11, folder.path())),
        RvError::GeneralError | RvError::ArgumentsBad
    ));
}
