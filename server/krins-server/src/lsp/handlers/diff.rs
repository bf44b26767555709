//! `krins/diff`.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_engine::{Error, ErrorKind};
use krins_protocol::lsp::{DiffParams, DiffResult};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: DiffParams) -> Reply<DiffResult> {
    find(session, params).await.map_err(|error| failure(&error))
}

async fn find(session: &Arc<Session>, params: DiffParams) -> Result<DiffResult, Error> {
    let task = params.task.as_deref();
    let engine = session.engine_of_task(task)?;
    let id = engine.tasks().find(task)?.id;
    if params.wait {
        engine.tasks().settled(&id).await?;
    }
    let review = engine.review(Some(&id))?;
    let mut diff = to_proto::diff(&engine, &review)?;
    for uri in &params.texts {
        let path = engine.root().relative_uri(uri);
        let file = review.patch.files().iter().find(|file| path.as_ref() == Some(&file.path));
        let file = file.ok_or_else(|| {
            let uri: String = uri.chars().take(300).collect();
            Error::new(ErrorKind::BadParams, format!("find {uri} in the change"))
                .hint("`texts` names files of the change, by their new names")
        })?;
        let uri = engine.root().uri(&file.path);
        if let Some(shown) = diff.files.iter_mut().find(|shown| shown.uri == uri) {
            shown.texts = Some(to_proto::texts(file));
        }
    }
    Ok(diff)
}
