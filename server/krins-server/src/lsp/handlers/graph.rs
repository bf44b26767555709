//! `krins/graph/…`: questions to the code graph.

use crate::cli;
use crate::lsp::handlers::{failure, short};
use crate::lsp::session::Session;
use crate::lsp::shown;
use crate::questions::{self, Door};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::graph::{GraphParams, Question};
use serde_json::Value;
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;
use tower_lsp::ls_types::MessageType;

pub async fn run(session: &Arc<Session>, question: Question, params: GraphParams) -> Reply<Value> {
    ask(session, question, params).await.map(|(_, answer)| answer).map_err(|error| failure(&error))
}

/// The same as a command. A client without a plugin does nothing with an answer, so that it is shown, too.
pub async fn command(session: &Arc<Session>, question: Question, params: GraphParams) -> Reply<Value> {
    let (engine, answer) = ask(session, question, params).await.map_err(|error| failure(&error))?;
    if !session.agreed().plugin {
        let (session, shown) = (session.clone(), answer.clone());
        tokio::spawn(async move {
            if let Err(error) = show(&session, &engine, question, shown).await {
                tracing::warn!(%error, "an answer could not be shown");
            }
        });
    }
    Ok(answer)
}

async fn ask(session: &Arc<Session>, question: Question, params: GraphParams) -> Result<(Engine, Value), Error> {
    let uri = params.uri.as_deref().or_else(|| params.uris.first().map(String::as_str));
    let engine = match (uri, params.task.as_deref()) {
        (None, Some(task)) => session.engine_of_task(Some(task))?,
        (uri, _) => session.engine(uri)?,
    };
    let encoding = engine.documents().encoding();
    let asked = engine.clone();
    // A request that is cancelled is answered at once; the question ends behind it, which does not take long.
    let answer = tokio::task::spawn_blocking(move || questions::answer(&asked, question, &params, Door::Lsp(encoding)));
    let answer = answer.await.map_err(|_| Error::new(ErrorKind::Internal, "answer: Krins has a defect here"))??;
    Ok((engine, answer))
}

/// The last line in a message, all of them in a document.
async fn show(session: &Arc<Session>, engine: &Engine, question: Question, answer: Value) -> Result<(), Error> {
    let lines = cli::graph::lines(question, answer)?;
    let plain: Vec<String> = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    let said = plain
        .iter()
        .rev()
        .find(|line| !line.starts_with('…') && !line.starts_with("note "))
        .map(|line| short(line))
        .unwrap_or_default();
    shown::view(session, engine, &format!("graph-{}", question.name()), &plain, (MessageType::INFO, &said)).await;
    Ok(())
}
