//! Any messages from the air to the network. Checks are in the library of this crate, where tests run them too.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hearth_fuzz::network(input));
