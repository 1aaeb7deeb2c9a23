//! Devices that are to speak straight to each other.

use std::time::Duration;

use super::air::{Fault, World};
use super::kinds::ON_OFF;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::network::{BindTo, BindWish, Reply, Request};
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee};
use crate::zigbee::zdo::{Binding, BindingTarget};

/// What came of it, by row.
type Ends = Vec<(ClusterId, BindingTarget, Result<(), ErrorCode>)>;

fn wish(from: Ieee, to: BindTo) -> BindWish {
    BindWish { from, endpoint: None, to, clusters: Vec::new(), undo: false }
}

fn bind(world: &mut World, wish: BindWish) -> Result<Ends, ErrorCode> {
    let id = world.request(Request::Bind(wish));
    world.run(Duration::from_secs(120));
    match world.answer(id).expect("it ends") {
        Ok(Reply::Bound(rows)) => {
            let end = |(row, end): (Binding, Result<(), ErrorBody>)| (row.cluster, row.to, end.map_err(|why| why.code));
            Ok(rows.into_iter().map(end).collect())
        }
        Ok(other) => panic!("{other:?}"),
        Err(why) => Err(why.code),
    }
}

fn rows(world: &mut World, ieee: Ieee) -> Vec<Binding> {
    let id = world.request(Request::Bindings { ieee });
    world.run(Duration::from_secs(60));
    let Ok(Reply::Bindings(rows)) = world.answer(id).expect("it ends") else { panic!("it shows them") };
    rows
}

#[test]
fn what_fits_is_bound_by_the_devices_own_word_and_shown() {
    let mut world = World::new();
    world.up();
    let (remote, lamp) = (world.join(1, "remote"), world.join(2, "lamp"));
    world.real(remote).bindings.clear();
    let device = |endpoint| BindTo::Device { ieee: lamp, endpoint };
    let at = BindingTarget::Device { ieee: lamp, endpoint: Endpoint(1) };
    let ends = bind(&mut world, wish(remote, device(None))).expect("they fit");
    assert_eq!(ends, [(ON_OFF, at, Ok(())), (ClusterId(8), at, Ok(()))]);
    let shown = rows(&mut world, remote);
    assert_eq!(shown.iter().map(|row| (row.cluster, row.to)).collect::<Vec<_>>(), [(ON_OFF, at), (ClusterId(8), at)]);

    let group = BindingTarget::Group(GroupId(5));
    let ends = bind(&mut world, BindWish { clusters: vec![ON_OFF], ..wish(remote, BindTo::Group(GroupId(5))) });
    assert_eq!(ends, Ok(vec![(ON_OFF, group, Ok(()))]));
    // More rows than there are on a page.
    assert_eq!(rows(&mut world, remote).len(), 3);
    for _ in 0..2 {
        let undo = BindWish { clusters: vec![ON_OFF], undo: true, ..wish(remote, device(Some(Endpoint(1)))) };
        assert_eq!(bind(&mut world, undo), Ok(vec![(ON_OFF, at, Ok(()))]), "what is undone is undone");
    }
    assert_eq!(rows(&mut world, remote).len(), 2);
}

#[test]
fn what_does_not_fit_is_not_asked_and_what_fails_is_said() {
    let mut world = World::new();
    world.up();
    let (remote, lamp) = (world.join(1, "remote"), world.join(2, "lamp"));
    let to = |endpoint| BindTo::Device { ieee: lamp, endpoint };
    for (wish, code) in [
        (BindWish { clusters: vec![ClusterId(0x0102)], ..wish(remote, to(None)) }, ErrorCode::BadRequest),
        (BindWish { endpoint: Some(Endpoint(9)), ..wish(remote, to(None)) }, ErrorCode::BadRequest),
        (wish(remote, to(Some(Endpoint(9)))), ErrorCode::BadRequest),
        (wish(Ieee(7), to(None)), ErrorCode::NotFound),
        (wish(remote, BindTo::Device { ieee: Ieee(7), endpoint: None }), ErrorCode::NotFound),
    ] {
        assert_eq!(bind(&mut world, wish.clone()), Err(code), "{wish:?}");
    }
    let shown = rows(&mut world, remote);
    world.real(remote).faults.extend([Fault::Silent; 32]);
    let ends = bind(&mut world, BindWish { clusters: vec![ON_OFF], ..wish(remote, to(None)) }).expect("they fit");
    assert!(matches!(ends[..], [(ON_OFF, _, Err(ErrorCode::DeviceUnreachable | ErrorCode::Timeout))]), "{ends:?}");
    world.real(remote).faults.clear();
    assert_eq!(rows(&mut world, remote), shown);
}
