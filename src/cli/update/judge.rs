//! `hearth update gate`: asks the hub every few seconds how it is, for as long as the gate (`appliance::update::gate`) wants to hear it,
//! and does what the verdict says.
#![expect(clippy::disallowed_methods, reason = "it is the driver that reads the clock for the gate")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{HUB, OVER, Place};
use crate::appliance::update::gate::{Gate, HOLD, LOOK_PERIOD, Look, PATIENCE, Verdict};
use crate::appliance::update::trial::{self, Note};

/// For one answer of the hub.
const ASK_DEADLINE: Duration = Duration::from_secs(4);

/// The longest answer that is read, bytes.
const HEALTH_BYTES_MAX: u64 = 64 * 1024;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Seconds for which all has to be well.
    #[arg(long, default_value_t = HOLD.as_secs(), env = "HEARTH_UPDATE_HOLD_S")]
    hold_s: u64,
    /// Seconds that the hub has besides, to start and to find its devices.
    #[arg(long, default_value_t = PATIENCE.as_secs(), env = "HEARTH_UPDATE_PATIENCE_S")]
    patience_s: u64,
}

pub(super) fn run(place: &Place, args: &Args) -> anyhow::Result<ExitCode> {
    let machine = place.machine()?;
    let Some(note) = Note::read(&machine) else { return Ok(ExitCode::SUCCESS) };
    // The old system has nothing to judge: `settle` gives up what it finds.
    if note.slot.is_some_and(|slot| slot != machine.running) {
        return Ok(ExitCode::SUCCESS);
    }
    let (hold, patience) = (Duration::from_secs(args.hold_s), Duration::from_secs(args.patience_s));
    let (mut gate, began, mut last) = (Gate::new(note.before, hold, patience), Instant::now(), String::new());
    place.say(format!("judging {}: what worked before has to work for {} s", note.version, hold.as_secs()));
    let verdict = loop {
        let pulse = place.pulse();
        let look = Look { answers: pulse.is_some_and(|pulse| answers(&health_url(pulse.address))), pulse };
        match gate.look(began.elapsed(), look) {
            Verdict::Wait(text) => {
                if text != last {
                    place.say(&text);
                    last = text;
                }
                std::thread::sleep(LOOK_PERIOD);
            }
            verdict => break verdict,
        }
    };
    match verdict {
        Verdict::Bad(why) => {
            place.say(format!("{} is not kept: {why}", note.version));
            if note.slot.is_some() {
                trial::give_up(&machine, &note, &why)?;
                place.systemctl(&["--no-block", "reboot"])?;
            } else {
                place.systemctl(&["stop", HUB])?;
                let gone = trial::give_up_program(&machine, &note, &why);
                place.systemctl(&["start", "--no-block", HUB])?;
                gone?;
            }
        }
        _ => {
            trial::keep(&machine, &note, &mut |_| Ok(()))?;
            // Not there where the trial is of a program alone.
            let _ = place.systemctl(&["stop", OVER]);
            place.say(format!("{} is kept", note.version));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the hub says that it listens, from this machine.
fn health_url(address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    format!("http://{}/healthz", SocketAddr::new(ip, address.port()))
}

/// Whether a hub answers there.
fn answers(url: &str) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ASK_DEADLINE)).build().into();
    let Ok(mut answer) = agent.get(url).call() else { return false };
    let body: Value = answer.body_mut().with_config().limit(HEALTH_BYTES_MAX).read_json().unwrap_or_default();
    body["status"] == "ok"
}
