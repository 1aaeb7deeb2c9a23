//! Finding a tool by what it does, among thousands: for models that are shown a few of them, and for people. Needs no model
//! and no network, and always gives the same answer to the same question.

mod common;
mod finder;
mod hints;
mod index;
mod lexicon;
mod meanings;
mod slips;
mod stem;
mod words;

pub use finder::Finder;
pub use index::Index;
