//! Two threads for reads that may wait for the disk, so that the async threads never do.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::fuse::{Fuse, joined};
use crate::engine::ports::StoreError;

type Work = Box<dyn FnOnce() + Send>;

/// The threads.
pub(super) struct Pool {
    queue: Option<flume::Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
    /// Of the engine that the reads wait for.
    fuse: Option<Arc<Fuse>>,
}

const THREADS: usize = 2;

impl Pool {
    /// Starts the threads.
    pub(super) fn start(fuse: Option<Arc<Fuse>>) -> Result<Self, StoreError> {
        let (queue, work) = flume::unbounded::<Work>();
        let mut threads = Vec::with_capacity(THREADS);
        for at in 0..THREADS {
            let work = work.clone();
            let run = move || {
                for job in work {
                    // The job's answer is dropped with it, and the asker is told.
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        tracing::error!("a read of the store panicked");
                    }
                }
            };
            let thread = thread::Builder::new().name(format!("store-read-{at}")).spawn(run);
            threads
                .push(thread.map_err(|error| StoreError::Unavailable(format!("a thread cannot be started: {error}")))?);
        }
        Ok(Self { queue: Some(queue), threads, fuse })
    }

    /// Runs `work` on one of the threads; it is not waited for when the engine fails.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // An asker that went away needs no answer.
        let answer: Box<dyn FnOnce(Result<T, StoreError>) + Send> = Box::new(move |result| drop(answer.send(result)));
        let answer = match &self.fuse {
            Some(fuse) => fuse.covered(answer),
            None => answer,
        };
        let job: Work = Box::new(move || answer(work()));
        let ended = || StoreError::Unavailable("a reading thread has failed".to_owned());
        self.queue.as_ref().ok_or_else(ended)?.send(job).map_err(|_closed| ended())?;
        answered.await.map_err(|_dropped| ended())?
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            joined(self.fuse.as_ref(), thread, "a reading thread of the store");
        }
    }
}
