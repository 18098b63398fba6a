//! A power cut takes the end of the trail that was only with the kernel: the store owes it, and a start writes it again.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use portcullis::{
    authz::Authorizer,
    domain::{
        CryptographicAlgorithm, ObjectType, Origin, Principal, ProjectId, Realm, SecretValue, UniqueIdentifier,
        access::expand_roles,
        audit::{AuditEvent, Protocol},
        secret::SecretFacet,
    },
    engine::{
        Caller, Engine, Ports, Settings,
        ops::create::Create,
        ports::{Answer, AuditError, AuditSink, Durability, Lane, OnDisk},
        reconcile::{Repaired, reconcile},
        testing::{Bench, MemoryAudit, MemoryHsm, SystemChance, Unobserved},
    },
    store::RawStore,
};

/// A trail whose end is not on disk until it is said to be.
#[derive(Default)]
struct Kernel {
    on_disk: MemoryAudit,
    tail: Mutex<Vec<(AuditEvent, OnDisk)>>,
}

impl Kernel {
    /// The disk has taken what there is.
    async fn sync(&self) {
        let tail = std::mem::take(&mut *self.tail.lock());
        for (event, then) in tail {
            self.on_disk.record(event, Durability::Synced).await.unwrap();
            then();
        }
    }
}

impl AuditSink for Kernel {
    fn record(&self, event: AuditEvent, durability: Durability) -> Answer<'_, Result<(), AuditError>> {
        self.on_disk.record(event, durability)
    }

    fn record_owed(&self, event: AuditEvent, then: OnDisk) -> Answer<'_, Result<(), AuditError>> {
        self.tail.lock().push((event, then));
        Box::pin(async { Ok(()) })
    }

    fn holds(&self, event: [u8; 16]) -> bool {
        self.on_disk.holds(event)
    }
}

fn caller() -> Caller {
    Caller {
        principal: Arc::new(Principal {
            name: Some("somebody".to_owned()),
            project: ProjectId("demo".to_owned()),
            roles: expand_roles(["admin"]),
            realm: Realm::Keystone,
            user_name: None,
        }),
        protocol: Protocol::Barbican,
        request: "made".to_owned(),
        address: None,
        transaction: None,
        http: None,
        lane: Lane::Interactive,
        bounds: None,
    }
}

fn key() -> Create {
    Create {
        identifier: None,
        object_type: ObjectType::SymmetricKey,
        origin: Origin::Barbican,
        algorithm: Some(CryptographicAlgorithm::AES),
        length_bits: Some(256),
        subtype: None,
        attributes: Vec::new(),
        secret: SecretFacet::default(),
    }
}

/// Makes keys of which the trail has the first on disk and the others with the kernel, or waits for all; then the power goes.
async fn after_a_cut(strict: bool) -> (Arc<Ports>, Arc<Kernel>, Vec<UniqueIdentifier>) {
    let store = Arc::new(RawStore::in_memory().unlock(&SecretValue::new(vec![7; 32])).unwrap());
    let ports = Arc::new(Ports {
        hsm: Arc::<MemoryHsm>::default(),
        store,
        clock: Bench::default().clock,
        chance: Arc::new(SystemChance),
        settings: Settings::default(),
        uses: Arc::default(),
    });
    let trail = Arc::new(Kernel::default());
    let sink = Arc::clone(&trail) as Arc<dyn AuditSink>;
    let engine = Engine::new(Arc::clone(&ports), sink, Authorizer::default(), Arc::new(Unobserved), strict);
    let (engine, mut made) = (Arc::new(engine), Vec::new());
    for number in 0..4 {
        made.push(engine.execute(&caller(), key()).await.unwrap().identifier);
        if number == 0 {
            trail.sync().await;
        }
    }
    trail.tail.lock().clear();
    (ports, trail, made)
}

/// Waits until what is removed some time soon is gone.
async fn owed(ports: &Ports, count: usize) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while ports.store.owed().await.unwrap().len() != count {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", ports.store.owed().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_power_cut_takes_of_the_trail_is_written_again() {
    let (ports, trail, made) = after_a_cut(false).await;
    owed(&ports, 3).await;
    assert_eq!(trail.on_disk.events().len(), 1);
    let repaired = reconcile(&ports, &*trail, Duration::ZERO).await.unwrap();
    assert_eq!(repaired, Repaired { recorded: 3, ..Repaired::default() });
    let events = trail.on_disk.events();
    for id in &made {
        assert_eq!(events.iter().filter(|event| event.targets.contains(id)).count(), 1, "{id}: {events:#?}");
    }
    assert_eq!(events.iter().filter(|event| event.recovered).count(), 3);
    owed(&ports, 0).await;
}

#[tokio::test]
async fn a_strict_trail_leaves_nothing_to_be_written_again() {
    let (ports, trail, made) = after_a_cut(true).await;
    owed(&ports, 0).await;
    assert_eq!(trail.on_disk.events().len(), made.len());
    assert_eq!(reconcile(&ports, &*trail, Duration::ZERO).await.unwrap(), Repaired::default());
}
