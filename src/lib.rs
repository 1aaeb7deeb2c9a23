//! Hearth: the service inside a home hub. Here is the list of rooms, from the ground up; what each is and what it never
//! does stands at its door and in `docs/ARCHITECTURE.md`.

pub mod common;

pub mod net;
pub mod store;
pub mod zigbee;

pub mod appliance;
pub mod auth;
pub mod backup;
pub mod home;

pub mod adapters;
pub mod mcp;

pub mod router;

pub mod gateway;

pub mod app;

pub mod cli;
