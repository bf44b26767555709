//! `krins lsp`: the sidecar. stdout carries frames and nothing else, from the first line of this function on.

use super::{Done, args::Global, overrides};
use crate::lsp::server::Server;
use crate::lsp::session::Session;
use crate::lsp::transport::{self, Options};
use crate::lsp::{indexing, parent, reporter, stdio};
use crate::setup::Setup;
use crate::telemetry;
use krins_engine::{Engine, Error, ErrorKind};
use serde_json::json;
use std::sync::Arc;
use tower::ServiceExt as _;
use tower_lsp::LspService;
use tower_lsp::jsonrpc::Request;

pub fn run(global: &Global, client: Option<u64>) -> Done {
    let failed = |what: &str, error: std::io::Error| Error::new(ErrorKind::Internal, format!("{what}: {error}"));
    let (input, output) = stdio::take().map_err(|error| failed("take standard input and output", error))?;
    stdio::log_panics();
    let telemetry = telemetry::init(telemetry::Mode::Sidecar);
    // Bad settings are said in the editor; they must not keep the sidecar from starting.
    let setup = Setup::new(overrides(global));
    let watch = parent::Watch::start().map_err(|error| failed("watch the parent process", error))?;
    if let Some(pid) = client {
        watch.client(pid);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", error))?;
    let end = runtime.block_on(serve(setup, watch, input, output));
    telemetry.shutdown();
    // A read of standard input cannot be interrupted; leaving is the only way not to wait for it.
    std::process::exit(end.exit_code())
}

/// Tells the client what the engine is at.
fn follow(session: &Arc<Session>, engine: &Engine) {
    reporter::start(session, engine);
    indexing::start(session, engine);
}

async fn serve(setup: Setup, watch: parent::Watch, input: stdio::Input, output: stdio::Output) -> transport::End {
    let session: Arc<std::sync::OnceLock<Arc<Session>>> = Arc::default();
    let kept = session.clone();
    let (service, socket) = LspService::build(move |client| {
        let session = Arc::new(Session::new(client, setup, follow));
        let _ = kept.set(session.clone());
        Server { session }
    })
    .custom_method("krins/assign", Server::assign)
    .custom_method("krins/task", Server::task)
    .custom_method("krins/tasks", Server::tasks)
    .custom_method("krins/waive", Server::waive)
    .custom_method("krins/diff", Server::diff)
    .custom_method("krins/gate", Server::gate)
    .custom_method("krins/apply", Server::apply)
    .custom_method("krins/undo", Server::undo)
    .custom_method("krins/redo", Server::redo)
    .custom_method("krins/cancel", Server::cancel)
    .custom_method("krins/discard", Server::discard)
    .custom_method("krins/fix", Server::fix)
    .custom_method("krins/preview", Server::preview)
    .custom_method("krins/promote", Server::promote)
    .custom_method("krins/review", Server::review)
    .custom_method("krins/variant", Server::variant)
    .custom_method("krins/context", Server::context)
    .custom_method("krins/graph/stats", Server::graph_stats)
    .custom_method("krins/graph/module", Server::graph_module)
    .custom_method("krins/graph/impact", Server::graph_impact)
    .custom_method("krins/graph/references", Server::graph_references)
    .custom_method("krins/graph/owners", Server::graph_owners)
    .custom_method("krins/graph/tests", Server::graph_tests)
    .custom_method("krins/graph/path", Server::graph_path)
    .custom_method("krins/graph/unused", Server::graph_unused)
    .custom_method("krins/graph/cycles", Server::graph_cycles)
    .custom_method("krins/graph/pause", Server::graph_pause)
    .custom_method("krins/graph/resume", Server::graph_resume)
    .custom_method("krins/lock", Server::lock)
    .custom_method("krins/unlock", Server::unlock)
    .custom_method("krins/locks", Server::locks)
    .custom_method("window/workDoneProgress/cancel", Server::cancel_progress)
    .custom_method("krins/audit/verify", Server::audit_verify)
    .custom_method("krins/status", Server::status)
    .custom_method("krins/report", Server::report)
    .custom_method("krins/dashboard", Server::dashboard)
    .finish();
    let asked = session.clone();
    let options = Options {
        watch: Some(watch),
        stops_at_replies: Arc::new(move || asked.get().is_some_and(|session| session.stops_at_replies())),
        lost: Box::new(move |lost| {
            if let (Some(session), Some(uri)) = (session.get(), lost.uri) {
                session.desynchronise(uri);
            }
        }),
        ..Options::default()
    };
    transport::run(service.map_request(with_params), socket, input, output, options).await
}

/// Every parameter of our own methods may be left out, and `null` means an empty object.
fn with_params(request: Request) -> Request {
    if !request.method().starts_with("krins/") || request.params().is_some_and(|params| !params.is_null()) {
        return request;
    }
    let (method, id, _) = request.into_parts();
    let build = Request::build(method).params(json!({}));
    match id {
        Some(id) => build.id(id).finish(),
        None => build.finish(),
    }
}
