//! The aggregator with servers that a test makes up, and a clock that it holds still.

mod catalog;
mod crowd;
mod isolation;
mod passing;
