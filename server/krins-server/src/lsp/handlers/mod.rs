//! One file per method (or family of methods). A handler takes its snapshot before its first await.

pub mod apply;
pub mod assign;
pub mod audit;
pub mod cancel;
pub mod code_action;
pub mod code_lens;
pub mod context;
pub mod diff;
pub mod documents;
pub mod execute_command;
pub mod fix;
pub mod gate;
pub mod graph;
pub mod initialize;
pub mod lock;
pub mod pause;
pub mod preview;
pub mod report;
pub mod review;
pub mod status;
pub mod task;
pub mod tasks;
pub mod variant;
pub mod waive;

use crate::to_proto;
use krins_engine::Error;
use tower_lsp::jsonrpc;

/// An engine error as a JSON-RPC error: the kind's code, and `data: {kind, retryable, detail, hint}`.
pub fn failure(error: &Error) -> jsonrpc::Error {
    let report = to_proto::error(error);
    jsonrpc::Error {
        code: jsonrpc::ErrorCode::from(error.kind.json_rpc_code()),
        message: report.message.into(),
        data: serde_json::to_value(&report.data).ok(),
    }
}

/// What fits a menu or a message, on one line and without what acts or hides.
pub fn short(text: &str) -> String {
    crate::words::short(text, 60)
}
