//! The sealed token store: one folder a token, SQLite in WAL mode, every body encrypted.
//!
//! Owns what is on disk and the keys that open it; knows rows, not attributes. Several processes use one store at once:
//! writers take turns on a file lock, readers never wait, and a counter in a shared page tells caches when a row changed.
//! What a newcomer gets wrong: the shared pages are hints. Whatever they say, the database is the truth.

mod database;
mod error;
mod folder;
mod lease;
mod maintenance;
mod pins;
mod seal;
mod token;
mod writer;

pub(crate) use database::{Index, Indexes, NewRow, Query, Row};
pub(crate) use error::StoreError;
pub(crate) use folder::{StoreFolder, page};
pub(crate) use lease::Lease;
pub(crate) use maintenance::FullRow;
pub(crate) use pins::{Holder, PinState, Role};
pub(crate) use seal::{DeviceKey, SealKeys, Uid};
pub(crate) use token::{TokenKey, TokenMeta, TokenStore};
pub(crate) use writer::Commit;

/// The result of store work.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;
