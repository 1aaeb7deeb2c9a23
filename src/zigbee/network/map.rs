//! Who hears whom and which way messages go: the tables of the coordinator and of every router, page by page. Takes seconds, and is
//! asked for by a person.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::network::core::{Core, trouble};
use crate::zigbee::network::event::{Reply, RequestId};
use crate::zigbee::network::exchange::{Answer, Failure};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::types::{Ieee, Nwk};
use crate::zigbee::zdo::{self, Neighbor, Page, Response, Route};

/// Rows of one table; the largest known has 150.
const ROWS_MAX: usize = 255;

#[derive(Default)]
pub struct Mapping {
    /// One at a time: it is much for the air.
    job: Option<Job>,
}

struct Job {
    waiting: Vec<RequestId>,
    open: usize,
    neighbors: BTreeMap<Ieee, Vec<Neighbor>>,
    routes: BTreeMap<Ieee, Vec<Route>>,
    failed: BTreeMap<Ieee, String>,
}

impl Mapping {
    pub fn start(&mut self, core: &mut Core, now: Instant, id: RequestId) {
        let Some(info) = &core.info else {
            core.answer(id, Err(trouble(&Failure::RadioDown)));
            return;
        };
        if let Some(job) = &mut self.job {
            // The one that is being drawn is as new as theirs would be.
            if job.waiting.len() >= 16 {
                core.answer(id, Err(ErrorBody::new(ErrorCode::RateLimited, "the map is being drawn")));
            } else {
                job.waiting.push(id);
            }
            return;
        }
        let mut routers = vec![info.coordinator];
        routers.extend(core.table.iter().filter(|device| device.is_router()).map(|device| device.ieee()));
        let (neighbors, routes, failed) = Default::default();
        self.job = Some(Job { waiting: vec![id], open: routers.len() * 2, neighbors, routes, failed });
        for ieee in routers {
            core.zdo(
                now,
                ieee,
                zdo::Request::MgmtLqi { start: 0 },
                Priority::Person,
                Owner::Map { ieee, routes: false },
            );
            core.zdo(
                now,
                ieee,
                zdo::Request::MgmtRtg { start: 0 },
                Priority::Person,
                Owner::Map { ieee, routes: true },
            );
        }
    }

    pub fn ended(&mut self, core: &mut Core, now: Instant, (ieee, routes): (Ieee, bool), end: Result<Answer, Failure>) {
        let Some(job) = &mut self.job else { return };
        let next = match end {
            Ok(Answer::Zdo(Response::MgmtLqi { page: Some(page), .. })) if !routes => {
                add(job.neighbors.entry(ieee).or_default(), page).map(|start| zdo::Request::MgmtLqi { start })
            }
            Ok(Answer::Zdo(Response::MgmtRtg { page: Some(page), .. })) if routes => {
                add(job.routes.entry(ieee).or_default(), page).map(|start| zdo::Request::MgmtRtg { start })
            }
            Ok(Answer::Zdo(response)) => {
                // Many have no routing table to show.
                if !routes {
                    job.failed.insert(ieee, response.status().to_string());
                }
                None
            }
            Ok(_) => None,
            Err(failure) => {
                job.failed.insert(ieee, trouble(&failure).message);
                None
            }
        };
        if let Some(request) = next {
            core.zdo(now, ieee, request, Priority::Person, Owner::Map { ieee, routes });
            return;
        }
        job.open = job.open.saturating_sub(1);
        if job.open == 0
            && let Some(job) = self.job.take()
        {
            let map = drawn(core, &job);
            job.waiting.iter().for_each(|id| core.answer(*id, Ok(Reply::Document(map.clone()))));
        }
    }
}

/// Adds a page; the index of the next one, where there is one.
pub fn add<T>(rows: &mut Vec<T>, page: Page<T>) -> Option<u8> {
    let is_empty = page.rows.is_empty();
    rows.extend(page.rows);
    rows.truncate(ROWS_MAX);
    // One that sends empty pages for ever ends here, too.
    u8::try_from(rows.len()).ok().filter(|next| !is_empty && *next < page.total)
}

fn drawn(core: &Core, job: &Job) -> Value {
    let coordinator = core.info.as_ref().map(|info| info.coordinator);
    let name = |nwk: Nwk| match nwk {
        Nwk::COORDINATOR => coordinator.map(|ieee| ieee.to_string()),
        nwk => core.table.at(nwk).map(|ieee| ieee.to_string()),
    };
    let mut nodes: Vec<Value> = coordinator
        .map(|ieee| json!({"id": ieee.to_string(), "network_address": Nwk::COORDINATOR.to_string(), "type": "coordinator"}))
        .into_iter()
        .collect();
    nodes.extend(core.table.iter().map(|device| {
        let kind = if device.is_router() { "router" } else { "end_device" };
        json!({
            "id": device.ieee().to_string(),
            "network_address": device.nwk.to_string(),
            "type": kind,
            "last_seen_ms": device.last_seen_ms,
            "failed": job.failed.get(&device.ieee()),
        })
    }));
    let links = job.neighbors.iter().flat_map(|(ieee, rows)| {
        rows.iter().map(move |row| {
            json!({
                "from": row.ieee.to_string(),
                "to": ieee.to_string(),
                "network_address": row.nwk.to_string(),
                "linkquality": row.lqi,
                "depth": row.depth,
                "relationship": row.relationship,
            })
        })
    });
    let routes = job.routes.iter().flat_map(|(ieee, rows)| {
        rows.iter().map(move |row| {
            json!({
                "at": ieee.to_string(),
                "to": row.to.to_string(),
                "to_id": name(row.to),
                "next_hop": row.next_hop.to_string(),
                "next_hop_id": name(row.next_hop),
                "status": row.state,
            })
        })
    });
    json!({"nodes": nodes, "links": links.collect::<Vec<_>>(), "routes": routes.collect::<Vec<_>>()})
}
