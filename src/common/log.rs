//! Where log lines go and what they look like. Knows no room's events. A log that cannot be written is lost and stops
//! nobody.

use std::fmt;
use std::io::IsTerminal;

use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, reload};

use crate::common::config::{Log, LogFormat};

/// The name in the journal: `journalctl -t hearth`.
const JOURNAL_NAME: &str = "hearth";

/// What the journal puts before the hub's own fields, so that none is taken for one of the journal's.
const JOURNAL_PREFIX: &str = "HEARTH";

/// Longest text of a level setting, bytes.
const FILTER_BYTES_MAX: usize = 4096;

type BoxedLayer = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<Targets, Registry>, Registry>;

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.level: {0}")]
    Level(String),
    #[error("log.format is journald, and the journal cannot be reached: {0}")]
    Journal(std::io::Error),
    #[error("logs were set up before: {0}")]
    Twice(#[from] TryInitError),
}

/// Changes the level while the hub runs.
#[derive(Debug, Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
}

impl LogHandle {
    /// Takes a new `log.level`; one that cannot be read leaves the old one in force.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level).map_err(LogError::Level)?;
        // The only error is that nobody logs any more.
        let _ = self.filter.reload(filter);
        Ok(())
    }
}

/// Sends all logs of the process to stderr, or to the journal. Once a process.
pub fn init(config: &Log) -> Result<LogHandle, LogError> {
    let (filter, handle) = reload::Layer::new(filter(&config.level).map_err(LogError::Level)?);
    let stderr_is_terminal = std::io::stderr().is_terminal();
    let format = match config.format {
        LogFormat::Auto => automatic(stderr_is_journal(), stderr_is_terminal),
        chosen => chosen,
    };
    let lines: BoxedLayer = match (format, config.format) {
        (LogFormat::Pretty, _) => pretty(std::io::stderr, stderr_is_terminal),
        (LogFormat::Journald, asked) => match (journal(), asked) {
            (Ok(journal), _) => journal,
            (Err(error), LogFormat::Journald) => return Err(LogError::Journal(error)),
            (Err(_), _) => json(std::io::stderr),
        },
        (LogFormat::Json | LogFormat::Auto, _) => json(std::io::stderr),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(LogHandle { filter: handle })
}

/// Reads a `log.level`: a level, or a filter such as `info,hearth::router=debug`.
pub fn filter(level: &str) -> Result<Targets, String> {
    if level.len() > FILTER_BYTES_MAX {
        return Err(format!("it is longer than {FILTER_BYTES_MAX} bytes"));
    }
    let words: Vec<&str> = level.split(',').map(str::trim).collect();
    for word in &words {
        // A word alone would be taken for the name of a module, and everything of it be logged.
        if word.is_empty() || (!word.contains('=') && word.parse::<LevelFilter>().is_err()) {
            return Err(format!("`{word}` is no level"));
        }
    }
    words.join(",").parse::<Targets>().map_err(|error| error.to_string())
}

fn automatic(stderr_is_journal: bool, stderr_is_terminal: bool) -> LogFormat {
    match (stderr_is_journal, stderr_is_terminal) {
        (true, _) => LogFormat::Journald,
        (false, true) => LogFormat::Pretty,
        (false, false) => LogFormat::Json,
    }
}

/// Whether systemd says that stderr leads to the journal: `$JOURNAL_STREAM` holds the `device:inode` of that stream, so
/// that a program whose stderr went elsewhere since is not misled (systemd.exec(5)).
fn stderr_is_journal() -> bool {
    let stat = rustix::fs::fstat(std::io::stderr()).ok().map(|stat| (stat.st_dev, stat.st_ino));
    is_journal_stream(std::env::var("JOURNAL_STREAM").ok().as_deref(), stat)
}

fn is_journal_stream(variable: Option<&str>, stderr: Option<(u64, u64)>) -> bool {
    let stream = variable.and_then(|text| text.split_once(':'));
    let stream = stream.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    stream.is_some() && stream == stderr
}

fn journal() -> std::io::Result<BoxedLayer> {
    let layer = tracing_journald::layer()?;
    Ok(layer.with_syslog_identifier(JOURNAL_NAME.into()).with_field_prefix(Some(JOURNAL_PREFIX.into())).boxed())
}

fn pretty<W>(writer: W, colours: bool) -> BoxedLayer
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Errors of the writer are not reported: the report would go to the same stderr, and panic there.
    tracing_subscriber::fmt::layer().compact().with_ansi(colours).log_internal_errors(false).with_writer(writer).boxed()
}

fn json<W>(writer: W) -> BoxedLayer
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(FlatJson)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(writer)
        .boxed()
}

/// One object a line: `time`, `level`, `target`, `message`, and then the fields of the event and of the spans around it
/// in one flat row. An inner field hides an outer one of the same name.
struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(Map::new());
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            if let Some(formatted) = extensions.get::<FormattedFields<N>>()
                && let Ok(Value::Object(outer)) = serde_json::from_str(formatted)
            {
                fields.0.extend(outer);
            }
        }
        event.record(&mut fields);
        let mut fields = fields.0;
        let message = fields.remove("message").unwrap_or_default();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;

        let mut line = Vec::with_capacity(256);
        let mut object = serde_json::Serializer::new(&mut line);
        let written = object.serialize_map(None).and_then(|mut map| {
            map.serialize_entry("time", &time)?;
            map.serialize_entry("level", event.metadata().level().as_str())?;
            map.serialize_entry("target", event.metadata().target())?;
            map.serialize_entry("message", &message)?;
            for (name, value) in &fields {
                match name.as_str() {
                    "time" | "level" | "target" => map.serialize_entry(&format!("field_{name}"), value)?,
                    _ => map.serialize_entry(name, value)?,
                }
            }
            map.end()
        });
        written.map_err(|_| fmt::Error)?;
        writeln!(out, "{}", String::from_utf8(line).map_err(|_| fmt::Error)?)
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written, readable from outside.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(make: impl Fn(Page) -> BoxedLayer, level: &str, work: impl FnOnce(&LogHandle)) -> String {
        let page = Page::default();
        let (filter, handle) = reload::Layer::new(filter(level).unwrap());
        let subscriber = tracing_subscriber::registry().with(filter).with(make(page.clone()));
        tracing::subscriber::with_default(subscriber, || work(&LogHandle { filter: handle }));
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    fn json_page(page: Page) -> BoxedLayer {
        json(move || page.clone())
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text = logged(json_page, "info", |_| {
            let span = tracing::info_span!("request", request_id = "chat-1", level = "mine", provider = "openai");
            let _inside = span.enter();
            tracing::info!(provider = "local", total_ms = 980, note = "two\nlines \"quoted\"", "request done");
            tracing::warn!(ok = true, ratio = 0.5, error = %"broken", "request {}", "failed");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        let mut first = lines[0].clone();
        let time = first["time"].take();
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        assert!(time.as_second() > 1_600_000_000);
        assert!(
            text.lines().all(|line| line.starts_with("{\"time\":\"2") && line.contains("Z\",\"level\":")),
            "{text}"
        );
        let expected = serde_json::json!({
            "time": null, "level": "INFO", "target": module_path!(), "message": "request done", "request_id": "chat-1",
            "field_level": "mine", "provider": "local", "total_ms": 980, "note": "two\nlines \"quoted\"",
        });
        assert_eq!(first, expected);
        assert_eq!(lines[1]["message"], "request failed");
        assert_eq!(lines[1]["error"], "broken");
        assert_eq!(lines[1]["ratio"], 0.5);
    }

    #[test]
    fn pretty_has_colours_only_when_asked() {
        let work = |_: &LogHandle| tracing::info!(port = 8000, "listening");
        let plain = logged(|page| pretty(move || page.clone(), false), "info", work);
        assert!(plain.contains("INFO") && plain.contains("listening") && plain.contains("port=8000"), "{plain}");
        assert!(!plain.contains('\x1b'), "{plain}");
        assert!(logged(|page| pretty(move || page.clone(), true), "info", work).contains('\x1b'));
    }

    #[test]
    fn the_level_changes_while_running() {
        let text = logged(json_page, "warn", |handle| {
            tracing::info!("one");
            handle.set_level("info").unwrap();
            tracing::info!("two");
            assert!(handle.set_level("inof").is_err());
            tracing::info!("three");
            handle.set_level("off,hearth::common::log=debug").unwrap();
            tracing::debug!("four");
            tracing::info!(target: "hearth::other", "five");
        });
        let words: Vec<_> = ["one", "two", "three", "four", "five"].into_iter().filter(|w| text.contains(w)).collect();
        assert_eq!(words, ["two", "three", "four"]);
    }

    #[test]
    fn levels_are_checked() {
        for good in ["info", "WARN", "off", "info,hearth::router=debug", "hearth=trace", " info , hearth=debug"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,router", "hearth=loud", "info,", &"a=info,".repeat(1000)] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_writer_that_fails_harms_nobody() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let work = |_: &LogHandle| tracing::error!("nobody reads this");
        logged(|_| json(|| Closed), "info", work);
        logged(|_| pretty(|| Closed, false), "info", work);
    }

    #[test]
    fn the_format_follows_where_stderr_leads() {
        assert_eq!(automatic(true, false), LogFormat::Journald);
        assert_eq!(automatic(false, true), LogFormat::Pretty);
        assert_eq!(automatic(false, false), LogFormat::Json);
        assert!(is_journal_stream(Some("9:12345"), Some((9, 12345))));
        for (variable, stderr) in [
            (Some("9:12345"), Some((9, 1))),
            (Some("9:12345"), None),
            (Some("nonsense"), None),
            (Some("x:y"), Some((0, 0))),
            (None, Some((9, 12345))),
            (None, None),
        ] {
            assert!(!is_journal_stream(variable, stderr), "{variable:?} {stderr:?}");
        }
    }
}
