//! What lies on the disk: nothing readable, nothing that can be swapped, nothing newer than the module.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use cryptoki::{
    error::RvError,
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::UserType,
};
use rusqlite::Connection;
use support::{Hsm, aes, initialise, load, load_only, login, pin, refusal};

const CANARY: &str = "canary-4f1b9c";

/// A token with two private secrets and a public data object, closed again.
fn closed() -> Hsm {
    let hsm = Hsm::new();
    let session = hsm.user();
    for number in 0..2 {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Token(true),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
            Attribute::Label(format!("{CANARY}-label-{number}").into()),
            Attribute::Id(format!("{CANARY}-id-{number}").into()),
            Attribute::Value(format!("{CANARY}-value-{number}").into()),
        ];
        session.create_object(&template).unwrap();
    }
    let public = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(format!("{CANARY}-public").into()),
        Attribute::Value(format!("{CANARY}-public").into()),
    ];
    session.create_object(&public).unwrap();
    drop(session);
    hsm.pkcs11.clone().finalize().unwrap();
    hsm
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The database of the initialised token.
fn database(hsm: &Hsm) -> Connection {
    let mut databases = files(&hsm.store());
    databases.retain(|path| path.file_name().is_some_and(|name| name == "token.db"));
    let opened = databases.iter().map(|path| Connection::open(path).unwrap());
    opened
        .into_iter()
        .find(|database| database.query_row("SELECT 1 FROM meta WHERE key = 'label'", [], |_| Ok(())).is_ok())
        .unwrap()
}

#[test]
fn no_file_shows_a_value_a_name_or_a_pin() {
    let hsm = closed();
    let all = files(&hsm.store());
    assert!(all.len() > 5, "{all:?}");
    for path in all {
        let content = fs::read(&path).unwrap();
        for needle in [CANARY, support::USER_PIN, support::SO_PIN] {
            let is_there = content.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!is_there, "{needle} in {}", path.display());
        }
    }
}

#[test]
fn a_body_opens_only_in_its_own_row() {
    let hsm = closed();
    let database = database(&hsm);
    let body = |handle: i64| {
        database
            .query_row("SELECT body FROM objects WHERE handle = ?", [handle], |row| row.get::<_, Vec<u8>>(0))
            .unwrap()
    };
    let (first, second) = (body(1), body(2));
    database.execute("UPDATE objects SET body = ?1 WHERE handle = 2", [&first]).unwrap();
    drop(database);
    let again = load(hsm.folder.path());
    let session = login(&again, hsm.slot);
    let handles = session.find_objects(&[]).unwrap();
    assert_eq!(handles.len(), 3);
    let value = |place: usize| session.get_attributes(handles[place], &[AttributeType::Value]);
    assert_eq!(value(0).unwrap(), [Attribute::Value(format!("{CANARY}-value-0").into())]);
    assert!(matches!(refusal(value(1)), RvError::DeviceError));
    // A search does not take it for absent.
    let by_id = |number| session.find_objects(&[Attribute::Id(format!("{CANARY}-id-{number}").into())]);
    assert_eq!(by_id(0).unwrap(), [handles[0]]);
    assert!(matches!(refusal(by_id(1)), RvError::DeviceError));
    drop(session);
    again.finalize().unwrap();

    // An older version of the same row does not open either.
    let database = self::database(&hsm);
    database.execute("UPDATE objects SET body = ?1, ver = ver + 1 WHERE handle = 2", [&second]).unwrap();
    drop(database);
    let again = load(hsm.folder.path());
    let session = login(&again, hsm.slot);
    assert!(matches!(refusal(session.get_attributes(handles[1], &[AttributeType::Value])), RvError::DeviceError));
}

#[test]
fn another_devices_key_opens_nothing() {
    let hsm = closed();
    fs::write(hsm.store().join("device.key"), [7; 32]).unwrap();
    let again = load(hsm.folder.path());
    let session = again.open_rw_session(hsm.slot).unwrap();
    let login = session.login(UserType::User, Some(&pin(support::USER_PIN)));
    assert!(matches!(refusal(login), RvError::PinIncorrect));
}

#[test]
fn a_newer_token_is_not_recognised_and_not_touched() {
    let hsm = closed();
    database(&hsm).execute("UPDATE meta SET value = '99' WHERE key = 'format'", []).unwrap();
    let again = load(hsm.folder.path());
    assert!(again.get_slots_with_token().unwrap().contains(&hsm.slot));
    assert!(matches!(refusal(again.get_token_info(hsm.slot)), RvError::TokenNotRecognized));
    assert!(matches!(refusal(again.open_rw_session(hsm.slot)), RvError::TokenNotRecognized));
}

#[test]
fn a_damaged_store_is_refused_and_not_repaired() {
    let hsm = closed();
    fs::write(hsm.store().join("device.key"), [7; 31]).unwrap();
    let again = load_only(hsm.folder.path());
    assert!(matches!(refusal(initialise(&again, hsm.folder.path())), RvError::GeneralError));
    assert_eq!(fs::read(hsm.store().join("device.key")).unwrap(), [7; 31]);
}

#[test]
fn a_pin_keeps_the_derivation_that_it_was_set_with() {
    let hsm = Hsm::with_config("kdf = \"argon2id\"");
    let made = aes(&hsm.user(), &[Attribute::Token(true)]);
    hsm.pkcs11.clone().finalize().unwrap();
    let kdf = |role: &str| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        database(&hsm).query_row("SELECT kdf FROM pins WHERE role = ?", [role], read).unwrap()
    };
    assert_eq!([kdf("so"), kdf("user")], ["argon2id:64:1:1", "argon2id:64:1:1"]);

    // Another option later: what is there opens as it did, and what is set anew is of the new kind.
    fs::write(hsm.folder.path().join("hsm-sim.toml"), "kdf_cost = \"test\"\ndurability = \"off\"\n").unwrap();
    let module = load(hsm.folder.path());
    let session = module.open_rw_session(hsm.slot).unwrap();
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin("wrong")))), RvError::PinIncorrect));
    session.login(UserType::User, Some(&pin(support::USER_PIN))).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [made]);
    session.set_pin(&pin(support::USER_PIN), &pin("another")).unwrap();
    session.logout().unwrap();
    assert_eq!([kdf("so"), kdf("user")], ["argon2id:64:1:1", "pbkdf2-sha512:1000"]);
    session.login(UserType::User, Some(&pin("another"))).unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [made]);
    session.logout().unwrap();
    session.login(UserType::So, Some(&pin(support::SO_PIN))).unwrap();
    session.logout().unwrap();

    // Costs that would stop the machine, and kinds that nobody knows, are damage; they cost no try.
    drop(session);
    module.finalize().unwrap();
    for wrong in ["argon2id:4294967295:1:1", "argon2id:8:1:99999", "scrypt:1", ""] {
        database(&hsm).execute("UPDATE pins SET kdf = ? WHERE role = 'user'", [wrong]).unwrap();
        let module = load(hsm.folder.path());
        let session = module.open_rw_session(hsm.slot).unwrap();
        let rv = refusal(session.login(UserType::User, Some(&pin("another"))));
        assert!(matches!(rv, RvError::DeviceError), "{wrong}: {rv:?}");
        assert!(!module.get_token_info(hsm.slot).unwrap().user_pin_count_low());
        drop(session);
        module.finalize().unwrap();
    }
}
