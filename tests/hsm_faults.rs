//! What clients of both protocols are told when the HSM answers with an error, row by row, with the built program.
//!
//! The HSM answers `C_WrapKey`, the call by which a value leaves it, with each code: once, which a second try hides where the
//! call may be repeated, and as often as it is asked. Afterwards everybody is served as before.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::time::{Duration, Instant};

use hsm_sim::fault::control;
use kmip_codec::{
    ProtocolVersion,
    spec::enums::ResultReason as R,
    version::{V1_2, V2_1},
};
use portcullis_testing::{Answer, Failure, Gateway, Kmip, PATIENCE, Rest, material};
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

/// Code; what one alone comes to; HTTP status; result reason of KMIP 2.1 and of 1.2.
const TABLE: &[(&str, Once, u16, R, R)] = &[
    ("CKR_HOST_MEMORY", Hidden, 503, R::SERVER_LIMIT_EXCEEDED, R::GENERAL_FAILURE),
    ("CKR_GENERAL_ERROR", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_FUNCTION_FAILED", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_DEVICE_ERROR", Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_DEVICE_MEMORY", Told, 503, R::SERVER_LIMIT_EXCEEDED, R::GENERAL_FAILURE),
    ("CKR_DEVICE_REMOVED", Told, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_TOKEN_NOT_PRESENT", Told, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_SESSION_HANDLE_INVALID", Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_SESSION_CLOSED", Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_USER_NOT_LOGGED_IN", Hidden, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_PIN_LOCKED", Told, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_CRYPTOKI_NOT_INITIALIZED", Either, 503, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_OPERATION_ACTIVE", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_OPERATION_NOT_INITIALIZED", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_OBJECT_HANDLE_INVALID", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_KEY_HANDLE_INVALID", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_WRAPPING_KEY_HANDLE_INVALID", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
    ("CKR_MECHANISM_INVALID", Told, 400, R::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, R::INVALID_FIELD),
    ("CKR_FUNCTION_NOT_SUPPORTED", Told, 400, R::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, R::INVALID_FIELD),
    ("CKR_MECHANISM_PARAM_INVALID", Told, 400, R::BAD_CRYPTOGRAPHIC_PARAMETERS, R::INVALID_FIELD),
    ("CKR_KEY_SIZE_RANGE", Told, 400, R::BAD_CRYPTOGRAPHIC_PARAMETERS, R::INVALID_FIELD),
    ("CKR_KEY_UNEXTRACTABLE", Told, 403, R::NOT_EXTRACTABLE, R::PERMISSION_DENIED),
    ("CKR_KEY_NOT_WRAPPABLE", Told, 403, R::NOT_EXTRACTABLE, R::PERMISSION_DENIED),
    ("CKR_DATA_LEN_RANGE", Told, 400, R::CRYPTOGRAPHIC_FAILURE, R::CRYPTOGRAPHIC_FAILURE),
    ("CKR_FUNCTION_REJECTED", Told, 403, R::PERMISSION_DENIED, R::PERMISSION_DENIED),
    ("0x80001234", Hidden, 500, R::INTERNAL_SERVER_ERROR, R::GENERAL_FAILURE),
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

#[tokio::test]
async fn every_answer_of_the_hsm_has_its_meaning_in_both_protocols() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // One worker: the fault meets the session that has its transport key.
    let settings = [("PORTCULLIS_HSM__MAIN__WORKERS", "1")];
    let program = env!("CARGO_BIN_EXE_portcullis");
    let gateway = Gateway::start_with(program, &folder.path().join("gateway"), &settings);
    let (rest, ops) = (Rest::new(&gateway.rest(), "demo"), Rest::new(&gateway.ops(), "demo"));
    let id = rest.store("symmetric", &VALUE).await.unwrap().reference("secret_ref");
    let world = World { gateway, rest, ops, id };
    assert_eq!(world.over_rest().await.body, VALUE);

    let mut wrong = Vec::new();
    for (code, once, status, new, old) in TABLE {
        let mut note = |what: &str, fits: bool, got: String| {
            if !fits {
                wrong.push(format!("{code}, {what}: {got}"));
            }
        };
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

        world.fail(code, LASTING);
        let answer = world.over_rest().await;
        note("over REST", answer.status == *status, format!("{} {}", answer.status, answer.text()));
        let may_return = (*status == 503).then_some(1);
        note("Retry-After", answer.retry_after == may_return, format!("{:?}", answer.retry_after));
        world.mend().await;

        for (version, reason) in [(V2_1, new), (V1_2, old)] {
            world.fail(code, LASTING);
            let answer = world.over_kmip(version).await;
            note("over KMIP", answer == Err(Some(*reason)), format!("{version:?}: {answer:?}"));
            world.mend().await;
        }
        assert_eq!(world.over_rest().await.body, VALUE, "after {code}");
        assert_eq!(world.over_kmip(V2_1).await, Ok(VALUE.to_vec()), "after {code}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
