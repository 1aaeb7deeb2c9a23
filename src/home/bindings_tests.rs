//! Who is meant by a binding, and what the source is asked.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::common::who::{Door, Role};
use crate::home::testing::{Asked, Script, bulb, id, lock, plug, remote};
use crate::home::{Backend, DeviceInfo, GroupEdit};
use crate::store::Store;

async fn house(devices: [Vec<DeviceInfo>; 2]) -> (TempDir, [Arc<Script>; 2], Keeper) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let sources = [Script::new(Backend::Simulated), Script::new(Backend::Zigbee2mqtt)];
    let all: Vec<Arc<dyn crate::home::DeviceSource>> = vec![sources[0].clone(), sources[1].clone()];
    let keeper = Keeper::start(store, all).await.expect("a house");
    let count: usize = devices.iter().map(Vec::len).sum();
    for (source, devices) in sources.iter().zip(devices) {
        source.begin(devices).await;
    }
    for _ in 0..500 {
        if keeper.devices().len() == count && keeper.radios().iter().all(|radio| radio.devices > 0) {
            return (folder, sources, keeper);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to be: {:?}", keeper.devices());
}

fn owner() -> Principal {
    Principal::house(Door::Hub)
}

fn bind(device: &str, target: &str) -> Bind {
    Bind { device: device.into(), target: target.into(), ..Bind::default() }
}

fn asked(source: &Script) -> Vec<Asked> {
    let is_bind = |asked: &Asked| matches!(asked, Asked::Bind(_) | Asked::Regroup(_));
    source.was_asked().into_iter().filter(is_bind).collect()
}

#[tokio::test]
async fn a_remote_is_bound_to_a_device_a_group_and_the_hub() {
    let devices = [vec![remote("0x1"), bulb("0x2"), plug("0x3")], vec![plug("0x9")]];
    let (_folder, [source, _], keeper) = house(devices).await;
    let edit = GroupEdit {
        name: Some("evening".into()),
        members: Some(vec!["0x2".into(), "0x3".into(), "0x9".into(), "0x1".into()]),
        ..GroupEdit::default()
    };
    let group = keeper.put_group(&owner(), None, edit, None).await.expect("a group");
    let number = group.zigbee_group.expect("a number");
    let wish = |to| BindWish { from: id("0x1"), endpoint: None, to, clusters: Vec::new(), undo: false };
    asked(&source);

    let one = Bind {
        endpoint: Some(2),
        target_endpoint: Some(3),
        clusters: vec!["genOnOff".into()],
        ..bind("remote", "bulb")
    };
    let ends = keeper.bind(&owner(), one).await.expect("it is bound");
    assert_eq!(ends, [BindEnd { cluster: "genOnOff".into(), end: Ok(()) }]);
    let to = BindTarget::Device { id: id("0x2"), endpoint: Some(3) };
    let expected = BindWish { endpoint: Some(2), clusters: vec!["genOnOff".into()], ..wish(to) };
    assert_eq!(asked(&source), [Asked::Bind(expected)]);

    keeper.bind(&owner(), bind("0x1", "Evening")).await.expect("it is bound");
    // Those with mains power in the same network are told that they are in it.
    let membership = Membership { group: number, members: vec![id("0x2"), id("0x3")] };
    assert_eq!(asked(&source), [Asked::Regroup(membership), Asked::Bind(wish(BindTarget::Group(number)))]);
    keeper.bind(&owner(), Bind { undo: true, ..bind("0x1", "evening") }).await.expect("it is unbound");
    let undone = BindWish { undo: true, ..wish(BindTarget::Group(number)) };
    assert_eq!(asked(&source), [Asked::Bind(undone)], "the group stays for what else it is for");

    keeper.bind(&owner(), bind("0x1", "HUB")).await.expect("it is bound");
    assert_eq!(asked(&source), [Asked::Bind(wish(BindTarget::Hub))]);

    for (wish, code) in [
        (bind("0x1", "0x1"), ErrorCode::BadRequest),
        (bind("0x1", "0x9"), ErrorCode::BadRequest),
        (bind("0x1", "nobody"), ErrorCode::NotFound),
        (bind("nobody", "0x2"), ErrorCode::NotFound),
        (Bind { clusters: vec!["x".into(); 33], ..bind("0x1", "0x2") }, ErrorCode::BadRequest),
    ] {
        assert_eq!(keeper.bind(&owner(), wish.clone()).await.map_err(|why| why.code), Err(code), "{wish:?}");
    }
    assert_eq!(asked(&source), [], "nothing of it was asked");
}

#[tokio::test]
async fn who_comes_into_a_group_that_is_a_target_is_told_so() {
    let devices = [vec![remote("0x1"), bulb("0x2"), plug("0x3"), bulb("0x4")], vec![plug("0x9")]];
    let (_folder, [source, _], keeper) = house(devices).await;
    let edit = |members: &[&str]| GroupEdit {
        name: Some("evening".into()),
        members: Some(members.iter().map(|one| (*one).into()).collect()),
        ..GroupEdit::default()
    };
    let group = keeper.put_group(&owner(), None, edit(&["0x2"]), None).await.expect("a group");
    let number = group.zigbee_group.expect("a number");
    keeper.bind(&owner(), bind("0x1", "evening")).await.expect("it is bound");
    asked(&source);
    for members in [&["0x2", "0x3"][..], &["0x2", "0x3", "0x4"], &["0x4"], &[]] {
        keeper.put_group(&owner(), Some("evening"), edit(members), None).await.expect("a group");
        let told = Membership { group: number, members: members.iter().map(|one| id(one)).collect() };
        let mut seen = Vec::new();
        for _ in 0..1000 {
            seen.extend(asked(&source));
            if !seen.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen, [Asked::Regroup(told)], "{members:?}");
    }
}

#[tokio::test]
async fn what_somebody_may_not_see_is_not_bound_and_not_listed() {
    let (_folder, [source, _], keeper) = house([vec![remote("0x1"), bulb("0x2")], vec![plug("0x9")]]).await;
    let room = crate::home::RoomEdit { name: Some("kitchen".into()), aliases: None };
    let room = keeper.put_room(&owner(), None, room, None).await.expect("a room");
    let edit = crate::home::DeviceEdit { room: Some(room.id.clone()), ..Default::default() };
    keeper.edit_device(&owner(), "0x1", edit, None).await.expect("a place");
    let row = |to| Bound { endpoint: 1, cluster: "genOnOff".into(), to };
    let device = |of: &str| row(BindTarget::Device { id: id(of), endpoint: Some(1) });
    let rows = vec![row(BindTarget::Hub), device("0x2"), device("0xgone"), row(BindTarget::Group(9))];
    *lock(&source.bound) = rows.clone();
    assert_eq!(keeper.bindings(&owner(), "0x1").await.expect("it says"), rows);
    assert_eq!(keeper.name_of_target(&rows[1].to).as_deref(), Some("Bulb"));
    assert_eq!(keeper.name_of_target(&rows[2].to), None);
    let kid =
        Principal { rooms: Some([room.id.as_str().into()].into()), ..Principal::new("kid", Role::Member, Door::Rest) };
    let seen = keeper.bindings(&kid, "0x1").await.expect("it says");
    assert!(!seen.contains(&rows[1]) && seen.contains(&rows[0]), "{seen:?}");
    asked(&source);
    assert_eq!(keeper.bind(&kid, bind("0x1", "0x2")).await.map_err(|why| why.code), Err(ErrorCode::NotFound));
    assert_eq!(asked(&source), []);
}
