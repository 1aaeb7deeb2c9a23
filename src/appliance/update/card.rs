//! What is written on a card for the other slot: its boot files and its root; and the two bytes by which the firmware is told which
//! folder to start from and how many processors the kernel may have. Each of those is one byte of one sector, written in
//! place: a FAT has no journal, so no name and no table of it is changed where it counts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::bundle::{BOOT, Bundle, CMDLINE, ROOT, Reading, Unpacked};
use super::machine::{Machine, partition, partuuid, put, small};
use super::slots::Slot;
use super::version::Version;
use super::{UpdateError, io_at};
use crate::common::hex::hex;

/// Of one write to the root, bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What unpacks a root; it is in the image for its initramfs as well.
const UNPACKER: &str = "zstd";

/// How much memory a root may ask for to be unpacked: a Zero 2 W has 512 MiB in all.
const UNPACKER_MEMORY: &str = "--memory=64MB";

/// How many processors a kernel starts with: all of a Raspberry Pi, or one. From one alone another kernel can be started on boards
/// where the others cannot be stopped again (all but the Pi 5: `enable-method = "spin-table"`).
const CPUS: &str = "nr_cpus=";
const ALL_CPUS: u8 = b'4';
const ONE_CPU: u8 = b'1';

/// The folder that the firmware starts from.
const PREFIX: &str = "os_prefix=";

/// Writes the boot files of a slot that does not run, with its own root in the kernel's command line.
pub fn write_boot(machine: &Machine, slot: Slot, bundle: &Bundle) -> Result<(), UpdateError> {
    let folder = machine.boot().join(slot.to_string());
    if !machine.boot().join("config.txt").is_file() {
        return Err(UpdateError::Machine(
            "the boot partition is not mounted at /boot/firmware: mount /boot/firmware".into(),
        ));
    }
    let disk = File::open(&machine.disk).map_err(io_at(machine.disk.display().to_string()))?;
    let root = partuuid(&disk, slot.partition()).map_err(io_at(machine.disk.display().to_string()))?;
    let write = || {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        for member in bundle.manifest.members.iter().filter(|member| member.name.starts_with(BOOT)) {
            let mut reading = bundle.read(&member.name).expect("it is one of them");
            let mut file = File::create(folder.join(&member.name[BOOT.len()..]))?;
            if member.name == CMDLINE {
                let mut words = String::new();
                reading.read_to_string(&mut words)?;
                file.write_all(cmdline(&words, &root).as_bytes())?;
            } else {
                io::copy(&mut reading, &mut file)?;
            }
            file.sync_all()?;
            if let Err(error) = reading.check() {
                return Ok(Err(error));
            }
        }
        File::open(&folder)?.sync_all()?;
        Ok(Ok(()))
    };
    write().map_err(io_at(folder.display().to_string()))?
}

/// A kernel's command line whose root is this partition. The initramfs waits for the root; a kernel that has none, and was told to wait as
/// well, would do so for ever and not come back.
fn cmdline(words: &str, root: &str) -> String {
    let others = words.split_whitespace().filter(|word| !word.starts_with("root=") && *word != "rootwait");
    let words: Vec<&str> = others.collect();
    format!("root=PARTUUID={root} {}\n", words.join(" "))
}

/// Says which version is in a slot, when all of it is: what has no version is nothing to go back to.
pub fn write_version(machine: &Machine, slot: Slot, version: Version) -> Result<(), UpdateError> {
    put(&machine.boot().join(slot.to_string()).join("version"), format!("{version}\n").as_bytes())
}

/// Unpacks the root into the partition of a slot that does not run, reads it back, and holds it against the manifest.
pub fn write_root(machine: &Machine, slot: Slot, bundle: &Bundle) -> Result<(), UpdateError> {
    let at_disk = || io_at(machine.disk.display().to_string());
    let disk = OpenOptions::new().read(true).write(true).open(&machine.disk).map_err(at_disk())?;
    let (at, bytes) = partition(&disk, slot.partition()).map_err(at_disk())?;
    let root = bundle.member(ROOT).and_then(|member| member.unpacked.as_ref()).expect("the manifest was examined");
    if root.bytes > bytes {
        return Err(UpdateError::Machine(format!(
            "the new root has {} bytes and its partition {bytes}: this card has to be written anew",
            root.bytes
        )));
    }
    let reading = bundle.read(ROOT).expect("the manifest was examined");
    unpack(reading, root, |chunk, offset| disk.write_all_at(chunk, at + offset))?;
    disk.sync_all().map_err(at_disk())?;
    // What is read back is to come from the card and not from memory.
    let _ = rustix::fs::fadvise(&disk, at, std::num::NonZeroU64::new(root.bytes), rustix::fs::Advice::DontNeed);
    let (mut hash, mut offset, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    while offset < root.bytes {
        let wanted = usize::try_from(root.bytes - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        disk.read_exact_at(&mut chunk[..wanted], at + offset).map_err(at_disk())?;
        hash.update(&chunk[..wanted]);
        offset += wanted as u64;
    }
    match hex(&hash.finalize()) == root.sha256 {
        true => Ok(()),
        false => Err(UpdateError::Machine("what was written to the card is not what is read from it: it fails".into())),
    }
}

/// Hands on what a member is when it is unpacked, and makes sure that it is what was signed, before and after.
fn unpack(
    mut packed: Reading<'_>,
    unpacked: &Unpacked,
    mut take: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> Result<(), UpdateError> {
    let at = || io_at(format!("unpacking the root with {UNPACKER}"));
    let mut child = Command::new(UNPACKER)
        .args(["-q", "-d", "-c", UNPACKER_MEMORY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(at())?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    let mut stdout = child.stdout.take().expect("it was asked for");
    let mut offset = 0;
    let (fed, taken) = std::thread::scope(|scope| {
        // Ends when all was read, or when the unpacker is gone: dropping its output ends it.
        let feeding = scope.spawn(|| {
            let fed = io::copy(&mut packed, &mut stdin);
            drop(stdin);
            fed
        });
        let taken = (|| {
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                let read = stdout.read(&mut chunk)?;
                if read == 0 {
                    return Ok(());
                }
                if offset + read as u64 > unpacked.bytes {
                    return Err(io::Error::other("it is longer than was signed"));
                }
                take(&chunk[..read], offset)?;
                offset += read as u64;
            }
        })();
        drop(stdout);
        (feeding.join().expect("copying does not panic"), taken)
    });
    let ended = child.wait().map_err(at())?;
    taken.map_err(at())?;
    fed.map_err(at())?;
    packed.check()?;
    match ended.success() && offset == unpacked.bytes {
        true => Ok(()),
        false => {
            Err(UpdateError::Bundle(format!("the root in the bundle cannot be unpacked ({ended}, {offset} bytes)")))
        }
    }
}

/// The slot that the firmware starts from.
pub fn prefix(machine: &Machine) -> Result<Slot, UpdateError> {
    let path = machine.boot().join("config.txt");
    let (text, at) = place(&path, PREFIX, |c| c == '\n')?;
    let unknown = || UpdateError::Machine(format!("{}: {PREFIX} is neither a/ nor b/", path.display()));
    text.get(at..at + 2).and_then(|folder| Slot::parse(folder.strip_suffix('/')?)).ok_or_else(unknown)
}

/// Has the firmware start from this slot: one byte.
pub fn set_prefix(machine: &Machine, slot: Slot) -> Result<(), UpdateError> {
    if prefix(machine)? == slot {
        return Ok(());
    }
    let path = machine.boot().join("config.txt");
    let (_, at) = place(&path, PREFIX, |c| c == '\n')?;
    set_byte(&path, at, u8::try_from(slot.letter()).expect("a letter"))
}

/// Says how many processors the kernel of this slot gets: one byte. Where its command line says nothing of them it is left alone.
pub fn set_cpus(machine: &Machine, slot: Slot, one: bool) -> Result<(), UpdateError> {
    let path = machine.boot().join(slot.to_string()).join("cmdline.txt");
    let Ok((text, at)) = place(&path, CPUS, char::is_whitespace) else { return Ok(()) };
    let wanted = if one { ONE_CPU } else { ALL_CPUS };
    match text.as_bytes().get(at) {
        Some(found) if [ONE_CPU, ALL_CPUS].contains(found) && *found != wanted => set_byte(&path, at, wanted),
        _ => Ok(()),
    }
}

/// The text of a file, and where in it the value of the word is that begins like this, at the start or behind a sign of that kind.
fn place(path: &Path, word: &str, behind: impl Fn(char) -> bool) -> Result<(String, usize), UpdateError> {
    let text = small(path).map_err(io_at(path.display().to_string()))?;
    let is_start = |at: &usize| text[..*at].chars().next_back().is_none_or(&behind);
    let Some(at) = text.match_indices(word).map(|(at, _)| at).find(is_start) else {
        return Err(UpdateError::Machine(format!("{} has no {word}", path.display())));
    };
    Ok((text, at + word.len()))
}

fn set_byte(path: &Path, at: usize, byte: u8) -> Result<(), UpdateError> {
    let write = || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[byte], at as u64)?;
        file.sync_all()
    };
    write().map_err(io_at(path.display().to_string()))
}
