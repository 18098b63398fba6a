//! The one writer of a token in this process: threads that write at the same time share a commit.
//!
//! There is no writer thread, since a module may not be allowed to start one. Whoever finds nobody leading takes all that
//! is queued, commits it as one transaction and wakes the others. Processes take turns on a file lock, which the kernel
//! releases when its holder dies; while rows are being changed the shared counter is odd, so that a reader never trusts
//! its cache across a writer that was killed between the commit and the announcement.

use std::{
    fs::File,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use rustix::{fs::FlockOperation, io::Errno};

use super::{Result, StoreError, folder::open_shared};
use crate::abi::SharedPage;

/// The word of a token's page that grows with every commit that changes or deletes rows; odd while one is under way.
pub(super) const CHANGES: usize = 0;

const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_micros(200);

/// The change counter around a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Before it; a cache that was in step with this value is in step with `after`, but for the caller's own change.
    pub(crate) before: u64,
    /// After it.
    pub(crate) after: u64,
}

/// Whether a job only adds rows or also changes or deletes some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Adds,
    Changes,
}

type Job = Box<dyn FnOnce(&Connection) -> Result<()> + Send>;
type Outcome = Arc<Mutex<Option<Result<Commit>>>>;

struct Entry {
    job: Job,
    effect: Effect,
    outcome: Outcome,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    is_led: bool,
}

/// The writer.
pub(super) struct Writer {
    queue: Mutex<Queue>,
    turn: Condvar,
    connection: Mutex<Connection>,
    lock: File,
    lock_path: PathBuf,
    page: Arc<SharedPage>,
}

impl Writer {
    pub(super) fn new(connection: Connection, lock_path: &Path, page: Arc<SharedPage>) -> Result<Self> {
        let lock = open_shared(lock_path)?;
        let writer = Self {
            queue: Mutex::default(),
            turn: Condvar::new(),
            connection: Mutex::new(connection),
            lock,
            lock_path: lock_path.to_path_buf(),
            page,
        };
        writer.heal()?;
        Ok(writer)
    }

    /// Makes the counter even again after a writer that died.
    fn heal(&self) -> Result<()> {
        if self.page.load(CHANGES) % 2 == 1 {
            let _turn = self.take_turn()?;
            let word = self.page.word(CHANGES);
            let value = word.load(Ordering::Acquire);
            word.store(value + value % 2, Ordering::Release);
        }
        Ok(())
    }

    /// Runs a job inside a transaction and answers once it is committed as durably as configured.
    ///
    /// A job that fails is undone alone; the others of its commit stand.
    pub(super) fn write<T: Send + 'static>(
        &self,
        effect: Effect,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<(T, Commit)> {
        let value = Arc::new(Mutex::new(None));
        let outcome: Outcome = Arc::default();
        let slot = Arc::clone(&value);
        let job: Job = Box::new(move |connection| {
            *slot.lock() = Some(job(connection)?);
            Ok(())
        });
        let mut queue = self.queue.lock();
        queue.entries.push(Entry { job, effect, outcome: Arc::clone(&outcome) });
        let commit = loop {
            if let Some(done) = outcome.lock().take() {
                break done?;
            }
            if queue.is_led {
                self.turn.wait(&mut queue);
                continue;
            }
            queue.is_led = true;
            let entries = std::mem::take(&mut queue.entries);
            drop(queue);
            let leading = Leading(self);
            self.commit(entries);
            drop(leading);
            queue = self.queue.lock();
        };
        drop(queue);
        let value = value.lock().take().ok_or(StoreError::Refused("a committed job left no value"))?;
        Ok((value, commit))
    }

    /// Commits a group and tells each of its members how it went.
    fn commit(&self, entries: Vec<Entry>) {
        let mut settled = Vec::with_capacity(entries.len());
        let result = self.run(entries, &mut settled);
        for (outcome, job_result) in settled {
            *outcome.lock() = Some(result.clone().and_then(|commit| job_result.map(|()| commit)));
        }
    }

    fn run(&self, entries: Vec<Entry>, settled: &mut Vec<(Outcome, Result<()>)>) -> Result<Commit> {
        let mut entries = entries;
        // Every member gets an answer, also when the transaction cannot even begin.
        settled.extend(entries.iter().map(|entry| (Arc::clone(&entry.outcome), Ok(()))));
        let connection = self.connection.lock();
        let _turn = self.take_turn()?;
        // Odd after a writer that died: then no cache is in step with it, which is what the odd value says.
        let before = self.page.load(CHANGES);
        let transaction = Transaction::begin(&connection)?;
        for (entry, (_, result)) in entries.drain(..).zip(settled.iter_mut()) {
            *result = savepoint(&connection, entry.job);
            if entry.effect == Effect::Changes && result.is_ok() {
                self.announce();
            }
        }
        transaction.commit()?;
        let word = self.page.word(CHANGES);
        let value = word.load(Ordering::Acquire);
        let after = value + value % 2;
        word.store(after, Ordering::Release);
        Ok(Commit { before, after })
    }

    /// Makes the counter odd: rows are about to change.
    fn announce(&self) {
        self.page.word(CHANGES).fetch_or(1, Ordering::AcqRel);
    }

    /// Waits for this process's turn to write.
    fn take_turn(&self) -> Result<Turn<'_>> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match rustix::fs::flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Turn(&self.lock)),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(StoreError::Busy),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(StoreError::errno(&self.lock_path)(errno)),
            }
        }
    }
}

/// Runs one job so that its failure undoes only itself.
fn savepoint(connection: &Connection, job: Job) -> Result<()> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    // The others of the commit must get their answer even if a job has a fault.
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| job(connection)))
        .unwrap_or(Err(StoreError::Refused("a write panicked")));
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    connection.prepare_cached("RELEASE job")?.execute([])?;
    result
}

/// Gives up the lead when dropped, also when a job panicked, so that nobody waits for a leader that is gone.
struct Leading<'w>(&'w Writer);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().is_led = false;
        self.0.turn.notify_all();
    }
}

/// The write lock between processes.
struct Turn<'w>(&'w File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Unlocking a lock that is held cannot fail, and the kernel drops it with the file in any case.
        let _unlocked = rustix::fs::flock(self.0, FlockOperation::Unlock);
    }
}

/// An open transaction; rolled back unless committed.
struct Transaction<'c>(Option<&'c Connection>);

impl<'c> Transaction<'c> {
    fn begin(connection: &'c Connection) -> Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(Some(connection)))
    }

    fn commit(mut self) -> Result<()> {
        if let Some(connection) = self.0 {
            connection.prepare_cached("COMMIT")?.execute([])?;
            self.0 = None;
        }
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            // Nothing was promised; SQLite rolls back by itself if this fails.
            let _rolled_back = connection.execute_batch("ROLLBACK");
        }
    }
}
