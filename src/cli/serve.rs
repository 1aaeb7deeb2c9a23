//! `hearth serve`: the hub itself.

use std::process::ExitCode;

use crate::app::{self, Hub, Setup};
use crate::cli::ConfigArg;
use crate::common::config::{Watcher, process_env};
use crate::common::log;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load()?;
    let log = log::init(&loaded.config.log)?;
    let overrides = loaded.overrides.join(" ");
    match &loaded.file {
        Some(file) => tracing::info!(file = %file.display(), overrides, "configuration read"),
        None => tracing::info!(overrides, "no configuration file: the defaults are in force"),
    }
    let (watcher, config) = Watcher::new(&loaded, process_env().collect());
    let setup = Setup { config, watcher: Some(watcher), log: Some(log), sources: None };
    app::runtime()?.block_on(async {
        // From the first moment: a stop that comes while the store opens is not lost.
        let stop = app::stop_signal();
        let hub = Hub::open(setup).await?;
        hub.run(stop).await;
        Ok(ExitCode::SUCCESS)
    })
}
