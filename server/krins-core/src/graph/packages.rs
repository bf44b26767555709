//! package.json: which files a package's entries and subpaths may mean.

use super::resolve::star_match;
use serde_json::Value;

/// What resolution needs to know of a package.json.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Package {
    pub name: Option<String>,
    exports: Option<Value>,
    imports: Option<Value>,
    /// `source`, `types`, `typings`, `module`, `main`: the likeliest to be a source first.
    mains: Vec<String>,
}

/// Directories that hold what a build makes.
const OUTPUT: &[&str] = &["dist", "lib", "build", "out", "output", "esm", "cjs", "es", "types", "dts", "typings"];

/// Flavours of output below such a directory.
const FLAVOURS: &[&str] = &["esm", "cjs", "es", "es6", "es5", "types", "dts", "mjs", "umd", "esm5", "esm2015", "src"];

/// What a built file ends with, and the sources that give it.
const BUILT: &[(&str, &[&str])] = &[
    (".d.mts", &[".mts", ".ts"]),
    (".d.cts", &[".cts", ".ts"]),
    (".d.ts", &[".ts", ".tsx"]),
    (".mjs", &[".mts", ".ts", ".tsx", ".mjs"]),
    (".cjs", &[".cts", ".ts", ".tsx", ".cjs"]),
    (".js", &[".ts", ".tsx", ".js", ".jsx"]),
];

impl Package {
    pub fn read(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Self {
            name: text("name"),
            exports: value.get("exports").cloned(),
            imports: value.get("imports").cloned(),
            mains: ["source", "types", "typings", "module", "main"].into_iter().filter_map(text).collect(),
        }
    }

    /// What the package itself may mean, the likeliest first.
    pub fn entries(&self) -> Vec<String> {
        self.exports("")
    }

    /// What `name/subpath` may mean; `subpath` is `""` or begins with `/`.
    pub fn exports(&self, subpath: &str) -> Vec<String> {
        let key = format!(".{subpath}");
        let mut targets = Vec::new();
        match &self.exports {
            Some(Value::Object(map)) if map.keys().any(|key| key.starts_with('.')) => {
                targets = matching(map, &key);
            }
            Some(value) if subpath.is_empty() => flatten(value, "", &mut targets),
            _ => {}
        }
        if subpath.is_empty() {
            targets.extend(self.mains.iter().cloned());
        } else if targets.is_empty() {
            // Without `exports`, or past them: the file itself, or the source that it is built from.
            targets.push(key);
        }
        targets
    }

    /// What `#…` may mean.
    pub fn imports(&self, specifier: &str) -> Vec<String> {
        match &self.imports {
            Some(Value::Object(map)) => matching(map, specifier),
            _ => Vec::new(),
        }
    }
}

/// Targets of the key, or of the pattern with the longest part before its star.
fn matching(map: &serde_json::Map<String, Value>, key: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let best = map
        .iter()
        .filter_map(|(pattern, value)| Some((pattern, value, star_match(pattern, key)?)))
        .max_by_key(|(pattern, ..)| (!pattern.contains('*'), pattern.split('*').next().map_or(0, str::len)));
    if let Some((_, value, star)) = best {
        flatten(value, star, &mut targets);
    }
    targets
}

/// All targets under conditions and alternatives, those of a source condition first.
fn flatten(value: &Value, star: &str, targets: &mut Vec<String>) {
    let mut queue = vec![value];
    let mut later = Vec::new();
    while let Some(value) = queue.pop() {
        match value {
            Value::String(target) => later.push(target.replace('*', star)),
            Value::Array(all) => queue.extend(all.iter().rev()),
            Value::Object(conditions) => {
                let is_source = |key: &str| key.contains("source") || key == "src" || key == "development";
                queue.extend(conditions.iter().rev().filter(|(key, _)| !is_source(key)).map(|(_, value)| value));
                queue.extend(conditions.iter().rev().filter(|(key, _)| is_source(key)).map(|(_, value)| value));
            }
            _ => {}
        }
    }
    targets.append(&mut later);
}

/// The sources, from the package's directory, that a built file may come from: `dist/esm/a.js` → `src/a.ts`, ….
pub(super) fn source_candidates(built: &str) -> Vec<String> {
    let parts: Vec<&str> = built.split('/').collect();
    let mut places = Vec::new();
    for (at, _) in parts.iter().enumerate().filter(|(_, part)| OUTPUT.contains(part)) {
        let above = &parts[..at];
        let mut below = &parts[at + 1..];
        while below.len() > 1 && FLAVOURS.contains(&below[0]) {
            below = &below[1..];
        }
        places.push([above, &["src"], below].concat().join("/"));
        places.push([above, below].concat().join("/"));
    }
    let mut candidates = Vec::new();
    for place in places {
        match BUILT.iter().find_map(|(end, sources)| Some((place.strip_suffix(end)?, sources))) {
            Some((stem, sources)) => candidates.extend(sources.iter().map(|source| format!("{stem}{source}"))),
            None => candidates.push(place),
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_files_have_their_sources() {
        assert_eq!(source_candidates("dist/esm/a.mjs")[..2], ["src/a.mts", "src/a.ts"]);
        assert!(source_candidates("dist/src/index.js").contains(&"src/index.ts".to_owned()));
        assert!(source_candidates("packages/a/lib/b.d.ts").contains(&"packages/a/src/b.ts".to_owned()));
        assert_eq!(source_candidates("code/a.js"), Vec::<String>::new());
    }
}
