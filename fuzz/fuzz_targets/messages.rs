//! Whole messages through the typed layer.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kmip_codec::fuzzing::message(bytes));
