//! PIN records: how the token key is kept, and how wrong tries are counted.
//!
//! There is no hash of a PIN: trying one means trying to open the token key with it. The counter is taken down and
//! committed before the try, so that cutting the power during the test does not give a try back.

use rusqlite::{Connection, OptionalExtension, params};

use super::{DeviceKey, Result, StoreError, seal, seal::StoreKey};
use crate::crypto;

const KDF: &str = "pbkdf2-sha512";

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
    rounds: u32,
    blob: Vec<u8>,
}

/// How a role's PIN stands; `None` when it is not set.
pub(super) fn state(connection: &Connection, role: Role) -> Result<Option<PinState>> {
    let mut statement = connection.prepare_cached("SELECT tries_left, tries_max FROM pins WHERE role = ?")?;
    let read = |row: &rusqlite::Row<'_>| Ok(PinState { left: row.get(0)?, max: row.get(1)? });
    Ok(statement.query_row([role.name()], read).optional()?)
}

/// Takes one try and hands out the record to spend it on. Runs in its own commit.
pub(super) fn spend_try(connection: &Connection, role: Role) -> Result<PinRecord> {
    let left = state(connection, role)?.ok_or(StoreError::PinNotSet)?.left;
    if left == 0 {
        return Err(StoreError::PinLocked);
    }
    connection.prepare_cached("UPDATE pins SET tries_left = tries_left - 1 WHERE role = ?")?.execute([role.name()])?;
    let mut statement = connection.prepare_cached("SELECT kdf, salt, blob FROM pins WHERE role = ?")?;
    let (kdf, salt, blob) =
        statement.query_row([role.name()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
    let rounds = kdf
        .strip_prefix(KDF)
        .and_then(|rest| rest.strip_prefix(':')?.parse().ok())
        .ok_or(StoreError::Corrupt("a PIN record of an unknown kind"))?;
    Ok(PinRecord { salt, rounds, blob })
}

/// Gives the tries back after a right PIN.
pub(super) fn restore_tries(connection: &Connection, role: Role) -> Result<()> {
    connection.prepare_cached("UPDATE pins SET tries_left = tries_max WHERE role = ?")?.execute([role.name()])?;
    Ok(())
}

impl PinRecord {
    /// Opens the token key with a PIN. The slow derivation comes first, whatever the PIN.
    pub(super) fn open(&self, device: &DeviceKey, serial: &str, role: Role, pin: &[u8]) -> Result<StoreKey> {
        let key = device.pin_key(serial, role.name(), pin, &self.salt, self.rounds)?;
        seal::unwrap_token_key(&key, serial, role.name(), &self.blob)
    }
}

/// A record ready to be written.
pub(super) struct NewPin {
    role: Role,
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
        role: Role,
        pin: &[u8],
        token_key: &StoreKey,
        rounds: u32,
        tries: u32,
    ) -> Result<Self> {
        let mut salt = [0; 16];
        crypto::random(&mut salt)?;
        let key = device.pin_key(serial, role.name(), pin, &salt, rounds)?;
        let blob = seal::wrap_token_key(&key, serial, role.name(), token_key)?;
        Ok(Self { role, kdf: format!("{KDF}:{rounds}"), salt, blob, tries })
    }

    /// Writes the record over the role's old one.
    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO pins (role, name, kdf, salt, blob, tries_left, tries_max, flags)
             VALUES (?1, '', ?2, ?3, ?4, ?5, ?5, 0)",
        )?;
        statement.execute(params![self.role.name(), self.kdf, self.salt, self.blob, self.tries])?;
        Ok(())
    }
}
