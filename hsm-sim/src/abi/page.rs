//! A few pages of counters in a file, mapped shared by every process that uses it.
//!
//! The page holds hints and counts, never content: whoever damages it costs speed or a count, not an object. Access is by
//! atomic 64-bit words only, so the safe code above needs no lock for it.

use std::{
    fs::File,
    io,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags};

/// Words of a page.
pub(crate) const WORDS: usize = PAGE_BYTES / size_of::<AtomicU64>();
const PAGE_BYTES: usize = 16_384;

/// One shared page; unmapped on drop.
pub(crate) struct SharedPage {
    words: NonNull<[AtomicU64; WORDS]>,
}

// SAFETY: the page is plain memory of atomics, valid from any thread until it is unmapped in `drop`.
unsafe impl Send for SharedPage {}
// SAFETY: as above; all access is atomic.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps the first page of a file that is opened for reading and writing; grows a shorter file with zeroes.
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        let bytes = u64::try_from(PAGE_BYTES).map_err(io::Error::other)?;
        if file.metadata()?.len() < bytes {
            // With blocks of its own: writing to a mapped page that the disk has no room for would end the process.
            match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes)?,
                allocated => allocated?,
            }
        }
        // SAFETY: the address is chosen by the kernel and the length is one page, which the file covers.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        let words = NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mmap answered a null address"))?;
        Ok(Self { words })
    }

    /// The word at `index`; an index past the page answers the last word.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the mapping is one page of zero-initialised or atomically written words, page aligned, and lives as
        // long as `self`.
        let words = unsafe { self.words.as_ref() };
        let [.., last] = words;
        words.get(index).unwrap_or(last)
    }

    /// A relaxed load of one word.
    pub(crate) fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: `map` got exactly this range from mmap, and no reference into it outlives `self`. A refusal would
        // only leave the page mapped.
        let _still_mapped = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// A byte that the kernel clears in a forked child, so that the child is told apart by one load and no system call.
pub(crate) struct ForkMark {
    word: NonNull<AtomicU64>,
}

// SAFETY: one atomic word in a private mapping that is never unmapped.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    /// A cleared mark; the page stays mapped for the life of the process.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: an anonymous private mapping of one page at an address of the kernel's choice.
        let address = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        // SAFETY: the range is the page mapped above; MADV_WIPEONFORK changes what a child sees, nothing here.
        unsafe { rustix::mm::madvise(address, PAGE_BYTES, rustix::mm::Advice::LinuxWipeOnFork) }?;
        let word = NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mmap answered a null address"))?;
        Ok(Self { word })
    }

    /// The mark: 0 in a forked child until it is set again.
    pub(crate) fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped for the life of the process, aligned, and only accessed atomically.
        unsafe { self.word.as_ref() }
    }
}
