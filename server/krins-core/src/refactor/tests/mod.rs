//! Data tests: a workspace as text, a sentence, and the files that change.

mod named;
mod relocate;
mod rename;
mod sentences;
mod unused;

use super::*;
use crate::graph::{Graph, Indexed, ResolveConfig};

/// `//- /src/a.ts` opens a file.
fn workspace(text: &str) -> BTreeMap<RelPath, Arc<str>> {
    let mut files: BTreeMap<RelPath, String> = BTreeMap::new();
    let mut current = None;
    for line in text.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix("//- /") {
            let path = RelPath::new(path.trim()).expect("a path");
            files.insert(path.clone(), String::new());
            current = Some(path);
        } else if let Some(path) = &current {
            files.get_mut(path).expect("was inserted").push_str(line);
        }
    }
    files.into_iter().map(|(path, text)| (path, Arc::from(text))).collect()
}

fn show(files: &BTreeMap<RelPath, Option<String>>) -> String {
    files
        .iter()
        .map(|(path, text)| match text {
            Some(text) => format!("//- /{path}\n{text}"),
            None => format!("//- /{path} (deleted)\n"),
        })
        .collect()
}

fn run(sentence: &str, files: &BTreeMap<RelPath, Arc<str>>) -> Result<Outcome, RefactorError> {
    let refactoring = understand(sentence, None)?;
    let all = perform(&refactoring, files);
    // What the graph picks must be enough: the same answer from those files alone.
    let graph = Graph::build(
        files
            .iter()
            .filter(|(path, _)| crate::syntax::Language::of(path).is_some())
            .map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text))))
            .collect(),
        Arc::new(ResolveConfig::from_files(files)),
    );
    let tree: BTreeMap<RelPath, Arc<[u8]>> =
        files.iter().map(|(path, text)| (path.clone(), Arc::from(text.as_bytes()))).collect();
    match affected(&refactoring, &graph, &tree) {
        Ok(paths) => {
            let some = files
                .iter()
                .filter(|(path, _)| paths.contains(path))
                .map(|(path, text)| (path.clone(), text.clone()))
                .collect();
            assert_eq!(perform(&refactoring, &some), all, "from {paths:?} alone");
        }
        Err(error) => assert_eq!(Err(error), all),
    }
    all
}

#[track_caller]
fn check(sentence: &str, before: &str, after: &str) {
    let outcome = match run(sentence, &workspace(before)) {
        Ok(outcome) => outcome,
        Err(error) => panic!("{sentence}: {error}"),
    };
    assert!(outcome.why.len() <= 3 && !outcome.why.is_empty());
    pretty(&show(&outcome.files), after);
}

#[track_caller]
fn pretty(actual: &str, expected: &str) {
    assert!(actual == expected, "expected\n{expected}\nactual\n{actual}");
}

#[track_caller]
fn refuse(sentence: &str, before: &str) -> RefactorError {
    match run(sentence, &workspace(before)) {
        Ok(outcome) => panic!("{sentence} was done:\n{}", show(&outcome.files)),
        Err(error) => error,
    }
}

/// The hint of every error says something, and messages read after "failed to".
#[test]
fn errors_say_what_to_do() {
    let path = || RelPath::new("a.ts").unwrap();
    for error in [
        RefactorError::NotUnderstood { intent: "x".into() },
        RefactorError::NoSuchSymbol { symbol: "x".into(), similar: vec![] },
        RefactorError::NoSuchSymbol { symbol: "x".into(), similar: vec!["y".into()] },
        RefactorError::Ambiguous { symbol: "x".into(), files: vec![path()] },
        RefactorError::NameTaken { name: "x".into(), places: vec!["a.ts:1".into()] },
        RefactorError::BadName { name: "x".into(), why: "it is" },
        RefactorError::Unreadable { path: path(), why: "line 1".into() },
        RefactorError::Unsupported { what: "x".into(), place: "a.ts:1".into() },
        RefactorError::NothingToDo { why: "x".into() },
    ] {
        assert!(!error.hint().is_empty(), "{error:?}");
        assert!(error.to_string().starts_with(char::is_lowercase), "{error}");
    }
}
