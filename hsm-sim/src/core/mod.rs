//! What a token is and does, in safe Rust: slots, sessions, log-in, objects and operations.
//!
//! The `abi` layer turns pointers into slices and comes here; the `store` keeps what lasts; `crypto` computes. A refusal
//! is an [`rv::Rv`] everywhere, because the standard gives every refusal its code and the tests ask for exactly that one.

pub(crate) mod attributes;
pub(crate) mod builtin;
pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod create;
pub(crate) mod derive;
pub(crate) mod find;
pub(crate) mod generate;
mod hash;
pub(crate) mod keys;
pub(crate) mod library;
pub(crate) mod login;
pub(crate) mod message_sign;
pub(crate) mod messages;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod operation;
pub(crate) mod permit;
pub(crate) mod recent;
pub(crate) mod rules;
pub(crate) mod rv;
pub(crate) mod session;
pub(crate) mod state;
pub(crate) mod token;
mod value;
pub(crate) mod wrap;
