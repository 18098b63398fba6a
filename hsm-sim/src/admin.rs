//! Administration from a program that links this crate: makes and lists tokens without loading the module.
//!
//! Do not use a token here while the same process has it open through the loaded module: two copies of SQLite in one
//! process undo each other's file locks. Initialise first, load afterwards.

mod backup;
mod fill;
mod fsck;

use std::path::Path;

use serde::Serialize;

use crate::{
    config::Config,
    store::{StoreError, StoreFolder},
};

pub use backup::{Backup, backup, wipe};
pub use fill::fill;
pub use fsck::{Problem, Report, fsck};

/// Is told how much of long work is done, and of how much.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// What identifies a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenSummary {
    /// The label; empty while the token is not initialised.
    pub label: String,
    /// Sixteen hexadecimal digits.
    pub serial: String,
    /// The slot it is in.
    pub slot: u64,
    /// Whether it has been initialised.
    pub is_initialised: bool,
    /// Whether it has a user PIN.
    pub has_user_pin: bool,
    /// Wrong user PINs left, once there is one.
    pub user_tries_left: Option<u32>,
    /// Wrong SO PINs left, once initialised.
    pub so_tries_left: Option<u32>,
}

/// Why administration failed.
pub type Error = StoreError;

/// Makes a token with a label, an SO PIN and a user PIN in a store, which is made if need be.
///
/// # Errors
///
/// When the label or a PIN is too long or too short, or the store cannot be used.
pub fn init_token(store: &Path, label: &str, so_pin: &[u8], user_pin: &[u8]) -> Result<TokenSummary, Error> {
    init_token_with(store, &Config::default(), label, so_pin, user_pin)
}

/// [`init_token`] with options, of which the PIN rules, `kdf_cost` and `durability` matter.
///
/// # Errors
///
/// As [`init_token`].
pub fn init_token_with(
    store: &Path,
    config: &Config,
    label: &str,
    so_pin: &[u8],
    user_pin: &[u8],
) -> Result<TokenSummary, Error> {
    if label.len() > 32 {
        return Err(StoreError::Refused("a token label has at most 32 bytes"));
    }
    if [so_pin, user_pin].into_iter().any(|pin| !(config.min_pin..=config.max_pin).contains(&pin.len())) {
        return Err(StoreError::Refused("a PIN is shorter or longer than the options allow"));
    }
    if config.check_pin_form(user_pin).is_err() {
        return Err(StoreError::Refused("the user PIN is not of the form that the profile wants"));
    }
    let folder = StoreFolder::open(store)?;
    let lock = folder.lock()?;
    let serials = folder.serials()?;
    let taken =
        serials.iter().map(|serial| Ok(folder.token(serial, config)?.slot())).collect::<Result<Vec<_>, Error>>()?;
    let serial = folder.create_token(&taken, config)?;
    drop(lock);
    // In one step: whoever finds the label finds a token that can be used.
    folder.token(&serial, config)?.initialise(label, so_pin, Some(user_pin))?;
    summary(&folder, &serial, config)
}

/// The tokens of a store, in order of their serials.
///
/// # Errors
///
/// When the store or one of its tokens cannot be read.
pub fn tokens(store: &Path) -> Result<Vec<TokenSummary>, Error> {
    let config = Config::default();
    let folder = StoreFolder::open(store)?;
    folder.serials()?.iter().map(|serial| summary(&folder, serial, &config)).collect()
}

fn summary(folder: &StoreFolder, serial: &str, config: &Config) -> Result<TokenSummary, Error> {
    let token = folder.token(serial, config)?;
    let meta = token.meta()?;
    Ok(TokenSummary {
        label: meta.label,
        serial: serial.to_owned(),
        slot: token.slot(),
        is_initialised: meta.is_initialised,
        has_user_pin: meta.user.is_some(),
        user_tries_left: meta.user.map(|pin| pin.left),
        so_tries_left: meta.so.map(|pin| pin.left),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { kdf_cost: crate::config::KdfCost::Test, ..Config::default() };
        let made = init_token_with(folder.path(), &config, "first", b"so-pin", b"user-pin").unwrap();
        assert!(made.is_initialised && made.has_user_pin && made.slot < 1 << 31);
        assert_eq!(tokens(folder.path()).unwrap(), [made]);
    }

    #[test]
    fn a_short_pin_or_a_long_label_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(init_token(folder.path(), "a", b"1", b"user-pin").is_err());
        assert!(init_token(folder.path(), &"a".repeat(33), b"so-pin", b"user-pin").is_err());
        assert_eq!(tokens(folder.path()).unwrap(), []);
    }
}
