//! What goes into Zigbee2MQTT's state machine and comes out of it: moments, tickets, things to do, answers. Knows none of its parts.

use std::time::Instant;

use serde_json::{Map, Value};

use crate::common::error::ErrorBody;
use crate::common::time::UnixMillis;
use crate::home::{SetDone, SourceEvent};

/// What the hub asked for, by a number of its own.
pub type Ticket = u64;

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub at: Instant,
    pub unix_ms: UnixMillis,
}

/// What the driver has to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Out {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    Publish { topic: String, payload: Vec<u8> },
    Tell(SourceEvent),
    Answer(Ticket, Answer),
}

/// What became of a question to the machine.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Set(Vec<Result<SetDone, ErrorBody>>),
    Read(Result<Map<String, Value>, ErrorBody>),
    Request(Result<Value, ErrorBody>),
}
