//! From the protocol's words to the engine's, and back.

use agent_client_protocol::v1::schema::{
    ContentBlock, Diff, EmbeddedResourceResource, Meta, ToolCallContent, ToolCallLocation, ToolKind,
};
use krins_backend::money::dollars;
use krins_core::RelPath;
use krins_core::gate::Verdict;
use krins_core::patch::{ChangeKind, Conflict, Merge, Write};
use krins_core::prompt::Focus;
use krins_core::text::visible;
use krins_engine::Error;
use krins_engine::engine::Outcome;
use krins_engine::pipeline::Intent;
use krins_engine::tasks::Task;
use krins_engine::workspace::{Root, file_path};
use std::path::PathBuf;

/// Files that a prompt may name.
const MOST_NAMED: usize = 32;
/// Findings and places that are told; the rest is counted.
const MOST_TOLD: usize = 8;

/// What a person asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub words: String,
    /// Files of the workspace that the prompt names, with lines where it does.
    pub named: Vec<Focus>,
}

impl Asked {
    /// Text is the task; links and embedded files are what it is about.
    pub fn read(prompt: &[ContentBlock], root: &Root) -> Self {
        let mut asked = Self::default();
        for block in prompt {
            let uri = match block {
                ContentBlock::Text(text) => {
                    asked.words.push_str(&text.text);
                    continue;
                }
                ContentBlock::ResourceLink(link) => &link.uri,
                ContentBlock::Resource(resource) => match &resource.resource {
                    EmbeddedResourceResource::TextResourceContents(text) => &text.uri,
                    _ => continue,
                },
                _ => continue,
            };
            let Some(focus) = place(uri, root) else { continue };
            // A link stands in the sentence, as the person wrote it.
            if matches!(block, ContentBlock::ResourceLink(_)) {
                asked.words.push_str(focus.path.as_str());
            }
            if asked.named.len() < MOST_NAMED && !asked.named.contains(&focus) {
                asked.named.push(focus);
            }
        }
        asked.words = asked.words.trim().to_owned();
        asked
    }

    pub fn intent(&self) -> Intent {
        Intent { words: self.words.clone(), focus: self.named.first().cloned(), ..Intent::default() }
    }
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
pub fn diffs(merge: &Merge, root: &Root) -> Vec<ToolCallContent> {
    merge.writes.iter().filter_map(|write| diff(write, root)).collect()
}

fn diff(write: &Write, root: &Root) -> Option<ToolCallContent> {
    let text = |bytes: Option<&[u8]>| match bytes {
        None => Some(None),
        Some(bytes) => std::str::from_utf8(bytes).ok().map(|text| Some(text.to_owned())),
    };
    let (old, new) = (text(write.current.as_deref())?, text(write.after.as_deref())?);
    let diff = Diff::new(absolute(root, &write.path), new.unwrap_or_default());
    Some(ToolCallContent::Diff(match old {
        Some(old) => diff.old_text(old),
        None => diff,
    }))
}

pub fn locations(merge: &Merge, root: &Root) -> Vec<ToolCallLocation> {
    let first = |write: &Write| {
        let (old, new) = (write.current.as_deref()?, write.after.as_deref()?);
        let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let line = new.get(..same)?.iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(line).ok()
    };
    let location = |write: &Write| {
        let location = ToolCallLocation::new(absolute(root, &write.path));
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

fn absolute(root: &Root, path: &RelPath) -> PathBuf {
    root.path().join(path.as_str())
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
            text += &format!("- {} ({}{tail})\n", plain(reason), shown.join(", "));
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
        for (fragment, lines) in
            [("#L4", Some([4, 4])), ("#L4:7", Some([4, 7])), ("#L9-L3", None), ("#x", None), ("#L0", None)]
        {
            assert_eq!(place(&format!("{}{fragment}", uri("src/a.ts")), &root).unwrap().lines, lines, "{fragment}");
        }
    }
}
