//! Watches the configuration file and hands on each new good configuration. A bad edit is told once and changes nothing.
//! Never writes, and decides nothing about what a change means to a room.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::load::{self, FILE_NAME, Loaded};
use super::{Config, ConfigError};

/// Between two looks at the file. An edit is in force after two.
const POLL_PERIOD: Duration = Duration::from_secs(1);

/// Looks without a file before that is told: editors and Kubernetes take it away for a moment.
const AWAY_POLLS: u32 = 5;

/// Keys that are read at the start only. `config.yaml` marks them `(restart)`.
pub const RESTART_KEYS: [&str; 16] = [
    "gateway.host",
    "gateway.port",
    "zigbee.backend",
    "zigbee.port",
    "zigbee.channel",
    "zigbee.restore",
    "zigbee.ota_folder",
    "mqtt.url",
    "mqtt.base_topic",
    "mqtt.username",
    "mqtt.password_env",
    "mqtt.ca_file",
    "mqtt.qos",
    "mcp.launcher",
    "store.path",
    "log.format",
];

/// The task that looks at the file.
pub struct Watcher {
    path: PathBuf,
    env: Vec<(String, String)>,
    period: Duration,
    eye: Eye,
    judge: Judge,
    news: watch::Sender<Arc<Config>>,
}

impl Watcher {
    /// Goes on from what was loaded with the same `env`. Without a file it waits for `./config.yaml` to appear.
    pub fn new(loaded: &Loaded, env: Vec<(String, String)>) -> (Watcher, watch::Receiver<Arc<Config>>) {
        let config = Arc::new(loaded.config.clone());
        let path = loaded.file.clone().unwrap_or_else(|| FILE_NAME.into());
        let (news, receiver) = watch::channel(Arc::clone(&config));
        // The file may have changed since it was loaded: it is read once more.
        let watcher = Watcher {
            path,
            env,
            period: POLL_PERIOD,
            eye: Eye::default(),
            judge: Judge { good: config, complaint: None },
            news,
        };
        (watcher, receiver)
    }

    /// The file that is looked at, whether or not it is there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs until nobody wants to know any more. The file is small and local, so that it is read without a thread.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(),
                () = self.news.closed() => return,
            }
        }
    }

    fn look(&mut self) {
        let file = self.path.display().to_string();
        let stamp = stamp(&self.path);
        match self.eye.look(stamp) {
            Look::Nothing => {}
            Look::Gone => tracing::warn!(file, "the configuration file is gone; the last good one stays in force"),
            Look::Read => {
                let outcome = load::load(Some(&self.path), self.env.iter().cloned());
                if self::stamp(&self.path) != stamp {
                    return;
                }
                match self.judge.judge(outcome) {
                    Verdict::Same => {}
                    Verdict::Mended => tracing::info!(file, "the configuration is good again, and as it was"),
                    Verdict::Bad(problems) => {
                        tracing::warn!(file, %problems, "the configuration is refused; the last good one stays in force");
                    }
                    Verdict::New { config, changed, restart } => {
                        let (changed, restart) = (changed.join(", "), restart.join(", "));
                        if restart.is_empty() {
                            tracing::info!(file, changed, "a new configuration is in force");
                        } else {
                            tracing::warn!(
                                file,
                                changed,
                                restart,
                                "a new configuration is in force, in part after a restart"
                            );
                        }
                        self.news.send_replace(config);
                    }
                }
            }
        }
    }
}

/// What tells one state of a file from another. Follows symlinks: to swap one is to change the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change of the content, and of anything.
    mtime: (i64, i64),
    ctime: (i64, i64),
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        ctime: (meta.ctime(), meta.ctime_nsec()),
    })
}

/// Decides when to read: once a changed file has been the same for two looks, so that half a write is not taken for an
/// edit (a file just emptied would be a good one: all defaults).
#[derive(Debug, Default)]
struct Eye {
    read: Option<Stamp>,
    last: Option<Stamp>,
    away: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Nothing,
    Read,
    Gone,
}

impl Eye {
    fn look(&mut self, stamp: Option<Stamp>) -> Look {
        let settled = stamp == self.last;
        self.last = stamp;
        if stamp.is_none() {
            self.away = self.away.saturating_add(1);
            return if self.away == AWAY_POLLS && self.read.is_some() { Look::Gone } else { Look::Nothing };
        }
        self.away = 0;
        if !settled || stamp == self.read {
            return Look::Nothing;
        }
        self.read = stamp;
        Look::Read
    }
}

/// Decides what a reading means.
#[derive(Debug)]
struct Judge {
    good: Arc<Config>,
    /// What was told last, while the file is bad.
    complaint: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Same,
    Mended,
    Bad(String),
    New { config: Arc<Config>, changed: Vec<String>, restart: Vec<&'static str> },
}

impl Judge {
    fn judge(&mut self, outcome: Result<Loaded, ConfigError>) -> Verdict {
        match outcome {
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() == Some(&complaint) {
                    return Verdict::Same;
                }
                self.complaint = Some(complaint.clone());
                Verdict::Bad(complaint)
            }
            Ok(loaded) if loaded.config == *self.good => match self.complaint.take() {
                Some(_) => Verdict::Mended,
                None => Verdict::Same,
            },
            Ok(loaded) => {
                let (changed, restart) = differences(&self.good, &loaded.config);
                self.complaint = None;
                self.good = Arc::new(loaded.config);
                Verdict::New { config: Arc::clone(&self.good), changed, restart }
            }
        }
    }
}

/// The sections that differ, and the keys of [`RESTART_KEYS`] that do.
fn differences(old: &Config, new: &Config) -> (Vec<String>, Vec<&'static str>) {
    let [old, new] = [old, new].map(|config| serde_json::to_value(config).expect("a configuration is plain data"));
    let at = |tree: &Value, key: &str| tree.pointer(&format!("/{}", key.replace('.', "/"))).cloned();
    let sections = new.as_object().into_iter().flatten().filter(|(name, value)| old.get(name) != Some(value));
    let changed = sections.map(|(name, _)| name.clone()).collect();
    (changed, RESTART_KEYS.into_iter().filter(|key| at(&old, key) != at(&new, key)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::common::config::load::parse;

    /// Longer than any machine needs; a test that waits so long has failed.
    const DEADLINE: Duration = Duration::from_secs(20);

    fn stamp_of(inode: u64) -> Option<Stamp> {
        Some(Stamp { device: 1, inode, size: 1, mtime: (1, 1), ctime: (1, 1) })
    }

    #[test]
    fn a_file_is_read_once_it_rests() {
        use Look::{Gone, Nothing, Read};
        let mut eye = Eye::default();
        let mut look = |stamps: &[Option<Stamp>]| stamps.iter().map(|stamp| eye.look(*stamp)).collect::<Vec<_>>();
        let (a, b, c) = (stamp_of(1), stamp_of(2), stamp_of(3));
        assert_eq!(look(&[None, None, None, None, None, None]), [Nothing; 6], "never there, never gone");
        assert_eq!(look(&[a, a, a]), [Nothing, Read, Nothing]);
        assert_eq!(look(&[b, c, b, b, b]), [Nothing, Nothing, Nothing, Read, Nothing], "still being written");
        assert_eq!(look(&[None, b, b]), [Nothing, Nothing, Nothing], "away for a moment, and the same again");
        assert_eq!(look(&[None, a, a]), [Nothing, Nothing, Read], "replaced");
        assert_eq!(look(&[None; 7]), [Nothing, Nothing, Nothing, Nothing, Gone, Nothing, Nothing], "told once");
    }

    fn outcome(text: &str) -> Result<Loaded, ConfigError> {
        parse(Path::new("config.yaml"), text, &[]).map(|config| Loaded { config, file: None, overrides: Vec::new() })
    }

    #[test]
    fn a_reading_is_judged_by_what_it_changes() {
        let mut judge = Judge { good: Arc::default(), complaint: None };
        assert_eq!(judge.judge(outcome("# as before")), Verdict::Same);
        let Verdict::Bad(first) = judge.judge(outcome("gateway: {prot: 1}")) else { panic!("it is bad") };
        assert!(first.contains("config.yaml:1:11") && first.contains('^'), "{first}");
        assert_eq!(judge.judge(outcome("gateway: {prot: 1}")), Verdict::Same, "told once");
        assert!(matches!(judge.judge(outcome("gateway: {prott: 1}")), Verdict::Bad(_)), "another mistake");
        assert_eq!(judge.judge(outcome("")), Verdict::Mended);
        assert!(matches!(judge.judge(outcome("gateway: {prott: 1}")), Verdict::Bad(_)), "the same mistake later");
        let text = "gateway: {port: 1, lan_only: false}\nlog: {level: warn}\nstore: {path: ./hearth.redb}";
        let Verdict::New { config, changed, restart } = judge.judge(outcome(text)) else { panic!("it is new") };
        assert_eq!(
            (config.gateway.port, &changed[..], &restart[..]),
            (1, &["gateway".into(), "log".into()][..], &["gateway.port"][..])
        );
        assert_eq!(judge.judge(outcome(text)), Verdict::Same);
    }

    #[test]
    fn the_file_marks_what_needs_a_restart() {
        let text = include_str!("../../../config.yaml");
        let (mut marked, mut section) = (Vec::new(), "");
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            if let Some(name) = pair[0].strip_suffix(':').filter(|name| !name.starts_with([' ', '#'])) {
                section = name;
            }
            if pair[0].trim().starts_with("# (restart)") {
                marked.push(format!("{section}.{}", pair[1].trim().split(':').next().unwrap()));
            }
        }
        assert_eq!(marked, RESTART_KEYS);
    }

    #[tokio::test]
    async fn edits_arrive_however_they_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        let port_file = |name: &str, port: u16| {
            let file = folder.path().join(name);
            fs::write(&file, format!("gateway: {{port: {port}}}\n")).unwrap();
            file
        };
        port_file("config.yaml", 1);
        let loaded = load::load(Some(&path), std::iter::empty()).unwrap();
        let (mut watcher, mut news) = Watcher::new(&loaded, vec![("HEARTH__LOG__LEVEL".into(), "warn".into())]);
        watcher.period = Duration::from_millis(5);
        let task = tokio::spawn(watcher.run());
        let mut next = async || {
            tokio::time::timeout(DEADLINE, news.changed()).await.expect("an edit arrives").unwrap();
            let config = Arc::clone(&news.borrow_and_update());
            (config.gateway.port, config.log.level.clone())
        };
        let warn = || "warn".to_owned();
        assert_eq!(next().await, (1, warn()), "the variables stay in force");
        port_file("config.yaml", 2);
        assert_eq!(next().await, (2, warn()), "written in place");
        fs::rename(port_file("new", 3), &path).unwrap();
        assert_eq!(next().await, (3, warn()), "replaced");
        fs::write(&path, "gateway: {port: 4, prot: 4}").unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::os::unix::fs::symlink(port_file("first", 5), &path).unwrap();
        assert_eq!(next().await, (5, warn()), "bad, then gone, then a link");
        std::os::unix::fs::symlink(port_file("second", 6), folder.path().join("link")).unwrap();
        fs::rename(folder.path().join("link"), &path).unwrap();
        assert_eq!(next().await, (6, warn()), "the link leads elsewhere");
        drop(news);
        tokio::time::timeout(DEADLINE, task).await.expect("without a reader it ends").unwrap();
    }
}
