//! Sequences of requests written as one reads them: a script is a future that asks, waits and hears, and is turned by the machine
//! whenever something has come for it. There is no runtime and no waker; the desk between the two is all. Does no I/O.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::zigbee::ncp::Transmit;
use crate::zigbee::ncp::znp::line::{AskError, Patience};
use crate::zigbee::ncp::znp::mt::{Command, Message};

/// What the stick told by itself that a script has not looked at; the oldest goes first. A script that waits looks at all.
const HEARD_LEN_MAX: usize = 32;

/// Why a script gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The stick did not do as it should. Another try may help.
    #[error("{0}")]
    Stick(Box<str>),
    /// The stick does not answer at all.
    #[error("the stick does not answer ({0})")]
    Silent(&'static str),
    /// Whatever is at the other end of the line, it is no stick that is awake and speaks MT.
    #[error(
        "Nothing on this port answers as a Z-Stack stick does. Is it the right port, is nothing else using it, and does the stick have \
         Z-Stack firmware?"
    )]
    NoStick,
    /// A person has to act.
    #[error("{0}")]
    Owner(Box<str>),
}

impl Trouble {
    pub fn stick(what: impl Into<Box<str>>) -> Trouble {
        Trouble::Stick(what.into())
    }

    pub fn owner(what: impl Into<Box<str>>) -> Trouble {
        Trouble::Owner(what.into())
    }

    fn of(command: &Command, error: AskError) -> Trouble {
        match error {
            AskError::Silent => Trouble::Silent(command.name),
            AskError::Rpc(_) | AskError::Gone | AskError::Full => {
                Trouble::Stick(format!("the stick did not answer {}: {error}", command.name).into())
            }
        }
    }
}

/// What lies between a script and the machine.
#[derive(Debug)]
struct Tray {
    now: Instant,
    ask: Option<(Message, Patience)>,
    answer: Option<Result<Message, AskError>>,
    told: VecDeque<Message>,
    say: VecDeque<Say>,
    wake_at: Option<Instant>,
    is_reset_expected: bool,
}

/// What a script has the machine do, without an answer.
#[derive(Debug)]
pub enum Say {
    Tell(Message),
    Transmit(Transmit),
}

/// A script's side.
#[derive(Debug, Clone)]
pub struct Desk(Arc<Mutex<Tray>>);

impl Desk {
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Instant {
        self.tray().now
    }

    /// Asks with the patience that the command is usually given.
    pub async fn ask(&self, message: Message) -> Result<Message, Trouble> {
        let command = message.command;
        self.try_ask(message, Patience::of(command)).await.map_err(|error| Trouble::of(command, error))
    }

    /// Asks, and takes no status but 0.
    pub async fn order(&self, message: Message) -> Result<Message, Trouble> {
        self.order_or(message, &[]).await
    }

    /// Asks, and takes no status but 0 and these.
    pub async fn order_or(&self, message: Message, fine: &[u8]) -> Result<Message, Trouble> {
        let name = message.command.name;
        let answer = self.ask(message).await?;
        match answer.status() {
            Some(status) if status != 0 && !fine.contains(&status) => {
                Err(Trouble::stick(format!("the stick answered {name} with status 0x{status:02x}")))
            }
            _ => Ok(answer),
        }
    }

    /// Asks, with the plain outcome.
    pub async fn try_ask(&self, message: Message, patience: Patience) -> Result<Message, AskError> {
        {
            let mut tray = self.tray();
            tray.ask = Some((message, patience));
            // An answer to a script before this one.
            tray.answer = None;
        }
        poll_fn(|_| self.tray().answer.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    pub async fn sleep(&self, duration: Duration) {
        let until = self.now() + duration;
        self.tray().wake_at = Some(until);
        poll_fn(|_| if self.now() >= until { Poll::Ready(()) } else { Poll::Pending }).await;
        self.tray().wake_at = None;
    }

    /// The first that the stick told since [`Desk::forget_told`], or tells within this time, for which `is_it` holds.
    pub async fn hear(&self, duration: Duration, is_it: impl Fn(&Message) -> bool) -> Option<Message> {
        let until = self.now() + duration;
        self.tray().wake_at = Some(until);
        let found = poll_fn(|_| {
            let mut tray = self.tray();
            while let Some(message) = tray.told.pop_front() {
                if is_it(&message) {
                    return Poll::Ready(Some(message));
                }
            }
            if tray.now >= until { Poll::Ready(None) } else { Poll::Pending }
        });
        let found = found.await;
        self.tray().wake_at = None;
        found
    }

    /// What was told before is of no interest.
    pub fn forget_told(&self) {
        self.tray().told.clear();
    }

    pub fn tell(&self, message: Message) {
        self.tray().say.push_back(Say::Tell(message));
    }

    pub fn transmit(&self, transmit: Transmit) {
        self.tray().say.push_back(Say::Transmit(transmit));
    }

    /// Whether a reset of the stick is what the script wants, or the end of it.
    pub fn expect_reset(&self, is_expected: bool) {
        self.tray().is_reset_expected = is_expected;
    }
}

/// The machine's side: a script that is under way.
pub struct Script<T> {
    desk: Desk,
    future: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Script<T> {
    /// Begins a script, which runs up to its first wait in the first [`Script::turn`].
    pub fn new<F>(now: Instant, script: impl FnOnce(Desk) -> F) -> Script<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let tray = Tray {
            now,
            ask: None,
            answer: None,
            told: VecDeque::new(),
            say: VecDeque::new(),
            wake_at: None,
            is_reset_expected: false,
        };
        let desk = Desk(Arc::new(Mutex::new(tray)));
        Script { future: Box::pin(script(desk.clone())), desk }
    }

    /// Runs as far as it can; its result when it has ended.
    pub fn turn(&mut self, now: Instant) -> Option<T> {
        self.desk.tray().now = now;
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    pub fn answer(&mut self, answer: Result<Message, AskError>) {
        self.desk.tray().answer = Some(answer);
    }

    pub fn told(&mut self, message: &Message) {
        let mut tray = self.desk.tray();
        if tray.told.len() == HEARD_LEN_MAX {
            tray.told.pop_front();
        }
        tray.told.push_back(message.clone());
    }

    pub fn poll_ask(&mut self) -> Option<(Message, Patience)> {
        self.desk.tray().ask.take()
    }

    pub fn poll_say(&mut self) -> Option<Say> {
        self.desk.tray().say.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.desk.tray().wake_at
    }

    pub fn expects_reset(&self) -> bool {
        self.desk.tray().is_reset_expected
    }
}
