//! The line against a stick that answers late, twice, wrongly or not at all.

use super::*;
use crate::zigbee::ncp::znp::mt::rpc_error;

struct Test {
    line: Line<u32>,
    now: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a starting point for time that the test makes itself")]
fn test() -> Test {
    Test { line: Line::new(), now: Instant::now() }
}

impl Test {
    fn ask(&mut self, owner: u32, message: &Message) {
        self.line.ask(self.now, owner, message, Patience::of(message.command));
    }

    fn said(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.line.poll_transmit()).collect()
    }

    fn heard(&mut self) -> Vec<Heard<u32>> {
        std::iter::from_fn(|| self.line.poll_heard()).collect()
    }

    fn hear(&mut self, message: &Message) {
        self.line.handle_bytes(self.now, &bytes(message));
    }

    /// To the next timeout, which must be this far away.
    fn wait(&mut self, ms: u64) {
        let at = self.line.poll_timeout().expect("something is waited for");
        assert_eq!(at - self.now, Duration::from_millis(ms));
        self.now = at;
        self.line.handle_timeout(at);
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    message.frame().expect("it fits").encode().expect("it fits")
}

fn length(id: u16) -> Message {
    SYS_OSAL_NV_LENGTH.request().with("id", id)
}

fn is(len: u16) -> Message {
    SYS_OSAL_NV_LENGTH.response().with("length", len)
}

#[test]
fn one_at_a_time_in_order() {
    let mut test = test();
    test.ask(1, &length(1));
    test.ask(2, &SYS_PING.request());
    assert_eq!(test.said(), [bytes(&length(1))]);
    test.hear(&SYS_PING.response());
    assert_eq!(test.heard(), [], "an answer to what was not asked yet");
    test.hear(&is(4));
    assert_eq!(test.heard(), [Heard::Answer(1, Ok(is(4)))]);
    assert_eq!(test.said(), [bytes(&SYS_PING.request())]);
    test.hear(&ZDO_STATE_CHANGE_IND.request().with("state", 9u8));
    assert_eq!(test.heard(), [Heard::Told(ZDO_STATE_CHANGE_IND.request().with("state", 9u8))]);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_given_up() {
    let mut test = test();
    test.ask(1, &length(1));
    for _ in 0..3 {
        assert_eq!(test.said(), [bytes(&length(1))]);
        assert_eq!(test.heard(), []);
        test.wait(1_500);
    }
    assert_eq!(test.heard(), [Heard::Answer(1, Err(AskError::Silent))]);
    assert_eq!(test.said(), [] as [Vec<u8>; 0]);
}

#[test]
fn a_garbled_answer_is_asked_for_again_at_once() {
    let mut test = test();
    test.ask(1, &length(1));
    test.said();
    let mut garbled = bytes(&is(4));
    garbled[5] ^= 0x10;
    test.line.handle_bytes(test.now, &garbled);
    test.wait(60);
    assert_eq!(test.said(), [bytes(&length(1))]);
    test.hear(&is(4));
    assert_eq!(test.heard(), [Heard::Answer(1, Ok(is(4)))]);
}

#[test]
fn a_late_answer_is_not_taken_for_that_of_the_next() {
    let mut test = test();
    test.ask(1, &length(1));
    test.wait(1_500);
    assert_eq!(test.said().len(), 2);
    test.hear(&is(4));
    assert_eq!(test.heard(), [Heard::Answer(1, Ok(is(4)))]);
    // Another of the same command waits for the second answer.
    test.ask(2, &length(2));
    assert_eq!(test.said().len(), 0);
    test.hear(&is(4));
    test.line.handle_timeout(test.now);
    assert_eq!(test.said(), [bytes(&length(2))]);
    assert_eq!(test.heard(), []);
    test.hear(&is(7));
    assert_eq!(test.heard(), [Heard::Answer(2, Ok(is(7)))]);
}

#[test]
fn an_answer_that_comes_twice_in_one_piece_counts_once() {
    let mut test = test();
    test.ask(1, &length(1));
    test.ask(2, &length(2));
    let twice = [bytes(&is(4)), bytes(&is(4))].concat();
    test.line.handle_bytes(test.now, &twice);
    assert_eq!(test.heard(), [Heard::Answer(1, Ok(is(4)))]);
}

#[test]
fn an_rpc_error_fails_its_request_at_once_and_no_other() {
    let mut test = test();
    let probe = SYS_NV_LENGTH.request();
    test.ask(1, &probe);
    let other = rpc_error(2, &length(1).frame().expect("it fits")).encode().expect("it fits");
    test.line.handle_bytes(test.now, &other);
    assert_eq!(test.heard(), []);
    let ours = rpc_error(2, &probe.frame().expect("it fits")).encode().expect("it fits");
    test.line.handle_bytes(test.now, &ours);
    assert_eq!(test.heard(), [Heard::Answer(1, Err(AskError::Rpc(2)))]);
}

#[test]
fn what_makes_devices_act_is_said_once() {
    let mut test = test();
    test.ask(1, &AF_DATA_REQUEST.request());
    test.said();
    test.wait(500);
    assert_eq!(test.said().len(), 0);
    assert_eq!(test.heard(), [Heard::Answer(1, Err(AskError::Silent))]);
}

#[test]
fn a_false_start_holds_an_answer_back_for_a_moment_only() {
    let mut test = test();
    test.ask(1, &length(1));
    test.line.handle_bytes(test.now, &[&[0xfe, 0xe0, 0x44][..], &bytes(&is(4))].concat());
    assert_eq!(test.heard(), []);
    test.wait(120);
    assert_eq!(test.heard(), [Heard::Answer(1, Ok(is(4)))]);
}

#[test]
fn what_waits_when_the_stick_starts_anew_is_told_so() {
    let mut test = test();
    test.ask(1, &length(1));
    test.ask(2, &length(2));
    test.line.reset();
    let gone = |owner| Heard::Answer(owner, Err(AskError::Gone));
    assert_eq!(test.heard(), [gone(1), gone(2)]);
    assert_eq!(test.line.poll_timeout(), None);
    for owner in 0..100 {
        test.ask(owner, &length(1));
    }
    let full = test.heard();
    assert_eq!(full.len(), 100 - 1 - QUEUE_LEN_MAX);
    assert!(full.iter().all(|heard| matches!(heard, Heard::Answer(_, Err(AskError::Full)))));
}

/// Some sticks confirm a message before they say that they took it.
#[test]
fn an_answer_behind_the_confirm_is_not_taken_for_that_of_the_next() {
    let mut test = test();
    let send = |transaction: u8| AF_DATA_REQUEST.request().with("transid", transaction);
    test.ask(1, &send(1));
    test.ask(2, &send(2));
    assert_eq!(test.said(), [bytes(&send(1))]);
    test.line.settle(test.now, &1);
    assert_eq!(test.said().len(), 0, "the answer may come yet");
    test.hear(&AF_DATA_REQUEST.response());
    assert_eq!((test.said(), test.heard()), (vec![bytes(&send(2))], vec![]));
    let refused = AF_DATA_REQUEST.response().with("status", 0x11u8);
    test.hear(&refused);
    assert_eq!(test.heard(), [Heard::Answer(2, Ok(refused))]);
    // And where it is lost, the next one waits for it no longer than that.
    test.ask(3, &send(3));
    test.ask(4, &send(4));
    test.said();
    test.line.settle(test.now, &3);
    test.wait(400);
    assert_eq!(test.said(), [bytes(&send(4))]);
}
