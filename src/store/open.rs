//! Opens the file, or makes it. A file is looked through whole before a byte of it changes, and one that is refused keeps
//! every byte; nothing is ever overwritten to get going.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};

use super::backend::Held;
use super::migrate::{self, Layout};
use super::tables;
use crate::common::ids;

/// Pages that redb keeps in memory, bytes; its own default is 1 GiB, which is more than the hub has. They fill up at the start, since
/// every page is read then, and stay. The system keeps the file in its own cache as well, where there is room, so that a page that
/// is not here costs a system call.
const CACHE_BYTES: usize = 1024 * 1024;

/// Who may read the file: its owner. Conversations are nobody else's business.
const FILE_MODE: u32 = 0o600;

/// Why the store did not open. Whatever it is, the file is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use: another hearth runs on this file. Stop that one, or set store.path to another file", path.display())]
    Locked { path: PathBuf },
    #[error(
        "{} is damaged ({detail}). Nothing was changed. Move it away to begin with an empty store, or put a backup in its place",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "{} is not a Hearth database ({detail}). Nothing was changed. Move it away, or set store.path to another file",
        path.display()
    )]
    NotADatabase { path: PathBuf, detail: String },
    #[error(
        "{} was written by a newer Hearth (layout {found}; this one reads up to {known}). Nothing was changed. Update Hearth, or put a backup in its place",
        path.display()
    )]
    Newer { path: PathBuf, found: u64, known: u64 },
    #[error("the folder of {} does not exist. Create it, or set store.path to a file in another folder", path.display())]
    NoFolder { path: PathBuf },
    #[error("{} may not be read and written by this user ({detail}). Give it and its folder to the user that runs Hearth", path.display())]
    Permission { path: PathBuf, detail: String },
    #[error("the disk of {} is full. Make room and start Hearth again", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} cannot be opened: {detail}", path.display())]
    Io { path: PathBuf, detail: String },
}

/// Details of [`OpenError::NotADatabase`] that no damage could bring about.
const NO_FILE: &str = "it is no plain file";
const FOLDER: &str = "it is a folder";
const ANOTHERS: &str = "it belongs to another program";

impl OpenError {
    /// Whether the file is what a failing disk may have left of a store: not one that is in use, that the system keeps from us, or
    /// that is whole and not ours to read.
    pub fn is_damage(&self) -> bool {
        match self {
            OpenError::Corrupt { .. } => true,
            OpenError::NotADatabase { detail, .. } => ![NO_FILE, FOLDER, ANOTHERS].contains(&detail.as_str()),
            _ => false,
        }
    }
}

/// How the file is reached: in the house as it is, in tests through a disk that fails.
pub(super) type Disk = Arc<dyn Fn(FileBackend) -> Box<dyn StorageBackend> + Send + Sync>;

/// Sees an open database, and where it is.
pub(super) type Onlooker = Arc<dyn Fn(&Database, &Path) + Send + Sync>;

/// Where the file is and what it must be.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) path: PathBuf,
    pub(super) disk: Disk,
    pub(super) layout: Layout,
    /// What is done with a file of an older layout before it is brought up to this one.
    pub(super) before_migration: Onlooker,
}

impl Opener {
    pub(super) fn new(path: &Path) -> Opener {
        Opener {
            path: path.to_owned(),
            disk: Arc::new(|file| Box::new(file)),
            layout: Layout::CURRENT,
            before_migration: Arc::new(|_, _| {}),
        }
    }

    /// Opens the file; makes it where there is none.
    pub(super) fn open_or_create(&self) -> Result<Database, OpenError> {
        match self.open_file() {
            Ok(file) => self.open(file),
            Err(error) if error.kind() == ErrorKind::NotFound => match self.create()? {
                Some(db) => Ok(db),
                None => self.reopen(),
            },
            Err(error) => Err(self.refused_by_file(&error)),
        }
    }

    /// Opens a file that must be there.
    pub(super) fn reopen(&self) -> Result<Database, OpenError> {
        self.open(self.open_file().map_err(|error| self.refused_by_file(&error))?)
    }

    fn open_file(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(&self.path)
    }

    /// Opens a file that must be there, and leaves it of the layout that it has.
    pub(super) fn open_unchanged(&self) -> Result<Database, OpenError> {
        self.open_whole(self.open_file().map_err(|error| self.refused_by_file(&error))?).map(|(db, _)| db)
    }

    fn open(&self, file: File) -> Result<Database, OpenError> {
        let (db, found) = self.open_whole(file)?;
        if found < self.layout.version {
            (self.before_migration)(&db, &self.path);
        }
        if migrate::run(&db, found, self.layout).map_err(|error| self.refused(error))? {
            tracing::info!(from = found, to = self.layout.version, "the store was brought up to this version's layout");
        }
        Ok(db)
    }

    /// Opens a file of this layout or an older one, with the number of its layout.
    fn open_whole(&self, file: File) -> Result<(Database, u64), OpenError> {
        let metadata = file.metadata().map_err(|error| self.refused_by_file(&error))?;
        if !metadata.is_file() {
            return Err(self.not_a_database(NO_FILE));
        }
        // redb would make a database of an empty file; ours are whole from the moment they have their name.
        if metadata.len() == 0 {
            return Err(self.not_a_database("it is empty"));
        }
        let (held, release) = self.backend(file).and_then(Held::new).map_err(|error| self.refused_by_file(&error))?;
        // Every page is verified: redb trusts a file that was closed in order and may panic on a bad page, which would
        // end the hub without a word, again and again.
        let db = builder().set_check_integrity_on_open(true).create_with_backend(held);
        let db = db.map_err(|error| self.refused(error.into()))?;
        let Some(found) = migrate::version(&db).map_err(|error| self.refused(error))? else {
            return Err(self.not_a_database(ANOTHERS));
        };
        if found > self.layout.version {
            return Err(OpenError::Newer { path: self.path.clone(), found, known: self.layout.version });
        }
        release.release().map_err(|error| self.refused_by_file(&error))?;
        Ok((db, found))
    }

    /// Makes the database under another name and gives it its own when it is whole, so that a crash leaves either none
    /// or one that opens. `None` when somebody else was faster.
    fn create(&self) -> Result<Option<Database>, OpenError> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}", ids::fresh('n')));
        let unnamed = PathBuf::from(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&unnamed).map_err(
            |error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => OpenError::NoFolder { path: self.path.clone() },
                _ => self.refused_by_file(&error),
            },
        )?;
        let made = self.lay_out(file).and_then(|db| Ok(self.take_name(&unnamed)?.then_some(db)));
        // Its own name is a second one of the same file; where that failed, the file is of no use.
        let _ = fs::remove_file(&unnamed);
        made.map_err(|error| self.refused(error))
    }

    fn lay_out(&self, file: File) -> Result<Database, redb::Error> {
        let (backend, release) = Held::new(self.backend(file)?)?;
        release.release()?;
        let db = builder().create_with_backend(backend)?;
        let txn = db.begin_write()?;
        tables::lay_out(&txn)?;
        txn.commit()?;
        Ok(db)
    }

    /// Gives the finished file its name; false when the name is taken.
    fn take_name(&self, unnamed: &Path) -> io::Result<bool> {
        match fs::hard_link(unnamed, &self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // A file system without links, such as a memory card's FAT.
            Err(_) if self.path.try_exists()? => return Ok(false),
            Err(_) => fs::rename(unnamed, &self.path)?,
            Ok(()) => {}
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(true)
    }

    fn backend(&self, file: File) -> io::Result<Box<dyn StorageBackend>> {
        let file = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
        Ok((self.disk)(file))
    }

    fn not_a_database(&self, detail: &str) -> OpenError {
        OpenError::NotADatabase { path: self.path.clone(), detail: detail.into() }
    }

    fn refused_by_file(&self, error: &io::Error) -> OpenError {
        let path = self.path.clone();
        match error.kind() {
            ErrorKind::InvalidData => self.not_a_database("it does not begin like one"),
            ErrorKind::UnexpectedEof => OpenError::Corrupt { path, detail: "its end is missing".into() },
            ErrorKind::NotADirectory => OpenError::NoFolder { path },
            ErrorKind::IsADirectory => self.not_a_database(FOLDER),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                OpenError::Permission { path, detail: error.to_string() }
            }
            _ if is_disk_full(error) => OpenError::DiskFull { path },
            _ => OpenError::Io { path, detail: error.to_string() },
        }
    }

    fn refused(&self, error: redb::Error) -> OpenError {
        let path = self.path.clone();
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => OpenError::Locked { path },
            redb::Error::Io(error) => self.refused_by_file(&error),
            redb::Error::UpgradeRequired(version) => {
                self.not_a_database(&format!("it is of redb's old file format {version}"))
            }
            redb::Error::Corrupted(detail) => OpenError::Corrupt { path, detail },
            redb::Error::RepairAborted => OpenError::Corrupt { path, detail: "it could not be repaired".into() },
            other => OpenError::Io { path, detail: other.to_string() },
        }
    }
}

/// Whether an error says that there is no room: a full disk, a quota, the largest file allowed.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;
    use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition, WriteTransaction};

    use super::super::disks::folder;
    use super::super::migrate::Step;
    use super::super::tables::{META, META_SCHEMA_VERSION, PROFILES, SCHEMA_VERSION};
    use super::super::{ModelProfile, Store};
    use super::*;

    #[test]
    fn a_new_file_is_its_owners_alone_and_opens_again() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        whole_store(&path);
        let names: Vec<_> = folder(home.path()).into_iter().map(|(path, _)| path).collect();
        assert_eq!(names, [path.clone(), home.path().join("hearth.redb.reserve")]);
        for name in names {
            assert_eq!(fs::metadata(name).expect("a file").permissions().mode() & 0o777, FILE_MODE);
        }
        assert_eq!(profile_names(&path), Ok(vec!["evening".to_owned()]));
    }

    #[test]
    fn what_is_not_a_database_is_refused_and_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        for bytes in [&b""[..], b"r", b"dear diary\n", &[0; 8192], b"SQLite format 3\0"] {
            fs::write(&path, bytes).expect("a file");
            let refused = refusal(&path);
            assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused:?}");
            assert_eq!(fs::read(&path).expect("the file"), bytes);
        }
        fs::remove_file(&path).expect("the file");
        let db = Database::create(&path).expect("somebody else's database");
        let txn = db.begin_write().expect("a transaction");
        txn.open_table(TableDefinition::<&str, &str>::new("diary")).expect("a table");
        txn.commit().expect("a commit");
        drop(db);
        let before = fs::read(&path).expect("the file");
        let refused = refusal(&path);
        assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused:?}");
        assert_eq!(fs::read(&path).expect("the file"), before);
        assert!(matches!(refusal(home.path()), OpenError::NotADatabase { .. }));
    }

    #[test]
    fn a_truncated_file_is_refused_and_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        whole_store(&path);
        let whole = fs::read(&path).expect("the file");
        for len in [9, 100, 511, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
            fs::write(&path, &whole[..len]).expect("a file");
            let refused = refusal(&path);
            assert!(matches!(refused, OpenError::Corrupt { .. }), "{len}: {refused:?}");
            assert!(refused.to_string().contains("Nothing was changed"), "{refused}");
            assert!(fs::read(&path).expect("the file") == whole[..len], "{len}");
        }
    }

    #[test]
    fn a_damaged_file_opens_with_everything_or_is_refused_and_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        whole_store(&path);
        let whole = fs::read(&path).expect("the file");
        // Where something is written, or the damage would hit empty pages only.
        let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
        let refused = std::cell::Cell::new(0);
        proptest!(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() }, |(
            at in proptest::sample::select(used),
            flip in 1..=255u8,
            len in 1..64usize,
        )| {
            let mut damaged = whole.clone();
            damaged.iter_mut().skip(at).take(len).for_each(|byte| *byte ^= flip);
            fs::write(&path, &damaged).expect("a file");
            match profile_names(&path) {
                Ok(names) => prop_assert_eq!(names, ["evening"]),
                Err(OpenError::Corrupt { .. } | OpenError::NotADatabase { .. }) => {
                    refused.set(refused.get() + 1);
                    prop_assert!(fs::read(&path).expect("the file") == damaged);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        });
        assert!(refused.get() > 0, "no damage was seen at all");
    }

    #[test]
    fn a_second_hearth_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        let first = Store::open(&path).expect("a new file");
        assert_eq!(refusal(&path), OpenError::Locked { path: path.clone() });
        block_on(first.close());
        block_on(Store::open(&path).expect("free again").close());
    }

    #[test]
    fn a_missing_folder_and_a_forbidden_one_are_told_apart() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("no/hearth.redb");
        assert_eq!(refusal(&path), OpenError::NoFolder { path });
        let path = home.path().join("hearth.redb");
        whole_store(&path);
        let beneath = path.join("hearth.redb");
        assert_eq!(refusal(&beneath), OpenError::NoFolder { path: beneath });
        let opener = Opener::new(&path);
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            assert!(matches!(opener.refused_by_file(&kind.into()), OpenError::Permission { .. }));
        }
        if rustix::process::geteuid().is_root() {
            eprintln!("skipped in part: root may open anything");
            return;
        }
        let before = fs::read(&path).expect("the file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("our file");
        assert!(matches!(refusal(&path), OpenError::Permission { .. }));
        assert!(fs::read(&path).expect("the file") == before);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).expect("our folder");
        assert!(matches!(refusal(&home.path().join("other.redb")), OpenError::Permission { .. }));
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("our folder");
    }

    #[test]
    fn a_newer_file_is_refused_and_kept_also_after_a_crash() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        whole_store(&path);
        let newer = Opener { layout: FUTURE, ..Opener::new(&path) };
        let db = newer.reopen().expect("a file with a way to the future");
        let crashed = fs::read(&path).expect("the file");
        drop(db);
        let closed = fs::read(&path).expect("the file");
        assert!(crashed != closed);
        for bytes in [crashed, closed] {
            fs::write(&path, &bytes).expect("a file");
            let refused = OpenError::Newer { path: path.clone(), found: FUTURE.version, known: SCHEMA_VERSION };
            assert_eq!(refusal(&path), refused);
            assert!(fs::read(&path).expect("the file") == bytes);
        }
    }

    #[test]
    fn a_step_runs_once_and_an_interrupted_one_leaves_the_old_layout() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("hearth.redb");
        whole_store(&path);
        let stopped = Opener { layout: INTERRUPTED, ..Opener::new(&path) };
        let refused = stopped.reopen().map(|_| ()).expect_err("the second step fails");
        assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
        assert_eq!(steps_and_version(&Opener::new(&path).reopen().expect("the old layout")), (0, SCHEMA_VERSION));
        assert_eq!(profile_names(&path), Ok(vec!["evening".to_owned()]));
        for _ in 0..2 {
            let opener = Opener { layout: FUTURE, ..Opener::new(&path) };
            let db = opener.open_or_create().expect("a way to the future");
            assert_eq!(steps_and_version(&db), (2, FUTURE.version));
            assert_eq!(db.begin_read().unwrap().open_table(PROFILES).unwrap().len().unwrap(), 1);
        }
        let unreachable = Opener { layout: Layout { version: 9, steps: FUTURE.steps }, ..Opener::new(&path) };
        assert!(matches!(unreachable.reopen().map(|_| ()), Err(OpenError::Corrupt { .. })));
    }

    /// Made-up layouts after this one: each step adds an entry to a table of its own.
    const FUTURE: Layout = Layout {
        version: SCHEMA_VERSION + 2,
        steps: &[
            Step { from_version: SCHEMA_VERSION, run: add_entry },
            Step { from_version: SCHEMA_VERSION + 1, run: add_entry },
        ],
    };

    const INTERRUPTED: Layout = Layout {
        version: SCHEMA_VERSION + 2,
        steps: &[
            Step { from_version: SCHEMA_VERSION, run: add_entry },
            Step { from_version: SCHEMA_VERSION + 1, run: |_| Err(io::Error::other("interrupted").into()) },
        ],
    };

    const STEPS_RUN: TableDefinition<u64, ()> = TableDefinition::new("steps_run");

    fn add_entry(txn: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = txn.open_table(STEPS_RUN)?;
        let next = table.len()?;
        table.insert(next, ())?;
        Ok(())
    }

    fn steps_and_version(db: &Database) -> (u64, u64) {
        let txn = db.begin_read().expect("a transaction");
        let steps = txn.open_table(STEPS_RUN).map_or(0, |table| table.len().expect("readable"));
        let version = txn.open_table(META).expect("a table").get(META_SCHEMA_VERSION).expect("readable");
        (steps, version.expect("a version").value())
    }

    /// A file with a profile in it, closed in order.
    fn whole_store(path: &Path) {
        block_on(async {
            let store = Store::open(path).expect("a new file");
            store.put(ModelProfile::new("evening"), None).await.expect("room");
            assert!(store.close().await);
        });
    }

    fn profile_names(path: &Path) -> Result<Vec<String>, OpenError> {
        let store = Store::open(path)?;
        let profiles = store.snapshot().expect("open").list::<ModelProfile>().expect("readable");
        block_on(store.close());
        Ok(profiles.into_iter().map(|profile| profile.name).collect())
    }

    fn refusal(path: &Path) -> OpenError {
        Store::open(path).map(|_| ()).expect_err("a refused file")
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }
}
