//! The house and its radios: which are told of, and what is said where there is none.

use super::*;

#[tokio::test]
async fn who_has_no_radio_is_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let keeper = Keeper::start(store, Vec::new()).await.expect("a house");
    let error = keeper.network(NetworkQuery::Status, None).await.expect_err("there is none");
    assert_eq!(error.code, ErrorCode::RadioDown);
    assert!(keeper.pairing(PairingWish { seconds: 60, ..PairingWish::default() }, None).await.is_err());
    assert!(keeper.pairing(PairingWish::default(), None).await.is_ok(), "there is nothing to be closed");
    let house = house(vec![bulb("0x1")]).await;
    house.source.was_asked();
    let wish = PairingWish { seconds: 60, via: Some(id("0x1")), install_code: None };
    house.keeper.pairing(wish.clone(), None).await.expect("open");
    assert_eq!(house.source.was_asked(), [Asked::Pairing(wish)]);
    let long = PairingWish { seconds: 255, ..PairingWish::default() };
    assert_eq!(house.keeper.pairing(long, None).await.expect_err("for ever").code, ErrorCode::BadRequest);
    assert_eq!(house.keeper.network(NetworkQuery::Map, Some(Backend::Simulated)).await, Ok(json!({"channel": 15})));
    assert_eq!(
        house.keeper.network(NetworkQuery::Map, Some(Backend::Zigbee)).await.expect_err("none").code,
        ErrorCode::RadioDown
    );
    assert_eq!(house.keeper.read(&owner(), "bulb", &["state".into()]).await, Ok(fields(json!({"state": 1}))));
    assert_eq!(house.keeper.read(&owner(), "bulb", &["x".into()]).await.expect_err("none").code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn of_radios_that_were_looked_for_those_that_are_not_there_are_nobodys_business_once_one_is_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let (stick, broker) = (Script::new(Backend::Zigbee), Script::new(Backend::Zigbee2mqtt));
    let keeper = Keeper::start(store, vec![stick.clone(), broker.clone()]).await.expect("a house");
    let told = |keeper: &Keeper| keeper.radios().iter().map(|radio| radio.backend).collect::<Vec<_>>();
    assert_eq!(told(&keeper), [Backend::Zigbee, Backend::Zigbee2mqtt], "either may come");
    let down = || SourceEvent::Radio(RadioStatus::Down { why: "no broker".into() });
    broker.tell(down()).await;
    stick.begin(Vec::new()).await;
    settled(&keeper, |keeper| told(keeper) == [Backend::Zigbee]).await;
    broker.begin(vec![bulb("0x1")]).await;
    settled(&keeper, |keeper| keeper.devices().len() == 1).await;
    broker.tell(down()).await;
    settled(&keeper, |keeper| keeper.radios().iter().any(|radio| radio.status != RadioStatus::Up)).await;
    assert_eq!(told(&keeper).len(), 2, "its devices are missed");
}
