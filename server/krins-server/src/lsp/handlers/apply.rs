//! `krins/apply`, `krins/undo`, `krins/redo`.

use crate::lsp::editor::LspEditor;
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use futures::future::poll_immediate;
use krins_engine::apply::Editor;
use krins_engine::engine::ApplyWish;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp::{ApplyParams, ApplyResult, OnConflict, UndoParams};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: ApplyParams) -> Reply<ApplyResult> {
    apply(session, params).await.map_err(|error| failure(&error))
}

async fn apply(session: &Arc<Session>, params: ApplyParams) -> Result<ApplyResult, Error> {
    let turn = place(session).await;
    let task = params.task.as_deref();
    let engine = session.engine_of_task(task)?;
    let wish =
        ApplyWish { hunks: params.hunks, markers: params.on_conflict == OnConflict::Markers, dry_run: params.dry_run };
    let outcome = queued(turn, engine.apply(task, wish, Some(editor(session, &engine)))).await?;
    Ok(to_proto::applied(engine.root(), &outcome))
}

pub async fn undo(session: &Arc<Session>, params: UndoParams) -> Reply<ApplyResult> {
    turn(session, params, true).await.map_err(|error| failure(&error))
}

pub async fn redo(session: &Arc<Session>, params: UndoParams) -> Reply<ApplyResult> {
    turn(session, params, false).await.map_err(|error| failure(&error))
}

async fn turn(session: &Arc<Session>, params: UndoParams, back: bool) -> Result<ApplyResult, Error> {
    let turn = place(session).await;
    let which = params.undo.as_deref();
    let engine = match (which, &params.hunks) {
        // Hunks are those of a task, and without a name of the newest.
        (None, Some(_)) => session.engine_of_task(None)?,
        _ => session.engine_of_change(which, !back).await?,
    };
    let editor = Some(editor(session, &engine));
    let outcome = match (back, params.hunks) {
        (true, Some(hunks)) => queued(turn, engine.undo_hunks(which, &hunks, params.dry_run, editor)).await?,
        (true, None) => queued(turn, engine.undo(which, params.dry_run, editor)).await?,
        (false, None) => queued(turn, engine.redo(which, params.dry_run, editor)).await?,
        (false, Some(_)) => {
            return Err(Error::new(ErrorKind::BadParams, "redo some hunks: an undo is done again as a whole")
                .hint("apply the hunks (`krins/apply` with `hunks`)"));
        }
    };
    Ok(to_proto::applied(engine.root(), &outcome))
}

/// A place in the queue of all roots. What began with a place goes on after others have taken theirs; a turn without a name keeps it
/// until the newest change of all roots is known.
pub(super) async fn place(session: &Session) -> MutexGuard<'_, ()> {
    let place = session.turning.lock().await;
    tokio::task::yield_now().await;
    place
}

/// Gives the place up once the work stands in the queue of its root, so that nobody waits for an apply in another one.
pub(super) async fn queued<T>(place: MutexGuard<'_, ()>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let at_once = poll_immediate(&mut work).await;
    drop(place);
    match at_once {
        Some(done) => done,
        None => work.await,
    }
}

fn editor(session: &Arc<Session>, engine: &Engine) -> Arc<dyn Editor> {
    Arc::new(LspEditor { session: session.clone(), documents: engine.documents().clone() })
}
