//! `$/progress` while many files are read in the background: at a first start, after a branch switch.
//!
//! It sleeps until a long reading begins. A client that offers no progress is told nothing.

use crate::lsp::reporter::{created, send_progress};
use crate::lsp::session::Session;
use krins_engine::Engine;
use krins_engine::index::Long;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tower_lsp::ls_types::{
    ProgressToken, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport,
};

/// Between two reports.
const PAUSE: Duration = Duration::from_millis(250);

/// Follows an engine's index until the connection ends.
pub fn start(session: &Arc<Session>, engine: &Engine) {
    if !session.agreed().progress {
        return;
    }
    let (session, engine) = (session.clone(), engine.clone());
    let mut readings = engine.index().long_readings();
    let mut told = readings.borrow_and_update().begun;
    tokio::spawn(async move {
        while readings.changed().await.is_ok() {
            let begun = readings.borrow_and_update().begun;
            // Also one that has ended since.
            if begun > told {
                told = begun;
                follow(&session, &engine, &mut readings, begun).await;
            }
        }
    });
}

async fn follow(session: &Session, engine: &Engine, readings: &mut Receiver<Long>, begun: u64) {
    let name = format!("krins-index-{begun}-{}", engine.root().path().display());
    let Some(token) = created(session, name).await else { return };
    let title = "Krins: reading the workspace".to_owned();
    let begin = WorkDoneProgressBegin { title, cancellable: Some(false), message: None, percentage: Some(0) };
    send_progress(session, token.clone(), WorkDoneProgress::Begin(begin)).await;
    while readings.borrow_and_update().reading {
        tokio::select! {
            changed = readings.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE) => report(session, engine, &token).await,
        }
    }
    let message = Some(match engine.index().stats() {
        (stats, true) => format!("{} files", stats.files),
        (stats, false) => format!("paused after {} files", stats.files),
    });
    send_progress(session, token, WorkDoneProgress::End(WorkDoneProgressEnd { message })).await;
}

async fn report(session: &Session, engine: &Engine, token: &ProgressToken) {
    let Some((done, total)) = engine.index().progress() else { return };
    let percentage = u32::try_from(done * 100 / total.max(1)).ok();
    let message = Some(format!("{done} of {total} files"));
    let report = WorkDoneProgressReport { message, percentage, cancellable: Some(false) };
    send_progress(session, token.clone(), WorkDoneProgress::Report(report)).await;
}
