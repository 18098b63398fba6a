//! Slots, sessions, log-in and PINs.

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::Attribute,
    session::{SessionState, UserType},
};
use support::{Hsm, SO_PIN, USER_PIN, aes, initialise, load, login, pin, refusal};

#[test]
fn initialising_twice_is_refused_and_finalising_allows_it_again() {
    let hsm = Hsm::new();
    assert!(matches!(refusal(initialise(&hsm.pkcs11, hsm.folder.path())), RvError::CryptokiAlreadyInitialized));
    hsm.pkcs11.clone().finalize().unwrap();
    initialise(&hsm.pkcs11, hsm.folder.path()).unwrap();
    assert_eq!(hsm.pkcs11.get_slots_with_initialized_token().unwrap(), [hsm.slot]);
}

#[test]
fn the_token_says_that_it_is_software() {
    let hsm = Hsm::new();
    let slot = hsm.pkcs11.get_slot_info(hsm.slot).unwrap();
    let token = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert!(!slot.hardware_slot());
    assert_eq!((token.manufacturer_id(), token.label()), ("hsm-sim", "test"));
    assert!(token.token_initialized() && token.user_pin_initialized() && token.login_required() && token.rng());
}

#[test]
fn a_spare_slot_is_there_and_keeps_its_id_when_it_is_initialised() {
    let hsm = Hsm::new();
    let slots = hsm.pkcs11.get_slots_with_token().unwrap();
    assert_eq!(slots.len(), 2);
    let spare = slots[1];
    assert!(!hsm.pkcs11.get_token_info(spare).unwrap().token_initialized());
    hsm.pkcs11.init_token(spare, &pin(SO_PIN), "second").unwrap();
    assert_eq!(hsm.pkcs11.get_token_info(spare).unwrap().label(), "second");
    assert_eq!(hsm.pkcs11.get_slots_with_token().unwrap().len(), 3);
}

#[test]
fn initialising_a_token_wants_the_so_pin_and_no_session_and_wipes_it() {
    let hsm = Hsm::new();
    let session = hsm.user();
    aes(&session, &[Attribute::Token(true)]);
    assert!(matches!(refusal(hsm.pkcs11.init_token(hsm.slot, &pin(SO_PIN), "new")), RvError::SessionExists));
    drop(session);
    assert!(matches!(refusal(hsm.pkcs11.init_token(hsm.slot, &pin("wrong-pin"), "new")), RvError::PinIncorrect));
    hsm.pkcs11.init_token(hsm.slot, &pin(SO_PIN), "new").unwrap();
    let session = hsm.public();
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin(USER_PIN)))), RvError::UserPinNotInitialized));
    session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    session.init_pin(&pin(USER_PIN)).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), []);
}

#[test]
fn session_states_follow_the_log_in() {
    let hsm = Hsm::new();
    let write = hsm.public();
    let read = hsm.pkcs11.open_ro_session(hsm.slot).unwrap();
    let states = || [&write, &read].map(|session| session.get_session_info().unwrap().session_state());
    assert_eq!(states(), [SessionState::RwPublic, SessionState::RoPublic]);
    assert!(matches!(refusal(write.login(UserType::So, Some(&pin(SO_PIN)))), RvError::SessionReadOnlyExists));
    write.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    assert_eq!(states(), [SessionState::RwUser, SessionState::RoUser]);
    assert!(matches!(refusal(read.login(UserType::User, Some(&pin(USER_PIN)))), RvError::UserAlreadyLoggedIn));
    write.logout().unwrap();
    assert!(matches!(refusal(write.logout()), RvError::UserNotLoggedIn));
    drop(read);
    write.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    assert_eq!(write.get_session_info().unwrap().session_state(), SessionState::RwSecurityOfficer);
    assert!(matches!(refusal(hsm.pkcs11.open_ro_session(hsm.slot)), RvError::SessionReadWriteSoExists));
}

#[test]
fn closing_the_last_session_logs_out() {
    let hsm = Hsm::new();
    let (first, second) = (hsm.user(), hsm.public());
    drop(first);
    assert_eq!(second.get_session_info().unwrap().session_state(), SessionState::RwUser);
    drop(second);
    assert_eq!(hsm.public().get_session_info().unwrap().session_state(), SessionState::RwPublic);
}

#[test]
fn logging_out_hides_private_objects_and_destroys_private_session_objects() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let token_key = aes(&session, &[Attribute::Token(true), Attribute::Encrypt(true)]);
    let session_key = aes(&session, &[]);
    let public = session.create_object(&[
        Attribute::Class(cryptoki::object::ObjectClass::DATA),
        Attribute::Private(false),
        Attribute::Value(vec![1]),
    ]);
    let public = public.unwrap();
    session.encrypt_init(&Mechanism::AesEcb, token_key).unwrap();
    session.logout().unwrap();
    assert!(matches!(refusal(session.encrypt_update(&[0; 16])), RvError::OperationNotInitialized));
    assert!(matches!(refusal(session.destroy_object(token_key)), RvError::ObjectHandleInvalid));
    assert_eq!(session.find_objects(&[]).unwrap(), [public]);
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    assert!(matches!(refusal(session.destroy_object(session_key)), RvError::ObjectHandleInvalid));
    assert_eq!(session.find_objects(&[]).unwrap(), [token_key, public]);
}

#[test]
fn session_objects_go_with_their_session() {
    let hsm = Hsm::new();
    let (owner, other) = (hsm.user(), hsm.user());
    let key = aes(&owner, &[Attribute::Encrypt(true)]);
    assert_eq!(other.find_objects(&[]).unwrap(), [key]);
    other.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
    drop(owner);
    assert_eq!(other.find_objects(&[]).unwrap(), []);
}

#[test]
fn wrong_pins_are_counted_on_disk_until_the_pin_is_locked_and_the_so_unlocks_it() {
    let hsm = Hsm::with_config("user_tries = 3\n");
    // `user_tries` counts from when the PIN is set.
    let session = hsm.public();
    session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    session.init_pin(&pin(USER_PIN)).unwrap();
    session.logout().unwrap();
    let wrong = || refusal(session.login(UserType::User, Some(&pin("wrong-pin"))));
    let info = || hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert!(!info().user_pin_count_low());
    assert!(matches!(wrong(), RvError::PinIncorrect));
    assert!(info().user_pin_count_low() && !info().user_pin_final_try());
    assert!(matches!(wrong(), RvError::PinIncorrect));
    assert!(info().user_pin_final_try());
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    session.logout().unwrap();
    assert!(!info().user_pin_count_low());
    for _ in 0..3 {
        assert!(matches!(wrong(), RvError::PinIncorrect));
    }
    assert!(info().user_pin_locked());
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin(USER_PIN)))), RvError::PinLocked));
    drop(session);
    hsm.pkcs11.clone().finalize().unwrap();

    let again = load(hsm.folder.path());
    assert!(again.get_token_info(hsm.slot).unwrap().user_pin_locked());
    let session = again.open_rw_session(hsm.slot).unwrap();
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin(USER_PIN)))), RvError::PinLocked));
    session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    session.init_pin(&pin("new-user-pin")).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&pin("new-user-pin"))).unwrap();
}

#[test]
fn a_changed_pin_opens_the_same_objects() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = aes(&session, &[Attribute::Token(true)]);
    assert!(matches!(refusal(session.set_pin(&pin("wrong-pin"), &pin("second-pin"))), RvError::PinIncorrect));
    assert!(matches!(refusal(session.set_pin(&pin(USER_PIN), &pin("123"))), RvError::PinLenRange));
    session.set_pin(&pin(USER_PIN), &pin("second-pin")).unwrap();
    session.logout().unwrap();
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin(USER_PIN)))), RvError::PinIncorrect));
    session.login(UserType::User, Some(&pin("second-pin"))).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [key]);
}

#[test]
fn session_limits_hold_over_instances() {
    let hsm = Hsm::with_config("[limits]\nmax_sessions = 3\nmax_rw_sessions = 2\n");
    let other = hsm.another();
    let _read = hsm.pkcs11.open_ro_session(hsm.slot).unwrap();
    let write = other.open_rw_session(hsm.slot).unwrap();
    let second = hsm.public();
    assert!(matches!(refusal(other.open_ro_session(hsm.slot)), RvError::SessionCount));
    drop(second);
    let _read = other.open_ro_session(hsm.slot).unwrap();
    drop(write);
    hsm.pkcs11.open_rw_session(hsm.slot).unwrap();
}

#[test]
fn a_token_in_use_by_another_instance_is_not_initialised() {
    let hsm = Hsm::new();
    let other = hsm.another();
    let session = login(&other, hsm.slot);
    assert!(matches!(refusal(hsm.pkcs11.init_token(hsm.slot, &pin(SO_PIN), "new")), RvError::SessionExists));
    drop(session);
    hsm.pkcs11.init_token(hsm.slot, &pin(SO_PIN), "new").unwrap();
}
