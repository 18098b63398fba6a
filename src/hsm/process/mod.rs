//! A module in a process of its own: a vendor library that crashes or hangs costs its calls a second try, not the gateway.
//!
//! The gateway starts its own program again with a hidden command. That process loads the module and does what `raw` does; the
//! gateway's side looks like `raw` from above. Each session has a socket pair and a thread there, so calls run in parallel.
//! When the process ends, or is ended because a call hangs, whatever was in it answers `CKR_CRYPTOKI_NOT_INITIALIZED`, whose
//! row of the error table says the rest: everything is void, initialise anew, log in anew, once more.

mod client;
mod guest;
mod host;
mod wire;

pub(super) use client::{Caller, Session};
pub use guest::serve;
pub(super) use host::Host;
pub(super) use wire::secret_bytes;

/// The message that hands a session's connection over, with its descriptor.
const LANE: u8 = b'L';
/// The message that hands the module's file over, where its path means nothing to another process.
const FILE: u8 = b'F';
