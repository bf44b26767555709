//! The client as the engine's editor: one open document per `workspace/applyEdit`, with its version.
//!
//! The reply is passed on as it is and believed by nobody: the engine reads back.

use crate::lsp::rpc;
use crate::lsp::session::Session;
use async_trait::async_trait;
use krins_core::text::Position;
use krins_engine::apply::{BufferEdit, Editor, EditorRefused};
use krins_engine::documents::Documents;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use tower_lsp::ls_types::{
    ApplyWorkspaceEditResponse, DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier, Range,
    TextDocumentEdit, TextEdit, Uri, WorkspaceEdit,
};

pub struct LspEditor {
    pub session: Arc<Session>,
    pub documents: Arc<Documents>,
}

#[async_trait]
impl Editor for LspEditor {
    async fn apply_edit(&self, edit: BufferEdit) -> Result<(), EditorRefused> {
        // Most clients do not look at the version; this is the last moment at which we can.
        let current = self.documents.get(&edit.uri).map(|document| document.version);
        if current != Some(edit.version) {
            return Err(EditorRefused::new("it changed in the meantime"));
        }
        let edit = workspace_edit(edit, self.session.agreed().document_changes)?;
        match rpc::to_client("workspace/applyEdit", self.session.client.apply_edit(edit)).await {
            Ok(ApplyWorkspaceEditResponse { applied: true, .. }) => Ok(()),
            Ok(ApplyWorkspaceEditResponse { failure_reason, .. }) => {
                Err(EditorRefused::new(failure_reason.unwrap_or_else(|| "the editor did not apply it".into())))
            }
            Err(error) => Err(EditorRefused::new(format!("the editor answered with an error: {}", error.message))),
        }
    }

    fn patience(&self) -> Option<Duration> {
        self.session.agreed().quirks.patience()
    }
}

/// A client that knows no `documentChanges` might take one for nothing to do; `changes` every client knows.
fn workspace_edit(edit: BufferEdit, document_changes: bool) -> Result<WorkspaceEdit, EditorRefused> {
    let uri =
        Uri::from_str(&edit.uri).map_err(|error| EditorRefused::new(format!("its URI cannot be said: {error}")))?;
    let position =
        |position: Position| tower_lsp::ls_types::Position { line: position.line, character: position.column };
    let edits = edit.edits.into_iter().map(|edit| TextEdit {
        range: Range { start: position(edit.range.start), end: position(edit.range.end) },
        new_text: edit.text,
    });
    if !document_changes {
        let changes = Some(std::iter::once((uri, edits.collect())).collect());
        return Ok(WorkspaceEdit { changes, ..WorkspaceEdit::default() });
    }
    let document = TextDocumentEdit {
        text_document: OptionalVersionedTextDocumentIdentifier { uri, version: Some(edit.version) },
        edits: edits.map(OneOf::Left).collect(),
    };
    Ok(WorkspaceEdit { document_changes: Some(DocumentChanges::Edits(vec![document])), ..WorkspaceEdit::default() })
}
