//! Everything the hub goes OUT to, a slice per family. An adapter translates between a foreign wire and the words of
//! `common`; it decides nothing about whom to ask or what to do next.

pub mod assistant;
pub mod devices;
pub mod llm;
pub mod speech;
