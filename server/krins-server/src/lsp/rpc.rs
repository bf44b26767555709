//! Spans of JSON-RPC calls, by OpenTelemetry's conventions: those of the client, continued from the trace that it is in,
//! and ours to it. Params and results are never in one. It must not know what any method does.

use krins_backend::propagation;
use krins_core::trace::TraceContext;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::Value;
use std::future::Future;
use tower_lsp::jsonrpc::{ErrorCode, Id, Response};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// What the conventions call a method that nobody knows.
const OTHER: &str = "_OTHER";
/// Characters of an id, which is the client's to choose.
const ID: usize = 64;

/// One request of the client.
pub struct Call {
    span: Span,
    method: String,
    context: TraceContext,
}

impl Call {
    /// In the trace that `_meta` names, else in the environment's, else in a new one.
    pub fn begin(id: &Id, method: &str, params: Option<&Value>) -> Self {
        let span = tracing::info_span!(
            parent: None,
            "rpc.server",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "jsonrpc",
            // An attribute is not replaced, and whether anybody knows the method shows at the end.
            rpc.method = Empty,
            rpc.response.status_code = Empty,
            jsonrpc.protocol.version = "2.0",
            jsonrpc.request.id = shown(id),
            "error.type" = Empty,
        );
        let meta = match method {
            "workspace/executeCommand" => params.and_then(|params| params.pointer("/arguments/0/_meta")),
            _ => params.and_then(|params| params.get("_meta")),
        };
        let text = |name: &str| meta.and_then(|meta| meta.get(name)?.as_str()).map(str::to_owned);
        let (traceparent, tracestate) = match text("traceparent") {
            Some(parent) => (Some(parent), text("tracestate")),
            None => (std::env::var("TRACEPARENT").ok(), std::env::var("TRACESTATE").ok()),
        };
        let context = propagation::continue_or_start(&span, traceparent.as_deref(), tracestate.as_deref());
        Self { span, method: method.to_owned(), context }
    }

    /// Runs the handler in the call's trace.
    pub fn within<F: Future>(&self, handler: F) -> impl Future<Output = F::Output> + use<F> {
        propagation::in_trace(self.span.clone(), self.context.clone(), handler)
    }

    pub fn end(self, reply: &Response) {
        let unknown = reply.error().is_some_and(|error| error.code == ErrorCode::MethodNotFound);
        if unknown {
            self.span.context().span().update_name(OTHER);
        }
        self.span.record("rpc.method", if unknown { OTHER } else { &self.method });
        reply.error().into_iter().for_each(|error| failed(&self.span, error.code));
    }
}

/// A request of ours to the client.
pub async fn to_client<T>(
    method: &'static str,
    asking: impl Future<Output = tower_lsp::jsonrpc::Result<T>>,
) -> tower_lsp::jsonrpc::Result<T> {
    let span = tracing::info_span!(
        "rpc.client",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system.name = "jsonrpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        jsonrpc.protocol.version = "2.0",
        "error.type" = Empty,
    );
    let answer = asking.instrument(span.clone()).await;
    if let Err(error) = &answer {
        failed(&span, error.code);
    }
    answer
}

/// Any error object is a failure.
fn failed(span: &Span, code: ErrorCode) {
    let code = code.code().to_string();
    span.record("rpc.response.status_code", code.as_str());
    krins_backend::spans::failed(span, &code);
}

fn shown(id: &Id) -> Option<String> {
    match id {
        Id::Number(number) => Some(number.to_string()),
        Id::String(text) => Some(text.chars().take(ID).collect()),
        Id::Null => None,
    }
}
