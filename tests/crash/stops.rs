//! A gateway that ends, or is told lies, between each two writes of every use case.
//!
//! Each case runs once for every write and every [`Mode`]; where the process ends, the repair of the next start ends at each
//! of its own writes, too. Then one more start repairs without a fault, and what is there is compared with what was told:
//! nothing half-made, nothing lost, nothing on the token that no record names, and one truthful line on the trail.

use portcullis::{
    domain::{
        UniqueIdentifier,
        audit::{AuditEvent, Outcome},
    },
    engine::{
        Error,
        ports::{Hsm, HsmRequest, MetadataStore, Terms},
        reconcile::Repaired,
    },
};

use crate::{
    cases::{self, Case, every_object, is_alive},
    world::{ACT, Life, Mode, Plan, World},
};

/// One life on a runtime of its own: dropping that ends every task at once, as a killed process does.
fn live<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// What happened, for messages.
struct Run {
    mode: Mode,
    at: u64,
    repair_at: u64,
    /// What the client was told; `None` when the process ended first.
    told: Option<Result<(), Error>>,
}

impl Run {
    /// Whether the request succeeded; `None` when nobody was told.
    fn ended(&self) -> Option<bool> {
        self.told.as_ref().map(Result::is_ok)
    }
}

fn every_write<C: Case>() {
    for mode in Mode::ALL {
        let mut at = 1;
        // A change takes at least its commit and its record.
        while one::<C>(mode, at) {
            at += 1;
        }
        assert!(at > 2, "{mode:?}: only {at} writes were seen");
    }
}

/// Runs the case with the fault at write `at`, and with the repair ending at each of its writes; `false` when the case has
/// no such write.
fn one<C: Case>(mode: Mode, at: u64) -> bool {
    let mut repair_at = 1;
    loop {
        let world = World::new();
        let (ids, told, reached) = live(async {
            let ids = {
                let before = world.start(Plan::NONE);
                C::arrange(&before).await
            };
            let life = world.start(Plan { mode, at });
            life.subjects(&ids);
            let told = life.until_stopped(C::act(&life, &ids)).await;
            let reached = life.went_wrong();
            if reached && !mode.ends() {
                // The gateway lives on; its own repair comes by some time later.
                life.reconcile().await;
            }
            (ids, told, reached)
        });
        let run = Run { mode, at, repair_at, told };
        let repair_ended = reached && mode.ends() && {
            let life = live(async { world.start(Plan { mode: Mode::Stop, at: repair_at }) });
            live(async { life.reconcile().await.is_none() })
        };
        live(async {
            let life = world.start(Plan::NONE);
            life.reconcile().await;
            let left = life.reconcile().await;
            assert_eq!(left, Some(Repaired::default()), "{run}: one repair is enough");
            check::<C>(&world, &life, &ids, &run).await;
        });
        if !reached {
            assert_eq!(run.ended(), Some(!C::FAILS), "{run}: without a fault the request ends as it should");
            return false;
        }
        if !repair_ended {
            return true;
        }
        repair_at += 1;
    }
}

async fn check<C: Case>(world: &World, life: &Life, ids: &[UniqueIdentifier], run: &Run) {
    let happened = C::happened(life, ids).await;
    if run.ended() == Some(true) {
        assert!(happened, "{run}: what was acknowledged is lost");
    }
    if run.mode == Mode::Meddle && run.ended() == Some(false) && !C::FAILS {
        assert!(!happened, "{run}: what was refused has come to pass");
    }
    assert!(life.store.intents().await.unwrap().is_empty(), "{run}: an intent is left");
    assert!(life.store.owed().await.unwrap().is_empty(), "{run}: an audit record is still owed");
    token_and_store(world, life, run).await;
    trail::<C>(&world.audit.events(), happened, run);
}

/// Each value that a record names is on the token, and nothing else is.
async fn token_and_store(world: &World, life: &Life, run: &Run) {
    let mut named = 0;
    for object in every_object(life).await {
        let Some(value) = object.value.clone() else {
            assert_eq!(world.hsm.holds(object.identifier), 0, "{run}: a value without a record of it");
            continue;
        };
        assert!(is_alive(&object), "{run}: a destroyed object names a value");
        let parts = usize::from(value.key.is_some()) + usize::from(value.bytes.is_some());
        // Its own identifier, but for a value that replaced another one.
        let place = UniqueIdentifier::from_bytes(value.cka_id.0);
        assert_eq!(world.hsm.holds(place), parts, "{run}: {} is not whole", object.identifier);
        named += parts;
        for request in [
            value.key.map(|_| HsmRequest::RevealKey { reference: value.clone() }),
            value.bytes.map(|_| HsmRequest::RevealBytes { reference: value.clone() }),
        ] {
            let Some(request) = request else { continue };
            let revealed = world.hsm.call(request, Terms::of_gateway(std::time::Duration::from_secs(1))).await;
            assert!(revealed.is_ok(), "{run}: {revealed:?}");
        }
    }
    assert_eq!(world.hsm.count(), named, "{run}: an orphan on the token");
}

/// The trail tells once that it happened, and never that it did when it did not.
fn trail<C: Case>(events: &[AuditEvent], happened: bool, run: &Run) {
    let mut seen = std::collections::HashSet::new();
    assert!(events.iter().all(|event| seen.insert(event.id)), "{run}: two records with one identifier");
    let about: Vec<_> = events.iter().filter(|event| event.request == ACT).collect();
    let successes = about.iter().filter(|event| event.outcome == Outcome::Success).count();
    assert_eq!(successes, usize::from(happened && !C::FAILS), "{run}: happened: {happened}, trail: {about:#?}");
    if let Some(last) = about.last().filter(|_| happened) {
        assert_eq!(last.outcome == Outcome::Success, !C::FAILS, "{run}: the last word of the trail is wrong");
        assert!(!last.targets.is_empty(), "{run}: the trail does not name what it is about");
    }
    if run.mode.ends() {
        // Before its first write a request has left no trace; after it, the trail tells what became of it.
        assert_eq!(about.len(), usize::from(happened || run.at > 1), "{run}: {about:#?}");
    }
    if run.ended() == Some(true) {
        assert_eq!(about.len(), 1, "{run}: what was answered is on the trail once: {about:#?}");
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = match &self.told {
            None => "nothing".to_owned(),
            Some(Ok(())) => "success".to_owned(),
            Some(Err(error)) => format!("{error}"),
        };
        write!(f, "{:?} at write {}, repair ended at write {}, told {told}", self.mode, self.at, self.repair_at)
    }
}

macro_rules! cases {
    ($($test:ident: $case:ident;)*) => {$(
        #[test]
        fn $test() {
            every_write::<cases::$case>();
        }
    )*};
}

cases! {
    create: CreateAKey;
    create_secret_data: CreateSecretData;
    create_key_pair: CreateAPair;
    register_key: RegisterAKey;
    register_key_and_bytes: RegisterAKeyAndItsBytes;
    register_refused_key: RegisterWhatIsNoKey;
    register_bytes: RegisterBytes;
    register_nothing: RegisterNothing;
    set_value: SetAValue;
    activate: ActivateAKey;
    revoke: RevokeAKey;
    add_attribute: AddAnAttribute;
    destroy: DestroyAKey;
    destroy_nothing: DestroyNothing;
    retire_member: RetireAMember;
    retire_nothing: RetireNothing;
    metadata: ReplaceMetadata;
    grants: SetGrants;
    consumer: AddAConsumer;
    make_group: MakeAGroup;
    join_group: JoinAGroup;
    delete_group: DeleteAGroup;
    submit_order: SubmitAnOrder;
    run_key_order: RunAKeyOrder;
    run_pair_order: RunAPairOrder;
    run_order_in_vain: RunAnOrderInVain;
    delete_order: DeleteAnOrder;
    create_twin: CreateATwin;
    register_twin: RegisterATwin;
    rekey: RekeyAKey;
    rekey_pair: RekeyAPair;
    derive: DeriveAKey;
    archive: ArchiveAKey;
    allocate: AllocateAUse;
    split: SplitAKey;
    join: JoinTheParts;
    import: ImportAKey;
    import_replacing: ImportInTheOthersPlace;
    certify: CertifyAKey;
    recertify: RecertifyAKey;
    migrate: MigrateAKeyAndItsBytes;
}
