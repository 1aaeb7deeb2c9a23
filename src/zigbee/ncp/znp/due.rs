//! What the host does by itself while the network is up, and when: look whether the stick is there, and keep the backup near to what
//! is. Does none of it.

use std::time::{Duration, Instant};

/// How often a stick is asked whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(45);

/// However odd it is, it is not asked more often than this.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// After a device has come or gone, the network is backed up when this has passed: a device that comes is given its keys first.
const BACKUP_AFTER_CHANGE: Duration = Duration::from_secs(60);
const BACKUP_AFTER_START: Duration = Duration::from_secs(20);

/// And once in a while, for what changes without being told.
const BACKUP_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// The frame counter must not run further from the backup than a restore sets it ahead: fifty devices whose reports are
/// acknowledged bring it there in ten minutes.
const COUNTER_EVERY: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Whether the stick is there, and up.
    Look,
    Backup,
    /// Look how far the frame counter has run.
    Counter,
}

/// Nothing is due by default, for a network that is not up.
#[derive(Debug, Default)]
pub struct Due {
    look_at: Option<Instant>,
    backup_at: Option<Instant>,
    counter_at: Option<Instant>,
    looked_at: Option<Instant>,
}

impl Due {
    pub fn after_start(now: Instant) -> Due {
        Due {
            look_at: Some(now + LOOK_EVERY),
            backup_at: Some(now + BACKUP_AFTER_START),
            counter_at: Some(now + COUNTER_EVERY),
            looked_at: None,
        }
    }

    /// Something is odd.
    pub fn look_now(&mut self, now: Instant) {
        let at = self.looked_at.map_or(now, |at| now.max(at + LOOK_PAUSE));
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub fn backup_after_change(&mut self, now: Instant) {
        let at = now + BACKUP_AFTER_CHANGE;
        self.backup_at = Some(self.backup_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.look_at, self.backup_at, self.counter_at].into_iter().flatten().min()
    }

    /// The next that is due.
    pub fn poll(&mut self, now: Instant) -> Option<Errand> {
        let every = [
            (&mut self.look_at, LOOK_EVERY, Errand::Look),
            (&mut self.backup_at, BACKUP_EVERY, Errand::Backup),
            (&mut self.counter_at, COUNTER_EVERY, Errand::Counter),
        ];
        let (at, every, errand) = every.into_iter().find(|(at, ..)| at.is_some_and(|at| at <= now))?;
        *at = Some(now + every);
        if errand == Errand::Look {
            self.looked_at = Some(now);
        }
        Some(errand)
    }
}
