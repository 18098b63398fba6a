//! Keeping the process's memory to itself.
//!
//! Values live in zeroising types (`domain::value`); what remains is that the kernel would write them out: into a core
//! dump, or for a debugger of the same user. Both are switched off before the first secret is read.
//!
//! What else is memory of the process is mostly its own code, which the kernel maps page by page as it is used.

use std::{fs, io, ptr};

use rustix::mm::{Advice, madvise};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Switches core dumps and attaching off for this process.
///
/// # Errors
///
/// The kernel's; the caller says so in the log and goes on, because some sandboxes forbid the calls and dumps alike.
pub fn harden() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// A part of the address space that a file is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: usize,
    /// The address behind it.
    pub end: usize,
    /// Where it begins in its file.
    pub offset: u64,
    /// Whether it is private code: readable, executable, never written.
    is_code: bool,
}

impl Mapping {
    /// Reads a line of proc_pid_maps(5); `None` when no file is mapped.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (access, offset, _device, inode) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let address = |digits| usize::from_str_radix(digits, 16).ok();
        let mapping = Self {
            start: address(start)?,
            end: address(end)?,
            offset: u64::from_str_radix(offset, 16).ok()?,
            is_code: access == "r-xp",
        };
        (inode != "0" && mapping.start < mapping.end).then_some(mapping)
    }
}

/// The files that are mapped now.
///
/// # Errors
///
/// Where there is no `/proc`.
pub fn mappings() -> io::Result<Vec<Mapping>> {
    Ok(fs::read_to_string("/proc/self/maps")?.lines().filter_map(Mapping::parse).collect())
}

/// Lets the kernel take back the pages of this program's code that has run until now: most of it was the start's. What runs
/// again is mapped again, out of the kernel's cache of the file. Libraries are left alone: what a vendor's loader has written into
/// the code of a module would be lost.
///
/// # Errors
///
/// The kernel's; then the pages stay.
pub fn let_go_of_code() -> io::Result<()> {
    let here = let_go_of_code as fn() -> io::Result<()> as usize;
    for code in mappings()?.into_iter().filter(|it| it.is_code && it.start <= here && here < it.end) {
        // SAFETY: the range is whole pages of the private mapping of this program's own file that this function stands in. It can
        // be executed and not written, and the program is position-independent without relocations in its code, so no page
        // differs from the file, and what is read there next is what was there before.
        unsafe { madvise(ptr::without_provenance_mut(code.start), code.end - code.start, Advice::LinuxDontNeed)? };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_files_are_told_from_others() {
        let line = "7f0000002000-7f0000006000 r-xp 00001000 fe:00 42    /usr/bin/portcullis";
        let code = Mapping { start: 0x7F00_0000_2000, end: 0x7F00_0000_6000, offset: 0x1000, is_code: true };
        assert_eq!(Mapping::parse(line), Some(code));
        assert_eq!(Mapping::parse(&line.replace("r-xp", "r--p")), Some(Mapping { is_code: false, ..code }));
        for other in ["", "7f0000002000-7f0000006000 rw-p 00000000 00:00 0    [heap]", "x-y r-xp 0 fe:00 42"] {
            assert_eq!(Mapping::parse(other), None, "{other}");
        }
    }

    #[test]
    fn code_runs_on_after_it_was_let_go() {
        for _ in 0..3 {
            let_go_of_code().unwrap();
            let here = mappings_of_files_are_told_from_others as fn() as usize;
            assert!(mappings().unwrap().iter().any(|it| it.is_code && it.start <= here && here < it.end));
            mappings_of_files_are_told_from_others();
        }
    }
}
