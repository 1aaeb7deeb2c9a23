//! A request to Zigbee2MQTT that is under way: its steps, each answered `ok` before the next, and what its last answer is made into.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::backup::coordinator_backup;
use super::map::map;
use super::out::Ticket;
use super::refusal::{body, refused};
use crate::common::error::{ErrorBody, ErrorCode};

/// In its words where there is no image newer than what the device runs.
const NO_IMAGE: [&str; 2] = ["No image currently available", "No new image available"];

/// A request under way.
pub struct Job {
    pub ticket: Ticket,
    /// Those that follow.
    pub steps: VecDeque<Step>,
    pub path: &'static str,
    pub transaction: String,
    pub deadline: Instant,
    pub finish: Finish,
}

pub struct Step {
    pub path: &'static str,
    pub payload: Value,
    pub within: Duration,
}

/// What becomes of the last answer.
#[derive(Clone, Copy)]
pub enum Finish {
    Nothing,
    Map,
    Backup,
    Firmware,
    Bind,
}

impl Finish {
    /// That there is nothing newer is an answer like others.
    pub fn failed(self, words: &str) -> Result<Value, ErrorBody> {
        match self {
            Finish::Firmware if NO_IMAGE.iter().any(|said| words.contains(said)) => Ok(json!({ "updated": false })),
            Finish::Bind if words.starts_with("Nothing to ") => {
                Err(body(ErrorCode::BadRequest, "the two have nothing in common that could be bound"))
            }
            // Not one cluster, and its log alone says why.
            Finish::Bind if words.starts_with("Failed to ") => {
                let why =
                    "the device has not taken it; one with a battery has to be awake, and Zigbee2MQTT's log says more";
                Err(body(ErrorCode::DeviceRejected, why))
            }
            _ => Err(refused(words)),
        }
    }

    pub fn apply(self, data: Value) -> Result<Value, ErrorBody> {
        match self {
            Finish::Nothing => Ok(Value::Null),
            Finish::Bind => Ok(data),
            Finish::Firmware => Ok(json!({ "updated": true, "to": data["to"] })),
            Finish::Map => Ok(map(&data["value"])),
            Finish::Backup => {
                let zip = data["zip"].as_str().unwrap_or_default();
                coordinator_backup(zip)
                    .map_err(|why| body(ErrorCode::Unsupported, format!("Zigbee2MQTT's backup: {why}")))
            }
        }
    }
}
