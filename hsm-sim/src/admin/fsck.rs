//! Checks tokens: the database by SQLite's own means, and every row by opening it.

use std::path::Path;

use cryptoki_sys::*;
use serde::Serialize;

use super::{Error, Progress};
use crate::{
    config::Config,
    core::{attributes::Attributes, object::Object},
    store::{FullRow, Role, SealKeys, StoreError, StoreFolder, TokenStore},
};

/// What was found in one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The token's label.
    pub label: String,
    /// The token's serial.
    pub serial: String,
    /// Objects looked at.
    pub objects: u64,
    /// Private objects that were not opened, for want of the user PIN.
    pub unopened: u64,
    /// What is wrong; nothing when all is well.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The object it is about.
    pub handle: Option<u64>,
    /// What it is.
    pub what: String,
}

/// Checks every token of a store, or the one of a label; with its user PIN private objects, too.
///
/// A wrong PIN is an error and costs a try, as every wrong PIN does.
///
/// # Errors
///
/// When the store cannot be opened, no token bears the label, or the PIN is wrong.
pub fn fsck(
    store: &Path,
    label: Option<&str>,
    pin: Option<&[u8]>,
    progress: Progress<'_>,
) -> Result<Vec<Report>, Error> {
    let folder = StoreFolder::open_existing(store)?;
    let config = Config::default();
    let mut reports = Vec::new();
    for serial in folder.serials()? {
        let token = match folder.token(&serial, &config) {
            Ok(token) => token,
            Err(error) if label.is_none() => {
                let problems = vec![Problem { handle: None, what: error.to_string() }];
                reports.push(Report { label: String::new(), serial, objects: 0, unopened: 0, problems });
                continue;
            }
            Err(_unreadable) => continue,
        };
        let meta = token.meta()?;
        if label.is_some_and(|label| label != meta.label) || (label.is_none() && !meta.is_initialised) {
            continue;
        }
        reports.push(check(&token, meta.label, pin.filter(|_| meta.user.is_some()), progress)?);
    }
    if reports.is_empty() && label.is_some() {
        return Err(StoreError::Refused("no token bears this label"));
    }
    Ok(reports)
}

fn check(token: &TokenStore, label: String, pin: Option<&[u8]>, progress: Progress<'_>) -> Result<Report, Error> {
    let private = pin.map(|pin| token.try_pin(Role::User, pin)).transpose()?.map(|key| key.seal);
    let public = token.public_keys()?;
    let mut report = Report { label, serial: token.serial().to_owned(), objects: 0, unopened: 0, problems: Vec::new() };
    let integrity = token.integrity()?;
    report.problems.extend(integrity.into_iter().map(|what| Problem { handle: None, what }));
    let total = token.count()?;
    progress(0, total);
    let walked = token.scan(|row| {
        report.objects += 1;
        let keys = if row.private { private.as_deref() } else { Some(&public) };
        match keys {
            None => report.unopened += 1,
            Some(keys) => {
                if let Err(what) = check_row(&row, keys) {
                    report.problems.push(Problem { handle: Some(row.handle), what });
                }
            }
        }
        progress(report.objects, total);
        Ok(())
    });
    if let Err(error) = walked {
        report.problems.push(Problem { handle: None, what: error.to_string() });
    }
    Ok(report)
}

/// Opens a row and compares what is outside with what is inside.
fn check_row(row: &FullRow, keys: &SealKeys) -> Result<(), String> {
    let body = keys.open(&row.uid, row.class, row.version, &row.body).map_err(|error| error.to_string())?;
    let attributes = Attributes::decode(&body).map_err(|error| error.to_string())?;
    let object = Object::new(row.uid, row.version, attributes).map_err(|error| error.to_string())?;
    if object.class != row.class || object.is_private != row.private || !object.is_token() {
        return Err("the row says something else of the object than the object itself".to_owned());
    }
    let uid = uuid::Uuid::from_bytes(row.uid).to_string();
    if object.attributes.get(CKA_UNIQUE_ID) != Some(uid.as_bytes()) {
        return Err("the object's unique identifier is not its row's".to_owned());
    }
    let index = |attribute| match object.attributes.get(attribute).filter(|value| !value.is_empty()) {
        Some(value) => keys.index(attribute, value).map(Some).map_err(|error| error.to_string()),
        None => Ok(None),
    };
    let found = [Some(row.indexes.class), row.indexes.key_type, row.indexes.label, row.indexes.id];
    for (attribute, found) in [CKA_CLASS, CKA_KEY_TYPE, CKA_LABEL, CKA_ID].into_iter().zip(found) {
        if index(attribute)? != found {
            return Err(format!("the index of attribute {attribute:#x} does not lead to the object"));
        }
    }
    if object.key_type.is_some() && object.key().is_err() {
        return Err("the object is no key of its type".to_owned());
    }
    Ok(())
}
