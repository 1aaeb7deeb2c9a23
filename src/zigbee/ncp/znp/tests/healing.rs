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
