//! Lists, a page at a time, and the text of the tools, which is long and seldom changes. A cursor names the last item of
//! the page before, so that a page stays right when the list changes. Knows no client.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::mcp::definition::Definition;
use crate::mcp::rpc::{INVALID_PARAMS, RpcError};
use crate::mcp::server::shape;
use crate::mcp::server::version::Era;

/// Items of a page: more than a house has, since many clients never ask for a second one.
pub const PAGE_LEN: usize = 2_000;

/// The longest cursor that is looked at, bytes.
const CURSOR_BYTES_MAX: usize = 4 * 1024;

/// Lists of tools whose text is kept: one for each era and each view that a role or a grant gives.
const KEPT_MAX: usize = 8;

/// What follows the item that `cursor` names, and the cursor of the page after, if there is one. Sorted by `key`.
pub fn page<T>(
    mut items: Vec<T>,
    key: impl Fn(&T) -> &str,
    cursor: Option<&Value>,
    page_len: usize,
) -> Result<(Vec<T>, Option<String>), RpcError> {
    if let Some(cursor) = cursor {
        let last = read(cursor).ok_or_else(|| {
            RpcError::new(INVALID_PARAMS, "this cursor is not one that the hub gave; begin with the first page")
        })?;
        let at = items.partition_point(|item| key(item) <= last.as_str());
        items.drain(..at);
    }
    let next = (items.len() > page_len).then(|| URL_SAFE_NO_PAD.encode(key(&items[page_len - 1])));
    items.truncate(page_len);
    Ok((items, next))
}

fn read(cursor: &Value) -> Option<String> {
    let cursor = cursor.as_str().filter(|cursor| cursor.len() <= CURSOR_BYTES_MAX)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// All tools there are, source by source ([`crate::mcp::Service::snapshots`]).
pub type Snapshots = Vec<Arc<[Arc<Definition>]>>;

/// The texts of lists of tools.
#[derive(Default)]
pub struct Texts {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// What there was when they were made. When there is something else none of them is asked for again.
    of: Snapshots,
    texts: Vec<Text>,
}

struct Text {
    era: Era,
    tools: Vec<Arc<Definition>>,
    text: Arc<str>,
}

impl Texts {
    /// A JSON array of MCP `Tool`s, which are some of `all`. The same definitions give the same text, which is made once.
    pub fn of(&self, era: Era, tools: Vec<Arc<Definition>>, all: Snapshots) -> Arc<str> {
        let is_same = |kept: &Text| {
            kept.era == era
                && kept.tools.len() == tools.len()
                && kept.tools.iter().zip(&tools).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !(kept.of.len() == all.len() && kept.of.iter().zip(&all).all(|(a, b)| Arc::ptr_eq(a, b))) {
            *kept = Kept { of: all, texts: Vec::new() };
        }
        let texts = &mut kept.texts;
        if let Some(at) = texts.iter().position(is_same) {
            // The last is the one that was asked for last.
            let found = texts.remove(at);
            let text = found.text.clone();
            texts.push(found);
            return text;
        }
        let text = written(era, &tools);
        if texts.len() == KEPT_MAX {
            texts.remove(0);
        }
        texts.push(Text { era, tools, text: text.clone() });
        text
    }
}

/// One tool after the other, so that they are never in memory a second time as trees.
fn written(era: Era, tools: &[Arc<Definition>]) -> Arc<str> {
    let mut text = String::from("[");
    for (at, tool) in tools.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(text, "{comma}{}", shape::tool(era, tool)).expect("a String takes any text");
    }
    text.push(']');
    text.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::common::who::Role;
    use crate::mcp::definition::Annotations;

    #[test]
    fn pages_give_everything_once_also_when_the_list_changes() {
        let all = ["a", "b", "c", "d", "e"];
        let (first, next) = page(all.to_vec(), |item| item, None, 2).unwrap();
        assert_eq!(first, ["a", "b"]);
        let cursor = json!(next.unwrap());
        let without_b = vec!["a", "c", "d", "e"];
        let (second, next) = page(without_b, |item| item, Some(&cursor), 2).unwrap();
        assert_eq!((second, next.is_some()), (vec!["c", "d"], true));
        let (last, none) = page(all.to_vec(), |item| item, Some(&json!(next.unwrap())), 2).unwrap();
        assert_eq!((last, none), (vec!["e"], None));
        for strange in [json!(7), json!("!"), json!("_w"), json!("a".repeat(CURSOR_BYTES_MAX + 1))] {
            assert_eq!(page(all.to_vec(), |item| item, Some(&strange), 2).unwrap_err().code, INVALID_PARAMS);
        }
    }

    #[test]
    fn a_text_is_made_once_for_the_same_tools() {
        let tool = || Arc::new(Definition::native::<(), ()>("a.b", "t", "d", Annotations::READS, Role::Guest));
        let (texts, one) = (Texts::default(), tool());
        let all: Snapshots = vec![[one.clone()].into()];
        let of = |era, tools, all: &Snapshots| texts.of(era, tools, all.clone());
        let first = of(Era::Sessions, vec![one.clone()], &all);
        assert_eq!(serde_json::from_str::<Value>(&first).unwrap(), json!([shape::tool(Era::Sessions, &one)]));
        assert!(Arc::ptr_eq(&first, &of(Era::Sessions, vec![one.clone()], &all)));
        assert!(!Arc::ptr_eq(&first, &of(Era::Stateless, vec![one.clone()], &all)));
        assert!(!Arc::ptr_eq(&first, &of(Era::Sessions, vec![tool()], &all)), "another one of the same name");
        (0..2 * KEPT_MAX).for_each(|_| drop(of(Era::Sessions, vec![tool()], &all)));
        assert_eq!(texts.kept.lock().unwrap().texts.len(), KEPT_MAX);
        of(Era::Sessions, vec![], &vec![[].into()]);
        assert_eq!(texts.kept.lock().unwrap().texts.len(), 1, "there are other tools now: the old lists are of no use");
    }
}
