//! Plain English to a [`Refactoring`]. A sentence is understood whole or not at all.

use super::{RefactorError, Refactoring};
use crate::path::RelPath;
use crate::prompt::Focus;
use regex::{Captures, Regex, RegexBuilder};
use std::sync::LazyLock;

/// An identifier, in quotes or backticks or bare; the quotes are checked by trimming.
const NAME: &str = r#"[`'"“”‘’]?([\p{L}_$][\p{L}\p{N}_$]*)[`'"“”‘’]?(?:\(\))?"#;
/// A path with a slash or a known extension.
const PATH: &str = r#"[`'"“”‘’]?((?:\./)?[^\s`'"“”‘’]*?[^\s`'"“”‘’,.;:!?])[`'"“”‘’]?"#;
const KIND: &str = r"(?:(?:the|our|my|this)\s+)?(?:exported\s+)?(?:(?:async\s+)?(?:function|functions|class|constant|const|variable|var|type|type\s+alias|interface|enum|component|hook|helper|method|symbol|export|declaration|namespace|identifier|util|utility)\s+)?(?:called\s+|named\s+)?";
const IN: &str = r"(?:\s+(?:(?:in|from|inside|of|defined\s+in|declared\s+in|exported\s+(?:from|by))\s+(?:(?P<focus>this\s+(?:file|module)|the\s+(?:current|open|active)\s+(?:file|module)|here)|(?:the\s+)?(?:file\s+|module\s+)?(?P<file>PATHHERE))|(?P<here>here)))?";
/// Two files or more, as they stand in a list.
const LIST: &str = r"\s+(?:in|from|inside|of)\s+(?P<files>PATHHERE(?:(?:\s*,\s*(?:and\s+)?|\s+(?:and|&)\s+)PATHHERE)+)";
const EVERYWHERE: &str = r"(?:\s*,?\s*(?:and\s+(?:update|fix|change|adjust)\s+(?:all\s+|every\s+|its\s+|the\s+|their\s+)*(?:of\s+)?(?:its\s+|the\s+)?(?:imports?|importers|usages?|uses|references|callers|call\s+sites|import\s+statements)(?:\s+of\s+it)?|everywhere|globally|across\s+the\s+(?:whole\s+)?(?:code\s?base|project|workspace|repo|repository)|in\s+(?:all|every)\s+files?|in\s+the\s+(?:whole|entire)\s+(?:project|code\s?base|workspace|repo|repository)|throughout(?:\s+the\s+(?:project|code\s?base|workspace|repo|repository))?|project[- ]wide|workspace[- ]wide|and\s+everywhere\s+it\s+is\s+used|wherever\s+it\s+is\s+used))*";

const KIND_AFTER: &str = r"(?:\s+(?:function|class|constant|const|variable|type|interface|enum|component|hook|helper|symbol|export|utility))?";

type Build = fn(&Captures<'_>, Option<&Focus>) -> Option<Refactoring>;

static GRAMMAR: LazyLock<Vec<(Regex, Build)>> = LazyLock::new(|| {
    let rows: Vec<(String, Build)> = vec![
        (
            format!(
                r"rename\s+{KIND}(?P<a>{NAME}){KIND_AFTER}{IN}\s+(?:to|into|as|->|=>|→)\s+(?:be\s+)?(?:called\s+)?(?P<b>{NAME}){IN2}{EVERYWHERE}",
                IN2 = IN.replace("file>", "file2>").replace("focus>", "focus2>").replace("here>", "here2>")
            ),
            build_rename,
        ),
        (
            format!(
                r"(?:change|switch|update)\s+the\s+name\s+of\s+{KIND}(?P<a>{NAME}){KIND_AFTER}{IN}\s+(?:to|into)\s+(?P<b>{NAME}){EVERYWHERE}"
            ),
            build_rename,
        ),
        (
            format!(
                r"change\s+{KIND}(?P<a>{NAME}){KIND_AFTER}(?:'s)?\s+name{IN}\s+(?:to|into)\s+(?P<b>{NAME}){EVERYWHERE}"
            ),
            build_rename,
        ),
        (
            format!(
                r"(?:give|call)\s+{KIND}(?P<a>{NAME}){KIND_AFTER}{IN}\s+(?:the\s+(?:new\s+)?name\s+|instead\s+)(?P<b>{NAME}){EVERYWHERE}"
            ),
            build_rename,
        ),
        (
            format!(
                r"(?:move|relocate|transfer)\s+{KIND}(?P<a>{NAME}){KIND_AFTER}{IN}\s+(?:out\s+)?(?:to|into|over\s+to)\s+(?:the\s+|a\s+|its\s+own\s+)?(?:new\s+)?(?:file\s+|module\s+)?(?P<to>{PATH}){EVERYWHERE}"
            ),
            build_move,
        ),
        (
            format!(
                r"(?:move|relocate|transfer)\s+{KIND}(?P<a>{NAME}){KIND_AFTER}\s+(?:to|into)\s+(?:the\s+)?(?:file\s+|module\s+)?(?P<to>{PATH})\s+(?:from|out\s+of)\s+(?P<file>{PATH}){EVERYWHERE}"
            ),
            build_move,
        ),
        (
            format!(
                r"(?:remove|delete|drop|clean\s+up|clean|clear|prune|strip|get\s+rid\s+of|tidy\s+up|tidy)\s+(?:all\s+|any\s+|every\s+)*(?:of\s+)?(?:the\s+|my\s+)?(?:unused|dead|unnecessary|unneeded|superfluous)\s+imports?(?:\s+statements?)?(?:{LIST}|{IN}){EVERYWHERE}"
            ),
            build_unused,
        ),
        (
            format!(
                r"(?:remove|delete|drop|clean\s+up|clean|tidy\s+up|tidy)\s+(?:all\s+)?(?:the\s+)?imports?\s+(?:that\s+are|which\s+are)\s+(?:unused|not\s+used|never\s+used){IN}{EVERYWHERE}"
            ),
            build_unused,
        ),
        (
            format!(
                r"(?:turn|convert|change|transform|refactor|make|switch|rewrite)\s+(?:the\s+)?default\s+export{IN}\s+(?:to\s+be\s+|to\s+|into\s+|as\s+|be\s+)?(?:an?\s+)?named(?:\s+(?:export|one))?(?:\s*,?\s*(?:called|named|as)\s+(?P<b>{NAME}))?{EVERYWHERE}"
            ),
            build_default,
        ),
        (
            format!(
                r"(?:turn|convert|change|transform|refactor|switch|rewrite)\s+(?:(?P<focus>this\s+(?:file|module))|(?P<file>{PATH}))\s+from\s+(?:a\s+|its\s+)?default\s+(?:export\s+)?to\s+(?:a\s+)?named(?:\s+exports?)?(?:\s+(?:called|named)\s+(?P<b>{NAME}))?{EVERYWHERE}"
            ),
            build_default,
        ),
    ];
    rows.into_iter()
        .filter_map(|(pattern, build)| {
            let pattern = pattern.replace("PATHHERE", PATH);
            let regex = RegexBuilder::new(&format!(r"^(?:{pattern})$"))
                .case_insensitive(true)
                .size_limit(20_000_000)
                .build()
                .ok()?;
            Some((regex, build))
        })
        .collect()
});

pub(super) fn understand(intent: &str, focus: Option<&Focus>) -> Result<Refactoring, RefactorError> {
    let sentence = plain(intent);
    let found = (sentence.len() <= 2_000)
        .then(|| {
            GRAMMAR
                .iter()
                .find_map(|(regex, build)| regex.captures(&sentence).and_then(|captures| build(&captures, focus)))
        })
        .flatten();
    found.ok_or_else(|| RefactorError::NotUnderstood { intent: intent.chars().take(200).collect() })
}

/// One line without politeness and final punctuation.
fn plain(intent: &str) -> String {
    static POLITE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)^(?:(?:hi|hey|ok|okay|please|pls|krins|kindly|now|then)\b[\s,:!]*|(?:can|could|would|will)\s+you\s+(?:please\s+)?|i\s+(?:want|would\s+like|need|'d\s+like)\s+(?:you\s+)?to\s+|let'?s\s+|we\s+(?:should|need\s+to|want\s+to)\s+)").ok()
    });
    let mut text = intent.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some(found) = POLITE.as_ref().and_then(|polite| polite.find(&text)) {
        text.drain(..found.end());
    }
    loop {
        let short = text.trim_end_matches(['.', '!', '?', ';', ',', ' ']).to_owned();
        let lower = short.to_ascii_lowercase();
        let cut = [" please", " pls", " thanks", " thank you", " for me", " now"]
            .iter()
            .find(|tail| lower.ends_with(*tail))
            .map_or(short.len(), |tail| short.len() - tail.len());
        let next = short.get(..cut).unwrap_or(&short).to_owned();
        if next == text {
            return text;
        }
        text = next;
    }
}

fn name(captures: &Captures<'_>, group: &str) -> Option<String> {
    let word = captures
        .name(group)?
        .as_str()
        .trim_end_matches("()")
        .trim_matches(['`', '\'', '"', '“', '”', '‘', '’'])
        .trim_end_matches("()");
    (!word.is_empty()).then(|| word.to_owned())
}

/// The file a clause names: `Ok(None)` without a clause, `Err` when the words are no file.
fn file(captures: &Captures<'_>, focus: Option<&Focus>) -> Result<Option<RelPath>, ()> {
    let here = ["focus", "focus2", "here", "here2"];
    if here.iter().any(|group| captures.name(group).is_some()) {
        return focus.map(|focus| Some(focus.path.clone())).ok_or(());
    }
    let Some(words) = captures.name("file").or_else(|| captures.name("file2")) else {
        return Ok(None);
    };
    let words = words.as_str().trim_matches(['`', '\'', '"', '“', '”', '‘', '’']);
    path(words).map(Some).ok_or(())
}

fn is_here(words: &str) -> bool {
    words.eq_ignore_ascii_case("here")
}

fn path(words: &str) -> Option<RelPath> {
    let known = [".ts", ".tsx", ".js", ".jsx", ".mts", ".cts", ".mjs", ".cjs"];
    let looks = words.contains('/') || known.iter().any(|extension| words.ends_with(extension));
    looks.then(|| RelPath::new(words.trim_end_matches('/')).ok()).flatten()
}

fn build_rename(captures: &Captures<'_>, focus: Option<&Focus>) -> Option<Refactoring> {
    Some(Refactoring::Rename {
        from: name(captures, "a")?,
        to: name(captures, "b")?,
        file: file(captures, focus).ok()?,
    })
}

fn build_move(captures: &Captures<'_>, focus: Option<&Focus>) -> Option<Refactoring> {
    let to = captures.name("to")?.as_str().trim_matches(['`', '\'', '"', '“', '”', '‘', '’']);
    let to = if is_here(to) { focus?.path.clone() } else { path(to)? };
    Some(Refactoring::Move { symbol: name(captures, "a")?, file: file(captures, focus).ok()?, to })
}

fn build_unused(captures: &Captures<'_>, focus: Option<&Focus>) -> Option<Refactoring> {
    let files = match captures.name("files") {
        Some(list) => listed(list.as_str())?,
        None => file(captures, focus).ok()?.into_iter().collect(),
    };
    Some(Refactoring::RemoveUnusedImports { files })
}

/// Every file of a list, each once; none where a word of it is no file.
fn listed(list: &str) -> Option<Vec<RelPath>> {
    let quotes = ['`', '\'', '"', '“', '”', '‘', '’'];
    let words = list.split([' ', ',']).filter(|word| !matches!(*word, "" | "and" | "&"));
    let mut files: Vec<RelPath> = words.map(|word| path(word.trim_matches(quotes))).collect::<Option<_>>()?;
    files.sort();
    files.dedup();
    Some(files)
}

fn build_default(captures: &Captures<'_>, focus: Option<&Focus>) -> Option<Refactoring> {
    let file = file(captures, focus).ok()?.or_else(|| focus.map(|focus| focus.path.clone()))?;
    Some(Refactoring::DefaultToNamed { file, name: name(captures, "b") })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_of_the_grammar_compiles() {
        assert_eq!(super::GRAMMAR.len(), 10);
    }

    #[test]
    fn words_that_are_also_kinds_can_be_names() {
        for (from, to) in [("type", "kind"), ("helper", "util"), ("to", "into")] {
            let understood = super::understand(&format!("rename {from} to {to}"), None);
            assert!(
                matches!(&understood, Ok(super::Refactoring::Rename { from: f, to: t, .. }) if f == from && t == to),
                "{from} {to}: {understood:?}"
            );
        }
    }
}
