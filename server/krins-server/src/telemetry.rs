//! Logs and traces of the process: what is said on stderr, and what is exported to a collector.
//!
//! Nothing here may slow or stop Krins: lines to a stderr that nobody reads are dropped, spans for a collector that does
//! not answer are dropped, and the end of the process waits for neither longer than [`SHUTDOWN`]. Trace propagation does not
//! depend on any of it. No module but `main`'s may call [`init`].

use krins_backend::spans;
use krins_core::redact;
use opentelemetry::trace::{Status, TracerProvider as _};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

/// What log lines are written, as `tracing_subscriber::EnvFilter` reads it.
pub const LOG_VARIABLE: &str = "KRINS_LOG";
/// `json` for one JSON object a line.
pub const FORMAT_VARIABLE: &str = "KRINS_LOG_FORMAT";
/// The longest the end of the process waits for logs and spans to leave.
pub const SHUTDOWN: Duration = Duration::from_millis(500);

/// Lines kept for a stderr that is read too slowly.
const BACKLOG: usize = 1024;

/// How the process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `krins lsp`: stderr is a pipe to the editor.
    Sidecar,
    /// `krins serve`: stderr is a log.
    Serve,
    /// Everything else: stderr is for a person.
    Command,
}

/// What must be flushed at the end; dropping it does so, too.
#[must_use = "dropping it ends logging and the export of traces"]
#[derive(Default)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    logs: Option<Logs>,
}

/// Sets the process' subscriber up, once; a second call changes nothing.
pub fn init(mode: Mode) -> Telemetry {
    let (writer, logs) = Logs::start();
    let (provider, trouble) = match exporter_wanted(|name| std::env::var(name).ok()) {
        true => provider(mode, None).map_or_else(|error| (None, Some(error)), |provider| (Some(provider), None)),
        false => (None, None),
    };
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer_with_scope(scope()))
            .with_location(false)
            .with_threads(false)
            .with_filter(own_spans())
    });
    let subscriber = Registry::default().with(spans).with(log_layer(mode, writer));
    if subscriber.try_init().is_err() {
        return Telemetry::default();
    }
    if let Some(error) = trouble {
        tracing::warn!("failed to set up the export of traces: {error}");
    }
    Telemetry { provider, logs: Some(logs) }
}

impl Telemetry {
    /// Sends what is left, for at most [`SHUTDOWN`].
    pub fn shutdown(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        let (provider, logs) = (self.provider.take(), self.logs.take());
        if provider.is_none() && logs.is_none() {
            return;
        }
        let (done, waiting) = sync_channel(1);
        // A thread, because a collector that accepts and never answers would keep the exporter busy for longer.
        let flushing = std::thread::Builder::new().name("krins-flush".into()).spawn(move || {
            if let Some(provider) = provider {
                // Ok does not mean delivered, and an error changes nothing: the process ends.
                let _ = provider.shutdown_with_timeout(SHUTDOWN);
            }
            if let Some(logs) = logs {
                logs.finish();
            }
            let _ = done.send(());
        });
        if flushing.is_ok() {
            let _ = waiting.recv_timeout(SHUTDOWN);
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Only an endpoint that somebody named is exported to; `OTEL_SDK_DISABLED` and `OTEL_TRACES_EXPORTER=none` outrank it.
fn exporter_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, word: &str| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
    let named = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
    let endpoint = named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") || named("OTEL_EXPORTER_OTLP_ENDPOINT");
    endpoint && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Whose spans they are, and by which version of the conventions their attributes are named.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("krins")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(spans::SCHEMA)
        .build()
}

/// `endpoint` is for tests; without it the environment's.
fn provider(mode: Mode, endpoint: Option<String>) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    krins_backend::http::install_crypto();
    // The blocking client, on the batch processor's own thread: the async one panics there, for want of a reactor.
    let builder = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let exporter = match endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint).build()?,
        None => builder.build()?,
    };
    // The environment's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read by the builder and win.
    let name = match mode {
        Mode::Serve => "krins-serve",
        Mode::Sidecar | Mode::Command => "krins",
    };
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(name);
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Ok(SdkTracerProvider::builder()
        .with_resource(resource.with_attribute(version).build())
        .with_batch_exporter(Redacting(exporter))
        .build())
}

/// An exporter that no secret and nobody's data gets through.
#[derive(Debug)]
struct Redacting(SpanExporter);

impl opentelemetry_sdk::trace::SpanExporter for Redacting {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            span.name = redact::irreversible(&span.name).into_owned().into();
            span.attributes.iter_mut().for_each(redact_value);
            for event in &mut span.events.events {
                event.name = redact::irreversible(&event.name).into_owned().into();
                event.attributes.iter_mut().for_each(redact_value);
            }
            if let Status::Error { description } = &mut span.status {
                *description = redact::irreversible(description).into_owned().into();
            }
        }
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn redact_value(attribute: &mut KeyValue) {
    let redacted = |text: &StringValue| match redact::irreversible(text.as_str()) {
        std::borrow::Cow::Owned(redacted) => redacted.into(),
        std::borrow::Cow::Borrowed(_) => text.clone(),
    };
    match &mut attribute.value {
        Value::String(text) => *text = redacted(text),
        Value::Array(Array::String(texts)) => texts.iter_mut().for_each(|text| *text = redacted(text)),
        _ => {}
    }
}

/// Our own crates' spans only: the exporter's HTTP client makes spans, too, and would feed itself.
fn own_spans() -> Targets {
    Targets::new().with_default(LevelFilter::OFF).with_target("krins", LevelFilter::INFO)
}

/// What was asked for; else warnings, but for what a library says of each request that was never offered: some editors (Kate) send
/// such requests with every change, and show what is on stderr.
fn filter(directives: &str) -> EnvFilter {
    let asked = if directives.trim().is_empty() { "warn,tower_lsp_server::server=off" } else { directives };
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(asked)
}

fn log_layer<S>(mode: Mode, writer: LogWriter) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let filter = filter(&std::env::var(LOG_VARIABLE).unwrap_or_default());
    let plain = tracing_subscriber::fmt::layer().with_writer(writer);
    let json = std::env::var(FORMAT_VARIABLE).is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    match (json, mode) {
        (true, _) => plain.json().with_filter(filter).boxed(),
        (false, Mode::Command) => plain.without_time().with_target(false).with_filter(filter).boxed(),
        (false, Mode::Sidecar | Mode::Serve) => plain.with_filter(filter).boxed(),
    }
}

/// The thread that writes to stderr, so that nobody else ever waits for whoever reads it.
struct Logs {
    lines: SyncSender<Line>,
}

enum Line {
    Text(Vec<u8>),
    /// Everything before it is written when the answer comes.
    Flush(SyncSender<()>),
}

impl Logs {
    fn start() -> (LogWriter, Self) {
        let (lines, queue) = sync_channel(BACKLOG);
        // Without the thread the queue is closed and lines are dropped, which is all that can be done.
        let _ =
            std::thread::Builder::new().name("krins-log".into()).spawn(move || write_lines(&queue, &mut io::stderr()));
        (LogWriter { lines: lines.clone() }, Self { lines })
    }

    fn finish(self) {
        let (done, waiting) = sync_channel(1);
        // Not `send`: it would wait for ever behind a full queue that nobody empties.
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = waiting.recv_timeout(SHUTDOWN);
        }
    }
}

fn write_lines(queue: &Receiver<Line>, out: &mut impl Write) {
    for line in queue {
        match line {
            // A closed stderr is no reason to stop reading the queue.
            Line::Text(text) => drop(out.write_all(&text)),
            Line::Flush(done) => drop(done.send(())),
        }
    }
}

#[derive(Clone)]
struct LogWriter {
    lines: SyncSender<Line>,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LogWriter {
    /// The formatter writes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A full queue drops the line: a log that nobody reads must not hold up the work.
        let text = String::from_utf8_lossy(line);
        let _ = self.lines.try_send(Line::Text(redact::irreversible(&text).into_owned().into_bytes()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Instant;

    #[test]
    fn requests_that_were_never_offered_fill_nobodys_log() {
        let said = |directives: &str| {
            let (lines, queue) = sync_channel(BACKLOG);
            let layer =
                tracing_subscriber::fmt::layer().with_writer(LogWriter { lines }).with_filter(filter(directives));
            tracing::subscriber::with_default(Registry::default().with(layer), || {
                tracing::error!(target: "tower_lsp_server::server", "not implemented");
                tracing::warn!(target: "krins_engine", "a word of ours");
            });
            let mut out = Vec::new();
            write_lines(&queue, &mut out);
            String::from_utf8(out).expect("text")
        };
        let plain = said("");
        assert!(!plain.contains("not implemented") && plain.contains("a word of ours"), "{plain}");
        assert!(said("tower_lsp_server=debug").contains("not implemented"));
    }

    /// Makes spans as with this collector configured, ends the process' telemetry, and says how long the two took.
    fn trace_to(collector: &TcpListener) -> (Duration, Duration) {
        let endpoint = format!("http://{}/v1/traces", collector.local_addr().expect("it is bound"));
        let began = Instant::now();
        let provider = provider(Mode::Command, Some(endpoint)).expect("the exporter is built");
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("krins")).with_filter(own_spans());
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            for _ in 0..10_000 {
                drop(tracing::info_span!(target: "krins_engine", "krins.assign"));
                drop(tracing::info_span!(target: "hyper", "not ours"));
            }
        });
        let spans = began.elapsed();
        let began = Instant::now();
        Telemetry { provider: Some(provider), logs: None }.shutdown();
        (spans, began.elapsed())
    }

    #[test]
    fn a_collector_that_never_answers_slows_nothing_and_is_not_waited_for() {
        let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (spans, end) = trace_to(&collector);
        assert!(spans < Duration::from_secs(2), "{spans:?}");
        assert!(end < SHUTDOWN + Duration::from_secs(2), "{end:?}");
    }

    #[test]
    fn a_collector_that_is_not_there_is_not_waited_for_either() {
        let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = collector.local_addr().expect("it is bound");
        drop(collector);
        let endpoint = format!("http://{address}/v1/traces");
        let provider = provider(Mode::Command, Some(endpoint)).expect("the exporter is built");
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("krins"));
        tracing::subscriber::with_default(Registry::default().with(layer), || drop(tracing::info_span!("one")));
        let began = Instant::now();
        Telemetry { provider: Some(provider), logs: None }.shutdown();
        assert!(began.elapsed() < SHUTDOWN + Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[test]
    fn what_was_traced_reaches_the_collector_before_the_end() {
        let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listening = collector.try_clone().expect("a second handle");
        let (note, notes) = sync_channel(100);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listening.accept() {
                let mut bytes = vec![0; 1 << 16];
                let read = stream.read(&mut bytes).unwrap_or(0);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                bytes.truncate(read);
                let _ = note.send(bytes);
            }
        });
        trace_to(&collector);
        let request = notes.try_recv().expect("it was sent before the end");
        let request = String::from_utf8_lossy(&request).into_owned();
        assert!(request.starts_with("POST /v1/traces"), "{request}");
        assert!(!request.contains("not ours"));
    }

    #[test]
    fn spans_are_exported_only_where_somebody_named_a_collector() {
        let wanted = |pairs: &[(&str, &str)]| {
            exporter_wanted(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert!(wanted(&[endpoint]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")]));
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]));
        assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    }

    #[test]
    fn a_reader_that_never_reads_stops_nobody() {
        let (lines, queue) = sync_channel(BACKLOG);
        let mut writer = LogWriter { lines: lines.clone() };
        for _ in 0..10 * BACKLOG {
            writer.write_all(b"line\n").expect("never fails");
        }
        let began = std::time::Instant::now();
        Logs { lines }.finish();
        assert!(began.elapsed() < SHUTDOWN, "a full queue is not waited for");
        drop(writer);
        let mut out = Vec::new();
        write_lines(&queue, &mut out);
        assert_eq!(out.len(), BACKLOG * 5, "what fitted is written, whole");
    }

    #[test]
    fn no_secret_and_nobodys_data_reaches_a_line_or_a_span() {
        let key = format!("ghp_{}", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
        let (lines, queue) = sync_channel(BACKLOG);
        let mut writer = LogWriter { lines };
        writer
            .write_all(format!("{{\"error\":\"key=\\\"{key}\\\" of jane@acme.io\"}}\n").as_bytes())
            .expect("never fails");
        drop(writer);
        let mut out = Vec::new();
        write_lines(&queue, &mut out);
        let line = String::from_utf8(out).expect("it is text");
        assert_eq!(line, "{\"error\":\"key=\\\"[REDACTED:secret]\\\" of [REDACTED:email]\"}\n");
        let mut attribute = KeyValue::new("error", format!("401: {key} of jane@acme.io"));
        redact_value(&mut attribute);
        assert_eq!(attribute.value.as_str(), "401: [REDACTED:secret] of [REDACTED:email]");
    }

    #[test]
    fn what_is_queued_at_the_end_is_written() {
        let (lines, queue) = sync_channel(BACKLOG);
        let mut writer = LogWriter { lines: lines.clone() };
        let reader = std::thread::spawn(move || {
            let mut out = Vec::new();
            write_lines(&queue, &mut out);
            out
        });
        writer.write_all(b"last words\n").expect("never fails");
        Logs { lines }.finish();
        drop(writer);
        assert_eq!(reader.join().expect("the reader ends"), b"last words\n");
    }
}
