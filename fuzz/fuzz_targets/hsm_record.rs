//! An object's body as the simulated HSM's store gives it back.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hsm_sim::fuzzing::record(bytes));
