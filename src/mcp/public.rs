//! What of a record leaves the hub: its JSON as the store keeps it, without its secrets. One place for every door that shows
//! records by themselves. Knows no caller: who may see which is asked elsewhere.

use serde_json::Value;

use crate::store::{
    Conversation, DeviceRecord, Group, Kind, ModelProfile, ReadError, Record, Room, Scene, ServerRecord, Setting,
    Snapshot, Token, ToolOverlay, User, UserProfile,
};

/// A record's public form.
pub fn of<R: Record>(record: &R) -> Value {
    let mut value = serde_json::to_value(record).expect("a record has text keys only");
    if let (Some(secret), Some(fields)) = (secret(R::KIND), value.as_object_mut()) {
        fields.remove(secret);
    }
    value
}

/// A conversation's.
pub fn of_conversation(conversation: &Conversation) -> Value {
    serde_json::to_value(conversation).expect("a record has text keys only")
}

/// The record of this family and key in its public form; `None` where there is none, or the family has no records.
pub fn find(store: &Snapshot, kind: Kind, key: &str) -> Result<Option<Value>, ReadError> {
    fn one<R: Record>(store: &Snapshot, key: &str) -> Result<Option<Value>, ReadError> {
        Ok(store.get::<R>(key)?.map(|record| of(&record)))
    }
    match kind {
        Kind::Conversation => Ok(store.conversation(key)?.map(|found| of_conversation(&found))),
        Kind::Profile => one::<ModelProfile>(store, key),
        Kind::User => one::<User>(store, key),
        Kind::Token => one::<Token>(store, key),
        Kind::UserProfile => one::<UserProfile>(store, key),
        Kind::Setting => one::<Setting>(store, key),
        Kind::Server => one::<ServerRecord>(store, key),
        Kind::Overlay => one::<ToolOverlay>(store, key),
        Kind::Device => one::<DeviceRecord>(store, key),
        Kind::Room => one::<Room>(store, key),
        Kind::Group => one::<Group>(store, key),
        Kind::Scene => one::<Scene>(store, key),
        _ => Ok(None),
    }
}

/// All records of a family with key and revision, in the order of the keys. Not for conversations, of which there are too
/// many.
pub fn list(store: &Snapshot, kind: Kind) -> Result<Vec<(Box<str>, u64, Value)>, ReadError> {
    fn all<R: Record>(store: &Snapshot) -> Result<Vec<(Box<str>, u64, Value)>, ReadError> {
        let entry = |record: &R| (record.key().into(), record.revision(), of(record));
        Ok(store.list::<R>()?.iter().map(entry).collect())
    }
    match kind {
        Kind::Profile => all::<ModelProfile>(store),
        Kind::User => all::<User>(store),
        Kind::Token => all::<Token>(store),
        Kind::UserProfile => all::<UserProfile>(store),
        Kind::Setting => all::<Setting>(store),
        Kind::Server => all::<ServerRecord>(store),
        Kind::Overlay => all::<ToolOverlay>(store),
        Kind::Device => all::<DeviceRecord>(store),
        Kind::Room => all::<Room>(store),
        Kind::Group => all::<Group>(store),
        Kind::Scene => all::<Scene>(store),
        _ => Ok(Vec::new()),
    }
}

/// The field that stays in the house.
fn secret(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::User => Some("password_hash"),
        Kind::Token => Some("hash"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::who::Role;
    use crate::store::Store;

    fn ann() -> User {
        User {
            name: "ann".into(),
            display_name: None,
            role: Role::Member,
            password_hash: Some("$argon2id$secret".into()),
            disabled: false,
            allow: Vec::new(),
            deny: Vec::new(),
            rooms: None,
            created_at_ms: 7,
            revision: 0,
        }
    }

    fn token() -> Token {
        Token {
            id: "t-1".into(),
            user: "ann".into(),
            name: "phone".into(),
            hash: "5ec2e7".into(),
            created_at_ms: 7,
            expires_at_ms: None,
            last_seen_ms: None,
            revision: 0,
        }
    }

    #[tokio::test]
    async fn a_record_is_shown_as_it_is_kept_but_for_its_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let user = store.put(ann(), None).await.expect("kept");
        let token = store.put(token(), None).await.expect("kept");
        let snapshot = store.snapshot().expect("a look");
        for (kind, key, revision, fields) in [
            (Kind::User, "ann", user.revision, serde_json::to_value(&user).expect("JSON")),
            (Kind::Token, "t-1", token.revision, serde_json::to_value(&token).expect("JSON")),
        ] {
            let shown = find(&snapshot, kind, key).expect("a read").expect("it is there");
            let hidden = secret(kind).expect("these have one");
            let mut expected = fields;
            assert!(expected.as_object_mut().expect("a record").remove(hidden).is_some());
            assert_eq!(shown, expected);
            assert_eq!(list(&snapshot, kind).expect("a read"), [(key.into(), revision, shown)]);
        }
        assert_eq!(find(&snapshot, Kind::User, "bob").expect("a read"), None);
        assert_eq!(find(&snapshot, Kind::Blob, "b-1").expect("a read"), None);
    }
}
