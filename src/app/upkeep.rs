//! What goes on in the background while the gateway serves.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use super::{control, gateway::Core, policy, space, system::SystemClock};
use crate::{
    config::Config,
    domain::lifecycle::State,
    engine::{
        Engine, Uses,
        ops::purge::{Purged, purge_due},
        ports::{Clock, MetadataStore, Order, Scope, StoreError},
        reconcile::reconcile,
    },
    telemetry::Metrics,
};

/// Between two counts of the objects, at least.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// Counting takes at most one part in so many of the time.
const COUNT_SHARE: u32 = 20;
const COUNT_PAGE: usize = 256;
/// Between two looks for what is past its time.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Between two times that uses of keys are added to the records.
const USES_EVERY: Duration = Duration::from_secs(30);
/// Between two looks for intents that a failing token left behind.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// Starts it; aborting the set ends it.
pub(super) fn start(core: &Core) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (trail, signer, marks) = (Arc::clone(&core.trail), Arc::clone(&core.signer), Arc::clone(&core.marks));
    let every = core.config.audit.checkpoint_seconds.seconds();
    tasks.spawn(async move {
        loop {
            sleep(every).await;
            match trail.checkpoint(&signer).await {
                Ok(Some(line)) => marks.advance(Some(line)).await,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the audit trail's head is not signed"),
            }
        }
    });

    let engine = Arc::clone(&core.engine);
    let limits = &core.config.limits;
    // Requests that still run must be out of it: twice the longest that one may take.
    let grace = (limits.hsm_seconds.seconds() + limits.keygen_seconds.seconds()) * 2;
    tasks.spawn(async move {
        loop {
            sleep(RECONCILE_EVERY).await;
            match reconcile(engine.ports(), engine.audit(), grace).await {
                Ok(repaired) if repaired == Default::default() => {}
                Ok(repaired) => tracing::info!(?repaired, "what failed requests had left was settled"),
                Err(error) => tracing::warn!(%error, "what failed requests left is not settled"),
            }
        }
    });

    let engine = Arc::clone(&core.engine);
    tasks.spawn(async move {
        loop {
            sleep(USES_EVERY).await;
            if let Err(error) = Uses::settle(engine.ports()).await {
                tracing::warn!(%error, "uses of keys are counted later");
            }
        }
    });

    let (engine, metrics) = (Arc::clone(&core.engine), Arc::clone(&core.metrics));
    tasks.spawn(async move {
        loop {
            let began = Instant::now();
            match count(&*engine.ports().store).await {
                Ok(counts) => {
                    for state in State::ALL {
                        metrics.objects(state.name(), counts.get(state.name()).copied().unwrap_or_default());
                    }
                }
                Err(error) => tracing::warn!(%error, "the objects could not be counted"),
            }
            sleep(COUNT_EVERY.max(began.elapsed() * COUNT_SHARE)).await;
        }
    });
    let (engine, metrics, config) = (Arc::clone(&core.engine), Arc::clone(&core.metrics), Arc::clone(&core.config));
    tasks.spawn(policy::watch(engine, metrics, config));
    tasks.spawn(space::watch(Arc::clone(&core.store), Arc::clone(&core.metrics)));
    tasks.spawn(control::serve(core.clone()));
    tasks.spawn(Arc::clone(&core.migrations).run());
    tasks.spawn(purge(Arc::clone(&core.engine), Arc::clone(&core.metrics), Arc::clone(&core.config)));
    tasks
}

/// Removes what is past its time, now and then.
async fn purge(engine: Arc<Engine>, metrics: Arc<Metrics>, config: Arc<Config>) {
    let ago = |hours: u64| i64::try_from(hours.saturating_mul(3600)).unwrap_or(i64::MAX);
    let rest = &config.rest;
    loop {
        let now = engine.ports().clock.now();
        let expired = now.plus_seconds(-ago(rest.expired_hours.get()));
        let days = rest.deleted_days.get();
        let deleted = (days > 0).then(|| now.plus_seconds(-ago(days.saturating_mul(24))));
        match purge_due(&engine, expired, deleted).await {
            Ok(Purged { expired, forgotten }) => {
                metrics.purged("expired", expired);
                metrics.purged("deleted", forgotten);
            }
            Err(error) => tracing::warn!(%error, "what is past its time could not be removed"),
        }
        sleep(PURGE_EVERY).await;
    }
}

/// Objects by their state now. The state depends on the time, so they are looked at one by one.
async fn count(store: &dyn MetadataStore) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.objects(Scope::Everything, Order::OldestFirst, after, COUNT_PAGE).await?;
        let now = SystemClock.now();
        for object in &page.records {
            *counts.entry(object.record.state(now).name()).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
        tokio::task::yield_now().await;
    }
}
