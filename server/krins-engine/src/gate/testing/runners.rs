//! Which runner a package's tests have, and how it is told to run some of them. A manifest says which; that anything is
//! run at all, the person's settings say.

use super::reports::{self, Case};
use krins_core::graph::queries::is_test;
use krins_core::{RelPath, Tree};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;

/// Bytes of a report that are read.
pub const LARGEST_REPORT: u64 = 16 << 20;
const REPORT: &str = "krins-report";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runner {
    Vitest,
    Jest,
    Mocha,
    /// With the flags that the package's own script gives it.
    Node(Vec<String>),
    /// The person's own command.
    Plain(Vec<String>),
}

/// A package, and how its tests are run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suite {
    /// The directory, `""` for the root.
    pub dir: String,
    pub runner: Runner,
}

impl Runner {
    pub fn name(&self) -> &str {
        match self {
            Self::Vitest => "vitest",
            Self::Jest => "jest",
            Self::Mocha => "mocha",
            Self::Node(_) => "node --test",
            Self::Plain(argv) => argv.first().map_or("", String::as_str),
        }
    }

    /// What its manifest says.
    fn of(manifest: &Value, above: Option<&Value>) -> Option<Self> {
        let depends = |manifest: &Value, name: &str| {
            ["devDependencies", "dependencies"].iter().any(|kind| manifest[*kind].get(name).is_some())
        };
        let script = manifest["scripts"]["test"].as_str().unwrap_or_default();
        let scripts = manifest["scripts"].as_object().into_iter().flatten();
        let scripts: Vec<&str> =
            scripts.filter(|(name, _)| name.starts_with("test")).filter_map(|(_, script)| script.as_str()).collect();
        let says = |word: &str| {
            let in_script = |script: &&str| script.split([' ', '/', '&', ';']).any(|part| part == word);
            script.split([' ', '/', '&', ';']).any(|part| part == word) || scripts.iter().any(in_script)
        };
        let node = |script: &&&str| script.contains("node ") && script.split(' ').any(|word| word == "--test");
        // The script first: it is what people run.
        for (name, runner) in [("vitest", Self::Vitest), ("jest", Self::Jest), ("mocha", Self::Mocha)] {
            if says(name) {
                return Some(runner);
            }
        }
        if let Some(script) = scripts.iter().find(node) {
            return Some(Self::Node(node_flags(script)));
        }
        for (name, runner) in [("vitest", Self::Vitest), ("jest", Self::Jest), ("mocha", Self::Mocha)] {
            if depends(manifest, name) || above.is_some_and(|above| depends(above, name)) {
                return Some(runner);
            }
        }
        None
    }

    /// Whether the runner would take the file for a test by its own defaults, or by usual names.
    pub fn takes(&self, path: &RelPath) -> bool {
        let name = path.file_name();
        let code = ["js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"].contains(&path.extension());
        let parts: Vec<&str> = name.split('.').collect();
        let marked = parts.len() > 2 && parts[1..parts.len() - 1].iter().any(|part| matches!(*part, "test" | "spec"));
        let stem = parts.first().copied().unwrap_or_default();
        let dirs = || path.dir().split('/');
        let typed = parts.contains(&"d");
        let helper = ["fixtures", "__fixtures__", "__mocks__", "helpers", "node_modules", "utils"];
        let apart = dirs().any(|dir| helper.contains(&dir));
        code && !typed
            && match self {
                Self::Vitest => marked && !parts.contains(&"test-d"),
                Self::Jest => marked || dirs().any(|dir| dir == "__tests__") && !apart,
                Self::Mocha => marked || dirs().any(|dir| dir == "test") && !apart,
                Self::Node(_) => {
                    let named = stem.starts_with("test-")
                        || stem == "test"
                        || stem.ends_with("-test")
                        || stem.ends_with("_test");
                    marked || named || dirs().any(|dir| dir == "test") && !apart
                }
                Self::Plain(_) => is_test(path) && !apart,
            }
    }

    /// The command for these files of a package; what writes a report writes it below `tmp`.
    pub fn command(&self, dir: &Path, files: &[String], tmp: &Path) -> Option<Vec<OsString>> {
        let report = tmp.join(REPORT).display().to_string();
        let own = |place: &str| installed(dir, place);
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let mut argv = match self {
            Self::Vitest => {
                let mut argv = vec!["node".into(), own("vitest/vitest.mjs")?];
                argv.extend(words(&["run", "--reporter=json", "--coverage.enabled=false"]));
                argv.push(format!("--outputFile={report}").into());
                argv
            }
            Self::Jest => {
                let mut argv = vec!["node".into(), own("jest/bin/jest.js")?];
                argv.extend(words(&["--json", "--testLocationInResults", "--coverage=false", "--watchAll=false"]));
                argv.push(format!("--outputFile={report}").into());
                argv.push("--runTestsByPath".into());
                argv
            }
            Self::Mocha => {
                let mut argv = vec!["node".into(), own("mocha/bin/mocha.js")?];
                argv.extend(words(&["--reporter", "json", "--reporter-option"]));
                argv.push(format!("output={report}").into());
                argv
            }
            Self::Node(flags) => {
                let mut argv = words(&["node", "--test", "--test-reporter=tap", "--test-reporter-destination=stdout"]);
                argv.extend(flags.iter().map(OsString::from));
                argv
            }
            Self::Plain(template) => {
                let mut argv = Vec::new();
                for word in template {
                    match word.as_str() {
                        "{files}" => argv.extend(files.iter().map(OsString::from)),
                        word => argv.push(word.replace("{report}", &report).into()),
                    }
                }
                return Some(argv);
            }
        };
        argv.extend(files.iter().map(OsString::from));
        Some(argv)
    }

    /// What the report, or else the output, says.
    pub fn read(
        &self,
        report: Option<&[u8]>,
        stdout: &str,
        root: &Path,
        dir: &str,
        files: &[RelPath],
    ) -> Option<Vec<Case>> {
        match self {
            Self::Vitest | Self::Jest => reports::jest(report?, root, dir),
            Self::Mocha => reports::mocha(report?, root, dir),
            Self::Node(_) => reports::tap(stdout, root, dir, files),
            Self::Plain(_) => {
                let text = report.map(String::from_utf8_lossy);
                let text = text.as_deref().unwrap_or(stdout);
                let junit = || reports::junit(text, root, dir, files);
                let tap = || reports::tap(text, root, dir, files);
                let json = || reports::jest(text.as_bytes(), root, dir);
                // What a report of one form quotes is no report of another.
                match begins(text) {
                    Some(Form::Tap) => tap().or_else(junit),
                    Some(Form::Json) => json().or_else(junit).or_else(tap),
                    Some(Form::Xml) | None => junit().or_else(tap).or_else(json),
                }
            }
        }
    }
}

enum Form {
    Xml,
    Tap,
    Json,
}

/// The form that the first line with a mark of one begins.
fn begins(text: &str) -> Option<Form> {
    text.lines().map(str::trim_start).find_map(|line| {
        if line.starts_with("<?xml") || line.starts_with("<testsuite") {
            return Some(Form::Xml);
        }
        if line.starts_with('{') {
            return Some(Form::Json);
        }
        let is_tap = ["TAP version", "ok ", "not ok ", "1.."].iter().any(|mark| line.starts_with(mark));
        is_tap.then_some(Form::Tap)
    })
}

/// The name of the file below the temporary directory.
pub const fn report_name() -> &'static str {
    REPORT
}

/// A package's file, in the directory or one above it.
fn installed(dir: &Path, place: &str) -> Option<OsString> {
    let found = dir.ancestors().take(12).map(|dir| dir.join("node_modules").join(place)).find(|path| path.is_file());
    found.map(Into::into)
}

/// The flags of a script that decide how modules are loaded. Nothing else of it is taken.
fn node_flags(script: &str) -> Vec<String> {
    let mut flags = Vec::new();
    let mut words = script.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        let takes_value = matches!(
            name,
            "--import" | "--require" | "-r" | "--loader" | "--experimental-loader" | "--conditions" | "-C"
        );
        let plain = name.starts_with("--experimental-")
            || name == "--enable-source-maps"
            || name == "--expose-gc"
            || name == "--no-warnings";
        if takes_value {
            flags.push(word.to_owned());
            if !word.contains('=') {
                flags.extend(words.next().map(str::to_owned));
            }
        } else if plain {
            flags.push(word.to_owned());
        }
    }
    flags
}

/// The package that a file belongs to, and its runner.
pub fn suite_of(path: &RelPath, tree: &dyn Tree, plain: &[Vec<String>]) -> Option<Suite> {
    let manifest = |dir: &str| -> Option<Value> {
        let path = RelPath::join_dir(dir, "package.json")?;
        serde_json::from_str(&tree.text(&path)?).ok()
    };
    let top = manifest("");
    let mut dir = path.dir();
    loop {
        if let Some(own) = manifest(dir)
            && let Some(runner) = Runner::of(&own, top.as_ref())
        {
            return Some(Suite { dir: dir.to_owned(), runner });
        }
        if dir.is_empty() {
            return plain.first().map(|argv| Suite { dir: String::new(), runner: Runner::Plain(argv.clone()) });
        }
        dir = dir.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_says_which_runner() {
        for (manifest, runner) in [
            (json!({"scripts": {"test": "vitest run"}}), Some(Runner::Vitest)),
            (json!({"scripts": {"test": "jest --coverage"}}), Some(Runner::Jest)),
            (json!({"scripts": {"test": "npm run lint && mocha"}}), Some(Runner::Mocha)),
            (
                json!({"scripts": {"test": "node --import tsx --test --no-warnings test/*.ts"}}),
                Some(Runner::Node(vec!["--import".into(), "tsx".into(), "--no-warnings".into()])),
            ),
            (json!({"scripts": {"test": "turbo test"}, "devDependencies": {"vitest": "3"}}), Some(Runner::Vitest)),
            (json!({"scripts": {"test": "exit 1"}}), None),
            (json!({}), None),
            (json!([1]), None),
        ] {
            assert_eq!(Runner::of(&manifest, None), runner, "{manifest}");
        }
        let above = json!({"devDependencies": {"jest": "29"}});
        assert_eq!(Runner::of(&json!({"name": "part"}), Some(&above)), Some(Runner::Jest));
    }

    #[test]
    fn nothing_of_a_script_is_run_but_known_flags() {
        let flags = node_flags("rm -rf / ; node --test --eval 'evil()' -e x --import=tsx -r ./hook.cjs $(curl x)");
        assert_eq!(flags, ["--import=tsx", "-r", "./hook.cjs"]);
    }

    #[test]
    fn tests_are_told_from_their_helpers() {
        let takes = |runner: &Runner, path: &str| runner.takes(&RelPath::new(path).unwrap());
        let node = Runner::Node(Vec::new());
        for (runner, path, is) in [
            (&Runner::Vitest, "src/a.test.ts", true),
            (&Runner::Vitest, "test/helpers.ts", false),
            (&Runner::Vitest, "src/a.test-d.ts", false),
            (&Runner::Jest, "src/__tests__/a.js", true),
            (&Runner::Jest, "src/__tests__/fixtures/a.js", false),
            (&Runner::Mocha, "test/a.js", true),
            (&node, "test/a.js", true),
            (&node, "test/fixtures/a.js", false),
            (&node, "src/a-test.mjs", true),
            (&node, "test/data.json", false),
        ] {
            assert_eq!(takes(runner, path), is, "{} {path}", runner.name());
        }
    }

    #[test]
    fn a_plain_command_gets_the_files_as_arguments_and_never_through_a_shell() {
        let runner = Runner::Plain(["make", "test", "{files}", "--xml={report}"].map(String::from).to_vec());
        let argv = runner.command(Path::new("/t"), &["a b; rm".into()], Path::new("/tmp/x")).unwrap();
        assert_eq!(argv, ["make", "test", "a b; rm", "--xml=/tmp/x/krins-report"]);
    }
}
