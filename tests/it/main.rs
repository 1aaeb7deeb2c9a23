//! The integration tests: rooms joined to each other and to a simulated world outside. One binary, because on a small
//! machine linking is what costs.

mod bad_input;
mod cancel;
mod commands;
mod corpus;
mod fallback;
mod history;
mod many;
mod openai;
mod process;
mod protocol;
mod providers;
mod resume;
mod streams;
mod tidy;
#[path = "../world/mod.rs"]
mod world;
