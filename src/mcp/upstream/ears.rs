//! What a server says unasked, told to whom it concerns; the rest goes to the log. Decides nothing.

use std::sync::Weak;

use serde_json::Value;

use crate::mcp::upstream::Ears;
use crate::mcp::upstream::trouble::clean;
use crate::store::EntryKind;

/// Who hears of a server.
pub trait Listener: Send + Sync {
    /// It is ready for requests, for the first time or again.
    fn is_up(&self, slug: &str);

    /// It is gone, whether by itself or because it was stopped.
    fn is_down(&self, slug: &str);

    /// It is heard again, and may have said something that nobody heard.
    fn was_unheard(&self, slug: &str);

    /// One of its lists is not what it was.
    fn list_changed(&self, slug: &str, kind: EntryKind);

    /// A resource is not what it was, by the server's own URI.
    fn resource_updated(&self, slug: &str, uri: &str);
}

/// Where a server's unasked words go.
pub struct MemberEars {
    slug: Box<str>,
    listener: Weak<dyn Listener>,
}

impl MemberEars {
    pub fn new(slug: &str, listener: &Weak<dyn Listener>) -> MemberEars {
        MemberEars { slug: slug.into(), listener: listener.clone() }
    }
}

impl Ears for MemberEars {
    fn notification(&self, method: &str, params: Value) {
        let Some(listener) = self.listener.upgrade() else { return };
        match method {
            "notifications/tools/list_changed" => listener.list_changed(&self.slug, EntryKind::Tool),
            "notifications/prompts/list_changed" => listener.list_changed(&self.slug, EntryKind::Prompt),
            "notifications/resources/list_changed" => listener.list_changed(&self.slug, EntryKind::Resource),
            "notifications/resources/updated" => {
                if let Some(uri) = params.get("uri").and_then(Value::as_str) {
                    listener.resource_updated(&self.slug, uri);
                }
            }
            "notifications/message" => {
                let level = params.get("level").and_then(Value::as_str).unwrap_or("info");
                let words = params.get("data").map(|data| clean(&data.to_string())).unwrap_or_default();
                tracing::debug!(server = %self.slug, level = %clean(level), words, "an MCP server says");
            }
            _ => {}
        }
    }

    fn was_deaf(&self) {
        if let Some(listener) = self.listener.upgrade() {
            listener.was_unheard(&self.slug);
        }
    }
}
