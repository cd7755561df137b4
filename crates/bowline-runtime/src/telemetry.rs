//! Logs: one line per event on stderr, as text or JSON, and never with a token. What people do is a stream of its own, see
//! [`AUDIT`]. Spans can go to a collector as well, see `traces`.
//!
//! Two things keep tokens out. Our own code holds them in types whose `Debug` hides them. Here we limit the level of
//! libraries whose sources print bodies or headers, whatever filter a user sets (see [`CAPS`]).

use std::fmt::{self, Display};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Mutex;

use clap::ValueEnum;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, spans, message, fields.
    #[default]
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// The target of lines of the audit log: who did what, and by which door. docs/audit.md has their fields, which stay. No filter
/// leaves them out.
pub const AUDIT: &str = "audit";

/// The target of spans that are for traces alone: the log does not show them, and no filter leaves them out.
pub const TRACES: &str = "traces";

/// Where spans go, as traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Such as `http://collector:4317`.
    pub endpoint: String,
    /// The attribute `service.name`.
    pub service: &'static str,
}

/// A layer that takes spans.
pub type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// Where the audit log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditLog {
    /// Among the other lines, in their format.
    #[default]
    Log,
    /// To stdout, one JSON object per line.
    Stdout,
    /// The same, at the end of this file.
    File(PathBuf),
}

impl AuditLog {
    /// `log`, `stdout`, or the path of a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("it is log, stdout, or a file".to_owned()),
            "log" => Ok(Self::Log),
            "stdout" => Ok(Self::Stdout),
            path => Ok(Self::File(path.into())),
        }
    }

    /// Its own lines; `None` if they are among the others.
    fn writer(&self) -> Result<Option<BoxMakeWriter>, LogSetupError> {
        Ok(match self {
            Self::Log => None,
            Self::Stdout => Some(BoxMakeWriter::new(io::stdout)),
            Self::File(path) => {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                let failed = |source| LogSetupError::Audit { path: path.clone(), source };
                Some(BoxMakeWriter::new(Mutex::new(opened.map_err(failed)?)))
            }
        })
    }
}

/// How to log.
#[derive(Debug)]
pub struct Logs {
    pub format: LogFormat,
    /// A directive of tracing-subscriber.
    pub filter: String,
    pub audit: AuditLog,
    pub collector: Option<Collector>,
}

#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    #[error("the log filter is not valid; an example of a valid one: info,bowline=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    #[error("the audit log {path} cannot be opened", path = .path.display())]
    Audit {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot send traces to {endpoint}")]
    Collector {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("logging is already set up")]
    AlreadySet(#[source] TryInitError),
}

/// Targets that print secrets at some level, and the highest level that is allowed.
///
/// From the sources of the versions in Cargo.lock: hyper and hyper-util print states, sizes and addresses; reqwest and
/// rustls use the `log` crate, which is not bridged. A cap covers the target and everything below it.
const CAPS: &[(&str, LevelFilter)] = &[
    // At warn: the whole answer, including Secrets, if it cannot be parsed.
    ("kube_client::client", LevelFilter::ERROR),
    // At trace: every header, including the bearer token's. HTTP/2 is spoken with collectors of traces.
    ("h2", LevelFilter::INFO),
    // At trace: the text of a refused request. Only with axum's feature `tracing`.
    ("axum::rejection", LevelFilter::DEBUG),
];

/// Crates that send spans. What they do for that is no span.
const SENDERS: [&str; 8] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "tonic",
    "tower",
];

/// Sends logs to stderr for the rest of the process's life, and spans to `spans`. Coloured on a terminal, unless `NO_COLOR` is set.
pub fn init(logs: &Logs, spans: Option<Spans>) -> Result<(), LogSetupError> {
    let audit = logs.audit.writer()?;
    subscriber(logs.format, &logs.filter, io::stderr, io::stderr().is_terminal(), audit, spans)?
        .try_init()
        .map_err(LogSetupError::AlreadySet)
}

/// What `init` installs, writing to `writer`, and the audit log to `audit` or among the rest: for tests, which must not touch
/// the process.
fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
    terminal: bool,
    audit: Option<BoxMakeWriter>,
    spans: Option<Spans>,
) -> Result<impl Subscriber + Send + Sync, LogSetupError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let requested = || EnvFilter::try_new(filter).map_err(LogSetupError::Filter);
    let is_audit = |metadata: &Metadata<'_>| metadata.target() == AUDIT;
    let is_trace = |metadata: &Metadata<'_>| metadata.target() == TRACES;
    let among = audit.is_none();
    let asked_for = requested()?.or(filter_fn(is_audit));
    let filter =
        asked_for.and(filter_fn(move |it| is_harmless(it) && !is_trace(it) && (among || !is_audit(it))));
    // Each has a filter of its own: what all of them leave out is not enabled.
    let mut layers = vec![layer(format, writer, terminal).with_filter(filter).boxed()];
    layers.extend(
        audit.map(|audit| layer(LogFormat::Json, audit, false).with_filter(filter_fn(is_audit)).boxed()),
    );
    if let Some(spans) = spans {
        let sender =
            |it: &Metadata<'_>| SENDERS.contains(&it.target().split("::").next().unwrap_or_default());
        let filter = requested()?.or(filter_fn(is_trace));
        let filter = filter.and(filter_fn(move |it| is_harmless(it) && !is_audit(it) && !sender(it)));
        layers.push(spans.with_filter(filter).boxed());
    }
    Ok(tracing_subscriber::registry().with(layers))
}

/// An error with its causes in one line: `outer: inner: innermost`.
///
/// Written only with `Display`: `Debug` of an error may print a token answer. A cause that the error before it already
/// contains, as with many of kube's errors, is not repeated.
pub fn chain<'e>(error: &'e (dyn std::error::Error + 'e)) -> impl Display + 'e {
    fmt::from_fn(move |out| {
        let mut told = error.to_string();
        out.write_str(&told)?;
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !told.contains(&text) {
                write!(out, ": {text}")?;
                told = text;
            }
            cause = error.source();
        }
        Ok(())
    })
}

fn layer<W>(format: LogFormat, writer: W, terminal: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        // On a terminal the library's own default applies, which respects NO_COLOR.
        LogFormat::Text if terminal => layer.boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    }
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    CAPS.iter()
        .filter(|(target, _)| covers(target, metadata.target()))
        .all(|(_, most)| metadata.level() <= most)
}

fn covers(cap: &str, target: &str) -> bool {
    target.strip_prefix(cap).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn writer(&self) -> impl Fn() -> Self + use<> {
            let lines = self.clone();
            move || lines.clone()
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
        let lines = Lines::default();
        tracing::subscriber::with_default(
            subscriber(format, filter, lines.writer(), false, None, None).unwrap(),
            act,
        );
        lines.text()
    }

    fn act_and_be_logged() {
        tracing::info!(target: AUDIT, user = "alice", action = "share");
        tracing::info!("an ordinary line");
    }

    #[test]
    fn no_filter_leaves_the_audit_log_out() {
        for filter in ["off", "error", "audit=off"] {
            let text = logged(LogFormat::Json, filter, act_and_be_logged);
            let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
            assert_eq!((&line["target"], &line["user"]), (&"audit".into(), &"alice".into()), "{filter}");
        }
    }

    #[test]
    fn an_audit_log_of_its_own_is_json_and_not_among_the_rest() {
        let (rest, audit) = (Lines::default(), Lines::default());
        let own = Some(BoxMakeWriter::new(audit.writer()));
        let both = subscriber(LogFormat::Text, "info", rest.writer(), false, own, None).unwrap();
        tracing::subscriber::with_default(both, act_and_be_logged);
        let line: serde_json::Value = serde_json::from_str(audit.text().trim()).unwrap();
        assert_eq!(line["action"], "share");
        assert!(
            rest.text().contains("an ordinary line") && !rest.text().contains("alice"),
            "{}",
            rest.text()
        );
    }

    #[test]
    fn an_audit_log_in_a_file_is_continued() {
        let path = std::env::temp_dir().join(format!("bowline-audit-{}", std::process::id()));
        for _ in 0..2 {
            let writer = AuditLog::parse(path.to_str().unwrap()).unwrap().writer().unwrap();
            let own = subscriber(LogFormat::Text, "off", io::sink, false, writer, None).unwrap();
            tracing::subscriber::with_default(own, act_and_be_logged);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        let missing = AuditLog::parse("/nonexistent/folder/audit").unwrap().writer().err().unwrap();
        assert!(missing.to_string().contains("/nonexistent/folder/audit"));
        assert_eq!(AuditLog::parse("log"), Ok(AuditLog::Log));
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let text = logged(LogFormat::Text, "info,bowline=debug", || {
            tracing::debug!(target: "bowline::grant", "planned");
            tracing::debug!(target: "elsewhere", "chatter");
            tracing::info!(target: "elsewhere", connection = "team-a.github", "refreshed");
        });
        assert!(text.contains("planned") && text.contains("connection=\"team-a.github\""), "{text}");
        assert!(!text.contains("chatter"), "{text}");
        assert!(!text.contains('\u{1b}'), "colours off a terminal: {text}");
    }

    #[test]
    fn json_is_one_object_per_line_with_fields_at_the_top() {
        let text = logged(LogFormat::Json, "info", || {
            tracing::info_span!("reconcile", kind = "connection")
                .in_scope(|| tracing::info!(attempt = 2, "first"));
            tracing::warn!("second");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["attempt"], 2);
        assert_eq!(lines[0]["message"], "first");
        assert_eq!(lines[0]["span"]["kind"], "connection");
        assert_eq!(lines[1]["level"], "WARN");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_with_an_example() {
        let error = subscriber(LogFormat::Text, "bowline=loud", io::sink, false, None, None).err().unwrap();
        assert!(error.to_string().contains("info,bowline=debug"), "{error}");
    }

    /// kube-client prints the body of an answer it cannot parse at warn: with a Secret in it, that is the token.
    #[test]
    fn no_filter_lifts_a_cap() {
        for filter in ["trace", "kube_client::client=trace", "trace,kube_client::client::body=trace"] {
            let text = logged(LogFormat::Text, filter, || {
                tracing::warn!(target: "kube_client::client", "CANARY");
                tracing::warn!(target: "kube_client::client::body", "CANARY");
                tracing::trace!(target: "h2::codec::framed_write", "CANARY");
                tracing::trace!(target: "axum::rejection", "CANARY");
                tracing::error!(target: "kube_client::client", "the request failed");
            });
            assert!(!text.contains("CANARY"), "{filter}: {text}");
            assert!(text.contains("the request failed"), "{filter}: an error must stay visible");
        }
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = LogSetupError::Filter(EnvFilter::try_new("bowline=loud").err().unwrap());
        let text = chain(&error).to_string();
        assert!(text.starts_with("the log filter is not valid") && text.contains(": "), "{text}");
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot begin: {0}")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("no such file"));
        assert_eq!(chain(&error).to_string(), "cannot begin: no such file");
    }

    #[test]
    fn a_cap_ends_at_its_module() {
        assert!(covers("h2", "h2") && covers("h2", "h2::proto"));
        assert!(!covers("h2", "h2x") && !covers("kube_client::client", "kube_client"));
    }
}
