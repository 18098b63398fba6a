//! The key that a session used last, kept beside the session.
//!
//! Most programs use one key many times on one session. What is remembered here is found without a lock that other threads
//! take, and counts its users in memory of this session only, so that threads that use the same key do not wait for each
//! other's caches. It is good for as long as nothing has happened that could make it wrong: the token counts such events.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use cryptoki_sys::*;

use super::{
    object::Object,
    operation::Start,
    rv::Result,
    token::{Moment, Token},
};
use crate::{crypto::Key, fault};

/// An object as one session holds it.
pub(crate) struct Held {
    object: Arc<Object>,
    key: OnceLock<Key>,
}

impl Held {
    /// The object, for whoever keeps it longer than a call.
    pub(super) const fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// The key, with a count of users of its own.
    pub(crate) fn key(&self) -> Result<&Key> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = self.object.key()?.apart();
        Ok(self.key.get_or_init(|| key))
    }
}

impl Deref for Held {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

/// A use that a key may be put to: mechanism, the mechanism's flag, the key's attribute.
pub(super) type Use = (CK_MECHANISM_TYPE, CK_FLAGS, CK_ATTRIBUTE_TYPE);

/// What a session remembers.
#[derive(Default)]
pub(crate) struct Recent(Option<Entry>);

struct Entry {
    handle: CK_OBJECT_HANDLE,
    moment: Moment,
    held: Arc<Held>,
    /// The use it was last permitted, which stays so because objects do not change.
    permitted: Option<(Use, Start)>,
}

impl Recent {
    /// The object of a handle, and the start of an operation if it is for the use that was permitted last.
    pub(super) fn object(
        &mut self,
        token: &Token,
        handle: CK_OBJECT_HANDLE,
        wanted: Use,
    ) -> Result<(Arc<Held>, Option<Start>)> {
        if fault::is_armed() || fault::is_losing() {
            // A fault may have lost the object, for this call or for as long as its plan is there.
            self.0 = None;
            return Ok((Arc::new(Held { object: token.object(handle)?, key: OnceLock::new() }), None));
        }
        let moment = token.moment(handle);
        if let Some(entry) = &self.0
            && entry.handle == handle
            && entry.moment == moment
            && moment.is_settled()
        {
            let start = entry.permitted.as_ref().filter(|(used, _)| *used == wanted).map(|(_, start)| *start);
            return Ok((Arc::clone(&entry.held), start));
        }
        // Not kept while another is looked for: it may be one that is gone.
        self.0 = None;
        let held = Arc::new(Held { object: token.object(handle)?, key: OnceLock::new() });
        self.0 = Some(Entry { handle, moment, held: Arc::clone(&held), permitted: None });
        Ok((held, None))
    }

    /// Remembers that a use is permitted.
    pub(super) fn permit(&mut self, handle: CK_OBJECT_HANDLE, permitted: Use, start: Start) {
        if let Some(entry) = self.0.as_mut().filter(|entry| entry.handle == handle) {
            entry.permitted = Some((permitted, start));
        }
    }

    /// Forgets the key.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
