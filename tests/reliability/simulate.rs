//! Random faults, kills and clients against two replicas, and a model that says what each answer may be.
//!
//! A round is planned from its seed alone: which token fails how and when, whether the gateway is killed, what the clients do.
//! Meanwhile requests may fail; what is answered must be right. After each round nothing fails any more: then every object is
//! what its clients were told. `SIMULATE_SECONDS` says how long, and a failing round prints the `SEED` that plans it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kmip_codec::{
    attribute::AttributeList,
    payload::{DestroyRequest, LocateRequest, Request, Response},
    spec::enums::ResultReason,
};
use parking_lot::Mutex;
use portcullis_testing::{Failure, Gateway, Kmip, PATIENCE, Rest, aes, create, material, text_of};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{
    Chance, alone, asked,
    clients::{Client, Fixture, Until, drive},
    failover::FAULTS,
    is_long,
    pair::{Pair, TOKENS},
    seed, tail,
};

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It is there, with this value as far as anybody has seen it.
    There(Option<Vec<u8>>),
    /// Its destruction was asked for, and nobody was told.
    Unknown(Option<Vec<u8>>),
    /// Its destruction was acknowledged.
    Gone,
}

type Model = Arc<Mutex<BTreeMap<String, State>>>;

/// What one moment of a round brings.
#[derive(Debug)]
enum Act {
    Fail(&'static str, String),
    Mend(&'static str),
    Kill,
}

/// One round, from its seed alone.
#[derive(Debug)]
struct Plan {
    length: Duration,
    acts: Vec<(Duration, Act)>,
    lies: bool,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let length = Duration::from_millis(1000 + u64::try_from(chance.below(2000)).unwrap());
        let moment =
            |chance: &mut Chance| length.mul_f64(f64::from(u16::try_from(chance.below(1000)).unwrap()) / 1000.0);
        let (mut acts, mut lies) = (Vec::new(), false);
        // A keeper that has met a strange token looks again after a minute: that is the row of failover, and too long for a round.
        let faults: Vec<_> = FAULTS.iter().filter(|fault| !fault.action.contains("replace")).collect();
        for _ in 0..=chance.below(3) {
            let (fault, token) = (faults[chance.below(faults.len())], TOKENS[chance.below(2)]);
            lies |= fault.lies;
            let times = ["", "times = 1\n", "rate = 0.3\n", "every = 7\n"][chance.below(4)];
            // What takes the token away does so once.
            let times =
                if ["remove", "restart"].iter().any(|word| fault.action.contains(word)) { "at = [1]\n" } else { times };
            let rule = format!(
                "[faults]\nseed = {seed}\n[[faults.rule]]\nmatch = {{ function = {} }}\n{times}action = {{ {} }}\n",
                fault.functions, fault.action
            );
            acts.push((moment(&mut chance), Act::Fail(token, rule)));
            if chance.below(2) == 0 {
                acts.push((moment(&mut chance), Act::Mend(token)));
            }
        }
        if chance.below(3) == 0 {
            acts.push((moment(&mut chance), Act::Kill));
        }
        acts.sort_by_key(|(at, _)| *at);
        Self { length, acts, lies }
    }
}

/// Somebody who makes, reads and destroys objects of his own.
struct Actor {
    link: Link,
    chance: Chance,
    model: Model,
    own: Vec<String>,
    answers: usize,
    failures: usize,
}

enum Link {
    Kmip(Box<Kmip>),
    Rest(Rest),
}

/// What an answer says of an object.
enum Said {
    Value(Vec<u8>),
    Done,
    Gone,
    /// Nothing: it failed.
    Failed,
    /// The connection is gone, and with it this client.
    CutOff,
}

fn said(failure: Failure) -> Said {
    match failure {
        Failure::Connection(_) => Said::CutOff,
        Failure::Refused(
            Some(ResultReason::OBJECT_DESTROYED | ResultReason::ITEM_NOT_FOUND | ResultReason::OBJECT_NOT_FOUND),
            _,
        ) => Said::Gone,
        Failure::Refused(..) => Said::Failed,
    }
}

impl Actor {
    async fn live(mut self, end: Instant) -> (usize, usize) {
        while Instant::now() < end && self.act().await {}
        (self.answers, self.failures)
    }

    /// One request; whether there is a connection for another.
    async fn act(&mut self) -> bool {
        let pick = (!self.own.is_empty()).then(|| self.chance.below(self.own.len()));
        let answer = match (pick, self.chance.below(10)) {
            (Some(at), 0..5) => self.read(at).await,
            (Some(at), 5..7) => self.destroy(at).await,
            _ => self.make().await,
        };
        match answer {
            Said::CutOff => return false,
            Said::Failed => self.failures += 1,
            Said::Value(_) | Said::Done | Said::Gone => self.answers += 1,
        }
        true
    }

    async fn make(&mut self) -> Said {
        let length = 1 + self.chance.below(6000);
        let value = self.chance.bytes(length);
        let made = match &mut self.link {
            Link::Kmip(kmip) => kmip.make(create(aes())).await.map(|id| (id, None)).map_err(said),
            Link::Rest(rest) => match rest.store("opaque", &value).await {
                Ok(answer) if answer.status == 201 => Ok((answer.reference("secret_ref"), Some(value))),
                Ok(answer) if answer.status >= 500 => Err(Said::Failed),
                Ok(answer) => panic!("storing: {} {}", answer.status, answer.text()),
                Err(_) => Err(Said::CutOff),
            },
        };
        match made {
            Ok((id, value)) => {
                let before = self.model.lock().insert(id.clone(), State::There(value));
                assert_eq!(before, None, "{id} was given twice");
                self.own.push(id);
                Said::Done
            }
            Err(said) => said,
        }
    }

    async fn read(&mut self, at: usize) -> Said {
        let id = self.own[at].clone();
        let answer = match &mut self.link {
            Link::Kmip(kmip) => kmip.get(&id).await.map_or_else(said, |object| Said::Value(material(object))),
            Link::Rest(rest) => rest_value(rest, &id).await,
        };
        let mut model = self.model.lock();
        let state = model.get_mut(&id).unwrap();
        match (&answer, &*state) {
            (Said::Value(value), State::There(known) | State::Unknown(known)) => {
                assert!(known.as_ref().is_none_or(|known| known == value), "{id} has another value");
                *state = match state {
                    State::Unknown(_) => State::Unknown(Some(value.clone())),
                    _ => State::There(Some(value.clone())),
                };
            }
            (Said::Value(_), State::Gone) => panic!("{id} was destroyed and is read"),
            (Said::Gone, State::There(_)) => panic!("{id} was acknowledged, and is said to be gone"),
            (Said::Gone, State::Unknown(_)) => *state = State::Gone,
            _ => {}
        }
        answer
    }

    async fn destroy(&mut self, at: usize) -> Said {
        let id = self.own[at].clone();
        {
            let mut model = self.model.lock();
            let state = model.get_mut(&id).unwrap();
            if let State::There(value) = state {
                *state = State::Unknown(value.take());
            }
        }
        let answer = match &mut self.link {
            Link::Kmip(kmip) => {
                let destroy = DestroyRequest { unique_identifier: Some(id.as_str().into()) };
                kmip.ask(Request::Destroy(Box::new(destroy))).await.map_or_else(said, |_| Said::Done)
            }
            Link::Rest(rest) => match rest.delete(&id).await {
                Ok(answer) if answer.status == 204 => Said::Done,
                Ok(answer) if answer.status == 404 => Said::Gone,
                Ok(answer) if answer.status >= 500 || answer.status == 409 => Said::Failed,
                Ok(answer) => panic!("deleting {id}: {} {}", answer.status, answer.text()),
                Err(_) => Said::CutOff,
            },
        };
        if matches!(answer, Said::Done | Said::Gone) {
            self.model.lock().insert(id, State::Gone);
        }
        answer
    }
}

async fn rest_value(rest: &Rest, id: &str) -> Said {
    match rest.payload(id).await {
        Ok(answer) if answer.status == 200 => Said::Value(answer.body),
        Ok(answer) if answer.status == 404 => Said::Gone,
        Ok(answer) if answer.status >= 500 => Said::Failed,
        Ok(answer) => panic!("reading {id}: {} {}", answer.status, answer.text()),
        Err(_) => Said::CutOff,
    }
}

/// Nothing fails: every object is what was told; what was unknown is seen now. A destruction that was refused may still be carried
/// out by the next start, so what it was asked for stays unknown until the gateway `has_started` since.
async fn check(gateway: &Gateway, model: &Model, checked: &mut BTreeMap<String, State>, has_started: bool) {
    let rest = Rest::new(&gateway.rest(), "demo");
    let told: Vec<_> = {
        let model = model.lock();
        model
            .iter()
            .filter(|(id, state)| checked.get(*id) != Some(*state))
            .map(|(id, it)| (id.clone(), it.clone()))
            .collect()
    };
    for (id, state) in told {
        let now = match (rest_value(&rest, &id).await, state) {
            (Said::Value(value), State::Unknown(known)) if !has_started => {
                assert!(known.is_none_or(|known| known == value), "{id} has another value");
                State::Unknown(Some(value))
            }
            (Said::Value(value), State::There(known) | State::Unknown(known)) => {
                assert!(known.is_none_or(|known| known == value), "{id} has another value");
                State::There(Some(value))
            }
            (Said::Gone, State::Unknown(_) | State::Gone) => State::Gone,
            (Said::Gone, State::There(_)) => panic!("{id} was acknowledged and is lost: {}", tail(&gateway.log())),
            (Said::Value(_), State::Gone) => panic!("{id} was destroyed and is back: {}", tail(&gateway.log())),
            _ => panic!("{id} cannot be read though nothing fails: {}", tail(&gateway.log())),
        };
        model.lock().insert(id.clone(), now.clone());
        checked.insert(id, now);
    }
}

/// Every record that is not destroyed.
async fn located(gateway: &Gateway) -> BTreeSet<String> {
    let mut kmip = Kmip::connect(gateway).await.unwrap();
    let mut found = BTreeSet::new();
    loop {
        let page = LocateRequest {
            maximum_items: Some(500),
            offset_items: Some(i32::try_from(found.len()).unwrap()),
            storage_status_mask: None,
            object_group_member: None,
            attributes: AttributeList::default(),
        };
        let answer = kmip.ask(Request::Locate(Box::new(page))).await.unwrap();
        let Response::Locate(answer) = answer else { panic!("an answer to {}", answer.operation()) };
        if answer.unique_identifiers.is_empty() {
            return found;
        }
        found.extend(answer.unique_identifiers.iter().map(text_of));
    }
}

#[derive(Default)]
struct Totals {
    rounds: usize,
    kills: usize,
    faults: usize,
    answers: usize,
    failures: usize,
}

/// One round; whether the gateway was killed in it, and started again.
async fn round(pair: &mut Pair, fixture: &Arc<Fixture>, model: &Model, seed: u64, totals: &mut Totals) -> bool {
    let plan = Plan::new(seed);
    println!("  SEED={seed}: {plan:?}");
    let began = Instant::now();
    let end = began + plan.length;
    let crowd = Client::crowd(&pair.gateway, fixture, 4, seed).await;
    let crowd = tokio::spawn(drive(crowd, Until::Time(end)));
    let mut actors = JoinSet::new();
    let mut owners: Vec<Vec<String>> = vec![Vec::new(); 8];
    for (number, (id, state)) in model.lock().iter().enumerate() {
        if *state != State::Gone {
            owners[number % 8].push(id.clone());
        }
    }
    for (number, own) in owners.into_iter().enumerate() {
        let link = if number.is_multiple_of(2) {
            Link::Kmip(Box::new(Kmip::connect(&pair.gateway).await.unwrap()))
        } else {
            Link::Rest(Rest::new(&pair.gateway.rest(), "demo"))
        };
        let chance = Chance(seed.wrapping_mul(31) + u64::try_from(number).unwrap());
        let actor = Actor { link, chance, model: Arc::clone(model), own, answers: 0, failures: 0 };
        actors.spawn(actor.live(end));
    }
    let mut killed = false;
    for (at, act) in &plan.acts {
        sleep_until((began + *at).into()).await;
        match act {
            Act::Fail(token, rule) => {
                totals.faults += 1;
                pair.plan(token, rule);
            }
            Act::Mend(token) => pair.mend(token),
            Act::Kill => {
                killed = true;
                totals.kills += 1;
                pair.gateway.kill();
            }
        }
        if killed {
            break;
        }
    }
    let over = async {
        while let Some(ended) = actors.join_next().await {
            let (answers, failures) = ended.unwrap();
            totals.answers += answers;
            totals.failures += failures;
        }
        crowd.await.unwrap().1
    };
    let report = timeout(PATIENCE, over).await.expect("every request is answered");
    assert_eq!(report.wrong(), Vec::<String>::new());
    assert!(plan.lies || report.unknowable().is_empty(), "wrong answers though no token lies");
    totals.failures += report.errors().len();
    totals.answers += report.0.len() - report.errors().len();
    TOKENS.iter().for_each(|token| pair.mend(token));
    if killed {
        pair.gateway.restart();
    }
    pair.both_serve().await;
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_under_random_faults_is_what_the_model_says() {
    if asked("SIMULATE_SECONDS").is_none() && !is_long() {
        println!("skipped, because neither SIMULATE_SECONDS nor LONG is set");
        return;
    }
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::start(folder.path(), "").await;
    let fixture = Fixture::make(&pair.gateway).await;
    let (model, mut checked, mut totals) = (Model::default(), BTreeMap::new(), Totals::default());
    let seconds = asked("SIMULATE_SECONDS").unwrap_or_else(|| if is_long() { 600 } else { 8 });
    let end = Instant::now() + Duration::from_secs(seconds);
    let first = seed();
    let mut next = first;
    while next == first || Instant::now() < end {
        println!("if this round fails: SEED={next} SIMULATE_SECONDS=1 cargo test --test reliability simulate");
        let has_started = round(&mut pair, &fixture, &model, next, &mut totals).await;
        check(&pair.gateway, &model, &mut checked, has_started).await;
        totals.rounds += 1;
        next += 1;
    }
    // What could not be settled while a token failed is settled by a start.
    assert!(pair.gateway.stop().success());
    pair.gateway.restart();
    pair.both_serve().await;
    checked.clear();
    check(&pair.gateway, &model, &mut checked, true).await;
    let records = located(&pair.gateway).await;
    let names = pair.equal();
    let held = pair.held();
    assert_eq!(held, records, "what the tokens hold and what the records name: {}", tail(&pair.gateway.log()));
    let there = model.lock().values().filter(|state| matches!(state, State::There(_))).count();
    println!(
        "figures simulation: seeds {first} to {}, {seconds} s, {} faults, {} kills, {} answers, all as the model says, {} failed; \
         {there} of {} objects there, {names} names on both tokens, equal, no orphans",
        next - 1,
        totals.faults,
        totals.kills,
        totals.answers,
        totals.failures,
        model.lock().len(),
    );
}
