//! What happens to the card before the hub starts: the owner's files are read, applied, and rid of their secrets. In this order, so
//! that a pulled plug at any moment leaves a secret on the card or in the hub's storage, or in both, and the next start goes on.
//! Asks nobody for the time and starts nothing.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::appliance::apply::{Applied, apply};
use crate::appliance::owner_file::FILE_NAME;
use crate::appliance::settings::{Machine, Settings};
use crate::appliance::{cloud_init, imager, owner_file};
use crate::common::config::Problem;
use crate::common::files::{beside, put, read, shred, sync};
use crate::common::hex::hex;

/// The longest file of the card that is read, bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// What was read last, and what was wrong with it. On the card's data, for root alone.
const SEEN: &str = "var/lib/hearth-setup/seen";
const PROBLEMS: &str = "var/lib/hearth-setup/problems";

/// Where the hub keeps what it knows, and the code of its first claim.
const STORE: &str = "var/lib/hearth/hearth.redb";
const CODE: &str = "var/lib/hearth/claim-code";

/// The owner's file as it was, until it is overwritten.
const OLD: &str = ".old";
/// The same without secrets, until it takes the other's place.
const CLEAN: &str = ".clean";

type Reader = fn(&str, &Machine<'_>) -> (Settings, Vec<Problem>);

/// Files of others, in the order in which they count. Each is read once and goes.
const OTHERS: [(&str, Reader); 4] = [
    (imager::CUSTOM_TOML, imager::custom_toml),
    (imager::FIRSTRUN, imager::firstrun),
    (cloud_init::USER_DATA, cloud_init::user_data),
    (cloud_init::NETWORK_CONFIG, cloud_init::network_config),
];

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// In words, without secrets.
    pub changes: Vec<String>,
    /// What the owner should mend, as it stands in the report.
    pub problems: Vec<String>,
    pub hostname: Option<String>,
    pub country: Option<String>,
}

/// Reads the card at `boot` into the system at `root`. `code` is one for the first claim, in case that this is the first start.
pub fn run(boot: &Path, root: &Path, code: &str) -> io::Result<Done> {
    finish(boot)?;
    let mut done = Done::default();
    if !root.join(STORE).exists() && !root.join(CODE).exists() {
        put(&root.join(CODE), format!("{code}\n").as_bytes(), 0o600)?;
        done.changes.push("a code for the first claim is made".into());
    }
    let has_zone = |name: &str| root.join("usr/share/zoneinfo").join(name).is_file();
    let machine = Machine { has_zone: &has_zone };
    let mut told = Vec::new();
    let own = taken(boot, FILE_NAME, &mut told);
    let others: Vec<_> = OTHERS
        .iter()
        .filter_map(|(name, reader)| Some((*name, reader(&taken(boot, name, &mut told)?, &machine))))
        .collect();
    let seen = read(&root.join(SEEN), BYTES_MAX)?.unwrap_or_default();
    if others.is_empty() && own.as_ref().is_some_and(|text| seen.trim() == digest(text)) {
        done.problems = problems(root);
        return Ok(done);
    }
    let mut settings = Settings::default();
    if let Some(text) = &own {
        let file = owner_file::read(text, &machine);
        told.extend(file.problems.iter().map(ToString::to_string));
        settings = file.settings;
    }
    for (name, (theirs, problems)) in &others {
        told.extend(problems.iter().map(ToString::to_string));
        settings = settings.or(theirs.clone());
        done.changes.push(format!("{name} was read"));
    }
    let Applied { changes, problems, has_idle_secret } = apply(root, &settings)?;
    done.changes.extend(changes);
    told.extend(problems.into_iter().map(|text| format!("{FILE_NAME}: {text}")));
    put(&root.join(PROBLEMS), told.join("\n\n").as_bytes(), 0o600)?;
    // From here on all is kept, and the card may lose it.
    for (name, _) in &others {
        shred(&boot.join(name))?;
    }
    if let Some(text) = own {
        let kept = if has_idle_secret { text } else { clean(boot, &text, &machine)? };
        put(&root.join(SEEN), format!("{}\n", digest(&kept)).as_bytes(), 0o600)?;
    }
    (done.problems, done.hostname, done.country) = (told, settings.hostname, settings.wifi.country);
    Ok(done)
}

/// What was wrong with the files of the card when they were read last.
pub fn problems(root: &Path) -> Vec<String> {
    let text = read(&root.join(PROBLEMS), BYTES_MAX).ok().flatten().unwrap_or_default();
    text.split("\n\n").filter(|problem| !problem.is_empty()).map(Into::into).collect()
}

/// A file's text, where it is there and can be read.
fn taken(boot: &Path, name: &str, told: &mut Vec<String>) -> Option<String> {
    match read(&boot.join(name), BYTES_MAX) {
        Ok(text) => text,
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::InvalidData => "it is no UTF-8: save it as plain text in UTF-8".into(),
                _ => error.to_string(),
            };
            told.push(format!("{name}: {why}"));
            None
        }
    }
}

/// Takes the secrets out of the owner's file: a clean one is written, the old one stepped aside, the clean one put in its place, and
/// then the old one's bytes are overwritten where they lie. [`finish`] goes on wherever that was cut off.
fn clean(boot: &Path, text: &str, machine: &Machine<'_>) -> io::Result<String> {
    let without = owner_file::without_secrets(text, machine);
    if without == text {
        return Ok(without);
    }
    let path = boot.join(FILE_NAME);
    put(&beside(&path, CLEAN), without.as_bytes(), 0o600)?;
    fs::rename(&path, beside(&path, OLD))?;
    sync(boot)?;
    finish(boot)?;
    Ok(without)
}

fn finish(boot: &Path) -> io::Result<()> {
    let path = boot.join(FILE_NAME);
    let (old, clean) = (beside(&path, OLD), beside(&path, CLEAN));
    if old.exists() && !path.exists() && clean.exists() {
        fs::rename(&clean, &path)?;
        sync(boot)?;
    }
    if path.exists() {
        shred(&old)?;
        shred(&clean)?;
    } else if old.exists() {
        // Somebody took the clean one away: what is left is all that there is.
        fs::rename(&old, &path)?;
        sync(boot)?;
    }
    Ok(())
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE_MADE: &str = "K7QM-2XWP";
    const OWN: &str =
        "hostname: kitchen\nwifi:\n  ssid: house\n  passphrase: hunter2hunter2\nkeys:\n  openai: sk-hunter2\n";
    const WIFI: &str = "etc/NetworkManager/system-connections/hearth-wifi.nmconnection";

    struct Card {
        folder: tempfile::TempDir,
    }

    impl Card {
        fn new(files: &[(&str, &str)]) -> Card {
            let card = Card { folder: tempfile::tempdir().unwrap() };
            fs::create_dir_all(card.path("root/usr/share/zoneinfo/Europe")).unwrap();
            fs::write(card.path("root/usr/share/zoneinfo/Europe/Paris"), "").unwrap();
            fs::create_dir(card.path("boot")).unwrap();
            files.iter().for_each(|(name, text)| card.write(name, text));
            card
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path("boot").join(name), text).unwrap();
        }

        fn run(&self) -> Done {
            run(&self.path("boot"), &self.path("root"), CODE_MADE).unwrap()
        }

        fn root(&self, name: &str) -> String {
            fs::read_to_string(self.path("root").join(name)).unwrap_or_default()
        }

        fn own(&self) -> String {
            fs::read_to_string(self.path("boot").join(FILE_NAME)).unwrap()
        }

        /// The names on the card.
        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(self.path("boot")).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_first_start_takes_everything_and_a_second_does_nothing() {
        let card = Card::new(&[(FILE_NAME, OWN)]);
        let done = card.run();
        assert_eq!((done.hostname.as_deref(), done.problems.len()), (Some("kitchen"), 0), "{done:?}");
        assert_eq!((card.root(CODE).trim(), card.root("etc/hostname").trim()), (CODE_MADE, "kitchen"));
        assert!(card.root(WIFI).contains("psk=hunter2hunter2"));
        assert_eq!(card.root("etc/credstore/hearth.openai_api_key"), "sk-hunter2\n");
        assert!(!card.own().contains("hunter2") && card.own().contains("ssid: house"), "{}", card.own());
        assert_eq!(card.names(), [FILE_NAME]);
        assert_eq!(card.run(), Done::default());
        // What somebody set on the hub itself is left alone until the file says something else.
        fs::write(card.path("root/etc/hostname"), "cellar\n").unwrap();
        assert_eq!(card.run(), Done::default());
        assert_eq!(card.root("etc/hostname"), "cellar\n");
        card.write(FILE_NAME, &card.own().replace("kitchen", "attic"));
        assert_eq!(card.run().hostname.as_deref(), Some("attic"));
        assert!(card.root(WIFI).contains("psk=hunter2hunter2"), "the passphrase stays with its network");
    }

    #[test]
    fn the_code_is_made_for_a_hub_that_was_never_there() {
        let card = Card::new(&[]);
        card.run();
        assert_eq!(card.root(CODE).trim(), CODE_MADE);
        run(&card.path("boot"), &card.path("root"), "BBBB-BBBB").unwrap();
        assert_eq!(card.root(CODE).trim(), CODE_MADE, "it stays until somebody owns the hub");
        fs::write(card.path("root").join(STORE), "").unwrap();
        fs::remove_file(card.path("root").join(CODE)).unwrap();
        card.run();
        assert_eq!(card.root(CODE), "");
    }

    #[test]
    fn others_files_are_honoured_and_go() {
        let card = Card::new(&[
            ("custom.toml", "[system]\nhostname = \"pi\"\n[locale]\ntimezone = \"Europe/Paris\"\n"),
            ("firstrun.sh", "/usr/lib/raspberrypi-sys-mods/imager_custom set_hostname other\n"),
            ("user-data", "hostname: third\nfoo: bar\n"),
            ("network-config", "wifis: {wlan0: {access-points: {cafe: {password: hunter2hunter2}}}}\n"),
            ("meta-data", "instance-id: x\n"),
            ("config.txt", "arm_64bit=1\n"),
        ]);
        let done = card.run();
        assert_eq!((card.root("etc/hostname").trim(), card.root("etc/timezone").trim()), ("pi", "Europe/Paris"));
        assert!(card.root(WIFI).contains("psk=hunter2hunter2"));
        assert_eq!(card.names(), ["config.txt", "meta-data"]);
        assert_eq!(done.problems, ["user-data:2: the hub has no use for `foo`"]);
        assert_eq!(problems(&card.path("root")), done.problems, "for the report");
        // The hub's own file goes before them.
        let card = Card::new(&[(FILE_NAME, OWN), ("custom.toml", "[system]\nhostname = \"pi\"\n")]);
        assert_eq!(card.run().hostname.as_deref(), Some("kitchen"));
    }

    #[test]
    fn what_is_bad_is_told_for_as_long_as_it_is() {
        let card = Card::new(&[(FILE_NAME, "hostname: a b\nlanguage: fr\nkeys: { openai: sk-hunter2 }\n")]);
        let done = card.run();
        assert!(done.problems.len() == 1 && done.problems[0].contains("hearth.yaml:1:11"), "{done:?}");
        assert_eq!(card.root("etc/hearth/card.env"), "HEARTH__HOUSE__LOCALE=fr\n");
        assert!(!card.own().contains("sk-"), "{}", card.own());
        assert_eq!(card.run().problems, done.problems);
        card.write(FILE_NAME, "hostname: ab\n");
        assert!(card.run().problems.is_empty() && problems(&card.path("root")).is_empty());
        // A secret that nobody can use stays with its owner.
        card.write(FILE_NAME, "wifi: { passphrase: hunter2hunter2 }\n");
        assert!(card.run().problems[0].contains("of which network") && card.own().contains("hunter2"));
        fs::write(card.path("boot").join(FILE_NAME), b"h\xff\xfeo\0").unwrap();
        assert!(card.run().problems[0].contains("UTF-8"));
    }

    #[test]
    fn a_pulled_plug_loses_no_setting_and_leaves_no_secret() {
        let clean_text = owner_file::without_secrets(OWN, &Machine { has_zone: &|_| true });
        let names = |path: &str| format!("{FILE_NAME}{path}");
        // Each state that the card goes through, with what the hub has by then.
        let states: [&[(&str, &str)]; 6] = [
            &[(FILE_NAME, OWN)],
            &[(FILE_NAME, OWN), (".clean.new", "wifi:")],
            &[(FILE_NAME, OWN), (".clean", &clean_text)],
            &[(".old", OWN), (".clean", &clean_text)],
            &[(".old", OWN), (FILE_NAME, &clean_text)],
            &[(".old", "      ter2hunter2\n"), (FILE_NAME, &clean_text)],
        ];
        for (at, state) in states.into_iter().enumerate() {
            let card = Card::new(&[]);
            // All is kept before the first step.
            apply(&card.path("root"), &owner_file::read(OWN, &Machine { has_zone: &|_| true }).settings).unwrap();
            for (name, text) in state {
                let name = if *name == FILE_NAME { FILE_NAME.to_owned() } else { names(name) };
                card.write(&name, text);
            }
            card.run();
            assert!(card.root(WIFI).contains("psk=hunter2hunter2"), "state {at}");
            assert_eq!(card.root("etc/credstore/hearth.openai_api_key"), "sk-hunter2\n", "state {at}");
            assert_eq!(card.own(), clean_text, "state {at}");
            let left: Vec<_> = card.names().into_iter().filter(|name| !name.ends_with(".clean.new")).collect();
            assert_eq!(left, [FILE_NAME], "state {at}");
        }
        let card = Card::new(&[(&names(".old"), OWN)]);
        card.run();
        assert_eq!(card.own(), clean_text);
    }

    #[test]
    fn a_disk_that_takes_nothing_leaves_the_card_as_it_is() {
        let card = Card::new(&[(FILE_NAME, OWN)]);
        // A file where a folder is wanted.
        fs::create_dir_all(card.path("root/etc")).unwrap();
        fs::write(card.path("root/etc/credstore"), "").unwrap();
        assert!(run(&card.path("boot"), &card.path("root"), CODE_MADE).is_err());
        assert_eq!(card.own(), OWN);
        fs::remove_file(card.path("root/etc/credstore")).unwrap();
        card.run();
        assert!(!card.own().contains("hunter2"));
    }
}
