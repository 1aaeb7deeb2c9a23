//! The providers' own libraries as judges: what they make of our fakes, a fake must be. `HEARTH_ORACLE_PYTHON` names a
//! Python that has them; without it the judging is skipped, and said to be.

mod anthropic;
mod gemini;
mod ollama;
mod openai;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// For one script.
const DEADLINE: Duration = Duration::from_secs(60);

/// The Python with the libraries; `None`, and a line about it, where there is none.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("HEARTH_ORACLE_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("skipped: HEARTH_ORACLE_PYTHON names no Python with the providers' libraries");
    }
    python
}

/// What a script of `.ci/peers/oracles` prints: one JSON document. What it complains of goes to the test's own stderr.
pub async fn run(python: &Path, script: &str, args: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/peers/oracles").join(script);
    let mut command = Command::new(python);
    let child = command.arg(&script).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut oracle = Oracle(child.expect("Python starts"));
    let mut pipe = oracle.0.stdout.take().expect("it was asked for");
    let reading = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        pipe.read_to_string(&mut said).map(|_| said)
    });
    let said = tokio::time::timeout(DEADLINE, reading).await.expect("an oracle speaks in time");
    let said = said.expect("nothing panics there").expect("an oracle speaks UTF-8");
    assert!(oracle.0.wait().expect("a child ends").success(), "{} failed", script.display());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{}: {error}: {said}", script.display()))
}

/// A process that ends with its test.
struct Oracle(Child);

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
