//! A template that a C program hands to the simulated HSM.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hsm_sim::fuzzing::template(bytes));
