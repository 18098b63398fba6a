//! PIN records: how the token key is kept, and how wrong tries are counted.
//!
//! There is no hash of a PIN: trying one means trying to open the token key with it. The counter is taken down and
//! committed before the try, so that cutting the power during the test does not give a try back.

use rusqlite::{Connection, OptionalExtension, params};

use super::{DeviceKey, Result, StoreError, seal, seal::StoreKey};
use crate::crypto::{self, PinKdf};

/// Whose PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The security officer.
    So,
    /// The normal user.
    User,
}

impl Role {
    /// The role's name in the tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::So => "so",
            Self::User => "user",
        }
    }
}

/// Whose record: a role's, or that of one of several users by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) role: Role,
    /// Set for the second and further users of a token whose users have names.
    further: Option<String>,
}

impl Holder {
    /// The record's key in the table, which also binds the token key sealed in it.
    fn key(&self) -> String {
        match &self.further {
            None => self.role.name().to_owned(),
            Some(name) => format!("{}:{name}", self.role.name()),
        }
    }
}

impl From<Role> for Holder {
    fn from(role: Role) -> Self {
        Self { role, further: None }
    }
}

/// The record of a user by name; `None` when nobody is called so. A record without a name is anybody's.
pub(super) fn user(connection: &Connection, name: &str) -> Result<Option<Holder>> {
    let first = Holder::from(Role::User);
    if name_of(connection, &first)?.is_some_and(|known| known.is_empty() || known == name) {
        return Ok(Some(first));
    }
    let further = Holder { role: Role::User, further: Some(name.to_owned()) };
    Ok(name_of(connection, &further)?.map(|_name| further))
}

/// The record that a user's new PIN goes to: theirs, or one more.
pub(super) fn place_for(connection: &Connection, name: &str) -> Result<Holder> {
    let first = Holder::from(Role::User);
    if name.is_empty() || name_of(connection, &first)?.is_none_or(|known| known.is_empty() || known == name) {
        return Ok(first);
    }
    Ok(Holder { role: Role::User, further: Some(name.to_owned()) })
}

fn name_of(connection: &Connection, holder: &Holder) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM pins WHERE role = ?")?;
    Ok(statement.query_row([holder.key()], |row| row.get(0)).optional()?)
}

/// How a PIN stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PinState {
    /// Wrong tries left.
    pub(crate) left: u32,
    /// Wrong tries allowed.
    pub(crate) max: u32,
}

/// A record that can be tried.
pub(super) struct PinRecord {
    salt: Vec<u8>,
    kdf: PinKdf,
    blob: Vec<u8>,
}

/// How a role's PIN stands; `None` when it is not set.
pub(super) fn state(connection: &Connection, holder: &Holder) -> Result<Option<PinState>> {
    let mut statement = connection.prepare_cached("SELECT tries_left, tries_max FROM pins WHERE role = ?")?;
    let read = |row: &rusqlite::Row<'_>| Ok(PinState { left: row.get(0)?, max: row.get(1)? });
    Ok(statement.query_row([holder.key()], read).optional()?)
}

/// Takes one try and hands out the record to spend it on. Runs in its own commit.
pub(super) fn spend_try(connection: &Connection, holder: &Holder) -> Result<PinRecord> {
    let left = state(connection, holder)?.ok_or(StoreError::PinNotSet)?.left;
    if left == 0 {
        return Err(StoreError::PinLocked);
    }
    connection.prepare_cached("UPDATE pins SET tries_left = tries_left - 1 WHERE role = ?")?.execute([holder.key()])?;
    let mut statement = connection.prepare_cached("SELECT kdf, salt, blob FROM pins WHERE role = ?")?;
    let (kdf, salt, blob) =
        statement.query_row([holder.key()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
    let kdf = kdf.parse().map_err(|_unknown| StoreError::Corrupt("a PIN record of an unknown kind"))?;
    Ok(PinRecord { salt, kdf, blob })
}

/// Gives the tries back after a right PIN.
pub(super) fn restore_tries(connection: &Connection, holder: &Holder) -> Result<()> {
    connection.prepare_cached("UPDATE pins SET tries_left = tries_max WHERE role = ?")?.execute([holder.key()])?;
    Ok(())
}

impl PinRecord {
    /// Opens the token key with a PIN. The slow derivation comes first, whatever the PIN.
    pub(super) fn open(&self, device: &DeviceKey, serial: &str, holder: &Holder, pin: &[u8]) -> Result<StoreKey> {
        let holder = holder.key();
        let key = device.pin_key(serial, &holder, pin, &self.salt, self.kdf)?;
        seal::unwrap_token_key(&key, serial, &holder, &self.blob)
    }
}

/// A record ready to be written.
pub(super) struct NewPin {
    holder: String,
    name: String,
    kdf: String,
    salt: [u8; 16],
    blob: Vec<u8>,
    tries: u32,
}

impl NewPin {
    /// Seals the token key under a new PIN.
    pub(super) fn seal(
        device: &DeviceKey,
        serial: &str,
        (holder, name): (&Holder, &str),
        pin: &[u8],
        token_key: &StoreKey,
        (kdf, tries): (PinKdf, u32),
    ) -> Result<Self> {
        let holder = holder.key();
        let mut salt = [0; 16];
        crypto::random(&mut salt)?;
        let key = device.pin_key(serial, &holder, pin, &salt, kdf)?;
        let blob = seal::wrap_token_key(&key, serial, &holder, token_key)?;
        Ok(Self { holder, name: name.to_owned(), kdf: kdf.to_string(), salt, blob, tries })
    }

    /// Writes the record over its holder's old one.
    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO pins (role, name, kdf, salt, blob, tries_left, tries_max, flags)
             VALUES (?1, ?6, ?2, ?3, ?4, ?5, ?5, 0)",
        )?;
        statement.execute(params![self.holder, self.kdf, self.salt, self.blob, self.tries, self.name])?;
        Ok(())
    }
}
