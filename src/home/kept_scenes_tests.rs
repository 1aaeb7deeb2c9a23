//! Whom a scene of a group is asked of, and what is known of each afterwards.

use std::time::Duration;

use super::*;
use crate::common::error::ErrorCode;
use crate::common::who::Door;
use crate::home::testing::{Asked, Script, bulb, id, lock, plug, remote, unreachable};
use crate::home::{Backend, DeviceSource, GroupEdit};
use crate::store::Store;

fn owner() -> Principal {
    Principal::house(Door::Hub)
}

#[tokio::test]
async fn each_member_with_mains_power_answers_for_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let sources = [Script::new(Backend::Simulated), Script::new(Backend::Zigbee2mqtt)];
    let all: Vec<Arc<dyn DeviceSource>> = vec![sources[0].clone(), sources[1].clone()];
    let keeper = Keeper::start(store, all).await.expect("a house");
    sources[0].begin(vec![remote("0x1"), bulb("0x2"), plug("0x3")]).await;
    sources[1].begin(vec![plug("0x9")]).await;
    while keeper.devices().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let edit = |members: &[&str]| GroupEdit {
        name: Some("evening".into()),
        members: Some(members.iter().map(|one| (*one).into()).collect()),
        ..GroupEdit::default()
    };
    let group = keeper.put_group(&owner(), None, edit(&["0x1", "0x2", "0x3", "0x9"]), None).await.expect("a group");
    let number = group.zigbee_group.expect("a number");
    let asked = |source: &Script| {
        let is_meant = |asked: &Asked| matches!(asked, Asked::KeptScene(_) | Asked::Regroup(_));
        source.was_asked().into_iter().filter(is_meant).collect::<Vec<_>>()
    };
    sources.iter().for_each(|source| drop(asked(source)));

    // One does it, one refuses; of the other network nobody says a word.
    lock(&sources[0].fails).extend([(id("0x2"), [].into()), (id("0x3"), [unreachable()].into())]);
    let said = keeper.kept_scene(&owner(), "Evening", 3, KeptSceneWish::Store).await.expect("it is tried");
    let ends: Vec<_> = said.into_iter().map(|one| (one.id, one.end)).collect();
    assert_eq!(ends, [(id("0x2"), Some(Ok(()))), (id("0x3"), Some(Err(unreachable()))), (id("0x9"), None)]);
    let wish = |what| KeptScene { group: number, scene: 3, what };
    for (source, members) in sources.iter().zip([vec![id("0x2"), id("0x3")], vec![id("0x9")]]) {
        // A device keeps scenes of its groups alone.
        let membership = Asked::Regroup(Membership { group: number, members });
        assert_eq!(asked(source), [membership, Asked::KeptScene(wish(KeptSceneWish::Store))]);
    }

    let said = keeper.kept_scene(&owner(), "evening", 3, KeptSceneWish::Recall).await.expect("it is sent");
    assert!(said.iter().all(|one| one.end.is_none()) && said.len() == 3, "{said:?}");
    // What was recalled is asked for, and the house knows it from then on.
    assert!(said.iter().all(|one| one.state["state"] == 1), "{said:?}");
    let all = sources[0].was_asked();
    assert_eq!(all[0], Asked::KeptScene(wish(KeptSceneWish::Recall)));
    let is_read = |asked: &Asked| matches!(asked, Asked::Read(_, properties) if properties.contains(&"state".into()));
    assert!(all.len() == 3 && all[1..].iter().all(is_read), "{all:?}");
    let shown = keeper.device(&owner(), "0x2").expect("it is there");
    assert_eq!(shown.state["state"], 1);

    assert_eq!(
        keeper.kept_scene(&owner(), "evening", 0, KeptSceneWish::Recall).await.map_err(|why| why.code),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(
        keeper.kept_scene(&owner(), "morning", 1, KeptSceneWish::Recall).await.map_err(|why| why.code),
        Err(ErrorCode::NotFound)
    );
    keeper.put_group(&owner(), Some("evening"), edit(&["0x1"]), None).await.expect("a group");
    let error =
        keeper.kept_scene(&owner(), "evening", 1, KeptSceneWish::Store).await.expect_err("who sleeps hears nothing");
    assert!(error.code == ErrorCode::BadRequest && error.message.contains("mains power"), "{error:?}");
}
