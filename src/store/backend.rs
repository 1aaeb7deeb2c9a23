//! The bytes of the file, held back until the file has been looked through: what redb writes while it opens and repairs
//! stays in memory, so that a file that is refused keeps every byte. Knows nothing of tables.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{BackendError, StorageBackend};

/// A backend that keeps its writes to itself until [`Release::release`].
#[derive(Debug)]
pub(super) struct Held(Arc<Inner>);

/// Lets a [`Held`] backend's writes through to the file.
pub(super) struct Release(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    under: Box<dyn StorageBackend>,
    /// `None` once released. Small: a repair rewrites the header and a few pages.
    journal: RwLock<Option<Journal>>,
}

/// What was asked of the file, in order, syncs included: replayed, a crash in between leaves what redb can repair.
#[derive(Debug)]
struct Journal {
    len: u64,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Sync,
}

impl Held {
    pub(super) fn new(under: Box<dyn StorageBackend>) -> io::Result<(Held, Release)> {
        let journal = Journal { len: under.len()?, steps: Vec::new() };
        let inner = Arc::new(Inner { under, journal: RwLock::new(Some(journal)) });
        Ok((Held(Arc::clone(&inner)), Release(inner)))
    }
}

impl Release {
    /// Writes what was held back and holds nothing back from now on. After an error the rest stays in memory.
    pub(super) fn release(self) -> io::Result<()> {
        let mut journal = self.0.journal.write().unwrap_or_else(PoisonError::into_inner);
        let steps = journal.iter().flat_map(|journal| &journal.steps);
        for step in steps {
            match step {
                Step::Write { offset, bytes } => self.0.under.write(*offset, bytes)?,
                Step::SetLen(len) => self.0.under.set_len(*len)?,
                Step::Sync => self.0.under.sync_data()?,
            }
        }
        *journal = None;
        Ok(())
    }
}

impl Inner {
    /// Notes a step while the file is held; false when it is to go to the file.
    fn note(&self, step: impl FnOnce(&mut Journal) -> Step) -> bool {
        if self.journal.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return false;
        }
        let mut journal = self.journal.write().unwrap_or_else(PoisonError::into_inner);
        let Some(journal) = journal.as_mut() else { return false };
        let step = step(journal);
        journal.steps.push(step);
        true
    }
}

impl Journal {
    fn read(&self, under: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let stored = under.len()?.saturating_sub(offset).min(out.len() as u64) as usize;
        if stored > 0 {
            under.read(offset, &mut out[..stored])?;
        }
        out[stored..].fill(0);
        for step in &self.steps {
            match step {
                Step::Write { offset: at, bytes } => {
                    let (from, to) = (offset.max(*at), end.min(at + bytes.len() as u64));
                    if from < to {
                        let source = &bytes[(from - at) as usize..(to - at) as usize];
                        out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
                    }
                }
                Step::SetLen(len) if *len < end => out[len.saturating_sub(offset) as usize..].fill(0),
                Step::SetLen(_) | Step::Sync => {}
            }
        }
        Ok(())
    }
}

impl StorageBackend for Held {
    fn len(&self) -> io::Result<u64> {
        match &*self.0.journal.read().unwrap_or_else(PoisonError::into_inner) {
            Some(journal) => Ok(journal.len),
            None => self.0.under.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.0.journal.read().unwrap_or_else(PoisonError::into_inner) {
            Some(journal) => journal.read(&*self.0.under, offset, out),
            None => self.0.under.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let held = self.0.note(|journal| {
            journal.len = len;
            Step::SetLen(len)
        });
        if held { Ok(()) } else { self.0.under.set_len(len) }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.note(|_| Step::Sync) { Ok(()) } else { self.0.under.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let held = self.0.note(|journal| {
            journal.len = journal.len.max(offset + data.len() as u64);
            Step::Write { offset, bytes: data.to_vec() }
        });
        if held { Ok(()) } else { self.0.under.write(offset, data) }
    }

    fn close(&self) -> io::Result<()> {
        self.0.under.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.under.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.under.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.under.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.under.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.under.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.under.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_held_reads_as_if_it_were_written_and_is_written_in_the_end(
            before in proptest::collection::vec(any::<u8>(), 0..80),
            steps in proptest::collection::vec(
                prop_oneof![
                    (0..100u64, proptest::collection::vec(any::<u8>(), 1..40))
                        .prop_map(|(offset, bytes)| Step::Write { offset, bytes }),
                    (0..120u64).prop_map(Step::SetLen),
                    Just(Step::Sync),
                ],
                0..12,
            ),
        ) {
            let under = Arc::new(memory(&before));
            let (held, release) = Held::new(Box::new(Shared(Arc::clone(&under)))).expect("memory");
            let mut expected = before.clone();
            for step in steps {
                match step {
                    Step::Write { offset, bytes } => {
                        // Within the file, as redb writes.
                        let room = expected.len().saturating_sub(offset as usize).min(bytes.len());
                        let Some(at) = expected.get_mut(offset as usize..offset as usize + room) else { continue };
                        at.copy_from_slice(&bytes[..room]);
                        held.write(offset, &bytes[..room]).expect("memory");
                    }
                    Step::SetLen(len) => {
                        expected.resize(len as usize, 0);
                        held.set_len(len).expect("memory");
                    }
                    Step::Sync => held.sync_data().expect("memory"),
                }
                prop_assert_eq!(whole(&held), expected.clone());
            }
            prop_assert_eq!(whole(&*under), before);
            release.release().expect("memory");
            prop_assert_eq!(whole(&*under), expected.clone());
            held.set_len(7).expect("memory");
            held.write(0, b"through").expect("memory");
            prop_assert_eq!(whole(&*under), b"through");
        }
    }

    #[derive(Debug)]
    struct Shared(Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    fn memory(bytes: &[u8]) -> InMemoryBackend {
        let memory = InMemoryBackend::new();
        memory.set_len(bytes.len() as u64).expect("memory");
        memory.write(0, bytes).expect("memory");
        memory
    }

    /// All bytes, and each from its own read, since reads may begin anywhere.
    fn whole(backend: &dyn StorageBackend) -> Vec<u8> {
        let mut all = vec![0; backend.len().expect("memory") as usize];
        backend.read(0, &mut all).expect("memory");
        for (at, byte) in all.iter().enumerate() {
            let mut one = [0];
            backend.read(at as u64, &mut one).expect("memory");
            assert_eq!(one[0], *byte);
        }
        all
    }
}
