//! A bundle: what an update comes as. One tar file, so that anybody can look into it and it can be read as it comes: `manifest.json.minisig`,
//! `manifest.json`, and the members that it lists, in its order and no others. The signature is over the manifest, and the
//! manifest has the hash of each member: who has checked both has checked all. Writes nothing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::minisign::{self, PublicKey};
use super::version::Version;
use super::{UpdateError, io_at};
use crate::common::hex::hex;
use crate::common::ustar::{self, BLOCK};

/// What stands before the members, with the tar's own blocks: enough to know whether a bundle is wanted.
pub const HEAD_BYTES_MAX: usize = 80 * 1024;

/// The longest bundle, bytes; a system is a quarter of it.
pub const BUNDLE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

const SIGNATURE: &str = "manifest.json.minisig";
const MANIFEST: &str = "manifest.json";
const SIGNATURE_BYTES_MAX: u64 = 4 * 1024;
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// More boards than there are, and what each needs.
const MEMBERS_MAX: usize = 64;

/// All that is for the FAT, bytes: two of them and the firmware have to find place in 256 MiB.
pub const BOOT_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// The root, in a bundle of a system.
pub const ROOT: &str = "root.ext4.zst";

/// The folder of what is for the FAT.
pub const BOOT: &str = "boot/";

/// The program, in a bundle of the application alone.
pub const PROGRAM: &str = "hearth";

/// Without these nothing starts.
pub const CMDLINE: &str = "boot/cmdline.txt";
const BOOT_NEEDED: [&str; 3] = ["boot/kernel8.img", "boot/initrd.img", CMDLINE];

const READ_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A root and what starts it: the whole machine, with a restart.
    System,
    /// The hub's program alone.
    App,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this shape: 1. Another one is for newer hubs.
    pub format: u32,
    pub kind: Kind,
    /// As Rust has it: `aarch64`, `x86_64`.
    pub arch: String,
    pub version: Version,
    /// The oldest version that it can be put over.
    #[serde(default)]
    pub needs: Version,
    /// Once this update is good, nothing older than this is ever installed: what is known to be unsafe does not come back.
    #[serde(default)]
    pub floor: Version,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    /// What the root is when it is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<Unpacked>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpacked {
    pub bytes: u64,
    pub sha256: String,
}

/// A bundle whose signature is good.
#[derive(Debug)]
pub struct Bundle {
    pub manifest: Manifest,
    file: File,
    /// Where each member begins.
    at: Vec<u64>,
}

impl Bundle {
    /// Opens a bundle and checks its signature and its form; what the members hold is not looked at yet.
    pub fn open(file: File, keys: &[PublicKey]) -> Result<Bundle, UpdateError> {
        // Not its metadata: it may be a disk.
        let size = (&file).seek(SeekFrom::End(0)).map_err(io_at("the bundle"))?;
        if size > BUNDLE_BYTES_MAX {
            return Err(bad(format!("it has {size} bytes, which no bundle has")));
        }
        let mut head = vec![0; HEAD_BYTES_MAX.min(usize::try_from(size).unwrap_or(HEAD_BYTES_MAX))];
        file.read_exact_at(&mut head, 0).map_err(io_at("the bundle"))?;
        let Some((manifest, mut place)) = Manifest::of_head(&head, keys)? else {
            return Err(bad("it ends before its manifest does"));
        };
        let mut at = Vec::new();
        for member in &manifest.members {
            let mut block = [0; BLOCK];
            file.read_exact_at(&mut block, place).map_err(|_| bad(format!("it ends before {}", member.name)))?;
            let (name, bytes) = entry(&block)?;
            if name != member.name || bytes != member.bytes {
                return Err(bad(format!("{name} with {bytes} bytes is where its manifest has {}", member.name)));
            }
            at.push(place + BLOCK as u64);
            place += BLOCK as u64 + padded(bytes);
        }
        if place > size {
            return Err(bad("it ends before its last member does: it did not come whole"));
        }
        Ok(Bundle { manifest, file, at })
    }

    /// Reads every member and holds it against the manifest.
    pub fn verify(&self) -> Result<(), UpdateError> {
        for member in &self.manifest.members {
            let mut reading = self.read(&member.name).expect("it is one of them");
            io::copy(&mut reading, &mut io::sink()).map_err(io_at("the bundle"))?;
            reading.check()?;
        }
        Ok(())
    }

    pub fn member(&self, name: &str) -> Option<&Member> {
        self.manifest.members.iter().find(|member| member.name == name)
    }

    /// A member as it is in the file now. [`Reading::check`] says at the end whether that is what was signed.
    pub fn read(&self, name: &str) -> Option<Reading<'_>> {
        let index = self.manifest.members.iter().position(|member| member.name == name)?;
        let member = &self.manifest.members[index];
        Some(Reading { file: &self.file, at: self.at[index], left: member.bytes, member, hash: Sha256::new() })
    }
}

impl Manifest {
    /// The manifest of a bundle that begins with `head`, and where its first member's block is. None: there is more to come.
    pub fn of_head(head: &[u8], keys: &[PublicKey]) -> Result<Option<(Manifest, u64)>, UpdateError> {
        let Some((signature, next)) = small(head, 0, SIGNATURE, SIGNATURE_BYTES_MAX)? else { return Ok(None) };
        let Some((manifest, next)) = small(head, next, MANIFEST, MANIFEST_BYTES_MAX)? else { return Ok(None) };
        if keys.is_empty() {
            return Err(UpdateError::Machine(
                "this hub trusts no key, so no update can be trusted: put the public key of whoever makes them into \
                 /etc/hearth/update-keys/NAME.pub"
                    .into(),
            ));
        }
        let signature = std::str::from_utf8(signature).map_err(|_| bad(minisign::NotSigned::Form))?;
        minisign::check(keys, manifest, signature).map_err(bad)?;
        // Whoever signs is trusted to be right, and not to be careful: the form is checked all the same.
        let manifest: Manifest = serde_json::from_slice(manifest)
            .map_err(|error| bad(format!("its manifest is of another form ({error}); it may be for a newer hub")))?;
        manifest.examine()?;
        Ok(Some((manifest, next as u64)))
    }

    fn examine(&self) -> Result<(), UpdateError> {
        if self.format != 1 {
            return Err(bad(format!("it is of format {}, which is for newer hubs", self.format)));
        }
        if self.members.len() > MEMBERS_MAX {
            return Err(bad("it has too many members"));
        }
        let mut names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        for member in &self.members {
            let is_root = member.name == ROOT;
            let is_known = match self.kind {
                Kind::App => member.name == PROGRAM,
                Kind::System => is_root || member.name.strip_prefix(BOOT).is_some_and(is_plain),
            };
            if !is_known || member.unpacked.is_some() != is_root || member.bytes > BUNDLE_BYTES_MAX {
                return Err(bad(format!("its member `{}` is none that this hub knows", shown(&member.name))));
            }
        }
        let needed: &[&str] = match self.kind {
            Kind::App => &[PROGRAM],
            Kind::System => &[ROOT, BOOT_NEEDED[0], BOOT_NEEDED[1], BOOT_NEEDED[2]],
        };
        if let Some(missing) = needed.iter().find(|name| !names.contains(name)) {
            return Err(bad(format!("{missing} is missing in it")));
        }
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(bad("it has a member twice"));
        }
        let boot: u64 = self.members.iter().filter(|m| m.name.starts_with(BOOT)).map(|m| m.bytes).sum();
        if boot > BOOT_BYTES_MAX {
            return Err(bad(format!("what it has for the boot partition is {boot} bytes, {BOOT_BYTES_MAX} at most")));
        }
        Ok(())
    }
}

/// A member that is being read.
pub struct Reading<'a> {
    file: &'a File,
    at: u64,
    left: u64,
    member: &'a Member,
    hash: Sha256,
}

impl Reading<'_> {
    /// Whether what was read, all of it, is what was signed.
    pub fn check(self) -> Result<(), UpdateError> {
        match self.left == 0 && hex(&self.hash.finalize()) == self.member.sha256 {
            true => Ok(()),
            false => Err(bad(format!("its {} is not what was signed: get it again", self.member.name))),
        }
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(READ_BYTES).min(usize::try_from(self.left).unwrap_or(READ_BYTES));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if read == 0 && self.left > 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hash.update(&buffer[..read]);
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The entry of this name at this place of the head, which has to be short, and where the next one is. None: there is more to come.
fn small<'a>(head: &'a [u8], at: usize, name: &str, max: u64) -> Result<Option<(&'a [u8], usize)>, UpdateError> {
    let from = at + BLOCK;
    let Some(block) = head.get(at..from) else { return Ok(None) };
    let (found, bytes) = entry(block.try_into().expect("it is one block"))?;
    if found != name || bytes > max {
        return Err(bad(format!("{name} is not where it has to be")));
    }
    let (len, filled) =
        (usize::try_from(bytes).expect("it is short"), usize::try_from(padded(bytes)).expect("as well"));
    Ok(head.get(from..from + filled).map(|content| (&content[..len], from + filled)))
}

/// Name and size of a tar's entry, which is a plain file.
fn entry(block: &[u8; BLOCK]) -> Result<(String, u64), UpdateError> {
    match ustar::parse(block) {
        Ok(Some((name, bytes))) if bytes <= BUNDLE_BYTES_MAX => Ok((name, bytes)),
        _ => Err(bad("it is no tar file of plain files, so it is no bundle")),
    }
}

fn padded(bytes: u64) -> u64 {
    bytes + ustar::padding(bytes) as u64
}

/// A name on a FAT, without a folder: letters, digits, and what stands between them.
fn is_plain(name: &str) -> bool {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(is_fine) && !name.starts_with('.')
}

fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn bad(why: impl std::fmt::Display) -> UpdateError {
    UpdateError::Bundle(format!("the bundle is not good: {why}"))
}

#[cfg(test)]
pub mod testing {
    use std::io::Write;

    use super::super::minisign::testing::Signer;
    use super::*;

    /// A tar of these, as `tar --format=ustar` makes it.
    pub fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, content) in entries {
            tar.extend(ustar::header(name, content.len() as u64, 0));
            tar.extend(*content);
            tar.extend(vec![0; ustar::padding(content.len() as u64)]);
        }
        tar.extend(ustar::END);
        tar
    }

    /// A manifest of these members; `unpacked` is what the root is.
    pub fn manifest(kind: Kind, version: &str, members: &[(&str, &[u8])], unpacked: &[u8]) -> Manifest {
        let of = |(name, content): &(&str, &[u8])| Member {
            name: (*name).into(),
            bytes: content.len() as u64,
            sha256: hex(&Sha256::digest(content)),
            unpacked: (*name == ROOT)
                .then(|| Unpacked { bytes: unpacked.len() as u64, sha256: hex(&Sha256::digest(unpacked)) }),
        };
        Manifest {
            format: 1,
            kind,
            arch: std::env::consts::ARCH.into(),
            version: version.parse().unwrap(),
            needs: Version::default(),
            floor: Version::default(),
            members: members.iter().map(of).collect(),
        }
    }

    pub fn packed(signer: &Signer, manifest: &Manifest, members: &[(&str, &[u8])]) -> Vec<u8> {
        let text = serde_json::to_vec(manifest).unwrap();
        let signature = signer.sign(&text);
        let mut entries = vec![(SIGNATURE, signature.as_bytes()), (MANIFEST, text.as_slice())];
        entries.extend(members);
        tar(&entries)
    }

    pub fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::minisign::testing::Signer;
    use super::testing::{file, manifest, packed, tar};
    use super::*;

    const MEMBERS: [(&str, &[u8]); 5] = [
        ("boot/kernel8.img", b"a kernel"),
        ("boot/initrd.img", &[7; 1500]),
        (CMDLINE, b"ro\n"),
        ("boot/bcm2711-rpi-4-b.dtb", b""),
        (ROOT, &[9; 512]),
    ];

    fn open(bytes: &[u8]) -> Result<Bundle, UpdateError> {
        let bundle = Bundle::open(file(bytes), &[Signer::new(1).key()])?;
        bundle.verify()?;
        Ok(bundle)
    }

    fn why(bytes: &[u8]) -> String {
        open(bytes).expect_err("it is not good").to_string()
    }

    #[test]
    fn a_bundle_is_read_as_it_was_made() {
        let manifest = manifest(Kind::System, "1.2.3", &MEMBERS, b"root");
        let bundle = open(&packed(&Signer::new(1), &manifest, &MEMBERS)).unwrap();
        assert_eq!(bundle.manifest, manifest);
        for (name, content) in MEMBERS {
            let mut read = Vec::new();
            let mut reading = bundle.read(name).unwrap();
            reading.read_to_end(&mut read).unwrap();
            assert_eq!(read, content, "{name}");
            reading.check().unwrap();
        }
        assert!(bundle.read("boot/config.txt").is_none());
    }

    #[test]
    fn what_is_not_signed_by_one_who_is_trusted_is_refused() {
        let manifest = manifest(Kind::System, "1.2.3", &MEMBERS, b"root");
        let bytes = packed(&Signer::new(2), &manifest, &MEMBERS);
        assert!(why(&bytes).contains("0202020202020202"), "{}", why(&bytes));
        let no_key = Bundle::open(file(&bytes), &[]).unwrap_err().to_string();
        assert!(no_key.contains("update-keys"), "{no_key}");
    }

    #[test]
    fn every_byte_of_a_member_counts() {
        let manifest = manifest(Kind::System, "1.2.3", &MEMBERS, b"root");
        let good = packed(&Signer::new(1), &manifest, &MEMBERS);
        let ends = good.len() - 2 * BLOCK;
        for at in (0..ends).step_by(61) {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            // What is between two members, and the fields of a tar's block that nobody reads, may be anything, but the block has a sum.
            let is_padding = good[at] == 0 && open(&bytes).is_ok();
            assert!(is_padding || open(&bytes).is_err(), "byte {at}");
        }
        for cut in [0, 1, 511, 512, 2000, ends - 1] {
            assert!(open(&good[..cut]).is_err(), "cut after {cut}");
        }
        assert!(open(&good[..ends]).is_ok(), "the empty blocks at the end say nothing");
    }

    #[test]
    fn a_manifest_says_what_this_hub_knows_and_no_more() {
        type Entries<'a> = &'a [(&'a str, &'a [u8])];
        let cases: [(&str, Entries); 6] = [
            ("boot/../config.txt", &[("boot/../config.txt", b"x")]),
            ("etc/passwd", &[("etc/passwd", b"x")]),
            ("boot/.hidden", &[("boot/.hidden", b"x")]),
            ("boot/a/b", &[("boot/a/b", b"x")]),
            ("twice", &[MEMBERS[0]]),
            ("hearth", &[("hearth", b"x")]),
        ];
        for (what, more) in cases {
            let members = [&MEMBERS[..], more].concat();
            let manifest = manifest(Kind::System, "1", &members, b"root");
            let why = why(&packed(&Signer::new(1), &manifest, &members));
            assert!(why.contains(what), "{what}: {why}");
        }
        let manifest = manifest(Kind::System, "1", &MEMBERS[1..], b"root");
        assert!(why(&packed(&Signer::new(1), &manifest, &MEMBERS[1..])).contains("kernel8.img is missing"));
        let later = Manifest { format: 2, ..manifest.clone() };
        assert!(why(&packed(&Signer::new(1), &later, &MEMBERS[1..])).contains("newer hubs"));
    }

    #[test]
    fn members_that_are_not_in_the_manifest_are_not_there() {
        let app = [(PROGRAM, b"program".as_slice())];
        let manifest = manifest(Kind::App, "1", &app, b"");
        let swapped = packed(&Signer::new(1), &manifest, &[("boot/cmdline.txt", b"x"), app[0]]);
        assert!(why(&swapped).contains("is where its manifest has hearth"), "{}", why(&swapped));
        assert!(why(&tar(&app)).contains("manifest.json.minisig"));
        assert!(why(b"#!/bin/sh\n").contains("ends before"), "{}", why(b"#!/bin/sh\n"));
        assert!(why(&[b'x'; 4096]).contains("no tar file"));
    }

    #[test]
    fn a_head_says_whether_there_is_more_to_come() {
        let manifest = manifest(Kind::System, "1.2.3", &MEMBERS, b"root");
        let bytes = packed(&Signer::new(1), &manifest, &MEMBERS);
        let keys = [Signer::new(1).key()];
        let (_, first) = Manifest::of_head(&bytes, &keys).unwrap().unwrap();
        let first = usize::try_from(first).unwrap();
        assert_eq!(Manifest::of_head(&bytes[..first - 1], &keys).unwrap(), None);
        assert_eq!(Manifest::of_head(&bytes[..first], &keys).unwrap().unwrap().0, manifest);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), name: bool) {
            if name && bytes.len() > 100 { bytes[..22].copy_from_slice(b"manifest.json.minisig\0"); }
            prop_assert!(open(&bytes).is_err());
        }
    }
}
