//! Any bytes, cut anywhere, into the parser of the Wyoming protocol. Checks are in the library of this crate.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hearth_fuzz::wyoming(input));
