//! The devices: strict as real ones are.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_device_joins_only_while_it_may_and_says_where_it_is() {
    let mut host = Host::with(Generation::V3x0, &["bulb"]);
    host.form();
    host.sim.pair(host.now, "bulb");
    host.pass(5 * SECOND);
    assert!(host.sim.device("bulb").expect("a bulb").membership.is_none(), "nobody let it in");
    host.permit(60);
    host.pass(5 * SECOND);
    let joined = host.take(5, 0xca).expect("the trust centre tells");
    let nwk = u16::from_le_bytes([joined[0], joined[1]]);
    assert_eq!(nwk, host.nwk("bulb"));
    let announced = host.take(5, 0xc1).expect("the device tells");
    assert_eq!(u16::from_le_bytes([announced[2], announced[3]]), nwk);
    assert_eq!(announced.last(), Some(&0x8e));
    assert_eq!(host.sim.own_key_holds("bulb"), Some(true), "it has asked for a key of its own");
}

#[test]
fn what_is_in_its_box_joins_when_the_house_is_opened_again_one_after_the_other() {
    let model = |name| Model::by_name(name).expect("a model");
    let boxed = vec![model("bulb"), model("climate")];
    let mut host = Host::new(SimConfig { devices: vec![model("bulb")], boxed, ..SimConfig::default() });
    let is_in = |host: &Host, name| host.sim.device(name).expect("a device").membership.is_some();
    let all = |host: &Host| ["bulb", "bulb2", "climate"].map(|name| is_in(host, name));
    host.form();
    host.permit(60);
    host.pass(30 * SECOND);
    host.permit(60);
    host.pass(20 * SECOND);
    assert_eq!(all(&host), [true, false, false], "to hold the door open is not to open it");
    host.permit(0);
    host.pass(SECOND);
    host.permit(60);
    host.pass(3 * SECOND);
    assert_eq!(all(&host), [true, true, false], "the first is unpacked");
    host.permit(0);
    host.pass(20 * SECOND);
    assert_eq!(all(&host), [true, true, false], "the door was closed before the second");
    host.permit(60);
    host.pass(3 * SECOND);
    assert_eq!(all(&host), [true; 3]);
    // Once unpacked it is a device as others are.
    host.sim.order(host.now, "leave bulb2").expect("an order");
    host.pass(SECOND);
    host.permit(0);
    host.permit(60);
    host.pass(SECOND);
    assert_eq!(all(&host), [true; 3]);
    assert_eq!(host.sim.violations(), 0);
}

#[test]
fn a_table_of_a_large_house_counts_no_further_than_its_byte() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    for _ in 0..300 {
        let bulb = host.sim.world.place(Model::by_name("bulb").expect("a model"));
        host.sim.world.devices[bulb].membership = host.sim.world.devices[0].membership;
    }
    let mut page = |start: u8| {
        assert_eq!(host.ask(5, 0x31, &[0, 0, start]).expect("an answer").data, [0]);
        host.pass(SECOND);
        host.take(5, 0xb1).expect("neighbours")[3..6].to_vec()
    };
    assert_eq!(page(0), [255, 0, 3]);
    assert_eq!(page(254), [255, 254, 1]);
}

#[test]
fn a_command_is_done_confirmed_and_answered_in_the_time_of_its_hops() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    let began = host.now;
    host.say("bulb", 6, &[0x01, 0x42, 0x01]);
    host.pass(Duration::from_millis(10));
    let (cluster, zcl) = host.hear().expect("two hops of 5 ms");
    assert_eq!((cluster, zcl), (6, vec![0x18, 0x42, 0x0b, 0x01, 0x00]));
    assert_eq!(host.confirm(Duration::ZERO), Some(0));
    assert_eq!(host.sim.truth("bulb", 6, 0), Some(1));
    assert_eq!(host.now - began, Duration::from_millis(10));
    // Without the wish for an answer there is none, but errors are told all the same.
    host.say("bulb", 6, &[0x11, 0x43, 0x00]);
    host.say("bulb", 6, &[0x11, 0x44, 0x77]);
    host.pass(SECOND);
    assert_eq!(host.hear().expect("the error").1, [0x18, 0x44, 0x0b, 0x77, 0x81]);
    assert_eq!(host.hear(), None);
    assert_eq!(host.sim.violations(), 0);
}

#[test]
fn reports_come_only_where_they_are_bound_and_configured_and_in_their_time() {
    let mut host = Host::home(Generation::V3x0, &["plug"]);
    let tick = |host: &mut Host, watts: i64| {
        host.sim.happen(host.now, "plug", 0x0b04, 0x050b, watts);
        host.pass(Duration::from_millis(20));
        std::iter::from_fn(|| host.hear()).count()
    };
    assert_eq!(tick(&mut host, 10), 0, "nothing was asked for");
    // Power: at least 5 s apart, at most 60 s, for changes of 5 W.
    let configure = [0x00, 1, 0x06, 0, 0x0b, 0x05, 0x29, 5, 0, 60, 0, 5, 0];
    host.say("plug", 0x0b04, &configure);
    host.pass(SECOND);
    assert_eq!(host.hear().expect("an answer").1, [0x18, 1, 0x07, 0x00]);
    host.pass(10 * SECOND);
    assert_eq!(tick(&mut host, 40), 0, "it is bound to nobody");
    host.bind("plug", 0x0b04);
    host.pass(SECOND);
    std::iter::from_fn(|| host.hear()).for_each(drop); // what waited for somebody to tell
    host.pass(6 * SECOND);
    assert_eq!(tick(&mut host, 43), 0, "3 W are not enough");
    assert_eq!(tick(&mut host, 50), 1);
    assert_eq!(tick(&mut host, 80), 0, "too soon");
    host.pass(5 * SECOND);
    assert_eq!(host.hear().expect("later").1[3..], [0x0b, 0x05, 0x29, 80, 0].map(|byte: u8| byte)[..]);
    host.pass(61 * SECOND);
    assert!(host.hear().is_some(), "the longest silence is over");
    // Not what cannot be reported, nor of a wrong type.
    host.say("plug", 0x0b04, &[0x00, 2, 0x06, 0, 0x0b, 0x05, 0x21, 5, 0, 60, 0, 5, 0]);
    host.pass(SECOND);
    assert_eq!(host.hear().expect("a refusal").1, [0x18, 2, 0x07, 0x8d, 0, 0x0b, 0x05]);
}

#[test]
fn a_sleeper_is_reached_in_its_windows_and_lost_outside_them() {
    let mut host = Host::home(Generation::V3x0, &["climate", "contact"]);
    host.pass(60 * SECOND);
    // Asks every 5 s: within the 7.68 s of its parent.
    host.say("climate", 0x0402, &[0x00, 1, 0x00, 0, 0]);
    assert_eq!(host.confirm(Duration::from_secs(6)), Some(0));
    assert!(host.hear().is_some(), "it has answered");
    // Asks every 30 s. Just after it has asked, a message for it goes stale.
    host.pass(Duration::from_secs(31));
    let statuses: Vec<_> = (0..4)
        .map(|at| {
            host.say("contact", 0, &[0x00, at, 0x00, 4, 0]);
            host.confirm(Duration::from_millis(7_700))
        })
        .collect();
    assert!(statuses.contains(&Some(0xf0)), "{statuses:02x?}");
    // When it speaks, it listens.
    host.sim.order(host.now, "open contact").expect("an order");
    host.say("contact", 0, &[0x00, 9, 0x00, 4, 0]);
    assert_eq!(host.confirm(SECOND), Some(0));
}

#[test]
fn a_contact_tells_nothing_before_it_is_enrolled() {
    let mut host = Host::home(Generation::V3x0, &["contact"]);
    host.sim.order(host.now, "open contact").expect("an order");
    host.pass(SECOND);
    assert_eq!(host.hear(), None);
    let owner = Writer::new().u8(0x00).u8(1).u8(0x02).u16(0x0010).u8(0xf0).u64(host.sim.ieee().0);
    host.say("contact", 0x0500, &owner.0);
    host.pass(SECOND);
    let heard: Vec<_> = std::iter::from_fn(|| host.hear()).map(|(_, zcl)| zcl).collect();
    assert!(heard.iter().any(|zcl| zcl[0] & 0x0b == 0x09 && zcl[2] == 0x01), "it asks to be enrolled: {heard:02x?}");
    host.say("contact", 0x0500, &[0x01, 2, 0x00, 0x00, 23]);
    host.pass(SECOND);
    std::iter::from_fn(|| host.hear()).for_each(drop);
    host.sim.order(host.now, "close contact").expect("an order");
    host.pass(SECOND);
    let told = host.hear().expect("now it tells").1;
    assert_eq!(told[2..], [0x00, 0, 0, 0, 23, 0, 0]);
}

#[test]
fn a_device_behind_a_router_takes_more_hops_and_moves() {
    let mut host = Host::home(Generation::V3x0, &["router", "attic"]);
    let attic = host.sim.device("attic").expect("a sensor");
    assert_eq!(attic.membership.expect("paired").parent, Parent::Device(0));
    host.pass(60 * SECOND);
    host.say("attic", 0x0402, &[0x00, 1, 0x00, 0, 0]);
    host.pass(6 * SECOND);
    assert!(host.hear().is_some(), "its router kept the message until it asked");
    // The router is without power: it looks for another parent and tells so.
    host.came.clear();
    host.sim.order(host.now, "unplug router").expect("an order");
    host.sim.order(host.now, "temperature attic 30").expect("an order");
    host.say("attic", 0x0402, &[0x00, 2, 0x00, 0, 0]);
    host.pass(20 * SECOND);
    host.sim.happen(host.now, "attic", 0x0402, 0, 3100);
    host.say("attic", 0x0402, &[0x00, 3, 0x00, 0, 0]);
    host.pass(20 * SECOND);
    assert!(host.sim.device("attic").is_some_and(|d| d.membership.is_some()));
}

#[test]
fn groups_and_scenes_lie_in_the_devices() {
    let mut host = Host::home(Generation::V3x0, &["bulb", "plug"]);
    for name in ["bulb", "plug"] {
        host.say(name, 4, &[0x01, 1, 0x00, 5, 0, 0]);
        host.pass(SECOND);
        assert_eq!(host.hear().expect("an answer").1, [0x19, 1, 0x00, 0, 5, 0]);
    }
    // On, to group 5: nobody answers, all do it.
    let request = Writer::new().u8(1).u64(5).u8(0xff).u16(0).u8(1).u16(6).u8(77).u8(0).u8(30).u16(3).bytes(&[1, 2, 1]);
    assert_eq!(host.ask(4, 2, &request.0).expect("an answer").data, [0]);
    assert_eq!(host.confirm(SECOND), Some(0));
    assert_eq!(host.hear(), None);
    assert_eq!((host.sim.truth("bulb", 6, 0), host.sim.truth("plug", 6, 0)), (Some(1), Some(1)));
    // A scene is kept, and brought back.
    host.say("bulb", 5, &[0x01, 3, 0x04, 5, 0, 9]);
    host.say("bulb", 6, &[0x01, 4, 0x00]);
    host.pass(SECOND);
    assert_eq!(host.sim.truth("bulb", 6, 0), Some(0));
    host.say("bulb", 5, &[0x01, 5, 0x05, 5, 0, 9]);
    host.pass(SECOND);
    assert_eq!(host.sim.truth("bulb", 6, 0), Some(1));
}

#[test]
fn a_liar_is_found_out_by_the_truth_alone() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    host.sim.set_quirks("bulb", Quirks { lies: true, ..Quirks::default() });
    host.say("bulb", 6, &[0x01, 1, 0x01]);
    host.pass(SECOND);
    assert_eq!(host.hear().expect("it says").1, [0x18, 1, 0x0b, 0x01, 0x00]);
    assert_eq!(host.sim.truth("bulb", 6, 0), Some(0), "and does nothing");
    host.sim.set_quirks("bulb", Quirks { rejects: Some(0x01), ..Quirks::default() });
    host.say("bulb", 6, &[0x01, 2, 0x01]);
    host.pass(SECOND);
    assert_eq!(host.hear().expect("it refuses").1, [0x18, 2, 0x0b, 0x01, 0x01]);
    host.sim.set_quirks("bulb", Quirks { no_ack: true, ..Quirks::default() });
    host.came.clear();
    host.say("bulb", 6, &[0x01, 3, 0x01]);
    assert_eq!(host.confirm(SECOND), Some(0xe9));
    host.sim.set_quirks("bulb", Quirks { silent: true, ..Quirks::default() });
    host.came.clear();
    host.say("bulb", 6, &[0x01, 4, 0x01]);
    assert_eq!(host.confirm(SECOND), Some(0));
    assert_eq!(host.hear(), None);
}

#[test]
fn what_is_out_of_reach_or_too_much_is_confirmed_as_such() {
    let mut host = Host::home(Generation::V30x, &["bulb"]);
    host.sim.order(host.now, "unplug bulb").expect("an order");
    host.say("bulb", 6, &[0x01, 1, 0x01]);
    assert_eq!(host.confirm(SECOND), Some(0xe9));
    host.sim.order(host.now, "plug bulb").expect("an order");
    host.pass(SECOND);
    host.sim.lose_route("bulb");
    host.say("bulb", 6, &[0x01, 2, 0x01]);
    assert_eq!(host.confirm(SECOND), Some(0xcd));
    let search = Writer::new().u16(host.nwk("bulb")).u8(0).u8(30);
    host.ask(5, 0x45, &search.0).expect("an answer");
    host.say("bulb", 6, &[0x01, 3, 0x01]);
    assert_eq!(host.confirm(SECOND), Some(0));
    // Five at once are one too many for the old stick.
    for at in 0..5 {
        host.say("bulb", 6, &[0x01, 10 + at, 0x01]);
    }
    host.pass(SECOND);
    let statuses: Vec<_> = std::iter::from_fn(|| host.take(4, 0x80)).map(|data| data[0]).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 0x11).count(), 1, "{statuses:02x?}");
}

#[test]
fn a_remote_commands_whom_it_is_bound_to() {
    let mut host = Host::home(Generation::V3x0, &["remote", "bulb"]);
    host.sim.order(host.now, "press remote on").expect("an order");
    host.pass(SECOND);
    assert_eq!(host.hear(), None, "it is bound to nobody");
    // Pressing it wakes it: now it can be told.
    host.sim.order(host.now, "press remote on").expect("an order");
    let (remote, bulb) = (host.sim.device("remote").expect("one").ieee.0, host.sim.device("bulb").expect("one").ieee.0);
    host.bind("remote", 6);
    let to_bulb = Writer::new().u16(host.nwk("remote")).u64(remote).u8(1).u16(6).u8(3).u64(bulb).u8(1);
    host.ask(5, 0x21, &to_bulb.0).expect("an answer");
    host.pass(2 * SECOND);
    host.came.clear();
    host.sim.order(host.now, "press remote on").expect("an order");
    host.pass(SECOND);
    assert_eq!(host.hear().expect("the host hears it").1[2], 0x01);
    assert_eq!(host.sim.truth("bulb", 6, 0), Some(1), "and so does the bulb");
}
