//! Requests to read properties of a device. What they are answered with is what the device has said since.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::network::core::{Core, trouble};
use crate::zigbee::network::event::{Reply, RequestId};
use crate::zigbee::network::exchange::{Answer, Failure, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::types::Ieee;

/// Requests at once.
const JOBS_MAX: usize = 256;

#[derive(Default)]
pub struct Reads {
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
}

struct Job {
    id: RequestId,
    ieee: Ieee,
    properties: Vec<Box<str>>,
    open: usize,
    said: Map<String, Value>,
    failure: Option<ErrorBody>,
}

impl Reads {
    pub fn start(&mut self, core: &mut Core, now: Instant, id: RequestId, (ieee, properties): (Ieee, Vec<Box<str>>)) {
        let Some(device) = core.table.get(ieee) else {
            core.answer(id, Err(ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"))));
            return;
        };
        let reads = device.definition.reads(&device.identity, &properties);
        if reads.is_empty() {
            let message = "it cannot be asked for that; it tells by itself";
            core.answer(id, Err(ErrorBody::new(ErrorCode::Unsupported, message)));
            return;
        }
        if self.jobs.len() >= JOBS_MAX {
            let error = ErrorBody::new(ErrorCode::RateLimited, "too much is being read at once");
            core.answer(id, Err(ErrorBody { retryable: true, ..error }));
            return;
        }
        let job = self.next_job;
        self.next_job += 1;
        let open = reads.len();
        self.jobs.insert(job, Job { id, ieee, properties, open, said: Map::new(), failure: None });
        for read in &reads {
            let owner = Owner::Read { job };
            core.zcl(now, ieee, Zcl::of_read(read), Priority::Person, owner);
        }
    }

    pub fn said(&mut self, ieee: Ieee, changes: &Map<String, Value>) {
        for job in self.jobs.values_mut().filter(|job| job.ieee == ieee) {
            let wanted = |property: &String| {
                job.properties.is_empty() || job.properties.iter().any(|wanted| **wanted == **property)
            };
            let said = changes.iter().filter(|(property, _)| wanted(property));
            job.said.extend(said.map(|(property, value)| (property.clone(), value.clone())));
        }
    }

    pub fn ended(&mut self, core: &mut Core, job: u64, end: Result<Answer, Failure>) {
        let Some(going) = self.jobs.get_mut(&job) else { return };
        going.open = going.open.saturating_sub(1);
        match end {
            Ok(Answer::Status(status)) if !status.is_success() => {
                let message = format!("the device refused: {status}");
                going.failure = Some(ErrorBody::new(ErrorCode::DeviceRejected, message));
            }
            Ok(_) => {}
            Err(failure) => going.failure = Some(trouble(&failure)),
        }
        if going.open > 0 {
            return;
        }
        if let Some(Job { id, said, failure, .. }) = self.jobs.remove(&job) {
            let nothing = || ErrorBody::new(ErrorCode::DeviceRejected, "it has no values for that");
            let answer = if said.is_empty() { Err(failure.unwrap_or_else(nothing)) } else { Ok(Reply::Values(said)) };
            core.answer(id, answer);
        }
    }
}
