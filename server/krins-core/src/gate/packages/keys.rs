//! `policy/manifest-key`: keys of a manifest that decide what runs on this machine, and which code is taken instead of
//! what was asked for. The rest of the file is a model's to write.

use super::manifest::INSTALL_SCRIPTS;
use crate::gate::{Author, Finding, Scene, Verdict, text};
use crate::graph::jsonc;
use crate::patch::FilePatch;
use serde_json::Value;

/// Of `package.json`: the key as a JSON pointer, and whether a change of it is a model's to make at all.
const KEYS: &[(&str, Verdict)] = &[
    ("/packageManager", Verdict::Block),
    ("/pnpm", Verdict::Block),
    ("/overrides", Verdict::Block),
    ("/resolutions", Verdict::Block),
    ("/trustedDependencies", Verdict::Block),
    ("/publishConfig", Verdict::Block),
    ("/gypfile", Verdict::Block),
    ("/husky", Verdict::Block),
    ("/simple-git-hooks", Verdict::Block),
    ("/gitHooks", Verdict::Block),
    ("/lint-staged", Verdict::Block),
    ("/pre-commit", Verdict::Block),
    ("/workspaces", Verdict::Warn),
    ("/bin", Verdict::Warn),
    ("/devEngines", Verdict::Warn),
];

/// The same of `Cargo.toml`, as a path of tables.
const CARGO_KEYS: &[(&[&str], Verdict)] = &[
    (&["patch"], Verdict::Block),
    (&["replace"], Verdict::Block),
    (&["package", "build"], Verdict::Block),
    (&["package", "links"], Verdict::Warn),
    (&["workspace", "members"], Verdict::Warn),
];

/// Scripts that git's hooks or a release run by themselves, beside those of an install.
const RUN_BY_THEMSELVES: &[&str] = &[
    "prepublish",
    "prepublishOnly",
    "prepack",
    "postpack",
    "publish",
    "postpublish",
    "preversion",
    "version",
    "postversion",
    "dependencies",
];

pub(super) fn check(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in scene.patch.files().iter().filter(|file| file.after.is_some()) {
        let changed = match file.path.file_name() {
            "package.json" => of_package_json(file),
            "Cargo.toml" => of_cargo_toml(file),
            _ => continue,
        };
        findings.extend(changed.into_iter().map(|(key, verdict)| finding(scene.author, file, &key, verdict)));
    }
    findings
}

fn of_package_json(file: &FilePatch) -> Vec<(String, Verdict)> {
    let read = |bytes: Option<&[u8]>| jsonc::parse(&text(bytes)).unwrap_or_default();
    let (before, after) = (read(file.before.as_deref()), read(file.after.as_deref()));
    let mut changed = Vec::new();
    let scripts = |value: &Value| value["scripts"].as_object().cloned().unwrap_or_default();
    let (old, new) = (scripts(&before), scripts(&after));
    for (name, script) in new.iter().filter(|(name, script)| old.get(*name) != Some(*script)) {
        let by_itself = INSTALL_SCRIPTS.contains(&name.as_str()) || RUN_BY_THEMSELVES.contains(&name.as_str());
        changed.push((
            format!("scripts.{name}"),
            if by_itself && !script.is_null() { Verdict::Block } else { Verdict::Warn },
        ));
    }
    changed.extend(
        old.keys().filter(|name| !new.contains_key(*name)).map(|name| (format!("scripts.{name}"), Verdict::Warn)),
    );
    for (pointer, verdict) in KEYS {
        if before.pointer(pointer) != after.pointer(pointer) {
            changed.push((pointer.trim_start_matches('/').to_owned(), *verdict));
        }
    }
    changed
}

fn of_cargo_toml(file: &FilePatch) -> Vec<(String, Verdict)> {
    let read = |bytes: Option<&[u8]>| toml::from_str::<toml::Table>(&text(bytes)).unwrap_or_default();
    let (before, after) = (read(file.before.as_deref()), read(file.after.as_deref()));
    let at = |table: &toml::Table, path: &[&str]| -> Option<toml::Value> {
        let (last, dirs) = path.split_last()?;
        let table = dirs.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?;
        table.get(*last).cloned()
    };
    let differs = |(path, _): &&(&[&str], Verdict)| at(&before, path) != at(&after, path);
    CARGO_KEYS.iter().filter(differs).map(|(path, verdict)| (path.join("."), *verdict)).collect()
}

fn finding(author: Author, file: &FilePatch, key: &str, verdict: Verdict) -> Finding {
    let verdict = if author == Author::Person { Verdict::Warn } else { verdict };
    let last = key.rsplit('.').next().unwrap_or(key);
    let after = text(file.after.as_deref());
    let holds = |line: &str| {
        line.contains(&format!("\"{last}\""))
            || line.trim_start().starts_with(last)
            || line.contains(&format!("[{key}"))
    };
    let line = after.lines().position(holds).map(|at| [at as u32 + 1; 2]);
    let why = if key.starts_with("scripts.") {
        "it is a command that runs on this machine"
    } else {
        "it decides what is installed or run"
    };
    Finding {
        rule: "policy/manifest-key".into(),
        verdict,
        path: file.path.clone(),
        lines: line,
        message: format!("the change sets `{key}` of {}: {why}", file.path.file_name()),
        fix: Some(match verdict {
            Verdict::Block => format!("make the change of `{key}` by hand"),
            Verdict::Pass | Verdict::Warn => format!("read what `{key}` says before anything is run"),
        }),
        link: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{judge, patch};

    fn verdicts(path: &str, before: &str, after: &str) -> Vec<(String, Verdict)> {
        let found = judge(&patch(path, Some(before), Some(after)), check);
        found
            .into_iter()
            .map(|finding| (finding.message.split('`').nth(1).unwrap().to_owned(), finding.verdict))
            .collect()
    }

    #[test]
    fn keys_are_protected_and_the_rest_is_not() {
        let base = r#"{"name": "a", "version": "1.0.0", "scripts": {"test": "vitest"}, "dependencies": {"a": "1"}}"#;
        for (from, to, expect) in [
            (r#""1.0.0""#, r#""1.0.1""#, vec![]),
            (r#""a": "1""#, r#""a": "2""#, vec![]),
            (r#""vitest""#, r#""true""#, vec![("scripts.test", Verdict::Warn)]),
            (r#"{"test""#, r#"{"postinstall": "x", "test""#, vec![("scripts.postinstall", Verdict::Block)]),
            (r#""scripts": {"test": "vitest"}"#, r#""scripts": {}"#, vec![("scripts.test", Verdict::Warn)]),
            (r#""name""#, r#""packageManager": "npm@1", "name""#, vec![("packageManager", Verdict::Block)]),
            (r#""name""#, r#""overrides": {"a": "2"}, "name""#, vec![("overrides", Verdict::Block)]),
            (r#""name""#, r#""bin": "x.js", "name""#, vec![("bin", Verdict::Warn)]),
            (r#""name""#, r#""workspaces": ["x"], "name""#, vec![("workspaces", Verdict::Warn)]),
            (r#""name""#, r#""pnpm": {"onlyBuiltDependencies": ["x"]}, "name""#, vec![("pnpm", Verdict::Block)]),
        ] {
            let expect: Vec<(String, Verdict)> =
                expect.into_iter().map(|(key, verdict)| (key.to_owned(), verdict)).collect();
            assert_eq!(verdicts("p/package.json", base, &base.replace(from, to)), expect, "{to}");
        }
        let cargo = "[package]\nname = \"a\"\n";
        assert_eq!(
            verdicts("Cargo.toml", cargo, &format!("{cargo}build = \"x.rs\"\n[patch.x]\na = \"1\"\n")),
            [("patch".to_owned(), Verdict::Block), ("package.build".to_owned(), Verdict::Block)]
        );
    }

    #[test]
    fn a_new_manifest_is_no_way_around() {
        let created = patch("new/package.json", None, Some(r#"{"scripts": {"preinstall": "x"}}"#));
        assert_eq!(judge(&created, check)[0].verdict, Verdict::Block);
    }
}
