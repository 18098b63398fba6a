//! A simulated HSM.
