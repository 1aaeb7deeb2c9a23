//! The network on an air of its own: devices that do what they are told, and everything that can go wrong on the way. Time is
//! made, not waited for.

mod air;
mod bindings;
mod coming;
mod commands;
pub mod kinds;
mod queueing;
