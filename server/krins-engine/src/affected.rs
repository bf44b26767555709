//! Which tests of the workspace a patch can make fail: what the graph cannot know is looked up here, the choice is the
//! core's ([`krins_core::graph::queries::affected_tests`]).

use crate::base::Base;
use crate::gate::testing::{Suite, suite_of};
use crate::index::Index;
use krins_core::graph::queries::{AffectedTests, Around, Edited, affected_tests, is_test};
use krins_core::graph::{Graph, Indexed};
use krins_core::patch::{Patch, text_of};
use krins_core::syntax::Language;
use krins_core::{Digest, RelPath, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Configurations that are read, and bytes of one.
const MOST_CONFIGURATIONS: usize = 200;
const LARGEST_CONFIGURATION: usize = 256 << 10;
/// What starts programs or other threads of a program, whose modules nobody sees from here.
const STARTS: &[&str] =
    &["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "execa", "fork", "Worker", "createRequire"];
/// What reads files: a test may look at the sources themselves.
const READS: &[&str] =
    &["readFileSync", "readFile", "readdirSync", "readdir", "createReadStream", "readJson", "globSync"];

/// What is known of files, by their content.
#[derive(Debug, Default)]
pub struct Known {
    computes: Mutex<BTreeMap<Digest, bool>>,
}

/// The choice, and how each test is run.
#[derive(Clone, Debug, Default)]
pub struct Affected {
    pub chosen: AffectedTests,
    /// Of all tests.
    pub suites: BTreeMap<RelPath, Suite>,
    /// Of the choice alone, the graph being there.
    pub millis: f64,
}

/// The tests that the patch can make fail. Blocking.
pub fn affected(index: &Index, known: &Known, base: &Base, patch: &Patch, plain: &[Vec<String>]) -> Affected {
    let snapshot = base.snapshot();
    let before = index.view(snapshot).graph;
    let walk: Vec<RelPath> = snapshot.walk().files.into_iter().map(|file| file.path).collect();
    let after_tree = Patched { base: snapshot, patch };
    let suites = suites(&walk, patch, &after_tree, plain);
    let tests: BTreeSet<RelPath> = suites.keys().cloned().collect();
    let unclear = unclear(&before, known, snapshot, patch);
    let configuration = configurations(&walk, snapshot);
    let began = std::time::Instant::now();
    let mut after = before.clone();
    let mut edits = Vec::new();
    for file in patch.files() {
        let text = |bytes: &Option<Arc<[u8]>>| bytes.as_deref().and_then(text_of).map(|text| Arc::<str>::from(&*text));
        let (old, new) = (text(&file.before), text(&file.after));
        if let Some(from) = file.from.as_ref().filter(|from| **from != file.path) {
            after = after.with_file(from, None);
            edits.push(Edited { path: from.clone(), before: old.clone(), after: None });
            edits.push(Edited { path: file.path.clone(), before: None, after: new.clone() });
        } else {
            edits.push(Edited { path: file.path.clone(), before: old, after: new.clone() });
        }
        if Language::of(&file.path).is_some() {
            let indexed = new.map(|text| Arc::new(Indexed::of(&file.path, &text)));
            after = after.with_file(&file.path, indexed);
        }
    }
    let around =
        Around { before: &before, after: &after, tests: &tests, unclear: &unclear, configuration: &configuration };
    let chosen = affected_tests(&around, &edits);
    Affected { chosen, suites, millis: began.elapsed().as_secs_f64() * 1000.0 }
}

/// The files with the patch.
struct Patched<'a> {
    base: &'a dyn Tree,
    patch: &'a Patch,
}

impl Tree for Patched<'_> {
    fn entry(&self, path: &RelPath) -> krins_core::Entry {
        use krins_core::Entry;
        match self.patch.files().iter().find(|file| file.path == *path) {
            Some(file) => match &file.after {
                Some(bytes) => Entry::File { bytes: bytes.clone(), executable: file.executable },
                None => Entry::Missing,
            },
            None => self.base.entry(path),
        }
    }
}

fn suites(walk: &[RelPath], patch: &Patch, tree: &dyn Tree, plain: &[Vec<String>]) -> BTreeMap<RelPath, Suite> {
    let gone = |path: &RelPath| {
        patch.files().iter().any(|file| file.path == *path && file.after.is_none() || file.from.as_ref() == Some(path))
    };
    let new = patch.files().iter().filter(|file| file.after.is_some()).map(|file| &file.path);
    let likely = |path: &&RelPath| is_test(path) || path.file_name().starts_with("test");
    let mut by_dir: BTreeMap<String, Option<Suite>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for path in walk.iter().chain(new).filter(likely).filter(|path| !gone(path)) {
        let suite = by_dir.entry(path.dir().to_owned()).or_insert_with(|| suite_of(path, tree, plain));
        if let Some(suite) = suite.as_ref().filter(|suite| suite.runner.takes(path)) {
            found.insert(path.clone(), suite.clone());
        }
    }
    found
}

/// Modules that lead where the graph does not follow.
fn unclear(graph: &Graph, known: &Known, tree: &dyn Tree, patch: &Patch) -> BTreeSet<RelPath> {
    let mut found = BTreeSet::new();
    let mut computes = known.computes.lock().unwrap_or_else(PoisonError::into_inner);
    for (path, file) in graph.files() {
        let starts =
            STARTS.iter().any(|name| file.uses(name)) && (is_test(path) || file.uses("Worker") || file.uses("fork"));
        let reads = is_test(path) && READS.iter().any(|name| file.uses(name));
        let mut computed = || {
            *computes
                .entry(*file.digest())
                .or_insert_with(|| tree.text(path).is_some_and(|text| computes_imports(&text)))
        };
        let unfollowed = || is_test(path) && leads_nowhere(graph, path);
        if starts || reads || unfollowed() || computed() {
            found.insert(path.clone());
        }
    }
    for file in patch.files() {
        if file.after.as_deref().and_then(text_of).is_some_and(|text| computes_imports(&text)) {
            found.insert(file.path.clone());
        }
    }
    found
}

/// A path of the workspace that is imported and not in the graph.
fn leads_nowhere(graph: &Graph, path: &RelPath) -> bool {
    let Some(facts) = graph.facts(path) else { return true };
    let code = |specifier: &str| {
        let last = specifier.rsplit('/').next().unwrap_or(specifier);
        !last.contains('.')
            || last.starts_with('.')
            || ["js", "mjs", "cjs", "ts", "tsx", "jsx", "mts"].iter().any(|end| last.ends_with(&format!(".{end}")))
    };
    facts.imports.iter().zip(graph.resolved(path)).any(|(import, target)| {
        target.is_none()
            && (import.specifier.starts_with('.') || import.specifier.starts_with('#'))
            && code(&import.specifier)
    })
}

/// Whether a text imports what it computes.
fn computes_imports(text: &str) -> bool {
    let computed = |mark: &str| {
        text.match_indices(mark).any(|(at, _)| {
            let whole_word = !text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.'));
            let argument = text[at + mark.len()..].trim_start();
            let argument = if let Some(rest) = argument.strip_prefix("/*") {
                rest.split_once("*/").map_or("", |(_, rest)| rest.trim_start())
            } else {
                argument
            };
            whole_word && !argument.starts_with(['"', '\'', ')']) && !(argument.starts_with('`') && literal(argument))
        })
    };
    text.contains("import.meta.glob")
        || text.contains("require.context(")
        || computed("import(")
        || computed("require(")
}

/// A template without holes.
fn literal(template: &str) -> bool {
    template[1..].split('`').next().is_some_and(|text| !text.contains("${"))
}

/// The texts of what configures tests.
fn configurations(walk: &[RelPath], tree: &dyn Tree) -> Vec<Arc<str>> {
    let named = |path: &&RelPath| {
        let name = path.file_name();
        let config = name.starts_with("vitest.")
            || name.starts_with("vite.config")
            || name.starts_with("jest.")
            || name.starts_with(".mocharc");
        config || name == "package.json"
    };
    let texts = walk.iter().filter(named).take(MOST_CONFIGURATIONS).filter_map(|path| {
        let text = tree.text(path)?;
        // Of a manifest only what it says of tests: a package's entry point is no file that runs before them.
        if path.file_name() != "package.json" {
            return Some(text);
        }
        let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
        let about = ["jest", "vitest", "mocha"].map(|key| manifest[key].to_string()).join("\n")
            + &manifest["scripts"]["test"].to_string();
        Some(about.into())
    });
    texts.filter(|text| text.len() <= LARGEST_CONFIGURATION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_imports_are_seen() {
        for text in [
            "import(name)",
            "await import(`./${x}.js`)",
            "require(path.join(a))",
            "import.meta.glob('./*.ts')",
            "import(/* x */ name)",
        ] {
            assert!(computes_imports(text), "{text}");
        }
        for text in [
            "import('./a')",
            "import(`./a`)",
            "require(\"x\")",
            "my.require(x)",
            "import(/* x */ './a')",
            "import { a } from './a'",
        ] {
            assert!(!computes_imports(text), "{text}");
        }
    }
}
