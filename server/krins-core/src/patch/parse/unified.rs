//! Unified diffs, with or without git's headers, numbers or fences. Counts only separate files and show a cut.

use super::super::Refusal;
use super::super::ir::{Action, Body, FileOp, HunkLine, Mark, RawHunk};
use super::super::names::unquote;
use super::v4a::marked;
use super::{Parts, fence, refuse};
use std::collections::BTreeSet;

pub(super) fn first_marker(lines: &[&str]) -> Option<usize> {
    (0..lines.len()).find(|at| {
        let next = |n: usize| lines.get(at + n).copied().unwrap_or_default();
        lines[*at].starts_with("diff --git ")
            || is_names(lines[*at], next(1))
            || next(0).starts_with("+++ ") && next(1).starts_with("@@")
            || next(0).starts_with("@@ -")
            || next(0).starts_with("Binary files ")
    })
}

fn is_names(first: &str, second: &str) -> bool {
    first.starts_with("--- ") && second.starts_with("+++ ")
}

/// Whether a `---` and a `+++` line name one file, or one of them `/dev/null`.
fn names_agree(old: &str, new: &str) -> bool {
    match (name(&old[4..]), name(&new[4..])) {
        (Ok(old), Ok(new)) => {
            let (old_bare, new_bare) = strip(&old, &new);
            old == NULL || new == NULL || old_bare == new_bare && old.contains(['/', '.'])
        }
        _ => false,
    }
}

pub(super) fn parse(lines: &[&str]) -> Result<Parts, Refusal> {
    let mut parser =
        Parser { lines, at: 0, files: Vec::new(), repairs: Vec::new(), fence: None, last: None, closed: false };
    parser.run()?;
    parser.check_cut()?;
    let repairs = parser.repairs;
    let files = parser.files.into_iter().map(Section::finish).collect::<Result<Vec<_>, _>>()?;
    Ok((files, repairs))
}

/// What the headers of one file say.
#[derive(Default)]
struct Section {
    /// The names of the `diff --git` line, when it can be taken apart.
    git: Option<(String, String)>,
    old: Option<String>,
    new: Option<String>,
    rename: [Option<String>; 2],
    old_mode: Option<String>,
    new_mode: Option<String>,
    created: bool,
    deleted: bool,
    copied: bool,
    hunks: Vec<RawHunk>,
}

/// How the last hunk ended, against what its header says.
struct LastHunk {
    short: bool,
    /// It has more lines than its header says on one side: the header is wrong, not the hunk.
    over: bool,
    ends_changed: bool,
    counted: bool,
}

struct Parser<'a> {
    lines: &'a [&'a str],
    at: usize,
    files: Vec<Section>,
    repairs: Vec<String>,
    /// The fence that the parser is inside of.
    fence: Option<(char, usize)>,
    last: Option<LastHunk>,
    /// The fence around the last hunk was closed, so the model had come to its end.
    closed: bool,
}

impl Parser<'_> {
    fn line(&self, ahead: usize) -> &str {
        self.lines.get(self.at + ahead).copied().unwrap_or_default()
    }

    fn run(&mut self) -> Result<(), Refusal> {
        // A section begins with its first header; `None` where a hunk would belong to no file.
        let mut open = false;
        while self.at < self.lines.len() {
            let line = self.line(0).to_owned();
            if let Some((mark, count, _)) = fence(&line) {
                self.fence = match self.fence {
                    Some((open, length)) if open == mark && count >= length => {
                        self.closed = true;
                        None
                    }
                    None => Some((mark, count)),
                    inside => inside,
                };
                open = false;
                self.at += 1;
            } else if let Some(names) = line.strip_prefix("diff --git ") {
                self.files.push(Section { git: git_names(names), ..Section::default() });
                self.at += 1;
                self.extended()?;
                open = true;
            } else if is_names(&line, self.line(1)) {
                let pending = open && self.files.last().is_some_and(|file| file.new.is_none() && file.hunks.is_empty());
                if !pending {
                    self.files.push(Section::default());
                }
                let (old, new) = (name(&line[4..])?, name(&self.line(1)[4..])?);
                if let Some(file) = self.files.last_mut() {
                    file.old = Some(old);
                    file.new = Some(new);
                }
                self.at += 2;
                open = true;
            } else if line.starts_with("+++ ") && self.line(1).starts_with("@@") {
                self.files.push(Section { new: Some(name(&line[4..])?), ..Section::default() });
                self.at += 1;
                open = true;
            } else if line.starts_with("@@") && open {
                self.hunk(&line)?;
            } else if line.starts_with("@@ -") {
                return Err(refuse("", "a hunk stands before any file name"));
            } else if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
                return Err(refuse("", "it changes a binary file"));
            } else {
                self.at += 1;
            }
        }
        Ok(())
    }

    fn extended(&mut self) -> Result<(), Refusal> {
        while self.at < self.lines.len() {
            let line = self.line(0).to_owned();
            let Some(file) = self.files.last_mut() else { return Ok(()) };
            let take = |prefix: &str| line.strip_prefix(prefix).map(str::to_owned);
            if let Some(mode) = take("old mode ") {
                file.old_mode = Some(mode);
            } else if let Some(mode) = take("new mode ") {
                file.new_mode = Some(mode);
            } else if let Some(mode) = take("new file mode ") {
                file.created = true;
                file.new_mode = Some(mode);
            } else if let Some(mode) = take("deleted file mode ") {
                file.deleted = true;
                file.old_mode = Some(mode);
            } else if let Some(from) = take("rename from ") {
                file.rename[0] = Some(decoded(&from)?);
            } else if let Some(to) = take("rename to ") {
                file.rename[1] = Some(decoded(&to)?);
            } else if line.starts_with("copy from ") || line.starts_with("copy to ") {
                file.copied = true;
            } else if !line.starts_with("index ")
                && !line.starts_with("similarity index ")
                && !line.starts_with("dissimilarity index ")
            {
                return Ok(());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn hunk(&mut self, header: &str) -> Result<(), Refusal> {
        let numbers = numbers(header)?;
        self.at += 1;
        let mut body: Vec<HunkLine> = Vec::new();
        let mut seen = Seen::default();
        while self.at < self.lines.len() {
            let line = self.line(0);
            let done = numbers.is_some_and(|n| seen.old >= n.old_len && seen.new >= n.new_len);
            if line.starts_with('\\') {
                if let Some(last) = body.last_mut() {
                    last.no_newline = true;
                }
                self.at += 1;
                continue;
            }
            if self.ends_hunk(line, &seen, numbers) || done && !line.starts_with(['+', '-', ' ']) {
                break;
            }
            let line = marked(line);
            seen.count(line.mark);
            body.push(line);
            self.at += 1;
        }
        trim_tail(&mut body, &mut seen, numbers);
        self.closed = false;
        self.last = Some(LastHunk {
            short: numbers.is_some_and(|n| seen.old < n.old_len || seen.new < n.new_len),
            over: numbers.is_some_and(|n| seen.old > n.old_len || seen.new > n.new_len),
            ends_changed: body.last().is_some_and(|line| line.mark != Mark::Keep),
            counted: numbers.is_some(),
        });
        let miscounted = numbers.is_some_and(|n| (seen.old, seen.new) != (n.old_len, n.new_len));
        if let Some(file) = self.files.last_mut() {
            file.hunks.push(RawHunk {
                body: Body::Marked(body),
                hint: numbers.filter(|n| n.old_start > 0).map(|n| n.old_start),
                at_end: false,
                section: section(header),
                repairs: miscounted.then_some("wrong line counts").into_iter().collect(),
            });
        }
        Ok(())
    }

    /// Whether the line belongs to no hunk, whatever the counts say.
    fn ends_hunk(&self, line: &str, seen: &Seen, numbers: Option<Numbers>) -> bool {
        if line.starts_with("@@")
            || line.starts_with("diff --git ")
            || line.starts_with("Binary files ")
            || line.starts_with("GIT binary patch")
        {
            return true;
        }
        if self.fence.is_some_and(|(mark, count)| {
            fence(line).is_some_and(|(found, length, info)| found == mark && length >= count && info.is_empty())
        }) {
            return true;
        }
        let names = is_names(line, self.line(1)) && self.line(2).starts_with("@@");
        // `--- x` is also how a removed line `-- x` looks: it is one when the counts come out with it, and the next
        // line does not name the same file.
        let agree = names && names_agree(line, self.line(1));
        let inside = !agree && numbers.is_some_and(|n| seen.old + 1 == n.old_len && seen.new + 1 == n.new_len);
        let only_new =
            line.starts_with("+++ ") && self.line(1).starts_with("@@") && numbers.is_none_or(|n| seen.new >= n.new_len);
        names && !inside || only_new
    }

    /// The last hunk of a whole answer has all its lines.
    fn check_cut(&self) -> Result<(), Refusal> {
        let cut = match &self.last {
            Some(last) if last.short && !last.over && last.ends_changed && !self.closed => true,
            Some(last) => self.fence.is_some() && (last.short || !last.counted),
            None => false,
        };
        if cut {
            return Err(refuse("", "the last hunk is shorter than it says: the answer was cut off"));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    old: u32,
    new: u32,
}

impl Seen {
    fn count(&mut self, mark: Mark) {
        self.old += u32::from(mark != Mark::Add);
        self.new += u32::from(mark != Mark::Cut);
    }
}

/// Blank lines between a hunk and what follows it are no context, unless the counts ask for them.
fn trim_tail(body: &mut Vec<HunkLine>, seen: &mut Seen, numbers: Option<Numbers>) {
    while body.last().is_some_and(|line| line.bare && line.text.is_empty())
        && numbers.is_none_or(|n| seen.old > n.old_len)
    {
        body.pop();
        seen.old -= 1;
        seen.new -= 1;
    }
}

/// What a `@@` line says behind its second `@@`.
fn section(header: &str) -> Vec<String> {
    let text = header.trim_start_matches('@').split_once("@@").map_or("", |(_, text)| text.trim());
    Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter().collect()
}

#[derive(Clone, Copy)]
struct Numbers {
    old_start: u32,
    old_len: u32,
    new_len: u32,
}

/// The numbers of a `@@` line; `None` when it has none.
fn numbers(header: &str) -> Result<Option<Numbers>, Refusal> {
    let inner = header.trim_start_matches('@').trim_start();
    let mut words = inner.split_whitespace();
    let (Some(old), Some(new)) =
        (words.next().and_then(|w| w.strip_prefix('-')), words.next().and_then(|w| w.strip_prefix('+')))
    else {
        return Ok(None);
    };
    let range = |text: &str| -> Result<Option<(u32, u32)>, Refusal> {
        let (start, len) = text.split_once(',').unwrap_or((text, "1"));
        if !start.bytes().chain(len.bytes()).all(|byte| byte.is_ascii_digit()) || start.is_empty() || len.is_empty() {
            return Ok(None);
        }
        match (start.parse::<u32>(), len.parse::<u32>()) {
            (Ok(start), Ok(len)) if start < u32::MAX / 2 && len < u32::MAX / 2 => Ok(Some((start, len))),
            _ => Err(refuse("", "a hunk's line numbers are out of any file's range")),
        }
    };
    Ok(range(old)?.zip(range(new)?).map(|((old_start, old_len), (_, new_len))| Numbers { old_start, old_len, new_len }))
}

fn decoded(name: &str) -> Result<String, Refusal> {
    unquote(name).ok_or_else(|| refuse(name, "its name is quoted in no way that git knows"))
}

/// The name of a `---` or `+++` line: quoted, or up to a tab (a time follows), or with a remark in brackets.
fn name(text: &str) -> Result<String, Refusal> {
    if text.starts_with('"') {
        let end = text.rfind('"').unwrap_or(0);
        return decoded(&text[..=end]);
    }
    let name = text.split('\t').next().unwrap_or_default();
    let name = [" (original)", " (modified)", " (old)", " (new)", " (updated)"]
        .iter()
        .find_map(|remark| name.strip_suffix(remark))
        .unwrap_or(name);
    Ok(name.to_owned())
}

/// Both names of a `diff --git` line, when there is one way to read it.
fn git_names(text: &str) -> Option<(String, String)> {
    if let Some(rest) = text.strip_prefix('"') {
        let end = rest.find("\" ")?;
        return Some((unquote(&text[..end + 2])?, unquote(&rest[end + 2..])?));
    }
    if let Some((old, new)) = text.split_once(" b/").filter(|(_, new)| !new.contains(" b/")) {
        return Some((old.to_owned(), format!("b/{new}")));
    }
    let (old, new) = text.split_once(' ')?;
    (!new.contains(' ')).then(|| (old.to_owned(), unquote(new).unwrap_or_default()))
}

const NULL: &str = "/dev/null";

impl Section {
    fn finish(self) -> Result<FileOp, Refusal> {
        let mut repairs = Vec::new();
        let (old, new) = self.names(&mut repairs)?;
        let path = new.clone().or_else(|| old.clone()).unwrap_or_default();
        self.check_modes(&path)?;
        let executable = self.new_mode.as_deref().filter(|_| !self.deleted).map(|mode| mode == "100755");
        let unstripped = self.new.clone().filter(|name| *name != path && name != NULL);
        let action = match (&old, &new) {
            (_, None) => Action::Delete(self.hunks.clone()),
            (None, Some(_)) => Action::Create(Vec::new()),
            _ => Action::Edit(self.hunks.clone()),
        };
        // The hunks of a file that is edited keep their own.
        if !matches!(action, Action::Edit(_)) {
            let mended: BTreeSet<&str> = self.hunks.iter().flat_map(|hunk| &hunk.repairs).copied().collect();
            repairs.extend(mended.into_iter().map(str::to_owned));
        }
        let mut file = FileOp { unstripped, executable, repairs, ..FileOp::new(path, action) };
        if let (None, Some(_)) = (&old, &new) {
            create(&mut file, &self.hunks)?;
        }
        if let [Some(from), Some(_)] = self.rename {
            file.from = Some(from);
        }
        Ok(file)
    }

    /// The old and the new name, `None` for `/dev/null`.
    fn names(&self, repairs: &mut Vec<String>) -> Result<(Option<String>, Option<String>), Refusal> {
        if self.copied {
            return Err(refuse(&self.shown(), "it copies a file"));
        }
        let git = self.git.as_ref().map(|(old, new)| strip(old, new));
        let (old, new) = match (&self.rename, &self.old, &self.new) {
            ([Some(from), Some(to)], _, _) => (Some(from.clone()), Some(to.clone())),
            (_, Some(old), Some(new)) if old == NULL => (None, Some(strip("a/", new).1)),
            (_, Some(old), Some(new)) if new == NULL => (Some(strip(old, "b/").0), None),
            (_, Some(old), Some(new)) => {
                let (old, new) = strip(old, new);
                (Some(old), Some(new))
            }
            (_, None, Some(new)) => {
                let new = strip("a/", new).1;
                repairs.push("the `---` line was missing".into());
                (Some(new.clone()), Some(new))
            }
            _ => {
                let (old, new) = git.clone().ok_or_else(|| refuse("", "a file header names no file"))?;
                (Some(old).filter(|_| !self.created), Some(new).filter(|_| !self.deleted))
            }
        };
        self.check_names(old, new, git)
    }

    fn check_names(
        &self,
        old: Option<String>,
        new: Option<String>,
        git: Option<(String, String)>,
    ) -> Result<(Option<String>, Option<String>), Refusal> {
        let renamed = self.rename.iter().all(Option::is_some);
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        if old.is_none() && new.is_none() {
            return Err(refuse("", "a file header names no file"));
        }
        if differ(&old, &new) && !renamed {
            return Err(refuse(&self.shown(), "its headers name two different files"));
        }
        if let Some((git_old, git_new)) = git
            && (differ(&old, &Some(git_old)) || differ(&new, &Some(git_new)))
        {
            return Err(refuse(&self.shown(), "its headers name two different files"));
        }
        Ok((old, new))
    }

    fn shown(&self) -> String {
        self.new.clone().or_else(|| self.old.clone()).unwrap_or_default()
    }

    fn check_modes(&self, path: &str) -> Result<(), Refusal> {
        for mode in [&self.old_mode, &self.new_mode].into_iter().flatten() {
            match mode.trim_end() {
                "100644" | "100755" | "100664" => {}
                "120000" => return Err(refuse(path, "it makes or changes a symbolic link")),
                "160000" => return Err(refuse(path, "it makes or changes a submodule")),
                _ => return Err(refuse(path, "its file mode is neither 100644 nor 100755")),
            }
        }
        Ok(())
    }
}

/// Takes `a/` and `b/` off when the two names have them as git writes them.
fn strip(old: &str, new: &str) -> (String, String) {
    let plain = |name: &str| {
        let name = if name.contains('\\') && !name.contains('/') { name.replace('\\', "/") } else { name.to_owned() };
        name.strip_prefix("./").map(str::to_owned).unwrap_or(name)
    };
    let (old, new) = (plain(old), plain(new));
    match (old.strip_prefix("a/"), new.strip_prefix("b/")) {
        (Some(old), Some(new)) => (old.to_owned(), new.to_owned()),
        _ => (old, new),
    }
}

/// Turns the hunks of a created file into its text.
fn create(file: &mut FileOp, hunks: &[RawHunk]) -> Result<(), Refusal> {
    let mut text = Vec::new();
    for hunk in hunks {
        let Body::Marked(lines) = &hunk.body else { continue };
        for line in lines {
            match line.mark {
                Mark::Add => {
                    file.no_newline = line.no_newline;
                    text.push(format!("{}{}", line.text, if line.cr { "\r" } else { "" }));
                }
                Mark::Keep if line.text.trim().is_empty() => text.push(String::new()),
                _ => {
                    return Err(refuse(&file.path, "a new file's hunk has lines that are not added"));
                }
            }
        }
    }
    file.action = Action::Create(text);
    Ok(())
}
