//! `packages/unknown-import`: imports of packages that nothing here knows. A model invents names; an install of one gives
//! whoever registered it the machine.
//!
//! A name counts as known as soon as anything says so: a manifest or lock file above the file, what is installed, a
//! package or a directory of the workspace, a path of a tsconfig, an alias of a bundler, a declaration, Node.

use super::diff::{After, in_dir, upward};
use super::manifest::{Manifest, catalog_names};
use crate::gate::lock::NAMES;
use crate::gate::reading::{Both, Reading};
use crate::gate::{Finding, Scene, Verdict};
use crate::graph::{self, Import, ImportKind, ResolveConfig, Resolver};
use crate::path::RelPath;
use crate::syntax::Language;
use crate::tree::Surroundings;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Texts that are read for a name that nothing near knows: declarations, configurations, other files of code.
const MOST_READ: usize = 20_000;
const MOST_BYTES: usize = 256 << 20;

/// Modules that are there without a package.
const BUILT_IN: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "bun",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
    "vscode",
    "electron",
    "k6",
];

/// Files whose names begin so say what other names mean.
const CONFIGURATIONS: &[&str] = &[
    "vite.config",
    "vitest.config",
    "vitest.workspace",
    "webpack.config",
    "rollup.config",
    "rolldown.config",
    "rspack.config",
    "rsbuild.config",
    "esbuild",
    "jest.config",
    "babel.config",
    ".babelrc",
    "next.config",
    "nuxt.config",
    "astro.config",
    "svelte.config",
    "metro.config",
    "craco.config",
    "config-overrides",
    "vue.config",
    "tsup.config",
    "deno.json",
    "import_map",
    "importmap",
    "jsr.json",
    "turbo.json",
    "quasar.config",
    "ember-cli-build",
    "tsconfig",
    "jsconfig",
    "package.json",
    ".storybook/main",
    "karma.conf",
    "gulpfile",
    "wxt.config",
    "electron.vite",
    "playwright",
];

pub(super) fn check(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(surroundings) = scene.base.surroundings() else { return Vec::new() };
    let knowledge = Knowledge::new(scene, surroundings);
    let mut findings = Vec::new();
    for both in scene.reading.files().iter().filter(|both| Language::of(&both.file.path).is_some()) {
        if !both.after.is_there || !may_import(both) {
            continue;
        }
        let file = both.file;
        let before: BTreeSet<String> = names(&file.path, &both.before.text).into_iter().map(|(name, _)| name).collect();
        let mut seen = BTreeSet::new();
        for (name, import) in names(&file.path, &both.after.text) {
            if before.contains(&name) || !seen.insert(name.clone()) || knowledge.knows(&file.path, &name, &import) {
                continue;
            }
            findings.push(Finding {
                rule: "packages/unknown-import".into(),
                verdict: if is_fixture(&file.path) { Verdict::Warn } else { Verdict::Block },
                path: file.path.clone(),
                lines: Some([import.line, import.line]),
                message: format!("nothing here knows the package {name}: no manifest, lock file, install or alias"),
                fix: Some(format!("check that {name} exists and is meant, and add it with your package manager first")),
                link: None,
            });
        }
    }
    findings
}

/// Whether an added line can be a part of an import: it has a word that imports are made with, or begins with what such a
/// word may stand before.
fn may_import(both: &Both<'_>) -> bool {
    let is_part = |line: &str| {
        ["import", "require", "from"].iter().any(|word| line.contains(word))
            || line.trim_start().starts_with(['\'', '"', '`', '/'])
    };
    let added = both.file.hunks.iter().flat_map(|hunk| &hunk.lines).filter_map(|line| line.strip_prefix('+'));
    added.into_iter().any(is_part)
}

/// What tests read and nobody runs: its imports need not be there.
fn is_fixture(path: &RelPath) -> bool {
    path.components()
        .any(|part| matches!(part, "fixtures" | "fixture" | "__fixtures__" | "__testfixtures__" | "testdata"))
}

/// The packages that a text imports, in order, with the import.
fn names(path: &RelPath, text: &str) -> Vec<(String, Import)> {
    if text.is_empty() {
        return Vec::new();
    }
    let imports = graph::imports(path, text);
    let counts = |import: &Import| import.kind != ImportKind::Augment;
    imports
        .into_iter()
        .filter(counts)
        .filter_map(|import| Some((package_of(&import.specifier)?.to_owned(), import)))
        .collect()
}

/// The package that a specifier names; `None` for what cannot be one: a relative path, a scheme, a loader, an alias.
fn package_of(specifier: &str) -> Option<&str> {
    if specifier.contains([':', '?', '!', '\\', '*', ' ', '$', '{']) || specifier.starts_with(['.', '/', '#', '~']) {
        return None;
    }
    let scoped = specifier.starts_with('@');
    let mut parts = specifier.match_indices('/').map(|(at, _)| at);
    let end = if scoped { parts.nth(1) } else { parts.next() };
    let name = &specifier[..end.unwrap_or(specifier.len())];
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '_'])
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
    };
    let is_name = match name.strip_prefix('@') {
        Some(rest) => rest.split_once('/').is_some_and(|(scope, name)| plain(scope) && plain(name)),
        None => plain(name),
    };
    is_name.then_some(name)
}

/// What is known of names, each thing read once and only when it is asked for.
struct Knowledge<'a> {
    after: After<'a>,
    reading: &'a Reading<'a>,
    surroundings: &'a dyn Surroundings,
    files: OnceCell<Vec<RelPath>>,
    manifests: OnceCell<BTreeSet<String>>,
    resolver: OnceCell<Resolver>,
    locked: std::cell::RefCell<BTreeMap<RelPath, Arc<BTreeSet<String>>>>,
    declared: OnceCell<Vec<String>>,
    configured: OnceCell<Vec<Arc<str>>>,
}

impl<'a> Knowledge<'a> {
    fn new(scene: &Scene<'a>, surroundings: &'a dyn Surroundings) -> Self {
        Self {
            after: After { patch: scene.patch, base: scene.base },
            reading: scene.reading,
            surroundings,
            files: OnceCell::new(),
            manifests: OnceCell::new(),
            resolver: OnceCell::new(),
            locked: Default::default(),
            declared: OnceCell::new(),
            configured: OnceCell::new(),
        }
    }

    fn knows(&self, path: &RelPath, name: &str, import: &Import) -> bool {
        let typed = types_of(name);
        let both = [name, typed.as_str()];
        BUILT_IN.contains(&name)
            || self.is_asked_for(path, both).unwrap_or(true)
            || self.is_locked(path, both)
            || both.iter().any(|name| self.surroundings.is_installed(path.dir(), name))
            || self.is_of_workspace(path, name, import)
            || self.is_made_by_docusaurus(name)
            || self.is_declared(&import.specifier, name)
            || self.is_configured(name)
            || self.is_used_elsewhere(path, name)
    }

    /// Whether a manifest above the file names it; `None` where there is no manifest at all, and so nothing to hold a
    /// name against.
    fn is_asked_for(&self, path: &RelPath, both: [&str; 2]) -> Option<bool> {
        let mut any = false;
        for dir in upward(path.dir()) {
            if let Some(manifest) = self.manifest(dir) {
                any = true;
                let names = |name: &str| {
                    manifest.dependencies.contains_key(name)
                        || manifest.mentioned.contains(name)
                        || manifest.name.as_deref() == Some(name)
                };
                if both.into_iter().any(names) {
                    return Some(true);
                }
            }
            let catalogs = in_dir(dir, "pnpm-workspace.yaml").and_then(|path| self.after.text(&path));
            if catalogs.is_some_and(|text| both.iter().any(|name| catalog_names(&text).contains(*name))) {
                return Some(true);
            }
        }
        any.then_some(false)
    }

    fn manifest(&self, dir: &str) -> Option<Manifest> {
        let path = in_dir(dir, "package.json")?;
        Manifest::read(&path, &self.after.text(&path)?)
    }

    fn is_locked(&self, path: &RelPath, both: [&str; 2]) -> bool {
        let places = upward(path.dir()).flat_map(|dir| NAMES.iter().filter_map(move |name| in_dir(dir, name)));
        places.into_iter().any(|lock| {
            let names = self.locked_names(&lock);
            both.iter().any(|name| names.contains(*name))
        })
    }

    fn locked_names(&self, path: &RelPath) -> Arc<BTreeSet<String>> {
        if let Some(known) = self.locked.borrow().get(path) {
            return known.clone();
        }
        let names = self.reading.lock_after(path, self.after.base, |lock| match lock {
            Some(Ok(lock)) => lock.packages.iter().map(|package| package.name.clone()).collect(),
            Some(Err(_)) | None => BTreeSet::new(),
        });
        let names = Arc::new(names);
        self.locked.borrow_mut().insert(path.clone(), names.clone());
        names
    }

    fn files(&self) -> &[RelPath] {
        self.files.get_or_init(|| {
            let mut files = self.surroundings.files();
            files.extend(
                self.after.patch.files().iter().filter(|file| file.after.is_some()).map(|file| file.path.clone()),
            );
            files.sort();
            files.dedup();
            files
        })
    }

    /// A file's text as it is after the patch; what the patch leaves alone is not pinned for it.
    fn read(&self, path: &RelPath) -> Option<Arc<str>> {
        self.after.patched(path).unwrap_or_else(|| self.surroundings.on_disk(path))
    }

    /// A package's name, a directory that bundlers look into, or what the projects' paths lead to.
    fn is_of_workspace(&self, path: &RelPath, name: &str, import: &Import) -> bool {
        let manifests = self.manifests.get_or_init(|| {
            let all = self.files().iter().filter(|path| path.file_name() == "package.json").take(MOST_READ);
            all.filter_map(|path| Manifest::read(path, &self.read(path)?)?.name).collect()
        });
        let is_directory = || {
            upward(path.dir()).flat_map(|dir| [in_dir(dir, name), in_dir(dir, &format!("src/{name}"))]).flatten().any(
                |place| {
                    let below = format!("{place}/");
                    let at = self.files().partition_point(|path| path.as_str() < place.as_str());
                    let near = self.files()[at..].iter().take_while(|path| path.as_str().starts_with(place.as_str()));
                    near.into_iter().any(|path| {
                        let rest = &path.as_str()[place.as_str().len()..];
                        path.as_str().starts_with(&below) || rest.starts_with('.')
                    })
                },
            )
        };
        manifests.contains(name) || is_directory() || self.resolver().resolve(path, &import.specifier).is_some()
    }

    fn resolver(&self) -> &Resolver {
        self.resolver.get_or_init(|| {
            let wanted = self.files().iter().filter(|path| ResolveConfig::wants(path)).take(MOST_READ);
            let texts = wanted.filter_map(|path| Some((path.clone(), self.read(path)?))).collect();
            Resolver::new(Arc::new(ResolveConfig::from_files(&texts)), self.files())
        })
    }

    /// Names that Docusaurus makes up for the site, its theme and itself.
    fn is_made_by_docusaurus(&self, name: &str) -> bool {
        let scopes = ["@site/", "@theme/", "@theme-original/", "@theme-init/", "@generated/", "@docusaurus/"];
        scopes.iter().any(|scope| name.starts_with(scope))
            && self.files().iter().any(|path| path.file_name().starts_with("docusaurus.config"))
    }

    /// `declare module "name"`, also with a `*`.
    fn is_declared(&self, specifier: &str, name: &str) -> bool {
        let declared = self.declared.get_or_init(|| {
            let declarations = self.files().iter().filter(|path| path.as_str().contains(".d.")).take(MOST_READ);
            declarations.filter_map(|path| self.read(path)).flat_map(|text| declarations_in(&text)).collect()
        });
        declared.iter().any(|pattern| match pattern.split_once('*') {
            Some((before, after)) => {
                specifier.len() >= before.len() + after.len()
                    && specifier.starts_with(before)
                    && specifier.ends_with(after)
            }
            None => pattern == specifier || pattern == name,
        })
    }

    /// In quotes in a file that gives names other meanings.
    fn is_configured(&self, name: &str) -> bool {
        let texts = self.configured.get_or_init(|| {
            let is_one = |path: &&RelPath| {
                let file = path.file_name();
                CONFIGURATIONS
                    .iter()
                    .any(|start| file.starts_with(start) || path.as_str().contains(start) && start.contains('/'))
            };
            self.files().iter().filter(is_one).take(MOST_READ).filter_map(|path| self.read(path)).collect()
        });
        texts.iter().any(|text| mentions(text, name))
    }

    /// Whether other code of the workspace imports it: then it is no invention of this patch.
    fn is_used_elsewhere(&self, path: &RelPath, name: &str) -> bool {
        let mut left = MOST_BYTES;
        let others = self.files().iter().filter(|other| *other != path && Language::of(other).is_some());
        others.take(MOST_READ).any(|other| {
            // What the patch says itself is no witness.
            let text = self
                .after
                .patched(other)
                .map_or_else(|| self.surroundings.on_disk(other), |_| self.after.base.text(other));
            let Some(text) = text.filter(|text| text.len() <= left) else { return false };
            left -= text.len();
            mentions(&text, name)
        })
    }
}

/// Whether the text has the name in quotes, alone or before a `/`, a `$` or a `*`, or behind a `^` as in a pattern.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        matches!(before, Some('"' | '\'' | '`' | '^'))
            && matches!(after, Some('"' | '\'' | '`' | '/' | '$' | '*' | '\\' | '('))
    })
}

fn declarations_in(text: &str) -> Vec<String> {
    let after = text.split("declare module").skip(1).map(str::trim_start);
    let quoted = |rest: &str| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest[1..].split(quote).next().map(str::to_owned)
    };
    after.filter_map(quoted).collect()
}

/// The package with the types of a package.
fn types_of(name: &str) -> String {
    match name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        Some((scope, name)) => format!("@types/{scope}__{name}"),
        None => format!("@types/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specifier_names_a_package_or_cannot() {
        for (specifier, expect) in [
            ("react", Some("react")),
            ("react/jsx-runtime", Some("react")),
            ("@a/b/c", Some("@a/b")),
            ("lodash.merge", Some("lodash.merge")),
            ("./a", None),
            ("..", None),
            ("/abs", None),
            ("#internal", None),
            ("node:fs", None),
            ("virtual:x", None),
            ("raw!./x", None),
            ("@/components", None),
            ("~/x", None),
            ("$lib/x", None),
            ("App/Foo", None),
            ("@scope", None),
            ("", None),
        ] {
            assert_eq!(package_of(specifier), expect, "{specifier}");
        }
        assert!(
            mentions("alias: { 'foo': x }", "foo") && mentions("'^foo/(.*)$'", "foo") && !mentions("'foobar'", "foo")
        );
        assert_eq!(declarations_in("declare module 'a' {}\ndeclare module \"*.svg\";"), ["a", "*.svg"]);
    }
}
