//! Wire values → domain values. The only way in.

use krins_core::context::{Diagnostic, Reach};
use krins_core::prompt::Focus;
use krins_core::text::{Encoding, LineIndex, Position};
use krins_core::{RelPath, Tree as _};
use krins_engine::documents::Change;
use krins_engine::engine::Judgement;
use krins_engine::pipeline::Intent;
use krins_engine::variants::MOST;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp;
use std::time::Duration;
use tower_lsp::ls_types;

/// A task in words, about a file of this engine's root.
pub fn intent(engine: &Engine, params: &lsp::AssignParams) -> Result<Intent, Error> {
    let variants = params.variants.unwrap_or(1);
    if !(1..=MOST).contains(&variants) {
        return Err(Error::new(ErrorKind::BadParams, format!("assign {variants} variants"))
            .hint(format!("ask for 1 to {MOST}")));
    }
    let focus = match &params.text_document {
        Some(document) => Some(focus(engine, &document.uri, params.selection)?),
        None => None,
    };
    Ok(Intent {
        words: params.intent.clone(),
        focus,
        pinned: Vec::new(),
        reach: reach(params.scope),
        budget: params.budget.and_then(|budget| budget.tokens),
        micros: params.budget.and_then(|budget| budget.micros),
        provider: params.agent.clone(),
        fresh: false,
        variants,
        patience: patience(params.patience),
        spec: params.mode == lsp::Mode::Spec,
    })
}

/// Milliseconds.
pub fn patience(millis: Option<u32>) -> Option<Duration> {
    millis.map(|millis| Duration::from_millis(millis.into()))
}

pub fn reach(scope: lsp::Scope) -> Reach {
    match scope {
        lsp::Scope::Narrow => Reach::Narrow,
        lsp::Scope::Normal => Reach::Normal,
        lsp::Scope::Broad => Reach::Broad,
    }
}

/// What a person says of one hunk.
pub fn judgement(verdict: lsp::ReviewVerdict, text: Option<String>) -> Result<Judgement, Error> {
    match (verdict, text) {
        (lsp::ReviewVerdict::Open, None) => Ok(Judgement::Open),
        (lsp::ReviewVerdict::Accept, None) => Ok(Judgement::Accept),
        (lsp::ReviewVerdict::Reject, None) => Ok(Judgement::Reject),
        (lsp::ReviewVerdict::Edit, Some(text)) => Ok(Judgement::Edit(text)),
        (lsp::ReviewVerdict::Edit, None) => Err(Error::new(ErrorKind::BadParams, "edit a hunk without its new text")
            .hint("say in `text` what shall stand where the hunk's new lines stand; \"\" takes them all away")),
        (_, Some(_)) => {
            Err(Error::new(ErrorKind::BadParams, "review a hunk: a text goes with the verdict `edit` only")
                .hint("leave `text` out, or say `edit`"))
        }
    }
}

/// What another server found in a document; our own findings come from us.
pub fn diagnostic(path: &RelPath, found: &ls_types::Diagnostic) -> Option<Diagnostic> {
    let foreign = found.source.as_deref() != Some("krins");
    foreign.then(|| Diagnostic { path: path.clone(), lines: lines(&found.range), message: found.message.clone() })
}

/// 1-based, inclusive.
pub fn lines(range: &ls_types::Range) -> [u32; 2] {
    [range.start.line, range.end.line].map(|line| line.saturating_add(1))
}

fn focus(engine: &Engine, uri: &str, selection: Option<lsp::Range>) -> Result<Focus, Error> {
    let path = path(engine, uri)?;
    let lines = selection.filter(|range| range.start != range.end).map(|range| {
        let text = engine.snapshot().text(&path).unwrap_or_default();
        let index = LineIndex::new(&text);
        let encoding = engine.documents().encoding();
        // Positions past the end are clamped, as LSP says.
        let line = |position: lsp::Position| {
            let offset = index.offset(&text, Position { line: position.line, column: position.character }, encoding);
            index.line_of(offset) as u32 + 1
        };
        let (first, mut last) = (line(range.start), line(range.end));
        // A selection that ends at the start of a line does not mean that line.
        if range.end.character == 0 && last > first {
            last -= 1;
        }
        [first.min(last), last.max(first)]
    });
    Ok(Focus { path, lines })
}

/// The byte offset of a position in a text.
pub fn offset(engine: &Engine, text: &str, position: lsp::Position) -> usize {
    let position = Position { line: position.line, column: position.character };
    LineIndex::new(text).offset(text, position, engine.documents().encoding())
}

/// The place of a document in the engine's root.
pub fn path(engine: &Engine, uri: &str) -> Result<RelPath, Error> {
    engine.root().relative_uri(uri).ok_or_else(|| {
        Error::new(
            ErrorKind::BadParams,
            format!("use {uri:?}: it is not a file below {}", engine.root().path().display()),
        )
        .hint("open the folder that holds the file as the workspace")
    })
}

/// An incremental or full change of an open document.
pub fn change(event: ls_types::TextDocumentContentChangeEvent) -> Change {
    let position = |position: ls_types::Position| Position { line: position.line, column: position.character };
    Change { range: event.range.map(|range| position(range.start)..position(range.end)), text: event.text }
}

/// The encoding to speak: the client's first of utf-8 and utf-32, which are cheap here, else utf-16, which all know.
pub fn encoding(capabilities: &ls_types::ClientCapabilities) -> Encoding {
    let offered =
        capabilities.general.as_ref().and_then(|general| general.position_encodings.as_deref()).unwrap_or_default();
    offered
        .iter()
        .find_map(|kind| match kind.as_str() {
            "utf-8" => Some(Encoding::Utf8),
            "utf-32" => Some(Encoding::Utf32),
            _ => None,
        })
        .unwrap_or(Encoding::Utf16)
}
