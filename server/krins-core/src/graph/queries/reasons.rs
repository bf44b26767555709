//! Why the files of a change are in it together: who of them uses what the change touches, with the lines.
//!
//! Said is only what stands in the texts of the change as they are before it, or after it where it adds a use; the graph
//! says where their imports lead. A file that hangs together with no other of them gets no reason.

use super::is_test;
use crate::digest::Digest;
use crate::graph::{FileFacts, Graph, Indexed, ReferenceKind, Target};
use crate::patch::{ChangeKind, FilePatch, Hunk, Patch, text_of};
use crate::path::RelPath;
use crate::syntax::Language;
use crate::text::LineIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Files of a change that are looked at, and the bytes of the largest text. Each that is not as the graph knows it is put into a copy
/// of the graph.
const MOST_FILES: usize = 16;
const LARGEST: usize = 1 << 20;
/// Places of one reason.
const MOST_PLACES: usize = 5;
/// The longest name that is said in full.
const LONGEST_NAME: usize = 120;

/// What is said, and the `path:line` places it rests on.
pub type Because = (String, Vec<String>);

/// At most `most` reasons for the files of a change, those first that explain most of what nobody asked about; `focus` is
/// what was asked about.
pub fn reasons(graph: &Graph, patch: &Patch, focus: Option<&RelPath>, most: usize) -> Vec<Because> {
    let files: Vec<File<'_>> =
        patch.files().iter().filter_map(|file| File::read(graph, file)).take(MOST_FILES).collect();
    let sides =
        [Side::of(graph, &files, |file| file.before.as_ref()), Side::of(graph, &files, |file| file.after.as_ref())];
    let mut links: BTreeMap<Link<'_>, BTreeMap<&RelPath, Vec<String>>> = BTreeMap::new();
    for user in &files {
        for side in &sides {
            let found = side.links_of(user, &files);
            for (link, places) in found {
                // What stood there before the change is where the person looks now.
                links.entry(link).or_default().entry(&user.patch.path).or_insert(places);
            }
        }
    }
    let (by_name, imports): (Vec<_>, Vec<_>) = links.into_iter().partition(|(link, _)| link.name.is_some());
    let used: BTreeSet<(&RelPath, &RelPath)> =
        by_name.iter().flat_map(|(link, users)| users.keys().map(|user| (link.path, *user))).collect();
    let bare = imports.into_iter().filter_map(|(link, mut users)| {
        users.retain(|user, _| !used.contains(&(link.path, *user)));
        (!users.is_empty()).then_some((link, users))
    });
    let mut told: Vec<Told<'_>> =
        by_name.into_iter().chain(bare).flat_map(|(link, users)| tell(&link, users)).collect();
    told.extend(files.iter().filter_map(declared));
    choose(told, focus, most)
}

/// One text of a file of the change.
struct Text {
    path: RelPath,
    indexed: Arc<Indexed>,
    facts: Arc<FileFacts>,
    lines: LineIndex,
    /// The module-level names whose declarations the change touches in this text, with their lines.
    touched: BTreeMap<String, u32>,
}

struct File<'a> {
    patch: &'a FilePatch,
    before: Option<Text>,
    after: Option<Text>,
}

impl<'a> File<'a> {
    fn read(graph: &Graph, patch: &'a FilePatch) -> Option<Self> {
        Language::of(&patch.path)?;
        let text = |path: &RelPath, bytes: &Option<Arc<[u8]>>, mark: char| {
            let text = bytes.as_deref().filter(|bytes| bytes.len() <= LARGEST).and_then(text_of)?;
            let known = graph.files().get(path).filter(|known| *known.digest() == Digest::of(&*text));
            let indexed = known.cloned().unwrap_or_else(|| Arc::new(Indexed::of(path, &text)));
            let facts = indexed.facts();
            let touched = touched(&facts, &patch.hunks, mark);
            Some(Text { path: path.clone(), facts, lines: LineIndex::new(&text), indexed, touched })
        };
        let before = text(patch.from.as_ref().unwrap_or(&patch.path), &patch.before, '-');
        let after = text(&patch.path, &patch.after, '+');
        Some(Self { patch, before, after })
    }

    fn is_at(&self, path: &RelPath) -> bool {
        self.patch.path == *path || self.patch.from.as_ref() == Some(path)
    }
}

/// The module-level declarations that hold a line with that mark.
fn touched(facts: &FileFacts, hunks: &[Hunk], mark: char) -> BTreeMap<String, u32> {
    let mut lines = Vec::new();
    for hunk in hunks {
        let mut line = if mark == '-' { hunk.before[0] } else { hunk.after[0] };
        for text in &hunk.lines {
            match text.chars().next() {
                Some(found) if found == mark => {
                    line += 1;
                    lines.push(line);
                }
                Some(' ') | None => line += 1,
                Some(_) => {}
            }
        }
    }
    let outermost = facts.symbols.iter().filter(|symbol| symbol.parent.is_none());
    let held = outermost.filter(|symbol| lines.iter().any(|line| (symbol.lines[0]..=symbol.lines[1]).contains(line)));
    let mut touched = BTreeMap::new();
    for symbol in held {
        touched.entry(symbol.name.clone()).or_insert(symbol.lines[0]);
    }
    touched
}

/// What another file of the change takes: a name whose declaration is touched, or just the module.
#[derive(Clone, Copy)]
struct Link<'a> {
    path: &'a RelPath,
    kind: ChangeKind,
    name: Option<&'a str>,
}

impl<'a> Link<'a> {
    fn to(of: &'a File<'a>, name: Option<&'a str>) -> Self {
        Self { path: &of.patch.path, kind: of.patch.kind, name }
    }

    /// A file has one kind.
    fn key(&self) -> (&RelPath, Option<&str>) {
        (self.path, self.name)
    }
}

impl PartialEq for Link<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Link<'_> {}

impl PartialOrd for Link<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Link<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The files before the change, or after it.
struct Side<'a> {
    graph: Graph,
    text: fn(&'a File<'a>) -> Option<&'a Text>,
}

impl<'a> Side<'a> {
    /// The graph with the files of the change as they are on this side, whatever it holds of them.
    fn of(graph: &Graph, files: &'a [File<'a>], text: fn(&'a File<'a>) -> Option<&'a Text>) -> Self {
        let mut graph = graph.clone();
        for text in files.iter().filter_map(text) {
            if graph.files().get(&text.path).is_none_or(|known| known.digest() != text.indexed.digest()) {
                graph = graph.with_file(&text.path, Some(text.indexed.clone()));
            }
        }
        Self { graph, text }
    }

    /// What the file takes of others of the change, and where.
    fn links_of(&self, user: &'a File<'a>, files: &'a [File<'a>]) -> BTreeMap<Link<'a>, Vec<String>> {
        let mut found: BTreeMap<Link<'a>, Vec<String>> = BTreeMap::new();
        let Some(text) = (self.text)(user) else { return found };
        let targets: Vec<Option<RelPath>> =
            text.facts.imports.iter().map(|import| self.graph.resolve(&text.path, &import.specifier)).collect();
        for (import, target) in text.facts.imports.iter().zip(&targets) {
            let of = files.iter().find(|file| target.as_ref().is_some_and(|target| file.is_at(target)));
            if let Some(of) = of.filter(|of| !std::ptr::eq(*of, user)) {
                note(&mut found, Link::to(of, None), &text.path, import.line);
            }
        }
        // First where it is used; the import alone says less.
        for only_imports in [false, true] {
            let mut here: BTreeMap<Link<'a>, Vec<String>> = BTreeMap::new();
            for reference in &text.facts.references {
                let imported = matches!(reference.kind, ReferenceKind::Import | ReferenceKind::Export);
                let Target::Import { import, name } = reference.target else { continue };
                let (Some(target), Some(import)) =
                    (targets.get(import as usize).and_then(Option::as_ref), text.facts.imports.get(import as usize))
                else {
                    continue;
                };
                let Some((name, _)) = import.names.get(name as usize).filter(|_| imported == only_imports) else {
                    continue;
                };
                let name = if name == "*" { reference.member.as_deref() } else { Some(name.as_str()) };
                if let Some(link) = name.and_then(|name| self.declared(target, name, user, files)) {
                    let line = text.lines.line_of(reference.range.start as usize) as u32 + 1;
                    note(&mut here, link, &text.path, line);
                }
            }
            for (link, places) in here {
                found.entry(link).or_insert(places);
            }
        }
        found
    }

    /// The touched declaration behind a name that another file exports, through re-exports.
    fn declared(&self, target: &RelPath, name: &str, user: &File<'_>, files: &'a [File<'a>]) -> Option<Link<'a>> {
        self.graph.definition(target, name).into_iter().find_map(|(path, index)| {
            let of = files.iter().find(|file| file.is_at(&path) && !std::ptr::eq(*file, user))?;
            let facts = self.graph.facts(&path)?;
            let name = facts.symbols.get(index)?.name.as_str();
            let of_touched = |text: &'a Text| text.touched.get_key_value(name).map(|(name, _)| name.as_str());
            let name = [&of.before, &of.after].into_iter().flatten().find_map(of_touched)?;
            Some(Link::to(of, Some(name)))
        })
    }
}

fn note<'a>(found: &mut BTreeMap<Link<'a>, Vec<String>>, link: Link<'a>, path: &RelPath, line: u32) {
    let places = found.entry(link).or_default();
    let place = format!("{path}:{line}");
    if places.len() < MOST_PLACES && !places.contains(&place) {
        places.push(place);
    }
}

/// A reason with the files that it explains.
struct Told<'a> {
    reason: Because,
    explains: BTreeSet<&'a RelPath>,
    /// Says less than others that explain as much.
    weak: u8,
}

/// Of the tests, and before them of the other files.
fn tell<'a>(link: &Link<'a>, users: BTreeMap<&'a RelPath, Vec<String>>) -> Vec<Told<'a>> {
    let (tests, others): (Vec<_>, Vec<_>) = users.into_iter().partition(|(path, _)| is_test(path));
    [(others, false), (tests, true)].into_iter().filter_map(|(users, tests)| told(link, &users, tests)).collect()
}

fn told<'a>(link: &Link<'a>, users: &[(&'a RelPath, Vec<String>)], tests: bool) -> Option<Told<'a>> {
    let who: Vec<String> = users.iter().map(|(path, _)| short(path.as_str())).collect();
    let (who, one) = match who.as_slice() {
        [] => return None,
        [one] => (one.clone(), true),
        [one, other] => (format!("{one} and {other}"), false),
        [one, other, rest @ ..] => (format!("{one}, {other} and {} more", rest.len()), false),
    };
    let verb = match (link.name.is_some(), tests, one) {
        (true, true, true) => "is a test and uses",
        (true, true, false) => "are tests and use",
        (true, false, true) => "uses",
        (true, false, false) => "use",
        (false, _, true) => "imports",
        (false, _, false) => "import",
    };
    let of = short(link.path.as_str());
    let what = link.name.map_or_else(|| of.clone(), |name| format!("{} of {of}", short(name)));
    let fate = match link.kind {
        ChangeKind::Create => ", which is new",
        ChangeKind::Delete => ", which is deleted",
        ChangeKind::Rename | ChangeKind::Modify => "",
    };
    // One file's places, or the first of each of several.
    let each = if one { MOST_PLACES } else { 1 };
    let places = users.iter().flat_map(|(_, places)| places.iter().take(each)).take(MOST_PLACES).cloned().collect();
    let explains = users.iter().map(|(path, _)| *path).chain([link.path]).collect();
    Some(Told { reason: (format!("{who} {verb} {what}{fate}"), places), explains, weak: u8::from(link.name.is_none()) })
}

/// What is touched in the file itself: all that can be said of a file that stands alone.
fn declared<'a>(file: &File<'a>) -> Option<Told<'a>> {
    let text = file.before.as_ref().filter(|text| !text.touched.is_empty()).or(file.after.as_ref())?;
    let mut by_line: Vec<(u32, &String)> = text.touched.iter().map(|(name, line)| (*line, name)).collect();
    by_line.sort();
    let (_, name) = *by_line.first()?;
    let places = by_line.iter().take(MOST_PLACES).map(|(line, _)| format!("{}:{line}", text.path)).collect();
    let reason = match text.touched.len() {
        1 => format!("{} is declared here", short(name)),
        more => format!("{} and {} more are declared here", short(name), more - 1),
    };
    Some(Told { reason: (reason, places), explains: BTreeSet::from([&file.patch.path]), weak: 2 })
}

/// Again and again the reason that explains most that is not explained yet.
fn choose(mut told: Vec<Told<'_>>, focus: Option<&RelPath>, most: usize) -> Vec<Because> {
    let mut chosen = Vec::new();
    let mut open: BTreeSet<&RelPath> = told.iter().flat_map(|told| told.explains.iter().copied()).collect();
    while chosen.len() < most {
        let worth = |told: &Told<'_>| {
            let explained = told.explains.intersection(&open);
            // What was asked about needs a reason least.
            let beyond = explained.clone().filter(|path| focus != Some(**path)).count();
            (beyond, explained.count(), 2_u8.saturating_sub(told.weak))
        };
        // The first of the best: the order of names decides between equals.
        let mut best: Option<(usize, (usize, usize, u8))> = None;
        for (at, told) in told.iter().enumerate() {
            if best.is_none_or(|(_, known)| worth(told) > known) {
                best = Some((at, worth(told)));
            }
        }
        let Some((at, _)) = best.filter(|(_, (beyond, explained, _))| beyond + explained > 0) else { break };
        let told = told.remove(at);
        open.retain(|path| !told.explains.contains(path));
        chosen.push(told.reason);
    }
    chosen
}

fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        None => name.to_owned(),
        Some(_) => name.chars().take(LONGEST_NAME - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ResolveConfig;
    use crate::patch::Change;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    /// Files as they are, and what becomes of some of them (`None`: deleted).
    fn scene(files: &[(&str, &str)], changes: &[(&str, Option<&str>)]) -> (Graph, Patch) {
        let code = files.iter().filter(|(name, _)| name.ends_with(".ts"));
        let index = |(name, text): &(&str, &str)| (path(name), Arc::new(Indexed::of(&path(name), text)));
        let graph = Graph::build(code.map(index).collect(), Arc::new(ResolveConfig::default()));
        let bytes = |text: &str| Arc::<[u8]>::from(text.as_bytes());
        let change = |(name, after): &(&str, Option<&str>)| Change {
            path: path(name),
            from: None,
            before: files.iter().find(|(known, _)| known == name).map(|(_, text)| bytes(text)),
            after: after.map(bytes),
            executable: false,
        };
        (graph, Patch::between(changes.iter().map(change).collect()))
    }

    fn said(files: &[(&str, &str)], changes: &[(&str, Option<&str>)], focus: Option<&str>) -> Vec<String> {
        let (graph, patch) = scene(files, changes);
        // The same of a graph that is not made yet: the texts of the change are enough.
        let known = reasons(&graph, &patch, focus.map(path).as_ref(), 3);
        assert_eq!(known, reasons(&Graph::default(), &patch, focus.map(path).as_ref(), 3));
        for place in known.iter().flat_map(|(_, places)| places) {
            let (file, line) = place.rsplit_once(':').unwrap();
            let (line, file): (usize, _) = (line.parse().unwrap(), path(file));
            let of = patch.files().iter().find(|of| of.path == file).unwrap();
            let holds = |bytes: &Option<Arc<[u8]>>| {
                bytes.as_deref().is_some_and(|bytes| String::from_utf8_lossy(bytes).lines().count() >= line)
            };
            assert!(line > 0 && (holds(&of.before) || holds(&of.after)), "{place} is in no file");
        }
        known.into_iter().map(|(reason, places)| format!("{reason} [{}]", places.join(", "))).collect()
    }

    const A: &str = "export function progress(done: number): number {\n  return done;\n}\n\nexport const other = 1;\n";
    const B: &str = "import { progress } from \"./a\";\n\nexport const half = () => progress(1);\nexport const all = () => progress(2);\n";
    const TEST: &str = "import { progress } from \"../a\";\ntest(\"x\", () => {\n  progress(1);\n});\n";

    #[test]
    fn who_uses_what_the_change_touches_is_said_with_the_lines() {
        let files = [("src/a.ts", A), ("src/b.ts", B), ("src/tests/a.test.ts", TEST)];
        let (a, b) = (A.replace("return done", "return done / 2"), B.replace("progress(1)", "progress(2)"));
        let test = TEST.replace("progress(1)", "progress(3)");
        let changes = [("src/a.ts", Some(&*a)), ("src/b.ts", Some(&*b)), ("src/tests/a.test.ts", Some(&*test))];
        assert_eq!(
            said(&files, &changes, Some("src/a.ts")),
            [
                "src/b.ts uses progress of src/a.ts [src/b.ts:3, src/b.ts:4]",
                "src/tests/a.test.ts is a test and uses progress of src/a.ts [src/tests/a.test.ts:3]",
            ]
        );
        // What is used of the file and not touched is no reason; that it is imported is less of one.
        let a = A.replace("other = 1", "other = 2");
        assert_eq!(
            said(&files, &[("src/a.ts", Some(&a)), ("src/b.ts", Some(&b))], Some("src/a.ts")),
            ["src/b.ts imports src/a.ts [src/b.ts:1]"]
        );
    }

    #[test]
    fn new_and_deleted_files_and_uses_that_the_change_adds_are_said() {
        let files = [("src/a.ts", A), ("src/b.ts", B)];
        let uses = "import { step } from \"./step\";\nexport function progress(done: number): number {\n  return step(done);\n}\n\nexport const other = 1;\n";
        let changes = [("src/step.ts", Some("export const step = (n: number) => n;\n")), ("src/a.ts", Some(uses))];
        assert_eq!(
            said(&files, &changes, Some("src/a.ts")),
            ["src/a.ts uses step of src/step.ts, which is new [src/a.ts:3]"]
        );
        let without = "export const half = () => 1;\nexport const all = () => 2;\n";
        assert_eq!(
            said(&files, &[("src/a.ts", None), ("src/b.ts", Some(without))], None),
            ["src/b.ts uses progress of src/a.ts, which is deleted [src/b.ts:3, src/b.ts:4]"]
        );
    }

    #[test]
    fn many_files_are_one_reason_and_what_stands_alone_says_what_it_declares() {
        let names: Vec<String> = (0..8).map(|n| format!("src/u{n}.ts")).collect();
        let mut files = vec![("src/a.ts", A), ("docs/x.md", "# x\n"), ("src/index.ts", "export * from \"./a\";\n")];
        let through = B.replace("./a", "./index");
        files.extend(names.iter().map(|name| (name.as_str(), through.as_str())));
        let a = A.replace("return done", "return 2");
        let u = through.replace("progress(2)", "progress(3)");
        let mut changes = vec![("src/a.ts", Some(&*a)), ("docs/x.md", Some("# y\n"))];
        changes.extend(names.iter().map(|name| (name.as_str(), Some(&*u))));
        let index = [("src/index.ts", Some("export * from \"./a\";\n"))];
        changes.extend(index);
        let (graph, patch) = scene(&files, &changes);
        let known = reasons(&graph, &patch, Some(&path("src/a.ts")), 3);
        let [(reason, places)] = known.as_slice() else { panic!("{known:?}") };
        assert_eq!(reason, "src/u0.ts, src/u1.ts and 6 more use progress of src/a.ts");
        assert_eq!(places, &["src/u0.ts:3", "src/u1.ts:3", "src/u2.ts:3", "src/u3.ts:3", "src/u4.ts:3"]);
        assert_eq!(
            said(&[("src/a.ts", A)], &[("src/a.ts", Some(&*a))], Some("src/a.ts")),
            ["progress is declared here [src/a.ts:1]"]
        );
        // The first by its line, and by no name.
        let declared: Vec<String> =
            ["zoom", "a", "b", "c", "d", "e"].map(|name| format!("export const {name} = 1;\n")).into();
        let (before, after) = (declared.concat(), declared.concat().replace('1', "2"));
        assert_eq!(
            said(&[("src/a.ts", &before)], &[("src/a.ts", Some(&after))], None),
            ["zoom and 5 more are declared here [src/a.ts:1, src/a.ts:2, src/a.ts:3, src/a.ts:4, src/a.ts:5]"]
        );
        assert_eq!(said(&[("x.md", "a\n")], &[("x.md", Some("b\n"))], None), [] as [&str; 0]);
    }
}
