//! What can go wrong with the store.

use std::{path::Path, sync::Arc};

use thiserror::Error;

use crate::crypto::CryptoError;

/// A failure of the store. Cheap to clone, because every writer of a failed group commit gets it.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Another process held the write lock for too long.
    #[error("the token's write lock was not free in time")]
    Busy,
    /// What is on disk is not what was written.
    #[error("the store is damaged: {0}")]
    Corrupt(&'static str),
    /// The crypto library failed.
    #[error("crypto: {0}")]
    Crypto(#[from] CryptoError),
    /// SQLite failed.
    #[error("database: {0}")]
    Database(Arc<rusqlite::Error>),
    /// A limit of the simulated device is reached.
    #[error("the token is full")]
    Full,
    /// The row does not exist (any more).
    #[error("the object is gone")]
    Gone,
    /// A file of the store cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The store was written by a newer version of the module.
    #[error("the store has format {found}, this module knows {known}")]
    NewerVersion {
        /// The version on disk.
        found: u32,
        /// The newest one this module knows.
        known: u32,
    },
    /// The PIN is wrong.
    #[error("the PIN is wrong")]
    Pin,
    /// The PIN is locked.
    #[error("the PIN is locked")]
    PinLocked,
    /// No such PIN is set.
    #[error("the PIN is not set")]
    PinNotSet,
    /// A write was refused by its own rule.
    #[error("{0}")]
    Refused(&'static str),
}

impl StoreError {
    /// Wraps an I/O error with the path it happened on.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.display().to_string(), source: Arc::new(source) }
    }

    /// Wraps a system call's error with the path it happened on.
    pub(crate) fn errno(path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self + '_ {
        move |errno| Self::io(path)(errno.into())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Busy,
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Corrupt("SQLite cannot read the token's database")
            }
            _ => Self::Database(Arc::new(error)),
        }
    }
}
