//! `hearth restore`: a backup, or a snapshot of the store, takes the place of what is here. Looks through all of it first and tries it
//! out; what was here before is kept. Where a hub runs it does nothing.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;

use crate::app::{self, keeping};
use crate::backup::{self, Keys, Manifest};
use crate::cli::ConfigArg;
use crate::cli::backup::{PassphraseArg, beside, unix_now};
use crate::common::config::{Config, Loaded};
use crate::common::files;
use crate::store::Store;
use crate::store::snapshots::{self, Contents};

/// How a file of redb begins (redb's design document, "Database header").
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

#[derive(clap::Args)]
pub struct Args {
    /// The backup; or one of the snapshots beside the store.
    file: PathBuf,
    /// Only look through it and say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Also where there is a house already. It is kept as a snapshot.
    #[arg(long)]
    force: bool,
    /// Put the keys of the backup into this folder, such as /etc/credstore, each as `hearth.NAME`; asks for their passphrase.
    #[arg(long, value_name = "FOLDER")]
    keys_to: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// What is to be put in place.
struct Source {
    /// Absent: it is a snapshot.
    manifest: Option<Manifest>,
    config: Option<Vec<u8>>,
    has_network: bool,
    keys: Option<Vec<u8>>,
    contents: Contents,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_installed()?;
    let store = &loaded.config.store.path;
    let scratch = beside(store, "restoring")?;
    let restored = restore(&args, &loaded, &scratch);
    let _ = fs::remove_file(&scratch);
    let lines = restored?;
    if !args.json {
        println!("{}", lines.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn restore(args: &Args, loaded: &Loaded, scratch: &Path) -> anyhow::Result<Vec<String>> {
    let store = &loaded.config.store.path;
    // First of all, that nobody waits for a long look and is refused then.
    let here = what_is_here(store, args.force || args.dry_run)?;
    let source = look_through(&args.file, scratch)?;
    let keys = open_keys(args, &source)?;
    if let Some(keys) = &keys {
        put_sign_ins(scratch, keys)?;
    }
    let made = source.manifest.as_ref().map_or("a snapshot".into(), |manifest| format!("of {}", manifest.made_at));
    let mut lines = vec![format!("{} ({made}) is whole: {} records.", args.file.display(), source.contents.records)];
    if source.contents.unreadable > 0 {
        let first = source.contents.first_unreadable.join("; ");
        lines.push(format!("{} records in it cannot be read: {first}", source.contents.unreadable));
    }
    if args.dry_run {
        lines.push(match here {
            Here::House => format!("There is a house in {} already: it would need --force.", store.display()),
            _ => format!("It would be put in {}. Nothing was done.", store.display()),
        });
        return finish(args, &source, lines, None);
    }
    let folder = keeping::folder(&loaded.config.store);
    let restored = snapshots::restore(scratch, store, &folder, unix_now())?;
    lines.push(format!("It is in {}.", store.display()));
    if let Some(before) = &restored.before {
        lines.push(format!("What was there before is kept: {}.", before.path.display()));
    }
    if let Some(aside) = &restored.aside {
        lines.push(format!("The file that was there did not open and is kept: {}.", aside.display()));
    }
    lines.extend(put_config(&source, loaded)?);
    match (&keys, &args.keys_to) {
        (Some(keys), Some(folder)) => lines.push(put_keys(keys, folder, &loaded.config)?),
        _ if source.keys.is_some() => lines.push("Its keys stay sealed: --keys-to FOLDER takes them out.".into()),
        _ => lines.push("There are no API keys in it: set them again (`hearth doctor` says which are missing).".into()),
    }
    if source.has_network {
        let network = "At the next start a stick that holds this Zigbee network goes on with it, and one that is blank gets it written: no \
                       device is paired again. A stick with another network is left alone.";
        lines.push(network.into());
    }
    lines.push("Start the hub.".into());
    finish(args, &source, lines, Some(&restored))
}

fn finish(
    args: &Args,
    source: &Source,
    lines: Vec<String>,
    restored: Option<&snapshots::Restored>,
) -> anyhow::Result<Vec<String>> {
    if args.json {
        let before = restored.and_then(|restored| restored.before.as_ref()).map(|kept| &kept.path);
        let aside = restored.and_then(|restored| restored.aside.as_ref());
        println!(
            "{}",
            json!({ "file": args.file, "restored": restored.is_some(), "manifest": source.manifest,
                "records": source.contents.records, "unreadable": source.contents.unreadable, "before": before, "aside": aside })
        );
    }
    Ok(lines)
}

enum Here {
    Nothing,
    /// Nobody has moved in, or the file does not open.
    Empty,
    House,
}

/// What is in the store's place. An error where a hub has it, and where there is a house and `is_forced` is not set.
fn what_is_here(store: &Path, is_forced: bool) -> anyhow::Result<Here> {
    let contents = match snapshots::look(store) {
        Ok(None) => return Ok(Here::Nothing),
        Ok(Some(contents)) => contents,
        Err(error) if error.is_damage() => return Ok(Here::Empty),
        Err(error) => return Err(error).context("nothing was done; stop the hub first (`systemctl stop hearth`)"),
    };
    match contents.of_the_house {
        0 => Ok(Here::Empty),
        _ if is_forced => Ok(Here::House),
        count => bail!(
            "there is a house in {} already ({count} users, devices, rooms, conversations and the like). With --force it is kept as a \
             snapshot, and the backup takes its place",
            store.display()
        ),
    }
}

/// All of it, with its store at `scratch`.
fn look_through(file: &Path, scratch: &Path) -> anyhow::Result<Source> {
    let mut magic = [0; REDB_MAGIC.len()];
    let begins = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    if begins.is_ok() && magic == REDB_MAGIC {
        let contents = snapshots::verify(file)?;
        let _ = fs::remove_file(scratch);
        fs::copy(file, scratch).with_context(|| scratch.display().to_string())?;
        return Ok(Source { manifest: None, config: None, has_network: contents.has_network, keys: None, contents });
    }
    let opened = backup::open(file, scratch)?;
    let backup::Opened { manifest, config, zigbee: _, keys, contents } = opened;
    Ok(Source { manifest: Some(manifest), config, has_network: contents.has_network, keys, contents })
}

/// The keys, where somebody wants them.
fn open_keys(args: &Args, source: &Source) -> anyhow::Result<Option<Keys>> {
    if args.keys_to.is_none() && !args.passphrase.is_given() {
        return Ok(None);
    }
    let sealed = source.keys.as_deref().context("there are no keys in this backup (`hearth backup --with-keys`)")?;
    Ok(Some(backup::unseal(sealed, &args.passphrase.read(false)?)?))
}

/// Sign-ins lie in the store; they were left out of its copy.
fn put_sign_ins(scratch: &Path, keys: &Keys) -> anyhow::Result<()> {
    app::runtime()?.block_on(async {
        let store = Store::open(scratch)?;
        for sign_in in keys.sign_ins.clone() {
            store.put(sign_in, None).await?;
        }
        store.close().await;
        anyhow::Ok(())
    })?;
    // What the store keeps beside itself for a full disk is of no use here.
    let _ = fs::remove_file(
        scratch.with_file_name(format!("{}.reserve", scratch.file_name().unwrap_or_default().to_string_lossy())),
    );
    Ok(())
}

/// The configuration goes where none is; another one stays, and the backup's lies beside it.
fn put_config(source: &Source, loaded: &Loaded) -> anyhow::Result<Option<String>> {
    let Some(bytes) = &source.config else { return Ok(None) };
    let (path, said) = match &loaded.file {
        Some(file) if fs::read(file).is_ok_and(|here| here == *bytes) => return Ok(None),
        Some(file) => {
            let mut name = file.clone().into_os_string();
            name.push(".restored");
            let path = PathBuf::from(name);
            let said = format!("{} stays as it is; the backup's is {}: compare them.", file.display(), path.display());
            (path, said)
        }
        None => (PathBuf::from("config.yaml"), "The backup's configuration is ./config.yaml.".into()),
    };
    put(&path, bytes)?;
    Ok(Some(said))
}

/// Each key as a credential that `hearth.service` loads.
fn put_keys(keys: &Keys, folder: &Path, config: &Config) -> anyhow::Result<String> {
    if !folder.is_dir() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| folder.display().to_string())?;
    }
    let mut names = Vec::new();
    for (name, key) in &keys.by_name {
        // It becomes the name of a file.
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            bail!("a key in the backup has a name that no variable has");
        }
        put(&folder.join(format!("hearth.{}", name.to_ascii_lowercase())), key.expose().as_bytes())?;
        names.push(name.as_str());
    }
    let (there, _) = backup::collect(config, |name| std::env::var(name).ok());
    let known = names.iter().filter(|name| there.contains_key(**name)).count();
    let said = format!("{} keys are in {}: {}.", names.len(), folder.display(), names.join(", "));
    Ok(if known > 0 { format!("{said} {known} of them are in the environment, too, which comes first.") } else { said })
}

/// For its owner alone.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    files::put(path, bytes, 0o600).map(drop).with_context(|| format!("cannot write {}", path.display()))
}
