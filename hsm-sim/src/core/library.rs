//! The initialised module: its store, slots and sessions.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use cryptoki_sys::*;
use parking_lot::{Mutex, RwLock};

use super::{
    rv::{Result, Rv},
    session::{Session, Sessions},
    token::{Presence, Token},
};
use crate::{
    config::{Config, Settings, SlotIds},
    crypto::{self, Key, PairParams, RsaPool},
    fault::{Engine, socket},
    profile::Device,
    store::{StoreError, StoreFolder},
};

/// Everything between `C_Initialize` and `C_Finalize`.
pub(crate) struct Library {
    pub(crate) store: StoreFolder,
    pub(crate) config: Arc<Config>,
    pub(crate) sessions: Sessions,
    pub(crate) faults: Engine,
    /// The device that a profile or limits simulate.
    pub(crate) device: Device,
    /// Whether calls need not be looked at for a profile's or a limit's sake.
    pub(crate) is_plain: bool,
    /// A profile's link to its device is lost for good.
    pub(crate) is_link_lost: AtomicBool,
    slots: RwLock<Vec<Slot>>,
    events: Mutex<Vec<CK_SLOT_ID>>,
    /// Tokens that faults have put in the slots of others, with the fault's turn.
    replacements: Mutex<HashMap<CK_SLOT_ID, (u64, Arc<Token>)>>,
    control: Mutex<Option<socket::Server>>,
    rsa_pool: Mutex<Option<Arc<RsaPool>>>,
}

/// A slot with the token in it, or with why that token cannot be used.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) id: CK_SLOT_ID,
    serial: String,
    token: Result<Arc<Token>, StoreError>,
}

/// More keys than any test makes while a thread makes them.
const RSA_POOL_MAX: usize = 1024;
const EVENT_PAUSE: Duration = Duration::from_millis(20);

impl Library {
    /// Opens the store and its tokens.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let config = Arc::new(settings.config);
        let store = StoreFolder::open(&settings.store).map_err(|error| error.to_string())?;
        if !config.allow_network_store {
            store.check_is_local().map_err(|error| error.to_string())?;
        }
        let faults = Engine::new(config.faults.clone(), &store).map_err(|error| error.to_string())?;
        let library = Self {
            store,
            sessions: Sessions::default(),
            faults,
            device: Device::new(&config),
            is_plain: config.is_plain(),
            is_link_lost: AtomicBool::new(false),
            config,
            slots: RwLock::default(),
            events: Mutex::default(),
            replacements: Mutex::default(),
            control: Mutex::default(),
            rsa_pool: Mutex::default(),
        };
        library.refresh_slots().map_err(|error| error.to_string())?;
        Ok(library)
    }

    /// Starts the threads that were asked for: the control socket of the environment, and RSA keys made ahead.
    pub(crate) fn start_threads(&self) {
        if self.config.rsa_pool > 0 && !crypto::repeats() {
            *self.rsa_pool.lock() = RsaPool::start(self.config.rsa_pool.min(RSA_POOL_MAX)).map(Arc::new);
        }
        *self.control.lock() = socket::Server::from_environment(self.store.root());
    }

    /// A key made ahead, if there is one of these parameters.
    pub(crate) fn key_made_ahead(&self, params: &PairParams) -> Option<Key> {
        let pool = self.rsa_pool.lock().as_ref().map(Arc::clone)?;
        pool.take(params)
    }

    // --- slots ------------------------------------------------------------------------------------------------------

    /// Finds tokens that other processes made, and keeps the spare ones in number.
    pub(crate) fn refresh_slots(&self) -> Result<(), StoreError> {
        self.find_slots()?;
        if self.spares()? < self.config.spare_slots {
            let _lock = self.store.lock()?;
            self.find_slots()?;
            for _ in self.spares()?..self.config.spare_slots {
                let taken: Vec<_> = self.slots.read().iter().map(|slot| slot.id).collect();
                self.store.create_token(&taken, &self.config)?;
                self.find_slots()?;
            }
        }
        // Initialised tokens first; within each group the order is the serials'.
        let mut slots = self.slots.write();
        slots.sort_by_cached_key(|slot| (!slot.is_initialised(), slot.serial.clone()));
        Ok(())
    }

    fn find_slots(&self) -> Result<(), StoreError> {
        for serial in self.store.serials()? {
            if self.slots.read().iter().any(|slot| slot.serial == serial) {
                continue;
            }
            let opened = self.store.token(&serial, &self.config);
            let taken: Vec<_> = self.slots.read().iter().map(|slot| slot.id).collect();
            let slot = match opened {
                Ok(mut store) => {
                    if self.config.slot_ids == SlotIds::Softhsm && !store.meta()?.is_initialised {
                        let most = taken.len() as CK_SLOT_ID;
                        store.renumber((0..=most).find(|place| !taken.contains(place)).unwrap_or(most));
                    }
                    let id = store.slot();
                    let token = Token::new(store, Arc::clone(&self.config));
                    let token =
                        token.map(Arc::new).map_err(|_rv| StoreError::Corrupt("the token's keys cannot be made"));
                    Slot { id, serial, token }
                }
                Err(error) => Slot { id: StoreFolder::slot_id(&serial, &taken)?, serial, token: Err(error) },
            };
            let mut slots = self.slots.write();
            if !slots.iter().any(|known| known.serial == slot.serial) {
                slots.push(slot);
            }
        }
        Ok(())
    }

    fn spares(&self) -> Result<u32, StoreError> {
        let slots = self.slots.read();
        let spares = slots.iter().filter(|slot| slot.token.is_ok() && !slot.is_initialised()).count();
        Ok(u32::try_from(spares).unwrap_or(u32::MAX))
    }

    /// The slots' ids in order.
    pub(crate) fn slot_ids(&self, with_token: bool) -> Vec<CK_SLOT_ID> {
        let slots = self.slots.read().clone();
        slots.into_iter().filter(|slot| !with_token || self.is_present(slot)).map(|slot| slot.id).collect()
    }

    fn is_present(&self, slot: &Slot) -> bool {
        slot.token.as_ref().map_or(true, |token| self.check_presence(token) != Err(Rv(CKR_DEVICE_REMOVED)))
    }

    /// The slot of an id and whether its token is in it.
    pub(crate) fn slot(&self, id: CK_SLOT_ID) -> Result<bool> {
        let slot = self.find(id)?;
        Ok(self.is_present(&slot))
    }

    fn find(&self, id: CK_SLOT_ID) -> Result<Slot> {
        self.slots.read().iter().find(|slot| slot.id == id).cloned().ok_or(Rv(CKR_SLOT_ID_INVALID))
    }

    /// The token in a slot.
    pub(crate) fn token(&self, id: CK_SLOT_ID) -> Result<Arc<Token>> {
        let slots = self.slots.read();
        let slot = slots.iter().find(|slot| slot.id == id).ok_or(Rv(CKR_SLOT_ID_INVALID))?;
        let token = slot.token.as_ref().map(Arc::clone).map_err(|error| match error {
            StoreError::NewerVersion { .. } | StoreError::Corrupt(_) => Rv(CKR_TOKEN_NOT_RECOGNIZED),
            error => error.clone().into(),
        })?;
        drop(slots);
        self.check_presence(&token)
            .map_err(|rv| if rv == Rv(CKR_DEVICE_REMOVED) { Rv(CKR_TOKEN_NOT_PRESENT) } else { rv })?;
        self.standing(token)
    }

    /// The token whose slot it is, whatever a fault has put there.
    pub(crate) fn original(&self, id: CK_SLOT_ID) -> Option<Arc<Token>> {
        self.slots.read().iter().find(|slot| slot.id == id)?.token.as_ref().ok().map(Arc::clone)
    }

    /// The token itself, or the one that a fault has put in its slot.
    fn standing(&self, token: Arc<Token>) -> Result<Arc<Token>> {
        let Some((turn, is_blank)) = token.store.replaced() else { return Ok(token) };
        let mut replacements = self.replacements.lock();
        if let Some((known, replacement)) = replacements.get(&token.slot())
            && *known == turn
        {
            return Ok(Arc::clone(replacement));
        }
        let store = self.store.replacement(&token.store, turn, is_blank, &self.config)?;
        let replacement = Arc::new(Token::replacing(store, &token, turn)?);
        replacements.insert(token.slot(), (turn, Arc::clone(&replacement)));
        Ok(replacement)
    }

    /// Refuses a token that is out of its slot, and notices when it went or came.
    fn check_presence(&self, token: &Token) -> Result<()> {
        match token.presence() {
            Presence::Here => Ok(()),
            Presence::Returned => {
                self.note_event(token);
                Ok(())
            }
            Presence::Away => Err(token.away_code()),
            Presence::Taken => {
                self.lose_token(token);
                Err(token.away_code())
            }
            Presence::TakenAndReturned => {
                self.lose_token(token);
                Ok(())
            }
        }
    }

    /// The token was taken out: its sessions and log-in are gone.
    fn lose_token(&self, token: &Token) {
        self.close_slot(token.slot());
        self.note_event(token);
    }

    /// A token came or went; a restart is neither.
    fn note_event(&self, token: &Token) {
        if !token.store.is_restart() {
            self.events.lock().push(token.slot());
        }
    }

    /// Whether tokens come and go: only when a fault makes them.
    pub(crate) fn has_removable_tokens(&self) -> bool {
        self.faults.can_remove_tokens(&self.store) || !self.events.lock().is_empty() || self.is_any_token_away()
    }

    /// Waits for a token to come or go; with `wait` false answers at once. Where none ever does, there is nothing to wait
    /// for, and the call is not supported.
    pub(crate) fn slot_event(&self, wait: bool, is_finalised: impl Fn() -> bool) -> Result<CK_SLOT_ID> {
        if !self.has_removable_tokens() {
            return Err(Rv(CKR_FUNCTION_NOT_SUPPORTED));
        }
        loop {
            if is_finalised() {
                return Err(Rv(CKR_CRYPTOKI_NOT_INITIALIZED));
            }
            self.slot_ids(true);
            let mut events = self.events.lock();
            if !events.is_empty() {
                return Ok(events.remove(0));
            }
            drop(events);
            if !wait {
                return Err(Rv(CKR_NO_EVENT));
            }
            std::thread::sleep(EVENT_PAUSE);
        }
    }

    /// `C_InitToken`
    pub(crate) fn init_token(&self, slot: CK_SLOT_ID, so_pin: &[u8], label: &str) -> Result<()> {
        let token = self.token(slot)?;
        if token.lease()?.open_sessions()?.all > 0 {
            return Err(Rv(CKR_SESSION_EXISTS));
        }
        token.initialise(label, so_pin)
    }

    // --- sessions ---------------------------------------------------------------------------------------------------

    /// `C_OpenSession`
    pub(crate) fn open_session(&self, slot: CK_SLOT_ID, read_write: bool) -> Result<CK_SESSION_HANDLE> {
        let token = self.token(slot)?;
        if !read_write && !self.config.model().has_read_only_sessions {
            return Err(Rv(CKR_SESSION_READ_ONLY));
        }
        if !read_write && token.role() == Some(crate::store::Role::So) {
            return Err(Rv(CKR_SESSION_READ_WRITE_SO_EXISTS));
        }
        token.add_session(read_write)?;
        Ok(self.sessions.add(&token, read_write))
    }

    /// The session of a handle, on a token that is in its slot.
    pub(crate) fn session(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        match self.sessions.get(handle) {
            Ok(session) => match session.token().presence() {
                Presence::Here => Ok(session),
                Presence::Taken | Presence::TakenAndReturned => {
                    self.lose_token(session.token());
                    Err(session.token().away_code())
                }
                Presence::Away => Err(session.token().away_code()),
                Presence::Returned => {
                    self.note_event(session.token());
                    Ok(session)
                }
            },
            Err(invalid) if handle == 0 => Err(invalid),
            Err(invalid) => Err(self.away_code().unwrap_or(invalid)),
        }
    }

    fn is_any_token_away(&self) -> bool {
        self.away_code() == Some(Rv(CKR_DEVICE_REMOVED))
    }

    /// What a token that is away has calls answered, if there is one.
    fn away_code(&self) -> Option<Rv> {
        let slots = self.slots.read().clone();
        slots.iter().find_map(|slot| slot.token.as_ref().ok().and_then(|token| self.check_presence(token).err()))
    }

    /// Ends a session. Closing the last one of a token also logs out.
    pub(crate) fn close_session(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let session = self.sessions.take(handle)?;
        if session.token().remove_session(handle, session.read_write, session.had_objects()) {
            session.token().log_out();
        }
        Ok(())
    }

    /// Ends all sessions of this process on a slot.
    pub(crate) fn close_slot(&self, slot: CK_SLOT_ID) {
        for session in self.sessions.of_slot(slot) {
            // Another thread may have closed it meanwhile, which is as good.
            let _closed = self.close_session(session.handle);
        }
    }

    /// `C_Finalize`: sessions, log-ins, decrypted objects and files go; calls that still run find nothing.
    pub(crate) fn shut_down(&self) {
        drop(self.control.lock().take());
        drop(self.rsa_pool.lock().take());
        self.replacements.lock().clear();
        let slots = std::mem::take(&mut *self.slots.write());
        for slot in slots {
            self.close_slot(slot.id);
            if let Ok(token) = slot.token {
                token.forget_all();
            }
        }
    }
}

impl Slot {
    fn is_initialised(&self) -> bool {
        // A token whose answer cannot be read is not offered as a spare one.
        self.token.as_ref().is_ok_and(|token| token.store.meta().map_or(true, |meta| meta.is_initialised))
    }
}
