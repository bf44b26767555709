//! `textDocument/didOpen`, `didChange`, `didSave`, `didClose`: synchronous, on the reader, in order.

use crate::from_proto;
use crate::lsp::session::Session;
use krins_engine::Engine;
use std::sync::Arc;
use tower_lsp::ls_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams, Uri,
};

pub fn open(session: &Arc<Session>, params: DidOpenTextDocumentParams) {
    let document = params.text_document;
    if let Some(engine) = engine(session, &document.uri) {
        engine.documents().open(document.uri.as_str(), document.version, document.text);
    }
}

pub fn change(session: &Arc<Session>, params: DidChangeTextDocumentParams) {
    let document = params.text_document;
    let Some(engine) = engine(session, &document.uri) else { return };
    let changes: Vec<_> = params.content_changes.into_iter().map(from_proto::change).collect();
    if let Err(error) = engine.documents().change(document.uri.as_str(), document.version, &changes) {
        tracing::warn!(%error, "a change was not taken");
    }
}

pub fn save(session: &Arc<Session>, params: DidSaveTextDocumentParams) {
    let Some(engine) = engine(session, &params.text_document.uri) else { return };
    if let Err(error) = engine.documents().save(params.text_document.uri.as_str(), params.text) {
        tracing::warn!(%error, "a save was not taken");
    }
}

pub fn close(session: &Arc<Session>, params: DidCloseTextDocumentParams) {
    if let Some(engine) = engine(session, &params.text_document.uri) {
        engine.documents().close(params.text_document.uri.as_str());
    }
}

fn engine(session: &Arc<Session>, uri: &Uri) -> Option<Engine> {
    session
        .engine(Some(uri.as_str()))
        .inspect_err(|error| tracing::debug!(uri = uri.as_str(), %error, "a document is not followed"))
        .ok()
}
