//! `hearth backup`: the whole house as one file. Asks a running hub for it, or reads the store itself where no hub runs; looks through
//! what it has got as a restore would before it gives it its name.
#![expect(clippy::disallowed_methods, reason = "a backup says when it was made")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::json;

use crate::app;
use crate::backup::{self, Opened, Wanted};
use crate::cli::ConfigArg;
use crate::cli::hub::{HubArgs, read_password};
use crate::common::config::Loaded;
use crate::common::files::sync_folder_of;
use crate::common::time::{UnixMillis, whole_ms};
use crate::store::{OpenError, Store};

/// Bytes that are written at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where the service's keys lie (`hearth.service`), for root alone.
const CREDSTORE: &str = "/etc/credstore";

/// The longest file with a passphrase that is read, bytes.
const PASSPHRASE_FILE_BYTES_MAX: u64 = 4096;

#[derive(clap::Args)]
pub struct Args {
    /// The file, such as `house.tar`. One that is there already is replaced when the new one is whole.
    file: PathBuf,
    /// The API keys and sign-ins of the hub go along, sealed under a passphrase that is asked for.
    #[arg(long)]
    with_keys: bool,
    #[command(flatten)]
    passphrase: PassphraseArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    hub: HubArgs,
}

/// Where the passphrase of keys in a backup comes from.
#[derive(clap::Args)]
pub struct PassphraseArg {
    /// The passphrase is the first line of this file, or of the standard input (`-`).
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArg {
    pub fn is_given(&self) -> bool {
        self.passphrase_file.is_some()
    }

    /// Reads it; asks at the terminal, twice where it is a new one.
    pub fn read(&self, is_new: bool) -> anyhow::Result<String> {
        let line = match &self.passphrase_file {
            None => {
                let first = read_password("Passphrase for the keys")?;
                if is_new && io::stdin().is_terminal() && read_password("The same again")? != first {
                    bail!("these were two different passphrases");
                }
                return Ok(first);
            }
            Some(path) if path.as_os_str() == "-" => first_line(io::stdin().lock(), path)?,
            Some(path) => first_line(File::open(path).with_context(|| path.display().to_string())?, path)?,
        };
        Ok(line)
    }
}

fn first_line(from: impl Read, path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    from.take(PASSPHRASE_FILE_BYTES_MAX).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let passphrase = args.with_keys.then(|| args.passphrase.read(true)).transpose()?;
    if let Some(passphrase) = &passphrase {
        backup::check_passphrase(passphrase)?;
    }
    let unfinished = beside(&args.file, "unfinished")?;
    let made = fetch(&args, passphrase, &unfinished).and_then(|()| {
        let scratch = beside(&args.file, "trial")?;
        let opened = backup::open(&unfinished, &scratch);
        let _ = fs::remove_file(&scratch);
        let opened = opened.context("the backup was made, and a trial restore of it failed")?;
        fs::rename(&unfinished, &args.file)?;
        sync_folder_of(&args.file)?;
        Ok(opened)
    });
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    let opened = made.with_context(|| format!("there is no {}", args.file.display()))?;
    let bytes = fs::metadata(&args.file)?.len();
    if args.json {
        println!("{}", json!({ "file": args.file, "bytes": bytes, "manifest": opened.manifest }));
    } else {
        println!("{}", told(&args.file, bytes, &opened));
    }
    Ok(ExitCode::SUCCESS)
}

fn told(file: &Path, bytes: u64, opened: &Opened) -> String {
    let keys = match opened.keys {
        Some(_) => "The keys in it are sealed: without the passphrase nobody can read them, you neither.",
        None => "API keys and sign-ins are not in it (--with-keys).",
    };
    let network = match opened.zigbee {
        Some(_) => {
            "\nIt holds the Zigbee network and its key: whoever has the file can join the network and listen. Keep it safe."
        }
        None => "",
    };
    format!(
        "{} holds the house: {} records, {} kB, looked through by a trial restore.\n{keys}{network}",
        file.display(),
        opened.contents.records,
        bytes.div_ceil(1000)
    )
}

/// The backup at `path`, whole and on the disk.
fn fetch(args: &Args, passphrase: Option<String>, path: &Path) -> anyhow::Result<()> {
    // A configuration that is wrong is no reason not to ask a hub that runs.
    let loaded = args.config.load_installed();
    let opened = match &loaded {
        Ok(loaded) if loaded.config.store.path.exists() => Some((loaded, Store::open(&loaded.config.store.path))),
        _ => None,
    };
    match opened {
        Some((loaded, Ok(store))) => from_store(store, loaded, passphrase, path),
        None | Some((_, Err(OpenError::Locked { .. } | OpenError::Permission { .. }))) => {
            let body = passphrase.map(|passphrase| json!({ "passphrase": passphrase }));
            let (length, mut from) = args.hub.hub()?.download("/api/v1/backup", body.as_ref())?;
            write(&mut from, length, path)
        }
        Some((_, Err(error))) => Err(error.into()),
    }
}

fn from_store(store: Store, loaded: &Loaded, passphrase: Option<String>, path: &Path) -> anyhow::Result<()> {
    app::runtime()?.block_on(async {
        let wanted = Wanted {
            config: &loaded.config,
            config_file: loaded.file.as_deref(),
            env: &of_the_service,
            passphrase,
            hearth: env!("CARGO_PKG_VERSION"),
            now_ms: unix_now(),
        };
        let mut backup = backup::take(&store, wanted).await?;
        store.close().await;
        let length = backup.length();
        write(&mut backup, Some(length), path)
    })
}

/// A variable, or the key of that name that the service would get.
fn of_the_service(name: &str) -> Option<String> {
    std::env::var(name).ok().or_else(|| {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let path = Path::new(CREDSTORE).join(format!("hearth.{}", name.to_ascii_lowercase()));
        is_name.then(|| fs::read_to_string(path).ok()).flatten()
    })
}

fn write(from: &mut impl Read, length: Option<u64>, path: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut written, mut shown, mut chunk) = (0_u64, 0, vec![0; CHUNK_BYTES]);
    let is_watched = io::stderr().is_terminal();
    loop {
        let read = from.read(&mut chunk).context("the backup broke off")?;
        if read == 0 {
            break;
        }
        file.write_all(&chunk[..read])?;
        written += read as u64;
        let mb = written / 1_000_000;
        if is_watched && mb > shown {
            shown = mb;
            let all = length.map_or("?".into(), |length| length.div_ceil(1_000_000).to_string());
            eprint!("\r{mb} of {all} MB");
        }
    }
    if shown > 0 {
        eprint!("\r\x1b[K");
    }
    if length.is_some_and(|length| length != written) {
        bail!("the backup broke off after {written} bytes");
    }
    Ok(file.sync_all()?)
}

/// A file that is not finished, beside the one that it is to be.
pub fn beside(path: &Path, what: &str) -> anyhow::Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
    Ok(path.with_file_name(format!(".{}.{what}", name.to_string_lossy())))
}

pub fn unix_now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}
