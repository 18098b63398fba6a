//! A token in its slot: its objects, found by handle, and who is logged in.
//!
//! Handles of token objects are row numbers, so they are the same in every process and never come back; session objects
//! have bit 62 set. A private object that the caller may not see does not exist for it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use cryptoki_sys::*;
use parking_lot::{Mutex, RwLock};

use super::{
    attributes::Attributes,
    builtin::{self, BUILTIN_OBJECT},
    cache::{Cache, Lookup},
    clock,
    hash::HandleMap,
    login::Login,
    object::Object,
    rv::{Result, Rv},
};
use crate::{
    config::Config,
    fault,
    store::{Commit, Index, Indexes, Lease, NewRow, SealKeys, TokenStore, Uid},
};

/// Set in the handles of session objects.
pub(crate) const SESSION_OBJECT: u64 = 1 << 62;

/// Bits of a token object's handle that are its row; the generation is above.
const ROW_BITS: u32 = 40;
const GENERATION_MASK: u64 = (1 << 21) - 1;

/// A token.
pub(crate) struct Token {
    pub(crate) store: TokenStore,
    pub(crate) config: Arc<Config>,
    public: Arc<SealKeys>,
    pub(super) login: RwLock<Login>,
    /// Held while a PIN is tried, so that two threads do not spend two tries on one mistake.
    pub(super) login_turn: Mutex<()>,
    pub(super) cache: Cache,
    session_objects: RwLock<HandleMap<SessionObject>>,
    losses: Losses,
    next_session_object: AtomicU64,
    sessions: AtomicU32,
    read_only_sessions: AtomicU32,
    lease: OnceLock<Lease>,
    removals_seen: AtomicU64,
    returns_seen: AtomicU64,
    /// The token in whose slot this one is, by a fault, and that fault's turn.
    stands_for: Option<(Arc<Self>, u64)>,
}

/// Counts what takes objects away or changes them in this process, by remainders of their handles, so that whoever remembers
/// an object knows whether it is still there. Apart from what is written all the time.
#[derive(Default)]
#[repr(align(128))]
struct Losses([AtomicU64; LOSSES]);

const LOSSES: usize = 16;

impl Losses {
    fn of(&self, handle: u64) -> &AtomicU64 {
        let [first, ..] = &self.0;
        // The remainder is below the number of counters.
        self.0.get(usize::try_from(handle % LOSSES as u64).unwrap_or(0)).unwrap_or(first)
    }

    fn note(&self, handle: u64) {
        self.of(handle).fetch_add(1, Ordering::Release);
    }

    fn note_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(1, Ordering::Release);
        }
    }
}

/// A state of the token's objects: while it lasts, what was found under a handle is still there and the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    losses: u64,
    changes: u64,
    generation: u64,
}

impl Moment {
    /// Whether no change is under way.
    pub(super) const fn is_settled(self) -> bool {
        self.changes.is_multiple_of(2)
    }
}

struct SessionObject {
    session: u64,
    object: Arc<Object>,
}

/// What has happened to a token's presence since it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In its slot, as before.
    Here,
    /// In its slot again.
    Returned,
    /// Out of its slot, as before.
    Away,
    /// Taken out: sessions and log-in are to be ended.
    Taken,
    /// Taken out and back again since it was last looked at: sessions and log-in are to be ended.
    TakenAndReturned,
}

impl Token {
    pub(crate) fn new(store: TokenStore, config: Arc<Config>) -> Result<Self> {
        let public = Arc::new(store.public_keys()?);
        let (until, removals) = store.removal();
        let is_away = clock::milliseconds() < until;
        Ok(Self {
            cache: Cache::new(config.cache_bytes),
            config,
            public,
            login: RwLock::default(),
            login_turn: Mutex::default(),
            session_objects: RwLock::default(),
            losses: Losses::default(),
            next_session_object: AtomicU64::new(SESSION_OBJECT + 1),
            sessions: AtomicU32::new(0),
            read_only_sessions: AtomicU32::new(0),
            lease: OnceLock::new(),
            // A removal from before this process looked is not news; one that still lasts is.
            removals_seen: AtomicU64::new(removals),
            returns_seen: AtomicU64::new(removals.wrapping_sub(u64::from(is_away))),
            stands_for: None,
            store,
        })
    }

    /// A token that a fault has put in the slot of another.
    pub(super) fn replacing(store: TokenStore, original: &Arc<Self>, turn: u64) -> Result<Self> {
        let token = Self::new(store, Arc::clone(&original.config))?;
        Ok(Self { stands_for: Some((Arc::clone(original), turn)), ..token })
    }

    /// The slot's id.
    pub(crate) const fn slot(&self) -> CK_SLOT_ID {
        self.store.slot()
    }

    // --- presence ---------------------------------------------------------------------------------------------------

    /// Whether the token is in its slot; two relaxed loads when nothing ever happened to it.
    pub(crate) fn presence(&self) -> Presence {
        if let Some((original, turn)) = &self.stands_for
            && original.store.replaced().is_none_or(|(other, _)| other != *turn)
        {
            return Presence::TakenAndReturned;
        }
        let (until, removals) = self.store.removal();
        let is_news = self.removals_seen.load(Ordering::Relaxed) != removals
            && self.removals_seen.swap(removals, Ordering::AcqRel) != removals;
        if until == 0 || self.returns_seen.load(Ordering::Relaxed) == removals {
            return Presence::Here;
        }
        if clock::milliseconds() < until {
            return if is_news { Presence::Taken } else { Presence::Away };
        }
        match (self.returns_seen.swap(removals, Ordering::AcqRel) != removals, is_news) {
            (true, true) => Presence::TakenAndReturned,
            (true, false) => Presence::Returned,
            (false, _) => Presence::Here,
        }
    }

    /// What calls are answered while the token is away.
    pub(super) fn away_code(&self) -> Rv {
        Rv(if self.store.is_restart() { CKR_DEVICE_ERROR } else { CKR_DEVICE_REMOVED })
    }

    // --- sessions ---------------------------------------------------------------------------------------------------

    /// This process's place among the token's users.
    pub(super) fn lease(&self) -> Result<&Lease> {
        if let Some(lease) = self.lease.get() {
            return Ok(lease);
        }
        let _turn = self.login_turn.lock();
        if self.lease.get().is_none() {
            let lease = self.store.lease()?;
            // Under the turn nobody else sets it; if someone had, the extra lease is given back by its drop.
            drop(self.lease.set(lease));
        }
        self.lease.get().ok_or(Rv(CKR_GENERAL_ERROR))
    }

    /// Counts a session in, within the device's limits.
    pub(super) fn add_session(&self, read_write: bool) -> Result<()> {
        let lease = self.lease()?;
        lease.add(read_write);
        let limits = &self.config.limits;
        if limits.max_sessions > 0 || limits.max_rw_sessions > 0 {
            let open = lease.open_sessions()?;
            let over = |limit: u32, open: u32| limit > 0 && open > limit;
            if over(limits.max_sessions, open.all) || (read_write && over(limits.max_rw_sessions, open.read_write)) {
                lease.remove(read_write);
                return Err(Rv(CKR_SESSION_COUNT));
            }
        }
        self.sessions.fetch_add(1, Ordering::AcqRel);
        if !read_write {
            self.read_only_sessions.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Counts a session out and takes its objects away; answers whether it was the last.
    pub(super) fn remove_session(&self, session: u64, read_write: bool, had_objects: bool) -> bool {
        if let Some(lease) = self.lease.get() {
            lease.remove(read_write);
        }
        if had_objects {
            self.session_objects.write().retain(|_, held| held.session != session);
            self.losses.note_all();
        }
        if !read_write {
            self.read_only_sessions.fetch_sub(1, Ordering::AcqRel);
        }
        self.sessions.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Sessions of this process: all of them, and the read-only ones.
    pub(crate) fn session_counts(&self) -> (u32, u32) {
        (self.sessions.load(Ordering::Acquire), self.read_only_sessions.load(Ordering::Acquire))
    }

    // --- objects ----------------------------------------------------------------------------------------------------

    /// The keys that seal an object.
    fn seal_keys(&self, private: bool) -> Result<Arc<SealKeys>> {
        if !private {
            return Ok(Arc::clone(&self.public));
        }
        self.login.read().private_keys().ok_or(Rv(CKR_USER_NOT_LOGGED_IN))
    }

    /// The state that an object of this handle depends on; three loads.
    pub(super) fn moment(&self, handle: CK_OBJECT_HANDLE) -> Moment {
        let is_session_object = handle & SESSION_OBJECT != 0;
        Moment {
            losses: self.losses.of(handle).load(Ordering::Acquire),
            changes: if is_session_object { 0 } else { self.store.changes() },
            generation: if is_session_object { 0 } else { self.store.generation() },
        }
    }

    /// The object of a handle, if there is one and the caller may see it.
    pub(crate) fn object(&self, handle: CK_OBJECT_HANDLE) -> Result<Arc<Object>> {
        if handle & (SESSION_OBJECT | BUILTIN_OBJECT) == BUILTIN_OBJECT {
            return builtin::object(handle).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID));
        }
        let object = if handle & SESSION_OBJECT != 0 {
            self.session_objects.read().get(&handle).map(|held| Arc::clone(&held.object))
        } else {
            self.token_object(self.row_of(handle)?)?
        };
        let object = object.filter(|object| !fault::is_lost(|| object.facts(handle)));
        object.filter(|object| !object.is_private || self.login.read().is_user()).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))
    }

    /// The handle that a row of the store is shown as: the row itself, until a fault restarts the device.
    pub(super) fn handle_of(&self, row: u64) -> CK_OBJECT_HANDLE {
        row | (self.store.generation() & GENERATION_MASK) << ROW_BITS
    }

    /// The row of a token object's handle; a handle from before a restart is none.
    fn row_of(&self, handle: CK_OBJECT_HANDLE) -> Result<u64> {
        if handle >> ROW_BITS == self.store.generation() & GENERATION_MASK {
            Ok(handle & ((1 << ROW_BITS) - 1))
        } else {
            Err(Rv(CKR_OBJECT_HANDLE_INVALID))
        }
    }

    fn token_object(&self, handle: u64) -> Result<Option<Arc<Object>>> {
        let counter = self.store.changes();
        match self.cache.get(handle, counter) {
            Lookup::Fresh(object) => return Ok(Some(object)),
            Lookup::Stale(object) => match self.store.version(handle)? {
                Some(version) if version == object.version => {
                    self.cache.confirm(handle, counter);
                    return Ok(Some(object));
                }
                Some(_) => {}
                None => {
                    self.cache.forget(handle);
                    return Ok(None);
                }
            },
            Lookup::Missing => {}
        }
        let Some(row) = self.store.row(handle)? else { return Ok(None) };
        let Ok(keys) = self.seal_keys(row.private) else { return Ok(None) };
        let body = keys.open(&row.uid, row.class, row.version, &row.body)?;
        let object = Arc::new(Object::new(row.uid, row.version, Attributes::decode(&body)?)?);
        self.cache.insert(handle, &object, counter);
        Ok(Some(object))
    }

    /// The row of an object's attributes.
    fn row(&self, uid: Uid, version: u64, attributes: &Attributes) -> Result<NewRow> {
        let private = attributes.is(CKA_PRIVATE);
        let class = attributes.ulong(CKA_CLASS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        let keys = self.seal_keys(private)?;
        let index = |attribute: CK_ATTRIBUTE_TYPE| {
            attributes
                .get(attribute)
                .filter(|value| !value.is_empty())
                .map(|value| keys.index(attribute, value))
                .transpose()
        };
        Ok(NewRow {
            uid,
            private,
            class,
            version,
            indexes: Indexes {
                class: keys.index(CKA_CLASS, &class.to_le_bytes())?,
                key_type: index(CKA_KEY_TYPE)?,
                label: index(CKA_LABEL)?,
                id: index(CKA_ID)?,
            },
            body: keys.seal(&uid, class, version, &attributes.encode())?,
        })
    }

    /// Puts new objects where their `CKA_TOKEN` says; all of them or none. Their uids are in the attributes already.
    pub(crate) fn add(&self, session: u64, objects: Vec<Object>) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let counter = self.store.changes();
        let rows = objects.iter().filter(|object| object.is_token());
        let rows =
            rows.map(|object| self.row(object.uid, object.version, &object.attributes)).collect::<Result<Vec<_>>>()?;
        let limit = self.config.limits.max_session_objects;
        let session_objects = objects.len() - rows.len();
        if limit > 0 && session_objects > 0 && (self.session_objects.read().len() + session_objects) as u64 > limit {
            return Err(Rv(CKR_DEVICE_MEMORY));
        }
        let mut rows = if rows.is_empty() { Vec::new() } else { self.store.insert(rows)? }.into_iter();
        let mut handles = Vec::with_capacity(objects.len());
        for object in objects {
            let object = Arc::new(object);
            let handle = if object.is_token() {
                let handle = rows.next().ok_or(Rv(CKR_GENERAL_ERROR))?;
                self.cache.insert(handle, &object, counter);
                self.handle_of(handle)
            } else {
                let handle = self.next_session_object.fetch_add(1, Ordering::Relaxed);
                self.session_objects.write().insert(handle, SessionObject { session, object });
                handle
            };
            handles.push(handle);
        }
        Ok(handles)
    }

    /// Changes an object by a function of its attributes, which is asked again if another process was faster.
    pub(crate) fn change(
        &self,
        handle: CK_OBJECT_HANDLE,
        change: impl Fn(&Object) -> Result<Attributes>,
    ) -> Result<()> {
        loop {
            let object = self.object(handle)?;
            let attributes = change(&object)?;
            if handle & SESSION_OBJECT != 0 {
                let changed = Arc::new(Object::new(object.uid, object.version, attributes)?);
                let mut objects = self.session_objects.write();
                let held = objects.get_mut(&handle).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
                if Arc::ptr_eq(&held.object, &object) {
                    held.object = changed;
                    self.losses.note(handle);
                    return Ok(());
                }
                continue;
            }
            let version = object.version + 1;
            let row = self.row(object.uid, version, &attributes)?;
            let place = self.row_of(handle)?;
            if let Some(commit) = self.store.update(place, object.version, row)? {
                let changed = Arc::new(Object::new(object.uid, version, attributes)?);
                self.cache.follow(commit, place, Some(&changed));
                return Ok(());
            }
            self.cache.forget(place);
        }
    }

    /// Destroys an object.
    pub(crate) fn destroy(&self, handle: CK_OBJECT_HANDLE) -> Result<()> {
        if handle & SESSION_OBJECT != 0 {
            let removed = self.session_objects.write().remove(&handle);
            self.losses.note(handle);
            return removed.map(drop).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID));
        }
        let row = self.row_of(handle)?;
        let commit: Commit = self.store.delete(row)?;
        self.cache.follow(commit, row, None);
        Ok(())
    }

    /// Destroys private session objects and forgets decrypted private ones: nobody is logged in any more.
    pub(super) fn forget_private(&self) {
        self.session_objects.write().retain(|_, held| !held.object.is_private);
        self.losses.note_all();
        self.cache.forget_private();
    }

    /// Forgets everything: the token was initialised anew.
    pub(super) fn forget_all(&self) {
        self.session_objects.write().clear();
        self.losses.note_all();
        self.cache.clear();
    }

    /// The handles of all session objects, rising.
    pub(super) fn session_object_handles(&self) -> Vec<u64> {
        let mut handles: Vec<_> = self.session_objects.read().keys().copied().collect();
        handles.sort_unstable();
        handles
    }

    /// The two blind index values of an attribute; twice the public one while nobody is logged in.
    pub(super) fn blind(&self, index: Index, value: &[u8]) -> Result<[[u8; 16]; 2]> {
        let attribute = match index {
            Index::Class => CKA_CLASS,
            Index::KeyType => CKA_KEY_TYPE,
            Index::Label => CKA_LABEL,
            Index::Id => CKA_ID,
        };
        let public = self.public.index(attribute, value)?;
        let keys = self.login.read().private_keys();
        let private = keys.map_or(Ok(public), |keys| keys.index(attribute, value))?;
        Ok([private, public])
    }
}
