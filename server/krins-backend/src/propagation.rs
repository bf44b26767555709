//! Trace context across the doors: into spans, out of spans, over HTTP headers.
//!
//! The values and their grammar are `krins_core::trace`; the stock OpenTelemetry propagator is not used, because it
//! takes short ids, reads only the first of several headers and clears the random flag. Nothing here depends on an
//! exporter: without an OpenTelemetry layer the context travels in a task-local, so every outgoing request carries a
//! valid `traceparent` either way.
//!
//! An entry point does three things, in this order: make the span, [`continue_or_start`] (before the span is entered),
//! then run the work with [`in_trace`].

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use krins_core::trace::{RANDOM, SAMPLED, SpanId, TraceContext, TraceId, TraceParent};
use opentelemetry::trace::{
    SpanContext, SpanId as OtelSpanId, TraceContextExt, TraceFlags, TraceId as OtelTraceId,
    TraceState as OtelTraceState,
};
use std::future::Future;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

tokio::task_local! {
    /// The context that work without a recorded span runs in.
    static AMBIENT: TraceContext;
}

/// Travels inside the OpenTelemetry context, which has no place for the random flag and a narrower `tracestate`.
#[derive(Clone)]
struct Carried(TraceContext);

/// Makes `span`, which must not have been entered, the continuation of a caller's trace, or the first span of a new one when there
/// is no caller or what it says is invalid. For LSP `_meta`, the JSON-RPC envelope, and the environment's
/// `TRACEPARENT`. Answers the context of the span itself: what its callees must be told.
pub fn continue_or_start(span: &Span, traceparent: Option<&str>, tracestate: Option<&str>) -> TraceContext {
    let incoming = TraceContext::extract(traceparent.as_slice(), tracestate.as_slice());
    adopt(span, incoming)
}

/// [`continue_or_start`] for an HTTP request: every header of the two names counts.
pub fn continue_or_start_http(span: &Span, headers: &HeaderMap) -> TraceContext {
    adopt(span, extract(headers))
}

/// What a request's headers say, strictly; `None` means a new trace.
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    // A value that is not visible ASCII is as invalid as any other wrong one, and must count as present.
    let values = |name| -> Vec<&str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("\u{fffd}")).collect()
    };
    TraceContext::extract(&values(TRACEPARENT), &values(TRACESTATE))
}

/// Runs work in a trace: inside its span, and with its context for [`current`] where spans are not recorded.
pub fn in_trace<F: Future>(span: Span, context: TraceContext, work: F) -> impl Future<Output = F::Output> {
    AMBIENT.scope(context, work).instrument(span)
}

/// Takes the current trace along into a spawned task.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let context = current().unwrap_or_else(root);
    in_trace(Span::current(), context, work)
}

/// The context of the work this is called from: the recorded span's, else that of [`in_trace`].
pub fn current() -> Option<TraceContext> {
    of_span(&Span::current()).or_else(|| AMBIENT.try_with(TraceContext::clone).ok())
}

/// The context a new outgoing request is to carry. Within a recorded span that is the span's own, so each request
/// deserves a span; elsewhere it is a fresh child of what work is running, or a new trace.
pub fn outgoing() -> TraceContext {
    of_span(&Span::current())
        .unwrap_or_else(|| AMBIENT.try_with(|ambient| ambient.child(random_span_id())).unwrap_or_else(|_| root()))
}

/// Puts [`outgoing`] on a request, replacing what is there.
pub fn inject(headers: &mut HeaderMap) {
    let context = outgoing();
    set(headers, TRACEPARENT, Some(context.traceparent()));
    set(headers, TRACESTATE, context.tracestate());
}

/// The current trace's 32 hex digits, as errors and logs name it.
pub fn trace_id() -> Option<String> {
    current().map(|context| context.parent.trace_id.to_string())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<String>) {
    // The grammar admits visible ASCII and spaces only, so the value always converts.
    match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

fn adopt(span: &Span, incoming: Option<TraceContext>) -> TraceContext {
    if let Some(incoming) = &incoming {
        let context = opentelemetry::Context::new()
            .with_remote_span_context(to_otel(incoming))
            .with_value(Carried(incoming.clone()));
        // Fails where there is no layer or the span is filtered out; the task-local then carries the trace.
        let _ = span.set_parent(context);
    }
    of_span(span).unwrap_or_else(|| incoming.map_or_else(root, |incoming| incoming.child(random_span_id())))
}

/// The context of a span that an OpenTelemetry layer knows.
fn of_span(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let own = context.span().span_context().clone();
    let trace_id = TraceId::new(own.trace_id().to_bytes())?;
    let carried = context.get::<Carried>().filter(|carried| carried.0.parent.trace_id == trace_id);
    let sampled = if own.is_sampled() { SAMPLED } else { 0 };
    // Ids that the SDK made are random in every bit.
    let random = carried.map_or(RANDOM, |carried| carried.0.parent.flags & RANDOM);
    Some(TraceContext {
        parent: TraceParent { trace_id, parent_id: SpanId::new(own.span_id().to_bytes())?, flags: sampled | random },
        state: carried.map(|carried| carried.0.state.clone()).unwrap_or_default(),
    })
}

fn to_otel(context: &TraceContext) -> SpanContext {
    let TraceParent { trace_id, parent_id, flags } = context.parent;
    // OpenTelemetry's grammar for tracestate is level 1; what it refuses still travels in `Carried`.
    let state = context.tracestate().and_then(|state| state.parse::<OtelTraceState>().ok());
    SpanContext::new(
        OtelTraceId::from_bytes(trace_id.to_bytes()),
        OtelSpanId::from_bytes(parent_id.to_bytes()),
        TraceFlags::new(flags),
        true,
        state.unwrap_or_default(),
    )
}

fn root() -> TraceContext {
    let mut random = [0; 24];
    random[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    random[16..].copy_from_slice(&random_span_id().to_bytes());
    TraceContext::new_root(random)
}

/// Level 2 wants the last seven bytes random; a version 4 UUID's fixed bits are in its bytes 6 and 8, outside those.
fn random_span_id() -> SpanId {
    let mut bytes = [0; 8];
    let random = uuid::Uuid::new_v4();
    bytes[..1].copy_from_slice(&random.as_bytes()[..1]);
    bytes[1..].copy_from_slice(&random.as_bytes()[9..]);
    SpanId::from_random(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCOMING: &str = "00-12345678901234567890123456789012-1234567890123456-02";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn sent() -> (String, Option<String>) {
        let mut headers = headers(&[("traceparent", "stale"), ("tracestate", "stale=1")]);
        inject(&mut headers);
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text(TRACEPARENT).unwrap(), text(TRACESTATE))
    }

    #[tokio::test]
    async fn without_a_layer_each_request_is_its_own_child_of_the_incoming_trace() {
        let span = tracing::info_span!(parent: None, "entry");
        let context = continue_or_start(&span, Some(INCOMING), Some("foo=1"));
        let (first, second) = in_trace(span, context, async { (sent(), sent()) }).await;
        assert_ne!(first, second);
        for (parent, state) in [first, second] {
            assert!(parent.starts_with("00-12345678901234567890123456789012-"));
            assert!(parent.ends_with("-02"), "flags stay: {parent}");
            assert!(!parent.contains("-1234567890123456-"), "a new parent id");
            assert_eq!(state.as_deref(), Some("foo=1"));
        }
    }

    #[tokio::test]
    async fn an_invalid_parent_starts_a_new_random_trace() {
        let span = tracing::info_span!(parent: None, "entry");
        let context = continue_or_start(&span, Some("00-zz"), Some("foo=1"));
        assert_eq!(context.parent.flags, SAMPLED | RANDOM);
        assert_eq!(context.tracestate(), None);
        let (parent, state) = in_trace(span, context.clone(), async { sent() }).await;
        assert!(parent.contains(&context.parent.trace_id.to_string()));
        assert_eq!(state, None, "a stale header is removed");
    }

    #[tokio::test]
    async fn a_spawned_task_stays_in_the_trace() {
        let span = tracing::info_span!(parent: None, "entry");
        let context = continue_or_start(&span, Some(INCOMING), None);
        let id = in_trace(span, context, async { tokio::spawn(carry(async { trace_id() })).await.unwrap() }).await;
        assert_eq!(id.as_deref(), Some("12345678901234567890123456789012"));
    }

    #[test]
    fn two_headers_or_bytes_outside_ascii_restart_the_trace() {
        assert!(extract(&headers(&[("traceparent", INCOMING)])).is_some());
        let twice = [("traceparent", INCOMING), ("traceparent", INCOMING)];
        assert!(extract(&headers(&twice)).is_none());
        assert!(extract(&headers(&[("traceparent", "é")])).is_none());
        let odd_state = headers(&[("traceparent", INCOMING), ("tracestate", "foo=é")]);
        assert!(extract(&odd_state).unwrap().state.is_empty());
    }
}
