//! How long lists are asked for: so many at once, and a cursor to go on with. Knows no list.

use schemars::JsonSchema;
use serde::Deserialize;

use super::typed::bad_request;
use crate::mcp::call::Fault;
use crate::store::PAGE_LEN_MAX;

/// Entries of a page where nobody says how many.
const LIMIT_DEFAULT: usize = 50;

/// Which page is asked for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Entries at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Of `limit`, within its bounds.
pub fn len(limit: Option<u16>) -> usize {
    limit.map_or(LIMIT_DEFAULT, usize::from).clamp(1, PAGE_LEN_MAX)
}

/// A cursor that this list did not give.
pub fn bad_cursor() -> Fault {
    bad_request("cursor: this is none of this list's; leave it out to begin anew")
}

/// The page of a list that is sorted by `key`: what comes after the cursor, which is the last key of the page before.
pub fn cut<T>(all: Vec<T>, page: &Page, key: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    let after = page.cursor.as_deref();
    let mut rest: Vec<T> = all.into_iter().filter(|one| after.is_none_or(|after| key(one) > after)).collect();
    let len = len(page.limit);
    let next = (rest.len() > len).then(|| key(&rest[len - 1]).to_owned());
    rest.truncate(len);
    (rest, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_make_the_whole() {
        let all: Vec<String> = (0..25).map(|number| format!("{number:02}")).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page { limit: Some(7), cursor };
            let (found, next) = cut(all.clone(), &page, |one| one.as_str());
            assert!(found.len() <= 7);
            seen.extend(found);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!((len(None), len(Some(0)), len(Some(9999))), (50, 1, 200));
    }
}
