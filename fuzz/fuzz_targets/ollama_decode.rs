//! Any bytes, cut anywhere, into the decoder of Ollama's own chat. Checks are in the library of this crate.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hearth_fuzz::ollama_decode(input));
