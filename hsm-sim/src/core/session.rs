//! Sessions and their table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use cryptoki_sys::*;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{
    hash::HandleMap,
    operation::Operations,
    rv::{Result, Rv},
    token::Token,
};
use crate::store::Role;

/// An open session; see [`Shard`] for the alignment.
#[repr(align(128))]
pub(crate) struct Session {
    pub(crate) handle: CK_SESSION_HANDLE,
    pub(crate) read_write: bool,
    token: Arc<Token>,
    operations: Mutex<Operations>,
    /// Whether it ever made a session object, so that closing most sessions need not look.
    has_objects: AtomicBool,
}

impl Session {
    /// The token the session is on.
    pub(crate) const fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// The running operations; a session is one caller's at a time, so this seldom waits.
    pub(crate) fn operations(&self) -> MutexGuard<'_, Operations> {
        self.operations.lock()
    }

    /// Notes that the session has made a session object.
    pub(super) fn note_objects(&self) {
        self.has_objects.store(true, Ordering::Release);
    }

    /// Whether the session ever made a session object.
    pub(super) fn had_objects(&self) -> bool {
        self.has_objects.load(Ordering::Acquire)
    }

    /// `CK_STATE` (PKCS#11 3.1 §5.6.8)
    pub(crate) fn state(&self) -> CK_STATE {
        match (self.token.role(), self.read_write) {
            (None, false) => CKS_RO_PUBLIC_SESSION,
            (None, true) => CKS_RW_PUBLIC_SESSION,
            (Some(Role::User), false) => CKS_RO_USER_FUNCTIONS,
            (Some(Role::User), true) => CKS_RW_USER_FUNCTIONS,
            (Some(Role::So), _) => CKS_RW_SO_FUNCTIONS,
        }
    }
}

const SHARDS: usize = 16;

/// Sessions whose handles have the same remainder. On lines of their own in the processor's caches (which come in pairs), so
/// that threads do not wait for each other because their sessions are neighbours.
#[derive(Default)]
#[repr(align(128))]
struct Shard(RwLock<HandleMap<Arc<Session>>>);

/// All sessions of the process.
pub(crate) struct Sessions {
    shards: [Shard; SHARDS],
    next: AtomicU64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { shards: Default::default(), next: AtomicU64::new(1) }
    }
}

impl Sessions {
    fn shard(&self, handle: CK_SESSION_HANDLE) -> &RwLock<HandleMap<Arc<Session>>> {
        let [first, ..] = &self.shards;
        // The remainder is below the number of shards.
        &self.shards.get(usize::try_from(handle % SHARDS as u64).unwrap_or(0)).unwrap_or(first).0
    }

    /// Opens a session on a token that has counted it in.
    pub(super) fn add(&self, token: &Arc<Token>, read_write: bool) -> CK_SESSION_HANDLE {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Session {
            handle,
            read_write,
            token: Arc::clone(token),
            operations: Mutex::default(),
            has_objects: AtomicBool::new(false),
        };
        self.shard(handle).write().insert(handle, Arc::new(session));
        handle
    }

    /// The session of a handle.
    pub(crate) fn get(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        self.shard(handle).read().get(&handle).cloned().ok_or(Rv(CKR_SESSION_HANDLE_INVALID))
    }

    /// Takes a session out.
    pub(super) fn take(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        self.shard(handle).write().remove(&handle).ok_or(Rv(CKR_SESSION_HANDLE_INVALID))
    }

    /// The sessions on a slot.
    pub(crate) fn of_slot(&self, slot: CK_SLOT_ID) -> Vec<Arc<Session>> {
        let mut sessions = Vec::new();
        for shard in &self.shards {
            sessions.extend(shard.0.read().values().filter(|session| session.token.slot() == slot).cloned());
        }
        sessions
    }
}
