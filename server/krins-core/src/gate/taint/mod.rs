//! Where what others send flows inside one file: from a request, a message or an address, through assignments,
//! patterns, texts put together, and calls of the file's own functions, to where it must not arrive as it is.

mod flow;
pub(super) mod ways;

use super::sast::{Search, rules::TOO_DEEP};
use crate::path::RelPath;
use crate::syntax;
use aho_corasick::AhoCorasick;
use flow::Flow;
use oxc_allocator::Allocator;
use oxc_parser::Parser;
use oxc_semantic::SemanticBuilder;
use std::sync::LazyLock;
use ways::WAYS;

/// Every source is spelled with one of these.
const SPELLINGS: &[&str] = &[
    "req",
    ".query",
    ".params",
    ".body",
    ".headers",
    ".cookies",
    "Request",
    "ctx",
    "context",
    "event.",
    "process.argv",
    "location",
    "earchParams",
    "document.",
    "window.name",
    "message",
    "formData",
    "form.get",
    "fd.get",
    "headers()",
    "cookies()",
    "route",
    "useParams",
    "@Query",
    "@Body",
    "@Param",
];

static SPELLED: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(SPELLINGS).expect("a few short words fit an automaton"));

pub(super) fn warm() {
    LazyLock::force(&WAYS);
    LazyLock::force(&SPELLED);
}

/// The flows of a text that end badly, in the order of the text; none in a text that is in error.
pub(super) fn flows(path: &RelPath, text: &str) -> Search {
    if !SPELLED.is_match(text) {
        return Search::default();
    }
    let types = syntax::source_types(path).unwrap_or_default();
    let read = || {
        types.into_iter().find_map(|source_type| {
            let allocator = Allocator::default();
            let parsed = Parser::new(&allocator, text, source_type).parse();
            if parsed.panicked || parsed.diagnostics.has_errors() {
                return None;
            }
            let program = &*allocator.alloc(parsed.program);
            let scoping = SemanticBuilder::new().build(program).semantic.into_scoping();
            Some(Flow::new(text, &scoping).of(program))
        })
    };
    match syntax::if_shallow(text, read) {
        Some(found) => found.unwrap_or_default(),
        None => Search::without(TOO_DEEP),
    }
}

#[cfg(test)]
mod tests;
