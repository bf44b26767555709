//! `initialize`, `initialized` and `workspace/didChangeWorkspaceFolders`.

use crate::lsp::handlers::execute_command::{COMMANDS, message};
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_core::text::Encoding;
use krins_engine::workspace::file_path;
use krins_engine::{Error, ErrorKind};
use krins_protocol::{PROTOCOL, PROTOCOL_MINOR, schema::METHODS};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tower_lsp::ls_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, CodeLensOptions, DidChangeWorkspaceFoldersParams,
    ExecuteCommandOptions, InitializeParams, InitializeResult, MessageType, OneOf, PositionEncodingKind, SaveOptions,
    ServerCapabilities, ServerInfo, TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions,
    TextDocumentSyncSaveOptions, WorkspaceFolder, WorkspaceFoldersServerCapabilities, WorkspaceServerCapabilities,
};

/// The kind of every code action of ours; clients filter by its prefixes.
pub const KIND: &str = "refactor.krins";

/// Answers without touching the disk.
pub fn run(session: &Arc<Session>, params: &InitializeParams) -> InitializeResult {
    let agreed = session.agree(params);
    let sync = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::INCREMENTAL),
        save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
        ..TextDocumentSyncOptions::default()
    };
    // No resolveProvider: clients that see it resolve on their UI thread.
    let actions =
        CodeActionOptions { code_action_kinds: Some(vec![CodeActionKind::from(KIND)]), ..CodeActionOptions::default() };
    let features: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let folders =
        WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(OneOf::Left(true)) };
    InitializeResult {
        capabilities: ServerCapabilities {
            position_encoding: Some(encoding_kind(agreed.encoding)),
            text_document_sync: Some(TextDocumentSyncCapability::Options(sync)),
            code_action_provider: Some(CodeActionProviderCapability::Options(actions)),
            // A plugin draws its own review.
            code_lens_provider: (!agreed.plugin).then_some(CodeLensOptions { resolve_provider: Some(false) }),
            execute_command_provider: Some(ExecuteCommandOptions {
                commands: COMMANDS.iter().map(|command| (*command).to_owned()).collect(),
                ..ExecuteCommandOptions::default()
            }),
            workspace: Some(WorkspaceServerCapabilities {
                workspace_folders: Some(folders),
                ..WorkspaceServerCapabilities::default()
            }),
            experimental: Some(json!({"krins": {"protocol": PROTOCOL, "minor": PROTOCOL_MINOR, "features": features}})),
            ..ServerCapabilities::default()
        },
        server_info: Some(ServerInfo { name: "krins".into(), version: Some(env!("CARGO_PKG_VERSION").into()) }),
        ..InitializeResult::default()
    }
}

fn encoding_kind(encoding: Encoding) -> PositionEncodingKind {
    match encoding {
        Encoding::Utf8 => PositionEncodingKind::UTF8,
        Encoding::Utf16 => PositionEncodingKind::UTF16,
        Encoding::Utf32 => PositionEncodingKind::UTF32,
    }
}

/// Opens the folders' engines, which index them in the background.
pub fn warm_up(session: &Arc<Session>) {
    open(session, session.folders());
}

/// `workspace/didChangeWorkspaceFolders`: which folders there are is known at once, and the new ones open behind it.
pub fn change_folders(session: &Arc<Session>, params: &DidChangeWorkspaceFoldersParams) {
    let paths = |folders: &[WorkspaceFolder]| -> Vec<PathBuf> {
        folders.iter().filter_map(|folder| file_path(folder.uri.as_str())).collect()
    };
    let (new, surplus) = session.change_folders(paths(&params.event.added), &paths(&params.event.removed));
    open(session, new);
    for folder in surplus {
        let error = Error::new(ErrorKind::Overloaded, format!("open {}: there are too many folders", folder.display()));
        let session = session.clone();
        tokio::spawn(async move {
            session.client.show_message(MessageType::ERROR, message(&failure(&error))).await;
        });
    }
}

fn open(session: &Arc<Session>, folders: Vec<PathBuf>) {
    for folder in folders {
        let session = session.clone();
        tokio::spawn(async move {
            let opener = session.clone();
            let opened = tokio::task::spawn_blocking(move || opener.engine_in(&folder).map(drop)).await;
            if let Ok(Err(error)) = opened {
                session.client.show_message(MessageType::ERROR, message(&failure(&error))).await;
            }
        });
    }
}
