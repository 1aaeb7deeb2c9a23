//! Everything that comes IN: connections are admitted (`listen`, `admission`), names checked (`origin`), a route picked
//! (`route`); behind it stand the WebSocket session, the records over REST and the page. Knows no provider and no device.

pub mod admission;
mod chat;
pub mod context;
pub mod health;
pub mod identity;
pub mod listen;
pub mod mcp;
mod openai_api;
pub mod origin;
pub mod protocol;
pub mod respond;
pub mod rest;
pub mod route;
mod security_txt;
pub mod session;
pub mod sign_in;
#[cfg(test)]
mod testing;
pub mod web;
mod wire;
