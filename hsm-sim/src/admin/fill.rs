//! Fills a token with very many keys, for measurements.

use std::{path::Path, sync::Arc};

use cryptoki_sys::*;

use super::{Error, Progress};
use crate::{
    config::Config,
    core::{attributes::Attributes, create, token::Token},
    crypto,
    store::{Role, StoreError, StoreFolder},
};

/// Keys of one commit.
const BATCH: u64 = 5_000;

/// Adds so many AES-256 keys to the token of a label; the `CKA_ID` of each is its number in eight bytes.
///
/// # Errors
///
/// When there is no such token, the PIN is wrong or the store cannot be written.
pub fn fill(store: &Path, label: &str, pin: &[u8], objects: u64, progress: Progress<'_>) -> Result<(), Error> {
    let folder = StoreFolder::open_existing(store)?;
    let config = Arc::new(Config { cache_bytes: 0, ..Config::default() });
    for serial in folder.serials()? {
        let store = folder.token(&serial, &config)?;
        if store.meta()?.label != label {
            continue;
        }
        let refused = |_rv| StoreError::Refused("the keys cannot be made");
        let token = Token::new(store, Arc::clone(&config)).map_err(refused)?;
        token.log_in(Role::User, pin).map_err(|_rv| StoreError::Pin)?;
        let mut number = 0;
        while number < objects {
            let end = objects.min(number + BATCH);
            let keys = (number..end)
                .map(|number| key(number).and_then(|attributes| create::finish(attributes).map_err(refused)));
            token.add(0, keys.collect::<Result<Vec<_>, _>>()?).map_err(refused)?;
            number = end;
            progress(number, objects);
        }
        return Ok(());
    }
    Err(StoreError::Refused("no token bears this label"))
}

fn key(number: u64) -> Result<Attributes, Error> {
    let mut attributes = Attributes::default();
    attributes.set_ulong(CKA_CLASS, CKO_SECRET_KEY);
    attributes.set_ulong(CKA_KEY_TYPE, CKK_AES);
    attributes.set_ulong(CKA_KEY_GEN_MECHANISM, CKM_AES_KEY_GEN);
    attributes.set(CKA_ID, number.to_be_bytes());
    for attribute in [CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT, CKA_LOCAL, CKA_ALWAYS_SENSITIVE]
    {
        attributes.set_bool(attribute, true);
    }
    attributes.set_bool(CKA_EXTRACTABLE, false);
    attributes.set_bool(CKA_NEVER_EXTRACTABLE, true);
    let value = crypto::generate_secret(32)?;
    attributes.set(CKA_VALUE, value.as_slice());
    attributes.set_ulong(CKA_VALUE_LEN, 32);
    Ok(attributes)
}
