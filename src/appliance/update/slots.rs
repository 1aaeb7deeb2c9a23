//! Which of the two systems on a card starts: a record in the gap before the first partition, where no file system can lose it.
//! It is there twice, and written in turn, so that a write that is torn leaves the one before. The initramfs reads and writes the
//! same (`image/files/etc/initramfs-tools/scripts/local-premount/hearth-slot`), in shell. Knows nothing of what is in a slot.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::version::Version;
use crate::common::hex::hex;

/// Bytes of a record: a sector, which a card writes whole or not at all.
pub const RECORD_BYTES: usize = 512;

/// Where on the disk the two are, bytes. Erase blocks of cards are up to 4 MiB; that of both may be the same.
pub const PLACES: [u64; 2] = [1024 * 1024, 2 * 1024 * 1024];

/// Bytes of the text, filled up with line feeds; what follows is `sha256=`, 64 digits and a line feed.
const TEXT_BYTES: usize = RECORD_BYTES - 72;

const FIRST_LINE: &str = "hearth-slots 1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    A,
    B,
}

/// A slot that was written and is not known to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    pub slot: Slot,
    /// Starts that it still has; counted down before each. 0: it had them all, and the good slot starts.
    pub tries: u8,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The higher one counts.
    pub sequence: u64,
    pub good: Slot,
    pub trial: Option<Trial>,
    /// Nothing older is ever installed.
    pub floor: Version,
}

impl Slot {
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// Its letter: the folder of its boot files, and its name in the record.
    pub fn letter(self) -> char {
        match self {
            Slot::A => 'a',
            Slot::B => 'b',
        }
    }

    pub fn parse(word: &str) -> Option<Slot> {
        match word {
            "a" => Some(Slot::A),
            "b" => Some(Slot::B),
            _ => None,
        }
    }

    /// Of its root, from 1.
    pub fn partition(self) -> usize {
        match self {
            Slot::A => 2,
            Slot::B => 3,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(self.letter())
    }
}

impl Record {
    /// That of a card on which nothing was ever updated.
    pub fn first(good: Slot) -> Record {
        Record { sequence: 0, good, trial: None, floor: Version::default() }
    }

    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let (trial, tries) = self.trial.map_or(('-', 0), |trial| (trial.slot.letter(), trial.tries));
        let mut text = format!(
            "{FIRST_LINE}\nsequence={}\ngood={}\ntrial={trial}\ntries={tries}\nfloor={}\n",
            self.sequence, self.good, self.floor
        );
        assert!(text.len() <= TEXT_BYTES, "every field is bounded");
        text.extend(std::iter::repeat_n('\n', TEXT_BYTES - text.len()));
        let sum = hex(&Sha256::digest(&text));
        let _ = writeln!(text, "sha256={sum}");
        text.into_bytes().try_into().expect("a sum is 64 digits")
    }

    /// None: there is no record, or it is torn.
    pub fn decode(bytes: &[u8]) -> Option<Record> {
        let (text, sum) = bytes.get(..RECORD_BYTES)?.split_at(TEXT_BYTES);
        let sum = std::str::from_utf8(sum).ok()?.strip_prefix("sha256=")?.strip_suffix('\n')?;
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        if sum != hex(&Sha256::digest(text)) || lines.next() != Some(FIRST_LINE) {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=');
        let sequence = field("sequence")?.parse().ok()?;
        let good = Slot::parse(field("good")?)?;
        let (trial, tries) = (field("trial")?, field("tries")?.parse().ok()?);
        let trial = match trial {
            "-" => None,
            letter => Some(Trial { slot: Slot::parse(letter)?, tries }),
        };
        let floor = field("floor")?.parse().ok()?;
        Some(Record { sequence, good, trial, floor })
    }
}

/// The newest record of a disk; none where there is none that is whole.
pub fn read(disk: &Path) -> io::Result<Option<Record>> {
    Ok(both(&File::open(disk)?)?.into_iter().flatten().max_by_key(|record| record.sequence))
}

/// Writes a record over the older of the two, as the newest, and reads it back. It is on the disk when this returns.
pub fn write(disk: &Path, record: &Record) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(disk)?;
    let sequence = both(&file)?.map(|record| record.map(|record| record.sequence));
    let at = usize::from(sequence[1] < sequence[0]);
    let next = sequence.into_iter().flatten().max().map_or(1, |newest| newest.saturating_add(1));
    let record = Record { sequence: next, ..record.clone() };
    file.write_all_at(&record.encode(), PLACES[at])?;
    file.sync_all()?;
    match both(&file)? {
        records if records[at].as_ref() == Some(&record) => Ok(()),
        _ => Err(io::Error::other("what was written as the record of the slots is not what is there now")),
    }
}

fn both(disk: &File) -> io::Result<[Option<Record>; 2]> {
    let mut records = [None, None];
    for (record, place) in records.iter_mut().zip(PLACES) {
        let mut bytes = [0; RECORD_BYTES];
        disk.read_exact_at(&mut bytes, place)?;
        *record = Record::decode(&bytes);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn disk() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 * 1024 * 1024).unwrap();
        file
    }

    fn armed() -> Record {
        let trial = Some(Trial { slot: Slot::B, tries: 2 });
        Record { sequence: 41, good: Slot::A, trial, floor: "0.1.0".parse().unwrap() }
    }

    #[test]
    fn a_record_is_text_that_a_shell_can_read() {
        let bytes = armed().encode();
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("hearth-slots 1\nsequence=41\ngood=a\ntrial=b\ntries=2\nfloor=0.1.0\n\n"), "{text}");
        assert_eq!(Record::decode(&bytes), Some(armed()));
    }

    #[test]
    fn the_newest_counts_and_the_older_one_is_written_over() {
        let disk = disk();
        assert_eq!(read(disk.path()).unwrap(), None);
        let mut places = Vec::new();
        for tries in 0..4 {
            let record = Record { trial: Some(Trial { slot: Slot::B, tries }), ..armed() };
            write(disk.path(), &record).unwrap();
            let found = read(disk.path()).unwrap().unwrap();
            assert_eq!(found, Record { sequence: u64::from(tries) + 1, ..record });
            let both = both(disk.as_file()).unwrap();
            places.push(both.iter().position(|one| one.as_ref() == Some(&found)).unwrap());
        }
        assert_eq!(places, [0, 1, 0, 1]);
    }

    #[test]
    fn a_torn_write_leaves_the_record_before() {
        // The last byte of every record is the same.
        for torn in 0..RECORD_BYTES - 1 {
            let disk = disk();
            write(disk.path(), &Record::first(Slot::A)).unwrap();
            write(disk.path(), &armed()).unwrap();
            // The next would have come here.
            let next = Record { sequence: 3, good: Slot::B, trial: None, floor: Version::default() }.encode();
            disk.as_file().write_all_at(&next[..torn], PLACES[0]).unwrap();
            let found = read(disk.path()).unwrap().unwrap();
            assert_eq!((found.sequence, found.trial), (2, armed().trial), "torn after {torn} bytes");
            write(disk.path(), &Record::first(Slot::A)).unwrap();
            assert_eq!(read(disk.path()).unwrap().unwrap().sequence, 3);
        }
    }

    #[test]
    fn a_disk_that_is_too_short_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(read(file.path()).is_err());
        assert!(write(file.path(), &armed()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sequence: u64, b: bool, tries in prop::option::of(0u8..), floor: [u32; 4]) {
            let good = if b { Slot::B } else { Slot::A };
            let floor = floor.map(|n| n.to_string()).join(".").parse().unwrap();
            let trial = tries.map(|tries| Trial { slot: good.other(), tries });
            let record = Record { sequence, good, trial, floor };
            prop_assert_eq!(Record::decode(&record.encode()), Some(record));
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(Record::decode(&bytes), None);
        }

        #[test]
        fn a_bit_that_fell_over_is_seen(at in 0..RECORD_BYTES, bit in 0..8u8) {
            let mut bytes = armed().encode();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Record::decode(&bytes), None);
        }
    }
}
