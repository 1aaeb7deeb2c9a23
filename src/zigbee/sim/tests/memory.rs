//! The stick's memory: what lives through a reset, a swap, a restore, and what does not.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Whether the bulb does as it is told.
fn obeys(host: &mut Host) -> bool {
    let was = host.sim.truth("bulb", 6, 0);
    host.say("bulb", 6, &[0x01, 1, 0x02]);
    host.pass(SECOND);
    host.came.clear();
    host.sim.truth("bulb", 6, 0) != was
}

#[test]
fn a_network_lives_through_a_reset_and_its_counter_never_goes_back() {
    for generation in [Generation::V3x0, Generation::V30x] {
        let mut host = Host::home(generation, &["bulb"]);
        assert!(obeys(&mut host));
        let before = host.sim.frame_counter();
        host.reset();
        assert!(!host.sim.is_up());
        host.start();
        assert!(host.sim.frame_counter() > before);
        assert!(obeys(&mut host));
        assert_eq!(host.sim.network(), Some((15, 0x1a62)));
    }
}

#[test]
fn a_stick_with_the_same_memory_is_the_same_stick() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    let (ieee, nv) = (host.sim.ieee(), host.sim.nv().clone());
    host.sim.swap_stick(host.now, Generation::V3x0, Some(nv));
    host.start();
    assert_eq!(host.sim.ieee(), ieee);
    assert_eq!(host.sim.own_key_holds("bulb"), Some(true));
    assert!(obeys(&mut host));
}

#[test]
fn a_coordinator_whose_counter_went_back_is_not_heard() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    let old = host.sim.nv().clone();
    // Much is said, and the counter grows beyond what a start adds.
    for _ in 0..1_200 {
        host.say("bulb", 6, &[0x01, 1, 0x02]);
        host.pass(Duration::from_millis(20));
        host.transaction = 0;
    }
    host.came.clear();
    host.sim.swap_stick(host.now, Generation::V3x0, Some(old));
    host.start();
    assert!(!obeys(&mut host), "its counter went back");
    // A restore that adds 2,500, as hosts do, is heard.
    let row = [1, 7, 0, 0, 0];
    let kept = host.ask(1, 0x33, &[&row[..], &[0, 0, 12]].concat()).expect("the material").data;
    let counter = u32::from_le_bytes(kept[2..6].try_into().expect("four")) + 2_500;
    let request = Writer::new().bytes(&row).u16(0).u8(4).u32(counter);
    assert_eq!(host.ask(1, 0x34, &request.0).expect("an answer").data, [0]);
    host.reset();
    host.start();
    assert!(obeys(&mut host));
}

#[test]
fn clearing_the_state_forgets_the_network_and_a_new_one_does_not_reach_the_devices() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    host.set_nv(0x03, &[3]);
    host.reset();
    assert!(host.nv(0x21).is_empty(), "the network is forgotten");
    assert_eq!(host.nv(0x03), [0]);
    host.set_nv(0x8f, &[1]);
    host.set_nv(0x62, &[9; 16]);
    host.set_nv(0x83, &[0x62, 0x1a]);
    let channels = Writer::new().u8(1).u32(1 << 15);
    host.ask(15, 8, &channels.0).expect("an answer");
    host.start();
    assert!(!obeys(&mut host), "another key");
}

#[test]
fn a_dead_stick_says_nothing_until_it_is_let_go() {
    let mut host = Host::home(Generation::V3x0, &["bulb"]);
    host.sim.hang_stick(host.now, true);
    assert!(host.ask(1, 1, &[]).is_none());
    host.sim.hang_stick(host.now, false);
    host.pass(SECOND);
    assert!(host.take(1, 0x80).is_some());
    assert!(host.ask(1, 1, &[]).is_some());
}

#[test]
fn items_keep_their_length_and_refuse_what_does_not_fit() {
    let mut host = Host::with(Generation::V3x0, &[]);
    let make = Writer::new().u16(0x60).u16(1).u8(1).u8(0x55);
    assert_eq!(host.ask(1, 0x07, &make.0).expect("made").data, [0x09]);
    assert_eq!(host.ask(1, 0x07, &make.0).expect("it is there").data, [0x00]);
    assert_eq!(host.nv(0x60), [0x55]);
    let too_long = Writer::new().u16(0x60).u16(0).u16(2).u16(0);
    assert_eq!(host.ask(1, 0x1d, &too_long.0).expect("refused").data, [0x0c]);
    let missing = Writer::new().u16(0x5f).u16(0).u16(1).u8(0);
    assert_eq!(host.ask(1, 0x1d, &missing.0).expect("refused").data, [0x0a]);
    let wrong = Writer::new().u16(0x60).u16(2);
    assert_eq!(host.ask(1, 0x12, &wrong.0).expect("refused").data, [0x0c]);
    let right = Writer::new().u16(0x60).u16(1);
    assert_eq!(host.ask(1, 0x12, &right.0).expect("gone").data, [0x00]);
    assert_eq!(Reader(&host.ask(1, 0x13, &[0x60, 0]).expect("a length").data).u16(), Some(0));
}
