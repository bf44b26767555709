//! `krins/gate`.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_core::gate::sarif;
use krins_core::patch::{self, Patch};
use krins_engine::base::Current;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp::{GateParams, GateResult};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: GateParams) -> Reply<GateResult> {
    judge(session, params).await.map_err(|error| failure(&error))
}

async fn judge(session: &Arc<Session>, params: GateParams) -> Result<GateResult, Error> {
    let with_sarif = params.sarif;
    let (engine, subject) = subject(session, params)?;
    let report = match subject {
        Subject::Task(task) => engine.judge_task(task.as_deref(), |_| ()).await?,
        Subject::Patch(text) => {
            let asked = engine.clone();
            let placed = tokio::task::spawn_blocking(move || placed(&asked, &text)).await;
            let patch =
                placed.map_err(|error| Error::new(ErrorKind::Internal, format!("read the change: {error}")))??;
            engine.judge_patch(patch, |_| ()).await?
        }
    };
    let sarif = with_sarif.then(|| sarif(&report, env!("CARGO_PKG_VERSION")));
    Ok(GateResult { report: to_proto::gate(&report), sarif })
}

/// What is to be judged.
enum Subject {
    Task(Option<String>),
    Patch(String),
}

fn subject(session: &Arc<Session>, params: GateParams) -> Result<(Engine, Subject), Error> {
    match (params.task, params.patch) {
        (Some(_), Some(_)) => {
            Err(Error::new(ErrorKind::BadParams, "judge a task and a patch at once").hint("name one of them"))
        }
        (None, Some(patch)) => {
            let uri = params.text_document.map(|document| document.uri);
            Ok((session.engine(uri.as_deref())?, Subject::Patch(patch)))
        }
        (task, None) => Ok((session.engine_of_task(task.as_deref())?, Subject::Task(task))),
    }
}

fn placed(engine: &Engine, text: &str) -> Result<Patch, Error> {
    let current = Current::new(engine.root().clone(), engine.documents().clone());
    let parsed = patch::parse_in(text, &engine.root().path().to_string_lossy());
    let parsed = parsed.map_err(|refusal| Error::from(vec![refusal]))?;
    Ok(patch::place(&parsed, &current, false)?)
}
