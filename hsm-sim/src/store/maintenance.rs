//! Whole-token work: walking all rows, checking the database, copying it while others use it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{Indexes, Result, StoreError, TokenStore, Uid, database};
use crate::config::Durability;

/// A row with everything that is in it.
#[derive(Debug, Clone)]
pub(crate) struct FullRow {
    pub(crate) handle: u64,
    pub(crate) uid: Uid,
    pub(crate) private: bool,
    pub(crate) class: u64,
    pub(crate) version: u64,
    pub(crate) indexes: Indexes,
    pub(crate) body: Vec<u8>,
}

/// Rows that are read at a time.
const BATCH: u32 = 500;

impl TokenStore {
    /// What SQLite finds wrong with the database; nothing when all is well.
    pub(crate) fn integrity(&self) -> Result<Vec<String>> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            let lines =
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// How many objects there are.
    pub(crate) fn count(&self) -> Result<u64> {
        self.read(database::count)
    }

    /// Hands every row out, by rising handle, as they all were at one time.
    pub(crate) fn scan(&self, mut each: impl FnMut(FullRow) -> Result<()>) -> Result<()> {
        self.read(|connection| snapshot(connection, || walk(connection, &mut each)))
    }

    /// Copies the database, as it is at one time, to a new file; `each` is told of every object copied.
    pub(crate) fn copy_to(&self, path: &Path, mut each: impl FnMut()) -> Result<()> {
        let copy = database::connect(path, Durability::Full)?;
        self.read(|connection| {
            snapshot(connection, || {
                copy.execute_batch("BEGIN IMMEDIATE")?;
                database::create(&copy)?;
                copy_small(connection, &copy)?;
                let mut insert = copy.prepare(
                    "INSERT INTO objects (handle, uid, private, class, ver, i_class, i_type, i_label, i_id, body)
                     VALUES (:handle, :uid, :private, :class, :ver, :i_class, :i_type, :i_label, :i_id, :body)",
                )?;
                walk(connection, &mut |row| {
                    insert.execute(named_params! {
                        ":handle": row.handle.cast_signed(), ":uid": row.uid, ":private": row.private,
                        ":class": row.class.cast_signed(), ":ver": row.version.cast_signed(),
                        ":i_class": row.indexes.class, ":i_type": row.indexes.key_type,
                        ":i_label": row.indexes.label, ":i_id": row.indexes.id, ":body": row.body,
                    })?;
                    each();
                    Ok(())
                })?;
                drop(insert);
                // Handles that were used up stay used up.
                let used: Option<i64> = connection
                    .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'objects'", [], |row| row.get(0))
                    .optional()?;
                if let Some(used) = used {
                    copy.execute("DELETE FROM sqlite_sequence WHERE name = 'objects'", [])?;
                    copy.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('objects', ?)", [used])?;
                }
                copy.execute_batch("COMMIT")?;
                Ok(())
            })
        })?;
        copy.close().map_err(|(_connection, error)| error.into())
    }
}

/// Runs a reading job on one state of the database.
fn snapshot<T>(connection: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    connection.execute_batch("BEGIN DEFERRED")?;
    let result = work();
    connection.execute_batch("ROLLBACK")?;
    result
}

fn walk(connection: &Connection, each: &mut dyn FnMut(FullRow) -> Result<()>) -> Result<()> {
    let mut statement = connection.prepare(
        "SELECT handle, uid, private, class, ver, i_class, i_type, i_label, i_id, body FROM objects
         WHERE handle > ? ORDER BY handle LIMIT ?",
    )?;
    let mut last = i64::MIN;
    loop {
        let mut rows = statement.query([last, BATCH.into()])?;
        let mut is_empty = true;
        while let Some(row) = rows.next()? {
            is_empty = false;
            last = row.get(0)?;
            let damaged = |_error| StoreError::Corrupt("a row is not of the form that rows have");
            each(FullRow {
                handle: last.cast_unsigned(),
                uid: row.get(1).map_err(damaged)?,
                private: row.get(2).map_err(damaged)?,
                class: row.get::<_, i64>(3).map_err(damaged)?.cast_unsigned(),
                version: row.get::<_, i64>(4).map_err(damaged)?.cast_unsigned(),
                indexes: Indexes {
                    class: row.get(5).map_err(damaged)?,
                    key_type: row.get(6).map_err(damaged)?,
                    label: row.get(7).map_err(damaged)?,
                    id: row.get(8).map_err(damaged)?,
                },
                body: row.get(9).map_err(damaged)?,
            })?;
        }
        if is_empty {
            return Ok(());
        }
    }
}

/// Copies everything but the objects.
fn copy_small(from: &Connection, to: &Connection) -> Result<()> {
    let mut entries = from.prepare("SELECT key, value FROM meta")?;
    let mut rows = entries.query([])?;
    while let Some(row) = rows.next()? {
        database::set_meta(to, &row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?;
    }
    let mut pins = from.prepare("SELECT role, name, kdf, salt, blob, tries_left, tries_max, flags FROM pins")?;
    let mut insert = to.prepare("INSERT INTO pins VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    let mut rows = pins.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..8).map(|column| row.get::<_, rusqlite::types::Value>(column));
        insert.execute(rusqlite::params_from_iter(values.collect::<rusqlite::Result<Vec<_>>>()?))?;
    }
    Ok(())
}
