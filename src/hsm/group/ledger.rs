//! What a token owes its group: the identifiers under which it may differ from the others.
//!
//! An entry is durable before the client hears of the change that the token has missed, and goes when the token has been made
//! equal under that identifier, unless the identifier was entered again meanwhile. Kept as facts of at most a page, so that a
//! change rewrites one page and not the whole.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    domain::reference::CkaId,
    engine::ports::{Memory, StoreError},
};

/// Identifiers of a page; a fact has room for a few more.
const PAGE: usize = 240;
const ID: usize = size_of::<CkaId>();

/// When an identifier was entered last: what was repaid before that does not settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

#[derive(Default)]
struct Book {
    pages: Vec<Vec<CkaId>>,
    entries: HashMap<CkaId, (usize, Stamp)>,
    stamps: u64,
    /// Pages that differ from what the store has, after a write that failed, too.
    unwritten: BTreeSet<usize>,
}

/// The debts of one token.
pub(super) struct Ledger {
    memory: Arc<dyn Memory>,
    name: String,
    book: Mutex<Book>,
    /// Entered by somebody who waits for the page to be written: whoever writes next takes all along.
    waiting: Mutex<Vec<CkaId>>,
}

impl Ledger {
    /// Reads what was owed when the process ended.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub(super) fn open(memory: Arc<dyn Memory>, group: &str, token: &str) -> Result<Self, StoreError> {
        let name = format!("group/{group}/owed/{token}");
        let mut book = Book::default();
        let pages =
            memory.recall(&name)?.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map_or(0, u32::from_be_bytes);
        for number in 0..pages {
            let bytes = memory.recall(&format!("{name}/{number}"))?.unwrap_or_default();
            let ids: Vec<CkaId> = bytes.as_chunks::<ID>().0.iter().map(|id| CkaId(*id)).collect();
            let at = book.pages.len();
            book.entries.extend(ids.iter().map(|id| (*id, (at, Stamp(0)))));
            book.pages.push(ids);
        }
        Ok(Self { memory, name, book: Mutex::new(book), waiting: Mutex::default() })
    }

    /// How many identifiers are owed.
    pub(super) fn len(&self) -> usize {
        self.book.lock().entries.len()
    }

    /// Whether this one is.
    pub(super) fn holds(&self, id: CkaId) -> bool {
        let book = self.book.lock();
        !book.entries.is_empty() && book.entries.contains_key(&id)
    }

    /// Some that are owed, with their stamps.
    pub(super) fn some(&self, count: usize, but: impl Fn(&CkaId) -> bool) -> Vec<(CkaId, Stamp)> {
        let book = self.book.lock();
        let owed = book.entries.iter().filter(|(id, _)| !but(id));
        owed.take(count).map(|(id, (_, stamp))| (*id, *stamp)).collect()
    }

    /// Enters identifiers; durable when it returns. Blocks.
    ///
    /// # Errors
    ///
    /// The store's own; they are not owed then.
    pub(super) fn enter(&self, ids: &[CkaId]) -> Result<(), StoreError> {
        self.waiting.lock().extend(ids);
        let mut book = self.book.lock();
        let batch = std::mem::take(&mut *self.waiting.lock());
        for id in &batch {
            book.stamps += 1;
            let stamp = Stamp(book.stamps);
            match book.entries.get_mut(id) {
                Some((_, known)) => *known = stamp,
                None => {
                    let at = book.pages.iter().position(|page| page.len() < PAGE).unwrap_or(book.pages.len());
                    if at == book.pages.len() {
                        book.pages.push(Vec::new());
                    }
                    if let Some(page) = book.pages.get_mut(at) {
                        page.push(*id);
                    }
                    book.entries.insert(*id, (at, stamp));
                    book.unwritten.insert(at);
                }
            }
        }
        let written = self.write(&mut book);
        if written.is_err() {
            // Whoever waits with them writes again; what is entered twice is entered once.
            self.waiting.lock().extend(batch);
        }
        written
    }

    /// Takes out what was repaid, unless it was entered again. Blocks.
    ///
    /// # Errors
    ///
    /// The store's own; it is repaid once more after a restart then.
    pub(super) fn strike(&self, repaid: &[(CkaId, Stamp)]) -> Result<(), StoreError> {
        let mut book = self.book.lock();
        for (id, stamp) in repaid {
            if let Some((at, known)) = book.entries.get(id).copied()
                && known == *stamp
            {
                book.entries.remove(id);
                if let Some(page) = book.pages.get_mut(at) {
                    page.retain(|other| other != id);
                }
                book.unwritten.insert(at);
            }
        }
        self.write(&mut book)
    }

    fn write(&self, book: &mut Book) -> Result<(), StoreError> {
        if book.unwritten.is_empty() {
            return Ok(());
        }
        for number in &book.unwritten {
            let ids = book.pages.get(*number).map(Vec::as_slice).unwrap_or_default();
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
            self.memory.remember(&format!("{}/{number}", self.name), &bytes)?;
        }
        let count = u32::try_from(book.pages.len()).unwrap_or(u32::MAX).to_be_bytes();
        if self.memory.recall(&self.name)?.as_deref() != Some(count.as_slice()) {
            self.memory.remember(&self.name, &count)?;
        }
        book.unwritten.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Facts(Mutex<HashMap<String, Vec<u8>>>, std::sync::atomic::AtomicBool);

    impl Memory for Facts {
        fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.lock().get(name).cloned())
        }
        fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
            assert!(fact.len() < 4000, "a fact is a page at most");
            if self.1.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(StoreError::Unavailable("the disk is full".to_owned()));
            }
            self.0.lock().insert(name.to_owned(), fact.to_vec());
            Ok(())
        }
    }

    fn id(number: u16) -> CkaId {
        let mut id = [0; ID];
        id[..2].copy_from_slice(&number.to_be_bytes());
        CkaId(id)
    }

    #[test]
    fn debts_outlive_the_process_and_go_when_they_are_repaid() {
        let memory: Arc<dyn Memory> = Arc::new(Facts::default());
        let open = || Ledger::open(Arc::clone(&memory), "pair", "one").unwrap();
        let ledger = open();
        let ids: Vec<CkaId> = (0..600).map(id).collect();
        ledger.enter(&ids).unwrap();
        assert_eq!(ledger.len(), 600);

        let ledger = open();
        assert_eq!((ledger.len(), ledger.holds(id(599)), ledger.holds(id(600))), (600, true, false));
        let owed = ledger.some(500, |id| id.0[1] == 0);
        assert!(owed.len() == 500 && owed.iter().all(|(id, _)| id.0[1] != 0));
        ledger.strike(&owed).unwrap();
        assert_eq!(open().len(), 100);

        let rest = ledger.some(1000, |_| false);
        ledger.strike(&rest).unwrap();
        assert_eq!((ledger.len(), open().len()), (0, 0));
    }

    #[test]
    fn what_is_entered_again_while_it_is_repaid_stays() {
        let ledger = Ledger::open(Arc::new(Facts::default()), "pair", "one").unwrap();
        ledger.enter(&[id(1), id(2)]).unwrap();
        let owed = ledger.some(9, |_| false);
        ledger.enter(&[id(1)]).unwrap();
        ledger.strike(&owed).unwrap();
        assert_eq!((ledger.holds(id(1)), ledger.holds(id(2))), (true, false));
    }

    #[test]
    fn what_could_not_be_written_is_written_before_it_counts_as_owed() {
        let facts = Arc::new(Facts::default());
        let memory = Arc::clone(&facts) as Arc<dyn Memory>;
        let ledger = Ledger::open(Arc::clone(&memory), "pair", "one").unwrap();
        facts.1.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(ledger.enter(&[id(1)]).is_err() && ledger.enter(&[id(1)]).is_err());
        facts.1.store(false, std::sync::atomic::Ordering::Relaxed);
        ledger.enter(&[id(1)]).unwrap();
        assert!(Ledger::open(memory, "pair", "one").unwrap().holds(id(1)));
    }
}
