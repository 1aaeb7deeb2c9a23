//! Brings an older file up to this program's layout: a slice of steps, all in one transaction, so that a file is either
//! as it was or wholly new. Never opens a file and never goes back.

use redb::{Database, ReadableDatabase, TableError, WriteTransaction};

use super::tables::{self, META, META_SCHEMA_VERSION, SCHEMA_VERSION, meta};

/// One step from a version to the next.
pub(super) struct Step {
    pub(super) from_version: u64,
    pub(super) run: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

/// The steps that exist, oldest first. A step is added with every rise of [`SCHEMA_VERSION`] and never changed after.
pub(super) const STEPS: &[Step] = &[
    // Messages with parts read as before where they have none: nothing that was written changes.
    Step { from_version: 1, run: tables::add_blobs_and_usage },
    Step { from_version: 2, run: tables::add_users_and_servers },
    Step { from_version: 3, run: tables::add_the_house },
    Step { from_version: 4, run: tables::add_sign_ins },
];

/// The layouts that a program can read: its own, and those it has steps from.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) version: u64,
    pub(super) steps: &'static [Step],
}

impl Layout {
    pub(super) const CURRENT: Layout = Layout { version: SCHEMA_VERSION, steps: STEPS };
}

/// The file's version; `None` when it is a redb database of somebody else's.
pub(super) fn version(db: &Database) -> Result<Option<u64>, redb::Error> {
    match db.begin_read()?.open_table(META) {
        Ok(table) => Ok(Some(meta(&table, META_SCHEMA_VERSION)?).filter(|version| *version > 0)),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Runs the steps from `found` up to `layout`; true when there were any. After an error the file is as it was.
pub(super) fn run(db: &Database, found: u64, layout: Layout) -> Result<bool, redb::Error> {
    if found == layout.version {
        return Ok(false);
    }
    let txn = db.begin_write()?;
    for from_version in found..layout.version {
        let Some(step) = layout.steps.iter().find(|step| step.from_version == from_version) else {
            return Err(redb::Error::Corrupted(format!("no step leads on from layout {from_version}")));
        };
        (step.run)(&txn)?;
    }
    txn.open_table(META)?.insert(META_SCHEMA_VERSION, layout.version)?;
    txn.commit()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use redb::ReadableTableMetadata;

    use super::*;
    use crate::common::chat::Role;
    use crate::common::who::HOUSE;
    use crate::store::tables::{BLOBS, CONVERSATIONS, CONVERSATIONS_BY_TIME, MESSAGES, META_REVISION, PROFILES, USAGE};
    use crate::store::{
        HouseSave, ModelProfile, NewMessage, Room, SeriesPoints, Setting, Store, UsageKey, UsageSum, User, ZigbeeSaved,
    };

    #[test]
    fn every_version_that_ever_was_has_a_step() {
        let from: Vec<u64> = STEPS.iter().map(|step| step.from_version).collect();
        assert_eq!(from, (1..SCHEMA_VERSION).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_file_of_layout_1_opens_and_keeps_everything() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        write_layout_1(&path);
        let store = Store::open(&path).expect("a way from layout 1");
        let conversation = store.conversation("kitchen").await.expect("readable").expect("there");
        assert_eq!((conversation.message_count, conversation.title.as_deref()), (2, Some("Hello")));
        assert_eq!(store.conversations(None, None, 9).await.expect("readable"), [conversation]);
        let said = store.messages("kitchen", None, 9).await.expect("readable");
        let told: Vec<_> = said.iter().map(|said| (said.seq, said.role, said.text.as_str(), said.partial)).collect();
        assert_eq!(told, [(1, Role::User, "Hello", false), (2, Role::Assistant, "Hi", true)]);
        assert_eq!((said[1].reasoning.as_deref(), said[1].model.as_deref()), (Some("hm"), Some("smollm2")));
        assert!(said.iter().all(|said| said.parts.is_empty()));
        let context = store.context("kitchen", 1000).await.expect("readable");
        assert_eq!(context.iter().map(|message| message.text()).collect::<Vec<_>>(), ["Hello", "Hi"]);
        let profile = store.get::<ModelProfile>("default").await.expect("readable").expect("there");
        let expected = ModelProfile { temperature: Some(0.5), revision: 2, ..ModelProfile::new("default") };
        assert_eq!(profile, expected);

        // What is new works in it, and goes on where the old one was.
        store.append(HOUSE, "kitchen", vec![NewMessage::new(Role::User, "Again", 3)]).await.expect("room");
        assert_eq!(store.messages("kitchen", None, 1).await.expect("readable")[0].seq, 3);
        assert!(store.conversation("kitchen").await.expect("readable").expect("there").revision > 2);
        store.put_blob("image/png", "x".into()).await.expect("room");
        let name = || String::from("x");
        let day = jiff::civil::date(2026, 11, 22);
        let key = UsageKey { day, user: name(), profile: name(), provider: name(), model: name() };
        store.add_usage(key, UsageSum::default()).await.expect("room");
        assert!(store.close().await);
        let db = Database::open(&path).expect("a whole file");
        assert_eq!(version(&db).expect("readable"), Some(SCHEMA_VERSION));
        let txn = db.begin_read().expect("a transaction");
        assert_eq!(txn.open_table(BLOBS).expect("a table").len().expect("readable"), 1);
        assert_eq!(txn.open_table(USAGE).expect("a table").len().expect("readable"), 1);
    }

    #[tokio::test]
    async fn a_file_of_layout_2_opens_and_what_is_new_works_in_it() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        write_layout_1(&path);
        {
            // As layout 2 made of it, with a day of usage.
            let db = Database::create(&path).expect("a file");
            let txn = db.begin_write().expect("a transaction");
            tables::add_blobs_and_usage(&txn).expect("room");
            let row = ("2026-11-22", "house", "default", "openai", "m");
            txn.open_table(USAGE).expect("a table").insert(row, &br#"{"requests":3}"#[..]).expect("room");
            txn.open_table(META).expect("a table").insert(META_SCHEMA_VERSION, 2).expect("room");
            txn.commit().expect("a commit");
        }
        let store = Store::open(&path).expect("a way from layout 2");
        let conversation = store.conversation("kitchen").await.expect("readable").expect("there");
        assert_eq!(conversation.user, HOUSE, "what was said before there were users is the house's");
        store.append(HOUSE, "kitchen", vec![NewMessage::new(Role::User, "Again", 3)]).await.expect("room");
        let refused = store.append("ann", "kitchen", vec![NewMessage::new(Role::User, "Mine?", 4)]).await;
        assert!(matches!(refused, Err(crate::store::WriteError::NotFound(_))), "{refused:?}");
        let day = jiff::civil::date(2026, 11, 22);
        assert_eq!(store.usage(day, day).await.expect("readable")[0].1.requests, 3);
        let setting = Setting { key: "house.name".into(), value: "x".into(), revision: 0 };
        assert_eq!(store.put(setting, Some(0)).await.map(|kept| kept.revision), Ok(4));
        assert!(store.list::<User>().await.expect("readable").is_empty());
        assert!(store.audit(None, 9, |_| true).await.expect("readable").is_empty());
        assert!(store.close().await);
        let db = Database::open(&path).expect("a whole file");
        assert_eq!(version(&db).expect("readable"), Some(SCHEMA_VERSION));
    }

    #[tokio::test]
    async fn a_file_of_layout_3_opens_and_the_house_moves_in() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        write_layout_1(&path);
        {
            let db = Database::create(&path).expect("a file");
            let txn = db.begin_write().expect("a transaction");
            tables::add_blobs_and_usage(&txn).expect("room");
            tables::add_users_and_servers(&txn).expect("room");
            let setting = br#"{"key":"house.name","value":"Ours","revision":3}"#;
            txn.open_table(tables::SETTINGS).expect("a table").insert("house.name", &setting[..]).expect("room");
            txn.open_table(META).expect("a table").insert(META_SCHEMA_VERSION, 3).expect("room");
            txn.open_table(META).expect("a table").insert(META_REVISION, 3).expect("room");
            txn.commit().expect("a commit");
        }
        let store = Store::open(&path).expect("a way from layout 3");
        assert_eq!(store.get::<Setting>("house.name").await.expect("readable").expect("there").value, "Ours");
        assert!(store.list::<Room>().await.expect("readable").is_empty());
        let room = Room { id: "kitchen".into(), name: "Kitchen".into(), ..Room::default() };
        assert_eq!(store.put(room, Some(0)).await.map(|kept| kept.revision), Ok(4));
        assert_eq!(store.zigbee().await.expect("readable"), ZigbeeSaved::default());
        let power = SeriesPoints { device: "0x1".into(), property: "power".into(), points: vec![(1, 2.into())] };
        store.save_house(HouseSave { series: vec![power], ..HouseSave::default() }).await.expect("room");
        assert!(store.close().await);
        assert_eq!(version(&Database::open(&path).expect("a whole file")).expect("readable"), Some(SCHEMA_VERSION));
    }

    /// A file as Hearth 0.1.0 wrote it: its tables, its keys, its JSON.
    fn write_layout_1(path: &Path) {
        let db = Database::create(path).expect("a new file");
        let txn = db.begin_write().expect("a transaction");
        {
            let mut meta = txn.open_table(META).expect("a table");
            for (name, number) in [(META_SCHEMA_VERSION, 1), (META_REVISION, 2), ("history_bytes", 150)] {
                meta.insert(name, number).expect("room");
            }
            let mut conversations = txn.open_table(CONVERSATIONS).expect("a table");
            let record = br#"{"id":"kitchen","title":"Hello","created_at_ms":1,"updated_at_ms":2,"revision":1,"message_count":2,"bytes":150}"#;
            conversations.insert("kitchen", &record[..]).expect("room");
            txn.open_table(CONVERSATIONS_BY_TIME).expect("a table").insert((2, "kitchen"), ()).expect("room");
            let mut messages = txn.open_table(MESSAGES).expect("a table");
            let question = br#"{"role":"user","text":"Hello","at_ms":1}"#;
            let answer = br#"{"role":"assistant","text":"Hi","reasoning":"hm","at_ms":2,"partial":true,"provider":"local","model":"smollm2"}"#;
            messages.insert(("kitchen", 1), &question[..]).expect("room");
            messages.insert(("kitchen", 2), &answer[..]).expect("room");
            let profile = br#"{"name":"default","temperature":0.5,"context_tokens":4096,"revision":2}"#;
            txn.open_table(PROFILES).expect("a table").insert("default", &profile[..]).expect("room");
        }
        txn.commit().expect("a commit");
    }
}
