//! The simulated HSM's module, carried inside of this program.
//!
//! `dev` must work from the one file that `cargo install` copies, so the module's bytes are part of it. They are written
//! once a process into memory that has a path; another copy would be another module with another state. `cargo check`
//! compiles against an empty stand-in (see `build.rs`), hence the test for the ELF magic.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    sync::OnceLock,
};

use rustix::{fs::MemfdFlags, io::Errno};

use super::problem::{Explain, Problem};
use crate::mem;

const MODULE: &[u8] = include_bytes!(env!("HSM_SIM_SO"));
const ELF: &[u8] = b"\x7FELF";

/// Where the module can be loaded from; the same path each time.
///
/// # Errors
///
/// When this program was built without it, or there is no place for it.
pub(super) fn module() -> Result<PathBuf, Problem> {
    static PLACE: OnceLock<Result<(Option<File>, PathBuf), String>> = OnceLock::new();
    if !MODULE.starts_with(ELF) {
        return Err(Problem::new(
            "PC-HSM-EMBEDDED",
            "this program was built without the simulator's module",
            "build it again with `cargo build`, or name another module with --module",
        ));
    }
    let place = PLACE.get_or_init(|| in_memory().or_else(|_refused| in_a_file()).map_err(|error| error.to_string()));
    let place = place.as_ref().map(|(_, path)| path.clone());
    place.explain("PC-HSM-EMBEDDED", "the simulator's module cannot be unpacked", "make the temporary folder writable")
}

/// Anonymous memory, which a library can be loaded from by its path under `/proc`. Kernels may forbid executable ones.
fn in_memory() -> io::Result<(Option<File>, PathBuf)> {
    let flags = MemfdFlags::CLOEXEC;
    let memory = match rustix::fs::memfd_create("portcullis-hsm-sim.so", flags | MemfdFlags::EXEC) {
        // Linux before 6.3 does not know the flag; there they are always executable.
        Err(Errno::INVAL) => rustix::fs::memfd_create("portcullis-hsm-sim.so", flags),
        made => made,
    }?;
    let mut file = File::from(memory);
    unpack(&mut file)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok((Some(file), path))
}

/// A file in a folder that only we may enter. It stays behind: the loader needs it as long as the process lives.
fn in_a_file() -> io::Result<(Option<File>, PathBuf)> {
    let folder = std::env::temp_dir().join(format!("portcullis-{}", uuid::Uuid::new_v4()));
    rustix::fs::mkdir(&folder, rustix::fs::Mode::RWXU)?;
    let path = folder.join("libhsm_sim.so");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
    unpack(&mut file)?;
    Ok((None, path))
}

/// Copies the module out of this program's file. Out of its memory would do, but then all of it stays resident.
fn unpack(to: &mut File) -> io::Result<()> {
    let copied = from_our_file().and_then(|mut from| io::copy(&mut from, to));
    if copied.is_ok_and(|count| count == MODULE.len() as u64) {
        return Ok(());
    }
    to.set_len(0)?;
    to.seek(SeekFrom::Start(0))?;
    to.write_all(MODULE)
}

/// The place of the module in the file that the kernel has mapped, at the address where its bytes stand.
fn from_our_file() -> io::Result<io::Take<File>> {
    let start = MODULE.as_ptr().addr();
    let end = start.saturating_add(MODULE.len());
    let place = mem::mappings()?.into_iter().find(|it| it.start <= start && end <= it.end);
    let place = place.ok_or(io::ErrorKind::NotFound)?;
    let mut file = File::open("/proc/self/exe")?;
    file.seek(SeekFrom::Start(place.offset + (start - place.start) as u64))?;
    Ok(file.take(MODULE.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_unpacked_once_and_whole() {
        let first = module().unwrap();
        assert_eq!(first, module().unwrap());
        assert_eq!(fs::read(first).unwrap(), MODULE);
    }

    #[test]
    fn the_module_stands_in_our_own_file() {
        let mut bytes = Vec::new();
        from_our_file().unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == MODULE);
    }

    #[test]
    fn the_file_is_the_same_bytes() {
        let (_, path) = in_a_file().unwrap();
        assert_eq!(fs::read(&path).unwrap(), MODULE);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
