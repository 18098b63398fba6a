//! Searches: what matches is settled when a search begins.
//!
//! The most selective indexed attribute of the template asks the store; every candidate is then compared with the whole
//! template, so the blind index only ever saves work.

use cryptoki_sys::*;

use super::{
    attributes::Attributes,
    builtin,
    operation::Search,
    rv::{Result, Rv},
    session::Session,
    token::Token,
};
use crate::store::{Index, Query};

impl Session {
    /// `C_FindObjectsInit`
    pub(crate) fn find(&self, template: &Attributes) -> Result<()> {
        let mut operations = self.operations();
        if operations.search.is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        let token = self.token();
        let rows = token.store.handles(&token.query(template)?, token.is_user())?;
        let mut candidates: Vec<_> = rows.into_iter().map(|row| token.handle_of(row)).collect();
        candidates.extend(token.session_object_handles());
        candidates.extend(builtin::handles(template, &self.token().config));
        let mut found = if template.len() == 0 { candidates } else { token.matching(candidates, template)? };
        found.reverse();
        operations.search = Some(Search(found));
        Ok(())
    }

    /// `C_FindObjects`: objects that were destroyed meanwhile are passed over.
    pub(crate) fn find_next(&self, most: usize) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let mut operations = self.operations();
        let Search(left) = operations.search.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let mut next = Vec::new();
        while next.len() < most
            && let Some(handle) = left.pop()
        {
            // One that is damaged is shown: its use tells what is wrong with it.
            if !is_gone(&self.token().object(handle)) {
                next.push(handle);
            }
        }
        Ok(next)
    }

    /// `C_FindObjectsFinal`
    pub(crate) fn find_end(&self) -> Result<()> {
        self.operations().search.take().map(drop).ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))
    }
}

fn is_gone<T>(object: &Result<T>) -> bool {
    matches!(object, Err(Rv(CKR_OBJECT_HANDLE_INVALID)))
}

impl Token {
    /// The candidates that match. One that is damaged fails the search, lest it be taken for absent.
    fn matching(&self, candidates: Vec<CK_OBJECT_HANDLE>, template: &Attributes) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let mut found = Vec::new();
        for handle in candidates {
            let object = self.object(handle);
            if !is_gone(&object) && object?.matches(template) {
                found.push(handle);
            }
        }
        Ok(found)
    }

    /// The store's part of a search, by the attribute that says most.
    fn query(&self, template: &Attributes) -> Result<Query> {
        if let Some(text) = template.get(CKA_UNIQUE_ID)
            && let Ok(uid) = uuid::Uuid::try_parse_ascii(text)
        {
            return Ok(Query::Uid(*uid.as_bytes()));
        }
        let by_rank =
            [(CKA_ID, Index::Id), (CKA_LABEL, Index::Label), (CKA_KEY_TYPE, Index::KeyType), (CKA_CLASS, Index::Class)];
        for (attribute, index) in by_rank {
            if let Some(value) = template.get(attribute).filter(|value| !value.is_empty()) {
                return Ok(Query::Index(index, self.blind(index, value)?));
            }
        }
        Ok(Query::All)
    }
}
