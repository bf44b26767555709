//! From the protocol's words to the engine's, and back.

use agent_client_protocol::v1::schema::{
    ContentBlock, Diff, EmbeddedResourceResource, Meta, ToolCallContent, ToolCallLocation, ToolKind,
};
use krins_backend::money::dollars;
use krins_core::RelPath;
use krins_core::gate::Verdict;
use krins_core::patch::{ChangeKind, Conflict, Merge, Write};
use krins_core::prompt::Focus;
use krins_core::refactor::{self, Refactoring};
use krins_core::text::visible;
use krins_engine::Error;
use krins_engine::engine::Outcome;
use krins_engine::pipeline::Intent;
use krins_engine::tasks::Task;
use krins_engine::workspace::{Root, file_path};
use std::path::Path;

/// Files that a prompt may name.
const MOST_NAMED: usize = 32;
/// Bytes of a sentence that is looked at for what needs no model; none of those is longer.
const LONGEST_SENTENCE: usize = 4 << 10;
/// Characters of a name that is told.
const LONGEST_NAME: usize = 120;
/// Findings and places that are told; the rest is counted.
const MOST_TOLD: usize = 8;

/// What a person asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub words: String,
    /// Files of the workspace that the prompt names, with lines where it does.
    pub named: Vec<Focus>,
    /// What came with it and is no file of the workspace, by the client's name for it.
    pub left_out: Vec<String>,
}

impl Asked {
    /// Text is the task; links and embedded files are what it is about. Both stand in the sentence where the person put them,
    /// in place of words: Zed sends nothing else for a file that is mentioned.
    pub fn read(prompt: &[ContentBlock], root: &Root) -> Self {
        let mut asked = Self::default();
        let (mut full, mut bare) = (Sentence::default(), Sentence::default());
        let linked = |path: &RelPath| {
            prompt.iter().any(|block| match block {
                ContentBlock::Text(text) => names(&text.text, path.as_str()),
                ContentBlock::ResourceLink(link) => place(&link.uri, root).is_some_and(|focus| focus.path == *path),
                _ => false,
            })
        };
        for block in prompt {
            let (uri, name) = match block {
                ContentBlock::Text(text) => {
                    full.text(&text.text);
                    bare.text(&text.text);
                    continue;
                }
                ContentBlock::ResourceLink(link) => (link.uri.as_str(), link.name.as_str()),
                ContentBlock::Resource(resource) => match &resource.resource {
                    EmbeddedResourceResource::TextResourceContents(text) => (text.uri.as_str(), text.uri.as_str()),
                    EmbeddedResourceResource::BlobResourceContents(blob) => (blob.uri.as_str(), blob.uri.as_str()),
                    _ => ("", "a resource"),
                },
                ContentBlock::Image(_) => ("", "a picture"),
                ContentBlock::Audio(_) => ("", "a recording"),
                _ => ("", "what this version does not know"),
            };
            let Some(focus) = place(uri, root) else {
                if !is_root(uri, root) {
                    asked.left_out.push(name.chars().take(LONGEST_NAME).collect());
                }
                continue;
            };
            if let Some(symbol) = symbol(uri) {
                // No file, but a name in one: it is a word of every sentence.
                full.mention(&symbol);
                bare.mention(&symbol);
            } else if matches!(block, ContentBlock::ResourceLink(_)) || !linked(&focus.path) {
                // What is embedded may come beside words, or a link, that name it.
                full.mention(focus.path.as_str());
                bare.mention("");
            }
            if asked.named.len() < MOST_NAMED && !asked.named.contains(&focus) {
                asked.named.push(focus);
            }
        }
        asked.words = sentence(full.words.trim(), bare.words.trim(), &asked.named);
        asked
    }

    pub fn intent(&self) -> Intent {
        let (focus, pinned) = (self.named.first().cloned(), self.named.clone());
        Intent { words: self.words.clone(), focus, pinned, ..Intent::default() }
    }
}

/// Words and mentions, with room between them.
#[derive(Default)]
struct Sentence {
    words: String,
    after_mention: bool,
}

impl Sentence {
    fn text(&mut self, text: &str) {
        if self.after_mention && text.starts_with(char::is_alphanumeric) {
            self.words.push(' ');
        }
        self.words.push_str(text);
        self.after_mention = false;
    }

    fn mention(&mut self, path: &str) {
        let open = |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '{' | '"' | '\'' | '`' | '“' | '‘');
        if !self.words.is_empty() && !self.words.ends_with(open) {
            self.words.push(' ');
        }
        self.words.push_str(path);
        self.after_mention = true;
    }
}

/// The words that are the task. Where the mentions are no part of a sentence that is understood without a model, but stand
/// before or behind it, they say where it is meant; so does what a client attaches of itself.
fn sentence(full: &str, bare: &str, named: &[Focus]) -> String {
    if bare.is_empty() || matches!(bare, "/undo" | "/redo") {
        return bare.to_owned();
    }
    let understood = |words: &str| refactor::understand(words, named.first());
    if full == bare || full.len() > LONGEST_SENTENCE || understood(full).is_ok() {
        return full.to_owned();
    }
    match understood(bare) {
        // Its scope is all that it has: what is mentioned is never made the whole workspace.
        Ok(Refactoring::RemoveUnusedImports { files }) if files.is_empty() => {
            let paths: Vec<&str> = named.iter().map(|focus| focus.path.as_str()).collect();
            let scoped = format!("{} in {}", bare.trim_end_matches(['.', '!', ' ']), paths.join(", "));
            if understood(&scoped).is_ok() { scoped } else { full.to_owned() }
        }
        Ok(_) => bare.to_owned(),
        Err(_) => full.to_owned(),
    }
}

/// Whether a text names a path: as a word of its own, not as a part of a longer one.
fn names(text: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    text.match_indices(path).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + path.len()..]);
        let before = before.strip_suffix("./").unwrap_or(before);
        let after = after.strip_prefix('.').unwrap_or(after);
        !before.ends_with(|c| part(c) || c == '.') && !after.starts_with(part)
    })
}

/// What is mentioned and cannot be used.
pub fn left_out(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(MOST_TOLD).map(|name| code(name)).collect();
    let more = names.len().saturating_sub(MOST_TOLD);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("Left out, because Krins takes files of this workspace alone: {}{tail}.\n\n", shown.join(", "))
}

/// The name in `file:///root/src/a.ts?symbol=total#L3:9`, which is how Zed mentions a symbol.
fn symbol(uri: &str) -> Option<String> {
    let uri = url::Url::parse(uri).ok()?;
    let (_, name) = uri.query_pairs().find(|(key, _)| key == "symbol")?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    (!name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(plain)).then(|| name.into_owned())
}

fn is_root(uri: &str, root: &Root) -> bool {
    let file = file_path(uri.split('#').next().unwrap_or(uri));
    file.is_some_and(|file| file == root.path())
}

/// `file:///root/src/a.ts#L3-L9`.
fn place(uri: &str, root: &Root) -> Option<Focus> {
    let (file, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let path = root.relative(&file_path(file)?)?;
    let number = |text: &str| text.trim_start_matches('L').parse::<u32>().ok().filter(|line| *line > 0);
    let (first, last) = fragment.split_once(['-', ':']).unwrap_or((fragment, fragment));
    let lines = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    Some(Focus { path, lines: lines.map(|(first, last)| [first, last]) })
}

/// The caller's trace, as `_meta` says it.
pub fn trace(meta: Option<&Meta>) -> (Option<String>, Option<String>) {
    let text = |name: &str| meta?.get(name)?.as_str().map(str::to_owned);
    match text("traceparent") {
        Some(parent) => (Some(parent), text("tracestate")),
        None => (std::env::var("TRACEPARENT").ok(), std::env::var("TRACESTATE").ok()),
    }
}

pub fn failure(error: &Error) -> agent_client_protocol::Error {
    let report = crate::to_proto::error(error);
    let data = serde_json::to_value(&report.data).unwrap_or_default();
    let code = i32::try_from(error.kind.json_rpc_code()).unwrap_or(-32603);
    agent_client_protocol::Error::new(code, report.message).data(data)
}

/// An error as a person reads it.
pub fn said(error: &Error) -> String {
    let hint = error.hint.as_ref().filter(|hint| !hint.is_empty());
    let hint = hint.map_or(String::new(), |hint| format!("\n\n{}", plain(hint)));
    format!("Krins failed to {}.{hint}\n", plain(&error.message))
}

/// A model's words, or a repository's, as one line of Markdown that says nothing but them: no heading, no link, no picture that
/// the client would fetch, no verdict of their own.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in visible(text).split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        for c in word.chars() {
            if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '!' | '|' | '~' | '&') {
                plain.push('\\');
            }
            plain.push(c);
        }
    }
    plain
}

/// A name in the repository, as code.
fn code(name: &str) -> String {
    format!("`{}`", visible(name).replace(['`', '\n', '\r'], "'"))
}

/// What a change would make of each file, as the client draws it. What is not text has no diff.
pub fn diffs(merge: &Merge, cwd: &Path) -> Vec<ToolCallContent> {
    merge.writes.iter().filter_map(|write| diff(write, cwd)).collect()
}

fn diff(write: &Write, cwd: &Path) -> Option<ToolCallContent> {
    let text = |bytes: Option<&[u8]>| match bytes {
        None => Some(None),
        Some(bytes) => std::str::from_utf8(bytes).ok().map(|text| Some(text.to_owned())),
    };
    let (old, new) = (text(write.current.as_deref())?, text(write.after.as_deref())?);
    let diff = Diff::new(cwd.join(write.path.as_str()), new.unwrap_or_default());
    Some(ToolCallContent::Diff(match old {
        Some(old) => diff.old_text(old),
        None => diff,
    }))
}

pub fn locations(merge: &Merge, cwd: &Path) -> Vec<ToolCallLocation> {
    let first = |write: &Write| {
        let (old, new) = (write.current.as_deref()?, write.after.as_deref()?);
        let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let line = new.get(..same)?.iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(line).ok()
    };
    let location = |write: &Write| {
        let location = ToolCallLocation::new(cwd.join(write.path.as_str()));
        match first(write) {
            Some(line) => location.line(line),
            None => location,
        }
    };
    merge.writes.iter().map(location).collect()
}

pub fn kind(merge: &Merge) -> ToolKind {
    let all = |kind: ChangeKind| !merge.writes.is_empty() && merge.writes.iter().all(|write| write.kind == kind);
    if all(ChangeKind::Delete) { ToolKind::Delete } else { ToolKind::Edit }
}

pub fn title(merge: &Merge) -> String {
    match merge.writes.as_slice() {
        [only] => format!("Change {}", only.path),
        many => format!("Change {} files", many.len()),
    }
}

/// Who answered, why, what it cost, and what the gate says: in Markdown.
pub fn account(task: &Task) -> String {
    let mut text = String::new();
    if let Some(answered) = &task.answered {
        for (reason, places) in &answered.why {
            let shown: Vec<String> = places.iter().take(4).map(|place| code(&place.to_string())).collect();
            let more = places.len().saturating_sub(shown.len());
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            let places = if shown.is_empty() { String::new() } else { format!(" ({}{tail})", shown.join(", ")) };
            text += &format!("- {}{places}\n", plain(reason));
        }
        let cached = if answered.cached { ", from the cache" } else { "" };
        let cost = match task.cost() {
            Some(0) => String::new(),
            Some(micros) => format!(", {}", dollars(micros)),
            None => ", at a price that is not known".to_owned(),
        };
        text += &format!("\nAnswered by `{}`{cached}{cost}; {} tokens of context.\n", answered.route, task.tokens);
        if let Some(why) = &answered.degraded {
            text += &format!("Instead of what was asked for: {}.\n", plain(why));
        }
    }
    let Some(report) = &task.report else { return text };
    text += match report.verdict {
        Verdict::Pass => "\n**The gate lets it through.**\n",
        Verdict::Warn => "\n**The gate lets it through, with warnings.**\n",
        Verdict::Block => "\n**The gate blocks it. Nothing is applied.**\n",
    };
    for finding in report.findings.iter().take(MOST_TOLD) {
        let line = finding.lines.map_or(String::new(), |[first, _]| format!(":{first}"));
        let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!(" {}", plain(fix)));
        let place = code(&format!("{}{line}", finding.path));
        text += &format!("- {place} {} (`{}`){fix}\n", plain(&finding.message), finding.rule);
    }
    let more = report.findings.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        text += &format!("- and {more} more: `krins diff {}`\n", task.id);
    }
    text
}

/// Why a change cannot be merged onto what the files are now.
pub fn conflicts(conflicts: &[Conflict]) -> String {
    let mut text = "The files went on in the same places. Nothing was written.\n".to_owned();
    for conflict in conflicts.iter().take(MOST_TOLD) {
        let [first, last] = conflict.lines;
        text += &format!("- {}\n", code(&format!("{}:{first}-{last}", conflict.path)));
    }
    text + "\nAsk again: the answer will be about the files as they are now.\n"
}

/// What was done, in Markdown.
pub fn done(outcome: &Outcome, verb: &str) -> String {
    let applied = &outcome.applied;
    let Some(_) = &applied.id else { return "Nothing to change: the files hold it already.\n".to_owned() };
    let files = applied.files.len();
    let mut text = format!("{verb} {files} {}.", if files == 1 { "file" } else { "files" });
    for left in &applied.left_alone {
        let path = code(&left.path.to_string());
        text += &format!("\n- {path} was left alone: somebody else changed it at that moment.");
    }
    if let Some(pending) = &applied.pending {
        text += &format!("\n- The clean-up is pending: {pending}.");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_client_protocol::v1::schema::{ResourceLink, TextContent};

    /// A client draws Markdown, also above the question whether to apply.
    #[test]
    fn what_a_model_or_a_repository_says_is_words_and_nothing_else() {
        let said = plain("![x](https://evil.example/?q=1)\n\n**The gate lets it through.**\u{202e} <img src=x>");
        let words = r"\!\[x\](https://evil.example/?q=1) \*\*The gate lets it through.\*\*\\u{202e} \<img src=x\>";
        assert_eq!(said, words);
        assert_eq!(code("a`\n# b`.ts"), "`a''# b'.ts`");
    }

    #[test]
    fn a_text_names_a_path_that_stands_there_alone() {
        for text in ["src/a.ts", "in ./src/a.ts.", "@src/a.ts, now", "(`src/a.ts`)"] {
            assert!(names(text, "src/a.ts"), "{text}");
        }
        for text in ["lib/src/a.ts", "src/a.tsx", "src/a.ts.bak", "../src/a.ts", "mysrc/a.ts", "a.ts", ""] {
            assert!(!names(text, "src/a.ts"), "{text}");
        }
    }

    #[test]
    fn mentions_are_words_where_they_stand_in_the_sentence() {
        let path = |path: &str| Focus { path: RelPath::new(path).unwrap(), lines: None };
        let named = [path("a.ts"), path("b.ts")];
        for (full, bare, words) in [
            ("move x to a.ts", "move x to", "move x to a.ts"),
            ("a.ts rename x to y", "rename x to y", "rename x to y"),
            ("make a.ts like b.ts", "make like", "make a.ts like b.ts"),
            ("remove unused imports. a.ts b.ts", "remove unused imports.", "remove unused imports in a.ts, b.ts"),
            // Two scopes are none.
            (
                "remove unused imports everywhere a.ts b.ts",
                "remove unused imports everywhere",
                "remove unused imports everywhere a.ts b.ts",
            ),
            ("/undo a.ts", "/undo", "/undo"),
            ("a.ts b.ts", "", ""),
        ] {
            assert_eq!(sentence(full, bare, &named), words, "{full}");
        }
    }

    #[test]
    fn a_prompt_is_words_and_the_files_that_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let uri = |path: &str| url::Url::from_file_path(root.path().join(path)).unwrap().to_string();
        let prompt = [
            ContentBlock::Text(TextContent::new("rename a in ")),
            ContentBlock::ResourceLink(ResourceLink::new("a.ts", format!("{}#L3-L9", uri("src/a.ts")))),
            ContentBlock::Text(TextContent::new(" to b\n")),
            ContentBlock::ResourceLink(ResourceLink::new("passwd", "file:///etc/passwd")),
            ContentBlock::ResourceLink(ResourceLink::new("web", "https://example.com/a.ts")),
        ];
        let asked = Asked::read(&prompt, &root);
        assert_eq!(asked.words, "rename a in src/a.ts to b");
        let path = RelPath::new("src/a.ts").unwrap();
        assert_eq!(asked.named, [Focus { path: path.clone(), lines: Some([3, 9]) }]);
        assert_eq!(asked.left_out, ["passwd", "web"]);
        // A symbol is its name, a directory its path, and the root is nothing that could be left out.
        let link = |uri: String| ContentBlock::ResourceLink(ResourceLink::new("x", uri));
        let text = |text: &str| ContentBlock::Text(TextContent::new(text));
        let prompt = [
            text("rename "),
            link(format!("{}?symbol=total#L3:4", uri("src/a.ts"))),
            text(" to sum "),
            link(uri("")),
            link(format!("{}/", uri("src/b"))),
        ];
        let asked = Asked::read(&prompt, &root);
        assert_eq!((asked.words.as_str(), asked.left_out.len()), ("rename total to sum", 0));
        assert_eq!(asked.named[0], Focus { path: path.clone(), lines: Some([3, 4]) });
        assert_eq!(symbol("file:///a.ts?symbol=a%20in%20b.ts"), None);
        for (fragment, lines) in
            [("#L4", Some([4, 4])), ("#L4:7", Some([4, 7])), ("#L9-L3", None), ("#x", None), ("#L0", None)]
        {
            assert_eq!(place(&format!("{}{fragment}", uri("src/a.ts")), &root).unwrap().lines, lines, "{fragment}");
        }
    }
}
