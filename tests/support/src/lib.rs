//! Starts a whole gateway for a test, and talks to it as its clients do.
//!
//! A [`Gateway`] is the built program in a folder of its own: `dev` on free ports, with its own token, store, trail and
//! certificates. It can be killed and started again. [`Kmip`] and [`Rest`] are clients of its two protocols, [`token`] looks
//! at the simulated token behind its back. A test program gives the program's path: `env!("CARGO_BIN_EXE_portcullis")`.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the answer")]

mod backend;
mod folder;
mod gateway;
mod kmip;
mod rest;
pub mod token;

pub use backend::{is_foreign, is_unsupported, pin, profile, shape};
pub use folder::copy_folder;
pub use gateway::{Gateway, PATIENCE, killed_while_starting, refused};
pub use kmip::{Failure, Kmip, aes, create, key_of, material, text_of};
pub use rest::{Answer, Rest};
