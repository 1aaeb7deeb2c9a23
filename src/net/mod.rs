//! The wire outside: the one outbound HTTP client, the SSE parser, what the local network is. Knows no provider.

pub mod https;
pub mod lan;
pub mod ndjson;
pub mod sse;
