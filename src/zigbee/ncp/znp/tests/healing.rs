//! Sticks that start anew, fall silent or go away.

use super::*;

#[test]
fn a_stick_that_starts_anew_by_itself_is_started_again() {
    for family in FAMILIES {
        let (stick, known) = settled(family);
        let mut line = line(stick, Config::default(), Some(known));
        line.run_until(30, |line| line.up().is_some());
        line.stick.confirms = None;
        line.send(1);
        line.send(2);
        line.znp.command(line.now, NcpCommand::Backup { tag: 3 });
        line.flush();
        line.run(2 * HOP);
        line.events.clear();
        line.stick.reset();
        line.run_until(30, |line| line.up().is_some());
        assert_eq!((line.sent(1), line.sent(2)), (vec![SendStatus::RadioDown], vec![SendStatus::RadioDown]));
        let down = line.events.iter().filter(|event| matches!(event, NcpEvent::Down { .. })).count();
        let done =
            line.events.iter().filter(|event| matches!(event, NcpEvent::Done { tag: 3, result: Err(_) })).count();
        assert_eq!((down, done, line.reopened), (1, 1, 0));
        assert!(line.stick.endpoints.contains(&1));
        line.stick.confirms = Some(0);
        line.send(4);
        line.run_until(1, |line| !line.sent(4).is_empty());
        assert_eq!(line.sent(4), [SendStatus::Delivered]);
    }
}

/// The word that it has started anew is lost.
#[test]
fn a_stick_that_starts_anew_without_a_word_is_found_out() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.events.clear();
    line.stick.reset();
    line.stick.out.clear();
    line.run_until(60, |line| line.up().is_some());
    // By what it says to a message at once.
    line.events.clear();
    line.stick.reset();
    line.stick.out.clear();
    line.send(1);
    line.run_until(3, |line| line.up().is_some());
    assert!(line.stick.endpoints.contains(&1));
    assert_eq!((line.sent(1), line.reopened), (vec![SendStatus::Refused(2)], 0));
}

#[test]
fn a_silent_stick_is_opened_anew_until_it_answers() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.events.clear();
    line.is_plugged = false;
    line.run_until(60, |line| line.reopened > 0);
    assert!(line.events.iter().any(|event| matches!(event, NcpEvent::Down { .. })));
    line.send(1);
    assert_eq!(line.sent(1), [SendStatus::RadioDown]);
    line.run_until(120, |line| line.reopened > 2);
    assert!(line.lines.contains(&(false, true)), "the lines are tried");
    line.is_plugged = true;
    line.run_until(120, |line| line.up().is_some());
}

#[test]
fn a_port_that_is_gone_fails_what_waits() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.events.clear();
    line.stick.confirms = None;
    line.send(1);
    line.znp.command(line.now, NcpCommand::Zdo { tag: 2, to: Nwk(1), cluster: ClusterId(2), payload: vec![1, 0] });
    line.znp.handle_closed(line.now);
    line.to_host.clear();
    line.flush();
    assert_eq!((line.sent(1), line.sent(2)), (vec![SendStatus::RadioDown], vec![SendStatus::RadioDown]));
    assert_eq!(line.znp.poll_timeout(), None);
    line.znp.handle_open(line.now);
    line.run_until(30, |line| line.up().is_some());
}

/// Whatever happens, each tag is answered exactly once.
#[test]
fn every_tag_is_answered_once() {
    for family in FAMILIES {
        let (stick, known) = settled(family);
        for seed in 1..30u32 {
            let mut copy = Stick::new(family, stick.address);
            copy.items = stick.items.clone();
            copy.tables = stick.tables.clone();
            let mut line = line(copy, Config::default(), Some(known.clone()));
            let mut chance = seed.wrapping_mul(0x9e37_79b9);
            let mut below = move |limit: u32| {
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (chance >> 8) % limit
            };
            let mut luck = below(u32::MAX >> 8);
            line.fate = Box::new(move |_| {
                luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match (luck >> 16) % 40 {
                    0 | 1 => Fate::Lost,
                    2 | 3 => Fate::Garbled,
                    4 => Fate::Twice,
                    5 => Fate::TwiceApart,
                    _ => Fate::Passes,
                }
            });
            let mut tags = 0..;
            let mut tag = || tags.next().expect("there is no end of them");
            let mut last = 0;
            for _ in 0..60 {
                match below(14) {
                    0..6 => {
                        last = tag();
                        line.send(last);
                    }
                    6 => {
                        last = tag();
                        let payload = vec![0x34, 0x12];
                        let request = NcpCommand::Zdo { tag: last, to: Nwk(0x1234), cluster: ClusterId(2), payload };
                        line.znp.command(line.now, request);
                    }
                    7 => {
                        last = tag();
                        line.znp.command(line.now, NcpCommand::PermitJoin { tag: last, seconds: 1, via: None });
                    }
                    8 => {
                        last = tag();
                        line.znp.command(line.now, NcpCommand::Backup { tag: last });
                    }
                    9 => {
                        last = tag();
                        line.znp.command(line.now, NcpCommand::DiscoverRoute { tag: last, to: Nwk(0x1234) });
                    }
                    10 => line.stick.reset(),
                    11 => {
                        line.to_host.clear();
                        line.to_stick.clear();
                        line.znp.handle_closed(line.now);
                        line.znp.handle_open(line.now);
                    }
                    12 => line.stick.confirms = [Some(0), Some(0xf0), Some(0xcd), None][below(4) as usize],
                    _ => {}
                }
                line.flush();
                line.run(Duration::from_millis(u64::from(below(400))));
            }
            line.fate = Box::new(|_| Fate::Passes);
            line.run(Duration::from_secs(120));
            for wanted in 0..=last {
                let answers = line.events.iter().filter(|event| match event {
                    NcpEvent::Sent { tag, .. } | NcpEvent::Done { tag, .. } => *tag == wanted,
                    _ => false,
                });
                assert_eq!(answers.count(), 1, "{family:?}, seed {seed}, tag {wanted}");
            }
            assert_eq!(line.stick.formed, 0, "{family:?}, seed {seed}");
        }
    }
}

/// Messages that are too long to be told at once are fetched; many of them at a time do not stand in the way of commands.
#[test]
fn long_messages_are_fetched_and_do_not_fill_the_queue() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.events.clear();
    let long = |from: u16| {
        let message = AF_INCOMING_MSG_EXT.request().with("srcaddrmode", 2u8).with("srcaddr", u64::from(from));
        message.with("clusterid", 0x19u16).with("timestamp", 99u32).with("len", 300u16)
    };
    line.stick.tell(long(0x1234));
    line.flush();
    line.run(Duration::from_millis(200));
    let whole = line.events.iter().find_map(|event| match event {
        NcpEvent::Message(message) => Some((message.from, message.payload.clone())),
        _ => None,
    });
    assert_eq!(whole, Some((Nwk(0x1234), [vec![0xaa; 240], vec![0xaa; 60]].concat())));
    for from in 0..200 {
        line.stick.tell(long(from));
    }
    line.flush();
    line.run(2 * HOP);
    line.znp.command(line.now, NcpCommand::PermitJoin { tag: 1, seconds: 60, via: None });
    line.flush();
    line.run(Duration::from_secs(2));
    assert!(line.events.contains(&NcpEvent::Done { tag: 1, result: Ok(Reply::Nothing) }));
}
