//! JSON messages: never a panic, and what is accepted is the same in every encoding.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kmip_codec::fuzzing::text(kmip_codec::text::Encoding::Json, bytes));
