//! Memory that was needed once is given back: after the start, and when the hub has grown. A start runs through all of the program for a moment
//! (tables, schemas, the command line), as does what is rare later (devices that come in); each page fault maps fifteen pages more, and what
//! was asked of the allocator for it lies about in its heap. All of that counts as the hub's memory for as long as it runs, which is months.
//!
//! Of the program's pages nothing is freed by it at once: the system keeps what it has read of the file, and a page that is used again is mapped
//! again, some hundred times a microsecond in all. What changes is that they belong to nobody, so that the system takes them first when it
//! is short. What the heap has free it gets at once.

use std::io;
use std::ops::Range;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

/// When everything has been read, told and asked that a start asks for: the store, the sources of devices, the servers.
const START: Duration = Duration::from_secs(5);

/// And when all that is done on a board that is slow, too.
const SLOW_START: Duration = Duration::from_secs(60);

/// Between two looks after that. What it costs to give back is a millisecond, once, of the next request.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// Growth since the last time that makes it worth while: more than what a busy hub takes of its program again.
const GROWN: usize = 3 * 1024 * 1024;

/// Gives it back for as long as it is let.
pub async fn keep_giving_back() {
    let mut small = 0;
    for pause in [START, SLOW_START].into_iter().chain(std::iter::repeat(LOOK_PERIOD)) {
        tokio::time::sleep(pause).await;
        if pause == LOOK_PERIOD && resident().is_ok_and(|bytes| bytes < small + GROWN) {
            continue;
        }
        match tokio::task::spawn_blocking(|| give_back().and_then(|bytes| Ok((bytes, resident()?)))).await {
            Ok(Ok((bytes, left))) => {
                small = left;
                tracing::debug!(kib = bytes / 1024, left_kib = left / 1024, "memory was given back");
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "pages of the program cannot be given back; they stay in memory");
                return;
            }
            // The panic hook has told it, or the runtime ends.
            Err(_) => return,
        }
    }
}

/// Bytes of this process that are in memory: the second number of proc_pid_statm(5), in pages.
fn resident() -> io::Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: Option<usize> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map(|pages| pages * rustix::param::page_size()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Free memory of the heap goes back to the system. Other C libraries than GNU's do so by themselves, or never.
fn trim_heap() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            /// malloc_trim(3).
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
}

/// How many bytes of the program's file need not be in memory any more.
fn give_back() -> io::Result<usize> {
    trim_heap();
    let program = std::fs::read_link("/proc/self/exe")?;
    let smaps = std::fs::read_to_string("/proc/self/smaps")?;
    let mut bytes = 0;
    for range in unchanged(&smaps, &program.to_string_lossy()) {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is a mapping of this program's own file, which nobody can write to and of which no page is another than the
        // file's: it is constants and code. A page of it that is used again is read from the file as it was, which cannot be
        // written while it runs (ETXTBSY).
        unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) }?;
        bytes += range.len();
    }
    Ok(bytes)
}

/// Where a file is mapped of which not a byte may be, or has been, changed. `smaps` as in proc_pid_smaps(5); what cannot be read
/// of it is left out.
fn unchanged(smaps: &str, file: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some(header) = Mapping::parse(line) {
            mapping = Some(header).filter(|mapping| mapping.path == file && mapping.is_constant);
        } else if let Some(anonymous) = line.strip_prefix("Anonymous:") {
            // What the loader has filled in, such as tables of addresses, is made read-only afterwards and would be lost.
            let is_file = anonymous.trim() == "0 kB";
            found.extend(mapping.take().filter(|_| is_file).map(|mapping| mapping.range));
        }
    }
    found
}

struct Mapping<'a> {
    range: Range<usize>,
    /// Can be read, cannot be written, is private.
    is_constant: bool,
    path: &'a str,
}

impl Mapping<'_> {
    /// `00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon`.
    fn parse(line: &str) -> Option<Mapping<'_>> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        let range = number(start)?..number(end)?;
        let mut fields = rest.splitn(5, ' ');
        let rights = fields.next()?;
        let is_constant = matches!(rights.as_bytes(), [b'r', b'-', _, b'p']) && !range.is_empty();
        Some(Mapping { range, is_constant, path: fields.nth(3).unwrap_or_default().trim_start() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0-55d8 r--p 00000000 fe:00 5373964                    /opt/my hub/hearth
Rss:                1904 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55d8-55f0 r-xp 00508000 fe:00 5373964                    /opt/my hub/hearth
Anonymous:             0 kB
55f0-55f8 r--p 0153a000 fe:00 5373964                    /opt/my hub/hearth
Anonymous:           624 kB
55f8-55fc rw-p 015d5000 fe:00 5373964                    /opt/my hub/hearth
Anonymous:             0 kB
6000-6100 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7000-7100 r--p 00000000 00:00 0
Anonymous:             0 kB
8000-8100 r-xp 00000000 fe:00 1                          /lib/libc.so.6
Anonymous:             0 kB
9000-9100 r--s 00000000 fe:00 5373964                    /opt/my hub/hearth
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_as_the_file_is_given_back() {
        assert_eq!(unchanged(SMAPS, "/opt/my hub/hearth"), [0x55d0..0x55d8, 0x55d8..0x55f0]);
        assert!(unchanged(SMAPS, "/opt/hearth").is_empty());
        for rubbish in ["", "a-b", "2-1 r--p 0 0 0 /x\nAnonymous: 0 kB", "1-2 r--p\nAnonymous: 0 kB", "Anonymous: 0 kB"]
        {
            assert!(unchanged(rubbish, "/x").is_empty(), "{rubbish}");
        }
    }

    /// The program that is given back is the one that does it.
    #[test]
    fn the_program_goes_on_without_its_pages() {
        let table = std::hint::black_box(&crate::zigbee::definitions::NOTICE);
        let before = table.len();
        assert!(give_back().expect("its own pages") > 1024 * 1024);
        assert_eq!(table.chars().map(char::len_utf8).sum::<usize>(), before);
    }

    #[test]
    fn what_is_in_memory_is_known() {
        let before = resident().expect("of this process");
        let room = std::hint::black_box(vec![1_u8; 64 * 1024 * 1024]);
        assert!(resident().expect("of this process") > before + room.len() / 2);
    }
}
