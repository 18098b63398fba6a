//! The audit trail: one CADF-shaped JSON line for each outcome, in a hash chain whose head an HSM key signs at intervals.
//!
//! [`FileSink`] is the sink; [`verify_files`] reads a trail again and says whether it is whole. Records carry identifiers,
//! enumerations and counts: no type here has a field that could take a value. Cutting lines off the end cannot be told from
//! a trail that ended there, except by a signed checkpoint that is kept elsewhere.

pub mod file;
pub mod record;
pub mod verify;

pub use file::{AuditOptions, FileSink, Signer};
pub use verify::{CheckpointKey, Report, verify_files};
