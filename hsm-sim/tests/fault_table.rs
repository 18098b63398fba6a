//! Every action that a plan can name, each with what the caller of the faulty function sees, and that it was counted.
//!
//! The table is compared with what the plan's parser knows: an action, a choice or a distribution without a row fails.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

#[expect(dead_code, reason = "every test program uses its own part")]
#[path = "support/raw.rs"]
mod raw;

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    ptr,
    time::{Duration, Instant},
};

use cryptoki_sys::*;
use hsm_sim::fault::{ActionConfig, Distribution, control};
use raw::{Raw, attribute, call, mechanism};

type Row = (&'static str, &'static str, fn(&Raw));

/// An action as a plan has it, the function that it happens to once, and what the caller of that sees. `PLACE` in an action
/// is a folder with a file `trace`.
const ROWS: &[Row] = &[
    ("return = \"CKR_DEVICE_ERROR\"", "C_GenerateRandom", refused_once),
    ("return = \"CKR_DEVICE_ERROR\", phase = \"before\"", "C_GenerateRandom", refused_once),
    ("return = \"CKR_DEVICE_ERROR\", phase = \"after\"", "C_GenerateRandom", |raw| {
        let (rv, bytes) = random(raw);
        assert!(rv == CKR_DEVICE_ERROR && bytes != [0; 32], "it was done and the answer lost");
        assert_eq!(random(raw).0, CKR_OK);
    }),
    ("leave_operation_active = true", "C_Digest", |raw| {
        start(raw);
        assert_eq!(digest(raw, Some(32)).0, CKR_DEVICE_ERROR);
        assert_eq!(digest(raw, Some(32)).0, CKR_OK);
    }),
    ("delay = \"60ms\"", "C_GenerateRandom", |raw| takes(raw, 60)),
    ("delay = { dist = \"const\", ms = 60 }", "C_GenerateRandom", |raw| takes(raw, 60)),
    ("delay = { dist = \"uniform\", min_ms = 60, max_ms = 61 }", "C_GenerateRandom", |raw| takes(raw, 60)),
    ("delay = { dist = \"lognormal\", p50_ms = 60, p99_ms = 61 }", "C_GenerateRandom", |raw| takes(raw, 50)),
    ("delay = { dist = \"pareto\", p50_ms = 60, p99_ms = 61 }", "C_GenerateRandom", |raw| takes(raw, 50)),
    ("delay = { dist = \"trace\", file = \"PLACE/trace\" }", "C_GenerateRandom", |raw| takes(raw, 60)),
    ("hang = \"60ms\"", "C_GenerateRandom", |raw| takes(raw, 59)),
    ("corrupt = \"output-bit\"", "C_Digest", |raw| {
        start(raw);
        let (rv, _, wrong) = digest(raw, Some(32));
        start(raw);
        let (_, _, right) = digest(raw, Some(32));
        let flipped = wrong.iter().zip(&right).map(|(wrong, right)| (wrong ^ right).count_ones()).sum::<u32>();
        assert_eq!((rv, flipped), (CKR_OK, 1));
    }),
    ("short_write = 3", "C_Digest", |raw| {
        start(raw);
        let (rv, length, _) = digest(raw, Some(32));
        assert_eq!((rv, length), (CKR_OK, 29));
    }),
    ("size_query_overestimate = 16", "C_Digest", |raw| {
        start(raw);
        assert_eq!(digest(raw, None).1, 48);
        let (rv, length, _) = digest(raw, Some(48));
        assert_eq!((rv, length), (CKR_OK, 32));
    }),
    ("drop_sessions = \"this\"", "C_GenerateRandom", |raw| {
        let other = open(raw).1;
        assert_eq!((random(raw).0, random(raw).0), (CKR_SESSION_HANDLE_INVALID, CKR_SESSION_HANDLE_INVALID));
        assert_eq!(state(raw, other), Ok(CKS_RW_USER_FUNCTIONS));
    }),
    ("drop_sessions = \"slot\"", "C_GenerateRandom", |raw| {
        let other = open(raw).1;
        assert_eq!(random(raw).0, CKR_SESSION_HANDLE_INVALID);
        assert_eq!(state(raw, other), Err(CKR_SESSION_HANDLE_INVALID));
    }),
    ("logout = true", "C_GenerateRandom", |raw| {
        assert_eq!(random(raw).0, CKR_USER_NOT_LOGGED_IN);
        assert_eq!(state(raw, raw.session), Ok(CKS_RW_PUBLIC_SESSION));
        assert_eq!(random(raw).0, CKR_OK);
    }),
    ("remove_token = \"300s\"", "C_GenerateRandom", |raw| {
        assert_eq!((random(raw).0, random(raw).0), (CKR_DEVICE_REMOVED, CKR_DEVICE_REMOVED));
        assert_eq!((open(raw).0, token_info(raw).0), (CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_PRESENT));
        control::release(&store(raw)).unwrap();
        assert_eq!((open(raw).0, random(raw).0), (CKR_OK, CKR_SESSION_HANDLE_INVALID));
    }),
    ("restart = \"300s\"", "C_GenerateRandom", |raw| {
        assert_eq!((random(raw).0, random(raw).0, open(raw).0), (CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR));
        control::release(&store(raw)).unwrap();
        assert_eq!((open(raw).0, random(raw).0), (CKR_OK, CKR_SESSION_HANDLE_INVALID));
    }),
    ("replace_token = \"blank\"", "C_GenerateRandom", |raw| {
        assert_eq!(random(raw).0, CKR_DEVICE_REMOVED);
        assert_eq!(token_info(raw).1.flags & CKF_TOKEN_INITIALIZED, 0);
        control::release(&store(raw)).unwrap();
        assert_ne!(token_info(raw).1.flags & CKF_TOKEN_INITIALIZED, 0);
    }),
    ("replace_token = \"other-serial\"", "C_GenerateRandom", |raw| {
        let before = token_info(raw).1;
        assert_eq!(random(raw).0, CKR_DEVICE_REMOVED);
        let now = token_info(raw).1;
        assert_eq!((now.label, now.flags & CKF_TOKEN_INITIALIZED), (before.label, CKF_TOKEN_INITIALIZED));
        assert_ne!(now.serialNumber, before.serialNumber);
        control::release(&store(raw)).unwrap();
        assert_eq!(token_info(raw).1.serialNumber, before.serialNumber);
    }),
    ("lose_object = \"id:6c6f7374\"", "C_FindObjectsInit", loses_the_object),
    ("lose_object = \"label:lost\"", "C_FindObjectsInit", loses_the_object),
    ("lose_object = \"handle:1\"", "C_FindObjectsInit", loses_the_object),
    ("pin_state = \"low\"", "C_GetTokenInfo", |raw| pin_flags(raw, CKF_USER_PIN_COUNT_LOW)),
    ("pin_state = \"final\"", "C_GetTokenInfo", |raw| pin_flags(raw, CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY)),
    ("pin_state = \"locked\"", "C_GetTokenInfo", |raw| pin_flags(raw, CKF_USER_PIN_LOCKED)),
    ("clock_skew = -3600", "C_GetTokenInfo", |raw| {
        let (rv, info) = token_info(raw);
        assert!(rv == CKR_OK && info.flags & CKF_CLOCK_ON_TOKEN != 0 && info.utcTime.iter().all(u8::is_ascii_digit));
        assert_eq!(token_info(raw).1.flags & CKF_CLOCK_ON_TOKEN, 0);
    }),
    ("abort = true", "C_GenerateRandom", |raw| assert_eq!(end_of_another(raw), Some(6))),
    ("segv = true", "C_GenerateRandom", |raw| assert_eq!(end_of_another(raw), Some(11))),
];

#[test]
fn every_action_happens_once_and_is_seen_and_counted() {
    for (action, function, sees) in ROWS {
        let raw = Raw::new();
        fs::write(raw.folder().join("trace"), "60\n").unwrap();
        let action = action.replace("PLACE", &raw.folder().display().to_string());
        let plan = format!(
            "[faults]\nseed = 1\nallow_crash = true\n[[faults.rule]]\nmatch = {{ function = \"{function}\" }}\nat = [1]\n\
             action = {{ {action} }}"
        );
        control::install(&store(&raw), &plan).unwrap();
        println!("{action}");
        sees(&raw);
        let stats = control::stats(&store(&raw)).unwrap();
        assert_eq!((stats.rules[0].fired, stats.injected_total, stats.injected[*function]), (1, 1, 1), "{action}");
    }
}

/// Words between backticks in what the parser says of a name that it does not know, without that name.
fn known<T: serde::de::DeserializeOwned>(unknown: &str) -> BTreeSet<String> {
    let Err(error) = toml::from_str::<T>(unknown) else { panic!("{unknown} is known") };
    let text = error.message().to_owned();
    text.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}

#[test]
fn no_action_lacks_a_row() {
    let named = |pattern: &dyn Fn(&str) -> Option<String>| ROWS.iter().filter_map(|row| pattern(row.0)).collect();
    let actions = known::<ActionConfig>("dance = true");
    assert!(actions.len() >= 18 && actions.contains("return"), "{actions:?}");
    let mut tested: BTreeSet<String> = named(&|action| Some(action.split(" = ").next()?.to_owned()));
    tested.insert("phase".to_owned());
    assert_eq!(tested, actions);

    let distributions = known::<Distribution>("dist = \"dance\"");
    let tested: BTreeSet<String> =
        named(&|action| Some(action.split_once("dist = \"")?.1.split('"').next()?.to_owned()));
    assert_eq!(tested, distributions);

    // Where an action is one of several words, the parser names them when it is given another one.
    for action in &actions {
        let code = if action == "phase" { "return = 'CKR_OK', " } else { "" };
        let plan = format!("[[faults.rule]]\naction = {{ {code}{action} = 'dance' }}");
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = control::install(folder.path(), &format!("[faults]\nallow_crash = true\n{plan}")) else {
            panic!("{action} may be anything")
        };
        let said = error.to_string();
        let Some((_, choices)) = said.split_once(&format!("`{action}` is")) else { continue };
        for choice in choices.split('"').skip(1).step_by(2) {
            let spelt = format!("{action} = \"{choice}\"");
            assert!(ROWS.iter().any(|row| row.0.contains(&spelt)), "{spelt} has no row");
        }
    }
}

// --- what callers do ------------------------------------------------------------------------------------------------

fn store(raw: &Raw) -> PathBuf {
    raw.folder().join("store")
}

fn random(raw: &Raw) -> (CK_RV, [u8; 32]) {
    let mut bytes = [0; 32];
    let rv = call!(raw, C_GenerateRandom(raw.session, bytes.as_mut_ptr(), 32));
    (rv, bytes)
}

fn refused_once(raw: &Raw) {
    assert_eq!(random(raw), (CKR_DEVICE_ERROR, [0; 32]));
    assert_eq!(random(raw).0, CKR_OK);
}

fn takes(raw: &Raw, milliseconds: u64) {
    let start = Instant::now();
    assert_eq!(random(raw).0, CKR_OK);
    assert!(start.elapsed() >= Duration::from_millis(milliseconds), "{:?}", start.elapsed());
}

fn open(raw: &Raw) -> (CK_RV, CK_SESSION_HANDLE) {
    let mut session = 0;
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    let rv = call!(raw, C_OpenSession(raw.slot, flags, ptr::null_mut(), None, &raw mut session));
    (rv, session)
}

fn state(raw: &Raw, session: CK_SESSION_HANDLE) -> Result<CK_STATE, CK_RV> {
    let mut info = CK_SESSION_INFO::default();
    match call!(raw, C_GetSessionInfo(session, &raw mut info)) {
        CKR_OK => Ok(info.state),
        rv => Err(rv),
    }
}

fn token_info(raw: &Raw) -> (CK_RV, CK_TOKEN_INFO) {
    let mut info = CK_TOKEN_INFO::default();
    let rv = call!(raw, C_GetTokenInfo(raw.slot, &raw mut info));
    (rv, info)
}

fn pin_flags(raw: &Raw, expected: CK_FLAGS) {
    const ALL: CK_FLAGS = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
    assert_eq!(token_info(raw).1.flags & ALL, expected);
    assert_eq!(token_info(raw).1.flags & ALL, 0);
}

fn start(raw: &Raw) {
    let mut sha256 = mechanism(CKM_SHA256, &mut []);
    assert_eq!(call!(raw, C_DigestInit(raw.session, &raw mut sha256)), CKR_OK);
}

fn digest(raw: &Raw, room: Option<usize>) -> (CK_RV, CK_ULONG, Vec<u8>) {
    let (mut data, mut output) = (*b"abc", vec![0; room.unwrap_or(0)]);
    let mut length = room.unwrap_or(0) as CK_ULONG;
    let pointer = if room.is_some() { output.as_mut_ptr() } else { ptr::null_mut() };
    let rv = call!(raw, C_Digest(raw.session, data.as_mut_ptr(), 3, pointer, &raw mut length));
    (rv, length, output)
}

fn find(raw: &Raw) -> CK_ULONG {
    let (mut found, mut count) = ([0; 8], 0);
    assert_eq!(call!(raw, C_FindObjectsInit(raw.session, ptr::null_mut(), 0)), CKR_OK);
    assert_eq!(call!(raw, C_FindObjects(raw.session, found.as_mut_ptr(), 8, &raw mut count)), CKR_OK);
    assert_eq!(call!(raw, C_FindObjectsFinal(raw.session)), CKR_OK);
    count
}

fn loses_the_object(raw: &Raw) {
    let numbers = &mut [(CKA_CLASS, CKO_DATA)];
    let made = raw.create(
        numbers,
        &[CKA_TOKEN],
        &mut [(CKA_LABEL, b"lost".to_vec()), (CKA_ID, b"lost".to_vec()), (CKA_VALUE, vec![1])],
    );
    assert_eq!(made, 1, "the first row of a store, which one of the rules names");
    assert_eq!(find(raw), 0);
    let mut size = 0;
    assert_eq!(call!(raw, C_GetObjectSize(raw.session, made, &raw mut size)), CKR_OBJECT_HANDLE_INVALID);
    let mut value = [0_u8; 1];
    let mut read = attribute(CKA_VALUE, &mut value);
    let rv = call!(raw, C_GetAttributeValue(raw.session, made, &raw mut read, 1));
    assert_eq!(rv, CKR_OBJECT_HANDLE_INVALID);
}

// --- the end of a process -------------------------------------------------------------------------------------------

const DOOMED: &str = "HSM_SIM_TEST_DOOMED";

/// The part that ends: does nothing unless a test started this program for it.
#[test]
fn doomed() {
    let Some(folder) = env::var_os(DOOMED) else { return };
    let pkcs11 = support::load(Path::new(&folder));
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    println!("about to");
    let made = session.generate_random_vec(1);
    println!("alive: {made:?}");
}

/// The signal that ends another process on the same store.
fn end_of_another(raw: &Raw) -> Option<i32> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "doomed", "--nocapture", "--test-threads=1"])
        .env(DOOMED, raw.folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("about to") && !said.contains("alive"), "{said}");
    output.status.signal()
}
