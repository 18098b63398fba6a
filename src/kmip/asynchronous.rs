//! Operations that are answered later: *Operation Pending* now, the result on Poll (KMIP 1.0 §5, 2.1 §6.1.41).
//!
//! The items of one message run one after the other, as they would have run at once, so that the ID placeholder means the
//! same. What changes something begins immediately. What only reads waits for its Poll or Process: nobody is worse off, the
//! answer is fresh, and Cancel can still cancel. Nothing of it outlives the process: correlation values begin with a mark of
//! the process that gave them out, so a client learns that a restart was the reason.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use kmip_codec::{
    ProtocolVersion,
    codec::DateTimeExtended,
    message::{RequestMessage, ResponseItem},
    payload::{AsynchronousRequest, Response},
    spec::enums::{CancellationResult, Operation, ProcessingStage, ResultReason, ResultStatus},
    version::V2_0,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{batch::Who, error::Refusal, message::Service, tickets::same_account};
use crate::domain::{Principal, Timestamp};
use kmip_codec::secret::Wiped;

type Answer = ResponseItem<Response>;

/// Unanswered operations of one account.
const PER_ACCOUNT: usize = 64;
/// How long a finished operation waits for its Poll.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// How long a Poll waits for an operation that is running.
const PATIENCE: Duration = Duration::from_secs(5);
/// The mark of the process, then random bytes.
const MARK_BYTES: usize = 8;
const VALUE_BYTES: usize = 24;

/// Operations that change nothing: they wait for their Poll.
const READS: &[Operation] = &[
    Operation::LOCATE,
    Operation::CHECK,
    Operation::GET,
    Operation::GET_ATTRIBUTES,
    Operation::GET_ATTRIBUTE_LIST,
    Operation::VALIDATE,
    Operation::QUERY,
    Operation::DISCOVER_VERSIONS,
    Operation::EXPORT,
];

/// Operations about pending ones, which are answered at once.
pub(super) const ABOUT: &[Operation] =
    &[Operation::POLL, Operation::CANCEL, Operation::PROCESS, Operation::QUERY_ASYNCHRONOUS_REQUESTS];

/// A message whose items run later.
pub(super) struct Train {
    service: Weak<Service>,
    who: Who,
    request: String,
    version: ProtocolVersion,
    message: Wiped,
    values: Vec<Vec<u8>>,
}

enum State {
    Waiting,
    Running,
    Done(Box<Answer>),
}

struct Entry {
    account: Principal,
    operation: Operation,
    version: ProtocolVersion,
    submitted: Timestamp,
    finished: Option<Timestamp>,
    state: State,
    processed: bool,
    train: Arc<Mutex<Option<Train>>>,
    done: watch::Sender<bool>,
}

impl Entry {
    const fn stage(&self) -> ProcessingStage {
        match self.state {
            State::Waiting => ProcessingStage::SUBMITTED,
            State::Running => ProcessingStage::IN_PROCESS,
            State::Done(_) => ProcessingStage::COMPLETED,
        }
    }
}

/// Every pending operation.
pub(super) struct Pending {
    mark: [u8; MARK_BYTES],
    entries: Mutex<HashMap<Vec<u8>, Entry>>,
}

impl Pending {
    /// With the mark of this process.
    pub(super) fn new(mark: [u8; MARK_BYTES]) -> Self {
        Self { mark, entries: Mutex::default() }
    }

    /// Takes a message's items, and begins with them if one changes something.
    ///
    /// # Errors
    ///
    /// *Server Limit Exceeded* (1.x: *General Failure*) when the account has too many that wait.
    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    pub(super) fn submit(
        &self,
        service: &Arc<Service>,
        who: Who,
        request: &str,
        version: ProtocolVersion,
        bytes: &[u8],
        operations: &[(Operation, Option<Vec<u8>>)],
        now: Timestamp,
    ) -> Result<Vec<Answer>, Refusal> {
        let mut entries = self.entries.lock();
        let kept =
            |entry: &Entry| entry.finished.is_none_or(|finished| now.seconds() - finished.seconds() < seconds(KEPT));
        entries.retain(|_, entry| kept(entry));
        let open = entries.values().filter(|entry| same_account(&entry.account, &who.principal)).count();
        if open + operations.len() > PER_ACCOUNT {
            let reason =
                if version >= V2_0 { ResultReason::SERVER_LIMIT_EXCEEDED } else { ResultReason::GENERAL_FAILURE };
            return Err(Refusal::new(reason, "too many operations wait for their Poll"));
        }
        let reads = operations.iter().all(|(operation, _)| READS.contains(operation));
        let values: Vec<Vec<u8>> = operations.iter().map(|_| self.value(service)).collect();
        let account = Principal::clone(&who.principal);
        let train = Train {
            service: Arc::downgrade(service),
            who,
            request: request.to_owned(),
            version,
            message: Wiped::new(bytes.to_vec()),
            values: values.clone(),
        };
        let train = Arc::new(Mutex::new(Some(train)));
        let mut answers = Vec::with_capacity(operations.len());
        for ((operation, id), value) in operations.iter().zip(values) {
            let entry = Entry {
                account: account.clone(),
                operation: *operation,
                version,
                submitted: now,
                finished: None,
                state: State::Waiting,
                processed: false,
                train: Arc::clone(&train),
                done: watch::Sender::new(false),
            };
            entries.insert(value.clone(), entry);
            answers.push(pending(*operation, id.clone(), value));
        }
        drop(entries);
        if !reads {
            start(&train);
        }
        Ok(answers)
    }

    fn value(&self, service: &Service) -> Vec<u8> {
        let mut value = vec![0; VALUE_BYTES];
        let (mark, chance) = value.split_at_mut(MARK_BYTES);
        mark.copy_from_slice(&self.mark);
        service.engine.ports().chance.fill(chance);
        value
    }

    fn unknown(&self, value: &[u8], version: ProtocolVersion) -> Refusal {
        let reason = if version >= V2_0 {
            ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE
        } else {
            ResultReason::ITEM_NOT_FOUND
        };
        let ours = value.len() == VALUE_BYTES;
        let text = if ours && !value.starts_with(&self.mark) {
            "the server was restarted, and asynchronous operations do not outlive that"
        } else {
            "no operation is pending under this correlation value"
        };
        Refusal::new(reason, text)
    }

    /// The answer of an operation, once: its own operation, status and payload; *Operation Pending* while there is none.
    pub(super) async fn poll(
        &self,
        who: &Principal,
        value: &[u8],
        version: ProtocolVersion,
        fits: impl FnOnce(&Answer) -> Result<(), Refusal>,
    ) -> Result<Answer, Refusal> {
        let (operation, train, mut done) = {
            let entries = self.entries.lock();
            let entry = entries.get(value).filter(|entry| same_account(&entry.account, who));
            let entry = entry.filter(|entry| era(entry.version) == era(version));
            let entry = entry.ok_or_else(|| self.unknown(value, version))?;
            (entry.operation, Arc::clone(&entry.train), entry.done.subscribe())
        };
        start(&train);
        let waited = tokio::time::timeout(PATIENCE, done.wait_for(|done| *done)).await;
        if waited.is_err() {
            return Ok(pending(operation, None, value.to_vec()));
        }
        drop(waited);
        let mut entries = self.entries.lock();
        // An answer that is too large for this Poll stays for another.
        if let Some(Entry { state: State::Done(answer), .. }) = entries.get(value) {
            fits(answer)?;
        }
        let entry = entries.remove(value).ok_or_else(|| self.unknown(value, version))?;
        drop(entries);
        match entry.state {
            State::Done(answer) => Ok(*answer),
            State::Waiting | State::Running => {
                Err(Refusal::new(ResultReason::GENERAL_FAILURE, "the operation ended badly"))
            }
        }
    }

    /// Cancels an operation that has not begun.
    pub(super) fn cancel(&self, who: &Principal, value: &[u8], now: Timestamp) -> CancellationResult {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(value).filter(|entry| same_account(&entry.account, who)) else {
            return CancellationResult::UNAVAILABLE;
        };
        match entry.state {
            State::Waiting => {
                let text = "the operation was canceled";
                let answer =
                    Answer::failure(Some(entry.operation), ResultReason::OPERATION_CANCELED_BY_REQUESTER, text);
                entry.state = State::Done(Box::new(answer));
                entry.finished = Some(now);
                entry.done.send_replace(true);
                CancellationResult::CANCELED
            }
            State::Running => CancellationResult::UNABLE_TO_CANCEL,
            State::Done(_) => CancellationResult::COMPLETED,
        }
    }

    /// Begins with an operation now.
    ///
    /// # Errors
    ///
    /// *Invalid Asynchronous Correlation Value*; *Duplicate Process Request* for the second time.
    pub(super) fn process(&self, who: &Principal, value: &[u8], version: ProtocolVersion) -> Result<(), Refusal> {
        let train = {
            let mut entries = self.entries.lock();
            let entry = entries.get_mut(value).filter(|entry| same_account(&entry.account, who));
            let entry = entry.ok_or_else(|| self.unknown(value, version))?;
            if entry.processed {
                let text = "the operation is being processed already";
                return Err(Refusal::new(ResultReason::DUPLICATE_PROCESS_REQUEST, text));
            }
            entry.processed = true;
            Arc::clone(&entry.train)
        };
        start(&train);
        Ok(())
    }

    /// The account's operations that were not polled yet: those with one of the values and one of the operations, where any
    /// are given.
    pub(super) fn list(
        &self,
        who: &Principal,
        values: &[Vec<u8>],
        operations: &[Operation],
    ) -> Vec<AsynchronousRequest> {
        let entries = self.entries.lock();
        let wanted = entries.iter().filter(|(value, entry)| {
            same_account(&entry.account, who)
                && (values.is_empty() || values.contains(value))
                && (operations.is_empty() || operations.contains(&entry.operation))
        });
        let mut found: Vec<AsynchronousRequest> = wanted
            .map(|(value, entry)| AsynchronousRequest {
                asynchronous_correlation_value: value.clone(),
                operation: entry.operation,
                submission_date: DateTimeExtended(entry.submitted.micros()),
                processing_stage: entry.stage(),
            })
            .collect();
        found.sort_by_key(|it| (it.submission_date.0, it.asynchronous_correlation_value.clone()));
        found
    }

    /// Whether an item is still to run; it counts as running from here on.
    fn begin(&self, value: &[u8]) -> bool {
        let mut entries = self.entries.lock();
        match entries.get_mut(value) {
            Some(entry) if matches!(entry.state, State::Waiting) => {
                entry.state = State::Running;
                true
            }
            _ => false,
        }
    }

    fn finish(&self, value: &[u8], answer: Answer, now: Timestamp) {
        if let Some(entry) = self.entries.lock().get_mut(value) {
            entry.state = State::Done(Box::new(answer));
            entry.finished = Some(now);
            entry.done.send_replace(true);
        }
    }
}

/// Payloads of 1.x and of later versions differ: an operation is polled in the era in which it was asked for.
fn era(version: ProtocolVersion) -> bool {
    version >= V2_0
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn pending(operation: Operation, id: Option<Vec<u8>>, value: Vec<u8>) -> Answer {
    Answer {
        id,
        asynchronous_correlation_value: Some(value),
        ..Answer::with_status(Some(operation), ResultStatus::OPERATION_PENDING)
    }
}

/// Begins with a message's items, unless that has happened.
fn start(train: &Mutex<Option<Train>>) {
    let Some(train) = train.lock().take() else { return };
    tokio::spawn(run(train));
}

async fn run(train: Train) {
    let Some(service) = train.service.upgrade() else { return };
    let Ok(message) = RequestMessage::decode(&train.message, &service.settings.limits) else { return };
    let now = || service.engine.ports().clock.now();
    let batch = service.run_batch(train.who.clone(), &train.request, train.version, message, None, |at| {
        train.values.get(at).is_some_and(|value| service.pending.begin(value))
    });
    let answers = batch.await;
    let mut answers = answers.into_iter();
    for value in &train.values {
        let missing = || {
            let text = "an earlier operation of the message failed";
            Answer::failure(None, ResultReason::OPERATION_CANCELED_BY_REQUESTER, text)
        };
        // A canceled item has its answer already.
        let waits = service.pending.entries.lock().get(value).is_some_and(|it| !matches!(it.state, State::Done(_)));
        let operation = service.pending.entries.lock().get(value).map(|it| it.operation);
        let answer = answers.next().flatten();
        if waits {
            let answer = answer.unwrap_or_else(missing);
            service.pending.finish(value, Answer { operation, id: None, ..answer }, now());
        }
    }
}
