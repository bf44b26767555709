//! `textDocument/didOpen`, `didChange`, `didSave`, `didClose`: synchronous, on the reader, in order.

use crate::from_proto;
use crate::lsp::session::Session;
use krins_engine::documents::DocumentError;
use std::sync::Arc;
use tower_lsp::ls_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams,
};

pub fn open(session: &Arc<Session>, params: DidOpenTextDocumentParams) {
    let document = params.text_document;
    let uri = document.uri.as_str();
    let opened = session.engine(Some(uri));
    session.set_unknown(uri, opened.is_err());
    match opened {
        Ok(opened) => session.tell(uri, Some(&opened), |engine| {
            engine.documents().open(uri, document.version, document.text.clone());
        }),
        Err(error) => tracing::debug!(uri, %error, "a document is not followed"),
    }
}

pub fn change(session: &Arc<Session>, params: DidChangeTextDocumentParams) {
    let document = params.text_document;
    let uri = document.uri.as_str();
    let changes: Vec<_> = params.content_changes.into_iter().map(from_proto::change).collect();
    session.tell(uri, None, |engine| {
        let taken = engine.documents().change(uri, document.version, &changes);
        if let Err(error @ DocumentError::NotOpen { .. }) = &taken {
            tracing::warn!(%error, "a change was not taken");
            // It is open in the editor all the same: what is on disk is not what the person sees.
            engine.documents().open(uri, document.version, String::new());
            engine.documents().desynchronise(uri);
        } else if let Err(error) = taken {
            tracing::warn!(%error, "a change was not taken");
        }
    });
}

pub fn save(session: &Arc<Session>, params: DidSaveTextDocumentParams) {
    let uri = params.text_document.uri.as_str();
    session.tell(uri, None, |engine| {
        if let Err(error) = engine.documents().save(uri, params.text.clone()) {
            tracing::warn!(%error, "a save was not taken");
        }
    });
}

pub fn close(session: &Arc<Session>, params: DidCloseTextDocumentParams) {
    let uri = params.text_document.uri.as_str();
    session.set_unknown(uri, false);
    session.tell(uri, None, |engine| engine.documents().close(uri));
}
