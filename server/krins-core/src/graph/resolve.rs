//! Which file a module specifier means, from the texts of tsconfig and package.json files. Never looks at a disk.

use crate::path::RelPath;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that decides how specifiers resolve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolveConfig {}

impl ResolveConfig {
    /// Whether a file's text belongs into [`ResolveConfig::from_files`].
    pub fn wants(path: &RelPath) -> bool {
        let name = path.file_name();
        name == "package.json"
            || name == "pnpm-workspace.yaml"
            || (name.starts_with("tsconfig") || name.starts_with("jsconfig")) && name.ends_with(".json")
    }

    /// Takes the texts of every tsconfig and package.json file (others are ignored). Unreadable ones count as absent.
    pub fn from_files(files: &BTreeMap<RelPath, Arc<str>>) -> Self {
        let _ = files;
        Self {}
    }

    /// The file that `specifier` in `from` means; `exists` says which files there are.
    pub fn resolve(&self, from: &RelPath, specifier: &str, exists: &dyn Fn(&RelPath) -> bool) -> Option<RelPath> {
        let base = specifier.starts_with('.').then(|| from.join_relative(specifier)).flatten()?;
        ["", ".ts", ".tsx", ".js"]
            .into_iter()
            .filter_map(|extension| RelPath::new(&format!("{base}{extension}")).ok())
            .find(|path| exists(path))
    }
}
