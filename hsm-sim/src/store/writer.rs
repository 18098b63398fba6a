//! The one writer of a token in this process: threads that write at the same time share a commit.
//!
//! There is no writer thread, since a module may not be allowed to start one. Whoever finds nobody leading takes all that
//! is queued and commits it as one transaction; then the first of those who came meanwhile leads, while the group before is
//! being synced. SQLite itself syncs at checkpoints only (`synchronous = NORMAL`): a commit is durable when its write-ahead
//! log is, whose checksums chain, and a sync covers every commit before it. Processes take turns on a file lock, which the
//! kernel releases when its holder dies; while rows are being changed the shared counter is odd, so that a reader never
//! trusts its cache across a writer that was killed between the commit and the announcement.

use std::{
    fs::File,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;
use rustix::{fs::FlockOperation, io::Errno};

use super::{Result, StoreError, folder::open_shared};
use crate::{abi::SharedPage, config::Durability};

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

struct Entry {
    job: Job,
    effect: Effect,
    ticket: Answering,
}

/// Where the thread of an entry waits.
#[derive(Default)]
struct Ticket {
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    /// It is this thread's turn to lead.
    Leads,
    Done(Result<Commit>),
}

impl Ticket {
    fn tell(&self, state: State) {
        *self.state.lock() = state;
        self.turn.notify_one();
    }
}

/// The duty to answer a thread; one that is dropped without an answer says so.
struct Answering(Option<Arc<Ticket>>);

impl Answering {
    fn answer(mut self, result: Result<Commit>) {
        if let Some(ticket) = self.0.take() {
            ticket.tell(State::Done(result));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            ticket.tell(State::Done(Err(StoreError::Refused("the writer was lost"))));
        }
    }
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    is_led: bool,
}

/// The writer.
pub(super) struct Writer {
    queue: Mutex<Queue>,
    connection: Mutex<Connection>,
    lock: File,
    lock_path: PathBuf,
    page: Arc<SharedPage>,
    /// `None` where commits are not synced.
    log: Option<Log>,
}

/// The write-ahead log, and how much of it is on the disk.
struct Log {
    path: PathBuf,
    file: OnceLock<File>,
    /// Groups committed, by number; changed by the leader only.
    written: AtomicU64,
    /// Groups synced.
    synced: Mutex<u64>,
    /// After a sync that failed nobody knows what of the log is on the disk, and what follows a gap would be lost.
    failed: OnceLock<StoreError>,
}

impl Log {
    fn new(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self {
            path: path.into(),
            file: OnceLock::new(),
            written: AtomicU64::new(0),
            synced: Mutex::default(),
            failed: OnceLock::new(),
        }
    }

    fn check(&self) -> Result<()> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn sync(&self, synced: &mut u64, group: u64) -> Result<()> {
        self.check()?;
        if *synced >= group {
            return Ok(());
        }
        let written = self.written.load(Ordering::Acquire);
        let result = self.file().and_then(|file| file.sync_data().map_err(StoreError::io(&self.path)));
        match &result {
            Ok(()) => *synced = written,
            Err(error) => drop(self.failed.set(error.clone())),
        }
        result
    }

    fn file(&self) -> Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        // SQLite keeps the file for as long as somebody has the database open, which the writer has.
        let file = File::open(&self.path).map_err(StoreError::io(&self.path))?;
        Ok(self.file.get_or_init(|| file))
    }
}

impl Writer {
    /// The writer of a database that is open.
    pub(super) fn new(
        connection: Connection,
        database: &Path,
        durability: Durability,
        lock_path: &Path,
        page: Arc<SharedPage>,
    ) -> Result<Self> {
        let lock = open_shared(lock_path)?;
        let log = (durability == Durability::Full).then(|| Log::new(database));
        if log.is_some() {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
        }
        let writer = Self {
            queue: Mutex::default(),
            connection: Mutex::new(connection),
            lock,
            lock_path: lock_path.to_path_buf(),
            page,
            log,
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
        let slot = Arc::clone(&value);
        let job: Job = Box::new(move |connection| {
            *slot.lock() = Some(job(connection)?);
            Ok(())
        });
        let ticket = Arc::new(Ticket::default());
        let mut queue = self.queue.lock();
        queue.entries.push(Entry { job, effect, ticket: Answering(Some(Arc::clone(&ticket))) });
        if !queue.is_led {
            queue.is_led = true;
            *ticket.state.lock() = State::Leads;
        }
        drop(queue);
        let mut state = ticket.state.lock();
        let commit = loop {
            match std::mem::take(&mut *state) {
                State::Waiting => ticket.turn.wait(&mut state),
                State::Leads => MutexGuard::unlocked(&mut state, || self.lead()),
                State::Done(result) => break result?,
            }
        };
        drop(state);
        let value = value.lock().take().ok_or(StoreError::Refused("a committed job left no value"))?;
        Ok((value, commit))
    }

    /// Commits what is queued, the leader's own entry among it, and tells each member how it went.
    fn lead(&self) {
        let leading = Leading(self);
        let entries = std::mem::take(&mut self.queue.lock().entries);
        let mut settled = Vec::with_capacity(entries.len());
        let mut result = self.run(entries, &mut settled);
        match (&self.log, &result) {
            (Some(log), Ok(_)) => {
                let group = log.written.fetch_add(1, Ordering::AcqRel) + 1;
                // Who leads next works while this group is being synced; a third one gathers until then.
                let mut synced = log.synced.lock();
                drop(leading);
                if let Err(error) = log.sync(&mut synced, group) {
                    result = Err(error);
                }
            }
            _ => drop(leading),
        }
        for (ticket, job_result) in settled {
            ticket.answer(result.clone().and_then(|commit| job_result.map(|()| commit)));
        }
    }

    fn run(&self, entries: Vec<Entry>, settled: &mut Vec<(Answering, Result<()>)>) -> Result<Commit> {
        // Every member gets an answer, also when the transaction cannot even begin.
        let mut jobs = Vec::with_capacity(entries.len());
        for Entry { job, effect, ticket } in entries {
            settled.push((ticket, Ok(())));
            jobs.push((job, effect));
        }
        self.log.as_ref().map_or(Ok(()), Log::check)?;
        let connection = self.connection.lock();
        let _turn = self.take_turn()?;
        // Odd after a writer that died: then no cache is in step with it, which is what the odd value says.
        let before = self.page.load(CHANGES);
        let transaction = Transaction::begin(&connection)?;
        for ((job, effect), (_, result)) in jobs.into_iter().zip(settled.iter_mut()) {
            *result = savepoint(&connection, job);
            if effect == Effect::Changes && result.is_ok() {
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

/// Hands the lead to the first who waits when dropped, also when a job panicked, so that nobody waits for a leader that is gone.
struct Leading<'w>(&'w Writer);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        let next = queue.entries.first().and_then(|entry| entry.ticket.0.clone());
        queue.is_led = next.is_some();
        drop(queue);
        if let Some(next) = next {
            next.tell(State::Leads);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database;

    fn writer(folder: &Path) -> Writer {
        let path = folder.join("token.db");
        let connection = database::connect(&path, Durability::Full).unwrap();
        database::create(&connection).unwrap();
        let page = SharedPage::map(&open_shared(&folder.join("state")).unwrap()).unwrap();
        Writer::new(connection, &path, Durability::Full, &folder.join("lock"), Arc::new(page)).unwrap()
    }

    fn put(writer: &Writer, key: String) -> Result<()> {
        writer.write(Effect::Adds, move |connection| database::set_meta(connection, &key, "x")).map(drop)
    }

    #[test]
    fn every_thread_is_answered_after_a_sync_of_its_commit() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path());
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let writer = &writer;
                scope.spawn(move || {
                    for number in 0..40 {
                        let before = *writer.log.as_ref().unwrap().synced.lock();
                        if number % 10 == 9 {
                            let refused = writer.write(Effect::Changes, |_| -> Result<()> { panic!("a fault") });
                            assert!(matches!(refused, Err(StoreError::Refused(_))));
                        }
                        put(writer, format!("{thread}-{number}")).unwrap();
                        assert!(*writer.log.as_ref().unwrap().synced.lock() > before);
                    }
                });
            }
        });
        let log = writer.log.as_ref().unwrap();
        assert_eq!(*log.synced.lock(), log.written.load(Ordering::Acquire));
        let connection = writer.connection.lock();
        let count: i64 = connection.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 16 * 40 + 1);
    }

    #[test]
    fn nothing_is_written_behind_a_sync_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path());
        put(&writer, "first".to_owned()).unwrap();
        let log = writer.log.as_ref().unwrap();
        let (pipe, _other_end) = std::io::pipe().unwrap();
        let broken = Log { file: OnceLock::from(File::from(std::os::fd::OwnedFd::from(pipe))), ..Log::new(&log.path) };
        let writer = Writer { log: Some(broken), ..writer };
        for key in ["second", "third"] {
            assert!(matches!(put(&writer, key.to_owned()), Err(StoreError::Io { .. })), "{key}");
        }
        assert!(database::meta(&writer.connection.lock(), "third").unwrap().is_none());
    }
}
