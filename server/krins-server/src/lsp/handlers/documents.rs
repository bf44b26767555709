//! `textDocument/didOpen`, `didChange`, `didSave`, `didClose`: synchronous, on the reader, in order.

use crate::from_proto;
use crate::lsp::order::Ready;
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
    if session.agreed().quirks.shuffles_changes {
        in_order(session, uri, session.order.open(uri, document.version));
    }
}

pub fn change(session: &Arc<Session>, params: DidChangeTextDocumentParams) {
    if !session.agreed().quirks.shuffles_changes {
        return apply(session, params);
    }
    let uri = params.text_document.uri.clone();
    let ready = session.order.change(uri.as_str(), params.text_document.version, params);
    in_order(session, uri.as_str(), ready);
}

/// Takes what has come in full.
fn in_order(session: &Arc<Session>, uri: &str, ready: Ready<DidChangeTextDocumentParams>) {
    for params in ready.changes {
        apply(session, params);
    }
    if ready.lost {
        tracing::warn!(uri, "a change came too late, or not at all");
        session.desynchronise(uri);
    }
    if ready.saved {
        saved(session, uri, None);
    }
}

fn apply(session: &Arc<Session>, params: DidChangeTextDocumentParams) {
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
    if session.order.save(uri) {
        saved(session, uri, params.text);
    }
}

fn saved(session: &Arc<Session>, uri: &str, text: Option<String>) {
    session.tell(uri, None, |engine| {
        if let Err(error) = engine.documents().save(uri, text.clone()) {
            tracing::warn!(%error, "a save was not taken");
        }
    });
}

pub fn close(session: &Arc<Session>, params: DidCloseTextDocumentParams) {
    let uri = params.text_document.uri.as_str();
    session.set_unknown(uri, false);
    session.order.close(uri);
    session.tell(uri, None, |engine| engine.documents().close(uri));
}
