//! What a session tells of changes, and what it does not.

use std::sync::Arc;

use super::*;
use crate::common::limits::REPLAY_BYTES_MAX;
use crate::common::who::{Door, Principal, Role};
use crate::gateway::session::topics::{Family, Heard, Told, Topic};

const EVENTS: &str = r#"["events"]"#;

fn subscribe(id: &str, topics: &str, snapshot: bool) -> String {
    let payload = format!(r#"{{"topics":{topics},"snapshot":{snapshot}}}"#);
    format!(r#"{{"action":"subscribe","request_id":"{id}","payload":{payload}}}"#)
}

fn unsubscribe(topics: &str) -> String {
    format!(r#"{{"action":"unsubscribe","request_id":"u","payload":{{"topics":{topics}}}}}"#)
}

fn told_of(family: Family, key: &str, record: Option<Value>) -> Arc<Told> {
    Arc::new(Told::new(family, key, 41, record.is_none(), record))
}

fn watch(topics: &[Topic], load: &[Topic]) -> Action {
    Action::Watch { topics: topics.to_vec(), load: load.to_vec() }
}

impl Played {
    /// A session of this one's.
    fn of(role: Role, features: &str) -> Played {
        let mut played = Played::v2(features);
        played.session.speaks_for(&Arc::new(Principal::new("ann", role, Door::Websocket)));
        played
    }

    fn heard(&mut self, heard: Heard) -> Vec<Value> {
        self.session.handle_heard(&heard);
        self.drain().iter().map(|text| parsed(text)).collect()
    }

    /// The events that a change makes, without their envelope.
    fn changed(&mut self, family: Family, key: &str, record: Option<Value>) -> Vec<Value> {
        let frames = self.heard(Heard::Changed(told_of(family, key, record)));
        frames.into_iter().map(|mut frame| frame["event"].take()).collect()
    }
}

#[test]
fn a_change_of_a_topic_is_told_as_an_event_with_a_number() {
    let mut played = Played::of(Role::Owner, EVENTS);
    let answers = played.say(&subscribe("s", r#"["profiles","settings"]"#, false));
    let metadata = parsed(&answers[0])["chunk"]["metadata"].take();
    assert_eq!((told(&answers), metadata), (vec!["complete".into()], json!({"topics":["profiles","settings"]})));
    assert_eq!(played.take_actions(), [watch(&[Topic::Profiles, Topic::Settings], &[])]);
    let record = json!({"name":"default","revision":41});
    let [frame] = played
        .heard(Heard::Changed(told_of(Family::ModelProfile, "default", Some(record.clone()))))
        .try_into()
        .expect("one event");
    let event = json!({"topic":"profiles","kind":"model_profile","key":"default","revision":41,"deleted":false,"record":record});
    assert_eq!(frame, json!({"request_id":"s","status":"event","seq":3,"event":event}));
    let [gone] = played.changed(Family::Setting, "a.b", None).try_into().expect("one event");
    assert_eq!((&gone["deleted"], gone.get("record")), (&json!(true), None));
    assert!(played.changed(Family::User, "bob", Some(json!({}))).is_empty(), "of another topic");
    played.assert_gapless();
}

#[test]
fn topics_come_and_go_and_each_event_names_its_own_subscribe() {
    let mut played = Played::of(Role::Owner, EVENTS);
    played.say(&subscribe("one", r#"["conversations"]"#, false));
    played.say(&subscribe("two", r#"["conversation/c-1","tools"]"#, false));
    let one = Topic::Conversation("c-1".into());
    assert_eq!(played.take_actions().last(), Some(&watch(&[Topic::Conversations, one.clone(), Topic::Tools], &[one])));
    let frames = played.heard(Heard::Changed(told_of(Family::Conversation, "c-1", Some(json!({})))));
    let named: Vec<_> = frames.iter().map(|frame| (&frame["request_id"], &frame["event"]["topic"])).collect();
    assert_eq!(named, [(&json!("one"), &json!("conversations")), (&json!("two"), &json!("conversation/c-1"))]);
    assert_eq!(played.changed(Family::Conversation, "c-2", Some(json!({}))).len(), 1);
    let answers = played.say(&unsubscribe(r#"["conversations","usage","conversation/c-1"]"#));
    assert_eq!(parsed(&answers[0])["chunk"]["metadata"], json!({"topics":["tools"]}), "what is left");
    assert!(played.changed(Family::Conversation, "c-1", Some(json!({}))).is_empty());
    played.say(&unsubscribe(r#"["tools"]"#));
    assert_eq!(played.take_actions().last(), Some(&watch(&[], &[])));
    assert!(!played.session.wants_events());
}

#[test]
fn what_is_there_comes_first_where_it_is_asked_for() {
    let mut played = Played::of(Role::Member, EVENTS);
    played.say(&subscribe("s", r#"["profiles"]"#, true));
    assert_eq!(played.take_actions(), [watch(&[Topic::Profiles], &[Topic::Profiles])]);
    let topic = Topic::Profiles;
    let there = |key: &str| Heard::There {
        topic: Topic::Profiles,
        told: told_of(Family::UserProfile, key, Some(json!({"user":key}))),
    };
    let [frame] = played.heard(there("ann")).try_into().expect("one event");
    let event = json!({"topic":"profiles","kind":"user_profile","key":"ann","revision":41,"deleted":false,
        "record":{"user":"ann"},"snapshot":true});
    assert_eq!(frame["event"], event);
    assert!(played.heard(there("bob")).is_empty(), "somebody else's");
    assert!(played.heard(Heard::AllThere { topic: topic.clone(), is_whole: true }).is_empty());
    assert!(played.heard(there("ann")).is_empty(), "that was all");
    played.say(&subscribe("t", r#"["profiles"]"#, true));
    let [frame] = played.heard(Heard::AllThere { topic, is_whole: false }).try_into().expect("one event");
    assert_eq!(frame, json!({"request_id":"t","status":"event","seq":5,"event":{"topic":"profiles","reread":true}}));
}

#[test]
fn a_conversation_is_told_to_its_user_alone_and_its_end_as_well() {
    let mut played = Played::of(Role::Member, EVENTS);
    let (hers, his) = (json!({"user":"ann"}), json!({"user":"bob"}));
    played.say(&subscribe("s", r#"["conversations","conversation/c-hers","conversation/c-his"]"#, false));
    let actions = played.take_actions();
    let [Action::Watch { load, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(load.len(), 2, "whose these are is asked while it can be seen");
    for (key, record) in [("c-hers", &hers), ("c-his", &his)] {
        let topic = Topic::Conversation(key.into());
        let told = told_of(Family::Conversation, key, Some(record.clone()));
        assert!(played.heard(Heard::There { topic: topic.clone(), told }).is_empty(), "no snapshot was asked for");
        assert!(played.heard(Heard::AllThere { topic, is_whole: true }).is_empty());
    }
    assert_eq!(played.changed(Family::Conversation, "c-hers", Some(hers)).len(), 2);
    assert!(played.changed(Family::Conversation, "c-his", Some(his)).is_empty());
    let reread = json!({"topic":"conversations","reread":true});
    let gone = played.changed(Family::Conversation, "c-hers", None);
    assert_eq!(
        (&gone[0], &gone[1]["topic"], &gone[1]["deleted"]),
        (&reread, &json!("conversation/c-hers"), &json!(true))
    );
    assert_eq!(played.changed(Family::Conversation, "c-his", None), [reread], "not by its name");
    let mut owner = Played::of(Role::Owner, EVENTS);
    owner.say(&subscribe("s", r#"["conversations"]"#, false));
    assert_eq!(owner.changed(Family::Conversation, "c-his", None)[0]["key"], "c-his");
}

#[test]
fn who_may_not_hear_of_a_topic_is_told_so_and_hears_of_none() {
    for role in [Role::Guest, Role::Device, Role::Member] {
        let mut played = Played::of(role, EVENTS);
        assert_eq!(code(&played.say(&subscribe("s", r#"["tools","users"]"#, true))), "forbidden");
        assert_eq!(played.take_actions(), []);
        assert!(played.changed(Family::User, "bob", Some(json!({}))).is_empty());
    }
    let mut unknown = Played::v2(EVENTS);
    assert_eq!(code(&unknown.say(&subscribe("s", r#"["settings"]"#, true))), "forbidden", "nobody said who it is");
    let mut was_owner = Played::of(Role::Owner, EVENTS);
    was_owner.say(&subscribe("s", r#"["users"]"#, false));
    was_owner.session.speaks_for(&Arc::new(Principal::new("ann", Role::Member, Door::Websocket)));
    assert!(was_owner.changed(Family::User, "bob", Some(json!({}))).is_empty(), "the right is gone");
}

#[test]
fn what_is_no_subscription_is_said_and_changes_nothing() {
    let mut played = Played::of(Role::Owner, EVENTS);
    for topics in
        [r#"[]"#, r#"["jobs"]"#, r#"["settings","nothing"]"#, r#"["conversation/"]"#, r#"[7]"#, r#""settings""#]
    {
        assert_eq!(code(&played.say(&subscribe("s", topics, false))), "bad_request", "{topics}");
        assert_eq!(code(&played.say(&unsubscribe(topics))), "bad_request", "{topics}");
    }
    let many = |from: usize, to: usize| {
        let names: Vec<_> = (from..to).map(|at| format!("\"conversation/c-{at}\"")).collect();
        format!("[{}]", names.join(","))
    };
    assert_eq!(code(&played.say(&subscribe("s", &many(0, 65), false))), "bad_request");
    assert_eq!(played.take_actions(), []);
    assert_eq!(told(&played.say(&subscribe("s", &many(0, 64), false))), ["complete"]);
    assert_eq!(told(&played.say(&subscribe("s", &many(0, 64), false))), ["complete"], "these again");
    assert_eq!(code(&played.say(&subscribe("s", &many(64, 65), false))), "bad_request", "one too many");
    let mut without = Played::of(Role::Owner, "[]");
    assert_eq!(code(&without.say(&subscribe("s", r#"["settings"]"#, false))), "unsupported");
    assert_eq!(without.take_actions(), []);
}

#[test]
fn a_hello_without_events_ends_them() {
    let mut played = Played::of(Role::Owner, EVENTS);
    played.say(&subscribe("s", r#"["settings"]"#, false));
    played.take_actions();
    played.say(r#"{"action":"hello","payload":{"protocol":[2],"features":[]}}"#);
    assert_eq!(played.take_actions(), [watch(&[], &[])]);
    assert!(played.changed(Family::Setting, "a", None).is_empty());
}

#[test]
fn a_slow_client_and_one_without_a_socket_hold_changes_back() {
    let mut played = Played::of(Role::Owner, r#"["events","resume"]"#);
    played.say(&subscribe("s", r#"["settings"]"#, false));
    assert!(played.session.wants_events());
    played.reads = false;
    let mut events = 0;
    while played.session.wants_events() {
        let record = json!({"value":"x".repeat(10_000)});
        played.changed(Family::Setting, "a", Some(record));
        events += 1;
        assert!(events < 100, "nothing holds them back");
    }
    played.lose_socket();
    assert!(played.session.wants_news() && !played.session.wants_events(), "they coalesce until somebody is there");
    let answers = played.resume(2);
    assert_eq!(told(&answers), [vec!["event"; events], vec!["complete"]].concat(), "numbered like all else");
    assert!(played.session.wants_events());
    played.assert_gapless();
}

#[test]
fn after_a_gap_every_topic_is_to_be_read_again() {
    let mut played = Played::of(Role::Owner, r#"["events","resume"]"#);
    played.say(&subscribe("s", r#"["settings","users"]"#, false));
    let key = played.chat("a");
    played.text(key, &"x".repeat(REPLAY_BYTES_MAX));
    played.lose_socket();
    let answers: Vec<_> = played.resume(3).iter().map(|text| parsed(text)).collect();
    assert_eq!(answers[0]["error"]["snapshot"]["topics"], json!(["settings", "users"]));
    let events: Vec<_> = answers[1..].iter().map(|frame| frame["event"].clone()).collect();
    assert_eq!(events, [json!({"topic":"settings","reread":true}), json!({"topic":"users","reread":true})]);
}
