//! What is done about a message that was not delivered, and how long an answer is waited for: the table of it. Sends nothing.

use std::time::Duration;

use crate::zigbee::ncp::SendStatus;
use crate::zigbee::network::exchange::Failure;

/// A stick that is full says so until messages have left it; asking sooner makes it worse.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Before a message that was not acknowledged goes out again: the neighbour's own retries are over by then.
const AGAIN_PAUSE: Duration = Duration::from_millis(150);

/// Times that a message goes out to one that listens before it counts as out of reach.
const TRIES_MAX: u8 = 4;

/// From this try on a new route is looked for first.
const ROUTE_FROM: u8 = 2;

/// For so long an answer of one that listens is waited for, at first; then the message goes out again. A round trip of many hops
/// with a search for the route takes half of it.
const ANSWER: Duration = Duration::from_secs(1);

/// With each try it is waited so much longer: where answers are slow, more messages make them slower.
const ANSWER_MORE: Duration = Duration::from_millis(500);

/// The same of one that sleeps: its parent keeps a message 7.68 s for it.
const ANSWER_ASLEEP: Duration = Duration::from_secs(10);

/// How long a try may take.
pub fn patience(sleeps: bool, tries: u8) -> Duration {
    if sleeps { ANSWER_ASLEEP } else { ANSWER + ANSWER_MORE * u32::from(tries.saturating_sub(1)) }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It has got there: the answer is waited for.
    Await,
    Again {
        after: Duration,
    },
    /// After a new route was looked for.
    Route,
    /// After the stick has forgotten whose child it was, and has looked for a new route.
    Parent,
    /// When the device is heard of.
    WhenHeard,
    Fail(Failure),
}

/// `tries`: times that it went out, this one among them.
pub fn next(status: SendStatus, sleeps: bool, tries: u8) -> Next {
    match status {
        SendStatus::Delivered => Next::Await,
        SendStatus::RadioDown => Next::Fail(Failure::RadioDown),
        SendStatus::Refused(code) => Next::Fail(Failure::Stick(code)),
        // It never left the stick: no try. The deadline ends it.
        SendStatus::Busy => Next::Again { after: BUSY_PAUSE },
        SendStatus::Expired if tries == 1 => Next::Parent,
        SendStatus::Expired => Next::WhenHeard,
        SendStatus::NoAck if sleeps => Next::WhenHeard,
        SendStatus::NoAck | SendStatus::NoRoute if tries >= TRIES_MAX => {
            Next::Fail(Failure::Unreachable("it is out of reach, or without power"))
        }
        SendStatus::NoRoute => Next::Route,
        SendStatus::NoAck if tries >= ROUTE_FROM => Next::Route,
        SendStatus::NoAck => Next::Again { after: AGAIN_PAUSE },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_listens_is_tried_a_few_times_and_one_that_sleeps_is_waited_for() {
        assert_eq!(next(SendStatus::NoAck, false, 1), Next::Again { after: AGAIN_PAUSE });
        assert_eq!(next(SendStatus::NoAck, false, 2), Next::Route);
        assert!(matches!(next(SendStatus::NoAck, false, TRIES_MAX), Next::Fail(Failure::Unreachable(_))));
        assert_eq!(next(SendStatus::NoAck, true, 9), Next::WhenHeard);
        assert_eq!(next(SendStatus::NoRoute, false, 1), Next::Route);
        assert_eq!(next(SendStatus::Expired, true, 1), Next::Parent);
        assert_eq!(next(SendStatus::Expired, true, 2), Next::WhenHeard);
        assert_eq!(next(SendStatus::Busy, false, 9), Next::Again { after: BUSY_PAUSE });
        assert_eq!(next(SendStatus::RadioDown, true, 1), Next::Fail(Failure::RadioDown));
    }
}
