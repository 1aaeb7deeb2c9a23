//! The tools of one user and their names on the wire: worked out once and shared by all questions, until tools change. With a
//! thousand tools that is more than all else of a question.

use std::sync::{Arc, Mutex, PoisonError};

use super::names::Names;
use crate::mcp::Definition;

/// Lists of tools that are remembered: one for each user who is allowed something else than another. Past it the one that was
/// not used for longest is forgotten, which costs a millisecond.
const KEPT_MAX: usize = 8;

/// See the module.
pub struct Known {
    /// By name.
    pub all: Box<[Arc<Definition>]>,
    pub names: Names,
}

impl Known {
    /// `all` by name.
    pub fn new(all: Vec<Arc<Definition>>) -> Known {
        debug_assert!(all.is_sorted_by(|a, b| a.name < b.name), "they are looked up by name");
        Known { names: Names::of(&all), all: all.into() }
    }

    fn is_of(&self, all: &[Arc<Definition>]) -> bool {
        self.all.len() == all.len() && self.all.iter().zip(all).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// What is remembered, the one that was used last first.
#[derive(Default)]
pub struct KnownTools(Mutex<Vec<Arc<Known>>>);

impl KnownTools {
    /// `all` by name.
    pub fn of(&self, all: Vec<Arc<Definition>>) -> Arc<Known> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match kept.iter().position(|known| known.is_of(&all)) {
            Some(at) => kept.remove(at),
            None => Arc::new(Known::new(all)),
        };
        kept.truncate(KEPT_MAX - 1);
        kept.insert(0, known.clone());
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tools::testing::tool;

    #[test]
    fn the_same_tools_are_worked_out_once_and_changed_ones_anew() {
        let (known, lamp, door) = (KnownTools::default(), tool("lamp"), tool("door"));
        let both = vec![door.clone(), lamp.clone()];
        let first = known.of(both.clone());
        let less = known.of(vec![lamp.clone()]);
        assert!(Arc::ptr_eq(&first, &known.of(both.clone())) && Arc::ptr_eq(&less, &known.of(vec![lamp])));
        // Another definition of the same name is another tool.
        assert!(!Arc::ptr_eq(&first, &known.of(vec![door, tool("lamp")])));
        for other in 0..KEPT_MAX {
            known.of(vec![tool(&format!("tool_{other}"))]);
        }
        assert!(!Arc::ptr_eq(&first, &known.of(both)), "it was forgotten");
        assert_eq!(known.0.lock().expect("nobody panicked").len(), KEPT_MAX);
    }
}
