//! Who listens to which resource, counted by server: the server hears of each until it has agreed, and of the last. Asks nobody itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Resources of one server that are listened to.
pub const SUBSCRIPTIONS_MAX: usize = 1024;

type Counts = BTreeMap<Box<str>, BTreeMap<Box<str>, Listened>>;

#[derive(Default)]
struct Listened {
    count: usize,
    /// The server has taken it.
    is_confirmed: bool,
}

/// See the module.
#[derive(Default)]
pub struct Subscriptions(Mutex<Counts>);

impl Subscriptions {
    /// One more listens. True: the server has not agreed yet, and is to be told. `None`: there are too many.
    pub fn add(&self, slug: &str, uri: &str) -> Option<bool> {
        let mut counts = self.counts();
        let of_server = counts.entry(slug.into()).or_default();
        if of_server.len() >= SUBSCRIPTIONS_MAX && !of_server.contains_key(uri) {
            return None;
        }
        let listened = of_server.entry(uri.into()).or_default();
        listened.count += 1;
        Some(!listened.is_confirmed)
    }

    /// The server has taken it: after each start it is to be told again.
    pub fn confirm(&self, slug: &str, uri: &str) {
        if let Some(listened) = self.counts().get_mut(slug).and_then(|uris| uris.get_mut(uri)) {
            listened.is_confirmed = true;
        }
    }

    /// One less listens. True: it was the last, and the server is to be told.
    pub fn remove(&self, slug: &str, uri: &str) -> bool {
        let mut counts = self.counts();
        let Some(of_server) = counts.get_mut(slug) else { return false };
        let Some(listened) = of_server.get_mut(uri) else { return false };
        listened.count -= 1;
        let is_last = listened.count == 0;
        if is_last {
            of_server.remove(uri);
        }
        if of_server.is_empty() {
            counts.remove(slug);
        }
        is_last
    }

    /// Whether anybody listens to anything of a server.
    pub fn is_any(&self, slug: &str) -> bool {
        self.counts().contains_key(slug)
    }

    /// Whether anybody listens to this.
    pub fn has(&self, slug: &str, uri: &str) -> bool {
        self.counts().get(slug).is_some_and(|uris| uris.contains_key(uri))
    }

    /// What a server is to be told again after a start.
    pub fn of(&self, slug: &str) -> Vec<Box<str>> {
        let counts = self.counts();
        let uris = counts.get(slug).into_iter().flatten();
        uris.filter(|(_, listened)| listened.is_confirmed).map(|(uri, _)| uri.clone()).collect()
    }

    /// All listeners of a server are gone with it.
    pub fn forget(&self, slug: &str) {
        self.counts().remove(slug);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_told_until_it_has_agreed_and_of_the_last() {
        let subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.add("a", "x"), Some(true));
        assert_eq!(subscriptions.add("a", "x"), Some(true), "whether the server agrees nobody knows yet");
        assert_eq!(subscriptions.of("a"), [] as [Box<str>; 0], "the server has not taken it yet");
        subscriptions.confirm("a", "x");
        assert_eq!(subscriptions.add("a", "x"), Some(false));
        assert!(!subscriptions.remove("a", "x"));
        assert_eq!(subscriptions.of("a"), ["x".into()]);
        assert!(subscriptions.has("a", "x") && !subscriptions.has("a", "y") && !subscriptions.has("b", "x"));
        assert!(!subscriptions.remove("a", "x") && subscriptions.is_any("a"));
        assert!(subscriptions.remove("a", "x") && !subscriptions.is_any("a"));
        assert!(!subscriptions.remove("a", "x"), "once too often");
        assert!((0..SUBSCRIPTIONS_MAX).all(|n| subscriptions.add("a", &n.to_string()) == Some(true)));
        assert_eq!(subscriptions.add("a", "one more"), None);
        assert_eq!(subscriptions.add("b", "one more"), Some(true));
    }
}
