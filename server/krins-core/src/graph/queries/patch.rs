//! Which declarations a unified diff touches: of files as they are before it, or as they are after it, whichever fits.

use super::{Change, SymbolRef};
use crate::graph::{FileFacts, Graph};
use crate::path::RelPath;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why a text is not a diff that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("read the patch: it has no hunk of a unified diff")]
    Empty,
    #[error("read the patch: line {line}: {why}")]
    Malformed { line: usize, why: &'static str },
    #[error("read the patch: it names {path:?}, which cannot be a file of the workspace")]
    Outside { path: String },
}

/// What a diff touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Sorted.
    pub changes: Vec<Change>,
    /// Files of the diff that the graph does not hold: new, deleted, or not code. Sorted.
    pub others: Vec<RelPath>,
    /// Files whose text is neither the diff's old one nor its new one; what is said of them goes by line numbers alone.
    pub stale: Vec<RelPath>,
}

/// The declarations that a unified diff changes; `text` gives the texts that the graph was made of.
pub fn changes(graph: &Graph, patch: &str, text: &dyn Fn(&RelPath) -> Option<Arc<str>>) -> Result<Touched, PatchError> {
    let mut touched = Touched::default();
    let mut all = BTreeSet::new();
    let mut others = BTreeSet::new();
    for (names, hunks) in read(patch)? {
        let here = names.iter().rev().flatten().find(|path| graph.contains(path));
        let (Some(path), Some(text)) = (here, here.and_then(text)) else {
            others.extend(names.into_iter().flatten());
            continue;
        };
        let facts = graph.facts(path).unwrap_or_default();
        let lines: Vec<&str> = text.split('\n').collect();
        let fits = |side: Side| hunks.iter().all(|hunk| hunk.fits(side, &lines));
        let side = match (fits(Side::Old), fits(Side::New)) {
            (true, _) => Side::Old,
            (false, true) => Side::New,
            (false, false) => {
                touched.stale.push(path.clone());
                Side::Old
            }
        };
        for range in hunks.iter().flat_map(|hunk| hunk.changed(side)) {
            declared_at(path, &facts, range, &text, &mut all);
        }
    }
    touched.changes = all.into_iter().collect();
    touched.others = others.into_iter().collect();
    touched.stale.sort();
    Ok(touched)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// A hunk: where it says it is, and its lines with their marks.
#[derive(Debug, Default)]
struct Hunk {
    /// 1-based first lines, old and new.
    starts: [u32; 2],
    lines: Vec<(char, String)>,
}

impl Hunk {
    fn start(&self, side: Side) -> u32 {
        self.starts[usize::from(side == Side::New)]
    }

    fn fits(&self, side: Side, text: &[&str]) -> bool {
        let mut at = self.start(side).max(1) as usize - 1;
        let other = if side == Side::Old { '+' } else { '-' };
        self.lines.iter().filter(|(mark, _)| *mark != other).all(|(_, line)| {
            let same = text.get(at).is_some_and(|there| there.trim_end_matches('\r') == line.trim_end_matches('\r'));
            at += 1;
            same
        })
    }

    /// 1-based inclusive ranges of lines of that side. Where lines are only missing, the line before and the one after.
    fn changed(&self, side: Side) -> Vec<[u32; 2]> {
        let (mine, other) = if side == Side::Old { ('-', '+') } else { ('+', '-') };
        let mut ranges: Vec<[u32; 2]> = Vec::new();
        let mut at = self.start(side).max(1);
        for (mark, _) in &self.lines {
            if *mark == mine {
                ranges.push([at, at]);
            } else if *mark == other {
                ranges.push([at.saturating_sub(1).max(1), at]);
            }
            at += u32::from(*mark != other);
        }
        merged(ranges)
    }
}

/// Where lines were replaced, the places around them are no change of their own.
fn merged(ranges: Vec<[u32; 2]>) -> Vec<[u32; 2]> {
    let exact: BTreeSet<u32> = ranges.iter().filter(|range| range[0] == range[1]).map(|range| range[0]).collect();
    let between = |range: &[u32; 2]| range[0] != range[1] && (exact.contains(&range[0]) || exact.contains(&range[1]));
    let mut ranges: Vec<[u32; 2]> = ranges.into_iter().filter(|range| !between(range)).collect();
    ranges.dedup();
    ranges
}

/// The innermost declarations that lines belong to; what is between two lines belongs to what is around both.
fn declared_at(path: &RelPath, facts: &FileFacts, [first, last]: [u32; 2], text: &str, all: &mut BTreeSet<Change>) {
    let gap = first < last;
    let index = crate::text::LineIndex::new(text);
    let line_of = |at: usize| index.line_of(at) as u32 + 1;
    let holds = |symbol: &crate::graph::Symbol| {
        if gap {
            symbol.lines[0] <= first && last <= symbol.lines[1]
        } else {
            // A comment in front is not the declaration.
            let start = symbol.doc.as_ref().map_or(symbol.lines[0], |doc| line_of(doc.end) + 1);
            start <= first && last <= symbol.lines[1]
        }
    };
    let around = facts.symbols.iter().enumerate().filter(|(_, symbol)| holds(symbol));
    let innermost = around.min_by_key(|(index, symbol)| (symbol.lines[1] - symbol.lines[0], std::cmp::Reverse(*index)));
    match innermost {
        Some((index, _)) => {
            all.insert(Change::Symbol(SymbolRef { path: path.clone(), index }));
        }
        None if is_said(text, &index, first..=last, facts) => {
            all.insert(Change::TopLevel(path.clone()));
        }
        None => {}
    }
}

/// Whether lines hold more than comments in front of declarations and white space.
fn is_said(
    text: &str,
    index: &crate::text::LineIndex,
    lines: std::ops::RangeInclusive<u32>,
    facts: &FileFacts,
) -> bool {
    lines.into_iter().any(|line| {
        let range = index.line_range(line.max(1) as usize - 1);
        let said = text.get(range.clone()).unwrap_or_default().trim();
        let in_doc = |symbol: &crate::graph::Symbol| {
            symbol.doc.as_ref().is_some_and(|doc| doc.start <= range.end && range.start <= doc.end)
        };
        !said.is_empty() && !said.starts_with("//") && !facts.symbols.iter().any(in_doc)
    })
}

/// Old and new name.
type Names = [Option<RelPath>; 2];

fn read(patch: &str) -> Result<Vec<(Names, Vec<Hunk>)>, PatchError> {
    let mut files: Vec<(Names, Vec<Hunk>)> = Vec::new();
    let mut left = [0u32; 2];
    let mut pending: Option<Option<RelPath>> = None;
    for (at, line) in patch.split('\n').enumerate() {
        let malformed = |why| PatchError::Malformed { line: at + 1, why };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if left != [0, 0] {
            let hunk = files.last_mut().and_then(|(_, hunks)| hunks.last_mut()).ok_or(PatchError::Empty)?;
            // Tools take the blank off an empty line.
            let mark = line.chars().next().unwrap_or(' ');
            let takes = match mark {
                ' ' => [1, 1],
                '-' => [1, 0],
                '+' => [0, 1],
                '\\' => continue,
                _ => return Err(malformed("a line of a hunk begins with ' ', '+' or '-'")),
            };
            for (left, takes) in left.iter_mut().zip(takes) {
                *left = left.checked_sub(takes).ok_or_else(|| malformed("the hunk has more lines than it says"))?;
            }
            hunk.lines.push((mark, line.get(1..).unwrap_or_default().to_owned()));
        } else if let Some(name) = line.strip_prefix("--- ") {
            pending = Some(file_name(name)?);
        } else if let (Some(old), Some(name)) = (&pending, line.strip_prefix("+++ ")) {
            files.push(([old.clone(), file_name(name)?], Vec::new()));
            pending = None;
        } else if line.starts_with("@@ ") {
            let (starts, counts) =
                numbers(line).ok_or_else(|| malformed("this is not @@ -line,count +line,count @@"))?;
            let (_, hunks) = files.last_mut().ok_or_else(|| malformed("a hunk stands before any file name"))?;
            hunks.push(Hunk { starts, lines: Vec::new() });
            left = counts;
        }
    }
    if left != [0, 0] {
        return Err(PatchError::Malformed { line: patch.split('\n').count(), why: "the last hunk is cut off" });
    }
    if files.iter().all(|(_, hunks)| hunks.is_empty()) {
        return Err(PatchError::Empty);
    }
    Ok(files)
}

/// The path of a header; `None` for `/dev/null`. Git's `a/` and `b/` go.
fn file_name(name: &str) -> Result<Option<RelPath>, PatchError> {
    let name = name.split('\t').next().unwrap_or_default().trim_end();
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    if name == "/dev/null" {
        return Ok(None);
    }
    let short = name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or(name);
    RelPath::new(short).map(Some).map_err(|_| PatchError::Outside { path: name.chars().take(200).collect() })
}

/// `@@ -12,3 +14,4 @@`.
fn numbers(line: &str) -> Option<([u32; 2], [u32; 2])> {
    let mut parts = line.strip_prefix("@@ ")?.split(' ');
    let mut part = |mark: char| {
        let range = parts.next()?.strip_prefix(mark)?;
        let (start, count) = range.split_once(',').unwrap_or((range, "1"));
        Some((start.parse::<u32>().ok()?, count.parse::<u32>().ok()?))
    };
    let (old, new) = (part('-')?, part('+')?);
    Some(([old.0, new.0], [old.1, new.1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Indexed, ResolveConfig};
    use std::collections::BTreeMap;

    const TEXT: &str = "import { b } from './b';\n\n/** Says a. */\nexport function a() {\n  return b;\n}\n\nexport class C {\n  one() {}\n  two() {\n    return 2;\n  }\n}\nconsole.log(1);\n";

    fn touched(patch: &str) -> Result<Vec<String>, PatchError> {
        let path = RelPath::new("src/a.ts").unwrap();
        let files = BTreeMap::from([(path.clone(), Arc::new(Indexed::of(&path, TEXT)))]);
        let graph = Graph::build(files, Arc::new(ResolveConfig::default()));
        let touched = changes(&graph, patch, &|_| Some(Arc::from(TEXT)))?;
        let facts = graph.facts(&path).unwrap();
        let show = |change: &Change| match change {
            Change::Symbol(symbol) => super::super::qualified_name(&facts, symbol.index),
            Change::File(_) => "file".into(),
            Change::TopLevel(_) => "top".into(),
        };
        let mut shown: Vec<String> = touched.changes.iter().map(show).collect();
        shown.extend(touched.others.iter().map(|path| format!("other {path}")));
        shown.extend(touched.stale.iter().map(|path| format!("stale {path}")));
        Ok(shown)
    }

    fn in_a(hunk: &str) -> String {
        format!("diff --git a/src/a.ts b/src/a.ts\n--- a/src/a.ts\n+++ b/src/a.ts\n{hunk}")
    }

    #[test]
    fn changed_lines_have_their_declarations() {
        for (hunk, expect) in [
            ("@@ -5 +5 @@\n-  return b;\n+  return b();\n", &["a"][..]),
            // Already applied: the numbers are those of the new side.
            ("@@ -9 +11 @@\n-    return 1;\n+    return 2;\n", &["C.two"]),
            ("@@ -3,2 +3,2 @@\n-/** Says a. */\n+/** Says b. */\n export function a() {\n", &[]),
            ("@@ -14 +14 @@\n-console.log(1);\n+console.log(2);\n", &["top"]),
            ("@@ -9,2 +9,3 @@\n   one() {}\n+  three() {}\n   two() {\n", &["C"]),
            ("@@ -10,2 +10,3 @@\n   two() {\n+    log();\n     return 2;\n", &["C.two"]),
            ("@@ -5 +5 @@\n-not there\n+nor this\n", &["a", "stale src/a.ts"]),
        ] {
            assert_eq!(touched(&in_a(hunk)).unwrap(), expect, "{hunk}");
        }
        let other = "--- /dev/null\n+++ b/new.ts\n@@ -0,0 +1 @@\n+export const n = 1;\n";
        assert_eq!(touched(other).unwrap(), ["other new.ts"]);
    }

    #[test]
    fn what_is_no_diff_is_said_with_its_line() {
        for (patch, expect) in [
            ("", "read the patch: it has no hunk of a unified diff"),
            ("hello", "read the patch: it has no hunk of a unified diff"),
            ("@@ -1 +1 @@\n-a\n+b\n", "read the patch: line 1: a hunk stands before any file name"),
            ("--- a/x\n+++ b/x\n@@ nonsense @@\n", "read the patch: line 3: this is not @@ -line,count +line,count @@"),
            ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n", "read the patch: line 5: the last hunk is cut off"),
            (
                "--- a/x\n+++ b/x\n@@ -1 +1 @@\n*a\n",
                "read the patch: line 4: a line of a hunk begins with ' ', '+' or '-'",
            ),
            (
                "--- a/../x\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
                "read the patch: it names \"a/../x\", which cannot be a file of the workspace",
            ),
        ] {
            assert_eq!(touched(patch).unwrap_err().to_string(), expect, "{patch}");
        }
    }
}
