//! A failure of the engine is final: from then on every call, also one that waits, is answered with the reason, at once.
//!
//! sled reports trouble in four ways, and only the first reaches the caller: an error it returns; a panic inside a call; a panic
//! in a thread of its own, for which callers then wait for ever; a line in its log, after which its flusher thread has ended. All
//! four, and a failed sync of ours, blow the fuse. sled's threads belong to the process and not to one store, so what they
//! say blows the fuse of every store that is open. Nobody waits for the threads of an engine that has failed: the process ends.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::{Arc, Once, OnceLock, Weak},
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

use super::sled::{OnFatal, unreadable};
use crate::{engine::ports::StoreError, telemetry::logging};

/// Whether an engine works; who waits for it is told when it fails.
#[derive(Default)]
pub struct Fuse {
    reason: OnceLock<StoreError>,
    on_fatal: OnceLock<OnFatal>,
    waiting: Mutex<Waiting>,
}

/// Who is told of a failure.
#[derive(Default)]
struct Waiting {
    next: u64,
    told: BTreeMap<u64, Box<dyn FnOnce(StoreError) + Send>>,
}

/// What is called once with an answer.
type Answer<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// The fuses of all engines of the process.
static ENGINES: Mutex<Vec<Weak<Fuse>>> = Mutex::new(Vec::new());

/// The first letters of the names of sled's own threads.
const THREADS: [&str; 2] = ["sled-io-", "log flusher"];
/// The name under which sled logs.
const LOGS_AS: &str = "sled";
/// What is kept of a panic's text.
const TEXT_MAX: usize = 200;

thread_local! {
    /// Whether this thread is inside of a call of the engine.
    static CALLING: Cell<bool> = const { Cell::new(false) };
    /// Where such a call panicked.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

impl Fuse {
    /// A fuse that also blows with every other one when a thread of sled fails.
    pub(super) fn new() -> Arc<Self> {
        watch();
        let fuse = Arc::new(Self::default());
        let mut engines = ENGINES.lock();
        engines.retain(|engine| engine.strong_count() > 0);
        engines.push(Arc::downgrade(&fuse));
        fuse
    }

    /// Tells `on_fatal` of the failure when there is one.
    ///
    /// # Errors
    ///
    /// The failure that there was already.
    pub(super) fn arm(&self, on_fatal: OnFatal) -> Result<(), StoreError> {
        // Under the lock a failure comes before this or after it.
        let _waiting = self.waiting.lock();
        self.check()?;
        // It is set once: an engine is opened once.
        drop(self.on_fatal.set(on_fatal));
        Ok(())
    }

    /// # Errors
    ///
    /// `Unavailable` with the reason after a failure.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.reason.get().map_or(Ok(()), |reason| Err(reason.clone()))
    }

    /// Makes the engine unavailable for good; the first reason stays.
    pub(super) fn fail(&self, reason: String) -> StoreError {
        let error = StoreError::Unavailable(reason.clone());
        let mut waiting = self.waiting.lock();
        if self.reason.set(error.clone()).is_err() {
            return self.reason.get().cloned().unwrap_or(error);
        }
        let told = std::mem::take(&mut waiting.told);
        drop(waiting);
        if let Some(on_fatal) = self.on_fatal.get() {
            on_fatal(&reason);
        }
        told.into_values().for_each(|told| told(error.clone()));
        error
    }

    /// Calls the engine. A panic is its failure.
    pub(super) fn call<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        match caught(call) {
            Ok(result) => result.map_err(|error| unreadable(&error)),
            Err(panicked) => Err(self.fail(panicked)),
        }
    }

    /// `answer` is called once: with what the returned function is given, or with the failure when that comes first. It is
    /// dropped when the returned function is dropped before.
    pub(super) fn covered<T: 'static>(self: &Arc<Self>, answer: Answer<T>) -> Answer<T> {
        let slot = Arc::new(Mutex::new(Some(answer)));
        let theirs = Arc::clone(&slot);
        let failed = move |error| {
            let answer = theirs.lock().take();
            if let Some(answer) = answer {
                answer(Err(error));
            }
        };
        let failed: Box<dyn FnOnce(StoreError) + Send> = Box::new(failed);
        let mut waiting = self.waiting.lock();
        if let Err(error) = self.check() {
            drop(waiting);
            failed(error);
            return Box::new(drop);
        }
        waiting.next += 1;
        let place = Place { fuse: Arc::clone(self), number: waiting.next };
        waiting.told.insert(place.number, failed);
        drop(waiting);
        Box::new(move |result| {
            drop(place);
            let answer = slot.lock().take();
            if let Some(answer) = answer {
                answer(result);
            }
        })
    }

    /// Does on a thread of its own what may wait for the engine's threads, and waits for it as long as the engine works.
    pub(super) fn bounded<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = flume::bounded(1);
        let answer = self.covered(Box::new(move |result| drop(answer.send(result))));
        let work = move || answer(caught(work).unwrap_or_else(|panicked| Err(StoreError::Corrupt(panicked))));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        thread.map_err(|error| StoreError::Unavailable(format!("a thread cannot be started: {error}")))?;
        answered.recv().unwrap_or_else(|_dropped| Err(StoreError::Unavailable("a thread has ended".to_owned())))
    }
}

/// A place among those who are told.
struct Place {
    fuse: Arc<Fuse>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let told = self.fuse.waiting.lock().told.remove(&self.number);
        // Outside of the lock: what is dropped with it is the asker's.
        drop(told);
    }
}

/// Waits for a thread that ends by itself, as long as the engine works that it may wait for.
pub(super) fn joined(fuse: Option<&Arc<Fuse>>, thread: JoinHandle<()>, what: &'static str) {
    let join = move || {
        if thread.join().is_err() {
            tracing::error!("{what} panicked");
        }
    };
    match fuse {
        Some(fuse) if fuse.check().is_err() => {}
        Some(fuse) => {
            let waited = fuse.bounded("store-close", move || {
                join();
                Ok(())
            });
            if let Err(error) = waited {
                tracing::warn!(%error, "{what} is not waited for");
            }
        }
        None => join(),
    }
}

/// Does something; where it panicked, if it did.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CALLING.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CALLING.set(outer);
    let place = || PANICKED.take().unwrap_or_else(|| "somewhere".to_owned());
    done.map_err(|payload| {
        drop_quietly(payload);
        format!("the storage engine panicked at {}", place())
    })
}

/// What was thrown may panic once more when it is dropped, in theory.
fn drop_quietly(payload: Box<dyn Any + Send>) {
    drop(panic::catch_unwind(AssertUnwindSafe(|| drop(payload))));
}

/// Listens to what sled's threads say and to how they end, from the first store on.
fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_of_engine =
                thread::current().name().is_some_and(|name| THREADS.iter().any(|it| name.starts_with(it)));
            if is_of_engine {
                every_engine_failed(format!("a thread of the storage engine panicked at {}", place(panic)));
            } else if CALLING.get() {
                PANICKED.set(Some(place(panic)));
            } else {
                before(panic);
            }
        }));
        logging::tell_errors(LOGS_AS, |line| every_engine_failed(format!("the storage engine said: {line}")));
    });
}

/// Where a panic was and the beginning of what it said.
fn place(panic: &PanicHookInfo<'_>) -> String {
    let said = panic.payload_as_str().unwrap_or_default();
    let said: String = said.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    panic.location().map_or_else(
        || said.clone(),
        |at| {
            let file = at.file().rsplit_once("/src/").map_or_else(|| at.file(), |(_, file)| file);
            format!("{file}:{}: {said}", at.line())
        },
    )
}

/// Runs the consequences on a thread of their own: the engine's thread may hold locks, or be about to abort.
fn every_engine_failed(reason: String) {
    let fuses: Vec<_> = ENGINES.lock().iter().filter_map(Weak::upgrade).collect();
    let spare = fuses.clone();
    let text = reason.clone();
    let consequences = move || fuses.iter().for_each(|fuse| drop(fuse.fail(reason.clone())));
    if thread::Builder::new().name("store-failed".to_owned()).spawn(consequences).is_err() {
        spare.iter().for_each(|fuse| drop(fuse.fail(text.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn lone() -> Arc<Fuse> {
        watch();
        Arc::new(Fuse::default())
    }

    #[test]
    fn who_waits_is_answered_when_it_blows_and_who_comes_later_too() {
        let fuse = lone();
        let (told, tells) = mpsc::channel();
        fuse.arm(Box::new(move |reason| told.send(reason.to_owned()).unwrap())).unwrap();
        let (answer, answers) = mpsc::channel();
        let answers_of = |name: &'static str| -> Answer<u8> {
            let answer = answer.clone();
            Box::new(move |result| answer.send((name, result)).unwrap())
        };
        fuse.covered(answers_of("before"))(Ok(1));
        let waiting = fuse.covered(answers_of("waiting"));
        drop(fuse.covered(answers_of("given up")));
        assert!(matches!(fuse.fail("broken".to_owned()), StoreError::Unavailable(reason) if reason == "broken"));
        assert!(matches!(fuse.fail("again".to_owned()), StoreError::Unavailable(reason) if reason == "broken"));
        waiting(Ok(2));
        fuse.covered(answers_of("later"))(Ok(3));
        let broken = || Err(StoreError::Unavailable("broken".to_owned()));
        let expected = [("before", Ok(1)), ("waiting", broken()), ("later", broken())];
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), expected);
        assert_eq!(tells.try_iter().collect::<Vec<_>>(), ["broken"]);
        assert!(fuse.arm(Box::new(|_| {})).is_err());
    }

    #[test]
    fn a_panic_inside_of_a_call_is_final_and_names_its_place() {
        let fuse = lone();
        assert_eq!(fuse.call(|| Ok(1)), Ok(1));
        let error = fuse.call(|| -> sled::Result<u8> { panic!("torn {}", 1) }).unwrap_err();
        assert!(
            matches!(&error, StoreError::Unavailable(text) if text.contains("fuse.rs:") && text.contains("torn 1"))
        );
        assert_eq!(fuse.check(), Err(error));
    }

    #[test]
    fn work_that_never_ends_is_left_when_the_fuse_blows() {
        let fuse = lone();
        let (begun, begins) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let theirs = Arc::clone(&fuse);
        let asker = thread::spawn(move || {
            theirs.bounded("waits", move || {
                begun.send(()).unwrap();
                held.recv().ok();
                Ok(())
            })
        });
        begins.recv().unwrap();
        fuse.fail("broken".to_owned());
        assert!(asker.join().unwrap().is_err());
        assert_eq!(lone().bounded("ends", || Ok(7)), Ok(7));
        drop(hold);
    }
}
