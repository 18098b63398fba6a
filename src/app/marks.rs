//! The store's mark and the token's note of it: what shows at the start that an older store, or an older trail, was put back.
//!
//! The mark moves at each start, with each checkpoint of the audit trail, and at the end; first in the store, then on the
//! token, so that the store is never behind what the token knows unless it was exchanged. What happened after the last mark
//! is not covered. See docs/decisions/0011-store-head.md.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{
    problem::{Explain as _, Problem},
    system::{SystemChance, chosen},
    watched::WatchedStore,
};
use crate::{
    audit::{
        FileSink,
        file::LineAtOpen,
        record::{LineHash, StoreOrder},
    },
    engine::ports::{HsmError, StoreError},
    hsm::Pool,
    store::Mark,
    telemetry::Metrics,
};

/// What holds the mark of a store that runs.
pub(super) struct Marks {
    pool: Arc<Pool>,
    store: Arc<WatchedStore>,
    metrics: Arc<Metrics>,
    id: [u8; 16],
    state: Mutex<State>,
}

struct State {
    /// As it stands in the store.
    stored: Option<Mark>,
    /// The highest number that store or token has seen.
    highest: u64,
    line: (u64, LineHash),
}

/// What to do with a store or a trail that is older than the token's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Older {
    /// Not to start.
    Refused,
    /// The operator says that it is right.
    Accepted,
}

/// The name of the note of a store.
fn note(store: &[u8; 16]) -> String {
    format!("head-{}", text(store))
}

/// A store's identifier for people.
pub(super) fn text(store: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*store).simple().to_string()
}

/// The highest of the notes of a store.
fn highest(notes: &[Vec<u8>], store: &[u8; 16]) -> Option<Mark> {
    let marks = notes.iter().filter_map(|bytes| Mark::from_bytes(bytes)).filter(|mark| mark.store == *store);
    marks.max_by_key(|mark| mark.number)
}

/// What the token knows of a store.
async fn noted(pool: &Pool, store: &[u8; 16]) -> Result<Option<Mark>, HsmError> {
    Ok(highest(&pool.notes(&note(store)).await?, store))
}

/// What any of the tokens knows of a store, for a command that forms no groups.
pub(super) async fn noted_anywhere(pool: &Pool, store: &[u8; 16]) -> Option<Mark> {
    highest(&pool.notes_anywhere(&note(store)).await, store)
}

fn unreadable(error: &HsmError) -> Problem {
    Problem::new("PC-HSM-SYSTEM-KEY", format!("the token's note of the store: {error}"), "see `portcullis hsm status`")
}

impl Marks {
    /// Compares store, trail and token, and moves the mark. What `older` lets pass stands in the trail.
    pub(super) async fn start(
        pool: &Arc<Pool>,
        store: &Arc<WatchedStore>,
        trail: &FileSink,
        metrics: &Arc<Metrics>,
        older: Older,
    ) -> Result<(Self, Option<String>), Problem> {
        let stored = store.repository().mark().map_err(super::gateway::store_problem)?;
        let id = stored.map_or_else(|| chosen(&SystemChance::new()), |mark| mark.store);
        let noted = match stored {
            Some(_) => noted(pool, &id).await.map_err(|error| unreadable(&error))?,
            None => None,
        };
        let number = stored.map_or(0, |mark| mark.number);
        let known = noted.map_or(0, |mark| mark.number);
        let refusal = noted.and_then(|noted| refusal(stored, noted, trail));
        let accepted = match (refusal, older) {
            (Some(problem), Older::Refused) => return Err(problem),
            (Some(problem), Older::Accepted) => {
                let order = StoreOrder { action: "accept-older", store: text(&id), mark: number, known, records: None };
                trail.order(order).await.explain("PC-AUDIT-OPEN", "the order cannot be recorded", "")?;
                Some(problem.what)
            }
            (None, _) => None,
        };
        if number > known.saturating_add(1) && known > 0 {
            tracing::warn!(
                store = number,
                token = known,
                "the token's note of the store is older than the store: was the token put back from a backup? `portcullis hsm fsck` compares them"
            );
        }
        if noted.is_none() && stored.is_some() {
            tracing::warn!("the token has no note of this store, as after its replacement; it gets one");
        }
        let state = State { stored, highest: number.max(known), line: trail.end_at_open() };
        let marks = Self {
            pool: Arc::clone(pool),
            store: Arc::clone(store),
            metrics: Arc::clone(metrics),
            id,
            state: Mutex::new(state),
        };
        marks.advance(None).await;
        Ok((marks, accepted))
    }

    /// Which store, and its mark.
    pub(super) async fn now(&self) -> Mark {
        let state = self.state.lock().await;
        let (line, line_hash) = state.line;
        Mark { store: self.id, number: state.stored.map_or(0, |mark| mark.number), line, line_hash }
    }

    /// Moves the mark, in the store and then on the token. `line` is one of the trail that is on disk. What fails is tried
    /// again the next time.
    pub(super) async fn advance(&self, line: Option<(u64, LineHash)>) {
        let mut state = self.state.lock().await;
        state.line = line.unwrap_or(state.line);
        let (number, hash) = state.line;
        let mark = Mark { store: self.id, number: state.highest.saturating_add(1), line: number, line_hash: hash };
        let (store, before) = (Arc::clone(&self.store), state.stored);
        let moved = tokio::task::spawn_blocking(move || store.repository().move_mark(before, mark)).await;
        let moved = moved.unwrap_or_else(|ended| Err(StoreError::Unavailable(ended.to_string())));
        if let Err(error) = moved {
            tracing::warn!(%error, "the store's mark is not moved");
            self.metrics.store_mark("error");
            return;
        }
        state.stored = Some(mark);
        state.highest = mark.number;
        match self.pool.note(&note(&self.id), &mark.to_bytes()).await {
            Ok(()) => self.metrics.store_mark("ok"),
            Err(error) => {
                tracing::warn!(%error, "the token's note of the store is not renewed: an older copy of the store would not be noticed");
                self.metrics.store_mark("error");
            }
        }
    }
}

/// Why a start is refused, where store or trail is older than what the token knows.
fn refusal(stored: Option<Mark>, noted: Mark, trail: &FileSink) -> Option<Problem> {
    let remedy = "put the newest store and trail back; where these are all there is: `portcullis store accept-older`, which \
                  takes them as they are and records it";
    let number = stored.map_or(0, |mark| mark.number);
    if noted.number > number {
        let what = format!(
            "the store is an older copy: its mark is {number}, and the token has seen {}: changes are missing",
            noted.number
        );
        return Some(Problem::new("PC-STORE-OLDER", what, remedy));
    }
    if noted.number == number && stored.is_some_and(|mark| mark != noted) {
        let what = format!("the store has another history than the token knows: both are at mark {number}");
        return Some(Problem::new("PC-STORE-OLDER", what, remedy));
    }
    let what = match trail.line_at_open(noted.line) {
        LineAtOpen::Is(hash) if noted.line == 0 || hash == noted.line_hash => return None,
        LineAtOpen::NotRead => return None,
        LineAtOpen::Is(_) => format!("line {} of the audit trail is not the one that the token knows", noted.line),
        LineAtOpen::Beyond(last) => format!(
            "the audit trail ends at line {last}, and the token knows of line {}: lines were cut off, or the trail was exchanged",
            noted.line
        ),
    };
    Some(Problem::new("PC-AUDIT-OLDER", what, remedy))
}
