//! The servers behind the hub: how one is reached, what it offers, and how hundreds of them live side by side without
//! hurting each other. Everything that comes from them is hostile until checked.

mod agenda;
mod aggregator;
mod chance;
pub mod client;
pub mod conflicts;
pub mod connection;
pub mod connector;
mod discovery;
mod ears;
mod following;
mod health;
pub mod http;
pub mod link;
mod live;
mod member;
pub mod names;
pub mod oauth;
mod overlay;
pub mod owning;
mod passing;
pub mod pinning;
mod places;
mod policy;
pub mod resolver;
mod roster;
pub mod secrets;
mod shelf;
mod signing;
pub mod stdio;
mod subscriptions;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod trouble;
mod view;

pub use aggregator::Aggregator;
pub use connection::{Connect, Connection, Ears, Request, ServerInfo, UpstreamError};
pub use connector::connector;
pub use policy::{POLICY_KEY, Policy};
