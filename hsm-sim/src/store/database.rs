//! The tables of a token and the statements on them.
//!
//! `class` and `private` are in the clear because opening a body needs them; everything a name could be read from is
//! either sealed or a keyed hash.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row as SqlRow, named_params, params};

use super::{Result, StoreError, Uid};
use crate::config::Durability;

const FORMAT: u32 = 1;

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE pins (
    role TEXT PRIMARY KEY, name TEXT NOT NULL, kdf TEXT NOT NULL, salt BLOB NOT NULL, blob BLOB NOT NULL,
    tries_left INTEGER NOT NULL, tries_max INTEGER NOT NULL, flags INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE objects (
    handle INTEGER PRIMARY KEY AUTOINCREMENT, uid BLOB NOT NULL UNIQUE, private INTEGER NOT NULL, class INTEGER NOT NULL,
    ver INTEGER NOT NULL, i_class BLOB NOT NULL, i_type BLOB, i_label BLOB, i_id BLOB, body BLOB NOT NULL
);
CREATE INDEX objects_by_class ON objects (i_class);
CREATE INDEX objects_by_type ON objects (i_type) WHERE i_type IS NOT NULL;
CREATE INDEX objects_by_label ON objects (i_label) WHERE i_label IS NOT NULL;
CREATE INDEX objects_by_id ON objects (i_id) WHERE i_id IS NOT NULL;
";

/// A blind-indexed attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    /// `CKA_CLASS`
    Class,
    /// `CKA_KEY_TYPE`
    KeyType,
    /// `CKA_LABEL`
    Label,
    /// `CKA_ID`
    Id,
}

/// The blind index values of a row; `None` where the attribute is absent or empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Indexes {
    pub(crate) class: [u8; 16],
    pub(crate) key_type: Option<[u8; 16]>,
    pub(crate) label: Option<[u8; 16]>,
    pub(crate) id: Option<[u8; 16]>,
}

/// A row to be written; its body is sealed for `version`.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    pub(crate) uid: Uid,
    pub(crate) private: bool,
    pub(crate) class: u64,
    pub(crate) version: u64,
    pub(crate) indexes: Indexes,
    pub(crate) body: Vec<u8>,
}

/// A row as read; its body is sealed.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) uid: Uid,
    pub(crate) private: bool,
    pub(crate) class: u64,
    pub(crate) version: u64,
    pub(crate) body: Vec<u8>,
}

/// Which rows a search wants.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    /// Every row.
    All,
    /// The row of one object.
    Uid(Uid),
    /// Rows whose index is one of two values: the private realm's and the public one's.
    Index(Index, [[u8; 16]; 2]),
}

/// Opens a connection to an existing or new database file.
pub(super) fn connect(path: &Path, durability: Durability) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
        Durability::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Freed pages are overwritten, so a destroyed object's sealed body does not linger in the file.
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(connection)
}

/// Makes the tables of a new token.
pub(super) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(SCHEMA)?;
    set_meta(connection, "format", &FORMAT.to_string())
}

/// Refuses a database that a newer version wrote.
pub(super) fn check_format(connection: &Connection) -> Result<()> {
    let format = meta(connection, "format").map_err(|error| match error {
        StoreError::Database(_) => StoreError::Corrupt("a token database without its tables"),
        error => error,
    })?;
    let format = format.ok_or(StoreError::Corrupt("a token database without a format"))?;
    let found = format.parse().map_err(|_not_a_number| StoreError::Corrupt("a token database of no known format"))?;
    if found > FORMAT {
        return Err(StoreError::NewerVersion { found, known: FORMAT });
    }
    Ok(())
}

/// Reads one entry of `meta`.
pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// Writes one entry of `meta`.
pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")?;
    statement.execute([key, value])?;
    Ok(())
}

/// Adds a row and answers with its handle.
pub(super) fn insert(connection: &Connection, row: &NewRow) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO objects (uid, private, class, ver, i_class, i_type, i_label, i_id, body)
         VALUES (:uid, :private, :class, :ver, :i_class, :i_type, :i_label, :i_id, :body)",
    )?;
    statement.execute(named_params! {
        ":uid": row.uid, ":private": row.private, ":class": row.class.cast_signed(), ":ver": row.version.cast_signed(),
        ":i_class": row.indexes.class, ":i_type": row.indexes.key_type, ":i_label": row.indexes.label,
        ":i_id": row.indexes.id, ":body": row.body,
    })?;
    Ok(connection.last_insert_rowid().cast_unsigned())
}

/// Replaces a row whose version is still `expected`; answers whether it was.
pub(super) fn update(connection: &Connection, handle: u64, expected: u64, row: &NewRow) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "UPDATE objects SET private = :private, ver = :ver, i_class = :i_class, i_type = :i_type, i_label = :i_label,
         i_id = :i_id, body = :body WHERE handle = :handle AND ver = :expected",
    )?;
    let changed = statement.execute(named_params! {
        ":handle": handle.cast_signed(), ":expected": expected.cast_signed(), ":private": row.private,
        ":ver": row.version.cast_signed(), ":i_class": row.indexes.class, ":i_type": row.indexes.key_type,
        ":i_label": row.indexes.label, ":i_id": row.indexes.id, ":body": row.body,
    })?;
    Ok(changed == 1)
}

/// Deletes a row; answers whether it was there.
pub(super) fn delete(connection: &Connection, handle: u64) -> Result<bool> {
    let mut statement = connection.prepare_cached("DELETE FROM objects WHERE handle = ?")?;
    Ok(statement.execute([handle.cast_signed()])? == 1)
}

/// Reads a row.
pub(super) fn row(connection: &Connection, handle: u64) -> Result<Option<Row>> {
    let mut statement =
        connection.prepare_cached("SELECT uid, private, class, ver, body FROM objects WHERE handle = ?")?;
    Ok(statement.query_row([handle.cast_signed()], read_row).optional()?)
}

fn read_row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        uid: row.get(0)?,
        private: row.get(1)?,
        class: row.get::<_, i64>(2)?.cast_unsigned(),
        version: row.get::<_, i64>(3)?.cast_unsigned(),
        body: row.get(4)?,
    })
}

/// Reads a row's version only.
pub(super) fn version(connection: &Connection, handle: u64) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT ver FROM objects WHERE handle = ?")?;
    Ok(statement.query_row([handle.cast_signed()], |row| row.get::<_, i64>(0)).optional()?.map(i64::cast_unsigned))
}

/// The handles of the rows a query names, rising; private ones only `with_private`.
pub(super) fn handles(connection: &Connection, query: &Query, with_private: bool) -> Result<Vec<u64>> {
    let read = |row: &SqlRow<'_>| row.get::<_, i64>(0).map(i64::cast_unsigned);
    let condition = match query {
        Query::All => "1",
        Query::Uid(_) => "uid = ?2",
        Query::Index(Index::Class, _) => "i_class IN (?2, ?3)",
        Query::Index(Index::KeyType, _) => "i_type IN (?2, ?3)",
        Query::Index(Index::Label, _) => "i_label IN (?2, ?3)",
        Query::Index(Index::Id, _) => "i_id IN (?2, ?3)",
    };
    let sql = format!("SELECT handle FROM objects WHERE {condition} AND private <= ?1 ORDER BY handle");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = match query {
        Query::All => statement.query_map(params![with_private], read)?,
        Query::Uid(uid) => statement.query_map(params![with_private, uid], read)?,
        Query::Index(_, [private, public]) => statement.query_map(params![with_private, private, public], read)?,
    };
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many rows there are.
pub(super) fn count(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM objects")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// How many bytes the sealed bodies have.
pub(super) fn bytes(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(sum(length(body)), 0) FROM objects")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
}
