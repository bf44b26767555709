//! What the service counts, in the OpenMetrics text form. Names begin with `krins_` and are stable: objectives and
//! alerts are built on them. Labels are closed lists or a server's own routes, never something a client chose.

use crate::Backend;
use crate::resilience::Status;
use crate::store::{State, Stats};
use krins_protocol::http::Answer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Of OpenMetrics 1.0.0.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// OpenTelemetry's buckets for HTTP servers, and 0.3, the objective for the interface.
const REQUEST_SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// 45 is the objective for a task.
const TASK_SECONDS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0];

pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Histogram>,
    tasks: Family<StateLabel, Gauge>,
    ended: Family<StateLabel, Counter>,
    task_seconds: Histogram,
    tokens: Family<TokenLabels, Counter>,
    replays: Counter,
    refused: Counter,
    crashed: Counter,
    retried: Counter,
    oldest: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// The route's pattern, such as `/tasks/{id}`; `other` for none.
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    provider: String,
    direction: &'static str,
}

impl Metrics {
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        let mut registry = Registry::with_prefix("krins");
        let requests = Family::new_with_constructor(request_histogram as fn() -> Histogram);
        let task_seconds = Histogram::new(TASK_SECONDS);
        let (tasks, ended, tokens) = (Family::default(), Family::default(), Family::default());
        let (replays, refused, crashed) = (Counter::default(), Counter::default(), Counter::default());
        let (retried, oldest) = (Counter::default(), Gauge::<f64, AtomicU64>::default());
        registry.register_with_unit(
            "http_request_duration",
            "From the request's head to the answer's head",
            Unit::Seconds,
            requests.clone(),
        );
        registry.register_with_unit(
            "assign_to_diff",
            "From accepting a task to its answer, waiting included",
            Unit::Seconds,
            task_seconds.clone(),
        );
        registry.register(
            "tasks",
            "Tasks by state: those that are not finished, of every replica, and the dead",
            Family::clone(&tasks),
        );
        registry.register("tasks_ended", "Tasks that ended, by how", Family::clone(&ended));
        registry.register("tokens", "Tokens that models used", Family::clone(&tokens));
        registry.register("tasks_replayed", "Tasks that were known already", Counter::clone(&replays));
        registry.register("tasks_refused", "Tasks refused because the queue was full", Counter::clone(&refused));
        registry.register("tasks_crashed", "Tasks whose server died while they ran", Counter::clone(&crashed));
        registry.register("tasks_retried", "Runs that are repeated after a pause", Counter::clone(&retried));
        registry.register_with_unit(
            "queue_oldest",
            "How long the first in line has waited",
            Unit::Seconds,
            oldest.clone(),
        );
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_collector(Box::new(CacheCounts(Arc::clone(&backend))));
        registry.register_collector(Box::new(Routes(backend)));
        Self { registry, requests, tasks, ended, task_seconds, tokens, replays, refused, crashed, retried, oldest }
    }

    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels { method, route: route.to_owned(), status })
            .observe(took.as_secs_f64());
    }

    /// A task ended here.
    pub fn ended(&self, state: State) {
        self.ended.get_or_create(&label(state)).inc();
    }

    /// What the store counted.
    pub fn unfinished(&self, stats: &Stats) {
        for (state, count) in
            [(State::Queued, stats.queued), (State::Running, stats.running), (State::Dead, stats.dead)]
        {
            self.tasks.get_or_create(&label(state)).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.oldest.set(stats.oldest.as_secs_f64());
    }

    pub fn answered(&self, answer: &Answer, took: Duration) {
        self.task_seconds.observe(took.as_secs_f64());
        let usage = &answer.usage;
        let counts = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        ];
        for (direction, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            let provider = answer.provider.clone();
            self.tokens.get_or_create(&TokenLabels { provider, direction }).inc_by(count);
        }
    }

    pub fn replayed(&self) {
        self.replays.inc();
    }

    pub fn refused(&self) {
        self.refused.inc();
    }

    pub fn retried(&self) {
        self.retried.inc();
    }

    pub fn crashed(&self, tasks: u64) {
        self.crashed.inc_by(tasks);
    }

    /// The whole exposition.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

fn label(state: State) -> StateLabel {
    StateLabel { state: state.name() }
}

/// A client may invent methods; a label may not.
pub(crate) fn known_method(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

/// The routes, the brownout level and the kill switch; read at each scrape too.
struct Routes(Arc<dyn Backend>);

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}

impl Collector for Routes {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.0.status();
        // Routes that share a label (models that clients named, several keys) count as the sickest of them.
        let mut worst: BTreeMap<&str, i64> = BTreeMap::new();
        for route in &status.routes {
            let state = worst.entry(&route.label).or_default();
            *state = (*state).max(i64::from(!route.is_well()));
        }
        let kind = ConstGauge::new(0i64).metric_type();
        let mut family = encoder.encode_descriptor("route_resting", "1 while the route is not asked", None, kind)?;
        for (route, resting) in worst {
            ConstGauge::new(resting).encode(family.encode_family(&[("route", route)])?)?;
        }
        for (name, help, label, counts) in [
            ("calls", "Calls to models, by how they ended", "outcome", &status.counts.calls),
            (
                "breaker_changes",
                "Changes of the routes' breakers, by what they became",
                "state",
                &status.counts.changes,
            ),
        ] {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for ((route, word), count) in counts {
                let labels = [("route", route.as_str()), (label, word)];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        models(&mut encoder, &status)?;
        for (name, help, count) in [
            ("detours", "Asks that another route answered", status.counts.detours),
            ("brownout_changes", "Changes of the brownout level", status.counts.levels),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in [
            ("brownout_level", "What is left out: 0 nothing, 4 all but the cache", status.level as i64),
            (
                "switched_off",
                "1 while the kill switch keeps a provider from being asked",
                i64::from(!status.off.is_empty()),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// What calls to models took and cost, and what the gate said of their answers.
fn models(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> Result<(), fmt::Error> {
    let (counts, spending) = (&status.counts, &status.spending);
    let mut first = encoder.encode_descriptor(
        "first_words",
        "From a call to the first words of its answer",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for (route, times) in &counts.first_words {
        let labels = [("route", route.as_str())];
        let mut family = first.encode_family(&labels)?;
        family.encode_histogram::<NoLabelSet>(times.sum(), times.count(), &times.classes(), None)?;
    }
    let repeats = counts.repeats.iter().map(|(route, count)| (vec![("route", route.as_str())], *count));
    counters(encoder, "call_repeats", "Calls that repeated one to the same route", repeats)?;
    let verdicts = counts.verdicts.iter();
    let verdicts =
        verdicts.map(|((check, verdict), count)| (vec![("check", check.as_str()), ("verdict", *verdict)], *count));
    counters(encoder, "gate_verdicts", "What the gate said of answers, by check", verdicts)?;
    let stops = spending.stops.iter().map(|(scope, count)| (vec![("scope", *scope)], *count));
    counters(encoder, "budget_stops", "Calls that a budget did not allow, by whose budget", stops)?;
    let unpriced = spending.unpriced.iter().map(|(provider, count)| (vec![("provider", provider.as_str())], *count));
    counters(encoder, "calls_unpriced", "Calls whose price is not known", unpriced)?;
    let kind = MetricType::Counter;
    let mut cost = encoder.encode_descriptor("cost_dollars", "What calls cost, by the table of prices", None, kind)?;
    for ((provider, purpose), micros) in &spending.micros {
        let labels = [("provider", provider.as_str()), ("purpose", purpose)];
        ConstCounter::new(*micros as f64 / 1e6).encode(cost.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: impl Iterator<Item = (Vec<(&'a str, &'a str)>, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in counts {
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Read at each scrape, so that the backend need not know about metrics.
struct CacheCounts(Arc<dyn Backend>);

impl fmt::Debug for CacheCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheCounts")
    }
}

impl Collector for CacheCounts {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let (hits, misses) = self.0.cache_counts();
        for (name, help, count) in [
            ("cache_hits", "Answers from the prompt cache", hits),
            ("cache_misses", "Asks that the prompt cache could not answer", misses),
        ] {
            let counter = ConstCounter::new(count);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}
