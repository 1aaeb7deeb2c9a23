//! The wire outside: the one outbound HTTP client, TLS, the SSE parser, what the local network is. Knows no provider.

pub mod https;
pub mod lan;
pub mod ndjson;
pub mod sse;
pub mod tls;
