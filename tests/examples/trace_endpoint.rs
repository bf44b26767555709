//! The endpoint that the public W3C trace-context suite drives: `POST /test` with `[{"url", "arguments"}, …]` posts each
//! `arguments` to its `url`, in the trace of the request.
//!
//! `cargo run -p krins-tests --example trace_endpoint -- 127.0.0.1:5000 [layer]`, then, in the suite's `test` directory,
//! `SPEC_LEVEL=2 STRICT_LEVEL=2 python test.py http://127.0.0.1:5000/test`.

use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use krins_backend::propagation;
use krins_tests::raw_http;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Deserialize)]
struct Action {
    url: String,
    arguments: serde_json::Value,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:5000".into());
    let provider = SdkTracerProvider::builder().build();
    if arguments.next().as_deref() == Some("layer") {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("suite"));
        tracing_subscriber::registry().with(layer).init();
    }
    let listener = tokio::net::TcpListener::bind(&address).await.expect("the address is free");
    let app = Router::new().route("/test", post(test));
    axum::serve(listener, app).await.expect("it serves until it is killed");
}

async fn test(headers: HeaderMap, Json(actions): Json<Vec<Action>>) -> Json<Vec<u16>> {
    let span = tracing::info_span!(parent: None, "POST /test", otel.kind = "server");
    let context = propagation::continue_or_start_http(&span, &headers);
    let acting = async {
        let mut statuses = Vec::new();
        for action in actions {
            let span = tracing::info_span!("POST", otel.kind = "client");
            statuses.push(call(action).instrument(span).await);
        }
        Json(statuses)
    };
    propagation::in_trace(span, context, acting).await
}

async fn call(action: Action) -> u16 {
    let mut headers = HeaderMap::new();
    propagation::inject(&mut headers);
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("trace context is ASCII"))).collect();
    let url = url::Url::parse(&action.url).expect("the suite sends URLs");
    let to = url.socket_addrs(|| None).expect("the suite runs on this machine")[0];
    raw_http::post_json(to, url.path(), &headers, &action.arguments).await.status
}
