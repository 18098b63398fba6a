//! What decodes encodes again, and decodes to the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kmip_codec::fuzzing::decode_encode_decode(bytes));
