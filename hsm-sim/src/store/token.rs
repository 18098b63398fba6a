//! One token on disk: its identity, its PINs and its rows.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::Ordering,
};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    DeviceKey, Lease, PinState, Query, Result, Role, Row, SealKeys, StoreError, database,
    database::NewRow,
    folder::open_shared,
    pins::{self, Holder, NewPin},
    seal::{StoreKey, random_key},
    writer::{CHANGES, Commit, Effect, Writer},
};
use crate::{abi::SharedPage, config::Config};

/// The word that tells until when the token is out of its slot, in milliseconds of the system's clock; 0 when it is in.
const AWAY_UNTIL: usize = 1;
/// The word that counts removals and restarts.
const REMOVALS: usize = 2;
/// The word that tells a restart (1) from a removal (0).
const IS_RESTART: usize = 3;
/// The word that counts restarts: the generation of handles.
const GENERATION: usize = 4;
/// The word that tells what other token is in the slot: 0 none, else the removal's number times four, and [`BLANK`] or
/// [`OTHER`].
const REPLACED: usize = 5;
const BLANK: u64 = 1;
const OTHER: u64 = 2;

/// Ends what a fault did to a token.
pub(super) fn put_back(page: &SharedPage) {
    if page.load(AWAY_UNTIL) > 1 {
        // Long past, which is back again; zero would be a token that never was away.
        page.word(AWAY_UNTIL).store(1, Ordering::Release);
    }
    if page.word(REPLACED).swap(0, Ordering::AcqRel) != 0 {
        page.word(REMOVALS).fetch_add(1, Ordering::AcqRel);
    }
}

/// An open token.
pub(crate) struct TokenStore {
    folder: PathBuf,
    serial: String,
    slot: u64,
    device: DeviceKey,
    config: Config,
    page: Arc<SharedPage>,
    writer: Writer,
    readers: Mutex<Vec<Connection>>,
}

/// What the token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenMeta {
    /// Whether `C_InitToken` has been called.
    pub(crate) is_initialised: bool,
    /// The label, without padding.
    pub(crate) label: String,
    /// How the SO PIN stands.
    pub(crate) so: Option<PinState>,
    /// How the user PIN stands.
    pub(crate) user: Option<PinState>,
}

/// What a right PIN opens.
#[derive(Clone)]
pub(crate) struct TokenKey {
    key: StoreKey,
    /// The keys of the private objects.
    pub(crate) seal: Arc<SealKeys>,
}

const DATABASE: &str = "token.db";

impl TokenStore {
    /// Makes the files of a new, uninitialised token.
    pub(super) fn create(folder: &Path, serial: &str, slot: u64, config: &Config) -> Result<()> {
        let connection = database::connect(&folder.join(DATABASE), config.durability)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        database::create(&connection)?;
        database::set_meta(&connection, "serial", serial)?;
        database::set_meta(&connection, "slot", &slot.to_string())?;
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_connection, error)| error.into())
    }

    /// Opens a token's files.
    pub(super) fn open(folder: &Path, serial: &str, device: &DeviceKey, config: &Config) -> Result<Self> {
        let path = folder.join(DATABASE);
        if !path.exists() {
            return Err(StoreError::Corrupt("a token folder without a database"));
        }
        let connection = database::connect(&path, config.durability)?;
        database::check_format(&connection)?;
        if database::meta(&connection, "serial")?.as_deref() != Some(serial) {
            return Err(StoreError::Corrupt("a token folder does not bear its token's serial"));
        }
        let slot = database::meta(&connection, "slot")?
            .and_then(|slot| slot.parse().ok())
            .ok_or(StoreError::Corrupt("a token without a slot"))?;
        let state = folder.join("state");
        let page = Arc::new(SharedPage::map(&open_shared(&state)?).map_err(StoreError::io(&state))?);
        let writer = Writer::new(connection, &path, config.durability, &folder.join("lock"), Arc::clone(&page))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            serial: serial.to_owned(),
            slot,
            device: device.clone(),
            config: config.clone(),
            page,
            writer,
            readers: Mutex::default(),
        })
    }

    /// The token's serial.
    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// The slot the token is in for all its life.
    pub(crate) const fn slot(&self) -> u64 {
        self.slot
    }

    /// Shows the token in another slot, in this process.
    pub(crate) fn renumber(&mut self, slot: u64) {
        self.slot = slot;
    }

    /// The keys of the public objects.
    pub(crate) fn public_keys(&self) -> Result<SealKeys> {
        self.device.public_keys(&self.serial)
    }

    /// The counter of changes and deletions; odd while one is under way.
    pub(crate) fn changes(&self) -> u64 {
        self.page.word(CHANGES).load(Ordering::Acquire)
    }

    /// Until when the token is out of its slot, and how often it has been taken out.
    pub(crate) fn removal(&self) -> (u64, u64) {
        (self.page.load(AWAY_UNTIL), self.page.load(REMOVALS))
    }

    /// Takes the token out of its slot until a time.
    pub(crate) fn remove_until(&self, milliseconds: u64) {
        self.away_until(milliseconds, false);
    }

    /// Restarts the token: it is in trouble until a time, and its handles have another generation.
    pub(crate) fn restart_until(&self, milliseconds: u64) {
        self.page.word(GENERATION).fetch_add(1, Ordering::AcqRel);
        self.away_until(milliseconds, true);
    }

    fn away_until(&self, milliseconds: u64, is_restart: bool) {
        self.page.word(IS_RESTART).store(is_restart.into(), Ordering::Relaxed);
        self.page.word(AWAY_UNTIL).store(milliseconds, Ordering::Relaxed);
        self.page.word(REMOVALS).fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the last removal was a restart.
    pub(crate) fn is_restart(&self) -> bool {
        self.page.load(IS_RESTART) != 0
    }

    /// The generation of handles: how often the token was restarted.
    pub(crate) fn generation(&self) -> u64 {
        self.page.load(GENERATION)
    }

    /// Puts another token in the slot, from `now` on.
    pub(crate) fn replace(&self, is_blank: bool, now: u64) {
        let turn = self.page.word(REMOVALS).load(Ordering::Acquire) + 1;
        self.page.word(REPLACED).store(turn << 2 | if is_blank { BLANK } else { OTHER }, Ordering::Release);
        self.remove_until(now);
    }

    /// The other token in the slot, if there is one: its turn, and whether it is blank.
    pub(crate) fn replaced(&self) -> Option<(u64, bool)> {
        let word = self.page.load(REPLACED);
        (word != 0).then_some((word >> 2, word & 3 == BLANK))
    }

    /// The token's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes this process's place among the token's users.
    pub(crate) fn lease(&self) -> Result<Lease> {
        Lease::take(&self.folder, Arc::clone(&self.page))
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.readers.lock().pop();
        let connection =
            idle.map_or_else(|| database::connect(&self.folder.join(DATABASE), self.config.durability), Ok)?;
        let result = work(&connection);
        self.readers.lock().push(connection);
        result
    }

    /// Reads what the token says of itself.
    pub(crate) fn meta(&self) -> Result<TokenMeta> {
        self.read(|connection| {
            Ok(TokenMeta {
                is_initialised: database::meta(connection, "label")?.is_some(),
                label: database::meta(connection, "label")?.unwrap_or_default(),
                so: pins::state(connection, &Role::So.into())?,
                user: pins::state(connection, &Role::User.into())?,
            })
        })
    }

    /// Initialises the token: new token key, SO PIN, label, and a user PIN where one is given, all in one transaction; every
    /// object and the old user PIN are gone.
    ///
    /// The caller has checked the old SO PIN and that no session is open.
    pub(crate) fn initialise(&self, label: &str, so_pin: &[u8], user_pin: Option<&[u8]>) -> Result<()> {
        let token_key = random_key()?;
        let mut pins = vec![self.new_pin(&Role::So.into(), so_pin, &token_key)?];
        if let Some(user_pin) = user_pin {
            pins.push(self.new_pin(&Role::User.into(), user_pin, &token_key)?);
        }
        let label = label.to_owned();
        self.writer.write(Effect::Changes, move |connection| {
            connection.execute_batch("DELETE FROM objects; DELETE FROM pins;")?;
            for pin in &pins {
                pin.write(connection)?;
            }
            database::set_meta(connection, "label", &label)
        })?;
        Ok(())
    }

    fn new_pin(&self, holder: &Holder, pin: &[u8], token_key: &StoreKey) -> Result<NewPin> {
        let (tries, name) = match holder.role {
            Role::So => (self.config.so_tries, None),
            Role::User => (self.config.user_tries, self.config.user_name(pin)),
        };
        NewPin::seal(
            &self.device,
            &self.serial,
            (holder, name.unwrap_or_default()),
            pin,
            token_key,
            (self.config.kdf(), tries),
        )
    }

    /// The record of a user that has a PIN: the only one, or the one of the name that the PIN begins with.
    ///
    /// # Errors
    ///
    /// `Pin` when nobody is called so, after as much work as a wrong PIN takes.
    pub(crate) fn user(&self, pin: &[u8]) -> Result<Holder> {
        let Some(name) = self.config.user_name(pin) else { return Ok(Role::User.into()) };
        let first = Role::User.into();
        let found = self.read(|connection| match pins::state(connection, &first)? {
            None => Ok(Some(first)),
            Some(_) => pins::user(connection, name),
        })?;
        match found {
            Some(holder) => Ok(holder),
            None => {
                self.new_pin(&Role::User.into(), pin, &random_key()?)?;
                Err(StoreError::Pin)
            }
        }
    }

    /// The record that a user's new PIN goes to.
    pub(crate) fn place_for(&self, pin: &[u8]) -> Result<Holder> {
        let name = self.config.user_name(pin).unwrap_or_default();
        self.read(|connection| pins::place_for(connection, name))
    }

    /// Tries a PIN.
    ///
    /// # Errors
    ///
    /// `Pin` when it is wrong, `PinLocked` when no try is left, `PinNotSet` when there is nothing to try it on.
    pub(crate) fn try_pin(&self, holder: impl Into<Holder>, pin: &[u8]) -> Result<TokenKey> {
        let holder = holder.into();
        let tried = holder.clone();
        let (record, _) = self.writer.write(Effect::Adds, move |connection| pins::spend_try(connection, &tried))?;
        let key = record.open(&self.device, &self.serial, &holder, pin)?;
        self.writer.write(Effect::Adds, move |connection| pins::restore_tries(connection, &holder))?;
        let seal = Arc::new(SealKeys::private(&key, &self.serial)?);
        Ok(TokenKey { key, seal })
    }

    /// Sets a PIN on an open token; its tries start anew.
    pub(crate) fn set_pin(&self, holder: &Holder, pin: &[u8], token_key: &TokenKey) -> Result<()> {
        let record = self.new_pin(holder, pin, &token_key.key)?;
        self.writer.write(Effect::Adds, move |connection| record.write(connection))?;
        Ok(())
    }

    /// Adds rows in one transaction and answers with their handles.
    pub(crate) fn insert(&self, rows: Vec<NewRow>) -> Result<Vec<u64>> {
        let (limit, limit_bytes) = (self.config.limits.max_objects, self.config.limits.max_bytes);
        let bytes = rows.iter().map(|row| row.body.len() as u64).sum::<u64>();
        let (handles, _) = self.writer.write(Effect::Adds, move |connection| {
            if limit_bytes > 0 && database::bytes(connection)?.saturating_add(bytes) > limit_bytes {
                return Err(StoreError::Full);
            }
            if limit > 0 && database::count(connection)?.saturating_add(rows.len() as u64) > limit {
                return Err(StoreError::Full);
            }
            rows.iter().map(|row| database::insert(connection, row)).collect::<Result<Vec<_>>>()
        })?;
        Ok(handles)
    }

    /// Replaces a row of version `expected`; `None` when the row has another version by now.
    ///
    /// # Errors
    ///
    /// `Gone` when the row does not exist.
    pub(crate) fn update(&self, handle: u64, expected: u64, row: NewRow) -> Result<Option<Commit>> {
        let (updated, commit) = self.writer.write(Effect::Changes, move |connection| {
            let updated = database::update(connection, handle, expected, &row)?;
            if !updated && database::version(connection, handle)?.is_none() {
                return Err(StoreError::Gone);
            }
            Ok(updated)
        })?;
        Ok(updated.then_some(commit))
    }

    /// Deletes a row.
    ///
    /// # Errors
    ///
    /// `Gone` when the row does not exist.
    pub(crate) fn delete(&self, handle: u64) -> Result<Commit> {
        let ((), commit) = self.writer.write(Effect::Changes, move |connection| {
            if database::delete(connection, handle)? { Ok(()) } else { Err(StoreError::Gone) }
        })?;
        Ok(commit)
    }

    /// Reads a row.
    pub(crate) fn row(&self, handle: u64) -> Result<Option<Row>> {
        self.read(|connection| database::row(connection, handle))
    }

    /// Reads a row's version.
    pub(crate) fn version(&self, handle: u64) -> Result<Option<u64>> {
        self.read(|connection| database::version(connection, handle))
    }

    /// The handles of the rows a query names, rising.
    pub(crate) fn handles(&self, query: &Query, with_private: bool) -> Result<Vec<u64>> {
        self.read(|connection| database::handles(connection, query, with_private))
    }
}
