//! Tools, and everything else that MCP has a word for: one registry with the hub's own and those of the servers behind it,
//! and the faces of MCP on both sides. Knows no HTTP route and no model; permission is asked of `auth`, in one place.

pub mod arguments;
mod bill;
pub mod call;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod definition;
pub mod native;
mod places;
pub mod public;
pub mod rpc;
pub mod search;
pub mod server;
pub mod service;
pub mod settings;
pub mod source;
pub mod tools;
pub mod upstream;

pub use call::{Call, Fault, Note, Outcome, Peer, Reach, Resumption, ToolOutput};
pub use definition::{Annotations, Definition, Origin};
pub use service::{Service, WeakService};
pub use source::{Changed, Method, Source};
pub use tools::Tool;
