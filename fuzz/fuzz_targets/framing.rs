//! The first eight bytes of a message never ask for more than the limit.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kmip_codec::fuzzing::framing(bytes));
