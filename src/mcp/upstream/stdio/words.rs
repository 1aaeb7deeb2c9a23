//! What a program says on its standard error: to the log, in bounds, and its last words for whoever asks why it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::program::Program;
use crate::common::rate::TokenBucket;
use crate::net::ndjson;

/// The longest line that is read, bytes. A longer one ends the reading of lines; the rest is thrown away.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How much of a line is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// Lines that reach the log: a burst, and one more each while. The others are counted.
const LOG_BURST: u32 = 20;
const LOG_REFILL: Duration = Duration::from_secs(1);

/// Reads to the end, so that the program never waits for a reader.
#[expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the bucket")]
pub(super) async fn keep(program: Arc<Program>, mut stderr: pipe::Receiver) {
    let mut buffer = vec![0; 4096];
    let mut lines = ndjson::Parser::new(LINE_BYTES_MAX);
    let mut log = TokenBucket::new(LOG_BURST, LOG_REFILL, std::time::Instant::now());
    let (mut swallowed, mut is_readable) = (0u64, true);
    while let Ok(len) = stderr.read(&mut buffer).await {
        if len == 0 {
            break;
        }
        let mut bytes = &buffer[..len];
        while is_readable {
            match lines.next(&mut bytes) {
                Ok(Some(line)) => {
                    let line = program.shown(&String::from_utf8_lossy(line), SHOWN_CHARS_MAX);
                    if log.take(std::time::Instant::now()) {
                        tracing::debug!(server = &*program.slug, swallowed, line, "an MCP server's program says");
                        swallowed = 0;
                    } else {
                        swallowed += 1;
                    }
                    program.remember(line);
                }
                Ok(None) => break,
                Err(_) => is_readable = false,
            }
        }
    }
    // Words that ended without a line's end are words too.
    let rest = program.shown(&String::from_utf8_lossy(lines.rest()), SHOWN_CHARS_MAX);
    if !rest.is_empty() {
        program.remember(rest);
    }
}
