//! The integration tests: rooms joined to each other and to a simulated world outside. One binary, because on a small
//! machine linking is what costs.

mod anthropic;
mod auth;
mod bad_input;
mod bindings;
mod cancel;
mod commands;
mod contract;
mod cooling;
mod corpus;
mod door;
mod elsewhere;
mod events;
mod fallback;
mod faults;
mod furnished;
mod gemini;
mod hedge;
mod history;
mod house;
mod image;
mod images;
mod local;
mod many;
mod mcp;
mod media;
mod ollama;
mod openai;
mod openrouter;
mod oracles;
mod process;
mod protocol;
mod providers;
mod responses;
mod rest;
mod resume;
mod retry;
mod speech;
mod streams;
mod tidy;
mod tool_search;
mod tools;
mod upstream;
mod usage;
#[path = "../world/mod.rs"]
mod world;
