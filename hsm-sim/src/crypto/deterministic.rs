//! Randomness that comes again, for tests: the feature `deterministic`, and a seed in the environment.
//!
//! Each thread has a ChaCha20 key stream of its own, numbered in the order in which threads first ask. Every start on a store
//! begins new streams, numbered by the store, so that one start does not make the names of the one before again. What the
//! crypto library draws inside (nonces of ECDSA, salts of PSS, padding of OAEP) is not covered; keys are, because they are
//! made here from numbers of the stream.

use std::{
    cell::Cell,
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use zeroize::Zeroizing;

use super::{
    digest::digest,
    error::{CryptoError, Result},
    ffi::{chacha, random, rsa::RsaKey},
    key::{Curve, EcPrivateKey},
    params::Hash,
};

/// The seed of this process.
static SEED: LazyLock<Option<Vec<u8>>> =
    LazyLock::new(|| env::var_os("HSM_SIM_SEED").map(|seed| seed.into_encoded_bytes()));

/// The clock of this process, in milliseconds since 1970.
static TIME: LazyLock<Option<u64>> =
    LazyLock::new(|| env::var("HSM_SIM_TIME").ok()?.parse::<u64>().ok()?.checked_mul(1000));

/// Which start of the store it is.
static RUN: AtomicU64 = AtomicU64::new(0);
/// Threads of this start that have asked so far.
static THREADS: AtomicU32 = AtomicU32::new(0);

const BLANK: [u8; chacha::BLOCK_BYTES] = [0; chacha::BLOCK_BYTES];

thread_local! {
    /// The start, this thread's number in it, and the next block of its stream.
    static STREAM: Cell<(u64, u32, u64)> = const { Cell::new((u64::MAX, 0, 0)) };
}

/// Whether randomness comes again.
pub(crate) fn is_on() -> bool {
    SEED.is_some()
}

/// The time that stands still, if a seed and a time are given.
pub(crate) fn time() -> Option<u64> {
    TIME.filter(|_| is_on())
}

/// Begins the streams of a start on a store.
pub(crate) fn begin(run: u64) {
    THREADS.store(0, Ordering::Release);
    RUN.store(run, Ordering::Release);
}

/// Fills `output` from the stream of this thread.
pub(super) fn fill(output: &mut [u8]) -> Result<()> {
    let run = RUN.load(Ordering::Acquire);
    let (of, mut thread, mut block) = STREAM.get();
    if of != run {
        (thread, block) = (THREADS.fetch_add(1, Ordering::AcqRel), 0);
    }
    let seed = SEED.as_deref().ok_or(CryptoError::GeneralError)?;
    let key = Zeroizing::new(digest(Hash::Sha256, &[&run.to_le_bytes(), seed].concat())?);
    for piece in output.chunks_mut(chacha::BLOCK_BYTES) {
        // The counter has 32 bits; what is above them goes with the thread's number into the nonce.
        let [a, b, c, d, e, f, g, h] = block.to_le_bytes();
        let [k, l, m, n] = thread.to_le_bytes();
        let nonce = [k, l, m, n, e, f, g, h, 0, 0, 0, 0];
        let blank = BLANK.get(..piece.len()).unwrap_or_default();
        chacha::apply(&key, &nonce, u32::from_le_bytes([a, b, c, d]), blank, piece)?;
        block += 1;
    }
    STREAM.set((run, thread, block));
    Ok(())
}

/// A key on a prime curve: the first number of the stream that is one.
pub(super) fn ec(curve: Curve) -> Result<EcPrivateKey> {
    loop {
        let mut scalar = Zeroizing::new(vec![0; curve.field_bytes()]);
        random::fill(&mut scalar)?;
        if let Some(first) = scalar.first_mut() {
            // P-521 has one bit in its first byte; all others have eight.
            *first &= u8::try_from(0xff_u32 >> ((8 - curve.bits() % 8) % 8)).unwrap_or(u8::MAX);
        }
        match EcPrivateKey::new(curve, &scalar) {
            Err(CryptoError::AttributeValueInvalid) => {}
            made => return made,
        }
    }
}

/// An RSA key of two primes of the stream.
pub(super) fn rsa(bits: u32, exponent: &[u8]) -> Result<RsaKey> {
    let bytes = usize::try_from(bits / 16).map_err(|_wide| CryptoError::KeySizeRange)?;
    let candidate = || -> Result<Zeroizing<Vec<u8>>> {
        let mut prime = Zeroizing::new(vec![0; bytes]);
        random::fill(&mut prime)?;
        if let [first, .., last] = prime.as_mut_slice() {
            // The product of two such has all its bits.
            *first |= 0xc0;
            *last |= 1;
        }
        Ok(prime)
    };
    let prime = || -> Result<Zeroizing<Vec<u8>>> {
        loop {
            let candidate = candidate()?;
            if RsaKey::is_prime_for(&candidate, exponent)? {
                return Ok(candidate);
            }
        }
    };
    RsaKey::from_primes(&prime()?, &prime()?, exponent)
}

/// The private value of a Diffie-Hellman pair, of so many bits.
pub(super) fn dh_value(bits: u32) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = usize::try_from(bits.div_ceil(8)).map_err(|_wide| CryptoError::KeySizeRange)?;
    let mut value = Zeroizing::new(vec![0; bytes]);
    random::fill(&mut value)?;
    let top = (bits - 1) % 8;
    if let Some(first) = value.first_mut() {
        *first = *first & ((1 << top) - 1) | 1 << top;
    }
    Ok(value)
}
