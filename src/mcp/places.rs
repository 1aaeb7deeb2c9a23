//! How many calls one user may have running: whoever floods the hub holds up nobody else. Counts; waits for nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Calls of one user that run at once, through all doors together. What a household does is far below; a program that does
/// more should wait for its answers.
pub const CALLS_PER_USER_MAX: usize = 64;

/// Who has how many calls running.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<Box<str>, usize>>>);

/// One call's place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    user: Box<str>,
}

impl Places {
    /// A place for a call of `user`; `None`: all are taken.
    pub fn take(&self, user: &str) -> Option<Place> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match running.get_mut(user) {
            Some(count) => count,
            None => running.entry(user.into()).or_default(),
        };
        if *count >= CALLS_PER_USER_MAX {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), user: user.into() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.user) {
            *count -= 1;
            // Nobody is remembered who does nothing.
            if *count == 0 {
                running.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_so_many_and_gets_them_back() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..CALLS_PER_USER_MAX).filter_map(|_| places.take("ann")).collect();
        assert_eq!(taken.len(), CALLS_PER_USER_MAX);
        assert!(places.take("ann").is_none());
        assert!(places.take("ben").is_some(), "and leaves others theirs");
        taken.pop();
        assert!(places.take("ann").is_some());
        drop(taken);
        assert!(places.0.lock().unwrap().is_empty());
    }
}
