//! A simulated HSM: a PKCS#11 module with a sealed token store that fails on command.
//!
//! Built as `libhsm_sim.so` it is loaded like any vendor's module; built as a library it offers [`admin`] to set tokens up
//! and [`fault::control`] to make them fail. It says plainly that it is software.

#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the C interface, shared pages and what a forked child sees")]
mod abi;
pub mod admin;
pub mod config;
mod core;
#[expect(unsafe_code, reason = "calls into the crypto library")]
pub mod crypto;
pub mod fault;
pub mod fuzzing;
mod profile;
mod store;
