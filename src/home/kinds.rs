//! What devices can do, once for all devices of a kind: a house has many of few kinds, and what one can do takes more memory than
//! all else that is known of it. Keeps what is in use, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::common::capability::Capability;

/// See the module.
#[derive(Default)]
pub(super) struct Kinds {
    /// By model: devices of one may differ, as their firmware does.
    by_model: BTreeMap<Option<Box<str>>, Vec<Weak<[Capability]>>>,
}

impl Kinds {
    /// The same list, of another device of the model where one has it.
    pub fn shared(&mut self, model: Option<&str>, capabilities: Vec<Capability>) -> Arc<[Capability]> {
        let model: Option<Box<str>> = model.map(Into::into);
        let known = self.by_model.get(&model).into_iter().flatten().filter_map(Weak::upgrade);
        if let Some(same) = known.into_iter().find(|known| **known == *capabilities) {
            return same;
        }
        self.by_model.retain(|_, lists| {
            lists.retain(|list| list.strong_count() > 0);
            !lists.is_empty()
        });
        let fresh: Arc<[_]> = capabilities.into();
        self.by_model.entry(model).or_default().push(Arc::downgrade(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::testing::{bulb, contact};

    #[test]
    fn devices_of_a_kind_have_one_list_and_it_goes_with_the_last_of_them() {
        let mut kinds = Kinds::default();
        let (bulbs, contacts) = (bulb("0x1").capabilities, contact("0x2").capabilities);
        let first = kinds.shared(Some("A"), bulbs.clone());
        assert!(Arc::ptr_eq(&first, &kinds.shared(Some("A"), bulbs.clone())));
        let newer = kinds.shared(Some("A"), contacts.clone());
        assert_eq!((*newer).to_vec(), contacts, "another firmware");
        assert!(!Arc::ptr_eq(&first, &kinds.shared(None, bulbs.clone())));
        assert_eq!(kinds.by_model.len(), 2);
        drop((first, newer));
        let _ = kinds.shared(Some("B"), bulbs);
        assert_eq!(kinds.by_model.keys().flatten().map(|model| &**model).collect::<Vec<_>>(), ["B"]);
    }
}
