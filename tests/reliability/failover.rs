//! One of two replicas fails in every way while 64 clients of both protocols work, and none of them sees it.

use std::time::{Duration, Instant};

use crate::{
    Chance, alone,
    clients::{Client, Fixture, Report, Until, drive},
    is_long, milliseconds,
    pair::{Pair, TOKENS},
    seed, size, tail, until,
};

/// What one of the tokens does from now on.
pub(crate) struct Fault {
    name: &'static str,
    pub(crate) functions: &'static str,
    pub(crate) action: &'static str,
    /// It answers wrongly instead of not at all: until its canary is heard, what only the holder of the key can check is wrong.
    pub(crate) lies: bool,
    /// Part of the short form.
    short: bool,
}

const fn fault(name: &'static str, functions: &'static str, action: &'static str) -> Fault {
    Fault { name, functions, action, lies: false, short: false }
}

const fn lie(name: &'static str, functions: &'static str, action: &'static str) -> Fault {
    Fault { name, functions, action, lies: true, short: false }
}

const fn short(fault: Fault) -> Fault {
    Fault { short: true, ..fault }
}

const USES: &str = "[\"C_Sign\", \"C_Encrypt\", \"C_Decrypt\", \"C_WrapKey\", \"C_UnwrapKey\"]";
const MAKES: &str = "[\"C_Generate*\", \"C_CreateObject\", \"C_UnwrapKey\"]";

pub(crate) const FAULTS: &[Fault] = &[
    short(fault("killed", "\"C_*\"", "return = \"CKR_DEVICE_REMOVED\"")),
    fault("no token in the slot", "\"C_*\"", "return = \"CKR_TOKEN_NOT_PRESENT\""),
    fault("device error", "\"C_*\"", "return = \"CKR_DEVICE_ERROR\""),
    fault("general error", "\"C_*\"", "return = \"CKR_GENERAL_ERROR\""),
    fault("done, and its answer lost", "\"C_*\"", "return = \"CKR_FUNCTION_FAILED\", phase = \"after\""),
    fault("module forgot its start", "\"C_*\"", "return = \"CKR_CRYPTOKI_NOT_INITIALIZED\""),
    fault("out of memory", MAKES, "return = \"CKR_HOST_MEMORY\""),
    fault("sessions refused", "\"C_*\"", "return = \"CKR_SESSION_HANDLE_INVALID\""),
    fault("sessions dropped", "\"C_WrapKey\"", "drop_sessions = \"slot\""),
    fault("keys not found", USES, "return = \"CKR_KEY_HANDLE_INVALID\""),
    short(fault("use hangs", USES, "hang = \"60s\"")),
    fault("making hangs", MAKES, "hang = \"60s\""),
    fault("everything hangs", "\"C_*\"", "hang = \"60s\""),
    short(fault("logged out", "\"C_WrapKey\"", "logout = true")),
    fault("never logged in", USES, "return = \"CKR_USER_NOT_LOGGED_IN\""),
    short(fault("removed for two seconds", "\"C_Sign\"", "remove_token = \"2s\"")),
    fault("restarts", "\"C_WrapKey\"", "restart = \"2s\""),
    fault("a blank token in its place", "\"C_WrapKey\"", "replace_token = \"blank\""),
    short(fault("slow", USES, "delay = \"3s\"")),
    fault("slow now and then", "\"C_*\"", "delay = { dist = \"lognormal\", p50_ms = 4, p99_ms = 800, max_ms = 5000 }"),
    short(lie("wrong MACs and signatures", "\"C_Sign\"", "corrupt = \"output-bit\"")),
    short(lie("wrong cipher texts only", "\"C_Encrypt\"", "corrupt = \"output-bit\"")),
    lie("wrong wrapping", "[\"C_WrapKey\", \"C_UnwrapKey\"]", "corrupt = \"output-bit\""),
    lie("wrong everything", USES, "corrupt = \"output-bit\""),
    lie("short answers", "[\"C_Sign\", \"C_WrapKey\"]", "short_write = 1"),
];

/// A wrong answer that nobody could know to be wrong is over that soon after the first.
const FENCED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_how_one_of_two_tokens_fails() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::start(folder.path(), "").await;
    let fixture = Fixture::make(&pair.gateway).await;
    let clients = size(16, 64);
    let crowd = Client::crowd(&pair.gateway, &fixture, clients, seed()).await;
    let (mut crowd, normal) = drive(crowd, Until::Requests(size(100, 2000))).await;
    assert_eq!((normal.errors(), normal.wrong()), Default::default());
    let normal = normal.p99();

    let mut chance = Chance(seed());
    let per_fault = size(60, 420);
    let (mut all, mut kinds, mut lies, mut longest) = (Report::default(), 0, 0, Duration::ZERO);
    for fault in FAULTS.iter().filter(|fault| is_long() || fault.short) {
        let token = TOKENS[chance.below(2)];
        let times = if fault.action.contains("remove_token")
            || fault.action.contains("restart")
            || fault.action.contains("replace")
        {
            "at = [1]\n"
        } else {
            ""
        };
        let rule = format!(
            "[faults]\nseed = {}\n[[faults.rule]]\nmatch = {{ function = {} }}\n{times}action = {{ {} }}\n",
            seed(),
            fault.functions,
            fault.action
        );
        pair.plan(token, &rule);
        let began = Instant::now();
        let mut report;
        (crowd, report) = drive(crowd, Until::Requests(per_fault)).await;
        let wrong = report.unknowable();
        if fault.lies {
            // Asked on until the canary is heard, so that what comes after it is seen, too.
            let mut more;
            while !wrong.is_empty() && !pair.health(token, "fenced").await {
                assert!(began.elapsed() < portcullis_testing::PATIENCE, "{} is never heard", fault.name);
                (crowd, more) = drive(crowd, Until::Requests(20)).await;
                report.0.append(&mut more.0);
            }
            if !wrong.is_empty() {
                let fenced = Instant::now();
                (crowd, more) = drive(crowd, Until::Requests(40)).await;
                assert_eq!(more.unknowable(), Vec::<Instant>::new(), "{}: it is fenced and serves", fault.name);
                report.0.append(&mut more.0);
                assert!(report.unknowable().iter().all(|asked| *asked < fenced));
            }
        }
        let wrong = report.unknowable();
        assert!(fault.lies || wrong.is_empty(), "{}: {} wrong answers", fault.name, wrong.len());
        if let (Some(first), Some(last)) = (wrong.iter().min(), wrong.iter().max()) {
            longest = longest.max(*last - *first);
            lies += wrong.len();
        }
        assert_eq!(report.wrong(), Vec::<String>::new(), "{}: {}", fault.name, tail(&pair.gateway.log()));
        assert_eq!(report.errors(), Vec::<String>::new(), "{}: {}", fault.name, tail(&pair.gateway.log()));
        println!(
            "  {} on {token}: {} requests in {:.1?}, p99 {} ms, {} that nobody could check",
            fault.name,
            report.0.len(),
            began.elapsed(),
            milliseconds(report.p99()),
            wrong.len()
        );
        all.0.append(&mut report.0);
        kinds += 1;
        pair.mend(token);
        pair.both_serve().await;
    }
    until("all debts are paid", &pair.gateway, async || {
        crate::metric(&pair.gateway, "portcullis_hsm_token_owed", &[]).await == 0.0
    })
    .await;
    let names = pair.equal();
    let p99 = all.p99();
    println!(
        "figures failover: {clients} clients, {kinds} kinds of faults, {} requests, 0 errors, 0 wrong answers that can be checked, \
         {lies} that cannot, over within {} ms; p99 {} ms, without faults {} ms; {names} names on both tokens, equal",
        all.0.len(),
        milliseconds(longest),
        milliseconds(p99),
        milliseconds(normal),
    );
    if is_long() {
        assert!(all.0.len() >= 10_000, "{} requests", all.0.len());
        assert!(p99 < normal * 2 + Duration::from_secs(1), "p99 {p99:?}, without faults {normal:?}");
        assert!(longest <= FENCED_WITHIN, "wrong answers for {longest:?}");
    }
}
