//! Any bytes, cut anywhere, into the decoder of the Responses API. Checks are in the library of this crate.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hearth_fuzz::responses_decode(input));
