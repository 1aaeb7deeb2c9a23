//! Everybody who may come in, by what they show: made from the store's users and tokens, as they were at one moment. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::auth::token::{self, Hash};
use crate::common::time::UnixMillis;
use crate::common::who::{Door, Principal, Role};
use crate::store::{Token, User};

/// See the module. Two are equal when the same may do the same; when somebody was last seen makes no difference.
#[derive(Debug, Default, PartialEq)]
pub struct Directory {
    by_hash: HashMap<Hash, Arc<Holder>>,
    by_id: BTreeMap<Box<str>, Arc<Holder>>,
    has_owner: bool,
}

/// A token and whose it is.
#[derive(Debug, PartialEq)]
pub struct Holder {
    /// Its `token` is this token's id; its door is REST's.
    pub who: Arc<Principal>,
    pub expires_at_ms: Option<UnixMillis>,
    /// Kept, but not let in.
    pub is_disabled: bool,
}

impl Directory {
    /// A token whose user is not there opens nothing.
    pub fn new(users: Vec<User>, tokens: &[Token]) -> Directory {
        let has_owner = users.iter().any(is_active_owner);
        let users: BTreeMap<String, User> = users.into_iter().map(|user| (user.name.clone(), user)).collect();
        let (mut by_hash, mut by_id) = (HashMap::new(), BTreeMap::new());
        for token in tokens {
            let (Some(user), Some(hash)) = (users.get(&token.user), token::from_hex(&token.hash)) else { continue };
            let holder = Arc::new(Holder {
                who: Arc::new(principal(user, token)),
                expires_at_ms: token.expires_at_ms,
                is_disabled: user.disabled,
            });
            by_hash.insert(hash, holder.clone());
            by_id.insert(token.id.as_str().into(), holder);
        }
        Directory { by_hash, by_id, has_owner }
    }

    /// Whoever shows this secret.
    pub fn by_secret(&self, secret: &str) -> Option<&Arc<Holder>> {
        self.by_hash.get(&token::hash(secret))
    }

    /// Whoever holds the token of this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Holder>> {
        self.by_id.get(id)
    }

    /// Whether anybody owns the hub and may come in.
    pub fn has_owner(&self) -> bool {
        self.has_owner
    }
}

/// Whether this one can let others in.
pub fn is_active_owner(user: &User) -> bool {
    user.role == Role::Owner && !user.disabled
}

fn principal(user: &User, token: &Token) -> Principal {
    let list = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Principal {
        token: Some(token.id.as_str().into()),
        rooms: user.rooms.as_deref().map(list),
        allow: list(&user.allow),
        deny: list(&user.deny),
        ..Principal::new(&user.name, user.role, Door::Rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: Role) -> User {
        User {
            name: name.into(),
            display_name: None,
            role,
            password_hash: None,
            disabled: false,
            allow: vec!["lights__*".into()],
            deny: vec!["lights__reset".into()],
            rooms: Some(vec!["kitchen".into()]),
            created_at_ms: 0,
            revision: 0,
        }
    }

    fn token(id: &str, user: &str, secret: &str) -> Token {
        Token {
            id: id.into(),
            user: user.into(),
            name: "phone".into(),
            hash: token::to_hex(&token::hash(secret)),
            created_at_ms: 0,
            expires_at_ms: Some(9),
            last_seen_ms: None,
            revision: 0,
        }
    }

    #[test]
    fn a_secret_leads_to_all_that_its_user_may() {
        let directory = Directory::new(vec![user("ann", Role::Member)], &[token("t-1", "ann", "secret")]);
        let holder = directory.by_secret("secret").expect("known");
        assert!(Arc::ptr_eq(holder, directory.by_id("t-1").expect("known")));
        let who = &holder.who;
        assert_eq!((&*who.user, who.role, who.token.as_deref()), ("ann", Role::Member, Some("t-1")));
        assert_eq!((&*who.allow[0], &*who.deny[0]), ("lights__*", "lights__reset"));
        assert_eq!(&*who.rooms.as_ref().expect("some")[0], "kitchen");
        assert_eq!((holder.expires_at_ms, holder.is_disabled, directory.has_owner()), (Some(9), false, false));
        assert!(directory.by_secret("Secret").is_none() && directory.by_id("t-2").is_none());
    }

    #[test]
    fn a_token_without_its_user_opens_nothing_and_a_disabled_owner_owns_nothing() {
        let directory = Directory::new(Vec::new(), &[token("t-1", "ann", "secret")]);
        assert!(directory.by_secret("secret").is_none() && !directory.has_owner());
        let off = User { disabled: true, ..user("ann", Role::Owner) };
        assert!(!Directory::new(vec![off], &[]).has_owner());
        assert!(Directory::new(vec![user("ann", Role::Owner)], &[]).has_owner());
    }

    #[test]
    fn being_seen_changes_nothing_and_all_else_does() {
        let of = |user: User, token: Token| Directory::new(vec![user], &[token]);
        let (ann, phone) = (user("ann", Role::Member), token("t-1", "ann", "secret"));
        let first = of(ann.clone(), phone.clone());
        assert_eq!(first, of(User { revision: 5, ..ann.clone() }, Token { last_seen_ms: Some(7), ..phone.clone() }));
        assert_ne!(first, of(User { disabled: true, ..ann.clone() }, phone.clone()));
        assert_ne!(first, of(User { deny: Vec::new(), ..ann.clone() }, phone.clone()));
        assert_ne!(first, of(ann, Token { expires_at_ms: None, ..phone }));
    }
}
