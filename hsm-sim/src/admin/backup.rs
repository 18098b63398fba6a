//! Copies a store while it is used, and destroys tokens.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use serde::Serialize;

use super::{Error, Progress, TokenSummary, summary};
use crate::{
    config::Config,
    store::{StoreError, StoreFolder},
};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The tokens.
    pub tokens: Vec<TokenSummary>,
    /// Objects over all of them.
    pub objects: u64,
}

/// Copies a store to a new folder, each token as it is at one time, while other processes go on using it.
///
/// The copy is a store of its own with the same device key, so whoever has it and a PIN has the keys.
///
/// # Errors
///
/// When the store cannot be read or the folder is there already and not empty.
pub fn backup(store: &Path, to: &Path, progress: Progress<'_>) -> Result<Backup, Error> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Refused("the folder for the backup is not empty"));
    }
    let config = Config::default();
    let folder = StoreFolder::open_existing(store)?;
    let serials = folder.serials()?;
    let tokens = serials.iter().map(|serial| folder.token(serial, &config)).collect::<Result<Vec<_>, _>>()?;
    let total = tokens.iter().map(crate::store::TokenStore::count).sum::<Result<u64, _>>()?;
    let copy = folder.copy_frame(to)?;
    let mut done = 0;
    progress(0, total);
    for token in &tokens {
        let folder = copy.make_token_folder(token.serial())?;
        token.copy_to(&folder.join("token.db"), || {
            done += 1;
            progress(done, total.max(done));
        })?;
    }
    let tokens = serials.iter().map(|serial| summary(&copy, serial, &config)).collect::<Result<Vec<_>, _>>()?;
    Ok(Backup { tokens, objects: done })
}

/// Destroys a token, or with no serial the whole store: every file is overwritten and deleted.
///
/// On solid-state and copy-on-write storage overwriting reaches a new place and leaves the old one to the device. What
/// makes the objects unreadable there is that the PIN records and, for a whole store, the device key are gone.
///
/// # Errors
///
/// When a living process has sessions open, there is no such token, or a file cannot be overwritten.
pub fn wipe(store: &Path, serial: Option<&str>, progress: Progress<'_>) -> Result<u64, Error> {
    let config = Config::default();
    let folder = StoreFolder::open_existing(store)?;
    let _lock = folder.lock()?;
    let mut targets = Vec::new();
    for found in folder.serials()? {
        if serial.is_some_and(|serial| serial != found) {
            continue;
        }
        // A token that does not open cannot have sessions either.
        if let Ok(token) = folder.token(&found, &config)
            && token.lease()?.open_sessions()?.all > 0
        {
            return Err(StoreError::Refused("a process has sessions open on the token"));
        }
        targets.push(folder.root().join("tokens").join(found));
    }
    match serial {
        Some(_) if targets.is_empty() => return Err(StoreError::Refused("there is no token of this serial")),
        Some(_) => {}
        None => targets = vec![folder.root().to_path_buf()],
    }
    let mut files = Vec::new();
    for target in &targets {
        list(target, &mut files)?;
    }
    let total = files.len() as u64;
    progress(0, total);
    // PIN records and keys first: what is interrupted has wiped what matters.
    files.sort_by_key(|path| !path.file_name().is_some_and(|name| name == "device.key" || name == "token.db"));
    for (done, path) in files.iter().enumerate() {
        overwrite(path).map_err(StoreError::io(path))?;
        progress(done as u64 + 1, total);
    }
    for target in targets {
        fs::remove_dir_all(&target).map_err(StoreError::io(&target))?;
    }
    Ok(total)
}

fn list(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let entry = entry.map_err(StoreError::io(folder))?;
        let kind = entry.file_type().map_err(StoreError::io(folder))?;
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn overwrite(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let zeroes = [0; 64 << 10];
    while left > 0 {
        let part = usize::try_from(left).map_or(zeroes.len(), |left| left.min(zeroes.len()));
        file.write_all(zeroes.get(..part).unwrap_or_default())?;
        left -= part as u64;
    }
    file.sync_all()
}
