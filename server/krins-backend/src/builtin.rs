//! The keyless provider: refactorings understood in plain English and carried out by exact scopes. Sends nothing anywhere.

use crate::Usage;
use crate::error::{Fault, ProviderError};
use crate::provider::{DeltaSink, Finished, Kind, ModelRequest, Provider, Stopped};
use async_trait::async_trait;
use krins_core::RelPath;
use krins_core::graph::{self, Graph};
use krins_core::patch::{Change, Patch};
use krins_core::prompt::{Item, Prompt};
use krins_core::refactor::{self, Outcome, RefactorError, Refactoring};
use krins_core::text::LineIndex;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Builtin;

#[async_trait]
impl Provider for Builtin {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
        let Some(prompt) = request.prompt.map(|prompt| prompt.get().clone()) else {
            return Err(ProviderError::new(Fault::Refused, "the built-in refactorings hold no conversations")
                .with_hint("name a model: `provider/model`, or set a provider in the user settings"));
        };
        let (text, why) = tokio::task::spawn_blocking(move || answer(&prompt))
            .await
            .map_err(|_| ProviderError::new(Fault::Internal, "the refactoring panicked"))??;
        sink.delta(&text);
        Ok(Finished {
            text,
            model: Kind::Builtin.default_model().unwrap_or_default().to_owned(),
            usage: Usage::default(),
            response_id: None,
            why,
            stopped: Stopped::Whole,
        })
    }
}

type Why = Vec<(String, Vec<String>)>;

/// The refactoring as a canonical unified diff.
fn answer(prompt: &Prompt) -> Result<(String, Why), ProviderError> {
    let refactoring = refactor::understand(&prompt.intent, prompt.focus.as_ref()).map_err(refused)?;
    let files = whole_files(prompt);
    let refactoring = aim(refactoring, prompt, &files);
    let outcome = refactor::perform(&refactoring, &files).map_err(refused)?;
    let patch = Patch::between(changes(&files, &outcome));
    if patch.is_empty() {
        return Err(refused(RefactorError::NothingToDo { why: "every file is as it should be already".into() }));
    }
    Ok((patch.unified().to_owned(), outcome.why))
}

/// Only the active file's own facts decide, so the graph holds no other.
fn aim(refactoring: Refactoring, prompt: &Prompt, files: &BTreeMap<RelPath, Arc<str>>) -> Refactoring {
    let focus = prompt.focus.as_ref();
    let active = focus.and_then(|focus| {
        Some((focus.path.clone(), Arc::new(graph::Indexed::of(&focus.path, files.get(&focus.path)?))))
    });
    refactor::aim(refactoring, focus, &Graph::build(active.into_iter().collect(), Arc::default()))
}

fn refused(error: RefactorError) -> ProviderError {
    ProviderError::new(Fault::Refused, error.to_string()).with_hint(error.hint())
}

fn whole_files(prompt: &Prompt) -> BTreeMap<RelPath, Arc<str>> {
    prompt
        .items
        .iter()
        .filter(|item| is_whole(item))
        .map(|item| (item.path.clone(), Arc::from(item.text.as_str())))
        .collect()
}

/// A text that ends with a line end has an empty last line, which a range may or may not count.
fn is_whole(item: &Item) -> bool {
    let lines = LineIndex::new(&item.text).line_count() as u32;
    item.verbatim
        && (item.text.is_empty()
            || item.is_whole(lines)
            || item.text.ends_with(['\n', '\r']) && item.is_whole(lines - 1))
}

fn changes(files: &BTreeMap<RelPath, Arc<str>>, outcome: &Outcome) -> Vec<Change> {
    outcome
        .files
        .iter()
        .map(|(path, after)| Change {
            path: path.clone(),
            from: None,
            before: files.get(path).map(|text| Arc::from(text.as_bytes())),
            after: after.as_ref().map(|text| Arc::from(text.as_bytes())),
            executable: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::Digest;

    fn item(text: &str, ranges: Vec<[u32; 2]>, verbatim: bool) -> Item {
        Item {
            path: RelPath::new("a.ts").unwrap(),
            digest: Digest::of(text),
            ranges,
            verbatim,
            text: text.into(),
            tokens: 1,
            reason: String::new(),
        }
    }

    #[test]
    fn only_whole_files_are_worked_on() {
        for (text, ranges, verbatim, whole) in [
            ("a\nb\n", vec![[1, 2]], true, true),
            ("a\nb\n", vec![[1, 3]], true, true),
            ("a\nb", vec![[1, 2]], true, true),
            ("a\nb", vec![[1, 1]], true, false),
            ("a\nb\n", vec![[2, 3]], true, false),
            ("a\nb\n", vec![[1, 2]], false, false),
            ("a\nb\n", vec![[1, 1], [2, 2]], true, false),
            ("", vec![], true, true),
        ] {
            assert_eq!(is_whole(&item(text, ranges.clone(), verbatim)), whole, "{text:?} {ranges:?} {verbatim}");
        }
    }

    #[test]
    fn a_rename_comes_out_as_a_canonical_diff() {
        let text = "export function total() {\n    return 1;\n}\n";
        let prompt = Prompt {
            version: 1,
            intent: "rename total to sum".into(),
            focus: None,
            items: vec![item(text, vec![[1, 3]], true)],
        };
        let (diff, why) = answer(&prompt).unwrap();
        assert!(diff.contains("--- a/a.ts\n+++ b/a.ts\n@@ "), "{diff}");
        assert!(diff.contains("-export function total() {\n+export function sum() {\n"), "{diff}");
        assert!(!why.is_empty() && why.len() <= 3);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_advice() {
        let prompt = Prompt {
            version: 1,
            intent: "make everything better".into(),
            focus: None,
            items: vec![item("export const a = 1;\n", vec![[1, 1]], true)],
        };
        let error = answer(&prompt).unwrap_err();
        assert_eq!(error.fault, Fault::Refused);
        assert!(error.detail.contains("make everything better"), "{error}");
    }
}
