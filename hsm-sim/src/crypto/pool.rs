//! RSA keys made ahead, for tests that make many: the option `rsa_pool`.
//!
//! A thread makes keys of the usual kind until so many wait; whoever wants one takes it and never gives it back. Nothing else
//! in the module starts a thread but the control socket.

use std::{collections::VecDeque, sync::Arc};

use cryptoki_sys::CKM_RSA_PKCS_KEY_PAIR_GEN;
use parking_lot::{Condvar, Mutex};

use super::{Key, PairParams, generate_key_pair};

/// The kind of key that waits: 2048 bits, exponent 65537.
const BITS: u32 = 2048;
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Keys that wait; the thread ends when this is dropped.
pub struct RsaPool(Arc<Shared>);

struct Shared {
    most: usize,
    stock: Mutex<Stock>,
    changed: Condvar,
}

#[derive(Default)]
struct Stock {
    keys: VecDeque<Key>,
    is_over: bool,
}

impl RsaPool {
    /// Starts to fill a pool of so many keys; `None` where no thread can be started.
    #[must_use]
    pub fn start(most: usize) -> Option<Self> {
        let shared = Arc::new(Shared { most, stock: Mutex::default(), changed: Condvar::new() });
        let filler = Arc::clone(&shared);
        std::thread::Builder::new().name("hsm-sim rsa pool".to_owned()).spawn(move || filler.fill()).ok()?;
        Some(Self(shared))
    }

    /// A key of these parameters, if one waits.
    #[must_use]
    pub fn take(&self, params: &PairParams) -> Option<Key> {
        let PairParams::Rsa { modulus_bits: BITS, public_exponent } = params else { return None };
        let significant = public_exponent.iter().position(|byte| *byte != 0).unwrap_or(public_exponent.len());
        if !public_exponent.is_empty() && public_exponent.get(significant..) != Some(EXPONENT.as_slice()) {
            return None;
        }
        let key = self.0.stock.lock().keys.pop_front();
        self.0.changed.notify_all();
        key
    }
}

impl Shared {
    fn fill(&self) {
        let params = PairParams::Rsa { modulus_bits: BITS, public_exponent: EXPONENT.to_vec() };
        loop {
            let mut stock = self.stock.lock();
            while !stock.is_over && stock.keys.len() >= self.most {
                self.changed.wait(&mut stock);
            }
            if stock.is_over {
                return;
            }
            drop(stock);
            // Who wants a key finds none then, and meets the failure itself.
            let Ok(key) = generate_key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &params) else { return };
            let mut stock = self.stock.lock();
            if stock.is_over {
                return;
            }
            stock.keys.push_back(key);
            self.changed.notify_all();
        }
    }
}

impl Drop for RsaPool {
    fn drop(&mut self) {
        let mut stock = self.0.stock.lock();
        stock.is_over = true;
        stock.keys.clear();
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn modulus(key: &Key) -> Vec<u8> {
        match key {
            Key::RsaPrivate(key) => key.numbers().unwrap().modulus,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_wait_and_each_is_given_once() {
        let pool = RsaPool::start(2).unwrap();
        let full = |pool: &RsaPool| {
            let mut stock = pool.0.stock.lock();
            while stock.keys.len() < 2 {
                let waited = pool.0.changed.wait_for(&mut stock, Duration::from_secs(60));
                assert!(!waited.timed_out());
            }
        };
        let params = |bits, exponent: &[u8]| PairParams::Rsa { modulus_bits: bits, public_exponent: exponent.to_vec() };
        full(&pool);
        assert!(pool.take(&params(3072, &[])).is_none() && pool.take(&params(2048, &[3])).is_none());
        let first = [pool.take(&params(2048, &[])).unwrap(), pool.take(&params(2048, &[0, 1, 0, 1])).unwrap()];
        full(&pool);
        let then = [pool.take(&params(2048, &[1, 0, 1])).unwrap(), pool.take(&params(2048, &[])).unwrap()];
        let mut made: Vec<_> = first.iter().chain(&then).map(modulus).collect();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 4);
    }

    #[test]
    fn the_thread_ends_with_the_pool() {
        let pool = RsaPool::start(1).unwrap();
        let shared = Arc::downgrade(&pool.0);
        drop(pool);
        let start = std::time::Instant::now();
        while shared.upgrade().is_some() {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
    }
}
