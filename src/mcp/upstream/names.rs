//! What the hub calls the things of other servers. A name is made of the server's and the thing's own, always the same way, and
//! once given it is kept for good. Reads and writes nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mcp::upstream::overlay::RESERVED;
use crate::mcp::upstream::pinning::hex_sha256;
use crate::store::{EntryKind, GivenName, is_tool_name};

/// The longest name of a tool that every model's provider takes (OpenAI, Anthropic, Gemini: 64).
pub const NAME_BYTES_MAX: usize = 64;

/// What stands between the server's name and the thing's own. No server's name contains it or ends with a part of it, so that the
/// first one in a name is the border.
pub const BORDER: &str = "__";

/// Hexadecimal digits of the hash in a name that could not be taken as it is; more of them where that is taken, too.
const HASH_DIGITS: [usize; 4] = [6, 12, 24, 32];

/// Where the hub's own resources live.
const HUB_SCHEME: &str = "hearth://";

/// Where a server's resource goes whose URI somebody else has: `upstream://<server>/<its own URI>`.
const MOVED_SCHEME: &str = "upstream://";

/// A server and its own name of a thing.
type Owner = (Box<str>, Box<str>);

/// All names that were given, and who has which URI.
#[derive(Debug, Default)]
pub struct Names {
    /// (server, kind and own name) → the hub's name.
    given: BTreeMap<(Box<str>, Box<str>), Arc<str>>,
    /// The reverse, a kind's names apart from another's.
    taken: BTreeMap<(EntryKind, Arc<str>), Owner>,
    /// Who has a URI or a template as it is.
    holders: BTreeMap<Box<str>, Box<str>>,
}

impl Names {
    /// As they were kept.
    pub fn new(kept: Vec<GivenName>) -> Names {
        let mut names = Names::default();
        for name in kept {
            let Some((kind, own)) = parse_key(&name.own) else { continue };
            let exposed: Arc<str> = (*name.exposed).into();
            names.taken.insert((kind, exposed.clone()), (name.slug.clone(), own.into()));
            names.given.insert((name.slug, name.own), exposed);
        }
        names
    }

    /// What the hub calls a server's thing, if it has a name.
    pub fn get(&self, slug: &str, kind: EntryKind, own: &str) -> Option<Arc<str>> {
        self.given.get(&(slug.into(), key(kind, own))).cloned()
    }

    /// Whose it is and what its server calls it.
    pub fn owner(&self, kind: EntryKind, exposed: &str) -> Option<(&str, &str)> {
        let (slug, own) = self.taken.get(&(kind, exposed.into()))?;
        Some((slug, own))
    }

    /// Gives a name to each tool or prompt that has none; returns the new ones, to be kept. What needs no change of its name comes
    /// first, so that the order in which they are offered does not matter. `bare`: its own name alone will do, where nobody has it.
    pub fn give<'a>(
        &mut self,
        slug: &str,
        kind: EntryKind,
        bare: bool,
        owns: impl Iterator<Item = &'a str>,
    ) -> Vec<GivenName> {
        let mut nameless: Vec<_> = owns.filter(|own| self.get(slug, kind, own).is_none()).collect();
        nameless.sort_by_key(|own| (plain(slug, own).is_none(), *own));
        nameless.dedup();
        let mut fresh = Vec::new();
        for own in nameless {
            let is_free = |name: &String| !self.taken.contains_key(&(kind, name.as_str().into()));
            // 128 bits of hash are not met twice; were they, the thing would have no name and be told of as left out.
            let Some(exposed) = candidates(slug, own, bare).find(is_free) else { continue };
            fresh.push(self.keep(slug, kind, own, &exposed));
        }
        fresh
    }

    /// Finds out under which URI each resource or template is shown: its own, unless somebody has that already. Returns the names of
    /// those that had to move just now, to be kept; what had moved once stays so.
    pub fn give_uris<'a>(
        &mut self,
        slug: &str,
        kind: EntryKind,
        uris: impl Iterator<Item = &'a str>,
    ) -> Vec<GivenName> {
        let mut fresh = Vec::new();
        for uri in uris {
            if must_move(uri) || self.get(slug, kind, uri).is_some() {
                continue;
            }
            match self.holders.get(uri) {
                None => drop(self.holders.insert(uri.into(), slug.into())),
                Some(holder) if **holder == *slug => {}
                Some(_) => fresh.push(self.keep(slug, kind, uri, &moved(slug, uri))),
            }
        }
        fresh
    }

    /// Under which URI a server's resource or template is shown.
    pub fn uri(&self, slug: &str, kind: EntryKind, own: &str) -> Arc<str> {
        let must = || must_move(own).then(|| moved(slug, own).into());
        self.get(slug, kind, own).or_else(must).unwrap_or_else(|| own.into())
    }

    /// Forgets which URIs a server has: it is gone, or is asked anew.
    pub fn leave_uris(&mut self, slug: &str) {
        self.holders.retain(|_, holder| **holder != *slug);
    }

    /// Names of a server beyond `max` that it does not offer (any more), to be released.
    pub fn surplus(&self, slug: &str, max: usize, is_offered: impl Fn(EntryKind, &str) -> bool) -> Vec<Box<str>> {
        let own: Vec<_> = self.of(slug).collect();
        let unused = own.iter().filter(|key| parse_key(key).is_none_or(|(kind, own)| !is_offered(kind, own)));
        unused.take(own.len().saturating_sub(max)).map(|key| (*key).into()).collect()
    }

    /// Takes a name back: see [`Names::surplus`].
    pub fn release(&mut self, slug: &str, own_key: &str) {
        let Some(exposed) = self.given.remove(&(slug.into(), own_key.into())) else { return };
        if let Some((kind, _)) = parse_key(own_key) {
            self.taken.remove(&(kind, exposed));
        }
    }

    fn of<'a>(&'a self, slug: &'a str) -> impl Iterator<Item = &'a str> {
        let from = (Box::from(slug), Box::from(""));
        self.given.range(from..).take_while(move |((of, _), _)| **of == *slug).map(|((_, own), _)| &**own)
    }

    fn keep(&mut self, slug: &str, kind: EntryKind, own: &str, exposed: &str) -> GivenName {
        let (own_key, shared) = (key(kind, own), Arc::<str>::from(exposed));
        self.taken.insert((kind, shared.clone()), (slug.into(), own.into()));
        self.given.insert((slug.into(), own_key.clone()), shared);
        GivenName { slug: slug.into(), own: own_key, exposed: exposed.into() }
    }
}

/// The names that a thing may get, the best first. All but a plain one carry a hash of both its names, so that they come out the same in
/// whatever order things appear.
fn candidates(slug: &str, own: &str, bare: bool) -> impl Iterator<Item = String> {
    let hash = hex_sha256(format!("{slug}\n{own}").as_bytes());
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mapped: String = own.chars().map(|c| if is_good(c) { c } else { '_' }).collect();
    let head = format!("{slug}{BORDER}");
    let hashed = HASH_DIGITS.map(|digits| {
        // One byte a character: `mapped` and a server's name are ASCII.
        let room = NAME_BYTES_MAX.saturating_sub(head.len() + 1 + digits);
        format!("{head}{}_{}", &mapped[..mapped.len().min(room)], &hash[..digits])
    });
    // A name with a border in it is a name of the server before the border: nobody else gets it.
    let is_own = may_be_of_a_server(own) && !own.contains(BORDER);
    let alone = (bare && is_own).then(|| own.to_owned());
    alone.into_iter().chain(plain(slug, own)).chain(hashed)
}

/// Whether a tool of a server may be called so: the hub's own have a dot in their names, or are reserved.
pub fn may_be_of_a_server(name: &str) -> bool {
    is_tool_name(name) && !RESERVED.contains(&name)
}

/// The name without a hash, where nothing has to be changed for it.
fn plain(slug: &str, own: &str) -> Option<String> {
    let is_good = !own.is_empty() && own.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let fits = slug.len() + BORDER.len() + own.len() <= NAME_BYTES_MAX;
    (is_good && fits).then(|| format!("{slug}{BORDER}{own}"))
}

/// The store's key: kind and own name.
fn key(kind: EntryKind, own: &str) -> Box<str> {
    format!("{}:{own}", kind.as_str()).into()
}

fn parse_key(key: &str) -> Option<(EntryKind, &str)> {
    let (kind, own) = key.split_once(':')?;
    let kinds = [EntryKind::Tool, EntryKind::Prompt, EntryKind::Resource, EntryKind::Template];
    Some((kinds.into_iter().find(|known| known.as_str() == kind)?, own))
}

/// Whether a URI cannot be shown as it is, whoever has it: it is of the hub's own, or looks like one that was moved.
fn must_move(uri: &str) -> bool {
    let begins = |scheme: &str| uri.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    begins(HUB_SCHEME) || begins(MOVED_SCHEME)
}

/// A URI or template of a server where nobody else's can be.
pub fn moved(slug: &str, uri: &str) -> String {
    format!("{MOVED_SCHEME}{slug}/{uri}")
}

/// The reverse of [`moved`]: the server and its own URI.
pub fn unmoved(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(MOVED_SCHEME)?.split_once('/')
}

/// Whether `uri` can come of a URI template (RFC 6570): the words between its expressions stand in it, in order.
pub fn fits_template(template: &str, uri: &str) -> bool {
    let Some((before, mut rest_of_template)) = template.split_once('{') else { return template == uri };
    let Some(mut rest) = uri.strip_prefix(before) else { return false };
    loop {
        let Some((_, after)) = rest_of_template.split_once('}') else { return false };
        let Some((words, next)) = after.split_once('{') else { return rest.ends_with(after) };
        let Some(at) = rest.find(words) else { return false };
        rest = &rest[at + words.len()..];
        rest_of_template = next;
    }
}

/// Bytes of a template that stand in every URI of it.
pub fn words_of_template(template: &str) -> usize {
    let pieces = template.split('{').enumerate();
    pieces
        .map(|(at, piece)| if at == 0 { piece } else { piece.split_once('}').map_or("", |(_, words)| words) }.len())
        .sum()
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
