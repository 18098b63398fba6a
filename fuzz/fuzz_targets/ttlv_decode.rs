//! Any bytes: decoding items never panics, and what it accepts is within the limits.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kmip_codec::fuzzing::decode(bytes));
