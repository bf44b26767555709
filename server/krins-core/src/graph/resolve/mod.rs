//! Which file a module specifier means, from the paths that there are and the texts of tsconfig, package.json and
//! workspace files. Never looks at a disk.
//!
//! Resolution itself is oxc_resolver's, over a file system that is a view of these values. The view shows the
//! repository in two ways, below two roots:
//!
//! - as it is (`Plain`): packages linked as an install links them, every tsconfig with its `extends` followed and what
//!   cannot be found left out, a file that no tsconfig includes in the care of the root's. What is found here is what
//!   the TypeScript compiler finds.
//! - as it is meant (`Inferred`), asked second: what a build would have made leads to its source, the nearest tsconfig
//!   counts whatever it includes, a package may be named by who depends on it although no workspace links it, bundlers'
//!   extensions and conditions hold.

mod built;
mod manifest;
mod project;
mod versions;
mod view;
mod workspace;

use super::jsonc;
use crate::path::{RelPath, normalise};
use built::Outputs;
use manifest::Manifest;
use oxc_resolver::{ResolveOptions, ResolverGeneric, TsconfigDiscovery};
use project::{Projects, Variant};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use versions::TypesVersions;
use view::{Mode, Paths, View};
use workspace::Links;

/// Everything that decides how specifiers resolve, but for which files there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolveConfig {
    /// By directory (`""` is the root).
    manifests: BTreeMap<String, Manifest>,
    projects: Projects,
    links: Links,
    outputs: Outputs,
    /// Whether any manifest has such paths, which is rare.
    has_types_versions: bool,
    /// What specifiers that are not relative, and may mean a file all the same, begin with.
    local: BTreeSet<String>,
}

/// Where a specifier leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    pub path: RelPath,
    /// Whether the compiler would not say so, as the files are now.
    pub inferred: bool,
}

/// Resolves over one set of files. Remembers what it looked up; a value of another set begins anew.
pub struct Resolver {
    view: View,
    /// For each way of resolution that projects ask for, the usual one first.
    plain: Vec<(Variant, ResolverGeneric<View>)>,
    inferred: ResolverGeneric<View>,
    /// Numbers of the directories in which a package's name may get another meaning.
    scopes: BTreeMap<String, u32>,
    known: Mutex<Known>,
}

/// What was found for specifiers that are not relative.
#[derive(Default)]
struct Known {
    askers: HashMap<RelPath, Asker>,
    found: HashMap<Asker, HashMap<Box<str>, Option<Resolution>>>,
}

/// What decides, besides the specifier itself, where one that is not relative leads: the scope, and the addresses of
/// the two projects (which live as long as the resolver).
type Asker = (u32, usize, usize);

impl ResolveConfig {
    /// Whether a file's text belongs into [`ResolveConfig::from_files`].
    pub fn wants(path: &RelPath) -> bool {
        let name = path.file_name();
        matches!(name, "package.json" | "pnpm-workspace.yaml" | "lerna.json" | "rush.json") || is_project(path.as_str())
    }

    /// Takes the texts of every file that is [wanted](ResolveConfig::wants) (others are ignored). Unreadable ones count
    /// as absent.
    pub fn from_files(files: &BTreeMap<RelPath, Arc<str>>) -> Self {
        let mut manifests = BTreeMap::new();
        let mut written = BTreeMap::new();
        for (path, text) in files.iter().filter(|(path, _)| Self::wants(path)) {
            let Some(value) = jsonc::parse(text) else { continue };
            if path.file_name() == "package.json" {
                manifests.insert(path.dir().to_owned(), Manifest::read(&value));
            } else if is_project(path.as_str()) {
                written.insert(path.clone(), value);
            }
        }
        let links = Links::find(&manifests, files);
        let projects = Projects::read(&written, &links);
        let outputs = Outputs::of(&projects, &manifests);
        let local = links.names().chain(projects.aliases()).map(str::to_owned).collect();
        let has_types_versions = manifests.values().any(|manifest| manifest.types.is_some());
        Self { manifests, projects, links, outputs, has_types_versions, local }
    }

    /// The sources that a built file may come from, the likeliest first, whether they are there or not. Paths from the
    /// root, which may hold a `*` for any part of them.
    pub(super) fn sources_of(&self, built: &str) -> Vec<String> {
        self.outputs.candidates(built)
    }

    /// Whether the specifier may mean a file of the workspace by a package's name or an alias.
    pub(super) fn may_be_alias(&self, specifier: &str) -> bool {
        specifier.starts_with(['#', '/'])
            || specifier
                .char_indices()
                .map(|(at, _)| at)
                .chain([specifier.len()])
                .any(|end| self.local.contains(&specifier[..end]))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(Arc::default(), [])
    }
}

impl Resolver {
    pub fn new<'f>(config: Arc<ResolveConfig>, files: impl IntoIterator<Item = &'f RelPath>) -> Self {
        Self::over(View::new(config, Paths::new(files)))
    }

    fn over(view: View) -> Self {
        let variants = view.config().projects.variants();
        let everything = options(Mode::Inferred, &Variant::everything(&variants));
        let inferred = ResolverGeneric::new_with_file_system(view.clone(), everything);
        let plain = |variant: Variant| {
            let resolver = inferred.clone_with_options(options(Mode::Plain, &variant));
            (variant, resolver)
        };
        let plain = variants.into_iter().map(plain).collect();
        let config = view.config();
        let linked = config.links.folders.iter().filter_map(|folder| folder.strip_suffix("node_modules"));
        let dirs = config.manifests.keys().map(String::as_str).chain(linked.map(|dir| dir.trim_end_matches('/')));
        let scopes = dirs.zip(0..).map(|(dir, at)| (dir.to_owned(), at)).collect();
        Self { view, plain, inferred, scopes, known: Mutex::default() }
    }

    /// The same without what it remembers.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::over(self.view.clone())
    }

    /// The same with one file more or less.
    #[must_use]
    pub fn with(&self, path: &RelPath, there: bool) -> Self {
        Self::over(self.view.with(path, there))
    }

    pub fn config(&self) -> &Arc<ResolveConfig> {
        self.view.config()
    }

    /// The file that `specifier` in `from` means.
    pub fn resolve(&self, from: &RelPath, specifier: &str) -> Option<RelPath> {
        self.resolution(from, specifier).map(|found| found.path)
    }

    /// The file that `specifier` in `from` means, and whether that is inferred.
    pub fn resolution(&self, from: &RelPath, specifier: &str) -> Option<Resolution> {
        if is_relative(specifier) {
            return self.search(from, specifier);
        }
        if specifier.is_empty() || !self.config().projects.has_base() && !self.config().may_be_alias(specifier) {
            return None;
        }
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let asker = lock().askers.get(from).copied();
        let asker = asker.unwrap_or_else(|| {
            let asker = self.asker(from);
            lock().askers.insert(from.clone(), asker);
            asker
        });
        if let Some(known) = lock().found.get(&asker).and_then(|found| found.get(specifier)) {
            return known.clone();
        }
        let found = self.search(from, specifier);
        lock().found.entry(asker).or_default().insert(specifier.into(), found.clone());
        found
    }

    fn asker(&self, from: &RelPath) -> Asker {
        let scope = ancestors(from.dir()).find_map(|dir| self.scopes.get(dir)).copied().unwrap_or(u32::MAX);
        let project = |mode: Mode| {
            let found = self.inferred.find_tsconfig(mode.place(from.as_str())).ok().flatten();
            found.map_or(0, |project| Arc::as_ptr(&project).addr())
        };
        (scope, project(Mode::Plain), project(Mode::Inferred))
    }

    fn search(&self, from: &RelPath, specifier: &str) -> Option<Resolution> {
        let plain = || {
            let usual = self.usual(&Mode::Plain.place(from.as_str()));
            self.found(usual, Mode::Plain, from, specifier)
        };
        // What follows a `?` is a bundler's word.
        let found = if specifier.contains('?') { None } else { plain() };
        found.map(|path| Resolution { path, inferred: false }).or_else(|| {
            let path = self.found(&self.inferred, Mode::Inferred, from, specifier)?;
            Some(Resolution { path, inferred: true })
        })
    }

    fn found(&self, resolver: &ResolverGeneric<View>, mode: Mode, from: &RelPath, specifier: &str) -> Option<RelPath> {
        let place = mode.place(from.as_str());
        let file = |specifier: &str| {
            let found = resolver.resolve_file(&place, specifier).ok()?;
            self.view.file(&self.view.inside(found.path())?)
        };
        let usual = file(specifier);
        let Some((name, dir, types)) = self.types_versions(mode, from, specifier) else { return usual };
        // What an alias leads to comes before packages.
        if usual.is_some() && self.config().projects.aliases().any(|start| specifier.starts_with(start)) {
            return usual;
        }
        let asked = specifier[name.len()..].trim_start_matches('/');
        let Some(paths) = types.mapped(if asked.is_empty() { &types.entry } else { asked }) else { return usual };
        let strict = mode == Mode::Plain;
        // The compiler applies the paths again to what a directory means, below that directory: none is found.
        let only_files = strict && !asked.is_empty() && types.mapped("index").is_some();
        let is_meant = |path: &str, found: &RelPath| {
            !only_files || below(found.as_str(), &join(dir, path)).is_none_or(|inside| inside.is_empty())
        };
        let mapped =
            paths.iter().find_map(|path| file(&format!("{name}/{path}")).filter(|found| is_meant(path, found)));
        mapped.or_else(|| usual.filter(|_| !strict))
    }

    /// Name, directory, and `typesVersions` of the package that is named.
    fn types_versions<'s>(
        &'s self,
        mode: Mode,
        from: &RelPath,
        specifier: &'s str,
    ) -> Option<(&'s str, &'s str, &'s TypesVersions)> {
        let config = self.config();
        if is_relative(specifier) || !config.has_types_versions {
            return None;
        }
        let (name, _) = split_package(specifier)?;
        let dir = ancestors(from.dir()).find_map(|dir| {
            let link = join(dir, &format!("node_modules/{name}"));
            let inferred = || config.links.inferred.get(&link).filter(|_| mode == Mode::Inferred);
            config.links.plain.get(&link).or_else(inferred)
        })?;
        Some((name, dir, config.manifests.get(dir)?.types.as_ref()?))
    }

    /// The one that resolves as the project asks for that the file belongs to.
    fn usual(&self, place: &str) -> &ResolverGeneric<View> {
        let (_, usual) = &self.plain[0];
        if self.plain.len() == 1 {
            return usual;
        }
        let project = usual.find_tsconfig(place).ok().flatten();
        let variant = project.and_then(|project| self.config().projects.variant(&self.view.inside(project.path())?));
        let asked = variant.and_then(|variant| self.plain.iter().find(|(of, _)| *of == variant));
        asked.map_or(usual, |(_, resolver)| resolver)
    }
}

/// What is tried when an extension is left out, in TypeScript's order.
const LEFT_OUT: &[&str] = &[".ts", ".tsx", ".d.ts", ".js", ".jsx"];
/// What bundlers try besides.
const BUNDLED: &[&str] = &[".mjs", ".mts", ".cjs", ".cts", ".json", ".vue", ".svelte"];

/// What a written extension may stand for, in TypeScript's order.
const WRITTEN: &[(&str, &[&str])] = &[
    (".js", &[".ts", ".tsx", ".d.ts", ".js", ".jsx"]),
    (".jsx", &[".tsx", ".ts", ".d.ts", ".jsx"]),
    (".mjs", &[".mts", ".d.mts", ".mjs"]),
    (".cjs", &[".cts", ".d.cts", ".cjs"]),
];

const CONDITIONS: &[&str] = &["types", "import", "require", "node"];
/// Under which packages offer their sources to those who build them together.
const SOURCE_CONDITIONS: &[&str] = &["source", "src", "development", "module", "browser"];

fn options(mode: Mode, variant: &Variant) -> ResolveOptions {
    let inferred = mode == Mode::Inferred;
    let mut extensions = LEFT_OUT.to_vec();
    let mut conditions = variant.conditions.clone();
    conditions.extend(CONDITIONS.iter().map(|&name| name.to_owned()));
    let mut mains = vec!["typings", "types", "main"];
    if inferred {
        extensions.extend(BUNDLED);
        conditions.extend(SOURCE_CONDITIONS.iter().map(|&name| name.to_owned()));
        mains = vec!["source", "typings", "types", "module", "main"];
    }
    let aliases = WRITTEN.iter().map(|(written, meant)| ((*written).to_owned(), variant.suffixed(meant)));
    ResolveOptions {
        cwd: Some(mode.place("").into()),
        tsconfig: Some(TsconfigDiscovery::Auto),
        extension_alias: aliases.collect(),
        extensions: variant.suffixed(&extensions),
        condition_names: conditions,
        main_fields: mains.iter().map(|&name| name.to_owned()).collect(),
        roots: if inferred { vec![mode.place("").into()] } else { Vec::new() },
        allow_package_exports_in_directory_resolve: inferred,
        node_path: false,
        ..ResolveOptions::default()
    }
}

/// `tsconfig.app.json`, and the bases that packages of configuration offer: `tsconfig/base.json`,
/// `typescript-config/react.json`.
fn is_project(path: &str) -> bool {
    path.ends_with(".json")
        && !path.ends_with("package.json")
        && ["tsconfig", "jsconfig", "typescript", "ts-config"].iter().any(|word| path.contains(word))
}

pub(super) fn is_relative(specifier: &str) -> bool {
    matches!(specifier, "." | "..") || specifier.starts_with("./") || specifier.starts_with("../")
}

/// Name and rest (`""` or `/…`) of a package specifier.
fn split_package(specifier: &str) -> Option<(&str, &str)> {
    let skip = if specifier.starts_with('@') { specifier.find('/')? + 1 } else { 0 };
    let end = specifier[skip..].find('/').map_or(specifier.len(), |at| skip + at);
    (end > 0).then(|| specifier.split_at(end))
}

/// The directory and those above it, the root (`""`) last.
fn ancestors(dir: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(dir);
    std::iter::from_fn(move || {
        let dir = next?;
        next = (!dir.is_empty()).then(|| dir.rsplit_once('/').map_or("", |(above, _)| above));
        Some(dir)
    })
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// `path` from `dir`, without a `/` before it; `None` when it is not below.
fn below<'p>(path: &'p str, dir: &str) -> Option<&'p str> {
    if dir.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(dir)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// As [`normalise`], for what was written in a file of the directory.
fn placed(dir: &str, written: &str) -> Option<String> {
    if written.starts_with('/') { None } else { normalise(dir, written) }
}

#[cfg(test)]
mod tests;
