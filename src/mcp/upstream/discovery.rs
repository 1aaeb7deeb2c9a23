//! Asks a server what it has: all its lists, page by page, bounded. Knows no catalog.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::mcp::call::Reach;
use crate::mcp::rpc;
use crate::mcp::upstream::pinning::{OFFERED_MAX, Offer};
use crate::mcp::upstream::{Connection, Request, UpstreamError};
use crate::store::{EntryKind, LeftOut};

/// For one page of a list.
pub const PAGE_WAIT: Duration = Duration::from_secs(15);

/// For all lists of a server, its start included.
pub const LOOK_WAIT: Duration = Duration::from_secs(90);

/// Pages of one list: a server that never ends its list is cut off.
const PAGES_MAX: usize = 256;

/// The lists of MCP: the capability that promises it, the method, the field, what is in it.
const LISTS: [(&str, &str, &str, EntryKind); 4] = [
    ("tools", "tools/list", "tools", EntryKind::Tool),
    ("prompts", "prompts/list", "prompts", EntryKind::Prompt),
    ("resources", "resources/list", "resources", EntryKind::Resource),
    ("resources", "resources/templates/list", "resourceTemplates", EntryKind::Template),
];

/// Everything that a server offers now.
pub async fn ask(connection: Arc<dyn Connection>) -> Result<Offer, UpstreamError> {
    let mut offer = Offer { info: connection.info().clone(), ..Offer::default() };
    for (capability, method, field, kind) in LISTS {
        if offer.info.capabilities.get(capability).is_none_or(Value::is_null) {
            continue;
        }
        list(&*connection, method, field, kind, &mut offer).await?;
    }
    Ok(offer)
}

async fn list(
    connection: &dyn Connection,
    method: &'static str,
    field: &str,
    kind: EntryKind,
    offer: &mut Offer,
) -> Result<(), UpstreamError> {
    let (mut cursor, mut count): (Option<Value>, usize) = (None, 0);
    for _ in 0..PAGES_MAX {
        let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let request = Request { method: method.into(), params, reach: Reach::default(), deadline: PAGE_WAIT };
        let mut page = match connection.request(request).await {
            Ok(page) => page,
            // Promised and not there: some servers have resources and no templates.
            Err(UpstreamError::Answered(fault)) if fault.code == rpc::METHOD_NOT_FOUND => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(Value::Array(definitions)) = page.get_mut(field).map(Value::take) else {
            return Err(UpstreamError::Garbage(format!("its answer to {method} has no list of {field}")));
        };
        count += definitions.len();
        offer.definitions.extend(definitions.into_iter().map(|definition| (kind, definition)));
        cursor = page.get_mut("nextCursor").map(Value::take).filter(Value::is_string);
        if cursor.is_none() {
            return Ok(());
        }
        if count > OFFERED_MAX {
            break;
        }
    }
    let why = format!("its list of {field} does not end: {count} were read");
    offer.left_out.push(LeftOut { kind, name: "(more)".into(), why });
    Ok(())
}
