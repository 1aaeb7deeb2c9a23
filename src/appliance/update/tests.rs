//! Updates of a card that is a folder and a file: written, armed, started by the initramfs's own script, judged, and cut off after
//! every step. What has to hold: one of the two systems starts, it is whole, and its data is what belongs to it.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::bundle::testing::{file, manifest, packed};
use super::bundle::{Bundle, Kind, Manifest, PROGRAM, ROOT};
use super::gate::Vitals;
use super::machine::Machine;
use super::minisign::testing::Signer;
use super::settle::{Settled, settle};
use super::slots::{Slot, Trial};
use super::trial::{self, Note};
use super::{Stage, UpdateError, app, card, install};

const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/image/files/etc/initramfs-tools/scripts/local-premount/hearth-slot");

/// Later than any version of this program.
const NEW: &str = "900.1.0";
const OLD_DATA: &str = "a house";
const NEW_DATA: &str = "a house, as the new one keeps it";
const BEFORE: Vitals = Vitals { radios_up: 1, devices: 3, available: 2 };

/// Of a root, bytes.
const ROOT_BYTES: usize = 128 * 1024;

struct Card {
    folder: tempfile::TempDir,
    signer: Signer,
    /// On these boards another kernel can only be started from one processor.
    needs_one_cpu: bool,
    /// The kernel that never comes up.
    broken: Option<Slot>,
}

/// What a root is: its version, and much of something.
fn root_of(version: &str) -> Vec<u8> {
    let mut root = format!("{version}\n").into_bytes();
    let filler = version.as_bytes().iter().cycle().scan(7u8, |state, b| {
        *state = state.wrapping_mul(31).wrapping_add(*b);
        Some(*state)
    });
    root.extend(filler.take(ROOT_BYTES - root.len()));
    root
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("zstd")
        .args(["-q", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need zstd (Debian: zstd)");
    let (mut stdin, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    let feeding = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let packed = child.wait_with_output().unwrap().stdout;
    feeding.join().unwrap();
    packed
}

impl Card {
    fn new() -> Card {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["boot/firmware/a", "run", "usr/lib/hearth", "var/lib/hearth", "etc/hearth/update-keys"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        let signer = Signer::new(3);
        fs::write(at("etc/hearth/update-keys/test.pub"), signer.key_text()).unwrap();
        fs::write(at("boot/firmware/config.txt"), "# where to start from: os_prefix=x/\nos_prefix=a/\narm_64bit=1\n")
            .unwrap();
        fs::write(at("boot/firmware/a/cmdline.txt"), "root=PARTUUID=48454152-02 ro nr_cpus=4 panic=10\n").unwrap();
        fs::write(at("boot/firmware/a/kernel8.img"), "old kernel").unwrap();
        fs::write(at("var/lib/hearth/hearth.redb"), OLD_DATA).unwrap();
        let card = Card { folder, signer, needs_one_cpu: true, broken: None };
        let disk = fs::File::create(card.disk()).unwrap();
        disk.set_len(8 * 1024 * 1024).unwrap();
        let mut mbr = [0u8; 512];
        mbr[440..444].copy_from_slice(&0x4845_4152u32.to_le_bytes());
        mbr[510..].copy_from_slice(&[0x55, 0xAA]);
        for number in 0..4u32 {
            let entry = 446 + 16 * number as usize;
            mbr[entry + 8..entry + 12].copy_from_slice(&(8192 + number * 512).to_le_bytes());
            mbr[entry + 12..entry + 16].copy_from_slice(&512u32.to_le_bytes());
        }
        disk.write_all_at(&mbr, 0).unwrap();
        disk.write_all_at(&root_of("0.0.9"), (8192 + 512) * 512).unwrap();
        card
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("var/lib/hearth/hearth.redb")
    }

    /// Starts the machine: the firmware, the initramfs's script, the root that it means. It has to be whole.
    fn boot(&self) -> Machine {
        for _ in 0..10 {
            let firmware = self.machine_of(Slot::A, None);
            let first = card::prefix(&firmware).expect("the firmware finds a folder");
            let output =
                Command::new("sh").args([SCRIPT, "decide"]).arg(self.disk()).arg(first.to_string()).output().unwrap();
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            let wanted = Slot::parse(String::from_utf8(output.stdout).unwrap().trim()).expect("a slot");
            let cmdline = fs::read_to_string(firmware.boot().join(first.to_string()).join("cmdline.txt")).unwrap();
            let is_refused = wanted != first && self.needs_one_cpu && !cmdline.contains("nr_cpus=1");
            let slot = if is_refused { first } else { wanted };
            if self.broken == Some(slot) {
                continue;
            }
            let kernel = fs::read_to_string(firmware.boot().join(slot.to_string()).join("kernel8.img")).unwrap();
            let version = self.version_in(slot);
            assert!(kernel == if version == "0.0.9" { "old kernel" } else { "new kernel" }, "{kernel} with {version}");
            fs::write(self.folder.path().join("usr/lib/hearth/version"), &version).unwrap();
            let refused = if is_refused { wanted.to_string() } else { String::new() };
            let note = format!("slot={slot}\ndisk={}\nrefused={refused}\n", self.disk().display());
            fs::write(self.folder.path().join("run/hearth-slot"), note).unwrap();
            return Machine::find(self.folder.path()).unwrap();
        }
        panic!("it starts again and again and never comes up");
    }

    fn machine_of(&self, running: Slot, refused: Option<Slot>) -> Machine {
        let refused = refused.map(|slot| slot.to_string()).unwrap_or_default();
        let note = format!("slot={running}\ndisk={}\nrefused={refused}\n", self.disk().display());
        fs::write(self.folder.path().join("run/hearth-slot"), note).unwrap();
        Machine::find(self.folder.path()).unwrap()
    }

    /// Of the root in this slot, every byte of which has to be right.
    fn version_in(&self, slot: Slot) -> String {
        let mut root = vec![0; ROOT_BYTES];
        let at = (8192 + (slot.partition() as u64 - 1) * 512) * 512;
        fs::File::open(self.disk()).unwrap().read_exact_at(&mut root, at).unwrap();
        let version = String::from_utf8(root.split(|b| *b == b'\n').next().unwrap().to_vec()).expect("a root");
        assert!(root == root_of(&version), "the root in {slot} is not whole");
        version
    }

    fn system(&self, version: &str) -> Bundle {
        self.bundle(Kind::System, version, |_| {})
    }

    fn bundle(&self, kind: Kind, version: &str, change: impl Fn(&mut Manifest)) -> Bundle {
        let root = root_of(version);
        let packed_root = zstd(&root);
        let members: Vec<(&str, &[u8])> = match kind {
            Kind::App => vec![(PROGRAM, b"program")],
            Kind::System => vec![
                ("boot/kernel8.img", b"new kernel"),
                ("boot/initrd.img", b"new initramfs"),
                ("boot/cmdline.txt", b"console=tty1 root=PARTUUID=x ro rootwait nr_cpus=4\n"),
                (ROOT, &packed_root),
            ],
        };
        let mut manifest = manifest(kind, version, &members, &root);
        change(&mut manifest);
        let bytes = packed(&self.signer, &manifest, &members);
        Bundle::open(file(&bytes), &self.machine_of(Slot::A, None).keys().unwrap()).unwrap()
    }

    fn update(&self, machine: &Machine, bundle: &Bundle, step: &mut super::Steps) -> Result<(), UpdateError> {
        install::write(machine, bundle, step)?;
        install::arm(machine, &bundle.manifest, BEFORE, &[self.data()], step)
    }

    /// The hub of the version that runs has written into its store.
    fn live(&self) {
        fs::write(self.data(), NEW_DATA).unwrap();
    }

    /// What has to hold when all is over: nothing on trial, and the machine starts what is good, on all processors.
    fn is_settled(&self) -> Slot {
        let machine = self.boot();
        assert_eq!(settle(&machine).unwrap(), Settled::Nothing);
        let record = machine.record().unwrap();
        assert_eq!((record.good, record.trial), (machine.running, None));
        assert_eq!(card::prefix(&machine).unwrap(), record.good);
        assert_eq!(Note::read(&machine), None);
        let cmdline = fs::read_to_string(machine.boot().join(record.good.to_string()).join("cmdline.txt")).unwrap();
        assert!(cmdline.contains("nr_cpus=4"), "{cmdline}");
        machine.running
    }
}

/// The power goes after `steps` of them.
fn cut(steps: usize) -> impl FnMut(Stage) -> Result<(), UpdateError> {
    let left = Cell::new(steps);
    move |_| match left.get() {
        0 => Err(UpdateError::Machine("the power is gone".into())),
        more => {
            left.set(more - 1);
            Ok(())
        }
    }
}

#[test]
fn a_good_update_is_kept() {
    let card = Card::new();
    let mut stages = Vec::new();
    let mut step = |stage| {
        stages.push(stage);
        Ok(())
    };
    let old = card.boot();
    card.update(&old, &card.system(NEW), &mut step).unwrap();
    let new = card.boot();
    assert_eq!((new.running, new.version().to_string()), (Slot::B, NEW.into()));
    assert_eq!(settle(&new).unwrap(), Settled::OnTrial(NEW.parse().unwrap()));
    card.live();
    let note = Note::read(&new).unwrap();
    assert_eq!(note.before, BEFORE);
    trial::keep(&new, &note, &mut step).unwrap();
    use Stage::*;
    assert_eq!(stages, [Verified, BootWritten, RootWritten, DataKept, Noted, CpusSet, Armed, Kept, FirmwareSet]);
    assert_eq!(card.is_settled(), Slot::B);
    assert_eq!(fs::read_to_string(card.data()).unwrap(), NEW_DATA);
    let cmdline = fs::read_to_string(new.boot().join("b/cmdline.txt")).unwrap();
    assert_eq!(cmdline, "root=PARTUUID=48454152-03 console=tty1 ro nr_cpus=4\n");
    // And back into the slot that is free now.
    let next = card.boot();
    card.update(&next, &card.system("900.2.0"), &mut |_| Ok(())).unwrap();
    let next = card.boot();
    assert_eq!((next.running, next.version().to_string()), (Slot::A, "900.2.0".into()));
}

#[test]
fn a_kernel_that_does_not_come_up_leads_back_to_the_old_one() {
    let mut card = Card::new();
    let old = card.boot();
    card.update(&old, &card.system(NEW), &mut |_| Ok(())).unwrap();
    card.broken = Some(Slot::B);
    let back = card.boot();
    assert_eq!((back.running, back.record().unwrap().trial), (Slot::A, Some(Trial { slot: Slot::B, tries: 0 })));
    let Settled::GoneBack { version, why } = settle(&back).unwrap() else { panic!("it has gone back") };
    assert_eq!((version.to_string(), why.contains("did not come up")), (NEW.into(), true), "{why}");
    assert_eq!(card.is_settled(), Slot::A);
    assert!(trial::failed(&back).contains_key(&NEW.parse().unwrap()));
}

#[test]
fn what_the_gate_refuses_goes_with_its_data() {
    let card = Card::new();
    card.update(&card.boot(), &card.system(NEW), &mut |_| Ok(())).unwrap();
    let new = card.boot();
    settle(&new).unwrap();
    card.live();
    trial::give_up(&new, &Note::read(&new).unwrap(), "0 of 1 radios are up").unwrap();
    let back = card.boot();
    let gone = Settled::GoneBack { version: NEW.parse().unwrap(), why: "0 of 1 radios are up".into() };
    assert_eq!(settle(&back).unwrap(), gone);
    assert_eq!(fs::read_to_string(card.data()).unwrap(), OLD_DATA);
    assert_eq!(card.is_settled(), Slot::A);
}

#[test]
fn a_plug_that_is_pulled_once_in_a_trial_is_no_failure() {
    let card = Card::new();
    card.update(&card.boot(), &card.system(NEW), &mut |_| Ok(())).unwrap();
    for running in [Slot::B, Slot::B, Slot::A] {
        let machine = card.boot();
        assert_eq!(machine.running, running);
        if running == Slot::B {
            settle(&machine).unwrap();
            card.live();
        }
    }
    let Settled::GoneBack { .. } = settle(&card.boot()).unwrap() else { panic!("it has gone back") };
    assert_eq!(fs::read_to_string(card.data()).unwrap(), OLD_DATA);
}

#[test]
fn a_board_that_starts_no_other_kernel_says_so() {
    let card = Card::new();
    let old = card.boot();
    fs::write(old.boot().join("a/cmdline.txt"), "root=PARTUUID=48454152-02 ro\n").unwrap();
    card.update(&old, &card.system(NEW), &mut |_| Ok(())).unwrap();
    let back = card.boot();
    assert_eq!((back.running, back.refused), (Slot::A, Some(Slot::B)));
    let Settled::GoneBack { why, .. } = settle(&back).unwrap() else { panic!("it has gone back") };
    assert!(why.contains("could not start another"), "{why}");
}

#[test]
fn the_power_may_go_after_every_step() {
    for steps in 0.. {
        let card = Card::new();
        let mut cut_off = cut(steps);
        let updated = card.update(&card.boot(), &card.system(NEW), &mut cut_off);
        let was_armed = updated.is_ok() || steps == 6;
        let machine = card.boot();
        assert_eq!(machine.running, if was_armed { Slot::B } else { Slot::A }, "cut after {steps}");
        match settle(&machine).unwrap() {
            Settled::Nothing => {
                assert!(!was_armed);
                assert_eq!(card.is_settled(), Slot::A);
                assert_eq!(fs::read_to_string(card.data()).unwrap(), OLD_DATA);
                // And the next attempt goes through.
                card.update(&card.boot(), &card.system(NEW), &mut |_| Ok(())).unwrap();
                assert_eq!(card.boot().running, Slot::B);
            }
            Settled::OnTrial(_) => {
                card.live();
                let kept = trial::keep(&machine, &Note::read(&machine).unwrap(), &mut cut_off);
                // Before it was noted as good it is judged once more; afterwards it is good.
                let again = card.boot();
                assert_eq!(again.running, Slot::B, "cut after {steps}");
                if let Settled::OnTrial(_) = settle(&again).unwrap() {
                    trial::keep(&again, &Note::read(&again).unwrap(), &mut |_| Ok(())).unwrap();
                }
                assert_eq!(card.is_settled(), Slot::B, "cut after {steps}");
                assert_eq!(fs::read_to_string(card.data()).unwrap(), NEW_DATA);
                if kept.is_ok() {
                    break;
                }
            }
            Settled::GoneBack { .. } => panic!("nothing was wrong with it"),
        }
        assert!(steps < 20, "it comes to an end");
    }
}

#[test]
fn a_program_alone_is_tried_and_kept() {
    let card = Card::new();
    let machine = card.boot();
    let link = machine.programs().join("current");
    let leads_to = || fs::read_link(&link).unwrap().to_str().unwrap().to_owned();
    settle(&machine).unwrap();
    assert_eq!(leads_to(), "/usr/bin");
    card.update(&machine, &card.bundle(Kind::App, NEW, |_| {}), &mut |_| Ok(())).unwrap();
    assert_eq!((leads_to(), fs::read(link.join("hearth")).unwrap()), (NEW.into(), b"program".to_vec()));
    trial::keep(&machine, &Note::read(&machine).unwrap(), &mut |_| Ok(())).unwrap();
    assert_eq!(app::version(&machine).to_string(), NEW);
    card.update(&machine, &card.bundle(Kind::App, "900.2.0", |_| {}), &mut |_| Ok(())).unwrap();
    card.live();
    trial::give_up_program(&machine, &Note::read(&machine).unwrap(), "it fell").unwrap();
    assert_eq!((leads_to(), fs::read_to_string(card.data()).unwrap()), (NEW.into(), OLD_DATA.into()));
    assert_eq!(settle(&card.boot()).unwrap(), Settled::Nothing);
    assert_eq!(leads_to(), NEW);
    app::forget(&machine).unwrap();
    assert_eq!(leads_to(), "/usr/bin");
}

#[test]
fn the_power_may_go_after_every_step_of_a_program() {
    for steps in 0..5 {
        let card = Card::new();
        let machine = card.boot();
        settle(&machine).unwrap();
        let updated = card.update(&machine, &card.bundle(Kind::App, NEW, |_| {}), &mut cut(steps));
        assert!(updated.is_err(), "there are more steps than {steps}");
        let link = machine.programs().join("current");
        let mut tries = 0;
        while let Settled::OnTrial(version) = settle(&card.boot()).unwrap() {
            assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(&*version.to_string()));
            card.live();
            tries += 1;
        }
        // Noted is tried; twice, and then it has gone back.
        assert_eq!(tries, if steps < 3 { 0 } else { trial::TRIES }, "cut after {steps}");
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("/usr/bin"));
        assert_eq!(fs::read_to_string(card.data()).unwrap(), OLD_DATA);
    }
}

#[test]
fn what_is_older_or_for_others_is_refused() {
    let card = Card::new();
    let machine = card.boot();
    let why = |bundle: &Bundle| install::write(&machine, bundle, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(why(&card.system("0.0.9")).contains("not newer"));
    assert!(why(&card.bundle(Kind::System, NEW, |m| m.arch = "vax".into())).contains("for vax"));
    assert!(
        why(&card.bundle(Kind::System, NEW, |m| m.needs = "1".parse().unwrap())).contains("put over 1.0.0 or later")
    );
    let mut record = machine.record().unwrap();
    record.floor = "900.2".parse().unwrap();
    machine.set_record(&record).unwrap();
    assert!(why(&card.system(NEW)).contains("oldest that is safe"));
    card.update(&machine, &card.system("900.2.1"), &mut |_| Ok(())).unwrap();
    assert!(why(&card.system("900.3")).contains("on trial"));
    assert_eq!(card.version_in(Slot::B), "900.2.1", "nothing was written");
}

#[test]
fn a_floor_holds_from_when_the_update_is_good() {
    let card = Card::new();
    let bundle = card.bundle(Kind::System, NEW, |m| m.floor = "900".parse().unwrap());
    card.update(&card.boot(), &bundle, &mut |_| Ok(())).unwrap();
    let new = card.boot();
    assert_eq!(new.record().unwrap().floor.to_string(), "0.0.0");
    trial::keep(&new, &Note::read(&new).unwrap(), &mut |_| Ok(())).unwrap();
    assert_eq!(new.record().unwrap().floor.to_string(), "900.0.0");
    card.boot();
    assert_eq!(new.record().unwrap().floor.to_string(), "900.0.0");
}

#[test]
fn a_root_that_is_not_what_was_signed_is_not_armed() {
    let card = Card::new();
    let machine = card.boot();
    let wrong = card.bundle(Kind::System, NEW, |manifest| {
        let root = manifest.members.iter_mut().find(|member| member.name == ROOT).unwrap();
        root.unpacked.as_mut().unwrap().sha256 = "0".repeat(64);
    });
    assert!(card.update(&machine, &wrong, &mut |_| Ok(())).is_err());
    let long = card.bundle(Kind::System, NEW, |manifest| {
        let root = manifest.members.iter_mut().find(|member| member.name == ROOT).unwrap();
        root.unpacked.as_mut().unwrap().bytes -= 1;
    });
    let why = card.update(&machine, &long, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(why.contains("longer than was signed"), "{why}");
    assert_eq!(settle(&card.boot()).unwrap(), Settled::Nothing);
    assert_eq!(card.is_settled(), Slot::A);
    assert!(!machine.boot().join("b/version").exists(), "there is nothing to go back to");
}
