//! How a person is called at the door: people type "Mina" or "Grand-mère" and mean an account, whose name is plain. Pure.

use crate::common::fold::fold;
use crate::store::{LABEL_BYTES_MAX, NAME_BYTES_MAX, User, is_name};

/// The account's name for somebody in whose name there is no letter that such a name may have.
const UNWRITTEN: &str = "owner";

/// The account's name for a typed one, and the typed one as its display name where it is another. No letter of a name is lost: `None` where it is
/// empty or longer than [`LABEL_BYTES_MAX`].
pub(super) fn of_new(typed: &str) -> Option<(String, Option<String>)> {
    let typed = typed.trim();
    if is_name(typed) {
        return Some((typed.to_owned(), None));
    }
    if typed.is_empty() || typed.len() > LABEL_BYTES_MAX || typed.chars().any(char::is_control) {
        return None;
    }
    let name = plain(typed);
    let name = if is_name(&name) { name } else { UNWRITTEN.into() };
    Some((name, Some(typed.to_owned())))
}

/// Who is meant by what was typed: the account of this name, else the only one whose name or display name is the same but for case and accents.
pub(super) fn meant<'a>(typed: &str, users: &'a [User]) -> Option<&'a User> {
    let typed = typed.trim();
    if let Some(user) = users.iter().find(|user| user.name == typed) {
        return Some(user);
    }
    let (name, sought) = (plain(typed), folded(typed));
    let is_called = |user: &&User| {
        user.name == name || user.display_name.as_deref().is_some_and(|name| folded(name.trim()) == sought)
    };
    let mut called = users.iter().filter(is_called);
    called.next().filter(|_| called.next().is_none())
}

/// Letters and digits of ASCII, and one `-` for what is between them.
fn plain(typed: &str) -> String {
    let mut name = String::new();
    for letter in folded(typed).chars() {
        match letter {
            'a'..='z' | '0'..='9' | '_' => name.push(letter),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(NAME_BYTES_MAX);
    name.trim_end_matches('-').to_owned()
}

fn folded(name: &str) -> String {
    let mut into = String::new();
    fold(name, &mut into);
    into
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::who::Role;

    fn user(name: &str, display_name: Option<&str>) -> User {
        User {
            name: name.into(),
            display_name: display_name.map(Into::into),
            role: Role::Owner,
            password_hash: None,
            disabled: false,
            allow: Vec::new(),
            deny: Vec::new(),
            rooms: None,
            created_at_ms: 0,
            revision: 0,
        }
    }

    #[test]
    fn a_person_types_a_name_and_gets_an_account() {
        for (typed, name, display_name) in [
            ("mina", "mina", None),
            (" Mina ", "mina", Some("Mina")),
            ("Grand-mère", "grand-mere", Some("Grand-mère")),
            ("Jean  Luc!", "jean-luc", Some("Jean  Luc!")),
            ("Мина", "owner", Some("Мина")),
            ("今天", "owner", Some("今天")),
        ] {
            assert_eq!(of_new(typed), Some((name.into(), display_name.map(Into::into))), "{typed}");
        }
        for typed in ["", "  ", "a\nb", &"x".repeat(129)] {
            assert_eq!(of_new(typed), None, "{typed:?}");
        }
    }

    #[test]
    fn whoever_was_called_so_is_found_as_they_type_it() {
        let users = [
            user("mina", Some("Mina")),
            user("owner", Some("Мина")),
            user("ann", None),
            user("bo", Some("Ann")),
            user("jean-luc", Some("Jean  Luc!")),
        ];
        let found = |typed: &str| meant(typed, &users).map(|user| user.name.as_str());
        assert_eq!(
            [found("mina"), found("Mina"), found(" MINA "), found("мина")],
            [Some("mina"), Some("mina"), Some("mina"), Some("owner")]
        );
        assert_eq!(found("ann"), Some("ann"), "the account before the display name");
        assert_eq!(found("Jean Luc"), Some("jean-luc"), "what stands between the letters does not count");
        assert_eq!([found("Ann"), found("eve"), found("")], [None; 3], "nobody, or nobody knows which");
    }
}
