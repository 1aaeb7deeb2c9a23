//! The inputs that fuzzing found worth keeping, replayed through the very functions that the fuzz targets call.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn sse() {
    replay("sse", fuzz::sse);
}

#[test]
fn openai_decode() {
    replay("openai_decode", fuzz::openai_decode);
}

#[test]
fn session() {
    replay("session", fuzz::session);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As often as a test may; the fuzzer has more patience.
    #[test]
    fn any_session(input in vec(any::<u8>(), 0..600)) {
        fuzz::session(&input);
    }
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut replayed = 0;
    for file in std::fs::read_dir(&folder).expect("every target has a corpus") {
        let path = file.expect("a folder can be read on").path();
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("a corpus file can be read"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
