//! The names that the hub has given, for good: what a server calls a thing, and what the hub calls it. Knows not how a name
//! is made.

use redb::ReadableTable;

use super::feed::Kind;
use super::tables::MCP_NAMES;
use super::{ReadError, Snapshot, Store, WriteError};

/// Names written at once: those of one server's catalog, and more.
pub const NAMES_AT_ONCE_MAX: usize = 32 * 1024;

/// A name that was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GivenName {
    pub slug: Box<str>,
    /// The kind and the server's own name: `tool:read_file`.
    pub own: Box<str>,
    /// What the hub calls it: `files__read_file`.
    pub exposed: Box<str>,
}

impl Store {
    /// Writes names and releases others, of one server. A name that is there already stays what it is.
    pub async fn give_names(
        &self,
        slug: &str,
        given: Vec<GivenName>,
        released: Vec<Box<str>>,
    ) -> Result<(), WriteError> {
        let size = given.len() + released.len();
        if size > NAMES_AT_ONCE_MAX {
            return Err(WriteError::TooLarge { what: "names", size, max: NAMES_AT_ONCE_MAX });
        }
        let bytes = given.iter().map(|name| name.slug.len() + name.own.len() + name.exposed.len()).sum();
        let slug = slug.to_owned();
        self.write(bytes, move |batch| {
            let mut changed = false;
            {
                let mut names = batch.txn.open_table(MCP_NAMES)?;
                for own in &released {
                    changed |= names.remove((slug.as_str(), &**own))?.is_some();
                }
                for name in given.iter().filter(|name| *name.slug == *slug) {
                    let key = (&*name.slug, &*name.own);
                    if names.get(key)?.is_none() {
                        names.insert(key, &*name.exposed)?;
                        changed = true;
                    }
                }
            }
            if changed {
                batch.changed(Kind::Catalog, &slug);
            }
            Ok(Ok(()))
        })
        .await
    }
}

impl Snapshot {
    /// All names that were given, by server.
    pub fn given_names(&self) -> Result<Vec<GivenName>, ReadError> {
        let mut given = Vec::new();
        for entry in self.0.open_table(MCP_NAMES)?.range::<(&str, &str)>(..)? {
            let (key, value) = entry?;
            let (slug, own) = key.value();
            given.push(GivenName { slug: slug.into(), own: own.into(), exposed: value.value().into() });
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_given_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hearth.redb");
        let store = Store::open(&path).expect("a store");
        let name = |own: &str, exposed: &str| GivenName { slug: "a".into(), own: own.into(), exposed: exposed.into() };
        store.give_names("a", vec![name("tool:x", "a__x"), name("tool:y", "a__y")], Vec::new()).await.expect("a write");
        store.give_names("a", vec![name("tool:x", "a__other")], vec!["tool:y".into()]).await.expect("a write");
        assert!(store.close().await);
        let given = Store::open(&path).expect("a store").snapshot().and_then(|store| store.given_names());
        assert_eq!(given, Ok(vec![name("tool:x", "a__x")]));
    }
}
