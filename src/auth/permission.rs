//! Who may call which tool: the one place where that is decided, for every door.

use crate::common::who::{Principal, Role};

/// Why a call is refused, in words for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

/// Whether `who` may call a tool that is meant for `least` and those above. A pattern in `deny` refuses whatever else is
/// said; one in `allow` grants what the role alone would not, but never what is an owner's.
pub fn may_call(who: &Principal, tool: &str, least: Role) -> Result<(), Denied> {
    if who.deny.iter().any(|pattern| matches(pattern, tool)) {
        return Err(Denied(format!("{} may not use {tool}", who.user)));
    }
    let is_granted = least < Role::Owner && who.allow.iter().any(|pattern| matches(pattern, tool));
    match who.role >= least || is_granted {
        true => Ok(()),
        false => Err(Denied(format!(
            "{tool} is for {}s of the house and above; {} is a {}",
            least.as_str(),
            who.user,
            who.role.as_str()
        ))),
    }
}

/// Whether `pattern` stands for `name`: `*` stands for any text, also none; all else for itself.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(before) else { return false };
    let mut pieces = after.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The first place is as good as any: what follows has the longest rest.
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::common::who::Door;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name) in [("*", ""), ("lights__*", "lights__on"), ("*.list", "users.list"), ("a*b*c", "a-b-b-c")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("lights__*", "light__on"), ("a", "ab"), ("a*b", "a"), ("ab*ba", "aba")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    /// What is said in words: slow, and not the code above.
    fn says_yes(who: &Principal, tool: &str, least: Role) -> bool {
        let is_of = |patterns: &[Box<str>]| patterns.iter().any(|pattern| is_like(pattern.as_bytes(), tool.as_bytes()));
        !is_of(&who.deny) && (who.role >= least || (least != Role::Owner && is_of(&who.allow)))
    }

    fn is_like(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if is_like(rest, name) => true,
            (Some((b'*', _)), Some((_, after))) => is_like(pattern, after),
            (Some((one, rest)), Some((other, after))) => one == other && is_like(rest, after),
            _ => false,
        }
    }

    fn patterns() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(prop_oneof![Just("*".to_owned()), "[ab._*]{0,6}"], 0..4)
    }

    proptest! {
        #[test]
        fn nobody_reaches_what_is_not_for_them(
            role in proptest::sample::select(&Role::ALL),
            least in proptest::sample::select(&Role::ALL),
            tool in "[ab._]{0,6}",
            allow in patterns(),
            deny in patterns(),
        ) {
            let list = |patterns: Vec<String>| patterns.into_iter().map(Into::into).collect();
            let who = Principal { allow: list(allow), deny: list(deny), ..Principal::new("ann", role, Door::Mcp) };
            let may = may_call(&who, &tool, least).is_ok();
            prop_assert_eq!(may, says_yes(&who, &tool, least));
            prop_assert!(!may || least < Role::Owner || role == Role::Owner, "an owner's tool is an owner's");
        }
    }

    #[test]
    fn a_grant_goes_beyond_a_role_and_a_refusal_beyond_a_grant() {
        let guest = Principal {
            allow: ["lights__*".into()].into(),
            deny: ["lights__reset".into()].into(),
            ..Principal::new("ann", Role::Guest, Door::Rest)
        };
        assert_eq!(may_call(&guest, "lights__on", Role::Member), Ok(()));
        assert!(may_call(&guest, "lights__reset", Role::Guest).is_err());
        assert!(may_call(&guest, "files__read", Role::Member).is_err());
        let greedy = Principal { allow: ["*".into()].into(), ..guest };
        assert!(may_call(&greedy, "users.delete", Role::Owner).is_err(), "a grant never makes an owner");
    }
}
