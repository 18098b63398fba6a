//! Memory for keys: locked, so that it is not swapped out, left out of core dumps, and empty in a forked child.
//!
//! Pages are taken from the kernel in chunks and cut into pieces of a few sizes. Locking is limited for each process
//! (`RLIMIT_MEMLOCK`); what is beyond the limit is not locked and otherwise the same. Chunks stay mapped: pieces come back.

use std::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous};
use zeroize::{Zeroize, Zeroizing};

/// Bytes in memory for keys; wiped when they go. Bytes that are longer than any piece, and all when the kernel has no pages,
/// lie in ordinary memory.
pub struct Locked(Place);

enum Place {
    Piece { start: NonNull<u8>, bytes: usize, size: usize, pool: usize },
    Heap(Zeroizing<Vec<u8>>),
}

// SAFETY: a piece is plain memory that belongs to this value alone until it is dropped.
unsafe impl Send for Locked {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Locked {}

impl Locked {
    /// A copy of bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let Some((start, size, pool)) = take(bytes.len()) else {
            return Self(Place::Heap(Zeroizing::new(bytes.to_vec())));
        };
        let mut locked = Self(Place::Piece { start, bytes: bytes.len(), size, pool });
        locked.copy_from_slice(bytes);
        locked
    }
}

impl Deref for Locked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the piece is mapped for the life of the process, holds so many bytes, which were set when it was
            // taken, and is borrowed with `self`.
            Place::Piece { start, bytes, .. } => unsafe { std::slice::from_raw_parts(start.as_ptr(), *bytes) },
            Place::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            // SAFETY: as in `deref`, borrowed mutably with `self`.
            Place::Piece { start, bytes, .. } => unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), *bytes) },
            Place::Heap(bytes) => bytes,
        }
    }
}

impl Clone for Locked {
    fn clone(&self) -> Self {
        Self::new(self)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.zeroize();
        if let Place::Piece { start, size, pool, .. } = self.0
            && let (Some(pool), Some(class)) = (POOLS.get(pool), class_of(size))
        {
            pool.0.lock().give(class, Free(start));
        }
    }
}

impl std::fmt::Debug for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locked").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// Sizes of pieces: a symmetric key or a scalar, the halves of RSA keys, whole RSA numbers.
const SIZES: [usize; 3] = [64, 256, 1024];
const CHUNK_BYTES: usize = 32 << 10;

fn class_of(bytes: usize) -> Option<usize> {
    SIZES.iter().position(|size| bytes <= *size)
}

/// A piece that nobody holds.
struct Free(NonNull<u8>);

// SAFETY: a free piece belongs to whoever holds this value.
unsafe impl Send for Free {}

/// Free pieces by size. Several pools, so that threads seldom wait for each other.
struct Pool([Vec<Free>; SIZES.len()]);

#[repr(align(128))]
struct Guarded(Mutex<Pool>);

static POOLS: [Guarded; 8] = [const { Guarded(Mutex::new(Pool([const { Vec::new() }; SIZES.len()]))) }; 8];

impl Pool {
    fn give(&mut self, class: usize, piece: Free) {
        if let Some(free) = self.0.get_mut(class) {
            free.push(piece);
        }
    }

    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        let (free, size) = (self.0.get_mut(class)?, *SIZES.get(class)?);
        if free.is_empty() {
            let start = chunk()?;
            // SAFETY: every piece begins inside the chunk, which is not null.
            free.extend((0..CHUNK_BYTES / size).map(|place| Free(unsafe { start.add(place * size) })));
        }
        free.pop().map(|piece| piece.0)
    }
}

/// A free piece, its size and its pool.
fn take(bytes: usize) -> Option<(NonNull<u8>, usize, usize)> {
    let class = class_of(bytes)?;
    let (mut pool, place) = free_pool()?;
    Some((pool.take(class)?, *SIZES.get(class)?, place))
}

/// A pool that nobody is using, by preference this thread's. A child that was forked while another thread used one does not
/// wait for it for ever, unless all were in use.
fn free_pool() -> Option<(MutexGuard<'static, Pool>, usize)> {
    thread_local! {
        static OWN: usize = {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            NEXT.fetch_add(1, Ordering::Relaxed) % POOLS.len()
        };
    }
    let own = OWN.with(|own| *own);
    for place in (own..POOLS.len()).chain(0..own) {
        if let Some(pool) = POOLS.get(place)?.0.try_lock() {
            return Some((pool, place));
        }
    }
    Some((POOLS.get(own)?.0.lock(), own))
}

/// Pages of their own.
fn chunk() -> Option<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), CHUNK_BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    };
    let start = start.ok()?;
    // SAFETY: the range is the mapping above. A kernel or a limit that refuses leaves memory as good as any other.
    unsafe {
        for advice in [Advice::LinuxDontDump, Advice::LinuxWipeOnFork] {
            let _refused = madvise(start, CHUNK_BYTES, advice);
        }
        let _beyond_the_limit = mlock(start, CHUNK_BYTES);
    }
    NonNull::new(start.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the mapping in which an address lies.
    fn flags(address: usize) -> String {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_here = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().unwrap_or_default().split_once('-');
            let parse = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((start, end)) = range.and_then(|(start, end)| Some((parse(start)?, parse(end)?))) {
                is_here = (start..end).contains(&address);
            } else if is_here && let Some(flags) = line.strip_prefix("VmFlags:") {
                return format!("{flags} ");
            }
        }
        panic!("no mapping of {address:#x}")
    }

    #[test]
    fn keys_are_locked_and_in_no_dump() {
        let key = Locked::new(&[7; 32]);
        let flags = flags(key.as_ptr().addr());
        assert!(flags.contains(" dd ") && flags.contains(" wf "), "{flags}");
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
        if limit.is_none_or(|limit| limit >= 8 << 20) {
            assert!(flags.contains(" lo "), "{flags}");
        } else {
            println!("skipped, because this process may lock {limit:?} bytes only: whether keys are locked");
        }
    }

    #[test]
    fn pieces_come_back_wiped_and_never_to_two() {
        for bytes in [0, 1, 64, 65, 256, 1000, 1024, 1025, 5000] {
            let held: Vec<_> = (0..100_u8).map(|number| Locked::new(&vec![number; bytes])).collect();
            for (number, locked) in held.iter().enumerate() {
                assert!(locked.iter().all(|byte| usize::from(*byte) == number) && locked.len() == bytes);
                assert_eq!(&*locked.clone(), &**locked);
            }
        }
        let first = Locked::new(&[0xab; 64]);
        let place = first.as_ptr();
        drop(first);
        // SAFETY: pieces stay mapped, and no other thread of this test writes there while it is only read.
        assert_ne!(unsafe { std::ptr::read_volatile(place) }, 0xab);
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                scope.spawn(move || {
                    for _ in 0..2000 {
                        let (one, two) = (Locked::new(&[thread; 40]), Locked::new(&[thread + 100; 200]));
                        assert!(one.iter().all(|byte| *byte == thread) && two.iter().all(|byte| *byte == thread + 100));
                    }
                });
            }
        });
    }
}
