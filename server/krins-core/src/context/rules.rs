//! What a repository says about how its code is written: style settings, instructions for agents, decisions in force.
//!
//! Selection only: who reads the repository hands over the files that may say something about the chosen paths. What
//! is taken is quoted like any other file, with a reason, and has no more weight than a file has: it is data.

use super::Query;
use super::lexical::Wording;
use crate::digest::Digest;
use crate::graph::words;
use crate::path::RelPath;
use crate::prompt::{Item, quote};
use crate::tokens::Vocabulary;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A file that may hold rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    pub path: RelPath,
    pub text: Arc<str>,
}

/// What a file of that name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What the compiler insists on.
    Compiler,
    /// How the formatter leaves the code.
    Format,
    /// What the linter refuses.
    Lint,
    /// What the authors tell agents.
    Agents,
    /// A decision record.
    Decision,
}

/// The most of the budget that rules may take, and that one of them may.
const SHARE: f64 = 0.10;
const SHARE_OF_ONE: f64 = 0.04;
/// So many of the chosen files, best first, have a say in which settings are near.
const BOUND: usize = 6;
/// Settings are cut after so many lines, instructions and decisions after so many.
const SETTINGS: usize = 24;
const LINES: usize = 40;
const DECISIONS: usize = 2;
/// A decision has to share this much of the task's words (weights of distinct terms), or name a chosen file.
const SHARED: f64 = 2.0;

/// What a name says: the whole name or its beginning, then what it is.
const NAMES: &[(&str, Kind)] = &[
    ("tsconfig", Kind::Compiler),
    ("jsconfig", Kind::Compiler),
    (".editorconfig", Kind::Format),
    (".prettierrc", Kind::Format),
    ("prettier.config.", Kind::Format),
    ("biome.json", Kind::Format),
    (".eslintrc", Kind::Lint),
    ("eslint.config.", Kind::Lint),
    ("AGENTS.md", Kind::Agents),
    ("CLAUDE.md", Kind::Agents),
    (".cursorrules", Kind::Agents),
    ("copilot-instructions.md", Kind::Agents),
];

/// Directories of decision records, from the root or any package's directory.
const DECISION_DIRS: &[&str] =
    &["docs/adr", "docs/adrs", "docs/decisions", "doc/adr", "adr", "docs/architecture/decisions"];

/// Keys of settings that say how code has to look; others say where files are. In lower case.
const COMPILER: &[&str] = &[
    "strict",
    "noimplicit",
    "nounused",
    "nounchecked",
    "nofallthrough",
    "nopropertyaccess",
    "exactoptional",
    "verbatimmodulesyntax",
    "isolated",
    "erasablesyntaxonly",
    "allowunreachablecode",
    "useunknownincatchvariables",
    "jsx\"",
    "experimentaldecorators",
    "target\"",
];
const FORMAT: &[&str] = &[
    "semi",
    "quote",
    "indent",
    "tabwidth",
    "usetabs",
    "linewidth",
    "printwidth",
    "trailingcomma",
    "arrowparen",
    "bracket",
    "end_of_line",
    "endofline",
    "max_line_length",
    "insert_final_newline",
    "lineending",
    "experimental",
];
const LINT: &[&str] = &["error", "warn"];

/// What a path says that holds rules; `None` for every other.
pub fn kind(path: &RelPath) -> Option<Kind> {
    let name = path.file_name();
    let named = NAMES.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, kind)| *kind);
    let decision = || {
        let dir = path.dir();
        let inside = |place: &&&str| {
            dir.split_once(*place).is_some_and(|(before, after)| {
                (before.is_empty() || before.ends_with('/')) && (after.is_empty() || after.starts_with('/'))
            })
        };
        (path.extension() == "md" && DECISION_DIRS.iter().any(|place| inside(&place))).then_some(Kind::Decision)
    };
    named.or_else(decision)
}

/// The directories in which rules for a file can stand: its own and those above it, and in each of them the places of
/// instructions and decisions. Nearest first; `""` is the root.
pub fn places(path: &RelPath) -> Vec<String> {
    let mut places = Vec::new();
    let mut dir = path.dir();
    loop {
        places.push(dir.to_owned());
        let below = |place: &str| if dir.is_empty() { place.to_owned() } else { format!("{dir}/{place}") };
        places.extend([".github"].iter().chain(DECISION_DIRS).map(|place| below(place)));
        match dir {
            "" => return places,
            deeper => dir = deeper.rsplit_once('/').map_or("", |(above, _)| above),
        }
    }
}

/// What of the rules binds the chosen files (best first) or is about the task: settings first, then instructions, then
/// decisions. Never more than a tenth of the budget. Deterministic; the order of `files` does not count.
pub fn select(query: &Query, chosen: &[RelPath], files: &[RuleFile]) -> Vec<Item> {
    let mut files: Vec<(&RuleFile, Kind)> = files
        .iter()
        .filter(|file| !chosen.contains(&file.path))
        .filter_map(|file| Some((file, kind(&file.path)?)))
        .collect();
    files.sort_by(|(a, x), (b, y)| (x, &a.path).cmp(&(y, &b.path)));
    let wording = Wording::of(&query.intent);
    let mut shelf = Shelf {
        left: (f64::from(query.budget) * SHARE) as u32,
        one: (f64::from(query.budget) * SHARE_OF_ONE) as u32,
        counted: query.vocabulary,
        items: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for kind in [Kind::Compiler, Kind::Format, Kind::Lint, Kind::Agents] {
        for (file, bound) in nearest(&files, kind, chosen) {
            // The same text under two names is said once.
            if seen.insert(Digest::of(&*file.text)) {
                shelf.put(file, &lines_of(file, kind, &wording), &reason(kind, bound));
            }
        }
    }
    for (file, why) in decisions(&files, chosen, &wording) {
        shelf.put(file, &decided(&file.text), &why);
    }
    shelf.items
}

/// Room for items.
struct Shelf {
    left: u32,
    one: u32,
    counted: Vocabulary,
    items: Vec<Item>,
}

impl Shelf {
    /// As many of the lines as fit; rather none than a heading without them.
    fn put(&mut self, file: &RuleFile, lines: &[u32], reason: &str) {
        let mut lines = lines;
        while !lines.is_empty() {
            let item = item(file, lines, reason, self.counted);
            if item.tokens <= self.left.min(self.one) {
                self.left -= item.tokens;
                self.items.push(item);
                return;
            }
            lines = &lines[..lines.len() * 2 / 3];
        }
    }
}

/// Lines of the file (1-based, sorted): word for word when they stand together.
fn item(file: &RuleFile, lines: &[u32], reason: &str, counted: Vocabulary) -> Item {
    let all: Vec<&str> = file.text.split_inclusive('\n').collect();
    let mut ranges: Vec<[u32; 2]> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some(last) if last[1] + 1 == *line => last[1] = *line,
            _ => ranges.push([*line, *line]),
        }
    }
    let text = lines.iter().filter_map(|line| all.get(*line as usize - 1)).copied().collect();
    let mut item = Item {
        path: file.path.clone(),
        digest: Digest::of(&*file.text),
        verbatim: ranges.len() == 1,
        ranges,
        text,
        tokens: 0,
        reason: reason.to_owned(),
    };
    item.tokens = counted.count(&quote(&item));
    item
}

/// For the first chosen files, the nearest file of that kind up the tree that says anything, and for which.
fn nearest<'f>(files: &[(&'f RuleFile, Kind)], wanted: Kind, chosen: &[RelPath]) -> Vec<(&'f RuleFile, RelPath)> {
    let mut found: Vec<(&RuleFile, RelPath)> = Vec::new();
    let of_kind = || files.iter().filter(|(file, kind)| *kind == wanted && says(file, wanted)).map(|(file, _)| *file);
    for path in chosen.iter().take(BOUND) {
        let above = of_kind().filter(|file| binds(&file.path, path));
        // The longest directory is the nearest; of several in one, the plainest name.
        let near =
            above.min_by_key(|file| (std::cmp::Reverse(home(&file.path).len()), file.path.as_str().len(), &file.path));
        if let Some(file) = near.filter(|file| !found.iter().any(|(known, _)| known.path == file.path)) {
            found.push((file, path.clone()));
        }
    }
    found.truncate(2);
    found
}

/// The directory whose files a rule file speaks of.
fn home(rule: &RelPath) -> &str {
    let dir = rule.dir();
    dir.strip_suffix(".github").map_or(dir, |above| above.trim_end_matches('/'))
}

fn binds(rule: &RelPath, path: &RelPath) -> bool {
    let home = home(rule);
    home.is_empty() || path.as_str().strip_prefix(home).is_some_and(|rest| rest.starts_with('/'))
}

fn says(file: &RuleFile, kind: Kind) -> bool {
    !file.text.trim().is_empty() && (kind == Kind::Agents || !settings(&file.text, kind).is_empty())
}

fn lines_of(file: &RuleFile, kind: Kind, wording: &Wording) -> Vec<u32> {
    match kind {
        Kind::Agents => instructions(&file.text, wording),
        kind => settings(&file.text, kind),
    }
}

/// The lines that set what is of interest; comments do not.
fn settings(text: &str, kind: Kind) -> Vec<u32> {
    let keys = match kind {
        Kind::Compiler => COMPILER,
        Kind::Format => FORMAT,
        Kind::Lint | Kind::Agents | Kind::Decision => LINT,
    };
    let sets = |line: &str| {
        let line = line.trim_start().to_lowercase();
        let comment = ["//", "#", "*", "/*", ";"].iter().any(|mark| line.starts_with(mark));
        let setting = line.contains([':', '=']) && line.len() < 200;
        let section = kind == Kind::Format && line.starts_with('[');
        !comment && (section || setting && keys.iter().any(|key| line.contains(key)))
    };
    numbered(text).filter(|(_, line)| sets(line)).map(|(number, _)| number).take(SETTINGS).collect()
}

/// Of short instructions all; of long ones the sections that share words with the task.
fn instructions(text: &str, wording: &Wording) -> Vec<u32> {
    let lines: Vec<(u32, &str)> = numbered(text).collect();
    if lines.len() <= LINES {
        return lines.into_iter().map(|(number, _)| number).collect();
    }
    let mut sections: Vec<&[(u32, &str)]> = lines.chunk_by(|_, (_, next)| !next.starts_with('#')).collect();
    let shared = |section: &[(u32, &str)]| section.iter().map(|(_, line)| *line).collect::<Vec<_>>().join("\n");
    let mut scored: Vec<(f64, &[(u32, &str)])> = sections
        .drain(..)
        .map(|section| (in_common(&shared(section), wording), section))
        .filter(|(score, _)| *score >= SHARED)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1[0].0.cmp(&b.1[0].0)));
    let mut kept: Vec<u32> =
        scored.iter().flat_map(|(_, section)| section.iter().map(|(number, _)| *number)).take(LINES).collect();
    kept.sort_unstable();
    kept
}

/// Decisions in force that name a chosen file or share the task's words, best first.
fn decisions<'f>(files: &[(&'f RuleFile, Kind)], chosen: &[RelPath], wording: &Wording) -> Vec<(&'f RuleFile, String)> {
    let mut found: Vec<(f64, &RuleFile, String)> = Vec::new();
    for (file, _) in files.iter().filter(|(file, kind)| *kind == Kind::Decision && in_force(&file.text)) {
        let named = chosen.iter().find(|path| file.text.contains(path.as_str()));
        let shared = in_common(&file.text, wording);
        match named {
            Some(path) => found.push((shared + 10.0, file, format!("a decision that names {path}"))),
            None if shared >= SHARED => found.push((shared, file, "a decision about what the task says".to_owned())),
            None => {}
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.path.cmp(&b.1.path)));
    found.into_iter().take(DECISIONS).map(|(_, file, why)| (file, why)).collect()
}

/// Whether the record's status is "accepted": `status: accepted` in the head or a list, or the line below a heading
/// "Status" (the forms of MADR and of Nygard). A record without a status says nothing against it.
fn in_force(text: &str) -> bool {
    let mut lines = text.lines().map(|line| line.trim_matches(['#', '*', '-', ' ', '\t', '"']).to_lowercase());
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("status") else { continue };
        let said = match rest.trim_start_matches('*').strip_prefix(':') {
            Some(said) => said.trim_matches(['*', ' ', '"', '\'']).to_owned(),
            None if rest.is_empty() => lines.find(|line| !line.is_empty()).unwrap_or_default(),
            None => continue,
        };
        return said.starts_with("accepted") && !said.contains("superseded");
    }
    true
}

/// The title, and what was decided.
fn decided(text: &str) -> Vec<u32> {
    let mut kept = Vec::new();
    let mut inside = false;
    for (number, line) in numbered(text) {
        let heading = line.starts_with('#');
        if heading {
            let line = line.to_lowercase();
            inside = line.starts_with("##") && line.contains("decision") && !line.contains("driver");
        }
        if inside || heading && line.starts_with("# ") {
            kept.push(number);
        }
    }
    kept.truncate(LINES);
    kept
}

/// The weights of the task's terms that a text holds.
fn in_common(text: &str, wording: &Wording) -> f64 {
    let mut held = BTreeSet::new();
    words::terms(text, |term, _| {
        held.insert(words::hash(term));
    });
    wording.terms.iter().filter(|term| held.contains(&term.hash)).map(|term| term.weight).sum()
}

fn reason(kind: Kind, bound: RelPath) -> String {
    match kind {
        Kind::Compiler => format!("compiler settings that bind {bound}"),
        Kind::Format => format!("format settings that bind {bound}"),
        Kind::Lint => format!("lint settings that bind {bound}"),
        Kind::Agents | Kind::Decision => format!("the authors' notes on code such as {bound}"),
    }
}

/// Lines, counted from 1.
fn numbered(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..).zip(text.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn files(files: &[(&str, &str)]) -> Vec<RuleFile> {
        files.iter().map(|(path, text)| RuleFile { path: rel(path), text: (*text).into() }).collect()
    }

    fn query(intent: &str, budget: u32) -> Query {
        Query { intent: intent.to_owned(), budget, ..Query::default() }
    }

    fn chosen(intent: &str, paths: &[&str], rules: &[(&str, &str)]) -> Vec<Item> {
        let paths: Vec<RelPath> = paths.iter().map(|path| rel(path)).collect();
        select(&query(intent, 8192), &paths, &files(rules))
    }

    fn names(items: &[Item]) -> Vec<&str> {
        items.iter().map(|item| item.path.as_str()).collect()
    }

    #[test]
    fn the_nearest_settings_that_say_something_are_quoted() {
        let items = chosen(
            "x",
            &["packages/app/src/a.ts", "packages/app/src/b.ts"],
            &[
                (
                    "tsconfig.json",
                    "{\n  \"compilerOptions\": {\n    \"strict\": true,\n    \"outDir\": \"dist\"\n  }\n}\n",
                ),
                ("packages/app/tsconfig.json", "{ \"extends\": \"../../tsconfig.json\" }\n"),
                ("packages/other/tsconfig.json", "{\n  \"strict\": false\n}\n"),
                (".prettierrc", "semi: false\nsingleQuote: true\n"),
                (
                    "eslint.config.js",
                    "import x from 'y'\nexport default [{ rules: {\n  'no-var': 'error',\n  // 'no-x': 'error'\n} }]\n",
                ),
            ],
        );
        assert_eq!(names(&items), ["tsconfig.json", ".prettierrc", "eslint.config.js"]);
        assert_eq!((items[0].text.as_str(), &items[0].ranges), ("    \"strict\": true,\n", &vec![[3, 3]]));
        assert_eq!(items[1].text, "semi: false\nsingleQuote: true\n");
        assert_eq!(items[2].text, "  'no-var': 'error',\n");
        assert_eq!(items[0].reason, "compiler settings that bind packages/app/src/a.ts");
    }

    #[test]
    fn instructions_are_said_once_and_of_long_ones_what_is_about_the_task() {
        let long: String = (0..60).map(|n| format!("- line {n}\n")).collect();
        let long =
            format!("# Rules\n{long}## Database migrations\nWrite a migration by hand.\n## Images\nOptimise images.\n");
        let rules = [
            ("AGENTS.md", long.as_str()),
            ("CLAUDE.md", &long),
            ("src/AGENTS.md", "Use tabs.\n"),
            ("other/AGENTS.md", "no\n"),
        ];
        let items = chosen("add a migration for the database", &["lib/a.ts", "src/b.ts"], &rules);
        assert_eq!(names(&items), ["AGENTS.md", "src/AGENTS.md"]);
        assert_eq!(items[0].text, "## Database migrations\nWrite a migration by hand.\n");
        assert!(chosen("draw a circle", &["lib/a.ts"], &rules[..2]).is_empty());
        let github = [(".github/copilot-instructions.md", "Be brief.\n")];
        assert_eq!(names(&chosen("x", &["lib/a.ts"], &github)), [".github/copilot-instructions.md"]);
    }

    #[test]
    fn decisions_in_force_come_with_their_words_or_their_paths() {
        let adr = |status: &str| {
            format!(
                "# Cache tokens in Redis\n\n{status}\n\n## Context\n\nSlow token lookups in src/auth/token.ts.\n\n## Decision\n\nTokens are cached in Redis.\n"
            )
        };
        let accepted = adr("## Status\n\nAccepted");
        let find =
            |text: &str, words: &str, path: &str| names(&chosen(words, &[path], &[("docs/adr/0001-x.md", text)])).len();
        assert_eq!(find(&accepted, "draw a circle", "src/auth/token.ts"), 1);
        assert_eq!(find(&accepted, "redis token cache", "src/other.ts"), 1);
        assert_eq!(find(&accepted, "draw a circle", "src/other.ts"), 0);
        for status in
            ["## Status\n\nSuperseded by 0002", "* Status: proposed", "status: rejected", "Status: deprecated"]
        {
            assert_eq!(find(&adr(status), "redis token cache", "src/auth/token.ts"), 0, "{status}");
        }
        for status in ["* Status: accepted", "**Status:** Accepted", "no word of it"] {
            assert_eq!(find(&adr(status), "redis token cache", "src/auth/token.ts"), 1, "{status}");
        }
        let item = &chosen("redis token cache", &["src/auth/token.ts"], &[("docs/adr/0001-x.md", &accepted)])[0];
        assert_eq!(item.text, "# Cache tokens in Redis\n## Decision\n\nTokens are cached in Redis.\n");
        assert_eq!(item.reason, "a decision that names src/auth/token.ts");
    }

    #[test]
    fn they_keep_to_their_share_and_to_one_order() {
        let many: String = (0..400).map(|n| format!("semi{n}: a_rather_long_value_{n}\n")).collect();
        let mut rules =
            files(&[(".prettierrc", &many), ("tsconfig.json", "\"strict\": true\n"), ("AGENTS.md", "Be brief.\n")]);
        let paths = [rel("a.ts")];
        for budget in [100, 400, 1000, 8192] {
            let items = select(&query("x", budget), &paths, &rules);
            assert!(items.iter().map(|item| item.tokens).sum::<u32>() <= budget / 10, "{budget}");
        }
        let items = select(&query("x", 8192), &paths, &rules);
        assert_eq!(items.len(), 3);
        rules.reverse();
        assert_eq!(select(&query("x", 8192), &paths, &rules), items);
        assert!(
            select(&query("x", 8192), &[rel("tsconfig.json")], &rules[1..2]).is_empty(),
            "it is in the pack already"
        );
    }
}
