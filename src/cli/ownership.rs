//! `hearth claim --new-code` and `--recover`: what whoever is beside the hub may do without a token, since its files are theirs.
//! The first makes a code where the old one is lost; the second a token where an owner has lost everything.
#![expect(clippy::disallowed_methods, reason = "a token begins now")]

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use tokio::sync::watch;

use crate::app;
use crate::appliance::qr;
use crate::auth::{self, Gate, Moment, code_file};
use crate::cli::ConfigArg;
use crate::cli::installed::{self, Door};
use crate::common::config::Config;
use crate::common::files;
use crate::common::time::whole_ms;
use crate::common::who::Role;
use crate::store::{OpenError, Store, User};

/// The code is for the hub alone.
const MODE: u32 = 0o600;

/// Makes a code for the first claim and shows it, with the address that takes it.
pub fn new_code(config: &ConfigArg) -> anyhow::Result<()> {
    let config = config.load_installed()?.config;
    match installed::door(&config) {
        Some(Door { required: false, .. }) => {
            bail!("this hub asks nobody who they are (gateway.auth): there is nothing to claim")
        }
        Some(Door { claimable: false, .. }) => bail!(
            "somebody owns this hub. An owner who has lost the password gets in with `hearth claim --recover NAME`, while the \
             hub is stopped"
        ),
        Some(_) | None => {}
    }
    let code = make_code(&config)?;
    let url = installed::url(&installed::local_name(), config.gateway.port);
    let lines = qr::lines(&format!("{url}/claim#{code}"), qr::Ink::Light).unwrap_or_default();
    println!("Open {url}/ and type this code, which is good until somebody owns the hub:\n\n  {code}\n");
    println!("{}", lines.join("\n"));
    Ok(())
}

/// Puts a new code where the hub looks for one.
pub fn make_code(config: &Config) -> anyhow::Result<String> {
    let code = auth::claim_code(auth::claim_chance());
    let path = code_file::beside(&config.store.path);
    let put = files::put(&path, format!("{code}\n").as_bytes(), MODE);
    put.with_context(|| format!("{} cannot be written: run this as root, or as the hub's own user", path.display()))?;
    Ok(code)
}

/// A token for an owner, made at the store itself; which must not be in use.
pub fn recover(config: &ConfigArg, name: &str) -> anyhow::Result<()> {
    let config = config.load_installed()?.config;
    let path = &config.store.path;
    if !path.exists() {
        bail!("there is no hub's store at {}", path.display());
    }
    let store = match Store::open(path) {
        Ok(store) => store,
        Err(OpenError::Locked { .. }) => {
            bail!("the hub is running: stop it first (`systemctl stop hearth`), and start it again afterwards")
        }
        Err(error) => return Err(error.into()),
    };
    let secret = app::runtime()?.block_on(async {
        let made = owners_token(&store, Arc::new(config), name).await;
        store.close().await;
        made
    })?;
    println!("{secret}");
    eprintln!(
        "This token is {name}'s. Start the hub, choose \"Use a token instead\" on its page, then set a password: hearth users passwd {name}"
    );
    Ok(())
}

async fn owners_token(store: &Store, config: Arc<Config>, name: &str) -> anyhow::Result<String> {
    let users = store.list::<User>().await?;
    let owners: Vec<_> = users.into_iter().filter(|user| user.role == Role::Owner && !user.disabled).collect();
    if !owners.iter().any(|user| user.name == name) {
        let names: Vec<_> = owners.iter().map(|user| user.name.as_str()).collect();
        match names[..] {
            [] => bail!("nobody owns this hub yet: `hearth claim --new-code` makes a code"),
            _ => bail!("{name} is no owner of this hub; there is {}", names.join(", ")),
        }
    }
    let (_config, config) = watch::channel(config);
    let unix_ms = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms);
    let clock = move || Moment { at: Instant::now(), unix_ms: unix_ms() };
    let created = Gate::new(store.clone(), config, Arc::new(clock)).create_token(name, "recovered", None).await?;
    Ok(created.secret.expose().to_owned())
}
