//! What clients of both protocols are told when the HSM answers with an error, row by row, with the built program.
//!
//! The HSM answers `C_WrapKey`, the call by which a value leaves it, with each code: once, which a second try hides where the
//! call may be repeated, and as often as it is asked. Afterwards everybody is served as before.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use hsm_sim::fault::control;
use kmip_codec::{
    ProtocolVersion,
    payload::{DestroyRequest, Request},
    spec::enums::ResultReason as R,
    version::{V1_2, V2_1},
};
use portcullis_testing::{Answer, Failure, Gateway, Kmip, PATIENCE, Rest, aes, create, material, token};
use reqwest::Method;

/// What one fault alone comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Once {
    /// Nobody sees it.
    Hidden,
    /// It is told at once.
    Told,
    /// Hidden, unless the machine is too busy to link the token anew in time.
    Either,
}
use Once::{Either, Hidden, Told};

/// Codes of one row, the first of which stands for all in the short form; what one alone comes to; HTTP status; result reason of
/// KMIP 2.1 and of 1.2.
const TABLE: &[(&[&str], Once, u16, R, R)] = &[
    (&["CKR_HOST_MEMORY"], Hidden, 503, R::SERVER_LIMIT_EXCEEDED, R::GENERAL_FAILURE),
    (&["CKR_GENERAL_ERROR"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_FUNCTION_FAILED"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_DEVICE_ERROR"], Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_DEVICE_MEMORY", "CKR_TOKEN_RESOURCE_EXCEEDED"], Told, 503, R::SERVER_LIMIT_EXCEEDED, R::GENERAL_FAILURE),
    (
        &["CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT", "CKR_TOKEN_NOT_RECOGNIZED", "CKR_SLOT_ID_INVALID"],
        Told,
        503,
        R::INTERNAL_SERVER_ERROR,
        R::GENERAL_FAILURE,
    ),
    (&["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED"], Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_SESSION_COUNT"], Told, 503, R::SERVER_LIMIT_EXCEEDED, R::GENERAL_FAILURE),
    (&["CKR_SESSION_READ_ONLY"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_USER_NOT_LOGGED_IN"], Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (
        &["CKR_PIN_LOCKED", "CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE", "CKR_PIN_EXPIRED"],
        Told,
        503,
        R::INTERNAL_SERVER_ERROR,
        R::GENERAL_FAILURE,
    ),
    (&["CKR_CRYPTOKI_NOT_INITIALIZED"], Either, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_OPERATION_ACTIVE"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_OPERATION_NOT_INITIALIZED"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (
        &[
            "CKR_OBJECT_HANDLE_INVALID",
            "CKR_KEY_HANDLE_INVALID",
            "CKR_WRAPPING_KEY_HANDLE_INVALID",
            "CKR_UNWRAPPING_KEY_HANDLE_INVALID",
        ],
        Hidden,
        500,
        R::INTERNAL_SERVER_ERROR,
        R::GENERAL_FAILURE,
    ),
    (
        &["CKR_MECHANISM_INVALID", "CKR_FUNCTION_NOT_SUPPORTED", "CKR_CURVE_NOT_SUPPORTED"],
        Told,
        400,
        R::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
        R::INVALID_FIELD,
    ),
    (
        &["CKR_MECHANISM_PARAM_INVALID", "CKR_DOMAIN_PARAMS_INVALID"],
        Told,
        400,
        R::BAD_CRYPTOGRAPHIC_PARAMETERS,
        R::INVALID_FIELD,
    ),
    (
        &[
            "CKR_KEY_SIZE_RANGE",
            "CKR_KEY_TYPE_INCONSISTENT",
            "CKR_WRAPPING_KEY_SIZE_RANGE",
            "CKR_WRAPPING_KEY_TYPE_INCONSISTENT",
            "CKR_UNWRAPPING_KEY_SIZE_RANGE",
            "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT",
        ],
        Told,
        400,
        R::BAD_CRYPTOGRAPHIC_PARAMETERS,
        R::INVALID_FIELD,
    ),
    (&["CKR_KEY_FUNCTION_NOT_PERMITTED"], Told, 403, R::NOT_EXTRACTABLE, R::PERMISSION_DENIED),
    (
        &["CKR_KEY_UNEXTRACTABLE", "CKR_KEY_NOT_WRAPPABLE", "CKR_ATTRIBUTE_SENSITIVE", "CKR_ATTRIBUTE_TYPE_INVALID"],
        Told,
        403,
        R::NOT_EXTRACTABLE,
        R::PERMISSION_DENIED,
    ),
    (
        &["CKR_ACTION_PROHIBITED", "CKR_ATTRIBUTE_READ_ONLY", "CKR_TOKEN_WRITE_PROTECTED"],
        Told,
        403,
        R::NOT_EXTRACTABLE,
        R::PERMISSION_DENIED,
    ),
    (
        &[
            "CKR_ATTRIBUTE_VALUE_INVALID",
            "CKR_TEMPLATE_INCOMPLETE",
            "CKR_TEMPLATE_INCONSISTENT",
            "CKR_PUBLIC_KEY_INVALID",
        ],
        Told,
        400,
        R::CRYPTOGRAPHIC_FAILURE,
        R::CRYPTOGRAPHIC_FAILURE,
    ),
    (&["CKR_DATA_LEN_RANGE", "CKR_DATA_INVALID"], Told, 400, R::CRYPTOGRAPHIC_FAILURE, R::CRYPTOGRAPHIC_FAILURE),
    (
        &["CKR_ENCRYPTED_DATA_INVALID", "CKR_ENCRYPTED_DATA_LEN_RANGE", "CKR_AEAD_DECRYPT_FAILED"],
        Told,
        400,
        R::CRYPTOGRAPHIC_FAILURE,
        R::CRYPTOGRAPHIC_FAILURE,
    ),
    (
        &["CKR_SIGNATURE_INVALID", "CKR_SIGNATURE_LEN_RANGE"],
        Told,
        400,
        R::CRYPTOGRAPHIC_FAILURE,
        R::CRYPTOGRAPHIC_FAILURE,
    ),
    (
        &["CKR_WRAPPED_KEY_INVALID", "CKR_WRAPPED_KEY_LEN_RANGE"],
        Told,
        400,
        R::CRYPTOGRAPHIC_FAILURE,
        R::CRYPTOGRAPHIC_FAILURE,
    ),
    (
        &["CKR_RANDOM_NO_RNG", "CKR_RANDOM_SEED_NOT_SUPPORTED"],
        Told,
        400,
        R::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
        R::INVALID_FIELD,
    ),
    (&["CKR_BUFFER_TOO_SMALL"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_CANT_LOCK", "CKR_NEED_TO_CREATE_THREADS"], Told, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_FUNCTION_REJECTED", "CKR_FUNCTION_CANCELED"], Told, 403, R::PERMISSION_DENIED, R::PERMISSION_DENIED),
    (&["0x81000071"], Told, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["CKR_ARGUMENTS_BAD"], Told, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    (&["0x80001234"], Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
];

struct World {
    gateway: Gateway,
    rest: Rest,
    ops: Rest,
    id: String,
}

impl World {
    fn fail(&self, code: &str, times: u32) {
        let rule = format!(
            "[faults]\n[[faults.rule]]\nmatch = {{ function = \"C_WrapKey\" }}\ntimes = {times}\naction = {{ return = \"{code}\" }}\n"
        );
        control::install(&self.gateway.folder().join("hsm"), &rule).unwrap();
    }

    /// No fault any more, and the token is there.
    async fn mend(&self) {
        control::clear(&self.gateway.folder().join("hsm")).unwrap();
        let began = Instant::now();
        while self.ops.bare(Method::GET, "/readyz", "*/*").await.unwrap().status != 200 {
            assert!(began.elapsed() < PATIENCE, "it does not get ready again: {}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The session has its transport key again, so that the next fault meets the value's own call.
        assert_eq!(self.over_rest().await.body, VALUE);
    }

    /// Makes an object; the identifier, or what was said.
    async fn make(&self, over_kmip: bool) -> Result<String, String> {
        if over_kmip {
            let mut kmip = Kmip::connect(&self.gateway).await.unwrap();
            return kmip.make(create(aes())).await.map_err(|failure| format!("{failure:?}"));
        }
        let answer = self.rest.store("symmetric", &VALUE).await.unwrap();
        if answer.status == 201 { Ok(answer.reference("secret_ref")) } else { Err(answer.text()) }
    }

    /// Destroys it; whether that was acknowledged.
    async fn destroy(&self, id: &str, over_kmip: bool) -> bool {
        if over_kmip {
            let mut kmip = Kmip::connect(&self.gateway).await.unwrap();
            let destroy = DestroyRequest { unique_identifier: Some(id.into()) };
            return kmip.ask(Request::Destroy(Box::new(destroy))).await.is_ok();
        }
        self.rest.delete(id).await.unwrap().status == 204
    }

    async fn over_rest(&self) -> Answer {
        self.rest.payload(&self.id).await.unwrap()
    }

    async fn over_kmip(&self, version: ProtocolVersion) -> Result<Vec<u8>, Option<R>> {
        let mut kmip = Kmip::connect(&self.gateway).await.unwrap().speaking(version);
        match kmip.get(&self.id).await {
            Ok(object) => Ok(material(object)),
            Err(Failure::Refused(reason, _)) => Err(reason),
            Err(Failure::Connection(error)) => panic!("{error}"),
        }
    }
}

const VALUE: [u8; 32] = [7; 32];
/// More often than one request calls.
const LASTING: u32 = 20;

/// A gateway whose token has one worker, so that a fault meets the session that has its transport key; and a stored value.
async fn world(folder: &Path) -> World {
    let settings = [("PORTCULLIS_HSM__MAIN__WORKERS", "1")];
    let gateway = Gateway::start_with(env!("CARGO_BIN_EXE_portcullis"), &folder.join("gateway"), &settings);
    let (rest, ops) = (Rest::new(&gateway.rest(), "demo"), Rest::new(&gateway.ops(), "demo"));
    let id = rest.store("symmetric", &VALUE).await.unwrap().reference("secret_ref");
    let world = World { gateway, rest, ops, id };
    assert_eq!(world.over_rest().await.body, VALUE);
    world
}

/// The table that classes what a token answers has no code that the table of this test has not.
#[test]
fn every_code_that_is_classed_has_a_case() {
    let source = include_str!("../src/hsm/error.rs");
    let table = source.split_once("static ROWS").unwrap().1.split_once("\n];").unwrap().0;
    let is_code = |word: &&str| word.starts_with("CKR_") || word.starts_with("0x");
    let classed: Vec<String> = table
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(is_code)
        .map(|word| if word.starts_with("0x") { word.replace('_', "") } else { word.to_owned() })
        .collect();
    assert!(classed.len() > 60, "{classed:?}");
    let missing: Vec<_> =
        classed.iter().filter(|code| !TABLE.iter().any(|row| row.0.contains(&code.as_str()))).collect();
    assert!(missing.is_empty(), "codes that no case drives: {missing:?}");
}

#[tokio::test]
async fn every_answer_of_the_hsm_has_its_meaning_in_both_protocols() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path()).await;
    let is_long = std::env::var_os("LONG").is_some();

    let mut wrong = Vec::new();
    for (codes, once, status, new, old) in TABLE {
        for (place, code) in codes.iter().enumerate() {
            let whole = place == 0 || is_long;
            let mut note = |what: &str, fits: bool, got: String| {
                if !fits {
                    wrong.push(format!("{code}, {what}: {got}"));
                }
            };
            if whole {
                world.fail(code, 1);
                let answer = world.over_rest().await;
                let hidden = answer.status == 200 && answer.body == VALUE;
                let told = answer.status == *status;
                let fits = match once {
                    Hidden => hidden,
                    Told => told,
                    Either => hidden || told,
                };
                note("once", fits, format!("{} {}", answer.status, answer.text()));
                world.mend().await;
            }

            world.fail(code, LASTING);
            let answer = world.over_rest().await;
            note("over REST", answer.status == *status, format!("{} {}", answer.status, answer.text()));
            let may_return = (*status == 503).then_some(1);
            note("Retry-After", answer.retry_after == may_return, format!("{:?}", answer.retry_after));
            world.mend().await;

            for (version, reason) in [(V2_1, new), (V1_2, old)].into_iter().take(if whole { 2 } else { 1 }) {
                world.fail(code, LASTING);
                let answer = world.over_kmip(version).await;
                note("over KMIP", answer == Err(Some(*reason)), format!("{version:?}: {answer:?}"));
                world.mend().await;
            }
            assert_eq!(world.over_kmip(V2_1).await, Ok(VALUE.to_vec()), "after {code}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a creation or a destruction may be answered while it is done or not done: codes that leave it open, and one of each class
/// that does not. A token that is full is passed over for a minute, which `a_full_token_says_so` of hsm_contract is about.
const CHANGES: &[&str] = &[
    "CKR_HOST_MEMORY",
    "CKR_GENERAL_ERROR",
    "CKR_FUNCTION_FAILED",
    "CKR_DEVICE_ERROR",
    "CKR_DEVICE_REMOVED",
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_USER_NOT_LOGGED_IN",
    "CKR_CRYPTOKI_NOT_INITIALIZED",
    "CKR_OPERATION_ACTIVE",
    "CKR_OBJECT_HANDLE_INVALID",
    "CKR_FUNCTION_REJECTED",
    "CKR_TOKEN_WRITE_PROTECTED",
    "0x80001234",
];

/// Functions that make an object, and the one that destroys it; each may be done and its answer lost.
const MAKING: &str = "[\"C_CreateObject\", \"C_GenerateKey\", \"C_UnwrapKey\"]";

#[tokio::test]
async fn a_creation_or_destruction_of_unknown_outcome_settles_exactly_once() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    if std::env::var_os("LONG").is_none() {
        println!("skipped, because LONG is not set");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(folder.path()).await;
    let mut there = BTreeSet::from([world.id.clone()]);
    let (mut made, mut refused, mut destroyed, mut kept) = (0, 0, 0, 0);
    for code in CHANGES {
        for phase in ["before", "after"] {
            for times in [1, LASTING] {
                let rule = |functions: &str| {
                    format!(
                        "[faults]\n[[faults.rule]]\nmatch = {{ function = {functions} }}\ntimes = {times}\n\
                         action = {{ return = \"{code}\", phase = \"{phase}\" }}\n"
                    )
                };
                let what = format!("{code}, {phase}, {times} times");
                for over_kmip in [false, true] {
                    control::install(&world.gateway.folder().join("hsm"), &rule(MAKING)).unwrap();
                    let outcome = world.make(over_kmip).await;
                    world.mend().await;
                    match outcome {
                        Ok(id) => {
                            made += 1;
                            assert_eq!(world.rest.payload(&id).await.unwrap().status, 200, "{what}");
                            there.insert(id);
                        }
                        Err(said) => {
                            refused += 1;
                            assert!(!said.contains("CKR_"), "{what}: {said}");
                        }
                    }
                    let id = world.make(over_kmip).await.unwrap_or_else(|said| panic!("after {what}: {said}"));
                    control::install(&world.gateway.folder().join("hsm"), &rule("\"C_DestroyObject\"")).unwrap();
                    let outcome = world.destroy(&id, over_kmip).await;
                    world.mend().await;
                    let status = world.rest.payload(&id).await.unwrap().status;
                    if outcome {
                        destroyed += 1;
                        assert_eq!(status, 404, "destroyed, {what}");
                    } else {
                        // Refused: it is there as before, or gone; and it can be destroyed.
                        kept += 1;
                        assert!(matches!(status, 200 | 404 | 500), "{what}: {status}");
                        let again = world.rest.delete(&id).await.unwrap().status;
                        assert!(matches!(again, 204 | 404), "{what}: {again}");
                        assert_eq!(world.rest.payload(&id).await.unwrap().status, 404, "{what}");
                    }
                }
            }
        }
    }
    assert!(made > 0 && refused > 0 && destroyed > 0 && kept > 0, "{made} {refused} {destroyed} {kept}");
    // What could not be settled while the token failed is settled by the next start.
    assert!(world.gateway.stop().success());
    world.gateway.restart();
    let held: BTreeSet<String> = token::objects(world.gateway.folder())
        .into_keys()
        .filter_map(|label| label.strip_prefix("portcullis:").map(str::to_owned))
        .collect();
    assert_eq!(held, there, "the token holds what was acknowledged and not destroyed, and nothing else");
    println!(
        "figures changes: {made} creations made and {refused} refused, {destroyed} destructions done and {kept} refused; {} objects \
         acknowledged and as many on the token",
        there.len()
    );
}
