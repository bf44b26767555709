//! tsconfig files with everything that they extend put in place, as paths from the root.
//!
//! Follows `extends` itself: a base that cannot be found (a package that is not installed) is passed over, where the
//! compiler, and oxc_resolver with it, would give up on the whole project.

use super::workspace::Links;
use super::{RelPath, ancestors, is_relative, join, placed, split_package};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many steps `extends` and `references` may take.
const MAX_HOPS: usize = 32;

/// All of them, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Projects(BTreeMap<RelPath, Project>);

/// Paths and patterns are from the root.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Project {
    files: Option<Vec<String>>,
    pub include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    base: Option<String>,
    /// Pattern and targets, as they are written.
    paths: Option<Vec<(String, Vec<String>)>>,
    root_dirs: Option<Vec<String>>,
    allow_js: Option<bool>,
    pub composite: bool,
    pub root_dir: Option<String>,
    pub out_dir: Option<String>,
    pub declaration_dir: Option<String>,
    variant: Variant,
    /// Those that it refers to, and those that they refer to.
    references: Vec<RelPath>,
}

/// What makes a project resolve by other rules than others.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variant {
    pub conditions: Vec<String>,
    suffixes: Vec<String>,
}

impl Variant {
    /// All extensions with all suffixes before them.
    pub fn suffixed(&self, extensions: &[&str]) -> Vec<String> {
        let suffixes = if self.suffixes.is_empty() { &[String::new()][..] } else { &self.suffixes };
        let with = |extension: &&str| suffixes.iter().map(|suffix| format!("{suffix}{extension}")).collect::<Vec<_>>();
        extensions.iter().flat_map(with).collect()
    }

    /// What any of them allows.
    pub fn everything(variants: &[Self]) -> Self {
        let mut conditions: Vec<String> = variants.iter().flat_map(|variant| variant.conditions.clone()).collect();
        let mut suffixes = vec![String::new()];
        suffixes.extend(variants.iter().flat_map(|variant| variant.suffixes.clone()));
        let mut seen = BTreeSet::new();
        conditions.retain(|name| seen.insert(name.clone()));
        seen.clear();
        suffixes.retain(|name| seen.insert(name.clone()));
        Self { conditions, suffixes }
    }
}

impl Projects {
    pub fn read(written: &BTreeMap<RelPath, Value>, links: &Links) -> Self {
        let known = Known { written, links };
        let projects = written.keys().map(|path| (path.clone(), known.project(path))).collect();
        Self(projects)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &Project)> {
        self.0.iter()
    }

    pub fn has_base(&self) -> bool {
        self.0.values().any(|project| project.base.is_some())
    }

    /// What specifiers that an alias applies to begin with.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        let patterns = self.0.values().filter_map(|project| project.paths.as_ref()).flatten();
        patterns.map(|(pattern, _)| pattern.split('*').next().unwrap_or_default())
    }

    /// The ways of resolution that projects ask for, the usual one first.
    pub fn variants(&self) -> Vec<Variant> {
        let mut found: BTreeSet<Variant> = self.0.values().map(|project| project.variant.clone()).collect();
        found.insert(Variant::default());
        found.into_iter().collect()
    }

    pub fn variant(&self, path: &str) -> Option<Variant> {
        let path = RelPath::new(path).ok()?;
        let config = self.0.get(&path).or_else(|| self.of_dir(path.dir()))?;
        Some(config.variant.clone())
    }

    /// `tsconfig.json`, or `jsconfig.json` where there is none.
    fn of_dir(&self, dir: &str) -> Option<&Project> {
        ["tsconfig.json", "jsconfig.json"].iter().find_map(|name| self.0.get(&RelPath::join_dir(dir, name)?))
    }

    /// All that lie in a directory by a name that the compiler's users give them.
    fn siblings(&self, dir: &str) -> impl Iterator<Item = &Project> {
        let is_sibling = move |path: &RelPath| {
            path.dir() == dir && ["tsconfig", "jsconfig"].iter().any(|start| path.file_name().starts_with(start))
        };
        self.0.iter().filter(move |(path, _)| is_sibling(path)).map(|(_, project)| project)
    }

    /// The text to show for a tsconfig as it is; `root` is what stands before paths.
    pub fn plain(&self, path: &str, root: &str) -> Option<String> {
        let path = RelPath::new(path).ok()?;
        let project = match path.file_name() {
            "tsconfig.json" => self.of_dir(path.dir())?,
            _ => self.0.get(&path)?,
        };
        let all = |list: &Option<Vec<String>>| {
            list.as_ref().map(|list| list.iter().map(|path| rooted(root, path)).collect::<Vec<_>>())
        };
        let mut value = json!({ "compilerOptions": project.options(root, project.resolved_paths()) });
        for (key, list) in [("files", &project.files), ("include", &project.include), ("exclude", &project.exclude)] {
            if let Some(list) = all(list) {
                value[key] = json!(list);
            }
        }
        if !project.references.is_empty() {
            let places = project.references.iter().map(|path| json!({ "path": rooted(root, path.as_str()) }));
            value["references"] = places.collect();
        }
        if path.dir().is_empty() && path.file_name() == "tsconfig.json" {
            // The compiler leaves a file that no project includes without options. Tests, scripts and examples are
            // such files, and who runs them does so with the options of the root.
            value["files"] = json!([]);
            value["include"] = json!([rooted(root, "**/*")]);
            value["exclude"] = json!([]);
            value["compilerOptions"]["allowJs"] = json!(true);
        }
        Some(value.to_string())
    }

    /// The text to show for the tsconfig of a directory when every file below it is taken to belong to it, with the
    /// aliases of its siblings (`tsconfig.base.json`), of what it refers to, and of the directories above.
    pub fn inferred(&self, path: &str, root: &str) -> Option<String> {
        let path = RelPath::new(path).ok().filter(|path| path.file_name() == "tsconfig.json")?;
        let mut options = Project::default();
        let mut paths: Vec<(String, Vec<String>)> = Vec::new();
        for dir in ancestors(path.dir()) {
            let own = self.of_dir(dir);
            let referred = own.iter().flat_map(|own| &own.references).filter_map(|path| self.0.get(path));
            let siblings = self.siblings(dir);
            for project in own.into_iter().chain(referred).chain(siblings) {
                for (pattern, targets) in project.resolved_paths() {
                    if !paths.iter().any(|(known, _)| *known == pattern) {
                        paths.push((pattern, targets));
                    }
                }
                options.base = options.base.take().or_else(|| project.base.clone());
                options.root_dirs = options.root_dirs.take().or_else(|| project.root_dirs.clone());
            }
        }
        let mut options = options.options(root, paths);
        options.insert("allowJs".to_owned(), json!(true));
        let value =
            json!({ "compilerOptions": options, "files": [], "include": [rooted(root, &join(path.dir(), "**/*"))] });
        Some(value.to_string())
    }

    /// Whether a tsconfig is shown at the path.
    pub fn shows(&self, path: &str, inferred: bool) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        RelPath::new(path).is_ok_and(|path| self.0.contains_key(&path))
            || name == "tsconfig.json"
                && (self.of_dir(dir).is_some() || inferred && self.siblings(dir).next().is_some())
    }
}

impl Project {
    fn options(&self, root: &str, paths: Vec<(String, Vec<String>)>) -> Map<String, Value> {
        let mut options = Map::new();
        if let Some(base) = &self.base {
            options.insert("baseUrl".to_owned(), json!(rooted(root, base)));
        }
        if let Some(dirs) = &self.root_dirs {
            options.insert("rootDirs".to_owned(), dirs.iter().map(|dir| json!(rooted(root, dir))).collect());
        }
        if let Some(allow) = self.allow_js {
            options.insert("allowJs".to_owned(), json!(allow));
        }
        if !paths.is_empty() {
            let paths: Map<String, Value> = paths
                .into_iter()
                .map(|(pattern, targets)| (pattern, targets.iter().map(|target| json!(rooted(root, target))).collect()))
                .collect();
            options.insert("paths".to_owned(), Value::Object(paths));
        }
        options
    }

    fn resolved_paths(&self) -> Vec<(String, Vec<String>)> {
        self.paths.clone().unwrap_or_default()
    }
}

fn rooted(root: &str, path: &str) -> String {
    join(root, path)
}

/// What is written, and where packages are.
struct Known<'w> {
    written: &'w BTreeMap<RelPath, Value>,
    links: &'w Links,
}

/// The value of an option and the directory of the file that says it.
type Said<'w> = BTreeMap<&'w str, (&'w Value, &'w str)>;

impl<'w> Known<'w> {
    fn project(&self, path: &RelPath) -> Project {
        let mut said = Said::new();
        let mut top = Said::new();
        self.collect(path, &mut BTreeSet::new(), &mut top, &mut said);
        let place = |from: &str, text: &str| match text.strip_prefix("${configDir}") {
            Some(rest) => placed(path.dir(), rest.trim_start_matches('/')),
            None => placed(from, text),
        };
        let one = |key: &str| said.get(key).and_then(|(value, from)| place(from, value.as_str()?));
        let list = |said: &Said<'w>, key: &str| {
            let (value, from) = said.get(key)?;
            Some(value.as_array()?.iter().filter_map(Value::as_str).filter_map(|text| place(from, text)).collect())
        };
        let words = |key: &str| {
            let words = said.get(key).and_then(|(value, _)| value.as_array()).into_iter().flatten();
            words.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let flag = |key: &str| said.get(key).and_then(|(value, _)| value.as_bool());
        let base = one("baseUrl");
        let paths = said.get("paths").and_then(|(value, from)| {
            let from = base.as_deref().unwrap_or(from);
            let targets = |value: &Value| {
                let targets = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                targets.filter_map(|target| place(from, target)).collect()
            };
            Some(value.as_object()?.iter().map(|(pattern, value)| (pattern.clone(), targets(value))).collect())
        });
        let javascript = path.file_name().starts_with("jsconfig").then_some(true);
        Project {
            files: list(&top, "files"),
            include: list(&top, "include"),
            exclude: list(&top, "exclude"),
            paths,
            root_dirs: list(&said, "rootDirs"),
            allow_js: flag("allowJs").or(flag("checkJs")).or(javascript),
            composite: flag("composite").unwrap_or_default(),
            root_dir: one("rootDir"),
            out_dir: one("outDir"),
            declaration_dir: one("declarationDir"),
            variant: Variant { conditions: words("customConditions"), suffixes: words("moduleSuffixes") },
            references: self.references(path),
            base,
        }
    }

    /// What a file says; then, where it is silent, what it extends.
    fn collect(&self, path: &RelPath, seen: &mut BTreeSet<RelPath>, top: &mut Said<'w>, said: &mut Said<'w>) {
        if seen.len() > MAX_HOPS || !seen.insert(path.clone()) {
            return;
        }
        let Some((path, value)) = self.written.get_key_value(path) else { return };
        for key in ["files", "include", "exclude"] {
            if let Some(value) = value.get(key) {
                top.entry(key).or_insert((value, path.dir()));
            }
        }
        for (key, value) in value["compilerOptions"].as_object().into_iter().flatten() {
            said.entry(key).or_insert((value, path.dir()));
        }
        let extended: Vec<&str> = match &value["extends"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        // Of several the last one wins.
        for base in extended.into_iter().rev().filter_map(|extends| self.extended(path.dir(), extends)) {
            self.collect(&base, seen, top, said);
        }
    }

    fn extended(&self, dir: &str, extends: &str) -> Option<RelPath> {
        if is_relative(extends) {
            return self.config_at(&placed(dir, extends)?);
        }
        let (name, subpath) = split_package(extends)?;
        let link = |dir: &str| join(dir, &format!("node_modules/{name}"));
        let package = ancestors(dir).find_map(|dir| {
            let link = link(dir);
            self.links.plain.get(&link).or_else(|| self.links.inferred.get(&link))
        })?;
        self.config_at(&placed(package, subpath.trim_start_matches('/'))?)
    }

    fn config_at(&self, place: &str) -> Option<RelPath> {
        let known = |path: String| RelPath::new(&path).ok().filter(|path| self.written.contains_key(path));
        known(place.to_owned())
            .or_else(|| known(format!("{place}.json")))
            .or_else(|| known(join(place, "tsconfig.json")))
    }

    /// Those that it refers to, however far.
    fn references(&self, path: &RelPath) -> Vec<RelPath> {
        let mut found: Vec<RelPath> = Vec::new();
        let mut queue = vec![path.clone()];
        while let Some(next) = queue.pop() {
            let references = self.written.get(&next).and_then(|value| value["references"].as_array());
            let places = references.into_iter().flatten().rev().filter_map(|reference| reference["path"].as_str());
            let places = places.filter_map(|place| self.config_at(&placed(next.dir(), place)?));
            queue.extend(places.filter(|place| place != path && !found.contains(place)));
            if next != *path && !found.contains(&next) {
                found.push(next);
            }
        }
        found
    }
}
