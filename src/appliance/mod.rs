//! The machine that is a hub and nothing else: what its owner wrote on the card before the first boot, what it says of itself,
//! which of its two slots it runs from, and how it is updated. Everything is done under a root folder that the caller names,
//! so that a test has a machine in a folder. Commands of the top floor run as root; the hub itself never does.

mod apply;
mod checks;
mod cloud_init;
mod imager;
pub mod owner_file;
pub mod qr;
pub mod report;
pub mod settings;
pub mod setup;
pub mod update;

pub use checks::{Fault, Passphrase};
