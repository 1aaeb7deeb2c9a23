//! What is known of devices by their names: how they are set up, what their messages mean, how their properties are set. The
//! seam between those who know devices and `network`, which knows only how to reach them. Pure: nothing here sends or waits.

mod catalogue;
mod convert;
mod exposes;
mod kinds;
mod known;
mod steps;
mod table;
mod unknown;

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod coverage_tests;

pub use catalogue::Catalogue;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::capability::Capability;
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, GroupId, Ieee, MakerCode};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::frame::Header;
use crate::zigbee::zcl::value::Typed;
use crate::zigbee::zdo::{LogicalType, SimpleDescriptor};

/// The licences of those whose facts the tables hold.
pub const NOTICE: &str = include_str!("NOTICE");

/// All definitions there are.
pub trait Definitions: Send + Sync {
    /// The one that fits best; one that is made out of the clusters where nobody knows the device.
    fn find(&self, identity: &Identity) -> Arc<dyn Definition>;
}

/// What one kind of device is. Cheap to keep, and the same for all devices of the kind: what is special of one comes in with
/// its [`Identity`] and [`Memory`].
pub trait Definition: Send + Sync {
    /// As the vendor's catalogue has it, such as `TS011F_plug_1`.
    fn model(&self) -> Option<&str>;
    fn vendor(&self) -> Option<&str>;
    fn description(&self) -> Option<&str>;
    /// False: it was made out of the clusters.
    fn is_supported(&self) -> bool;
    fn capabilities(&self, identity: &Identity) -> Vec<Capability>;
    /// What is to be done after the interview so that it tells what it has to tell, in this order.
    fn setup(&self, identity: &Identity) -> Vec<Setup>;
    /// What a message of the device means. May write in `memory.notes`; does not write in `memory.state`.
    fn decode(&self, identity: &Identity, heard: &Heard<'_>, memory: &mut Memory) -> Decoded;
    /// How properties are set; the error is for the owner of the house (unknown property, value out of range, read-only).
    fn encode(&self, identity: &Identity, set: &Map<String, Value>, memory: &Memory) -> Result<Plan, Refusal>;
    /// How properties are asked for; all that can be read where there are none. Equal reads come once.
    fn reads(&self, identity: &Identity, properties: &[Box<str>]) -> Vec<Read>;
}

/// What a device says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub ieee: Ieee,
    pub logical_type: Option<LogicalType>,
    pub maker: Option<MakerCode>,
    pub endpoints: Vec<SimpleDescriptor>,
    /// Basic cluster: `modelId` 0x0005, `manufacturerName` 0x0004, as they came, less what stands behind a NUL.
    pub model_id: Option<Box<str>>,
    pub maker_name: Option<Box<str>>,
    /// 0x0007.
    pub power_source: Option<u8>,
    pub zcl_version: Option<u8>,
    pub app_version: Option<u8>,
    pub stack_version: Option<u8>,
    pub hardware_version: Option<u8>,
    pub date_code: Option<Box<str>>,
    pub software_build: Option<Box<str>>,
}

/// What converters remember of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Newest value of each property. Kept by `network`.
    pub state: Map<String, Value>,
    /// The converters' own. Kept small: it is written to the disk.
    pub notes: Map<String, Value>,
}

/// A message of a device.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    pub endpoint: Endpoint,
    pub cluster: ClusterId,
    /// It went to this group.
    pub group: Option<GroupId>,
    /// 0 to 255.
    pub lqi: u8,
    pub what: What<'a>,
    /// Local time, for devices that ask for it: seconds since 1970 UTC, and what is to be added to it here.
    pub utc_s: u64,
    pub utc_offset_s: i32,
}

#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// Reported, or read.
    Attributes { maker: Option<MakerCode>, attributes: &'a [(AttributeId, Typed)] },
    /// A command of the cluster, with what stands behind its header.
    Command { header: &'a Header, payload: &'a [u8] },
}

/// What a message meant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    pub changes: Map<String, Value>,
    /// To be told later unless the same properties change before, such as `occupancy: false` of those that never say it.
    pub later: Vec<Later>,
    /// What the device wants to hear at once, such as Tuya's time. Nobody waits for what comes of it.
    pub answers: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Later {
    pub after: Duration,
    pub changes: Map<String, Value>,
}

/// How properties are set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In this order, each after the one before was taken.
    pub commands: Vec<Command>,
    /// What must have been said by the device (in a report, or read) before the plan counts as done.
    pub expect: Vec<Expected>,
    /// Where to read it; empty where the device tells by itself and cannot be asked (Tuya), and where there is no more evidence
    /// than its default response.
    pub reads: Vec<Read>,
    /// How long the device takes to get there (`transition`).
    pub lasts: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    pub property: Box<str>,
    pub value: Expect,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// This, or a number no further from it than `tolerance` (of objects, each of its numbers).
    Value { value: Value, tolerance: f64 },
    /// Whatever it is now: the command was to toggle, or to move until told to stop.
    Any,
    /// Nothing can be read or will be reported: the default response (or a write's) is all there is. `value` is what is told.
    Taken { value: Value },
    /// It takes its time to get there, and says itself where it is: that it was begun is all that the answer to the command says,
    /// and nothing is told of it.
    Begun { value: Value },
}

/// A message to a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub endpoint: Endpoint,
    pub cluster: ClusterId,
    pub maker: Option<MakerCode>,
    pub body: Body,
    /// False: the device is known to send no default response.
    pub is_answered: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A command of the cluster, to the server.
    Cluster {
        command: u8,
        payload: Vec<u8>,
    },
    /// A command of the cluster, to the client, such as an answer.
    ToClient {
        command: u8,
        payload: Vec<u8>,
    },
    Write {
        attributes: Vec<(AttributeId, Typed)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    pub endpoint: Endpoint,
    pub cluster: ClusterId,
    pub maker: Option<MakerCode>,
    pub attributes: Vec<AttributeId>,
}

/// A step of making a device tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Setup {
    /// Bind the cluster of this endpoint to the hub.
    Bind {
        endpoint: Endpoint,
        cluster: ClusterId,
    },
    Report {
        endpoint: Endpoint,
        cluster: ClusterId,
        maker: Option<MakerCode>,
        attributes: Vec<Reporting>,
    },
    Read(Read),
    Command(Command),
}

/// When an attribute is reported (ZCL r8 §2.5.7).
#[derive(Debug, Clone, PartialEq)]
pub struct Reporting {
    pub attribute: AttributeId,
    pub data_type: DataType,
    pub min_s: u16,
    pub max_s: u16,
    /// Smallest change worth a report; absent for types that are no quantity.
    pub change: Option<Typed>,
}

/// Why properties cannot be set; for the owner of the house.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it has no property `{0}` that can be set")]
    Unknown(Box<str>),
    #[error("`{property}`: {why}")]
    Value { property: Box<str>, why: Box<str> },
}
