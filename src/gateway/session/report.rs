//! The one log line of a request. Says who, how long and how it ended; never what was said.

use crate::common::error::ErrorCode;
use crate::common::events::{TurnFailure, TurnSummary};
use crate::gateway::session::delay::Delays;
use crate::gateway::session::requests::{Kind, Running};
use crate::router::TurnKey;

/// See the module.
#[derive(Debug, Default)]
pub struct Report {
    pub key: TurnKey,
    request_id: Box<str>,
    kind: Kind,
    /// Of a `tool`.
    tool: Option<Box<str>>,
    /// It told of a failure of its own.
    tool_failed: bool,
    /// What the client calls itself.
    client: Option<Box<str>>,
    provider: Option<Box<str>>,
    model: Option<Box<str>>,
    first_token_ms: Option<u64>,
    total_ms: u64,
    /// `None`: the answer was whole.
    error: Option<ErrorCode>,
    chunks: u64,
    /// Of pictures and sound.
    media_bytes: Option<u64>,
    pub delays: Box<Delays>,
}

impl Report {
    pub fn of_done(summary: &TurnSummary) -> Report {
        Report {
            provider: Some(summary.provider.clone()),
            model: Some(summary.model.clone()),
            first_token_ms: summary.first_token_ms,
            total_ms: summary.total_ms,
            ..Report::default()
        }
    }

    pub fn of_cancelled(summary: &TurnSummary) -> Report {
        Report { error: Some(ErrorCode::Cancelled), ..Report::of_done(summary) }
    }

    pub fn of_failed(failure: &TurnFailure) -> Report {
        Report {
            provider: failure.provider.clone(),
            model: failure.model.clone(),
            first_token_ms: failure.first_token_ms,
            total_ms: failure.total_ms,
            error: Some(failure.error.code),
            ..Report::default()
        }
    }

    /// A tool that has answered.
    pub fn of_tool(total_ms: u64, tool_failed: bool) -> Report {
        Report { total_ms, tool_failed, ..Report::default() }
    }

    /// The client left for good while it ran.
    pub fn of_left(total_ms: u64) -> Report {
        Report { total_ms, error: Some(ErrorCode::Cancelled), ..Report::default() }
    }

    /// Adds what the session knows of the request.
    pub fn about(self, key: TurnKey, running: Running, client: Option<Box<str>>) -> Report {
        let Running { request_id, kind, chunks, media, call, delays, .. } = running;
        let tool = call.map(|call| call.tool);
        let media_bytes = media.map(|media| media.bytes);
        Report { key, client, request_id, kind, tool, chunks, media_bytes, delays, ..self }
    }

    /// Writes the line.
    pub fn log(&self) {
        let whole = if self.tool_failed { "tool_error" } else { "complete" };
        let outcome = self.error.map_or_else(|| whole.to_owned(), |code| code.to_string());
        tracing::info!(
            request_id = &*self.request_id,
            action = self.kind.action(),
            tool = self.tool.as_deref(),
            client = self.client.as_deref(),
            provider = self.provider.as_deref(),
            model = self.model.as_deref(),
            first_token_ms = self.first_token_ms,
            chunks = self.chunks,
            media_bytes = self.media_bytes,
            forward_p50_us = self.delays.quantile_us(0.5),
            forward_p99_us = self.delays.quantile_us(0.99),
            total_ms = self.total_ms,
            outcome,
            "request ended"
        );
    }
}
