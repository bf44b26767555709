//! `textDocument/codeLens`: apply and reject above each hunk of the open review, where the client draws lenses.

use crate::lsp::handlers::code_action::open_review;
use crate::lsp::reporter::changed;
use crate::lsp::session::Session;
use krins_engine::tasks::{HunkVerdict, TaskState};
use serde_json::json;
use std::sync::Arc;
use tower_lsp::ls_types::{CodeLens, CodeLensParams, Command, Position, Range};

pub fn run(session: &Arc<Session>, params: &CodeLensParams) -> Vec<CodeLens> {
    let uri = params.text_document.uri.as_str();
    // A plugin draws its own review.
    let Some(engine) = session.engine(Some(uri)).ok().filter(|_| !session.agreed().plugin) else { return Vec::new() };
    let Some(path) = engine.root().relative_uri(uri) else { return Vec::new() };
    let Some(review) = open_review(&engine).filter(|review| review.task.state == TaskState::Ready) else {
        return Vec::new();
    };
    let task = &review.task;
    let mut lenses = Vec::new();
    for hunk in review.patch.files().iter().filter(|file| file.path == path).flat_map(|file| &file.hunks) {
        let rejected = task.verdicts.get(&hunk.id) == Some(&HunkVerdict::Reject);
        let apply = json!({"task": task.id, "hunks": [hunk.id]});
        let [line, _] = changed(hunk);
        lenses.push(lens(line, "Krins: apply hunk", "krins.apply", apply));
        let (title, verdict) = if rejected { ("take rejection back", "open") } else { ("reject hunk", "reject") };
        lenses.push(lens(line, title, "krins.review", json!({"task": task.id, "hunk": hunk.id, "verdict": verdict})));
    }
    lenses
}

fn lens(line: u32, title: &str, command: &str, argument: serde_json::Value) -> CodeLens {
    let at = Position { line, character: 0 };
    let command = Command { title: title.to_owned(), command: command.to_owned(), arguments: Some(vec![argument]) };
    CodeLens { range: Range { start: at, end: at }, command: Some(command), data: None }
}
