//! Keeping the process's memory to itself.
//!
//! Values live in zeroising types (`domain::value`); what remains is that the kernel would write them out: into a core
//! dump, or for a debugger of the same user. Both are switched off before the first secret is read.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Switches core dumps and attaching off for this process.
///
/// # Errors
///
/// The kernel's; the caller says so in the log and goes on, because some sandboxes forbid the calls and dumps alike.
pub fn harden() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
