//! Removes imports that nothing in their file uses.

use super::edits::Edits;
use super::module::{Import, ImportName, Module};
use super::program::Program;
use super::{Outcome, RefactorError, finish};
use crate::path::RelPath;
use oxc_span::Span;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

pub(super) fn remove(program: &Program<'_>, files: &[RelPath]) -> Result<Outcome, RefactorError> {
    let modules: Vec<&Module> = match files {
        [] => program.modules.values().collect(),
        files => files.iter().map(|file| program.module(file)).collect::<Result<_, _>>()?,
    };
    let mut edits = BTreeMap::new();
    let mut places = Vec::new();
    let mut count = 0;
    for module in modules {
        let unused = unused(program, module);
        if unused.is_empty() {
            continue;
        }
        count += unused.len();
        places.extend(unused.iter().map(|span| module.place(span.start)));
        let mut file_edits = Edits::default();
        drop_names(module, &unused, &mut file_edits);
        edits.insert(module.path.clone(), file_edits);
    }
    if edits.is_empty() {
        return Err(RefactorError::NothingToDo { why: "every import is used".to_owned() });
    }
    places.truncate(5);
    let mut why = vec![(
        format!(
            "{count} imported name{} never used in {} file{}",
            if count == 1 { " is" } else { "s are" },
            edits.len(),
            if edits.len() == 1 { "" } else { "s" }
        ),
        places,
    )];
    if files.is_empty() && !program.broken.is_empty() {
        why.push((
            "these files do not parse and were left alone".to_owned(),
            program.broken.keys().take(5).map(|path| format!("{path}:1")).collect(),
        ));
    }
    finish(program, edits, why, false)
}

/// Spans of the import names that nothing uses.
fn unused(program: &Program<'_>, module: &Module) -> BTreeSet<Span_> {
    let kept = kept_words(program, module);
    module
        .imports
        .iter()
        .flat_map(|import| import.names.iter().flatten())
        .filter(|name| {
            module.scoping.symbol_is_unused(name.symbol)
                && module.uses(name.symbol).all(|use_| use_.flags.is_none())
                && !kept.contains(name.local.as_str())
        })
        .map(|name| Span_::from(name.span))
        .collect()
}

/// Spans in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span_ {
    pub start: u32,
    pub end: u32,
}

impl From<Span> for Span_ {
    fn from(span: Span) -> Self {
        Self { start: span.start, end: span.end }
    }
}

/// Names that are used without a reference: what JSX compiles to, and what doc comments point at.
fn kept_words(program: &Program<'_>, module: &Module) -> BTreeSet<String> {
    static PRAGMA: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"@jsx(?:Frag)?\s+([\p{L}_$][\p{L}\p{N}_$]*)").ok());
    static DOC: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?:\{@(?:link|linkcode|linkplain)\s+|@see\s+|@throws\s+\{?|@(?:type|param|returns?|typedef|template|extends|augments|implements|satisfies|property|prop|this|enum|callback|import)\b[^\n]*)").ok()
    });
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{L}_$][\p{L}\p{N}_$]*").ok());
    let mut kept = BTreeSet::new();
    for comment in &module.comments {
        let text = module.slice(*comment);
        for found in PRAGMA.iter().flat_map(|regex| regex.captures_iter(text)) {
            kept.extend(found.get(1).map(|word| word.as_str().to_owned()));
        }
        if !text.starts_with("/**") {
            continue;
        }
        for tag in DOC.iter().flat_map(|regex| regex.find_iter(text)) {
            // The tag and what follows on its line, so that `{@link A}` and `@see A` keep A.
            let line_end = text[tag.start()..].find('\n').map_or(text.len(), |at| tag.start() + at);
            let line = &text[tag.start()..line_end];
            kept.extend(WORD.iter().flat_map(|regex| regex.find_iter(line)).map(|word| word.as_str().to_owned()));
        }
    }
    if module.has_jsx {
        kept.extend(jsx_words(program, module));
    }
    kept
}

/// What JSX compiles to under the nearest configuration; `React` unless it is surely not needed.
fn jsx_words(program: &Program<'_>, module: &Module) -> Vec<String> {
    let setting = |name: &str| {
        let mut dir = Some(module.path.dir());
        while let Some(here) = dir {
            for file in ["tsconfig.json", "jsconfig.json"] {
                if let Some(value) = RelPath::join_dir(here, file)
                    .and_then(|path| program.files.get(&path).cloned())
                    .and_then(|text| quoted_setting(&text, name))
                {
                    return Some(value);
                }
            }
            dir = match here {
                "" => None,
                here => Some(here.rsplit_once('/').map_or("", |(dir, _)| dir)),
            };
        }
        None
    };
    let root = |word: String| word.split('.').next().unwrap_or_default().to_owned();
    let mut words: Vec<String> =
        ["jsxFactory", "jsxFragmentFactory", "reactNamespace"].into_iter().filter_map(setting).map(root).collect();
    let automatic = setting("jsx")
        .is_some_and(|mode| matches!(mode.to_ascii_lowercase().as_str(), "react-jsx" | "react-jsxdev" | "preserve"));
    if !automatic {
        words.push("React".to_owned());
    }
    words
}

/// `"name": "value"` in a text that may hold comments.
fn quoted_setting(text: &str, name: &str) -> Option<String> {
    let after = text.split_once(&format!("\"{name}\""))?.1.trim_start();
    let value = after.strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(value.split_once('"')?.0.to_owned())
}

/// Takes the given import names out, and whole statements with their line when nothing is left in them.
pub(super) fn drop_names(module: &Module, unused: &BTreeSet<Span_>, edits: &mut Edits) {
    let mut gone = 0;
    for import in &module.imports {
        let Some(names) = &import.names else { continue };
        let is_unused = |name: &ImportName| unused.contains(&name.span.into());
        if names.is_empty() || !names.iter().any(is_unused) {
            continue;
        }
        if names.iter().all(is_unused) {
            gone += 1;
            edits.delete(with_line(module, import.span));
        } else {
            drop_some(module, import, names, &is_unused, edits);
        }
    }
    let others = module.imports.len() - gone;
    let module_still = others > 0
        || !module.exports.is_empty()
        || module.statements.iter().any(|statement| module.slice(statement.span).starts_with("export"));
    if gone > 0 && !module_still {
        keep_a_module(module, edits);
    }
}

/// A file without imports and exports would become a script, and its names global.
fn keep_a_module(module: &Module, edits: &mut Edits) {
    let newline = super::edits::newline_of(&module.text);
    let end = module.text.len() as u32;
    let break_before = if module.text.ends_with('\n') { "" } else { newline };
    edits.insert(end, &format!("{break_before}export {{}};{newline}"));
}

fn drop_some(
    module: &Module,
    import: &Import,
    names: &[ImportName],
    is_unused: &dyn Fn(&ImportName) -> bool,
    edits: &mut Edits,
) {
    let text = &module.text;
    let braced: Vec<&ImportName> =
        names.iter().filter(|name| matches!(name.imported, super::module::Imported::Name(_))).collect();
    let head = names.iter().find(|name| name.imported == super::module::Imported::Default);
    let tail_namespace = names.iter().find(|name| name.imported == super::module::Imported::Namespace);
    let open = braced.first().and_then(|first| {
        let before = &text[import.span.start as usize..first.span.start as usize];
        before.rfind('{').map(|at| import.span.start + at as u32)
    });
    let close = braced.last().and_then(|last| {
        let after = &text[last.span.end as usize..import.specifier_span.start as usize];
        after.find('}').map(|at| last.span.end + at as u32 + 1)
    });
    let group = match (open, close, tail_namespace) {
        (Some(open), Some(close), _) => Some(Span::new(open, close)),
        (_, _, Some(namespace)) => Some(namespace.span),
        _ => None,
    };
    let group_gone = braced.iter().all(|name| is_unused(name)) && tail_namespace.is_none_or(is_unused);
    match (head, group) {
        (Some(head), Some(group)) if is_unused(head) => {
            edits.delete(Span::new(head.span.start, group.start));
        }
        (Some(head), Some(group)) if group_gone => {
            edits.delete(Span::new(head.span.end, group.end));
            return;
        }
        _ => {}
    }
    let spans: Vec<Span> = braced.iter().map(|name| name.span).collect();
    let gone: BTreeSet<Span_> = braced.iter().filter(|name| is_unused(name)).map(|name| name.span.into()).collect();
    if let Some(close) = close {
        drop_from_list(module, &spans, &gone, close, edits);
    }
}

/// Takes names out of `{ a, b, c }`, each with the comma and the blanks that belong to it.
pub(super) fn drop_from_list(module: &Module, names: &[Span], gone: &BTreeSet<Span_>, close: u32, edits: &mut Edits) {
    let is_gone = |name: &Span| gone.contains(&Span_::from(*name));
    let Some(last_kept) = names.iter().rposition(|name| !is_gone(name)) else {
        return;
    };
    let comma = |at: usize| {
        let end = names.get(at + 1).map_or(close, |next| next.start);
        code_byte(module, names.get(at)?.end, end, b',')
    };
    for (at, name) in names.iter().enumerate().filter(|(_, name)| is_gone(name)) {
        let end = comma(at).map_or(name.end, |comma| comma + 1);
        if at < last_kept {
            let whole = with_line(module, Span::new(name.start, end));
            let next = names.get(at + 1).map_or(end, |next| next.start);
            edits.delete(if whole.end > end { whole } else { Span::new(name.start, next) });
            continue;
        }
        // After the last kept name each goes with the blanks before it, so that a closing brace stays where it is.
        let start = at.checked_sub(1).and_then(comma).map_or(name.start, |before| after_comment(module, before + 1));
        edits.delete(Span::new(start, end));
    }
    let ends_bare = last_kept + 1 < names.len() && comma(names.len() - 1).is_none();
    if let (true, Some(comma)) = (ends_bare, comma(last_kept)) {
        edits.delete(Span::new(comma, comma + 1));
    }
}

/// The first `byte` between two offsets that is not in a comment.
fn code_byte(module: &Module, from: u32, to: u32, byte: u8) -> Option<u32> {
    (from..to).find(|at| {
        module.text.as_bytes().get(*at as usize) == Some(&byte)
            && !module.comments.iter().any(|comment| comment.start <= *at && *at < comment.end)
    })
}

/// The end of a comment that follows on the same line, or `at` itself.
fn after_comment(module: &Module, at: u32) -> u32 {
    let rest = &module.text[at as usize..];
    let line_end = at + rest.find('\n').unwrap_or(rest.len()) as u32;
    module
        .comments
        .iter()
        .filter(|comment| comment.start >= at && comment.end <= line_end)
        .filter(|comment| module.slice(Span::new(at, comment.start)).trim().is_empty())
        .map(|comment| comment.end)
        .max()
        .unwrap_or(at)
}

/// The span with the rest of its line, when nothing else stands on it.
pub(super) fn with_line(module: &Module, span: Span) -> Span {
    let text = &module.text;
    let before = &text[..span.start as usize];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    if !before[line_start..].trim_start_matches('\u{feff}').trim().is_empty() {
        return span;
    }
    let after = &text[span.end as usize..];
    let rest = after.find('\n').map_or(after.len(), |at| at + 1);
    if !after[..rest].trim().is_empty() {
        return span;
    }
    // A byte order mark is no part of the line.
    let bom = before[line_start..].len() - before[line_start..].trim_start_matches('\u{feff}').len();
    Span::new((line_start + bom) as u32, span.end + rest as u32)
}
