//! `textDocument/codeLens`: apply and reject above each hunk of the open review, where the client draws lenses.

use crate::lsp::session::Session;
use crate::lsp::waiting::{self, Moved, open_review};
use krins_engine::tasks::TaskState;
use serde_json::json;
use std::sync::Arc;
use tower_lsp::ls_types::{CodeLens, CodeLensParams, Command, Position, Range};

pub fn run(session: &Arc<Session>, params: &CodeLensParams) -> Vec<CodeLens> {
    let uri = params.text_document.uri.as_str();
    let Ok(engine) = session.engine(Some(uri)) else { return Vec::new() };
    let Some(path) = engine.root().relative_uri(uri) else { return Vec::new() };
    let Some(review) = open_review(&engine).filter(|review| review.task.state != TaskState::Blocked) else {
        return Vec::new();
    };
    let task = &review.task;
    let Some(file) = review.patch.files().iter().find(|file| file.path == path) else { return Vec::new() };
    let moved = Moved::of(&engine, file);
    let mut lenses = Vec::new();
    for one in waiting::hunks(&review).iter().filter(|one| one.file.path == path) {
        let apply = json!({"task": task.id, "hunks": [one.hunk.id]});
        let [line, _] = one.changes(&moved);
        lenses.push(lens(line, "Krins: apply hunk", "krins.apply", apply));
        let (title, verdict) =
            if one.is_rejected() { ("take rejection back", "open") } else { ("reject hunk", "reject") };
        lenses.push(lens(
            line,
            title,
            "krins.review",
            json!({"task": task.id, "hunk": one.hunk.id, "verdict": verdict}),
        ));
    }
    lenses
}

fn lens(line: u32, title: &str, command: &str, argument: serde_json::Value) -> CodeLens {
    let at = Position { line, character: 0 };
    let command = Command { title: title.to_owned(), command: command.to_owned(), arguments: Some(vec![argument]) };
    CodeLens { range: Range { start: at, end: at }, command: Some(command), data: None }
}
