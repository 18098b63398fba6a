//! The room that the metadata store takes: what is measured of it, the alarm, and `portcullis store compact`.

use std::{
    ops::ControlFlow,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use super::{
    backup::pretty,
    control,
    gateway::Core,
    marks,
    problem::{Explain as _, Problem},
    watched::WatchedStore,
};
use crate::{
    audit::record::StoreOrder,
    config::Config,
    store::compaction::{Compacted, Live, Progress, Stage},
    telemetry::Metrics,
};

/// Between two counts of what lives, at least.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// Counting takes at most one part in so many of the time.
const COUNT_SHARE: u32 = 50;
/// After each step of counting, others are let pass.
const COUNT_PAUSE: Duration = Duration::from_millis(1);

/// Has work on another thread break off when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stop {
    fn new() -> (Self, impl Fn() -> ControlFlow<()> + Send + 'static) {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let asks = move || match asked.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        (Self(stop), asks)
    }
}

/// Counts what lives in the store now and then, and says when its file has become much larger than that.
pub(super) async fn watch(store: Arc<WatchedStore>, metrics: Arc<Metrics>) {
    let mut is_told = false;
    loop {
        let began = Instant::now();
        let counted = Arc::clone(&store);
        let (_stop, asks) = Stop::new();
        let live = tokio::task::spawn_blocking(move || {
            counted.repository().weighed(|_| {
                thread::sleep(COUNT_PAUSE);
                asks()
            })
        });
        match live.await {
            Ok(Ok(Some(live))) => {
                metrics.store_live(live.bytes);
                is_told = alarm(&store, live, is_told);
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what lives in the store could not be counted"),
            Err(error) => tracing::warn!(%error, "what lives in the store could not be counted"),
        }
        sleep(COUNT_EVERY.max(began.elapsed() * COUNT_SHARE)).await;
    }
}

fn alarm(store: &WatchedStore, live: Live, was_told: bool) -> bool {
    let disk = store.repository().bytes_on_disk();
    let is_lost = live.is_lost_in(disk);
    if is_lost && !was_told {
        tracing::warn!(
            code = "PC-STORE-SPACE",
            disk_bytes = disk,
            live_bytes = live.bytes,
            "the store's file is more than four times as large as what lives in it: `portcullis store compact` makes it small \
             again, while the gateway serves"
        );
    }
    is_lost
}

/// Shows how large the store's files are.
pub(super) fn measure(store: &WatchedStore, metrics: &Metrics) {
    let repository = store.repository();
    metrics.store_files(repository.bytes_on_disk(), repository.journal().map_or(0, |journal| journal.bytes));
}

/// Compacts the store and records that it was done. It breaks off when nobody waits for it any more.
pub(super) async fn compact(core: &Core, tell: impl Fn(Progress) + Send + 'static) -> Result<Compacted, String> {
    let store = Arc::clone(&core.store);
    let (_stop, asks) = Stop::new();
    let working = tokio::task::spawn_blocking(move || {
        store.repository().compact(&|progress| {
            tell(progress);
            asks()
        })
    });
    let made = working.await.map_err(|ended| ended.to_string())?.map_err(|error| error.to_string())?;
    let mark = core.marks.now().await;
    let (store, number) = (marks::text(&mark.store), mark.number);
    let order = StoreOrder { action: "compact", store, mark: number, known: number, records: None };
    core.trail.order(order).await.map_err(|error| format!("it is compacted, and not recorded: {error}"))?;
    measure(&core.store, &core.metrics);
    Ok(made)
}

/// A bar on standard error, where a person looks.
fn bar() -> Result<ProgressBar, Problem> {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.explain("PC-OUTPUT", "the progress bar", "")?);
    Ok(bar)
}

/// Shows a person how far it is.
pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_message(match progress.stage {
        Stage::Counting => "counting what lives",
        Stage::Copying => "copying it",
        Stage::Following => "following what was changed",
        Stage::Exchanging => "exchanging the files",
        Stage::Removing => "removing the old ones",
    });
    bar.set_length(progress.of);
    bar.set_position(progress.done);
}

/// `portcullis store compact`.
pub(super) fn run(config: Config, json: bool) -> Result<ExitCode, Problem> {
    let bar = bar()?;
    let made = control::compact(config, &bar);
    bar.finish_and_clear();
    let made = made?;
    let text = if json {
        pretty(&made)?
    } else {
        let Compacted { bytes_before, bytes_after, keys, groups, paused_micros, .. } = made;
        format!(
            "compacted: {bytes_before} bytes before, {bytes_after} after; {keys} keys, {groups} groups of changes meanwhile, \
             changes waited for {:.1} ms\n",
            Duration::from_micros(paused_micros).as_secs_f64() * 1000.0
        )
    };
    super::inspect::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
