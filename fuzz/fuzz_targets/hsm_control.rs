//! A request of the simulated HSM's control protocol, or a fault plan.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hsm_sim::fuzzing::control(bytes));
