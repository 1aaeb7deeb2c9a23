//! Words of everyone: ids, time, errors, limits, settings, the words of a conversation. Knows no room above it and does no
//! I/O beyond reading its own config file, writing logs, and putting a file in its place for whoever asks.

pub mod assembly;
pub mod capability;
pub mod chat;
pub mod config;
pub mod error;
pub mod events;
pub mod files;
pub mod fold;
pub mod hex;
pub mod ids;
pub mod json_text;
pub mod limits;
pub mod log;
pub mod rate;
pub mod secret;
pub mod speech;
pub mod time;
pub mod ustar;
pub mod who;
