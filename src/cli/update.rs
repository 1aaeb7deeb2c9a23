//! `hearth update`: brings a bundle onto a card, as root. What is done stands in `appliance::update`; here is the order of it, what is
//! said, and what is asked of systemd.

mod judge;
mod report;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, anyhow, bail};
use rustix::fs::FlockOperation;
use serde_json::json;

use crate::appliance::update::bundle::{Bundle, Kind, Manifest};
use crate::appliance::update::fetch::Download;
use crate::appliance::update::gate::{PULSE_FILE, Pulse};
use crate::appliance::update::machine::{Machine, small};
use crate::appliance::update::settle::{Settled, settle};
use crate::appliance::update::version::Version;
use crate::appliance::update::{Stage, UpdateError, app, install, trial};
use crate::cli::ConfigArg;
use crate::common::config::{Config, UpdateCheck};

/// The hub's unit.
const HUB: &str = "hearth.service";

/// The unit that judges.
const GATE: &str = "hearth-update-gate.service";

/// What the initramfs lays down for a trial that nobody judges.
const OVER: &str = "hearth-trial-over.timer";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// The bundle: a file, or an address that begins with http:// or https://.
    #[arg(value_name = "FILE|URL")]
    source: Option<String>,
    /// Verify it and say whether it would be installed; change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    what: Option<What>,
}

/// Which machine.
#[derive(clap::Args)]
struct Place {
    /// Print one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[arg(long, global = true, default_value = "/", hide = true)]
    root: PathBuf,
    /// [default: /etc/hearth/config.yaml]
    #[arg(long, short, global = true, value_name = "FILE", env = "HEARTH_CONFIG", hide = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Which slot runs, which version is in it, what is on trial, what failed.
    Status,
    /// Go back to the version before; the data stays as it is.
    Rollback,
    /// What the timer runs: look at `update.url`, if `update.check` says so.
    #[command(hide = true)]
    Scheduled,
    /// What is run at each start, before the hub.
    #[command(hide = true)]
    Settle,
    /// Judge what is on trial; ends with it kept or given up.
    #[command(hide = true)]
    Gate(judge::Args),
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { source, dry_run, place, what } = args;
    match (what, source) {
        (None, Some(source)) => update(&place, &source, dry_run),
        (None, None) => {
            bail!("which bundle? `hearth update FILE` or `hearth update URL`; see also `hearth update status`")
        }
        (Some(What::Status), _) => report::status(&place),
        (Some(What::Rollback), _) => rollback(&place),
        (Some(What::Scheduled), _) => scheduled(&place),
        (Some(What::Settle), _) => put_in_order(&place),
        (Some(What::Gate(args)), _) => judge::run(&place, &args),
    }
}

impl Place {
    fn machine(&self) -> Result<Machine, UpdateError> {
        Machine::find(&self.root)
    }

    fn config(&self) -> anyhow::Result<Config> {
        let file = self.config.clone().unwrap_or_else(|| self.config_file());
        Ok(ConfigArg { config: Some(file) }.load()?.config)
    }

    fn config_file(&self) -> PathBuf {
        self.root.join("etc/hearth/config.yaml")
    }

    /// Asks systemd. A machine in a folder has none.
    fn systemctl(&self, words: &[&str]) -> anyhow::Result<()> {
        if self.root != Path::new("/") {
            return Ok(());
        }
        let status = Command::new("systemctl").args(words).status().context("systemctl cannot be started")?;
        if status.success() { Ok(()) } else { bail!("systemctl {}: {status}", words.join(" ")) }
    }

    fn say(&self, text: impl std::fmt::Display) {
        if !self.json {
            println!("{text}");
        }
    }

    /// What the hub said last of itself; none where none runs.
    fn pulse(&self) -> Option<Pulse> {
        let text = small(&self.root.join("run/hearth-hub").join(PULSE_FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// What goes back with the old program.
    fn data(&self) -> anyhow::Result<Vec<PathBuf>> {
        let store = self.config()?.store.path;
        // The unit's working folder.
        let store = self.root.join("var/lib/hearth").join(store);
        Ok(vec![store, self.config_file()])
    }
}

/// One update at a time; held until it is dropped.
fn lock(machine: &Machine) -> anyhow::Result<File> {
    fs::create_dir_all(machine.notes()).with_context(|| format!("{} (as root?)", machine.notes().display()))?;
    let file = File::create(machine.notes().join("lock"))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| anyhow!("another update is under way"))?;
    Ok(file)
}

fn update(place: &Place, source: &str, dry_run: bool) -> anyhow::Result<ExitCode> {
    let machine = place.machine()?;
    let _lock = lock(&machine)?;
    let keys = machine.keys()?;
    if !source.contains("://") {
        let bundle = Bundle::open(File::open(source).with_context(|| source.to_owned())?, &keys)?;
        return bring(place, &machine, &bundle, dry_run);
    }
    let to = machine.notes().join("download");
    let download = Download { to: &to, keys: &keys, wanted: &|manifest| install::check(&machine, manifest) };
    let fetched = download.fetch(source).and_then(|file| Bundle::open(file, &keys));
    let done = match fetched {
        Ok(bundle) => bring(place, &machine, &bundle, dry_run),
        Err(error) => {
            // What came is no bundle, whatever comes behind it.
            if let UpdateError::Bundle(_) = error {
                download.forget()?;
            }
            return Err(error.into());
        }
    };
    download.forget()?;
    done
}

/// Writes a bundle and begins its trial.
fn bring(place: &Place, machine: &Machine, bundle: &Bundle, dry_run: bool) -> anyhow::Result<ExitCode> {
    let manifest = &bundle.manifest;
    let from = install::installed(machine, manifest.kind);
    if dry_run {
        install::check(machine, manifest)?;
        bundle.verify()?;
        report::would_install(place, manifest, from);
        return Ok(ExitCode::SUCCESS);
    }
    place.say(format!("{} over {from}: verifying", manifest.version));
    let mut step = |stage| {
        place.say(said(stage));
        Ok(())
    };
    install::write(machine, bundle, &mut step)?;
    begin(place, machine, manifest)?;
    if place.json {
        println!("{}", json!({ "ok": true, "version": manifest.version, "from": from, "on_trial": true }));
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the hub, keeps its data, and begins the trial of what was written.
fn begin(place: &Place, machine: &Machine, manifest: &Manifest) -> anyhow::Result<()> {
    let before = place.pulse().map(|pulse| pulse.vitals);
    if before.is_none() {
        place.say("no hub says how it is: it will do if the gateway answers");
    }
    let data = place.data()?;
    place.systemctl(&["stop", HUB])?;
    let mut step = |stage| {
        place.say(said(stage));
        Ok(())
    };
    let armed = install::arm(machine, manifest, before.unwrap_or_default(), &data, &mut step);
    if let Err(error) = armed {
        let undone = install::disarm(machine);
        place.systemctl(&["start", HUB])?;
        undone?;
        return Err(error.into());
    }
    match manifest.kind {
        Kind::System => {
            place.say("the machine starts anew, with the new system on trial");
            place.systemctl(&["reboot"])
        }
        Kind::App => {
            place.say("the hub starts anew, with the new program on trial; `hearth update status` says how it goes");
            // One that does not come up is the gate's business.
            place.systemctl(&["start", "--no-block", HUB])?;
            place.systemctl(&["restart", "--no-block", GATE])
        }
    }
}

/// To the program that the system came with, else to the system in the other slot.
fn rollback(place: &Place) -> anyhow::Result<ExitCode> {
    let machine = place.machine()?;
    let _lock = lock(&machine)?;
    let record = machine.record()?;
    if record.trial.is_some() || trial::Note::read(&machine).is_some() {
        bail!("an update is on trial: wait for its end (`hearth update status`)");
    }
    if let Some(version) = app::kept(&machine).filter(|version| *version > Version::of_this_program()) {
        place.systemctl(&["stop", HUB])?;
        let gone = app::forget(&machine);
        place.systemctl(&["start", HUB])?;
        gone?;
        place.say(format!("from the program {version} back to {}", Version::of_this_program()));
        return Ok(ExitCode::SUCCESS);
    }
    let other = machine.running.other();
    let folder = machine.boot().join(other.to_string());
    let Some(version) = small(&folder.join("version")).ok().and_then(|text| text.trim().parse::<Version>().ok()) else {
        bail!("there is nothing in slot {other} to go back to");
    };
    if version < record.floor {
        bail!("{version}, in slot {other}, is older than {}, the oldest that is safe here", record.floor);
    }
    let manifest = Manifest {
        format: 1,
        kind: Kind::System,
        arch: std::env::consts::ARCH.into(),
        version,
        needs: Version::default(),
        floor: Version::default(),
        members: Vec::new(),
    };
    place.say(format!("from {} back to {version}", machine.version()));
    begin(place, &machine, &manifest)?;
    Ok(ExitCode::SUCCESS)
}

fn scheduled(place: &Place) -> anyhow::Result<ExitCode> {
    let config = place.config()?.update;
    let (UpdateCheck::Daily, Some(url)) = (config.check, config.url) else { return Ok(ExitCode::SUCCESS) };
    let machine = place.machine()?;
    let _lock = lock(&machine)?;
    let keys = machine.keys()?;
    let failed = trial::failed(&machine);
    let wanted = |manifest: &Manifest| {
        install::check(&machine, manifest)?;
        match failed.get(&manifest.version) {
            Some(why) => Err(UpdateError::NotNewer(format!("{} was tried and not kept: {why}", manifest.version))),
            None => Ok(()),
        }
    };
    let to = machine.notes().join("download");
    let download = Download { to: &to, keys: &keys, wanted: &wanted };
    // What was cut off yesterday may be of a version that was tried meanwhile.
    let fetched = download.fetch(&url).and_then(|file| Bundle::open(file, &keys));
    let done = match fetched {
        Ok(bundle) => {
            wanted(&bundle.manifest).map_err(Into::into).and_then(|()| bring(place, &machine, &bundle, false))
        }
        Err(UpdateError::NotNewer(why)) => {
            place.say(why);
            return Ok(ExitCode::SUCCESS);
        }
        Err(error @ UpdateError::Bundle(_)) => Err(error.into()),
        Err(error) => return Err(error.into()),
    };
    download.forget()?;
    done
}

fn put_in_order(place: &Place) -> anyhow::Result<ExitCode> {
    let machine = match place.machine() {
        Ok(machine) => machine,
        Err(error) => {
            place.say(error);
            return Ok(ExitCode::SUCCESS);
        }
    };
    fs::create_dir_all(machine.notes())?;
    let settled = settle(&machine)?;
    match &settled {
        Settled::Nothing => {}
        Settled::OnTrial(version) => place.say(format!("{version} is on trial")),
        Settled::GoneBack { version, why } => {
            place.say(format!("{version} was not kept: {why}; the data is as it was"))
        }
    }
    // A start from which a trial was to begin has one processor alone. Nothing is on trial now, so the next has all of them.
    let words = small(&place.root.join("proc/cmdline")).unwrap_or_default();
    if !matches!(settled, Settled::OnTrial(_)) && words.split_whitespace().any(|word| word == "nr_cpus=1") {
        place.say("starting anew, with all processors");
        place.systemctl(&["--no-block", "reboot"])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn said(stage: Stage) -> &'static str {
    match stage {
        Stage::Verified => "verified: it is what was signed",
        Stage::BootWritten => "the boot files are written",
        Stage::RootWritten => "the root is written, and read back",
        Stage::ProgramWritten => "the program is written",
        Stage::DataKept => "the data is kept",
        Stage::Noted => "what works now is noted",
        Stage::CpusSet => "the next start can enter another kernel",
        Stage::Armed => "the trial begins with the next start",
        Stage::Kept => "it is kept",
        Stage::FirmwareSet => "the firmware starts it from now on",
    }
}
