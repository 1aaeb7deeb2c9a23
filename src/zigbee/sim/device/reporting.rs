//! Reports of attributes: only of what was configured, only to whom the cluster is bound, not sooner than the minimum, not later
//! than the maximum, not for less than the change (ZCL r8 §2.5.7).

use std::time::{Duration, Instant};

use super::models;
use super::{Attribute, Device, Out};
use crate::zigbee::sim::bytes::Writer;

/// A row of a device's reporting table.
#[derive(Debug, Clone)]
pub struct Reporting {
    /// Endpoint, cluster, attribute.
    pub at: (u8, u16, u16),
    pub min_s: u16,
    /// 0: only for changes. 0xffff: never.
    pub max_s: u16,
    pub change: i64,
    told: Option<i64>,
    told_at: Instant,
}

impl Reporting {
    pub fn new(
        endpoint: u8,
        cluster: u16,
        id: u16,
        (min_s, max_s, change): (u16, u16, i64),
        now: Instant,
    ) -> Reporting {
        Reporting { at: (endpoint, cluster, id), min_s, max_s, change, told: None, told_at: now }
    }

    fn soonest(&self) -> Instant {
        self.told_at + Duration::from_secs(self.min_s.into())
    }

    fn latest(&self) -> Option<Instant> {
        (self.max_s != 0).then(|| self.told_at + Duration::from_secs(self.max_s.into()))
    }

    fn has_changed(&self, attribute: &Attribute) -> bool {
        let value = attribute.number();
        match self.told {
            None => false,
            Some(told) if models::is_analog(attribute.spec.kind) => (value - told).abs() >= self.change.max(1),
            Some(told) => value != told,
        }
    }

    /// When it is to be told, as things stand.
    fn due(&self, attribute: &Attribute) -> Option<Instant> {
        let changed = self.has_changed(attribute).then(|| self.soonest());
        [changed, self.latest()].into_iter().flatten().min()
    }
}

impl Device {
    /// Takes a row; 0xffff as the maximum takes it away.
    pub fn configure(&mut self, mut reporting: Reporting) {
        self.reporting.retain(|row| row.at != reporting.at);
        if reporting.max_s == 0xffff {
            return;
        }
        let (endpoint, cluster, id) = reporting.at;
        reporting.told = Some(self.get(endpoint, cluster, id));
        self.reporting.push(reporting);
    }

    pub fn reports_due(&self) -> Option<Instant> {
        let rows = self.reporting.iter().filter(|row| self.is_bound(row.at.0, row.at.1));
        rows.filter_map(|row| row.due(self.reported(row)?)).min()
    }

    /// Sends what is due; attributes of one cluster that are due together go in one frame.
    pub fn report(&mut self, now: Instant, out: &mut Out) {
        if self.quirks.silent || self.membership.is_none() || self.reporting.is_empty() {
            return;
        }
        let mut frames: Vec<((u8, u16), Writer)> = Vec::new();
        for index in 0..self.reporting.len() {
            let row = &self.reporting[index];
            let (endpoint, cluster, id) = row.at;
            if !self.is_bound(endpoint, cluster) {
                continue;
            }
            let Some(attribute) = self.reported(row) else { continue };
            if row.due(attribute).is_none_or(|due| due > now) {
                continue;
            }
            let record = Writer::new().u16(id).u8(attribute.spec.kind).bytes(&attribute.value);
            let value = attribute.number();
            match frames.iter_mut().find(|(at, _)| *at == (endpoint, cluster)) {
                Some((_, frame)) => frame.0.extend_from_slice(&record.0),
                None => frames.push(((endpoint, cluster), record)),
            }
            let row = &mut self.reporting[index];
            (row.told, row.told_at) = (Some(value), now);
        }
        for ((endpoint, cluster), records) in frames {
            let bound = self.bindings.iter().filter(|b| (b.endpoint, b.cluster) == (endpoint, cluster));
            for target in bound.map(|binding| binding.target).collect::<Vec<_>>() {
                let frame = Writer::new().u8(0x18).u8(self.next_sequence()).u8(0x0a).bytes(&records.0);
                let draft = self.draft(endpoint, cluster, target, frame.0, false);
                out.messages.push(draft);
            }
        }
    }

    fn is_bound(&self, endpoint: u8, cluster: u16) -> bool {
        self.bindings.iter().any(|binding| (binding.endpoint, binding.cluster) == (endpoint, cluster))
    }

    fn reported(&self, row: &Reporting) -> Option<&Attribute> {
        self.endpoint(row.at.0)?.attributes.get(&(row.at.1, row.at.2))
    }
}
