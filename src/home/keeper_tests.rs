//! The house from outside: over a real store, with a source that does what it is told.

#[path = "radio_tests.rs"]
mod radio;

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::common::capability::Domain;
use crate::common::who::{Door, Role};
use crate::home::testing::{
    Asked, Script, bulb, climate, contact, fields, id, lamp_with_colour, lock, plug, remote, unreachable,
};
use crate::home::{
    DeviceEdit, DeviceInfo, GroupEdit, Heard, HistoryQuery, News, PairingNews, Resolution, RoomEdit, SceneEdit,
    SceneWish, Selection, SourceEvent, Targets,
};

struct House {
    folder: TempDir,
    source: Arc<Script>,
    keeper: Keeper,
}

/// A house with these devices.
async fn house(devices: Vec<DeviceInfo>) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, keeper) = open(&folder, Backend::Simulated).await;
    source.begin(devices.clone()).await;
    settled(&keeper, |keeper| keeper.devices().iter().filter(|one| one.available.is_some()).count() == devices.len())
        .await;
    House { folder, source, keeper }
}

async fn open(folder: &TempDir, backend: Backend) -> (Arc<Script>, Keeper) {
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let source = Script::new(backend);
    let keeper = Keeper::start(store, vec![source.clone()]).await.expect("a house");
    (source, keeper)
}

async fn settled(keeper: &Keeper, is_so: impl Fn(&Keeper) -> bool) {
    for _ in 0..500 {
        if is_so(keeper) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to be: {:?}", keeper.devices());
}

fn owner() -> Principal {
    Principal::house(Door::Hub)
}

fn of_rooms(rooms: &[&str]) -> Principal {
    let rooms = rooms.iter().map(|room| (*room).into()).collect();
    Principal { rooms: Some(rooms), ..Principal::new("kid", Role::Member, Door::Rest) }
}

fn named(names: &[&str], set: Value) -> Wish {
    Wish { targets: Targets::Named(names.iter().map(|name| (*name).into()).collect()), set: fields(set) }
}

fn everywhere(room: Option<&str>, domain: Option<Domain>, except: &[&str], set: Value) -> Wish {
    let except = except.iter().map(|name| (*name).into()).collect();
    Wish { targets: Targets::Where(Selection { room: room.map(Into::into), domain, except }), set: fields(set) }
}

fn quietly(_: &SetResult, _: usize, _: usize) {}

impl House {
    async fn room(&self, name: &str, devices: &[&str]) -> Arc<Room> {
        let edit = RoomEdit { name: Some(name.into()), aliases: None };
        let room = self.keeper.put_room(&owner(), None, edit, None).await.expect("a room");
        for device in devices {
            let edit = DeviceEdit { room: Some(room.id.clone()), ..DeviceEdit::default() };
            self.keeper.edit_device(&owner(), device, edit, None).await.expect("a place");
        }
        room
    }

    async fn set(&self, wish: Wish) -> Vec<SetResult> {
        self.keeper.set(&owner(), wish, quietly).await.expect("a good wish")
    }
}

#[tokio::test]
async fn a_command_is_done_when_the_device_says_so() {
    let house = house(vec![bulb("0x1"), plug("0x2"), contact("0x3")]).await;
    let names: Vec<_> = house.keeper.devices().iter().map(|device| device.name.to_string()).collect();
    assert_eq!(names, ["Bulb", "Contact sensor", "Plug"]);
    let done = house.set(named(&["bulb"], json!({"state": "on", "brightness": 127}))).await;
    assert_eq!((done.len(), done[0].ok, &done[0].error), (1, true, &None));
    assert_eq!(done[0].state, fields(json!({"state": "ON", "brightness": 127})));
    let bulb = house.keeper.device(&owner(), "0x1").expect("it is there");
    assert_eq!((&bulb.state, bulb.desired.len()), (&fields(json!({"state": "ON", "brightness": 127})), 0));
    let asked =
        Asked::Set { targets: vec![id("0x1")], set: fields(json!({"state": "ON", "brightness": 127})), group: None };
    assert_eq!(house.source.was_asked(), [asked]);

    // One fails, one says the opposite: each is told for itself, and nothing is shown that was not confirmed.
    lock(&house.source.fails).entry(id("0x2")).or_default().push_back(unreachable());
    lock(&house.source.says).insert(id("0x1"), fields(json!({"state": "ON", "brightness": 127})));
    let done = house.set(named(&["Bulb", "Plug"], json!({"state": "OFF"}))).await;
    let code = |at: usize| done[at].error.as_ref().map(|error| error.code);
    assert_eq!((code(0), code(1)), (Some(ErrorCode::DeviceRejected), Some(ErrorCode::DeviceUnreachable)));
    assert!(done.iter().all(|one| !one.ok && one.state.is_empty()));
    let state = |name: &str| house.keeper.device(&owner(), name).expect("there").state.get("state").cloned();
    assert_eq!((state("Bulb"), state("Plug")), (Some(json!("ON")), None));
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_said_before_anything_is_sent() {
    let house = house(vec![bulb("0x1"), contact("0x2")]).await;
    let error = async |wish| house.keeper.set(&owner(), wish, quietly).await.expect_err("a bad wish");
    for (wish, code, says) in [
        (
            named(&["Bulp"], json!({"state": "ON"})),
            ErrorCode::NotFound,
            "There is no device or group \"Bulp\". Did you mean \"Bulb\"?",
        ),
        (named(&[], json!({"state": "ON"})), ErrorCode::BadRequest, "targets: name 1 to 512 devices or groups."),
        (
            named(&["Bulb"], json!({})),
            ErrorCode::BadRequest,
            "set: name 1 to 64 properties and the values that they are to have.",
        ),
        (
            named(&["Bulb"], json!({"brightness": 300})),
            ErrorCode::BadRequest,
            "brightness of \"Bulb\": takes 0 to 254.",
        ),
        (
            named(&["Bulb", "Contact sensor"], json!({"state": "ON"})),
            ErrorCode::BadRequest,
            "\"Contact sensor\" has no property \"state\", and nothing that can be set.",
        ),
        (
            everywhere(Some("cellar"), None, &[], json!({"state": "ON"})),
            ErrorCode::NotFound,
            "There is no room \"cellar\".",
        ),
        (
            everywhere(None, Some(Domain::Cover), &[], json!({"state": "OPEN"})),
            ErrorCode::NotFound,
            "There is no cover in the house.",
        ),
        (
            everywhere(None, Some(Domain::Light), &[], json!({"position": 3})),
            ErrorCode::BadRequest,
            "None of the devices that are meant can be told \"position\". \"Bulb\" takes: state (\"ON\", \"OFF\" or \"TOGGLE\"), brightness (0 to 254).",
        ),
        (
            everywhere(None, None, &[], json!({"brightness": -1})),
            ErrorCode::BadRequest,
            "brightness of \"Bulb\": takes 0 to 254.",
        ),
    ] {
        let error = error(wish).await;
        assert_eq!((error.code, error.message.as_str()), (code, says));
    }
    assert_eq!(house.source.was_asked(), []);
}

#[tokio::test]
async fn a_room_is_told_what_each_of_its_devices_takes() {
    let house = house(vec![bulb("0x1"), lamp_with_colour("0x2"), plug("0x3"), contact("0x4"), bulb("0x5")]).await;
    house.room("Kitchen", &["0x1", "0x2", "0x3", "0x4"]).await;
    let told = |done: &[SetResult]| -> Vec<(String, Vec<String>)> {
        done.iter().map(|one| (one.id.0.to_string(), one.left_out.iter().map(ToString::to_string).collect())).collect()
    };
    let done = house
        .set(everywhere(Some("KITCHEN"), Some(Domain::Light), &[], json!({"state": "ON", "color_temp": "coolest"})))
        .await;
    assert_eq!(told(&done), [("0x1".into(), vec!["color_temp".into()]), ("0x2".into(), vec![])]);
    assert!(done.iter().all(|one| one.ok));
    let done = house.set(everywhere(Some("kitchen"), None, &["bulb 2"], json!({"state": "OFF"}))).await;
    assert_eq!(told(&done), [("0x1".into(), vec![]), ("0x3".into(), vec![])]);
    // A hidden one is moved by its name alone.
    let hide = DeviceEdit { hidden: Some(true), ..DeviceEdit::default() };
    house.keeper.edit_device(&owner(), "0x1", hide, None).await.expect("hidden");
    let done = house.set(everywhere(None, Some(Domain::Light), &[], json!({"state": "OFF"}))).await;
    assert_eq!(told(&done).iter().map(|one| one.0.as_str()).collect::<Vec<_>>(), ["0x2", "0x5"]);
    assert_eq!(house.set(named(&["bulb"], json!({"state": "OFF"}))).await.len(), 1);
}

#[tokio::test]
async fn enough_lamps_of_a_group_are_told_at_once() {
    let house = house(vec![bulb("0x1"), bulb("0x2"), bulb("0x3"), plug("0x4")]).await;
    let members = ["0x1", "0x2", "0x3"].map(String::from).to_vec();
    let edit = GroupEdit { name: Some("Spots".into()), members: Some(members), ..GroupEdit::default() };
    let group = house.keeper.put_group(&owner(), None, edit, None).await.expect("a group");
    let number = group.zigbee_group.expect("a number");
    let is_made = |asked: &[Asked]| {
        asked.iter().any(|one| matches!(one, Asked::Regroup(wish) if wish.group == number && wish.members.len() == 3))
    };
    let mut made = false;
    for _ in 0..200 {
        made = made || is_made(&house.source.was_asked());
        let reached =
            house.keeper.0.with_groups(|_, groups| groups.reaching(0, [id("0x1"), id("0x2"), id("0x3")].iter()));
        if reached == Some(number) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(made, "the devices are asked to be a group");
    let done = house.set(named(&["spots"], json!({"state": "ON"}))).await;
    assert!(done.len() == 3 && done.iter().all(|one| one.ok));
    let all = vec![id("0x1"), id("0x2"), id("0x3")];
    assert_eq!(
        house.source.was_asked(),
        [Asked::Set { targets: all, set: fields(json!({"state": "ON"})), group: Some(number) }]
    );
    // One spared: then each by itself.
    house.set(everywhere(None, Some(Domain::Light), &["0x3"], json!({"state": "OFF"}))).await;
    let groups: Vec<_> =
        house.source.was_asked().iter().map(|one| matches!(one, Asked::Set { group: None, .. })).collect();
    assert_eq!(groups, [true, true]);
}

#[tokio::test]
async fn commands_to_one_device_keep_their_order_and_others_do_not_wait() {
    let house = house(vec![bulb("0x1"), bulb("0x2")]).await;
    lock(&house.source.slow).insert(id("0x1"), Duration::from_millis(100));
    let mut slow = Vec::new();
    for brightness in 1..=5 {
        let (keeper, wish) = (house.keeper.clone(), named(&["0x1"], json!({"brightness": brightness})));
        slow.push(tokio::spawn(async move { keeper.set(&owner(), wish, quietly).await }));
        tokio::task::yield_now().await;
    }
    let quick = house.set(named(&["0x2"], json!({"state": "ON"}))).await;
    assert!(quick[0].ok && quick[0].ms < 90, "{} ms", quick[0].ms);
    // Whoever stops waiting does not stop the command.
    slow.pop().expect("five").abort();
    for (at, task) in slow.into_iter().enumerate() {
        let done = task.await.expect("no panic").expect("a good wish");
        assert!(done[0].ok && done[0].ms >= 90 * (at as u64 + 1), "{} ms of {at}", done[0].ms);
    }
    settled(&house.keeper, |keeper| {
        keeper.device(&owner(), "0x1").is_ok_and(|one| one.state["brightness"] == json!(5))
    })
    .await;
    let sent: Vec<_> = house
        .source
        .was_asked()
        .into_iter()
        .filter_map(|asked| match asked {
            Asked::Set { targets, set, .. } if targets == [id("0x1")] => set["brightness"].as_u64(),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn each_device_is_told_of_as_it_ends() {
    let house = house(vec![bulb("0x1"), bulb("0x2"), plug("0x3")]).await;
    lock(&house.source.slow).insert(id("0x1"), Duration::from_millis(100));
    lock(&house.source.fails).entry(id("0x2")).or_default().push_back(unreachable());
    let mut told = Vec::new();
    let wish = named(&["0x1", "0x2", "0x3"], json!({"state": "ON"}));
    let tell = |one: &SetResult, ended, of| told.push((one.id.to_string(), one.ok, ended, of));
    let done = house.keeper.set(&owner(), wish, tell).await.expect("a good wish");
    assert_eq!(done.iter().map(|one| &*one.id.0).collect::<Vec<_>>(), ["0x1", "0x2", "0x3"], "as they were named");
    assert_eq!(told.last(), Some(&("0x1".to_owned(), true, 3, 3)), "the slow one comes last");
    told.sort();
    let ok: Vec<_> = told.iter().map(|(id, ok, ..)| (id.as_str(), *ok)).collect();
    assert_eq!(ok, [("0x1", true), ("0x2", false), ("0x3", true)]);
}

#[tokio::test]
async fn a_device_that_does_not_keep_up_is_said_to() {
    let house = house(vec![bulb("0x1")]).await;
    lock(&house.source.slow).insert(id("0x1"), Duration::from_millis(20));
    let mut all = Vec::new();
    for _ in 0..40 {
        let (keeper, wish) = (house.keeper.clone(), named(&["0x1"], json!({"state": "ON"})));
        all.push(tokio::spawn(async move { keeper.set(&owner(), wish, quietly).await }));
    }
    let mut refused = 0;
    for task in all {
        match task.await.expect("no panic") {
            Ok(done) => assert!(done[0].ok),
            Err(error) => {
                assert_eq!((error.code, error.retryable), (ErrorCode::RateLimited, true));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 8, "32 may wait");
}

#[tokio::test]
async fn rooms_restrict_who_sees_and_who_acts() {
    let house = house(vec![bulb("0x1"), bulb("0x2"), contact("0x3")]).await;
    house.room("Kitchen", &["0x1"]).await;
    house.room("Study", &["0x2"]).await;
    let kid = of_rooms(&["kitchen"]);
    let seen = house.keeper.devices_of(&kid);
    assert_eq!(seen.iter().map(|one| &*one.id.0).collect::<Vec<_>>(), ["0x1"]);
    assert_eq!(house.keeper.rooms(&kid).len(), 1);
    assert!(house.keeper.set(&kid, named(&["0x1"], json!({"state": "ON"})), quietly).await.is_ok());
    house.source.was_asked();
    for wish in [
        named(&["0x2"], json!({"state": "ON"})),
        named(&["0x1", "Bulb 2"], json!({"state": "ON"})),
        everywhere(Some("study"), None, &[], json!({"state": "ON"})),
    ] {
        let error = house.keeper.set(&kid, wish, quietly).await.expect_err("it is not theirs");
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(!error.message.contains("Study"), "{error:?}");
    }
    let done = house
        .keeper
        .set(&kid, everywhere(None, Some(Domain::Light), &[], json!({"state": "OFF"})), quietly)
        .await
        .expect("good");
    assert_eq!(done.iter().map(|one| &*one.id.0).collect::<Vec<_>>(), ["0x1"]);
    let everybody =
        GroupEdit { name: Some("All".into()), members: Some(vec!["0x1".into(), "0x2".into()]), ..GroupEdit::default() };
    house.keeper.put_group(&owner(), None, everybody, None).await.expect("a group");
    assert!(house.keeper.set(&kid, named(&["all"], json!({"state": "ON"})), quietly).await.is_err());
    let scene = SceneEdit {
        name: Some("Night".into()),
        settings: Some(vec![scene_wish("0x2", json!({"state": "OFF"}))]),
        ..SceneEdit::default()
    };
    house.keeper.put_scene(&owner(), None, scene, None).await.expect("a scene");
    assert!(house.keeper.recall_scene(&kid, "night", quietly).await.is_err() && house.keeper.scenes(&kid).is_empty());
    for refused in [
        house.keeper.read(&kid, "0x2", &[]).await.map(drop),
        house.keeper.interview(&kid, "0x2").await,
        house.keeper.update_firmware(&kid, "0x2").await.map(drop),
        house.keeper.remove_device(&kid, "0x2", true).await,
        house.keeper.edit_device(&kid, "0x2", DeviceEdit::default(), None).await.map(drop),
        house
            .keeper
            .edit_device(&kid, "0x1", DeviceEdit { room: Some("study".into()), ..DeviceEdit::default() }, None)
            .await
            .map(drop),
        house.keeper.history(&kid, query("0x2", "state")).await.map(drop),
    ] {
        assert_eq!(refused.expect_err("it is not theirs").code, ErrorCode::NotFound);
    }
}

fn scene_wish(device: &str, set: Value) -> SceneWish {
    SceneWish { device: device.into(), set: fields(set) }
}

fn query(device: &str, property: &str) -> HistoryQuery {
    HistoryQuery {
        device: device.into(),
        property: property.into(),
        from_ms: None,
        to_ms: None,
        resolution: None,
        limit: None,
    }
}

#[tokio::test]
async fn names_are_given_kept_and_never_given_twice() {
    let house = house(vec![bulb("0x1"), bulb("0x2")]).await;
    let rename = async |which: &str, name: &str| {
        let edit = DeviceEdit { name: Some(name.into()), ..DeviceEdit::default() };
        house.keeper.edit_device(&owner(), which, edit, None).await
    };
    let lamp = rename("0x1", " Kitchen  lamp ").await.expect("a name");
    assert_eq!(&*lamp.name, "Kitchen lamp");
    assert_eq!(house.source.was_asked(), [Asked::Rename(id("0x1"), "Kitchen lamp".into())]);
    assert_eq!(rename("0x2", "KITCHEN LAMP").await.expect_err("taken").code, ErrorCode::Conflict);
    for bad in ["", "  ", "a\u{7}b", &"x".repeat(65)] {
        assert_eq!(rename("0x2", bad).await.expect_err(bad).code, ErrorCode::BadRequest);
    }
    assert_eq!(rename("0x1", "kitchen lamp").await.map(|lamp| lamp.name.to_string()), Ok("kitchen lamp".into()));
    let group = GroupEdit { name: Some("Kitchen Lamp".into()), ..GroupEdit::default() };
    assert_eq!(house.keeper.put_group(&owner(), None, group, None).await.expect_err("taken").code, ErrorCode::Conflict);
    let stale = house.keeper.edit_device(&owner(), "0x1", DeviceEdit::default(), Some(lamp.revision)).await;
    assert_eq!(stale.expect_err("it was renamed since").code, ErrorCode::Conflict);
    // A source that refuses the name keeps it from being given.
    *lock(&house.source.refuses) = Some(unreachable());
    assert_eq!(rename("0x2", "Desk").await.expect_err("refused").code, ErrorCode::DeviceUnreachable);
    assert_eq!(&*house.keeper.device(&owner(), "0x2").expect("there").name, "Bulb 2");
    *lock(&house.source.refuses) = Some(ErrorBody::new(ErrorCode::Unsupported, "It keeps no names."));
    assert_eq!(rename("0x2", "Desk").await.map(|desk| desk.name.to_string()), Ok("Desk".into()));

    // After a restart it is so, before any source says anything; the state is the one that was written at the end.
    house.source.state("0x2", json!({"state": "ON"})).await;
    settled(&house.keeper, |keeper| keeper.device(&owner(), "desk").is_ok_and(|one| one.state.contains_key("state")))
        .await;
    house.keeper.close().await;
    let House { folder, keeper, source } = house;
    drop((keeper, source));
    let (source, keeper) = reopen(&folder).await;
    let desk = keeper.device(&owner(), "desk").expect("it is remembered");
    assert_eq!((&*desk.id.0, desk.available, desk.state.get("state")), ("0x2", None, Some(&json!("ON"))));
    source.begin(vec![bulb("0x2"), bulb("0x3")]).await;
    settled(&keeper, |keeper| keeper.devices().iter().any(|one| &*one.id.0 == "0x3")).await;
    let names: Vec<_> = keeper.devices().iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["Bulb", "Desk"], "one that is gone is not shown, and its name is free");
    source.begin(vec![bulb("0x1"), bulb("0x2"), bulb("0x3")]).await;
    settled(&keeper, |keeper| keeper.devices().len() == 3).await;
    assert_eq!(
        &*keeper.device(&owner(), "0x1").expect("back").name,
        "kitchen lamp",
        "and has its name when it comes back"
    );
}

async fn reopen(folder: &TempDir) -> (Arc<Script>, Keeper) {
    for _ in 0..200 {
        // The last handle of the store closes it when the tasks are gone.
        if let Ok(store) = Store::open(&folder.path().join("hearth.redb")) {
            let source = Script::new(Backend::Simulated);
            return (source.clone(), Keeper::start(store, vec![source]).await.expect("a house"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the store is never closed");
}

#[tokio::test]
async fn a_device_that_is_removed_is_forgotten() {
    let house = house(vec![bulb("0x1")]).await;
    house.room("Kitchen", &["0x1"]).await;
    house.source.state("0x1", json!({"brightness": 7})).await;
    settled(&house.keeper, |keeper| keeper.devices()[0].state.contains_key("brightness")).await;
    *lock(&house.source.refuses) = Some(unreachable());
    assert!(house.keeper.remove_device(&owner(), "0x1", false).await.is_err());
    assert_eq!(house.keeper.devices().len(), 1, "a device that does not answer is not gone");
    *lock(&house.source.refuses) = None;
    house.keeper.remove_device(&owner(), "0x1", true).await.expect("gone");
    assert!(house.keeper.devices().is_empty());
    house.source.begin(vec![bulb("0x1")]).await;
    settled(&house.keeper, |keeper| keeper.devices().len() == 1).await;
    let fresh = house.keeper.devices()[0].clone();
    assert_eq!((fresh.room.as_deref(), fresh.state.len()), (None, 0));
}

#[tokio::test]
async fn scenes_are_taken_and_brought_back() {
    let house = house(vec![bulb("0x1"), plug("0x2"), lamp_with_colour("0x3")]).await;
    house.source.state("0x1", json!({"state": "ON", "brightness": 20})).await;
    house.source.state("0x2", json!({"state": "OFF", "power": 0})).await;
    settled(&house.keeper, |keeper| keeper.device(&owner(), "0x2").is_ok_and(|one| !one.state.is_empty())).await;
    let edit = SceneEdit {
        name: Some("Film".into()),
        capture: Some(vec!["Bulb".into(), "plug".into()]),
        settings: Some(vec![
            scene_wish("0x3", json!({"color_temp": "warmest"})),
            scene_wish("0x1", json!({"state": "on"})),
        ]),
        ..SceneEdit::default()
    };
    let scene = house.keeper.put_scene(&owner(), None, edit, None).await.expect("a scene");
    let kept: Vec<_> = scene.settings.iter().map(|one| (one.device.as_str(), Value::Object(one.set.clone()))).collect();
    assert_eq!(
        kept,
        [("0x1", json!({"state": "ON"})), ("0x2", json!({"state": "OFF"})), ("0x3", json!({"color_temp": 500}))]
    );
    house.source.was_asked();
    lock(&house.source.fails).entry(id("0x2")).or_default().push_back(unreachable());
    house.source.tell(SourceEvent::Left(id("0x1"))).await;
    settled(&house.keeper, |keeper| keeper.devices().len() == 2).await;
    let done = house.keeper.recall_scene(&owner(), "film", quietly).await.expect("a scene");
    let told: Vec<_> = done.iter().map(|one| (&*one.id.0, one.ok)).collect();
    assert_eq!(told, [("0x2", false), ("0x3", true), ("0x1", false)]);
    assert_eq!(done[2].error.as_ref().map(|error| error.code), Some(ErrorCode::NotFound));
    let nothing = SceneEdit { name: Some("Nothing".into()), ..SceneEdit::default() };
    assert_eq!(
        house.keeper.put_scene(&owner(), None, nothing, None).await.expect_err("empty").code,
        ErrorCode::BadRequest
    );
    let twice = SceneEdit { name: Some("FILM".into()), capture: Some(vec!["0x2".into()]), ..SceneEdit::default() };
    assert_eq!(house.keeper.put_scene(&owner(), None, twice, None).await.expect_err("taken").code, ErrorCode::Conflict);
    house.keeper.delete_scene(&owner(), "film", Some(scene.revision)).await.expect("gone");
    assert!(house.keeper.scenes(&owner()).is_empty());
}

#[tokio::test]
async fn a_listener_hears_what_changed_and_in_which_order() {
    let house = house(vec![bulb("0x1"), remote("0x2")]).await;
    let mut news = house.keeper.subscribe();
    house.source.state("0x1", json!({"state": "ON", "linkquality": 80})).await;
    house.source.state("0x1", json!({"state": "ON", "linkquality": 80})).await;
    house.source.state("0x2", json!({"action": "on"})).await;
    house
        .source
        .tell(SourceEvent::State { id: id("0x2"), changes: fields(json!({"action": "off"})), is_old: true })
        .await;
    house.source.tell(SourceEvent::Pairing(PairingNews::Open { seconds_left: 60 })).await;
    house.source.tell(SourceEvent::Radio(RadioStatus::Down { why: "unplugged".into() })).await;
    house.source.tell(SourceEvent::Left(id("0x1"))).await;
    let mut heard = Vec::new();
    while heard.len() < 7 {
        match tokio::time::timeout(Duration::from_secs(5), news.recv()).await.expect("news") {
            Heard::News(News::Device(change)) => {
                heard.push(format!("{} {:?} {}", change.device.id, change.changes, change.is_more))
            }
            Heard::News(other) => heard.push(format!("{other:?}")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard[0], r#"0x1 {"linkquality": Number(80), "state": String("ON")} false"#);
    assert_eq!(heard[1], r#"0x2 {"action": String("on")} false"#, "the same again is no news, and an old press none");
    assert!(heard[2].contains("Open") && heard[3].contains("Down"), "{heard:?}");
    assert_eq!((heard[4].as_str(), heard[5].as_str()), ("0x1 {} true", "0x2 {} true"), "nobody is available any more");
    assert!(heard[6].starts_with("Removed"), "{heard:?}");
    let remote = house.keeper.device(&owner(), "0x2").expect("there");
    assert_eq!((remote.available, remote.state.len()), (Some(false), 0));
    assert_eq!(house.keeper.radios()[0].pairing_seconds_left, 0, "a radio that is down lets nobody in");
}

#[tokio::test]
async fn what_is_wished_is_shown_until_it_is_confirmed() {
    let house = house(vec![bulb("0x1")]).await;
    lock(&house.source.slow).insert(id("0x1"), Duration::from_millis(300));
    let (keeper, wish) = (house.keeper.clone(), named(&["0x1"], json!({"state": "ON"})));
    let setting = tokio::spawn(async move { keeper.set(&owner(), wish, quietly).await });
    settled(&house.keeper, |keeper| keeper.devices()[0].desired == fields(json!({"state": "ON"}))).await;
    assert!(house.keeper.devices()[0].state.is_empty(), "nothing is shown that did not happen");
    assert!(setting.await.expect("no panic").expect("a good wish")[0].ok);
    let bulb = house.keeper.devices()[0].clone();
    assert_eq!((bulb.desired.len(), bulb.state.get("state")), (0, Some(&json!("ON"))));
}

#[tokio::test]
async fn the_history_has_what_was_just_reported_and_what_was_written() {
    let house = house(vec![climate("0x1")]).await;
    for temperature in [20.5, 21.0, 21.5] {
        house.source.state("0x1", json!({"temperature": temperature})).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    let values = async |keeper: &Keeper| -> Vec<Value> {
        let found = keeper.history(&owner(), query("climate sensor", "temperature")).await.expect("a history");
        assert_eq!((found.resolution, found.unit.as_deref()), (Resolution::Raw, Some("°C")));
        found.points.into_iter().map(|point| point.value).collect()
    };
    let all = [json!(20.5), json!(21), json!(21.5)];
    assert_eq!(values(&house.keeper).await, all);
    let hour = HistoryQuery { resolution: Some(Resolution::Hour), ..query("0x1", "temperature") };
    let found = house.keeper.history(&owner(), hour).await.expect("a history");
    let last = found.points.last().expect("a step");
    assert_eq!((last.max, &last.value), (Some(21.5), &json!(21.5)));
    let error = house.keeper.history(&owner(), query("0x1", "power")).await.expect_err("it has none");
    assert_eq!(error.message, "\"Climate sensor\" has no such property. It has: temperature, humidity, linkquality.");
    house.keeper.close().await;
    let House { folder, keeper, source } = house;
    drop((keeper, source));
    let (_, keeper) = reopen(&folder).await;
    assert_eq!(values(&keeper).await, all);
}

#[tokio::test]
async fn what_others_write_of_the_house_is_seen() {
    let house = house(vec![bulb("0x1")]).await;
    let store = house.keeper.0.store.clone();
    let room = Room { id: "loft".into(), name: "Loft".into(), ..Room::default() };
    store.put(room, None).await.expect("a write");
    settled(&house.keeper, |keeper| keeper.room(&owner(), "loft").is_ok()).await;
    house.room("Kitchen", &["0x1"]).await;
    store.delete::<Room>("kitchen", None).await.expect("a write");
    settled(&house.keeper, |keeper| keeper.devices()[0].room.is_none()).await;
}
