//! A simulated HSM.

pub mod crypto;
