//! `build/*` and `types/*`: the person's own commands, and the project's own TypeScript, over the changed tree. Only an
//! error that is not there without the change counts.

use super::commands::{Found, note, quoted};
use crate::base::Base;
use crate::commands::Bench;
use crate::error::Result;
use crate::state::StateDir;
use crate::worktree::Side;
use krins_core::gate::{Finding, Verdict};
use krins_core::patch::Patch;
use krins_core::{Digest, RelPath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

const MOST_FINDINGS: usize = 30;
const MOST_DIAGNOSTICS: usize = 5000;
/// Baselines that are kept, and projects of a workspace that are checked for types.
const MOST_BASELINES: usize = 64;
const MOST_PROJECTS: usize = 8;

/// One error that a command named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    pub path: RelPath,
    pub line: u32,
    /// `TS2322` and the like; empty when it has none.
    pub code: String,
    pub message: String,
}

/// How a command ended without the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Baseline {
    succeeded: bool,
    diagnostics: Vec<Diagnostic>,
}

struct Step {
    check: &'static str,
    argv: Vec<OsString>,
    dir: String,
}

/// The check: the patch is in the tree, and is there again afterwards.
pub fn check(bench: &Bench, state: &StateDir, base: &Base, patch: &Patch, found: &mut Found) -> Result<()> {
    let mut steps: Vec<Step> = Vec::new();
    for argv in &bench.commands().build {
        steps.push(Step { check: "build", argv: argv.iter().map(OsString::from).collect(), dir: String::new() });
    }
    if bench.commands().types {
        for dir in projects(&bench.tree().tree(), patch) {
            match types(&bench.tree().tree(), &dir) {
                Some(step) => steps.push(step),
                None => found.findings.extend(unchecked(&dir, patch)),
            }
        }
    }
    for step in steps {
        if bench.stop().is_stopped() {
            break;
        }
        run(bench, state, base, patch, &step, found)?;
    }
    Ok(())
}

fn run(bench: &Bench, state: &StateDir, base: &Base, patch: &Patch, step: &Step, found: &mut Found) -> Result<()> {
    let command = step.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let after = bench.run(&step.argv, &step.dir);
    found.runs.push(note(step.check, &command, &after));
    let after = match after {
        Ok(after) if after.end.is_success() => return Ok(()),
        Ok(after) => after,
        Err(why) => {
            found.findings.extend(whole(step, patch, "not-run", Verdict::Warn, &why.to_string()));
            return Ok(());
        }
    };
    if bench.stop().is_stopped() {
        return Ok(());
    }
    let root = bench.root();
    let text = format!("{}\n{}", after.stdout.text(), after.stderr.text());
    let errors = diagnostics(&text, &root, &step.dir);
    let before = baseline(bench, state, base, patch, step, found)?;
    let fresh = new_ones(&errors, &before.diagnostics);
    if fresh.is_empty() {
        let tail: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = tail[tail.len().saturating_sub(6)..].join(" | ");
        let said = format!("`{}` {}: {said}", quoted(&command, 120), after.end.describe());
        let (rule, verdict) =
            if before.succeeded { ("failed", Verdict::Block) } else { ("failing-before", Verdict::Warn) };
        // Errors that were there before say nothing of the change.
        if before.succeeded || errors.is_empty() {
            found.findings.extend(whole(step, patch, rule, verdict, &said));
        }
        return Ok(());
    }
    let more = fresh.len().saturating_sub(MOST_FINDINGS);
    for (at, error) in fresh.into_iter().take(MOST_FINDINGS).enumerate() {
        let code = if error.code.is_empty() { String::new() } else { format!(" ({})", error.code) };
        let tail =
            if more > 0 && at + 1 == MOST_FINDINGS { format!(", and {more} more errors") } else { String::new() };
        found.findings.push(Finding {
            rule: format!("{}/new-error", step.check),
            verdict: Verdict::Block,
            path: error.path.clone(),
            lines: (error.line > 0).then_some([error.line, error.line]),
            message: format!("{}{code}{tail}", quoted(&error.message, 300)),
            fix: Some(format!("make `{}` succeed with the change", quoted(&command, 120))),
            link: None,
        });
    }
    Ok(())
}

/// What a whole command is told by: the first changed file.
fn whole(step: &Step, patch: &Patch, rule: &str, verdict: Verdict, said: &str) -> Option<Finding> {
    let path = patch.files().first()?.path.clone();
    Some(Finding {
        rule: format!("{}/{rule}", step.check),
        verdict,
        path,
        lines: None,
        message: quoted(said, 600),
        fix: Some("run it by hand with `krins sandbox`".to_owned()),
        link: None,
    })
}

/// Errors that were not there before. The lines move with a change, so they are told apart by what they say, and counted.
fn new_ones<'d>(after: &'d [Diagnostic], before: &[Diagnostic]) -> Vec<&'d Diagnostic> {
    let key = |error: &Diagnostic| (error.path.clone(), error.code.clone(), error.message.clone());
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for error in before {
        *known.entry(key(error)).or_default() += 1;
    }
    let is_new = |error: &&Diagnostic| match known.get_mut(&key(error)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    after.iter().filter(is_new).collect()
}

/// How the command ends without the change: kept by what it was run on.
fn baseline(
    bench: &Bench,
    state: &StateDir,
    base: &Base,
    patch: &Patch,
    step: &Step,
    found: &mut Found,
) -> Result<Baseline> {
    let name = key(base, step).to_string();
    if let Some(known) = state.document::<Baseline>("baselines", &name) {
        return Ok(known);
    }
    bench.tree().put(patch, Side::Before)?;
    let ran = bench.run(&step.argv, &step.dir);
    bench.tree().put(patch, Side::After)?;
    found.runs.push(note(step.check, "the same without the change", &ran));
    let baseline = match ran {
        Ok(ran) => {
            let text = format!("{}\n{}", ran.stdout.text(), ran.stderr.text());
            Baseline { succeeded: ran.end.is_success(), diagnostics: diagnostics(&text, &bench.root(), &step.dir) }
        }
        Err(_) => return Ok(Baseline { succeeded: false, diagnostics: Vec::new() }),
    };
    if !bench.stop().is_stopped() {
        let kept = state.documents("baselines");
        kept.iter()
            .take(kept.len().saturating_sub(MOST_BASELINES - 1))
            .for_each(|old| state.remove_document("baselines", old));
        state.put_document("baselines", &name, &baseline)?;
    }
    Ok(baseline)
}

/// The files as they are: names, sizes, times, the texts that are open and those that the task read, and the command.
fn key(base: &Base, step: &Step) -> Digest {
    let mut text = String::new();
    for word in &step.argv {
        text.push_str(&format!("{}\n", word.to_string_lossy()));
    }
    text.push_str(&step.dir);
    for file in base.snapshot().walk().files {
        let modified =
            file.modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
        text.push_str(&format!("\n{} {} {}", file.path, file.size, modified.as_nanos()));
    }
    for document in base.snapshot().documents().iter() {
        text.push_str(&format!("\n{:?} {}", document.path, Digest::of(document.text.as_bytes())));
    }
    Digest::of(text)
}

/// Where the project's own TypeScript is, the likeliest first: the compiler, and the one that takes its place.
const COMPILERS: &[&str] = &["typescript/bin/tsc", "@typescript/native-preview/bin/tsgo"];

/// The directories of the TypeScript projects that the patch touches.
fn projects(tree: &Path, patch: &Patch) -> Vec<String> {
    let code =
        |path: &&RelPath| ["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs", "json"].contains(&path.extension());
    let mut projects = BTreeSet::new();
    for path in patch.files().iter().map(|file| &file.path).filter(code) {
        let mut dir = path.dir();
        loop {
            if tree.join(dir).join("tsconfig.json").is_file() {
                projects.insert(dir.to_owned());
                break;
            }
            if dir.is_empty() {
                break;
            }
            dir = dir.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    projects.into_iter().take(MOST_PROJECTS).collect()
}

/// The project's own TypeScript over the project; nothing where none is installed.
fn types(tree: &Path, dir: &str) -> Option<Step> {
    let project = tree.join(dir);
    let compiler = project
        .ancestors()
        .take_while(|above| above.starts_with(tree))
        .flat_map(|above| COMPILERS.iter().map(|compiler| above.join("node_modules").join(compiler)))
        .find(|path| path.is_file())?;
    let mut argv: Vec<OsString> = vec!["node".into(), compiler.into()];
    argv.extend(
        ["--noEmit", "--pretty", "false", "--incremental", "false", "--composite", "false", "-p", "tsconfig.json"]
            .map(OsString::from),
    );
    Some(Step { check: "types", argv, dir: dir.to_owned() })
}

/// Somebody asked for types to be checked, and they are not.
fn unchecked(dir: &str, patch: &Patch) -> Option<Finding> {
    let config = if dir.is_empty() { "tsconfig.json".to_owned() } else { format!("{dir}/tsconfig.json") };
    Some(Finding {
        rule: "types/not-run".to_owned(),
        verdict: Verdict::Warn,
        path: patch.files().first()?.path.clone(),
        lines: None,
        message: quoted(&format!("types were not checked by `{config}`: no TypeScript is in its node_modules"), 300),
        fix: Some("install what the project depends on, or turn `gate.types` off".to_owned()),
        link: None,
    })
}

/// The errors in a compiler's or linter's words: `path(1,2): error TS1: …`, `path:1:2: error: …`, `path:1:2 - error TS1: …`,
/// and rustc's `error[E1]: …` with `--> path:1:2` below.
pub fn diagnostics(text: &str, root: &std::path::Path, dir: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut said: Option<(String, String)> = None;
    for line in text.lines() {
        if found.len() >= MOST_DIAGNOSTICS {
            break;
        }
        let line = line.trim_end();
        if let Some(rest) = line.trim_start().strip_prefix("--> ") {
            if let (Some((code, message)), Some((path, at))) = (said.take(), place(rest, root, dir)) {
                found.push(Diagnostic { path, line: at, code, message });
            }
            continue;
        }
        if let Some(rest) = line.strip_prefix("error") {
            let (code, message) = rest.split_once(": ").unwrap_or(("", rest));
            said = Some((code.trim_matches(['[', ']']).to_owned(), message.to_owned()));
            continue;
        }
        let Some(at) = line.find(": error").or_else(|| line.find(" - error")) else { continue };
        let Some((path, number)) = place(&line[..at], root, dir) else { continue };
        let rest =
            line[at..].trim_start_matches([':', ' ', '-']).trim_start_matches("error").trim_start_matches([':', ' ']);
        let (code, message) = match rest.split_once(": ") {
            Some((code, message)) if code.len() <= 12 && !code.contains(' ') => (code, message),
            _ => ("", rest),
        };
        found.push(Diagnostic {
            path,
            line: number,
            code: code.to_owned(),
            message: message.chars().take(400).collect(),
        });
    }
    found
}

/// `path(1,2)`, `path:1:2`, `path:1`.
fn place(text: &str, root: &std::path::Path, dir: &str) -> Option<(RelPath, u32)> {
    let text = text.trim();
    let (path, line) = match text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
        Some((path, numbers)) => (path, numbers.split(',').next()?.parse().ok()?),
        None => {
            let mut parts = text.rsplitn(3, ':');
            let (last, middle, first) = (parts.next()?, parts.next()?, parts.next());
            match (first, middle.parse::<u32>(), last.parse::<u32>()) {
                (Some(path), Ok(line), Ok(_)) => (path, line),
                (None, _, Ok(line)) => (middle, line),
                _ => return None,
            }
        }
    };
    Some((super::testing_path(root, dir, path)?, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::patch::Change;

    fn read(text: &str) -> Vec<(String, u32, String, String)> {
        let found = diagnostics(text, Path::new("/tree"), "packages/a");
        found.into_iter().map(|error| (error.path.to_string(), error.line, error.code, error.message)).collect()
    }

    #[test]
    fn compilers_are_understood() {
        for (text, path, line, code, message) in [
            (
                "src/a.ts(3,7): error TS2322: Type 'x' is not assignable.",
                "packages/a/src/a.ts",
                3,
                "TS2322",
                "Type 'x' is not assignable.",
            ),
            ("../b/x.ts(1,1): error TS1: m", "packages/b/x.ts", 1, "TS1", "m"),
            ("/tree/src/a.ts:4:2 - error TS7006: Parameter", "src/a.ts", 4, "TS7006", "Parameter"),
            ("main.c:12:5: error: expected ';' before '}'", "packages/a/main.c", 12, "", "expected ';' before '}'"),
            (
                "error[E0308]: mismatched types\n --> src/lib.rs:9:5",
                "packages/a/src/lib.rs",
                9,
                "E0308",
                "mismatched types",
            ),
        ] {
            assert_eq!(read(text), [(path.to_owned(), line, code.to_owned(), message.to_owned())], "{text}");
        }
        for text in [
            "Found 0 errors.",
            "error: could not compile",
            "/etc/passwd:1:1: error: x",
            "a: error",
            "(1,2): error TS1: x",
        ] {
            assert!(read(text).is_empty(), "{text}: {:?}", read(text));
        }
    }

    #[test]
    fn the_nearest_compiler_of_either_kind_is_the_projects_own_and_its_lack_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        for path in [
            "tsconfig.json",
            "node_modules/typescript/bin/tsc",
            "packages/new/tsconfig.json",
            "packages/new/node_modules/@typescript/native-preview/bin/tsgo",
            "../node_modules/typescript/bin/tsc",
        ] {
            let path = tree.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let compiler = |dir: &str| types(&tree, dir).map(|step| step.argv[1].clone());
        let of = |path: &str| Some(tree.join(path).into_os_string());
        assert_eq!(compiler(""), of("node_modules/typescript/bin/tsc"));
        assert_eq!(compiler("packages/new"), of("packages/new/node_modules/@typescript/native-preview/bin/tsgo"));
        let change = |path: &str| {
            let (path, after) = (RelPath::new(path).unwrap(), Some(b"x".as_slice().into()));
            Patch::between(vec![Change { path, from: None, before: None, after, executable: false }])
        };
        assert_eq!(projects(&tree, &change("packages/new/src/a.ts")), ["packages/new"]);
        assert_eq!(projects(&tree, &change("packages/old/a.md")), [] as [&str; 0]);
        // What is outside of the tree is nobody's own.
        std::fs::remove_dir_all(tree.join("node_modules")).unwrap();
        assert_eq!(compiler(""), None);
        let said = unchecked("", &change("src/a.ts")).unwrap();
        assert_eq!((said.rule.as_str(), said.verdict), ("types/not-run", Verdict::Warn));
    }

    #[test]
    fn only_what_is_new_counts_and_lines_may_move() {
        let error = |line, message: &str| Diagnostic {
            path: RelPath::new("a.ts").unwrap(),
            line,
            code: "TS1".into(),
            message: message.into(),
        };
        let before = [error(1, "x"), error(5, "y")];
        assert!(new_ones(&[error(2, "x"), error(9, "y")], &before).is_empty());
        assert_eq!(new_ones(&[error(2, "x"), error(3, "x")], &before).len(), 1, "one more of the same");
        assert_eq!(new_ones(&[error(2, "z")], &before).len(), 1);
    }
}
